//! 16 lanes in 32 registers: 12 rows of two registers are 24 sums, which leaves room for the columns and one row.

use std::arch::x86_64::*;

use super::Avx512;
use crate::kernels::packed::Format;
use crate::kernels::simd::Simd;
use crate::kernels::tile::{Dot, REGISTERS, tiles};

struct F32;
struct Bf16;
struct Bf16Native;
struct Int8;
struct Int8Vnni;

tiles!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    AVX512_F32, f32_tiles, F32, 12: 1 2 3 4 5 6 7 8 9 10 11 12
);
tiles!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    AVX512_BF16, bf16_tiles, Bf16, 8: 1 2 3 4 5 6 7 8
);
tiles!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    AVX512_BF16_NATIVE, bf16_native_tiles, Bf16Native, 12: 1 2 3 4 5 6 7 8 9 10 11 12
);
tiles!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    AVX512_INT8, int8_tiles, Int8, 8: 1 2 3 4 5 6 7 8
);
tiles!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    AVX512_VNNI_INT8, int8_vnni_tiles, Int8Vnni, 12: 1 2 3 4 5 6 7 8 9 10 11 12
);

impl Dot for F32 {
    type Sums = __m512;
    type Columns = __m512;
    type Row = __m512;
    const LANES: usize = 16;
    const FORMAT: Format = Format::F32;
    const CAN_FINISH: bool = true;
    type S = Avx512<false>;

    #[inline(always)]
    unsafe fn numbers([a, b]: [Self::Sums; REGISTERS]) -> (Self::S, [<Self::S as Simd>::F32; REGISTERS]) {
        // SAFETY: the caller vouches for the CPU, here and below.
        let simd = unsafe { Avx512::new() };
        (simd, [simd.of(a), simd.of(b)])
    }

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the caller vouches for the CPU, here and below.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller can read 64 bytes.
        unsafe { _mm512_loadu_ps(at.cast()) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller can read 4 bytes.
        unsafe { _mm512_set1_ps(at.cast::<f32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe { _mm512_fmadd_ps(row, columns, sums) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 16 numbers.
        unsafe { _mm512_storeu_ps(at, sums) };
    }
}

/// The second and the first of the two bf16 in each lane, as f32.
#[inline(always)]
unsafe fn widen(pairs: __m512i) -> [__m512; 2] {
    // SAFETY: the caller vouches for the CPU.
    unsafe {
        let second = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000_u32 as i32));
        [_mm512_castsi512_ps(second), _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs))]
    }
}

/// bf16 products on CPUs without an instruction for them: two in f32, in the order in which `vdpbf16ps` adds them.
impl Dot for Bf16 {
    type Sums = __m512;
    type Columns = [__m512; 2];
    type Row = [__m512; 2];
    const LANES: usize = 16;
    const FORMAT: Format = Format::Bf16;
    const CAN_FINISH: bool = true;
    type S = Avx512<false>;

    #[inline(always)]
    unsafe fn numbers([a, b]: [Self::Sums; REGISTERS]) -> (Self::S, [<Self::S as Simd>::F32; REGISTERS]) {
        // SAFETY: the caller vouches for the CPU, here and below.
        let simd = unsafe { Avx512::new() };
        (simd, [simd.of(a), simd.of(b)])
    }

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the caller vouches for the CPU, here and below.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller can read 64 bytes.
        unsafe { widen(_mm512_loadu_si512(at.cast())) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller can read 4 bytes.
        unsafe { widen(_mm512_set1_epi32(at.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe { _mm512_fmadd_ps(row[1], columns[1], _mm512_fmadd_ps(row[0], columns[0], sums)) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 16 numbers.
        unsafe { _mm512_storeu_ps(at, sums) };
    }
}

/// `vdpbf16ps`.
impl Dot for Bf16Native {
    type Sums = __m512;
    type Columns = __m512bh;
    type Row = __m512bh;
    const LANES: usize = 16;
    const FORMAT: Format = Format::Bf16;
    const CAN_FINISH: bool = true;
    type S = Avx512<true>;

    #[inline(always)]
    unsafe fn numbers([a, b]: [Self::Sums; REGISTERS]) -> (Self::S, [<Self::S as Simd>::F32; REGISTERS]) {
        // SAFETY: the caller vouches for the CPU, here and below.
        let simd = unsafe { Avx512::new() };
        (simd, [simd.of(a), simd.of(b)])
    }

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the caller vouches for the CPU, here and below.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller can read 64 bytes; both types are 512 plain bits.
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(at.cast())) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller can read 4 bytes; both types are 512 plain bits.
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(at.cast::<i32>().read_unaligned())) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe { _mm512_dpbf16_ps(sums, row, columns) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 16 numbers.
        unsafe { _mm512_storeu_ps(at, sums) };
    }
}

/// int8 products without VNNI: the bytes with odd and with even numbers widened to 16 bits, where no product saturates.
impl Dot for Int8 {
    type Sums = __m512i;
    type Columns = [__m512i; 2];
    type Row = [__m512i; 2];
    const LANES: usize = 16;
    const FORMAT: Format = Format::Int8;
    const CAN_FINISH: bool = true;
    type S = Avx512<false>;

    #[inline(always)]
    unsafe fn numbers([a, b]: [Self::Sums; REGISTERS]) -> (Self::S, [<Self::S as Simd>::F32; REGISTERS]) {
        // SAFETY: the caller vouches for the CPU, here and below.
        let simd = unsafe { Avx512::new() };
        (simd, [simd.of(unsafe { _mm512_cvtepi32_ps(a) }), simd.of(unsafe { _mm512_cvtepi32_ps(b) })])
    }

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the caller vouches for the CPU, here and below.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller can read 64 bytes.
        unsafe {
            let bytes = _mm512_loadu_si512(at.cast());
            [_mm512_srai_epi16::<8>(bytes), _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(bytes))]
        }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller can read 4 bytes.
        unsafe {
            let bytes = _mm512_set1_epi32(at.cast::<i32>().read_unaligned());
            [_mm512_srli_epi16::<8>(bytes), _mm512_and_si512(bytes, _mm512_set1_epi16(0xff))]
        }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe {
            let odd = _mm512_madd_epi16(row[0], columns[0]);
            let even = _mm512_madd_epi16(row[1], columns[1]);
            _mm512_add_epi32(sums, _mm512_add_epi32(odd, even))
        }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 16 numbers.
        unsafe { _mm512_storeu_ps(at, _mm512_cvtepi32_ps(sums)) };
    }
}

/// `vpdpbusd`, which adds in 32 bits and does not saturate.
impl Dot for Int8Vnni {
    type Sums = __m512i;
    type Columns = __m512i;
    type Row = __m512i;
    const LANES: usize = 16;
    const FORMAT: Format = Format::Int8;
    const CAN_FINISH: bool = true;
    type S = Avx512<false>;

    #[inline(always)]
    unsafe fn numbers([a, b]: [Self::Sums; REGISTERS]) -> (Self::S, [<Self::S as Simd>::F32; REGISTERS]) {
        // SAFETY: the caller vouches for the CPU, here and below.
        let simd = unsafe { Avx512::new() };
        (simd, [simd.of(unsafe { _mm512_cvtepi32_ps(a) }), simd.of(unsafe { _mm512_cvtepi32_ps(b) })])
    }

    #[inline(always)]
    unsafe fn zero() -> Self::Sums {
        // SAFETY: the caller vouches for the CPU, here and below.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn columns(at: *const u8) -> Self::Columns {
        // SAFETY: the caller can read 64 bytes.
        unsafe { _mm512_loadu_si512(at.cast()) }
    }

    #[inline(always)]
    unsafe fn row(at: *const u8) -> Self::Row {
        // SAFETY: the caller can read 4 bytes.
        unsafe { _mm512_set1_epi32(at.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn step(sums: Self::Sums, row: Self::Row, columns: Self::Columns) -> Self::Sums {
        // SAFETY: as for `zero`.
        unsafe { _mm512_dpbusd_epi32(sums, row, columns) }
    }

    #[inline(always)]
    unsafe fn store(sums: Self::Sums, at: *mut f32) {
        // SAFETY: the caller can write 16 numbers.
        unsafe { _mm512_storeu_ps(at, _mm512_cvtepi32_ps(sums)) };
    }
}
