//! The whole fit: gradients, what it finds, what it refuses.

use ndarray::{Array2, ArrayView2, array, s};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::heads::Head;
use crate::heads::lbfgs::Objectives;
use crate::heads::logistic::LogisticSettings;
use crate::rng::generator;

/// Central differences with this step are exact to about 1e-9 of the curvature.
const STEP: f64 = 1e-5;
const GRADIENT_TOLERANCE: f64 = 1e-6;

fn ids(labels: &[usize]) -> Vec<LabelId> {
    labels.iter().copied().map(LabelId).collect()
}

fn random(rng: &mut ChaCha8Rng, n_rows: usize, n_columns: usize) -> Array2<f32> {
    Array2::from_shape_simple_fn((n_rows, n_columns), || rng.random_range(-1.0..1.0))
}

/// Compares the gradient with differences of values around random points, near zero and far from it.
fn check_gradient(objectives: &impl Objectives, n_problems: usize, n_params: usize) {
    let mut rng = generator(3, "gradient test");
    let active: Vec<usize> = (0..n_problems).collect();
    for size in [0.0, 1.0, 60.0] {
        let point = Array2::from_shape_simple_fn((n_problems, n_params), || size * rng.random_range(-1.0..1.0f64));
        let evaluation = objectives.evaluate(&active, point.view());
        assert!(evaluation.inverse_hessian.iter().all(|inverse| inverse.is_finite() && *inverse > 0.0));
        for j in 0..n_params {
            let values = |step: f64| {
                let mut moved = point.clone();
                moved.column_mut(j).mapv_inplace(|value| value + step);
                objectives.evaluate(&active, moved.view()).values
            };
            let (below, above) = (values(-STEP), values(STEP));
            for i in 0..n_problems {
                let expected = (above[i] - below[i]) / (2.0 * STEP);
                let found = evaluation.gradients[[i, j]];
                let tolerance = GRADIENT_TOLERANCE * (1.0 + found.abs());
                assert!((found - expected).abs() < tolerance, "size {size}, ({i}, {j}): {found}, expected {expected}");
            }
        }
        let alone = objectives.evaluate(&active[n_problems - 1..], point.slice(s![n_problems - 1.., ..])).values[0];
        let beside = evaluation.values[n_problems - 1];
        assert!((alone / beside - 1.0).abs() < 1e-12, "a problem has the value {alone} alone, {beside} beside others");
    }
}

#[test]
fn gradients_match_differences_of_values() {
    let mut rng = generator(2, "gradient test");
    // The long article has more passages than a group, and more with known labels than a block.
    let offsets = [0, 3, 4, 704, 704, 709, 711];
    let articles = [0, 1, 2, 4, 5];
    let x = random(&mut rng, 711, 4);
    let bags = Bags { passages: x.view(), offsets: &offsets };
    let passages = Passages::new(bags, &articles).unwrap();
    let n_rows = passages.sources().len();
    assert_eq!(passages.parts().len(), 3);
    for passage_weight in [0.0, 0.3] {
        let settings = MultiInstanceSettings { passage_weight, tolerance: 1e-15, ..Default::default() };
        let sets = [ids(&[0]), ids(&[1, 2]), ids(&[]), ids(&[2])];
        let known = (0..n_rows).filter(|row| row % 3 != 1).map(|row| (row, sets[row % 4].as_slice())).collect();
        let training = Training { settings: &settings, passages: &passages, known, n_labels: 3 };
        let labels = [ids(&[0]), ids(&[0, 1]), ids(&[1, 2]), ids(&[]), ids(&[2])];
        check_gradient(&training.sigmoid_objectives(&labels, &[0, 1, 2]), 3, 5);
        check_gradient(&training.softmax_objectives(&ids(&[0, 2, 2, 1, 0]), &[0, 1, 2]), 1, 3 * 5);
    }
}

/// Ten passages an article; of each label that the article has, one passage tells, by `signal` in a column whose noise is from −1
/// to 1.
struct Haystack {
    passages: Array2<f32>,
    offsets: Vec<usize>,
    labels: Vec<Vec<LabelId>>,
    /// Article, label and the passage that tells.
    telling: Vec<(usize, usize, usize)>,
}

const BAG_SIZE: usize = 10;

fn haystack(purpose: &str, n_articles: usize, n_labels: usize, hidden_size: usize, signal: f32) -> Haystack {
    let mut rng = generator(4, purpose);
    let mut passages = random(&mut rng, n_articles * BAG_SIZE, hidden_size);
    let (mut labels, mut telling) = (Vec::new(), Vec::new());
    for article_idx in 0..n_articles {
        let own: Vec<usize> = (0..n_labels).filter(|_| rng.random_bool(0.3)).collect();
        for &label_idx in &own {
            let passage_idx = article_idx * BAG_SIZE + label_idx * BAG_SIZE / n_labels;
            passages[[passage_idx, label_idx]] += signal;
            telling.push((article_idx, label_idx, passage_idx));
        }
        labels.push(ids(&own));
    }
    for mut row in passages.rows_mut() {
        let length = row.dot(&row).sqrt();
        row /= length;
    }
    let offsets = (0..=n_articles).map(|article_idx| article_idx * BAG_SIZE).collect();
    Haystack { passages, offsets, labels, telling }
}

impl Haystack {
    /// What is known of its passages when all are marked.
    fn known(&self) -> PassageTargets {
        let mut known = vec![Vec::new(); self.passages.nrows()];
        self.telling.iter().for_each(|&(_, label_idx, passage_idx)| known[passage_idx].push(LabelId(label_idx)));
        PassageTargets { known: known.into_iter().map(Some).collect() }
    }

    fn bags(&self) -> Bags<'_> {
        Bags { passages: self.passages.view(), offsets: &self.offsets }
    }

    /// Share of the telling passages that have the highest logit in their article.
    fn share_found(&self, head: &LinearHead) -> f64 {
        let logits = head.logits(self.passages.view()).unwrap();
        let found = |&&(article_idx, label_idx, passage_idx): &&(usize, usize, usize)| {
            let own = article_idx * BAG_SIZE..(article_idx + 1) * BAG_SIZE;
            own.clone().max_by(|&a, &b| logits[[a, label_idx]].total_cmp(&logits[[b, label_idx]])) == Some(passage_idx)
        };
        self.telling.iter().filter(found).count() as f64 / self.telling.len() as f64
    }

    /// Share of pairs of an article with a label and one without which the pooled logits put in order.
    fn share_ordered(&self, head: &LinearHead) -> f64 {
        let logits = head.logits(self.passages.view()).unwrap();
        let pooled = max_pooled(logits.view(), &self.offsets, head.intercepts()).unwrap();
        let (mut n_pairs, mut n_ordered) = (0usize, 0usize);
        for label_idx in 0..head.n_labels() {
            let (with, without): (Vec<usize>, Vec<usize>) =
                (0..self.labels.len()).partition(|&i| self.labels[i].contains(&LabelId(label_idx)));
            for (i, j) in with.iter().flat_map(|i| without.iter().map(move |j| (*i, *j))) {
                n_pairs += 1;
                n_ordered += usize::from(pooled[[i, label_idx]] > pooled[[j, label_idx]]);
            }
        }
        n_ordered as f64 / n_pairs as f64
    }
}

#[test]
fn the_telling_passage_is_found_where_inherited_labels_miss_it() {
    let (n_labels, hidden_size) = (4, 48);
    let training = haystack("training", 300, n_labels, hidden_size, 2.0);
    let test = haystack("test", 300, n_labels, hidden_size, 2.0);
    let rows: Vec<usize> = (0..training.labels.len()).collect();
    let targets = Targets::Multi(training.labels.clone());
    let settings = MultiInstanceSettings::default().check().unwrap();
    let head = settings.fit(training.bags(), &rows, &targets, None, n_labels, &|| false).unwrap();

    let inherited = Targets::Multi(training.labels.iter().flat_map(|labels| vec![labels.clone(); BAG_SIZE]).collect());
    let best = |measure: &dyn Fn(&LinearHead) -> f64| {
        let strengths = [0.1, 1.0, 10.0, 100.0].into_iter();
        strengths
            .map(|strength| LogisticSettings { strength, ..Default::default() }.check().unwrap())
            .map(|settings| measure(&settings.fit(training.passages.view(), &inherited, n_labels).unwrap()))
            .fold(0.0, f64::max)
    };
    let (found, naive_found) = (test.share_found(&head), best(&|head| test.share_found(head)));
    let (ordered, naive_ordered) = (test.share_ordered(&head), best(&|head| test.share_ordered(head)));
    assert!(found >= 0.95 && found > naive_found + 0.1, "found {found}, with inherited labels {naive_found}");
    assert!(ordered > naive_ordered + 0.1, "in order {ordered}, with inherited labels {naive_ordered}");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let data = haystack("threads", 250, 3, 20, 3.0);
    let rows: Vec<usize> = (0..250).filter(|i| i % 5 != 2).collect();
    let single =
        Targets::Single(data.labels.iter().map(|labels| labels.first().copied().unwrap_or(LabelId(1))).collect());
    let known = PassageTargets { known: (0..2_500).map(|i| (i % 4 == 0).then(|| ids(&[i % 3]))).collect() };
    for targets in [Targets::Multi(data.labels.clone()), single] {
        for tolerance in [1e-4, 1e-9] {
            let settings = MultiInstanceSettings { tolerance, ..Default::default() }.check().unwrap();
            let fit = |n_threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                pool.install(|| settings.fit(data.bags(), &rows, &targets, Some(&known), 3, &|| false)).unwrap()
            };
            let alone = fit(1);
            assert_eq!(fit(2), alone);
            assert_eq!(fit(3), alone);
        }
    }
}

#[test]
fn articles_left_out_or_without_passages_count_nowhere() {
    let data = haystack("left out", 40, 2, 8, 3.0);
    let settings = MultiInstanceSettings::default().check().unwrap();
    let targets = Targets::Multi(data.labels.clone());
    let rows: Vec<usize> = (0..30).collect();
    let expected = settings.fit(data.bags(), &rows, &targets, None, 2, &|| false).unwrap();

    // The same articles with empty ones of both labels between them; those after them hold anything.
    let mut passages = data.passages.clone();
    passages.slice_mut(s![300.., ..]).fill(f32::NAN);
    let offsets: Vec<usize> = (0..=80).map(|i: usize| i.div_ceil(2) * BAG_SIZE).collect();
    let labels = (0..80).map(|i| if i % 2 == 0 { data.labels[i / 2].clone() } else { ids(&[0, 1]) }).collect();
    let rows: Vec<usize> = (0..60).collect();
    let bags = Bags { passages: passages.view(), offsets: &offsets };
    let found = settings.fit(bags, &rows, &Targets::Multi(labels), None, 2, &|| false).unwrap();
    assert_eq!(found, expected);
}

#[test]
fn odd_sets_of_articles_give_finite_logits() {
    let settings = MultiInstanceSettings { tolerance: 1e-9, ..Default::default() }.check().unwrap();
    let x = array![[1.0f32, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]];
    let cases: [(&str, &[usize], Targets, usize); 5] = [
        ("one article", &[0, 4], Targets::Multi(vec![ids(&[0])]), 2),
        ("one label", &[0, 1, 4], Targets::Multi(vec![ids(&[0]), ids(&[])]), 1),
        ("more labels than articles", &[0, 2, 4], Targets::Single(ids(&[3, 7])), 9),
        ("a label of no article and one of all", &[0, 2, 4], Targets::Multi(vec![ids(&[0, 1]), ids(&[0])]), 3),
        ("equal embeddings", &[1, 2, 3], Targets::Multi(vec![ids(&[0]), ids(&[])]), 1),
    ];
    for (name, bounds, targets, n_labels) in cases {
        let passages = x.slice(s![bounds[0]..bounds[bounds.len() - 1], ..]);
        let offsets: Vec<usize> = bounds.iter().map(|bound| bound - bounds[0]).collect();
        let bags = Bags { passages, offsets: &offsets };
        let known = PassageTargets { known: vec![Some(ids(&[n_labels - 1])); passages.nrows()] };
        let rows: Vec<usize> = (0..targets.len()).collect();
        let head = settings.fit(bags, &rows, &targets, Some(&known), n_labels, &|| false).unwrap();
        assert!(head.logits(x.view()).unwrap().iter().all(|logit| logit.is_finite()), "{name}");
        assert_eq!(head.task(), targets.task(), "{name}");
    }
}

#[test]
fn known_passages_draw_the_head_towards_them() {
    let data = haystack("training", 60, 2, 96, 2.5);
    let rows: Vec<usize> = (0..60).collect();
    let targets = Targets::Multi(data.labels.clone());
    let known = data.known();
    let test = haystack("test", 300, 2, 96, 2.5);
    let share_found = |known: Option<&PassageTargets>| {
        let settings = MultiInstanceSettings { passage_weight: 1.0, ..Default::default() }.check().unwrap();
        test.share_found(&settings.fit(data.bags(), &rows, &targets, known, 2, &|| false).unwrap())
    };
    let (with, without) = (share_found(Some(&known)), share_found(None));
    assert!(with > without + 0.05, "found {with} with known passages, {without} without");
}

#[test]
fn stopping_early_is_no_error_but_an_interruption_is() {
    let data = haystack("stopping", 40, 2, 8, 3.0);
    let targets = Targets::Multi(data.labels.clone());
    let fit = |max_evaluations, interrupted: &(dyn Fn() -> bool + Sync)| {
        let settings = MultiInstanceSettings { max_evaluations, tolerance: 1e-12, ..Default::default() };
        settings.check().unwrap().fit(data.bags(), &[0, 1, 2, 3, 4, 5], &targets, None, 2, interrupted)
    };
    assert!(fit(1, &|| false).unwrap().weights().iter().all(|weight| *weight == 0.0));
    assert!(fit(3, &|| false).unwrap().weights().iter().any(|weight| *weight != 0.0));
    assert_eq!(fit(3, &|| true), Err(HeadError::Interrupted));
}

#[test]
fn what_does_not_match_is_refused() {
    let settings = MultiInstanceSettings::default().check().unwrap();
    let x = Array2::<f32>::eye(3);
    let targets = || Targets::Multi(vec![ids(&[0]), ids(&[])]);
    let fit = |x: ArrayView2<f32>, offsets: &[usize], rows: &[usize], targets: Targets, known: Option<Vec<_>>| {
        let known = known.map(|known| PassageTargets { known });
        let bags = Bags { passages: x, offsets };
        settings.fit(bags, rows, &targets, known.as_ref(), 2, &|| false).unwrap_err().to_string()
    };
    let all = &[0, 1][..];
    for offsets in [&[][..], &[0, 1, 2], &[1, 2, 3], &[0, 4, 3], &[0, 1, 4]] {
        let message = fit(x.view(), offsets, all, targets(), None);
        assert!(message.ends_with("offsets of bags do not ascend from 0 to their 3 passages"), "{message}");
    }
    let offsets = &[0, 2, 3][..];
    let message = fit(x.view(), offsets, all, Targets::Multi(vec![ids(&[0])]), None);
    assert_eq!(message, "cannot fit a head: 2 embeddings but labels for 1 articles");
    assert_eq!(fit(x.view(), offsets, &[2], targets(), None), "cannot fit a head on row 2: there are 2 rows");
    let message = fit(x.view(), offsets, all, Targets::Multi(vec![ids(&[0]), ids(&[2])]), None);
    assert_eq!(message, "article 1 has label number 2, but there are 2 labels");
    let message = fit(x.view(), offsets, all, targets(), Some(vec![None; 2]));
    assert_eq!(message, "cannot fit a head: 3 passages but known labels for 2");
    let message = fit(x.view(), offsets, all, targets(), Some(vec![None, Some(ids(&[0, 2])), None]));
    assert_eq!(message, "passage 1 has label number 2, but there are 2 labels");
    assert!(fit(x.view(), offsets, &[1], targets(), None).contains("only 0 of 2 labels occur"));
    assert!(fit(x.view(), &[0, 0, 3], all, targets(), None).contains("only 0 of 2 labels occur"));
    let empty = Array2::zeros((3, 0));
    assert!(fit(empty.view(), offsets, all, targets(), None).contains("weights [2, 0]"));
    let mut broken = x.clone();
    broken[[2, 1]] = f32::NAN;
    let message = fit(broken.view(), offsets, all, targets(), None);
    assert_eq!(message, "embedding 2 holds NaN in column 1; all values must be finite");
}

#[test]
fn settings_out_of_range_are_named() {
    let base = MultiInstanceSettings::default;
    let cases = [
        (MultiInstanceSettings { strength: 0.0, ..base() }, "head setting `strength` is 0"),
        (MultiInstanceSettings { passage_weight: -0.1, ..base() }, "head setting `passage_weight` is -0.1"),
        (MultiInstanceSettings { passage_weight: f64::NAN, ..base() }, "head setting `passage_weight` is NaN"),
        (MultiInstanceSettings { tolerance: 1.0, ..base() }, "head setting `tolerance` is 1"),
        (MultiInstanceSettings { max_evaluations: 0, ..base() }, "head setting `max_evaluations` is 0"),
    ];
    for (settings, expected) in cases {
        let message = settings.check().unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    assert!(serde_json::from_str::<MultiInstanceSettings>(r#"{"stren": 1}"#).is_err());
    let settings: MultiInstanceSettings = serde_json::from_str(r#"{"strength": 3}"#).unwrap();
    assert_eq!(settings, MultiInstanceSettings { strength: 3.0, ..base() });
}

#[test]
fn the_largest_logit_of_an_article_is_its_own() {
    let logits = array![[1.0, -2.0], [-5.0, -1.0], [0.5, 3.0]];
    let pooled = max_pooled(logits.view(), &[0, 0, 2, 3, 3], array![0.25, -0.5].view()).unwrap();
    assert_eq!(pooled, array![[0.25, -0.5], [1.0, -1.0], [0.5, 3.0], [0.25, -0.5]]);
    let error = max_pooled(logits.view(), &[0, 2], array![0.0, 0.0].view()).unwrap_err();
    assert_eq!(error, HeadError::BagOffsets { n_offsets: 2, n_passages: 3 });
    let error = max_pooled(logits.view(), &[0, 3], array![0.0].view()).unwrap_err();
    assert_eq!(error, HeadError::InterceptCount { n_intercepts: 1, n_labels: 2 });
    assert_eq!(max_pooled(logits.slice(s![..0, ..]), &[0], array![0.0, 0.0].view()).unwrap().dim(), (0, 2));
}
