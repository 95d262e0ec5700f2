//! Talking to the hub by way of `hf-hub`, and what that crate leaves open: bounded waits, interruption, names for errors.
//!
//! `hf-hub` writes into a staging folder with the layout of the hub cache, where it can resume what broke off. It waits
//! without limit and cannot be interrupted, so it works in a thread of its own, and its listener is watched from here.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};
use std::{fs, io, panic, thread};

use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo, Metadata};
use hf_hub::{Cache, Repo, RepoType};
use ureq::http::{HeaderMap, Uri};

use super::download::hash_like;
use super::hub::HubError;
use super::registry::is_hex;
use super::settings::{HubSettings, Patience, Token};
use crate::progress::Progress;

/// How often a wait looks whether it should end.
const POLL: Duration = Duration::from_millis(50);

/// The hub may ask to come back later; longer than this is for the user to decide.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The description of a repository with a thousand files is below 1 MB.
const MAX_INFO_BYTES: u64 = 32 * 1024 * 1024;

/// One repository of a hub.
pub(super) struct Wire {
    endpoint: String,
    repo: String,
    token: Option<Token>,
    staging: PathBuf,
    patience: Patience,
}

/// A content that `hf-hub` brought into the staging folder, unchecked.
pub(super) struct Staged {
    pub path: PathBuf,
    /// The hash that came with it: SHA-256 (64 digits) or that of a git blob (40 digits).
    pub hash: String,
}

/// Whether requests carry the token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    Anonymous,
    Token,
}

impl Wire {
    /// Checks the settings; asks nothing yet. `staging` is absolute.
    pub fn new(repo: &str, staging: PathBuf, settings: &HubSettings) -> Result<Self, HubError> {
        parse_address("HF_ENDPOINT", &settings.endpoint)?;
        let token = settings.token.clone().or_else(|| {
            // Most users have never logged in; a file that cannot be read is then the same as none.
            let text = settings.token_file.as_ref().and_then(|file| fs::read_to_string(file).ok());
            text.as_deref().and_then(Token::new)
        });
        Ok(Self {
            endpoint: settings.endpoint.clone(),
            repo: repo.to_owned(),
            token,
            staging,
            patience: settings.patience.clone(),
        })
    }

    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub fn n_retries(&self) -> u32 {
        self.patience.n_retries
    }

    /// Waits before the repetition `retry_idx`.
    pub fn pause(&self, retry_idx: u32) {
        thread::sleep(self.patience.pause * 2_u32.saturating_pow(retry_idx));
    }

    fn api(&self, identity: Identity) -> Result<Api, HubError> {
        let token = self.token.as_ref().filter(|_| identity == Identity::Token).map(|token| token.secret().to_owned());
        ApiBuilder::from_cache(Cache::new(self.staging.clone()))
            .with_endpoint(self.endpoint.clone())
            .with_token(token)
            .with_progress(false)
            // Its own repetitions wait for a time that nobody can set, and drop the result of the last; ours resume too.
            .with_retries(0)
            .with_user_agent(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| HubError::Malformed { url: self.endpoint.clone(), reason: error.to_string() })
    }

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo.clone(), RepoType::Model, revision.to_owned())
    }

    /// Connects to the hub, or to the proxy before it, and hangs up: `hf-hub` would wait minutes for one that is not there.
    pub fn check_reachable(&self, settings: &HubSettings) -> Result<(), HubError> {
        let hub = parse_address("HF_ENDPOINT", &self.endpoint)?;
        let proxy = match &settings.proxy {
            Some(proxy) if !settings.bypasses_proxy(&hub.0) => Some(parse_address("the proxy", proxy)?),
            _ => None,
        };
        let (host, port) = proxy.unwrap_or(hub);
        let url = format!("{host}:{port}");
        let limit = self.patience.connect;
        let timed_out = |phase: &str| HubError::TimedOut {
            url: url.clone(),
            phase: phase.to_owned(),
            seconds: limit.as_secs_f64(),
        };
        let unreachable = |error: io::Error| HubError::Unreachable { url: url.clone(), reason: error.to_string() };

        // The system's look-up of names knows no limit; a thread that it holds up ends when it gives in.
        let (sender, receiver) = mpsc::channel();
        let host = host.trim_matches(['[', ']']).to_owned();
        thread::spawn(move || sender.send((host.as_str(), port).to_socket_addrs().map(Vec::from_iter)));
        let addresses =
            receiver.recv_timeout(limit).map_err(|_| timed_out("looking up its name"))?.map_err(unreachable)?;

        let begin = Instant::now();
        let mut last = timed_out("looking up its name");
        for address in addresses {
            let left = limit.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Err(timed_out("connecting"));
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => last = timed_out("connecting"),
                Err(error) => last = unreachable(error),
            }
        }
        Err(last)
    }

    /// What the hub says about the repository, as JSON with the hashes of its files, and where it said so.
    pub fn info(&self, revision: &str, progress: &dyn Progress) -> Result<String, HubError> {
        let url = format!("{}/api/{}", self.endpoint, self.at(revision).api_url());
        let repo = self.api(Identity::Token)?.repo(self.at(revision));
        let mut retry_idx = 0;
        loop {
            if progress.is_cancelled() {
                return Err(HubError::Interrupted);
            }
            let may_retry = retry_idx < self.patience.n_retries;
            match self.ask(&repo, &url) {
                Ok((200, _, text)) => return Ok(text),
                Ok((status @ (429 | 500..=599), headers, _)) if may_retry && !is_long(retry_after_s(&headers)) => {
                    let asked = retry_after_s(&headers).map(Duration::from_secs).unwrap_or_default();
                    if status == 429 && !asked.is_zero() {
                        thread::sleep(asked);
                    }
                }
                Ok((status, headers, _)) => return Err(self.refusal(status, &headers, revision, &url)),
                Err(HubError::Unreachable { .. }) if may_retry => {}
                Err(error) => return Err(error),
            }
            self.pause(retry_idx);
            retry_idx += 1;
        }
    }

    fn ask(&self, repo: &ApiRepo, url: &str) -> Result<(u16, HeaderMap, String), HubError> {
        let waits = &self.patience;
        let mut response = repo
            .info_request()
            .query("blobs", "true")
            .config()
            .http_status_as_error(false)
            .timeout_resolve(Some(waits.connect))
            .timeout_connect(Some(waits.connect))
            .timeout_recv_response(Some(waits.response))
            .timeout_per_read(Some(waits.stall))
            .build()
            .call()
            .map_err(|error| self.failure(url, error))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let text = match status {
            200 => response.body_mut().with_config().limit(MAX_INFO_BYTES).read_to_string(),
            _ => Ok(String::new()),
        };
        Ok((status, headers, text.map_err(|error| self.failure(url, error))?))
    }

    /// Brings a file at a commit into the staging folder; `reach` is told how many of its bytes are there.
    pub fn stage(
        &self,
        commit: &str,
        path: &str,
        identity: Identity,
        progress: &dyn Progress,
        mut reach: impl FnMut(u64),
    ) -> Result<Staged, HubError> {
        let (sender, receiver) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            api: self.api(identity)?,
            cache: Cache::new(self.staging.clone()),
            repo: self.at(commit),
            path: path.to_owned(),
            listener: Listener { sender, cancelled: Arc::clone(&cancelled), position: 0 },
        };
        let url = worker.url();
        let thread = thread::spawn(move || worker.run());
        let mut heard = Instant::now();
        loop {
            if progress.is_cancelled() {
                cancelled.store(true, Ordering::SeqCst);
                return Err(HubError::Interrupted);
            }
            match receiver.recv_timeout(POLL) {
                Ok(position) => {
                    heard = Instant::now();
                    reach(position);
                }
                Err(RecvTimeoutError::Timeout) if heard.elapsed() > self.patience.stall => {
                    // The thread ends by itself at the next byte, or when the connection does.
                    cancelled.store(true, Ordering::SeqCst);
                    let seconds = self.patience.stall.as_secs_f64();
                    return Err(HubError::TimedOut { url, phase: format!("waiting for `{path}`"), seconds });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let outcome = thread.join().unwrap_or_else(|_| {
            // Some answers, such as a redirection to nowhere, it meets with a panic.
            Err(Trouble::Malformed("the hub client gave up on an answer it does not expect".to_owned()))
        });
        outcome.map_err(|trouble| self.trouble(trouble, &url, commit, path))
    }

    fn trouble(&self, trouble: Trouble, url: &str, commit: &str, path: &str) -> HubError {
        let malformed = |reason| HubError::Malformed { url: url.to_owned(), reason };
        let error = match trouble {
            Trouble::Api(error) => error,
            Trouble::NoHash => return HubError::NoHash { path: path.to_owned() },
            Trouble::Malformed(reason) => return malformed(reason),
            Trouble::Disk(path, source) => return HubError::Disk { path, source },
            Trouble::Broken { expected, received } => {
                return HubError::Truncated { path: path.to_owned(), expected, received };
            }
        };
        match without_retries(error) {
            ApiError::RequestError(error) => match *error {
                ureq::Error::StatusCode(404) => HubError::FileNotFound {
                    repo: self.repo.clone(),
                    revision: commit.to_owned(),
                    path: path.to_owned(),
                },
                ureq::Error::StatusCode(status) => self.refusal(status, &HeaderMap::new(), commit, url),
                error => self.failure(url, error),
            },
            ApiError::MissingHeader("etag") => HubError::NoHash { path: path.to_owned() },
            ApiError::IoError(source) => HubError::Disk { path: self.staging.clone(), source },
            error => malformed(error.to_string()),
        }
    }

    /// What a status other than success means.
    fn refusal(&self, status: u16, headers: &HeaderMap, revision: &str, url: &str) -> HubError {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (repo, url) = (self.repo.clone(), url.to_owned());
        // The hub answers 401 for a repository that does not exist, so as not to tell which private ones do.
        match (status, text("x-error-code").as_deref()) {
            (404, Some("RevisionNotFound")) => HubError::RevisionNotFound { repo, revision: revision.to_owned() },
            (401 | 403, Some("RepoNotFound")) | (404, _) => HubError::RepoNotFound { repo },
            (401 | 403, _) => {
                let message = text("x-error-message");
                HubError::AccessRefused { repo, status, message, token_sent: self.has_token() }
            }
            (429, _) => HubError::RateLimited { retry_after_s: retry_after_s(headers) },
            (500..=599, _) => HubError::Server { url, status },
            _ => HubError::UnexpectedStatus { url, status },
        }
    }

    /// Why there was no answer.
    fn failure(&self, url: &str, error: ureq::Error) -> HubError {
        let url = url.to_owned();
        match error {
            ureq::Error::Timeout(phase) => {
                let waited = match phase {
                    ureq::Timeout::Resolve | ureq::Timeout::Connect => self.patience.connect,
                    ureq::Timeout::RecvResponse => self.patience.response,
                    _ => self.patience.stall,
                };
                HubError::TimedOut { url, phase: phase.to_string(), seconds: waited.as_secs_f64() }
            }
            ureq::Error::TooManyRedirects => HubError::TooManyRedirects { url },
            ureq::Error::Io(error) => HubError::Unreachable { url, reason: error.to_string() },
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => {
                HubError::Unreachable { url, reason: error.to_string() }
            }
            error => HubError::Malformed { url, reason: error.to_string() },
        }
    }
}

/// Host and port of an address.
fn parse_address(setting: &'static str, address: &str) -> Result<(String, u16), HubError> {
    let bad = |reason: String| HubError::Setting { setting, value: address.to_owned(), reason };
    let uri: Uri = address.parse().map_err(|error| bad(format!("{error}")))?;
    let default_port = match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        Some("socks4" | "socks4a" | "socks5" | "socks5h") => 1080,
        _ => return Err(bad("it must begin with https:// or http://".to_owned())),
    };
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host".to_owned()))?;
    Ok((host.to_owned(), uri.port_u16().unwrap_or(default_port)))
}

fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()
}

fn is_long(retry_after_s: Option<u64>) -> bool {
    retry_after_s.is_some_and(|seconds| Duration::from_secs(seconds) > MAX_RETRY_AFTER)
}

/// The error of the last attempt.
fn without_retries(error: ApiError) -> ApiError {
    match error {
        ApiError::TooManyRetries(error) => without_retries(*error),
        error => error,
    }
}

/// What went wrong in the thread.
enum Trouble {
    Api(ApiError),
    NoHash,
    Malformed(String),
    Disk(PathBuf, io::Error),
    Broken { expected: u64, received: u64 },
}

/// Hears from `hf-hub` how far it is, and passes it on.
struct Listener {
    sender: Sender<u64>,
    cancelled: Arc<AtomicBool>,
    position: u64,
}

impl Listener {
    fn tell(&self) {
        if self.cancelled.load(Ordering::SeqCst) {
            // The only way out of `hf-hub` between two bytes. It closes the file on the way, and no message is printed.
            panic::resume_unwind(Box::new("interrupted"));
        }
        // Nobody listens any more only after an interruption, which was seen above.
        let _ = self.sender.send(self.position);
    }
}

impl hf_hub::api::Progress for &mut Listener {
    fn init(&mut self, _size: usize, _filename: &str) {
        self.position = 0;
        self.tell();
    }

    fn update(&mut self, size: usize) {
        self.position += size as u64;
        self.tell();
    }

    fn finish(&mut self) {}
}

/// Fetches one file.
struct Worker {
    api: Api,
    cache: Cache,
    repo: Repo,
    path: String,
    listener: Listener,
}

impl Worker {
    fn url(&self) -> String {
        self.api.repo(self.repo.clone()).url(&self.path)
    }

    fn run(mut self) -> Result<Staged, Trouble> {
        let metadata = self.api.metadata(&self.url()).map_err(Trouble::Api)?;
        self.listener.tell();
        // Both become names of files in the staging folder: nothing but hexadecimal digits may.
        let hash = metadata.etag().strip_prefix("W/").unwrap_or(metadata.etag()).to_owned();
        if hash != metadata.etag() || !(is_hex(&hash, 64) || is_hex(&hash, 40)) {
            return Err(Trouble::NoHash);
        }
        if metadata.commit_hash() != self.repo.revision() {
            let reason = format!("a file of commit {}, not {}", metadata.commit_hash(), self.repo.revision());
            return Err(Trouble::Malformed(reason));
        }
        let blob = self.cache.repo(self.repo.clone()).blob_path(&hash);
        let part = blob.with_extension("part");
        if self.is_done(&part, &hash, &metadata)? {
            fs::rename(&part, &blob).map_err(|error| Trouble::Disk(blob.clone(), error))?;
            return Ok(Staged { path: blob, hash });
        }
        let repo = self.api.repo(self.repo.clone());
        repo.download_with_progress(&self.path, &mut self.listener).map_err(|error| broken(error, &part, &metadata))?;
        match fs::metadata(&blob).map(|file| file.len()) {
            // An end that came too early was taken for the end; what came is kept for the next attempt.
            Ok(received) if received < metadata.size() as u64 => {
                fs::rename(&blob, &part).map_err(|error| Trouble::Disk(part, error))?;
                Err(Trouble::Broken { expected: metadata.size() as u64, received })
            }
            Ok(_) => Ok(Staged { path: blob, hash }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Trouble::Malformed("the file changed between two requests".to_owned()))
            }
            Err(error) => Err(Trouble::Disk(blob, error)),
        }
    }

    /// Whether the unfinished file of an earlier run is the whole content already; one that cannot be its beginning goes.
    ///
    /// `hf-hub` would ask for the bytes after its end, and fail on the answer that there are none.
    fn is_done(&self, part: &Path, hash: &str, metadata: &Metadata) -> Result<bool, Trouble> {
        let disk = |error| Trouble::Disk(part.to_owned(), error);
        let n_there = fs::metadata(part).map_or(0, |file| file.len());
        if n_there < metadata.size() as u64 {
            return Ok(false);
        }
        if n_there == metadata.size() as u64 && hash_like(hash, part).map_err(disk)? == *hash {
            return Ok(true);
        }
        fs::remove_file(part).map_err(disk)?;
        Ok(false)
    }
}

/// Tells a connection that broke off in the middle from the other failures of a download.
fn broken(error: ApiError, part: &Path, metadata: &Metadata) -> Trouble {
    use io::ErrorKind;
    match without_retries(error) {
        ApiError::IoError(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                    | ErrorKind::TimedOut
                    // What ureq wraps its own errors in, none of which are the disk's.
                    | ErrorKind::Other
            ) =>
        {
            let received = fs::metadata(part).map_or(0, |file| file.len());
            Trouble::Broken { expected: metadata.size() as u64, received }
        }
        error => Trouble::Api(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_give_host_and_port() {
        let cases = [
            ("https://huggingface.co", ("huggingface.co", 443)),
            ("http://hub.lan/base", ("hub.lan", 80)),
            ("http://user:pw@proxy.lan:3128", ("proxy.lan", 3128)),
            ("socks5://127.0.0.1", ("127.0.0.1", 1080)),
            ("http://[::1]:8080", ("[::1]", 8080)),
        ];
        for (address, (host, port)) in cases {
            assert_eq!(parse_address("x", address).unwrap(), (host.to_owned(), port), "{address}");
        }
        for address in ["hub.example", "ftp://hub.example", "https://", "::", ""] {
            assert!(matches!(parse_address("x", address), Err(HubError::Setting { .. })), "{address}");
        }
    }
}
