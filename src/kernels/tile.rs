//! Tiles of a matrix product: a few rows times a panel of 32 columns, the sums kept in registers.
//!
//! One shape serves all formats. A step takes 4 bytes of each row (one f32, two bf16 or four u8) and of each column; a panel holds the
//! columns' bytes step after step, so that a register is filled by one load whatever the format. A sum gathers its
//! steps one after the other, so its rounding depends on its own row and column alone, not on the tile's size or the width of a
//! register.

use half::bf16;

use super::attention::{Number, power};
use super::elementwise::{Activation, LOWEST_EXPONENT, activated};
use super::packed::{Format, PANEL_COLUMNS, STEP_BYTES};
use super::simd::{F32s, LANES, Simd};

/// Bytes of a panel that belong to one step.
pub(super) const PANEL_STEP_BYTES: usize = PANEL_COLUMNS * STEP_BYTES;

/// Rows of the largest tile of any instruction set.
pub(super) const MAX_TILE_ROWS: usize = 12;

/// The tiles for one format on one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    /// Rows of the largest tile.
    pub(super) max_rows: usize,
    /// Whether a tile can finish its sums.
    pub(super) can_finish: bool,
    /// Multiplies up to `max_rows` rows with panels.
    ///
    /// # Safety
    /// As [`TileJob`] says, and `1 ≤ n_rows ≤ max_rows`; the CPU has the instructions.
    pub(super) run: unsafe fn(n_rows: usize, job: &TileJob),
}

/// What a tile reads and writes.
///
/// For row `i` and panel `p`, `n_steps` steps are read from `rows + i · row_bytes` and from `panels + p · panel_bytes`, and 32 sums written
/// from `out + i · out_columns + 32 · p` on. All of it must be valid memory, and `out` must not overlap what is read.
pub(super) struct TileJob {
    pub(super) rows: *const u8,
    pub(super) row_bytes: usize,
    pub(super) n_steps: usize,
    pub(super) panels: *const u8,
    pub(super) panel_bytes: usize,
    pub(super) n_panels: usize,
    pub(super) out: *mut f32,
    pub(super) out_columns: usize,
    /// What becomes of the sums instead of being written to `out`, where the tiles can.
    pub(super) finish: Option<Finish>,
}

/// What becomes of sums while they are still in registers.
pub(super) enum Finish {
    /// They become numbers of a product's output; of one panel.
    Numbers(FinishNumbers),
    /// They are the scores of attention; of any number of panels.
    Powers(FinishPowers),
    /// They are what attention gathered; of any number of panels.
    Scaled(FinishScaled),
}

/// How sums become numbers, and where these go.
///
/// `bias`, and for int8 `scales` and `sums`, hold 32 numbers of the panel's columns, `row_scales` and `row_offsets` one for each row. Row `i` is
/// written from `to + i · row_bytes` on.
pub(super) struct FinishNumbers {
    pub(super) bias: *const f32,
    pub(super) scales: *const f32,
    pub(super) sums: *const f32,
    pub(super) row_scales: *const f32,
    pub(super) row_offsets: *const f32,
    pub(super) kind: FinishKind,
    pub(super) to: *mut u8,
    pub(super) row_bytes: usize,
}

/// A number for each row that its sums are multiplied by. Row `i` is written from `to + i · row_len` on.
pub(super) struct FinishScaled {
    pub(super) row_scales: *const f32,
    pub(super) to: *mut f32,
    pub(super) row_len: usize,
}

/// The commonest of `product::Output`; a few, since each is compiled for every number of rows.
#[derive(Clone, Copy)]
pub(super) enum FinishKind {
    Add,
    StoreBf16,
    GeluRough,
    GeluRoughBf16,
}

/// Where the exponentials of scores go, to base 2.
///
/// Row `i` is written from `to + i · row_bytes` on in the format of the tiles, and added up in `sums + 16 · i`, where something is already.
/// `lowest` holds 32 numbers: in the last panel the exponential of a score that is less is 0.
pub(super) struct FinishPowers {
    pub(super) sums: *mut f32,
    pub(super) lowest: *const f32,
    pub(super) to: *mut u8,
    pub(super) row_bytes: usize,
}

/// The inner step of a product on registers of one instruction set.
pub(super) trait Dot {
    /// A register of sums, one for each of [`Dot::LANES`] columns.
    type Sums: Copy;
    /// A register of columns, made ready.
    type Columns: Copy;
    /// One row's step, repeated for all columns.
    type Row: Copy;
    const LANES: usize;
    /// Whether tiles finish their sums, which takes [`Dot::numbers`].
    const CAN_FINISH: bool = false;
    const FORMAT: Format;
    type S: Simd;

    /// A row's sums as f32; only called where [`Dot::CAN_FINISH`].
    ///
    /// # Safety
    /// As for [`Dot::zero`].
    unsafe fn numbers(_sums: [Self::Sums; REGISTERS]) -> (Self::S, [<Self::S as Simd>::F32; REGISTERS]) {
        unreachable!("these tiles do not finish their sums")
    }

    /// # Safety
    /// The CPU has the instructions, as for all below.
    unsafe fn zero() -> Self::Sums;
    /// What the sums of these columns begin with.
    ///
    /// # Safety
    /// The columns' bytes of `n_steps` steps can be read, as they lie in a panel.
    #[inline(always)]
    unsafe fn start(_panel: *const u8, _n_steps: usize) -> Self::Sums {
        // SAFETY: the caller's promise.
        unsafe { Self::zero() }
    }
    /// # Safety
    /// `4 · LANES` bytes can be read.
    unsafe fn columns(at: *const u8) -> Self::Columns;
    /// # Safety
    /// 4 bytes can be read.
    unsafe fn row(at: *const u8) -> Self::Row;
    /// # Safety
    /// None but the instructions.
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums;
    /// # Safety
    /// `LANES` numbers can be written.
    unsafe fn store(sums: Self::Sums, at: *mut f32);
}

/// Registers side by side in a tile.
pub(super) const REGISTERS: usize = 2;

/// A tile of `ROWS` rows, panel after panel.
///
/// # Safety
/// As [`TileJob`] and [`Dot`] say.
#[inline(always)]
pub(super) unsafe fn run_tile<D: Dot, const ROWS: usize>(job: &TileJob) {
    let width = REGISTERS * D::LANES;
    for panel_idx in 0..job.n_panels {
        for column in (0..PANEL_COLUMNS).step_by(width) {
            // SAFETY: the caller vouches for the job's memory; all offsets stay inside it.
            unsafe {
                let mut panel = job.panels.add(panel_idx * job.panel_bytes + column * STEP_BYTES);
                let mut row_start = job.rows;
                let start = [D::start(panel, job.n_steps), D::start(panel.add(D::LANES * STEP_BYTES), job.n_steps)];
                let mut sums = [start; ROWS];
                for _ in 0..job.n_steps {
                    let columns: [D::Columns; REGISTERS] =
                        std::array::from_fn(|r| D::columns(panel.add(r * D::LANES * STEP_BYTES)));
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let row = D::row(row_start.add(i * job.row_bytes));
                        for r in 0..REGISTERS {
                            sums[r] = D::step(sums[r], row, columns[r]);
                        }
                    }
                    panel = panel.add(PANEL_STEP_BYTES);
                    row_start = row_start.add(STEP_BYTES);
                }
                if D::CAN_FINISH
                    && let Some(finish) = &job.finish
                {
                    match finish {
                        Finish::Numbers(finish) => finish_numbers::<D, ROWS>(finish, &sums),
                        Finish::Powers(finish) => {
                            finish_powers::<D, ROWS>(finish, &sums, panel_idx, panel_idx + 1 == job.n_panels);
                        }
                        Finish::Scaled(finish) => finish_scaled::<D, ROWS>(finish, &sums, panel_idx),
                    }
                    continue;
                }
                let out = job.out.add(panel_idx * PANEL_COLUMNS + column);
                for (i, sums) in sums.iter().enumerate() {
                    for (r, &sums) in sums.iter().enumerate() {
                        D::store(sums, out.add(i * job.out_columns + r * D::LANES));
                    }
                }
            }
        }
    }
}

/// Does something with the sums of every row, written out: in a loop the sums would need places in memory, and each step of the
/// product would go there.
macro_rules! each_row {
    ($rows:ident, $row:ident, |$a:ident, $b:ident, $to:ident| $put:tt) => {
        each_row!($rows, $row, |$a, $b, $to| $put; 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    ($rows:ident, $row:ident, |$a:ident, $b:ident, $to:ident| $put:tt; $($i:literal)*) => {{
        $(if $i < $rows {
            $row!($i, |$a, $b, $to| $put);
        })*
    }};
}

const _: () = assert!(MAX_TILE_ROWS == 12);

/// Scales, biases and puts away the sums of a tile that is a panel wide.
///
/// # Safety
/// As [`FinishNumbers`] and [`Dot`] say.
#[inline(always)]
unsafe fn finish_numbers<D: Dot, const ROWS: usize>(finish: &FinishNumbers, sums: &[[D::Sums; REGISTERS]; ROWS]) {
    // SAFETY: the caller vouches for the memory; all offsets stay inside it. Numbers are read and written without regard to alignment.
    unsafe {
        let (simd, _) = D::numbers(sums[0]);
        let bias = of_panel(simd, finish.bias);
        let (scales, column_sums) = if D::FORMAT == Format::Int8 {
            (of_panel(simd, finish.scales), of_panel(simd, finish.sums))
        } else {
            (bias, bias)
        };
        macro_rules! numbers {
            ($i:literal, |$a:ident, $b:ident, $to:ident| $put:expr) => {{
                let (_, [mut $a, mut $b]) = D::numbers(sums[$i]);
                if D::FORMAT == Format::Int8 {
                    let (scale, offset) =
                        (simd.splat(*finish.row_scales.add($i)), simd.splat(*finish.row_offsets.add($i)));
                    $a = $a.mul(scale).mul_add(scales[0], offset.mul_add(column_sums[0], bias[0]));
                    $b = $b.mul(scale).mul_add(scales[1], offset.mul_add(column_sums[1], bias[1]));
                } else {
                    ($a, $b) = ($a.add(bias[0]), $b.add(bias[1]));
                }
                let $to = finish.to.add($i * finish.row_bytes);
                $put;
            }};
        }
        match finish.kind {
            FinishKind::Add => {
                each_row!(ROWS, numbers, |a, b, to| {
                    let to = &mut *to.cast::<[[f32; LANES]; REGISTERS]>();
                    simd.load(&to[0]).add(a).store(&mut to[0]);
                    simd.load(&to[1]).add(b).store(&mut to[1]);
                });
            }
            FinishKind::StoreBf16 => {
                each_row!(ROWS, numbers, |a, b, to| { a.store_bf16(b, &mut *to.cast()) });
            }
            FinishKind::GeluRough => {
                each_row!(ROWS, numbers, |a, b, to| {
                    let to = &mut *to.cast::<[[f32; LANES]; REGISTERS]>();
                    activated(simd, Activation::GeluRough, a).store(&mut to[0]);
                    activated(simd, Activation::GeluRough, b).store(&mut to[1]);
                });
            }
            FinishKind::GeluRoughBf16 => {
                each_row!(ROWS, numbers, |a, b, to| {
                    let a = activated(simd, Activation::GeluRough, a);
                    a.store_bf16(activated(simd, Activation::GeluRough, b), &mut *to.cast());
                });
            }
        }
    }
}

/// Puts away exponentials of the sums of a tile that is a panel wide.
///
/// # Safety
/// As [`FinishPowers`] and [`Dot`] say.
#[inline(always)]
unsafe fn finish_powers<D: Dot, const ROWS: usize>(
    finish: &FinishPowers,
    sums: &[[D::Sums; REGISTERS]; ROWS],
    panel_idx: usize,
    is_last_panel: bool,
) {
    // SAFETY: as above.
    unsafe {
        let (simd, _) = D::numbers(sums[0]);
        let lowest =
            if is_last_panel { of_panel(simd, finish.lowest) } else { [simd.splat(LOWEST_EXPONENT); REGISTERS] };
        macro_rules! powers {
            ($i:literal, |$a:ident, $b:ident, $to:ident| ($power:expr, $number:ty)) => {{
                let (_, [$a, $b]) = D::numbers(sums[$i]);
                let powers = [$power(simd, $a, lowest[0]), $power(simd, $b, lowest[1])];
                let of_row = &mut *finish.sums.add($i * LANES).cast::<[f32; LANES]>();
                let $to = finish.to.add($i * finish.row_bytes).cast::<[$number; PANEL_COLUMNS]>().add(panel_idx);
                <$number>::store_and_add(powers, &mut *$to, simd.load(of_row)).store(of_row);
            }};
        }
        match D::FORMAT {
            Format::F32 => each_row!(ROWS, powers, |a, b, to| (power::<_, false>, f32)),
            Format::Bf16 => each_row!(ROWS, powers, |a, b, to| (power::<_, true>, u16)),
            Format::Int8 => unreachable!("there is no attention in int8"),
        }
    }
}

/// Scales and puts away the sums of a tile that is a panel wide.
///
/// # Safety
/// As [`FinishScaled`] and [`Dot`] say.
#[inline(always)]
unsafe fn finish_scaled<D: Dot, const ROWS: usize>(
    finish: &FinishScaled,
    sums: &[[D::Sums; REGISTERS]; ROWS],
    panel_idx: usize,
) {
    // SAFETY: as above.
    unsafe {
        macro_rules! scaled {
            ($i:literal, |$a:ident, $b:ident, $to:ident| $put:tt) => {{
                let (simd, [$a, $b]) = D::numbers(sums[$i]);
                let scale = simd.splat(*finish.row_scales.add($i));
                let $to = &mut *finish
                    .to
                    .add($i * finish.row_len + panel_idx * PANEL_COLUMNS)
                    .cast::<[[f32; LANES]; REGISTERS]>();
                let ($a, $b) = ($a.mul(scale), $b.mul(scale));
                $put
            }};
        }
        each_row!(ROWS, scaled, |a, b, to| {
            a.store(&mut to[0]);
            b.store(&mut to[1]);
        });
    }
}

/// Numbers of a panel's columns.
#[inline(always)]
unsafe fn of_panel<S: Simd>(simd: S, at: *const f32) -> [S::F32; REGISTERS] {
    // SAFETY: the caller can read 32 numbers.
    let numbers = unsafe { &*at.cast::<[[f32; LANES]; REGISTERS]>() };
    [simd.load(&numbers[0]), simd.load(&numbers[1])]
}

/// Makes a function that runs a tile of any number of rows from 1 to the largest, for one [`Dot`].
macro_rules! tiles {
    ($(#[$attribute:meta])* $name:ident, $function:ident, $dot:ty, $max_rows:literal: $($rows:literal)*) => {
        $(#[$attribute])*
        unsafe fn $function(n_rows: usize, job: &$crate::kernels::tile::TileJob) {
            // SAFETY: the caller's promises, passed on.
            unsafe {
                match n_rows {
                    $($rows => $crate::kernels::tile::run_tile::<$dot, $rows>(job),)*
                    _ => unreachable!("a tile has 1 to {} rows", $max_rows),
                }
            }
        }

        pub(in crate::kernels) const $name: $crate::kernels::tile::Tiles =
            $crate::kernels::tile::Tiles {
                max_rows: $max_rows,
                can_finish: <$dot as $crate::kernels::tile::Dot>::CAN_FINISH,
                run: $function,
            };
    };
}
pub(super) use tiles;

const PORTABLE_LANES: usize = 8;

struct PortableF32;
struct PortableBf16;
struct PortableInt8;

tiles!(PORTABLE_F32, portable_f32, PortableF32, 2: 1 2);
tiles!(PORTABLE_BF16, portable_bf16, PortableBf16, 2: 1 2);
tiles!(PORTABLE_INT8, portable_int8, PortableInt8, 2: 1 2);

/// The 4 bytes of each lane.
unsafe fn lanes(at: *const u8) -> [[u8; STEP_BYTES]; PORTABLE_LANES] {
    // SAFETY: the caller can read that many bytes, which may have any alignment.
    unsafe { at.cast::<[[u8; STEP_BYTES]; PORTABLE_LANES]>().read_unaligned() }
}

impl Dot for PortableF32 {
    type Sums = [f32; PORTABLE_LANES];
    type Columns = [f32; PORTABLE_LANES];
    type Row = f32;
    const LANES: usize = PORTABLE_LANES;
    const FORMAT: Format = Format::F32;
    type S = super::simd::Portable;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0.0; PORTABLE_LANES]
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller's promise.
        unsafe { lanes(at) }.map(f32::from_le_bytes)
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller's promise.
        f32::from_le_bytes(unsafe { at.cast::<[u8; STEP_BYTES]>().read() })
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        std::array::from_fn(|i| sums[i] + row * columns[i])
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<Self::Sums>().write_unaligned(sums) };
    }
}

/// The two numbers of a step. A product of two bf16 is exact in f32, so adding it rounds once on every instruction set.
#[inline(always)]
fn bf16_pair(bytes: [u8; STEP_BYTES]) -> [f32; 2] {
    let [a, b, c, d] = bytes;
    [bf16::from_le_bytes([a, b]).to_f32(), bf16::from_le_bytes([c, d]).to_f32()]
}

impl Dot for PortableBf16 {
    type Sums = [f32; PORTABLE_LANES];
    type Columns = [[f32; 2]; PORTABLE_LANES];
    type Row = [f32; 2];
    const LANES: usize = PORTABLE_LANES;
    const FORMAT: Format = Format::Bf16;
    type S = super::simd::Portable;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0.0; PORTABLE_LANES]
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller's promise.
        unsafe { lanes(at) }.map(bf16_pair)
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller's promise.
        bf16_pair(unsafe { at.cast::<[u8; STEP_BYTES]>().read() })
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        std::array::from_fn(|i| sums[i] + row[1] * columns[i][1] + row[0] * columns[i][0])
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<Self::Sums>().write_unaligned(sums) };
    }
}

impl Dot for PortableInt8 {
    type Sums = [i32; PORTABLE_LANES];
    type Columns = [[i16; STEP_BYTES]; PORTABLE_LANES];
    type Row = [i16; STEP_BYTES];
    const LANES: usize = PORTABLE_LANES;
    const FORMAT: Format = Format::Int8;
    type S = super::simd::Portable;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        [0; PORTABLE_LANES]
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller's promise.
        unsafe { lanes(at) }.map(|bytes| bytes.map(|byte| i16::from(byte as i8)))
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[u8; STEP_BYTES]>().read() }.map(i16::from)
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        let dot = |columns: [i16; STEP_BYTES]| -> i32 {
            (0..STEP_BYTES).map(|k| i32::from(row[k]) * i32::from(columns[k])).sum()
        };
        std::array::from_fn(|i| sums[i] + dot(columns[i]))
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[f32; PORTABLE_LANES]>().write_unaligned(sums.map(|sum| sum as f32)) };
    }
}
