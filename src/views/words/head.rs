//! The words of an article judged: a vocabulary and a linear head on its rows.

use ndarray::Array2;

use super::Vocabulary;
use crate::heads::{HeadError, SparseLinearHead};
use crate::text::TitledText;

/// A fitted view of an article's words.
#[derive(Clone, Debug, PartialEq)]
pub struct WordsHead {
    vocabulary: Vocabulary,
    head: SparseLinearHead,
}

impl WordsHead {
    /// Puts vocabulary and head together.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`]: the head is for another number of terms.
    pub fn new(vocabulary: Vocabulary, head: SparseLinearHead) -> Result<Self, HeadError> {
        if head.n_columns() != vocabulary.n_columns() {
            return Err(HeadError::HiddenSize { expected: head.n_columns(), found: vocabulary.n_columns() });
        }
        Ok(Self { vocabulary, head })
    }

    /// The terms and what each weighs.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The head on the vocabulary's rows.
    pub fn head(&self) -> &SparseLinearHead {
        &self.head
    }

    /// Logits of some articles, `[n_articles, n_labels]`; an article without a known word gets the intercepts.
    ///
    /// # Errors
    /// None but those of [`SparseLinearHead::logits`], which the vocabulary rules out.
    pub fn logits(&self, texts: &[TitledText<'_>]) -> Result<Array2<f64>, HeadError> {
        self.logits_of(texts.iter().map(TitledText::joined))
    }

    /// The same of texts whose titles are joined already.
    ///
    /// # Errors
    /// As [`WordsHead::logits`].
    pub fn logits_of(&self, texts: impl IntoIterator<Item: AsRef<str> + Send>) -> Result<Array2<f64>, HeadError> {
        self.head.logits(&self.vocabulary.transform(texts))
    }
}
