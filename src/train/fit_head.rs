//! From embeddings and labels to a head with calibration and thresholds.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::cross_validate::{FoldedDesign, PRODUCTS, StrengthScore, cross_validate};
use super::folds::Folds;
use crate::calibration::Calibration;
use crate::calibration::choice::{CalibrationSearch, Method, fit_and_score};
use crate::calibration::thresholds::{Aim, Thresholds, decide};
use crate::heads::logistic::{ClassWeight, check_class_weight, check_strength, check_targets};
use crate::heads::{LinearHead, Stopping};
use crate::labels::{LabelSet, Targets, Task};
use crate::progress::{Event, Progress};
use crate::views::ViewKind;
use crate::views::stack::Stack;

/// The final loss is left at most about half this share above its minimum: probabilities then agree with those of a fully
/// converged fit to about three digits.
const FINAL_TOLERANCE: f64 = 1e-6;
const MAX_EVALUATIONS: usize = 1_000;

/// Strength where the data is too small to choose one.
const FALLBACK_STRENGTH: f64 = 10.0;
/// Threshold where the data is too small to choose one.
const FALLBACK_THRESHOLD: f64 = 0.5;

/// How probabilities are made of logits, fitted to out-of-fold frequencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationChoice {
    /// Temperature for single, Platt's lines for multi, unless another has a clearly smaller log-loss on articles that it was not fitted to
    /// ([`CalibrationSearch::choose`]).
    #[default]
    #[serde(alias = "fitted")]
    Auto,
    /// Plain soft-max or sigmoids.
    #[serde(alias = "off")]
    None,
    Temperature,
    Platt,
    Beta,
    Isotonic,
}

impl CalibrationChoice {
    /// The methods to choose from, the simplest first.
    pub fn methods(self) -> &'static [Method] {
        match self {
            Self::Auto => &Method::ALL,
            Self::None => &[Method::None],
            Self::Temperature => &[Method::Temperature],
            Self::Platt => &[Method::Platt],
            Self::Beta => &[Method::Beta],
            Self::Isotonic => &[Method::Isotonic],
        }
    }
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
    /// What is seen of an article, for [`super::fit_views`]; `document` must be among them. [`fit_head()`] looks at embeddings alone.
    pub views: Vec<ViewKind>,
    pub seed: u64,
}

impl Default for HeadSettings {
    fn default() -> Self {
        Self {
            strengths: vec![0.3, 1.0, 3.0, 10.0, 30.0, 100.0],
            n_folds: 5,
            class_weight: ClassWeight::Uniform,
            aim: Aim::F1,
            calibration: CalibrationChoice::Auto,
            views: ViewKind::ALL.to_vec(),
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
        if self.aim.check().is_err() {
            let found = self.aim.to_string();
            return Err(TrainError::Setting { name: "aim", found, expected: "a number between 0 and 1" });
        }
        if !self.views.contains(&ViewKind::Document) {
            let found = self.views.iter().map(|view| view.name()).collect::<Vec<_>>().join(",");
            return Err(TrainError::Setting { name: "views", found, expected: "`document` among them" });
        }
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
    /// Every strength tried, ascending: up to the first at which the log-loss is not smaller than before.
    pub strengths: Vec<StrengthScore>,
    /// Logits at the strength chosen.
    pub oof_logits: Array2<f64>,
    /// Probabilities by a calibration fitted on the other folds' logits.
    pub oof_probabilities: Array2<f64>,
    /// Labels assigned by thresholds (or the maximum) from the other folds' probabilities.
    pub oof_decisions: Array2<bool>,
    /// Which calibration was chosen, and from which.
    pub calibration: CalibrationSearch,
}

/// A head that has no calibration and no thresholds yet.
pub(super) struct Undecided {
    pub(super) head: LinearHead,
    pub(super) strength: f64,
    pub(super) cv: Option<OutOfFoldHead>,
}

/// What cross-validation has found of a head alone.
pub(super) struct OutOfFoldHead {
    pub(super) folds: Folds,
    pub(super) strengths: Vec<StrengthScore>,
    /// `[n_articles, n_labels]`
    pub(super) logits: Array2<f64>,
}

/// Chooses the strength of the penalty by cross-validation, fits the head on all articles, and calibration and thresholds on
/// the out-of-fold logits.
///
/// # Strength
/// The one with the smallest log-loss out of fold, once the logits are calibrated there: a strong penalty makes a head timid, which
/// calibration mends, so it must not decide (Berta, Bach & Jordan, *Rethinking Early Stopping: Refine, Then Calibrate*,
/// 2025). Measured with all-MiniLM-L6-v2 and strengths 0.1, 1, 10, 100, 1000, test accuracy by calibrated log-loss, plain
/// log-loss, accuracy (means of ten draws of 8 or 16 articles per label): AG News at 8 73.0, 72.9, 73.2, at 16 79.6, 78.5, 79.4; TREC
/// at 8 56.3, 56.2, 55.9; BANKING77 at 8 83.8, 83.8, 83.7; SST-5 in full 42.6, 42.6, 42.0. Strengths half a decade apart
/// bring up to 0.8 points over whole ones (CAP 55.2 to 56.0, White House 77.0 to 77.8). The search goes from strong penalties to weak
/// ones and ends where the log-loss rises.
///
/// # Small data
/// A label needs two articles before one of them can be held out. With fewer than two such labels (single) or none (multi) there
/// is no cross-validation: the strength is the only one given or else 10, probabilities stay uncalibrated, and thresholds are
/// 0.5 or what [`Aim::Fixed`] says. A warning tells so.
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
    fit_undecided(embeddings, targets, labels, settings, progress)?.decide(targets, labels.len(), settings)
}

impl Undecided {
    /// Adds what turns the logits into labels.
    pub(super) fn decide(
        self,
        targets: &Targets,
        n_labels: usize,
        settings: &CheckedHeadSettings,
    ) -> Result<FittedHead, TrainError> {
        let Self { head, strength, cv } = self;
        let settings = &settings.0;
        let Some(OutOfFoldHead { folds, strengths, logits: oof_logits }) = cv else {
            let threshold = match settings.aim {
                Aim::Fixed(threshold) => threshold,
                _ => FALLBACK_THRESHOLD,
            };
            let thresholds = match targets.task() {
                Task::Single => None,
                Task::Multi => Some(Thresholds::new(vec![threshold; n_labels])?),
            };
            let calibration = Calibration::identity(targets.task(), n_labels);
            return Ok(FittedHead { head, calibration, thresholds, strength, cv: None });
        };
        let view = [oof_logits.view()];
        let held_out = cross_fit(&view, targets, n_labels, &folds, settings)?;
        let all = Decider::fit(&view, targets, n_labels, held_out.calibration.chosen, settings.aim)?;
        let HeldOut { probabilities: oof_probabilities, decisions: oof_decisions, calibration } = held_out;
        let cv = CvReport { folds, strengths, oof_logits, oof_probabilities, oof_decisions, calibration };
        Ok(FittedHead { head, calibration: all.calibration, thresholds: all.thresholds, strength, cv: Some(cv) })
    }
}

/// As [`fit_head()`], up to the logits.
pub(super) fn fit_undecided(
    embeddings: ArrayView2<f32>,
    targets: &Targets,
    labels: &LabelSet,
    settings: &CheckedHeadSettings,
    progress: &dyn Progress,
) -> Result<Undecided, TrainError> {
    let settings = &settings.0;
    let n_labels = labels.len();
    check_targets(embeddings.nrows(), targets, n_labels, &settings.class_weight)?;
    warn_of_rare_labels(targets, labels, progress);
    let folds = Folds::stratified(targets, n_labels, settings.n_folds, settings.seed);
    let folded = FoldedDesign::new(embeddings, targets, &folds)?;

    let cross_validated = can_be_held_out(targets, n_labels);
    progress.event(Event::Started { stage: "fitting the head", total: None });
    let chosen = if cross_validated {
        Some(cross_validate(&folded, n_labels, &settings.strengths, &settings.class_weight, progress)?)
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
    let training = folded.training_set(None, n_labels, &settings.class_weight);
    let stopping = Stopping { tolerance: FINAL_TOLERANCE, max_evaluations: MAX_EVALUATIONS, noise: PRODUCTS.noise() };
    let start = chosen.as_ref().map(|(_, result)| result.coefficients.view());
    let solution = training.fit(strength, stopping, start, &|| progress.is_cancelled())?;
    if solution.n_unsolved > 0 {
        let (n_labels, n) = (solution.n_unsolved, solution.n_evaluations);
        let message = format!("the head of {n_labels} labels has not fully converged after {n} evaluations");
        progress.event(Event::Warning { message: &message });
    }
    let head = folded.design.head(targets.task(), solution.coefficients.view())?;
    progress.event(Event::Advanced { n_items: 1, n_tokens: 0 });

    progress.event(Event::Finished);
    let cv = chosen.map(|(strengths, result)| OutOfFoldHead { folds, strengths, logits: result.logits });
    Ok(Undecided { head, strength, cv })
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

/// What turns the logits of views into probabilities and labels.
pub(super) struct Decider {
    pub(super) stack: Stack,
    pub(super) calibration: Calibration,
    pub(super) thresholds: Option<Thresholds>,
}

impl Decider {
    /// Each of `views` is `[n_articles, n_labels]`.
    pub(super) fn fit(
        views: &[ArrayView2<f64>],
        targets: &Targets,
        n_labels: usize,
        method: Method,
        aim: Aim,
    ) -> Result<Self, TrainError> {
        let stack = fit_stack(views, targets, n_labels)?;
        let logits = stack.logits(views)?;
        let calibration = Calibration::fit_by(method, logits.view(), targets, n_labels)?;
        let thresholds = fit_thresholds(&calibration, logits.view(), targets, aim)?;
        Ok(Self { stack, calibration, thresholds })
    }
}

fn fit_stack(views: &[ArrayView2<f64>], targets: &Targets, n_labels: usize) -> Result<Stack, TrainError> {
    if views.len() == 1 {
        return Ok(Stack::single(Calibration::identity(targets.task(), n_labels)));
    }
    Ok(Stack::fit(views, targets, n_labels)?)
}

fn fit_thresholds(
    calibration: &Calibration,
    logits: ArrayView2<f64>,
    targets: &Targets,
    aim: Aim,
) -> Result<Option<Thresholds>, TrainError> {
    if targets.task() == Task::Single {
        return Ok(None);
    }
    let probabilities = calibration.probabilities(logits)?;
    let indicator = targets.indicator(logits.ncols());
    Ok(Some(Thresholds::fit(probabilities.view(), indicator.view(), aim)?))
}

/// What is said of articles by what others teach.
pub(super) struct HeldOut {
    /// `[n_articles, n_labels]`
    pub(super) probabilities: Array2<f64>,
    /// `[n_articles, n_labels]`
    pub(super) decisions: Array2<bool>,
    pub(super) calibration: CalibrationSearch,
}

/// A fold whose articles were held out from all of this.
struct Fold {
    training: Vec<usize>,
    held_out: Vec<usize>,
    stack: Stack,
    /// Of the held-out articles.
    logits: Array2<f64>,
    /// For each method its fit, and the log-losses of the held-out articles.
    calibrations: Vec<(Calibration, Vec<f64>)>,
}

/// Chooses the calibration, and gives probabilities and decisions for every fold by what the other folds' out-of-fold logits teach.
///
/// Every fold has its own stack and fit of each method; the choice between methods is made once, by the losses of all articles. One of five is picked
/// by what is then reported, which flatters it by less than the methods differ.
pub(super) fn cross_fit(
    views: &[ArrayView2<f64>],
    targets: &Targets,
    n_labels: usize,
    folds: &Folds,
    settings: &HeadSettings,
) -> Result<HeldOut, TrainError> {
    let methods = settings.calibration.methods();
    let select = |rows: &[usize]| views.iter().map(|logits| logits.select(Axis(0), rows)).collect::<Vec<_>>();
    let stacked = |stack: &Stack, rows: &[usize]| {
        let own = select(rows);
        let own: Vec<_> = own.iter().map(|logits| logits.view()).collect();
        stack.logits(&own)
    };
    let parts: Vec<Fold> = (0..folds.n_folds())
        .into_par_iter()
        .map(|fold_idx| {
            let (training, held_out) = (folds.training(fold_idx), folds.held_out(fold_idx));
            let others = select(&training);
            let others: Vec<_> = others.iter().map(|logits| logits.view()).collect();
            let known = targets.select(&training);
            let stack = fit_stack(&others, &known, n_labels)?;
            let logits = stacked(&stack, &held_out)?;
            let taught = stack.logits(&others)?;
            let calibrations = fit_and_score(methods, &taught, &known, &logits, &targets.select(&held_out))?;
            Ok(Fold { training, held_out, stack, logits, calibrations })
        })
        .collect::<Result<_, TrainError>>()?;

    let losses: Vec<(Method, Vec<f64>)> = methods
        .iter()
        .enumerate()
        .map(|(place, &method)| (method, parts.iter().flat_map(|fold| fold.calibrations[place].1.clone()).collect()))
        .collect();
    let calibration = CalibrationSearch::choose(&losses, Method::usual(targets.task()));
    let place = methods.iter().position(|method| *method == calibration.chosen).expect("one of the methods is chosen");

    let decided: Vec<(Array2<f64>, Array2<bool>)> = parts
        .par_iter()
        .map(|fold| {
            let (own, _) = &fold.calibrations[place];
            let taught = stacked(&fold.stack, &fold.training)?;
            let thresholds = fit_thresholds(own, taught.view(), &targets.select(&fold.training), settings.aim)?;
            let probabilities = own.probabilities(fold.logits.view())?;
            let decisions = decide(probabilities.view(), thresholds.as_ref())?;
            Ok((probabilities, decisions))
        })
        .collect::<Result<_, TrainError>>()?;
    let mut probabilities = Array2::zeros(views[0].dim());
    let mut decisions = Array2::from_elem(views[0].dim(), false);
    for (fold, (part_probabilities, part_decisions)) in parts.iter().zip(decided) {
        for (place, &row_idx) in fold.held_out.iter().enumerate() {
            probabilities.row_mut(row_idx).assign(&part_probabilities.row(place));
            decisions.row_mut(row_idx).assign(&part_decisions.row(place));
        }
    }
    Ok(HeldOut { probabilities, decisions, calibration })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rand::RngExt;

    use super::*;
    use crate::heads::HeadError;
    use crate::labels::LabelId;
    use crate::progress::Silent;
    use crate::rng::generator;

    /// Articles around one centre per label; for multi-label tasks some have a second label or none.
    fn corpus(n_articles: usize, n_labels: usize, task: Task) -> (Array2<f32>, Targets, LabelSet) {
        let mut rng = generator(4, "corpus");
        let hidden_size = n_labels + 4;
        let mut x = Array2::from_shape_simple_fn((n_articles, hidden_size), || rng.random_range(-0.5..0.5f32));
        let mut rows = Vec::new();
        for row_idx in 0..n_articles {
            let mut own = vec![LabelId(row_idx % n_labels)];
            if task == Task::Multi {
                match rng.random_range(0..4) {
                    0 => own.clear(),
                    1 => own.push(LabelId((row_idx + 1) % n_labels)),
                    _ => {}
                }
                own.sort();
            }
            own.iter().for_each(|label| x[[row_idx, label.0]] += 0.8);
            rows.push(own);
        }
        let targets = match task {
            Task::Single => Targets::Single(rows.into_iter().flatten().collect()),
            Task::Multi => Targets::Multi(rows),
        };
        let labels = LabelSet::from_names((0..n_labels).map(|label_idx| format!("topic {label_idx}"))).unwrap();
        (x, targets, labels)
    }

    fn fit(x: &Array2<f32>, targets: &Targets, labels: &LabelSet, settings: HeadSettings) -> FittedHead {
        fit_head(x.view(), targets, labels, &settings.check().unwrap(), &Silent).unwrap()
    }

    #[test]
    fn the_same_bytes_at_any_number_of_threads() {
        for task in [Task::Single, Task::Multi] {
            let (x, targets, labels) = corpus(900, 5, task);
            let fitted: Vec<FittedHead> = [1, 2, 3]
                .into_iter()
                .map(|n_threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                    pool.install(|| fit(&x, &targets, &labels, HeadSettings::default()))
                })
                .collect();
            assert!(fitted.windows(2).all(|pair| pair[0] == pair[1]), "{task}");
            let other = fit(&x, &targets, &labels, HeadSettings { seed: 1, ..Default::default() });
            assert_ne!(other.cv.unwrap().folds, fitted[0].cv.as_ref().unwrap().folds);
        }
    }

    #[test]
    fn topics_are_learned_and_judged_on_unseen_articles() {
        for task in [Task::Single, Task::Multi] {
            let (x, targets, labels) = corpus(400, 4, task);
            let fitted = fit(&x, &targets, &labels, HeadSettings::default());
            let cv = fitted.cv.as_ref().unwrap();
            let truth = targets.indicator(4);
            let n_right = |decisions: &Array2<bool>| decisions.iter().zip(&truth).filter(|(a, b)| a == b).count();
            assert!(n_right(&cv.oof_decisions) > 1_600 * 85 / 100, "{task}: {}", n_right(&cv.oof_decisions));
            assert!((2..=6).contains(&cv.strengths.len()), "{:?}", cv.strengths);
            let best = cv.strengths.iter().map(|score| score.log_loss).fold(f64::INFINITY, f64::min);
            let chosen = cv.strengths.iter().find(|score| score.strength == fitted.strength).unwrap();
            assert_eq!(chosen.log_loss, best);
            assert_eq!(fitted.thresholds.is_some(), task == Task::Multi);
            assert_eq!(fitted.calibration.task(), task);
            assert!(cv.oof_probabilities.iter().all(|p| (0.0..=1.0).contains(p)));
        }
    }

    #[test]
    fn articles_that_are_noise_are_not_praised() {
        // Labels by lot: decisions tuned on the rows they are judged on would look better than chance.
        let mut rng = generator(6, "noise");
        let x = Array2::from_shape_simple_fn((300, 20), || rng.random_range(-1.0..1.0f32));
        let targets = Targets::Single((0..300).map(|_| LabelId(rng.random_range(0..2))).collect());
        let labels = LabelSet::from_names(["a", "b"]).unwrap();
        let cv = fit(&x, &targets, &labels, HeadSettings::default()).cv.unwrap();
        let hits = targets.indicator(2).iter().zip(&cv.oof_decisions).filter(|(a, b)| **a && **b).count();
        // Three standard deviations around one half.
        assert!((150 - 26..=150 + 26).contains(&hits), "{hits}");
        assert!(cv.oof_probabilities.iter().all(|p| (0.2..0.8).contains(p)));
    }

    #[test]
    fn tiny_data_falls_back_as_documented() {
        let labels = LabelSet::from_names(["a", "b"]).unwrap();
        let x = Array2::<f32>::eye(2);
        let single = Targets::Single(vec![LabelId(0), LabelId(1)]);
        let fitted = fit(&x, &single, &labels, HeadSettings::default());
        assert_eq!((fitted.strength, fitted.cv.is_none(), fitted.thresholds), (FALLBACK_STRENGTH, true, None));
        assert_eq!(fitted.calibration, Calibration::identity(Task::Single, 2));
        let multi = Targets::Multi(vec![vec![LabelId(0)], vec![LabelId(1)]]);
        let settings = HeadSettings { strengths: vec![3.0], aim: Aim::Fixed(0.3), ..Default::default() };
        let fitted = fit(&x, &multi, &labels, settings);
        assert_eq!((fitted.strength, fitted.thresholds.unwrap().as_slice()), (3.0, [0.3, 0.3].as_slice()));
        // Two of each label are enough.
        let x = ndarray::array![[1.0f32, 0.0], [0.0, 1.0], [1.0, 0.1], [0.1, 1.0]];
        let single = Targets::Single([0, 1, 0, 1].map(LabelId).to_vec());
        assert!(fit(&x, &single, &labels, HeadSettings::default()).cv.is_some());
    }

    #[test]
    fn a_rare_and_a_missing_label_do_no_harm() {
        for task in [Task::Single, Task::Multi] {
            let (x, targets, _) = corpus(60, 3, task);
            let labels = LabelSet::from_names(["a", "b", "c", "never", "once"]).unwrap();
            let targets = match targets {
                Targets::Single(mut rows) => {
                    rows[7] = LabelId(4);
                    Targets::Single(rows)
                }
                Targets::Multi(mut rows) => {
                    rows[7].push(LabelId(4));
                    Targets::Multi(rows)
                }
            };
            let warnings = Warnings::default();
            let settings = HeadSettings::default().check().unwrap();
            let fitted = fit_head(x.view(), &targets, &labels, &settings, &warnings).unwrap();
            let probabilities = fitted.calibration.probabilities(fitted.cv.unwrap().oof_logits.view()).unwrap();
            assert!(probabilities.iter().all(|p| p.is_finite()));
            assert!(probabilities.column(3).iter().all(|p| *p < 0.1), "{task}: {}", probabilities.column(3));
            let warnings = warnings.0.into_inner().unwrap();
            assert_eq!(warnings, ["no training article has label never", "only one training article has label once"]);
        }
    }

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Progress for Warnings {
        fn event(&self, event: Event<'_>) {
            if let Event::Warning { message } = event {
                self.0.lock().unwrap().push(message.to_owned());
            }
        }
    }

    /// Says stop after some steps.
    struct Impatient {
        n_steps: AtomicUsize,
        limit: usize,
    }

    impl Progress for Impatient {
        fn event(&self, event: Event<'_>) {
            if let Event::Advanced { n_items, .. } = event {
                self.n_steps.fetch_add(n_items as usize, Ordering::Relaxed);
            }
        }

        fn is_cancelled(&self) -> bool {
            self.n_steps.load(Ordering::Relaxed) >= self.limit
        }
    }

    #[test]
    fn work_is_counted_and_can_be_stopped() {
        let (x, targets, labels) = corpus(100, 3, Task::Single);
        let settings = HeadSettings::default().check().unwrap();
        let run = |limit| {
            let progress = Impatient { n_steps: AtomicUsize::new(0), limit };
            let result = fit_head(x.view(), &targets, &labels, &settings, &progress);
            (result.map(|_| ()), progress.n_steps.into_inner())
        };
        let (result, n_steps) = run(usize::MAX);
        assert!(result.is_ok());
        // Five folds for each strength tried, and the fit on all articles.
        assert!(n_steps % 5 == 1 && (11..=31).contains(&n_steps), "{n_steps}");
        assert!(matches!(run(0), (Err(TrainError::Interrupted), 0)));
        assert!(matches!(run(3).0, Err(TrainError::Interrupted)));
    }

    #[test]
    fn settings_and_data_that_cannot_work_are_named() {
        let base = HeadSettings::default;
        for (settings, expected) in [
            (HeadSettings { strengths: vec![], ..base() }, "head setting `strengths` is empty"),
            (HeadSettings { n_folds: 1, ..base() }, "head setting `n_folds` is 1, expected at least 2"),
            (HeadSettings { aim: Aim::Fixed(2.0), ..base() }, "head setting `aim` is fixed=2, expected a number"),
            (HeadSettings { strengths: vec![-1.0], ..base() }, "head setting `strength` is -1"),
        ] {
            let error = settings.check().unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            let message = format!("{error}: {source}");
            assert!(message.contains(expected), "{message}");
        }
        let checked = HeadSettings { strengths: vec![10.0, 1.0, 10.0], ..base() }.check().unwrap();
        assert_eq!(checked.get().strengths, [1.0, 10.0]);

        let (mut x, targets, labels) = corpus(30, 3, Task::Single);
        let settings = base().check().unwrap();
        let error = |x: &Array2<f32>, targets: &Targets, labels: &LabelSet| match fit_head(
            x.view(),
            targets,
            labels,
            &settings,
            &Silent,
        )
        .unwrap_err()
        {
            TrainError::Head(error) => error,
            other => panic!("{other}"),
        };
        let two = LabelSet::from_names(["a", "b"]).unwrap();
        assert!(matches!(error(&x, &targets, &two), HeadError::LabelOutOfRange { label_idx: 2, n_labels: 2, .. }));
        assert!(matches!(error(&x, &targets.select(&[0, 1]), &labels), HeadError::RowCount { n_targets: 2, .. }));
        let same = targets.select(&[0; 30]);
        assert!(matches!(error(&x, &same, &labels), HeadError::TooFewLabels { n_present: 1, .. }));
        x[[17, 2]] = f32::NAN;
        assert!(matches!(error(&x, &targets, &labels), HeadError::NonFinite { row_idx: 17, column_idx: 2, .. }));
    }

    #[test]
    fn settings_are_plain_json_with_defaults() {
        let json = r#"{"n_folds": 3, "aim": "precision>=0.9", "class_weight": "balanced", "calibration": "off"}"#;
        let settings: HeadSettings = serde_json::from_str(json).unwrap();
        let expected = HeadSettings {
            n_folds: 3,
            aim: Aim::Precision(0.9),
            class_weight: ClassWeight::Balanced,
            calibration: CalibrationChoice::None,
            ..Default::default()
        };
        assert_eq!(settings, expected);
        assert_eq!(serde_json::from_str::<HeadSettings>(&serde_json::to_string(&settings).unwrap()).unwrap(), settings);
        assert!(serde_json::from_str::<HeadSettings>(r#"{"n_fold": 3}"#).is_err());
    }
}
