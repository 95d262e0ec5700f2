//! Shifts of known size are found, and nothing is moved without one.

use ndarray::{Array1, array};
use rand::RngExt;

use super::*;
use crate::labels::{LabelId, Targets};
use crate::rng::generator;

const FREE: ShiftSettings = ShiftSettings { prior_positives: 1e-9, ignored_odds_ratio: 1.0, max_odds_ratio: 1e6 };

/// Articles of a world with one number `x` each, `±d/2` on average with noise of size 1, `d` its distance, and the probability of the label
/// where it has the share `training`, given `x`.
fn binary_world(n: usize, share: f64, training: f64, distance: f64, seed: u64) -> (Array2<f64>, Vec<bool>) {
    let mut rng = generator(seed, "shift");
    let truth: Vec<bool> = (0..n).map(|_| rng.random::<f64>() < share).collect();
    let probabilities = truth.iter().map(|&has_label| {
        let normal =
            (-2.0 * rng.random::<f64>().max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * rng.random::<f64>()).cos();
        let x = normal + if has_label { distance / 2.0 } else { -distance / 2.0 };
        sigmoid(x * distance + logit(training))
    });
    (Array1::from_iter(probabilities).insert_axis(Axis(1)), truth)
}

#[test]
fn shifted_frequencies_are_found_and_probabilities_are_right_again() {
    let (n, training) = (40_000, 0.2);
    for share in [0.05, 0.2, 0.6] {
        let (probabilities, truth) = binary_world(n, share, training, 2.0, 1);
        let shift = LabelShift::estimate(probabilities.view(), &[training], Task::Multi, FREE).unwrap();
        // Twice the sampling error where articles tell a third of what labels would.
        let tolerance = 2.0 * (3.0 * share * (1.0 - share) / n as f64).sqrt();
        assert!((shift.shares()[0] - share).abs() < tolerance, "{share}: {:?}", shift.shares());
        // Calibrated in the batch: in every tenth of the range as many labels as the probabilities say.
        let moved = shift.apply(probabilities.view()).unwrap();
        for bin in 0..10 {
            let inside = || (0..n).filter(|&i| (moved[[i, 0]] * 10.0) as usize == bin);
            let expected: f64 = inside().map(|i| moved[[i, 0]]).sum();
            let variance: f64 = inside().map(|i| moved[[i, 0]] * (1.0 - moved[[i, 0]])).sum();
            let found = inside().filter(|&i| truth[i]).count() as f64;
            assert!(
                (found - expected).abs() < 4.0 * variance.sqrt() + 1.0 + 0.05 * expected,
                "{share}, {bin}: {found}, {expected}"
            );
        }
        // So does the black box, from decisions at ½ and their confusion in training.
        let decide = |p: &Array2<f64>| p.mapv(|p| p >= 0.5);
        let (out_of_fold, known) = binary_world(n, training, training, 2.0, 2);
        let known = Targets::Multi(known.iter().map(|&has| if has { vec![LabelId(0)] } else { vec![] }).collect());
        let confusion = Confusion::fit(decide(&out_of_fold).view(), &known).unwrap();
        let black_box = LabelShift::estimate_black_box(decide(&probabilities).view(), &confusion, FREE).unwrap();
        assert!((black_box.shares()[0] - share).abs() < 3.0 * tolerance, "{share}: {:?}", black_box.shares());
    }
}

/// One label per article: calibrated probabilities under the `training` shares, and the truth.
fn categorical_world(n: usize, shares: &[f64], training: &[f64], seed: u64) -> (Array2<f64>, Vec<LabelId>) {
    let mut rng = generator(seed, "shift");
    let mut probabilities = Array2::zeros((n, shares.len()));
    let mut truth = Vec::new();
    for mut row in probabilities.rows_mut() {
        let mut place: f64 = rng.random();
        let own = shares
            .iter()
            .position(|share| {
                place -= share;
                place < 0.0
            })
            .unwrap_or(shares.len() - 1);
        // A signal that names the label in six of ten cases, and any of the labels else.
        let named = if rng.random::<f64>() < 0.6 { own } else { rng.random_range(0..shares.len()) };
        for (k, p) in row.iter_mut().enumerate() {
            *p = training[k] * (0.4 / shares.len() as f64 + if k == named { 0.6 } else { 0.0 });
        }
        let total = row.sum();
        row /= total;
        truth.push(LabelId(own));
    }
    (probabilities, truth)
}

#[test]
fn with_one_label_per_article_too() {
    let (training, shares) = ([0.5, 0.3, 0.2], [0.1, 0.3, 0.6]);
    let (probabilities, _) = categorical_world(30_000, &shares, &training, 3);
    let shift = LabelShift::estimate(probabilities.view(), &training, Task::Single, FREE).unwrap();
    let (out_of_fold, known) = categorical_world(30_000, &training, &training, 4);
    let decide = |p: &Array2<f64>| crate::calibration::thresholds::decide(p.view(), None).unwrap();
    let confusion = Confusion::fit(decide(&out_of_fold).view(), &Targets::Single(known)).unwrap();
    let black_box = LabelShift::estimate_black_box(decide(&probabilities).view(), &confusion, FREE).unwrap();
    for found in [&shift, &black_box] {
        for (found, expected) in found.shares().iter().zip(shares) {
            assert!((found - expected).abs() < 0.015, "{found}, expected {expected}");
        }
        assert!((found.shares().iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
    let moved = shift.apply(probabilities.view()).unwrap();
    let means = moved.mean_axis(Axis(0)).unwrap();
    assert!(means.iter().zip(shares).all(|(mean, share)| (mean - share).abs() < 0.015), "{means}");
}

#[test]
fn without_a_shift_and_in_small_batches_nothing_moves() {
    let settings = ShiftSettings::default();
    let (probabilities, _) = binary_world(5_000, 0.2, 0.2, 2.0, 5);
    let shift = LabelShift::estimate(probabilities.view(), &[0.2], Task::Multi, settings).unwrap();
    assert_eq!(shift.offsets(), [0.0]);
    let moved = shift.apply(probabilities.view()).unwrap();
    assert!((&moved - &probabilities).iter().all(|change| change.abs() < 1e-15));
    // Three articles that all have the label move its odds, but by less than what is ignored.
    let few = Array2::from_elem((3, 1), 1.0 - 1e-9);
    let shift = LabelShift::estimate(few.view(), &[0.2], Task::Multi, settings).unwrap();
    assert_eq!(shift.shares(), [0.2]);
    let heard = ShiftSettings { ignored_odds_ratio: 1.0, ..settings };
    let shift = LabelShift::estimate(few.view(), &[0.2], Task::Multi, heard).unwrap();
    assert!((shift.shares()[0] - 13.0 / 53.0).abs() < 1e-6, "{:?}", shift.shares());
    for task in [Task::Single, Task::Multi] {
        let shift = LabelShift::estimate(Array2::zeros((0, 2)).view(), &[0.4, 0.6], task, settings).unwrap();
        assert!(shift.offsets().iter().all(|offset| offset.abs() < 1e-12), "{task}");
    }
}

#[test]
fn badly_calibrated_labels_meet_the_bound() {
    // No article near the label, all articles sure of it, and a rare label whose probabilities are all a little too high.
    let probabilities = Array2::from_shape_fn((20_000, 3), |(_, k)| [1e-9, 1.0 - 1e-9, 0.004][k]);
    let training = [0.3, 0.3, 0.0005];
    let settings = ShiftSettings::default();
    let shift = LabelShift::estimate(probabilities.view(), &training, Task::Multi, settings).unwrap();
    let offsets = shift.offsets();
    let bound = settings.max_odds_ratio.ln();
    assert!((offsets[0] + bound).abs() < 1e-9 && (offsets[1] - bound).abs() < 1e-9, "{offsets:?}");
    assert!(offsets[2].abs() <= bound + 1e-9, "{offsets:?}");
    // In a small batch the prior alone holds the rare one, where the bound would let it go eightfold.
    let few = probabilities.slice(ndarray::s![..500, ..]);
    let shift = LabelShift::estimate(few, &training, Task::Multi, settings).unwrap();
    assert_eq!(shift.shares()[2], training[2]);

    let decisions = Array2::from_elem((20_000, 1), true);
    let known = Targets::Multi((0..100).map(|i| if i < 10 { vec![LabelId(0)] } else { vec![] }).collect());
    let right = known.indicator(1);
    let shift =
        LabelShift::estimate_black_box(decisions.view(), &Confusion::fit(right.view(), &known).unwrap(), settings)
            .unwrap();
    assert!((shift.offsets()[0] - bound).abs() < 1e-9, "{:?}", shift.offsets());
    // Decisions that say nothing about the label leave it.
    let none = Array2::from_elem((100, 1), false);
    let shift =
        LabelShift::estimate_black_box(decisions.view(), &Confusion::fit(none.view(), &known).unwrap(), settings);
    assert!(shift.unwrap().shares()[0].is_finite());

    let heard = ShiftSettings { ignored_odds_ratio: 1.0, ..settings };
    let sure = Array2::from_shape_fn((5_000, 3), |(_, k)| if k == 2 { 1.0 } else { 0.0 });
    let training = [0.6, 0.39, 0.01];
    let shift = LabelShift::estimate(sure.view(), &training, Task::Single, heard).unwrap();
    // The third label's share is at its bound; the others share the rest in their proportion.
    let expected = [0.92 * 0.6 / 0.99, 0.92 * 0.39 / 0.99, 0.08];
    assert!(shift.shares().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{:?}", shift.shares());
}

#[test]
fn logits_and_probabilities_move_alike_and_extremes_stay() {
    let logits = array![[3.0, -2.0], [-40.0, 800.0], [-800.0, 0.0]];
    let shift = LabelShift::new(Task::Multi, &[0.1, 0.5], &[0.3, 0.01]).unwrap();
    let through = shift.apply_to_logits(logits.view()).unwrap().mapv(sigmoid);
    let moved = shift.apply(logits.mapv(sigmoid).view()).unwrap();
    assert!(through.iter().zip(&moved).all(|(a, b)| (a - b).abs() < 1e-12), "{through} {moved}");
    assert_eq!((moved[[1, 1]], moved[[2, 0]]), (1.0, 0.0));
    let shift = LabelShift::new(Task::Single, &[0.9, 0.1], &[0.5, 0.5]).unwrap();
    assert!((shift.apply(array![[0.9, 0.1]].view()).unwrap()[[0, 0]] - 0.5).abs() < 1e-12);
    // A label that training never had cannot be asked for by its odds.
    let shift = LabelShift::new(Task::Multi, &[0.0], &[1.0]).unwrap();
    assert!(shift.apply(array![[0.5]].view()).unwrap()[[0, 0]].is_finite());
}

#[test]
fn what_does_not_fit_is_refused() {
    let settings = ShiftSettings::default();
    let estimate =
        |p: Array2<f64>, training: &[f64], task| LabelShift::estimate(p.view(), training, task, settings).unwrap_err();
    let message = estimate(array![[0.5]], &[0.5, 0.5], Task::Multi).to_string();
    assert_eq!(message, "the matrix of probabilities is for 2 labels, found 1");
    for value in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(matches!(estimate(array![[value]], &[0.5], Task::Multi), CalibrationError::Probability { .. }));
        assert!(matches!(estimate(array![[0.5]], &[value], Task::Multi), CalibrationError::Share { .. }));
    }
    assert!(matches!(estimate(array![[0.5, 0.4]], &[0.5, 0.5], Task::Single), CalibrationError::ProbabilitySum { .. }));
    assert!(matches!(estimate(array![[0.5, 0.5]], &[0.5, 0.6], Task::Single), CalibrationError::ShareSum { .. }));
    let unequal = LabelShift::new(Task::Multi, &[0.5], &[0.5, 0.5]);
    assert!(matches!(unequal, Err(CalibrationError::NLabels { .. })));

    let shift = LabelShift::new(Task::Multi, &[0.5], &[0.6]).unwrap();
    assert!(matches!(shift.apply(array![[0.5, 0.5]].view()), Err(CalibrationError::NLabels { .. })));
    assert!(matches!(shift.apply_to_logits(array![[f64::NAN]].view()), Err(CalibrationError::NonFinite { .. })));
    assert!(matches!(shift.apply_to_logits(array![[0.0, 0.0]].view()), Err(CalibrationError::NLabels { .. })));

    let single = Targets::Single(vec![LabelId(0)]);
    let fit = |decisions: Array2<bool>, targets: &Targets| Confusion::fit(decisions.view(), targets);
    assert!(matches!(fit(array![[true, true]], &single), Err(CalibrationError::DecisionCount { found: 2, .. })));
    assert!(matches!(fit(array![[true], [true]], &single), Err(CalibrationError::RowCount { .. })));
    assert!(matches!(
        fit(array![[true]], &Targets::Single(vec![LabelId(1)])),
        Err(CalibrationError::LabelOutOfRange { .. })
    ));
    assert_eq!(fit(Array2::from_elem((0, 1), true), &Targets::Multi(vec![])), Err(CalibrationError::NoArticles));
    let confusion = fit(array![[true, false]], &single).unwrap();
    let none = LabelShift::estimate_black_box(array![[false, false]].view(), &confusion, settings);
    assert!(matches!(none, Err(CalibrationError::DecisionCount { found: 0, .. })));
    let narrow = LabelShift::estimate_black_box(array![[true]].view(), &confusion, settings);
    assert!(matches!(narrow, Err(CalibrationError::NLabels { .. })));

    let half = array![[0.5]];
    for (prior_positives, ignored_odds_ratio, max_odds_ratio) in
        [(0.0, 1.0, 1.0), (f64::NAN, 1.0, 1.0), (1.0, 0.9, 1.0), (1.0, 1.0, 0.9), (1.0, 1.0, f64::INFINITY)]
    {
        let settings = ShiftSettings { prior_positives, ignored_odds_ratio, max_odds_ratio };
        let refused = LabelShift::estimate(half.view(), &[0.5], Task::Multi, settings);
        assert!(matches!(refused, Err(CalibrationError::Setting { .. })), "{settings:?}");
    }
}
