//! Products of rows with a packed matrix, and what is done to the result while it is in the first cache.

use super::dispatch::{Isa, Kernel};
use super::elementwise::{Activation, activated};
use super::packed::{PANEL_COLUMNS, PackedMatrix, STEP_BYTES, prefetch};
use super::room::CACHE_LINE_BYTES;
use super::rows::{RowData, Rows};
use super::simd::{F32s, LANES, Simd, load_at};
use super::tile::{Finish, FinishKind, FinishNumbers, MAX_TILE_ROWS, TileJob, Tiles};

/// Where the result goes, `[n_rows, n_out]`, and how. A row begins every `row_len` numbers of `out`, at the first.
pub enum Output<'a> {
    /// `out = x · W + b`
    Store(&'a mut [f32]),
    /// The same, rounded to bf16.
    StoreBf16(&'a mut [u16]),
    /// `out += x · W + b`: a residual connection.
    Add(&'a mut [f32]),
    /// `out = act(x · W + b)`
    Activate(Activation, &'a mut [f32]),
    /// The same, rounded to bf16.
    ActivateBf16(Activation, &'a mut [u16]),
    /// `out ∘= x · W + b`: what a gate is multiplied with.
    Multiply(&'a mut [f32]),
}

impl Output<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Store(out) | Self::Add(out) | Self::Activate(_, out) | Self::Multiply(out) => out.len(),
            Self::StoreBf16(out) | Self::ActivateBf16(_, out) => out.len(),
        }
    }
}

/// Multiplies rows with a packed matrix, adds its bias, and puts the result where `output` says; on the calling thread.
///
/// An element's bits depend on its row and column alone, not on how many rows there are. int8 products have the same integer
/// sums on every instruction set, none saturates.
///
/// # Shapes
/// * `rows` `[n_rows, n_in]`, `weights` `[n_in, n_out]`, `output` `[n_rows, n_out]`
///
/// # Panics
/// When shapes or formats do not match.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::kernels::dispatch::Isa;
/// use topicwire::kernels::packed::{Format, PackedMatrix};
/// use topicwire::kernels::product::{Output, product};
/// use topicwire::kernels::rows::Rows;
/// let weights = PackedMatrix::pack(Format::F32, array![[3.0, 4.0]].view(), Some(&[0.5]));
/// let mut out = [0.0];
/// product(Isa::best(), Rows::f32(&[1.0, 2.0], 2), &weights, Output::Store(&mut out));
/// assert_eq!(out, [11.5]);
/// ```
pub fn product(isa: Isa, rows: Rows<'_>, weights: &PackedMatrix, output: Output<'_>) {
    assert_eq!(rows.format(), weights.format(), "formats of rows and weights");
    assert_eq!(rows.n_columns, weights.n_in(), "columns of the rows");
    assert_eq!(output.len(), rows.n_rows() * weights.n_out(), "numbers of the output");
    isa.run(Product { tiles: isa.tiles(weights.format()), rows, weights, output });
}

struct Product<'a> {
    tiles: Tiles,
    rows: Rows<'a>,
    weights: &'a PackedMatrix,
    output: Output<'a>,
}

/// Sums of a tile, one panel wide.
type TileSums = [[f32; PANEL_COLUMNS]; MAX_TILE_ROWS];

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Self { tiles, rows, weights, mut output } = self;
        let (n_rows, n_out) = (rows.n_rows(), weights.n_out());
        let (row_bytes, panel_bytes) = (rows.row_bytes(), weights.panel_bytes());
        let panels = weights.panels().as_slice();
        let (row_scales, row_offsets): (&[f32], &[f32]) = match rows.data {
            RowData::Int8 { scales, offsets, .. } => (scales, offsets),
            RowData::F32(_) | RowData::Bf16(_) => (&[], &[]),
        };
        // Rows are shared out evenly: 7 and 6 rather than 12 and 1.
        let n_tiles = n_rows.div_ceil(tiles.max_rows);
        let mut sums: TileSums = [[0.0; PANEL_COLUMNS]; MAX_TILE_ROWS];
        for (panel_idx, first_column) in (0..n_out).step_by(PANEL_COLUMNS).enumerate() {
            let panel = &panels[panel_idx * panel_bytes..][..panel_bytes];
            let next_panel = panels.get((panel_idx + 1) * panel_bytes..).unwrap_or_default();
            let next_panel = &next_panel[..next_panel.len().min(panel_bytes)];
            let n_prefetched = (next_panel.len() / n_tiles.max(1)).next_multiple_of(CACHE_LINE_BYTES);
            let n_columns = PANEL_COLUMNS.min(n_out - first_column);
            let finish = if tiles.can_finish && n_columns == PANEL_COLUMNS { output.finish() } else { None };
            for tile_idx in 0..n_tiles {
                let start = tile_idx * n_rows / n_tiles;
                let n_tile_rows = (tile_idx + 1) * n_rows / n_tiles - start;
                let (_, later) = next_panel.split_at(next_panel.len().min(tile_idx * n_prefetched));
                prefetch(&later[..later.len().min(n_prefetched)]);
                let job = TileJob {
                    // SAFETY: `start` is below `n_rows`, so this stays inside the rows.
                    rows: unsafe { rows.as_ptr().add(start * row_bytes) },
                    row_bytes,
                    n_steps: row_bytes / STEP_BYTES,
                    panels: panel.as_ptr(),
                    panel_bytes,
                    n_panels: 1,
                    out: sums.as_mut_ptr().cast(),
                    out_columns: PANEL_COLUMNS,
                    finish: finish.map(|(kind, to, number_bytes)| {
                        Finish::Numbers(FinishNumbers {
                            bias: weights.columns().bias[first_column..].as_ptr(),
                            scales: weights.columns().scales.get(first_column..).unwrap_or_default().as_ptr(),
                            sums: weights.columns().sums.get(first_column..).unwrap_or_default().as_ptr(),
                            row_scales: row_scales.get(start..).unwrap_or_default().as_ptr(),
                            row_offsets: row_offsets.get(start..).unwrap_or_default().as_ptr(),
                            kind,
                            // SAFETY: row `start` and this column are inside the output.
                            to: unsafe { to.add((start * n_out + first_column) * number_bytes) },
                            row_bytes: n_out * number_bytes,
                        })
                    }),
                };
                // SAFETY: `rows` holds `n_tile_rows` rows of `n_steps` steps from there on, `panel` as many steps, `sums` room for the
                // largest tile; the tiles came from an `Isa`. What finishes sums has a whole panel of columns, as many rows, and the
                // output to itself.
                unsafe { (tiles.run)(n_tile_rows, &job) };
                if job.finish.is_some() {
                    continue;
                }
                let columns = PanelColumns::load(simd, weights, first_column);
                let place = Place { first_row: start, n_out, first_column, n_columns };
                output.put(simd, &sums[..n_tile_rows], &columns, rows.data, place);
            }
        }
    }
}

/// Registers of one panel's columns.
const REGISTERS: usize = PANEL_COLUMNS / LANES;

/// What belongs to the columns of a panel.
struct PanelColumns<S: Simd> {
    bias: [S::F32; REGISTERS],
    scales: [S::F32; REGISTERS],
    sums: [S::F32; REGISTERS],
}

impl<S: Simd> PanelColumns<S> {
    #[inline(always)]
    fn load(simd: S, weights: &PackedMatrix, first_column: usize) -> Self {
        let columns = weights.columns();
        let of_panel = |values: &[f32]| -> [S::F32; REGISTERS] {
            let idx = first_column / LANES;
            // Scales and sums are of int8 only.
            if values.is_empty() {
                [simd.splat(0.0); REGISTERS]
            } else {
                [load_at(simd, values, idx), load_at(simd, values, idx + 1)]
            }
        };
        Self { bias: of_panel(&columns.bias), scales: of_panel(&columns.scales), sums: of_panel(&columns.sums) }
    }

    /// From sums of a tile to numbers: scales, zero points, bias.
    #[inline(always)]
    fn finish(&self, simd: S, sums: &[f32; PANEL_COLUMNS], rows: RowData<'_>, row_idx: usize) -> [S::F32; REGISTERS] {
        let (registers, _) = sums.as_chunks::<LANES>();
        let [a, b] = [simd.load(&registers[0]), simd.load(&registers[1])];
        match rows {
            RowData::F32(_) | RowData::Bf16(_) => [a.add(self.bias[0]), b.add(self.bias[1])],
            RowData::Int8 { scales, offsets, .. } => {
                let (scale, offset) = (simd.splat(scales[row_idx]), simd.splat(offsets[row_idx]));
                [
                    a.mul(scale).mul_add(self.scales[0], offset.mul_add(self.sums[0], self.bias[0])),
                    b.mul(scale).mul_add(self.scales[1], offset.mul_add(self.sums[1], self.bias[1])),
                ]
            }
        }
    }
}

/// Where a tile's sums belong.
#[derive(Clone, Copy)]
struct Place {
    first_row: usize,
    n_out: usize,
    first_column: usize,
    n_columns: usize,
}

impl Output<'_> {
    /// How tiles can put their sums away themselves: what they do, where, and the bytes of a number.
    fn finish(&mut self) -> Option<(FinishKind, *mut u8, usize)> {
        match self {
            Self::Add(out) => Some((FinishKind::Add, out.as_mut_ptr().cast(), size_of::<f32>())),
            Self::StoreBf16(out) => Some((FinishKind::StoreBf16, out.as_mut_ptr().cast(), size_of::<u16>())),
            Self::Activate(Activation::GeluRough, out) => {
                Some((FinishKind::GeluRough, out.as_mut_ptr().cast(), size_of::<f32>()))
            }
            Self::ActivateBf16(Activation::GeluRough, out) => {
                Some((FinishKind::GeluRoughBf16, out.as_mut_ptr().cast(), size_of::<u16>()))
            }
            _ => None,
        }
    }

    /// Takes the sums of a tile.
    #[inline(always)]
    fn put<S: Simd>(
        &mut self,
        simd: S,
        tile: &[[f32; PANEL_COLUMNS]],
        columns: &PanelColumns<S>,
        rows: RowData<'_>,
        place: Place,
    ) {
        // A loop for each kind of output, so that the kind is not asked for in every row.
        macro_rules! each_row {
            ($out:ident, |$slot:ident, $a:ident, $b:ident| $put:expr) => {
                for (i, sums) in tile.iter().enumerate() {
                    let row_idx = place.first_row + i;
                    let [$a, $b] = columns.finish(simd, sums, rows, row_idx);
                    let $slot = &mut $out[row_idx * place.n_out + place.first_column..][..place.n_columns];
                    $put;
                }
            };
        }
        match self {
            Self::Store(out) => each_row!(out, |slot, a, b| store(slot, [a, b])),
            Self::Add(out) => each_row!(out, |slot, a, b| {
                let before = [load_at(simd, slot, 0), load_at(simd, slot, 1)];
                store(slot, [before[0].add(a), before[1].add(b)]);
            }),
            Self::Multiply(out) => each_row!(out, |slot, a, b| {
                let before = [load_at(simd, slot, 0), load_at(simd, slot, 1)];
                store(slot, [before[0].mul(a), before[1].mul(b)]);
            }),
            Self::Activate(activation, out) => each_row!(out, |slot, a, b| {
                store(slot, [activated(simd, *activation, a), activated(simd, *activation, b)]);
            }),
            Self::StoreBf16(out) => each_row!(out, |slot, a, b| store_bf16(slot, [a, b])),
            Self::ActivateBf16(activation, out) => each_row!(out, |slot, a, b| {
                store_bf16(slot, [activated(simd, *activation, a), activated(simd, *activation, b)]);
            }),
        }
    }
}

/// Writes numbers, at most a panel's worth.
#[inline(always)]
fn store<F: F32s>(out: &mut [f32], numbers: [F; REGISTERS]) {
    if let (registers @ [_, _], []) = out.as_chunks_mut::<LANES>() {
        for (register, numbers) in registers.iter_mut().zip(numbers) {
            numbers.store(register);
        }
    } else {
        for (out, numbers) in out.chunks_mut(LANES).zip(numbers) {
            let mut padded = [0.0; LANES];
            numbers.store(&mut padded);
            out.copy_from_slice(&padded[..out.len()]);
        }
    }
}

/// Writes numbers as bf16, at most a panel's worth.
#[inline(always)]
fn store_bf16<F: F32s>(out: &mut [u16], [a, b]: [F; REGISTERS]) {
    if let Some((block, [])) = out.split_first_chunk_mut() {
        a.store_bf16(b, block);
    } else {
        let mut padded = [0; PANEL_COLUMNS];
        a.store_bf16(b, &mut padded);
        out.copy_from_slice(&padded[..out.len()]);
    }
}
