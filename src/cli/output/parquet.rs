//! Parquet: typed columns, Snappy-packed, in row groups of bounded size.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Float64Array, Int64Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder, StructArray,
};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Map, Value};

use super::file::error_at;
use super::{EmbeddingWriter, OutputError, OutputFile, PredictionRow, PredictionWriter};
use super::{check_scores, check_width, column_name};

/// Rows that are gathered before they are written; of the first so many the types of the columns are learnt.
const BATCH_ROWS: usize = 4096;

/// A row group ends at whichever comes first. The writer holds one in memory.
const ROW_GROUP_ROWS: usize = 128 * 1024;
const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;

/// Predictions with `id`, `labels` (list of strings), `scores` (a struct with one double per label) and the columns that
/// pass through.
///
/// Each of these has the type of its values in the first rows: booleans, 64-bit integers, doubles (also integers and
/// doubles mixed) or strings. Where kinds are mixed, and for lists and objects, the column holds strings, in which what
/// is not a string stands as JSON.
pub struct ParquetPredictions {
    path: PathBuf,
    output: Option<OutputFile>,
    labels: Vec<String>,
    rows: Vec<Row>,
    writer: Option<ArrowWriter<OutputFile>>,
    columns: Vec<Column>,
    schema: Arc<Schema>,
}

struct Row {
    id: String,
    labels: Vec<String>,
    scores: Vec<f64>,
    extra: Map<String, Value>,
}

/// A column that passes through.
struct Column {
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Float,
    Text,
}

impl ParquetPredictions {
    /// Scores of `labels` go to `output`.
    pub fn new(output: OutputFile, labels: &[String]) -> Self {
        Self {
            path: output.path().to_path_buf(),
            output: Some(output),
            labels: labels.to_vec(),
            rows: Vec::new(),
            writer: None,
            columns: Vec::new(),
            schema: Arc::new(Schema::empty()),
        }
    }

    fn write_batch(&mut self) -> Result<(), OutputError> {
        let rows = std::mem::take(&mut self.rows);
        if let Some(output) = self.output.take() {
            self.columns = columns(&rows);
            self.schema = Arc::new(schema(&self.labels, &self.columns));
            self.writer = Some(open(output, &self.schema)?);
        }
        let batch = self.batch(&rows)?;
        let writer = self.writer.as_mut().expect("opened with the first batch");
        writer.write(&batch).map_err(|error| error_at(&self.path, error))
    }

    fn batch(&self, rows: &[Row]) -> Result<RecordBatch, OutputError> {
        let ids = StringArray::from_iter_values(rows.iter().map(|row| &row.id));
        let mut labels = ListBuilder::new(StringBuilder::new()).with_field(item());
        for row in rows {
            row.labels.iter().for_each(|label| labels.values().append_value(label));
            labels.append(true);
        }
        let score = |label_idx: usize| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.scores[label_idx])))
        };
        let scores = (0..self.labels.len()).map(score).collect();
        let scores = StructArray::try_new(score_fields(&self.labels), scores, None);
        let scores = scores.map_err(|error| error_at(&self.path, error))?;
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(labels.finish()), Arc::new(scores)];
        for column in &self.columns {
            arrays.push(column.array(rows)?);
        }
        let known: HashSet<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        for row in rows {
            if let Some(name) = row.extra.keys().find(|name| !known.contains(name.as_str())) {
                let (id, column) = (row.id.clone(), name.clone());
                return Err(OutputError::NewColumn { id, column, n_rows: BATCH_ROWS });
            }
        }
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(|error| error_at(&self.path, error))
    }
}

impl PredictionWriter for ParquetPredictions {
    fn write(&mut self, row: &PredictionRow<'_>) -> Result<(), OutputError> {
        check_scores(row, &self.labels)?;
        self.rows.push(Row {
            id: row.id.to_owned(),
            labels: row.labels.to_vec(),
            scores: row.scores.to_vec(),
            extra: row.extra.clone(),
        });
        if self.rows.len() == BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    /// Rows stay until their row group is full: Parquet cannot be read before it is complete.
    fn flush(&mut self) -> Result<(), OutputError> {
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), OutputError> {
        if !self.rows.is_empty() || self.writer.is_none() {
            self.write_batch()?;
        }
        let writer = self.writer.take().expect("opened with the first batch");
        close(writer, &self.path)
    }
}

/// Embeddings with `id` and `embedding`, a list of `hidden_size` 32-bit floats.
pub struct ParquetEmbeddings {
    path: PathBuf,
    writer: ArrowWriter<OutputFile>,
    schema: Arc<Schema>,
    /// `hidden_size`, as Arrow counts.
    width: i32,
    ids: Vec<String>,
    numbers: Vec<f32>,
}

impl ParquetEmbeddings {
    /// Rows of `hidden_size` numbers go to `output`.
    ///
    /// # Errors
    /// The width is beyond what a column can hold.
    pub fn new(output: OutputFile, hidden_size: usize) -> Result<Self, OutputError> {
        let path = output.path().to_path_buf();
        let width = i32::try_from(hidden_size).map_err(|error| error_at(&path, error))?;
        let embedding = DataType::FixedSizeList(number(), width);
        let fields = vec![Field::new("id", DataType::Utf8, false), Field::new("embedding", embedding, false)];
        let schema = Arc::new(Schema::new(fields));
        let writer = open(output, &schema)?;
        Ok(Self { path, writer, schema, width, ids: Vec::new(), numbers: Vec::new() })
    }

    fn write_batch(&mut self) -> Result<(), OutputError> {
        let numbers = Float32Array::from(std::mem::take(&mut self.numbers));
        let ids = StringArray::from(std::mem::take(&mut self.ids));
        let batch = FixedSizeListArray::try_new(number(), self.width, Arc::new(numbers), None).and_then(|embeddings| {
            RecordBatch::try_new(self.schema.clone(), vec![Arc::new(ids), Arc::new(embeddings)])
        });
        let batch = batch.map_err(|error| error_at(&self.path, error))?;
        self.writer.write(&batch).map_err(|error| error_at(&self.path, error))
    }
}

impl EmbeddingWriter for ParquetEmbeddings {
    fn write(&mut self, id: &str, embedding: &[f32]) -> Result<(), OutputError> {
        check_width(id, embedding, usize::try_from(self.width).expect("made from a usize"))?;
        self.ids.push(id.to_owned());
        self.numbers.extend_from_slice(embedding);
        if self.ids.len() == BATCH_ROWS { self.write_batch() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), OutputError> {
        if !self.ids.is_empty() {
            self.write_batch()?;
        }
        close(self.writer, &self.path)
    }
}

fn open(output: OutputFile, schema: &Arc<Schema>) -> Result<ArrowWriter<OutputFile>, OutputError> {
    let path = output.path().to_path_buf();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .build();
    ArrowWriter::try_new(output, schema.clone(), Some(properties)).map_err(|error| error_at(&path, error))
}

fn close(writer: ArrowWriter<OutputFile>, path: &std::path::Path) -> Result<(), OutputError> {
    writer.into_inner().map_err(|error| error_at(path, error))?.finish()
}

fn item() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Utf8, false))
}

fn number() -> Arc<Field> {
    Arc::new(Field::new_list_field(DataType::Float32, false))
}

fn score_fields(labels: &[String]) -> Fields {
    labels.iter().map(|label| Field::new(label, DataType::Float64, false)).collect()
}

fn schema(labels: &[String], columns: &[Column]) -> Schema {
    let mut fields = vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("labels", DataType::List(item()), false),
        Field::new("scores", DataType::Struct(score_fields(labels)), false),
    ];
    let is_ours = |name: &str| matches!(name, "id" | "labels" | "scores");
    for column in columns {
        let name = match is_ours(&column.name) {
            true => column_name(&column.name, |name| is_ours(name) || columns.iter().any(|other| other.name == name)),
            false => column.name.clone(),
        };
        fields.push(Field::new(name, column.kind.data_type(), true));
    }
    Schema::new(fields)
}

/// The columns that pass through, in the order in which they come up, each of the narrowest kind that holds it.
fn columns(rows: &[Row]) -> Vec<Column> {
    let mut columns: Vec<(String, Option<Kind>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in rows {
        for (name, value) in &row.extra {
            let place = *places.entry(name.clone()).or_insert_with(|| {
                columns.push((name.clone(), None));
                columns.len() - 1
            });
            let kind = &mut columns[place].1;
            *kind = match (*kind, Kind::of(value)) {
                (kind, None) | (None, kind) => kind,
                (Some(a), Some(b)) => Some(a.joined(b)),
            };
        }
    }
    columns.into_iter().map(|(name, kind)| Column { name, kind: kind.unwrap_or(Kind::Text) }).collect()
}

impl Kind {
    /// `None` for `null`, which every column holds.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Kind::Bool),
            Value::Number(number) if number.is_i64() => Some(Kind::Int),
            Value::Number(number) if number.is_f64() => Some(Kind::Float),
            _ => Some(Kind::Text),
        }
    }

    /// The kind that holds values of both. Integers and strings make strings.
    fn joined(self, other: Kind) -> Kind {
        match (self, other) {
            (a, b) if a == b => a,
            (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Kind::Float,
            _ => Kind::Text,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            Kind::Bool => DataType::Boolean,
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Text => DataType::Utf8,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Bool => "booleans",
            Kind::Int => "integers",
            Kind::Float => "numbers",
            Kind::Text => "strings",
        }
    }
}

impl Column {
    fn array(&self, rows: &[Row]) -> Result<ArrayRef, OutputError> {
        Ok(match self.kind {
            Kind::Bool => Arc::new(BooleanArray::from(self.values(rows, Value::as_bool)?)),
            Kind::Int => Arc::new(Int64Array::from(self.values(rows, Value::as_i64)?)),
            Kind::Float => Arc::new(Float64Array::from(self.values(rows, Value::as_f64)?)),
            Kind::Text => Arc::new(StringArray::from(self.values(rows, |value| Some(text(value)))?)),
        })
    }

    fn values<T>(&self, rows: &[Row], read: impl Fn(&Value) -> Option<T>) -> Result<Vec<Option<T>>, OutputError> {
        let value = |row: &Row| match row.extra.get(&self.name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| OutputError::ColumnType {
                id: row.id.clone(),
                column: self.name.clone(),
                found: Kind::of(value).map_or("null", Kind::name),
                expected: self.kind.name(),
                n_rows: BATCH_ROWS,
            }),
        };
        rows.iter().map(value).collect()
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
