//! Hashes of large files, remembered beside them, so that a program that runs for a tenth of a second need not hash 90 MB first.
//!
//! A remembered hash counts while the file's size and time of modification are those it had when it was hashed, as `make` and
//! `git` judge it. Where nothing can be written beside the file, it is hashed every time.

use std::fs::Metadata;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::folder::sha256_of_file;

/// What follows the file's name.
const SUFFIX: &str = ".sha256.topicwire";

/// A file younger than this may change again within the resolution of its time, so its hash is not remembered.
const MIN_AGE: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    n_bytes: u64,
    /// Since 1970.
    modified_ns: u64,
    sha256: String,
}

/// SHA-256 of a file, 64 hexadecimal digits.
pub(super) fn remembered_sha256(path: &Path) -> io::Result<String> {
    let before = std::fs::metadata(path)?;
    let (n_bytes, modified_ns) = (before.len(), modified_ns(&before));
    let stamp_path = stamp_path(path);
    let stamp = std::fs::read(&stamp_path).ok().and_then(|bytes| serde_json::from_slice::<Stamp>(&bytes).ok());
    if let Some(stamp) = stamp
        && (stamp.n_bytes, Some(stamp.modified_ns)) == (n_bytes, modified_ns)
    {
        return Ok(stamp.sha256);
    }
    let sha256 = sha256_of_file(path)?;
    let age = before.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    if let Some(modified_ns) = modified_ns
        && age.is_some_and(|age| age >= MIN_AGE)
    {
        let stamp = Stamp { n_bytes, modified_ns, sha256: sha256.clone() };
        // A convenience: who cannot write here hashes again next time.
        let _ = write(&stamp_path, &stamp);
    }
    Ok(sha256)
}

fn stamp_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

fn modified_ns(metadata: &Metadata) -> Option<u64> {
    metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos().try_into().ok()
}

fn write(path: &Path, stamp: &Stamp) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(&serde_json::to_vec(stamp)?)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    /// `abc`, the test vector of FIPS 180-4.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn file(content: &str, age: Duration) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w");
        std::fs::write(&path, content).unwrap();
        File::options().append(true).open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
        (folder, path)
    }

    #[test]
    fn a_hash_is_remembered_until_the_file_changes() {
        let (_folder, path) = file("abc", Duration::from_secs(60));
        assert_eq!(remembered_sha256(&path).unwrap(), ABC);
        let mut stamp: Stamp = serde_json::from_slice(&std::fs::read(stamp_path(&path)).unwrap()).unwrap();
        assert_eq!((stamp.n_bytes, stamp.sha256.as_str()), (3, ABC));
        stamp.sha256 = "remembered".to_owned();
        write(&stamp_path(&path), &stamp).unwrap();
        assert_eq!(remembered_sha256(&path).unwrap(), "remembered");

        File::options().append(true).open(&path).unwrap().set_modified(SystemTime::now() - MIN_AGE).unwrap();
        assert_eq!(remembered_sha256(&path).unwrap(), ABC, "another time");
        std::fs::write(stamp_path(&path), "no stamp").unwrap();
        assert_eq!(remembered_sha256(&path).unwrap(), ABC, "damaged");
    }

    #[test]
    fn a_young_file_is_hashed_every_time() {
        let (_folder, path) = file("abc", Duration::ZERO);
        assert_eq!(remembered_sha256(&path).unwrap(), ABC);
        assert!(!stamp_path(&path).exists());
        assert!(remembered_sha256(&path.with_extension("missing")).is_err());
    }
}
