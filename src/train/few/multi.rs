//! Any number of labels per article: a teacher's scores, told into two groups for every label, teach a second regression.
//!
//! One round of self-training with soft targets (Scudder, *Probability of Error of Some Adaptive Pattern-Recognition Machines*,
//! 1965; soft as in Grandvalet & Bengio, *Entropy Regularization*, 2006). The scores of the outcome are told into groups once more, and
//! that line makes its sigmoids probabilities.

use ndarray::{Array2, Axis};

use super::affine::{Affine, mean_row};
use super::teacher::{Told, by_anchors, centred_anchors, keep_from_certainty, stack};
use super::two_groups::TwoGroups;
use super::{FewFit, FewSettings, Material};
use crate::calibration::sigmoid;
use crate::heads::SoftTargets;
use crate::labels::Task;
use crate::train::TrainError;

/// The Beta prior of a label's share before any article is labelled: one of seven articles, weak.
const PRIOR_POSITIVES: f64 = 1.0;
const PRIOR_NEGATIVES: f64 = 6.0;
/// Inverse penalty of the regression on soft targets, and what a labelled article counts beside an unlabelled one.
const SELF_STRENGTH: f64 = 10.0;
const LABELLED_WEIGHT: f64 = 3.0;
/// Logits of regressions on a few articles are timid; anchors alone are given this sharpness too.
const SHARPNESS: f64 = 4.0;
/// Halvings of the search for an offset.
const OFFSET_STEPS: usize = 80;
/// Range of that search.
const MAX_OFFSET: f64 = 50.0;

pub(super) fn fit(
    material: &Material,
    settings: &FewSettings,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<FewFit, TrainError> {
    let Material { labelled, targets, anchors, unlabelled, n_labels } = material;
    let (labelled, unlabelled, n_labels) = (labelled.view(), unlabelled.view(), *n_labels);
    let centred = anchors.as_ref().map(|anchors| centred_anchors(anchors.view()));
    let told = Told { labelled, targets, anchors: centred.as_ref().map(|anchors| anchors.view()), n_labels };
    let strength = settings.strengths[0];
    let (teacher, strength) = match (&centred, anchors) {
        (Some(centred), Some(anchors)) if targets.is_empty() => {
            let mean = mean_row(anchors.view());
            (by_anchors(centred.view(), unlabelled, mean.view(), SHARPNESS), None)
        }
        _ => (told.fit(strength, settings.anchor_weight, interrupted)?, Some(strength)),
    };
    let support = targets.support(n_labels);
    let n_labelled = targets.len();
    let prior = |label_idx: usize| {
        let n_positive = support[label_idx];
        (PRIOR_POSITIVES + n_positive as f64, PRIOR_NEGATIVES + (n_labelled - n_positive) as f64)
    };
    if unlabelled.is_empty() {
        return without_pool(teacher.scaled(SHARPNESS), &told, strength, prior);
    }

    let scores = teacher.scores(unlabelled);
    let mut soft = Array2::zeros(scores.dim());
    for (label_idx, column) in scores.columns().into_iter().enumerate() {
        let (positives, negatives) = prior(label_idx);
        let groups = TwoGroups::fit(column, positives, negatives);
        soft.column_mut(label_idx).assign(&column.mapv(|score| groups.probability(score)));
    }
    let rows = stack(labelled, unlabelled);
    let mut all = stack(targets.indicator(n_labels).mapv(f64::from).view(), soft.view());
    keep_from_certainty(&mut all);
    let mut weights = vec![LABELLED_WEIGHT; n_labelled];
    weights.resize(rows.nrows(), 1.0);
    let embeddings = rows.mapv(|value| value as f32);
    let student = SoftTargets { embeddings: embeddings.view(), targets: all.view(), weights: &weights };
    let (weights, offsets) = student.fit(Task::Multi, SELF_STRENGTH, interrupted)?;
    let mut student = Affine { weights, offsets };

    let mut shares = Vec::with_capacity(n_labels);
    for (label_idx, column) in student.scores(unlabelled).columns().into_iter().enumerate() {
        let (positives, negatives) = prior(label_idx);
        let groups = TwoGroups::fit(column, positives, negatives);
        let mut row = student.weights.row_mut(label_idx);
        row *= groups.slope;
        student.offsets[label_idx] = student.offsets[label_idx] * groups.slope + groups.offset;
        shares.push(groups.share);
    }
    let probabilities = student.scores(unlabelled).mapv(sigmoid);
    Ok(FewFit {
        head: student.head(Task::Multi)?,
        shares,
        n_confident: super::count_confident(probabilities.view()),
        n_background: 0.0,
        strength,
        trust: None,
    })
}

/// Offsets at which the mean probability of the labelled articles is the label's share; without these, at which an article as
/// near to all anchors as their mean is has each label as often as the prior says.
fn without_pool(
    mut model: Affine,
    told: &Told,
    strength: Option<f64>,
    prior: impl Fn(usize) -> (f64, f64),
) -> Result<FewFit, TrainError> {
    let scores = model.scores(told.labelled);
    let mut shares = Vec::with_capacity(told.n_labels);
    for label_idx in 0..told.n_labels {
        let (positives, negatives) = prior(label_idx);
        let share = positives / (positives + negatives);
        let column = scores.index_axis(Axis(1), label_idx);
        let (mut low, mut high) = (-MAX_OFFSET, MAX_OFFSET);
        for _ in 0..OFFSET_STEPS {
            let middle = 0.5 * (low + high);
            let mean = match column.len() {
                0 => sigmoid(middle),
                n => column.iter().map(|score| sigmoid(score + middle)).sum::<f64>() / n as f64,
            };
            *(if mean < share { &mut low } else { &mut high }) = middle;
        }
        model.offsets[label_idx] += 0.5 * (low + high);
        shares.push(share);
    }
    Ok(FewFit { head: model.head(Task::Multi)?, shares, n_confident: 0, n_background: 0.0, strength, trust: None })
}
