//! What every head must do, whatever it is inside.

use ndarray::{Array1, Array2, Axis, array, s};
use rand::RngExt;
use topicwire::heads::logistic::LogisticSettings;
use topicwire::heads::multi_instance::{Bags, MultiInstanceSettings};
use topicwire::heads::{Head, HeadError, LinearHead};
use topicwire::labels::{LabelId, Targets, Task};
use topicwire::rng::generator;

const N_ARTICLES: usize = 600;
const HIDDEN_SIZE: usize = 12;
/// A row's logits may depend on the rows beside it by rounding in f64 only.
const ROW_TOLERANCE: f64 = 1e-10;

fn embeddings(purpose: &str) -> Array2<f32> {
    let mut rng = generator(11, purpose);
    Array2::from_shape_simple_fn((N_ARTICLES, HIDDEN_SIZE), || rng.random_range(-1.0..1.0))
}

/// The label of the largest of the first three columns, and all whose column is above 0.3.
fn targets(x: &Array2<f32>) -> (Targets, Targets) {
    let largest = |row: ndarray::ArrayView1<f32>| (0..3).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let single = x.rows().into_iter().map(|row| LabelId(largest(row))).collect();
    let multi = x.rows().into_iter().map(|row| (0..3).filter(|&k| row[k] > 0.3).map(LabelId).collect()).collect();
    (Targets::Single(single), Targets::Multi(multi))
}

struct Subject {
    name: &'static str,
    task: Task,
    n_labels: usize,
    head: Box<dyn Head>,
}

/// Every head there is, each taking `HIDDEN_SIZE` columns.
fn subjects() -> Vec<Subject> {
    let x = embeddings("training");
    let (single, multi) = targets(&x);
    let fit = |targets: &Targets| {
        let settings = LogisticSettings { strength: 10.0, ..Default::default() };
        Box::new(settings.check().unwrap().fit(x.view(), targets, 3).unwrap()) as Box<dyn Head>
    };
    let fit_bags = |targets: &Targets| {
        // The rows are passages here, three an article, which has the labels of its first one.
        let (rows, offsets): (Vec<usize>, Vec<usize>) = (0..N_ARTICLES / 3).map(|i| (i, 3 * i)).unzip();
        let offsets = [offsets, vec![N_ARTICLES]].concat();
        let targets = targets.select(&offsets[..rows.len()]);
        let settings = MultiInstanceSettings::default().check().unwrap();
        let bags = Bags { passages: x.view(), offsets: &offsets };
        Box::new(settings.fit(bags, &rows, &targets, None, 3, &|| false).unwrap()) as Box<dyn Head>
    };
    let by_hand = LinearHead::new(Task::Multi, Array2::ones((2, HIDDEN_SIZE)), Array1::zeros(2)).unwrap();
    vec![
        Subject { name: "soft-max regression", task: Task::Single, n_labels: 3, head: fit(&single) },
        Subject { name: "one-vs-rest regression", task: Task::Multi, n_labels: 3, head: fit(&multi) },
        Subject { name: "soft-max on passages", task: Task::Single, n_labels: 3, head: fit_bags(&single) },
        Subject { name: "one-vs-rest on passages", task: Task::Multi, n_labels: 3, head: fit_bags(&multi) },
        Subject { name: "linear head from parameters", task: Task::Multi, n_labels: 2, head: Box::new(by_hand) },
    ]
}

fn assert_close(name: &str, a: &Array2<f64>, b: &Array2<f64>) {
    assert_eq!(a.dim(), b.dim(), "{name}");
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= ROW_TOLERANCE, "{name}: {a} and {b}");
    }
}

#[test]
fn shapes_are_as_promised() {
    let x = embeddings("articles");
    for Subject { name, task, n_labels, head } in subjects() {
        assert_eq!((head.task(), head.hidden_size(), head.n_labels()), (task, HIDDEN_SIZE, n_labels), "{name}");
        for n_articles in [0, 1, 2, 257, N_ARTICLES] {
            let logits = head.logits(x.slice(s![..n_articles, ..])).unwrap();
            assert_eq!(logits.dim(), (n_articles, n_labels), "{name}");
        }
    }
}

#[test]
fn another_width_is_an_error() {
    for Subject { name, head, .. } in subjects() {
        for found in [0, HIDDEN_SIZE - 1, HIDDEN_SIZE + 1] {
            let error = head.logits(Array2::zeros((2, found)).view()).unwrap_err();
            assert_eq!(error, HeadError::HiddenSize { expected: HIDDEN_SIZE, found }, "{name}");
        }
    }
}

#[test]
fn rows_do_not_see_each_other() {
    let x = embeddings("articles");
    let order: Vec<usize> = (0..N_ARTICLES).map(|i| (i * 7 + 3) % N_ARTICLES).collect();
    for Subject { name, head, .. } in subjects() {
        let logits = head.logits(x.view()).unwrap();
        let permuted = head.logits(x.select(Axis(0), &order).view()).unwrap();
        assert_close(name, &permuted, &logits.select(Axis(0), &order));
        for row_idx in [0, 299, N_ARTICLES - 1] {
            let alone = head.logits(x.slice(s![row_idx..=row_idx, ..])).unwrap();
            assert_close(name, &alone, &logits.slice(s![row_idx..=row_idx, ..]).to_owned());
        }
        // Strides of the view change nothing.
        let transposed = x.t().as_standard_layout().into_owned();
        assert_close(name, &head.logits(transposed.t()).unwrap(), &logits);
    }
}

#[test]
fn the_same_bytes_at_any_number_of_threads() {
    let x = embeddings("articles");
    let mut seen: Vec<Vec<Array2<f64>>> = Vec::new();
    for n_threads in [1, 2, 3, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        seen.push(pool.install(|| subjects().iter().map(|s| s.head.logits(x.view()).unwrap()).collect()));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn finite_embeddings_give_finite_logits() {
    let x = array![[0.0; HIDDEN_SIZE], [1.0; HIDDEN_SIZE], [f32::MAX; HIDDEN_SIZE], [f32::MIN_POSITIVE; HIDDEN_SIZE]];
    for Subject { name, head, .. } in subjects() {
        assert!(head.logits(x.view()).unwrap().iter().all(|logit| logit.is_finite()), "{name}");
    }
}

#[test]
fn fitted_heads_know_what_they_were_taught() {
    let x = embeddings("articles");
    let (single, multi) = targets(&x);
    for Subject { name, task, head, .. } in subjects().into_iter().take(2) {
        let logits = head.logits(x.view()).unwrap();
        let n_right = (0..N_ARTICLES)
            .filter(|&row_idx| {
                let row = logits.row(row_idx);
                match task {
                    Task::Single => {
                        let own = single.row(row_idx)[0].0;
                        (0..3).all(|k| row[k] <= row[own])
                    }
                    Task::Multi => (0..3).all(|k| (row[k] > 0.0) == multi.row(row_idx).contains(&LabelId(k))),
                }
            })
            .count();
        assert!(n_right > N_ARTICLES * 85 / 100, "{name}: {n_right} of {N_ARTICLES}");
    }
}
