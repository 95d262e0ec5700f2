//! Evaluation results as data: what `evaluate --json` prints, quality gates compare and the HTML report shows.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::labels::{LabelSet, Targets, Task};
use crate::metrics::bootstrap::{BootstrapSettings, Interval};
use crate::metrics::confusion::{confusion_matrix, label_cooccurrence, multilabel_confusions};
use crate::metrics::prf::{Average, ZeroDivision, precision_recall_f1, precision_recall_f1_per_label};
use crate::metrics::ranking::ranking_per_label;
use crate::metrics::reliability::ProbabilityQuality;
use crate::metrics::summary::{Metric, RowStatistics};
use crate::metrics::{MetricError, only_labels};

pub mod gate;
pub mod html;
mod json;
pub mod page;

/// The probability from which a label is assigned when it has no threshold of its own.
const HALF: f64 = 0.5;

/// What can be wrong with the input of a report.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum ReportError {
    #[error(
        "article number {row_idx} (counted from 0) has label number {label_idx}, but there are only {n_labels} labels"
    )]
    UnknownLabel { row_idx: usize, label_idx: usize, n_labels: usize },
    #[error("{found} thresholds were given for {expected} labels")]
    Thresholds { expected: usize, found: usize },
    #[error("the probabilities have {found} columns for {expected} labels")]
    Columns { expected: usize, found: usize },
    #[error("predictions cannot be scored")]
    Metric(#[from] MetricError),
}

/// Known labels and predictions of `n` articles.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationInput<'a> {
    pub labels: &'a LabelSet,
    /// `[n]`
    pub targets: &'a Targets,
    /// `[n, n_labels]`, in `[0, 1]`
    pub probabilities: ArrayView2<'a, f64>,
    /// `[n, n_labels]`: the labels that were assigned; exactly one a row for `single`.
    pub decisions: ArrayView2<'a, bool>,
    /// `[n_labels]`: the probabilities from which labels were assigned, to be shown beside each label.
    pub thresholds: Option<&'a [f64]>,
}

/// How well a model did on articles whose labels are known.
///
/// As JSON it is one object: `n`, `task`, every metric of the task under [`Metric::name`] with its interval under
/// `NAME_ci` as
/// `[low, high]`, then the fields below by their names. Metrics of the other task are left out. A metric that the
/// articles leave undefined (ROC-AUC when every article has the label) is `null`; `NAME_ci` is missing where no
/// interval was asked for or none exists. No number in it is ever NaN or infinite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EvaluationReport {
    /// Number of articles.
    pub n: usize,
    pub task: Task,
    /// The task's metrics in the order of [`Metric::ALL`].
    #[serde(flatten, with = "json::estimates")]
    pub estimates: Vec<(Metric, Estimate)>,
    /// How far probabilities are from frequencies, beside the metrics above; `None` in reports of older programs.
    #[serde(flatten)]
    pub probability_quality: Option<ProbabilityQuality>,
    /// The same probabilities with every label assigned from 0.5; `multi` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_half: Option<AtHalf>,
    /// How intervals were computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapSettings>,
    /// Every label in order.
    #[serde(with = "json::per_label")]
    pub per_label: Vec<(String, LabelReport)>,
    /// `[t][p]`: articles with label `t` that were given `p`, in the order of `per_label`; `single` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion_matrix: Option<Vec<Vec<u64>>>,
    /// Labels that occur together, in the order of `per_label`; `multi` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooccurrence: Option<Cooccurrence>,
}

/// A metric and, where asked for, its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// `None` where undefined.
    pub value: Option<f64>,
    pub interval: Option<Interval>,
}

/// What thresholds of 0.5 would have given.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtHalf {
    pub f1_micro: f64,
    pub f1_macro: f64,
}

/// The metrics of one label, 0 where precision, recall or F1 have nothing to divide by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelReport {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    /// Number of articles that have the label.
    pub support: usize,
    /// Probability from which the label was assigned; `None` where the most probable label is taken.
    pub threshold: Option<f64>,
    /// `None` when no article has the label.
    pub average_precision: Option<f64>,
    /// `None` when no article has the label, or all have it.
    pub roc_auc: Option<f64>,
}

/// Labels that occur together, `[n_labels][n_labels]` each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooccurrence {
    /// `[i][j]`: articles that have both `i` and `j`; the diagonal is the support.
    #[serde(rename = "true")]
    pub truth: Vec<Vec<u64>>,
    /// `[i][j]`: articles that were given both `i` and `j`; the diagonal counts how often each was given.
    pub predicted: Vec<Vec<u64>>,
    /// `[t][p]`: articles with label `t` that were wrongly given `p`; on the diagonal, rightly given `t`.
    pub confused: Vec<Vec<u64>>,
}

/// A metric of one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelMetric {
    Precision,
    Recall,
    F1,
    AveragePrecision,
    RocAuc,
}

impl LabelMetric {
    pub const ALL: [LabelMetric; 5] = [
        LabelMetric::Precision,
        LabelMetric::Recall,
        LabelMetric::F1,
        LabelMetric::AveragePrecision,
        LabelMetric::RocAuc,
    ];

    /// The name in reports and quality gates.
    pub fn name(self) -> &'static str {
        match self {
            LabelMetric::Precision => "precision",
            LabelMetric::Recall => "recall",
            LabelMetric::F1 => "f1",
            LabelMetric::AveragePrecision => "average_precision",
            LabelMetric::RocAuc => "roc_auc",
        }
    }

    /// The metric of this name.
    pub fn from_name(name: &str) -> Option<LabelMetric> {
        LabelMetric::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

impl LabelReport {
    /// The value of a metric, `None` where undefined.
    pub fn metric(&self, metric: LabelMetric) -> Option<f64> {
        match metric {
            LabelMetric::Precision => Some(self.precision),
            LabelMetric::Recall => Some(self.recall),
            LabelMetric::F1 => Some(self.f1),
            LabelMetric::AveragePrecision => self.average_precision,
            LabelMetric::RocAuc => self.roc_auc,
        }
    }
}

impl EvaluationReport {
    /// Scores predictions, with intervals where settings for them are given.
    ///
    /// # Errors
    /// No articles, shapes that do not fit each other or the label set, a value that is not a probability, `single`
    /// decisions without exactly one label, bootstrap settings that give no interval.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::labels::{LabelId, LabelSet, Targets};
    /// use topicwire::report::{EvaluationInput, EvaluationReport};
    /// let labels = LabelSet::from_names(["trade", "defense"])?;
    /// let report = EvaluationReport::new(
    ///     EvaluationInput {
    ///         labels: &labels,
    ///         targets: &Targets::Multi(vec![vec![LabelId(0)], vec![], vec![LabelId(0), LabelId(1)]]),
    ///         probabilities: array![[0.9, 0.2], [0.1, 0.6], [0.4, 0.8]].view(),
    ///         decisions: array![[true, false], [false, false], [true, true]].view(),
    ///         thresholds: Some(&[0.3, 0.7]),
    ///     },
    ///     None,
    /// )?;
    /// assert_eq!(report.metric("f1_micro"), Some(1.0));
    /// assert_eq!(report.metric("average_precision[defense]"), Some(1.0));
    /// assert!(report.at_half.unwrap().f1_micro < 1.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(input: EvaluationInput<'_>, bootstrap: Option<BootstrapSettings>) -> Result<Self, ReportError> {
        let EvaluationInput { labels, targets, probabilities, decisions, thresholds } = input;
        let truth = indicator(targets, labels.len())?;
        if probabilities.ncols() != labels.len() {
            return Err(ReportError::Columns { expected: labels.len(), found: probabilities.ncols() });
        }
        if let Some(found) = thresholds.map(<[f64]>::len).filter(|found| *found != labels.len()) {
            return Err(ReportError::Thresholds { expected: labels.len(), found });
        }
        let task = targets.task();
        let rows = RowStatistics::new(task, truth.view(), decisions, probabilities)?;
        let scores = rows.scores();
        let intervals = bootstrap.map(|settings| rows.intervals(settings)).transpose()?;
        let estimate = |metric| Estimate {
            value: scores.get(metric),
            interval: intervals.as_ref().and_then(|intervals| intervals.get(metric)),
        };
        let applicable = Metric::ALL.into_iter().filter(|metric| metric.applies_to(task));
        let (confusions, cooccurrence, at_half) = match task {
            Task::Single => {
                let truths = only_labels(truth.view(), "truth")?;
                let predictions = only_labels(decisions, "predictions")?;
                (Some(nested(&confusion_matrix(&truths, &predictions, labels.len())?)), None, None)
            }
            Task::Multi => {
                let cooccurrence = Cooccurrence {
                    truth: nested(&label_cooccurrence(truth.view())?),
                    predicted: nested(&label_cooccurrence(decisions)?),
                    confused: nested(&multilabel_confusions(truth.view(), decisions)?),
                };
                (None, Some(cooccurrence), Some(at_half(truth.view(), probabilities)?))
            }
        };
        Ok(Self {
            n: targets.len(),
            task,
            estimates: applicable.map(|metric| (metric, estimate(metric))).collect(),
            probability_quality: Some(ProbabilityQuality::new(task, truth.view(), probabilities)?),
            at_half,
            bootstrap,
            per_label: per_label(&input, &truth)?,
            confusion_matrix: confusions,
            cooccurrence,
        })
    }

    /// An averaged metric and its interval; `None` when it is not one of the task's.
    pub fn estimate(&self, metric: Metric) -> Option<Estimate> {
        self.estimates.iter().find(|(listed, _)| *listed == metric).map(|(_, estimate)| *estimate)
    }

    /// The metrics of one label.
    pub fn label(&self, name: &str) -> Option<&LabelReport> {
        self.per_label.iter().find(|(listed, _)| listed == name).map(|(_, report)| report)
    }

    /// The value of a metric by name, `f1_macro` or, for one label, `f1[trade]`; `None` when the name is unknown, the
    /// metric is not one of the task's, or undefined for these articles.
    pub fn metric(&self, name: &str) -> Option<f64> {
        match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
            Some((metric, label)) => self.label(label)?.metric(LabelMetric::from_name(metric)?),
            None => self.estimate(Metric::from_name(name)?)?.value,
        }
    }
}

/// `[n, n_labels]`, or the first label id that does not fit.
fn indicator(targets: &Targets, n_labels: usize) -> Result<Array2<bool>, ReportError> {
    for row_idx in 0..targets.len() {
        if let Some(label) = targets.row(row_idx).iter().find(|label| label.0 >= n_labels) {
            return Err(ReportError::UnknownLabel { row_idx, label_idx: label.0, n_labels });
        }
    }
    Ok(targets.indicator(n_labels))
}

fn at_half(truth: ArrayView2<bool>, probabilities: ArrayView2<f64>) -> Result<AtHalf, MetricError> {
    let decisions = probabilities.mapv(|p| p >= HALF);
    let f1 =
        |average| precision_recall_f1(truth, decisions.view(), average, ZeroDivision::Zero).map(|scores| scores.f1);
    Ok(AtHalf { f1_micro: f1(Average::Micro)?, f1_macro: f1(Average::Macro)? })
}

fn per_label(input: &EvaluationInput<'_>, truth: &Array2<bool>) -> Result<Vec<(String, LabelReport)>, MetricError> {
    let scores = precision_recall_f1_per_label(truth.view(), input.decisions, ZeroDivision::Zero)?;
    let ranking = ranking_per_label(truth.view(), input.probabilities)?;
    let support = input.targets.support(input.labels.len());
    let report = |(label_idx, name): (usize, &str)| {
        let report = LabelReport {
            precision: scores[label_idx].precision,
            recall: scores[label_idx].recall,
            f1: scores[label_idx].f1,
            support: support[label_idx],
            threshold: input.thresholds.map(|thresholds| thresholds[label_idx]).filter(|t| t.is_finite()),
            average_precision: ranking[label_idx].average_precision,
            roc_auc: ranking[label_idx].roc_auc,
        };
        (name.to_owned(), report)
    };
    Ok(input.labels.names().enumerate().map(report).collect())
}

fn nested(matrix: &Array2<u64>) -> Vec<Vec<u64>> {
    matrix.rows().into_iter().map(|row| row.to_vec()).collect()
}
