//! From the labels of articles to a [`LabelSet`], a [`Task`] and [`Targets`]; and the file that lists labels.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use thiserror::Error;

use super::Article;
use super::columns::json_type;
use super::error::{DataError, LabelFileProblem, Place, RowProblem, quoted};
use super::lines::without_bom;
use crate::labels::{Label, LabelError, LabelSet, Targets, Task};

/// The labels of a set of articles, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledTargets {
    pub labels: LabelSet,
    pub targets: Targets,
    /// Articles known to have no label, exactly one, and several. One kind far rarer than another often is a slip: a
    /// single-label file with one empty cell is read as `multi`.
    pub n_none: usize,
    pub n_one: usize,
    pub n_several: usize,
}

impl LabelledTargets {
    /// Which kind of task this is.
    pub fn task(&self) -> Task {
        self.targets.task()
    }
}

/// Why labels cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    #[error("there are no articles")]
    NoArticles,
    #[error("no article has a label")]
    NoLabels,
    #[error("article {}: it has no labels; name the label column with --label-column", quoted(.id))]
    Unlabelled { id: String },
    #[error("article {}: a single-label task needs exactly one label, found {found}", quoted(.id))]
    NotSingle { id: String, found: usize },
    #[error("article {}: {problem}", quoted(.id))]
    Unknown { id: String, problem: LabelError },
    #[error(transparent)]
    Labels(#[from] LabelError),
}

/// Resolves the labels of articles, given as pairs of id and labels.
///
/// Without `known` labels, those that occur are taken, sorted by name. Without a `task` it is `single` when every article
/// has exactly one label and `multi` otherwise.
///
/// # Errors
/// No articles, an article whose labels are not known (`None`), a label not among the known ones, or none or several
/// where one is needed.
///
/// ```
/// use topicwire::data::collect_targets;
/// use topicwire::labels::{LabelId, Targets};
/// let (a, b) = (vec!["trade".to_string()], vec!["energy".to_string()]);
/// let resolved = collect_targets([("1", Some(&a[..])), ("2", Some(&b[..]))], None, None)?;
/// assert_eq!(resolved.labels.name(LabelId(0)), "energy");
/// assert_eq!(resolved.targets, Targets::Single(vec![LabelId(1), LabelId(0)]));
/// # Ok::<(), topicwire::data::TargetError>(())
/// ```
pub fn collect_targets<'a>(
    rows: impl IntoIterator<Item = (&'a str, Option<&'a [String]>)>,
    known: Option<&LabelSet>,
    task: Option<Task>,
) -> Result<LabelledTargets, TargetError> {
    let rows = rows.into_iter().map(|(id, labels)| match labels {
        Some(labels) => Ok((id, labels)),
        None => Err(TargetError::Unlabelled { id: id.to_owned() }),
    });
    let rows: Vec<(&str, &[String])> = rows.collect::<Result<_, _>>()?;
    if rows.is_empty() {
        return Err(TargetError::NoArticles);
    }
    let labels = match known {
        Some(known) => known.clone(),
        None => {
            let names: BTreeSet<&str> = rows.iter().flat_map(|(_, labels)| labels.iter().map(String::as_str)).collect();
            if names.is_empty() {
                return Err(TargetError::NoLabels);
            }
            LabelSet::from_names(names)?
        }
    };
    let mut resolved = Vec::with_capacity(rows.len());
    for (id, names) in &rows {
        let ids = names.iter().map(|name| labels.require(name)).collect::<Result<BTreeSet<_>, _>>();
        let ids = ids.map_err(|problem| TargetError::Unknown { id: (*id).to_owned(), problem })?;
        resolved.push(ids.into_iter().collect::<Vec<_>>());
    }
    let count = |wanted: fn(usize) -> bool| resolved.iter().filter(|ids| wanted(ids.len())).count();
    let (n_none, n_one, n_several) = (count(|n| n == 0), count(|n| n == 1), count(|n| n > 1));
    let task = task.unwrap_or(if n_one == resolved.len() { Task::Single } else { Task::Multi });
    let targets = match task {
        Task::Multi => Targets::Multi(resolved),
        Task::Single => {
            let one = resolved.iter().zip(&rows).map(|(ids, (id, _))| match ids[..] {
                [only] => Ok(only),
                _ => Err(TargetError::NotSingle { id: (*id).to_owned(), found: ids.len() }),
            });
            Targets::Single(one.collect::<Result<_, _>>()?)
        }
    };
    Ok(LabelledTargets { labels, targets, n_none, n_one, n_several })
}

/// A check for [`super::Articles::check`]: the article's labels are known, and all among `labels`.
pub fn check_labels(labels: LabelSet) -> impl FnMut(&Article, &Place) -> Result<(), RowProblem> + Send {
    move |article, _| {
        let names = article.labels.as_ref().ok_or(RowProblem::Unlabelled)?;
        names.iter().try_for_each(|name| labels.require(name).map(|_| ()).map_err(RowProblem::Label))
    }
}

/// Reads a file that lists labels in order: `[{"label": "trade", "description": "…"}, …]`, or just names.
///
/// # Errors
/// [`DataError::Open`] or [`DataError::LabelFile`].
pub fn read_label_file(path: impl AsRef<Path>) -> Result<LabelSet, DataError> {
    let path = path.as_ref().to_path_buf();
    match fs::read(&path) {
        Ok(bytes) => parse_label_file(&bytes).map_err(|problem| DataError::LabelFile { path, problem }),
        Err(source) => Err(DataError::Open { path, source }),
    }
}

/// Parses what [`read_label_file`] reads.
///
/// # Errors
/// Not such a list, or not a label set.
pub fn parse_label_file(bytes: &[u8]) -> Result<LabelSet, LabelFileProblem> {
    let value: Value = serde_json::from_slice(without_bom(bytes)).map_err(|error| {
        let message = error.to_string();
        let message = message.split_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_owned();
        LabelFileProblem::Json { line: error.line(), column: error.column(), message }
    })?;
    let Value::Array(entries) = value else {
        return Err(LabelFileProblem::NotAList { found: json_type(&value) });
    };
    let labels = entries.into_iter().enumerate().map(|(idx, entry)| label(idx + 1, entry));
    Ok(LabelSet::new(labels.collect::<Result<_, _>>()?)?)
}

fn label(entry: usize, value: Value) -> Result<Label, LabelFileProblem> {
    let object = match value {
        Value::String(name) => return Ok(Label::named(name.trim())),
        Value::Object(object) => object,
        other => return Err(LabelFileProblem::Entry { entry, found: json_type(&other) }),
    };
    let mut label = Label::default();
    let mut name = None;
    for (key, value) in object {
        match key.as_str() {
            "label" => name = text_of(entry, "label", value)?,
            "description" => label.description = text_of(entry, "description", value)?,
            "examples" => label.examples = texts_of(entry, "examples", value)?,
            "keywords" => label.keywords = texts_of(entry, "keywords", value)?,
            "patterns" => label.patterns = texts_of(entry, "patterns", value)?,
            _ => return Err(LabelFileProblem::UnknownKey { entry, key }),
        }
    }
    label.name = name.ok_or(LabelFileProblem::MissingLabel { entry })?;
    label.description = label.description.filter(|text| !text.is_empty());
    Ok(label)
}

fn text_of(entry: usize, key: &'static str, value: Value) -> Result<Option<String>, LabelFileProblem> {
    match value {
        Value::String(text) => Ok(Some(text.trim().to_owned())),
        Value::Null => Ok(None),
        other => Err(LabelFileProblem::WrongType { entry, key, expected: "a string", found: json_type(&other) }),
    }
}

/// A list of strings; empty ones are left out.
fn texts_of(entry: usize, key: &'static str, value: Value) -> Result<Vec<String>, LabelFileProblem> {
    let wrong = |found| LabelFileProblem::WrongType { entry, key, expected: "a list of strings", found };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => values
            .into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text.trim().to_owned()),
                other => Err(wrong(json_type(&other))),
            })
            .filter(|text| !matches!(text, Ok(text) if text.is_empty()))
            .collect(),
        other => Err(wrong(json_type(&other))),
    }
}
