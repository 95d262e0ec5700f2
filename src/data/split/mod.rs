//! Articles divided into parts that are alike (stratified), or that differ in what the future will: the time, the source.
//!
//! Everything here works on numbers alone: labels as [`Targets`], a group per article, a [`Time`] per article. Same input and
//! seed, same parts.
//!
//! | wanted | see |
//! |---|---|
//! | every part like the whole | [`stratified`], or [`random`] where labels are not known |
//! | copies of one text, or articles of one source, never in two parts | the `groups` of both; [`groups_of`], [`merge_groups`] |
//! | train on the past, test on what came later | [`by_time`], [`at_times`] |
//! | how far from ideal the outcome is | [`Deviation`] |

mod board;
mod deviation;
mod groups;
mod refine;
mod stratify;
mod time;
mod units;

#[cfg(test)]
mod tests;

use rand::seq::SliceRandom;
use thiserror::Error;

pub use deviation::{Deviation, LabelSpread};
pub use groups::{groups_of, merge_groups};
pub use time::{Time, TimeError, at_times, by_time};

use crate::labels::Targets;
use crate::rng::generator;
use units::Units;

/// Most by which shares may sum to more than 1, so that 0.7 + 0.2 + 0.1 is no error.
const SHARE_TOLERANCE: f64 = 1e-9;

/// Most parts that articles are divided into.
pub const MAX_PARTS: usize = 100;

/// A part: its name and the share of all articles that it should have.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub name: String,
    /// In `(0, 1]`.
    pub share: f64,
}

/// The parts wanted, checked.
///
/// ```
/// use topicwire::data::split::Parts;
/// let parts = Parts::new([("train", 0.8), ("test", 0.2)])?;
/// assert_eq!(parts.sizes(12), [10, 2]);
/// assert!(Parts::new([("train", 0.8), ("test", 0.3)]).is_err());
/// # Ok::<(), topicwire::data::split::SplitError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Parts(Vec<Part>);

/// Why articles cannot be divided.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum SplitError {
    #[error("expected at least one part, found none")]
    NoParts,
    #[error("expected at most {MAX_PARTS} parts, found {found}")]
    TooManyParts { found: usize },
    #[error("expected 2 to {MAX_PARTS} folds, found {found}")]
    Folds { found: usize },
    #[error("the part `{name}` is named twice")]
    RepeatedPart { name: String },
    #[error("the share of `{name}` must be above 0 and at most 1, found {found}")]
    Share { name: String, found: f64 },
    #[error("the shares sum to {found}, more than 1")]
    ShareSum { found: f64 },
    #[error("{n_articles} articles cannot be divided into {n_parts} parts")]
    TooFewArticles { n_articles: usize, n_parts: usize },
    #[error("{n_groups} groups, none of which may straddle, cannot be divided into {n_parts} parts")]
    TooFewGroups { n_groups: usize, n_parts: usize },
    #[error("an article is in part {found}, counted from 0, of {n_parts} parts")]
    PartNumber { found: usize, n_parts: usize },
    #[error("{n_times} different times cannot be divided into {n_parts} parts")]
    TooFewTimes { n_times: usize, n_parts: usize },
    #[error("{n_parts} parts have {expected} times between them, found {found}", expected = .n_parts - 1)]
    Cuts { n_parts: usize, found: usize },
    #[error("the times between parts must ascend")]
    CutOrder,
}

impl Parts {
    /// Keeps the parts in the order given. Shares that sum to less than 1 leave articles out.
    ///
    /// # Errors
    /// No part or more than [`MAX_PARTS`], a name given twice, a share outside `(0, 1]`, or shares that sum to more than 1.
    pub fn new<S: Into<String>>(parts: impl IntoIterator<Item = (S, f64)>) -> Result<Self, SplitError> {
        let parts: Vec<Part> = parts.into_iter().map(|(name, share)| Part { name: name.into(), share }).collect();
        if parts.is_empty() {
            return Err(SplitError::NoParts);
        }
        if parts.len() > MAX_PARTS {
            return Err(SplitError::TooManyParts { found: parts.len() });
        }
        for (part_idx, part) in parts.iter().enumerate() {
            if parts[..part_idx].iter().any(|other| other.name == part.name) {
                return Err(SplitError::RepeatedPart { name: part.name.clone() });
            }
            if !(part.share > 0.0 && part.share <= 1.0) {
                return Err(SplitError::Share { name: part.name.clone(), found: part.share });
            }
        }
        let found: f64 = parts.iter().map(|part| part.share).sum();
        if found > 1.0 + SHARE_TOLERANCE {
            return Err(SplitError::ShareSum { found });
        }
        Ok(Self(parts))
    }

    /// `n_folds` parts of one size, named `fold-1` and so on.
    ///
    /// # Errors
    /// Fewer than two folds or more than [`MAX_PARTS`].
    pub fn folds(n_folds: usize) -> Result<Self, SplitError> {
        if !(2..=MAX_PARTS).contains(&n_folds) {
            return Err(SplitError::Folds { found: n_folds });
        }
        let share = 1.0 / n_folds as f64;
        Ok(Self((1..=n_folds).map(|fold| Part { name: format!("fold-{fold}"), share }).collect()))
    }

    /// The parts in order, at least one.
    pub fn as_slice(&self) -> &[Part] {
        &self.0
    }

    /// Number of parts, at least 1.
    #[allow(clippy::len_without_is_empty)] // never empty by construction
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The share of articles that go to no part.
    pub fn share_left_out(&self) -> f64 {
        let left_out = 1.0 - self.0.iter().map(|part| part.share).sum::<f64>();
        if left_out > SHARE_TOLERANCE { left_out } else { 0.0 }
    }

    /// How many of `n_articles` each part should have: the largest remainders are rounded up (Hamilton's method), so that the
    /// sum is that of the shares, rounded.
    pub fn sizes(&self, n_articles: usize) -> Vec<usize> {
        let mut sizes = self.sizes_with_rest(n_articles);
        sizes.truncate(self.0.len());
        sizes
    }

    /// As [`Parts::sizes`], with what goes to no part as one part more at the end; sums to `n_articles`.
    fn sizes_with_rest(&self, n_articles: usize) -> Vec<usize> {
        let shares = self.0.iter().map(|part| part.share).chain([self.share_left_out()]);
        let ideals: Vec<f64> = shares.map(|share| share * n_articles as f64).collect();
        let mut sizes: Vec<usize> = ideals.iter().map(|ideal| (ideal + SHARE_TOLERANCE).floor() as usize).collect();
        let mut order: Vec<usize> = (0..ideals.len()).collect();
        let remainder = |part_idx: usize| ideals[part_idx] - (ideals[part_idx] + SHARE_TOLERANCE).floor();
        order.sort_by(|&a, &b| remainder(b).total_cmp(&remainder(a)).then(a.cmp(&b)));
        let n_missing = n_articles.saturating_sub(sizes.iter().sum());
        order.iter().take(n_missing).for_each(|&part_idx| sizes[part_idx] += 1);
        sizes
    }

    fn check_articles(&self, n_articles: usize) -> Result<(), SplitError> {
        let n_parts = self.0.len();
        if n_articles < n_parts { Err(SplitError::TooFewArticles { n_articles, n_parts }) } else { Ok(()) }
    }
}

/// Which part each article is in.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    parts: Parts,
    part_of: Vec<Option<usize>>,
}

impl Split {
    /// A division made elsewhere, for [`Deviation::measure`].
    ///
    /// # Errors
    /// [`SplitError::PartNumber`].
    pub fn new(parts: Parts, part_of: Vec<Option<usize>>) -> Result<Self, SplitError> {
        match part_of.iter().flatten().find(|&&part_idx| part_idx >= parts.len()) {
            Some(&found) => Err(SplitError::PartNumber { found, n_parts: parts.len() }),
            None => Ok(Self { parts, part_of }),
        }
    }

    /// The parts in order.
    pub fn parts(&self) -> &[Part] {
        self.parts.as_slice()
    }

    /// The part of each article; `None` where the shares leave it out.
    pub fn part_of(&self) -> &[Option<usize>] {
        &self.part_of
    }

    /// How many articles each part has.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.parts.len()];
        self.part_of.iter().flatten().for_each(|&part_idx| sizes[part_idx] += 1);
        sizes
    }

    /// From parts in which one more stands for those left out.
    fn with_rest(parts: &Parts, part_of: Vec<usize>) -> Self {
        let part_of = part_of.into_iter().map(|part_idx| (part_idx < parts.len()).then_some(part_idx)).collect();
        Self { parts: parts.clone(), part_of }
    }
}

/// Parts that are each like the whole: every label, every pair of labels and, as far as can be, every set of labels has the
/// same share in all of them.
///
/// Without groups, sizes are exactly those of [`Parts::sizes`], and of the articles with one and the same set of labels each
/// part gets its share, rounded up or down (for one label per article: exact rounding of every class). Which of them are
/// rounded up is decided by iterative stratification: the rarest pair of labels first, then the rarest label, each article to
/// the part that lacks its labels most (Sechidis, Tsoumakas & Vlahavas, *On the Stratification of Multi-Label Data*, 2011;
/// pairs first: Szymański & Kajdanowicz, *A Network Perspective on Stratification of Multi-Label Data*, 2017). Then articles
/// change places as long as that brings labels and pairs nearer to ideal.
///
/// With `groups` (a number per article, of any kind) all articles of a group go to one part: the largest group first, to the
/// part that lacks it most, then groups move or change places. Sizes then are as near as that allows.
///
/// # Errors
/// Fewer articles or groups than parts.
///
/// # Panics
/// When a label is not below `n_labels`, or `groups` has another length than `targets`.
///
/// # Example
/// ```
/// use topicwire::data::split::{Parts, stratified};
/// use topicwire::labels::{LabelId, Targets};
/// let targets = Targets::Single([0, 0, 0, 0, 1, 1, 1, 1].map(LabelId).to_vec());
/// let split = stratified(&targets, 2, None, &Parts::new([("train", 0.5), ("test", 0.5)])?, 0)?;
/// let n_train = |rows: &[Option<usize>]| rows.iter().filter(|part| **part == Some(0)).count();
/// assert_eq!((n_train(&split.part_of()[..4]), n_train(&split.part_of()[4..])), (2, 2));
/// # Ok::<(), topicwire::data::split::SplitError>(())
/// ```
pub fn stratified(
    targets: &Targets,
    n_labels: usize,
    groups: Option<&[usize]>,
    parts: &Parts,
    seed: u64,
) -> Result<Split, SplitError> {
    parts.check_articles(targets.len())?;
    let units = match groups {
        Some(groups) => Units::of_groups(groups, Some((targets, n_labels))),
        None => Units::of_articles(targets, n_labels),
    };
    divide(units, parts, targets.len(), groups.is_some(), seed)
}

/// Parts by lot, labels not looked at: sizes exact, or with `groups` as near as groups that stay together allow.
///
/// # Errors
/// As [`stratified`].
///
/// # Panics
/// When `groups` has another length than `n_articles`.
pub fn random(n_articles: usize, groups: Option<&[usize]>, parts: &Parts, seed: u64) -> Result<Split, SplitError> {
    parts.check_articles(n_articles)?;
    if let Some(groups) = groups {
        assert_eq!(groups.len(), n_articles, "a group for every article");
        return divide(Units::of_groups(groups, None), parts, n_articles, true, seed);
    }
    let sizes = parts.sizes_with_rest(n_articles);
    let mut part_of: Vec<usize> =
        sizes.iter().enumerate().flat_map(|(part_idx, &size)| std::iter::repeat_n(part_idx, size)).collect();
    part_of.shuffle(&mut generator(seed, "random split"));
    Ok(Split::with_rest(parts, part_of))
}

fn divide(units: Units, parts: &Parts, n_articles: usize, is_grouped: bool, seed: u64) -> Result<Split, SplitError> {
    if units.len() < parts.len() {
        return Err(SplitError::TooFewGroups { n_groups: units.len(), n_parts: parts.len() });
    }
    let mut rng = generator(seed, "stratified split");
    let sizes = parts.sizes_with_rest(n_articles);
    let state = match is_grouped {
        true => stratify::groups(&units, &sizes, parts.len(), &mut rng),
        false => stratify::articles(&units, &sizes, parts.len(), &mut rng),
    };
    let mut part_of = vec![0; n_articles];
    for (unit_idx, rows) in units.rows.iter().enumerate() {
        rows.iter().for_each(|&row_idx| part_of[row_idx] = state[unit_idx]);
    }
    Ok(Split::with_rest(parts, part_of))
}
