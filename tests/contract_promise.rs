//! Whether contracts keep their promises: 500 samples of populations that are known to the last article.
//!
//! A population is a list of articles; a sample draws from it with replacement, so what is promised can be counted exactly. The naive threshold, the
//! smallest at which the sample itself is as precise as promised, must fail: else the test could not.

use ndarray::{Array2, ArrayView1, Axis};
use rand::RngExt;
use topicwire::calibration::contract::{Contract, ContractSettings, Promise, Scope};
use topicwire::calibration::thresholds::Thresholds;
use topicwire::labels::{LabelId, Targets};
use topicwire::rng::generator;

const N_RESAMPLES: usize = 500;
const N_SAMPLE: usize = 400;
const N_POPULATION: usize = 5000;
const DELTA: f64 = 0.1;
/// Three standard deviations of a rate of 0.1 counted in 500 resamples.
const MONTE_CARLO_MARGIN: f64 = 0.04;
/// The naive threshold fails far more often than that.
const NAIVE_FAILS: f64 = 0.3;
/// In place of a threshold that does not exist: no probability reaches it.
const NEVER: f64 = 2.0;

struct Population {
    name: &'static str,
    probabilities: Array2<f64>,
    targets: Targets,
    ordinary: Option<Thresholds>,
}

/// One of three labels; the most probable one is right as often as `chance` says.
fn single(name: &'static str, chance: fn(f64) -> f64) -> Population {
    let mut rng = generator(1, name);
    let mut probabilities = Array2::zeros((N_POPULATION, 3));
    let mut labels = Vec::new();
    for mut row in probabilities.rows_mut() {
        let (best, score) = (rng.random_range(0..3), 1.0 - 0.5 * rng.random::<f64>().powi(2));
        row.fill((1.0 - score) / 2.0);
        row[best] = score;
        let is_right = rng.random_bool(chance(score));
        labels.push(LabelId(if is_right { best } else { (best + 1) % 3 }));
    }
    Population { name, probabilities, targets: Targets::Single(labels), ordinary: None }
}

/// Four labels that come and go, and are mistaken, together: what is hard about an article is hard for all its labels.
fn correlated(name: &'static str) -> Population {
    let mut rng = generator(1, name);
    let mut probabilities = Array2::zeros((N_POPULATION, 4));
    let mut rows = Vec::new();
    for mut row in probabilities.rows_mut() {
        let (topic, luck): (f64, f64) = (rng.random(), rng.random());
        row.mapv_inplace(|_: f64| (0.6 * topic + 0.4 * rng.random::<f64>()).sqrt());
        // One number decides for all labels, so each alone is right with its probability.
        rows.push((0..4).filter(|&k| luck < row[k]).map(LabelId).collect());
    }
    let ordinary = Some(Thresholds::new(vec![0.5; 4]).unwrap());
    Population { name, probabilities, targets: Targets::Multi(rows), ordinary }
}

fn populations() -> [Population; 3] {
    [
        single("rising", |score| score),
        // Those that it is surest of are right less often than those just below.
        single("not monotone", |score| match score {
            0.98.. => 0.91,
            0.85.. => 0.99,
            _ => 0.75,
        }),
        correlated("correlated"),
    ]
}

/// Labels that are automatic, or found, in a row: probabilities that reach their threshold, with `single` and precision the most
/// probable one alone.
fn reach(row: ArrayView1<f64>, thresholds: &[f64], best_only: bool) -> Vec<LabelId> {
    let peak = row.fold(0.0_f64, |a, &b| a.max(b));
    let reaches = |k: &usize| row[*k] >= thresholds[*k] && (!best_only || row[*k] == peak);
    (0..row.len()).filter(reaches).map(LabelId).collect()
}

/// What is promised, counted: per label, or over all as the mean over articles. `NaN` where nothing is assigned, which breaks no promise.
fn kept(
    probabilities: &Array2<f64>,
    targets: &Targets,
    promise: Promise,
    scope: Scope,
    thresholds: &[f64],
) -> Vec<f64> {
    let n_labels = thresholds.len();
    let is_precision = matches!(promise, Promise::Precision(_));
    let best_only = is_precision && matches!(targets, Targets::Single(_));
    let (mut right, mut all) = (vec![0.0; n_labels], vec![0.0; n_labels]);
    for (row_idx, row) in probabilities.axis_iter(Axis(0)).enumerate() {
        let reached = reach(row, thresholds, best_only);
        let own = targets.row(row_idx);
        let (asked, counted) = if is_precision { (&reached[..], own) } else { (own, &reached[..]) };
        if asked.is_empty() {
            continue;
        }
        match scope {
            Scope::PerLabel => {
                for label in asked {
                    all[label.0] += 1.0;
                    right[label.0] += f64::from(u8::from(counted.contains(label)));
                }
            }
            Scope::AllLabels => {
                all[0] += 1.0;
                right[0] += asked.iter().filter(|label| counted.contains(label)).count() as f64 / asked.len() as f64;
            }
        }
    }
    let n = if scope == Scope::PerLabel { n_labels } else { 1 };
    (0..n).map(|k| right[k] / all[k]).collect()
}

/// The smallest (precision) or largest (recall) of 99 thresholds at which the sample itself keeps the promise.
fn naive(probabilities: &Array2<f64>, targets: &Targets, promise: Promise, scope: Scope) -> Vec<f64> {
    let n_labels = probabilities.ncols();
    let mut best = vec![NEVER; if scope == Scope::PerLabel { n_labels } else { 1 }];
    let mut grid: Vec<f64> = (1..100).map(|percent| f64::from(percent) / 100.0).collect();
    if matches!(promise, Promise::Precision(_)) {
        grid.reverse();
    }
    for threshold in grid {
        let shares = kept(probabilities, targets, promise, scope, &vec![threshold; n_labels]);
        for (best, share) in best.iter_mut().zip(shares) {
            if share >= promise.share() {
                *best = threshold;
            }
        }
    }
    if scope == Scope::PerLabel { best } else { vec![best[0]; n_labels] }
}

/// The largest rate, over labels, at which a promise is broken: by the contract, by the naive threshold.
fn broken(population: &Population, promise: Promise, scope: Scope) -> (f64, f64) {
    let mut counts: [Vec<usize>; 2] = Default::default();
    for resample in 0..N_RESAMPLES {
        let mut rng = generator(resample as u64, population.name);
        let rows: Vec<usize> = (0..N_SAMPLE).map(|_| rng.random_range(0..N_POPULATION)).collect();
        let (sample, targets) = (population.probabilities.select(Axis(0), &rows), population.targets.select(&rows));
        let settings =
            ContractSettings { scope, delta: DELTA, seed: resample as u64, ..ContractSettings::new(promise) };
        let contract = Contract::fit(sample.view(), &targets, population.ordinary.as_ref(), &settings).unwrap();
        let none = if matches!(promise, Promise::Precision(_)) { NEVER } else { 0.0 };
        let promised: Vec<f64> = contract.thresholds.iter().map(|threshold| threshold.unwrap_or(none)).collect();
        for (counts, thresholds) in counts.iter_mut().zip([promised, naive(&sample, &targets, promise, scope)]) {
            let shares = kept(&population.probabilities, &population.targets, promise, scope, &thresholds);
            counts.resize(shares.len(), 0);
            for (count, share) in counts.iter_mut().zip(shares) {
                *count += usize::from(share < promise.share());
            }
        }
    }
    let [contract, naive] =
        counts.map(|counts| counts.into_iter().max().unwrap_or_default() as f64 / N_RESAMPLES as f64);
    (contract, naive)
}

fn check(promise: Promise) {
    for population in populations() {
        for scope in [Scope::PerLabel, Scope::AllLabels] {
            let (contract, naive) = broken(&population, promise, scope);
            let what = format!("{}, {promise}, {scope:?}: contract {contract}, naive {naive}", population.name);
            println!("{what}");
            assert!(contract <= DELTA + MONTE_CARLO_MARGIN, "{what}");
            assert!(naive >= NAIVE_FAILS, "{what}");
        }
    }
}

#[test]
fn promises_of_precision_are_kept() {
    check(Promise::Precision(0.9));
}

#[test]
fn promises_of_recall_are_kept() {
    check(Promise::Recall(0.9));
}
