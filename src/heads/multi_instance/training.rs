//! From targets to the objective, and from its minimum to coefficients of all labels.

use ndarray::{Array2, Axis};

use super::MultiInstanceSettings;
use super::passages::Passages;
use super::pooled::PooledObjectives;
use crate::heads::HeadError;
use crate::heads::lbfgs::{Stopping, minimise};
use crate::heads::logistic::{Softmax, with_absent_classes};
use crate::heads::objective::Products;
use crate::heads::one_vs_rest::{Sigmoids, Weights, unlearnable_logit};
use crate::labels::LabelId;

/// Below this tolerance, products in single precision would leave too few digits: their gradients are off by about 1e-6.
const MIN_F32_TOLERANCE: f64 = 1e-6;

/// Passages and what is known of them.
pub(super) struct Training<'a> {
    pub(super) settings: &'a MultiInstanceSettings,
    pub(super) passages: &'a Passages,
    /// Rows of passages with known labels, ascending, with these labels.
    pub(super) known: Vec<(usize, &'a [LabelId])>,
    pub(super) n_labels: usize,
}

impl Training<'_> {
    /// Fits a sigmoid per label to the labels of every article: `[n_labels, hidden_size + 1]` in the coordinates of the passages,
    /// the intercept last.
    ///
    /// # Errors
    /// [`HeadError::Interrupted`].
    pub(super) fn fit_sigmoids(
        &self,
        labels: &[Vec<LabelId>],
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Array2<f64>, HeadError> {
        let n_articles = labels.len();
        let support = self.support(labels.iter().flatten());
        let learnable = |label_idx: &usize| (1..n_articles).contains(&support[*label_idx]);
        let learnable: Vec<usize> = (0..self.n_labels).filter(learnable).collect();
        let objectives = self.sigmoid_objectives(labels, &learnable);

        let n_params = self.passages.hidden_size() + 1;
        let mut start = Array2::zeros((learnable.len(), n_params));
        let intercepts = start.column_mut(n_params - 1).into_iter();
        intercepts.zip(&objectives.on_articles.weights).for_each(|(intercept, weights)| *intercept = weights.odds.ln());
        let minimum = minimise(&objectives, start.view(), self.stopping(), interrupted)?;

        let mut coefficients = Array2::zeros((self.n_labels, n_params));
        for (intercept, &support) in coefficients.column_mut(n_params - 1).iter_mut().zip(&support) {
            *intercept = unlearnable_logit(support, n_articles);
        }
        for (fitted, label_idx) in minimum.points.axis_iter(Axis(0)).zip(learnable) {
            coefficients.row_mut(label_idx).assign(&fitted);
        }
        Ok(coefficients)
    }

    /// Fits soft-max to the label of every article; returns as [`Self::fit_sigmoids`].
    ///
    /// # Errors
    /// [`HeadError::Interrupted`].
    pub(super) fn fit_softmax(
        &self,
        labels: &[LabelId],
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Array2<f64>, HeadError> {
        let support = self.support(labels);
        let present: Vec<usize> = (0..self.n_labels).filter(|&label_idx| support[label_idx] > 0).collect();
        let objectives = self.softmax_objectives(labels, &present);

        let n_params = self.passages.hidden_size() + 1;
        let mut start = Array2::<f64>::zeros((present.len(), n_params));
        let intercepts = start.column_mut(n_params - 1).into_iter();
        intercepts.zip(&present).for_each(|(intercept, &label_idx)| *intercept = (support[label_idx] as f64).ln());
        let start = start.into_shape_with_order((1, present.len() * n_params)).expect("one row with all parameters");
        let minimum = minimise(&objectives, start.view(), self.stopping(), interrupted)?;
        let fitted =
            minimum.points.into_shape_with_order((present.len(), n_params)).expect("as many parameters as went in");
        Ok(with_absent_classes(fitted, &present, self.n_labels, labels.len()))
    }

    /// One problem for each of the `learnable` labels.
    pub(super) fn sigmoid_objectives(
        &self,
        labels: &[Vec<LabelId>],
        learnable: &[usize],
    ) -> PooledObjectives<'_, Sigmoids> {
        let problem_of_label = self.places(learnable);
        let sigmoids = |rows: &mut dyn Iterator<Item = &[LabelId]>, weight: f64| {
            let positives: Vec<Vec<usize>> =
                rows.map(|labels| labels.iter().filter_map(|label| problem_of_label[label.0]).collect()).collect();
            let mut n_positive = vec![0usize; learnable.len()];
            positives.iter().flatten().for_each(|&problem_idx| n_positive[problem_idx] += 1);
            let weights = n_positive
                .into_iter()
                .map(|n_positive| Weights::new([weight; 2], [n_positive as f64, (positives.len() - n_positive) as f64]))
                .collect();
            Sigmoids { positives, weights }
        };
        PooledObjectives {
            passages: self.passages,
            on_articles: sigmoids(&mut labels.iter().map(Vec::as_slice), 1.0),
            on_passages: sigmoids(&mut self.known.iter().map(|(_, labels)| *labels), self.settings.passage_weight),
            known_rows: self.known.iter().map(|(row_idx, _)| *row_idx).collect(),
            n_problems: learnable.len(),
            strength: self.settings.strength,
            products: self.products(),
        }
    }

    /// One problem, with the classes `present`.
    pub(super) fn softmax_objectives(&self, labels: &[LabelId], present: &[usize]) -> PooledObjectives<'_, Softmax> {
        let class_of_label = self.places(present);
        let known = self.known.iter().filter_map(|(row_idx, labels)| match labels {
            [label] => Some((*row_idx, class_of_label[label.0]?)),
            _ => None,
        });
        let (known_rows, known_classes): (Vec<usize>, Vec<usize>) = known.unzip();
        let softmax = |class_of_row: Vec<usize>, weight: f64| Softmax {
            total_weight: weight * class_of_row.len() as f64,
            class_of_row,
            weights: vec![weight; present.len()],
        };
        PooledObjectives {
            passages: self.passages,
            on_articles: softmax(labels.iter().filter_map(|label| class_of_label[label.0]).collect(), 1.0),
            on_passages: softmax(known_classes, self.settings.passage_weight),
            known_rows,
            n_problems: 1,
            strength: self.settings.strength,
            products: self.products(),
        }
    }

    /// How many articles have each label.
    fn support<'a>(&self, labels: impl IntoIterator<Item = &'a LabelId>) -> Vec<usize> {
        let mut support = vec![0; self.n_labels];
        labels.into_iter().for_each(|label| support[label.0] += 1);
        support
    }

    /// The place of every label among those `fitted`, if it is one.
    fn places(&self, fitted: &[usize]) -> Vec<Option<usize>> {
        let mut places = vec![None; self.n_labels];
        fitted.iter().enumerate().for_each(|(place, &label_idx)| places[label_idx] = Some(place));
        places
    }

    fn products(&self) -> Products {
        if self.settings.tolerance < MIN_F32_TOLERANCE { Products::F64 } else { Products::F32 }
    }

    fn stopping(&self) -> Stopping {
        let MultiInstanceSettings { tolerance, max_evaluations, .. } = *self.settings;
        Stopping { tolerance, max_evaluations, noise: self.products().noise() }
    }
}
