//! Matrix products, by the `gemm` crate: blocked for the caches, AVX-512 where the CPU has it.

use ndarray::{ArrayView2, ArrayViewMut2};

/// `out = a · b`, or `out += a · b` with `accumulate`, on the calling thread; any strides.
///
/// # Shapes
/// * `a` `[m, k]`, `b` `[k, n]`, `out` `[m, n]`
///
/// # Panics
/// When the shapes do not match.
pub fn matmul(a: ArrayView2<f32>, b: ArrayView2<f32>, out: ArrayViewMut2<f32>, accumulate: bool) {
    product(a, b, out, accumulate, 1.0);
}

/// [`matmul`] in double precision.
///
/// # Panics
/// When the shapes do not match.
pub fn matmul_f64(a: ArrayView2<f64>, b: ArrayView2<f64>, out: ArrayViewMut2<f64>, accumulate: bool) {
    product(a, b, out, accumulate, 1.0);
}

/// The element types that the crate takes.
trait Real: Copy + 'static {}
impl Real for f32 {}
impl Real for f64 {}

fn product<T: Real>(a: ArrayView2<T>, b: ArrayView2<T>, mut out: ArrayViewMut2<T>, accumulate: bool, one: T) {
    let ((m, k), n) = (a.dim(), b.ncols());
    assert_eq!(b.nrows(), k, "a has {k} columns, b has {} rows", b.nrows());
    assert_eq!(out.dim(), (m, n), "out must be [{m}, {n}]");
    let (a_strides, b_strides) = (a.strides(), b.strides());
    let (out_row_stride, out_column_stride) = (out.strides()[0], out.strides()[1]);
    // SAFETY: pointers, shapes and strides come unchanged from live views whose shapes were just compared, so only
    // initialised elements inside them are touched; `out` is borrowed mutably and overlaps neither `a` nor `b`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            out_column_stride,
            out_row_stride,
            accumulate,
            a.as_ptr(),
            a_strides[1],
            a_strides[0],
            b.as_ptr(),
            b_strides[1],
            b_strides[0],
            one,
            one,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
