//! Lower triangular matrices, packed by rows: row `i` is `i + 1` numbers long and starts at `i · (i + 1) / 2`.

use ndarray::ArrayView2;

/// Where row `i` starts.
const fn start(i: usize) -> usize {
    i * (i + 1) / 2
}

/// How many numbers a packed matrix of `n` rows has.
pub(super) const fn packed_len(n: usize) -> usize {
    start(n)
}

/// Row `i` of a packed matrix.
pub(super) fn row<T>(packed: &[T], i: usize) -> &[T] {
    &packed[start(i)..start(i + 1)]
}

/// `L⁻¹` of the Cholesky factor `L · Lᵀ = matrix` `[n, n]`, symmetric, with eigenvalues of at least `least > 0`.
///
/// No pivot of such a matrix is below `least` (Golub & Van Loan, *Matrix Computations*, § 4.2); one that rounding took there is lifted.
pub(super) fn inverse_cholesky(matrix: ArrayView2<f64>, least: f64) -> Vec<f64> {
    let n = matrix.nrows();
    let mut factor = vec![0.0; packed_len(n)];
    for i in 0..n {
        let (above, rest) = factor.split_at_mut(start(i));
        let own = &mut rest[..=i];
        for j in 0..i {
            let other = row(above, j);
            own[j] = (matrix[[i, j]] - dot(&own[..j], &other[..j])) / other[j];
        }
        own[i] = (matrix[[i, i]] - dot(&own[..i], &own[..i])).max(least).sqrt();
    }
    // Row by row: L[i][i] · inverse[i] = e[i] − ∑ L[i][k] · inverse[k] over k < i.
    let mut inverse = vec![0.0; packed_len(n)];
    for i in 0..n {
        let (above, rest) = inverse.split_at_mut(start(i));
        let (own, weights) = (&mut rest[..=i], row(&factor, i));
        for (k, weight) in weights[..i].iter().enumerate() {
            for (sum, value) in own.iter_mut().zip(row(above, k)) {
                *sum -= weight * value;
            }
        }
        own[i] = 1.0;
        own.iter_mut().for_each(|value| *value /= weights[i]);
    }
    inverse
}

/// Sums that run side by side, so that the compiler can keep them in one register; their order depends on the length alone.
const LANES: usize = 8;

/// `∑ a[i] · b[i]` in double precision over the shorter of the two.
pub(super) fn dot<T: Copy + Into<f64>>(a: &[T], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b[..a.len().min(b.len())].chunks_exact(LANES));
    let rest: f64 = a_lanes.remainder().iter().zip(b_lanes.remainder()).map(|(&a, &b)| a.into() * b).sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane].into() * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use rand::RngExt;

    use super::*;
    use crate::rng::generator;

    #[test]
    fn a_factor_by_hand() {
        // [[4, 2], [2, 5]] = L · Lᵀ with L = [[2, 0], [1, 2]].
        assert_eq!(inverse_cholesky(array![[4.0, 2.0], [2.0, 5.0]].view(), 1e-9), [0.5, -0.25, 0.5]);
        // What rounding left of nothing is lifted to the least.
        assert_eq!(inverse_cholesky(array![[1.0, 0.0], [0.0, -1e-20]].view(), 1e-6), [1.0, 0.0, 1e3]);
    }

    #[test]
    fn whitening_gives_the_inverse() {
        let mut rng = generator(0, "triangular test");
        for n in [1, 2, 7, 8, 9, 33] {
            let a = Array2::from_shape_simple_fn((n + 3, n), || rng.random_range(-1.0..1.0f64));
            let matrix = a.t().dot(&a) + Array2::<f64>::eye(n) * 0.1;
            let packed = inverse_cholesky(matrix.view(), 0.1);
            let whitening = Array2::from_shape_fn((n, n), |(i, j)| if j <= i { row(&packed, i)[j] } else { 0.0 });
            let identity = whitening.dot(&matrix).dot(&whitening.t());
            assert!((identity - Array2::<f64>::eye(n)).iter().all(|rest| rest.abs() < 1e-11), "{n} rows");
        }
    }

    #[test]
    fn dot_products_have_every_term_once() {
        for n in 0..20usize {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let b = vec![2.0; n];
            assert_eq!(dot(&a, &b), (n * n.saturating_sub(1)) as f64);
        }
    }
}
