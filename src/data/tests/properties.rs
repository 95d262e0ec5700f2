//! What is written is read back; what is not understood is an error, never a panic, and no line is lost.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{Article, Format, LABEL_SEPARATOR, Quoting, ReadOptions};
use super::read;

/// Any text that is not blank.
fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("blank", |text| !text.trim().is_empty())
}

/// A label as readers give it back: trimmed, without the separator, not mistaken for a list.
fn label() -> impl Strategy<Value = String> {
    "[a-zé][a-z é,\"-]{0,8}[a-z]"
}

fn labels() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set(label(), 0..4).prop_map(|names| names.into_iter().collect())
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,3}", inner, 0..3)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn article(extra: BoxedStrategy<Value>)(
        id in text(),
        title in prop::option::of(text()),
        text in text(),
        labels in labels(),
        values in prop::collection::vec(extra, 2),
    ) -> Article {
        let extra: Map<String, Value> = ["date", "source"].map(str::to_owned).into_iter().zip(values).collect();
        Article { id, title, text, labels: Some(labels), extra }
    }
}

fn good(format: Format, bytes: &[u8]) -> Vec<Article> {
    read(format, bytes, &ReadOptions::default()).into_iter().map(|row| row.unwrap()).collect()
}

fn n_filled_lines(bytes: &[u8]) -> usize {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}

/// Bytes in which the signs that mean something are frequent.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\"",
            "\n",
            "\r\n",
            ",",
            "\t",
            "|",
            "{",
            "}",
            "[",
            "]",
            ":",
            "\\",
            "\"text\"",
            "text",
            "id",
            "labels",
            "__label__",
            " ",
            "a",
            "\u{feff}",
            "{\"text\":\"a\"}",
            "null",
            "1e999"
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn jsonl_is_read_back(articles in prop::collection::vec(article(json_value().boxed()), 0..5)) {
        let mut bytes = Vec::new();
        for Article { id, title, text, labels, extra } in &articles {
            let mut row = json!({ "id": id, "title": title, "text": text, "labels": labels });
            row.as_object_mut().unwrap().extend(extra.clone());
            serde_json::to_writer(&mut bytes, &row).unwrap();
            bytes.push(b'\n');
        }
        prop_assert_eq!(good(Format::Jsonl, &bytes), articles);
    }

    #[test]
    fn csv_is_read_back(
        articles in prop::collection::vec(article(any::<String>().prop_map(Value::from).boxed()), 0..5),
        crlf in any::<bool>(),
        format in prop::sample::select(vec![Format::Csv, Format::Tsv]),
    ) {
        let terminator = if crlf { ::csv::Terminator::CRLF } else { ::csv::Terminator::Any(b'\n') };
        let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
        let mut writer =
            ::csv::WriterBuilder::new().terminator(terminator).delimiter(delimiter).from_writer(Vec::new());
        writer.write_record(["id", "title", "text", "labels", "date", "source"]).unwrap();
        for article in &articles {
            let (date, source) = (article.extra["date"].as_str().unwrap(), article.extra["source"].as_str().unwrap());
            let labels = article.labels.as_ref().unwrap().join(LABEL_SEPARATOR);
            let title = article.title.as_deref().unwrap_or_default();
            writer.write_record([&article.id, title, &article.text, &labels, date, source]).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        prop_assert_eq!(good(format, &bytes), articles);
    }

    #[test]
    fn no_line_is_lost(bytes in soup(), max_row_bytes in "text\n".len()..200) {
        let options = ReadOptions { max_row_bytes, quoting: Quoting::None, ..ReadOptions::default() };
        for format in [Format::Jsonl, Format::FastText] {
            prop_assert_eq!(read(format, &bytes, &options).len(), n_filled_lines(&bytes), "{}", format);
        }
        let csv = [&b"text\n"[..], &bytes].concat();
        let rows = read(Format::Csv, &csv, &options);
        let n_rows = csv.split(|byte| *byte == b'\n').skip(1).filter(|line| !matches!(line, [] | [b'\r'])).count();
        prop_assert_eq!(rows.len(), n_rows);
    }

    #[test]
    fn any_bytes_give_articles_or_errors(bytes in soup(), max_row_bytes in 1usize..200) {
        let options = ReadOptions { max_row_bytes, ..ReadOptions::default() };
        for format in Format::ALL {
            #[cfg(not(feature = "parquet"))]
            if format == Format::Parquet {
                continue;
            }
            for row in read(format, &bytes, &options) {
                match row {
                    Ok(article) => prop_assert!(!article.text.trim().is_empty() && !article.id.trim().is_empty()),
                    Err(error) => prop_assert!(!error.to_string().is_empty()),
                }
            }
        }
        let with_header = [&b"text,labels\n"[..], &bytes].concat();
        read(Format::Csv, &with_header, &options);
        let _ = super::super::parse_label_file(&bytes);
    }
}

#[cfg(feature = "parquet")]
mod parquet {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, LargeStringArray, ListArray, ListBuilder,
        StringArray, StringBuilder, StringViewArray, TimestampMillisecondArray,
    };
    use arrow::datatypes::Int32Type;

    use super::super::parquet_bytes;
    use super::*;

    /// The same strings in each of the ways in which Arrow holds them.
    fn string_array(kind: usize, values: Vec<Option<&str>>) -> ArrayRef {
        match kind % 4 {
            0 => Arc::new(StringArray::from(values)),
            1 => Arc::new(LargeStringArray::from(values)),
            2 => Arc::new(StringViewArray::from(values)),
            _ => Arc::new(DictionaryArray::<Int32Type>::from_iter(values)),
        }
    }

    fn label_array(articles: &[Article]) -> ListArray {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for article in articles {
            builder.append_option(article.labels.as_ref().map(|names| names.iter().map(Some)));
        }
        builder.finish()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn parquet_is_read_back(
            mut articles in prop::collection::vec(article(any::<String>().prop_map(Value::from).boxed()), 1..5),
            kind in 0usize..4,
            has_list in any::<bool>(),
            unknown in any::<bool>(),
        ) {
            if unknown {
                articles[0].labels = None;
            }
            let column = |get: &dyn Fn(&Article) -> Option<String>| {
                let values: Vec<Option<String>> = articles.iter().map(get).collect();
                string_array(kind, values.iter().map(Option::as_deref).collect())
            };
            let labels: ArrayRef = match has_list {
                true => Arc::new(label_array(&articles)),
                false => column(&|article| article.labels.as_ref().map(|names| names.join(LABEL_SEPARATOR))),
            };
            let extra = |name: &'static str| {
                column(&|article| article.extra[name].as_str().map(str::to_owned))
            };
            let bytes = parquet_bytes(vec![
                ("id", column(&|article| Some(article.id.clone()))),
                ("title", column(&|article| article.title.clone())),
                ("date", extra("date")),
                ("text", column(&|article| Some(article.text.clone()))),
                ("labels", labels),
                ("source", extra("source")),
            ]);
            prop_assert_eq!(good(Format::Parquet, &bytes), articles);
        }

        #[test]
        fn damaged_parquet_is_an_error_or_other_rows(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let ids: Vec<i64> = (0..50).collect();
            let texts: Vec<Option<String>> = ids.iter().map(|id| Some(format!("article {}", id % 7))).collect();
            let mut bytes = parquet_bytes(vec![
                ("id", Arc::new(Int64Array::from(ids)) as ArrayRef),
                ("text", string_array(0, texts.iter().map(Option::as_deref).collect())),
            ]);
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            for row in read(Format::Parquet, &bytes, &ReadOptions::default()) {
                if let Err(error) = row {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }
    }

    #[test]
    fn columns_pass_through_as_json() {
        let mut list = ListBuilder::new(StringBuilder::new());
        list.append_value([Some("a"), None]);
        let bytes = parquet_bytes(vec![
            ("n", Arc::new(Int64Array::from(vec![i64::MIN])) as ArrayRef),
            ("text", string_array(0, vec![Some("a")])),
            ("x", Arc::new(Float64Array::from(vec![0.1])) as ArrayRef),
            ("nan", Arc::new(Float64Array::from(vec![f64::NAN])) as ArrayRef),
            ("yes", Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
            ("none", string_array(0, vec![None])),
            ("when", Arc::new(TimestampMillisecondArray::from(vec![1_500])) as ArrayRef),
            ("list", Arc::new(list.finish()) as ArrayRef),
        ]);
        let extra = json!({
            "n": i64::MIN, "x": 0.1, "nan": null, "yes": true, "none": null, "when": "1970-01-01T00:00:01.500",
            "list": ["a", null],
        });
        let articles = good(Format::Parquet, &bytes);
        assert_eq!(Value::Object(articles[0].extra.clone()), extra);
        assert!(articles[0].extra.keys().eq(["n", "x", "nan", "yes", "none", "when", "list"]));
    }
}
