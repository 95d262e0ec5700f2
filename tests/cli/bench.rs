//! `topicwire bench`: what it says, not how fast the machine is.

use serde_json::Value;

use crate::support::{DONE, ENCODER, FAILED, Place, ROWS_REJECTED, articles};

const BENCH: [&str; 7] = ["bench", "train.jsonl", "--encoder", ENCODER, "--rounds", "2", "--threads"];
/// What belongs to one precision.
const OF_PRECISION: [&str; 8] = [
    "precision",
    "executor",
    "load_ms",
    "articles_per_s",
    "tokens_per_s",
    "ceiling_gflops",
    "ceiling_share",
    "tokenize_share",
];

fn place() -> Place {
    let place = Place::new();
    place.write("train.jsonl", articles(24));
    place
}

fn bench(place: &Place, args: &[&str]) -> Value {
    let run = place.run(&[&BENCH[..], &["2", "--json"], args].concat()).expect(DONE);
    serde_json::from_str(run.out()).unwrap()
}

/// Two threads must be able to tell what one round did, whatever the order: numbers above 0, the median inside its range.
#[track_caller]
fn check_speed(speed: &Value) {
    for name in ["articles_per_s", "tokens_per_s"] {
        let number = |field: &str| speed[name][field].as_f64().unwrap();
        assert!(0.0 < number("min") && number("min") <= number("median") && number("median") <= number("max"));
    }
    for name in ["load_ms", "tokenize_share"] {
        assert!(speed[name].as_f64().unwrap() > 0.0, "{name}: {speed}");
    }
    assert!(speed["ceiling_gflops"].as_f64().unwrap() > 0.001, "{speed}");
    assert!(speed["ceiling_share"].as_f64().unwrap() > 0.0, "{speed}");
}

#[test]
fn one_precision_is_one_flat_object() {
    let place = place();
    let json = bench(&place, &["--precision", "int8", "--articles", "10"]);
    let expected = [
        &["encoder", "cpu", "isa", "n_threads", "n_articles", "n_windows", "n_tokens", "n_rounds"][..],
        &["tokenize_tokens_per_s", "peak_memory_bytes"],
        &OF_PRECISION,
    ];
    let mut expected: Vec<&str> = expected.concat();
    let mut found: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    check_speed(&json);
    assert_eq!((&json["encoder"], &json["precision"]), (&ENCODER.into(), &"int8".into()));
    assert_eq!((&json["n_threads"], &json["n_rounds"]), (&2.into(), &2.into()));
    assert_eq!((&json["n_articles"], &json["n_windows"]), (&10.into(), &10.into()));
    assert!(json["n_tokens"].as_u64().unwrap() > 10 * 2, "more than the special tokens: {json}");
    let executor = format!("cpu int8 {}", json["isa"].as_str().unwrap());
    assert_eq!(json["executor"], executor);
    if cfg!(target_os = "linux") {
        assert!(json["peak_memory_bytes"].as_u64().unwrap() > 1 << 20, "{json}");
    }
    assert_eq!(bench(&place, &[])["precision"], "f32");
}

#[test]
fn precisions_are_compared_to_f32() {
    let json = bench(&place(), &["--compare"]);
    assert!(OF_PRECISION.iter().all(|name| json.get(name).is_none()), "{json}");
    let precisions = json["precisions"].as_object().unwrap();
    assert_eq!(precisions.keys().collect::<Vec<_>>(), ["f32", "bf16", "int8"]);
    for (name, speed) in precisions {
        check_speed(speed);
        assert_eq!(speed["precision"], *name);
        let cosine = &speed["cosine_to_f32"];
        if name == "f32" {
            assert!(cosine.is_null(), "{cosine}");
        } else {
            let (mean, min) = (cosine["mean"].as_f64().unwrap(), cosine["min"].as_f64().unwrap());
            assert!(0.9 < min && min <= mean && mean <= 1.0 + 1e-6, "{name}: {cosine}");
        }
    }
}

#[test]
fn people_get_a_table() {
    let place = place();
    let run = place.run(&[&BENCH[..], &["1", "--articles", "5"]].concat()).expect(DONE);
    assert!(run.out().starts_with("encoder   encoder\nmachine   "), "{}", run.out());
    for text in [", 1 thread, ", "articles  5, 5 windows, ", "\nprecision  articles/s", "\nf32 ", " of the time\n"] {
        assert!(run.out().contains(text), "no `{text}` in:\n{}", run.out());
    }
    assert!(!run.out().contains("cosine") && run.out().contains("\npeak memory  "), "{}", run.out());
    let run = run.says("took the first 5 articles; --articles takes more").says("5 rows in, 5 out, 0 rejected");
    assert!(!run.stderr.contains("warning:"), "{}", run.stderr);

    let run = place.run(&[&BENCH[..], &["1", "--compare", "-q"]].concat()).expect(DONE);
    assert_eq!(run.stderr, "");
    for text in ["cosine to f32", "\nf32 ", "\nbf16 ", "\nint8 ", "articles  24, "] {
        assert!(run.out().contains(text), "no `{text}` in:\n{}", run.out());
    }
}

#[test]
fn other_devices_have_no_ceiling() {
    let json = bench(&place(), &["--device", "candle", "--articles", "3"]);
    assert_eq!(
        (&json["isa"], &json["ceiling_gflops"], &json["ceiling_share"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert!(json["articles_per_s"]["median"].as_f64().unwrap() > 0.0);
    place()
        .run(&[&BENCH[..], &["1", "--device", "candle", "--compare"]].concat())
        .expect(FAILED)
        .says("precision bf16 is not in this version of the candle executor");
}

#[test]
fn settings_come_from_a_file_too() {
    let place = place();
    place
        .write("run.toml", "[bench]\nrounds = 1\narticles = 2\ncompare = true\njson = true\n[embed]\noutput = \"x\"\n");
    let run = place.run(&["bench", "train.jsonl", "--encoder", ENCODER, "--config", "run.toml"]).expect(DONE);
    let json: Value = serde_json::from_str(run.out()).unwrap();
    assert_eq!((&json["n_rounds"], &json["n_articles"]), (&1.into(), &2.into()));
    assert!(json["precisions"]["int8"].is_object());
    place.write("run.toml", "[bench]\nrounds = 0\n");
    place
        .run(&["bench", "train.jsonl", "--encoder", ENCODER, "--config", "run.toml"])
        .expect(FAILED)
        .says("--rounds must be at least 1");
}

#[test]
fn what_cannot_be_measured_is_told() {
    let place = place();
    let both = [&BENCH[..], &["1", "--compare", "--precision", "bf16"]].concat();
    place.run(&both).expect(FAILED).says("--compare measures every precision");
    place.run(&["bench", "--encoder", ENCODER]).expect(FAILED).says("hint: name files, folders or patterns");
    place.write("none.jsonl", "");
    place
        .run(&["bench", "none.jsonl", "--encoder", ENCODER])
        .expect(FAILED)
        .says("there is no article to measure with");
    for flag in ["--rounds", "--articles"] {
        place.run(&["bench", "train.jsonl", flag, "0"]).expect(FAILED).says("error: invalid value '0'");
    }
    place.run(&[&BENCH[..], &["1", "--max-tokens", "512"]].concat()).expect(FAILED).says("windows of 512 tokens");

    place.write("some.jsonl", "{\"text\":\"grain\"}\nnonsense\n");
    let run = place.run(&["bench", "some.jsonl", "--encoder", ENCODER, "--rounds", "1", "--on-error", "skip"]);
    run.expect(ROWS_REJECTED).says("2 rows in, 1 out, 1 rejected: see rejects.jsonl");
}
