//! 4 lanes in 32 registers.

use std::arch::aarch64::*;
use std::arch::asm;

use crate::kernels::packed::Format;
use crate::kernels::tile::{Dot, PANEL_STEP_BYTES, tiles};

struct F32;
struct Bf16;
struct Int8;
struct Int8Dot;
struct Int8I8mm;

tiles!(NEON_F32, f32_tiles, F32, 12: 1 2 3 4 5 6 7 8 9 10 11 12);
tiles!(NEON_BF16, bf16_tiles, Bf16, 10: 1 2 3 4 5 6 7 8 9 10);
tiles!(NEON_INT8, int8_tiles, Int8, 8: 1 2 3 4 5 6 7 8);
tiles!(
    #[target_feature(enable = "dotprod")]
    NEON_DOT_INT8, int8_dot_tiles, Int8Dot, 12: 1 2 3 4 5 6 7 8 9 10 11 12
);
tiles!(
    #[target_feature(enable = "dotprod,i8mm")]
    NEON_I8MM_INT8, int8_i8mm_tiles, Int8I8mm, 12: 1 2 3 4 5 6 7 8 9 10 11 12
);

/// The step of a row, in all lanes.
#[inline(always)]
unsafe fn repeated(at: *const u8) -> uint32x4_t {
    // SAFETY: the caller can read 4 bytes.
    unsafe { vdupq_n_u32(at.cast::<u32>().read_unaligned()) }
}

/// The steps of 4 columns.
#[inline(always)]
unsafe fn four_columns(at: *const u8) -> uint8x16_t {
    // SAFETY: the caller can read 16 bytes.
    unsafe { vld1q_u8(at) }
}

impl Dot for F32 {
    type Sums = float32x4_t;
    type Columns = float32x4_t;
    type Row = float32x4_t;
    const LANES: usize = 4;
    const FORMAT: Format = Format::F32;
    type S = super::Neon;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the target has NEON, here and below.
        unsafe { vdupq_n_f32(0.0) }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller's promise.
        unsafe { vreinterpretq_f32_u8(four_columns(at)) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller's promise.
        unsafe { vreinterpretq_f32_u32(repeated(at)) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe { vfmaq_f32(sums, row, columns) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 4 numbers.
        unsafe { vst1q_f32(at, sums) };
    }
}

/// The second and the first of the two bf16 in each lane, as f32.
#[inline(always)]
unsafe fn widen(pairs: uint32x4_t) -> [float32x4_t; 2] {
    // SAFETY: the target has NEON.
    unsafe {
        let second = vandq_u32(pairs, vdupq_n_u32(0xffff_0000));
        [vreinterpretq_f32_u32(second), vreinterpretq_f32_u32(vshlq_n_u32::<16>(pairs))]
    }
}

/// bf16 products in f32, in the order in which `vdpbf16ps` of x86-64 adds them. `bfdot` would round otherwise.
impl Dot for Bf16 {
    type Sums = float32x4_t;
    type Columns = [float32x4_t; 2];
    type Row = [float32x4_t; 2];
    const LANES: usize = 4;
    const FORMAT: Format = Format::Bf16;
    type S = super::Neon;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the target has NEON, here and below.
        unsafe { vdupq_n_f32(0.0) }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller's promise.
        unsafe { widen(vreinterpretq_u32_u8(four_columns(at))) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller's promise.
        unsafe { widen(repeated(at)) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe { vfmaq_f32(vfmaq_f32(sums, row[0], columns[0]), row[1], columns[1]) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 4 numbers.
        unsafe { vst1q_f32(at, sums) };
    }
}

/// int8 products without an instruction for them: bytes widened to 16 bits, where any product with a sign fits 32.
impl Dot for Int8 {
    type Sums = int32x4_t;
    type Columns = [int16x8_t; 2];
    type Row = int16x8_t;
    const LANES: usize = 4;
    const FORMAT: Format = Format::Int8;
    type S = super::Neon;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the target has NEON, here and below.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller's promise.
        unsafe {
            let bytes = vreinterpretq_s8_u8(four_columns(at));
            [vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)]
        }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller's promise.
        unsafe { vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(vreinterpretq_u8_u32(repeated(at))))) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe {
            // Of each column two sums of two products.
            let pairs = columns.map(|columns| {
                vpaddq_s32(vmull_s16(vget_low_s16(columns), vget_low_s16(row)), vmull_high_s16(columns, row))
            });
            vaddq_s32(sums, vpaddq_s32(pairs[0], pairs[1]))
        }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 4 numbers.
        unsafe { vst1q_f32(at, vcvtq_f32_s32(sums)) };
    }
}

/// `sums + signed · signed` of 4 bytes to a lane. The intrinsic is not stable yet.
#[inline(always)]
unsafe fn sdot(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut out = sums;
    // SAFETY: the caller vouches for `dotprod`; registers alone are touched.
    unsafe {
        asm!(
            "sdot {out:v}.4s, {a:v}.16b, {b:v}.16b",
            out = inout(vreg) out, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    out
}

/// `sdot` has no unsigned side, so rows are taken as `byte - 128` and the sums begin at `128 · Σ column`, which wraps where they do.
impl Dot for Int8Dot {
    type Sums = int32x4_t;
    type Columns = int8x16_t;
    type Row = int8x16_t;
    const LANES: usize = 4;
    const FORMAT: Format = Format::Int8;
    type S = super::Neon;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the target has NEON, here and below.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    unsafe fn start(panel: *const u8, n_steps: usize) -> Self::Sums {
        // SAFETY: the caller's promises.
        unsafe {
            let ones = vdupq_n_s8(1);
            let mut sums = Self::zero();
            for step_idx in 0..n_steps {
                sums = sdot(sums, ones, Self::columns(panel.add(step_idx * PANEL_STEP_BYTES)));
            }
            vshlq_n_s32::<7>(sums)
        }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller's promise.
        unsafe { vreinterpretq_s8_u8(four_columns(at)) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller's promise.
        unsafe { vreinterpretq_s8_u8(veorq_u8(vreinterpretq_u8_u32(repeated(at)), vdupq_n_u8(128))) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: the caller vouches for the CPU.
        unsafe { sdot(sums, row, columns) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 4 numbers.
        unsafe { vst1q_f32(at, vcvtq_f32_s32(sums)) };
    }
}

/// `usdot` of the extension `i8mm`, which has an unsigned side.
impl Dot for Int8I8mm {
    type Sums = int32x4_t;
    type Columns = uint8x16_t;
    type Row = uint32x4_t;
    const LANES: usize = 4;
    const FORMAT: Format = Format::Int8;
    type S = super::Neon;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the target has NEON, here and below.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller's promise.
        unsafe { four_columns(at) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller's promise.
        unsafe { repeated(at) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        let mut out = sums;
        // SAFETY: the caller vouches for `i8mm`; registers alone are touched. The intrinsic is not stable yet.
        unsafe {
            asm!(
                "usdot {out:v}.4s, {row:v}.16b, {columns:v}.16b",
                out = inout(vreg) out, row = in(vreg) row, columns = in(vreg) columns,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        out
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 4 numbers.
        unsafe { vst1q_f32(at, vcvtq_f32_s32(sums)) };
    }
}
