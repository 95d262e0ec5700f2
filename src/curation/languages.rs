//! Which languages articles are in.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;
use serde_json::{Map, Value};

use super::finding::{Finding, FindingKind, Severity};
use crate::data::Article;
use crate::pipeline::titled;

/// Letters from which on a language is told; shorter texts are counted as unknown.
const MIN_LETTERS: usize = 60;
/// Characters that are looked at.
const MAX_CHARS: usize = 1000;
/// Languages in less than this share of the articles are pointed out.
const MINOR_SHARE: f64 = 0.2;

/// The language of a text as its ISO 639-3 code; `None` where the text is too short to tell, or fits several.
///
/// ```
/// # use topicwire::curation::languages::language;
/// let text = "Les navires chargés de céréales ont quitté le port d’Odessa lundi, a annoncé l’autorité portuaire.";
/// assert_eq!(language(text), Some("fra"));
/// assert_eq!(language("Odessa"), None);
/// ```
pub fn language(text: &str) -> Option<&'static str> {
    let end = text.char_indices().nth(MAX_CHARS).map_or(text.len(), |(at, _)| at);
    // Abbreviations, names and words that a table repeats say little about the language of a text, numbers nothing.
    let mut seen: HashSet<&str> = HashSet::new();
    let mut words = String::with_capacity(end);
    for word in text[..end].split_whitespace() {
        if word.chars().all(|c| !c.is_uppercase() && !c.is_numeric()) && seen.insert(word) {
            words.push_str(word);
            words.push(' ');
        }
    }
    if words.chars().filter(|c| c.is_alphabetic()).count() < MIN_LETTERS {
        return None;
    }
    let info = whatlang::detect(&words)?;
    info.is_reliable().then(|| info.lang().code())
}

/// The shares of languages, and the articles in those that few are in.
pub fn language_findings(articles: &[Article]) -> Vec<Finding> {
    let languages: Vec<Option<&str>> = articles.par_iter().map(|article| language(&titled(article).joined())).collect();
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, language) in languages.iter().enumerate() {
        if let Some(language) = language {
            rows.entry(language).or_default().push(row);
        }
    }
    let n_known: usize = rows.values().map(Vec::len).sum();
    let mut findings: Vec<Finding> = Vec::new();
    if n_known == 0 {
        return findings;
    }
    let mut shares: Vec<(&str, usize)> = rows.iter().map(|(language, rows)| (*language, rows.len())).collect();
    shares.sort_by_key(|&(language, n)| (std::cmp::Reverse(n), language));
    for &(language, n) in &shares[1..] {
        let share = n as f64 / n_known as f64;
        if share < MINOR_SHARE {
            let finding = Finding::new(FindingKind::OtherLanguage, Severity::Note, rows[language].clone());
            findings.push(finding.with("language", language).with("n", n).with("share", share));
        }
    }
    let counts: Map<String, Value> = shares.iter().map(|&(language, n)| (language.to_owned(), n.into())).collect();
    let finding = Finding::new(FindingKind::Languages, Severity::Note, Vec::new()).with("n", counts);
    findings.push(finding.with("n_unknown", articles.len() - n_known));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_in_another_language_are_named_and_short_ones_are_not_told() {
        let english = "The port authority said on Monday that the ships which had been waiting for weeks left the harbour with grain.";
        let ukrainian =
            "Адміністрація порту повідомила в понеділок, що судна, які чекали кілька тижнів, вийшли з гавані з зерном.";
        let mut articles: Vec<Article> = (0..9).map(|i| Article::new(i.to_string(), english)).collect();
        articles.push(Article::new("9", ukrainian));
        articles.push(Article::new("10", "Grain"));
        let found = language_findings(&articles);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].kind, &found[0].rows[..], &found[0].detail["language"]),
            (FindingKind::OtherLanguage, &[9][..], &"ukr".into())
        );
        assert_eq!((&found[1].detail["n"]["eng"], &found[1].detail["n_unknown"]), (&9.into(), &1.into()));
        assert_eq!(language_findings(&articles[10..]), []);
    }

    #[test]
    fn tables_and_names_are_no_other_language() {
        for text in [
            "Shr 34 cts vs 15 cts Net 1,234,000 vs 567,000 Revs 11.5 mln vs 10.3 mln Avg shrs 5.3 mln vs 4.4 mln Qtly div",
            "Arsenal 2 Chelsea 1, Real Madrid 3 Bayern Munich 3, Juventus 0 Porto 1, Ajax Amsterdam 2 Olympique Marseille 2",
        ] {
            assert_eq!(language(text), None, "{text}");
        }
    }
}
