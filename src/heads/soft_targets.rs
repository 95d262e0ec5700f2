//! Logistic regression on rows that have a weight each, and probabilities in place of labels.
//!
//! The loss of a row is `weight · (ln ∑ₖ exp(zₖ) − ∑ₖ tₖ zₖ)` for soft-max and `weight · (ln(1 + exp(z)) − t z)` for a sigmoid per
//! label: cross-entropy to the targets `t`, apart from their own entropy. Penalty and solver are those of [`super::logistic`].

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2};

use super::HeadError;
use super::design::Design;
use super::lbfgs::{Stopping, minimise};
use super::objective::{LinearObjectives, Products, RowLoss, Sums};
use crate::labels::Task;

/// Loss left above its minimum, as a share: few rows are solved at once, so it may be small.
const TOLERANCE: f64 = 1e-8;
const MAX_EVALUATIONS: usize = 1_000;

/// Rows to learn from.
pub(crate) struct SoftTargets<'a> {
    /// `[n_rows, hidden_size]`
    pub(crate) embeddings: ArrayView2<'a, f32>,
    /// `[n_rows, n_labels]`, 0 to 1; rows sum to 1 for soft-max.
    pub(crate) targets: ArrayView2<'a, f64>,
    /// `[n_rows]`, not negative.
    pub(crate) weights: &'a [f64],
}

impl SoftTargets<'_> {
    /// Weights `[n_labels, hidden_size]` and intercepts at inverse penalty `strength`.
    ///
    /// For soft-max every label needs some weight, or its intercept has no minimum; for sigmoids so do its two sides.
    ///
    /// # Errors
    /// [`HeadError::NonFinite`] and [`HeadError::Interrupted`]; [`HeadError::Unsolved`] where the minimum is not found.
    pub(crate) fn fit(
        &self,
        task: Task,
        strength: f64,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<(Array2<f64>, Array1<f64>), HeadError> {
        let (n_rows, n_labels) = self.targets.dim();
        let order: Vec<usize> = (0..n_rows).collect();
        let design = Design::new(self.embeddings, &order)?;
        let n_params = design.rank() + 1;
        let loss = CrossEntropy {
            task,
            targets: self.targets,
            weights: self.weights,
            total_weight: self.weights.iter().sum(),
            n_labels,
        };
        let n_problems = n_labels / loss.labels_per_problem();
        let products = Products::F64;
        let rows = std::slice::from_ref(&(0..n_rows)).to_vec();
        let objectives = LinearObjectives::new(&design, &rows, loss, n_problems, strength, products);
        let start = Array2::zeros((n_problems, n_labels / n_problems * n_params));
        let stopping = Stopping { tolerance: TOLERANCE, max_evaluations: MAX_EVALUATIONS, noise: products.noise() };
        let minimum = minimise(&objectives, start.view(), stopping, interrupted)?;
        if minimum.n_unsolved > 0 {
            let (n_unsolved, n_evaluations) = (minimum.n_unsolved, minimum.n_evaluations);
            return Err(HeadError::Unsolved { n_unsolved, n_evaluations, tolerance: TOLERANCE });
        }
        let coefficients =
            minimum.points.into_shape_with_order((n_labels, n_params)).expect("as many parameters as went in");
        Ok(design.on_embeddings(coefficients.view()))
    }
}

struct CrossEntropy<'a> {
    task: Task,
    targets: ArrayView2<'a, f64>,
    weights: &'a [f64],
    total_weight: f64,
    n_labels: usize,
}

impl RowLoss for CrossEntropy<'_> {
    fn labels_per_problem(&self) -> usize {
        match self.task {
            Task::Single => self.n_labels,
            Task::Multi => 1,
        }
    }

    fn total_weight(&self, _problem_idx: usize) -> f64 {
        self.total_weight
    }

    fn differentiate(
        &self,
        first_row: usize,
        slots: &[Option<usize>],
        mut logits: ArrayViewMut2<f64>,
        sums: &mut Sums,
    ) {
        for (offset, mut row) in logits.rows_mut().into_iter().enumerate() {
            let row_idx = first_row + offset;
            let weight = self.weights[row_idx];
            match self.task {
                Task::Single => {
                    let peak = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
                    let log_total = row.iter().map(|logit| (logit - peak).exp()).sum::<f64>().ln();
                    for (label_idx, logit) in row.iter_mut().enumerate() {
                        let target = self.targets[[row_idx, label_idx]];
                        let log_probability = *logit - peak - log_total;
                        let probability = log_probability.exp();
                        sums.losses[0] -= weight * target * log_probability;
                        sums.curvatures[label_idx] += weight * probability * (1.0 - probability);
                        *logit = weight * (probability - target);
                        sums.residuals[label_idx] += *logit;
                    }
                }
                Task::Multi => {
                    for (label_idx, slot) in slots.iter().enumerate() {
                        let Some(slot) = *slot else { continue };
                        let target = self.targets[[row_idx, label_idx]];
                        let logit = row[slot];
                        let exponential = (-logit.abs()).exp();
                        let numerator = if logit >= 0.0 { 1.0 } else { exponential };
                        let probability = numerator / (1.0 + exponential);
                        // Both terms are of one sign each, so that sure and right rows keep their small losses.
                        let missed = target * (-logit).max(0.0) + (1.0 - target) * logit.max(0.0);
                        sums.losses[slot] += weight * (missed + exponential.ln_1p());
                        sums.curvatures[slot] += weight * exponential / (1.0 + exponential).powi(2);
                        row[slot] = weight * (probability - target);
                        sums.residuals[slot] += row[slot];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::heads::logistic::LogisticSettings;
    use crate::labels::{LabelId, Targets};

    #[test]
    fn few_hard_targets_give_the_ordinary_regression() {
        let x = array![[1.0f32, 0.0, 0.2], [0.9, 0.1, -0.3], [0.0, 1.0, 0.1], [0.2, 0.9, 0.4], [0.5, 0.4, -1.0]];
        let labels = [0, 0, 1, 1, 2];
        let settings = LogisticSettings { strength: 2.0, tolerance: 1e-12, ..Default::default() };
        let sets = labels.iter().map(|&label| vec![LabelId(label)]).collect();
        for targets in [Targets::Single(labels.map(LabelId).to_vec()), Targets::Multi(sets)] {
            let expected = settings.clone().check().unwrap().fit(x.view(), &targets, 3).unwrap();
            let soft = targets.indicator(3).mapv(f64::from);
            let rows = SoftTargets { embeddings: x.view(), targets: soft.view(), weights: &[1.0; 5] };
            let (weights, _) = rows.fit(targets.task(), 2.0, &|| false).unwrap();
            for (found, expected) in weights.iter().zip(expected.weights()) {
                assert!((found - f64::from(*expected)).abs() < 1e-3, "{found}, expected {expected}");
            }
        }
    }

    #[test]
    fn few_soft_targets_are_what_constant_rows_predict() {
        // Rows without any difference: the intercept alone must reproduce the weighted mean of the targets.
        let x = Array2::<f32>::zeros((2, 2));
        let targets = array![[0.9, 0.1], [0.5, 0.5]];
        let rows = SoftTargets { embeddings: x.view(), targets: targets.view(), weights: &[3.0, 1.0] };
        let (_, single) = rows.fit(Task::Single, 1.0, &|| false).unwrap();
        assert!((single[0] - single[1] - (0.8f64 / 0.2).ln()).abs() < 1e-3, "{single}");
        let (_, multi) = rows.fit(Task::Multi, 1.0, &|| false).unwrap();
        assert!((multi[1] - (0.2f64 / 0.8).ln()).abs() < 1e-3, "{multi}");
    }
}
