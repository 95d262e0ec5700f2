//! Metrics of order: average precision and ROC-AUC. Thresholds play no part in them.

use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

use super::{MetricError, check_lengths, check_shape, shape};

/// Average precision of one label: `Σ_g (R_g − R_{g−1}) · P_g` over the distinct scores from the highest down, with
/// recall
/// `R_g` and precision `P_g` of the articles that score at least as high. `None` when no article has the label.
///
/// Not interpolated, equal scores share one step; as scikit-learn's `average_precision_score`, which gives 0 where this
/// is
/// `None`.
///
/// # Errors
/// No rows, lengths that differ, or a score that is not finite.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::metrics::ranking::average_precision;
/// let y_true = array![false, false, true, true];
/// let ap = average_precision(y_true.view(), array![0.1, 0.4, 0.35, 0.8].view())?;
/// assert!((ap.unwrap() - 5.0 / 6.0).abs() < 1e-12);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn average_precision(y_true: ArrayView1<bool>, y_score: ArrayView1<f64>) -> Result<Option<f64>, MetricError> {
    Ok(RankedLabel::new(y_true, y_score)?.unweighted().average_precision)
}

/// Area under the ROC curve of one label: the probability that an article with the label scores higher than one
/// without, ties counting half. `None` when all articles have the label, or none has it.
///
/// # Errors
/// No rows, lengths that differ, or a score that is not finite.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::metrics::ranking::roc_auc;
/// let y_true = array![false, false, true, true];
/// assert_eq!(roc_auc(y_true.view(), array![0.1, 0.4, 0.35, 0.8].view())?, Some(0.75));
/// assert_eq!(roc_auc(array![true, true].view(), array![0.1, 0.4].view())?, None);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn roc_auc(y_true: ArrayView1<bool>, y_score: ArrayView1<f64>) -> Result<Option<f64>, MetricError> {
    Ok(RankedLabel::new(y_true, y_score)?.unweighted().roc_auc)
}

/// Both metrics of every label, in label order.
///
/// # Errors
/// No rows, no labels, shapes that differ, or a score that is not finite.
pub fn ranking_per_label(
    y_true: ArrayView2<bool>,
    y_score: ArrayView2<f64>,
) -> Result<Vec<RankingScores>, MetricError> {
    Ok(rank_labels(y_true, y_score)?.iter().map(RankedLabel::unweighted).collect())
}

/// Mean average precision over the labels that at least one article has; `None` when there is none.
///
/// A label that nobody has cannot be ranked well or badly. scikit-learn's `average="macro"` counts it as 0, so a test
/// set that lacks half of the labels can reach 0.5 at most; [`map_macro_sklearn`] gives that number.
///
/// # Errors
/// As [`ranking_per_label`].
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::metrics::ranking::{map_macro, map_macro_sklearn};
/// let y_true = array![[true, false], [false, false]];
/// let y_score = array![[0.9, 0.2], [0.1, 0.3]];
/// assert_eq!(map_macro(y_true.view(), y_score.view())?, Some(1.0));
/// assert_eq!(map_macro_sklearn(y_true.view(), y_score.view())?, 0.5);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn map_macro(y_true: ArrayView2<bool>, y_score: ArrayView2<f64>) -> Result<Option<f64>, MetricError> {
    Ok(mean_defined(ranking_per_label(y_true, y_score)?.iter().map(|scores| scores.average_precision)))
}

/// Mean average precision over all labels, 0 for those that no article has: scikit-learn's
/// `average_precision_score(…, average="macro")`.
///
/// # Errors
/// As [`ranking_per_label`].
pub fn map_macro_sklearn(y_true: ArrayView2<bool>, y_score: ArrayView2<f64>) -> Result<f64, MetricError> {
    let scores = ranking_per_label(y_true, y_score)?;
    Ok(scores.iter().filter_map(|scores| scores.average_precision).sum::<f64>() / scores.len() as f64)
}

/// Mean ROC-AUC over the labels for which it is defined; `None` when it is for none.
///
/// # Errors
/// As [`ranking_per_label`].
pub fn roc_auc_macro(y_true: ArrayView2<bool>, y_score: ArrayView2<f64>) -> Result<Option<f64>, MetricError> {
    Ok(mean_defined(ranking_per_label(y_true, y_score)?.iter().map(|scores| scores.roc_auc)))
}

/// Average precision and ROC-AUC of one label, where defined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankingScores {
    pub average_precision: Option<f64>,
    pub roc_auc: Option<f64>,
}

/// One label's articles in order of score, sorted once so that any weighting of them is scored in one pass.
///
/// Articles that score below the last one with the label change neither metric and are dropped.
#[derive(Clone, Debug)]
pub struct RankedLabel {
    /// Articles from the highest score down; among equal scores, those with the label first.
    order: Vec<u32>,
    /// One for each distinct score that an article with the label has. Articles between steps lack the label.
    steps: Vec<Step>,
    n_rows: usize,
}

/// Articles of equal score as a range of the order: `start..positives_end` have the label, `positives_end..end` lack
/// it.
#[derive(Clone, Copy, Debug)]
struct Step {
    start: usize,
    positives_end: usize,
    end: usize,
}

impl RankedLabel {
    /// Sorts one label's articles.
    ///
    /// # Errors
    /// No rows or more than `u32::MAX`, lengths that differ, or a score that is not finite.
    pub fn new(y_true: ArrayView1<bool>, y_score: ArrayView1<f64>) -> Result<Self, MetricError> {
        let n_rows = y_true.len();
        check_lengths("scores", n_rows, y_score.len())?;
        let too_many = |_| MetricError::TooManyRows { limit: u32::MAX as usize, found: n_rows };
        let mut order: Vec<u32> = (0..u32::try_from(n_rows).map_err(too_many)?).collect();
        if let Some((row_idx, &value)) = y_score.iter().enumerate().find(|(_, score)| !score.is_finite()) {
            return Err(MetricError::Score { row_idx, value });
        }
        let score = |row: u32| y_score[row as usize] + 0.0; // −0 becomes 0: equal scores must compare as equal
        let lacks_label = |row: u32| !y_true[row as usize];
        order.sort_unstable_by(|&a, &b| {
            score(b).total_cmp(&score(a)).then(lacks_label(a).cmp(&lacks_label(b))).then(a.cmp(&b))
        });
        let mut steps = Vec::new();
        let mut start = 0;
        for tie in order.chunk_by(|&a, &b| score(a) == score(b)) {
            let n_positives = tie.iter().take_while(|&&row| !lacks_label(row)).count();
            if n_positives > 0 {
                steps.push(Step { start, positives_end: start + n_positives, end: start + tie.len() });
            }
            start += tie.len();
        }
        order.truncate(steps.last().map_or(0, |step| step.end));
        order.shrink_to_fit();
        Ok(Self { order, steps, n_rows })
    }

    /// Scores with every article counted once.
    pub fn unweighted(&self) -> RankingScores {
        self.scores(|rows| rows.len() as u64, self.n_rows as u64)
    }

    /// Scores with article `i` counted `weights[i]` times.
    ///
    /// # Panics
    /// When there are fewer weights than articles.
    pub fn weighted(&self, weights: &[u32], total_weight: u64) -> RankingScores {
        self.scores(|rows| rows.iter().map(|&row| u64::from(weights[row as usize])).sum(), total_weight)
    }

    fn scores(&self, weigh: impl Fn(&[u32]) -> u64, total_weight: u64) -> RankingScores {
        let (mut positives, mut negatives) = (0u64, 0u64);
        let mut precision_sum = 0.0;
        // Twice the weight of (with label, without) pairs in the wrong order, ties counted once.
        let mut misordered_doubled = 0u64;
        let mut previous_end = 0;
        for step in &self.steps {
            negatives += weigh(&self.order[previous_end..step.start]);
            let gained = weigh(&self.order[step.start..step.positives_end]);
            let tied = weigh(&self.order[step.positives_end..step.end]);
            misordered_doubled += gained * (2 * negatives + tied);
            positives += gained;
            negatives += tied;
            if gained > 0 {
                precision_sum += gained as f64 * (positives as f64 / (positives + negatives) as f64);
            }
            previous_end = step.end;
        }
        let all_negatives = total_weight - positives;
        let n_pairs = positives as f64 * all_negatives as f64;
        RankingScores {
            average_precision: (positives > 0).then(|| precision_sum / positives as f64),
            roc_auc: (n_pairs > 0.0).then(|| 1.0 - misordered_doubled as f64 / (2.0 * n_pairs)),
        }
    }
}

/// Sorts the articles of every label.
pub(super) fn rank_labels(y_true: ArrayView2<bool>, y_score: ArrayView2<f64>) -> Result<Vec<RankedLabel>, MetricError> {
    check_shape("scores", shape(y_true), shape(y_score))?;
    (0..y_true.ncols())
        .into_par_iter()
        .map(|label_idx| {
            RankedLabel::new(y_true.index_axis(Axis(1), label_idx), y_score.index_axis(Axis(1), label_idx))
        })
        .collect()
}

/// The mean of the values that there are.
pub(super) fn mean_defined(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, n_defined) = values.flatten().fold((0.0, 0usize), |(sum, n), value| (sum + value, n + 1));
    (n_defined > 0).then(|| sum / n_defined as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};
    use proptest::prelude::*;

    use super::*;

    /// Slow and obvious: every article against every other, each repeated by its weight.
    fn reference(rows: &[(bool, f64, u32)]) -> RankingScores {
        let repeated: Vec<(bool, f64)> =
            rows.iter().flat_map(|&(has, score, weight)| std::iter::repeat_n((has, score), weight as usize)).collect();
        let positives: Vec<f64> = repeated.iter().filter(|row| row.0).map(|row| row.1).collect();
        let negatives: Vec<f64> = repeated.iter().filter(|row| !row.0).map(|row| row.1).collect();
        let precision_at = |score: f64| {
            let above = |scores: &[f64]| scores.iter().filter(|&&other| other >= score).count() as f64;
            above(&positives) / (above(&positives) + above(&negatives))
        };
        let wins = positives.iter().flat_map(|p| negatives.iter().map(move |n| (p, n)));
        let wins: f64 = wins
            .map(|(p, n)| {
                if p > n {
                    1.0
                } else if p == n {
                    0.5
                } else {
                    0.0
                }
            })
            .sum();
        let n_pairs = (positives.len() * negatives.len()) as f64;
        RankingScores {
            average_precision: mean_defined(positives.iter().map(|&score| Some(precision_at(score)))),
            roc_auc: (n_pairs > 0.0).then(|| wins / n_pairs),
        }
    }

    fn assert_close(found: RankingScores, expected: RankingScores) {
        for (found, expected) in
            [(found.average_precision, expected.average_precision), (found.roc_auc, expected.roc_auc)]
        {
            match (found, expected) {
                (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-12, "{found}, not {expected}"),
                _ => assert_eq!(found, expected),
            }
        }
    }

    proptest! {
        #[test]
        fn one_pass_over_sorted_articles_agrees_with_all_pairs(
            rows in proptest::collection::vec((any::<bool>(), 0..8u8, 0..4u32), 1..30),
        ) {
            let rows: Vec<(bool, f64, u32)> =
                rows.into_iter().map(|(has, score, weight)| (has, f64::from(score) / 8.0, weight)).collect();
            let y_true: Array1<bool> = rows.iter().map(|row| row.0).collect();
            let y_score: Array1<f64> = rows.iter().map(|row| row.1).collect();
            let weights: Vec<u32> = rows.iter().map(|row| row.2).collect();
            let ranked = RankedLabel::new(y_true.view(), y_score.view()).unwrap();
            assert_close(ranked.weighted(&weights, weights.iter().map(|&w| u64::from(w)).sum()), reference(&rows));
            let once: Vec<(bool, f64, u32)> = rows.iter().map(|row| (row.0, row.1, 1)).collect();
            assert_close(ranked.unweighted(), reference(&once));
            assert_close(ranked.weighted(&vec![1; rows.len()], rows.len() as u64), ranked.unweighted());
        }
    }

    #[test]
    fn zeros_of_either_sign_tie() {
        let scores = roc_auc(array![true, false].view(), array![-0.0, 0.0].view());
        assert_eq!(scores, Ok(Some(0.5)));
    }

    #[test]
    fn scores_that_cannot_be_sorted_are_refused() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let message =
                average_precision(array![true, false].view(), array![0.5, value].view()).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("the score of article number 1 (counted from 0) is {value}, expected a finite number")
            );
        }
        let empty = Array1::<f64>::zeros(0);
        assert_eq!(roc_auc(Array1::from_elem(0, false).view(), empty.view()), Err(MetricError::NoRows));
    }
}
