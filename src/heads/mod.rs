//! Light classifiers on embeddings.

use ndarray::{Array2, ArrayView2};
use thiserror::Error;

use crate::labels::Task;

/// A fitted classifier: embeddings to logits.
pub trait Head: Send + Sync {
    /// Which kind of task the logits are for: soft-max over labels, or a sigmoid each.
    fn task(&self) -> Task;

    /// Number of columns it takes.
    fn hidden_size(&self) -> usize;

    /// Number of columns it gives.
    fn n_labels(&self) -> usize;

    /// Logits before any calibration.
    ///
    /// # Shapes
    /// * `embeddings` `[n_articles, hidden_size]`
    /// * returns `[n_articles, n_labels]`
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`] when the embeddings have another width.
    fn logits(&self, embeddings: ArrayView2<f32>) -> Result<Array2<f64>, HeadError>;
}

/// What can go wrong when a head is fitted or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HeadError {
    #[error("embeddings have {found} columns, the head expects {expected}")]
    HiddenSize { expected: usize, found: usize },
}
