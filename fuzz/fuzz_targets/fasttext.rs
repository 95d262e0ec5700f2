//! Any bytes as fastText lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use topicwire::data::{ReadOptions, fasttext};

fuzz_target!(|bytes: &[u8]| {
    let rows = fasttext::read_bytes(bytes, &ReadOptions::default()).expect("the default options are valid");
    rows.for_each(drop);
});
