//! Why an article has its labels: passages, words, what each view says, and the training articles most like it.

pub mod highlight;
pub mod html;
#[cfg(test)]
pub mod tests;

use serde::Serialize;

use crate::calibration::sigmoid;
use crate::data::{Article, DataError};
use crate::labels::{LabelId, Task};
use crate::pipeline::evidence::{Evidence, evidence};
use crate::pipeline::{Classifier, PipelineError, embed_stream, titled};
use crate::progress::Silent;
use crate::text::TitledText;
use crate::views::{View, ViewKind};

/// Words named for a label at most, half of them against it.
const MAX_WORDS: usize = 10;

/// Training articles named.
const N_NEIGHBOURS: usize = 3;

/// Why an article has its labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    pub id: String,
    pub title: Option<String>,
    pub text: String,
    /// All labels, most probable first.
    pub labels: Vec<LabelExplanation>,
    /// Training articles with the most similar embeddings, where the model keeps any.
    pub neighbours: Vec<Neighbour>,
}

/// Why an article has a label, or not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelExplanation {
    pub label: String,
    pub probability: f64,
    /// Probability from which it is assigned; none where the most probable label is.
    pub threshold: Option<f64>,
    pub assigned: bool,
    /// What each view says.
    pub votes: Vec<Vote>,
    /// The passages that speak most for it, best first.
    pub evidence: Vec<Evidence>,
    /// The words that pull most, for it first, then against it.
    pub words: Vec<WordPull>,
}

/// What one view says of a label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Vote {
    pub view: ViewKind,
    /// What the view counts in the sum.
    pub weight: f64,
    /// Its calibrated logit: above 0 for, below 0 against a label of a multi-label task.
    pub logit: f64,
    /// The label's probability were this the only view.
    pub probability: f64,
}

/// What a word adds to the sum of all views.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WordPull {
    /// A word or two neighbouring ones, in lower case.
    pub word: String,
    /// Change of the summed logit.
    pub pull: f64,
}

/// A training article.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbour {
    pub id: String,
    pub title: Option<String>,
    pub labels: Vec<String>,
    /// Cosine of the embeddings, −1 to 1.
    pub similarity: f64,
}

impl Explanation {
    /// Keeps the labels that are assigned; where none is, the most probable one.
    pub fn keep_assigned(&mut self) {
        if self.labels.iter().any(|label| label.assigned) {
            self.labels.retain(|label| label.assigned);
        } else {
            self.labels.truncate(1);
        }
    }

    /// Keeps the labels of these names.
    pub fn keep_labels(&mut self, names: &[String]) {
        self.labels.retain(|label| names.contains(&label.label));
    }
}

impl Classifier {
    /// Explains what it says of some articles, in their order.
    ///
    /// # Errors
    /// An article that the encoder refuses.
    pub fn explain(&self, articles: &[Article]) -> Result<Vec<Explanation>, PipelineError> {
        let mut explanations = Vec::with_capacity(articles.len());
        let owned: Vec<Result<Article, DataError>> = articles.iter().cloned().map(Ok).collect();
        embed_stream(&self.encoder, &self.settings_with_passages(), owned, &Silent, |chunk| {
            let texts: Vec<_> = chunk.articles.iter().map(titled).collect();
            let topics = &self.topics;
            let calibrated = self.see(&chunk, |features| topics.calibrated_logits(features))?;
            let predictions = self.predict_chunk(&chunk)?;
            let block = chunk.passages.as_ref().expect("passages were asked for");
            let scores = self.passage_scores(&chunk)?;
            let all: Vec<LabelId> = (0..topics.labels.len()).map(LabelId).collect();
            for (i, (article, prediction)) in chunk.articles.iter().zip(predictions).enumerate() {
                let own = scores.slice(ndarray::s![block.offsets[i]..block.offsets[i + 1], ..]);
                let mut passages = evidence(article, &block.places[i], own, &all);
                let mut labels: Vec<LabelExplanation> = all
                    .iter()
                    .map(|&label| LabelExplanation {
                        label: topics.labels.name(label).to_owned(),
                        probability: prediction.probabilities[label.0],
                        threshold: topics.thresholds.as_ref().map(|thresholds| thresholds.as_slice()[label.0]),
                        assigned: prediction.labels.contains(&label),
                        votes: calibrated
                            .iter()
                            .zip(&topics.views)
                            .zip(topics.stack.weights())
                            .map(|((logits, view), &weight)| Vote {
                                view: view.kind(),
                                weight,
                                logit: logits.row(i)[label.0],
                                probability: alone(topics.calibration.task(), logits.row(i), label),
                            })
                            .collect(),
                        evidence: std::mem::take(&mut passages[label.0]),
                        words: self.words(texts[i], label),
                    })
                    .collect();
                labels.sort_by(|a, b| b.probability.total_cmp(&a.probability));
                let neighbours = self.neighbours.as_ref().map(|known| {
                    let nearest = known.nearest(chunk.embeddings.row(i), N_NEIGHBOURS).into_iter();
                    let named = nearest.map(|(article, similarity)| Neighbour {
                        id: article.id.clone(),
                        title: article.title.clone(),
                        labels: article.labels.clone(),
                        similarity,
                    });
                    named.collect()
                });
                explanations.push(Explanation {
                    id: article.id.clone(),
                    title: article.title.clone(),
                    text: article.text.clone(),
                    labels,
                    neighbours: neighbours.unwrap_or_default(),
                });
            }
            Ok(())
        })?;
        Ok(explanations)
    }

    /// The words of a text that pull most for and against a label.
    fn words(&self, text: TitledText<'_>, label: LabelId) -> Vec<WordPull> {
        let topics = &self.topics;
        let Some(place) = topics.views.iter().position(|view| view.kind() == ViewKind::Words) else {
            return Vec::new();
        };
        let View::Words(words) = &topics.views[place] else { return Vec::new() };
        let slope = topics.stack.calibrations()[place].slope(label.0);
        let factor = topics.stack.weights()[place] * slope;
        let mut pulls: Vec<WordPull> =
            words.pulls(text, label).into_iter().map(|(word, pull)| WordPull { word, pull: factor * pull }).collect();
        pulls.sort_by(|a, b| b.pull.total_cmp(&a.pull).then_with(|| a.word.cmp(&b.word)));
        let n_for = pulls.iter().filter(|word| word.pull > 0.0).count().min(MAX_WORDS / 2);
        let n_against = pulls.iter().filter(|word| word.pull < 0.0).count().min(MAX_WORDS / 2);
        pulls.drain(n_for..pulls.len() - n_against);
        pulls
    }
}

/// A label's probability by the calibrated logits of one view.
fn alone(task: Task, logits: ndarray::ArrayView1<f64>, label: LabelId) -> f64 {
    match task {
        Task::Multi => sigmoid(logits[label.0]),
        Task::Single => {
            let peak = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = logits.iter().map(|logit| (logit - peak).exp()).sum();
            (logits[label.0] - peak).exp() / total
        }
    }
}
