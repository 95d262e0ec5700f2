//! CSV and TSV with a header. Empty lines are skipped, as RFC 4180 readers do.
//!
//! The splitting into fields is our own, because a classifier must not swallow rows: readers such as the `csv` crate
//! take everything behind a quote that is never closed as one field, without a word. Here such a row, and a row in which
//! a quote stands undoubled inside quotes, is an error that says where the quote was opened; reading goes on with the
//! next line. On well-formed input both agree, which a test checks.

use std::collections::HashMap;
use std::io::BufRead;

use serde_json::Value;

use super::Article;
use super::columns::{Draft, Located, Origin, labels_from_str, utf8};
use super::error::{DataError, Position, RowProblem};
use super::lines::{Appended, Lines, without_bom, without_line_end};
use super::options::{Format, Quoting, ReadOptions};

/// How many times `max_row_bytes` may be read again in search of rows behind quotes that are never closed. Each such
/// quote costs a scan up to the limit; a file made of them would otherwise take quadratic time.
const MAX_REREADS: usize = 16;

/// Capacity that the buffers may keep from one row to the next.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// Rows of a CSV or TSV file.
pub(super) struct CsvRows<R> {
    origin: Origin,
    records: Records<R>,
    header: Vec<String>,
    roles: Vec<Role>,
    row: u64,
    over: bool,
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Id,
    Title,
    Text,
    Labels,
    Extra,
}

/// Reads CSV or TSV from memory.
///
/// # Errors
/// Settings under which nothing can be read, or a header that does not serve; the iterator gives the errors of rows.
///
/// ```
/// use topicwire::data::{Format, ReadOptions, csv};
/// let csv = b"id,text,labels\n7,gas flows,energy|trade\n";
/// let rows: Vec<_> = csv::read_bytes(csv, Format::Csv, &ReadOptions::default())?.collect();
/// assert_eq!(rows[0].as_ref().unwrap().labels, Some(vec!["energy".into(), "trade".into()]));
/// # Ok::<(), topicwire::data::DataError>(())
/// ```
pub fn read_bytes<'a>(
    bytes: &'a [u8],
    format: Format,
    options: &ReadOptions,
) -> Result<impl Iterator<Item = Result<Article, DataError>> + use<'a>, DataError> {
    let rows = CsvRows::open(Origin::memory(options)?, format, bytes)?;
    Ok(rows.map(|row| row.map(|located| located.article)))
}

impl<R: BufRead> CsvRows<R> {
    /// Reads the header. An empty file has no header and no rows.
    pub(super) fn open(mut origin: Origin, format: Format, reader: R) -> Result<Self, DataError> {
        let options = &origin.options;
        let mut records = Records::new(reader, options.delimiter_byte(format), options.quoting, options.max_row_bytes);
        let path = origin.file.to_path_buf();
        let header = match records.next(&origin)? {
            None => Vec::new(),
            Some(Record { problem: Some(problem), .. }) => return Err(DataError::Header { path, problem }),
            Some(Record { .. }) => {
                let fields = records.fields().map(|field| utf8(field, "the header").map(|name| name.trim().to_owned()));
                fields.collect::<Result<_, _>>().map_err(|problem| DataError::Header { path, problem })?
            }
        };
        if origin.options.keep_rows {
            origin.header = Some(without_line_end(&records.raw).into());
        }
        let roles = if header.is_empty() { Vec::new() } else { roles(&origin, &header)? };
        Ok(Self { origin, records, header, roles, row: 0, over: false })
    }

    fn read(&mut self) -> Result<Option<Located>, DataError> {
        let Some(Record { line, problem }) = self.records.next(&self.origin)? else {
            return Ok(None);
        };
        self.row += 1;
        let position = Position::Line(line);
        let raw = without_line_end(&self.records.raw);
        let mut draft = Draft::default();
        let outcome = match problem {
            Some(problem) => Err(problem),
            None => self.fill(&mut draft),
        };
        match outcome {
            Err(problem) => Err(self.origin.row_error(position, draft.id, problem, raw)),
            Ok(()) => self.origin.article(position, self.row, draft, Vec::new(), || raw.to_vec()).map(Some),
        }
    }

    fn fill(&self, draft: &mut Draft) -> Result<(), RowProblem> {
        let found = self.records.ends.len();
        if found != self.header.len() {
            return Err(RowProblem::FieldCount { expected: self.header.len(), found });
        }
        // The whole row first, so that the byte in the message is the one an editor finds.
        utf8(without_line_end(&self.records.raw), "the row")?;
        let mut problem = None;
        for ((field, name), role) in self.records.fields().zip(&self.header).zip(&self.roles) {
            let field = utf8(field, "the field")?;
            match role {
                Role::Id => draft.id = Some(field.to_owned()),
                Role::Title => draft.title = Some(field.to_owned()),
                Role::Text => draft.text = Some(field.to_owned()),
                Role::Labels => match labels_from_str(field, &self.origin.options.label_separator) {
                    Ok(labels) => draft.labels = Some(labels),
                    Err(error) => problem = Some(error),
                },
                Role::Extra => {
                    draft.extra.insert(name.clone(), Value::String(field.to_owned()));
                }
            }
        }
        problem.map_or(Ok(()), Err)
    }
}

impl<R: BufRead> Iterator for CsvRows<R> {
    type Item = Result<Located, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over || self.header.is_empty() {
            return None;
        }
        let row = self.read().transpose();
        self.over = row.as_ref().is_none_or(|row| row.as_ref().is_err_and(|error| !error.is_row_error()));
        row
    }
}

fn roles(origin: &Origin, header: &[String]) -> Result<Vec<Role>, DataError> {
    let path = || origin.file.to_path_buf();
    let columns = &origin.options.columns;
    let mut seen = HashMap::new();
    for (column_idx, name) in header.iter().enumerate() {
        if let Some(first_idx) = seen.insert(name.as_str(), column_idx) {
            let (first, second) = (first_idx + 1, column_idx + 1);
            return Err(DataError::DuplicateColumn { path: path(), column: name.clone(), first, second });
        }
    }
    let label_column = columns.labels(|name| seen.contains_key(name));
    for (role, column, is_needed) in [
        ("text", columns.text(), true),
        ("id", columns.id(), columns.id.is_some()),
        ("title", columns.title(), columns.title.is_some()),
        ("label", label_column, columns.labels.is_some()),
    ] {
        if is_needed && !seen.contains_key(column) {
            let (column, found) = (column.to_owned(), header.to_vec());
            return Err(DataError::MissingColumn { path: path(), role, column, found, hint: delimiter_hint(header) });
        }
    }
    let role = |name: &String| match name.as_str() {
        name if name == columns.text() => Role::Text,
        name if name == columns.id() => Role::Id,
        name if name == columns.title() => Role::Title,
        name if name == label_column => Role::Labels,
        _ => Role::Extra,
    };
    Ok(header.iter().map(role).collect())
}

/// What to say when the header is one column that holds another delimiter.
fn delimiter_hint(header: &[String]) -> String {
    let [only] = header else { return String::new() };
    let delimiter = [';', '\t', ','].into_iter().find(|&delimiter| only.contains(delimiter));
    delimiter.map(|d| format!(" (the columns seem to be separated by {d:?}; set --delimiter)")).unwrap_or_default()
}

/// One record: its first line, and what is wrong with it.
struct Record {
    line: u64,
    problem: Option<RowProblem>,
}

/// Splits input into records and those into fields.
struct Records<R> {
    lines: Lines<R>,
    delimiter: u8,
    quoting: Quoting,
    limit_bytes: usize,
    /// The record as it stands in the file.
    raw: Vec<u8>,
    /// The contents of its fields, one behind the other, and where each ends.
    contents: Vec<u8>,
    ends: Vec<usize>,
    /// Lines read so far.
    line: u64,
    reread_bytes: usize,
}

/// Where the splitter stands between two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    /// Behind a quote that was opened at this byte of the record.
    Quoted {
        opened: usize,
    },
    /// Behind the quote that closes a field, which was opened at this byte.
    Closed {
        opened: usize,
    },
}

impl<R: BufRead> Records<R> {
    fn new(reader: R, delimiter: u8, quoting: Quoting, limit_bytes: usize) -> Self {
        Self {
            lines: Lines::new(reader),
            delimiter,
            quoting,
            limit_bytes,
            raw: Vec::new(),
            contents: Vec::new(),
            ends: Vec::new(),
            line: 0,
            reread_bytes: 0,
        }
    }

    /// The fields of the last record.
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.contents[start..end])
    }

    /// Reads the next record that is not an empty line.
    fn next(&mut self, origin: &Origin) -> Result<Option<Record>, DataError> {
        loop {
            self.clear();
            match self.append_line(origin)? {
                Appended::End => return Ok(None),
                Appended::Cut => {
                    self.lines.skip_line().map_err(|source| origin.read_error(self.line, source))?;
                    let problem = Some(RowProblem::TooLong { limit_bytes: self.limit_bytes });
                    return Ok(Some(Record { line: self.line, problem }));
                }
                Appended::Line => {}
            }
            if self.line == 1 {
                let n_bom_bytes = self.raw.len() - without_bom(&self.raw).len();
                self.raw.drain(..n_bom_bytes);
            }
            if !without_line_end(&self.raw).is_empty() {
                return self.split(origin).map(Some);
            }
        }
    }

    fn clear(&mut self) {
        for buffer in [&mut self.raw, &mut self.contents] {
            buffer.clear();
            buffer.shrink_to(KEPT_BUFFER_BYTES);
        }
        self.ends.clear();
    }

    fn append_line(&mut self, origin: &Origin) -> Result<Appended, DataError> {
        let appended = self.lines.append(&mut self.raw, self.limit_bytes);
        let appended = appended.map_err(|source| origin.read_error(self.line, source))?;
        self.line += u64::from(appended != Appended::End);
        Ok(appended)
    }

    /// Splits the record that begins with the line in `raw`, with as many lines more as its quotes span.
    fn split(&mut self, origin: &Origin) -> Result<Record, DataError> {
        let line = self.line;
        let first_line_bytes = self.raw.len();
        let mut state = State::FieldStart;
        let mut at = 0;
        let problem = loop {
            match self.scan(&mut state, &mut at) {
                Scan::Done => return Ok(Record { line, problem: None }),
                Scan::Stray { quote, opened } => {
                    let (stray_line, column) = self.locate(line, quote);
                    let (opened_line, opened_column) = self.locate(line, opened);
                    break RowProblem::StrayQuote { line: stray_line, column, opened_line, opened_column };
                }
                Scan::MoreLines { opened } => {
                    let appended =
                        if self.raw.len() > self.limit_bytes { Appended::Cut } else { self.append_line(origin)? };
                    if appended != Appended::Line {
                        let (line, column) = self.locate(line, opened);
                        break RowProblem::OpenQuote { line, column };
                    }
                }
            }
        };
        // Only the first line is given up; what follows it is read again, for the row may have ended there.
        self.reread_bytes += self.raw.len() - first_line_bytes;
        if self.reread_bytes > MAX_REREADS.saturating_mul(self.limit_bytes) {
            return Err(DataError::HopelessQuotes { path: origin.file.to_path_buf(), line });
        }
        self.lines.unread(&self.raw[first_line_bytes..]);
        self.raw.truncate(first_line_bytes);
        self.line = line;
        Ok(Record { line, problem: Some(problem) })
    }

    /// Goes on through `raw` from byte `at`.
    fn scan(&mut self, state: &mut State, at: &mut usize) -> Scan {
        let Self { raw, contents, ends, delimiter, quoting, .. } = self;
        loop {
            let rest = &raw[*at..];
            match *state {
                State::FieldStart if rest.first() == Some(&b'"') && *quoting == Quoting::Double => {
                    *state = State::Quoted { opened: *at };
                    *at += 1;
                }
                State::FieldStart => *state = State::Unquoted,
                State::Unquoted => {
                    let line_end = rest.len() - without_line_end(rest).len();
                    match memchr::memchr(*delimiter, rest) {
                        Some(n_bytes) => {
                            contents.extend_from_slice(&rest[..n_bytes]);
                            ends.push(contents.len());
                            *at += n_bytes + 1;
                            *state = State::FieldStart;
                        }
                        None => {
                            contents.extend_from_slice(&rest[..rest.len() - line_end]);
                            ends.push(contents.len());
                            return Scan::Done;
                        }
                    }
                }
                State::Quoted { opened } => match memchr::memchr(b'"', rest) {
                    Some(n_bytes) => {
                        contents.extend_from_slice(&rest[..n_bytes]);
                        *at += n_bytes + 1;
                        *state = State::Closed { opened };
                    }
                    None => {
                        contents.extend_from_slice(rest);
                        *at = raw.len();
                        return Scan::MoreLines { opened };
                    }
                },
                State::Closed { opened } => match rest.first() {
                    Some(b'"') => {
                        contents.push(b'"');
                        *at += 1;
                        *state = State::Quoted { opened };
                    }
                    Some(byte) if byte == delimiter => {
                        ends.push(contents.len());
                        *at += 1;
                        *state = State::FieldStart;
                    }
                    _ if without_line_end(rest).is_empty() => {
                        ends.push(contents.len());
                        return Scan::Done;
                    }
                    _ => return Scan::Stray { quote: *at - 1, opened },
                },
            }
        }
    }

    /// Line and column (both from 1) of a byte of the record.
    fn locate(&self, first_line: u64, byte: usize) -> (u64, usize) {
        let before = &self.raw[..byte];
        let n_lines = memchr::memchr_iter(b'\n', before).count() as u64;
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        (first_line + n_lines, byte - line_start + 1)
    }
}

/// Why [`Records::scan`] stopped.
enum Scan {
    Done,
    /// The record ends inside quotes.
    MoreLines {
        opened: usize,
    },
    /// A byte other than a delimiter or line end follows the quote at `quote`.
    Stray {
        quote: usize,
        opened: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All records, or `None` when there is a problem.
    fn split(bytes: &[u8]) -> Option<Vec<Vec<Vec<u8>>>> {
        let origin = Origin::memory(&ReadOptions::default()).unwrap();
        let mut records = Records::new(bytes, b',', Quoting::Double, 1 << 20);
        let mut all = Vec::new();
        while let Some(record) = records.next(&origin).unwrap() {
            if record.problem.is_some() {
                return None;
            }
            all.push(records.fields().map(<[u8]>::to_vec).collect());
        }
        Some(all)
    }

    proptest! {
        /// Where we find no fault, the `csv` crate finds the same fields.
        #[test]
        fn fields_agree_with_the_csv_crate(text in r#"([ab,"\n]|"",|,""|"\n|\n"|\r\n){0,30}"#) {
            if let Some(ours) = split(text.as_bytes()) {
                let mut reader = ::csv::ReaderBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .from_reader(text.as_bytes());
                let theirs: Vec<Vec<Vec<u8>>> = reader
                    .byte_records()
                    .map(|record| record.unwrap().iter().map(<[u8]>::to_vec).collect())
                    .collect();
                prop_assert_eq!(ours, theirs);
            }
        }

        /// What the `csv` crate writes, we read.
        #[test]
        fn what_the_csv_crate_writes_is_read_back(
            rows in prop::collection::vec(prop::collection::vec(r#"[a,"\r\n é]{0,6}"#, 2..3), 1..6)
        ) {
            let mut writer = ::csv::Writer::from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let bytes = writer.into_inner().unwrap();
            let expected: Vec<Vec<Vec<u8>>> =
                rows.into_iter().map(|row| row.into_iter().map(String::into_bytes).collect()).collect();
            prop_assert_eq!(split(&bytes), Some(expected));
        }
    }
}
