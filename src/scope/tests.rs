//! Scopes against scikit-learn and numpy (`scripts/golden_scope.py`), on what is degenerate, and on fresh articles.

use ndarray::{Array2, array, s};
use rand::RngExt;
use serde_json::Value;

use super::shrinkage::ledoit_wolf;
use super::*;
use crate::labels::LabelId;
use crate::rng::generator;

/// The scope is rounded to f32; distances add up a few dozen such errors of 6e-8, times the condition of the whitening, about 10.
const ROUNDED: f64 = 2e-5;
/// Double precision throughout, another order of sums.
const EXACT: f64 = 1e-10;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../tests/golden/scope.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn matrix(rows: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = rows.as_array().unwrap().iter().map(numbers).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn indices(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|number| number as usize).collect()
}

fn targets(rows: &Value) -> Targets {
    let labels = |row| indices(row).into_iter().map(LabelId).collect::<Vec<_>>();
    let rows: Vec<Vec<LabelId>> = rows.as_array().unwrap().iter().map(labels).collect();
    if rows.iter().all(|row| row.len() == 1) {
        Targets::Single(rows.into_iter().map(|row| row[0]).collect())
    } else {
        Targets::Multi(rows)
    }
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let bound = tolerance * expected.abs().max(1.0);
        assert!((found - expected).abs() < bound, "{what} {i}: {found}, expected {expected}");
    }
}

#[test]
fn covariances_are_those_of_scikit_learn() {
    for case in golden()["covariances"].as_array().unwrap() {
        let rows = matrix(&case["rows"]);
        let found = ledoit_wolf(rows.nrows(), rows.ncols(), |i, mut row| row.assign(&rows.row(i)));
        assert_close(&[found.shrinkage], &[case["shrinkage"].as_f64().unwrap()], EXACT, "shrinkage");
        let expected: Vec<f64> = matrix(&case["covariance"]).into_iter().collect();
        assert_close(&found.matrix.into_iter().collect::<Vec<_>>(), &expected, EXACT, "covariance");
    }
}

#[test]
fn scores_are_those_of_the_measurement() {
    for case in golden()["scopes"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let (training, fresh) = (matrix(&case["embeddings"]), matrix(&case["fresh"]));
        let (training, fresh) = (training.mapv(|x| x as f32), fresh.mapv(|x| x as f32));
        let targets = targets(&case["labels"]);
        let (folds, n_folds) = (indices(&case["folds"]), case["n_folds"].as_u64().unwrap() as usize);
        let (scope, scores) = Scope::fit(training.view(), &targets, &folds, n_folds).unwrap();
        assert_close(&scores, &numbers(&case["out_of_fold"]), ROUNDED, &format!("{name}, out of fold"));
        assert_close(
            &scope.scores(fresh.view()).unwrap(),
            &numbers(&case["scores"]),
            ROUNDED,
            &format!("{name}, fresh"),
        );
        assert_eq!(out_of_fold(training.view(), &targets, &folds, n_folds).unwrap(), scores);
        let cutoff = Cutoff::at_false_alarm_rate(&scores, 0.1).unwrap();
        assert_close(&[cutoff.score()], &[case["cutoff_10"].as_f64().unwrap()], ROUNDED, &format!("{name}, cut-off"));
    }
}

/// Articles on `n_labels` topics around random places, of the unit width.
fn articles(n: usize, hidden_size: usize, n_labels: usize, purpose: &str) -> (Array2<f32>, Targets) {
    let mut places = generator(1, "places");
    let places = Array2::from_shape_simple_fn((n_labels, hidden_size), || places.random_range(-2.0..2.0f32));
    let mut rng = generator(1, purpose);
    let noise = Array2::from_shape_simple_fn((n, hidden_size), || rng.random_range(-1.0..1.0f32));
    let labels: Vec<LabelId> = (0..n).map(|_| LabelId(rng.random_range(0..n_labels))).collect();
    let x = Array2::from_shape_fn((n, hidden_size), |(i, j)| places[[labels[i].0, j]] + noise[[i, j]]);
    (x, Targets::Single(labels))
}

#[test]
fn false_alarms_on_fresh_articles_are_as_rare_as_promised() {
    let (x, targets) = articles(1000, 12, 4, "training");
    let folds: Vec<usize> = (0..1000).map(|i| i % 10).collect();
    let (scope, _) = Scope::fit(x.view(), &targets, &folds, 10).unwrap();
    let n_fresh = 4000;
    let scores = scope.scores(articles(n_fresh, 12, 4, "fresh").0.view()).unwrap();
    for rate in [0.01, 0.05, 0.2] {
        let cutoff = scope.reference().cutoff(rate).unwrap();
        let found = scores.iter().filter(|&&score| cutoff.is_foreign(score)).count() as f64 / n_fresh as f64;
        // The share above a conformal cut-off is Beta(m, n + 1 − m), counted on `n_fresh` articles: four standard errors, and below that a
        // twentieth of the rate for the thinned scores and as much again for a scope that knows a tenth more articles than those of the folds.
        let error = 4.0 * (rate * (1.0 - rate) * (1.0 / 1001.0 + 1.0 / n_fresh as f64)).sqrt();
        assert!(found < rate + error && found > 0.9 * rate - error, "{found} at {rate}");
    }
    let far = Array2::from_elem((1, 12), 9.0);
    assert!(scope.reference().p_value(scope.scores(far.view()).unwrap()[0]) < 0.0011);
}

#[test]
fn scores_depend_neither_on_threads_nor_on_other_articles() {
    let (x, targets) = articles(700, 9, 3, "threads");
    let folds: Vec<usize> = (0..700).map(|i| i % 3).collect();
    let with = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| Scope::fit(x.view(), &targets, &folds, 3).unwrap())
    };
    let (one, five) = (with(1), with(5));
    assert_eq!(one, five);
    let together = one.0.scores(x.view()).unwrap();
    for i in [0, 5, 699] {
        assert_eq!(one.0.scores(x.slice(s![i..=i, ..])).unwrap(), [together[i]]);
    }
}

#[test]
fn parts_make_the_same_scope_again() {
    let (x, targets) = articles(60, 4, 3, "parts");
    let folds: Vec<usize> = (0..60).map(|i| i % 4).collect();
    let (scope, _) = Scope::fit(x.view(), &targets, &folds, 4).unwrap();
    assert_eq!(Scope::new(scope.parts()).unwrap(), scope);
    let with = |change: fn(&mut ScopeParts)| {
        let mut parts = scope.parts();
        change(&mut parts);
        Scope::new(parts).unwrap_err().to_string()
    };
    let message = with(|parts| parts.whitening.truncate(9));
    assert_eq!(message, "the whitening of the scope holds 9 numbers, expected 10");
    let message = with(|parts| parts.centers[[1, 1]] = f32::NAN);
    assert_eq!(message, "the centers of the scope holds NaN at place 5, expected finite numbers");
    assert!(with(|parts| parts.angle[1] = -1.0).contains("of at least 0"));
    assert!(with(|parts| parts.centers = Array2::zeros((3, 5))).contains("expected 4"));
    assert!(with(|parts| parts.centers = Array2::zeros((0, 4))).contains("without any training article"));
}

#[test]
fn degenerate_training_articles_give_finite_scores() {
    let single = |labels: &[usize]| Targets::Single(labels.iter().map(|&k| LabelId(k)).collect());
    let (wide, wide_targets) = articles(7, 40, 2, "wide");
    let mut constant = articles(30, 3, 2, "constant");
    constant.0.column_mut(1).fill(0.25);
    for (what, x, targets) in [
        ("fewer articles than columns", wide, wide_targets),
        ("a constant column", constant.0, constant.1),
        ("two articles", array![[1.0, 0.0], [0.0, 1.0]], single(&[0, 1])),
        ("one label", articles(20, 3, 1, "one").0, single(&[0; 20])),
        ("every article a label", articles(20, 3, 2, "many").0, single(&(0..20).collect::<Vec<_>>())),
        ("all the same", Array2::from_elem((6, 2), 0.5), single(&[0, 1, 0, 1, 0, 1])),
        ("no label at all", articles(9, 3, 2, "none").0, Targets::Multi(vec![vec![]; 9])),
        ("one column on two points", array![[1.0], [-1.0], [1.0], [-1.0]], single(&[0, 0, 0, 0])),
        ("tiny", articles(9, 3, 2, "tiny").0 * 1e-30, single(&[0, 1, 0, 1, 0, 1, 0, 1, 0])),
    ] {
        let folds: Vec<usize> = (0..x.nrows()).map(|i| i % 2).collect();
        let (scope, scores) = Scope::fit(x.view(), &targets, &folds, 2).unwrap();
        let again = scope.scores(x.view()).unwrap();
        assert!(scores.iter().chain(&again).all(|score| score.is_finite()), "{what}: {scores:?} {again:?}");
        let other = Array2::from_elem((1, x.ncols()), 3.0);
        assert!(scope.scores(other.view()).unwrap()[0].is_finite(), "{what}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let x = array![[0.0, 1.0], [1.0, 0.0]];
    let single = |labels: &[usize]| Targets::Single(labels.iter().map(|&k| LabelId(k)).collect());
    let fit = |x: &Array2<f32>, labels: &[usize], folds: &[usize], n_folds| {
        Scope::fit(x.view(), &single(labels), folds, n_folds).unwrap_err().to_string()
    };
    assert_eq!(fit(&x, &[0], &[0, 1], 2), "cannot fit a scope: 2 embeddings but labels of 1 articles");
    assert_eq!(fit(&x, &[0, 0], &[0], 2), "cannot fit a scope: 2 embeddings but folds of 1 articles");
    assert_eq!(fit(&x, &[0, 0], &[0, 2], 2), "article 1 is in fold number 2, but there are 2 folds");
    assert!(fit(&x, &[0, 0], &[1, 1], 2).contains("all articles are in fold number 1"));
    assert!(fit(&Array2::zeros((0, 2)), &[], &[], 2).contains("without any training article"));
    let broken = array![[0.0, 1.0], [f32::NAN, 0.0]];
    assert_eq!(fit(&broken, &[0, 0], &[0, 1], 2), "embedding 1 holds NaN in column 0; all values must be finite");
    let (scope, _) = Scope::fit(x.view(), &single(&[0, 1]), &[0, 1], 2).unwrap();
    assert!(matches!(scope.scores(array![[1.0]].view()), Err(ScopeError::HiddenSize { expected: 2, found: 1 })));
    assert!(matches!(scope.scores(broken.view()), Err(ScopeError::NonFinite { row_idx: 1, .. })));
}
