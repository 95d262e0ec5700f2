//! Two sets of predictions of the same articles: which is better, and is that clear?

use rand::RngExt;
use rayon::prelude::*;

use crate::metrics::summary::{Metric, RowStatistics};
use crate::rng::generator;

/// Resamples of the bootstrap: its standard error is then known to about 5 %.
const N_RESAMPLES: usize = 200;

/// The gain of one set of predictions over another (Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 6).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    pub from: f64,
    pub to: f64,
    /// `to − from`, for losses `from − to`: more is better.
    pub gain: f64,
    /// Of the gain, by resampling articles, both sets by the same ones.
    pub standard_error: f64,
}

impl Comparison {
    /// Compares predictions of the same articles in the same order by a paired bootstrap: articles are drawn with replacement, both sets are scored on
    /// the draw, and the standard deviation of the differences is the standard error. `None` where the metric has no value.
    ///
    /// # Panics
    /// When the two are of different numbers of articles.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::labels::Task;
    /// use topicwire::metrics::summary::{Metric, RowStatistics};
    /// use topicwire::tune::compare::Comparison;
    /// let truth = array![[true, false], [false, true]];
    /// let wrong = array![[true, false], [true, false]];
    /// let of = |said: &ndarray::Array2<bool>| {
    ///     RowStatistics::new(Task::Single, truth.view(), said.view(), said.mapv(f64::from).view())
    /// };
    /// let found = Comparison::new(&of(&wrong)?, &of(&truth)?, Metric::Accuracy, 0).expect("accuracy is defined");
    /// assert_eq!((found.from, found.to, found.gain), (0.5, 1.0, 0.5));
    /// # Ok::<(), topicwire::metrics::MetricError>(())
    /// ```
    pub fn new(before: &RowStatistics, after: &RowStatistics, metric: Metric, seed: u64) -> Option<Self> {
        let n_rows = before.n_rows();
        assert_eq!(after.n_rows(), n_rows, "predictions of the same articles");
        let (from, to) = (before.scores().get(metric)?, after.scores().get(metric)?);
        let sign = if metric.is_loss() { -1.0 } else { 1.0 };
        let gains: Vec<f64> = (0..N_RESAMPLES)
            .into_par_iter()
            .filter_map(|resample_idx| {
                let mut rng = generator(seed, &format!("tune/bootstrap/{resample_idx}"));
                let mut weights = vec![0u32; n_rows];
                (0..n_rows).for_each(|_| weights[rng.random_range(0..n_rows)] += 1);
                let score = |of: &RowStatistics| of.weighted_scores(&weights).get(metric);
                Some(sign * (score(after)? - score(before)?))
            })
            .collect();
        Some(Self { from, to, gain: sign * (to - from), standard_error: deviation(&gains) })
    }

    /// Whether the gain is more than so many of its standard errors; never of none.
    pub fn is_clear(&self, n_standard_errors: f64) -> bool {
        self.gain > 0.0 && self.gain > n_standard_errors * self.standard_error
    }
}

fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::labels::Task;

    /// Predictions of two labels: article `i` is right where `is_right` says so.
    fn predictions(n_rows: usize, is_right: impl Fn(usize) -> bool) -> RowStatistics {
        let truth = Array2::from_shape_fn((n_rows, 2), |(i, k)| i % 2 == k);
        let said = Array2::from_shape_fn((n_rows, 2), |(i, k)| truth[[i, k]] == is_right(i));
        let scores = said.mapv(|said| if said { 0.8 } else { 0.2 });
        RowStatistics::new(Task::Single, truth.view(), said.view(), scores.view()).unwrap()
    }

    #[test]
    fn the_standard_error_is_that_of_the_paired_difference() {
        // 30 of 400 articles get better, 10 worse: the difference has mean 0.05 and variance 0.1 − 0.05².
        let n_rows = 400;
        let before = predictions(n_rows, |i| (30..300).contains(&i));
        let after = predictions(n_rows, |i| i < 290);
        let found = Comparison::new(&before, &after, Metric::F1Micro, 1).unwrap();
        assert!((found.gain - 0.05).abs() < 1e-12);
        let expected = ((0.1 - 0.05f64.powi(2)) / n_rows as f64).sqrt();
        // Four standard errors of a standard deviation of 200 values.
        let tolerance = 4.0 / (2.0 * N_RESAMPLES as f64).sqrt();
        assert!((found.standard_error / expected - 1.0).abs() < tolerance, "{found:?}, expected {expected}");
        assert!(found.is_clear(2.0) && !found.is_clear(5.0));
        let back = Comparison::new(&after, &before, Metric::F1Micro, 1).unwrap();
        assert_eq!((back.gain, back.standard_error), (-found.gain, found.standard_error));
        assert!(!back.is_clear(0.0));
        // A loss that falls is a gain.
        assert!(Comparison::new(&before, &after, Metric::LogLoss, 1).unwrap().gain > 0.0);
        let same = Comparison::new(&before, &before, Metric::F1Micro, 1).unwrap();
        assert!(same.standard_error == 0.0 && !same.is_clear(2.0));
    }
}
