//! What labels say about themselves: rare ones, names that look alike, and company that is odd.

use std::collections::{BTreeMap, HashMap};

use super::finding::{Finding, FindingKind, Severity};
use super::hypergeometric::Margins;
use crate::data::Article;
use crate::labels::edit_distance;

/// With fewer articles some fold of cross-validation (five by default) has none of the label.
const MIN_SUPPORT: usize = 5;
/// With fewer articles a threshold is a guess.
const LOW_SUPPORT: usize = 10;

/// Shares from which articles without a label are a slip: where at least this share has labels.
const USUALLY_LABELLED: f64 = 0.95;

/// A label that brings another along in at least this share of its articles implies it.
const IMPLIED_SHARE: f64 = 0.95;
/// Labels with fewer articles imply nothing.
const MIN_IMPLYING: usize = 10;
/// Two labels of which this share of the articles of either has both are twins.
const TWIN_JACCARD: f64 = 0.9;
/// Labels are missed in each other's company where chance would bring more articles than this.
const MIN_EXPECTED: f64 = 5.0;
/// Odd company must be less likely than this by chance, divided by the number of pairs of labels (Bonferroni).
const MAX_P: f64 = 0.01;

/// Names shorter than this have neighbours by chance.
const MIN_NAME_CHARS: usize = 6;

/// Checks the labels of training articles (the first `n_train`) and of test articles (the others).
///
/// Nothing is said of labels where no training article has any.
pub fn label_findings(articles: &[Article], n_train: usize) -> Vec<Finding> {
    let (train, test) = articles.split_at(n_train);
    let mut findings = Vec::new();
    let train_rows = rows_by_label(train, 0);
    let test_rows = rows_by_label(test, n_train);
    if train_rows.is_empty() {
        return findings;
    }
    unlabelled(train, &mut findings);
    let mut by_support: Vec<(&str, &Vec<usize>)> = train_rows.iter().map(|(name, rows)| (*name, rows)).collect();
    by_support.sort_by_key(|(_, rows)| rows.len());
    for (name, rows) in by_support.into_iter().filter(|(_, rows)| rows.len() < LOW_SUPPORT) {
        let severity = if rows.len() < MIN_SUPPORT { Severity::Warning } else { Severity::Note };
        let finding = Finding::new(FindingKind::RareLabel, severity, rows.clone());
        findings.push(finding.with_labels([name]).with("n", rows.len()));
    }
    if !test_rows.is_empty() {
        for (name, rows) in test_rows.iter().filter(|(name, _)| !train_rows.contains_key(*name)) {
            let finding = Finding::new(FindingKind::LabelNotInTrain, Severity::Error, rows.clone());
            findings.push(finding.with_labels([*name]).with("n", rows.len()));
        }
        for (name, rows) in train_rows.iter().filter(|(name, _)| !test_rows.contains_key(*name)) {
            let finding = Finding::new(FindingKind::LabelNotInTest, Severity::Note, Vec::new());
            findings.push(finding.with_labels([*name]).with("n_train", rows.len()));
        }
    }
    let names: Vec<(&str, usize)> = {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        train_rows.iter().chain(&test_rows).for_each(|(name, rows)| *counts.entry(name).or_default() += rows.len());
        counts.into_iter().collect()
    };
    similar_names(&names, &mut findings);
    if train.iter().any(|article| article.labels.as_ref().is_some_and(|labels| labels.len() > 1)) {
        company(train, &train_rows, &mut findings);
    }
    findings
}

/// The articles of each label, by name; `first` is the position of the first article.
fn rows_by_label(articles: &[Article], first: usize) -> BTreeMap<&str, Vec<usize>> {
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, article) in articles.iter().enumerate() {
        for name in article.labels.iter().flatten() {
            let own = rows.entry(name).or_default();
            if own.last() != Some(&(first + at)) {
                own.push(first + at);
            }
        }
    }
    rows
}

fn unlabelled(train: &[Article], findings: &mut Vec<Finding>) {
    let rows = |wanted: fn(&Option<Vec<String>>) -> bool| -> Vec<usize> {
        train.iter().enumerate().filter(|(_, article)| wanted(&article.labels)).map(|(row, _)| row).collect()
    };
    let unknown = rows(Option::is_none);
    if !unknown.is_empty() {
        let n = unknown.len();
        findings.push(Finding::new(FindingKind::Unlabelled, Severity::Error, unknown).with("n", n));
    }
    let none = rows(|labels| labels.as_ref().is_some_and(Vec::is_empty));
    let share = 1.0 - none.len() as f64 / train.len() as f64;
    if !none.is_empty() && share >= USUALLY_LABELLED {
        let n = none.len();
        let is_single = train.iter().all(|article| article.labels.as_ref().is_none_or(|labels| labels.len() <= 1));
        let severity = if is_single { Severity::Warning } else { Severity::Note };
        findings.push(Finding::new(FindingKind::NoLabels, severity, none).with("n", n));
    }
}

/// Letters and digits in lower case, without an `s` at the end.
fn bare(name: &str) -> String {
    let mut bare: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if bare.len() > 3 && bare.ends_with('s') {
        bare.pop();
    }
    bare
}

/// Names, with their numbers of articles, that differ in case, signs, a plural or a slip only.
fn similar_names(names: &[(&str, usize)], findings: &mut Vec<Finding>) {
    let bares: Vec<(String, usize)> =
        names.iter().map(|(name, _)| bare(name)).map(|b| (b.clone(), b.chars().count())).collect();
    for i in 0..names.len() {
        for j in i + 1..names.len() {
            let ((a, a_chars), (b, b_chars)) = (&bares[i], &bares[j]);
            let is_same = a == b && !a.is_empty();
            // Digits number things that are different: `phase 1`, `phase 2`.
            let letters = |name: &str| -> String { name.chars().filter(|c| !c.is_numeric()).collect() };
            let is_slip = || {
                a_chars.min(b_chars) >= &MIN_NAME_CHARS
                    && a_chars.abs_diff(*b_chars) <= 1
                    && letters(a) != letters(b)
                    && edit_distance(a, b) == 1
            };
            if is_same || is_slip() {
                let severity = if is_same { Severity::Warning } else { Severity::Note };
                let finding = Finding::new(FindingKind::SimilarLabelNames, severity, Vec::new());
                let counts = vec![names[i].1, names[j].1];
                findings.push(finding.with_labels([names[i].0, names[j].0]).with("n", counts));
            }
        }
    }
}

/// Labels that come together far more, or far less, than by chance.
fn company(train: &[Article], rows: &BTreeMap<&str, Vec<usize>>, findings: &mut Vec<Finding>) {
    let names: Vec<&str> = rows.keys().copied().collect();
    let id: HashMap<&str, usize> = names.iter().enumerate().map(|(id, name)| (*name, id)).collect();
    let support: Vec<usize> = rows.values().map(Vec::len).collect();
    let n = train.iter().filter(|article| article.labels.is_some()).count();
    let mut n_both: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for article in train {
        let mut ids: Vec<usize> = article.labels.iter().flatten().map(|name| id[name.as_str()]).collect();
        ids.sort_unstable();
        ids.dedup();
        for (at, &a) in ids.iter().enumerate() {
            ids[at + 1..].iter().for_each(|&b| *n_both.entry((a, b)).or_default() += 1);
        }
    }
    let max_p = MAX_P / (names.len() * (names.len() - 1) / 2).max(1) as f64;
    let margins = |a: usize, b: usize| Margins { n, n_a: support[a], n_b: support[b] };
    for (&(a, b), &both) in &n_both {
        let p = margins(a, b).at_least(both);
        if p >= max_p || support[a].min(support[b]) < MIN_IMPLYING {
            continue;
        }
        let jaccard = both as f64 / (support[a] + support[b] - both) as f64;
        if jaccard >= TWIN_JACCARD {
            let finding = Finding::new(FindingKind::TwinLabels, Severity::Warning, differing(rows, names[a], names[b]));
            let finding = finding.with_labels([names[a], names[b]]).with("n_both", both).with("jaccard", jaccard);
            findings.push(finding.with("p", p));
            continue;
        }
        for (from, to) in [(a, b), (b, a)] {
            let share = both as f64 / support[from] as f64;
            if share >= IMPLIED_SHARE {
                let exceptions = without(&rows[names[from]], &rows[names[to]]);
                let finding = Finding::new(FindingKind::ImpliedLabel, Severity::Note, exceptions);
                let finding = finding.with_labels([names[from], names[to]]).with("n", support[from]);
                findings.push(finding.with("n_both", both).with("share", share).with("p", p));
            }
        }
    }
    let mut frequent: Vec<usize> = (0..names.len()).collect();
    frequent.sort_by_key(|&label| std::cmp::Reverse(support[label]));
    for (at, &a) in frequent.iter().enumerate() {
        for &b in &frequent[at + 1..] {
            let margins = margins(a, b);
            if margins.expected() <= MIN_EXPECTED {
                break;
            }
            let p = margins.at_most(0);
            if !n_both.contains_key(&(a.min(b), a.max(b))) && p < max_p {
                let finding = Finding::new(FindingKind::NeverTogether, Severity::Note, Vec::new());
                let finding = finding.with_labels([names[a], names[b]]).with("expected", margins.expected());
                findings.push(finding.with("p", p));
            }
        }
    }
}

/// Those of `all` that are not in `some`, both ascending.
fn without(all: &[usize], some: &[usize]) -> Vec<usize> {
    all.iter().copied().filter(|row| some.binary_search(row).is_err()).collect()
}

/// The articles with exactly one of two labels.
fn differing(rows: &BTreeMap<&str, Vec<usize>>, a: &str, b: &str) -> Vec<usize> {
    let mut differing = without(&rows[a], &rows[b]);
    differing.extend(without(&rows[b], &rows[a]));
    differing.sort_unstable();
    differing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn articles(rows: &[(usize, &[&str])]) -> Vec<Article> {
        let row = |labels: &[&str]| {
            let labels = labels.iter().map(|name| (*name).to_owned()).collect();
            Article { labels: Some(labels), ..Article::new("id", "text") }
        };
        rows.iter().flat_map(|(n, labels)| std::iter::repeat_n(row(labels), *n)).collect()
    }

    fn of_kind(findings: &[Finding], kind: FindingKind) -> Vec<Vec<&str>> {
        let labels = |finding: &'_ &Finding| finding.kind == kind;
        findings.iter().filter(labels).map(|f| f.labels.iter().map(String::as_str).collect()).collect()
    }

    #[test]
    fn rare_labels_and_labels_of_one_side_are_named() {
        let all = articles(&[(20, &["trade"]), (4, &["energy"]), (9, &["defense"]), (2, &["trade"]), (1, &["sport"])]);
        let found = label_findings(&all, 33);
        assert_eq!(of_kind(&found, FindingKind::RareLabel), [["energy"], ["defense"]], "rarest first");
        assert_eq!((found[0].severity, found[1].severity), (Severity::Warning, Severity::Note));
        assert_eq!(of_kind(&found, FindingKind::LabelNotInTrain), [["sport"]]);
        assert_eq!(found.iter().find(|f| f.kind == FindingKind::LabelNotInTrain).unwrap().rows, [35]);
        assert_eq!(of_kind(&found, FindingKind::LabelNotInTest), [["defense"], ["energy"]]);
        assert!(of_kind(&label_findings(&all[..33], 33), FindingKind::LabelNotInTest).is_empty());
    }

    #[test]
    fn names_that_look_alike_are_told_from_names_that_are_numbered() {
        let names =
            ["Energy", "energy", "sanctions", "sanction", "nato-talks", "nato talks", "elections", "election-s"];
        let rows: Vec<(usize, Vec<&str>)> = names.iter().map(|&name| (10, vec![name])).collect();
        let rows: Vec<(usize, &[&str])> = rows.iter().map(|(n, labels)| (*n, &labels[..])).collect();
        let found = label_findings(&articles(&rows), 80);
        assert_eq!(of_kind(&found, FindingKind::SimilarLabelNames).len(), 4);
        let slip = label_findings(&articles(&[(10, &["terrorism"]), (10, &["terorism"])]), 20);
        assert_eq!(of_kind(&slip, FindingKind::SimilarLabelNames), [["terorism", "terrorism"]]);
        for (a, b) in [("phase-1-trial", "phase-2-trial"), ("import", "export"), ("gas", "gnp"), ("trade", "tirade")] {
            let healthy = label_findings(&articles(&[(10, &[a]), (10, &[b])]), 20);
            assert!(of_kind(&healthy, FindingKind::SimilarLabelNames).is_empty(), "{a}, {b}");
        }
    }

    #[test]
    fn company_that_is_odd_is_named_with_its_exceptions() {
        let all = articles(&[
            (30, &["wheat", "grain"]),
            (1, &["wheat"]),
            (40, &["corn", "maize", "grain"]),
            (2, &["corn", "grain"]),
            (300, &["earn"]),
            (200, &["acq"]),
            (27, &["grain", "acq"]),
        ]);
        let found = label_findings(&all, all.len());
        assert_eq!(of_kind(&found, FindingKind::TwinLabels), [["corn", "maize"]]);
        let implied = of_kind(&found, FindingKind::ImpliedLabel);
        assert_eq!(implied, [["corn", "grain"], ["maize", "grain"], ["wheat", "grain"]]);
        let wheat = found.iter().find(|f| f.labels == ["wheat", "grain"]).unwrap();
        assert_eq!((&wheat.rows[..], &wheat.detail["n_both"]), (&[30][..], &30.into()));
        let p = Margins { n: all.len(), n_a: 99, n_b: 31 }.at_least(30);
        assert_eq!(wheat.detail["p"].as_f64(), Some(p));
        // 300 · 227 / 600 = 113.5 are expected together.
        let apart = found.iter().find(|f| f.kind == FindingKind::NeverTogether).unwrap();
        assert_eq!(
            (&apart.labels[..], &apart.detail["expected"]),
            (&["earn".to_owned(), "acq".into()][..], &113.5.into())
        );
        // One label an article: of course they never come together.
        let single = label_findings(&articles(&[(300, &["earn"]), (200, &["acq"])]), 500);
        assert_eq!(single, []);
    }

    #[test]
    fn missing_labels_are_a_slip_only_among_labelled_ones() {
        let mut all = articles(&[(60, &["trade"]), (60, &["energy"]), (1, &[])]);
        let found = label_findings(&all, all.len());
        assert_eq!((found[0].kind, &found[0].rows[..]), (FindingKind::NoLabels, &[120][..]));
        all[0].labels = None;
        assert_eq!(label_findings(&all, all.len())[0].kind, FindingKind::Unlabelled);
        all.iter_mut().for_each(|article| article.labels = None);
        assert_eq!(label_findings(&all, all.len()), []);
        let mut mixed = articles(&[(60, &["trade"]), (60, &[])]);
        assert_eq!(label_findings(&mixed, mixed.len()), [], "none is a legal answer");
        mixed.clear();
        assert_eq!(label_findings(&mixed, 0), []);
    }
}
