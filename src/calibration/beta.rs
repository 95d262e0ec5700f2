//! Beta calibration: a curve per label that may be as steep below as above, or not.
//!
//! `p = σ(a · ln s − b · ln(1 − s) + c)` with `s = σ(z)` of the logit `z`, and `a, b ≥ 0`, so that it never falls. As a function of the logit,
//! `a · ln s − b · ln(1 − s) = b · softplus(z) − a · softplus(−z)`: slope `a` far below 0, `b` far above. With `a = b` it is Platt's line.
//!
//! Source: Kull, Silva Filho & Flach, *Beyond sigmoids: How to obtain well-calibrated probabilities from binary classifiers with beta calibration*
//! (2017), doi:10.1214/17-EJS1338SI. As in [`super::platt`], targets are pulled a little off 0 and 1.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::platt::{MIN_SLOPE, Platt, Points};
use super::{CalibrationError, sigmoid};

/// Labels with fewer positives, or fewer negatives, keep Platt's line.
pub const MIN_POSITIVES_FOR_CURVE: usize = 50;

/// Newton's steps; about eight are taken.
const MAX_STEPS: usize = 100;
/// Newton decrement, in units of the loss per article, that ends the search.
const DECREMENT_TOLERANCE: f64 = 1e-14;
/// Smallest share of a Newton step that is tried.
const MIN_STEP: f64 = 1e-10;

/// `ln(1 + exp(z))`, without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// One label's curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BetaCurve {
    /// `a`: its slope where logits are far below 0; not negative.
    pub below: f64,
    /// `b`: its slope where logits are far above 0; not negative.
    pub above: f64,
    /// `c`
    pub offset: f64,
}

impl BetaCurve {
    /// The calibrated logit.
    ///
    /// ```
    /// use topicwire::calibration::beta::BetaCurve;
    /// let curve = BetaCurve { below: 1.0, above: 2.0, offset: 0.5 };
    /// assert!((curve.logit(-100.0) - (-100.0 + 0.5)).abs() < 1e-12);
    /// assert!((curve.logit(100.0) - (200.0 + 0.5)).abs() < 1e-12);
    /// ```
    pub fn logit(self, z: f64) -> f64 {
        self.above * softplus(z) - self.below * softplus(-z) + self.offset
    }

    /// The curve with the smallest cross-entropy to `targets`, 0 to 1 each, on as many finite `logits`; slopes are kept from falling
    /// below 0, as the paper has it.
    ///
    /// # Errors
    /// Numbers of them that differ, and logits that are not finite.
    pub fn fit(logits: &[f64], targets: &[f64]) -> Result<Self, CalibrationError> {
        if logits.len() != targets.len() {
            return Err(CalibrationError::RowCount { n_logits: logits.len(), n_targets: targets.len() });
        }
        if let Some(row_idx) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(CalibrationError::NonFinite { row_idx, label_idx: 0, value: logits[row_idx] });
        }
        Ok(fit_curve(logits, targets))
    }

    fn from_parameters([below, above, offset]: [f64; 3]) -> Self {
        Self { below, above, offset }
    }
}

/// A curve for every label.
#[derive(Clone, Debug, PartialEq)]
pub struct Beta(Vec<BetaCurve>);

impl Beta {
    /// Curves from outside.
    ///
    /// # Errors
    /// Slopes that are negative or both 0, values that are not finite.
    pub fn new(curves: Vec<BetaCurve>) -> Result<Self, CalibrationError> {
        for (label_idx, curve) in curves.iter().enumerate() {
            if let Some(&found) = [curve.below, curve.above].iter().find(|slope| !(slope.is_finite() && **slope >= 0.0))
            {
                return Err(CalibrationError::Slope { label_idx, found });
            }
            if curve.below + curve.above == 0.0 {
                return Err(CalibrationError::Slope { label_idx, found: 0.0 });
            }
            if !curve.offset.is_finite() {
                return Err(CalibrationError::Offset { label_idx, found: curve.offset });
            }
        }
        Ok(Self(curves))
    }

    /// The curve of each label.
    pub fn curves(&self) -> &[BetaCurve] {
        &self.0
    }

    /// Fits every label on `logits` and `indicator`, both `[n_articles, n_labels]`.
    ///
    /// Labels with fewer than [`MIN_POSITIVES_FOR_CURVE`] positives or negatives, and those whose curve would hardly rise, get the line of
    /// [`Platt::fit`].
    ///
    /// # Errors
    /// Shapes that differ, and logits that are not finite.
    pub fn fit(logits: ArrayView2<f64>, indicator: ArrayView2<bool>) -> Result<Self, CalibrationError> {
        let lines = Platt::fit(logits, indicator)?;
        let curves = logits
            .axis_iter(Axis(1))
            .into_par_iter()
            .zip(indicator.axis_iter(Axis(1)))
            .enumerate()
            .map(|(label_idx, (logits, has_label))| {
                let points = Points::new(logits, has_label);
                let n_rarer = points.n_positive.min(points.logits.len() - points.n_positive);
                let curve = (n_rarer >= MIN_POSITIVES_FOR_CURVE).then(|| fit_curve(&points.logits, &points.targets));
                let slope = lines.slopes()[label_idx];
                let line = BetaCurve { below: slope, above: slope, offset: lines.offsets()[label_idx] };
                curve.filter(|curve| curve.below + curve.above >= 2.0 * MIN_SLOPE).unwrap_or(line)
            })
            .collect();
        Self::new(curves)
    }

    /// Calibrated logits, same shape as `logits`.
    ///
    /// # Errors
    /// [`CalibrationError::NLabels`].
    pub(super) fn logits(&self, logits: ArrayView2<f64>) -> Result<Array2<f64>, CalibrationError> {
        if logits.ncols() != self.0.len() {
            let (expected, found) = (self.0.len(), logits.ncols());
            return Err(CalibrationError::NLabels { what: "the calibration", expected, found });
        }
        Ok(Array2::from_shape_fn(logits.dim(), |place| self.0[place.1].logit(logits[place])))
    }
}

/// The best of all curves whose slopes are not negative. The loss is convex, so it is the best of some set of free slopes with the others at 0.
fn fit_curve(logits: &[f64], targets: &[f64]) -> BetaCurve {
    let features: Vec<[f64; 3]> = logits.iter().map(|&z| [-softplus(-z), softplus(z), 1.0]).collect();
    let fit = |free: &[usize]| minimise(&features, targets, free);
    let (both, _) = fit(&[0, 1, 2]);
    if both[0] >= 0.0 && both[1] >= 0.0 {
        return BetaCurve::from_parameters(both);
    }
    let candidates = [fit(&[0, 2]), fit(&[1, 2]), fit(&[2])];
    let feasible = candidates.into_iter().filter(|(found, _)| found[0] >= 0.0 && found[1] >= 0.0);
    let best = feasible.min_by(|a, b| a.1.total_cmp(&b.1)).expect("a constant has no negative slope");
    BetaCurve::from_parameters(best.0)
}

/// Loss, gradient and Hessian.
struct Moments {
    loss: f64,
    gradient: [f64; 3],
    hessian: [[f64; 3]; 3],
}

fn moments(features: &[[f64; 3]], targets: &[f64], parameters: [f64; 3]) -> Moments {
    let mut sums = Moments { loss: 0.0, gradient: [0.0; 3], hessian: [[0.0; 3]; 3] };
    for (features, target) in features.iter().zip(targets) {
        let z: f64 = features.iter().zip(parameters).map(|(x, parameter)| x * parameter).sum();
        let probability = sigmoid(z);
        sums.loss += softplus(z) - target * z;
        let curvature = probability * sigmoid(-z);
        for i in 0..3 {
            sums.gradient[i] += (probability - target) * features[i];
            for j in 0..=i {
                sums.hessian[i][j] += curvature * features[i] * features[j];
            }
        }
    }
    sums
}

/// Newton's method with halved steps over the `free` parameters from slopes of 1, or 0 where they are not free; also the loss.
fn minimise(features: &[[f64; 3]], targets: &[f64], free: &[usize]) -> ([f64; 3], f64) {
    let slope = |place: usize| f64::from(u8::from(free.contains(&place)));
    let mut parameters = [slope(0), slope(1), 0.0];
    let mut here = moments(features, targets, parameters);
    for _ in 0..MAX_STEPS {
        let Some(step) = newton_step(&here, free) else { break };
        let fall: f64 = free.iter().map(|&i| here.gradient[i] * step[i]).sum();
        if !fall.is_finite() || fall <= DECREMENT_TOLERANCE * features.len() as f64 {
            break;
        }
        let mut share = 1.0;
        loop {
            let trial = std::array::from_fn(|i| parameters[i] - share * step[i]);
            let there = moments(features, targets, trial);
            if there.loss < here.loss - 1e-4 * share * fall {
                (parameters, here) = (trial, there);
                break;
            }
            share /= 2.0;
            if share < MIN_STEP {
                return (parameters, here.loss);
            }
        }
    }
    (parameters, here.loss)
}

/// `H⁻¹ g` over the free parameters by Cholesky's decomposition, 0 for the others; none where `H` is not positive definite.
fn newton_step(moments: &Moments, free: &[usize]) -> Option<[f64; 3]> {
    // A pinch on the diagonal keeps the system solvable when all logits are the same.
    let pinch = f64::EPSILON * free.iter().map(|&i| moments.hessian[i][i]).sum::<f64>() + f64::MIN_POSITIVE;
    let mut factor = [[0.0; 3]; 3];
    let mut forward = [0.0; 3];
    for (row, &i) in free.iter().enumerate() {
        for (column, &j) in free[..=row].iter().enumerate() {
            let known: f64 = (0..column).map(|k| factor[row][k] * factor[column][k]).sum();
            let left = moments.hessian[i][j] - known + if row == column { pinch } else { 0.0 };
            factor[row][column] = if row == column { left.sqrt() } else { left / factor[column][column] };
        }
        let known: f64 = (0..row).map(|k| factor[row][k] * forward[k]).sum();
        forward[row] = (moments.gradient[i] - known) / factor[row][row];
    }
    let mut step = [0.0; 3];
    for row in (0..free.len()).rev() {
        let known: f64 = (row + 1..free.len()).map(|k| factor[k][row] * step[free[k]]).sum();
        step[free[row]] = (forward[row] - known) / factor[row][row];
    }
    step.iter().all(|value| value.is_finite()).then_some(step)
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::RngExt;

    use super::*;
    use crate::rng::generator;

    #[test]
    fn the_curve_that_made_the_labels_is_found_again() {
        let truth = BetaCurve { below: 0.4, above: 1.5, offset: -0.5 };
        let mut rng = generator(5, "beta");
        let logits = Array2::from_shape_simple_fn((60_000, 1), || rng.random_range(-5.0..5.0));
        let has_label = logits.mapv(|z: f64| rng.random::<f64>() < sigmoid(truth.logit(z)));
        let found = Beta::fit(logits.view(), has_label.view()).unwrap().curves()[0];
        // Standard errors at this size: 0.012, 0.03 and 0.03.
        assert!((found.below - 0.4).abs() < 0.04, "{found:?}");
        assert!((found.above - 1.5).abs() < 0.1, "{found:?}");
        assert!((found.offset + 0.5).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn slopes_are_kept_from_falling() {
        // Frequent in the middle, rare above: without the bound `above` would be negative.
        let logits: Vec<f64> = (0..300).map(|i| f64::from(i) / 30.0 - 5.0).collect();
        let targets: Vec<f64> = logits.iter().map(|z| if (-2.0..1.0).contains(z) { 0.9 } else { 0.1 }).collect();
        let curve = BetaCurve::fit(&logits, &targets).unwrap();
        assert!(curve.above == 0.0 && curve.below > 0.0, "{curve:?}");
        // Frequent below only: no curve that never falls is better than a constant.
        let targets: Vec<f64> = logits.iter().map(|z| if *z < 0.0 { 0.9 } else { 0.1 }).collect();
        let curve = BetaCurve::fit(&logits, &targets).unwrap();
        assert_eq!((curve.below, curve.above), (0.0, 0.0));
        assert!(curve.offset.abs() < 1e-6, "{curve:?}");
    }

    #[test]
    fn rare_and_reversed_labels_keep_the_line() {
        let logits = Array2::from_shape_fn((300, 2), |(i, _)| i as f64 / 30.0 - 5.0);
        let has_label = Array2::from_shape_fn((300, 2), |(i, k)| if k == 0 { i > 270 } else { i < 150 });
        let beta = Beta::fit(logits.view(), has_label.view()).unwrap();
        let lines = Platt::fit(logits.view(), has_label.view()).unwrap();
        for (curve, (&slope, &offset)) in beta.curves().iter().zip(lines.slopes().iter().zip(lines.offsets())) {
            assert_eq!(*curve, BetaCurve { below: slope, above: slope, offset });
        }
    }

    #[test]
    fn awkward_inputs_stay_finite_and_curves_from_outside_are_checked() {
        for (logits, targets) in [
            (vec![1.0; 4], vec![1.0, 0.0, 1.0, 0.0]),
            (vec![-100.0, 100.0], vec![0.1, 0.9]),
            (vec![0.0], vec![0.5]),
            (vec![], vec![]),
        ] {
            let curve = BetaCurve::fit(&logits, &targets).unwrap();
            assert!([curve.below, curve.above, curve.offset].iter().all(|value| value.is_finite()), "{curve:?}");
        }
        assert!(matches!(BetaCurve::fit(&[f64::NAN], &[1.0]), Err(CalibrationError::NonFinite { .. })));
        assert!(matches!(BetaCurve::fit(&[1.0], &[]), Err(CalibrationError::RowCount { .. })));
        let curve = BetaCurve { below: 1.0, above: 0.0, offset: 0.0 };
        let beta = Beta::new(vec![curve]).unwrap();
        assert_eq!(beta.logits(array![[0.0]].view()).unwrap(), array![[-std::f64::consts::LN_2]]);
        assert!(matches!(beta.logits(Array2::zeros((1, 2)).view()), Err(CalibrationError::NLabels { .. })));
        for (curve, expected) in [
            (BetaCurve { below: -1.0, ..curve }, "slope -1 of label number 0"),
            (BetaCurve { below: 0.0, ..curve }, "slope 0 of label number 0"),
            (BetaCurve { above: f64::INFINITY, ..curve }, "slope inf of label number 0"),
            (BetaCurve { offset: f64::NAN, ..curve }, "offset NaN of label number 0"),
        ] {
            let message = Beta::new(vec![curve]).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
