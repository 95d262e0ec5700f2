//! One label per article: a teacher, a mixture over the unlabelled articles that follows it, and held-out articles that say how far.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::affine::{Affine, mean_row, softmax_rows};
use super::mixture::{Mixture, Pull, Space};
use super::priors::match_shares;
use super::teacher::{Told, by_anchors, centred_anchors, log_shares};
use super::{FewFit, FewSettings, Material, Shares};
use crate::calibration::CalibrationError;
use crate::calibration::temperature::Temperature;
use crate::labels::{LabelId, Targets, Task};
use crate::train::TrainError;
use crate::train::folds::Folds;

/// Cosines of anchors times this make probabilities of about the right size on AG News (expected calibration error 6 points); with
/// the 77 labels of BANKING77 they are too timid.
const ANCHOR_SHARPNESS: f64 = 8.0;
/// Logits of regressions on a few articles are timid: about the temperature that held-out articles ask for at strength 1 (AG News).
const UNHELD_TEMPERATURE: f64 = 0.25;
/// A mixture in hundreds of dimensions is too sure of itself; the temperature that mends it on AG News without labels.
const MIXTURE_TEMPERATURE: f64 = 3.0;

/// How far to follow the clusters of the unlabelled articles, tried on held-out labelled ones: not at all, with caution, boldly. The
/// cautious one survives unequal shares and foreign articles, the bold one is better where neither occurs.
const PULLS: [Pull; 3] = [
    Pull { trust: 0.0, teacher_weight: 1.0 },
    Pull { trust: 0.3, teacher_weight: 1.0 },
    Pull { trust: 1.0, teacher_weight: 0.25 },
];
/// A model whose labels all weigh the same, and the temperature of its logits.
struct Candidate {
    pull: Pull,
    temperature: Temperature,
    /// Of held-out articles, calibrated.
    log_loss: f64,
}

pub(super) fn fit(
    material: &Material,
    settings: &FewSettings,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<FewFit, TrainError> {
    let Material { labelled, targets, anchors, unlabelled, n_labels } = material;
    let (labelled, unlabelled, n_labels) = (labelled.view(), unlabelled.view(), *n_labels);
    let centred = anchors.as_ref().map(|anchors| centred_anchors(anchors.view()));
    let told = Told { labelled, targets, anchors: centred.as_ref().map(|anchors| anchors.view()), n_labels };
    let folds = can_hold_out(&told).then(|| Folds::stratified(targets, n_labels, settings.n_folds, settings.seed));

    let (teacher, strength, folded) = match (&folds, &centred, anchors) {
        (Some(folds), ..) => {
            let (strength, temperature, parts) = choose_strength(&told, folds, settings, interrupted)?;
            let teacher = told.fit(strength, settings.anchor_weight, interrupted)?;
            let factor = 1.0 / temperature.value();
            let parts = parts.iter().map(|part| part.scaled(factor)).collect::<Vec<_>>();
            (teacher.scaled(factor), Some(strength), Some(parts))
        }
        (None, Some(centred), Some(anchors)) if targets.is_empty() => {
            let mean = mean_row(anchors.view());
            (by_anchors(centred.view(), unlabelled, mean.view(), ANCHOR_SHARPNESS), None, None)
        }
        _ => {
            let strength = settings.strengths[0];
            let teacher = told.fit(strength, settings.anchor_weight, interrupted)?;
            (teacher.scaled(1.0 / UNHELD_TEMPERATURE), Some(strength), None)
        }
    };

    let support: Vec<f64> = targets.support(n_labels).into_iter().map(|count| count as f64).collect();
    if unlabelled.is_empty() {
        let log_shares = log_shares(&support, 1.0);
        return finish(teacher, log_shares, strength, None, None, unlabelled);
    }
    let pool = Pool { rows: unlabelled, settings };
    let space = pool.space(&teacher);
    let (pull, temperature) = match (&folds, &folded) {
        (Some(folds), Some(teachers)) => {
            let best = choose_pull(&told, folds, teachers, &pool, interrupted)?;
            (best.pull, best.temperature.value())
        }
        _ => (Pull { trust: settings.blind_trust, teacher_weight: 1.0 }, blind_temperature(settings.blind_trust)),
    };
    let (model, mixture) = match pool.follow(&space, &teacher, &told, pull) {
        Some((model, mixture)) => (model, Some(mixture)),
        None => (teacher, None),
    };
    let model = model.scaled(1.0 / temperature);
    let shares = match settings.shares {
        Shares::Equal => vec![1.0 / n_labels as f64; n_labels],
        // Unlabelled articles that held-out ones advise against tell nothing of shares either: SST-5 loses two points by them.
        Shares::Matched if pull.trust == 0.0 => log_shares(&support, 1.0).mapv(f64::exp).to_vec(),
        Shares::Matched => {
            let mass = settings.share_prior * unlabelled.nrows() as f64;
            let total: f64 = support.iter().map(|count| count + 1.0).sum();
            let pseudo_counts: Vec<f64> = support.iter().map(|count| mass * (count + 1.0) / total).collect();
            match_shares(model.scores(unlabelled).view(), &pseudo_counts)
        }
    };
    let log_shares = shares.iter().map(|share| share.ln()).collect();
    finish(model, log_shares, strength, Some(pull.trust), mixture, unlabelled)
}

fn finish(
    mut model: Affine,
    log_shares: Array1<f64>,
    strength: Option<f64>,
    trust: Option<f64>,
    mixture: Option<Mixture>,
    unlabelled: ArrayView2<f64>,
) -> Result<FewFit, TrainError> {
    model.offsets += &log_shares;
    let probabilities = softmax_rows(model.scores(unlabelled));
    let n_background = mixture.map(|mixture| unlabelled.nrows() as f64 - mixture.responsibilities.sum());
    Ok(FewFit {
        head: model.head(Task::Single)?,
        shares: log_shares.mapv(f64::exp).to_vec(),
        n_confident: super::count_confident(probabilities.view()),
        n_background: n_background.unwrap_or(0.0),
        strength,
        trust,
    })
}

/// From none without a mixture to that of a mixture followed in full.
fn blind_temperature(trust: f64) -> f64 {
    1.0 + (MIXTURE_TEMPERATURE - 1.0) * trust
}

/// The unlabelled articles.
struct Pool<'a> {
    rows: ArrayView2<'a, f64>,
    settings: &'a FewSettings,
}

impl Pool<'_> {
    fn space(&self, teacher: &Affine) -> Space {
        let posteriors = softmax_rows(teacher.scores(self.rows));
        Space::fit(self.rows, posteriors.view(), self.settings.whitening, self.settings.ridge)
    }

    /// Teacher and mixture together; `None` where the mixture is not followed at all.
    fn follow(&self, space: &Space, teacher: &Affine, told: &Told, pull: Pull) -> Option<(Affine, Mixture)> {
        if pull.trust == 0.0 {
            return None;
        }
        let log_probabilities = softmax_rows(teacher.scores(self.rows)).mapv(|p| p.max(f64::MIN_POSITIVE).ln());
        let sure = space.directions(told.labelled);
        let labels = told.targets.indicator(told.n_labels).mapv(f64::from);
        let mixture = Mixture::fit(space, log_probabilities.view(), sure.view(), labels.view(), pull);
        Some((mixture.evidence.plus(&teacher.scaled(pull.teacher_weight)), mixture))
    }
}

/// Whether every label is still known of when one of its articles is held out, and enough can be to tell models apart.
fn can_hold_out(told: &Told) -> bool {
    let support = told.targets.support(told.n_labels);
    let known = told.anchors.is_some() || support.iter().all(|&support| support >= 2);
    known && told.targets.len() >= 2 * told.n_labels
}

/// Held-out logits with a model for every fold.
fn held_out(told: &Told, folds: &Folds, models: &[Affine]) -> Array2<f64> {
    let mut logits = Array2::zeros((told.targets.len(), told.n_labels));
    for (fold_idx, model) in models.iter().enumerate() {
        let rows = folds.held_out(fold_idx);
        let scores = model.scores(told.labelled.select(Axis(0), &rows).view());
        for (&row_idx, scores) in rows.iter().zip(scores.rows()) {
            logits.row_mut(row_idx).assign(&scores);
        }
    }
    logits
}

/// The temperature of held-out logits, and their log-loss at it.
fn judge(logits: &Array2<f64>, targets: &Targets) -> Result<(Temperature, f64), CalibrationError> {
    let labels: Vec<LabelId> = (0..targets.len()).map(|row_idx| targets.row(row_idx)[0]).collect();
    let temperature = Temperature::fit(logits.view(), &labels)?;
    let probabilities = temperature.probabilities(logits.view());
    let losses = labels.iter().enumerate().map(|(i, label)| -probabilities[[i, label.0]].max(f64::MIN_POSITIVE).ln());
    Ok((temperature, losses.sum::<f64>() / labels.len() as f64))
}

/// The strength with the smallest log-loss of held-out articles, their temperature, and the teacher of every fold.
fn choose_strength(
    told: &Told,
    folds: &Folds,
    settings: &FewSettings,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<(f64, Temperature, Vec<Affine>), TrainError> {
    let mut best: Option<(f64, f64, Temperature, Vec<Affine>)> = None;
    for &strength in &settings.strengths {
        let models = (0..folds.n_folds())
            .map(|fold_idx| {
                let (labelled, targets) = part(told, folds, fold_idx);
                let told = Told { labelled: labelled.view(), targets: &targets, ..*told };
                Ok(told.fit(strength, settings.anchor_weight, interrupted)?)
            })
            .collect::<Result<Vec<_>, TrainError>>()?;
        let (temperature, log_loss) = judge(&held_out(told, folds, &models), told.targets)?;
        if best.as_ref().is_none_or(|(least, ..)| log_loss < *least) {
            best = Some((log_loss, strength, temperature, models));
        }
    }
    let (_, strength, temperature, models) = best.expect("checked settings have a strength");
    Ok((strength, temperature, models))
}

fn part(told: &Told, folds: &Folds, fold_idx: usize) -> (Array2<f64>, Targets) {
    let rows = folds.training(fold_idx);
    (told.labelled.select(Axis(0), &rows), told.targets.select(&rows))
}

/// The pull with the smallest log-loss of held-out articles.
fn choose_pull(
    told: &Told,
    folds: &Folds,
    teachers: &[Affine],
    pool: &Pool,
    interrupted: &(dyn Fn() -> bool + Sync),
) -> Result<Candidate, TrainError> {
    let mut models: Vec<Vec<Affine>> = vec![Vec::new(); PULLS.len()];
    for (fold_idx, teacher) in teachers.iter().enumerate() {
        if interrupted() {
            return Err(TrainError::Interrupted);
        }
        let (labelled, targets) = part(told, folds, fold_idx);
        let told = Told { labelled: labelled.view(), targets: &targets, ..*told };
        let space = pool.space(teacher);
        for (models, pull) in models.iter_mut().zip(PULLS) {
            let followed = pool.follow(&space, teacher, &told, pull);
            models.push(followed.map_or_else(|| teacher.clone(), |(model, _)| model));
        }
    }
    let mut best: Option<Candidate> = None;
    for (models, pull) in models.iter().zip(PULLS) {
        let (temperature, log_loss) = judge(&held_out(told, folds, models), told.targets)?;
        if best.as_ref().is_none_or(|best| log_loss < best.log_loss) {
            best = Some(Candidate { pull, temperature, log_loss });
        }
    }
    Ok(best.expect("there are pulls to choose from"))
}
