//! The one source of randomness: a generator per purpose, all derived from one seed.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A generator for one purpose.
///
/// The stream depends on `(seed, purpose)` alone, so that drawing more numbers for one purpose never changes another.
///
/// ```
/// use rand::RngExt;
/// let draw = |seed, purpose| topicwire::rng::generator(seed, purpose).random::<u64>();
/// assert_eq!(draw(1, "folds"), draw(1, "folds"));
/// assert_ne!(draw(1, "folds"), draw(1, "bootstrap"));
/// ```
pub fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(purpose.as_bytes());
    ChaCha8Rng::from_seed(hasher.finalize().into())
}
