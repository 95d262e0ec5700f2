//! Predictions that another tool made, as JSON Lines: `{"id", "labels", "scores"}` like those of `predict`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde::Deserialize;
use thiserror::Error;

use crate::labels::{LabelError, LabelSet, Task};

/// What can be wrong with a file of predictions.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PredictionsFileError {
    #[error("cannot read the predictions {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}:{line}: expected {{\"id\": \"…\", \"labels\": [\"…\"], \"scores\": {{\"label\": 0.9, …}}}}, `scores` or not", .path.display())]
    Row {
        path: PathBuf,
        line: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("{}:{line}: article {id} was there before, in line {first}", .path.display())]
    Twice { path: PathBuf, line: usize, id: String, first: usize },
    #[error("{}:{line}: article {id}: {problem}", .path.display())]
    Label { path: PathBuf, line: usize, id: String, problem: LabelError },
    #[error("{}:{line}: article {id}: the score of `{label}` is {found}, expected a probability from 0 to 1", .path.display())]
    Score { path: PathBuf, line: usize, id: String, label: String, found: f64 },
    #[error("{}:{line}: article {id} is given {found} labels, the model gives exactly one", .path.display())]
    NotOneLabel { path: PathBuf, line: usize, id: String, found: usize },
    #[error("{}: article {id} is missing; all articles that the model is evaluated on must be there", .path.display())]
    Missing { path: PathBuf, id: String },
}

#[derive(Deserialize)]
struct Row {
    id: Id,
    labels: Names,
    scores: Option<HashMap<String, f64>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

/// What was said of one article.
#[derive(Debug)]
struct Said {
    line: usize,
    labels: Vec<usize>,
    /// `[n_labels]`; 0 for labels that have no score.
    scores: Option<Vec<f64>>,
}

/// Predictions by article.
#[derive(Debug)]
pub struct PredictionsFile {
    path: PathBuf,
    n_labels: usize,
    by_id: HashMap<String, Said>,
}

impl PredictionsFile {
    /// Reads all rows; labels must be among those that are known.
    pub fn read(path: &Path, labels: &LabelSet, task: Task) -> Result<Self, PredictionsFileError> {
        let unreadable = |source| PredictionsFileError::Read { path: path.to_owned(), source };
        let reader = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut file = Self { path: path.to_owned(), n_labels: labels.len(), by_id: HashMap::new() };
        for (line_idx, text) in reader.lines().enumerate() {
            let text = text.map_err(unreadable)?;
            if !text.trim().is_empty() {
                file.add(line_idx + 1, text.trim_start_matches('\u{feff}'), labels, task)?;
            }
        }
        Ok(file)
    }

    fn add(&mut self, line: usize, text: &str, labels: &LabelSet, task: Task) -> Result<(), PredictionsFileError> {
        let path = || self.path.clone();
        let row: Row =
            serde_json::from_str(text).map_err(|source| PredictionsFileError::Row { path: path(), line, source })?;
        let id = match row.id {
            Id::Text(id) => id,
            Id::Number(number) => number.to_string(),
        };
        let known = |name: &str| {
            let label = labels.require(name).map(|label| label.0);
            label.map_err(|problem| PredictionsFileError::Label { path: path(), line, id: id.clone(), problem })
        };
        let names = match row.labels {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        };
        let mut assigned = names.iter().map(|name| known(name)).collect::<Result<Vec<_>, _>>()?;
        assigned.sort_unstable();
        assigned.dedup();
        if task == Task::Single && assigned.len() != 1 {
            return Err(PredictionsFileError::NotOneLabel { path: path(), line, id, found: assigned.len() });
        }
        let scores = match row.scores {
            None => None,
            Some(given) => {
                let mut scores = vec![0.0; labels.len()];
                for (label, found) in given {
                    if !(0.0..=1.0).contains(&found) {
                        return Err(PredictionsFileError::Score { path: path(), line, id, label, found });
                    }
                    scores[known(&label)?] = found;
                }
                Some(scores)
            }
        };
        if let Some(Said { line: first, .. }) = self.by_id.get(&id) {
            return Err(PredictionsFileError::Twice { path: path(), line, id, first: *first });
        }
        self.by_id.insert(id, Said { line, labels: assigned, scores });
        Ok(())
    }

    /// Decisions and, where every row has them, probabilities of these articles, `[n, n_labels]` each.
    pub fn matrices<'a>(
        &self,
        ids: impl ExactSizeIterator<Item = &'a str>,
    ) -> Result<(Array2<bool>, Option<Array2<f64>>), PredictionsFileError> {
        let shape = (ids.len(), self.n_labels);
        let mut decisions = Array2::from_elem(shape, false);
        let mut probabilities = Some(Array2::zeros(shape));
        for (row_idx, id) in ids.enumerate() {
            let missing = || PredictionsFileError::Missing { path: self.path.clone(), id: id.to_owned() };
            let said = self.by_id.get(id).ok_or_else(missing)?;
            said.labels.iter().for_each(|&label| decisions[[row_idx, label]] = true);
            match (&mut probabilities, &said.scores) {
                (Some(matrix), Some(scores)) => {
                    matrix.row_mut(row_idx).iter_mut().zip(scores).for_each(|(cell, score)| *cell = *score);
                }
                (_, None) => probabilities = None,
                (None, _) => {}
            }
        }
        Ok((decisions, probabilities))
    }
}
