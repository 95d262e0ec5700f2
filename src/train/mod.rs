//! Fitting a classifier on embeddings whose labels are known.
//!
//! * [`fit_head()`]: strength of the penalty, head, calibration and thresholds in one call
//! * [`fit_views`]: several views of an article and the stack that puts them together
//! * [`cross_validate`]: out-of-fold logits for every strength
//! * [`few`]: heads from few labelled articles, label names and unlabelled articles
//! * [`folds`]: which rows are held out together

mod certify;
pub mod classifier;
pub mod cross_validate;
pub mod few;
pub mod fit_head;
pub mod fit_views;
pub mod folds;
pub(crate) mod gathered;
pub mod little;

use thiserror::Error;

pub use self::classifier::{TrainSettings, TrainTimings};
pub use self::fit_head::{CheckedHeadSettings, CvReport, FittedHead, HeadSettings, fit_head};
use crate::calibration::CalibrationError;
use crate::data::TargetError;
use crate::encoder::EncoderError;
use crate::heads::HeadError;
use crate::labels::{LabelError, Task};
use crate::metrics::MetricError;
use crate::pipeline::PipelineError;
use crate::report::ReportError;
use crate::scope::ScopeError;
use crate::views::rules::RuleError;
use crate::views::words::WordsError;

/// What can go wrong in training.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    #[error("head setting `{name}` is {found}, expected {expected}")]
    Setting { name: &'static str, found: String, expected: &'static str },
    #[error("cannot fit the head")]
    Head(#[source] HeadError),
    #[error("cannot read the words of the articles")]
    Words(#[from] WordsError),
    #[error("cannot calibrate the head")]
    Calibration(#[from] CalibrationError),
    #[error("{0}")]
    Pipeline(#[source] PipelineError),
    #[error("cannot use the labels of the articles")]
    Targets(#[from] TargetError),
    #[error("column `{column}` of article {id} should be a list with a list of labels for each paragraph")]
    ParagraphLabels { id: String, column: String },
    #[error("cannot use the labels of paragraphs")]
    ParagraphLabel(#[source] LabelError),
    #[error("cannot use the hints of the labels")]
    Rules(#[from] RuleError),
    #[error("cannot measure the cross-validated predictions")]
    Report(#[from] ReportError),
    #[error("cannot measure how well views go together")]
    Metric(#[from] MetricError),
    #[error("cannot use the settings of long articles")]
    Encoder(#[from] EncoderError),
    #[error("the encoder was loaded without a name, so a model could not say which it needs; use Encoder::open")]
    NamelessEncoder,
    #[error(
        "nothing is known of label number {label_idx}: none of the {n_labelled} labelled articles has it, and no label is described"
    )]
    NoEvidence { label_idx: usize, n_labelled: usize },
    #[error("embeddings of the {what} have {found} columns, those of the labelled articles {expected}")]
    FewWidth { what: &'static str, found: usize, expected: usize },
    #[error("{found} anchors for {expected} labels; there must be one for each")]
    FewRows { found: usize, expected: usize },
    #[error("the labels of the articles are for a {found} task, expected {expected}")]
    FewTask { expected: Task, found: Task },
    #[error("cannot learn what the articles are like")]
    Scope(#[from] ScopeError),
    #[error("nothing can be promised: too few labelled articles to hold any out")]
    NothingHeldOut,
    #[error("interrupted")]
    Interrupted,
}

impl From<PipelineError> for TrainError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Interrupted => Self::Interrupted,
            error => Self::Pipeline(error),
        }
    }
}

impl From<HeadError> for TrainError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Interrupted => Self::Interrupted,
            error => Self::Head(error),
        }
    }
}
