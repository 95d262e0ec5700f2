//! What each kind of evidence is worth, on made-up articles and against the reference.

use std::sync::atomic::{AtomicBool, Ordering};

use ndarray::{Axis, array, concatenate, s};
use rand::RngExt;

use super::affine::softmax_rows;
use super::mixture::{Mixture, Pull, Space};
use super::*;
use crate::heads::Head;
use crate::progress::Silent;
use crate::rng::generator;

const WIDTH: usize = 48;
/// Largest difference to the reference, which sums in another order and stops at the same round.
const GOLDEN_TOLERANCE: f64 = 1e-6;

/// About normal: the sum of twelve uniform numbers less their mean.
fn normal(rng: &mut impl RngExt) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// What articles of one label differ in most, as in sentence embeddings, is a few directions that tell nothing of the label.
fn spread(column_idx: usize) -> f64 {
    if column_idx < 2 { 1.0 } else { 0.25 }
}

/// Articles around one direction per label, and anchors that are only roughly right.
struct World {
    topics: Array2<f64>,
    anchors: Array2<f32>,
}

impl World {
    fn new(n_labels: usize) -> Self {
        let mut rng = generator(5, "few topics");
        let topics = unit_rows(Array2::from_shape_fn((n_labels, WIDTH), |_| normal(&mut rng)));
        let anchors = unit_rows(&topics + &Array2::from_shape_fn((n_labels, WIDTH), |_| 0.15 * normal(&mut rng)));
        Self { topics, anchors: anchors.mapv(|value| value as f32) }
    }

    /// `counts[k]` articles of label `k`.
    fn articles(&self, counts: &[usize], purpose: &str) -> (Array2<f32>, Vec<LabelId>) {
        let mut rng = generator(7, purpose);
        let labels: Vec<usize> =
            counts.iter().enumerate().flat_map(|(label_idx, &n)| std::iter::repeat_n(label_idx, n)).collect();
        let rows = Array2::from_shape_fn((labels.len(), WIDTH), |(i, j)| {
            self.topics[[labels[i], j]] + spread(j) * normal(&mut rng)
        });
        (unit_rows(rows).mapv(|value| value as f32), labels.into_iter().map(LabelId).collect())
    }

    fn fit(&self, n_each: usize, anchors: bool, unlabelled: &Array2<f32>) -> FewFit {
        let n_labels = self.topics.nrows();
        let (labelled, labels) = self.articles(&vec![n_each; n_labels], "few labelled");
        let evidence = Evidence {
            labelled: labelled.view(),
            targets: &Targets::Single(labels),
            anchors: anchors.then(|| self.anchors.view()),
            unlabelled: unlabelled.view(),
        };
        fit_few(&evidence, n_labels, Task::Single, &FewSettings::default().check().unwrap(), &Silent).unwrap()
    }

    /// On `counts[k]` other articles of label `k`.
    fn accuracy(&self, fit: &FewFit, counts: &[usize]) -> f64 {
        let (rows, labels) = self.articles(counts, "few test");
        let logits = fit.head.logits(rows.view()).unwrap();
        let right = logits.rows().into_iter().zip(&labels).filter(|(row, label)| {
            row.iter().enumerate().all(|(label_idx, &logit)| label_idx == label.0 || logit < row[label.0])
        });
        right.count() as f64 / labels.len() as f64
    }
}

fn nothing() -> Array2<f32> {
    Array2::zeros((0, WIDTH))
}

#[test]
fn few_unlabelled_articles_and_names_each_help() {
    let world = World::new(4);
    let (pool, _) = world.articles(&[200; 4], "few pool");
    let accuracy = |n_each, anchors, pool: &Array2<f32>| world.accuracy(&world.fit(n_each, anchors, pool), &[300; 4]);
    for anchors in [false, true] {
        let (without, with) = (accuracy(8, anchors, &nothing()), accuracy(8, anchors, &pool));
        assert!(with > without + 0.05, "anchors {anchors}: {without} {with}");
    }
    let (without, with) = (accuracy(2, false, &nothing()), accuracy(2, true, &nothing()));
    assert!(with > without + 0.1, "{without} {with}");
}

#[test]
fn few_names_alone_gain_from_unlabelled_articles() {
    let world = World::new(4);
    let (pool, _) = world.articles(&[200; 4], "few pool");
    let names = world.accuracy(&world.fit(0, true, &nothing()), &[300; 4]);
    let fit = world.fit(0, true, &pool);
    assert!(names > 0.5, "{names}");
    let with_pool = world.accuracy(&fit, &[300; 4]);
    assert!(with_pool > names + 0.02, "{names} {with_pool}");
    assert!(fit.n_confident > 100 && fit.n_confident <= 800, "{}", fit.n_confident);
    assert_eq!((fit.strength, fit.trust), (None, Some(1.0)));
}

#[test]
fn few_unequal_shares_are_found_and_do_no_harm() {
    let world = World::new(4);
    let shares = [0.6, 0.25, 0.1, 0.05];
    let (pool, _) = world.articles(&shares.map(|share| (800.0 * share) as usize), "few pool");
    let counts = [600, 250, 100, 50];
    let without = world.accuracy(&world.fit(8, true, &nothing()), &counts);
    let fit = world.fit(8, true, &pool);
    assert!(fit.shares.iter().zip(shares).all(|(found, share)| (found - share).abs() < 0.08), "{:?}", fit.shares);
    let with = world.accuracy(&fit, &counts);
    assert!(with > without, "{without} {with}");
}

#[test]
fn few_foreign_articles_do_no_harm() {
    let world = World::new(4);
    let (own, _) = world.articles(&[140; 4], "few pool");
    let mut rng = generator(11, "few foreign");
    let centre: Vec<f64> = (0..WIDTH).map(|_| normal(&mut rng) / 4.0).collect();
    let foreign = Array2::from_shape_fn((240, WIDTH), |(_, j)| centre[j] + 0.1 * normal(&mut rng));
    let foreign = unit_rows(foreign).mapv(|value| value as f32);
    let pool = concatenate(Axis(0), &[own.view(), foreign.view()]).unwrap();
    let without = world.accuracy(&world.fit(8, true, &nothing()), &[300; 4]);
    let with = world.accuracy(&world.fit(8, true, &pool), &[300; 4]);
    assert!(with > without - 0.02, "{without} {with}");
}

#[test]
fn few_labels_of_many_are_found_without_a_labelled_article() {
    let world = World::new(5);
    let mut rng = generator(13, "few sets");
    let sets: Vec<Vec<LabelId>> =
        (0..400).map(|_| (0..5).filter(|_| rng.random::<f64>() < 0.25).map(LabelId).collect()).collect();
    let rows = Array2::from_shape_fn((400, WIDTH), |(i, j)| {
        sets[i].iter().map(|label| world.topics[[label.0, j]]).sum::<f64>() + 0.15 * normal(&mut rng)
    });
    let rows = rows.mapv(|value| value as f32);
    let targets = Targets::Multi(sets);
    let truth = targets.select(&(300..400).collect::<Vec<_>>()).indicator(5);
    let f1 = |n_labelled: usize, n_unlabelled: usize| {
        let evidence = Evidence {
            labelled: rows.slice(s![..n_labelled, ..]),
            targets: &targets.select(&(0..n_labelled).collect::<Vec<_>>()),
            anchors: Some(world.anchors.view()),
            unlabelled: rows.slice(s![n_labelled..n_labelled + n_unlabelled, ..]),
        };
        let settings = FewSettings::default().check().unwrap();
        let fit = fit_few(&evidence, 5, Task::Multi, &settings, &Silent).unwrap();
        let logits = fit.head.logits(rows.slice(s![300.., ..])).unwrap();
        let found = logits.iter().zip(&truth).filter(|(logit, truth)| **logit > 0.0 && **truth).count();
        let named = logits.iter().filter(|logit| **logit > 0.0).count();
        (2 * found) as f64 / (named + truth.iter().filter(|truth| **truth).count()) as f64
    };
    let (bare, pooled, labelled) = (f1(0, 0), f1(0, 290), f1(8, 290));
    assert!(pooled > bare + 0.02 && pooled > 0.7, "{bare} {pooled}");
    assert!(labelled > pooled + 0.05 && labelled > f1(8, 0) + 0.1, "{pooled} {labelled} {}", f1(8, 0));
}

#[test]
fn few_fits_are_the_same_at_any_number_of_threads() {
    let world = World::new(4);
    let (pool, _) = world.articles(&[150; 4], "few pool");
    let fit = |n_threads| {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        threads.install(|| world.fit(4, true, &pool))
    };
    assert_eq!(fit(1), fit(3));
}

#[test]
fn few_inputs_that_do_not_fit_are_refused() {
    let (none, two) = (Array2::<f32>::zeros((0, 2)), array![[1.0f32, 0.0], [0.0, 1.0]]);
    let broken = array![[1.0, f32::NAN]];
    let single = |labels: &[usize]| Targets::Single(labels.iter().copied().map(LabelId).collect());
    let (empty, both, first) = (single(&[]), single(&[0, 1]), single(&[0, 0]));
    let (outside, multi) = (single(&[0, 2]), Targets::Multi(vec![]));
    let wide = Array2::<f32>::zeros((1, 3));
    let cases = [
        (&none, &empty, None, &two, "nothing is known of label number 0: none of the 0 labelled articles has it"),
        (&two, &first, None, &two, "nothing is known of label number 1: none of the 2 labelled articles"),
        (&two, &empty, Some(&two), &two, "cannot fit the head: cannot fit a head: 2 embeddings but labels for 0"),
        (&two, &outside, None, &two, "cannot fit the head: article 1 has label number 2, but there are 2 labels"),
        (&none, &multi, Some(&two), &two, "the labels of the articles are for a multi task, expected single"),
        (&two, &both, Some(&broken), &none, "cannot fit the head: embedding 0 holds NaN in column 1"),
        (&two, &both, Some(&none), &none, "0 anchors for 2 labels"),
        (&two, &both, None, &wide, "embeddings of the unlabelled articles have 3 columns, those of the labelled"),
    ];
    for (labelled, targets, anchors, unlabelled, expected) in cases {
        let anchors = anchors.map(|anchors: &Array2<f32>| anchors.view());
        let evidence = Evidence { labelled: labelled.view(), targets, anchors, unlabelled: unlabelled.view() };
        let settings = FewSettings::default().check().unwrap();
        let error = fit_few(&evidence, 2, Task::Single, &settings, &Silent).unwrap_err();
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        let message = format!("{error}{source}");
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn few_settings_out_of_range_are_named() {
    let base = FewSettings::default;
    let cases = [
        (FewSettings { strengths: vec![], ..base() }, "head setting `strengths` is empty"),
        (FewSettings { n_folds: 1, ..base() }, "head setting `n_folds` is 1, expected at least 2"),
        (FewSettings { whitening: 1.5, ..base() }, "head setting `whitening` is 1.5"),
        (FewSettings { blind_trust: -0.1, ..base() }, "head setting `blind_trust` is -0.1"),
        (FewSettings { anchor_weight: f64::NAN, ..base() }, "head setting `anchor_weight` is NaN"),
        (FewSettings { share_prior: 0.0, ..base() }, "head setting `share_prior` is 0, expected a positive number"),
    ];
    for (settings, expected) in cases {
        let message = settings.check().unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    assert!(serde_json::from_str::<FewSettings>(r#"{"strenghts": [1.0]}"#).is_err());
}

struct Stop(AtomicBool);

impl Progress for Stop {
    fn event(&self, _: Event<'_>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn few_fits_end_when_asked_to() {
    let (none, world) = (nothing(), World::new(3));
    let evidence = Evidence {
        labelled: none.view(),
        targets: &Targets::Single(vec![]),
        anchors: Some(world.anchors.view()),
        unlabelled: none.view(),
    };
    let settings = FewSettings::default().check().unwrap();
    let error = fit_few(&evidence, 3, Task::Single, &settings, &Stop(AtomicBool::new(false))).unwrap_err();
    assert!(matches!(error, TrainError::Interrupted), "{error}");
}

#[derive(Deserialize)]
struct Golden {
    whitening: f64,
    ridge: f64,
    rows: Vec<Vec<f64>>,
    sure: Vec<Vec<f64>>,
    sure_labels: Vec<usize>,
    teacher: Vec<Vec<f64>>,
    cases: Vec<GoldenCase>,
}

#[derive(Deserialize)]
struct GoldenCase {
    trust: f64,
    teacher_weight: f64,
    responsibilities: Vec<Vec<f64>>,
    evidence: Vec<Vec<f64>>,
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

#[test]
fn few_mixtures_agree_with_the_reference() {
    let golden: Golden = serde_json::from_str(include_str!("../../../tests/golden/few.json")).unwrap();
    let (rows, teacher) = (matrix(&golden.rows), matrix(&golden.teacher));
    let log_teacher = teacher.mapv(f64::ln);
    let space = Space::fit(rows.view(), softmax_rows(log_teacher.clone()).view(), golden.whitening, golden.ridge);
    let sure = space.directions(matrix(&golden.sure).view());
    let labels = Targets::Single(golden.sure_labels.iter().copied().map(LabelId).collect());
    let labels = labels.indicator(teacher.ncols()).mapv(f64::from);
    assert_eq!(golden.cases.len(), 2);
    for case in &golden.cases {
        let pull = Pull { trust: case.trust, teacher_weight: case.teacher_weight };
        let mixture = Mixture::fit(&space, log_teacher.view(), sure.view(), labels.view(), pull);
        let evidence = mixture.evidence.scores(rows.view());
        for (what, found, expected) in [
            ("responsibilities", &mixture.responsibilities, &case.responsibilities),
            ("evidence", &evidence, &case.evidence),
        ] {
            let worst = found.iter().zip(&matrix(expected)).fold(0.0f64, |a, (x, y)| a.max((x - y).abs()));
            assert!(worst < GOLDEN_TOLERANCE, "{what} at trust {}: off by {worst}", case.trust);
        }
    }
}
