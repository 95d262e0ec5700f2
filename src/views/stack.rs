//! Logits of several views of an article put together.
//!
//! Each view's logits are calibrated first, so that all mean the same, a line for every label; then they are added up with one weight for each
//! view, shared by all labels (stacked generalisation: Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1; weights that are not negative:
//! Breiman 1996, doi:10.1007/BF00117832). So few numbers cannot learn the out-of-fold logits by heart.

use ndarray::{Array2, ArrayView2, Zip};

use crate::calibration::{Calibration, CalibrationError, sigmoid};
use crate::labels::Targets;

/// What a weight's distance from an equal share costs: as much as one article's loss at a distance of √2. It decides where there are few
/// articles, and two views say the same.
const PENALTY: f64 = 1.0;

/// Newton's steps; the loss is convex and nearly quadratic, five are common.
const MAX_STEPS: usize = 50;

/// Steps end at a relative change of the weights below this: their effect is then far below that of a fold.
const TOLERANCE: f64 = 1e-8;

/// How views are put together: `Σ weight · calibrated logit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    calibrations: Vec<Calibration>,
    weights: Vec<f64>,
}

impl Stack {
    /// One view as it is.
    pub fn single(calibration: Calibration) -> Self {
        Self { calibrations: vec![calibration], weights: vec![1.0] }
    }

    /// Puts a stack together from its parts, as they were saved.
    ///
    /// # Errors
    /// [`CalibrationError::Weights`]: not one weight for each view, or one that is negative or not finite.
    pub fn new(calibrations: Vec<Calibration>, weights: Vec<f64>) -> Result<Self, CalibrationError> {
        let are_usable = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0);
        if calibrations.is_empty() || weights.len() != calibrations.len() || !are_usable {
            return Err(CalibrationError::Weights { n_views: calibrations.len(), found: weights });
        }
        Ok(Self { calibrations, weights })
    }

    /// Fits calibrations and weights on out-of-fold logits. A view that would count against what it says gets weight 0.
    ///
    /// # Shapes
    /// * each of `views` `[n_articles, n_labels]`
    ///
    /// # Errors
    /// Logits that do not match the targets, or are not finite.
    ///
    /// # Panics
    /// Without views.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::labels::{LabelId, Targets};
    /// use topicwire::views::stack::Stack;
    /// let targets = Targets::Multi((0..8).map(|i| if i < 4 { vec![LabelId(0)] } else { vec![] }).collect());
    /// let knows = array![[2.0], [1.0], [1.5], [-0.5], [0.5], [-1.0], [-2.0], [-1.5]];
    /// let guesses = array![[1.0], [-1.0], [1.0], [-1.0], [1.0], [-1.0], [1.0], [-1.0]];
    /// let stack = Stack::fit(&[knows.view(), guesses.view()], &targets, 1)?;
    /// assert!(stack.weights()[0] > 2.0 * stack.weights()[1]);
    /// # Ok::<(), topicwire::calibration::CalibrationError>(())
    /// ```
    pub fn fit(views: &[ArrayView2<f64>], targets: &Targets, n_labels: usize) -> Result<Self, CalibrationError> {
        let calibrations = views
            .iter()
            .map(|logits| Calibration::fit(logits.view(), targets, n_labels))
            .collect::<Result<Vec<_>, _>>()?;
        let logits: Vec<Array2<f64>> = calibrations
            .iter()
            .zip(views)
            .map(|(calibration, logits)| calibration.logits(logits.view()))
            .collect::<Result<_, _>>()?;
        let mut used: Vec<usize> = (0..views.len()).collect();
        loop {
            let part: Vec<&Array2<f64>> = used.iter().map(|&view_idx| &logits[view_idx]).collect();
            let found = fit_weights(&part, targets);
            let worst = (0..used.len()).min_by(|&a, &b| found[a].total_cmp(&found[b])).expect("there is a view");
            if found[worst] >= 0.0 || used.len() == 1 {
                let mut weights = vec![0.0; views.len()];
                used.iter().zip(found).for_each(|(&view_idx, weight)| weights[view_idx] = weight.max(0.0));
                return Self::new(calibrations, weights);
            }
            used.remove(worst);
        }
    }

    /// Calibrations of the views, in their order.
    pub fn calibrations(&self) -> &[Calibration] {
        &self.calibrations
    }

    /// Weights of the views, in their order.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// `Σ weight · calibrated logit`, `[n_articles, n_labels]`, of every view's logits of the same shape.
    ///
    /// # Errors
    /// Logits for another number of labels.
    ///
    /// # Panics
    /// When the views are others than it was fitted for, or have different numbers of rows.
    pub fn logits(&self, views: &[ArrayView2<f64>]) -> Result<Array2<f64>, CalibrationError> {
        assert_eq!(views.len(), self.weights.len(), "a matrix of logits for each view");
        let mut sums = Array2::zeros(views[0].dim());
        for ((view, calibration), &weight) in views.iter().zip(&self.calibrations).zip(&self.weights) {
            let logits = calibration.logits(view.view())?;
            Zip::from(&mut sums).and(&logits).for_each(|sum, &logit| *sum += weight * logit);
        }
        Ok(sums)
    }
}

/// Minimises loss and penalty by Newton's method; the weights may be negative.
fn fit_weights(views: &[&Array2<f64>], targets: &Targets) -> Vec<f64> {
    let share = 1.0 / views.len() as f64;
    let mut weights = vec![share; views.len()];
    let mut here = Moments::at(&weights, views, targets, share);
    for _ in 0..MAX_STEPS {
        let step = solve(here.hessian.clone(), here.gradient.clone());
        let mut factor = 1.0;
        // The full step but where the loss is far from quadratic.
        let (next, there) = loop {
            let next: Vec<f64> = weights.iter().zip(&step).map(|(weight, step)| weight - factor * step).collect();
            let there = Moments::at(&next, views, targets, share);
            if there.loss <= here.loss || factor < TOLERANCE {
                break (next, there);
            }
            factor /= 2.0;
        };
        let change = step.iter().map(|step| (factor * step).abs()).fold(0.0, f64::max);
        (weights, here) = (next, there);
        if change < TOLERANCE {
            break;
        }
    }
    weights
}

/// Loss, and its derivatives by the weights.
struct Moments {
    loss: f64,
    gradient: Vec<f64>,
    /// `[n_views, n_views]`
    hessian: Vec<Vec<f64>>,
}

impl Moments {
    fn at(weights: &[f64], views: &[&Array2<f64>], targets: &Targets, share: f64) -> Self {
        let n_views = weights.len();
        let mut moments = Self {
            loss: weights.iter().map(|weight| PENALTY / 2.0 * (weight - share).powi(2)).sum(),
            gradient: weights.iter().map(|weight| PENALTY * (weight - share)).collect(),
            hessian: (0..n_views).map(|a| (0..n_views).map(|b| if a == b { PENALTY } else { 0.0 }).collect()).collect(),
        };
        let n_labels = views[0].ncols();
        let mut sums = vec![0.0; n_labels];
        for row_idx in 0..views[0].nrows() {
            let rows: Vec<_> = views.iter().map(|view| view.row(row_idx)).collect();
            sums.fill(0.0);
            for (row, weight) in rows.iter().zip(weights) {
                sums.iter_mut().zip(row).for_each(|(sum, logit)| *sum += weight * logit);
            }
            let own = targets.row(row_idx);
            match targets {
                Targets::Single(_) => {
                    let peak = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let total: f64 = sums.iter().map(|sum| (sum - peak).exp()).sum();
                    moments.loss += peak + total.ln() - sums[own[0].0];
                    let probabilities: Vec<f64> = sums.iter().map(|sum| (sum - peak).exp() / total).collect();
                    let means: Vec<f64> =
                        rows.iter().map(|row| row.iter().zip(&probabilities).map(|(z, p)| z * p).sum()).collect();
                    for (a, row) in rows.iter().enumerate() {
                        moments.gradient[a] += means[a] - row[own[0].0];
                        for (b, other) in rows.iter().enumerate() {
                            let products = row.iter().zip(other).zip(&probabilities);
                            let mean: f64 = products.map(|((x, y), p)| x * y * p).sum();
                            moments.hessian[a][b] += mean - means[a] * means[b];
                        }
                    }
                }
                Targets::Multi(_) => {
                    for (label_idx, &sum) in sums.iter().enumerate() {
                        let has_label = own.iter().any(|label| label.0 == label_idx);
                        let distance = if has_label { -sum } else { sum };
                        moments.loss += distance.max(0.0) + (-distance.abs()).exp().ln_1p();
                        let probability = sigmoid(sum);
                        let residual = probability - f64::from(has_label);
                        for (a, row) in rows.iter().enumerate() {
                            moments.gradient[a] += residual * row[label_idx];
                            let curved = probability * (1.0 - probability) * row[label_idx];
                            for (b, other) in rows.iter().enumerate() {
                                moments.hessian[a][b] += curved * other[label_idx];
                            }
                        }
                    }
                }
            }
        }
        moments
    }
}

/// Solves a few linear equations with a positive definite matrix, by elimination.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for i in 0..n {
        let pivot = matrix[i].clone();
        for row_idx in i + 1..n {
            let factor = matrix[row_idx][i] / pivot[i];
            matrix[row_idx].iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
            right[row_idx] -= factor * right[i];
        }
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| matrix[i][j] * right[j]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    right
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::RngExt;

    use super::*;
    use crate::labels::LabelId;
    use crate::rng::generator;

    /// Logits that know the labels up to noise of that size, and targets.
    fn views(n_rows: usize, noises: &[f64], single: bool) -> (Vec<Array2<f64>>, Targets) {
        let n_labels = 3;
        let mut rng = generator(3, "stack");
        let own: Vec<usize> = (0..n_rows).map(|_| rng.random_range(0..n_labels)).collect();
        let mut view = |noise: f64| {
            Array2::from_shape_fn((n_rows, n_labels), |(i, k)| {
                let truth = if own[i] == k { 2.0 } else { -2.0 };
                // About normal.
                let normal: f64 = (0..12).map(|_| rng.random_range(-0.5..0.5)).sum();
                truth + noise * normal
            })
        };
        let views = noises.iter().map(|&noise| view(noise)).collect();
        let labels = own.iter().map(|&own| LabelId(own));
        let targets = if single {
            Targets::Single(labels.collect())
        } else {
            Targets::Multi(labels.map(|label| vec![label]).collect())
        };
        (views, targets)
    }

    fn loss(logits: &Array2<f64>, targets: &Targets) -> f64 {
        Moments::at(&[1.0], &[logits], targets, 1.0).loss
    }

    #[test]
    fn together_is_better_than_the_best_alone_and_the_surer_counts_more() {
        for single in [false, true] {
            let (views, targets) = views(2_000, &[1.5, 3.0, 20.0], single);
            let all: Vec<_> = views.iter().map(|view| view.view()).collect();
            let stack = Stack::fit(&all, &targets, 3).unwrap();
            let alone = Stack::fit(&all[..1], &targets, 3).unwrap();
            let (with, without) = (stack.logits(&all).unwrap(), alone.logits(&all[..1]).unwrap());
            assert!(loss(&with, &targets) < 0.97 * loss(&without, &targets), "{single}: {:?}", stack.weights());
            // Calibrated views of independent noise: weight 1 each, whatever their noise.
            for weight in &stack.weights()[..2] {
                assert!((0.8..1.2).contains(weight), "{single}: {:?}", stack.weights());
            }
        }
    }

    #[test]
    fn a_view_that_misleads_is_left_out() {
        let (mut views, targets) = views(500, &[1.0, 1.0], false);
        // The second view's error is the first's, five times over: it helps only when taken off, which no view may be.
        let truth = targets.indicator(3).mapv(|has_label| if has_label { 2.0 } else { -2.0 });
        views[1] = &truth + &((&views[0] - &truth) * 5.0);
        let all: Vec<_> = views.iter().map(|view| view.view()).collect();
        let stack = Stack::fit(&all, &targets, 3).unwrap();
        // The other is fitted again, as if it had been alone.
        let alone = Stack::fit(&all[..1], &targets, 3).unwrap();
        assert_eq!(stack.weights(), [alone.weights()[0], 0.0]);
    }

    #[test]
    fn without_articles_all_views_count_the_same() {
        let nothing = Array2::zeros((0, 3));
        let stack = Stack::fit(&[nothing.view(), nothing.view()], &Targets::Multi(vec![]), 3).unwrap();
        assert_eq!(stack.weights(), [0.5, 0.5]);
    }

    #[test]
    fn weights_from_outside_are_checked() {
        let calibration = || Calibration::identity(crate::labels::Task::Multi, 2);
        for (n_views, weights) in [(0, vec![]), (2, vec![1.0]), (1, vec![-0.1]), (1, vec![f64::NAN])] {
            let calibrations = (0..n_views).map(|_| calibration()).collect();
            assert!(matches!(Stack::new(calibrations, weights), Err(CalibrationError::Weights { .. })));
        }
    }

    #[test]
    fn equations_are_solved() {
        let found = solve(vec![vec![4.0, 1.0], vec![1.0, 3.0]], vec![1.0, 2.0]);
        assert!((found[0] - 1.0 / 11.0).abs() < 1e-15 && (found[1] - 7.0 / 11.0).abs() < 1e-15);
    }
}
