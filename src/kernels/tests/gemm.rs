//! Products of views of any layout.

use ndarray::{Array2, ArrayView2, s};

use super::random;
use crate::kernels::{gemm, scalar};

/// Around the widths of registers and tiles, and 0.
const AWKWARD: [usize; 12] = [0, 1, 2, 3, 5, 15, 16, 17, 31, 33, 65, 97];

/// Rounding of a sum of `k` products in any order is at most `k · ε · Σ |a| |b|` (Higham 2002, Accuracy and Stability of Numerical
/// Algorithms, §3.1), and two more roundings for what was there before.
fn assert_product(a: ArrayView2<f32>, b: ArrayView2<f32>, before: f32, found: ArrayView2<f32>) {
    let expected = scalar::matmul(a, b);
    let magnitude = scalar::matmul(a.mapv(f32::abs).view(), b.mapv(f32::abs).view());
    let rounding = (a.ncols() + 2) as f64 * f64::from(f32::EPSILON);
    for ((index, &found), (expected, magnitude)) in found.indexed_iter().zip(expected.iter().zip(&magnitude)) {
        let expected = expected + f64::from(before);
        let tolerance = rounding * (magnitude + f64::from(before.abs()));
        let shapes = (a.dim(), b.dim());
        assert!((f64::from(found) - expected).abs() <= tolerance, "{shapes:?} at {index:?}: {found}, not {expected}");
    }
}

#[test]
fn products_agree_for_all_sizes() {
    for m in AWKWARD {
        for k in AWKWARD {
            for n in AWKWARD {
                let (a, b) = (random(m, k, 1.0), random(k, n, 2.0));
                let mut out = Array2::from_elem((m, n), f32::NAN);
                gemm::matmul(a.view(), b.view(), out.view_mut(), false);
                assert_product(a.view(), b.view(), 0.0, out.view());
                out.fill(0.5);
                gemm::matmul(a.view(), b.view(), out.view_mut(), true);
                assert_product(a.view(), b.view(), 0.5, out.view());
            }
        }
    }
}

#[test]
fn products_agree_for_large_depth() {
    let (a, b) = (random(70, 1536, 1.0), random(1536, 130, 1.0));
    let mut out = Array2::from_elem((70, 130), 0.5);
    gemm::matmul(a.view(), b.view(), out.view_mut(), true);
    assert_product(a.view(), b.view(), 0.5, out.view());
}

#[test]
fn products_take_any_strides() {
    let (a, b) = (random(80, 120, 1.0), random(100, 90, 1.0));
    let a_views = [a.slice(s![..34, 3..40]), a.slice(s![..;2, ..37]), a.slice(s![6..40, 3..40;-1])];
    let a_views = a_views.map(|view| view.slice_move(s![..34, ..37]));
    let first_row = b.slice(s![..1, ..19]);
    let repeated = first_row.broadcast((37, 19)).unwrap();
    let b_t = b.t();
    let b_views = [b.slice(s![..37, 5..24]), b_t.slice(s![7..44, ..19]), b.slice(s![..37;-1, ..38;2]), repeated];
    for a in a_views {
        for b in &b_views {
            let mut room = Array2::from_elem((200, 200), 9.0);
            for reversed in [false, true] {
                let mut out = room.slice_mut(s![3..71;2, 1..58;3]);
                if reversed {
                    out.invert_axis(ndarray::Axis(0));
                    out.invert_axis(ndarray::Axis(1));
                }
                gemm::matmul(a, b.view(), out.view_mut(), false);
                assert_product(a, b.view(), 0.0, out.view());
            }
            let mut transposed = Array2::from_elem((19, 34), f32::NAN);
            gemm::matmul(a, b.view(), transposed.view_mut().reversed_axes(), false);
            assert_product(a, b.view(), 0.0, transposed.t());
            let n_untouched = room.iter().filter(|&&x| x == 9.0).count();
            assert_eq!(n_untouched, 200 * 200 - 34 * 19, "something outside of the result was written");
        }
    }
}

#[test]
fn products_in_double_precision_agree() {
    for (m, k, n) in [(1, 1, 1), (3, 0, 2), (1, 40, 7), (17, 33, 9), (70, 600, 65)] {
        let (a, b) = (random(m, k, 1.0).mapv(f64::from), random(k, n, 1.0).mapv(f64::from));
        let mut out = Array2::from_elem((m, n), f64::NAN);
        gemm::matmul_f64(a.view(), b.view(), out.view_mut(), false);
        let tolerance = 2.0 * (k + 1) as f64 * k as f64 * f64::EPSILON; // both sides round
        for (found, expected) in out.iter().zip(&scalar::matmul(a.view(), b.view())) {
            assert!((found - expected).abs() <= tolerance, "{found}, expected {expected}");
        }
    }
}

#[test]
fn products_are_the_same_on_every_run_and_row_by_row() {
    let (a, b) = (random(97, 384, 1.0), random(384, 130, 1.0));
    let product = |a: ArrayView2<f32>| {
        let mut out = Array2::zeros((a.nrows(), 130));
        gemm::matmul(a, b.view(), out.view_mut(), false);
        out
    };
    let whole = product(a.view());
    assert_eq!(whole, product(a.view()));
    for (start, end) in [(0, 2), (5, 8), (11, 60), (48, 97)] {
        assert_eq!(product(a.slice(s![start..end, ..])), whole.slice(s![start..end, ..]), "rows {start} to {end}");
    }
}

#[test]
#[should_panic(expected = "out must be [2, 4]")]
fn a_product_refuses_an_output_of_another_shape() {
    let mut out = Array2::zeros((4, 2));
    gemm::matmul(random(2, 3, 1.0).view(), random(3, 4, 1.0).view(), out.view_mut(), false);
}
