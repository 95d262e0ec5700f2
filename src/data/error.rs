//! What can be wrong with input: errors that end the reading, and rows that can be left out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::corrections::CorrectionProblem;
use crate::labels::LabelError;

/// Most bytes of a bad row that are kept for the rejects file.
pub const MAX_RAW_BYTES: usize = 64 * 1024;

/// Most characters of a value that are quoted in a message, so that a hostile value cannot flood the terminal.
const MAX_QUOTED_CHARS: usize = 80;

/// Most column names that are listed in a message.
const MAX_LISTED_COLUMNS: usize = 20;

/// Where in a file a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Position {
    /// The line the row begins in, counted from 1.
    Line(u64),
    /// The row's number where the format has no lines (Parquet), counted from 1.
    Row(u64),
    /// The file is one article.
    File,
}

impl Position {
    /// The number of the line or row; 1 when the file is one article.
    pub fn number(self) -> u64 {
        match self {
            Position::Line(number) | Position::Row(number) => number,
            Position::File => 1,
        }
    }
}

/// A file and the row in it, printed as `train.jsonl:12`, `train.parquet row 12` or `note.txt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<Path>,
    pub position: Position,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.position {
            Position::Line(line) => write!(f, "{file}:{line}"),
            Position::Row(row) => write!(f, "{file} row {row}"),
            Position::File => write!(f, "{file}"),
        }
    }
}

/// One row that cannot be used. The rows after it can.
#[derive(Debug, PartialEq)]
pub struct RowError {
    pub place: Place,
    /// The article's id where it could be read.
    pub id: Option<String>,
    pub problem: RowProblem,
    /// The row as it stood in the file, its first [`MAX_RAW_BYTES`] bytes.
    pub raw: Vec<u8>,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if let Some(id) = &self.id {
            write!(f, "article {}: ", quoted(id))?;
        }
        self.problem.fmt(f)
    }
}

/// Without a source: the message already says what the problem is.
impl std::error::Error for RowError {}

/// Why a row cannot be used.
#[derive(Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum RowProblem {
    #[error("broken JSON at column {column}: {message}; JSON Lines holds one object on each line")]
    Json { column: usize, message: String },
    #[error("key {} occurs twice in the object", quoted(.key))]
    DuplicateKey { key: String },
    #[error("expected a JSON object on each line, found {found}{}", if *.found == "a list" { "; `jq -c '.[]'` turns a list into JSON Lines" } else { "" })]
    NotAnObject { found: &'static str },
    #[error("no text: the row has no `{column}`, only {}; name the text column with --text-column", listed(.found))]
    MissingText { column: String, found: Vec<String> },
    #[error("no id: `{column}` is missing or empty")]
    MissingId { column: String },
    #[error("`{column}` should be {expected}, found {found}")]
    WrongType { column: String, expected: &'static str, found: String },
    #[error("invalid UTF-8 at byte {byte} of {what}{}", if *.looks_like_utf16 { "; the file looks like UTF-16, convert it to UTF-8" } else { "" })]
    InvalidUtf8 { byte: usize, what: &'static str, looks_like_utf16: bool },
    #[error("the text is empty")]
    EmptyText,
    #[error("the row is longer than {limit_bytes} bytes")]
    TooLong { limit_bytes: usize },
    #[error("the quote opened at line {line}, column {column} is never closed")]
    OpenQuote { line: u64, column: usize },
    #[error(
        "a quote inside a quoted field must be doubled: line {line}, column {column}, in the field opened at line {opened_line}, column {opened_column}"
    )]
    StrayQuote { line: u64, column: usize, opened_line: u64, opened_column: usize },
    #[error("the row has {found} fields, the header has {expected}")]
    FieldCount { expected: usize, found: usize },
    #[error("the labels {} look like a list but are not JSON; write them as [\"a\", \"b\"] or split them with --label-separator", quoted(.found))]
    LabelList { found: String },
    #[error("label {} is {found}, expected a string", .label_idx + 1)]
    LabelType { label_idx: usize, found: &'static str },
    #[error("`__label__` without a name")]
    UnnamedLabel,
    #[error("the file begins with `__label__`, which is fastText, not one article; pass --format fasttext")]
    FastTextInTxt,
    #[error("the id was used before, at {first}")]
    DuplicateId { first: Place },
    #[error("{0}")]
    Label(LabelError),
    #[error("the article has no labels, though they are needed here")]
    Unlabelled,
}

/// What can go wrong while articles are read.
///
/// [`DataError::Row`] concerns one row, and the iterator goes on behind it; after any other error it ends.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    #[error(transparent)]
    Row(Box<RowError>),
    #[error("no input was named")]
    NoInput,
    #[error("no file matches `{pattern}`")]
    NoMatch { pattern: String },
    #[error("cannot read the pattern `{pattern}`: {message}")]
    Pattern { pattern: String, message: String },
    #[error("cannot open {}", .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read {} after line {line}", .path.display())]
    Read { path: PathBuf, line: u64, source: io::Error },
    #[error("cannot decompress {} after line {line}; the file is truncated or damaged", .path.display())]
    Decompress { path: PathBuf, line: u64, source: io::Error },
    #[error(
        "cannot tell the format of {}; known endings are .jsonl .ndjson .json .csv .tsv .parquet .ft .fasttext .txt, each but .parquet also with .gz or .zst; otherwise pass --format",
        .path.display()
    )]
    UnknownFormat { path: PathBuf },
    #[error("{} is a directory without articles: no {expected} file in it", .path.display())]
    EmptyDirectory { path: PathBuf, expected: String },
    #[error(
        "{} holds .txt files and {other} files; name the ones to read with a pattern such as `{}`",
        .path.display(), .path.join("*.txt").display()
    )]
    MixedDirectory { path: PathBuf, other: String },
    #[error("standard input is named twice")]
    StdinTwice,
    #[error("{}: no column `{column}`; found {}{}; name the {role} column with --{role}-column", .path.display(), listed(.found), .hint)]
    MissingColumn { path: PathBuf, role: &'static str, column: String, found: Vec<String>, hint: String },
    #[error("{}: column {} occurs twice in the header, as columns {first} and {second}", .path.display(), quoted(.column))]
    DuplicateColumn { path: PathBuf, column: String, first: usize, second: usize },
    #[error("{}: column `{column}` should hold {expected}, found the type {found}", .path.display())]
    ColumnType { path: PathBuf, column: String, expected: &'static str, found: String },
    #[error("{}: the header is not usable: {problem}", .path.display())]
    Header { path: PathBuf, problem: RowProblem },
    #[error("{}:{line}: too many quotes are never closed; what is a row cannot be told any more", .path.display())]
    HopelessQuotes { path: PathBuf, line: u64 },
    #[error("{}: not a readable Parquet file: {message}", .path.display())]
    Parquet { path: PathBuf, message: String },
    #[error("{}: this program was built without Parquet; build it with `--features parquet`", .path.display())]
    ParquetFeature { path: PathBuf },
    #[error("the delimiter {found:?} must be one ASCII character, neither a quote nor a line end")]
    Delimiter { found: char },
    #[error("the label separator is empty")]
    LabelSeparator,
    #[error("cannot write the rejected rows to {}", .path.display())]
    Rejects { path: PathBuf, source: io::Error },
    #[error("{}: {problem}", .path.display())]
    LabelFile { path: PathBuf, problem: LabelFileProblem },
    #[error("cannot apply the corrections in {}: {problem}", .path.display())]
    Corrections { path: PathBuf, problem: Box<CorrectionProblem> },
}

/// What can be wrong with a file of labels.
#[derive(Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LabelFileProblem {
    #[error("broken JSON at line {line}, column {column}: {message}")]
    Json { line: usize, column: usize, message: String },
    #[error("expected a list of objects like {{\"label\": \"trade\", \"description\": \"…\"}}, found {found}")]
    NotAList { found: &'static str },
    #[error("entry {entry} should be an object with `label`, or a string; found {found}")]
    Entry { entry: usize, found: &'static str },
    #[error("entry {entry} has no `label`")]
    MissingLabel { entry: usize },
    #[error("entry {entry}: `{key}` should be {expected}, found {found}")]
    WrongType { entry: usize, key: &'static str, expected: &'static str, found: &'static str },
    #[error("entry {entry} has an unknown key {}; known are `label`, `description`, `examples`, `keywords` and `patterns`", quoted(.key))]
    UnknownKey { entry: usize, key: String },
    #[error(transparent)]
    Label(#[from] LabelError),
}

impl DataError {
    /// Whether only one row is lost and the rows behind it can still be read.
    pub fn is_row_error(&self) -> bool {
        matches!(self, DataError::Row(_))
    }

    /// The row, when it is a row error.
    pub fn as_row(&self) -> Option<&RowError> {
        match self {
            DataError::Row(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RowError> for DataError {
    fn from(error: RowError) -> Self {
        DataError::Row(Box::new(error))
    }
}

/// A value in backticks, cut to a length that a message can bear, with control characters made visible.
pub(super) fn quoted(value: &str) -> String {
    let mut shown: String = value.chars().take(MAX_QUOTED_CHARS).flat_map(visible).collect();
    if value.chars().nth(MAX_QUOTED_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

fn visible(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

/// Column names for a message.
fn listed(columns: &[String]) -> String {
    if columns.is_empty() {
        return "no columns at all".to_owned();
    }
    let mut shown: Vec<String> = columns.iter().take(MAX_LISTED_COLUMNS).map(|c| quoted(c)).collect();
    if columns.len() > MAX_LISTED_COLUMNS {
        shown.push(format!("{} more", columns.len() - MAX_LISTED_COLUMNS));
    }
    shown.join(", ")
}
