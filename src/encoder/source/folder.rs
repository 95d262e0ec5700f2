//! What a folder must hold to be an encoder, and the SHA-256 of its weights.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::stamp::remembered_sha256;

pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const MODULES: &str = "modules.json";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
const PICKLED_WEIGHTS: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];

/// Read at once while hashing: large enough that the system call does not count, small enough for the cache.
const HASH_CHUNK_BYTES: usize = 256 * 1024;

/// Why a folder is no encoder.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FolderError {
    #[error("no such folder")]
    NoFolder,
    #[error("it is a file; an encoder is a folder")]
    NotAFolder,
    #[error("it lacks {}", .files.join(", "))]
    Missing { files: Vec<String> },
    #[error(
        "no safetensors: it holds `{file}`, but pickled weights are not loaded, since they can run code; convert them to {WEIGHTS}"
    )]
    OnlyPickle { file: String },
    #[error("{file} is not what it should be: {reason}")]
    Malformed { file: String, reason: String },
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// One entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct WeightsIndex {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// The weight files of an encoder's folder, in the order of their names, once everything it needs is known to be there.
///
/// Needed are `config.json`, `tokenizer.json`, `model.safetensors` (or its index and every shard that it names), and the
/// `config.json` of every module that `modules.json` names. A folder without `modules.json` is a plain transformer.
pub(super) fn weights_of(folder: &Path) -> Result<Vec<PathBuf>, FolderError> {
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(FolderError::NotAFolder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FolderError::NoFolder),
        Err(source) => return Err(FolderError::Unreadable { path: folder.to_owned(), source }),
    }
    let mut needed: Vec<String> = vec![CONFIG.to_owned(), TOKENIZER.to_owned()];
    needed.extend(module_files(folder)?);
    let weights = if folder.join(WEIGHTS).is_file() {
        vec![WEIGHTS.to_owned()]
    } else if folder.join(WEIGHTS_INDEX).is_file() {
        shards(folder)?
    } else if let Some(file) = PICKLED_WEIGHTS.into_iter().find(|file| folder.join(file).is_file()) {
        return Err(FolderError::OnlyPickle { file: file.to_owned() });
    } else {
        vec![WEIGHTS.to_owned()]
    };
    needed.extend(weights.iter().cloned());
    let missing: Vec<String> = needed.into_iter().filter(|file| !folder.join(file).is_file()).collect();
    if !missing.is_empty() {
        return Err(FolderError::Missing { files: missing });
    }
    Ok(weights.into_iter().map(|file| folder.join(file)).collect())
}

/// The `config.json` of every module that has settings.
fn module_files(folder: &Path) -> Result<Vec<String>, FolderError> {
    if !folder.join(MODULES).is_file() {
        return Ok(Vec::new());
    }
    let modules: Vec<Module> = read_json(folder, MODULES)?;
    let mut files = Vec::new();
    for module in modules {
        // The network itself has the empty path; normalisation has no settings and often no folder.
        if module.path.is_empty() || module.kind.ends_with(".Normalize") {
            continue;
        }
        if !stays_inside(&module.path) {
            let reason = format!("the path `{}` leaves the folder", module.path);
            return Err(FolderError::Malformed { file: MODULES.to_owned(), reason });
        }
        files.push(format!("{}/{CONFIG}", module.path));
    }
    Ok(files)
}

fn shards(folder: &Path) -> Result<Vec<String>, FolderError> {
    let index: WeightsIndex = read_json(folder, WEIGHTS_INDEX)?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    let malformed = |reason| FolderError::Malformed { file: WEIGHTS_INDEX.to_owned(), reason };
    if files.is_empty() {
        return Err(malformed("it names no file".to_owned()));
    }
    match files.iter().find(|file| !stays_inside(file)) {
        Some(file) => Err(malformed(format!("the path `{file}` leaves the folder"))),
        None => Ok(files.into_iter().collect()),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(folder: &Path, file: &str) -> Result<T, FolderError> {
    let path = folder.join(file);
    let bytes = std::fs::read(&path).map_err(|source| FolderError::Unreadable { path, source })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| FolderError::Malformed { file: file.to_owned(), reason: error.to_string() })
}

/// Whether a path taken from outside stays below the folder that it is joined to, on every system.
pub(super) fn stays_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', ':', '\0'])
        && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

/// SHA-256 of the weights, 64 hexadecimal digits.
///
/// One file: of its bytes, as `sha256sum` prints it. Several shards: of the text `sha256sum` prints for them in the order
/// given, `HASH  NAME` and a line feed each.
///
/// # Errors
/// The path that cannot be read, and why.
pub(super) fn sha256_of(weights: &[PathBuf]) -> Result<String, (PathBuf, io::Error)> {
    let digest_of = |path: &PathBuf| remembered_sha256(path).map_err(|error| (path.clone(), error));
    if let [only] = weights {
        return digest_of(only);
    }
    let mut listing = Sha256::new();
    for path in weights {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        listing.update(format!("{}  {name}\n", digest_of(path)?));
    }
    Ok(hex(&listing.finalize()))
}

pub(super) fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    feed(path, |bytes| digest.update(bytes))?;
    Ok(hex(&digest.finalize()))
}

/// Hands a file over in chunks.
pub(super) fn feed(path: &Path, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; HASH_CHUNK_BYTES];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(()),
            n_bytes => take(&chunk[..n_bytes]),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the files given, each with its content.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        folder
    }

    const BASE: [(&str, &str); 2] = [(CONFIG, "{}"), (TOKENIZER, "{}")];

    fn with(extra: &[(&'static str, &'static str)]) -> tempfile::TempDir {
        folder(&[&BASE[..], extra].concat())
    }

    fn names(weights: Vec<PathBuf>) -> Vec<String> {
        weights.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_complete_folder_gives_its_weights() {
        let modules = r#"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
            {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
            {"idx":2,"name":"2","path":"2_Normalize","type":"sentence_transformers.models.Normalize"}]"#;
        let dir = folder(&[BASE[0], BASE[1], (WEIGHTS, "w"), (MODULES, modules), ("1_Pooling/config.json", "{}")]);
        assert_eq!(names(weights_of(dir.path()).unwrap()), [WEIGHTS]);
        std::fs::remove_file(dir.path().join("1_Pooling/config.json")).unwrap();
        assert_eq!(weights_of(dir.path()).unwrap_err().to_string(), "it lacks 1_Pooling/config.json");
    }

    #[test]
    fn shards_are_read_from_the_index_and_all_must_be_there() {
        let index = r#"{"metadata":{},"weight_map":{"b":"model-2.safetensors","a":"model-1.safetensors","c":"model-2.safetensors"}}"#;
        let dir = with(&[(WEIGHTS_INDEX, index), ("model-1.safetensors", "1"), ("model-2.safetensors", "2")]);
        assert_eq!(names(weights_of(dir.path()).unwrap()), ["model-1.safetensors", "model-2.safetensors"]);
        std::fs::remove_file(dir.path().join("model-2.safetensors")).unwrap();
        assert_eq!(weights_of(dir.path()).unwrap_err().to_string(), "it lacks model-2.safetensors");
    }

    #[test]
    fn folders_that_are_no_encoder_say_why() {
        let empty = folder(&[]);
        let message = weights_of(empty.path()).unwrap_err().to_string();
        assert_eq!(message, "it lacks config.json, tokenizer.json, model.safetensors");
        assert_eq!(weights_of(&empty.path().join("x")).unwrap_err().to_string(), "no such folder");

        let file = with(&[]);
        let message = weights_of(&file.path().join(CONFIG)).unwrap_err().to_string();
        assert_eq!(message, "it is a file; an encoder is a folder");

        for pickle in PICKLED_WEIGHTS {
            let dir = with(&[(pickle, "")]);
            let error = weights_of(dir.path()).unwrap_err();
            assert!(matches!(&error, FolderError::OnlyPickle { file } if file == pickle), "{error}");
        }
    }

    #[test]
    fn files_that_lie_are_refused() {
        let cases = [
            (MODULES, "{", "modules.json is not what it should be: "),
            (MODULES, r#"[{"path":"../x","type":"a.Pooling"}]"#, "the path `../x` leaves the folder"),
            (WEIGHTS_INDEX, r#"{"weight_map":{}}"#, "it names no file"),
            (WEIGHTS_INDEX, r#"{"weight_map":{"a":"/etc/passwd"}}"#, "the path `/etc/passwd` leaves the folder"),
        ];
        for (file, content, expected) in cases {
            let message = weights_of(with(&[(file, content)]).path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn paths_from_outside_cannot_leave_the_folder() {
        for inside in ["a", "a/b.json", "1_Pooling/config.json"] {
            assert!(stays_inside(inside), "{inside}");
        }
        for outside in ["", "..", "../a", "a/../b", "/a", "./a", "a\\b", "c:a"] {
            assert!(!stays_inside(outside), "{outside}");
        }
    }

    /// The first hash is the test vector "abc" of FIPS 180-4; the second is what `sha256sum a b | sha256sum` prints for files
    /// that hold `abc` and nothing.
    #[test]
    fn hashes_agree_with_sha256sum() {
        let dir = folder(&[("a", "abc"), ("b", "")]);
        let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256_of(std::slice::from_ref(&a)).unwrap(), abc);
        let both = "09c7e0b8a02d027d95ec0375a600ed4ad4d6b26a1c93f16d9150cab5fec761a6";
        assert_eq!(sha256_of(&[a, b.clone()]).unwrap(), both);
        assert_eq!(sha256_of(&[dir.path().join("missing"), b]).unwrap_err().0, dir.path().join("missing"));
    }
}
