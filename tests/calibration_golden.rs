//! Calibrations against scikit-learn, betacal and scipy; `scripts/golden_calibration.py` made the numbers.

use ndarray::Array2;
use serde_json::Value;
use topicwire::calibration::beta::BetaCurve;
use topicwire::calibration::choice::Method;
use topicwire::calibration::isotonic::{Point, pool_adjacent_violators};
use topicwire::calibration::temperature::Temperature;
use topicwire::calibration::{Calibration, isotonic::Block};
use topicwire::labels::{LabelId, Targets};
use topicwire::metrics::probability::{Binning, reliability};

/// Both sides sum 64-bit floats, in different orders.
const TOLERANCE: f64 = 1e-9;
/// scipy's searches end where the gradient is small: parameters then agree to about its root.
const SEARCH_TOLERANCE: f64 = 1e-4;
/// betacal fits by scikit-learn with its usual tolerance of 1e-4 for the gradient; worst of these cases 0.0011.
const BETACAL_TOLERANCE: f64 = 2e-3;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/calibration.json")).expect("the golden file is JSON")
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn matrix<T>(json: &Value, convert: impl Fn(&Value) -> T) -> Array2<T> {
    let rows = json.as_array().unwrap();
    let cells: Vec<T> = rows.iter().flat_map(|row| row.as_array().unwrap()).map(convert).collect();
    Array2::from_shape_vec((rows.len(), cells.len() / rows.len()), cells).unwrap()
}

#[test]
fn steps_agree_with_scikit_learn() {
    for case in golden()["isotonic"].as_array().unwrap() {
        let (logits, outcomes, weights) =
            (numbers(&case["logits"]), numbers(&case["outcomes"]), numbers(&case["weights"]));
        let points = logits.iter().zip(outcomes).zip(weights);
        let points = points.map(|((&logit, outcome), weight)| Point { logit, outcome, weight });
        let blocks = pool_adjacent_violators(points.collect());
        for (logit, expected) in logits.iter().zip(numbers(&case["expected"])) {
            let holds = |block: &&Block| block.first_logit <= *logit && *logit <= block.last_logit;
            let found = blocks.iter().find(holds).unwrap().frequency;
            assert!((found - expected).abs() < TOLERANCE, "{found} at {logit}, expected {expected}");
        }
    }
}

#[test]
fn beta_curves_agree_with_a_bounded_search_and_with_betacal() {
    let mut n_compared = 0;
    for case in golden()["beta"].as_array().unwrap() {
        let (logits, targets, expected) =
            (numbers(&case["logits"]), numbers(&case["targets"]), numbers(&case["expected"]));
        let curve = BetaCurve::fit(&logits, &targets).unwrap();
        for (found, expected) in [curve.below, curve.above, curve.offset].into_iter().zip(&expected) {
            assert!((found - expected).abs() < SEARCH_TOLERANCE, "{}: {curve:?}, expected {expected}", case["name"]);
        }
        if case["betacal"].is_array() {
            for (logit, expected) in logits.iter().zip(numbers(&case["betacal"])) {
                let found = 1.0 / (1.0 + (-curve.logit(*logit)).exp());
                assert!((found - expected).abs() < BETACAL_TOLERANCE, "{}: {found}, expected {expected}", case["name"]);
                n_compared += 1;
            }
        }
    }
    assert!(n_compared > 1_000, "{n_compared}");
}

#[test]
fn the_temperature_of_sigmoids_agrees_with_a_search() {
    let case = &golden()["temperature"];
    let logits = matrix(&case["logits"], |value| value.as_f64().unwrap());
    let outcomes = matrix(&case["outcomes"], |value| value.as_bool().unwrap());
    let found = Temperature::fit_multi(logits.view(), outcomes.view()).unwrap().value();
    let expected = case["expected"].as_f64().unwrap();
    assert!((found - expected).abs() < SEARCH_TOLERANCE, "{found}, expected {expected}");
}

#[test]
fn lines_of_each_label_against_the_others_agree_with_a_search() {
    let case = &golden()["one_vs_rest"];
    let logits = matrix(&case["logits"], |value| value.as_f64().unwrap());
    let labels = numbers(&case["labels"]).into_iter().map(|label| LabelId(label as usize));
    let targets = Targets::Single(labels.collect());
    let calibration = Calibration::fit_by(Method::Platt, logits.view(), &targets, 3).unwrap();
    let found = calibration.probabilities(logits.view()).unwrap();
    let expected = matrix(&case["expected"], |value| value.as_f64().unwrap());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < SEARCH_TOLERANCE, "{found}, expected {expected}");
    }
}

#[test]
fn bins_of_equal_mass_agree_with_scikit_learn_and_their_intervals_with_scipy() {
    let case = &golden()["reliability"];
    let outcome: Vec<bool> = case["outcome"].as_array().unwrap().iter().map(|value| value.as_bool().unwrap()).collect();
    let bins = reliability(&numbers(&case["confidence"]), &outcome, Binning::EqualMass { n_bins: 15 }).unwrap();
    assert_eq!(bins.len(), 15);
    let intervals = matrix(&case["intervals"], |value| value.as_f64().unwrap());
    let expected = numbers(&case["frequency"]).into_iter().zip(numbers(&case["mean_confidence"])).zip(intervals.rows());
    for (bin, ((frequency, mean_confidence), interval)) in bins.iter().zip(expected) {
        assert_eq!(bin.n, 20);
        for (found, expected) in [
            (bin.frequency, frequency),
            (bin.mean_confidence, mean_confidence),
            (bin.interval.low, interval[0]),
            (bin.interval.high, interval[1]),
        ] {
            assert!((found - expected).abs() < TOLERANCE, "{bin:?}, expected {expected}");
        }
    }
}
