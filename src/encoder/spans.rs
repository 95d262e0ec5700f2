//! Mean states of the tokens of a passage.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

/// Tokens of a window that belong to a passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassageSpan {
    pub passage_idx: usize,
    /// Of the window, special tokens counted.
    pub tokens: Range<usize>,
}

/// Sums of the states of each span, `[spans.len(), hidden_size]`, of a window's states `[n_tokens, hidden_size]`.
///
/// # Panics
/// When a span reaches beyond the window.
pub(super) fn span_sums(states: ArrayView2<f32>, spans: &[PassageSpan]) -> Array2<f32> {
    let mut sums = Array2::zeros((spans.len(), states.ncols()));
    let mut total = vec![0.0f64; states.ncols()];
    for (span, mut sum) in spans.iter().zip(sums.rows_mut()) {
        total.fill(0.0);
        for state in states.slice(ndarray::s![span.tokens.clone(), ..]).rows() {
            total.iter_mut().zip(state).for_each(|(total, x)| *total += f64::from(*x));
        }
        sum.iter_mut().zip(&total).for_each(|(sum, total)| *sum = *total as f32);
    }
    sums
}

/// The mean state of each passage, `[n_passages, hidden_size]`, from the sums of its spans in every window; zeros for one without tokens.
///
/// # Panics
/// When a span is for no passage, or sums are not as many as spans.
pub(super) fn span_means(
    spans: &[Vec<PassageSpan>],
    sums: &[Array2<f32>],
    n_passages: usize,
    hidden_size: usize,
) -> Array2<f32> {
    let mut totals = Array2::<f64>::zeros((n_passages, hidden_size));
    let mut n_tokens = vec![0usize; n_passages];
    for (spans, sums) in spans.iter().zip(sums) {
        for (span, sum) in spans.iter().zip(sums.rows()) {
            totals.row_mut(span.passage_idx).zip_mut_with(&sum, |total, &x| *total += f64::from(x));
            n_tokens[span.passage_idx] += span.tokens.len();
        }
    }
    for (mut total, &n) in totals.rows_mut().into_iter().zip(&n_tokens) {
        total.mapv_inplace(|x| x / n.max(1) as f64);
    }
    totals.mapv(|x| x as f32)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn a_passage_in_two_windows_is_the_mean_of_all_its_tokens() {
        let states = [array![[9.0, 9.0], [1.0, 2.0], [3.0, 4.0]], array![[5.0, 0.0], [7.0, 7.0]]];
        let span = |passage_idx, tokens| PassageSpan { passage_idx, tokens };
        let spans = vec![vec![span(0, 0..1), span(2, 1..3)], vec![span(2, 0..1)]];
        let sums: Vec<Array2<f32>> =
            states.iter().zip(&spans).map(|(states, spans)| span_sums(states.view(), spans)).collect();
        assert_eq!(sums[0], array![[9.0, 9.0], [4.0, 6.0]]);
        assert_eq!(span_means(&spans, &sums, 3, 2), array![[9.0, 9.0], [0.0, 0.0], [3.0, 2.0]]);
    }
}
