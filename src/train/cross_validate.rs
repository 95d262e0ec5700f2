//! Out-of-fold logits of a logistic regression for every strength of the penalty.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::folds::Folds;
use crate::calibration::Calibration;
use crate::heads::logistic::ClassWeight;
use crate::heads::{Design, Products, Stopping, TrainingSet};
use crate::labels::{Targets, Task};
use crate::progress::{Event, Progress};

/// The losses of fold models are left at most about half this share above their minimum: scores of strengths then differ
/// from those at convergence by less than folds differ among each other.
const CV_TOLERANCE: f64 = 1e-3;
/// Far more than it takes at that tolerance (4 to 40).
const MAX_EVALUATIONS: usize = 500;

/// Enough for relative tolerances of the loss of 1e-6 and more: there, gradients are a thousand times their rounding.
pub(crate) const PRODUCTS: Products = Products::F32;

/// How good one strength was on rows that its models had not seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrengthScore {
    pub strength: f64,
    /// Cross-entropy per article in nats once the logits are calibrated: of the soft-max (single), or summed over the sigmoids
    /// of all labels (multi).
    pub log_loss: f64,
    /// Micro-averaged F1 with the best label (single, where it equals accuracy) or all with a positive logit (multi).
    pub f1_micro: f64,
}

/// What cross-validation found at one strength.
pub(crate) struct OutOfFold {
    pub(crate) score: StrengthScore,
    /// `[n_rows, n_labels]`, each row by the model that did not train on it.
    pub(crate) logits: Array2<f64>,
    /// Mean of the fold models' coefficients, a start near the optimum on all rows.
    pub(crate) coefficients: Array2<f64>,
}

/// Training rows in the order of the design: fold after fold.
pub(crate) struct FoldedDesign {
    pub(crate) design: Design,
    /// In the order of the design.
    pub(crate) targets: Targets,
    /// Row of the original data at each place of the design.
    order: Vec<usize>,
    /// First row of each fold in the design, and the end.
    bounds: Vec<usize>,
}

impl FoldedDesign {
    pub(crate) fn new(embeddings: ArrayView2<f32>, targets: &Targets, folds: &Folds) -> Result<Self, TrainError> {
        let mut order = Vec::with_capacity(targets.len());
        let mut bounds = vec![0];
        for fold_idx in 0..folds.n_folds() {
            order.extend(folds.held_out(fold_idx));
            bounds.push(order.len());
        }
        let design = Design::new(embeddings, &order)?;
        Ok(Self { design, targets: targets.select(&order), order, bounds })
    }

    /// All rows but those of one fold, or all.
    pub(crate) fn training_set<'a>(
        &'a self,
        without_fold: Option<usize>,
        n_labels: usize,
        class_weight: &'a ClassWeight,
    ) -> TrainingSet<'a> {
        let n_rows = self.order.len();
        let rows = match without_fold {
            Some(fold_idx) => vec![0..self.bounds[fold_idx], self.bounds[fold_idx + 1]..n_rows],
            None => std::iter::once(0..n_rows).collect(),
        };
        TrainingSet { design: &self.design, rows, targets: &self.targets, n_labels, class_weight, products: PRODUCTS }
    }
}

/// Fits every fold at ascending `strengths`, each from the solution at the one before, until the log-loss rises.
///
/// The log-loss has one valley over the strengths, and what lies beyond it, weak penalties, is the costliest part of the path.
/// Returns the scores of the strengths tried, and all about the best of them.
///
/// # Errors
/// [`TrainError::Interrupted`].
pub(crate) fn cross_validate(
    folded: &FoldedDesign,
    n_labels: usize,
    strengths: &[f64],
    class_weight: &ClassWeight,
    progress: &dyn Progress,
) -> Result<(Vec<StrengthScore>, OutOfFold), TrainError> {
    let n_folds = folded.bounds.len() - 1;
    let stopping = Stopping { tolerance: CV_TOLERANCE, max_evaluations: MAX_EVALUATIONS, noise: PRODUCTS.noise() };
    let mut position = vec![0; folded.order.len()];
    folded.order.iter().enumerate().for_each(|(place, &row_idx)| position[row_idx] = place);
    let targets = folded.targets.select(&position);

    let mut scores: Vec<StrengthScore> = Vec::new();
    let mut best: Option<OutOfFold> = None;
    let mut fitted: Vec<Array2<f64>> = Vec::new();
    for &strength in strengths {
        fitted = (0..n_folds)
            .into_par_iter()
            .map(|fold_idx| {
                let training = folded.training_set(Some(fold_idx), n_labels, class_weight);
                let start = fitted.get(fold_idx).map(|coefficients| coefficients.view());
                let solution = training.fit(strength, stopping, start, &|| progress.is_cancelled())?;
                progress.event(Event::Advanced { n_items: 1, n_tokens: 0 });
                Ok(solution.coefficients)
            })
            .collect::<Result<_, TrainError>>()?;
        let mut logits = Array2::zeros((folded.order.len(), n_labels));
        let mut mean = Array2::zeros((n_labels, folded.design.rank() + 1));
        for (bounds, coefficients) in folded.bounds.windows(2).zip(&fitted) {
            mean += coefficients;
            let held_out = folded.design.logits(bounds[0]..bounds[1], coefficients.view());
            for (row, &row_idx) in held_out.rows().into_iter().zip(&folded.order[bounds[0]..bounds[1]]) {
                logits.row_mut(row_idx).assign(&row);
            }
        }
        mean /= n_folds as f64;
        let probabilities = Calibration::fit(logits.view(), &targets, n_labels)?.probabilities(logits.view())?;
        let log_loss = log_loss(probabilities.view(), &targets);
        let score = StrengthScore { strength, log_loss, f1_micro: f1_micro(logits.view(), &targets) };
        scores.push(score);
        match &best {
            Some(best) if best.score.log_loss <= log_loss => break,
            _ => best = Some(OutOfFold { score, logits, coefficients: mean }),
        }
    }
    let best = best.expect("checked settings hold at least one strength");
    Ok((scores, best))
}

/// As [`StrengthScore`] describes it.
fn log_loss(probabilities: ArrayView2<f64>, targets: &Targets) -> f64 {
    let log = |probability: f64| probability.max(f64::MIN_POSITIVE).ln();
    let mut sum = 0.0;
    for (row_idx, row) in probabilities.rows().into_iter().enumerate() {
        let own = targets.row(row_idx);
        sum -= own.iter().map(|label| log(row[label.0])).sum::<f64>();
        if targets.task() == Task::Multi {
            sum -= row.iter().map(|&probability| log(1.0 - probability)).sum::<f64>();
            sum += own.iter().map(|label| log(1.0 - row[label.0])).sum::<f64>();
        }
    }
    sum / probabilities.nrows() as f64
}

/// As [`StrengthScore`] describes it.
fn f1_micro(logits: ArrayView2<f64>, targets: &Targets) -> f64 {
    let (mut n_hits, mut n_assigned, mut n_relevant) = (0usize, 0usize, 0usize);
    for (row_idx, row) in logits.rows().into_iter().enumerate() {
        let own = targets.row(row_idx);
        n_relevant += own.len();
        match targets {
            Targets::Single(_) => {
                let peak = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
                n_assigned += 1;
                n_hits += usize::from(row.iter().position(|&logit| logit == peak) == Some(own[0].0));
            }
            Targets::Multi(_) => {
                n_assigned += row.iter().filter(|logit| **logit > 0.0).count();
                n_hits += own.iter().filter(|label| row[label.0] > 0.0).count();
            }
        }
    }
    2.0 * n_hits as f64 / ((n_assigned + n_relevant) as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::labels::LabelId;

    #[test]
    fn scores_match_hand_counts() {
        let ln_2 = std::f64::consts::LN_2;
        let single = Targets::Single([0, 1].map(LabelId).to_vec());
        let logits = array![[0.0, 0.0], [100.0, 0.0]];
        assert_eq!(f1_micro(logits.view(), &single), 0.5);
        assert!((log_loss(array![[0.5, 0.5], [0.75, 0.25]].view(), &single) - 1.5 * ln_2).abs() < 1e-12);
        // Hits 1, assigned 2, relevant 2.
        let multi = Targets::Multi(vec![vec![LabelId(0), LabelId(1)], vec![]]);
        assert_eq!(f1_micro(array![[200.0, 0.0], [-200.0, 200.0]].view(), &multi), 0.5);
        assert!((log_loss(array![[0.5, 0.25], [0.5, 0.0]].view(), &multi) - 2.0 * ln_2).abs() < 1e-12);
        let impossible = log_loss(array![[0.0, 1.0], [1.0, 0.0]].view(), &multi);
        assert!(impossible.is_finite() && impossible > 100.0);
    }
}
