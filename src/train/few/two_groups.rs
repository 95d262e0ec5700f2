//! Scores of articles with a label and without it, told apart without knowing any.
//!
//! Two normal distributions of one variance, `p(positive | s) = σ(slope · s + offset)`: the common variance makes the posterior
//! monotone in the score and the calibration a line, as in Platt scaling. The share of positives has a Beta prior. EM as in
//! McLachlan & Peel, *Finite Mixture Models* (2000), § 3.2; scores of unlabelled articles for calibration, as in Bennett, *Using
//! Asymmetric Distributions to Improve Text Classifier Probability Estimates* (2003).

use ndarray::ArrayView1;

use crate::calibration::sigmoid;

/// Rounds at most, and the change of a posterior that ends them.
const MAX_ROUNDS: usize = 300;
const TOLERANCE: f64 = 1e-7;
/// Share of the scores' variance that is left within a group to begin with.
const START_SPREAD: f64 = 1.0 / 3.0;
/// Least variance within a group, as a share of that of all scores: two groups never become points.
const MIN_SPREAD: f64 = 0.02;

/// `σ(slope · score + offset)` is the probability of the upper group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TwoGroups {
    pub(super) slope: f64,
    pub(super) offset: f64,
    /// Share of the upper group.
    pub(super) share: f64,
}

impl TwoGroups {
    /// Fits to scores; `positives` and `negatives` are the counts that the Beta prior adds, both positive.
    ///
    /// Equal scores, or fewer than two, give the prior's share to all.
    pub(super) fn fit(scores: ArrayView1<f64>, positives: f64, negatives: f64) -> Self {
        let n = scores.len() as f64;
        let prior_share = positives / (positives + negatives);
        let flat = Self { slope: 0.0, offset: (prior_share / (1.0 - prior_share)).ln(), share: prior_share };
        if scores.len() < 2 {
            return flat;
        }
        let total_variance = scores.var(0.0);
        if total_variance <= f64::MIN_POSITIVE {
            return flat;
        }
        let mut sorted = scores.to_vec();
        sorted.sort_by(f64::total_cmp);
        let n_upper = ((prior_share * n).round() as usize).clamp(1, sorted.len() - 1);
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let mut high = mean(&sorted[sorted.len() - n_upper..]);
        let mut low = mean(&sorted[..sorted.len() - n_upper]);
        let mut share = prior_share;
        let mut variance = START_SPREAD * total_variance;
        let mut line = Self::line(high, low, variance, share);
        let mut posteriors = vec![0.0; scores.len()];
        for _ in 0..MAX_ROUNDS {
            let mut change = 0.0f64;
            for (posterior, score) in posteriors.iter_mut().zip(scores) {
                let next = sigmoid(line.slope * score + line.offset);
                change = change.max((next - *posterior).abs());
                *posterior = next;
            }
            let upper: f64 = posteriors.iter().sum();
            let weighted = |centre: f64, upper: bool| {
                let side = |p: f64| if upper { p } else { 1.0 - p };
                posteriors.iter().zip(scores).map(|(p, s)| side(*p) * (s - centre) * (s - centre)).sum::<f64>()
            };
            let first = |upper: bool| {
                posteriors.iter().zip(scores).map(|(p, s)| if upper { p * s } else { (1.0 - p) * s }).sum::<f64>()
            };
            if upper > f64::EPSILON && n - upper > f64::EPSILON {
                (high, low) = (first(true) / upper, first(false) / (n - upper));
            }
            variance = ((weighted(high, true) + weighted(low, false)) / n).max(MIN_SPREAD * total_variance);
            share = (upper + positives) / (n + positives + negatives);
            line = Self::line(high, low, variance, share);
            if change <= TOLERANCE {
                break;
            }
        }
        line
    }

    fn line(high: f64, low: f64, variance: f64, share: f64) -> Self {
        // The upper group stays the upper one, so that a larger score is never a smaller probability.
        let slope = ((high - low) / variance).max(0.0);
        Self { slope, offset: (share / (1.0 - share)).ln() - slope * 0.5 * (high + low), share }
    }

    /// Probability of the upper group.
    pub(super) fn probability(&self, score: f64) -> f64 {
        sigmoid(self.slope * score + self.offset)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;

    #[test]
    fn few_groups_are_told_apart_at_the_right_place() {
        // 20 scores around 3, 80 around 0, both spread by ±1 evenly.
        let scores =
            Array1::from_shape_fn(100, |i| if i < 20 { 2.0 + i as f64 / 9.5 } else { -1.0 + (i - 20) as f64 / 39.5 });
        let groups = TwoGroups::fit(scores.view(), 1.0, 4.0);
        assert!((groups.share - 0.2).abs() < 0.01, "{groups:?}");
        assert!(groups.probability(0.9) < 0.1 && groups.probability(2.2) > 0.9, "{groups:?}");
    }

    #[test]
    fn few_equal_scores_leave_the_prior() {
        for n in [0, 1, 5] {
            let groups = TwoGroups::fit(Array1::from_elem(n, 0.7).view(), 1.0, 3.0);
            assert!((groups.probability(123.0) - 0.25).abs() < 1e-12, "{groups:?}");
        }
    }
}
