//! How often contracts keep their promise on a real data set, and how often a threshold does that merely fits the articles seen.
//!
//! ```text
//! topicwire predict MODEL TEST.jsonl -o PREDICTED.jsonl
//! cargo run --release --example contract_trials -- PREDICTED.jsonl TEST.jsonl [N_RESAMPLES]
//! ```
//!
//! `TEST.jsonl` has `id` and `labels`, a list; articles whose labels the classifier does not know are left out. Half as many articles as there are
//! choose thresholds. *Broken*: drawn with replacement, and what was promised is counted on all articles, which are the population then, so it is exact.
//! *Next half*: drawn without, and counted on the other half, whose own luck comes on top: a promise that is kept may look broken there, most of
//! all for rare labels. Per label, rates are means over the labels that ever have a threshold; the worst label stands behind. Coverage is the share of articles
//! without a label in doubt, with ordinary thresholds of 0.5 where articles have several labels.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;

use ndarray::{Array2, Axis};
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use topicwire::calibration::contract::{Contract, ContractSettings, Promise, Scope};
use topicwire::calibration::thresholds::Thresholds;
use topicwire::labels::{LabelId, LabelSet, Targets};
use topicwire::rng::generator;

const USAGE: &str = "usage: contract_trials PREDICTED.jsonl TEST.jsonl [N_RESAMPLES]";
/// No probability reaches it.
const NEVER: f64 = 2.0;

struct Articles {
    probabilities: Array2<f64>,
    targets: Targets,
    ordinary: Option<Thresholds>,
}

impl Articles {
    fn select(&self, rows: &[usize]) -> Self {
        Self {
            probabilities: self.probabilities.select(Axis(0), rows),
            targets: self.targets.select(rows),
            ordinary: self.ordinary.clone(),
        }
    }
}

/// Of one resample: per label (or one over all) whether the promise was broken, none without a threshold; and the coverage.
struct Outcome {
    broken: Vec<Option<bool>>,
    coverage: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [predicted, test, rest @ ..] = args.as_slice() else { return Err(USAGE.into()) };
    let n_resamples: u64 = rest.first().map_or(Ok(500), |n| n.parse())?;
    let articles = read(predicted, test)?;
    println!(
        "{} articles, {} labels, {n_resamples} resamples\n",
        articles.targets.len(),
        articles.probabilities.ncols()
    );
    println!(
        "| promise | naive: broken | contract: broken | contract: next half | naive: coverage | contract: coverage |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for scope in [Scope::PerLabel, Scope::AllLabels] {
        for promise in [Promise::Precision(0.95), Promise::Precision(0.9), Promise::Recall(0.9)] {
            let outcomes: Vec<[Outcome; 3]> = (0..n_resamples)
                .into_par_iter()
                .map(|resample| trial(&articles, promise, scope, resample))
                .collect::<Result<_, _>>()
                .map_err(|error| error.to_string())?;
            let column = |k: usize| outcomes.iter().map(move |outcome| &outcome[k]);
            let what = if scope == Scope::PerLabel { "per label" } else { "over all" };
            println!(
                "| {promise}, {what} | {} | {} | {} | {:.1} % | {:.1} % |",
                rates(column(0)),
                rates(column(1)),
                rates(column(2)),
                coverage(column(0)),
                coverage(column(1)),
            );
        }
    }
    Ok(())
}

fn trial(articles: &Articles, promise: Promise, scope: Scope, resample: u64) -> Result<[Outcome; 3], String> {
    let n = articles.targets.len();
    let mut rng = generator(resample, "contract trials");
    let drawn: Vec<usize> = (0..n / 2).map(|_| rng.random_range(0..n)).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut rng);
    let (half, next) = order.split_at(n / 2);
    let settings = ContractSettings { scope, seed: resample, ..ContractSettings::new(promise) };
    let fit = |sample: &Articles| {
        Contract::fit(sample.probabilities.view(), &sample.targets, sample.ordinary.as_ref(), &settings)
            .map_err(|error| error.to_string())
    };
    let sample = articles.select(&drawn);
    let contract = fit(&sample)?;
    let naive = Contract { thresholds: naive(&sample, promise, scope), ..contract.clone() };
    let by_half = fit(&articles.select(half))?;
    Ok([outcome(&naive, articles)?, outcome(&contract, articles)?, outcome(&by_half, &articles.select(next))?])
}

fn outcome(contract: &Contract, articles: &Articles) -> Result<Outcome, String> {
    let ordinary = articles.ordinary.as_ref();
    let expected = contract.expect(articles.probabilities.view(), ordinary).map_err(|error| error.to_string())?;
    let shares = kept(articles, contract.promise, contract.scope, &contract.thresholds);
    let broken = shares
        .iter()
        .zip(&contract.thresholds)
        .map(|(share, threshold)| threshold.map(|_| *share < contract.promise.share()))
        .collect();
    Ok(Outcome { broken, coverage: expected.coverage })
}

/// What is promised, counted: `NaN`, and no promise broken, where no article is asked about.
fn kept(articles: &Articles, promise: Promise, scope: Scope, thresholds: &[Option<f64>]) -> Vec<f64> {
    let n = if scope == Scope::PerLabel { thresholds.len() } else { 1 };
    let (mut right, mut all) = (vec![0.0; n], vec![0.0; n]);
    for (row_idx, row) in articles.probabilities.rows().into_iter().enumerate() {
        let own = articles.targets.row(row_idx);
        let reaches = |k: usize| row[k] >= thresholds[k].unwrap_or(NEVER);
        let (asked, is_right): (Vec<usize>, Box<dyn Fn(usize) -> bool>) = match promise {
            Promise::Precision(_) => {
                let candidates = candidates(articles, row_idx);
                (candidates.into_iter().filter(|&k| reaches(k)).collect(), Box::new(|k| own.contains(&LabelId(k))))
            }
            Promise::Recall(_) => (own.iter().map(|label| label.0).collect(), Box::new(reaches)),
        };
        for &k in &asked {
            let (place, weight) = if scope == Scope::PerLabel { (k, 1.0) } else { (0, 1.0 / asked.len() as f64) };
            all[place] += weight;
            right[place] += weight * f64::from(u8::from(is_right(k)));
        }
    }
    right.iter().zip(all).map(|(right, all)| right / all).collect()
}

/// Labels that a promise of precision may assign: the most probable one, or with several labels all.
fn candidates(articles: &Articles, row_idx: usize) -> Vec<usize> {
    let row = articles.probabilities.row(row_idx);
    match articles.targets {
        Targets::Single(_) => {
            let peak = row.fold(0.0_f64, |a, &b| a.max(b));
            row.iter().position(|&p| p == peak).into_iter().collect()
        }
        Targets::Multi(_) => (0..row.len()).collect(),
    }
}

/// The smallest (precision) or largest (recall) probability from which on the sample itself is as good as promised. Over all labels, every
/// label counts.
fn naive(sample: &Articles, promise: Promise, scope: Scope) -> Vec<Option<f64>> {
    let n_labels = sample.probabilities.ncols();
    let mut judged: Vec<Vec<(f64, bool)>> = vec![Vec::new(); if scope == Scope::PerLabel { n_labels } else { 1 }];
    for row_idx in 0..sample.targets.len() {
        let own = sample.targets.row(row_idx);
        let asked = match promise {
            Promise::Precision(_) => candidates(sample, row_idx),
            Promise::Recall(_) => own.iter().map(|label| label.0).collect(),
        };
        for k in asked {
            let place = if scope == Scope::PerLabel { k } else { 0 };
            judged[place].push((sample.probabilities[[row_idx, k]], own.contains(&LabelId(k))));
        }
    }
    let best = |mut judged: Vec<(f64, bool)>| {
        judged.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (mut n_right, mut best) = (0.0, None);
        for (place, &(probability, is_right)) in judged.iter().enumerate() {
            n_right += f64::from(u8::from(is_right));
            if judged.get(place + 1).is_some_and(|next| next.0 == probability) {
                continue;
            }
            match promise {
                Promise::Precision(share) if n_right / (place + 1) as f64 >= share => best = Some(probability),
                Promise::Recall(share) if best.is_none() && n_right / judged.len() as f64 >= share => {
                    best = Some(probability);
                }
                _ => {}
            }
        }
        best
    };
    let best: Vec<Option<f64>> = judged.into_iter().map(best).collect();
    if scope == Scope::PerLabel { best } else { vec![best[0]; n_labels] }
}

/// Mean rate over labels and that of the worst label, in percent.
fn rates<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> String {
    let (mut counts, mut promised, mut n) = (Vec::new(), Vec::new(), 0.0);
    for outcome in outcomes {
        counts.resize(outcome.broken.len(), 0.0);
        promised.resize(outcome.broken.len(), false);
        n += 1.0;
        for (place, broken) in outcome.broken.iter().enumerate() {
            counts[place] += f64::from(u8::from(*broken == Some(true)));
            promised[place] |= broken.is_some();
        }
    }
    let rates: Vec<f64> =
        counts.iter().zip(promised).filter(|(_, promised)| *promised).map(|(count, _)| 100.0 * count / n).collect();
    let worst = rates.iter().copied().fold(0.0, f64::max);
    match rates.len() {
        0 => "no promise".to_owned(),
        1 => format!("{worst:.1} %"),
        n_labels => format!("{:.1} %, {worst:.1} ({n_labels})", rates.iter().sum::<f64>() / n_labels as f64),
    }
}

fn coverage<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> f64 {
    let (sum, n) = outcomes.fold((0.0, 0.0), |(sum, n), outcome| (sum + outcome.coverage, n + 1.0));
    100.0 * sum / n
}

fn read(predicted: &str, test: &str) -> Result<Articles, Box<dyn Error>> {
    #[derive(serde::Deserialize)]
    struct Predicted {
        id: String,
        scores: serde_json::Map<String, serde_json::Value>,
    }
    #[derive(serde::Deserialize)]
    struct Known {
        id: String,
        labels: Vec<String>,
    }
    let text = |path: &str| std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let mut known = HashMap::new();
    for line in text(test)?.lines() {
        let row: Known = serde_json::from_str(line)?;
        known.insert(row.id, row.labels);
    }
    let (mut labels, mut rows, mut flat) = (None, Vec::new(), Vec::new());
    for line in text(predicted)?.lines() {
        let row: Predicted = serde_json::from_str(line)?;
        let labels = match &labels {
            Some(labels) => labels,
            None => labels.insert(LabelSet::from_names(row.scores.keys().cloned())?),
        };
        let own = known.get(&row.id).ok_or_else(|| format!("{test}: no article `{}`", row.id))?;
        let Some(own) = own.iter().map(|name| labels.id(name)).collect::<Option<BTreeSet<LabelId>>>() else { continue };
        rows.push(own.into_iter().collect::<Vec<_>>());
        for (_, name) in labels.iter() {
            let score = row.scores.get(&name.name).and_then(serde_json::Value::as_f64);
            flat.push(
                score.ok_or_else(|| format!("{predicted}: article `{}` has no score of `{}`", row.id, name.name))?,
            );
        }
    }
    let n_labels = labels.map_or(0, |labels| labels.len());
    let probabilities = Array2::from_shape_vec((rows.len(), n_labels), flat)?;
    Ok(if rows.iter().all(|row| row.len() == 1) {
        Articles { probabilities, targets: Targets::Single(rows.concat()), ordinary: None }
    } else {
        let ordinary = Some(Thresholds::new(vec![0.5; n_labels])?);
        Articles { probabilities, targets: Targets::Multi(rows), ordinary }
    })
}
