//! The two calls of heed that the compiler cannot vouch for.

use std::path::Path;

use heed::types::Bytes;
use heed::{Env, EnvOpenOptions, RwPrefix};

/// Databases in the environment.
const N_DATABASES: u32 = 2;

/// Maps the environment in a folder into memory.
pub(super) fn open(path: &Path, max_bytes: usize) -> Result<Env, heed::Error> {
    let mut options = EnvOpenOptions::new();
    options.map_size(max_bytes).max_dbs(N_DATABASES);
    // SAFETY: LMDB locks its file against other processes that use LMDB; nobody else writes into it. Who truncates it by other means ends
    // the process with a bus error. Values are checked before they are read as numbers.
    unsafe { options.open(path) }
}

/// Deletes the entry that the iterator stands on.
pub(super) fn delete_current(entries: &mut RwPrefix<'_, Bytes, Bytes>) -> Result<(), heed::Error> {
    // SAFETY: no reference into the entry is kept: the caller looked at whether there is one, not at what it holds.
    unsafe { entries.del_current() }.map(drop)
}
