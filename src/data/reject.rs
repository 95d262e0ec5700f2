//! What happens to bad rows: stop, or leave them out, keep them in a file and count them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

use super::Article;
use super::error::{DataError, RowError};

/// What to do about a row that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// End with its error.
    #[default]
    Stop,
    /// Leave it out, count it, and write it to the rejects where there are any.
    Skip,
}

/// A word that is neither `stop` nor `skip`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("expected `stop` or `skip`, found `{found}`")]
pub struct UnknownOnError {
    pub found: String,
}

impl FromStr for OnError {
    type Err = UnknownOnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "stop" => Ok(OnError::Stop),
            "skip" => Ok(OnError::Skip),
            _ => Err(UnknownOnError { found: text.to_owned() }),
        }
    }
}

/// Writes rejected rows as JSON Lines `{"file", "line", "id", "reason", "raw"}`.
///
/// `line` is the row's number where the format has no lines; `id` is `null` where it could not be read; `raw` is the row
/// as it stood in the file, cut to 64 KiB, with U+FFFD for what is not UTF-8.
pub struct RejectsWriter {
    path: PathBuf,
    writer: Box<dyn Write + Send>,
}

impl RejectsWriter {
    /// Creates the file, or empties it: rows rejected in an earlier run would mislead.
    ///
    /// # Errors
    /// [`DataError::Rejects`].
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, DataError> {
        let path = path.into();
        match File::create(&path) {
            Ok(file) => Ok(Self { path, writer: Box::new(BufWriter::new(file)) }),
            Err(source) => Err(DataError::Rejects { path, source }),
        }
    }

    /// Writes to anything; `name` stands for it in messages.
    pub fn new(name: impl Into<PathBuf>, writer: impl Write + Send + 'static) -> Self {
        Self { path: name.into(), writer: Box::new(writer) }
    }

    /// Writes one row through to the file, so that it is there even when the run is killed.
    ///
    /// # Errors
    /// [`DataError::Rejects`].
    pub fn write(&mut self, error: &RowError) -> Result<(), DataError> {
        let row = json!({
            "file": error.place.file.to_string_lossy(),
            "line": error.place.position.number(),
            "id": error.id,
            "reason": error.problem.to_string(),
            "raw": String::from_utf8_lossy(&error.raw),
        });
        let written = writeln!(self.writer, "{row}").and_then(|()| self.writer.flush());
        written.map_err(|source: io::Error| DataError::Rejects { path: self.path.clone(), source })
    }

    /// Where the rows go.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// How many rows came in and what became of them: `n_read = n_accepted + n_rejected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    pub n_read: u64,
    pub n_accepted: u64,
    pub n_rejected: u64,
}

/// Hears of each row that is left out.
type Listener = Box<dyn FnMut(&RowError) + Send>;

/// Articles of which the bad rows are dealt with.
///
/// With [`OnError::Stop`] the first error comes through and ends the iterator; with [`OnError::Skip`] only errors that
/// are not about one row do.
pub struct Rows<I> {
    inner: I,
    on_error: OnError,
    rejects: Option<RejectsWriter>,
    listener: Option<Listener>,
    counts: RowCounts,
    over: bool,
}

impl<I: Iterator<Item = Result<Article, DataError>>> Rows<I> {
    /// Deals with the errors of `inner`; `rejects` is where skipped rows go.
    pub fn new(inner: I, on_error: OnError, rejects: Option<RejectsWriter>) -> Self {
        Self { inner, on_error, rejects, listener: None, counts: RowCounts::default(), over: false }
    }

    /// Has each skipped row told to someone who can show it.
    #[must_use]
    pub fn on_reject(mut self, listener: impl FnMut(&RowError) + Send + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// The counts so far.
    pub fn counts(&self) -> RowCounts {
        self.counts
    }

    /// The iterator within, for instance to ask how many bytes it has read.
    pub fn inner(&self) -> &I {
        &self.inner
    }

    /// As [`Rows::inner`], to take something from it.
    pub fn inner_mut(&mut self) -> &mut I {
        &mut self.inner
    }

    fn skip(&mut self, error: &RowError) -> Result<(), DataError> {
        if let Some(listener) = &mut self.listener {
            listener(error);
        }
        self.rejects.as_mut().map_or(Ok(()), |rejects| rejects.write(error))
    }
}

impl<I: Iterator<Item = Result<Article, DataError>>> Iterator for Rows<I> {
    type Item = Result<Article, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            let error = match self.inner.next()? {
                Ok(article) => {
                    self.counts.n_read += 1;
                    self.counts.n_accepted += 1;
                    return Some(Ok(article));
                }
                Err(error) => error,
            };
            if let DataError::Row(row_error) = &error {
                self.counts.n_read += 1;
                self.counts.n_rejected += 1;
                if self.on_error == OnError::Skip {
                    match self.skip(row_error) {
                        Ok(()) => continue,
                        Err(error) => {
                            self.over = true;
                            return Some(Err(error));
                        }
                    }
                }
            }
            self.over = true;
            return Some(Err(error));
        }
        None
    }
}
