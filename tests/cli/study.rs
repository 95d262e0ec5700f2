//! Learning curves, few shots, time.

use serde_json::{Value, json};

use crate::support::{DONE, ENCODER, FAILED, Place, ROWS_REJECTED};

/// Articles of one label each, one a day from January on.
fn dated(n: usize, first: usize) -> String {
    const TEXTS: [(&str, &str); 3] = [
        ("ships carry grain to the harbour of a distant city", "trade"),
        ("soldiers train with new tanks beyond the river", "defense"),
        ("the reactor was connected to the grid last week", "energy"),
    ];
    let row = |i: usize| {
        let (text, label) = TEXTS[i % TEXTS.len()];
        let date = format!("2024-{:02}-{:02}", 1 + i / 28 % 12, 1 + i % 28);
        json!({"id": format!("a{i}"), "text": format!("{text}, report {i}"), "labels": [label], "date": date})
            .to_string()
            + "\n"
    };
    (first..first + n).map(row).collect()
}

fn place() -> Place {
    let place = Place::new();
    place.write("train.jsonl", dated(96, 0));
    place.write("test.jsonl", dated(30, 200));
    place
}

fn study(place: &Place, args: &[&str]) -> crate::support::Run {
    place.run(&[&["study"], args, &["--encoder", ENCODER, "--repeats", "3"]].concat())
}

fn json_of(run: &crate::support::Run) -> Value {
    serde_json::from_str(run.out()).unwrap()
}

#[test]
fn a_curve_says_what_twice_as_many_would_bring() {
    let place = place();
    let run =
        study(&place, &["curve", "train.jsonl", "--test", "test.jsonl", "--shares", "0.125,0.25,0.5,1"]).expect(DONE);
    let text = run.out();
    assert!(text.starts_with("96 labelled articles, 3 labels, single; tested on 30 others\n"), "{text}");
    for part in [
        "\nlaw: error = ",
        "\nput to the test: ",
        ": 192, twice as many, should bring ",
        " points of accuracy (95 % interval ",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    run.says("126 rows in, 126 out, 0 rejected");
    let run = study(&place, &["curve", "train.jsonl", "--json", "-", "--shares", "0.25,0.5,1", "-q"]).expect(DONE);
    let curve = json_of(&run);
    let sizes: Vec<&Value> = curve["sizes"].as_array().unwrap().iter().map(|size| &size["n"]).collect();
    assert_eq!(sizes, [16, 32, 64]);
    assert_eq!(
        (&curve["n_test"], &curve["metric"], &curve["doubled"]["n"]),
        (&Value::Null, &json!("accuracy"), &json!(128))
    );
    assert!(curve["law"]["floor"].as_f64().unwrap() >= 0.0);
    // Three sizes of which two are at most half are too few to foretell the third.
    assert_eq!(curve["backtest"], Value::Null);
}

#[test]
fn the_same_seed_gives_the_same_study_at_any_number_of_threads() {
    let place = place();
    let run = |threads| {
        let args = ["curve", "train.jsonl", "--json", "-", "-q", "--views", "document,words", "--threads", threads];
        study(&place, &args).expect(DONE).stdout
    };
    assert_eq!(run("1"), run("3"));
}

#[test]
fn few_shots_have_means_and_spreads() {
    let place = place();
    let args = ["few", "train.jsonl", "--test", "test.jsonl", "--shots", "2,40", "--json", "few.json"];
    let run = study(&place, &args).expect(DONE);
    assert!(run.out().contains("means and standard deviations of 3 draws, tested on 30 others"), "{}", run.out());
    run.says("labels with fewer than 40 articles give all they have: defense 32, energy 32, trade 32");
    let few: Value = serde_json::from_str(&place.read_text("few.json")).unwrap();
    let shots = few["shots"].as_array().unwrap();
    assert_eq!((&shots[0]["n_train"], &shots[1]["n_train"]), (&json!(6), &json!(96)));
    assert_eq!(shots[0]["repeats"].as_array().unwrap().len(), 3);
    assert!(shots[0]["score"]["sd"].is_number());
}

#[test]
fn time_is_held_against_random_splits() {
    let place = place();
    let run = study(&place, &["time", "train.jsonl", "--test-after", "2024-03-01"]).expect(DONE);
    assert!(run.out().contains("2024-03-01 to 2024-04-12"), "{}", run.out());
    assert!(run.out().contains("\ntime costs "), "{}", run.out());
    let run = study(&place, &["time", "train.jsonl", "--windows", "3", "--json", "-", "-q"]).expect(DONE);
    let windows = json_of(&run)["windows"].clone();
    let sizes: Vec<&Value> = windows.as_array().unwrap().iter().map(|window| &window["n_train"]).collect();
    assert_eq!(sizes, [24, 48, 72]);
}

#[test]
fn what_cannot_be_studied_is_said() {
    let place = place();
    let fails = |args: &[&str], message: &str| {
        study(&place, args).expect(FAILED).says(message);
    };
    fails(
        &["time", "train.jsonl", "--time-column", "dat"],
        "no article has a column `dat` to slice by; the closest is `date`",
    );
    fails(
        &["time", "train.jsonl", "--test-after", "March"],
        "--test-after is `March`, expected a date such as 2024-01-01",
    );
    fails(&["time", "train.jsonl", "--test", "test.jsonl"], "time says what is tested on");
    fails(&["time", "train.jsonl", "--test-after", "2031"], "there are 0 articles from the date on, to test on");
    fails(&["curve", "train.jsonl", "--shares", "2"], "study setting `shares` is 2, expected numbers above 0");
    fails(&["few", "train.jsonl", "--shots", "0"], "study setting `shots` is 0, expected at least 1");
    place.write("unlabelled.jsonl", r#"{"id": "u1", "text": "no labels"}"#);
    fails(&["curve", "unlabelled.jsonl"], "the article has no labels, though they are needed here");
}

#[test]
fn rejected_rows_of_the_test_are_kept_apart() {
    let place = place();
    place.write("test.jsonl", dated(12, 200) + "{broken\n");
    let args = ["few", "train.jsonl", "--test", "test.jsonl", "--shots", "4", "--on-error", "skip"];
    study(&place, &args)
        .expect(ROWS_REJECTED)
        .says("1 row of the articles to test on rejected: see test-rejects.jsonl");
    assert!(place.read_text("test-rejects.jsonl").contains("{broken"));
}
