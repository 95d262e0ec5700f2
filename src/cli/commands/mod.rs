//! One file for each command: its flags, and a `run` that calls the library.

pub mod bench;
#[cfg(feature = "cache")]
pub mod cache;
pub mod check;
pub mod completions;
pub mod embed;
pub mod encoder;
pub mod evaluate;
pub mod explain;
pub mod inspect;
pub mod predict;
pub mod split;
pub mod study;
pub mod train;
pub mod tune;
