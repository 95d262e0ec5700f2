//! Results that must be the same to the last bit: on other instruction sets, and in other company.

use ndarray::{Array2, s};

use super::attention::{Tested, attend, random_bias, random_qkv};
use super::product::Kind;
use super::{ACTIVATIONS, FORMATS, assert_same_on, bits, fused_sets, numbers, random, row_bits};
use crate::kernels::attention::{AttentionRoom, Heads, Sight};
use crate::kernels::dispatch::Isa;
use crate::kernels::elementwise::activate;
use crate::kernels::packed::{Format, PackedMatrix};
use crate::kernels::product::{Output, product};
use crate::kernels::rotary::{RotaryTable, rotate};
use crate::kernels::rows::{Norm, RowBuffer, ToNormalize};
use crate::kernels::table::Table;

const SHAPES: [(usize, usize, usize); 7] =
    [(1, 1, 1), (3, 5, 33), (13, 97, 65), (25, 384, 70), (7, 1536, 32), (2, 10_000, 3), (300, 31, 40)];

fn multiply(isa: Isa, kind: Kind, values: &[f32], packed: &PackedMatrix) -> Vec<u32> {
    let mut buffer = RowBuffer::default();
    let rows = buffer.convert(isa, packed.format(), values, packed.n_in());
    kind.multiply(isa, rows, packed, &numbers(rows.n_rows() * packed.n_out(), 3.0))
}

#[test]
fn products_are_the_same_on_all_sets_that_fuse() {
    for format in FORMATS {
        for (m, k, n) in SHAPES {
            let values = random(m, k, 1.0);
            let packed = PackedMatrix::pack(format, random(n, k, 0.5).view(), Some(&numbers(n, 0.5)));
            for kind in Kind::all() {
                assert_same_on(&fused_sets(), &format!("{format:?}, {kind:?}, {m} {k} {n}"), |isa| {
                    multiply(isa, kind, values.as_slice().unwrap(), &packed)
                });
            }
        }
    }
}

/// A product of two bf16 is exact in f32, so fusing it with the addition changes nothing; and integers are integers.
#[test]
fn bf16_sums_and_int8_sums_are_the_same_on_all_sets() {
    for (m, k, n) in SHAPES {
        let values = random(m, k, 1.0);
        let packed = PackedMatrix::pack(Format::Bf16, random(n, k, 0.5).view(), Some(&numbers(n, 0.5)));
        assert_same_on(&Isa::available(), &format!("bf16, {m} {k} {n}"), |isa| {
            multiply(isa, Kind::Store, values.as_slice().unwrap(), &packed)
        });
        // Whole numbers whose scale is 1 in rows and weights.
        let mut values = values.mapv(|x| (127.0 * x + 128.0).round());
        let mut weight = random(n, k, 127.0).mapv(f32::round);
        values.column_mut(0).fill(255.0);
        weight.column_mut(0).fill(127.0);
        let packed = PackedMatrix::pack(Format::Int8, weight.view(), None);
        assert_same_on(&Isa::available(), &format!("int8, {m} {k} {n}"), |isa| {
            multiply(isa, Kind::Store, values.as_slice().unwrap(), &packed)
        });
    }
}

/// `vdpbf16ps` takes numbers below the smallest normal one for 0, as operands and as sums; the other sets keep them.
#[test]
fn bf16_numbers_below_the_smallest_normal_one_may_become_0() {
    let below = f32::MIN_POSITIVE / 2.0;
    for (x, w) in [(below, 1.0), (1.0, below), (1e-20, 1e-19), (below, -0.5)] {
        let packed = PackedMatrix::pack(Format::Bf16, Array2::from_elem((1, 2), w).view(), None);
        for isa in Isa::available() {
            let mut buffer = RowBuffer::default();
            let mut out = [f32::NAN];
            product(isa, buffer.convert(isa, Format::Bf16, &[x, 0.0], 2), &packed, Output::Store(&mut out));
            let exact = f64::from(x) * f64::from(w);
            let is_kept = (f64::from(out[0]) - exact).abs() < 0.01 * exact.abs();
            assert!(is_kept || out[0] == 0.0, "{x:e} · {w:e} on {}: {:e}", isa.name(), out[0]);
            assert!(is_kept || isa.name() == "avx512-bf16", "{x:e} · {w:e} on {}: {:e}", isa.name(), out[0]);
        }
    }
}

#[test]
fn rows_and_columns_multiply_alike_in_any_company() {
    let (m, k, n) = (53, 97, 71);
    let (values, weight, bias) = (random(m, k, 1.0), random(n, k, 1.0), numbers(n, 0.5));
    for isa in Isa::available() {
        for format in FORMATS {
            for kind in [Kind::Store, Kind::Activate(ACTIVATIONS[0].0)] {
                let packed = PackedMatrix::pack(format, weight.view(), Some(&bias));
                let multiply = |values: &[f32]| multiply(isa, kind, values, &packed);
                let whole = multiply(values.as_slice().unwrap());
                let what = format!("{format:?}, {kind:?} on {}", isa.name());
                for n_rows in 1..=m {
                    for start in [0, (m - n_rows) / 2, m - n_rows] {
                        let part = values.slice(s![start..start + n_rows, ..]);
                        let found = multiply(part.as_slice().unwrap());
                        assert!(found == whole[start * n..][..n_rows * n], "{what}: rows {start} and {n_rows} on");
                    }
                }
                let reversed = multiply(values.slice(s![..;-1, ..]).as_standard_layout().as_slice().unwrap());
                assert!(reversed.chunks(n).rev().eq(whole.chunks(n)), "{what}: the order of rows matters");
                // A column is the same at another place of a panel.
                let shifted = PackedMatrix::pack(format, weight.slice(s![5.., ..]), Some(&bias[5..]));
                let of_shifted = self::multiply(isa, kind, values.as_slice().unwrap(), &shifted);
                let same = of_shifted.chunks(n - 5).zip(whole.chunks(n)).all(|(found, whole)| *found == whole[5..]);
                assert!(same, "{what}: the place of a column matters");
            }
        }
    }
}

#[test]
fn normalised_and_converted_rows_are_the_same_on_all_sets_that_fuse() {
    for format in FORMATS {
        for width in [1, 5, 31, 32, 33, 97, 384, 1001] {
            let norm = Norm { weight: numbers(width, 2.0), bias: numbers(width, 0.5), eps: 1e-12 };
            let rows = random(5, width, 3.0);
            assert_same_on(&fused_sets(), &format!("{format:?}, {width} columns"), |isa| {
                let mut normed = rows.clone().into_raw_vec_and_offset().0;
                let mut buffer = RowBuffer::default();
                buffer.normalize(isa, format, ToNormalize::InPlace(&mut normed), &norm);
                let kept = row_bits(buffer.rows());
                let converted = row_bits(buffer.convert(isa, format, rows.as_slice().unwrap(), width));
                (bits(&normed), kept, converted)
            });
        }
    }
}

#[test]
fn rows_are_normalised_and_converted_alike_in_any_company() {
    for isa in Isa::available() {
        for format in FORMATS {
            for width in [1, 5, 33, 384] {
                let norm = Norm { weight: numbers(width, 2.0), bias: numbers(width, 0.5), eps: 1e-12 };
                let packed = PackedMatrix::pack(format, random(3, width, 1.0).view(), None);
                // Seen through a product, which reads all that belongs to a row.
                let result = |rows: &[f32]| {
                    let mut buffer = RowBuffer::default();
                    buffer.normalize(isa, format, ToNormalize::Apart(rows), &norm);
                    Kind::Store.multiply(isa, buffer.rows(), &packed, &vec![0.0; rows.len() / width * 3])
                };
                let rows = random(9, width, 3.0);
                let whole = result(rows.as_slice().unwrap());
                for start in 0..9 {
                    for end in start + 1..=9 {
                        let found = result(rows.slice(s![start..end, ..]).as_slice().unwrap());
                        assert!(found == whole[3 * start..3 * end], "{format:?}, {width} on {}", isa.name());
                    }
                }
            }
        }
    }
}

fn assert_attention_is_the_same_on_all_sets<T: Tested>() {
    for (n_heads, head_size) in [(1, 1), (3, 5), (2, 32), (1, 64), (2, 96)] {
        let heads = Heads { n_heads, head_size };
        for n_tokens in [1, 2, 17, 33, 52, 257] {
            let qkv = random_qkv::<T>(n_tokens, heads, 3.0);
            let bias = random_bias(heads, n_tokens);
            for sight in [
                Sight::default(),
                Sight { reach: Some(7), bias: None },
                Sight { reach: None, bias: Some(&bias) },
                Sight { reach: Some(64), bias: Some(&bias) },
            ] {
                let what = format!("{:?}, {heads:?}, {n_tokens} tokens, {:?}", T::FORMAT, sight.reach);
                assert_same_on(&fused_sets(), &what, |isa| {
                    bits(&attend(isa, &qkv, heads, sight, &mut AttentionRoom::default()))
                });
            }
        }
    }
}

#[test]
fn f32_attention_is_the_same_on_all_sets_that_fuse() {
    assert_attention_is_the_same_on_all_sets::<f32>();
}

#[test]
fn bf16_attention_is_the_same_on_all_sets_that_fuse() {
    assert_attention_is_the_same_on_all_sets::<u16>();
}

#[test]
fn the_rest_is_the_same_on_all_sets_that_fuse() {
    let many = numbers(100_003, 20.0);
    for (activation, ..) in ACTIVATIONS {
        assert_same_on(&fused_sets(), &format!("{activation:?}"), |isa| {
            let mut values = many.clone();
            activate(isa, activation, &mut values);
            bits(&values)
        });
    }
    let table = RotaryTable::new(&[1.0, 0.3, 0.01], 50);
    assert_same_on(&fused_sets(), "rotation", |isa| {
        let mut qkv = numbers(50 * 3 * 12, 1.0);
        rotate(isa, &table, Heads { n_heads: 2, head_size: 6 }, &mut qkv);
        bits(&qkv)
    });
    for format in FORMATS {
        let table = Table::new(format, random(20, 33, 1.0));
        assert_same_on(&Isa::available(), &format!("{format:?} words"), |isa| {
            let mut out = vec![f32::NAN; 3 * 33];
            table.gather(isa, &[7, 0, 19], &numbers(33, 1.0), &mut out);
            bits(&out)
        });
    }
}
