//! Quality gates: a metric that must be good enough, or the run counts as failed.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::{EvaluationReport, LabelMetric};
use crate::labels::closest;
use crate::metrics::summary::Metric;

/// A bound on a metric, written `f1_macro=0.8` or, for one label, `recall[trade]=0.6`.
///
/// The metric must be at least the bound; losses (`log_loss`, `brier`, `ece`, `hamming_loss`) must be at most the
/// bound.
///
/// ```
/// use topicwire::report::gate::QualityGate;
/// let gate: QualityGate = "f1_macro=0.8".parse()?;
/// assert_eq!(gate.to_string(), "f1_macro >= 0.8");
/// assert_eq!("log_loss=0.3".parse::<QualityGate>()?.to_string(), "log_loss <= 0.3");
/// let message = "f1_marco=0.8".parse::<QualityGate>().unwrap_err().to_string();
/// assert_eq!(message, "unknown metric `f1_marco`; the closest known one is `f1_macro`");
/// # Ok::<(), topicwire::report::gate::GateError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QualityGate {
    metric: GateMetric,
    bound: f64,
}

/// What a gate looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum GateMetric {
    Averaged(Metric),
    OfLabel { metric: LabelMetric, label: String },
}

/// What can be wrong with the text of a gate.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum GateError {
    #[error("quality gate `{text}` is not of the form metric=bound, such as f1_macro=0.8 or recall[trade]=0.6")]
    Form { text: String },
    #[error("unknown metric `{name}`{}", propose(closest.as_deref()))]
    UnknownMetric { name: String, closest: Option<&'static str> },
    #[error("bound `{found}` of quality gate `{name}` is not a number")]
    NotANumber { name: String, found: String },
    #[error("bound {found} of quality gate `{name}` lies outside the metric's range, 0 to {limit}")]
    OutOfRange { name: String, found: f64, limit: f64 },
}

fn propose(closest: Option<&str>) -> String {
    closest.map(|closest| format!("; the closest known one is `{closest}`")).unwrap_or_default()
}

/// What came of a gate.
#[derive(Clone, Debug, PartialEq)]
pub enum GateOutcome {
    /// The metric is good enough.
    Met { value: f64 },
    /// The metric is not good enough.
    Missed { value: f64 },
    /// The metric has no value in this report, which is never good enough; the reason is written for a person.
    NoValue { reason: String },
}

impl GateOutcome {
    /// Whether the run counts as good enough.
    pub fn is_met(&self) -> bool {
        matches!(self, GateOutcome::Met { .. })
    }
}

impl fmt::Display for GateOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GateOutcome::Met { value } => write!(f, "met with {value:.4}"),
            GateOutcome::Missed { value } => write!(f, "not met with {value:.4}"),
            GateOutcome::NoValue { reason } => write!(f, "not met: {reason}"),
        }
    }
}

impl QualityGate {
    /// Compares a report's value with the bound.
    pub fn check(&self, report: &EvaluationReport) -> GateOutcome {
        match self.value(report) {
            Ok(value) if if self.is_upper_bound() { value <= self.bound } else { value >= self.bound } => {
                GateOutcome::Met { value }
            }
            Ok(value) => GateOutcome::Missed { value },
            Err(reason) => GateOutcome::NoValue { reason },
        }
    }

    fn value(&self, report: &EvaluationReport) -> Result<f64, String> {
        let value = match &self.metric {
            GateMetric::Averaged(metric) => {
                let name = metric.name();
                let estimate = report.estimate(*metric);
                estimate.ok_or_else(|| format!("{name} is not a metric of {}-label tasks", report.task))?.value
            }
            GateMetric::OfLabel { metric, label } => {
                let names = report.per_label.iter().map(|(name, _)| name.as_str());
                let scores = report.label(label);
                scores
                    .ok_or_else(|| format!("unknown label `{label}`{}", propose(closest(label, names))))?
                    .metric(*metric)
            }
        };
        value.ok_or_else(|| format!("{} is undefined for these articles", self.name()))
    }

    fn name(&self) -> String {
        match &self.metric {
            GateMetric::Averaged(metric) => metric.name().to_owned(),
            GateMetric::OfLabel { metric, label } => format!("{}[{label}]", metric.name()),
        }
    }

    fn is_upper_bound(&self) -> bool {
        matches!(self.metric, GateMetric::Averaged(metric) if metric.is_loss())
    }
}

impl fmt::Display for QualityGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = if self.is_upper_bound() { "<=" } else { ">=" };
        write!(f, "{} {relation} {}", self.name(), self.bound)
    }
}

impl FromStr for QualityGate {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Self, GateError> {
        let form = || GateError::Form { text: text.to_owned() };
        // From the right: a label's name may hold an equals sign, a number does not.
        let (name, bound) = text.rsplit_once('=').ok_or_else(form)?;
        let (name, bound) = (name.trim(), bound.trim());
        if name.is_empty() || bound.is_empty() {
            return Err(form());
        }
        let (metric, limit) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((metric, label)) => {
                let names = LabelMetric::ALL.map(LabelMetric::name);
                let metric = LabelMetric::from_name(metric).ok_or_else(|| unknown(metric, &names))?;
                (GateMetric::OfLabel { metric, label: label.to_owned() }, 1.0)
            }
            None => {
                let names = Metric::ALL.map(Metric::name);
                let metric = Metric::from_name(name).ok_or_else(|| unknown(name, &names))?;
                (GateMetric::Averaged(metric), metric.upper_bound())
            }
        };
        let name = name.to_owned();
        let Ok(found) = bound.parse::<f64>() else {
            return Err(GateError::NotANumber { name, found: bound.to_owned() });
        };
        if !(0.0..=limit).contains(&found) {
            return Err(GateError::OutOfRange { name, found, limit });
        }
        Ok(Self { metric, bound: found })
    }
}

fn unknown(name: &str, known: &[&'static str]) -> GateError {
    GateError::UnknownMetric { name: name.to_owned(), closest: closest(name, known.iter().copied()) }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::labels::{LabelId, LabelSet, Targets};
    use crate::report::EvaluationInput;

    fn report() -> EvaluationReport {
        let labels = LabelSet::from_names(["trade", "energy", "a=b"]).unwrap();
        let probabilities = array![[0.9, 0.8, 0.1], [0.3, 0.4, 0.1]];
        let decisions = array![[true, true, false], [false, false, false]];
        let input = EvaluationInput {
            labels: &labels,
            targets: &Targets::Multi(vec![vec![LabelId(0), LabelId(1)], vec![LabelId(1)]]),
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: None,
        };
        EvaluationReport::new(input, None).unwrap()
    }

    #[test]
    fn gates_compare_in_the_direction_of_the_metric() {
        let report = report();
        for (gate, expected) in [
            ("f1_micro=0.8", GateOutcome::Met { value: 0.8 }),
            (" f1_micro = 0.81", GateOutcome::Missed { value: 0.8 }),
            ("recall[energy]=0.5", GateOutcome::Met { value: 0.5 }),
            ("recall[energy]=0.6", GateOutcome::Missed { value: 0.5 }),
            ("f1[a=b]=0", GateOutcome::Met { value: 0.0 }),
            ("hamming_loss=1", GateOutcome::Met { value: 1.0 / 6.0 }),
            ("hamming_loss=0.1", GateOutcome::Missed { value: 1.0 / 6.0 }),
        ] {
            let outcome = gate.parse::<QualityGate>().unwrap().check(&report);
            assert_eq!(outcome, expected, "{gate}");
            assert_eq!(outcome.is_met(), matches!(expected, GateOutcome::Met { .. }));
        }
    }

    #[test]
    fn gates_without_a_value_are_not_met_and_say_why() {
        let report = report();
        for (gate, reason) in [
            ("accuracy=0.5", "not met: accuracy is not a metric of multi-label tasks"),
            ("f1[enrgy]=0.5", "not met: unknown label `enrgy`; the closest known one is `energy`"),
            ("f1[sport]=0.5", "not met: unknown label `sport`"),
            ("roc_auc[energy]=0.5", "not met: roc_auc[energy] is undefined for these articles"),
        ] {
            let outcome = gate.parse::<QualityGate>().unwrap().check(&report);
            assert_eq!((outcome.is_met(), outcome.to_string().as_str()), (false, reason), "{gate}");
        }
    }

    #[test]
    fn gates_that_make_no_sense_are_refused() {
        for (gate, message) in [
            (
                "f1_macro",
                "quality gate `f1_macro` is not of the form metric=bound, such as f1_macro=0.8 or recall[trade]=0.6",
            ),
            ("=0.5", "quality gate `=0.5` is not of the form metric=bound, such as f1_macro=0.8 or recall[trade]=0.6"),
            ("nonsense=0.5", "unknown metric `nonsense`"),
            ("recal[trade]=0.5", "unknown metric `recal`; the closest known one is `recall`"),
            ("f1_macro=high", "bound `high` of quality gate `f1_macro` is not a number"),
            ("f1_macro=80", "bound 80 of quality gate `f1_macro` lies outside the metric's range, 0 to 1"),
            ("f1_macro=NaN", "bound NaN of quality gate `f1_macro` lies outside the metric's range, 0 to 1"),
            ("brier=-0.1", "bound -0.1 of quality gate `brier` lies outside the metric's range, 0 to 2"),
        ] {
            assert_eq!(gate.parse::<QualityGate>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn what_is_looked_up_by_name_is_what_gates_see() {
        let report = report();
        assert_eq!((report.metric("f1_micro"), report.metric("recall[energy]")), (Some(0.8), Some(0.5)));
        for name in ["f1", "f1[", "f1[sport]", "support[trade]", "accuracy", "roc_auc[energy]", ""] {
            assert_eq!(report.metric(name), None, "{name}");
        }
    }
}
