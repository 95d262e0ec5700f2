//! Text to embedding: a tokenizer, a transformer, pooling.

pub mod arch;
pub mod candle;
pub mod config;
pub mod cpu;
mod encode;
pub mod open;
pub mod pooling;
pub mod source;
pub mod spans;
pub mod static_words;
pub mod store;
pub mod weights;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::kernels::dispatch::{Isa, IsaError};
use crate::text::pack::PackedBatch;
use crate::text::windows::WindowSettings;
use crate::text::{TextError, TextTokenizer, TokenizerSettings};
use arch::{Activation, Architecture, OperationCount};
use candle::{CandleExecutor, DeviceChoice};
use config::{ConfigError, FolderConfig, TailModule};
use cpu::CpuEncoder;
use open::EncoderReference;
use pooling::{PoolingMode, TailStep};
use source::SourceError;
use static_words::StaticWords;
use store::EmbeddingStore;
use weights::{Checkpoint, WeightsError};

/// Runs the transformer: token ids to the last layer's hidden states.
///
/// The seam between the description of a network ([`arch::Architecture`]) and what computes it.
pub trait Executor: Send + Sync {
    /// Hidden states of every token, `[batch.n_tokens(), hidden_size]`, in the order of the batch.
    ///
    /// Every window attends to itself only; a window's result does not depend on its neighbours in the batch beyond rounding.
    ///
    /// # Errors
    /// A token id outside the vocabulary, a window longer than the positions of the network, or a failure of the device.
    fn hidden_states(&self, batch: &PackedBatch) -> Result<Array2<f32>, ExecutorError>;

    /// Tokens of a batch, padding included, where the caller has no opinion.
    fn default_token_budget(&self) -> usize;

    /// What computes, for logs and `inspect`: `cpu f32 avx2`, `candle cuda:0` …
    fn name(&self) -> String;
}

/// Why hidden states could not be computed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecutorError {
    #[error("token id {token_id} is outside the vocabulary of {vocab_size} tokens")]
    TokenOutOfRange { token_id: u32, vocab_size: usize },
    #[error("a window of {n_tokens} tokens is longer than the {max_tokens} positions the encoder has")]
    WindowTooLong { n_tokens: usize, max_tokens: usize },
    #[error("the device failed")]
    Device {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Number format of the encoder's weights and products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    #[default]
    F32,
    Bf16,
    Int8,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExecutorChoice {
    /// [`cpu::CpuEncoder`]: packed windows, every thread a batch of its own.
    #[default]
    Cpu,
    /// [`candle::CandleExecutor`] on a device.
    Candle(DeviceChoice),
}

impl ExecutorChoice {
    /// Every executor there is, and the precisions it has.
    fn build(
        self,
        precision: Precision,
        architecture: &Architecture,
        checkpoint: &mut Checkpoint,
        warnings: &mut Vec<String>,
    ) -> Result<Box<dyn Executor>, EncoderError> {
        match (self, precision) {
            (Self::Cpu, _) => {
                Ok(Box::new(CpuEncoder::open(architecture, precision, Isa::chosen()?, checkpoint, warnings)?))
            }
            (Self::Candle(device), Precision::F32) => {
                let weights = checkpoint.read(|name| architecture.names.is_wanted(name))?;
                Ok(Box::new(CandleExecutor::new(architecture, weights, device.open()?)?))
            }
            (Self::Candle(_), _) => Err(EncoderError::Precision { precision, executor: "candle", supported: "f32" }),
        }
    }
}

/// How much of the encoder a text goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// All layers, then its own pooling.
    #[default]
    Full,
    /// Its word vectors only, see [`static_words`]: some hundred times as fast, and blind to the order of words.
    Static,
}

impl Depth {
    /// Whether nothing is left out.
    pub fn is_full(&self) -> bool {
        *self == Self::Full
    }
}

/// What stands before every text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptChoice {
    /// The encoder's own default prompt, if it has one; nothing at [`Depth::Static`], where its words would dilute those of the text.
    #[default]
    Default,
    /// Nothing.
    None,
    /// One of the encoder's prompts, by name.
    Named(String),
    /// This text.
    Text(String),
}

/// How an encoder is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncoderSettings {
    pub precision: Precision,
    pub executor: ExecutorChoice,
    pub prompt: PromptChoice,
    pub depth: Depth,
}

/// Why an encoder could not be loaded or run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncoderError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Weights(#[from] WeightsError),
    #[error("{0}")]
    Text(#[from] TextError),
    #[error("{0}")]
    Executor(#[from] ExecutorError),
    #[error("precision {precision} is not in this version of the {executor} executor; supported: {supported}")]
    Precision { precision: Precision, executor: &'static str, supported: &'static str },
    #[error("word vectors without the network are looked up on the CPU, not by the {executor} executor")]
    StaticExecutor { executor: &'static str },
    #[error("{what} are not in this build: it lacks the feature `{feature}`")]
    FeatureMissing { what: &'static str, feature: &'static str },
    #[error("the encoder has no prompt `{name}`; it has: {}", known.join(", "))]
    UnknownPrompt { name: String, known: Vec<String> },
    #[error("the encoder leaves the prompt out of pooling, which is not supported: use it without a prompt")]
    PromptNotPooled,
    #[error("{0}")]
    Source(#[from] SourceError),
    #[error("cannot read the files of the encoder in {} again", .folder.display())]
    Fingerprint {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{0}")]
    Isa(#[from] IsaError),
    #[error("interrupted")]
    Interrupted,
}

/// What `encoder inspect` shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EncoderInfo {
    pub model_type: String,
    /// Numbers in all tensors that are used.
    pub n_parameters: usize,
    pub vocab_size: usize,
    pub n_layers: usize,
    pub n_heads: usize,
    /// Width of the transformer.
    pub transformer_hidden_size: usize,
    pub intermediate_size: usize,
    pub activation: Activation,
    /// The longest window possible.
    pub n_positions: usize,
    /// Tokens of a window unless settings say otherwise.
    pub max_tokens: usize,
    pub pooling: Vec<PoolingMode>,
    /// Widths after each dense layer.
    pub dense: Vec<usize>,
    pub normalizes: bool,
    /// Width of an embedding.
    pub hidden_size: usize,
    pub prompts: Vec<(String, String)>,
    pub default_prompt_name: Option<String>,
    /// What stands before every text as this encoder is set.
    pub prompt: String,
    pub executor: String,
    pub precision: Precision,
    #[serde(skip_serializing_if = "Depth::is_full")]
    pub depth: Depth,
    /// What windows cost in matrix products.
    pub operations: OperationCount,
    /// What was not as expected in the folder, though it can be run.
    pub warnings: Vec<String>,
}

/// Token ids to embedding.
enum Network {
    /// All layers, pooling, and the steps after it.
    Transformer {
        executor: Box<dyn Executor>,
        tail: Vec<TailStep>,
    },
    Static(StaticWords),
}

/// Text to embedding.
///
/// Loaded once and shared: all methods take `&self` and may run on several threads.
pub struct Encoder {
    tokenizer: TextTokenizer,
    network: Network,
    info: EncoderInfo,
    reference: Option<EncoderReference>,
    folder: PathBuf,
    fingerprint: OnceLock<String>,
    store: Option<Arc<dyn EmbeddingStore>>,
}

impl Encoder {
    /// Loads an encoder in the format of sentence-transformers from its folder.
    ///
    /// # Errors
    /// A file is missing or malformed, or asks for something that is not supported; the message names it.
    pub fn from_folder(folder: &Path, settings: &EncoderSettings) -> Result<Self, EncoderError> {
        let config = FolderConfig::read(folder)?;
        let encoder = match settings.depth {
            Depth::Full => Self::transformer(config, settings),
            Depth::Static => Self::static_words(config, settings),
        };
        Ok(Self { folder: folder.to_owned(), ..encoder? })
    }

    fn new(tokenizer: TextTokenizer, network: Network, info: EncoderInfo) -> Self {
        let (reference, store) = (None, None);
        Self { tokenizer, network, info, reference, folder: PathBuf::new(), fingerprint: OnceLock::new(), store }
    }

    /// Takes embeddings of articles from a store where it has them, and puts there what it has not.
    pub fn set_store(&mut self, store: Arc<dyn EmbeddingStore>) {
        self.store = Some(store);
    }

    /// Where embeddings are kept, if anywhere.
    pub fn store(&self) -> Option<&dyn EmbeddingStore> {
        self.store.as_deref()
    }

    /// SHA-256 over all files of the encoder, computed once.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub fn fingerprint(&self) -> Result<String, EncoderError> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.clone());
        }
        let found = source::fingerprint::fingerprint(&self.folder)
            .map_err(|source| EncoderError::Fingerprint { folder: self.folder.clone(), source })?;
        Ok(self.fingerprint.get_or_init(|| found).clone())
    }

    fn transformer(config: FolderConfig, settings: &EncoderSettings) -> Result<Self, EncoderError> {
        let tokenizer_settings = tokenizer_settings(&config, &settings.prompt)?;
        let mut architecture = config.architecture;
        let n_positions = architecture.max_tokens();
        let load_tokenizer = || -> Result<(TextTokenizer, usize), TextError> {
            let tokenizer = TextTokenizer::new(&config.tokenizer_json, tokenizer_settings)?;
            tokenizer.check(&WindowSettings::default())?;
            let n_token_ids = tokenizer.n_token_ids();
            Ok((tokenizer, n_token_ids))
        };
        let mut warnings = config.warnings;
        let mut checkpoint = Checkpoint::open(&config.transformer_folder)?;
        architecture.names.prefix = checkpoint.prefix_of(architecture.names.word_embeddings)?;
        let mut n_parameters = checkpoint.n_parameters(|name| architecture.names.is_wanted(name));
        // Each takes some hundredths of a second, which is most of what one article needs.
        let (tokenizer, executor) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(load_tokenizer);
            let executor = settings.executor.build(settings.precision, &architecture, &mut checkpoint, &mut warnings);
            (tokenizer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), executor)
        });
        let (tokenizer, n_token_ids) = tokenizer?;
        let executor = executor?;
        warnings.extend(vocabulary_warning(n_token_ids, architecture.vocab_size));

        let mut hidden_size = architecture.hidden_size * config.pooling.len();
        let (mut tail, mut dense) = (Vec::new(), Vec::new());
        for module in config.tail {
            tail.push(match module {
                TailModule::Normalize => TailStep::Normalize,
                TailModule::Dense { folder, in_features, out_features, bias, activation } => {
                    let mut weights = Checkpoint::open(&folder)?.read(|name| name.starts_with("linear."))?;
                    n_parameters += weights.n_parameters();
                    hidden_size = out_features;
                    dense.push(out_features);
                    let weight = weights.take_matrix("linear.weight", out_features, in_features)?;
                    let bias = if bias { Some(weights.take_vector("linear.bias", out_features)?) } else { None };
                    TailStep::Dense { weight, bias, activation }
                }
            });
        }

        let operations = architecture.operations();
        let info = EncoderInfo {
            n_parameters,
            vocab_size: architecture.vocab_size,
            n_layers: architecture.n_layers,
            n_heads: architecture.n_heads,
            transformer_hidden_size: architecture.hidden_size,
            intermediate_size: architecture.intermediate_size,
            activation: architecture.activation,
            n_positions,
            model_type: architecture.model_type,
            max_tokens: tokenizer.max_tokens(),
            pooling: config.pooling,
            dense,
            normalizes: matches!(tail.last(), Some(TailStep::Normalize)),
            hidden_size,
            prompts: config.prompts,
            default_prompt_name: config.default_prompt_name,
            prompt: tokenizer.prompt().to_owned(),
            executor: executor.name(),
            precision: settings.precision,
            depth: Depth::Full,
            operations,
            warnings,
        };
        Ok(Self::new(tokenizer, Network::Transformer { executor, tail }, info))
    }

    /// Width of an embedding.
    pub fn hidden_size(&self) -> usize {
        self.info.hidden_size
    }

    /// Tokens of a window, special tokens included, unless settings say otherwise.
    pub fn max_tokens(&self) -> usize {
        self.info.max_tokens
    }

    /// The tokenizer, with this encoder's limits and prompt.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
    }

    /// What this encoder is.
    pub fn info(&self) -> &EncoderInfo {
        &self.info
    }
}

fn vocabulary_warning(n_token_ids: usize, vocab_size: usize) -> Option<String> {
    (n_token_ids > vocab_size).then(|| {
        format!(
            "the tokenizer knows {n_token_ids} tokens, the transformer {vocab_size}: texts that hold one of the others fail"
        )
    })
}

fn tokenizer_settings(config: &FolderConfig, prompt: &PromptChoice) -> Result<TokenizerSettings, EncoderError> {
    Ok(TokenizerSettings {
        max_tokens: config.max_tokens,
        n_positions: config.architecture.max_tokens(),
        prompt: choose_prompt(config, prompt)?,
        do_lower_case: config.do_lower_case,
    })
}

fn choose_prompt(config: &FolderConfig, choice: &PromptChoice) -> Result<String, EncoderError> {
    let named = |name: &str| {
        config.prompts.iter().find(|(known, _)| known == name).map(|(_, text)| text.clone()).ok_or_else(|| {
            let known = config.prompts.iter().map(|(name, _)| name.clone()).collect();
            EncoderError::UnknownPrompt { name: name.to_owned(), known }
        })
    };
    let prompt = match choice {
        PromptChoice::None => String::new(),
        PromptChoice::Text(text) => text.clone(),
        PromptChoice::Named(name) => named(name)?,
        PromptChoice::Default => config.default_prompt_name.as_deref().map(named).transpose()?.unwrap_or_default(),
    };
    if config.include_prompt || prompt.is_empty() { Ok(prompt) } else { Err(EncoderError::PromptNotPooled) }
}

#[cfg(test)]
mod tests {
    use super::pooling::WindowPooling;
    use super::spans::PassageSpan;
    use super::*;
    use crate::progress::{Event, Progress, Silent};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    const TINY: &str = "tiny-bert-cls-dense";

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
    }

    fn load(settings: &EncoderSettings) -> Result<Encoder, EncoderError> {
        Encoder::from_folder(&folder(TINY), settings)
    }

    fn with_prompt(prompt: PromptChoice) -> EncoderSettings {
        EncoderSettings { prompt, ..Default::default() }
    }

    #[derive(Default)]
    struct Listener {
        n_items: AtomicU64,
        n_tokens: AtomicU64,
        is_cancelled: AtomicBool,
    }

    impl Progress for Listener {
        fn event(&self, event: Event<'_>) {
            if let Event::Advanced { n_items, n_tokens } = event {
                self.n_items.fetch_add(n_items, Ordering::Relaxed);
                self.n_tokens.fetch_add(n_tokens, Ordering::Relaxed);
            }
        }

        fn is_cancelled(&self) -> bool {
            self.is_cancelled.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn info_tells_what_the_folder_says() {
        let encoder = load(&EncoderSettings::default()).unwrap();
        let info = encoder.info();
        assert_eq!((encoder.hidden_size(), encoder.max_tokens(), info.n_positions), (24, 48, 64));
        assert_eq!((&info.pooling, &info.dense, info.normalizes), (&vec![PoolingMode::Cls], &vec![24], true));
        // Embeddings, their norm, two layers of 4 attention matrices, 2 others and 2 norms, the dense layer.
        let layer = 4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32) + 2 * 64;
        assert_eq!(info.n_parameters, (400 + 64 + 2) * 32 + 64 + 2 * layer + (32 * 24 + 24));
        assert_eq!(info.prompt, "passage: ");
        assert_eq!(info.executor, format!("cpu f32 {}", Isa::chosen().unwrap().name()));
        assert!(info.warnings.is_empty());
        assert_eq!(serde_json::to_value(info).unwrap()["activation"], "gelu");
    }

    #[test]
    fn prompts_are_chosen_by_name_or_given() {
        let prompt = |choice| load(&with_prompt(choice)).map(|encoder| encoder.info().prompt.clone());
        assert_eq!(prompt(PromptChoice::None).unwrap(), "");
        assert_eq!(prompt(PromptChoice::Named("query".to_owned())).unwrap(), "query: ");
        assert_eq!(prompt(PromptChoice::Text("x ".to_owned())).unwrap(), "x ");
        let message = prompt(PromptChoice::Named("title".to_owned())).unwrap_err().to_string();
        assert!(message.contains("no prompt `title`") && message.contains("query"), "{message}");

        let named = load(&with_prompt(PromptChoice::Named("query".to_owned()))).unwrap();
        let none = load(&with_prompt(PromptChoice::None)).unwrap();
        assert_eq!(named.encode(&["peace"]).unwrap(), none.encode(&["query: peace"]).unwrap());
    }

    #[test]
    fn what_this_build_lacks_is_named() {
        for precision in [Precision::Bf16, Precision::Int8] {
            let on_cpu = load(&EncoderSettings { precision, ..Default::default() }).unwrap();
            assert!(on_cpu.info().executor.starts_with(&format!("cpu {precision} ")), "{}", on_cpu.info().executor);
            let executor = ExecutorChoice::Candle(DeviceChoice::Cpu);
            let error = load(&EncoderSettings { precision, executor, ..Default::default() }).err().unwrap().to_string();
            let expected =
                format!("precision {precision} is not in this version of the candle executor; supported: f32");
            assert_eq!(error, expected);
        }
        if cfg!(not(feature = "cuda")) {
            let executor = ExecutorChoice::Candle(DeviceChoice::Cuda(0));
            let error = load(&EncoderSettings { executor, ..Default::default() }).err().unwrap().to_string();
            assert!(error.contains("lacks the feature `cuda`"), "{error}");
        }
    }

    #[test]
    fn order_is_kept_progress_adds_up_and_nothing_is_nothing() {
        let encoder = load(&EncoderSettings::default()).unwrap();
        let windows: Vec<Vec<u32>> = (0..40u32).map(|i| (0..i % 13).map(|j| 5 + i + j).collect()).collect();
        let progress = Listener::default();
        let all = encoder.encode_windows(&windows, Some(30), &progress).unwrap();
        assert_eq!(progress.n_items.into_inner(), 40);
        assert_eq!(progress.n_tokens.into_inner(), windows.iter().map(|window| window.len() as u64).sum::<u64>());
        for (i, window) in windows.iter().enumerate() {
            let alone = encoder.encode_windows(std::slice::from_ref(window), Some(1), &Silent).unwrap();
            let difference = (&alone.row(0) - &all.row(i)).iter().fold(0.0f32, |max, x| max.max(x.abs()));
            assert!(difference < 1e-6, "window {i}: {difference}");
        }
        assert_eq!(encoder.encode(&[]).unwrap().dim(), (0, 24));
    }

    #[test]
    fn windows_combine_to_articles() {
        let encoder = load(&EncoderSettings::default()).unwrap();
        let windows = encoder.encode(&["peace", "war"]).unwrap();
        let article = encoder.combine(windows.view(), &[2], WindowPooling::Mean);
        let norm: f32 = article.iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 1e-6, "normalised like any embedding: {norm}");
    }

    #[test]
    fn impossible_windows_and_interruptions_are_errors() {
        let encoder = load(&EncoderSettings::default()).unwrap();
        let encode = |window: Vec<u32>| encoder.encode_windows(&[vec![1; 3], window], Some(8), &Silent).unwrap_err();
        let error = encode(vec![400]);
        let expected = ExecutorError::TokenOutOfRange { token_id: 400, vocab_size: 400 };
        assert_eq!(error.to_string(), expected.to_string());
        let error = encode(vec![1; 65]);
        assert_eq!(error.to_string(), ExecutorError::WindowTooLong { n_tokens: 65, max_tokens: 64 }.to_string());
        let progress = Listener::default();
        progress.is_cancelled.store(true, Ordering::Relaxed);
        let error = encoder.encode_windows(&[vec![1]], Some(8), &progress).unwrap_err();
        assert!(matches!(error, EncoderError::Interrupted));
    }

    #[test]
    fn a_tokenizer_with_more_tokens_than_the_transformer_is_reported() {
        let copy = tempfile::tempdir().unwrap();
        for part in ["", "1_Pooling"] {
            std::fs::create_dir_all(copy.path().join(part)).unwrap();
            for entry in std::fs::read_dir(folder("tiny-bert-max-f16").join(part)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    std::fs::copy(&path, copy.path().join(part).join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        let path = copy.path().join("tokenizer.json");
        let json = std::fs::read_to_string(&path).unwrap();
        let added = r#""added_tokens": [{"id": 400, "content": "[NEW]", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true},"#;
        std::fs::write(&path, json.replacen(r#""added_tokens": ["#, added, 1)).unwrap();
        let encoder = Encoder::from_folder(copy.path(), &EncoderSettings::default()).unwrap();
        assert!(encoder.info().warnings[0].contains("knows 401 tokens"), "{:?}", encoder.info().warnings);
        assert!(encoder.encode(&["a [NEW] day"]).is_err());
        assert!(encoder.encode(&["a day"]).is_ok());
    }

    #[test]
    fn a_passage_that_is_the_whole_window_is_its_mean() {
        // The other tiny encoder, since this one pools by its first token.
        let encoder = Encoder::from_folder(&folder("tiny-distilbert-mean"), &EncoderSettings::default()).unwrap();
        let windows: Vec<Vec<u32>> = (0..9u32).map(|i| (0..=i + 2).map(|j| 5 + i + j).collect()).collect();
        let span = |passage_idx, tokens| PassageSpan { passage_idx, tokens };
        // Each window's passage is all of it; one more passage has the ends of two windows, and one has nothing.
        let mut spans: Vec<Vec<PassageSpan>> =
            windows.iter().enumerate().map(|(i, w)| vec![span(i, 0..w.len())]).collect();
        spans[3].push(span(9, 3..6));
        spans[4].push(span(9, 4..7));
        let (whole, passages) = encoder.encode_windows_and_passages(&windows, &spans, 11, Some(8), &Silent).unwrap();
        let distance = |a: ndarray::ArrayView1<f32>, b: ndarray::ArrayView1<f32>| {
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        for i in 0..9 {
            assert!(distance(whole.row(i), passages.row(i)) < 1e-6, "window {i}");
        }
        assert!(distance(passages.row(9), passages.row(3)) > 1e-4, "other tokens");
        assert_eq!(encoder.encode_windows(&windows, Some(8), &Silent).unwrap(), whole);
        assert_eq!(passages.dim(), (11, encoder.hidden_size()));
    }
}
