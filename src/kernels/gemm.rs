//! Matrix products, by the `gemm` crate: blocked for the caches, AVX-512 where the CPU has it.

use ndarray::{ArrayView2, ArrayViewMut2};

/// `out = a · b`, or `out += a · b` with `accumulate`, on the calling thread.
///
/// Any strides will do, also negative and zero ones (views that are reversed or repeated). What `out` held before is not read
/// without `accumulate`, so it may hold NaN. With `k = 0` the product is zero.
///
/// The same input gives the same bytes on every run on one CPU; another CPU may sum in another order. With all three
/// matrices row-major, an element's rounding depends on its own row of `a` and column of `b` alone, not on how many rows there
/// are, as long as `out` has at least two rows and columns, and either more than 64 columns or `k ≤ 512`: smaller products
/// take other paths.
///
/// # Shapes
/// * `a` `[m, k]`, `b` `[k, n]`, `out` `[m, n]`
///
/// # Panics
/// When the shapes do not match.
///
/// # Example
/// ```
/// use ndarray::{Array2, array};
/// use topicwire::kernels::gemm::matmul;
/// let (a, b) = (array![[1.0, 2.0]], array![[3.0], [4.0]]);
/// let mut out = Array2::zeros((1, 1));
/// matmul(a.view(), b.view(), out.view_mut(), false);
/// assert_eq!(out, array![[11.0]]);
/// ```
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

/// The two element types that [`product`] may hand to the crate, which panics on most others.
trait Real: Copy + 'static {}
impl Real for f32 {}
impl Real for f64 {}

fn product<T: Real>(a: ArrayView2<T>, b: ArrayView2<T>, mut out: ArrayViewMut2<T>, accumulate: bool, one: T) {
    let (m, k) = a.dim();
    let n = b.ncols();
    assert_eq!(b.nrows(), k, "a has {k} columns, b has {} rows", b.nrows());
    assert_eq!(out.dim(), (m, n), "out must be [{m}, {n}]");
    let (a_strides, b_strides) = (a.strides(), b.strides());
    let (out_row_stride, out_column_stride) = (out.strides()[0], out.strides()[1]);
    // SAFETY: pointers, shapes and strides (in elements) come from live views and are passed on as they are, so every
    // address `pointer + i · row stride + j · column stride` with `i`, `j` inside the shape, the only ones the call touches,
    // is an initialised element. `out` is borrowed mutably: none of its elements is shared with `a` or `b`, and no two
    // index pairs reach the same one.
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
