//! A few runs with the real encoder, where it is there.

use crate::support::{DONE, Place, root, rows};

const REAL: &str = "models/all-MiniLM-L6-v2";
/// Articles to train on: enough for every topic to occur in several.
const N_TRAIN: usize = 96;
/// Fitted on 96 articles cut to 64 tokens and measured on themselves; random weights come to 0.3.
const MIN_F1_MICRO: f64 = 0.6;

/// A place with the real encoder, or `None` after saying so.
fn place() -> Option<Place> {
    let folder = root().join(REAL);
    if !folder.join("model.safetensors").is_file() {
        eprintln!("skipped: {REAL} is missing; scripts/fetch-encoder.sh gets it");
        return None;
    }
    let place = Place::new();
    std::fs::create_dir(place.path("models")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder, place.path(REAL)).unwrap();
    #[cfg(not(unix))]
    crate::support::copy_folder(&folder, &place.path(REAL));
    Some(place)
}

#[test]
fn the_default_encoder_is_found_by_its_alias_and_learns() {
    let Some(place) = place() else { return };
    let data = std::fs::read_to_string(root().join("data/diplomacy/train.jsonl")).unwrap();
    let data: String = data.lines().take(N_TRAIN).map(|line| format!("{line}\n")).collect();
    place.write("train.jsonl", data);
    let train = ["train", "train.jsonl", "-o", "model", "--offline", "--max-tokens", "64", "--long-text", "truncate"];
    place.run(&train).expect(DONE);
    let report =
        place.run(&["evaluate", "model", "train.jsonl", "--json", "--resamples", "0", "--offline"]).expect(DONE);
    let report: serde_json::Value = serde_json::from_str(report.out()).unwrap();
    let f1_micro = report["f1_micro"].as_f64().unwrap();
    assert!(f1_micro >= MIN_F1_MICRO, "f1_micro {f1_micro}");

    let text = "The port shipped 40,000 tonnes of wheat after the tariff on grain was lifted.";
    let run = place.run_with_input(&["predict", "model", "-", "--format", "txt", "--offline"], text.as_bytes());
    let row = rows(run.expect(DONE).out()).remove(0);
    let scores = row["scores"].as_object().unwrap();
    let best = scores.iter().max_by(|a, b| a.1.as_f64().unwrap().total_cmp(&b.1.as_f64().unwrap())).unwrap().0;
    assert!(["trade", "food-security"].contains(&best.as_str()), "{row}");
}

#[test]
fn the_default_encoder_is_described() {
    let Some(place) = place() else { return };
    let run = place.run(&["encoder", "inspect", "minilm", "--json", "--offline"]).expect(DONE);
    let json: serde_json::Value = serde_json::from_str(run.out()).unwrap();
    assert_eq!((&json["info"]["hidden_size"], &json["info"]["max_tokens"]), (&384.into(), &256.into()));
}
