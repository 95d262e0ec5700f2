//! safetensors: one tensor `embeddings`, the ids as a JSON list under `ids` in the metadata.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

use super::npy::write_f32;
use super::{EmbeddingWriter, OutputError, OutputFile, Target, check_width};

/// Longest header that the safetensors libraries read.
const MAX_HEADER_BYTES: usize = 100_000_000;

/// What the header needs besides the ids.
const HEADER_RESERVE_BYTES: usize = 1024;

/// Embeddings as the F32 tensor `embeddings` `[n_articles, hidden_size]`.
///
/// Shape and ids stand in front of the numbers, so these wait in a temporary file beside the output until the end: the
/// disk needs room for them twice. The ids are held in memory.
pub struct SafetensorsEmbeddings {
    output: OutputFile,
    numbers: BufWriter<File>,
    /// Items of a JSON list, separated by commas.
    ids: String,
    /// Bytes of `ids` once it stands in a JSON string, where quotes and backslashes are escaped.
    n_id_bytes: usize,
    hidden_size: usize,
    n_rows: usize,
}

impl SafetensorsEmbeddings {
    /// Opens `target` and the temporary file.
    ///
    /// # Errors
    /// A file cannot be created, or the name asks for packing.
    pub fn create(target: &Target, hidden_size: usize) -> Result<Self, OutputError> {
        let output = super::plain(target, "safetensors")?;
        let spool = match target {
            Target::File(path) if !output.is_stream() => super::file::spool_beside(path),
            _ => tempfile::tempfile(),
        };
        let spool = spool.map_err(|source| OutputError::Create { path: output.path().to_path_buf(), source })?;
        let numbers = BufWriter::new(spool);
        Ok(Self { output, numbers, ids: String::new(), n_id_bytes: 0, hidden_size, n_rows: 0 })
    }

    fn header(&self) -> Result<Vec<u8>, OutputError> {
        let n_bytes = self.n_rows * self.hidden_size * size_of::<f32>();
        let header = serde_json::json!({
            "__metadata__": { "ids": format!("[{}]", self.ids) },
            "embeddings": { "dtype": "F32", "shape": [self.n_rows, self.hidden_size], "data_offsets": [0, n_bytes] },
        });
        let mut json = serde_json::to_vec(&header).map_err(|error| self.output.error(error))?;
        // The tensor begins at a multiple of 8 bytes.
        json.resize(json.len().next_multiple_of(8), b' ');
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.append(&mut json);
        Ok(bytes)
    }
}

impl EmbeddingWriter for SafetensorsEmbeddings {
    fn write(&mut self, id: &str, embedding: &[f32]) -> Result<(), OutputError> {
        check_width(id, embedding, self.hidden_size)?;
        let item = serde_json::Value::from(id).to_string();
        let n_escaped = item.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
        self.n_id_bytes += item.len() + n_escaped + 1;
        if self.n_id_bytes > MAX_HEADER_BYTES - HEADER_RESERVE_BYTES {
            let (path, n_rows) = (self.output.path().to_path_buf(), self.n_rows + 1);
            return Err(OutputError::TooManyIds { path, n_rows, limit_bytes: MAX_HEADER_BYTES });
        }
        if !self.ids.is_empty() {
            self.ids.push(',');
        }
        self.ids.push_str(&item);
        self.n_rows += 1;
        let written = write_f32(&mut self.numbers, embedding);
        written.map_err(|source| OutputError::from_io(self.output.path(), source))
    }

    fn finish(self: Box<Self>) -> Result<(), OutputError> {
        let header = self.header()?;
        let Self { mut output, numbers, .. } = *self;
        let copied = numbers.into_inner().map_err(io::IntoInnerError::into_error).and_then(|mut numbers| {
            numbers.rewind()?;
            output.write_all(&header)?;
            io::copy(&mut numbers, &mut output)
        });
        copied.map_err(|source| OutputError::from_io(output.path(), source))?;
        output.finish()
    }
}
