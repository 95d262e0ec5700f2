//! Bundles to disk and back: written beside and renamed, hashes checked.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::card;
use super::dense_files::{Tensors, descriptions_bytes, head_bytes, neighbours_bytes, scope_bytes};
use super::manifest::{FORMAT, FORMAT_VERSION, Manifest, ManifestError};
use super::words_file::{self, WordsFileError};
use crate::encoder::open::EncoderReference;
use crate::encoder::source::{EncoderId, SourceError, SourceOptions, locate};
use crate::encoder::{Encoder, EncoderError, EncoderSettings, ExecutorChoice, PromptChoice};
use crate::heads::HeadError;
use crate::labels::{LabelError, LabelSet};
use crate::pipeline::neighbours::Neighbours;
use crate::pipeline::{Classifier, EmbedSettings, TopicHead, TrainingRecord};
use crate::progress::{Progress, Silent};
use crate::scope::{Scope, ScopeError};
use crate::views::metadata::MetadataHead;
use crate::views::passages::PassagesHead;
use crate::views::rules::{RuleError, Rules};
use crate::views::{View, ViewKind};

const MANIFEST_FILE: &str = "manifest.json";
const HEAD_FILE: &str = "head.safetensors";
const PASSAGES_FILE: &str = "passages.safetensors";
const WORDS_FILE: &str = "words.safetensors";
const DESCRIPTIONS_FILE: &str = "descriptions.safetensors";
const METADATA_FILE: &str = "metadata.safetensors";
const NEIGHBOURS_FILE: &str = "neighbours.safetensors";
const SCOPE_FILE: &str = "scope.safetensors";
const SUMS_FILE: &str = "SHA256SUMS";
const CARD_FILE: &str = "README.md";
/// Of the folder that is renamed to the model once it is complete.
const TEMPORARY_PREFIX: &str = ".topicwire-model-";
/// Of the folder that keeps a replaced model until the new one is in place.
const REPLACED_PREFIX: &str = ".topicwire-old-";

/// Why a bundle could not be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleError {
    #[error("cannot write the model {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is there already{}", .path.display(), if *.is_model { "" } else { " and is not a model" })]
    Exists { path: PathBuf, is_model: bool },
    #[error("{} is not a model: it has no {MANIFEST_FILE}", .path.display())]
    NotAModel { path: PathBuf },
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has SHA-256 {found}, expected {expected}: the model was changed or damaged after it was saved", .path.display())]
    Tampered { path: PathBuf, expected: String, found: String },
    #[error("{} does not list {file}", .path.display())]
    Unlisted { path: PathBuf, file: &'static str },
    #[error("{} is not a topicwire manifest", .path.display())]
    Format {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} is a `{found}`, expected a `{FORMAT}`", .path.display())]
    OtherFormat { path: PathBuf, found: String },
    #[error("{} has format version {found}, written by topicwire {program_version}; this is topicwire {}, which reads up to version {FORMAT_VERSION}",
        .path.display(), env!("CARGO_PKG_VERSION"))]
    Version { path: PathBuf, found: u32, program_version: String },
    #[error("{} contradicts itself", .path.display())]
    Manifest {
        path: PathBuf,
        #[source]
        source: ManifestError,
    },
    #[error("the labels in {} are not usable", .path.display())]
    Labels {
        path: PathBuf,
        #[source]
        source: LabelError,
    },
    #[error("{} is not a readable safetensors file", .path.display())]
    Tensors {
        path: PathBuf,
        #[source]
        source: safetensors::SafeTensorError,
    },
    #[error("tensor `{tensor}` in {} is {found}, expected {expected}", .path.display())]
    TensorShape { path: PathBuf, tensor: &'static str, expected: String, found: String },
    #[error("the training articles in {} are not usable", .path.display())]
    Articles {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("the scope in {} is not usable", .path.display())]
    Scope {
        path: PathBuf,
        #[source]
        source: ScopeError,
    },
    #[error("the hints of the labels in {} are not usable", .path.display())]
    Rules {
        path: PathBuf,
        #[source]
        source: RuleError,
    },
    #[error("the head in {} is not usable", .path.display())]
    Head {
        path: PathBuf,
        #[source]
        source: HeadError,
    },
    #[error("the words view in {} is not usable", .path.display())]
    Words {
        path: PathBuf,
        #[source]
        source: Box<WordsFileError>,
    },
    #[error("the model's encoder cannot be had")]
    Source(#[from] SourceError),
    #[error("the model's encoder cannot be loaded")]
    Encoder(#[from] EncoderError),
    #[error("encoder `{id}` gives {found} columns, the model expects {expected}")]
    EncoderSize { id: String, expected: usize, found: usize },
}

/// What to do when the place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Refuse to touch anything that is there.
    New,
    /// Replace a model; anything else is still refused.
    Replacing,
}

impl Saved {
    /// Checks, before long work, that the model can be saved there.
    ///
    /// # Errors
    /// [`BundleError::Exists`], or [`BundleError::Write`] where the folder above cannot be written.
    pub fn check(self, path: &Path) -> Result<(), BundleError> {
        let is_model = path.join(MANIFEST_FILE).is_file();
        let is_free = fs::symlink_metadata(path).is_err() || is_empty_folder(path);
        if !(is_free || is_model && self == Saved::Replacing) {
            return Err(BundleError::Exists { path: path.to_owned(), is_model });
        }
        try_folder_above(path).map_err(|source| BundleError::Write { path: path.to_owned(), source })
    }
}

/// Makes and removes a folder where the model's would be made: the only sure way to know that it can be.
fn try_folder_above(path: &Path) -> io::Result<()> {
    let mut above = folder_of(path);
    while fs::symlink_metadata(above).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        above = folder_of(above);
    }
    temporary_folder(TEMPORARY_PREFIX, above).map(drop)
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A folder that goes away again unless it is renamed; the error is the system's, without the made-up name.
fn temporary_folder(prefix: &str, parent: &Path) -> io::Result<tempfile::TempDir> {
    // Asked first, since what the system says of the temporary folder is lost.
    fs::metadata(parent.join("."))?;
    tempfile::Builder::new().prefix(prefix).tempdir_in(parent).map_err(|error| error.kind().into())
}

fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// How a saved classifier is opened.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Where encoders are looked for.
    pub source: SourceOptions,
    /// Take the encoder from here; its weights must still be those the model was trained with.
    pub encoder: Option<EncoderId>,
    pub executor: ExecutorChoice,
    /// Tokens of a batch; the executor's best where `None`.
    pub batch_tokens: Option<usize>,
}

impl Default for OpenOptions {
    /// Places on this machine only.
    fn default() -> Self {
        let mut source = SourceOptions::from_vars(|_| None, None);
        source.offline = true;
        Self { source, encoder: None, executor: ExecutorChoice::default(), batch_tokens: None }
    }
}

impl Classifier {
    /// Saves the classifier as a folder that was not there before.
    ///
    /// Written beside and renamed: a half-written folder is never left under the final name. The same classifier gives the
    /// same bytes.
    ///
    /// # Errors
    /// Something is there already, or the disk says no.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), BundleError> {
        self.save_as(path, Saved::New)
    }

    /// Saves the classifier as a folder.
    ///
    /// # Errors
    /// As [`Classifier::save`], except that a model that is there is replaced when `saved` says so.
    pub fn save_as(&self, path: impl AsRef<Path>, saved: Saved) -> Result<(), BundleError> {
        let path = path.as_ref();
        saved.check(path)?;
        write(self, path).map_err(|source| BundleError::Write { path: path.to_owned(), source })
    }

    /// Opens a saved classifier; its encoder is looked for on this machine only.
    ///
    /// # Errors
    /// As [`Classifier::open_with`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BundleError> {
        Self::open_with(path, &OpenOptions::default(), &Silent)
    }

    /// Opens a saved classifier.
    ///
    /// # Errors
    /// Not a model, one of a newer format, one that was changed after it was saved, or an encoder that cannot be had or is
    /// not the one it was trained with.
    pub fn open_with(
        path: impl AsRef<Path>,
        options: &OpenOptions,
        progress: &dyn Progress,
    ) -> Result<Self, BundleError> {
        let path = path.as_ref();
        let manifest = read_manifest(path)?;
        let manifest_path = path.join(MANIFEST_FILE);
        let contradiction = |source| BundleError::Manifest { path: manifest_path.clone(), source };
        let (calibration, thresholds) = manifest.decision_parts().map_err(contradiction)?;
        let stack = manifest.live_stack().map_err(contradiction)?;
        let labels = LabelSet::new(manifest.labels.clone())
            .map_err(|source| BundleError::Labels { path: manifest_path, source })?;
        let views = read_views(path, &manifest)?;
        let neighbours = read_neighbours(path, &manifest)?;
        let scope = read_scope(path, &manifest)?;
        let encoder = open_encoder(&manifest.encoder, options, progress)?;
        Ok(Classifier {
            encoder: Arc::new(encoder),
            settings: EmbedSettings {
                windows: manifest.windows,
                window_pooling: manifest.window_pooling,
                title_weight: manifest.title_weight,
                passages: manifest.passages,
                batch_tokens: options.batch_tokens,
            },
            topics: TopicHead {
                labels,
                views,
                stack,
                calibration,
                moments: manifest.moments,
                thresholds,
                contract: manifest.contract,
            },
            neighbours,
            scope,
            abstention: None,
            record: TrainingRecord {
                program_version: manifest.program_version,
                encoder: manifest.encoder,
                settings: manifest.training.settings,
                data: manifest.training.data,
                strength: manifest.head.strength,
                words_strength: manifest.words.map(|words| words.strength),
                cross_validation: manifest.training.cross_validation,
            },
        })
    }
}

fn open_encoder(
    reference: &EncoderReference,
    options: &OpenOptions,
    progress: &dyn Progress,
) -> Result<Encoder, BundleError> {
    let id = match &options.encoder {
        Some(id) => id.clone(),
        None => reference.id.parse()?,
    };
    let files = locate(&id, &options.source, progress)?;
    files.require_sha256(&reference.weights_sha256)?;
    let settings = EncoderSettings {
        precision: reference.precision,
        executor: options.executor,
        prompt: PromptChoice::Text(reference.prompt.clone()),
        depth: reference.depth,
    };
    let encoder = Encoder::from_files(&files, &settings)?;
    if encoder.hidden_size() != reference.hidden_size {
        let (expected, found) = (reference.hidden_size, encoder.hidden_size());
        return Err(BundleError::EncoderSize { id: id.to_string(), expected, found });
    }
    Ok(encoder)
}

/// Reads and checks the manifest of a bundle.
///
/// # Errors
/// Not a model, one of another version of the format, or one that was changed after it was saved.
pub fn read_manifest(path: &Path) -> Result<Manifest, BundleError> {
    let manifest_path = path.join(MANIFEST_FILE);
    if path.exists() && !manifest_path.exists() {
        return Err(BundleError::NotAModel { path: path.to_owned() });
    }
    let bytes = read(&manifest_path)?;
    // The version comes first: a newer manifest may have other fields, and newer rules for its hashes.
    #[derive(serde::Deserialize)]
    struct Header {
        format: String,
        format_version: u32,
        program_version: String,
    }
    let parse_error = |source| BundleError::Format { path: manifest_path.clone(), source };
    let header: Header = serde_json::from_slice(&bytes).map_err(parse_error)?;
    if header.format != FORMAT {
        return Err(BundleError::OtherFormat { path: manifest_path, found: header.format });
    }
    if !(1..=FORMAT_VERSION).contains(&header.format_version) {
        let (found, program_version) = (header.format_version, header.program_version);
        return Err(BundleError::Version { path: manifest_path, found, program_version });
    }
    check_hash(path, MANIFEST_FILE, &bytes)?;
    serde_json::from_slice(&bytes).map_err(parse_error)
}

/// Reads the manifest and the head of a bundle and checks all that can be checked without its encoder.
///
/// # Errors
/// As [`read_manifest`], or the head is damaged.
pub fn verify(path: &Path) -> Result<Manifest, BundleError> {
    let manifest = read_manifest(path)?;
    read_views(path, &manifest)?;
    read_neighbours(path, &manifest)?;
    read_scope(path, &manifest)?;
    Ok(manifest)
}

fn read_views(path: &Path, manifest: &Manifest) -> Result<Vec<View>, BundleError> {
    let (task, n_labels, hidden_size) = (manifest.task, manifest.labels.len(), manifest.head.hidden_size);
    let head = |file, n_columns| {
        let (bytes, path) = read_checked(path, file)?;
        Tensors::read(&bytes, &path)?.head(task, n_labels, n_columns)
    };
    let mut views = vec![View::Document(head(HEAD_FILE, hidden_size)?)];
    if manifest.passages.is_some() {
        views.push(View::Passages(PassagesHead::new(head(PASSAGES_FILE, hidden_size)?)));
    }
    if let Some(entry) = &manifest.words {
        let (bytes, path) = read_checked(path, WORDS_FILE)?;
        let words = words_file::read(&bytes, entry, task, n_labels)
            .map_err(|source| BundleError::Words { path, source: source.into() })?;
        views.push(View::Words(Box::new(words)));
    }
    if manifest.has(ViewKind::Descriptions) {
        let (bytes, path) = read_checked(path, DESCRIPTIONS_FILE)?;
        views.push(View::Descriptions(Tensors::read(&bytes, &path)?.descriptions(n_labels, hidden_size)?));
    }
    if manifest.has(ViewKind::Rules) {
        let path = path.join(MANIFEST_FILE);
        let labels = LabelSet::new(manifest.labels.clone())
            .map_err(|source| BundleError::Labels { path: path.clone(), source })?;
        match Rules::new(&labels) {
            Ok(Some(rules)) => views.push(View::Rules(rules)),
            Ok(None) => return Err(BundleError::Manifest { path, source: ManifestError::NoHints }),
            Err(source) => return Err(BundleError::Rules { path, source }),
        }
    }
    if let Some(columns) = &manifest.metadata {
        let head = head(METADATA_FILE, columns.values.len())?;
        let view = MetadataHead::new(columns.clone(), head)
            .map_err(|source| BundleError::Head { path: path.join(METADATA_FILE), source })?;
        views.push(View::Metadata(view));
    }
    Ok(views)
}

fn read_neighbours(path: &Path, manifest: &Manifest) -> Result<Option<Neighbours>, BundleError> {
    if !manifest.neighbours {
        return Ok(None);
    }
    let (bytes, path) = read_checked(path, NEIGHBOURS_FILE)?;
    Tensors::read(&bytes, &path)?.neighbours(manifest.head.hidden_size).map(Some)
}

fn read_scope(path: &Path, manifest: &Manifest) -> Result<Option<Scope>, BundleError> {
    if !manifest.scope {
        return Ok(None);
    }
    let (bytes, path) = read_checked(path, SCOPE_FILE)?;
    Tensors::read(&bytes, &path)?.scope(manifest.head.hidden_size).map(Some)
}

/// The bytes of a file of the bundle, and its path.
fn read_checked(folder: &Path, file: &'static str) -> Result<(Vec<u8>, PathBuf), BundleError> {
    let path = folder.join(file);
    let bytes = read(&path)?;
    check_hash(folder, file, &bytes)?;
    Ok((bytes, path))
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    fs::read(path).map_err(|source| BundleError::Read { path: path.to_owned(), source })
}

/// Refuses bytes that are not those listed in `SHA256SUMS`.
fn check_hash(folder: &Path, file: &'static str, bytes: &[u8]) -> Result<(), BundleError> {
    let sums_path = folder.join(SUMS_FILE);
    let sums = String::from_utf8_lossy(&read(&sums_path)?).into_owned();
    let expected = sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .find(|(_, name)| *name == file)
        .map(|(hash, _)| hash.to_owned())
        .ok_or(BundleError::Unlisted { path: sums_path, file })?;
    let found = sha256(bytes);
    if found == expected { Ok(()) } else { Err(BundleError::Tampered { path: folder.join(file), expected, found }) }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes all files into a folder beside the final one, then renames it.
fn write(classifier: &Classifier, path: &Path) -> io::Result<()> {
    let parent = folder_of(path);
    fs::create_dir_all(parent)?;
    let folder = temporary_folder(TEMPORARY_PREFIX, parent)?;
    let manifest = Manifest::of(classifier);
    let mut manifest_json = serde_json::to_vec_pretty(&manifest)?;
    manifest_json.push(b'\n');
    let topics = &classifier.topics;
    let passages = topics.passages().map(|passages| head_bytes(passages.head()));
    let files = [
        (HEAD_FILE, Some(head_bytes(topics.document()).map_err(io::Error::other)?)),
        (MANIFEST_FILE, Some(manifest_json)),
        (PASSAGES_FILE, passages.transpose().map_err(io::Error::other)?),
        (WORDS_FILE, topics.words().map(words_file::write).transpose().map_err(io::Error::other)?),
        (DESCRIPTIONS_FILE, topics.descriptions().map(descriptions_bytes).transpose().map_err(io::Error::other)?),
        (METADATA_FILE, topics.metadata().map(|view| head_bytes(view.head())).transpose().map_err(io::Error::other)?),
        (SCOPE_FILE, classifier.scope.as_ref().map(scope_bytes).transpose().map_err(io::Error::other)?),
        (NEIGHBOURS_FILE, classifier.neighbours.as_ref().map(neighbours_bytes).transpose().map_err(io::Error::other)?),
    ];
    let mut sums = String::new();
    for (name, bytes) in files {
        let Some(bytes) = bytes else { continue };
        write_file(&folder.path().join(name), &bytes)?;
        sums.push_str(&format!("{}  {name}\n", sha256(&bytes)));
    }
    write_file(&folder.path().join(SUMS_FILE), sums.as_bytes())?;
    write_file(&folder.path().join(CARD_FILE), card::render(&manifest).as_bytes())?;
    let_others_read(folder.path())?;
    if is_empty_folder(path) || !path.exists() {
        fs::rename(folder.path(), path)?;
    } else {
        // Two renames with the old model kept until the new one is in place, since a folder cannot be replaced in one step.
        let old = temporary_folder(REPLACED_PREFIX, parent)?;
        fs::rename(path, old.path().join("model"))?;
        if let Err(error) = fs::rename(folder.path(), path) {
            fs::rename(old.path().join("model"), path)?;
            return Err(error);
        }
    }
    // It has its final name now; there is nothing to clean up any more.
    let _ = folder.keep();
    sync_folder(parent)
}

/// Makes a rename last through a power cut, where folders can be synced.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A temporary folder is closed to others; a model should be as open as any new folder.
#[cfg(unix)]
fn let_others_read(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn let_others_read(_folder: &Path) -> io::Result<()> {
    Ok(())
}
