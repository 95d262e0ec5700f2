//! Agreement with the Python reference: token ids and embeddings of every row of `tests/golden`, and with candle-transformers.
//!
//! `scripts/golden_embeddings.py` says how the expected numbers were made.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use ndarray::{Array1, Array2};
use serde_json::Value;
use topicwire::encoder::arch::{Activation, Architecture};
use topicwire::encoder::candle::{CandleExecutor, DeviceChoice};
use topicwire::encoder::config::FolderConfig;
use topicwire::encoder::weights::Checkpoint;
use topicwire::encoder::{Encoder, EncoderSettings, Executor, ExecutorChoice};
use topicwire::progress::Silent;
use topicwire::text::pack::PackedBatch;
use topicwire::text::windows::{LongText, WindowSettings};
use topicwire::text::{TitledText, Tokenized};

/// Asked of every row: what is left is rounding, which differs between two orders of summation.
const MIN_COSINE: f64 = 0.99999;
/// Largest difference of a component of unit vectors; the worst measured is 8.0e-7, over the tiny encoders, the real one (3.2e-7), both
/// executors and all ways of batching.
const MAX_ABS_DIFFERENCE: f32 = 1.6e-6;
/// Relative error of the length of vectors that are not normalised.
const MAX_LENGTH_ERROR: f32 = 1e-5;
/// The same between two ways of batching.
const MAX_BATCH_DIFFERENCE: f32 = 1e-6;
/// Largest difference of hidden states, which are of the order of 1 to 4, between two implementations; the worst measured is 5.0e-6.
const MAX_STATE_DIFFERENCE: f32 = 1e-5;
const REAL: &str = "all-MiniLM-L6-v2";
const TINY: [&str; 10] = [
    "tiny-bert-cls-dense",
    "tiny-bert-last-bf16",
    "tiny-bert-max-f16",
    "tiny-distilbert-mean",
    "tiny-gte-cls",
    "tiny-modernbert-mean",
    "tiny-mpnet-mean",
    "tiny-nomic-bert-mean",
    "tiny-roberta-shards",
    "tiny-xlm-roberta-mean",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

/// All texts of `tests/golden/texts.json`, and whether the tiny encoders have a row for them.
fn texts() -> Vec<(String, bool)> {
    let mut articles = Vec::new();
    for split in ["train", "test"] {
        let lines = std::fs::read_to_string(root().join(format!("data/diplomacy/{split}.jsonl"))).unwrap();
        for line in lines.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            articles.push(format!("{}\n{}", row["title"].as_str().unwrap(), row["text"].as_str().unwrap()));
        }
    }
    let recipes = json("tests/golden/texts.json");
    let expand = |recipe: &Value| {
        if let Some(text) = recipe["text"].as_str() {
            return text.to_owned();
        }
        let chosen =
            recipe["articles"].as_array().unwrap().iter().map(|i| articles[i.as_u64().unwrap() as usize].as_str());
        let text = chosen.collect::<Vec<_>>().join("\n\n");
        match recipe["n_words"].as_u64() {
            Some(n_words) => text.split(' ').take(n_words as usize).collect::<Vec<_>>().join(" "),
            None => text,
        }
    };
    let recipes = recipes.as_array().unwrap().iter().enumerate();
    recipes.map(|(i, recipe)| (expand(recipe), recipe.get("text").is_some() || i % 10 == 0)).collect()
}

/// Must be the same as in `scripts/golden_embeddings.py`.
fn checksum(ids: &[u32]) -> u64 {
    ids.iter().fold(0, |value, &id| (value * 31 + u64::from(id) + 1) % 2_147_483_647)
}

fn load(name: &str, executor: ExecutorChoice) -> Encoder {
    let settings = EncoderSettings { executor, ..Default::default() };
    Encoder::from_folder(&root().join("models").join(name), &settings).unwrap()
}

fn golden(name: &str) -> Array2<f32> {
    ndarray_npy::read_npy(root().join(format!("tests/golden/{name}.npy"))).unwrap()
}

fn real_folder() -> Option<PathBuf> {
    let folder = root().join("models").join(REAL);
    if folder.join("model.safetensors").is_file() {
        return Some(folder);
    }
    eprintln!("skipped: models/{REAL} is missing; scripts/fetch-encoder.sh puts it there");
    None
}

fn truncated(encoder: &Encoder, texts: &[&str]) -> Vec<Tokenized> {
    let articles: Vec<TitledText<'_>> = texts.iter().map(|text| TitledText::untitled(text)).collect();
    let settings = WindowSettings { long_text: LongText::Truncate, ..Default::default() };
    encoder.tokenizer().tokenize(&articles, &settings).unwrap()
}

fn windows_of(tokenized: Vec<Tokenized>) -> Vec<Vec<u32>> {
    tokenized.into_iter().flat_map(|article| article.windows).collect()
}

fn encode_with(encoder: &Encoder, windows: &[Vec<u32>], token_budget: usize, n_threads: usize) -> Array2<f32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
    pool.install(|| encoder.encode_windows(windows, Some(token_budget), &Silent)).unwrap()
}

fn largest_difference(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    (a - b).iter().fold(0.0, |max, x| max.max(x.abs()))
}

fn unit_rows(rows: &Array2<f32>) -> Array2<f32> {
    let mut rows = rows.clone();
    for mut row in rows.rows_mut() {
        let norm = row.dot(&row).sqrt();
        row /= norm;
    }
    rows
}

/// Compares every row; returns the worst cosine and the largest difference of unit vectors.
fn compare(name: &str, found: &Array2<f32>, expected: &Array2<f32>) -> (f64, f32) {
    assert_eq!(found.dim(), expected.dim(), "{name}");
    let mut worst = 1.0f64;
    for (i, (a, b)) in found.rows().into_iter().zip(expected.rows()).enumerate() {
        let (a, b): (Array1<f64>, Array1<f64>) = (a.mapv(f64::from), b.mapv(f64::from));
        let cosine = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
        assert!(cosine >= MIN_COSINE, "{name}, row {i}: cosine {cosine}");
        worst = worst.min(cosine);
    }
    // Length, too: encoders that do not normalise must not be off by a factor.
    for (i, (a, b)) in found.rows().into_iter().zip(expected.rows()).enumerate() {
        let ratio = (a.dot(&a) / b.dot(&b)).sqrt();
        assert!((ratio - 1.0).abs() < MAX_LENGTH_ERROR, "{name}, row {i}: {ratio} times as long");
    }
    let difference = largest_difference(&unit_rows(found), &unit_rows(expected));
    assert!(difference <= MAX_ABS_DIFFERENCE, "{name}: largest difference {difference}");
    (worst, difference)
}

fn check_ids(name: &str, tokenized: &[Tokenized]) {
    let expected = json(format!("tests/golden/{name}.ids.json"));
    let expected = expected.as_array().unwrap();
    assert_eq!(tokenized.len(), expected.len());
    for (i, (article, expected)) in tokenized.iter().zip(expected).enumerate() {
        let ids = &article.windows[0];
        let expected = (expected[0].as_u64().unwrap(), expected[1].as_u64().unwrap());
        assert_eq!((ids.len() as u64, checksum(ids)), expected, "{name}, row {i}: {ids:?}");
    }
}

#[test]
fn tiny_encoders_give_the_ids_and_embeddings_of_the_reference() {
    let texts = texts();
    let few: Vec<&str> = texts.iter().filter(|(_, is_tiny)| *is_tiny).map(|(text, _)| text.as_str()).collect();
    for name in TINY {
        let encoder = load(name, ExecutorChoice::Cpu);
        let tokenized = truncated(&encoder, &few);
        check_ids(name, &tokenized);
        let found = encoder.encode(&few).unwrap();
        let (cosine, difference) = compare(name, &found, &golden(name));
        println!("{name}: worst cosine {cosine:.9}, largest difference {difference:e}");

        let windows = windows_of(tokenized);
        for batch_size in [1, 7, 64] {
            let other = encode_with(&encoder, &windows, batch_size * encoder.max_tokens(), 1);
            let difference = largest_difference(&unit_rows(&found), &unit_rows(&other));
            assert!(difference <= MAX_BATCH_DIFFERENCE, "{name}, batches of {batch_size}: {difference}");
            let two_threads = encode_with(&encoder, &windows, batch_size * encoder.max_tokens(), 2);
            assert_eq!(other, two_threads, "{name}: the number of threads changes nothing");
        }
    }
}

/// The executor of GPUs, here on the CPU.
#[test]
fn tiny_encoders_on_candle_give_the_ids_and_embeddings_of_the_reference() {
    let texts = texts();
    let few: Vec<&str> = texts.iter().filter(|(_, is_tiny)| *is_tiny).map(|(text, _)| text.as_str()).collect();
    for name in TINY {
        let encoder = load(name, ExecutorChoice::Candle(DeviceChoice::Cpu));
        let tokenized = truncated(&encoder, &few);
        check_ids(name, &tokenized);
        let expected = golden(name);
        let windows = windows_of(tokenized);
        for batch_size in [1, 7, 64] {
            // Windows of many lengths in one batch: padding must not show.
            let found = encode_with(&encoder, &windows, batch_size * encoder.max_tokens(), 2);
            let (cosine, difference) = compare(name, &found, &expected);
            println!("{name}, batches of {batch_size}: worst cosine {cosine:.9}, largest difference {difference:e}");
        }
    }
}

#[test]
fn the_real_encoder_gives_the_ids_of_the_reference() {
    let Some(folder) = real_folder() else { return };
    let encoder = Encoder::from_folder(&folder, &EncoderSettings::default()).unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    check_ids(REAL, &truncated(&encoder, &texts));
    assert_eq!((encoder.max_tokens(), encoder.hidden_size()), (256, 384));
    // 22.7 M with the pooler, which sentence embeddings do not use.
    assert_eq!(encoder.info().n_parameters, 22_713_216 - (384 * 384 + 384));
}

#[test]
fn the_real_encoder_gives_the_embeddings_of_the_reference() {
    let Some(folder) = real_folder() else { return };
    let encoder = Encoder::from_folder(&folder, &EncoderSettings::default()).unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    let windows = windows_of(truncated(&encoder, &texts));
    let expected = golden(REAL);
    let mut first = None;
    for (batch_size, n_threads) in [(64, 2), (7, 2), (7, 1), (1, 2)] {
        let found = encode_with(&encoder, &windows, batch_size * encoder.max_tokens(), n_threads);
        let (cosine, difference) = compare(REAL, &found, &expected);
        println!(
            "batches of {batch_size}, {n_threads} threads: worst cosine {cosine:.9}, largest difference {difference:e}"
        );
        // The packed executor gives a window the same bits whatever its company and the number of threads.
        assert_eq!(first.get_or_insert_with(|| found.clone()), &found, "batches of {batch_size}, {n_threads} threads");
    }
}

/// A tiny encoder's description, and its tensors by the names that candle-transformers asks for.
fn open_for_candle(name: &str, oracle_prefix: &str) -> (Architecture, Checkpoint, VarBuilder<'static>) {
    let folder = root().join("models").join(name);
    let mut architecture = FolderConfig::read(&folder).unwrap().architecture;
    let checkpoint = Checkpoint::open(&folder).unwrap();
    architecture.names.prefix = checkpoint.prefix_of(architecture.names.word_embeddings).unwrap();
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let tensors = tensors.into_iter().map(|(name, tensor)| (format!("{oracle_prefix}{name}"), tensor)).collect();
    (architecture, checkpoint, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
}

/// `oracle` turns ids `[1, n_tokens]` into hidden states `[1, n_tokens, 32]`.
fn compare_hidden_states(
    architecture: &Architecture,
    checkpoint: &Checkpoint,
    mut oracle: impl FnMut(&Tensor) -> candle_core::Result<Tensor>,
) {
    let weights = checkpoint.read(|name| architecture.names.is_wanted(name)).unwrap();
    let executor = CandleExecutor::new(architecture, weights, Device::Cpu).unwrap();
    let windows: Vec<Vec<u32>> = vec![(0..64).collect(), vec![5], vec![], vec![399, 0, 17, 17], (100..150).collect()];
    let batch = PackedBatch::new(windows.iter().map(Vec::as_slice));
    let hidden = executor.hidden_states(&batch).unwrap();
    assert_eq!(hidden.dim(), (batch.n_tokens(), 32));
    let mut worst = 0.0f32;
    for (window, range) in windows.iter().zip(batch.windows()).filter(|(window, _)| !window.is_empty()) {
        let ids = Tensor::new(window.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let expected = oracle(&ids).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected = Array2::from_shape_vec((window.len(), 32), expected).unwrap();
        let found = hidden.slice(ndarray::s![range, ..]).to_owned();
        let difference = largest_difference(&found, &expected);
        assert!(difference < MAX_STATE_DIFFERENCE, "a window of {} tokens: {difference}", window.len());
        worst = worst.max(difference);
    }
    println!("{}: largest difference of hidden states {worst:e}", architecture.model_type);
}

/// A third opinion on the layers alone, from other implementations in the same language.
#[test]
fn hidden_states_of_bert_agree_with_candle_transformers() {
    use candle_transformers::models::bert::{BertModel, Config};
    let (architecture, checkpoint, builder) = open_for_candle("tiny-bert-cls-dense", "");
    let config: Config = serde_json::from_value(json("models/tiny-bert-cls-dense/config.json")).unwrap();
    let oracle = BertModel::load(builder, &config).unwrap();
    compare_hidden_states(&architecture, &checkpoint, |ids| oracle.forward(ids, &ids.zeros_like()?, None));
}

#[test]
fn hidden_states_of_distilbert_agree_with_candle_transformers() {
    use candle_transformers::models::distilbert::{Config, DistilBertModel};
    let (mut architecture, checkpoint, builder) = open_for_candle("tiny-distilbert-mean", "");
    // The oracle approximates GELU; the golden embeddings judge the exact one.
    architecture.activation = Activation::GeluTanh;
    let mut config = json("models/tiny-distilbert-mean/config.json");
    config["position_embedding_type"] = "absolute".into();
    let config: Config = serde_json::from_value(config).unwrap();
    let oracle = DistilBertModel::load(builder, &config).unwrap();
    compare_hidden_states(&architecture, &checkpoint, |ids| {
        // 1 would mask a token out.
        oracle.forward(ids, &Tensor::zeros((1, 1, 1, ids.dim(1)?), DType::U8, &Device::Cpu)?)
    });
}

#[test]
fn hidden_states_of_modernbert_agree_with_candle_transformers() {
    use candle_transformers::models::modernbert::{Config, ModernBert};
    let (architecture, checkpoint, builder) = open_for_candle("tiny-modernbert-mean", "");
    let mut config = json("models/tiny-modernbert-mean/config.json");
    config["layer_norm_eps"] = config["norm_eps"].clone();
    let config: Config = serde_json::from_value(config).unwrap();
    let oracle = ModernBert::load(builder, &config).unwrap();
    compare_hidden_states(&architecture, &checkpoint, |ids| oracle.forward(ids, &ids.ones_like()?));
}

#[test]
fn hidden_states_of_nomic_bert_agree_with_candle_transformers() {
    use candle_transformers::models::nomic_bert::{Config, NomicBertModel};
    let (architecture, checkpoint, builder) = open_for_candle("tiny-nomic-bert-mean", "");
    let config: Config = serde_json::from_value(json("models/tiny-nomic-bert-mean/config.json")).unwrap();
    let oracle = NomicBertModel::load(builder, &config).unwrap();
    compare_hidden_states(&architecture, &checkpoint, |ids| oracle.forward(ids, None, None));
}

#[test]
fn hidden_states_of_gte_agree_with_candle_transformers() {
    use candle_transformers::models::stella_en_v5::{Config, Model, ModelVariant};
    let (architecture, checkpoint, builder) = open_for_candle("tiny-gte-cls", "new.");
    let config = json("models/tiny-gte-cls/config.json");
    let size = |field: &str| config[field].as_u64().unwrap() as usize;
    // The smaller Stella is GTE v1.5 trained further.
    let config = Config {
        variant: ModelVariant::Small,
        vocab_size: size("vocab_size"),
        hidden_size: size("hidden_size"),
        intermediate_size: size("intermediate_size"),
        num_hidden_layers: size("num_hidden_layers"),
        num_attention_heads: size("num_attention_heads"),
        max_position_embeddings: size("max_position_embeddings"),
        type_vocab_size: size("type_vocab_size"),
        rope_theta: config["rope_theta"].as_f64().unwrap(),
        scaling_factor: config["rope_scaling"]["factor"].as_f64().unwrap(),
        norm_eps: config["layer_norm_eps"].as_f64().unwrap(),
        activation_fn: candle_nn::Activation::Gelu,
        ..Default::default()
    };
    let mut oracle = Model::new(&config, builder).unwrap();
    compare_hidden_states(&architecture, &checkpoint, |ids| oracle.forward(ids, &ids.ones_like()?));
}
