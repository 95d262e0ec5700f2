//! A table of word vectors, in the format of the encoder's precision.

use half::bf16;
use ndarray::Array2;

use super::dispatch::{Isa, Kernel};
use super::packed::{Format, SharedBytes, int8_scale, prefetch};
use super::simd::{F32s, LANES, Simd, load_at, map_in_place};

/// How long before its turn a row is asked for: the tables are larger than most caches.
const ROWS_AHEAD: usize = 8;

/// `[n_rows, n_columns]`
#[derive(Clone)]
pub struct Table {
    format: Format,
    n_columns: usize,
    rows: SharedBytes,
    /// int8 only: what a row's unit stands for.
    scales: Vec<f32>,
}

impl Table {
    /// Stores rows: as they are, rounded to bf16, or as signed bytes `round(x / scale)` with `scale = max |x| / 127` of the row.
    pub fn new(format: Format, rows: Array2<f32>) -> Self {
        let (n_rows, n_columns) = rows.dim();
        if format == Format::F32 {
            let rows = if rows.is_standard_layout() { rows } else { rows.as_standard_layout().into_owned() };
            let numbers = rows.into_raw_vec_and_offset().0;
            return Self::from_parts(format, n_rows, n_columns, numbers.into(), Vec::new());
        }
        let mut bytes = Vec::with_capacity(rows.len() * format.number_bytes());
        let mut scales = Vec::new();
        for row in rows.outer_iter() {
            match format {
                Format::F32 => unreachable!("these are kept as they are"),
                Format::Bf16 => bytes.extend(row.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes())),
                Format::Int8 => {
                    let numbers = row.to_vec();
                    let (scale, inverse) = int8_scale(&numbers);
                    scales.push(scale);
                    bytes.extend(numbers.iter().map(|x| (x * inverse).round_ties_even() as i8 as u8));
                }
            }
        }
        Self::from_parts(format, n_rows, n_columns, bytes.into(), scales)
    }

    /// Puts together what [`Table::bytes`] and [`Table::scales`] gave.
    ///
    /// # Panics
    /// When the sizes do not match.
    pub fn from_parts(format: Format, n_rows: usize, n_columns: usize, rows: SharedBytes, scales: Vec<f32>) -> Self {
        assert_eq!(rows.as_slice().len(), n_rows * n_columns * format.number_bytes(), "bytes of the table");
        assert_eq!(scales.len(), if format == Format::Int8 { n_rows } else { 0 }, "scales of the table");
        Self { format, n_columns, rows, scales }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.rows.as_slice().len() / (self.n_columns * self.format.number_bytes())
    }

    /// The rows as they are stored.
    pub fn bytes(&self) -> &SharedBytes {
        &self.rows
    }

    /// int8 only: what each row's unit stands for.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Gathers one row per token and adds what its position (or nothing but its type) brings.
    ///
    /// # Shapes
    /// * `out` `[token_ids.len(), n_columns]`
    /// * `added` the same or longer: row `i` is for the token at place `i`; or one row for all
    ///
    /// # Panics
    /// When a token has no row, or the shapes do not match.
    pub fn gather(&self, isa: Isa, token_ids: &[u32], added: &[f32], out: &mut [f32]) {
        assert_eq!(out.len(), token_ids.len() * self.n_columns, "numbers of the output");
        assert!(added.len() >= out.len() || added.len() == self.n_columns, "a row for each place, or one for all");
        isa.run(Gather { table: self, token_ids, added, out });
    }
}

struct Gather<'a> {
    table: &'a Table,
    token_ids: &'a [u32],
    added: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Table { format, n_columns, rows, scales } = self.table;
        let row_bytes = n_columns * format.number_bytes();
        let rows = rows.as_slice();
        let added = self.added.chunks_exact(*n_columns).cycle();
        let rows_out = self.out.chunks_exact_mut(*n_columns);
        for (place, ((out, &token_id), added)) in rows_out.zip(self.token_ids).zip(added).enumerate() {
            if let Some(&later) = self.token_ids.get(place + ROWS_AHEAD) {
                prefetch(&rows[later as usize * row_bytes..][..row_bytes]);
            }
            let token_idx = token_id as usize;
            let bytes = &rows[token_idx * row_bytes..][..row_bytes];
            match format {
                Format::F32 => {
                    for (x, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                        *x = f32::from_le_bytes(*bytes);
                    }
                    map_in_place!(simd, out, |i, x| x.add(load_at(simd, added, i)));
                }
                Format::Bf16 => {
                    let (numbers, _) = bytes.as_chunks::<2>();
                    map_in_place!(simd, out, |i, _| {
                        simd.load_bf16(&padded(numbers, i)).add(load_at(simd, added, i))
                    });
                }
                Format::Int8 => {
                    let scale = simd.splat(scales[token_idx]);
                    map_in_place!(simd, out, |i, _| {
                        simd.load_i8(&padded(bytes, i)).mul(scale).add(load_at(simd, added, i))
                    });
                }
            }
        }
    }
}

/// The `idx`-th register's worth of a row, padded with 0.
#[inline(always)]
fn padded<T: Copy + Default>(row: &[T], idx: usize) -> [T; LANES] {
    let rest = &row[idx * LANES..];
    match rest.first_chunk() {
        Some(numbers) => *numbers,
        None => {
            let mut padded = [T::default(); LANES];
            padded[..rest.len()].copy_from_slice(rest);
            padded
        }
    }
}
