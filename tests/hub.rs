//! The hub's protocol, its failures, and the cache that a download leaves, against a hub on this machine.
#![cfg(feature = "hub")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use support::hub_server::{HubServer, Reply, Repo, RepoFile, Request, git_blob_hash, sha256};
use topicwire::encoder::source::{
    DOWNLOAD_STAGE, EncoderFiles, HubError, Origin, Registry, SourceError, SourceOptions, Token, locate,
};
use topicwire::progress::{Event, Progress, Silent};

const REPO: &str = "org/tiny-encoder";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const MODULES: &str = r#"[{"path":"","type":"sentence_transformers.models.Transformer"},{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"}]"#;

/// Large enough for several reads of a socket.
fn weights() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i * 31 % 251) as u8).collect()
}

fn repo() -> Repo {
    let files = vec![
        RepoFile::small("config.json", "{}"),
        RepoFile::small("tokenizer.json", r#"{"version":"1.0"}"#),
        RepoFile::small("modules.json", MODULES),
        RepoFile::small("1_Pooling/config.json", r#"{"pooling_mode_mean_tokens":true}"#),
        RepoFile::large("model.safetensors", weights()),
        RepoFile::large("pytorch_model.bin", "pickled"),
        RepoFile::small("README.md", "# tiny"),
        RepoFile::large("onnx/model.onnx", "other format"),
    ];
    Repo { id: REPO, commit: COMMIT.to_owned(), branch: "main", files, lists_hashes: true, is_gated: false }
}

fn without(path: &str) -> Repo {
    let mut repo = repo();
    repo.files.retain(|file| file.path != path);
    repo
}

/// A hub, an empty cache, and options that lead to both with little patience.
struct World {
    hub: HubServer,
    dir: tempfile::TempDir,
    options: SourceOptions,
}

impl World {
    fn new(repo: Repo) -> Self {
        let hub = HubServer::start(repo);
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().display().to_string();
        let mut options = SourceOptions::from_vars(|name| (name == "HF_HUB_CACHE").then(|| cache.clone()), None);
        options.models_dirs.clear();
        options.hub.endpoint = hub.endpoint();
        options.hub.patience.response = Duration::from_secs(5);
        options.hub.patience.stall = Duration::from_secs(5);
        options.hub.patience.pause = Duration::from_millis(5);
        Self { hub, dir, options }
    }

    fn locate(&self, id: &str) -> Result<EncoderFiles, SourceError> {
        locate(&id.parse()?, &self.options, &Silent)
    }

    /// What the hub said no with.
    fn refusal(&self, id: &str) -> HubError {
        match self.locate(id) {
            Err(SourceError::NotFound { hub: Some(error), .. }) => *error,
            other => panic!("expected a failure of the hub, got {other:?}"),
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("models--org--tiny-encoder")
    }

    /// Where `hf-hub` keeps what it has of the weights.
    fn unfinished(&self) -> PathBuf {
        let staged = self.root().join(".topicwire/models--org--tiny-encoder/blobs");
        staged.join(format!("{}.part", sha256(&weights())))
    }

    fn assert_no_snapshot(&self) {
        assert!(!self.root().join("snapshots").exists(), "a failed download must not look like an encoder");
        assert!(!self.root().join("refs").exists());
    }
}

/// Keeps every event; may ask to stop once so many bytes have come.
#[derive(Default)]
struct Recorder {
    events: Mutex<Vec<String>>,
    bytes: Mutex<u64>,
    stop_after: Option<u64>,
}

impl Progress for Recorder {
    fn event(&self, event: Event<'_>) {
        if let Event::Advanced { n_items, .. } = event {
            *self.bytes.lock().unwrap() += n_items;
        } else {
            self.events.lock().unwrap().push(format!("{event:?}"));
        }
    }

    fn is_cancelled(&self) -> bool {
        self.stop_after.is_some_and(|limit| *self.bytes.lock().unwrap() >= limit)
    }
}

fn snapshot_files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            match entry.path().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path().strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    files.sort();
    files
}

#[test]
fn an_encoder_is_downloaded_once_and_nothing_that_it_does_not_need() {
    let mut world = World::new(repo());
    let recorder = Recorder::default();
    let files = locate(&REPO.parse().unwrap(), &world.options, &recorder).unwrap();

    assert_eq!(files.origin, Origin::Hub { endpoint: world.hub.endpoint() });
    assert_eq!((files.id.as_str(), files.revision.as_deref()), (REPO, Some(COMMIT)));
    assert_eq!(files.folder, world.root().join("snapshots").join(COMMIT));
    assert_eq!(files.weights_sha256().unwrap(), sha256(&weights()));
    let expected = ["1_Pooling/config.json", "config.json", "model.safetensors", "modules.json", "tokenizer.json"];
    assert_eq!(snapshot_files(&files.folder), expected);
    assert_eq!(fs::read_to_string(world.root().join("refs/main")).unwrap(), COMMIT);
    assert!(world.root().join("blobs").join(git_blob_hash(b"{}")).is_file(), "small files are named as git names them");

    let total: usize =
        repo().files.iter().filter(|file| expected.contains(&file.path)).map(|file| file.content.len()).sum();
    assert_eq!(*recorder.bytes.lock().unwrap(), total as u64);
    let started = format!("Started {{ stage: {DOWNLOAD_STAGE:?}, total: Some({total}) }}");
    assert_eq!(*recorder.events.lock().unwrap(), [started, "Finished".to_owned()]);

    world.hub.forget();
    world.options.offline = true;
    let again = world.locate(REPO).unwrap();
    assert_eq!((again.origin.clone(), again.folder), (Origin::HubCache, files.folder));
    assert!(world.hub.requests("").is_empty(), "what is in the cache is not asked for again");
}

#[test]
fn offline_nothing_is_asked() {
    for flag in [true, false] {
        let mut world = World::new(repo());
        (world.options.offline, world.options.hub.offline) = (flag, !flag);
        let message = world.locate(REPO).unwrap_err().to_string();
        assert!(message.contains(if flag { "--offline" } else { "HF_HUB_OFFLINE" }), "{message}");
        assert!(world.hub.requests("").is_empty());
    }
}

fn token_of(request: &Request) -> Option<&str> {
    request.headers.get("authorization").map(String::as_str)
}

#[test]
fn only_the_hub_sees_the_token_and_only_where_it_matters() {
    let storage = HubServer::start(repo());
    let mut world = World::new(repo());
    world.hub.store_at(&storage.endpoint());
    world.options.hub.token = Token::new("hf_secret");
    world.locate(REPO).unwrap();
    assert_eq!(token_of(&world.hub.requests("/api/")[0]), Some("Bearer hf_secret"));
    assert_eq!(storage.downloads("/storage/").len(), 1);
    for request in [world.hub.requests("/resolve/"), storage.requests("")].concat() {
        assert_eq!(token_of(&request), None, "{request:?}");
    }

    let mut gated = repo();
    gated.is_gated = true;
    let mut world = World::new(gated);
    world.options.hub.token = Token::new("hf_secret");
    world.locate(REPO).unwrap();
    for request in world.hub.requests("") {
        assert_eq!(token_of(&request), Some("Bearer hf_secret"), "{request:?}");
    }
}

#[test]
fn relative_redirections_are_followed() {
    let world = World::new(repo());
    let renamed = Reply::new(307, "").header("Location", format!("/{REPO}/resolve/{COMMIT}/tokenizer.json?again"));
    world.hub.script_probes("/tokenizer.json", vec![renamed.clone()]);
    world.hub.script("/tokenizer.json", vec![renamed]);
    let moved = Reply::new(307, "").header("Location", format!("/api/models/{REPO}/revision/main?blobs=true&again"));
    world.hub.script("/api/", vec![moved]);
    assert_eq!(world.locate(REPO).unwrap().weights_sha256().unwrap(), sha256(&weights()));
    assert_eq!(world.hub.requests("again").len(), 3, "the listing, a probe and a download");
}

#[test]
fn redirections_that_lead_nowhere_are_given_up() {
    let to = |location: &str| Reply::new(302, "").header("Location", location);
    let world = World::new(repo());
    world.hub.script("/api/", vec![to("/api/round"); 20]);
    assert!(matches!(world.refusal(REPO), HubError::TooManyRedirects { .. }));

    let mut world = World::new(repo());
    world.options.hub.patience.stall = Duration::from_millis(300);
    world.hub.script_probes("", vec![to("/round"); 100_000]);
    assert!(matches!(world.refusal(REPO), HubError::TimedOut { .. }));

    // hf-hub panics here; its thread says so on stderr, and the caller gets an error.
    let world = World::new(repo());
    let nowhere = Reply::new(302, "").header("ETag", "a".repeat(64)).header("X-Repo-Commit", COMMIT);
    world.hub.script_probes("/tokenizer.json", vec![nowhere]);
    assert!(matches!(world.refusal(REPO), HubError::Malformed { .. }));
}

#[test]
fn a_token_is_read_from_the_file_that_a_login_leaves() {
    let mut world = World::new(repo());
    let file = world.dir.path().join("token");
    fs::write(&file, "hf_file\n").unwrap();
    world.options.hub.token_file = Some(file);
    world.locate(REPO).unwrap();
    assert_eq!(world.hub.requests("/api/")[0].headers["authorization"], "Bearer hf_file");
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let world = World::new(repo());
    assert!(matches!(world.refusal("org/typo"), HubError::RepoNotFound { repo } if repo == "org/typo"));
    world.hub.script("/api/", vec![Reply::new(404, "")]);
    assert!(matches!(world.refusal(REPO), HubError::RepoNotFound { .. }));
    assert!(matches!(
        world.refusal(&format!("{REPO}@v9")),
        HubError::RevisionNotFound { revision, .. } if revision == "v9"
    ));
    world.hub.script_probes("/tokenizer.json", vec![Reply::new(404, "").header("X-Error-Code", "EntryNotFound")]);
    assert!(matches!(world.refusal(REPO), HubError::FileNotFound { path, .. } if path == "tokenizer.json"));
    world.assert_no_snapshot();
}

#[test]
fn gated_repositories_ask_for_a_token_or_another_one() {
    for status in [401, 403] {
        let mut world = World::new(repo());
        let gated = Reply::new(status, "").header("X-Error-Code", "GatedRepo").header("X-Error-Message", "it is gated");
        world.hub.script("/api/", vec![gated.clone(), gated]);
        let error = world.refusal(REPO);
        assert!(matches!(&error, HubError::AccessRefused { token_sent: false, .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("it is gated") && message.ends_with("set HF_TOKEN"), "{message}");

        world.options.hub.token = Token::new("hf_wrong");
        let error = world.refusal(REPO);
        assert!(matches!(&error, HubError::AccessRefused { token_sent: true, .. }), "{error}");
        assert!(!error.to_string().contains("hf_wrong"));
    }
}

#[test]
fn an_error_page_is_never_taken_for_a_file() {
    for probes in [true, false] {
        let world = World::new(repo());
        world.hub.store_at(&world.hub.endpoint());
        let expired = vec![Reply::new(403, "<Error>expired</Error>")];
        if probes {
            world.hub.script_probes("/storage/", expired)
        } else {
            world.hub.script("/storage/", expired)
        }
        assert!(matches!(world.refusal(REPO), HubError::AccessRefused { status: 403, .. }));
        world.assert_no_snapshot();
        assert!(world.locate(REPO).is_ok());
    }
}

#[test]
fn a_busy_hub_is_asked_again_and_then_reported() {
    let world = World::new(repo());
    world.hub.script("/api/", vec![Reply::new(429, ""), Reply::new(503, "")]);
    assert!(world.locate(REPO).is_ok(), "two repetitions are enough");

    let world = World::new(repo());
    world.hub.script("/api/", vec![Reply::new(429, ""); 3]);
    assert!(matches!(world.refusal(REPO), HubError::RateLimited { retry_after_s: None }));
    assert_eq!(world.hub.requests("/api/").len(), 3);

    let world = World::new(repo());
    world.hub.script("/api/", vec![Reply::new(429, "").header("Retry-After", 3600)]);
    let error = world.refusal(REPO);
    assert!(matches!(error, HubError::RateLimited { retry_after_s: Some(3600) }), "{error}");
    assert_eq!(world.hub.requests("/api/").len(), 1, "an hour is not waited for");

    let world = World::new(repo());
    world.hub.script("/model.safetensors", vec![Reply::new(502, ""); 3]);
    assert!(matches!(world.refusal(REPO), HubError::Server { status: 502, .. }));
    world.assert_no_snapshot();

    let world = World::new(repo());
    world.hub.script("/api/", vec![Reply::new(418, "")]);
    assert!(matches!(world.refusal(REPO), HubError::UnexpectedStatus { status: 418, .. }));
}

#[test]
fn a_body_that_breaks_off_is_taken_up_where_it_ended() {
    let world = World::new(repo());
    world.hub.script("/model.safetensors", vec![Reply::new(200, weights()).cut_after(100_000)]);
    assert_eq!(world.locate(REPO).unwrap().weights_sha256().unwrap(), sha256(&weights()));
    let requests = world.hub.downloads("/model.safetensors");
    let ranges: Vec<_> = requests.iter().map(|request| request.headers["range"].as_str()).collect();
    assert_eq!(ranges, ["bytes=0-", "bytes=100000-"]);
}

#[test]
fn a_body_that_keeps_breaking_off_is_reported_and_the_next_run_goes_on() {
    let world = World::new(repo());
    let cut = |from: usize, n_bytes: usize| {
        let rest = weights()[from..].to_vec();
        let reply = Reply::new(if from == 0 { 200 } else { 206 }, rest).cut_after(n_bytes);
        reply.header("Content-Range", format!("bytes {from}-299999/300000"))
    };
    world.hub.script("/model.safetensors", vec![cut(0, 50_000), cut(50_000, 50_000), cut(100_000, 50_000)]);
    let error = world.refusal(REPO);
    assert!(matches!(error, HubError::Truncated { expected: 300_000, received: 150_000, .. }), "{error}");
    world.assert_no_snapshot();
    assert_eq!(fs::read(world.unfinished()).unwrap(), &weights()[..150_000]);

    world.hub.forget();
    assert!(world.locate(REPO).is_ok());
    assert_eq!(world.hub.downloads("/model.safetensors")[0].headers["range"], "bytes=150000-");
    assert!(!world.unfinished().exists());
}

#[test]
fn a_body_that_stalls_is_given_up() {
    let mut world = World::new(repo());
    world.options.hub.patience.stall = Duration::from_millis(100);
    world.options.hub.patience.n_retries = 0;
    let stalled = Reply::new(200, weights()).cut_after(1000).stall(Duration::from_secs(20));
    world.hub.script("/model.safetensors", vec![stalled]);
    let begin = Instant::now();
    let error = world.refusal(REPO);
    assert!(matches!(error, HubError::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains("model.safetensors"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn wrong_contents_are_refused_and_thrown_away() {
    let world = World::new(repo());
    let evil = Reply::new(200, vec![0; weights().len()]);
    world.hub.script("/model.safetensors", vec![evil; 3]);
    let error = world.refusal(REPO);
    let HubError::WrongHash { path, expected, found } = &error else { panic!("{error}") };
    assert_eq!((path.as_str(), expected), ("model.safetensors", &sha256(&weights())));
    assert_eq!(found, &sha256(&vec![0; weights().len()]));
    world.assert_no_snapshot();
    assert!(!world.unfinished().exists());

    let world = World::new(repo());
    world.hub.script("/tokenizer.json", vec![Reply::new(200, r#"{"version":"6.6"}"#); 3]);
    assert!(matches!(world.refusal(REPO), HubError::WrongHash { path, .. } if path == "tokenizer.json"));
}

#[test]
fn an_unfinished_file_of_something_else_is_begun_anew() {
    // Spoilt beginning, a file longer than the real one, and hubs that ignore the range or mistake it.
    let spoilt = vec![7; 1000];
    let whole = Reply::new(200, weights());
    let other_part = Reply::new(206, weights()).header("Content-Range", "bytes 5-299999/300000");
    let cases = [
        (spoilt.clone(), vec![]),
        (vec![7; 400_000], vec![]),
        (vec![7; 300_000], vec![]),
        (weights()[..1000].to_vec(), vec![whole]),
        (weights()[..1000].to_vec(), vec![other_part]),
    ];
    for (unfinished, replies) in cases {
        let world = World::new(repo());
        fs::create_dir_all(world.unfinished().parent().unwrap()).unwrap();
        fs::write(world.unfinished(), &unfinished).unwrap();
        world.hub.script("/model.safetensors", replies);
        assert_eq!(world.locate(REPO).unwrap().weights_sha256().unwrap(), sha256(&weights()));
    }
}

#[test]
fn an_unfinished_file_that_is_whole_is_not_downloaded_again() {
    let world = World::new(repo());
    fs::create_dir_all(world.unfinished().parent().unwrap()).unwrap();
    fs::write(world.unfinished(), weights()).unwrap();
    assert!(world.locate(REPO).is_ok());
    assert!(world.hub.downloads("/model.safetensors").is_empty());
}

#[test]
fn a_spoilt_content_in_the_cache_is_replaced() {
    let world = World::new(repo());
    let blob = world.root().join("blobs").join(sha256(&weights()));
    fs::create_dir_all(blob.parent().unwrap()).unwrap();
    fs::write(&blob, "an error page").unwrap();
    assert_eq!(world.locate(REPO).unwrap().weights_sha256().unwrap(), sha256(&weights()));

    // A whole one is not downloaded again, even when the snapshot is gone.
    fs::remove_dir_all(world.root().join("snapshots")).unwrap();
    world.hub.forget();
    world.locate(REPO).unwrap();
    assert!(world.hub.requests("/resolve/").is_empty());
}

#[test]
fn an_interrupted_download_leaves_nothing_broken() {
    let world = World::new(repo());
    let slow = Reply::new(206, weights()).header("Content-Range", "bytes 0-299999/300000").cut_after(100_000);
    world.hub.script("/model.safetensors", vec![slow.stall(Duration::from_secs(2))]);
    let recorder = Recorder { stop_after: Some(50_000), ..Recorder::default() };
    let result = locate(&REPO.parse().unwrap(), &world.options, &recorder);
    assert!(matches!(result, Err(SourceError::Interrupted)), "{result:?}");
    world.assert_no_snapshot();
    assert!(world.unfinished().exists());
    assert!(world.locate(REPO).is_ok());
}

#[test]
fn a_hub_that_cannot_be_reached_is_given_up_soon() {
    let mut world = World::new(repo());
    // A port that was free a moment ago, and that nobody listens at.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.options.hub.endpoint = format!("http://{free}");
    let begin = Instant::now();
    let error = world.refusal(REPO);
    assert!(matches!(&error, HubError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&free.to_string()), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn a_hub_that_stays_silent_is_given_up() {
    let mut world = World::new(repo());
    world.options.hub.patience.response = Duration::from_millis(200);
    world.hub.script("/api/", vec![Reply::new(200, "").stall(Duration::from_secs(20))]);
    let begin = Instant::now();
    assert!(matches!(world.refusal(REPO), HubError::TimedOut { .. }));
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn listings_that_make_no_sense_are_refused() {
    let lists = |siblings: &str| format!(r#"{{"sha":"{COMMIT}","siblings":[{siblings}]}}"#);
    let cases = [
        ("<html>".to_owned(), "expected value"),
        ("{}".to_owned(), "no commit"),
        (r#"{"sha":"../../x"}"#.to_owned(), "the commit `../../x`"),
        (lists(r#"{"rfilename":"../../.bashrc"}"#), "the path `../../.bashrc` leaves the repository"),
        (lists(r#"{"rfilename":"/etc/passwd"}"#), "the path `/etc/passwd` leaves the repository"),
    ];
    for (listing, expected) in cases {
        let world = World::new(repo());
        world.hub.script("/api/", vec![Reply::new(200, listing)]);
        let error = world.refusal(REPO);
        assert!(matches!(&error, HubError::Malformed { reason, .. } if reason.contains(expected)), "{error}");
    }
}

#[test]
fn repositories_without_what_an_encoder_needs_are_refused() {
    let error = World::new(without("model.safetensors")).refusal(REPO);
    assert!(matches!(&error, HubError::OnlyPickle { file, .. } if file == "pytorch_model.bin"), "{error}");
    let error = World::new(without("tokenizer.json")).refusal(REPO);
    assert!(matches!(&error, HubError::Incomplete { files, .. } if files == &["tokenizer.json"]), "{error}");
    // `modules.json` names a folder that the repository does not have.
    let error = World::new(without("1_Pooling/config.json")).refusal(REPO);
    assert!(error.to_string().contains("1_Pooling/config.json"), "{error}");
}

#[test]
fn a_plain_transformer_is_noted_to_have_no_modules() {
    let mut world = World::new(without("modules.json"));
    world.locate(REPO).unwrap();
    assert!(world.root().join(".no_exist").join(COMMIT).join("modules.json").is_file());
    world.options.offline = true;
    assert!(world.locate(REPO).is_ok());
}

#[test]
fn a_snapshot_that_another_program_left_unfinished_is_completed() {
    let world = World::new(repo());
    let snapshot = world.root().join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(world.root().join("refs")).unwrap();
    fs::write(world.root().join("refs/main"), COMMIT).unwrap();
    for (file, content) in
        [("config.json", b"{}".to_vec()), ("tokenizer.json", b"{}".to_vec()), ("model.safetensors", weights())]
    {
        fs::write(snapshot.join(file), content).unwrap();
    }
    let files = world.locate(REPO).unwrap();
    assert!(matches!(files.origin, Origin::Hub { .. }), "{}", files.origin);
    assert_eq!(fs::read_to_string(snapshot.join("modules.json")).unwrap(), MODULES);
}

#[test]
fn sharded_weights_are_downloaded_with_their_index() {
    let mut repo = without("model.safetensors");
    let index = r#"{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    repo.files.push(RepoFile::small("model.safetensors.index.json", index));
    repo.files.push(RepoFile::large("model-00001-of-00002.safetensors", "one"));
    repo.files.push(RepoFile::large("model-00002-of-00002.safetensors", "two"));
    let files = World::new(repo).locate(REPO).unwrap();
    let names: Vec<_> = files.weights.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
}

#[test]
fn hashes_come_from_the_answers_where_the_listing_has_none() {
    let mut repo = repo();
    repo.lists_hashes = false;
    let world = World::new(repo.clone());
    world.hub.store_at(&world.hub.endpoint());
    world.hub.script("/storage/", vec![Reply::new(200, weights()).cut_after(10)]);
    assert_eq!(world.locate(REPO).unwrap().weights_sha256().unwrap(), sha256(&weights()));

    let world = World::new(repo.clone());
    let odd = |etag: &str| {
        let reply = Reply::new(206, "{").header("Content-Range", "bytes 0-0/17").header("X-Repo-Commit", COMMIT);
        if etag.is_empty() { reply } else { reply.header("ETag", etag) }
    };
    for etag in ["", "\"md5\"", "\"../../../evil\""] {
        world.hub.script_probes("/tokenizer.json", vec![odd(etag)]);
        assert!(matches!(world.refusal(REPO), HubError::NoHash { path } if path == "tokenizer.json"), "{etag}");
    }
    // Another answer to the second probe than to the first.
    world.hub.script_probes("/tokenizer.json", vec![odd(&"b".repeat(40))]);
    assert!(matches!(world.refusal(REPO), HubError::Malformed { reason, .. } if reason.contains("changed")));
    let other_commit = Reply::new(206, "{").header("Content-Range", "bytes 0-0/17").header("X-Repo-Commit", "../evil");
    world.hub.script_probes("/tokenizer.json", vec![other_commit.header("ETag", "a".repeat(40))]);
    assert!(matches!(world.refusal(REPO), HubError::Malformed { .. }));

    let world = World::new(repo);
    let lie = Reply::new(206, "{").header("Content-Range", "bytes 0-0/17").header("X-Repo-Commit", COMMIT);
    let lie = lie.header("ETag", format!("\"{}\"", git_blob_hash(b"else")));
    world.hub.script_probes("/tokenizer.json", vec![lie; 6]);
    assert!(matches!(world.refusal(REPO), HubError::WrongHash { .. }));
}

#[test]
fn pull_requests_and_commits_can_be_named() {
    let mut repo = repo();
    repo.branch = "refs/pr/1";
    let mut world = World::new(repo);
    let by_branch = world.locate(&format!("{REPO}@refs/pr/1")).unwrap();
    assert_eq!(by_branch.revision.as_deref(), Some(COMMIT));
    assert_eq!(fs::read_to_string(world.root().join("refs/refs/pr/1")).unwrap(), COMMIT);
    world.options.offline = true;
    for revision in ["refs/pr/1", COMMIT] {
        assert_eq!(world.locate(&format!("{REPO}@{revision}")).unwrap().folder, by_branch.folder, "{revision}");
    }
    assert!(world.locate(REPO).is_err(), "main was never asked for");
}

/// A list that pins these weights for the repository, at its commit.
fn pinning(hash: &str) -> Registry {
    let list = format!(
        "default = \"tiny\"\n[[encoder]]\nalias = \"tiny\"\nhub_id = \"{REPO}\"\nrevision = \"{COMMIT}\"\n\
         weights_sha256 = \"{hash}\"\nmodel_type = \"bert\"\nparameters_millions = 0.1\nhidden_size = 4\n\
         max_tokens = 8\nlicence = \"MIT\"\nlanguages = [\"en\"]\n"
    );
    Registry::parse(&list).unwrap()
}

#[test]
fn an_alias_downloads_the_pinned_commit() {
    let mut world = World::new(repo());
    world.options.registry = pinning(&sha256(&weights()));
    let files = world.locate("tiny").unwrap();
    assert_eq!((files.id.as_str(), files.revision.as_deref()), (REPO, Some(COMMIT)));
    assert_eq!(files.entry.map(|entry| entry.alias), Some("tiny".to_owned()));
    assert!(world.hub.requests("/api/")[0].path.contains(COMMIT));
    assert!(!world.root().join("refs").exists(), "no branch was asked for");
}

#[test]
fn weights_other_than_the_pinned_ones_are_not_even_downloaded() {
    let mut world = World::new(repo());
    let pinned = sha256(b"other");
    world.options.registry = pinning(&pinned);
    let error = world.refusal("tiny");
    let HubError::OtherWeights { expected, found, .. } = &error else { panic!("{error}") };
    assert_eq!((expected, found), (&pinned, &sha256(&weights())));
    assert!(world.hub.requests("/resolve/").is_empty());

    // Where the listing does not tell the hash, it is found out afterwards.
    let mut silent = repo();
    silent.lists_hashes = false;
    let mut world = World::new(silent);
    world.options.registry = pinning(&pinned);
    assert!(matches!(world.locate("tiny"), Err(SourceError::WeightsMismatch { .. })));
}

#[test]
fn two_runs_at_once_wait_for_each_other() {
    let world = World::new(repo());
    let lock = world.dir.path().join(".locks/models--org--tiny-encoder/topicwire.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let held = fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let recorder = Recorder::default();
    std::thread::scope(|scope| {
        let run = scope.spawn(|| locate(&REPO.parse().unwrap(), &world.options, &recorder));
        let waits =
            || recorder.events.lock().unwrap().iter().any(|event| event.contains("waiting for another download"));
        let begin = Instant::now();
        while !waits() && begin.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(waits());
        assert!(world.hub.requests("/resolve/").is_empty());
        held.unlock().unwrap();
        assert!(run.join().unwrap().is_ok());
    });
}

#[test]
fn a_failure_says_the_place_and_the_reason_in_one_list() {
    let world = World::new(repo());
    let message = world.locate("org/typo").unwrap_err().to_string();
    let expected = format!("hub {}: it has no repository `org/typo`, or a private one", world.hub.endpoint());
    assert!(message.contains(&expected), "{message}");
}
