//! Slow and obvious versions of all kernels, in double precision: the judge of the fast ones.

use ndarray::{Array2, ArrayView2, s};

/// `a · b`.
pub fn matmul<T: Copy + Into<f64>>(a: ArrayView2<T>, b: ArrayView2<T>) -> Array2<f64> {
    assert_eq!(a.ncols(), b.nrows(), "inner sizes differ");
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        (0..a.ncols()).map(|p| a[[i, p]].into() * b[[p, j]].into()).sum()
    })
}

/// `x · Φ(x)`.
pub fn gelu(x: f64) -> f64 {
    0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
pub fn gelu_tanh(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

/// `max(x, 0)`.
pub fn relu(x: f64) -> f64 {
    x.max(0.0)
}

/// Soft-max of one row.
pub fn softmax(row: &[f64]) -> Vec<f64> {
    let greatest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let numerators: Vec<f64> = row.iter().map(|x| (x - greatest).exp()).collect();
    let sum: f64 = numerators.iter().sum();
    numerators.iter().map(|x| x / sum).collect()
}

/// Layer normalisation of one row.
pub fn layer_norm(row: &[f32], weight: &[f32], bias: &[f32], eps: f64) -> Vec<f64> {
    let width = row.len() as f64;
    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width;
    let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width;
    let scale = 1.0 / (variance + eps).sqrt();
    let normalised = row.iter().map(|&x| (f64::from(x) - mean) * scale);
    normalised.zip(weight).zip(bias).map(|((x, &w), &b)| x * f64::from(w) + f64::from(b)).collect()
}

/// Multi-head self-attention of one window; shapes as in [`super::attention::self_attention`].
pub fn self_attention(qkv: ArrayView2<f32>, n_heads: usize) -> Array2<f64> {
    let (n_tokens, hidden_size) = (qkv.nrows(), qkv.ncols() / 3);
    let head_size = hidden_size / n_heads;
    let mut out = Array2::zeros((n_tokens, hidden_size));
    for head_idx in 0..n_heads {
        let part = |part_idx: usize| {
            let start = part_idx * hidden_size + head_idx * head_size;
            qkv.slice(s![.., start..start + head_size])
        };
        let scores = matmul(part(0), part(1).t());
        for (i, row) in scores.outer_iter().enumerate() {
            for (j, weight) in softmax(&row.to_vec()).into_iter().enumerate() {
                for d in 0..head_size {
                    out[[i, head_idx * head_size + d]] += weight * f64::from(part(2)[[j, d]]);
                }
            }
        }
    }
    out
}
