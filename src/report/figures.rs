//! All plots of an evaluation, for the page and as files, and the numbers behind them.

use ndarray::Array2;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::extras::{MapArticles, ReportExtras};
use super::plots::Plot;
use super::plots::curves::{CurvePoint, ThresholdCurve};
use super::plots::histogram::{ScoreHistogram, histogram_plot};
use super::plots::map::{MapPoint, N_COLOURS, Verdict, map_plot};
use super::plots::precision_recall::precision_recall_plot;
use super::plots::projection::{pca, tsne};
use super::plots::reliability::{ReliabilityPoint, reliability_plot, reliability_points};
use super::plots::sweep::sweep_plot;
use super::{EvaluationInput, EvaluationReport, ReportError, indicator};
use crate::labels::Task;
use crate::metrics::MetricError;

/// Thresholds in the numbers behind a curve: 0, 0.01, …, 1.
const N_LISTED: usize = 101;

/// Characters of a title on the map.
const MAX_TITLE_CHARS: usize = 80;

/// What is drawn of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Every label in order.
    pub labels: Vec<LabelFigures>,
    pub reliability: Option<(Vec<ReliabilityPoint>, Plot)>,
    /// The same articles in several projections.
    pub maps: Option<Maps>,
}

/// What is drawn of a label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelFigures {
    pub name: String,
    pub curve: ThresholdCurve,
    pub histogram: ScoreHistogram,
    pub precision_recall: Plot,
    pub sweep: Plot,
    pub scores: Plot,
}

/// Articles on a plane.
#[derive(Clone, Debug, PartialEq)]
pub struct Maps {
    pub points: Vec<MapPoint>,
    /// How many articles the points stand for.
    pub n_articles: usize,
    /// File name, places `[n, 2]`, drawing.
    pub plots: Vec<(&'static str, Array2<f64>, Plot)>,
}

impl Figures {
    /// Draws what can be drawn: nothing without [`ReportExtras::input`], no map without embeddings.
    ///
    /// # Errors
    /// An input that `report` was not made of.
    pub fn new(report: &EvaluationReport, extras: &ReportExtras<'_>) -> Result<Self, ReportError> {
        let Some(input) = &extras.input else { return Ok(Self::default()) };
        let truth = indicator(input.targets, input.labels.len())?;
        let labels = report.per_label.par_iter().enumerate().map(|(label_idx, (name, label))| {
            let (truth, scores) = (truth.column(label_idx), input.probabilities.column(label_idx));
            let curve = ThresholdCurve::new(truth, scores)?;
            let histogram = ScoreHistogram::new(truth, scores);
            let n_given = input.decisions.column(label_idx).iter().filter(|given| **given).count();
            let chosen = CurvePoint {
                threshold: label.threshold.unwrap_or(f64::NAN),
                precision: (n_given > 0).then_some(label.precision),
                recall: label.recall,
                f1: label.f1,
                n_given,
            };
            Ok(LabelFigures {
                name: name.clone(),
                precision_recall: precision_recall_plot(name, &curve, &chosen, label.average_precision),
                sweep: sweep_plot(name, &curve, label.threshold),
                scores: histogram_plot(name, &histogram, label.threshold),
                curve,
                histogram,
            })
        });
        let points = reliability_points(report.task, truth.view(), input.probabilities)?;
        let plot = reliability_plot(&points);
        Ok(Self {
            labels: labels.collect::<Result<_, MetricError>>()?,
            reliability: Some((points, plot)),
            maps: maps(report, input, &truth, &extras.map),
        })
    }

    /// The plots as files of their own with their names, and `data.json` with the numbers behind them.
    ///
    /// Names of labels are cut down to letters and digits; the number in front keeps them apart.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        let width = self.labels.len().max(1).to_string().len();
        for (label_idx, label) in self.labels.iter().enumerate() {
            let stem = format!("label-{label_idx:0width$}-{}", slug(&label.name));
            let plots = [
                ("precision-recall", &label.precision_recall),
                ("thresholds", &label.sweep),
                ("scores", &label.scores),
            ];
            files.extend(plots.map(|(kind, plot)| (format!("{stem}.{kind}.svg"), plot.standalone())));
        }
        files.extend(self.reliability.iter().map(|(_, plot)| ("reliability.svg".to_owned(), plot.standalone())));
        for (name, _, plot) in self.maps.iter().flat_map(|maps| &maps.plots) {
            files.push((format!("map.{name}.svg"), plot.standalone()));
        }
        files.push(("data.json".to_owned(), format!("{:#}\n", self.data())));
        files
    }

    /// The numbers behind the plots.
    pub fn data(&self) -> Value {
        let labels = self.labels.iter().map(|label| {
            let points = (0..N_LISTED).map(|i| label.curve.at(i as f64 / (N_LISTED - 1) as f64));
            let points: Vec<Value> = points.map(|point| json!(point)).collect();
            json!({"label": label.name, "thresholds": points, "scores": label.histogram})
        });
        let maps = self.maps.iter().map(|maps| {
            let places = maps.plots.iter().map(|(name, places, _)| {
                let rows: Vec<Value> = places.rows().into_iter().map(|row| json!([row[0], row[1]])).collect();
                ((*name).to_owned(), Value::Array(rows))
            });
            json!({"articles": maps.points, "places": places.collect::<serde_json::Map<_, _>>()})
        });
        json!({
            "labels": labels.collect::<Vec<_>>(),
            "reliability": self.reliability.as_ref().map(|(points, _)| points),
            "map": maps.into_iter().next(),
        })
    }
}

fn maps(
    report: &EvaluationReport,
    input: &EvaluationInput<'_>,
    truth: &Array2<bool>,
    map: &MapArticles,
) -> Option<Maps> {
    let embeddings = map.embeddings()?;
    let name = |label_idx: usize| report.per_label[label_idx].0.as_str();
    let names = |labels: &[usize]| match labels {
        [] => "none".to_owned(),
        labels => labels.iter().map(|&label_idx| name(label_idx)).collect::<Vec<_>>().join(", "),
    };
    // The most frequent labels have colours.
    let mut by_support: Vec<usize> = (0..truth.ncols()).collect();
    by_support.sort_by_key(|&label_idx| std::cmp::Reverse(report.per_label[label_idx].1.support));
    let points = map.articles().iter().filter(|article| article.row_idx < truth.nrows()).map(|article| {
        let row = article.row_idx;
        let all = |matrix: ndarray::ArrayView1<bool>| (0..matrix.len()).filter(|&k| matrix[k]).collect::<Vec<_>>();
        let (own, given) = (all(truth.row(row)), all(input.decisions.row(row)));
        let has_extra = given.iter().any(|label| !own.contains(label));
        let has_missing = own.iter().any(|label| !given.contains(label));
        let verdict = match (report.task, has_extra, has_missing) {
            (_, false, false) => Verdict::Right,
            // The one label is wrong: that the right one is missing is nothing new.
            (Task::Single, ..) | (_, true, false) => Verdict::Extra,
            (_, false, true) => Verdict::Missing,
            (_, true, true) => Verdict::Both,
        };
        let group = match (report.task, verdict) {
            (Task::Single, _) => own.first().and_then(|label| by_support.iter().position(|other| other == label)),
            (Task::Multi, Verdict::Right) => None,
            (Task::Multi, Verdict::Missing) => Some(0),
            (Task::Multi, Verdict::Extra) => Some(1),
            (Task::Multi, Verdict::Both) => Some(2),
        };
        let title: Option<String> = article.title.as_deref().map(|title| title.chars().take(MAX_TITLE_CHARS).collect());
        let words = format!(
            "{}{}\nhas: {}\ngiven: {}",
            article.id,
            title.map(|title| format!(" · {title}")).unwrap_or_default(),
            names(&own),
            names(&given)
        );
        let mut labels = [own, given].concat();
        labels.sort_unstable();
        labels.dedup();
        MapPoint { words, labels, group: group.unwrap_or(N_COLOURS), verdict }
    });
    let points: Vec<MapPoint> = points.collect();
    if points.len() != embeddings.nrows() {
        return None;
    }
    let groups: Vec<String> = match report.task {
        Task::Single => by_support.iter().take(N_COLOURS).map(|&label_idx| name(label_idx).to_owned()).collect(),
        Task::Multi => Vec::new(),
    };
    let flat = pca(embeddings.view())?;
    let [first, second] = flat.explained.map(|share| 100.0 * share);
    let n_wrong = points.iter().filter(|point| point.verdict != Verdict::Right).count();
    let counts = format!("{} articles, {n_wrong} of them with wrong labels.", points.len());
    let mut plots = Vec::new();
    if let Some(places) = tsne(embeddings.view(), &flat) {
        let words = format!("{counts} Neighbours stay neighbours; distances between groups mean little.");
        let plot = map_plot("Neighbourhoods (t-SNE)", &words, places.view(), &points, &groups);
        plots.push(("t-sne", places, plot));
    }
    let words = format!("{counts} The two directions hold {first:.0} and {second:.0} % of the variance.");
    let plot = map_plot("Main directions (PCA)", &words, flat.points.view(), &points, &groups);
    plots.push(("pca", flat.points, plot));
    Some(Maps { points, n_articles: map.n_seen(), plots })
}

/// Lower-case letters and digits of a name, the rest as single hyphens.
fn slug(name: &str) -> String {
    let letters: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let words: Vec<&str> = letters.split('-').filter(|word| !word.is_empty()).collect();
    let mut slug = words.join("-");
    slug.truncate(48);
    slug
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::labels::{LabelId, LabelSet, Targets};

    fn figures(task: Task) -> Figures {
        let labels = LabelSet::from_names(["Trade & tariffs", "../etc", "港"]).unwrap();
        let n = 30;
        let targets = match task {
            Task::Single => Targets::Single((0..n).map(|i| LabelId(i % 3)).collect()),
            Task::Multi => Targets::Multi((0..n).map(|i| (0..i % 4).map(LabelId).collect()).collect()),
        };
        let probabilities = Array2::from_shape_fn((n, 3), |(i, k)| ((i * 7 + k * 11) % 29) as f64 / 29.0);
        let decisions = match task {
            Task::Multi => probabilities.mapv(|p| p >= 0.5),
            Task::Single => Array2::from_shape_fn((n, 3), |(i, k)| (i * 7 / 5) % 3 == k),
        };
        let input = EvaluationInput {
            labels: &labels,
            targets: &targets,
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: (task == Task::Multi).then_some(&[0.5, 0.5, 0.5]),
        };
        let report = EvaluationReport::new(input, None).unwrap();
        let mut map = MapArticles::default();
        for i in 0..n {
            map.push(&format!("<a{i}>"), Some("a title"), &[(i % 3) as f32, (i * i % 11) as f32, 1.0]);
        }
        Figures::new(&report, &ReportExtras { input: Some(input), map, ..ReportExtras::default() }).unwrap()
    }

    #[test]
    fn every_plot_is_a_file_and_its_numbers_stand_beside_it() {
        let files = figures(Task::Multi).files();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), 3 * 3 + 1 + 2 + 1);
        assert_eq!(names[0], "label-0-trade-tariffs.precision-recall.svg");
        assert!(names.contains(&"label-1-etc.scores.svg") && names.contains(&"label-2-.thresholds.svg"));
        assert_eq!(names[9..], ["reliability.svg", "map.t-sne.svg", "map.pca.svg", "data.json"]);
        for (name, content) in &files[..12] {
            assert!(content.starts_with("<svg xmlns=") && content.ends_with("</svg>\n"), "{name}");
            assert!(!content.contains("NaN") && !content.contains("<a1>"), "{name}");
        }
        let data: Value = serde_json::from_str(&files[12].1).unwrap();
        assert_eq!(data["labels"][0]["thresholds"].as_array().unwrap().len(), N_LISTED);
        assert_eq!(data["map"]["places"]["pca"].as_array().unwrap().len(), 30);
    }

    #[test]
    fn a_single_label_is_right_or_wrong() {
        let maps = figures(Task::Single).maps.unwrap();
        assert!(maps.points.iter().all(|point| matches!(point.verdict, Verdict::Right | Verdict::Extra)));
        assert!(maps.points.iter().any(|point| point.verdict == Verdict::Extra));
        assert!(maps.points.iter().all(|point| point.group < 3));
    }

    #[test]
    fn the_number_of_threads_changes_no_byte() {
        let with = |n: usize| {
            rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(|| figures(Task::Multi).files())
        };
        assert_eq!(with(1), with(3));
    }
}
