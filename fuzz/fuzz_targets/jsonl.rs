//! Any bytes as JSON Lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use topicwire::data::{ReadOptions, jsonl};

fuzz_target!(|bytes: &[u8]| {
    let rows = jsonl::read_bytes(bytes, &ReadOptions::default()).expect("the default options are valid");
    rows.for_each(drop);
});
