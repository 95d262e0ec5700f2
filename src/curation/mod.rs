//! Labelled articles looked over before training: duplicates, leakage, odd labels, broken texts.
//!
//! * [`mod@check`]: all of it at once
//! * [`finding`]: what is found, as data
//! * [`duplicates`]: the same and nearly the same, by [`shingles`] and [`minhash`]; [`copies`]: what follows from them
//! * [`label_statistics`]: labels that are rare, look alike or keep odd company, by the test of [`hypergeometric`]
//! * [`text_problems`], [`mojibake`], [`boilerplate`], [`languages`]: the texts

pub mod boilerplate;
pub mod check;
pub mod copies;
pub mod duplicates;
pub mod finding;
pub mod hypergeometric;
pub mod label_statistics;
pub mod languages;
pub mod minhash;
pub mod mojibake;
pub mod shingles;
pub mod text_problems;

use thiserror::Error;

/// What can go wrong with a check.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum CurationError {
    #[error("there are {found} embeddings for {expected} articles")]
    EmbeddingRows { expected: usize, found: usize },
    #[error("setting `{name}` is {found}, expected {expected}")]
    Setting { name: &'static str, found: f64, expected: &'static str },
    #[error("interrupted")]
    Interrupted,
}
