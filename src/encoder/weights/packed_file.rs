//! Weights packed in one precision, kept beside the encoder in a file that is mapped rather than read.
//!
//! The file is of the safetensors format; its metadata tell the layout's version and the hash of the weights it was made of. It
//! can be deleted at any time and is made again when it is missing, older, or made of other weights.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use thiserror::Error;

use super::map::map;
use crate::kernels::packed::SharedBytes;

/// Of the layout of the tensors and of what is in them; another number means that the file is made again.
const LAYOUT_VERSION: &str = "1";

/// Registers and cache lines are as long; panels that begin elsewhere are read across two lines.
const ALIGNMENT_BYTES: usize = 64;

/// Bytes before the header: its length.
const HEADER_LENGTH_BYTES: usize = 8;

/// Names of the metadata.
const LAYOUT: &str = "topicwire_layout";
const SOURCE: &str = "source_sha256";
const PADDING: &str = "padding";

/// Why packed weights could not be kept or found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PackedFileError {
    #[error("cannot {what} {}", path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a file of packed weights: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("{} was made of other weights, or by another version", path.display())]
    Stale { path: PathBuf },
    #[error("{} holds no tensor `{name}` of shape {shape:?}", path.display())]
    Tensor { path: PathBuf, name: String, shape: Vec<usize> },
}

/// A tensor to be kept.
pub struct PackedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: PackedData,
}

/// Numbers, or bytes whose meaning the name tells.
pub enum PackedData {
    Numbers(Vec<f32>),
    Bytes(SharedBytes),
}

impl PackedTensor {
    fn view(&self) -> (Dtype, std::borrow::Cow<'_, [u8]>) {
        match &self.data {
            PackedData::Numbers(numbers) => {
                (Dtype::F32, numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into())
            }
            PackedData::Bytes(bytes) => (Dtype::U8, bytes.as_slice().into()),
        }
    }
}

/// Packed weights, mapped.
pub struct PackedFile {
    path: PathBuf,
    map: Arc<Mmap>,
    tensors: HashMap<String, (Dtype, Vec<usize>, Range<usize>)>,
}

impl PackedFile {
    /// Maps a file; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, is malformed, or was made of weights other than those with this hash.
    pub fn open(path: &Path, source_sha256: &str) -> Result<Option<Self>, PackedFileError> {
        let map = match map(path) {
            Ok(map) => map,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // An empty file cannot be mapped.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(PackedFileError::Malformed { path: path.to_owned(), reason: error.to_string() });
            }
            Err(source) => return Err(PackedFileError::File { what: "read", path: path.to_owned(), source }),
        };
        let malformed = |reason: String| PackedFileError::Malformed { path: path.to_owned(), reason };
        let (_, header) = SafeTensors::read_metadata(&map).map_err(|error| malformed(error.to_string()))?;
        let metadata = header.metadata().as_ref();
        let of = |name: &str| metadata.and_then(|metadata| metadata.get(name)).map(String::as_str);
        if of(LAYOUT) != Some(LAYOUT_VERSION) || of(SOURCE) != Some(source_sha256) {
            return Err(PackedFileError::Stale { path: path.to_owned() });
        }
        let whole = SafeTensors::deserialize(&map).map_err(|error| malformed(error.to_string()))?;
        let start = map.as_ptr() as usize;
        let tensors = whole.tensors().into_iter().map(|(name, view)| {
            let first = view.data().as_ptr() as usize - start;
            (name, (view.dtype(), view.shape().to_vec(), first..first + view.data().len()))
        });
        let tensors = tensors.collect();
        Ok(Some(Self { path: path.to_owned(), map, tensors }))
    }

    /// Writes a file under a passing name and renames it, so that nobody ever sees half of one.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(path: &Path, source_sha256: &str, tensors: &[PackedTensor]) -> Result<(), PackedFileError> {
        let file_error = |source| PackedFileError::File { what: "write", path: path.to_owned(), source };
        let serialise = |padding: usize| {
            let metadata = HashMap::from([
                (LAYOUT.to_owned(), LAYOUT_VERSION.to_owned()),
                (SOURCE.to_owned(), source_sha256.to_owned()),
                (PADDING.to_owned(), " ".repeat(padding)),
            ]);
            let data: Vec<_> = tensors.iter().map(PackedTensor::view).collect();
            let views = tensors.iter().zip(&data).map(|(tensor, (dtype, bytes))| {
                let view = TensorView::new(*dtype, tensor.shape.clone(), bytes).expect("shapes are those of the data");
                (tensor.name.as_str(), view)
            });
            safetensors::serialize(views, Some(metadata)).expect("every tensor has a name of its own")
        };
        let bytes = serialise(0);
        let header_len = u64::from_le_bytes(bytes[..HEADER_LENGTH_BYTES].try_into().expect("8 bytes")) as usize;
        let padding =
            (HEADER_LENGTH_BYTES + header_len).next_multiple_of(ALIGNMENT_BYTES) - HEADER_LENGTH_BYTES - header_len;
        let bytes = if padding == 0 { bytes } else { serialise(padding) };
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(file_error)?;
        file.write_all(&bytes).map_err(file_error)?;
        file.as_file().sync_all().map_err(file_error)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As readable as the weights beside it; the passing file is its owner's alone.
            const READABLE: u32 = 0o644;
            file.as_file().set_permissions(std::fs::Permissions::from_mode(READABLE)).map_err(file_error)?;
        }
        file.persist(path).map_err(|error| file_error(error.error))?;
        Ok(())
    }

    /// Numbers of a tensor.
    ///
    /// # Errors
    /// No such tensor of that shape.
    pub fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, PackedFileError> {
        let bytes = &self.map[self.range(name, shape, Dtype::F32)?];
        Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// Bytes of a tensor, where they lie.
    ///
    /// # Errors
    /// No such tensor of that shape.
    pub fn bytes(&self, name: &str, shape: &[usize]) -> Result<SharedBytes, PackedFileError> {
        let range = self.range(name, shape, Dtype::U8)?;
        let owner: Arc<Mmap> = Arc::clone(&self.map);
        Ok(SharedBytes::new(owner, range))
    }

    fn range(&self, name: &str, shape: &[usize], dtype: Dtype) -> Result<Range<usize>, PackedFileError> {
        match self.tensors.get(name) {
            Some((found, found_shape, range)) if *found == dtype && found_shape == shape => Ok(range.clone()),
            _ => Err(PackedFileError::Tensor { path: self.path.clone(), name: name.to_owned(), shape: shape.to_vec() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Vec<PackedTensor> {
        vec![
            PackedTensor { name: "a".to_owned(), shape: vec![2, 1], data: PackedData::Numbers(vec![1.5, -2.0]) },
            PackedTensor { name: "b".to_owned(), shape: vec![3], data: PackedData::Bytes(vec![7, 8, 9].into()) },
        ]
    }

    #[test]
    fn what_was_written_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.int8.topicwire");
        assert!(PackedFile::open(&path, "hash").unwrap().is_none());
        PackedFile::write(&path, "hash", &tensors()).unwrap();
        let file = PackedFile::open(&path, "hash").unwrap().unwrap();
        assert_eq!(file.numbers("a", &[2, 1]).unwrap(), [1.5, -2.0]);
        assert_eq!(file.bytes("b", &[3]).unwrap().as_slice(), [7, 8, 9]);
        assert_eq!(file.tensors["a"].2.start % ALIGNMENT_BYTES, 0, "the data begin at a cache line");
        let message = file.bytes("b", &[4]).err().unwrap().to_string();
        assert!(message.contains("no tensor `b` of shape [4]"), "{message}");
        assert!(file.bytes("a", &[2, 1]).is_err() && file.numbers("c", &[1]).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no passing file is left");
    }

    #[test]
    fn other_weights_and_damage_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.int8.topicwire");
        PackedFile::write(&path, "hash", &tensors()).unwrap();
        assert!(matches!(PackedFile::open(&path, "other"), Err(PackedFileError::Stale { .. })));
        let whole = std::fs::read(&path).unwrap();
        for damaged in [&whole[..0], &whole[..5], &whole[..whole.len() - 1], b"not safetensors at all"] {
            std::fs::write(&path, damaged).unwrap();
            let error = PackedFile::open(&path, "hash").err().unwrap();
            assert!(matches!(error, PackedFileError::Malformed { .. }), "{error}");
        }
    }
}
