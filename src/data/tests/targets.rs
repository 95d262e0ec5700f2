//! Labels of articles to targets, and files of labels.

use super::super::{
    Article, Columns, Format, Place, Position, ReadOptions, RowProblem, check_labels, collect_targets, parse_label_file,
};
use super::read;
use crate::labels::{LabelId, LabelSet, Targets, Task};

fn names(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn the_task_follows_from_the_rows() {
    let (a, b, none, both) = (names(&["a"]), names(&["b"]), names(&[]), names(&["b", "a"]));
    let single = collect_targets([("1", Some(&b[..])), ("2", Some(&a[..]))], None, None).unwrap();
    assert_eq!(single.task(), Task::Single);
    assert!(single.labels.names().eq(["a", "b"]));
    assert_eq!(single.targets, Targets::Single(vec![LabelId(1), LabelId(0)]));

    let rows = [("1", Some(&both[..])), ("2", Some(&none[..])), ("3", Some(&a[..]))];
    let multi = collect_targets(rows, None, None).unwrap();
    assert_eq!(multi.targets, Targets::Multi(vec![vec![LabelId(0), LabelId(1)], vec![], vec![LabelId(0)]]));
    assert_eq!((multi.n_none, multi.n_one, multi.n_several), (1, 1, 1));
    let forced = collect_targets([("1", Some(&a[..]))], None, Some(Task::Multi)).unwrap();
    assert_eq!(forced.targets, Targets::Multi(vec![vec![LabelId(0)]]));

    let known = LabelSet::from_names(["b", "c", "a"]).unwrap();
    let ordered = collect_targets([("1", Some(&both[..]))], Some(&known), None).unwrap();
    assert_eq!(ordered.targets, Targets::Multi(vec![vec![LabelId(0), LabelId(2)]]));
}

#[test]
fn labels_that_cannot_be_resolved() {
    let (both, none, odd) = (names(&["a", "b"]), names(&[]), names(&["defence"]));
    let known = LabelSet::from_names(["defense"]).unwrap();
    let message = |rows: &[(&str, Option<&[String]>)], known, task| {
        collect_targets(rows.iter().copied(), known, task).unwrap_err().to_string()
    };
    assert_eq!(message(&[], None, None), "there are no articles");
    assert_eq!(message(&[("x", Some(&none))], None, None), "no article has a label");
    assert_eq!(
        message(&[("x", None)], None, None),
        "article `x`: it has no labels; name the label column with --label-column"
    );
    assert_eq!(
        message(&[("x", Some(&both))], None, Some(Task::Single)),
        "article `x`: a single-label task needs exactly one label, found 2"
    );
    assert_eq!(
        message(&[("x", Some(&odd))], Some(&known), None),
        "article `x`: unknown label `defence`; the closest known one is `defense`"
    );
}

#[test]
fn a_check_refuses_unknown_labels_and_none_at_all() {
    let place = Place { file: std::path::Path::new("f").into(), position: Position::Line(1) };
    let mut check = check_labels(LabelSet::from_names(["a"]).unwrap());
    let mut article = Article::new("x", "text");
    assert_eq!(check(&article, &place), Err(RowProblem::Unlabelled));
    article.labels = Some(names(&[]));
    assert_eq!(check(&article, &place), Ok(()));
    article.labels = Some(names(&["a", "z"]));
    assert_eq!(check(&article, &place).unwrap_err().to_string(), "unknown label `z`; the closest known one is `a`");
}

#[test]
fn one_label_may_stand_under_label() {
    let options = ReadOptions::default();
    let labels = |format, bytes: &[u8]| read(format, bytes, &options)[0].as_ref().unwrap().labels.clone();
    assert_eq!(labels(Format::Csv, b"text,label\na,b\n"), Some(names(&["b"])));
    assert_eq!(labels(Format::Csv, b"text,label,labels\na,b,c|d\n"), Some(names(&["c", "d"])));
    assert_eq!(labels(Format::Csv, b"text,labels\na,\n"), Some(names(&[])));
    assert_eq!(labels(Format::Csv, b"text\na\n"), None);
    assert_eq!(labels(Format::Jsonl, br#"{"text":"a","label":"b"}"#), Some(names(&["b"])));
    let named = Columns { labels: Some("labels".into()), ..Columns::default() };
    let named = ReadOptions { columns: named, ..ReadOptions::default() };
    let article = read(Format::Jsonl, br#"{"text":"a","label":"b"}"#, &named).remove(0).unwrap();
    assert_eq!((article.labels, article.extra["label"].as_str()), (None, Some("b")));
}

#[test]
fn settings_are_written_and_read() {
    let options = ReadOptions {
        format: Some(Format::FastText),
        columns: Columns { text: Some("body".into()), ..Columns::default() },
        label_separator: ";".into(),
        ..ReadOptions::default()
    };
    let json = serde_json::to_string(&options).unwrap();
    assert!(json.starts_with(r#"{"format":"fasttext","columns":{"text":"body"},"label_separator":";","#), "{json}");
    assert_eq!(serde_json::from_str::<ReadOptions>(&json).unwrap(), options);
    assert_eq!(serde_json::from_str::<ReadOptions>("{}").unwrap(), ReadOptions::default());
    assert!(serde_json::from_str::<ReadOptions>(r#"{"colums":{}}"#).is_err());
}

#[test]
fn files_of_labels() {
    let set = parse_label_file(b"\xEF\xBB\xBF[{\"label\":\"b\",\"description\":\"of b\"},{\"label\":\" a \"},\"c\"]")
        .unwrap();
    assert!(set.names().eq(["b", "a", "c"]));
    assert_eq!(set.get(LabelId(0)).description.as_deref(), Some("of b"));
    for (bytes, message) in [
        (&b"[{]"[..], "broken JSON at line 1, column 3: key must be a string"),
        (
            b"{}",
            "expected a list of objects like {\"label\": \"trade\", \"description\": \"\u{2026}\"}, found an object",
        ),
        (b"[1]", "entry 1 should be an object with `label`, or a string; found a number"),
        (b"[\"a\",{}]", "entry 2 has no `label`"),
        (b"[{\"label\":3}]", "entry 1: `label` should be a string, found a number"),
        (
            b"[{\"label\":\"a\",\"descripton\":\"x\"}]",
            "entry 1 has an unknown key `descripton`; known are `label`, `description`, `examples`, `keywords` and `patterns`",
        ),
        (b"[]", "a label set must hold at least one label"),
        (b"[\"a\",\"a\"]", "label `a` is listed twice, as numbers 0 and 1"),
    ] {
        let found = parse_label_file(bytes).unwrap_err().to_string();
        assert_eq!(found, message, "{}", String::from_utf8_lossy(bytes));
    }
}
