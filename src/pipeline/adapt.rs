//! A batch of articles from elsewhere, judged as a whole: without any label of theirs, how frequent labels are among them, and where their
//! logits lie.

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use serde::{Deserialize, Serialize};

use super::evidence::evidence;
use super::{Classifier, EmbedCounts, PipelineError, Prediction, TopicHead, embed_stream};
use crate::calibration::restandardise::DEFAULT_STRENGTH;
use crate::calibration::shift::{LabelShift, ShiftSettings};
use crate::data::{Article, DataError};
use crate::progress::Progress;

/// What is put right; [`crate::calibration::shift`] says what each assumes, when it harms, and what it brought on nine batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriorShift {
    /// How frequent labels are: the same publisher, other news.
    Frequencies,
    /// Place and width of each view's logits: another publisher, much the same topics.
    Standardise,
    /// The second, then the first.
    Both,
}

/// A batch judged as a whole.
pub struct AdaptedBatch {
    /// In their order, without their texts.
    pub articles: Vec<Article>,
    pub predictions: Vec<Prediction>,
    /// What would be said of each article alone.
    pub plain: Vec<Prediction>,
    /// The frequencies found, where they were looked for.
    pub frequencies: Option<LabelShift>,
    pub counts: EmbedCounts,
}

impl AdaptedBatch {
    /// Articles that have other labels than they would alone.
    pub fn n_changed(&self) -> usize {
        let sorted = |prediction: &Prediction| {
            let mut labels = prediction.labels.clone();
            labels.sort();
            labels
        };
        self.predictions.iter().zip(&self.plain).filter(|(a, b)| sorted(a) != sorted(b)).count()
    }
}

impl TopicHead {
    /// Probabilities `[n_articles, n_labels]` of a batch from what each view says of it ([`TopicHead::calibrated_logits`]).
    ///
    /// `training_shares`: of each label, the share of training articles that have it.
    ///
    /// # Errors
    /// [`PipelineError::Calibration`], and [`PipelineError::NoMoments`] when logits are to be moved, but the classifier does not
    /// remember those of its training.
    pub fn adapt(
        &self,
        calibrated: &[Array2<f64>],
        training_shares: &[f64],
        shift: PriorShift,
    ) -> Result<(Array2<f64>, Option<LabelShift>), PipelineError> {
        let moved: Vec<Array2<f64>> = match shift {
            PriorShift::Frequencies => calibrated.to_vec(),
            PriorShift::Standardise | PriorShift::Both => {
                if self.moments.len() != calibrated.len() {
                    return Err(PipelineError::NoMoments);
                }
                let moved = self.moments.iter().zip(calibrated);
                moved
                    .map(|(moments, logits)| moments.apply(logits.view(), DEFAULT_STRENGTH))
                    .collect::<Result<_, _>>()?
            }
        };
        let probabilities = self.probabilities_of(&moved)?;
        if shift == PriorShift::Standardise {
            return Ok((probabilities, None));
        }
        let found = LabelShift::estimate(probabilities.view(), training_shares, self.task(), ShiftSettings::default())?;
        Ok((found.apply(probabilities.view())?, Some(found)))
    }
}

impl Classifier {
    /// Judges all articles of a stream together. Holds all but their texts in memory.
    ///
    /// # Errors
    /// As [`embed_stream`] and [`TopicHead::adapt`]; [`PipelineError::NoFrequencies`].
    pub fn predict_adapted<I>(
        &self,
        articles: I,
        shift: PriorShift,
        with_evidence: bool,
        progress: &dyn Progress,
    ) -> Result<AdaptedBatch, PipelineError>
    where
        I: IntoIterator<Item = Result<Article, DataError>>,
        I::IntoIter: Send + 'static,
    {
        if shift != PriorShift::Standardise && self.record.data.counts.n_articles == 0 {
            return Err(PipelineError::NoFrequencies);
        }
        let settings = if with_evidence { self.settings_with_passages() } else { self.settings.clone() };
        let topics = &self.topics;
        let n_labels = topics.labels.len();
        let mut kept: Vec<Article> = Vec::new();
        let mut parts: Vec<Vec<Array2<f64>>> = vec![Vec::new(); topics.views.len()];
        let mut passages = Vec::new();
        let mut embeddings: Vec<Array2<f32>> = Vec::new();
        let counts = embed_stream(&self.encoder, &settings, articles, progress, |chunk| {
            let calibrated = self.see(&chunk, |features| topics.calibrated_logits(features))?;
            parts.iter_mut().zip(calibrated).for_each(|(parts, logits)| parts.push(logits));
            if let Some(block) = chunk.passages.as_ref().filter(|_| with_evidence) {
                let scores = self.passage_scores(&chunk)?;
                let all: Vec<_> = topics.labels.iter().map(|(id, _)| id).collect();
                for (i, article) in chunk.articles.iter().enumerate() {
                    let own = scores.slice(ndarray::s![block.offsets[i]..block.offsets[i + 1], ..]);
                    passages.push(evidence(article, &block.places[i], own, &all));
                }
            }
            if self.abstention.is_some() {
                embeddings.push(chunk.embeddings);
            }
            kept.extend(chunk.articles.into_iter().map(|article| Article { text: String::new(), ..article }));
            Ok(())
        })?;
        let whole = |parts: &Vec<Array2<f64>>| {
            let views: Vec<ArrayView2<f64>> = parts.iter().map(|part| part.view()).collect();
            match views.is_empty() {
                true => Array2::zeros((0, n_labels)),
                false => concatenate(Axis(0), &views).expect("all have a column for each label"),
            }
        };
        let calibrated: Vec<Array2<f64>> = parts.iter().map(whole).collect();
        let plain = topics.decide(topics.probabilities_of(&calibrated)?.view())?;
        // Without any nothing is asked of the shares, as was checked.
        let n_articles = self.record.data.counts.n_articles.max(1) as f64;
        let training_shares: Vec<f64> = self.record.data.support.iter().map(|&n| n as f64 / n_articles).collect();
        let (probabilities, frequencies) = topics.adapt(&calibrated, &training_shares, shift)?;
        let mut predictions = topics.decide(probabilities.view())?;
        let embeddings: Vec<ArrayView2<f32>> = embeddings.iter().map(|part| part.view()).collect();
        if !embeddings.is_empty() {
            let embeddings = concatenate(Axis(0), &embeddings).expect("all have the encoder's columns");
            self.leave_unlike(embeddings.view(), &mut predictions)?;
        }
        for (prediction, mut own) in predictions.iter_mut().zip(passages) {
            prediction.evidence = prediction.labels.iter().map(|label| std::mem::take(&mut own[label.0])).collect();
        }
        Ok(AdaptedBatch { articles: kept, predictions, plain, frequencies, counts })
    }
}
