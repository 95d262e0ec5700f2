//! Groups of articles that must stay together.

use std::collections::HashMap;

/// A group for each article by a value of it, such as its source: equal values, one group. An article without a value is a
/// group of its own.
///
/// ```
/// let groups = topicwire::data::split::groups_of([Some("agency"), None, Some("agency"), None]);
/// assert_eq!(groups, [0, 1, 0, 2]);
/// ```
pub fn groups_of<S: AsRef<str>>(values: impl IntoIterator<Item = Option<S>>) -> Vec<usize> {
    let mut known: HashMap<String, usize> = HashMap::new();
    let mut n_groups = 0;
    let mut groups = Vec::new();
    for value in values {
        let group = match &value {
            Some(value) => *known.entry(value.as_ref().to_owned()).or_insert(n_groups),
            None => n_groups,
        };
        n_groups = n_groups.max(group + 1);
        groups.push(group);
    }
    groups
}

/// Groups that keep together what any of the groupings does, numbered as they first occur.
///
/// # Panics
/// When the groupings are of different lengths.
///
/// ```
/// // The first two are of one source, the last two copies of one text, and so is the second of the third.
/// let merged = topicwire::data::split::merge_groups(&[vec![0, 0, 1, 2, 3], vec![0, 1, 1, 3, 3]]);
/// assert_eq!(merged, [0, 0, 0, 1, 1]);
/// ```
pub fn merge_groups(groupings: &[Vec<usize>]) -> Vec<usize> {
    let n_articles = groupings.first().map_or(0, Vec::len);
    let mut parents: Vec<usize> = (0..n_articles).collect();
    for grouping in groupings {
        assert_eq!(grouping.len(), n_articles, "a group for every article");
        let mut first_of: HashMap<usize, usize> = HashMap::new();
        for (row_idx, group) in grouping.iter().enumerate() {
            let first = *first_of.entry(*group).or_insert(row_idx);
            let (a, b) = (root(&mut parents, first), root(&mut parents, row_idx));
            // The smaller stays the root, so that it is the first article of its group.
            parents[a.max(b)] = a.min(b);
        }
    }
    let mut number_of = vec![0; n_articles];
    let mut n_groups = 0;
    (0..n_articles)
        .map(|row_idx| {
            let root = root(&mut parents, row_idx);
            if root == row_idx {
                number_of[row_idx] = n_groups;
                n_groups += 1;
            }
            number_of[root]
        })
        .collect()
}

fn root(parents: &mut [usize], mut node: usize) -> usize {
    while parents[node] != node {
        parents[node] = parents[parents[node]];
        node = parents[node];
    }
    node
}
