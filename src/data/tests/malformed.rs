//! One message per malformation, and the rows behind it are still read.

use super::super::{Columns, DataError, Format, Quoting, ReadOptions};
use super::{outline, read};

const JSON_HINT: &str = "JSON Lines holds one object on each line";

/// Each case: what it is called, the bytes, and per row the text or the message.
fn check(format: Format, options: &ReadOptions, cases: &[(&str, &[u8], &[Result<&str, &str>])]) {
    for (name, bytes, expected) in cases {
        let expected: Vec<Result<String, String>> =
            expected.iter().map(|row| row.map(str::to_owned).map_err(str::to_owned)).collect();
        assert_eq!(outline(read(format, bytes, options)), expected, "{name}");
    }
}

#[test]
fn jsonl_rows() {
    let broken = |line: u64, column: usize, message: &str| {
        format!("memory:{line}: broken JSON at column {column}: {message}; {JSON_HINT}")
    };
    let truncated = broken(1, 12, "EOF while parsing an object");
    let trailing = broken(1, 15, "trailing characters");
    let control = broken(1, 12, "control character (\\u0000-\\u001F) found while parsing a string");
    let deep = format!("{{\"text\": {}", "[".repeat(200));
    let deep_message = broken(1, 136, "recursion limit exceeded");
    check(
        Format::Jsonl,
        &ReadOptions::default(),
        &[
            ("empty file", b"", &[]),
            ("only blank lines", b"\n  \r\n\n", &[]),
            ("no line end", br#"{"text":"a"}"#, &[Ok("a")]),
            ("BOM, CRLF, blank lines", b"\xEF\xBB\xBF{\"text\":\"a\"}\r\n\r\n{\"text\":\"b\"}\r\n", &[Ok("a"), Ok("b")]),
            ("text is kept as it is", br#"{"text":" a\u0000\n"}"#, &[Ok(" a\0\n")]),
            ("truncated", b"{\"text\": \"a\"\n{\"text\":\"b\"}", &[Err(&truncated), Ok("b")]),
            ("two objects", b"{\"text\": \"a\"} {\"text\": \"b\"}", &[Err(&trailing)]),
            ("raw NUL", b"{\"text\": \"a\0\"}", &[Err(&control)]),
            ("nesting", deep.as_bytes(), &[Err(&deep_message)]),
            (
                "other values",
                b"7\n[{}]\n\"a\"\nnull",
                &[
                    Err("memory:1: expected a JSON object on each line, found a number"),
                    Err(
                        "memory:2: expected a JSON object on each line, found a list; `jq -c '.[]'` turns a list into JSON Lines",
                    ),
                    Err("memory:3: expected a JSON object on each line, found a string"),
                    Err("memory:4: expected a JSON object on each line, found null"),
                ],
            ),
            (
                "repeated key",
                br#"{"text":"a","id":1,"text":"b"}"#,
                &[Err("memory:1: key `text` occurs twice in the object")],
            ),
            (
                "missing text",
                br#"{"id":7,"body":"a"}"#,
                &[Err(
                    "memory:1: article `7`: no text: the row has no `text`, only `id`, `body`; name the text column with --text-column",
                )],
            ),
            (
                "nothing at all",
                b"{}",
                &[Err(
                    "memory:1: no text: the row has no `text`, only no columns at all; name the text column with --text-column",
                )],
            ),
            (
                "wrong types",
                b"{\"text\":null}\n{\"text\":[\"a\"],\"id\":\"x\"}\n{\"text\":\"a\",\"title\":3}\n{\"text\":\"a\",\"id\":{}}",
                &[
                    Err("memory:1: `text` should be a string, found null"),
                    Err("memory:2: article `x`: `text` should be a string, found a list"),
                    Err("memory:3: `title` should be a string, found a number"),
                    Err("memory:4: `id` should be a string or a number, found an object"),
                ],
            ),
            (
                "labels",
                b"{\"text\":\"a\",\"labels\":{}}\n{\"text\":\"a\",\"labels\":[\"b\",{}],\"id\":\"x\"}",
                &[
                    Err("memory:1: `labels` should be a list of strings or a string, found an object"),
                    Err("memory:2: article `x`: label 2 is an object, expected a string"),
                ],
            ),
            (
                "invalid UTF-8",
                b"{\"text\":\"a\"}\n{\"text\":\"\xFF\"}\n{\"text\":\"b\"}",
                &[Ok("a"), Err("memory:2: invalid UTF-8 at byte 10 of the line"), Ok("b")],
            ),
            (
                "UTF-16",
                b"\xFF\xFE{\0}\0",
                &[Err(
                    "memory:1: invalid UTF-8 at byte 1 of the line; the file looks like UTF-16, convert it to UTF-8",
                )],
            ),
            (
                "empty text",
                b"{\"text\":\"\",\"id\":\"x\"}\n{\"text\":\" \\n\\u00a0\",\"title\":\"t\"}",
                &[Err("memory:1: article `x`: the text is empty"), Err("memory:2: the text is empty")],
            ),
        ],
    );
}

#[test]
fn rows_beyond_the_limit_are_left_out_and_the_next_is_found() {
    let options = ReadOptions { max_row_bytes: 20, ..ReadOptions::default() };
    let long = format!("{{\"text\":\"{}\"}}\n", "x".repeat(100_000));
    let jsonl = format!("{{\"text\":\"a\"}}\n{long}{{\"text\":\"b\"}}\n{long}");
    let message = "the row is longer than 20 bytes";
    let expected = [Ok("a"), Err("memory:2: the row is longer than 20 bytes"), Ok("b")];
    let last = format!("memory:4: {message}");
    let all = [&expected[..], &[Err(last.as_str())]].concat();
    check(Format::Jsonl, &options, &[("jsonl", jsonl.as_bytes(), &all)]);
    let rows = read(Format::Jsonl, jsonl.as_bytes(), &options);
    let raw = &rows[1].as_ref().unwrap_err().as_row().unwrap().raw;
    assert_eq!(raw.as_slice(), &long.as_bytes()[..20], "what is kept of the row is bounded");

    let csv = format!("text\na\n{}\nb\n\"{}\nc\n", "x".repeat(21), "y\n".repeat(11));
    let rows = outline(read(Format::Csv, csv.as_bytes(), &options));
    assert_eq!(rows[1], Err(format!("memory:3: {message}")));
    assert_eq!(rows[2], Ok("b".to_owned()));
    assert_eq!(rows[3], Err("memory:5: the quote opened at line 5, column 1 is never closed".to_owned()));
    assert_eq!(rows[4], Ok("y".to_owned()), "reading goes on with the line behind the one that opened the quote");
    assert_eq!(rows.last(), Some(&Ok("c".to_owned())));

    let fasttext = format!("a\n{}\nb", "x".repeat(21));
    check(
        Format::FastText,
        &options,
        &[("fasttext", fasttext.as_bytes(), &[Ok("a"), Err("memory:2: the row is longer than 20 bytes"), Ok("b")])],
    );
    check(
        Format::Txt,
        &options,
        &[("txt", &[b'x'; 21], &[Err("memory: article `memory`: the row is longer than 20 bytes")])],
    );
}

#[test]
fn csv_rows() {
    check(
        Format::Csv,
        &ReadOptions::default(),
        &[
            ("empty file", b"", &[]),
            ("header only", b"id,text\n", &[]),
            ("BOM, CRLF, blank lines", b"\xEF\xBB\xBFtext,id\r\na,1\r\n\r\nb,2\r\n", &[Ok("a"), Ok("b")]),
            ("lines in quotes", b"text\n\"a\nb \"\"c\"\", d\"\n", &[Ok("a\nb \"c\", d")]),
            ("a quote inside an unquoted field", b"text\na 5\" pipe\n", &[Ok("a 5\" pipe")]),
            (
                "no text column",
                b"id,body\n1,a\n",
                &[Err("memory: no column `text`; found `id`, `body`; name the text column with --text-column")],
            ),
            (
                "another delimiter",
                b"id;text\n1;a\n",
                &[Err(
                    "memory: no column `text`; found `id;text` (the columns seem to be separated by ';'; set --delimiter); name the text column with --text-column",
                )],
            ),
            (
                "repeated column",
                b"text,id,text\na,1,b\n",
                &[Err("memory: column `text` occurs twice in the header, as columns 1 and 3")],
            ),
            (
                "field count",
                b"id,text\n1\n2,a\n3,b,c\n",
                &[
                    Err("memory:2: the row has 1 fields, the header has 2"),
                    Ok("a"),
                    Err("memory:4: the row has 3 fields, the header has 2"),
                ],
            ),
            (
                "quote never closed",
                b"id,text\n1,a\n2,\"b\n3,c\n4,d",
                &[Ok("a"), Err("memory:3: the quote opened at line 3, column 3 is never closed"), Ok("c"), Ok("d")],
            ),
            (
                "quote closed by that of a later row",
                b"id,text\n1,\"a\n2,\"b\"\n3,c\n",
                &[
                    Err(
                        "memory:2: a quote inside a quoted field must be doubled: line 3, column 3, in the field opened at line 2, column 3",
                    ),
                    Ok("b"),
                    Ok("c"),
                ],
            ),
            (
                "quotes not doubled",
                b"text\n\"he said \"no\" again\"\nb\n",
                &[
                    Err(
                        "memory:2: a quote inside a quoted field must be doubled: line 2, column 10, in the field opened at line 2, column 1",
                    ),
                    Ok("b"),
                ],
            ),
            (
                "quote open in the header",
                b"id,\"text\n1,a\n",
                &[Err("memory: the header is not usable: the quote opened at line 1, column 4 is never closed")],
            ),
            (
                "invalid UTF-8",
                b"id,text\n1,\xFF\n2,b\n",
                &[Err("memory:2: invalid UTF-8 at byte 3 of the row"), Ok("b")],
            ),
            (
                "UTF-16",
                b"\xFF\xFEt\0e\0x\0t\0\n\0",
                &[Err(
                    "memory: the header is not usable: invalid UTF-8 at byte 1 of the header; the file looks like UTF-16, convert it to UTF-8",
                )],
            ),
            ("empty text", b"id,text\nx, \n", &[Err("memory:2: article `x`: the text is empty")]),
            (
                "Python list",
                b"id,text,labels\nx,a,\"['b', 'c']\"\n",
                &[Err(
                    "memory:2: article `x`: the labels `['b', 'c']` look like a list but are not JSON; write them as [\"a\", \"b\"] or split them with --label-separator",
                )],
            ),
        ],
    );
    let plain = ReadOptions { quoting: Quoting::None, ..ReadOptions::default() };
    check(Format::Tsv, &plain, &[("without quotes", b"id\ttext\n1\t\"a\" b\n", &[Ok("\"a\" b")])]);
    let semicolon = ReadOptions { delimiter: Some(';'), ..ReadOptions::default() };
    check(Format::Csv, &semicolon, &[("semicolon", b"id;text\n1;a, b\n", &[Ok("a, b")])]);
}

#[test]
fn quotes_that_are_never_closed_cannot_take_quadratic_time() {
    // Each line opens a quote, and behind an open quote leaves it open: every one is searched up to the limit.
    let options = ReadOptions { max_row_bytes: 1000, ..ReadOptions::default() };
    let csv = format!("text,id\n{}", "a\",\",\n".repeat(10_000));
    let rows = read(Format::Csv, csv.as_bytes(), &options);
    assert!(rows.len() < 100, "{} rows", rows.len());
    let last = rows.last().unwrap().as_ref().unwrap_err();
    assert!(matches!(last, DataError::HopelessQuotes { .. }), "{last}");
    assert!(!last.is_row_error());
}

#[test]
fn fasttext_and_txt() {
    check(
        Format::FastText,
        &ReadOptions::default(),
        &[
            ("BOM, CRLF, blank", b"\xEF\xBB\xBF__label__a b\r\n\r\n", &[Ok("b")]),
            ("unnamed label", b"__label__ b\n", &[Err("memory:1: `__label__` without a name")]),
            ("no text", b"__label__a\n", &[Err("memory:1: the text is empty")]),
            (
                "invalid UTF-8",
                b"a\n__label__a \xFF\n",
                &[Ok("a"), Err("memory:2: invalid UTF-8 at byte 12 of the line")],
            ),
        ],
    );
    check(
        Format::Txt,
        &ReadOptions::default(),
        &[
            ("BOM, CRLF", b"\xEF\xBB\xBFa\r\nb\r\n", &[Ok("a\r\nb\r\n")]),
            ("empty", b"", &[Err("memory: article `memory`: the text is empty")]),
            ("invalid UTF-8", b"ab\xFF", &[Err("memory: article `memory`: invalid UTF-8 at byte 3 of the file")]),
            (
                "fastText",
                b"__label__a b\n",
                &[Err(
                    "memory: article `memory`: the file begins with `__label__`, which is fastText, not one article; pass --format fasttext",
                )],
            ),
        ],
    );
}

#[test]
fn columns_that_are_named_must_be_there() {
    let named = |columns: Columns| ReadOptions { columns, ..ReadOptions::default() };
    let text = named(Columns { text: Some("body".into()), ..Columns::default() });
    check(Format::Jsonl, &text, &[("text", br#"{"body":"a","text":"b"}"#, &[Ok("a")])]);
    let id = named(Columns { id: Some("key".into()), ..Columns::default() });
    check(
        Format::Jsonl,
        &id,
        &[(
            "id",
            b"{\"text\":\"a\"}\n{\"text\":\"a\",\"key\":\" \"}\n{\"text\":\"b\",\"key\":7}",
            &[
                Err("memory:1: no id: `key` is missing or empty"),
                Err("memory:2: no id: `key` is missing or empty"),
                Ok("b"),
            ],
        )],
    );
    for (role, column) in [("label", "topic"), ("title", "headline"), ("id", "key")] {
        let mut columns = Columns::default();
        match role {
            "label" => columns.labels = Some(column.to_owned()),
            "title" => columns.title = Some(column.to_owned()),
            _ => columns.id = Some(column.to_owned()),
        }
        let message =
            format!("memory: no column `{column}`; found `text`; name the {role} column with --{role}-column");
        check(Format::Csv, &named(columns), &[(role, b"text\na\n", &[Err(&message)])]);
    }
}

#[test]
fn settings_that_make_no_sense() {
    let delimiter = ReadOptions { delimiter: Some('é'), ..ReadOptions::default() };
    check(
        Format::Csv,
        &delimiter,
        &[("", b"", &[Err("the delimiter 'é' must be one ASCII character, neither a quote nor a line end")])],
    );
    let separator = ReadOptions { label_separator: String::new(), ..ReadOptions::default() };
    check(Format::Jsonl, &separator, &[("", b"", &[Err("the label separator is empty")])]);
}

#[cfg(feature = "parquet")]
mod parquet {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int32Array, ListArray, StringArray};
    use arrow::datatypes::Int32Type;

    use super::super::{outline, parquet_bytes, read};
    use super::check;
    use crate::data::{Format, ReadOptions};

    fn strings(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    #[test]
    fn files() {
        let good = parquet_bytes(vec![("text", strings(&[Some("a")]))]);
        assert_eq!(outline(read(Format::Parquet, &good, &ReadOptions::default())), [Ok("a".to_owned())]);
        for cut in [0, 3, 8, good.len() / 2, good.len() - 1] {
            let rows = outline(read(Format::Parquet, &good[..cut], &ReadOptions::default()));
            let [Err(message)] = &rows[..] else { panic!("{rows:?} of {cut} bytes") };
            assert!(message.starts_with("memory: not a readable Parquet file: "), "{message}");
        }
        let none = parquet_bytes(vec![("body", strings(&[Some("a")]))]);
        let numbers = parquet_bytes(vec![("text", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef)]);
        let labels = parquet_bytes(vec![
            ("text", strings(&[Some("a")])),
            ("labels", Arc::new(Float64Array::from(vec![1.0])) as ArrayRef),
        ]);
        check(
            Format::Parquet,
            &ReadOptions::default(),
            &[
                (
                    "no text",
                    &none,
                    &[Err("memory: no column `text`; found `body`; name the text column with --text-column")],
                ),
                ("numbers", &numbers, &[Err("memory: column `text` should hold strings, found the type Float64")]),
                (
                    "labels",
                    &labels,
                    &[Err(
                        "memory: column `labels` should hold strings, integers or lists of them, found the type Float64",
                    )],
                ),
            ],
        );
    }

    #[test]
    fn rows() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![]),
            Some(vec![None]),
            None,
        ]);
        let bytes = parquet_bytes(vec![
            ("id", Arc::new(Int32Array::from(vec![Some(7), None, Some(9), Some(10), Some(11)])) as ArrayRef),
            (
                "text",
                Arc::new(BinaryArray::from_opt_vec(vec![
                    Some(b"a".as_slice()),
                    Some(b"b"),
                    Some(b" "),
                    Some(b"d"),
                    Some(b"\xFF"),
                ])) as ArrayRef,
            ),
            ("labels", Arc::new(list) as ArrayRef),
        ]);
        check(
            Format::Parquet,
            &ReadOptions::default(),
            &[(
                "rows",
                &bytes,
                &[
                    Ok("a"),
                    Ok("b"),
                    Err("memory row 3: article `9`: the text is empty"),
                    Err("memory row 4: article `10`: label 1 is null, expected a string"),
                    Err("memory row 5: article `11`: invalid UTF-8 at byte 1 of the text"),
                ],
            )],
        );
        let rows = read(Format::Parquet, &bytes, &ReadOptions::default());
        let (first, second) = (rows[0].as_ref().unwrap(), rows[1].as_ref().unwrap());
        assert_eq!((first.id.as_str(), &first.labels), ("7", &Some(vec!["1".to_owned(), "2".to_owned()])));
        assert_eq!((second.id.as_str(), &second.labels), ("2", &None), "a row without an id has its number");
        let raw = &rows[2].as_ref().unwrap_err().as_row().unwrap().raw;
        assert_eq!(String::from_utf8_lossy(raw), r#"{"id":9,"text":"20","labels":[]}"#);
    }
}
