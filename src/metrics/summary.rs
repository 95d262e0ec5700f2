//! All averaged metrics of one evaluation, computed from rows that may be weighted.
//!
//! [`RowStatistics`] boils predictions down to what the metrics need of each article: its labels, its losses, its place
//! in each label's ranking. A weighting of the articles, such as a bootstrap resample, is then scored in one pass over
//! these.

use ndarray::{Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::bootstrap::{BootstrapSettings, Interval, Resampling, Strata, bootstrap_intervals};
use super::confusion::{LabelCounts, set_columns};
use super::prf::{self, PrecisionRecallF1, ZeroDivision};
use super::probability::{self, ECE_BINS, equal_width_bin, top_label};
use super::ranking::{RankedLabel, mean_defined, rank_labels};
use super::{MetricError, check_indicators, check_probabilities, check_shape, only_labels, shape};
use crate::labels::Task;

/// An averaged metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of articles with the right label; `single` only.
    Accuracy,
    /// Share of articles with exactly the right labels; `multi` only.
    SubsetAccuracy,
    F1Micro,
    F1Macro,
    F1Weighted,
    F1Samples,
    PrecisionMicro,
    PrecisionMacro,
    RecallMicro,
    RecallMacro,
    /// Share of wrong decisions; `multi` only.
    HammingLoss,
    /// See [`super::ranking::roc_auc_macro`].
    RocAucMacro,
    /// See [`super::ranking::map_macro`].
    MapMacro,
    LogLoss,
    Brier,
    /// With bins of equal width, see [`probability::Binning`].
    Ece,
}

impl Metric {
    /// All metrics in the order in which reports list them, which is that of their numbers.
    pub const ALL: [Metric; 16] = [
        Metric::Accuracy,
        Metric::SubsetAccuracy,
        Metric::F1Micro,
        Metric::F1Macro,
        Metric::F1Weighted,
        Metric::F1Samples,
        Metric::PrecisionMicro,
        Metric::PrecisionMacro,
        Metric::RecallMicro,
        Metric::RecallMacro,
        Metric::HammingLoss,
        Metric::RocAucMacro,
        Metric::MapMacro,
        Metric::LogLoss,
        Metric::Brier,
        Metric::Ece,
    ];

    /// The name in reports and quality gates.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Accuracy => "accuracy",
            Metric::SubsetAccuracy => "subset_accuracy",
            Metric::F1Micro => "f1_micro",
            Metric::F1Macro => "f1_macro",
            Metric::F1Weighted => "f1_weighted",
            Metric::F1Samples => "f1_samples",
            Metric::PrecisionMicro => "precision_micro",
            Metric::PrecisionMacro => "precision_macro",
            Metric::RecallMicro => "recall_micro",
            Metric::RecallMacro => "recall_macro",
            Metric::HammingLoss => "hamming_loss",
            Metric::RocAucMacro => "roc_auc_macro",
            Metric::MapMacro => "map_macro",
            Metric::LogLoss => "log_loss",
            Metric::Brier => "brier",
            Metric::Ece => "ece",
        }
    }

    /// The metric of this name.
    pub fn from_name(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Whether the metric is one of this task's.
    pub fn applies_to(self, task: Task) -> bool {
        match self {
            Metric::Accuracy => task == Task::Single,
            Metric::SubsetAccuracy | Metric::HammingLoss => task == Task::Multi,
            _ => true,
        }
    }

    /// Whether it looks at the labels that were assigned alone, not at probabilities.
    pub fn is_of_decisions(self) -> bool {
        !matches!(self, Metric::RocAucMacro | Metric::MapMacro | Metric::LogLoss | Metric::Brier | Metric::Ece)
    }

    /// Whether more is worse.
    pub fn is_loss(self) -> bool {
        matches!(self, Metric::HammingLoss | Metric::LogLoss | Metric::Brier | Metric::Ece)
    }

    /// The highest value that the metric can take; the lowest is 0 for all.
    pub fn upper_bound(self) -> f64 {
        match self {
            Metric::LogLoss => -probability::LOG_LOSS_EPSILON.ln(),
            Metric::Brier => 2.0,
            _ => 1.0,
        }
    }
}

/// The value of every metric, `None` where it is undefined or not one of the task's.
#[derive(Clone, Copy, Debug)]
pub struct Scores([f64; Metric::ALL.len()]);

impl Scores {
    pub fn get(&self, metric: Metric) -> Option<f64> {
        Some(self.0[metric as usize]).filter(|value| value.is_finite())
    }
}

/// The interval of every metric, `None` where there is none.
#[derive(Clone, Copy, Debug)]
pub struct ScoreIntervals([Option<Interval>; Metric::ALL.len()]);

impl ScoreIntervals {
    pub fn get(&self, metric: Metric) -> Option<Interval> {
        self.0[metric as usize]
    }
}

/// What the metrics need to know of each article.
#[derive(Clone, Debug)]
pub struct RowStatistics {
    task: Task,
    n_labels: usize,
    true_labels: LabelLists,
    predicted_labels: LabelLists,
    hits: LabelLists,
    /// `[n, PER_ROW + ECE_BINS]`: numbers whose weighted means are metrics, then per calibration bin the sum of
    /// (outcome − confidence) over the article's decisions.
    sums: Array2<f64>,
    ranked: Vec<RankedLabel>,
}

/// Columns of the sums before the calibration bins.
const EXACT: usize = 0;
const F1_SAMPLES: usize = 1;
const HAMMING: usize = 2;
const LOG_LOSS: usize = 3;
const BRIER: usize = 4;
const PER_ROW: usize = 5;
const N_SUMS: usize = PER_ROW + ECE_BINS;

impl RowStatistics {
    /// Boils predictions down.
    ///
    /// # Shapes
    /// * `y_true`, `y_pred`, `y_score` `[n, n_labels]`
    ///
    /// # Errors
    /// No rows, no labels, shapes that differ, a value that is not a probability; for `single`, a row of `y_true` or
    /// `y_pred` without exactly one label.
    ///
    /// # Example
    /// ```
    /// use ndarray::array;
    /// use topicwire::{labels::Task, metrics::summary::{Metric, RowStatistics}};
    /// let y_true = array![[true, false], [false, true]];
    /// let y_pred = array![[true, false], [true, true]];
    /// let y_score = array![[0.9, 0.2], [0.6, 0.7]];
    /// let scores = RowStatistics::new(Task::Multi, y_true.view(), y_pred.view(), y_score.view())?.scores();
    /// assert_eq!(scores.get(Metric::SubsetAccuracy), Some(0.5));
    /// assert_eq!(scores.get(Metric::F1Micro), Some(0.8));
    /// assert_eq!(scores.get(Metric::Accuracy), None);
    /// # Ok::<(), topicwire::metrics::MetricError>(())
    /// ```
    pub fn new(
        task: Task,
        y_true: ArrayView2<bool>,
        y_pred: ArrayView2<bool>,
        y_score: ArrayView2<f64>,
    ) -> Result<Self, MetricError> {
        check_indicators(y_true, y_pred)?;
        check_shape("probabilities", shape(y_true), shape(y_score))?;
        check_probabilities(y_score)?;
        let n_labels = y_true.ncols();
        let mut sums = Array2::zeros((y_true.nrows(), N_SUMS));
        for (row_idx, counts) in prf::counts_per_row(y_true, y_pred).iter().enumerate() {
            let wrong = counts.false_positives + counts.false_negatives;
            sums[[row_idx, EXACT]] = f64::from(wrong == 0);
            sums[[row_idx, F1_SAMPLES]] = PrecisionRecallF1::from_counts(counts, ZeroDivision::Zero).f1;
            sums[[row_idx, HAMMING]] = wrong as f64 / n_labels as f64;
        }
        match task {
            Task::Single => {
                let truths = only_labels(y_true, "truth")?;
                only_labels(y_pred, "predictions")?;
                for (row_idx, (row, truth)) in y_score.rows().into_iter().zip(truths).enumerate() {
                    sums[[row_idx, LOG_LOSS]] = probability::log_loss_of_label(row, truth);
                    sums[[row_idx, BRIER]] = probability::brier_of_row(row, truth);
                    let (label, confidence) = top_label(row);
                    let outcome = f64::from(label == truth);
                    sums[[row_idx, PER_ROW + equal_width_bin(confidence, ECE_BINS)]] = outcome - confidence;
                }
            }
            Task::Multi => {
                let share = 1.0 / n_labels as f64;
                for ((row_idx, label_idx), &p) in y_score.indexed_iter() {
                    let truth = y_true[[row_idx, label_idx]];
                    sums[[row_idx, LOG_LOSS]] += share * probability::log_loss_of_cell(p, truth);
                    sums[[row_idx, BRIER]] += share * probability::brier_of_cell(p, truth);
                    let outcome = f64::from(truth);
                    sums[[row_idx, PER_ROW + equal_width_bin(p, ECE_BINS)]] += share * (outcome - p);
                }
            }
        }
        let both = ndarray::Zip::from(y_true).and(y_pred).map_collect(|&truth, &prediction| truth && prediction);
        Ok(Self {
            task,
            n_labels,
            true_labels: LabelLists::new(y_true),
            predicted_labels: LabelLists::new(y_pred),
            hits: LabelLists::new(both.view()),
            sums,
            ranked: rank_labels(y_true, y_score)?,
        })
    }

    /// Number of articles, at least 1.
    pub fn n_rows(&self) -> usize {
        self.sums.nrows()
    }

    /// The metrics, every article counted once.
    pub fn scores(&self) -> Scores {
        self.weighted_scores(&vec![1; self.n_rows()])
    }

    /// The metrics with article `i` counted `weights[i]` times.
    ///
    /// # Panics
    /// When the number of weights is not that of the articles.
    pub fn weighted_scores(&self, weights: &[u32]) -> Scores {
        assert_eq!(weights.len(), self.n_rows(), "one weight per article");
        let total_weight: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let counts = self.label_counts(weights, total_weight);
        let sums = self.weighted_sums(weights);
        let mean = |column: usize| sums[column] / total_weight as f64;
        let ranking: Vec<_> = self.ranked.iter().map(|label| label.weighted(weights, total_weight)).collect();

        let micro = prf::micro(&counts, ZeroDivision::Zero);
        let macros = prf::mean(&counts, |_| 1, ZeroDivision::Zero);
        let mut scores = Scores([f64::NAN; Metric::ALL.len()]);
        for metric in Metric::ALL.into_iter().filter(|metric| metric.applies_to(self.task)) {
            scores.0[metric as usize] = match metric {
                Metric::Accuracy | Metric::SubsetAccuracy => mean(EXACT),
                Metric::F1Micro => micro.f1,
                Metric::F1Macro => macros.f1,
                Metric::F1Weighted => prf::mean(&counts, LabelCounts::support, ZeroDivision::Zero).f1,
                Metric::F1Samples => mean(F1_SAMPLES),
                Metric::PrecisionMicro => micro.precision,
                Metric::PrecisionMacro => macros.precision,
                Metric::RecallMicro => micro.recall,
                Metric::RecallMacro => macros.recall,
                Metric::HammingLoss => mean(HAMMING),
                Metric::RocAucMacro => mean_defined(ranking.iter().map(|scores| scores.roc_auc)).unwrap_or(f64::NAN),
                Metric::MapMacro => {
                    mean_defined(ranking.iter().map(|scores| scores.average_precision)).unwrap_or(f64::NAN)
                }
                Metric::LogLoss => mean(LOG_LOSS),
                Metric::Brier => mean(BRIER),
                Metric::Ece => sums[PER_ROW..].iter().map(|gap| gap.abs()).sum::<f64>() / total_weight as f64,
            };
        }
        scores
    }

    /// Bootstrap intervals of the metrics, see [`bootstrap_intervals`], cut to the metrics' ranges.
    ///
    /// The intervals tell what another sample of articles would change, not what another training run would.
    ///
    /// # Errors
    /// As [`bootstrap_intervals`].
    pub fn intervals(&self, settings: BootstrapSettings) -> Result<ScoreIntervals, MetricError> {
        let strata = self.strata(settings.resampling);
        let mut intervals = bootstrap_intervals(&strata, settings, |weights| self.weighted_scores(weights).0)?;
        for (metric, interval) in Metric::ALL.into_iter().zip(&mut intervals) {
            *interval = interval.map(|interval| interval.within(0.0, metric.upper_bound()));
        }
        Ok(ScoreIntervals(intervals))
    }

    /// What each article adds to a metric that is a mean over articles; `None` for other metrics.
    pub fn per_article(&self, metric: Metric) -> Option<ArrayView1<'_, f64>> {
        let column = match metric {
            Metric::Accuracy | Metric::SubsetAccuracy => EXACT,
            Metric::F1Samples => F1_SAMPLES,
            Metric::HammingLoss => HAMMING,
            Metric::LogLoss => LOG_LOSS,
            Metric::Brier => BRIER,
            _ => return None,
        };
        Some(self.sums.column(column))
    }

    /// The groups within which articles are drawn.
    pub fn strata(&self, resampling: Resampling) -> Strata {
        match resampling {
            Resampling::Articles => Strata::whole(self.n_rows()),
            Resampling::Labels => {
                let support = self.true_labels.weigh(&vec![1; self.n_rows()], self.n_labels);
                let rarest = |row_idx| {
                    let labels = self.true_labels.row(row_idx).iter().map(|&label| label as usize);
                    // Articles without labels are a group too.
                    labels.min_by_key(|&label| support[label]).unwrap_or(self.n_labels)
                };
                Strata::new(&(0..self.n_rows()).map(rarest).collect::<Vec<_>>())
            }
        }
    }

    fn label_counts(&self, weights: &[u32], total_weight: u64) -> Vec<LabelCounts> {
        let support = self.true_labels.weigh(weights, self.n_labels);
        let predicted = self.predicted_labels.weigh(weights, self.n_labels);
        let hits = self.hits.weigh(weights, self.n_labels);
        (0..self.n_labels)
            .map(|k| LabelCounts {
                true_positives: hits[k],
                false_positives: predicted[k] - hits[k],
                false_negatives: support[k] - hits[k],
                true_negatives: total_weight + hits[k] - predicted[k] - support[k],
            })
            .collect()
    }

    fn weighted_sums(&self, weights: &[u32]) -> [f64; N_SUMS] {
        let mut totals = [0.0; N_SUMS];
        for (row, &weight) in self.sums.rows().into_iter().zip(weights).filter(|(_, weight)| **weight > 0) {
            for (total, value) in totals.iter_mut().zip(row) {
                *total += f64::from(weight) * value;
            }
        }
        totals
    }
}

/// The labels of each article, end to end.
#[derive(Clone, Debug)]
struct LabelLists {
    label_indices: Vec<u32>,
    /// Where the list of each article ends.
    ends: Vec<usize>,
}

impl LabelLists {
    fn new(indicator: ArrayView2<bool>) -> Self {
        let mut lists = Self { label_indices: Vec::new(), ends: Vec::with_capacity(indicator.nrows()) };
        for row in indicator.rows() {
            lists.label_indices.extend(set_columns(row).map(|label_idx| label_idx as u32));
            lists.ends.push(lists.label_indices.len());
        }
        lists
    }

    /// The labels of one article.
    fn row(&self, row_idx: usize) -> &[u32] {
        let start = if row_idx == 0 { 0 } else { self.ends[row_idx - 1] };
        &self.label_indices[start..self.ends[row_idx]]
    }

    /// The weight of all articles of each label.
    fn weigh(&self, weights: &[u32], n_labels: usize) -> Vec<u64> {
        let mut sums = vec![0; n_labels];
        let mut start = 0;
        for (&end, &weight) in self.ends.iter().zip(weights) {
            for &label_idx in &self.label_indices[start..end] {
                sums[label_idx as usize] += u64::from(weight);
            }
            start = end;
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis, array};
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::{prf::Average, probability::Binning, ranking};

    /// A fixed mixture of articles, good enough to have hits and misses.
    fn sample(n: usize, n_labels: usize) -> (Array2<bool>, Array2<bool>, Array2<f64>) {
        let y_true = Array2::from_shape_fn((n, n_labels), |(i, k)| (i * 7 + k * 5) % (k + 3) == 0);
        let y_score = Array2::from_shape_fn((n, n_labels), |(i, k)| {
            0.25 * f64::from(y_true[[i, k]]) + ((i * 31 + k * 17) % 64) as f64 / 96.0
        });
        let y_pred = y_score.mapv(|p| p >= 0.5);
        (y_true, y_pred, y_score)
    }

    #[test]
    fn metrics_are_listed_in_the_order_of_their_numbers_and_found_by_name() {
        for (number, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, number);
            assert_eq!(Metric::from_name(metric.name()), Some(metric));
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        }
        assert_eq!(Metric::from_name("f1"), None);
    }

    #[test]
    fn scores_of_many_are_those_of_the_single_functions() {
        let (y_true, y_pred, y_score) = sample(60, 5);
        let (t, p, s) = (y_true.view(), y_pred.view(), y_score.view());
        let scores = RowStatistics::new(Task::Multi, t, p, s).unwrap().scores();
        let average = |average| prf::precision_recall_f1(t, p, average, ZeroDivision::Zero).unwrap();
        let (micro, macros) = (average(Average::Micro), average(Average::Macro));
        for (metric, expected) in [
            (Metric::SubsetAccuracy, prf::subset_accuracy(t, p).unwrap()),
            (Metric::F1Micro, micro.f1),
            (Metric::F1Macro, macros.f1),
            (Metric::F1Weighted, average(Average::Weighted).f1),
            (Metric::F1Samples, average(Average::Samples).f1),
            (Metric::PrecisionMicro, micro.precision),
            (Metric::PrecisionMacro, macros.precision),
            (Metric::RecallMicro, micro.recall),
            (Metric::RecallMacro, macros.recall),
            (Metric::HammingLoss, prf::hamming_loss(t, p).unwrap()),
            (Metric::RocAucMacro, ranking::roc_auc_macro(t, s).unwrap().unwrap()),
            (Metric::MapMacro, ranking::map_macro(t, s).unwrap().unwrap()),
            (Metric::LogLoss, probability::log_loss_multi(t, s).unwrap()),
            (Metric::Brier, probability::brier_multi(t, s).unwrap()),
            (Metric::Ece, probability::ece_multi(t, s, Binning::default()).unwrap()),
        ] {
            let found = scores.get(metric).unwrap();
            assert!((found - expected).abs() < 1e-12, "{}: {found}, not {expected}", metric.name());
        }
    }

    #[test]
    fn single_label_tasks_refuse_rows_without_exactly_one() {
        let one = array![[true, false], [false, true]];
        let two = array![[true, false], [true, true]];
        let y_score = array![[0.5, 0.5], [0.5, 0.5]];
        let message = |t: &Array2<bool>, p: &Array2<bool>| {
            RowStatistics::new(Task::Single, t.view(), p.view(), y_score.view()).unwrap_err().to_string()
        };
        assert_eq!(
            message(&one, &two),
            "article number 1 (counted from 0) has 2 labels in the predictions, expected exactly one"
        );
        let none = Array2::from_elem((2, 2), false);
        assert_eq!(
            message(&none, &one),
            "article number 0 (counted from 0) has 0 labels in the truth, expected exactly one"
        );
    }

    proptest! {
        #[test]
        fn weights_are_repeated_rows_and_order_changes_nothing(weights in proptest::collection::vec(0..4u32, 24)) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let (y_true, y_pred, y_score) = sample(24, 4);
            let mut rows: Vec<usize> =
                (0..24).flat_map(|row| std::iter::repeat_n(row, weights[row] as usize)).collect();
            rows.reverse();
            let pick = |matrix: &Array2<bool>| matrix.select(Axis(0), &rows);
            let repeated = RowStatistics::new(
                Task::Multi, pick(&y_true).view(), pick(&y_pred).view(), y_score.select(Axis(0), &rows).view(),
            ).unwrap().scores();
            let weighted = RowStatistics::new(Task::Multi, y_true.view(), y_pred.view(), y_score.view())
                .unwrap()
                .weighted_scores(&weights);
            for metric in Metric::ALL {
                match (weighted.get(metric), repeated.get(metric)) {
                    (Some(weighted), Some(repeated)) => {
                        prop_assert!((weighted - repeated).abs() < 1e-12, "{}", metric.name());
                        prop_assert!((-1e-12..=metric.upper_bound() + 1e-12).contains(&weighted), "{}", metric.name());
                    }
                    (weighted, repeated) => prop_assert_eq!(weighted, repeated),
                }
            }
        }
    }
}
