//! What to do about an error, where there is something to do.

use crate::bundle::BundleError;
use crate::cli::output::OutputError;
use crate::data::{DataError, RowProblem};
use crate::encoder::EncoderError;
use crate::encoder::source::SourceError;

/// The hint of the first cause that has one.
pub fn for_error(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(for_cause)
}

fn for_cause(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    let hint = if let Some(error) = cause.downcast_ref::<DataError>() {
        for_data(error)?
    } else if let Some(error) = cause.downcast_ref::<BundleError>() {
        for_bundle(error)?
    } else if let Some(error) = cause.downcast_ref::<SourceError>() {
        for_source(error)?
    } else if let Some(error) = cause.downcast_ref::<EncoderError>() {
        for_encoder(error)?
    } else if let Some(error) = cause.downcast_ref::<OutputError>() {
        for_output(error)?
    } else {
        return None;
    };
    Some(hint.to_owned())
}

fn for_data(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::NoInput => Some("name files, folders or patterns, or `-` for standard input"),
        DataError::Row(row) => Some(match row.problem {
            RowProblem::Unlabelled => {
                "give the row labels ([] for none of them), or name their column with --label-column"
            }
            RowProblem::Label(_) => "correct the label, or pass --on-error skip to leave such rows out",
            RowProblem::DuplicateId { .. } => "every article needs an id of its own; --id-column names another column",
            _ => "mend the row, or pass --on-error skip to write such rows to a rejects file and go on",
        }),
        _ => None,
    }
}

fn for_bundle(error: &BundleError) -> Option<&'static str> {
    match error {
        BundleError::Exists { is_model: true, .. } => {
            Some("pass --overwrite to replace the model, or name another folder")
        }
        BundleError::Exists { .. } => Some("name another folder"),
        BundleError::NotAModel { .. } => Some("name the folder that `topicwire train … -o` made"),
        BundleError::Version { .. } => Some("use that version of topicwire or a later one"),
        BundleError::Tampered { .. } | BundleError::Unlisted { .. } => {
            Some("copy the model again from where it was made, or train it again")
        }
        _ => None,
    }
}

fn for_source(error: &SourceError) -> Option<&'static str> {
    match error {
        SourceError::WeightsMismatch { .. } => {
            Some("the model was made with other weights; see `topicwire inspect MODEL`")
        }
        SourceError::BadId { .. } => Some("see `topicwire encoder list`"),
        _ => None,
    }
}

fn for_encoder(error: &EncoderError) -> Option<&'static str> {
    match error {
        EncoderError::Precision { .. } => Some("leave --precision out, or pass --precision f32"),
        _ => None,
    }
}

fn for_output(error: &OutputError) -> Option<&'static str> {
    match error {
        OutputError::DiskFull { .. } => Some("make room or name another place; nothing was left behind"),
        _ => None,
    }
}
