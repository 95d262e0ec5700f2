//! Ids that are used twice.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Article;
use super::error::{Place, Position, RowProblem};

/// Finds ids that were used before. Training and evaluation need this, prediction does not.
///
/// Keeps 128 bits of a hash and a place per article (about 70 bytes each with the table's slack, whatever the length of the
/// ids), so it grows with the corpus: 1 GB at some 15 million articles. Two different ids have the same hash with a
/// probability below 10⁻²⁰ even then.
///
/// ```no_run
/// use topicwire::data::{DuplicateIds, ReadOptions, read_articles};
/// let mut ids = DuplicateIds::default();
/// let articles = read_articles(&["train.jsonl"], &ReadOptions::default())?
///     .check(move |article, place| ids.check(article, place));
/// # Ok::<(), topicwire::data::DataError>(())
/// ```
#[derive(Debug, Default)]
pub struct DuplicateIds {
    files: Vec<Arc<std::path::Path>>,
    seen: HashMap<[u8; 16], (u32, Position)>,
}

impl DuplicateIds {
    /// Remembers the article's id.
    ///
    /// # Errors
    /// [`RowProblem::DuplicateId`] with the place of the first article of this id.
    pub fn check(&mut self, article: &Article, place: &Place) -> Result<(), RowProblem> {
        if self.files.last() != Some(&place.file) {
            self.files.push(place.file.clone());
        }
        let file_idx = u32::try_from(self.files.len() - 1).expect("fewer than 2^32 files are read");
        let digest = Sha256::digest(article.id.as_bytes());
        let hash: [u8; 16] = digest[..16].try_into().expect("SHA-256 has 32 bytes");
        match self.seen.entry(hash) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert((file_idx, place.position));
                Ok(())
            }
            std::collections::hash_map::Entry::Occupied(entry) => {
                let (file_idx, position) = *entry.get();
                let first = Place { file: self.files[file_idx as usize].clone(), position };
                Err(RowProblem::DuplicateId { first })
            }
        }
    }
}
