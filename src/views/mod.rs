//! What is seen of an article: each view gives logits of its own, a stack puts them together.
//!
//! * [`words`]: its words and their neighbours, weighted by how rare they are
//! * [`stack`]: the logits of several views in one

pub mod stack;
pub mod words;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use self::words::WordsHead;
use crate::heads::{Head, HeadError, LinearHead};
use crate::text::TitledText;

/// Kinds of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewKind {
    /// The embedding of the whole article.
    Document,
    /// Its words and character n-grams; costs no pass through the encoder.
    Words,
}

impl ViewKind {
    /// As settings and manifests call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Words => "words",
        }
    }
}

/// What views look at: the same articles, in the same order.
#[derive(Clone, Copy)]
pub struct Features<'a> {
    /// `[n_articles, hidden_size]`
    pub embeddings: ArrayView2<'a, f32>,
    pub texts: &'a [TitledText<'a>],
}

/// A fitted view.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    Document(LinearHead),
    Words(Box<WordsHead>),
}

impl View {
    /// Its kind.
    pub fn kind(&self) -> ViewKind {
        match self {
            Self::Document(_) => ViewKind::Document,
            Self::Words(_) => ViewKind::Words,
        }
    }

    /// Logits before any calibration, `[n_articles, n_labels]`.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`] when the embeddings are not as wide as those it was fitted to.
    pub fn logits(&self, features: Features<'_>) -> Result<Array2<f64>, HeadError> {
        match self {
            Self::Document(head) => head.logits(features.embeddings),
            Self::Words(words) => words.logits(features.texts),
        }
    }
}
