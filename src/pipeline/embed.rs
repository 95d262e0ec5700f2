//! A stream of articles to their embeddings, and those of their passages.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::stored::{Shelf, StoredArticle};
use super::titles::Titles;
use super::{PipelineError, titled};
use crate::data::{Article, DataError};
use crate::encoder::pooling::WindowPooling;
use crate::encoder::spans::PassageSpan;
use crate::encoder::store::Key;
use crate::encoder::{Encoder, EncoderError};
use crate::heads::multi_instance::Bags;
use crate::progress::{Event, Progress, Quiet};
use crate::text::article_passages::ArticlePassages;
use crate::text::passages::PassageSettings;
use crate::text::windows::WindowSettings;
use crate::text::{TitledText, Tokenized};

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
    /// Share of the title's own embedding in that of an article that has a title, from 0 to 1: `(1 − w) · e(title + text) + w · e(title)`, brought
    /// to unit length where the encoder does so. `None` is 0 and saves the pass of the titles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title_weight: Option<f64>,
    /// Whether and how passages are embedded beside the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passages: Option<PassageUse>,
    /// Tokens of a batch, padding included; the executor's best where `None`.
    #[serde(skip)]
    pub batch_tokens: Option<usize>,
}

/// How passages of an article are found and embedded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PassageUse {
    pub encoding: PassageEncoding,
    pub settings: PassageSettings,
}

/// Where the embedding of a passage comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassageEncoding {
    /// The mean state of its tokens in the article's own windows.
    #[default]
    Late,
    /// A pass of its own, as if it were an article: about twice the work.
    Separate,
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
    /// Passages that were embedded.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_passages: u64,
    /// Articles with more passages than are used.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_capped: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Articles with their embeddings, `[articles.len(), hidden_size]`.
pub struct EmbeddedChunk {
    pub articles: Vec<Article>,
    pub embeddings: Array2<f32>,
    /// Where passages are wanted.
    pub passages: Option<PassageBlock>,
}

/// The passages of some articles, one after the other.
#[derive(Clone, Debug, Default)]
pub struct PassageBlock {
    /// `[n_passages, hidden_size]`
    pub embeddings: Array2<f32>,
    /// Article `i` has the passages from `offsets[i]` to `offsets[i + 1]`.
    pub offsets: Vec<usize>,
    /// Of each article.
    pub places: Vec<ArticlePassages>,
}

impl PassageBlock {
    /// What views look at.
    pub fn bags(&self) -> Bags<'_> {
        Bags { passages: self.embeddings.view(), offsets: &self.offsets }
    }
}

/// Embeds a stream of articles and hands them on in order, chunk by chunk.
///
/// A thread of its own reads ahead; while one chunk is in the encoder the next is tokenised. At most four chunks are in memory, so memory does not grow with the
/// stream. Work runs on the current rayon pool; the embeddings do not depend on its size, nor, beyond rounding, on how articles fall
/// into chunks.
///
/// # Errors
/// The first error of the stream, after everything before it was handed on; an error of the encoder or of `sink`; a title weight out of
/// range; [`PipelineError::Interrupted`].
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
    let titles = Titles::open(encoder, settings)?;
    let titles = titles.as_ref();
    // What the whole articles are does not depend on the weight of their titles.
    let settings = &EmbedSettings { title_weight: None, ..settings.clone() };
    let shelf = Shelf::open(encoder, settings)?;
    let shelf = shelf.as_ref();
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
            || {
                let encode = |chunk| encode_chunk(encoder, settings, shelf, titles, chunk, &mut counts, progress);
                pending.take().map(encode).transpose()
            },
            || next.map(|chunk| tokenize_chunk(encoder, settings, shelf, chunk, progress)).transpose(),
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
    /// Of all articles, where passages are wanted.
    places: Option<Vec<ArticlePassages>>,
    /// What the store knows of each article; nothing without a store.
    known: Vec<Option<StoredArticle>>,
    /// Names of the articles in the store.
    keys: Vec<Key>,
    fresh: TokenizedArticles,
    end: Option<DataError>,
}

/// Tokens of the articles that go through the encoder.
pub(super) struct TokenizedArticles {
    /// Windows of all of them.
    windows: Vec<Vec<u32>>,
    /// Of each article.
    n_windows: Vec<usize>,
    was_cut: Vec<bool>,
    passages: Option<PassageTokens>,
    /// Of each article.
    n_passages: Vec<usize>,
}

enum PassageTokens {
    /// Those of each window of the articles.
    Spans(Vec<Vec<PassageSpan>>),
    /// Windows of all passages, and how many each has.
    Windows { windows: Vec<Vec<u32>>, n_windows: Vec<usize> },
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

fn tokenize_chunk(
    encoder: &Encoder,
    settings: &EmbedSettings,
    shelf: Option<&Shelf<'_>>,
    chunk: RawChunk,
    progress: &dyn Progress,
) -> Result<TokenizedChunk, PipelineError> {
    let RawChunk { articles, end } = chunk;
    let texts: Vec<TitledText<'_>> = articles.iter().map(titled).collect();
    let places: Option<Vec<ArticlePassages>> = settings
        .passages
        .as_ref()
        .map(|wanted| texts.par_iter().map(|&text| ArticlePassages::of(text, &wanted.settings)).collect());
    let (keys, known) = match shelf {
        None => (Vec::new(), vec![None; articles.len()]),
        Some(shelf) => {
            let n_passages = |i: usize| places.as_ref().map_or(0, |places| places[i].places.len());
            let n_passages: Vec<usize> = (0..articles.len()).map(n_passages).collect();
            let keys = shelf.keys(&texts);
            let known = shelf.get(&keys, &n_passages, progress);
            (keys, known)
        }
    };
    let is_fresh = |i: &usize| known[*i].is_none();
    let fresh_texts: Vec<TitledText<'_>> = (0..texts.len()).filter(is_fresh).map(|i| texts[i]).collect();
    let fresh_places: Vec<&ArticlePassages> =
        places.iter().flatten().enumerate().filter(|(i, _)| is_fresh(i)).map(|(_, found)| found).collect();
    let fresh = tokenize_articles(encoder, settings, &fresh_texts, &fresh_places)?;
    Ok(TokenizedChunk { articles, places, known, keys, fresh, end })
}

pub(super) fn tokenize_articles(
    encoder: &Encoder,
    settings: &EmbedSettings,
    texts: &[TitledText<'_>],
    places: &[&ArticlePassages],
) -> Result<TokenizedArticles, PipelineError> {
    let tokenizer = encoder.tokenizer();
    let encoding = settings.passages.as_ref().map(|wanted| wanted.encoding);
    let tokenized = match encoding {
        Some(PassageEncoding::Late) => tokenizer.tokenize_located(texts, &settings.windows),
        None | Some(PassageEncoding::Separate) => tokenizer.tokenize(texts, &settings.windows),
    };
    let tokenized = tokenized.map_err(EncoderError::from)?;
    let passages = match encoding {
        None => None,
        Some(PassageEncoding::Late) => {
            Some(PassageTokens::Spans(window_spans(texts, places, &tokenized, tokenizer.prompt())))
        }
        Some(PassageEncoding::Separate) => {
            let words: Vec<TitledText<'_>> = texts
                .iter()
                .zip(places)
                .flat_map(|(&text, found)| {
                    (0..found.places.len()).map(move |i| TitledText::untitled(found.words(text, i)))
                })
                .collect();
            let own = tokenizer.tokenize(&words, &settings.windows).map_err(EncoderError::from)?;
            let n_windows = own.iter().map(|passage| passage.windows.len()).collect();
            let windows = own.into_iter().flat_map(|passage| passage.windows).collect();
            Some(PassageTokens::Windows { windows, n_windows })
        }
    };
    Ok(TokenizedArticles {
        n_windows: tokenized.iter().map(|article| article.windows.len()).collect(),
        was_cut: tokenized.iter().map(|article| article.was_cut).collect(),
        windows: tokenized.into_iter().flat_map(|article| article.windows).collect(),
        passages,
        n_passages: match encoding {
            None => vec![0; texts.len()],
            Some(_) => places.iter().map(|found| found.places.len()).collect(),
        },
    })
}

/// The passages of each window, counted over all articles.
fn window_spans(
    texts: &[TitledText<'_>],
    places: &[&ArticlePassages],
    tokenized: &[Tokenized],
    prompt: &str,
) -> Vec<Vec<PassageSpan>> {
    let mut n_before = 0;
    let mut spans = Vec::new();
    for ((&text, found), article) in texts.iter().zip(places).zip(tokenized) {
        for window in &article.places {
            let own = found.spans(text, prompt, window).into_iter().enumerate();
            let own = own.filter(|(_, tokens)| !tokens.is_empty());
            spans.push(own.map(|(i, tokens)| PassageSpan { passage_idx: n_before + i, tokens }).collect());
        }
        n_before += found.places.len();
    }
    spans
}

fn encode_chunk(
    encoder: &Encoder,
    settings: &EmbedSettings,
    shelf: Option<&Shelf<'_>>,
    titles: Option<&Titles<'_>>,
    chunk: TokenizedChunk,
    counts: &mut EmbedCounts,
    progress: &dyn Progress,
) -> Result<(EmbeddedChunk, Option<DataError>), PipelineError> {
    let TokenizedChunk { articles, places, known, keys, fresh, end } = chunk;
    let fresh = encode_articles(encoder, settings, fresh, progress)?;
    if let Some(shelf) = shelf {
        let new_keys: Vec<Key> =
            keys.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(key, _)| *key).collect();
        shelf.put(&new_keys, &fresh, progress);
        let n_items = known.iter().flatten().map(|article| u64::from(article.n_windows)).sum();
        progress.event(Event::Advanced { n_items, n_tokens: 0 });
    }
    let mut fresh = fresh.into_iter();
    let encoded: Vec<StoredArticle> = known
        .into_iter()
        .map(|known| known.unwrap_or_else(|| fresh.next().expect("what is not known was encoded")))
        .collect();
    for article in &encoded {
        counts.n_articles += 1;
        counts.n_windows += u64::from(article.n_all_windows);
        counts.n_tokens += u64::from(article.n_tokens);
        counts.n_long += u64::from(article.n_windows > 1);
        counts.n_cut += u64::from(article.was_cut);
    }
    let hidden_size = encoder.hidden_size();
    let rows = |of: fn(&StoredArticle) -> &[f32]| {
        let numbers: Vec<f32> = encoded.iter().flat_map(|article| of(article).iter().copied()).collect();
        Array2::from_shape_vec((numbers.len() / hidden_size, hidden_size), numbers).expect("whole rows")
    };
    let mut embeddings = rows(|article| &article.embedding);
    if let Some(titles) = titles {
        titles.mix_into(&mut embeddings, &articles, counts, progress)?;
    }
    let passages = places.map(|places| {
        let mut offsets = vec![0];
        offsets.extend(places.iter().scan(0, |sum, found| {
            *sum += found.places.len();
            Some(*sum)
        }));
        counts.n_passages += offsets[articles.len()] as u64;
        counts.n_capped += places.iter().filter(|found| found.was_cut).count() as u64;
        PassageBlock { embeddings: rows(|article| &article.passages), offsets, places }
    });
    Ok((EmbeddedChunk { articles, embeddings, passages }, end))
}

pub(super) fn encode_articles(
    encoder: &Encoder,
    settings: &EmbedSettings,
    articles: TokenizedArticles,
    progress: &dyn Progress,
) -> Result<Vec<StoredArticle>, PipelineError> {
    let TokenizedArticles { windows, n_windows, was_cut, passages, n_passages } = articles;
    let budget = settings.batch_tokens;
    // Windows of their own that passages have, and tokens in them, of each passage.
    let mut own_costs: Vec<(usize, usize)> = Vec::new();
    let (embedded, of_passages) = match passages {
        None => (encoder.encode_windows(&windows, budget, progress)?, Array2::zeros((0, encoder.hidden_size()))),
        Some(PassageTokens::Spans(spans)) => {
            let n_passages = n_passages.iter().sum();
            encoder.encode_windows_and_passages(&windows, &spans, n_passages, budget, progress)?
        }
        Some(PassageTokens::Windows { windows: own, n_windows: n_own }) => {
            let mut left = own.iter();
            own_costs = n_own.iter().map(|&n| (n, left.by_ref().take(n).map(Vec::len).sum())).collect();
            let embedded = encoder.encode_windows(&windows, budget, progress)?;
            // Their windows are no articles, which is what progress counts.
            let own = encoder.encode_windows(&own, budget, &Quiet(progress))?;
            (embedded, encoder.combine(own.view(), &n_own, settings.window_pooling))
        }
    };
    let embeddings = encoder.combine(embedded.view(), &n_windows, settings.window_pooling);
    let (mut windows, mut rows, mut own_costs) = (windows.iter(), of_passages.rows().into_iter(), own_costs.iter());
    let encoded = embeddings.rows().into_iter().enumerate().map(|(i, embedding)| {
        let n_tokens: usize = windows.by_ref().take(n_windows[i]).map(Vec::len).sum();
        let own = own_costs.by_ref().take(n_passages[i]).fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1));
        StoredArticle {
            embedding: embedding.to_vec(),
            passages: rows.by_ref().take(n_passages[i]).flatten().copied().collect(),
            n_windows: n_windows[i] as u32,
            n_all_windows: (n_windows[i] + own.0) as u32,
            n_tokens: (n_tokens + own.1) as u32,
            was_cut: was_cut[i],
        }
    });
    Ok(encoded.collect())
}
