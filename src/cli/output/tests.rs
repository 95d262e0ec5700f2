//! What is written is what other readers find, and nothing half-written is left.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::*;

const LABELS: [&str; 2] = ["trade", "energy"];

fn labels() -> Vec<String> {
    LABELS.map(str::to_owned).to_vec()
}

fn extra(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn predict(target: &Target, rows: &[(&str, &[&str], [f64; 2], Value)]) -> Result<(), OutputError> {
    let format = PredictionFormat::from_target(target)?;
    let mut writer = prediction_writer(target, format, &labels(), "|")?;
    for (id, assigned, scores, columns) in rows {
        let assigned: Vec<String> = assigned.iter().map(|&name| name.to_owned()).collect();
        let extra = extra(columns.clone());
        writer.write(&PredictionRow { id, labels: &assigned, scores, evidence: None, extra: &extra })?;
    }
    writer.finish()
}

fn embed(target: &Target, rows: &[(&str, [f32; 2])]) -> Result<(), OutputError> {
    let mut writer = embedding_writer(target, EmbeddingFormat::from_target(target)?, 2)?;
    rows.iter().try_for_each(|(id, embedding)| writer.write(id, embedding))?;
    writer.finish()
}

fn rows() -> Vec<(&'static str, &'static [&'static str], [f64; 2], Value)> {
    vec![
        ("1", &["trade", "energy"], [0.123_456_789, 1.0], json!({ "date": "2024-01-01", "n": 3, "scores": [1] })),
        ("a,\"b\"", &[], [1e-12, 0.0], json!({ "n": null, "note": "x\ny" })),
    ]
}

#[test]
fn jsonl_predictions() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("p.jsonl");
    predict(&Target::new(&path), &rows()).unwrap();
    let expected = concat!(
        r#"{"id":"1","labels":["trade","energy"],"scores":{"trade":0.123457,"energy":1.0},"date":"2024-01-01","n":3,"input_scores":[1]}"#,
        "\n",
        r#"{"id":"a,\"b\"","labels":[],"scores":{"trade":1e-12,"energy":0.0},"n":null,"note":"x\ny"}"#,
        "\n"
    );
    assert_eq!(fs::read_to_string(path).unwrap(), expected);
}

#[test]
fn csv_predictions() {
    let folder = TempDir::new().unwrap();
    for (name, d) in [("p.csv", ","), ("p.tsv", "\t")] {
        let path = folder.path().join(name);
        predict(&Target::new(&path), &rows()).unwrap();
        let quoted_id = "\"a,\"\"b\"\"\"";
        let expected = [
            ["id", "labels", "trade", "energy", "date", "n", "scores", "note"].join(d),
            ["1", "trade|energy", "0.123457", "1.0", "2024-01-01", "3", "[1]", ""].join(d),
            [quoted_id, "", "1e-12", "0.0", "", "", "", "\"x\ny\""].join(d),
        ];
        assert_eq!(fs::read_to_string(path).unwrap(), expected.join("\n") + "\n", "{name}");
    }
}

#[test]
fn csv_without_rows_has_a_header() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("p.csv");
    predict(&Target::new(&path), &[]).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "id,labels,trade,energy\n");
}

#[test]
fn what_csv_cannot_say_is_an_error() {
    let sink = || OutputFile::from_writer("memory", io::sink());
    let refuse = |labels: &[&str]| {
        let labels: Vec<String> = labels.iter().map(|&name| name.to_owned()).collect();
        CsvPredictions::new(sink(), b',', &labels, "|").err().map(|error| error.to_string())
    };
    assert_eq!(
        refuse(&["a", "id"]).as_deref(),
        Some("a label may not be called `id` in CSV, which has a column of that name; write JSON Lines or Parquet")
    );
    assert_eq!(
        refuse(&["a|b"]).as_deref(),
        Some("label `a|b` holds the label separator `|`; set another with --label-separator")
    );
    let mut writer = CsvPredictions::new(sink(), b',', &labels(), "|").unwrap();
    let (known, new) = (extra(json!({ "a": 1 })), extra(json!({ "b": 1 })));
    for _ in 0..1000 {
        writer
            .write(&PredictionRow { id: "x", labels: &[], scores: &[0.5, 0.5], evidence: None, extra: &known })
            .unwrap();
    }
    let error = writer
        .write(&PredictionRow { id: "y", labels: &[], scores: &[0.5, 0.5], evidence: None, extra: &new })
        .unwrap_err();
    assert_eq!(error.to_string(), "article `y` has a column `b` that none of the first 1000 had; write JSON Lines");
}

#[test]
fn scores_must_be_numbers_and_as_many_as_labels() {
    for format in [PredictionFormat::Jsonl, PredictionFormat::Csv] {
        let folder = TempDir::new().unwrap();
        let target = Target::new(folder.path().join("p"));
        let mut writer = prediction_writer(&target, format, &labels(), "|").unwrap();
        let extra = Map::new();
        let row = |scores| PredictionRow { id: "x", labels: &[], scores, evidence: None, extra: &extra };
        let message = writer.write(&row(&[0.5, f64::NAN])).unwrap_err().to_string();
        assert_eq!(message, "article `x`: the probability of `energy` is NaN");
        let message = writer.write(&row(&[0.5])).unwrap_err().to_string();
        assert_eq!(message, "article `x`: expected 2 scores, found 1");
    }
}

#[test]
fn packed_output_is_told_by_the_ending() {
    let folder = TempDir::new().unwrap();
    let unpacked = folder.path().join("p.jsonl");
    predict(&Target::new(&unpacked), &rows()).unwrap();
    let expected = fs::read(unpacked).unwrap();
    let gz = folder.path().join("p.jsonl.gz");
    predict(&Target::new(&gz), &rows()).unwrap();
    let mut found = Vec::new();
    flate2::read::GzDecoder::new(&fs::read(gz).unwrap()[..]).read_to_end(&mut found).unwrap();
    assert_eq!(found, expected);
    let zst = folder.path().join("p.jsonl.zst");
    predict(&Target::new(&zst), &rows()).unwrap();
    assert_eq!(zstd::decode_all(&fs::read(zst).unwrap()[..]).unwrap(), expected);

    let npy = Target::new(folder.path().join("e.npy.gz"));
    assert!(embed(&npy, &[]).unwrap_err().to_string().ends_with("e.npy.gz: .npy cannot be packed"));
}

#[test]
fn npy_is_what_ndarray_reads() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("e.npy");
    for rows in [&[][..], &[("a", [1.0, -2.5]), ("b é", [f32::MIN_POSITIVE, f32::MAX])]] {
        embed(&Target::new(&path), rows).unwrap();
        let found: ndarray::Array2<f32> = ndarray_npy::read_npy(&path).unwrap();
        let expected: Vec<f32> = rows.iter().flat_map(|(_, embedding)| *embedding).collect();
        assert_eq!(found, ndarray::Array2::from_shape_vec((rows.len(), 2), expected).unwrap());
        let ids: String = rows.iter().map(|(id, _)| format!("{id}\n")).collect();
        assert_eq!(fs::read_to_string(folder.path().join("e.npy.ids")).unwrap(), ids);
    }
    let error = embed(&Target::new(&path), &[("a\nb", [0.0, 0.0])]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the id `a\\nb` has a line end in it, and .npy ids stand one a line; write .parquet or .safetensors"
    );
    let error = embedding_writer(&Target::Stdout, EmbeddingFormat::Npy, 2).err().unwrap();
    assert_eq!(error.to_string(), "stdout cannot be written to a stream, its size stands in front; name a file");
}

#[test]
fn safetensors_is_what_its_library_reads() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("e.safetensors");
    for rows in [&[][..], &[("a\n\"\\", [1.0, -2.5]), ("b é", [0.0, f32::MAX])]] {
        embed(&Target::new(&path), rows).unwrap();
        let bytes = fs::read(&path).unwrap();
        let (_, header) = ::safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let ids: Vec<String> = serde_json::from_str(&header.metadata().as_ref().unwrap()["ids"]).unwrap();
        assert!(ids.iter().eq(rows.iter().map(|(id, _)| id)));
        let tensors = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = tensors.tensor("embeddings").unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (::safetensors::Dtype::F32, &[rows.len(), 2][..]));
        let expected: Vec<u8> = rows.iter().flat_map(|(_, e)| e).flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(tensor.data(), expected);
    }
}

#[test]
fn jsonl_embeddings() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("e.jsonl");
    embed(&Target::new(&path), &[("a", [0.1, -2.0])]).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"id\":\"a\",\"embedding\":[0.1,-2.0]}\n");
    let error = embed(&Target::new(&path), &[("a", [0.1, f32::NAN])]).unwrap_err();
    assert_eq!(error.to_string(), "article `a`: embedding[1] is NaN");
}

#[test]
fn embeddings_of_another_width_are_refused() {
    let folder = TempDir::new().unwrap();
    for name in ["e.npy", "e.safetensors", "e.jsonl"] {
        let target = Target::new(folder.path().join(name));
        let mut writer = embedding_writer(&target, EmbeddingFormat::from_target(&target).unwrap(), 3).unwrap();
        let message = writer.write("a", &[1.0]).unwrap_err().to_string();
        assert_eq!(message, "article `a`: expected 3 numbers, found 1", "{name}");
    }
}

/// Names in the folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_file_appears_only_when_it_is_complete() {
    let folder = TempDir::new().unwrap();
    for name in ["p.jsonl", "p.csv.gz", "p.jsonl.zst"] {
        let target = Target::new(folder.path().join(name));
        let format = PredictionFormat::from_target(&target).unwrap();
        let mut writer = prediction_writer(&target, format, &labels(), "|").unwrap();
        let extra = Map::new();
        writer
            .write(&PredictionRow { id: "x", labels: &[], scores: &[0.0, 1.0], evidence: None, extra: &extra })
            .unwrap();
        drop(writer);
        assert!(names(folder.path()).is_empty(), "{name}: {:?}", names(folder.path()));
    }
    for name in ["e.npy", "e.safetensors", "e.jsonl"] {
        let target = Target::new(folder.path().join(name));
        drop(embedding_writer(&target, EmbeddingFormat::from_target(&target).unwrap(), 3).unwrap());
        assert!(names(folder.path()).is_empty(), "{name}: {:?}", names(folder.path()));
    }
    let path = folder.path().join("old.jsonl");
    fs::write(&path, "old").unwrap();
    let writer = prediction_writer(&Target::new(&path), PredictionFormat::Jsonl, &labels(), "|").unwrap();
    drop(writer);
    assert_eq!(fs::read_to_string(path).unwrap(), "old");
}

#[test]
fn outputs_that_cannot_be_made() {
    let folder = TempDir::new().unwrap();
    let missing = Target::new(folder.path().join("no/such/p.jsonl"));
    assert!(matches!(predict(&missing, &[]), Err(OutputError::Create { .. })));
    let directory = prediction_writer(&Target::new(folder.path()), PredictionFormat::Jsonl, &labels(), "|");
    assert!(matches!(directory.err(), Some(OutputError::Create { .. })));
    assert!(matches!(predict(&Target::new("p.docx"), &[]), Err(OutputError::UnknownFormat { .. })));
}

#[cfg(unix)]
#[test]
fn files_have_ordinary_permissions_and_links_are_followed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let ordinary = folder.path().join("ordinary");
    fs::write(&ordinary, "").unwrap();
    let (real, link) = (folder.path().join("real.jsonl"), folder.path().join("link.jsonl"));
    fs::write(&real, "old").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    predict(&Target::new(&link), &rows()).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().starts_with("{\"id\""));
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&real), mode(&ordinary));
    // Not a plain file: written, never replaced.
    embed(&Target::new("/dev/null"), &[]).unwrap_err();
    let mut writer = prediction_writer(&Target::new("/dev/null"), PredictionFormat::Csv, &labels(), "|").unwrap();
    let extra = Map::new();
    writer.write(&PredictionRow { id: "x", labels: &[], scores: &[0.0, 1.0], evidence: None, extra: &extra }).unwrap();
    writer.finish().unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

/// A writer that takes some bytes and then fails.
struct Failing {
    room: usize,
    kind: io::ErrorKind,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(self.kind.into());
        }
        let n_bytes = bytes.len().min(self.room);
        self.room -= n_bytes;
        Ok(n_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn closed_pipes_and_full_disks_are_told_apart_in_every_format() {
    for (kind, message, is_closed) in [
        (io::ErrorKind::BrokenPipe, "whoever read out has stopped reading", true),
        (io::ErrorKind::StorageFull, "no space left for out", false),
        (io::ErrorKind::PermissionDenied, "cannot write out", false),
    ] {
        for room in [0, 10, 300] {
            let output = || OutputFile::from_writer("out", Failing { room, kind });
            let mut writers: Vec<Box<dyn PredictionWriter>> = vec![
                Box::new(JsonlPredictions::new(output(), &labels())),
                Box::new(CsvPredictions::new(output(), b',', &labels(), "|").unwrap()),
            ];
            #[cfg(feature = "parquet")]
            writers.push(Box::new(ParquetPredictions::new(output(), &labels())));
            for mut writer in writers {
                let extra = extra(json!({ "a": 1 }));
                let row =
                    PredictionRow { id: "some id", labels: &[], scores: &[0.25, 0.75], evidence: None, extra: &extra };
                let written = (0..100).try_for_each(|_| writer.write(&row)).and_then(|()| writer.finish());
                let error = written.unwrap_err();
                assert_eq!((error.to_string().as_str(), error.is_closed_pipe()), (message, is_closed));
            }
        }
    }
}

#[test]
fn flush_hands_rows_on() {
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let shared = Shared::default();
    let mut writer = JsonlPredictions::new(OutputFile::from_writer("out", shared.clone()), &labels());
    let extra = Map::new();
    writer.write(&PredictionRow { id: "x", labels: &[], scores: &[0.0, 1.0], evidence: None, extra: &extra }).unwrap();
    writer.flush().unwrap();
    assert!(shared.0.lock().unwrap().ends_with(b"}\n"));
}

proptest! {
    /// What we write as CSV and JSON Lines, we read as articles with the same ids, labels and columns.
    #[test]
    fn predictions_are_read_back(
        ids in prop::collection::vec("[^\\s]\\PC{0,8}", 1..5),
        notes in prop::collection::vec(any::<String>(), 5),
        assigned in prop::collection::vec(prop::sample::subsequence(labels(), 0..=2), 5),
    ) {
        use crate::data::{Dataset, ReadOptions};
        let folder = TempDir::new().unwrap();
        for name in ["p.jsonl", "p.csv", "p.tsv"] {
            let path = folder.path().join(name);
            let target = Target::new(&path);
            let format = PredictionFormat::from_target(&target).unwrap();
            let mut writer = prediction_writer(&target, format, &labels(), "|").unwrap();
            for ((id, note), labels) in ids.iter().zip(&notes).zip(&assigned) {
                let extra = extra(json!({ "note": note, "text": "t" }));
                writer.write(&PredictionRow { id, labels, scores: &[0.25, 0.75], evidence: None, extra: &extra }).unwrap();
            }
            writer.finish().unwrap();
            let found = Dataset::read_with(&[path], &ReadOptions::default()).unwrap();
            prop_assert_eq!(found.len(), ids.len());
            for ((article, id), (note, labels)) in found.articles.iter().zip(&ids).zip(notes.iter().zip(&assigned)) {
                prop_assert_eq!(&article.id, id);
                prop_assert_eq!(article.labels.as_ref(), Some(labels));
                prop_assert_eq!(article.extra["note"].as_str(), Some(note.as_str()));
            }
        }
    }
}

#[cfg(feature = "parquet")]
mod parquet_files {
    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use arrow::array::{Array, AsArray, RecordBatch};
    use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};

    use super::*;

    fn read(path: &Path) -> RecordBatch {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
        let schema = reader.schema().clone();
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        arrow::compute::concat_batches(&schema, &batches).unwrap()
    }

    #[test]
    fn predictions() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("p.parquet");
        let rows = [
            (
                "1",
                &["trade", "energy"][..],
                [0.123_456_789, 1.0],
                json!({
                    "date": "2024", "n": 3, "x": 1, "yes": true, "mixed": 1, "labels": ["old"], "none": null,
                }),
            ),
            ("2", &[][..], [0.0, 0.5], json!({ "n": null, "x": 0.5, "yes": false, "mixed": "a", "late": "b" })),
        ];
        predict(&Target::new(&path), &rows).unwrap();
        let batch = read(&path);
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let expected = ["id", "labels", "scores", "date", "n", "x", "yes", "mixed", "input_labels", "none", "late"];
        assert_eq!(names, expected);
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let strings = |name: &str| -> Vec<Option<String>> {
            column(name).as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect()
        };
        let some = |values: [&str; 2]| values.map(|value| Some(value.to_owned())).to_vec();
        assert_eq!(strings("id"), some(["1", "2"]));
        assert_eq!(strings("mixed"), some(["1", "a"]));
        assert_eq!(strings("input_labels"), [Some("[\"old\"]".to_owned()), None]);
        assert_eq!(strings("none"), [None, None]);
        assert_eq!(column("n").as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(3), None]);
        assert_eq!(column("x").as_primitive::<Float64Type>().values().to_vec(), [1.0, 0.5]);
        assert!(column("yes").as_boolean().value(0) && !column("yes").as_boolean().value(1));
        let first = column("labels").as_list::<i32>().value(0);
        assert!(first.as_string::<i32>().iter().eq([Some("trade"), Some("energy")]));
        assert!(column("labels").as_list::<i32>().value(1).is_empty());
        let scores = column("scores").as_struct();
        let trade = scores.column_by_name("trade").unwrap().as_primitive::<Float64Type>();
        assert_eq!(trade.values().to_vec(), [0.123_456_789, 0.0]);
    }

    #[test]
    fn types_are_learnt_from_the_first_rows_and_then_hold() {
        let folder = TempDir::new().unwrap();
        let target = Target::new(folder.path().join("p.parquet"));
        let mut writer = prediction_writer(&target, PredictionFormat::Parquet, &labels(), "|").unwrap();
        let mut write = |columns: Value| {
            let extra = extra(columns);
            writer.write(&PredictionRow { id: "x", labels: &[], scores: &[0.5, 0.5], evidence: None, extra: &extra })
        };
        (0..4096).try_for_each(|i| write(json!({ "n": i }))).unwrap();
        (0..4095).try_for_each(|_| write(json!({ "n": null }))).unwrap();
        let error = write(json!({ "n": "many" })).unwrap_err();
        assert_eq!(
            error.to_string(),
            "article `x`: column `n` holds strings, but the first 4096 rows made it a column of integers; write JSON Lines"
        );
    }

    #[test]
    fn no_rows() {
        let folder = TempDir::new().unwrap();
        let (p, e) = (folder.path().join("p.parquet"), folder.path().join("e.parquet"));
        predict(&Target::new(&p), &[]).unwrap();
        embed(&Target::new(&e), &[]).unwrap();
        assert_eq!((read(&p).num_rows(), read(&e).num_rows()), (0, 0));
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn embeddings() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("e.parquet");
        let rows: Vec<(String, [f32; 2])> = (0..5000u16).map(|i| (format!("a\n{i}"), [f32::from(i), -0.5])).collect();
        let borrowed: Vec<(&str, [f32; 2])> = rows.iter().map(|(id, e)| (id.as_str(), *e)).collect();
        embed(&Target::new(&path), &borrowed).unwrap();
        let batch = read(&path);
        let embeddings = batch.column_by_name("embedding").unwrap();
        assert!(matches!(embeddings.data_type(), DataType::FixedSizeList(_, 2)));
        let embeddings = embeddings.as_fixed_size_list();
        assert_eq!(embeddings.len(), 5000);
        assert_eq!(embeddings.value(4999).as_primitive::<Float32Type>().values().to_vec(), [4999.0, -0.5]);
        assert_eq!(batch.column(0).as_string::<i32>().value(4998), "a\n4998");
    }
}
