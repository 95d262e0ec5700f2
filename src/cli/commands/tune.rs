//! `topicwire tune`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::train::reproducing;
use crate::cli::args::DataArgs;
use crate::cli::embedding_cache;
use crate::cli::exit::Outcome;
use crate::cli::output::{Compression, OutputFile, Target};
use crate::cli::printer::{self, Table, counted};
use crate::cli::session::{Rejected, Session};
use crate::cli::train_flags::TrainFlags;
use crate::cli::{config, progress};
use crate::data::{Article, DataError, collect_targets};
use crate::encoder::Encoder;
use crate::labels::LabelSet;
use crate::metrics::summary::{Metric, RowStatistics};
use crate::pipeline::Classifier;
use crate::progress::{Event, Progress};
use crate::train::TrainSettings;
use crate::tune::compare::Comparison;
use crate::tune::{End, N_STANDARD_ERRORS, Trial, TuneOutcome, TuneSettings, tune};

/// Search unless told otherwise.
const DEFAULT_BUDGET: Duration = Duration::from_secs(300);

/// Metrics that are shown of `--test`.
const SHOWN: [Metric; 4] = [Metric::F1Micro, Metric::F1Macro, Metric::MapMacro, Metric::LogLoss];

/// Search settings of the head that suit your articles better than the given ones, and write them as a config file.
///
/// Starts from the defaults and the flags, tries one change after the other by cross-validation, and keeps what gains more than twice its standard
/// error, there and on other folds. Often that is nothing. Embeddings are kept on disk (`--cache` says where), so that an article goes through the encoder
/// once. Ctrl-C writes the best so far.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire tune data/diplomacy/train.jsonl -o run.toml
  topicwire train --config run.toml -o model
  topicwire tune train.csv --test test.csv --metric f1_macro --budget 20m -o run.toml")]
pub struct TuneCommand {
    #[command(flatten)]
    flags: TuneFlags,
}

/// The flags of `tune`: those of `train` and its own; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[command(mut_arg("output", |arg| arg.value_name("FILE").help("File to write the settings to, for `train --config`")))]
#[command(mut_arg("overwrite", |arg| arg.help("Replace the file that is there")))]
pub struct TuneFlags {
    #[command(flatten)]
    #[serde(flatten)]
    train: TrainFlags,
    /// Time for the search once the articles are encoded, such as 90s, 5m or 1h; the given settings are tried in any case [default: 5m]
    #[arg(long, value_name = "TIME", help_heading = "Search")]
    budget: Option<String>,
    /// Changes to try at most [default: as many as the budget allows]
    #[arg(long, value_name = "N", help_heading = "Search")]
    trials: Option<usize>,
    /// What is to get better [default: f1_micro]
    #[arg(
        long,
        value_enum,
        value_name = "f1_micro|f1_macro|map_macro|log_loss",
        hide_possible_values = true,
        help_heading = "Search"
    )]
    metric: Option<MetricArg>,
    /// Labelled articles that are no part of the search, to measure given and found settings on
    #[arg(long, value_name = "DATA", help_heading = "Search")]
    test: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum MetricArg {
    F1Micro,
    F1Macro,
    MapMacro,
    LogLoss,
}

impl From<MetricArg> for Metric {
    fn from(metric: MetricArg) -> Self {
        match metric {
            MetricArg::F1Micro => Self::F1Micro,
            MetricArg::F1Macro => Self::F1Macro,
            MetricArg::MapMacro => Self::MapMacro,
            MetricArg::LogLoss => Self::LogLoss,
        }
    }
}

impl TuneCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let mut flags = config::layer_run(&self.flags, |flags| &mut flags.train.run, "tune")?;
        flags.train.settle_precision();
        let given = flags.train.settings()?;
        given.head.clone().check().context("the settings make no sense")?;
        let settings = TuneSettings {
            metric: flags.metric.map_or(TuneSettings::default().metric, Metric::from),
            budget: Some(flags.budget.as_deref().map_or(Ok(DEFAULT_BUDGET), duration)?),
            max_trials: flags.trials,
        };
        ensure!(
            flags.train.unlabelled.is_empty(),
            "--unlabelled is for few labelled articles, among which none can be held out"
        );
        ensure!(!flags.train.data.data.is_empty(), "there are no labelled articles: name DATA");
        let output = flags.train.output.clone().context("no place to write the settings: pass -o run.toml")?;
        if output.exists() && !flags.train.overwrite {
            bail!("{} is there already; --overwrite replaces it", output.display());
        }
        let mut file = OutputFile::create(&Target::File(output.clone()), Compression::None)?;

        let session = Session::new(&flags.train.run)?;
        let progress = &*session.progress;
        let (rows, rejected) = flags.train.open_labelled(&session, &given)?;
        let articles: Vec<Article> = rows.collect::<Result<_, DataError>>()?;
        session.check_cancelled()?;
        let test = flags.test.as_ref().map(|name| read_test(name, &flags.train.data, &session)).transpose()?;
        let encoder = Arc::new(open_encoder(&flags.train, &session)?);

        progress.say(format!("{:>7}  {:<26} {:>9}", "seconds", "change", settings.metric.name()));
        let mut told = |trial: &Trial| progress.say(line(trial));
        let outcome = session.install(|| tune(&encoder, &articles, &given, &settings, progress, &mut told))?;
        file.write_all(config_file(&flags.train, &given, &outcome, settings.metric)?.as_bytes())?;
        file.finish()?;

        printer::print(&table(&outcome, settings.metric))?;
        printer::print(&format!(
            "\n{}\nsettings written to {}\n",
            verdict(&outcome, settings.metric),
            output.display()
        ))?;
        let n_articles = articles.len() as u64;
        if let Some(test) = test.filter(|_| outcome.end != End::Interrupted) {
            let measured = session.install(|| measure(&encoder, articles, &test, &given, &outcome, progress))?;
            printer::print(&measured)?;
        }
        Ok(rejected.conclude(n_articles, progress))
    }
}

/// With a store even where none was asked for: every way to embed the articles is needed more than once.
fn open_encoder(flags: &TrainFlags, session: &Session) -> anyhow::Result<Encoder> {
    let mut encoder = flags.open_encoder(session)?;
    if encoder.store().is_none() {
        match embedding_cache::folder(None).and_then(|folder| embedding_cache::open(&folder)) {
            Ok(store) => encoder.set_store(store),
            Err(error) => session.progress.warn(format!("embeddings are not kept on disk: {error:#}")),
        }
    }
    Ok(encoder)
}

fn read_test(name: &str, data: &DataArgs, session: &Session) -> anyhow::Result<Vec<Article>> {
    let data = DataArgs { data: vec![name.to_owned()], on_error: None, rejects: None, ..data.clone() };
    let (rows, _): (_, Rejected) = session.open_input(&data, |articles| articles)?;
    let articles: Vec<Article> = rows.collect::<Result<_, DataError>>()?;
    ensure!(!articles.is_empty(), "there is no article in {name} to measure on");
    Ok(articles)
}

/// Seconds, or a number with `s`, `m` or `h` behind it.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let (number, seconds) = match text.trim().char_indices().next_back() {
        Some((i, 's')) => (&text.trim()[..i], 1.0),
        Some((i, 'm')) => (&text.trim()[..i], 60.0),
        Some((i, 'h')) => (&text.trim()[..i], 3600.0),
        _ => (text.trim(), 1.0),
    };
    let budget = number.parse::<f64>().ok().and_then(|n| Duration::try_from_secs_f64(n * seconds).ok());
    budget.with_context(|| format!("cannot read --budget `{text}`: expected a time such as 90s, 5m or 1h"))
}

fn name_of(trial: &Trial) -> String {
    trial.change.as_ref().map_or_else(|| "as given".to_owned(), ToString::to_string)
}

fn line(trial: &Trial) -> String {
    let against = trial.comparison.map(|found| format!("  {}", gain(&found))).unwrap_or_default();
    let kept = if trial.change.is_some() && trial.is_kept { "  kept" } else { "" };
    format!("{:>7.1}  {:<26} {:>9.4}{against}{kept}", trial.seconds, name_of(trial), trial.score)
}

fn gain(found: &Comparison) -> String {
    format!("{:+.4} ± {:.4}", found.gain, found.standard_error)
}

/// Every trial.
fn table(outcome: &TuneOutcome, metric: Metric) -> String {
    let mut table = Table::new(&["change", metric.name(), "gain", "± s.e.", ""]);
    for trial in &outcome.trials {
        let mut cells = vec![name_of(trial), format!("{:.4}", trial.score)];
        if let Some(found) = &trial.comparison {
            cells.extend([format!("{:+.4}", found.gain), format!("{:.4}", found.standard_error)]);
            cells.push(if trial.is_kept { "kept" } else { "" }.to_owned());
        }
        table.row(cells);
    }
    table.render()
}

/// What came of it, in a sentence or two.
fn verdict(outcome: &TuneOutcome, metric: Metric) -> String {
    let n_trials = counted(outcome.trials.len() as u64 - 1, "change");
    let names: Vec<String> = outcome.changes.iter().map(ToString::to_string).collect();
    let metric = metric.name();
    let found = match (&outcome.check, names.is_empty()) {
        (None, true) => format!("no gain found in {n_trials}: the settings stay as given"),
        (Some(check), true) => format!(
            "no gain found in {n_trials}: what was kept gains {} of {metric} on other folds, so the settings stay as given",
            gain(check)
        ),
        (Some(check), false) => format!(
            "{} of {n_trials} kept: {}; on other folds {metric} goes from {:.4} to {:.4}, {}",
            names.len(),
            names.join(", "),
            check.from,
            check.to,
            gain(check)
        ),
        (None, false) => {
            format!("{} of {n_trials} kept, not checked on other folds: {}", names.len(), names.join(", "))
        }
    };
    match outcome.end {
        End::Exhausted => found,
        End::Spent => format!("{found} (the search ended with its budget)"),
        End::Interrupted => format!("{found} (the search was interrupted)"),
    }
}

/// Settings that `train --config` reads, below what is known of them.
fn config_file(
    flags: &TrainFlags,
    given: &TrainSettings,
    outcome: &TuneOutcome,
    metric: Metric,
) -> anyhow::Result<String> {
    let settings = reproducing(&flags.with_found(&outcome.settings, given))?;
    let section: Map<String, Value> = [("train".to_owned(), Value::Object(settings))].into_iter().collect();
    let text = toml::to_string(&section).context("the settings cannot be written as TOML")?;
    Ok(format!(
        "# topicwire tune: {}.\n# A gain counts from {N_STANDARD_ERRORS} standard errors on.\n{text}",
        verdict(outcome, metric)
    ))
}

/// Given and found settings on articles that were no part of the search.
fn measure(
    encoder: &Arc<Encoder>,
    articles: Vec<Article>,
    test: &[Article],
    given: &TrainSettings,
    outcome: &TuneOutcome,
    progress: &progress::StderrProgress,
) -> anyhow::Result<String> {
    let mut columns = vec![("as given", score(encoder, &articles, test, given, progress)?)];
    if !outcome.changes.is_empty() {
        columns.push(("found", score(encoder, &articles, test, &outcome.settings, progress)?));
    }
    let mut header = vec!["on test articles"];
    header.extend(columns.iter().map(|(name, _)| *name));
    if columns.len() > 1 {
        header.extend(["gain", "± s.e."]);
    }
    let mut table = Table::new(&header);
    for metric in SHOWN {
        let mut cells = vec![metric.name().to_owned()];
        cells.extend(
            columns
                .iter()
                .map(|(_, of)| of.scores().get(metric).map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))),
        );
        if let [(_, before), (_, after)] = &columns[..]
            && let Some(found) = Comparison::new(before, after, metric, given.head.seed)
        {
            cells.extend([format!("{:+.4}", found.gain), format!("{:.4}", found.standard_error)]);
        }
        table.row(cells);
    }
    Ok(format!("\n{}", table.render()))
}

fn score(
    encoder: &Arc<Encoder>,
    articles: &[Article],
    test: &[Article],
    settings: &TrainSettings,
    progress: &dyn Progress,
) -> anyhow::Result<RowStatistics> {
    let owned: Vec<Result<Article, DataError>> = articles.iter().cloned().map(Ok).collect();
    let (classifier, _) = Classifier::train_with(Arc::clone(encoder), owned, settings, progress)?;
    let owned: Vec<Result<Article, DataError>> = test.iter().cloned().map(Ok).collect();
    let labels: &LabelSet = classifier.labels();
    let known = test.iter().map(|article| (article.id.as_str(), article.labels.as_deref()));
    let resolved = collect_targets(known, Some(labels), Some(classifier.topics.task()))
        .context("cannot measure on the test articles")?;
    let mut probabilities = Vec::new();
    let mut said = Array2::from_elem((test.len(), labels.len()), false);
    let mut row_idx = 0;
    progress.event(Event::Started { stage: "labelling", total: None });
    classifier.predict_stream(owned, progress, |_, predictions| {
        for prediction in predictions {
            prediction.labels.iter().for_each(|label| said[[row_idx, label.0]] = true);
            probabilities.extend(prediction.probabilities);
            row_idx += 1;
        }
        Ok(())
    })?;
    progress.event(Event::Finished);
    let probabilities = Array2::from_shape_vec((test.len(), labels.len()), probabilities)
        .expect("every article has a probability of each label");
    let truth = resolved.targets.indicator(labels.len());
    Ok(RowStatistics::new(resolved.targets.task(), truth.view(), said.view(), probabilities.view())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, seconds) in [("90", 90.0), ("1.5s", 1.5), ("5m", 300.0), (" 2h ", 7200.0), ("0", 0.0)] {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for text in ["", "m", "-1s", "5 days", "1e400", "nan", "é"] {
            let message = duration(text).unwrap_err().to_string();
            assert!(message.contains("expected a time such as 90s, 5m or 1h"), "{message}");
        }
    }
}
