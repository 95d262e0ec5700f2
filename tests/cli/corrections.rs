//! `train --corrections`: what a person decided about labels.

use serde_json::json;

use crate::support::{DONE, ENCODER, FAILED, Place, articles};

fn manifest(place: &Place, model: &str) -> serde_json::Value {
    serde_json::from_str(&place.read_text(&format!("{model}/manifest.json"))).unwrap()
}

/// Runs `train` on `train.jsonl` with a file of these lines.
fn train(place: &Place, model: &str, review: &[serde_json::Value], more: &[&str]) -> crate::support::Run {
    place.write("review.jsonl", review.iter().map(|line| format!("{line}\n")).collect::<String>());
    let args = ["train", "train.jsonl", "--encoder", ENCODER, "--corrections", "review.jsonl", "-o", model];
    place.run(&[&args, more].concat())
}

#[test]
fn corrected_articles_train_the_model_that_mended_data_would() {
    let place = Place::new();
    place.write("train.jsonl", articles(24));
    let review = [
        json!({"id": "a0", "text": "ships …", "labels": ["trade"], "suggested": ["defense"], "decision": "suggested"}),
        json!({"id": "a1", "labels": ["defense"], "decision": ["trade", "defense"]}),
        json!({"id": "a2", "labels": ["trade"], "decision": "drop"}),
        json!({"id": "a3", "labels": ["defense"], "decision": "keep"}),
        json!({"id": "a5", "labels": ["defense"], "decision": null}),
        json!({"id": "b1", "labels": ["defense"], "decision": null}),
    ];
    train(&place, "model", &review, &[])
        .expect(DONE)
        .says("24 rows in, 24 out, 0 rejected")
        .says("corrections: 2 relabelled, 1 left out, 1 kept, 1 undecided")
        .says("1 article of the corrections not among the articles read");
    let data = manifest(&place, "model")["training"]["data"].clone();
    assert_eq!(data["n_articles"], 23);
    let record = data["corrections"].clone();
    assert_eq!(record["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&record["n_relabelled"], &record["n_dropped"]), (&json!(2), &json!(1)));

    let mended: String = articles(24)
        .lines()
        .filter(|line| !line.contains("\"a2\""))
        .map(|line| {
            let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
            match row["id"].as_str() {
                Some("a0") => row["labels"] = json!(["defense"]),
                Some("a1") => row["labels"] = json!(["trade", "defense"]),
                _ => {}
            }
            format!("{row}\n")
        })
        .collect();
    place.write("mended.jsonl", mended);
    place.run(&["train", "mended.jsonl", "--encoder", ENCODER, "-o", "mended"]).expect(DONE);
    assert_eq!(place.read("model/head.safetensors"), place.read("mended/head.safetensors"));
    assert_eq!(data["sha256"], manifest(&place, "mended")["training"]["data"]["sha256"]);
    assert!(manifest(&place, "mended")["training"]["data"].get("corrections").is_none());
    // A model with corrections can be loaded, and says how to make it again.
    let config = place.run(&["inspect", "model", "--config"]).expect(DONE);
    assert!(config.out().contains("corrections = \"review.jsonl\"\n"), "{}", config.out());
}

#[test]
fn corrections_that_do_not_fit_stop_the_run() {
    let place = Place::new();
    place.write("train.jsonl", articles(24));
    place.write("labels.json", r#"["trade", "defense", "climate"]"#);
    let decided = |decision: serde_json::Value| [json!({"id": "a0", "labels": ["trade"], "decision": decision})];
    for (review, more, message) in [
        (
            decided(json!("yes")),
            &[][..],
            "line 1: `decision` should be null, \"keep\", \"suggested\", \"drop\" or a list",
        ),
        (decided(json!(["tarde"])), &[], "line 1: no article has the label `tarde`, the closest one is `trade`"),
        (
            decided(json!(["cimate"])),
            &["--labels", "labels.json"],
            "unknown label `cimate`; the closest known one is `climate`",
        ),
        (
            [json!({"id": "a0", "labels": ["defense"], "decision": null})],
            &[],
            "article `a0` has the labels `[\"trade\"]`",
        ),
        ([json!({"id": "z", "decision": "keep"})], &[], "none of its 1 articles is among those read"),
    ] {
        train(&place, "model", &review, more).expect(FAILED).says("review.jsonl").says(message);
        assert!(!place.path("model").exists());
    }
    train(&place, "model", &decided(json!(["climate"])), &["--labels", "labels.json"]).expect(DONE);
    place
        .run(&["train", "--labels", "labels.json", "--encoder", ENCODER, "--corrections", "review.jsonl", "-o", "m"])
        .expect(FAILED)
        .says("--corrections is about labelled articles");
}
