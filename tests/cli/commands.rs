//! Every command: what goes to which stream, and the exit status.

use crate::support::{DONE, ENCODER, FAILED, GATE_NOT_MET, Place, ROWS_REJECTED, articles, rows};

const COMMANDS: [&[&str]; 14] = [
    &[],
    &["check"],
    &["train"],
    &["evaluate"],
    &["predict"],
    &["explain"],
    &["embed"],
    &["bench"],
    &["inspect"],
    &["encoder"],
    &["encoder", "list"],
    &["encoder", "fetch"],
    &["encoder", "inspect"],
    &["completions"],
];

#[test]
fn every_command_has_help_with_an_example_on_stdout() {
    let place = Place::new();
    for command in COMMANDS {
        let run = place.run(&[command, &["--help"]].concat()).expect(DONE);
        assert_eq!(run.stderr, "", "{command:?}");
        assert!(run.out().contains("Usage: topicwire"), "{command:?}");
        let is_group = matches!(command, [] | ["encoder"]);
        assert!(is_group || run.out().contains("\n  topicwire "), "{command:?} shows no example");
    }
    let version = place.run(&["--version"]).expect(DONE);
    assert_eq!(version.out(), format!("topicwire {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_command_the_help_goes_to_stderr() {
    let run = Place::new().run(&[]).expect(FAILED).says("Usage: topicwire");
    assert_eq!(run.out(), "");
}

#[test]
fn train_prints_its_result_on_stdout_and_talks_on_stderr() {
    let place = Place::new();
    place.write("train.jsonl", articles(24));
    let run = place.run(&["train", "train.jsonl", "--encoder", ENCODER, "-o", "deep/down/model"]).expect(DONE);
    assert!(run.out().starts_with("24 articles, 2 labels, multi; strength C = "), "{}", run.out());
    assert!(run.out().ends_with("model saved in deep/down/model\n"), "{}", run.out());
    let run = run.says("24 rows in, 24 out, 0 rejected");
    assert!(!run.stderr.contains("error:") && !run.stderr.contains("warning:"), "{}", run.stderr);
    let names = crate::support::files_of(&place.path("deep/down/model"));
    let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    let always = ["README.md", "SHA256SUMS", "head.safetensors", "manifest.json", "neighbours.safetensors"];
    assert!(always.iter().all(|file| names.contains(file)), "{names:?}");
    assert!(names.iter().all(|name| always.contains(name) || name.ends_with(".safetensors")), "{names:?}");
    assert_eq!(place.names(), ["deep", "encoder", "train.jsonl"], "no temporary files are left");
}

#[test]
fn a_model_that_sees_words_says_how_much_they_count() {
    let place = Place::new();
    let real = std::fs::read_to_string(crate::support::root().join("data/diplomacy/train.jsonl")).unwrap();
    place.write("train.jsonl", real.lines().take(40).map(|line| format!("{line}\n")).collect::<String>());
    let args = ["train", "train.jsonl", "--encoder", ENCODER, "-o", "model", "--max-windows", "1"];
    let run = place.run(&[&args[..], &["--views", "document,words"]].concat()).expect(DONE);
    let head = run.out().lines().next().unwrap();
    assert!(head.starts_with("40 articles, 12 labels, multi; strength C = "), "{head}");
    assert!(head.contains("; weights: document ") && head.contains(", words "), "{head}");
    let inspected = place.run(&["inspect", "model"]).expect(DONE);
    assert!(inspected.out().contains("\nviews     document, weight "), "{}", inspected.out());
    assert!(place.read_text("model/README.md").contains("It looks at an article in several ways"));
    let predicted = place.run(&["predict", "model", "train.jsonl", "-q"]).expect(DONE);
    assert_eq!(rows(predicted.out()).len(), 40);
    place
        .run(&[&args[..5], &["other", "--views", "words"]].concat())
        .expect(FAILED)
        .says("head setting `views` is words, expected `document` among them");
}

#[test]
fn quiet_runs_say_nothing() {
    let place = Place::with_model();
    let predict = place.run(&["predict", "model", "train.jsonl", "-q"]).expect(DONE);
    assert_eq!((predict.stderr.as_str(), rows(predict.out()).len()), ("", 24));
    let train = place.run(&["train", "train.jsonl", "--encoder", ENCODER, "-o", "again", "--quiet"]).expect(DONE);
    assert_eq!(train.stderr, "");
}

#[test]
fn verbose_runs_say_what_runs_the_encoder() {
    let place = Place::with_model();
    for args in [&["predict", "model", "train.jsonl", "-v"][..], &["embed", "train.jsonl", "--encoder", ENCODER, "-v"]]
    {
        place
            .run(&[args, &["--threads", "1"]].concat())
            .expect(DONE)
            .says("bert, 2 layers, 24 columns")
            .says("1 thread\n");
    }
}

#[test]
fn evaluate_prints_a_table_or_json_and_a_page() {
    let place = Place::with_model();
    let table =
        place.run(&["evaluate", "model", "train.jsonl", "--resamples", "50", "--report", "r.html"]).expect(DONE);
    assert!(table.out().starts_with("24 articles, 2 labels, multi\n\nmetric"), "{}", table.out());
    assert!(place.read_text("r.html").contains("</html>"));

    let json = place.run(&["evaluate", "model", "train.jsonl", "--resamples", "50", "--json"]).expect(DONE);
    let report: serde_json::Value = serde_json::from_str(json.out()).unwrap();
    assert_eq!((&report["n"], &report["task"]), (&24.into(), &"multi".into()));
    for metric in ["subset_accuracy", "f1_micro", "f1_macro", "f1_weighted", "f1_samples", "map_macro", "log_loss"] {
        assert!(report[metric].is_number(), "{metric}: {}", report[metric]);
    }
    assert_eq!(report["f1_macro_ci"].as_array().map(Vec::len), Some(2));
    for column in ["precision", "recall", "f1", "support", "threshold", "average_precision"] {
        assert!(report["per_label"]["trade"][column].is_number(), "{column}");
    }
    let without = place.run(&["evaluate", "model", "train.jsonl", "--resamples", "0", "--json"]).expect(DONE);
    assert!(!without.out().contains("_ci"));
}

#[test]
fn a_missed_quality_gate_is_status_1_and_the_report_is_printed_all_the_same() {
    let place = Place::with_model();
    let evaluate = ["evaluate", "model", "train.jsonl", "--resamples", "0"];
    let missed = place.run(&[&evaluate[..], &["--fail-under", "f1_macro=1"]].concat()).expect(GATE_NOT_MET);
    assert!(missed.out().contains("f1_macro"));
    missed.says("warning: f1_macro >= 1 not met with ");
    place.run(&[&evaluate[..], &["--fail-under", "f1_macro=0"]].concat()).expect(DONE).says("f1_macro >= 0 met");
    place
        .run(&[&evaluate[..], &["--fail-under", "f1_macro=0", "--fail-under", "recall[trade]=1.1"]].concat())
        .expect(FAILED);
}

#[test]
fn rejected_rows_are_status_3_and_no_row_vanishes() {
    let place = Place::with_model();
    place.write("some.jsonl", "{\"id\":\"x\",\"text\":\"grain\"}\nnonsense\n{\"id\":\"y\",\"text\":\"  \"}\n{\"id\":\"z\",\"text\":\"tanks\"}\n");
    let args = ["predict", "model", "some.jsonl", "--on-error", "skip"];
    let run = place.run(&args).expect(ROWS_REJECTED).says("4 rows in, 2 out, 2 rejected: see rejects.jsonl");
    let run = run.says("warning: row rejected: some.jsonl:2: broken JSON").says("article `y`: the text is empty");
    let ids: Vec<_> = rows(run.out()).iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, ["x", "z"]);
    assert_eq!(rows(&place.read_text("rejects.jsonl")).len(), 2);

    place
        .run(&[&args[..], &["--rejects", "bad/rows.jsonl"]].concat())
        .expect(FAILED)
        .says("hint: name another file with --rejects");
    place
        .run(&["train", "train.jsonl", "some.jsonl", "--on-error", "skip", "--encoder", ENCODER, "-o", "m"])
        .expect(ROWS_REJECTED)
        .says("28 rows in, 24 out, 4 rejected");
    place.run(&["predict", "model", "some.jsonl", "-o", "out.jsonl"]).expect(FAILED).says("some.jsonl:2");
    assert!(!place.path("out.jsonl").exists(), "a run that failed leaves no output");
}

#[test]
fn predict_reads_standard_input_folders_and_patterns() {
    let place = Place::with_model();
    let run = place.run_with_input(&["predict", "model", "-", "--format", "txt"], b"grain ships").expect(DONE);
    assert_eq!(rows(run.out()).len(), 1);
    let run = place.run_with_input(&["predict", "model", "-"], articles(3).as_bytes()).expect(DONE);
    assert_eq!(rows(run.out()).len(), 3);
    let run = place.run_with_input(&["predict", "model", "-"], b"").expect(DONE).says("0 rows in, 0 out, 0 rejected");
    assert_eq!(run.out(), "");

    place.write("notes/b.txt", "tanks");
    place.write("notes/a.txt", "grain");
    for data in ["notes", "notes/*.txt"] {
        let run = place.run(&["predict", "model", data]).expect(DONE);
        let ids: Vec<_> = rows(run.out()).iter().map(|row| row["id"].clone()).collect();
        assert_eq!(ids, ["a", "b"], "{data}");
    }
}

#[test]
fn columns_that_are_not_used_pass_through() {
    let place = Place::with_model();
    place.write("news.csv", "source,body,id\nPaper,grain,7\n\"Post, The\",tanks,8\n");
    let run = place.run(&["predict", "model", "news.csv", "--text-column", "body"]).expect(DONE);
    let found = rows(run.out());
    assert_eq!((&found[0]["id"], &found[0]["source"]), (&"7".into(), &"Paper".into()));
    assert_eq!(found[1]["source"], "Post, The");
    let scores = found[0]["scores"].as_object().unwrap();
    assert_eq!(scores.keys().collect::<Vec<_>>(), ["defense", "trade"]);
    assert!(scores.values().all(|score| (0.0..=1.0).contains(&score.as_f64().unwrap())));
}

#[test]
fn thresholds_can_be_overruled() {
    let place = Place::with_model();
    let n_labels = |args: &[&str]| -> Vec<usize> {
        let run = place.run(&[&["predict", "model", "train.jsonl"], args].concat()).expect(DONE);
        rows(run.out()).iter().map(|row| row["labels"].as_array().unwrap().len()).collect()
    };
    assert_eq!(n_labels(&["--threshold", "0"]), vec![2; 24]);
    assert_eq!(n_labels(&["--threshold", "1"]), vec![0; 24], "no probability is exactly 1");
    assert_eq!(n_labels(&["--threshold", "1", "--threshold", "trade=0"]), vec![1; 24]);
}

#[test]
fn inspect_describes_a_model_without_its_encoder() {
    let place = Place::with_model();
    std::fs::remove_dir_all(place.path(ENCODER)).unwrap();
    let run = place.run(&["inspect", "model"]).expect(DONE);
    assert!(run.out().contains("task      multi, 2 labels\nencoder   encoder, 24 columns, f32\n"), "{}", run.out());
    assert_eq!(run.stderr, "");
    let json: serde_json::Value =
        serde_json::from_str(place.run(&["inspect", "model", "--json"]).expect(DONE).out()).unwrap();
    assert_eq!(json, serde_json::from_slice::<serde_json::Value>(&place.read("model/manifest.json")).unwrap());
}

#[test]
fn encoder_commands_list_find_and_describe() {
    let place = Place::new();
    let list = place.run(&["encoder", "list"]).expect(DONE);
    assert!(list.out().contains("sentence-transformers/all-MiniLM-L6-v2") && list.stderr.is_empty());
    let json: serde_json::Value =
        serde_json::from_str(place.run(&["encoder", "list", "--json"]).expect(DONE).out()).unwrap();
    assert_eq!(json[0]["alias"], "minilm");

    let inspect = place.run(&["encoder", "inspect", ENCODER]).expect(DONE);
    assert!(inspect.out().contains("network     bert, 2 layers"), "{}", inspect.out());
    let json = place.run(&["encoder", "inspect", ENCODER, "--json", "--device", "candle"]).expect(DONE);
    let json: serde_json::Value = serde_json::from_str(json.out()).unwrap();
    assert_eq!(json["info"]["hidden_size"], 24);
    let fetch = place.run(&["encoder", "fetch", ENCODER, "--offline"]).expect(DONE);
    assert!(fetch.out().contains("folder    encoder"), "{}", fetch.out());
}

#[test]
fn completions_are_printed_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = place.run(&["completions", shell]).expect(DONE);
        assert!(run.out().contains("topicwire") && run.out().contains("batch-tokens"), "{shell}");
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn progress_comes_as_json_lines_on_request() {
    let place = Place::with_model();
    let run = place.run(&["predict", "model", "train.jsonl", "--progress", "json"]).expect(DONE);
    let last = run.stderr.lines().find(|line| line.starts_with('{')).expect("a line of JSON");
    let event: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!((&event["stage"], &event["done"], &event["finished"]), (&"labelling".into(), &24.into(), &true.into()));
    let run = place.run(&["predict", "model", "train.jsonl", "--progress", "none"]).expect(DONE);
    assert_eq!(run.stderr, "24 rows in, 24 out, 0 rejected\n");
}

#[test]
fn a_model_is_replaced_only_on_request() {
    let place = Place::with_model();
    let train = ["train", "train.jsonl", "--encoder", ENCODER, "-o", "model", "--seed", "3"];
    let before = crate::support::files_of(&place.path("model"));
    place.run(&train).expect(FAILED).says("hint: pass --overwrite");
    assert_eq!(crate::support::files_of(&place.path("model")), before);
    place.run(&[&train[..], &["--overwrite"]].concat()).expect(DONE);
    assert_ne!(crate::support::files_of(&place.path("model")), before);
    assert_eq!(place.names(), ["encoder", "model", "train.jsonl"], "the old model and all temporary folders are gone");

    place.write("letters/diary.txt", "precious");
    place
        .run(&["train", "train.jsonl", "--encoder", ENCODER, "-o", "letters", "--overwrite"])
        .expect(FAILED)
        .says("letters is there already and is not a model");
    assert_eq!(place.read_text("letters/diary.txt"), "precious");
}
