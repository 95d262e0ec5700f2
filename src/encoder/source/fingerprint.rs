//! One hash over all files of an encoder's folder that shape its embeddings.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Endings of files that say what a network is, how text becomes tokens, and what its numbers are.
const ENDINGS: [&str; 4] = ["json", "model", "safetensors", "txt"];

/// SHA-256 over names and contents of these files, those of sub-folders too (pooling, dense layers), as hexadecimal digits.
pub(in crate::encoder) fn fingerprint(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, &mut files)?;
        }
    }
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        let name = path.strip_prefix(folder).expect("found below the folder").to_string_lossy().into_owned();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name.as_bytes());
        hash.update(fs::metadata(&path)?.len().to_le_bytes());
        io::copy(&mut File::open(&path)?, &mut HashWriter(&mut hash))?;
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_wanted = path.extension().and_then(|ending| ending.to_str()).is_some_and(|e| ENDINGS.contains(&e));
        if is_wanted && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_is_seen_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        write("config.json", "{}");
        write("1_Pooling/config.json", "{}");
        let before = fingerprint(folder.path()).unwrap();
        write("README.md", "about");
        assert_eq!(fingerprint(folder.path()).unwrap(), before);
        write("1_Pooling/config.json", "{ }");
        let other_pooling = fingerprint(folder.path()).unwrap();
        write("1_Pooling/config.json", "{}");
        write("vocab.txt", "a");
        let with_words = fingerprint(folder.path()).unwrap();
        assert!(before != other_pooling && before != with_words && other_pooling != with_words);
    }
}
