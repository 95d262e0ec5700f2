//! `modules.json`: the parts of an encoder in their order, and the settings of those behind the transformer.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::object::{Object, parse, read_bytes};
use super::{ConfigError, DenseActivation, PoolingMode, Result, TailModule};

/// Where each part lies.
pub(super) struct Modules {
    pub transformer: PathBuf,
    pub pooling: Option<PathBuf>,
    pub tail: Vec<TailPath>,
}

pub(super) enum TailPath {
    Dense(PathBuf),
    Normalize(PathBuf),
}

const SUPPORTED_MODULES: &str = "Transformer, Pooling, Dense, Dropout, Normalize of sentence_transformers";

impl Modules {
    pub(super) fn read(folder: &Path, warnings: &mut Vec<String>) -> Result<Self> {
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
                return Err(ConfigError::Unsupported {
                    path,
                    what: "module type".to_owned(),
                    found: module.r#type,
                    supported,
                });
            }
            kinds.push((class.to_owned(), folder.join(module.path)));
        }
        let order_error = || ConfigError::Unsupported {
            path: path.clone(),
            what: "order of modules".to_owned(),
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

pub(super) fn read_pooling(folder: &Path, hidden_size: usize) -> Result<(Vec<PoolingMode>, bool)> {
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

pub(super) fn read_dense(folder: PathBuf, width: usize) -> Result<TailModule> {
    let config = Object::read(folder.join("config.json"))?;
    config.only("module_input_name", "sentence_embedding")?;
    config.only("module_output_name", "sentence_embedding")?;
    config.only("use_residual", false)?;
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

pub(super) fn read_normalize(folder: PathBuf) -> Result<TailModule> {
    let config = Object::read_if_present(folder.join("config.json"))?;
    config.only("module_input_name", "sentence_embedding")?;
    config.only("module_output_name", "sentence_embedding")?;
    Ok(TailModule::Normalize)
}
