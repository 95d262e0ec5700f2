//! Binomial bounds and thresholds of contracts against SciPy, from `scripts/golden_contract.py`.

use ndarray::Array2;
use serde_json::Value;
use topicwire::calibration::contract::binomial::{lower_bound, upper_tail};
use topicwire::calibration::contract::{Contract, ContractSettings, Promise, Scope};
use topicwire::calibration::thresholds::Thresholds;
use topicwire::labels::{LabelId, Targets};

/// Both sides work in doubles; at a million trials the prefix `n · ln p` alone has lost six digits.
const TOLERANCE: f64 = 2e-10;
/// Thresholds are probabilities that stand in the file, or come from a few operations on the promise.
const THRESHOLD_TOLERANCE: f64 = 1e-12;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/contract.json")).unwrap()
}

fn assert_close(found: f64, expected: &Value, tolerance: f64, what: &str) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < tolerance, "{what}: {found}, expected {expected}");
}

#[test]
fn tails_and_bounds_are_those_of_scipy() {
    let golden = golden();
    let delta = golden["delta"].as_f64().unwrap();
    for case in golden["tails"].as_array().unwrap() {
        let [n, n_right] = ["n", "n_right"].map(|key| usize::try_from(case[key].as_u64().unwrap()).unwrap());
        let share = case["share"].as_f64().unwrap();
        let what = format!("{n_right} of {n} at {share}");
        assert_close(upper_tail(n, n_right, share), &case["tail"], TOLERANCE, &what);
        assert_close(lower_bound(n, n_right, delta), &case["bound"], TOLERANCE, &what);
    }
}

#[test]
fn thresholds_are_those_written_from_the_papers() {
    for case in golden()["tasks"].as_array().unwrap() {
        let rows: Vec<Vec<f64>> = serde_json::from_value(case["probabilities"].clone()).unwrap();
        let truth: Vec<Vec<bool>> = serde_json::from_value(case["truth"].clone()).unwrap();
        let n_labels = rows[0].len();
        let probabilities = Array2::from_shape_fn((rows.len(), n_labels), |(i, k)| rows[i][k]);
        let own = |row: &Vec<bool>| (0..n_labels).filter(|&k| row[k]).map(LabelId).collect::<Vec<_>>();
        let is_single = case["task"] == "single";
        let targets = if is_single {
            Targets::Single(truth.iter().map(|row| own(row)[0]).collect())
        } else {
            Targets::Multi(truth.iter().map(own).collect())
        };
        let ordinary = (!is_single).then(|| Thresholds::new(vec![0.5; n_labels]).unwrap());
        let share = case["share"].as_f64().unwrap();
        for (promise, key) in [(Promise::Precision(share), "precision"), (Promise::Recall(share), "recall")] {
            let mut settings = ContractSettings::new(promise);
            let contract = Contract::fit(probabilities.view(), &targets, ordinary.as_ref(), &settings).unwrap();
            let what = format!("{} {promise}", case["task"]);
            for (&found, expected) in contract.thresholds.iter().zip(case[key].as_array().unwrap()) {
                assert_threshold(found, expected, &what);
            }
            if is_single {
                settings.scope = Scope::AllLabels;
                let contract = Contract::fit(probabilities.view(), &targets, None, &settings).unwrap();
                assert_threshold(contract.thresholds[0], &case[format!("{key}_all")], &what);
            }
        }
    }
}

fn assert_threshold(found: Option<f64>, expected: &Value, what: &str) {
    match found {
        Some(found) => assert_close(found, expected, THRESHOLD_TOLERANCE, what),
        None => assert!(expected.is_null(), "{what}: none, expected {expected}"),
    }
}
