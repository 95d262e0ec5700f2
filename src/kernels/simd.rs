//! Sixteen f32 at a time, the same operations on every instruction set.
//!
//! A value of a [`Simd`] type is made by `Isa::run` alone, inside a function compiled for its instructions; whoever holds one may use
//! them. Sums across lanes go by halves, so results depend on the set only where it cannot multiply and add in one step.

/// Numbers that are worked on together.
pub(crate) const LANES: usize = 16;

/// `1.5 · 2²³`: a number this large has no bits after the point, so adding it rounds to even, and leaves the whole number in the lowest bits.
pub(super) const ROUNDER: f32 = 12_582_912.0;

/// An instruction set, by what it makes registers of.
pub(crate) trait Simd: Copy {
    /// Whether `mul_add` rounds once.
    const FMA: bool;
    type F32: F32s;

    fn splat(self, x: f32) -> Self::F32;

    fn load(self, from: &[f32; LANES]) -> Self::F32;

    /// Signed bytes.
    fn load_i8(self, from: &[u8; LANES]) -> Self::F32;

    /// bf16 as they lie in memory.
    fn load_bf16(self, from: &[[u8; 2]; LANES]) -> Self::F32;

    /// Transposes 16 × 16 words of 4 bytes: word `j` of row `i` becomes word `i` of row `j`. Of fewer than 16 rows the last is repeated.
    ///
    /// # Safety
    /// `n_rows`, from 1 to 16, rows of 64 bytes can be read, one every `row_bytes`; 16 of 64 bytes written, one every `out_bytes`.
    #[inline(always)]
    unsafe fn transpose_words(self, rows: *const u8, row_bytes: usize, n_rows: usize, out: *mut u8, out_bytes: usize) {
        for i in 0..LANES {
            for j in 0..LANES {
                // SAFETY: the caller's promise.
                unsafe {
                    let word = rows.add(i.min(n_rows - 1) * row_bytes).cast::<u32>().add(j).read_unaligned();
                    out.add(j * out_bytes).cast::<u32>().add(i).write_unaligned(word);
                }
            }
        }
    }
}

/// [`LANES`] numbers.
pub trait F32s: Copy {
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `self · factor + addend`
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Where `self > other`, `self`, else `other`: so NaN in `other` stays and NaN in `self` does not count.
    fn max(self, other: Self) -> Self;
    /// Where `self < other`, `self`, else `other`.
    fn min(self, other: Self) -> Self;
    fn abs(self) -> Self;
    /// 0 where `x < bound`, else `self`.
    fn zero_where_less(self, x: Self, bound: Self) -> Self;
    /// `self · 2ⁿ`, where `rounded` is `n + 1.5 · 2²³` and the result is a normal number.
    fn times_power(self, rounded: Self) -> Self;
    /// Sum of the lanes, by halves.
    fn sum(self) -> f32;
    /// Greatest of the lanes; NaN does not count.
    fn greatest(self) -> f32;
    /// Least of the lanes; NaN does not count.
    fn least(self) -> f32;
    fn store(self, to: &mut [f32; LANES]);
    /// Rounds this register and the next to bf16, to nearest even. Numbers below the normal ones may become 0, as products take them
    /// for 0. Of the NaNs, those whose lowest bits are all set may become 0; arithmetic makes none such.
    fn store_bf16(self, next: Self, to: &mut [u16; BLOCK]);
    /// The same, and adds what was written to `sums`: to lane `i` number `2 · i + 1`, then number `2 · i`.
    fn store_bf16_and_add(self, next: Self, to: &mut [u16; BLOCK], sums: Self) -> Self;
    /// The nearest bytes, to even in the middle: 0 below 0 and for NaN, 255 above 255. Numbers are less than `2²²`.
    fn store_bytes(four: [Self; 4], to: &mut [u8; 4 * LANES]);
}

/// Plain Rust, for CPUs without anything better here.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Whether the target multiplies and adds in one instruction without being asked; elsewhere `f32::mul_add` is a slow call.
const PORTABLE_HAS_FMA: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

impl Simd for Portable {
    const FMA: bool = PORTABLE_HAS_FMA;
    type F32 = [f32; LANES];

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F32 {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F32 {
        *from
    }

    #[inline(always)]
    fn load_i8(self, from: &[u8; LANES]) -> Self::F32 {
        from.map(|byte| f32::from(byte as i8))
    }

    #[inline(always)]
    fn load_bf16(self, from: &[[u8; 2]; LANES]) -> Self::F32 {
        from.map(|bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
    }
}

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

#[inline(always)]
fn fold_halves(lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| f(lanes[i], lanes[i + 8]));
    let four: [f32; 4] = std::array::from_fn(|i| f(eight[i], eight[i + 4]));
    f(f(four[0], four[2]), f(four[1], four[3]))
}

impl F32s for [f32; LANES] {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        zip(self, other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        zip(self, other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        zip(self, other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        zip(self, other, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        std::array::from_fn(|i| {
            if PORTABLE_HAS_FMA { self[i].mul_add(factor[i], addend[i]) } else { self[i] * factor[i] + addend[i] }
        })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        zip(self, other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        zip(self, other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        self.map(f32::abs)
    }

    #[inline(always)]
    fn zero_where_less(self, x: Self, bound: Self) -> Self {
        std::array::from_fn(|i| if x[i] < bound[i] { 0.0 } else { self[i] })
    }

    #[inline(always)]
    fn times_power(self, rounded: Self) -> Self {
        zip(self, rounded, |x, rounded| f32::from_bits(x.to_bits().wrapping_add(rounded.to_bits() << 23)))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        fold_halves(self, |a, b| a + b)
    }

    #[inline(always)]
    fn greatest(self) -> f32 {
        fold_halves(self, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn least(self) -> f32 {
        fold_halves(self, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self;
    }

    #[inline(always)]
    fn store_bf16(self, next: Self, to: &mut [u16; BLOCK]) {
        for (to, x) in to.iter_mut().zip(self.into_iter().chain(next)) {
            *to = (x.to_bits().wrapping_add(0x7fff + ((x.to_bits() >> 16) & 1)) >> 16) as u16;
        }
    }

    #[inline(always)]
    fn store_bf16_and_add(self, next: Self, to: &mut [u16; BLOCK], sums: Self) -> Self {
        self.store_bf16(next, to);
        let widened = |bits: u16| f32::from_bits(u32::from(bits) << 16);
        std::array::from_fn(|i| sums[i] + widened(to[2 * i + 1]) + widened(to[2 * i]))
    }

    #[inline(always)]
    fn store_bytes(four: [Self; 4], to: &mut [u8; 4 * LANES]) {
        for (to, x) in to.iter_mut().zip(four.as_flattened()) {
            let whole = (x.max(0.0) + ROUNDER).to_bits() - ROUNDER.to_bits();
            *to = whole.min(u8::MAX.into()) as u8;
        }
    }
}

/// Numbers that a row is gathered from at a time: two registers, which hides most of the latency of an addition. Part of a sum's definition.
pub(crate) const BLOCK: usize = 2 * LANES;

// The two below are macros because a closure is compiled as a function of its own, without the instruction set of the function it
// stands in, and is not always inlined.

/// Gathers a row in two parts, from registers in turn, the last padded: `fold!(simd, row, padding, start, |part, x| next part)`.
macro_rules! fold {
    ($simd:expr, $row:expr, $padding:expr, $start:expr, |$part:pat_param, $x:ident| $next:expr) => {{
        let (mut even, mut odd) = ($start, $start);
        let (blocks, rest) = $row.as_chunks::<{ $crate::kernels::simd::BLOCK }>();
        let mut padded = [$padding; $crate::kernels::simd::BLOCK];
        padded[..rest.len()].copy_from_slice(rest);
        for block_idx in 0..blocks.len() + usize::from(!rest.is_empty()) {
            let block = if block_idx < blocks.len() { &blocks[block_idx] } else { &padded };
            let (registers, _) = block.as_chunks::<{ $crate::kernels::simd::LANES }>();
            even = {
                let ($part, $x) = (even, $simd.load(&registers[0]));
                $next
            };
            odd = {
                let ($part, $x) = (odd, $simd.load(&registers[1]));
                $next
            };
        }
        [even, odd]
    }};
}

/// Replaces a row's numbers, register after register: `map_in_place!(simd, row, |register number, x| new x)`.
macro_rules! map_in_place {
    ($simd:expr, $row:expr, |$idx:pat_param, $x:pat_param| $new:expr) => {{
        let (registers, rest) = $row.as_chunks_mut::<{ $crate::kernels::simd::LANES }>();
        let n_registers = registers.len();
        for (i, register) in registers.iter_mut().enumerate() {
            let ($idx, $x) = (i, $simd.load(register));
            $new.store(register);
        }
        if !rest.is_empty() {
            let mut padded = [0.0; $crate::kernels::simd::LANES];
            padded[..rest.len()].copy_from_slice(rest);
            let ($idx, $x) = (n_registers, $simd.load(&padded));
            $new.store(&mut padded);
            rest.copy_from_slice(&padded[..rest.len()]);
        }
    }};
}

pub(crate) use {fold, map_in_place};

/// The `idx`-th register of a row, padded with 0.
#[inline(always)]
pub(crate) fn load_at<S: Simd>(simd: S, row: &[f32], idx: usize) -> S::F32 {
    let rest = row.get(idx * LANES..).unwrap_or_default();
    match rest.first_chunk() {
        Some(register) => simd.load(register),
        None => {
            let mut padded = [0.0; LANES];
            padded[..rest.len()].copy_from_slice(rest);
            simd.load(&padded)
        }
    }
}
