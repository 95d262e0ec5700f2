//! Two sets of predictions of the same articles: by how much one is better, and whether chance would do as much.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::{ReportError, indicator};
use crate::labels::{LabelSet, Targets, Task};
use crate::metrics::MetricError;
use crate::metrics::bootstrap::{BootstrapSettings, Interval, bootstrap_intervals};
use crate::metrics::compare::{PairedDecisions, holm, mcnemar_exact, mean_test};
use crate::metrics::summary::{Metric, RowStatistics};

/// Differences with a smaller p-value are called differences.
pub const SIGNIFICANCE: f64 = 0.05;

/// What one of the two says.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// As sentences call it.
    pub name: &'a str,
    /// `[n, n_labels]`: the labels that were assigned; exactly one a row for `single`.
    pub decisions: ArrayView2<'a, bool>,
    /// `[n, n_labels]`, in `[0, 1]`; without them metrics of decisions alone are compared.
    pub probabilities: Option<ArrayView2<'a, f64>>,
}

/// How two are compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonSettings {
    /// `None` for no intervals.
    pub bootstrap: Option<BootstrapSettings>,
    /// Shuffles of the randomisation tests, at least 1.
    pub n_shuffles: usize,
    pub seed: u64,
}

/// A test of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairedTest {
    /// See [`mcnemar_exact`].
    Mcnemar,
    /// See [`PairedDecisions::f1_tests`] and [`mean_test`].
    Randomisation,
}

/// A metric of both, and the difference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricDifference {
    pub metric: Metric,
    pub a: f64,
    pub b: f64,
    /// `b − a`.
    pub difference: f64,
    /// Of the difference, by resampling articles with what both say of them.
    pub interval: Option<Interval>,
    /// Two-sided; `None` for metrics that have only the interval.
    pub p_value: Option<f64>,
    pub test: Option<PairedTest>,
}

/// F1 of a label by both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelDifference {
    pub label: String,
    /// Number of articles that have the label.
    pub support: usize,
    pub f1_a: f64,
    pub f1_b: f64,
    /// By approximate randomisation, two-sided.
    pub p_value: f64,
    /// Corrected for the number of labels, see [`holm`].
    pub p_holm: f64,
}

/// Two sets of predictions, compared on the same articles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    pub a: String,
    pub b: String,
    /// Number of articles.
    pub n: usize,
    pub task: Task,
    /// Articles of which the two say different things.
    pub n_differing: usize,
    /// Those that only `a`, only `b` gets exactly right.
    pub n_only_right: [u64; 2],
    /// In the order of [`Metric::ALL`].
    pub metrics: Vec<MetricDifference>,
    /// In the order of the labels.
    pub per_label: Vec<LabelDifference>,
    /// Labels that one of the two does not know, which were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels_left_out: Vec<String>,
    pub settings: ComparisonSettings,
}

impl Comparison {
    /// Compares `b` with `a`.
    ///
    /// # Errors
    /// No articles, shapes that do not fit, a value that is not a probability, `single` decisions without exactly one label, settings
    /// that give no interval.
    ///
    /// # Example
    /// ```
    /// use ndarray::Array2;
    /// use topicwire::labels::{LabelId, LabelSet, Targets};
    /// use topicwire::report::comparison::{Compared, Comparison, ComparisonSettings};
    /// let labels = LabelSet::from_names(["trade", "defense"])?;
    /// let targets = Targets::Single((0..50).map(|i| LabelId(i % 2)).collect());
    /// let right = targets.indicator(2);
    /// let guess = Array2::from_shape_fn((50, 2), |(_, k)| k == 0);
    /// let by = |name, decisions| Compared { name, decisions, probabilities: None };
    /// let settings = ComparisonSettings { bootstrap: Some(Default::default()), n_shuffles: 1000, seed: 0 };
    /// let found = Comparison::new(&labels, &targets, [by("guess", guess.view()), by("model", right.view())], settings)?;
    /// assert!(found.headline()[0].starts_with("`model` is better than `guess` by 50.0 points of accuracy"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(
        labels: &LabelSet,
        targets: &Targets,
        [a, b]: [Compared<'_>; 2],
        settings: ComparisonSettings,
    ) -> Result<Self, ReportError> {
        let truth = indicator(targets, labels.len())?;
        let task = targets.task();
        let paired = PairedDecisions::new(truth.view(), a.decisions, b.decisions)?;
        let has_probabilities = a.probabilities.is_some() && b.probabilities.is_some();
        let statistics = |side: Compared<'_>| match side.probabilities.filter(|_| has_probabilities) {
            Some(probabilities) => RowStatistics::new(task, truth.view(), side.decisions, probabilities),
            None => {
                let certain = side.decisions.mapv(|decided| f64::from(u8::from(decided)));
                RowStatistics::new(task, truth.view(), side.decisions, certain.view())
            }
        };
        let rows = [statistics(a)?, statistics(b)?];
        let applies = |metric: Metric| metric.applies_to(task) && (has_probabilities || metric.is_of_decisions());
        let f1_tests = paired.f1_tests(settings.n_shuffles, settings.seed);
        let intervals = settings.bootstrap.map(|bootstrap| differences(&rows, bootstrap)).transpose()?;
        let scores = [rows[0].scores(), rows[1].scores()];
        let metrics = Metric::ALL
            .into_iter()
            .filter(|metric| applies(*metric))
            .filter_map(|metric| {
                let (a, b) = (scores[0].get(metric)?, scores[1].get(metric)?);
                let [only_a, only_b] = paired.n_only_right();
                let randomised = |p| (Some(p), Some(PairedTest::Randomisation));
                let (p_value, test) = match metric {
                    Metric::Accuracy | Metric::SubsetAccuracy => {
                        (Some(mcnemar_exact(only_a, only_b)), Some(PairedTest::Mcnemar))
                    }
                    Metric::F1Micro => randomised(f1_tests.micro),
                    Metric::F1Macro => randomised(f1_tests.macro_mean),
                    _ => match rows[0].per_article(metric).zip(rows[1].per_article(metric)) {
                        Some((a, b)) => {
                            let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
                            randomised(mean_test(&differences, settings.n_shuffles, settings.seed))
                        }
                        None => (None, None),
                    },
                };
                let interval = intervals.as_ref().and_then(|intervals| intervals[metric as usize]);
                Some(MetricDifference { metric, a, b, difference: b - a, interval, p_value, test })
            })
            .collect();
        let support = targets.support(labels.len());
        let corrected = holm(&f1_tests.per_label);
        let per_label = labels.names().zip(paired.f1_per_label()).enumerate().map(|(k, (name, [f1_a, f1_b]))| {
            let (p_value, p_holm) = (f1_tests.per_label[k], corrected[k]);
            LabelDifference { label: name.to_owned(), support: support[k], f1_a, f1_b, p_value, p_holm }
        });
        Ok(Self {
            a: a.name.to_owned(),
            b: b.name.to_owned(),
            n: targets.len(),
            task,
            n_differing: paired.n_differing(),
            n_only_right: paired.n_only_right(),
            metrics,
            per_label: per_label.collect(),
            labels_left_out: Vec::new(),
            settings,
        })
    }

    /// One metric's difference.
    pub fn metric(&self, metric: Metric) -> Option<&MetricDifference> {
        self.metrics.iter().find(|listed| listed.metric == metric)
    }

    /// The metrics that a person reads first, each as a sentence.
    pub fn headline(&self) -> Vec<String> {
        let metrics: &[Metric] = match self.task {
            Task::Single => &[Metric::Accuracy, Metric::F1Macro, Metric::LogLoss],
            Task::Multi => &[Metric::F1Micro, Metric::F1Macro, Metric::MapMacro, Metric::LogLoss],
        };
        metrics.iter().filter_map(|metric| self.metric(*metric)).map(|found| self.sentence(found)).collect()
    }

    /// The difference in words: which is better, by how much, and how sure that is.
    pub fn sentence(&self, found: &MetricDifference) -> String {
        let metric = found.metric;
        let b_is_better = (found.difference > 0.0) != metric.is_loss();
        let (better, other) = if b_is_better { (&self.b, &self.a) } else { (&self.a, &self.b) };
        let (scale, n_decimals, unit) = if metric.is_loss() { (-1.0, 4, "") } else { (100.0, 1, " points") };
        // As seen by the better one, so that the amount is positive.
        let factor = if b_is_better { scale } else { -scale };
        let shown = |difference: f64| {
            let text = format!("{:.n_decimals$}", factor * difference);
            // No minus before a zero.
            if text.trim_start_matches(['-', '0', '.']).is_empty() {
                text.trim_start_matches('-').to_owned()
            } else {
                text
            }
        };
        let mut evidence = Vec::new();
        if let Some(interval) = found.interval {
            let ends = if factor > 0.0 { [interval.low, interval.high] } else { [interval.high, interval.low] };
            evidence.push(format!("95 % interval {} to {}", shown(ends[0]), shown(ends[1])));
        }
        evidence.extend(found.p_value.map(p_in_words));
        let evidence = if evidence.is_empty() { String::new() } else { format!(" ({})", evidence.join(", ")) };
        let (amount, name) = (shown(found.difference), metric.name());
        if found.is_significant() {
            format!("`{better}` is better than `{other}` by {amount}{unit} of {name}{evidence}")
        } else if found.difference == 0.0 {
            format!("`{}` and `{}` are equal in {name}{evidence}", self.a, self.b)
        } else {
            format!(
                "no difference in {name} can be told from chance: `{better}` is {amount}{unit} ahead of `{other}`{evidence}"
            )
        }
    }

    /// Labels on which the two differ for certain, after correction for the number of labels; the surest first.
    pub fn significant_labels(&self) -> Vec<&LabelDifference> {
        let mut labels: Vec<_> = self.per_label.iter().filter(|label| label.p_holm < SIGNIFICANCE).collect();
        labels.sort_by(|a, b| a.p_holm.total_cmp(&b.p_holm));
        labels
    }
}

impl MetricDifference {
    /// Whether interval and p-value, as far as there are any, both say that the two differ.
    pub fn is_significant(&self) -> bool {
        let by_interval = self.interval.map(|interval| interval.low > 0.0 || interval.high < 0.0);
        let by_test = self.p_value.map(|p| p < SIGNIFICANCE);
        (by_interval.is_some() || by_test.is_some()) && by_interval.unwrap_or(true) && by_test.unwrap_or(true)
    }
}

/// `p = 0.03`, `p = 0.008`, `p < 0.001`.
pub fn p_in_words(p: f64) -> String {
    match p {
        p if p < 0.001 => "p < 0.001".to_owned(),
        p if p < 0.01 => format!("p = {p:.3}"),
        p => format!("p = {p:.2}"),
    }
}

/// Intervals of `b − a` for every metric.
fn differences(
    [a, b]: &[RowStatistics; 2],
    bootstrap: BootstrapSettings,
) -> Result<[Option<Interval>; Metric::ALL.len()], MetricError> {
    let of = |scores: crate::metrics::summary::Scores, metric| scores.get(metric).unwrap_or(f64::NAN);
    bootstrap_intervals(&a.strata(bootstrap.resampling), bootstrap, |counts| {
        let (a, b) = (a.weighted_scores(counts), b.weighted_scores(counts));
        Metric::ALL.map(|metric| of(b, metric) - of(a, metric))
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::labels::LabelId;

    const N: usize = 200;

    fn settings() -> ComparisonSettings {
        let bootstrap = BootstrapSettings { n_resamples: 400, ..BootstrapSettings::default() };
        ComparisonSettings { bootstrap: Some(bootstrap), n_shuffles: 1999, seed: 1 }
    }

    fn labels() -> LabelSet {
        LabelSet::from_names(["trade", "defense", "energy"]).unwrap()
    }

    fn targets() -> Targets {
        Targets::Single((0..N).map(|i| LabelId(i % 3)).collect())
    }

    /// Right but for every `period`-th article.
    fn decisions(period: usize, offset: usize) -> Array2<bool> {
        Array2::from_shape_fn(
            (N, 3),
            |(i, k)| if (i + offset).is_multiple_of(period) { k == (i + 1) % 3 } else { k == i % 3 },
        )
    }

    fn compare(a: &Array2<bool>, b: &Array2<bool>) -> Comparison {
        let probabilities = [a, b].map(|decisions| decisions.mapv(|decided| if decided { 0.8 } else { 0.1 }));
        let side = |name, decisions, i: usize| Compared {
            name,
            decisions,
            probabilities: Some(ArrayView2::from(&probabilities[i])),
        };
        Comparison::new(&labels(), &targets(), [side("old", a.view(), 0), side("new", b.view(), 1)], settings())
            .unwrap()
    }

    #[test]
    fn the_interval_of_accuracy_is_that_of_a_mean_of_paired_differences() {
        let (a, b) = (decisions(3, 0), decisions(10, 1));
        let found = compare(&a, &b);
        let accuracy = found.metric(Metric::Accuracy).unwrap();
        let truth = targets().indicator(3);
        let right = |decisions: &Array2<bool>, i: usize| f64::from(u8::from(decisions.row(i) == truth.row(i)));
        let differences: Vec<f64> = (0..N).map(|i| right(&b, i) - right(&a, i)).collect();
        let mean = differences.iter().sum::<f64>() / N as f64;
        let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / N as f64;
        let half = 1.96 * (variance / N as f64).sqrt();
        let interval = accuracy.interval.unwrap();
        assert!((accuracy.difference - mean).abs() < 1e-12);
        // 400 resamples: ends are uncertain by about a tenth of the width.
        assert!((interval.low - (mean - half)).abs() < 0.2 * half, "{interval:?}, {mean} ± {half}");
        assert!((interval.high - (mean + half)).abs() < 0.2 * half, "{interval:?}, {mean} ± {half}");
    }

    #[test]
    fn sentences_name_the_better_one_whichever_comes_first() {
        let (good, bad) = (decisions(50, 0), decisions(4, 1));
        for (found, better, other) in [(compare(&bad, &good), "new", "old"), (compare(&good, &bad), "old", "new")] {
            let sentences = found.headline();
            for (sentence, metric) in sentences.iter().zip(["accuracy", "f1_macro", "log_loss"]) {
                assert!(sentence.starts_with(&format!("`{better}` is better than `{other}` by ")), "{sentence}");
                assert!(
                    sentence.contains(metric) && sentence.contains("p < 0.001") && !sentence.contains('-'),
                    "{sentence}"
                );
            }
            assert!(sentences[0].contains("by 23.0 points of accuracy (95 % interval "), "{}", sentences[0]);
        }
    }

    #[test]
    fn chance_is_called_chance() {
        let found = compare(&decisions(10, 0), &decisions(10, 5));
        assert!(found.headline()[0].starts_with("`old` and `new` are equal in accuracy"), "{}", found.headline()[0]);
        let found = compare(&decisions(10, 0), &decisions(11, 5));
        assert!(
            found.headline()[0]
                .starts_with("no difference in accuracy can be told from chance: `new` is 1.0 points ahead of `old`"),
            "{}",
            found.headline()[0]
        );
        assert!(found.significant_labels().is_empty());
    }

    #[test]
    fn without_probabilities_decisions_alone_are_compared() {
        let (a, b) = (decisions(3, 0), decisions(10, 1));
        let side = |name, decisions| Compared { name, decisions, probabilities: None };
        let found =
            Comparison::new(&labels(), &targets(), [side("a", a.view()), side("b", b.view())], settings()).unwrap();
        assert!(found.metric(Metric::F1Macro).is_some());
        for metric in [Metric::LogLoss, Metric::Brier, Metric::Ece, Metric::MapMacro, Metric::RocAucMacro] {
            assert!(found.metric(metric).is_none(), "{}", metric.name());
        }
    }

    #[test]
    fn a_comparison_survives_the_round_trip() {
        let found = compare(&decisions(3, 0), &decisions(10, 1));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["metrics"][0]["metric"], "accuracy");
        assert_eq!(serde_json::from_value::<Comparison>(json).unwrap(), found);
    }
}
