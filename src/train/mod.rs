//! Fitting a classifier on embeddings whose labels are known.
//!
//! * [`fit_head`]: strength of the penalty, head, calibration and thresholds in one call
//! * [`cross_validate`]: out-of-fold logits for every strength
//! * [`folds`]: which rows are held out together

pub mod cross_validate;
pub mod fit_head;
pub mod folds;

use thiserror::Error;

pub use self::fit_head::{CheckedHeadSettings, CvReport, FittedHead, HeadSettings, fit_head};
use crate::calibration::CalibrationError;
use crate::heads::HeadError;

/// What can go wrong in training.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum TrainError {
    #[error("head setting `{name}` is {found}, expected {expected}")]
    Setting { name: &'static str, found: String, expected: &'static str },
    #[error("cannot fit the head")]
    Head(#[source] HeadError),
    #[error("cannot calibrate the head")]
    Calibration(#[from] CalibrationError),
    #[error("interrupted while fitting the head")]
    Interrupted,
}

impl From<HeadError> for TrainError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Interrupted => Self::Interrupted,
            error => Self::Head(error),
        }
    }
}
