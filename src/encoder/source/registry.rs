//! Encoders known by a short name, from `models/encoders.toml`.

use std::sync::LazyLock;

use serde::Deserialize;
use thiserror::Error;

use super::EncoderId;
use crate::labels::closest;

/// The list compiled into the program.
const EMBEDDED: &str = include_str!("../../../models/encoders.toml");

static EMBEDDED_REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::parse(EMBEDDED).expect("a test parses the list that is compiled in"));

/// The family a network belongs to, as `model_type` in its `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelType {
    Bert,
    XlmRoberta,
}

impl std::fmt::Display for ModelType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            ModelType::Bert => "bert",
            ModelType::XlmRoberta => "xlm-roberta",
        })
    }
}

/// How the hidden states of the tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolingMode {
    /// The first token's hidden state.
    Cls,
    /// The mean over all tokens.
    Mean,
}

impl std::fmt::Display for PoolingMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            PoolingMode::Cls => "cls",
            PoolingMode::Mean => "mean",
        })
    }
}

/// How far an encoder's results here were compared with the Python reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verified {
    /// Not compared.
    #[default]
    No,
    /// Its embeddings agree with the reference within the tolerances of the parity tests.
    Parity,
}

impl std::fmt::Display for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verified::No => "no",
            Verified::Parity => "parity",
        })
    }
}

/// One encoder of the list.
///
/// `hub_id`, `revision`, `weights_sha256` and `prefix` steer the program; the other fields describe the encoder to a
/// reader, while the program reads them from the encoder's own folder.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownEncoder {
    /// Short name, unique in the list.
    pub alias: String,
    /// `ORG/NAME` on the hub, unique in the list.
    pub hub_id: String,
    /// Commit on the hub; `None` means the branch `main`.
    #[serde(default)]
    pub revision: Option<String>,
    /// SHA-256 of `model.safetensors`, 64 hexadecimal digits; other weights are refused. `None` means any weights.
    #[serde(default)]
    pub weights_sha256: Option<String>,
    pub model_type: ModelType,
    pub parameters_millions: f64,
    /// Number of dimensions of an embedding.
    pub hidden_size: usize,
    /// Longest window in tokens, special tokens included.
    pub max_tokens: usize,
    /// `None` where it was not looked up; the folder says it.
    #[serde(default)]
    pub pooling: Option<PoolingMode>,
    /// Put before every article; empty for most encoders.
    #[serde(default)]
    pub prefix: String,
    /// SPDX name.
    pub licence: String,
    /// Language codes, or `multilingual`.
    pub languages: Vec<String>,
    #[serde(default)]
    pub verified: Verified,
    #[serde(default)]
    pub note: String,
}

impl KnownEncoder {
    /// The id that finds this encoder.
    pub fn id(&self) -> EncoderId {
        EncoderId::Hub { repo: self.hub_id.clone(), revision: None }
    }
}

/// What can be wrong with a list of encoders.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RegistryError {
    #[error("the list of encoders is not the TOML it should be")]
    Toml {
        #[source]
        source: toml::de::Error,
    },
    #[error("encoder `{alias}`: {reason}")]
    Entry { alias: String, reason: String },
    #[error("the default encoder `{alias}` is not in the list")]
    NoDefault { alias: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryFile {
    default: String,
    #[serde(rename = "encoder")]
    encoders: Vec<KnownEncoder>,
}

/// The encoders known by name.
///
/// ```
/// use topicwire::encoder::source::Registry;
/// let registry = Registry::embedded();
/// assert_eq!(registry.default_encoder().hub_id, "sentence-transformers/all-MiniLM-L6-v2");
/// assert_eq!(registry.get("BAAI/bge-m3").map(|encoder| encoder.alias.as_str()), Some("bge-m3"));
/// assert_eq!(registry.closest("minilm6"), Some("minilm"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Registry {
    default_idx: usize,
    encoders: Vec<KnownEncoder>,
}

impl Registry {
    /// The list compiled into the program.
    pub fn embedded() -> &'static Registry {
        &EMBEDDED_REGISTRY
    }

    /// Reads a list in the form of `models/encoders.toml`.
    ///
    /// # Errors
    /// TOML of another shape, a name given twice, a hub id, revision or hash that cannot be one, or a default that is not
    /// listed.
    pub fn parse(text: &str) -> Result<Self, RegistryError> {
        let file: RegistryFile = toml::from_str(text).map_err(|source| RegistryError::Toml { source })?;
        for (idx, encoder) in file.encoders.iter().enumerate() {
            check(encoder, &file.encoders[..idx])
                .map_err(|reason| RegistryError::Entry { alias: encoder.alias.clone(), reason })?;
        }
        let default_idx = file
            .encoders
            .iter()
            .position(|encoder| encoder.alias == file.default)
            .ok_or(RegistryError::NoDefault { alias: file.default })?;
        Ok(Self { default_idx, encoders: file.encoders })
    }

    /// The encoder used where none is named.
    pub fn default_encoder(&self) -> &KnownEncoder {
        &self.encoders[self.default_idx]
    }

    /// All encoders, in the order of the list.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &KnownEncoder> {
        self.encoders.iter()
    }

    /// The encoder with this alias or hub id.
    pub fn get(&self, name: &str) -> Option<&KnownEncoder> {
        self.encoders.iter().find(|encoder| encoder.alias == name || encoder.hub_id == name)
    }

    /// The alias most like `name`, when it is near enough to be a slip of the pen.
    pub fn closest(&self, name: &str) -> Option<&str> {
        closest(name, self.encoders.iter().map(|encoder| encoder.alias.as_str()))
    }
}

fn check(encoder: &KnownEncoder, before: &[KnownEncoder]) -> Result<(), String> {
    if before.iter().any(|other| other.alias == encoder.alias) {
        return Err("the alias is given twice".to_owned());
    }
    if before.iter().any(|other| other.hub_id == encoder.hub_id) {
        return Err(format!("the hub id `{}` is given twice", encoder.hub_id));
    }
    match encoder.alias.parse() {
        Ok(EncoderId::Name(_)) => {}
        _ => return Err("an alias must be one word of letters, digits, `.`, `_` and `-`".to_owned()),
    }
    match encoder.hub_id.parse() {
        Ok(EncoderId::Hub { revision: None, .. }) => {}
        _ => return Err(format!("`{}` is no hub id of the form ORG/NAME", encoder.hub_id)),
    }
    if let Some(revision) = &encoder.revision
        && !is_hex(revision, 40)
    {
        return Err(format!("the revision `{revision}` is no commit of 40 hexadecimal digits"));
    }
    if let Some(hash) = &encoder.weights_sha256
        && !is_hex(hash, 64)
    {
        return Err(format!("`{hash}` is no SHA-256 of 64 hexadecimal digits"));
    }
    Ok(())
}

/// Whether the text is `n_digits` lower-case hexadecimal digits.
pub(super) fn is_hex(text: &str, n_digits: usize) -> bool {
    text.len() == n_digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(alias: &str, hub_id: &str, extra: &str) -> String {
        format!(
            "[[encoder]]\nalias = \"{alias}\"\nhub_id = \"{hub_id}\"\nmodel_type = \"bert\"\nparameters_millions = 1.0\n\
             hidden_size = 4\nmax_tokens = 8\nlicence = \"MIT\"\nlanguages = [\"en\"]\n{extra}\n"
        )
    }

    #[test]
    fn the_embedded_list_holds_the_promised_encoders() {
        let registry = Registry::embedded();
        assert!(registry.iter().len() >= 12, "{} encoders", registry.iter().len());
        let default = registry.default_encoder();
        assert_eq!((default.alias.as_str(), default.hidden_size, default.max_tokens), ("minilm", 384, 256));
        assert_eq!(default.verified, Verified::Parity);
        assert_eq!(registry.iter().filter(|encoder| encoder.verified == Verified::Parity).count(), 1);
        for encoder in registry.iter() {
            assert_eq!(encoder.revision.is_some(), encoder.weights_sha256.is_some(), "{}", encoder.alias);
            assert_eq!(encoder.prefix, if encoder.alias.contains("e5") { "query: " } else { "" }, "{}", encoder.alias);
        }
    }

    #[test]
    fn the_script_fetches_what_the_list_pins() {
        let script = include_str!("../../../scripts/fetch-encoder.sh");
        let default = Registry::embedded().default_encoder();
        let pinned = [
            ("HUB_ID", Some(&default.hub_id)),
            ("REVISION", default.revision.as_ref()),
            ("WEIGHTS_SHA256", default.weights_sha256.as_ref()),
        ];
        for (name, value) in pinned {
            let line = format!("readonly {name}={}", value.expect("the default is pinned"));
            assert!(script.lines().any(|other| other == line), "{line}");
        }
    }

    #[test]
    fn names_find_encoders_and_slips_are_answered() {
        let registry = Registry::embedded();
        assert_eq!(registry.get("minilm"), registry.get("sentence-transformers/all-MiniLM-L6-v2"));
        assert_eq!(registry.get("MiniLM"), None);
        assert_eq!(registry.closest("MiniLM"), Some("minilm"));
        assert_eq!(registry.closest("bge-smal"), Some("bge-small"));
        assert_eq!(registry.closest("zebra"), None);
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused() {
        let a = entry("a", "o/a", "");
        let cases = [
            ("default = \"a\"".to_owned(), "the list of encoders is not the TOML it should be"),
            (format!("default = \"b\"\n{a}"), "the default encoder `b` is not in the list"),
            (format!("default = \"a\"\n{a}{}", entry("a", "o/b", "")), "encoder `a`: the alias is given twice"),
            (format!("default = \"a\"\n{a}{}", entry("b", "o/a", "")), "encoder `b`: the hub id `o/a` is given twice"),
            (
                format!("default = \"a/b\"\n{}", entry("a/b", "o/a", "")),
                "encoder `a/b`: an alias must be one word of letters, digits, `.`, `_` and `-`",
            ),
            (
                format!("default = \"a\"\n{}", entry("a", "oa", "")),
                "encoder `a`: `oa` is no hub id of the form ORG/NAME",
            ),
            (
                format!("default = \"a\"\n{}", entry("a", "o/a", "revision = \"main\"")),
                "encoder `a`: the revision `main` is no commit of 40 hexadecimal digits",
            ),
            (
                format!("default = \"a\"\n{}", entry("a", "o/a", "weights_sha256 = \"ABC\"")),
                "encoder `a`: `ABC` is no SHA-256 of 64 hexadecimal digits",
            ),
            (
                format!("default = \"a\"\n{}", entry("a", "o/a", "colour = \"red\"")),
                "the list of encoders is not the TOML it should be",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Registry::parse(&text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
