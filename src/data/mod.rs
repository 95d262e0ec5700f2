//! Articles and the files they come from.
//!
//! [`read_articles`] streams articles from JSON Lines, CSV, TSV, Parquet, fastText and plain text files, packed or not;
//! [`Dataset`] holds them in memory. A row that cannot be used is an error that says where and why, and reading goes on
//! behind it; [`Rows`] stops at it or counts it and writes it to a file. No row is lost in silence.

mod articles;
mod columns;
mod corrections;
pub mod csv;
mod error;
pub mod fasttext;
mod ids;
pub mod jsonl;
mod lines;
mod meter;
mod options;
#[cfg(feature = "parquet")]
pub mod parquet;
mod reject;
mod source;
pub mod split;
mod targets;
pub mod txt;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use articles::{Articles, Check, SourceRow, article_row, read_articles};
pub use corrections::{
    Corrected, CorrectionCounts, CorrectionLog, CorrectionProblem, CorrectionRecord, Corrections, Decision,
};
pub use error::{DataError, LabelFileProblem, MAX_RAW_BYTES, Place, Position, RowError, RowProblem};
pub use ids::DuplicateIds;
pub use options::{Columns, Format, LABEL_SEPARATOR, MAX_ROW_BYTES, Quoting, ReadOptions, UnknownFormatName};
pub use reject::{OnError, RejectsWriter, RowCounts, Rows, UnknownOnError};
pub use source::Input;
pub use targets::{LabelledTargets, TargetError, check_labels, collect_targets, parse_label_file, read_label_file};

/// One input: an id, an optional title, a text, the labels when they are known, and every other column as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Article {
    /// From the id column, else the file name (`.txt`), else the row's number in its file, counted from 1, with the file
    /// in front (`news.csv:7`) when there are several.
    pub id: String,
    pub title: Option<String>,
    /// As it came, not trimmed, never empty after trimming when it was read from a file. Control characters (NUL too) may
    /// be in it; tokenizers drop them.
    pub text: String,
    /// `None`: not known. `Some(vec![])`: known to have none.
    pub labels: Option<Vec<String>>,
    /// Columns that topicwire does not use, in input order; they pass through to the output untouched.
    pub extra: Map<String, Value>,
}

impl Article {
    /// An unlabelled article without a title or other columns.
    pub fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { id: id.into(), title: None, text: text.into(), labels: None, extra: Map::new() }
    }
}

/// Articles in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    pub articles: Vec<Article>,
}

impl Dataset {
    /// Reads all articles of one input with the default options.
    ///
    /// # Errors
    /// The first bad row ends it. See [`DataError`].
    pub fn read(input: impl Into<Input>) -> Result<Self, DataError> {
        Self::read_with(&[input.into()], &ReadOptions::default())
    }

    /// Reads all articles of the inputs.
    ///
    /// # Errors
    /// The first bad row ends it. See [`DataError`].
    pub fn read_with<I: Clone + Into<Input>>(inputs: &[I], options: &ReadOptions) -> Result<Self, DataError> {
        let articles = read_articles(inputs, options)?.collect::<Result<_, _>>()?;
        Ok(Self { articles })
    }

    /// The articles in order.
    pub fn articles(&self) -> &[Article] {
        &self.articles
    }

    /// Number of articles.
    pub fn len(&self) -> usize {
        self.articles.len()
    }

    /// Whether there is no article at all.
    pub fn is_empty(&self) -> bool {
        self.articles.is_empty()
    }

    /// The labels that occur, the task they make and each article's targets. See [`collect_targets`].
    ///
    /// # Errors
    /// As [`collect_targets`].
    pub fn targets(&self) -> Result<LabelledTargets, TargetError> {
        let rows = self.articles.iter().map(|article| (article.id.as_str(), article.labels.as_deref()));
        collect_targets(rows, None, None)
    }
}

/// A dataset goes wherever a stream of articles does.
impl IntoIterator for Dataset {
    type Item = Result<Article, DataError>;
    type IntoIter = std::iter::Map<std::vec::IntoIter<Article>, fn(Article) -> Result<Article, DataError>>;

    fn into_iter(self) -> Self::IntoIter {
        self.articles.into_iter().map(Ok)
    }
}
