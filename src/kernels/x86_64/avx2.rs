//! 8 lanes in 16 registers: as many rows of two registers as leave room for the columns and one row, both of which take two registers
//! where bytes or bf16 are widened.

use std::arch::x86_64::*;

use crate::kernels::packed::Format;
use crate::kernels::tile::{Dot, tiles};

struct F32;
struct Bf16;
struct Int8;
struct Int8Vnni;

tiles!(
    #[target_feature(enable = "avx2,fma")]
    AVX2_F32, f32_tiles, F32, 6: 1 2 3 4 5 6
);
tiles!(
    #[target_feature(enable = "avx2,fma")]
    AVX2_BF16, bf16_tiles, Bf16, 4: 1 2 3 4
);
tiles!(
    #[target_feature(enable = "avx2,fma")]
    AVX2_INT8, int8_tiles, Int8, 4: 1 2 3 4
);
tiles!(
    #[target_feature(enable = "avx2,fma,avxvnni")]
    AVX2_VNNI_INT8, int8_vnni_tiles, Int8Vnni, 6: 1 2 3 4 5 6
);

impl Dot for F32 {
    type Sums = __m256;
    type Columns = __m256;
    type Row = __m256;
    const LANES: usize = 8;
    const FORMAT: Format = Format::F32;
    type S = super::Avx2;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the caller vouches for the CPU, here and below.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller can read 32 bytes.
        unsafe { _mm256_loadu_ps(at.cast()) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller can read 4 bytes.
        unsafe { _mm256_set1_ps(at.cast::<f32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe { _mm256_fmadd_ps(row, columns, sums) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 8 numbers.
        unsafe { _mm256_storeu_ps(at, sums) };
    }
}

/// The second and the first of the two bf16 in each lane, as f32.
#[inline(always)]
unsafe fn widen(pairs: __m256i) -> [__m256; 2] {
    // SAFETY: the caller vouches for the CPU.
    unsafe {
        let second = _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32 as i32));
        [_mm256_castsi256_ps(second), _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs))]
    }
}

/// bf16 products in f32, in the order in which `vdpbf16ps` adds them.
impl Dot for Bf16 {
    type Sums = __m256;
    type Columns = [__m256; 2];
    type Row = [__m256; 2];
    const LANES: usize = 8;
    const FORMAT: Format = Format::Bf16;
    type S = super::Avx2;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the caller vouches for the CPU, here and below.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller can read 32 bytes.
        unsafe { widen(_mm256_loadu_si256(at.cast())) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller can read 4 bytes.
        unsafe { widen(_mm256_set1_epi32(at.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe { _mm256_fmadd_ps(row[1], columns[1], _mm256_fmadd_ps(row[0], columns[0], sums)) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 8 numbers.
        unsafe { _mm256_storeu_ps(at, sums) };
    }
}

/// int8 products without VNNI: the bytes with odd and with even numbers widened to 16 bits, where no product saturates.
impl Dot for Int8 {
    type Sums = __m256i;
    type Columns = [__m256i; 2];
    type Row = [__m256i; 2];
    const LANES: usize = 8;
    const FORMAT: Format = Format::Int8;
    type S = super::Avx2;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the caller vouches for the CPU, here and below.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller can read 32 bytes.
        unsafe {
            let bytes = _mm256_loadu_si256(at.cast());
            [_mm256_srai_epi16::<8>(bytes), _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes))]
        }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller can read 4 bytes.
        unsafe {
            let bytes = _mm256_set1_epi32(at.cast::<i32>().read_unaligned());
            [_mm256_srli_epi16::<8>(bytes), _mm256_and_si256(bytes, _mm256_set1_epi16(0xff))]
        }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe {
            let odd = _mm256_madd_epi16(row[0], columns[0]);
            let even = _mm256_madd_epi16(row[1], columns[1]);
            _mm256_add_epi32(sums, _mm256_add_epi32(odd, even))
        }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 8 numbers.
        unsafe { _mm256_storeu_ps(at, _mm256_cvtepi32_ps(sums)) };
    }
}

/// `vpdpbusd` of AVX-VNNI.
impl Dot for Int8Vnni {
    type Sums = __m256i;
    type Columns = __m256i;
    type Row = __m256i;
    const LANES: usize = 8;
    const FORMAT: Format = Format::Int8;
    type S = super::Avx2;

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the caller vouches for the CPU, here and below.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller can read 32 bytes.
        unsafe { _mm256_loadu_si256(at.cast()) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller can read 4 bytes.
        unsafe { _mm256_set1_epi32(at.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe { _mm256_dpbusd_avx_epi32(sums, row, columns) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 8 numbers.
        unsafe { _mm256_storeu_ps(at, _mm256_cvtepi32_ps(sums)) };
    }
}
