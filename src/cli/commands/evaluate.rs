//! `topicwire evaluate`.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::predict::{open_classifier, say_shift};
use super::train::say_long;
use crate::cli::args::{DataArgs, RunArgs, ShiftArgs};
use crate::cli::compared::{self, Other};
use crate::cli::config;
use crate::cli::contract_text;
use crate::cli::exit::Outcome;
use crate::cli::printer;
use crate::cli::report_page::{ReportArticles, ReportOutputs};
use crate::cli::session::Session;
use crate::data::{Article, DuplicateIds, check_labels, collect_targets};
use crate::labels::Targets;
use crate::metrics::bootstrap::{BootstrapSettings, Resampling};
use crate::metrics::prf::{Average, ZeroDivision, precision_recall_f1};
use crate::metrics::summary::Metric;
use crate::pipeline::{Classifier, PipelineError, Prediction, embed_stream};
use crate::progress::{Event, Progress};
use crate::report::gate::QualityGate;
use crate::report::slices::{SliceBy, SliceColumn, SliceTable};
use crate::report::{EvaluationInput, EvaluationReport, promise};
use crate::scope::DEFAULT_FALSE_ALARM_RATE;
use crate::train::classifier::PARAGRAPH_LABELS;

/// Resamples of the bootstrap unless told otherwise.
const DEFAULT_RESAMPLES: usize = 1000;

/// Measure a classifier on labelled articles.
///
/// Prints averaged metrics with 95 % bootstrap intervals and a row for every label. Names and conventions are those of
/// scikit-learn.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire evaluate model data/diplomacy/test.jsonl --report report.html
  topicwire evaluate model test.csv --json --fail-under f1_macro=0.8 --fail-under 'recall[trade]=0.6'
  topicwire evaluate model test.jsonl --by source --by date:month --by length
  topicwire evaluate model test.jsonl --compare other-model")]
pub struct EvaluateCommand {
    /// Folder of the model
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    flags: EvaluateFlags,
}

/// The flags of `evaluate`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EvaluateFlags {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// Print the report as one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Write the report as a self-contained HTML page
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    report: Option<PathBuf>,
    /// Write the plots of the report as SVG files, and the numbers behind them, into this folder
    #[arg(long, value_name = "FOLDER", help_heading = "Output")]
    plots: Option<PathBuf>,
    /// Write plots into a folder that is not empty
    #[arg(long, help_heading = "Output")]
    overwrite: bool,
    /// End with status 1 unless the metric is at least this good; may be repeated
    #[arg(long, value_name = "METRIC=BOUND", help_heading = "Output")]
    fail_under: Vec<String>,
    /// Resamples of the bootstrap, 0 for no intervals [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Output")]
    resamples: Option<usize>,
    /// What resamples draw: articles, or as many of each label as there are, for test articles that were picked label by label
    /// [default: articles]
    #[arg(long, value_enum, value_name = "articles|labels", hide_possible_values = true, help_heading = "Output")]
    resampling: Option<ResamplingArg>,
    /// Measure parts of the articles too, the worst first: by a column, by the months or years of a column of dates
    /// (COLUMN:month, COLUMN:year), by length, by language, by label-count; may be repeated
    #[arg(long, value_name = "COLUMN", help_heading = "Output")]
    by: Vec<String>,
    /// Say whether another model is better on the same articles: its folder, or predictions as JSON Lines with `id`, `labels` and,
    /// if known, `scores`
    #[arg(long, value_name = "MODEL|FILE", help_heading = "Output")]
    compare: Option<PathBuf>,
    /// Assign labels from this probability instead: 0.4 for all, or LABEL=0.4 for one; may be repeated
    #[arg(long, value_name = "[LABEL=]T", allow_negative_numbers = true, help_heading = "Output")]
    threshold: Vec<String>,
    /// Check the passages that carry labels too: by leaving them out, and by labels of paragraphs where articles have
    /// a column `paragraph_labels`; reads every article again twice for each of its labels
    #[arg(long, help_heading = "Output")]
    evidence: bool,
    #[command(flatten)]
    #[serde(flatten)]
    shift: ShiftArgs,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunArgs,
}

/// What resamples draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ResamplingArg {
    Articles,
    Labels,
}

impl From<ResamplingArg> for Resampling {
    fn from(resampling: ResamplingArg) -> Self {
        match resampling {
            ResamplingArg::Articles => Self::Articles,
            ResamplingArg::Labels => Self::Labels,
        }
    }
}

impl EvaluateCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer_run(&self.flags, |flags| &mut flags.run, "evaluate")?;
        ensure!(
            !(flags.evidence && flags.shift.prior_shift.is_some()),
            "--evidence is measured article by article, --prior-shift on all together: ask for one of them"
        );
        let mut slices: Vec<SliceColumn> = flags.by.iter().map(|by| SliceColumn::new(by)).collect();
        let looks_at_text = |by: &String| matches!(by.parse(), Ok(SliceBy::Length | SliceBy::Language));
        ensure!(
            flags.shift.prior_shift.is_none() || (flags.compare.is_none() && !flags.by.iter().any(looks_at_text)),
            "--prior-shift keeps no texts, which --compare, --by length and --by language need: ask for one of them"
        );
        let gates = flags
            .fail_under
            .iter()
            .map(|text| text.parse::<QualityGate>().context("cannot use --fail-under"))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let session = Session::new(&flags.run)?;
        let mut classifier = open_classifier(&self.model, &flags.run, &flags.threshold, &session)?;
        // Metrics are about the usual labels of every article; how a promise is kept is told beside them.
        let contract = classifier.topics.contract.take();
        let classifier = classifier;
        let other = match &flags.compare {
            Some(path) => Some(Other::open(path, &classifier, &flags.run, &session)?),
            None => None,
        };
        let mut ids = DuplicateIds::default();
        let (rows, rejected) = session.open_input(&flags.data, |articles| {
            articles
                .check(check_labels(classifier.labels().clone()))
                .check(move |article, place| ids.check(article, place))
        })?;
        let outputs = ReportOutputs::open(flags.report.as_deref(), flags.plots.as_deref(), flags.overwrite)?;
        let mut shown = outputs.are_wanted().then(|| ReportArticles::new(classifier.labels()));

        let progress = &*session.progress;
        let n_labels = classifier.labels().len();
        let mut known: Vec<(String, Option<Vec<String>>)> = Vec::new();
        let mut kept: Vec<Article> = Vec::new();
        let mut plain: Vec<Prediction> = Vec::new();
        let mut scores: Vec<f64> = Vec::new();
        let mut decisions: Vec<bool> = Vec::new();
        // Where there are too few training articles to tell, nothing is told.
        let cutoff =
            classifier.scope.as_ref().and_then(|scope| scope.reference().cutoff(DEFAULT_FALSE_ALARM_RATE).ok());
        let mut n_unlike = 0_usize;
        progress.event(Event::Started { stage: "labelling", total: None });
        let mut note = |articles: Vec<Article>, predictions: Vec<Prediction>, embeddings: Option<Array2<f32>>| {
            for (i, (article, prediction)) in articles.into_iter().zip(predictions).enumerate() {
                if let Some(shown) = &mut shown {
                    let embedding = embeddings.as_ref().and_then(|embeddings| embeddings.row(i).to_slice());
                    shown.note(&article, &prediction, embedding);
                }
                scores.extend(&prediction.probabilities);
                let start = decisions.len();
                decisions.resize(start + n_labels, false);
                prediction.labels.iter().for_each(|label| decisions[start + label.0] = true);
                known.push((article.id.clone(), article.labels.clone()));
                for column in &mut slices {
                    column.add(&article).map_err(|error| PipelineError::Sink(Box::new(error)))?;
                }
                if flags.evidence || flags.compare.is_some() {
                    kept.push(article);
                }
            }
            Ok(())
        };
        let counts = session.install(|| match flags.shift.prior_shift {
            None => embed_stream(&classifier.encoder, &classifier.settings, rows, progress, |chunk| {
                let predictions = classifier.predict_chunk(&chunk)?;
                if let (Some(scope), Some(cutoff)) = (&classifier.scope, &cutoff) {
                    let scores = scope.scores(chunk.embeddings.view())?;
                    n_unlike += scores.into_iter().filter(|score| cutoff.is_foreign(*score)).count();
                }
                note(chunk.articles, predictions, Some(chunk.embeddings))
            }),
            Some(shift) => {
                let batch = classifier.predict_adapted(rows, shift.into(), false, progress)?;
                say_shift(progress, &classifier, &batch);
                plain = batch.plain;
                let counts = batch.counts;
                note(batch.articles, batch.predictions, None)?;
                Ok(counts)
            }
        });
        progress.event(Event::Finished);
        let counts = counts?;
        session.check_cancelled()?;
        ensure!(!known.is_empty(), "there is no article to evaluate on");

        let resolved = collect_targets(
            known.iter().map(|(id, labels)| (id.as_str(), labels.as_deref())),
            Some(classifier.labels()),
            Some(classifier.topics.task()),
        )?;
        let shape = (known.len(), n_labels);
        let bootstrap = match flags.resamples.unwrap_or(DEFAULT_RESAMPLES) {
            0 => None,
            n_resamples => Some(BootstrapSettings {
                n_resamples,
                seed: flags.run.seed.unwrap_or_default(),
                resampling: flags.resampling.map(Resampling::from).unwrap_or_default(),
                ..BootstrapSettings::default()
            }),
        };
        let probabilities = Array2::from_shape_vec(shape, scores).expect("one row an article");
        let ordinary = classifier.topics.thresholds.as_ref();
        let kept_promise = contract
            .map(|contract| contract.kept(probabilities.view(), &resolved.targets, ordinary))
            .transpose()
            .context("cannot tell how the promise was kept")?;
        let decisions = Array2::from_shape_vec(shape, decisions).expect("one row an article");
        let input = EvaluationInput {
            labels: classifier.labels(),
            targets: &resolved.targets,
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: classifier.topics.thresholds.as_ref().map(|thresholds| thresholds.as_slice()),
        };
        let report = session.install(|| EvaluationReport::new(input, bootstrap))?;
        let mut tables: Vec<SliceTable> = Vec::new();
        for column in slices {
            let (name, values) = (column.name().to_owned(), column.finish()?);
            tables.push(session.install(|| SliceTable::new(&name, &values, &input, bootstrap))?);
        }

        if flags.shift.prior_shift.is_some() {
            progress.say(alone(&plain, &resolved.targets, n_labels, &report));
        }
        let evidence = if flags.evidence {
            progress.event(Event::Started { stage: "checking evidence", total: None });
            let seed = flags.run.seed.unwrap_or_default();
            let checked = session.install(|| classifier.check_evidence(&kept, PARAGRAPH_LABELS, seed, progress));
            progress.event(Event::Finished);
            Some(checked?)
        } else {
            None
        };

        let comparison = match other {
            Some(other) => {
                let seed = flags.run.seed.unwrap_or_default();
                Some(other.compare(&self.model, std::mem::take(&mut kept), &input, bootstrap, seed, &session)?)
            }
            None => None,
        };

        let unlike = cutoff
            .filter(|_| flags.shift.prior_shift.is_none())
            .map(|_| Unlike { share: n_unlike as f64 / known.len() as f64, expected: DEFAULT_FALSE_ALARM_RATE });
        if let Some(shown) = shown {
            let title = format!("topicwire: {}", self.model.display());
            let settings = self.settings(&flags, &classifier)?;
            let sections = kept_promise.iter().map(|kept| promise::section(kept, classifier.labels())).collect();
            session.install(|| {
                let extras = shown.extras(&classifier, input, &tables, settings, sections)?;
                outputs.write(&report, &title, &extras)
            })?;
        }
        let text = if flags.json {
            let mut report = serde_json::to_value(&report)?;
            if let Some(object) = report.as_object_mut() {
                if let Some(evidence) = &evidence {
                    object.insert("evidence".to_owned(), serde_json::to_value(evidence)?);
                }
                if !tables.is_empty() {
                    object.insert("slices".to_owned(), serde_json::to_value(&tables)?);
                }
                if let Some(kept) = &kept_promise {
                    object.insert("contract".to_owned(), serde_json::to_value(kept)?);
                }
                if let Some(unlike) = &unlike {
                    object.insert("unlike_training".to_owned(), serde_json::to_value(unlike)?);
                }
                if let Some(comparison) = &comparison {
                    object.insert("comparison".to_owned(), serde_json::to_value(comparison)?);
                }
            }
            serde_json::to_string_pretty(&report)? + "\n"
        } else {
            format!(
                "{}, {n_labels} labels, {}\n\n{}{}{}{}{}{}",
                printer::counted(report.n as u64, "article"),
                report.task,
                printer::report(&report),
                unlike.as_ref().map(Unlike::in_words).unwrap_or_default(),
                kept_promise.as_ref().map(|kept| contract_text::kept(kept, classifier.labels())).unwrap_or_default(),
                tables.iter().map(|table| printer::slices(table, &report)).collect::<String>(),
                comparison.as_ref().map(compared::in_words).unwrap_or_default(),
                evidence.as_ref().map(printer::evidence).unwrap_or_default()
            )
        };
        printer::print(&text)?;
        say_long(progress, &counts);
        let outcome = rejected.conclude(counts.n_articles, progress);

        let mut is_met = true;
        for gate in &gates {
            let checked = gate.check(&report);
            is_met &= checked.is_met();
            progress.warn_if(!checked.is_met(), format!("{gate} {checked}"));
        }
        Ok(if is_met { outcome } else { Outcome::GateNotMet })
    }

    /// How the report was made, for those who read it.
    fn settings(&self, flags: &EvaluateFlags, classifier: &Classifier) -> anyhow::Result<Vec<(String, String)>> {
        let record = &classifier.record;
        let views = classifier.topics.views.iter().map(|view| view.kind().name());
        let mut settings = vec![
            ("model".to_owned(), self.model.display().to_string()),
            ("encoder".to_owned(), format!("{}, {}", record.encoder.id, record.encoder.precision)),
            ("views".to_owned(), views.collect::<Vec<_>>().join(", ")),
            ("trained on".to_owned(), printer::counted(record.data.counts.n_articles, "article")),
            ("trained with".to_owned(), format!("topicwire {}", record.program_version)),
        ];
        // Places of outputs, and what changes no result.
        const NOT_SHOWN: [&str; 8] =
            ["report", "plots", "overwrite", "rejects", "threads", "offline", "progress", "batch-tokens"];
        for (name, value) in config::given(flags)?.into_iter().filter(|(name, _)| !NOT_SHOWN.contains(&name.as_str())) {
            let value = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Array(items) => {
                    let items = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                    items.collect::<Vec<_>>().join(", ")
                }
                other => other.to_string(),
            };
            settings.push((name, value));
        }
        Ok(settings)
    }
}

/// Articles that are unlike those trained on.
#[derive(Serialize)]
struct Unlike {
    share: f64,
    /// Of articles like them.
    expected: f64,
}

impl Unlike {
    fn in_words(&self) -> String {
        format!(
            "\nunlike the training articles: {:.1} % (of articles like them {:.0} % are taken for unlike)\n",
            100.0 * self.share,
            100.0 * self.expected
        )
    }
}

/// What the metrics would be without `--prior-shift`.
fn alone(plain: &[Prediction], targets: &Targets, n_labels: usize, shifted: &EvaluationReport) -> String {
    let mut decisions = Array2::from_elem((plain.len(), n_labels), false);
    for (row_idx, prediction) in plain.iter().enumerate() {
        prediction.labels.iter().for_each(|label| decisions[[row_idx, label.0]] = true);
    }
    let truth = targets.indicator(n_labels);
    let before = |average| {
        precision_recall_f1(truth.view(), decisions.view(), average, ZeroDivision::default()).map_or(f64::NAN, |s| s.f1)
    };
    let after = |metric| shifted.estimate(metric).and_then(|estimate| estimate.value).unwrap_or(f64::NAN);
    format!(
        "without --prior-shift: f1_micro {:.3}, f1_macro {:.3}; with it {:.3}, {:.3}",
        before(Average::Micro),
        before(Average::Macro),
        after(Metric::F1Micro),
        after(Metric::F1Macro)
    )
}
