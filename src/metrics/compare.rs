//! Whether one set of predictions is better than another of the same articles: exact and randomised tests of the difference.
//!
//! All tests are paired: what counts is how the two differ article by article, not how uncertain each is on its own. The interval of a
//! difference comes from [`super::bootstrap::bootstrap_intervals`] with a statistic that is the difference.

use ndarray::{ArrayView2, Zip};
use rand::RngExt;
use rayon::prelude::*;

use super::{MetricError, check_indicators};
use crate::rng::generator;

/// Shuffles of a randomisation test unless told otherwise: p-values down to 0.0001, so that 90 labels survive Holm's correction.
pub const DEFAULT_SHUFFLES: usize = 10_000;

/// Differences that are this much smaller than the one observed still count as equal: sums in another order differ by rounding.
const ROUNDING: f64 = 1e-12;

/// Two-sided p-value of McNemar's exact test.
///
/// `n_only_a` and `n_only_b`: articles that only one of the two gets right. If both are equally good, each of these articles is as
/// likely to be one's as the other's, so that the smaller count is binomial: `p = min(1, 2 · P(X ≤ min(a, b)))` with
/// `X ~ Binomial(a + b, ½)`. 1 where no article tells them apart.
///
/// Source: McNemar (1947), *Note on the sampling error of the difference between correlated proportions*.
///
/// # Example
/// ```
/// use topicwire::metrics::compare::mcnemar_exact;
/// assert_eq!(mcnemar_exact(0, 5), 2.0 / 32.0);
/// ```
pub fn mcnemar_exact(n_only_a: u64, n_only_b: u64) -> f64 {
    let (n, smaller) = (n_only_a + n_only_b, n_only_a.min(n_only_b));
    let log_factorial = |k: u64| libm::lgamma(k as f64 + 1.0);
    // In logarithms: 2^n overflows from a thousand articles on.
    let log_half = n as f64 * std::f64::consts::LN_2;
    let tail: f64 =
        (0..=smaller).map(|k| (log_factorial(n) - log_factorial(k) - log_factorial(n - k) - log_half).exp()).sum();
    (2.0 * tail).min(1.0)
}

/// p-values of several tests, each corrected for the number of tests (Holm 1979, *A simple sequentially rejective multiple test
/// procedure*): the smallest times their number, the next times one less, and so on, none smaller than the one before, at most 1.
///
/// # Example
/// ```
/// use topicwire::metrics::compare::holm;
/// assert_eq!(holm(&[0.5, 0.01, 0.02]), [0.5, 0.03, 0.04]);
/// ```
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![1.0; p_values.len()];
    let mut largest = 0.0f64;
    for (rank, &test_idx) in order.iter().enumerate() {
        largest = largest.max(p_values[test_idx] * (p_values.len() - rank) as f64).min(1.0);
        corrected[test_idx] = largest;
    }
    corrected
}

/// p-values of differences in F1.
#[derive(Clone, Debug, PartialEq)]
pub struct F1PValues {
    pub micro: f64,
    pub macro_mean: f64,
    /// `[n_labels]`
    pub per_label: Vec<f64>,
}

/// How the decisions of two classifiers on the same articles differ.
///
/// `a` and `b` are `[n, n_labels]` like the truth.
#[derive(Clone, Debug)]
pub struct PairedDecisions {
    support: Vec<i64>,
    a: Counts,
    b: Counts,
    /// What each article on which they differ adds to the counts of `b` over those of `a`.
    changes: Vec<Vec<Change>>,
    n_only_a: u64,
    n_only_b: u64,
}

/// Per label.
#[derive(Clone, Debug)]
struct Counts {
    hits: Vec<i64>,
    predicted: Vec<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    label_idx: usize,
    hits: i64,
    predicted: i64,
}

/// `b` less `a`: micro, macro, each label.
struct Differences {
    micro: f64,
    macro_mean: f64,
    per_label: Vec<f64>,
}

impl PairedDecisions {
    /// Boils decisions down.
    ///
    /// # Errors
    /// No rows, no labels, or shapes that differ.
    pub fn new(y_true: ArrayView2<bool>, a: ArrayView2<bool>, b: ArrayView2<bool>) -> Result<Self, MetricError> {
        check_indicators(y_true, a)?;
        check_indicators(y_true, b)?;
        let n_labels = y_true.ncols();
        let empty = || Counts { hits: vec![0; n_labels], predicted: vec![0; n_labels] };
        let mut paired =
            Self { support: vec![0; n_labels], a: empty(), b: empty(), changes: Vec::new(), n_only_a: 0, n_only_b: 0 };
        for ((truth, a), b) in y_true.rows().into_iter().zip(a.rows()).zip(b.rows()) {
            let mut changes = Vec::new();
            Zip::indexed(truth).and(a).and(b).for_each(|label_idx, &truth, &a, &b| {
                paired.support[label_idx] += i64::from(truth);
                paired.a.hits[label_idx] += i64::from(truth && a);
                paired.a.predicted[label_idx] += i64::from(a);
                paired.b.hits[label_idx] += i64::from(truth && b);
                paired.b.predicted[label_idx] += i64::from(b);
                if a != b {
                    let sign = i64::from(b) - i64::from(a);
                    changes.push(Change { label_idx, hits: sign * i64::from(truth), predicted: sign });
                }
            });
            if !changes.is_empty() {
                paired.changes.push(changes);
                paired.n_only_a += u64::from(truth == a);
                paired.n_only_b += u64::from(truth == b);
            }
        }
        Ok(paired)
    }

    /// Articles that have exactly the right labels by one of the two alone: by `a`, by `b`.
    pub fn n_only_right(&self) -> [u64; 2] {
        [self.n_only_a, self.n_only_b]
    }

    /// Articles on which the two differ.
    pub fn n_differing(&self) -> usize {
        self.changes.len()
    }

    /// F1 of each label, by `a` and by `b`; 0 where there is nothing to divide by.
    pub fn f1_per_label(&self) -> Vec<[f64; 2]> {
        let f1_of = |counts: &Counts, k: usize| f1(counts.hits[k], counts.predicted[k], self.support[k]);
        (0..self.support.len()).map(|k| [f1_of(&self.a, k), f1_of(&self.b, k)]).collect()
    }

    /// Two-sided p-values of the differences in F1 by approximate randomisation.
    ///
    /// If both are equally good, it makes no difference whose output is whose. So of each article the outputs are swapped by the throw of
    /// a coin, and the share of such shuffles with a difference at least as large as the one observed is the p-value:
    /// `(n_as_large + 1) / (n_shuffles + 1)`.
    ///
    /// Source: Yeh (2000), *More accurate tests for the statistical significance of result differences*; Noreen (1989).
    ///
    /// The outcome depends on the seed and not on the number of threads.
    ///
    /// # Example
    /// ```
    /// use ndarray::{Array2, array};
    /// use topicwire::metrics::compare::PairedDecisions;
    /// let truth = Array2::from_shape_fn((40, 2), |(i, k)| i % 2 == k);
    /// let wrong = truth.mapv(|has| !has);
    /// let tests = PairedDecisions::new(truth.view(), wrong.view(), truth.view())?.f1_tests(999, 0);
    /// assert!(tests.micro < 0.01 && tests.per_label.iter().all(|p| *p < 0.01));
    /// # Ok::<(), topicwire::metrics::MetricError>(())
    /// ```
    pub fn f1_tests(&self, n_shuffles: usize, seed: u64) -> F1PValues {
        let n_labels = self.support.len();
        let observed = self.differences(&self.a, &self.b);
        // Micro, macro, each label.
        let n_as_large = (0..n_shuffles)
            .into_par_iter()
            .fold(
                || vec![0u64; n_labels + 2],
                |mut n_as_large, shuffle_idx| {
                    let shuffled = self.shuffled(shuffle_idx, seed);
                    n_as_large[0] += is_as_large(shuffled.micro, observed.micro);
                    n_as_large[1] += is_as_large(shuffled.macro_mean, observed.macro_mean);
                    for k in 0..n_labels {
                        n_as_large[k + 2] += is_as_large(shuffled.per_label[k], observed.per_label[k]);
                    }
                    n_as_large
                },
            )
            .reduce(|| vec![0; n_labels + 2], |left, right| left.iter().zip(&right).map(|(a, b)| a + b).collect());
        let p_value = |n: u64| (n + 1) as f64 / (n_shuffles + 1) as f64;
        F1PValues {
            micro: p_value(n_as_large[0]),
            macro_mean: p_value(n_as_large[1]),
            per_label: n_as_large[2..].iter().map(|&n| p_value(n)).collect(),
        }
    }

    fn shuffled(&self, shuffle_idx: usize, seed: u64) -> Differences {
        let (mut a, mut b) = (self.a.clone(), self.b.clone());
        let mut coins = Coins::new(seed, shuffle_idx);
        for change in self.changes.iter().filter(|_| coins.throw()).flatten() {
            a.hits[change.label_idx] += change.hits;
            a.predicted[change.label_idx] += change.predicted;
            b.hits[change.label_idx] -= change.hits;
            b.predicted[change.label_idx] -= change.predicted;
        }
        self.differences(&a, &b)
    }

    fn differences(&self, a: &Counts, b: &Counts) -> Differences {
        let micro = |counts: &Counts| {
            f1(counts.hits.iter().sum(), counts.predicted.iter().sum(), self.support.iter().sum::<i64>())
        };
        let of_label = |counts: &Counts, k: usize| f1(counts.hits[k], counts.predicted[k], self.support[k]);
        let per_label: Vec<f64> = (0..self.support.len()).map(|k| of_label(b, k) - of_label(a, k)).collect();
        Differences {
            micro: micro(b) - micro(a),
            macro_mean: per_label.iter().sum::<f64>() / per_label.len() as f64,
            per_label,
        }
    }
}

/// Two-sided p-value of the mean of differences, one for each article, by approximate randomisation: swapping the outputs of an article
/// turns the sign of its difference. For metrics that are means over articles, such as the log-loss.
///
/// # Example
/// ```
/// use topicwire::metrics::compare::mean_test;
/// assert!(mean_test(&[0.2; 20], 999, 0) < 0.01);
/// assert_eq!(mean_test(&[0.2, -0.2], 999, 0), 1.0);
/// ```
pub fn mean_test(differences: &[f64], n_shuffles: usize, seed: u64) -> f64 {
    let changed: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let scale = 1.0 / differences.len().max(1) as f64;
    let observed = scale * changed.iter().sum::<f64>();
    let n_as_large: u64 = (0..n_shuffles)
        .into_par_iter()
        .map(|shuffle_idx| {
            let mut coins = Coins::new(seed, shuffle_idx);
            let sum: f64 = changed.iter().map(|&difference| if coins.throw() { -difference } else { difference }).sum();
            is_as_large(scale * sum, observed)
        })
        .sum();
    (n_as_large + 1) as f64 / (n_shuffles + 1) as f64
}

/// Throws of a coin for one shuffle.
struct Coins {
    rng: rand_chacha::ChaCha8Rng,
    bits: u64,
    n_left: u32,
}

impl Coins {
    fn new(seed: u64, shuffle_idx: usize) -> Self {
        Self { rng: generator(seed, &format!("metrics/randomisation/{shuffle_idx}")), bits: 0, n_left: 0 }
    }

    fn throw(&mut self) -> bool {
        if self.n_left == 0 {
            (self.bits, self.n_left) = (self.rng.random(), u64::BITS);
        }
        let heads = self.bits & 1 == 1;
        (self.bits, self.n_left) = (self.bits >> 1, self.n_left - 1);
        heads
    }
}

fn is_as_large(found: f64, observed: f64) -> u64 {
    u64::from(found.abs() >= observed.abs() - ROUNDING)
}

fn f1(hits: i64, predicted: i64, support: i64) -> f64 {
    if predicted + support == 0 { 0.0 } else { 2.0 * hits as f64 / (predicted + support) as f64 }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    /// Truth, and two sets of decisions of which the second is right more often.
    fn sample(n: usize, n_labels: usize, seed: u64, rates: [f64; 2]) -> [Array2<bool>; 3] {
        let mut rng = generator(seed, "comparison test");
        let truth = Array2::from_shape_simple_fn((n, n_labels), || rng.random_bool(0.3));
        let [a, b] = rates.map(|rate| truth.mapv(|has| if rng.random_bool(rate) { !has } else { has }));
        [truth, a, b]
    }

    fn paired([truth, a, b]: &[Array2<bool>; 3]) -> PairedDecisions {
        PairedDecisions::new(truth.view(), a.view(), b.view()).unwrap()
    }

    #[test]
    fn equal_classifiers_seem_different_as_seldom_as_the_level_says() {
        const TRIALS: u64 = 300;
        let n_significant = (0..TRIALS)
            .filter(|&trial| paired(&sample(60, 3, trial, [0.2, 0.2])).f1_tests(199, trial).micro <= 0.05)
            .count();
        // Binomial(300, 0.05) has 95 % of its mass from 8 to 23.
        assert!((6..=25).contains(&n_significant), "{n_significant} of {TRIALS}");
    }

    #[test]
    fn better_ones_are_told_apart_and_the_sides_are_named() {
        let rows = sample(200, 3, 1, [0.3, 0.1]);
        let paired = paired(&rows);
        let tests = paired.f1_tests(999, 0);
        assert!(tests.micro < 0.01 && tests.macro_mean < 0.01, "{tests:?}");
        let [only_a, only_b] = paired.n_only_right();
        assert!(only_b > only_a && paired.f1_per_label().iter().all(|[a, b]| b > a));
        assert!(mcnemar_exact(only_a, only_b) < 0.01);
    }

    #[test]
    fn the_same_decisions_are_never_different() {
        let [truth, a, _] = sample(50, 2, 3, [0.2, 0.2]);
        let same = PairedDecisions::new(truth.view(), a.view(), a.view()).unwrap();
        assert_eq!((same.n_differing(), same.n_only_right()), (0, [0, 0]));
        let tests = same.f1_tests(99, 0);
        assert_eq!((tests.micro, tests.macro_mean, mcnemar_exact(0, 0)), (1.0, 1.0, 1.0));
    }

    #[test]
    fn the_test_depends_on_the_seed_and_not_on_the_threads() {
        let rows = sample(100, 4, 5, [0.2, 0.15]);
        let tests = |n_threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| paired(&rows).f1_tests(500, seed))
        };
        assert_eq!(tests(1, 2), tests(4, 2));
        assert_ne!(tests(1, 2), tests(1, 3));
    }

    #[test]
    fn many_articles_do_not_overflow() {
        let p = mcnemar_exact(10_000, 10_400);
        // The normal approximation with continuity correction: z = 399 / √20400 = 2.7936.
        assert!((p - 0.005_213).abs() < 1e-5, "{p}");
    }

    proptest! {
        #[test]
        fn corrected_p_values_are_larger_and_keep_their_order(ps in proptest::collection::vec(0.0..1.0f64, 1..12)) {
            let corrected = holm(&ps);
            for i in 0..ps.len() {
                prop_assert!(corrected[i] >= ps[i] && corrected[i] <= 1.0);
                for j in 0..ps.len() {
                    prop_assert!(ps[i] > ps[j] || corrected[i] <= corrected[j]);
                }
            }
        }
    }
}
