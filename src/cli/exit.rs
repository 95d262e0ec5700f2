//! How the program ends: its exit status, and what it says about an error.

use std::io::{self, Write};
use std::process::ExitCode;

use super::hints;

/// How a command ended when nothing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// `--fail-under` or `--strict` was not met.
    GateNotMet,
    /// Everything usable was done; some rows were not usable.
    RowsRejected,
}

/// Other programs rely on these.
const DONE: u8 = 0;
const GATE_NOT_MET: u8 = 1;
const FAILED: u8 = 2;
const ROWS_REJECTED: u8 = 3;
const INTERRUPTED: u8 = 130;

/// The work was cancelled by a signal.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Prints an error if there is one and gives the exit status.
pub fn finish(result: anyhow::Result<Outcome>) -> ExitCode {
    let status = match result {
        Ok(Outcome::Done) => DONE,
        Ok(Outcome::GateNotMet) => GATE_NOT_MET,
        Ok(Outcome::RowsRejected) => ROWS_REJECTED,
        Err(error) if is_closed_pipe(&error) => DONE,
        Err(error) if error.chain().any(is_interruption) => {
            say("interrupted: no unfinished file was left");
            INTERRUPTED
        }
        Err(error) => {
            report(&error);
            FAILED
        }
    };
    ExitCode::from(status)
}

/// Whether the reader of our output has gone, as `| head` does: no error.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe))
}

fn is_interruption(cause: &(dyn std::error::Error + 'static)) -> bool {
    use crate::curation::CurationError;
    use crate::encoder::EncoderError;
    use crate::encoder::source::SourceError;
    use crate::pipeline::PipelineError;
    use crate::study::StudyError;
    use crate::train::TrainError;
    cause.is::<Interrupted>()
        || matches!(cause.downcast_ref(), Some(PipelineError::Interrupted))
        || matches!(cause.downcast_ref(), Some(EncoderError::Interrupted))
        || matches!(cause.downcast_ref(), Some(SourceError::Interrupted))
        || matches!(cause.downcast_ref(), Some(StudyError::Interrupted))
        || matches!(cause.downcast_ref(), Some(TrainError::Interrupted))
        || matches!(cause.downcast_ref(), Some(CurationError::Interrupted))
}

/// `error:` what was tried and found, `caused by:` each cause, `hint:` what to do.
fn report(error: &anyhow::Error) {
    let mut said: Vec<String> = Vec::new();
    for cause in error.chain() {
        let message = cause.to_string();
        // Wrappers that add nothing repeat the message of what they wrap.
        if said.last() != Some(&message) {
            said.push(message);
        }
    }
    let mut text = String::new();
    for (depth, message) in said.iter().enumerate() {
        let head = if depth == 0 { "error" } else { "caused by" };
        text.push_str(&format!("{head}: {message}\n"));
    }
    if let Some(hint) = hints::for_error(error) {
        text.push_str(&format!("hint: {hint}\n"));
    }
    say(text.trim_end());
}

/// A line on stderr; when even that is closed there is nobody left to tell.
fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
