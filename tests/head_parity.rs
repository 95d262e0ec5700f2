//! Logistic regressions against scikit-learn's solutions (`scripts/golden_heads.py`).

use ndarray::{Array2, ArrayView2};
use serde::Deserialize;
use topicwire::heads::logistic::{ClassWeight, LogisticSettings};
use topicwire::heads::{Head, LinearHead};
use topicwire::labels::{LabelId, Targets, Task};

/// Of the coefficients, relative to the largest of the case: five times the f32 in which they are kept.
const COEFFICIENT_TOLERANCE: f64 = 1e-6;
const PROBABILITY_TOLERANCE: f64 = 1e-6;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    task: Task,
    n_labels: usize,
    strength: f64,
    class_weight: Weights,
    x: Vec<Vec<f32>>,
    labels: Vec<Vec<usize>>,
    test: Vec<Vec<f32>>,
    /// Labels that scikit-learn could fit; the arrays below hold these only.
    fitted: Vec<usize>,
    coef: Vec<Vec<f64>>,
    intercept: Vec<f64>,
    probabilities: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Weights {
    Named(String),
    PerLabel(Vec<f64>),
}

fn cases() -> Vec<Case> {
    let json = include_str!("golden/heads.json");
    serde_json::from_str::<Golden>(json).unwrap().cases
}

fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn fit(case: &Case) -> LinearHead {
    let class_weight = match &case.class_weight {
        Weights::Named(name) if name == "balanced" => ClassWeight::Balanced,
        Weights::Named(name) => {
            assert_eq!(name, "uniform");
            ClassWeight::Uniform
        }
        Weights::PerLabel(weights) => ClassWeight::PerLabel(weights.clone()),
    };
    let targets = match case.task {
        Task::Single => Targets::Single(case.labels.iter().map(|row| LabelId(row[0])).collect()),
        Task::Multi => {
            Targets::Multi(case.labels.iter().map(|row| row.iter().copied().map(LabelId).collect()).collect())
        }
    };
    let settings =
        LogisticSettings { strength: case.strength, class_weight, tolerance: 1e-15, max_evaluations: 10_000 };
    settings.check().unwrap().fit(matrix(&case.x).view(), &targets, case.n_labels).unwrap()
}

/// Probabilities of the fitted labels only.
fn probabilities(case: &Case, logits: ArrayView2<f64>) -> Array2<f64> {
    let fitted = logits.select(ndarray::Axis(1), &case.fitted);
    match case.task {
        Task::Multi => fitted.mapv(|z| 1.0 / (1.0 + (-z).exp())),
        Task::Single => {
            let exponentials = fitted.mapv(f64::exp);
            let totals = exponentials.sum_axis(ndarray::Axis(1)).insert_axis(ndarray::Axis(1));
            exponentials / totals
        }
    }
}

#[test]
fn coefficients_and_probabilities_match_scikit_learn() {
    let cases = cases();
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    for case in cases {
        let head = fit(&case);
        let scale = case.coef.iter().flatten().chain(&case.intercept).fold(1.0f64, |a, b| a.max(b.abs()));
        for (place, &label_idx) in case.fitted.iter().enumerate() {
            let found = head.weights().row(label_idx).to_vec().into_iter().chain([head.intercepts()[label_idx]]);
            let expected = case.coef[place].iter().chain([&case.intercept[place]]);
            for (column_idx, (found, expected)) in found.zip(expected).enumerate() {
                let error = (f64::from(found) - expected).abs() / scale;
                assert!(
                    error <= COEFFICIENT_TOLERANCE,
                    "{}: label {label_idx}, column {column_idx}: {found}, scikit-learn has {expected}",
                    case.name
                );
            }
        }
        let logits = head.logits(matrix(&case.test).view()).unwrap();
        for ((row_idx, place), found) in probabilities(&case, logits.view()).indexed_iter() {
            let expected = case.probabilities[row_idx][place];
            assert!(
                (found - expected).abs() <= PROBABILITY_TOLERANCE,
                "{}: row {row_idx}, label {}: {found}, scikit-learn has {expected}",
                case.name,
                case.fitted[place]
            );
        }
    }
}

#[test]
fn labels_that_cannot_be_learned_have_their_documented_logits() {
    let mut n_checked = 0;
    for case in cases() {
        let head = fit(&case);
        let n = case.x.len() as f64;
        for label_idx in (0..case.n_labels).filter(|label_idx| !case.fitted.contains(label_idx)) {
            n_checked += 1;
            assert!(head.weights().row(label_idx).iter().all(|weight| *weight == 0.0), "{}", case.name);
            let n_positive = case.labels.iter().filter(|row| row.contains(&label_idx)).count() as f64;
            match case.task {
                Task::Multi => {
                    let expected = ((n_positive + 0.5) / (n - n_positive + 0.5)).ln();
                    assert!((f64::from(head.intercepts()[label_idx]) - expected).abs() < 1e-6, "{}", case.name);
                }
                Task::Single => {
                    let mean = matrix(&case.x).mean_axis(ndarray::Axis(0)).unwrap().insert_axis(ndarray::Axis(0));
                    let odds = head.logits(mean.view()).unwrap().mapv(f64::exp);
                    let probability = odds[[0, label_idx]] / odds.sum();
                    assert!((probability - 1.0 / (2.0 * n + 1.0)).abs() < 1e-6, "{}: {probability}", case.name);
                }
            }
        }
    }
    assert_eq!(n_checked, 3);
}
