//! Any bytes as Parquet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use topicwire::data::{ReadOptions, parquet};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(rows) = parquet::read_bytes(bytes, &ReadOptions::default()) {
        rows.for_each(drop);
    }
});
