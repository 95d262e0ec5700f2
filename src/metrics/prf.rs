//! Precision, recall and F1 with their averages, accuracy, and Hamming loss.

use ndarray::{ArrayView2, Axis};

use super::confusion::{LabelCounts, multilabel_confusion_matrix};
use super::{MetricError, check_indicators, check_lengths};
use crate::labels::LabelId;

/// What a ratio without a denominator is: the precision of a label that was never predicted, the recall of one that
/// never occurs, the F1 of one that does neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroDivision {
    /// 0, as scikit-learn has it unless told otherwise.
    #[default]
    Zero,
    /// 1: nothing was to be found, and nothing was.
    One,
    /// NaN; averages then leave the label (the article) out, and are NaN when nothing is left.
    Nan,
}

impl ZeroDivision {
    fn value(self) -> f64 {
        match self {
            ZeroDivision::Zero => 0.0,
            ZeroDivision::One => 1.0,
            ZeroDivision::Nan => f64::NAN,
        }
    }
}

/// How the scores of several labels become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// From the counts of all labels together: every decision weighs the same.
    Micro,
    /// Mean over labels: every label weighs the same, those without any article included.
    Macro,
    /// Mean over labels weighted by support; the plain mean when no article has any label.
    Weighted,
    /// Mean over articles of the score of each article's set of labels. An article with neither true nor predicted
    /// labels counts as [`ZeroDivision`] says, so by default as 0.
    Samples,
}

/// Precision, recall and F1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecallF1 {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

impl PrecisionRecallF1 {
    /// `tp / (tp + fp)`, `tp / (tp + fn)`, `2 tp / (2 tp + fp + fn)`.
    pub fn from_counts(counts: &LabelCounts, zero_division: ZeroDivision) -> Self {
        let ratio = |numerator: u64, denominator: u64| match denominator {
            0 => zero_division.value(),
            _ => numerator as f64 / denominator as f64,
        };
        let (hits, predicted, support) = (counts.true_positives, counts.predicted(), counts.support());
        Self {
            precision: ratio(hits, predicted),
            recall: ratio(hits, support),
            f1: ratio(2 * hits, predicted + support),
        }
    }
}

/// Precision, recall and F1 of every label, in label order.
///
/// # Errors
/// No rows, no labels, or shapes that differ.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::metrics::prf::{ZeroDivision, precision_recall_f1_per_label};
/// let y_true = array![[true, false], [true, true], [false, true]];
/// let y_pred = array![[true, false], [false, true], [false, false]];
/// let scores = precision_recall_f1_per_label(y_true.view(), y_pred.view(), ZeroDivision::Zero)?;
/// assert_eq!((scores[0].precision, scores[0].recall), (1.0, 0.5));
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn precision_recall_f1_per_label(
    y_true: ArrayView2<bool>,
    y_pred: ArrayView2<bool>,
    zero_division: ZeroDivision,
) -> Result<Vec<PrecisionRecallF1>, MetricError> {
    let counts = multilabel_confusion_matrix(y_true, y_pred)?;
    Ok(counts.iter().map(|counts| PrecisionRecallF1::from_counts(counts, zero_division)).collect())
}

/// Precision, recall and F1 averaged over labels or articles.
///
/// Equal to scikit-learn's `precision_recall_fscore_support` on indicator matrices. Macro and weighted F1 are means of
/// F1, not the F1 of mean precision and recall.
///
/// # Errors
/// No rows, no labels, or shapes that differ.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::metrics::prf::{Average, ZeroDivision, precision_recall_f1};
/// let y_true = array![[true, false], [true, true], [false, true]];
/// let y_pred = array![[true, false], [false, true], [false, false]];
/// let micro = precision_recall_f1(y_true.view(), y_pred.view(), Average::Micro, ZeroDivision::Zero)?;
/// assert!((micro.f1 - 2.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn precision_recall_f1(
    y_true: ArrayView2<bool>,
    y_pred: ArrayView2<bool>,
    average: Average,
    zero_division: ZeroDivision,
) -> Result<PrecisionRecallF1, MetricError> {
    check_indicators(y_true, y_pred)?;
    Ok(match average {
        Average::Micro => micro(&multilabel_confusion_matrix(y_true, y_pred)?, zero_division),
        Average::Macro => mean(&multilabel_confusion_matrix(y_true, y_pred)?, |_| 1, zero_division),
        Average::Weighted => mean(&multilabel_confusion_matrix(y_true, y_pred)?, LabelCounts::support, zero_division),
        Average::Samples => mean(&counts_per_row(y_true, y_pred), |_| 1, zero_division),
    })
}

/// From the sums of the counts.
pub(super) fn micro(counts: &[LabelCounts], zero_division: ZeroDivision) -> PrecisionRecallF1 {
    let mut sum = LabelCounts::default();
    for counts in counts {
        sum.true_positives += counts.true_positives;
        sum.false_positives += counts.false_positives;
        sum.false_negatives += counts.false_negatives;
        sum.true_negatives += counts.true_negatives;
    }
    PrecisionRecallF1::from_counts(&sum, zero_division)
}

/// Weighted means of the scores of each entry; NaN scores are left out, weights that are all 0 are taken as equal.
pub(super) fn mean(
    counts: &[LabelCounts],
    weight: impl Fn(&LabelCounts) -> u64,
    zero_division: ZeroDivision,
) -> PrecisionRecallF1 {
    let scores: Vec<(PrecisionRecallF1, f64)> = counts
        .iter()
        .map(|counts| (PrecisionRecallF1::from_counts(counts, zero_division), weight(counts) as f64))
        .collect();
    let mean_of = |score: fn(&PrecisionRecallF1) -> f64| {
        let defined = || scores.iter().map(|(scores, weight)| (score(scores), *weight)).filter(|(s, _)| !s.is_nan());
        let total: f64 = defined().map(|(_, weight)| weight).sum();
        if total > 0.0 {
            defined().map(|(score, weight)| score * weight).sum::<f64>() / total
        } else {
            // 0 / 0 where nothing is defined: NaN, as asked for.
            defined().map(|(score, _)| score).sum::<f64>() / defined().count() as f64
        }
    };
    PrecisionRecallF1 { precision: mean_of(|s| s.precision), recall: mean_of(|s| s.recall), f1: mean_of(|s| s.f1) }
}

/// The counts of each row over all labels.
pub(super) fn counts_per_row(y_true: ArrayView2<bool>, y_pred: ArrayView2<bool>) -> Vec<LabelCounts> {
    let rows = y_true.axis_iter(Axis(0)).zip(y_pred.axis_iter(Axis(0)));
    rows.map(|(truths, predictions)| {
        let mut counts = LabelCounts::default();
        for (&truth, &prediction) in truths.iter().zip(predictions) {
            counts.add(truth, prediction);
        }
        counts
    })
    .collect()
}

/// Share of articles whose label is the predicted one.
///
/// # Errors
/// No rows, or lengths that differ.
///
/// # Example
/// ```
/// use topicwire::{labels::LabelId, metrics::prf::accuracy};
/// assert_eq!(accuracy(&[LabelId(0), LabelId(1)], &[LabelId(0), LabelId(0)])?, 0.5);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn accuracy(y_true: &[LabelId], y_pred: &[LabelId]) -> Result<f64, MetricError> {
    check_lengths("predictions", y_true.len(), y_pred.len())?;
    let hits = y_true.iter().zip(y_pred).filter(|(truth, prediction)| truth == prediction).count();
    Ok(hits as f64 / y_true.len() as f64)
}

/// Share of articles whose set of predicted labels is exactly the true one.
///
/// # Errors
/// No rows, no labels, or shapes that differ.
pub fn subset_accuracy(y_true: ArrayView2<bool>, y_pred: ArrayView2<bool>) -> Result<f64, MetricError> {
    check_indicators(y_true, y_pred)?;
    let hits = y_true.rows().into_iter().zip(y_pred.rows()).filter(|(truth, prediction)| truth == prediction).count();
    Ok(hits as f64 / y_true.nrows() as f64)
}

/// Share of all `n · n_labels` decisions that are wrong.
///
/// # Errors
/// No rows, no labels, or shapes that differ.
pub fn hamming_loss(y_true: ArrayView2<bool>, y_pred: ArrayView2<bool>) -> Result<f64, MetricError> {
    check_indicators(y_true, y_pred)?;
    let wrong = y_true.iter().zip(y_pred).filter(|(truth, prediction)| truth != prediction).count();
    Ok(wrong as f64 / y_true.len() as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;

    use super::*;

    fn indicators() -> impl Strategy<Value = (Array2<bool>, Array2<bool>)> {
        (1..20usize, 1..6usize).prop_flat_map(|(n, n_labels)| {
            let cells = || proptest::collection::vec(any::<bool>(), n * n_labels);
            (cells(), cells()).prop_map(move |(y_true, y_pred)| {
                let matrix = |cells| Array2::from_shape_vec((n, n_labels), cells).expect("n · n_labels cells");
                (matrix(y_true), matrix(y_pred))
            })
        })
    }

    proptest! {
        #[test]
        fn averages_are_bounded_and_do_not_depend_on_the_order_of_rows((y_true, y_pred) in indicators()) {
            let reversed = |matrix: &Array2<bool>| matrix.slice(ndarray::s![..;-1, ..]).to_owned();
            let (true_reversed, pred_reversed) = (reversed(&y_true), reversed(&y_pred));
            for average in [Average::Micro, Average::Macro, Average::Weighted, Average::Samples] {
                let scores = precision_recall_f1(y_true.view(), y_pred.view(), average, ZeroDivision::Zero).unwrap();
                let again =
                    precision_recall_f1(true_reversed.view(), pred_reversed.view(), average, ZeroDivision::Zero).unwrap();
                for (score, again) in
                    [(scores.precision, again.precision), (scores.recall, again.recall), (scores.f1, again.f1)]
                {
                    prop_assert!((0.0..=1.0 + 1e-12).contains(&score), "{average:?}: {score}");
                    prop_assert!((score - again).abs() < 1e-12, "{average:?}: {score}, reversed {again}");
                }
            }
            let subset = subset_accuracy(y_true.view(), y_pred.view()).unwrap();
            let hamming = hamming_loss(y_true.view(), y_pred.view()).unwrap();
            prop_assert!((0.0..=1.0).contains(&subset) && (0.0..=1.0).contains(&hamming));
            prop_assert!(hamming <= 1.0 - subset + 1e-12, "only rows that are not exact hold wrong cells");
        }

        #[test]
        fn micro_f1_of_one_label_each_is_accuracy(pairs in proptest::collection::vec((0..4usize, 0..4usize), 1..40)) {
            let one_hot = |pick: fn(&(usize, usize)) -> usize| {
                Array2::from_shape_fn((pairs.len(), 4), |(row_idx, label_idx)| pick(&pairs[row_idx]) == label_idx)
            };
            let (y_true, y_pred) = (one_hot(|pair| pair.0), one_hot(|pair| pair.1));
            let ids = |pick: fn(&(usize, usize)) -> usize| pairs.iter().map(|pair| LabelId(pick(pair))).collect::<Vec<_>>();
            let accuracy = accuracy(&ids(|pair| pair.0), &ids(|pair| pair.1)).unwrap();
            for average in [Average::Micro, Average::Samples] {
                let scores = precision_recall_f1(y_true.view(), y_pred.view(), average, ZeroDivision::Zero).unwrap();
                prop_assert!((scores.f1 - accuracy).abs() < 1e-12);
            }
            prop_assert_eq!(subset_accuracy(y_true.view(), y_pred.view()).unwrap(), accuracy);
        }
    }
}
