//! Sixteen f32 in four registers of NEON, which every AArch64 CPU has.

use std::arch::aarch64::*;

use crate::kernels::simd::{BLOCK, F32s, LANES, Simd};

/// NEON.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Neon;

/// Four registers.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Four([float32x4_t; 4]);

/// Numbers in a register.
const REGISTER_LEN: usize = 4;

// Every `unsafe` below reads or writes an array of the size that the instruction takes, on a target that has NEON.

impl Simd for Neon {
    const FMA: bool = true;
    type F32 = Four;

    #[inline(always)]
    fn splat(self, x: f32) -> Four {
        // SAFETY: see above, as all blocks of this file.
        Four([unsafe { vdupq_n_f32(x) }; 4])
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Four {
        // SAFETY: see above.
        let load = |i| unsafe { vld1q_f32(from.as_ptr().add(i * REGISTER_LEN)) };
        Four([load(0), load(1), load(2), load(3)])
    }

    #[inline(always)]
    fn load_i8(self, from: &[u8; LANES]) -> Four {
        // SAFETY: see above.
        unsafe {
            let bytes = vld1q_s8(from.as_ptr().cast());
            let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
            Four([
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
                vcvtq_f32_s32(vmovl_high_s16(low)),
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
                vcvtq_f32_s32(vmovl_high_s16(high)),
            ])
        }
    }

    #[inline(always)]
    fn load_bf16(self, from: &[[u8; 2]; LANES]) -> Four {
        // SAFETY: see above.
        unsafe {
            let at = from.as_ptr().cast::<u8>();
            let low = vreinterpretq_u16_u8(vld1q_u8(at));
            let high = vreinterpretq_u16_u8(vld1q_u8(at.add(16)));
            Four([
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(low))),
                vreinterpretq_f32_u32(vshll_high_n_u16::<16>(low)),
                vreinterpretq_f32_u32(vshll_n_u16::<16>(vget_low_u16(high))),
                vreinterpretq_f32_u32(vshll_high_n_u16::<16>(high)),
            ])
        }
    }

    #[inline(always)]
    unsafe fn transpose_words(self, rows: *const u8, row_bytes: usize, n_rows: usize, out: *mut u8, out_bytes: usize) {
        const REGISTER_BYTES: usize = 16;
        for i in (0..LANES).step_by(REGISTER_LEN) {
            for j in 0..LANES / REGISTER_LEN {
                // SAFETY: the caller's promise: 4 rows by 4 words of what may be read, and of what may be written.
                unsafe {
                    let row = |k: usize| {
                        vreinterpretq_u32_u8(vld1q_u8(
                            rows.add((i + k).min(n_rows - 1) * row_bytes + j * REGISTER_BYTES),
                        ))
                    };
                    let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
                    // Words change places within pairs of rows, then pairs of words do.
                    let even = [vtrn1q_u32(a, b), vtrn1q_u32(c, d)].map(|x| vreinterpretq_u64_u32(x));
                    let odd = [vtrn2q_u32(a, b), vtrn2q_u32(c, d)].map(|x| vreinterpretq_u64_u32(x));
                    let columns = [
                        vtrn1q_u64(even[0], even[1]),
                        vtrn1q_u64(odd[0], odd[1]),
                        vtrn2q_u64(even[0], even[1]),
                        vtrn2q_u64(odd[0], odd[1]),
                    ];
                    for (k, column) in columns.into_iter().enumerate() {
                        let at = out.add((j * REGISTER_LEN + k) * out_bytes + i * size_of::<f32>());
                        vst1q_u8(at, vreinterpretq_u8_u64(column));
                    }
                }
            }
        }
    }
}

/// An instruction on all four registers.
macro_rules! each {
    ($a:expr $(, $other:expr)*; |$x:ident $(, $y:ident)*| $instruction:expr) => {
        Four(std::array::from_fn(|i| {
            let ($x, ($($y,)*)) = ($a.0[i], ($($other.0[i],)*));
            // SAFETY: see above.
            unsafe { $instruction }
        }))
    };
}

impl F32s for Four {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        each!(self, other; |a, b| vaddq_f32(a, b))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        each!(self, other; |a, b| vsubq_f32(a, b))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        each!(self, other; |a, b| vmulq_f32(a, b))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        each!(self, other; |a, b| vdivq_f32(a, b))
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        each!(self, factor, addend; |a, b, c| vfmaq_f32(c, a, b))
    }

    /// A comparison and a choice: the instruction for a maximum would let NaN through on either side.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        each!(self, other; |a, b| vbslq_f32(vcgtq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        each!(self, other; |a, b| vbslq_f32(vcltq_f32(a, b), a, b))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        each!(self; |a| vabsq_f32(a))
    }

    #[inline(always)]
    fn zero_where_less(self, x: Self, bound: Self) -> Self {
        each!(self, x, bound; |a, x, bound| {
            vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), vcltq_f32(x, bound)))
        })
    }

    #[inline(always)]
    fn times_power(self, rounded: Self) -> Self {
        each!(self, rounded; |a, rounded| {
            let power = vshlq_n_u32::<23>(vreinterpretq_u32_f32(rounded));
            vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(a), power))
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        // SAFETY: see above.
        unsafe {
            let four = vaddq_f32(vaddq_f32(a, c), vaddq_f32(b, d));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        }
    }

    #[inline(always)]
    fn greatest(self) -> f32 {
        let [a, b, c, d] = self.0;
        // SAFETY: see above. The greater number, where one is NaN the other.
        unsafe { vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(a, c), vmaxnmq_f32(b, d))) }
    }

    #[inline(always)]
    fn least(self) -> f32 {
        let [a, b, c, d] = self.0;
        // SAFETY: see above.
        unsafe { vminnmvq_f32(vminnmq_f32(vminnmq_f32(a, c), vminnmq_f32(b, d))) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        for (i, register) in self.0.into_iter().enumerate() {
            // SAFETY: see above.
            unsafe { vst1q_f32(to.as_mut_ptr().add(i * REGISTER_LEN), register) };
        }
    }

    #[inline(always)]
    fn store_bf16(self, next: Self, to: &mut [u16; BLOCK]) {
        for (i, register) in self.0.into_iter().chain(next.0).enumerate() {
            // SAFETY: see above.
            unsafe {
                let bits = vreinterpretq_u32_f32(register);
                let is_odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
                let halves = vaddhn_u32(bits, vaddq_u32(is_odd, vdupq_n_u32(0x7fff)));
                vst1_u16(to.as_mut_ptr().add(i * REGISTER_LEN), halves);
            }
        }
    }

    #[inline(always)]
    fn store_bf16_and_add(self, next: Self, to: &mut [u16; BLOCK], sums: Self) -> Self {
        self.store_bf16(next, to);
        Four(std::array::from_fn(|i| {
            // SAFETY: see above: the `i`-th 8 of the 32 halves just written.
            unsafe {
                let halves = vreinterpretq_u32_u16(vld1q_u16(to.as_ptr().add(2 * i * REGISTER_LEN)));
                let second = vreinterpretq_f32_u32(vandq_u32(halves, vdupq_n_u32(0xffff_0000)));
                let first = vreinterpretq_f32_u32(vshlq_n_u32::<16>(halves));
                vaddq_f32(vaddq_f32(sums.0[i], second), first)
            }
        }))
    }

    #[inline(always)]
    fn store_bytes(four: [Self; 4], to: &mut [u8; 4 * LANES]) {
        for (i, Self([a, b, c, d])) in four.into_iter().enumerate() {
            // SAFETY: see above.
            unsafe {
                let whole = |x| vqmovn_s32(vcvtnq_s32_f32(x));
                let low = vqmovun_s16(vcombine_s16(whole(a), whole(b)));
                let high = vqmovun_s16(vcombine_s16(whole(c), whole(d)));
                vst1q_u8(to.as_mut_ptr().add(i * LANES), vcombine_u8(low, high));
            }
        }
    }
}
