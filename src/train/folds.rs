//! Folds for cross-validation in which every label is spread evenly.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::labels::{LabelId, Targets};
use crate::rng::generator;

/// Which fold holds out each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds {
    fold_of_row: Vec<usize>,
    n_folds: usize,
}

impl Folds {
    /// Deals the rows to `n_folds` folds (at least 2, at most as many as there are rows; otherwise clipped to that).
    ///
    /// * Single: the rows of each label in turn, shuffled, one to each fold after the other, going on where the label before ended. Folds
    ///   differ by at most one row, in all and within every label.
    /// * Multi: iterative stratification (Sechidis, Tsoumakas & Vlahavas, *On the Stratification of Multi-label Data*, 2011,
    ///   algorithm 1): the rarest label first, each of its rows to the fold that lacks it most. Rows without labels fill up
    ///   the folds at the end.
    ///
    /// Single labels with at least two rows are never missing from the training part of a fold; of a label set's rare members
    /// that cannot be promised, since its rows may be held by rarer ones.
    ///
    /// # Panics
    /// When a label is not below `n_labels`.
    ///
    /// # Example
    /// ```
    /// use topicwire::labels::{LabelId, Targets};
    /// use topicwire::train::folds::Folds;
    /// let targets = Targets::Single([0, 0, 1, 1].map(LabelId).to_vec());
    /// let folds = Folds::stratified(&targets, 2, 2, 7);
    /// assert_ne!(folds.fold_of_row()[0], folds.fold_of_row()[1]);
    /// ```
    pub fn stratified(targets: &Targets, n_labels: usize, n_folds: usize, seed: u64) -> Self {
        let n_folds = n_folds.min(targets.len()).max(2);
        let mut rng = generator(seed, "folds");
        let fold_of_row = match targets {
            Targets::Single(labels) => deal(labels, n_labels, n_folds, &mut rng),
            Targets::Multi(labels) => stratify_iteratively(labels, n_labels, n_folds, &mut rng),
        };
        Self { fold_of_row, n_folds }
    }

    /// Number of folds, at least 2.
    pub fn n_folds(&self) -> usize {
        self.n_folds
    }

    /// The fold in which each row is held out.
    pub fn fold_of_row(&self) -> &[usize] {
        &self.fold_of_row
    }

    /// Rows held out in a fold, ascending.
    pub fn held_out(&self, fold_idx: usize) -> Vec<usize> {
        (0..self.fold_of_row.len()).filter(|&row_idx| self.fold_of_row[row_idx] == fold_idx).collect()
    }

    /// Rows a fold trains on, ascending.
    pub fn training(&self, fold_idx: usize) -> Vec<usize> {
        (0..self.fold_of_row.len()).filter(|&row_idx| self.fold_of_row[row_idx] != fold_idx).collect()
    }
}

fn deal(labels: &[LabelId], n_labels: usize, n_folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut rows_of_label = vec![Vec::new(); n_labels];
    for (row_idx, label) in labels.iter().enumerate() {
        rows_of_label[label.0].push(row_idx);
    }
    let mut fold_of_row = vec![0; labels.len()];
    let mut n_dealt = 0;
    for rows in &mut rows_of_label {
        rows.shuffle(rng);
        for &row_idx in rows.iter() {
            fold_of_row[row_idx] = n_dealt % n_folds;
            n_dealt += 1;
        }
    }
    fold_of_row
}

fn stratify_iteratively(labels: &[Vec<LabelId>], n_labels: usize, n_folds: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut rows_of_label = vec![Vec::new(); n_labels];
    for (row_idx, labels) in labels.iter().enumerate() {
        labels.iter().for_each(|label| rows_of_label[label.0].push(row_idx));
    }
    let mut n_left: Vec<usize> = rows_of_label.iter().map(Vec::len).collect();
    // Rows that each fold still lacks, of each label and in all.
    let mut lacks_label: Vec<Vec<f64>> =
        n_left.iter().map(|&support| vec![support as f64 / n_folds as f64; n_folds]).collect();
    let mut lacks = vec![labels.len() as f64 / n_folds as f64; n_folds];
    let mut fold_of_row = vec![usize::MAX; labels.len()];

    let mut place =
        |row_idx: usize, fold_idx: usize, n_left: &mut [usize], lacks_label: &mut [Vec<f64>], lacks: &mut [f64]| {
            fold_of_row[row_idx] = fold_idx;
            lacks[fold_idx] -= 1.0;
            for label in &labels[row_idx] {
                n_left[label.0] -= 1;
                lacks_label[label.0][fold_idx] -= 1.0;
            }
        };
    let mut placed = vec![false; labels.len()];
    while let Some(rarest) = (0..n_labels).filter(|&label| n_left[label] > 0).min_by_key(|&label| n_left[label]) {
        let mut rows: Vec<usize> = rows_of_label[rarest].iter().copied().filter(|&row_idx| !placed[row_idx]).collect();
        rows.shuffle(rng);
        for row_idx in rows {
            let fold_idx = neediest(&lacks_label[rarest], &lacks, rng);
            placed[row_idx] = true;
            place(row_idx, fold_idx, &mut n_left, &mut lacks_label, &mut lacks);
        }
    }
    let mut rows: Vec<usize> = (0..labels.len()).filter(|&row_idx| !placed[row_idx]).collect();
    rows.shuffle(rng);
    for row_idx in rows {
        let fold_idx = neediest(&lacks, &lacks, rng);
        place(row_idx, fold_idx, &mut n_left, &mut lacks_label, &mut lacks);
    }
    fold_of_row
}

/// The fold that lacks most of a label; among equals the one that lacks most rows, then one by lot.
fn neediest(lacks_label: &[f64], lacks: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let order = |&a: &usize, &b: &usize| lacks_label[a].total_cmp(&lacks_label[b]).then(lacks[a].total_cmp(&lacks[b]));
    let best = (0..lacks.len()).max_by(|a, b| order(a, b)).expect("there are at least two folds");
    let equals: Vec<usize> = (0..lacks.len()).filter(|fold_idx| order(fold_idx, &best).is_eq()).collect();
    equals[rng.random_range(0..equals.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(folds: &Folds, targets: &Targets, label_idx: usize) -> Vec<usize> {
        let mut counts = vec![0; folds.n_folds()];
        for (row_idx, fold_idx) in folds.fold_of_row().iter().enumerate() {
            counts[*fold_idx] += usize::from(targets.row(row_idx).contains(&LabelId(label_idx)));
        }
        counts
    }

    fn spread(counts: &[usize]) -> usize {
        counts.iter().max().unwrap() - counts.iter().min().unwrap()
    }

    #[test]
    fn single_labels_are_dealt_evenly() {
        let supports = [50, 7, 3, 2, 1];
        let labels: Vec<LabelId> =
            supports.iter().enumerate().flat_map(|(label, &support)| vec![LabelId(label); support]).collect();
        let targets = Targets::Single(labels);
        for n_folds in [2, 5, 10] {
            let folds = Folds::stratified(&targets, supports.len(), n_folds, 1);
            for label_idx in 0..supports.len() {
                assert!(spread(&count(&folds, &targets, label_idx)) <= 1);
            }
            let sizes: Vec<usize> = (0..n_folds).map(|fold_idx| folds.held_out(fold_idx).len()).collect();
            assert!(spread(&sizes) <= 1, "{sizes:?}");
            assert!((0..n_folds).all(|fold_idx| folds.held_out(fold_idx).len() + folds.training(fold_idx).len() == 63));
        }
    }

    #[test]
    fn label_sets_are_spread_evenly() {
        let mut rng = generator(2, "folds test");
        let rates = [0.5, 0.2, 0.1, 0.02, 0.01, 0.005];
        let rows: Vec<Vec<LabelId>> = (0..600)
            .map(|_| (0..rates.len()).filter(|&label| rng.random::<f64>() < rates[label]).map(LabelId).collect())
            .collect();
        let targets = Targets::Multi(rows);
        let folds = Folds::stratified(&targets, rates.len(), 5, 1);
        for (label_idx, support) in targets.support(rates.len()).into_iter().enumerate() {
            let counts = count(&folds, &targets, label_idx);
            assert!(spread(&counts) <= 2, "label {label_idx} of {support} rows: {counts:?}");
        }
        let sizes: Vec<usize> = (0..5).map(|fold_idx| folds.held_out(fold_idx).len()).collect();
        assert!(spread(&sizes) <= 10, "{sizes:?}");
    }

    #[test]
    fn seeds_decide_and_sizes_are_clipped() {
        let targets = Targets::Single((0..40).map(|row_idx| LabelId(row_idx % 2)).collect());
        let with_seed = |seed| Folds::stratified(&targets, 2, 5, seed);
        assert_eq!(with_seed(1), with_seed(1));
        assert_ne!(with_seed(1), with_seed(2));
        assert_eq!(Folds::stratified(&targets, 2, 100, 1).n_folds(), 40);
        assert_eq!(Folds::stratified(&targets, 2, 0, 1).n_folds(), 2);
        assert!(Folds::stratified(&Targets::Multi(vec![]), 2, 5, 1).fold_of_row().is_empty());
    }
}
