//! The words of an article judged: a vocabulary and a linear head on its rows.

use ndarray::Array2;

use super::{TermKind, Vocabulary};
use crate::heads::{HeadError, SparseLinearHead};
use crate::labels::LabelId;
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

    /// What the words of a text, and pairs of neighbouring ones, add to the logit of a label, in no order; characters inside of words are left
    /// out.
    pub fn pulls(&self, text: TitledText<'_>, label: LabelId) -> Vec<(String, f64)> {
        let rows = self.vocabulary.transform([text.joined()]);
        let (columns, values) = rows.row(0);
        let words = columns.iter().zip(values).filter_map(|(&column, &value)| {
            let spelled = self.vocabulary.spelled(column);
            let is_word = TermKind::Words.hash(spelled) == self.vocabulary.hashes()[column as usize];
            let (labels, weights) = self.head.weights().row(column as usize);
            let place = labels.binary_search(&(label.0 as u32)).ok()?;
            is_word.then(|| (spelled.to_owned(), f64::from(value) * f64::from(weights[place])))
        });
        words.collect()
    }
}
