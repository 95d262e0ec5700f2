//! `--config`: a file that says what flags say.

use crate::support::{DONE, ENCODER, FAILED, Place, articles, files_of};

#[test]
fn inspect_prints_a_config_that_makes_the_same_model_byte_for_byte() {
    let place = Place::new();
    place.write("train.jsonl", articles(30));
    place.write("labels.json", r#"[{"label": "trade", "description": "goods, sold"}, {"label": "defense"}]"#);
    let flags = [
        "train",
        "train.jsonl",
        "--encoder",
        ENCODER,
        "-o",
        "first",
        "--labels",
        "labels.json",
        "--aim",
        "precision>=0.7",
        "--strengths",
        "1,10",
        "--folds",
        "3",
        "--seed",
        "7",
        "--max-tokens",
        "16",
        "--overlap",
        "4",
        "--window-pooling",
        "max",
        "--class-weight",
        "balanced",
        "--prompt",
        "query: ",
        "--threads",
        "1",
    ];
    place.run(&flags).expect(DONE);
    let config = place.run(&["inspect", "first", "--config"]).expect(DONE);
    place.write("run.toml", &config.stdout);
    place.run(&["train", "--config", "run.toml", "-o", "second"]).expect(DONE);
    assert_eq!(files_of(&place.path("first")), files_of(&place.path("second")), "{}", config.out());
}

#[test]
fn flags_win_over_the_file_and_its_sections_over_its_top() {
    let place = Place::with_model();
    place.write(
        "run.toml",
        "seed = 1\nthreads = 1\n[train]\nencoder = \"encoder\"\noutput = \"from-file\"\nfolds = 2\n[predict]\nthreshold = [\"0\"]\n",
    );
    place.run(&["train", "train.jsonl", "--config", "run.toml"]).expect(DONE);
    let settings = place.run(&["inspect", "from-file", "--config"]).expect(DONE);
    assert_eq!(settings.out(), "[train]\ndata = [\"train.jsonl\"]\nfolds = 2\nencoder = \"encoder\"\nseed = 1\n");

    place.run(&["train", "train.jsonl", "--config", "run.toml", "--folds", "4", "--output", "from-flag"]).expect(DONE);
    assert!(place.run(&["inspect", "from-flag", "--config"]).expect(DONE).out().contains("folds = 4\n"));

    let labels =
        |args: &[&str]| place.run(&[&["predict", "model", "train.jsonl", "--config", "run.toml"], args].concat());
    assert!(labels(&[]).expect(DONE).out().lines().all(|row| row.contains("\"trade\"") && row.contains("\"defense\"")));
    assert!(labels(&["--threshold", "1"]).expect(DONE).out().lines().all(|row| row.contains("\"labels\":[]")));
}

#[test]
fn slips_in_the_file_are_named() {
    let place = Place::with_model();
    for (toml, message) in [
        ("[train]\nsed = 1\n", "unknown setting `sed`; did you mean `seed`?"),
        ("[trains]\nseed = 1\n", "unknown section `trains`; did you mean `train`?"),
        ("seed = \"one\"\n", "setting `seed` has a wrong value"),
        ("[train]\nthreads = -1\n", "setting `threads` has a wrong value"),
        ("[train\n", "is not valid TOML"),
    ] {
        place.write("run.toml", toml);
        place.run(&["train", "train.jsonl", "--config", "run.toml", "-o", "m"]).expect(FAILED).says(message);
    }
}
