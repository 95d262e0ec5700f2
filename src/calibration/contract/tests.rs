//! What contracts must do on tasks small enough to work out by hand.

use ndarray::{Array2, array};

use super::rungs::{rungs, test};
use super::*;
use crate::labels::LabelSet;

/// Sums of a dozen shares.
const ROUNDING: f64 = 1e-12;

fn settings(promise: Promise, scope: Scope) -> ContractSettings {
    ContractSettings { scope, ..ContractSettings::new(promise) }
}

fn contract(task: Task, promise: Promise, thresholds: Vec<Option<f64>>) -> Contract {
    let certificate =
        Certificate { threshold: None, n_articles: 0, n_right: 0, level: 0.0, lower_bound: 0.0, p_value: 1.0 };
    Contract {
        task,
        promise,
        delta: 0.1,
        scope: Scope::PerLabel,
        certificates: vec![certificate; thresholds.len()],
        thresholds,
        expected: Expected::NOTHING,
    }
}

#[test]
fn thresholds_tried_fall_and_share_the_whole_risk() {
    for precision in [0.01, 0.1, 0.2, 0.5, 0.8, 0.95, 0.999] {
        let rungs = rungs(precision);
        assert!(rungs.windows(2).all(|pair| pair[0].threshold > pair[1].threshold), "{rungs:?}");
        let sum: f64 = rungs.iter().map(|rung| rung.share).sum();
        assert!((sum - 1.0).abs() < ROUNDING, "{precision}: {sum}");
        assert!(rungs.iter().any(|rung| rung.threshold == precision));
    }
}

#[test]
fn a_certified_threshold_passes_its_risk_on_and_a_failed_one_does_not() {
    let rungs: Vec<Rung> =
        [(0.9, 0.2), (0.8, 0.5), (0.7, 0.3)].map(|(threshold, share)| Rung { threshold, share }).to_vec();
    // Chance ½: 10 of 10 are certified at 0.02 and more, 5 of 10 never are.
    let levels = |counts: [(usize, usize); 3]| -> Vec<f64> {
        test(&rungs, &counts, 0.5, 0.1).iter().map(|tested| tested.level).collect()
    };
    for (counts, expected) in [
        ([(10, 10), (10, 10), (10, 10)], [0.02, 0.07, 0.1]),
        ([(10, 5), (10, 10), (10, 10)], [0.02, 0.05, 0.08]),
        ([(10, 10), (10, 5), (10, 10)], [0.02, 0.07, 0.03]),
    ] {
        for (found, expected) in levels(counts).iter().zip(expected) {
            assert!((found - expected).abs() < ROUNDING, "{counts:?}: {found}, expected {expected}");
        }
    }
}

#[test]
fn the_least_evidence_is_that_of_the_closed_form() {
    // 0.95⁴⁵ < 0.1 < 0.95⁴⁴, and 0.9²² < 0.1 < 0.9²¹; at the promise itself 0.8 of the risk and what passed: 0.95⁵⁰ < 0.08 < 0.95⁴⁹.
    assert_eq!(binomial::least_right(45, 0.95, 0.1), Some(45));
    assert_eq!(binomial::least_right(44, 0.95, 0.1), None);
    for (n, promise, is_kept) in [
        (50, Promise::Precision(0.95), true),
        (49, Promise::Precision(0.95), false),
        (22, Promise::Recall(0.9), true),
        (21, Promise::Recall(0.9), false),
    ] {
        // Above the promise and below the next threshold tried, so that it alone has evidence.
        let probabilities = Array2::from_shape_fn((n, 2), |(_, k)| if k == 0 { 0.96 } else { 0.04 });
        let targets = Targets::Single(vec![LabelId(0); n]);
        let contract =
            Contract::fit(probabilities.view(), &targets, None, &settings(promise, Scope::PerLabel)).unwrap();
        assert_eq!(contract.thresholds[0].is_some(), is_kept, "{n} articles, {promise}");
        assert_eq!(contract.thresholds[1], None, "a label without an article");
        let certificate = contract.certificates[0];
        assert_eq!((certificate.n_articles, certificate.n_right), (n, n));
        assert_eq!(certificate.lower_bound >= promise.share(), is_kept, "{certificate:?}");
        assert_eq!(certificate.p_value <= certificate.level, is_kept, "{certificate:?}");
    }
}

#[test]
fn rows_are_decided_as_the_table_says() {
    let half = Thresholds::new(vec![0.5, 0.5, 0.5]).unwrap();
    let row = [0.6, 0.95, 0.4];
    let precision = Promise::Precision(0.9);
    let recall = Promise::Recall(0.9);
    for (task, promise, thresholds, labels, review) in [
        (Task::Multi, precision, [Some(0.9), Some(0.9), Some(0.3)], vec![1, 2], vec![0]),
        (Task::Multi, precision, [None, Some(0.99), None], vec![], vec![0, 1]),
        (Task::Multi, recall, [Some(0.9), Some(0.9), Some(0.3)], vec![0, 1], vec![2]),
        (Task::Multi, recall, [None, None, None], vec![0, 1], vec![]),
        (Task::Single, precision, [Some(0.5), Some(0.9), Some(0.3)], vec![1], vec![]),
        (Task::Single, precision, [Some(0.5), Some(0.96), Some(0.3)], vec![], vec![1]),
        (Task::Single, recall, [Some(0.5), Some(0.99), Some(0.5)], vec![1], vec![0]),
    ] {
        let contract = contract(task, promise, thresholds.to_vec());
        let ordinary = (task == Task::Multi).then_some(&half);
        let decision = contract.decide(&row, ordinary).unwrap();
        let ids = |labels: Vec<usize>| labels.into_iter().map(LabelId).collect::<Vec<_>>();
        let what = format!("{task} {promise} {thresholds:?}");
        assert_eq!((decision.labels.clone(), decision.review.clone()), (ids(labels), ids(review)), "{what}");
        assert_eq!(decision.reasons.len(), decision.review.len(), "{what}");
        assert_eq!(decision.status() == Status::Review, !decision.review.is_empty(), "{what}");
    }
}

#[test]
fn reasons_read_as_sentences() {
    let labels = LabelSet::from_names(["trade"]).unwrap();
    let label = LabelId(0);
    for (reason, expected) in [
        (
            Reason::BelowContract { label, probability: 0.8712, threshold: 0.95 },
            "trade 0.87 is below 0.95, from where it is automatic",
        ),
        (
            Reason::BelowContract { label, probability: 0.9496, threshold: 0.95 },
            "trade 0.9496 is below 0.9500, from where it is automatic",
        ),
        (Reason::NeverAutomatic { label, probability: 0.5 }, "trade 0.50 is never automatic"),
        (
            Reason::MightBeMissed { label, probability: 0.31, threshold: 0.12 },
            "trade 0.31 is not assigned, but from 0.12 it may be right",
        ),
    ] {
        assert_eq!(reason.text(&labels).to_string(), expected);
    }
}

#[test]
fn expectations_count_rows_and_labels() {
    let contract = contract(Task::Multi, Promise::Precision(0.9), vec![Some(0.9), None]);
    let half = Thresholds::new(vec![0.5, 0.5]).unwrap();
    // Assigned; for a person; assigned and for a person; nothing.
    let probabilities = array![[0.95, 0.1], [0.6, 0.1], [0.95, 0.7], [0.2, 0.1]];
    let expected = contract.expect(probabilities.view(), Some(&half)).unwrap();
    let by_hand = Expected {
        n_articles: 4,
        coverage: 0.5,
        labelled: 0.25,
        review_load: 0.5,
        review_labels: 0.5,
        automatic_labels: 0.5,
    };
    assert_eq!(expected, by_hand);
}

#[test]
fn several_labels_of_one_article_are_one_piece_of_evidence() {
    // Three labels always right together: 22 articles prove a recall of 0.9 and not 66 labels of 8 articles.
    let half = Thresholds::new(vec![0.5; 3]).unwrap();
    for (n, is_kept) in [(22, true), (21, false)] {
        let probabilities = Array2::from_elem((n, 3), 0.96);
        let targets = Targets::Multi(vec![vec![LabelId(0), LabelId(1), LabelId(2)]; n]);
        let settings = settings(Promise::Recall(0.9), Scope::AllLabels);
        let contract = Contract::fit(probabilities.view(), &targets, Some(&half), &settings).unwrap();
        assert_eq!(contract.thresholds, vec![is_kept.then_some(0.96); 3]);
        assert_eq!(contract.certificates.len(), 1);
    }
}

#[test]
fn contracts_survive_json_and_are_checked_when_read() {
    let probabilities = Array2::from_elem((60, 2), 0.96);
    let targets = Targets::Multi(vec![vec![LabelId(0)]; 60]);
    let half = Thresholds::new(vec![0.5; 2]).unwrap();
    for scope in [Scope::PerLabel, Scope::AllLabels] {
        let settings = settings(Promise::Precision(0.9), scope);
        let contract = Contract::fit(probabilities.view(), &targets, Some(&half), &settings).unwrap();
        let json = serde_json::to_string(&contract).unwrap();
        assert_eq!(serde_json::from_str::<Contract>(&json).unwrap(), contract, "{json}");
        contract.check(Task::Multi, 2).unwrap();
        let message = |contract: &Contract, task, n_labels| contract.check(task, n_labels).unwrap_err().to_string();
        assert_eq!(message(&contract, Task::Single, 2), "the contract is for `multi`, the classifier is `single`");
        assert!(message(&contract, Task::Multi, 3).contains("is for 3 labels, found 2"));
        let broken = Contract { thresholds: vec![Some(1.5), None], ..contract.clone() };
        assert_eq!(message(&broken, Task::Multi, 2), "threshold 1.5 of label number 0 is outside 0 to 1");
        let broken = Contract { delta: 0.0, ..contract };
        assert!(message(&broken, Task::Multi, 2).starts_with("`delta` is 0, expected a number between 0 and 1"));
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let probabilities = array![[0.6, 0.4]];
    let single = Targets::Single(vec![LabelId(0)]);
    let multi = Targets::Multi(vec![vec![LabelId(0)]]);
    let half = Thresholds::new(vec![0.5; 2]).unwrap();
    let fit = |probabilities: &Array2<f64>, targets: &Targets, ordinary: Option<&Thresholds>, share: f64| {
        let settings = ContractSettings::new(Promise::Precision(share));
        Contract::fit(probabilities.view(), targets, ordinary, &settings).unwrap_err().to_string()
    };
    let none = Targets::Single(vec![]);
    let short = Thresholds::new(vec![0.5]).unwrap();
    for (message, expected) in [
        (
            fit(&probabilities, &single, None, 1.0),
            "`precision` is 1, expected a number between 0 and 1, neither included",
        ),
        (fit(&probabilities, &single, Some(&half), 0.9), "a contract for `single` has no ordinary thresholds"),
        (fit(&probabilities, &multi, None, 0.9), "a contract for `multi` needs the ordinary thresholds"),
        (fit(&probabilities, &multi, Some(&short), 0.9), "the list of thresholds is for 2 labels, found 1"),
        (fit(&array![[1.2, 0.4]], &single, None, 0.9), "probability of article 0 for label number 0 is 1.2"),
        (fit(&array![[f64::NAN, 0.4]], &single, None, 0.9), "probability of article 0 for label number 0 is NaN"),
        (fit(&Array2::zeros((0, 2)), &none, None, 0.9), "there is no article to learn from"),
        (fit(&Array2::zeros((2, 2)), &single, None, 0.9), "2 rows of logits but labels for 1 articles"),
    ] {
        assert!(message.starts_with(expected), "{message}");
    }
    let contract = contract(Task::Single, Promise::Precision(0.9), vec![Some(0.5); 2]);
    assert!(contract.decide(&[0.5], None).unwrap_err().to_string().contains("is for 2 labels, found 1"));
    assert!(contract.decide(&[0.5, 0.5], Some(&half)).is_err());
}
