//! How fast encoders are on this machine and these articles: the way of `embed`, timed, beside what the machine could reach.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, concatenate};
use serde::Serialize;

use crate::data::Article;
use crate::encoder::cpu::format_of;
use crate::encoder::{Encoder, EncoderError};
use crate::kernels::ceiling::operations_per_second;
use crate::kernels::dispatch::Isa;
use crate::pipeline::{EmbedCounts, EmbedSettings, PipelineError, embed_stream};
use crate::progress::Progress;
use crate::text::TitledText;

/// How long the ceiling is measured, before the rounds and again after them: long enough for the clock of the CPU to settle.
const CEILING_DURATION: Duration = Duration::from_millis(200);

/// Articles whose tokens are kept at a time while tokenising alone is timed.
const TOKENIZED_ARTICLES: usize = 4096;

/// How the measuring is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThroughputSettings {
    /// Timed rounds, after one that warms up; at least 1.
    pub n_rounds: usize,
    /// The instructions whose ceiling is measured: those that run the encoders. `None` where something else runs them.
    pub isa: Option<Isa>,
}

/// Median and range of several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The mean of the two in the middle where their number is even.
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of some numbers, in any order.
    ///
    /// # Panics
    /// When there are none.
    ///
    /// ```
    /// use topicwire::throughput::Spread;
    /// assert_eq!(Spread::of(vec![3.0, 1.0, 9.0, 2.0]), Spread { median: 2.5, min: 1.0, max: 9.0 });
    /// ```
    pub fn of(mut numbers: Vec<f64>) -> Self {
        assert!(!numbers.is_empty(), "no number has no median");
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len() - 1;
        let median = (numbers[last / 2] + numbers[last.div_ceil(2)]) / 2.0;
        Self { median, min: numbers[0], max: numbers[last] }
    }
}

/// How alike two encoders' embeddings of the same articles are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Mean cosine.
    pub mean: f64,
    /// Cosine of the article on which they differ most.
    pub min: f64,
}

impl Agreement {
    /// Cosine row by row; 0 where either row has no length.
    ///
    /// # Panics
    /// When the shapes differ or there is no row.
    pub fn of(a: ArrayView2<f32>, b: ArrayView2<f32>) -> Self {
        assert!(a.dim() == b.dim() && a.nrows() > 0, "{:?} and {:?} cannot be compared", a.dim(), b.dim());
        let cosines: Vec<f64> = a.rows().into_iter().zip(b.rows()).map(|(a, b)| cosine(a, b)).collect();
        let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
        Self { mean, min: cosines.into_iter().fold(f64::INFINITY, f64::min) }
    }
}

fn cosine(a: ArrayView1<f32>, b: ArrayView1<f32>) -> f64 {
    let dot = |x: &ArrayView1<f32>, y: &ArrayView1<f32>| -> f64 {
        x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
    };
    let norms = (dot(&a, &a) * dot(&b, &b)).sqrt();
    if norms > 0.0 { dot(&a, &b) / norms } else { 0.0 }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// What one round embeds.
    pub counts: EmbedCounts,
    /// Threads that worked.
    pub n_threads: usize,
    /// Tokens that one thread makes out of text in a second, when it does nothing else.
    pub tokenize_tokens_per_s: Spread,
    /// One for each encoder, in their order.
    pub encoders: Vec<Throughput>,
}

/// How fast one encoder was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throughput {
    /// From article to embedding.
    pub articles_per_s: Spread,
    pub tokens_per_s: Spread,
    /// Share of a round, in the median, that tokenising alone would take.
    pub tokenize_share: f64,
    /// What all threads together could reach in products of the encoder's precision, in operations per second.
    pub ceiling: Option<f64>,
    /// Operations per second in the median round, see [`OperationCount`](crate::encoder::arch::OperationCount), over the ceiling.
    pub ceiling_share: Option<f64>,
    /// Agreement with the first encoder; `None` for the first itself.
    pub agreement: Option<Agreement>,
}

/// Times every encoder on the articles, in turn in each round, on the threads of the current rayon pool.
///
/// A round is [`embed_stream`] from first to last article, with tokenising. The ceiling is the larger of what
/// [`operations_per_second`] gives on all threads at the same time before the rounds and after them: an idle moment of a shared machine
/// counts.
///
/// # Errors
/// As [`embed_stream`].
///
/// # Panics
/// When there is no encoder, no article or no round.
pub fn measure(
    encoders: &[Encoder],
    embed: &EmbedSettings,
    articles: Vec<Article>,
    settings: &ThroughputSettings,
    progress: &dyn Progress,
) -> Result<Measurement, PipelineError> {
    assert!(!encoders.is_empty() && !articles.is_empty() && settings.n_rounds > 0, "there is something to measure");
    let articles = Arc::new(articles);
    let mut counts = EmbedCounts::default();
    let mut first_embeddings: Option<Array2<f32>> = None;
    let mut agreements = Vec::with_capacity(encoders.len());
    // Warms up, and tells what there is to compare.
    for encoder in encoders {
        let mut chunks = Vec::new();
        counts = embed_stream(encoder, embed, shared(&articles), progress, |chunk| {
            if encoders.len() > 1 {
                chunks.push(chunk.embeddings);
            }
            Ok(())
        })?;
        let views: Vec<_> = chunks.iter().map(|chunk: &Array2<f32>| chunk.view()).collect();
        let embeddings = (!views.is_empty()).then(|| concatenate(Axis(0), &views).expect("all rows have one width"));
        agreements
            .push(first_embeddings.as_ref().zip(embeddings.as_ref()).map(|(a, b)| Agreement::of(a.view(), b.view())));
        first_embeddings = first_embeddings.or(embeddings);
    }
    drop(first_embeddings);

    let mut ceilings = ceilings(encoders, settings.isa);
    let mut tokenize_seconds = Vec::with_capacity(settings.n_rounds);
    let mut seconds = vec![Vec::with_capacity(settings.n_rounds); encoders.len()];
    let mut lengths = Vec::new();
    for _ in 0..settings.n_rounds {
        let elapsed;
        (elapsed, lengths) = tokenize(&encoders[0], embed, &articles)?;
        tokenize_seconds.push(elapsed);
        for (encoder, seconds) in encoders.iter().zip(&mut seconds) {
            let start = Instant::now();
            embed_stream(encoder, embed, shared(&articles), progress, |_| Ok(()))?;
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    for (before, after) in ceilings.iter_mut().zip(self::ceilings(encoders, settings.isa)) {
        *before = before.zip(after).map(|(before, after)| before.max(after));
    }

    let n_threads = rayon::current_num_threads();
    let rates = |n: f64, seconds: &[f64]| Spread::of(seconds.iter().map(|seconds| n / seconds).collect());
    let tokenize_median = Spread::of(tokenize_seconds.clone()).median;
    let throughput = |(encoder_idx, agreement): (usize, Option<Agreement>)| {
        let (seconds, ceiling) = (&seconds[encoder_idx], ceilings[encoder_idx]);
        let median = Spread::of(seconds.clone()).median;
        let operations = encoders[encoder_idx].info().operations;
        let n_operations: u64 = lengths.iter().map(|&n_tokens| operations.of_window(n_tokens)).sum();
        Throughput {
            articles_per_s: rates(counts.n_articles as f64, seconds),
            tokens_per_s: rates(counts.n_tokens as f64, seconds),
            tokenize_share: tokenize_median / median,
            ceiling,
            ceiling_share: ceiling.map(|ceiling| n_operations as f64 / median / ceiling),
            agreement,
        }
    };
    Ok(Measurement {
        counts,
        n_threads,
        tokenize_tokens_per_s: rates(counts.n_tokens as f64 / n_threads as f64, &tokenize_seconds),
        encoders: agreements.into_iter().enumerate().map(throughput).collect(),
    })
}

/// The articles as a reader would give them, one copy at a time.
fn shared(
    articles: &Arc<Vec<Article>>,
) -> impl Iterator<Item = Result<Article, crate::data::DataError>> + Send + 'static {
    let articles = Arc::clone(articles);
    (0..articles.len()).map(move |article_idx| Ok(articles[article_idx].clone()))
}

/// Seconds that it takes to turn all articles into tokens, and the number of tokens of each window.
fn tokenize(
    encoder: &Encoder,
    embed: &EmbedSettings,
    articles: &[Article],
) -> Result<(f64, Vec<usize>), PipelineError> {
    let (mut seconds, mut lengths) = (0.0, Vec::new());
    for some in articles.chunks(TOKENIZED_ARTICLES) {
        let texts: Vec<TitledText<'_>> =
            some.iter().map(|article| TitledText { title: article.title.as_deref(), text: &article.text }).collect();
        let start = Instant::now();
        let tokenized = encoder.tokenizer().tokenize(&texts, &embed.windows).map_err(EncoderError::from)?;
        seconds += start.elapsed().as_secs_f64();
        lengths.extend(tokenized.iter().flat_map(|article| &article.windows).map(Vec::len));
    }
    Ok((seconds, lengths))
}

/// For each encoder what all threads could reach together.
fn ceilings(encoders: &[Encoder], isa: Option<Isa>) -> Vec<Option<f64>> {
    let of = |encoder: &Encoder, isa| {
        let format = format_of(encoder.info().precision);
        rayon::broadcast(|_| operations_per_second(isa, format, CEILING_DURATION)).into_iter().sum()
    };
    encoders.iter().map(|encoder| isa.map(|isa| of(encoder, isa))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::{EncoderSettings, Precision};
    use crate::progress::Silent;
    use ndarray::array;
    use std::path::Path;

    #[test]
    fn spreads_know_the_middle() {
        assert_eq!(Spread::of(vec![4.0]), Spread { median: 4.0, min: 4.0, max: 4.0 });
        assert_eq!(Spread::of(vec![5.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 5.0 });
    }

    #[test]
    fn cosines_are_those_of_the_rows() {
        let a = array![[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]];
        let b = array![[6.0, 8.0], [3.0, 4.0], [1.0, 0.0]];
        let agreement = Agreement::of(a.view(), b.view());
        assert!((agreement.mean - 1.6 / 3.0).abs() < 1e-12, "{agreement:?}");
        assert_eq!(agreement.min, 0.0);
    }

    #[test]
    fn every_encoder_is_measured_on_the_same_articles() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-bert-cls-dense");
        let open = |precision| Encoder::from_folder(&folder, &EncoderSettings { precision, ..Default::default() });
        let encoders = [open(Precision::F32).unwrap(), open(Precision::F32).unwrap(), open(Precision::Int8).unwrap()];
        let article = |i: usize| Article {
            id: i.to_string(),
            title: None,
            text: "peace talks ".repeat(i + 1),
            labels: None,
            extra: Default::default(),
        };
        let settings = ThroughputSettings { n_rounds: 2, isa: Some(Isa::best()) };
        let embed = EmbedSettings::default();
        let measured = measure(&encoders, &embed, (0..70).map(article).collect(), &settings, &Silent).unwrap();
        assert_eq!(measured.counts.n_articles, 70);
        assert!(measured.counts.n_windows > 70 && measured.counts.n_tokens > measured.counts.n_windows);
        let [first, second, third] = &measured.encoders[..] else { panic!("three encoders") };
        assert_eq!(first.agreement, None);
        assert!(second.agreement.unwrap().min > 1.0 - 1e-6, "the same encoder twice: {second:?}");
        assert!((0.9..1.0).contains(&third.agreement.unwrap().min), "{third:?}");
        for encoder in &measured.encoders {
            assert!(encoder.ceiling.unwrap() > 1e6 && encoder.ceiling_share.unwrap() > 0.0, "{encoder:?}");
            let (articles, tokens) = (encoder.articles_per_s, encoder.tokens_per_s);
            assert!(articles.min <= articles.median && articles.median <= articles.max, "{encoder:?}");
            let tokens_per_article = measured.counts.n_tokens as f64 / 70.0;
            assert!((tokens.max / articles.max / tokens_per_article - 1.0).abs() < 1e-9, "{encoder:?}");
        }
        let without = ThroughputSettings { n_rounds: 1, isa: None };
        let measured = measure(&encoders[..1], &embed, vec![article(3)], &without, &Silent).unwrap();
        assert_eq!((measured.encoders[0].ceiling, measured.encoders[0].ceiling_share), (None, None));
    }
}
