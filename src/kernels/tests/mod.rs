//! Every kernel, on awkward sizes and with every instruction set this CPU has, against [`scalar`](super::scalar).

mod attention;
mod bitwise;
mod elementwise;
mod gemm;
mod int8;
mod product;
mod rows;
mod tables;

use ndarray::Array2;
use rand::RngExt;

use super::dispatch::Isa;
use super::elementwise::{Activation, GELU_ROUGH_ERROR};
use super::packed::Format;
use super::rows::{RowData, Rows};
use super::scalar;
use crate::rng::generator;

const FORMATS: [Format; 3] = [Format::F32, Format::Bf16, Format::Int8];

/// A dimension that is large when the others are small.
const LARGE: usize = 10_000;

/// Largest relative error of one rounding to f32 (Higham 2002, Accuracy and Stability of Numerical Algorithms, §2.1).
const UNIT_ROUNDOFF: f64 = f32::EPSILON as f64 / 2.0;

/// Exact activations against `libm`; the worst measured is 5.2e-7, of GELU at 4.67, where a unit in the last place is 4.8e-7. Formula
/// 7.1.26 of Abramowitz and Stegun, within 1.5e-7 of erfc, would by itself allow `|x| / 2` of that.
const ACTIVATION_TOLERANCE: f64 = 1e-6;

/// Each with its judge and tolerance.
const ACTIVATIONS: [(Activation, fn(f64) -> f64, f64); 5] = [
    (Activation::Gelu, scalar::gelu, ACTIVATION_TOLERANCE),
    (Activation::GeluRough, scalar::gelu, GELU_ROUGH_ERROR),
    (Activation::GeluTanh, scalar::gelu_tanh, ACTIVATION_TOLERANCE),
    (Activation::Relu, scalar::relu, 0.0),
    (Activation::Silu, scalar::silu, ACTIVATION_TOLERANCE),
];

fn random(n_rows: usize, n_columns: usize, scale: f32) -> Array2<f32> {
    let mut rng = generator(7, &format!("kernel test {n_rows} {n_columns} {scale}"));
    Array2::from_shape_simple_fn((n_rows, n_columns), || scale * (2.0 * rng.random::<f32>() - 1.0))
}

fn numbers(n: usize, scale: f32) -> Vec<f32> {
    random(1, n, scale).into_raw_vec_and_offset().0
}

fn values(matrix: &mut Array2<f32>) -> &mut [f32] {
    matrix.as_slice_mut().unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(found) - expected).abs() <= tolerance, "{what}, number {i}: {found}, expected {expected}");
    }
}

/// Bytes, scales and offsets of int8 rows; the bytes with their padding.
fn int8_parts(rows: Rows<'_>) -> (Array2<u8>, Vec<f32>, Vec<f32>) {
    let RowData::Int8 { bytes, scales, offsets } = rows.data else { panic!("the rows are int8") };
    let bytes = Array2::from_shape_vec((scales.len(), rows.row_bytes()), bytes.to_vec()).unwrap();
    (bytes, scales.to_vec(), offsets.to_vec())
}

/// Everything that makes up rows, as bits.
fn row_bits(rows: Rows<'_>) -> Vec<u32> {
    match rows.data {
        RowData::F32(values) => bits(values),
        RowData::Bf16(values) => values.iter().map(|&x| u32::from(x)).collect(),
        RowData::Int8 { bytes, scales, offsets } => {
            bytes.iter().map(|&x| u32::from(x)).chain(bits(scales)).chain(bits(offsets)).collect()
        }
    }
}

/// The sets that multiply and add in one instruction. They must agree to the last bit.
fn fused_sets() -> Vec<Isa> {
    let sets: Vec<_> = Isa::available().into_iter().filter(|isa| isa.name() != "portable").collect();
    if sets.len() < 2 {
        eprintln!("skipped: this CPU has no two sets of instructions to compare");
    }
    sets
}

/// Demands the same from all sets.
fn assert_same_on<T: PartialEq>(sets: &[Isa], what: &str, result: impl Fn(Isa) -> T) {
    let Some((first, others)) = sets.split_first() else { return };
    let expected = result(*first);
    for isa in others {
        assert!(result(*isa) == expected, "{what}: {} and {} differ", isa.name(), first.name());
    }
}
