//! `words.safetensors`: vocabulary and head of the words view.

use half::f16;
use ndarray::Array1;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use thiserror::Error;

use super::manifest::WordsEntry;
use crate::heads::{HeadError, SparseLinearHead, SparseRows};
use crate::labels::Task;
use crate::views::words::{Vocabulary, WordsError, WordsHead};

// Tensors; `n` terms, `m` weights.
/// `[n]` u64: XXH3 of each term, ascending.
const HASHES: &str = "hashes";
/// `[n]` f32
const IDF: &str = "idf";
/// `[n]` u8: bytes of each term's spelling.
const LENGTHS: &str = "lengths";
/// u8: the spellings, one behind the other, UTF-8.
const SPELLINGS: &str = "spellings";
/// `[n]` u16: weights of each term.
const COUNTS: &str = "counts";
/// `[m]` u16: the label of each weight, ascending within a term.
const LABELS: &str = "labels";
/// `[m]` f16
const WEIGHTS: &str = "weights";
/// `[n_labels]` f32
const INTERCEPTS: &str = "intercepts";

/// Why a words view cannot be saved, or read from the bytes of its file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WordsFileError {
    #[error("not a readable safetensors file")]
    Safetensors(#[from] safetensors::SafeTensorError),
    #[error("tensor `{tensor}` is {found_dtype} {found:?}, expected {expected_dtype} {expected:?}")]
    Tensor {
        tensor: &'static str,
        expected_dtype: String,
        expected: Vec<usize>,
        found_dtype: String,
        found: Vec<usize>,
    },
    #[error("tensor `{SPELLINGS}` is no UTF-8 text cut where `{LENGTHS}` says")]
    Spelling,
    #[error("a words view has {0} labels, at most 65,535 can be saved")]
    TooManyLabels(usize),
    #[error("the vocabulary is not usable")]
    Vocabulary(#[from] WordsError),
    #[error("the head on the words is not usable")]
    Head(#[from] HeadError),
}

/// The file's bytes. Weights are written in half precision, which those of a pruned head have already.
pub(super) fn write(words: &WordsHead) -> Result<Vec<u8>, WordsFileError> {
    fn bytes<const N: usize>(numbers: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
        numbers.flatten().collect()
    }
    let (vocabulary, head) = (words.vocabulary(), words.head());
    let n_terms = vocabulary.n_columns();
    let n_labels = head.n_labels();
    if n_labels > usize::from(u16::MAX) {
        return Err(WordsFileError::TooManyLabels(n_labels));
    }
    let weights = head.weights();
    let spelled = || (0..n_terms as u32).map(|column| vocabulary.spelled(column));
    let data = [
        (HASHES, Dtype::U64, n_terms, bytes(vocabulary.hashes().iter().map(|hash| hash.to_le_bytes()))),
        (IDF, Dtype::F32, n_terms, bytes(vocabulary.idf().iter().map(|idf| idf.to_le_bytes()))),
        (LENGTHS, Dtype::U8, n_terms, spelled().map(|spelled| spelled.len() as u8).collect()),
        (SPELLINGS, Dtype::U8, spelled().map(str::len).sum(), spelled().flat_map(str::bytes).collect()),
        (COUNTS, Dtype::U16, n_terms, bytes(weights.indptr().windows(2).map(|w| ((w[1] - w[0]) as u16).to_le_bytes()))),
        (LABELS, Dtype::U16, weights.n_entries(), bytes(weights.indices().iter().map(|k| (*k as u16).to_le_bytes()))),
        (
            WEIGHTS,
            Dtype::F16,
            weights.n_entries(),
            bytes(weights.values().iter().map(|w| f16::from_f32(*w).to_le_bytes())),
        ),
        (INTERCEPTS, Dtype::F32, n_labels, bytes(head.intercepts().iter().map(|b| b.to_le_bytes()))),
    ];
    let views = data
        .iter()
        .map(|(name, dtype, len, bytes)| Ok((*name, TensorView::new(*dtype, vec![*len], bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(safetensors::serialize(views, None)?)
}

/// The view in a file's bytes.
///
/// # Errors
/// Anything that does not fit the manifest or itself.
pub(super) fn read(bytes: &[u8], entry: &WordsEntry, task: Task, n_labels: usize) -> Result<WordsHead, WordsFileError> {
    let tensors = SafeTensors::deserialize(bytes)?;
    let tensor = |name: &'static str, dtype: Dtype, len: usize| -> Result<&[u8], WordsFileError> {
        let view = tensors.tensor(name)?;
        if view.dtype() != dtype || view.shape() != [len] {
            return Err(WordsFileError::Tensor {
                tensor: name,
                expected_dtype: format!("{dtype:?}"),
                expected: vec![len],
                found_dtype: format!("{:?}", view.dtype()),
                found: view.shape().to_vec(),
            });
        }
        Ok(view.data())
    };
    let n_terms = entry.n_terms;
    let hashes = tensor(HASHES, Dtype::U64, n_terms)?.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
    let idf = tensor(IDF, Dtype::F32, n_terms)?.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let lengths = tensor(LENGTHS, Dtype::U8, n_terms)?;
    let n_bytes = lengths.iter().map(|&length| usize::from(length)).sum();
    let mut rest = std::str::from_utf8(tensor(SPELLINGS, Dtype::U8, n_bytes)?).map_err(|_| WordsFileError::Spelling)?;
    let mut spelled: Vec<Box<str>> = Vec::with_capacity(n_terms);
    for &length in lengths {
        let (own, others) = rest.split_at_checked(length.into()).ok_or(WordsFileError::Spelling)?;
        spelled.push(own.into());
        rest = others;
    }
    let counts = tensor(COUNTS, Dtype::U16, n_terms)?.as_chunks().0.iter().map(|b| usize::from(u16::from_le_bytes(*b)));
    let mut limits = vec![0];
    limits.extend(counts.scan(0usize, |end, count| {
        *end += count;
        Some(*end)
    }));
    let n_weights = limits[n_terms];
    let labels = tensor(LABELS, Dtype::U16, n_weights)?.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b).into());
    let weights = tensor(WEIGHTS, Dtype::F16, n_weights)?.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32());
    let intercepts: Vec<f32> =
        tensor(INTERCEPTS, Dtype::F32, n_labels)?.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let weights = SparseRows::new(n_labels, limits, labels.collect(), weights.collect())?;
    let head = SparseLinearHead::new(task, weights, Array1::from(intercepts))?;
    Ok(WordsHead::new(Vocabulary::new(&entry.terms, hashes, idf, spelled)?, head)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::words::{TermSettings, VocabularySettings};

    fn words() -> (WordsHead, WordsEntry) {
        let texts = ["Getreide exports fell.", "Grain exports rose: 穀物."];
        let vocabulary = Vocabulary::fit(texts, &VocabularySettings::default()).unwrap();
        let n = vocabulary.n_columns();
        let weights = SparseRows::new(2, (0..=n).collect(), (0..n as u32).map(|i| i % 2).collect(), vec![0.5; n]);
        let head = SparseLinearHead::new(Task::Multi, weights.unwrap(), Array1::from(vec![-0.1, 0.3])).unwrap();
        let entry = WordsEntry { strength: 3.0, n_terms: n, terms: TermSettings::default() };
        (WordsHead::new(vocabulary, head).unwrap(), entry)
    }

    #[test]
    fn a_view_survives_its_file() {
        let (words, entry) = words();
        let bytes = write(&words).unwrap();
        assert_eq!(read(&bytes, &entry, Task::Multi, 2).unwrap(), words);
        assert_eq!(write(&words).unwrap(), bytes);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (words, entry) = words();
        let bytes = write(&words).unwrap();
        let message = |bytes: &[u8], entry: &WordsEntry, n_labels| {
            read(bytes, entry, Task::Multi, n_labels).unwrap_err().to_string()
        };
        assert!(message(&bytes[..40], &entry, 2).starts_with("not a readable safetensors file"));
        let fewer = WordsEntry { n_terms: entry.n_terms - 1, ..entry.clone() };
        assert!(message(&bytes, &fewer, 2).starts_with("tensor `hashes` is U64 ["));
        assert!(message(&bytes, &entry, 3).starts_with("tensor `intercepts` is F32 [2], expected F32 [3]"));
        // The spellings hold one character of three bytes; cut inside it.
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let lengths = tensors.tensor(LENGTHS).unwrap().data();
        let start = lengths.as_ptr() as usize - bytes.as_ptr() as usize;
        let is_refused = |i: usize| {
            let mut damaged = bytes.clone();
            damaged[start + i] += 1;
            damaged[start + i + 1] -= 1;
            matches!(read(&damaged, &entry, Task::Multi, 2), Err(WordsFileError::Spelling))
        };
        assert!((0..lengths.len() - 1).any(is_refused), "no cut fell inside a character");
    }
}
