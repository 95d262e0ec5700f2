//! `docs/bad-input.md`: what the program says about input that it cannot use. Every row of the page is run; the page is
//! what the program must still say.
//!
//! `UPDATE_DOCS=1 cargo test --test cli bad_input` writes the page anew.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use flate2::write::GzEncoder;

use crate::signals::{head, interrupt};
use crate::support::{DONE, FAILED, INTERRUPTED, Place, ROWS_REJECTED, articles, collect, copy_folder, root};

/// A line that is longer than any article and still read as a row.
const LONG_LINE_BYTES: usize = 50_000_000;
/// More than a row may have, 64 MiB.
const TOO_LONG_LINE_BYTES: usize = 68_000_000;
/// Asks for an instruction set.
const ISA_VARIABLE: &str = "TOPICWIRE_ISA";

const INTRODUCTION: &str = "\
# What topicwire says about bad input

Every way to go wrong that we know of, with the command, what it prints on standard error, and the exit status (0 done,
1 quality gate not met, 2 failed, 3 done but rows were rejected, 130 interrupted). `model` is a trained model with the topics
`defense` and `trade`, `encoder` a folder with its encoder. Hashes are shown as `…`.

The page is also a test: `cargo test --test cli bad_input` runs every command and compares, `UPDATE_DOCS=1` before it writes
the page anew.
";

/// How the command is run.
enum How {
    Plain,
    /// Its reader leaves after one line.
    Head,
    /// Ctrl-C while it waits for more input.
    CtrlC,
    /// With this instruction set asked for.
    Isa(&'static str),
}

struct Case {
    title: &'static str,
    /// What is wrong, for the reader.
    what: &'static str,
    setup: fn(&Place),
    /// Arguments, split at spaces.
    args: &'static str,
    how: How,
    status: i32,
}

const GOOD: &str = "{\"id\":\"a1\",\"text\":\"grain ships\",\"labels\":[\"trade\"]}\n";
const PREDICT: &str = "predict model news.jsonl";
const TRAIN: &str = "train news.jsonl --encoder encoder -o new";

const fn case(title: &'static str, what: &'static str, setup: fn(&Place), args: &'static str, status: i32) -> Case {
    Case { title, what, setup, args, how: How::Plain, status }
}

fn news(place: &Place, bytes: impl AsRef<[u8]>) {
    place.write("news.jsonl", bytes);
}

fn good(place: &Place) {
    news(place, GOOD);
}

fn utf16(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Rows that do not repeat, so that a packed file has something to be cut from.
fn many() -> String {
    articles(2000)
}

fn cut(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() / 2]
}

/// A Parquet file of one row in which `text` holds numbers.
fn parquet_of_numbers() -> Vec<u8> {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    let id: ArrayRef = Arc::new(StringArray::from(vec!["a1"]));
    let text: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let batch = RecordBatch::try_from_iter([("id", id), ("text", text)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Changes a file by replacing text in it, which must be there.
fn edit(place: &Place, name: &str, from: &str, to: &str) {
    let text = place.read_text(name);
    assert!(text.contains(from), "{name} has no {from}");
    place.write(name, text.replacen(from, to, 1));
}

fn flip_last_byte(place: &Place, name: &str) {
    let mut bytes = place.read(name);
    *bytes.last_mut().unwrap() ^= 1;
    place.write(name, bytes);
}

fn cases() -> Vec<(&'static str, Vec<Case>)> {
    let json = vec![
        case(
            "Broken JSON",
            "The second row ends in the middle of its text.",
            |p| news(p, format!("{GOOD}{{\"id\":\"a2\",\"text\":\"gra\n")),
            PREDICT,
            FAILED,
        ),
        case(
            "Broken JSON, left out",
            "The same file with rejects.",
            |p| news(p, format!("{GOOD}{{\"id\":\"a2\",\"text\":\"gra\n")),
            "predict model news.jsonl --on-error skip",
            ROWS_REJECTED,
        ),
        case(
            "A JSON list",
            "`[{\"id\": …}, …]` instead of one object a line.",
            |p| p.write("news.json", "[{\"id\":\"a1\",\"text\":\"grain\"}]\n"),
            "predict model news.json",
            FAILED,
        ),
        case(
            "A text that is a list",
            "`\"text\": [\"grain\"]`",
            |p| news(p, "{\"id\":\"a1\",\"text\":[\"grain\"]}\n"),
            PREDICT,
            FAILED,
        ),
        case(
            "No text",
            "The text is called `body`.",
            |p| news(p, "{\"id\":\"a1\",\"body\":\"grain\"}\n"),
            PREDICT,
            FAILED,
        ),
        case(
            "A key twice",
            "Two texts in one object.",
            |p| news(p, "{\"id\":\"a1\",\"text\":\"grain\",\"text\":\"tanks\"}\n"),
            PREDICT,
            FAILED,
        ),
        case("Empty text", "Blanks only.", |p| news(p, "{\"id\":\"a1\",\"text\":\" \\n \"}\n"), PREDICT, FAILED),
        case(
            "NUL bytes",
            "A zero byte within the text.",
            |p| news(p, "{\"id\":\"a1\",\"text\":\"gr\0ain\"}\n"),
            PREDICT,
            FAILED,
        ),
        case(
            "Invalid UTF-8",
            "Latin-1: the ü is the single byte 0xFC.",
            |p| news(p, b"{\"id\":\"a1\",\"text\":\"Getreide aus M\xfcnchen\"}\n"),
            PREDICT,
            FAILED,
        ),
        case(
            "UTF-16",
            "As some spreadsheets export it.",
            |p| p.write("news.csv", utf16("id,text\na1,grain\n")),
            "predict model news.csv",
            FAILED,
        ),
        case(
            "A byte-order mark",
            "Harmless.",
            |p| p.write("news.csv", "\u{feff}id,text\na1,grain\n"),
            "predict model news.csv -o out.csv",
            DONE,
        ),
        case(
            "Windows line ends",
            "Harmless.",
            |p| p.write("news.csv", "id,text\r\na1,grain\r\n"),
            "predict model news.csv -o out.csv",
            DONE,
        ),
        case(
            "50 MB on one line",
            "Something that is not JSON Lines at all.",
            |p| news(p, vec![b'x'; LONG_LINE_BYTES]),
            PREDICT,
            FAILED,
        ),
        case(
            "A row beyond the limit",
            "68 MB without a line end.",
            |p| news(p, vec![b'x'; TOO_LONG_LINE_BYTES]),
            PREDICT,
            FAILED,
        ),
    ];
    let csv = vec![
        case(
            "A quote never closed",
            "The second row opens one.",
            |p| p.write("news.csv", "id,text\na1,\"grain\na2,tanks\n"),
            "predict model news.csv",
            FAILED,
        ),
        case(
            "Too many fields",
            "A comma in a text without quotes.",
            |p| p.write("news.csv", "id,text\na1,grain, wheat\n"),
            "predict model news.csv",
            FAILED,
        ),
        case(
            "No text column",
            "The column is called `txt`.",
            |p| p.write("news.csv", "id,txt\na1,grain\n"),
            "predict model news.csv",
            FAILED,
        ),
        case(
            "A column twice",
            "Two columns `text`.",
            |p| p.write("news.csv", "id,text,text\na1,grain,tanks\n"),
            "predict model news.csv",
            FAILED,
        ),
        case(
            "An impossible delimiter",
            "A letter beyond ASCII.",
            |p| p.write("news.csv", "id,text\na1,grain\n"),
            "predict model news.csv --delimiter é",
            FAILED,
        ),
    ];
    let labels = vec![
        case("An id twice", "Two articles `a1` in training.", |p| news(p, GOOD.repeat(2)), TRAIN, FAILED),
        case(
            "Labels as Python prints them",
            "`['trade', 'energy']` in a cell.",
            |p| p.write("news.csv", "id,text,labels\na1,grain,\"['trade', 'energy']\"\n"),
            "train news.csv --encoder encoder -o new",
            FAILED,
        ),
        case(
            "Labels as objects",
            "`[{\"name\": \"trade\"}]`",
            |p| news(p, "{\"id\":\"a1\",\"text\":\"grain\",\"labels\":[{\"name\":\"trade\"}]}\n"),
            TRAIN,
            FAILED,
        ),
        case(
            "An article without labels",
            "The second article has none, not even an empty list.",
            |p| news(p, format!("{GOOD}{{\"id\":\"a2\",\"text\":\"tanks\"}}\n")),
            TRAIN,
            FAILED,
        ),
        case(
            "Only one topic",
            "Every article is about trade.",
            |p| news(p, articles(24).replace("defense", "trade").replace("\"trade\",\"trade\"", "\"trade\"")),
            TRAIN,
            FAILED,
        ),
        case("No articles to learn from", "An empty file.", |p| news(p, ""), TRAIN, FAILED),
        case(
            "Two labels where one is asked for",
            "An article has both topics.",
            |p| news(p, articles(10)),
            "train news.jsonl --encoder encoder -o new --task single",
            FAILED,
        ),
        case(
            "A broken list of labels",
            "`name` for `label`.",
            |p| p.write("labels.json", "[{\"name\": \"trade\"}]"),
            "train train.jsonl --encoder encoder -o new --labels labels.json",
            FAILED,
        ),
        case(
            "A label that is not in the list",
            "The list has `defence`, the articles say `defense`.",
            |p| p.write("labels.json", "[\"trade\", \"defence\"]"),
            "train train.jsonl --encoder encoder -o new --labels labels.json",
            FAILED,
        ),
        case(
            "An unknown label at evaluation",
            "`trad`.",
            |p| news(p, GOOD.replace("[\"trade\"]", "[\"trad\"]")),
            "evaluate model news.jsonl",
            FAILED,
        ),
        case("Nothing to evaluate on", "An empty file.", |p| news(p, ""), "evaluate model news.jsonl", FAILED),
    ];
    let files = vec![
        case("No such file", "A slip in the name.", |_| (), "predict model nwes.jsonl", FAILED),
        case("A pattern without a match", "No file ends so.", |_| (), "predict model *.csv", FAILED),
        case("No input", "Nothing is named.", |_| (), "predict model", FAILED),
        case("Standard input twice", "There is only one.", |_| (), "predict model - -", FAILED),
        case("An empty file", "Harmless where nothing must be learned.", |p| news(p, ""), PREDICT, DONE),
        case(
            "An empty folder",
            "No articles in it.",
            |p| fs::create_dir(p.path("articles")).unwrap(),
            "predict model articles",
            FAILED,
        ),
        case(
            "A folder of several kinds",
            "`a.txt` and `b.csv`.",
            |p| {
                p.write("mixed/a.txt", "grain");
                p.write("mixed/b.csv", "id,text\n")
            },
            "predict model mixed",
            FAILED,
        ),
        case("A model where articles belong", "The order is MODEL, then DATA.", |_| (), "predict model model", FAILED),
        case(
            "Articles where the model belongs",
            "The order is MODEL, then DATA.",
            good,
            "predict news.jsonl train.jsonl",
            FAILED,
        ),
        case(
            "An unknown ending",
            "A Word document.",
            |p| p.write("news.docx", "PK"),
            "predict model news.docx",
            FAILED,
        ),
        case(
            "A truncated gzip file",
            "Half of it.",
            |p| p.write("news.jsonl.gz", cut(&gzip(many().as_bytes()))),
            "predict model news.jsonl.gz -o out.jsonl",
            FAILED,
        ),
        case(
            "A truncated zstd file",
            "Half of it.",
            |p| p.write("news.jsonl.zst", cut(&zstd::encode_all(many().as_bytes(), 3).unwrap())),
            "predict model news.jsonl.zst -o out.jsonl",
            FAILED,
        ),
        case(
            "A truncated Parquet file",
            "Half of it.",
            |p| p.write("news.parquet", cut(&parquet_of_numbers())),
            "predict model news.parquet",
            FAILED,
        ),
        case(
            "Parquet with numbers for texts",
            "The column `text` holds integers.",
            |p| p.write("news.parquet", parquet_of_numbers()),
            "predict model news.parquet",
            FAILED,
        ),
    ];
    let encoders = vec![
        case(
            "Damaged weights",
            "Half of `model.safetensors`.",
            |p| {
                let bytes = p.read("encoder/model.safetensors");
                p.write("encoder/model.safetensors", cut(&bytes))
            },
            "embed train.jsonl --encoder encoder",
            FAILED,
        ),
        case(
            "Other weights than the model's",
            "The last byte differs.",
            |p| flip_last_byte(p, "encoder/model.safetensors"),
            "predict model train.jsonl",
            FAILED,
        ),
        case(
            "An architecture that is not supported",
            "`\"model_type\": \"t5\"`",
            |p| edit(p, "encoder/config.json", "\"bert\"", "\"t5\""),
            "embed train.jsonl --encoder encoder",
            FAILED,
        ),
        case(
            "No tokenizer",
            "`tokenizer.json` is missing.",
            |p| fs::remove_file(p.path("encoder/tokenizer.json")).unwrap(),
            "embed train.jsonl --encoder encoder",
            FAILED,
        ),
        case(
            "A broken tokenizer",
            "`tokenizer.json` is cut off.",
            |p| p.write("encoder/tokenizer.json", "{"),
            "embed train.jsonl --encoder encoder",
            FAILED,
        ),
        case("An alias with a slip", "`bge-smal`.", |_| (), "embed train.jsonl --encoder bge-smal --offline", FAILED),
        case(
            "An encoder that is not here, offline",
            "Every place that was tried is listed.",
            |_| (),
            "embed train.jsonl --encoder bge-small --offline",
            FAILED,
        ),
        case(
            "A folder that is not there",
            "A path, so the hub is not asked.",
            |_| (),
            "embed train.jsonl --encoder ./encodr",
            FAILED,
        ),
        case(
            "A precision that candle lacks",
            "The `cpu` executor has bf16, candle has not.",
            |_| (),
            "embed train.jsonl --encoder encoder --device candle --precision bf16",
            FAILED,
        ),
        Case {
            how: How::Isa("sse9"),
            ..case(
                "An instruction set that this CPU lacks",
                "There is no `sse9`; the list depends on the CPU.",
                |_| (),
                "embed train.jsonl --encoder encoder",
                FAILED,
            )
        },
        case(
            "Windows longer than the encoder can read",
            "It has 64 positions.",
            |_| (),
            "embed train.jsonl --encoder encoder --max-tokens 512",
            FAILED,
        ),
    ];
    let models = vec![
        case(
            "A changed manifest",
            "A label was renamed by hand.",
            |p| edit(p, "model/manifest.json", "\"trade\"", "\"trace\""),
            "predict model train.jsonl",
            FAILED,
        ),
        case("A changed head", "One bit.", |p| flip_last_byte(p, "model/head.safetensors"), "inspect model", FAILED),
        case(
            "A file is missing",
            "`head.safetensors` was not copied.",
            |p| fs::remove_file(p.path("model/head.safetensors")).unwrap(),
            "predict model train.jsonl",
            FAILED,
        ),
        case(
            "A model of a newer version",
            "Format version 5.",
            |p| edit(p, "model/manifest.json", "\"format_version\": 3", "\"format_version\": 5"),
            "predict model train.jsonl",
            FAILED,
        ),
        case(
            "Another manifest",
            "JSON of something else.",
            |p| p.write("model/manifest.json", "{\"name\": \"web app\"}"),
            "predict model train.jsonl",
            FAILED,
        ),
        case("Not a model", "A folder without a manifest.", |_| (), "inspect encoder", FAILED),
        case("No such model", "A slip in the name.", |_| (), "inspect modle", FAILED),
    ];
    let outputs = vec![
        case(
            "A model is there already",
            "Known before the work begins.",
            |_| (),
            "train train.jsonl --encoder encoder -o model",
            FAILED,
        ),
        case(
            "Something else is there",
            "Never replaced, not even with --overwrite.",
            |_| (),
            "train train.jsonl --encoder encoder -o train.jsonl --overwrite",
            FAILED,
        ),
        case(
            "The folder above is a file",
            "Known before the work begins.",
            |_| (),
            "train train.jsonl --encoder encoder -o train.jsonl/model",
            FAILED,
        ),
        case("No place for the model", "-o is missing.", |_| (), "train train.jsonl --encoder encoder", FAILED),
        case(
            "A full disk",
            "`/dev/full` is one.",
            |_| (),
            "predict model train.jsonl -o /dev/full --output-format jsonl",
            FAILED,
        ),
        case(
            "No such folder",
            "Known before the work begins.",
            |_| (),
            "predict model train.jsonl -o missing/out.jsonl",
            FAILED,
        ),
        case(
            "An output of unknown format",
            "Known before the work begins.",
            |_| (),
            "predict model train.jsonl -o out.xlsx",
            FAILED,
        ),
        case(
            "Binary rows to a terminal or pipe",
            "The size stands in front of the rows.",
            |_| (),
            "embed train.jsonl --encoder encoder --output-format npy",
            FAILED,
        ),
    ];
    let flags = vec![
        case("Nothing to measure", "No DATA.", |_| (), "bench --encoder encoder", FAILED),
        case(
            "One precision and all of them",
            "Only one of the two makes sense.",
            |_| (),
            "bench train.jsonl --encoder encoder --compare --precision bf16",
            FAILED,
        ),
        case("A wrong value", "No threads.", |_| (), "predict model train.jsonl --threads 0", FAILED),
        case("An unknown flag", "A slip.", |_| (), "predict model train.jsonl --threds 2", FAILED),
        case("An unknown command", "A slip.", |_| (), "predikt model train.jsonl", FAILED),
        case(
            "A threshold out of range",
            "It is a probability.",
            |_| (),
            "predict model train.jsonl --threshold 1.5",
            FAILED,
        ),
        case(
            "A threshold for an unknown label",
            "A slip.",
            |_| (),
            "predict model train.jsonl --threshold trad=0.5",
            FAILED,
        ),
        case(
            "An unknown id",
            "A slip. `explain` takes ids and labels.",
            |_| (),
            "explain model train.jsonl --id b23",
            FAILED,
        ),
        case("An unknown label", "A slip.", |_| (), "explain model train.jsonl --label defence", FAILED),
        case("Nothing to explain", "The file is empty.", |p| news(p, ""), "explain model news.jsonl", FAILED),
        case("A threshold that is no number", "`high`.", |_| (), "predict model train.jsonl --threshold high", FAILED),
        case("An unknown metric", "A slip.", |_| (), "evaluate model train.jsonl --fail-under f1_marco=0.8", FAILED),
        case(
            "An aim that makes no sense",
            "A precision of 2.",
            |_| (),
            "train train.jsonl --encoder encoder -o new --aim precision>=2",
            FAILED,
        ),
        case(
            "One fold",
            "Cross-validation needs two.",
            |_| (),
            "train train.jsonl --encoder encoder -o new --folds 1",
            FAILED,
        ),
        case(
            "An unknown setting in a config file",
            "`sed = 1`",
            |p| p.write("run.toml", "[train]\nsed = 1\n"),
            "train train.jsonl --config run.toml -o new",
            FAILED,
        ),
        case(
            "An unknown section in a config file",
            "`[training]`",
            |p| p.write("run.toml", "[training]\nseed = 1\n"),
            "train train.jsonl --config run.toml -o new",
            FAILED,
        ),
        case(
            "A wrong value in a config file",
            "`seed = \"one\"`",
            |p| p.write("run.toml", "[train]\nseed = \"one\"\n"),
            "train train.jsonl --config run.toml -o new",
            FAILED,
        ),
        case(
            "A config file that is not TOML",
            "A bracket is missing.",
            |p| p.write("run.toml", "[train\n"),
            "train train.jsonl --config run.toml -o new",
            FAILED,
        ),
        case(
            "No such config file",
            "A slip in the name.",
            |_| (),
            "train train.jsonl --config rum.toml -o new",
            FAILED,
        ),
    ];
    let ends = vec![
        Case {
            how: How::Head,
            ..case(
                "A closed pipe",
                "No error: the reader has what it wanted.",
                |p| news(p, articles(3000)),
                PREDICT,
                DONE,
            )
        },
        Case {
            how: How::CtrlC,
            ..case(
                "Ctrl-C",
                "A second one ends the program at once.",
                |_| (),
                "predict model - -o out.jsonl",
                INTERRUPTED,
            )
        },
    ];
    vec![
        ("Rows", json),
        ("CSV", csv),
        ("Labels", labels),
        ("Files", files),
        ("Encoders", encoders),
        ("Models", models),
        ("Outputs", outputs),
        ("Flags and config files", flags),
        ("Ends", ends),
    ]
}

/// The entry of the page, made by running the command.
fn run(case: &Case) -> String {
    let place = Place::with_model();
    (case.setup)(&place);
    let before = place.names();
    let args: Vec<&str> = case.args.split(' ').collect();
    let (run, prefix, suffix) = match case.how {
        How::Plain => (place.run(&args), String::new(), ""),
        How::Head => (head(&place, &args).1, String::new(), " | head -1"),
        How::CtrlC => (interrupt(&place, &args, "-INT"), String::new(), "\n^C"),
        How::Isa(name) => {
            let child = place.command(&args).env(ISA_VARIABLE, name).spawn().unwrap();
            (collect(child), format!("{ISA_VARIABLE}={name} "), "")
        }
    };
    let run = run.expect(case.status);
    if case.status == FAILED || case.status == INTERRUPTED {
        assert_eq!(place.names(), before, "{}: a run that failed leaves nothing behind", case.title);
    }
    if case.status == FAILED {
        assert!(run.stderr.starts_with("error: "), "{}: {}", case.title, run.stderr);
    }
    let talk = stable(&run.stderr, &place);
    let talk = if talk.is_empty() { String::new() } else { format!("{}\n", talk.trim_end()) };
    format!(
        "### {}\n\n{}\n\n```console\n$ {prefix}topicwire {}{suffix}\n{talk}[exit status {}]\n```\n",
        case.title, case.what, case.args, case.status
    )
}

/// Talk without what differs from machine to machine.
fn stable(talk: &str, place: &Place) -> String {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_topicwire"));
    let mut text = talk.to_owned();
    for (path, shown) in [
        (place.path("home"), "/home/me"),
        (place.path(""), "/home/me/news/"),
        (program.parent().unwrap().into(), "/usr/local/bin"),
    ] {
        text = text.replace(&*path.to_string_lossy(), shown);
    }
    const SETS: &str = "this CPU has ";
    if let Some(start) = text.find(SETS).map(|at| at + SETS.len()) {
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        text.replace_range(start..end, "portable, …");
    }
    let mut shown = String::new();
    let mut hash = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_hexdigit() {
            hash.push(c);
            continue;
        }
        shown.push_str(if hash.len() == 64 { "…" } else { &hash });
        hash.clear();
        shown.push(c);
    }
    shown.pop();
    shown
}

#[test]
fn the_page_says_what_the_program_says() {
    let mut page = INTRODUCTION.to_owned();
    for (section, cases) in cases() {
        write!(page, "\n## {section}\n").unwrap();
        for case in cases {
            write!(page, "\n{}", run(&case)).unwrap();
        }
    }
    let path = root().join("docs/bad-input.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let expected = fs::read_to_string(&path).expect("docs/bad-input.md is there");
    let difference = page.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    if let Some(line) = difference {
        let around = |text: &str| text.lines().skip(line.saturating_sub(4)).take(9).collect::<Vec<_>>().join("\n");
        panic!(
            "docs/bad-input.md, line {}: the page has\n{}\n\nthe program says\n{}\n\nwhere that is right, UPDATE_DOCS=1 writes the page anew",
            line + 1,
            around(&expected),
            around(&page)
        );
    }
    assert_eq!(page.lines().count(), expected.lines().count());
}

#[test]
fn a_folder_that_may_not_be_written_is_told_before_the_work() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::with_model();
    let closed = place.path("closed");
    copy_folder(&place.path("model"), &closed.join("model"));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(closed.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    for args in [
        "train train.jsonl --encoder encoder -o closed/new",
        "train train.jsonl --encoder encoder -o closed/model --overwrite",
        "predict model train.jsonl -o closed/out.jsonl",
        "embed train.jsonl --encoder encoder -o closed/out.npy",
    ] {
        let run = place.run(&args.split(' ').collect::<Vec<_>>()).expect(FAILED);
        run.says("error: cannot ").says("ermission denied");
    }
    place.run(&["inspect", "closed/model"]).expect(DONE);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
}
