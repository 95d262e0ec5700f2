//! Out-of-fold logits of a logistic regression for every strength of the penalty.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::folds::Folds;
use crate::heads::logistic::ClassWeight;
use crate::heads::{Design, Products, Stopping, TrainingSet};
use crate::labels::Targets;
use crate::progress::{Event, Progress};

/// The losses of fold models are left at most about half this share above their minimum: scores of strengths then differ
/// from those at convergence by less than folds differ among each other.
const CV_TOLERANCE: f64 = 1e-3;
/// Far more than it takes at that tolerance (4 to 40).
const MAX_EVALUATIONS: usize = 500;

/// How good one strength was on rows that its models had not seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrengthScore {
    pub strength: f64,
    /// Cross-entropy per article in nats: of the soft-max (single), or summed over the sigmoids of all labels (multi).
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
        products: Products,
    ) -> TrainingSet<'a> {
        let n_rows = self.order.len();
        let rows = match without_fold {
            Some(fold_idx) => vec![0..self.bounds[fold_idx], self.bounds[fold_idx + 1]..n_rows],
            None => std::iter::once(0..n_rows).collect(),
        };
        TrainingSet { design: &self.design, rows, targets: &self.targets, n_labels, class_weight, products }
    }
}

/// Fits every fold at every strength of the ascending list `strengths`, each from the solution at the one before.
///
/// # Errors
/// [`TrainError::Interrupted`].
pub(crate) fn cross_validate(
    folded: &FoldedDesign,
    n_labels: usize,
    strengths: &[f64],
    class_weight: &ClassWeight,
    progress: &dyn Progress,
) -> Result<Vec<OutOfFold>, TrainError> {
    let n_folds = folded.bounds.len() - 1;
    let stopping = Stopping { tolerance: CV_TOLERANCE, max_evaluations: MAX_EVALUATIONS };
    // By fold, then strength: coefficients and logits of the rows held out.
    let paths: Vec<Vec<(Array2<f64>, Array2<f64>)>> = (0..n_folds)
        .into_par_iter()
        .map(|fold_idx| {
            let training = folded.training_set(Some(fold_idx), n_labels, class_weight, Products::F32);
            let mut path: Vec<(Array2<f64>, Array2<f64>)> = Vec::with_capacity(strengths.len());
            for &strength in strengths {
                let start = path.last().map(|(coefficients, _)| coefficients.view());
                let coefficients = training.fit(strength, stopping, start, &|| progress.is_cancelled())?.coefficients;
                let held_out = folded.bounds[fold_idx]..folded.bounds[fold_idx + 1];
                let logits = folded.design.logits(held_out, coefficients.view());
                path.push((coefficients, logits));
                progress.event(Event::Advanced { n_items: 1, n_tokens: 0 });
            }
            Ok(path)
        })
        .collect::<Result<_, TrainError>>()?;

    let mut results = Vec::with_capacity(strengths.len());
    let mut paths: Vec<_> = paths.into_iter().map(Vec::into_iter).collect();
    for &strength in strengths {
        let mut logits = Array2::zeros((folded.order.len(), n_labels));
        let mut mean = Array2::zeros((n_labels, folded.design.rank() + 1));
        let mut place = folded.order.iter();
        for path in &mut paths {
            let (coefficients, held_out) = path.next().expect("every fold has a model for every strength");
            mean += &coefficients;
            for (row, &row_idx) in held_out.rows().into_iter().zip(&mut place) {
                logits.row_mut(row_idx).assign(&row);
            }
        }
        mean /= n_folds as f64;
        results.push((strength, logits, mean));
    }
    let mut position = vec![0; folded.order.len()];
    folded.order.iter().enumerate().for_each(|(place, &row_idx)| position[row_idx] = place);
    let targets = folded.targets.select(&position);
    Ok(results
        .into_par_iter()
        .map(|(strength, logits, coefficients)| {
            let (log_loss, f1_micro) = score(logits.view(), &targets);
            OutOfFold { score: StrengthScore { strength, log_loss, f1_micro }, logits, coefficients }
        })
        .collect())
}

/// Log-loss and micro-F1, as [`StrengthScore`] describes them.
fn score(logits: ArrayView2<f64>, targets: &Targets) -> (f64, f64) {
    let (mut log_loss, mut n_hits, mut n_assigned, mut n_relevant) = (0.0, 0usize, 0usize, 0usize);
    for (row_idx, row) in logits.axis_iter(Axis(0)).enumerate() {
        let own = targets.row(row_idx);
        n_relevant += own.len();
        match targets {
            Targets::Single(_) => {
                let peak = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
                log_loss += row.mapv(|logit| (logit - peak).exp()).sum().ln() + peak - row[own[0].0];
                n_assigned += 1;
                n_hits += usize::from(row.iter().position(|&logit| logit == peak) == Some(own[0].0));
            }
            Targets::Multi(_) => {
                log_loss += row.iter().map(|&logit| softplus(logit)).sum::<f64>();
                log_loss -= own.iter().map(|label| row[label.0]).sum::<f64>();
                n_assigned += row.iter().filter(|logit| **logit > 0.0).count();
                n_hits += own.iter().filter(|label| row[label.0] > 0.0).count();
            }
        }
    }
    let f1_micro = 2.0 * n_hits as f64 / ((n_assigned + n_relevant) as f64).max(1.0);
    (log_loss / logits.nrows() as f64, f1_micro)
}

/// `ln(1 + exp(z))` without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
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
        let (log_loss, accuracy) = score(array![[0.0, 0.0], [100.0, 0.0]].view(), &single);
        assert!((log_loss - (ln_2 + 100.0) / 2.0).abs() < 1e-12);
        assert_eq!(accuracy, 0.5);
        // Hits 1, assigned 2, relevant 2.
        let multi = Targets::Multi(vec![vec![LabelId(0), LabelId(1)], vec![]]);
        let (log_loss, f1_micro) = score(array![[200.0, 0.0], [-200.0, 200.0]].view(), &multi);
        assert!((log_loss - (ln_2 + 200.0) / 2.0).abs() < 1e-12);
        assert_eq!(f1_micro, 0.5);
    }
}
