//! Loads an encoder, then embeds files on request and prints how long that took: our side of `scripts/compare_encoders.sh`.
//!
//! ```text
//! cargo run --release --example encode_worker -- FOLDER [--precision f32|bf16|int8] [--depth full|static] [--threads N]
//! ```
//!
//! First prints `{"load_s": …}`, then reads one request a line and answers each with one JSON object:
//!
//! * `run PATH MAX_TOKENS` embeds the articles of a file: text to normalised embedding, tokenising included, reading the file not.
//! * `emb PATH MAX_TOKENS N OUT` writes the embeddings of the first `N` as little-endian f32 `[N, hidden_size]`.
//!
//! Articles longer than `MAX_TOKENS` are cut there, as sentence-transformers does. What fails is answered with `{"error": …}`.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use topicwire::data::{Article, Dataset};
use topicwire::encoder::{Depth, Encoder, EncoderSettings, Precision};
use topicwire::pipeline::{EmbedCounts, EmbedSettings, embed_stream};
use topicwire::progress::Silent;
use topicwire::text::TitledText;
use topicwire::text::windows::{LongText, WindowSettings};

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "usage: encode_worker FOLDER [--precision f32|bf16|int8] [--depth full|static] [--threads N]";

fn main() -> Result<(), Failure> {
    let (mut folder, mut precision, mut depth, mut n_threads) = (None, Precision::default(), Depth::default(), 0);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--precision" => precision = serde_json::from_value(args.next().ok_or(USAGE)?.into())?,
            "--depth" => depth = serde_json::from_value(args.next().ok_or(USAGE)?.into())?,
            "--threads" => n_threads = args.next().ok_or(USAGE)?.parse()?,
            _ => folder = Some(arg),
        }
    }
    let folder = folder.ok_or(USAGE)?;
    let start = Instant::now();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build()?;
    let settings = EncoderSettings { precision, depth, ..Default::default() };
    let encoder = pool.install(|| Encoder::from_folder(Path::new(&folder), &settings))?;
    println!("{}", json!({"load_s": start.elapsed().as_secs_f64()}));
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = pool.install(|| match words.as_slice() {
            ["run", path, max_tokens] => run(&encoder, path, max_tokens),
            ["emb", path, max_tokens, n, out] => write_embeddings(&encoder, path, max_tokens, n, out),
            _ => Err(format!("not a request: {line}").into()),
        });
        println!("{}", answer.unwrap_or_else(|error| json!({"error": error.to_string()})));
    }
    Ok(())
}

fn run(encoder: &Encoder, path: &str, max_tokens: &str) -> Result<Value, Failure> {
    let articles = Dataset::read(Path::new(path))?.articles;
    let windows = window_settings(max_tokens)?;
    let gflop = gflop(encoder, &articles, &windows)?;
    forget_peak()?;
    let start = Instant::now();
    let (embeddings, counts) = embed(encoder, articles, windows)?;
    let seconds = start.elapsed().as_secs_f64();
    drop(embeddings);
    Ok(json!({
        "seconds": seconds, "n_docs": counts.n_articles, "n_tokens": counts.n_tokens, "peak_kb": peak_kb()?, "gflop": gflop,
    }))
}

fn write_embeddings(encoder: &Encoder, path: &str, max_tokens: &str, n: &str, out: &str) -> Result<Value, Failure> {
    let mut articles = Dataset::read(Path::new(path))?.articles;
    articles.truncate(n.parse()?);
    let (embeddings, counts) = embed(encoder, articles, window_settings(max_tokens)?)?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(out)?);
    for number in embeddings {
        file.write_all(&number.to_le_bytes())?;
    }
    file.flush()?;
    Ok(json!({"n_docs": counts.n_articles}))
}

fn window_settings(max_tokens: &str) -> Result<WindowSettings, Failure> {
    Ok(WindowSettings { max_tokens: Some(max_tokens.parse()?), long_text: LongText::Truncate, ..Default::default() })
}

/// All embeddings in one list, by the way that every command takes.
fn embed(
    encoder: &Encoder,
    articles: Vec<Article>,
    windows: WindowSettings,
) -> Result<(Vec<f32>, EmbedCounts), Failure> {
    let settings = EmbedSettings { windows, ..Default::default() };
    let mut embeddings = Vec::with_capacity(articles.len() * encoder.hidden_size());
    let counts = embed_stream(encoder, &settings, Dataset { articles }, &Silent, |chunk| {
        embeddings.extend(chunk.embeddings.iter());
        Ok(())
    })?;
    Ok((embeddings, counts))
}

/// Arithmetic of the transformer for these articles in 10⁹ operations, a multiplication and an addition being two: its
/// matrices, and of attention the two products of every token with every token of its window.
fn gflop(encoder: &Encoder, articles: &[Article], windows: &WindowSettings) -> Result<f64, Failure> {
    let texts: Vec<TitledText<'_>> =
        articles.iter().map(|article| TitledText { title: article.title.as_deref(), text: &article.text }).collect();
    let info = encoder.info();
    let (width, inner) = (info.transformer_hidden_size as f64, info.intermediate_size as f64);
    let per_token = 2.0 * (4.0 * width * width + 2.0 * width * inner);
    let windows = encoder.tokenizer().tokenize(&texts, windows)?.into_iter().flat_map(|article| article.windows);
    let per_layer: f64 = windows.map(|window| window.len() as f64).map(|n| n * (per_token + 4.0 * width * n)).sum();
    Ok(info.n_layers as f64 * per_layer / 1e9)
}

/// Lets the peak memory that the kernel keeps start anew; only Linux has this.
fn forget_peak() -> std::io::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5")
}

fn peak_kb() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel shows no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
