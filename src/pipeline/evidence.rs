//! The passages of an article that carry a label.

use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use super::{Classifier, EmbeddedChunk, PipelineError, TopicHead, titled};
use crate::data::Article;
use crate::heads::multi_instance::Bags;
use crate::labels::LabelId;
use crate::text::TitledText;
use crate::text::article_passages::{ArticlePassages, Field};
use crate::text::passages::char_ranges;
use crate::views::Features;

/// Passages named for one label at most.
pub const MAX_EVIDENCE: usize = 3;

/// From this score on, passages are named beside the best.
const MIN_SCORE: f64 = 0.5;

/// A passage that speaks for a label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// The title only where an article has no text to speak of.
    pub field: Field,
    /// Characters (Unicode scalar values) of that field.
    pub start: usize,
    pub end: usize,
    /// The passage itself.
    pub text: String,
    /// The label's probability were this passage the whole article, 0 to 1.
    pub score: f64,
    /// Bytes of the field.
    #[serde(skip)]
    pub range: Range<usize>,
}

impl TopicHead {
    /// Probability of each label were a passage the whole article, `[n_passages, n_labels]`: all views judge it, but for columns, which are the
    /// article's own.
    ///
    /// # Shapes
    /// * `passages` `[n_passages, hidden_size]`, `texts` their words
    ///
    /// # Errors
    /// [`PipelineError::Head`] when passages are not as wide as those it was fitted to.
    pub fn passage_scores(
        &self,
        passages: ArrayView2<f32>,
        texts: &[TitledText<'_>],
    ) -> Result<Array2<f64>, PipelineError> {
        let n_passages = passages.nrows();
        let offsets: Vec<usize> = (0..=n_passages).collect();
        let n_columns = self.metadata().map_or(0, |view| view.columns().columns.len());
        let metadata = vec![vec![None; n_columns]; n_passages];
        let bags = Bags { passages, offsets: &offsets };
        self.predict_proba(Features { embeddings: passages, texts, passages: Some(bags), metadata: &metadata })
    }
}

impl Classifier {
    /// The same for the passages of a chunk; none where they were not embedded.
    ///
    /// # Errors
    /// As [`TopicHead::passage_scores`].
    pub(crate) fn passage_scores(&self, chunk: &EmbeddedChunk) -> Result<Array2<f64>, PipelineError> {
        let Some(block) = &chunk.passages else { return Ok(Array2::zeros((0, self.topics.labels.len()))) };
        let texts: Vec<TitledText<'_>> = chunk
            .articles
            .iter()
            .zip(&block.places)
            .flat_map(|(article, found)| {
                let text = titled(article);
                (0..found.places.len()).map(move |i| TitledText::untitled(found.words(text, i)))
            })
            .collect();
        self.topics.passage_scores(block.embeddings.view(), &texts)
    }
}

/// The passages that speak most for some labels: for each label the best, and up to two others that would be enough alone.
///
/// # Shapes
/// * `scores` `[n_passages, n_labels]`, of the article's passages in order
///
/// # Panics
/// When scores are fewer than passages, or a label is out of range.
pub fn evidence(
    article: &Article,
    found: &ArticlePassages,
    scores: ArrayView2<f64>,
    labels: &[LabelId],
) -> Vec<Vec<Evidence>> {
    let has_text = found.places.iter().any(|place| place.field == Field::Text);
    let candidates: Vec<usize> =
        (0..found.places.len()).filter(|&i| !has_text || found.places[i].field == Field::Text).collect();
    labels
        .iter()
        .map(|label| {
            let mut ranked = candidates.clone();
            ranked.sort_by(|&a, &b| scores[[b, label.0]].total_cmp(&scores[[a, label.0]]));
            ranked.truncate(MAX_EVIDENCE);
            let named = ranked.iter().enumerate().filter(|&(rank, &i)| rank == 0 || scores[[i, label.0]] >= MIN_SCORE);
            named.map(|(_, &i)| passage(article, found, i, scores[[i, label.0]])).collect()
        })
        .collect()
}

fn passage(article: &Article, found: &ArticlePassages, passage_idx: usize, score: f64) -> Evidence {
    let place = &found.places[passage_idx];
    let field = match place.field {
        Field::Title => article.title.as_deref().unwrap_or_default(),
        Field::Text => &article.text,
    };
    let chars = char_ranges(field, std::slice::from_ref(&place.range)).remove(0);
    Evidence {
        field: place.field,
        start: chars.start,
        end: chars.end,
        text: field[place.range.clone()].to_owned(),
        // As many digits as other probabilities are written with.
        score: (score * 1e6).round() / 1e6,
        range: place.range.clone(),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::text::passages::PassageSettings;

    fn article(text: &str) -> (Article, ArticlePassages) {
        let mut article = Article::new("a", text);
        article.title = Some("Élysée talks".into());
        let found = ArticlePassages::of(
            TitledText { title: article.title.as_deref(), text: &article.text },
            &PassageSettings::default(),
        );
        (article, found)
    }

    #[test]
    fn the_best_passage_of_the_text_comes_first_and_only_sure_ones_follow() {
        let (article, found) =
            article("Ships sail from Odesa again. “Élan” moved prices on Monday morning. It rained all day in Kyiv.");
        assert_eq!(found.places.len(), 4);
        let scores = array![[0.99, 0.1], [0.2, 0.3], [0.8, 0.1], [0.6, 0.2]];
        let found = evidence(&article, &found, scores.view(), &[LabelId(0), LabelId(1)]);
        let shown: Vec<Vec<&str>> = found.iter().map(|own| own.iter().map(|e| e.text.as_str()).collect()).collect();
        let second = "“Élan” moved prices on Monday morning.";
        assert_eq!(shown, [vec![second, "It rained all day in Kyiv."], vec!["Ships sail from Odesa again."]]);
        let best = &found[0][0];
        let by_chars: String = article.text.chars().skip(best.start).take(best.end - best.start).collect();
        assert_eq!((by_chars.as_str(), best.score), (second, 0.8));
    }

    #[test]
    fn a_title_alone_is_better_than_nothing() {
        let (article, found) = article("");
        let found = evidence(&article, &found, array![[0.3]].view(), &[LabelId(0)]);
        assert_eq!((found[0].len(), found[0][0].field), (1, Field::Title));
    }
}
