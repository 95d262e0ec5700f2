//! How far parts are from being like the whole.

use std::collections::HashMap;

use super::Split;
use super::units::{has_too_many_pairs, pairs_of};
use crate::labels::{LabelId, Targets};

/// How far a split is from ideal; 0 throughout where every part is exactly like the whole.
///
/// With parts `S_j` of the articles `D`, those of a label `S_j^i` and `D^i`, and `k` parts:
///
/// * `labels` (LD) is the mean over labels and parts of `| odds(S_j^i in S_j) − odds(D^i in D) |`, where
///   `odds(A in B) = |A| / (|B| − |A|)`;
/// * `pairs` (LPD) is the same over pairs of labels that occur together;
/// * `sizes` (ED) is the mean over parts of `| |S_j| − r_j |D| |`, in articles, with the share `r_j`.
///
/// LD and ED: Sechidis, Tsoumakas & Vlahavas, *On the Stratification of Multi-Label Data* (2011), section 4.2; LPD: Szymański &
/// Kajdanowicz, *A Network Perspective on Stratification of Multi-Label Data* (2017). Beside those definitions: a label that
/// every article has is no matter of spreading and is left out; in a part all of whose articles have a label, where the odds
/// would be infinite, half an article counts as being without it; an empty part has odds of 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// LD; 0 where there are no labels.
    pub labels: f64,
    /// LPD; 0 where no two labels occur together, `None` where articles have so many labels that pairs were not counted.
    pub pairs: Option<f64>,
    /// ED.
    pub sizes: f64,
    /// Where the articles of each label are.
    pub per_label: Vec<LabelSpread>,
}

/// Where the articles of a label are.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelSpread {
    pub label: LabelId,
    /// Articles that have it, those left out too.
    pub support: usize,
    /// Those in each part.
    pub counts: Vec<usize>,
    /// Those each part would have if it were exactly like the whole: `support · |S_j| / |D|`.
    pub ideals: Vec<f64>,
}

impl LabelSpread {
    /// The largest difference between a part's articles of this label and its ideal.
    pub fn worst(&self) -> f64 {
        self.counts.iter().zip(&self.ideals).map(|(&n, ideal)| (n as f64 - ideal).abs()).fold(0.0, f64::max)
    }
}

impl Deviation {
    /// Measures a split.
    ///
    /// # Panics
    /// When a label is not below `n_labels`, or `targets` has another length than the split.
    ///
    /// # Example
    /// ```
    /// use topicwire::data::split::{Deviation, Parts, random};
    /// use topicwire::labels::{LabelId, Targets};
    /// let split = random(4, None, &Parts::new([("train", 0.5), ("test", 0.5)])?, 0)?;
    /// // One of four has the label: in one part odds of 1, in the other of 0, in all of 1/3.
    /// let targets = Targets::Multi(vec![vec![LabelId(0)], vec![], vec![], vec![]]);
    /// let deviation = Deviation::measure(&targets, 1, &split);
    /// assert!((deviation.labels - 0.5).abs() < 1e-12);
    /// # Ok::<(), topicwire::data::split::SplitError>(())
    /// ```
    pub fn measure(targets: &Targets, n_labels: usize, split: &Split) -> Self {
        assert_eq!(targets.len(), split.part_of.len(), "a part for every article");
        let sizes = split.sizes();
        let n_articles = targets.len();
        let n_parts = sizes.len();
        let mut counts = vec![vec![0; n_parts]; n_labels];
        for (row_idx, part) in split.part_of.iter().enumerate() {
            if let Some(part_idx) = *part {
                targets.row(row_idx).iter().for_each(|label| counts[label.0][part_idx] += 1);
            }
        }
        let support = targets.support(n_labels);
        let labels = support.iter().copied().zip(counts.iter().map(Vec::as_slice));
        let labels = mean_difference_of_odds(labels, &sizes, n_articles);
        let pairs = match targets {
            Targets::Single(_) => Some(0.0),
            Targets::Multi(rows) if has_too_many_pairs(rows) => None,
            Targets::Multi(rows) => {
                let pairs = count_pairs(rows, split, n_parts);
                let pairs = pairs.iter().map(|counts| (counts[n_parts], &counts[..n_parts]));
                Some(mean_difference_of_odds(pairs, &sizes, n_articles))
            }
        };
        let ideal_sizes = split.parts().iter().map(|part| part.share * n_articles as f64);
        let off: f64 = sizes.iter().zip(ideal_sizes).map(|(&size, ideal)| (size as f64 - ideal).abs()).sum();
        let per_label = counts.into_iter().zip(support).enumerate().map(|(label_idx, (counts, support))| LabelSpread {
            label: LabelId(label_idx),
            support,
            counts,
            ideals: sizes.iter().map(|&size| support as f64 * size as f64 / n_articles.max(1) as f64).collect(),
        });
        Self { labels, pairs, sizes: off / n_parts as f64, per_label: per_label.collect() }
    }

    /// The labels furthest from ideal, the worst first; of equals those with fewer articles.
    pub fn worst(&self, n_labels: usize) -> Vec<&LabelSpread> {
        let mut spreads: Vec<&LabelSpread> = self.per_label.iter().filter(|spread| spread.support > 0).collect();
        spreads.sort_by(|a, b| b.worst().total_cmp(&a.worst()).then(a.support.cmp(&b.support)));
        spreads.truncate(n_labels);
        spreads
    }
}

/// For each pair that occurs, in an order of their own, its articles in each part, and in all at the end.
fn count_pairs(rows: &[Vec<LabelId>], split: &Split, n_parts: usize) -> Vec<Vec<usize>> {
    let mut place: HashMap<(LabelId, LabelId), usize> = HashMap::new();
    let mut pairs: Vec<Vec<usize>> = Vec::new();
    for (labels, part) in rows.iter().zip(&split.part_of) {
        for pair in pairs_of(labels) {
            let pair_idx = *place.entry(pair).or_insert(pairs.len());
            if pair_idx == pairs.len() {
                pairs.push(vec![0; n_parts + 1]);
            }
            pairs[pair_idx][n_parts] += 1;
            if let Some(part_idx) = *part {
                pairs[pair_idx][part_idx] += 1;
            }
        }
    }
    pairs
}

/// The mean over items, each with its articles in all and in each part, and over parts.
fn mean_difference_of_odds<'a>(
    items: impl Iterator<Item = (usize, &'a [usize])>,
    sizes: &[usize],
    n_articles: usize,
) -> f64 {
    let (mut sum, mut n_items) = (0.0, 0usize);
    for (support, counts) in items.filter(|(support, _)| *support < n_articles) {
        n_items += 1;
        let whole = odds(support, n_articles);
        sum += counts.iter().zip(sizes).map(|(&n, &size)| (odds(n, size) - whole).abs()).sum::<f64>();
    }
    if n_items == 0 { 0.0 } else { sum / (n_items * sizes.len()) as f64 }
}

fn odds(n: usize, of: usize) -> f64 {
    if n == 0 {
        return 0.0;
    }
    n as f64 / ((of - n) as f64).max(0.5)
}
