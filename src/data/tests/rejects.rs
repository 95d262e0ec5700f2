//! Rows that are left out: counted, written down, told.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::super::{
    DataError, DuplicateIds, OnError, ReadOptions, RejectsWriter, RowCounts, Rows, jsonl, read_articles,
};

const INPUT: &[u8] = b"{\"text\":\"a\"}\n{\"text\":\"\xFF\"}\n{\"id\":7,\"text\":\"\"}\n{\"text\":\"b\"}\n";

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

#[test]
fn skipped_rows_are_counted_written_and_told() {
    let file = Shared::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let articles = jsonl::read_bytes(INPUT, &ReadOptions::default()).unwrap();
    let mut rows = Rows::new(articles, OnError::Skip, Some(RejectsWriter::new("rejects", file.clone()))).on_reject({
        let told = told.clone();
        move |error| told.lock().unwrap().push(error.to_string())
    });
    let texts: Vec<String> = rows.by_ref().map(|row| row.unwrap().text).collect();
    assert_eq!(texts, ["a", "b"]);
    assert_eq!(rows.counts(), RowCounts { n_read: 4, n_accepted: 2, n_rejected: 2 });
    let written = file.0.lock().unwrap().clone();
    let written: Vec<Value> = serde_json::Deserializer::from_slice(&written).into_iter().map(Result::unwrap).collect();
    assert_eq!(
        written,
        [
            json!({
                "file": "memory", "line": 2, "id": null, "reason": "invalid UTF-8 at byte 10 of the line",
                "raw": "{\"text\":\"\u{FFFD}\"}",
            }),
            json!({
                "file": "memory", "line": 3, "id": "7", "reason": "the text is empty", "raw": "{\"id\":7,\"text\":\"\"}",
            }),
        ]
    );
    assert_eq!(
        *told.lock().unwrap(),
        ["memory:2: invalid UTF-8 at byte 10 of the line", "memory:3: article `7`: the text is empty"]
    );
}

#[test]
fn the_first_bad_row_stops_unless_told_otherwise() {
    let articles = jsonl::read_bytes(INPUT, &ReadOptions::default()).unwrap();
    let mut rows = Rows::new(articles, OnError::Stop, None);
    assert!(rows.next().unwrap().is_ok());
    assert!(rows.next().unwrap().unwrap_err().is_row_error());
    assert!(rows.next().is_none());
    assert_eq!(rows.counts(), RowCounts { n_read: 2, n_accepted: 1, n_rejected: 1 });
}

#[test]
fn rejects_that_cannot_be_written_are_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let articles = jsonl::read_bytes(INPUT, &ReadOptions::default()).unwrap();
    let mut rows = Rows::new(articles, OnError::Skip, Some(RejectsWriter::new("rejects", Full))).skip(1);
    let error = rows.next().unwrap().unwrap_err();
    assert!(matches!(error, DataError::Rejects { .. }), "{error}");
    assert_eq!(error.to_string(), "cannot write the rejected rows to rejects");
    assert!(rows.next().is_none());
}

#[test]
fn what_a_check_refuses_is_a_row_error_with_its_place() {
    let folder = tempfile::TempDir::new().unwrap();
    let (a, b) = (folder.path().join("a.jsonl"), folder.path().join("b.csv"));
    std::fs::write(&a, "{\"id\":\"x\",\"text\":\"a\"}\n\n{\"id\":\"y\",\"text\":\"a\",\"date\":1}\n").unwrap();
    std::fs::write(&b, "id,text\nz,b\ny,b\n").unwrap();
    let mut ids = DuplicateIds::default();
    let articles = read_articles(&[a.clone(), b.clone()], &ReadOptions::default()).unwrap();
    let rows: Vec<_> = articles.check(move |article, place| ids.check(article, place)).collect();
    assert_eq!(rows.iter().filter(|row| row.is_ok()).count(), 3);
    let error = rows[3].as_ref().unwrap_err();
    let expected = format!("{}:3: article `y`: the id was used before, at {}:3", b.display(), a.display());
    assert_eq!(error.to_string(), expected);
    let raw = &error.as_row().unwrap().raw;
    assert_eq!(String::from_utf8_lossy(raw), r#"{"id":"y","title":null,"text":"b","labels":null}"#);
}
