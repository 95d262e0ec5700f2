//! Findings about wrong labels against cleanlab and against plain definitions; `scripts/golden_label_issues.py` made the numbers.

use ndarray::Array2;
use serde_json::Value;
use topicwire::curation::{FlagRule, LabelIssueSettings, LabelQuality, label_issues};
use topicwire::labels::{LabelId, Targets};

/// Sums of a few hundred numbers in another order.
const TOLERANCE: f64 = 1e-10;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/label_issues.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

fn ids(value: &Value) -> Vec<LabelId> {
    value.as_array().unwrap().iter().map(|id| LabelId(id.as_u64().unwrap() as usize)).collect()
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (idx, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= TOLERANCE, "{what}, article {idx}: {found} is not {expected}");
    }
}

#[test]
fn one_label_agrees_with_cleanlab_and_with_the_definition() {
    let case = &golden()["single"];
    let (targets, p) = (Targets::Single(ids(&case["given"])), matrix(&case["probabilities"]));
    for (quality, name) in [
        (LabelQuality::SelfConfidence, "self_confidence"),
        (LabelQuality::NormalizedMargin, "normalized_margin"),
        (LabelQuality::ErrorRates, "error_rates"),
    ] {
        let settings = LabelIssueSettings { quality, flags: FlagRule::ConfidentLearning };
        let found = label_issues(&targets, p.view(), &settings).unwrap();
        assert_close(&found.quality, &numbers(&case[name]), name);
        let mut flagged: Vec<usize> = found.issues.iter().map(|issue| issue.row_idx).collect();
        flagged.sort_unstable();
        let expected = case["confident_learning"].as_array().unwrap().iter().enumerate();
        let expected: Vec<usize> =
            expected.filter(|(_, flag)| flag.as_bool().unwrap()).map(|(row_idx, _)| row_idx).collect();
        assert_eq!(flagged, expected);
    }
    let found = label_issues(&targets, p.view(), &LabelIssueSettings::default()).unwrap();
    let n_contradicted = case["confident_learning"].as_array().unwrap().iter().filter(|flag| **flag == true).count();
    assert_eq!(found.issues.len(), n_contradicted);
    assert!(found.issues.is_sorted_by_key(|issue| issue.quality));
    let worst_kept = found.quality.iter().copied().filter(|q| *q > found.issues.last().unwrap().quality);
    assert_eq!(worst_kept.count() + found.issues.len(), targets.len());
}

#[test]
fn several_labels_agree_with_cleanlab_and_with_the_definition() {
    let case = &golden()["multi"];
    let given: Vec<Vec<LabelId>> = case["given"].as_array().unwrap().iter().map(ids).collect();
    let (targets, p) = (Targets::Multi(given.clone()), matrix(&case["probabilities"]));
    for (quality, name) in [
        (LabelQuality::SelfConfidence, "self_confidence"),
        (LabelQuality::NormalizedMargin, "normalized_margin"),
        (LabelQuality::ErrorRates, "error_rates"),
    ] {
        let settings = LabelIssueSettings { quality, flags: FlagRule::ConfidentLearning };
        let found = label_issues(&targets, p.view(), &settings).unwrap();
        let worst: Vec<f64> =
            matrix(&case[name]).outer_iter().map(|row| row.iter().copied().fold(1.0, f64::min)).collect();
        assert_close(&found.quality, &worst, name);
        let mut flagged: Vec<(usize, usize)> = Vec::new();
        for issue in &found.issues {
            assert_eq!(issue.given, given[issue.row_idx]);
            assert!(issue.wrong.iter().all(|label| issue.given.contains(label)));
            assert!(issue.missing.iter().all(|label| !issue.given.contains(label)));
            let mut suggested: Vec<LabelId> = issue
                .given
                .iter()
                .filter(|label| !issue.wrong.contains(label))
                .chain(&issue.missing)
                .copied()
                .collect();
            suggested.sort();
            assert_eq!(issue.suggested, suggested);
            flagged.extend(issue.wrong.iter().chain(&issue.missing).map(|label| (issue.row_idx, label.0)));
        }
        flagged.sort_unstable();
        let mut expected: Vec<(usize, usize)> = Vec::new();
        for (row_idx, row) in case["confident_learning"].as_array().unwrap().iter().enumerate() {
            let cells = row.as_array().unwrap().iter().enumerate();
            expected.extend(cells.filter(|(_, flag)| flag.as_bool().unwrap()).map(|(label, _)| (row_idx, label)));
        }
        assert_eq!(flagged, expected);
    }
    let found = label_issues(&targets, p.view(), &LabelIssueSettings::default()).unwrap();
    let n_flagged: usize = found.issues.iter().map(|issue| issue.wrong.len() + issue.missing.len()).sum();
    let cells = case["confident_learning"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
    assert_eq!(n_flagged, cells.filter(|flag| **flag == true).count());
}
