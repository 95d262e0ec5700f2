//! `evaluate --report` and `--plots`: the page and the files, not how they look.

use serde_json::Value;

use crate::support::*;

/// As `topicwire evaluate`, quickly.
const EVALUATE: [&str; 5] = ["evaluate", "model", "train.jsonl", "--resamples", "0"];

#[test]
fn the_page_has_its_sections_and_the_same_bytes_on_any_number_of_threads() {
    let place = Place::with_model();
    for (threads, name) in [("1", "a.html"), ("3", "b.html")] {
        place.run(&[&EVALUATE[..], &["--report", name, "--threads", threads]].concat()).expect(DONE);
    }
    let page = place.read_text("a.html");
    for id in ["labels", "curves", "confusions", "calibration", "map", "averages", "settings", "label-0", "label-1"] {
        assert!(page.contains(&format!(" id=\"{id}\"")), "{id}");
    }
    assert!(page.contains("<th scope=\"row\">model</th><td>model</td>"));
    assert!(page.contains("default-src 'none'"));
    assert_eq!(page, place.read_text("b.html"));
}

#[test]
fn plots_are_files_and_nothing_is_overwritten_unasked() {
    let place = Place::with_model();
    let plots = [&EVALUATE[..], &["--plots", "plots"]].concat();
    place.run(&plots).expect(DONE);
    for name in ["label-0-", "label-1-"] {
        let files = std::fs::read_dir(place.path("plots")).unwrap().map(|entry| entry.unwrap().file_name());
        let files: Vec<_> = files.filter(|file| file.to_string_lossy().starts_with(name)).collect();
        assert_eq!(files.len(), 3, "{files:?}");
    }
    let data: Value = serde_json::from_str(&place.read_text("plots/data.json")).unwrap();
    assert_eq!(data["labels"].as_array().unwrap().len(), 2);
    assert_eq!(data["map"]["articles"].as_array().unwrap().len(), 24);
    assert!(place.read_text("plots/reliability.svg").starts_with("<svg xmlns="));

    place.run(&plots).expect(FAILED).says("cannot write plots to `plots`: the folder is not empty");
    place.run(&[&plots[..], &["--overwrite"]].concat()).expect(DONE);
    place.write("file", "");
    place.run(&[&EVALUATE[..], &["--plots", "file"]].concat()).expect(FAILED).says("it is not a folder");
}

#[test]
fn a_batch_that_is_judged_as_a_whole_has_no_map() {
    let place = Place::with_model();
    let args = ["--report", "r.html", "--prior-shift=frequencies"];
    place.run(&[&EVALUATE[..], &args].concat()).expect(DONE);
    let page = place.read_text("r.html");
    assert!(page.contains(" id=\"curves\"") && !page.contains(" id=\"map\""));
}
