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

/// Labelled articles per label, on average, below which training goes by what labels mean and by unlabelled articles as well, where it is
/// given either, and does not hold articles out.
const FEW_PER_LABEL: usize = 16;

/// The same where articles have several labels: one article then says something of each.
const FEW_PER_LABEL_OF_SEVERAL: usize = 8;

/// Unlabelled articles that are used at most, from the start of their files: more teach hardly anything and take memory.
pub const MAX_UNLABELLED: usize = 50_000;

/// When training goes by more than labelled articles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FewChoice {
    /// Where labels or unlabelled articles are given and there are fewer than 16 articles per label, or 8 where articles have several.
    #[default]
    Auto,
    Always,
    Never,
}

impl FewChoice {
    /// Whether these articles are few, `has_more` if labels were described or there are unlabelled articles. None at all are always few.
    pub(crate) fn is_few(self, targets: &Targets, n_labels: usize, has_more: bool) -> bool {
        let limit = match targets.task() {
            Task::Single => FEW_PER_LABEL,
            Task::Multi => FEW_PER_LABEL_OF_SEVERAL,
        };
        let n_positive: usize = targets.support(n_labels).iter().sum();
        targets.is_empty()
            || match self {
                Self::Auto => has_more && n_positive < limit * n_labels,
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
    progress.event(Event::Note { message: &message });
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
    use crate::labels::LabelId;

    #[test]
    fn few_depends_on_the_labels_and_on_what_else_there_is() {
        let single = |n| Targets::Single((0..n).map(|i| LabelId(i % 4)).collect());
        assert!(FewChoice::Auto.is_few(&single(63), 4, true) && !FewChoice::Auto.is_few(&single(64), 4, true));
        assert!(!FewChoice::Auto.is_few(&single(8), 4, false), "nothing else to go by");
        let several = |n| Targets::Multi((0..n).map(|_| vec![LabelId(0), LabelId(1)]).collect());
        assert!(FewChoice::Auto.is_few(&several(15), 4, true) && !FewChoice::Auto.is_few(&several(16), 4, true));
        assert!(FewChoice::Never.is_few(&single(0), 4, true) && !FewChoice::Never.is_few(&single(4), 4, true));
        assert!(FewChoice::Always.is_few(&single(500), 4, false));
    }
}
