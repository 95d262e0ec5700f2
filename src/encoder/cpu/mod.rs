//! The transformer on the CPU in f32, on packed windows: no padding, one thread per call.

mod layers;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::{Array2, s};

use self::layers::{Layer, LayerNorm, rows, rows_mut};
use super::arch::{Activation, Architecture, Positions};
use super::weights::{Weights, WeightsError};
use super::{Executor, ExecutorError};
use crate::kernels::attention::self_attention;
use crate::kernels::dispatch::Isa;
use crate::kernels::elementwise;
use crate::text::pack::PackedBatch;

/// Tokens that go through the layers together, where whole windows allow.
///
/// Thousands of tokens per second of CPU time, one thread of a Zen 4 core (1 MiB second-level cache) whose f32 peak is 118 GFLOP/s,
/// weights of the shape of all-MiniLM-L6-v2, best of 15 calls:
///
/// | windows of | 52 | 104 | 128 | 256 | 512 | 1024 | 2048 |
/// |---|---|---|---|---|---|---|---|
/// | 52 tokens | 3.5 | 4.0 | 4.0 | 4.4 | 4.5 | 4.5 | 4.4 |
/// | 249 tokens | 4.1 | 4.1 | 4.1 | 4.1 | 4.1 | 4.1 | 4.1 |
///
/// Below, the products pay for laying out the weights anew for each run; above, nothing is gained and memory grows.
pub const MICRO_BATCH_TOKENS: usize = 512;

/// The `gemm` crate multiplies a single row by another path, which rounds otherwise; with a second row, computed and thrown
/// away, a token gets the same bits alone as in company.
const MIN_ROWS: usize = 2;

/// Runs a network of [`Architecture`] on the calling thread.
///
/// The caller gets all cores busy by handing different batches to different threads; the weights are shared.
/// A batch is cut into runs of whole windows of about [`MICRO_BATCH_TOKENS`], so it may be as large as the caller likes.
///
/// A window's result is the same to the last bit whatever its neighbours, the batch or the thread, in any network of more than 64
/// columns (see [`crate::kernels::gemm::matmul`]); on another CPU it may differ by rounding.
pub struct CpuEncoder {
    hidden_size: usize,
    n_heads: usize,
    activation: Activation,
    /// `[vocab_size, hidden_size]`
    word_embeddings: Array2<f32>,
    /// `[max_tokens, hidden_size]`: row `i` is for the token at place `i`, the vector of token type 0 added.
    position_embeddings: Array2<f32>,
    embedding_norm: LayerNorm,
    layers: Vec<Layer>,
    isa: Isa,
    /// Buffers of calls that are over, for the calls to come: as many as ever ran at the same time.
    idle_buffers: Mutex<Vec<Buffers>>,
}

/// Room for the numbers between the layers; grows to the largest run of windows seen.
#[derive(Default)]
struct Buffers {
    /// `[n_rows, hidden_size]`: what goes from layer to layer.
    hidden: Vec<f32>,
    /// `[n_rows, 3 · hidden_size]`, then `[n_rows, intermediate_size]`: never needed at the same time.
    wide: Vec<f32>,
    /// `[n_rows, hidden_size]`: what attention gathered.
    context: Vec<f32>,
    /// Attention scores of one head and some queries.
    scores: Vec<f32>,
}

impl CpuEncoder {
    /// Takes the weights that the architecture names; others, such as a pooler's, are left aside.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    ///
    /// # Panics
    /// When the heads cannot share the columns or there are fewer positions than their offset, both of which whoever makes an
    /// architecture out of a file has to refuse.
    pub fn new(arch: &Architecture, mut weights: Weights) -> Result<Self, WeightsError> {
        assert!(
            arch.hidden_size > 0 && arch.hidden_size.is_multiple_of(arch.n_heads),
            "{} heads cannot share {} columns",
            arch.n_heads,
            arch.hidden_size
        );
        let (hidden_size, names) = (arch.hidden_size, &arch.names);
        let word_embeddings = weights.take_matrix(&names.full(names.word_embeddings), arch.vocab_size, hidden_size)?;
        let position_embeddings = take_position_embeddings(arch, &mut weights)?;
        let embedding_norm = LayerNorm::take(&mut weights, &names.full(names.embedding_norm), arch)?;
        let layers = (0..arch.n_layers).map(|layer_idx| Layer::take(&mut weights, arch, layer_idx));
        Ok(Self {
            hidden_size,
            n_heads: arch.n_heads,
            activation: arch.activation,
            word_embeddings,
            position_embeddings,
            embedding_norm,
            layers: layers.collect::<Result<_, _>>()?,
            isa: Isa::best(),
            idle_buffers: Mutex::default(),
        })
    }

    fn check(&self, batch: &PackedBatch) -> Result<(), ExecutorError> {
        let vocab_size = self.word_embeddings.nrows();
        if let Some(&token_id) = batch.token_ids().iter().find(|&&id| id as usize >= vocab_size) {
            return Err(ExecutorError::TokenOutOfRange { token_id, vocab_size });
        }
        let (n_tokens, max_tokens) = (batch.longest(), self.position_embeddings.nrows());
        if n_tokens > max_tokens {
            return Err(ExecutorError::WindowTooLong { n_tokens, max_tokens });
        }
        Ok(())
    }

    /// Hidden states of adjacent windows, `[n_rows, hidden_size]`, the windows' tokens first; rows beyond mean nothing.
    ///
    /// `token_ids` are those of the whole batch, `windows` say where each window's tokens lie among them.
    fn forward<'a>(&self, token_ids: &[u32], windows: &[Range<usize>], buffers: &'a mut Buffers) -> &'a [f32] {
        let (isa, hidden_size) = (self.isa, self.hidden_size);
        let first = windows[0].start;
        let n_tokens = windows[windows.len() - 1].end - first;
        let n_rows = n_tokens.max(MIN_ROWS);
        let Buffers { hidden, wide, context, scores } = buffers;
        let hidden = room(hidden, n_rows * hidden_size);
        let context = room(context, n_rows * hidden_size);
        // Rows beyond the tokens may hold anything, but old numbers could decay to denormal ones, which are slow.
        hidden[n_tokens * hidden_size..].fill(0.0);
        context[n_tokens * hidden_size..].fill(0.0);

        for window in windows {
            let start = (window.start - first) * hidden_size;
            self.embed(&token_ids[window.clone()], &mut hidden[start..]);
        }
        self.embedding_norm.apply(isa, hidden);
        for layer in &self.layers {
            let qkv = room(wide, n_rows * layer.qkv.n_out());
            layer.qkv.apply(hidden, qkv);
            for window in windows {
                let tokens = s![window.start - first..window.end - first, ..];
                let window_qkv = rows(qkv, layer.qkv.n_out()).slice_move(tokens);
                let window_context = rows_mut(context, hidden_size).slice_move(tokens);
                self_attention(isa, window_qkv, self.n_heads, scores, window_context);
            }
            layer.attention_output.add_to(isa, context, hidden);
            layer.attention_norm.apply(isa, hidden);

            let intermediate = room(wide, n_rows * layer.intermediate.n_out());
            layer.intermediate.apply(hidden, intermediate);
            match self.activation {
                Activation::Gelu => elementwise::gelu(isa, intermediate),
                Activation::GeluTanh => elementwise::gelu_tanh(isa, intermediate),
                Activation::Relu => elementwise::relu(isa, intermediate),
            }
            layer.output.add_to(isa, intermediate, hidden);
            layer.output_norm.apply(isa, hidden);
        }
        hidden
    }

    /// Writes word plus position for the tokens of one window, row after row.
    fn embed(&self, token_ids: &[u32], hidden: &mut [f32]) {
        let embedded = hidden.chunks_exact_mut(self.hidden_size).zip(self.position_embeddings.outer_iter());
        for ((row, position), &token_id) in embedded.zip(token_ids) {
            let word = self.word_embeddings.row(token_id as usize);
            for ((x, w), p) in row.iter_mut().zip(word).zip(position) {
                *x = w + p;
            }
        }
    }

    fn idle_buffers(&self) -> MutexGuard<'_, Vec<Buffers>> {
        // A thread that panicked cannot have left the list half-changed: it only pushes and pops.
        self.idle_buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor for CpuEncoder {
    fn hidden_states(&self, batch: &PackedBatch) -> Result<Array2<f32>, ExecutorError> {
        self.check(batch)?;
        let mut buffers = self.idle_buffers().pop().unwrap_or_default();
        let mut hidden_states = Vec::with_capacity(batch.n_tokens() * self.hidden_size);
        let windows: Vec<_> = batch.windows().collect();
        let mut later = &windows[..];
        while !later.is_empty() {
            let run;
            (run, later) = later.split_at(micro_batch_len(later));
            let n_tokens = run[run.len() - 1].end - run[0].start;
            let hidden = self.forward(batch.token_ids(), run, &mut buffers);
            hidden_states.extend_from_slice(&hidden[..n_tokens * self.hidden_size]);
        }
        self.idle_buffers().push(buffers);
        Ok(Array2::from_shape_vec((batch.n_tokens(), self.hidden_size), hidden_states)
            .expect("the windows hold all tokens of the batch"))
    }

    /// Two runs: small enough that the threads finish together, large enough that sorting by length leaves few odd ends.
    fn default_token_budget(&self) -> usize {
        2 * MICRO_BATCH_TOKENS
    }

    fn name(&self) -> String {
        "cpu f32".to_owned()
    }
}

/// The embedding of each place, with that of token type 0, which all our tokens have.
fn take_position_embeddings(arch: &Architecture, weights: &mut Weights) -> Result<Array2<f32>, WeightsError> {
    let hidden_size = arch.hidden_size;
    let Positions::Learned { n_positions, offset } = arch.positions;
    let name = arch.names.full(arch.names.position_embeddings);
    let mut positions = weights.take_matrix(&name, n_positions, hidden_size)?.slice_move(s![offset.., ..]);
    let name = arch.names.full(arch.names.token_type_embeddings);
    // The number of types is no part of the architecture; any but none will do.
    let n_types = weights.shape(&name).and_then(|shape| shape.first().copied()).unwrap_or(1).max(1);
    positions += &weights.take_matrix(&name, n_types, hidden_size)?.row(0);
    Ok(positions)
}

/// How many of the windows, at least one, make up the next run.
fn micro_batch_len(windows: &[Range<usize>]) -> usize {
    windows.partition_point(|window| window.end - windows[0].start <= MICRO_BATCH_TOKENS).max(1)
}

/// The first `length` numbers of a buffer, which grows as needed. They hold whatever was there.
fn room(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}
