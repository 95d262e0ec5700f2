//! How far reading has come, in bytes of the files as they lie on disk.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read of one file, shared between its reader and whoever watches.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    bytes_read: Arc<AtomicU64>,
    /// Size of the file where it is known.
    pub(super) n_bytes: Option<u64>,
}

impl Meter {
    pub(super) fn new(n_bytes: Option<u64>) -> Self {
        Self { bytes_read: Arc::default(), n_bytes }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Counts the bytes that go through the reader.
    pub(super) fn watch<R>(&self, inner: R) -> Metered<R> {
        Metered { inner, meter: self.clone() }
    }

    /// For readers that jump about in the file: `done` of `total` parts are read.
    #[cfg(feature = "parquet")]
    pub(super) fn set_share(&self, done: u64, total: u64) {
        let share = u128::from(self.n_bytes.unwrap_or(0)) * u128::from(done) / u128::from(total.max(1));
        self.bytes_read.store(u64::try_from(share).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A reader whose bytes are counted.
pub(super) struct Metered<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.inner.read(buffer)?;
        self.meter.bytes_read.fetch_add(n_bytes as u64, Ordering::Relaxed);
        Ok(n_bytes)
    }
}
