//! A folder to work in with an encoder, data and a model, and the program run in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The encoder of most tests, as it is called in the folder to work in.
pub const ENCODER: &str = "encoder";

/// The exit statuses that other programs rely on.
pub const DONE: i32 = 0;
pub const GATE_NOT_MET: i32 = 1;
pub const FAILED: i32 = 2;
pub const ROWS_REJECTED: i32 = 3;
pub const INTERRUPTED: i32 = 130;

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a run left behind.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    /// Standard output, which must be UTF-8.
    pub fn out(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("the output is UTF-8")
    }

    /// Checks the exit status and shows everything when it is another.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stderr:\n{}\nstdout:\n{}", self.stderr, String::from_utf8_lossy(&self.stdout));
        self
    }

    /// Checks that the talk holds this.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in:\n{}", self.stderr);
        self
    }
}

/// A folder to work in; it goes away with the value.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// With an encoder in `encoder/` and nothing else.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&root().join("models/tiny-bert-cls-dense"), &folder.path().join(ENCODER));
        Self { folder }
    }

    /// With an encoder, the labelled articles `train.jsonl`, and a model of two topics in `model/`.
    pub fn with_model() -> Self {
        static MODEL: OnceLock<Place> = OnceLock::new();
        let trained = MODEL.get_or_init(|| {
            let place = Place::new();
            place.write("train.jsonl", articles(24));
            place.run(&["train", "train.jsonl", "--encoder", ENCODER, "-o", "model"]).expect(DONE);
            place
        });
        let place = Place::new();
        place.write("train.jsonl", articles(24));
        copy_folder(&trained.path("model"), &place.path("model"));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn read_text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// The names in the folder, hidden ones too.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The program in this folder, apart from whatever the machine has configured.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_topicwire"));
        command.current_dir(self.folder.path()).args(args);
        for name in ["HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "XDG_DATA_HOME", "RUST_BACKTRACE"] {
            command.env_remove(name);
        }
        command.env("HOME", self.path("home")).env("HF_HOME", self.path("home/hf")).env("COLUMNS", "100");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        collect(self.command(args).spawn().unwrap())
    }

    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Run {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // The program may end before it has read everything.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let run = collect(child);
        writer.join().unwrap();
        run
    }
}

/// Waits for the end. Nothing may ever panic, whatever the outcome.
pub fn collect(child: std::process::Child) -> Run {
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Run { status: output.status.code().expect("no signal ends the program"), stdout: output.stdout, stderr }
}

/// `n` short labelled articles as JSON Lines: two topics, some articles with both.
pub fn articles(n: usize) -> String {
    const TEXTS: [(&str, &str); 4] = [
        ("ships carry grain to the harbour", "trade"),
        ("soldiers train with new tanks", "defense"),
        ("the minister signed a tariff deal", "trade"),
        ("the army ordered a frigate", "defense"),
    ];
    let row = |i: usize| {
        let (text, label) = TEXTS[i % TEXTS.len()];
        let labels = if i % 5 == 4 { serde_json::json!(["trade", "defense"]) } else { serde_json::json!([label]) };
        serde_json::json!({"id": format!("a{i}"), "text": format!("{text}, report {i}"), "labels": labels}).to_string()
    };
    (0..n).map(|i| row(i) + "\n").collect()
}

/// The rows of JSON Lines.
pub fn rows(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Every file of a folder with its bytes, in order of names.
pub fn files_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
