//! Which terms count and how much; texts to sparse rows.
//!
//! # Formula
//! With `n` texts, `df` of them with the term, and `tf` occurrences in the text at hand:
//!
//! `x = (1 + ln tf) · (ln((1 + n) / (1 + df)) + 1)`, then each row divided by its length.
//!
//! That is scikit-learn's `TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))` where words alone are read. Word
//! n-grams and character n-grams are brought to length 1 separately, as in a `FeatureUnion` of two vectorisers, because
//! the many characters would drown the words. Where `max_features` cuts, the terms in most texts stay; scikit-learn
//! goes by occurrences instead.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::lookup::Lookup;
use super::{TermKind, TermReader, TermSettings, WordsError};
use crate::heads::SparseRows;

/// Texts held at a time: enough to keep every core busy, few enough to be small beside the counts.
const CHUNK_TEXTS: usize = 1024;

/// Longest spelling that is kept of a term. It serves to show the term, which is known by its hash.
pub const MAX_SPELLED_BYTES: usize = 64;

/// Terms up to which those of a single text are kept too. They help where there is little text (32 articles of AG News,
/// mean of three draws: 50.4 % right against 43.8 %) and cost most of the columns, for nothing, where there is much.
pub const FEW_TERMS: usize = 50_000;

/// Stands at the end of a spelling that was cut.
const CUT: &str = "…";

/// Settings of a vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VocabularySettings {
    pub terms: TermSettings,
    /// Texts that a term must occur in to be kept; at least 1. By default 1 while that keeps at most [`FEW_TERMS`],
    /// else 2.
    pub min_df: Option<usize>,
    /// Terms that are kept at most; all by default.
    pub max_features: Option<usize>,
}

/// Texts in which each term occurs.
type Counts = HashMap<u64, usize, BuildHasherDefault<TermHasher>>;

/// Takes a term's hash as it is, since it is one.
#[derive(Default)]
struct TermHasher(u64);

impl Hasher for TermHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes of terms are keys");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The terms that are columns, ascending by hash, with what each weighs.
///
/// # Example
/// ```
/// use topicwire::views::words::{TermKind, TermSettings, Vocabulary, VocabularySettings};
/// let texts = ["Grain exports fell.", "Grain exports rose.", ""];
/// let settings = VocabularySettings { min_df: Some(2), terms: TermSettings::words(), max_features: None };
/// let vocabulary = Vocabulary::fit(&texts, &settings)?;
/// assert_eq!(vocabulary.n_columns(), 3); // `grain`, `exports` and `grain exports`
/// let found = vocabulary.column(TermKind::Words.hash("grain exports")).expect("it is in two texts");
/// assert_eq!(vocabulary.spelled(found), "grain exports");
/// let rows = vocabulary.transform(&texts);
/// assert!((rows.row(0).1[0] - 1.0 / 3f32.sqrt()).abs() < 1e-6);
/// assert!(rows.row(2).0.is_empty());
/// # Ok::<(), topicwire::views::words::WordsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Vocabulary {
    reader: TermReader,
    hashes: Vec<u64>,
    idf: Vec<f32>,
    spelled: Vec<Box<str>>,
    lookup: Lookup,
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Self) -> bool {
        (self.terms(), &self.hashes, &self.idf, &self.spelled)
            == (other.terms(), &other.hashes, &other.idf, &other.spelled)
    }
}

impl Vocabulary {
    /// Counts the terms of texts and keeps those that occur in enough of them.
    ///
    /// Texts are gone through twice: once to count, once to spell what is kept. Memory grows with the number of
    /// distinct terms. No term at all, from texts that are empty or share nothing, makes a vocabulary without columns.
    ///
    /// # Errors
    /// [`WordsError::Setting`].
    pub fn fit<I>(texts: I, settings: &VocabularySettings) -> Result<Self, WordsError>
    where
        I: IntoIterator<Item: AsRef<str> + Send> + Clone,
    {
        let reader = TermReader::new(&settings.terms)?;
        if settings.min_df == Some(0) {
            return Err(WordsError::Setting { name: "min_df", found: "0".into(), expected: "at least 1" });
        }
        let limit = settings.max_features.unwrap_or(usize::MAX).min(u32::MAX as usize);
        if limit == 0 {
            return Err(WordsError::Setting { name: "max_features", found: "0".into(), expected: "at least 1" });
        }

        let mut counts = Counts::default();
        let mut n_texts = 0usize;
        for_each_chunk(texts.clone(), |chunk| {
            n_texts += chunk.len();
            let hashes: Vec<Vec<u64>> = chunk
                .into_par_iter()
                .map_init(|| reader.clone(), |reader, text| distinct_hashes(reader, text.as_ref()))
                .collect();
            hashes.into_iter().flatten().for_each(|hash| *counts.entry(hash).or_insert(0) += 1);
        });

        let min_df = settings.min_df.unwrap_or(if counts.len() <= FEW_TERMS { 1 } else { 2 });
        let mut kept: Vec<(u64, usize)> = counts.into_iter().filter(|&(_, df)| df >= min_df).collect();
        if kept.len() > limit {
            kept.sort_unstable_by_key(|&(hash, df)| (std::cmp::Reverse(df), hash));
            kept.truncate(limit);
        }
        kept.sort_unstable();
        let idf = |df: usize| ((1.0 + n_texts as f64) / (1.0 + df as f64)).ln() + 1.0;
        let hashes: Vec<u64> = kept.iter().map(|&(hash, _)| hash).collect();
        let lookup = Lookup::new(&hashes);
        let idf = kept.iter().map(|&(_, df)| idf(df) as f32).collect();
        let mut vocabulary = Self { reader, spelled: vec![Box::default(); hashes.len()], hashes, idf, lookup };
        vocabulary.spell(texts);
        Ok(vocabulary)
    }

    /// Puts a vocabulary together from what was saved: hashes ascending, and of each term `idf` and its spelling.
    ///
    /// # Errors
    /// Settings out of range, lengths that differ, hashes out of order, and weights below 1 or not finite.
    pub fn new(
        settings: &TermSettings,
        hashes: Vec<u64>,
        idf: Vec<f32>,
        spelled: Vec<Box<str>>,
    ) -> Result<Self, WordsError> {
        let reader = TermReader::new(settings)?;
        let expected = hashes.len();
        for (tensor, found) in [("weights", idf.len()), ("spellings", spelled.len())] {
            if found != expected {
                return Err(WordsError::Length { tensor, expected, found });
            }
        }
        if let Some(before) = hashes.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(WordsError::Unsorted { term_idx: before + 1 });
        }
        if let Some(term_idx) = idf.iter().position(|weight| !(weight.is_finite() && *weight >= 1.0)) {
            return Err(WordsError::Weight { term_idx, value: idf[term_idx] });
        }
        let lookup = Lookup::new(&hashes);
        Ok(Self { reader, hashes, idf, spelled, lookup })
    }

    /// Some of the columns, in the same order, as a vocabulary of their own.
    ///
    /// Rows are then brought to length 1 over fewer terms; [`Vocabulary::transform`] of the two differs by more than
    /// the columns that went.
    ///
    /// # Errors
    /// [`WordsError::Column`] when the columns are not ascending or out of range.
    pub fn select(&self, columns: &[u32]) -> Result<Self, WordsError> {
        let n_columns = self.n_columns();
        let mut next = 0;
        for &found in columns {
            if !(next..n_columns).contains(&(found as usize)) {
                return Err(WordsError::Column { n_columns, found });
            }
            next = found as usize + 1;
        }
        let hashes: Vec<u64> = columns.iter().map(|&column| self.hashes[column as usize]).collect();
        let idf = columns.iter().map(|&column| self.idf[column as usize]).collect();
        let spelled = columns.iter().map(|&column| self.spelled[column as usize].clone()).collect();
        let lookup = Lookup::new(&hashes);
        Ok(Self { reader: self.reader.clone(), hashes, idf, spelled, lookup })
    }

    /// TF-IDF of every text, `[n_texts, n_columns]`. A text without known terms becomes a row without entries.
    pub fn transform<I>(&self, texts: I) -> SparseRows
    where
        I: IntoIterator<Item: AsRef<str> + Send>,
    {
        let mut rows = SparseRows::from_rows(self.n_columns(), &[]);
        for_each_chunk(texts, |chunk| {
            let chunk: Vec<Vec<(u32, f32)>> = chunk
                .into_par_iter()
                .map_init(|| self.reader.clone(), |reader, text| self.row(reader, text.as_ref()))
                .collect();
            rows.append(SparseRows::from_rows(self.n_columns(), &chunk));
        });
        rows
    }

    /// Which terms are read from a text.
    pub fn terms(&self) -> &TermSettings {
        self.reader.settings()
    }

    /// Terms that are known.
    pub fn n_columns(&self) -> usize {
        self.hashes.len()
    }

    /// `[n_columns]`, ascending.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// `[n_columns]`, what each term weighs, at least 1.
    pub fn idf(&self) -> &[f32] {
        &self.idf
    }

    /// The column of the term with this hash.
    pub fn column(&self, hash: u64) -> Option<u32> {
        self.lookup.find(&self.hashes, hash)
    }

    /// How the term of a column is spelled, cut to [`MAX_SPELLED_BYTES`].
    ///
    /// # Panics
    /// When there is no such column.
    pub fn spelled(&self, column: u32) -> &str {
        &self.spelled[column as usize]
    }

    /// What each column takes in a file beside a head's weights: its hash, its `idf`, and its spelling with a byte for
    /// the length.
    pub fn column_bytes(&self) -> Vec<u32> {
        let beside_spelling = (size_of::<u64>() + size_of::<f32>() + 1) as u32;
        self.spelled.iter().map(|spelled| beside_spelling + spelled.len() as u32).collect()
    }

    fn row(&self, reader: &mut TermReader, text: &str) -> Vec<(u32, f32)> {
        let (mut words, mut chars) = (Vec::new(), Vec::new());
        reader.read(text, |kind, hash, _| {
            let columns = match kind {
                TermKind::Words => &mut words,
                TermKind::Chars => &mut chars,
            };
            columns.extend(self.column(hash));
        });
        let mut row = self.weigh(words);
        row.append(&mut self.weigh(chars));
        row.sort_unstable_by_key(|entry| entry.0);
        row
    }

    /// The row that terms of one kind make; columns come as often as their term does.
    fn weigh(&self, mut columns: Vec<u32>) -> Vec<(u32, f32)> {
        columns.sort_unstable();
        let runs = columns.chunk_by(|a, b| a == b);
        let weights: Vec<(u32, f64)> =
            runs.map(|run| (run[0], (1.0 + (run.len() as f64).ln()) * f64::from(self.idf[run[0] as usize]))).collect();
        let norm = weights.iter().map(|entry| entry.1 * entry.1).sum::<f64>().sqrt();
        weights.into_iter().map(|(column, weight)| (column, (weight / norm) as f32)).collect()
    }

    /// Notes how the terms are spelled, from texts that hold them all.
    fn spell(&mut self, texts: impl IntoIterator<Item: AsRef<str> + Send>) {
        let mut missing = vec![true; self.n_columns()];
        for_each_chunk(texts, |chunk| {
            let found: Vec<Vec<(u32, Box<str>)>> = chunk
                .into_par_iter()
                .map_init(
                    || self.reader.clone(),
                    |reader, text| {
                        let mut found = Vec::new();
                        reader.read(text.as_ref(), |_, hash, spelled| {
                            let column = self.column(hash).filter(|&column| missing[column as usize]);
                            found.extend(column.map(|column| (column, cut(spelled))));
                        });
                        found
                    },
                )
                .collect();
            for (column, spelled) in found.into_iter().flatten() {
                self.spelled[column as usize] = spelled;
                missing[column as usize] = false;
            }
        });
    }
}

/// Hands over the texts [`CHUNK_TEXTS`] at a time.
fn for_each_chunk<I: IntoIterator>(texts: I, mut handle: impl FnMut(Vec<I::Item>)) {
    let mut texts = texts.into_iter();
    loop {
        let chunk: Vec<I::Item> = texts.by_ref().take(CHUNK_TEXTS).collect();
        if chunk.is_empty() {
            return;
        }
        handle(chunk);
    }
}

fn distinct_hashes(reader: &mut TermReader, text: &str) -> Vec<u64> {
    let mut hashes = Vec::new();
    reader.read(text, |_, hash, _| hashes.push(hash));
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// A spelling of at most [`MAX_SPELLED_BYTES`].
fn cut(spelled: &str) -> Box<str> {
    if spelled.len() <= MAX_SPELLED_BYTES {
        return spelled.into();
    }
    let end = spelled.floor_char_boundary(MAX_SPELLED_BYTES - CUT.len());
    format!("{}{CUT}", &spelled[..end]).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Ngrams;
    use super::*;

    fn fit(texts: &[&str], min_df: usize, max_features: Option<usize>) -> Vocabulary {
        let settings = VocabularySettings { terms: TermSettings::words(), min_df: Some(min_df), max_features };
        Vocabulary::fit(texts, &settings).unwrap()
    }

    fn spellings(vocabulary: &Vocabulary) -> Vec<&str> {
        let mut spellings: Vec<&str> = (0..vocabulary.n_columns() as u32).map(|c| vocabulary.spelled(c)).collect();
        spellings.sort_unstable();
        spellings
    }

    #[test]
    fn terms_are_kept_by_the_texts_they_are_in() {
        let texts = ["oil oil oil", "oil grain", "grain gas"];
        assert_eq!(spellings(&fit(&texts, 2, None)), ["grain", "oil"]);
        let all = fit(&texts, 1, None);
        assert_eq!(spellings(&all), ["gas", "grain", "grain gas", "oil", "oil grain", "oil oil"]);
        // Of equals, the one with the smaller hash.
        let first = fit(&texts, 1, Some(3));
        let mut rare: Vec<u64> = ["gas", "grain gas", "oil grain", "oil oil"].map(|t| TermKind::Words.hash(t)).to_vec();
        rare.sort_unstable();
        assert!(first.column(rare[0]).is_some() && first.column(rare[1]).is_none());
        assert_eq!(first.n_columns(), 3);
    }

    #[test]
    fn weights_follow_the_formula() {
        let vocabulary = fit(&["oil oil gas", "oil", "grain"], 1, None);
        let weight =
            |term| f64::from(vocabulary.idf()[vocabulary.column(TermKind::Words.hash(term)).unwrap() as usize]);
        assert!((weight("oil") - ((4.0f64 / 3.0).ln() + 1.0)).abs() < 1e-7);
        assert!((weight("gas") - (2f64.ln() + 1.0)).abs() < 1e-7);
        let rows = vocabulary.transform(["gas gas gas oil unknown"]);
        let (gas, oil) = ((1.0 + 3f64.ln()) * weight("gas"), weight("oil"));
        let column = vocabulary.column(TermKind::Words.hash("gas")).unwrap();
        let position = rows.row(0).0.iter().position(|&found| found == column).unwrap();
        assert!((f64::from(rows.row(0).1[position]) - gas / gas.hypot(oil)).abs() < 1e-7);
        assert_eq!(rows.n_entries(), 2);
    }

    #[test]
    fn rare_terms_are_dropped_by_default_where_terms_are_many() {
        let few: Vec<String> = (0..10).map(|word| format!("word{word} common")).collect();
        let many: Vec<String> = (0..FEW_TERMS).map(|word| format!("word{word} common")).collect();
        let settings = VocabularySettings { terms: TermSettings::words(), ..VocabularySettings::default() };
        assert_eq!(Vocabulary::fit(&few, &settings).unwrap().n_columns(), 21);
        assert_eq!(spellings(&Vocabulary::fit(&many, &settings).unwrap()), ["common"]);
    }

    #[test]
    fn texts_without_terms_make_rows_without_entries() {
        for texts in [&[] as &[&str], &["", " . "], &["one", "two"]] {
            let vocabulary = fit(texts, 2, None);
            assert_eq!(vocabulary.n_columns(), 0);
            assert_eq!(vocabulary.transform(["", "one"]).n_entries(), 0);
        }
        let rows = fit(&["one"], 1, None).transform(["", "!", "other"]);
        assert_eq!((rows.n_rows(), rows.n_entries()), (3, 0));
    }

    #[test]
    fn long_terms_are_spelled_in_part() {
        let word = "é".repeat(100);
        let vocabulary = fit(&[&word], 1, None);
        assert_eq!(vocabulary.spelled(0), format!("{}…", "é".repeat(30)));
        assert_eq!(vocabulary.column(TermKind::Words.hash(&word)), Some(0));
    }

    #[test]
    fn a_text_of_ten_megabytes_is_read() {
        let words = "Grain exports fell. ".repeat(500_000);
        let one_word = "x".repeat(10_000_000);
        let vocabulary = fit(&[&words, &one_word], 1, None);
        assert_eq!(vocabulary.n_columns(), 7);
        let rows = vocabulary.transform([&words, &one_word]);
        assert_eq!((rows.row(0).0.len(), rows.row(1).0.len()), (6, 1));
        assert!(rows.values().iter().all(|value| value.is_finite()));
    }

    #[test]
    fn parts_from_outside_are_checked() {
        let spelled = |n| vec![Box::from("x"); n];
        let settings = TermSettings::words();
        let new = |hashes: &[u64], idf: &[f32], n| {
            Vocabulary::new(&settings, hashes.to_vec(), idf.to_vec(), spelled(n)).unwrap_err().to_string()
        };
        assert_eq!(new(&[1, 2], &[1.0], 2), "weights of the vocabulary have 1 entries for 2 terms");
        assert_eq!(new(&[1, 2], &[1.0; 2], 3), "spellings of the vocabulary have 3 entries for 2 terms");
        assert_eq!(new(&[1, 2, 2], &[1.0; 3], 3), "hash number 2 of the vocabulary is not above the one before it");
        for weight in [f32::NAN, f32::INFINITY, 0.5] {
            let message =
                format!("the vocabulary weighs term number 1 by {weight}, expected a finite number of at least 1");
            assert_eq!(new(&[1, 2], &[1.0, weight], 2), message);
        }
        let bad = VocabularySettings { min_df: Some(0), ..VocabularySettings::default() };
        let message = Vocabulary::fit(["a"], &bad).unwrap_err().to_string();
        assert_eq!(message, "words setting `min_df` is 0, expected at least 1");
    }

    #[test]
    fn columns_can_be_chosen_and_put_together_again() {
        let whole = fit(&["oil gas grain"], 1, None);
        let part = whole.select(&[0, 3]).unwrap();
        assert_eq!((part.n_columns(), part.spelled(1)), (2, whole.spelled(3)));
        assert_eq!(part.column(whole.hashes()[3]), Some(1));
        for columns in [&[1, 0][..], &[2, 2], &[5]] {
            assert!(whole.select(columns).is_err(), "{columns:?}");
        }
        let spelled = (0..whole.n_columns() as u32).map(|column| whole.spelled(column).into()).collect();
        let again = Vocabulary::new(&TermSettings::words(), whole.hashes().to_vec(), whole.idf().to_vec(), spelled);
        assert_eq!(again.unwrap().transform(["gas oil"]), whole.transform(["gas oil"]));
    }

    fn texts() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[ab ]{0,12}", 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn order_and_threads_change_nothing(texts in texts(), n_turned in 0usize..12) {
            let terms = TermSettings { char_ngrams: Some(Ngrams { min: 2, max: 3 }), ..TermSettings::default() };
            let settings = VocabularySettings { terms, min_df: Some(1), ..VocabularySettings::default() };
            let vocabulary = Vocabulary::fit(&texts, &settings).unwrap();
            let rows = vocabulary.transform(&texts);
            let mut turned = texts.clone();
            turned.rotate_left(n_turned % texts.len());
            let on_three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            let (other, other_rows) = on_three.install(|| {
                let other = Vocabulary::fit(&turned, &settings).unwrap();
                let rows = other.transform(&turned);
                (other, rows)
            });
            prop_assert_eq!((vocabulary.hashes(), vocabulary.idf()), (other.hashes(), other.idf()));
            for row_idx in 0..texts.len() {
                prop_assert_eq!(rows.row((row_idx + n_turned) % texts.len()), other_rows.row(row_idx));
                let (_, values) = other_rows.row(row_idx);
                let squared_norm: f32 = values.iter().map(|value| value * value).sum();
                // One for each kind of term that the text has.
                prop_assert!([0f32, 1.0, 2.0].iter().any(|expected| (squared_norm - expected).abs() < 1e-5));
            }
        }
    }
}
