//! Sentences and lines that many articles repeat.

use rayon::prelude::*;
use twox_hash::XxHash3_64;

use super::finding::{Finding, FindingKind, Severity};
use super::shingles::normalized;
use crate::data::Article;

/// Shorter passages repeat by chance.
const MIN_WORDS: usize = 5;
/// Share of the articles, and number of different ones, from which on a passage is pointed out.
const MIN_SHARE: f64 = 0.005;
const MIN_ARTICLES: usize = 10;
/// Passages pointed out at most, the most frequent first.
const MAX_PASSAGES: usize = 50;
/// Characters of a passage that are shown.
const MAX_SHOWN: usize = 120;

/// Passages in many articles; near-duplicates (articles of one cluster) count once.
pub fn boilerplate_findings(articles: &[Article], cluster_of: &[usize]) -> Vec<Finding> {
    let places = |(row, article): (usize, &Article)| -> Vec<(u64, usize)> {
        let mut hashes: Vec<u64> = passages(&article.text).filter_map(hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes.into_iter().map(|hash| (hash, row)).collect()
    };
    let mut seen: Vec<(u64, usize)> = articles.par_iter().enumerate().flat_map_iter(places).collect();
    seen.par_sort_unstable();
    let least = MIN_ARTICLES.max((MIN_SHARE * articles.len() as f64).ceil() as usize);
    let n_clusters = |places: &[(u64, usize)]| {
        let mut clusters: Vec<usize> = places.iter().map(|&(_, row)| cluster_of[row]).collect();
        clusters.sort_unstable();
        clusters.dedup();
        clusters.len()
    };
    let mut repeated: Vec<(usize, u64, Vec<usize>)> = seen
        .chunk_by(|x, y| x.0 == y.0)
        .filter(|places| places.len() >= least)
        .map(|places| (n_clusters(places), places[0].0, places.iter().map(|&(_, row)| row).collect()))
        .filter(|(n_clusters, _, _)| *n_clusters >= least)
        .collect();
    repeated.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.2.cmp(&b.2)).then(a.1.cmp(&b.1)));
    repeated.truncate(MAX_PASSAGES);
    let finding = |(_, wanted, rows): (usize, u64, Vec<usize>)| {
        let passage = passages(&articles[rows[0]].text).find(|passage| hash(passage) == Some(wanted));
        let shown: String = passage.unwrap_or_default().trim().chars().take(MAX_SHOWN).collect();
        let (n, share) = (rows.len(), rows.len() as f64 / articles.len() as f64);
        Finding::new(FindingKind::Boilerplate, Severity::Warning, rows)
            .with("passage", shown)
            .with("n", n)
            .with("share", share)
    };
    repeated.into_iter().map(finding).collect()
}

/// Hash of the words, where there are enough.
fn hash(passage: &str) -> Option<u64> {
    let words = normalized(passage);
    (words.split(' ').count() >= MIN_WORDS).then(|| XxHash3_64::oneshot(words.as_bytes()))
}

/// Lines, cut behind full stops, exclamation and question marks before white space.
fn passages(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let mut ends: Vec<usize> = line
            .char_indices()
            .zip(line.chars().skip(1))
            .filter(|((_, c), next)| matches!(c, '.' | '!' | '?') && next.is_whitespace())
            .map(|((at, c), _)| at + c.len_utf8())
            .collect();
        ends.push(line.len());
        let mut start = 0;
        ends.into_iter().map(move |end| {
            let passage = &line[start..end];
            start = end;
            passage
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_count_once_an_article_and_once_a_cluster() {
        let notice = "Sign up for our newsletter and never miss a story.";
        let text = |i: usize| format!("Story number {i} has words of its own here. {notice}\nRead on! {notice}");
        let articles: Vec<Article> = (0..12).map(|i| Article::new(i.to_string(), text(i))).collect();
        let apart: Vec<usize> = (0..12).collect();
        let found = boilerplate_findings(&articles, &apart);
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].detail["passage"], &found[0].detail["n"]), (&notice.into(), &12.into()));
        assert_eq!(found[0].rows, apart);
        // Copies of one story repeat all of it.
        assert_eq!(boilerplate_findings(&articles, &[0; 12]), []);
        assert_eq!(boilerplate_findings(&articles[..9], &apart[..9]), [], "too few articles");
    }

    #[test]
    fn passages_are_lines_and_sentences() {
        let found: Vec<&str> = passages("One. Two 3.5! Three?\nFour\r\n\nFive.").map(str::trim).collect();
        assert_eq!(found, ["One.", "Two 3.5!", "Three?", "Four", "", "Five."]);
    }
}
