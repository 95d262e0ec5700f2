//! `topicwire explain`: why articles have their labels.

use crate::support::{DONE, ENCODER, FAILED, Place, ROWS_REJECTED, articles, rows};

/// A place with a model of two views and articles to explain.
fn place() -> Place {
    static MODEL: std::sync::OnceLock<Place> = std::sync::OnceLock::new();
    let trained = MODEL.get_or_init(|| {
        let place = Place::new();
        place.write("train.jsonl", articles(24));
        let args = ["train", "train.jsonl", "--encoder", ENCODER, "-o", "model", "--views", "document,words"];
        place.run(&args).expect(DONE);
        place
    });
    let place = Place::new();
    crate::support::copy_folder(&trained.path("model"), &place.path("model"));
    place.write("news.jsonl", articles(12));
    place
}

#[test]
fn an_article_is_shown_with_its_labels_evidence_text_and_neighbours() {
    let place = place();
    place.write(
        "visit.txt",
        "Ships carry grain to the harbour of Odesa.\n\nThe army ordered a frigate \u{1b}[31mtoday.\n",
    );
    let run = place.run(&["explain", "model", "visit.txt"]).expect(DONE);
    assert_eq!(run.stderr, "");
    let shown = run.out();
    assert!(shown.starts_with("id visit\n\n"), "{shown}");
    for part in
        ["\n0.", "views\n  document ", "passages\n  0.", "\ntext\n", ": ", "]", "\nmost similar training articles\n"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no terminal, no colours; and none that the article brings");
    assert!(shown.lines().all(|line| line.chars().count() <= 100));

    let coloured = place.run(&["explain", "model", "visit.txt", "--color", "always"]).expect(DONE);
    assert!(coloured.out().contains("\u{1b}[1m") && !coloured.out().contains("frigate \u{1b}[31m"));
}

#[test]
fn both_labels_are_shown_where_they_are_asked_for() {
    let place = place();
    let args = ["explain", "model", "news.jsonl", "--id", "a3", "--json"];
    let asked = place.run(&[&args[..], &["--label", "defense", "--label", "trade"]].concat()).expect(DONE);
    let found = &rows(asked.out())[0];
    let mut names: Vec<&str> =
        found["labels"].as_array().unwrap().iter().map(|l| l["label"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!((names, &found["id"]), (vec!["defense", "trade"], &"a3".into()));

    let all = place.run(&[&args[..], &["--threshold", "0"]].concat()).expect(DONE);
    assert_eq!(rows(all.out())[0]["labels"].as_array().unwrap().len(), 2);
    let none = place.run(&[&args[..], &["--threshold", "1"]].concat()).expect(DONE);
    let labels = rows(none.out())[0]["labels"].as_array().unwrap().clone();
    assert_eq!((labels.len(), &labels[0]["assigned"]), (1, &false.into()), "the most probable one");
}

#[test]
fn json_holds_what_the_library_says() {
    let place = place();
    let run = place.run(&["explain", "model", "news.jsonl", "--json", "--max", "2"]).expect(DONE);
    let found = rows(run.out());
    assert_eq!(found.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(), ["a0", "a1"]);
    for row in &found {
        assert_eq!(row["neighbours"].as_array().map(Vec::len), Some(3));
        let label = &row["labels"][0];
        assert!(label["probability"].is_number() && label["threshold"].is_number() && label["assigned"].is_boolean());
        let views: Vec<_> = label["votes"].as_array().unwrap().iter().map(|vote| vote["view"].clone()).collect();
        assert_eq!(views, ["document", "words"]);
        let evidence = &label["evidence"][0];
        let place = |name: &str| evidence[name].as_u64().unwrap() as usize;
        let text: String =
            row["text"].as_str().unwrap().chars().skip(place("start")).take(place("end") - place("start")).collect();
        assert_eq!(evidence["text"], text.as_str());
    }
    run.says("only the first 2 articles of the input; --max N takes more, --id ID picks");
}

#[test]
fn ids_pick_articles_in_their_own_order_and_once() {
    let place = place();
    let args = ["explain", "model", "news.jsonl", "--json", "--id", "a11", "--id", "a2", "--id", "a11"];
    let run = place.run(&args).expect(DONE);
    assert_eq!(rows(run.out()).iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), ["a11", "a2"]);
    assert_eq!(run.stderr, "");
    let run =
        place.run_with_input(&["explain", "model", "-", "--id", "a1", "--json"], articles(3).as_bytes()).expect(DONE);
    assert_eq!(rows(run.out()).len(), 1);
}

#[test]
fn without_ids_ten_articles_are_shown_and_it_says_so() {
    let place = place();
    let run = place.run(&["explain", "model", "news.jsonl"]).expect(DONE);
    let run = run.says("warning: only the first 10 articles of the input; --max N takes more, --id ID picks\n");
    assert_eq!(run.out().lines().filter(|line| line.starts_with("id a")).count(), 10);
    assert_eq!(run.out().lines().filter(|line| line.starts_with("──")).count(), 9);
    let run = place.run(&["explain", "model", "news.jsonl", "--max", "12"]).expect(DONE);
    assert_eq!(run.stderr, "", "there is no more");
}

#[test]
fn a_page_stands_alone_and_takes_the_place_of_the_text() {
    let place = place();
    let run =
        place.run(&["explain", "model", "news.jsonl", "--id", "a0", "--id", "a1", "--html", "why.html"]).expect(DONE);
    assert_eq!((run.out(), run.stderr.as_str()), ("", ""));
    let page = place.read_text("why.html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    assert!(page.matches("<mark ").count() >= 2 && page.matches("<article ").count() == 2);

    let run =
        place.run(&["explain", "model", "news.jsonl", "--id", "a0", "--html", "again.html", "--json"]).expect(DONE);
    assert_eq!(rows(run.out()).len(), 1);
    let run = place.run(&["explain", "model", "news.jsonl", "--id", "a0", "--html", "-"]).expect(DONE);
    assert_eq!(run.out(), place.read_text("again.html"));
}

#[test]
fn slips_are_named_with_what_was_meant() {
    let place = place();
    let explain = ["explain", "model", "news.jsonl"];
    for (args, message) in [
        (&["--id", "a111"][..], "error: no article has the id `a111`; the closest one is `a11`\nhint: --id-column"),
        (&["--id", "minister"], "error: no article has the id `minister`\nhint: "),
        (
            &["--label", "trad"],
            "error: unknown label `trad`; the closest known one is `trade`\nhint: `topicwire inspect",
        ),
        (&["--max", "0"], "error: --max must be at least 1"),
        (&["--max", "3", "--id", "a1"], "error: the argument '--max <N>' cannot be used with '--id <ID>'"),
        (&["--json", "--html", "-"], "error: --json and --html - would both write to standard output"),
        (&["--html", "none/why.html"], "error: cannot create"),
        (&["--color", "sometimes"], "error: invalid value 'sometimes' for '--color"),
    ] {
        let run = place.run(&[&explain[..], args].concat()).expect(FAILED).says(message);
        assert_eq!(run.out(), "");
    }
    place
        .run_with_input(&["explain", "model", "-"], b"")
        .expect(FAILED)
        .says("error: there is no article to explain\nhint: ");
    assert_eq!(place.names(), ["encoder", "model", "news.jsonl"], "a run that failed leaves nothing behind");
}

#[test]
fn rows_that_cannot_be_used_are_status_3() {
    let place = place();
    place.write("some.jsonl", "{\"id\":\"x\",\"text\":\"grain\"}\nnonsense\n");
    let run = place.run(&["explain", "model", "some.jsonl", "--on-error", "skip", "--json"]).expect(ROWS_REJECTED);
    assert_eq!(rows(run.says("2 rows in, 1 out, 1 rejected: see rejects.jsonl").out()).len(), 1);
}

#[test]
fn settings_come_from_a_file_too() {
    let place = place();
    place.write("run.toml", "[explain]\ndata = [\"news.jsonl\"]\nid = [\"a4\"]\njson = true\nlabel = [\"trade\"]\n");
    let run = place.run(&["explain", "model", "--config", "run.toml"]).expect(DONE);
    assert_eq!(rows(run.out())[0]["id"], "a4");
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = place();
    place.write("many.jsonl", articles(400));
    let (line, run) = crate::signals::head(&place, &["explain", "model", "many.jsonl", "--max", "400"]);
    assert!(line.starts_with("id a0"), "{line}");
    run.expect(DONE);
}
