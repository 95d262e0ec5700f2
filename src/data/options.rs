//! How input is to be read: its format, which column is what, and how labels are split.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::error::DataError;

/// Longest row that is read, in bytes, unless set otherwise. A row is held in memory as a whole, and no article comes
/// near this; a file without line ends (a disk image, a JSON dump on one line) does.
pub const MAX_ROW_BYTES: usize = 64 * 1024 * 1024;

/// Splits the labels of a string unless set otherwise.
pub const LABEL_SEPARATOR: &str = "|";

/// A file format of articles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated with a header.
    Csv,
    /// Tab-separated with a header.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// `__label__a __label__b text`, one article a line.
    FastText,
    /// The whole file is one article.
    Txt,
}

impl Format {
    /// All formats in the order of the documentation.
    pub const ALL: [Format; 6] =
        [Format::Jsonl, Format::Csv, Format::Tsv, Format::Parquet, Format::FastText, Format::Txt];

    /// The format's name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Parquet => "parquet",
            Format::FastText => "fasttext",
            Format::Txt => "txt",
        }
    }

    /// The format that a file's ending promises, looking through `.gz` and `.zst`.
    ///
    /// ```
    /// use topicwire::data::Format;
    /// assert_eq!(Format::from_path("news/2024.JSONL.zst".as_ref()), Some(Format::Jsonl));
    /// assert_eq!(Format::from_path("news.docx".as_ref()), None);
    /// ```
    pub fn from_path(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
            "csv" => Some(Format::Csv),
            "tsv" => Some(Format::Tsv),
            "parquet" => Some(Format::Parquet),
            "ft" | "fasttext" => Some(Format::FastText),
            "txt" => Some(Format::Txt),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A format's name that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown format `{found}`; known are jsonl, csv, tsv, parquet, fasttext, txt")]
pub struct UnknownFormatName {
    pub found: String,
}

impl FromStr for Format {
    type Err = UnknownFormatName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Format::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormatName { found: name.to_owned() })
    }
}

/// Which column is what. `None` stands for the default name.
///
/// A column named here must exist (an `id` or `text` in each row, a `title` or `labels` at least in the header of CSV and
/// Parquet); of those with a default name only the text must. fastText and `.txt` have no columns and ignore this.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Columns {
    /// Default `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Default `title`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Default `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Default `labels`, or `label` where there is no `labels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
}

impl Columns {
    /// Name of the id column.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or("id")
    }

    /// Name of the title column.
    pub fn title(&self) -> &str {
        self.title.as_deref().unwrap_or("title")
    }

    /// Name of the text column.
    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or("text")
    }

    /// Name of the label column among those that are there.
    pub fn labels(&self, has: impl Fn(&str) -> bool) -> &str {
        match &self.labels {
            Some(name) => name,
            None if !has("labels") && has("label") => "label",
            None => "labels",
        }
    }
}

/// Whether `"` has a meaning in CSV and TSV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quoting {
    /// A field may stand in quotes; a quote in it is doubled (RFC 4180).
    #[default]
    Double,
    /// A quote is a character like any other.
    None,
}

/// How input is read. The default suits files whose columns are named `id`, `title`, `text` and `labels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    /// Of all inputs; `None`: told by each file's ending, else by its first bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    pub columns: Columns,
    /// Splits labels that come as one string. Lists are never split, nor are strings that hold a JSON list.
    pub label_separator: String,
    /// Between the columns of CSV; `None`: a comma, and a tab for TSV.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    pub quoting: Quoting,
    /// A longer row is a row error.
    pub max_row_bytes: usize,
    /// Whether each article's row is kept as it stands in the file, for [`super::Articles::take_source_row`].
    #[serde(skip)]
    pub keep_rows: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            columns: Columns::default(),
            label_separator: LABEL_SEPARATOR.to_owned(),
            delimiter: None,
            quoting: Quoting::default(),
            max_row_bytes: MAX_ROW_BYTES,
            keep_rows: false,
        }
    }
}

impl ReadOptions {
    /// Refuses settings under which nothing could be read.
    ///
    /// # Errors
    /// [`DataError::Delimiter`], [`DataError::LabelSeparator`].
    pub fn validate(&self) -> Result<(), DataError> {
        if let Some(found) = self.delimiter
            && (!found.is_ascii() || matches!(found, '"' | '\r' | '\n' | '\0'))
        {
            return Err(DataError::Delimiter { found });
        }
        if self.label_separator.is_empty() {
            return Err(DataError::LabelSeparator);
        }
        Ok(())
    }

    /// The byte between columns in this format.
    pub(super) fn delimiter_byte(&self, format: Format) -> u8 {
        let default = if format == Format::Tsv { '\t' } else { ',' };
        u8::try_from(self.delimiter.unwrap_or(default)).expect("validate() lets only ASCII pass")
    }
}
