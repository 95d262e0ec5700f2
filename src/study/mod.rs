//! What would be if: more labelled articles, fewer of them, articles of a later day.
//!
//! Articles go through the encoder once; heads are then fitted many times on what is kept of them.
//!
//! * [`curve`]: error against the number of labelled articles, and what twice as many would bring
//! * [`few`]: a few articles per label, drawn again and again
//! * [`time`]: trained before, tested after a date, beside random splits of the same sizes
//! * [`power_law`]: the law of a learning curve
//! * [`pool`]: the articles, embedded

pub mod curve;
pub mod few;
pub mod pool;
pub mod power_law;
pub mod time;

use ndarray::Axis;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::pool::Pool;
use crate::data::TargetError;
use crate::labels::{Targets, Task};
use crate::metrics::MetricError;
use crate::metrics::prf::{Average, ZeroDivision, precision_recall_f1};
use crate::metrics::summary::Metric;
use crate::pipeline::{PipelineError, TopicHead};
use crate::progress::{Progress, Quiet};
use crate::report::slices::SliceError;
use crate::text::TitledText;
use crate::train::fit_views::{TrainingFeatures, fit_views};
use crate::train::{HeadSettings, TrainError};
use crate::views::Features;

/// Why a study cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StudyError {
    #[error("{0}")]
    Pipeline(#[source] PipelineError),
    #[error("cannot use the labels of the articles")]
    Targets(#[from] TargetError),
    #[error("cannot fit a head to {n_train} of the articles")]
    Fit {
        n_train: usize,
        #[source]
        source: Box<TrainError>,
    },
    #[error("cannot score the predictions")]
    Metric(#[from] MetricError),
    #[error(transparent)]
    Column(#[from] SliceError),
    #[error("study setting `{name}` is {found}, expected {expected}")]
    Setting { name: &'static str, found: String, expected: &'static str },
    #[error("there are {found} articles {what}, expected at least {needed}")]
    TooFew { what: &'static str, found: usize, needed: usize },
    #[error("article {id} has no `{column}`, which its place in time is told by")]
    NoTime { id: String, column: String },
    #[error("column `{column}` of article {id} is `{found}`, expected a date such as 2024-03-31")]
    NotADate { column: String, id: String, found: String },
    #[error("{found} different dates cannot make {needed} windows")]
    TooFewDates { found: usize, needed: usize },
    #[error("interrupted")]
    Interrupted,
}

impl From<PipelineError> for StudyError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Interrupted => Self::Interrupted,
            error => Self::Pipeline(error),
        }
    }
}

/// How good a head is that was fitted to some articles, on others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Accuracy (`single`) or micro-F1 (`multi`).
    pub score: f64,
    pub f1_macro: f64,
    /// Strength of the document view.
    pub strength: f64,
}

/// The metric that [`Judged::score`] is.
pub fn score_metric(task: Task) -> Metric {
    match task {
        Task::Single => Metric::Accuracy,
        Task::Multi => Metric::F1Micro,
    }
}

/// Mean and spread over repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub mean: f64,
    /// Sample standard deviation; `None` of one repeat.
    pub sd: Option<f64>,
}

impl Spread {
    /// ```
    /// use topicwire::study::Spread;
    /// let spread = Spread::of(&[1.0, 3.0]);
    /// assert_eq!((spread.mean, spread.sd), (2.0, Some(2f64.sqrt())));
    /// ```
    ///
    /// # Panics
    /// With no value at all.
    pub fn of(values: &[f64]) -> Self {
        assert!(!values.is_empty(), "a mean needs a value");
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()) }
    }
}

/// Fits a head as `train` does to the articles of `train`, and judges it by those of `test`.
///
/// # Errors
/// [`StudyError::Fit`], [`StudyError::Metric`], [`StudyError::Interrupted`].
pub fn fit_and_judge(
    pool: &Pool,
    train: &[usize],
    test: &[usize],
    settings: &HeadSettings,
    progress: &dyn Progress,
) -> Result<Judged, StudyError> {
    let failed = |source| match source {
        TrainError::Interrupted => StudyError::Interrupted,
        source => StudyError::Fit { n_train: train.len(), source: Box::new(source) },
    };
    let checked = settings.clone().check().map_err(failed)?;
    let select = |rows: &[usize]| (pool.embeddings.select(Axis(0), rows), pool.texts_of(rows));
    let (embeddings, texts) = select(train);
    let features = TrainingFeatures::new(embeddings.view(), &texts);
    let targets = pool.targets.select(train);
    let fitted = fit_views(&features, &targets, &pool.labels, &checked, &Quiet(progress)).map_err(failed)?;
    let strength = fitted.strength;
    let head = TopicHead {
        labels: pool.labels.clone(),
        views: fitted.views,
        stack: fitted.stack,
        calibration: fitted.calibration,
        moments: fitted.moments,
        thresholds: fitted.thresholds,
        contract: None,
    };
    let (embeddings, texts) = select(test);
    let texts: Vec<TitledText<'_>> = texts.iter().map(|text| TitledText::untitled(text)).collect();
    let seen = Features { embeddings: embeddings.view(), texts: &texts, passages: None, metadata: &[] };
    let predictions = head.predict(seen)?;
    let mut decisions = ndarray::Array2::from_elem((test.len(), pool.labels.len()), false);
    for (row_idx, prediction) in predictions.iter().enumerate() {
        prediction.labels.iter().for_each(|label| decisions[[row_idx, label.0]] = true);
    }
    judge(&pool.targets.select(test), pool.labels.len(), decisions.view(), strength)
}

fn judge(
    targets: &Targets,
    n_labels: usize,
    decisions: ndarray::ArrayView2<bool>,
    strength: f64,
) -> Result<Judged, StudyError> {
    let truth = targets.indicator(n_labels);
    // With one label an article, micro-F1 is accuracy.
    let f1 =
        |average| precision_recall_f1(truth.view(), decisions, average, ZeroDivision::Zero).map(|scores| scores.f1);
    Ok(Judged { score: f1(Average::Micro)?, f1_macro: f1(Average::Macro)?, strength })
}

/// Checks a count that a setting gives.
fn at_least(name: &'static str, found: usize, needed: usize, expected: &'static str) -> Result<(), StudyError> {
    if found >= needed { Ok(()) } else { Err(StudyError::Setting { name, found: found.to_string(), expected }) }
}
