//! Tiles on the vector registers of AArch64.

mod lanes;
mod neon;

pub(super) use lanes::Neon;
pub(super) use neon::{NEON_BF16, NEON_DOT_INT8, NEON_F32, NEON_I8MM_INT8, NEON_INT8};
