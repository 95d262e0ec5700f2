//! Whether evidence is what it says: does an article lose a label without its passage, and is the passage about the label?

use ndarray::ArrayView1;
use rand::RngExt;
use serde::Serialize;

use crate::data::{Article, DataError};
use crate::labels::LabelId;
use crate::pipeline::{Classifier, PipelineError, embed_stream};
use crate::progress::Progress;
use crate::rng::generator;
use crate::text::article_passages::{Field, PassagePlace};

/// How far evidence is to be trusted, over labels that were assigned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EvidenceReport {
    /// Right labels of articles whose paragraphs are labelled, with the label in one of them at least.
    pub n_in_paragraphs: usize,
    /// Share of these whose best passage lies in a paragraph of the label.
    pub in_right_paragraph: Option<f64>,
    /// Share of these that a passage drawn at random would get right.
    pub by_chance: Option<f64>,
    /// Assigned labels of articles with two passages or more.
    pub n_left_out: usize,
    /// How much the label's probability falls, on average, when its best passage is left out.
    pub drop_without_evidence: Option<f64>,
    /// The same for another passage of the article, drawn at random.
    pub drop_without_another: Option<f64>,
}

/// A label that an article was given.
struct Trial {
    label: LabelId,
    probability: f64,
}

impl Classifier {
    /// Checks the evidence of its labels on articles: against labels of paragraphs in the column `paragraph_labels` where an article has it,
    /// and by leaving passages out. Encodes each article again twice for every label it is given.
    ///
    /// # Errors
    /// As [`embed_stream`].
    pub fn check_evidence(
        &self,
        articles: &[Article],
        paragraph_labels: &str,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<EvidenceReport, PipelineError> {
        let mut rng = generator(seed, "evidence");
        let mut report = EvidenceReport::default();
        let (mut n_right, mut chances) = (0usize, 0.0);
        let (mut trials, mut shortened) = (Vec::new(), Vec::new());
        let owned: Vec<Result<Article, DataError>> = articles.iter().cloned().map(Ok).collect();
        embed_stream(&self.encoder, &self.settings_with_passages(), owned, progress, |chunk| {
            let predictions = self.predict_chunk(&chunk)?;
            let block = chunk.passages.as_ref().expect("passages were asked for");
            let scores = self.passage_scores(&chunk)?;
            for (i, (article, prediction)) in chunk.articles.iter().zip(predictions).enumerate() {
                let first = block.offsets[i];
                let places: Vec<(usize, &PassagePlace)> =
                    block.places[i].places.iter().enumerate().filter(|(_, place)| place.field == Field::Text).collect();
                for &label in &prediction.labels {
                    let of_label = scores.column(label.0);
                    let Some(best) = best_of(&places, of_label, first) else { continue };
                    let name = self.topics.labels.name(label);
                    // Only of labels that are right: what a paragraph says of a wrong one is no measure.
                    if let Some(right) = right_paragraphs(article, name, paragraph_labels) {
                        let is_right = |place: &PassagePlace| right.contains(&place.paragraph_idx);
                        report.n_in_paragraphs += 1;
                        n_right += usize::from(is_right(places[best].1));
                        let n = places.iter().filter(|(_, place)| is_right(place)).count();
                        chances += n as f64 / places.len() as f64;
                    }
                    if places.len() > 1 {
                        // Any but the best.
                        let other = (best + 1 + rng.random_range(0..places.len() - 1)) % places.len();
                        trials.push(Trial { label, probability: prediction.probabilities[label.0] });
                        shortened.extend([best, other].map(|left_out| Ok(without(article, places[left_out].1))));
                    }
                }
            }
            Ok(())
        })?;

        let mut drops = [0.0, 0.0];
        let mut n_seen = 0;
        self.predict_stream(shortened, progress, |_, predictions| {
            for prediction in predictions {
                let trial = &trials[n_seen / 2];
                drops[n_seen % 2] += trial.probability - prediction.probabilities[trial.label.0];
                n_seen += 1;
            }
            Ok(())
        })?;
        let mean = |sum: f64, n: usize| (n > 0).then(|| sum / n as f64);
        report.n_left_out = trials.len();
        report.in_right_paragraph = mean(n_right as f64, report.n_in_paragraphs);
        report.by_chance = mean(chances, report.n_in_paragraphs);
        report.drop_without_evidence = mean(drops[0], trials.len());
        report.drop_without_another = mean(drops[1], trials.len());
        Ok(report)
    }
}

/// Which of the places has the largest score, of equals the first.
fn best_of(places: &[(usize, &PassagePlace)], scores: ArrayView1<f64>, first: usize) -> Option<usize> {
    let score = |i: usize| scores[first + places[i].0];
    (0..places.len()).reduce(|best, i| if score(i) > score(best) { i } else { best })
}

/// Paragraphs that have the label; `None` where nobody said, or none has.
fn right_paragraphs(article: &Article, label: &str, column: &str) -> Option<Vec<usize>> {
    let paragraphs = article.extra.get(column)?.as_array()?;
    let has = |names: &serde_json::Value| names.as_array().is_some_and(|names| names.iter().any(|name| name == label));
    let right: Vec<usize> = (0..paragraphs.len()).filter(|&i| has(&paragraphs[i])).collect();
    (!right.is_empty()).then_some(right)
}

/// The article without a passage of its text.
fn without(article: &Article, place: &PassagePlace) -> Article {
    let text = [&article.text[..place.range.start], &article.text[place.range.end..]].concat();
    Article { text, ..article.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paragraphs_of_a_label_are_found() {
        let mut article = Article::new("a", "text");
        assert_eq!(right_paragraphs(&article, "war", "gold"), None);
        article.extra.insert("gold".into(), json!([["trade"], ["war", "trade"], [], ["war"]]));
        assert_eq!(right_paragraphs(&article, "war", "gold"), Some(vec![1, 3]));
        assert_eq!(right_paragraphs(&article, "sport", "gold"), None);
    }

    #[test]
    fn a_passage_is_left_out_of_the_text() {
        let article = Article::new("a", "One. Two. Three.");
        let place = PassagePlace { field: Field::Text, range: 5..9, paragraph_idx: 0 };
        assert_eq!(without(&article, &place).text, "One.  Three.");
    }
}
