//! Temperature scaling: one factor that makes a soft-max, or sigmoids, as sure as they are right.
//!
//! `p = softmax(z / T)`, or `σ(z / T)` for every label where an article may have several, with the `T` that minimises the
//! cross-entropy; the ranking of labels, and so accuracy, stays as it is. Source: Guo et al., *On Calibration of Modern Neural Networks* (2017), § 4.2.
//!
//! Thirty articles that were all labelled rightly do not make the next one certain. As in Platt scaling, targets are therefore
//! pulled a little off 0 and 1: of `n` articles, each counts `1 − 1/(n + 2)` for its label, the rest evenly for the others;
//! of sigmoids, each label has the targets of [`super::platt`].

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::platt::Points;
use super::{CalibrationError, check_finite, sigmoid};
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
        let doubt = 1.0 / (labels.len() as f64 + 2.0);
        Ok(Self::minimise(|inverse| derivatives(logits, labels, doubt, inverse)))
    }

    /// The temperature of sigmoids with the smallest cross-entropy on `logits` and `indicator`, both `[n_articles, n_labels]`, to the targets of
    /// [`super::platt`], clipped to 0.01 to 100; 1 where there is no article.
    ///
    /// # Errors
    /// Shapes that differ, and logits that are not finite.
    pub fn fit_multi(logits: ArrayView2<f64>, indicator: ArrayView2<bool>) -> Result<Self, CalibrationError> {
        if logits.nrows() != indicator.nrows() {
            return Err(CalibrationError::RowCount { n_logits: logits.nrows(), n_targets: indicator.nrows() });
        }
        if logits.ncols() != indicator.ncols() {
            let (expected, found) = (logits.ncols(), indicator.ncols());
            return Err(CalibrationError::NLabels { what: "the matrix of logits", expected, found });
        }
        check_finite(logits)?;
        if logits.is_empty() {
            return Ok(Self::identity());
        }
        let labels: Vec<Points> = logits
            .axis_iter(Axis(1))
            .zip(indicator.axis_iter(Axis(1)))
            .map(|(logits, has_label)| Points::new(logits, has_label))
            .collect();
        Ok(Self::minimise(|inverse| derivatives_of_sigmoids(&labels, inverse)))
    }

    /// Where the first of two derivatives by the inverse temperature is 0.
    fn minimise(derivatives: impl Fn(f64) -> (f64, f64)) -> Self {
        // The loss is convex in the inverse temperature: its derivative has one zero, kept inside the bracket.
        let (mut low, mut high) = (1.0 / MAX_TEMPERATURE, 1.0 / MIN_TEMPERATURE);
        let mut inverse: f64 = 1.0;
        for _ in 0..MAX_STEPS {
            let (slope, curvature) = derivatives(inverse);
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
        Self((1.0 / inverse).clamp(MIN_TEMPERATURE, MAX_TEMPERATURE))
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

/// The same of the mean binary cross-entropy of all labels.
fn derivatives_of_sigmoids(labels: &[Points], inverse: f64) -> (f64, f64) {
    let of_label = |points: &Points| {
        points.logits.iter().zip(&points.targets).fold((0.0, 0.0), |(slope, curvature), (&logit, target)| {
            let (own, other) = (sigmoid(inverse * logit), sigmoid(-inverse * logit));
            (slope + (own - target) * logit, curvature + own * other * logit * logit)
        })
    };
    let sums: Vec<(f64, f64)> = labels.par_iter().map(of_label).collect();
    let (slope, curvature) = sums.into_iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    let n_cells = labels.iter().map(|points| points.logits.len()).sum::<usize>() as f64;
    (slope / n_cells, curvature / n_cells)
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
    fn a_known_share_of_errors_gives_a_known_temperature_of_sigmoids() {
        // One label, logits of 3 and −3, of four each three are right. Targets of 5/6 and 1/6 make the best probability
        // 2/3 as above: 3 / T = ln 2.
        let logits = array![[3.0], [3.0], [3.0], [-3.0], [-3.0], [-3.0], [-3.0], [3.0]];
        let indicator = array![[true], [true], [true], [true], [false], [false], [false], [false]];
        let temperature = Temperature::fit_multi(logits.view(), indicator.view()).unwrap();
        assert!((temperature.value() - 3.0 / 2.0f64.ln()).abs() < 1e-9, "{temperature:?}");
        let short = indicator.slice(ndarray::s![..3, ..]);
        assert!(matches!(Temperature::fit_multi(logits.view(), short), Err(CalibrationError::RowCount { .. })));
        let none = Array2::from_elem((8, 2), true);
        assert!(matches!(Temperature::fit_multi(logits.view(), none.view()), Err(CalibrationError::NLabels { .. })));
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
