//! One run of adjacent windows through all layers.

use std::ops::Range;

use super::model::{Layer, Model};
use crate::encoder::arch::NormPlacement;
use crate::kernels::attention::{AttentionRoom, Number, Sight, self_attention};
use crate::kernels::dispatch::Isa;
use crate::kernels::packed::Format;
use crate::kernels::product::{Output, product};
use crate::kernels::room::Room;
use crate::kernels::rotary::rotate;
use crate::kernels::rows::{RowBuffer, Rows, ToNormalize, round_all};

/// Room for the numbers between the layers; grows to the largest run of windows seen.
#[derive(Default)]
pub(super) struct Buffers {
    /// `[n_tokens, hidden_size]`: what goes from layer to layer.
    hidden: Room<f32>,
    /// The same as the products of a block read it.
    input: RowBuffer,
    inner: Inner,
}

/// Room inside attention and feed-forward blocks.
#[derive(Default)]
struct Inner {
    /// `[n_tokens, 3 · hidden_size]`: queries, keys and values, as f32, as bf16, or both, where they are rotated in between.
    qkv: Room<f32>,
    qkv_halves: Room<u16>,
    attention: AttentionRoom<f32>,
    attention_halves: AttentionRoom<u16>,
    /// `[n_tokens, hidden_size]`: what attention gathered.
    context: Room<f32>,
    /// `[n_tokens, some columns]` of a feed-forward block, as f32 or bf16.
    intermediate: Room<f32>,
    intermediate_halves: Room<u16>,
    /// `context` or `intermediate` as the next product reads it.
    rows: RowBuffer,
}

/// What is run, on which instructions, and where its windows' rows are.
struct Run<'a> {
    model: &'a Model,
    isa: Isa,
    windows: &'a [Range<usize>],
}

impl Run<'_> {
    fn n_tokens(&self) -> usize {
        self.windows[self.windows.len() - 1].end - self.windows[0].start
    }

    /// The numbers of each window in a buffer of rows of that width.
    fn rows(&self, width: usize) -> impl Iterator<Item = Range<usize>> {
        let first = self.windows[0].start;
        self.windows.iter().map(move |window| (window.start - first) * width..(window.end - first) * width)
    }
}

impl Buffers {
    /// Hidden states of adjacent windows, `[n_tokens, hidden_size]`.
    ///
    /// `token_ids` are those of the whole batch, `windows` say where each window's tokens lie among them.
    pub(super) fn forward(&mut self, model: &Model, isa: Isa, token_ids: &[u32], windows: &[Range<usize>]) -> &[f32] {
        let run = Run { model, isa, windows };
        let (hidden_size, format) = (model.hidden_size(), model.format);
        let Self { hidden, input, inner } = self;
        let hidden = hidden.resize(run.n_tokens() * hidden_size);
        for (window, rows) in windows.iter().zip(run.rows(hidden_size)) {
            model.words.gather(isa, &token_ids[window.clone()], &model.added, &mut hidden[rows]);
        }
        input.normalize(isa, format, ToNormalize::InPlace(hidden), &model.embedding_norm);
        for layer in &model.layers {
            match (model.norm_placement, &layer.attention_norm) {
                (NormPlacement::Before, Some(norm)) => {
                    input.normalize(isa, format, ToNormalize::Apart(hidden), norm);
                }
                // The rows are the normalised ones of the embeddings, or of the layer before.
                (NormPlacement::Before, None) | (NormPlacement::After, _) => {}
            }
            inner.attend(&run, layer, input.rows(), hidden);
            match (model.norm_placement, &layer.attention_norm) {
                (NormPlacement::After, Some(norm)) => input.normalize(isa, format, ToNormalize::InPlace(hidden), norm),
                (NormPlacement::After, None) => unreachable!("every layer that normalises afterwards has this norm"),
                (NormPlacement::Before, _) => {
                    input.normalize(isa, format, ToNormalize::Apart(hidden), &layer.output_norm);
                }
            }
            inner.feed_forward(&run, layer, input.rows(), hidden);
            if model.norm_placement == NormPlacement::After {
                input.normalize(isa, format, ToNormalize::InPlace(hidden), &layer.output_norm);
            }
        }
        if let Some(norm) = &model.final_norm {
            input.normalize(isa, format, ToNormalize::InPlace(hidden), norm);
        }
        hidden
    }
}

impl Inner {
    /// `hidden += attention(input)`
    fn attend(&mut self, run: &Run<'_>, layer: &Layer, input: Rows<'_>, hidden: &mut [f32]) {
        let (model, isa) = (run.model, run.isa);
        let n_numbers = 3 * hidden.len();
        let context = self.context.resize(hidden.len());
        if model.format == Format::F32 {
            let qkv = self.qkv.resize(n_numbers);
            product(isa, input, &layer.qkv, Output::Store(qkv));
            rotate_windows(run, layer, qkv);
            attend_windows(run, layer, qkv, &mut self.attention, context);
        } else {
            let halves = self.qkv_halves.resize(n_numbers);
            if layer.rotary.is_some() {
                let qkv = self.qkv.resize(n_numbers);
                product(isa, input, &layer.qkv, Output::Store(qkv));
                rotate_windows(run, layer, qkv);
                round_all(isa, qkv, halves);
            } else {
                product(isa, input, &layer.qkv, Output::StoreBf16(halves));
            }
            attend_windows(run, layer, halves, &mut self.attention_halves, context);
        }
        let rows = self.rows.convert(isa, model.format, context, model.hidden_size());
        product(isa, rows, &layer.attention_output, Output::Add(hidden));
    }

    /// `hidden += feed_forward(input)`
    fn feed_forward(&mut self, run: &Run<'_>, layer: &Layer, input: Rows<'_>, hidden: &mut [f32]) {
        let (model, isa) = (run.model, run.isa);
        for block in &layer.feed_forward {
            let width = block.gate.n_out();
            let n_numbers = run.n_tokens() * width;
            let is_ready_for_product = model.format == Format::Bf16 && block.up.is_none() && width.is_multiple_of(2);
            let rows = if is_ready_for_product {
                let halves = self.intermediate_halves.resize(n_numbers);
                product(isa, input, &block.gate, Output::ActivateBf16(model.activation, halves));
                Rows::bf16(halves, width)
            } else {
                let numbers = self.intermediate.resize(n_numbers);
                product(isa, input, &block.gate, Output::Activate(model.activation, numbers));
                if let Some(up) = &block.up {
                    product(isa, input, up, Output::Multiply(numbers));
                }
                self.rows.convert(isa, model.format, numbers, width)
            };
            product(isa, rows, &block.output, Output::Add(hidden));
        }
    }
}

fn rotate_windows(run: &Run<'_>, layer: &Layer, qkv: &mut [f32]) {
    if let Some(rotary) = &layer.rotary {
        for rows in run.rows(3 * run.model.hidden_size()) {
            rotate(run.isa, rotary, run.model.heads, &mut qkv[rows]);
        }
    }
}

fn attend_windows<T: Number>(
    run: &Run<'_>,
    layer: &Layer,
    qkv: &[T],
    room: &mut AttentionRoom<T>,
    context: &mut [f32],
) {
    let hidden_size = run.model.hidden_size();
    let sight = Sight { reach: layer.reach, bias: run.model.distance_bias.as_ref() };
    for (rows, of_context) in run.rows(3 * hidden_size).zip(run.rows(hidden_size)) {
        self_attention(run.isa, &qkv[rows], run.model.heads, sight, room, &mut context[of_context]);
    }
}
