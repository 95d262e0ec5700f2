//! A covariance that can be inverted, from few or many rows: Ledoit and Wolf's shrinkage.

use ndarray::{Array2, ArrayView1, ArrayViewMut1, s};
use rayon::prelude::*;

use crate::kernels::gemm::matmul_f64;

/// Rows that are worked on at once: their f64 copy (0.8 MB at 384 columns) stays in the second-level cache.
const BLOCK_ROWS: usize = 256;

/// Sums over rows are made of at most this many parts, folded in order: rounding depends on the number of rows alone.
const MAX_PARTS: usize = 16;

/// The least that is shrunk: where all rows point along one line nothing else would keep the matrix invertible.
const MIN_SHRINKAGE: f64 = 1e-6;

/// `(1 − shrinkage) · S + shrinkage · μ · I`, with `S = ∑ rᵢ rᵢᵀ / n` and `μ` the mean of its diagonal.
pub(super) struct ShrunkCovariance {
    /// `[hidden_size, hidden_size]`
    pub(super) matrix: Array2<f64>,
    /// From 1e-6 to 1.
    pub(super) shrinkage: f64,
    /// `μ`
    pub(super) mean_variance: f64,
}

/// The shrunk covariance of `n_rows ≥ 1` centred rows; `fill(i, row)` writes row `i` into `row` `[hidden_size]`.
///
/// `shrinkage = min(β, δ) / δ` with `δ = |S|² − hidden_size · μ²` and `β = (∑ |rᵢ|⁴ / n − |S|²) / n`, norms after Frobenius.
/// Source: Ledoit & Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004), lemma 3.1 to 3.4.
pub(super) fn ledoit_wolf(
    n_rows: usize,
    hidden_size: usize,
    fill: impl Fn(usize, ArrayViewMut1<f64>) + Sync,
) -> ShrunkCovariance {
    let starts: Vec<usize> = (0..n_rows).step_by(BLOCK_ROWS).collect();
    let parts: Vec<(Array2<f64>, f64)> = starts
        .par_chunks(starts.len().div_ceil(MAX_PARTS).max(1))
        .map(|starts| {
            let mut block = Array2::zeros((BLOCK_ROWS.min(n_rows), hidden_size));
            let (mut sum, mut fourth_powers) = (Array2::zeros((hidden_size, hidden_size)), 0.0);
            for &start in starts {
                let n_block = BLOCK_ROWS.min(n_rows - start);
                let mut rows = block.slice_mut(s![..n_block, ..]);
                for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
                    fill(start + i, row.view_mut());
                    fourth_powers += squares(row.view()).powi(2);
                }
                matmul_f64(rows.t(), rows.view(), sum.view_mut(), true);
            }
            (sum, fourth_powers)
        })
        .collect();
    let zero = (Array2::zeros((hidden_size, hidden_size)), 0.0);
    let (sum, fourth_powers) = parts.into_iter().fold(zero, |total, (sum, powers)| (total.0 + sum, total.1 + powers));

    let n = n_rows as f64;
    let mut matrix = sum / n;
    let mean_variance: f64 = matrix.diag().sum() / hidden_size.max(1) as f64;
    let size: f64 = matrix.iter().map(|value| value * value).sum();
    let delta = size - hidden_size as f64 * mean_variance.powi(2);
    let beta = ((fourth_powers / n - size) / n).max(0.0);
    // A multiple of the identity has nothing to shrink, and both may be rounding below 0.
    let shrinkage = if beta < delta { (beta / delta).max(MIN_SHRINKAGE) } else { 1.0 };
    matrix *= 1.0 - shrinkage;
    matrix.diag_mut().iter_mut().for_each(|value| *value += shrinkage * mean_variance);
    ShrunkCovariance { matrix, shrinkage, mean_variance }
}

pub(super) fn squares(row: ArrayView1<f64>) -> f64 {
    row.iter().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::RngExt;

    use super::*;
    use crate::rng::generator;

    fn of(rows: &Array2<f64>) -> ShrunkCovariance {
        ledoit_wolf(rows.nrows(), rows.ncols(), |i, mut row| row.assign(&rows.row(i)))
    }

    #[test]
    fn two_rows_by_hand() {
        // S = diag(2, ½), μ = 1¼, |S|² = 4¼, δ = 4¼ − 2 · 25/16 = 9/8; ∑ |r|⁴ / n = 8½, β = (8½ − 4¼) / 2 > δ.
        let covariance = of(&array![[2.0, 0.0], [0.0, 1.0]]);
        assert_eq!((covariance.shrinkage, covariance.mean_variance), (1.0, 1.25));
        assert_eq!(covariance.matrix, array![[1.25, 0.0], [0.0, 1.25]]);
    }

    #[test]
    fn rows_on_one_line_still_give_a_matrix_that_can_be_inverted() {
        let covariance = of(&array![[1.0, 0.0], [-1.0, 0.0]]);
        assert_eq!(covariance.shrinkage, MIN_SHRINKAGE);
        assert!(covariance.matrix[[1, 1]] > 0.0);
        let nothing = of(&Array2::zeros((3, 2)));
        assert_eq!((nothing.mean_variance, nothing.matrix), (0.0, Array2::zeros((2, 2))));
    }

    #[test]
    fn blocks_and_parts_hold_every_row_once() {
        let mut rng = generator(3, "shrinkage test");
        for n_rows in [255, 256, 257, 5000] {
            let rows = Array2::from_shape_simple_fn((n_rows, 3), || rng.random_range(-1.0..1.0f64));
            let covariance = of(&rows);
            let plain = rows.t().dot(&rows) / n_rows as f64;
            let target = Array2::<f64>::eye(3) * covariance.mean_variance;
            let expected = plain * (1.0 - covariance.shrinkage) + target * covariance.shrinkage;
            assert!((&covariance.matrix - &expected).iter().all(|rest| rest.abs() < 1e-12), "{n_rows} rows");
        }
    }
}
