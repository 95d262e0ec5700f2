//! Layer normalisation, and rows converted for products.

use half::bf16;
use ndarray::Array2;

use super::{FORMATS, LARGE, UNIT_ROUNDOFF, assert_close, bits, int8_parts, numbers, random, row_bits};
use crate::kernels::dispatch::Isa;
use crate::kernels::packed::Format;
use crate::kernels::rows::{Norm, RowBuffer, RowData, ToNormalize, round_all};
use crate::kernels::scalar;

/// Around the steps of all formats, registers, the 32 lanes that rows are gathered in, and a real hidden size.
const WIDTHS: [usize; 13] = [1, 2, 3, 4, 5, 7, 16, 31, 32, 33, 97, 384, LARGE];

const EPS: f64 = 1e-5;

/// Normalised values are of the order of 1; the worst measured is 5.4e-7 where the mean is no larger than the spread.
const LAYER_NORM_TOLERANCE: f64 = 1e-6;

/// Half a step, and what rounding of the quotient (up to 255) and of the scale brings.
const INT8_STEPS: f64 = 0.5 + 4.0 * 255.0 * UNIT_ROUNDOFF;

fn norm(width: usize) -> Norm {
    Norm { weight: numbers(width, 2.0), bias: numbers(width, 0.5), eps: EPS as f32 }
}

fn normalize(isa: Isa, format: Format, rows: &Array2<f32>, norm: &Norm) -> (Vec<f32>, Vec<u32>) {
    let mut normed = rows.clone().into_raw_vec_and_offset().0;
    let mut buffer = RowBuffer::default();
    buffer.normalize(isa, format, ToNormalize::InPlace(&mut normed), norm);
    let kept = row_bits(buffer.rows());
    (normed, kept)
}

#[test]
fn normalised_rows_agree() {
    for isa in Isa::available() {
        for width in WIDTHS {
            let norm = norm(width);
            for (scale, shift) in [(1.0, 0.0), (0.01, 3.0), (100.0, -50.0)] {
                let rows = random(3, width, scale) + shift;
                let expected: Vec<f64> = rows
                    .outer_iter()
                    .flat_map(|row| scalar::layer_norm(&row.to_vec(), &norm.weight, &norm.bias, EPS))
                    .collect();
                // What the subtraction of the mean loses grows with the mean's size relative to the spread.
                let tolerance = LAYER_NORM_TOLERANCE * (1.0 + f64::from(shift.abs() / scale));
                let what = format!("{} numbers around {shift} on {}", width, isa.name());
                assert_close(&normalize(isa, Format::F32, &rows, &norm).0, &expected, tolerance, &what);
            }
        }
    }
}

#[test]
fn a_row_without_spread_becomes_the_bias() {
    let norm = Norm { weight: vec![2.0; 20], bias: vec![0.25; 20], eps: EPS as f32 };
    for isa in Isa::available() {
        assert_eq!(normalize(isa, Format::F32, &Array2::from_elem((1, 20), 3.0), &norm).0, [0.25; 20]);
    }
}

#[test]
fn rows_are_normalised_and_converted_alike_in_place_and_apart() {
    for isa in Isa::available() {
        for format in FORMATS {
            let mut used = RowBuffer::default();
            for width in WIDTHS {
                for n_rows in [0, 1, 3] {
                    let norm = norm(width);
                    let rows = random(n_rows, width, 2.0);
                    let (normed, kept) = normalize(isa, format, &rows, &norm);
                    let what = format!("{n_rows} rows of {width} in {format:?} on {}", isa.name());
                    let mut fresh = RowBuffer::default();
                    assert!(kept == row_bits(fresh.convert(isa, format, &normed, width)), "{what}: converted");
                    let source = rows.as_slice().unwrap();
                    used.normalize(isa, format, ToNormalize::Apart(source), &norm);
                    assert_eq!(used.rows().n_rows(), n_rows, "{what}");
                    assert!(kept == row_bits(used.rows()), "{what}: apart, in a buffer used before");
                }
            }
        }
    }
}

#[test]
fn nan_and_infinities_do_not_vanish_in_a_norm() {
    for isa in Isa::available() {
        for width in [1, 5, 32, 33, 100] {
            for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut rows = random(3, width, 1.0);
                let sound = normalize(isa, Format::F32, &rows, &norm(width)).0;
                rows[[1, width / 2]] = poison;
                let found = normalize(isa, Format::F32, &rows, &norm(width)).0;
                assert!(found[width..2 * width].iter().all(|x| x.is_nan()), "{poison} on {}", isa.name());
                assert_eq!(found[..width], sound[..width]);
                assert_eq!(found[2 * width..], sound[2 * width..]);
            }
        }
    }
}

#[test]
fn bf16_is_rounded_to_nearest_even() {
    // Every bf16, and between it and the next: the ends, the middle, and the neighbours of both.
    let all: Vec<f32> = (0..=u16::MAX)
        .flat_map(|high| [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff].map(|low| f32::from_bits(u32::from(high) << 16 | low)))
        .filter(|x| !x.is_nan() && !x.is_subnormal())
        .collect();
    let expected: Vec<u16> = all.iter().map(|&x| bf16::from_f32(x).to_bits()).collect();
    for isa in Isa::available() {
        let mut found = vec![0; all.len()];
        round_all(isa, &all, &mut found);
        assert!(found == expected, "{}", isa.name());
        for n in 0..70 {
            let mut found = vec![0; n];
            round_all(isa, &all[40_000..40_000 + n], &mut found);
            assert_eq!(found, expected[40_000..40_000 + n], "{n} numbers on {}", isa.name());
        }
        let mut found = [0; 2];
        round_all(isa, &[f32::NAN, -f32::NAN], &mut found);
        assert!(found.iter().all(|&x| bf16::from_bits(x).is_nan()), "NaN must not vanish");
        let tiny = f32::MIN_POSITIVE / 2.0;
        round_all(isa, &[tiny, -tiny], &mut found);
        let found = found.map(|x| bf16::from_bits(x).to_f32());
        assert!([[tiny, -tiny], [0.0, 0.0]].contains(&found), "below the normal numbers kept or 0, not {found:?}");
    }
}

#[test]
fn rows_of_bf16_are_rounded_and_padded() {
    for isa in Isa::available() {
        let mut buffer = RowBuffer::default();
        for width in WIDTHS {
            let rows = random(3, width, 2.0);
            let converted = buffer.convert(isa, Format::Bf16, rows.as_slice().unwrap(), width);
            let RowData::Bf16(found) = converted.data else { panic!("{:?}", converted.format()) };
            let padded = width.next_multiple_of(2);
            assert_eq!(found.len(), 3 * padded);
            for (found, row) in found.chunks_exact(padded).zip(rows.outer_iter()) {
                let expected: Vec<u16> = row.iter().map(|&x| bf16::from_f32(x).to_bits()).collect();
                assert_eq!(found[..width], expected, "{width} on {}", isa.name());
                assert!(found[width..].iter().all(|&x| x == 0), "{width} on {}: the padding is not 0", isa.name());
            }
        }
    }
}

/// Converts to int8 and demands that every byte stands for a number at most half a step away.
fn assert_quantised(isa: Isa, rows: &Array2<f32>, what: &str) -> (Array2<u8>, Vec<f32>, Vec<f32>) {
    let width = rows.ncols();
    // What a buffer held before must not matter.
    let mut buffer = RowBuffer::default();
    buffer.convert(isa, Format::Int8, &vec![1.0; 2 * rows.len() + 64], 1);
    let (bytes, scales, offsets) = int8_parts(buffer.convert(isa, Format::Int8, rows.as_slice().unwrap(), width));
    let what = format!("{what}, {width} numbers on {}", isa.name());
    assert_eq!(bytes.dim(), (rows.nrows(), width.next_multiple_of(4)), "{what}");
    for (i, row) in rows.outer_iter().enumerate() {
        let (scale, offset) = (f64::from(scales[i]), f64::from(offsets[i]));
        for (&byte, &x) in bytes.row(i).iter().zip(row) {
            let error = (scale * f64::from(byte) + offset - f64::from(x)).abs();
            assert!(error <= INT8_STEPS * scale, "{what}: {x} is off by {} steps", error / scale);
        }
        assert!(bytes.row(i).iter().skip(width).all(|&byte| byte == 0), "{what}: the padding is not 0");
    }
    (bytes, scales, offsets)
}

#[test]
fn int8_rows_are_off_by_half_a_step_at_most() {
    for isa in Isa::available() {
        for width in WIDTHS {
            for (scale, shift) in [(1.0, 0.0), (1.0, 0.7), (1.0, -3.0), (1e-30, 0.0), (1e36, -1e36), (1e-39, 0.0)] {
                assert_quantised(isa, &(random(4, width, scale) + shift), &format!("{shift} ± {scale}"));
            }
        }
    }
}

#[test]
fn int8_rows_are_those_of_the_plain_formula() {
    for isa in Isa::available() {
        for width in WIDTHS {
            let rows = random(4, width, 1.0);
            let (bytes, scales, offsets) = assert_quantised(isa, &rows, "the formula");
            for (i, row) in rows.outer_iter().enumerate() {
                let (expected, scale, zero) = scalar::quantize_row(&row.to_vec());
                assert!((f64::from(scales[i]) - scale).abs() <= 4.0 * UNIT_ROUNDOFF * scale);
                assert!((f64::from(offsets[i]) + scale * zero).abs() <= 8.0 * UNIT_ROUNDOFF * scale * zero);
                // In the middle between two bytes rounding may go either way.
                let n_others = bytes.row(i).iter().zip(&expected).filter(|(a, b)| a != b).count();
                assert!(n_others <= width / 1000, "{n_others} bytes of {width} differ on {}", isa.name());
                assert!(bytes.row(i).iter().zip(&expected).all(|(a, b)| a.abs_diff(*b) <= 1));
            }
        }
    }
}

#[test]
fn the_ends_of_int8_rows_and_zero_keep_their_places() {
    for isa in Isa::available() {
        let of = |row: &[f32]| {
            let rows = Array2::from_shape_vec((1, row.len()), row.to_vec()).unwrap();
            let (bytes, scales, offsets) = assert_quantised(isa, &rows, "ends");
            let decoded: Vec<f32> = bytes.iter().map(|&byte| scales[0] * f32::from(byte) + offsets[0]).collect();
            (bytes.into_raw_vec_and_offset().0, decoded)
        };
        let (bytes, decoded) = of(&[0.0, 51.0, 510.0, 2.0]);
        assert_eq!((bytes, decoded), (vec![0, 26, 255, 1], vec![0.0, 52.0, 510.0, 2.0]), "{}", isa.name());
        let (bytes, decoded) = of(&[-510.0, -2.0, 0.0, -510.0]);
        assert_eq!((bytes, decoded), (vec![0, 254, 255, 0], vec![-510.0, -2.0, 0.0, -510.0]), "{}", isa.name());
        let (bytes, decoded) = of(&[-100.0, 155.0, 0.0, -0.0]);
        assert_eq!((bytes, decoded), (vec![0, 255, 100, 100], vec![-100.0, 155.0, 0.0, 0.0]), "{}", isa.name());
    }
}

#[test]
fn odd_rows_are_quantised() {
    let smallest = f32::from_bits(1);
    let rows: [&[f32]; 10] = [
        &[0.0; 9],
        &[-0.0; 3],
        &[3.0; 70],
        &[-2.5; 33],
        &[1e-30; 5],
        &[-1e30; 5],
        &[f32::MAX, 0.0, 1.0, -1.0],
        &[1e38, -2e38, 5e37],
        &[smallest, -smallest, 0.0, 1e-40],
        &[f32::MIN_POSITIVE; 40],
    ];
    for isa in Isa::available() {
        for row in rows {
            let rows = Array2::from_shape_vec((1, row.len()), row.to_vec()).unwrap();
            let (_, scales, offsets) = assert_quantised(isa, &rows, &format!("{row:?}"));
            assert!(scales[0].is_finite() && scales[0] > 0.0 && offsets[0].is_finite(), "{row:?} on {}", isa.name());
        }
        // No f32 is as large as this range.
        let mut buffer = RowBuffer::default();
        let (_, scales, offsets) = int8_parts(buffer.convert(isa, Format::Int8, &[f32::MAX, f32::MIN], 2));
        assert!(!scales[0].is_finite() && !offsets[0].is_finite(), "{} {}", scales[0], offsets[0]);
    }
}

#[test]
fn nan_and_infinities_taint_their_int8_row_alone() {
    for isa in Isa::available() {
        for width in [1, 4, 31, 32, 33, 64, 100] {
            for poison in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in 0..width {
                    let mut rows = random(3, width, 1.0);
                    rows[[1, place]] = poison;
                    let mut buffer = RowBuffer::default();
                    let converted = buffer.convert(isa, Format::Int8, rows.as_slice().unwrap(), width);
                    let (_, scales, offsets) = int8_parts(converted);
                    let what = format!("{poison} at {place} of {width} on {}", isa.name());
                    assert!(scales[1].is_nan() && offsets[1].is_nan(), "{what} vanished");
                    assert!([scales[0], scales[2], offsets[0], offsets[2]].iter().all(|x| x.is_finite()), "{what}");
                }
            }
        }
    }
}

#[test]
fn f32_rows_are_lent_as_they_are() {
    let rows = numbers(12, 1.0);
    let mut buffer = RowBuffer::default();
    let converted = buffer.convert(Isa::best(), Format::F32, &rows, 3);
    let RowData::F32(found) = converted.data else { panic!("{:?}", converted.format()) };
    assert_eq!((bits(found), found.as_ptr()), (bits(&rows), rows.as_ptr()));
}
