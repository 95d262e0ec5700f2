//! `topicwire predict`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::train::say_long;
use crate::bundle::OpenOptions;
use crate::calibration::contract::Status;
use crate::calibration::thresholds::Thresholds;
use crate::cli::args::{DataArgs, RunArgs, ShiftArgs};
use crate::cli::config;
use crate::cli::exit::Outcome;
use crate::cli::output::{PredictionFormat, PredictionRow, Target, prediction_writer, with_review};
use crate::cli::progress::StderrProgress;
use crate::cli::session::{Session, executor, open_store, source_options};
use crate::data::{Article, LABEL_SEPARATOR};
use crate::pipeline::adapt::AdaptedBatch;
use crate::pipeline::{Classifier, PipelineError, Prediction};
use crate::progress::{Event, Progress};

/// Label articles, one output row each, in order.
///
/// A row holds the id, the assigned labels, the probability of every label, and the columns of the input. Rows come as
/// soon as they are known; memory does not grow with the input.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire predict model articles/*.txt
  topicwire predict model news.csv.gz -o labels.parquet
  cat news.jsonl | topicwire predict model - | jq -r '.labels[]' | sort | uniq -c")]
pub struct PredictCommand {
    /// Folder of the model
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    flags: PredictFlags,
}

/// The flags of `predict`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PredictFlags {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// File to write, standard output without; .jsonl, .csv, .tsv, .parquet, the text forms also .gz or .zst
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Format of the output: jsonl, csv, tsv, parquet [default: from the ending, else jsonl]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    output_format: Option<PredictionFormat>,
    /// Assign labels from this probability instead: 0.4 for all, or LABEL=0.4 for one; may be repeated
    #[arg(long, value_name = "[LABEL=]T", allow_negative_numbers = true, help_heading = "Output")]
    threshold: Vec<String>,
    /// Add for each assigned label the passages that carry it, with the characters where they stand; JSON Lines only
    #[arg(long, help_heading = "Output")]
    evidence: bool,
    /// Leave articles unlike the training articles to a person; of articles like those, this share is left to one too [alone: 0.05]
    #[arg(
        long,
        value_name = "RATE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0.05",
        help_heading = "Output"
    )]
    abstain: Option<f64>,
    #[command(flatten)]
    #[serde(flatten)]
    shift: ShiftArgs,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunArgs,
}

impl PredictCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer_run(&self.flags, |flags| &mut flags.run, "predict")?;
        let session = Session::new(&flags.run)?;
        // The model first: a wrong one must not empty the rejects of an earlier run.
        let mut classifier = open_classifier(&self.model, &flags.run, &flags.threshold, &session)?;
        if let Some(rate) = flags.abstain {
            classifier.abstain(rate).context("cannot use --abstain")?;
        }
        let classifier = classifier;
        let (rows, rejected) = session.open_input(&flags.data, |articles| articles)?;

        let names: Vec<String> = classifier.labels().names().map(str::to_owned).collect();
        let target = Target::new(flags.output.clone().unwrap_or_else(|| "-".into()));
        let format = match flags.output_format {
            Some(format) => format,
            None => PredictionFormat::from_target(&target)?,
        };
        anyhow::ensure!(
            !flags.evidence || format == PredictionFormat::Jsonl,
            "--evidence needs JSON Lines, which hold lists of passages; the output is to be {format}"
        );
        let separator = flags.data.label_separator.as_deref().unwrap_or(LABEL_SEPARATOR);
        let mut writer = prediction_writer(&target, format, &names, separator)?;
        let progress = &*session.progress;
        progress.event(Event::Started { stage: "labelling", total: None });
        let mut n_review = 0u64;
        let mut sink = |articles: Vec<Article>, predictions: Vec<Prediction>| {
            for (article, prediction) in articles.iter().zip(&predictions) {
                let reviewed = prediction.review.as_ref().map(|review| {
                    n_review += u64::from(review.status() == Status::Review);
                    let candidates = review.candidates.iter().map(|label| names[label.0].as_str());
                    let candidates = match format {
                        PredictionFormat::Jsonl => candidates.collect(),
                        _ => candidates.collect::<Vec<_>>().join(separator).into(),
                    };
                    let reason = review.reason(classifier.labels());
                    with_review(&review.status().to_string(), candidates, reason, &article.extra)
                });
                let labels: Vec<String> = prediction.labels.iter().map(|label| names[label.0].clone()).collect();
                let row = PredictionRow {
                    id: &article.id,
                    labels: &labels,
                    scores: &prediction.probabilities,
                    evidence: flags.evidence.then_some(&prediction.evidence[..]),
                    extra: reviewed.as_ref().unwrap_or(&article.extra),
                };
                writer.write(&row).map_err(|error| PipelineError::Sink(Box::new(error)))?;
            }
            writer.flush().map_err(|error| PipelineError::Sink(Box::new(error)))
        };
        let counts = session.install(|| {
            if let Some(shift) = flags.shift.prior_shift {
                let batch = classifier.predict_adapted(rows, shift.into(), flags.evidence, progress)?;
                say_shift(progress, &classifier, &batch);
                let counts = batch.counts;
                sink(batch.articles, batch.predictions)?;
                Ok(counts)
            } else if flags.evidence {
                classifier.predict_stream_with_evidence(rows, progress, sink)
            } else {
                classifier.predict_stream(rows, progress, sink)
            }
        });
        progress.event(Event::Finished);
        let counts = counts?;
        session.check_cancelled()?;
        writer.finish()?;
        say_long(progress, &counts);
        if classifier.reviews() {
            let n_auto = counts.n_articles.saturating_sub(n_review);
            progress
                .say(format!("{n_auto} of {} articles need no person, {n_review} are for review", counts.n_articles));
        }
        Ok(rejected.conclude(counts.n_articles, progress))
    }
}

/// Says what was put right, and for how many articles it makes a difference.
pub fn say_shift(progress: &StderrProgress, classifier: &Classifier, batch: &AdaptedBatch) {
    if let Some(found) = &batch.frequencies {
        let moved: Vec<String> = classifier
            .labels()
            .names()
            .zip(found.training().iter().zip(found.shares()))
            .filter(|(_, (training, share))| training != share)
            .map(|(name, (training, share))| {
                format!("{name} {:.1} % ({:.1} % in training)", 100.0 * share, 100.0 * training)
            })
            .collect();
        progress.say(match moved.is_empty() {
            true => "labels are about as frequent in this batch as in training".to_owned(),
            false => format!("labels of other frequency in this batch: {}", moved.join(", ")),
        });
    }
    progress.say(format!(
        "{} of {} articles have other labels than each alone would have",
        batch.n_changed(),
        batch.predictions.len()
    ));
}

/// Opens a model and applies `--threshold`.
pub fn open_classifier(
    model: &std::path::Path,
    run: &RunArgs,
    thresholds: &[String],
    session: &Session,
) -> anyhow::Result<Classifier> {
    let options = OpenOptions {
        source: source_options(run.offline),
        encoder: run.encoder.as_deref().map(str::parse).transpose()?,
        executor: executor(run.device),
        batch_tokens: run.batch_tokens.map(|n| n as usize),
    };
    let mut classifier = Classifier::open_with(model, &options, &*session.progress)?;
    session.tell_encoder(&classifier.encoder);
    if let Some(store) = open_store(run)? {
        Arc::get_mut(&mut classifier.encoder).expect("nobody else has it yet").set_store(store);
    }
    if let Some(asked) = run.precision {
        let own = classifier.record.encoder.precision;
        anyhow::ensure!(
            crate::encoder::Precision::from(asked) == own,
            "the model was trained with precision {own}, and --precision asks for another; train it again to change it"
        );
    }
    for threshold in thresholds {
        set_threshold(&mut classifier, threshold).with_context(|| format!("cannot use --threshold {threshold}"))?;
    }
    Ok(classifier)
}

fn set_threshold(classifier: &mut Classifier, text: &str) -> anyhow::Result<()> {
    let (label, value) = match text.rsplit_once('=') {
        Some((label, value)) => (Some(label), value),
        None => (None, text),
    };
    let found = value.trim();
    let value: f64 = found.parse().with_context(|| format!("expected a number between 0 and 1, found `{found}`"))?;
    anyhow::ensure!((0.0..=1.0).contains(&value), "expected a number between 0 and 1, found {found}");
    let topics = &mut classifier.topics;
    let Some(thresholds) = &topics.thresholds else {
        anyhow::bail!("the model gives each article its most probable label and has no thresholds");
    };
    let mut values = thresholds.as_slice().to_vec();
    match label {
        Some(label) => values[topics.labels.require(label)?.0] = value,
        None => values.fill(value),
    }
    topics.thresholds = Some(Thresholds::new(values)?);
    Ok(())
}
