//! Articles that a store knows already: what is kept of one, as bytes.

use std::sync::atomic::{AtomicBool, Ordering};

use twox_hash::XxHash3_64;

use super::EmbedSettings;
use crate::encoder::store::{EmbeddingStore, Key, StoreContext, key_of};
use crate::encoder::{Encoder, EncoderError};
use crate::progress::{Event, Progress};
use crate::text::TitledText;

/// Checksum, five counts and the flag of an article.
const HEADER_BYTES: usize = 8 + 5 * 4 + 1;

/// What became of one article in the encoder.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StoredArticle {
    pub(super) embedding: Vec<f32>,
    /// One row after the other.
    pub(super) passages: Vec<f32>,
    /// Windows of the article itself.
    pub(super) n_windows: u32,
    /// Windows and tokens that went through the encoder, those of passages included.
    pub(super) n_all_windows: u32,
    pub(super) n_tokens: u32,
    pub(super) was_cut: bool,
}

impl StoredArticle {
    fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(HEADER_BYTES + 4 * (self.embedding.len() + self.passages.len()));
        for count in [self.n_windows, self.n_all_windows, self.n_tokens] {
            body.extend(count.to_le_bytes());
        }
        for numbers in [&self.embedding, &self.passages] {
            body.extend((numbers.len() as u32).to_le_bytes());
        }
        body.push(u8::from(self.was_cut));
        for number in self.embedding.iter().chain(&self.passages) {
            body.extend(number.to_le_bytes());
        }
        let checksum = XxHash3_64::oneshot(&body);
        [&checksum.to_le_bytes(), body.as_slice()].concat()
    }

    /// `None` where bytes were cut or changed.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (checksum, body) = bytes.split_first_chunk::<8>()?;
        if XxHash3_64::oneshot(body) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let count = |i: usize| Some(u32::from_le_bytes(*body.get(4 * i..)?.first_chunk()?));
        let (n_columns, n_of_passages) = (count(3)? as usize, count(4)? as usize);
        let was_cut = *body.get(HEADER_BYTES - 9)? != 0;
        let numbers: Vec<f32> = body
            .get(HEADER_BYTES - 8..)?
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        if numbers.len() != n_columns + n_of_passages {
            return None;
        }
        let (embedding, passages) = numbers.split_at(n_columns);
        Some(Self {
            embedding: embedding.to_vec(),
            passages: passages.to_vec(),
            n_windows: count(0)?,
            n_all_windows: count(1)?,
            n_tokens: count(2)?,
            was_cut,
        })
    }
}

/// A store under one context, for the articles of one stream.
pub(super) struct Shelf<'a> {
    store: &'a dyn EmbeddingStore,
    context: StoreContext,
    hidden_size: usize,
    /// It is not asked again: one warning is enough.
    has_failed: AtomicBool,
}

impl<'a> Shelf<'a> {
    /// `None` where the encoder has no store.
    ///
    /// # Errors
    /// As [`StoreContext::new`].
    pub(super) fn open(encoder: &'a Encoder, settings: &EmbedSettings) -> Result<Option<Self>, EncoderError> {
        let Some(store) = encoder.store() else { return Ok(None) };
        let context = StoreContext::new(encoder, settings)?;
        Ok(Some(Self { store, context, hidden_size: encoder.hidden_size(), has_failed: AtomicBool::new(false) }))
    }

    pub(super) fn keys(&self, texts: &[TitledText<'_>]) -> Vec<Key> {
        let key = |text: &TitledText<'_>| match text.title.filter(|title| !title.is_empty()) {
            None => key_of(&[text.text.as_bytes()]),
            Some(title) => key_of(&[title.as_bytes(), text.text.as_bytes()]),
        };
        texts.iter().map(key).collect()
    }

    /// What is known; a store that fails is as good as an empty one, after a warning. `n_passages` of each article, 0 where none are
    /// wanted.
    pub(super) fn get(
        &self,
        keys: &[Key],
        n_passages: &[usize],
        progress: &dyn Progress,
    ) -> Vec<Option<StoredArticle>> {
        if self.has_failed.load(Ordering::Relaxed) {
            return vec![None; keys.len()];
        }
        let found = self.store.get(&self.context, keys).unwrap_or_else(|problem| {
            self.fail("read", &*problem, progress);
            vec![None; keys.len()]
        });
        let fits = |article: &StoredArticle, n: usize| {
            article.embedding.len() == self.hidden_size && article.passages.len() == n * self.hidden_size
        };
        let read = found.iter().zip(n_passages);
        read.map(|(bytes, &n)| StoredArticle::from_bytes(bytes.as_ref()?).filter(|article| fits(article, n))).collect()
    }

    pub(super) fn put(&self, keys: &[Key], articles: &[StoredArticle], progress: &dyn Progress) {
        if self.has_failed.load(Ordering::Relaxed) {
            return;
        }
        let values: Vec<(Key, Vec<u8>)> =
            keys.iter().zip(articles).map(|(key, article)| (*key, article.to_bytes())).collect();
        if let Err(problem) = self.store.put(&self.context, &values) {
            self.fail("write", &*problem, progress);
        }
    }

    fn fail(&self, what: &str, problem: &dyn std::error::Error, progress: &dyn Progress) {
        if self.has_failed.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut message = format!("cannot {what} the cache, the work goes on without it: {problem}");
        let mut source = problem.source();
        while let Some(cause) = source {
            message.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        progress.event(Event::Warning { message: &message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_survive_as_bytes_and_damage_is_seen() {
        let article = StoredArticle {
            embedding: vec![0.5, -1.0],
            passages: vec![1.0, 2.0, 3.0, 4.0],
            n_windows: 1,
            n_all_windows: 3,
            n_tokens: 77,
            was_cut: true,
        };
        let bytes = article.to_bytes();
        assert_eq!(StoredArticle::from_bytes(&bytes), Some(article));
        for n in 0..bytes.len() {
            assert_eq!(StoredArticle::from_bytes(&bytes[..n]), None, "cut to {n} bytes");
            let mut changed = bytes.clone();
            changed[n] ^= 1;
            assert_eq!(StoredArticle::from_bytes(&changed), None, "byte {n} changed");
        }
    }
}
