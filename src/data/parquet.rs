//! Parquet: rows of the columns that hold ids, titles, texts and labels; the others pass through as JSON.
//!
//! Text columns may be strings (of any kind, dictionary or not) or bytes that are UTF-8; ids also integers; labels a
//! string or a list of strings or integers. Columns that pass through become JSON: dates and times ISO 8601 strings,
//! decimals and bytes strings (bytes in hexadecimal), NaN and infinities `null`, for JSON has no word for them.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;
use serde_json::{Map, Value};

use super::Article;
use super::columns::{Draft, Located, Origin, json_type, labels_from_json, utf8, wrong_type};
use super::error::{DataError, Position, RowProblem};
use super::meter::Meter;
use super::options::ReadOptions;

/// Rows decoded at a time. Small, since texts can be long and a batch is held in memory.
const BATCH_ROWS: usize = 256;

/// Rows of a Parquet file.
pub(super) struct ParquetRows {
    origin: Origin,
    roles: Roles,
    reader: ParquetRecordBatchReader,
    batch: Option<Batch>,
    row: u64,
    n_rows: u64,
    meter: Meter,
    over: bool,
}

/// Which column is what.
struct Roles {
    text: usize,
    id: Option<usize>,
    title: Option<usize>,
    labels: Option<usize>,
    label_column: String,
}

/// Decoded rows, of which `next` is the next to hand out.
struct Batch {
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    n_rows: usize,
    next: usize,
}

/// Reads Parquet from memory.
///
/// # Errors
/// Not a Parquet file, or without the columns that are needed; the iterator gives the errors of rows.
pub fn read_bytes(
    bytes: &[u8],
    options: &ReadOptions,
) -> Result<impl Iterator<Item = Result<Article, DataError>> + use<>, DataError> {
    let rows = ParquetRows::from_chunks(Origin::memory(options)?, Bytes::copy_from_slice(bytes), Meter::default())?;
    Ok(rows.map(|row| row.map(|located| located.article)))
}

impl ParquetRows {
    /// Reads the metadata; rows move the meter on by their share of the file.
    pub(super) fn open(origin: Origin, file: File, meter: Meter) -> Result<Self, DataError> {
        Self::from_chunks(origin, file, meter)
    }

    fn from_chunks(origin: Origin, chunks: impl ChunkReader + 'static, meter: Meter) -> Result<Self, DataError> {
        // Types as the Parquet schema has them: the Arrow schema that some writers embed could claim anything.
        let reader_options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let (reader, n_rows) = guarded(&origin, || {
            let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(chunks, reader_options)?;
            let n_rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
            Ok::<_, ParquetError>((builder.with_batch_size(BATCH_ROWS).build()?, n_rows))
        })?;
        let roles = Roles::find(&origin, &arrow::array::RecordBatchReader::schema(&reader))?;
        Ok(Self { origin, roles, reader, batch: None, row: 0, n_rows, meter, over: false })
    }

    fn read(&mut self) -> Result<Option<Located>, DataError> {
        loop {
            match &mut self.batch {
                Some(batch) if batch.next < batch.n_rows => {
                    let row_idx = batch.next;
                    batch.next += 1;
                    self.row += 1;
                    return row(&self.origin, &self.roles, batch, row_idx, self.row).map(Some);
                }
                _ => {
                    let reader = &mut self.reader;
                    let Some(batch) = guarded(&self.origin, || reader.next().transpose())? else {
                        return Ok(None);
                    };
                    self.batch = Some(Batch::new(&self.origin, batch)?);
                    self.meter.set_share(self.row, self.n_rows);
                }
            }
        }
    }
}

impl Iterator for ParquetRows {
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

/// Runs the decoder. On damaged files it gives errors, but in some places it panics, which outside data must not do here.
fn guarded<T, E: std::fmt::Display>(origin: &Origin, decode: impl FnOnce() -> Result<T, E>) -> Result<T, DataError> {
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    let message = match outcome {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the decoder gave up on damaged data".to_owned(),
    };
    Err(DataError::Parquet { path: origin.file.to_path_buf(), message })
}

impl Roles {
    fn find(origin: &Origin, schema: &SchemaRef) -> Result<Self, DataError> {
        let columns = &origin.options.columns;
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut seen = std::collections::HashMap::new();
        for (column_idx, name) in names.iter().enumerate() {
            if let Some(first_idx) = seen.insert(name.as_str(), column_idx) {
                let (path, column) = (origin.file.to_path_buf(), name.clone());
                let (first, second): (usize, usize) = (first_idx + 1, column_idx + 1);
                return Err(DataError::DuplicateColumn { path, column, first, second });
            }
        }
        let label_column = columns.labels(|name| seen.contains_key(name));
        let find = |role: &'static str, column: &str, is_needed: bool, kind: Kind| {
            let Some(&column_idx) = seen.get(column) else {
                let (path, column, found) = (origin.file.to_path_buf(), column.to_owned(), names.clone());
                let error = DataError::MissingColumn { path, role, column, found, hint: String::new() };
                return if is_needed { Err(error) } else { Ok(None) };
            };
            let data_type = schema.field(column_idx).data_type();
            if kind.takes(data_type) {
                return Ok(Some(column_idx));
            }
            let (path, column) = (origin.file.to_path_buf(), column.to_owned());
            Err(DataError::ColumnType { path, column, expected: kind.expected(), found: data_type.to_string() })
        };
        let text = find("text", columns.text(), true, Kind::Text)?.expect("a needed column is found or an error");
        let id = find("id", columns.id(), columns.id.is_some(), Kind::Id)?;
        let title = find("title", columns.title(), columns.title.is_some(), Kind::Text)?;
        let labels = find("label", label_column, columns.labels.is_some(), Kind::Labels)?;
        let is_free = |column_idx: &usize| *column_idx != text;
        Ok(Self {
            text,
            id: id.filter(is_free),
            title: title.filter(is_free).filter(|column_idx| Some(*column_idx) != id),
            labels: labels.filter(is_free).filter(|column_idx| ![id, title].contains(&Some(*column_idx))),
            label_column: label_column.to_owned(),
        })
    }

    fn is_extra(&self, column_idx: usize) -> bool {
        column_idx != self.text && ![self.id, self.title, self.labels].contains(&Some(column_idx))
    }
}

/// What a column must hold.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Id,
    Labels,
}

impl Kind {
    fn expected(self) -> &'static str {
        match self {
            Kind::Text => "strings",
            Kind::Id => "strings or integers",
            Kind::Labels => "strings, integers or lists of them",
        }
    }

    /// A column of nothing but nulls has the type `Null`; its rows say what is missing.
    fn takes(self, data_type: &DataType) -> bool {
        use DataType::{Binary, Dictionary, LargeBinary, LargeList, LargeUtf8, List, Null, Utf8, Utf8View};
        match (self, data_type) {
            (_, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | Null) => true,
            (_, Dictionary(_, values)) => self.takes(values),
            (Kind::Id | Kind::Labels, other) if other.is_integer() => true,
            (Kind::Labels, DataType::Boolean) => true,
            (Kind::Labels, List(item) | LargeList(item)) => {
                let item = item.data_type();
                matches!(item, Utf8 | LargeUtf8 | Utf8View | Null | DataType::Boolean) || item.is_integer()
            }
            _ => false,
        }
    }
}

impl Batch {
    fn new(origin: &Origin, batch: RecordBatch) -> Result<Self, DataError> {
        let columns = batch.columns().iter().map(plain).collect::<Result<_, _>>();
        let columns = columns.map_err(|error: ArrowError| DataError::Parquet {
            path: origin.file.to_path_buf(),
            message: error.to_string(),
        })?;
        Ok(Self { schema: batch.schema(), columns, n_rows: batch.num_rows(), next: 0 })
    }
}

/// The column with few types left: dictionaries unfolded, strings `Utf8`, bytes `Binary`, integers 64 bits wide.
fn plain(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let target = match column.data_type() {
        DataType::Dictionary(_, values) => return plain(&cast(column, values)?),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        signed if signed.is_signed_integer() => DataType::Int64,
        unsigned if unsigned.is_unsigned_integer() => DataType::UInt64,
        _ => return Ok(Arc::clone(column)),
    };
    cast(column, &target)
}

fn row(origin: &Origin, roles: &Roles, batch: &Batch, row_idx: usize, row: u64) -> Result<Located, DataError> {
    let position = Position::Row(row);
    let mut draft = Draft::default();
    match fill(origin, roles, batch, row_idx, &mut draft) {
        Ok(()) => origin.article(position, row, draft, Vec::new(), || raw(batch, row_idx)),
        Err(problem) => Err(origin.row_error(position, draft.id, problem, &raw(batch, row_idx))),
    }
}

fn fill(origin: &Origin, roles: &Roles, batch: &Batch, row_idx: usize, draft: &mut Draft) -> Result<(), RowProblem> {
    let options = &origin.options;
    let limit_bytes = options.max_row_bytes;
    if let Some(column_idx) = roles.id {
        draft.id = match scalar(&batch.columns[column_idx], row_idx, "the id")? {
            Value::Null => None,
            Value::String(id) => Some(id),
            other => Some(other.to_string()),
        };
    }
    match scalar(&batch.columns[roles.text], row_idx, "the text")? {
        Value::String(text) if text.len() > limit_bytes => return Err(RowProblem::TooLong { limit_bytes }),
        Value::String(text) => draft.text = Some(text),
        other => return Err(wrong_type(options.columns.text(), "a string", json_type(&other))),
    }
    if let Some(column_idx) = roles.title
        && let Value::String(title) = scalar(&batch.columns[column_idx], row_idx, "the title")?
    {
        draft.title = Some(title);
    }
    if let Some(column_idx) = roles.labels {
        let labels = scalar(&batch.columns[column_idx], row_idx, "the labels")?;
        draft.labels = labels_from_json(&roles.label_column, labels, &options.label_separator)?;
    }
    draft.extra = entries(batch, row_idx, |column_idx| roles.is_extra(column_idx));
    Ok(())
}

/// The row as JSON, for the rejects file.
fn raw(batch: &Batch, row_idx: usize) -> Vec<u8> {
    Value::Object(entries(batch, row_idx, |_| true)).to_string().into_bytes()
}

fn entries(batch: &Batch, row_idx: usize, is_wanted: impl Fn(usize) -> bool) -> Map<String, Value> {
    let fields = batch.schema.fields().iter().zip(&batch.columns).enumerate();
    let wanted = fields.filter(|(column_idx, _)| is_wanted(*column_idx));
    wanted.map(|(_, (field, column))| (field.name().clone(), json(column, row_idx))).collect()
}

/// A value whose bytes, where it has some, must be UTF-8.
fn scalar(column: &ArrayRef, row_idx: usize, what: &'static str) -> Result<Value, RowProblem> {
    if column.data_type() == &DataType::Binary && column.is_valid(row_idx) {
        return utf8(column.as_binary::<i32>().value(row_idx), what).map(|text| Value::String(text.to_owned()));
    }
    Ok(json(column, row_idx))
}

/// A value as JSON.
fn json(column: &ArrayRef, row_idx: usize) -> Value {
    if column.is_null(row_idx) || column.data_type() == &DataType::Null {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row_idx)),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row_idx).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row_idx).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row_idx).into(),
        DataType::List(_) => list(&column.as_list::<i32>().value(row_idx)),
        DataType::LargeList(_) => list(&column.as_list::<i64>().value(row_idx)),
        DataType::FixedSizeList(..) => list(&column.as_fixed_size_list().value(row_idx)),
        DataType::Struct(fields) => {
            let values = fields.iter().zip(column.as_struct().columns());
            Value::Object(values.map(|(field, column)| (field.name().clone(), nested(column, row_idx))).collect())
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row_idx);
            let (keys, values) = (entries.column(0), entries.column(1));
            Value::Object((0..entries.len()).map(|i| (shown(keys, i), nested(values, i))).collect())
        }
        // The shortest decimal of a 32-bit float, not the long one of the double next to it.
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            shown(column, row_idx).parse::<f64>().map_or(Value::Null, Value::from)
        }
        _ => shown(column, row_idx).into(),
    }
}

fn list(items: &ArrayRef) -> Value {
    Value::Array((0..items.len()).map(|item_idx| nested(items, item_idx)).collect())
}

/// A value of a column inside another, whose types [`plain`] has not seen.
fn nested(column: &ArrayRef, row_idx: usize) -> Value {
    match plain(&column.slice(row_idx, 1)) {
        Ok(value) => json(&value, 0),
        Err(_) => shown(column, row_idx).into(),
    }
}

/// How Arrow prints the value; it prints every type that Parquet has.
fn shown(column: &ArrayRef, row_idx: usize) -> String {
    let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default());
    formatter.and_then(|formatter| formatter.value(row_idx).try_to_string()).unwrap_or_default()
}
