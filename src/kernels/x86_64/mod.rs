//! Tiles on the vector registers of x86-64.

mod avx2;
mod avx512;
mod lanes;

pub(super) use avx2::{AVX2_BF16, AVX2_F32, AVX2_INT8, AVX2_VNNI_INT8};
pub(super) use avx512::{AVX512_BF16, AVX512_BF16_NATIVE, AVX512_F32, AVX512_INT8, AVX512_VNNI_INT8};
pub(super) use lanes::{Avx2, Avx512};
