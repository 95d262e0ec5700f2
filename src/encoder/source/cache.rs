//! The hub cache on disk, laid out as the Python libraries lay it out, so that both share what either downloaded.
//!
//! ```text
//! models--ORG--NAME/
//!   refs/main                     a commit
//!   blobs/HASH                    contents, named by their hash
//!   snapshots/COMMIT/config.json  links to blobs, named as in the repository
//!   .no_exist/COMMIT/FILE         empty: the repository has no such file
//! ```

use std::path::{Path, PathBuf};

use super::folder::{self, MODULES, stays_inside};
use super::registry::is_hex;

/// The cached part of one repository.
pub(super) struct CachedRepo {
    root: PathBuf,
}

/// A complete encoder in the cache.
pub(super) struct Snapshot {
    pub commit: String,
    pub folder: PathBuf,
    pub weights: Vec<PathBuf>,
}

impl CachedRepo {
    pub fn new(cache_dir: &Path, repo: &str) -> Self {
        Self { root: cache_dir.join(repo_folder(repo)) }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The snapshot of a commit, branch or tag, or why it cannot be used.
    ///
    /// A snapshot counts as complete only when it has `modules.json` or says that the repository has none: programs that
    /// fetch but the weights leave that file out, and with it how the hidden states are pooled.
    pub fn snapshot(&self, revision: &str) -> Result<Snapshot, String> {
        if !self.root.is_dir() {
            return Err("no such folder".to_owned());
        }
        let commit = self.commit_of(revision)?;
        let folder = self.root.join("snapshots").join(&commit);
        if !folder.is_dir() {
            return Err(format!("no snapshot of {commit}{}", self.other_snapshots()));
        }
        let weights = folder::weights_of(&folder).map_err(|error| format!("snapshot {commit}: {error}"))?;
        if !folder.join(MODULES).is_file() && !self.no_exist(&commit, MODULES).is_file() {
            return Err(format!(
                "snapshot {commit}: it lacks {MODULES}, and no note says that the repository has none"
            ));
        }
        Ok(Snapshot { commit, folder, weights })
    }

    fn commit_of(&self, revision: &str) -> Result<String, String> {
        if is_hex(revision, 40) {
            return Ok(revision.to_owned());
        }
        if !stays_inside(revision) {
            return Err(format!("`{revision}` is no revision"));
        }
        let text = std::fs::read_to_string(self.reference(revision))
            .map_err(|_| format!("no revision `{revision}`{}", self.other_snapshots()))?;
        let commit = text.trim();
        match is_hex(commit, 40) {
            true => Ok(commit.to_owned()),
            false => Err(format!("refs/{revision} holds `{commit}`, which is no commit")),
        }
    }

    /// Names the snapshots that could be asked for by their commit.
    fn other_snapshots(&self) -> String {
        let mut commits: Vec<String> = std::fs::read_dir(self.root.join("snapshots"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        commits.sort();
        match commits.is_empty() {
            true => String::new(),
            false => format!("; it holds {}", commits.join(", ")),
        }
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.root.join("refs").join(revision)
    }

    fn no_exist(&self, commit: &str, file: &str) -> PathBuf {
        self.root.join(".no_exist").join(commit).join(file)
    }
}

/// `models--ORG--NAME`.
fn repo_folder(repo: &str) -> String {
    format!("models--{}", repo.replace('/', "--"))
}

/// What only a download writes.
#[cfg(feature = "hub")]
mod write {
    use std::fs::{self, File};
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};

    use super::{CachedRepo, repo_folder};

    impl CachedRepo {
        /// Where a content belongs.
        pub fn blob(&self, hash: &str) -> PathBuf {
            self.root.join("blobs").join(hash)
        }

        /// Where contents lie until they are whole and checked; other programs do not look there.
        pub fn staging(&self) -> PathBuf {
            self.root.join(".topicwire")
        }

        /// Takes a checked content over.
        pub fn keep(&self, content: &Path, hash: &str) -> io::Result<()> {
            fs::create_dir_all(self.root.join("blobs"))?;
            fs::rename(content, self.blob(hash))
        }

        /// The file whose lock says that this program is downloading from the repository.
        pub fn lock_file(cache_dir: &Path, repo: &str) -> PathBuf {
            cache_dir.join(".locks").join(repo_folder(repo)).join("topicwire.lock")
        }

        /// Lets a file of a snapshot point to its content.
        pub fn link(&self, commit: &str, file: &str, hash: &str) -> io::Result<()> {
            let pointer = self.root.join("snapshots").join(commit).join(file);
            let folder = pointer.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder)?;
            match fs::symlink_metadata(&pointer) {
                Ok(_) => fs::remove_file(&pointer)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            // Up from the file's folder to the repository's: out of every folder of the name, the commit, `snapshots`.
            let n_up = file.split('/').count() + 1;
            let target = PathBuf::from("../".repeat(n_up)).join("blobs").join(hash);
            symlink(&target, &pointer).or_else(|_| {
                // A file system without links, such as Windows without the right to make them, holds the content twice.
                fs::copy(self.blob(hash), &pointer).map(|_| ())
            })
        }

        /// Notes that a commit has no such file.
        pub fn mark_absent(&self, commit: &str, file: &str) -> io::Result<()> {
            let note = self.no_exist(commit, file);
            fs::create_dir_all(note.parent().unwrap_or(&self.root))?;
            File::create(note).map(|_| ())
        }

        /// Lets a branch or tag point to a commit.
        pub fn set_reference(&self, revision: &str, commit: &str) -> io::Result<()> {
            let path = self.reference(revision);
            let folder = path.parent().unwrap_or(&self.root);
            fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(commit.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        }
    }

    #[cfg(unix)]
    fn symlink(target: &Path, pointer: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, pointer)
    }

    #[cfg(windows)]
    fn symlink(target: &Path, pointer: &Path) -> io::Result<()> {
        std::os::windows::fs::symlink_file(target, pointer)
    }

    #[cfg(not(any(unix, windows)))]
    fn symlink(_target: &Path, _pointer: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A cache as the Python library leaves it, with these files in the snapshot.
    fn cache(files: &[&str]) -> (tempfile::TempDir, CachedRepo) {
        let dir = tempfile::tempdir().unwrap();
        let repo = CachedRepo::new(dir.path(), "org/name");
        assert_eq!(repo.root(), dir.path().join("models--org--name"));
        let snapshot = repo.root().join("snapshots").join(COMMIT);
        fs::create_dir_all(&snapshot).unwrap();
        for file in files {
            fs::write(snapshot.join(file), "[]").unwrap();
        }
        fs::create_dir_all(repo.root().join("refs/refs/pr")).unwrap();
        fs::write(repo.root().join("refs/main"), COMMIT).unwrap();
        fs::write(repo.root().join("refs/refs/pr/1"), format!("{COMMIT}\n")).unwrap();
        (dir, repo)
    }

    const WHOLE: [&str; 4] = ["config.json", "tokenizer.json", "model.safetensors", "modules.json"];

    #[test]
    fn branches_pull_requests_and_commits_lead_to_the_snapshot() {
        let (_dir, repo) = cache(&WHOLE);
        for revision in ["main", "refs/pr/1", COMMIT] {
            let snapshot = repo.snapshot(revision).unwrap();
            assert_eq!(snapshot.commit, COMMIT, "{revision}");
            assert_eq!(snapshot.weights, [snapshot.folder.join("model.safetensors")], "{revision}");
        }
    }

    #[test]
    fn what_is_not_cached_says_why() {
        let (dir, repo) = cache(&WHOLE[..3]);
        let other = "f".repeat(40);
        fs::write(repo.root().join("refs/odd"), "not a commit").unwrap();
        let cases = [
            ("v1", format!("no revision `v1`; it holds {COMMIT}")),
            (other.as_str(), format!("no snapshot of {other}; it holds {COMMIT}")),
            ("odd", "refs/odd holds `not a commit`, which is no commit".to_owned()),
            ("../x", "`../x` is no revision".to_owned()),
            (
                "main",
                format!("snapshot {COMMIT}: it lacks modules.json, and no note says that the repository has none"),
            ),
        ];
        for (revision, expected) in cases {
            assert_eq!(repo.snapshot(revision).err(), Some(expected), "{revision}");
        }
        assert_eq!(CachedRepo::new(dir.path(), "org/else").snapshot("main").err().as_deref(), Some("no such folder"));

        fs::create_dir_all(repo.root().join(".no_exist").join(COMMIT)).unwrap();
        fs::write(repo.root().join(".no_exist").join(COMMIT).join("modules.json"), "").unwrap();
        assert!(repo.snapshot("main").is_ok(), "the note counts");
    }

    #[cfg(feature = "hub")]
    #[test]
    fn links_lead_to_blobs_and_are_renewed() {
        let (_dir, repo) = cache(&[]);
        fs::create_dir_all(repo.root().join("blobs")).unwrap();
        for (hash, content) in [("h1", "one"), ("h2", "two")] {
            fs::write(repo.blob(hash), content).unwrap();
        }
        for file in ["config.json", "1_Pooling/config.json"] {
            for (hash, content) in [("h1", "one"), ("h2", "two")] {
                repo.link(COMMIT, file, hash).unwrap();
                let path = repo.root().join("snapshots").join(COMMIT).join(file);
                assert_eq!(fs::read_to_string(path).unwrap(), content, "{file}");
            }
        }
        repo.set_reference("refs/pr/2", COMMIT).unwrap();
        repo.mark_absent(COMMIT, MODULES).unwrap();
        assert_eq!(repo.commit_of("refs/pr/2").as_deref(), Ok(COMMIT));
        assert!(repo.no_exist(COMMIT, MODULES).is_file());
    }
}
