//! Label frequencies against general optimisers, from `scripts/golden_shift.py`.

use ndarray::Array2;
use serde_json::Value;
use topicwire::calibration::shift::{Confusion, LabelShift, ShiftSettings};
use topicwire::labels::{LabelId, Targets, Task};

/// The optimisers stop where the objective no longer changes, 1e-15 of it: the square root of that in the shares.
const TOLERANCE: f64 = 2e-7;

fn golden() -> (Value, ShiftSettings) {
    let golden: Value = serde_json::from_str(include_str!("golden/shift.json")).unwrap();
    let settings = ShiftSettings {
        prior_positives: golden["prior_positives"].as_f64().unwrap(),
        ignored_odds_ratio: 1.0,
        max_odds_ratio: golden["max_odds_ratio"].as_f64().unwrap(),
    };
    (golden, settings)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn matrix(rows: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = rows.as_array().unwrap().iter().map(numbers).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, k)| rows[i][k])
}

/// Rows of truth values, or the number of the one that is true.
fn decisions(rows: &Value) -> Array2<bool> {
    let rows = rows.as_array().unwrap();
    Array2::from_shape_fn((rows.len(), 4), |(i, k)| match &rows[i] {
        Value::Array(row) => row[k].as_bool().unwrap(),
        one => one.as_u64() == Some(k as u64),
    })
}

fn targets(task: Task, rows: &Value) -> Targets {
    let rows = decisions(rows);
    let labels = |i: usize| (0..4).filter(|&k| rows[[i, k]]).map(LabelId).collect::<Vec<_>>();
    match task {
        Task::Single => Targets::Single((0..rows.nrows()).map(|i| labels(i)[0]).collect()),
        Task::Multi => Targets::Multi((0..rows.nrows()).map(labels).collect()),
    }
}

fn assert_close(found: &[f64], expected: &Value, what: &str) {
    for (found, expected) in found.iter().zip(numbers(expected)) {
        assert!((found - expected).abs() < TOLERANCE, "{what}: {found}, expected {expected}");
    }
}

#[test]
fn frequencies_are_those_of_general_optimisers() {
    let (golden, settings) = golden();
    for (task, name) in [(Task::Multi, "multi"), (Task::Single, "single")] {
        let case = &golden[name];
        let training = numbers(&case["training"]);
        let shift = LabelShift::estimate(matrix(&case["probabilities"]).view(), &training, task, settings).unwrap();
        assert_close(shift.shares(), &case["shares"], name);
        let training = targets(task, &case["training_truth"]);
        let confusion = Confusion::fit(decisions(&case["training_decisions"]).view(), &training).unwrap();
        let batch = decisions(&case["decisions"]);
        let shift = LabelShift::estimate_black_box(batch.view(), &confusion, settings).unwrap();
        assert_close(shift.shares(), &case["black_box_shares"], name);
    }
}
