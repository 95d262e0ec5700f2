//! Eigenvectors of a symmetric matrix: Householder tridiagonalisation, then implicit QL.
//!
//! Everything runs along rows, so that the compiler can vectorise the inner loops: about 0.1 s at 384 columns.

use ndarray::{Array2, ArrayViewMut1, Axis, Zip, s};

/// QL needs about two steps per eigenvalue (Golub & Van Loan, *Matrix Computations*, § 8.3.5); LAPACK gives up at 30.
const MAX_QL_STEPS: usize = 60;

/// An orthonormal basis in which a symmetric matrix is diagonal.
pub(crate) struct SymmetricEigen {
    /// Eigenvalues, in no particular order.
    pub(crate) values: Vec<f64>,
    /// `[n, n]`, the eigenvector of `values[i]` in row `i`.
    pub(crate) vectors: Array2<f64>,
}

/// Eigenvalues and eigenvectors of the symmetric `matrix` `[n, n]`, whose elements must be finite.
///
/// The vectors are orthonormal to rounding whatever happens; should QL stop early, only the values are approximate.
/// Source: Wilkinson & Reinsch, *Linear Algebra* (1971), contributions II/2 and II/3.
pub(crate) fn symmetric_eigen(mut matrix: Array2<f64>) -> SymmetricEigen {
    let n = matrix.nrows();
    assert_eq!(matrix.ncols(), n, "a symmetric matrix is square");
    if n == 0 {
        return SymmetricEigen { values: Vec::new(), vectors: matrix };
    }
    let reflectors = tridiagonalise(&mut matrix);
    let mut diagonal: Vec<f64> = matrix.diag().to_vec();
    let mut off_diagonal: Vec<f64> = (1..n).map(|i| matrix[[i, i - 1]]).collect();
    off_diagonal.push(0.0);

    // The product of the reflectors, applied to the identity from the last (smallest) to the first.
    let mut vectors = Array2::eye(n);
    for (k, reflector) in reflectors.iter().enumerate().rev() {
        let mut block = vectors.slice_mut(s![k + 1.., k + 1..]);
        let mut projection = vec![0.0; n - k - 1];
        for (row, &weight) in block.rows().into_iter().zip(reflector) {
            add_scaled(&mut projection, weight, row.as_slice().expect("rows of a row-major block are contiguous"));
        }
        for (mut row, &weight) in block.rows_mut().into_iter().zip(reflector) {
            let row = row.as_slice_mut().expect("rows of a row-major block are contiguous");
            add_scaled(row, -2.0 * weight, &projection);
        }
    }
    let mut vectors = vectors.reversed_axes().as_standard_layout().into_owned();
    diagonalise(&mut diagonal, &mut off_diagonal, &mut vectors);
    SymmetricEigen { values: diagonal, vectors }
}

/// Makes `matrix` tridiagonal in place by reflections `I − 2 v vᵀ`; `v` number `k` acts on the rows and columns after `k`.
fn tridiagonalise(matrix: &mut Array2<f64>) -> Vec<Vec<f64>> {
    let n = matrix.nrows();
    let mut reflectors = Vec::with_capacity(n.saturating_sub(2));
    for k in 0..n.saturating_sub(2) {
        let mut v: Vec<f64> = matrix.slice(s![k + 1.., k]).to_vec();
        let norm = norm(&v);
        // The sign keeps the first component from cancelling.
        let pivot = if v[0] > 0.0 { -norm } else { norm };
        v[0] -= pivot;
        let length = self::norm(&v);
        if norm == 0.0 || length == 0.0 {
            reflectors.push(vec![0.0; v.len()]);
            continue;
        }
        v.iter_mut().for_each(|value| *value /= length);
        matrix[[k + 1, k]] = pivot;
        matrix[[k, k + 1]] = pivot;
        matrix.slice_mut(s![k + 2.., k]).fill(0.0);
        matrix.slice_mut(s![k, k + 2..]).fill(0.0);

        // A − 2 v pᵀ − 2 p vᵀ + 4 (vᵀp) v vᵀ with p = A v, written as A − 2 v wᵀ − 2 w vᵀ.
        let mut block = matrix.slice_mut(s![k + 1.., k + 1..]);
        let mut w = vec![0.0; v.len()];
        for (row, &weight) in block.rows().into_iter().zip(&v) {
            add_scaled(&mut w, weight, row.as_slice().expect("rows of a row-major block are contiguous"));
        }
        let overlap: f64 = v.iter().zip(&w).map(|(a, b)| a * b).sum();
        add_scaled(&mut w, -overlap, &v);
        for (i, mut row) in block.rows_mut().into_iter().enumerate() {
            let row = row.as_slice_mut().expect("rows of a row-major block are contiguous");
            let (v_i, w_i) = (2.0 * v[i], 2.0 * w[i]);
            for ((value, v_j), w_j) in row.iter_mut().zip(&v).zip(&w) {
                *value -= v_i * w_j + w_i * v_j;
            }
        }
        reflectors.push(v);
    }
    reflectors
}

/// Implicit QL with Wilkinson's shift on a tridiagonal matrix; the rotations are carried over to pairs of rows of `vectors`.
fn diagonalise(diagonal: &mut [f64], off_diagonal: &mut [f64], vectors: &mut Array2<f64>) {
    let n = diagonal.len();
    for start in 0..n {
        for _ in 0..MAX_QL_STEPS {
            let end = (start..n - 1)
                .find(|&i| off_diagonal[i].abs() <= f64::EPSILON * (diagonal[i].abs() + diagonal[i + 1].abs()))
                .unwrap_or(n - 1);
            if end == start {
                break;
            }
            let half = (diagonal[start + 1] - diagonal[start]) / (2.0 * off_diagonal[start]);
            let root = half.hypot(1.0).copysign(half);
            let mut bulge = diagonal[end] - diagonal[start] + off_diagonal[start] / (half + root);
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut split = None;
            for i in (start..end).rev() {
                let (f, b) = (sine * off_diagonal[i], cosine * off_diagonal[i]);
                let radius = f.hypot(bulge);
                off_diagonal[i + 1] = radius;
                if radius == 0.0 {
                    split = Some(i);
                    break;
                }
                (sine, cosine) = (f / radius, bulge / radius);
                let next = diagonal[i + 1] - shift;
                let mixed = (diagonal[i] - next) * sine + 2.0 * cosine * b;
                shift = sine * mixed;
                diagonal[i + 1] = next + shift;
                bulge = cosine * mixed - b;
                let (upper, lower) = vectors.view_mut().split_at(Axis(0), i + 1);
                rotate(upper.index_axis_move(Axis(0), i), lower.index_axis_move(Axis(0), 0), sine, cosine);
            }
            if let Some(i) = split {
                diagonal[i + 1] -= shift;
            } else {
                diagonal[start] -= shift;
                off_diagonal[start] = bulge;
            }
            off_diagonal[end] = 0.0;
        }
    }
}

fn rotate(a: ArrayViewMut1<f64>, b: ArrayViewMut1<f64>, sine: f64, cosine: f64) {
    Zip::from(a).and(b).for_each(|a, b| {
        let old = *b;
        *b = sine * *a + cosine * old;
        *a = cosine * *a - sine * old;
    });
}

fn add_scaled(out: &mut [f64], factor: f64, values: &[f64]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out += factor * value;
    }
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::RngExt;

    use super::*;
    use crate::rng::generator;

    fn check(matrix: Array2<f64>, tolerance: f64) -> Vec<f64> {
        let SymmetricEigen { mut values, vectors } = symmetric_eigen(matrix.clone());
        let n = values.len();
        let identity = vectors.dot(&vectors.t());
        let rebuilt = vectors.t().dot(&Array2::from_diag(&ndarray::aview1(&values))).dot(&vectors);
        for i in 0..n {
            for j in 0..n {
                let expected = f64::from(u8::from(i == j));
                assert!((identity[[i, j]] - expected).abs() < tolerance, "n {n}: rows {i} and {j} are not orthonormal");
                let error = (rebuilt[[i, j]] - matrix[[i, j]]).abs();
                assert!(error < tolerance, "n {n}: element {i} {j} is off by {error}");
            }
        }
        values.sort_by(f64::total_cmp);
        values
    }

    #[test]
    fn matrices_with_known_eigenvalues() {
        assert_eq!(check(array![[3.0]], 1e-15), [3.0]);
        assert_eq!(check(Array2::zeros((4, 4)), 1e-15), [0.0; 4]);
        assert_eq!(check(Array2::eye(3), 1e-15), [1.0; 3]);
        for (value, expected) in check(array![[2.0, 1.0], [1.0, 2.0]], 1e-14).iter().zip([1.0, 3.0]) {
            assert!((value - expected).abs() < 1e-14);
        }
        // The second difference matrix: 2 − 2 cos(π k / (n + 1)).
        let n = 24;
        let matrix = Array2::from_shape_fn((n, n), |(i, j)| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        });
        for (k, value) in check(matrix, 1e-13).iter().enumerate() {
            let angle = std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64;
            assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-13);
        }
    }

    #[test]
    fn random_and_rank_deficient_matrices_are_rebuilt() {
        let mut rng = generator(3, "eigen test");
        for (n, rank) in [(2, 1), (5, 5), (17, 3), (64, 64), (65, 40)] {
            let factor = Array2::from_shape_simple_fn((n, rank), || rng.random_range(-1.0..1.0));
            let values = check(factor.dot(&factor.t()), 1e-11);
            assert!(values[..n - rank].iter().all(|value| value.abs() < 1e-12));
        }
    }
}
