//! Tests of differences, laws of learning curves and intervals against scipy, scikit-learn and numpy, from `scripts/golden_study.py`.

use ndarray::Array2;
use serde_json::Value;
use topicwire::metrics::bootstrap::{BootstrapSettings, IntervalKind, Strata, bootstrap_intervals};
use topicwire::metrics::compare::{PairedDecisions, holm, mcnemar_exact, mean_test};
use topicwire::study::power_law::{CurvePoint, PowerLaw};

/// `lgamma` of ten thousand is exact to about 1e-15 of 80,000, and the logarithm of a probability inherits that.
const TOLERANCE: f64 = 1e-9;

/// Where curve_fit stops, the loss is flat: to its own tolerance of 1e-15 in the loss, the square root of that in the law.
const LAW_TOLERANCE: f64 = 1e-5;

/// Shuffles of the tests here; a share of them is off by 0.0025 at most twenty times in a million (4.26 standard deviations).
const SHUFFLES: usize = 200_000;
const SHARE_TOLERANCE: f64 = 4.8e-3;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/study.json")).expect("the golden file is JSON")
}

fn list(json: &Value) -> &Vec<Value> {
    json.as_array().expect("a list")
}

fn number(json: &Value) -> f64 {
    json.as_f64().expect("a number")
}

fn numbers(json: &Value) -> Vec<f64> {
    list(json).iter().map(number).collect()
}

fn matrix(json: &Value) -> Array2<bool> {
    let rows: Vec<Vec<f64>> = list(json).iter().map(numbers).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, k)| rows[i][k] == 1.0)
}

#[test]
fn mcnemars_test_is_scipys_binomial_test() {
    for case in list(&golden()["mcnemar"]) {
        let found = mcnemar_exact(case["a"].as_u64().unwrap(), case["b"].as_u64().unwrap());
        let expected = number(&case["p"]);
        assert!((found - expected).abs() <= TOLERANCE * expected.max(1e-3), "{case}: {found}");
    }
}

#[test]
fn corrections_are_holms() {
    for case in list(&golden()["holm"]) {
        for (found, expected) in holm(&numbers(&case["p"])).iter().zip(numbers(&case["corrected"])) {
            assert!((found - expected).abs() < TOLERANCE, "{case}: {found}");
        }
    }
}

#[test]
fn randomisation_comes_near_the_share_of_all_swaps() {
    for case in list(&golden()["randomisation"]) {
        let [truth, a, b] = ["truth", "a", "b"].map(|name| matrix(&case[name]));
        let paired = PairedDecisions::new(truth.view(), a.view(), b.view()).unwrap();
        let found = paired.f1_tests(SHUFFLES, 1);
        let all = [vec![found.micro, found.macro_mean], found.per_label].concat();
        let expected = [vec![number(&case["micro"]), number(&case["macro"])], numbers(&case["per_label"])].concat();
        for (found, expected) in all.iter().zip(&expected) {
            assert!((found - expected).abs() < SHARE_TOLERANCE, "{all:?}, expected {expected:?}");
        }
    }
    for case in list(&golden()["mean_test"]) {
        let found = mean_test(&numbers(&case["differences"]), SHUFFLES, 1);
        assert!((found - number(&case["p"])).abs() < SHARE_TOLERANCE, "{found}, expected {}", case["p"]);
    }
}

#[test]
fn laws_are_those_of_scipy() {
    for case in list(&golden()["curves"]) {
        let (n, error, weight) = (numbers(&case["n"]), numbers(&case["error"]), numbers(&case["weight"]));
        let points: Vec<CurvePoint> =
            (0..n.len()).map(|i| CurvePoint { n: n[i], error: error[i], weight: weight[i] }).collect();
        let law = PowerLaw::fit(&points).unwrap();
        let loss: f64 = points.iter().map(|point| point.weight * (point.error - law.error(point.n)).powi(2)).sum();
        // Never worse than scipy's, and the same where it matters.
        assert!(loss <= number(&case["loss"]) * (1.0 + 1e-9) + 1e-18, "{law:?}: {loss}, scipy {}", case["loss"]);
        let doubled = law.error(2.0 * n[n.len() - 1]);
        assert!(
            (doubled - number(&case["doubled"])).abs() < LAW_TOLERANCE,
            "{law:?}: {doubled}, scipy {}",
            case["law"]
        );
    }
}

#[test]
fn intervals_of_a_mean_are_numpys_and_nearly_the_normal_ones() {
    for case in list(&golden()["mean_intervals"]) {
        let values = numbers(&case["values"]);
        let n = values.len() as f64;
        let mean = |counts: &[u32]| [counts.iter().zip(&values).map(|(&c, v)| f64::from(c) * v).sum::<f64>() / n];
        for kind in [IntervalKind::Percentile, IntervalKind::BiasCorrected] {
            let settings = BootstrapSettings { n_resamples: 20_000, kind, ..BootstrapSettings::default() };
            let [found] = bootstrap_intervals(&Strata::whole(values.len()), settings, mean).unwrap();
            let found = found.unwrap();
            for name in ["percentile", "normal"] {
                let expected = numbers(&case[name]);
                // An end of 20,000 resamples is known to 0.02 standard deviations; the mean of 60 is not quite normal.
                let tolerance = 0.03 * (expected[1] - expected[0]);
                let off = (found.low - expected[0]).abs().max((found.high - expected[1]).abs());
                assert!(off < tolerance, "{kind:?}: {found:?}, {name} {expected:?}");
            }
        }
    }
}
