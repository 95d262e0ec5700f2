//! Any bytes as CSV and TSV, below a header that serves, so that the rows are reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use topicwire::data::{Format, Quoting, ReadOptions, csv};

fuzz_target!(|bytes: &[u8]| {
    for (format, header) in [(Format::Csv, &b"id,text,labels\n"[..]), (Format::Tsv, b"id\ttext\tlabels\n"), (Format::Csv, b"")] {
        for quoting in [Quoting::Double, Quoting::None] {
            // A small limit, so that rows beyond it are reached too.
            let options = ReadOptions { quoting, max_row_bytes: 256, ..ReadOptions::default() };
            if let Ok(rows) = csv::read_bytes(&[header, bytes].concat(), format, &options) {
                rows.for_each(drop);
            }
        }
    }
});
