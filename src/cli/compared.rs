//! `evaluate --compare`: another model, or predictions that another tool made, on the same articles.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use ndarray::{Array2, ArrayView2, Axis};

use super::args::RunArgs;
use super::commands::predict::open_classifier;
use super::predictions_file::PredictionsFile;
use super::printer::{counted, visible};
use super::session::Session;
use crate::data::{Article, DataError};
use crate::labels::{LabelId, LabelSet, Targets, Task};
use crate::metrics::bootstrap::BootstrapSettings;
use crate::metrics::compare::DEFAULT_SHUFFLES;
use crate::pipeline::Classifier;
use crate::progress::{Event, Progress};
use crate::report::EvaluationInput;
use crate::report::comparison::{Compared, Comparison, ComparisonSettings, p_in_words};

/// Labels that are named in the text at most.
const MAX_SHOWN_LABELS: usize = 12;

/// What a model is compared with.
pub struct Other {
    name: String,
    source: Source,
}

enum Source {
    Model(Box<Classifier>),
    Predictions(PredictionsFile),
}

impl Other {
    /// Opens a model where `path` is a folder, else reads predictions.
    pub fn open(path: &Path, model: &Classifier, run: &RunArgs, session: &Session) -> anyhow::Result<Self> {
        let (own, task) = (model.labels(), model.topics.task());
        let source = if path.is_dir() {
            let other = open_classifier(path, run, &[], session)
                .with_context(|| format!("cannot compare with {}", path.display()))?;
            ensure!(
                other.topics.task() == task,
                "{} is for a {} task, the model for a {task} one: they cannot be compared",
                path.display(),
                other.topics.task()
            );
            let unshared: Vec<&str> = own
                .names()
                .filter(|name| other.labels().id(name).is_none())
                .chain(other.labels().names().filter(|name| own.id(name).is_none()))
                .collect();
            ensure!(
                task == Task::Multi || unshared.is_empty(),
                "{} and the model do not know the same labels, and each article has exactly one: {} only one of them knows",
                path.display(),
                unshared.join(", ")
            );
            ensure!(
                unshared.len() < own.len() + other.labels().len(),
                "{} and the model have no label in common",
                path.display()
            );
            Source::Model(Box::new(other))
        } else {
            Source::Predictions(PredictionsFile::read(path, own, task)?)
        };
        Ok(Self { name: path.display().to_string(), source })
    }

    /// Compares what it says of the articles with what the model said of them.
    pub fn compare(
        self,
        model: &Path,
        articles: Vec<Article>,
        own: &EvaluationInput<'_>,
        bootstrap: Option<BootstrapSettings>,
        seed: u64,
        session: &Session,
    ) -> anyhow::Result<Comparison> {
        let (labels, decisions, probabilities) = match self.source {
            Source::Predictions(file) => {
                let (decisions, probabilities) = file.matrices(articles.iter().map(|article| article.id.as_str()))?;
                (own.labels.clone(), decisions, probabilities)
            }
            Source::Model(classifier) => {
                let (decisions, probabilities) = predict(&classifier, articles, session)?;
                (classifier.labels().clone(), decisions, Some(probabilities))
            }
        };
        // Where both know a label, its numbers in either set.
        let shared: Vec<[usize; 2]> =
            own.labels.iter().filter_map(|(id, label)| Some([id.0, labels.id(&label.name)?.0])).collect();
        let [of_own, of_other] = [0, 1].map(|side| shared.iter().map(|ids| ids[side]).collect::<Vec<_>>());
        let common = LabelSet::new(shared.iter().map(|ids| own.labels.get(LabelId(ids[0])).clone()).collect())?;
        let targets = restrict(own.targets, &of_own);
        let columns = |matrix: ArrayView2<bool>, ids: &[usize]| matrix.select(Axis(1), ids);
        let own_decisions = columns(own.decisions, &of_own);
        let own_probabilities = own.probabilities.select(Axis(1), &of_own);
        let decisions = columns(decisions.view(), &of_other);
        let probabilities = probabilities.map(|matrix| matrix.select(Axis(1), &of_other));
        let a = PathBuf::from(model).display().to_string();
        let sides = [
            Compared { name: &a, decisions: own_decisions.view(), probabilities: Some(own_probabilities.view()) },
            Compared {
                name: &self.name,
                decisions: decisions.view(),
                probabilities: probabilities.as_ref().map(|matrix| matrix.view()),
            },
        ];
        let settings = ComparisonSettings { bootstrap, n_shuffles: DEFAULT_SHUFFLES, seed };
        let mut comparison = session.install(|| Comparison::new(&common, &targets, sides, settings))?;
        let left_out = own.labels.names().chain(labels.names()).filter(|name| common.id(name).is_none());
        comparison.labels_left_out = left_out.map(str::to_owned).collect();
        Ok(comparison)
    }
}

/// Decisions and probabilities, `[n, n_labels]` each.
fn predict(
    classifier: &Classifier,
    articles: Vec<Article>,
    session: &Session,
) -> anyhow::Result<(Array2<bool>, Array2<f64>)> {
    let progress = &*session.progress;
    let shape = (articles.len(), classifier.labels().len());
    let mut decisions = Array2::from_elem(shape, false);
    let mut probabilities = Array2::zeros(shape);
    let mut row_idx = 0;
    progress.event(Event::Started { stage: "labelling by the other", total: Some(shape.0 as u64) });
    let rows = articles.into_iter().map(Ok::<_, DataError>).collect::<Vec<_>>();
    let done = session.install(|| {
        classifier.predict_stream(rows, progress, |_, predictions| {
            for prediction in predictions {
                prediction.labels.iter().for_each(|label| decisions[[row_idx, label.0]] = true);
                for (cell, p) in probabilities.row_mut(row_idx).iter_mut().zip(&prediction.probabilities) {
                    *cell = *p;
                }
                row_idx += 1;
            }
            Ok(())
        })
    });
    progress.event(Event::Finished);
    done?;
    session.check_cancelled()?;
    Ok((decisions, probabilities))
}

/// The targets with only the labels of these numbers, counted anew.
fn restrict(targets: &Targets, kept: &[usize]) -> Targets {
    match targets {
        // A single-label model is compared with one of the same labels.
        Targets::Single(_) => targets.clone(),
        Targets::Multi(rows) => {
            let restricted = |row: &Vec<LabelId>| {
                let place = |label: &LabelId| kept.iter().position(|&id| id == label.0).map(LabelId);
                row.iter().filter_map(place).collect()
            };
            Targets::Multi(rows.iter().map(restricted).collect())
        }
    }
}

/// The comparison in words.
pub fn in_words(found: &Comparison) -> String {
    let (a, b) = (visible(&found.a), visible(&found.b));
    let [only_a, only_b] = found.n_only_right;
    let mut text = format!(
        "\ncompared with `{b}` on the same {}: the two differ on {}; exactly right by `{a}` alone {only_a}, by `{b}` alone {only_b}\n",
        counted(found.n as u64, "article"),
        found.n_differing
    );
    for sentence in found.headline() {
        text.push_str(&format!("{}\n", visible(&sentence)));
    }
    let labels = found.significant_labels();
    if labels.is_empty() {
        text.push_str(&format!(
            "no label's F1 differs beyond chance, corrected for {} labels\n",
            found.per_label.len()
        ));
    } else {
        let shown: Vec<String> = labels
            .iter()
            .take(MAX_SHOWN_LABELS)
            .map(|label| {
                let name = visible(&label.label);
                format!("{name} {:.3} against {:.3} ({})", label.f1_a, label.f1_b, p_in_words(label.p_holm))
            })
            .collect();
        let more = labels.len().saturating_sub(MAX_SHOWN_LABELS);
        let more = if more > 0 { format!(", and {more} more in --json") } else { String::new() };
        text.push_str(&format!(
            "labels whose F1 differs, `{a}` against `{b}`, corrected for {} labels: {}{more}\n",
            found.per_label.len(),
            shown.join(", ")
        ));
    }
    if !found.labels_left_out.is_empty() {
        let names: Vec<String> = found.labels_left_out.iter().map(|name| visible(name)).collect();
        text.push_str(&format!("compared on the labels that both know; left out: {}\n", names.join(", ")));
    }
    text
}
