//! A linear classifier while it is being put together, in double precision.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::heads::{HeadError, LinearHead, product};
use crate::labels::Task;

/// Scores as `x · weightsᵀ + offsets`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    /// `[n_labels, hidden_size]`
    pub(super) weights: Array2<f64>,
    /// `[n_labels]`
    pub(super) offsets: Array1<f64>,
}

impl Affine {
    /// `factor · directions · (x − centre)`.
    pub(super) fn along(directions: ArrayView2<f64>, centre: ArrayView1<f64>, factor: f64) -> Self {
        let weights = &directions * factor;
        let offsets = -weights.dot(&centre);
        Self { weights, offsets }
    }

    /// `[n_rows, n_labels]` for `rows` `[n_rows, hidden_size]`.
    pub(super) fn scores(&self, rows: ArrayView2<f64>) -> Array2<f64> {
        product(rows, self.weights.t()) + &self.offsets
    }

    /// `factor` times the scores.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self { weights: &self.weights * factor, offsets: &self.offsets * factor }
    }

    /// The sum of the scores of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self { weights: &self.weights + &other.weights, offsets: &self.offsets + &other.offsets }
    }

    /// Rounded as a head keeps it.
    pub(super) fn head(&self, task: Task) -> Result<LinearHead, HeadError> {
        LinearHead::new(task, self.weights.mapv(|value| value as f32), self.offsets.mapv(|value| value as f32))
    }
}

/// Rows divided by their lengths; rows of length 0 stay.
pub(super) fn unit_rows(mut rows: Array2<f64>) -> Array2<f64> {
    for mut row in rows.rows_mut() {
        let length = row.dot(&row).sqrt();
        if length > 0.0 {
            row /= length;
        }
    }
    rows
}

/// Soft-max of every row.
pub(super) fn softmax_rows(mut logits: Array2<f64>) -> Array2<f64> {
    for mut row in logits.rows_mut() {
        let peak = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        row.mapv_inplace(|logit| (logit - peak).exp());
        let total = row.sum();
        row /= total;
    }
    logits
}

/// Mean of the rows; zeros where there is none.
pub(super) fn mean_row(rows: ArrayView2<f64>) -> Array1<f64> {
    rows.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(rows.ncols()))
}

/// Mean length of the rows less `centre`; 1 where they have none.
pub(super) fn mean_length(rows: ArrayView2<f64>, centre: ArrayView1<f64>) -> f64 {
    let lengths: f64 = rows.rows().into_iter().map(|row| (&row - &centre).mapv(|v| v * v).sum().sqrt()).sum();
    let mean = lengths / rows.nrows().max(1) as f64;
    if mean > 0.0 { mean } else { 1.0 }
}
