//! The same data and seed give the same bytes; what must not matter does not.

use std::collections::BTreeMap;

use crate::formats::{Predicted, predictions_of_parquet};
use crate::support::{DONE, ENCODER, Place, files_of, root};

/// Room for the order of additions in f32 products, which depends on how articles fall into batches.
const MAX_PROBABILITY_DIFFERENCE: f64 = 1e-6;
/// Enough real articles for several windows, folds and batches; few enough to be quick.
const N_ARTICLES: usize = 30;

fn real_articles() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("data/diplomacy/train.jsonl")).unwrap();
    text.lines().take(N_ARTICLES).map(|line| format!("{line}\n")).collect()
}

/// A few windows an article are enough.
const QUICK: [&str; 2] = ["--max-windows", "3"];

#[test]
fn the_model_is_the_same_byte_for_byte_on_any_number_of_threads_and_again() {
    let place = Place::new();
    place.write("train.jsonl", real_articles().concat());
    for views in ["document", "document,words", "document,passages,words,descriptions"] {
        let train = |output: &str, threads: &str| {
            let output = format!("{views}-{output}");
            let mut args = vec!["train", "train.jsonl", "--encoder", ENCODER, "-o", &output, "--threads", threads];
            args.extend(["--views", views]);
            place.run(&[&args[..], &QUICK].concat()).expect(DONE);
            files_of(&place.path(&output))
        };
        let first = train("first", "1");
        assert_eq!(first, train("again", "1"));
        assert_eq!(first, train("two", "2"));
        assert_eq!(first, train("five", "5"));
    }
}

#[test]
fn another_seed_gives_other_folds() {
    let place = Place::new();
    place.write("train.jsonl", real_articles().concat());
    let log_losses = |output: &str, seed: &str| {
        let args = ["train", "train.jsonl", "--encoder", ENCODER, "-o", output, "--seed", seed];
        place.run(&[&args[..], &QUICK].concat()).expect(DONE);
        let manifest: serde_json::Value =
            serde_json::from_str(&place.read_text(&format!("{output}/manifest.json"))).unwrap();
        manifest["training"]["cross_validation"]["log_loss_of_strengths"].clone()
    };
    assert!(log_losses("zero", "0").as_array().is_some_and(|tried| tried.len() > 1));
    assert_ne!(log_losses("one", "1"), log_losses("two", "2"));
}

#[test]
fn order_of_rows_and_size_of_batches_change_no_label_and_no_probability() {
    let place = Place::new();
    let articles = real_articles();
    place.write("train.jsonl", articles.concat());
    place.run(&[&["train", "train.jsonl", "--encoder", ENCODER, "-o", "model"], &QUICK[..]].concat()).expect(DONE);
    let predict = |data: &str, extra: &[&str]| -> BTreeMap<String, Predicted> {
        place.run(&[&["predict", "model", data, "-o", "out.parquet"], extra].concat()).expect(DONE);
        predictions_of_parquet(&place.path("out.parquet")).into_iter().map(|row| (row.id.clone(), row)).collect()
    };
    let expected = predict("train.jsonl", &[]);
    assert_eq!(expected.len(), N_ARTICLES);

    let mut shuffled = articles.clone();
    shuffled.reverse();
    shuffled.rotate_left(7);
    place.write("shuffled.jsonl", shuffled.concat());
    let others = [
        ("rows in another order", predict("shuffled.jsonl", &[])),
        ("batches of 64 tokens", predict("train.jsonl", &["--batch-tokens", "64"])),
        ("batches of 1000 tokens", predict("train.jsonl", &["--batch-tokens", "1000"])),
        ("batches of 4096 tokens", predict("train.jsonl", &["--batch-tokens", "4096"])),
        ("two threads", predict("train.jsonl", &["--threads", "2"])),
    ];
    let mut worst: f64 = 0.0;
    for (what, found) in others {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (id, expected) in &expected {
            let found = &found[id];
            let sorted = |labels: &[String]| labels.iter().cloned().collect::<std::collections::BTreeSet<_>>();
            assert_eq!(sorted(&found.labels), sorted(&expected.labels), "{what}, article {id}");
            for (found, expected) in found.scores.iter().zip(&expected.scores) {
                worst = worst.max((found - expected).abs());
            }
        }
        assert!(worst <= MAX_PROBABILITY_DIFFERENCE, "{what}: {worst}");
    }
    println!("largest difference of a probability: {worst:e}");
}
