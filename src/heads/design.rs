//! The training embeddings in coordinates in which logistic regressions converge fast.
//!
//! Columns are centred and rotated to the principal axes. Since the intercept is not penalised and the penalty does not change under
//! rotation, the optimum is the same as in the original coordinates; but now the curvature of the loss is nearly diagonal
//! (`∑ᵢ wᵢ zᵢ zᵢᵀ ≈ w̄ · diag(variances)`), which the optimiser uses. One design serves all folds and strengths: held-out
//! rows shape the coordinates, never the optimum.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use super::eigen::{SymmetricEigen, symmetric_eigen};
use super::{HeadError, LinearHead};
use crate::kernels::gemm::matmul_f64;
use crate::labels::Task;

/// Rows that are worked on at once: their f64 copy (0.8 MB at 384 columns) stays in the second-level cache.
pub(crate) const BLOCK_ROWS: usize = 256;

/// Sums over rows are made of at most this many parts, each folded in order: the parts, and with them the rounding, depend on
/// the number of rows alone, never on the number of threads.
pub(super) const MAX_PARTS: usize = 16;

/// A row that keeps less than this share of its length outside the span of the rows before it adds no direction of its own.
const RANK_TOLERANCE: f64 = 1e-10;

/// Embeddings `x` as `z = (x − mean) · basisᵀ`: 12 bytes per row and column, besides the embeddings themselves.
pub(crate) struct Design {
    /// `[n_rows, rank]`
    rotated: Array2<f64>,
    /// The same, rounded.
    rounded: Array2<f32>,
    /// `[hidden_size]`
    mean: Array1<f64>,
    /// `[rank, hidden_size]`, orthonormal rows that span all centred rows.
    basis: Array2<f64>,
    /// Mean square of each column of `rotated`.
    variances: Vec<f64>,
}

impl Design {
    /// The rows `order` of `embeddings`, in that order, which must not be empty.
    ///
    /// # Errors
    /// [`HeadError::NonFinite`].
    pub(crate) fn new(embeddings: ArrayView2<f32>, order: &[usize]) -> Result<Self, HeadError> {
        check_finite(embeddings)?;
        let (n_rows, hidden_size) = (order.len(), embeddings.ncols());
        let mut mean = Array1::zeros(hidden_size);
        for &row_idx in order {
            mean.zip_mut_with(&embeddings.row(row_idx), |sum: &mut f64, &value| *sum += f64::from(value));
        }
        mean /= n_rows as f64;
        let mut centred = Array2::zeros((n_rows, hidden_size));
        for (mut row, &row_idx) in centred.rows_mut().into_iter().zip(order) {
            row.assign(&embeddings.row(row_idx).mapv(f64::from));
            row -= &mean;
        }
        // Fewer rows than columns: turn within the rows' own span.
        let span = (n_rows < hidden_size).then(|| orthonormal_rows(centred.view()));
        if let Some(span) = &span {
            centred = product(centred.view(), span.t());
        }
        let SymmetricEigen { values, vectors } = symmetric_eigen(gram(centred.view()));
        let rotated = product(centred.view(), vectors.t());
        let basis = match span {
            Some(span) => vectors.dot(&span),
            None => vectors,
        };
        let variances = values.iter().map(|value| value.max(0.0) / n_rows as f64).collect();
        let rounded = rotated.mapv(|value| value as f32);
        Ok(Self { rotated, rounded, mean, basis, variances })
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.rotated.nrows()
    }

    pub(crate) fn rank(&self) -> usize {
        self.basis.nrows()
    }

    pub(crate) fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// Some rows, `[n, rank]`.
    pub(crate) fn rows(&self, rows: Range<usize>) -> ArrayView2<'_, f64> {
        self.rotated.slice(s![rows, ..])
    }

    /// Some rows, `[n, rank]`, in single precision.
    pub(crate) fn rounded_rows(&self, rows: Range<usize>) -> ArrayView2<'_, f32> {
        self.rounded.slice(s![rows, ..])
    }

    /// Logits of some rows, `[n, n_labels]`; `coefficients` `[n_labels, rank + 1]` end in the intercept.
    pub(crate) fn logits(&self, rows: Range<usize>, coefficients: ArrayView2<f64>) -> Array2<f64> {
        let (weights, intercepts) = split_intercept(coefficients);
        product(self.rows(rows), weights.t()) + intercepts
    }

    /// The same classifier on embeddings; `coefficients` as in [`Design::logits`].
    pub(crate) fn head(&self, task: Task, coefficients: ArrayView2<f64>) -> Result<LinearHead, HeadError> {
        let (weights, intercepts) = self.on_embeddings(coefficients);
        LinearHead::new(task, weights.mapv(|value| value as f32), intercepts.mapv(|value| value as f32))
    }

    /// Its weights `[n_labels, hidden_size]` and intercepts before they are rounded.
    pub(crate) fn on_embeddings(&self, coefficients: ArrayView2<f64>) -> (Array2<f64>, Array1<f64>) {
        let (weights, intercepts) = split_intercept(coefficients);
        let weights = weights.dot(&self.basis);
        let intercepts = &intercepts - &weights.dot(&self.mean);
        (weights, intercepts)
    }
}

/// Weights and intercepts of `[n_labels, rank + 1]`.
pub(crate) fn split_intercept(coefficients: ArrayView2<'_, f64>) -> (ArrayView2<'_, f64>, ArrayView1<'_, f64>) {
    let rank = coefficients.ncols() - 1;
    let (weights, intercepts) = coefficients.split_at(Axis(1), rank);
    (weights, intercepts.index_axis_move(Axis(1), 0))
}

/// Cuts rows into blocks of at most [`BLOCK_ROWS`], and these into at most [`MAX_PARTS`] parts.
pub(crate) fn parts(ranges: &[Range<usize>]) -> Vec<Vec<Range<usize>>> {
    let blocks: Vec<Range<usize>> = ranges
        .iter()
        .flat_map(|range| range.clone().step_by(BLOCK_ROWS).map(|start| start..range.end.min(start + BLOCK_ROWS)))
        .collect();
    blocks.chunks(blocks.len().div_ceil(MAX_PARTS).max(1)).map(<[_]>::to_vec).collect()
}

fn check_finite(embeddings: ArrayView2<f32>) -> Result<(), HeadError> {
    match embeddings.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row_idx, column_idx), &value)) => Err(HeadError::NonFinite { row_idx, column_idx, value }),
        None => Ok(()),
    }
}

/// `a · b` in blocks of rows on all threads; each row is computed by itself, so the split changes nothing.
pub(crate) fn product(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    out.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS)
        .into_par_iter()
        .zip(a.axis_chunks_iter(Axis(0), BLOCK_ROWS))
        .for_each(|(out, a): (ArrayViewMut2<f64>, _)| matmul_f64(a, b, out, false));
    out
}

/// `aᵀ · a`.
fn gram(a: ArrayView2<f64>) -> Array2<f64> {
    let n_columns = a.ncols();
    let sums: Vec<Array2<f64>> = parts(std::slice::from_ref(&(0..a.nrows())))
        .into_par_iter()
        .map(|blocks| {
            let mut sum = Array2::zeros((n_columns, n_columns));
            for block in blocks {
                let rows = a.slice(s![block, ..]);
                matmul_f64(rows.t(), rows, sum.view_mut(), true);
            }
            sum
        })
        .collect();
    sums.into_iter().fold(Array2::zeros((n_columns, n_columns)), |total, sum| total + sum)
}

/// An orthonormal basis of the span of the rows, by Gram–Schmidt, done twice for each row ("twice is enough", Giraud et al. 2005).
fn orthonormal_rows(a: ArrayView2<f64>) -> Array2<f64> {
    let mut basis = Array2::zeros((0, a.ncols()));
    for row in a.rows() {
        let mut rest = row.to_owned();
        for _ in 0..2 {
            let overlap = basis.dot(&rest);
            rest -= &basis.t().dot(&overlap);
        }
        let (length, kept) = (row.dot(&row).sqrt(), rest.dot(&rest).sqrt());
        if kept > RANK_TOLERANCE * length {
            rest /= kept;
            basis.push_row(rest.view()).expect("the row has the width of the basis");
        }
    }
    basis
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::rng::generator;

    #[test]
    fn coordinates_keep_distances_and_are_uncorrelated() {
        let mut rng = generator(1, "design test");
        for (n_rows, hidden_size) in [(1, 3), (4, 9), (9, 9), (700, 5)] {
            let x = Array2::from_shape_simple_fn((n_rows, hidden_size), || rng.random_range(-1.0..1.0f32));
            let order: Vec<usize> = (0..n_rows).rev().collect();
            let design = Design::new(x.view(), &order).unwrap();
            let z = design.rows(0..n_rows);
            assert!(design.rank() <= n_rows.min(hidden_size));
            for (i, j) in [(0, n_rows - 1), (n_rows / 2, n_rows / 3)] {
                let difference = &x.row(order[i]) - &x.row(order[j]);
                let expected = f64::from(difference.dot(&difference).sqrt());
                let found = (&z.row(i) - &z.row(j)).mapv(|v| v * v).sum().sqrt();
                assert!((found - expected).abs() < 1e-6, "distance {found}, expected {expected}");
            }
            let covariance = z.t().dot(&z) / n_rows as f64;
            for ((i, j), &value) in covariance.indexed_iter() {
                let expected = if i == j { design.variances()[i] } else { 0.0 };
                assert!((value - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        let mut x = Array2::<f32>::zeros((3, 2));
        x[[1, 1]] = f32::NAN;
        x[[2, 0]] = f32::INFINITY;
        let error = Design::new(x.view(), &[0, 1, 2]).err().unwrap().to_string();
        assert_eq!(error, "embedding 1 holds NaN in column 1; all values must be finite");
    }

    #[test]
    fn parts_cover_every_row_once_in_order() {
        for (ranges, n_parts) in [(vec![0..0, 3..5], 1), (vec![0..100, 300..10_000], 13), (vec![0..257, 300..300], 2)] {
            let parts = parts(&ranges);
            let rows: Vec<usize> = parts.iter().flatten().cloned().flatten().collect();
            assert_eq!(rows, ranges.into_iter().flatten().collect::<Vec<_>>());
            assert_eq!(parts.len(), n_parts);
        }
    }
}
