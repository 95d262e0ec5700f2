//! Numeric kernels: the only place of `unsafe` code, each fast path with a slow obvious reference beside it.
//!
//! * [`dispatch`]: which instructions the CPU has; compiles one body of plain Rust for each set of them
//! * [`packed`], [`rows`], [`product`]: the encoder's products in f32, bf16 and int8, weights laid out once, with what follows a product done to
//!   each tile of the result
//! * [`gemm`]: products of views of any layout, for the heads
//! * [`elementwise`]: activations, exponentials and layer normalisation
//! * [`attention`]: multi-head self-attention of one window
//! * [`scalar`]: the same in double precision and plain loops, the judge of all the others
//!
//! Every kernel runs on the calling thread. Matrices are row-major; a run of rows is passed as one slice, row after row.

#[cfg(target_arch = "aarch64")]
mod aarch64;
pub mod attention;
pub mod ceiling;
pub mod dispatch;
pub mod elementwise;
pub mod gemm;
pub mod packed;
pub mod product;
pub mod room;
pub mod rotary;
pub mod rows;
pub mod scalar;
pub(crate) mod simd;
pub mod table;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(test)]
mod tests;
