//! Hand-written hints: how often a label's keywords and patterns occur. How far they are to be trusted, the stack learns.

use ndarray::Array2;
use rayon::prelude::*;
use regex::{RegexSet, RegexSetBuilder};
use thiserror::Error;

use crate::labels::LabelSet;
use crate::text::TitledText;

/// Memory that the patterns of one label may take when compiled; the crate's own default.
const MAX_COMPILED_BYTES: usize = 10 << 20;

/// Why rules cannot be used.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("pattern `{pattern}` of label `{label}` is not a regular expression")]
pub struct RuleError {
    pub label: String,
    pub pattern: String,
    pub source: regex::Error,
}

/// The rules of every label.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Of each label the set of its patterns; keywords are patterns too.
    sets: Vec<RegexSet>,
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        self.sets.len() == other.sets.len()
            && self.sets.iter().zip(&other.sets).all(|(a, b)| a.patterns() == b.patterns())
    }
}

impl Rules {
    /// Compiles the keywords and patterns of labels; `None` where no label has any.
    ///
    /// Keywords match in any case, as whole words where they begin or end with a letter or digit. Patterns are those of the `regex`
    /// crate, which takes time linear in the text; they match cases as written (`(?i)` for any).
    ///
    /// # Errors
    /// A pattern that is none, or too large.
    ///
    /// # Example
    /// ```
    /// use topicwire::labels::{Label, LabelSet};
    /// use topicwire::{text::TitledText, views::rules::Rules};
    /// let label = Label { name: "nato".into(), keywords: vec!["open-door policy".into()], ..Label::default() };
    /// let rules = Rules::new(&LabelSet::new(vec![label])?)?.expect("a label has a keyword");
    /// assert_eq!(rules.logits(&[TitledText::untitled("An Open-Door policy."), TitledText::untitled("None.")])[[0, 0]], 1.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(labels: &LabelSet) -> Result<Option<Self>, RuleError> {
        let sets = labels
            .iter()
            .map(|(_, label)| {
                let keywords = label.keywords.iter().map(|keyword| whole_words(keyword));
                let patterns: Vec<String> = keywords.chain(label.patterns.iter().cloned()).collect();
                RegexSetBuilder::new(&patterns).size_limit(MAX_COMPILED_BYTES).build().map_err(|source| RuleError {
                    label: label.name.clone(),
                    pattern: refused(&patterns),
                    source,
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(sets.iter().any(|set| !set.is_empty()).then_some(Self { sets }))
    }

    /// `ln(1 + hits) / ln 2` of each label, `[n_articles, n_labels]`, where a hit is a keyword or pattern that occurs at all.
    pub fn logits(&self, texts: &[TitledText<'_>]) -> Array2<f64> {
        let rows: Vec<Vec<f64>> = texts
            .par_iter()
            .map(|text| {
                let joined = text.joined();
                self.sets.iter().map(|set| (set.matches(&joined).iter().count() as f64).ln_1p() / 2f64.ln()).collect()
            })
            .collect();
        let mut logits = Array2::zeros((texts.len(), self.sets.len()));
        for (mut row, values) in logits.rows_mut().into_iter().zip(rows) {
            row.iter_mut().zip(values).for_each(|(logit, value)| *logit = value);
        }
        logits
    }
}

/// The first pattern that cannot be compiled alone; the last where only all together are too large.
fn refused(patterns: &[String]) -> String {
    let alone = patterns.iter().find(|pattern| regex::Regex::new(pattern).is_err());
    alone.or(patterns.last()).cloned().unwrap_or_default()
}

fn whole_words(keyword: &str) -> String {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric());
    let before = if is_word(keyword.chars().next()) { r"\b" } else { "" };
    let behind = if is_word(keyword.chars().last()) { r"\b" } else { "" };
    let words: Vec<String> = keyword.split_whitespace().map(regex::escape).collect();
    format!("(?i){before}{}{behind}", words.join(r"\s+"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Label;

    fn rules(keywords: &[&str], patterns: &[&str]) -> Result<Option<Rules>, RuleError> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let label =
            Label { name: "trade".into(), keywords: owned(keywords), patterns: owned(patterns), ..Label::default() };
        Rules::new(&LabelSet::new(vec![Label::named("other"), label]).unwrap())
    }

    #[test]
    fn keywords_are_whole_words_in_any_case() {
        let rules = rules(&["tariff", "C++ exports", "free  trade"], &[r"\$\d+bn"]).unwrap().unwrap();
        let hits = |text| rules.logits(&[TitledText { title: Some("Tariffs"), text }])[[0, 1]];
        assert_eq!(hits("no tariffs here"), 0.0);
        assert_eq!(hits("A TARIFF on c++ exports"), 3f64.log2());
        assert_eq!(hits("free\ntrade worth $12bn, free trade"), 3f64.log2());
        assert_eq!(rules.logits(&[TitledText::untitled("tariff")])[[0, 0]], 0.0);
    }

    #[test]
    fn a_pattern_that_is_none_is_named() {
        let error = rules(&["ok"], &["fine", "(broken"]).unwrap_err();
        assert_eq!(error.to_string(), "pattern `(broken` of label `trade` is not a regular expression");
        assert_eq!(rules(&[], &[]).unwrap(), None);
    }
}
