//! Multi-instance heads against scipy's solutions (`scripts/golden_multi_instance.py`).

use ndarray::{Array2, ArrayView1};
use serde::Deserialize;
use topicwire::heads::multi_instance::{Bags, MultiInstanceSettings, PassageTargets};
use topicwire::heads::{Head, LinearHead};
use topicwire::labels::{LabelId, Targets, Task};

/// Of the coefficients, relative to the largest of the case: twice the f32 in which they are kept.
const COEFFICIENT_TOLERANCE: f64 = 1e-6;
/// At the minimum, errors of the coefficients count squared.
const OBJECTIVE_TOLERANCE: f64 = 1e-10;

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
    passage_weight: f64,
    x: Vec<Vec<f32>>,
    offsets: Vec<usize>,
    rows: Vec<usize>,
    labels: Vec<Vec<usize>>,
    known: Vec<Option<Vec<usize>>>,
    /// Labels that can be learned; the arrays below hold these only.
    fitted: Vec<usize>,
    coef: Vec<Vec<f64>>,
    intercept: Vec<f64>,
    objective: f64,
}

fn cases() -> Vec<Case> {
    serde_json::from_str::<Golden>(include_str!("golden/multi_instance.json")).unwrap().cases
}

fn fit(case: &Case) -> LinearHead {
    let ids = |labels: &Vec<usize>| labels.iter().copied().map(LabelId).collect::<Vec<_>>();
    let targets = match case.task {
        Task::Single => Targets::Single(case.labels.iter().map(|labels| LabelId(labels[0])).collect()),
        Task::Multi => Targets::Multi(case.labels.iter().map(ids).collect()),
    };
    let passage_targets = PassageTargets { known: case.known.iter().map(|known| known.as_ref().map(ids)).collect() };
    let settings = MultiInstanceSettings {
        strength: case.strength,
        passage_weight: case.passage_weight,
        tolerance: 1e-15,
        max_evaluations: 10_000,
    };
    let passages = matrix(&case.x);
    let bags = Bags { passages: passages.view(), offsets: &case.offsets };
    let settings = settings.check().unwrap();
    settings.fit(bags, &case.rows, &targets, Some(&passage_targets), case.n_labels, &|| false).unwrap()
}

fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let peak = values.clone().fold(f64::NEG_INFINITY, f64::max);
    peak + values.map(|value| (value - peak).exp()).sum::<f64>().ln()
}

/// The loss of one row of logits.
fn loss(case: &Case, logits: &[f64], labels: &[usize]) -> f64 {
    match case.task {
        Task::Multi => {
            let sign = |label_idx: &usize| if labels.contains(label_idx) { -1.0 } else { 1.0 };
            case.fitted.iter().map(|k| log_sum_exp([0.0, sign(k) * logits[*k]].into_iter())).sum()
        }
        Task::Single => log_sum_exp(case.fitted.iter().map(|k| logits[*k])) - logits[labels[0]],
    }
}

/// The objective as documented, one passage after the other.
fn objective(case: &Case, head: &LinearHead) -> f64 {
    let logits = head.logits(matrix(&case.x).view()).unwrap();
    let weights = case.fitted.iter().map(|label_idx| head.weights().row(*label_idx).mapv(f64::from));
    let mut sum = weights.map(|weights| weights.dot(&weights)).sum::<f64>() / (2.0 * case.strength);
    for &article_idx in &case.rows {
        let passages = case.offsets[article_idx]..case.offsets[article_idx + 1];
        if passages.is_empty() {
            continue;
        }
        let n_passages = passages.len() as f64;
        let pool = |column: ArrayView1<f64>| log_sum_exp(passages.clone().map(|i| column[i])) - n_passages.ln();
        let pooled: Vec<f64> = logits.columns().into_iter().map(pool).collect();
        sum += loss(case, &pooled, &case.labels[article_idx]);
        for passage_idx in passages.clone() {
            if let Some(known) = &case.known[passage_idx]
                && (case.task == Task::Multi || known.len() == 1)
            {
                sum += case.passage_weight * loss(case, &logits.row(passage_idx).to_vec(), known);
            }
        }
    }
    sum
}

#[test]
fn objective_and_coefficients_match_scipy() {
    let cases = cases();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let head = fit(&case);
        let error = (objective(&case, &head) / case.objective - 1.0).abs();
        assert!(error <= OBJECTIVE_TOLERANCE, "{}: the objective is off by {error}", case.name);
        let shift = |intercepts: &[f64]| match case.task {
            Task::Multi => 0.0,
            // Of soft-max, all intercepts may rise together.
            Task::Single => intercepts.iter().sum::<f64>() / intercepts.len() as f64,
        };
        let intercepts: Vec<f64> = case.fitted.iter().map(|&k| f64::from(head.intercepts()[k])).collect();
        let (found_shift, expected_shift) = (shift(&intercepts), shift(&case.intercept));
        let scale = case.coef.iter().flatten().fold(1.0f64, |a, b| a.max(b.abs()));
        for (place, &label_idx) in case.fitted.iter().enumerate() {
            let weights = head.weights().row(label_idx).mapv(f64::from).to_vec();
            let found = weights.into_iter().chain([intercepts[place] - found_shift]);
            let expected = case.coef[place].iter().copied().chain([case.intercept[place] - expected_shift]);
            for (column_idx, (found, expected)) in found.zip(expected).enumerate() {
                assert!(
                    (found - expected).abs() <= COEFFICIENT_TOLERANCE * scale,
                    "{}: label {label_idx}, column {column_idx}: {found}, scipy has {expected}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn labels_that_cannot_be_learned_have_their_documented_logits() {
    for case in cases() {
        let head = fit(&case);
        let n_articles = case.rows.iter().filter(|&&i| case.offsets[i] < case.offsets[i + 1]).count() as f64;
        let left_out: Vec<usize> = (0..case.n_labels).filter(|label_idx| !case.fitted.contains(label_idx)).collect();
        assert_eq!(left_out.len(), 1, "{}", case.name);
        assert!(head.weights().row(left_out[0]).iter().all(|weight| *weight == 0.0), "{}", case.name);
        if case.task == Task::Multi {
            let expected = ((n_articles + 0.5) / 0.5).ln();
            assert!((f64::from(head.intercepts()[left_out[0]]) - expected).abs() < 1e-6, "{}", case.name);
        }
    }
}
