//! Articles in, embeddings or labels and probabilities out: the one way that every command and every caller takes.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::calibration::thresholds::{Thresholds, decide};
use crate::calibration::{Calibration, CalibrationError};
use crate::data::{Article, DataError};
use crate::encoder::open::EncoderReference;
use crate::encoder::pooling::WindowPooling;
use crate::encoder::{Encoder, EncoderError};
use crate::heads::{HeadError, LinearHead};
use crate::labels::{LabelId, LabelSet, Task};
use crate::progress::{Progress, Silent};
use crate::report::EvaluationReport;
use crate::text::windows::WindowSettings;
use crate::text::{TitledText, Tokenized};
use crate::views::stack::Stack;
use crate::views::words::WordsHead;
use crate::views::{Features, View};

/// Articles of the first chunk. Small, so that the first rows of an endless stream come out at once.
const FIRST_CHUNK_ARTICLES: usize = 64;
/// Articles of a chunk once the stream runs: enough windows of every length for batches without much padding.
const MAX_CHUNK_ARTICLES: usize = 4096;
/// Bytes of text of a chunk; together with the number of articles this bounds memory, however long the input is.
const MAX_CHUNK_BYTES: usize = 8 << 20;
/// How often a wait for input looks whether the work was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// How articles become embeddings, beside the encoder itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbedSettings {
    pub windows: WindowSettings,
    /// How several windows of an article become one embedding.
    pub window_pooling: WindowPooling,
    /// Tokens of a batch, padding included; the executor's best where `None`.
    #[serde(skip)]
    pub batch_tokens: Option<usize>,
}

/// What happened to the articles on the way to their embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbedCounts {
    pub n_articles: u64,
    pub n_windows: u64,
    /// Tokens that went through the encoder, special tokens and overlaps included.
    pub n_tokens: u64,
    /// Articles with more than one window.
    pub n_long: u64,
    /// Articles of which some part is in no window.
    pub n_cut: u64,
}

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

/// Articles with their embeddings, `[articles.len(), hidden_size]`.
pub struct EmbeddedChunk {
    pub articles: Vec<Article>,
    pub embeddings: Array2<f32>,
}

/// Embeds a stream of articles and hands them on in order, chunk by chunk.
///
/// A thread of its own reads ahead; while one chunk is in the encoder the next is tokenised. At most four chunks are in memory, so memory does not grow with the
/// stream. Work runs on the current rayon pool; the embeddings do not depend on its size, nor, beyond rounding, on how articles fall
/// into chunks.
///
/// # Errors
/// The first error of the stream, after everything before it was handed on; an error of the encoder or of `sink`;
/// [`PipelineError::Interrupted`].
pub fn embed_stream<I>(
    encoder: &Encoder,
    settings: &EmbedSettings,
    articles: I,
    progress: &dyn Progress,
    mut sink: impl FnMut(EmbeddedChunk) -> Result<(), PipelineError>,
) -> Result<EmbedCounts, PipelineError>
where
    I: IntoIterator<Item = Result<Article, DataError>>,
    I::IntoIter: Send + 'static,
{
    let receiver = read_ahead(articles.into_iter());
    let mut counts = EmbedCounts::default();
    let mut pending: Option<TokenizedChunk> = None;
    loop {
        let next = match pending {
            // The next chunk only if it is there already: a slow stream must not hold back results.
            Some(_) => receiver.try_recv().ok(),
            None => wait_for(&receiver, progress)?,
        };
        if pending.is_none() && next.is_none() {
            return Ok(counts);
        }
        let (embedded, tokenized) = rayon::join(
            || pending.take().map(|chunk| encode_chunk(encoder, settings, chunk, &mut counts, progress)).transpose(),
            || next.map(|chunk| tokenize_chunk(encoder, settings, chunk)).transpose(),
        );
        if let Some((chunk, end)) = embedded? {
            if !chunk.articles.is_empty() {
                sink(chunk)?;
            }
            if let Some(error) = end {
                return Err(error.into());
            }
        }
        pending = tokenized?;
    }
}

/// Articles as they were read, and the error that ended the reading.
struct RawChunk {
    articles: Vec<Article>,
    end: Option<DataError>,
}

struct TokenizedChunk {
    articles: Vec<Article>,
    tokenized: Vec<Tokenized>,
    end: Option<DataError>,
}

/// Reads chunks on a thread of its own. The thread ends with the stream, or at the next chunk when nobody listens any more.
fn read_ahead<I>(mut articles: I) -> mpsc::Receiver<RawChunk>
where
    I: Iterator<Item = Result<Article, DataError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut n_wanted = FIRST_CHUNK_ARTICLES;
        loop {
            let mut chunk = RawChunk { articles: Vec::with_capacity(n_wanted), end: None };
            let mut n_bytes = 0;
            let mut is_over = false;
            while chunk.articles.len() < n_wanted && n_bytes < MAX_CHUNK_BYTES {
                match articles.next() {
                    Some(Ok(article)) => {
                        n_bytes += article.text.len();
                        chunk.articles.push(article);
                    }
                    Some(Err(error)) => {
                        chunk.end = Some(error);
                        is_over = true;
                        break;
                    }
                    None => {
                        is_over = true;
                        break;
                    }
                }
            }
            let is_worth_sending = !chunk.articles.is_empty() || chunk.end.is_some();
            if is_worth_sending && sender.send(chunk).is_err() || is_over {
                return;
            }
            n_wanted = (n_wanted * 2).min(MAX_CHUNK_ARTICLES);
        }
    });
    receiver
}

/// The next chunk, `None` at the end of the stream.
fn wait_for(receiver: &mpsc::Receiver<RawChunk>, progress: &dyn Progress) -> Result<Option<RawChunk>, PipelineError> {
    loop {
        match receiver.recv_timeout(CANCEL_POLL) {
            Ok(chunk) => return Ok(Some(chunk)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if progress.is_cancelled() => return Err(PipelineError::Interrupted),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Title and text of an article.
pub(crate) fn titled(article: &Article) -> TitledText<'_> {
    TitledText { title: article.title.as_deref(), text: &article.text }
}

fn tokenize_chunk(
    encoder: &Encoder,
    settings: &EmbedSettings,
    chunk: RawChunk,
) -> Result<TokenizedChunk, PipelineError> {
    let texts: Vec<TitledText<'_>> = chunk.articles.iter().map(titled).collect();
    let tokenized = encoder.tokenizer().tokenize(&texts, &settings.windows).map_err(EncoderError::from)?;
    Ok(TokenizedChunk { articles: chunk.articles, tokenized, end: chunk.end })
}

fn encode_chunk(
    encoder: &Encoder,
    settings: &EmbedSettings,
    chunk: TokenizedChunk,
    counts: &mut EmbedCounts,
    progress: &dyn Progress,
) -> Result<(EmbeddedChunk, Option<DataError>), PipelineError> {
    let TokenizedChunk { articles, tokenized, end } = chunk;
    let n_windows: Vec<usize> = tokenized.iter().map(|article| article.windows.len()).collect();
    counts.n_articles += articles.len() as u64;
    counts.n_long += n_windows.iter().filter(|&&n| n > 1).count() as u64;
    counts.n_cut += tokenized.iter().filter(|article| article.was_cut).count() as u64;
    let windows: Vec<Vec<u32>> = tokenized.into_iter().flat_map(|article| article.windows).collect();
    counts.n_windows += windows.len() as u64;
    counts.n_tokens += windows.iter().map(|window| window.len() as u64).sum::<u64>();
    let embedded = encoder.encode_windows(&windows, settings.batch_tokens, progress)?;
    let embeddings = encoder.combine(embedded.view(), &n_windows, settings.window_pooling);
    Ok((EmbeddedChunk { articles, embeddings }, end))
}

/// What a classifier says about one article.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The assigned labels, most probable first; one for `single`, any number for `multi`.
    pub labels: Vec<LabelId>,
    /// A calibrated probability for every label, in the order of the label set; for `single` they add up to 1.
    pub probabilities: Vec<f64>,
}

/// What turns an embedded article into labels: everything learned, nothing of the encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicHead {
    pub labels: LabelSet,
    /// At least one; that of the document comes first.
    pub views: Vec<View>,
    /// The views' logits put together.
    pub stack: Stack,
    pub calibration: Calibration,
    /// Per label; `None` for `single`, where the most probable label is taken.
    pub thresholds: Option<Thresholds>,
}

impl TopicHead {
    /// Which kind of task it was fitted for.
    pub fn task(&self) -> Task {
        self.calibration.task()
    }

    /// The view of the document.
    ///
    /// # Panics
    /// When there is none.
    pub fn document(&self) -> &LinearHead {
        let document = self.views.iter().find_map(|view| match view {
            View::Document(head) => Some(head),
            View::Words(_) => None,
        });
        document.expect("every classifier has this view")
    }

    /// The view of the words, where there is one.
    pub fn words(&self) -> Option<&WordsHead> {
        self.views.iter().find_map(|view| match view {
            View::Words(words) => Some(&**words),
            View::Document(_) => None,
        })
    }

    /// Calibrated probabilities, `[n_articles, n_labels]`.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`].
    pub fn predict_proba(&self, features: Features<'_>) -> Result<Array2<f64>, PipelineError> {
        let logits = self.views.iter().map(|view| view.logits(features)).collect::<Result<Vec<_>, _>>()?;
        let logits: Vec<_> = logits.iter().map(|logits| logits.view()).collect();
        Ok(self.calibration.probabilities(self.stack.logits(&logits)?.view())?)
    }

    /// Labels and probabilities of each article.
    ///
    /// # Errors
    /// [`HeadError::HiddenSize`].
    pub fn predict(&self, features: Features<'_>) -> Result<Vec<Prediction>, PipelineError> {
        let probabilities = self.predict_proba(features)?;
        let decisions = decide(probabilities.view(), self.thresholds.as_ref())?;
        Ok(probabilities
            .rows()
            .into_iter()
            .zip(decisions.rows())
            .map(|(probabilities, decisions)| {
                let mut labels: Vec<LabelId> = (0..decisions.len()).filter(|&k| decisions[k]).map(LabelId).collect();
                labels.sort_by(|a, b| probabilities[b.0].total_cmp(&probabilities[a.0]));
                Prediction { labels, probabilities: probabilities.to_vec() }
            })
            .collect())
    }
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
    #[serde(flatten)]
    pub counts: EmbedCounts,
}

/// What cross-validation found: how good the classifier is on articles it was not fitted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    pub n_folds: usize,
    /// Every strength `C` that was tried, with the mean log-loss on held-out articles.
    pub log_loss_of_strengths: Vec<(f64, f64)>,
    pub report: EvaluationReport,
}

/// A trained topic classifier: an encoder and what was learned on its embeddings.
///
/// Read-only and shared: one per process serves any number of threads.
#[derive(Clone)]
pub struct Classifier {
    pub encoder: Arc<Encoder>,
    pub settings: EmbedSettings,
    pub topics: TopicHead,
    /// How it was made; saved with it.
    pub record: TrainingRecord,
}

impl Classifier {
    /// The topics it knows.
    pub fn labels(&self) -> &LabelSet {
        &self.topics.labels
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
            let texts: Vec<_> = chunk.articles.iter().map(titled).collect();
            let predictions = self.topics.predict(Features { embeddings: chunk.embeddings.view(), texts: &texts })?;
            sink(chunk.articles, predictions)
        })
    }
}
