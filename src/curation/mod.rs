//! What may be wrong with labelled articles, and what a person decided about it.
//!
//! * [`label_issues()`]: labels that are likely wrong or missing
//! * [`corrections`]: the review file, a line for each of them

mod confident_learning;
pub mod corrections;
pub mod label_issues;

use thiserror::Error;

pub use self::label_issues::{FlagRule, LabelIssue, LabelIssueSettings, LabelIssues, LabelQuality, label_issues};

/// What can go wrong in looking for errors.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum CurationError {
    #[error("{n_rows} rows of probabilities but labels for {n_targets} articles")]
    RowCount { n_rows: usize, n_targets: usize },
    #[error("article {row_idx} has label number {label_idx}, but there are probabilities for {n_labels} labels")]
    LabelOutOfRange { row_idx: usize, label_idx: usize, n_labels: usize },
    #[error("probability of article {row_idx} for label number {label_idx} is {value}, outside 0 to 1")]
    Probability { row_idx: usize, label_idx: usize, value: f64 },
}
