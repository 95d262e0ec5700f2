//! The review file: articles whose labels are likely wrong, for a person to decide about.
//!
//! One line each, worst first, as JSON. The person fills in `decision` and hands the file to `train --corrections`; what it may hold, and
//! who reads it, is in [`crate::data::Corrections`].

use serde::Serialize;

use super::LabelIssue;
use crate::data::Article;
use crate::labels::{LabelId, LabelSet};

/// Characters of the text that a review line shows unless asked for more: enough for the first sentences of an article.
pub const REVIEW_CHARS: usize = 400;

/// A line of the review file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReviewLine<'a> {
    pub id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    /// The beginning of the text; `…` at its end says that there is more.
    pub text: String,
    /// As given; [`crate::data::Corrections`] checks that the article still has these.
    pub labels: Vec<&'a str>,
    pub suggested: Vec<&'a str>,
    /// Of `labels`, those that are likely wrong.
    pub wrong: Vec<&'a str>,
    /// Of `suggested`, those that are not among `labels`.
    pub missing: Vec<&'a str>,
    /// From 0 (surely wrong) to 1 (surely right).
    pub quality: f64,
    /// Always `null`: for the person to fill in.
    pub decision: Option<()>,
}

impl<'a> ReviewLine<'a> {
    /// What a person should see of an issue; `max_chars` of the text at most.
    ///
    /// # Panics
    /// When the issue does not come from articles with these labels.
    ///
    /// # Example
    /// ```
    /// use topicwire::curation::LabelIssue;
    /// use topicwire::curation::corrections::ReviewLine;
    /// use topicwire::{data::Article, labels::{LabelId, LabelSet}};
    /// let labels = LabelSet::from_names(["energy", "trade"])?;
    /// let issue = LabelIssue {
    ///     row_idx: 0, quality: 0.25, given: vec![LabelId(1)], suggested: vec![LabelId(0)], wrong: vec![LabelId(1)], missing: vec![LabelId(0)],
    /// };
    /// let article = Article::new("7", "Gas flows again.");
    /// assert_eq!(
    ///     ReviewLine::new(&article, &issue, &labels, 9).to_json(),
    ///     r#"{"id":"7","text":"Gas flows…","labels":["trade"],"suggested":["energy"],"wrong":["trade"],"missing":["energy"],"quality":0.25,"decision":null}"#,
    /// );
    /// # Ok::<(), topicwire::labels::LabelError>(())
    /// ```
    pub fn new(article: &'a Article, issue: &LabelIssue, labels: &'a LabelSet, max_chars: usize) -> Self {
        let names = |ids: &[LabelId]| ids.iter().map(|&id| labels.name(id)).collect();
        Self {
            id: &article.id,
            title: article.title.as_deref(),
            text: beginning(&article.text, max_chars),
            labels: names(&issue.given),
            suggested: names(&issue.suggested),
            wrong: names(&issue.wrong),
            missing: names(&issue.missing),
            quality: issue.quality,
            decision: None,
        }
    }

    /// The line, without its end.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and finite numbers are JSON")
    }
}

fn beginning(text: &str, max_chars: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(max_chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Corrections;

    #[test]
    fn review_lines_are_read_as_corrections() {
        let labels = LabelSet::from_names(["energy", "trade"]).unwrap();
        let articles: Vec<Article> = ["\"quoted\"\nline", "é…  "]
            .into_iter()
            .enumerate()
            .map(|(i, text)| {
                let title = (i == 0).then(|| "A title".to_owned());
                Article { title, labels: Some(vec!["trade".into()]), ..Article::new(format!("a{i}"), text) }
            })
            .collect();
        let issue = LabelIssue {
            row_idx: 0,
            quality: 1e-300,
            given: vec![LabelId(1)],
            suggested: vec![LabelId(0), LabelId(1)],
            wrong: vec![],
            missing: vec![LabelId(0)],
        };
        let lines = articles.iter().map(|article| ReviewLine::new(article, &issue, &labels, 3).to_json());
        let lines: Vec<String> = lines.collect();
        let untouched = Corrections::parse("review.jsonl", lines.join("\n").as_bytes()).unwrap();
        let (rows, log) = untouched.apply(articles.iter().cloned().map(Ok));
        assert_eq!(rows.collect::<Result<Vec<_>, _>>().unwrap(), articles);
        assert_eq!(log.record().counts.n_undecided, 2);

        let decided = lines.join("\n").replace("\"decision\":null", "\"decision\":\"suggested\"");
        let (rows, log) = Corrections::parse("review.jsonl", decided.as_bytes())
            .unwrap()
            .apply_knowing(articles.into_iter().map(Ok), Some(&labels));
        assert!(rows.into_iter().all(|row| row.unwrap().labels.unwrap() == ["energy", "trade"]));
        assert_eq!(log.record().counts.n_relabelled, 2);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(beginning(" äöü ", 3), "äöü");
        assert_eq!(beginning("äöü x", 4), "äöü…");
        assert_eq!(beginning("äöü", 0), "…");
    }
}
