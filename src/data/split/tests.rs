//! Splits against closed forms, the deviations against `scripts/golden_split.py`.

use rand::RngExt;
use serde_json::Value;

use super::*;
use crate::labels::LabelId;

/// Sums of a few hundred terms in another order than numpy's.
const TOLERANCE: f64 = 1e-12;

fn parts(shares: &[f64]) -> Parts {
    Parts::new(shares.iter().enumerate().map(|(i, &share)| (format!("p{i}"), share))).unwrap()
}

/// Label sets of which each label has its rate.
fn drawn(n_articles: usize, rates: &[f64], seed: u64) -> Targets {
    let mut rng = generator(seed, "split test");
    let mut row = || (0..rates.len()).filter(|&i| rng.random::<f64>() < rates[i]).map(LabelId).collect();
    Targets::Multi((0..n_articles).map(|_| row()).collect())
}

fn counts_of(targets: &Targets, split: &Split, has: impl Fn(&[LabelId]) -> bool) -> Vec<usize> {
    let mut counts = vec![0; split.parts().len() + 1];
    for (row_idx, part) in split.part_of().iter().enumerate() {
        counts[part.unwrap_or(split.parts().len())] += usize::from(has(targets.row(row_idx)));
    }
    counts
}

/// Every count is its share of the total, rounded up or down.
#[track_caller]
fn assert_rounded(counts: &[usize], sizes: &[usize], what: &str) {
    let (total, n_articles) = (counts.iter().sum::<usize>() as f64, sizes.iter().sum::<usize>() as f64);
    for (&count, &size) in counts.iter().zip(sizes) {
        let off = (count as f64 - total * size as f64 / n_articles).abs();
        assert!(off < 1.0, "{what}: {counts:?} of parts {sizes:?}");
    }
}

#[test]
fn shares_are_checked() {
    let new =
        |shares: &[(&str, f64)]| Parts::new(shares.iter().copied()).map(|_| ()).map_err(|error| error.to_string());
    assert_eq!(new(&[("a", 0.7), ("b", 0.2), ("c", 0.1)]), Ok(()));
    assert_eq!(new(&[]), Err("expected at least one part, found none".into()));
    assert_eq!(new(&[("a", 0.5), ("a", 0.5)]), Err("the part `a` is named twice".into()));
    for share in [0.0, -0.1, 1.5, f64::NAN] {
        assert!(new(&[("a", share)]).unwrap_err().starts_with("the share of `a` must be above 0 and at most 1"));
    }
    assert_eq!(new(&[("a", 0.75), ("b", 0.5)]), Err("the shares sum to 1.25, more than 1".into()));
    assert_eq!(Parts::folds(1).unwrap_err(), SplitError::Folds { found: 1 });
}

#[test]
fn sizes_are_the_largest_remainders() {
    for (shares, n_articles, expected) in [
        (&[0.8, 0.2][..], 12, vec![10, 2]),
        (&[0.7, 0.2, 0.1], 10, vec![7, 2, 1]),
        (&[0.2; 5], 12, vec![3, 3, 2, 2, 2]),
        (&[0.25, 0.25], 10, vec![3, 2]),
        (&[1.0], 3, vec![3]),
    ] {
        assert_eq!(parts(shares).sizes(n_articles), expected, "{shares:?} of {n_articles}");
    }
    assert_eq!(parts(&[0.5, 0.25]).share_left_out(), 0.25);
}

#[test]
fn every_class_is_rounded_and_every_size_kept() {
    for (seed, shares) in
        [&[0.8, 0.2][..], &[0.6, 0.3, 0.1], &[0.2; 5], &[0.5, 0.13, 0.07, 0.05], &[0.1; 10]].iter().enumerate()
    {
        let mut rng = generator(seed as u64, "supports");
        let supports: Vec<usize> = (0..40).map(|_| rng.random_range(1..30)).collect();
        let labels = supports.iter().enumerate().flat_map(|(label, &n)| std::iter::repeat_n(LabelId(label), n));
        let targets = Targets::Single(labels.collect());
        let split = stratified(&targets, supports.len(), None, &parts(shares), 3).unwrap();
        let sizes = counts_of(&targets, &split, |_| true);
        assert_eq!(sizes, parts(shares).sizes_with_rest(targets.len()));
        for label in 0..supports.len() {
            assert_rounded(&counts_of(&targets, &split, |labels| labels == [LabelId(label)]), &sizes, "a class");
        }
    }
}

#[test]
fn label_sets_are_rounded_and_labels_end_near_their_shares() {
    let rates = [0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01];
    let targets = drawn(500, &rates, 1);
    let Targets::Multi(rows) = &targets else { unreachable!() };
    for shares in [&[0.8, 0.2][..], &[0.2; 5], &[0.5, 0.2]] {
        let split = stratified(&targets, rates.len(), None, &parts(shares), 0).unwrap();
        let sizes = counts_of(&targets, &split, |_| true);
        assert_eq!(sizes, parts(shares).sizes_with_rest(500));
        for set in rows {
            assert_rounded(&counts_of(&targets, &split, |labels| labels == set.as_slice()), &sizes, "a set");
        }
        let deviation = Deviation::measure(&targets, rates.len(), &split);
        assert!(deviation.worst(1)[0].worst() < 1.0, "{shares:?}: {:?}", deviation.worst(1));
        let by_lot = random(500, None, &parts(shares), 0).unwrap();
        let by_lot = Deviation::measure(&targets, rates.len(), &by_lot);
        assert!(deviation.labels < 0.2 * by_lot.labels && deviation.pairs.unwrap() < 0.5 * by_lot.pairs.unwrap());
    }
}

#[test]
fn what_can_be_divided_exactly_is() {
    // Two labels, each set five times: every fold has one of each.
    let sets = [vec![], vec![LabelId(0)], vec![LabelId(1)], vec![LabelId(0), LabelId(1)]];
    let targets = Targets::Multi((0..20).map(|i| sets[i % 4].clone()).collect());
    let split = stratified(&targets, 2, None, &Parts::folds(5).unwrap(), 0).unwrap();
    let deviation = Deviation::measure(&targets, 2, &split);
    assert_eq!((deviation.labels, deviation.pairs, deviation.sizes), (0.0, Some(0.0), 0.0));
}

#[test]
fn the_seed_decides() {
    let targets = drawn(200, &[0.4, 0.2, 0.1], 2);
    let with = |seed| stratified(&targets, 3, None, &parts(&[0.8, 0.2]), seed).unwrap();
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
    let by_lot = |seed| random(200, None, &parts(&[0.8, 0.2]), seed).unwrap();
    assert_eq!(by_lot(1), by_lot(1));
    assert_ne!(by_lot(1), by_lot(2));
    assert_eq!(by_lot(1).sizes(), [160, 40]);
}

#[test]
fn groups_stay_together_and_parts_alike() {
    let rates = [0.4, 0.2, 0.1, 0.05];
    let targets = drawn(600, &rates, 3);
    let mut rng = generator(4, "groups");
    let groups: Vec<usize> = (0..600).map(|_| rng.random_range(0..250)).collect();
    for labelled in [true, false] {
        let parts = parts(&[0.7, 0.2, 0.1]);
        let split = match labelled {
            true => stratified(&targets, rates.len(), Some(&groups), &parts, 0).unwrap(),
            false => random(600, Some(&groups), &parts, 0).unwrap(),
        };
        for (row_idx, group) in groups.iter().enumerate() {
            let first = groups.iter().position(|other| other == group).unwrap();
            assert_eq!(split.part_of()[row_idx], split.part_of()[first]);
        }
        assert_eq!(split.sizes(), [420, 120, 60]);
        let deviation = Deviation::measure(&targets, rates.len(), &split);
        assert!(!labelled || deviation.worst(1)[0].worst() < 2.0, "{:?}", deviation.worst(1));
    }
}

#[test]
fn a_huge_group_has_a_part_and_the_others_the_rest() {
    let targets = Targets::Single((0..100).map(|i| LabelId(i % 2)).collect());
    let groups: Vec<usize> = (0..100).map(|i| if i < 90 { 0 } else { i }).collect();
    let split = stratified(&targets, 2, Some(&groups), &parts(&[0.8, 0.2]), 0).unwrap();
    assert_eq!(split.sizes(), [90, 10]);
    let one = vec![7; 100];
    let error = stratified(&targets, 2, Some(&one), &parts(&[0.8, 0.2]), 0).unwrap_err();
    assert_eq!(error, SplitError::TooFewGroups { n_groups: 1, n_parts: 2 });
    let few = random(1, None, &parts(&[0.8, 0.2]), 0).unwrap_err();
    assert_eq!(few, SplitError::TooFewArticles { n_articles: 1, n_parts: 2 });
}

fn times(texts: &[&str]) -> Vec<Time> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn time_parts_ascend_and_ties_stay_together() {
    let texts = ["2024-05", "2024-01-02", "2024-01-02", "2024-01-02", "2024-01-01", "2024-06-01T10:00:00Z"];
    let split = by_time(&times(&texts), None, &parts(&[0.5, 0.5])).unwrap();
    // Three of six would be half; the cut before the tie is two away, that behind it one.
    assert_eq!(split.part_of(), [1, 0, 0, 0, 0, 1].map(Some));
    let groups = [0, 1, 2, 3, 4, 4];
    let split = by_time(&times(&texts), Some(&groups), &parts(&[0.5, 0.5])).unwrap();
    assert_eq!(split.part_of()[5], Some(0), "stands where the oldest of its group does");
    let error = by_time(&times(&["2024"; 4]), None, &parts(&[0.5, 0.5])).unwrap_err();
    assert_eq!(error, SplitError::TooFewTimes { n_times: 1, n_parts: 2 });
    let split = by_time(&times(&["2021", "2022", "2023", "2024"]), None, &parts(&[0.5, 0.25])).unwrap();
    assert_eq!(split.part_of(), [Some(0), Some(0), Some(1), None]);
}

#[test]
fn cuts_are_the_first_moments_of_parts() {
    let at = |cuts: &[&str]| {
        at_times(&times(&["2023-12-31", "2024-01-01", "2025"]), &times(cuts), None, &parts(&[0.8, 0.2]))
    };
    assert_eq!(at(&["2024"]).unwrap().part_of(), [0, 1, 1].map(Some));
    assert_eq!(at(&[]).unwrap_err().to_string(), "2 parts have 1 times between them, found 0");
    let three = parts(&[0.5, 0.3, 0.2]);
    let error = at_times(&times(&["2024"]), &times(&["2024", "2023"]), None, &three).unwrap_err();
    assert_eq!(error, SplitError::CutOrder);
}

#[test]
fn dates_of_every_shape() {
    for (text, expected) in [
        ("2024", "2024-01-01"),
        ("2024-03", "2024-03-01"),
        (" 2024-03-01 ", "2024-03-01"),
        ("20240301", "2024-03-01"),
        ("2024-03-01T14:30", "2024-03-01T14:30:00Z"),
        ("2024-03-01T14:30Z", "2024-03-01T14:30:00Z"),
        ("2024-03-01 14:30:05", "2024-03-01T14:30:05Z"),
        ("2024-03-01T14:30:05.25Z", "2024-03-01T14:30:05Z"),
        ("2024-03-01T00:30:00+01:00", "2024-02-29T23:30:00Z"),
        ("2024-03-01T00:30:00+0100", "2024-02-29T23:30:00Z"),
        ("Fri, 1 Mar 2024 14:30:00 GMT", "2024-03-01T14:30:00Z"),
    ] {
        assert_eq!(text.parse::<Time>().map(|time| time.to_string()), Ok(expected.to_owned()), "{text}");
    }
    for text in
        ["", "yesterday", "2024-13", "2024-02-30", "1/3/2024", "20240", "2024-03-01T25:00", "20é4-03", "2024-3é"]
    {
        assert!(text.parse::<Time>().is_err(), "{text}");
    }
}

#[test]
fn deviations_are_those_of_the_reference() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/golden/split.json")).unwrap();
    assert_eq!(cases.len(), 3);
    for case in &cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        let array = |key: &str| case[key].as_array().unwrap().iter();
        let labels =
            |row: &Value| row.as_array().unwrap().iter().map(|id| LabelId(id.as_u64().unwrap() as usize)).collect();
        let targets = Targets::Multi(array("rows").map(labels).collect());
        let shares: Vec<f64> = array("shares").map(|share| share.as_f64().unwrap()).collect();
        let part_of = array("part_of").map(|part| part.as_u64().map(|part| part as usize)).collect();
        let split = Split::new(parts(&shares), part_of).unwrap();
        let found = Deviation::measure(&targets, case["n_labels"].as_u64().unwrap() as usize, &split);
        for (found, expected) in
            [(found.labels, number("labels")), (found.pairs.unwrap(), number("pairs")), (found.sizes, number("sizes"))]
        {
            assert!((found - expected).abs() < TOLERANCE, "{found}, expected {expected}");
        }
    }
}
