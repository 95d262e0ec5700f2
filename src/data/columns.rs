//! From the columns of one row to an [`Article`]: what is shared by all formats.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Article;
use super::articles::SourceRow;
use super::error::{DataError, MAX_RAW_BYTES, Place, Position, RowError, RowProblem};
use super::options::{Format, ReadOptions};

/// The file that rows come from, and how it is read.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) file: Arc<Path>,
    pub(super) options: Arc<ReadOptions>,
    /// Stands before row numbers that serve as ids, so that they differ between files.
    pub(super) id_prefix: Option<String>,
    pub(super) compressed: bool,
    pub(super) format: Format,
    /// The first line of CSV and TSV as it stands in the file, where rows are kept.
    pub(super) header: Option<Arc<[u8]>>,
}

/// The columns of one row, each where it belongs.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) id: Option<String>,
    pub(super) title: Option<String>,
    pub(super) text: Option<String>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) extra: Map<String, Value>,
}

/// An article and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Located {
    pub(super) position: Position,
    pub(super) article: Article,
    /// Where rows are kept.
    pub(super) source_row: Option<SourceRow>,
}

impl Origin {
    /// An origin for bytes in memory.
    pub(super) fn memory(options: &ReadOptions) -> Result<Self, DataError> {
        options.validate()?;
        Ok(Self {
            file: Arc::from(Path::new("memory")),
            options: Arc::new(options.clone()),
            id_prefix: None,
            compressed: false,
            format: Format::Jsonl,
            header: None,
        })
    }

    /// An error of the row at `position`.
    pub(super) fn row_error(
        &self,
        position: Position,
        id: Option<String>,
        problem: RowProblem,
        raw: &[u8],
    ) -> DataError {
        let raw = raw[..raw.len().min(MAX_RAW_BYTES)].to_vec();
        RowError { place: Place { file: self.file.clone(), position }, id, problem, raw }.into()
    }

    /// An error of the file itself; `line` is the last one that was read.
    pub(super) fn read_error(&self, line: u64, source: io::Error) -> DataError {
        let path = self.file.to_path_buf();
        // Decompressors make up their errors; those of the system carry its number.
        if self.compressed && source.raw_os_error().is_none() {
            DataError::Decompress { path, line, source }
        } else {
            DataError::Read { path, line, source }
        }
    }

    /// The article of a row, its `row`th (from 1) in this file; `columns_found` is for the message when the text is missing.
    pub(super) fn article(
        &self,
        position: Position,
        row: u64,
        draft: Draft,
        columns_found: Vec<String>,
        raw: impl FnOnce() -> Vec<u8>,
    ) -> Result<Located, DataError> {
        let columns = &self.options.columns;
        let Draft { id, title, text, labels, extra } = draft;
        let id = id.filter(|id| !id.trim().is_empty());
        let problem = match (&id, &text) {
            (None, _) if columns.id.is_some() => RowProblem::MissingId { column: columns.id().to_owned() },
            (_, None) => RowProblem::MissingText { column: columns.text().to_owned(), found: columns_found },
            (_, Some(text)) if text.trim().is_empty() => RowProblem::EmptyText,
            (_, Some(_)) => {
                let article = Article {
                    id: id.unwrap_or_else(|| self.row_id(row)),
                    title: title.filter(|title| !title.trim().is_empty()),
                    text: text.unwrap_or_default(),
                    labels,
                    extra,
                };
                let source_row = self.options.keep_rows.then(|| SourceRow {
                    format: self.format,
                    header: self.header.clone(),
                    bytes: raw(),
                });
                return Ok(Located { position, article, source_row });
            }
        };
        Err(self.row_error(position, id, problem, &raw()))
    }

    fn row_id(&self, row: u64) -> String {
        match &self.id_prefix {
            Some(prefix) => format!("{prefix}:{row}"),
            None => row.to_string(),
        }
    }
}

/// The bytes as text, or where they stop being UTF-8.
pub(super) fn utf8<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, RowProblem> {
    std::str::from_utf8(bytes).map_err(|error| RowProblem::InvalidUtf8 {
        byte: error.valid_up_to() + 1,
        what,
        looks_like_utf16: bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF"),
    })
}

/// The labels in a JSON value: a list, or a string, number or boolean that is split or stands for itself; `null` means
/// that they are not known.
pub(super) fn labels_from_json(column: &str, value: Value, separator: &str) -> Result<Option<Vec<String>>, RowProblem> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => labels_from_str(&text, separator).map(Some),
        Value::Array(values) => labels_from_list(values).map(Some),
        Value::Number(number) => Ok(Some(vec![number.to_string()])),
        Value::Bool(value) => Ok(Some(vec![value.to_string()])),
        Value::Object(_) => {
            Err(wrong_type(column, "a list of strings or a string", json_type(&Value::Object(Map::new()))))
        }
    }
}

/// The labels in a string: a JSON list when it is one, else pieces between separators.
pub(super) fn labels_from_str(text: &str, separator: &str) -> Result<Vec<String>, RowProblem> {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        if let Ok(values) = serde_json::from_str(text) {
            return labels_from_list(values);
        }
        // `['a', 'b']` is how Python prints a list; taken as text it would become one odd label.
        if inner.trim_start().starts_with(['\'', '"']) {
            return Err(RowProblem::LabelList { found: text.to_owned() });
        }
    }
    Ok(distinct(text.split(separator)))
}

/// The labels in a list of strings, numbers or booleans.
pub(super) fn labels_from_list(values: Vec<Value>) -> Result<Vec<String>, RowProblem> {
    let names = values.into_iter().enumerate().map(|(label_idx, value)| match value {
        Value::String(name) => Ok(name),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        other => Err(RowProblem::LabelType { label_idx, found: json_type(&other) }),
    });
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    Ok(distinct(names.iter().map(String::as_str)))
}

/// The names trimmed, without empty ones, each only once, in the order in which they come.
pub(super) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    names.map(str::trim).filter(|name| !name.is_empty() && seen.insert(*name)).map(str::to_owned).collect()
}

/// What kind of JSON value this is, for a message.
pub(super) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

pub(super) fn wrong_type(column: &str, expected: &'static str, found: impl Into<String>) -> RowProblem {
    RowProblem::WrongType { column: column.to_owned(), expected, found: found.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_of_every_shape() {
        let read = |value: Value| labels_from_json("labels", value, "|");
        for (value, expected) in [
            (json!(null), None),
            (json!([]), Some(vec![])),
            (json!(""), Some(vec![])),
            (json!(" | "), Some(vec![])),
            (json!("a"), Some(vec!["a"])),
            (json!("b| a |b||"), Some(vec!["b", "a"])),
            (json!(["b", " a ", "b", ""]), Some(vec!["b", "a"])),
            (json!(["x|y"]), Some(vec!["x|y"])),
            (json!(r#"["x|y", "z"]"#), Some(vec!["x|y", "z"])),
            (json!("[]"), Some(vec![])),
            (json!("[sic]"), Some(vec!["[sic]"])),
            (json!([1, 2.5, true]), Some(vec!["1", "2.5", "true"])),
            (json!(3), Some(vec!["3"])),
            (json!(false), Some(vec!["false"])),
        ] {
            let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(read(value.clone()), Ok(expected), "{value}");
        }
        for (value, message) in [
            (json!({"a": 1}), "`labels` should be a list of strings or a string, found an object"),
            (json!(["a", null]), "label 2 is null, expected a string"),
            (json!([["a"]]), "label 1 is a list, expected a string"),
            (
                json!("['a', 'b']"),
                "the labels `['a', 'b']` look like a list but are not JSON; write them as [\"a\", \"b\"] or split them with --label-separator",
            ),
        ] {
            assert_eq!(read(value.clone()).unwrap_err().to_string(), message, "{value}");
        }
    }
}
