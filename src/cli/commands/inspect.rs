//! `topicwire inspect`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value};

use crate::bundle::manifest::Manifest;
use crate::bundle::verify;
use crate::cli::contract_text;
use crate::cli::exit::Outcome;
use crate::cli::printer;
use crate::views::ViewKind;

/// Show what a saved classifier is.
///
/// Checks the hashes of the model's files on the way; needs no encoder.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire inspect model
  topicwire inspect model --config > run.toml && topicwire train --config run.toml -o again")]
pub struct InspectCommand {
    /// Folder of the model
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Print the manifest as JSON
    #[arg(long, conflicts_with = "config")]
    json: bool,
    /// Print the settings it was trained with, as a config file
    #[arg(long)]
    config: bool,
}

impl InspectCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let manifest = verify(&self.model)?;
        let text = if self.json {
            serde_json::to_string_pretty(&manifest)? + "\n"
        } else if self.config {
            config_file(&manifest)?
        } else {
            describe(&manifest)
        };
        printer::print(&text)?;
        Ok(Outcome::Done)
    }
}

fn config_file(manifest: &Manifest) -> anyhow::Result<String> {
    let section = Value::Object(manifest.training.settings.clone());
    let file: Map<String, Value> = [("train".to_owned(), section)].into_iter().collect();
    toml::to_string(&file).context("the model's settings cannot be written as TOML")
}

fn describe(manifest: &Manifest) -> String {
    let encoder = &manifest.encoder;
    let data = &manifest.training.data;
    let revision = encoder.revision.as_deref().map(|r| format!(" @ {r}")).unwrap_or_default();
    let mut text = format!(
        "topicwire model, format version {}, written by topicwire {}\n\
         task      {}, {} labels\n\
         encoder   {}{revision}, {} columns, {}\n\
         weights   SHA-256 {}\n",
        manifest.format_version,
        manifest.program_version,
        manifest.task,
        manifest.labels.len(),
        encoder.id,
        encoder.hidden_size,
        encoder.precision,
        encoder.weights_sha256,
    );
    if !encoder.prompt.is_empty() {
        text.push_str(&format!("prompt    {:?}\n", encoder.prompt));
    }
    text.push_str(&format!(
        "data      {} articles, {} without labels, {} in several windows, {} cut\n\
         data hash SHA-256 {}\n",
        data.counts.n_articles, data.n_without_labels, data.counts.n_long, data.counts.n_cut, data.sha256,
    ));
    if let Some(stack) = &manifest.stack {
        let views: Vec<String> = manifest
            .view_kinds()
            .into_iter()
            .zip(&stack.weights)
            .map(|(kind, weight)| match (kind, &manifest.words) {
                (ViewKind::Words, Some(words)) => {
                    format!("words, weight {weight:.2}: {} terms, C = {}", words.n_terms, words.strength)
                }
                _ => format!("{}, weight {weight:.2}", kind.name()),
            })
            .collect();
        text.push_str(&format!("views     {}\n", views.join("; ")));
    }
    if let Some(contract) = &manifest.contract {
        let names = manifest.labels.iter().map(|label| label.name.as_str());
        text.push_str(&contract_text::fitted(contract, names));
        text.push('\n');
    }
    match &manifest.training.cross_validation {
        Some(cv) => text.push_str(&format!(
            "head      logistic regression, C = {}\n\n{}-fold cross-validation:\n\n{}",
            manifest.head.strength,
            cv.n_folds,
            printer::report(&cv.report)
        )),
        None => text.push_str("head      linear; too few articles for cross-validation\n"),
    }
    text
}
