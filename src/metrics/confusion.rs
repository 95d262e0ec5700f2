//! Counts of right and wrong: per label, label against label, and labels that occur together.

use ndarray::{Array2, ArrayView2, Zip};

use super::{MetricError, check_indicators, check_label_ids, check_lengths};
use crate::labels::LabelId;

/// Articles of one label (or labels of one article) by truth and prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LabelCounts {
    pub true_positives: u64,
    pub false_positives: u64,
    pub false_negatives: u64,
    pub true_negatives: u64,
}

impl LabelCounts {
    /// Number of articles that have the label.
    pub fn support(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// Number of articles that are given the label.
    pub fn predicted(&self) -> u64 {
        self.true_positives + self.false_positives
    }

    /// `[[tn, fp], [fn, tp]]`, as scikit-learn's `multilabel_confusion_matrix` lays it out.
    pub fn matrix(&self) -> [[u64; 2]; 2] {
        [[self.true_negatives, self.false_positives], [self.false_negatives, self.true_positives]]
    }

    /// Counts one more decision.
    pub(super) fn add(&mut self, truth: bool, prediction: bool) {
        *match (truth, prediction) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (true, false) => &mut self.false_negatives,
            (false, false) => &mut self.true_negatives,
        } += 1;
    }
}

/// The counts of each label, in label order.
///
/// # Errors
/// No rows, no labels, or shapes that differ.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::metrics::confusion::multilabel_confusion_matrix;
/// let counts = multilabel_confusion_matrix(
///     array![[true, false], [true, true]].view(),
///     array![[true, true], [false, true]].view(),
/// )?;
/// assert_eq!(counts[0].matrix(), [[0, 0], [1, 1]]);
/// assert_eq!(counts[1].matrix(), [[0, 1], [0, 1]]);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn multilabel_confusion_matrix(
    y_true: ArrayView2<bool>,
    y_pred: ArrayView2<bool>,
) -> Result<Vec<LabelCounts>, MetricError> {
    check_indicators(y_true, y_pred)?;
    let mut counts = vec![LabelCounts::default(); y_true.ncols()];
    Zip::indexed(y_true).and(y_pred).for_each(|(_, label_idx), &truth, &prediction| {
        counts[label_idx].add(truth, prediction);
    });
    Ok(counts)
}

/// How often label `t` was taken for label `p`: `[t, p]` counts articles with true label `t` and predicted label `p`.
///
/// # Shapes
/// * `y_true`, `y_pred` `[n]`
/// * returns `[n_labels, n_labels]`; the sum of all entries is `n`, the diagonal holds the hits
///
/// # Errors
/// No rows, lengths that differ, or a label id that is not below `n_labels`.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::{labels::LabelId, metrics::confusion::confusion_matrix};
/// let matrix = confusion_matrix(&[LabelId(0), LabelId(1), LabelId(1)], &[LabelId(0), LabelId(1), LabelId(0)], 2)?;
/// assert_eq!(matrix, array![[1, 0], [1, 1]]);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn confusion_matrix(y_true: &[LabelId], y_pred: &[LabelId], n_labels: usize) -> Result<Array2<u64>, MetricError> {
    check_lengths("predictions", y_true.len(), y_pred.len())?;
    check_label_ids(y_true, n_labels)?;
    check_label_ids(y_pred, n_labels)?;
    let mut matrix = Array2::zeros((n_labels, n_labels));
    for (truth, prediction) in y_true.iter().zip(y_pred) {
        matrix[[truth.0, prediction.0]] += 1;
    }
    Ok(matrix)
}

/// How often labels occur together: `[i, j]` counts articles that have both label `i` and label `j`.
///
/// Symmetric; the diagonal holds how many articles have each label. Of true labels and of predicted ones side by side,
/// it shows pairs that the classifier joins or parts too often.
///
/// # Errors
/// No rows or no labels.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::metrics::confusion::label_cooccurrence;
/// let together = label_cooccurrence(array![[true, true, false], [true, false, false]].view())?;
/// assert_eq!(together, array![[2, 1, 0], [1, 1, 0], [0, 0, 0]]);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn label_cooccurrence(indicator: ArrayView2<bool>) -> Result<Array2<u64>, MetricError> {
    check_indicators(indicator, indicator)?;
    Ok(count_pairs(indicator, indicator, |_, _| true))
}

/// The counterpart of a confusion matrix where an article may have several labels: `[t, p]` with `t ≠ p` counts
/// articles that have label `t` and were wrongly given label `p`; `[t, t]` counts those that have and were given `t`.
///
/// A wrong label of an article with three true ones is counted in three rows, so entries do not sum to the number of
/// articles. Labels that are both right never count as confused.
///
/// # Errors
/// No rows, no labels, or shapes that differ.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::metrics::confusion::multilabel_confusions;
/// let confused = multilabel_confusions(array![[true, true, false]].view(), array![[true, false, true]].view())?;
/// assert_eq!(confused, array![[1, 0, 1], [0, 0, 1], [0, 0, 0]]);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn multilabel_confusions(y_true: ArrayView2<bool>, y_pred: ArrayView2<bool>) -> Result<Array2<u64>, MetricError> {
    check_indicators(y_true, y_pred)?;
    Ok(count_pairs(y_true, y_pred, |row_idx, [t, p]| t == p || !y_true[[row_idx, p]]))
}

/// `[i, j]` counts rows where `left` has `i`, `right` has `j` and `keep(row, [i, j])` holds.
fn count_pairs(
    left: ArrayView2<bool>,
    right: ArrayView2<bool>,
    keep: impl Fn(usize, [usize; 2]) -> bool,
) -> Array2<u64> {
    let mut pairs = Array2::zeros((left.ncols(), right.ncols()));
    for (row_idx, (left, right)) in left.rows().into_iter().zip(right.rows()).enumerate() {
        let right: Vec<usize> = set_columns(right).collect();
        for i in set_columns(left) {
            for &j in &right {
                pairs[[i, j]] += u64::from(keep(row_idx, [i, j]));
            }
        }
    }
    pairs
}

/// The numbers of the columns that are true.
pub(super) fn set_columns(row: ndarray::ArrayView1<bool>) -> impl Iterator<Item = usize> {
    row.into_iter().enumerate().filter_map(|(column, set)| set.then_some(column))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn inputs_that_do_not_fit_are_refused() {
        let none = Array2::from_elem((0, 3), false);
        assert_eq!(multilabel_confusion_matrix(none.view(), none.view()), Err(MetricError::NoRows));
        let no_labels = Array2::from_elem((3, 0), false);
        assert_eq!(label_cooccurrence(no_labels.view()), Err(MetricError::NoLabels));
        let (narrow, wide) = (array![[true, false]], array![[true, false, true]]);
        let message = multilabel_confusion_matrix(narrow.view(), wide.view()).unwrap_err().to_string();
        assert_eq!(message, "predictions have the shape [1, 3], expected [1, 2]");
        assert_eq!(confusion_matrix(&[], &[], 2), Err(MetricError::NoRows));
        let length = MetricError::Length { what: "predictions", expected: 1, found: 0 };
        assert_eq!(confusion_matrix(&[LabelId(0)], &[], 2), Err(length));
        let unknown = MetricError::UnknownLabel { row_idx: 0, label_idx: 2, n_labels: 2 };
        assert_eq!(confusion_matrix(&[LabelId(0)], &[LabelId(2)], 2), Err(unknown));
    }
}
