//! Slow and obvious versions of all kernels, in double precision: the judge of the fast ones.

use half::bf16;
use ndarray::{Array2, ArrayView2};

use super::attention::{Heads, Sight};

/// `a · b`.
pub fn matmul<T: Copy + Into<f64>>(a: ArrayView2<T>, b: ArrayView2<T>) -> Array2<f64> {
    assert_eq!(a.ncols(), b.nrows(), "inner sizes differ");
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        (0..a.ncols()).map(|p| a[[i, p]].into() * b[[p, j]].into()).sum()
    })
}

/// The nearest bf16, ties to the even one.
pub fn rounded_to_bf16(x: f32) -> f32 {
    bf16::from_f32(x).to_f32()
}

/// A row as int8 products read it: the bytes, and the `scale` and `zero` by which a number is `scale · (byte - zero)`.
///
/// 0 is always among the numbers that bytes stand for, so that it stays what it is.
pub fn quantize_row(row: &[f32]) -> (Vec<u8>, f64, f64) {
    let numbers = row.iter().map(|&x| f64::from(x));
    let (low, high) = numbers.clone().fold((0.0f64, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
    if low == high {
        return (vec![0; row.len()], 1.0, 0.0);
    }
    let scale = (high - low) / 255.0;
    let zero = (-low / scale).round_ties_even();
    (numbers.map(|x| (x / scale + zero).round_ties_even().clamp(0.0, 255.0) as u8).collect(), scale, zero)
}

/// Signed bytes, and the `scale` by which a number is `scale · byte`.
pub fn quantize_column(column: &[f32]) -> (Vec<i8>, f64) {
    let largest = column.iter().fold(0.0f64, |largest, &x| largest.max(f64::from(x).abs()));
    if largest == 0.0 {
        return (vec![0; column.len()], 0.0);
    }
    let scale = largest / 127.0;
    (column.iter().map(|&x| (f64::from(x) / scale).round_ties_even() as i8).collect(), scale)
}

/// `a · b` of bytes, exactly.
pub fn matmul_int8(a: ArrayView2<u8>, b: ArrayView2<i8>) -> Array2<i64> {
    assert_eq!(a.ncols(), b.nrows(), "inner sizes differ");
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        a.row(i).iter().zip(b.column(j)).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum()
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

/// `x / (1 + exp(-x))`.
pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
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

/// Multi-head self-attention of one window; shapes, reach and bias as in [`super::attention::self_attention`].
pub fn self_attention(qkv: ArrayView2<f32>, heads: Heads, sight: Sight<'_>) -> Array2<f64> {
    let (n_tokens, hidden_size) = (qkv.nrows(), heads.n_heads * heads.head_size);
    let number = |part_idx: usize, head_idx: usize, token_idx: usize, column: usize| {
        f64::from(qkv[[token_idx, part_idx * hidden_size + head_idx * heads.head_size + column]])
    };
    let mut out = Array2::zeros((n_tokens, hidden_size));
    for head_idx in 0..heads.n_heads {
        for query_idx in 0..n_tokens {
            let keys: Vec<usize> =
                (0..n_tokens).filter(|key| sight.reach.is_none_or(|reach| key.abs_diff(query_idx) <= reach)).collect();
            let scores: Vec<f64> = keys
                .iter()
                .map(|&key_idx| {
                    let products = (0..heads.head_size)
                        .map(|d| number(0, head_idx, query_idx, d) * number(1, head_idx, key_idx, d));
                    let bias = sight.bias.map_or(0.0, |bias| {
                        let row = &bias.values[head_idx * (2 * bias.n_positions - 1)..];
                        f64::from(row[bias.n_positions - 1 + key_idx - query_idx])
                    });
                    // Scores are exponents of two.
                    (products.sum::<f64>() + bias) * std::f64::consts::LN_2
                })
                .collect();
            for (weight, &key_idx) in softmax(&scores).into_iter().zip(&keys) {
                for d in 0..heads.head_size {
                    out[[query_idx, head_idx * heads.head_size + d]] += weight * number(2, head_idx, key_idx, d);
                }
            }
        }
    }
    out
}

/// Queries or keys of one token turned by its position: of each head, columns `i` and `i + head_size / 2` by
/// `position · frequencies[i]` radians.
pub fn rotate(row: &[f32], heads: Heads, frequencies: &[f64], position: usize) -> Vec<f64> {
    let half = heads.head_size / 2;
    let mut out = vec![0.0; row.len()];
    for start in (0..row.len()).step_by(heads.head_size) {
        for i in 0..half {
            let (sin, cos) = (position as f64 * frequencies[i]).sin_cos();
            let (a, b) = (f64::from(row[start + i]), f64::from(row[start + half + i]));
            out[start + i] = a * cos - b * sin;
            out[start + half + i] = b * cos + a * sin;
        }
    }
    out
}

/// A row of a table plus what its place brings.
pub fn gather(table: ArrayView2<f64>, token_ids: &[u32], added: ArrayView2<f32>) -> Array2<f64> {
    Array2::from_shape_fn((token_ids.len(), table.ncols()), |(i, j)| {
        let place = if added.nrows() == 1 { 0 } else { i };
        table[[token_ids[i] as usize, j]] + f64::from(added[[place, j]])
    })
}
