//! Numeric kernels: the only place of `unsafe` code, each fast path with a slow obvious reference beside it.
//!
//! * [`dispatch`]: which instructions the CPU has; compiles one body of plain Rust for each set of them
//! * [`gemm`]: matrix products
//! * [`elementwise`]: activations, soft-max and layer normalisation, in place on rows
//! * [`attention`]: multi-head self-attention of one window
//! * [`scalar`]: the same in double precision and plain loops, the judge of all the others
//!
//! Every kernel runs on the calling thread. Matrices are row-major; a run of rows is passed as one slice, row after row.

pub mod attention;
pub mod dispatch;
pub mod elementwise;
pub mod gemm;
pub mod scalar;

#[cfg(test)]
mod tests;
