//! Articles in, embeddings or labels and probabilities out: the one way that every command and every caller takes.
//!
//! * [`adapt`]: a batch from elsewhere judged as a whole
//! * [`embed`]: a stream of articles to embeddings
//! * [`mod@evidence`]: the passages that carry a label
//! * [`neighbours`]: training articles that are most like another
//! * [`review`]: which articles need a person
//! * [`topics`]: embedded articles to labels

pub mod adapt;
pub mod embed;
pub mod evidence;
pub mod neighbours;
pub mod review;
mod stored;
mod titles;
pub mod topics;

use std::sync::Arc;

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

pub use self::embed::{
    EmbedCounts, EmbedSettings, EmbeddedChunk, PassageBlock, PassageEncoding, PassageUse, embed_stream,
};
use self::evidence::evidence;
use self::neighbours::Neighbours;
use self::review::{Doubt, Review};
pub use self::topics::{Prediction, TopicHead};
use crate::calibration::CalibrationError;
use crate::calibration::choice::CalibrationSearch;
use crate::data::{Article, CorrectionRecord, DataError};
use crate::encoder::open::EncoderReference;
use crate::encoder::{Encoder, EncoderError};
use crate::heads::HeadError;
use crate::labels::LabelSet;
use crate::progress::{Progress, Silent};
use crate::report::EvaluationReport;
use crate::scope::{Cutoff, Scope, ScopeError};
use crate::text::TitledText;
use crate::views::Features;
use crate::views::metadata::{Values, values_of};

/// Why articles could not be embedded or classified.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PipelineError {
    #[error("{0}")]
    Data(#[from] DataError),
    #[error("{0}")]
    Encoder(#[source] EncoderError),
    #[error("{0}")]
    Head(#[from] HeadError),
    #[error("{0}")]
    Calibration(#[from] CalibrationError),
    #[error(
        "the model does not remember where its training logits lay, which a shift of scale is measured by; train it again"
    )]
    NoMoments,
    #[error(
        "the model was trained without labelled articles, so it knows no frequencies that a batch could differ from"
    )]
    NoFrequencies,
    #[error(
        "the model does not know what its training articles are like, so it cannot tell what is unlike them; train it again, with more articles"
    )]
    NoScope,
    #[error("cannot tell what is unlike the training articles")]
    Scope(#[from] ScopeError),
    #[error("the weight of titles is {found}, expected a number from 0 to 1")]
    TitleWeight { found: f64 },
    #[error("interrupted")]
    Interrupted,
    /// The receiver of the results failed; the work stopped there.
    #[error("{0}")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<EncoderError> for PipelineError {
    fn from(error: EncoderError) -> Self {
        match error {
            EncoderError::Interrupted => PipelineError::Interrupted,
            other => PipelineError::Encoder(other),
        }
    }
}

/// Title and text of an article.
pub(crate) fn titled(article: &Article) -> TitledText<'_> {
    TitledText { title: article.title.as_deref(), text: &article.text }
}

/// How a classifier was made.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingRecord {
    pub program_version: String,
    pub encoder: EncoderReference,
    /// The settings of the run by the names of the command line, for whoever wants to repeat it; empty when there was no command line.
    pub settings: Map<String, Value>,
    pub data: DataRecord,
    /// Strength `C` of the document view's logistic regression.
    pub strength: f64,
    /// Strength `C` of the words view, where there is one.
    pub words_strength: Option<f64>,
    /// `None` where there were too few articles for it.
    pub cross_validation: Option<CrossValidation>,
}

/// What it was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// Articles known to have no label.
    pub n_without_labels: u64,
    /// Articles of each label, in the order of the label set.
    pub support: Vec<usize>,
    /// SHA-256 over ids, titles, texts and labels in input order.
    pub sha256: String,
    /// Corrections that were applied to the articles before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrections: Option<CorrectionRecord>,
    #[serde(flatten)]
    pub counts: EmbedCounts,
}

/// What cross-validation found: how good the classifier is on articles it was not fitted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    pub n_folds: usize,
    /// Every strength `C` that was tried, with the mean log-loss on held-out articles.
    pub log_loss_of_strengths: Vec<(f64, f64)>,
    /// Which calibration was chosen, and from which; models of older programs do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationSearch>,
    pub report: EvaluationReport,
}

/// From where on articles are left to a person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Abstention {
    /// Share of articles like those trained on that are left to a person too.
    pub rate: f64,
    pub cutoff: Cutoff,
}

/// A trained topic classifier: an encoder and what was learned on its embeddings.
///
/// Read-only and shared: one per process serves any number of threads.
#[derive(Clone)]
pub struct Classifier {
    pub encoder: Arc<Encoder>,
    pub settings: EmbedSettings,
    pub topics: TopicHead,
    /// Training articles, where they are kept.
    pub neighbours: Option<Neighbours>,
    /// How unlike those an article is, where enough were held out to tell.
    pub scope: Option<Scope>,
    /// From where on an article is left to a person because it is unlike them; not saved.
    pub abstention: Option<Abstention>,
    /// How it was made; saved with it.
    pub record: TrainingRecord,
}

impl Classifier {
    /// The topics it knows.
    pub fn labels(&self) -> &LabelSet {
        &self.topics.labels
    }

    /// Whether it says which articles need a person.
    pub fn reviews(&self) -> bool {
        self.topics.contract.is_some() || self.abstention.is_some()
    }

    /// From now on leaves articles to a person that are unlike the training articles. Of articles like them a share of `rate` is
    /// taken for unlike too.
    ///
    /// # Errors
    /// [`PipelineError::NoScope`]; a rate that is not between 0 and 1, or too small for the number of training articles.
    pub fn abstain(&mut self, rate: f64) -> Result<(), PipelineError> {
        let scope = self.scope.as_ref().ok_or(PipelineError::NoScope)?;
        self.abstention = Some(Abstention { rate, cutoff: scope.reference().cutoff(rate)? });
        Ok(())
    }

    /// Takes the labels from articles that are unlike the training articles, where that was asked for; they become candidates.
    ///
    /// `embeddings` `[predictions.len(), hidden_size]`
    fn leave_unlike(&self, embeddings: ArrayView2<f32>, predictions: &mut [Prediction]) -> Result<(), PipelineError> {
        let (Some(abstention), Some(scope)) = (&self.abstention, &self.scope) else { return Ok(()) };
        for (score, prediction) in scope.scores(embeddings)?.into_iter().zip(predictions) {
            let review = prediction.review.get_or_insert_default();
            if abstention.cutoff.is_foreign(score) {
                let mut candidates = std::mem::take(&mut prediction.labels);
                candidates.append(&mut review.candidates);
                let doubt = Doubt::OutOfScope { share: scope.reference().p_value(score), limit: abstention.rate };
                *review = Review { candidates, doubts: vec![doubt] };
            }
        }
        Ok(())
    }

    /// Labels and probabilities of some articles, in their order.
    ///
    /// # Errors
    /// An article that the encoder refuses.
    pub fn predict(&self, articles: &[Article]) -> Result<Vec<Prediction>, PipelineError> {
        let mut predictions = Vec::with_capacity(articles.len());
        let owned: Vec<Result<Article, DataError>> = articles.iter().cloned().map(Ok).collect();
        self.predict_stream(owned, &Silent, |_, chunk| {
            predictions.extend(chunk);
            Ok(())
        })?;
        Ok(predictions)
    }

    /// Labels and probabilities of a stream of articles, handed on in order; memory does not grow with the stream.
    ///
    /// # Errors
    /// As [`embed_stream`].
    pub fn predict_stream<I>(
        &self,
        articles: I,
        progress: &dyn Progress,
        mut sink: impl FnMut(Vec<Article>, Vec<Prediction>) -> Result<(), PipelineError>,
    ) -> Result<EmbedCounts, PipelineError>
    where
        I: IntoIterator<Item = Result<Article, DataError>>,
        I::IntoIter: Send + 'static,
    {
        embed_stream(&self.encoder, &self.settings, articles, progress, |chunk| {
            let predictions = self.predict_chunk(&chunk)?;
            sink(chunk.articles, predictions)
        })
    }

    /// The same, with the passages that carry the labels. Costs their embedding where the classifier has no view of passages.
    ///
    /// # Errors
    /// As [`embed_stream`].
    pub fn predict_stream_with_evidence<I>(
        &self,
        articles: I,
        progress: &dyn Progress,
        mut sink: impl FnMut(Vec<Article>, Vec<Prediction>) -> Result<(), PipelineError>,
    ) -> Result<EmbedCounts, PipelineError>
    where
        I: IntoIterator<Item = Result<Article, DataError>>,
        I::IntoIter: Send + 'static,
    {
        embed_stream(&self.encoder, &self.settings_with_passages(), articles, progress, |chunk| {
            let mut predictions = self.predict_chunk(&chunk)?;
            if let Some(block) = &chunk.passages {
                let scores = self.passage_scores(&chunk)?;
                for (i, (article, prediction)) in chunk.articles.iter().zip(&mut predictions).enumerate() {
                    let own = scores.slice(ndarray::s![block.offsets[i]..block.offsets[i + 1], ..]);
                    prediction.evidence = evidence(article, &block.places[i], own, &prediction.labels);
                }
            }
            sink(chunk.articles, predictions)
        })
    }

    /// Its settings, with passages whether or not they are a view.
    pub fn settings_with_passages(&self) -> EmbedSettings {
        let passages = self.settings.passages.clone().unwrap_or_default();
        EmbedSettings { passages: Some(passages), ..self.settings.clone() }
    }

    /// Labels and probabilities of articles that are embedded.
    ///
    /// # Errors
    /// [`PipelineError::Head`] where the embeddings are of another encoder.
    pub fn predict_chunk(&self, chunk: &EmbeddedChunk) -> Result<Vec<Prediction>, PipelineError> {
        let mut predictions = self.see(chunk, |features| self.topics.predict(features))?;
        self.leave_unlike(chunk.embeddings.view(), &mut predictions)?;
        Ok(predictions)
    }

    /// What its views look at.
    pub(crate) fn see<T>(&self, chunk: &EmbeddedChunk, look: impl FnOnce(Features<'_>) -> T) -> T {
        let texts: Vec<_> = chunk.articles.iter().map(titled).collect();
        let metadata: Vec<Values> = match self.topics.metadata() {
            None => Vec::new(),
            Some(view) => {
                let columns = &view.columns().columns;
                chunk.articles.iter().map(|article| values_of(columns, &article.extra)).collect()
            }
        };
        // Passages that were embedded for evidence alone must not change what is said.
        let passages = chunk.passages.as_ref().filter(|_| self.settings.passages.is_some());
        look(Features {
            embeddings: chunk.embeddings.view(),
            texts: &texts,
            passages: passages.map(PassageBlock::bags),
            metadata: &metadata,
        })
    }
}
