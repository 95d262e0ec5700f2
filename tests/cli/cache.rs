//! `--cache` and `topicwire cache`: the same results from embeddings kept on disk, two processes at once, damage.

use std::fs;

use crate::support::{DONE, ENCODER, FAILED, Place, articles, collect, files_of, rows};

/// Articles: enough for folds, quick to encode.
const N_ARTICLES: usize = 24;

fn train<'a>(output: &'a str, cache: &'a str) -> Vec<&'a str> {
    vec!["train", "train.jsonl", "--encoder", ENCODER, "-o", output, cache]
}

fn place() -> Place {
    let place = Place::new();
    place.write("train.jsonl", articles(N_ARTICLES));
    place
}

fn info(place: &Place) -> serde_json::Value {
    serde_json::from_str(place.run(&["cache", "info", "--cache", "kept", "--json"]).expect(DONE).out()).unwrap()
}

#[test]
fn a_model_is_the_same_without_a_cache_with_an_empty_one_and_with_a_full_one() {
    let place = place();
    place.run(&["train", "train.jsonl", "--encoder", ENCODER, "-o", "plain"]).expect(DONE);
    place.run(&train("empty", "--cache=kept")).expect(DONE);
    place.run(&train("full", "--cache=kept")).expect(DONE);
    let plain = files_of(&place.path("plain"));
    assert_eq!(plain, files_of(&place.path("empty")));
    assert_eq!(plain, files_of(&place.path("full")));
    let found = info(&place);
    assert_eq!(found["contexts"].as_array().unwrap().len(), 1);
    assert_eq!(found["contexts"][0]["n_articles"], N_ARTICLES);
    assert_eq!(found["contexts"][0]["description"]["context"]["executor"].as_str().unwrap()[..3], *"cpu");
    // Other settings are another context, and the first stays of use.
    place.run(&[&train("other", "--cache=kept")[..], &["--window-pooling", "max"]].concat()).expect(DONE);
    assert_eq!(info(&place)["contexts"].as_array().unwrap().len(), 2);
}

#[test]
fn predictions_are_the_same_and_an_article_that_changed_is_read_again() {
    let place = place();
    // A view of passages that was tried and left out would make embedding with them another context.
    place.run(&[&train("model", "--cache=kept")[..], &["--views", "document,words"]].concat()).expect(DONE);
    let predict = |data: &str, cache: &[&str]| {
        rows(place.run(&[&["predict", "model", data][..], cache].concat()).expect(DONE).out())
    };
    let plain = predict("train.jsonl", &[]);
    assert_eq!(plain, predict("train.jsonl", &["--cache=kept"]));
    let changed = articles(N_ARTICLES).replace("report 3\"", "report 3, mended\"");
    place.write("changed.jsonl", changed);
    assert_eq!(predict("changed.jsonl", &[]), predict("changed.jsonl", &["--cache=kept"]));
    let known: Vec<u64> =
        info(&place)["contexts"].as_array().unwrap().iter().map(|c| c["n_articles"].as_u64().unwrap()).collect();
    assert_eq!(known, [N_ARTICLES as u64 + 1]);
}

#[test]
fn processes_share_a_cache_at_the_same_time() {
    let place = place();
    let names = ["one", "two", "three"];
    let children: Vec<_> =
        names.iter().map(|name| place.command(&train(name, "--cache=kept")).spawn().unwrap()).collect();
    for child in children {
        collect(child).expect(DONE);
    }
    let first = files_of(&place.path("one"));
    assert!(names[1..].iter().all(|name| files_of(&place.path(name)) == first));
    assert_eq!(info(&place)["contexts"][0]["n_articles"], N_ARTICLES);
}

#[test]
fn a_process_that_was_killed_leaves_it_usable() {
    let place = place();
    place.write("more.jsonl", articles(3000));
    let mut child =
        place.command(&["embed", "more.jsonl", "--encoder", ENCODER, "-o", "e.npy", "--cache=kept"]).spawn().unwrap();
    while !place.path("kept/data.mdb").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    place.run(&train("model", "--cache=kept")).expect(DONE);
    place.run(&["cache", "info", "--cache", "kept"]).expect(DONE);
}

#[test]
fn the_cache_is_shown_and_emptied() {
    let place = place();
    let shown = place.run(&["cache", "info", "--cache", "kept"]).expect(DONE);
    assert_eq!(shown.out(), "kept: 0 articles, 0.0 MiB on disk\n");
    assert!(!place.path("kept").exists(), "looking makes nothing");
    place.run(&train("model", "--cache=kept")).expect(DONE);
    let shown = place.run(&["cache", "info", "--cache", "kept"]).expect(DONE);
    assert!(shown.out().contains("kept: 24 articles") && shown.out().contains("today"), "{}", shown.out());
    let kept = place.run(&["cache", "clear", "--cache", "kept", "--older-than", "1"]).expect(DONE);
    assert_eq!(kept.out(), "0 articles removed from kept\n");
    let cleared = place.run(&["cache", "clear", "--cache", "kept"]).expect(DONE);
    assert_eq!(cleared.out(), "24 articles removed from kept\n");
}

#[test]
fn the_usual_place_can_be_set() {
    let place = place();
    let run = |name: &str, folder: &str| {
        let mut command = place.command(&["embed", "train.jsonl", "--encoder", ENCODER, "-o", "e.npy", "--cache"]);
        collect(command.env(name, place.path(folder)).spawn().unwrap()).expect(DONE);
    };
    run("TOPICWIRE_CACHE", "named");
    assert!(place.path("named/data.mdb").exists());
    run("XDG_CACHE_HOME", "xdg");
    assert!(place.path("xdg/topicwire/embeddings/data.mdb").exists());
}

#[test]
fn damage_is_told_and_costs_no_result() {
    let place = place();
    fs::create_dir(place.path("kept")).unwrap();
    place.write("kept/data.mdb", vec![7; 100_000]);
    place.run(&train("model", "--cache=kept")).expect(FAILED).says("cannot open the embeddings in kept");
    place.write("file", "");
    place.run(&train("model", "--cache=file")).expect(FAILED).says("cannot make the folder file");
}
