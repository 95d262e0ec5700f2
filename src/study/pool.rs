//! Labelled articles as studies need them: embedded once, with their labels and, where asked for, the words and a column.

use ndarray::Array2;
use rand::seq::SliceRandom;

use super::StudyError;
use crate::data::{Article, DataError, collect_targets};
use crate::encoder::Encoder;
use crate::labels::{LabelSet, Targets, Task};
use crate::pipeline::{EmbedSettings, PipelineError, embed_stream, titled};
use crate::progress::{Event, Progress};
use crate::report::slices::SliceColumn;
use crate::rng::generator;

/// Labelled articles, embedded. Some of them may be set apart to test on.
#[derive(Clone, Debug)]
pub struct Pool {
    pub ids: Vec<String>,
    /// `[n_articles, hidden_size]`
    pub embeddings: Array2<f32>,
    /// Title and text; empty where no view of words is wanted.
    pub texts: Vec<String>,
    pub targets: Targets,
    pub labels: LabelSet,
    /// Values of the column that was asked for.
    pub column: Vec<String>,
    /// Articles from this one on are set apart to test on.
    pub n_train: usize,
}

impl Pool {
    /// Articles to learn from.
    pub fn train_rows(&self) -> Vec<usize> {
        (0..self.n_train).collect()
    }

    /// Articles set apart, none where nothing was.
    pub fn test_rows(&self) -> Vec<usize> {
        (self.n_train..self.ids.len()).collect()
    }

    /// Texts of some articles; as many empty lists as there are without texts.
    pub(super) fn texts_of(&self, rows: &[usize]) -> Vec<String> {
        if self.texts.is_empty() { Vec::new() } else { rows.iter().map(|&row| self.texts[row].clone()).collect() }
    }

    /// Rows in an order of which every beginning has the labels in about the shares of all: nested, stratified samples.
    ///
    /// The articles of each (the rarest) label are shuffled and spread evenly over the order, each at a random place within its stride.
    pub(super) fn stratified_order(&self, rows: &[usize], seed: u64, purpose: &str) -> Vec<usize> {
        use rand::RngExt;
        let mut rng = generator(seed, purpose);
        let mut of_group: Vec<Vec<usize>> = vec![Vec::new(); self.labels.len() + 1];
        let support = self.targets.select(rows).support(self.labels.len());
        for &row in rows {
            let rarest = self.targets.row(row).iter().map(|label| label.0).min_by_key(|&label| support[label]);
            of_group[rarest.unwrap_or(self.labels.len())].push(row);
        }
        let mut placed: Vec<(f64, usize)> = Vec::with_capacity(rows.len());
        for mut group in of_group {
            group.shuffle(&mut rng);
            let n = group.len() as f64;
            placed.extend(group.into_iter().enumerate().map(|(i, row)| ((i as f64 + rng.random::<f64>()) / n, row)));
        }
        placed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        placed.into_iter().map(|(_, row)| row).collect()
    }
}

/// What is kept of articles while they are embedded.
pub struct PoolBuilder<'a> {
    encoder: &'a Encoder,
    settings: EmbedSettings,
    keeps_texts: bool,
    column: Option<SliceColumn>,
    ids: Vec<String>,
    labels: Vec<Option<Vec<String>>>,
    rows: Vec<f32>,
    texts: Vec<String>,
    n_train: Option<usize>,
}

impl<'a> PoolBuilder<'a> {
    /// `column`: one whose values are kept.
    pub fn new(encoder: &'a Encoder, settings: EmbedSettings, keeps_texts: bool, column: Option<&str>) -> Self {
        Self {
            encoder,
            settings: EmbedSettings { passages: None, ..settings },
            keeps_texts,
            column: column.map(SliceColumn::new),
            ids: Vec::new(),
            labels: Vec::new(),
            rows: Vec::new(),
            texts: Vec::new(),
            n_train: None,
        }
    }

    /// Embeds articles; gives their number.
    ///
    /// # Errors
    /// The first error of the stream; a column that is no single value; [`StudyError::Interrupted`].
    pub fn add<I>(&mut self, articles: I, progress: &dyn Progress) -> Result<u64, StudyError>
    where
        I: IntoIterator<Item = Result<Article, DataError>>,
        I::IntoIter: Send + 'static,
    {
        let Self { encoder, settings, keeps_texts, column, ids, labels, rows, texts, .. } = self;
        progress.event(Event::Started { stage: "encoding", total: None });
        let counts = embed_stream(encoder, settings, articles, progress, |chunk| {
            rows.extend(chunk.embeddings.iter());
            for article in chunk.articles {
                if let Some(column) = column {
                    column.add(&article).map_err(|error| PipelineError::Sink(Box::new(error)))?;
                }
                if *keeps_texts {
                    texts.push(titled(&article).joined().into_owned());
                }
                ids.push(article.id);
                labels.push(article.labels);
            }
            Ok(())
        });
        progress.event(Event::Finished);
        Ok(counts?.n_articles)
    }

    /// What comes after this is to test on.
    pub fn test_from_here(&mut self) {
        self.n_train = Some(self.ids.len());
    }

    /// The pool; labels are those that occur.
    ///
    /// # Errors
    /// [`StudyError::Targets`]; [`StudyError::Column`] when no article has the column.
    pub fn finish(self, task: Option<Task>) -> Result<Pool, StudyError> {
        let known = self.ids.iter().zip(&self.labels).map(|(id, labels)| (id.as_str(), labels.as_deref()));
        let resolved = collect_targets(known, None, task)?;
        let shape = (self.ids.len(), self.encoder.hidden_size());
        Ok(Pool {
            n_train: self.n_train.unwrap_or(self.ids.len()),
            embeddings: Array2::from_shape_vec(shape, self.rows).expect("every article has one embedding"),
            texts: self.texts,
            targets: resolved.targets,
            labels: resolved.labels,
            column: self.column.map(SliceColumn::finish).transpose()?.unwrap_or_default(),
            ids: self.ids,
        })
    }
}

/// A pool for tests: two directions, one for each label, and noise.
#[cfg(test)]
pub(super) fn sample(n: usize, n_labels: usize, noise: f32, n_test: usize) -> Pool {
    use rand::RngExt;

    use crate::labels::LabelId;
    let mut rng = generator(5, "study test");
    let labels: Vec<LabelId> = (0..n + n_test).map(|i| LabelId(i % n_labels)).collect();
    let embeddings = Array2::from_shape_fn((n + n_test, 8), |(i, k)| {
        f32::from(u8::from(labels[i].0 == k)) + noise * (rng.random::<f32>() - 0.5)
    });
    Pool {
        ids: (0..n + n_test).map(|i| format!("a{i}")).collect(),
        embeddings,
        texts: Vec::new(),
        targets: Targets::Single(labels),
        labels: LabelSet::from_names((0..n_labels).map(|k| format!("label {k}"))).expect("names differ"),
        column: (0..n + n_test).map(|i| format!("2024-{:02}-{:02}", 1 + i / 28 % 12, 1 + i % 28)).collect(),
        n_train: n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_of_an_order_has_the_labels_in_their_shares() {
        let pool = sample(120, 3, 1.0, 0);
        let order = pool.stratified_order(&pool.train_rows(), 1, "test");
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, pool.train_rows());
        for n in [12, 30, 60] {
            let support = pool.targets.select(&order[..n]).support(3);
            assert!(support.iter().all(|&found| found.abs_diff(n / 3) <= 2), "{support:?} of {n}");
        }
        assert_ne!(order, pool.stratified_order(&pool.train_rows(), 2, "test"));
    }
}
