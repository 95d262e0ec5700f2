//! What other programs read: rows and columns of every output format.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use ndarray::Array2;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{DONE, ENCODER, FAILED, Place, articles, rows};

/// A row of predictions in Parquet.
pub struct Predicted {
    pub id: String,
    pub labels: Vec<String>,
    pub scores: Vec<f64>,
}

fn batches(path: &Path) -> Vec<arrow::record_batch::RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}

pub fn predictions_of_parquet(path: &Path) -> Vec<Predicted> {
    let mut rows = Vec::new();
    for batch in batches(path) {
        let ids = batch.column_by_name("id").unwrap().as_string::<i32>();
        let labels = batch.column_by_name("labels").unwrap().as_list::<i32>();
        let scores = batch.column_by_name("scores").unwrap().as_struct();
        for i in 0..batch.num_rows() {
            let names = labels.value(i);
            rows.push(Predicted {
                id: ids.value(i).to_owned(),
                labels: names.as_string::<i32>().iter().map(|name| name.unwrap().to_owned()).collect(),
                scores: scores.columns().iter().map(|column| column.as_primitive::<Float64Type>().value(i)).collect(),
            });
        }
    }
    rows
}

#[test]
fn predictions_are_the_same_in_every_format() {
    let place = Place::with_model();
    let extra: String =
        articles(5).lines().map(|row| row.replacen('{', "{\"source\":\"Post, The\",", 1) + "\n").collect();
    place.write("news.jsonl", extra);
    let predict = |name: &str| place.run(&["predict", "model", "news.jsonl", "-o", name]).expect(DONE);
    let to_stdout = place.run(&["predict", "model", "news.jsonl"]).expect(DONE);
    let expected = rows(to_stdout.out());
    assert_eq!(expected.len(), 5);
    assert_eq!(expected[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "labels", "scores", "source"]);

    assert!(predict("out.jsonl").stdout.is_empty(), "data goes to the file alone");
    assert_eq!(place.read("out.jsonl"), to_stdout.stdout);
    predict("out.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&place.read("out.jsonl.gz")[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, to_stdout.out());
    predict("out.jsonl.zst");
    assert_eq!(zstd::decode_all(&place.read("out.jsonl.zst")[..]).unwrap(), to_stdout.stdout);

    for (name, delimiter) in [("out.csv", b','), ("out.tsv", b'\t')] {
        predict(name);
        let bytes = place.read(name);
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(&bytes[..]);
        assert_eq!(reader.headers().unwrap(), vec!["id", "labels", "defense", "trade", "source"], "{name}");
        let table: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
        assert_eq!(table.len(), expected.len());
        for (found, expected) in table.iter().zip(&expected) {
            assert_eq!(found[0], *expected["id"].as_str().unwrap());
            let labels: Vec<&str> =
                expected["labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
            assert_eq!(found[1], labels.join("|"));
            assert_eq!(found[2].parse::<f64>().unwrap(), expected["scores"]["defense"].as_f64().unwrap());
            assert_eq!(&found[4], "Post, The");
        }
    }

    predict("out.parquet");
    let found = predictions_of_parquet(&place.path("out.parquet"));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.id, expected["id"].as_str().unwrap());
        assert_eq!(serde_json::json!(found.labels), expected["labels"]);
        // Text has six significant decimals.
        assert!((found.scores[1] - expected["scores"]["trade"].as_f64().unwrap()).abs() < 1e-6);
    }
    let batch = &batches(&place.path("out.parquet"))[0];
    let names: Vec<&str> = batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "labels", "scores", "source"]);
}

#[test]
fn the_separator_of_labels_is_used_in_csv_cells() {
    let place = Place::with_model();
    let args =
        ["predict", "model", "train.jsonl", "--threshold", "0", "--output-format", "csv", "--label-separator", ";"];
    let run = place.run(&args).expect(DONE);
    let cell = run.out().lines().nth(1).unwrap().split(',').nth(1).unwrap();
    assert!(cell == "trade;defense" || cell == "defense;trade", "{cell}");
}

#[test]
fn embeddings_are_the_same_in_every_format() {
    let place = Place::new();
    place.write("news.jsonl", articles(70));
    let embed = |args: &[&str]| place.run(&[&["embed", "news.jsonl", "--encoder", ENCODER], args].concat());
    let to_stdout = embed(&[]).expect(DONE);
    let expected = rows(to_stdout.out());
    assert_eq!(expected.len(), 70);
    let ids: Vec<String> = expected.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    let numbers: Vec<f32> = expected
        .iter()
        .flat_map(|row| row["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32))
        .collect();
    let expected = Array2::from_shape_vec((70, 24), numbers).unwrap();

    embed(&["-o", "e.npy"]).expect(DONE);
    let found: Array2<f32> = ndarray_npy::read_npy(place.path("e.npy")).unwrap();
    assert_eq!(found, expected);
    assert_eq!(place.read_text("e.npy.ids").lines().collect::<Vec<_>>(), ids);

    embed(&["-o", "e.safetensors"]).expect(DONE);
    let bytes = place.read("e.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("embeddings").unwrap().shape(), [70, 24]);
    let raw: Vec<u8> = expected.iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(tensors.tensor("embeddings").unwrap().data(), raw);

    embed(&["-o", "e.parquet"]).expect(DONE);
    let mut n_rows = 0;
    for batch in batches(&place.path("e.parquet")) {
        let column = batch.column_by_name("embedding").unwrap();
        assert!(matches!(column.data_type(), DataType::FixedSizeList(_, 24)), "{:?}", column.data_type());
        let values = column.as_fixed_size_list().values().as_primitive::<Float32Type>();
        let rows = expected.slice(ndarray::s![n_rows..n_rows + batch.num_rows(), ..]);
        assert!(values.values().iter().eq(rows.iter()));
        n_rows += batch.num_rows();
    }
    assert_eq!(n_rows, 70);

    let mut names = place.names();
    names.retain(|name| name.starts_with("e."));
    assert_eq!(names, ["e.npy", "e.npy.ids", "e.parquet", "e.safetensors"], "nothing else is left behind");
    embed(&["--output-format", "npy"]).expect(FAILED).says("name a file");
}
