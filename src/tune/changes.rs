//! Changes of settings that a search tries.

use std::fmt;

use crate::encoder::pooling::WindowPooling;
use crate::heads::logistic::ClassWeight;
use crate::labels::Task;
use crate::train::TrainSettings;
use crate::train::fit_head::CalibrationChoice;
use crate::views::ViewKind;

/// Weights of titles: a little, and as much as the whole.
const TITLE_WEIGHTS: [f64; 2] = [0.2, 0.5];

/// Steps away from the strength that cross-validated log-loss has chosen: the best of another metric may lie beside it.
const STRENGTH_STEPS: [f64; 2] = [0.3, 3.0];

/// One setting that is different.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    TitleWeight(f64),
    ClassWeight(ClassWeight),
    /// The only strength of the document's head.
    Strength(f64),
    Without(ViewKind),
    WindowPooling(WindowPooling),
    Calibration(CalibrationChoice),
}

impl Change {
    /// Makes it. `false` where there is nothing to change.
    pub fn apply(&self, settings: &mut TrainSettings) -> bool {
        let before = settings.clone();
        match self {
            Self::TitleWeight(weight) => settings.embed.title_weight = Some(*weight),
            Self::ClassWeight(weight) => settings.head.class_weight = weight.clone(),
            Self::Strength(strength) => settings.head.strengths = vec![*strength],
            Self::Without(view) => settings.head.views.retain(|kind| kind != view),
            Self::WindowPooling(pooling) => settings.embed.window_pooling = *pooling,
            Self::Calibration(choice) => settings.head.calibration = *choice,
        }
        *settings != before
    }

    /// Whether nothing is left of it once the other is made too.
    pub fn is_undone_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Without(view), Self::Without(other)) => view == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// As flags of the command line would say it, but for a view that is left out.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TitleWeight(weight) => write!(f, "title-weight {weight}"),
            Self::ClassWeight(ClassWeight::Uniform) => write!(f, "class-weight none"),
            Self::ClassWeight(ClassWeight::Balanced) => write!(f, "class-weight balanced"),
            Self::ClassWeight(_) => write!(f, "class-weight by label"),
            Self::Strength(strength) => write!(f, "strengths {strength}"),
            Self::Without(view) => write!(f, "without view {}", view.name()),
            Self::WindowPooling(WindowPooling::Mean) => write!(f, "window-pooling mean"),
            Self::WindowPooling(WindowPooling::Max) => write!(f, "window-pooling max"),
            Self::WindowPooling(WindowPooling::First) => write!(f, "window-pooling first"),
            Self::Calibration(CalibrationChoice::Auto) => write!(f, "calibration auto"),
            Self::Calibration(choice) => write!(f, "calibration {}", choice.methods()[0].name()),
        }
    }
}

/// What is known of the articles before any trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether enough articles have a title to look at titles alone.
    pub has_titles: bool,
    /// Whether enough articles are read in several windows to look at their pooling.
    pub has_long: bool,
    pub task: Task,
}

/// What cross-validation found of the document's head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DocumentFit {
    pub strength: f64,
    /// Whether it has any weight beside the other views.
    pub counts: bool,
}

/// Every change of these settings, in the order of trials: what concerns the document alone only where it counts, and what makes all articles go through
/// the encoder again at the end. Of calibrations those that can change a decision: that of a `single` task does not depend on a factor of its logits.
pub fn all(settings: &TrainSettings, document: DocumentFit, facts: Facts) -> Vec<Change> {
    let mut changes = Vec::new();
    if document.counts {
        if facts.has_titles {
            changes.extend(TITLE_WEIGHTS.map(Change::TitleWeight));
        }
        changes.push(Change::ClassWeight(match settings.head.class_weight {
            ClassWeight::Uniform => ClassWeight::Balanced,
            _ => ClassWeight::Uniform,
        }));
        changes.extend(STRENGTH_STEPS.map(|step| Change::Strength(rounded(document.strength * step))));
    }
    let views = settings.head.views.iter().copied();
    changes.extend(views.filter(|view| *view != ViewKind::Document).map(Change::Without));
    let calibrations: &[CalibrationChoice] = match facts.task {
        Task::Single => &[CalibrationChoice::Platt, CalibrationChoice::Isotonic],
        Task::Multi => &[CalibrationChoice::Temperature, CalibrationChoice::Platt, CalibrationChoice::Isotonic],
    };
    changes.extend(calibrations.iter().copied().map(Change::Calibration));
    if document.counts && facts.has_long {
        changes.extend([WindowPooling::Max, WindowPooling::First].map(Change::WindowPooling));
    }
    changes
}

/// To two digits, so that 0.3 · 3 is 0.9.
fn rounded(strength: f64) -> f64 {
    format!("{strength:.1e}").parse().expect("a number is read as it was written")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Facts = Facts { has_titles: false, has_long: false, task: Task::Multi };

    #[test]
    fn changes_fit_the_articles_and_the_settings() {
        let mut settings = TrainSettings::default();
        settings.head.views = vec![ViewKind::Document, ViewKind::Words];
        let names = |counts, facts| {
            let document = DocumentFit { strength: 0.3, counts };
            all(&settings, document, facts).iter().map(Change::to_string).collect::<Vec<_>>()
        };
        let plain = names(true, PLAIN);
        assert_eq!(
            plain[..4],
            ["class-weight balanced", "strengths 0.09", "strengths 0.9", "without view words"],
            "{plain:?}"
        );
        let rich = Facts { has_titles: true, has_long: true, ..PLAIN };
        let more = names(true, rich);
        let added: Vec<&String> = more.iter().filter(|name| !plain.contains(name)).collect();
        assert_eq!(added, ["title-weight 0.2", "title-weight 0.5", "window-pooling max", "window-pooling first"]);
        assert_eq!(names(false, rich), plain[3..], "of a document without weight nothing is changed");
    }

    #[test]
    fn a_change_shows_in_the_settings_once() {
        let facts = Facts { has_titles: true, has_long: true, task: Task::Single };
        let given = TrainSettings::default();
        for change in all(&given, DocumentFit { strength: 10.0, counts: true }, facts) {
            let mut settings = given.clone();
            assert!(change.apply(&mut settings), "{change}");
            assert_ne!(settings, given, "{change}");
            assert!(!change.apply(&mut settings), "{change}");
            assert!(change.is_undone_by(&change));
        }
        assert!(Change::TitleWeight(0.2).is_undone_by(&Change::TitleWeight(0.5)));
        assert!(!Change::Without(ViewKind::Words).is_undone_by(&Change::Without(ViewKind::Rules)));
    }
}
