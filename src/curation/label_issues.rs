//! Labels that are likely wrong, or missing.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::CurationError;
use super::confident_learning::{ConfidentJoint, most_probable_other, posterior};
use crate::labels::{LabelId, Targets};

/// How good a given label is, from 0 (surely wrong) to 1 (surely right).
///
/// `p` are out-of-fold probabilities, `y` is the label given. Of several labels each is judged alone, as the two classes no and yes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelQuality {
    /// `P(true = y | given = y, p)`: what is left of the label's probability when errors are as frequent between each pair of labels as
    /// confident learning estimates. A model learns errors with the labels, most of all where they go one way; this takes them out again.
    #[default]
    ErrorRates,
    /// `p[y]`, as in cleanlab.
    SelfConfidence,
    /// `(p[y] − max p[other] + 1) / 2`, as in cleanlab.
    NormalizedMargin,
}

/// Which labels are flagged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlagRule {
    /// The worst labels by quality, as many as [`FlagRule::ConfidentLearning`] flags: counting tells how many are wrong, ranking which. So
    /// `low_self_confidence` of cleanlab does with its quality.
    #[default]
    Worst,
    /// Labels of articles that surely have another one, which is more probable too: `confident_learning` of cleanlab.
    ConfidentLearning,
}

/// How errors are looked for. The defaults are what was measured best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelIssueSettings {
    pub quality: LabelQuality,
    pub flags: FlagRule,
}

/// An article of which at least one label is likely wrong or missing.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelIssue {
    pub row_idx: usize,
    /// Quality of the worst of its labels.
    pub quality: f64,
    /// Labels as given, ascending.
    pub given: Vec<LabelId>,
    /// Labels it likely should have, ascending: `given` without `wrong`, with `missing`.
    pub suggested: Vec<LabelId>,
    /// Labels it has and likely should not, ascending.
    pub wrong: Vec<LabelId>,
    /// Labels it likely should have and has not, ascending.
    pub missing: Vec<LabelId>,
}

/// What was found about all articles.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelIssues {
    /// The worst article first; equal ones in the order of the articles.
    pub issues: Vec<LabelIssue>,
    /// Of every article the quality of its worst label, `[n_articles]`.
    pub quality: Vec<f64>,
}

/// Finds articles whose labels are likely wrong, and what they likely should be.
///
/// Confident learning (Northcutt, Jiang & Chuang, JAIR 2021) estimates how many labels are wrong and between which labels; from that and what a
/// model says of an article that it has not seen follows how probable it is that its label is wrong; the worst ones are flagged. With
/// several labels (Thyagarajan et al., *Identifying Incorrect Annotations in Multi-Label Classification Data*, 2022) each label is judged
/// alone, and an article is as good as its worst label: cleanlab's moving average over all labels ranks worse.
///
/// Whether a label of one or two articles is right cannot be told: a model that has not seen them does not know it. Such labels look wrong.
///
/// # Shapes
/// * `targets` labels of `n_articles` articles
/// * `probabilities` `[n_articles, n_labels]`, out of fold and calibrated, in `[0, 1]`; rows sum to 1 for single-label tasks
///
/// # Errors
/// Probabilities outside 0 to 1, or for another number of articles or labels.
///
/// # Example
/// ```
/// use ndarray::array;
/// use topicwire::curation::{LabelIssueSettings, label_issues};
/// use topicwire::labels::{LabelId, Targets};
/// let given = Targets::Single([0, 0, 0, 1, 1, 0].map(LabelId).to_vec());
/// let p = array![[0.9, 0.1], [0.8, 0.2], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.03, 0.97]];
/// let found = label_issues(&given, p.view(), &LabelIssueSettings::default())?;
/// assert_eq!(found.issues.len(), 1);
/// assert_eq!((found.issues[0].row_idx, &found.issues[0].suggested), (5, &vec![LabelId(1)]));
/// # Ok::<(), topicwire::curation::CurationError>(())
/// ```
pub fn label_issues(
    targets: &Targets,
    probabilities: ArrayView2<f64>,
    settings: &LabelIssueSettings,
) -> Result<LabelIssues, CurationError> {
    check(targets, probabilities)?;
    match targets {
        Targets::Single(given) => {
            let given: Vec<usize> = given.iter().map(|label| label.0).collect();
            Ok(single(&given, probabilities, settings))
        }
        Targets::Multi(given) => Ok(multi(given, probabilities, settings)),
    }
}

fn check(targets: &Targets, probabilities: ArrayView2<f64>) -> Result<(), CurationError> {
    let (n_rows, n_labels) = probabilities.dim();
    if n_rows != targets.len() {
        return Err(CurationError::RowCount { n_rows, n_targets: targets.len() });
    }
    for row_idx in 0..n_rows {
        if let Some(label) = targets.row(row_idx).iter().find(|label| label.0 >= n_labels) {
            return Err(CurationError::LabelOutOfRange { row_idx, label_idx: label.0, n_labels });
        }
    }
    match probabilities.indexed_iter().find(|(_, value)| !(0.0..=1.0).contains(*value)) {
        Some(((row_idx, label_idx), &value)) => Err(CurationError::Probability { row_idx, label_idx, value }),
        None => Ok(()),
    }
}

/// What is found of one class per article.
struct Judged {
    quality: Vec<f64>,
    /// The most probable other class.
    other: Vec<Option<usize>>,
    /// By [`FlagRule::ConfidentLearning`].
    is_contradicted: Vec<bool>,
}

fn judge(given: &[usize], p: ArrayView2<f64>, quality: LabelQuality) -> Judged {
    let joint = ConfidentJoint::count(given, p);
    let other_of = |row_idx: usize, scores: ArrayView2<f64>| {
        most_probable_other(scores.row(row_idx).iter().copied(), given[row_idx])
    };
    let is_contradicted = (0..given.len()).map(|row_idx| {
        let is_less_probable =
            other_of(row_idx, p).is_some_and(|other| p[[row_idx, other]] > p[[row_idx, given[row_idx]]] + SAME);
        joint.confident[row_idx].is_some_and(|class| class != given[row_idx]) && is_less_probable
    });
    let is_contradicted = is_contradicted.collect();
    let own = |scores: ArrayView2<f64>| -> Vec<f64> {
        scores.rows().into_iter().zip(given).map(|(row, &class)| row[class]).collect()
    };
    let others =
        |scores: ArrayView2<f64>| (0..given.len()).map(|row_idx| other_of(row_idx, scores)).collect::<Vec<_>>();
    let (quality, other) = match quality {
        LabelQuality::ErrorRates => {
            let posterior = posterior(given, p, joint.error_rates(given, p).view());
            (own(posterior.view()), others(posterior.view()))
        }
        LabelQuality::SelfConfidence => (own(p), others(p)),
        LabelQuality::NormalizedMargin => {
            let other = others(p);
            let rival = |row_idx: usize, other: &Option<usize>| other.map_or(0.0, |other| p[[row_idx, other]]);
            let margin = own(p).into_iter().zip(&other).enumerate();
            (margin.map(|(row_idx, (own, other))| (own - rival(row_idx, other) + 1.0) / 2.0).collect(), other)
        }
    };
    Judged { quality, other, is_contradicted }
}

/// Probabilities that differ by less are equal. As in cleanlab.
const SAME: f64 = 1e-6;

fn single(given: &[usize], p: ArrayView2<f64>, settings: &LabelIssueSettings) -> LabelIssues {
    let judged = judge(given, p, settings.quality);
    let is_flagged = match settings.flags {
        FlagRule::ConfidentLearning => judged.is_contradicted,
        FlagRule::Worst => worst(&judged.quality, count(&judged.is_contradicted)),
    };
    let mut issues: Vec<LabelIssue> = (0..given.len())
        .filter(|&row_idx| is_flagged[row_idx])
        .map(|row_idx| {
            let missing: Vec<LabelId> = judged.other[row_idx].map(LabelId).into_iter().collect();
            LabelIssue {
                row_idx,
                quality: judged.quality[row_idx],
                given: vec![LabelId(given[row_idx])],
                suggested: missing.clone(),
                wrong: vec![LabelId(given[row_idx])],
                missing,
            }
        })
        .collect();
    issues.sort_by(|a, b| a.quality.total_cmp(&b.quality));
    LabelIssues { issues, quality: judged.quality }
}

fn multi(given: &[Vec<LabelId>], p: ArrayView2<f64>, settings: &LabelIssueSettings) -> LabelIssues {
    let (n_rows, n_labels) = p.dim();
    let mut is_given = Array2::from_elem((n_rows, n_labels), false);
    for (row_idx, labels) in given.iter().enumerate() {
        labels.iter().for_each(|label| is_given[[row_idx, label.0]] = true);
    }
    let judged: Vec<Judged> = (0..n_labels)
        .into_par_iter()
        .map(|label_idx| {
            let classes: Vec<usize> =
                is_given.column(label_idx).iter().map(|&is_given| usize::from(is_given)).collect();
            let mut no_yes = Array2::zeros((n_rows, 2));
            for (mut row, &yes) in no_yes.outer_iter_mut().zip(p.column(label_idx)) {
                row[0] = 1.0 - yes;
                row[1] = yes;
            }
            judge(&classes, no_yes.view(), settings.quality)
        })
        .collect();
    let quality = Array2::from_shape_fn((n_rows, n_labels), |(row_idx, label_idx)| judged[label_idx].quality[row_idx]);
    let is_flagged = match settings.flags {
        FlagRule::ConfidentLearning => {
            Array2::from_shape_fn((n_rows, n_labels), |(row_idx, label_idx)| judged[label_idx].is_contradicted[row_idx])
        }
        FlagRule::Worst => {
            let cells: Vec<f64> = quality.iter().copied().collect();
            let n_flagged = judged.iter().map(|judged| count(&judged.is_contradicted)).sum();
            Array2::from_shape_vec((n_rows, n_labels), worst(&cells, n_flagged)).expect("one flag for each cell")
        }
    };
    let of_article: Vec<f64> = quality.axis_iter(Axis(0)).map(|row| row.iter().copied().fold(1.0, f64::min)).collect();
    let mut issues: Vec<LabelIssue> = (0..n_rows)
        .filter(|&row_idx| is_flagged.row(row_idx).iter().any(|&is_flagged| is_flagged))
        .map(|row_idx| {
            let pick = |wanted: &dyn Fn(bool, bool) -> bool| -> Vec<LabelId> {
                let cells = is_given.row(row_idx).into_iter().zip(is_flagged.row(row_idx)).enumerate();
                cells.filter(|(_, (given, flagged))| wanted(**given, **flagged)).map(|(idx, _)| LabelId(idx)).collect()
            };
            LabelIssue {
                row_idx,
                quality: of_article[row_idx],
                given: pick(&|given, _| given),
                suggested: pick(&|given, flagged| given != flagged),
                wrong: pick(&|given, flagged| given && flagged),
                missing: pick(&|given, flagged| !given && flagged),
            }
        })
        .collect();
    issues.sort_by(|a, b| a.quality.total_cmp(&b.quality));
    LabelIssues { issues, quality: of_article }
}

fn count(flags: &[bool]) -> usize {
    flags.iter().filter(|&&is_flagged| is_flagged).count()
}

/// Flags the `n_flagged` smallest; of equal ones the first.
fn worst(quality: &[f64], n_flagged: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..quality.len()).collect();
    order.sort_by(|&a, &b| quality[a].total_cmp(&quality[b]));
    let mut is_flagged = vec![false; quality.len()];
    order[..n_flagged].iter().for_each(|&idx| is_flagged[idx] = true);
    is_flagged
}
