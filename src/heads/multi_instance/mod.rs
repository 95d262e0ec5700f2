//! Multi-instance learning: a linear head on passages, learned from the labels of whole articles.
//!
//! An article has a topic because some passage of it is about that topic, but which one nobody has marked (Dietterich, Lathrop &
//! Lozano-Pérez 1997; Maron & Lozano-Pérez 1998). Giving every passage all labels of its article teaches mostly noise.
//!
//! # Objective
//! Passage `i` has the logits `zᵢ = W xᵢ + b`. Those of an article are pooled over its `n` passages, `P = ln(1/n · ∑ᵢ exp zᵢ)` for each
//! label: a smooth maximum, which one telling passage can decide (Ramon & De Raedt 2000). Then
//!
//! `∑_articles loss(P, y) + passage_weight · ∑_passages loss(zᵢ, gᵢ) + ‖W‖² / (2 · strength)`
//!
//! over the articles fitted on, and those of their passages whose labels `g` are known. The loss is a sigmoid's cross-entropy
//! per label for multi targets, soft-max's for single ones. Intercepts are not penalised.
//!
//! It is not convex: which passages count depends on the weights. From zero weights, where all passages count the same,
//! L-BFGS ends in as good a place as from any other start tried. Running into `max_evaluations` is no error: the order of the logits
//! is settled long before the last digits.
//!
//! # Use
//! The logit of an article is the largest of its passages' ([`max_pooled`]), which does not fall with every passage about something
//! else, as the pooled one does.
//!
//! # Labels that cannot be learned
//! As in [`super::logistic`], by the articles fitted on; what is known of passages is then not looked at for such a label.
//! Articles without passages count nowhere.

mod passages;
mod pooled;
#[cfg(test)]
mod tests;
mod training;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use self::passages::Passages;
use self::training::Training;
use super::logistic::{ClassWeight, check_stopping, check_strength, check_targets};
use super::{HeadError, LinearHead};
use crate::labels::{LabelId, Targets};

/// Passages of several articles, one article after the other.
#[derive(Clone, Copy, Debug)]
pub struct Bags<'a> {
    /// `[n_passages, hidden_size]`
    pub passages: ArrayView2<'a, f32>,
    /// `n_articles + 1` numbers, ascending from 0 to `n_passages`: article `i` has the passages `offsets[i]..offsets[i + 1]`,
    /// perhaps none.
    pub offsets: &'a [usize],
}

/// What is known of single passages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassageTargets {
    /// `n_passages` sets of labels, each ascending and without repeats, where known. For single targets only sets of one label
    /// say anything.
    pub known: Vec<Option<Vec<LabelId>>>,
}

/// Settings of a multi-instance head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiInstanceSettings {
    /// Inverse of the penalty, as in [`super::logistic::LogisticSettings`]; positive.
    pub strength: f64,
    /// What a passage with known labels counts, where an article counts 1; not negative.
    pub passage_weight: f64,
    /// The objective is left about half this share above a local minimum, if it gets there; positive. From 1e-6 on, matrix
    /// products are in single precision.
    pub tolerance: f64,
    /// Evaluations of objective and gradient after which the fit is taken as it is; at least 1.
    pub max_evaluations: usize,
}

impl Default for MultiInstanceSettings {
    fn default() -> Self {
        Self { strength: 10.0, passage_weight: 0.1, tolerance: 1e-5, max_evaluations: 60 }
    }
}

/// Settings that have been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedMultiInstance {
    settings: MultiInstanceSettings,
}

impl MultiInstanceSettings {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`HeadError::Setting`].
    pub fn check(self) -> Result<CheckedMultiInstance, HeadError> {
        check_strength(self.strength)?;
        if !(self.passage_weight.is_finite() && self.passage_weight >= 0.0) {
            let found = self.passage_weight.to_string();
            return Err(HeadError::Setting { name: "passage_weight", found, expected: "a number from 0 on" });
        }
        check_stopping(self.tolerance, self.max_evaluations)?;
        Ok(CheckedMultiInstance { settings: self })
    }
}

impl CheckedMultiInstance {
    /// Fits a head for passages on the articles `rows` of `bags`; one listed twice counts twice.
    ///
    /// The same input gives the same bytes at any number of threads. Takes one f32 copy of the passages of these articles.
    ///
    /// # Errors
    /// Offsets, rows, targets or passage targets that do not match, embeddings that are not finite, fewer than two labels that
    /// occur among the articles with passages (single) or none (multi), and an interruption, asked for before every evaluation.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::heads::Head;
    /// use topicwire::heads::multi_instance::{Bags, MultiInstanceSettings, max_pooled};
    /// use topicwire::labels::{LabelId, Targets};
    /// // Two articles of two passages each; the first passage of the first one makes the difference.
    /// let passages = array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.9], [0.1, 1.0]];
    /// let bags = Bags { passages: passages.view(), offsets: &[0, 2, 4] };
    /// let targets = Targets::Multi(vec![vec![LabelId(0)], vec![]]);
    /// let settings = MultiInstanceSettings::default().check()?;
    /// let head = settings.fit(bags, &[0, 1], &targets, None, 1, &|| false)?;
    /// let passage_logits = head.logits(passages.view())?;
    /// assert!(passage_logits[[0, 0]] > passage_logits[[1, 0]]);
    /// let logits = max_pooled(passage_logits.view(), bags.offsets, head.intercepts())?;
    /// assert!(logits[[0, 0]] > logits[[1, 0]]);
    /// # Ok::<(), topicwire::heads::HeadError>(())
    /// ```
    pub fn fit(
        &self,
        bags: Bags,
        rows: &[usize],
        targets: &Targets,
        passage_targets: Option<&PassageTargets>,
        n_labels: usize,
        interrupted: &(dyn Fn() -> bool + Sync),
    ) -> Result<LinearHead, HeadError> {
        let n_passages = bags.passages.nrows();
        check_offsets(bags.offsets, n_passages)?;
        let n_articles = bags.offsets.len() - 1;
        check_targets(n_articles, targets, n_labels, &ClassWeight::Uniform)?;
        if let Some(passage_targets) = passage_targets {
            passage_targets.check(n_passages, n_labels)?;
        }
        if let Some(&row_idx) = rows.iter().find(|row_idx| **row_idx >= n_articles) {
            return Err(HeadError::RowOutOfRange { row_idx, n_rows: n_articles });
        }
        let filled: Vec<usize> =
            rows.iter().copied().filter(|&row_idx| bags.offsets[row_idx] < bags.offsets[row_idx + 1]).collect();
        let targets = targets.select(&filled);
        check_targets(filled.len(), &targets, n_labels, &ClassWeight::Uniform)?;

        let passages = Passages::new(bags, &filled)?;
        let known = match passage_targets {
            Some(passage_targets) if self.settings.passage_weight > 0.0 => passages
                .sources()
                .iter()
                .enumerate()
                .filter_map(|(row_idx, &source)| Some((row_idx, passage_targets.known[source].as_deref()?)))
                .collect(),
            _ => Vec::new(),
        };
        let training = Training { settings: &self.settings, passages: &passages, known, n_labels };
        let coefficients = match &targets {
            Targets::Multi(labels) => training.fit_sigmoids(labels, interrupted)?,
            Targets::Single(labels) => training.fit_softmax(labels, interrupted)?,
        };
        passages.head(targets.task(), coefficients.view())
    }
}

/// Logits of articles: for each label the largest of the article's passages.
///
/// An article without passages gets `intercepts`, the logits of an embedding of zeros.
///
/// # Shapes
/// * `passage_logits` `[n_passages, n_labels]`, finite; `offsets` as in [`Bags`]; `intercepts` `[n_labels]`
/// * returns `[n_articles, n_labels]`
///
/// # Errors
/// Offsets and intercepts that do not match the logits.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::heads::multi_instance::max_pooled;
/// let logits = max_pooled(array![[1.0, -2.0], [0.5, 3.0]].view(), &[0, 2, 2], array![-1.0, -1.5].view())?;
/// assert_eq!(logits, array![[1.0, 3.0], [-1.0, -1.5]]);
/// # Ok::<(), topicwire::heads::HeadError>(())
/// ```
pub fn max_pooled(
    passage_logits: ArrayView2<f64>,
    offsets: &[usize],
    intercepts: ArrayView1<f32>,
) -> Result<Array2<f64>, HeadError> {
    let (n_passages, n_labels) = passage_logits.dim();
    check_offsets(offsets, n_passages)?;
    if intercepts.len() != n_labels {
        return Err(HeadError::InterceptCount { n_intercepts: intercepts.len(), n_labels });
    }
    let mut logits = Array2::zeros((offsets.len() - 1, n_labels));
    for (mut article, bounds) in logits.rows_mut().into_iter().zip(offsets.windows(2)) {
        let mut passages = (bounds[0]..bounds[1]).map(|passage_idx| passage_logits.index_axis(Axis(0), passage_idx));
        match passages.next() {
            Some(first) => article.assign(&first),
            None => article.assign(&intercepts.mapv(f64::from)),
        }
        passages.for_each(|passage| article.zip_mut_with(&passage, |largest, logit| *largest = largest.max(*logit)));
    }
    Ok(logits)
}

/// Whether `offsets` ascend from 0 to `n_passages`.
fn check_offsets(offsets: &[usize], n_passages: usize) -> Result<(), HeadError> {
    let ascending = offsets.is_sorted() && offsets.first() == Some(&0) && offsets.last() == Some(&n_passages);
    if ascending { Ok(()) } else { Err(HeadError::BagOffsets { n_offsets: offsets.len(), n_passages }) }
}

impl PassageTargets {
    fn check(&self, n_passages: usize, n_labels: usize) -> Result<(), HeadError> {
        if self.known.len() != n_passages {
            return Err(HeadError::PassageCount { n_passages, n_known: self.known.len() });
        }
        for (passage_idx, labels) in self.known.iter().enumerate() {
            if let Some(&LabelId(label_idx)) = labels.iter().flatten().find(|label| label.0 >= n_labels) {
                return Err(HeadError::PassageLabel { passage_idx, label_idx, n_labels });
            }
        }
        Ok(())
    }
}
