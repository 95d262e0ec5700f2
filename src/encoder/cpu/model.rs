//! A described network as the kernels like it: matrices packed in one precision, everything else f32.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::parts::{MatrixSpec, Parts, Piece};
use crate::encoder::arch::{self, Architecture, IntermediateNames, NormPlacement, Positions, QkvNames};
use crate::encoder::weights::WeightsError;
use crate::kernels::attention::{DistanceBias, Heads, SCORE_UNIT};
use crate::kernels::elementwise::Activation;
use crate::kernels::packed::{Format, PANEL_COLUMNS, PackedMatrix};
use crate::kernels::rotary::RotaryTable;
use crate::kernels::rows::Norm;
use crate::kernels::table::Table;

/// Most columns of the feed-forward block that are computed at a time, so that they, their weights and the rows they are added to stay in
/// the second cache, and so that int8 has a scale for each part of a row.
const FEED_FORWARD_COLUMNS: usize = 384;

/// A network ready to run.
pub(super) struct Model {
    pub(super) format: Format,
    pub(super) heads: Heads,
    pub(super) max_tokens: usize,
    pub(super) norm_placement: NormPlacement,
    pub(super) activation: Activation,
    pub(super) words: Table,
    /// What is added to a word's vector: a row per place, or one for all; the vector of token type 0, which all our tokens have, is in it.
    pub(super) added: Vec<f32>,
    pub(super) embedding_norm: Norm,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Option<Norm>,
    pub(super) distance_bias: Option<DistanceBias>,
}

/// One layer of the network.
pub(super) struct Layer {
    /// Queries, keys and values as one product, the queries scaled for the scores.
    pub(super) qkv: PackedMatrix,
    pub(super) attention_output: PackedMatrix,
    pub(super) attention_norm: Option<Norm>,
    pub(super) feed_forward: Vec<FeedForward>,
    pub(super) output_norm: Norm,
    pub(super) rotary: Option<Arc<RotaryTable>>,
    pub(super) reach: Option<usize>,
}

/// Some columns of a feed-forward block: `act(x · gate) ∘ (x · up) · output`.
pub(super) struct FeedForward {
    pub(super) gate: PackedMatrix,
    pub(super) up: Option<PackedMatrix>,
    pub(super) output: PackedMatrix,
}

impl Model {
    /// Takes the parts that the architecture names.
    pub(super) fn build(arch: &Architecture, format: Format, parts: &mut dyn Parts) -> Result<Self, WeightsError> {
        let (names, hidden_size, eps) = (&arch.names, arch.hidden_size, arch.layer_norm_eps as f32);
        let words = parts.table(&names.full(names.word_embeddings), arch.vocab_size, hidden_size, format)?;
        let added = added_vectors(arch, parts)?;
        let mut norm = |name: String| parts.norm(&name, hidden_size, arch.biases.norms, eps);
        let embedding_norm = norm(names.full(names.embedding_norm))?;
        let final_norm = names.final_norm.map(|name| norm(names.full(name))).transpose()?;
        let distance_bias = arch.relative_bias.map(|bias| distance_bias(arch, bias, parts)).transpose()?;
        let mut rotaries = HashMap::new();
        let layers = (0..arch.n_layers).map(|layer_idx| Layer::build(arch, layer_idx, format, parts, &mut rotaries));
        Ok(Self {
            format,
            heads: Heads { n_heads: arch.n_heads, head_size: arch.head_size() },
            max_tokens: arch.max_tokens(),
            norm_placement: arch.norm_placement,
            activation: match (arch.activation, format) {
                (arch::Activation::Gelu, Format::F32) => Activation::Gelu,
                (arch::Activation::Gelu, Format::Bf16 | Format::Int8) => Activation::GeluRough,
                (arch::Activation::GeluTanh, _) => Activation::GeluTanh,
                (arch::Activation::Relu, _) => Activation::Relu,
                (arch::Activation::Silu, _) => Activation::Silu,
            },
            layers: layers.collect::<Result<_, _>>()?,
            words,
            added,
            embedding_norm,
            final_norm,
            distance_bias,
        })
    }

    pub(super) fn hidden_size(&self) -> usize {
        self.heads.n_heads * self.heads.head_size
    }
}

impl Layer {
    fn build(
        arch: &Architecture,
        layer_idx: usize,
        format: Format,
        parts: &mut dyn Parts,
        rotaries: &mut HashMap<String, Arc<RotaryTable>>,
    ) -> Result<Self, WeightsError> {
        let (hidden_size, eps, biases) = (arch.hidden_size, arch.layer_norm_eps as f32, arch.biases);
        let full = |name: &str| arch.names.in_layer(name, layer_idx);
        let key = |part: &str| format!("layer.{layer_idx}.{part}");
        let mut norm = |name: &str| parts.norm(&full(name), hidden_size, biases.norms, eps);
        let attention_norm = arch.has_attention_norm(layer_idx).then(|| norm(arch.names.attention_norm)).transpose()?;
        let output_norm = norm(arch.names.output_norm)?;

        let attention_output =
            Piece::whole(full(arch.names.attention_output), hidden_size, hidden_size, biases.attention_output);
        let attention = [
            MatrixSpec { key: key("qkv"), pieces: qkv_pieces(arch, layer_idx) },
            MatrixSpec { key: key("attention_output"), pieces: vec![attention_output] },
        ];
        let [qkv, attention_output] = parts
            .matrices(&attention, format)?
            .try_into()
            .unwrap_or_else(|_| unreachable!("as many matrices as were asked for"));

        let groups = feed_forward_groups(arch.intermediate_size);
        let is_gated = arch.names.intermediate.is_gated();
        let mut specs = Vec::new();
        for (group_idx, columns) in groups.iter().enumerate() {
            let key = |part: &str| key(&format!("{part}.{group_idx}"));
            let (gate, up) = intermediate_pieces(arch, layer_idx, columns.clone());
            specs.push(MatrixSpec { key: key("gate"), pieces: vec![gate] });
            specs.extend(up.map(|up| MatrixSpec { key: key("up"), pieces: vec![up] }));
            let output = Piece {
                columns: columns.clone(),
                takes_bias: biases.output && group_idx == 0,
                ..Piece::whole(full(arch.names.output), hidden_size, arch.intermediate_size, biases.output)
            };
            specs.push(MatrixSpec { key: key("output"), pieces: vec![output] });
        }
        let mut matrices = parts.matrices(&specs, format)?.into_iter();
        let mut next = || matrices.next().expect("as many matrices as were asked for");
        let feed_forward =
            groups.iter().map(|_| FeedForward { gate: next(), up: is_gated.then(&mut next), output: next() }).collect();

        let rotary = arch.rotary(layer_idx).map(|rotary| {
            let table = || Arc::new(RotaryTable::new(&rotary.frequencies(arch.head_size()), arch.max_tokens()));
            Arc::clone(rotaries.entry(format!("{rotary:?}")).or_insert_with(table))
        });
        Ok(Self {
            qkv,
            attention_output,
            attention_norm,
            feed_forward,
            output_norm,
            rotary,
            reach: arch.reach(layer_idx),
        })
    }
}

/// Queries, keys and values one below the other, the queries multiplied by what their scores need.
fn qkv_pieces(arch: &Architecture, layer_idx: usize) -> Vec<Piece> {
    let hidden_size = arch.hidden_size;
    let query_scale = (SCORE_UNIT / (arch.head_size() as f64).sqrt()) as f32;
    let full = |name: &str| arch.names.in_layer(name, layer_idx);
    let mut pieces: Vec<Piece> = match arch.names.qkv {
        QkvNames::Separate { query, key, value } => {
            [query, key, value].map(|name| Piece::whole(full(name), hidden_size, hidden_size, arch.biases.qkv)).into()
        }
        QkvNames::Packed(name) => (0..3)
            .map(|part_idx| Piece {
                rows: part_idx * hidden_size..(part_idx + 1) * hidden_size,
                ..Piece::whole(full(name), 3 * hidden_size, hidden_size, arch.biases.qkv)
            })
            .collect(),
    };
    pieces[0].scale = query_scale;
    pieces
}

/// Some columns of what the activation is applied to, and of what it is multiplied with.
fn intermediate_pieces(arch: &Architecture, layer_idx: usize, columns: Range<usize>) -> (Piece, Option<Piece>) {
    let (hidden_size, width) = (arch.hidden_size, arch.intermediate_size);
    let of = |name: &str, n_parts: usize, part_idx: usize| Piece {
        rows: part_idx * width + columns.start..part_idx * width + columns.end,
        ..Piece::whole(arch.names.in_layer(name, layer_idx), n_parts * width, hidden_size, arch.biases.intermediate)
    };
    match arch.names.intermediate {
        IntermediateNames::Plain(name) => (of(name, 1, 0), None),
        IntermediateNames::Gated { gate, up } => (of(gate, 1, 0), Some(of(up, 1, 0))),
        IntermediateNames::GateUp(name) => (of(name, 2, 0), Some(of(name, 2, 1))),
        IntermediateNames::UpGate(name) => (of(name, 2, 1), Some(of(name, 2, 0))),
    }
}

/// Whole panels, shared out evenly.
fn feed_forward_groups(intermediate_size: usize) -> Vec<Range<usize>> {
    let n_panels = intermediate_size.div_ceil(PANEL_COLUMNS);
    let n_groups = intermediate_size.div_ceil(FEED_FORWARD_COLUMNS);
    let end = |group_idx: usize| intermediate_size.min(group_idx * n_panels / n_groups * PANEL_COLUMNS);
    (0..n_groups).map(|group_idx| end(group_idx)..end(group_idx + 1)).collect()
}

fn added_vectors(arch: &Architecture, parts: &mut dyn Parts) -> Result<Vec<f32>, WeightsError> {
    let (names, hidden_size) = (&arch.names, arch.hidden_size);
    let of_type = match names.token_type_embeddings {
        Some(name) => parts.first_row(&names.full(name), hidden_size)?,
        None => vec![0.0; hidden_size],
    };
    let Positions::Learned { n_positions, offset } = arch.positions else { return Ok(of_type) };
    let name = names.position_embeddings.expect("an architecture with learned positions names them");
    let positions = parts.numbers(&names.full(name), n_positions, hidden_size)?;
    let mut added = Vec::with_capacity((n_positions - offset) * hidden_size);
    for row in positions.outer_iter().skip(offset) {
        added.extend(row.iter().zip(&of_type).map(|(position, of_type)| position + of_type));
    }
    Ok(added)
}

fn distance_bias(
    arch: &Architecture,
    bias: arch::RelativeBias,
    parts: &mut dyn Parts,
) -> Result<DistanceBias, WeightsError> {
    let name = arch.names.relative_bias.expect("an architecture with a relative bias names it");
    let of_buckets = parts.numbers(&arch.names.full(name), bias.n_buckets, arch.n_heads)?;
    let n_positions = arch.max_tokens();
    let farthest = n_positions as isize - 1;
    let values = (0..arch.n_heads).flat_map(|head_idx| {
        let of_buckets = &of_buckets;
        (-farthest..=farthest).map(move |distance| of_buckets[[bias.bucket(distance), head_idx]] * SCORE_UNIT as f32)
    });
    Ok(DistanceBias { values: values.collect(), n_positions })
}
