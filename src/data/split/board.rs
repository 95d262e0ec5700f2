//! What each part has of every label and pair of labels, what it should have, and what a change costs.

use super::units::Units;

/// Weight of the squared deviation beside the plain one: what counts is the sum of deviations, but of two ways to the same sum
/// the even one is better, and leads on.
const SQUARE_WEIGHT: f64 = 0.02;

/// Weight of all pairs beside that of all labels. Labels come out within rounding of their shares with any weight up to about 5;
/// at 1 pairs of the smallest set tried (440 articles) did not (`scripts/compare_split.py`).
const PAIR_WEIGHT: f64 = 3.0;

/// The part of no unit yet.
const NOWHERE: usize = usize::MAX;

/// Units in parts.
pub(super) struct Board<'a> {
    pub(super) units: &'a Units,
    pub(super) part_of: Vec<usize>,
    /// Articles each part should have.
    sizes: Vec<f64>,
    /// Articles each part has.
    held: Vec<f64>,
    /// `[n_features, n_parts]`: how many articles of a part have the label or pair.
    counts: Vec<u32>,
    /// Share of all articles that each part should have.
    shares: Vec<f64>,
    /// What an article too much or too few counts, for each feature.
    weights: Vec<f64>,
    /// What an article too much or too few counts in the size of a part.
    size_weight: f64,
    /// What deviations in a part count: 0 for those left out.
    part_weights: Vec<f64>,
}

impl<'a> Board<'a> {
    pub(super) fn new(units: &'a Units, sizes: &[usize], n_measured: usize) -> Self {
        let n_articles: f64 = sizes.iter().sum::<usize>() as f64;
        let n_pairs = units.support.len() - units.n_labels;
        // As the two measures weigh them: the mean over labels (or pairs) of differences in odds, whose slope is 1 / (1 − p)².
        let weights: Vec<f64> = (0..units.support.len())
            .map(|feature| {
                let (weight, n_alike) =
                    if feature < units.n_labels { (1.0, units.n_labels) } else { (PAIR_WEIGHT, n_pairs) };
                let others = 1.0 - units.support[feature] as f64 / n_articles;
                if others > 0.0 { weight / (n_alike as f64 * others * others) } else { 0.0 }
            })
            .collect();
        // A size counts as much as all labels of an average article together.
        let mean_weight: f64 = weights.iter().zip(&units.support).map(|(w, &n)| w * n as f64 / n_articles).sum();
        Self {
            units,
            part_of: vec![NOWHERE; units.len()],
            sizes: sizes.iter().map(|&size| size as f64).collect(),
            held: vec![0.0; sizes.len()],
            counts: vec![0; units.support.len() * sizes.len()],
            shares: sizes.iter().map(|&size| size as f64 / n_articles).collect(),
            weights,
            size_weight: if mean_weight > 0.0 { mean_weight } else { 1.0 },
            part_weights: sizes
                .iter()
                .enumerate()
                .map(|(part_idx, &size)| if part_idx < n_measured && size > 0 { 1.0 / size as f64 } else { 0.0 })
                .collect(),
        }
    }

    pub(super) fn n_parts(&self) -> usize {
        self.sizes.len()
    }

    fn n_articles_of(&self, unit_idx: usize) -> f64 {
        self.units.rows[unit_idx].len() as f64
    }

    pub(super) fn place(&mut self, unit_idx: usize, part_idx: usize) {
        debug_assert_eq!(self.part_of[unit_idx], NOWHERE);
        self.part_of[unit_idx] = part_idx;
        self.held[part_idx] += self.n_articles_of(unit_idx);
        let n_parts = self.n_parts();
        for &(feature, n) in self.units.content(unit_idx) {
            self.counts[feature * n_parts + part_idx] += n;
        }
    }

    /// Takes the unit out; gives where it was.
    pub(super) fn remove(&mut self, unit_idx: usize) -> usize {
        let part_idx = std::mem::replace(&mut self.part_of[unit_idx], NOWHERE);
        self.held[part_idx] -= self.n_articles_of(unit_idx);
        let n_parts = self.n_parts();
        for &(feature, n) in self.units.content(unit_idx) {
            self.counts[feature * n_parts + part_idx] -= n;
        }
        part_idx
    }

    /// By how much χ², over labels, pairs and size, grows with the unit in the part; what is lacking makes it fall. χ² is the
    /// squared deviation over what there should be, so the rare count more.
    pub(super) fn cost_of_placing(&self, unit_idx: usize, part_idx: usize) -> f64 {
        let growth =
            |held: f64, ideal: f64, more: f64| more * (2.0 * (held - ideal) + more) / ideal.max(f64::MIN_POSITIVE);
        let mut cost = growth(self.held[part_idx], self.sizes[part_idx], self.n_articles_of(unit_idx));
        for &(feature, n) in self.units.content(unit_idx) {
            let held = f64::from(self.counts[feature * self.n_parts() + part_idx]);
            let ideal = self.units.support[feature] as f64 * self.shares[part_idx];
            cost += growth(held, ideal, f64::from(n));
        }
        cost
    }

    /// By how much the deviation of labels and pairs changes when the part gets the unit (`sign` 1) or loses it (−1).
    pub(super) fn change_of_labels(&self, unit_idx: usize, part_idx: usize, sign: f64) -> f64 {
        let part_weight = self.part_weights[part_idx];
        if part_weight == 0.0 {
            return 0.0;
        }
        let mut change = 0.0;
        for &(feature, n) in self.units.content(unit_idx) {
            let before = f64::from(self.counts[feature * self.n_parts() + part_idx])
                - self.units.support[feature] as f64 * self.shares[part_idx];
            change += self.weights[feature] * (deviation(before + sign * f64::from(n)) - deviation(before));
        }
        change * part_weight
    }

    /// What one article too many of a label or pair costs, on average over the units and parts.
    pub(super) fn mean_weight_of_one(&self, units: &[usize]) -> f64 {
        let features = units.iter().flat_map(|&unit_idx| self.units.content(unit_idx));
        let (sum, n) = features.fold((0.0, 0usize), |(sum, n), &(feature, _)| (sum + self.weights[feature], n + 1));
        let mean_part = self.part_weights.iter().sum::<f64>() / self.n_parts() as f64;
        mean_part * sum / n.max(1) as f64
    }

    /// By how much the deviation of the size changes.
    pub(super) fn change_of_size(&self, unit_idx: usize, part_idx: usize, sign: f64) -> f64 {
        let before = self.held[part_idx] - self.sizes[part_idx];
        let after = before + sign * self.n_articles_of(unit_idx);
        self.size_weight * self.part_weights[part_idx] * (deviation(after) - deviation(before))
    }
}

fn deviation(difference: f64) -> f64 {
    difference.abs() + SQUARE_WEIGHT * difference * difference
}
