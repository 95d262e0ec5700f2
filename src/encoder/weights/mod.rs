//! The tensors of an encoder, by name, as f32, and the safetensors files they come from.

mod map;
pub mod packed_file;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayD, ArrayView1, ArrayView2, ArrayViewD, IxDyn};
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::Deserialize;
use thiserror::Error;

use packed_file::PackedFileError;

use crate::kernels::packed::SharedBytes;

/// Tensors by full name.
///
/// [`Checkpoint`] makes them from files; the hash of a file is checked where the folder is found.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    tensors: HashMap<String, ArrayD<f32>>,
}

/// What can be wrong with the tensors of an encoder.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightsError {
    #[error("tensor `{name}` is missing")]
    Missing { name: String },
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape { name: String, expected: Vec<usize>, found: Vec<usize> },
    #[error("{} holds no weights: expected `{SINGLE_FILE}` or `{INDEX_FILE}`{}", folder.display(), other_formats(found))]
    NoFile { folder: PathBuf, found: Vec<String> },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a safetensors file: {reason}", path.display())]
    Header { path: PathBuf, reason: String },
    #[error("{} is cut off: tensor `{name}` should end at byte {expected}, the file has {found} bytes", path.display())]
    Truncated { path: PathBuf, name: String, expected: u64, found: u64 },
    #[error("{}: tensor `{name}` of shape {shape:?} and type {dtype} claims {found} bytes, expected {expected}", path.display())]
    ByteCount { path: PathBuf, name: String, shape: Vec<usize>, dtype: String, expected: usize, found: usize },
    #[error("{}: tensor `{name}` has type {dtype}; supported are F32, F16 and BF16", path.display())]
    Dtype { path: PathBuf, name: String, dtype: String },
    #[error("{}: tensor `{name}` holds a value that is not finite", path.display())]
    NotFinite { path: PathBuf, name: String },
    #[error("{} is not an index of weight files: {reason}", path.display())]
    Index { path: PathBuf, reason: String },
    #[error("{} holds tensor `{name}`, which {} holds too", path.display(), first.display())]
    Twice { path: PathBuf, first: PathBuf, name: String },
    #[error("{0}")]
    Packed(#[from] PackedFileError),
    #[error("{}: no tensor is named `{name}`, with or without a prefix", folder.display())]
    NoPrefix { folder: PathBuf, name: String },
    #[error("{}: several tensors are named `{name}`, with the prefixes {prefixes:?}", folder.display())]
    SeveralPrefixes { folder: PathBuf, name: String, prefixes: Vec<String> },
}

fn other_formats(found: &[String]) -> String {
    if found.is_empty() { String::new() } else { format!(", found only {}, which is not supported", found.join(", ")) }
}

impl Weights {
    /// Keeps tensors that were made elsewhere.
    pub fn new(tensors: HashMap<String, ArrayD<f32>>) -> Self {
        Self { tensors }
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor, where there is one of this name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| tensor.shape())
    }

    /// Takes a matrix out.
    ///
    /// # Errors
    /// No such tensor, or another shape.
    pub fn take_matrix(&mut self, name: &str, n_rows: usize, n_columns: usize) -> Result<Array2<f32>, WeightsError> {
        let tensor = self.take(name, &[n_rows, n_columns])?;
        Ok(tensor.into_dimensionality().expect("the shape was checked"))
    }

    /// Takes a vector out.
    ///
    /// # Errors
    /// No such tensor, or another shape.
    pub fn take_vector(&mut self, name: &str, length: usize) -> Result<Array1<f32>, WeightsError> {
        let tensor = self.take(name, &[length])?;
        Ok(tensor.into_dimensionality().expect("the shape was checked"))
    }

    /// Looks at a matrix.
    ///
    /// # Errors
    /// No such tensor, or another shape.
    pub fn matrix(&self, name: &str, n_rows: usize, n_columns: usize) -> Result<ArrayView2<'_, f32>, WeightsError> {
        let tensor = self.view(name, &[n_rows, n_columns])?;
        Ok(tensor.into_dimensionality().expect("the shape was checked"))
    }

    /// Looks at a vector.
    ///
    /// # Errors
    /// No such tensor, or another shape.
    pub fn vector(&self, name: &str, length: usize) -> Result<ArrayView1<'_, f32>, WeightsError> {
        Ok(self.view(name, &[length])?.into_dimensionality().expect("the shape was checked"))
    }

    /// Number of values in all tensors together.
    pub fn n_parameters(&self) -> usize {
        self.tensors.values().map(ArrayD::len).sum()
    }

    fn take(&mut self, name: &str, expected: &[usize]) -> Result<ArrayD<f32>, WeightsError> {
        self.view(name, expected)?;
        Ok(self.tensors.remove(name).expect("the tensor was seen just now"))
    }

    fn view(&self, name: &str, expected: &[usize]) -> Result<ArrayViewD<'_, f32>, WeightsError> {
        let tensor = self.tensors.get(name).ok_or_else(|| WeightsError::Missing { name: name.to_owned() })?;
        if tensor.shape() == expected {
            return Ok(tensor.view());
        }
        let (expected, found) = (expected.to_vec(), tensor.shape().to_vec());
        Err(WeightsError::Shape { name: name.to_owned(), expected, found })
    }
}

/// Where tensors come from, a few at a time, so that not all need to be in memory together.
pub trait TensorSource {
    /// The tensors of these names that there are.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    fn tensors(&mut self, names: &[String]) -> Result<Weights, WeightsError>;

    /// The numbers of a matrix where they lie, where a file holds them as f32 and little-endian; `None` where they have to be read.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    fn mapped(&mut self, _name: &str, _n_rows: usize, _n_columns: usize) -> Result<Option<SharedBytes>, WeightsError> {
        Ok(None)
    }
}

impl TensorSource for Weights {
    fn tensors(&mut self, names: &[String]) -> Result<Weights, WeightsError> {
        let found = names.iter().filter_map(|name| Some((name.clone(), self.tensors.get(name)?.clone())));
        Ok(Weights::new(found.collect()))
    }
}

impl TensorSource for Checkpoint {
    fn tensors(&mut self, names: &[String]) -> Result<Weights, WeightsError> {
        self.read(|name| names.iter().any(|wanted| wanted == name))
    }

    fn mapped(&mut self, name: &str, n_rows: usize, n_columns: usize) -> Result<Option<SharedBytes>, WeightsError> {
        let Some(place) = self.tensors.get(name) else { return Ok(None) };
        if place.dtype != Dtype::F32 || place.shape != [n_rows, n_columns] {
            return Ok(None);
        }
        let path = &place.path;
        let map = map::map(path).map_err(|source| WeightsError::Read { path: path.clone(), source })?;
        let start = place.start as usize;
        let end = start + place.n_values * size_of::<f32>();
        if end > map.len() {
            let (expected, found) = (end as u64, map.len() as u64);
            return Err(WeightsError::Truncated { path: path.clone(), name: name.to_owned(), expected, found });
        }
        let numbers = map[start..end].as_chunks().0.iter();
        // Without a way out of the loop, so that the compiler can look at many numbers together.
        if numbers.fold(false, |is_odd, bytes| is_odd | !f32::from_le_bytes(*bytes).is_finite()) {
            return Err(WeightsError::NotFinite { path: path.clone(), name: name.to_owned() });
        }
        Ok(Some(SharedBytes::new(map, start..end)))
    }
}

const SINGLE_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
/// Files of other formats, named in the error when there is nothing else.
const OTHER_FORMATS: [&str; 3] = ["pytorch_model.bin", "tf_model.h5", "model.onnx"];
/// The format's own limit on the header (safetensors, `MAX_HEADER_SIZE`).
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Bytes of the number before the header.
const HEADER_LENGTH_BYTES: u64 = 8;
/// Bytes read and converted at a time, so that no second copy of a tensor is ever in memory.
const CHUNK_BYTES: usize = 1 << 20;

/// The weight files of a folder, opened: names and shapes are known, values are not read yet.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    tensors: BTreeMap<String, Place>,
}

/// Where a tensor lies.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// From the start of the file.
    start: u64,
    dtype: Dtype,
    shape: Vec<usize>,
    n_values: usize,
}

impl Checkpoint {
    /// Reads the headers of `model.safetensors`, or of all files that `model.safetensors.index.json` lists, and checks that
    /// every tensor lies inside its file.
    ///
    /// The names `gamma` and `beta` that old checkpoints give to layer norms become `weight` and `bias`, as the reference
    /// does on loading.
    ///
    /// # Errors
    /// No such file, or one that is cut off or malformed; the message names file and tensor.
    pub fn open(folder: &Path) -> Result<Self, WeightsError> {
        let mut tensors = BTreeMap::new();
        for path in weight_files(folder)? {
            for (name, place) in read_header(&path)? {
                let name = modern_name(name);
                if let Some(Place { path: first, .. }) = tensors.insert(name.clone(), place) {
                    return Err(WeightsError::Twice { path, first, name });
                }
            }
        }
        Ok(Self { folder: folder.to_owned(), tensors })
    }

    /// The folder it was opened in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files that hold its tensors, in the order of their names.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.tensors.values().map(|place| place.path.clone()).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    /// What stands before `name` in this checkpoint: `""`, `bert.`, `roberta.` …
    ///
    /// # Errors
    /// No tensor is named so, or several are.
    pub fn prefix_of(&self, name: &str) -> Result<String, WeightsError> {
        let is_prefix = |prefix: &&str| prefix.is_empty() || prefix.ends_with('.');
        let mut prefixes: Vec<String> = self
            .tensors
            .keys()
            .filter_map(|full| full.strip_suffix(name))
            .filter(is_prefix)
            .map(str::to_owned)
            .collect();
        match prefixes.len() {
            0 => Err(WeightsError::NoPrefix { folder: self.folder.clone(), name: name.to_owned() }),
            1 => Ok(prefixes.remove(0)),
            _ => Err(WeightsError::SeveralPrefixes { folder: self.folder.clone(), name: name.to_owned(), prefixes }),
        }
    }

    /// Number of values of the tensors whose name is `wanted`.
    pub fn n_parameters(&self, wanted: impl Fn(&str) -> bool) -> usize {
        self.tensors.iter().filter(|(name, _)| wanted(name)).map(|(_, place)| place.n_values).sum()
    }

    /// Reads the values of the tensors whose name is `wanted`, as f32.
    ///
    /// # Errors
    /// A wanted tensor is of another type than F32, F16, BF16, holds infinities or NaN, or the file cannot be read.
    pub fn read(&self, wanted: impl Fn(&str) -> bool) -> Result<Weights, WeightsError> {
        let mut open: Option<(&Path, File)> = None;
        let mut in_file_order: Vec<(&String, &Place)> = self.tensors.iter().filter(|(name, _)| wanted(name)).collect();
        in_file_order.sort_by_key(|(_, place)| (&place.path, place.start));
        let mut tensors = HashMap::new();
        for (name, place) in in_file_order {
            let read_error = |source| WeightsError::Read { path: place.path.clone(), source };
            let file = match &mut open {
                Some((path, file)) if *path == place.path => file,
                _ => &mut open.insert((&place.path, File::open(&place.path).map_err(read_error)?)).1,
            };
            let values = read_values(file, name, place)?;
            let tensor = ArrayD::from_shape_vec(IxDyn(&place.shape), values).expect("n_values is the shape's product");
            tensors.insert(name.clone(), tensor);
        }
        Ok(Weights::new(tensors))
    }
}

fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let single = folder.join(SINGLE_FILE);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = folder.join(INDEX_FILE);
    if !index.is_file() {
        let found = OTHER_FORMATS.into_iter().filter(|name| folder.join(name).is_file()).map(str::to_owned).collect();
        return Err(WeightsError::NoFile { folder: folder.to_owned(), found });
    }
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = std::fs::read(&index).map_err(|source| WeightsError::Read { path: index.clone(), source })?;
    let index_error = |reason: String| WeightsError::Index { path: index.clone(), reason };
    let parsed: Index = serde_json::from_slice(&bytes).map_err(|error| index_error(error.to_string()))?;
    let mut names: Vec<String> = parsed.weight_map.into_values().collect();
    names.sort_unstable();
    names.dedup();
    for name in &names {
        if name.contains(['/', '\\']) || !name.ends_with(".safetensors") {
            return Err(index_error(format!("`{name}` is not the name of a safetensors file in the same folder")));
        }
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

fn modern_name(name: String) -> String {
    for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")] {
        if let Some(stem) = name.strip_suffix(old) {
            return format!("{stem}{new}");
        }
    }
    name
}

fn read_header(path: &Path) -> Result<Vec<(String, Place)>, WeightsError> {
    let read_error = |source| WeightsError::Read { path: path.to_owned(), source };
    let header_error = |reason: String| WeightsError::Header { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(read_error)?;
    let file_bytes = file.metadata().map_err(read_error)?.len();
    let mut length = [0; HEADER_LENGTH_BYTES as usize];
    if file_bytes < HEADER_LENGTH_BYTES {
        return Err(header_error(format!("it has {file_bytes} bytes")));
    }
    file.read_exact(&mut length).map_err(read_error)?;
    let header_bytes = u64::from_le_bytes(length);
    if header_bytes > MAX_HEADER_BYTES.min(file_bytes - HEADER_LENGTH_BYTES) {
        return Err(header_error(format!("its header claims {header_bytes} bytes, the file has {file_bytes}")));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact(&mut header).map_err(read_error)?;
    let entries: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&header).map_err(|error| header_error(error.to_string()))?;

    let data_start = HEADER_LENGTH_BYTES + header_bytes;
    let mut places = Vec::new();
    for (name, entry) in entries.into_iter().filter(|(name, _)| name != "__metadata__") {
        let info = TensorInfo::deserialize(entry).map_err(|error| header_error(format!("tensor `{name}`: {error}")))?;
        let n_values = info.shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let expected = n_values.and_then(|n| n.checked_mul(info.dtype.bitsize())).map(|bits| bits / 8);
        let (start, end) = info.data_offsets;
        let found = end.checked_sub(start);
        let (Some(n_values), Some(expected), Some(found)) = (n_values, expected, found) else {
            return Err(header_error(format!("the shape or place of tensor `{name}` is impossible")));
        };
        if expected != found {
            let (path, dtype) = (path.to_owned(), format!("{:?}", info.dtype));
            return Err(WeightsError::ByteCount { path, name, shape: info.shape, dtype, expected, found });
        }
        let end_in_file = data_start.saturating_add(end as u64);
        if end_in_file > file_bytes {
            return Err(WeightsError::Truncated {
                path: path.to_owned(),
                name,
                expected: end_in_file,
                found: file_bytes,
            });
        }
        let (dtype, shape) = (info.dtype, info.shape);
        places.push((name, Place { path: path.to_owned(), start: data_start + start as u64, dtype, shape, n_values }));
    }
    Ok(places)
}

fn read_values(file: &mut File, name: &str, place: &Place) -> Result<Vec<f32>, WeightsError> {
    let read_error = |source| WeightsError::Read { path: place.path.clone(), source };
    let convert: fn(&[u8], &mut Vec<f32>) = match place.dtype {
        Dtype::F32 => |bytes, values| {
            let (words, _) = bytes.as_chunks::<4>();
            values.extend(words.iter().map(|&word| f32::from_le_bytes(word)));
        },
        Dtype::F16 => |bytes, values| {
            let (words, _) = bytes.as_chunks::<2>();
            values.extend(words.iter().map(|&word| f16::from_le_bytes(word).to_f32()));
        },
        Dtype::BF16 => |bytes, values| {
            let (words, _) = bytes.as_chunks::<2>();
            values.extend(words.iter().map(|&word| bf16::from_le_bytes(word).to_f32()));
        },
        other => {
            let (path, name) = (place.path.clone(), name.to_owned());
            return Err(WeightsError::Dtype { path, name, dtype: format!("{other:?}") });
        }
    };
    file.seek(SeekFrom::Start(place.start)).map_err(read_error)?;
    let mut values = Vec::with_capacity(place.n_values);
    let mut left = place.n_values * place.dtype.bitsize() / 8;
    let mut buffer = vec![0; left.min(CHUNK_BYTES)];
    while left > 0 {
        let chunk = &mut buffer[..left.min(CHUNK_BYTES)];
        file.read_exact(chunk).map_err(read_error)?;
        convert(chunk, &mut values);
        left -= chunk.len();
    }
    if values.iter().any(|value| !value.is_finite()) {
        return Err(WeightsError::NotFinite { path: place.path.clone(), name: name.to_owned() });
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn folder_with(tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name.to_string(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        std::fs::write(folder.path().join(SINGLE_FILE), safetensors::serialize(views, None).unwrap()).unwrap();
        folder
    }

    fn f32_bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn three_number_formats_become_f32_and_other_tensors_are_left_alone() {
        let folder = folder_with(&[
            ("a", Dtype::F32, vec![1, 2], f32_bytes(&[1.5, -2.25])),
            ("b", Dtype::F16, vec![2], [0x3c00u16, 0xc100].iter().flat_map(|x| x.to_le_bytes()).collect()),
            ("c", Dtype::BF16, vec![2], [0x3f80u16, 0xc020].iter().flat_map(|x| x.to_le_bytes()).collect()),
            ("position_ids", Dtype::I64, vec![1], vec![0; 8]),
            ("x.LayerNorm.gamma", Dtype::F32, vec![1], f32_bytes(&[3.0])),
        ]);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let mut weights = checkpoint.read(|name| name != "position_ids").unwrap();
        assert_eq!(weights.n_parameters(), 7);
        assert_eq!(weights.take_matrix("a", 1, 2).unwrap(), ndarray::array![[1.5, -2.25]]);
        assert_eq!(weights.take_vector("b", 2).unwrap(), ndarray::array![1.0, -2.5]);
        assert_eq!(weights.take_vector("c", 2).unwrap(), ndarray::array![1.0, -2.5]);
        assert_eq!(weights.take_vector("x.LayerNorm.weight", 1).unwrap(), ndarray::array![3.0]);
        assert!(matches!(weights.take_vector("c", 2), Err(WeightsError::Missing { .. })));
        let error = checkpoint.read(|_| true).unwrap_err().to_string();
        assert!(error.contains("`position_ids` has type I64"), "{error}");
    }

    #[test]
    fn the_prefix_is_read_from_the_names() {
        let one = |name: &str| folder_with(&[(name, Dtype::F32, vec![1], f32_bytes(&[0.0]))]);
        for prefix in ["", "bert.", "roberta.", "0.auto_model."] {
            let folder = one(&format!("{prefix}embeddings.word.weight"));
            assert_eq!(Checkpoint::open(folder.path()).unwrap().prefix_of("embeddings.word.weight").unwrap(), prefix);
        }
        let folder = one("my_embeddings.word.weight");
        let error = Checkpoint::open(folder.path()).unwrap().prefix_of("embeddings.word.weight").unwrap_err();
        assert!(matches!(error, WeightsError::NoPrefix { .. }), "{error}");
    }

    #[test]
    fn each_malformation_is_an_error_that_names_file_and_tensor() {
        let whole = folder_with(&[
            ("first", Dtype::F32, vec![2], f32_bytes(&[1.0, 2.0])),
            ("second", Dtype::F32, vec![2], f32_bytes(&[3.0, 4.0])),
        ]);
        let path = whole.path().join(SINGLE_FILE);
        let bytes = std::fs::read(&path).unwrap();
        let message = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            match Checkpoint::open(whole.path()).and_then(|checkpoint| checkpoint.read(|_| true)) {
                Ok(_) => panic!("{} bytes were read without an error", bytes.len()),
                Err(error) => error.to_string(),
            }
        };
        assert!(message(&bytes[..bytes.len() - 1]).contains("tensor `second` should end at byte"));
        assert!(message(&bytes[..bytes.len() - 9]).contains("model.safetensors is cut off: tensor `"));
        assert!(message(&bytes[..20]).contains("is not a safetensors file"));
        assert!(message(b"{}").contains("it has 2 bytes"));
        assert!(message(&[0xff; 64]).contains("its header claims"));
        let mut wrong_shape = bytes.clone();
        let at = wrong_shape.windows(3).position(|window| window == b"[2]").unwrap();
        wrong_shape[at + 1] = b'3';
        assert!(message(&wrong_shape).contains("` of shape [3] and type F32 claims 8 bytes, expected 12"));
        let mut wrong_type = bytes.clone();
        let at = wrong_type.windows(3).position(|window| window == b"F32").unwrap();
        wrong_type[at] = b'X';
        assert!(message(&wrong_type).contains("tensor `first`: unknown variant `X32`"));
        let mut not_finite = bytes.clone();
        let n = not_finite.len();
        not_finite[n - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(message(&not_finite).contains("tensor `second` holds a value that is not finite"));
    }

    #[test]
    fn shards_are_read_through_the_index_and_other_formats_are_named() {
        let folder = folder_with(&[("a", Dtype::F32, vec![1], f32_bytes(&[1.0]))]);
        std::fs::rename(folder.path().join(SINGLE_FILE), folder.path().join("model-1-of-1.safetensors")).unwrap();
        std::fs::write(folder.path().join("pytorch_model.bin"), b"").unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("found only pytorch_model.bin"), "{error}");
        let index = folder.path().join(INDEX_FILE);
        std::fs::write(&index, r#"{"weight_map": {"a": "model-1-of-1.safetensors"}}"#).unwrap();
        assert!(Checkpoint::open(folder.path()).unwrap().read(|_| true).unwrap().contains("a"));
        std::fs::copy(folder.path().join("model-1-of-1.safetensors"), folder.path().join("model-2-of-2.safetensors"))
            .unwrap();
        let both = r#"{"weight_map": {"a": "model-1-of-1.safetensors", "b": "model-2-of-2.safetensors"}}"#;
        std::fs::write(&index, both).unwrap();
        assert!(matches!(Checkpoint::open(folder.path()), Err(WeightsError::Twice { .. })));
        std::fs::write(&index, r#"{"weight_map": {"a": "../elsewhere.safetensors"}}"#).unwrap();
        let error = Checkpoint::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("../elsewhere.safetensors"), "{error}");
    }
}
