//! Text to embedding: a tokenizer, a transformer, pooling.

pub mod arch;
pub mod cpu;
pub mod source;
pub mod weights;

use ndarray::Array2;
use thiserror::Error;

use crate::text::pack::PackedBatch;

/// Runs the transformer: token ids to the last layer's hidden states.
///
/// The seam between the description of a network ([`arch::Architecture`]) and what computes it.
pub trait Executor: Send + Sync {
    /// Hidden states of every token, `[batch.n_tokens(), hidden_size]`, in the order of the batch.
    ///
    /// Every window attends to itself only; a window's result does not depend on its neighbours in the batch beyond rounding.
    ///
    /// # Errors
    /// A token id outside the vocabulary, a window longer than the positions of the network, or a failure of the device.
    fn hidden_states(&self, batch: &PackedBatch) -> Result<Array2<f32>, ExecutorError>;

    /// What computes, for logs and `inspect`: `cpu f32`, `candle cuda:0` …
    fn name(&self) -> String;
}

/// Why hidden states could not be computed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecutorError {
    #[error("token id {token_id} is outside the vocabulary of {vocab_size} tokens")]
    TokenOutOfRange { token_id: u32, vocab_size: usize },
    #[error("a window of {n_tokens} tokens is longer than the {max_tokens} positions the encoder has")]
    WindowTooLong { n_tokens: usize, max_tokens: usize },
    #[error("the device failed")]
    Device {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
