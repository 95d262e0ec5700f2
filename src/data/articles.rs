//! Articles of several files, one after the other, in constant memory.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Article;
use super::error::{DataError, MAX_RAW_BYTES, Place, RowError, RowProblem};
use super::meter::Meter;
use super::options::{Format, ReadOptions};
use super::source::{FileRows, Input, Source, sources};

/// A condition that each article must meet, told where the article stands.
pub type Check = Box<dyn FnMut(&Article, &Place) -> Result<(), RowProblem> + Send>;

/// The row of an article as it stands in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// Of the file.
    pub format: Format,
    /// The header of CSV and TSV, without its line end or a byte-order mark.
    pub header: Option<Arc<[u8]>>,
    /// The row without its line end; of Parquet the row as JSON, of `.txt` the whole file.
    pub bytes: Vec<u8>,
}

/// Articles in the order of the inputs, read as they are asked for.
///
/// Of several files, folders and patterns each is read in alphabetical order. After a row error (see
/// [`DataError::is_row_error`]) the iterator goes on with the next row, after any other error it ends.
pub struct Articles {
    sources: VecDeque<Source>,
    current: Option<(Place, FileRows)>,
    meters: Vec<Meter>,
    checks: Vec<Check>,
    source_row: Option<SourceRow>,
    over: bool,
}

/// Opens all inputs and reads their headers, so that what is missing shows before the work begins.
///
/// # Errors
/// No input, no file, an unknown format, a missing column, an unreadable Parquet file. See [`DataError`].
///
/// # Example
/// ```no_run
/// use topicwire::data::{ReadOptions, read_articles};
/// for article in read_articles(&["news/*.jsonl.zst", "more.csv"], &ReadOptions::default())? {
///     println!("{}", article?.id);
/// }
/// # Ok::<(), topicwire::data::DataError>(())
/// ```
pub fn read_articles<I: Clone + Into<Input>>(inputs: &[I], options: &ReadOptions) -> Result<Articles, DataError> {
    let inputs: Vec<Input> = inputs.iter().cloned().map(Into::into).collect();
    let sources = VecDeque::from(sources(&inputs, options)?);
    let meters = sources.iter().map(|source| source.meter.clone()).collect();
    Ok(Articles { sources, current: None, meters, checks: Vec::new(), source_row: None, over: false })
}

impl Articles {
    /// Adds a condition; an article that fails it becomes a row error. Conditions run in the order in which they were
    /// added, until one fails.
    #[must_use]
    pub fn check(mut self, check: impl FnMut(&Article, &Place) -> Result<(), RowProblem> + Send + 'static) -> Self {
        self.checks.push(Box::new(check));
        self
    }

    /// Bytes read so far, as they lie on disk (compressed where they are).
    pub fn bytes_read(&self) -> u64 {
        self.meters.iter().map(Meter::bytes_read).sum()
    }

    /// Bytes of all inputs together, when all are plain files.
    pub fn total_bytes(&self) -> Option<u64> {
        self.meters.iter().map(|meter| meter.n_bytes).sum()
    }

    /// The row of the article that came last, once; `None` unless [`ReadOptions::keep_rows`] is set.
    pub fn take_source_row(&mut self) -> Option<SourceRow> {
        self.source_row.take()
    }

    fn read(&mut self) -> Result<Option<Article>, DataError> {
        loop {
            let (place, rows) = match &mut self.current {
                Some(current) => current,
                None => {
                    let Some(source) = self.sources.pop_front() else {
                        return Ok(None);
                    };
                    let place = Place { file: source.file.clone(), position: super::Position::File };
                    self.current.insert((place, source.rows()?))
                }
            };
            let Some(row) = rows.next() else {
                self.current = None;
                continue;
            };
            let located = row?;
            place.position = located.position;
            for check in &mut self.checks {
                if let Err(problem) = check(&located.article, place) {
                    let mut raw = article_row(&located.article).to_string().into_bytes();
                    raw.truncate(MAX_RAW_BYTES);
                    let (place, id) = (place.clone(), Some(located.article.id));
                    return Err(RowError { place, id, problem, raw }.into());
                }
            }
            self.source_row = located.source_row;
            return Ok(Some(located.article));
        }
    }
}

impl Iterator for Articles {
    type Item = Result<Article, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let row = self.read().transpose();
        self.over = row.as_ref().is_none_or(|row| row.as_ref().is_err_and(|error| !error.is_row_error()));
        row
    }
}

/// The article as a JSON Lines row, its columns by their default names.
pub fn article_row(article: &Article) -> Value {
    let Article { id, title, text, labels, extra } = article;
    let mut row = json!({ "id": id, "title": title, "text": text, "labels": labels });
    if let Value::Object(row) = &mut row {
        row.extend(extra.clone());
    }
    row
}
