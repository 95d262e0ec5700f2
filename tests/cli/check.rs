//! `topicwire check`: articles looked over before training.

use crate::support::{DONE, ENCODER, FAILED, GATE_NOT_MET, Place, ROWS_REJECTED, Run, rows};

const WIRE: &str = "Ships carrying grain left the harbour of Odesa on Monday, the port authority said in a statement.";

fn row(id: &str, text: &str, labels: &[&str]) -> String {
    serde_json::json!({"id": id, "text": text, "labels": labels}).to_string() + "\n"
}

/// Twelve different articles of two topics.
fn healthy() -> String {
    const TEXTS: [&str; 12] = [
        "Ministers agreed on a tariff for imported steel after long talks in Brussels.",
        "The harbour of Gdansk handled a record amount of containers last year.",
        "Farmers protested against cheap cereals from abroad and blocked two border crossings.",
        "A new free trade agreement with Chile enters into force next month.",
        "Customs officers found counterfeit goods worth millions in a warehouse.",
        "Exports of wine fell sharply because of the drought, growers reported.",
        "The navy ordered four frigates from a shipyard in the north.",
        "Soldiers of three countries trained winter warfare near the polar circle.",
        "Parliament approved a budget for air defence that doubles spending.",
        "An old howitzer exploded during an exercise; nobody was hurt.",
        "The general warned that ammunition would run short within weeks.",
        "Reservists were called up to guard bridges and power stations.",
    ];
    let label = |i: usize| if i < 6 { "trade" } else { "defense" };
    TEXTS.iter().enumerate().map(|(i, text)| row(&format!("h{i}"), text, &[label(i)])).collect()
}

/// Training data with one of most things that are wrong, and test data that leaks.
fn place() -> Place {
    let place = Place::new();
    let near = format!("KYIV (Agency) - {WIRE}");
    place.write(
        "train.jsonl",
        healthy()
            + &row("w1", WIRE, &["trade"])
            + &row("w2", &WIRE.to_uppercase(), &["defense"])
            + &row("w3", &near, &["trade"])
            + &row("h0", "The minister saidâ€¦ that itâ€™s a deal &amp; will be signed.", &["Trade"])
            + "{\"id\":\"none\",\"text\":\"  \"}\n",
    );
    place.write("test.jsonl", row("t1", &WIRE.to_lowercase(), &["trade"]) + &row("t2", "A word on chess.", &["sport"]));
    place
}

fn fast(place: &Place, more: &[&str]) -> Run {
    place.run(&[&["check", "train.jsonl", "--test", "test.jsonl", "--fast"], more].concat())
}

#[test]
fn what_is_wrong_is_named_with_examples_the_worst_first() {
    let run = fast(&place(), &[]).expect(DONE).says("checked in ");
    // Examples are not broken where they are short.
    let shown = &run.out().replace('\u{a0}', " ");
    assert!(
        shown.starts_with("18 articles (16 in train, 2 in test.jsonl): 5 errors, "),
        "one number for each severity: {shown}"
    );
    let order: Vec<usize> = ["\nerrors\n", "\nwarnings\n", "\nnotes\n"].map(|part| shown.find(part).unwrap()).to_vec();
    assert!(order.is_sorted(), "{shown}");
    for part in [
        "unusable_row",
        "train.jsonl:17:",
        "duplicate_id",
        "leakage",
        "t1 = w1",
        "conflicting_labels",
        "(defense | trade)",
        "label_not_in_train",
        "sport (1)",
        "near_duplicates",
        "w1 ~ w2 ~ w3",
        "similar_label_names",
        "Trade (1) / trade (9)",
        "mojibake",
        "(â€¦ for … â€™ for ’)",
        "markup",
        "(&amp;)",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 100), "{shown}");
}

#[test]
fn findings_are_json_lines_with_ids_and_where_they_are_from() {
    let place = place();
    let run = fast(&place, &["--jsonl", "findings.jsonl"]).expect(DONE);
    assert!(run.out().contains("leakage"), "the table is printed too");
    let found = rows(&place.read_text("findings.jsonl"));
    let leak = found.iter().find(|finding| finding["kind"] == "leakage").unwrap();
    let expected = serde_json::json!({
        "kind": "leakage", "severity": "error", "ids": ["t1", "w1"], "parts": ["test.jsonl", "train"], "labels": [],
        "detail": {"exact": true, "jaccard": 1.0}
    });
    assert_eq!(leak, &expected);
    let kinds: Vec<&str> = found.iter().map(|finding| finding["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "unusable_row");

    let run = place.run(&["check", "train.jsonl", "--fast", "--jsonl", "-"]).expect(DONE);
    assert!(rows(run.out()).iter().all(|finding| finding.get("parts").is_none()), "one input alone needs no names");
}

#[test]
fn the_review_file_holds_each_article_to_decide_about_once() {
    let place = place();
    fast(&place, &["--review", "review.jsonl"]).expect(DONE);
    let lines = rows(&place.read_text("review.jsonl"));
    let ids: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["w1", "w2", "w3"]);
    assert_eq!(
        (&lines[1]["labels"], &lines[1]["decision"]),
        (&serde_json::json!(["defense"]), &serde_json::Value::Null)
    );
    let like = &lines[1]["findings"][0];
    assert_eq!((&like["kind"], &like["like"][0]["id"]), (&"conflicting_labels".into(), &"w1".into()));
}

#[test]
fn strict_is_a_gate_that_notes_do_not_close() {
    let place = place();
    fast(&place, &["--strict"]).expect(GATE_NOT_MET);
    // Twelve articles, six of each label: notes on few articles alone.
    place.write("healthy.jsonl", healthy());
    let run = place.run(&["check", "healthy.jsonl", "--fast", "--strict"]).expect(DONE);
    assert!(run.out().starts_with("12 articles: 0 errors, 0 warnings, "), "{}", run.out());
}

#[test]
fn the_encoder_is_asked_unless_it_is_to_be_fast() {
    let place = place();
    let args = ["check", "train.jsonl", "--test", "test.jsonl", "--encoder", ENCODER, "--jsonl", "findings.jsonl"];
    let run = place.run(&args).expect(DONE);
    assert!(run.out().contains("leakage"));
    let run_again = place.run(&[&args[..], &["--threads", "1"]].concat()).expect(DONE);
    assert_eq!(run.out(), run_again.out(), "threads change nothing");
    place.run(&["check", "train.jsonl", "--encoder", "nowhere", "--offline"]).expect(FAILED).says("error: ");
    place.run(&["check", "train.jsonl", "--encoder", "nowhere", "--offline", "--fast"]).expect(DONE);
}

#[test]
fn bad_rows_are_findings_unless_told_otherwise() {
    let place = place();
    fast(&place, &["--on-error", "stop"]).expect(FAILED).says("train.jsonl:17");
    let run = fast(&place, &["--on-error", "skip"]).expect(ROWS_REJECTED).says("1 rejected: see rejects.jsonl");
    assert!(!run.out().contains("unusable_row"));
    assert_eq!(rows(&place.read_text("rejects.jsonl")).len(), 1);
    assert_eq!(rows(&place.read_text("test-1-rejects.jsonl")).len(), 0);
}

#[test]
fn articles_without_labels_are_looked_over_too() {
    let place = Place::new();
    let text: String = (1..3).map(|i| format!("{{\"id\":\"{i}\",\"text\":\"{WIRE}\"}}\n")).collect();
    let run = place.run_with_input(&["check", "-", "--fast", "--format", "jsonl"], text.as_bytes()).expect(DONE);
    assert!(run.out().starts_with("2 articles: 0 errors, 1 warning, "), "{}", run.out());
    assert!(run.out().contains("1\u{a0}=\u{a0}2"));
}

#[test]
fn ids_are_used_once_within_each_input_and_not_across_them() {
    let place = Place::new();
    place.write("a.jsonl", "{\"text\":\"ships carry grain\"}\n");
    place.write("b.jsonl", "{\"text\":\"the army ordered a frigate\"}\n");
    let args = ["check", "a.jsonl", "--test", "b.jsonl", "--test", "b.jsonl", "--fast", "--jsonl", "-"];
    let found = rows(place.run(&args).expect(DONE).out());
    assert!(found.iter().all(|finding| finding["kind"] != "duplicate_id"), "{found:?}");
    // The same file twice is all duplicates.
    assert!(found.iter().any(|finding| finding["kind"] == "exact_duplicates"), "{found:?}");
}

#[test]
fn slips_are_errors() {
    let place = place();
    place.run(&["check", "--fast"]).expect(FAILED).says("error: ");
    place.run(&["check", "nowhere.jsonl", "--fast"]).expect(FAILED).says("nowhere.jsonl");
    place.run(&["check", "train.jsonl", "--test", "nowhere.jsonl", "--fast"]).expect(FAILED).says("nowhere.jsonl");
    place
        .run_with_input(&["check", "-", "--fast", "--format", "jsonl"], b"")
        .expect(FAILED)
        .says("no article to check");
    place.run(&["check", "train.jsonl", "--fast", "--jsonl", "none/f.jsonl"]).expect(FAILED).says("cannot create");
    place.write("run.toml", "[check]\nfast = true\ndata = [\"train.jsonl\"]\n");
    place.run(&["check", "--config", "run.toml"]).expect(DONE);
}

#[test]
fn nothing_reaches_the_terminal_as_an_order() {
    let place = Place::new();
    let hostile = "a\u{1b}[31mb";
    place.write("hostile.jsonl", row(hostile, WIRE, &[hostile]) + &row(hostile, WIRE, &["x"]));
    let run = place.run(&["check", "hostile.jsonl", "--fast"]).expect(DONE);
    assert!(!run.out().contains('\u{1b}') && run.out().contains('\u{fffd}'), "{}", run.out());
}
