//! Platt scaling: a line per label before its sigmoid.
//!
//! `p = σ(slope · z + offset)`, fitted by cross-entropy to targets that are pulled a little off 0 and 1, so that the fit stays finite
//! where logits separate the classes. Sources: Platt, *Probabilistic Outputs for Support Vector Machines* (1999); Newton's
//! method without cancellation: Lin, Lin & Weng, *A Note on Platt's Probabilistic Outputs* (2007).

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CalibrationError, check_finite, sigmoid};

/// Labels with fewer positives share one slope and fit an offset only: a slope from a handful of points is noise, and may even
/// be negative.
pub const MIN_POSITIVES_FOR_OWN_SLOPE: usize = 20;
/// Slopes below this would make the logit meaningless, or reverse it; such labels take the shared slope.
pub(super) const MIN_SLOPE: f64 = 1e-2;
/// Lin et al. use 100; about seven are taken.
const MAX_STEPS: usize = 100;
/// Newton decrement, in units of the loss per article, that ends the search.
const DECREMENT_TOLERANCE: f64 = 1e-14;
/// Smallest share of a Newton step that is tried (Lin et al.).
const MIN_STEP: f64 = 1e-10;

/// Slope and offset of every label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawPlatt")]
pub struct Platt {
    slopes: Vec<f64>,
    offsets: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlatt {
    slopes: Vec<f64>,
    offsets: Vec<f64>,
}

impl TryFrom<RawPlatt> for Platt {
    type Error = CalibrationError;

    fn try_from(raw: RawPlatt) -> Result<Self, CalibrationError> {
        Self::new(raw.slopes, raw.offsets)
    }
}

impl Platt {
    /// Slopes and offsets from outside, one of each per label.
    ///
    /// # Errors
    /// Unequal numbers of them, slopes that are not positive, values that are not finite.
    pub fn new(slopes: Vec<f64>, offsets: Vec<f64>) -> Result<Self, CalibrationError> {
        if slopes.len() != offsets.len() {
            return Err(CalibrationError::PlattShape { n_slopes: slopes.len(), n_offsets: offsets.len() });
        }
        let bad_slope = slopes.iter().position(|slope| !(slope.is_finite() && *slope > 0.0));
        if let Some(label_idx) = bad_slope {
            return Err(CalibrationError::Slope { label_idx, found: slopes[label_idx] });
        }
        if let Some(label_idx) = offsets.iter().position(|offset| !offset.is_finite()) {
            return Err(CalibrationError::Offset { label_idx, found: offsets[label_idx] });
        }
        Ok(Self { slopes, offsets })
    }

    /// Plain sigmoids.
    pub fn identity(n_labels: usize) -> Self {
        Self { slopes: vec![1.0; n_labels], offsets: vec![0.0; n_labels] }
    }

    /// Sigmoids of `slope · z`, without offsets.
    pub(super) fn one_slope(slope: f64, n_labels: usize) -> Self {
        Self { slopes: vec![slope; n_labels], offsets: vec![0.0; n_labels] }
    }

    /// Slope of each label.
    pub fn slopes(&self) -> &[f64] {
        &self.slopes
    }

    /// Offset of each label.
    pub fn offsets(&self) -> &[f64] {
        &self.offsets
    }

    /// Fits every label on `logits` and `indicator`, both `[n_articles, n_labels]`.
    ///
    /// Labels with fewer than [`MIN_POSITIVES_FOR_OWN_SLOPE`] positives, and those whose own slope would not be positive, share
    /// one slope, fitted on all labels together. A label without any positive takes the shared offset too.
    ///
    /// # Errors
    /// Shapes that differ, and logits that are not finite.
    pub fn fit(logits: ArrayView2<f64>, indicator: ArrayView2<bool>) -> Result<Self, CalibrationError> {
        if logits.nrows() != indicator.nrows() {
            return Err(CalibrationError::RowCount { n_logits: logits.nrows(), n_targets: indicator.nrows() });
        }
        let n_labels = logits.ncols();
        if indicator.ncols() != n_labels {
            let found = indicator.ncols();
            return Err(CalibrationError::NLabels { what: "the matrix of logits", expected: n_labels, found });
        }
        check_finite(logits)?;
        if logits.is_empty() {
            return Ok(Self::identity(n_labels));
        }
        let points: Vec<Points> = logits
            .axis_iter(Axis(1))
            .into_par_iter()
            .zip(indicator.axis_iter(Axis(1)))
            .map(|(logits, has_label)| Points::new(logits, has_label))
            .collect();
        let own: Vec<Option<Line>> = points
            .par_iter()
            .map(|points| {
                let enough = points.n_positive >= MIN_POSITIVES_FOR_OWN_SLOPE
                    && points.logits.len() - points.n_positive >= MIN_POSITIVES_FOR_OWN_SLOPE;
                let line =
                    enough.then(|| fit_line(std::slice::from_ref(points), true, Line { slope: 1.0, offset: 0.0 }));
                line.filter(|line| line.slope >= MIN_SLOPE)
            })
            .collect();
        if own.iter().all(Option::is_some) {
            return Ok(Self::from_lines(own.into_iter().flatten()));
        }
        // The labels in need share what they have; where that says nothing, logits are taken at their word.
        let needy: Vec<Points> =
            points.iter().zip(&own).filter(|(_, own)| own.is_none()).map(|(p, _)| p.clone()).collect();
        let word = Line { slope: 1.0, offset: 0.0 };
        let mut shared =
            if needy.iter().any(|points| points.n_positive > 0) { fit_line(&needy, true, word) } else { word };
        if shared.slope < MIN_SLOPE {
            shared = fit_line(&needy, false, word);
        }
        let lines: Vec<Line> = points
            .into_par_iter()
            .zip(own)
            .map(|(points, own)| match own {
                Some(line) => line,
                None if points.n_positive == 0 => shared,
                None => fit_line(&[points], false, shared),
            })
            .collect();
        Ok(Self::from_lines(lines))
    }

    fn from_lines(lines: impl IntoIterator<Item = Line>) -> Self {
        let (slopes, offsets) = lines.into_iter().map(|line| (line.slope, line.offset)).unzip();
        Self { slopes, offsets }
    }

    /// `σ(slope · z + offset)`, same shape as `logits`.
    ///
    /// # Errors
    /// [`CalibrationError::NLabels`].
    pub fn probabilities(&self, logits: ArrayView2<f64>) -> Result<Array2<f64>, CalibrationError> {
        Ok(self.logits(logits)?.mapv_into(sigmoid))
    }

    /// `slope · logit + offset`
    pub(super) fn logits(&self, logits: ArrayView2<f64>) -> Result<Array2<f64>, CalibrationError> {
        if logits.ncols() != self.slopes.len() {
            let (expected, found) = (self.slopes.len(), logits.ncols());
            return Err(CalibrationError::NLabels { what: "the calibration", expected, found });
        }
        Ok(Array2::from_shape_fn(logits.dim(), |(row_idx, label_idx)| {
            self.slopes[label_idx] * logits[[row_idx, label_idx]] + self.offsets[label_idx]
        }))
    }
}

#[derive(Clone, Copy, Debug)]
struct Line {
    slope: f64,
    offset: f64,
}

/// One label's logits with Platt's targets: `(n₊ + 1) / (n₊ + 2)` for positives, `1 / (n₋ + 2)` for negatives.
#[derive(Clone)]
pub(super) struct Points {
    pub(super) logits: Vec<f64>,
    pub(super) targets: Vec<f64>,
    pub(super) n_positive: usize,
}

impl Points {
    pub(super) fn new(logits: ArrayView1<f64>, has_label: ArrayView1<bool>) -> Self {
        let n_positive = has_label.iter().filter(|has| **has).count();
        let n_negative = has_label.len() - n_positive;
        let positive = (n_positive as f64 + 1.0) / (n_positive as f64 + 2.0);
        let negative = 1.0 / (n_negative as f64 + 2.0);
        let targets = has_label.iter().map(|has| if *has { positive } else { negative }).collect();
        Self { logits: logits.to_vec(), targets, n_positive }
    }
}

/// Sums over points: loss, gradient and Hessian by slope and offset.
#[derive(Default)]
struct Moments {
    loss: f64,
    gradient: [f64; 2],
    /// Second derivatives: slope slope, slope offset, offset offset.
    hessian: [f64; 3],
}

fn moments(groups: &[Points], line: Line) -> Moments {
    let mut sums = Moments::default();
    for points in groups {
        for (logit, target) in points.logits.iter().zip(&points.targets) {
            let z = line.slope * logit + line.offset;
            let exponential = (-z.abs()).exp();
            let inverse = 1.0 / (1.0 + exponential);
            let probability = if z >= 0.0 { inverse } else { exponential * inverse };
            sums.loss += z.max(0.0) + exponential.ln_1p() - target * z;
            let residual = probability - target;
            sums.gradient[0] += residual * logit;
            sums.gradient[1] += residual;
            let curvature = exponential * inverse * inverse;
            sums.hessian[0] += curvature * logit * logit;
            sums.hessian[1] += curvature * logit;
            sums.hessian[2] += curvature;
        }
    }
    sums
}

/// Newton's method with halved steps from `line`; the slope stays as it is unless `fit_slope`.
fn fit_line(groups: &[Points], fit_slope: bool, mut line: Line) -> Line {
    let n_points: usize = groups.iter().map(|points| points.logits.len()).sum();
    let mut here = moments(groups, line);
    for _ in 0..MAX_STEPS {
        let [g_slope, g_offset] = here.gradient;
        // A pinch on the diagonal keeps the system solvable when all logits are the same.
        let pinch = f64::EPSILON * (here.hessian[0] + here.hessian[2]) + f64::MIN_POSITIVE;
        let [h_ss, h_so, h_oo] = [here.hessian[0] + pinch, here.hessian[1], here.hessian[2] + pinch];
        let (d_slope, d_offset) = if fit_slope {
            let determinant = h_ss * h_oo - h_so * h_so;
            ((h_so * g_offset - h_oo * g_slope) / determinant, (h_so * g_slope - h_ss * g_offset) / determinant)
        } else {
            (0.0, -g_offset / h_oo)
        };
        let fall = -(g_slope * d_slope + g_offset * d_offset);
        if !fall.is_finite() || fall <= DECREMENT_TOLERANCE * n_points as f64 {
            break;
        }
        let mut step = 1.0;
        loop {
            let trial = Line { slope: line.slope + step * d_slope, offset: line.offset + step * d_offset };
            let there = moments(groups, trial);
            if there.loss < here.loss - 1e-4 * step * fall {
                (line, here) = (trial, there);
                break;
            }
            step /= 2.0;
            if step < MIN_STEP {
                return line;
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::RngExt;

    use super::*;
    use crate::rng::generator;

    /// Logits and labels that follow `σ(slope · z + offset)`.
    fn sample(n: usize, slope: f64, offset: f64, purpose: &str) -> (Vec<f64>, Vec<bool>) {
        let mut rng = generator(5, purpose);
        (0..n)
            .map(|_| {
                let z = rng.random_range(-4.0..4.0);
                (z, rng.random::<f64>() < sigmoid(slope * z + offset))
            })
            .unzip()
    }

    #[test]
    fn the_line_that_made_the_labels_is_found_again() {
        let (logits, has_label) = sample(40_000, 0.7, -1.2, "platt");
        let logits = Array2::from_shape_vec((40_000, 1), logits).unwrap();
        let has_label = Array2::from_shape_vec((40_000, 1), has_label).unwrap();
        let platt = Platt::fit(logits.view(), has_label.view()).unwrap();
        // Standard errors at this size: 0.008 and 0.017.
        assert!((platt.slopes()[0] - 0.7).abs() < 0.025, "{platt:?}");
        assert!((platt.offsets()[0] + 1.2).abs() < 0.05, "{platt:?}");
        // At the optimum, probabilities add up to the targets.
        let total: f64 = platt.probabilities(logits.view()).unwrap().sum();
        let n_positive = has_label.iter().filter(|has| **has).count() as f64;
        let n_negative = 40_000.0 - n_positive;
        let expected = n_positive * (n_positive + 1.0) / (n_positive + 2.0) + n_negative / (n_negative + 2.0);
        assert!((total - expected).abs() < 1e-4, "{total}, not {expected}");
    }

    #[test]
    fn rare_labels_share_a_slope_and_keep_their_offset() {
        let (logits, _) = sample(300, 1.0, 0.0, "rare");
        let logits = Array2::from_shape_fn((300, 3), |(i, j)| logits[(i + 7 * j) % 300]);
        let mut has_label = Array2::from_elem((300, 3), false);
        for (label_idx, n_positive) in [(0, 3), (1, 12)] {
            let mut order: Vec<usize> = (0..300).collect();
            order.sort_by(|&a, &b| logits[[b, label_idx]].total_cmp(&logits[[a, label_idx]]));
            order[..n_positive].iter().for_each(|&row_idx| has_label[[row_idx, label_idx]] = true);
        }
        let platt = Platt::fit(logits.view(), has_label.view()).unwrap();
        assert_eq!(platt.slopes()[0], platt.slopes()[1]);
        assert_eq!(platt.slopes()[0], platt.slopes()[2]);
        assert!(platt.slopes()[0] > 0.0);
        assert!(platt.offsets()[0] < platt.offsets()[1], "{platt:?}");
        let sums = platt.probabilities(logits.view()).unwrap().sum_axis(Axis(0));
        assert!((sums[0] - (3.0 * 4.0 / 5.0 + 297.0 / 299.0)).abs() < 1e-3, "{sums}");
    }

    #[test]
    fn odd_inputs_stay_finite() {
        let cases = [
            (array![[1.0], [1.0], [1.0]], array![[true], [false], [true]]),
            (array![[-50.0], [50.0]], array![[true], [false]]),
            (array![[0.0]], array![[true]]),
            (Array2::zeros((0, 1)), Array2::from_elem((0, 1), false)),
            (Array2::from_elem((60, 1), 2.0), Array2::from_shape_fn((60, 1), |(i, _)| i % 2 == 0)),
            (Array2::from_shape_fn((60, 1), |(i, _)| i as f64), Array2::from_shape_fn((60, 1), |(i, _)| i < 30)),
        ];
        for (logits, has_label) in cases {
            let platt = Platt::fit(logits.view(), has_label.view()).unwrap();
            Platt::new(platt.slopes().to_vec(), platt.offsets().to_vec()).unwrap();
        }
        let error = Platt::identity(2).probabilities(Array2::zeros((1, 3)).view()).unwrap_err();
        assert_eq!(error.to_string(), "the calibration is for 2 labels, found 3");
    }
}
