//! Numeric kernels.

pub mod gemm;
