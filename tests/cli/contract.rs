//! `train --aim precision>=P` and what follows from it: certificates, rows that are automatic or for review, how the promise was kept.

use serde_json::Value;

use crate::support::{DONE, ENCODER, FAILED, Place, articles, rows};

/// Articles enough to certify 0.9 for each of two labels.
const N_ARTICLES: usize = 240;

fn place() -> Place {
    let place = Place::new();
    place.write("train.jsonl", articles(N_ARTICLES));
    place
}

fn train(place: &Place, extra: &[&str]) -> crate::support::Run {
    place.run(&[&["train", "train.jsonl", "--encoder", ENCODER, "-o", "model", "--overwrite"], extra].concat())
}

#[test]
fn a_promise_is_certified_kept_and_told() {
    let place = place();
    let trained = train(&place, &["--aim", "precision>=0.9"]).expect(DONE);
    let out = trained.out();
    assert!(out.contains("promised for each label: precision>=0.9, with a risk of 0.1 that it fails"), "{out}");
    assert!(out.contains("of the articles need no person"), "{out}");

    let predicted = rows(place.run(&["predict", "model", "train.jsonl"]).expect(DONE).says("need no person").out());
    assert_eq!(predicted.len(), N_ARTICLES);
    for row in &predicted {
        let n_review = row["review"].as_array().unwrap().len();
        assert_eq!(row["status"] == "auto", n_review == 0, "{row}");
        assert_eq!(row["reason"] == "", n_review == 0, "{row}");
    }
    assert!(predicted.iter().any(|row| row["status"] == "auto" && row["labels"] != Value::Array(vec![])));

    let evaluated = place.run(&["evaluate", "model", "train.jsonl", "--json"]).expect(DONE);
    let report: Value = serde_json::from_str(evaluated.out()).unwrap();
    let kept = &report["contract"];
    assert!(kept["all"]["share"].as_f64().unwrap() >= 0.9, "{kept}");
    assert_eq!(kept["came"]["n_articles"], N_ARTICLES);
    let text = place.run(&["evaluate", "model", "train.jsonl"]).expect(DONE);
    assert!(text.out().contains("mean over articles of the share of their labels"), "{}", text.out());

    let inspected = place.run(&["inspect", "model"]).expect(DONE);
    assert!(inspected.out().contains("precision>=0.9"), "{}", inspected.out());
    assert!(place.read_text("model/README.md").contains("precision>=0.9"));
}

#[test]
fn what_was_never_certified_is_left_to_a_person() {
    let place = place();
    // Of 240 articles none can prove one mistake in a thousand.
    train(&place, &["--aim", "precision>=0.999"]).expect(DONE);
    let predicted = rows(place.run(&["predict", "model", "train.jsonl"]).expect(DONE).out());
    assert!(predicted.iter().all(|row| row["labels"] == Value::Array(vec![])));
    assert!(predicted.iter().any(|row| row["reason"].as_str().unwrap().contains("is never automatic")));
}

#[test]
fn tables_have_the_columns_and_pass_others_of_the_same_name_under_another() {
    let place = place();
    train(&place, &["--aim", "precision>=0.9", "--aim-over", "all"]).expect(DONE);
    place.write(
        "new.jsonl",
        "{\"id\": \"n1\", \"text\": \"soldiers train with new tanks, report 3\", \"status\": \"draft\"}\n",
    );
    let csv = place.run(&["predict", "model", "new.jsonl", "--output-format", "csv"]).expect(DONE);
    let header = csv.out().lines().next().unwrap();
    assert_eq!(header, "id,labels,defense,trade,status,review,reason,input_status");
    place.run(&["predict", "model", "new.jsonl", "-o", "out.parquet"]).expect(DONE);
}

#[test]
fn single_labels_are_left_open_where_they_are_not_sure() {
    let place = place();
    let single: String = articles(N_ARTICLES)
        .lines()
        .filter(|line| !line.contains("\"trade\",\"defense\""))
        .map(|line| format!("{line}\n"))
        .collect();
    place.write("train.jsonl", single);
    train(&place, &["--aim", "precision>=0.9", "--risk", "0.2"]).expect(DONE);
    for row in rows(place.run(&["predict", "model", "train.jsonl"]).expect(DONE).out()) {
        let n = row["labels"].as_array().unwrap().len() + row["review"].as_array().unwrap().len();
        assert_eq!(n, 1, "{row}");
    }
    place.run(&["evaluate", "model", "train.jsonl"]).expect(DONE);
}

#[test]
fn articles_held_out_certify_as_well() {
    let place = place();
    let all = articles(2 * N_ARTICLES);
    let lines: Vec<String> = all.lines().map(|line| format!("{line}\n")).collect();
    place.write("certify.jsonl", lines[N_ARTICLES..].concat());
    train(&place, &["--aim", "recall>=0.9", "--certify-on", "certify.jsonl"]).expect(DONE);
    let manifest: Value = serde_json::from_str(&place.read_text("model/manifest.json")).unwrap();
    assert_eq!(manifest["format_version"], 4);
    assert_eq!(manifest["contract"]["expected"]["n_articles"], N_ARTICLES);
    let settings = &manifest["training"]["settings"];
    assert_eq!(settings["certify-on"], serde_json::json!(["certify.jsonl"]));
}

#[test]
fn promises_that_cannot_be_made_are_refused() {
    let place = place();
    train(&place, &["--risk", "0.1"]).expect(FAILED).says("--risk is about a promise");
    train(&place, &["--aim", "precision>=1"]).expect(FAILED).says("neither included");
    train(&place, &["--aim", "precision>=0.9", "--risk", "2"]).expect(FAILED).says("delta");
    place.write("train.jsonl", articles(2));
    train(&place, &["--aim", "precision>=0.9"]).expect(FAILED).says("nothing can be promised");
}
