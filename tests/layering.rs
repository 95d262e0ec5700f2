//! Who may import whom, and where the program may touch the world: read off the sources, so that a slip fails here and not in a
//! review. `docs/architecture.md` draws the same rules.
//!
//! The reading is simple on purpose: comments, literals and test code are blanked, what is left is cut into words, and words joined
//! by `::` are paths. Macros that would build paths out of pieces would escape it; there are none.

use std::fs;
use std::path::Path;

/// Top-level modules from the lowest row up; each may import from lower rows only, and from itself.
const ROWS: [&[&str]; 8] = [
    &["labels", "progress", "rng"],
    &["data", "text", "kernels"],
    &["encoder", "heads", "calibration", "metrics", "scope"],
    &["cache", "report", "views"],
    &["pipeline"],
    &["evidence_report", "explain", "throughput", "train"],
    &["bundle", "curation", "study", "tune"],
    &["cli"],
];

/// Lines of a file without its tests. More is a sign that it holds two things.
const MAX_LINES: usize = 600;

/// Something that only some places may use.
struct Rim {
    what: &'static str,
    uses: fn(&Use<'_>) -> bool,
    /// Files or folders below `src`, without `.rs`; a folder stands for all in it.
    places: &'static [&'static str],
}

const RIM: [Rim; 11] = [
    Rim {
        what: "files",
        uses: |used| used.starts(&["std", "fs"]) || used.starts(&["tempfile"]) || used.has("fs"),
        places: &["cache", "data", "encoder/source", "encoder/weights", "encoder/config", "bundle/store", "cli"],
    },
    Rim {
        what: "the network",
        uses: |used| used.starts(&["std", "net"]) || used.starts(&["ureq"]) || used.starts(&["hf_hub"]),
        places: &["encoder/source"],
    },
    Rim {
        what: "the environment",
        uses: |used| used.has("env") && !used.is_macro,
        places: &["cli", "kernels/dispatch"],
    },
    Rim {
        what: "printing",
        uses: |used| used.is_macro && used.is_one_of(&["print", "println", "eprint", "eprintln", "dbg"]),
        places: &["cli"],
    },
    Rim { what: "standard output", uses: |used| used.has("stdout") || used.has("stderr"), places: &["cli"] },
    Rim {
        what: "unsafe code",
        uses: |used| used.is_one_of(&["unsafe"]),
        places: &["kernels", "encoder/weights/map", "cache/map"],
    },
    Rim { what: "candle", uses: |used| used.path[0].starts_with("candle_"), places: &["encoder/candle"] },
    Rim {
        what: "crates of the terminal",
        uses: |used| {
            let crates = ["anyhow", "clap", "clap_complete", "ctrlc", "indicatif", "terminal_size", "unicode_width"];
            crates.iter().any(|name| used.starts(&[name]))
        },
        places: &["cli"],
    },
    Rim {
        what: "another source of randomness",
        uses: |used| {
            ["SeedableRng", "thread_rng", "seed_from_u64", "from_seed", "from_rng"].iter().any(|n| used.has(n))
        },
        places: &["rng"],
    },
    Rim { what: "unwrap, which says nothing of why it holds", uses: |used| used.is_unwrap, places: &[] },
    Rim {
        what: "unfinished code",
        uses: |used| used.is_macro && used.is_one_of(&["todo", "unimplemented"]),
        places: &[],
    },
];

#[test]
fn every_file_keeps_to_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 50, "found only {} files below {}", files.len(), root.display());
    let mut violations = Vec::new();
    for file in &files {
        let place = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        violations.extend(check(&place, &fs::read_to_string(file).unwrap()));
    }
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn every_module_has_a_row() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let (code, _) = blank_tests(&blank(&lib));
    let mut declared: Vec<&str> =
        code.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut listed: Vec<&str> = ROWS.concat();
    declared.sort_unstable();
    listed.sort_unstable();
    assert_eq!(declared, listed);
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files);
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            files.push(entry);
        }
    }
}

/// What is wrong with a file; `place` is its path below `src`.
fn check(place: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    if !text.starts_with("//! ") {
        violations.push(format!("{place}:1: does not open with `//!`"));
    }
    let module = place.trim_end_matches(".rs").trim_end_matches("/mod");
    let parts: Vec<&str> = module.split('/').collect();
    if parts.contains(&"tests") {
        return violations;
    }
    let (code, n_test_lines) = blank_tests(&blank(text));
    let n_lines = text.lines().count() - n_test_lines;
    if n_lines > MAX_LINES {
        violations.push(format!("{place}: has {n_lines} lines without tests, more than {MAX_LINES}"));
    }
    let words = words(&code);
    for used in uses(&words) {
        let shown = used.path.join("::");
        for rim in &RIM {
            let is_allowed =
                rim.places.iter().any(|allowed| module == *allowed || module.starts_with(&format!("{allowed}/")));
            if !is_allowed && (rim.uses)(&used) {
                violations.push(format!("{place}:{}: `{shown}` uses {}", used.line, rim.what));
            }
        }
        // The root and the program hold no code of their own: they name modules of every row.
        if !["lib", "main"].contains(&module)
            && let Some(imported) = used.top_module(parts.len())
            && let Some(problem) = import_problem(parts[0], imported)
        {
            violations.push(format!("{place}:{}: `{shown}` {problem}", used.line));
        }
    }
    violations
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

/// What is wrong with `importer` using `imported`, both top-level modules.
fn import_problem(importer: &str, imported: &str) -> Option<String> {
    if importer == imported {
        return None;
    }
    match (row_of(importer), row_of(imported)) {
        (None, _) => Some(format!("is imported by `{importer}`, which has no row")),
        (_, None) => Some("is no module; name the one that holds it".to_owned()),
        (Some(own), Some(other)) if other < own => None,
        (Some(own), Some(other)) => {
            Some(format!("is of row {}, `{importer}` of row {}: imports go down only", other + 1, own + 1))
        }
    }
}

/// A path, keyword, macro or method call in the code.
#[derive(Debug, PartialEq)]
struct Use<'a> {
    line: usize,
    path: Vec<&'a str>,
    is_macro: bool,
    is_unwrap: bool,
}

impl Use<'_> {
    fn starts(&self, prefix: &[&str]) -> bool {
        self.path.starts_with(prefix)
    }

    /// Whether a module or item of this name is entered or taken, `fs::read` or `std::fs`; a variable of that name is no path.
    fn has(&self, name: &str) -> bool {
        self.path.len() > 1 && self.path.contains(&name)
    }

    fn is_one_of(&self, names: &[&str]) -> bool {
        matches!(self.path[..], [only] if names.contains(&only))
    }

    /// The top-level module that the path leads to: through `crate`, or through enough `super` in a module of this depth.
    fn top_module(&self, depth: usize) -> Option<&str> {
        let n_supers = self.path.iter().take_while(|part| **part == "super").count();
        match self.path.first() {
            Some(&"crate") => self.path.get(1).copied(),
            // Modules inside a file are one deeper than the file says, and may then name a sibling of the file.
            _ if n_supers >= depth => self.path.get(n_supers).copied().filter(|name| row_of(name).is_some()),
            _ => None,
        }
    }
}

/// A word or a sign, and the line it stands in.
type Word<'a> = (usize, &'a str);

fn words(code: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    for (line_idx, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            if !first.is_whitespace() {
                words.push((line_idx + 1, &rest[..length]));
            }
            rest = &rest[length..];
        }
    }
    words
}

/// All paths, groups unfolded: `use std::{fs, io::{self, Read}};` gives `std::fs`, `std::io` and `std::io::Read`.
fn uses<'a>(words: &[Word<'a>]) -> Vec<Use<'a>> {
    let mut uses = Vec::new();
    let mut at = 0;
    while at < words.len() {
        at = path(words, at, &[], &mut uses).max(at + 1);
    }
    uses
}

/// Reads the path at `at`, which goes on from `prefix`; gives where the next word is.
fn path<'a>(words: &[Word<'a>], mut at: usize, prefix: &[&'a str], uses: &mut Vec<Use<'a>>) -> usize {
    let word = |at: usize| words.get(at).map_or("", |(_, word)| *word);
    let is_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let (start, mut path_parts) = (at, prefix.to_vec());
    while is_name(word(at)) {
        path_parts.push(word(at));
        at += 1;
        if word(at) != "::" {
            break;
        }
        at += 1;
        if word(at) == "{" {
            at += 1;
            while at < words.len() && word(at) != "}" {
                at = path(words, at, &path_parts, uses).max(at + 1);
                // ` as name` and the comma.
                while at < words.len() && ![",", "}"].contains(&word(at)) {
                    at += 1;
                }
                at += usize::from(word(at) == ",");
            }
            return at + 1;
        }
    }
    if at == start {
        return at;
    }
    if path_parts.len() > 1 && path_parts.last() == Some(&"self") {
        path_parts.pop();
    }
    let is_macro = word(at) == "!" && word(at + 1) != "=";
    let is_method = start > 0 && word(start - 1) == ".";
    let is_unwrap = is_method && path_parts == ["unwrap"] && word(at) == "(";
    uses.push(Use { line: words[start].0, path: path_parts, is_macro, is_unwrap });
    at
}

/// The text with comments and the contents of literals made blank, line by line as before.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match at(i) {
            '/' if at(i + 1) == '/' => (i..chars.len()).find(|&j| chars[j] == '\n').unwrap_or(chars.len()),
            '/' if at(i + 1) == '*' => end_of_comment(&chars, i),
            '"' => end_of_string(&chars, i),
            'r' | 'b' | 'c' if !is_word_char(at(i.wrapping_sub(1))) => end_of_marked_string(&chars, i),
            // A lifetime has no quote behind its first letter.
            '\'' if at(i + 1) == '\\' => {
                (i + 3..chars.len()).find(|&j| chars[j] == '\'').map_or(chars.len(), |j| j + 1)
            }
            '\'' if at(i + 2) == '\'' => i + 3,
            _ => i,
        };
        if end == i {
            code.push(at(i));
            i += 1;
        } else {
            code.extend(chars[i..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    code
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0usize, start);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

/// Behind the string that opens at `start`.
fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// Behind `r"…"`, `r#"…"#`, `b"…"` and their mixtures; `start` where there is none.
fn end_of_marked_string(chars: &[char], start: usize) -> usize {
    let mut i = start;
    while chars.get(i).is_some_and(|c| ['r', 'b', 'c'].contains(c)) && i < start + 2 {
        i += 1;
    }
    let is_raw = chars[start..i].contains(&'r');
    let n_hashes = chars[i..].iter().take_while(|c| **c == '#').count();
    if chars.get(i + n_hashes) != Some(&'"') || (n_hashes > 0 && !is_raw) {
        return start;
    }
    i += n_hashes;
    if !is_raw {
        return end_of_string(chars, i);
    }
    let closes = |j: usize| chars[j] == '"' && chars[j + 1..].iter().take_while(|c| **c == '#').count() >= n_hashes;
    (i + 1..chars.len()).find(|&j| closes(j)).map_or(chars.len(), |j| j + 1 + n_hashes)
}

/// Blank code with what stands under `#[cfg(test)]` made blank too, and the number of lines that this takes.
fn blank_tests(code: &str) -> (String, usize) {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let (mut rest, mut n_test_lines) = (code, 0);
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        let length = MARK.len() + end_of_item(&rest[start + MARK.len()..]);
        let item = &rest[start..start + length];
        n_test_lines += item.lines().count();
        kept.extend(item.chars().filter(|c| *c == '\n'));
        rest = &rest[start + length..];
    }
    kept.push_str(rest);
    (kept, n_test_lines)
}

/// Where the item ends that comes next: at its semicolon, or at the brace that closes its body.
fn end_of_item(code: &str) -> usize {
    let is_import = code.trim_start().starts_with("use ") || code.trim_start().starts_with("pub use ");
    let mut depth = 0usize;
    for (i, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return i + 1,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && !is_import {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// The only violation that `code` makes in the file at `place`, without its position.
#[track_caller]
fn only_violation(place: &str, code: &str) -> String {
    let violations = check(place, &format!("//! Made up.\n{code}\n"));
    assert_eq!(violations.len(), 1, "{code}: {violations:?}");
    let position = format!("{place}:2: ");
    violations[0].strip_prefix(&position).unwrap_or_else(|| panic!("{}", violations[0])).to_owned()
}

#[track_caller]
fn no_violation(place: &str, code: &str) {
    assert_eq!(check(place, &format!("//! Made up.\n{code}\n")), Vec::<String>::new(), "{code}");
}

#[test]
fn imports_that_go_up_or_sideways_are_found() {
    for (place, code, expected) in [
        (
            "text/mod.rs",
            "use crate::encoder::Encoder;",
            "`crate::encoder::Encoder` is of row 3, `text` of row 2: imports go down only",
        ),
        (
            "heads/linear.rs",
            "use crate::{labels::Task, metrics::prf};",
            "`crate::metrics::prf` is of row 3, `heads` of row 3: imports go down only",
        ),
        (
            "labels.rs",
            "fn f(p: crate::progress::Event) {}",
            "`crate::progress::Event` is of row 1, `labels` of row 1: imports go down only",
        ),
        (
            "report/json.rs",
            "use super::super::train::folds;",
            "`super::super::train::folds` is of row 6, `report` of row 4: imports go down only",
        ),
        (
            "bundle/mod.rs",
            "use super::cli::config;",
            "`super::cli::config` is of row 8, `bundle` of row 7: imports go down only",
        ),
        ("train/mod.rs", "use crate::Classifier;", "`crate::Classifier` is no module; name the one that holds it"),
        (
            "server/mod.rs",
            "use crate::labels::Task;",
            "`crate::labels::Task` is imported by `server`, which has no row",
        ),
    ] {
        assert_eq!(only_violation(place, code), expected);
    }
    no_violation("cli/mod.rs", "use crate::{bundle::{self, Saved}, labels::Label};\nuse crate::cli::exit;");
    no_violation("encoder/cpu/mod.rs", "use super::super::encoder::arch;\nuse super::train;");
    no_violation("lib.rs", "pub use crate::cli::main;\npub use train::TrainSettings;");
}

#[test]
fn what_belongs_at_the_rim_is_found_elsewhere() {
    for (place, code, expected) in [
        ("text/mod.rs", "use std::{fmt, fs};", "`std::fs` uses files"),
        ("report/html.rs", "fn f() { tempfile::tempfile(); }", "`tempfile::tempfile` uses files"),
        ("bundle/card.rs", "use std::fs::{self};", "`std::fs` uses files"),
        ("data/source.rs", "use std::net::TcpStream;", "`std::net::TcpStream` uses the network"),
        ("cli/mod.rs", "fn f() { ureq::get(\"x\"); }", "`ureq::get` uses the network"),
        (
            "encoder/source/settings.rs",
            "fn f() { std::env::var(\"HF_HOME\"); }",
            "`std::env::var` uses the environment",
        ),
        ("train/mod.rs", "fn f() { println!(\"x\"); }", "`println` uses printing"),
        ("train/mod.rs", "fn f() { dbg!(1); }", "`dbg` uses printing"),
        ("train/mod.rs", "fn f() { io::stderr().lock(); }", "`io::stderr` uses standard output"),
        ("heads/lbfgs.rs", "fn f() { unsafe { g() } }", "`unsafe` uses unsafe code"),
        ("encoder/mod.rs", "use candle_core::Device;", "`candle_core::Device` uses candle"),
        ("bundle/store.rs", "use anyhow::Context;", "`anyhow::Context` uses crates of the terminal"),
        ("main.rs", "use clap::Parser;", "`clap::Parser` uses crates of the terminal"),
        ("train/folds.rs", "use rand::SeedableRng;", "`rand::SeedableRng` uses another source of randomness"),
        ("cli/mod.rs", "fn f() { g().unwrap(); }", "`unwrap` uses unwrap, which says nothing of why it holds"),
        ("cli/mod.rs", "fn f() { todo!() }", "`todo` uses unfinished code"),
    ] {
        assert_eq!(only_violation(place, code), expected);
    }
    for (place, code) in [
        ("data/source.rs", "use std::fs::File;"),
        ("encoder/source/wire.rs", "use std::{fs, net::TcpStream};"),
        ("encoder/weights.rs", "fn f() { fs::read(\"x\"); }"),
        ("cli/session.rs", "fn f() { std::env::var(\"X\"); println!(); std::io::stderr(); anyhow::bail!(\"x\") }"),
        ("kernels/gemm.rs", "fn f() { unsafe { g() } }"),
        ("encoder/candle/network.rs", "use candle_nn::ops;"),
        ("bundle/mod.rs", "const V: &str = env!(\"CARGO_PKG_VERSION\");"),
        (
            "train/mod.rs",
            "fn f(env: u8, print: u8) -> bool { env != print && x.unwrap_or(true) && self.unwrap.is_ok() }",
        ),
    ] {
        no_violation(place, code);
    }
}

#[test]
fn files_that_do_not_introduce_themselves_or_grow_too_long_are_found() {
    assert_eq!(check("text/mod.rs", "use std::fmt;\n"), ["text/mod.rs:1: does not open with `//!`"]);
    assert_eq!(check("data/tests/mod.rs", "use super::*;\n"), ["data/tests/mod.rs:1: does not open with `//!`"]);
    let long = |n_lines: usize| format!("//! Made up.\n{}", "\n".repeat(n_lines - 1));
    assert_eq!(check("text/mod.rs", &long(601)), ["text/mod.rs: has 601 lines without tests, more than 600"]);
    let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
    assert_eq!(check("text/mod.rs", &(long(600) + tests)), Vec::<String>::new());
}

#[test]
fn tests_comments_and_literals_are_not_read() {
    no_violation("text/mod.rs", "/// ```\n/// std::fs::read(\"x\").unwrap();\n/// ```\nfn f<'a>(x: &'a str) {}");
    no_violation("text/mod.rs", "/* use std::fs; /* nested */ use std::fs; */ fn f() {}");
    no_violation(
        "text/mod.rs",
        "fn f() { g(\"println!(\\\" unsafe \", r#\"a \" unsafe\"#, b\"unsafe\", '\"', '\\'', 'u'); }",
    );
    no_violation(
        "text/mod.rs",
        "#[cfg(test)]\nuse std::{fs, net};\n#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn f() { g().unwrap() }\n}",
    );
    no_violation("text/tests.rs", "use std::fs;");
    // What follows is read again.
    for code in
        ["fn f() { \"a\\\\\"; unsafe {} }", "fn f(c: char) { c == '\"'; unsafe {} }", "fn f() { r\"\\\"; unsafe {} }"]
    {
        assert_eq!(only_violation("text/mod.rs", code), "`unsafe` uses unsafe code", "{code}");
    }
    let after = "#[cfg(test)] mod tests { use std::fs; } use std::net::TcpStream;";
    assert_eq!(only_violation("text/mod.rs", after), "`std::net::TcpStream` uses the network");
}
