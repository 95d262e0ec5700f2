//! Malformed input of every kind, round trips, and where files come from.

mod malformed;
mod properties;
mod rejects;
mod sources;
mod targets;

use super::{Article, DataError, Format, ReadOptions, csv, fasttext, jsonl, txt};

/// Reads bytes in memory; an error of the whole file is the only item.
fn read(format: Format, bytes: &[u8], options: &ReadOptions) -> Vec<Result<Article, DataError>> {
    let rows: Result<Vec<_>, DataError> = match format {
        Format::Jsonl => jsonl::read_bytes(bytes, options).map(Iterator::collect),
        Format::Csv | Format::Tsv => csv::read_bytes(bytes, format, options).map(Iterator::collect),
        Format::FastText => fasttext::read_bytes(bytes, options).map(Iterator::collect),
        Format::Txt => Ok(vec![txt::read_bytes(bytes, options)]),
        #[cfg(feature = "parquet")]
        Format::Parquet => super::parquet::read_bytes(bytes, options).map(Iterator::collect),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => panic!("tests of Parquet need the feature"),
    };
    rows.unwrap_or_else(|error| vec![Err(error)])
}

/// Texts of the rows that are good, messages of those that are not.
fn outline(rows: Vec<Result<Article, DataError>>) -> Vec<Result<String, String>> {
    rows.into_iter().map(|row| row.map(|article| article.text).map_err(|error| error.to_string())).collect()
}

/// A Parquet file of these columns.
#[cfg(feature = "parquet")]
fn parquet_bytes(columns: Vec<(&str, arrow::array::ArrayRef)>) -> Vec<u8> {
    let batch = arrow::array::RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}
