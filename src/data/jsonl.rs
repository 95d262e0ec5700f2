//! JSON Lines: one object a line. Blank lines are skipped.
//!
//! `\u0000` in a text is legal JSON and is kept; tokenizers drop control characters. Numbers in columns that pass
//! through keep 64 bits: a longer integer or decimal comes out as the nearest double.

use std::fmt;
use std::io::BufRead;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::Article;
use super::columns::{Draft, Located, Origin, json_type, labels_from_json, utf8, wrong_type};
use super::error::{DataError, Position, RowProblem};
use super::lines::{Appended, Lines, without_bom, without_line_end};
use super::options::ReadOptions;

/// Capacity that the line buffer may keep from one row to the next; a giant line does not occupy memory for ever.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;

/// Rows of a JSON Lines file.
pub(super) struct JsonlRows<R> {
    origin: Origin,
    lines: Lines<R>,
    buffer: Vec<u8>,
    line: u64,
    row: u64,
    over: bool,
}

/// Reads JSON Lines from memory.
///
/// # Errors
/// Settings under which nothing can be read; the iterator gives the errors of rows.
///
/// ```
/// use topicwire::data::{ReadOptions, jsonl};
/// let rows: Vec<_> = jsonl::read_bytes(br#"{"text": "gas flows"}"#, &ReadOptions::default())?.collect();
/// assert_eq!(rows[0].as_ref().unwrap().text, "gas flows");
/// # Ok::<(), topicwire::data::DataError>(())
/// ```
pub fn read_bytes<'a>(
    bytes: &'a [u8],
    options: &ReadOptions,
) -> Result<impl Iterator<Item = Result<Article, DataError>> + use<'a>, DataError> {
    let rows = JsonlRows::new(Origin::memory(options)?, bytes);
    Ok(rows.map(|row| row.map(|located| located.article)))
}

impl<R: BufRead> JsonlRows<R> {
    pub(super) fn new(origin: Origin, reader: R) -> Self {
        Self { origin, lines: Lines::new(reader), buffer: Vec::new(), line: 0, row: 0, over: false }
    }

    fn read(&mut self) -> Result<Option<Located>, DataError> {
        let limit_bytes = self.origin.options.max_row_bytes;
        loop {
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_BUFFER_BYTES);
            let appended = self.lines.append(&mut self.buffer, limit_bytes);
            let appended = appended.map_err(|source| self.origin.read_error(self.line, source))?;
            if appended == Appended::End {
                return Ok(None);
            }
            self.line += 1;
            let line = without_line_end(&self.buffer);
            let line = if self.line == 1 { without_bom(line) } else { line };
            if appended == Appended::Line && line.trim_ascii().is_empty() {
                continue;
            }
            self.row += 1;
            let position = Position::Line(self.line);
            if appended == Appended::Cut {
                let error = self.origin.row_error(position, None, RowProblem::TooLong { limit_bytes }, line);
                self.lines.skip_line().map_err(|source| self.origin.read_error(self.line, source))?;
                return Err(error);
            }
            return parse(&self.origin, position, self.row, line).map(Some);
        }
    }
}

impl<R: BufRead> Iterator for JsonlRows<R> {
    type Item = Result<Located, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let row = self.read().transpose();
        self.over = row.as_ref().is_none_or(|row| row.as_ref().is_err_and(|error| !error.is_row_error()));
        row
    }
}

fn parse(origin: &Origin, position: Position, row: u64, line: &[u8]) -> Result<Located, DataError> {
    let object = object(line).map_err(|problem| origin.row_error(position, None, problem, line))?;
    let has_text = object.contains_key(origin.options.columns.text());
    let columns_found = if has_text { Vec::new() } else { object.keys().cloned().collect() };
    let (draft, problem) = draft(origin, object);
    match problem {
        Some(problem) => Err(origin.row_error(position, draft.id, problem, line)),
        None => origin.article(position, row, draft, columns_found, || line.to_vec()),
    }
}

/// The object in a line.
pub(super) fn object(line: &[u8]) -> Result<Map<String, Value>, RowProblem> {
    let text = utf8(line, "the line")?;
    let broken = |error: serde_json::Error| {
        let message = error.to_string();
        let message = message.split_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        RowProblem::Json { column: error.column(), message: message.to_owned() }
    };
    if !text.trim_start().starts_with('{') {
        let value: Value = serde_json::from_str(text).map_err(broken)?;
        return Err(RowProblem::NotAnObject { found: json_type(&value) });
    }
    let object: Object = serde_json::from_str(text).map_err(broken)?;
    match object.repeated_key {
        Some(key) => Err(RowProblem::DuplicateKey { key }),
        None => Ok(object.entries),
    }
}

/// Sorts the entries by what they are for. With a problem, what was understood until then comes along.
fn draft(origin: &Origin, object: Map<String, Value>) -> (Draft, Option<RowProblem>) {
    let columns = &origin.options.columns;
    let label_column = columns.labels(|name| object.contains_key(name)).to_owned();
    let mut draft = Draft::default();
    let mut problem = None;
    for (key, value) in object {
        let outcome = if key == columns.text() {
            text(&key, value).map(|text| draft.text = Some(text))
        } else if key == columns.id() {
            id(&key, value).map(|id| draft.id = id)
        } else if key == columns.title() {
            title(&key, value).map(|title| draft.title = title)
        } else if key == label_column {
            labels_from_json(&key, value, &origin.options.label_separator).map(|labels| draft.labels = labels)
        } else {
            draft.extra.insert(key, value);
            Ok(())
        };
        problem = problem.or(outcome.err());
    }
    (draft, problem)
}

fn text(column: &str, value: Value) -> Result<String, RowProblem> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong_type(column, "a string", json_type(&other))),
    }
}

fn title(column: &str, value: Value) -> Result<Option<String>, RowProblem> {
    match value {
        Value::String(title) => Ok(Some(title)),
        Value::Null => Ok(None),
        other => Err(wrong_type(column, "a string", json_type(&other))),
    }
}

fn id(column: &str, value: Value) -> Result<Option<String>, RowProblem> {
    match value {
        Value::String(id) => Ok(Some(id)),
        Value::Number(id) => Ok(Some(id.to_string())),
        Value::Null => Ok(None),
        other => Err(wrong_type(column, "a string or a number", json_type(&other))),
    }
}

/// A JSON object that remembers a key that came twice; `serde_json::Map` would silently keep the last.
struct Object {
    entries: Map<String, Value>,
    repeated_key: Option<String>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object, A::Error> {
                let mut object = Object { entries: Map::new(), repeated_key: None };
                while let Some((key, value)) = access.next_entry::<String, Value>()? {
                    if object.entries.contains_key(&key) {
                        object.repeated_key.get_or_insert(key);
                    } else {
                        object.entries.insert(key, value);
                    }
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}
