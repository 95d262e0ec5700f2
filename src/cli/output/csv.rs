//! CSV and TSV: `id`, `labels`, one column per label, and the columns that pass through.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::file::error_at;
use super::{OutputError, OutputFile, PredictionRow, PredictionWriter, check_scores, column_name, rounded};

/// Rows that are held back to learn which columns pass through: CSV names them in its first line, while rows of JSON
/// Lines may leave some out.
const HEADER_ROWS: usize = 1000;

/// Predictions as CSV or TSV, with a header, lines ended by `\n`, fields quoted where they need it.
pub struct CsvPredictions {
    path: PathBuf,
    records: csv::Writer<OutputFile>,
    labels: Vec<String>,
    separator: String,
    held_back: Vec<HeldBack>,
    /// Names of the columns that pass through, once the header is written.
    columns: Option<Vec<String>>,
}

struct HeldBack {
    fields: Vec<String>,
    id: String,
    extra: Map<String, Value>,
}

impl CsvPredictions {
    /// Scores of `labels` go to `output`; `separator` joins the labels of a cell.
    ///
    /// # Errors
    /// A label called `id` or `labels`, or one that holds the separator.
    pub fn new(output: OutputFile, delimiter: u8, labels: &[String], separator: &str) -> Result<Self, OutputError> {
        if let Some(label) = labels.iter().find(|label| is_fixed(label)) {
            return Err(OutputError::LabelName { label: label.clone() });
        }
        if let Some(label) = labels.iter().find(|label| label.contains(separator)) {
            return Err(OutputError::SeparatorInLabel { label: label.clone(), separator: separator.to_owned() });
        }
        Ok(Self {
            path: output.path().to_path_buf(),
            records: csv::WriterBuilder::new().delimiter(delimiter).from_writer(output),
            labels: labels.to_vec(),
            separator: separator.to_owned(),
            held_back: Vec::new(),
            columns: None,
        })
    }

    fn write_header(&mut self) -> Result<(), OutputError> {
        let mut columns: Vec<String> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for row in &self.held_back {
            for name in row.extra.keys() {
                if seen.insert(name.clone()) {
                    columns.push(name.clone());
                }
            }
        }
        let is_ours = |name: &str| is_fixed(name) || self.labels.iter().any(|label| label == name);
        let shown: Vec<String> = columns
            .iter()
            .map(|name| match is_ours(name) {
                true => column_name(name, |name| is_ours(name) || seen.contains(name)),
                false => name.clone(),
            })
            .collect();
        let fixed = ["id".to_owned(), "labels".to_owned()];
        let header: Vec<String> = fixed.into_iter().chain(self.labels.iter().cloned()).chain(shown).collect();
        self.write_record(&header)?;
        self.columns = Some(columns);
        for HeldBack { fields, id, extra } in std::mem::take(&mut self.held_back) {
            self.write_row(fields, &id, &extra)?;
        }
        Ok(())
    }

    /// Writes a row behind the header; `fields` are those before the columns that pass through.
    fn write_row(&mut self, mut fields: Vec<String>, id: &str, extra: &Map<String, Value>) -> Result<(), OutputError> {
        let columns = self.columns.as_ref().expect("the header comes before the rows");
        fields.extend(columns.iter().map(|name| extra.get(name).map(cell).unwrap_or_default()));
        // As many keys as cells filled means that none is without a column.
        let n_known = columns.iter().filter(|name| extra.contains_key(*name)).count();
        if n_known < extra.len() {
            let column = extra.keys().find(|name| !columns.contains(name)).expect("one is unknown").clone();
            return Err(OutputError::NewColumn { id: id.to_owned(), column, n_rows: HEADER_ROWS });
        }
        self.write_record(&fields)
    }

    fn write_record(&mut self, fields: &[String]) -> Result<(), OutputError> {
        self.records.write_record(fields).map_err(|error| error_at(&self.path, error))
    }
}

impl PredictionWriter for CsvPredictions {
    fn write(&mut self, row: &PredictionRow<'_>) -> Result<(), OutputError> {
        check_scores(row, &self.labels)?;
        let mut fields = vec![row.id.to_owned(), row.labels.join(&self.separator)];
        fields.extend(row.scores.iter().map(|&score| Value::from(rounded(score)).to_string()));
        if self.columns.is_some() {
            return self.write_row(fields, row.id, row.extra);
        }
        self.held_back.push(HeldBack { fields, id: row.id.to_owned(), extra: row.extra.clone() });
        if self.held_back.len() == HEADER_ROWS { self.write_header() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        self.records.flush().map_err(|source| OutputError::from_io(&self.path, source))
    }

    fn finish(mut self: Box<Self>) -> Result<(), OutputError> {
        if self.columns.is_none() {
            self.write_header()?;
        }
        let output = self.records.into_inner().map_err(|error| OutputError::from_io(&self.path, error.into_error()))?;
        output.finish()
    }
}

fn is_fixed(name: &str) -> bool {
    matches!(name, "id" | "labels")
}

/// A value in a cell: strings as they are, `null` empty, the rest as JSON.
fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
