//! What every view of an article must keep to, whatever it looks at.

use ndarray::{Array2, Axis, array, s};
use topicwire::heads::LinearHead;
use topicwire::heads::multi_instance::Bags;
use topicwire::heads::sparse_linear::SparseLinearSettings;
use topicwire::labels::{Label, LabelId, LabelSet, Targets, Task};
use topicwire::text::TitledText;
use topicwire::views::descriptions::DescriptionsHead;
use topicwire::views::metadata::{MetadataColumns, MetadataHead, Values};
use topicwire::views::passages::PassagesHead;
use topicwire::views::rules::Rules;
use topicwire::views::words::{Vocabulary, VocabularySettings, WordsHead};
use topicwire::views::{Features, View, ViewKind};

const N_ARTICLES: usize = 30;
const N_LABELS: usize = 2;
const HIDDEN_SIZE: usize = 5;

/// Articles as views see them, all made up.
struct Corpus {
    embeddings: Array2<f32>,
    texts: Vec<String>,
    passages: Array2<f32>,
    offsets: Vec<usize>,
    metadata: Vec<Values>,
}

impl Corpus {
    fn new() -> Self {
        // Numbers without a pattern, the same everywhere.
        let number = |i: usize, j: usize| ((i * 31 + j * 17 + i * j) % 23) as f32 / 11.0 - 1.0;
        let texts =
            (0..N_ARTICLES).map(|i| format!("report {i} on {}", ["grain ships", "tank training"][i % 2])).collect();
        let mut offsets = vec![0];
        // Every fifth article has no passage.
        (0..N_ARTICLES).for_each(|i| offsets.push(offsets[i] + i % 5));
        let n_passages = offsets[N_ARTICLES];
        Self {
            embeddings: Array2::from_shape_fn((N_ARTICLES, HIDDEN_SIZE), |(i, j)| number(i, j)),
            texts,
            passages: Array2::from_shape_fn((n_passages, HIDDEN_SIZE), |(i, j)| number(i + 7, j)),
            offsets,
            metadata: (0..N_ARTICLES).map(|i| vec![Some(format!("source {}", i % 3)).filter(|_| i % 4 > 0)]).collect(),
        }
    }

    /// Logits of the articles from `from` to `to` alone.
    fn logits(&self, view: &View, from: usize, to: usize) -> Array2<f64> {
        let texts: Vec<TitledText<'_>> = self.texts[from..to].iter().map(|text| TitledText::untitled(text)).collect();
        let (first, last) = (self.offsets[from], self.offsets[to]);
        let offsets: Vec<usize> = self.offsets[from..=to].iter().map(|offset| offset - first).collect();
        let features = Features {
            embeddings: self.embeddings.slice(s![from..to, ..]),
            texts: &texts,
            passages: Some(Bags { passages: self.passages.slice(s![first..last, ..]), offsets: &offsets }),
            metadata: &self.metadata[from..to],
        };
        view.logits(features).unwrap()
    }
}

/// One of each kind.
fn views(corpus: &Corpus) -> Vec<View> {
    let head = |n_columns: usize| {
        let weights = Array2::from_shape_fn((N_LABELS, n_columns), |(k, j)| (k as f32 - 0.5) * (j as f32 + 1.0) / 3.0);
        LinearHead::new(Task::Multi, weights, array![0.25, -0.5]).unwrap()
    };
    let vocabulary = Vocabulary::fit(&corpus.texts, &VocabularySettings::default()).unwrap();
    let rows = vocabulary.transform(&corpus.texts);
    let targets = Targets::Multi((0..N_ARTICLES).map(|i| vec![LabelId(i % 2)]).collect());
    let everything: Vec<u32> = (0..N_ARTICLES as u32).collect();
    let fit = SparseLinearSettings::default().check().unwrap().fit(&rows, &everything, &targets, N_LABELS).unwrap();
    let keywords = |name: &str, keyword: &str| Label {
        name: name.to_owned(),
        keywords: vec![keyword.to_owned()],
        ..Label::default()
    };
    let labels = LabelSet::new(vec![keywords("trade", "grain"), keywords("defense", "tank")]).unwrap();
    let anchors = corpus.embeddings.slice(s![..3, ..]).to_owned();
    let columns = MetadataColumns::fit(&["source".to_owned()], &corpus.metadata);
    let of_columns = head(columns.values.len());
    let views = vec![
        View::Document(head(HIDDEN_SIZE)),
        View::Passages(PassagesHead::new(head(HIDDEN_SIZE))),
        View::Words(Box::new(WordsHead::new(vocabulary, fit.head).unwrap())),
        View::Descriptions(DescriptionsHead::new(anchors, vec![0, 1, 1], N_LABELS).unwrap()),
        View::Rules(Rules::new(&labels).unwrap().unwrap()),
        View::Metadata(MetadataHead::new(columns, of_columns).unwrap()),
    ];
    assert_eq!(views.iter().map(View::kind).collect::<Vec<_>>(), ViewKind::ALL, "every kind is here");
    views
}

#[test]
fn logits_are_finite_numbers_that_tell_articles_and_labels_apart() {
    let corpus = Corpus::new();
    for view in views(&corpus) {
        let logits = corpus.logits(&view, 0, N_ARTICLES);
        assert_eq!(logits.dim(), (N_ARTICLES, N_LABELS), "{:?}", view.kind());
        assert!(logits.iter().all(|logit| logit.is_finite()), "{:?}", view.kind());
        assert!(logits.rows().into_iter().any(|row| row != logits.row(0)), "{:?}", view.kind());
        assert!(logits.column(0) != logits.column(1), "{:?}", view.kind());
    }
}

#[test]
fn an_article_is_judged_the_same_in_any_company() {
    let corpus = Corpus::new();
    for view in views(&corpus) {
        let together = corpus.logits(&view, 0, N_ARTICLES);
        for (from, to) in [(0, 1), (3, 9), (5, 6), (29, 30)] {
            let some = corpus.logits(&view, from, to);
            let difference = (&some - &together.slice(s![from..to, ..])).mapv(f64::abs);
            // Products of few rows may be summed in another order.
            assert!(difference.iter().all(|x| *x < 1e-5), "{:?}, {from} to {to}", view.kind());
        }
        assert_eq!(corpus.logits(&view, 4, 4).dim(), (0, N_LABELS), "{:?}", view.kind());
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let corpus = Corpus::new();
    for view in views(&corpus) {
        let logits: Vec<Array2<f64>> = [1, 3]
            .into_iter()
            .map(|n_threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                pool.install(|| corpus.logits(&view, 0, N_ARTICLES))
            })
            .collect();
        assert_eq!(logits[0], logits[1], "{:?}", view.kind());
    }
}

#[test]
fn embeddings_of_another_width_are_an_error() {
    let mut corpus = Corpus::new();
    let views = views(&corpus);
    corpus.embeddings.remove_index(Axis(1), 0);
    corpus.passages.remove_index(Axis(1), 0);
    let texts: Vec<TitledText<'_>> = corpus.texts.iter().map(|text| TitledText::untitled(text)).collect();
    for view in views {
        let features = Features {
            embeddings: corpus.embeddings.view(),
            texts: &texts,
            passages: Some(Bags { passages: corpus.passages.view(), offsets: &corpus.offsets }),
            metadata: &corpus.metadata,
        };
        let looks_at_embeddings = matches!(view, View::Document(_) | View::Passages(_) | View::Descriptions(_));
        assert_eq!(view.logits(features).is_err(), looks_at_embeddings, "{:?}", view.kind());
    }
}
