//! Logits for rows that the head was not fitted on, for several strengths at once.

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use super::sparse_linear::{CheckedSparseLinear, Start, check_strength, check_targets};
use super::{HeadError, SparseRows};
use crate::labels::{LabelId, Targets};

/// Newton's steps for the scale of the logits; fewer than ten suffice unless labels are told apart without a slip.
const MAX_SCALE_STEPS: usize = 50;

/// The scale is known well enough at this relative change: the loss then changes by its square.
const SCALE_TOLERANCE: f64 = 1e-4;

/// Largest factor between one trial of the scale and the next.
const MAX_SCALE_FACTOR: f64 = 10.0;

/// Out-of-fold logits at every strength.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseOutOfFold {
    /// As they were given.
    pub strengths: Vec<f64>,
    /// For each strength `[n_rows, n_labels]`.
    pub logits: Vec<Array2<f64>>,
    /// Labels that did not come within the tolerance, over all folds and strengths.
    pub n_unsolved: usize,
}

impl CheckedSparseLinear {
    /// Logits of every row by heads fitted on the rows of all other folds, at each of the strengths.
    ///
    /// A fold's label is fitted once for all strengths, from the smallest up, each from where the one before ended; the
    /// matrix is not copied. The strength of the settings is not used.
    ///
    /// # Shapes
    /// * `rows` `[n_rows, n_columns]`, `targets` and `fold_of_row` for all `n_rows`
    ///
    /// # Errors
    /// As [`CheckedSparseLinear::fit`], folds that are not one per row, and strengths that are not positive or none at
    /// all.
    ///
    /// # Example
    /// ```
    /// use topicwire::heads::{SparseRows, sparse_linear::SparseLinearSettings};
    /// use topicwire::labels::{LabelId, Targets};
    /// let rows = SparseRows::new(2, vec![0, 1, 2, 3, 4], vec![0, 1, 0, 1], vec![1.0; 4])?;
    /// let targets = Targets::Single([0, 1, 0, 1].map(LabelId).to_vec());
    /// let linear = SparseLinearSettings::default().check()?;
    /// let out_of_fold = linear.out_of_fold(&rows, &targets, 2, &[0, 0, 1, 1], &[0.1, 1.0])?;
    /// assert_eq!(out_of_fold.best(&targets), 1);
    /// let logits = &out_of_fold.logits[1];
    /// assert!(logits[[0, 0]] > 0.0 && logits[[1, 0]] < 0.0);
    /// # Ok::<(), topicwire::heads::HeadError>(())
    /// ```
    pub fn out_of_fold(
        &self,
        rows: &SparseRows,
        targets: &Targets,
        n_labels: usize,
        fold_of_row: &[usize],
        strengths: &[f64],
    ) -> Result<SparseOutOfFold, HeadError> {
        self.out_of_fold_unless(rows, targets, n_labels, fold_of_row, strengths, &|| false)
    }

    /// The same, given up with [`HeadError::Interrupted`] as soon as `interrupted` says so, asked before every label and strength.
    pub(crate) fn out_of_fold_unless(
        &self,
        rows: &SparseRows,
        targets: &Targets,
        n_labels: usize,
        fold_of_row: &[usize],
        strengths: &[f64],
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<SparseOutOfFold, HeadError> {
        check_targets(rows, &[], targets, n_labels)?;
        if fold_of_row.len() != rows.n_rows() {
            let found = format!("folds for {} rows", fold_of_row.len());
            return Err(HeadError::Setting { name: "fold_of_row", found, expected: "a fold for each row" });
        }
        strengths.iter().try_for_each(|&strength| check_strength(strength))?;
        if strengths.is_empty() {
            return Err(HeadError::Setting { name: "strengths", found: "none".into(), expected: "at least one" });
        }
        let mut upwards: Vec<usize> = (0..strengths.len()).collect();
        upwards.sort_by(|&a, &b| strengths[a].total_cmp(&strengths[b]));

        let squared_norms = rows.squared_norms();
        let mut logits = vec![Array2::zeros((rows.n_rows(), n_labels)); strengths.len()];
        let mut n_unsolved = 0;
        for fold_idx in 0..fold_of_row.iter().max().map_or(0, |last| last + 1) {
            let (held_out, training): (Vec<u32>, Vec<u32>) =
                (0..rows.n_rows() as u32).partition(|&row_idx| fold_of_row[row_idx as usize] == fold_idx);
            if held_out.is_empty() {
                continue;
            }
            let training = self.training(rows, &squared_norms, &training);
            // For each label and strength, the logits of the rows held out and whether the fit was finished.
            let by_label: Vec<Vec<(Vec<f64>, bool)>> = (0..n_labels)
                .into_par_iter()
                .map(|label_idx| match self.descent(training, targets, LabelId(label_idx)) {
                    Start::Constant(intercept) => Ok(vec![(vec![intercept; held_out.len()], true); strengths.len()]),
                    Start::Descent(mut descent) => {
                        let mut solve = |&strength_idx: &usize| {
                            if interrupted() {
                                return Err(HeadError::Interrupted);
                            }
                            descent.solve(strengths[strength_idx]);
                            let logits = held_out.iter().map(|&row_idx| descent.logit(row_idx as usize));
                            Ok((logits.collect(), descent.is_solved))
                        };
                        upwards.iter().map(&mut solve).collect()
                    }
                })
                .collect::<Result<_, _>>()?;
            for (label_idx, by_strength) in by_label.into_iter().enumerate() {
                for (&strength_idx, (found, is_solved)) in upwards.iter().zip(by_strength) {
                    let mut column = logits[strength_idx].index_axis_mut(Axis(1), label_idx);
                    held_out.iter().zip(found).for_each(|(&row_idx, logit)| column[row_idx as usize] = logit);
                    n_unsolved += usize::from(!is_solved);
                }
            }
        }
        Ok(SparseOutOfFold { strengths: strengths.to_vec(), logits, n_unsolved })
    }
}

impl SparseOutOfFold {
    /// Position of the strength whose logits tell most: the least [`scaled_log_loss`], the first of equals.
    pub fn best(&self, targets: &Targets) -> usize {
        let losses: Vec<f64> = self.logits.iter().map(|logits| scaled_log_loss(logits, targets)).collect();
        let order = |&a: &usize, &b: &usize| losses[a].total_cmp(&losses[b]);
        (0..losses.len()).min_by(order).expect("there is at least one strength")
    }
}

/// Mean of `ln(1 + exp(−y s f))` over rows and labels, at the scale `s > 0` where it is least.
///
/// The scale makes margins of a support vector machine comparable with logits, and strengths with each other. 0 without
/// rows.
///
/// # Panics
/// When the targets are fewer than the rows or have labels beyond the columns.
pub fn scaled_log_loss(logits: &Array2<f64>, targets: &Targets) -> f64 {
    if logits.is_empty() {
        return 0.0;
    }
    let n_labels = logits.ncols();
    let mut margins = logits.mapv(|logit| -logit);
    for row_idx in 0..logits.nrows() {
        targets.row(row_idx).iter().for_each(|label| margins[[row_idx, label.0]] *= -1.0);
    }
    // Loss, and its first and second derivative by the scale.
    let evaluate = |scale: f64| {
        // Rows are summed in order, whatever the threads, so that the same strength is chosen everywhere.
        let by_row: Vec<[f64; 3]> = margins
            .as_slice()
            .expect("made here in standard layout")
            .par_chunks(n_labels)
            .map(|row| {
                row.iter().fold([0.0; 3], |[loss, first, second], &margin| {
                    let distance = scale * margin;
                    let decay = (-distance.abs()).exp();
                    let wrong = if distance > 0.0 { decay / (1.0 + decay) } else { 1.0 / (1.0 + decay) };
                    let own_loss = (-distance).max(0.0) + decay.ln_1p();
                    [loss + own_loss, first - wrong * margin, second + wrong * (1.0 - wrong) * margin * margin]
                })
            })
            .collect();
        by_row.into_iter().fold([0.0; 3], |sums, row| [sums[0] + row[0], sums[1] + row[1], sums[2] + row[2]])
    };
    let (mut scale, mut best) = (1.0, f64::INFINITY);
    for _ in 0..MAX_SCALE_STEPS {
        let [loss, first, second] = evaluate(scale);
        best = best.min(loss);
        let newton = if second > 0.0 { scale - first / second } else { scale };
        let next = newton.clamp(scale / MAX_SCALE_FACTOR, scale * MAX_SCALE_FACTOR);
        if (next - scale).abs() <= SCALE_TOLERANCE * scale {
            break;
        }
        scale = next;
    }
    best / margins.len() as f64
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::SparseLoss;
    use super::super::sparse_linear::SparseLinearSettings;
    use super::*;

    /// Nine rows: the first column tells the label but for one row, the second says nothing.
    fn example() -> (SparseRows, Targets) {
        let row =
            |row_idx: usize| vec![(0, if row_idx.is_multiple_of(2) { 1.0 } else { -1.0 }), (1, row_idx as f32 / 9.0)];
        let rows = SparseRows::from_rows(2, &(0..9).map(row).collect::<Vec<_>>());
        let labels = (0..9).map(|row_idx| if row_idx % 2 == 0 && row_idx != 4 { vec![LabelId(0)] } else { vec![] });
        (rows, Targets::Multi(labels.collect()))
    }

    #[test]
    fn every_row_is_judged_by_a_head_that_did_not_see_it() {
        let (rows, targets) = example();
        let folds = [0, 1, 2, 0, 1, 2, 0, 1, 2];
        let strengths = [3.0, 0.1, 1.0];
        for loss in [SparseLoss::SquaredHinge, SparseLoss::Logistic] {
            let settings = SparseLinearSettings { loss, tolerance: 1e-9, max_epochs: 10_000, ..Default::default() };
            let linear = settings.clone().check().unwrap();
            let out_of_fold = linear.out_of_fold(&rows, &targets, 2, &folds, &strengths).unwrap();
            assert_eq!((out_of_fold.n_unsolved, &out_of_fold.strengths[..]), (0, &strengths[..]));
            for (&strength, logits) in strengths.iter().zip(&out_of_fold.logits) {
                let linear = SparseLinearSettings { strength, ..settings.clone() }.check().unwrap();
                for fold in 0..3 {
                    let training: Vec<u32> = (0..9).filter(|&row| folds[row as usize] != fold).collect();
                    let expected = linear.fit(&rows, &training, &targets, 2).unwrap().head.logits(&rows).unwrap();
                    for row_idx in (0..9).filter(|&row_idx| folds[row_idx] == fold) {
                        for label_idx in 0..2 {
                            let error = logits[[row_idx, label_idx]] - expected[[row_idx, label_idx]];
                            assert!(error.abs() < 1e-5, "{loss:?} at {strength}: row {row_idx} is off by {error}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn fits_end_when_they_are_asked_to() {
        let (rows, targets) = example();
        let linear = SparseLinearSettings::default().check().unwrap();
        let folds = [0, 1, 2, 0, 1, 2, 0, 1, 2];
        let out_of_fold = linear.out_of_fold_unless(&rows, &targets, 2, &folds, &[1.0], &|| true);
        assert_eq!(out_of_fold.unwrap_err(), HeadError::Interrupted);
        let fit = linear.fit_unless(&rows, &[0, 1, 2, 3], &targets, 2, &|| true);
        assert_eq!(fit.unwrap_err(), HeadError::Interrupted);
    }

    #[test]
    fn losses_do_not_depend_on_the_scale_and_tell_good_from_bad() {
        let targets = Targets::Single([0, 1, 0].map(LabelId).to_vec());
        let good = array![[1.0, -1.0], [-1.0, 1.0], [-0.1, 0.1]];
        let bad = array![[1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]];
        let loss = scaled_log_loss(&good, &targets);
        for factor in [1e-3, 0.1, 100.0] {
            assert!((scaled_log_loss(&(&good * factor), &targets) - loss).abs() < 1e-6);
        }
        // No positive scale helps where most are on the wrong side: the best is 0, a coin for each.
        assert!((scaled_log_loss(&bad, &targets) - std::f64::consts::LN_2).abs() < 1e-6);
        assert!(loss < 0.5, "{loss}");
        assert_eq!(scaled_log_loss(&Array2::zeros((3, 2)), &targets), std::f64::consts::LN_2);
        assert_eq!(scaled_log_loss(&Array2::zeros((0, 2)), &Targets::Single(vec![])), 0.0);
        let out_of_fold = SparseOutOfFold { strengths: vec![1.0, 2.0], logits: vec![bad, good], n_unsolved: 0 };
        assert_eq!(out_of_fold.best(&targets), 1);
    }

    #[test]
    fn folds_and_strengths_that_do_not_fit_are_named() {
        let (rows, targets) = example();
        let linear = SparseLinearSettings::default().check().unwrap();
        let message = |folds: &[usize], strengths: &[f64]| {
            linear.out_of_fold(&rows, &targets, 1, folds, strengths).unwrap_err().to_string()
        };
        assert!(message(&[0; 8], &[1.0]).starts_with("head setting `fold_of_row` is folds for 8 rows"));
        assert!(message(&[0; 9], &[]).starts_with("head setting `strengths` is none"));
        assert!(message(&[0; 9], &[1.0, -1.0]).starts_with("head setting `strength` is -1"));
    }
}
