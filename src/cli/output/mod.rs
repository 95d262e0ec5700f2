//! Predictions and embeddings as rows of the formats that other programs read.
//!
//! Every format is a streaming writer behind one of two narrow traits, [`PredictionWriter`] and [`EmbeddingWriter`]; files
//! appear under their names only when they are complete (see [`OutputFile`]). The shapes are fixed, programs rely on them:
//!
//! | format | prediction | embedding |
//! |---|---|---|
//! | JSON Lines | `{"id", "labels": […], "scores": {label: probability}, …}` | `{"id", "embedding": […]}` |
//! | CSV, TSV | `id`, `labels` joined, one column per label, … | |
//! | Parquet | `id`, `labels` list, `scores` struct, … | `id`, `embedding` fixed-size list of f32 |
//! | `.npy` | | f32 `[n_articles, hidden_size]`, ids one a line in `F.ids` |
//! | safetensors | | `embeddings`, ids as a JSON list in the metadata |
//!
//! where … are the columns of the input that pass through. One that has the name of a column of ours gets `input_` in front.

mod csv;
mod file;
mod jsonl;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod safetensors;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::pipeline::evidence::Evidence;

pub use csv::CsvPredictions;
pub use file::{Compression, OutputFile, Target};
pub use jsonl::{JsonlEmbeddings, JsonlPredictions};
pub use npy::NpyEmbeddings;
#[cfg(feature = "parquet")]
pub use parquet::{ParquetEmbeddings, ParquetPredictions};
pub use safetensors::SafetensorsEmbeddings;

/// Significant decimals of a probability in text formats: more than any calibration can answer for. Parquet keeps all.
const SCORE_DIGITS: usize = 6;

/// Stands before a column that passes through under a name of ours.
const COLLISION_PREFIX: &str = "input_";

/// One row of predictions.
#[derive(Clone, Copy, Debug)]
pub struct PredictionRow<'a> {
    pub id: &'a str,
    /// The labels that were assigned.
    pub labels: &'a [String],
    /// The probability of every label, in the order that the writer was made with.
    pub scores: &'a [f64],
    /// For each assigned label its passages, where they are wanted; JSON Lines alone hold them.
    pub evidence: Option<&'a [Vec<Evidence>]>,
    /// The columns that pass through.
    pub extra: &'a Map<String, Value>,
}

/// Writes predictions.
pub trait PredictionWriter: Send {
    /// Writes one row.
    ///
    /// # Errors
    /// A score that is not finite, a row that does not fit the format, or the output fails.
    fn write(&mut self, row: &PredictionRow<'_>) -> Result<(), OutputError>;

    /// Hands on what is written so far, where the format can.
    ///
    /// # Errors
    /// The output fails.
    fn flush(&mut self) -> Result<(), OutputError>;

    /// Completes the output. A writer dropped without it leaves no file.
    ///
    /// # Errors
    /// The output fails.
    fn finish(self: Box<Self>) -> Result<(), OutputError>;
}

/// Writes embeddings.
pub trait EmbeddingWriter: Send {
    /// Writes one row of `hidden_size` numbers.
    ///
    /// # Errors
    /// The width is another than that of the writer, the id does not fit the format, or the output fails.
    fn write(&mut self, id: &str, embedding: &[f32]) -> Result<(), OutputError>;

    /// Completes the output. A writer dropped without it leaves no file.
    ///
    /// # Errors
    /// The output fails.
    fn finish(self: Box<Self>) -> Result<(), OutputError>;
}

/// Why output cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    #[error("cannot create {}", .path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("whoever read {} has stopped reading", .path.display())]
    ClosedPipe { path: PathBuf, source: io::Error },
    #[error("no space left for {}", .path.display())]
    DiskFull { path: PathBuf, source: io::Error },
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {message}", .path.display())]
    Encode { path: PathBuf, message: String },
    #[error("article `{id}`: {what} is {value}")]
    NotFinite { id: String, what: String, value: f64 },
    #[error("article `{id}`: expected {expected} {what}, found {found}")]
    Width { id: String, what: &'static str, expected: usize, found: usize },
    #[error("a label may not be called `{label}` in CSV, which has a column of that name; write JSON Lines or Parquet")]
    LabelName { label: String },
    #[error("label `{label}` holds the label separator `{separator}`; set another with --label-separator")]
    SeparatorInLabel { label: String, separator: String },
    #[error("article `{id}` has a column `{column}` that none of the first {n_rows} had; write JSON Lines")]
    NewColumn { id: String, column: String, n_rows: usize },
    #[error(
        "article `{id}`: column `{column}` holds {found}, but the first {n_rows} rows made it a column of {expected}; write JSON Lines"
    )]
    ColumnType { id: String, column: String, found: &'static str, expected: &'static str, n_rows: usize },
    #[error("the id `{}` has a line end in it, and .npy ids stand one a line; write .parquet or .safetensors", .id.escape_debug())]
    IdLineEnd { id: String },
    #[error("{} cannot be written to a stream, its size stands in front; name a file", .path.display())]
    NotSeekable { path: PathBuf },
    #[error("the ids of {n_rows} articles do not fit into the header of {}, which holds {limit_bytes} bytes; write .npy or .parquet", .path.display())]
    TooManyIds { path: PathBuf, n_rows: usize, limit_bytes: usize },
    #[error("cannot tell the format of {}; known endings are {known}; otherwise pass --output-format", .path.display())]
    UnknownFormat { path: PathBuf, known: &'static str },
    #[error("{}: {format} cannot be packed", .path.display())]
    Compressed { path: PathBuf, format: &'static str },
    #[error("{}: this program was built without Parquet; build it with `--features parquet`", .path.display())]
    ParquetFeature { path: PathBuf },
}

impl OutputError {
    pub(super) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::BrokenPipe => OutputError::ClosedPipe { path, source },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                OutputError::DiskFull { path, source }
            }
            _ => OutputError::Write { path, source },
        }
    }

    /// Whether the reader of a pipe went away, which is no error of ours.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, OutputError::ClosedPipe { .. })
    }
}

/// A format of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PredictionFormat {
    Jsonl,
    Csv,
    Tsv,
    Parquet,
}

/// A format of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingFormat {
    Npy,
    Safetensors,
    Parquet,
    Jsonl,
}

impl PredictionFormat {
    const KNOWN: &'static str = ".jsonl .ndjson .json .csv .tsv .parquet, the text forms also with .gz or .zst";

    /// The format that the ending promises; JSON Lines on standard output.
    ///
    /// # Errors
    /// [`OutputError::UnknownFormat`].
    pub fn from_target(target: &Target) -> Result<Self, OutputError> {
        let path = match target {
            Target::Stdout => return Ok(PredictionFormat::Jsonl),
            Target::File(path) => path,
        };
        match ending(path).as_str() {
            "jsonl" | "ndjson" | "json" => Ok(PredictionFormat::Jsonl),
            "csv" => Ok(PredictionFormat::Csv),
            "tsv" => Ok(PredictionFormat::Tsv),
            "parquet" => Ok(PredictionFormat::Parquet),
            _ => Err(OutputError::UnknownFormat { path: path.clone(), known: Self::KNOWN }),
        }
    }
}

impl EmbeddingFormat {
    const KNOWN: &'static str = ".npy .safetensors .parquet .jsonl .ndjson, the last two also with .gz or .zst";

    /// The format that the ending promises; JSON Lines on standard output.
    ///
    /// # Errors
    /// [`OutputError::UnknownFormat`].
    pub fn from_target(target: &Target) -> Result<Self, OutputError> {
        let path = match target {
            Target::Stdout => return Ok(EmbeddingFormat::Jsonl),
            Target::File(path) => path,
        };
        match ending(path).as_str() {
            "npy" => Ok(EmbeddingFormat::Npy),
            "safetensors" => Ok(EmbeddingFormat::Safetensors),
            "parquet" => Ok(EmbeddingFormat::Parquet),
            "jsonl" | "ndjson" | "json" => Ok(EmbeddingFormat::Jsonl),
            _ => Err(OutputError::UnknownFormat { path: path.clone(), known: Self::KNOWN }),
        }
    }
}

/// A format's name that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown format `{found}`; known are {known}")]
pub struct UnknownFormatName {
    pub found: String,
    pub known: &'static str,
}

impl FromStr for PredictionFormat {
    type Err = UnknownFormatName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "jsonl" => Ok(PredictionFormat::Jsonl),
            "csv" => Ok(PredictionFormat::Csv),
            "tsv" => Ok(PredictionFormat::Tsv),
            "parquet" => Ok(PredictionFormat::Parquet),
            _ => Err(UnknownFormatName { found: name.to_owned(), known: "jsonl, csv, tsv, parquet" }),
        }
    }
}

impl FromStr for EmbeddingFormat {
    type Err = UnknownFormatName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "npy" => Ok(EmbeddingFormat::Npy),
            "safetensors" => Ok(EmbeddingFormat::Safetensors),
            "parquet" => Ok(EmbeddingFormat::Parquet),
            "jsonl" => Ok(EmbeddingFormat::Jsonl),
            _ => Err(UnknownFormatName { found: name.to_owned(), known: "npy, safetensors, parquet, jsonl" }),
        }
    }
}

impl fmt::Display for PredictionFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PredictionFormat::Jsonl => "jsonl",
            PredictionFormat::Csv => "csv",
            PredictionFormat::Tsv => "tsv",
            PredictionFormat::Parquet => "parquet",
        })
    }
}

impl fmt::Display for EmbeddingFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EmbeddingFormat::Npy => "npy",
            EmbeddingFormat::Safetensors => "safetensors",
            EmbeddingFormat::Parquet => "parquet",
            EmbeddingFormat::Jsonl => "jsonl",
        })
    }
}

/// Opens an output for predictions of these labels; `separator` joins the labels of a CSV cell.
///
/// # Errors
/// The output cannot be created, or the labels do not fit the format.
pub fn prediction_writer(
    target: &Target,
    format: PredictionFormat,
    labels: &[String],
    separator: &str,
) -> Result<Box<dyn PredictionWriter>, OutputError> {
    let compression = Compression::from_target(target);
    match format {
        PredictionFormat::Jsonl => {
            Ok(Box::new(JsonlPredictions::new(OutputFile::create(target, compression)?, labels)))
        }
        PredictionFormat::Csv | PredictionFormat::Tsv => {
            let delimiter = if format == PredictionFormat::Csv { b',' } else { b'\t' };
            let output = OutputFile::create(target, compression)?;
            Ok(Box::new(CsvPredictions::new(output, delimiter, labels, separator)?))
        }
        #[cfg(feature = "parquet")]
        PredictionFormat::Parquet => Ok(Box::new(ParquetPredictions::new(plain(target, "Parquet")?, labels))),
        #[cfg(not(feature = "parquet"))]
        PredictionFormat::Parquet => Err(OutputError::ParquetFeature { path: target.path().to_path_buf() }),
    }
}

/// Opens an output for embeddings of this width.
///
/// # Errors
/// The output cannot be created, or `.npy` was to go to a stream.
pub fn embedding_writer(
    target: &Target,
    format: EmbeddingFormat,
    hidden_size: usize,
) -> Result<Box<dyn EmbeddingWriter>, OutputError> {
    match format {
        EmbeddingFormat::Npy => Ok(Box::new(NpyEmbeddings::create(target, hidden_size)?)),
        EmbeddingFormat::Safetensors => Ok(Box::new(SafetensorsEmbeddings::create(target, hidden_size)?)),
        EmbeddingFormat::Jsonl => {
            let output = OutputFile::create(target, Compression::from_target(target))?;
            Ok(Box::new(JsonlEmbeddings::new(output, hidden_size)))
        }
        #[cfg(feature = "parquet")]
        EmbeddingFormat::Parquet => Ok(Box::new(ParquetEmbeddings::new(plain(target, "Parquet")?, hidden_size)?)),
        #[cfg(not(feature = "parquet"))]
        EmbeddingFormat::Parquet => Err(OutputError::ParquetFeature { path: target.path().to_path_buf() }),
    }
}

/// Opens an output of a format that is not packed as a whole.
fn plain(target: &Target, format: &'static str) -> Result<OutputFile, OutputError> {
    match Compression::from_target(target) {
        Compression::None => OutputFile::create(target, Compression::None),
        _ => Err(OutputError::Compressed { path: target.path().to_path_buf(), format }),
    }
}

fn ending(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    name.rsplit_once('.').map_or_else(String::new, |(_, ending)| ending.to_owned())
}

/// Refuses rows that have another number of scores than there are labels, or a score that is no number.
fn check_scores(row: &PredictionRow<'_>, labels: &[String]) -> Result<(), OutputError> {
    let (expected, found) = (labels.len(), row.scores.len());
    if expected != found {
        return Err(OutputError::Width { id: row.id.to_owned(), what: "scores", expected, found });
    }
    match row.scores.iter().zip(labels).find(|(score, _)| !score.is_finite()) {
        Some((&value, label)) => {
            Err(OutputError::NotFinite { id: row.id.to_owned(), what: format!("the probability of `{label}`"), value })
        }
        None => Ok(()),
    }
}

/// Status, candidates and reason of an article before the columns that pass through, of which those of the same names get another.
///
/// `candidates` is a list, or text where the format has no lists.
pub fn with_review(status: &str, candidates: Value, reason: String, extra: &Map<String, Value>) -> Map<String, Value> {
    let ours = [("status", status.into()), ("review", candidates), ("reason", reason.into())];
    let is_ours = |name: &str| ours.iter().any(|(own, _)| *own == name);
    let passed = extra.iter().map(|(name, value)| {
        let shown = if is_ours(name) {
            column_name(name, |name| is_ours(name) || extra.contains_key(name))
        } else {
            name.clone()
        };
        (shown, value.clone())
    });
    let passed: Vec<_> = passed.collect();
    ours.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(passed).collect()
}

fn check_width(id: &str, embedding: &[f32], hidden_size: usize) -> Result<(), OutputError> {
    if embedding.len() == hidden_size {
        return Ok(());
    }
    Err(OutputError::Width { id: id.to_owned(), what: "numbers", expected: hidden_size, found: embedding.len() })
}

/// A probability with [`SCORE_DIGITS`] significant decimals.
fn rounded(score: f64) -> f64 {
    format!("{score:.*e}", SCORE_DIGITS - 1).parse().expect("a float is read as it was printed")
}

/// The name that a column that passes through has in the output.
fn column_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut name = name.to_owned();
    while is_taken(&name) {
        name.insert_str(0, COLLISION_PREFIX);
    }
    name
}
