//! Thresholds that keep a promise: how right the labels assigned without a person are, or how many are not overlooked, with a known
//! risk that the promise fails.
//!
//! # What is promised
//! With probability at least `1 − delta` over the articles the contract is fitted on, for future articles:
//!
//! | promise | per label | over all labels |
//! |---|---|---|
//! | `Precision(p)` | at least `p` of the articles that are assigned the label have it | at least `p` of the assignments are right |
//! | `Recall(r)` | at least `r` of the articles that have the label are assigned it, or shown to a person | at least `r` of the labels that articles have are |
//!
//! * **Per label** each label has its own risk `delta`: of twenty labels at 0.1, two may be expected to fall short at worst.
//! * **Over all labels** one threshold on the calibrated probability serves all labels, and one that is mostly wrong may hide among
//!   nineteen that are right. Several labels of one article stand or fall together, so with `multi` the article is the unit: *the average, over
//!   articles with at least one automatic label, of the share of their automatic labels that are right* (recall: over articles with at
//!   least one label, of the share of their labels found). Articles with many labels count no more than those with one.
//! * It is a promise about the average of what comes, not about every batch or article.
//!
//! # What it assumes
//! That articles to come are like those it was fitted on: drawn from the same source, so that any order of them all would be as likely (they are
//! *exchangeable*). News that changes, another source, or labelled articles picked by hand break that. And that the classifier did not learn
//! from the articles that certify it. Out-of-fold probabilities are nearly, not wholly so: each comes from a head that did not
//! see its article, but these heads are not the final one, which has learned from all articles and is a little better, and its strength, the
//! weights of views and the calibration were chosen with these articles in view. Strictly the guarantee holds for held-out articles only.
//! How much that matters was measured, by `scripts/measure_contract_folds.py`:
//!
//! | training articles, promise of precision over all labels | out of fold: broken, assigned | as many held out: broken, assigned |
//! |---|---|---|
//! | AG News, 1,000, 0.9 | 4 % of 100 runs, 83 % of articles | 4 %, 83 % |
//! | AG News, 1,000, 0.95 | 4 %, 40 % | 4 %, 37 % |
//! | BANKING77, 1,500, 0.9 | 3 % of 70 runs, 91 % | 1 %, 91 % |
//! | BANKING77, 1,500, 0.95 | 3 %, 77 % | 0 %, 76 % |
//!
//! So out of fold the promise was kept, at `delta` 0.1, with room to spare.
//!
//! # How it is kept
//! * *Precision*: the file `rungs.rs` lists the thresholds tried and controls the error of having tried them all. Each is tested by the exact binomial
//!   tail ([`binomial`]): of `n` articles at or above it, `k` right.
//! * *Recall* falls as the threshold rises, so the largest threshold that passes can be taken without correction (Bates, Angelopoulos, Lei,
//!   Malik & Jordan, *Distribution-free, risk-controlling prediction sets*, 2021; the same as the tolerance limits of Wilks, 1941): the
//!   probability of the `k`-th most probable article that has the label, `k` the least number that `n` such articles must find.
//! * *Over all labels of `multi`*: one of an article's labels is drawn, all alike, by the seed, and it is right or wrong. The chance that it is right is the
//!   average share above, articles are independent, so the same exact tails hold. `scripts/compare_contract_procedures.py` compares this with bounds
//!   for averages of shares as they are.
//!
//! Calibration is not assumed: where probabilities are off, fewer thresholds pass.

pub mod binomial;
mod decision;
mod kept;
mod rungs;

use std::fmt;

use ndarray::{ArrayView1, ArrayView2};
use rand::RngExt;
use serde::{Deserialize, Serialize};

pub use self::decision::{Reason, ReasonText, RowDecision, Status};
pub use self::kept::{Kept, KeptShare};
use self::rungs::{Rung, Tested};
use super::thresholds::{Aim, Thresholds};
use super::{CalibrationError, check_targets};
use crate::labels::{LabelId, Targets, Task};
use crate::rng::generator;

/// What is promised; the share is inside 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// At least this share of what is assigned automatically is right.
    Precision(f64),
    /// At least this share of what is there is assigned or shown to a person.
    Recall(f64),
}

impl Promise {
    /// The promise that an aim asks for; none for `f1` and `fixed`.
    pub fn from_aim(aim: Aim) -> Option<Self> {
        match aim {
            Aim::Precision(share) => Some(Self::Precision(share)),
            Aim::Recall(share) => Some(Self::Recall(share)),
            Aim::F1 | Aim::Fixed(_) => None,
        }
    }

    /// The promised share.
    pub fn share(self) -> f64 {
        match self {
            Self::Precision(share) | Self::Recall(share) => share,
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Precision(share) => write!(f, "precision>={share}"),
            Self::Recall(share) => write!(f, "recall>={share}"),
        }
    }
}

/// For what the promise is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// For each label by itself, with a threshold of its own.
    #[default]
    PerLabel,
    /// For all labels together, with one threshold.
    AllLabels,
}

/// What a contract is fitted with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContractSettings {
    pub promise: Promise,
    /// The risk that the promise fails, inside 0 to 1.
    pub delta: f64,
    pub scope: Scope,
    /// Seed of the draws over all labels of `multi`.
    pub seed: u64,
}

impl ContractSettings {
    /// Per label, at a risk of 0.1.
    pub fn new(promise: Promise) -> Self {
        Self { promise, delta: 0.1, scope: Scope::PerLabel, seed: 0 }
    }

    /// Whether the numbers can be promised.
    ///
    /// # Errors
    /// [`CalibrationError::Setting`] where the share or `delta` is not inside 0 to 1.
    pub fn check(&self) -> Result<(), CalibrationError> {
        let what = match self.promise {
            Promise::Precision(_) => "precision",
            Promise::Recall(_) => "recall",
        };
        for (what, found) in [(what, self.promise.share()), ("delta", self.delta)] {
            if !(found > 0.0 && found < 1.0) {
                return Err(CalibrationError::Setting {
                    what,
                    expected: "a number between 0 and 1, neither included",
                    found,
                });
            }
        }
        Ok(())
    }
}

/// The evidence for one threshold, or, where none was certified, for the one that came nearest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The certified threshold, if any.
    pub threshold: Option<f64>,
    /// Articles that judge it: with precision those assigned from it on, with recall those that have the label.
    pub n_articles: usize,
    /// Of these, how many are right or found.
    pub n_right: usize,
    /// The risk it was tested at, at most `delta`.
    pub level: f64,
    /// Clopper & Pearson's lower bound of the share at that risk; at least the promised share where there is a threshold.
    pub lower_bound: f64,
    /// Exact p-value of "the share is not better than promised"; at most `level` where there is a threshold.
    pub p_value: f64,
}

/// What the contract does to articles like those it was fitted on. Shares are 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// Articles counted.
    pub n_articles: usize,
    /// Share of articles that need no person.
    pub coverage: f64,
    /// Share of articles that need none and have a label; the rest of `coverage` is automatically without one.
    pub labelled: f64,
    /// Share of articles that need a person, `1 − coverage`.
    pub review_load: f64,
    /// Labels for a person per article, counting those that need none.
    pub review_labels: f64,
    /// Of all labels assigned or for a person, the share assigned; 1 where there is none.
    pub automatic_labels: f64,
}

/// A promise, and the thresholds that keep it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    pub task: Task,
    pub promise: Promise,
    /// The risk that the promise fails.
    pub delta: f64,
    pub scope: Scope,
    /// One per label, 0 to 1; none where the promise cannot be made.
    pub thresholds: Vec<Option<f64>>,
    /// One per label, or a single one over all labels.
    pub certificates: Vec<Certificate>,
    pub expected: Expected,
}

impl Contract {
    /// Chooses thresholds on calibrated `probabilities` `[n_articles, n_labels]` of articles that the classifier did not learn from.
    ///
    /// `ordinary` thresholds, needed with `multi` and only there, say which labels are [for a person](Contract::decide).
    ///
    /// The promise is made for as many labels as the articles can prove it for: with `delta` 0.1, a precision of 0.95 needs 45
    /// articles without a mistake, a recall of 0.9 needs 22.
    ///
    /// # Errors
    /// Settings out of range, shapes that differ, no article, probabilities outside 0 to 1, thresholds for `single` or none for `multi`.
    pub fn fit(
        probabilities: ArrayView2<f64>,
        targets: &Targets,
        ordinary: Option<&Thresholds>,
        settings: &ContractSettings,
    ) -> Result<Self, CalibrationError> {
        settings.check()?;
        let (n_articles, n_labels) = probabilities.dim();
        check_targets(n_articles, n_labels, targets)?;
        check_ordinary(targets.task(), n_labels, ordinary)?;
        if let Some(((row_idx, label_idx), &value)) =
            probabilities.indexed_iter().find(|(_, p)| !(0.0..=1.0).contains(*p))
        {
            return Err(CalibrationError::Probability { row_idx, label_idx, value });
        }
        let certificates = certificates(probabilities, targets, settings);
        let thresholds = match settings.scope {
            Scope::PerLabel => certificates.iter().map(|certificate| certificate.threshold).collect(),
            Scope::AllLabels => vec![certificates[0].threshold; n_labels],
        };
        let mut contract = Self {
            task: targets.task(),
            promise: settings.promise,
            delta: settings.delta,
            scope: settings.scope,
            thresholds,
            certificates,
            expected: Expected::NOTHING,
        };
        contract.expected = contract.expect(probabilities, ordinary)?;
        Ok(contract)
    }

    /// What the contract does to articles with these probabilities `[n_articles, n_labels]`.
    ///
    /// # Errors
    /// As [`Contract::decide`].
    pub fn expect(
        &self,
        probabilities: ArrayView2<f64>,
        ordinary: Option<&Thresholds>,
    ) -> Result<Expected, CalibrationError> {
        let (mut n_auto, mut n_labelled, mut n_assigned, mut n_review) = (0_usize, 0_usize, 0_usize, 0_usize);
        for row in probabilities.rows() {
            let decision = self.decide(&row.to_vec(), ordinary)?;
            n_assigned += decision.labels.len();
            n_review += decision.review.len();
            if decision.status() == Status::Auto {
                n_auto += 1;
                n_labelled += usize::from(!decision.labels.is_empty());
            }
        }
        let n_articles = probabilities.nrows();
        let of = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
        Ok(Expected {
            n_articles,
            coverage: of(n_auto, n_articles),
            labelled: of(n_labelled, n_articles),
            review_load: of(n_articles - n_auto, n_articles),
            review_labels: of(n_review, n_articles),
            automatic_labels: if n_assigned + n_review == 0 { 1.0 } else { of(n_assigned, n_assigned + n_review) },
        })
    }

    /// Whether what was read from a file can be applied to a classifier of this task with this many labels.
    ///
    /// # Errors
    /// Another task, another number of thresholds or certificates, a share or threshold out of range.
    pub fn check(&self, task: Task, n_labels: usize) -> Result<(), CalibrationError> {
        let settings = ContractSettings { promise: self.promise, delta: self.delta, scope: self.scope, seed: 0 };
        settings.check()?;
        if self.task != task {
            return Err(CalibrationError::ContractTask { expected: task, found: self.task });
        }
        let n_certificates = if self.scope == Scope::AllLabels { 1 } else { n_labels };
        for (what, expected, found) in [
            ("the list of the contract's thresholds", n_labels, self.thresholds.len()),
            ("the list of the contract's certificates", n_certificates, self.certificates.len()),
        ] {
            if expected != found {
                return Err(CalibrationError::NLabels { what, expected, found });
            }
        }
        for (label_idx, threshold) in self.thresholds.iter().enumerate() {
            if let Some(found) = threshold.filter(|threshold| !(0.0..=1.0).contains(threshold)) {
                return Err(CalibrationError::Threshold { label_idx, found });
            }
        }
        Ok(())
    }
}

impl Expected {
    const NOTHING: Self = Self {
        n_articles: 0,
        coverage: 0.0,
        labelled: 0.0,
        review_load: 0.0,
        review_labels: 0.0,
        automatic_labels: 1.0,
    };
}

/// Thresholds go with `multi` and only there.
fn check_ordinary(task: Task, n_labels: usize, ordinary: Option<&Thresholds>) -> Result<(), CalibrationError> {
    match (task, ordinary) {
        (Task::Single, None) => Ok(()),
        (Task::Multi, Some(thresholds)) if thresholds.as_slice().len() == n_labels => Ok(()),
        (Task::Multi, Some(thresholds)) => {
            let found = thresholds.as_slice().len();
            Err(CalibrationError::NLabels { what: "the list of thresholds", expected: n_labels, found })
        }
        (Task::Single, Some(_)) | (Task::Multi, None) => Err(CalibrationError::ContractOrdinary { task }),
    }
}

/// An article that judges thresholds: from which probability on it counts, and whether it is right.
#[derive(Clone, Copy, Debug)]
struct Judged {
    probability: f64,
    is_right: bool,
}

fn certificates(probabilities: ArrayView2<f64>, targets: &Targets, settings: &ContractSettings) -> Vec<Certificate> {
    let share = settings.promise.share();
    let delta = settings.delta;
    match (settings.promise, settings.scope) {
        (Promise::Precision(_), Scope::PerLabel) => {
            let rungs = rungs::rungs(share);
            assigned_by_label(probabilities, targets)
                .iter()
                .map(|judged| best_certified(&rungs::test(&rungs, &count(&rungs, judged), share, delta)))
                .collect()
        }
        (Promise::Precision(_), Scope::AllLabels) => {
            let rungs = rungs::rungs(share);
            let counts = match targets.task() {
                Task::Single => {
                    let judged = assigned_by_label(probabilities, targets).concat();
                    count(&rungs, &judged)
                }
                Task::Multi => count_drawn(&rungs, probabilities, targets, settings.seed),
            };
            vec![best_certified(&rungs::test(&rungs, &counts, share, delta))]
        }
        (Promise::Recall(_), Scope::PerLabel) => {
            let mut found = vec![Vec::new(); probabilities.ncols()];
            for (row_idx, row) in probabilities.rows().into_iter().enumerate() {
                for label in targets.row(row_idx) {
                    found[label.0].push(row[label.0]);
                }
            }
            found.into_iter().map(|probabilities| largest_that_finds(probabilities, share, delta)).collect()
        }
        (Promise::Recall(_), Scope::AllLabels) => {
            let draws = draws(targets.len(), settings.seed);
            let drawn = (0..targets.len())
                .filter_map(|row_idx| {
                    let label = draw(targets.row(row_idx), draws[row_idx])?;
                    Some(probabilities[[row_idx, label.0]])
                })
                .collect();
            vec![largest_that_finds(drawn, share, delta)]
        }
    }
}

/// For each label the articles that may be assigned it: with `single` those whose most probable label it is, with `multi` all.
fn assigned_by_label(probabilities: ArrayView2<f64>, targets: &Targets) -> Vec<Vec<Judged>> {
    let mut by_label = vec![Vec::new(); probabilities.ncols()];
    for (row_idx, row) in probabilities.rows().into_iter().enumerate() {
        let own = targets.row(row_idx);
        let judged =
            |label_idx: usize| Judged { probability: row[label_idx], is_right: own.contains(&LabelId(label_idx)) };
        match targets.task() {
            Task::Single => {
                if let Some(best) = most_probable(row) {
                    by_label[best].push(judged(best));
                }
            }
            Task::Multi => {
                for (label_idx, list) in by_label.iter_mut().enumerate() {
                    list.push(judged(label_idx));
                }
            }
        }
    }
    by_label
}

fn most_probable(row: ArrayView1<f64>) -> Option<usize> {
    decision::most_probable(&row.to_vec())
}

/// How many articles reach each rung, and how many of them are right.
fn count(rungs: &[Rung], judged: &[Judged]) -> Vec<(usize, usize)> {
    rungs
        .iter()
        .map(|rung| {
            let reach = judged.iter().filter(|judged| judged.probability >= rung.threshold);
            reach.fold((0, 0), |(n, n_right), judged| (n + 1, n_right + usize::from(judged.is_right)))
        })
        .collect()
}

/// The same over all labels of `multi`: of an article's automatic labels one is drawn, by the same number at every rung.
fn count_drawn(rungs: &[Rung], probabilities: ArrayView2<f64>, targets: &Targets, seed: u64) -> Vec<(usize, usize)> {
    let draws = draws(targets.len(), seed);
    rungs
        .iter()
        .map(|rung| {
            let (mut n, mut n_right) = (0, 0);
            for (row_idx, row) in probabilities.rows().into_iter().enumerate() {
                let automatic: Vec<LabelId> = row
                    .iter()
                    .enumerate()
                    .filter(|(_, probability)| **probability >= rung.threshold)
                    .map(|(label_idx, _)| LabelId(label_idx))
                    .collect();
                if let Some(label) = draw(&automatic, draws[row_idx]) {
                    n += 1;
                    n_right += usize::from(targets.row(row_idx).contains(&label));
                }
            }
            (n, n_right)
        })
        .collect()
}

/// A number in `[0, 1)` per article.
fn draws(n_articles: usize, seed: u64) -> Vec<f64> {
    let mut generator = generator(seed, "labels of a contract");
    (0..n_articles).map(|_| generator.random()).collect()
}

fn draw(labels: &[LabelId], number: f64) -> Option<LabelId> {
    labels.get((number * labels.len() as f64) as usize).copied()
}

/// The lowest certified threshold, or the one with the smallest p-value.
fn best_certified(tested: &[Tested]) -> Certificate {
    let certified = tested.iter().rev().find(|tested| tested.is_certified());
    let nearest = || tested.iter().min_by(|a, b| a.p_value.total_cmp(&b.p_value));
    let best = certified.or_else(nearest).expect("there is a threshold at the promise itself");
    Certificate {
        threshold: certified.map(|tested| tested.rung.threshold),
        n_articles: best.n,
        n_right: best.n_right,
        level: best.level,
        lower_bound: binomial::lower_bound(best.n, best.n_right, best.level),
        p_value: best.p_value,
    }
}

/// The largest threshold that surely finds `share` of articles, by the probabilities of those that are to be found.
fn largest_that_finds(mut probabilities: Vec<f64>, share: f64, delta: f64) -> Certificate {
    probabilities.sort_by(|a, b| b.total_cmp(a));
    let n = probabilities.len();
    let threshold = binomial::least_right(n, share, delta)
        .and_then(|least| least.checked_sub(1))
        .and_then(|place| probabilities.get(place).copied());
    let n_right = match threshold {
        Some(threshold) => probabilities.iter().filter(|probability| **probability >= threshold).count(),
        None => n,
    };
    Certificate {
        threshold,
        n_articles: n,
        n_right,
        level: delta,
        lower_bound: binomial::lower_bound(n, n_right, delta),
        p_value: binomial::upper_tail(n, n_right, share),
    }
}

#[cfg(test)]
mod tests;
