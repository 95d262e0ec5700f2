//! TF-IDF rows and linear heads on them against scikit-learn, from `scripts/golden_words.py`.

use serde_json::Value;
use topicwire::heads::sparse_linear::SparseLinearSettings;
use topicwire::heads::{SparseLoss, SparseRows};
use topicwire::labels::{LabelId, Targets};
use topicwire::views::words::{Ngrams, TermKind, TermSettings, Vocabulary, VocabularySettings};

/// Rows are f32: half a step below 1 is 3e-8, and so is the rounding of idf.
const ROW_TOLERANCE: f64 = 1e-6;

/// Weights and rows are f32 where scikit-learn's are f64: about 1e-7 of the largest logit, which is below 6.
const LOGIT_TOLERANCE: f64 = 2e-6;

fn golden() -> (Value, Vec<String>) {
    let golden: Value = serde_json::from_str(include_str!("golden/words.json")).unwrap();
    let texts = golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    (golden, texts)
}

fn vocabulary(texts: &[String], min_df: usize, char_ngrams: Option<Ngrams>) -> Vocabulary {
    let terms = TermSettings { char_ngrams, ..TermSettings::default() };
    let settings = VocabularySettings { terms, min_df: Some(min_df), ..VocabularySettings::default() };
    Vocabulary::fit(texts, &settings).unwrap()
}

/// Columns and values of a row in the golden file.
fn expected_row(vocabulary: &Vocabulary, kind: TermKind, row: &Value) -> Vec<(u32, f64)> {
    let entry = |entry: &Value| {
        let term = entry[0].as_str().unwrap();
        let column = vocabulary.column(kind.hash(term)).unwrap_or_else(|| panic!("`{term}` is not a column"));
        (column, entry[1].as_f64().unwrap())
    };
    row.as_array().unwrap().iter().map(entry).collect()
}

fn assert_row(found: (&[u32], &[f32]), mut expected: Vec<(u32, f64)>, row_idx: usize) {
    expected.sort_by_key(|entry| entry.0);
    let columns: Vec<u32> = expected.iter().map(|entry| entry.0).collect();
    assert_eq!(found.0, columns, "columns of row {row_idx}");
    for (&value, (column, expected)) in found.1.iter().zip(expected) {
        let error = (f64::from(value) - expected).abs();
        assert!(error <= ROW_TOLERANCE, "row {row_idx}, column {column}: {value}, expected {expected}");
    }
}

#[test]
fn rows_of_words_are_those_of_scikit_learn() {
    let (golden, texts) = golden();
    for (name, min_df) in [("words", 1), ("common_words", 2)] {
        let vocabulary = vocabulary(&texts, min_df, None);
        let rows = vocabulary.transform(&texts);
        for (row_idx, row) in golden[name].as_array().unwrap().iter().enumerate() {
            assert_row(rows.row(row_idx), expected_row(&vocabulary, TermKind::Words, row), row_idx);
        }
    }
}

#[test]
fn rows_of_words_and_characters_are_those_of_a_union() {
    let (golden, texts) = golden();
    let vocabulary = vocabulary(&texts, 2, Some(Ngrams { min: 2, max: 5 }));
    let rows = vocabulary.transform(&texts);
    for row_idx in 0..texts.len() {
        let mut expected = expected_row(&vocabulary, TermKind::Words, &golden["common_words"][row_idx]);
        expected.extend(expected_row(&vocabulary, TermKind::Chars, &golden["common_chars"][row_idx]));
        assert_row(rows.row(row_idx), expected, row_idx);
    }
}

#[test]
fn heads_are_those_of_liblinear() {
    let (golden, texts) = golden();
    let rows: SparseRows = vocabulary(&texts, 1, None).transform(&texts);
    let label = |label: &Value| LabelId(label.as_u64().unwrap() as usize);
    let labels = golden["labels"].as_array().unwrap().iter();
    let targets = Targets::Multi(labels.map(|row| row.as_array().unwrap().iter().map(label).collect()).collect());
    let row_indices: Vec<u32> = (0..rows.n_rows() as u32).collect();
    for case in golden["heads"].as_array().unwrap() {
        let loss: SparseLoss = serde_json::from_value(case["loss"].clone()).unwrap();
        let strength = case["strength"].as_f64().unwrap();
        let settings =
            SparseLinearSettings { loss, strength, tolerance: 1e-10, max_epochs: 100_000, ..Default::default() };
        let fit = settings.check().unwrap().fit(&rows, &row_indices, &targets, 3).unwrap();
        assert_eq!(fit.n_unsolved, 0, "{loss:?} at {strength}");
        for ((row_idx, label_idx), logit) in fit.head.logits(&rows).unwrap().indexed_iter() {
            let expected = case["logits"][row_idx][label_idx].as_f64().unwrap();
            let error = (logit - expected).abs();
            assert!(error <= LOGIT_TOLERANCE, "{loss:?} at {strength}, text {row_idx}: {logit}, expected {expected}");
        }
    }
}
