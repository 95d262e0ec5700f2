//! Word vectors, rotation by position, and the ceiling of products.

use std::time::Duration;

use ndarray::{Array2, ArrayView2};

use super::{FORMATS, UNIT_ROUNDOFF, assert_close, numbers, random, values};
use crate::kernels::attention::Heads;
use crate::kernels::ceiling::operations_per_second;
use crate::kernels::dispatch::Isa;
use crate::kernels::packed::Format;
use crate::kernels::rotary::{RotaryTable, rotate};
use crate::kernels::scalar;
use crate::kernels::table::Table;

/// What a table holds, by the plain formulas.
fn stored(format: Format, rows: ArrayView2<f32>) -> Array2<f64> {
    let mut stored = rows.mapv(f64::from);
    match format {
        Format::F32 => {}
        Format::Bf16 => stored.assign(&rows.mapv(|x| f64::from(scalar::rounded_to_bf16(x)))),
        Format::Int8 => {
            for (mut stored, row) in stored.outer_iter_mut().zip(rows.outer_iter()) {
                let (bytes, scale) = scalar::quantize_column(&row.to_vec());
                stored.iter_mut().zip(bytes).for_each(|(x, byte)| *x = scale * f64::from(byte));
            }
        }
    }
    stored
}

#[test]
fn gathered_rows_agree() {
    for isa in Isa::available() {
        for format in FORMATS {
            for width in [1, 2, 31, 32, 33, 97, 384, 10_000] {
                let rows = random(13, width, 2.0);
                let table = Table::new(format, rows.clone());
                assert_eq!(table.n_rows(), 13);
                for token_ids in [vec![], vec![12], vec![5, 0, 5, 12, 1, 1, 7]] {
                    // A row for all places, as many as there are places, and more.
                    for n_added in [1, token_ids.len().max(1), 10] {
                        let added = random(n_added, width, 1.0);
                        let expected = scalar::gather(stored(format, rows.view()).view(), &token_ids, added.view());
                        let mut found = vec![f32::NAN; token_ids.len() * width];
                        table.gather(isa, &token_ids, added.as_slice().unwrap(), &mut found);
                        let what = format!("{format:?}, {width} columns, {} rows on {}", token_ids.len(), isa.name());
                        // Numbers of up to 3: the scale, its product and the sum are rounded.
                        assert_close(&found, expected.as_slice().unwrap(), 3.0 * 4.0 * UNIT_ROUNDOFF, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn a_table_put_together_again_is_the_same() {
    for format in FORMATS {
        let mut rows = random(5, 7, 2.0);
        rows.row_mut(3).fill(0.0);
        let table = Table::new(format, rows);
        let again = Table::from_parts(format, 5, 7, table.bytes().clone(), table.scales().to_vec());
        let gather = |table: &Table| {
            let mut out = vec![f32::NAN; 5 * 7];
            table.gather(Isa::best(), &[4, 3, 2, 1, 0], &[0.0; 7], &mut out);
            out
        };
        assert_eq!(gather(&table), gather(&again));
        assert_eq!(gather(&again)[7..14], [0.0; 7], "a row of zeros");
    }
}

#[test]
#[should_panic(expected = "a row for each place, or one for all")]
fn too_few_rows_to_add_are_refused() {
    let table = Table::new(Format::F32, random(5, 2, 1.0));
    table.gather(Isa::best(), &[0, 1, 2], &[0.0; 4], &mut [0.0; 6]);
}

/// Numbers in `[-1, 1]`: the angle's cosine and sine, two products and the sum are rounded.
const ROTATION_TOLERANCE: f64 = 5.0 * UNIT_ROUNDOFF;

#[test]
fn rotated_rows_agree() {
    for isa in Isa::available() {
        for (n_heads, head_size) in [(1, 2), (3, 6), (2, 32), (1, 62), (12, 64)] {
            let heads = Heads { n_heads, head_size };
            let hidden_size = n_heads * head_size;
            let frequencies: Vec<f64> =
                (0..head_size / 2).map(|i| 10_000f64.powf(-2.0 * i as f64 / head_size as f64)).collect();
            let table = RotaryTable::new(&frequencies, 600);
            for n_tokens in [0, 1, 2, 33, 600] {
                let mut found = random(n_tokens, 3 * hidden_size, 1.0);
                let before = found.clone();
                rotate(isa, &table, heads, values(&mut found));
                for (position, (found, before)) in found.outer_iter().zip(before.outer_iter()).enumerate() {
                    let (found, before) = (found.to_slice().unwrap(), before.to_slice().unwrap());
                    let expected = scalar::rotate(&before[..2 * hidden_size], heads, &frequencies, position);
                    let what = format!("{heads:?} at {position} on {}", isa.name());
                    assert_close(&found[..2 * hidden_size], &expected, ROTATION_TOLERANCE, &what);
                    assert_eq!(found[2 * hidden_size..], before[2 * hidden_size..], "{what}: values are left alone");
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "more tokens than positions")]
fn more_tokens_than_positions_are_refused() {
    let table = RotaryTable::new(&[1.0], 3);
    rotate(Isa::best(), &table, Heads { n_heads: 1, head_size: 2 }, &mut numbers(4 * 6, 1.0));
}

#[test]
fn the_ceiling_is_a_speed() {
    for isa in Isa::available() {
        for format in FORMATS {
            let speed = operations_per_second(isa, format, Duration::from_millis(2));
            // From a slow interpreter to more than any core can do.
            assert!((1e5..1e14).contains(&speed), "{format:?} on {}: {speed:e}", isa.name());
        }
    }
}
