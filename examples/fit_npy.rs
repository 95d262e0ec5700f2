//! Fits a head on saved embeddings, labels other saved embeddings, and prints one JSON object with metrics and seconds.
//!
//! ```text
//! cargo run --release --example fit_npy -- TRAIN.npy TRAIN.jsonl TEST.npy TEST.jsonl [--threads N] [--aim AIM] [--settings JSON]
//! ```
//!
//! `.npy` files hold f32 `[n_articles, hidden_size]`; row `i` belongs to line `i` of the JSON Lines file beside it, whose
//! `labels` is a list. `scripts/compare_sklearn.py` runs this program beside scikit-learn.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Instant;

use ndarray::{Array2, ArrayView2};
use topicwire::calibration::thresholds::decide;
use topicwire::heads::Head;
use topicwire::labels::{LabelId, LabelSet, Targets, Task};
use topicwire::progress::Silent;
use topicwire::train::{HeadSettings, fit_head};

const USAGE: &str =
    "usage: fit_npy TRAIN.npy TRAIN.jsonl TEST.npy TEST.jsonl [--threads N] [--aim AIM] [--settings JSON]";

fn main() -> Result<(), Box<dyn Error>> {
    let (mut files, mut n_threads, mut aim, mut settings) = (Vec::new(), 0, None, HeadSettings::default());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--threads" => n_threads = args.next().ok_or(USAGE)?.parse()?,
            "--aim" => aim = Some(args.next().ok_or(USAGE)?.parse()?),
            "--settings" => settings = serde_json::from_str(&args.next().ok_or(USAGE)?)?,
            _ => files.push(arg),
        }
    }
    if let Some(aim) = aim {
        settings.aim = aim;
    }
    let [train_npy, train_jsonl, test_npy, test_jsonl] = files.as_slice() else { return Err(USAGE.into()) };
    let (train_x, test_x): (Array2<f32>, Array2<f32>) =
        (ndarray_npy::read_npy(train_npy)?, ndarray_npy::read_npy(test_npy)?);
    let (train_labels, test_labels) = (read_labels(train_jsonl)?, read_labels(test_jsonl)?);
    let names: BTreeSet<&String> = train_labels.iter().flatten().collect();
    let labels = LabelSet::from_names(names.into_iter().cloned())?;
    let (train_y, test_y) = (targets(&train_labels, &labels)?, targets(&test_labels, &labels)?);

    let settings = settings.check()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build()?;
    let start = Instant::now();
    let fitted = pool.install(|| fit_head(train_x.view(), &train_y, &labels, &settings, &Silent))?;
    let fit_s = start.elapsed().as_secs_f64();

    let logits = fitted.head.logits(test_x.view())?;
    let probabilities = fitted.calibration.probabilities(logits.view())?;
    let decisions = decide(probabilities.view(), fitted.thresholds.as_ref())?;
    let truth = test_y.indicator(labels.len());
    let (accuracy, f1_micro, f1_macro) = scores(decisions.view(), truth.view());
    let mut report = serde_json::json!({
        "task": train_y.task(), "n_train": train_y.len(), "n_labels": labels.len(), "fit_s": fit_s,
        "strength": fitted.strength, "accuracy": accuracy, "f1_micro": f1_micro, "f1_macro": f1_macro,
        "log_loss": log_loss(probabilities.view(), &test_y),
    });
    if train_y.task() == Task::Multi {
        let (_, f1_micro, f1_macro) = scores(probabilities.mapv(|p| p >= 0.5).view(), truth.view());
        report["at_half"] = serde_json::json!({"f1_micro": f1_micro, "f1_macro": f1_macro});
    }
    if let Some(cv) = &fitted.cv {
        let (accuracy, f1_micro, f1_macro) = scores(cv.oof_decisions.view(), train_y.indicator(labels.len()).view());
        report["cv"] = serde_json::json!({
            "n_folds": cv.folds.n_folds(), "accuracy": accuracy, "f1_micro": f1_micro, "f1_macro": f1_macro,
            "log_loss": log_loss(cv.oof_probabilities.view(), &train_y), "strengths": cv.strengths,
        });
    }
    println!("{report}");
    Ok(())
}

fn read_labels(path: &str) -> Result<Vec<Vec<String>>, Box<dyn Error>> {
    #[derive(serde::Deserialize)]
    struct Row {
        labels: Vec<String>,
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    text.lines().map(|line| Ok(serde_json::from_str::<Row>(line)?.labels)).collect()
}

fn targets(rows: &[Vec<String>], labels: &LabelSet) -> Result<Targets, Box<dyn Error>> {
    let mut ids: Vec<Vec<LabelId>> = Vec::with_capacity(rows.len());
    for row in rows {
        let mut row: Vec<LabelId> = row.iter().map(|name| labels.require(name)).collect::<Result<_, _>>()?;
        row.sort();
        row.dedup();
        ids.push(row);
    }
    Ok(if ids.iter().all(|row| row.len() == 1) {
        Targets::Single(ids.into_iter().flatten().collect())
    } else {
        Targets::Multi(ids)
    })
}

/// Share of rows that are wholly right, micro- and macro-averaged F1 (0 for labels neither there nor assigned).
fn scores(decisions: ArrayView2<bool>, truth: ArrayView2<bool>) -> (f64, f64, f64) {
    let n_right = decisions.rows().into_iter().zip(truth.rows()).filter(|(a, b)| a == b).count();
    let f1 = |hits: usize, total: usize| if total == 0 { 0.0 } else { 2.0 * hits as f64 / total as f64 };
    let (mut all_hits, mut all_total, mut sum) = (0, 0, 0.0);
    for (decisions, truth) in decisions.columns().into_iter().zip(truth.columns()) {
        let hits = decisions.iter().zip(truth).filter(|(a, b)| **a && **b).count();
        let total = decisions.iter().chain(truth).filter(|is_true| **is_true).count();
        sum += f1(hits, total);
        (all_hits, all_total) = (all_hits + hits, all_total + total);
    }
    (n_right as f64 / truth.nrows() as f64, f1(all_hits, all_total), sum / truth.ncols() as f64)
}

/// Cross-entropy per article in nats.
fn log_loss(probabilities: ArrayView2<f64>, targets: &Targets) -> f64 {
    let log = |p: f64| p.max(f64::MIN_POSITIVE).ln();
    let mut sum = 0.0;
    for (row_idx, row) in probabilities.rows().into_iter().enumerate() {
        let own = targets.row(row_idx);
        match targets {
            Targets::Single(_) => sum -= log(row[own[0].0]),
            Targets::Multi(_) => {
                for (label_idx, &p) in row.iter().enumerate() {
                    sum -= if own.contains(&LabelId(label_idx)) { log(p) } else { log(1.0 - p) };
                }
            }
        }
    }
    sum / targets.len() as f64
}
