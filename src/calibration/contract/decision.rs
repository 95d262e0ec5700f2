//! What a contract makes of one article: labels, and what a person should look at, with the reason.

use std::fmt;

use super::{Contract, Promise};
use crate::calibration::CalibrationError;
use crate::calibration::thresholds::Thresholds;
use crate::labels::{LabelId, LabelSet, Task};

/// Whether an article needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// No label is in doubt.
    Auto,
    /// At least one is.
    Review,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Review => "review",
        })
    }
}

/// Why a label is for a person to judge.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// It would be assigned, but not as surely as promised.
    BelowContract { label: LabelId, probability: f64, threshold: f64 },
    /// It would be assigned, but there was no threshold from which the promise is known to hold.
    NeverAutomatic { label: LabelId, probability: f64 },
    /// It would not be assigned, but leaving out all like it would miss more than promised.
    MightBeMissed { label: LabelId, probability: f64, threshold: f64 },
}

impl Reason {
    /// The label in doubt.
    pub fn label(&self) -> LabelId {
        match *self {
            Self::BelowContract { label, .. }
            | Self::NeverAutomatic { label, .. }
            | Self::MightBeMissed { label, .. } => label,
        }
    }

    /// The reason as text, such as ``trade 0.87 is below 0.95, from where it is automatic``.
    ///
    /// `labels` are those of the classifier that the contract is for.
    pub fn text<'a>(&'a self, labels: &'a LabelSet) -> ReasonText<'a> {
        ReasonText { reason: self, labels }
    }
}

/// A [`Reason`] to be written out.
#[derive(Clone, Copy, Debug)]
pub struct ReasonText<'a> {
    reason: &'a Reason,
    labels: &'a LabelSet,
}

impl fmt::Display for ReasonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.labels.name(self.reason.label());
        match *self.reason {
            Reason::BelowContract { probability, threshold, .. } => {
                let (probability, threshold) = apart(probability, threshold);
                write!(f, "{name} {probability} is below {threshold}, from where it is automatic")
            }
            Reason::NeverAutomatic { probability, .. } => write!(f, "{name} {probability:.2} is never automatic"),
            Reason::MightBeMissed { probability, threshold, .. } => {
                let (threshold, probability) = apart(threshold, probability);
                write!(f, "{name} {probability} is not assigned, but from {threshold} it may be right")
            }
        }
    }
}

/// Two digits, or as many more as tell the smaller number from the larger.
fn apart(low: f64, high: f64) -> (String, String) {
    const MAX_DIGITS: usize = 6;
    (2..=MAX_DIGITS)
        .map(|digits| (format!("{low:.digits$}"), format!("{high:.digits$}")))
        .find(|(low, high)| low != high)
        .unwrap_or_else(|| (low.to_string(), high.to_string()))
}

/// What is decided about one article.
#[derive(Clone, Debug, PartialEq)]
pub struct RowDecision {
    /// Assigned without a person, ascending. A promise of precision is about these.
    pub labels: Vec<LabelId>,
    /// For a person to judge, ascending, none of `labels`. A promise of recall is about these and `labels` together.
    pub review: Vec<LabelId>,
    /// One for each of `review`.
    pub reasons: Vec<Reason>,
}

impl RowDecision {
    /// [`Status::Review`] where any label is in doubt.
    pub fn status(&self) -> Status {
        if self.review.is_empty() { Status::Auto } else { Status::Review }
    }

    fn ask(&mut self, reason: Reason) {
        self.review.push(reason.label());
        self.reasons.push(reason);
    }
}

impl Contract {
    /// Decides about one article by its probabilities, one per label; `ordinary` as for [`crate::calibration::thresholds::decide`].
    ///
    /// A label is *ordinary* where it reaches its ordinary threshold (`multi`) or is the most probable one (`single`).
    ///
    /// | promise | assigned | for a person | neither |
    /// |---|---|---|---|
    /// | precision, `multi` | reaches the contract's threshold | ordinary, does not | the rest |
    /// | precision, `single` | ordinary, and reaches it | ordinary, does not | the rest |
    /// | recall | ordinary | reaches it, not ordinary | the rest |
    ///
    /// Where a label has no threshold: with precision it is never assigned; with recall nothing is promised of it, and it goes by its
    /// ordinary threshold alone. An article with nothing for a person is automatic, also where it has no label at all.
    ///
    /// # Errors
    /// Another number of probabilities or thresholds than the contract has labels; thresholds for `single` or none for `multi`.
    ///
    /// # Example
    /// ```
    /// use topicwire::calibration::contract::{Contract, ContractSettings, Promise, Status};
    /// use topicwire::labels::{LabelId, LabelSet, Targets};
    /// // Two hundred articles, one wrong, and that one unsure.
    /// let rows = (0..200).map(|i| if i == 0 { [0.6, 0.4] } else { [0.99, 0.01] }).collect::<Vec<_>>();
    /// let truth = Targets::Single((0..200).map(|i| LabelId(usize::from(i == 0))).collect());
    /// let settings = ContractSettings::new(Promise::Precision(0.95));
    /// let contract = Contract::fit(ndarray::arr2(&rows).view(), &truth, None, &settings)?;
    ///
    /// let sure = contract.decide(&[0.99, 0.01], None)?;
    /// assert_eq!((sure.labels.as_slice(), sure.status()), ([LabelId(0)].as_slice(), Status::Auto));
    /// let unsure = contract.decide(&[0.3, 0.7], None)?;
    /// assert_eq!((unsure.labels.len(), unsure.status()), (0, Status::Review));
    /// let labels = LabelSet::from_names(["sport", "trade"])?;
    /// assert_eq!(unsure.reasons[0].text(&labels).to_string(), "trade 0.70 is never automatic");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decide(
        &self,
        probabilities: &[f64],
        ordinary: Option<&Thresholds>,
    ) -> Result<RowDecision, CalibrationError> {
        let (expected, found) = (self.thresholds.len(), probabilities.len());
        if expected != found {
            return Err(CalibrationError::NLabels { what: "the contract", expected, found });
        }
        super::check_ordinary(self.task, expected, ordinary)?;
        Ok(self.decide_checked(probabilities, ordinary))
    }

    pub(super) fn decide_checked(&self, probabilities: &[f64], ordinary: Option<&Thresholds>) -> RowDecision {
        let best = most_probable(probabilities);
        let is_ordinary = |label_idx: usize| match ordinary {
            Some(thresholds) => probabilities[label_idx] >= thresholds.as_slice()[label_idx],
            None => best == Some(label_idx),
        };
        let mut decision = RowDecision { labels: Vec::new(), review: Vec::new(), reasons: Vec::new() };
        for (label_idx, (&probability, &threshold)) in probabilities.iter().zip(&self.thresholds).enumerate() {
            let (label, is_ordinary) = (LabelId(label_idx), is_ordinary(label_idx));
            let reaches = threshold.is_some_and(|threshold| probability >= threshold);
            match (self.promise, threshold) {
                (Promise::Precision(_), _) if reaches && (is_ordinary || self.task == Task::Multi) => {
                    decision.labels.push(label);
                }
                (Promise::Precision(_), Some(threshold)) if is_ordinary => {
                    decision.ask(Reason::BelowContract { label, probability, threshold });
                }
                (Promise::Precision(_), None) if is_ordinary => {
                    decision.ask(Reason::NeverAutomatic { label, probability });
                }
                (Promise::Recall(_), _) if is_ordinary => decision.labels.push(label),
                (Promise::Recall(_), Some(threshold)) if reaches => {
                    decision.ask(Reason::MightBeMissed { label, probability, threshold });
                }
                _ => {}
            }
        }
        decision
    }
}

/// The largest probability, among equals the first.
pub(super) fn most_probable(probabilities: &[f64]) -> Option<usize> {
    let peak = probabilities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    probabilities.iter().position(|&probability| probability == peak)
}
