//! Hidden states of tokens to one embedding per window, and embeddings of windows to one per article.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis};
use serde::{Deserialize, Serialize};

/// How the hidden states of a window become one vector; special tokens take part.
///
/// Names and meanings are those of sentence-transformers' `Pooling`. A window without tokens gives zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolingMode {
    /// The first token.
    Cls,
    /// The largest value of each column.
    Max,
    /// `Σ h[t] / n`
    Mean,
    /// `Σ h[t] / √n`
    MeanSqrtLen,
    /// The last token.
    LastToken,
}

impl std::fmt::Display for PoolingMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cls => "cls",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::MeanSqrtLen => "mean_sqrt_len",
            Self::LastToken => "last_token",
        })
    }
}

/// The function after a dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DenseActivation {
    Identity,
    Tanh,
    Relu,
    Sigmoid,
}

impl DenseActivation {
    fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Tanh => x.tanh(),
            Self::Relu => x.max(0.0),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }
}

/// A step from the pooled vector to the embedding.
#[derive(Clone, Debug)]
pub enum TailStep {
    /// `activation(x · weightᵀ + bias)`, `weight` `[n_out, n_in]`
    Dense { weight: Array2<f32>, bias: Option<Array1<f32>>, activation: DenseActivation },
    /// `x / max(‖x‖, 1e-12)`
    Normalize,
}

/// The smallest length divided by when normalising, so that zeros stay zeros (the reference's `F.normalize`).
const MIN_NORM: f32 = 1e-12;

/// Pools the hidden states of one window.
///
/// Sums are kept in f64, so that long windows lose nothing.
///
/// # Shapes
/// * `hidden` `[n_tokens, hidden_size]`
/// * `pooled` `[n_modes · hidden_size]`, written
///
/// # Panics
/// `pooled` has another length.
pub fn pool_window(hidden: ArrayView2<f32>, modes: &[PoolingMode], mut pooled: ArrayViewMut1<f32>) {
    let hidden_size = hidden.ncols();
    assert_eq!(pooled.len(), modes.len() * hidden_size, "one block of columns per mode");
    for (mode, mut block) in modes.iter().zip(pooled.axis_chunks_iter_mut(Axis(0), hidden_size)) {
        let n_tokens = hidden.nrows();
        if n_tokens == 0 {
            block.fill(0.0);
            continue;
        }
        match mode {
            PoolingMode::Cls => block.assign(&hidden.row(0)),
            PoolingMode::LastToken => block.assign(&hidden.row(n_tokens - 1)),
            PoolingMode::Max => {
                block.fill(f32::NEG_INFINITY);
                for row in hidden.rows() {
                    block.zip_mut_with(&row, |max, &x| *max = max.max(x));
                }
            }
            PoolingMode::Mean => write_sum_over(hidden, n_tokens as f64, block),
            PoolingMode::MeanSqrtLen => write_sum_over(hidden, (n_tokens as f64).sqrt(), block),
        }
    }
}

fn write_sum_over(rows: ArrayView2<f32>, divisor: f64, mut out: ArrayViewMut1<f32>) {
    let mut sum = Array1::<f64>::zeros(rows.ncols());
    for row in rows.rows() {
        sum.zip_mut_with(&row, |sum, &x| *sum += f64::from(x));
    }
    out.zip_mut_with(&sum, |out, &sum| *out = (sum / divisor) as f32);
}

/// Applies the steps after pooling to all rows.
///
/// # Shapes
/// * `pooled` `[n_windows, n_in]`, where `n_in` is what the first step takes
/// * returns `[n_windows, n_out]`
pub fn apply_tail(pooled: Array2<f32>, tail: &[TailStep]) -> Array2<f32> {
    let mut rows = pooled;
    for step in tail {
        match step {
            TailStep::Dense { weight, bias, activation } => {
                rows = rows.dot(&weight.t());
                for mut row in rows.rows_mut() {
                    if let Some(bias) = bias {
                        row += bias;
                    }
                    row.mapv_inplace(|x| activation.apply(x));
                }
            }
            TailStep::Normalize => rows.rows_mut().into_iter().for_each(normalize),
        }
    }
    rows
}

fn normalize(mut row: ArrayViewMut1<f32>) {
    let norm = norm(row.view()).max(MIN_NORM);
    row.mapv_inplace(|x| x / norm);
}

fn norm(row: ArrayView1<f32>) -> f32 {
    row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32
}

/// How the embeddings of an article's windows become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowPooling {
    /// Their mean.
    #[default]
    Mean,
    /// The largest value of each column.
    Max,
    /// The first window alone.
    First,
}

/// One embedding per article from the embeddings of its windows.
///
/// The only window of an article passes through untouched. Where the encoder normalises, several windows are brought to
/// unit length again after pooling. An article without windows gets zeros.
///
/// # Shapes
/// * `windows` `[n_windows, hidden_size]`, the windows of each article one after the other
/// * `n_windows` per article; they add up to the rows of `windows`
/// * returns `[n_articles, hidden_size]`
///
/// # Panics
/// The numbers do not add up.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::encoder::pooling::{WindowPooling, combine_windows};
/// let windows = array![[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]];
/// let articles = combine_windows(windows.view(), &[2, 1], WindowPooling::Mean, true);
/// assert!((articles[[0, 0]] - 0.5f32.sqrt()).abs() < 1e-6);
/// assert_eq!(articles.row(1), windows.row(2));
/// ```
pub fn combine_windows(
    windows: ArrayView2<f32>,
    n_windows: &[usize],
    pooling: WindowPooling,
    normalizes: bool,
) -> Array2<f32> {
    assert_eq!(n_windows.iter().sum::<usize>(), windows.nrows(), "each window belongs to one article");
    let mut articles = Array2::zeros((n_windows.len(), windows.ncols()));
    let mut start = 0;
    for (&n, mut article) in n_windows.iter().zip(articles.rows_mut()) {
        let own = windows.slice(ndarray::s![start..start + n, ..]);
        start += n;
        let mode = match pooling {
            _ if n <= 1 => PoolingMode::Cls,
            WindowPooling::First => PoolingMode::Cls,
            WindowPooling::Mean => PoolingMode::Mean,
            WindowPooling::Max => PoolingMode::Max,
        };
        pool_window(own, &[mode], article.view_mut());
        if normalizes && mode != PoolingMode::Cls {
            normalize(article);
        }
    }
    articles
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn every_mode_by_hand() {
        let hidden = array![[1.0, -4.0], [3.0, 2.0], [5.0, 8.0], [-1.0, 2.0]];
        let cases = [
            (PoolingMode::Cls, [1.0, -4.0]),
            (PoolingMode::Max, [5.0, 8.0]),
            (PoolingMode::Mean, [2.0, 2.0]),
            (PoolingMode::MeanSqrtLen, [4.0, 4.0]),
            (PoolingMode::LastToken, [-1.0, 2.0]),
        ];
        for (mode, expected) in cases {
            let mut pooled = Array1::zeros(2);
            pool_window(hidden.view(), &[mode], pooled.view_mut());
            assert_eq!(pooled.to_vec(), expected, "{mode:?}");
            pool_window(hidden.slice(ndarray::s![..0, ..]), &[mode], pooled.view_mut());
            assert_eq!(pooled.to_vec(), [0.0, 0.0], "{mode:?} of nothing");
        }
        let mut both = Array1::zeros(4);
        pool_window(hidden.view(), &[PoolingMode::Max, PoolingMode::Cls], both.view_mut());
        assert_eq!(both.to_vec(), [5.0, 8.0, 1.0, -4.0]);
    }

    #[test]
    fn the_tail_runs_in_order() {
        let dense = |activation| TailStep::Dense {
            weight: array![[1.0, 0.0], [0.0, -1.0], [1.0, 1.0]],
            bias: Some(array![0.0, 0.0, -7.0]),
            activation,
        };
        let rows = array![[3.0, -4.0], [0.0, 0.0]];
        assert_eq!(apply_tail(rows.clone(), &[dense(DenseActivation::Relu)]), array![[3.0, 4.0, 0.0], [0.0; 3]]);
        let unit = apply_tail(rows.clone(), &[dense(DenseActivation::Relu), TailStep::Normalize]);
        assert_eq!(unit, array![[0.6, 0.8, 0.0], [0.0; 3]]);
        let halves = apply_tail(array![[0.0, 0.0]], &[dense(DenseActivation::Sigmoid)]);
        assert_eq!(halves[[0, 0]], 0.5);
    }

    fn is_close(a: &Array2<f32>, b: &Array2<f32>) -> bool {
        a.dim() == b.dim() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn windows_combine_per_article() {
        let windows = array![[3.0, 4.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0]];
        let n = [1, 3, 0];
        let mean = combine_windows(windows.view(), &n, WindowPooling::Mean, false);
        let expected = array![[3.0, 4.0], [1.0 / 3.0, 4.0 / 3.0], [0.0, 0.0]];
        assert!(is_close(&mean, &expected), "{mean}");
        let max = combine_windows(windows.view(), &n, WindowPooling::Max, true);
        // The only window of the first article is not touched, not even normalised.
        let expected = array![[3.0, 4.0], [0.1f32.sqrt(), 0.9f32.sqrt()], [0.0, 0.0]];
        assert!(is_close(&max, &expected), "{max}");
        let first = combine_windows(windows.view(), &n, WindowPooling::First, true);
        assert_eq!(first, array![[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]]);
    }
}
