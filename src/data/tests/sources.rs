//! Files, folders, patterns, packing, and how formats are told.

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::TempDir;

use super::super::{DataError, Dataset, Format, Input, ReadOptions, read_articles};

const ROW_A: &[u8] = b"{\"text\":\"a\"}\n";
const ROW_B: &[u8] = b"{\"text\":\"b\"}\n";

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Ids and texts, paths shown from the folder on, or the message.
fn read(folder: &TempDir, names: &[&str]) -> Result<Vec<(String, String)>, String> {
    let inputs: Vec<Input> = names.iter().map(|name| folder.path().join(name).into()).collect();
    let prefix = format!("{}/", folder.path().display());
    let clean = |text: String| text.replace(&prefix, "");
    let dataset = Dataset::read_with(&inputs, &ReadOptions::default()).map_err(|error| clean(error.to_string()))?;
    Ok(dataset.articles.into_iter().map(|article| (clean(article.id), article.text)).collect())
}

fn rows(rows: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
    Ok(rows.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect())
}

#[test]
fn every_way_to_name_files() {
    let folder = folder(&[
        ("one.jsonl", &[ROW_A, ROW_B].concat()),
        ("two.ndjson.gz", &gzip(ROW_B)),
        ("three.json.zst", &zstd::encode_all(ROW_A, 0).unwrap()),
        ("table.csv", b"id,text\nx,c\n"),
        ("table.tsv", b"id\ttext\ny\td\n"),
        ("lines.ft", b"__label__a e\n"),
        ("notes/b.txt", b"second"),
        ("notes/a.txt.gz", &gzip(b"first")),
        ("notes/.hidden.txt", b"no"),
        ("shards/part-1.jsonl", ROW_B),
        ("shards/part-0.jsonl", ROW_A),
        ("shards/labels.json", b"[]"),
        ("shards/_SUCCESS", b""),
        ("packed-without-ending", &gzip(ROW_A)),
        ("[odd].jsonl", ROW_A),
    ]);
    for (names, expected) in [
        (&["one.jsonl"][..], rows(&[("1", "a"), ("2", "b")])),
        (
            &["table.csv", "one.jsonl", "table.tsv"],
            rows(&[("x", "c"), ("one.jsonl:1", "a"), ("one.jsonl:2", "b"), ("y", "d")]),
        ),
        (&["two.ndjson.gz"], rows(&[("1", "b")])),
        (&["three.json.zst"], rows(&[("1", "a")])),
        (&["lines.ft"], rows(&[("1", "e")])),
        (&["notes"], rows(&[("a", "first"), ("b", "second")])),
        (&["notes/*.txt"], rows(&[("b", "second")])),
        (&["shards"], rows(&[("shards/part-0.jsonl:1", "a"), ("shards/part-1.jsonl:1", "b")])),
        (&["**/part-*.jsonl"], rows(&[("shards/part-0.jsonl:1", "a"), ("shards/part-1.jsonl:1", "b")])),
        (&["packed-without-ending"], rows(&[("1", "a")])),
        (&["[odd].jsonl"], rows(&[("1", "a")])),
    ] {
        assert_eq!(read(&folder, names), expected, "{names:?}");
    }
}

#[test]
fn what_cannot_be_found_or_told() {
    let folder = folder(&[
        ("one.jsonl", ROW_A),
        ("odd.docx", b"a"),
        ("empty/readme.md", b""),
        ("mixed/a.txt", b"a"),
        ("mixed/b.jsonl", ROW_A),
        ("bad.csv", b"id,body\n"),
    ]);
    let formats = "known endings are .jsonl .ndjson .json .csv .tsv .parquet .ft .fasttext .txt, each but .parquet also with .gz or .zst; otherwise pass --format";
    for (names, expected) in [
        (&[][..], "no input was named".to_owned()),
        (&["one.jsonl", "missing.jsonl"], "cannot open missing.jsonl".to_owned()),
        (&["*.parquet"], "no file matches `*.parquet`".to_owned()),
        (&["odd.docx"], format!("cannot tell the format of odd.docx; {formats}")),
        (
            &["empty"],
            "empty is a directory without articles: no .txt, .jsonl, .csv, .tsv, .parquet or .ft file in it".to_owned(),
        ),
        (
            &["mixed"],
            "mixed holds .txt files and jsonl files; name the ones to read with a pattern such as `mixed/*.txt`"
                .to_owned(),
        ),
        // The header of the second file is read before the first row of the first.
        (
            &["one.jsonl", "bad.csv"],
            "bad.csv: no column `text`; found `id`, `body`; name the text column with --text-column".to_owned(),
        ),
    ] {
        assert_eq!(read(&folder, names), Err(expected), "{names:?}");
    }
    let twice = read_articles(&["-", "-"], &ReadOptions::default()).err().map(|error| error.to_string());
    assert_eq!(twice.as_deref(), Some("standard input is named twice"));
}

#[test]
fn truncated_or_damaged_packing_ends_the_reading_behind_the_good_rows() {
    let many: Vec<u8> = (0..20_000).flat_map(|i| format!("{{\"text\":\"{i}\"}}\n").into_bytes()).collect();
    let gz = gzip(&many);
    let zst = zstd::encode_all(&many[..], 0).unwrap();
    let mut damaged = gz.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8].fill(0xAA);
    let folder = folder(&[
        ("cut.jsonl.gz", &gz[..gz.len() / 2]),
        ("cut.jsonl.zst", &zst[..zst.len() / 2]),
        ("tail.jsonl.gz", &gz[..gz.len() - 4]),
        ("damaged.jsonl.gz", &damaged),
        ("not.jsonl.gz", ROW_A),
        ("empty.jsonl.gz", b""),
    ]);
    for (name, has_rows) in [
        ("cut.jsonl.gz", true),
        ("cut.jsonl.zst", false),
        ("tail.jsonl.gz", true),
        ("damaged.jsonl.gz", true),
        ("not.jsonl.gz", false),
        ("empty.jsonl.gz", false),
    ] {
        let path = folder.path().join(name);
        let articles = read_articles(std::slice::from_ref(&path), &ReadOptions::default());
        let mut rows: Vec<_> = articles.map_or_else(|error| vec![Err(error)], Iterator::collect);
        let last = rows.pop().unwrap().unwrap_err();
        let DataError::Decompress { path: found, line, .. } = &last else { panic!("{name}: {last:?}") };
        assert_eq!(found, &path, "{name}");
        // Damage can come out as odd rows before the decoder notices it.
        if !name.starts_with("damaged") {
            assert_eq!(*line, rows.len() as u64, "{name}");
            assert!(rows.iter().all(Result::is_ok), "{name}");
        }
        assert!(!has_rows || !rows.is_empty(), "{name}");
        assert!(!last.is_row_error(), "{name}");
    }
}

#[test]
fn several_packed_parts_in_one_file_are_all_read() {
    let gz = [gzip(ROW_A), gzip(ROW_B)].concat();
    let zst = [zstd::encode_all(ROW_A, 0).unwrap(), zstd::encode_all(ROW_B, 0).unwrap()].concat();
    let folder = folder(&[("a.jsonl.gz", &gz), ("a.jsonl.zst", &zst)]);
    for name in ["a.jsonl.gz", "a.jsonl.zst"] {
        assert_eq!(read(&folder, &[name]), rows(&[("1", "a"), ("2", "b")]), "{name}");
    }
}

#[test]
fn without_an_ending_the_first_bytes_tell() {
    let folder = folder(&[
        ("jsonl", &[b"\xEF\xBB\xBF\n", ROW_A].concat()),
        ("fasttext", b"__label__x a\n"),
        ("nothing", b""),
        ("prose", b"once upon a time"),
    ]);
    assert_eq!(read(&folder, &["jsonl"]), rows(&[("1", "a")]));
    assert_eq!(read(&folder, &["fasttext"]), rows(&[("1", "a")]));
    assert_eq!(read(&folder, &["nothing"]), rows(&[]));
    assert!(read(&folder, &["prose"]).unwrap_err().starts_with("cannot tell the format of prose"));
    let options = ReadOptions { format: Some(Format::Txt), ..ReadOptions::default() };
    let dataset = Dataset::read_with(&[folder.path().join("prose")], &options).unwrap();
    assert_eq!(dataset.articles[0].text, "once upon a time");
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_by_ending_by_first_bytes_and_packed() {
    use std::sync::Arc;
    let texts = Arc::new(arrow::array::StringArray::from(vec!["a", "b"]));
    let bytes = super::parquet_bytes(vec![("text", texts)]);
    let folder = folder(&[("a.parquet", &bytes), ("plain", &bytes), ("a.parquet.gz", &gzip(&bytes))]);
    for name in ["a.parquet", "plain", "a.parquet.gz"] {
        assert_eq!(read(&folder, &[name]), rows(&[("1", "a"), ("2", "b")]), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_opened_once() {
    let folder = folder(&[]);
    let path = folder.path().join("pipe.jsonl");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let writer = std::thread::spawn({
        let path = path.clone();
        move || fs::write(path, [ROW_A, ROW_B].concat()).unwrap()
    });
    assert_eq!(read(&folder, &["pipe.jsonl"]), rows(&[("1", "a"), ("2", "b")]));
    writer.join().unwrap();
}

#[test]
fn bytes_are_counted_as_they_lie_on_disk() {
    let packed = gzip(ROW_B);
    let folder = folder(&[("a.jsonl", ROW_A), ("b.jsonl.gz", &packed)]);
    let paths = ["a.jsonl", "b.jsonl.gz"].map(|name| folder.path().join(name));
    let mut articles = read_articles(&paths, &ReadOptions::default()).unwrap();
    let total = (ROW_A.len() + packed.len()) as u64;
    assert_eq!((articles.bytes_read(), articles.total_bytes()), (0, Some(total)));
    assert_eq!(articles.by_ref().count(), 2);
    assert_eq!(articles.bytes_read(), total);
}

#[test]
fn reading_can_move_to_another_thread() {
    let folder = folder(&[("a.jsonl", ROW_A)]);
    let articles = read_articles(&[folder.path().join("a.jsonl")], &ReadOptions::default()).unwrap();
    assert_eq!(std::thread::spawn(move || articles.count()).join().unwrap(), 1);
}

#[test]
fn the_sample_corpus_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/diplomacy");
    let train = Dataset::read(folder.join("train.jsonl")).unwrap();
    let test = Dataset::read(folder.join("test.jsonl")).unwrap();
    assert_eq!((train.len(), test.len()), (320, 120));
    assert_eq!(train.articles()[0].id, "dip-0001");
    assert!(train.articles().iter().all(|article| article.labels.is_some()));
}
