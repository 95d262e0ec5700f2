//! How a promise was kept on articles whose labels are known.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::binomial::lower_bound;
use super::{Contract, Expected, Promise};
use crate::calibration::thresholds::Thresholds;
use crate::calibration::{CalibrationError, check_targets};
use crate::labels::Targets;

/// Both ends of the interval of a share leave out so much.
const TAIL: f64 = 0.025;

/// A share that was promised, as it came out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptShare {
    /// With precision the assignments, with recall the labels that articles have.
    pub n: usize,
    /// Of these the right ones, or those assigned or shown to a person.
    pub n_right: usize,
    /// `n_right / n`; none where `n` is 0.
    pub share: Option<f64>,
    /// Clopper & Pearson's 95 % interval, for articles drawn alike; none where `n` is 0.
    pub interval: Option<[f64; 2]>,
}

impl KeptShare {
    fn new(n: usize, n_right: usize) -> Self {
        let is_there = n > 0;
        Self {
            n,
            n_right,
            share: is_there.then(|| n_right as f64 / n as f64),
            interval: is_there.then(|| [lower_bound(n, n_right, TAIL), 1.0 - lower_bound(n, n - n_right, TAIL)]),
        }
    }
}

/// How a promise was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub promise: Promise,
    /// The risk that the promise fails.
    pub delta: f64,
    pub scope: super::Scope,
    /// What became of the articles.
    pub came: Expected,
    /// What the contract expected of articles like those it was fitted on.
    pub expected: Expected,
    /// Over all labels. Labels of one article stand or fall together, which the interval does not know where articles have several.
    pub all: KeptShare,
    /// With several labels an article: the mean over articles of the share of their labels, which is what a promise over all labels is about. None where no
    /// article has any.
    pub mean_of_articles: Option<f64>,
    /// Of each label.
    pub per_label: Vec<KeptShare>,
}

impl Contract {
    /// How the promise is kept on articles with these probabilities `[n_articles, n_labels]` and known labels.
    ///
    /// # Errors
    /// As [`Contract::decide`], and labels that do not match.
    pub fn kept(
        &self,
        probabilities: ArrayView2<f64>,
        targets: &Targets,
        ordinary: Option<&Thresholds>,
    ) -> Result<Kept, CalibrationError> {
        let (n_articles, n_labels) = probabilities.dim();
        check_targets(n_articles, n_labels, targets)?;
        let mut counts = vec![(0_usize, 0_usize); n_labels];
        let (mut sum_of_shares, mut n_with_labels) = (0.0, 0_usize);
        for (row_idx, row) in probabilities.rows().into_iter().enumerate() {
            let decision = self.decide(&row.to_vec(), ordinary)?;
            let known = targets.row(row_idx);
            let (judged, is_right): (&[_], &dyn Fn(_) -> bool) = match self.promise {
                Promise::Precision(_) => (&decision.labels, &|label| known.contains(label)),
                Promise::Recall(_) => {
                    (known, &|label| decision.labels.contains(label) || decision.review.contains(label))
                }
            };
            let mut n_right = 0;
            for label in judged {
                let is_right = usize::from(is_right(label));
                counts[label.0].0 += 1;
                counts[label.0].1 += is_right;
                n_right += is_right;
            }
            if !judged.is_empty() {
                sum_of_shares += n_right as f64 / judged.len() as f64;
                n_with_labels += 1;
            }
        }
        let (n, n_right) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        Ok(Kept {
            promise: self.promise,
            delta: self.delta,
            scope: self.scope,
            came: self.expect(probabilities, ordinary)?,
            expected: self.expected,
            all: KeptShare::new(n, n_right),
            mean_of_articles: (n_with_labels > 0).then(|| sum_of_shares / n_with_labels as f64),
            per_label: counts.into_iter().map(|(n, n_right)| KeptShare::new(n, n_right)).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::calibration::contract::{Certificate, Scope};
    use crate::labels::{LabelId, Task};

    fn contract(promise: Promise, thresholds: [Option<f64>; 2]) -> Contract {
        let certificate =
            Certificate { threshold: None, n_articles: 0, n_right: 0, level: 0.1, lower_bound: 0.0, p_value: 1.0 };
        Contract {
            task: Task::Multi,
            promise,
            delta: 0.1,
            scope: Scope::PerLabel,
            thresholds: thresholds.to_vec(),
            certificates: vec![certificate; 2],
            expected: Expected::NOTHING,
        }
    }

    #[test]
    fn shares_are_counted_by_hand() {
        let probabilities = array![[0.9, 0.8], [0.9, 0.1], [0.6, 0.2], [0.1, 0.9]];
        let labels = |ids: &[usize]| ids.iter().map(|&id| LabelId(id)).collect::<Vec<_>>();
        let targets = Targets::Multi(vec![labels(&[0]), labels(&[0, 1]), labels(&[0]), labels(&[1])]);
        let ordinary = Thresholds::new(vec![0.5, 0.5]).unwrap();
        let kept = |promise, thresholds| {
            contract(promise, thresholds).kept(probabilities.view(), &targets, Some(&ordinary)).unwrap()
        };
        // From 0.8: the first two get label 0, rightly; the first and the last label 1, the first wrongly.
        let precision = kept(Promise::Precision(0.9), [Some(0.8), Some(0.8)]);
        let counts = |kept: &Kept| kept.per_label.iter().map(|share| (share.n, share.n_right)).collect::<Vec<_>>();
        assert_eq!(counts(&precision), [(2, 2), (2, 1)]);
        assert_eq!((precision.all.n, precision.all.n_right, precision.all.share), (4, 3, Some(0.75)));
        assert_eq!(precision.mean_of_articles, Some((0.5 + 1.0 + 1.0) / 3.0));
        assert_eq!((precision.came.coverage, precision.came.review_load), (0.75, 0.25));
        // Five labels, of which the second article's label 1 is neither assigned nor shown; from 0.1 it is shown.
        let recall = kept(Promise::Recall(0.9), [None, None]);
        assert_eq!((counts(&recall), recall.all.share), (vec![(3, 3), (2, 1)], Some(0.8)));
        assert_eq!(counts(&kept(Promise::Recall(0.9), [None, Some(0.1)])), [(3, 3), (2, 2)]);
    }

    #[test]
    fn intervals_are_those_of_clopper_and_pearson() {
        // Of three right ones of four, scipy.stats.binomtest(3, 4).proportion_ci(): 0.19412044968324338, 0.9936905367902901.
        let share = KeptShare::new(4, 3);
        let [low, high] = share.interval.unwrap();
        assert!((low - 0.194_120_449_683_243_38).abs() < 1e-9 && (high - 0.993_690_536_790_290_1).abs() < 1e-9);
        assert_eq!(KeptShare::new(0, 0).interval, None);
    }
}
