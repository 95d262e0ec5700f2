//! How good probabilities are: log-loss, Brier score, calibration error.

use ndarray::{ArrayView1, ArrayView2};

use super::bootstrap::Interval;
use super::reliability::wilson_interval;
use super::{MetricError, check_label_ids, check_lengths, check_probabilities, check_shape, shape};
use crate::labels::LabelId;

/// Probabilities are kept this far from 0 and 1 before their logarithm is taken, so that one confident mistake costs 36
/// and not infinity; scikit-learn's choice for 64-bit floats.
pub const LOG_LOSS_EPSILON: f64 = f64::EPSILON;

/// Number of bins of a calibration error, as in Guo et al. 2017.
pub const ECE_BINS: usize = 15;

/// Mean of `−ln p` of the true label, where exactly one label is right.
///
/// As scikit-learn's `log_loss`: probabilities are clipped by [`LOG_LOSS_EPSILON`], and taken as they come: rows that
/// do not sum to 1 are not rescaled.
///
/// # Shapes
/// * `y_true` `[n]`, `y_score` `[n, n_labels]`
///
/// # Errors
/// No rows, lengths that differ, a label id beyond the columns, or a value that is not a probability.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::{labels::LabelId, metrics::probability::log_loss_single};
/// let loss = log_loss_single(&[LabelId(1)], array![[0.5, 0.25, 0.25]].view())?;
/// assert!((loss - 4f64.ln()).abs() < 1e-12);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn log_loss_single(y_true: &[LabelId], y_score: ArrayView2<f64>) -> Result<f64, MetricError> {
    check_single(y_true, y_score)?;
    Ok(row_mean(y_true, y_score, log_loss_of_label))
}

/// Mean binary log-loss over all `n · n_labels` decisions: `−ln p` where the article has the label, else `−ln (1 − p)`.
///
/// The mean over labels of scikit-learn's `log_loss`, clipped by [`LOG_LOSS_EPSILON`] likewise.
///
/// # Errors
/// No rows, no labels, shapes that differ, or a value that is not a probability.
pub fn log_loss_multi(y_true: ArrayView2<bool>, y_score: ArrayView2<f64>) -> Result<f64, MetricError> {
    check_multi(y_true, y_score)?;
    Ok(cell_mean(y_true, y_score, log_loss_of_cell))
}

/// Mean of `Σ_k (p_k − y_k)²` over articles, where exactly one label is right; in `[0, 2]`, and halved to `[0, 1]` for
/// two labels.
///
/// As scikit-learn's `brier_score_loss` with `scale_by_half="auto"`: with two labels it is the squared error of the
/// probability of either.
///
/// # Errors
/// As [`log_loss_single`].
pub fn brier_single(y_true: &[LabelId], y_score: ArrayView2<f64>) -> Result<f64, MetricError> {
    check_single(y_true, y_score)?;
    Ok(row_mean(y_true, y_score, brier_of_row))
}

/// Mean of `(p − y)²` over all `n · n_labels` decisions, in `[0, 1]`.
///
/// The mean over labels of scikit-learn's binary `brier_score_loss`.
///
/// # Errors
/// As [`log_loss_multi`].
pub fn brier_multi(y_true: ArrayView2<bool>, y_score: ArrayView2<f64>) -> Result<f64, MetricError> {
    check_multi(y_true, y_score)?;
    Ok(cell_mean(y_true, y_score, brier_of_cell))
}

/// How confidences are grouped for a calibration error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binning {
    /// `((b − 1) / B, b / B]` for `b = 1..=B`; 0 falls into the first.
    EqualWidth { n_bins: usize },
    /// As many articles in each bin as ties allow: the bin of rank `r` is `⌊r · B / n⌋`, and equal confidences share
    /// the bin of the first of them.
    EqualMass { n_bins: usize },
}

impl Default for Binning {
    fn default() -> Self {
        Binning::EqualWidth { n_bins: ECE_BINS }
    }
}

/// Expected calibration error of the predicted label, where exactly one is right:
/// `Σ_b n_b/n · |accuracy_b − confidence_b|`, where the confidence is the highest probability of the article (the first of
/// equal ones).
///
/// Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
///
/// # Errors
/// As [`log_loss_single`]; no bins.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::{labels::LabelId, metrics::probability::{Binning, ece_single}};
/// let y_score = array![[0.75, 0.25], [0.75, 0.25]];
/// let ece = ece_single(&[LabelId(0), LabelId(1)], y_score.view(), Binning::default())?;
/// assert!((ece - 0.25).abs() < 1e-12);
/// # Ok::<(), topicwire::metrics::MetricError>(())
/// ```
pub fn ece_single(y_true: &[LabelId], y_score: ArrayView2<f64>, binning: Binning) -> Result<f64, MetricError> {
    check_single(y_true, y_score)?;
    let top: Vec<(LabelId, f64)> = y_score.rows().into_iter().map(top_label).collect();
    let confidence: Vec<f64> = top.iter().map(|(_, confidence)| *confidence).collect();
    let correct: Vec<bool> = top.iter().zip(y_true).map(|((label, _), truth)| label == truth).collect();
    expected_calibration_error(&confidence, &correct, binning)
}

/// Expected calibration error over all `n · n_labels` decisions: the probability of a label against how often articles
/// have it.
///
/// Most decisions are easy noes near 0, which keeps the number small; compare it with that of other models on the same
/// labels, not with [`ece_single`].
///
/// # Errors
/// As [`log_loss_multi`]; no bins.
pub fn ece_multi(y_true: ArrayView2<bool>, y_score: ArrayView2<f64>, binning: Binning) -> Result<f64, MetricError> {
    check_multi(y_true, y_score)?;
    let confidence: Vec<f64> = y_score.iter().copied().collect();
    let outcome: Vec<bool> = y_true.iter().copied().collect();
    expected_calibration_error(&confidence, &outcome, binning)
}

/// Predictions of like confidence: how many, their mean confidence, and how often they came true.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReliabilityBin {
    pub n: usize,
    pub mean_confidence: f64,
    pub frequency: f64,
    /// Of the frequency, with a confidence of 95 %, see [`super::reliability::wilson_interval`].
    pub interval: Interval,
}

/// The bins of a reliability diagram, from low to high confidence; empty bins are left out.
///
/// # Errors
/// No rows, lengths that differ, a confidence outside `[0, 1]`, or no bins.
pub fn reliability(confidence: &[f64], outcome: &[bool], binning: Binning) -> Result<Vec<ReliabilityBin>, MetricError> {
    check_lengths("outcomes", confidence.len(), outcome.len())?;
    if let Some(row_idx) = confidence.iter().position(|value| !(0.0..=1.0).contains(value)) {
        return Err(MetricError::Probability { row_idx, label_idx: 0, value: confidence[row_idx] });
    }
    let (bins, n_bins) = match binning {
        Binning::EqualWidth { n_bins: 0 } | Binning::EqualMass { n_bins: 0 } => return Err(MetricError::NoBins),
        Binning::EqualWidth { n_bins } => {
            (confidence.iter().map(|&value| equal_width_bin(value, n_bins)).collect(), n_bins)
        }
        Binning::EqualMass { n_bins } => (equal_mass_bins(confidence, n_bins), n_bins),
    };
    let mut sums = vec![(0usize, 0.0, 0usize); n_bins];
    for ((bin, &confidence), &outcome) in bins.into_iter().zip(confidence).zip(outcome) {
        let (n, confidences, hits) = &mut sums[bin];
        *n += 1;
        *confidences += confidence;
        *hits += usize::from(outcome);
    }
    let filled = sums.into_iter().filter(|(n, ..)| *n > 0);
    Ok(filled
        .map(|(n, confidences, hits)| ReliabilityBin {
            n,
            mean_confidence: confidences / n as f64,
            frequency: hits as f64 / n as f64,
            interval: wilson_interval(hits, n),
        })
        .collect())
}

/// `Σ_b n_b/n · |frequency_b − mean_confidence_b|` over the bins of [`reliability`].
///
/// # Errors
/// As [`reliability`].
pub fn expected_calibration_error(confidence: &[f64], outcome: &[bool], binning: Binning) -> Result<f64, MetricError> {
    let bins = reliability(confidence, outcome, binning)?;
    let gaps = bins.iter().map(|bin| bin.n as f64 * (bin.frequency - bin.mean_confidence).abs());
    Ok(gaps.sum::<f64>() / confidence.len() as f64)
}

/// The bin of equal width that holds a probability.
pub(super) fn equal_width_bin(value: f64, n_bins: usize) -> usize {
    let edge = |bin: usize| bin as f64 / n_bins as f64;
    // The product may land a hair beside an edge; comparing with the edges themselves settles it.
    let mut bin = ((value * n_bins as f64).ceil() as usize).clamp(1, n_bins) - 1;
    while bin > 0 && value <= edge(bin) {
        bin -= 1;
    }
    while bin + 1 < n_bins && value > edge(bin + 1) {
        bin += 1;
    }
    bin
}

/// The bin of each value by rank, equal values together.
fn equal_mass_bins(values: &[f64], n_bins: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut bins = vec![0; values.len()];
    let mut first_rank = 0;
    for tie in order.chunk_by(|&a, &b| values[a] == values[b]) {
        for &row in tie {
            bins[row] = first_rank * n_bins / values.len();
        }
        first_rank += tie.len();
    }
    bins
}

/// The label of the highest probability, the first of equal ones, and that probability.
pub(super) fn top_label(row: ArrayView1<f64>) -> (LabelId, f64) {
    let better = |best: (usize, f64), (label_idx, &p): (usize, &f64)| if p > best.1 { (label_idx, p) } else { best };
    let (label_idx, confidence) = row.iter().enumerate().fold((0, f64::NEG_INFINITY), better);
    (LabelId(label_idx), confidence)
}

pub(super) fn log_loss_of_label(row: ArrayView1<f64>, truth: LabelId) -> f64 {
    -row[truth.0].clamp(LOG_LOSS_EPSILON, 1.0 - LOG_LOSS_EPSILON).ln()
}

pub(super) fn log_loss_of_cell(p: f64, truth: bool) -> f64 {
    let likelihood = if truth { p } else { 1.0 - p };
    -likelihood.clamp(LOG_LOSS_EPSILON, 1.0 - LOG_LOSS_EPSILON).ln()
}

pub(super) fn brier_of_row(row: ArrayView1<f64>, truth: LabelId) -> f64 {
    let errors = row.iter().enumerate().map(|(label_idx, &p)| brier_of_cell(p, label_idx == truth.0));
    let sum: f64 = errors.sum();
    if row.len() == 2 { sum / 2.0 } else { sum }
}

pub(super) fn brier_of_cell(p: f64, truth: bool) -> f64 {
    (p - f64::from(truth)).powi(2)
}

fn row_mean(y_true: &[LabelId], y_score: ArrayView2<f64>, loss: fn(ArrayView1<f64>, LabelId) -> f64) -> f64 {
    let losses = y_score.rows().into_iter().zip(y_true).map(|(row, &truth)| loss(row, truth));
    losses.sum::<f64>() / y_true.len() as f64
}

fn cell_mean(y_true: ArrayView2<bool>, y_score: ArrayView2<f64>, loss: fn(f64, bool) -> f64) -> f64 {
    let losses = y_score.iter().zip(y_true).map(|(&p, &truth)| loss(p, truth));
    losses.sum::<f64>() / y_score.len() as f64
}

fn check_single(y_true: &[LabelId], y_score: ArrayView2<f64>) -> Result<(), MetricError> {
    check_shape("probabilities", [y_true.len(), y_score.ncols()], shape(y_score))?;
    check_label_ids(y_true, y_score.ncols())?;
    check_probabilities(y_score)
}

fn check_multi(y_true: ArrayView2<bool>, y_score: ArrayView2<f64>) -> Result<(), MetricError> {
    check_shape("probabilities", shape(y_true), shape(y_score))?;
    check_probabilities(y_score)
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bins_of_equal_width_close_on_the_right() {
        // In 25 and 29 bins, (7/25) · 25 > 7 and (15/29) · 29 > 15: the product alone errs.
        for n_bins in [1, 2, 3, 7, 10, 15, 25, 29, 49] {
            assert_eq!(equal_width_bin(0.0, n_bins), 0);
            for bin in 0..n_bins {
                let edge = (bin + 1) as f64 / n_bins as f64;
                assert_eq!(equal_width_bin(edge, n_bins), bin, "{edge} of {n_bins} bins");
                assert_eq!(equal_width_bin(edge.next_up().min(1.0), n_bins), (bin + 1).min(n_bins - 1));
            }
        }
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        for value in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let y_score = array![[0.5, 0.5], [0.5, value]];
            let refused = |result: Result<f64, MetricError>| match result {
                Err(MetricError::Probability { row_idx: 1, label_idx: 1, .. }) => (),
                other => panic!("{value} gave {other:?}"),
            };
            let (ids, cells) = ([LabelId(0), LabelId(1)], array![[true, false], [false, true]]);
            refused(log_loss_single(&ids, y_score.view()));
            refused(brier_single(&ids, y_score.view()));
            refused(ece_single(&ids, y_score.view(), Binning::default()));
            refused(log_loss_multi(cells.view(), y_score.view()));
            refused(brier_multi(cells.view(), y_score.view()));
            refused(ece_multi(cells.view(), y_score.view(), Binning::default()));
        }
        let no_bins = ece_single(&[LabelId(0)], array![[1.0]].view(), Binning::EqualMass { n_bins: 0 });
        assert_eq!(no_bins, Err(MetricError::NoBins));
    }

    proptest! {
        #[test]
        fn calibration_errors_are_bounded_and_do_not_depend_on_order(
            mut rows in proptest::collection::vec((0.0..=1.0f64, any::<bool>()), 1..60),
            n_bins in 1..20usize,
        ) {
            let errors = |rows: &[(f64, bool)]| {
                let (confidence, outcome): (Vec<f64>, Vec<bool>) = rows.iter().copied().unzip();
                [Binning::EqualWidth { n_bins }, Binning::EqualMass { n_bins }]
                    .map(|binning| expected_calibration_error(&confidence, &outcome, binning).unwrap())
            };
            // Ties, so that bins of equal mass are put to the test.
            rows.iter_mut().step_by(2).for_each(|row| row.0 = (row.0 * 4.0).round() / 4.0);
            let before = errors(&rows);
            rows.reverse();
            for (before, after) in before.into_iter().zip(errors(&rows)) {
                prop_assert!((0.0..=1.0).contains(&before));
                prop_assert!((before - after).abs() < 1e-12);
            }
        }

        #[test]
        fn probabilities_of_the_truth_have_no_error(labels in proptest::collection::vec(0..3usize, 1..20)) {
            let ids: Vec<LabelId> = labels.iter().copied().map(LabelId).collect();
            let y_score = ndarray::Array2::from_shape_fn((ids.len(), 3), |(i, k)| f64::from(labels[i] == k));
            let y_true = y_score.mapv(|p| p == 1.0);
            prop_assert!(log_loss_single(&ids, y_score.view()).unwrap() < 1e-15);
            prop_assert!(log_loss_multi(y_true.view(), y_score.view()).unwrap() < 1e-15);
            prop_assert_eq!(brier_single(&ids, y_score.view()).unwrap(), 0.0);
            prop_assert_eq!(brier_multi(y_true.view(), y_score.view()).unwrap(), 0.0);
            prop_assert_eq!(ece_single(&ids, y_score.view(), Binning::default()).unwrap(), 0.0);
            prop_assert_eq!(ece_multi(y_true.view(), y_score.view(), Binning::default()).unwrap(), 0.0);
        }
    }
}
