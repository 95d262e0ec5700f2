//! `topicwire tune`: a config file that `train` reads, the same trials every time, and `--title-weight`.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use crate::support::{DONE, ENCODER, FAILED, Place, articles, files_of};

fn place() -> Place {
    let place = Place::new();
    place.write("train.jsonl", articles(60));
    place
}

/// `tune` with a cache in the folder to work in.
fn tune<'a>(output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["tune", "train.jsonl", "--encoder", ENCODER, "--cache=kept", "-o", output], more].concat()
}

#[test]
fn settings_that_hold_back_are_found_out_and_the_file_makes_the_model() {
    let place = place();
    // So timid that almost any change helps.
    let held_back = ["--views", "document", "--strengths", "0.01", "--calibration", "none", "--metric", "log_loss"];
    let run = place.run(&tune("run.toml", &[&held_back[..], &["--test", "train.jsonl"]].concat())).expect(DONE);
    assert!(
        run.out().contains(" kept: ") && run.out().contains("; on other folds log_loss goes from"),
        "{}",
        run.out()
    );
    assert!(run.out().contains("on test articles  as given   found"), "{}", run.out());
    let file = place.read_text("run.toml");
    assert!(file.starts_with("# topicwire tune: ") && file.contains("[train]\ndata = [\"train.jsonl\"]\n"), "{file}");
    place.run(&["train", "--config", "run.toml", "-o", "found"]).expect(DONE);
    place.run(&[&["train", "train.jsonl", "--encoder", ENCODER, "-o", "given"], &held_back[..6]].concat()).expect(DONE);
    let loss = |model: &str| {
        let shown = place.run(&["evaluate", model, "train.jsonl", "--json", "--resamples", "0"]).expect(DONE);
        serde_json::from_str::<serde_json::Value>(shown.out()).unwrap()["log_loss"].as_f64().unwrap()
    };
    let (given, found) = (loss("given"), loss("found"));
    assert!(found < 0.9 * given, "{found}, as given {given}");
}

#[test]
fn trials_are_the_same_every_time_and_fewer_of_them_are_the_first() {
    let place = place();
    let shown = |output: &str, n: &str| {
        let run = place.run(&tune(output, &["--trials", n, "--views", "document,words"])).expect(DONE);
        run.out().lines().take_while(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let three = shown("three.toml", "3");
    assert_eq!(three.len(), 5, "a head, the given settings, three changes: {three:?}");
    assert_eq!(shown("again.toml", "3"), three);
    let words = |lines: &[String]| lines.iter().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let (one, all): (Vec<String>, Vec<String>) = (words(&shown("one.toml", "1")), words(&three));
    assert_eq!(one, all[..3]);
}

#[test]
fn without_a_gain_the_file_makes_the_model_of_the_given_settings() {
    let place = place();
    let run = place.run(&tune("run.toml", &["--budget", "0", "--folds", "3"])).expect(DONE);
    assert!(run.out().contains("no gain found in 0 changes: the settings stay as given"), "{}", run.out());
    place.run(&["train", "--config", "run.toml", "-o", "found"]).expect(DONE);
    place.run(&["train", "train.jsonl", "--encoder", ENCODER, "--folds", "3", "-o", "given"]).expect(DONE);
    assert_eq!(files_of(&place.path("found")), files_of(&place.path("given")));
}

#[test]
fn what_cannot_be_searched_is_told_before_the_work() {
    let place = place();
    place.write("there.toml", "");
    place.write("few.jsonl", articles(2));
    place.write("labels.json", r#"["trade", "defense"]"#);
    place.run(&tune("there.toml", &[])).expect(FAILED).says("--overwrite replaces it");
    place.run(&tune("new.toml", &["--budget", "soon"])).expect(FAILED).says("expected a time such as 90s");
    place.run(&tune("new.toml", &["--metric", "brier"])).expect(FAILED);
    place.run(&tune("new.toml", &["--strengths", "-1"])).expect(FAILED).says("the settings make no sense");
    place.run(&tune("new.toml", &["--title-weight", "2"])).expect(FAILED).says("the weight of titles is 2");
    let few = ["tune", "few.jsonl", "--encoder", ENCODER, "--cache=kept", "-o", "new.toml"];
    place.run(&few).expect(FAILED).says("too few articles per label");
    place.run(&[&few[..], &["--labels", "labels.json"]].concat()).expect(FAILED).says("goes by what labels mean");
    assert!(!place.path("new.toml").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_search_keeps_the_best_so_far() {
    let place = Place::new();
    place.write("train.jsonl", articles(1500));
    let mut child = place.command(&tune("run.toml", &["--budget", "1h"])).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("as given") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended before a trial");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(DONE), "{rest}");
    place.run(&["train", "--config", "run.toml", "-o", "model"]).expect(DONE);
}

#[test]
fn the_weight_of_titles_is_kept_in_the_model() {
    let place = Place::new();
    let titled = articles(40).replace("\"text\":", "\"title\":\"Report of the day\",\"text\":");
    place.write("train.jsonl", &titled);
    let train = |output: &str, more: &[&str]| {
        let flags = ["train", "train.jsonl", "--encoder", ENCODER, "--views", "document", "-o", output];
        place.run(&[&flags, more].concat()).expect(DONE);
        serde_json::from_slice::<serde_json::Value>(&place.read(&format!("{output}/manifest.json"))).unwrap()
    };
    let plain = train("plain", &[]);
    let weighted = train("weighted", &["--title-weight", "0.5"]);
    assert_eq!((plain.get("title_weight"), &weighted["title_weight"]), (None, &serde_json::json!(0.5)));
    assert_eq!(weighted["format_version"], 4);
    assert_ne!(place.read("plain/head.safetensors"), place.read("weighted/head.safetensors"));
    // The same without a title: its weight is nothing then.
    let labelled = |model: &str, data: &str| place.run(&["predict", model, data]).expect(DONE).stdout;
    place.write("untitled.jsonl", articles(40));
    assert_ne!(labelled("weighted", "train.jsonl"), labelled("weighted", "untitled.jsonl"));
    // With a cache, with an empty one, and without.
    let cached = |_| place.run(&["predict", "weighted", "train.jsonl", "--cache=kept"]).expect(DONE).stdout;
    assert_eq!([0, 1].map(cached), [0, 1].map(|_| labelled("weighted", "train.jsonl")));
}
