//! Matrices laid out once for products: 32 columns to a panel, each panel in the order in which a tile reads it.

use std::ops::Range;
use std::sync::Arc;

use half::bf16;
use ndarray::ArrayView2;

use super::dispatch::{Isa, Kernel};
use super::room::{CACHE_LINE_BYTES, Room};
use super::simd::{LANES, Simd};

/// Columns of a panel: two AVX-512 registers of sums, four of AVX2. The same for every instruction set, so that a matrix can be stored.
pub const PANEL_COLUMNS: usize = 32;

/// Bytes of a row or column that one step of a tile takes.
pub const STEP_BYTES: usize = 4;

/// Deeper int8 products could leave the range of an i32: `2³¹ / (255 · 127)`.
pub const MAX_INT8_DEPTH: usize = 66_311;

/// int8 weights lie in `[-127, 127]`, so that both signs have the same range.
const INT8_MAX: f32 = 127.0;

/// Number format of a product's operands; sums are f32, of int8 products i32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    /// Each sum adds the second product of a pair, then the first, rounding after each, as `vdpbf16ps` does; so results are the same to the last
    /// bit with that instruction and without, with one exception: it takes numbers below the smallest normal one (1.2e-38) for 0.
    Bf16,
    /// Weights as signed bytes with a scale per column, the other side as unsigned bytes with a scale and a zero point per row.
    Int8,
}

impl Format {
    /// Numbers that one step takes.
    pub const fn step_len(self) -> usize {
        STEP_BYTES / self.number_bytes()
    }

    /// Bytes of a number.
    pub const fn number_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }
}

/// Bytes that are owned or lie in a mapped file, shared by whoever needs them.
#[derive(Clone)]
pub struct SharedBytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl SharedBytes {
    /// A part of what the owner holds.
    ///
    /// # Panics
    /// When the range leaves it.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= (*owner).as_ref().len(), "{range:?} leaves the owner's bytes");
        Self { owner, range }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

/// Numbers, lent as the bytes they are in memory.
struct FloatBytes(Vec<f32>);

impl AsRef<[u8]> for FloatBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: any f32 is four initialised bytes, which need no alignment.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), size_of_val(self.0.as_slice())) }
    }
}

impl From<Vec<f32>> for SharedBytes {
    /// The bytes in little-endian order, whatever the machine's.
    fn from(numbers: Vec<f32>) -> Self {
        if cfg!(target_endian = "big") {
            return numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into();
        }
        let range = 0..size_of_val(numbers.as_slice());
        Self { owner: Arc::new(FloatBytes(numbers)), range }
    }
}

impl From<Vec<u8>> for SharedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { owner: Arc::new(bytes), range }
    }
}

impl From<Room<u8>> for SharedBytes {
    fn from(bytes: Room<u8>) -> Self {
        let range = 0..bytes.len();
        Self { owner: Arc::new(bytes), range }
    }
}

/// The right side of a product with its bias: `[n_in, n_out]`.
#[derive(Clone)]
pub struct PackedMatrix {
    format: Format,
    n_in: usize,
    n_out: usize,
    /// `[n_panels, n_steps, 32, 4 bytes]`, columns beyond `n_out` and numbers beyond `n_in` 0.
    panels: SharedBytes,
    columns: Columns,
}

/// What belongs to single columns; each `[n_panels · 32]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    pub bias: Vec<f32>,
    /// int8 only: what one unit of a column's weights stands for.
    pub scales: Vec<f32>,
    /// int8 only: `scale · Σ weights`, which a row's zero point is multiplied by.
    pub sums: Vec<f32>,
}

impl PackedMatrix {
    /// Packs a weight as PyTorch's `Linear` keeps it.
    ///
    /// bf16 weights are rounded to nearest even. int8 weights of a column are `round(w / scale)` with `scale = max |w| / 127`.
    ///
    /// # Shapes
    /// * `weight` `[n_out, n_in]`, `bias` `[n_out]`, 0 where `None`
    ///
    /// # Panics
    /// When the shapes do not match, the matrix has no depth, or an int8 product would be deeper than [`MAX_INT8_DEPTH`].
    pub fn pack(format: Format, weight: ArrayView2<f32>, bias: Option<&[f32]>) -> Self {
        let (n_out, n_in) = weight.dim();
        assert!(n_in > 0, "a product needs some depth");
        let n_columns = n_out.next_multiple_of(PANEL_COLUMNS);
        let mut columns = Columns { bias: vec![0.0; n_columns], ..Columns::default() };
        if let Some(bias) = bias {
            columns.bias[..n_out].copy_from_slice(bias);
        }
        if format == Format::Int8 {
            columns.scales = vec![0.0; n_columns];
            columns.sums = vec![0.0; n_columns];
        }
        let step_len = format.step_len();
        let panel_bytes = panel_bytes(format, n_in);
        let mut panels = Room::<u8>::default();
        panels.resize(n_columns / PANEL_COLUMNS * panel_bytes);
        if format == Format::F32 && n_in.is_multiple_of(LANES) && weight.strides()[0] >= 0 && weight.strides()[1] == 1 {
            Isa::best().run(PackFloats { weight, panel_bytes, panels: &mut panels });
            return Self::from_parts(format, n_in, n_out, panels.into(), columns);
        }
        let mut copied_row;
        for (column_idx, row) in weight.outer_iter().enumerate() {
            let row = match row.as_slice() {
                Some(row) => row,
                None => {
                    copied_row = row.to_vec();
                    &copied_row
                }
            };
            let start = column_idx / PANEL_COLUMNS * panel_bytes + column_idx % PANEL_COLUMNS * STEP_BYTES;
            let steps = panels[start..].chunks_mut(PANEL_COLUMNS * STEP_BYTES);
            let numbers = row.chunks(step_len).zip(steps);
            match format {
                Format::F32 => {
                    numbers.for_each(|(numbers, step)| step[..STEP_BYTES].copy_from_slice(&numbers[0].to_le_bytes()));
                }
                Format::Bf16 => {
                    for (numbers, step) in numbers {
                        for (number, bytes) in numbers.iter().zip(step.chunks_exact_mut(2)) {
                            bytes.copy_from_slice(&bf16::from_f32(*number).to_le_bytes());
                        }
                    }
                }
                Format::Int8 => {
                    let (scale, inverse) = int8_scale(row);
                    let mut sum = 0;
                    for (numbers, step) in numbers {
                        for (number, byte) in numbers.iter().zip(step) {
                            let quantised = (number * inverse).round_ties_even() as i8;
                            sum += i32::from(quantised);
                            *byte = quantised as u8;
                        }
                    }
                    columns.scales[column_idx] = scale;
                    columns.sums[column_idx] = scale * sum as f32;
                }
            }
        }
        Self::from_parts(format, n_in, n_out, panels.into(), columns)
    }

    /// Puts together what [`PackedMatrix::panels`] and [`PackedMatrix::columns`] gave.
    ///
    /// # Panics
    /// When the sizes do not match, or an int8 product would be deeper than [`MAX_INT8_DEPTH`].
    pub fn from_parts(format: Format, n_in: usize, n_out: usize, panels: SharedBytes, columns: Columns) -> Self {
        let n_columns = n_out.next_multiple_of(PANEL_COLUMNS);
        assert!(format != Format::Int8 || n_in <= MAX_INT8_DEPTH, "an int8 product of {n_in} numbers may overflow");
        assert_eq!(
            panels.as_slice().len(),
            n_columns / PANEL_COLUMNS * panel_bytes(format, n_in),
            "bytes of the panels"
        );
        let n_scales = if format == Format::Int8 { n_columns } else { 0 };
        let lengths = [columns.bias.len(), columns.scales.len(), columns.sums.len()];
        assert_eq!(lengths, [n_columns, n_scales, n_scales], "numbers per column");
        Self { format, n_in, n_out, panels, columns }
    }

    /// Number format of the weights, and of what they are multiplied with.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Depth of the product.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Columns of the product.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// The weights, panel after panel.
    pub fn panels(&self) -> &SharedBytes {
        &self.panels
    }

    /// What belongs to single columns.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Bytes of one panel.
    pub(super) fn panel_bytes(&self) -> usize {
        panel_bytes(self.format, self.n_in)
    }
}

/// Transposes whole registers' worth of f32 weights, which are most of an encoder's loading time.
struct PackFloats<'a> {
    /// With adjacent numbers in a row, a multiple of [`LANES`].
    weight: ArrayView2<'a, f32>,
    panel_bytes: usize,
    panels: &'a mut [u8],
}

impl Kernel for PackFloats<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const STEP_WIDTH: usize = PANEL_COLUMNS * STEP_BYTES;
        let (n_out, n_in) = self.weight.dim();
        let row_bytes = self.weight.strides()[0] * size_of::<f32>() as isize;
        for first_row in (0..n_out).step_by(LANES) {
            let n_rows = LANES.min(n_out - first_row);
            let start = first_row / PANEL_COLUMNS * self.panel_bytes + first_row % PANEL_COLUMNS * STEP_BYTES;
            for first_step in (0..n_in).step_by(LANES) {
                let mut words = [[0u8; LANES * STEP_BYTES]; LANES];
                let rows = self.weight.slice(ndarray::s![first_row.., first_step..]).as_ptr();
                // SAFETY: `n_rows` rows of the view hold 16 adjacent numbers from there on, one row every `row_bytes`; `words` is of
                // the size that is written.
                unsafe {
                    simd.transpose_words(
                        rows.cast(),
                        row_bytes.unsigned_abs(),
                        n_rows,
                        words.as_mut_ptr().cast(),
                        LANES * STEP_BYTES,
                    );
                }
                let steps = self.panels[start + first_step * STEP_WIDTH..].chunks_mut(STEP_WIDTH);
                for (step, words) in steps.zip(&words) {
                    step[..n_rows * STEP_BYTES].copy_from_slice(&words[..n_rows * STEP_BYTES]);
                }
            }
        }
    }
}

/// Bytes of one panel of a matrix of that depth.
pub fn panel_bytes(format: Format, n_in: usize) -> usize {
    n_in.div_ceil(format.step_len()) * PANEL_COLUMNS * STEP_BYTES
}

/// What one unit of int8 stands for, and its inverse: `max |x| / 127`. Both 0 where all numbers are.
pub fn int8_scale(numbers: &[f32]) -> (f32, f32) {
    let largest = numbers.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    // The smallest numbers have no finite inverse; they count as 0.
    if largest < f32::MIN_POSITIVE * INT8_MAX { (0.0, 0.0) } else { (largest / INT8_MAX, INT8_MAX / largest) }
}

/// Asks for bytes that will be read soon.
#[inline(always)]
pub(super) fn prefetch(bytes: &[u8]) {
    for line in (0..bytes.len()).step_by(CACHE_LINE_BYTES) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the address is inside the bytes; a prefetch reads nothing, and every x86-64 CPU has it.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(bytes.as_ptr().add(line).cast())
        };
        #[cfg(not(target_arch = "x86_64"))]
        let _ = line;
    }
}
