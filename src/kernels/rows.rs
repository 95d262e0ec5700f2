//! The left side of products: rows in f32, rounded to bf16, or quantised to bytes.

use super::dispatch::{Isa, Kernel};
use super::elementwise::{ROWS_IN_STEP, Span, normalize_rows};
use super::packed::{Format, STEP_BYTES};
use super::room::Room;
use super::simd::{BLOCK, F32s, LANES, ROUNDER, Simd, fold, load_at};

/// Greatest value of an unsigned byte.
const UINT8_MAX: f32 = 255.0;

/// Rows that a product can read.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub(super) n_columns: usize,
    pub(super) data: RowData<'a>,
}

/// Each row is padded to whole steps; the padding is 0.
#[derive(Clone, Copy)]
pub(super) enum RowData<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
    /// A number is `scale · byte + offset` of its row.
    Int8 {
        bytes: &'a [u8],
        scales: &'a [f32],
        offsets: &'a [f32],
    },
}

impl<'a> Rows<'a> {
    /// Rows as they are.
    ///
    /// # Panics
    /// When the values are no whole number of rows.
    pub fn f32(values: &'a [f32], n_columns: usize) -> Self {
        assert!(
            n_columns > 0 && values.len().is_multiple_of(n_columns),
            "{} values are no rows of {n_columns}",
            values.len()
        );
        Self { n_columns, data: RowData::F32(values) }
    }

    /// Rows of bf16, which an even number of columns needs no padding for.
    ///
    /// # Panics
    /// When the values are no whole number of rows of an even number of columns.
    pub fn bf16(values: &'a [u16], n_columns: usize) -> Self {
        assert!(n_columns > 0 && n_columns.is_multiple_of(2), "{n_columns} columns of bf16 need padding");
        assert!(values.len().is_multiple_of(n_columns), "{} values are no rows of {n_columns}", values.len());
        Self { n_columns, data: RowData::Bf16(values) }
    }

    /// Number format.
    pub fn format(&self) -> Format {
        match self.data {
            RowData::F32(_) => Format::F32,
            RowData::Bf16(_) => Format::Bf16,
            RowData::Int8 { .. } => Format::Int8,
        }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.byte_len() / self.row_bytes()
    }

    pub(super) fn row_bytes(&self) -> usize {
        row_bytes(self.format(), self.n_columns)
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        match self.data {
            RowData::F32(values) => values.as_ptr().cast(),
            RowData::Bf16(values) => values.as_ptr().cast(),
            RowData::Int8 { bytes, .. } => bytes.as_ptr(),
        }
    }

    fn byte_len(&self) -> usize {
        match self.data {
            RowData::F32(values) => size_of_val(values),
            RowData::Bf16(values) => size_of_val(values),
            RowData::Int8 { bytes, .. } => bytes.len(),
        }
    }
}

fn row_bytes(format: Format, n_columns: usize) -> usize {
    n_columns.div_ceil(format.step_len()) * STEP_BYTES
}

/// Converted rows, the last that were; the room is kept from one use to the next.
#[derive(Default)]
pub struct RowBuffer {
    format: Option<Format>,
    n_columns: usize,
    floats: Room<f32>,
    halves: Room<u16>,
    bytes: Room<u8>,
    scales: Vec<f32>,
    offsets: Vec<f32>,
}

/// Rows to be normalised.
pub enum ToNormalize<'a> {
    /// Each becomes its normalised self.
    InPlace(&'a mut [f32]),
    /// They stay as they are.
    Apart(&'a [f32]),
}

/// Layer normalisation (Ba et al. 2016, arXiv:1607.06450): `(x - mean) / √(variance + eps) · weight + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub eps: f32,
}

impl RowBuffer {
    /// The rows of `values` in `format`; f32 rows are lent as they are.
    ///
    /// bf16 is rounded to nearest even. int8: a row's numbers from `low ≤ 0` to `high ≥ 0` become bytes `round(x / scale) + zero` with
    /// `scale = (high - low) / 255`; a row that holds NaN or infinities, or whose range no f32 can
    /// hold, becomes NaN.
    ///
    /// # Panics
    /// When the values are no whole number of rows.
    pub fn convert<'a>(&'a mut self, isa: Isa, format: Format, values: &'a [f32], n_columns: usize) -> Rows<'a> {
        if format == Format::F32 {
            return Rows::f32(values, n_columns);
        }
        self.prepare(format, values.len(), n_columns);
        isa.run(Convert { values, out: self });
        self.rows()
    }

    /// Normalises every row and keeps the rows converted as [`RowBuffer::convert`] says, f32 too.
    ///
    /// # Panics
    /// When the values are no whole number of rows of the norm's width.
    pub fn normalize(&mut self, isa: Isa, format: Format, values: ToNormalize<'_>, norm: &Norm) {
        let n_values = match &values {
            ToNormalize::InPlace(values) => values.len(),
            ToNormalize::Apart(values) => values.len(),
        };
        self.prepare(format, n_values, norm.weight.len());
        isa.run(Normalize { values, norm, out: self });
    }

    /// The rows kept by the last [`RowBuffer::normalize`].
    ///
    /// # Panics
    /// When there was none.
    pub fn rows(&self) -> Rows<'_> {
        let data = match self.format.expect("rows were converted before") {
            Format::F32 => RowData::F32(&self.floats),
            Format::Bf16 => RowData::Bf16(&self.halves),
            Format::Int8 => RowData::Int8 { bytes: &self.bytes, scales: &self.scales, offsets: &self.offsets },
        };
        Rows { n_columns: self.n_columns, data }
    }

    fn prepare(&mut self, format: Format, n_values: usize, n_columns: usize) {
        assert!(n_columns > 0 && n_values.is_multiple_of(n_columns), "{n_values} values are no rows of {n_columns}");
        let n_rows = n_values / n_columns;
        let n_bytes = n_rows * row_bytes(format, n_columns);
        (self.format, self.n_columns) = (Some(format), n_columns);
        match format {
            Format::F32 => {
                self.floats.resize(n_values);
            }
            Format::Bf16 => {
                self.halves.resize(n_bytes / 2);
            }
            Format::Int8 => {
                self.bytes.resize(n_bytes);
                self.scales.resize(n_rows, 0.0);
                self.offsets.resize(n_rows, 0.0);
            }
        }
    }

    /// Converts rows, at most [`ROWS_IN_STEP`], of which the first has this number. int8 needs to know what they span.
    #[inline(always)]
    fn put<S: Simd>(&mut self, simd: S, first_row: usize, rows: &[f32], spans: [Span<S::F32>; ROWS_IN_STEP]) {
        let n_columns = self.n_columns;
        match self.format.expect("the buffer was prepared") {
            Format::F32 => self.floats[first_row * n_columns..][..rows.len()].copy_from_slice(rows),
            Format::Bf16 => {
                let width = row_bytes(Format::Bf16, n_columns) / 2;
                for (row, out) in
                    rows.chunks_exact(n_columns).zip(self.halves[first_row * width..].chunks_exact_mut(width))
                {
                    round_row(simd, row, &mut out[..n_columns]);
                    out[n_columns..].fill(0);
                }
            }
            Format::Int8 => {
                let width = row_bytes(Format::Int8, n_columns);
                let n_rows = rows.len() / n_columns;
                let (scales, offsets) =
                    (&mut self.scales[first_row..][..n_rows], &mut self.offsets[first_row..][..n_rows]);
                let mut steps = [(0.0, 0.0); ROWS_IN_STEP];
                for (i, span) in spans.into_iter().take(n_rows).enumerate() {
                    (steps[i], scales[i], offsets[i]) = quantization(span);
                }
                let out = self.bytes[first_row * width..].chunks_exact_mut(width);
                for ((row, out), (inverse, zero)) in rows.chunks_exact(n_columns).zip(out).zip(steps) {
                    quantize_row(simd, row, inverse, zero, out);
                }
            }
        }
    }
}

struct Convert<'a> {
    values: &'a [f32],
    out: &'a mut RowBuffer,
}

impl Kernel for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let nothing = Span::of_zero(simd);
        for (i, rows) in self.values.chunks(ROWS_IN_STEP * self.out.n_columns).enumerate() {
            let mut spans = [nothing; ROWS_IN_STEP];
            if self.out.format == Some(Format::Int8) {
                for (row, span) in rows.chunks_exact(self.out.n_columns).zip(&mut spans) {
                    let [a, b] = fold!(simd, row, 0.0, nothing, |span, x| span.with(x));
                    *span = a.and(b);
                }
            }
            self.out.put(simd, i * ROWS_IN_STEP, rows, spans);
        }
    }
}

struct Normalize<'a> {
    values: ToNormalize<'a>,
    norm: &'a Norm,
    out: &'a mut RowBuffer,
}

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let block_len = ROWS_IN_STEP * self.norm.weight.len();
        match self.values {
            ToNormalize::InPlace(values) => {
                for (i, rows) in values.chunks_mut(block_len).enumerate() {
                    let spans = normalize_rows(simd, rows, self.norm);
                    self.out.put(simd, i * ROWS_IN_STEP, rows, spans);
                }
            }
            ToNormalize::Apart(values) => {
                let mut normed = vec![0.0; block_len];
                for (i, rows) in values.chunks(block_len).enumerate() {
                    let normed = &mut normed[..rows.len()];
                    normed.copy_from_slice(rows);
                    let spans = normalize_rows(simd, normed, self.norm);
                    self.out.put(simd, i * ROWS_IN_STEP, normed, spans);
                }
            }
        }
    }
}

/// Rounds a row to bf16.
#[inline(always)]
fn round_row<S: Simd>(simd: S, row: &[f32], out: &mut [u16]) {
    let (blocks, rest) = out.as_chunks_mut::<BLOCK>();
    let n_registers = 2 * blocks.len();
    for (i, block) in blocks.iter_mut().enumerate() {
        load_at(simd, row, 2 * i).store_bf16(load_at(simd, row, 2 * i + 1), block);
    }
    if !rest.is_empty() {
        let mut padded = [0; BLOCK];
        load_at(simd, row, n_registers).store_bf16(load_at(simd, row, n_registers + 1), &mut padded);
        rest.copy_from_slice(&padded[..rest.len()]);
    }
}

/// What a row is multiplied by and its zero point, then its scale and offset.
#[inline(always)]
fn quantization<F: F32s>(span: Span<F>) -> ((f32, f32), f32, f32) {
    let (low, high, taint) = (span.low.least(), span.high.greatest(), span.taint.sum());
    // A row of zeros must not divide by 0; its bytes are all `zero`, whatever the scale.
    let range = (high - low).max(f32::MIN_POSITIVE * UINT8_MAX);
    let (scale, inverse) = (range / UINT8_MAX, UINT8_MAX / range);
    let zero = (-low * inverse + ROUNDER) - ROUNDER;
    ((inverse, zero), scale + taint, -scale * zero + taint)
}

/// Writes a row's bytes; the padding behind it becomes 0.
#[inline(always)]
fn quantize_row<S: Simd>(simd: S, row: &[f32], inverse: f32, zero: f32, out: &mut [u8]) {
    let (inverses, zero_points) = (simd.splat(inverse), simd.splat(zero));
    macro_rules! quantized {
        ($numbers:expr) => {{
            let (registers, _) = $numbers.as_chunks::<LANES>();
            [
                simd.load(&registers[0]).mul_add(inverses, zero_points),
                simd.load(&registers[1]).mul_add(inverses, zero_points),
                simd.load(&registers[2]).mul_add(inverses, zero_points),
                simd.load(&registers[3]).mul_add(inverses, zero_points),
            ]
        }};
    }
    let (numbers, numbers_rest) = row.as_chunks::<{ 4 * LANES }>();
    let (blocks, rest) = out[..row.len()].as_chunks_mut::<{ 4 * LANES }>();
    for (numbers, block) in numbers.iter().zip(blocks) {
        F32s::store_bytes(quantized!(numbers), block);
    }
    if !rest.is_empty() {
        let (mut numbers, mut bytes) = ([0.0; 4 * LANES], [0; 4 * LANES]);
        numbers[..rest.len()].copy_from_slice(numbers_rest);
        F32s::store_bytes(quantized!(numbers), &mut bytes);
        rest.copy_from_slice(&bytes[..rest.len()]);
    }
    out[row.len()..].fill(0);
}

/// Rounds numbers to bf16, to nearest even.
///
/// # Panics
/// When the lengths differ.
pub fn round_all(isa: Isa, values: &[f32], out: &mut [u16]) {
    assert_eq!(values.len(), out.len(), "as many numbers");
    isa.run(Round { values, out });
}

struct Round<'a> {
    values: &'a [f32],
    out: &'a mut [u16],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        round_row(simd, self.values, self.out);
    }
}
