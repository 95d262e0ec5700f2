//! Logits to probabilities that mean frequencies, and probabilities to labels.
//!
//! * [`temperature`]: one factor for all logits
//! * [`platt`]: a line per label before its sigmoid
//! * [`beta`]: a line with a bend per label
//! * [`isotonic`]: any rising curve per label
//! * [`choice`]: which of these
//! * [`thresholds`]: from which probability a label is assigned
//! * [`shift`]: probabilities for a batch whose labels are more or less frequent than in training
//! * [`restandardise`]: logits of texts from elsewhere, brought back to where they were in training
//!
//! All but the shift are fitted on out-of-fold logits: on the articles that trained it, a head is surer than it should be.

pub mod beta;
pub mod choice;
pub mod curves;
pub mod isotonic;
pub mod platt;
pub mod restandardise;
pub mod shift;
pub mod temperature;
pub mod thresholds;

use ndarray::{Array2, ArrayView2};
use thiserror::Error;

use self::beta::Beta;
use self::choice::Method;
use self::curves::{Curves, log_odds, log_sigmoid};
use self::isotonic::Isotonic;
use self::platt::Platt;
use self::temperature::Temperature;
use crate::labels::{Targets, Task};

/// What can be wrong with calibrations and thresholds, most often when they come from a file.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum CalibrationError {
    #[error("{what} is for {expected} labels, found {found}")]
    NLabels { what: &'static str, expected: usize, found: usize },
    #[error("{n_logits} rows of logits but labels for {n_targets} articles")]
    RowCount { n_logits: usize, n_targets: usize },
    #[error("article {row_idx} has label number {label_idx}, but there are {n_labels} labels")]
    LabelOutOfRange { row_idx: usize, label_idx: usize, n_labels: usize },
    #[error("logit of article {row_idx} for label number {label_idx} is {value}, it must be finite")]
    NonFinite { row_idx: usize, label_idx: usize, value: f64 },
    #[error("temperature {found} is outside {min} to {max}")]
    Temperature { found: f64, min: f64, max: f64 },
    #[error(
        "knots of label number {label_idx} are not at least two finite places, each further right and none lower than the one before"
    )]
    Knots { label_idx: usize },
    #[error("slope {found} of label number {label_idx} is not a positive number")]
    Slope { label_idx: usize, found: f64 },
    #[error("offset {found} of label number {label_idx} is not a finite number")]
    Offset { label_idx: usize, found: f64 },
    #[error("{n_slopes} slopes and {n_offsets} offsets; a Platt calibration needs one of each per label")]
    PlattShape { n_slopes: usize, n_offsets: usize },
    #[error("weights {found:?} for {n_views} views; a stack needs one for each, none negative")]
    Weights { n_views: usize, found: Vec<f64> },
    #[error("there is no article to learn from")]
    NoArticles,
    #[error(
        "training logits of label number {label_idx} have mean {mean} and standard deviation {sd}; both must be finite, the second not negative"
    )]
    Moments { label_idx: usize, mean: f64, sd: f64 },
    #[error("share {found} of label number {label_idx} is outside 0 to 1")]
    Share { label_idx: usize, found: f64 },
    #[error("the shares of the labels add up to {found}; with one label per article they must to 1")]
    ShareSum { found: f64 },
    #[error("probability of article {row_idx} for label number {label_idx} is {value}, outside 0 to 1")]
    Probability { row_idx: usize, label_idx: usize, value: f64 },
    #[error("the probabilities of article {row_idx} add up to {found}; with one label per article they must to 1")]
    ProbabilitySum { row_idx: usize, found: f64 },
    #[error("article {row_idx} is assigned {found} labels, expected one")]
    DecisionCount { row_idx: usize, found: usize },
    #[error("`{what}` is {found}, expected {expected}")]
    Setting { what: &'static str, expected: &'static str, found: f64 },
    #[error("threshold {found} of label number {label_idx} is outside 0 to 1")]
    Threshold { label_idx: usize, found: f64 },
    #[error(
        "cannot read the aim `{text}`: expected f1, precision>=P, recall>=R or fixed=T with a number between 0 and 1"
    )]
    Aim { text: String },
}

/// A fitted calibration. None lets a label's calibrated logit fall where its logit rises.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Calibration {
    /// Soft-max of all logits over one temperature; for `single`.
    Temperature(Temperature),
    /// Sigmoid of a curve per label; for `multi`.
    PerLabel(Curves),
    /// Each label against all others, for `single`: a curve per label on its log-odds by the soft-max of the logits, the sigmoids of a row over their
    /// sum.
    OneVsRest(Curves),
}

impl Calibration {
    /// Fits a temperature for single targets, Platt's lines for multi, on out-of-fold logits `[n_articles, n_labels]`.
    ///
    /// # Errors
    /// Logits that do not match the targets, or are not finite.
    pub fn fit(logits: ArrayView2<f64>, targets: &Targets, n_labels: usize) -> Result<Self, CalibrationError> {
        Self::fit_by(Method::usual(targets.task()), logits, targets, n_labels)
    }

    /// Fits by the method named, on out-of-fold logits `[n_articles, n_labels]`.
    ///
    /// The temperature of a multi-label task is a Platt calibration whose lines have one slope and no offset. Methods with a curve per label need
    /// to know of single-label tasks which logits count, since a soft-max sees only differences: they take log-odds, and scale what
    /// becomes of them to sum 1.
    ///
    /// # Errors
    /// Logits that do not match the targets, or are not finite.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::calibration::{Calibration, choice::Method};
    /// use topicwire::labels::{LabelId, Targets};
    /// let logits = array![[1.0, -1.0], [0.5, 0.0], [-1.0, 1.0], [0.2, -0.2]];
    /// let targets = Targets::Single([0, 0, 1, 1].map(LabelId).to_vec());
    /// for method in Method::ALL {
    ///     let calibration = Calibration::fit_by(method, logits.view(), &targets, 2)?;
    ///     let probabilities = calibration.probabilities(logits.view())?;
    ///     assert!(probabilities.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-12));
    /// }
    /// # Ok::<(), topicwire::calibration::CalibrationError>(())
    /// ```
    pub fn fit_by(
        method: Method,
        logits: ArrayView2<f64>,
        targets: &Targets,
        n_labels: usize,
    ) -> Result<Self, CalibrationError> {
        let curves = |logits: ArrayView2<f64>| {
            let indicator = targets.indicator(n_labels);
            Ok(match method {
                Method::None => Curves::Platt(Platt::identity(n_labels)),
                Method::Temperature => Curves::Platt(Platt::one_slope(
                    1.0 / Temperature::fit_multi(logits, indicator.view())?.value(),
                    n_labels,
                )),
                Method::Platt => Curves::Platt(Platt::fit(logits, indicator.view())?),
                Method::Beta => Curves::Beta(Beta::fit(logits, indicator.view())?),
                Method::Isotonic => Curves::Isotonic(Isotonic::fit(logits, indicator.view())?),
            })
        };
        match (targets, method) {
            (Targets::Single(_), Method::None) => Ok(Self::Temperature(Temperature::identity())),
            (Targets::Single(labels), Method::Temperature) => Ok(Self::Temperature(Temperature::fit(logits, labels)?)),
            (Targets::Single(_), _) => {
                check_finite(logits)?;
                Ok(Self::OneVsRest(curves(log_odds(logits).view())?))
            }
            (Targets::Multi(_), _) => Ok(Self::PerLabel(curves(logits)?)),
        }
    }

    /// Plain soft-max or sigmoids.
    pub fn identity(task: Task, n_labels: usize) -> Self {
        match task {
            Task::Single => Self::Temperature(Temperature::identity()),
            Task::Multi => Self::PerLabel(Curves::Platt(Platt::identity(n_labels))),
        }
    }

    /// The kind of task whose logits it takes.
    pub fn task(&self) -> Task {
        match self {
            Self::Temperature(_) | Self::OneVsRest(_) => Task::Single,
            Self::PerLabel(_) => Task::Multi,
        }
    }

    /// By how much the calibrated logit of a label rises with its logit, about.
    ///
    /// # Panics
    /// When there is no such label.
    pub fn slope(&self, label_idx: usize) -> f64 {
        match self {
            Self::Temperature(temperature) => 1.0 / temperature.value(),
            Self::PerLabel(curves) | Self::OneVsRest(curves) => curves.slope(label_idx),
        }
    }

    /// Calibrated logits: what a plain soft-max or sigmoid makes the probabilities of, `[n_articles, n_labels]` as are `logits`.
    ///
    /// # Errors
    /// As [`Calibration::probabilities`].
    pub fn logits(&self, logits: ArrayView2<f64>) -> Result<Array2<f64>, CalibrationError> {
        match self {
            Self::Temperature(temperature) => Ok(logits.mapv(|logit| logit / temperature.value())),
            Self::PerLabel(curves) => curves.logits(logits),
            // A soft-max of logarithms divides by their sum, which is what is wanted.
            Self::OneVsRest(curves) => Ok(curves.logits(log_odds(logits).view())?.mapv_into(log_sigmoid)),
        }
    }

    /// Probabilities `[n_articles, n_labels]` from logits of the same shape; rows sum to 1 for single-label tasks.
    ///
    /// # Errors
    /// [`CalibrationError::NLabels`] when a calibration per label meets another number of labels.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::{calibration::Calibration, labels::Task};
    /// let calibration = Calibration::identity(Task::Single, 2);
    /// assert_eq!(calibration.probabilities(array![[3.0, 3.0]].view())?, array![[0.5, 0.5]]);
    /// # Ok::<(), topicwire::calibration::CalibrationError>(())
    /// ```
    pub fn probabilities(&self, logits: ArrayView2<f64>) -> Result<Array2<f64>, CalibrationError> {
        match self {
            Self::Temperature(temperature) => Ok(temperature.probabilities(logits)),
            Self::PerLabel(curves) => Ok(curves.logits(logits)?.mapv_into(sigmoid)),
            Self::OneVsRest(_) => Ok(Temperature::identity().probabilities(self.logits(logits)?.view())),
        }
    }
}

/// `1 / (1 + exp(−z))`, without overflow at either end.
pub(crate) fn sigmoid(z: f64) -> f64 {
    let exponential = (-z.abs()).exp();
    (if z >= 0.0 { 1.0 } else { exponential }) / (1.0 + exponential)
}

pub(crate) fn check_finite(logits: ArrayView2<f64>) -> Result<(), CalibrationError> {
    match logits.indexed_iter().find(|(_, value)| !value.is_finite()) {
        Some(((row_idx, label_idx), &value)) => Err(CalibrationError::NonFinite { row_idx, label_idx, value }),
        None => Ok(()),
    }
}

/// Whether there is an article, and a label in range for each.
fn check_targets(n_articles: usize, n_labels: usize, targets: &Targets) -> Result<(), CalibrationError> {
    if n_articles != targets.len() {
        return Err(CalibrationError::RowCount { n_logits: n_articles, n_targets: targets.len() });
    }
    if n_articles == 0 {
        return Err(CalibrationError::NoArticles);
    }
    for row_idx in 0..n_articles {
        if let Some(label) = targets.row(row_idx).iter().find(|label| label.0 >= n_labels) {
            return Err(CalibrationError::LabelOutOfRange { row_idx, label_idx: label.0, n_labels });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::RngExt;

    use super::*;
    use crate::labels::LabelId;
    use crate::rng::generator;

    /// Logits of a head that is too sure and leans towards the first label, and labels.
    fn sample(n: usize, task: Task) -> (Array2<f64>, Targets) {
        let mut rng = generator(8, "calibrations");
        let mut logits = Array2::from_shape_simple_fn((n, 3), || rng.random_range(-3.0..3.0));
        let fair = Calibration::identity(task, 3).probabilities(logits.view()).unwrap();
        let targets = match task {
            Task::Single => Targets::Single(
                fair.rows()
                    .into_iter()
                    .map(|row| {
                        let lot: f64 = rng.random();
                        LabelId(if lot < row[0] {
                            0
                        } else if lot < row[0] + row[1] {
                            1
                        } else {
                            2
                        })
                    })
                    .collect(),
            ),
            Task::Multi => Targets::Multi(
                fair.rows()
                    .into_iter()
                    .map(|row| (0..3).filter(|&k| rng.random::<f64>() < row[k]).map(LabelId).collect())
                    .collect(),
            ),
        };
        logits *= 3.0;
        logits.column_mut(0).mapv_inplace(|logit| logit + 2.0);
        (logits, targets)
    }

    #[test]
    fn every_method_mends_what_it_can_for_both_tasks() {
        for task in [Task::Single, Task::Multi] {
            let (logits, targets) = sample(6_000, task);
            let losses = Method::ALL.map(|method| {
                let calibration = Calibration::fit_by(method, logits.view(), &targets, 3).unwrap();
                assert_eq!(calibration.task(), task);
                let calibrated = calibration.logits(logits.view()).unwrap();
                // Probabilities are what a plain soft-max or sigmoid makes of the calibrated logits.
                let probabilities = calibration.probabilities(logits.view()).unwrap();
                let plain = Calibration::identity(task, 3).probabilities(calibrated.view()).unwrap();
                assert!(probabilities.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-12), "{method:?}");
                assert!(probabilities.iter().all(|p| *p > 0.0 && *p < 1.0), "{method:?}");
                choice::log_losses(calibrated.view(), &targets).unwrap().into_iter().sum::<f64>() / 6_000.0
            });
            // None, a factor, a factor and a shift; curves can do no worse than lines on the articles they are fitted to.
            let [none, temperature, platt, beta, isotonic] = losses;
            assert!(none > temperature + 0.01 && temperature > platt + 0.01, "{task}: {losses:?}");
            assert!(beta < platt + 1e-4 && isotonic < platt + 1e-3, "{task}: {losses:?}");
            if task == Task::Single {
                // Soft-max of logits that lean by 2 and are three times too large: no curve per label is exact, but they come near.
                let fair = Array2::from_shape_fn(logits.dim(), |(i, k)| {
                    (logits[[i, k]] - if k == 0 { 2.0 } else { 0.0 }) / 3.0
                });
                let best = choice::log_losses(fair.view(), &targets).unwrap().into_iter().sum::<f64>() / 6_000.0;
                assert!(platt < best + 0.02, "{platt}, at best {best}");
            }
        }
    }

    #[test]
    fn logits_far_out_give_probabilities_by_every_method() {
        for task in [Task::Single, Task::Multi] {
            let (logits, targets) = sample(600, task);
            for method in Method::ALL {
                let calibration = Calibration::fit_by(method, logits.view(), &targets, 3).unwrap();
                let far = array![[100.0, -100.0, 0.0], [-100.0, -100.0, -100.0], [1e6, 1e6, -1e6]];
                let probabilities = calibration.probabilities(far.view()).unwrap();
                assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{method:?}: {probabilities}");
                // A soft-max does not see what is added to all logits of a row.
                if task == Task::Single {
                    let moved = calibration.probabilities((&logits + 50.0).view()).unwrap();
                    let own = calibration.probabilities(logits.view()).unwrap();
                    assert!(moved.iter().zip(&own).all(|(a, b)| (a - b).abs() < 1e-9), "{method:?}");
                }
            }
        }
    }

    #[test]
    fn without_articles_nothing_is_changed() {
        for targets in [Targets::Single(vec![]), Targets::Multi(vec![])] {
            for method in Method::ALL {
                let calibration = Calibration::fit_by(method, Array2::zeros((0, 2)).view(), &targets, 2).unwrap();
                let found = calibration.probabilities(array![[0.0, 1.0]].view()).unwrap();
                let plain = Calibration::identity(targets.task(), 2).probabilities(array![[0.0, 1.0]].view()).unwrap();
                assert!(found.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-12), "{method:?}: {found}");
            }
        }
    }

    #[test]
    fn extreme_logits_give_probabilities() {
        let logits = array![[1e4, -1e4], [-1e4, -1e4], [0.0, 1e308]];
        for task in [Task::Single, Task::Multi] {
            let probabilities = Calibration::identity(task, 2).probabilities(logits.view()).unwrap();
            assert!(probabilities.iter().all(|p| (0.0..=1.0).contains(p)), "{probabilities}");
            if task == Task::Single {
                assert!(probabilities.sum_axis(ndarray::Axis(1)).iter().all(|sum| (sum - 1.0).abs() < 1e-12));
            }
        }
    }
}
