//! How well a model does on parts of the articles: those of one source, one month, one language, one length.
//!
//! Slices are listed by the upper ends of their intervals, the lowest first: first come those that are surely bad, and a handful of
//! articles that went wrong by chance does not shout. Slices too small for an interval come last.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use unicode_segmentation::UnicodeSegmentation;

use super::{Estimate, EvaluationInput, ReportError, indicator};
use crate::data::Article;
use crate::labels::{Task, closest};
use crate::metrics::bootstrap::{BootstrapSettings, Resampling, Strata, bootstrap_intervals};
use crate::metrics::summary::Metric;

/// Articles that a slice needs for an interval; below it, bootstrap intervals are far too narrow (three articles that are all right have
/// one of no width).
pub const MIN_FOR_INTERVAL: usize = 20;

/// Articles after which a column that none of them has is given up, so that a slip of the pen shows early.
const GIVE_UP_AFTER: usize = 1000;

/// Words from which each bucket of lengths but the first begins.
const LENGTH_BOUNDS: [usize; 6] = [25, 50, 100, 200, 400, 800];

/// The slice of articles that lack the column.
pub const NO_VALUE: &str = "(none)";

/// The slice of texts whose language cannot be told, most often because they are short.
pub const UNKNOWN_LANGUAGE: &str = "(unknown)";

/// What slices are made by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SliceBy {
    /// The values of a column.
    Column(String),
    /// Year and month of a column of dates.
    Month(String),
    /// The year of a column of dates.
    Year(String),
    /// Words of title and text, in buckets.
    Length,
    /// The language of title and text.
    Language,
    /// The number of labels that an article has.
    LabelCount,
}

impl FromStr for SliceBy {
    type Err = std::convert::Infallible;

    /// `COLUMN`, `COLUMN:month`, `COLUMN:year`, `length`, `language`, `label-count`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "length" => Self::Length,
            "language" => Self::Language,
            "label-count" => Self::LabelCount,
            text => match text.rsplit_once(':') {
                Some((column, "month")) => Self::Month(column.to_owned()),
                Some((column, "year")) => Self::Year(column.to_owned()),
                _ => Self::Column(text.to_owned()),
            },
        })
    }
}

/// Why articles cannot be sliced.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SliceError {
    #[error("no article has a column `{column}` to slice by{}; derived from the text are `length`, `language` and `label-count`",
        .closest.as_ref().map(|name| format!("; the closest is `{name}`")).unwrap_or_default())]
    NoColumn { column: String, closest: Option<String> },
    #[error("column `{column}` of article {id} is {found}, expected one value to slice by")]
    NotOneValue { column: String, id: String, found: &'static str },
    #[error("column `{column}` of article {id} is `{found}`, expected a date that begins like 2024-03")]
    NotADate { column: String, id: String, found: String },
}

/// Collects the slice of each article as articles come by.
///
/// # Example
/// ```
/// use topicwire::data::Article;
/// use topicwire::report::slices::SliceColumn;
/// let mut column = SliceColumn::new("date:month");
/// let mut article = Article::new("a1", "Ships sail.");
/// article.extra.insert("date".into(), "2024-03-31".into());
/// column.add(&article)?;
/// assert_eq!(column.finish()?, ["2024-03"]);
/// # Ok::<(), topicwire::report::slices::SliceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SliceColumn {
    name: String,
    by: SliceBy,
    values: Vec<String>,
    columns: BTreeSet<String>,
    is_found: bool,
}

impl SliceColumn {
    /// `text` as [`SliceBy`] reads it; where the first article has a column of exactly this name, that column.
    pub fn new(text: &str) -> Self {
        let by = text.parse().unwrap_or_else(|never| match never {});
        Self { name: text.to_owned(), by, values: Vec::new(), columns: BTreeSet::new(), is_found: false }
    }

    /// As it was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes the slice of one more article.
    ///
    /// # Errors
    /// [`SliceError::NotOneValue`], [`SliceError::NotADate`]; [`SliceError::NoColumn`] when the first 1,000 articles lack the column.
    pub fn add(&mut self, article: &Article) -> Result<(), SliceError> {
        if self.values.is_empty() && article.extra.contains_key(&self.name) {
            self.by = SliceBy::Column(self.name.clone());
        }
        if let SliceBy::Column(column) | SliceBy::Month(column) | SliceBy::Year(column) = &self.by {
            self.is_found |= article.extra.contains_key(column);
            if !self.is_found {
                self.columns.extend(article.extra.keys().cloned());
            }
        }
        let value = match &self.by {
            SliceBy::Column(column) => value_of(article, column)?,
            SliceBy::Month(column) => date_of(article, column)?.map(|(year, month)| format!("{year:04}-{month:02}")),
            SliceBy::Year(column) => date_of(article, column)?.map(|(year, _)| format!("{year:04}")),
            SliceBy::Length => Some(length_bucket(article)),
            SliceBy::Language => Some(language(article)),
            SliceBy::LabelCount => article.labels.as_ref().map(|labels| {
                // A label that is written twice is one.
                labels.iter().collect::<BTreeSet<_>>().len().to_string()
            }),
        };
        self.values.push(value.unwrap_or_else(|| NO_VALUE.to_owned()));
        if self.values.len() == GIVE_UP_AFTER { self.check_column() } else { Ok(()) }
    }

    /// The slice of each article, in order.
    ///
    /// # Errors
    /// [`SliceError::NoColumn`] when no article had the column.
    pub fn finish(self) -> Result<Vec<String>, SliceError> {
        self.check_column()?;
        Ok(self.values)
    }

    fn check_column(&self) -> Result<(), SliceError> {
        match &self.by {
            SliceBy::Column(column) | SliceBy::Month(column) | SliceBy::Year(column)
                if !self.is_found && !self.values.is_empty() =>
            {
                let closest = closest(column, self.columns.iter().map(String::as_str)).map(str::to_owned);
                Err(SliceError::NoColumn { column: column.clone(), closest })
            }
            _ => Ok(()),
        }
    }
}

/// The one value of a column, as text; `None` where it is missing or empty.
fn value_of(article: &Article, column: &str) -> Result<Option<String>, SliceError> {
    let wrong = |found| Err(SliceError::NotOneValue { column: column.to_owned(), id: article.id.clone(), found });
    match article.extra.get(column) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => Ok(Some(value.to_string())),
        Some(Value::Array(_)) => wrong("a list"),
        Some(Value::Object(_)) => wrong("an object"),
    }
}

/// Year and month of a date as ISO 8601 writes it, whatever follows.
fn date_of(article: &Article, column: &str) -> Result<Option<(u32, u32)>, SliceError> {
    let Some(text) = value_of(article, column)? else { return Ok(None) };
    let parsed = (|| {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (year, rest) = (text.get(..4)?, text.get(4..)?);
        let month = rest.strip_prefix(['-', '/']).map_or(rest.get(..2), |rest| rest.get(..2))?;
        let month_number = month.parse().ok().filter(|month| (1..=12).contains(month))?;
        (digits(year) && digits(month)).then_some((year.parse().ok()?, month_number))
    })();
    let not_a_date = SliceError::NotADate { column: column.to_owned(), id: article.id.clone(), found: text.clone() };
    parsed.map(Some).ok_or(not_a_date)
}

fn whole_text(article: &Article) -> String {
    match &article.title {
        Some(title) => format!("{title}\n{}", article.text),
        None => article.text.clone(),
    }
}

fn length_bucket(article: &Article) -> String {
    let n_words = whole_text(article).unicode_words().count();
    let bucket = LENGTH_BOUNDS.iter().take_while(|bound| n_words >= **bound).count();
    match (bucket.checked_sub(1).map(|below| LENGTH_BOUNDS[below]), LENGTH_BOUNDS.get(bucket)) {
        (None, Some(end)) => format!("under {end} words"),
        (Some(start), Some(end)) => format!("{start} to {} words", end - 1),
        (start, None) => format!("{} words or more", start.unwrap_or_default()),
    }
}

fn language(article: &Article) -> String {
    match whatlang::detect(&whole_text(article)) {
        Some(found) if found.is_reliable() => found.lang().eng_name().to_owned(),
        _ => UNKNOWN_LANGUAGE.to_owned(),
    }
}

/// One metric on the articles of one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    pub value: String,
    /// Number of articles.
    pub n: usize,
    pub metric: Metric,
    pub estimate: Estimate,
}

/// The slices of a column, the worst first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceTable {
    /// As it was asked for, such as `source` or `date:month`.
    pub column: String,
    pub slices: Vec<Slice>,
}

/// Hits and what they are divided by, of one article: the metric of many is the ratio of the sums.
#[derive(Clone, Copy)]
struct Ratio {
    hits: f64,
    of: f64,
}

impl SliceTable {
    /// Accuracy (`single`) or micro-F1 (`multi`) of every slice, with intervals where settings for them are given and there are
    /// [`MIN_FOR_INTERVAL`] articles. Within a slice articles are drawn, whatever the settings draw.
    ///
    /// `values[i]` is the slice of article `i`, as [`SliceColumn::finish`] gives it.
    ///
    /// # Errors
    /// As [`EvaluationReport::new`](super::EvaluationReport::new); a number of values that is not that of the articles.
    pub fn new(
        column: &str,
        values: &[String],
        input: &EvaluationInput<'_>,
        bootstrap: Option<BootstrapSettings>,
    ) -> Result<Self, ReportError> {
        let (metric, ratios) = ratios(input)?;
        if values.len() != ratios.len() {
            return Err(ReportError::SliceValues { expected: ratios.len(), found: values.len() });
        }
        let mut rows_of_value: BTreeMap<&str, Vec<Ratio>> = BTreeMap::new();
        for (value, &ratio) in values.iter().zip(&ratios) {
            rows_of_value.entry(value).or_default().push(ratio);
        }
        let mut slices = rows_of_value
            .into_iter()
            .map(|(value, rows)| {
                let estimate = estimate(&rows, bootstrap)?;
                Ok(Slice { value: value.to_owned(), n: rows.len(), metric, estimate })
            })
            .collect::<Result<Vec<_>, ReportError>>()?;
        slices.sort_by(|a, b| order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal));
        Ok(Self { column: column.to_owned(), slices })
    }

    /// Slices whose interval lies below `overall`, the metric of all articles.
    pub fn below(&self, overall: f64) -> impl Iterator<Item = &Slice> {
        self.slices.iter().filter(move |slice| slice.estimate.interval.is_some_and(|interval| interval.high < overall))
    }
}

/// Slices with intervals by their upper ends; without, by their values, small ones last; undefined ones behind all.
fn order(slice: &Slice) -> (bool, bool, f64) {
    let Estimate { value, interval } = slice.estimate;
    let number = interval.map(|interval| interval.high).or(value);
    (number.is_none(), slice.n < MIN_FOR_INTERVAL, number.unwrap_or_default())
}

/// The metric, and its parts of each article.
fn ratios(input: &EvaluationInput<'_>) -> Result<(Metric, Vec<Ratio>), ReportError> {
    let truth = indicator(input.targets, input.labels.len())?;
    if truth.dim() != input.decisions.dim() {
        let [expected, found] = [truth.dim(), input.decisions.dim()].map(|(rows, columns)| [rows, columns]);
        return Err(crate::metrics::MetricError::Shape { what: "decisions", expected, found }.into());
    }
    let rows = truth.rows().into_iter().zip(input.decisions.rows());
    Ok(match input.targets.task() {
        Task::Single => {
            let ratio = |right: bool| Ratio { hits: f64::from(right), of: 1.0 };
            (Metric::Accuracy, rows.map(|(truth, decided)| ratio(truth == decided)).collect())
        }
        Task::Multi => {
            let count = |set: &bool| f64::from(*set);
            let ratio = |(truth, decided): (ndarray::ArrayView1<bool>, ndarray::ArrayView1<bool>)| Ratio {
                hits: 2.0
                    * truth.iter().zip(decided).map(|(&truth, &decided)| f64::from(truth && decided)).sum::<f64>(),
                of: truth.iter().map(count).sum::<f64>() + decided.iter().map(count).sum::<f64>(),
            };
            (Metric::F1Micro, rows.map(ratio).collect())
        }
    })
}

fn estimate(rows: &[Ratio], bootstrap: Option<BootstrapSettings>) -> Result<Estimate, ReportError> {
    let statistic = |counts: &[u32]| {
        let sum = |part: fn(&Ratio) -> f64| -> f64 {
            rows.iter().zip(counts).map(|(row, &count)| part(row) * f64::from(count)).sum()
        };
        [sum(|row| row.hits) / sum(|row| row.of)]
    };
    let [value] = statistic(&vec![1; rows.len()]);
    let interval = match bootstrap {
        Some(settings) if rows.len() >= MIN_FOR_INTERVAL => {
            let settings = BootstrapSettings { resampling: Resampling::Articles, ..settings };
            let [interval] = bootstrap_intervals(&Strata::whole(rows.len()), settings, statistic)?;
            interval.map(|interval| interval.within(0.0, 1.0))
        }
        _ => None,
    };
    Ok(Estimate { value: Some(value).filter(|value| value.is_finite()), interval })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use serde_json::json;

    use super::*;
    use crate::labels::{LabelId, LabelSet, Targets};

    fn article(columns: Value) -> Article {
        let mut article =
            Article::new("a1", "Ships carry grain to the harbour of Odesa, and soldiers train with new tanks.");
        article.extra = columns.as_object().expect("columns are an object").clone();
        article
    }

    fn slice_of(by: &str, columns: Value) -> Result<Vec<String>, SliceError> {
        let mut column = SliceColumn::new(by);
        column.add(&article(columns))?;
        column.finish()
    }

    #[test]
    fn every_kind_of_slice_is_read_off_the_article() {
        for (by, columns, expected) in [
            ("source", json!({"source": " wire "}), "wire"),
            ("page", json!({"page": 3}), "3"),
            ("date:month", json!({"date": "2024-03-31"}), "2024-03"),
            ("date:month", json!({"date": "20240331T101500Z"}), "2024-03"),
            ("date:year", json!({"date": "2024/03"}), "2024"),
            ("date:month", json!({"date:month": "March"}), "March"),
            ("date:month", json!({"date": null}), NO_VALUE),
            ("length", json!({}), "under 25 words"),
            ("length", json!({"length": "short"}), "short"),
            ("language", json!({}), "English"),
            ("label-count", json!({}), NO_VALUE),
        ] {
            assert_eq!(slice_of(by, columns.clone()).unwrap(), [expected], "{by} of {columns}");
        }
    }

    #[test]
    fn what_cannot_be_sliced_is_named() {
        for (by, columns, message) in [
            (
                "sorce",
                json!({"source": "wire"}),
                "no article has a column `sorce` to slice by; the closest is `source`; derived from the text are `length`, `language` and `label-count`",
            ),
            (
                "tags",
                json!({"tags": ["a", "b"]}),
                "column `tags` of article a1 is a list, expected one value to slice by",
            ),
            (
                "date:month",
                json!({"date": "31 March"}),
                "column `date` of article a1 is `31 March`, expected a date that begins like 2024-03",
            ),
            (
                "date:year",
                json!({"date": "2024-13-01"}),
                "column `date` of article a1 is `2024-13-01`, expected a date that begins like 2024-03",
            ),
        ] {
            assert_eq!(slice_of(by, columns).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn lengths_fall_into_their_buckets() {
        for (n_words, expected) in [
            (1, "under 25 words"),
            (24, "under 25 words"),
            (25, "25 to 49 words"),
            (799, "400 to 799 words"),
            (800, "800 words or more"),
        ] {
            assert_eq!(length_bucket(&Article::new("a", "word ".repeat(n_words))), expected);
        }
    }

    /// A slice of `n` articles of which the first `n_right` are right.
    fn table(slices: &[(&str, usize, usize)]) -> SliceTable {
        let labels = LabelSet::from_names(["a", "b"]).unwrap();
        let rows: Vec<(String, bool)> = slices
            .iter()
            .flat_map(|(value, n, n_right)| (0..*n).map(move |i| ((*value).to_owned(), i < *n_right)))
            .collect();
        let targets = Targets::Single(vec![LabelId(0); rows.len()]);
        let decisions = Array2::from_shape_fn((rows.len(), 2), |(i, k)| rows[i].1 == (k == 0));
        let probabilities = decisions.mapv(f64::from);
        let values: Vec<String> = rows.iter().map(|(value, _)| value.clone()).collect();
        let input = EvaluationInput {
            labels: &labels,
            targets: &targets,
            probabilities: probabilities.view(),
            decisions: decisions.view(),
            thresholds: None,
        };
        SliceTable::new("source", &values, &input, Some(BootstrapSettings::default())).unwrap()
    }

    #[test]
    fn the_surely_bad_come_first_and_a_handful_does_not_shout() {
        let table = table(&[("good", 100, 95), ("bad", 100, 60), ("unsure", 20, 13), ("handful", 3, 0)]);
        let order: Vec<&str> = table.slices.iter().map(|slice| slice.value.as_str()).collect();
        assert_eq!(order, ["bad", "unsure", "good", "handful"]);
        let bad = &table.slices[0];
        assert_eq!((bad.n, bad.metric, bad.estimate.value), (100, Metric::Accuracy, Some(0.6)));
        let interval = bad.estimate.interval.unwrap();
        // 1.96 · √(0.6 · 0.4 / 100) = 0.096.
        assert!((interval.low - 0.504).abs() < 0.02 && (interval.high - 0.696).abs() < 0.02, "{interval:?}");
        assert_eq!(table.slices[3].estimate, Estimate { value: Some(0.0), interval: None });
        assert_eq!(table.below(0.8).map(|slice| slice.value.as_str()).collect::<Vec<_>>(), ["bad"]);
    }

    #[test]
    fn slices_survive_the_round_trip() {
        let table = table(&[("x", 30, 20), ("y", 2, 1)]);
        let json = serde_json::to_value(&table).unwrap();
        assert_eq!(json["slices"][1]["value"], json!("y"));
        assert_eq!(json["slices"][0]["metric"], json!("accuracy"));
        assert_eq!(serde_json::from_value::<SliceTable>(json).unwrap(), table);
    }
}
