//! The transformer on the CPU in f32, bf16 or int8, on packed windows: no padding, one thread per call.

mod forward;
mod model;
mod parts;
mod stored;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ndarray::Array2;

use self::forward::Buffers;
use self::model::Model;
use self::parts::{FromTensors, Parts};
use self::stored::{Remembered, Stored};
use super::arch::Architecture;
use super::source::weights_sha256;
use super::weights::packed_file::{PackedFile, PackedFileError};
use super::weights::{Checkpoint, TensorSource, WeightsError};
use super::{EncoderError, Executor, ExecutorError, Precision};
use crate::kernels::dispatch::Isa;
use crate::kernels::packed::Format;
use crate::text::pack::PackedBatch;

/// Tokens that go through the layers together, where whole windows allow.
///
/// Tokens per second of one thread of a Zen 4 core (1 MiB second-level cache), all-MiniLM-L6-v2, windows of 55 tokens on average:
///
/// | | 64 | 96 | 128 | 192 | 256 | 512 |
/// |---|---|---|---|---|---|---|
/// | f32 | 3,900 | 4,000 | 4,290 | 4,500 | 4,550 | 4,510 |
/// | bf16 | 7,730 | 7,980 | 8,320 | 8,420 | 8,540 | 8,580 |
/// | int8 | 13,920 | 13,810 | 14,160 | 14,600 | 14,780 | 14,720 |
///
/// Below, the weights are read too often; above, nothing is gained and memory grows. Windows of 256 tokens do not care.
pub const MICRO_BATCH_TOKENS: usize = 256;

/// Runs a network of [`Architecture`] on the calling thread.
///
/// The caller gets all cores busy by handing different batches to different threads; the weights are shared.
/// A batch is cut into runs of whole windows of about [`MICRO_BATCH_TOKENS`], so it may be as large as the caller likes.
///
/// A window's result is the same to the last bit whatever its neighbours, the batch or the thread, and on every instruction set that
/// multiplies and adds in one step, numbers below the smallest normal one set aside (see [`Format::Bf16`]).
pub struct CpuEncoder {
    model: Model,
    precision: Precision,
    isa: Isa,
    /// Buffers of calls that are over, for the calls to come: as many as ever ran at the same time.
    idle_buffers: Mutex<Vec<Buffers>>,
}

impl CpuEncoder {
    /// Takes the weights that the architecture names; others, such as a pooler's, are left aside.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    ///
    /// # Panics
    /// When the heads cannot share the columns or there are fewer positions than their offset, both of which whoever makes an
    /// architecture out of a file has to refuse.
    pub fn new(
        arch: &Architecture,
        precision: Precision,
        isa: Isa,
        weights: &mut dyn TensorSource,
    ) -> Result<Self, WeightsError> {
        Self::from_parts(arch, precision, isa, &mut FromTensors(weights))
    }

    /// Opens a checkpoint's network. Weights in bf16 or int8 are mapped from a file beside the checkpoint, `model.PRECISION.topicwire`, which
    /// is made where it is missing or was made of other weights. Where it cannot be kept, a warning says so.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; a file cannot be read.
    ///
    /// # Panics
    /// As [`CpuEncoder::new`].
    pub fn open(
        arch: &Architecture,
        precision: Precision,
        isa: Isa,
        checkpoint: &mut Checkpoint,
        warnings: &mut Vec<String>,
    ) -> Result<Self, EncoderError> {
        if precision == Precision::F32 {
            return Ok(Self::new(arch, precision, isa, checkpoint)?);
        }
        let path = checkpoint.folder().join(format!("model.{precision}.topicwire"));
        let source_sha256 = weights_sha256(&checkpoint.files())?;
        let stored = |file: &PackedFile| Self::from_parts(arch, precision, isa, &mut Stored(file));
        match PackedFile::open(&path, &source_sha256) {
            Ok(Some(file)) => match stored(&file) {
                Ok(encoder) => return Ok(encoder),
                Err(error) => warnings.push(format!("{error}; it is made again")),
            },
            Ok(None) | Err(PackedFileError::Stale { .. }) => {}
            Err(error) => warnings.push(format!("{error}; it is made again")),
        }
        let mut remembered = Remembered { tensors: FromTensors(checkpoint), kept: Vec::new() };
        let encoder = Self::from_parts(arch, precision, isa, &mut remembered)?;
        match PackedFile::write(&path, &source_sha256, &remembered.kept) {
            Ok(()) => match PackedFile::open(&path, &source_sha256).map_err(WeightsError::from)? {
                // From the file, so that the pages are shared with whoever else has it open.
                Some(file) => Ok(stored(&file)?),
                None => Ok(encoder),
            },
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                warnings.push(format!("{error}{cause}; the weights are converted anew at every start"));
                Ok(encoder)
            }
        }
    }

    fn from_parts(
        arch: &Architecture,
        precision: Precision,
        isa: Isa,
        parts: &mut dyn Parts,
    ) -> Result<Self, WeightsError> {
        assert!(
            arch.hidden_size > 0 && arch.hidden_size.is_multiple_of(arch.n_heads),
            "{} heads cannot share {} columns",
            arch.n_heads,
            arch.hidden_size
        );
        let model = Model::build(arch, format_of(precision), parts)?;
        Ok(Self { model, precision, isa, idle_buffers: Mutex::default() })
    }

    fn check(&self, batch: &PackedBatch) -> Result<(), ExecutorError> {
        let vocab_size = self.model.words.n_rows();
        if let Some(&token_id) = batch.token_ids().iter().find(|&&id| id as usize >= vocab_size) {
            return Err(ExecutorError::TokenOutOfRange { token_id, vocab_size });
        }
        let (n_tokens, max_tokens) = (batch.longest(), self.model.max_tokens);
        if n_tokens > max_tokens {
            return Err(ExecutorError::WindowTooLong { n_tokens, max_tokens });
        }
        Ok(())
    }

    fn idle_buffers(&self) -> MutexGuard<'_, Vec<Buffers>> {
        // A thread that panicked cannot have left the list half-changed: it only pushes and pops.
        self.idle_buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor for CpuEncoder {
    fn hidden_states(&self, batch: &PackedBatch) -> Result<Array2<f32>, ExecutorError> {
        self.check(batch)?;
        let hidden_size = self.model.hidden_size();
        let mut buffers = self.idle_buffers().pop().unwrap_or_default();
        let mut hidden_states = Vec::with_capacity(batch.n_tokens() * hidden_size);
        let windows: Vec<_> = batch.windows().collect();
        let mut later = &windows[..];
        while !later.is_empty() {
            let run;
            (run, later) = later.split_at(micro_batch_len(later));
            hidden_states.extend_from_slice(buffers.forward(&self.model, self.isa, batch.token_ids(), run));
        }
        self.idle_buffers().push(buffers);
        Ok(Array2::from_shape_vec((batch.n_tokens(), hidden_size), hidden_states)
            .expect("the windows hold all tokens of the batch"))
    }

    /// One run: small batches let the threads finish together.
    fn default_token_budget(&self) -> usize {
        MICRO_BATCH_TOKENS
    }

    fn name(&self) -> String {
        format!("cpu {} {}", self.precision, self.isa.name())
    }
}

/// The kernels' word for a precision.
pub(crate) fn format_of(precision: Precision) -> Format {
    match precision {
        Precision::F32 => Format::F32,
        Precision::Bf16 => Format::Bf16,
        Precision::Int8 => Format::Int8,
    }
}

/// How many of the windows, at least one, make up the next run.
fn micro_batch_len(windows: &[Range<usize>]) -> usize {
    windows.partition_point(|window| window.end - windows[0].start <= MICRO_BATCH_TOKENS).max(1)
}
