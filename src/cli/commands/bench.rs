//! `topicwire bench`.

use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::train::say_long;
use crate::cli::args::{DataArgs, PrecisionArg, RunArgs, WindowArgs};
use crate::cli::config;
use crate::cli::exit::Outcome;
use crate::cli::machine::{cpu_name, peak_memory_bytes};
use crate::cli::printer::{self, Table, counted};
use crate::cli::progress::InputMeter;
use crate::cli::session::{DEFAULT_ENCODER, Session, source_options};
use crate::data::Article;
use crate::encoder::source::{EncoderId, locate};
use crate::encoder::{Encoder, ExecutorChoice};
use crate::kernels::dispatch::Isa;
use crate::progress::{Event, Progress};
use crate::throughput::{Measurement, Spread, Throughput, ThroughputSettings, measure};

/// Timed rounds unless told otherwise.
const DEFAULT_ROUNDS: usize = 5;
/// Articles that are read unless told otherwise: some seconds a round.
const DEFAULT_ARTICLES: usize = 2000;
/// What `--compare` measures; the others are compared to the first.
const COMPARED: [PrecisionArg; 3] = [PrecisionArg::F32, PrecisionArg::Bf16, PrecisionArg::Int8];

/// Measure how fast an encoder is on this machine and your articles.
///
/// Embeds the articles in rounds, as `embed` does, after one round that warms up. Prints articles and tokens per second (median, least
/// and most of the rounds), what share that is of the products this machine could do at best, time to load, and memory.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire bench news.jsonl
  topicwire bench news.jsonl --precision int8 --threads 4 --json
  topicwire bench news.jsonl --compare --rounds 9")]
pub struct BenchCommand {
    #[command(flatten)]
    flags: BenchFlags,
}

/// The flags of `bench`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BenchFlags {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// Timed rounds, after one that warms up [default: 5]
    #[arg(long, value_name = "N", help_heading = "Measuring", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Articles to read at most, from the start of the input [default: 2000]
    #[arg(long, value_name = "N", help_heading = "Measuring", value_parser = clap::value_parser!(u32).range(1..))]
    articles: Option<u32>,
    /// Measure f32, bf16 and int8 in turn, and how far the embeddings differ from those of f32
    #[arg(long, help_heading = "Measuring")]
    compare: bool,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    #[serde(flatten)]
    windows: WindowArgs,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunArgs,
}

impl BenchCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer_run(&self.flags, |flags| &mut flags.run, "bench")?;
        ensure!(
            !flags.compare || flags.run.precision.is_none(),
            "--compare measures every precision and cannot be used with --precision"
        );
        let n_rounds = flags.rounds.map_or(DEFAULT_ROUNDS, |n| n as usize);
        ensure!(n_rounds > 0, "--rounds must be at least 1");
        let session = Session::new(&flags.run)?;
        let (rows, rejected) = session.open_input(&flags.data, |articles| articles)?;
        let articles = read(rows, &flags, &session)?;
        let (encoders, load_ms) = open_encoders(&flags, &session)?;
        let embed = flags.windows.embed_settings(&flags.run);
        encoders[0].tokenizer().check(&embed.windows)?;

        let runs_on_cpu = flags.windows.encoder_settings(&flags.run).executor == ExecutorChoice::Cpu;
        let isa = if runs_on_cpu { Some(Isa::chosen()?) } else { None };
        let settings = ThroughputSettings { n_rounds, isa };
        let progress = &*session.progress;
        progress.event(Event::Started { stage: "measuring", total: None });
        let measured = session.install(|| measure(&encoders, &embed, articles, &settings, progress));
        progress.event(Event::Finished);
        let measurement = measured?;
        session.check_cancelled()?;

        say_long(progress, &measurement.counts);
        let result = BenchResult {
            encoder: encoder_name(&flags),
            cpu: cpu_name(),
            settings,
            peak_memory_bytes: peak_memory_bytes(),
            measurement,
            encoders: &encoders,
            load_ms,
        };
        printer::print(&if flags.json { result.json(flags.compare)? } else { result.table() })?;
        Ok(rejected.conclude(result.measurement.counts.n_articles, progress))
    }
}

/// The name that the encoder was asked for by.
fn encoder_name(flags: &BenchFlags) -> &str {
    flags.run.encoder.as_deref().unwrap_or(DEFAULT_ENCODER)
}

/// The first articles, all of them in memory, so that no round waits for the disk.
fn read(
    mut rows: impl Iterator<Item = Result<Article, crate::data::DataError>>,
    flags: &BenchFlags,
    session: &Session,
) -> anyhow::Result<Vec<Article>> {
    let n_wanted = flags.articles.map_or(DEFAULT_ARTICLES, |n| n as usize);
    ensure!(n_wanted > 0, "--articles must be at least 1");
    let mut articles = Vec::new();
    for row in rows.by_ref().take(n_wanted) {
        session.check_cancelled()?;
        articles.push(row?);
    }
    ensure!(!articles.is_empty(), "there is no article to measure with");
    if articles.len() == n_wanted && rows.next().is_some() {
        session.progress.say(format!("took the first {}; --articles takes more", counted(n_wanted as u64, "article")));
    }
    // What is left to read says nothing of the time left any more.
    session.progress.follow(InputMeter::default());
    Ok(articles)
}

/// The encoder in each precision that is to be measured, and the milliseconds each took to load.
fn open_encoders(flags: &BenchFlags, session: &Session) -> anyhow::Result<(Vec<Encoder>, Vec<f64>)> {
    let name = encoder_name(flags);
    // Fetched first where it must be: no download belongs into the time to load.
    locate(&name.parse::<EncoderId>()?, &source_options(flags.run.offline), &*session.progress)?;
    let precisions = if flags.compare { COMPARED.map(Some).to_vec() } else { vec![flags.run.precision] };
    let (mut encoders, mut load_ms) = (Vec::new(), Vec::new());
    for precision in precisions {
        let run = RunArgs { precision, ..flags.run.clone() };
        let start = Instant::now();
        encoders.push(session.open_encoder(name, &run, &flags.windows.encoder_settings(&run))?);
        load_ms.push((start.elapsed().as_secs_f64() * 1e6).round() / 1e3);
    }
    Ok((encoders, load_ms))
}

/// Everything that is printed.
struct BenchResult<'a> {
    encoder: &'a str,
    cpu: Option<String>,
    settings: ThroughputSettings,
    peak_memory_bytes: Option<u64>,
    measurement: Measurement,
    encoders: &'a [Encoder],
    load_ms: Vec<f64>,
}

impl BenchResult<'_> {
    fn isa(&self) -> Option<&'static str> {
        self.settings.isa.map(Isa::name)
    }

    /// One object: what belongs to a precision beside the rest, or, where several were compared, in `precisions` by its name.
    fn json(&self, is_comparison: bool) -> anyhow::Result<String> {
        let Measurement { counts, n_threads, tokenize_tokens_per_s, encoders } = &self.measurement;
        let Value::Object(mut object) = json!({
            "encoder": self.encoder, "cpu": self.cpu, "isa": self.isa(), "n_threads": n_threads,
            "n_articles": counts.n_articles, "n_windows": counts.n_windows, "n_tokens": counts.n_tokens,
            "n_rounds": self.settings.n_rounds, "tokenize_tokens_per_s": tokenize_tokens_per_s,
            "peak_memory_bytes": self.peak_memory_bytes,
        }) else {
            unreachable!("it is written as an object")
        };
        let mut of_precisions = Map::new();
        for ((encoder, throughput), load_ms) in self.encoders.iter().zip(encoders).zip(&self.load_ms) {
            let precision = encoder.info().precision.to_string();
            let Value::Object(fields) = json!({
                "precision": precision, "executor": encoder.info().executor, "load_ms": load_ms,
                "articles_per_s": throughput.articles_per_s, "tokens_per_s": throughput.tokens_per_s,
                "ceiling_gflops": throughput.ceiling.map(|ceiling| ceiling / 1e9),
                "ceiling_share": throughput.ceiling_share, "tokenize_share": throughput.tokenize_share,
            }) else {
                unreachable!("it is written as an object")
            };
            if is_comparison {
                let mut fields = fields;
                fields.insert("cosine_to_f32".to_owned(), json!(throughput.agreement));
                of_precisions.insert(precision, fields.into());
            } else {
                object.extend(fields);
            }
        }
        if is_comparison {
            object.insert("precisions".to_owned(), of_precisions.into());
        }
        Ok(serde_json::to_string_pretty(&object).context("cannot write the result as JSON")? + "\n")
    }

    fn table(&self) -> String {
        let Measurement { counts, n_threads, tokenize_tokens_per_s, encoders } = &self.measurement;
        let mut text = format!(
            "encoder   {}\nmachine   {}, {}{}\narticles  {}, {}, {}, {} after one to warm up\n\n",
            printer::visible(self.encoder),
            self.cpu.as_deref().map_or_else(|| "a CPU that does not tell its name".to_owned(), printer::visible),
            counted(*n_threads as u64, "thread"),
            self.isa().map(|isa| format!(", {isa}")).unwrap_or_default(),
            counts.n_articles,
            counted(counts.n_windows, "window"),
            counted(counts.n_tokens, "token"),
            counted(self.settings.n_rounds as u64, "round"),
        );
        let mut header = vec!["precision", "articles/s", "min to max", "tokens/s", "min to max"];
        header.extend(["of ceiling", "ceiling GFLOP/s", "load ms"]);
        let is_comparison = encoders.len() > 1;
        if is_comparison {
            header.extend(["cosine to f32", "least"]);
        }
        let mut table = Table::new(&header);
        for ((encoder, throughput), load_ms) in self.encoders.iter().zip(encoders).zip(&self.load_ms) {
            let mut cells = vec![encoder.info().precision.to_string()];
            cells.extend(speed_cells(throughput));
            cells.push(format!("{load_ms:.0}"));
            if is_comparison {
                let agreement = throughput.agreement;
                let cosine = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.5}"));
                cells.extend([cosine(agreement.map(|a| a.mean)), cosine(agreement.map(|a| a.min))]);
            }
            table.row(cells);
        }
        text.push_str(&table.render());
        let shares: Vec<String> = encoders.iter().map(|t| format!("{:.1} %", 100.0 * t.tokenize_share)).collect();
        let memory = self.peak_memory_bytes.map(|bytes| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)));
        text.push_str(&format!(
            "\ntokenising   {} tokens/s on each thread, {} of the time\npeak memory  {}\n",
            rate(tokenize_tokens_per_s.median),
            shares.join(", "),
            memory.as_deref().unwrap_or("not known here"),
        ));
        text
    }
}

fn speed_cells(throughput: &Throughput) -> Vec<String> {
    let dash = || "–".to_owned();
    let mut cells = Vec::new();
    for Spread { median, min, max } in [throughput.articles_per_s, throughput.tokens_per_s] {
        cells.extend([rate(median), format!("{} to {}", rate(min), rate(max))]);
    }
    cells.push(throughput.ceiling_share.map_or_else(dash, |share| format!("{:.0} %", 100.0 * share)));
    cells.push(throughput.ceiling.map_or_else(dash, |ceiling| format!("{:.0}", ceiling / 1e9)));
    cells
}

/// Three digits at least.
fn rate(value: f64) -> String {
    let decimals = if value >= 100.0 { 0 } else { 1 };
    format!("{value:.decimals$}")
}
