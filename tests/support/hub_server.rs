//! A hub on this machine: answers as the real one does for one repository, or as a script says.
//!
//! It speaks HTTP/1.1 by hand over one connection per request, since a test must be able to break off in the middle of a
//! body, stay silent, or lie, which servers meant for work do not let one do.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// A request, as far as tests look at it.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
}

/// An answer, honest or not.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Break off after this many bytes of the body, though all are announced.
    pub cut_after: Option<usize>,
    /// Send nothing more for this long after `cut_after` bytes (or before the head, without it), then break off.
    pub stall: Option<Duration>,
}

impl Request {
    /// Whether it asks for one byte, just to see the head of the answer.
    pub fn is_probe(&self) -> bool {
        self.headers.get("range").is_some_and(|range| range == "bytes=0-0")
    }
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut_after: None, stall: None }
    }

    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn cut_after(mut self, n_bytes: usize) -> Self {
        self.cut_after = Some(n_bytes);
        self
    }

    pub fn stall(mut self, time: Duration) -> Self {
        self.stall = Some(time);
        self
    }
}

/// A file of the repository.
#[derive(Clone)]
pub struct RepoFile {
    pub path: &'static str,
    pub content: Vec<u8>,
    /// Whether it lies in large file storage: known by its SHA-256, and served by another server.
    pub is_large: bool,
}

impl RepoFile {
    pub fn small(path: &'static str, content: &str) -> Self {
        Self { path, content: content.into(), is_large: false }
    }

    pub fn large(path: &'static str, content: impl Into<Vec<u8>>) -> Self {
        Self { path, content: content.into(), is_large: true }
    }

    pub fn hash(&self) -> String {
        if self.is_large { sha256(&self.content) } else { git_blob_hash(&self.content) }
    }
}

/// The repository that the hub has.
#[derive(Clone)]
pub struct Repo {
    pub id: &'static str,
    pub commit: String,
    pub branch: &'static str,
    pub files: Vec<RepoFile>,
    /// Whether the listing tells sizes and hashes, as the real hub does when asked for `blobs`.
    pub lists_hashes: bool,
    /// Whether its terms must be accepted before it can be downloaded.
    pub is_gated: bool,
}

/// Answers that stand in for the honest one, for addresses that contain a text, to probes or to the others.
type Script = Vec<(String, bool, Vec<Reply>)>;

struct Shared {
    repo: Repo,
    /// Where large files are said to lie: an address to redirect to, without the trailing slash.
    storage: Mutex<Option<String>>,
    script: Mutex<Script>,
    requests: Mutex<Vec<Request>>,
    stopped: AtomicBool,
}

/// A running hub; it ends with the value.
pub struct HubServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl HubServer {
    /// Serves a repository at a free port.
    pub fn start(repo: Repo) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound port has an address");
        let shared = Arc::new(Shared {
            repo,
            storage: Mutex::new(None),
            script: Mutex::default(),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if for_thread.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&for_thread);
                // A client that hangs up early is part of some tests.
                std::thread::spawn(move || shared.answer(stream).ok());
            }
        });
        Self { address, shared }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends requests for large files there: to another server, or to this one.
    pub fn store_at(&self, storage: &str) {
        *self.shared.storage.lock().unwrap() = Some(storage.to_owned());
    }

    /// Gives these answers, one each, to the next requests whose address contains `part`, probes excepted.
    pub fn script(&self, part: &str, replies: Vec<Reply>) {
        self.shared.script.lock().unwrap().push((part.to_owned(), false, replies));
    }

    /// Gives these answers, one each, to the next probes whose address contains `part`.
    pub fn script_probes(&self, part: &str, replies: Vec<Reply>) {
        self.shared.script.lock().unwrap().push((part.to_owned(), true, replies));
    }

    /// The requests so far whose address contains `part`.
    pub fn requests(&self, part: &str) -> Vec<Request> {
        self.shared.requests.lock().unwrap().iter().filter(|request| request.path.contains(part)).cloned().collect()
    }

    /// The same without probes.
    pub fn downloads(&self, part: &str) -> Vec<Request> {
        self.requests(part).into_iter().filter(|request| !request.is_probe()).collect()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.requests.lock().unwrap().clear();
    }
}

impl Drop for HubServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let request = read_request(&stream)?;
        if request.path.is_empty() {
            // Someone only looked whether there is a server.
            return Ok(());
        }
        self.requests.lock().unwrap().push(request.clone());
        let scripted = self
            .script
            .lock()
            .unwrap()
            .iter_mut()
            .find(|(part, probes, replies)| {
                request.path.contains(part.as_str()) && request.is_probe() == *probes && !replies.is_empty()
            })
            .map(|(_, _, replies)| replies.remove(0));
        send(stream, scripted.unwrap_or_else(|| self.honest(&request)))
    }

    fn honest(&self, request: &Request) -> Reply {
        let repo = &self.repo;
        let path = request.path.split('?').next().unwrap_or_default();
        if let Some(rest) = path.strip_prefix("/api/models/") {
            let Some(revision) = rest.strip_prefix(&format!("{}/revision/", repo.id)) else {
                return Reply::new(401, "").header("X-Error-Code", "RepoNotFound");
            };
            if revision != repo.commit && revision.replace("%2F", "/") != repo.branch {
                return Reply::new(404, "").header("X-Error-Code", "RevisionNotFound");
            }
            return Reply::new(200, self.listing(request.path.contains("blobs=true")));
        }
        if let Some(hash) = path.strip_prefix("/storage/") {
            return match repo.files.iter().find(|file| file.hash() == hash) {
                Some(file) => part_of(&file.content, request).header("ETag", "\"another-server's-name\""),
                None => Reply::new(404, "no such content"),
            };
        }
        let name = path.strip_prefix(&format!("/{}/resolve/{}/", repo.id, repo.commit));
        let Some(file) = name.and_then(|name| repo.files.iter().find(|file| file.path == name)) else {
            return Reply::new(404, "").header("X-Error-Code", "EntryNotFound");
        };
        let storage = self.storage.lock().unwrap().clone();
        match (file.is_large, storage) {
            (true, Some(storage)) => Reply::new(302, "Found")
                .header("Location", format!("{storage}/storage/{}", file.hash()))
                .header("X-Linked-ETag", format!("\"{}\"", file.hash()))
                .header("X-Repo-Commit", &repo.commit),
            _ => part_of(&file.content, request)
                .header("ETag", format!("\"{}\"", file.hash()))
                .header("X-Repo-Commit", &repo.commit),
        }
    }

    fn listing(&self, blobs: bool) -> String {
        let files: Vec<serde_json::Value> = self
            .repo
            .files
            .iter()
            .map(|file| {
                let mut entry = serde_json::json!({"rfilename": file.path});
                if blobs && self.repo.lists_hashes {
                    entry["size"] = file.content.len().into();
                    entry["blobId"] = git_blob_hash(&file.content).into();
                    if file.is_large {
                        // The hash of the pointer, which is not that of the content.
                        entry["blobId"] = git_blob_hash(b"version https://git-lfs.github.com/spec/v1").into();
                        entry["lfs"] =
                            serde_json::json!({"sha256": file.hash(), "size": file.content.len(), "pointerSize": 134});
                    }
                }
                entry
            })
            .collect();
        let gated = if self.repo.is_gated { serde_json::json!("manual") } else { serde_json::json!(false) };
        serde_json::json!({
            "id": self.repo.id, "sha": self.repo.commit, "private": false, "gated": gated, "siblings": files
        })
        .to_string()
    }
}

/// The whole content, or the part that the request asks for.
fn part_of(content: &[u8], request: &Request) -> Reply {
    let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((start, end)) = range else { return Reply::new(200, content) };
    let start: usize = start.parse().unwrap_or_default();
    let end = end.parse::<usize>().map_or(content.len(), |end| (end + 1).min(content.len()));
    if start >= content.len() {
        return Reply::new(416, "").header("Content-Range", format!("bytes */{}", content.len()));
    }
    let range = format!("bytes {start}-{}/{}", end - 1, content.len());
    Reply::new(206, &content[start..end]).header("Content-Range", range)
}

fn read_request(stream: &TcpStream) -> std::io::Result<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream).take(64 * 1024).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    Ok(Request { path, headers })
}

fn send(mut stream: TcpStream, reply: Reply) -> std::io::Result<()> {
    if let (Some(time), None) = (reply.stall, reply.cut_after) {
        std::thread::sleep(time);
    }
    let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", reply.status);
    head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    let n_bytes = reply.cut_after.unwrap_or(reply.body.len()).min(reply.body.len());
    stream.write_all(&reply.body[..n_bytes])?;
    stream.flush()?;
    if let (Some(time), Some(_)) = (reply.stall, reply.cut_after) {
        std::thread::sleep(time);
    }
    Ok(())
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// What `git hash-object` prints.
pub fn git_blob_hash(bytes: &[u8]) -> String {
    let mut digest = sha1::Sha1::new();
    digest.update(format!("blob {}\0", bytes.len()));
    digest.update(bytes);
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
