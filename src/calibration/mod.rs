//! Logits to probabilities that mean frequencies, and probabilities to labels.
//!
//! * [`temperature`]: one factor for all logits of a soft-max
//! * [`platt`]: a line per label before its sigmoid
//! * [`thresholds`]: from which probability a label is assigned
//! * [`contract`]: thresholds that keep a promise, and what is left for a person
//! * [`shift`]: probabilities for a batch whose labels are more or less frequent than in training
//! * [`restandardise`]: logits of texts from elsewhere, brought back to where they were in training
//!
//! All but the shift are fitted on out-of-fold logits: on the articles that trained it, a head is surer than it should be.

pub mod contract;
pub mod platt;
pub mod restandardise;
pub mod shift;
pub mod temperature;
pub mod thresholds;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use thiserror::Error;

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
    #[error("a contract for `{task}` {}", match .task {
        Task::Single => "has no ordinary thresholds, the most probable label is the ordinary one",
        Task::Multi => "needs the ordinary thresholds, which say what is for a person",
    })]
    ContractOrdinary { task: Task },
    #[error("the contract is for `{found}`, the classifier is `{expected}`")]
    ContractTask { expected: Task, found: Task },
    #[error("threshold {found} of label number {label_idx} is outside 0 to 1")]
    Threshold { label_idx: usize, found: f64 },
    #[error(
        "cannot read the aim `{text}`: expected f1, precision>=P, recall>=R or fixed=T with a number between 0 and 1"
    )]
    Aim { text: String },
}

/// A fitted calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibration {
    /// Soft-max of all logits over one temperature.
    Temperature(Temperature),
    /// Sigmoid of a line per label.
    Platt(Platt),
}

impl Calibration {
    /// Fits a temperature for single targets, Platt's lines for multi, on out-of-fold logits `[n_articles, n_labels]`.
    ///
    /// # Errors
    /// Logits that do not match the targets, or are not finite.
    pub fn fit(logits: ArrayView2<f64>, targets: &Targets, n_labels: usize) -> Result<Self, CalibrationError> {
        Ok(match targets {
            Targets::Single(labels) => Self::Temperature(Temperature::fit(logits, labels)?),
            Targets::Multi(_) => Self::Platt(Platt::fit(logits, targets.indicator(n_labels).view())?),
        })
    }

    /// Plain soft-max or sigmoids.
    pub fn identity(task: Task, n_labels: usize) -> Self {
        match task {
            Task::Single => Self::Temperature(Temperature::identity()),
            Task::Multi => Self::Platt(Platt::identity(n_labels)),
        }
    }

    /// The kind of task whose logits it takes.
    pub fn task(&self) -> Task {
        match self {
            Self::Temperature(_) => Task::Single,
            Self::Platt(_) => Task::Multi,
        }
    }

    /// Calibrated logits: what a plain soft-max or sigmoid makes the probabilities of, `[n_articles, n_labels]` as are `logits`.
    ///
    /// # Errors
    /// As [`Calibration::probabilities`].
    pub fn logits(&self, logits: ArrayView2<f64>) -> Result<Array2<f64>, CalibrationError> {
        match self {
            Self::Temperature(temperature) => Ok(logits.mapv(|logit| logit / temperature.value())),
            Self::Platt(platt) => platt.logits(logits),
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
            Self::Platt(platt) => platt.probabilities(logits),
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

    use super::*;

    #[test]
    fn calibrations_survive_json_and_broken_ones_are_refused() {
        let calibrations = [
            Calibration::Temperature(Temperature::new(1.7).unwrap()),
            Calibration::Platt(Platt::new(vec![0.5, 2.0], vec![-1.0, 1.0]).unwrap()),
        ];
        for calibration in calibrations {
            let json = serde_json::to_string(&calibration).unwrap();
            assert_eq!(serde_json::from_str::<Calibration>(&json).unwrap(), calibration, "{json}");
        }
        for (json, expected) in [
            (r#"{"temperature": 0.0}"#, "temperature 0 is outside 0.01 to 100"),
            (r#"{"platt": {"slopes": [1.0], "offsets": []}}"#, "1 slopes and 0 offsets"),
            (r#"{"platt": {"slopes": [-1.0], "offsets": [0.0]}}"#, "slope -1 of label number 0"),
            (r#"{"platt": {"slopes": [1.0], "offsets": [1e999]}}"#, "number out of range"),
            (r#"{"isotonic": {}}"#, "unknown variant `isotonic`"),
        ] {
            let message = serde_json::from_str::<Calibration>(json).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
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
