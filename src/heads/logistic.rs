//! Logistic regression with an L2 penalty: settings, and the soft-max form for exactly one label per article.
//!
//! # Objective
//! `strength · ∑ᵢ cᵢ · lossᵢ + ½ ‖w‖²`, intercepts not penalised: scikit-learn's `LogisticRegression` with `C = strength`. All labels
//! are solved together as matrix products; see `lbfgs` and `design` for how.
//!
//! With two labels, soft-max gives each its own weights, `w₀ = −w₁`, where scikit-learn keeps only their difference; soft-max
//! at strength `C` equals scikit-learn's binary regression at `2 C`.
//!
//! # Labels that cannot be learned
//! * One vs rest, a label that no training article has, or every one: weights 0 and the intercept
//!   `ln((n₊ + ½) / (n₋ + ½))`, the logit of the Krichevsky–Trofimov estimate.
//! * Soft-max, a label that no training article has: left out of the fit, then given weights 0 and the intercept at which its
//!   probability at the mean embedding is `1 / (2 n + 1)`.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::exponential::exponentials_of_nonpositive;
use super::lbfgs::{Stopping, minimise};
use super::objective::{LinearObjectives, Products, RowLoss, Sums};
use super::{HeadError, LinearHead, one_vs_rest};
use crate::labels::{LabelId, Targets};

/// How much each article counts in the loss.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeight {
    /// All the same.
    #[default]
    Uniform,
    /// Inversely to how frequent its label is: `n / (n_labels · n₊)` for single, and for each label of a multi-label task
    /// `n / (2 n₊)` where the article has it and `n / (2 n₋)` where not. Labels that do not occur are not counted.
    Balanced,
    /// One factor per label: of the articles with that label for single, of the label's positives for multi.
    PerLabel(Vec<f64>),
}

/// Settings of a logistic regression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogisticSettings {
    /// Inverse of the penalty, scikit-learn's `C`; positive.
    pub strength: f64,
    pub class_weight: ClassWeight,
    /// The loss is left at most about half this share above its minimum; positive.
    pub tolerance: f64,
    /// Evaluations of loss and gradient after which the fit is given up; at least 1.
    pub max_evaluations: usize,
}

impl Default for LogisticSettings {
    fn default() -> Self {
        Self { strength: 1.0, class_weight: ClassWeight::Uniform, tolerance: 1e-8, max_evaluations: 1_000 }
    }
}

/// Settings that have been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedLogistic {
    settings: LogisticSettings,
}

impl LogisticSettings {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`HeadError::Setting`].
    pub fn check(self) -> Result<CheckedLogistic, HeadError> {
        check_strength(self.strength)?;
        check_stopping(self.tolerance, self.max_evaluations)?;
        check_class_weight(&self.class_weight)?;
        Ok(CheckedLogistic { settings: self })
    }
}

/// Whether a strength of regularisation is usable.
pub(crate) fn check_strength(strength: f64) -> Result<(), HeadError> {
    if strength.is_finite() && strength > 0.0 {
        return Ok(());
    }
    Err(HeadError::Setting { name: "strength", found: strength.to_string(), expected: "a positive number" })
}

/// Whether a tolerance and a number of evaluations are usable.
pub(super) fn check_stopping(tolerance: f64, max_evaluations: usize) -> Result<(), HeadError> {
    if !(tolerance > 0.0 && tolerance < 1.0) {
        let found = tolerance.to_string();
        return Err(HeadError::Setting { name: "tolerance", found, expected: "a number between 0 and 1" });
    }
    if max_evaluations == 0 {
        return Err(HeadError::Setting { name: "max_evaluations", found: "0".into(), expected: "at least 1" });
    }
    Ok(())
}

/// Whether class weights are usable, their number apart.
pub(crate) fn check_class_weight(class_weight: &ClassWeight) -> Result<(), HeadError> {
    if let ClassWeight::PerLabel(weights) = class_weight
        && let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0))
    {
        let found = weight.to_string();
        return Err(HeadError::Setting { name: "class_weight", found, expected: "positive numbers" });
    }
    Ok(())
}

impl CheckedLogistic {
    /// Fits soft-max regression for single targets, one-vs-rest regressions for multi.
    ///
    /// # Errors
    /// Embeddings that are not finite, targets that do not match, fewer than two labels that occur (single) or none (multi),
    /// and a tolerance that is not reached within the evaluations allowed.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::heads::{Head, logistic::LogisticSettings};
    /// use topicwire::labels::{LabelId, Targets};
    /// let x = array![[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.2, 0.9]];
    /// let targets = Targets::Single([0, 0, 1, 1].map(LabelId).to_vec());
    /// let head = LogisticSettings::default().check()?.fit(x.view(), &targets, 2)?;
    /// let logits = head.logits(array![[0.8, 0.0]].view())?;
    /// assert!(logits[[0, 0]] > logits[[0, 1]]);
    /// # Ok::<(), topicwire::heads::HeadError>(())
    /// ```
    pub fn fit(
        &self,
        embeddings: ArrayView2<f32>,
        targets: &Targets,
        n_labels: usize,
    ) -> Result<LinearHead, HeadError> {
        let settings = &self.settings;
        check_targets(embeddings.nrows(), targets, n_labels, &settings.class_weight)?;
        let order: Vec<usize> = (0..embeddings.nrows()).collect();
        let design = Design::new(embeddings, &order)?;
        let products = Products::F64;
        let stopping = Stopping {
            tolerance: settings.tolerance,
            max_evaluations: settings.max_evaluations,
            noise: products.noise(),
        };
        let training = TrainingSet {
            design: &design,
            rows: std::slice::from_ref(&(0..design.n_rows())).to_vec(),
            targets,
            n_labels,
            class_weight: &settings.class_weight,
            products,
        };
        let solution = training.fit(settings.strength, stopping, None, &|| false)?;
        if solution.n_unsolved > 0 {
            let Solution { n_evaluations, n_unsolved, .. } = solution;
            return Err(HeadError::Unsolved { n_evaluations, n_unsolved, tolerance: settings.tolerance });
        }
        design.head(targets.task(), solution.coefficients.view())
    }
}

/// Whether targets fit the embeddings and the labels, and enough labels occur.
pub(crate) fn check_targets(
    n_embeddings: usize,
    targets: &Targets,
    n_labels: usize,
    class_weight: &ClassWeight,
) -> Result<(), HeadError> {
    if n_embeddings != targets.len() {
        return Err(HeadError::RowCount { n_embeddings, n_targets: targets.len() });
    }
    for row_idx in 0..targets.len() {
        if let Some(&LabelId(label_idx)) = targets.row(row_idx).iter().find(|label| label.0 >= n_labels) {
            return Err(HeadError::LabelOutOfRange { row_idx, label_idx, n_labels });
        }
    }
    if let ClassWeight::PerLabel(weights) = class_weight
        && weights.len() != n_labels
    {
        let found = format!("{} numbers", weights.len());
        return Err(HeadError::Setting { name: "class_weight", found, expected: "one number per label" });
    }
    let n_present = targets.support(n_labels).into_iter().filter(|&support| support > 0).count();
    let needed = match targets {
        Targets::Single(_) => 2,
        Targets::Multi(_) => 1,
    };
    if n_present < needed {
        return Err(HeadError::TooFewLabels { n_present, n_labels, needed });
    }
    Ok(())
}

/// A fit in the coordinates of a design.
pub(crate) struct Solution {
    /// `[n_labels, rank + 1]`, the intercept last.
    pub(crate) coefficients: Array2<f64>,
    /// Evaluations of loss and gradient.
    pub(crate) n_evaluations: usize,
    /// Labels whose loss may still be above its minimum by more than the tolerance.
    pub(crate) n_unsolved: usize,
}

/// Some rows of a design with their labels.
pub(crate) struct TrainingSet<'a> {
    pub(crate) design: &'a Design,
    pub(crate) rows: Vec<Range<usize>>,
    /// Of all rows of the design, in its order.
    pub(crate) targets: &'a Targets,
    pub(crate) n_labels: usize,
    pub(crate) class_weight: &'a ClassWeight,
    pub(crate) products: Products,
}

impl TrainingSet<'_> {
    /// Solves from `start`, coefficients as in [`Solution`].
    ///
    /// # Errors
    /// [`HeadError::Interrupted`].
    pub(crate) fn fit(
        &self,
        strength: f64,
        stopping: Stopping,
        start: Option<ArrayView2<f64>>,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Solution, HeadError> {
        match self.targets {
            Targets::Single(labels) => self.fit_softmax(labels, strength, stopping, start, interrupted),
            Targets::Multi(labels) => one_vs_rest::fit(self, labels, strength, stopping, start, interrupted),
        }
    }

    /// Training rows.
    pub(crate) fn row_indices(&self) -> impl Iterator<Item = usize> {
        self.rows.iter().cloned().flatten()
    }

    fn fit_softmax(
        &self,
        labels: &[LabelId],
        strength: f64,
        stopping: Stopping,
        start: Option<ArrayView2<f64>>,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Solution, HeadError> {
        let mut support = vec![0; self.n_labels];
        self.row_indices().for_each(|row_idx| support[labels[row_idx].0] += 1);
        let n_rows: usize = support.iter().sum();
        let present: Vec<usize> = (0..self.n_labels).filter(|&label_idx| support[label_idx] > 0).collect();
        let mut class_of_label = vec![0; self.n_labels];
        present.iter().enumerate().for_each(|(class_idx, &label_idx)| class_of_label[label_idx] = class_idx);
        let weights: Vec<f64> = present
            .iter()
            .map(|&label_idx| match self.class_weight {
                ClassWeight::Uniform => 1.0,
                ClassWeight::Balanced => n_rows as f64 / (present.len() * support[label_idx]) as f64,
                ClassWeight::PerLabel(weights) => weights[label_idx],
            })
            .collect();
        let masses: Vec<f64> =
            present.iter().zip(&weights).map(|(&label, weight)| support[label] as f64 * weight).collect();

        let n_params = self.design.rank() + 1;
        let mut point = match start {
            Some(start) => start.select(Axis(0), &present),
            None => Array2::zeros((present.len(), n_params)),
        };
        if start.is_none() {
            point.column_mut(n_params - 1).iter_mut().zip(&masses).for_each(|(intercept, mass)| *intercept = mass.ln());
        }
        let loss = Softmax {
            class_of_row: labels.iter().map(|label| class_of_label[label.0]).collect(),
            total_weight: masses.iter().sum(),
            weights,
        };
        let objectives = LinearObjectives::new(self.design, &self.rows, loss, 1, strength, self.products);
        let point = point.into_shape_with_order((1, present.len() * n_params)).expect("one row with all parameters");
        let minimum = minimise(&objectives, point.view(), stopping, interrupted)?;
        let fitted =
            minimum.points.into_shape_with_order((present.len(), n_params)).expect("as many parameters as went in");
        let coefficients = with_absent_classes(fitted, &present, self.n_labels, n_rows);
        let n_unsolved = minimum.n_unsolved * present.len();
        Ok(Solution { coefficients, n_evaluations: minimum.n_evaluations, n_unsolved })
    }
}

/// Coefficients of all labels from those of the labels present, ascending; `n_rows` were fitted on.
pub(super) fn with_absent_classes(
    mut fitted: Array2<f64>,
    present: &[usize],
    n_labels: usize,
    n_rows: usize,
) -> Array2<f64> {
    let n_params = fitted.ncols();
    // Adding a constant to all logits changes nothing: the sum of the intercepts is a free choice, as it is 0 there.
    let mut intercepts = fitted.column_mut(n_params - 1);
    intercepts -= intercepts.mean().expect("at least one label occurs");

    let peak = intercepts.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    let log_sum = peak + intercepts.mapv(|b| (b - peak).exp()).sum().ln();
    let mut coefficients = Array2::zeros((n_labels, n_params));
    coefficients.column_mut(n_params - 1).fill(log_sum - (2.0 * n_rows as f64).ln());
    for (class_idx, &label_idx) in present.iter().enumerate() {
        coefficients.slice_mut(s![label_idx, ..]).assign(&fitted.row(class_idx));
    }
    coefficients
}

/// Cross-entropy of soft-max: `lossᵢ = ln ∑ₖ exp(zᵢₖ) − zᵢ,ᵧ`.
pub(super) struct Softmax {
    pub(super) class_of_row: Vec<usize>,
    /// `[n_classes]`
    pub(super) weights: Vec<f64>,
    pub(super) total_weight: f64,
}

impl RowLoss for Softmax {
    fn labels_per_problem(&self) -> usize {
        self.weights.len()
    }

    fn total_weight(&self, _problem_idx: usize) -> f64 {
        self.total_weight
    }

    fn differentiate(&self, first_row: usize, _: &[Option<usize>], mut logits: ArrayViewMut2<f64>, sums: &mut Sums) {
        let n_classes = self.weights.len();
        let block = logits.as_slice_mut().expect("a block of rows is contiguous");
        let classes = &self.class_of_row[first_row..];
        // How far the own logit is below the largest.
        let mut distances = Vec::with_capacity(block.len() / n_classes);
        for (row, &class_idx) in block.chunks_exact_mut(n_classes).zip(classes) {
            let peak = row.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            distances.push(peak - row[class_idx]);
            row.iter_mut().for_each(|value| *value -= peak);
        }
        exponentials_of_nonpositive(block);
        for ((row, &class_idx), distance) in block.chunks_exact_mut(n_classes).zip(classes).zip(distances) {
            let weight = self.weights[class_idx];
            let total: f64 = row.iter().sum();
            sums.losses[0] += weight * (total.ln() + distance);
            // What the other classes have, so that it keeps its digits where the own class has nearly everything.
            let rest =
                row.iter().enumerate().filter(|(other, _)| *other != class_idx).map(|(_, value)| value).sum::<f64>();
            for (value, curvature) in row.iter_mut().zip(&mut sums.curvatures) {
                let probability = *value / total;
                *value = weight * probability;
                *curvature += *value * (1.0 - probability);
            }
            row[class_idx] = -weight * rest / total;
            sums.residuals.iter_mut().zip(row.iter()).for_each(|(sum, value)| *sum += value);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn soft_max_losses_are_exact_far_from_zero() {
        // (logits, class, loss, derivatives), by hand with ln(1 + x) ≈ x.
        let tiny = (-100.0f64).exp();
        let cases = [
            ([100.0, 0.0], 0, 0.0, [-tiny, tiny]),
            ([100.0, 0.0], 1, 100.0, [1.0, -1.0]),
            ([-100.0, 0.0], 0, 100.0, [-1.0, 1.0]),
            ([0.0, 0.0], 1, std::f64::consts::LN_2, [0.5, -0.5]),
            ([1e6, 1e6], 0, std::f64::consts::LN_2, [-0.5, 0.5]),
        ];
        for (logits, class_idx, loss, derivatives) in cases {
            let softmax = Softmax { class_of_row: vec![class_idx], weights: vec![1.0, 1.0], total_weight: 1.0 };
            let mut sums = Sums { losses: vec![0.0], residuals: vec![0.0; 2], curvatures: vec![0.0; 2] };
            let mut block = array![logits];
            softmax.differentiate(0, &[Some(0)], block.view_mut(), &mut sums);
            assert!((sums.losses[0] - loss).abs() <= 1e-15 * loss.max(1.0), "{logits:?}: loss {}", sums.losses[0]);
            for (found, expected) in block.iter().zip(derivatives) {
                assert!((found - expected).abs() <= 1e-14 * expected.abs(), "{logits:?}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let base = LogisticSettings::default;
        let cases = [
            (LogisticSettings { strength: 0.0, ..base() }, "head setting `strength` is 0, expected a positive number"),
            (LogisticSettings { strength: f64::NAN, ..base() }, "head setting `strength` is NaN"),
            (LogisticSettings { tolerance: -1.0, ..base() }, "head setting `tolerance` is -1"),
            (LogisticSettings { max_evaluations: 0, ..base() }, "head setting `max_evaluations` is 0"),
            (
                LogisticSettings { class_weight: ClassWeight::PerLabel(vec![1.0, -2.0]), ..base() },
                "head setting `class_weight` is -2, expected positive numbers",
            ),
        ];
        for (settings, expected) in cases {
            let message = settings.check().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn targets_that_do_not_match_are_refused() {
        let x = Array2::<f32>::eye(3);
        let fit = |targets: Targets, class_weight| {
            let settings = LogisticSettings { class_weight, ..Default::default() };
            settings.check().unwrap().fit(x.view(), &targets, 2).unwrap_err().to_string()
        };
        let single = |labels: &[usize]| Targets::Single(labels.iter().copied().map(LabelId).collect());
        let uniform = || ClassWeight::Uniform;
        assert_eq!(fit(single(&[0, 1]), uniform()), "cannot fit a head: 3 embeddings but labels for 2 articles");
        assert_eq!(fit(single(&[0, 1, 2]), uniform()), "article 2 has label number 2, but there are 2 labels");
        let message = "cannot fit a head: only 1 of 2 labels occur in the training articles, at least 2 must";
        assert_eq!(fit(single(&[1, 1, 1]), uniform()), message);
        assert!(fit(Targets::Multi(vec![vec![]; 3]), uniform()).contains("only 0 of 2"));
        let message = "head setting `class_weight` is 3 numbers, expected one number per label";
        assert_eq!(fit(single(&[0, 1, 1]), ClassWeight::PerLabel(vec![1.0; 3])), message);
    }
}
