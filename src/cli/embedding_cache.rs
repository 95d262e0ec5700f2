//! Where embeddings are kept on disk, by flag, environment or custom of the system.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use crate::encoder::store::EmbeddingStore;

/// Value of `--cache` without a folder.
pub const USUAL: &str = "usual";

/// The folder that `--cache` names: the given one, else `$TOPICWIRE_CACHE`, else `topicwire/embeddings` where the system keeps caches.
pub fn folder(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given.filter(|given| *given != Path::new(USUAL)) {
        return Ok(given.to_owned());
    }
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = var("TOPICWIRE_CACHE") {
        return Ok(named);
    }
    let caches = var("XDG_CACHE_HOME").or_else(|| Some(var("HOME").or_else(|| var("USERPROFILE"))?.join(".cache")));
    let caches = caches.context("no place for a cache: name one with --cache=DIR, or set TOPICWIRE_CACHE or HOME")?;
    Ok(caches.join("topicwire").join("embeddings"))
}

/// Opens the cache.
#[cfg(feature = "cache")]
pub fn open(folder: &Path) -> anyhow::Result<Arc<dyn EmbeddingStore>> {
    Ok(Arc::new(crate::cache::EmbeddingCache::open(folder)?))
}

/// Says that there is none in this build.
#[cfg(not(feature = "cache"))]
pub fn open(_folder: &Path) -> anyhow::Result<Arc<dyn EmbeddingStore>> {
    anyhow::bail!("embeddings cannot be kept on disk: this build lacks the feature `cache`")
}
