//! Word vectors without a network: a window's embedding is the weighted mean of its tokens' rows in the encoder's own table.
//!
//! A token weighs `k / (k + n · p)`, with `p` its share of all text, `n` the tokens of the window, so `n · p` how often it would be there by
//! chance, and `k` = 0.05. That is `a / (a + p)` (Arora, Liang & Ma, *A Simple but Tough-to-Beat Baseline for Sentence Embeddings*,
//! 2017) with `a = k / n`: in a question of ten words "who" and "how many" tell what is asked, in an article "the" is noise. The order
//! of the words is lost, and what they mean in their sentence.
//!
//! Logistic regression on such embeddings (scikit-learn, `C` by cross-validation), all-MiniLM-L6-v2, test articles: accuracy on AG News, TREC
//! and Banking77 (4,000 training texts); on diplomacy micro-F1 at a threshold of 0.4 and macro-averaged average precision:
//!
//! | embedding | AG News | TREC | Banking77 | diplomacy |
//! |---|---|---|---|---|
//! | the whole network | 87.5 | 90.6 | 90.5 | 82.4, 91.9 |
//! | uniform mean | 86.1 | 82.0 | 86.2 | 67.1, 76.6 |
//! | a = 1e-4 | 86.1 | 62.8 | 83.4 | 77.7, 86.7 |
//! | a = 1e-3 | 86.7 | 77.6 | 87.3 | 71.7, 84.0 |
//! | a = 1e-3, mean vector off | 86.7 | 78.6 | 86.1 | 73.5, 82.9 |
//! | a = 1e-3, first principal component off | 86.7 | 75.4 | 86.7 | 72.5, 83.7 |
//! | a = 1e-3, rows through the layer norm of the embeddings | 86.0 | 78.8 | 86.7 | 71.6, 83.2 |
//! | weight `ln(2 + rank)` | 86.9 | 77.8 | 87.5 | 73.4, 84.5 |
//! | a = 0.01 / n | 86.5 | 80.0 | 87.2 | 77.6, 87.4 |
//! | **a = 0.05 / n** | **86.7** | **82.2** | **87.8** | **75.0, 86.2** |
//! | a = 0.3 / n | 86.7 | 83.6 | 86.0 | 73.0, 83.8 |
//! | each token alone through the network, a = 1e-3, mean off | 85.2 | 70.4 | 86.4 | 76.6, 86.9 |
//!
//! Differences below half a point on AG News, 1.5 on TREC and 1 on Banking77 are chance. Taking a common direction off gains nothing
//! over a head with intercepts, and a table from the network (Model2Vec) is no better than the encoder's own.
//!
//! Articles a second of processor time, one thread of a busy EPYC, cut at 512 tokens, `examples/encode_worker`, built as for tests: AG News (37
//! words) 9,300 against 28 with the network in f32, diplomacy (230 words) 2,000 against 5. Nearly all of it is the tokenizer, which alone
//! does 12,800 of the former. The table opens in 11 to 31 ms.

use ndarray::Array2;

use super::arch::{Architecture, OperationCount};
use super::config::FolderConfig;
use super::pooling::PoolingMode;
use super::weights::{Checkpoint, TensorSource, WeightsError};
use super::{
    Depth, Encoder, EncoderError, EncoderInfo, EncoderSettings, ExecutorChoice, ExecutorError, Network, Precision,
    PromptChoice, tokenizer_settings, vocabulary_warning,
};
use crate::kernels::packed::SharedBytes;
use crate::text::TextTokenizer;
use crate::text::windows::WindowSettings;

/// A token that a text of this length holds so often by chance weighs ½; see the head of this file.
const HALF_WEIGHT_COUNT: f32 = 0.05;
/// Tokens of a batch: enough that handing out batches costs nothing.
pub(super) const TOKEN_BUDGET: usize = 16_384;
/// The smallest length divided by when normalising, as for other embeddings.
const MIN_NORM: f64 = 1e-12;

/// A table of word vectors, and how frequent each token is.
pub struct StaticWords {
    /// `[vocab_size, hidden_size]`, little-endian f32.
    rows: SharedBytes,
    hidden_size: usize,
    /// `[vocab_size]`: a token's share of all text, about; `None` where it stands for no text.
    shares: Vec<Option<f32>>,
}

impl StaticWords {
    /// Takes the word embeddings that the architecture names, and nothing else; where the file holds them as f32 they stay there.
    ///
    /// How frequent a token is nobody counted, but vocabularies are written from the most to the least frequent one. By Zipf's law
    /// `p = 1 / (H · (1 + r))`, `r` being the number of longer tokens before it and `H` what lets the longer tokens add up to 1. Tokens of
    /// one character come first in some vocabularies, in the order of Unicode, and have no rank of their own.
    ///
    /// # Errors
    /// The table is missing or has another shape.
    pub fn open(
        architecture: &Architecture,
        source: &mut dyn TensorSource,
        tokenizer: &TextTokenizer,
    ) -> Result<Self, WeightsError> {
        let (vocab_size, hidden_size) = (architecture.vocab_size, architecture.hidden_size);
        let name = architecture.names.full(architecture.names.word_embeddings);
        let rows = match source.mapped(&name, vocab_size, hidden_size)? {
            Some(rows) => rows,
            None => {
                let matrix =
                    source.tensors(std::slice::from_ref(&name))?.take_matrix(&name, vocab_size, hidden_size)?;
                matrix.iter().copied().collect::<Vec<f32>>().into()
            }
        };
        let tokens = (0..vocab_size as u32).map(|id| tokenizer.token(id));
        Ok(Self { rows, hidden_size, shares: shares(tokens, &tokenizer.special_tokens()) })
    }

    /// Embeddings of windows of token ids: the mean of their tokens' vectors by weight, of length 1; zeros where no token stands for text.
    ///
    /// # Shapes
    /// Returns `[windows.len(), hidden_size]`.
    ///
    /// # Errors
    /// [`ExecutorError::TokenOutOfRange`].
    pub fn embed<'a>(&self, windows: impl ExactSizeIterator<Item = &'a [u32]>) -> Result<Array2<f32>, ExecutorError> {
        let mut embeddings = Array2::zeros((windows.len(), self.hidden_size));
        let mut tokens = Vec::new();
        for (window, mut embedding) in windows.zip(embeddings.rows_mut()) {
            tokens.clear();
            for &token_id in window {
                match self.shares.get(token_id as usize) {
                    Some(share) => tokens.extend(share.map(|share| (token_id, share))),
                    None => return Err(ExecutorError::TokenOutOfRange { token_id, vocab_size: self.shares.len() }),
                }
            }
            self.add_weighted(&tokens, embedding.as_slice_mut().expect("rows of a new array are contiguous"));
        }
        Ok(embeddings)
    }

    /// Adds the vectors of tokens with their shares, and scales the sum, which of length 1 is the mean.
    fn add_weighted(&self, tokens: &[(u32, f32)], sums: &mut [f32]) {
        let rows = self.rows.as_slice();
        let row_bytes = self.hidden_size * size_of::<f32>();
        let n_tokens = tokens.len() as f32;
        for &(token_id, share) in tokens {
            let weight = HALF_WEIGHT_COUNT / (HALF_WEIGHT_COUNT + n_tokens * share);
            let (numbers, _) = rows[token_id as usize * row_bytes..][..row_bytes].as_chunks();
            for (sum, bytes) in sums.iter_mut().zip(numbers) {
                *sum += weight * f32::from_le_bytes(*bytes);
            }
        }
        let norm = sums.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt().max(MIN_NORM) as f32;
        sums.iter_mut().for_each(|x| *x /= norm);
    }
}

/// Share of every token of a vocabulary, in the order of their ids.
fn shares(tokens: impl Iterator<Item = Option<String>>, special: &[u32]) -> Vec<Option<f32>> {
    let mut n_longer = 0;
    let mut total = 0.0;
    let inverse_ranks: Vec<Option<f64>> = tokens
        .zip(0u32..)
        .map(|(token, id)| {
            let token = token.filter(|token| !special.contains(&id) && !is_placeholder(token))?;
            let inverse_rank = 1.0 / (1.0 + f64::from(n_longer));
            if without_marks(&token).chars().nth(1).is_some() {
                n_longer += 1;
                total += inverse_rank;
            }
            Some(inverse_rank)
        })
        .collect();
    let total = if n_longer > 0 { total } else { 1.0 };
    inverse_ranks.into_iter().map(|inverse_rank| inverse_rank.map(|x| (x / total) as f32)).collect()
}

/// What is kept free in a vocabulary, `[unused17]`, and special tokens that nobody declared.
fn is_placeholder(token: &str) -> bool {
    let inside = token.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inside = inside.or_else(|| token.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')));
    inside.is_some_and(|name| !name.is_empty())
}

/// A token without the marks that say whether a word begins or goes on.
fn without_marks(token: &str) -> &str {
    token.strip_prefix("##").unwrap_or(token).trim_start_matches(['Ġ', '▁'])
}

impl Encoder {
    /// The encoder of a folder, cut down to its word vectors.
    pub(super) fn static_words(config: FolderConfig, settings: &EncoderSettings) -> Result<Self, EncoderError> {
        if settings.precision != Precision::F32 {
            let precision = settings.precision;
            return Err(EncoderError::Precision { precision, executor: "static", supported: "f32" });
        }
        if let ExecutorChoice::Candle(_) = settings.executor {
            return Err(EncoderError::StaticExecutor { executor: "candle" });
        }
        let prompt = match &settings.prompt {
            PromptChoice::Default => &PromptChoice::None,
            chosen => chosen,
        };
        let tokenizer = TextTokenizer::new(&config.tokenizer_json, tokenizer_settings(&config, prompt)?)?;
        tokenizer.check(&WindowSettings::default())?;
        let mut architecture = config.architecture;
        let mut checkpoint = Checkpoint::open(&config.transformer_folder)?;
        architecture.names.prefix = checkpoint.prefix_of(architecture.names.word_embeddings)?;
        let words = StaticWords::open(&architecture, &mut checkpoint, &tokenizer)?;
        let mut warnings = config.warnings;
        warnings.extend(vocabulary_warning(tokenizer.n_token_ids(), architecture.vocab_size));
        let info = EncoderInfo {
            n_parameters: architecture.vocab_size * architecture.hidden_size,
            vocab_size: architecture.vocab_size,
            n_layers: 0,
            n_heads: 0,
            transformer_hidden_size: architecture.hidden_size,
            intermediate_size: 0,
            activation: architecture.activation,
            n_positions: architecture.max_tokens(),
            model_type: architecture.model_type,
            max_tokens: tokenizer.max_tokens(),
            pooling: vec![PoolingMode::Mean],
            dense: Vec::new(),
            normalizes: true,
            hidden_size: architecture.hidden_size,
            prompts: config.prompts,
            default_prompt_name: config.default_prompt_name,
            prompt: tokenizer.prompt().to_owned(),
            executor: "cpu static".to_owned(),
            precision: settings.precision,
            depth: Depth::Static,
            operations: OperationCount::NONE,
            warnings,
        };
        Ok(Self::new(tokenizer, Network::Static(words), info))
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    use serde_json::Value;

    use super::*;
    use crate::encoder::candle::DeviceChoice;
    use crate::encoder::open::EncoderReference;
    use crate::encoder::source::EncoderId;
    use crate::progress::Silent;

    /// The reference adds in f64, we add a few dozen numbers below 1 in f32.
    const MAX_DIFFERENCE: f32 = 1e-6;

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)
    }

    fn settings() -> EncoderSettings {
        EncoderSettings { depth: Depth::Static, ..Default::default() }
    }

    fn load(name: &str) -> Encoder {
        Encoder::from_folder(&folder(name), &settings()).unwrap()
    }

    #[test]
    fn embeddings_are_those_of_the_reference() {
        let golden: Value = serde_json::from_str(include_str!("../../tests/golden/static.json")).unwrap();
        let texts: Vec<&str> = golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        for (name, rows) in golden["encoders"].as_object().unwrap() {
            let found = load(name).encode(&texts).unwrap();
            for (i, row) in rows.as_array().unwrap().iter().enumerate() {
                let expected: Vec<f32> = serde_json::from_value(row.clone()).unwrap();
                assert_eq!(expected.len(), found.ncols(), "{name}");
                for (found, expected) in found.row(i).iter().zip(expected) {
                    assert!(
                        (found - expected).abs() < MAX_DIFFERENCE,
                        "{name}, text {i}: {found}, expected {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn batches_and_neighbours_change_nothing() {
        let encoder = load("tiny-bert-cls-dense");
        let windows: Vec<Vec<u32>> = (0..40u32).map(|i| (0..i % 13).map(|j| 5 + i + j).collect()).collect();
        let all = encoder.encode_windows(&windows, None, &Silent).unwrap();
        for (i, window) in windows.iter().enumerate() {
            let alone = encoder.encode_windows(std::slice::from_ref(window), Some(1), &Silent).unwrap();
            assert_eq!(alone.row(0), all.row(i));
            let norm: f32 = all.row(i).iter().map(|x| x * x).sum();
            assert!(if window.is_empty() { norm == 0.0 } else { (norm - 1.0).abs() < 1e-6 }, "{i}: {norm}");
        }
        // What frames a text weighs nothing: 2 and 3 are [CLS] and [SEP].
        let framed = encoder.encode_windows(&[vec![2, 50, 60, 3], vec![60, 50]], None, &Silent).unwrap();
        assert!((&framed.row(0) - &framed.row(1)).iter().all(|x| x.abs() < 1e-6));
        let error = encoder.encode_windows(&[vec![5], vec![400]], None, &Silent).unwrap_err().to_string();
        assert_eq!(error, ExecutorError::TokenOutOfRange { token_id: 400, vocab_size: 400 }.to_string());
    }

    #[test]
    fn shares_fall_with_the_rank_and_placeholders_have_none() {
        let vocabulary = ["[PAD]", "[unused0]", "!", "a", "the", "##s", "##ing", "Ġof", "▁", "<mask>", "grain"];
        let tokens = vocabulary.iter().map(|token| Some((*token).to_owned())).chain([None]);
        let found = shares(tokens, &[0]);
        // Longer tokens are `the`, `##ing`, `Ġof`, `grain` with shares of 1, ½, ⅓ and ¼ of 25/12.
        let at = |n_longer: f32| Some(12.0 / 25.0 / (1.0 + n_longer));
        let expected = [None, None, at(0.0), at(0.0), at(0.0), at(1.0), at(1.0), at(2.0), at(3.0), None, at(3.0), None];
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let difference = found.unwrap_or(-1.0) - expected.unwrap_or(-1.0);
            assert!(difference.abs() < 1e-7, "token {i}: {found:?}, expected {expected:?}");
        }
        assert_eq!(shares(["a", "b"].map(|token| Some(token.to_owned())).into_iter(), &[]), [Some(1.0); 2]);
        assert_eq!(shares(std::iter::empty(), &[]), []);
    }

    #[test]
    fn frequent_tokens_weigh_less_in_longer_texts() {
        let rows = SharedBytes::from(vec![1.0f32, 0.0, 0.0, 1.0]);
        let words = StaticWords { rows, hidden_size: 2, shares: vec![Some(0.5), Some(0.001)] };
        let ratio = |n: usize| {
            let window: Vec<u32> = (0..n as u32).map(|i| i % 2).collect();
            let found = words.embed([window.as_slice()].into_iter()).unwrap();
            found[[0, 0]] / found[[0, 1]]
        };
        // Of two tokens: 0.05 / (0.05 + 1) to 0.05 / 0.052; of 200: 0.05 / 100.05 to 0.05 / 0.25.
        for (n, expected) in [(2, 0.052 / 1.05), (200, 0.25 / 100.05)] {
            assert!((ratio(n) / expected - 1.0).abs() < 1e-5, "{n} tokens: {}", ratio(n));
        }
    }

    #[test]
    fn info_tells_that_the_network_is_left_out() {
        let encoder = load("tiny-bert-cls-dense");
        let info = encoder.info();
        assert_eq!((encoder.hidden_size(), info.n_parameters, info.n_layers), (32, 400 * 32, 0));
        assert_eq!((info.depth, info.operations.of_window(48), info.normalizes), (Depth::Static, 0, true));
        // The encoder's default prompt is `passage: `.
        assert_eq!(info.prompt, "");
        let prompt = PromptChoice::Named("query".to_owned());
        let with_prompt =
            Encoder::from_folder(&folder("tiny-bert-cls-dense"), &EncoderSettings { prompt, ..settings() });
        assert_eq!(with_prompt.unwrap().encode(&["peace"]).unwrap(), encoder.encode(&["query: peace"]).unwrap());
        assert_eq!(serde_json::to_value(info).unwrap()["depth"], "static");
        let full = Encoder::from_folder(&folder("tiny-bert-cls-dense"), &EncoderSettings::default()).unwrap();
        assert!(serde_json::to_value(full.info()).unwrap().get("depth").is_none());
    }

    #[test]
    fn what_does_not_go_with_it_is_refused() {
        let open =
            |settings| Encoder::from_folder(&folder("tiny-bert-cls-dense"), &settings).err().unwrap().to_string();
        let message = open(EncoderSettings { precision: Precision::Int8, ..settings() });
        assert_eq!(message, "precision int8 is not in this version of the static executor; supported: f32");
        let message = open(EncoderSettings { executor: ExecutorChoice::Candle(DeviceChoice::Cpu), ..settings() });
        assert_eq!(message, "word vectors without the network are looked up on the CPU, not by the candle executor");
    }

    #[test]
    fn references_remember_the_depth_and_older_ones_are_read() {
        let id: EncoderId = folder("tiny-bert-cls-dense").to_str().unwrap().parse().unwrap();
        let options = crate::encoder::source::SourceOptions::from_vars(|_| None, None);
        let encoder = Encoder::open_with(&id, &options, &settings(), &Silent).unwrap();
        let reference = encoder.reference().unwrap();
        let json = serde_json::to_value(reference).unwrap();
        assert_eq!((&json["depth"], &json["hidden_size"]), (&Value::from("static"), &Value::from(32)));
        assert_eq!(&serde_json::from_value::<EncoderReference>(json.clone()).unwrap(), reference);
        let mut older = json;
        older.as_object_mut().unwrap().remove("depth");
        let older: EncoderReference = serde_json::from_value(older).unwrap();
        assert_eq!(older.depth, Depth::Full);
        assert!(serde_json::to_value(older).unwrap().get("depth").is_none());
    }

    #[test]
    fn the_real_encoder_opens_at_once() {
        let real = folder("all-MiniLM-L6-v2");
        if !real.join("model.safetensors").is_file() {
            eprintln!("skipped: models/all-MiniLM-L6-v2 is missing; scripts/fetch-encoder.sh puts it there");
            return;
        }
        let config = FolderConfig::read(&real).unwrap();
        let tokenizer =
            TextTokenizer::new(&config.tokenizer_json, tokenizer_settings(&config, &PromptChoice::None).unwrap())
                .unwrap();
        let start = Instant::now();
        let mut checkpoint = Checkpoint::open(&config.transformer_folder).unwrap();
        let words = StaticWords::open(&config.architecture, &mut checkpoint, &tokenizer).unwrap();
        eprintln!("word vectors opened in {:?}", start.elapsed());
        // `the` is token 1996 and first of the words; `russia` is 3607.
        let share = |id: usize| words.shares[id].unwrap();
        assert!(0.05 < share(1996) && share(1996) < 0.15 && share(3607) < 1e-4, "{} {}", share(1996), share(3607));
        assert_eq!((words.shares[101], words.shares[5]), (None, None));
    }
}
