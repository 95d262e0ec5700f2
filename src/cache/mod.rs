//! Embeddings kept on disk, so that the same article goes through the same encoder once.
//!
//! An LMDB environment in a folder of its own: memory-mapped, copy-on-write, made for several processes at once; one writes at a time, a
//! killed one leaves what was committed. It holds numbers and hashes, no text: `contexts` (what an embedding depends on beside the text, as JSON,
//! with the time of the last use) and `articles` (a context's name and a text's name to an embedding). Whoever reads a value checks it
//! by its own checksum.

mod map;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use heed::types::Bytes;
use heed::{Database, Env, RoTxn, RwTxn};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::encoder::store::{EmbeddingStore, KEY_BYTES, Key, StoreContext, StoreProblem};

/// What the cache may hold at most. The file grows as it is filled, not before.
pub const MAX_BYTES: usize = 32 << 30;

/// The time of use is written again when it is older than this, so that reading seldom writes.
const USE_SECONDS: u64 = 3600;

/// Why a cache cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CacheError {
    #[error("cannot make the folder {}", .path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot {what} the embeddings in {}", .path.display())]
    Store {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: heed::Error,
    },
    #[error("the embeddings in {} have reached their limit of {} GiB; `cache clear` makes room", .path.display(), MAX_BYTES >> 30)]
    Full { path: PathBuf },
}

/// What is kept under one context.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContextInfo {
    /// What the embeddings depend on: the encoder and its settings.
    pub description: serde_json::Value,
    /// Seconds since 1970.
    pub used_at: u64,
    pub n_articles: u64,
    /// Of the values alone.
    pub n_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct ContextEntry {
    description: serde_json::Value,
    used_at: u64,
}

/// Embeddings in a folder.
#[derive(Debug)]
pub struct EmbeddingCache {
    path: PathBuf,
    env: Env,
    contexts: Database<Bytes, Bytes>,
    articles: Database<Bytes, Bytes>,
}

impl EmbeddingCache {
    /// Opens the cache in a folder, which is made where it is not there.
    ///
    /// # Errors
    /// The folder cannot be made or written, or holds something else.
    ///
    /// # Example
    /// ```
    /// use topicwire::cache::EmbeddingCache;
    /// let folder = tempfile::tempdir()?;
    /// let cache = EmbeddingCache::open(folder.path())?;
    /// assert!(cache.contexts()?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        std::fs::create_dir_all(path).map_err(|source| CacheError::Folder { path: path.to_owned(), source })?;
        let error = |source| CacheError::Store { what: "open", path: path.to_owned(), source };
        let env = map::open(path, MAX_BYTES).map_err(error)?;
        let mut transaction = env.write_txn().map_err(error)?;
        let contexts = env.create_database(&mut transaction, Some("contexts")).map_err(error)?;
        let articles = env.create_database(&mut transaction, Some("articles")).map_err(error)?;
        transaction.commit().map_err(error)?;
        // Readers that were killed would keep old pages from being used again.
        env.clear_stale_readers().map_err(error)?;
        Ok(Self { path: path.to_owned(), env, contexts, articles })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that the folder takes on the disk.
    ///
    /// # Errors
    /// The size of the file cannot be read.
    pub fn disk_bytes(&self) -> Result<u64, CacheError> {
        self.env.real_disk_size().map_err(|source| self.problem("measure", source))
    }

    /// What is kept, by context, the one that was used last first. Looks at every entry.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn contexts(&self) -> Result<Vec<ContextInfo>, CacheError> {
        let read = || -> Result<Vec<ContextInfo>, heed::Error> {
            let transaction = self.env.read_txn()?;
            let mut found = Vec::new();
            for entry in self.contexts.iter(&transaction)? {
                let (key, value) = entry?;
                let Ok(entry) = serde_json::from_slice::<ContextEntry>(value) else { continue };
                let mut info =
                    ContextInfo { description: entry.description, used_at: entry.used_at, n_articles: 0, n_bytes: 0 };
                for article in self.articles.prefix_iter(&transaction, key)? {
                    info.n_articles += 1;
                    info.n_bytes += article?.1.len() as u64;
                }
                found.push(info);
            }
            Ok(found)
        };
        let mut found = read().map_err(|source| self.problem("read", source))?;
        found.sort_by_key(|info| std::cmp::Reverse(info.used_at));
        Ok(found)
    }

    /// Removes what was not used since a time (seconds since 1970), everything where that is `None`; gives the number of articles removed. The file keeps
    /// its size, its room is used again; an empty cache gives it back when no other process has it open.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn clear(&self, unused_since: Option<u64>) -> Result<u64, CacheError> {
        let clear = || -> Result<u64, heed::Error> {
            let mut transaction = self.env.write_txn()?;
            let mut old: Vec<Vec<u8>> = Vec::new();
            for entry in self.contexts.iter(&transaction)? {
                let (key, value) = entry?;
                let used_at = serde_json::from_slice::<ContextEntry>(value).map_or(0, |entry| entry.used_at);
                if unused_since.is_none_or(|limit| used_at < limit) {
                    old.push(key.to_vec());
                }
            }
            let mut n_removed = 0;
            for key in old {
                let mut articles = self.articles.prefix_iter_mut(&mut transaction, &key)?;
                while articles.next().transpose()?.is_some() {
                    n_removed += 1;
                    map::delete_current(&mut articles)?;
                }
                drop(articles);
                self.contexts.delete(&mut transaction, &key)?;
            }
            transaction.commit()?;
            Ok(n_removed)
        };
        clear().map_err(|source| self.problem("clear", source))
    }

    fn problem(&self, what: &'static str, source: heed::Error) -> CacheError {
        match source {
            heed::Error::Mdb(heed::MdbError::MapFull) => CacheError::Full { path: self.path.clone() },
            source => CacheError::Store { what, path: self.path.clone(), source },
        }
    }

    fn note_use(&self, transaction: &mut RwTxn<'_>, context: &StoreContext) -> Result<(), heed::Error> {
        let description = serde_json::from_str(&context.description).unwrap_or_default();
        let entry = ContextEntry { description, used_at: now() };
        let bytes = serde_json::to_vec(&entry).expect("plain data has a JSON form");
        self.contexts.put(transaction, &context.key, &bytes)
    }

    fn is_fresh(&self, transaction: &RoTxn<'_>, context: &StoreContext) -> Result<bool, heed::Error> {
        let entry = self.contexts.get(transaction, &context.key)?;
        let entry = entry.and_then(|bytes| serde_json::from_slice::<ContextEntry>(bytes).ok());
        Ok(entry.is_none_or(|entry| now().saturating_sub(entry.used_at) < USE_SECONDS))
    }
}

impl EmbeddingStore for EmbeddingCache {
    fn get(&self, context: &StoreContext, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, StoreProblem> {
        let read = || -> Result<(Vec<Option<Vec<u8>>>, bool), heed::Error> {
            let transaction = self.env.read_txn()?;
            let values = keys
                .iter()
                .map(|key| Ok(self.articles.get(&transaction, &full_key(context, key))?.map(<[u8]>::to_vec)))
                .collect::<Result<_, heed::Error>>()?;
            Ok((values, self.is_fresh(&transaction, context)?))
        };
        let (values, is_fresh) = read().map_err(|source| self.problem("read", source))?;
        if !is_fresh {
            // Only the time of use is lost where this fails: a cache that may be read and not written is of use too.
            let _ = self.env.write_txn().and_then(|mut transaction| {
                self.note_use(&mut transaction, context)?;
                transaction.commit()
            });
        }
        Ok(values)
    }

    fn put(&self, context: &StoreContext, values: &[(Key, Vec<u8>)]) -> Result<(), StoreProblem> {
        if values.is_empty() {
            return Ok(());
        }
        let write = || -> Result<(), heed::Error> {
            let mut transaction = self.env.write_txn()?;
            self.note_use(&mut transaction, context)?;
            for (key, value) in values {
                self.articles.put(&mut transaction, &full_key(context, key), value)?;
            }
            transaction.commit()
        };
        Ok(write().map_err(|source| self.problem("write", source))?)
    }
}

fn full_key(context: &StoreContext, key: &Key) -> [u8; 2 * KEY_BYTES] {
    let mut full = [0; 2 * KEY_BYTES];
    full[..KEY_BYTES].copy_from_slice(&context.key);
    full[KEY_BYTES..].copy_from_slice(key);
    full
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::store::key_of;

    fn context(name: &str) -> StoreContext {
        StoreContext { key: key_of(&[name.as_bytes()]), description: format!("{{\"encoder\": \"{name}\"}}") }
    }

    fn values(n: u8) -> Vec<(Key, Vec<u8>)> {
        (0..n).map(|i| (key_of(&[&[i]]), vec![i; 100])).collect()
    }

    #[test]
    fn values_come_back_under_their_own_context_only() {
        let folder = tempfile::tempdir().unwrap();
        let values = values(3);
        let keys: Vec<Key> = values.iter().map(|(key, _)| *key).collect();
        {
            let cache = EmbeddingCache::open(folder.path()).unwrap();
            cache.put(&context("a"), &values[..2]).unwrap();
        }
        let cache = EmbeddingCache::open(folder.path()).unwrap();
        let found = cache.get(&context("a"), &keys).unwrap();
        assert_eq!(found, [Some(vec![0; 100]), Some(vec![1; 100]), None]);
        assert_eq!(cache.get(&context("b"), &keys).unwrap(), [None, None, None]);
    }

    #[test]
    fn contexts_are_listed_and_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let cache = EmbeddingCache::open(folder.path()).unwrap();
        cache.put(&context("a"), &values(2)).unwrap();
        cache.put(&context("b"), &values(5)).unwrap();
        let mut sizes: Vec<(u64, u64)> =
            cache.contexts().unwrap().iter().map(|info| (info.n_articles, info.n_bytes)).collect();
        sizes.sort();
        assert_eq!(sizes, [(2, 200), (5, 500)]);
        assert_eq!(cache.clear(Some(now() - 10)).unwrap(), 0);
        assert_eq!(cache.clear(Some(now() + 10)).unwrap(), 7);
        cache.put(&context("a"), &values(2)).unwrap();
        assert_eq!(cache.clear(None).unwrap(), 2);
        assert!(cache.contexts().unwrap().is_empty());
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_an_error_that_names_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let message = EmbeddingCache::open(file.path()).unwrap_err().to_string();
        assert_eq!(message, format!("cannot make the folder {}", file.path().display()));
    }
}
