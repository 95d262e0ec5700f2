//! `topicwire check`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use clap::Args;
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::train::say_long;
use crate::cli::args::{DataArgs, RunArgs, WindowArgs};
use crate::cli::check_text::{self, Checked, Part};
use crate::cli::config;
use crate::cli::exit::Outcome;
use crate::cli::output::{Compression, OutputFile, Target};
use crate::cli::printer;
use crate::cli::session::{DEFAULT_ENCODER, REJECTS_FILE, Rejected, Session};
use crate::curation::check::check;
use crate::curation::finding::{Finding, FindingKind, Severity};
use crate::curation::wrong_labels::wrong_labels;
use crate::data::{Article, DataError, Input, read_articles};
use crate::encoder::Encoder;
use crate::pipeline::embed_stream;
use crate::progress::{Event, Progress};

/// Examples of a kind that are shown unless told otherwise.
const DEFAULT_EXAMPLES: usize = 5;

/// Look over labelled articles before training.
///
/// Duplicates and near-duplicates, test articles that training holds too, same texts with different labels, labels that are likely
/// wrong, rare, look alike or keep odd company, broken texts, languages. Prints how often each was found, with examples. Rows that cannot be read are
/// findings too, unless --on-error says otherwise. Labels are not needed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire check data/diplomacy/train.jsonl --test data/diplomacy/test.jsonl
  topicwire check news.csv --text-column body --fast
  topicwire check train.jsonl --jsonl findings.jsonl --review review.jsonl
  topicwire check train.jsonl --test test.jsonl --strict && topicwire train train.jsonl -o model")]
pub struct CheckCommand {
    #[command(flatten)]
    flags: CheckFlags,
}

/// The flags of `check`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CheckFlags {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// Articles that a model is to be tested on: none of them may be in training; may be repeated
    #[arg(long, value_name = "DATA", help_heading = "Checks")]
    test: Vec<String>,
    /// Compare texts alone, without an encoder: near-duplicates must then have more in common, and labels are not judged
    #[arg(long, help_heading = "Checks")]
    fast: bool,
    /// End with status 1 when there are errors or warnings
    #[arg(long, help_heading = "Checks")]
    strict: bool,
    /// Write all findings as JSON Lines; `-` for standard output, in place of the table
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    jsonl: Option<PathBuf>,
    /// Write the training articles to decide about, one a line, as JSON Lines: fill in "decision"
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    review: Option<PathBuf>,
    /// Examples shown of each kind of finding [default: 5]
    #[arg(long, value_name = "N", help_heading = "Output")]
    examples: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    windows: WindowArgs,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunArgs,
}

impl CheckCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer_run(&self.flags, |flags| &mut flags.run, "check")?;
        let session = Session::new(&flags.run)?;
        let encoder = match flags.fast {
            true => None,
            false => {
                let name = flags.run.encoder.as_deref().unwrap_or(DEFAULT_ENCODER);
                let encoder = session.open_encoder(name, &flags.run, &flags.windows.encoder_settings(&flags.run))?;
                encoder.tokenizer().check(&flags.windows.embed_settings(&flags.run).windows)?;
                Some(encoder)
            }
        };
        let output = |path: &Option<PathBuf>| {
            path.clone().map(Target::new).map(|target| OutputFile::create(&target, Compression::from_target(&target)))
        };
        let (jsonl, review) = (output(&flags.jsonl).transpose()?, output(&flags.review).transpose()?);
        let is_jsonl_shown = flags.jsonl.as_ref().is_some_and(|path| path.as_os_str() == "-");

        let Read { articles, parts, mut findings, rejected } = read(&flags, &session)?;
        session.check_cancelled()?;
        let part_ends: Vec<usize> = parts.iter().map(|part| part.rows.end).collect();
        ensure!(part_ends[0] > 0, "there is no article to check");
        let progress = &*session.progress;
        let (articles, embeddings) = match &encoder {
            None => (articles, None),
            Some(encoder) => session.install(|| embed(encoder, &flags, articles, progress))?,
        };
        session.check_cancelled()?;
        let started = Instant::now();
        let embeddings = embeddings.as_ref().map(|embeddings| embeddings.view());
        let seed = flags.run.seed.unwrap_or_default();
        findings.extend(session.install(|| look_over(&articles, &part_ends, embeddings, seed, progress))?);
        progress.say(format!("checked in {:.1} s", started.elapsed().as_secs_f64()));

        let n_articles = articles.len() as u64;
        let checked = Checked { articles, parts, findings };
        if let Some(mut jsonl) = jsonl {
            checked
                .findings
                .iter()
                .try_for_each(|finding| writeln!(jsonl, "{}", check_text::json(&checked, finding)))?;
            jsonl.finish()?;
        }
        if let Some(mut review) = review {
            check_text::review(&checked).iter().try_for_each(|line| writeln!(review, "{line}"))?;
            review.finish()?;
        }
        if !is_jsonl_shown {
            printer::print(&check_text::table(&checked, flags.examples.unwrap_or(DEFAULT_EXAMPLES)))?;
        }
        let mut outcome = Outcome::Done;
        for rejected in rejected.iter().filter(|rejected| rejected.count() > 0) {
            outcome = rejected.conclude(n_articles, progress);
        }
        let is_bad = checked.findings.iter().any(|finding| finding.severity < Severity::Note);
        Ok(if flags.strict && is_bad { Outcome::GateNotMet } else { outcome })
    }
}

/// All findings about articles that could be read; `part_ends` says where training ends, and each test input.
///
/// Wrong labels are looked for where there are embeddings to judge them by.
fn look_over(
    articles: &[Article],
    part_ends: &[usize],
    embeddings: Option<ArrayView2<'_, f32>>,
    seed: u64,
    progress: &dyn Progress,
) -> anyhow::Result<Vec<Finding>> {
    let mut findings = check(articles, part_ends, embeddings, progress)?;
    if let (Some(embeddings), Some(&n_train)) = (embeddings, part_ends.first()) {
        progress.event(Event::Started { stage: "judging labels", total: None });
        let own = embeddings.slice(ndarray::s![..n_train, ..]);
        let found = wrong_labels(&articles[..n_train], own, seed, progress);
        progress.event(Event::Finished);
        findings.extend(found?);
    }
    Ok(findings)
}

/// What was read.
struct Read {
    articles: Vec<Article>,
    /// Training first.
    parts: Vec<Part>,
    /// Rows that could not be read.
    findings: Vec<Finding>,
    /// Where `--on-error` deals with them.
    rejected: Vec<Rejected>,
}

fn read(flags: &CheckFlags, session: &Session) -> anyhow::Result<Read> {
    let mut read = Read { articles: Vec::new(), parts: Vec::new(), findings: Vec::new(), rejected: Vec::new() };
    let mut inputs = vec![("train".to_owned(), flags.data.data.clone())];
    inputs.extend(flags.test.iter().map(|name| (name.clone(), vec![name.clone()])));
    // Opened together, so that what is missing shows before the reading begins.
    let mut opened = Vec::new();
    for (part_idx, (name, data)) in inputs.into_iter().enumerate() {
        let mut own = DataArgs { data, ..flags.data.clone() };
        let rows: Box<dyn Iterator<Item = Result<Article, DataError>>> = match flags.data.on_error {
            None => {
                let inputs: Vec<Input> = own.data.iter().map(|name| Input::from(name.as_str())).collect();
                Box::new(read_articles(&inputs, &own.read_options())?)
            }
            Some(_) => {
                if part_idx > 0 {
                    // Files of rejects of their own, or one would overwrite the other's.
                    let rejects = own.rejects.clone().unwrap_or_else(|| REJECTS_FILE.into());
                    let mut name = std::ffi::OsString::from(format!("test-{part_idx}-"));
                    name.push(rejects.file_name().unwrap_or_default());
                    own.rejects = Some(rejects.with_file_name(name));
                }
                let (rows, rejected) = session.open_input(&own, |articles| articles)?;
                read.rejected.push(rejected);
                Box::new(rows)
            }
        };
        opened.push((name, rows));
    }
    let progress = &*session.progress;
    progress.event(Event::Started { stage: "reading", total: None });
    for (name, rows) in opened {
        let start = read.articles.len();
        for row in rows {
            session.check_cancelled()?;
            match row {
                Ok(article) => read.articles.push(article),
                Err(DataError::Row(error)) if flags.data.on_error.is_none() => {
                    let finding = Finding::new(FindingKind::UnusableRow, Severity::Error, Vec::new());
                    let finding = finding.with("place", error.place.to_string()).with("id", error.id.clone());
                    read.findings.push(finding.with("reason", error.problem.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
            progress.event(Event::Advanced { n_items: 1, n_tokens: 0 });
        }
        read.parts.push(Part { name, rows: start..read.articles.len() });
    }
    progress.event(Event::Finished);
    Ok(read)
}

/// The articles as they came, and their embeddings.
fn embed(
    encoder: &Encoder,
    flags: &CheckFlags,
    articles: Vec<Article>,
    progress: &crate::cli::progress::StderrProgress,
) -> anyhow::Result<(Vec<Article>, Option<Array2<f32>>)> {
    let settings = flags.windows.embed_settings(&flags.run);
    let n_articles = articles.len();
    let (mut embedded, mut numbers) = (Vec::with_capacity(n_articles), Vec::new());
    numbers.reserve_exact(n_articles * encoder.hidden_size());
    // What is counted are windows, of which articles may have several.
    progress.event(Event::Started { stage: "embedding", total: None });
    let counts = embed_stream(encoder, &settings, articles.into_iter().map(Ok), progress, |chunk| {
        numbers.extend(chunk.embeddings.iter());
        embedded.extend(chunk.articles);
        Ok(())
    });
    progress.event(Event::Finished);
    say_long(progress, &counts?);
    let embeddings = Array2::from_shape_vec((n_articles, encoder.hidden_size()), numbers)
        .expect("every article has one embedding of that size");
    Ok((embedded, Some(embeddings)))
}
