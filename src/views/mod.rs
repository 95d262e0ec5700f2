//! What is seen of an article: each view gives logits of its own, a stack puts them together.
//!
//! * [`passages`]: its passages, the clearest of which counts
//! * [`words`]: its words and their neighbours, weighted by how rare they are
//! * [`descriptions`]: how near it comes to what labels mean
//! * [`rules`]: whether it holds what was written down as hints
//! * [`metadata`]: columns beside its text
//! * [`stack`]: the logits of several views in one

pub mod descriptions;
pub mod metadata;
pub mod passages;
pub mod rules;
pub mod stack;
pub mod words;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use self::descriptions::DescriptionsHead;
use self::metadata::{MetadataHead, Values};
use self::passages::PassagesHead;
use self::rules::Rules;
use self::words::WordsHead;
use crate::heads::multi_instance::Bags;
use crate::heads::{Head, HeadError, LinearHead};
use crate::text::TitledText;

/// Kinds of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewKind {
    /// The embedding of the whole article.
    Document,
    /// Those of its passages.
    Passages,
    /// Its words and character n-grams; costs no pass through the encoder.
    Words,
    /// Similarity to what labels mean.
    Descriptions,
    /// Keywords and patterns of labels.
    Rules,
    /// Columns beside the text.
    Metadata,
}

impl ViewKind {
    /// All, in the order of a stack.
    pub const ALL: [Self; 6] =
        [Self::Document, Self::Passages, Self::Words, Self::Descriptions, Self::Rules, Self::Metadata];

    /// As settings and manifests call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Passages => "passages",
            Self::Words => "words",
            Self::Descriptions => "descriptions",
            Self::Rules => "rules",
            Self::Metadata => "metadata",
        }
    }
}

/// What views look at: the same articles, in the same order.
#[derive(Clone, Copy)]
pub struct Features<'a> {
    /// `[n_articles, hidden_size]`
    pub embeddings: ArrayView2<'a, f32>,
    pub texts: &'a [TitledText<'a>],
    /// Where they were embedded.
    pub passages: Option<Bags<'a>>,
    /// Of the columns that a view of them wants; else nothing.
    pub metadata: &'a [Values],
}

/// A fitted view.
#[derive(Clone, Debug, PartialEq)]
pub enum View {
    Document(LinearHead),
    Passages(PassagesHead),
    Words(Box<WordsHead>),
    Descriptions(DescriptionsHead),
    Rules(Rules),
    Metadata(MetadataHead),
}

impl View {
    /// Its kind.
    pub fn kind(&self) -> ViewKind {
        match self {
            Self::Document(_) => ViewKind::Document,
            Self::Passages(_) => ViewKind::Passages,
            Self::Words(_) => ViewKind::Words,
            Self::Descriptions(_) => ViewKind::Descriptions,
            Self::Rules(_) => ViewKind::Rules,
            Self::Metadata(_) => ViewKind::Metadata,
        }
    }

    /// Logits before any calibration, `[n_articles, n_labels]`.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`] when the embeddings are not as wide as those it was fitted to.
    ///
    /// # Panics
    /// When it is a view of passages, and there are none.
    pub fn logits(&self, features: Features<'_>) -> Result<Array2<f64>, HeadError> {
        match self {
            Self::Document(head) => head.logits(features.embeddings),
            Self::Passages(passages) => {
                passages.logits(features.passages.expect("passages are embedded for a view of passages"))
            }
            Self::Words(words) => words.logits(features.texts),
            Self::Descriptions(descriptions) => descriptions.logits(features),
            Self::Rules(rules) => Ok(rules.logits(features.texts)),
            Self::Metadata(metadata) => metadata.logits(features.metadata),
        }
    }
}
