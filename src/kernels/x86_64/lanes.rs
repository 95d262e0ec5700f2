//! Sixteen f32 in one register of AVX-512, or in two of AVX2.

use std::arch::x86_64::*;

use crate::kernels::simd::{BLOCK, F32s, LANES, Simd};

/// AVX-512 F, VL, BW and DQ, and BF16 where `BF16`. Holding it proves that the CPU has them.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Avx512<const BF16: bool>(());

/// AVX2 and FMA. Holding it proves that the CPU has them.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Avx2(());

impl<const BF16: bool> Avx512<BF16> {
    /// # Safety
    /// The CPU has AVX-512 F, VL, BW and DQ, and BF16 where `BF16`.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn new() -> Self {
        Self(())
    }
}

impl<const BF16: bool> Avx512<BF16> {
    /// What a tile gathered.
    #[inline(always)]
    pub(super) fn of(self, register: __m512) -> Wide<BF16> {
        Wide(register)
    }
}

impl Avx2 {
    /// # Safety
    /// The CPU has AVX2 and FMA.
    #[inline(always)]
    pub(in crate::kernels) unsafe fn new() -> Self {
        Self(())
    }
}

/// A register; only [`Avx512`] makes the first one.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Wide<const BF16: bool>(__m512);

/// A pair of registers; only [`Avx2`] makes the first one.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Pair([__m256; 2]);

// Every `unsafe` below is a call of an instruction that the type proves to be there, on registers or on arrays of the size it reads or
// writes.

impl<const BF16: bool> Simd for Avx512<BF16> {
    const FMA: bool = true;
    type F32 = Wide<BF16>;

    #[inline(always)]
    fn splat(self, x: f32) -> Wide<BF16> {
        // SAFETY: see above, as all blocks of this file.
        Wide(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Wide<BF16> {
        // SAFETY: see above.
        Wide(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }

    #[inline(always)]
    fn load_i8(self, from: &[u8; LANES]) -> Wide<BF16> {
        // SAFETY: see above.
        Wide(unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.as_ptr().cast()))) })
    }

    #[inline(always)]
    fn load_bf16(self, from: &[[u8; 2]; LANES]) -> Wide<BF16> {
        // SAFETY: see above.
        Wide(unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        })
    }

    #[inline(always)]
    unsafe fn transpose_words(self, rows: *const u8, row_bytes: usize, n_rows: usize, out: *mut u8, out_bytes: usize) {
        // SAFETY: the caller's promise, and see above.
        unsafe {
            let mut a = [_mm512_setzero_si512(); LANES];
            for (i, row) in a.iter_mut().enumerate() {
                *row = _mm512_loadu_si512(rows.add(i.min(n_rows - 1) * row_bytes).cast());
            }
            // Pairs of words, then of pairs, change places within quarters of the registers; then the quarters do, twice.
            let mut b = a;
            for i in 0..8 {
                b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
                b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
            }
            for i in 0..4 {
                a[4 * i] = _mm512_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
                a[4 * i + 1] = _mm512_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
                a[4 * i + 2] = _mm512_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
                a[4 * i + 3] = _mm512_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
            }
            for i in 0..4 {
                b[i] = _mm512_shuffle_i32x4::<0x88>(a[i], a[i + 4]);
                b[i + 4] = _mm512_shuffle_i32x4::<0xdd>(a[i], a[i + 4]);
                b[i + 8] = _mm512_shuffle_i32x4::<0x88>(a[i + 8], a[i + 12]);
                b[i + 12] = _mm512_shuffle_i32x4::<0xdd>(a[i + 8], a[i + 12]);
            }
            for i in 0..8 {
                a[i] = _mm512_shuffle_i32x4::<0x88>(b[i], b[i + 8]);
                a[i + 8] = _mm512_shuffle_i32x4::<0xdd>(b[i], b[i + 8]);
            }
            for (j, row) in a.iter().enumerate() {
                _mm512_storeu_si512(out.add(j * out_bytes).cast(), *row);
            }
        }
    }
}

impl<const BF16: bool> F32s for Wide<BF16> {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_div_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    fn zero_where_less(self, x: Self, bound: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            // Not less, or not comparable.
            let keep = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x.0, bound.0);
            _mm512_maskz_mov_ps(keep, self.0)
        })
    }

    #[inline(always)]
    fn times_power(self, rounded: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let power = _mm512_slli_epi32::<23>(_mm512_castps_si512(rounded.0));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), power))
        })
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { sum8(_mm256_add_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0))) }
    }

    #[inline(always)]
    fn greatest(self) -> f32 {
        // SAFETY: see above.
        unsafe { greatest8(_mm256_max_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0))) }
    }

    #[inline(always)]
    fn least(self) -> f32 {
        // SAFETY: see above.
        unsafe { least8(_mm256_min_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0))) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) };
    }

    #[inline(always)]
    fn store_bf16(self, next: Self, to: &mut [u16; BLOCK]) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), bf16_pair::<BF16>(self.0, next.0)) };
    }

    #[inline(always)]
    fn store_bf16_and_add(self, next: Self, to: &mut [u16; BLOCK], sums: Self) -> Self {
        // SAFETY: see above. Both types of a register of bf16 are 512 plain bits.
        unsafe {
            let halves = bf16_pair::<BF16>(self.0, next.0);
            _mm512_storeu_si512(to.as_mut_ptr().cast(), halves);
            Self(if BF16 {
                let halves = std::mem::transmute::<__m512i, __m512bh>(halves);
                let ones = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi16(BF16_ONE));
                _mm512_dpbf16_ps(sums.0, halves, ones)
            } else {
                let second = _mm512_and_si512(halves, _mm512_set1_epi32(0xffff_0000_u32 as i32));
                let with_second = _mm512_add_ps(sums.0, _mm512_castsi512_ps(second));
                _mm512_add_ps(with_second, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves)))
            })
        }
    }

    #[inline(always)]
    fn store_bytes([a, b, c, d]: [Self; 4], to: &mut [u8; 4 * LANES]) {
        // SAFETY: see above.
        unsafe {
            let halves = [
                _mm512_packs_epi32(_mm512_cvtps_epi32(a.0), _mm512_cvtps_epi32(b.0)),
                _mm512_packs_epi32(_mm512_cvtps_epi32(c.0), _mm512_cvtps_epi32(d.0)),
            ];
            // Packing works within quarters of a register; the permutation brings the words back in order.
            let bytes = _mm512_packus_epi16(halves[0], halves[1]);
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            _mm512_storeu_si512(to.as_mut_ptr().cast(), _mm512_permutexvar_epi32(order, bytes));
        }
    }
}

/// 1 as a bf16.
const BF16_ONE: i16 = 0x3f80;

/// Two registers rounded to bf16, side by side.
#[inline(always)]
unsafe fn bf16_pair<const BF16: bool>(first: __m512, second: __m512) -> __m512i {
    // SAFETY: see above.
    unsafe {
        if BF16 {
            std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first))
        } else {
            _mm512_permutex2var_epi16(bf16_bits16(first), EVEN_WORDS.get(), bf16_bits16(second))
        }
    }
}

/// The upper halves of 32-bit lanes after rounding, in the lower.
#[inline(always)]
unsafe fn bf16_bits16(x: __m512) -> __m512i {
    // SAFETY: see above.
    unsafe {
        let bits = _mm512_castps_si512(x);
        let is_odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(is_odd, _mm512_set1_epi32(0x7fff)));
        _mm512_srli_epi32::<16>(rounded)
    }
}

/// Numbers of the lower words of two registers.
#[repr(align(64))]
struct WordOrder([u16; BLOCK]);

impl WordOrder {
    #[inline(always)]
    unsafe fn get(&self) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_load_si512(self.0.as_ptr().cast()) }
    }
}

static EVEN_WORDS: WordOrder = {
    let mut order = [0; BLOCK];
    let mut i = 0;
    while i < BLOCK {
        order[i] = 2 * i as u16;
        i += 1;
    }
    WordOrder(order)
};

impl Simd for Avx2 {
    const FMA: bool = true;
    type F32 = Pair;

    #[inline(always)]
    fn splat(self, x: f32) -> Pair {
        // SAFETY: see above.
        Pair([unsafe { _mm256_set1_ps(x) }; 2])
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Pair {
        // SAFETY: see above.
        Pair(unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] })
    }

    #[inline(always)]
    fn load_i8(self, from: &[u8; LANES]) -> Pair {
        // SAFETY: see above.
        Pair(unsafe {
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            let (low, high) = (_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)));
            [_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)]
        })
    }

    #[inline(always)]
    fn load_bf16(self, from: &[[u8; 2]; LANES]) -> Pair {
        // SAFETY: see above.
        Pair(unsafe {
            let at: *const __m128i = from.as_ptr().cast();
            let low = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(at)));
            let high = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(at.add(1))));
            [_mm256_castsi256_ps(low), _mm256_castsi256_ps(high)]
        })
    }
}

/// An instruction on both registers.
macro_rules! both {
    ($instruction:path, $a:expr $(, $other:expr)*) => {
        // SAFETY: see above.
        Pair(unsafe { [$instruction($a.0[0] $(, $other.0[0])*), $instruction($a.0[1] $(, $other.0[1])*)] })
    };
}

impl F32s for Pair {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        both!(_mm256_add_ps, self, other)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        both!(_mm256_sub_ps, self, other)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        both!(_mm256_mul_ps, self, other)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        both!(_mm256_div_ps, self, other)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        both!(_mm256_fmadd_ps, self, factor, addend)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        both!(_mm256_max_ps, self, other)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        both!(_mm256_min_ps, self, other)
    }

    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see above.
        let sign = Self([unsafe { _mm256_set1_ps(-0.0) }; 2]);
        both!(_mm256_andnot_ps, sign, self)
    }

    #[inline(always)]
    fn zero_where_less(self, x: Self, bound: Self) -> Self {
        let is_less = both!(_mm256_cmp_ps::<_CMP_LT_OQ>, x, bound);
        both!(_mm256_andnot_ps, is_less, self)
    }

    #[inline(always)]
    fn times_power(self, rounded: Self) -> Self {
        both!(times_power8, self, rounded)
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: see above.
        unsafe { sum8(_mm256_add_ps(self.0[0], self.0[1])) }
    }

    #[inline(always)]
    fn greatest(self) -> f32 {
        // SAFETY: see above.
        unsafe { greatest8(_mm256_max_ps(self.0[0], self.0[1])) }
    }

    #[inline(always)]
    fn least(self) -> f32 {
        // SAFETY: see above.
        unsafe { least8(_mm256_min_ps(self.0[0], self.0[1])) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: see above.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), self.0[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), self.0[1]);
        }
    }

    #[inline(always)]
    fn store_bf16(self, next: Self, to: &mut [u16; BLOCK]) {
        // SAFETY: see above.
        unsafe { store_halves(bf16_halves(self, next), to) };
    }

    #[inline(always)]
    fn store_bf16_and_add(self, next: Self, to: &mut [u16; BLOCK], sums: Self) -> Self {
        // SAFETY: see above.
        unsafe {
            let halves = bf16_halves(self, next);
            store_halves(halves, to);
            let add = |sums: __m256, halves: __m256i| {
                let second = _mm256_and_si256(halves, _mm256_set1_epi32(0xffff_0000_u32 as i32));
                let with_second = _mm256_add_ps(sums, _mm256_castsi256_ps(second));
                _mm256_add_ps(with_second, _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves)))
            };
            Self([add(sums.0[0], halves[0]), add(sums.0[1], halves[1])])
        }
    }

    #[inline(always)]
    fn store_bytes([a, b, c, d]: [Self; 4], to: &mut [u8; 4 * LANES]) {
        // SAFETY: see above.
        unsafe {
            let whole = |x: Self| {
                let [low, high] = x.0;
                _mm256_packs_epi32(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high))
            };
            // Packing works within halves of a register; the permutation brings the words back in order.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = [_mm256_packus_epi16(whole(a), whole(b)), _mm256_packus_epi16(whole(c), whole(d))];
            let at: *mut __m256i = to.as_mut_ptr().cast();
            _mm256_storeu_si256(at, _mm256_permutevar8x32_epi32(bytes[0], order));
            _mm256_storeu_si256(at.add(1), _mm256_permutevar8x32_epi32(bytes[1], order));
        }
    }
}

/// Four registers rounded to bf16, in two.
#[inline(always)]
unsafe fn bf16_halves(first: Pair, second: Pair) -> [__m256i; 2] {
    // SAFETY: see above.
    unsafe {
        [
            packed_halves(bf16_bits8(first.0[0]), bf16_bits8(first.0[1])),
            packed_halves(bf16_bits8(second.0[0]), bf16_bits8(second.0[1])),
        ]
    }
}

#[inline(always)]
unsafe fn store_halves(halves: [__m256i; 2], to: &mut [u16; BLOCK]) {
    // SAFETY: see above.
    unsafe {
        _mm256_storeu_si256(to.as_mut_ptr().cast(), halves[0]);
        _mm256_storeu_si256(to.as_mut_ptr().add(LANES).cast(), halves[1]);
    }
}

/// The lower halves of the lanes of two registers, in order.
#[inline(always)]
unsafe fn packed_halves(low: __m256i, high: __m256i) -> __m256i {
    // SAFETY: see above. Packing works within halves of a register; the permutation brings the quarters back in order.
    unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high)) }
}

#[inline(always)]
unsafe fn times_power8(x: __m256, rounded: __m256) -> __m256 {
    // SAFETY: see above.
    unsafe {
        let power = _mm256_slli_epi32::<23>(_mm256_castps_si256(rounded));
        _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), power))
    }
}

#[inline(always)]
unsafe fn bf16_bits8(x: __m256) -> __m256i {
    // SAFETY: see above.
    unsafe {
        let bits = _mm256_castps_si256(x);
        let is_odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(is_odd, _mm256_set1_epi32(0x7fff)));
        _mm256_srli_epi32::<16>(rounded)
    }
}

#[inline(always)]
unsafe fn sum8(x: __m256) -> f32 {
    // SAFETY: see above.
    unsafe {
        let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

#[inline(always)]
unsafe fn greatest8(x: __m256) -> f32 {
    // SAFETY: see above.
    unsafe {
        let four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
    }
}

#[inline(always)]
unsafe fn least8(x: __m256) -> f32 {
    // SAFETY: see above.
    unsafe {
        let four = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let two = _mm_min_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)))
    }
}
