//! Linear classifiers on sparse rows, one label against the rest.
//!
//! # Objective
//! For each label by itself, with `y` = +1 for rows that have it and −1 for all others: `strength · ∑ᵢ lossᵢ + ½ ‖w‖² +
//! ½ v²`, intercept `intercept_scale · v`. As in liblinear the intercept is the weight of one more, constant feature
//! and is drawn to 0 with the others, the less the larger its scale. This is scikit-learn's `LinearSVC` and
//! `LogisticRegression(solver="liblinear")` with `C = strength` and `intercept_scaling = intercept_scale`. See `dual`
//! for how it is solved.
//!
//! A label that no training row has, or every one, gets weights 0 and the intercept `ln((n₊ + ½) / (n₋ + ½))`.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::dual::{Descent, Stop, Training};
use super::{HeadError, SparseLoss, SparseRows};
use crate::labels::{LabelId, Targets, Task};
use crate::rng::generator;

/// Strength beyond which the penalty is nothing beside rounding.
const MAX_STRENGTH: f64 = 1e9;

/// Scale of the constant feature beyond which the intercept is as good as free, and slower to find the larger it is.
const MAX_INTERCEPT_SCALE: f64 = 1e6;

/// Settings of a linear head on sparse rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SparseLinearSettings {
    pub loss: SparseLoss,
    /// Inverse of the penalty, liblinear's `C`; positive.
    pub strength: f64,
    /// Value of the constant feature; 0 for no intercept.
    pub intercept_scale: f64,
    /// Largest violation of optimality that is left, as a difference in the logit; positive.
    pub tolerance: f64,
    /// Passes over the rows after which a label is left as it is; at least 1.
    pub max_epochs: usize,
    /// Decides the order in which rows are visited.
    pub seed: u64,
}

impl Default for SparseLinearSettings {
    fn default() -> Self {
        Self {
            loss: SparseLoss::default(),
            strength: 1.0,
            intercept_scale: 1.0,
            tolerance: 0.1,
            max_epochs: 1_000,
            seed: 0,
        }
    }
}

/// Settings that have been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedSparseLinear {
    pub(super) settings: SparseLinearSettings,
}

impl SparseLinearSettings {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`HeadError::Setting`].
    pub fn check(self) -> Result<CheckedSparseLinear, HeadError> {
        check_strength(self.strength)?;
        if !(0.0..=MAX_INTERCEPT_SCALE).contains(&self.intercept_scale) {
            let found = self.intercept_scale.to_string();
            return Err(HeadError::Setting { name: "intercept_scale", found, expected: "0 to 1e6" });
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            let found = self.tolerance.to_string();
            return Err(HeadError::Setting { name: "tolerance", found, expected: "a number between 0 and 1" });
        }
        if self.max_epochs == 0 {
            return Err(HeadError::Setting { name: "max_epochs", found: "0".into(), expected: "at least 1" });
        }
        Ok(CheckedSparseLinear { settings: self })
    }
}

pub(super) fn check_strength(strength: f64) -> Result<(), HeadError> {
    if strength > 0.0 && strength <= MAX_STRENGTH {
        return Ok(());
    }
    Err(HeadError::Setting { name: "strength", found: strength.to_string(), expected: "above 0, at most 1e9" })
}

/// A head and how its fit went.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseFit {
    pub head: SparseLinearHead,
    /// Passes over the rows, of the label that took most.
    pub n_epochs: usize,
    /// Labels that did not come within the tolerance.
    pub n_unsolved: usize,
}

impl CheckedSparseLinear {
    /// Fits a head on some of the rows, in any order; labels in parallel, with the same result on any number of
    /// threads.
    ///
    /// # Shapes
    /// * `rows` `[n_rows, n_columns]`, `targets` for all `n_rows`
    /// * `row_indices` at most `n_rows`; none at all gives intercepts 0
    ///
    /// # Errors
    /// Targets that do not match rows or labels, row indices out of range, and more labels than a `u16` counts.
    ///
    /// # Example
    /// ```
    /// use topicwire::heads::{SparseRows, sparse_linear::SparseLinearSettings};
    /// use topicwire::labels::{LabelId, Targets};
    /// let rows = SparseRows::new(2, vec![0, 1, 2, 2], vec![0, 1], vec![1.0, 1.0])?;
    /// let targets = Targets::Multi(vec![vec![LabelId(0)], vec![], vec![]]);
    /// let fit = SparseLinearSettings::default().check()?.fit(&rows, &[0, 1, 2], &targets, 1)?;
    /// let logits = fit.head.logits(&rows)?;
    /// assert!(logits[[0, 0]] > logits[[2, 0]] && logits[[2, 0]] > logits[[1, 0]]);
    /// # Ok::<(), topicwire::heads::HeadError>(())
    /// ```
    pub fn fit(
        &self,
        rows: &SparseRows,
        row_indices: &[u32],
        targets: &Targets,
        n_labels: usize,
    ) -> Result<SparseFit, HeadError> {
        self.fit_unless(rows, row_indices, targets, n_labels, &|| false)
    }

    /// The same, given up with [`HeadError::Interrupted`] as soon as `interrupted` says so, asked before every label.
    pub(crate) fn fit_unless(
        &self,
        rows: &SparseRows,
        row_indices: &[u32],
        targets: &Targets,
        n_labels: usize,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<SparseFit, HeadError> {
        check_targets(rows, row_indices, targets, n_labels)?;
        let squared_norms = rows.squared_norms();
        let training = self.training(rows, &squared_norms, row_indices);
        let labels: Vec<LabelFit> = (0..n_labels)
            .into_par_iter()
            .map(|label_idx| {
                if interrupted() {
                    return Err(HeadError::Interrupted);
                }
                let mut fit = LabelFit { weights: Vec::new(), intercept: 0.0, n_epochs: 0, is_solved: true };
                match self.descent(training, targets, LabelId(label_idx)) {
                    Start::Constant(intercept) => fit.intercept = intercept as f32,
                    Start::Descent(mut descent) => {
                        descent.solve(self.settings.strength);
                        let weights = (0..).zip(&descent.weights);
                        fit.weights = weights
                            .map(|(column, &weight)| (column, weight as f32))
                            .filter(|entry| entry.1 != 0.0)
                            .collect();
                        fit.intercept = descent.intercept() as f32;
                        fit.n_epochs = descent.n_epochs;
                        fit.is_solved = descent.is_solved;
                    }
                }
                Ok(fit)
            })
            .collect::<Result<_, _>>()?;
        let intercepts = labels.iter().map(|label| label.intercept).collect();
        let n_epochs = labels.iter().map(|label| label.n_epochs).max().unwrap_or(0);
        let n_unsolved = labels.iter().filter(|label| !label.is_solved).count();
        let by_label: Vec<Vec<(u32, f32)>> = labels.into_iter().map(|label| label.weights).collect();
        let weights = SparseRows::from_rows(rows.n_columns(), &by_label).transpose();
        let head = SparseLinearHead::new(targets.task(), weights, intercepts)?;
        Ok(SparseFit { head, n_epochs, n_unsolved })
    }

    pub(super) fn training<'a>(
        &self,
        rows: &'a SparseRows,
        squared_norms: &'a [f64],
        row_indices: &'a [u32],
    ) -> Training<'a> {
        let SparseLinearSettings { loss, intercept_scale, tolerance, max_epochs, .. } = self.settings;
        let stop = Stop { tolerance, max_epochs };
        Training { rows, squared_norms, row_indices, intercept_scale, loss, stop }
    }

    /// Where the fit of a label starts, or ends if there is nothing to tell apart.
    pub(super) fn descent<'a>(&self, training: Training<'a>, targets: &Targets, label: LabelId) -> Start<'a> {
        let has_label = |&row_idx: &u32| targets.row(row_idx as usize).contains(&label);
        let is_positive: Vec<bool> = training.row_indices.iter().map(has_label).collect();
        let n_positive = is_positive.iter().filter(|&&positive| positive).count();
        let n_negative = is_positive.len() - n_positive;
        if n_positive == 0 || n_negative == 0 {
            return Start::Constant(((n_positive as f64 + 0.5) / (n_negative as f64 + 0.5)).ln());
        }
        let rng = generator(self.settings.seed, &format!("rows of a sparse head, label {}", label.0));
        Start::Descent(Box::new(Descent::new(training, &is_positive, rng)))
    }
}

struct LabelFit {
    weights: Vec<(u32, f32)>,
    intercept: f32,
    n_epochs: usize,
    is_solved: bool,
}

pub(super) enum Start<'a> {
    /// The intercept of a label that cannot be learned.
    Constant(f64),
    Descent(Box<Descent<'a>>),
}

/// Whether targets fit the rows and the labels, and the chosen rows exist.
pub(super) fn check_targets(
    rows: &SparseRows,
    row_indices: &[u32],
    targets: &Targets,
    n_labels: usize,
) -> Result<(), HeadError> {
    let n_rows = rows.n_rows();
    if n_rows != targets.len() {
        return Err(HeadError::RowCount { n_embeddings: n_rows, n_targets: targets.len() });
    }
    if n_labels == 0 || n_labels > usize::from(u16::MAX) {
        let found = n_labels.to_string();
        return Err(HeadError::Setting { name: "n_labels", found, expected: "1 to 65535" });
    }
    for row_idx in 0..n_rows {
        if let Some(&LabelId(label_idx)) = targets.row(row_idx).iter().find(|label| label.0 >= n_labels) {
            return Err(HeadError::LabelOutOfRange { row_idx, label_idx, n_labels });
        }
    }
    match row_indices.iter().find(|&&row_idx| row_idx as usize >= n_rows) {
        Some(&row_idx) => Err(HeadError::RowOutOfRange { row_idx: row_idx as usize, n_rows }),
        None => Ok(()),
    }
}

/// Logits as a linear function of a sparse row: `logits = x · weights + intercepts`.
///
/// Weights are kept by column, without those that are 0, so that a head pruned for many labels is small; products and
/// sums are f64. A row without entries has the intercepts as its logits.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseLinearHead {
    task: Task,
    weights: SparseRows,
    intercepts: Array1<f32>,
}

impl SparseLinearHead {
    /// Puts a head together from its parameters, `weights` `[n_columns, n_labels]` and `intercepts` `[n_labels]`.
    ///
    /// # Errors
    /// Shapes that do not agree, no label at all, and intercepts that are not finite.
    pub fn new(task: Task, weights: SparseRows, intercepts: Array1<f32>) -> Result<Self, HeadError> {
        if intercepts.is_empty() || weights.n_columns() != intercepts.len() {
            let n_intercepts = intercepts.len();
            return Err(HeadError::Shape { weights: [weights.n_rows(), weights.n_columns()], n_intercepts });
        }
        if let Some(label_idx) = intercepts.iter().position(|value| !value.is_finite()) {
            let value = intercepts[label_idx];
            return Err(HeadError::NonFiniteParameter { tensor: "intercepts", label_idx, value });
        }
        Ok(Self { task, weights, intercepts })
    }

    /// Which kind of task the logits are for.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Number of columns it takes.
    pub fn n_columns(&self) -> usize {
        self.weights.n_rows()
    }

    /// Number of logits it gives.
    pub fn n_labels(&self) -> usize {
        self.intercepts.len()
    }

    /// `[n_columns, n_labels]`
    pub fn weights(&self) -> &SparseRows {
        &self.weights
    }

    /// `[n_labels]`
    pub fn intercepts(&self) -> ArrayView1<'_, f32> {
        self.intercepts.view()
    }

    /// Logits before any calibration; how far on the label's side of the border, for single targets too.
    ///
    /// # Shapes
    /// * `rows` `[n_rows, n_columns]`
    /// * returns `[n_rows, n_labels]`
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`] when the rows have another width.
    pub fn logits(&self, rows: &SparseRows) -> Result<Array2<f64>, HeadError> {
        if rows.n_columns() != self.n_columns() {
            return Err(HeadError::HiddenSize { expected: self.n_columns(), found: rows.n_columns() });
        }
        let intercepts = self.intercepts.mapv(f64::from);
        let mut logits = Array2::zeros((rows.n_rows(), self.n_labels()));
        logits.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(row_idx, mut logits)| {
            logits.assign(&intercepts);
            let (columns, values) = rows.row(row_idx);
            for (&column, &value) in columns.iter().zip(values) {
                let (labels, weights) = self.weights.row(column as usize);
                for (&label, &weight) in labels.iter().zip(weights) {
                    logits[label as usize] += f64::from(value) * f64::from(weight);
                }
            }
        });
        Ok(logits)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    fn rows(texts: &[Vec<(u32, f32)>]) -> SparseRows {
        SparseRows::from_rows(6, texts)
    }

    fn settings(loss: SparseLoss, tolerance: f64) -> CheckedSparseLinear {
        SparseLinearSettings { loss, tolerance, max_epochs: 10_000, ..Default::default() }.check().unwrap()
    }

    #[test]
    fn labels_that_cannot_be_learned_get_the_intercept_of_their_count() {
        let rows = rows(&[vec![(0, 1.0)], vec![(1, 1.0)], vec![(2, 1.0)]]);
        let targets = Targets::Multi(vec![vec![LabelId(0), LabelId(1)], vec![LabelId(0)], vec![LabelId(0)]]);
        for loss in [SparseLoss::SquaredHinge, SparseLoss::Logistic] {
            let head = settings(loss, 0.1).fit(&rows, &[0, 1, 2], &targets, 3).unwrap().head;
            let intercepts = head.intercepts();
            assert!((intercepts[0] - 7f32.ln()).abs() < 1e-6 && (intercepts[2] + 7f32.ln()).abs() < 1e-6);
            assert!(head.weights().indices().iter().all(|&label| label == 1));
            // Without rows there is nothing to say either way.
            let head = settings(loss, 0.1).fit(&rows, &[], &targets, 3).unwrap().head;
            assert_eq!((head.intercepts(), head.weights().n_entries()), (array![0.0, 0.0, 0.0].view(), 0));
        }
    }

    #[test]
    fn two_rows_are_solved_by_hand() {
        // x = ±1 with y = ±1 and no intercept: w = α₁ + α₂, and by symmetry α = w / 2.
        let rows = rows(&[vec![(0, 1.0)], vec![(0, -1.0)]]);
        let targets = Targets::Multi(vec![vec![LabelId(0)], vec![]]);
        let fit = |loss, strength| {
            let base = SparseLinearSettings { loss, strength, intercept_scale: 0.0, ..Default::default() };
            let settings = SparseLinearSettings { tolerance: 1e-12, max_epochs: 10_000, ..base };
            let head = settings.check().unwrap().fit(&rows, &[0, 1], &targets, 1).unwrap().head;
            assert_eq!(head.intercepts()[0], 0.0);
            f64::from(head.weights().values()[0])
        };
        // ½ w² + 2 C (1 − w)² is least at w = 4 C / (1 + 4 C).
        assert!((fit(SparseLoss::SquaredHinge, 0.5) - 2.0 / 3.0).abs() < 1e-7);
        // ½ w² + 2 C ln(1 + exp(−w)) is least at w = 2 C / (1 + exp(w)); C = (1 + e) / 2 makes that w = 1.
        assert!((fit(SparseLoss::Logistic, (1.0 + 1f64.exp()) / 2.0) - 1.0).abs() < 1e-7);
    }

    #[test]
    fn rows_left_out_do_not_count() {
        let all = rows(&[vec![(0, 1.0)], vec![(1, 0.5), (3, 0.5)], vec![(0, 0.3)], vec![(2, 9.0)]]);
        let some = rows(&[vec![(0, 1.0)], vec![(1, 0.5), (3, 0.5)], vec![(0, 0.3)]]);
        let labels = [0, 1, 0, 1].map(LabelId);
        for loss in [SparseLoss::SquaredHinge, SparseLoss::Logistic] {
            let linear = settings(loss, 0.01);
            let left_out = linear.fit(&all, &[0, 1, 2], &Targets::Single(labels.to_vec()), 2).unwrap();
            let missing = linear.fit(&some, &[0, 1, 2], &Targets::Single(labels[..3].to_vec()), 2).unwrap();
            assert_eq!(left_out, missing);
        }
    }

    #[test]
    fn extreme_rows_and_settings_stay_finite() {
        let huge = rows(&[vec![(0, 1e18)], vec![(0, -1e18), (1, 1e-30)], vec![], vec![(1, -1e18)]]);
        let targets = Targets::Multi(vec![vec![LabelId(0)], vec![], vec![LabelId(0)], vec![]]);
        for loss in [SparseLoss::SquaredHinge, SparseLoss::Logistic] {
            for (strength, intercept_scale) in [(1e9, 0.0), (1e9, 1e6), (1e-9, 1.0)] {
                let settings =
                    SparseLinearSettings { loss, strength, intercept_scale, max_epochs: 50, ..Default::default() };
                let head = settings.check().unwrap().fit(&huge, &[0, 1, 2, 3], &targets, 1).unwrap().head;
                assert!(head.logits(&huge).unwrap().iter().all(|logit| logit.is_finite()), "{loss:?} at {strength}");
            }
        }
    }

    #[test]
    fn what_cannot_be_fitted_or_read_is_named() {
        let rows = rows(&[vec![(0, 1.0)], vec![]]);
        let linear = settings(SparseLoss::SquaredHinge, 0.1);
        let fit = |row_indices: &[u32], labels: &[usize], n_labels| {
            let targets = Targets::Single(labels.iter().copied().map(LabelId).collect());
            linear.fit(&rows, row_indices, &targets, n_labels).unwrap_err().to_string()
        };
        assert_eq!(fit(&[0], &[0], 1), "cannot fit a head: 2 embeddings but labels for 1 articles");
        assert_eq!(fit(&[0], &[0, 2], 2), "article 1 has label number 2, but there are 2 labels");
        assert_eq!(fit(&[0, 2], &[0, 1], 2), "cannot fit a head on row 2: there are 2 rows");
        assert_eq!(fit(&[0], &[0, 1], 0), "head setting `n_labels` is 0, expected 1 to 65535");
        let base = SparseLinearSettings::default;
        let cases = [
            (SparseLinearSettings { strength: 0.0, ..base() }, "strength` is 0, expected above 0"),
            (SparseLinearSettings { strength: f64::NAN, ..base() }, "strength` is NaN"),
            (SparseLinearSettings { intercept_scale: -1.0, ..base() }, "intercept_scale` is -1"),
            (SparseLinearSettings { intercept_scale: f64::NAN, ..base() }, "intercept_scale` is NaN"),
            (SparseLinearSettings { tolerance: 1.0, ..base() }, "tolerance` is 1"),
            (SparseLinearSettings { max_epochs: 0, ..base() }, "max_epochs` is 0"),
        ];
        for (settings, expected) in cases {
            let message = settings.check().unwrap_err().to_string();
            assert!(message.starts_with(&format!("head setting `{expected}")), "{message}");
        }
        let new = |n_intercepts, value| {
            let weights = SparseRows::from_rows(2, &[vec![(0, 1.0)]]);
            SparseLinearHead::new(Task::Multi, weights, Array1::from_elem(n_intercepts, value)).unwrap_err().to_string()
        };
        assert!(new(1, 0.0).starts_with("a linear head with weights [1, 2] needs as many intercepts"));
        assert_eq!(new(2, f32::NAN), "intercepts of the head hold NaN for label number 0; all values must be finite");
        let head = SparseLinearHead::new(Task::Multi, SparseRows::from_rows(1, &[vec![]]), array![0.5]).unwrap();
        assert_eq!(head.logits(&rows).unwrap_err(), HeadError::HiddenSize { expected: 1, found: 6 });
        assert_eq!(head.logits(&SparseRows::from_rows(1, &[vec![]])).unwrap(), array![[0.5]]);
    }

    /// Rows of up to six columns, each with the set of its labels as bits.
    fn labelled_rows() -> impl Strategy<Value = Vec<(Vec<f32>, u8)>> {
        proptest::collection::vec((proptest::collection::vec(-1f32..1.0, 6), 0u8..8), 4..20)
    }

    fn split(labelled: &[(Vec<f32>, u8)]) -> (SparseRows, Targets) {
        let entries = labelled.iter().map(|(row, _)| (0..).zip(row.iter().copied()).collect()).collect::<Vec<_>>();
        let bits = labelled.iter().map(|(_, bits)| (0..3).filter(|bit| bits >> bit & 1 == 1).map(LabelId).collect());
        (rows(&entries), Targets::Multi(bits.collect()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn order_and_threads_change_nothing(labelled in labelled_rows(), n_turned in 0usize..20) {
            let (rows, targets) = split(&labelled);
            let mut turned = labelled.clone();
            turned.rotate_left(n_turned % labelled.len());
            let (turned_rows, turned_targets) = split(&turned);
            let row_indices: Vec<u32> = (0..labelled.len() as u32).collect();
            let on_three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            for loss in [SparseLoss::SquaredHinge, SparseLoss::Logistic] {
                let linear = settings(loss, 1e-8);
                let fit = linear.fit(&rows, &row_indices, &targets, 3).unwrap();
                let again = on_three.install(|| linear.fit(&rows, &row_indices, &targets, 3)).unwrap();
                prop_assert_eq!(&fit, &again);
                // Another order of descent ends within the tolerance.
                let other = linear.fit(&turned_rows, &row_indices, &turned_targets, 3).unwrap();
                let logits = fit.head.logits(&rows).unwrap();
                let other = other.head.logits(&rows).unwrap();
                prop_assert!((logits - other).iter().all(|difference| difference.abs() < 1e-5));
            }
        }
    }
}
