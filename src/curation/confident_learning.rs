//! What given labels and out-of-fold probabilities say about errors in labels: confident learning, and a posterior built on it.
//!
//! Here every article has one of `n_classes` classes. A task of several labels is one such problem per label, with the classes no and yes.
//!
//! Counting follows Northcutt, Jiang & Chuang, *Confident Learning: Estimating Uncertainty in Dataset Labels*, JAIR 2021, as cleanlab
//! does it. The posterior is our own: cleanlab ranks by the probability of the given label, which a model that has learned the errors along
//! with the labels no longer finds small.

use ndarray::{Array2, ArrayView2, ArrayViewMut1, Axis, Zip};
use rayon::prelude::*;

/// A probability this much below its threshold still reaches it: means of equal numbers are not always equal to them. As in cleanlab.
const THRESHOLD_SLACK: f64 = 1e-6;

/// How much weight clear contradictions have over mild ones in telling which labels are taken for which. Where two labels are really alike,
/// both are probable, and with a small power such articles would pass for errors. Average precision with 5 % and 10 % of AG News changed at
/// random and 10 % towards the most confusable label: power 4 0.709, 0.793, 0.708; 8 0.737, 0.795, 0.716; 16 0.738, 0.795, 0.716;
/// 32 0.738, 0.795, 0.700.
const CONTRADICTION_POWER: i32 = 16;

/// At most this share of the errors goes by what was counted; the rest is spread over all pairs of labels, so that no pair is without any.
const MAX_COUNTED_SHARE: f64 = 0.95;

/// At most this share of a class may be mislabelled, or the classes would change places.
const MAX_ERROR_RATE: f64 = 0.9;

/// Steps that take the errors out of the probabilities. More follow the sampling noise of the error rates; 1 to 20 differ by 0.005 in
/// average precision.
const DECONVOLUTION_STEPS: usize = 2;

/// Rows that are computed together; fixed, so that results do not depend on the number of threads.
const CHUNK_ROWS: usize = 256;

/// A sum below this is taken for 0.
const TINY: f64 = 1e-12;

/// How given and true labels go together, found by counting articles whose label the probabilities are sure of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ConfidentJoint {
    /// Articles of each given label.
    pub(super) support: Vec<usize>,
    /// `[n_classes, n_classes]`: articles with the row's label that surely have the column's. At least 1 on the diagonal.
    pub(super) counts: Array2<f64>,
    /// The class that each article surely has.
    pub(super) confident: Vec<Option<usize>>,
}

impl ConfidentJoint {
    /// Counts; a class is sure where its probability reaches the mean over the articles that have it, and of several the most probable.
    ///
    /// # Shapes
    /// * `given` one class per article, all below `n_classes`
    /// * `probabilities` `[n_articles, n_classes]`
    pub(super) fn count(given: &[usize], probabilities: ArrayView2<f64>) -> Self {
        let n_classes = probabilities.ncols();
        let mut support = vec![0; n_classes];
        let mut sums = vec![0.0; n_classes];
        for (&class, row) in given.iter().zip(probabilities.rows()) {
            support[class] += 1;
            sums[class] += row[class];
        }
        // Nothing reaches the threshold of a class that no article has.
        let thresholds: Vec<f64> = sums
            .iter()
            .zip(&support)
            .map(|(sum, &n)| if n == 0 { f64::INFINITY } else { sum / n as f64 - THRESHOLD_SLACK })
            .collect();
        let mut counts = Array2::zeros((n_classes, n_classes));
        let mut confident = Vec::with_capacity(given.len());
        for (&class, row) in given.iter().zip(probabilities.rows()) {
            let mut sure = (0..n_classes).filter(|&k| row[k] >= thresholds[k]);
            let guess = match (sure.next(), sure.next()) {
                (Some(_), Some(_)) => Some(most_probable(row.iter().copied())),
                (only, _) => only,
            };
            if let Some(guess) = guess {
                counts[[class, guess]] += 1.0;
            }
            confident.push(guess);
        }
        counts.diag_mut().mapv_inplace(|count: f64| count.max(1.0));
        Self { support, counts, confident }
    }

    /// Estimated share of the articles whose label is wrong: what is off the diagonal, each row scaled to the articles that have its label.
    pub(super) fn error_rate(&self) -> f64 {
        let n_articles: usize = self.support.iter().sum();
        let wrong = self.support.iter().enumerate().map(|(class, &support)| {
            let row = self.counts.row(class);
            support as f64 * (1.0 - row[class] / row.sum())
        });
        wrong.sum::<f64>() / (n_articles as f64).max(1.0)
    }

    /// Estimated probabilities of the given label under each true one, `[n_classes (true), n_classes (given)]`; rows sum to 1.
    ///
    /// As many errors as [`ConfidentJoint::error_rate`] says, shared out among pairs of labels. Two ways to do so are mixed:
    ///
    /// * evenly, `E[z, j] ∝ support[z]`: every label is taken for each other one equally often
    /// * as counted, `C[z, j]`: an article counts for the pair of its given label and the most probable other one with weight
    ///   `(1 − p[given] / p[other])^16`
    ///
    /// The counts get the share `1 − (n_pairs − 1) / χ²`, at least 0, where `χ² = Σ (C − E)² / E` with `Σ E = Σ C`: what is more uneven than
    /// chance would make it (the positive part of James & Stein 1961, as for counts of a multinomial).
    pub(super) fn error_rates(&self, given: &[usize], probabilities: ArrayView2<f64>) -> Array2<f64> {
        let n_classes = self.support.len();
        let mut moved: Array2<f64> = Array2::zeros((n_classes, n_classes));
        for (&class, row) in given.iter().zip(probabilities.rows()) {
            if let Some(other) = most_probable_other(row.iter().copied(), class) {
                let ratio = if row[other] > 0.0 { (row[class] / row[other]).min(1.0) } else { 1.0 };
                moved[[other, class]] += (1.0 - ratio).powi(CONTRADICTION_POWER);
            }
        }
        let n_articles = given.len() as f64;
        let (n_wrong, total) = (self.error_rate() * n_articles, moved.sum());
        if total < TINY || n_wrong < TINY {
            return Array2::eye(n_classes);
        }
        let even = |class: usize| self.support[class] as f64 / n_articles / (n_classes - 1) as f64;
        let (mut n_pairs, mut chi_squared) = (0usize, 0.0);
        for ((class, other), count) in moved.indexed_iter() {
            let expected = total * even(class);
            if class != other && expected > 0.0 {
                n_pairs += 1;
                chi_squared += (count - expected).powi(2) / expected;
            }
        }
        let by_chance = n_pairs.saturating_sub(1) as f64;
        let counted = if chi_squared > by_chance { 1.0 - by_chance / chi_squared } else { 0.0 };
        let counted = counted.min(MAX_COUNTED_SHARE);
        for ((class, other), count) in moved.indexed_iter_mut() {
            if class != other {
                *count = n_wrong * (counted * *count / total + (1.0 - counted) * even(class));
            }
        }
        let (moved_from, moved_to) = (moved.sum_axis(Axis(1)), moved.sum_axis(Axis(0)));
        let mut rates = moved;
        for (class, mut row) in rates.outer_iter_mut().enumerate() {
            let n_true = self.support[class] as f64 - moved_to[class] + moved_from[class];
            let n_true = n_true.max(moved_from[class] / MAX_ERROR_RATE).max(TINY);
            row /= n_true;
            row[class] = 1.0 - (moved_from[class] / n_true);
        }
        rates
    }
}

/// Probabilities of every class being the true one, given the label and what the model says, `[n_articles, n_classes]`; rows sum to 1.
///
/// The model has learned labels with their errors: `p[i, j] = Σ_z q[i, z] · T[z, j]` where `T` are the error rates and `q` what it would say of
/// true labels. Two steps of Richardson (1972) and Lucy (1974) from `q = p` solve this without leaving the simplex. Then by Bayes
/// `P(true = z | given = j, i) ∝ q[i, z] · T[z, j]`.
///
/// # Shapes
/// * `given` one class per article
/// * `probabilities` `[n_articles, n_classes]`, rows sum to 1
/// * `rates` `[n_classes (true), n_classes (given)]`
pub(super) fn posterior(given: &[usize], probabilities: ArrayView2<f64>, rates: ArrayView2<f64>) -> Array2<f64> {
    let mut posterior = probabilities.to_owned();
    posterior
        .axis_chunks_iter_mut(Axis(0), CHUNK_ROWS)
        .into_par_iter()
        .zip(probabilities.axis_chunks_iter(Axis(0), CHUNK_ROWS).into_par_iter())
        .zip(given.par_chunks(CHUNK_ROWS))
        .for_each(|((mut q, p), given)| {
            for _ in 0..DECONVOLUTION_STEPS {
                let mut ratio = q.dot(&rates);
                Zip::from(&mut ratio).and(&p).for_each(|said, &p| *said = p / said.max(TINY));
                q *= &ratio.dot(&rates.t());
                q.outer_iter_mut().for_each(normalise);
            }
            for (mut row, &class) in q.outer_iter_mut().zip(given) {
                row *= &rates.column(class);
                normalise(row);
            }
        });
    posterior
}

fn normalise(mut row: ArrayViewMut1<f64>) {
    let sum = row.sum();
    if sum > 0.0 {
        row /= sum;
    }
}

/// The first place of the largest value.
pub(super) fn most_probable(values: impl Iterator<Item = f64>) -> usize {
    most_probable_other(values, usize::MAX).unwrap_or_default()
}

/// The first place of the largest value but for one place; `None` where there is no other.
pub(super) fn most_probable_other(values: impl Iterator<Item = f64>, without: usize) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (place, value) in values.enumerate() {
        if place != without && best.is_none_or(|(_, largest)| value > largest) {
            best = Some((place, value));
        }
    }
    best.map(|(place, _)| place)
}
