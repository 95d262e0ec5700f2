//! What the folder of an encoder says about it. Everything is read, nothing guessed; what is not supported is an error that
//! names it.
//!
//! The files are those of sentence-transformers: `config.json` (the transformer), `modules.json` (what follows it),
//! `1_Pooling/config.json`, `2_Dense/config.json`, `sentence_bert_config.json`, `config_sentence_transformers.json` (prompts),
//! `tokenizer_config.json` (its length limit).

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::arch::{Activation, Architecture, bert};
use super::pooling::{DenseActivation, PoolingMode};

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
    Unsupported { path: PathBuf, what: &'static str, found: String, supported: String },
}

type Result<T> = std::result::Result<T, ConfigError>;

/// A JSON object and the file it is from, for messages.
struct Object {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl Object {
    fn read(path: PathBuf) -> Result<Self> {
        let fields = parse(&path, &read_bytes(&path)?)?;
        Ok(Self { path, fields })
    }

    /// No fields where there is no such file.
    fn read_if_present(path: PathBuf) -> Result<Self> {
        if path.is_file() { Self::read(path) } else { Ok(Self { path, fields: Map::new() }) }
    }

    fn error(&self, field: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Field { path: self.path.clone(), field: field.to_owned(), problem: problem.into() }
    }

    fn unsupported(&self, what: &'static str, found: impl ToString, supported: impl Into<String>) -> ConfigError {
        let (path, found, supported) = (self.path.clone(), found.to_string(), supported.into());
        ConfigError::Unsupported { path, what, found, supported }
    }

    /// A field that may be missing or null.
    fn get<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Result<Option<T>> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|error| self.error(field, error.to_string())),
        }
    }

    fn need<T: for<'de> Deserialize<'de>>(&self, field: &str) -> Result<T> {
        self.get(field)?.ok_or_else(|| self.error(field, "is missing"))
    }

    fn need_positive(&self, field: &str) -> Result<usize> {
        match self.need(field)? {
            0 => Err(self.error(field, "is 0")),
            n => Ok(n),
        }
    }

    /// Refuses a field that is there with another value than the only one supported.
    fn only(&self, field: &'static str, supported: &Value) -> Result<()> {
        match self.fields.get(field) {
            Some(found) if !found.is_null() && found != supported => {
                Err(self.unsupported(field, found, supported.to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| ConfigError::Json { path: path.to_owned(), source })
}

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
        let architecture = read_architecture(&config)?;
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

/// `modules.json`: where each part lies.
struct Modules {
    transformer: PathBuf,
    pooling: Option<PathBuf>,
    tail: Vec<TailPath>,
}

enum TailPath {
    Dense(PathBuf),
    Normalize(PathBuf),
}

const SUPPORTED_MODULES: &str = "Transformer, Pooling, Dense, Dropout, Normalize of sentence_transformers";

impl Modules {
    fn read(folder: &Path, warnings: &mut Vec<String>) -> Result<Self> {
        let path = folder.join("modules.json");
        if !path.is_file() {
            // sentence-transformers does the same, with a warning too.
            warnings.push(format!("{} is missing: mean pooling, no normalisation", path.display()));
            return Ok(Self { transformer: folder.to_owned(), pooling: None, tail: Vec::new() });
        }
        #[derive(Deserialize)]
        struct Module {
            path: String,
            r#type: String,
        }
        let listed: Vec<Module> = parse(&path, &read_bytes(&path)?)?;
        let mut kinds: Vec<(String, PathBuf)> = Vec::new();
        for module in listed {
            let inside = Path::new(&module.path).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside {
                let problem = format!("`{}` leads out of the folder", module.path);
                return Err(ConfigError::Field { path, field: "path".to_owned(), problem });
            }
            // Written as `sentence_transformers.models.Pooling` up to version 5, with longer module paths since.
            let own = module.r#type.starts_with("sentence_transformers.");
            let class = module.r#type.rsplit('.').next().unwrap_or_default();
            if !own || !["Transformer", "Pooling", "Dense", "Dropout", "Normalize"].contains(&class) {
                let supported = SUPPORTED_MODULES.to_owned();
                return Err(ConfigError::Unsupported { path, what: "module type", found: module.r#type, supported });
            }
            kinds.push((class.to_owned(), folder.join(module.path)));
        }
        let order_error = || ConfigError::Unsupported {
            path: path.clone(),
            what: "order of modules",
            found: kinds.iter().map(|(class, _)| class.as_str()).collect::<Vec<_>>().join(", "),
            supported: "Transformer, Pooling, then any of Dense, Dropout, Normalize".to_owned(),
        };
        let [(first, transformer), (second, pooling), rest @ ..] = kinds.as_slice() else { return Err(order_error()) };
        if first != "Transformer" || second != "Pooling" {
            return Err(order_error());
        }
        let mut tail = Vec::new();
        for (class, path) in rest {
            match class.as_str() {
                "Dense" => tail.push(TailPath::Dense(path.clone())),
                "Normalize" => tail.push(TailPath::Normalize(path.clone())),
                // Does nothing outside training.
                "Dropout" => {}
                _ => return Err(order_error()),
            }
        }
        Ok(Self { transformer: transformer.clone(), pooling: Some(pooling.clone()), tail })
    }
}

fn read_architecture(config: &Object) -> Result<Architecture> {
    let model_type: String = config.need("model_type")?;
    if !bert::MODEL_TYPES.contains(&model_type.as_str()) {
        return Err(config.unsupported("model_type", model_type, bert::MODEL_TYPES.join(", ")));
    }
    config.only("position_embedding_type", &Value::from("absolute"))?;
    config.only("is_decoder", &Value::from(false))?;
    config.only("add_cross_attention", &Value::from(false))?;
    config.only("is_encoder_decoder", &Value::from(false))?;
    let activation = match config.need::<String>("hidden_act")?.as_str() {
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        other => return Err(config.unsupported("hidden_act", other, "gelu, gelu_new, gelu_pytorch_tanh, relu")),
    };
    let layer_norm_eps: f64 = config.need("layer_norm_eps")?;
    if !(layer_norm_eps.is_finite() && layer_norm_eps >= 0.0) {
        return Err(config.error("layer_norm_eps", "is not a number from 0 on"));
    }
    let hidden_size = config.need_positive("hidden_size")?;
    let n_heads = config.need_positive("num_attention_heads")?;
    if !hidden_size.is_multiple_of(n_heads) {
        return Err(
            config.error("hidden_size", format!("is {hidden_size}, not a multiple of {n_heads} attention heads"))
        );
    }
    let n_positions = config.need_positive("max_position_embeddings")?;
    let pad_token_id: usize = if model_type == "bert" { 0 } else { config.need("pad_token_id")? };
    if n_positions <= pad_token_id.saturating_add(1) {
        return Err(config.error("max_position_embeddings", format!("is {n_positions}, which leaves no position free")));
    }
    Ok(Architecture {
        vocab_size: config.need_positive("vocab_size")?,
        hidden_size,
        n_layers: config.need_positive("num_hidden_layers")?,
        n_heads,
        intermediate_size: config.need_positive("intermediate_size")?,
        activation,
        layer_norm_eps,
        positions: bert::positions(&model_type, n_positions, pad_token_id),
        names: bert::weight_names(""),
        model_type,
    })
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
    settings.only("transformer_task", &Value::from("feature-extraction"))?;
    settings.only("module_output_name", &Value::from("token_embeddings"))?;
    settings.only(
        "modality_config",
        &serde_json::json!({"text": {"method": "forward", "method_output_name": "last_hidden_state"}}),
    )?;
    for (key, value) in &settings.fields {
        let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if !TRANSFORMER_KEYS.contains(&key.as_str()) && !is_empty {
            return Err(settings.unsupported("the setting", key, TRANSFORMER_KEYS.join(", ")));
        }
    }
    let tokenizer_config = Object::read_if_present(folder.join("tokenizer_config.json"))?;
    tokenizer_config.only("truncation_side", &Value::from("right"))?;

    let limit = match settings.get::<usize>("max_seq_length")? {
        Some(0) => return Err(settings.error("max_seq_length", "is 0")),
        Some(limit) => limit,
        // A number like 1e30 where there is no limit; as an integer it saturates.
        None => tokenizer_config.get::<f64>("model_max_length")?.map_or(usize::MAX, |limit| limit as usize),
    };
    let max_tokens = limit.min(architecture.max_tokens());
    Ok(Length { max_tokens, do_lower_case: settings.get("do_lower_case")?.unwrap_or(false) })
}

/// Names of pooling modes in the old form (one flag each) and the new (`pooling_mode`), in the order in which several are
/// concatenated.
const POOLING_MODES: [(&str, &str, Option<PoolingMode>); 6] = [
    ("pooling_mode_cls_token", "cls", Some(PoolingMode::Cls)),
    ("pooling_mode_max_tokens", "max", Some(PoolingMode::Max)),
    ("pooling_mode_mean_tokens", "mean", Some(PoolingMode::Mean)),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", Some(PoolingMode::MeanSqrtLen)),
    ("pooling_mode_weightedmean_tokens", "weightedmean", None),
    ("pooling_mode_lasttoken", "lasttoken", Some(PoolingMode::LastToken)),
];

fn read_pooling(folder: &Path, hidden_size: usize) -> Result<(Vec<PoolingMode>, bool)> {
    let config = Object::read(folder.join("config.json"))?;
    let supported = "cls, max, mean, mean_sqrt_len_tokens, lasttoken";
    let names: Vec<String> = match config.fields.get("pooling_mode") {
        Some(Value::String(name)) => vec![name.clone()],
        Some(_) => config.need("pooling_mode")?,
        None => {
            let mut names = Vec::new();
            for (key, value) in &config.fields {
                let known = POOLING_MODES.iter().find(|(flag, ..)| flag == key);
                if key.starts_with("pooling_mode_") && known.is_none() && *value != Value::Bool(false) {
                    return Err(config.unsupported("pooling mode", key, supported));
                }
            }
            for (flag, name, _) in POOLING_MODES {
                if config.get::<bool>(flag)?.unwrap_or(false) {
                    names.push(name.to_owned());
                }
            }
            if names.is_empty() { vec!["mean".to_owned()] } else { names }
        }
    };
    let mut modes = Vec::new();
    for name in &names {
        match POOLING_MODES.iter().find(|(_, known, _)| known == name) {
            Some((_, _, Some(mode))) => modes.push(*mode),
            _ => return Err(config.unsupported("pooling mode", name, supported)),
        }
    }
    if modes.is_empty() {
        return Err(config.error("pooling_mode", "is empty"));
    }
    for field in ["word_embedding_dimension", "embedding_dimension"] {
        if let Some(found) = config.get::<usize>(field)?
            && found != hidden_size
        {
            return Err(config.error(field, format!("is {found}, but the transformer's hidden size is {hidden_size}")));
        }
    }
    Ok((modes, config.get("include_prompt")?.unwrap_or(true)))
}

fn read_dense(folder: PathBuf, width: usize) -> Result<TailModule> {
    let config = Object::read(folder.join("config.json"))?;
    config.only("module_input_name", &Value::from("sentence_embedding"))?;
    config.only("module_output_name", &Value::from("sentence_embedding"))?;
    config.only("use_residual", &Value::from(false))?;
    let in_features = config.need_positive("in_features")?;
    if in_features != width {
        return Err(config.error("in_features", format!("is {in_features}, but {width} come in")));
    }
    // The reference's default is the hyperbolic tangent.
    let name = config.get::<String>("activation_function")?.unwrap_or_else(|| "torch.nn.Tanh".to_owned());
    let class = name.strip_prefix("torch.nn.").and_then(|rest| rest.rsplit('.').next());
    let activation = match class {
        Some("Identity") => DenseActivation::Identity,
        Some("Tanh") => DenseActivation::Tanh,
        Some("ReLU") => DenseActivation::Relu,
        Some("Sigmoid") => DenseActivation::Sigmoid,
        _ => {
            return Err(config.unsupported("activation_function", name, "torch.nn's Identity, Tanh, ReLU, Sigmoid"));
        }
    };
    let bias = config.get("bias")?.unwrap_or(true);
    Ok(TailModule::Dense { in_features, out_features: config.need_positive("out_features")?, bias, activation, folder })
}

fn read_normalize(folder: PathBuf) -> Result<TailModule> {
    let config = Object::read_if_present(folder.join("config.json"))?;
    config.only("module_input_name", &Value::from("sentence_embedding"))?;
    config.only("module_output_name", &Value::from("sentence_embedding"))?;
    Ok(TailModule::Normalize)
}

type Prompts = (Vec<(String, String)>, Option<String>);

fn read_prompts(folder: &Path) -> Result<Prompts> {
    let config = Object::read_if_present(folder.join("config_sentence_transformers.json"))?;
    config.only("model_type", &Value::from("SentenceTransformer"))?;
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
mod tests {
    use super::*;

    const FILES: [&str; 9] = [
        "config.json",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "tokenizer_config.json",
        "tokenizer.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "3_Normalize/config.json",
    ];

    /// A copy of an encoder's settings, with one file changed.
    fn folder_with(file: &str, change: impl Fn(&str) -> String) -> tempfile::TempDir {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-bert-cls-dense");
        let folder = tempfile::tempdir().unwrap();
        for name in FILES {
            let content = std::fs::read_to_string(source.join(name)).unwrap();
            let target = folder.path().join(name);
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::write(target, if name == file { change(&content) } else { content }).unwrap();
        }
        folder
    }

    fn replaced(file: &str, from: &str, to: &str) -> tempfile::TempDir {
        folder_with(file, |content| {
            assert!(content.contains(from), "{file} holds no {from}");
            content.replace(from, to)
        })
    }

    #[test]
    fn everything_is_read() {
        let folder = folder_with("", str::to_owned);
        let config = FolderConfig::read(folder.path()).unwrap();
        assert_eq!(config.max_tokens, 48);
        assert!(config.do_lower_case && config.include_prompt);
        assert_eq!(config.pooling, [PoolingMode::Cls]);
        let dense = TailModule::Dense {
            folder: folder.path().join("2_Dense"),
            in_features: 32,
            out_features: 24,
            bias: true,
            activation: DenseActivation::Tanh,
        };
        assert_eq!(config.tail, [dense, TailModule::Normalize]);
        assert_eq!(config.default_prompt_name.as_deref(), Some("passage"));
        assert!(config.prompts.contains(&("query".to_owned(), "query: ".to_owned())));
        assert_eq!(config.warnings, Vec::<String>::new());
        let a = &config.architecture;
        assert_eq!((a.vocab_size, a.hidden_size, a.n_layers, a.n_heads), (400, 32, 2, 4));
        assert_eq!((a.intermediate_size, a.activation, a.max_tokens()), (64, Activation::Gelu, 64));
    }

    #[test]
    fn positions_of_the_roberta_family_start_after_the_padding() {
        let folder = replaced("config.json", r#""bert""#, r#""xlm-roberta""#);
        let edited = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
        std::fs::write(
            folder.path().join("config.json"),
            edited.replace(r#""pad_token_id": 0"#, r#""pad_token_id": 1"#),
        )
        .unwrap();
        let config = FolderConfig::read(folder.path()).unwrap();
        assert_eq!(config.architecture.max_tokens(), 62);
    }

    #[test]
    fn the_length_limit_is_the_least_of_those_given() {
        let limit = |file, from, to| FolderConfig::read(replaced(file, from, to).path()).unwrap().max_tokens;
        assert_eq!(limit("sentence_bert_config.json", "48", "512"), 64);
        assert_eq!(limit("sentence_bert_config.json", r#""max_seq_length": 48, "#, ""), 48);
        let folder = replaced("sentence_bert_config.json", r#""max_seq_length": 48, "#, "");
        std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"model_max_length": 1e30}"#).unwrap();
        assert_eq!(FolderConfig::read(folder.path()).unwrap().max_tokens, 64);
    }

    #[test]
    fn without_modules_it_is_mean_pooling_with_a_warning() {
        let folder = folder_with("", str::to_owned);
        std::fs::remove_file(folder.path().join("modules.json")).unwrap();
        let config = FolderConfig::read(folder.path()).unwrap();
        assert_eq!((config.pooling, config.tail), (vec![PoolingMode::Mean], vec![]));
        assert!(config.warnings[0].contains("modules.json is missing"), "{:?}", config.warnings);
    }

    #[test]
    fn pooling_in_both_forms() {
        let pooling = |content: &str| {
            let folder = folder_with("1_Pooling/config.json", |_| content.to_owned());
            // The dense layer expects one block of columns only.
            let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
                {"path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"}]"#;
            std::fs::write(folder.path().join("modules.json"), modules).unwrap();
            FolderConfig::read(folder.path()).map(|config| config.pooling)
        };
        let (cls, max, mean) = (PoolingMode::Cls, PoolingMode::Max, PoolingMode::Mean);
        assert_eq!(pooling(r#"{"pooling_mode": "max"}"#).unwrap(), [max]);
        assert_eq!(pooling(r#"{"pooling_mode": ["mean", "cls"]}"#).unwrap(), [mean, cls]);
        assert_eq!(
            pooling(r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#).unwrap(),
            [cls, mean]
        );
        assert_eq!(pooling(r#"{"pooling_mode_mean_tokens": false}"#).unwrap(), [mean]);
        assert!(pooling(r#"{"pooling_mode": []}"#).is_err());
    }

    #[test]
    fn what_is_not_supported_or_malformed_is_named() {
        let cases = [
            (
                "config.json",
                r#""bert""#,
                r#""deberta-v2""#,
                "model_type `deberta-v2` is not supported; supported: bert",
            ),
            ("config.json", r#""is_decoder": false"#, r#""is_decoder": true"#, "is_decoder `true` is not supported"),
            (
                "config.json",
                r#""use_cache""#,
                r#""position_embedding_type": "relative_key", "x""#,
                "`\"relative_key\"`",
            ),
            ("config.json", r#""gelu""#, r#""swish""#, "hidden_act `swish` is not supported"),
            ("config.json", r#""hidden_size": 32"#, r#""hidden_size": 30"#, "`hidden_size` is 30, not a multiple of 4"),
            ("config.json", r#""hidden_size": 32"#, r#""hidden_size": "32""#, "`hidden_size` invalid type"),
            ("config.json", r#""num_hidden_layers": 2"#, r#""num_hidden_layers": 0"#, "`num_hidden_layers` is 0"),
            ("config.json", r#""vocab_size": 400"#, r#""x": 1"#, "`vocab_size` is missing"),
            ("config.json", r#""max_position_embeddings": 64"#, r#""max_position_embeddings": 1"#, "no position free"),
            ("config.json", "{", "", "config.json is not valid JSON"),
            ("modules.json", "models.Pooling", "models.WeightedLayerPooling", "WeightedLayerPooling` is not supported"),
            (
                "modules.json",
                "sentence_transformers.models.Transformer",
                "custom_st.Transformer",
                "`custom_st.Transformer`",
            ),
            (
                "modules.json",
                "models.Pooling",
                "models.Dense",
                "order of modules `Transformer, Dense, Dense, Normalize`",
            ),
            ("modules.json", "2_Dense", "../2_Dense", "`../2_Dense` leads out of the folder"),
            (
                "1_Pooling/config.json",
                r#"pooling_mode_cls_token"#,
                "pooling_mode_weightedmean_tokens",
                "`weightedmean`",
            ),
            ("1_Pooling/config.json", r#"pooling_mode_cls_token"#, "pooling_mode_new_kind", "`pooling_mode_new_kind`"),
            ("1_Pooling/config.json", "32", "64", "is 64, but the transformer's hidden size is 32"),
            (
                "2_Dense/config.json",
                "torch.nn.modules.activation.Tanh",
                "torch.nn.modules.activation.GELU",
                "GELU` is not",
            ),
            ("2_Dense/config.json", r#""in_features": 32"#, r#""in_features": 31"#, "is 31, but 32 come in"),
            (
                "2_Dense/config.json",
                r#""bias": true"#,
                r#""use_residual": true"#,
                "use_residual `true` is not supported",
            ),
            ("3_Normalize/config.json", "sentence_embedding", "token_embeddings", "module_input_name"),
            ("sentence_bert_config.json", "48", "-1", "`max_seq_length` invalid value"),
            ("sentence_bert_config.json", "48", "0", "`max_seq_length` is 0"),
            (
                "sentence_bert_config.json",
                r#""do_lower_case""#,
                r#""query_expansion": {"length": 3}, "x""#,
                "`query_expansion`",
            ),
            ("sentence_bert_config.json", r#""do_lower_case""#, r#""transformer_task": "fill-mask", "x""#, "fill-mask"),
            ("tokenizer_config.json", r#""backend""#, r#""truncation_side": "left", "x""#, "truncation_side"),
            ("config_sentence_transformers.json", r#""query: ""#, "7", "`prompts` holds 7 under `query`"),
            (
                "config_sentence_transformers.json",
                r#""default_prompt_name": "passage""#,
                r#""default_prompt_name": "x""#,
                "is `x`",
            ),
            (
                "config_sentence_transformers.json",
                "SentenceTransformer",
                "SparseEncoder",
                "model_type `\"SparseEncoder\"`",
            ),
        ];
        for (file, from, to, expected) in cases {
            let error = FolderConfig::read(replaced(file, from, to).path()).expect_err(expected);
            let message = error.to_string();
            assert!(message.contains(expected) && message.contains(file), "{message}\ndoes not hold: {expected}");
        }
        let folder = folder_with("", str::to_owned);
        std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
        let message = FolderConfig::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("cannot read") && message.contains("tokenizer.json"), "{message}");
    }
}
