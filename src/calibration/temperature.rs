//! Temperature scaling: one factor that makes a soft-max as sure as it is right.
//!
//! `p = softmax(z / T)` with the `T` that minimises the cross-entropy; the ranking of labels, and so accuracy, stays as
//! it is. Source: Guo et al., *On Calibration of Modern Neural Networks* (2017), § 4.2.
//!
//! Thirty articles that were all labelled rightly do not make the next one certain. As in Platt scaling, targets are therefore
//! pulled a little off 0 and 1: of `n` articles, each counts `1 − 1/(n + 2)` for its label, the rest evenly for the others.

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CalibrationError, check_finite};
use crate::labels::LabelId;

/// Range of temperatures: beyond it, out-of-fold logits say nothing, or are right without exception.
const MIN_TEMPERATURE: f64 = 0.01;
const MAX_TEMPERATURE: f64 = 100.0;
/// Newton steps, each of which at least halves the bracket or is a full step; about six are taken.
const MAX_STEPS: usize = 100;
/// Relative change of the temperature that ends the search.
const STEP_TOLERANCE: f64 = 1e-12;
/// Rows of one partial sum; fixed, so that rounding does not depend on the number of threads.
const CHUNK_ROWS: usize = 1024;

/// A positive factor `T` by which logits are divided.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Temperature(f64);

impl TryFrom<f64> for Temperature {
    type Error = CalibrationError;

    fn try_from(temperature: f64) -> Result<Self, CalibrationError> {
        Self::new(temperature)
    }
}

impl From<Temperature> for f64 {
    fn from(temperature: Temperature) -> f64 {
        temperature.0
    }
}

impl Temperature {
    /// A temperature from outside, 0.01 to 100.
    ///
    /// # Errors
    /// [`CalibrationError::Temperature`].
    pub fn new(temperature: f64) -> Result<Self, CalibrationError> {
        if (MIN_TEMPERATURE..=MAX_TEMPERATURE).contains(&temperature) {
            return Ok(Self(temperature));
        }
        Err(CalibrationError::Temperature { found: temperature, min: MIN_TEMPERATURE, max: MAX_TEMPERATURE })
    }

    /// Changes nothing: `T = 1`.
    pub fn identity() -> Self {
        Self(1.0)
    }

    /// The temperature itself.
    pub fn value(self) -> f64 {
        self.0
    }

    /// The temperature with the smallest cross-entropy, to the targets described above, on `logits` `[n_articles, n_labels]`, clipped to 0.01 to 100; 1
    /// where there is no article.
    ///
    /// # Errors
    /// Labels that do not match the logits, and logits that are not finite.
    pub fn fit(logits: ArrayView2<f64>, labels: &[LabelId]) -> Result<Self, CalibrationError> {
        if logits.nrows() != labels.len() {
            return Err(CalibrationError::RowCount { n_logits: logits.nrows(), n_targets: labels.len() });
        }
        let n_labels = logits.ncols();
        if let Some((row_idx, label)) = labels.iter().enumerate().find(|(_, label)| label.0 >= n_labels) {
            return Err(CalibrationError::LabelOutOfRange { row_idx, label_idx: label.0, n_labels });
        }
        check_finite(logits)?;
        if labels.is_empty() {
            return Ok(Self::identity());
        }
        // The loss is convex in the inverse temperature: its derivative has one zero, kept inside the bracket.
        let (mut low, mut high) = (1.0 / MAX_TEMPERATURE, 1.0 / MIN_TEMPERATURE);
        let mut inverse: f64 = 1.0;
        let doubt = 1.0 / (labels.len() as f64 + 2.0);
        for _ in 0..MAX_STEPS {
            let (slope, curvature) = derivatives(logits, labels, doubt, inverse);
            if slope > 0.0 {
                high = inverse;
            } else {
                low = inverse;
            }
            let newton = inverse - slope / curvature;
            let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
            let change = (next - inverse).abs();
            inverse = next;
            if change <= STEP_TOLERANCE * inverse {
                break;
            }
        }
        Ok(Self((1.0 / inverse).clamp(MIN_TEMPERATURE, MAX_TEMPERATURE)))
    }

    /// `softmax(logits / T)`, same shape.
    pub fn probabilities(self, logits: ArrayView2<f64>) -> Array2<f64> {
        let mut probabilities = logits.to_owned();
        for mut row in probabilities.rows_mut() {
            let peak = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            row.mapv_inplace(|logit| ((logit - peak) / self.0).exp());
            let total = row.sum();
            row /= total;
        }
        probabilities
    }
}

/// First and second derivative of the mean cross-entropy by the inverse temperature.
fn derivatives(logits: ArrayView2<f64>, labels: &[LabelId], doubt: f64, inverse: f64) -> (f64, f64) {
    let sums: Vec<(f64, f64)> = logits
        .axis_chunks_iter(Axis(0), CHUNK_ROWS)
        .into_par_iter()
        .zip(labels.par_chunks(CHUNK_ROWS))
        .map(|(logits, labels)| {
            logits.rows().into_iter().zip(labels).fold((0.0, 0.0), |(slope, curvature), (row, label)| {
                let (mean, variance) = moments(row, inverse);
                let own = row[label.0];
                let others = if row.len() > 1 { (row.sum() - own) / (row.len() - 1) as f64 } else { own };
                (slope + mean - (1.0 - doubt) * own - doubt * others, curvature + variance)
            })
        })
        .collect();
    let (slope, curvature) = sums.into_iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    (slope / labels.len() as f64, curvature / labels.len() as f64)
}

/// Mean and variance of a row's logits under its own soft-max.
fn moments(row: ArrayView1<f64>, inverse: f64) -> (f64, f64) {
    let peak = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let (mut total, mut first, mut second) = (0.0, 0.0, 0.0);
    for &logit in row {
        let distance = logit - peak;
        let weight = (inverse * distance).exp();
        total += weight;
        first += weight * distance;
        second += weight * distance * distance;
    }
    let mean = first / total;
    (peak + mean, (second / total - mean * mean).max(0.0))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_known_share_of_errors_gives_a_known_temperature() {
        // Three of four are right at a margin of 3. With targets of 5/6 and 1/6 the best probability is
        // 3/4 · 5/6 + 1/4 · 1/6 = 2/3, so 3 / T = ln 2.
        let logits = array![[3.0, 0.0], [0.0, 3.0], [3.0, 0.0], [3.0, 0.0]];
        let temperature = Temperature::fit(logits.view(), &[0, 1, 0, 1].map(LabelId)).unwrap();
        assert!((temperature.value() - 3.0 / 2.0f64.ln()).abs() < 1e-9);
        let probabilities = temperature.probabilities(logits.view());
        assert!((probabilities[[0, 0]] - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn faultless_logits_leave_doubt_and_hopeless_ones_hit_the_bound() {
        let labels = [0, 1].map(LabelId);
        // Both right: targets of 3/4, so 1 / T = ln 3.
        let right = array![[1.0, 0.0], [0.0, 1.0]];
        let temperature = Temperature::fit(right.view(), &labels).unwrap().value();
        assert!((temperature - 1.0 / 3.0f64.ln()).abs() < 1e-9, "{temperature}");
        let wrong = array![[0.0, 1.0], [1.0, 0.0]];
        let temperature = Temperature::fit(wrong.view(), &labels).unwrap().value();
        assert!((temperature - MAX_TEMPERATURE).abs() < 1e-6, "{temperature}");
        let flat = array![[0.0, 0.0], [0.0, 0.0]];
        assert!(Temperature::fit(flat.view(), &labels).unwrap().value().is_finite());
    }

    #[test]
    fn inputs_that_do_not_match_are_refused() {
        let logits = array![[0.0, f64::NAN]];
        assert!(matches!(Temperature::fit(logits.view(), &[LabelId(0)]), Err(CalibrationError::NonFinite { .. })));
        assert!(matches!(Temperature::fit(logits.view(), &[]), Err(CalibrationError::RowCount { .. })));
        assert!(matches!(
            Temperature::fit(logits.view(), &[LabelId(2)]),
            Err(CalibrationError::LabelOutOfRange { .. })
        ));
    }
}
