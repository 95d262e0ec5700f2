//! From which probability a label is assigned.
//!
//! # How thresholds are chosen
//! Every label's articles are cut where the aim is met best out of fold. Cutting a label with five positives where its F1 was best
//! by chance ruins the micro average (and gains little in the macro one), so outcomes are smoothed: an article counts as
//! `trust · y + (1 − trust) · p` of a positive, with `y` its outcome, `p` its calibrated probability and
//! `trust = n₊ / (n₊ + 100)`. Frequent labels go by what happened, rare ones by what the calibration expects, and that calibration has
//! itself borrowed its slope from the labels together ([`super::platt`]). With `trust = 0` the best cut is at half the best
//! expected F1 (Lipton, Elkan & Narayanaswamy, *Optimal Thresholding of Classifiers to Maximize F1*, 2014).
//!
//! Micro- and macro-F1 in percent, all-MiniLM-L6-v2, logistic regression at the strength chosen by cross-validation. The constant and the
//! rule were chosen on the training articles alone, by thresholds fitted on four folds and applied to the fifth:
//!
//! | rule | Reuters-90 | NLU++ banking | situation types | Reuters-90 test |
//! |---|---|---|---|---|
//! | 0.5 everywhere | 88.0 / 49.6 | 80.3 / 78.7 | 55.8 / 44.2 | 86.0 / 45.2 |
//! | best F1 of each label, not smoothed | 31.3 / 57.1 | 81.0 / 81.3 | 60.4 / 53.7 | 32.5 / 53.5 |
//! | SCutFBR.3 (Yang 2001) | 87.5 / 56.3 | 81.0 / 81.3 | 60.5 / 52.0 | 86.1 / 53.8 |
//! | one threshold for all | 88.0 / 50.1 | 81.2 / 81.3 | 61.1 / 53.5 | 86.4 / 46.5 |
//! | best F1, logits shrunk to that one by n₊ / (n₊ + 10) | 87.9 / 52.8 | 81.2 / 81.8 | 60.5 / 53.2 | 86.2 / 50.0 |
//! | smoothed outcomes, n₊ + 10 | 87.0 / 57.5 | 81.1 / 81.4 | 60.2 / 53.8 | 85.8 / 57.1 |
//! | **smoothed outcomes, n₊ + 100** | **87.5 / 58.0** | **81.1 / 81.6** | **60.6 / 54.0** | **86.2 / 56.7** |
//! | expected outcomes only | 87.5 / 57.5 | 81.3 / 81.7 | 60.8 / 54.0 | 86.6 / 57.0 |
//!
//! Precision and recall aims read their curves off the same smoothed outcomes.

use std::fmt;
use std::str::FromStr;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CalibrationError, sigmoid};

/// Positives from which a label's own outcomes weigh as much as its probabilities; the head of this file says how it was chosen.
pub const SMOOTHING_POSITIVES: f64 = 1000.0;

/// Where there is no article to learn from.
const NO_ARTICLES_THRESHOLD: f64 = 0.5;

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
        if let Some(((row_idx, label_idx), &value)) = probabilities.indexed_iter().find(|(_, p)| !p.is_finite()) {
            return Err(CalibrationError::NonFinite { row_idx, label_idx, value });
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

fn best_threshold(probabilities: ArrayView1<f64>, has_label: ArrayView1<bool>, aim: Aim) -> f64 {
    let n_positive = has_label.iter().filter(|has| **has).count() as f64;
    let trust = n_positive / (n_positive + SMOOTHING_POSITIVES);
    // Probability and share of a positive of each article, the most probable first.
    let mut articles: Vec<(f64, f64)> = probabilities
        .iter()
        .zip(has_label)
        .map(|(&p, &has)| (p, trust * f64::from(u8::from(has)) + (1.0 - trust) * p))
        .collect();
    articles.sort_by(|a, b| b.0.total_cmp(&a.0));
    let relevant = articles.iter().map(|(_, share)| share).sum::<f64>().max(f64::MIN_POSITIVE);

    let (mut hits, mut n_assigned) = (0.0, 0.0);
    let mut best = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    let mut threshold = NO_ARTICLES_THRESHOLD;
    for (place, &(probability, share)) in articles.iter().enumerate() {
        hits += share;
        n_assigned += 1.0;
        let next = articles.get(place + 1).map_or(0.0, |(next, _)| *next);
        if next == probability && place + 1 < articles.len() {
            continue;
        }
        let (precision, recall) = (hits / n_assigned, hits / relevant);
        // The first number counts: how well the aim is met; the second decides among cuts that meet it alike.
        let score = match aim {
            Aim::F1 => (2.0 * hits / (n_assigned + relevant), 0.0),
            Aim::Precision(share) => ((precision - share).min(0.0), recall),
            Aim::Recall(share) => ((recall - share).min(0.0), precision),
            Aim::Fixed(threshold) => return threshold,
        };
        if score > best {
            best = score;
            threshold = between(probability, next);
        }
    }
    threshold
}

/// The middle on the scale of logits, where probabilities near 0 keep their distances.
fn between(high: f64, low: f64) -> f64 {
    let logit = |p: f64| {
        let p = p.clamp(EDGE, 1.0 - EDGE);
        (p / (1.0 - p)).ln()
    };
    sigmoid(0.5 * (logit(high) + logit(low))).clamp(low, high)
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::RngExt;

    use super::*;
    use crate::rng::generator;

    #[test]
    fn aims_are_read_and_written() {
        for (text, aim) in [
            ("f1", Aim::F1),
            (" F1 ", Aim::F1),
            ("precision>=0.9", Aim::Precision(0.9)),
            ("recall >= 0.8", Aim::Recall(0.8)),
            ("fixed=0.5", Aim::Fixed(0.5)),
        ] {
            assert_eq!(text.parse::<Aim>().unwrap(), aim);
            assert_eq!(aim.to_string().parse::<Aim>().unwrap(), aim);
            assert_eq!(serde_json::from_str::<Aim>(&serde_json::to_string(&aim).unwrap()).unwrap(), aim);
        }
        for text in ["", "f2", "precision=0.9", "recall>=1.5", "fixed=nan", "fixed>=0.5", "precision>=", "fixed=-0.1"] {
            let message = text.parse::<Aim>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("cannot read the aim `{text}`")), "{message}");
        }
    }

    /// Probabilities that are right on average, and outcomes drawn from them.
    fn sample(n: usize, peak: f64) -> (Array2<f64>, Array2<bool>) {
        let mut rng = generator(9, "thresholds");
        let probabilities = Array2::from_shape_simple_fn((n, 1), || peak * rng.random::<f64>().powi(2));
        let indicator = probabilities.mapv(|p| rng.random::<f64>() < p);
        (probabilities, indicator)
    }

    fn precision_and_recall(p: &Array2<f64>, y: &Array2<bool>, threshold: f64) -> (f64, f64) {
        let count = |keep: &dyn Fn(f64, bool) -> bool| p.iter().zip(y).filter(|(p, y)| keep(**p, **y)).count() as f64;
        let hits = count(&|p, y| p >= threshold && y);
        (hits / count(&|p, _| p >= threshold), hits / count(&|_, y| y))
    }

    #[test]
    fn aims_are_met_where_they_can_be() {
        let (p, y) = sample(20_000, 1.0);
        let fit = |aim| Thresholds::fit(p.view(), y.view(), aim).unwrap().as_slice()[0];
        let (precision, recall) = precision_and_recall(&p, &y, fit(Aim::Precision(0.8)));
        assert!((precision - 0.8).abs() < 0.01 && recall > 0.3, "{precision} {recall}");
        let (precision, recall) = precision_and_recall(&p, &y, fit(Aim::Recall(0.9)));
        assert!((recall - 0.9).abs() < 0.01 && precision > 0.3, "{precision} {recall}");
        assert_eq!(fit(Aim::Fixed(0.37)), 0.37);
        // The best cut of calibrated probabilities is at half the F1 that it gives (Lipton et al.).
        let threshold = fit(Aim::F1);
        let (precision, recall) = precision_and_recall(&p, &y, threshold);
        let f1 = 2.0 * precision * recall / (precision + recall);
        assert!((threshold - f1 / 2.0).abs() < 0.05, "{threshold} at an F1 of {f1}");
        // Out of reach: the cut that comes nearest is the most probable article alone.
        let (p, y) = sample(500, 0.4);
        let threshold = Thresholds::fit(p.view(), y.view(), Aim::Precision(1.0)).unwrap().as_slice()[0];
        assert!(p.iter().filter(|p| **p >= threshold).count() <= 10, "{threshold}");
    }

    #[test]
    fn rare_labels_go_by_their_probabilities() {
        // One positive by chance at the bottom must not pull the threshold down there.
        let p = Array2::from_shape_fn((200, 1), |(i, _)| if i < 5 { 0.6 } else { 0.01 });
        let y = Array2::from_shape_fn((200, 1), |(i, _)| i == 150);
        let threshold = Thresholds::fit(p.view(), y.view(), Aim::F1).unwrap().as_slice()[0];
        assert!(0.01 < threshold && threshold <= 0.6, "{threshold}");
    }

    #[test]
    fn decisions_take_ties_and_edges_as_documented() {
        let p = array![[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]];
        assert_eq!(decide(p.view(), None).unwrap(), array![[true, false, false], [false, false, true]]);
        let thresholds = Thresholds::new(vec![0.5, 1.0, 0.0]).unwrap();
        let expected = array![[true, false, true], [false, false, true]];
        assert_eq!(decide(p.view(), Some(&thresholds)).unwrap(), expected);
        let message = decide(p.view(), Some(&Thresholds::new(vec![0.5]).unwrap())).unwrap_err().to_string();
        assert_eq!(message, "the list of thresholds is for 1 labels, found 3");
        assert_eq!(decide(Array2::zeros((0, 3)).view(), None).unwrap().dim(), (0, 3));
    }

    #[test]
    fn thresholds_from_outside_are_checked() {
        let message = serde_json::from_str::<Thresholds>("[0.5, 1.5]").unwrap_err().to_string();
        assert_eq!(message, "threshold 1.5 of label number 1 is outside 0 to 1");
        assert_eq!(serde_json::from_str::<Thresholds>("[0.25]").unwrap().as_slice(), [0.25]);
        for (p, y) in [
            (array![[0.5]], array![[true], [false]]),
            (array![[0.5]], array![[true, false]]),
            (array![[f64::NAN]], array![[true]]),
        ] {
            assert!(Thresholds::fit(p.view(), y.view(), Aim::F1).is_err());
        }
        let none = Thresholds::fit(Array2::zeros((0, 2)).view(), Array2::from_elem((0, 2), true).view(), Aim::F1);
        assert_eq!(none.unwrap().as_slice(), [0.5, 0.5]);
    }
}
