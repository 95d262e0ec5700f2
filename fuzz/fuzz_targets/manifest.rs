//! Any bytes as the manifest of a model whose hash is right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use topicwire::bundle::manifest::Manifest;
use topicwire::labels::LabelSet;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
        let _ = manifest.decision_parts();
        let _ = LabelSet::new(manifest.labels);
    }
});
