//! JSON Lines: one object a row, its keys in a fixed order.

use std::io::Write;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::{
    EmbeddingWriter, OutputError, OutputFile, PredictionRow, PredictionWriter, check_scores, check_width, column_name,
    rounded,
};
use crate::pipeline::evidence::Evidence;

/// Predictions as `{"id", "labels", "scores", …}`.
pub struct JsonlPredictions {
    output: OutputFile,
    labels: Vec<String>,
}

impl JsonlPredictions {
    /// Scores of `labels` go to `output`.
    pub fn new(output: OutputFile, labels: &[String]) -> Self {
        Self { output, labels: labels.to_vec() }
    }
}

impl PredictionWriter for JsonlPredictions {
    fn write(&mut self, row: &PredictionRow<'_>) -> Result<(), OutputError> {
        check_scores(row, &self.labels)?;
        write_line(&mut self.output, &Row { row, labels: &self.labels })
    }

    fn flush(&mut self) -> Result<(), OutputError> {
        self.output.flush().map_err(|source| OutputError::from_io(self.output.path(), source))
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        self.output.finish()
    }
}

/// Embeddings as `{"id", "embedding"}`; a number that is not finite is an error, JSON cannot say it.
pub struct JsonlEmbeddings {
    output: OutputFile,
    hidden_size: usize,
}

impl JsonlEmbeddings {
    /// Rows of `hidden_size` numbers go to `output`.
    pub fn new(output: OutputFile, hidden_size: usize) -> Self {
        Self { output, hidden_size }
    }
}

impl EmbeddingWriter for JsonlEmbeddings {
    fn write(&mut self, id: &str, embedding: &[f32]) -> Result<(), OutputError> {
        check_width(id, embedding, self.hidden_size)?;
        if let Some(idx) = embedding.iter().position(|number| !number.is_finite()) {
            let (what, value) = (format!("embedding[{idx}]"), f64::from(embedding[idx]));
            return Err(OutputError::NotFinite { id: id.to_owned(), what, value });
        }
        write_line(&mut self.output, &Embedding { id, embedding })
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        self.output.finish()
    }
}

fn write_line(output: &mut OutputFile, row: &impl Serialize) -> Result<(), OutputError> {
    let mut line = serde_json::to_vec(row).map_err(|error| output.error(error))?;
    line.push(b'\n');
    output.write_all(&line).map_err(|source| OutputError::from_io(output.path(), source))
}

/// `{label: [passage, …]}`
struct EvidenceOf<'a> {
    labels: &'a [String],
    evidence: &'a [Vec<Evidence>],
}

impl Serialize for EvidenceOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.labels.iter().zip(self.evidence))
    }
}

struct Row<'a> {
    row: &'a PredictionRow<'a>,
    labels: &'a [String],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = self.row;
        let mut map = serializer.serialize_map(Some(3 + row.extra.len()))?;
        map.serialize_entry("id", row.id)?;
        map.serialize_entry("labels", row.labels)?;
        map.serialize_entry("scores", &Scores { row, labels: self.labels })?;
        if let Some(evidence) = row.evidence {
            map.serialize_entry("evidence", &EvidenceOf { labels: row.labels, evidence })?;
        }
        for (name, value) in row.extra {
            let is_ours = |name: &str| {
                matches!(name, "id" | "labels" | "scores") || (name == "evidence" && row.evidence.is_some())
            };
            if is_ours(name) {
                let name = column_name(name, |name| is_ours(name) || row.extra.contains_key(name));
                map.serialize_entry(&name, value)?;
            } else {
                map.serialize_entry::<str, Value>(name, value)?;
            }
        }
        map.end()
    }
}

struct Scores<'a> {
    row: &'a PredictionRow<'a>,
    labels: &'a [String],
}

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.labels.iter().zip(self.row.scores.iter().map(|&score| rounded(score))))
    }
}

#[derive(serde::Serialize)]
struct Embedding<'a> {
    id: &'a str,
    embedding: &'a [f32],
}
