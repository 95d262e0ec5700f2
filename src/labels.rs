//! Topics: their names, their order, and which of them each article has.

use std::collections::HashMap;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Position of a label in its [`LabelSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelId(pub usize);

/// Whether an article has exactly one label or any number of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Exactly one label per article.
    Single,
    /// Zero to `n_labels` labels per article; "none" is a legal answer.
    Multi,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Task::Single => "single",
            Task::Multi => "multi",
        })
    }
}

/// A topic's name and, optionally, what it covers and how to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Sentences as an article on it might have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
    /// Words or phrases that hint at it, in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// Regular expressions that hint at it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patterns: Vec<String>,
}

impl Label {
    /// A label of which nothing is known but its name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// What can be wrong with a set of labels.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelError {
    #[error("a label set must hold at least one label")]
    Empty,
    #[error("label {label_idx} has an empty name")]
    EmptyName { label_idx: usize },
    #[error("label `{name}` is listed twice, as numbers {first_idx} and {second_idx}")]
    Duplicate { name: String, first_idx: usize, second_idx: usize },
    #[error("unknown label `{name}`{}", .closest.as_ref().map(|c| format!("; the closest known one is `{c}`")).unwrap_or_default())]
    Unknown { name: String, closest: Option<String> },
}

/// The ordered labels of a task.
///
/// ```
/// use topicwire::labels::{LabelId, LabelSet};
/// let labels = LabelSet::from_names(["trade", "defense"])?;
/// assert_eq!(labels.id("defense"), Some(LabelId(1)));
/// assert_eq!(labels.closest("defence"), Some("defense"));
/// # Ok::<(), topicwire::labels::LabelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSet {
    labels: Vec<Label>,
    ids: HashMap<String, LabelId>,
}

impl LabelSet {
    /// Keeps the labels in the order given.
    ///
    /// # Errors
    /// No label at all, an empty name, or a name given twice.
    pub fn new(labels: Vec<Label>) -> Result<Self, LabelError> {
        if labels.is_empty() {
            return Err(LabelError::Empty);
        }
        let mut ids = HashMap::with_capacity(labels.len());
        for (label_idx, label) in labels.iter().enumerate() {
            if label.name.trim().is_empty() {
                return Err(LabelError::EmptyName { label_idx });
            }
            if let Some(LabelId(first_idx)) = ids.insert(label.name.clone(), LabelId(label_idx)) {
                return Err(LabelError::Duplicate { name: label.name.clone(), first_idx, second_idx: label_idx });
            }
        }
        Ok(Self { labels, ids })
    }

    /// A label set without descriptions.
    ///
    /// # Errors
    /// As [`LabelSet::new`].
    pub fn from_names<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Result<Self, LabelError> {
        Self::new(names.into_iter().map(Label::named).collect())
    }

    /// Number of labels, at least 1.
    #[allow(clippy::len_without_is_empty)] // never empty by construction
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The label with this id.
    ///
    /// # Panics
    /// When the id does not come from this set.
    pub fn get(&self, id: LabelId) -> &Label {
        &self.labels[id.0]
    }

    /// The name of the label with this id.
    ///
    /// # Panics
    /// When the id does not come from this set.
    pub fn name(&self, id: LabelId) -> &str {
        &self.labels[id.0].name
    }

    /// The id of the label with this name.
    pub fn id(&self, name: &str) -> Option<LabelId> {
        self.ids.get(name).copied()
    }

    /// The id of the label with this name, or an error that proposes the closest known name.
    ///
    /// # Errors
    /// [`LabelError::Unknown`].
    pub fn require(&self, name: &str) -> Result<LabelId, LabelError> {
        self.id(name).ok_or_else(|| LabelError::Unknown {
            name: name.to_owned(),
            closest: self.closest(name).map(str::to_owned),
        })
    }

    /// All labels in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (LabelId, &Label)> {
        self.labels.iter().enumerate().map(|(idx, label)| (LabelId(idx), label))
    }

    /// All names in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.labels.iter().map(|label| label.name.as_str())
    }

    /// The name most like `name`, when it is near enough to be a slip of the pen: an edit distance of at most a third of its length.
    pub fn closest(&self, name: &str) -> Option<&str> {
        closest(name, self.names())
    }
}

/// The candidate most like `word` within an edit distance of a third of its length (at least 1).
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits that turn `a` into `b`: characters inserted, deleted, replaced, or swapped with their neighbour (optimal string
/// alignment), three rows of the table at a time.
pub(crate) fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut best = (above[j] + usize::from(a[i] != b[j])).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// The known labels of `n` articles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// One label per article.
    Single(Vec<LabelId>),
    /// A set of labels per article, ascending, without repeats.
    Multi(Vec<Vec<LabelId>>),
}

impl Targets {
    /// Number of articles.
    pub fn len(&self) -> usize {
        match self {
            Targets::Single(rows) => rows.len(),
            Targets::Multi(rows) => rows.len(),
        }
    }

    /// Whether there is no article at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which kind of task these targets belong to.
    pub fn task(&self) -> Task {
        match self {
            Targets::Single(_) => Task::Single,
            Targets::Multi(_) => Task::Multi,
        }
    }

    /// The labels of one article.
    pub fn row(&self, row_idx: usize) -> &[LabelId] {
        match self {
            Targets::Single(rows) => std::slice::from_ref(&rows[row_idx]),
            Targets::Multi(rows) => &rows[row_idx],
        }
    }

    /// The targets of some of the articles, in the order asked for.
    pub fn select(&self, row_indices: &[usize]) -> Targets {
        match self {
            Targets::Single(rows) => Targets::Single(row_indices.iter().map(|&i| rows[i]).collect()),
            Targets::Multi(rows) => Targets::Multi(row_indices.iter().map(|&i| rows[i].clone()).collect()),
        }
    }

    /// `[n_articles, n_labels]`, true where the article has the label.
    pub fn indicator(&self, n_labels: usize) -> Array2<bool> {
        let mut indicator = Array2::from_elem((self.len(), n_labels), false);
        for row_idx in 0..self.len() {
            for label in self.row(row_idx) {
                indicator[[row_idx, label.0]] = true;
            }
        }
        indicator
    }

    /// How many articles have each label.
    pub fn support(&self, n_labels: usize) -> Vec<usize> {
        let mut support = vec![0; n_labels];
        for row_idx in 0..self.len() {
            for label in self.row(row_idx) {
                support[label.0] += 1;
            }
        }
        support
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_set_refuses_what_cannot_be_told_apart() {
        assert_eq!(LabelSet::new(vec![]), Err(LabelError::Empty));
        assert_eq!(LabelSet::from_names(["a", " "]), Err(LabelError::EmptyName { label_idx: 1 }));
        let duplicate = LabelError::Duplicate { name: "a".into(), first_idx: 0, second_idx: 2 };
        assert_eq!(LabelSet::from_names(["a", "b", "a"]), Err(duplicate));
    }

    #[test]
    fn unknown_labels_come_with_the_closest_known_one() {
        let labels = LabelSet::from_names(["south-caucasus", "trade"]).unwrap();
        let message = labels.require("south-cacausus").unwrap_err().to_string();
        assert_eq!(message, "unknown label `south-cacausus`; the closest known one is `south-caucasus`");
        assert_eq!(labels.require("sport").unwrap_err().to_string(), "unknown label `sport`");
    }

    #[test]
    fn edit_distances_match_hand_counts() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("naïve", "naive", 1), ("trian", "train", 1)]
        {
            assert_eq!(edit_distance(a, b), expected, "{a} → {b}");
        }
    }

    #[test]
    fn indicator_and_support_agree_with_the_rows() {
        let targets = Targets::Multi(vec![vec![], vec![LabelId(0), LabelId(2)], vec![LabelId(2)]]);
        assert_eq!(targets.support(3), [1, 0, 2]);
        let picked = targets.select(&[2, 0]);
        assert_eq!(picked.indicator(3), ndarray::array![[false, false, true], [false, false, false]]);
    }
}
