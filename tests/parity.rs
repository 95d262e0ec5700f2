//! Agreement with the Python reference: token ids and embeddings of every row of `tests/golden`, and with candle-transformers.
//!
//! `scripts/golden_embeddings.py` says how the expected numbers were made.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2};
use serde_json::Value;
use topicwire::encoder::candle::CandleExecutor;
use topicwire::encoder::config::FolderConfig;
use topicwire::encoder::weights::Checkpoint;
use topicwire::encoder::{Encoder, EncoderSettings, Executor};
use topicwire::progress::Silent;
use topicwire::text::pack::PackedBatch;
use topicwire::text::windows::{LongText, WindowSettings};
use topicwire::text::{TitledText, Tokenized};

/// Asked of every row: what is left is rounding, which differs between two orders of summation.
const MIN_COSINE: f64 = 0.99999;
/// Largest difference of a component of unit vectors; the worst measured is 6.0e-7, over the tiny encoders, the real one (3.2e-7), and
/// all ways of batching.
const MAX_ABS_DIFFERENCE: f32 = 1e-6;
/// Relative error of the length of vectors that are not normalised.
const MAX_LENGTH_ERROR: f32 = 1e-5;
/// The same between two ways of batching.
const MAX_BATCH_DIFFERENCE: f32 = 1e-6;
/// Largest difference of hidden states, which are of the order of 1 to 4, between two implementations.
const MAX_STATE_DIFFERENCE: f32 = 1e-5;
const REAL: &str = "all-MiniLM-L6-v2";
const TINY: [&str; 5] =
    ["tiny-bert-cls-dense", "tiny-bert-last-bf16", "tiny-bert-max-f16", "tiny-roberta-shards", "tiny-xlm-roberta-mean"];

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

fn load(name: &str) -> Encoder {
    Encoder::from_folder(&root().join("models").join(name), &EncoderSettings::default()).unwrap()
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
        let encoder = load(name);
        let tokenized = truncated(&encoder, &few);
        check_ids(name, &tokenized);
        let expected: Array2<f32> = ndarray_npy::read_npy(root().join(format!("tests/golden/{name}.npy"))).unwrap();
        let found = encoder.encode(&few).unwrap();
        let (cosine, difference) = compare(name, &found, &expected);
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
    let expected: Array2<f32> = ndarray_npy::read_npy(root().join(format!("tests/golden/{REAL}.npy"))).unwrap();
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

/// A third opinion on the layers alone, from another implementation in the same language.
#[test]
fn hidden_states_agree_with_candle_transformers() {
    use candle_core::{DType, Device, Tensor};
    use candle_transformers::models::bert::{BertModel, Config};
    let folder = root().join("models/tiny-bert-cls-dense");
    let config: Config = serde_json::from_value(json("models/tiny-bert-cls-dense/config.json")).unwrap();
    let tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let builder = candle_nn::VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let oracle = BertModel::load(builder, &config).unwrap();

    let mut architecture = FolderConfig::read(&folder).unwrap().architecture;
    let checkpoint = Checkpoint::open(&folder).unwrap();
    architecture.names.prefix = checkpoint.prefix_of(architecture.names.word_embeddings).unwrap();
    let weights = checkpoint.read(|name| architecture.names.is_wanted(name)).unwrap();
    let executor = CandleExecutor::new(&architecture, weights, Device::Cpu).unwrap();

    let windows: Vec<Vec<u32>> = vec![(0..64).collect(), vec![5], vec![], vec![399, 0, 17, 17], (100..150).collect()];
    let batch = PackedBatch::new(windows.iter().map(Vec::as_slice));
    let hidden = executor.hidden_states(&batch).unwrap();
    assert_eq!(hidden.dim(), (batch.n_tokens(), 32));
    for (window, range) in windows.iter().zip(batch.windows()).filter(|(window, _)| !window.is_empty()) {
        let ids = Tensor::new(window.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let expected = oracle.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap();
        let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected = Array2::from_shape_vec((window.len(), 32), expected).unwrap();
        let found = hidden.slice(ndarray::s![range, ..]).to_owned();
        assert!(largest_difference(&found, &expected) < MAX_STATE_DIFFERENCE, "a window of {} tokens", window.len());
    }
}
