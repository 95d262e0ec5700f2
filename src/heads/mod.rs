//! Light classifiers on embeddings, and on sparse rows of words.
//!
//! * [`logistic`]: settings and fitting of logistic regression; its soft-max form for one label per article
//! * [`one_vs_rest`]: its form for any number of labels per article
//! * [`multi_instance`]: a linear head on passages, from labels of whole articles
//! * [`linear`]: the classifier that comes out, `[n_labels, hidden_size]` weights and an intercept per label
//! * [`sparse_linear`]: linear heads on sparse rows; [`sparse_folds`]: their out-of-fold logits; [`sparse_prune`]: cut down to a size

mod design;
mod dual;
mod eigen;
mod exponential;
mod lbfgs;
pub mod linear;
pub mod logistic;
pub mod multi_instance;
mod objective;
pub mod one_vs_rest;
mod soft_targets;
pub mod sparse_folds;
pub mod sparse_linear;
pub mod sparse_prune;
mod sparse_rows;

use ndarray::{Array2, ArrayView2};
use thiserror::Error;

pub use self::dual::SparseLoss;
pub use self::linear::LinearHead;
pub use self::sparse_folds::SparseOutOfFold;
pub use self::sparse_linear::SparseLinearHead;
pub use self::sparse_prune::PrunedHead;
pub use self::sparse_rows::SparseRows;
pub(crate) use self::{
    design::Design, design::product, eigen::symmetric_eigen, lbfgs::Stopping, logistic::TrainingSet,
    objective::Products, soft_targets::SoftTargets,
};
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
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum HeadError {
    #[error("embeddings have {found} columns, the head expects {expected}")]
    HiddenSize { expected: usize, found: usize },
    #[error("embedding {row_idx} holds {value} in column {column_idx}; all values must be finite")]
    NonFinite { row_idx: usize, column_idx: usize, value: f32 },
    #[error("cannot fit a head: {n_embeddings} embeddings but labels for {n_targets} articles")]
    RowCount { n_embeddings: usize, n_targets: usize },
    #[error("article {row_idx} has label number {label_idx}, but there are {n_labels} labels")]
    LabelOutOfRange { row_idx: usize, label_idx: usize, n_labels: usize },
    #[error(
        "cannot fit a head: only {n_present} of {n_labels} labels occur in the training articles, at least {needed} must"
    )]
    TooFewLabels { n_present: usize, n_labels: usize, needed: usize },
    #[error("head setting `{name}` is {found}, expected {expected}")]
    Setting { name: &'static str, found: String, expected: &'static str },
    #[error("a linear head with weights {weights:?} needs as many intercepts as labels, found {n_intercepts}")]
    Shape { weights: [usize; 2], n_intercepts: usize },
    #[error("{tensor} of the head hold {value} for label number {label_idx}; all values must be finite")]
    NonFiniteParameter { tensor: &'static str, label_idx: usize, value: f32 },
    #[error("a sparse matrix of {n_indices} columns and {n_values} values has row limits that do not fit them")]
    SparseShape { n_indices: usize, n_values: usize },
    #[error(
        "row {row_idx} of a sparse matrix of {n_columns} columns has column {column_idx} out of range or out of order"
    )]
    SparseColumn { row_idx: usize, column_idx: usize, n_columns: usize },
    #[error("cannot fit a head on row {row_idx}: there are {n_rows} rows")]
    RowOutOfRange { row_idx: usize, n_rows: usize },
    #[error(
        "the loss of {n_unsolved} labels is not within {tolerance} of its minimum after {n_evaluations} evaluations"
    )]
    Unsolved { n_unsolved: usize, n_evaluations: usize, tolerance: f64 },
    #[error("{n_offsets} offsets of bags do not ascend from 0 to their {n_passages} passages")]
    BagOffsets { n_offsets: usize, n_passages: usize },
    #[error("cannot fit a head: {n_passages} passages but known labels for {n_known}")]
    PassageCount { n_passages: usize, n_known: usize },
    #[error("passage {passage_idx} has label number {label_idx}, but there are {n_labels} labels")]
    PassageLabel { passage_idx: usize, label_idx: usize, n_labels: usize },
    #[error("logits of {n_labels} labels need as many intercepts, found {n_intercepts}")]
    InterceptCount { n_intercepts: usize, n_labels: usize },
    #[error("interrupted while fitting a head")]
    Interrupted,
}
