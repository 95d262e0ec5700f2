//! From embeddings, texts and labels to views, the stack that puts them together, calibration and thresholds.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::fit_head::{
    CalibrationChoice, CheckedHeadSettings, CvReport, Decider, FittedHead, HeldOut, OutOfFoldHead, Undecided,
    cross_fit, fit_undecided,
};
use super::folds::Folds;
use super::{HeadSettings, TrainError};
use crate::calibration::Calibration;
use crate::calibration::restandardise::Restandardise;
use crate::calibration::thresholds::Thresholds;
use crate::heads::multi_instance::{Bags, MultiInstanceSettings, PassageTargets};
use crate::heads::sparse_linear::SparseLinearSettings;
use crate::heads::{PrunedHead, SparseRows};
use crate::labels::{LabelSet, Targets};
use crate::metrics::probability::{log_loss_multi, log_loss_single};
use crate::progress::{Event, Progress, Quiet};
use crate::text::TitledText;
use crate::views::descriptions::DescriptionsHead;
use crate::views::metadata::{MetadataColumns, MetadataHead, Values};
use crate::views::passages::PassagesHead;
use crate::views::rules::Rules;
use crate::views::stack::Stack;
use crate::views::words::{Vocabulary, VocabularySettings, WordsHead};
use crate::views::{Features, View, ViewKind};

/// Strengths that the words view chooses from. On diplomacy, AG News and Reuters-21578 the best were 30, 1 and 3.
const WORDS_STRENGTHS: [f64; 4] = [1.0, 3.0, 10.0, 30.0];

/// Terms that are counted at most: those in most articles. Three quarters of what 7,667 articles of Reuters hold more than once.
const MAX_TERMS: usize = 150_000;

/// What the words view may take on the disk. Down to an eighth of it nothing was lost on the three sets above.
const WORDS_BYTES: usize = 8 << 20;

/// Share by which passages must lower the held-out log-loss of the other views, or they are not worth their time: they are the only view that
/// slows the reading of articles down.
const MIN_PASSAGES_GAIN: f64 = 0.01;

/// What views are fitted to; all of the same articles, in the same order.
#[derive(Clone, Copy)]
pub struct TrainingFeatures<'a> {
    /// `[n_articles, hidden_size]`
    pub embeddings: ArrayView2<'a, f32>,
    /// Title included; needed for views of words and rules.
    pub texts: &'a [String],
    /// Needed for a view of passages.
    pub passages: Option<Bags<'a>>,
    /// Labels of passages, where they are known.
    pub passage_targets: Option<&'a PassageTargets>,
    /// What the labels mean, where that is a view.
    pub descriptions: Option<&'a DescriptionsHead>,
    /// Hints of the labels, where they have any.
    pub rules: Option<&'a Rules>,
    /// Columns that are a view, none for no such view.
    pub metadata_columns: &'a [String],
    /// Their values.
    pub metadata: &'a [Values],
}

impl<'a> TrainingFeatures<'a> {
    /// Embeddings and words, nothing else.
    pub fn new(embeddings: ArrayView2<'a, f32>, texts: &'a [String]) -> Self {
        Self {
            embeddings,
            texts,
            passages: None,
            passage_targets: None,
            descriptions: None,
            rules: None,
            metadata_columns: &[],
            metadata: &[],
        }
    }
}

/// All that is learned, but for the names of the labels.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedViews {
    /// The document's first.
    pub views: Vec<View>,
    pub stack: Stack,
    pub calibration: Calibration,
    /// Of each view's out-of-fold logits, calibrated; empty without cross-validation.
    pub moments: Vec<Restandardise>,
    pub thresholds: Option<Thresholds>,
    /// Strength of the document view.
    pub strength: f64,
    /// Strength of the words view, where there is one.
    pub words_strength: Option<f64>,
    pub cv: Option<CvReport>,
}

impl FittedViews {
    fn of_document(fitted: FittedHead, targets: &Targets, n_labels: usize) -> Result<Self, TrainError> {
        let moments = match &fitted.cv {
            Some(cv) => vec![Restandardise::fit(fitted.calibration.logits(cv.oof_logits.view())?.view(), targets)?],
            None => Vec::new(),
        };
        Ok(Self {
            moments,
            views: vec![View::Document(fitted.head)],
            stack: Stack::single(Calibration::identity(targets.task(), n_labels)),
            calibration: fitted.calibration,
            thresholds: fitted.thresholds,
            strength: fitted.strength,
            words_strength: None,
            cv: fitted.cv,
        })
    }
}

/// A fitted view, and what it said of articles that it was not fitted to.
struct Candidate {
    view: View,
    /// `[n_articles, n_labels]`
    oof_logits: Array2<f64>,
}

/// Fits every view that the settings name, on the same folds, and puts them together by their out-of-fold logits.
///
/// Where the data is too small to hold articles out, the document's embedding is the only view. A view that would get no weight in the stack
/// is left out, and passages if held-out articles are hardly judged better with them. Notes tell so. The vocabulary of the
/// words is made of all articles, held out or not; it knows no labels.
///
/// # Errors
/// As [`fit_head`](super::fit_head()).
///
/// # Panics
/// When views are wanted whose features are missing.
pub fn fit_views(
    features: &TrainingFeatures<'_>,
    targets: &Targets,
    labels: &LabelSet,
    checked: &CheckedHeadSettings,
    progress: &dyn Progress,
) -> Result<FittedViews, TrainError> {
    let n_labels = labels.len();
    let document = fit_undecided(features.embeddings, targets, labels, checked, progress)?;
    let of_document =
        |document: Undecided| FittedViews::of_document(document.decide(targets, n_labels, checked)?, targets, n_labels);
    let settings = checked.get();
    let wants = |kind| settings.views.contains(&kind);
    if settings.views.len() == 1 {
        return of_document(document);
    }
    let Some(cv) = &document.cv else {
        let message = "too few articles per label to weigh views: the embedding of the whole article is the only one";
        progress.event(Event::Warning { message });
        return of_document(document);
    };
    let mut candidates = vec![Candidate { view: View::Document(document.head.clone()), oof_logits: cv.logits.clone() }];
    if wants(ViewKind::Passages) {
        progress.event(Event::Started { stage: "fitting the passages", total: None });
        candidates.push(fit_passages(features, targets, n_labels, &cv.folds, progress)?);
        progress.event(Event::Finished);
    }
    let mut words_strength = None;
    if wants(ViewKind::Words) {
        progress.event(Event::Started { stage: "fitting the words", total: None });
        let words = fit_words(features.texts, targets, n_labels, &cv.folds, settings, progress)?;
        words_strength = Some(words.strength);
        candidates.push(Candidate { view: View::Words(Box::new(words.head)), oof_logits: words.oof_logits });
        progress.event(Event::Finished);
    }
    if let Some(descriptions) = features.descriptions.filter(|_| wants(ViewKind::Descriptions)) {
        let seen = Features { embeddings: features.embeddings, texts: &[], passages: features.passages, metadata: &[] };
        candidates
            .push(Candidate { view: View::Descriptions(descriptions.clone()), oof_logits: descriptions.logits(seen)? });
    }
    if let Some(rules) = features.rules.filter(|_| wants(ViewKind::Rules)) {
        let texts: Vec<_> = features.texts.iter().map(|text| TitledText::untitled(text)).collect();
        candidates.push(Candidate { view: View::Rules(rules.clone()), oof_logits: rules.logits(&texts) });
    }

    if !features.metadata_columns.is_empty() && wants(ViewKind::Metadata) {
        candidates.extend(fit_metadata(features, targets, labels, checked, progress)?);
    }

    let judge = Judge { targets, n_labels, folds: &cv.folds, settings };
    judge.choose(&mut candidates, progress)?;
    if candidates.len() == 1 {
        return of_document(document);
    }
    let views: Vec<_> = candidates.iter().map(|candidate| candidate.oof_logits.view()).collect();
    let HeldOut { probabilities: oof_probabilities, decisions: oof_decisions, calibration } =
        cross_fit(&views, targets, n_labels, &cv.folds, settings)?;
    let decider = Decider::fit(&views, targets, n_labels, calibration.chosen, settings.aim)?;
    let oof_logits = decider.stack.logits(&views)?;
    let moments = views
        .iter()
        .zip(decider.stack.calibrations())
        .map(|(logits, calibration)| Restandardise::fit(calibration.logits(logits.view())?.view(), targets))
        .collect::<Result<_, _>>()?;
    let views: Vec<View> = candidates.into_iter().map(|candidate| candidate.view).collect();
    Ok(FittedViews {
        words_strength: words_strength.filter(|_| views.iter().any(|view| view.kind() == ViewKind::Words)),
        views,
        stack: decider.stack,
        calibration: decider.calibration,
        moments,
        thresholds: decider.thresholds,
        strength: document.strength,
        cv: document.cv.map(|OutOfFoldHead { folds, strengths, .. }| CvReport {
            folds,
            strengths,
            oof_logits,
            oof_probabilities,
            oof_decisions,
            calibration,
        }),
    })
}

/// Weighs views against each other.
struct Judge<'a> {
    targets: &'a Targets,
    n_labels: usize,
    folds: &'a Folds,
    settings: &'a HeadSettings,
}

impl Judge<'_> {
    /// Leaves out what adds nothing. The document stays, whatever its weight.
    fn choose(&self, candidates: &mut Vec<Candidate>, progress: &dyn Progress) -> Result<(), TrainError> {
        let is_passages = |candidate: &Candidate| candidate.view.kind() == ViewKind::Passages;
        if candidates.iter().any(is_passages) {
            let with = self.held_out_loss(candidates.iter())?;
            let without = self.held_out_loss(candidates.iter().filter(|candidate| !is_passages(candidate)))?;
            if with > (1.0 - MIN_PASSAGES_GAIN) * without {
                candidates.retain(|candidate| !is_passages(candidate));
                let message = format!(
                    "passages are left out: they change held-out log-loss from {without:.4} to {with:.4}, which is not worth their time"
                );
                progress.event(Event::Note { message: &message });
            }
        }
        let views: Vec<_> = candidates.iter().map(|candidate| candidate.oof_logits.view()).collect();
        let weights = Stack::fit(&views, self.targets, self.n_labels)?.weights().to_vec();
        let mut weight = weights.iter();
        candidates.retain(|candidate| {
            let kind = candidate.view.kind();
            let stays = weight.next().is_none_or(|weight| *weight > 0.0) || kind == ViewKind::Document;
            if !stays {
                let message = format!("the {} view adds nothing to the others: it is left out", kind.name());
                progress.event(Event::Note { message: &message });
            }
            stays
        });
        Ok(())
    }

    /// Mean log-loss of the views together on articles that stack and calibration have not seen.
    fn held_out_loss<'c>(&self, candidates: impl Iterator<Item = &'c Candidate>) -> Result<f64, TrainError> {
        let views: Vec<_> = candidates.map(|candidate| candidate.oof_logits.view()).collect();
        // The same simple calibration on both sides: only the views are compared.
        let calibration = match self.targets {
            Targets::Single(_) => CalibrationChoice::Temperature,
            Targets::Multi(_) => CalibrationChoice::Platt,
        };
        let settings = HeadSettings { calibration, ..self.settings.clone() };
        let probabilities = cross_fit(&views, self.targets, self.n_labels, self.folds, &settings)?.probabilities;
        Ok(match self.targets {
            Targets::Single(labels) => log_loss_single(labels, probabilities.view())?,
            Targets::Multi(_) => log_loss_multi(self.targets.indicator(self.n_labels).view(), probabilities.view())?,
        })
    }
}

fn fit_passages(
    features: &TrainingFeatures<'_>,
    targets: &Targets,
    n_labels: usize,
    folds: &Folds,
    progress: &dyn Progress,
) -> Result<Candidate, TrainError> {
    let bags = features.passages.expect("passages are embedded for a view of them");
    let settings = MultiInstanceSettings::default().check()?;
    let interrupted = || progress.is_cancelled();
    let fit = |rows: &[usize]| -> Result<PassagesHead, TrainError> {
        let head = settings.fit(bags, rows, targets, features.passage_targets, n_labels, &interrupted)?;
        Ok(PassagesHead::new(head))
    };
    let parts: Vec<(Vec<usize>, Array2<f64>)> = (0..folds.n_folds())
        .into_par_iter()
        .map(|fold_idx| {
            let held_out = folds.held_out(fold_idx);
            let logits = fit(&folds.training(fold_idx))?.logits(bags)?;
            let of_fold = logits.select(Axis(0), &held_out);
            Ok((held_out, of_fold))
        })
        .collect::<Result<_, TrainError>>()?;
    let mut oof_logits = Array2::zeros((targets.len(), n_labels));
    for (held_out, of_fold) in parts {
        for (row_idx, row) in held_out.into_iter().zip(of_fold.rows()) {
            oof_logits.row_mut(row_idx).assign(&row);
        }
    }
    let everything: Vec<usize> = (0..targets.len()).collect();
    Ok(Candidate { view: View::Passages(fit(&everything)?), oof_logits })
}

/// A view of columns; none where no value repeats.
fn fit_metadata(
    features: &TrainingFeatures<'_>,
    targets: &Targets,
    labels: &LabelSet,
    settings: &CheckedHeadSettings,
    progress: &dyn Progress,
) -> Result<Option<Candidate>, TrainError> {
    let columns = MetadataColumns::fit(features.metadata_columns, features.metadata);
    if columns.values.is_empty() {
        let message = format!("no value of {} repeats: the metadata view is left out", columns.columns.join(", "));
        progress.event(Event::Warning { message: &message });
        return Ok(None);
    }
    // The same seed makes the same folds.
    let fitted = fit_undecided(columns.rows(features.metadata).view(), targets, labels, settings, &Quiet(progress))?;
    let oof_logits = fitted.cv.expect("the document could be cross-validated").logits;
    Ok(Some(Candidate { view: View::Metadata(MetadataHead::new(columns, fitted.head)?), oof_logits }))
}

struct FittedWords {
    head: WordsHead,
    strength: f64,
    /// `[n_articles, n_labels]`, of heads cut to the same size as the final one.
    oof_logits: Array2<f64>,
}

fn fit_words(
    texts: &[String],
    targets: &Targets,
    n_labels: usize,
    folds: &Folds,
    settings: &HeadSettings,
    progress: &dyn Progress,
) -> Result<FittedWords, TrainError> {
    let stop_if_asked = || if progress.is_cancelled() { Err(TrainError::Interrupted) } else { Ok(()) };
    let vocabulary =
        Vocabulary::fit(texts, &VocabularySettings { max_features: Some(MAX_TERMS), ..VocabularySettings::default() })?;
    let rows = vocabulary.transform(texts);
    stop_if_asked()?;
    let linear = SparseLinearSettings { seed: settings.seed, ..SparseLinearSettings::default() };
    let interrupted = || progress.is_cancelled();
    let folds_of_rows = folds.fold_of_row();
    let checked = linear.clone().check()?;
    let mut tried =
        checked.out_of_fold_unless(&rows, targets, n_labels, folds_of_rows, &WORDS_STRENGTHS, &interrupted)?;
    let best = tried.best(targets);
    let strength = WORDS_STRENGTHS[best];
    stop_if_asked()?;

    let linear = SparseLinearSettings { strength, ..linear }.check()?;
    let fit_on = |row_indices: &[u32], rows: &SparseRows| -> Result<(PrunedHead, WordsHead), TrainError> {
        let fitted = linear.fit_unless(rows, row_indices, targets, n_labels, &interrupted)?.head;
        let pruned = fitted.prune(vocabulary.idf(), &vocabulary.column_bytes(), WORDS_BYTES)?;
        let head = WordsHead::new(vocabulary.select(&pruned.columns)?, pruned.head.clone())?;
        Ok((pruned, head))
    };
    let everything: Vec<u32> = (0..texts.len() as u32).collect();
    let (pruned, head) = fit_on(&everything, &rows)?;
    let oof_logits = if pruned.was_cut {
        let mut logits = Array2::zeros((texts.len(), n_labels));
        for fold_idx in 0..folds.n_folds() {
            stop_if_asked()?;
            let training: Vec<u32> = folds.training(fold_idx).into_iter().map(|row_idx| row_idx as u32).collect();
            let (_, head) = fit_on(&training, &rows)?;
            let held_out = folds.held_out(fold_idx);
            let of_fold = head.logits_of(held_out.iter().map(|&row_idx| &texts[row_idx]))?;
            for (row_idx, row) in held_out.into_iter().zip(of_fold.rows()) {
                logits.row_mut(row_idx).assign(&row);
            }
        }
        logits
    } else {
        tried.logits.swap_remove(best)
    };
    Ok(FittedWords { head, strength, oof_logits })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rand::RngExt;

    use super::*;
    use crate::labels::{LabelId, Task};
    use crate::metrics::probability::{log_loss_multi, log_loss_single};
    use crate::rng::generator;

    /// Notes warnings.
    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Progress for Warnings {
        fn event(&self, event: Event<'_>) {
            if let Event::Warning { message } = event {
                self.0.lock().unwrap().push(message.to_owned());
            }
        }
    }

    /// Articles of three topics, or of several at once: how much embeddings say of them, and whether words do.
    fn corpus(n_articles: usize, task: Task, signal: f32, words_tell: bool) -> (Array2<f32>, Vec<String>, Targets) {
        const TELLING: [&str; 3] = ["harbour ships freight", "soldiers tanks training", "court judges verdict"];
        let mut rng = generator(9, "views");
        let mut embeddings = Array2::from_shape_simple_fn((n_articles, 8), || rng.random_range(-0.5..0.5f32));
        let (mut texts, mut rows) = (Vec::new(), Vec::new());
        for row_idx in 0..n_articles {
            let mut own = vec![LabelId(row_idx % 3)];
            if task == Task::Multi && rng.random_range(0..3) == 0 {
                own.push(LabelId((row_idx + 1) % 3));
                own.sort();
            }
            own.iter().for_each(|label| embeddings[[row_idx, label.0]] += signal);
            let mut text = format!("report {} of {}", rng.random_range(0..50), rng.random_range(0..50));
            for label in &own {
                // Now and then the words say nothing.
                if words_tell && rng.random_range(0..10) > 0 {
                    text.push_str(&format!(" on {}", TELLING[label.0]));
                }
            }
            texts.push(text);
            rows.push(own);
        }
        let targets = match task {
            Task::Single => Targets::Single(rows.into_iter().flatten().collect()),
            Task::Multi => Targets::Multi(rows),
        };
        (embeddings, texts, targets)
    }

    fn fit(data: &(Array2<f32>, Vec<String>, Targets), views: &[ViewKind]) -> (FittedViews, Vec<String>) {
        let labels = LabelSet::from_names(["trade", "defense", "law"]).unwrap();
        let settings = HeadSettings { views: views.to_vec(), ..HeadSettings::default() }.check().unwrap();
        let warnings = Warnings::default();
        let features = TrainingFeatures::new(data.0.view(), &data.1);
        let fitted = fit_views(&features, &data.2, &labels, &settings, &warnings).unwrap();
        (fitted, warnings.0.into_inner().unwrap())
    }

    const BOTH: [ViewKind; 2] = [ViewKind::Document, ViewKind::Words];

    fn held_out_loss(fitted: &FittedViews, targets: &Targets) -> f64 {
        let probabilities = fitted.cv.as_ref().unwrap().oof_probabilities.view();
        match targets {
            Targets::Single(labels) => log_loss_single(labels, probabilities).unwrap(),
            Targets::Multi(_) => log_loss_multi(targets.indicator(3).view(), probabilities).unwrap(),
        }
    }

    #[test]
    fn words_that_tell_more_than_embeddings_are_made_use_of() {
        for task in [Task::Single, Task::Multi] {
            let data = corpus(240, task, 0.3, true);
            let (both, warnings) = fit(&data, &BOTH);
            let (alone, _) = fit(&data, &[ViewKind::Document]);
            assert_eq!(warnings, Vec::<String>::new());
            // Calibrated logits of views that err independently count in full.
            let weights = both.stack.weights();
            assert!(weights.iter().all(|weight| *weight > 0.5), "{task}: {weights:?}");
            let (with, without) = (held_out_loss(&both, &data.2), held_out_loss(&alone, &data.2));
            assert!(with < 0.6 * without, "{task}: {with}, alone {without}");
            assert!(both.words_strength.is_some() && alone.words_strength.is_none());
        }
    }

    #[test]
    fn words_that_tell_nothing_do_no_harm() {
        for task in [Task::Single, Task::Multi] {
            let data = corpus(240, task, 0.8, false);
            let (both, alone) = (fit(&data, &BOTH).0, fit(&data, &[ViewKind::Document]).0);
            let (with, without) = (held_out_loss(&both, &data.2), held_out_loss(&alone, &data.2));
            assert!(with < 1.03 * without, "{task}: {with}, alone {without}");
        }
    }

    #[test]
    fn the_same_bytes_at_any_number_of_threads() {
        let data = corpus(120, Task::Multi, 0.3, true);
        let fitted: Vec<FittedViews> = [1, 2, 3]
            .into_iter()
            .map(|n_threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                pool.install(|| fit(&data, &BOTH).0)
            })
            .collect();
        assert!(fitted.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn too_few_articles_leave_the_words_out_and_say_so() {
        let data = corpus(3, Task::Single, 0.8, true);
        let (fitted, warnings) = fit(&data, &BOTH);
        assert_eq!(fitted.views.len(), 1);
        assert!(warnings.iter().any(|message| message.contains("the only one")), "{warnings:?}");
    }

    #[test]
    fn the_document_cannot_be_left_out() {
        let settings = HeadSettings { views: vec![ViewKind::Words], ..HeadSettings::default() };
        let message = settings.check().unwrap_err().to_string();
        assert_eq!(message, "head setting `views` is words, expected `document` among them");
    }
}
