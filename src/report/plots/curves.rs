//! Precision, recall and F1 of one label at every threshold.

use ndarray::ArrayView1;
use serde::Serialize;

use crate::metrics::MetricError;

/// A label's decisions were it assigned from a threshold on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    pub threshold: f64,
    /// Share of the articles that would be given the label which have it; `None` where none would be given it.
    pub precision: Option<f64>,
    /// Share of the articles with the label that would be given it.
    pub recall: f64,
    pub f1: f64,
    /// Articles that would be given the label.
    pub n_given: usize,
}

/// What every threshold would do for a label.
#[derive(Clone, Debug, PartialEq)]
pub struct ThresholdCurve {
    /// One for each distinct score, from the highest down: (score, hits, articles given the label).
    steps: Vec<(f64, usize, usize)>,
    n_positive: usize,
}

impl ThresholdCurve {
    /// Sorts the articles by score; equal scores share one step.
    ///
    /// Precision `TP / (TP + FP)` and recall `TP / (TP + FN)` of the decisions `score ≥ threshold`, as scikit-learn's
    /// `precision_recall_curve`, which lists the same thresholds from the lowest up.
    ///
    /// # Shapes
    /// * `truth`, `scores` `[n]`
    ///
    /// # Errors
    /// No rows, lengths that differ, or a score that is not a probability.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::report::plots::curves::ThresholdCurve;
    /// let truth = array![false, true, true];
    /// let curve = ThresholdCurve::new(truth.view(), array![0.2, 0.1, 0.9].view())?;
    /// assert_eq!((curve.at(0.5).precision, curve.at(0.5).recall), (Some(1.0), 0.5));
    /// # Ok::<(), topicwire::metrics::MetricError>(())
    /// ```
    pub fn new(truth: ArrayView1<bool>, scores: ArrayView1<f64>) -> Result<Self, MetricError> {
        if truth.is_empty() {
            return Err(MetricError::NoRows);
        }
        if truth.len() != scores.len() {
            return Err(MetricError::Length { what: "scores", expected: truth.len(), found: scores.len() });
        }
        if let Some(row_idx) = scores.iter().position(|score| !(0.0..=1.0).contains(score)) {
            return Err(MetricError::Probability { row_idx, label_idx: 0, value: scores[row_idx] });
        }
        let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(truth.iter().copied()).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut steps = Vec::new();
        let (mut hits, mut given) = (0, 0);
        for tie in order.chunk_by(|a, b| a.0 == b.0) {
            hits += tie.iter().filter(|(_, truth)| *truth).count();
            given += tie.len();
            steps.push((tie[0].0, hits, given));
        }
        Ok(Self { steps, n_positive: hits })
    }

    /// Articles that have the label.
    pub fn n_positive(&self) -> usize {
        self.n_positive
    }

    /// What a threshold does.
    pub fn at(&self, threshold: f64) -> CurvePoint {
        let n_steps = self.steps.partition_point(|(score, ..)| *score >= threshold);
        let (hits, given) = n_steps.checked_sub(1).map_or((0, 0), |last| (self.steps[last].1, self.steps[last].2));
        self.point(threshold, hits, given)
    }

    /// One point for each distinct score, from the highest threshold down: recall rises, and each holds down to the next.
    pub fn points(&self) -> impl Iterator<Item = CurvePoint> {
        self.steps.iter().map(|&(score, hits, given)| self.point(score, hits, given))
    }

    fn point(&self, threshold: f64, hits: usize, given: usize) -> CurvePoint {
        let share = |n: usize, of: usize| if of == 0 { 0.0 } else { n as f64 / of as f64 };
        CurvePoint {
            threshold,
            precision: (given > 0).then(|| share(hits, given)),
            recall: share(hits, self.n_positive),
            f1: share(2 * hits, given + self.n_positive),
            n_given: given,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    #[test]
    fn equal_scores_share_a_step() {
        let truth = array![true, false, true, false, true];
        let curve = ThresholdCurve::new(truth.view(), array![0.8, 0.8, 0.5, 0.2, 0.2].view()).unwrap();
        let points: Vec<_> = curve.points().map(|p| (p.threshold, p.precision.unwrap(), p.recall, p.n_given)).collect();
        assert_eq!(points, [(0.8, 0.5, 1.0 / 3.0, 2), (0.5, 2.0 / 3.0, 2.0 / 3.0, 3), (0.2, 0.6, 1.0, 5)]);
        assert_eq!(curve.at(0.8), curve.points().next().unwrap());
        assert_eq!(curve.at(0.51).n_given, 2);
        assert_eq!((curve.at(0.9).precision, curve.at(0.9).recall, curve.at(0.9).f1), (None, 0.0, 0.0));
    }

    #[test]
    fn a_label_that_nobody_has_gives_zeros_and_no_nan() {
        let curve = ThresholdCurve::new(array![false, false].view(), array![0.8, 0.1].view()).unwrap();
        let point = curve.at(0.0);
        assert_eq!((point.precision, point.recall, point.f1, curve.n_positive()), (Some(0.0), 0.0, 0.0, 0));
    }

    #[test]
    fn bad_input_is_refused() {
        let none: Array1<bool> = Array1::from_elem(0, false);
        assert_eq!(ThresholdCurve::new(none.view(), array![].view()), Err(MetricError::NoRows));
        let length = ThresholdCurve::new(array![true].view(), array![0.1, 0.2].view());
        assert!(matches!(length, Err(MetricError::Length { .. })));
        let nan = ThresholdCurve::new(array![true].view(), array![f64::NAN].view());
        assert!(matches!(nan, Err(MetricError::Probability { row_idx: 0, .. })));
    }
}
