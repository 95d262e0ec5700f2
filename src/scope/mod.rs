//! How unlike the training articles an article is, and from where on it is called foreign.
//!
//! A classifier gives every article one of its labels, also one that is about none of them. Two measures of its embedding `x` tell, both after
//! whitening with the covariance within labels (Ledoit and Wolf's, one for all labels):
//!
//! * the squared Mahalanobis distance to the nearest label mean, `min over k of (x − m_k)ᵀ Σ⁻¹ (x − m_k)` (Lee et al., "A simple
//!   unified framework for detecting out-of-distribution samples and adversarial attacks", 2018): large for text of another kind
//! * the angle to the label mean that is nearest in direction, seen from the mean `m` of all articles: minus
//!   `max over k of cos(L⁻¹ (x − m), L⁻¹ (m_k − m))` with `L Lᵀ = Σ`: large for the same kind of text on another topic
//!
//! The score is the mean of both, each standardised by its mean and standard deviation over training articles that were judged by folds
//! they are not in. It has no unit; [`Reference::p_value`] says what it means.
//!
//! Chosen by measurement among distances to neighbours, Mahalanobis distances (also relative and to one mean), rests outside the
//! principal axes, probabilities and energies; `scripts/measure_scope.py` repeats it, `docs/results.md` has its table.
//!
//! **Harms** where texts differ in nothing but what the encoder overlooks, and helps little with several labels per article: an article on an
//! unknown topic mostly has a known one too, and is then not foreign. Very short texts are unlike long ones whatever they are about.

mod classes;
mod cutoff;
mod shrinkage;
mod triangular;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;
use thiserror::Error;

use self::classes::{Classes, Measures};
pub use self::cutoff::{Cutoff, Reference};
use self::triangular::packed_len;
use crate::labels::Targets;

/// False-alarm rate for whoever names none: one article in twenty of the training's kind is called foreign.
pub const DEFAULT_FALSE_ALARM_RATE: f64 = 0.05;

/// What can go wrong when a scope is fitted or used.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ScopeError {
    #[error("cannot tell what is foreign without any training article")]
    NoArticles,
    #[error("cannot fit a scope: {n_embeddings} embeddings but {what} of {found} articles")]
    RowCount { what: &'static str, n_embeddings: usize, found: usize },
    #[error("embeddings have {found} columns, the scope expects {expected}")]
    HiddenSize { expected: usize, found: usize },
    #[error("embedding {row_idx} holds {value} in column {column_idx}; all values must be finite")]
    NonFinite { row_idx: usize, column_idx: usize, value: f32 },
    #[error("article {row_idx} is in fold number {fold}, but there are {n_folds} folds")]
    FoldOutOfRange { row_idx: usize, fold: usize, n_folds: usize },
    #[error("cannot fit a scope out of fold: all articles are in fold number {fold}, none is left to judge them by")]
    OneFold { fold: usize },
    #[error("a false-alarm rate must be above 0 and below 1, found {found}")]
    Rate { found: f64 },
    #[error(
        "a false-alarm rate of {rate} needs the scores of at least {needed} training articles, there are {n_scores}"
    )]
    TooFewScores { rate: f64, n_scores: usize, needed: usize },
    #[error("the score of article {row_idx} is {value}; all scores must be finite")]
    NonFiniteScore { row_idx: usize, value: f64 },
    #[error("the scope keeps {n_scores} scores of {n_articles} articles, expected {expected}")]
    Reference { n_scores: usize, n_articles: usize, expected: &'static str },
    #[error("{part} of the scope holds {found} numbers, expected {expected}")]
    PartLength { part: &'static str, expected: usize, found: usize },
    #[error("{part} of the scope holds {value} at place {place}, expected {expected}")]
    PartValue { part: &'static str, place: usize, value: f64, expected: &'static str },
}

/// What a [`Scope`] is made of, to be saved and read.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeParts {
    /// Mean of all embeddings, `[hidden_size]`.
    pub mean: Array1<f32>,
    /// The lower triangle `L⁻¹` of `Σ = L Lᵀ` by rows: `hidden_size · (hidden_size + 1) / 2` numbers.
    pub whitening: Vec<f32>,
    /// `L⁻¹ (m_k − mean)` of every label that training articles have, and of having none; `[n_classes, hidden_size]`.
    pub centers: Array2<f32>,
    /// Mean and standard deviation of the squared distance, out of fold.
    pub distance: [f64; 2],
    /// Mean and standard deviation of minus the cosine, out of fold.
    pub angle: [f64; 2],
    /// Out-of-fold scores of training articles, thinned out.
    pub reference: Reference,
}

/// How unlike the training articles an article is. The head of [`self`] has the formula.
///
/// ```
/// use ndarray::{Array2, array};
/// use topicwire::labels::{LabelId, Targets};
/// use topicwire::scope::Scope;
/// // Forty articles on two topics, apart in the first column.
/// let embeddings = Array2::from_shape_fn((40, 2), |(i, j)| {
///     let place = if j == 0 && i % 2 == 0 { 1.0 } else { 0.0 };
///     place + 0.1 * ((i * (j + 3)) as f32).sin()
/// });
/// let targets = Targets::Single((0..40).map(|i| LabelId(i % 2)).collect());
/// let folds: Vec<usize> = (0..40).map(|i| i / 2 % 5).collect();
/// let (scope, out_of_fold) = Scope::fit(embeddings.view(), &targets, &folds, 5)?;
/// assert_eq!(out_of_fold.len(), 40);
/// let scores = scope.scores(array![[1.0, 0.0], [0.5, 3.0]].view())?;
/// let cutoff = scope.reference().cutoff(0.05)?;
/// assert!(!cutoff.is_foreign(scores[0]) && cutoff.is_foreign(scores[1]));
/// assert!(scope.reference().p_value(scores[1]) <= 0.05);
/// # Ok::<(), topicwire::scope::ScopeError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    classes: Classes,
    distance: Standard,
    angle: Standard,
    reference: Reference,
}

/// Mean and standard deviation of a measure.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standard {
    mean: f64,
    sd: f64,
}

impl Standard {
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let n = values.clone().count() as f64;
        let mean = values.clone().sum::<f64>() / n;
        Self { mean, sd: (values.map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt() }
    }

    /// 0 where the measure is the same for all but rounding.
    fn apply(self, value: f64) -> f64 {
        if self.sd > MIN_SD * self.mean.abs() && self.sd > 0.0 { (value - self.mean) / self.sd } else { 0.0 }
    }
}

/// Measures whose standard deviation is this share of their mean are all the same.
const MIN_SD: f64 = 1e-9;

impl Scope {
    /// Fits a scope on embeddings `[n_articles, hidden_size]`, and gives the out-of-fold score of every article: by the label means and the
    /// covariance of articles outside its fold, standardised over all of them.
    ///
    /// The scope itself is fitted on all articles; it finds new ones a little less unlike than the folds did, so that false alarms are rather
    /// rarer than promised. Fewer articles than columns, constant columns, labels of one article, one label or none are all defined: the
    /// covariance is shrunk, and without any spread within labels it is that around the mean of all, or the identity. A measure that is
    /// the same for all articles counts 0.
    ///
    /// # Errors
    /// Targets or folds of another number of articles, none at all, values that are not finite, a fold of number `n_folds` or above, all articles in
    /// one fold; [`ScopeError::PartValue`] where numbers are too large for single precision.
    pub fn fit(
        embeddings: ArrayView2<f32>,
        targets: &Targets,
        fold_of_row: &[usize],
        n_folds: usize,
    ) -> Result<(Self, Vec<f64>), ScopeError> {
        let measures = measures_out_of_fold(embeddings, targets, fold_of_row, n_folds)?;
        let distance = Standard::of(measures.iter().map(|measures| measures.distance));
        let angle = Standard::of(measures.iter().map(|measures| measures.angle));
        let scores: Vec<f64> = measures.iter().map(|measures| score(*measures, distance, angle)).collect();
        let rows: Vec<usize> = (0..embeddings.nrows()).collect();
        let classes = Classes::fit(embeddings, targets, &rows);
        let scope = Self { classes, distance, angle, reference: Reference::thinned(&scores)? };
        Ok((Self::new(scope.parts())?, scores))
    }

    /// From parts that were saved.
    ///
    /// # Errors
    /// [`ScopeError::PartLength`] and [`ScopeError::PartValue`] where they do not fit each other, are not finite, or a standard deviation
    /// is below 0; [`ScopeError::NoArticles`] without any center.
    pub fn new(parts: ScopeParts) -> Result<Self, ScopeError> {
        let ScopeParts { mean, whitening, centers, distance, angle, reference } = parts;
        let hidden_size = mean.len();
        for (part, expected, found) in
            [("the whitening", packed_len(hidden_size), whitening.len()), ("a center", hidden_size, centers.ncols())]
        {
            if expected != found {
                return Err(ScopeError::PartLength { part, expected, found });
            }
        }
        if centers.nrows() == 0 {
            return Err(ScopeError::NoArticles);
        }
        finite("the mean", mean.iter())?;
        finite("the whitening", whitening.iter())?;
        finite("the centers", centers.iter())?;
        for (part, values) in [("the distance", distance), ("the angle", angle)] {
            let expected = ["a finite mean", "a finite standard deviation of at least 0"];
            for (place, value) in values.into_iter().enumerate() {
                if !value.is_finite() || (place == 1 && value < 0.0) {
                    return Err(ScopeError::PartValue { part, place, value, expected: expected[place] });
                }
            }
        }
        let standard = |[mean, sd]: [f64; 2]| Standard { mean, sd };
        let (distance, angle) = (standard(distance), standard(angle));
        Ok(Self { classes: Classes::new(mean, whitening, centers), distance, angle, reference })
    }

    /// What it is made of.
    pub fn parts(&self) -> ScopeParts {
        ScopeParts {
            mean: self.classes.mean.clone(),
            whitening: self.classes.whitening.clone(),
            centers: self.classes.centers.clone(),
            distance: [self.distance.mean, self.distance.sd],
            angle: [self.angle.mean, self.angle.sd],
            reference: self.reference.clone(),
        }
    }

    /// Number of columns it takes.
    pub fn hidden_size(&self) -> usize {
        self.classes.hidden_size()
    }

    /// Out-of-fold scores of the training articles, thinned out.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// The score of each article, larger where it is less like the training: `[n_articles]` of `[n_articles, hidden_size]`.
    ///
    /// An article's score does not depend on the others, nor on the number of threads.
    ///
    /// # Errors
    /// [`ScopeError::HiddenSize`], [`ScopeError::NonFinite`].
    pub fn scores(&self, embeddings: ArrayView2<f32>) -> Result<Vec<f64>, ScopeError> {
        let (expected, found) = (self.hidden_size(), embeddings.ncols());
        if expected != found {
            return Err(ScopeError::HiddenSize { expected, found });
        }
        check_finite(embeddings)?;
        let rows = embeddings.axis_iter(Axis(0)).into_par_iter();
        Ok(rows.map(|row| score(self.classes.measures(row), self.distance, self.angle)).collect())
    }
}

/// The scores of all articles, each by a scope that was fitted without its fold; [`Scope::fit`] gives them too.
///
/// # Shapes
/// * `embeddings` `[n_articles, hidden_size]`, `fold_of_row` `[n_articles]`, each below `n_folds`
/// * returns `[n_articles]`
///
/// # Errors
/// As [`Scope::fit`].
pub fn out_of_fold(
    embeddings: ArrayView2<f32>,
    targets: &Targets,
    fold_of_row: &[usize],
    n_folds: usize,
) -> Result<Vec<f64>, ScopeError> {
    let measures = measures_out_of_fold(embeddings, targets, fold_of_row, n_folds)?;
    let distance = Standard::of(measures.iter().map(|measures| measures.distance));
    let angle = Standard::of(measures.iter().map(|measures| measures.angle));
    Ok(measures.into_iter().map(|measures| score(measures, distance, angle)).collect())
}

fn score(measures: Measures, distance: Standard, angle: Standard) -> f64 {
    0.5 * (distance.apply(measures.distance) + angle.apply(measures.angle))
}

fn measures_out_of_fold(
    embeddings: ArrayView2<f32>,
    targets: &Targets,
    fold_of_row: &[usize],
    n_folds: usize,
) -> Result<Vec<Measures>, ScopeError> {
    let n_embeddings = embeddings.nrows();
    for (what, found) in [("labels", targets.len()), ("folds", fold_of_row.len())] {
        if found != n_embeddings {
            return Err(ScopeError::RowCount { what, n_embeddings, found });
        }
    }
    if n_embeddings == 0 {
        return Err(ScopeError::NoArticles);
    }
    check_finite(embeddings)?;
    if let Some((row_idx, &fold)) = fold_of_row.iter().enumerate().find(|(_, fold)| **fold >= n_folds) {
        return Err(ScopeError::FoldOutOfRange { row_idx, fold, n_folds });
    }
    let mut measures = vec![Measures { distance: 0.0, angle: 0.0 }; n_embeddings];
    for fold in 0..n_folds {
        let (inside, outside): (Vec<usize>, Vec<usize>) = (0..n_embeddings).partition(|&i| fold_of_row[i] == fold);
        if outside.is_empty() {
            return Err(ScopeError::OneFold { fold });
        }
        if inside.is_empty() {
            continue;
        }
        let classes = Classes::fit(embeddings, targets, &outside);
        let found: Vec<Measures> = inside.par_iter().map(|&i| classes.measures(embeddings.row(i))).collect();
        for (i, found) in inside.into_iter().zip(found) {
            measures[i] = found;
        }
    }
    Ok(measures)
}

fn check_finite(embeddings: ArrayView2<f32>) -> Result<(), ScopeError> {
    match embeddings.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row_idx, column_idx), &value)) => Err(ScopeError::NonFinite { row_idx, column_idx, value }),
        None => Ok(()),
    }
}

fn finite<'a>(part: &'static str, values: impl Iterator<Item = &'a f32>) -> Result<(), ScopeError> {
    match values.enumerate().find(|(_, value)| !value.is_finite()) {
        Some((place, &value)) => {
            Err(ScopeError::PartValue { part, place, value: value.into(), expected: "finite numbers" })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
