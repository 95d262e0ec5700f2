//! Out-of-fold probabilities from saved embeddings, and the labels that they make look wrong.
//!
//! ```text
//! cargo run --release --example label_noise -- EMBEDDINGS.npy NAMES.json single|multi LABELS.jsonl OUT [LABELS.jsonl OUT ...]
//! ```
//!
//! The `.npy` file holds f32 `[n_articles, hidden_size]`; line `i` of `LABELS.jsonl` is an object whose `labels` are the names of row `i`;
//! `NAMES.json` lists all names, in the order of the columns. Writes `OUT.npy`, f64 `[n_articles, n_labels]`, and `OUT.json` with the quality of
//! each article and the flags. `scripts/measure_label_noise.py` runs this program beside cleanlab.

use std::collections::BTreeSet;
use std::error::Error;

use ndarray::Array2;
use serde_json::json;
use topicwire::curation::{LabelIssueSettings, label_issues};
use topicwire::labels::{LabelId, LabelSet, Targets};
use topicwire::progress::Silent;
use topicwire::train::{HeadSettings, fit_head};

const USAGE: &str = "usage: label_noise EMBEDDINGS.npy NAMES.json single|multi LABELS.jsonl OUT [LABELS.jsonl OUT ...]";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [embeddings, names, task, runs @ ..] = args.as_slice() else { return Err(USAGE.into()) };
    let embeddings: Array2<f32> = ndarray_npy::read_npy(embeddings)?;
    let names: Vec<String> = serde_json::from_str(&std::fs::read_to_string(names)?)?;
    let labels = LabelSet::from_names(names)?;
    let settings = HeadSettings::default().check()?;
    for run in runs.chunks(2) {
        let [file, out] = run else { return Err(USAGE.into()) };
        let rows = read_labels(file, &labels)?;
        let targets = match task.as_str() {
            "single" => Targets::Single(rows.into_iter().flatten().collect()),
            "multi" => Targets::Multi(rows),
            _ => return Err(USAGE.into()),
        };
        let fitted = fit_head(embeddings.view(), &targets, &labels, &settings, &Silent)?;
        let probabilities = fitted.cv.ok_or("too few articles for cross-validation")?.oof_probabilities;
        ndarray_npy::write_npy(format!("{out}.npy"), &probabilities)?;
        let found = label_issues(&targets, probabilities.view(), &LabelIssueSettings::default())?;
        let ids = |labels: &[LabelId]| labels.iter().map(|label| label.0).collect::<Vec<_>>();
        let issues: Vec<_> = found
            .issues
            .iter()
            .map(|issue| json!({"row": issue.row_idx, "wrong": ids(&issue.wrong), "missing": ids(&issue.missing)}))
            .collect();
        let report = json!({"quality": found.quality, "issues": issues});
        std::fs::write(format!("{out}.json"), report.to_string())?;
    }
    Ok(())
}

fn read_labels(path: &str, labels: &LabelSet) -> Result<Vec<Vec<LabelId>>, Box<dyn Error>> {
    #[derive(serde::Deserialize)]
    struct Row {
        labels: Vec<String>,
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    text.lines()
        .map(|line| {
            let row: Row = serde_json::from_str(line)?;
            let ids: BTreeSet<LabelId> =
                row.labels.iter().map(|name| labels.require(name)).collect::<Result<_, _>>()?;
            Ok(ids.into_iter().collect())
        })
        .collect()
}
