//! Train a topic classifier on labelled articles and label millions of them, on an ordinary CPU, offline.
//!
//! The modules in reading order, each importing only what stands above it:
//!
//! 1. [`labels`], [`progress`], [`rng`]: names of topics, events of long work, the one source of randomness
//! 2. [`data`], [`text`], [`kernels`]: articles from files, tokens and windows, numeric kernels
//! 3. [`encoder`], [`heads`], [`calibration`], [`metrics`]: text to embedding, embedding to logits, logits to
//!    probabilities and labels, and how good they are
//! 6. [`train`]: head, calibration and thresholds fitted to labelled embeddings
//! 7. [`report`]: evaluation results as data, quality gates, an HTML page

pub mod labels;
pub mod progress;
pub mod rng;

pub mod data;
pub mod kernels;
pub mod text;

pub mod calibration;
pub mod encoder;
pub mod heads;
pub mod metrics;

#[cfg(feature = "cli")]
pub mod cli;
pub mod report;
pub mod train;
