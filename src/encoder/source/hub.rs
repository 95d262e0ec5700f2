//! What can go wrong with the hub, whether or not the program was built to ask it.

use std::path::PathBuf;

use thiserror::Error;

/// The stage of a download; its items are bytes.
pub const DOWNLOAD_STAGE: &str = "download";

/// Why the hub did not give an encoder.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HubError {
    #[error("this program was built without the feature `hub`")]
    NotBuilt,
    #[error("the setting {setting} = `{value}` cannot be used: {reason}")]
    Setting { setting: &'static str, value: String, reason: String },
    #[error("cannot be reached, {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("no answer from {url} within {seconds:.1} s ({phase})")]
    TimedOut { url: String, phase: String, seconds: f64 },
    #[error("it has no repository `{repo}`, or a private one; for a private one set HF_TOKEN")]
    RepoNotFound { repo: String },
    #[error("the repository `{repo}` has no revision `{revision}`")]
    RevisionNotFound { repo: String, revision: String },
    #[error("the repository `{repo}` has no file `{path}` at {revision}")]
    FileNotFound { repo: String, revision: String, path: String },
    #[error("access to `{repo}` was refused (status {status}{}); {}",
        .message.as_ref().map(|m| format!(": {m}")).unwrap_or_default(),
        if *.token_sent { "the token that was sent does not open it: accept its terms on the hub, or use another token" }
        else { "accept its terms on the hub and set HF_TOKEN" })]
    AccessRefused { repo: String, status: u16, message: Option<String>, token_sent: bool },
    #[error("it refuses more requests for now (status 429){}",
        .retry_after_s.map(|s| format!("; it asks to come back in {s} s")).unwrap_or_default())]
    RateLimited { retry_after_s: Option<u64> },
    #[error("it failed with status {status} at {url}")]
    Server { url: String, status: u16 },
    #[error("unexpected status {status} at {url}")]
    UnexpectedStatus { url: String, status: u16 },
    #[error("too many redirections from {url}")]
    TooManyRedirects { url: String },
    #[error("an answer that makes no sense from {url}: {reason}")]
    Malformed { url: String, reason: String },
    #[error("the repository `{repo}` lacks {} at {revision}", .files.join(", "))]
    Incomplete { repo: String, revision: String, files: Vec<String> },
    #[error(
        "the repository `{repo}` has no safetensors at {revision}, only `{file}`; pickled weights are not loaded, since they can run code"
    )]
    OnlyPickle { repo: String, revision: String, file: String },
    #[error(
        "`{path}` ended after {received} of {expected} bytes; what came is kept, and the next run goes on from there"
    )]
    Truncated { path: String, expected: u64, received: u64 },
    #[error("no hash came with `{path}`, so that it cannot be checked")]
    NoHash { path: String },
    #[error("`{path}` has hash {found}, expected {expected}; it was thrown away")]
    WrongHash { path: String, expected: String, found: String },
    #[error(
        "the weights of `{repo}` at {revision} have SHA-256 {found}, expected {expected}; they were not downloaded"
    )]
    OtherWeights { repo: String, revision: String, expected: String, found: String },
    #[error("{} cannot be written: {source}", .path.display())]
    Disk {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("interrupted")]
    Interrupted,
}

#[cfg(not(feature = "hub"))]
pub(super) fn fetch(
    _repo: &str,
    _revision: &str,
    _pin: Option<&str>,
    _cache_dir: &std::path::Path,
    _settings: &super::HubSettings,
    _progress: &dyn crate::progress::Progress,
) -> Result<super::cache::Snapshot, HubError> {
    Err(HubError::NotBuilt)
}

#[cfg(feature = "hub")]
pub(super) use super::download::fetch;
