//! The seam for embeddings that were computed before: what asks for them knows nothing of where they are kept.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Encoder, EncoderError};

/// Bytes of the names of contexts and articles: half a SHA-256, so that two of a billion meet with a chance below 1e-20.
pub const KEY_BYTES: usize = 16;

/// The name of an article's text, or of a context.
pub type Key = [u8; KEY_BYTES];

/// Why a store failed.
pub type StoreProblem = Box<dyn std::error::Error + Send + Sync>;

/// All that an embedding depends on, but for the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreContext {
    pub key: Key,
    /// The same as JSON, for a person who wants to know what is kept.
    pub description: String,
}

impl StoreContext {
    /// The context of an encoder and settings of whoever uses it.
    ///
    /// # Errors
    /// Files of the encoder that cannot be read any more.
    pub fn new(encoder: &Encoder, settings: &impl Serialize) -> Result<Self, EncoderError> {
        #[derive(Serialize)]
        struct Context<'a, S> {
            program_version: &'static str,
            encoder_sha256: &'a str,
            executor: &'a str,
            prompt: &'a str,
            depth: super::Depth,
            settings: &'a S,
        }
        let info = encoder.info();
        let context = Context {
            program_version: env!("CARGO_PKG_VERSION"),
            encoder_sha256: &encoder.fingerprint()?,
            executor: &info.executor,
            prompt: &info.prompt,
            depth: info.depth,
            settings,
        };
        let key = serde_json::to_string(&context).expect("plain data has a JSON form");
        // The name is told, not keyed: the same files elsewhere are the same encoder.
        let name = encoder.reference().map_or("", |reference| reference.id.as_str());
        let described = serde_json::json!({ "encoder": name, "context": context });
        Ok(Self { key: key_of(&[key.as_bytes()]), description: described.to_string() })
    }
}

/// The name of some parts, each with its length, so that none can pass for another's end.
pub fn key_of(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..KEY_BYTES]);
    key
}

/// Keeps values of articles under a context.
pub trait EmbeddingStore: Send + Sync {
    /// The value of each key, `None` where there is none.
    ///
    /// # Errors
    /// The store cannot be read; whoever asks goes on without it.
    fn get(&self, context: &StoreContext, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreProblem>;

    /// Keeps values; what is there already under the same name is replaced.
    ///
    /// # Errors
    /// The store cannot be written, or is full; whoever gives goes on without it.
    fn put(&self, context: &StoreContext, values: &[(Key, Vec<u8>)]) -> Result<(), StoreProblem>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(key_of(&[b"ab", b"c"]), key_of(&[b"a", b"bc"]));
        assert_ne!(key_of(&[b"", b"a"]), key_of(&[b"a"]));
    }
}
