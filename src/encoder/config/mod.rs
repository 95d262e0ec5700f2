//! What the folder of an encoder says about it. Everything is read, nothing guessed; what is not supported is an error that
//! names it.
//!
//! The files are those of sentence-transformers: `config.json` (the transformer), `modules.json` (what follows it),
//! `1_Pooling/config.json`, `2_Dense/config.json`, `sentence_bert_config.json`, `config_sentence_transformers.json` (prompts),
//! `tokenizer_config.json` (its length limit).

mod architecture;
mod modules;
mod object;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use thiserror::Error;

use super::arch::Architecture;
use super::pooling::{DenseActivation, PoolingMode};
pub(super) use architecture::{Size, SizeKeys};
use modules::{Modules, TailPath, read_dense, read_normalize, read_pooling};
pub(super) use object::Object;
use object::read_bytes;

/// An encoder's folder, read.
#[derive(Clone, Debug)]
pub struct FolderConfig {
    /// Where `config.json`, `tokenizer.json` and the weights of the transformer lie.
    pub transformer_folder: PathBuf,
    /// The prefix of the weight names is still empty: only the weights tell it.
    pub architecture: Architecture,
    /// `tokenizer.json`.
    pub tokenizer_json: Vec<u8>,
    /// Texts are lower-cased before the tokenizer's own normalisation.
    pub do_lower_case: bool,
    /// Tokens of a window, special tokens included, as the encoder was trained; at most the positions available.
    pub max_tokens: usize,
    /// Concatenated in this order.
    pub pooling: Vec<PoolingMode>,
    /// Whether the tokens of the prompt take part in pooling.
    pub include_prompt: bool,
    /// What follows pooling, in order.
    pub tail: Vec<TailModule>,
    /// Named prompts in the order of the file.
    pub prompts: Vec<(String, String)>,
    /// Which prompt the encoder puts before a text when none is asked for.
    pub default_prompt_name: Option<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A module after pooling.
#[derive(Clone, Debug, PartialEq)]
pub enum TailModule {
    Dense {
        folder: PathBuf,
        in_features: usize,
        out_features: usize,
        bias: bool,
        activation: DenseActivation,
    },
    /// To unit length.
    Normalize,
}

/// Why the folder does not describe an encoder that can be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is not valid JSON of the expected form", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{}: `{field}` {problem}", path.display())]
    Field { path: PathBuf, field: String, problem: String },
    #[error("{}: {what} `{found}` is not supported; supported: {supported}", path.display())]
    Unsupported { path: PathBuf, what: String, found: String, supported: String },
}

type Result<T> = std::result::Result<T, ConfigError>;

impl FolderConfig {
    /// Reads the folder.
    ///
    /// # Errors
    /// A file that is missing or malformed, or a setting that is not supported; the message names both.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut warnings = Vec::new();
        let modules = Modules::read(folder, &mut warnings)?;
        let transformer_folder = modules.transformer;
        let config = Object::read(transformer_folder.join("config.json"))?;
        let architecture = architecture::read(&config)?;
        let length = read_length(&transformer_folder, &architecture)?;

        let (pooling, include_prompt) = match modules.pooling {
            Some(path) => read_pooling(&path, architecture.hidden_size)?,
            None => (vec![PoolingMode::Mean], true),
        };
        let mut width = architecture.hidden_size * pooling.len();
        let mut tail = Vec::new();
        for module in modules.tail {
            let module = match module {
                TailPath::Dense(path) => read_dense(path, width)?,
                TailPath::Normalize(path) => read_normalize(path)?,
            };
            if let TailModule::Dense { out_features, .. } = module {
                width = out_features;
            }
            tail.push(module);
        }

        let (prompts, default_prompt_name) = read_prompts(folder)?;
        Ok(Self {
            tokenizer_json: read_bytes(&transformer_folder.join("tokenizer.json"))?,
            transformer_folder,
            architecture,
            do_lower_case: length.do_lower_case,
            max_tokens: length.max_tokens,
            pooling,
            include_prompt,
            tail,
            prompts,
            default_prompt_name,
            warnings,
        })
    }
}

/// What bounds a text on its way to the transformer.
struct Length {
    max_tokens: usize,
    do_lower_case: bool,
}

/// Keys of `sentence_bert_config.json` that are read, or that say nothing about the result.
const TRANSFORMER_KEYS: [&str; 6] =
    ["max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name", "unpad_inputs"];

fn read_length(folder: &Path, architecture: &Architecture) -> Result<Length> {
    let settings = Object::read_if_present(folder.join("sentence_bert_config.json"))?;
    settings.only("transformer_task", "feature-extraction")?;
    settings.only("module_output_name", "token_embeddings")?;
    settings.only(
        "modality_config",
        serde_json::json!({"text": {"method": "forward", "method_output_name": "last_hidden_state"}}),
    )?;
    for (key, value) in &settings.fields {
        let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if !TRANSFORMER_KEYS.contains(&key.as_str()) && !is_empty {
            return Err(settings.unsupported("the setting", key, TRANSFORMER_KEYS.join(", ")));
        }
    }
    let tokenizer_config = Object::read_if_present(folder.join("tokenizer_config.json"))?;
    tokenizer_config.only("truncation_side", "right")?;

    let limit = match settings.get::<usize>("max_seq_length")? {
        Some(0) => return Err(settings.error("max_seq_length", "is 0")),
        Some(limit) => limit,
        // A number like 1e30 where there is no limit; as an integer it saturates.
        None => tokenizer_config.get::<f64>("model_max_length")?.map_or(usize::MAX, |limit| limit as usize),
    };
    let max_tokens = limit.min(architecture.max_tokens());
    Ok(Length { max_tokens, do_lower_case: settings.get("do_lower_case")?.unwrap_or(false) })
}

type Prompts = (Vec<(String, String)>, Option<String>);

fn read_prompts(folder: &Path) -> Result<Prompts> {
    let config = Object::read_if_present(folder.join("config_sentence_transformers.json"))?;
    config.only("model_type", "SentenceTransformer")?;
    let prompts = config.get::<Map<String, Value>>("prompts")?.unwrap_or_default();
    let prompts: Vec<(String, String)> = prompts
        .into_iter()
        .map(|(name, text)| match text {
            Value::String(text) => Ok((name, text)),
            Value::Null => Ok((name, String::new())),
            other => Err(config.error("prompts", format!("holds {other} under `{name}`, expected a string"))),
        })
        .collect::<Result<_>>()?;
    let default: Option<String> = config.get("default_prompt_name")?;
    if let Some(name) = &default
        && !prompts.iter().any(|(known, _)| known == name)
    {
        return Err(config.error("default_prompt_name", format!("is `{name}`, which is not among the prompts")));
    }
    Ok((prompts, default))
}

#[cfg(test)]
mod tests;
