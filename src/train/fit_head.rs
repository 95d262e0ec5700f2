//! From embeddings and labels to a head with calibration and thresholds.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::cross_validate::{FoldedDesign, StrengthScore, cross_validate};
use super::folds::Folds;
use crate::calibration::thresholds::{Aim, Thresholds, decide};
use crate::calibration::{Calibration, platt::Platt, temperature::Temperature};
use crate::heads::logistic::{ClassWeight, check_class_weight, check_strength, check_targets};
use crate::heads::{LinearHead, Products, Stopping};
use crate::labels::{LabelSet, Targets, Task};
use crate::progress::{Event, Progress};

/// The final loss is left at most about half this share above its minimum: probabilities then agree with those of a fully
/// converged fit to about three digits.
const FINAL_TOLERANCE: f64 = 1e-6;
const MAX_EVALUATIONS: usize = 1_000;

/// Strength where the data is too small to choose one.
const FALLBACK_STRENGTH: f64 = 10.0;
/// Threshold where the data is too small to choose one.
const FALLBACK_THRESHOLD: f64 = 0.5;

/// Whether probabilities are fitted to out-of-fold frequencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationChoice {
    /// Temperature for single, Platt's lines for multi.
    #[default]
    Fitted,
    /// Plain soft-max or sigmoids.
    Off,
}

/// How a head is fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadSettings {
    /// Strengths to choose from (scikit-learn's `C`, larger is less regularised), at least one, all positive. One alone is taken as
    /// it is.
    pub strengths: Vec<f64>,
    /// Folds of the cross-validation, at least 2. There are never more than articles.
    pub n_folds: usize,
    pub class_weight: ClassWeight,
    /// What the thresholds of a multi-label task aim at.
    pub aim: Aim,
    pub calibration: CalibrationChoice,
    pub seed: u64,
}

impl Default for HeadSettings {
    fn default() -> Self {
        Self {
            strengths: vec![0.1, 1.0, 10.0, 100.0],
            n_folds: 5,
            class_weight: ClassWeight::Uniform,
            aim: Aim::F1,
            calibration: CalibrationChoice::Fitted,
            seed: 0,
        }
    }
}

/// Settings that have been checked; strengths ascend without repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedHeadSettings(HeadSettings);

impl HeadSettings {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`TrainError::Setting`] or [`TrainError::Head`], naming the setting.
    pub fn check(mut self) -> Result<CheckedHeadSettings, TrainError> {
        if self.strengths.is_empty() {
            return Err(TrainError::Setting { name: "strengths", found: "empty".into(), expected: "at least one" });
        }
        self.strengths.iter().try_for_each(|&strength| check_strength(strength))?;
        check_class_weight(&self.class_weight)?;
        if self.n_folds < 2 {
            let found = self.n_folds.to_string();
            return Err(TrainError::Setting { name: "n_folds", found, expected: "at least 2" });
        }
        self.aim.check()?;
        self.strengths.sort_by(f64::total_cmp);
        self.strengths.dedup();
        Ok(CheckedHeadSettings(self))
    }
}

impl CheckedHeadSettings {
    /// The settings as checked.
    pub fn get(&self) -> &HeadSettings {
        &self.0
    }
}

/// A head with everything that turns its logits into labels.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedHead {
    pub head: LinearHead,
    pub calibration: Calibration,
    /// Per label for multi-label tasks; single-label tasks take the most probable label.
    pub thresholds: Option<Thresholds>,
    /// Strength of the penalty that the head was fitted with.
    pub strength: f64,
    /// What cross-validation found; none where the data is too small for it.
    pub cv: Option<CvReport>,
}

/// Cross-validation: what models said about articles that they had not seen. All matrices are `[n_articles, n_labels]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CvReport {
    /// The fold in which each article was held out.
    pub folds: Folds,
    /// Every strength tried, ascending.
    pub strengths: Vec<StrengthScore>,
    /// Logits at the strength chosen.
    pub oof_logits: Array2<f64>,
    /// Probabilities by a calibration fitted on the other folds' logits.
    pub oof_probabilities: Array2<f64>,
    /// Labels assigned by thresholds (or the maximum) from the other folds' probabilities.
    pub oof_decisions: Array2<bool>,
}

/// Chooses the strength of the penalty by cross-validation, fits the head on all articles, and calibration and thresholds on
/// the out-of-fold logits.
///
/// The strength is the one with the smallest out-of-fold log-loss … see [`choose`].
///
/// # Small data
/// A label needs two articles before one of them can be held out. With fewer than two such labels (single) or none (multi) there is no cross-validation: the strength is the
/// only one given or else 10, probabilities stay uncalibrated, and thresholds are 0.5 or what [`Aim::Fixed`] says.
///
/// # Shapes
/// * `embeddings` `[n_articles, hidden_size]`
///
/// # Errors
/// Embeddings that are not finite, targets that do not match embeddings or labels, fewer than two labels that occur (single)
/// or none (multi), class weights for another number of labels; [`TrainError::Interrupted`] when `progress` says so.
///
/// # Example
/// ```
/// use ndarray::Array2;
/// use topicwire::labels::{LabelId, LabelSet, Targets};
/// use topicwire::progress::Silent;
/// use topicwire::train::{HeadSettings, fit_head};
/// let x = Array2::from_shape_fn((20, 2), |(i, j)| if i % 2 == j { 1.0 + i as f32 / 50.0 } else { 0.0 });
/// let targets = Targets::Single((0..20).map(|i| LabelId(i % 2)).collect());
/// let labels = LabelSet::from_names(["even", "odd"])?;
/// let fitted = fit_head(x.view(), &targets, &labels, &HeadSettings::default().check()?, &Silent)?;
/// let cv = fitted.cv.expect("ten articles of each label can be held out in turn");
/// assert!(cv.oof_decisions.outer_iter().zip(0..).all(|(row, i)| row[i % 2]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fit_head(
    embeddings: ArrayView2<f32>,
    targets: &Targets,
    labels: &LabelSet,
    settings: &CheckedHeadSettings,
    progress: &dyn Progress,
) -> Result<FittedHead, TrainError> {
    let settings = &settings.0;
    let n_labels = labels.len();
    check_targets(embeddings.nrows(), targets, n_labels, &settings.class_weight)?;
    warn_of_rare_labels(targets, labels, progress);
    let folds = Folds::stratified(targets, n_labels, settings.n_folds, settings.seed);
    let folded = FoldedDesign::new(embeddings, targets, &folds)?;

    let cross_validated = can_be_held_out(targets, n_labels);
    let n_steps = if cross_validated { folds.n_folds() * settings.strengths.len() + 1 } else { 1 };
    progress.event(Event::Started { stage: "fitting the head", total: Some(n_steps as u64) });
    let chosen = if cross_validated {
        let results = cross_validate(&folded, n_labels, &settings.strengths, &settings.class_weight, progress)?;
        let scores: Vec<StrengthScore> = results.iter().map(|result| result.score).collect();
        let best = choose(&scores);
        results.into_iter().nth(best).map(|result| (scores, result))
    } else {
        let message =
            "too few articles per label for cross-validation: strength, calibration and thresholds are defaults";
        progress.event(Event::Warning { message });
        None
    };

    let strength = match &chosen {
        Some((_, result)) => result.score.strength,
        None if settings.strengths.len() == 1 => settings.strengths[0],
        None => FALLBACK_STRENGTH,
    };
    let training = folded.training_set(None, n_labels, &settings.class_weight, Products::F64);
    let stopping = Stopping { tolerance: FINAL_TOLERANCE, max_evaluations: MAX_EVALUATIONS };
    let start = chosen.as_ref().map(|(_, result)| result.coefficients.view());
    let solution = training.fit(strength, stopping, start, &|| progress.is_cancelled())?;
    if solution.n_unsolved > 0 {
        let (n_labels, n) = (solution.n_unsolved, solution.n_evaluations);
        let message = format!("the head of {n_labels} labels has not fully converged after {n} evaluations");
        progress.event(Event::Warning { message: &message });
    }
    let head = folded.design.head(targets.task(), solution.coefficients.view())?;
    progress.event(Event::Advanced { n_items: 1, n_tokens: 0 });

    let fitted = match chosen {
        Some((strengths, result)) => {
            let oof_logits = result.logits;
            let all = Decider::fit(oof_logits.view(), targets, n_labels, settings)?;
            let (oof_probabilities, oof_decisions) = cross_fit(oof_logits.view(), targets, n_labels, &folds, settings)?;
            let cv = CvReport { folds, strengths, oof_logits, oof_probabilities, oof_decisions };
            FittedHead { head, calibration: all.calibration, thresholds: all.thresholds, strength, cv: Some(cv) }
        }
        None => {
            let threshold = match settings.aim {
                Aim::Fixed(threshold) => threshold,
                _ => FALLBACK_THRESHOLD,
            };
            let thresholds = match targets.task() {
                Task::Single => None,
                Task::Multi => Some(Thresholds::new(vec![threshold; n_labels])?),
            };
            let calibration = Calibration::identity(targets.task(), n_labels);
            FittedHead { head, calibration, thresholds, strength, cv: None }
        }
    };
    progress.event(Event::Finished);
    Ok(fitted)
}

/// Index of the strength to take.
fn choose(scores: &[StrengthScore]) -> usize {
    let best = scores.iter().map(|score| score.log_loss).fold(f64::INFINITY, f64::min);
    scores.iter().position(|score| score.log_loss <= best).unwrap_or(0)
}

/// Whether enough labels have two articles, so that one can be held out while the other trains.
fn can_be_held_out(targets: &Targets, n_labels: usize) -> bool {
    let n_repeated = targets.support(n_labels).into_iter().filter(|&support| support >= 2).count();
    match targets.task() {
        Task::Single => n_repeated >= 2,
        Task::Multi => n_repeated >= 1,
    }
}

fn warn_of_rare_labels(targets: &Targets, labels: &LabelSet, progress: &dyn Progress) {
    let support = targets.support(labels.len());
    for (n, what) in [(0, "no training article has"), (1, "only one training article has")] {
        let names: Vec<&str> = labels.names().zip(&support).filter(|(_, s)| **s == n).map(|(name, _)| name).collect();
        if !names.is_empty() {
            let message = format!("{what} label {}", names.join(", "));
            progress.event(Event::Warning { message: &message });
        }
    }
}

/// What turns logits into probabilities and labels.
struct Decider {
    calibration: Calibration,
    thresholds: Option<Thresholds>,
}

impl Decider {
    fn fit(
        logits: ArrayView2<f64>,
        targets: &Targets,
        n_labels: usize,
        settings: &HeadSettings,
    ) -> Result<Self, TrainError> {
        let calibration = match (settings.calibration, targets) {
            (CalibrationChoice::Off, _) => Calibration::identity(targets.task(), n_labels),
            (CalibrationChoice::Fitted, Targets::Single(labels)) => {
                Calibration::Temperature(Temperature::fit(logits, labels)?)
            }
            (CalibrationChoice::Fitted, Targets::Multi(_)) => {
                Calibration::Platt(Platt::fit(logits, targets.indicator(n_labels).view())?)
            }
        };
        let thresholds = match targets.task() {
            Task::Single => None,
            Task::Multi => {
                let probabilities = calibration.probabilities(logits)?;
                Some(Thresholds::fit(probabilities.view(), targets.indicator(n_labels).view(), settings.aim)?)
            }
        };
        Ok(Self { calibration, thresholds })
    }
}

/// Probabilities and decisions for every fold by what the other folds' out-of-fold logits teach.
fn cross_fit(
    logits: ArrayView2<f64>,
    targets: &Targets,
    n_labels: usize,
    folds: &Folds,
    settings: &HeadSettings,
) -> Result<(Array2<f64>, Array2<bool>), TrainError> {
    let parts: Vec<(Vec<usize>, Array2<f64>, Array2<bool>)> = (0..folds.n_folds())
        .into_par_iter()
        .map(|fold_idx| {
            let (training, held_out) = (folds.training(fold_idx), folds.held_out(fold_idx));
            let others = logits.select(Axis(0), &training);
            let decider = Decider::fit(others.view(), &targets.select(&training), n_labels, settings)?;
            let probabilities = decider.calibration.probabilities(logits.select(Axis(0), &held_out).view())?;
            let decisions = decide(probabilities.view(), decider.thresholds.as_ref())?;
            Ok((held_out, probabilities, decisions))
        })
        .collect::<Result<_, TrainError>>()?;
    let mut probabilities = Array2::zeros(logits.dim());
    let mut decisions = Array2::from_elem(logits.dim(), false);
    for (rows, part_probabilities, part_decisions) in parts {
        for (place, row_idx) in rows.into_iter().enumerate() {
            probabilities.row_mut(row_idx).assign(&part_probabilities.row(place));
            decisions.row_mut(row_idx).assign(&part_decisions.row(place));
        }
    }
    Ok((probabilities, decisions))
}
