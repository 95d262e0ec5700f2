//! NumPy's `.npy`, format 1.0: a header with the shape, then the numbers row by row; the ids beside it, one a line.

use std::io::Write;
use std::path::PathBuf;

use super::{Compression, EmbeddingWriter, OutputError, OutputFile, Target, check_width};

/// Length of the whole header: a multiple of 64, as the format asks, with room for any shape.
const HEADER_BYTES: usize = 128;

/// Embeddings as f32 `[n_articles, hidden_size]` in `F`, ids in `F.ids`.
///
/// The number of rows is put into the header at the end. The ids get their name first, so that a finished `F` always has
/// its ids beside it.
pub struct NpyEmbeddings {
    numbers: OutputFile,
    ids: OutputFile,
    hidden_size: usize,
    n_rows: usize,
}

impl NpyEmbeddings {
    /// Opens `target` and the file for the ids.
    ///
    /// # Errors
    /// [`OutputError::NotSeekable`] for a stream, [`OutputError::Compressed`] for `.npy.gz`, or a file cannot be created.
    pub fn create(target: &Target, hidden_size: usize) -> Result<Self, OutputError> {
        let Target::File(path) = target else {
            return Err(OutputError::NotSeekable { path: target.path().to_path_buf() });
        };
        let mut numbers = super::plain(target, ".npy")?;
        if numbers.is_stream() {
            return Err(OutputError::NotSeekable { path: path.clone() });
        }
        let mut ids_path = path.clone().into_os_string();
        ids_path.push(".ids");
        let ids = OutputFile::create(&Target::File(PathBuf::from(ids_path)), Compression::None)?;
        numbers.write_all(&header(0, hidden_size)).map_err(|source| OutputError::from_io(numbers.path(), source))?;
        Ok(Self { numbers, ids, hidden_size, n_rows: 0 })
    }
}

impl EmbeddingWriter for NpyEmbeddings {
    fn write(&mut self, id: &str, embedding: &[f32]) -> Result<(), OutputError> {
        check_width(id, embedding, self.hidden_size)?;
        if id.contains(['\n', '\r']) {
            return Err(OutputError::IdLineEnd { id: id.to_owned() });
        }
        let Self { numbers, ids, n_rows, .. } = self;
        let written = write_f32(numbers, embedding);
        written.map_err(|source| OutputError::from_io(numbers.path(), source))?;
        writeln!(ids, "{id}").map_err(|source| OutputError::from_io(ids.path(), source))?;
        *n_rows += 1;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), OutputError> {
        self.numbers.patch(&header(self.n_rows, self.hidden_size))?;
        self.ids.finish()?;
        self.numbers.finish()
    }
}

fn header(n_rows: usize, hidden_size: usize) -> [u8; HEADER_BYTES] {
    let mut header = [b' '; HEADER_BYTES];
    let length = u16::try_from(HEADER_BYTES - 10).expect("the header is short").to_le_bytes();
    let dictionary = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n_rows}, {hidden_size}), }}");
    header[..8].copy_from_slice(b"\x93NUMPY\x01\x00");
    header[8..10].copy_from_slice(&length);
    header[10..10 + dictionary.len()].copy_from_slice(dictionary.as_bytes());
    header[HEADER_BYTES - 1] = b'\n';
    header
}

/// Writes numbers as little-endian bytes.
pub(super) fn write_f32(output: &mut impl Write, numbers: &[f32]) -> std::io::Result<()> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    output.write_all(&bytes)
}
