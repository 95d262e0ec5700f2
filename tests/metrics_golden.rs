//! Every metric against scikit-learn (numpy for calibration errors) on awkward inputs.
//!
//! `scripts/golden_metrics.py` made the numbers. Undefined values are `null` there; where scikit-learn gives a number for
//! something undefined (an average precision without positives is 0), the comparison says so.

use ndarray::{Array2, Axis};
use serde_json::Value;
use topicwire::labels::{LabelId, Task};
use topicwire::metrics::bootstrap::percentile;
use topicwire::metrics::confusion::{
    confusion_matrix, label_cooccurrence, multilabel_confusion_matrix, multilabel_confusions,
};
use topicwire::metrics::prf::{
    Average, PrecisionRecallF1, ZeroDivision, accuracy, hamming_loss, precision_recall_f1,
    precision_recall_f1_per_label, subset_accuracy,
};
use topicwire::metrics::probability::{
    Binning, ECE_BINS, brier_multi, brier_single, ece_multi, ece_single, log_loss_multi, log_loss_single,
};
use topicwire::metrics::ranking::{
    average_precision, map_macro, map_macro_sklearn, ranking_per_label, roc_auc, roc_auc_macro,
};
use topicwire::metrics::reliability::ProbabilityQuality;
use topicwire::metrics::summary::{Metric, RowStatistics};

/// Both sides sum 64-bit floats, in different orders.
const TOLERANCE: f64 = 1e-9;

/// The floor takes a bin's probabilities for one and scales; worst of these cases 0.0003.
const FLOOR_TOLERANCE: f64 = 1e-3;

struct Case {
    name: String,
    task: Task,
    y_true: Array2<bool>,
    y_pred: Array2<bool>,
    y_score: Array2<f64>,
    weights: Option<Vec<u32>>,
    expected: Value,
}

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/metrics.json")).expect("the golden file is JSON")
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = golden()["cases"].as_array().unwrap().iter().map(case).collect();
    assert!(cases.len() > 20, "the golden file holds {} cases", cases.len());
    cases
}

fn case(json: &Value) -> Case {
    let y_score = matrix(&json["y_score"], |p| p.as_f64().unwrap());
    let task = if json["task"] == "single" { Task::Single } else { Task::Multi };
    let indicator = |key: &str| match task {
        Task::Multi => matrix(&json[key], |cell| cell.as_bool().unwrap()),
        Task::Single => {
            let ids: Vec<u64> = list(&json[key], |id| id.as_u64().unwrap());
            Array2::from_shape_fn(y_score.dim(), |(i, k)| ids[i] == k as u64)
        }
    };
    Case {
        name: json["name"].as_str().unwrap().to_owned(),
        task,
        y_true: indicator("y_true"),
        y_pred: indicator("y_pred"),
        weights: json["weights"].as_array().map(|ws| ws.iter().map(|w| w.as_u64().unwrap() as u32).collect()),
        expected: json["expected"].clone(),
        y_score,
    }
}

fn list<T>(json: &Value, convert: impl Fn(&Value) -> T) -> Vec<T> {
    json.as_array().unwrap().iter().map(convert).collect()
}

fn matrix<T>(json: &Value, convert: impl Fn(&Value) -> T) -> Array2<T> {
    let rows: Vec<Vec<T>> = list(json, |row| list(row, &convert));
    let shape = (rows.len(), rows[0].len());
    Array2::from_shape_vec(shape, rows.into_iter().flatten().collect()).expect("rows of one length")
}

fn counts(json: &Value) -> Array2<u64> {
    matrix(json, |count| count.as_u64().unwrap())
}

/// `found` is NaN where undefined.
fn close(found: f64, expected: &Value, what: &str) {
    match expected.as_f64() {
        Some(expected) => assert!((found - expected).abs() < TOLERANCE, "{what}: {found}, expected {expected}"),
        None => assert!(expected.is_null() && found.is_nan(), "{what}: {found}, expected {expected}"),
    }
}

fn close_prf(found: PrecisionRecallF1, expected: &Value, what: &str) {
    close(found.precision, &expected["precision"], &format!("{what}: precision"));
    close(found.recall, &expected["recall"], &format!("{what}: recall"));
    close(found.f1, &expected["f1"], &format!("{what}: f1"));
}

fn only_labels(indicator: &Array2<bool>) -> Vec<LabelId> {
    topicwire::metrics::only_labels(indicator.view(), "case").expect("one label a row")
}

/// The mean of the numbers that are not null, NaN when all are.
fn mean_of_defined(values: &[Option<f64>]) -> f64 {
    let defined: Vec<f64> = values.iter().copied().flatten().collect();
    defined.iter().sum::<f64>() / defined.len() as f64
}

/// Expected mean average precision and ROC-AUC over the labels where they are defined.
fn expected_ranking_means(case: &Case) -> (f64, f64) {
    let weight = |row_idx: usize| case.weights.as_ref().map_or(1, |weights| weights[row_idx]);
    let has_positives = |label_idx: usize| {
        case.y_true.column(label_idx).iter().enumerate().any(|(row_idx, &truth)| truth && weight(row_idx) > 0)
    };
    let precisions = list(&case.expected["average_precision"], Value::as_f64);
    let precisions: Vec<Option<f64>> =
        precisions.into_iter().enumerate().map(|(k, value)| value.filter(|_| has_positives(k))).collect();
    (mean_of_defined(&precisions), mean_of_defined(&list(&case.expected["roc_auc"], Value::as_f64)))
}

#[test]
fn precision_recall_and_f1_agree_with_scikit_learn() {
    for case in cases().into_iter().filter(|case| case.weights.is_none()) {
        let (y_true, y_pred) = (case.y_true.view(), case.y_pred.view());
        for (key, zero_division) in
            [("zero", ZeroDivision::Zero), ("one", ZeroDivision::One), ("nan", ZeroDivision::Nan)]
        {
            let expected = &case.expected["prf"][key];
            let what = |part: &str| format!("{}, zero_division {key}, {part}", case.name);
            let per_label = precision_recall_f1_per_label(y_true, y_pred, zero_division).unwrap();
            let columns = ["precision", "recall", "f1"].map(|name| &expected["per_label"][name]);
            for (label_idx, scores) in per_label.iter().enumerate() {
                for (found, column) in [scores.precision, scores.recall, scores.f1].into_iter().zip(columns) {
                    close(found, &column[label_idx], &what(&format!("label {label_idx}")));
                }
            }
            for (name, average) in [
                ("micro", Average::Micro),
                ("macro", Average::Macro),
                ("weighted", Average::Weighted),
                ("samples", Average::Samples),
            ] {
                // scikit-learn has no samples average for one label an article.
                if case.task == Task::Multi || average != Average::Samples {
                    let scores = precision_recall_f1(y_true, y_pred, average, zero_division).unwrap();
                    close_prf(scores, &expected[name], &what(name));
                }
            }
        }
        let support = list(&case.expected["prf"]["zero"]["per_label"]["support"], |n| n.as_f64().unwrap() as u64);
        let found = multilabel_confusion_matrix(y_true, y_pred).unwrap();
        assert_eq!(found.iter().map(|counts| counts.support()).collect::<Vec<_>>(), support, "{}", case.name);
    }
}

#[test]
fn counts_agree_with_scikit_learn() {
    for case in cases().into_iter().filter(|case| case.weights.is_none()) {
        let (y_true, y_pred, expected) = (case.y_true.view(), case.y_pred.view(), &case.expected);
        match case.task {
            Task::Single => {
                let found =
                    confusion_matrix(&only_labels(&case.y_true), &only_labels(&case.y_pred), y_true.ncols()).unwrap();
                assert_eq!(found, counts(&expected["confusion_matrix"]), "{}", case.name);
            }
            Task::Multi => {
                let per_label = list(&expected["multilabel_confusion_matrix"], counts);
                for (found, expected) in multilabel_confusion_matrix(y_true, y_pred).unwrap().iter().zip(per_label) {
                    assert_eq!(Array2::from(found.matrix().to_vec()), expected, "{}", case.name);
                }
                let pairs = |key: &str| counts(&expected[key]);
                assert_eq!(label_cooccurrence(y_true).unwrap(), pairs("cooccurrence_true"), "{}", case.name);
                assert_eq!(label_cooccurrence(y_pred).unwrap(), pairs("cooccurrence_predicted"), "{}", case.name);
                assert_eq!(multilabel_confusions(y_true, y_pred).unwrap(), pairs("confused"), "{}", case.name);
            }
        }
    }
}

#[test]
fn accuracy_and_probability_metrics_agree_with_scikit_learn() {
    let equal_mass = Binning::EqualMass { n_bins: ECE_BINS };
    for case in cases().into_iter().filter(|case| case.weights.is_none()) {
        let (y_true, y_pred, y_score) = (case.y_true.view(), case.y_pred.view(), case.y_score.view());
        let found = match case.task {
            Task::Single => {
                let ids = only_labels(&case.y_true);
                vec![
                    ("accuracy", accuracy(&ids, &only_labels(&case.y_pred))),
                    ("log_loss", log_loss_single(&ids, y_score)),
                    ("brier", brier_single(&ids, y_score)),
                    ("ece", ece_single(&ids, y_score, Binning::default())),
                    ("ece_equal_mass", ece_single(&ids, y_score, equal_mass)),
                ]
            }
            Task::Multi => vec![
                ("subset_accuracy", subset_accuracy(y_true, y_pred)),
                ("hamming_loss", hamming_loss(y_true, y_pred)),
                ("log_loss", log_loss_multi(y_true, y_score)),
                ("brier", brier_multi(y_true, y_score)),
                ("ece", ece_multi(y_true, y_score, Binning::default())),
                ("ece_equal_mass", ece_multi(y_true, y_score, equal_mass)),
            ],
        };
        for (key, value) in found {
            close(value.unwrap(), &case.expected[key], &format!("{}: {key}", case.name));
        }
    }
}

#[test]
fn parts_of_the_brier_score_and_the_floor_of_calibration_errors_agree_with_numpy() {
    for case in cases().into_iter().filter(|case| case.weights.is_none()) {
        let quality = ProbabilityQuality::new(case.task, case.y_true.view(), case.y_score.view()).unwrap();
        let what = |key: &str| format!("{}: {key}", case.name);
        for (key, found) in [
            ("ece_equal_mass", quality.ece_equal_mass),
            ("brier_reliability", quality.brier_reliability),
            ("brier_resolution", quality.brier_resolution),
            ("brier_uncertainty", quality.brier_uncertainty),
            ("brier_within_bins", quality.brier_within_bins),
        ] {
            close(found, &case.expected[key], &what(key));
        }
        let (found, exact) = (quality.ece_equal_mass_floor, case.expected["ece_equal_mass_floor"].as_f64().unwrap());
        assert!((found - exact).abs() <= FLOOR_TOLERANCE * exact, "{}: {found}, expected {exact}", what("floor"));
    }
}

#[test]
fn ranking_metrics_agree_with_scikit_learn() {
    for case in cases().into_iter().filter(|case| case.weights.is_none()) {
        let (y_true, y_score) = (case.y_true.view(), case.y_score.view());
        let together = ranking_per_label(y_true, y_score).unwrap();
        for (label_idx, scores) in together.iter().enumerate() {
            let what = format!("{}, label {label_idx}", case.name);
            let (truth, score) = (y_true.index_axis(Axis(1), label_idx), y_score.index_axis(Axis(1), label_idx));
            assert_eq!(average_precision(truth, score), Ok(scores.average_precision), "{what}");
            assert_eq!(roc_auc(truth, score), Ok(scores.roc_auc), "{what}");
            // scikit-learn: 0 and a warning.
            assert_eq!(scores.average_precision.is_some(), truth.iter().any(|&truth| truth), "{what}");
            close(scores.average_precision.unwrap_or(0.0), &case.expected["average_precision"][label_idx], &what);
            close(scores.roc_auc.unwrap_or(f64::NAN), &case.expected["roc_auc"][label_idx], &what);
        }
        let (mean_precision, mean_auc) = expected_ranking_means(&case);
        close(map_macro(y_true, y_score).unwrap().unwrap_or(f64::NAN), &mean_precision.into(), &case.name);
        close(roc_auc_macro(y_true, y_score).unwrap().unwrap_or(f64::NAN), &mean_auc.into(), &case.name);
        let sklearn = list(&case.expected["average_precision"], |value| value.as_f64());
        close(map_macro_sklearn(y_true, y_score).unwrap(), &mean_of_defined(&sklearn).into(), &case.name);
    }
}

#[test]
fn scores_of_weighted_rows_agree_with_scikit_learn_sample_weights() {
    let mut n_weighted = 0;
    for case in cases() {
        let rows = RowStatistics::new(case.task, case.y_true.view(), case.y_pred.view(), case.y_score.view()).unwrap();
        let scores = match &case.weights {
            Some(weights) => {
                n_weighted += 1;
                rows.weighted_scores(weights)
            }
            None => rows.scores(),
        };
        let (mean_precision, mean_auc) = expected_ranking_means(&case);
        let averages = &case.expected["prf"]["zero"];
        for metric in Metric::ALL.into_iter().filter(|metric| metric.applies_to(case.task)) {
            let expected = match metric {
                Metric::F1Samples if case.task == Task::Single => case.expected["accuracy"].clone(),
                Metric::MapMacro => mean_precision.into(),
                Metric::RocAucMacro => mean_auc.into(),
                Metric::Accuracy
                | Metric::SubsetAccuracy
                | Metric::HammingLoss
                | Metric::LogLoss
                | Metric::Brier
                | Metric::Ece => case.expected[metric.name()].clone(),
                _ => {
                    let (score, average) = metric.name().split_once('_').expect("score_average");
                    averages[average][score].clone()
                }
            };
            close(scores.get(metric).unwrap_or(f64::NAN), &expected, &format!("{}: {}", case.name, metric.name()));
        }
    }
    assert!(n_weighted >= 2, "{n_weighted} cases have weights");
}

#[test]
fn percentiles_agree_with_numpy() {
    let percentiles = &golden()["percentiles"];
    let mut sample = list(&percentiles["sample"], |value| value.as_f64().unwrap());
    sample.sort_by(f64::total_cmp);
    for (level, expected) in list(&percentiles["levels"], |level| level.as_f64().unwrap())
        .into_iter()
        .zip(percentiles["values"].as_array().unwrap())
    {
        close(percentile(&sample, level), expected, &format!("percentile {level}"));
    }
}
