//! `topicwire split`: which rows go where, how they are written, and what is said.

use std::collections::BTreeSet;

use crate::support::{DONE, FAILED, Place, ROWS_REJECTED, articles, rows};

/// Lines of a file.
fn lines(place: &Place, name: &str) -> Vec<String> {
    place.read_text(name).lines().map(str::to_owned).collect()
}

/// A place with labelled articles of six sources and as many years, in no order.
fn dated() -> (Place, Vec<String>) {
    let place = Place::new();
    let row = |i: usize, line: &str| {
        let (year, month) = (2018 + (i * 5) % 6, i % 12 + 1);
        line.replacen('{', &format!(r#"{{"source": "s{}", "date": "{year}-{month:02}", "#, i % 6), 1)
    };
    let all: Vec<String> = articles(60).lines().enumerate().map(|(i, line)| row(i, line)).collect();
    place.write("news.jsonl", all.join("\n") + "\n");
    (place, all)
}

#[test]
fn rows_are_written_as_they_came_in_their_order() {
    let place = Place::new();
    // Spaces, escapes and columns that mean nothing stay as they are.
    let odd: String = articles(40)
        .lines()
        .enumerate()
        .map(|(i, line)| line.replacen('{', &format!(r#"{{  "n" : {i}.50,"u":"\u00e9", "#), 1) + "\r\n")
        .collect();
    place.write("a.jsonl", format!("\u{feff}{odd}"));
    let run = place.run(&["split", "a.jsonl", "-o", "parts"]).expect(DONE).says("40 rows in, 40 out, 0 rejected");
    let (train, test) = (lines(&place, "parts/train.jsonl"), lines(&place, "parts/test.jsonl"));
    assert_eq!((train.len(), test.len()), (32, 8));
    let all: Vec<&str> = odd.lines().collect();
    let place_of = |line: &String| all.iter().position(|other| other == line).expect("a row of the input");
    for part in [&train, &test] {
        assert!(part.iter().map(place_of).is_sorted(), "rows keep their order");
    }
    let both: BTreeSet<usize> = train.iter().chain(&test).map(place_of).collect();
    assert_eq!(both.len(), 40);
    for said in ["train        32  80.0 %  80.0 %", "deviation from ideal", "furthest from its share: `"] {
        assert!(run.out().contains(said), "no `{said}` in:\n{}", run.out());
    }
    assert!(run.out().ends_with("\nwritten in parts: train.jsonl, test.jsonl\n"));
}

#[test]
fn csv_keeps_its_header_and_quotes() {
    let place = Place::new();
    let row = |i: usize| format!("{i},\"one, \"\"two\"\"\nthree {i}\",{}\n", ["a", "b"][i % 2]);
    place.write("a.csv", format!("id,text,label\n{}", (0..10).map(row).collect::<String>()));
    place.run(&["split", "a.csv", "-o", "parts", "--parts", "x=0.5,y=0.3"]).expect(DONE);
    let (x, y) = (place.read_text("parts/x.csv"), place.read_text("parts/y.csv"));
    let known: BTreeSet<String> = (0..10).map(row).collect();
    for (text, n) in [(x, 5), (y, 3)] {
        let body = text.strip_prefix("id,text,label\n").unwrap();
        assert_eq!(known.iter().filter(|row| body.contains(*row)).map(String::len).sum::<usize>(), body.len());
        assert_eq!(body.matches("three").count(), n);
    }
    place.write("b.csv", "id,text,topic\n1,one,a\n");
    let run = place.run(&["split", "a.csv", "b.csv", "-o", "more"]).expect(FAILED);
    run.says("the inputs differ: csv with the header `id,text,topic` comes after csv with the header `id,text,label`");
    assert!(!place.path("more").exists());
}

#[test]
fn other_formats_become_json_lines() {
    let place = Place::new();
    for i in 0..5 {
        place.write(&format!("notes/{i}.txt"), format!("note {i}"));
    }
    place.run(&["split", "notes", "-o", "parts", "--by", "random"]).expect(DONE);
    let all = place.read_text("parts/train.jsonl") + &place.read_text("parts/test.jsonl");
    let ids: BTreeSet<String> = rows(&all).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 5);
    assert!(rows(&all).iter().all(|row| row["labels"].is_null()));
}

#[test]
fn folds_take_turns() {
    let place = Place::new();
    place.write("a.jsonl", articles(30));
    let run = place.run(&["split", "a.jsonl", "-o", "folds", "--folds", "3"]).expect(DONE);
    assert!(run.out().ends_with("written in folds: fold-1.train.jsonl to fold-3.test.jsonl\n"), "{}", run.out());
    let all: BTreeSet<String> = articles(30).lines().map(str::to_owned).collect();
    let mut tested = BTreeSet::new();
    for fold in 1..=3 {
        let of =
            |role: &str| lines(&place, &format!("folds/fold-{fold}.{role}.jsonl")).into_iter().collect::<BTreeSet<_>>();
        let (train, test) = (of("train"), of("test"));
        assert_eq!((train.len(), test.len()), (20, 10));
        assert_eq!(train.union(&test).cloned().collect::<BTreeSet<_>>(), all);
        tested.extend(test);
    }
    assert_eq!(tested, all);
    let error = place.run(&["split", "a.jsonl", "-o", "x", "--folds", "3", "--by", "time"]).expect(FAILED);
    error.says("so they cannot follow each other in time");
}

#[test]
fn time_and_sources_do_not_straddle() {
    let (place, all) = dated();
    let read = |name: &str| rows(&place.read_text(name));
    let values = |name: &str, column: &str| -> BTreeSet<String> {
        read(name).iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
    };
    place.run(&["split", "news.jsonl", "-o", "time", "--by", "time"]).expect(DONE);
    assert!(values("time/train.jsonl", "date").last() < values("time/test.jsonl", "date").first());
    place.run(&["split", "news.jsonl", "-o", "cut", "--cut", "2022-06"]).expect(DONE);
    assert!(values("cut/train.jsonl", "date").iter().all(|date| date.as_str() < "2022-06"));
    assert!(values("cut/test.jsonl", "date").iter().all(|date| date.as_str() >= "2022-06"));
    let source = ["split", "news.jsonl", "-o", "source", "--by", "source", "--parts", "a=0.5,b=0.5"];
    let run = place.run(&source).expect(DONE);
    assert!(values("source/a.jsonl", "source").is_disjoint(&values("source/b.jsonl", "source")));
    assert_eq!(read("source/a.jsonl").len() + read("source/b.jsonl").len(), all.len());
    assert!(run.out().starts_with("part  articles   share  wanted  groups\n"), "{}", run.out());
    place.run(&["split", "news.jsonl", "-o", "group", "--group", "date"]).expect(DONE);
    assert!(values("group/train.jsonl", "date").is_disjoint(&values("group/test.jsonl", "date")));
}

#[test]
fn slips_are_named() {
    let (place, _) = dated();
    let fails = |args: &[&str]| {
        let mut all = vec!["split", "news.jsonl", "-o", "parts"];
        all.extend(args);
        let run = place.run(&all).expect(FAILED);
        assert!(!place.path("parts").exists(), "nothing is left behind");
        run
    };
    fails(&["--by", "time", "--time-column", "dat"]).says("no article has a column `dat`; the closest one is `date`");
    fails(&["--by", "time", "--time-column", "source"])
        .says("article `a0`: `source` is no date")
        .says("expected a date such as 2024-03-01, 2024-03 or 2024-03-01T14:30:00Z, found `s0`");
    fails(&["--parts", "a=0.8,b=0.3"]).says("the shares sum to 1.1, more than 1");
    fails(&["--parts", "train"]).says("expected parts such as train=0.8,test=0.2, found `train`");
    fails(&["--parts", "../a=0.5"]).says("the part `../a` names a file");
    fails(&["--cut", "2050-01-01"]).says("the part `test` would be empty");
    fails(&["--cut", "2022", "--by", "random"]).says("--cut divides by time, not `--by random`");
    place.write("bare.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
    let run = place.run(&["split", "bare.jsonl", "-o", "parts"]).expect(FAILED);
    run.says("a stratified split goes by labels; --by random, time and source do without").says("it has no labels");
    place.run(&["split", "bare.jsonl", "-o", "parts", "--by", "random", "--parts", "a=0.5,b=0.5"]).expect(DONE);
}

#[test]
fn what_is_there_is_replaced_only_when_asked_and_inputs_never() {
    let place = Place::new();
    place.write("a.jsonl", articles(20));
    place.write("parts/train.jsonl", "mine\n");
    let run = place.run(&["split", "a.jsonl", "-o", "parts"]).expect(FAILED);
    run.says("train.jsonl is there already; pass --overwrite to replace it");
    assert_eq!(place.read_text("parts/train.jsonl"), "mine\n");
    place.run(&["split", "a.jsonl", "-o", "parts", "--overwrite"]).expect(DONE);
    assert_eq!(lines(&place, "parts/train.jsonl").len(), 16);
    let again = ["split", "parts/train.jsonl", "-o", "parts", "--overwrite"];
    place.run(&again).expect(FAILED).says("train.jsonl is an input; name another folder");
}

#[test]
fn the_seed_decides_and_bad_rows_are_counted() {
    let place = Place::new();
    place.write("a.jsonl", articles(40) + "{\"text\": 7}\n");
    let split = |folder: &str, seed: &str| {
        let args = ["split", "a.jsonl", "-o", folder, "--seed", seed, "--on-error", "skip"];
        let run = place.run(&args).expect(ROWS_REJECTED).says("41 rows in, 40 out, 1 rejected");
        (run.stdout, place.read(&format!("{folder}/test.jsonl")))
    };
    let (a, b, c) = (split("a", "1"), split("b", "1"), split("c", "2"));
    assert_eq!(a.1, b.1);
    assert_ne!(a.1, c.1);
    place.write("one.jsonl", "{\"text\": \"x\", \"label\": \"rare\"}\n".to_owned() + &articles(20));
    let run = place.run(&["split", "one.jsonl", "-o", "rare"]).expect(DONE);
    run.says("1 label has fewer articles than there are parts: `rare`");
}

#[test]
fn wire_copy_does_not_straddle() {
    let place = Place::new();
    let words =
        |i: usize| (0..40).map(|j| format!("word{}", (i * 977 + j * j * 31) % 5000)).collect::<Vec<_>>().join(" ");
    let row = |id: String, text: String, i: usize| {
        let label = ["trade", "war"][i % 2];
        serde_json::json!({"id": id, "text": text, "label": label}).to_string() + "\n"
    };
    let copies = (0..30).map(|i| row(format!("copy-{i}"), format!("KYIV (Agency) - {}", words(i)), i));
    let all: String = (0..30).map(|i| row(format!("first-{i}"), words(i), i)).chain(copies).collect();
    place.write("news.jsonl", all);
    let straddling = |flags: &[&str], folder: &str| {
        place.run(&[&["split", "news.jsonl", "-o", folder], flags].concat()).expect(DONE);
        let number = |row: &serde_json::Value| row["id"].as_str().unwrap().split_once('-').unwrap().1.to_owned();
        let in_part = |part: &str| -> BTreeSet<String> {
            rows(&place.read_text(&format!("{folder}/{part}.jsonl"))).iter().map(number).collect()
        };
        in_part("train").intersection(&in_part("test")).count()
    };
    assert!(straddling(&[], "plain") > 0);
    assert_eq!(straddling(&["--group-near-duplicates"], "grouped"), 0);
}
