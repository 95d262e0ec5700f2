//! A file in which a person decided about labels, and a stream of articles to which these decisions are applied.
//!
//! One JSON object a line, as the review file of `check` holds them. Only `decision` is for the person to fill in:
//!
//! | `decision` | the article |
//! |---|---|
//! | `null` | stays as it is: nobody has decided yet |
//! | `"keep"` | stays as it is: its labels are right |
//! | `"suggested"` | gets the labels in `suggested` |
//! | `["trade", "energy"]` | gets these labels; `[]` is none |
//! | `"drop"` | is left out |
//!
//! `id` says which article is meant. `labels`, where it is there, must be what the article has: so a file made for other data, or labels
//! edited in the wrong place, do not go unnoticed. Other keys are for the reader and ignored.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Article;
use super::columns::{json_type, labels_from_list};
use super::error::{DataError, RowProblem, quoted};
use super::jsonl::object;
use super::lines::{without_bom, without_line_end};
use crate::labels::{LabelError, LabelSet, closest};

/// What a person decided about the labels of an article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet.
    Undecided,
    /// The labels are right.
    Keep,
    /// These are the right ones.
    Relabel(Vec<String>),
    /// The article is to be left out.
    Drop,
}

/// What can be wrong with a file of corrections, or with it and the articles together.
#[derive(Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum CorrectionProblem {
    #[error("line {line}: {problem}")]
    Line { line: u64, problem: RowProblem },
    #[error("line {line} has no `{key}`")]
    MissingKey { line: u64, key: &'static str },
    #[error(
        "line {line}: `decision` should be null, \"keep\", \"suggested\", \"drop\" or a list of labels, found {found}"
    )]
    Decision { line: u64, found: String },
    #[error("line {line}: `decision` is \"suggested\", but the line has no list `suggested`")]
    NoSuggestion { line: u64 },
    #[error("lines {first} and {second} are both about article {}", quoted(.id))]
    DuplicateId { id: String, first: u64, second: u64 },
    #[error("line {line}: {problem}")]
    UnknownLabel { line: u64, problem: LabelError },
    #[error("line {line}: no article has the label {}{}; a label file can bring new labels in",
        quoted(.label), .closest.as_ref().map(|c| format!(", the closest one is {}", quoted(c))).unwrap_or_default())]
    NewLabel { line: u64, label: String, closest: Option<String> },
    #[error(
        "line {line}: article {} has the labels {}, but `labels` says {}; only `decision` changes labels, and `labels` must be what the article has",
        quoted(.id), listed(.found), listed(.expected)
    )]
    Stale { line: u64, id: String, expected: Vec<String>, found: Vec<String> },
    #[error("none of its {n_lines} articles is among those read, the first is {}", quoted(.first_id))]
    NoArticle { n_lines: usize, first_id: String },
}

/// Labels as a JSON list, cut to a length that a message can bear.
fn listed(labels: &[String]) -> String {
    quoted(&serde_json::json!(labels).to_string())
}

/// How often which decision was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionCounts {
    /// Articles that got other labels.
    pub n_relabelled: u64,
    /// Articles left out.
    pub n_dropped: u64,
    /// Articles whose labels were found right.
    pub n_kept: u64,
    /// Articles that nobody has decided about.
    pub n_undecided: u64,
    /// Lines about articles that are not among those read.
    pub n_unknown: u64,
}

/// Which corrections were applied to the articles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorrectionRecord {
    /// SHA-256 of the file.
    pub sha256: String,
    #[serde(flatten)]
    pub counts: CorrectionCounts,
}

/// A file of corrections.
#[derive(Clone, Debug, PartialEq)]
pub struct Corrections {
    path: PathBuf,
    sha256: String,
    of_id: HashMap<String, Correction>,
}

#[derive(Clone, Debug, PartialEq)]
struct Correction {
    line: u64,
    /// Labels that the article must have.
    given: Option<BTreeSet<String>>,
    decision: Decision,
}

impl Corrections {
    /// Reads a file of corrections.
    ///
    /// # Errors
    /// [`DataError::Open`], or [`DataError::Corrections`] as from [`Corrections::parse`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| DataError::Open { path: path.to_owned(), source })?;
        Self::parse(path, &bytes)
    }

    /// Parses what [`Corrections::read`] reads; `path` stands for it in messages. Blank lines are skipped.
    ///
    /// # Errors
    /// [`DataError::Corrections`]: a line that is no object with `id` and `decision`, a decision that is none, or two lines about one
    /// article.
    ///
    /// # Example
    /// ```
    /// use topicwire::data::{Corrections, ReadOptions, jsonl};
    /// let review = br#"{"id": "7", "labels": ["trade"], "decision": ["energy"]}"#;
    /// let corrections = Corrections::parse("review.jsonl", review)?;
    /// let rows = b"{\"id\": \"7\", \"text\": \"gas flows\", \"labels\": [\"trade\"]}\n{\"id\": \"8\", \"text\": \"oil\", \"labels\": [\"energy\"]}";
    /// let articles = jsonl::read_bytes(rows, &ReadOptions::default())?;
    /// let (articles, log) = corrections.apply(articles);
    /// let articles = articles.collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(articles[0].labels, Some(vec!["energy".to_owned()]));
    /// assert_eq!(log.record().counts.n_relabelled, 1);
    /// # Ok::<(), topicwire::data::DataError>(())
    /// ```
    pub fn parse(path: impl Into<PathBuf>, bytes: &[u8]) -> Result<Self, DataError> {
        let path = path.into();
        let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        match parse_lines(without_bom(bytes)) {
            Ok(of_id) => Ok(Self { path, sha256, of_id }),
            Err(problem) => Err(DataError::Corrections { path, problem: Box::new(problem) }),
        }
    }

    /// Checks that all labels decided for are known, before long work.
    ///
    /// # Errors
    /// [`DataError::Corrections`] about the first line whose decision names another label.
    pub fn check_labels(&self, labels: &LabelSet) -> Result<(), DataError> {
        for (label, line) in self.labels_decided() {
            labels.require(label).map_err(|problem| self.error(CorrectionProblem::UnknownLabel { line, problem }))?;
        }
        Ok(())
    }

    /// Articles with the decisions applied, and what became of these once the articles have been read.
    ///
    /// Errors come in the place of articles and end the stream: [`DataError::Corrections`] where an article has other labels than the file says, and at
    /// the end where no article of the file was met, or a decision brought a label in that no article had. The last does not hold for labels that
    /// [`Corrections::check_labels`] should judge: pass these as `known`.
    pub fn apply_knowing<I>(self, articles: I, known: Option<&LabelSet>) -> (Corrected<I>, CorrectionLog)
    where
        I: Iterator<Item = Result<Article, DataError>>,
    {
        let record = CorrectionRecord { sha256: self.sha256.clone(), counts: CorrectionCounts::default() };
        let log = CorrectionLog(Arc::new(Mutex::new(record)));
        let labels_met = known.map(|labels| labels.names().map(str::to_owned).collect()).unwrap_or_default();
        let labels_decided = self.labels_decided().into_iter().map(|(label, line)| (label.to_owned(), line)).collect();
        let n_lines = self.of_id.len();
        (Corrected { articles, left: self, labels_met, labels_decided, n_lines, log: log.clone(), over: false }, log)
    }

    /// As [`Corrections::apply_knowing`] where labels are what the articles have.
    pub fn apply<I>(self, articles: I) -> (Corrected<I>, CorrectionLog)
    where
        I: Iterator<Item = Result<Article, DataError>>,
    {
        self.apply_knowing(articles, None)
    }

    /// Labels that decisions name, each with the first line that does.
    fn labels_decided(&self) -> BTreeMap<&str, u64> {
        let mut lines: BTreeMap<&str, u64> = BTreeMap::new();
        for correction in self.of_id.values() {
            if let Decision::Relabel(labels) = &correction.decision {
                for label in labels {
                    let line = lines.entry(label).or_insert(correction.line);
                    *line = (*line).min(correction.line);
                }
            }
        }
        lines
    }

    fn error(&self, problem: CorrectionProblem) -> DataError {
        DataError::Corrections { path: self.path.clone(), problem: Box::new(problem) }
    }
}

/// What became of corrections, complete once the articles have been read.
#[derive(Clone, Debug)]
pub struct CorrectionLog(Arc<Mutex<CorrectionRecord>>);

impl CorrectionLog {
    /// What has been applied so far.
    pub fn record(&self) -> CorrectionRecord {
        self.0.lock().expect("counting does not panic").clone()
    }

    fn count(&self, change: impl FnOnce(&mut CorrectionCounts)) {
        change(&mut self.0.lock().expect("counting does not panic").counts);
    }
}

/// Articles with corrections applied; see [`Corrections::apply_knowing`].
#[derive(Debug)]
pub struct Corrected<I> {
    articles: I,
    /// Corrections whose article has not come yet.
    left: Corrections,
    labels_met: HashSet<String>,
    labels_decided: BTreeMap<String, u64>,
    n_lines: usize,
    log: CorrectionLog,
    over: bool,
}

impl<I: Iterator<Item = Result<Article, DataError>>> Corrected<I> {
    /// The article as decided, or `None` where it is left out.
    fn correct(&mut self, mut article: Article) -> Result<Option<Article>, DataError> {
        for label in article.labels.iter().flatten() {
            if !self.labels_met.contains(label) {
                self.labels_met.insert(label.clone());
            }
        }
        let Some(correction) = self.left.of_id.remove(&article.id) else { return Ok(Some(article)) };
        let own: BTreeSet<String> = article.labels.iter().flatten().cloned().collect();
        let decided = match &correction.decision {
            Decision::Relabel(labels) => Some(labels.iter().cloned().collect::<BTreeSet<String>>()),
            _ => None,
        };
        // Data that was mended by other means already agrees with the decision.
        let is_mended = decided.as_ref() == Some(&own);
        if let Some(given) = correction.given.filter(|given| *given != own && !is_mended) {
            return Err(self.left.error(CorrectionProblem::Stale {
                line: correction.line,
                id: article.id,
                expected: given.into_iter().collect(),
                found: own.into_iter().collect(),
            }));
        }
        match correction.decision {
            Decision::Undecided => self.log.count(|counts| counts.n_undecided += 1),
            Decision::Keep => self.log.count(|counts| counts.n_kept += 1),
            Decision::Relabel(_) if is_mended => self.log.count(|counts| counts.n_kept += 1),
            Decision::Relabel(labels) => {
                article.labels = Some(labels);
                self.log.count(|counts| counts.n_relabelled += 1);
            }
            Decision::Drop => {
                self.log.count(|counts| counts.n_dropped += 1);
                return Ok(None);
            }
        }
        Ok(Some(article))
    }

    /// What can be known at the end only.
    fn conclude(&mut self) -> Result<(), DataError> {
        let n_unknown = self.left.of_id.len();
        self.log.count(|counts| counts.n_unknown = n_unknown as u64);
        if n_unknown > 0 && n_unknown == self.n_lines {
            let first = self.left.of_id.iter().min_by_key(|(_, correction)| correction.line);
            let first_id = first.map(|(id, _)| id.clone()).unwrap_or_default();
            return Err(self.left.error(CorrectionProblem::NoArticle { n_lines: n_unknown, first_id }));
        }
        let new = self.labels_decided.iter().filter(|(label, _)| !self.labels_met.contains(*label));
        match new.min_by_key(|(_, line)| **line) {
            None => Ok(()),
            Some((label, &line)) => {
                let met: BTreeSet<&str> = self.labels_met.iter().map(String::as_str).collect();
                let closest = closest(label, met).map(str::to_owned);
                Err(self.left.error(CorrectionProblem::NewLabel { line, label: label.clone(), closest }))
            }
        }
    }
}

impl<I: Iterator<Item = Result<Article, DataError>>> Iterator for Corrected<I> {
    type Item = Result<Article, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            let row = match self.articles.next() {
                Some(Ok(article)) => self.correct(article).transpose(),
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    self.over = true;
                    self.conclude().err().map(Err)
                }
            };
            if let Some(row) = row {
                self.over |= row.is_err();
                return Some(row);
            }
        }
        None
    }
}

fn parse_lines(bytes: &[u8]) -> Result<HashMap<String, Correction>, CorrectionProblem> {
    let mut of_id: HashMap<String, Correction> = HashMap::new();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let bytes = without_line_end(bytes);
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let entries = object(bytes).map_err(|problem| CorrectionProblem::Line { line, problem })?;
        let (id, correction) = correction(line, entries)?;
        if let Some(first) = of_id.get(&id) {
            return Err(CorrectionProblem::DuplicateId { id, first: first.line, second: line });
        }
        of_id.insert(id, correction);
    }
    Ok(of_id)
}

fn correction(line: u64, mut entries: Map<String, Value>) -> Result<(String, Correction), CorrectionProblem> {
    let missing = |key| CorrectionProblem::MissingKey { line, key };
    let id = match entries.remove("id") {
        Some(Value::String(id)) if !id.is_empty() => id,
        Some(Value::Number(id)) => id.to_string(),
        _ => return Err(missing("id")),
    };
    let given = labels(line, "labels", entries.remove("labels").unwrap_or_default())?;
    let decision = match entries.remove("decision").ok_or_else(|| missing("decision"))? {
        Value::Null => Decision::Undecided,
        Value::String(word) => match word.as_str() {
            "keep" => Decision::Keep,
            "drop" => Decision::Drop,
            "suggested" => {
                let suggested = labels(line, "suggested", entries.remove("suggested").unwrap_or_default())?;
                Decision::Relabel(suggested.ok_or(CorrectionProblem::NoSuggestion { line })?)
            }
            _ => return Err(CorrectionProblem::Decision { line, found: quoted(&word) }),
        },
        list @ Value::Array(_) => Decision::Relabel(labels(line, "decision", list)?.unwrap_or_default()),
        other => return Err(CorrectionProblem::Decision { line, found: json_type(&other).to_owned() }),
    };
    Ok((id, Correction { line, given: given.map(|labels| labels.into_iter().collect()), decision }))
}

/// A list of labels; `null` is none at all.
fn labels(line: u64, key: &str, value: Value) -> Result<Option<Vec<String>>, CorrectionProblem> {
    let wrong = |problem| CorrectionProblem::Line { line, problem };
    match value {
        Value::Null => Ok(None),
        Value::Array(values) => labels_from_list(values).map(Some).map_err(wrong),
        other => {
            let column = key.to_owned();
            let found = json_type(&other).to_owned();
            Err(wrong(RowProblem::WrongType { column, expected: "a list of strings", found }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn articles() -> impl Iterator<Item = Result<Article, DataError>> {
        let rows = [("a", vec!["trade"]), ("b", vec!["energy", "trade"]), ("c", vec![]), ("7", vec!["energy"])];
        rows.into_iter().map(|(id, labels)| {
            let labels = Some(labels.into_iter().map(str::to_owned).collect());
            Ok(Article { labels, ..Article::new(id, "text") })
        })
    }

    /// The labels of the articles left, or the first error.
    fn applied(review: &str) -> Result<(Vec<(String, Vec<String>)>, CorrectionCounts), String> {
        let corrections = Corrections::parse("r.jsonl", review.as_bytes()).map_err(|error| error.to_string())?;
        let (rows, log) = corrections.apply(articles());
        let rows = rows.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let rows = rows.into_iter().map(|article| (article.id, article.labels.unwrap())).collect();
        Ok((rows, log.record().counts))
    }

    #[test]
    fn every_decision_does_what_it_says() {
        let review = r#"
            {"id": "a", "labels": ["trade"], "suggested": ["energy"], "decision": "suggested", "quality": 0.1, "text": "…"}
            {"id": "b", "labels": ["trade", "energy"], "decision": null}
            {"id": "c", "decision": "drop"}
            {"id": 7, "labels": ["energy"], "decision": [" trade ", "energy", "trade"]}
            {"id": "elsewhere", "decision": "keep"}
        "#;
        let (rows, counts) = applied(review).unwrap();
        let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected =
            [("a", labels(&["energy"])), ("b", labels(&["energy", "trade"])), ("7", labels(&["trade", "energy"]))];
        assert_eq!(rows, expected.map(|(id, labels)| (id.to_owned(), labels)));
        let expected = CorrectionCounts { n_relabelled: 2, n_dropped: 1, n_kept: 0, n_undecided: 1, n_unknown: 1 };
        assert_eq!(counts, expected);
    }

    #[test]
    fn what_was_mended_elsewhere_counts_as_kept() {
        let (_, counts) = applied(r#"{"id": "a", "labels": ["energy"], "decision": ["trade"]}"#).unwrap();
        assert_eq!(counts, CorrectionCounts { n_kept: 1, ..CorrectionCounts::default() });
    }

    #[test]
    fn slips_are_named_with_their_line() {
        for (review, message) in [
            ("{\"id\": \"a\"", "line 1: broken JSON at column 10"),
            ("\n[1]", "line 2: expected a JSON object"),
            (r#"{"id": "a", "id": "b", "decision": null}"#, "line 1: key `id` occurs twice"),
            (r#"{"decision": "keep"}"#, "line 1 has no `id`"),
            (r#"{"id": "a", "descision": "keep"}"#, "line 1 has no `decision`"),
            (r#"{"id": "a", "decision": "kep"}"#, "a list of labels, found `kep`"),
            (r#"{"id": "a", "decision": true}"#, "a list of labels, found a boolean"),
            (r#"{"id": "a", "decision": [["trade"]]}"#, "line 1: label 1 is a list, expected a string"),
            (
                r#"{"id": "a", "labels": "trade", "decision": null}"#,
                "line 1: `labels` should be a list of strings, found a string",
            ),
            (r#"{"id": "a", "decision": "suggested"}"#, "but the line has no list `suggested`"),
            (
                "{\"id\": \"a\", \"decision\": null}\n{\"id\": \"a\", \"decision\": null}",
                "lines 1 and 2 are both about article `a`",
            ),
            (
                r#"{"id": "a", "labels": ["energy"], "decision": null}"#,
                r#"line 1: article `a` has the labels `["trade"]`, but `labels` says `["energy"]`; only `decision` changes labels"#,
            ),
            (
                r#"{"id": "a", "decision": ["tarde"]}"#,
                "line 1: no article has the label `tarde`, the closest one is `trade`; a label file can bring new labels in",
            ),
            (r#"{"id": "z", "decision": "keep"}"#, "none of its 1 articles is among those read, the first is `z`"),
        ] {
            let error = applied(review).unwrap_err();
            assert!(error.starts_with("cannot apply the corrections in r.jsonl: "), "{error}");
            assert!(error.contains(message), "{review}: {error}");
        }
    }

    #[test]
    fn a_label_set_admits_new_labels_and_refuses_others() {
        let labels = LabelSet::from_names(["trade", "energy", "climate"]).unwrap();
        let parse = |review: &str| Corrections::parse("r.jsonl", review.as_bytes()).unwrap();
        let corrections = parse(r#"{"id": "a", "decision": ["climate"]}"#);
        corrections.check_labels(&labels).unwrap();
        let (rows, _) = corrections.apply_knowing(articles(), Some(&labels));
        assert!(rows.into_iter().all(|row| row.is_ok()));
        let error = parse(r#"{"id": "a", "decision": ["climat"]}"#).check_labels(&labels).unwrap_err();
        assert!(
            error.to_string().ends_with("line 1: unknown label `climat`; the closest known one is `climate`"),
            "{error}"
        );
    }

    #[test]
    fn the_hash_is_that_of_the_file() {
        let corrections = Corrections::parse("r.jsonl", b"\n").unwrap();
        // As `printf '\n' | sha256sum` says.
        assert_eq!(corrections.sha256, "01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b");
    }
}
