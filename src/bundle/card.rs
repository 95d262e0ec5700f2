//! The model card: what a person should know before using the model.

use std::fmt::Write;

use super::manifest::Manifest;
use crate::calibration::contract::{Contract, Scope};
use crate::labels::Task;
use crate::metrics::summary::Metric;
use crate::pipeline::CrossValidation;
use crate::views::ViewKind;

/// Renders `README.md`.
pub fn render(manifest: &Manifest) -> String {
    let mut card = String::new();
    // Writing into a string cannot fail.
    let _ = write_card(&mut card, manifest);
    card
}

fn write_card(card: &mut String, manifest: &Manifest) -> std::fmt::Result {
    let data = &manifest.training.data;
    let n_labels = manifest.labels.len();
    let task = match manifest.task {
        Task::Single => "exactly one",
        Task::Multi => "none, one or several",
    };
    writeln!(card, "# Topic classifier\n")?;
    writeln!(card, "Gives an article {task} of {n_labels} topics. Made by topicwire {}.\n", manifest.program_version)?;
    writeln!(card, "```sh\ntopicwire predict THIS_FOLDER articles.jsonl -o labels.jsonl\n```\n")?;

    writeln!(card, "## What it was trained on\n")?;
    writeln!(
        card,
        "{} articles, {} of them with no topic at all. SHA-256 of the data: `{}`.",
        data.counts.n_articles, data.n_without_labels, data.sha256
    )?;
    if data.counts.n_long > 0 {
        writeln!(
            card,
            "{} articles were longer than one window of the encoder and were read in several; {} were cut.",
            data.counts.n_long, data.counts.n_cut
        )?;
    }

    match &manifest.training.cross_validation {
        Some(cv) => write_quality(card, cv)?,
        None => writeln!(card, "\nThere were too few articles to measure how good it is.")?,
    }

    if let Some(contract) = &manifest.contract {
        write_promise(card, contract)?;
    }

    let described: Vec<_> = manifest.labels.iter().filter(|label| label.description.is_some()).collect();
    if !described.is_empty() {
        writeln!(card, "\n## What the topics mean\n")?;
        for label in described {
            let description = label.description.as_deref().unwrap_or_default();
            writeln!(card, "* **{}**: {}", escape(&label.name), escape(description))?;
        }
    }

    writeln!(card, "\n## What it is made of\n")?;
    let encoder = &manifest.encoder;
    let revision = encoder.revision.as_deref().map(|r| format!(" at revision `{r}`")).unwrap_or_default();
    writeln!(
        card,
        "Encoder `{}`{revision}, {} columns, {}, weights SHA-256 `{}`. It is not in this folder; topicwire finds or fetches \
         it, and refuses any other weights.\n",
        encoder.id, encoder.hidden_size, encoder.precision, encoder.weights_sha256
    )?;
    if manifest.training.cross_validation.is_none() {
        writeln!(
            card,
            "Head: linear, from {} labelled articles, what the topics mean, and articles without labels where there were any. The whole \
             record is in `manifest.json`; `topicwire inspect THIS_FOLDER --config` prints the settings that make it again.\n",
            data.counts.n_articles
        )?;
    } else {
        writeln!(
            card,
            "Head: logistic regression of strength C = {}, chosen by cross-validation where there were articles enough. The whole record is in `manifest.json`; \
         `topicwire inspect THIS_FOLDER --config` prints the settings that make it again.\n",
            manifest.head.strength
        )?;
    }
    if let Some(stack) = &manifest.stack {
        writeln!(
            card,
            "It looks at an article in several ways and adds up what they say:\n\n| view | weight | |\n|---|---:|---|"
        )?;
        for (kind, weight) in manifest.view_kinds().into_iter().zip(&stack.weights) {
            let what = match (kind, &manifest.words) {
                (ViewKind::Document, _) => "the embedding of the whole article".to_owned(),
                (ViewKind::Passages, _) => "the passage that says it most clearly".to_owned(),
                (ViewKind::Words, Some(words)) => {
                    format!(
                        "{} of its words and letters; a support vector machine of strength C = {}",
                        words.n_terms, words.strength
                    )
                }
                (ViewKind::Words, None) => "its words and letters".to_owned(),
                (ViewKind::Descriptions, _) => "its likeness to what the topics mean".to_owned(),
                (ViewKind::Rules, _) => "keywords and patterns of the topics".to_owned(),
                (ViewKind::Metadata, _) => "columns beside the text".to_owned(),
            };
            writeln!(card, "| {} | {weight:.2} | {what} |", kind.name())?;
        }
        writeln!(card)?;
    }
    if manifest.neighbours {
        writeln!(
            card,
            "`neighbours.safetensors` holds ids, titles, topics and embeddings of training articles, to show which are like another; \
             `--neighbours 0` leaves it out.\n"
        )?;
    }
    writeln!(card, "## Mind\n")?;
    writeln!(
        card,
        "* Probabilities are calibrated on the training articles. Where topics are much more or less frequent than there, \
         they are off.\n* A topic with few articles above has uncertain numbers.\n* The classifier knows these {n_labels} \
         topics and nothing else; the licence of the encoder applies to its use."
    )
}

fn write_promise(card: &mut String, contract: &Contract) -> std::fmt::Result {
    let over = match contract.scope {
        Scope::PerLabel => "for each topic",
        Scope::AllLabels => "over all topics",
    };
    writeln!(card, "\n## What it promises\n")?;
    writeln!(
        card,
        "{} {over}, with a risk of {} that it fails, on articles like those it was certified on. Of {} such articles {:.1} % need no person; \
         the others are marked for review, with the reason.",
        contract.promise,
        contract.delta,
        contract.expected.n_articles,
        100.0 * contract.expected.coverage
    )?;
    let n_never = contract.thresholds.iter().filter(|threshold| threshold.is_none()).count();
    if n_never > 0 {
        writeln!(
            card,
            "\nFor {n_never} of {} topics there were too few articles, or too many mistakes, to be sure.",
            contract.thresholds.len()
        )?;
    }
    Ok(())
}

fn write_quality(card: &mut String, cv: &CrossValidation) -> std::fmt::Result {
    let report = &cv.report;
    writeln!(card, "\n## How good it is\n")?;
    writeln!(
        card,
        "Measured by {}-fold cross-validation: every article was judged by a classifier that had not seen it. On articles of \
         another kind (other sources, other years) expect less; `topicwire evaluate` tells.\n",
        cv.n_folds
    )?;
    writeln!(card, "| metric | value |\n|---|---:|")?;
    for (metric, estimate) in &report.estimates {
        if let (true, Some(value)) = (is_headline(*metric), estimate.value) {
            writeln!(card, "| {} | {value:.3} |", metric.name())?;
        }
    }
    writeln!(card, "\n| topic | articles | precision | recall | F1 | assigned from |\n|---|---:|---:|---:|---:|---:|")?;
    for (name, label) in &report.per_label {
        let threshold = label.threshold.map_or("–".to_owned(), |threshold| format!("{threshold:.2}"));
        writeln!(
            card,
            "| {} | {} | {:.3} | {:.3} | {:.3} | {threshold} |",
            escape(name),
            label.support,
            label.precision,
            label.recall,
            label.f1
        )?;
    }
    Ok(())
}

fn is_headline(metric: Metric) -> bool {
    matches!(
        metric,
        Metric::Accuracy
            | Metric::SubsetAccuracy
            | Metric::F1Micro
            | Metric::F1Macro
            | Metric::F1Samples
            | Metric::MapMacro
            | Metric::LogLoss
            | Metric::Ece
    )
}

/// A name in a Markdown table must not break it.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}
