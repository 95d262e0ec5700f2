//! Training on little: few labelled articles or none, what labels mean, articles without labels.

use ndarray::{Array2, ArrayView2};

use super::TrainError;
use super::few::{Evidence, FewSettings, fit_few};
use super::fit_views::FittedViews;
use crate::calibration::Calibration;
use crate::calibration::thresholds::{Aim, Thresholds};
use crate::labels::{LabelSet, Targets, Task};
use crate::progress::{Event, Progress};
use crate::views::View;
use crate::views::stack::Stack;

/// Labelled articles per label, on average, below which training goes by what labels mean and by unlabelled articles as well, and does not
/// hold articles out.
pub const FEW_PER_LABEL: usize = 20;

/// Unlabelled articles that are used at most, from the start of their files: more teach hardly anything and take memory.
pub const MAX_UNLABELLED: usize = 50_000;

/// When training goes by more than labelled articles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FewChoice {
    /// Where there are fewer than [`FEW_PER_LABEL`] articles per label.
    #[default]
    Auto,
    Always,
    Never,
}

impl FewChoice {
    /// Whether these labelled articles are few. None are always few.
    pub(super) fn is_few(self, n_labelled: usize, n_labels: usize) -> bool {
        n_labelled == 0
            || match self {
                Self::Auto => n_labelled < FEW_PER_LABEL * n_labels,
                Self::Always => true,
                Self::Never => false,
            }
    }
}

/// What is known where there is little; rows of one width.
pub(super) struct Little<'a> {
    pub(super) labelled: ArrayView2<'a, f32>,
    pub(super) targets: &'a Targets,
    /// `[n_labels, hidden_size]`
    pub(super) anchors: Option<Array2<f32>>,
    pub(super) unlabelled: ArrayView2<'a, f32>,
}

/// Fits a head on documents alone; its probabilities need no calibration, and thresholds are ½ or what the aim fixes.
pub(super) fn fit_little(
    little: &Little<'_>,
    labels: &LabelSet,
    aim: Aim,
    seed: u64,
    progress: &dyn Progress,
) -> Result<FittedViews, TrainError> {
    let (task, n_labels) = (little.targets.task(), labels.len());
    let evidence = Evidence {
        labelled: little.labelled,
        targets: little.targets,
        anchors: little.anchors.as_ref().map(|anchors| anchors.view()),
        unlabelled: little.unlabelled,
    };
    let settings = FewSettings { seed, ..FewSettings::default() }.check()?;
    let fit = fit_few(&evidence, n_labels, task, &settings, progress)?;
    let shares: Vec<String> =
        labels.names().zip(&fit.shares).map(|(name, share)| format!("{name} {:.0} %", 100.0 * share)).collect();
    let message = format!(
        "few labelled articles ({}), so the head goes by {}; assumed frequencies: {}. Nothing could be held out to measure it",
        little.targets.len(),
        match (&little.anchors, little.unlabelled.nrows()) {
            (Some(_), 0) => "what the labels mean as well".to_owned(),
            (Some(_), n) => format!("what the labels mean and {n} unlabelled articles as well"),
            (None, 0) => "these alone".to_owned(),
            (None, n) => format!("{n} unlabelled articles as well"),
        },
        shares.join(", ")
    );
    progress.event(Event::Warning { message: &message });
    let threshold = match aim {
        Aim::Fixed(threshold) => threshold,
        _ => 0.5,
    };
    Ok(FittedViews {
        views: vec![View::Document(fit.head)],
        stack: Stack::single(Calibration::identity(task, n_labels)),
        calibration: Calibration::identity(task, n_labels),
        moments: Vec::new(),
        thresholds: match task {
            Task::Single => None,
            Task::Multi => Some(Thresholds::new(vec![threshold; n_labels])?),
        },
        strength: fit.strength.unwrap_or_default(),
        words_strength: None,
        cv: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_is_fewer_than_twenty_a_label() {
        assert!(FewChoice::Auto.is_few(79, 4) && !FewChoice::Auto.is_few(80, 4));
        assert!(FewChoice::Never.is_few(0, 4) && !FewChoice::Never.is_few(1, 4) && FewChoice::Always.is_few(500, 4));
    }
}
