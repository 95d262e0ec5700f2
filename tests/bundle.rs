//! Saved classifiers: what is opened predicts what was saved, and nothing damaged is opened.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use ndarray::array;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use topicwire::bundle::manifest::Manifest;
use topicwire::bundle::{BundleError, Saved, read_manifest, verify};
use topicwire::calibration::Calibration;
use topicwire::calibration::beta::{Beta, BetaCurve};
use topicwire::calibration::curves::Curves;
use topicwire::calibration::isotonic::Isotonic;
use topicwire::calibration::platt::Platt;
use topicwire::encoder::source::SourceOptions;
use topicwire::encoder::{Depth, EncoderSettings};
use topicwire::heads::LinearHead;
use topicwire::labels::{Label, LabelSet, Task};
use topicwire::pipeline::PassageUse;
use topicwire::progress::Silent;
use topicwire::train::little::FewChoice;
use topicwire::views::descriptions::DescriptionsHead;
use topicwire::views::metadata::{ColumnValue, MetadataColumns, MetadataHead};
use topicwire::views::passages::PassagesHead;
use topicwire::views::rules::Rules;
use topicwire::views::stack::Stack;
use topicwire::views::{View, ViewKind};
use topicwire::{Article, Classifier, Encoder, TrainSettings};

const FILES: [&str; 6] =
    ["README.md", "SHA256SUMS", "head.safetensors", "manifest.json", "neighbours.safetensors", "scope.safetensors"];

fn article(i: usize, labels: &[&str]) -> Article {
    const TEXTS: [&str; 3] = ["ships carry grain", "soldiers train with tanks", "the minister signed a deal"];
    let mut article = Article::new(format!("a{i}"), format!("{}, report {i}", TEXTS[i % TEXTS.len()]));
    article.labels = Some(labels.iter().map(|label| (*label).to_owned()).collect());
    article
}

fn articles(is_single: bool) -> Vec<Article> {
    let labels: [&[&str]; 4] =
        if is_single { [&["x"], &["y"], &["x"], &["y"]] } else { [&["x"], &["y"], &["x", "y"], &[]] };
    (0..24).map(|i| article(i, labels[i % labels.len()])).collect()
}

fn train(is_single: bool) -> Classifier {
    train_on(articles(is_single), &TrainSettings::default())
}

fn train_on(articles: Vec<Article>, settings: &TrainSettings) -> Classifier {
    let encoder = Encoder::open("models/tiny-bert-cls-dense").unwrap();
    Classifier::train(encoder, articles.into_iter().map(Ok), settings).unwrap()
}

/// Articles whose words tell their labels, and a classifier that sees them.
fn telling(is_single: bool) -> (Vec<Article>, Classifier) {
    let labels: [&[&str]; 3] = if is_single { [&["x"], &["y"], &["z"]] } else { [&["x"], &["y"], &["x", "y"]] };
    let articles: Vec<Article> = (0..24).map(|i| article(i, labels[i % labels.len()])).collect();
    let mut settings = TrainSettings::default();
    settings.head.views = vec![ViewKind::Document, ViewKind::Words];
    let classifier = train_on(articles.clone(), &settings);
    assert!(classifier.topics.words().is_some(), "the words were to be of use");
    (articles, classifier)
}

/// A multi-label classifier and the folder it was saved in.
fn saved() -> &'static (Classifier, TempDir) {
    static SAVED: OnceLock<(Classifier, TempDir)> = OnceLock::new();
    SAVED.get_or_init(|| {
        let classifier = train(false);
        let folder = tempfile::tempdir().unwrap();
        classifier.save(folder.path().join("model")).unwrap();
        (classifier, folder)
    })
}

/// A copy of the saved model that may be spoilt.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in FILES {
        fs::copy(saved().1.path().join("model").join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes the list of hashes right again, as whoever means harm would.
fn reseal(model: &Path) {
    let line = |file: &str| format!("{}  {file}\n", sha256(&fs::read(model.join(file)).unwrap()));
    let mut files: Vec<String> =
        fs::read_dir(model).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.retain(|file| file.ends_with(".safetensors") || file == "manifest.json");
    files.sort();
    let sums: String = files.iter().map(|file| line(file)).collect();
    fs::write(model.join("SHA256SUMS"), sums).unwrap();
}

#[test]
fn what_is_opened_predicts_exactly_what_was_saved() {
    for is_single in [false, true] {
        let classifier = train(is_single);
        let folder = tempfile::tempdir().unwrap();
        classifier.save(folder.path().join("model")).unwrap();
        let opened = Classifier::open(folder.path().join("model")).unwrap();
        assert_eq!(opened.topics, classifier.topics);
        assert_eq!((&opened.record, &opened.settings), (&classifier.record, &classifier.settings));
        let articles = articles(is_single);
        assert_eq!(opened.predict(&articles).unwrap(), classifier.predict(&articles).unwrap());
        opened.save(folder.path().join("again")).unwrap();
        for file in FILES {
            let read = |model: &str| fs::read(folder.path().join(model).join(file)).unwrap();
            assert_eq!(read("model"), read("again"), "{file}");
        }
    }
}

/// Every kind of calibration, of a task with two labels.
fn calibrations(task: Task) -> Vec<(Calibration, bool)> {
    let lines = || Platt::new(vec![0.5, 2.0], vec![-1.0, 0.25]).unwrap();
    let curve = |below| BetaCurve { below, above: 1.5, offset: -0.5 };
    let all = [
        Curves::Platt(lines()),
        Curves::Beta(Beta::new(vec![curve(0.0), curve(0.7)]).unwrap()),
        Curves::Isotonic(Isotonic::new(lines(), vec![vec![], vec![[-2.5, -3.0], [0.1, 0.3], [1.0, 0.3]]]).unwrap()),
    ];
    // What versions up to 3 have is told by the second.
    let mut found: Vec<(Calibration, bool)> = match task {
        Task::Single => all.into_iter().map(|curves| (Calibration::OneVsRest(curves), false)).collect(),
        Task::Multi => all
            .into_iter()
            .map(|curves| (Calibration::PerLabel(curves.clone()), matches!(curves, Curves::Platt(_))))
            .collect(),
    };
    found.push((Calibration::identity(task, 2), true));
    found
}

#[test]
fn every_calibration_is_saved_and_opened() {
    for is_single in [false, true] {
        let mut classifier = train(is_single);
        // Which is of version 4 itself.
        classifier.scope = None;
        let articles = articles(is_single);
        for (calibration, is_old) in calibrations(classifier.topics.task()) {
            classifier.topics.calibration = calibration;
            let folder = tempfile::tempdir().unwrap();
            let model = folder.path().join("model");
            classifier.save(&model).unwrap();
            assert_eq!(verify(&model).unwrap().format_version, if is_old { 3 } else { 4 });
            let opened = Classifier::open(&model).unwrap();
            assert_eq!((&opened.topics, &opened.record), (&classifier.topics, &classifier.record));
            assert_eq!(opened.predict(&articles).unwrap(), classifier.predict(&articles).unwrap());
        }
    }
}

#[test]
fn broken_calibrations_and_weights_are_refused() {
    let opened = |key: &str, value: Value| {
        let folder = copy();
        let path = folder.path().join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        manifest[key] = value;
        fs::write(&path, manifest.to_string()).unwrap();
        reseal(folder.path());
        let error = Classifier::open(folder.path()).err().expect("broken values do not open");
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    let isotonic = |knots: Value| json!({"kind": "isotonic", "slopes": [1, 1], "offsets": [0, 0], "knots": knots});
    for (calibration, expected) in [
        (json!({"kind": "temperature", "temperature": 1.5}), "calibration `temperature` does not go with task `multi`"),
        (
            json!({"kind": "beta", "below": [1], "above": [1, 1], "offsets": [0, 0]}),
            "`calibration.below` has 1 entries",
        ),
        (json!({"kind": "beta", "below": [1, 1], "above": [1, -1], "offsets": [0, 0]}), "slope -1 of label number 1"),
        (json!({"kind": "beta", "below": [1, 0], "above": [1, 0], "offsets": [0, 0]}), "slope 0 of label number 1"),
        (isotonic(json!([[]])), "the list of knots is for 2 labels, found 1"),
        (isotonic(json!([[], [[0, 0]]])), "knots of label number 1"),
        (isotonic(json!([[[0, 0], [0, 1]], []])), "knots of label number 0"),
        (isotonic(json!([[[0, 1], [1, 0]], []])), "knots of label number 0"),
        (isotonic(json!([[[0, 1], [1, 1e300]], []])), "knots of label number 0"),
    ] {
        let message = opened("calibration", calibration);
        assert!(message.contains(expected), "{message}, expected {expected}");
    }
    let message = opened("title_weight", json!(1.5));
    assert!(message.contains("`title_weight` is 1.5, expected a number from 0 to 1"), "{message}");
}

#[test]
fn a_view_of_words_is_saved_and_opened() {
    for is_single in [false, true] {
        let (articles, classifier) = telling(is_single);
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        classifier.save(&model).unwrap();
        assert_eq!(verify(&model).unwrap().format_version, 4);
        let opened = Classifier::open(&model).unwrap();
        assert_eq!((&opened.topics, &opened.record), (&classifier.topics, &classifier.record));
        assert_eq!(opened.predict(&articles).unwrap(), classifier.predict(&articles).unwrap());
        opened.save(folder.path().join("again")).unwrap();
        for file in FILES.into_iter().chain(["words.safetensors"]) {
            let read = |model: &str| fs::read(folder.path().join(model).join(file)).unwrap();
            assert_eq!(read("model"), read("again"), "{file}");
        }
    }
}

#[test]
fn a_model_on_word_vectors_opens_as_one() {
    let settings = EncoderSettings { depth: Depth::Static, ..EncoderSettings::default() };
    let mut options = SourceOptions::from_vars(|_| None, None);
    options.offline = true;
    let id = "models/tiny-bert-cls-dense".parse().unwrap();
    let encoder = Encoder::open_with(&id, &options, &settings, &Silent).unwrap();
    let articles = articles(false);
    let classifier =
        Classifier::train(encoder, articles.clone().into_iter().map(Ok), &TrainSettings::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    classifier.save(folder.path().join("model")).unwrap();
    let opened = Classifier::open(folder.path().join("model")).unwrap();
    assert_eq!((opened.encoder.info().depth, opened.encoder.hidden_size()), (Depth::Static, 32));
    assert_eq!(opened.record, classifier.record);
    assert_eq!(opened.predict(&articles).unwrap(), classifier.predict(&articles).unwrap());
}

#[test]
fn a_changed_or_missing_file_of_words_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    telling(false).1.save(&model).unwrap();
    let path = model.join("words.safetensors");
    let bytes = fs::read(&path).unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 200) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, &changed).unwrap();
        assert!(matches!(verify(&model), Err(BundleError::Tampered { .. })), "byte {at}");
        // With the hash made right, what is no vocabulary any more is refused, whatever else is opened.
        reseal(&model);
        if let Ok(classifier) = Classifier::open(&model) {
            for prediction in classifier.predict(&articles(false)[..4]).into_iter().flatten() {
                assert!(prediction.probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "byte {at}");
            }
        }
        fs::write(&path, &bytes).unwrap();
        reseal(&model);
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(verify(&model), Err(BundleError::Read { .. })));
    fs::write(&path, &bytes).unwrap();
    // Without the stack nobody knows how much words count.
    let manifest_path = model.join("manifest.json");
    let mut manifest: Map<String, Value> = serde_json::from_slice(&fs::read(&manifest_path).unwrap()).unwrap();
    manifest.remove("stack");
    fs::write(&manifest_path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    reseal(&model);
    let error = Classifier::open(&model).err().unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "several views need a `stack`, and one alone must have none");
}

#[test]
fn every_single_changed_byte_is_refused() {
    let folder = copy();
    for file in ["manifest.json", "head.safetensors", "neighbours.safetensors", "scope.safetensors"] {
        let path = folder.path().join(file);
        let bytes = fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            // Another bit at every place, so that all of them have their turn.
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            assert!(verify(folder.path()).is_err(), "{file}, byte {at}: {:?}", changed[at] as char);
        }
        fs::write(&path, &bytes).unwrap();
        verify(folder.path()).unwrap();
    }
}

#[test]
fn truncated_and_missing_files_are_refused() {
    let folder = copy();
    for file in ["manifest.json", "head.safetensors", "neighbours.safetensors", "scope.safetensors", "SHA256SUMS"] {
        let path = folder.path().join(file);
        let bytes = fs::read(&path).unwrap();
        // The list of hashes ends with a line end that it can do without.
        for length in (0..bytes.len() - 1).step_by(7) {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(verify(folder.path()).is_err(), "{file} of {length} bytes");
        }
        fs::remove_file(&path).unwrap();
        assert!(verify(folder.path()).is_err(), "no {file}");
        fs::write(&path, &bytes).unwrap();
    }
    fs::remove_file(folder.path().join("README.md")).unwrap();
    verify(folder.path()).expect("the card is for people only");
}

#[test]
fn newer_formats_are_refused_before_anything_else_is_looked_at() {
    let folder = copy();
    let manifest = json!({"format": "topicwire-model", "format_version": 5, "program_version": "9.9.9", "new": true});
    fs::write(folder.path().join("manifest.json"), manifest.to_string()).unwrap();
    fs::remove_file(folder.path().join("SHA256SUMS")).unwrap();
    match read_manifest(folder.path()) {
        Err(BundleError::Version { found: 5, program_version, .. }) => assert_eq!(program_version, "9.9.9"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_models_are_replaced_and_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let (classifier, _) = saved();
    let model = folder.path().join("model");
    classifier.save(&model).unwrap();
    assert!(matches!(classifier.save(&model), Err(BundleError::Exists { is_model: true, .. })));
    classifier.save_as(&model, Saved::Replacing).unwrap();
    verify(&model).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for taken in ["file", "file/model"] {
        assert!(classifier.save_as(folder.path().join(taken), Saved::Replacing).is_err(), "{taken}");
    }
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["file", "model"], "no temporary folders are left");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just(0.0), Just(-1.0), Just(1e300), Just(0.5)].prop_map(Value::from),
        "[a-z]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Every value in the tree, as a JSON pointer.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), found))
        }
        _ => {}
    }
}

/// Opens a model whose manifest has `value` at `place`, its hash made right, and uses it where it opens.
fn open_and_use(place: &str, value: Value) {
    let folder = copy();
    let path = folder.path().join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    *manifest.pointer_mut(place).unwrap() = value;
    fs::write(&path, manifest.to_string()).unwrap();
    reseal(folder.path());
    if let Ok(classifier) = Classifier::open(folder.path()) {
        for prediction in classifier.predict(&articles(false)[..4]).into_iter().flatten() {
            assert!(prediction.probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{place}");
        }
    }
}

/// Every value in the manifest but those of the report, which is only shown.
fn places() -> Vec<String> {
    let manifest = fs::read(saved().1.path().join("model/manifest.json")).unwrap();
    let mut found = Vec::new();
    pointers(&serde_json::from_slice(&manifest).unwrap(), "", &mut found);
    found.retain(|place| !place.starts_with("/training/cross_validation/"));
    found
}

#[test]
fn a_manifest_with_any_value_made_awkward_never_panics() {
    let awkward = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(u64::MAX),
        json!(1e300),
        json!("\0"),
        json!([]),
    ];
    for place in places() {
        awkward.iter().for_each(|value| open_and_use(&place, value.clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// A manifest in which one value is something else, its hash made right: an error or a model that works, never a panic.
    #[test]
    fn a_manifest_with_any_one_value_replaced_never_panics(which in any::<prop::sample::Index>(), value in any_json()) {
        let places = places();
        open_and_use(which.get::<String>(&places), value);
    }

    /// A head of any bytes, its hash made right.
    #[test]
    fn a_head_with_a_few_bytes_replaced_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let folder = copy();
        let path = folder.path().join("head.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(length.index(bytes.len()));
        }
        fs::write(&path, bytes).unwrap();
        reseal(folder.path());
        let _ = verify(folder.path());
    }

    #[test]
    fn any_json_as_a_manifest_is_an_error(value in any_json()) {
        let folder = copy();
        fs::write(folder.path().join("manifest.json"), value.to_string()).unwrap();
        reseal(folder.path());
        prop_assert!(verify(folder.path()).is_err());
        prop_assert!(serde_json::from_value::<Manifest>(value).is_err());
    }

    #[test]
    fn any_bytes_as_a_manifest_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = copy();
        fs::write(folder.path().join("manifest.json"), bytes).unwrap();
        reseal(folder.path());
        prop_assert!(verify(folder.path()).is_err());
    }
}

#[test]
fn all_views_are_saved_and_opened() {
    let label = |name: &str| Label {
        name: name.to_owned(),
        description: Some(format!("About {name}.")),
        keywords: vec!["harbour".to_owned()],
        ..Label::default()
    };
    let settings = TrainSettings {
        labels: Some(LabelSet::new(vec![label("x"), label("y")]).unwrap()),
        metadata: vec!["source".to_owned()],
        few: FewChoice::Never,
        ..TrainSettings::default()
    };
    let labels: [&[&str]; 3] = [&["x"], &["y"], &["x", "y"]];
    let articles: Vec<Article> = (0..48)
        .map(|i| {
            let mut article = article(i, labels[i % 3]);
            let source = if i % 3 == 0 { "gazette" } else { "courier" };
            article.extra.insert("source".to_owned(), json!(source));
            article
        })
        .collect();
    let mut classifier = train_on(articles.clone(), &settings);
    // Whatever the stack made of them, each kind is to be saved once.
    let identity = || Calibration::identity(Task::Multi, 2);
    let head = classifier.topics.document().clone();
    let anchors = head.weights().to_owned();
    let columns = MetadataColumns {
        columns: vec!["source".to_owned()],
        values: vec![ColumnValue { column: 0, value: "gazette".to_owned() }],
    };
    let of_columns = LinearHead::new(Task::Multi, array![[1.0], [-1.0]], array![0.0, 0.5]).unwrap();
    classifier.topics.views = vec![
        View::Document(head.clone()),
        View::Passages(PassagesHead::new(head)),
        View::Descriptions(DescriptionsHead::new(anchors, vec![0, 1], 2).unwrap()),
        View::Rules(Rules::new(classifier.labels()).unwrap().unwrap()),
        View::Metadata(MetadataHead::new(columns, of_columns).unwrap()),
    ];
    classifier.topics.stack = Stack::new((0..5).map(|_| identity()).collect(), vec![0.2, 0.4, 0.1, 0.1, 0.2]).unwrap();
    classifier.topics.moments.clear();
    classifier.settings.passages = Some(PassageUse::default());
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    classifier.save(&model).unwrap();
    let opened = Classifier::open(&model).unwrap();
    assert_eq!((&opened.topics, &opened.settings), (&classifier.topics, &classifier.settings));
    assert!(opened.neighbours == classifier.neighbours);
    assert_eq!(opened.predict(&articles).unwrap(), classifier.predict(&articles).unwrap());
    // A view whose file or entry is gone is no view.
    for (file, spoil) in [
        ("passages.safetensors", None),
        ("descriptions.safetensors", None),
        ("metadata.safetensors", None),
        ("manifest.json", Some(("\"passages\"", "\"views\""))),
    ] {
        let path = model.join(file);
        let bytes = fs::read(&path).unwrap();
        match spoil {
            None => fs::remove_file(&path).unwrap(),
            Some((from, to)) => {
                fs::write(&path, String::from_utf8(bytes.clone()).unwrap().replacen(from, to, 1)).unwrap();
                reseal(&model);
            }
        }
        assert!(verify(&model).is_err(), "{file} {spoil:?}");
        fs::write(&path, &bytes).unwrap();
        reseal(&model);
    }
    verify(&model).unwrap();
}
