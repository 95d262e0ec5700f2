//! Any bytes as a list of labels.
#![no_main]

use libfuzzer_sys::fuzz_target;
use topicwire::data::parse_label_file;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(labels) = parse_label_file(bytes) {
        assert!(labels.len() > 0, "a label set is never empty");
    }
});
