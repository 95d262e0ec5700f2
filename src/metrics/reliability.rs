//! How far probabilities are from frequencies: bins of a reliability diagram with their intervals, the calibration error that chance alone makes,
//! and the Brier score taken apart.

use ndarray::{ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::bootstrap::Interval;
use super::probability::{Binning, ECE_BINS, expected_calibration_error, reliability, top_label};
use super::{MetricError, check_indicators, check_probabilities, check_shape, only_labels, shape};
use crate::labels::Task;

/// Two-sided 95 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of a frequency, `n_hits` of `n`, 0 to 1; `[0, 1]` of nothing.
///
/// `(p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)`: E. B. Wilson, *Probable Inference, the Law of Succession, and Statistical
/// Inference* (1927). Never outside 0 to 1, and of some width where all or none are hits.
///
/// ```
/// use topicwire::metrics::reliability::wilson_interval;
/// let interval = wilson_interval(0, 20);
/// assert!(interval.low == 0.0 && (interval.high - 0.1611).abs() < 1e-4);
/// ```
pub fn wilson_interval(n_hits: usize, n: usize) -> Interval {
    if n == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let (n, hits) = (n as f64, n_hits as f64);
    let p = hits / n;
    let z2 = Z_95 * Z_95 / n;
    let (middle, reach) = (p + z2 / 2.0, Z_95 * (p * (1.0 - p) / n + z2 / (4.0 * n)).sqrt());
    // At the ends the bound is exact, and rounding must not carry it past.
    let low = if hits == 0.0 { 0.0 } else { (middle - reach) / (1.0 + z2) };
    let high = if hits == n { 1.0 } else { (middle + reach) / (1.0 + z2) };
    Interval { low, high }
}

/// The calibration error with bins of equal mass that perfect probabilities have on average, for outcomes that come true with just these
/// confidences, independently: noise alone puts each bin's frequency off.
///
/// `1/n · Σ_b E|S_b − Σ p|`, where `S_b` counts what comes true in bin `b`. The distance is de Moivre's mean deviation of a binomial,
/// `2 m C(n, m) p^m (1 − p)^(n − m + 1)` with `m = ⌊n p⌋ + 1` at the bin's mean confidence `p`, times the ratio of the standard
/// deviation of `S_b` to the binomial's, which is a little larger where confidences in a bin differ.
///
/// # Errors
/// No rows, a confidence outside `[0, 1]`, or no bins.
pub fn ece_floor(confidence: &[f64], n_bins: usize) -> Result<f64, MetricError> {
    let bins = reliability(confidence, &vec![false; confidence.len()], Binning::EqualMass { n_bins })?;
    let mut sorted = confidence.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut first = 0;
    let mut sum = 0.0;
    for bin in bins {
        // Bins follow the order of confidences.
        let own = &sorted[first..first + bin.n];
        first += bin.n;
        let variance: f64 = own.iter().map(|p| p * (1.0 - p)).sum();
        let binomial = bin.n as f64 * bin.mean_confidence * (1.0 - bin.mean_confidence);
        if variance > 0.0 && binomial > 0.0 {
            sum += mean_deviation(bin.n as f64, bin.mean_confidence) * (variance / binomial).sqrt();
        }
    }
    Ok(sum / confidence.len() as f64)
}

/// `E|S − n p|` of a binomial `S`, de Moivre's formula; `p` strictly between 0 and 1.
fn mean_deviation(n: f64, p: f64) -> f64 {
    // The product may round to n.
    let m = ((n * p).floor() + 1.0).min(n);
    let ln_choose = libm::lgamma(n + 1.0) - libm::lgamma(m + 1.0) - libm::lgamma(n - m + 1.0);
    2.0 * m * (ln_choose + m * p.ln() + (n - m + 1.0) * (-p).ln_1p()).exp()
}

/// The Brier score taken apart over bins of predictions: `reliability − resolution + uncertainty + within_bins`.
///
/// Murphy, *A New Vector Partition of the Probability Score* (1973); the part within bins, without which the sum is not exact where probabilities
/// in a bin differ: Stephenson, Coelho & Jolliffe, *Two Extra Components in the Brier Score Decomposition* (2008).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BrierParts {
    /// `Σ_b n_b/n · (p̄_b − ȳ_b)²`: how far probabilities are from frequencies; smaller is better. Noise in the bins adds to it, about
    /// `n_bins/n` of the uncertainty.
    pub reliability: f64,
    /// `Σ_b n_b/n · (ȳ_b − ȳ)²`: how far frequencies of the bins are from the overall one; larger is better.
    pub resolution: f64,
    /// `ȳ (1 − ȳ)`: the score of who knows the overall frequency alone.
    pub uncertainty: f64,
    /// `1/n · Σ_b Σ (p − p̄_b)² − 2 (p − p̄_b)(y − ȳ_b)`: what telling predictions of one bin apart costs, or gains where below 0.
    pub within_bins: f64,
}

/// Takes the Brier score of one label's probabilities apart, in bins of equal mass.
///
/// # Errors
/// As [`reliability`].
///
/// # Example
/// ```
/// use topicwire::metrics::reliability::brier_parts;
/// let (p, y) = ([0.1, 0.3, 0.6, 0.8], [false, false, true, false]);
/// let parts = brier_parts(&p, &y, 2)?;
/// let brier = (0.01 + 0.09 + 0.16 + 0.64) / 4.0;
/// assert!((parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins - brier).abs() < 1e-12);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn brier_parts(probability: &[f64], outcome: &[bool], n_bins: usize) -> Result<BrierParts, MetricError> {
    let bins = reliability(probability, outcome, Binning::EqualMass { n_bins })?;
    let mut order: Vec<usize> = (0..probability.len()).collect();
    order.sort_by(|&a, &b| probability[a].total_cmp(&probability[b]));
    let n = probability.len() as f64;
    let overall = outcome.iter().filter(|outcome| **outcome).count() as f64 / n;
    let mut parts = BrierParts { uncertainty: overall * (1.0 - overall), ..BrierParts::default() };
    let mut first = 0;
    for bin in bins {
        let weight = bin.n as f64 / n;
        parts.reliability += weight * (bin.mean_confidence - bin.frequency).powi(2);
        parts.resolution += weight * (bin.frequency - overall).powi(2);
        for &row_idx in &order[first..first + bin.n] {
            let (p, y) = (probability[row_idx] - bin.mean_confidence, f64::from(outcome[row_idx]) - bin.frequency);
            parts.within_bins += (p * p - 2.0 * p * y) / n;
        }
        first += bin.n;
    }
    Ok(parts)
}

/// What a report says of probabilities beside its metrics; in JSON under the names of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbabilityQuality {
    /// Calibration error in 15 bins of equal mass, of the predictions that the report's `ece` is about. Biased upwards: noise in a bin
    /// counts as an error. Compare it with the next.
    pub ece_equal_mass: f64,
    /// What perfectly calibrated probabilities like these would show on average, see [`ece_floor`].
    pub ece_equal_mass_floor: f64,
    /// The parts of `brier`, each label taken apart in 15 bins of equal mass of its own: the first less the second, plus the third and the
    /// fourth is the score.
    pub brier_reliability: f64,
    pub brier_resolution: f64,
    pub brier_uncertainty: f64,
    pub brier_within_bins: f64,
}

impl ProbabilityQuality {
    /// Measures probabilities.
    ///
    /// As for `ece`, `single` looks at the label predicted of each article, `multi` at all labels of all articles, of which the floor takes
    /// the outcomes as independent. The parts of the Brier score are means over labels for `multi`, sums over labels for `single` (half of
    /// them for two labels), as is the score.
    ///
    /// # Shapes
    /// * `y_true`, `y_score` `[n, n_labels]`
    ///
    /// # Errors
    /// No rows, no labels, shapes that differ, a value that is not a probability; for `single`, a row of `y_true` without exactly
    /// one label.
    pub fn new(task: Task, y_true: ArrayView2<bool>, y_score: ArrayView2<f64>) -> Result<Self, MetricError> {
        check_indicators(y_true, y_true)?;
        check_shape("probabilities", shape(y_true), shape(y_score))?;
        check_probabilities(y_score)?;
        let (confidence, outcome): (Vec<f64>, Vec<bool>) = match task {
            Task::Single => {
                let truths = only_labels(y_true, "truth")?;
                let top = y_score.rows().into_iter().map(top_label).zip(truths);
                top.map(|((label, confidence), truth)| (confidence, label == truth)).unzip()
            }
            Task::Multi => y_score.iter().copied().zip(y_true.iter().copied()).unzip(),
        };
        let parts = y_score
            .axis_iter(Axis(1))
            .zip(y_true.axis_iter(Axis(1)))
            .map(|(probability, outcome)| parts_of_label(probability, outcome))
            .collect::<Result<Vec<_>, _>>()?;
        let scale = match (task, parts.len()) {
            (Task::Single, 2) => 0.5,
            (Task::Single, _) => 1.0,
            (Task::Multi, n_labels) => 1.0 / n_labels as f64,
        };
        let total = |part: fn(&BrierParts) -> f64| scale * parts.iter().map(part).sum::<f64>();
        let binning = Binning::EqualMass { n_bins: ECE_BINS };
        Ok(Self {
            ece_equal_mass: expected_calibration_error(&confidence, &outcome, binning)?,
            ece_equal_mass_floor: ece_floor(&confidence, ECE_BINS)?,
            brier_reliability: total(|parts| parts.reliability),
            brier_resolution: total(|parts| parts.resolution),
            brier_uncertainty: total(|parts| parts.uncertainty),
            brier_within_bins: total(|parts| parts.within_bins),
        })
    }
}

fn parts_of_label(probability: ArrayView1<f64>, outcome: ArrayView1<bool>) -> Result<BrierParts, MetricError> {
    brier_parts(&probability.to_vec(), &outcome.to_vec(), ECE_BINS)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::labels::LabelId;
    use crate::metrics::probability::{brier_multi, brier_single};
    use crate::rng::generator;

    /// `E|S − n p|` from the probability of every count.
    fn deviation_by_counts(p: f64, n: usize) -> f64 {
        let mut of_counts = vec![1.0];
        for _ in 0..n {
            let mut next = vec![0.0; of_counts.len() + 1];
            for (count, probability) in of_counts.iter().enumerate() {
                next[count] += probability * (1.0 - p);
                next[count + 1] += probability * p;
            }
            of_counts = next;
        }
        of_counts.iter().enumerate().map(|(count, probability)| probability * (count as f64 - p * n as f64).abs()).sum()
    }

    #[test]
    fn de_moivre_agrees_with_counting() {
        for n in [1, 2, 7, 40] {
            for p in [1e-9, 0.01, 0.25, 0.5, 0.9, 1.0 - 1e-9] {
                let (found, expected) = (mean_deviation(n as f64, p), deviation_by_counts(p, n));
                assert!((found - expected).abs() < 1e-6 * expected, "{n}, {p}: {found}, expected {expected}");
            }
        }
    }

    #[test]
    fn the_floor_is_what_perfect_probabilities_show() {
        // All near 0 but for a few, as in a multi-label task, so that no bin is normal.
        let mut rng = generator(1, "floor");
        let p: Vec<f64> = (0..3_000).map(|_| rng.random::<f64>().powi(6)).collect();
        let floor = ece_floor(&p, 15).unwrap();
        let n_trials = 300;
        let mean = (0..n_trials)
            .map(|_| {
                let y: Vec<bool> = p.iter().map(|p| rng.random::<f64>() < *p).collect();
                expected_calibration_error(&p, &y, Binning::EqualMass { n_bins: 15 }).unwrap()
            })
            .sum::<f64>()
            / f64::from(n_trials);
        // One trial varies by a fifth, the mean of 300 by about 1 %.
        assert!((mean - floor).abs() < 0.04 * floor, "{mean}, expected {floor}");
        assert_eq!(ece_floor(&[0.0, 1.0, 1.0], 2), Ok(0.0));
        assert_eq!(ece_floor(&[0.5], 0), Err(MetricError::NoBins));
    }

    #[test]
    fn intervals_of_frequencies_hold_them_as_often_as_they_promise() {
        let (n, p, n_trials) = (60, 0.1, 4_000);
        let mut rng = generator(3, "wilson");
        let n_held = (0..n_trials)
            .filter(|_| {
                let interval = wilson_interval((0..n).filter(|_| rng.random::<f64>() < p).count(), n);
                interval.low <= p && p <= interval.high
            })
            .count();
        let share = n_held as f64 / f64::from(n_trials);
        assert!((0.93..0.98).contains(&share), "{share}");
        assert_eq!(wilson_interval(0, 0), Interval { low: 0.0, high: 1.0 });
        assert_eq!(wilson_interval(5, 5).high, 1.0);
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_score(
            cells in proptest::collection::vec((0.0..=1.0f64, any::<bool>()), 3..90),
            is_tied in any::<bool>(),
        ) {
            let n = cells.len() / 3;
            let y_score = Array2::from_shape_fn((n, 3), |(i, k)| {
                let p = cells[3 * i + k].0;
                if is_tied { (4.0 * p).round() / 4.0 } else { p }
            });
            let y_true = Array2::from_shape_fn((n, 3), |(i, k)| cells[3 * i + k].1);
            let total = |quality: ProbabilityQuality| {
                quality.brier_reliability - quality.brier_resolution + quality.brier_uncertainty + quality.brier_within_bins
            };
            let multi = ProbabilityQuality::new(Task::Multi, y_true.view(), y_score.view()).unwrap();
            prop_assert!((total(multi) - brier_multi(y_true.view(), y_score.view()).unwrap()).abs() < 1e-12);
            for n_labels in [2, 3] {
                let own: Vec<LabelId> = (0..n).map(|i| LabelId((i * i) % n_labels)).collect();
                let one = Array2::from_shape_fn((n, n_labels), |(i, k)| own[i].0 == k);
                let scores = y_score.slice(ndarray::s![.., ..n_labels]);
                let single = ProbabilityQuality::new(Task::Single, one.view(), scores).unwrap();
                prop_assert!((total(single) - brier_single(&own, scores).unwrap()).abs() < 1e-12);
            }
        }
    }
}
