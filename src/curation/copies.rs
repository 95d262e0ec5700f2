//! What duplicates mean for training and its scores: leakage, conflicts, weight.

use std::collections::{BTreeMap, BTreeSet};

use super::duplicates::{Duplicates, MAX_LISTED_CLUSTER};
use super::finding::{Finding, FindingKind, Severity};
use crate::data::Article;

/// From this similarity on a test article is in training for sure; below, short texts may only ask the same.
const SURE_LEAK: f64 = 0.8;

/// Test articles that training holds too, same or nearly same texts with different labels, and groups of duplicates; the
/// first `n_train` articles are those of training.
pub fn copy_findings(articles: &[Article], n_train: usize, duplicates: &Duplicates) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rows in duplicates.clusters() {
        let cluster = Cluster::new(&rows, duplicates);
        cluster.leaks(n_train, &mut findings);
        findings.extend(cluster.conflict(articles));
        let n_of_train = rows.partition_point(|&row| row < n_train);
        let (train, test) = rows.split_at(n_of_train);
        findings.extend([train, test].into_iter().filter(|part| part.len() > 1).map(|part| group(part, duplicates)));
    }
    findings
}

/// Articles that are the same or nearly so.
struct Cluster<'a> {
    rows: &'a [usize],
    duplicates: &'a Duplicates,
    /// The articles with the same words, by the first of them.
    same: BTreeMap<usize, Vec<usize>>,
    /// Those like each first article, with their similarity.
    like: BTreeMap<usize, Vec<(usize, f64)>>,
}

impl<'a> Cluster<'a> {
    fn new(rows: &'a [usize], duplicates: &'a Duplicates) -> Self {
        let mut same: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        rows.iter().for_each(|&row| same.entry(duplicates.first_same[row]).or_default().push(row));
        let mut like: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
        for pair in duplicates.pairs_among(&same.keys().copied().collect()) {
            like.entry(pair.a).or_default().push((pair.b, pair.jaccard));
            like.entry(pair.b).or_default().push((pair.a, pair.jaccard));
        }
        Self { rows, duplicates, same, like }
    }

    /// One finding for each test article that has a counterpart in training: the one most like it.
    fn leaks(&self, n_train: usize, findings: &mut Vec<Finding>) {
        let of_train = |first: usize| self.same[&first].first().copied().filter(|&row| row < n_train);
        let Some(&any) = self.rows.first().filter(|&&row| row < n_train) else { return };
        for &row in self.rows.iter().filter(|&&row| row >= n_train) {
            let first = self.duplicates.first_same[row];
            let like = self.like.get(&first).into_iter().flatten().copied();
            let counterparts = [(first, 1.0)].into_iter().chain(like);
            let counterparts = counterparts.filter_map(|(first, jaccard)| Some((of_train(first)?, jaccard)));
            let best = counterparts.max_by(|x, y| x.1.total_cmp(&y.1).then(y.0.cmp(&x.0)));
            // It is like others that are like one of training, which says nothing; but in large clusters not all pairs are listed.
            if best.is_none() && self.same.len() <= MAX_LISTED_CLUSTER {
                continue;
            }
            let other = best.map_or(any, |(other, _)| other);
            let is_exact = self.duplicates.first_same[other] == first;
            let is_sure = best.is_some_and(|(_, jaccard)| jaccard >= SURE_LEAK);
            let severity = if is_sure { Severity::Error } else { Severity::Warning };
            let mut finding = Finding::new(FindingKind::Leakage, severity, vec![row, other]).with("exact", is_exact);
            if let Some((_, jaccard)) = best {
                finding = finding.with("jaccard", jaccard);
            }
            findings.push(finding);
        }
    }

    /// The articles whose labels differ from those of an article like them.
    fn conflict(&self, articles: &[Article]) -> Option<Finding> {
        let labels = |row: usize| -> Option<BTreeSet<&str>> {
            articles[row].labels.as_ref().map(|names| names.iter().map(String::as_str).collect())
        };
        // Label sets of the articles with the same words.
        let sets: BTreeMap<usize, BTreeSet<BTreeSet<&str>>> = self
            .same
            .iter()
            .map(|(&first, rows)| (first, rows.iter().filter_map(|&row| labels(row)).collect()))
            .collect();
        let mut concerned: BTreeSet<usize> = sets.iter().filter(|(_, sets)| sets.len() > 1).map(|(&f, _)| f).collect();
        let is_exact = !concerned.is_empty();
        for (first, like) in &self.like {
            let own = &sets[first];
            let differs = |other: &usize| !own.is_empty() && !sets[other].is_empty() && own != &sets[other];
            if like.iter().any(|(other, _)| differs(other)) {
                concerned.insert(*first);
            }
        }
        if concerned.is_empty() {
            return None;
        }
        let mut rows: Vec<usize> = concerned.iter().flat_map(|first| self.same[first].iter().copied()).collect();
        rows.sort_unstable();
        let given: Vec<Option<&Vec<String>>> = rows.iter().map(|&row| articles[row].labels.as_ref()).collect();
        let given = serde_json::json!(given);
        let names: BTreeSet<&str> = rows.iter().filter_map(|&row| labels(row)).flatten().collect();
        let severity = if is_exact { Severity::Error } else { Severity::Warning };
        let finding = Finding::new(FindingKind::ConflictingLabels, severity, rows.clone()).with_labels(names);
        Some(finding.with("exact", is_exact).with("given", given))
    }
}

/// Articles of one part that are the same or nearly so.
fn group(rows: &[usize], duplicates: &Duplicates) -> Finding {
    let firsts: BTreeSet<usize> = rows.iter().map(|&row| duplicates.first_same[row]).collect();
    if firsts.len() == 1 {
        let finding = Finding::new(FindingKind::ExactDuplicates, Severity::Warning, rows.to_vec());
        return finding.with("n", rows.len());
    }
    let finding = Finding::new(FindingKind::NearDuplicates, Severity::Warning, rows.to_vec());
    let finding = finding.with("n", rows.len()).with("n_different", firsts.len());
    match duplicates.pairs_among(&firsts).into_iter().map(|pair| pair.jaccard).min_by(f64::total_cmp) {
        Some(least) => finding.with("min_jaccard", least),
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curation::duplicates::{DuplicateSettings, find_duplicates};
    use crate::progress::Silent;

    const WIRE: &str =
        "Ships carrying grain left the harbour of Odesa on Monday, the port authority said in a statement.";

    fn article(text: &str, labels: &[&str]) -> Article {
        Article { labels: Some(labels.iter().map(|name| (*name).to_owned()).collect()), ..Article::new("id", text) }
    }

    fn findings(articles: &[Article], n_train: usize) -> Vec<Finding> {
        let texts: Vec<&str> = articles.iter().map(|article| article.text.as_str()).collect();
        let duplicates = find_duplicates(&texts, None, &DuplicateSettings::default(), &Silent).unwrap();
        copy_findings(articles, n_train, &duplicates)
    }

    fn brief(findings: &[Finding]) -> Vec<(FindingKind, Severity, &[usize])> {
        findings.iter().map(|finding| (finding.kind, finding.severity, &finding.rows[..])).collect()
    }

    #[test]
    fn a_test_article_leaks_by_the_training_article_most_like_it() {
        let near = format!("KYIV - {WIRE}");
        let articles = [
            article(&near, &["trade"]),
            article("Tariffs on steel will rise again.", &["trade"]),
            article(&WIRE.to_uppercase(), &["trade"]),
            article(WIRE, &["trade"]),
            article("Another frigate was ordered by the navy.", &["defense"]),
        ];
        let found = findings(&articles, 3);
        assert_eq!(
            brief(&found),
            [
                (FindingKind::Leakage, Severity::Error, &[3, 2][..]),
                (FindingKind::NearDuplicates, Severity::Warning, &[0, 2]),
            ]
        );
        assert_eq!((&found[0].detail["exact"], &found[0].detail["jaccard"]), (&true.into(), &1.0.into()));
        // Without the exact copy in training the near one counts.
        let found = findings(&articles[..2].iter().chain(&articles[3..]).cloned().collect::<Vec<_>>(), 2);
        assert_eq!(brief(&found), [(FindingKind::Leakage, Severity::Error, &[2, 0][..])]);
        assert_eq!(found[0].detail["exact"], false);
        // All of one part: no leak.
        assert_eq!(
            brief(&findings(&articles[2..4], 2)),
            [(FindingKind::ExactDuplicates, Severity::Warning, &[0, 1][..])]
        );
    }

    #[test]
    fn what_is_like_a_copy_of_a_training_article_is_no_copy_of_it() {
        let words = |from: usize| (from..from + 70).map(|i| format!("word{i}")).collect::<Vec<_>>().join(" ");
        // Neighbours share 61 of 79 words, the first and the last only 52 of 88.
        let articles = [0, 9, 18].map(|from| article(&words(from), &[]));
        let leaks: Vec<Finding> =
            findings(&articles, 1).into_iter().filter(|f| f.kind == FindingKind::Leakage).collect();
        assert_eq!(brief(&leaks), [(FindingKind::Leakage, Severity::Warning, &[1, 0][..])]);
    }

    #[test]
    fn same_texts_with_other_labels_are_in_conflict_and_the_same_labels_in_another_order_are_not() {
        let near = format!("KYIV - {WIRE}");
        let agreeing = [article(WIRE, &["trade", "energy"]), article(&near, &["energy", "trade"])];
        assert_eq!(brief(&findings(&agreeing, 2)), [(FindingKind::NearDuplicates, Severity::Warning, &[0, 1][..])]);

        let near_conflict = [article(WIRE, &["trade"]), article(&near, &["energy"]), article(&near, &["energy"])];
        let found = findings(&near_conflict, 3);
        assert_eq!((found[0].kind, found[0].severity), (FindingKind::ConflictingLabels, Severity::Warning));
        assert_eq!((found[0].rows.len(), &found[0].labels[..]), (3, &["energy".to_owned(), "trade".to_owned()][..]));

        let exact_conflict = [article(WIRE, &["trade"]), article(&WIRE.to_lowercase(), &["energy"])];
        assert_eq!(findings(&exact_conflict, 2)[0].severity, Severity::Error);
        // Across training and test too.
        assert_eq!(findings(&exact_conflict, 1)[1].kind, FindingKind::ConflictingLabels);

        let unknown = [article(WIRE, &["trade"]), Article::new("2", WIRE)];
        assert_eq!(findings(&unknown, 2).len(), 1, "what is not known contradicts nothing");
    }
}
