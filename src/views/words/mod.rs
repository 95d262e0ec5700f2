//! An article as its words: TF-IDF over word n-grams and character n-grams.
//!
//! * [`tokens`]: text to terms, each known by a 64-bit hash
//! * [`vocabulary`]: which terms count and how much; texts to sparse rows
//! * [`head`]: the vocabulary with the linear head on its rows, [`crate::heads::sparse_linear`]

pub mod head;
mod lookup;
pub mod tokens;
pub mod vocabulary;

use thiserror::Error;

pub use self::head::WordsHead;
pub use self::tokens::{Ngrams, TermKind, TermReader, TermSettings};
pub use self::vocabulary::{Vocabulary, VocabularySettings};

/// What can go wrong with a vocabulary.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum WordsError {
    #[error("words setting `{name}` is {found}, expected {expected}")]
    Setting { name: &'static str, found: String, expected: &'static str },
    #[error("{tensor} of the vocabulary have {found} entries for {expected} terms")]
    Length { tensor: &'static str, expected: usize, found: usize },
    #[error("hash number {term_idx} of the vocabulary is not above the one before it")]
    Unsorted { term_idx: usize },
    #[error("the vocabulary weighs term number {term_idx} by {value}, expected a finite number of at least 1")]
    Weight { term_idx: usize, value: f32 },
    #[error("columns to keep must be ascending and below {n_columns}, found {found}")]
    Column { n_columns: usize, found: u32 },
}
