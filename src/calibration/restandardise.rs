//! Logits of texts from elsewhere, brought back to the place and width they had in training.
//!
//! Another publisher's texts move a view's logits: another style makes every topic seem less likely, shorter texts make the logits
//! smaller. Where a batch has no labels, its logits can still be given the mean and standard deviation, per label, that
//! out-of-fold logits had in training:
//!
//! `z' = m + δ · (μ − m) + (σ / s)^δ · (z − m)`, with `m`, `s` of the batch, `μ`, `σ` of training, and
//! `δ = strength · n₊ / (n₊ + 30)` for the `n₊` articles of the label that a batch of its size would have in training.
//!
//! **Assumes** that each label is as frequent in the batch as in training; only the scale moved.
//! **Harms** where that is wrong: a batch in which nobody writes about sport gets its most sport-like articles labelled sport. A few
//! articles are a batch of their own frequencies by chance, hence the shrinkage; a batch all on one topic must not be re-standardised.
//!
//! Not a default: the table in [`super::shift`] has what half its strength brings and costs. Leaving out one genre of diplomatic texts at a
//! time it gained 0.2 points of micro-F1, on another publisher's 4 in an earlier trial at full strength; it cost up to 0.3 where nothing
//! had moved, 1 to 2 between genres or publishers with other label frequencies, and up to 4 where only those had moved.

use ndarray::{Array2, ArrayView2, Axis, Zip};
use serde::{Deserialize, Serialize};

use super::{CalibrationError, check_finite, check_targets};
use crate::labels::Targets;

/// Articles of a label, or without it where those are fewer, from which a batch's own moments count as much as the training's; the head of
/// this file says how it was chosen. A rare label's threshold is far out in the tail, where a little more width moves hundreds of
/// articles across; and it is where a few articles make the width.
const PRIOR_POSITIVES: f64 = 30.0;
/// Strength for whoever has no labels to choose it by: full strength gained little more on other genres, and cost twice as much where
/// label frequencies had moved.
pub const DEFAULT_STRENGTH: f64 = 0.5;
/// How far a label's logits are stretched or pressed at most. A batch without the label has hardly any width, and its noise
/// must not be blown up into topics.
const MAX_SCALE_RATIO: f64 = 4.0;

/// Mean and standard deviation of one view's training logits, each label its own.
///
/// ```
/// use ndarray::array;
/// use topicwire::calibration::restandardise::Restandardise;
/// let training = Restandardise::new(vec![0.0], vec![1.0], vec![0.5])?;
/// let batch = array![[2.0], [4.0]];
/// // Of two articles one should have the label: they move by 1/31 of the way.
/// let moved = training.apply(batch.view(), 1.0)?;
/// assert!((moved.mean().unwrap() - 3.0 * (1.0 - 1.0 / 31.0)).abs() < 1e-12);
/// assert_eq!(training.apply(batch.view(), 0.0)?, batch);
/// # Ok::<(), topicwire::calibration::CalibrationError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawMoments")]
pub struct Restandardise {
    means: Vec<f64>,
    sds: Vec<f64>,
    shares: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMoments {
    means: Vec<f64>,
    sds: Vec<f64>,
    shares: Vec<f64>,
}

impl TryFrom<RawMoments> for Restandardise {
    type Error = CalibrationError;

    fn try_from(raw: RawMoments) -> Result<Self, CalibrationError> {
        Self::new(raw.means, raw.sds, raw.shares)
    }
}

impl Restandardise {
    /// Means, standard deviations and frequencies (shares of articles, 0 to 1) from outside, one of each per label.
    ///
    /// # Errors
    /// Unequal numbers of them, values that are not finite, standard deviations below 0, shares outside 0 to 1.
    pub fn new(means: Vec<f64>, sds: Vec<f64>, shares: Vec<f64>) -> Result<Self, CalibrationError> {
        for (what, found) in [("the list of standard deviations", sds.len()), ("the list of shares", shares.len())] {
            if found != means.len() {
                return Err(CalibrationError::NLabels { what, expected: means.len(), found });
            }
        }
        for (label_idx, (&mean, &sd)) in means.iter().zip(&sds).enumerate() {
            if !(mean.is_finite() && sd.is_finite() && sd >= 0.0) {
                return Err(CalibrationError::Moments { label_idx, mean, sd });
            }
        }
        if let Some(label_idx) = shares.iter().position(|share| !(0.0..=1.0).contains(share)) {
            return Err(CalibrationError::Share { label_idx, found: shares[label_idx] });
        }
        Ok(Self { means, sds, shares })
    }

    /// Moments of one view's out-of-fold logits, `[n_articles, n_labels]`, over all articles (divisor `n_articles`).
    ///
    /// # Errors
    /// Logits that do not match the targets or are not finite; [`CalibrationError::NoArticles`].
    pub fn fit(logits: ArrayView2<f64>, targets: &Targets) -> Result<Self, CalibrationError> {
        let (n_articles, n_labels) = logits.dim();
        check_targets(n_articles, n_labels, targets)?;
        check_finite(logits)?;
        let moments = logits.axis_iter(Axis(1)).map(|label| (label.sum() / n_articles as f64, label.std(0.0)));
        let (means, sds) = moments.unzip();
        let shares = targets.support(n_labels).into_iter().map(|n| n as f64 / n_articles as f64).collect();
        Self::new(means, sds, shares)
    }

    /// Mean of each label's logits.
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// Standard deviation of each label's logits.
    pub fn sds(&self) -> &[f64] {
        &self.sds
    }

    /// Share of training articles of each label.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// The logits of a batch, `[n_articles, n_labels]`, moved towards the training moments; the formula is at the head of this file.
    ///
    /// `strength` is 0 (nothing changes) to 1 (large batches get the training moments, but for labels whose width would change by
    /// more than a factor of 4). Labels without any width, in training or in the batch, keep what they have and move only. Within a label
    /// the order of the articles stays.
    ///
    /// # Errors
    /// Another number of labels, logits that are not finite, a strength outside 0 to 1.
    pub fn apply(&self, logits: ArrayView2<f64>, strength: f64) -> Result<Array2<f64>, CalibrationError> {
        if !(0.0..=1.0).contains(&strength) {
            return Err(CalibrationError::Setting { what: "strength", expected: "0 to 1", found: strength });
        }
        if logits.ncols() != self.means.len() {
            let (expected, found) = (self.means.len(), logits.ncols());
            return Err(CalibrationError::NLabels { what: "the training moments", expected, found });
        }
        check_finite(logits)?;
        let mut moved = logits.to_owned();
        let n_articles = logits.nrows() as f64;
        if n_articles == 0.0 {
            return Ok(moved);
        }
        let moments = self.means.iter().zip(&self.sds).zip(&self.shares);
        for (mut label, ((&mean, &sd), &frequency)) in moved.axis_iter_mut(Axis(1)).zip(moments) {
            let n_positive = n_articles * frequency.min(1.0 - frequency);
            let share = strength * n_positive / (n_positive + PRIOR_POSITIVES);
            let (own_mean, own_sd) = (label.sum() / n_articles, label.std(0.0));
            let ratio = if sd > 0.0 && own_sd > 0.0 { sd / own_sd } else { 1.0 };
            let scale = ratio.clamp(1.0 / MAX_SCALE_RATIO, MAX_SCALE_RATIO).powf(share);
            Zip::from(&mut label).for_each(|z| *z = own_mean + share * (mean - own_mean) + scale * (*z - own_mean));
        }
        Ok(moved)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::RngExt;

    use super::*;
    use crate::labels::LabelId;
    use crate::rng::generator;

    fn uniform(n: usize, low: f64, high: f64) -> Array2<f64> {
        let mut rng = generator(4, "restandardise");
        Array2::from_shape_simple_fn((n, 2), || rng.random_range(low..high))
    }

    fn moments_of(logits: &Array2<f64>) -> Restandardise {
        let targets = Targets::Multi(vec![vec![LabelId(0), LabelId(1)]; logits.nrows()]);
        Restandardise::fit(logits.view(), &targets).unwrap()
    }

    #[test]
    fn a_large_batch_gets_the_training_moments() {
        let training = Restandardise::new(vec![-1.0, 2.0], vec![0.5, 3.0], vec![0.5, 0.1]).unwrap();
        let moved = moments_of(&training.apply(uniform(1_000_000, 1.0, 6.0).view(), 1.0).unwrap());
        for label_idx in 0..2 {
            assert!((moved.means()[label_idx] - training.means()[label_idx]).abs() < 2e-3, "{moved:?}");
            assert!((moved.sds()[label_idx] / training.sds()[label_idx] - 1.0).abs() < 2e-3, "{moved:?}");
        }
    }

    #[test]
    fn moments_and_shares_are_counted() {
        let targets = Targets::Single([0, 1, 1, 1].map(LabelId).to_vec());
        let logits = array![[1.0, 5.0], [1.0, 5.0], [3.0, 5.0], [3.0, 5.0]];
        let expected = Restandardise::new(vec![2.0, 5.0], vec![1.0, 0.0], vec![0.25, 0.75]).unwrap();
        assert_eq!(Restandardise::fit(logits.view(), &targets).unwrap(), expected);
    }

    #[test]
    fn batches_like_the_training_small_ones_and_rare_labels_stay() {
        let batch = uniform(500, -4.0, 1.0);
        let own = moments_of(&batch);
        let like = Restandardise::new(own.means().to_vec(), own.sds().to_vec(), vec![0.5; 2]).unwrap();
        let moved = like.apply(batch.view(), 1.0).unwrap();
        assert!((&moved - &batch).iter().all(|change| change.abs() < 1e-12));
        // Ten away from the training mean. Of one article at frequency 1/10: 0.1/30.1 of the way, and no width to stretch; of
        // 1,000 articles at frequency 0 nothing.
        let training = Restandardise::new(vec![10.0, 10.0], vec![1.0, 1.0], vec![0.1, 0.0]).unwrap();
        let moved = training.apply(array![[0.0, 0.0]].view(), 1.0).unwrap();
        assert!((moved[[0, 0]] - 1.0 / 30.1).abs() < 1e-12, "{moved}");
        let batch = uniform(1_000, -4.0, 1.0);
        assert!((&training.apply(batch.view(), 1.0).unwrap() - &batch).column(1).iter().all(|x| x.abs() < 1e-12));
        assert_eq!(training.apply(Array2::zeros((0, 2)).view(), 1.0).unwrap().dim(), (0, 2));
    }

    #[test]
    fn widths_change_within_bounds_and_the_order_stays() {
        let training = Restandardise::new(vec![0.0, 0.0], vec![1e6, 1e-6], vec![0.5; 2]).unwrap();
        let batch = uniform(10_000, -1.0, 1.0);
        let moved = training.apply(batch.view(), 1.0).unwrap();
        let (before, after) = (moments_of(&batch), moments_of(&moved));
        let ratios: Vec<f64> = after.sds().iter().zip(before.sds()).map(|(after, before)| after / before).collect();
        assert!((3.9..=4.0).contains(&ratios[0]) && (0.25..0.26).contains(&ratios[1]), "{ratios:?}");
        for (before, after) in batch.columns().into_iter().zip(moved.columns()) {
            for i in 1..before.len() {
                assert_eq!(before[i] > before[i - 1], after[i] > after[i - 1]);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_moments_survive_json() {
        let training = Restandardise::new(vec![0.5, -1.0], vec![1.0, 2.0], vec![0.1, 0.9]).unwrap();
        let json = serde_json::to_string(&training).unwrap();
        assert_eq!(serde_json::from_str::<Restandardise>(&json).unwrap(), training);
        let json = r#"{"means": [0.0], "sds": [-1.0], "shares": [0.5]}"#;
        let message = serde_json::from_str::<Restandardise>(json).unwrap_err().to_string();
        let expected = "training logits of label number 0 have mean 0 and standard deviation -1";
        assert!(message.starts_with(expected), "{message}");
        let new = Restandardise::new;
        assert!(matches!(new(vec![0.0], vec![], vec![0.0]), Err(CalibrationError::NLabels { .. })));
        assert!(matches!(new(vec![0.0], vec![1.0], vec![]), Err(CalibrationError::NLabels { .. })));
        assert!(matches!(new(vec![f64::NAN], vec![1.0], vec![0.5]), Err(CalibrationError::Moments { .. })));
        assert!(matches!(new(vec![0.0], vec![1.0], vec![1.5]), Err(CalibrationError::Share { .. })));
        let fit = |logits: Array2<f64>, labels: &[usize]| {
            Restandardise::fit(logits.view(), &Targets::Single(labels.iter().map(|&k| LabelId(k)).collect()))
        };
        assert_eq!(fit(Array2::zeros((0, 2)), &[]), Err(CalibrationError::NoArticles));
        assert!(matches!(fit(array![[0.0]], &[]), Err(CalibrationError::RowCount { .. })));
        assert!(matches!(fit(array![[0.0]], &[1]), Err(CalibrationError::LabelOutOfRange { .. })));
        assert!(matches!(fit(array![[f64::INFINITY]], &[0]), Err(CalibrationError::NonFinite { .. })));
        let apply = |logits: Array2<f64>, strength| training.apply(logits.view(), strength);
        assert!(matches!(apply(array![[0.0]], 1.0), Err(CalibrationError::NLabels { .. })));
        assert!(matches!(apply(array![[0.0, f64::NAN]], 1.0), Err(CalibrationError::NonFinite { .. })));
        for strength in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(apply(array![[0.0, 0.0]], strength), Err(CalibrationError::Setting { .. })));
        }
    }
}
