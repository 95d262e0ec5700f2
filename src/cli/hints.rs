//! What to do about an error, where there is something to do.

use std::error::Error;
use std::io::ErrorKind;

use crate::bundle::BundleError;
use crate::cli::commands::explain::ExplainError;
use crate::cli::config::ConfigFileError;
use crate::cli::output::OutputError;
use crate::data::{DataError, RowProblem, TargetError};
use crate::encoder::EncoderError;
use crate::encoder::source::SourceError;
use crate::heads::HeadError;
use crate::labels::LabelError;
use crate::text::TextError;

/// The hint of the first cause that has one.
pub fn for_error(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(for_cause)
}

fn for_cause(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<DataError>() {
        for_data(error)
    } else if let Some(error) = cause.downcast_ref::<BundleError>() {
        for_bundle(error)
    } else if let Some(error) = cause.downcast_ref::<SourceError>() {
        for_source(error)
    } else if let Some(error) = cause.downcast_ref::<EncoderError>() {
        for_encoder(error)
    } else if let Some(error) = cause.downcast_ref::<OutputError>() {
        for_output(error)
    } else if let Some(error) = cause.downcast_ref::<ConfigFileError>() {
        for_config(error)
    } else if let Some(error) = cause.downcast_ref::<TextError>() {
        for_text(error)
    } else if let Some(error) = cause.downcast_ref::<ExplainError>() {
        Some(match error {
            ExplainError::UnknownId { .. } => {
                "--id-column names the column of ids; without one, rows count from 1 and .txt files go by their names"
            }
            ExplainError::NoArticle => NO_ARTICLES,
        })
    } else if let Some(LabelError::Unknown { .. }) = cause.downcast_ref() {
        Some("`topicwire inspect MODEL --json` names the labels of a model")
    } else if let Some(HeadError::TooFewLabels { .. }) = cause.downcast_ref() {
        Some("a classifier needs articles of two topics at least; see --label-column and --label-separator")
    } else if let Some(TargetError::NoArticles) = cause.downcast_ref() {
        Some(NO_ARTICLES)
    } else if let Some(TargetError::NotSingle { .. }) = cause.downcast_ref() {
        Some("mend the article, or pass --task multi")
    } else {
        None
    }
}

fn for_data(error: &DataError) -> Option<&'static str> {
    match error {
        DataError::NoInput => Some("name files, folders or patterns, or `-` for standard input"),
        DataError::Open { source, .. } if source.kind() == ErrorKind::NotFound => {
            Some("check the name, and the folder that you are in")
        }
        DataError::NoMatch { .. } => Some("check the name, and the folder that you are in"),
        DataError::EmptyDirectory { path, .. } if path.join("manifest.json").is_file() => {
            Some("that folder is a model: it goes first, articles follow")
        }
        DataError::EmptyDirectory { .. } => {
            Some("name the files themselves, with --format if their endings tell nothing")
        }
        DataError::Decompress { .. } => Some("fetch or pack the file again; `gzip -t` and `zstd -t` check one"),
        DataError::Parquet { .. } => Some("fetch or write the file again"),
        DataError::Rejects { .. } => Some("name another file with --rejects"),
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
        BundleError::Write { .. } => Some("the folder above must be a folder, and open to you; -o names another place"),
        BundleError::Read { path, source } if source.kind() == ErrorKind::NotFound => {
            let is_folder_there = path.parent().is_some_and(std::path::Path::is_dir);
            Some(if is_folder_there { COPY_AGAIN } else { "name the folder that `topicwire train … -o` made" })
        }
        BundleError::Tampered { .. }
        | BundleError::Unlisted { .. }
        | BundleError::Format { .. }
        | BundleError::Manifest { .. }
        | BundleError::Labels { .. }
        | BundleError::Tensors { .. }
        | BundleError::TensorShape { .. }
        | BundleError::Head { .. } => Some(COPY_AGAIN),
        _ => None,
    }
}

const NO_ARTICLES: &str = "the input holds no article; look at the file, or name another";

const COPY_AGAIN: &str = "copy the model again from where it was made, or train it again";

fn for_source(error: &SourceError) -> Option<&'static str> {
    match error {
        SourceError::WeightsMismatch { .. } => {
            Some("the model was made with other weights; see `topicwire inspect MODEL`")
        }
        SourceError::Folder { .. } => {
            Some("a folder needs config.json, tokenizer.json and model.safetensors, as the hub has them")
        }
        SourceError::NotFound { .. } => Some(
            "`topicwire encoder list` names encoders; `topicwire encoder fetch` gets one, where there is a network",
        ),
        SourceError::BadId { .. } => Some("see `topicwire encoder list`"),
        _ => None,
    }
}

const FETCH_AGAIN: &str = "fetch or copy the encoder again";

fn for_encoder(error: &EncoderError) -> Option<&'static str> {
    match error {
        EncoderError::Precision { .. } => {
            Some("pass --precision f32, or leave --device out: `cpu` has f32, bf16 and int8")
        }
        EncoderError::Isa(_) => Some("set the variable to one of these, or unset it for the fastest"),
        EncoderError::Config(_) => Some("`topicwire encoder list` names encoders that work"),
        EncoderError::Weights(_) => Some(FETCH_AGAIN),
        _ => None,
    }
}

fn for_text(error: &TextError) -> Option<&'static str> {
    match error {
        TextError::Load { .. } => Some(FETCH_AGAIN),
        TextError::MaxTokens { .. } => Some("pass a --max-tokens in that range, or leave it out"),
        _ => None,
    }
}

fn for_output(error: &OutputError) -> Option<&'static str> {
    match error {
        OutputError::Create { .. } => Some("the folder must be there, and open to you; -o names another place"),
        OutputError::DiskFull { .. } => Some("make room or name another place; nothing was left behind"),
        _ => None,
    }
}

fn for_config(error: &ConfigFileError) -> Option<&'static str> {
    match error {
        ConfigFileError::Unknown { is_section: true, .. } => Some(
            "sections are named after the commands: [train], [evaluate], [predict], [explain], [embed], [bench], [study]",
        ),
        ConfigFileError::Unknown { .. } | ConfigFileError::Value { .. } => Some(
            "settings are named and written as the flags in `topicwire COMMAND --help`, without the dashes in front",
        ),
        _ => None,
    }
}
