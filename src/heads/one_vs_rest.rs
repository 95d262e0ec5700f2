//! One-vs-rest logistic regression: a sigmoid per label, all labels solved side by side.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use super::HeadError;
use super::exponential::exponentials_of_nonpositive;
use super::lbfgs::{Minimum, Stopping, minimise};
use super::logistic::{ClassWeight, Solution, TrainingSet};
use super::objective::{LinearObjectives, RowLoss, Sums};
use crate::labels::LabelId;

/// Solves every label's regression from `start`; `labels` are those of every row of the design.
///
/// A label that no training row has, or every one, is not fitted: see [`super::logistic`].
///
/// # Errors
/// [`HeadError::Interrupted`].
pub(crate) fn fit(
    training: &TrainingSet,
    labels: &[Vec<LabelId>],
    strength: f64,
    stopping: Stopping,
    start: Option<ArrayView2<f64>>,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Solution, HeadError> {
    let n_labels = training.n_labels;
    let mut support = vec![0usize; n_labels];
    let mut n_rows = 0;
    for row_idx in training.row_indices() {
        n_rows += 1;
        labels[row_idx].iter().for_each(|label| support[label.0] += 1);
    }
    let learnable: Vec<usize> = (0..n_labels).filter(|&label_idx| (1..n_rows).contains(&support[label_idx])).collect();
    let mut problem_of_label = vec![None; n_labels];
    learnable.iter().enumerate().for_each(|(problem_idx, &label_idx)| problem_of_label[label_idx] = Some(problem_idx));
    let weights: Vec<Weights> = learnable
        .iter()
        .map(|&label_idx| {
            let (n_positive, n_negative) = (support[label_idx] as f64, (n_rows - support[label_idx]) as f64);
            let (positive, negative) = match training.class_weight {
                ClassWeight::Uniform => (1.0, 1.0),
                ClassWeight::Balanced => (n_rows as f64 / (2.0 * n_positive), n_rows as f64 / (2.0 * n_negative)),
                ClassWeight::PerLabel(weights) => (weights[label_idx], 1.0),
            };
            Weights::new([positive, negative], [n_positive, n_negative])
        })
        .collect();

    let n_params = training.design.rank() + 1;
    let mut point = match start {
        Some(start) => start.select(Axis(0), &learnable),
        None => Array2::zeros((learnable.len(), n_params)),
    };
    if start.is_none() {
        let intercepts = point.column_mut(n_params - 1);
        intercepts.into_iter().zip(&weights).for_each(|(intercept, weights)| *intercept = weights.odds.ln());
    }
    let positives =
        labels.iter().map(|labels| labels.iter().filter_map(|label| problem_of_label[label.0]).collect()).collect();
    let loss = Sigmoids { positives, weights };
    let objectives =
        LinearObjectives::new(training.design, &training.rows, loss, learnable.len(), strength, training.products);
    let minimum = minimise(&objectives, point.view(), stopping, interrupted)?;

    let mut coefficients = Array2::zeros((n_labels, n_params));
    for (label_idx, problem_idx) in problem_of_label.into_iter().enumerate() {
        match problem_idx {
            Some(problem_idx) => coefficients.row_mut(label_idx).assign(&minimum.points.row(problem_idx)),
            None => coefficients[[label_idx, n_params - 1]] = unlearnable_logit(support[label_idx], n_rows),
        }
    }
    let Minimum { n_evaluations, n_unsolved, .. } = minimum;
    Ok(Solution { coefficients, n_evaluations, n_unsolved })
}

/// The logit of a label that no row has, or every one: see [`super::logistic`].
pub(super) fn unlearnable_logit(n_positive: usize, n_rows: usize) -> f64 {
    ((n_positive as f64 + 0.5) / ((n_rows - n_positive) as f64 + 0.5)).ln()
}

/// Weights of one label's rows.
pub(super) struct Weights {
    positive: f64,
    negative: f64,
    /// Weight of all positives over that of all negatives.
    pub(super) odds: f64,
    total: f64,
}

impl Weights {
    /// From the weight of a row and the number of rows, each of positives and negatives.
    pub(super) fn new([positive, negative]: [f64; 2], [n_positive, n_negative]: [f64; 2]) -> Self {
        Self {
            positive,
            negative,
            odds: positive * n_positive / (negative * n_negative),
            total: positive * n_positive + negative * n_negative,
        }
    }
}

/// Cross-entropy of a sigmoid per label: `ln(1 + exp(−z))` for rows with the label, `ln(1 + exp(z))` for the others.
pub(super) struct Sigmoids {
    /// Problems for which a row counts as positive, by row.
    pub(super) positives: Vec<Vec<usize>>,
    pub(super) weights: Vec<Weights>,
}

impl RowLoss for Sigmoids {
    fn labels_per_problem(&self) -> usize {
        1
    }

    fn total_weight(&self, problem_idx: usize) -> f64 {
        self.weights[problem_idx].total
    }

    fn differentiate(
        &self,
        first_row: usize,
        slots: &[Option<usize>],
        mut logits: ArrayViewMut2<f64>,
        sums: &mut Sums,
    ) {
        let n_columns = logits.ncols();
        let mut negative_weights = vec![0.0; n_columns];
        for (slot, weights) in slots.iter().zip(&self.weights) {
            if let Some(slot) = *slot {
                negative_weights[slot] = weights.negative;
            }
        }
        // ∑ ln(1 + e) as the logarithm of a product: each factor is at most 2, a block has at most 256 rows, so no overflow.
        let mut products = vec![1.0f64; n_columns];
        let mut hinges = vec![0.0; n_columns];
        let mut curvatures = vec![0.0; n_columns];
        if n_columns == 0 {
            return;
        }
        let block = logits.as_slice_mut().expect("a block of rows is contiguous");
        // (row, problem, slot, logit) of the positives. As negatives, which all are taken for at first, they add exactly nothing.
        let mut positives = Vec::new();
        for (row_idx, row) in block.chunks_exact_mut(n_columns).enumerate() {
            for &problem_idx in &self.positives[first_row + row_idx] {
                if let Some(slot) = slots[problem_idx] {
                    positives.push((row_idx, problem_idx, slot, row[slot]));
                    row[slot] = f64::NEG_INFINITY;
                }
            }
        }
        let mut exponentials: Vec<f64> = block.iter().map(|logit| -logit.abs()).collect();
        exponentials_of_nonpositive(&mut exponentials);
        for (row, exponentials) in block.chunks_exact_mut(n_columns).zip(exponentials.chunks_exact(n_columns)) {
            for (column, (logit, &exponential)) in row.iter_mut().zip(exponentials).enumerate() {
                let inverse = 1.0 / (1.0 + exponential);
                hinges[column] += logit.max(0.0);
                products[column] *= 1.0 + exponential;
                curvatures[column] += exponential * inverse * inverse;
                let numerator = if *logit >= 0.0 { 1.0 } else { exponential };
                *logit = negative_weights[column] * numerator * inverse;
            }
        }
        for (row_idx, problem_idx, slot, logit) in positives {
            let weight = self.weights[problem_idx].positive;
            let exponential = (-logit.abs()).exp();
            let inverse = 1.0 / (1.0 + exponential);
            sums.losses[slot] += weight * ((-logit).max(0.0) + exponential.ln_1p());
            sums.curvatures[slot] += weight * exponential * inverse * inverse;
            block[row_idx * n_columns + slot] = -weight * inverse * if logit >= 0.0 { exponential } else { 1.0 };
        }
        for row in block.chunks_exact(n_columns) {
            sums.residuals.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        for (column, weight) in negative_weights.into_iter().enumerate() {
            sums.losses[column] += weight * (hinges[column] + products[column].ln());
            sums.curvatures[column] += weight * curvatures[column];
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn sigmoid_losses_are_exact_far_from_zero() {
        let tiny = (-100.0f64).exp();
        // (logit, has the label, loss, derivative), by hand with ln(1 + x) ≈ x; weights 3 for positives, 2 for negatives.
        let cases = [
            (100.0, true, 3.0 * tiny, -3.0 * tiny),
            (-100.0, true, 300.0, -3.0),
            (100.0, false, 200.0, 2.0),
            (-100.0, false, 0.0, 2.0 * tiny),
            (0.0, true, 3.0 * std::f64::consts::LN_2, -1.5),
            (0.0, false, 2.0 * std::f64::consts::LN_2, 1.0),
        ];
        for (logit, positive, loss, derivative) in cases {
            let sigmoids = Sigmoids {
                positives: vec![if positive { vec![0] } else { vec![] }],
                weights: vec![Weights::new([3.0, 2.0], [1.0, 1.0])],
            };
            let mut sums = Sums { losses: vec![0.0], residuals: vec![0.0], curvatures: vec![0.0] };
            let mut block = array![[logit]];
            sigmoids.differentiate(0, &[Some(0)], block.view_mut(), &mut sums);
            assert!((sums.losses[0] - loss).abs() <= 1e-14 * loss, "{logit}: loss {}", sums.losses[0]);
            let found = block[[0, 0]];
            assert!((found - derivative).abs() <= 1e-14 * derivative.abs(), "{logit}: {found}, not {derivative}");
            assert_eq!(sums.residuals[0], found);
        }
    }
}
