//! Ctrl-C, SIGTERM, readers that stop reading, and disks that fill up.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{DONE, ENCODER, FAILED, INTERRUPTED, Place, articles, collect, files_of};

/// Nothing here takes that long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const SIGINT: u32 = 2;

/// Waits until the program handles Ctrl-C itself, as the kernel's mask of caught signals tells.
fn wait_until_listening(child: &Child) {
    let started = Instant::now();
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (SIGINT - 1)) != 0 {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "the program never listens for signals");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Starts a run that waits for more input, and stops it there.
pub fn interrupt(place: &Place, args: &[&str], signal: &str) -> crate::support::Run {
    let mut child = place.command(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(articles(100).as_bytes()).unwrap();
    stdin.flush().unwrap();
    wait_until_listening(&child);
    // It is somewhere between its start and the wait for more articles; each of these places must do.
    send(signal, &child);
    let run = collect(child);
    drop(stdin);
    run
}

#[test]
fn an_interrupted_run_is_status_130_and_leaves_nothing() {
    let place = Place::with_model();
    let before = place.names();
    for signal in ["-INT", "-TERM"] {
        for args in [
            &["predict", "model", "-", "-o", "out.jsonl"][..],
            &["predict", "model", "-", "-o", "out.parquet"],
            &["embed", "-", "--encoder", ENCODER, "-o", "out.npy"],
            &["train", "-", "--encoder", ENCODER, "-o", "new-model"],
            &["train", "-", "--encoder", ENCODER, "-o", "model", "--overwrite"],
            &["evaluate", "model", "-", "--report", "report.html"],
        ] {
            let run = interrupt(&place, args, signal).expect(INTERRUPTED).says("interrupted");
            assert!(run.stdout.is_empty(), "{args:?}");
            assert_eq!(place.names(), before, "{args:?}");
        }
    }
    place.run(&["inspect", "model"]).expect(DONE);
}

#[test]
fn rows_come_out_before_the_input_ends() {
    let place = Place::with_model();
    let mut child = place.command(&["predict", "model", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(articles(100).as_bytes()).unwrap();
    stdin.flush().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"id\":\"a0\""), "{line}");
    drop(stdin);
    collect(child);
}

/// Reads the first line and leaves, as `| head -1` does.
pub fn head(place: &Place, args: &[&str]) -> (String, crate::support::Run) {
    let mut child = place.command(args).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    (first, collect(child))
}

#[test]
fn a_closed_pipe_is_no_error_and_quiet() {
    let place = Place::with_model();
    place.write("many.jsonl", articles(3000));
    for args in [
        &["predict", "model", "many.jsonl"][..],
        &["predict", "model", "many.jsonl", "--output-format", "csv"],
        &["predict", "model", "many.jsonl", "-o", "/dev/stdout", "--output-format", "jsonl"],
        &["embed", "many.jsonl", "--encoder", ENCODER],
    ] {
        let (first, run) = head(&place, args);
        assert!(!first.is_empty(), "{args:?}");
        let run = run.expect(DONE);
        assert_eq!(run.stderr, "", "{args:?}");
    }
    // Short outputs fit into the pipe: whether the reader leaves in time is chance, the status is not.
    for args in [
        &["completions", "bash"][..],
        &["encoder", "list"],
        &["inspect", "model", "--json"],
        &["evaluate", "model", "train.jsonl", "--json"],
        &["train", "--help"],
    ] {
        let mut child = place.command(args).spawn().unwrap();
        drop(child.stdout.take());
        collect(child).expect(DONE);
    }
}

#[test]
fn a_closed_stderr_stops_nothing() {
    let place = Place::with_model();
    let mut child = place.command(&["predict", "model", "train.jsonl", "-o", "out.jsonl"]).spawn().unwrap();
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(place.read_text("out.jsonl").lines().count(), 24);
}

/// With files of more than a few hundred bytes failing, as on a full disk.
fn run_on_full_disk(place: &Place, args: &[&str]) -> crate::support::Run {
    let program = place.command(args);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args());
    shell.current_dir(program.get_current_dir().unwrap());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    collect(shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn a_disk_that_fills_up_leaves_nothing_and_an_old_model_whole() {
    let place = Place::with_model();
    place.write("many.jsonl", articles(500));
    let (names, model) = (place.names(), files_of(&place.path("model")));
    for args in [
        &["train", "train.jsonl", "--encoder", ENCODER, "-o", "model", "--overwrite", "--seed", "5"][..],
        &["train", "train.jsonl", "--encoder", ENCODER, "-o", "new-model"],
        &["predict", "model", "many.jsonl", "-o", "out.jsonl"],
        &["predict", "model", "many.jsonl", "-o", "out.csv.gz"],
        &["predict", "model", "many.jsonl", "-o", "out.parquet"],
        &["embed", "many.jsonl", "--encoder", ENCODER, "-o", "out.npy"],
        &["evaluate", "model", "train.jsonl", "--report", "report.html"],
    ] {
        run_on_full_disk(&place, args).expect(FAILED).says("error: ").says("(os error 27)");
        assert_eq!(place.names(), names, "{args:?}");
        assert_eq!(files_of(&place.path("model")), model, "{args:?}");
    }
}
