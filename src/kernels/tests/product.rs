//! Products of rows with packed matrices: every format and output on every instruction set.

use half::bf16;
use ndarray::{Array2, ArrayView2, s};

use super::{ACTIVATIONS, FORMATS, LARGE, UNIT_ROUNDOFF, bits, int8_parts, numbers, random};
use crate::kernels::dispatch::Isa;
use crate::kernels::elementwise::{Activation, activate};
use crate::kernels::packed::{Format, PANEL_COLUMNS, PackedMatrix, STEP_BYTES};
use crate::kernels::product::{Output, product};
use crate::kernels::rows::{RowBuffer, Rows};
use crate::kernels::scalar;

/// Rows: none, the tiles of every set and their neighbours, several tiles that are not full.
const N_ROWS: [usize; 14] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 25, 31];
/// Depths: one step of every format, its neighbours, and primes.
const DEPTHS: [usize; 9] = [1, 2, 3, 4, 5, 8, 31, 33, 97];
/// Columns: around whole panels.
const N_COLUMNS: [usize; 9] = [0, 1, 2, 31, 32, 33, 63, 65, 97];

/// Roundings of an int8 result that any of its three terms goes through: integer sum to f32, two scales, the last addition.
const INT8_ROUNDINGS: f64 = 4.0;

/// What a product does with its result.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Store,
    StoreBf16,
    Add,
    Multiply,
    Activate(Activation),
    ActivateBf16(Activation),
}

/// A bf16 below the normal ones is taken for 0 by some instruction sets and kept by others.
fn without_subnormals(half: u16) -> u32 {
    const SIGN: u16 = 0x8000;
    u32::from(if bf16::from_bits(half).to_f32().is_subnormal() { half & SIGN } else { half })
}

impl Kind {
    pub(super) fn all() -> Vec<Self> {
        let mut kinds = vec![Self::Store, Self::StoreBf16, Self::Add, Self::Multiply];
        kinds.extend(ACTIVATIONS.iter().flat_map(|(a, ..)| [Self::Activate(*a), Self::ActivateBf16(*a)]));
        kinds
    }

    /// The bits that the product leaves. What is not to be read before was NaN.
    pub(super) fn multiply(self, isa: Isa, rows: Rows<'_>, weights: &PackedMatrix, before: &[f32]) -> Vec<u32> {
        let mut floats = match self {
            Self::Add | Self::Multiply => before.to_vec(),
            _ => vec![f32::NAN; before.len()],
        };
        let mut halves = vec![u16::MAX; before.len()];
        let output = match self {
            Self::Store => Output::Store(&mut floats),
            Self::StoreBf16 => Output::StoreBf16(&mut halves),
            Self::Add => Output::Add(&mut floats),
            Self::Multiply => Output::Multiply(&mut floats),
            Self::Activate(activation) => Output::Activate(activation, &mut floats),
            Self::ActivateBf16(activation) => Output::ActivateBf16(activation, &mut halves),
        };
        product(isa, rows, weights, output);
        match self {
            Self::StoreBf16 | Self::ActivateBf16(_) => halves.into_iter().map(without_subnormals).collect(),
            _ => bits(&floats),
        }
    }

    /// The same bits made of the plain result in separate steps.
    fn expected(self, isa: Isa, stored: &[f32], before: &[f32]) -> Vec<u32> {
        let to_bf16 =
            |values: &[f32]| values.iter().map(|&x| without_subnormals(bf16::from_f32(x).to_bits())).collect();
        let activated = |activation| {
            let mut values = stored.to_vec();
            activate(isa, activation, &mut values);
            values
        };
        match self {
            Self::Store => bits(stored),
            Self::StoreBf16 => to_bf16(stored),
            Self::Add => before.iter().zip(stored).map(|(before, x)| (before + x).to_bits()).collect(),
            Self::Multiply => before.iter().zip(stored).map(|(before, x)| (before * x).to_bits()).collect(),
            Self::Activate(activation) => bits(&activated(activation)),
            Self::ActivateBf16(activation) => to_bf16(&activated(activation)),
        }
    }
}

/// The number at row `depth`, column `column` of a packed matrix: 4 bytes a step, padding included.
fn unpacked(weights: &PackedMatrix) -> Array2<f64> {
    let (format, panels) = (weights.format(), weights.panels().as_slice());
    let step_len = format.step_len();
    let n_steps = weights.n_in().div_ceil(step_len);
    let n_columns = weights.n_out().next_multiple_of(PANEL_COLUMNS);
    Array2::from_shape_fn((n_steps * step_len, n_columns), |(depth, column)| {
        let step = (column / PANEL_COLUMNS * n_steps + depth / step_len) * PANEL_COLUMNS + column % PANEL_COLUMNS;
        let at = step * STEP_BYTES + depth % step_len * format.number_bytes();
        match format {
            Format::F32 => f64::from(f32::from_le_bytes(panels[at..at + 4].try_into().unwrap())),
            Format::Bf16 => bf16::from_le_bytes(panels[at..at + 2].try_into().unwrap()).to_f64(),
            Format::Int8 => f64::from(panels[at] as i8),
        }
    })
}

/// Expected numbers and how far a result may be from each.
///
/// Rounding of a sum of `k` products in any order is at most `k · u · Σ |a| |b|`, however they are added (Higham 2002, Accuracy and
/// Stability of Numerical Algorithms, §3.1), with one rounding more where products are rounded before they are added, and one for the
/// bias. int8 sums are exact.
fn judge(values: ArrayView2<f32>, rows: Rows<'_>, weight: ArrayView2<f32>, packed: &PackedMatrix) -> [Array2<f64>; 2] {
    let bias = |column: usize| f64::from(packed.columns().bias[column]);
    if packed.format() != Format::Int8 {
        let rounded = |x: f32| if packed.format() == Format::Bf16 { scalar::rounded_to_bf16(x) } else { x };
        let (a, b) = (values.mapv(rounded), weight.mapv(rounded));
        let mut expected = scalar::matmul(a.view(), b.t());
        let mut tolerance = scalar::matmul(a.mapv(f32::abs).view(), b.mapv(f32::abs).t());
        let n_roundings = (a.ncols() + 2) as f64;
        for ((_, column), x) in expected.indexed_iter_mut() {
            *x += bias(column);
        }
        for ((_, column), x) in tolerance.indexed_iter_mut() {
            *x = n_roundings * UNIT_ROUNDOFF * (*x + bias(column).abs());
        }
        return [expected, tolerance];
    }
    let (bytes, scales, offsets) = int8_parts(rows);
    let quantised = unpacked(packed).mapv(|x| x as i8);
    let sums = scalar::matmul_int8(bytes.view(), quantised.view());
    let terms = |(row, column): (usize, usize)| {
        let column_scale = f64::from(packed.columns().scales[column]);
        let column_sum: f64 = quantised.column(column).iter().map(|&w| f64::from(w)).sum();
        [
            f64::from(scales[row]) * column_scale * sums[[row, column]] as f64,
            f64::from(offsets[row]) * column_scale * column_sum,
            bias(column),
        ]
    };
    let shape = (values.nrows(), weight.nrows());
    [
        Array2::from_shape_fn(shape, |at| terms(at).iter().sum()),
        Array2::from_shape_fn(shape, |at| INT8_ROUNDINGS * UNIT_ROUNDOFF * terms(at).map(f64::abs).iter().sum::<f64>()),
    ]
}

/// All outputs of one shape, with and without bias, on every set.
fn check(format: Format, m: usize, k: usize, n: usize) {
    let (values, weight, bias) = (random(m, k, 1.0), random(n, k, 2.0), numbers(n, 0.5));
    let before = numbers(m * n, 3.0);
    for bias in [None, Some(bias.as_slice())] {
        let packed = PackedMatrix::pack(format, weight.view(), bias);
        for isa in Isa::available() {
            let what = format!("{format:?} on {}, [{m}, {k}] · [{k}, {n}]", isa.name());
            let mut buffer = RowBuffer::default();
            let rows = buffer.convert(isa, format, values.as_slice().unwrap(), k);
            assert_eq!(rows.n_rows(), m, "{what}");
            let stored = Kind::Store.multiply(isa, rows, &packed, &before);
            let stored: Vec<f32> = stored.into_iter().map(f32::from_bits).collect();
            let [expected, tolerance] = judge(values.view(), rows, weight.view(), &packed);
            for ((found, expected), tolerance) in stored.iter().zip(&expected).zip(&tolerance) {
                let error = (f64::from(*found) - expected).abs();
                assert!(error <= *tolerance, "{what}: {found}, expected {expected} within {tolerance:e}");
            }
            for kind in Kind::all() {
                let found = kind.multiply(isa, rows, &packed, &before);
                assert!(found == kind.expected(isa, &stored, &before), "{what}, {kind:?}");
            }
        }
    }
}

fn check_awkward_sizes(format: Format) {
    for m in N_ROWS {
        for k in DEPTHS {
            for n in N_COLUMNS {
                check(format, m, k, n);
            }
        }
    }
}

#[test]
fn f32_products_agree_for_all_sizes() {
    check_awkward_sizes(Format::F32);
}

#[test]
fn bf16_products_agree_for_all_sizes() {
    check_awkward_sizes(Format::Bf16);
}

#[test]
fn int8_products_agree_for_all_sizes() {
    check_awkward_sizes(Format::Int8);
}

#[test]
fn products_agree_for_large_sizes() {
    for format in FORMATS {
        for (m, k, n) in [(LARGE, 3, 5), (3, LARGE, 33), (2, LARGE + 1, 3), (3, 5, LARGE), (13, 1536, 40)] {
            check(format, m, k, n);
        }
    }
}

#[test]
fn packed_matrices_hold_the_weights_and_zeros_around_them() {
    for format in FORMATS {
        for k in DEPTHS {
            for n in N_COLUMNS {
                let (weight, bias) = (random(n, k, 2.0), numbers(n, 0.5));
                let packed = PackedMatrix::pack(format, weight.view(), Some(&bias));
                let mut found = unpacked(&packed);
                let columns = packed.columns();
                assert_eq!(columns.bias[..n], bias, "{format:?}, [{k}, {n}]");
                assert!(columns.bias[n..].iter().all(|&x| x == 0.0), "{format:?}, [{k}, {n}]");
                for (column, row) in weight.outer_iter().enumerate() {
                    let mut found = found.slice_mut(s![..k, column]);
                    let expected: Vec<f64> = match format {
                        Format::F32 => row.iter().map(|&x| f64::from(x)).collect(),
                        Format::Bf16 => row.iter().map(|&x| f64::from(scalar::rounded_to_bf16(x))).collect(),
                        Format::Int8 => {
                            let (bytes, scale) = scalar::quantize_column(&row.to_vec());
                            assert!((f64::from(columns.scales[column]) - scale).abs() <= 2.0 * UNIT_ROUNDOFF * scale);
                            let sum = bytes.iter().map(|&x| i32::from(x)).sum::<i32>() as f32;
                            assert_eq!(columns.sums[column], columns.scales[column] * sum);
                            bytes.into_iter().map(f64::from).collect()
                        }
                    };
                    assert_eq!(found.to_vec(), expected, "{format:?}, [{k}, {n}], column {column}");
                    found.fill(0.0);
                }
                assert!(found.iter().all(|&x| x == 0.0), "{format:?}, [{k}, {n}]: the padding is not 0");
            }
        }
    }
}

#[test]
fn weights_may_be_views_of_any_layout() {
    let weight = random(40, 30, 1.0);
    let views = [weight.slice(s![3..36;2, 1..30;3]), weight.t().slice_move(s![..17, ..10])];
    for format in FORMATS {
        for view in views {
            let copy = view.as_standard_layout();
            let (of_view, of_copy) =
                (PackedMatrix::pack(format, view, None), PackedMatrix::pack(format, copy.view(), None));
            assert_eq!(of_view.panels().as_slice(), of_copy.panels().as_slice(), "{format:?}");
            assert_eq!(of_view.columns(), of_copy.columns(), "{format:?}");
        }
    }
}

#[test]
fn what_is_not_finite_stays_so() {
    for format in FORMATS {
        let packed = PackedMatrix::pack(format, random(33, 37, 1.0).view(), None);
        for isa in Isa::available() {
            for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in [0, 31, 32, 36] {
                    let mut values = random(5, 37, 1.0);
                    let sound = values.clone();
                    values[[3, place]] = poison;
                    let multiply = |values: &Array2<f32>| {
                        let mut buffer = RowBuffer::default();
                        let rows = buffer.convert(isa, format, values.as_slice().unwrap(), 37);
                        let found = Kind::Store.multiply(isa, rows, &packed, &[0.0; 5 * 33]);
                        Array2::from_shape_vec((5, 33), found).unwrap()
                    };
                    let (found, mut expected) = (multiply(&values), multiply(&sound));
                    let what = format!("{poison} in {format:?} on {}", isa.name());
                    let poisoned = found.row(3).mapv(f32::from_bits);
                    assert!(poisoned.iter().all(|x| !x.is_finite()), "{what} vanished: {poisoned}");
                    expected.row_mut(3).assign(&found.row(3));
                    assert_eq!(found, expected, "{what} reached another row");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "formats of rows and weights")]
fn a_product_refuses_rows_of_another_format() {
    let packed = PackedMatrix::pack(Format::Bf16, random(3, 2, 1.0).view(), None);
    product(Isa::best(), Rows::f32(&[1.0, 2.0], 2), &packed, Output::Store(&mut [0.0; 3]));
}

#[test]
#[should_panic(expected = "a product needs some depth")]
fn a_matrix_without_depth_is_refused() {
    PackedMatrix::pack(Format::F32, Array2::zeros((3, 0)).view(), None);
}

#[test]
#[should_panic(expected = "numbers of the output")]
fn a_product_refuses_an_output_of_another_size() {
    let packed = PackedMatrix::pack(Format::F32, random(3, 2, 1.0).view(), None);
    product(Isa::best(), Rows::f32(&[1.0, 2.0], 2), &packed, Output::Store(&mut [0.0; 4]));
}
