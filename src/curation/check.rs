//! All checks of a data set at once.

use std::borrow::Cow;
use std::collections::HashMap;

use ndarray::ArrayView2;

use super::CurationError;
use super::boilerplate::boilerplate_findings;
use super::copies::copy_findings;
use super::duplicates::{DuplicateSettings, find_duplicates};
use super::finding::{Finding, FindingKind, Severity};
use super::label_statistics::label_findings;
use super::languages::language_findings;
use super::text_problems::text_findings;
use crate::data::Article;
use crate::pipeline::titled;
use crate::progress::Progress;

/// Looks over training articles and test articles: every kind of finding but unusable rows and wrong labels. `part_ends` says where the
/// training articles end and then where those of each test input do; ids are used once within each. Ordered by kind, within a kind as the module of each says. Work and memory grow in proportion to the texts.
///
/// # Shapes
/// `embeddings` `[articles.len(), hidden_size]`; without them near-duplicates are told by their shingles alone.
///
/// # Errors
/// [`CurationError::EmbeddingRows`], [`CurationError::Interrupted`].
///
/// # Panics
/// When `part_ends` does not ascend to the number of articles.
///
/// ```
/// use topicwire::curation::check::check;
/// use topicwire::curation::finding::FindingKind;
/// use topicwire::data::Article;
/// use topicwire::progress::Silent;
/// let train = Article::new("1", "Ships carrying grain left the harbour of Odesa on Monday.");
/// let test = Article::new("2", "SHIPS carrying grain left the harbour of Odesa on Monday!");
/// let findings = check(&[train, test], &[1, 2], None, &Silent)?;
/// assert_eq!((findings[0].kind, &findings[0].rows[..]), (FindingKind::Leakage, &[1, 0][..]));
/// # Ok::<(), topicwire::curation::CurationError>(())
/// ```
pub fn check(
    articles: &[Article],
    part_ends: &[usize],
    embeddings: Option<ArrayView2<'_, f32>>,
    progress: &dyn Progress,
) -> Result<Vec<Finding>, CurationError> {
    assert_eq!(part_ends.last(), Some(&articles.len()), "all articles belong to a part");
    let n_train = part_ends[0];
    let texts: Vec<Cow<'_, str>> = articles.iter().map(|article| titled(article).joined()).collect();
    let duplicates = find_duplicates(&texts, embeddings, &DuplicateSettings::default(), progress)?;
    drop(texts);
    let mut findings = copy_findings(articles, n_train, &duplicates);
    let starts = [0].into_iter().chain(part_ends.iter().copied());
    findings.extend(starts.zip(part_ends).flat_map(|(start, &end)| repeated_ids(&articles[start..end], start)));
    findings.extend(label_findings(articles, n_train));
    let looks: [&dyn Fn() -> Vec<Finding>; 3] =
        [&|| text_findings(articles), &|| boilerplate_findings(articles, &duplicates.cluster_of), &|| {
            language_findings(articles)
        }];
    for look in looks {
        if progress.is_cancelled() {
            return Err(CurationError::Interrupted);
        }
        findings.extend(look());
    }
    findings.sort_by_key(|finding| finding.kind);
    Ok(findings)
}

/// Ids that several articles have; `first` is the position of its first article.
fn repeated_ids(articles: &[Article], first: usize) -> Vec<Finding> {
    let mut rows: HashMap<&str, Vec<usize>> = HashMap::with_capacity(articles.len());
    for (at, article) in articles.iter().enumerate() {
        rows.entry(&article.id).or_default().push(first + at);
    }
    let mut repeated: Vec<Vec<usize>> = rows.into_values().filter(|rows| rows.len() > 1).collect();
    repeated.sort_unstable();
    let finding = |rows: Vec<usize>| {
        let n = rows.len();
        Finding::new(FindingKind::DuplicateId, Severity::Error, rows).with("n", n)
    };
    repeated.into_iter().map(finding).collect()
}
