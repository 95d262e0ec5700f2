//! `evaluate`: slices and comparisons.

use serde_json::{Value, json};

use crate::support::{DONE, ENCODER, FAILED, Place, articles, rows};

/// The training articles of `Place::with_model`, with sources and dates.
fn place() -> Place {
    let place = Place::with_model();
    let with_columns: String = rows(&articles(48))
        .into_iter()
        .enumerate()
        .map(|(i, mut row)| {
            row["source"] = json!(["wire", "paper"][i % 2]);
            row["date"] = json!(format!("2024-{:02}-11", 1 + i / 24));
            row["tags"] = json!(["a"]);
            row.to_string() + "\n"
        })
        .collect();
    place.write("test.jsonl", with_columns);
    place
}

fn report(run: &crate::support::Run) -> Value {
    serde_json::from_str(run.out()).unwrap()
}

#[test]
fn slices_are_tables_in_text_and_json() {
    let place = place();
    let args = [
        "evaluate",
        "model",
        "test.jsonl",
        "--by",
        "source",
        "--by",
        "date:month",
        "--by",
        "length",
        "--by",
        "label-count",
    ];
    let run = place.run(&args).expect(DONE);
    for part in [
        "\nsource",
        "\ndate:month",
        "\n2024-02",
        "under 25 words",
        " of 2 slices with 20 articles or more certainly below the ",
    ] {
        assert!(run.out().contains(part), "no `{part}` in\n{}", run.out());
    }
    let slices = report(&place.run(&[&args[..], &["--json", "-q"]].concat()).expect(DONE))["slices"].clone();
    assert_eq!(slices.as_array().unwrap().len(), 4);
    assert_eq!(slices[0]["column"], "source");
    let of_source = slices[0]["slices"].as_array().unwrap();
    assert_eq!((of_source.len(), &of_source[0]["n"], &of_source[0]["metric"]), (2, &json!(24), &json!("f1_micro")));
    let upper = |slice: &Value| slice["estimate"]["interval"][1].as_f64().unwrap();
    assert!(upper(&of_source[0]) <= upper(&of_source[1]));
    let none = report(&place.run(&["evaluate", "model", "test.jsonl", "--json", "-q"]).expect(DONE));
    assert!(none.get("slices").is_none() && none.get("comparison").is_none());
}

#[test]
fn columns_that_cannot_be_sliced_by_are_named() {
    let place = place();
    let fails = |by: &str, message: &str| {
        place.run(&["evaluate", "model", "test.jsonl", "--by", by]).expect(FAILED).says(message);
    };
    fails("sorce", "no article has a column `sorce` to slice by; the closest is `source`");
    fails("tags", "column `tags` of article a0 is a list, expected one value to slice by");
    fails("source:month", "column `source` of article a0 is `wire`, expected a date that begins like 2024-03");
    place
        .run(&["evaluate", "model", "test.jsonl", "--by", "length", "--prior-shift"])
        .expect(FAILED)
        .says("--prior-shift keeps no texts");
}

#[test]
fn a_model_is_compared_with_another_and_with_itself() {
    let place = place();
    let args =
        ["train", "train.jsonl", "--encoder", ENCODER, "-o", "other", "--views", "document", "--strengths", "0.001"];
    place.run(&args).expect(DONE);
    let run = place.run(&["evaluate", "model", "test.jsonl", "--compare", "other"]).expect(DONE);
    assert!(run.out().contains("\ncompared with `other` on the same 48 articles: the two differ on "), "{}", run.out());
    let args = ["evaluate", "model", "test.jsonl", "--compare", "model", "--json", "-q"];
    let same = report(&place.run(&args).expect(DONE))["comparison"].clone();
    assert_eq!((&same["n"], &same["n_differing"], &same["n_only_right"]), (&json!(48), &json!(0), &json!([0, 0])));
    for metric in same["metrics"].as_array().unwrap() {
        assert_eq!(metric["difference"], json!(0.0), "{metric}");
        assert_eq!(metric["interval"], json!([0.0, 0.0]), "{metric}");
    }
    let text = place.run(&["evaluate", "model", "test.jsonl", "--compare", "model", "-q"]).expect(DONE);
    assert!(
        text.out().contains("`model` and `model` are equal in f1_micro (95 % interval 0.0 to 0.0, p = 1.00)"),
        "{}",
        text.out()
    );
    assert!(text.out().contains("no label's F1 differs beyond chance, corrected for 2 labels"), "{}", text.out());
}

#[test]
fn predictions_of_other_tools_are_compared_too() {
    let place = place();
    place.run(&["predict", "model", "test.jsonl", "-o", "own.jsonl"]).expect(DONE);
    let compare = |file: &str| place.run(&["evaluate", "model", "test.jsonl", "--compare", file, "--json", "-q"]);
    let same = report(&compare("own.jsonl").expect(DONE))["comparison"].clone();
    let differences: Vec<f64> =
        same["metrics"].as_array().unwrap().iter().map(|metric| metric["difference"].as_f64().unwrap()).collect();
    // `predict` writes scores to seven decimals.
    assert!(differences.iter().all(|difference| difference.abs() < 1e-6) && same["n_differing"] == 0, "{same}");

    // Right everywhere, and without scores.
    let perfect: String = rows(&place.read_text("test.jsonl"))
        .iter()
        .map(|row| json!({"id": row["id"], "labels": row["labels"]}).to_string() + "\n")
        .collect();
    place.write("perfect.jsonl", &perfect);
    let better = report(&compare("perfect.jsonl").expect(DONE))["comparison"].clone();
    let names: Vec<&str> =
        better["metrics"].as_array().unwrap().iter().map(|metric| metric["metric"].as_str().unwrap()).collect();
    assert!(names.contains(&"f1_macro") && !names.contains(&"log_loss"), "{names:?}");
    assert_eq!(better["n_only_right"][0], 0);

    for (rows, message) in [
        (perfect.replace("trade", "trad"), "article a0: unknown label `trad`; the closest known one is `trade`"),
        (perfect.lines().skip(1).collect::<Vec<_>>().join("\n"), "article a0 is missing"),
        (perfect.clone() + &perfect, "article a0 was there before, in line 1"),
        (perfect.replace("\"labels\"", "\"topics\""), "broken.jsonl:1: expected {\"id\": \"…\""),
    ] {
        place.write("broken.jsonl", rows);
        compare("broken.jsonl").expect(FAILED).says(message);
    }
    compare("nowhere.jsonl").expect(FAILED).says("cannot read the predictions nowhere.jsonl");
}

#[test]
fn models_that_do_not_fit_each_other_are_refused() {
    let place = place();
    let single: String = rows(&articles(24))
        .into_iter()
        .map(|mut row| {
            row["labels"] = json!([row["labels"][0]]);
            row.to_string() + "\n"
        })
        .collect();
    place.write("single.jsonl", single);
    place.run(&["train", "single.jsonl", "--encoder", ENCODER, "-o", "single"]).expect(DONE);
    place
        .run(&["evaluate", "model", "test.jsonl", "--compare", "single"])
        .expect(FAILED)
        .says("single is for a single task, the model for a multi one: they cannot be compared");
}

#[test]
fn what_resamples_draw_is_kept_in_the_report() {
    let place = place();
    let bootstrap = |args: &[&str]| {
        let args = [&["evaluate", "model", "test.jsonl", "--json", "-q"], args].concat();
        report(&place.run(&args).expect(DONE))["bootstrap"].clone()
    };
    assert_eq!(bootstrap(&[])["resampling"], "articles");
    assert_eq!(bootstrap(&[])["kind"], "bias_corrected");
    assert_eq!(bootstrap(&["--resampling", "labels"])["resampling"], "labels");
}
