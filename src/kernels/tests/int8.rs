//! int8 products with scales of 1 and no zero point, so that the results are the integer sums themselves.

use ndarray::{Array2, ArrayView2};
use rand::RngExt;

use super::LARGE;
use crate::kernels::dispatch::Isa;
use crate::kernels::packed::{Format, MAX_INT8_DEPTH, PackedMatrix};
use crate::kernels::product::{Output, product};
use crate::kernels::rows::RowBuffer;
use crate::kernels::scalar;
use crate::rng::generator;

/// Whole numbers up to which f32 holds all.
const LARGEST_EXACT: i64 = 1 << 24;

/// Multiplies bytes as they are. Each row must hold 255, each row of weights 127 or -127, which makes all scales 1.
fn assert_exact(bytes: ArrayView2<u8>, weights: ArrayView2<i8>, what: &str) {
    let (m, k, n) = (bytes.nrows(), bytes.ncols(), weights.nrows());
    let packed = PackedMatrix::pack(Format::Int8, weights.mapv(f32::from).view(), None);
    assert!(packed.columns().scales[..n].iter().all(|&scale| scale == 1.0), "{what}");
    // The sum is rounded once, when it becomes a float.
    let expected = scalar::matmul_int8(bytes, weights.t()).mapv(|sum| sum as f32);
    for isa in Isa::available() {
        let mut buffer = RowBuffer::default();
        let values = bytes.mapv(f32::from);
        let rows = buffer.convert(isa, Format::Int8, values.as_slice().unwrap(), k);
        let mut found = Array2::from_elem((m, n), f32::NAN);
        product(isa, rows, &packed, Output::Store(found.as_slice_mut().unwrap()));
        assert!(found == expected, "{what} on {}: {found}, expected {expected}", isa.name());
    }
}

#[test]
fn integer_sums_are_exact_for_all_sizes() {
    let mut rng = generator(8, "bytes");
    for m in [1, 2, 7, 12, 13] {
        for k in [1, 2, 3, 4, 5, 31, 64, 97, 509] {
            for n in [1, 31, 32, 33, 67] {
                let mut bytes = Array2::from_shape_simple_fn((m, k), || rng.random::<u8>());
                let mut weights = Array2::from_shape_simple_fn((n, k), || rng.random_range(-127..=127i8));
                bytes.column_mut(k / 2).fill(255);
                weights.column_mut(k / 3).fill(-127);
                assert!(255 * 127 * k as i64 <= LARGEST_EXACT);
                assert_exact(bytes.view(), weights.view(), &format!("[{m}, {k}] · [{k}, {n}]"));
            }
        }
    }
}

/// Pairs of these products, and sums of pairs, leave the range of an i16, in which `vpmaddubsw` would cut them off.
#[test]
fn the_largest_bytes_do_not_saturate() {
    for k in [1, 2, 3, 4, 8, 255, 1024, LARGE, MAX_INT8_DEPTH] {
        for signs in [[127, 127], [-127, -127], [127, -127]] {
            let bytes = Array2::from_elem((3, k), 255);
            let weights = Array2::from_shape_fn((33, k), |(i, j)| signs[usize::from(i % 2 == 0 && j % 3 == 0)]);
            assert_exact(bytes.view(), weights.view(), &format!("{signs:?} at depth {k}"));
        }
    }
}

#[test]
fn rows_of_both_signs_are_exact_too() {
    let mut rng = generator(9, "signed rows");
    for k in [2, 3, 17, 96, 300] {
        let mut values = Array2::from_shape_simple_fn((5, k), || rng.random_range(-100..=155i32));
        let mut weights = Array2::from_shape_simple_fn((35, k), || rng.random_range(-127..=127i32));
        values.column_mut(0).fill(-100);
        values.column_mut(k - 1).fill(155);
        weights.column_mut(k / 2).fill(127);
        let expected = values.dot(&weights.t()).mapv(|sum| sum as f32);
        let packed = PackedMatrix::pack(Format::Int8, weights.mapv(|w| w as f32).view(), None);
        for isa in Isa::available() {
            let mut buffer = RowBuffer::default();
            let values = values.mapv(|x| x as f32);
            let rows = buffer.convert(isa, Format::Int8, values.as_slice().unwrap(), k);
            let mut found = Array2::from_elem((5, 35), f32::NAN);
            product(isa, rows, &packed, Output::Store(found.as_slice_mut().unwrap()));
            assert_eq!(found, expected, "depth {k} on {}", isa.name());
        }
    }
}

#[test]
#[should_panic(expected = "an int8 product of 66312 numbers may overflow")]
fn deeper_products_are_refused() {
    PackedMatrix::pack(Format::Int8, Array2::zeros((1, MAX_INT8_DEPTH + 1)).view(), None);
}
