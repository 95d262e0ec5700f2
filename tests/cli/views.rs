//! Views of an article, evidence, few labelled articles, batches from elsewhere.

use serde_json::{Value, json};

use crate::support::{DONE, ENCODER, FAILED, Place, ROWS_REJECTED, articles, rows};

const LABELS: &str = r#"[{"label": "defense", "description": "Armies and arms.", "keywords": ["tanks", "frigate"]},
    {"label": "trade", "examples": ["A tariff deal was signed."], "patterns": ["(?i)tariff|grain"]}]"#;

/// Articles with a title, several sentences and labels of their two paragraphs.
fn long_articles(n: usize) -> String {
    let row = |i: usize| {
        let (first, second) = [("trade", "defense"), ("defense", "trade")][i % 2];
        let sentence = |label: &str| match label {
            "trade" => format!(
                "Ships carry grain to the harbour in report {i}. A tariff deal was signed there by the minister."
            ),
            _ => format!("Soldiers train with new tanks in report {i}. The army ordered a frigate from the old yard."),
        };
        let source = ["gazette", "courier"][i % 2];
        let mut labels = vec![first];
        let mut text = sentence(first);
        let mut gold = vec![vec![first]];
        if i.is_multiple_of(3) {
            labels.push(second);
            text = format!("{text}\n\n{}", sentence(second));
            gold.push(vec![second]);
        }
        json!({"id": format!("a{i}"), "title": format!("Élysée note {i}"), "text": text, "labels": labels,
            "paragraph_labels": gold, "source": source})
        .to_string()
            + "\n"
    };
    (0..n).map(row).collect()
}

fn place() -> Place {
    let place = Place::new();
    place.write("train.jsonl", long_articles(36));
    place.write("labels.json", LABELS);
    place
}

fn train(place: &Place, flags: &[&str]) -> crate::support::Run {
    let args = ["train", "train.jsonl", "--encoder", ENCODER, "-o", "model", "--labels", "labels.json", "--overwrite"];
    place.run(&[&args[..], flags].concat()).expect(DONE)
}

fn manifest(place: &Place) -> Value {
    serde_json::from_str(&place.read_text("model/manifest.json")).unwrap()
}

#[test]
fn hints_and_columns_are_views_of_their_own() {
    let place = place();
    let run = train(&place, &["--few", "never", "--metadata", "source", "--views", "document,rules,metadata"]);
    assert!(run.out().contains("; weights: document ") && run.out().contains(", rules "), "{}", run.out());
    assert_eq!(manifest(&place)["format_version"], 4);
    assert_eq!(manifest(&place)["labels"][0]["keywords"], json!(["tanks", "frigate"]));
    let predicted = place.run(&["predict", "model", "train.jsonl", "-q"]).expect(DONE);
    assert_eq!(rows(predicted.out()).len(), 36);
    place.write("labels.json", LABELS.replace("(?i)tariff|grain", "(tariff"));
    let args =
        ["train", "train.jsonl", "--encoder", ENCODER, "-o", "other", "--labels", "labels.json", "--few", "never"];
    place.run(&args).expect(FAILED).says("pattern `(tariff` of label `trade` is not a regular expression");
}

#[test]
fn evidence_stands_where_it_says() {
    let place = place();
    for flags in
        [&["--few", "never", "--views", "document"][..], &["--few", "never"], &["--profile", "best", "--few", "never"]]
    {
        train(&place, flags);
        let run = place.run(&["predict", "model", "train.jsonl", "--evidence", "-q"]).expect(DONE);
        let plain = place.run(&["predict", "model", "train.jsonl", "-q"]).expect(DONE);
        for (row, plain) in rows(run.out()).iter().zip(rows(plain.out())) {
            assert_eq!((&row["labels"], &row["scores"]), (&plain["labels"], &plain["scores"]), "{flags:?}");
            let evidence = row["evidence"].as_object().unwrap();
            assert_eq!(evidence.len(), row["labels"].as_array().unwrap().len());
            let text = rows(&long_articles(36)).iter().find(|a| a["id"] == row["id"]).unwrap()["text"].clone();
            for passage in evidence.values().flat_map(|own| own.as_array().unwrap()) {
                let at = |name: &str| passage[name].as_u64().unwrap() as usize;
                let shown: String =
                    text.as_str().unwrap().chars().skip(at("start")).take(at("end") - at("start")).collect();
                assert_eq!((&passage["text"], &passage["field"]), (&json!(shown), &json!("text")));
            }
        }
    }
    place
        .run(&["predict", "model", "train.jsonl", "--evidence", "-o", "out.csv"])
        .expect(FAILED)
        .says("--evidence needs JSON Lines, which hold lists of passages; the output is to be csv");
    let checked = place.run(&["evaluate", "model", "train.jsonl", "--evidence", "--json", "-q"]).expect(DONE);
    let report: Value = serde_json::from_str(checked.out()).unwrap();
    let right = report["evidence"]["in_right_paragraph"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&right) && report["evidence"]["n_in_paragraphs"].as_u64().unwrap() > 0);
}

#[test]
fn labels_of_paragraphs_are_checked() {
    let place = place();
    place.write(
        "train.jsonl",
        long_articles(36).replace(r#""paragraph_labels":[["trade"]]"#, r#""paragraph_labels":["trade"]"#),
    );
    let args = ["train", "train.jsonl", "--encoder", ENCODER, "-o", "model"];
    place.run(&args).expect(FAILED).says("should be a list with a list of labels for each paragraph");
    place.run(&[&args[..], &["--paragraph-labels", "none"]].concat()).expect(DONE);
}

#[test]
fn no_labelled_article_is_needed() {
    let place = place();
    place.write("more.jsonl", articles(24));
    let args = ["train", "--labels", "labels.json", "--encoder", ENCODER, "-o", "zero", "--task", "multi"];
    let run = place.run(&[&args[..], &["--unlabelled", "more.jsonl"]].concat()).expect(DONE);
    assert!(run.out().starts_with("0 articles, 2 labels, multi; too few articles"), "{}", run.out());
    run.says("what the labels mean and 24 unlabelled articles as well");
    let predicted = place.run(&["predict", "zero", "train.jsonl", "-q"]).expect(DONE);
    assert_eq!(rows(predicted.out()).len(), 36);
    // With no label file there is nothing to go by.
    place.run(&["train", "--encoder", ENCODER, "-o", "none"]).expect(FAILED);
    place.write("few.jsonl", long_articles(4));
    let few = ["train", "few.jsonl", "--labels", "labels.json", "--encoder", ENCODER, "-o", "few"];
    place.run(&few).expect(DONE).says("few labelled articles (4), so the head goes by what the labels mean as well");
}

#[test]
fn rejected_rows_of_both_inputs_are_kept() {
    let place = place();
    place.write("few.jsonl", long_articles(4) + "{broken\n");
    place.write("more.jsonl", articles(8) + "{broken too\n");
    let args = ["train", "few.jsonl", "--unlabelled", "more.jsonl", "--labels", "labels.json", "--encoder", ENCODER];
    let run = place.run(&[&args[..], &["-o", "few", "--on-error", "skip"]].concat()).expect(ROWS_REJECTED);
    run.says("1 row of the unlabelled articles rejected: see unlabelled-rejects.jsonl");
    for (file, row) in [("rejects.jsonl", "{broken"), ("unlabelled-rejects.jsonl", "{broken too")] {
        let rejects = rows(&place.read_text(file));
        assert_eq!((rejects.len(), rejects[0].to_string().contains(row)), (1, true), "{file}: {rejects:?}");
    }
}

#[test]
fn a_model_without_labelled_articles_knows_no_frequencies() {
    let place = place();
    place.run(&["train", "--labels", "labels.json", "--encoder", ENCODER, "-o", "zero"]).expect(DONE);
    place
        .run(&["predict", "zero", "train.jsonl", "--prior-shift"])
        .expect(FAILED)
        .says("the model was trained without labelled articles, so it knows no frequencies");
}

#[test]
fn a_batch_is_judged_as_a_whole_on_request() {
    let place = place();
    train(&place, &["--few", "never"]);
    let plain = place.run(&["predict", "model", "train.jsonl", "-q"]).expect(DONE);
    for how in ["--prior-shift", "--prior-shift=standardise", "--prior-shift=both"] {
        let run = place.run(&["predict", "model", how, "train.jsonl"]).expect(DONE);
        let ids = |text: &str| rows(text).iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(run.out()), ids(plain.out()));
        run.says("of 36 articles have other labels than each alone would have");
        let evaluated = place.run(&["evaluate", "model", "train.jsonl", how]).expect(DONE);
        evaluated.says("without --prior-shift: f1_micro ");
    }
    place
        .run(&["evaluate", "model", "train.jsonl", "--prior-shift", "--evidence"])
        .expect(FAILED)
        .says("ask for one of them");
}

#[test]
fn profiles_set_precision_and_views() {
    let place = place();
    for (profile, precision, depth) in
        [("fast", "int8", None), ("balanced", "int8", None), ("best", "f32", None), ("static", "f32", Some("static"))]
    {
        train(&place, &["--few", "never", "--profile", profile]);
        let encoder = &manifest(&place)["encoder"];
        assert_eq!((&encoder["precision"], encoder["depth"].as_str()), (&json!(precision), depth), "{profile}");
        let predicted = place.run(&["predict", "model", "train.jsonl", "-q"]).expect(DONE);
        assert_eq!(rows(predicted.out()).len(), 36, "{profile}");
    }
    train(&place, &["--few", "never", "--profile", "fast", "--precision", "bf16"]);
    assert_eq!(manifest(&place)["encoder"]["precision"], "bf16");
}
