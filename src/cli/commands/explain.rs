//! `topicwire explain`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::predict::open_classifier;
use crate::cli::args::{DataArgs, RunArgs};
use crate::cli::config;
use crate::cli::exit::Outcome;
use crate::cli::explain_text;
use crate::cli::output::{Compression, OutputFile, Target};
use crate::cli::printer;
use crate::cli::session::Session;
use crate::cli::terminal::{ColorArg, Look};
use crate::data::{Article, DataError};
use crate::explain::html;
use crate::labels::closest;

/// Articles explained unless told otherwise.
const DEFAULT_MAX: usize = 10;

/// Articles explained at a time, so that the first are shown soon.
const N_TOGETHER: usize = 8;

/// Show why articles have their labels.
///
/// For each label: its probability, what each view of the article says, the passages that carry it, and the words for
/// it and against it. Then the text with these passages marked, and the training articles most like it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire explain model article.txt
  topicwire explain model news.jsonl --id n-0412 --label trade --label energy
  topicwire explain model news.jsonl --id n-0412 --html n-0412.html
  topicwire explain model news.jsonl --max 100 --json | jq -r '.labels[].evidence[].text'")]
pub struct ExplainCommand {
    /// Folder of the model
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    flags: ExplainFlags,
}

/// The flags of `explain`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ExplainFlags {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// Explain the article with this id; may be repeated [default: the first articles]
    #[arg(long, value_name = "ID", help_heading = "Choice")]
    id: Vec<String>,
    /// Articles to explain at most, from the start of the input, where no --id is given [default: 10]
    #[arg(long, value_name = "N", conflicts_with = "id", help_heading = "Choice")]
    max: Option<usize>,
    /// Explain this label; may be repeated [default: the assigned ones, or the most probable where there is none]
    #[arg(long, value_name = "NAME", help_heading = "Choice")]
    label: Vec<String>,
    /// Assign labels from this probability instead: 0.4 for all, or LABEL=0.4 for one; may be repeated
    #[arg(long, value_name = "[LABEL=]T", allow_negative_numbers = true, help_heading = "Choice")]
    threshold: Vec<String>,
    /// Print JSON Lines, one object an article
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Write a self-contained HTML page, and no text unless --json asks for it; `-` for standard output
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,
    /// Colour the text [default: auto, on a terminal where NO_COLOR is not set]
    #[arg(long, value_enum, value_name = "auto|always|never", hide_possible_values = true, help_heading = "Output")]
    color: Option<ColorArg>,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunArgs,
}

/// Why nothing is explained.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ExplainError {
    #[error("no article has the id `{id}`{}", .closest.as_ref().map(|c| format!("; the closest one is `{c}`")).unwrap_or_default())]
    UnknownId { id: String, closest: Option<String> },
    #[error("there is no article to explain")]
    NoArticle,
}

impl ExplainCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer_run(&self.flags, |flags| &mut flags.run, "explain")?;
        ensure!(flags.max != Some(0), "--max must be at least 1");
        let target = flags.html.clone().map(Target::new);
        ensure!(
            !(flags.json && target == Some(Target::Stdout)),
            "--json and --html - would both write to standard output; name a file for the page"
        );
        let session = Session::new(&flags.run)?;
        let classifier = open_classifier(&self.model, &flags.run, &flags.threshold, &session)?;
        flags.label.iter().try_for_each(|name| classifier.labels().require(name).map(drop))?;
        let (rows, rejected) = session.open_input(&flags.data, |articles| articles)?;
        let page = target.map(|target| OutputFile::create(&target, Compression::None)).transpose()?;

        let progress = &*session.progress;
        let chosen = match &flags.id[..] {
            [] => first(rows, flags.max.unwrap_or(DEFAULT_MAX))?,
            ids => with_ids(rows, ids)?,
        };
        session.check_cancelled()?;
        let Chosen { articles, n_read, has_more } = chosen;
        ensure!(!articles.is_empty(), ExplainError::NoArticle);

        let look = Look::of_stdout(flags.color.unwrap_or_default());
        let mut explanations = Vec::new();
        for (i, together) in articles.chunks(N_TOGETHER).enumerate() {
            let mut explained = session.install(|| classifier.explain(together))?;
            session.check_cancelled()?;
            for (j, explanation) in explained.iter_mut().enumerate() {
                match &flags.label[..] {
                    [] => explanation.keep_assigned(),
                    names => explanation.keep_labels(names),
                }
                if flags.json {
                    printer::print(&(serde_json::to_string(explanation)? + "\n"))?;
                } else if page.is_none() {
                    let between = if i + j > 0 { explain_text::rule(look) } else { String::new() };
                    printer::print(&(between + &explain_text::render(explanation, look)))?;
                }
            }
            if page.is_some() {
                explanations.append(&mut explained);
            }
        }
        if let Some(mut page) = page {
            page.write_all(html::render(&explanations, &self.model.display().to_string()).as_bytes())?;
            page.finish()?;
        }
        if has_more {
            let first = match articles.len() {
                1 => "article".to_owned(),
                n => format!("{n} articles"),
            };
            let text = format!("only the first {first} of the input; --max N takes more, --id ID picks");
            progress.warn_if(flags.max.is_none(), text);
        }
        Ok(if rejected.count() > 0 { rejected.conclude(n_read, progress) } else { Outcome::Done })
    }
}

/// The articles to explain.
struct Chosen {
    articles: Vec<Article>,
    n_read: u64,
    /// Whether there would be more.
    has_more: bool,
}

/// The first articles.
fn first(mut rows: impl Iterator<Item = Result<Article, DataError>>, max: usize) -> Result<Chosen, DataError> {
    let articles: Vec<Article> = rows.by_ref().take(max).collect::<Result<_, _>>()?;
    let has_more = articles.len() == max && rows.next().is_some();
    Ok(Chosen { n_read: articles.len() as u64, articles, has_more })
}

/// The first article of each id, in the order of the ids; reads no further than it must.
fn with_ids(rows: impl Iterator<Item = Result<Article, DataError>>, asked: &[String]) -> anyhow::Result<Chosen> {
    let mut ids: Vec<&String> = Vec::new();
    asked.iter().for_each(|id| {
        if !ids.contains(&id) {
            ids.push(id)
        }
    });
    let mut found: Vec<Option<Article>> = vec![None; ids.len()];
    let mut others: Vec<String> = Vec::new();
    let mut n_read = 0;
    for row in rows {
        let article = row?;
        n_read += 1;
        match ids.iter().position(|id| **id == article.id) {
            Some(place) => found[place] = found[place].take().or(Some(article)),
            None => others.push(article.id),
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    if let Some(missing) = found.iter().position(Option::is_none) {
        let closest = closest(ids[missing], others.iter().map(String::as_str)).map(str::to_owned);
        return Err(ExplainError::UnknownId { id: ids[missing].clone(), closest }.into());
    }
    Ok(Chosen { articles: found.into_iter().flatten().collect(), n_read, has_more: false })
}
