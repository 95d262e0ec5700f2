//! How good predictions are, by the names and conventions of scikit-learn.
//!
//! | file | holds |
//! |---|---|
//! | [`confusion`] | counts of right and wrong per label, confusion matrix, labels that occur together |
//! | [`prf`] | precision, recall, F1 and their averages, accuracy, Hamming loss |
//! | [`ranking`] | average precision, ROC-AUC |
//! | [`probability`] | log-loss, Brier score, calibration error |
//! | [`reliability`] | bins of a reliability diagram, the Brier score taken apart |
//! | [`summary`] | all averaged metrics of one evaluation from weighted rows |
//! | [`bootstrap`] | confidence intervals for them |
//!
//! # Shapes
//! * `y_true`, `y_pred`: `[n, n_labels]` of `bool`, true where the article has (is given) the label
//! * `y_score`: `[n, n_labels]`, probabilities in `[0, 1]`
//! * where exactly one label is right: slices of [`LabelId`], one per article
//!
//! Every function refuses zero rows: there is nothing to be measured, and 0 would read as a bad result.
//! Metrics that a set of articles leaves undefined are `None`, never NaN, save where the caller asked for
//! [`prf::ZeroDivision::Nan`].

use ndarray::{ArrayView2, Axis};
use thiserror::Error;

use crate::labels::LabelId;

pub mod bootstrap;
pub mod confusion;
pub mod prf;
pub mod probability;
pub mod ranking;
pub mod reliability;
pub mod summary;

/// What can be wrong with the input of a metric.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum MetricError {
    #[error("metrics need at least one article, found none")]
    NoRows,
    #[error("metrics need at least one label, found none")]
    NoLabels,
    #[error("metrics take at most {limit} articles, found {found}")]
    TooManyRows { limit: usize, found: usize },
    #[error("{what} have the shape {found:?}, expected {expected:?}")]
    Shape { what: &'static str, expected: [usize; 2], found: [usize; 2] },
    #[error("{what} are of {found} articles, expected {expected}")]
    Length { what: &'static str, expected: usize, found: usize },
    #[error(
        "article number {row_idx} has label number {label_idx}, but there are only {n_labels} labels, counted from 0"
    )]
    UnknownLabel { row_idx: usize, label_idx: usize, n_labels: usize },
    #[error("article number {row_idx} (counted from 0) has {found} labels in the {what}, expected exactly one")]
    NotOneLabel { what: &'static str, row_idx: usize, found: usize },
    #[error(
        "the probability of label number {label_idx} for article number {row_idx} (counted from 0) is {value}, expected 0 to 1"
    )]
    Probability { row_idx: usize, label_idx: usize, value: f64 },
    #[error("the score of article number {row_idx} (counted from 0) is {value}, expected a finite number")]
    Score { row_idx: usize, value: f64 },
    #[error("a calibration error needs at least one bin, found 0")]
    NoBins,
    #[error("the confidence level of an interval is {found}, expected a number between 0 and 1")]
    Confidence { found: f64 },
    #[error(
        "{n_resamples} bootstrap resamples are too few for a confidence level of {confidence}: at least one must fall beyond each end"
    )]
    TooFewResamples { n_resamples: usize, confidence: f64 },
}

/// Refuses indicator matrices that are empty or of different shapes.
fn check_indicators(y_true: ArrayView2<bool>, y_pred: ArrayView2<bool>) -> Result<(), MetricError> {
    check_shape("predictions", shape(y_true), shape(y_pred))
}

/// Refuses shapes without rows or columns, and different ones.
fn check_shape(what: &'static str, expected: [usize; 2], found: [usize; 2]) -> Result<(), MetricError> {
    if expected[0] == 0 {
        return Err(MetricError::NoRows);
    }
    if expected[1] == 0 {
        return Err(MetricError::NoLabels);
    }
    if expected != found {
        return Err(MetricError::Shape { what, expected, found });
    }
    Ok(())
}

/// Refuses slices that are empty or of different lengths.
fn check_lengths(what: &'static str, expected: usize, found: usize) -> Result<(), MetricError> {
    if expected == 0 {
        return Err(MetricError::NoRows);
    }
    if expected != found {
        return Err(MetricError::Length { what, expected, found });
    }
    Ok(())
}

/// Refuses what is not a probability, NaN included.
fn check_probabilities(y_score: ArrayView2<f64>) -> Result<(), MetricError> {
    match y_score.indexed_iter().find(|(_, value)| !(0.0..=1.0).contains(*value)) {
        Some(((row_idx, label_idx), &value)) => Err(MetricError::Probability { row_idx, label_idx, value }),
        None => Ok(()),
    }
}

/// Refuses label ids beyond the number of labels.
fn check_label_ids(labels: &[LabelId], n_labels: usize) -> Result<(), MetricError> {
    match labels.iter().position(|label| label.0 >= n_labels) {
        Some(row_idx) => Err(MetricError::UnknownLabel { row_idx, label_idx: labels[row_idx].0, n_labels }),
        None => Ok(()),
    }
}

/// The only label of each row of an indicator matrix.
///
/// # Errors
/// [`MetricError::NotOneLabel`] for the first row with none or several; `what` names the matrix.
pub fn only_labels(indicator: ArrayView2<bool>, what: &'static str) -> Result<Vec<LabelId>, MetricError> {
    let only_label = |(row_idx, row): (usize, ndarray::ArrayView1<bool>)| {
        let found = row.iter().filter(|set| **set).count();
        match row.iter().position(|set| *set) {
            Some(label_idx) if found == 1 => Ok(LabelId(label_idx)),
            _ => Err(MetricError::NotOneLabel { what, row_idx, found }),
        }
    };
    indicator.axis_iter(Axis(0)).enumerate().map(only_label).collect()
}

fn shape<T>(array: ArrayView2<T>) -> [usize; 2] {
    [array.nrows(), array.ncols()]
}
