//! How assignments and truth go together, and the label frequencies that explain a batch's assignments.

use ndarray::{Array1, Array2, ArrayView2};

use super::super::check_targets;
use super::{CalibrationError, ShiftSettings, bounded_odds};
use crate::labels::{Targets, Task};

/// Counts are smoothed by so many articles spread evenly over the two outcomes, so that no rate is 0 or 1.
const SMOOTHING_ARTICLES: f64 = 1.0;
/// Change of the square root of a frequency that ends the search.
const TOLERANCE: f64 = 1e-12;
/// At least one digit is gained in `2.3 · √((n_articles + prior) / prior)` steps.
const MAX_STEPS: usize = 20_000;
/// Halvings of an interval of size 1 or so; more than a double has digits.
const N_HALVINGS: usize = 100;

/// What was assigned out of fold against what was true.
#[derive(Clone, Debug, PartialEq)]
pub enum Confusion {
    /// `[n_labels, n_labels]`, the share of articles assigned the first label that have the second.
    Single(Array2<f64>),
    /// Each label on its own.
    Multi(Vec<Rates>),
}

/// How often a label is assigned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Share of articles that have it.
    pub training: f64,
    /// To those that have it, smoothed.
    pub hit: f64,
    /// To those that do not, smoothed.
    pub false_alarm: f64,
}

impl Confusion {
    /// Counts out-of-fold `decisions`, `[n_articles, n_labels]`, against the truth.
    ///
    /// # Errors
    /// Shapes that differ, no article at all, an article of one label that was assigned none or several.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::calibration::shift::Confusion;
    /// use topicwire::labels::{LabelId, Targets};
    /// let targets = Targets::Single(vec![LabelId(0), LabelId(1), LabelId(1), LabelId(1)]);
    /// let decisions = array![[true, false], [true, false], [false, true], [false, true]];
    /// let Confusion::Single(shares) = Confusion::fit(decisions.view(), &targets)? else { unreachable!() };
    /// assert_eq!(shares, array![[0.25, 0.25], [0.0, 0.5]]);
    /// # Ok::<(), topicwire::calibration::CalibrationError>(())
    /// ```
    pub fn fit(decisions: ArrayView2<bool>, targets: &Targets) -> Result<Self, CalibrationError> {
        let (n_articles, n_labels) = decisions.dim();
        check_targets(n_articles, n_labels, targets)?;
        Ok(match targets {
            Targets::Single(labels) => {
                let mut shares = Array2::zeros((n_labels, n_labels));
                for (assigned, label) in assigned_labels(decisions)?.into_iter().zip(labels) {
                    shares[[assigned, label.0]] += 1.0 / n_articles as f64;
                }
                Self::Single(shares)
            }
            Targets::Multi(_) => {
                let indicator = targets.indicator(n_labels);
                let columns = decisions.columns().into_iter().zip(indicator.columns());
                let rates = columns.map(|(decisions, truth)| {
                    let count = |has: bool| truth.iter().filter(|&&truth| truth == has).count() as f64;
                    let assigned = |has: bool| {
                        decisions.iter().zip(truth).filter(|&(&d, &truth)| d && truth == has).count() as f64
                    };
                    let rate = |has| (assigned(has) + SMOOTHING_ARTICLES / 2.0) / (count(has) + SMOOTHING_ARTICLES);
                    Rates { training: count(true) / n_articles as f64, hit: rate(true), false_alarm: rate(false) }
                });
                Self::Multi(rates.collect())
            }
        })
    }

    /// The kind of task.
    pub fn task(&self) -> Task {
        match self {
            Self::Single(_) => Task::Single,
            Self::Multi(_) => Task::Multi,
        }
    }

    /// Share of training articles of each label.
    pub(super) fn training_shares(&self) -> Vec<f64> {
        match self {
            Self::Single(shares) => shares.columns().into_iter().map(|label| label.sum()).collect(),
            Self::Multi(rates) => rates.iter().map(|rates| rates.training).collect(),
        }
    }

    /// The shares of a batch that explain its `decisions`; `training` are those of training, kept off 0 and 1.
    pub(super) fn explain(
        &self,
        decisions: ArrayView2<bool>,
        training: &[f64],
        settings: ShiftSettings,
    ) -> Result<Vec<f64>, CalibrationError> {
        if decisions.ncols() != training.len() {
            let (expected, found) = (training.len(), decisions.ncols());
            return Err(CalibrationError::NLabels { what: "the matrix of decisions", expected, found });
        }
        match self {
            Self::Single(shares) => {
                let mut counts = vec![0.0; training.len()];
                assigned_labels(decisions)?.into_iter().for_each(|label_idx| counts[label_idx] += 1.0);
                Ok(explain_categorical(shares, &counts, training, settings))
            }
            Self::Multi(rates) => {
                let columns = decisions.columns().into_iter().zip(rates).zip(training);
                let share = columns.map(|((decisions, rates), &training)| {
                    let n_assigned = decisions.iter().filter(|assigned| **assigned).count();
                    rates.explain(n_assigned, decisions.len(), training, settings)
                });
                Ok(share.collect())
            }
        }
    }
}

/// The one label of each article.
fn assigned_labels(decisions: ArrayView2<bool>) -> Result<Vec<usize>, CalibrationError> {
    let rows = decisions.rows().into_iter().enumerate();
    rows.map(|(row_idx, row)| {
        let assigned: Vec<usize> = (0..row.len()).filter(|&label_idx| row[label_idx]).collect();
        match assigned.as_slice() {
            [label_idx] => Ok(*label_idx),
            others => Err(CalibrationError::DecisionCount { row_idx, found: others.len() }),
        }
    })
    .collect()
}

impl Rates {
    /// Minimises `n (q(π') − q̂)² / (q (1 − q)) + prior (π' − π)² / (π (1 − π))` with `q(π') = π' · hit + (1 − π') · false_alarm`, `q̂` the share
    /// that was assigned and `q` its expectation in training.
    fn explain(&self, n_assigned: usize, n_articles: usize, training: f64, settings: ShiftSettings) -> f64 {
        let slope = self.hit - self.false_alarm;
        let expected = training * self.hit + (1.0 - training) * self.false_alarm;
        // Assignments beyond what is expected; of no article none.
        let surplus = n_assigned as f64 - n_articles as f64 * expected;
        let variance = expected * (1.0 - expected);
        let precision = n_articles as f64 * slope * slope / variance;
        let prior_precision = settings.prior_articles(training) / (training * (1.0 - training));
        let share = training + slope * surplus / variance / (precision + prior_precision);
        bounded_odds(share, training, settings.max_odds_ratio)
    }
}

/// Minimises `n Σ (q_i(π') − q̂_i)² / q_i + prior Σ (π'_k − π_k)² / π_k` over frequencies that add up to 1 and are within the bound, with
/// `q(π') = confusion · π' / π`.
///
/// In `u = π' / √π` the first sum has eigenvalues of at most `n`, as a contingency table's correlations are at most 1, and the
/// second is `prior` times the identity: accelerated projected gradients with known constants (Nesterov 2004, § 2.2).
fn explain_categorical(confusion: &Array2<f64>, counts: &[f64], training: &[f64], settings: ShiftSettings) -> Vec<f64> {
    let n: f64 = counts.iter().sum();
    if n == 0.0 {
        return training.to_vec();
    }
    let n_labels = training.len();
    let roots: Vec<f64> = training.iter().map(|share| share.sqrt()).collect();
    // Expected assignments in training, none of them at 0.
    let floor = SMOOTHING_ARTICLES / (n + SMOOTHING_ARTICLES) / n_labels as f64;
    let expected: Vec<f64> = confusion.rows().into_iter().map(|row| row.sum().max(floor)).collect();
    let design =
        Array2::from_shape_fn((n_labels, n_labels), |(i, k)| confusion[[i, k]] / roots[k] / expected[i].sqrt());
    let observed = Array1::from_shape_fn(n_labels, |i| counts[i] / n / expected[i].sqrt());
    let (prior, start) = (settings.prior_positives * n_labels as f64, Array1::from(roots.clone()));
    let condition = ((n + prior) / prior).sqrt();
    let momentum = (condition - 1.0) / (condition + 1.0);
    let (mut here, mut ahead) = (start.clone(), start.clone());
    for _ in 0..MAX_STEPS {
        let gradient = design.t().dot(&(design.dot(&ahead) - &observed)) * n + (&ahead - &start) * prior;
        let next = project(
            (&ahead - &(gradient / (n + prior))).as_slice().expect("contiguous"),
            &roots,
            settings.max_odds_ratio,
        );
        let change = (&next - &here).iter().fold(0.0f64, |max, x| max.max(x.abs()));
        ahead = &next + &((&next - &here) * momentum);
        here = next;
        if change <= TOLERANCE {
            break;
        }
    }
    here.iter().zip(&roots).map(|(u, root)| u * root).collect()
}

/// The nearest point with `Σ √π · u = 1` and every `u / √π` within the bound.
fn project(point: &[f64], roots: &[f64], max_ratio: f64) -> Array1<f64> {
    let at = |level: f64| -> Array1<f64> {
        let pairs = point.iter().zip(roots);
        pairs.map(|(u, root)| (u - level * root).clamp(root / max_ratio, root * max_ratio)).collect()
    };
    let excess = |level: f64| at(level).iter().zip(roots).map(|(u, root)| u * root).sum::<f64>() - 1.0;
    // The sum falls with the level; at these all are at one bound.
    let ratios = || point.iter().zip(roots).map(|(u, root)| u / root);
    let mut low = ratios().fold(f64::INFINITY, f64::min) - max_ratio;
    let mut high = ratios().fold(f64::NEG_INFINITY, f64::max) - 1.0 / max_ratio;
    for _ in 0..N_HALVINGS {
        let middle = 0.5 * (low + high);
        if excess(middle) > 0.0 { low = middle } else { high = middle }
    }
    at(0.5 * (low + high))
}
