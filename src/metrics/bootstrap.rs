//! Confidence intervals by the bootstrap: how far a metric would move with another sample of as many articles.
//!
//! Articles are drawn with replacement, so a resample is a count per article. A statistic is computed from these counts
//! (see [`super::summary::RowStatistics`]) rather than from copied rows.

use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::MetricError;
use crate::rng::generator;

/// Resamples in which a metric must be defined for its interval to be given. With fewer, what is left is a biased
/// choice.
const MIN_DEFINED_SHARE: f64 = 0.5;

/// How intervals are computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootstrapSettings {
    /// Number of resamples.
    pub n_resamples: usize,
    /// Share of all intervals that hold the true value, in `(0, 1)`.
    pub confidence: f64,
    pub seed: u64,
}

impl Default for BootstrapSettings {
    fn default() -> Self {
        Self { n_resamples: 1000, confidence: 0.95, seed: 0 }
    }
}

impl BootstrapSettings {
    fn check(&self) -> Result<(), MetricError> {
        let Self { n_resamples, confidence, .. } = *self;
        if !(confidence > 0.0 && confidence < 1.0) {
            return Err(MetricError::Confidence { found: confidence });
        }
        if (n_resamples as f64) * (1.0 - confidence) / 2.0 < 1.0 {
            return Err(MetricError::TooFewResamples { n_resamples, confidence });
        }
        Ok(())
    }
}

/// A range that holds the true value with the confidence asked for; `[low, high]` in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl From<[f64; 2]> for Interval {
    fn from([low, high]: [f64; 2]) -> Self {
        Self { low, high }
    }
}

impl From<Interval> for [f64; 2] {
    fn from(interval: Interval) -> Self {
        [interval.low, interval.high]
    }
}

/// Percentile intervals of several statistics at once.
///
/// `statistics` takes how often each article was drawn (`[n_rows]`, summing to `n_rows`) and gives `N` numbers, NaN
/// where one is undefined. Undefined values are left out; a statistic that is undefined in more than half of the
/// resamples has no interval.
///
/// Every resample has a generator of its own, made from the seed and the resample's number, so that the result depends
/// on neither the number of threads nor their timing. Intervals at the rim of a metric's range (every article right)
/// are of zero width and then too narrow; so are those of a handful of articles.
///
/// # Errors
/// No rows or more than `u32::MAX`, a confidence outside `(0, 1)`, or too few resamples for it.
///
/// # Example
/// ```
/// use topicwire::metrics::bootstrap::{BootstrapSettings, percentile_intervals};
/// let values = [0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0];
/// let mean = |counts: &[u32]| {
///     [counts.iter().zip(values).map(|(&count, value)| f64::from(count) * value).sum::<f64>() / 8.0]
/// };
/// let [interval] = percentile_intervals(values.len(), BootstrapSettings::default(), mean)?;
/// let interval = interval.expect("a mean is always defined");
/// assert!(interval.low < 0.625 && 0.625 < interval.high);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn percentile_intervals<const N: usize>(
    n_rows: usize,
    settings: BootstrapSettings,
    statistics: impl Fn(&[u32]) -> [f64; N] + Sync,
) -> Result<[Option<Interval>; N], MetricError> {
    settings.check()?;
    if n_rows == 0 {
        return Err(MetricError::NoRows);
    }
    let row_limit =
        u32::try_from(n_rows).map_err(|_| MetricError::TooManyRows { limit: u32::MAX as usize, found: n_rows })?;
    let draws: Vec<[f64; N]> = (0..settings.n_resamples)
        .into_par_iter()
        .map_init(
            || vec![0u32; n_rows],
            |counts, resample_idx| {
                let mut rng = generator(settings.seed, &format!("metrics/bootstrap/{resample_idx}"));
                counts.fill(0);
                for _ in 0..n_rows {
                    counts[rng.random_range(0..row_limit) as usize] += 1;
                }
                statistics(counts)
            },
        )
        .collect();
    let tail = 100.0 * (1.0 - settings.confidence) / 2.0;
    Ok(std::array::from_fn(|k| {
        let mut values: Vec<f64> = draws.iter().map(|draw| draw[k]).filter(|value| value.is_finite()).collect();
        if (values.len() as f64) < MIN_DEFINED_SHARE * settings.n_resamples as f64 {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        Some(Interval { low: percentile(&values, tail), high: percentile(&values, 100.0 - tail) })
    }))
}

/// The value below which `level` per cent of the values lie, interpolated linearly as numpy's `percentile` does by
/// default.
///
/// # Panics
/// When there is no value at all. `sorted` must ascend, `level` lie in `[0, 100]`.
pub fn percentile(sorted: &[f64], level: f64) -> f64 {
    let position = level / 100.0 * (sorted.len() - 1) as f64;
    let below = (position.floor() as usize).min(sorted.len() - 1);
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (position - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighted_mean(values: &[f64]) -> impl Fn(&[u32]) -> [f64; 1] {
        move |counts| {
            let sum: f64 = counts.iter().zip(values).map(|(&count, value)| f64::from(count) * value).sum();
            [sum / values.len() as f64]
        }
    }

    #[test]
    fn intervals_hold_the_true_mean_as_often_as_they_promise() {
        const TRIALS: usize = 400;
        let (n_rows, p) = (200, 0.7);
        for (confidence, expected) in [(0.95, 0.92..=0.98), (0.80, 0.74..=0.86)] {
            let covered = (0..TRIALS)
                .filter(|trial| {
                    let mut rng = generator(7, &format!("coverage test {trial}"));
                    let values: Vec<f64> = (0..n_rows).map(|_| f64::from(rng.random_bool(p))).collect();
                    let settings = BootstrapSettings { n_resamples: 400, confidence, seed: *trial as u64 };
                    let [interval] = percentile_intervals(n_rows, settings, weighted_mean(&values)).unwrap();
                    interval.is_some_and(|interval| interval.low <= p && p <= interval.high)
                })
                .count();
            let share = covered as f64 / TRIALS as f64;
            assert!(expected.contains(&share), "{confidence} intervals hold the mean in {share} of trials");
        }
    }

    #[test]
    fn intervals_depend_on_the_seed_and_not_on_the_threads() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i).sin()).collect();
        let intervals = |n_threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let settings = BootstrapSettings { seed, ..Default::default() };
            pool.install(|| percentile_intervals(values.len(), settings, weighted_mean(&values)).unwrap())
        };
        assert_eq!(intervals(1, 3), intervals(5, 3));
        assert_ne!(intervals(1, 3), intervals(1, 4));
    }

    #[test]
    fn resamples_hold_as_many_articles_as_the_sample() {
        let total = |counts: &[u32]| [counts.iter().sum::<u32>() as f64];
        let [interval] = percentile_intervals(13, BootstrapSettings::default(), total).unwrap();
        assert_eq!(interval, Some(Interval { low: 13.0, high: 13.0 }));
    }

    #[test]
    fn statistics_that_are_mostly_undefined_have_no_interval() {
        // Article 0 is drawn in 1 − (9/10)^10 = 65 % of the resamples of ten.
        let when = |drawn: bool| move |counts: &[u32]| [if (counts[0] > 0) == drawn { 1.0 } else { f64::NAN }];
        let [often] = percentile_intervals(10, BootstrapSettings::default(), when(true)).unwrap();
        let [seldom] = percentile_intervals(10, BootstrapSettings::default(), when(false)).unwrap();
        assert_eq!((often, seldom), (Some(Interval { low: 1.0, high: 1.0 }), None));
    }

    #[test]
    fn settings_that_give_no_interval_are_refused() {
        let refused = |settings, n_rows| percentile_intervals(n_rows, settings, |_| [0.0]).unwrap_err().to_string();
        let settings = BootstrapSettings::default();
        assert_eq!(refused(settings, 0), "metrics need at least one article, found none");
        for confidence in [0.0, 1.0, f64::NAN] {
            let message = refused(BootstrapSettings { confidence, ..settings }, 5);
            assert_eq!(
                message,
                format!("the confidence level of an interval is {confidence}, expected a number between 0 and 1")
            );
        }
        let message = refused(BootstrapSettings { n_resamples: 39, ..settings }, 5);
        assert!(message.starts_with("39 bootstrap resamples are too few"), "{message}");
    }
}
