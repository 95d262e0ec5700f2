//! What stays together while articles are divided, and what of it is to be spread evenly: labels and pairs of labels.

use std::collections::{BTreeMap, HashMap};

use crate::labels::{LabelId, Targets};

/// Occurrences of pairs in different sets of labels that are followed; with more, which takes articles with hundreds of labels
/// each, labels alone are spread evenly.
pub(super) const MAX_PAIR_OCCURRENCES: usize = 4_000_000;

/// Articles, or groups of them, with what is counted of each.
pub(super) struct Units {
    /// The articles of each unit.
    pub(super) rows: Vec<Vec<usize>>,
    /// Equal numbers for units with equal contents.
    pub(super) kind_of: Vec<usize>,
    /// Per kind the features that occur, ascending, and in how many of its articles.
    pub(super) contents: Vec<Vec<(usize, u32)>>,
    /// Features below this are labels, the others pairs of labels.
    pub(super) n_labels: usize,
    /// In how many articles each feature occurs.
    pub(super) support: Vec<usize>,
}

impl Units {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What is counted of a unit.
    pub(super) fn content(&self, unit_idx: usize) -> &[(usize, u32)] {
        &self.contents[self.kind_of[unit_idx]]
    }

    /// Every article a unit.
    pub(super) fn of_articles(targets: &Targets, n_labels: usize) -> Self {
        Self::new((0..targets.len()).map(|row_idx| vec![row_idx]).collect(), Some((targets, n_labels)))
    }

    /// Every group a unit, in the order in which they first occur.
    pub(super) fn of_groups(groups: &[usize], targets: Option<(&Targets, usize)>) -> Self {
        let mut unit_of: HashMap<usize, usize> = HashMap::new();
        let mut rows: Vec<Vec<usize>> = Vec::new();
        for (row_idx, group) in groups.iter().enumerate() {
            let unit_idx = *unit_of.entry(*group).or_insert(rows.len());
            if unit_idx == rows.len() {
                rows.push(Vec::new());
            }
            rows[unit_idx].push(row_idx);
        }
        if let Some((targets, _)) = targets {
            assert_eq!(groups.len(), targets.len(), "a group for every article");
        }
        Self::new(rows, targets)
    }

    fn new(rows: Vec<Vec<usize>>, targets: Option<(&Targets, usize)>) -> Self {
        let n_labels = targets.map_or(0, |(_, n_labels)| n_labels);
        let labels_of = |row_idx: usize| targets.map_or(&[][..], |(targets, _)| targets.row(row_idx));
        let pairs = targets.map_or_else(HashMap::new, |(targets, _)| pair_ids(targets, n_labels));
        // Units of one article that have equal labels are common and need not be counted out one by one.
        let mut kinds_of_one: HashMap<&[LabelId], usize> = HashMap::new();
        let mut kinds: BTreeMap<(usize, Vec<(usize, u32)>), usize> = BTreeMap::new();
        let mut contents = Vec::new();
        let mut kind_of = Vec::with_capacity(rows.len());
        let mut support = vec![0; n_labels + pairs.len()];
        for unit in &rows {
            let known = match unit[..] {
                [only] => kinds_of_one.get(labels_of(only)).copied(),
                _ => None,
            };
            let kind = known.unwrap_or_else(|| {
                let mut counts: BTreeMap<usize, u32> = BTreeMap::new();
                for &row_idx in unit {
                    for feature in features(labels_of(row_idx), &pairs) {
                        *counts.entry(feature).or_default() += 1;
                    }
                }
                let content: Vec<(usize, u32)> = counts.into_iter().collect();
                let next = contents.len();
                let kind = *kinds.entry((unit.len(), content.clone())).or_insert(next);
                if kind == next {
                    contents.push(content);
                }
                if let [only] = unit[..] {
                    kinds_of_one.insert(labels_of(only), kind);
                }
                kind
            });
            contents[kind].iter().for_each(|&(feature, n)| support[feature] += n as usize);
            kind_of.push(kind);
        }
        Self { rows, kind_of, contents, n_labels, support }
    }
}

/// The features of an article.
fn features<'a>(
    labels: &'a [LabelId],
    pairs: &'a HashMap<(LabelId, LabelId), usize>,
) -> impl Iterator<Item = usize> + 'a {
    labels.iter().map(|label| label.0).chain(pairs_of(labels).filter_map(|pair| pairs.get(&pair).copied()))
}

/// All pairs of an article's labels, which ascend.
pub(super) fn pairs_of(labels: &[LabelId]) -> impl Iterator<Item = (LabelId, LabelId)> + '_ {
    labels.iter().enumerate().flat_map(|(i, &a)| labels[i + 1..].iter().map(move |&b| (a, b)))
}

/// Numbers from `n_labels` on for the pairs that occur, or none where there are too many.
fn pair_ids(targets: &Targets, n_labels: usize) -> HashMap<(LabelId, LabelId), usize> {
    let mut ids = HashMap::new();
    let Targets::Multi(rows) = targets else { return ids };
    if has_too_many_pairs(rows) {
        return ids;
    }
    for pair in rows.iter().flat_map(|labels| pairs_of(labels)) {
        let next = n_labels + ids.len();
        ids.entry(pair).or_insert(next);
    }
    ids
}

/// Whether the different sets of labels hold more than [`MAX_PAIR_OCCURRENCES`] pairs.
pub(super) fn has_too_many_pairs(rows: &[Vec<LabelId>]) -> bool {
    let sets: std::collections::HashSet<&[LabelId]> = rows.iter().map(Vec::as_slice).collect();
    let n_occurrences: usize = sets.into_iter().map(|set| set.len() * set.len().saturating_sub(1) / 2).sum();
    n_occurrences > MAX_PAIR_OCCURRENCES
}
