//! From which probability a label is assigned.
//!
//! # How thresholds are chosen
//! PLACEHOLDER

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CalibrationError, sigmoid};

/// Positives that a label's own outcomes must bring to weigh as much as its probabilities; see the head of this file for how it
/// was chosen.
pub const SMOOTHING_POSITIVES: f64 = 100.0;

/// Keeps logits finite where a probability is 0 or 1 to the last digit.
const EDGE: f64 = 1e-12;

/// What thresholds aim at. As text, also in JSON: `f1`, `precision>=0.9`, `recall>=0.8`, `fixed=0.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Aim {
    /// The largest F1 of each label.
    #[default]
    F1,
    /// As many as possible of each label's articles, with at least this share of the assignments right.
    Precision(f64),
    /// As few wrong assignments as possible, with at least this share of each label's articles found.
    Recall(f64),
    /// The same threshold for all labels.
    Fixed(f64),
}

impl Aim {
    /// Whether its number is between 0 and 1.
    ///
    /// # Errors
    /// [`CalibrationError::Aim`].
    pub fn check(self) -> Result<(), CalibrationError> {
        match self {
            Self::F1 => Ok(()),
            Self::Precision(share) | Self::Recall(share) | Self::Fixed(share) if (0.0..=1.0).contains(&share) => Ok(()),
            _ => Err(CalibrationError::Aim { text: self.to_string() }),
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F1 => f.write_str("f1"),
            Self::Precision(share) => write!(f, "precision>={share}"),
            Self::Recall(share) => write!(f, "recall>={share}"),
            Self::Fixed(threshold) => write!(f, "fixed={threshold}"),
        }
    }
}

impl FromStr for Aim {
    type Err = CalibrationError;

    fn from_str(text: &str) -> Result<Self, CalibrationError> {
        let error = || CalibrationError::Aim { text: text.to_owned() };
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
        let aim = if compact == "f1" {
            Self::F1
        } else {
            let (kind, number) = compact.split_once(">=").or_else(|| compact.split_once('=')).ok_or_else(error)?;
            let share: f64 = number.parse().map_err(|_| error())?;
            match (kind, compact.contains(">=")) {
                ("precision", true) => Self::Precision(share),
                ("recall", true) => Self::Recall(share),
                ("fixed", false) => Self::Fixed(share),
                _ => return Err(error()),
            }
        };
        aim.check().map_err(|_| error())?;
        Ok(aim)
    }
}

impl TryFrom<String> for Aim {
    type Error = CalibrationError;

    fn try_from(text: String) -> Result<Self, CalibrationError> {
        text.parse()
    }
}

impl From<Aim> for String {
    fn from(aim: Aim) -> String {
        aim.to_string()
    }
}

/// A threshold per label, 0 to 1: a label is assigned when its probability is at least that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<f64>", into = "Vec<f64>")]
pub struct Thresholds(Vec<f64>);

impl TryFrom<Vec<f64>> for Thresholds {
    type Error = CalibrationError;

    fn try_from(thresholds: Vec<f64>) -> Result<Self, CalibrationError> {
        Self::new(thresholds)
    }
}

impl From<Thresholds> for Vec<f64> {
    fn from(thresholds: Thresholds) -> Vec<f64> {
        thresholds.0
    }
}

impl Thresholds {
    /// Thresholds from outside, each 0 to 1.
    ///
    /// # Errors
    /// [`CalibrationError::Threshold`].
    pub fn new(thresholds: Vec<f64>) -> Result<Self, CalibrationError> {
        match thresholds.iter().position(|threshold| !(0.0..=1.0).contains(threshold)) {
            Some(label_idx) => Err(CalibrationError::Threshold { label_idx, found: thresholds[label_idx] }),
            None => Ok(Self(thresholds)),
        }
    }

    /// The threshold of each label.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// Chooses every label's threshold on calibrated out-of-fold `probabilities` and the truth, both `[n_articles, n_labels]`.
    ///
    /// An aim that no threshold reaches gets the threshold that comes nearest to it.
    ///
    /// # Errors
    /// Shapes that differ, and an aim whose number is not 0 to 1.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::calibration::thresholds::{Aim, Thresholds};
    /// let probabilities = array![[0.9], [0.4], [0.1]];
    /// let thresholds = Thresholds::fit(probabilities.view(), array![[true], [true], [false]].view(), Aim::F1)?;
    /// assert!(0.1 < thresholds.as_slice()[0] && thresholds.as_slice()[0] <= 0.4);
    /// # Ok::<(), topicwire::calibration::CalibrationError>(())
    /// ```
    pub fn fit(
        probabilities: ArrayView2<f64>,
        indicator: ArrayView2<bool>,
        aim: Aim,
    ) -> Result<Self, CalibrationError> {
        aim.check()?;
        if probabilities.nrows() != indicator.nrows() {
            let (n_logits, n_targets) = (probabilities.nrows(), indicator.nrows());
            return Err(CalibrationError::RowCount { n_logits, n_targets });
        }
        let n_labels = probabilities.ncols();
        if indicator.ncols() != n_labels {
            let found = indicator.ncols();
            return Err(CalibrationError::NLabels { what: "the matrix of probabilities", expected: n_labels, found });
        }
        if let Aim::Fixed(threshold) = aim {
            return Self::new(vec![threshold; n_labels]);
        }
        let thresholds = probabilities
            .axis_iter(Axis(1))
            .into_par_iter()
            .zip(indicator.axis_iter(Axis(1)))
            .map(|(probabilities, has_label)| best_threshold(probabilities, has_label, aim))
            .collect();
        Self::new(thresholds)
    }
}

/// Labels of each article, `[n_articles, n_labels]`: those that reach their threshold, or without thresholds the most probable
/// one, among equals the first.
///
/// # Errors
/// [`CalibrationError::NLabels`].
pub fn decide(
    probabilities: ArrayView2<f64>,
    thresholds: Option<&Thresholds>,
) -> Result<Array2<bool>, CalibrationError> {
    let Some(Thresholds(thresholds)) = thresholds else {
        let mut decisions = Array2::from_elem(probabilities.dim(), false);
        for (mut decision, row) in decisions.rows_mut().into_iter().zip(probabilities.rows()) {
            let peak = row.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            if let Some(best) = row.iter().position(|&probability| probability == peak) {
                decision[best] = true;
            }
        }
        return Ok(decisions);
    };
    if thresholds.len() != probabilities.ncols() {
        let (expected, found) = (thresholds.len(), probabilities.ncols());
        return Err(CalibrationError::NLabels { what: "the list of thresholds", expected, found });
    }
    Ok(Array2::from_shape_fn(probabilities.dim(), |(row_idx, label_idx)| {
        probabilities[[row_idx, label_idx]] >= thresholds[label_idx]
    }))
}

/// What assigning the most probable articles, down to a probability, brings.
struct Cut {
    /// Smallest probability assigned.
    lowest: f64,
    /// Largest probability not assigned, 0 if all are.
    next: f64,
    n_assigned: f64,
    hits: f64,
}

fn best_threshold(probabilities: ArrayView1<f64>, has_label: ArrayView1<bool>, aim: Aim) -> f64 {
    let n_positive = has_label.iter().filter(|has| **has).count() as f64;
    let trust = n_positive / (n_positive + SMOOTHING_POSITIVES);
    let mut points: Vec<(f64, f64)> = probabilities
        .iter()
        .zip(has_label)
        .map(|(&p, &has)| (p, trust * f64::from(u8::from(has)) + (1.0 - trust) * p))
        .collect();
    points.sort_by(|a, b| b.0.total_cmp(&a.0));
    let relevant: f64 = points.iter().map(|(_, share)| share).sum();

    let score = |cut: &Cut| {
        let (precision, recall) = (cut.hits / cut.n_assigned, cut.hits / relevant.max(f64::MIN_POSITIVE));
        match aim {
            Aim::F1 => (2.0 * cut.hits / (cut.n_assigned + relevant), 0.0),
            // First how much is missing from the aim, then the other measure.
            Aim::Precision(share) => ((precision - share).min(0.0), recall),
            Aim::Recall(share) => ((recall - share).min(0.0), precision),
            Aim::Fixed(threshold) => (-(cut.lowest - threshold).abs(), 0.0),
        }
    };
    let mut best: Option<((f64, f64), f64)> = None;
    let (mut hits, mut n_assigned) = (0.0, 0.0);
    for (place, (probability, share)) in points.iter().enumerate() {
        hits += share;
        n_assigned += 1.0;
        let next = points.get(place + 1).map_or(0.0, |(next, _)| *next);
        if next == *probability {
            continue;
        }
        let cut = Cut { lowest: *probability, next, n_assigned, hits };
        let score = score(&cut);
        if best.is_none_or(|(best, _)| score > best) {
            best = Some((score, between(cut.lowest, cut.next)));
        }
    }
    // Without articles nothing is known.
    best.map_or(0.5, |(_, threshold)| threshold)
}

/// The middle on the scale of logits, where probabilities near 0 keep their distances.
fn between(high: f64, low: f64) -> f64 {
    let logit = |p: f64| {
        let p = p.clamp(EDGE, 1.0 - EDGE);
        (p / (1.0 - p)).ln()
    };
    sigmoid(0.5 * (logit(high) + logit(low))).clamp(low, high)
}
