//! Near-duplicates and odds of labels' company against datasketch and SciPy, from `scripts/golden_curation.py`.

use serde_json::Value;
use topicwire::curation::duplicates::{DuplicateSettings, find_duplicates};
use topicwire::curation::hypergeometric::Margins;
use topicwire::curation::shingles::{jaccard, normalized, shingles};
use topicwire::progress::Silent;

/// Quotients of the same whole numbers.
const JACCARD_TOLERANCE: f64 = 1e-15;
/// Logarithms of factorials up to 10⁵! are around 10⁶, and their rounding is relative: 10⁶ times 10⁻¹⁶, some of them added up.
const P_TOLERANCE: f64 = 1e-8;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/curation.json")).unwrap()
}

fn texts(golden: &Value) -> Vec<String> {
    golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn whole(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

#[test]
fn similarities_are_those_of_sets_of_shingles() {
    let golden = golden();
    let n_chars = whole(&golden["shingle_chars"]);
    let sets: Vec<Vec<u64>> = texts(&golden).iter().map(|text| shingles(&normalized(text), n_chars)).collect();
    let pairs = golden["pairs"].as_array().unwrap();
    assert!(pairs.len() > 20);
    for pair in pairs {
        let (found, expected) = (jaccard(&sets[whole(&pair[0])], &sets[whole(&pair[1])]), pair[2].as_f64().unwrap());
        assert!((found - expected).abs() < JACCARD_TOLERANCE, "{pair}: {found}");
    }
}

#[test]
fn clusters_are_those_of_datasketch() {
    let golden = golden();
    let settings = DuplicateSettings {
        shingle_chars: whole(&golden["shingle_chars"]),
        min_jaccard_alone: golden["min_jaccard"].as_f64().unwrap(),
        ..DuplicateSettings::default()
    };
    let found = find_duplicates(&texts(&golden), None, &settings, &Silent).unwrap();
    let expected: Vec<usize> = golden["cluster_of"].as_array().unwrap().iter().map(whole).collect();
    assert_eq!(found.cluster_of, expected);
}

#[test]
fn odds_are_those_of_scipy() {
    for table in golden()["tables"].as_array().unwrap() {
        let margins = Margins { n: whole(&table["n"]), n_a: whole(&table["n_a"]), n_b: whole(&table["n_b"]) };
        let n_both = whole(&table["n_both"]);
        for (name, found) in [("at_least", margins.at_least(n_both)), ("at_most", margins.at_most(n_both))] {
            let expected = table[name].as_f64().unwrap();
            // Below the smallest double either may say nothing.
            let is_close = (found - expected).abs() <= P_TOLERANCE * expected || (found < 1e-300 && expected < 1e-300);
            assert!(is_close, "{name} {table}: {found}");
        }
    }
}
