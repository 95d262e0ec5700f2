//! Labelled articles looked over before training: duplicates, leakage, odd labels, broken texts.
//!
//! * [`mod@check`]: all of it at once
//! * [`finding`]: what is found, as data
//! * [`duplicates`]: the same and nearly the same, by [`shingles`] and [`minhash`]; [`copies`]: what follows from them
//! * [`label_statistics`]: labels that are rare, look alike or keep odd company, by the test of [`hypergeometric`]
//! * [`text_problems`], [`mojibake`], [`boilerplate`], [`languages`]: the texts
//! * [`label_issues()`]: labels that are likely wrong or missing; [`wrong_labels`]: these as findings

pub mod boilerplate;
pub mod check;
mod confident_learning;
pub mod copies;
pub mod duplicates;
pub mod finding;
pub mod hypergeometric;
pub mod label_issues;
pub mod label_statistics;
pub mod languages;
pub mod minhash;
pub mod mojibake;
pub mod shingles;
pub mod text_problems;
pub mod wrong_labels;

use thiserror::Error;

pub use self::label_issues::{FlagRule, LabelIssue, LabelIssueSettings, LabelIssues, LabelQuality, label_issues};

/// What can go wrong with a check.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum CurationError {
    #[error("there are {found} embeddings for {expected} articles")]
    EmbeddingRows { expected: usize, found: usize },
    #[error("setting `{name}` is {found}, expected {expected}")]
    Setting { name: &'static str, found: f64, expected: &'static str },
    #[error("interrupted")]
    Interrupted,
    #[error("{n_rows} rows of probabilities but labels for {n_targets} articles")]
    RowCount { n_rows: usize, n_targets: usize },
    #[error("article {row_idx} has label number {label_idx}, but there are probabilities for {n_labels} labels")]
    LabelOutOfRange { row_idx: usize, label_idx: usize, n_labels: usize },
    #[error("probability of article {row_idx} for label number {label_idx} is {value}, outside 0 to 1")]
    Probability { row_idx: usize, label_idx: usize, value: f64 },
}
