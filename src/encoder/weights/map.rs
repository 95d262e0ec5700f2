//! Files mapped into memory: what is not looked at is not read.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

/// Maps a file for reading.
pub(super) fn map(path: &Path) -> io::Result<Arc<Mmap>> {
    let file = File::open(path)?;
    // SAFETY: the files of an encoder are replaced by renaming, by us and by the hub's clients, never written in place. Who truncates one by
    // other means while it is mapped makes the process end with a bus error, which no check of ours could prevent; no value in it
    // can break memory, as every size is checked against the file's.
    Ok(Arc::new(unsafe { Mmap::map(&file) }?))
}
