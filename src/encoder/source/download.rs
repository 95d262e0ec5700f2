//! Encoders downloaded from the hub into the cache on disk.
//!
//! Every file is checked against the hash that the hub gives for it before anything points to it, so that neither a broken
//! connection nor an error page taken for a file can leave an encoder that is not whole. The links of a snapshot are made
//! last, `config.json` at the very end.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use sha1::{Digest, Sha1};

use super::HubSettings;
use super::cache::{CachedRepo, Snapshot};
use super::folder::{self, CONFIG, MODULES, TOKENIZER, WEIGHTS, WEIGHTS_INDEX, stays_inside};
use super::hub::{DOWNLOAD_STAGE, HubError};
use super::registry::is_hex;
use super::wire::{Identity, Staged, Wire};
use crate::progress::{Event, Progress};

/// Files in the root of a repository that describe an encoder, besides its weights. Everything else stays on the hub:
/// weights in other formats, training data, pictures.
const ROOT_FILES: [&str; 10] = [
    CONFIG,
    TOKENIZER,
    MODULES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentence_bert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_roberta_config.json",
    "config_sentence_transformers.json",
];

/// How often another program's lock is tried again.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// What the hub says about a repository at a revision (`/api/models/ORG/NAME/revision/REV?blobs=true`).
#[derive(Deserialize)]
struct RepoInfo {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<RepoFile>,
    #[serde(default)]
    private: bool,
    /// `false`, or how access is granted.
    #[serde(default)]
    gated: serde_json::Value,
}

impl RepoInfo {
    /// Files that everybody may have are asked for without the token: `hf-hub` sends it along to wherever the hub
    /// redirects, and a server that only stores contents has no business with it.
    fn identity(&self) -> Identity {
        let is_gated = !matches!(self.gated, serde_json::Value::Null | serde_json::Value::Bool(false));
        if self.private || is_gated { Identity::Token } else { Identity::Anonymous }
    }
}

#[derive(Deserialize)]
struct RepoFile {
    #[serde(rename = "rfilename")]
    path: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<LargeFile>,
}

#[derive(Deserialize)]
struct LargeFile {
    sha256: Option<String>,
}

impl RepoFile {
    /// Hash of the content: SHA-256 (64 digits) for large files, that of a git blob (40 digits) for small ones.
    ///
    /// A large file's `blobId` is the hash of its pointer, not of its content.
    fn hash(&self) -> Option<&str> {
        let hash = match &self.lfs {
            Some(large) => large.sha256.as_deref(),
            None => self.blob_id.as_deref(),
        };
        hash.filter(|hash| is_hex(hash, 64) || is_hex(hash, 40))
    }
}

/// Downloads what an encoder needs, unless it is in the cache already, and returns its snapshot.
///
/// `pin`, where given, is the SHA-256 that the weights must have.
pub(super) fn fetch(
    repo: &str,
    revision: &str,
    pin: Option<&str>,
    cache_dir: &Path,
    settings: &HubSettings,
    progress: &dyn Progress,
) -> Result<Snapshot, HubError> {
    let cached = CachedRepo::new(cache_dir, repo);
    // The crate makes relative links, which need to know where they stand.
    let staging = std::path::absolute(cached.staging()).map_err(disk(cache_dir))?;
    let wire = Wire::new(repo, staging, settings)?;
    wire.check_reachable(settings)?;
    let download = Download { wire, endpoint: &settings.endpoint, repo, revision, cached, progress };
    let info = download.info()?;
    let commit = info.sha.as_deref().unwrap_or_default();
    let wanted = download.choose(&info)?;
    download.refuse_other_weights(&wanted, pin)?;
    let _lock = download.lock(&CachedRepo::lock_file(cache_dir, repo))?;

    let total = wanted.iter().map(|file| file.size).sum::<Option<u64>>();
    progress.event(Event::Started { stage: DOWNLOAD_STAGE, total });
    let obtain = |file: &&RepoFile| download.obtain(file, commit, info.identity());
    let hashes: Result<Vec<String>, HubError> = wanted.iter().map(obtain).collect();
    progress.event(Event::Finished);

    download.publish(&wanted, &hashes?, commit)?;
    let incomplete = |reason| HubError::Malformed { url: settings.endpoint.clone(), reason };
    download.cached.snapshot(commit).map_err(incomplete)
}

struct Download<'a> {
    wire: Wire,
    endpoint: &'a str,
    repo: &'a str,
    revision: &'a str,
    cached: CachedRepo,
    progress: &'a dyn Progress,
}

impl Download<'_> {
    fn info(&self) -> Result<RepoInfo, HubError> {
        let text = self.wire.info(self.revision, self.progress)?;
        let malformed = |reason| HubError::Malformed { url: self.endpoint.to_owned(), reason };
        let info: RepoInfo = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        match &info.sha {
            Some(sha) if is_hex(sha, 40) => {}
            Some(sha) => return Err(malformed(format!("the commit `{sha}`"))),
            None => return Err(malformed("no commit".to_owned())),
        }
        match info.siblings.iter().find(|file| !stays_inside(&file.path)) {
            Some(file) => Err(malformed(format!("the path `{}` leaves the repository", file.path))),
            None => Ok(info),
        }
    }

    /// The files that an encoder needs, `config.json` last.
    fn choose<'i>(&self, info: &'i RepoInfo) -> Result<Vec<&'i RepoFile>, HubError> {
        let has = |path: &str| info.siblings.iter().any(|file| file.path == path);
        let (repo, revision) = (self.repo.to_owned(), self.revision.to_owned());
        let (whole, sharded) = (has(WEIGHTS), has(WEIGHTS_INDEX));
        if !whole && !sharded {
            let pickled = info.siblings.iter().find(|file| is_in_root(&file.path) && file.path.ends_with(".bin"));
            if let Some(file) = pickled {
                return Err(HubError::OnlyPickle { repo, revision, file: file.path.clone() });
            }
        }
        let missing: Vec<String> = [(CONFIG, has(CONFIG)), (TOKENIZER, has(TOKENIZER)), (WEIGHTS, whole || sharded)]
            .into_iter()
            .filter(|(_, is_there)| !is_there)
            .map(|(file, _)| file.to_owned())
            .collect();
        if !missing.is_empty() {
            return Err(HubError::Incomplete { repo, revision, files: missing });
        }
        let is_weights = |path: &str| match whole {
            true => path == WEIGHTS,
            false => path == WEIGHTS_INDEX || is_shard(path),
        };
        let mut wanted: Vec<&RepoFile> = info
            .siblings
            .iter()
            .filter(|file| {
                ROOT_FILES.contains(&file.path.as_str()) || is_weights(&file.path) || is_module_file(&file.path)
            })
            .collect();
        wanted.sort_by_key(|file| (file.path == CONFIG, &file.path));
        Ok(wanted)
    }

    /// Saves downloading weights that would be refused afterwards.
    fn refuse_other_weights(&self, wanted: &[&RepoFile], pin: Option<&str>) -> Result<(), HubError> {
        let announced = wanted.iter().find(|file| file.path == WEIGHTS).and_then(|file| file.hash());
        match (pin, announced) {
            (Some(pin), Some(found)) if is_hex(found, 64) && found != pin => Err(HubError::OtherWeights {
                repo: self.repo.to_owned(),
                revision: self.revision.to_owned(),
                expected: pin.to_owned(),
                found: found.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Keeps a second run of this program from writing to the same files; waits for the first.
    fn lock(&self, path: &Path) -> Result<Option<File>, HubError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(disk(folder))?;
        }
        let file = File::create(path).map_err(disk(path))?;
        let mut has_waited = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if self.progress.is_cancelled() => return Err(HubError::Interrupted),
                Err(TryLockError::WouldBlock) => {
                    if !has_waited {
                        let message = format!("waiting for another download of {}", self.repo);
                        self.progress.event(Event::Warning { message: &message });
                        has_waited = true;
                    }
                    std::thread::sleep(LOCK_POLL);
                }
                // Some network file systems know no locks; the hashes still tell a mixed-up file.
                Err(TryLockError::Error(_)) => return Ok(None),
            }
        }
    }

    /// Brings the content of a file into the cache and returns its hash.
    fn obtain(&self, file: &RepoFile, commit: &str, identity: Identity) -> Result<String, HubError> {
        let mut meter = Meter { progress: self.progress, reported: 0 };
        if let Some(hash) = file.hash()
            && self.is_whole(hash)?
        {
            meter.reach(file.size.unwrap_or_default());
            return Ok(hash.to_owned());
        }
        let mut retry_idx = 0;
        loop {
            match self.attempt(file, commit, identity, &mut meter) {
                // A resumed file may have begun with the bytes of something else; from the start it is another matter.
                Err(
                    HubError::WrongHash { .. }
                    | HubError::Truncated { .. }
                    | HubError::Unreachable { .. }
                    | HubError::RateLimited { .. }
                    | HubError::Server { .. },
                ) if retry_idx < self.wire.n_retries() => {
                    self.wire.pause(retry_idx);
                    retry_idx += 1;
                }
                done => return done,
            }
        }
    }

    fn attempt(
        &self,
        file: &RepoFile,
        commit: &str,
        identity: Identity,
        meter: &mut Meter,
    ) -> Result<String, HubError> {
        let reach = |position| meter.reach(position);
        let Staged { path, hash } = self.wire.stage(commit, &file.path, identity, self.progress, reach)?;
        // Where both the listing and the answer tell a hash, the listing's counts: it came with the commit.
        let expected = file.hash().map_or(hash, str::to_owned);
        let found = hash_like(&expected, &path).map_err(disk(&path))?;
        if found != expected {
            fs::remove_file(&path).map_err(disk(&path))?;
            return Err(HubError::WrongHash { path: file.path.clone(), expected, found });
        }
        self.cached.keep(&path, &expected).map_err(disk(&path))?;
        Ok(expected)
    }

    /// Whether the cache has this content; one that is spoilt is removed.
    fn is_whole(&self, hash: &str) -> Result<bool, HubError> {
        let blob = self.cached.blob(hash);
        if !blob.is_file() {
            return Ok(false);
        }
        let is_whole = hash_like(hash, &blob).map_err(disk(&blob))? == hash;
        if !is_whole {
            fs::remove_file(&blob).map_err(disk(&blob))?;
        }
        Ok(is_whole)
    }

    /// Makes the downloaded contents an encoder: only from here on does anything point to them.
    fn publish(&self, wanted: &[&RepoFile], hashes: &[String], commit: &str) -> Result<(), HubError> {
        let root = self.cached.root();
        for (file, hash) in wanted.iter().zip(hashes) {
            self.cached.link(commit, &file.path, hash).map_err(disk(root))?;
        }
        if !wanted.iter().any(|file| file.path == MODULES) {
            self.cached.mark_absent(commit, MODULES).map_err(disk(root))?;
        }
        if !is_hex(self.revision, 40) {
            self.cached.set_reference(self.revision, commit).map_err(disk(root))?;
        }
        // Whatever broken links and empty folders are left there, nothing needs them any more.
        fs::remove_dir_all(self.cached.staging()).or_else(ignore_missing).map_err(disk(root))
    }
}

/// Reports bytes, none of them twice when a part is downloaded again.
struct Meter<'a> {
    progress: &'a dyn Progress,
    reported: u64,
}

impl Meter<'_> {
    fn reach(&mut self, position: u64) {
        if position > self.reported {
            self.progress.event(Event::Advanced { n_items: position - self.reported, n_tokens: 0 });
            self.reported = position;
        }
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> HubError + use<> {
    let path = PathBuf::from(path);
    |source| HubError::Disk { path, source }
}

/// The hash of a file by the method that `hash` shows by its length: SHA-256, or that of a git blob.
pub(super) fn hash_like(hash: &str, path: &Path) -> io::Result<String> {
    if hash.len() == 64 { folder::sha256_of_file(path) } else { git_blob_hash(path) }
}

/// SHA-1 of `blob SIZE\0CONTENT`, by which git names a content.
fn git_blob_hash(path: &Path) -> io::Result<String> {
    let mut digest = Sha1::new();
    digest.update(format!("blob {}\0", fs::metadata(path)?.len()));
    folder::feed(path, |bytes| digest.update(bytes))?;
    Ok(folder::hex(&digest.finalize()))
}

fn is_in_root(path: &str) -> bool {
    !path.contains('/')
}

/// Whether a path is a shard, such as `model-00001-of-00002.safetensors`.
fn is_shard(path: &str) -> bool {
    is_in_root(path) && path.starts_with("model-") && path.ends_with(".safetensors")
}

/// Whether a path is a setting or weights of a module, such as `1_Pooling/config.json` and `2_Dense/model.safetensors`.
fn is_module_file(path: &str) -> bool {
    path.split_once('/').is_some_and(|(module, file)| {
        let number = module.split('_').next().unwrap_or_default();
        module.contains('_')
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && is_in_root(file)
            && (file.ends_with(".json") || file.ends_with(".safetensors"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_encoder_needs_is_taken() {
        for path in ["1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"] {
            assert!(is_module_file(path), "{path}");
        }
        for path in
            ["config.json", "onnx/model.json", "Pooling/config.json", "2_Dense/pytorch_model.bin", "1_a/b/c.json"]
        {
            assert!(!is_module_file(path), "{path}");
        }
        assert!(is_shard("model-00001-of-00002.safetensors"));
        assert!(!is_shard("model.safetensors") && !is_shard("old/model-1.safetensors"));
    }

    /// Made with `printf 'hello\n' | git hash-object --stdin` and `git hash-object /dev/null`.
    #[test]
    fn small_files_are_hashed_as_git_hashes_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(git_blob_hash(file.path()).unwrap(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        fs::write(file.path(), "hello\n").unwrap();
        assert_eq!(git_blob_hash(file.path()).unwrap(), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn a_large_files_pointer_is_not_its_content() {
        let file = |json: &str| serde_json::from_str::<RepoFile>(json).unwrap();
        let (sha1, sha256) = ("c".repeat(40), "d".repeat(64));
        let small = file(&format!(r#"{{"rfilename":"a","blobId":"{sha1}","size":3}}"#));
        assert_eq!(small.hash(), Some(sha1.as_str()));
        let large = file(&format!(r#"{{"rfilename":"a","blobId":"{sha1}","lfs":{{"sha256":"{sha256}","size":9}}}}"#));
        assert_eq!(large.hash(), Some(sha256.as_str()));
        assert_eq!(file(&format!(r#"{{"rfilename":"a","blobId":"{sha1}","lfs":{{}}}}"#)).hash(), None);
        assert_eq!(file(r#"{"rfilename":"a","blobId":"../../x"}"#).hash(), None);
    }
}
