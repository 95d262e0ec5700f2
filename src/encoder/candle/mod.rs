//! The executor on candle: CUDA, Metal, and plain CPU as a second opinion about the packed executor.

mod attention;
mod layers;
pub mod network;

use std::sync::{Arc, Mutex, mpsc};

use candle_core::{Device, Tensor};
use ndarray::Array2;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::arch::Architecture;
use super::weights::Weights;
use super::{EncoderError, Executor, ExecutorError};
use crate::text::pack::PackedBatch;
use network::{Gradients, Network};

/// Where candle computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    #[default]
    Cpu,
    /// An NVIDIA GPU, by number; needs the feature `cuda`.
    Cuda(usize),
    /// An Apple GPU, by number; needs the feature `metal`.
    Metal(usize),
}

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// This build lacks the feature, or there is no such device.
    pub fn open(self) -> Result<Device, EncoderError> {
        let device_error = |source: candle_core::Error| EncoderError::Executor(device_error(source));
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => {
                Err(EncoderError::FeatureMissing { what: "CUDA devices", feature: "cuda" })
            }
            Self::Metal(_) if !cfg!(feature = "metal") => {
                Err(EncoderError::FeatureMissing { what: "Metal devices", feature: "metal" })
            }
            Self::Cuda(index) => Device::new_cuda(index).map_err(device_error),
            Self::Metal(index) => Device::new_metal(index).map_err(device_error),
        }
    }
}

/// Runs the network on candle, in f32.
///
/// Windows of a batch are padded to the longest and the padding is masked out.
pub struct CandleExecutor {
    network: Arc<Network>,
    lanes: Lanes,
}

/// How many batches run at a time.
enum Lanes {
    /// One per calling thread. Candle's CPU products are cut into rayon tasks, and a worker that waits for them would start on
    /// another batch meanwhile, piling up memory; so each batch runs in a pool of one thread of its own. These are the idle
    /// ones.
    Cpu(Mutex<Vec<ThreadPool>>),
    /// One: a GPU is filled by one batch, and two would only compete for its memory.
    Gpu(Mutex<()>),
}

impl CandleExecutor {
    /// Moves the weights to the device.
    ///
    /// # Errors
    /// A tensor is missing or has another shape than the architecture says, or the device failed.
    pub fn new(architecture: &Architecture, weights: Weights, device: Device) -> Result<Self, EncoderError> {
        let lanes = if device.is_cpu() { Lanes::Cpu(Mutex::default()) } else { Lanes::Gpu(Mutex::default()) };
        Ok(Self { network: Arc::new(Network::new(architecture, weights, &device, Gradients::Off)?), lanes })
    }
}

impl Executor for CandleExecutor {
    fn hidden_states(&self, batch: &PackedBatch) -> Result<Array2<f32>, ExecutorError> {
        let architecture = self.network.architecture();
        let vocab_size = architecture.vocab_size;
        if let Some(&token_id) = batch.token_ids().iter().find(|&&id| id as usize >= vocab_size) {
            return Err(ExecutorError::TokenOutOfRange { token_id, vocab_size });
        }
        let (n_tokens, max_tokens) = (batch.longest(), architecture.max_tokens());
        if n_tokens > max_tokens {
            return Err(ExecutorError::WindowTooLong { n_tokens, max_tokens });
        }
        if n_tokens == 0 {
            return Ok(Array2::zeros((0, architecture.hidden_size)));
        }
        let padded = PaddedBatch::new(batch);
        match &self.lanes {
            Lanes::Gpu(turn) => {
                let _turn = turn.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                run(&self.network, &padded)
            }
            Lanes::Cpu(idle) => {
                let lane = idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop();
                let lane = match lane {
                    Some(lane) => lane,
                    None => new_lane().map_err(|source| ExecutorError::Device { source: Box::new(source) })?,
                };
                let (sender, receiver) = mpsc::channel();
                let network = Arc::clone(&self.network);
                lane.spawn(move || {
                    // The receiver waits below, so sending does not fail.
                    let _ = sender.send(run(&network, &padded));
                });
                // Waits without working on other batches, unlike rayon's own ways of waiting.
                let result = receiver.recv().unwrap_or_else(|_| {
                    Err(ExecutorError::Device { source: "candle panicked while it computed a batch".into() })
                });
                idle.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(lane);
                result
            }
        }
    }

    /// Enough for full speed, while attention scores of 256-token windows in 12 heads stay at 50 MB per thread.
    fn default_token_budget(&self) -> usize {
        4096
    }

    fn name(&self) -> String {
        let device = match self.network.device() {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        };
        format!("candle {device} f32")
    }
}

fn new_lane() -> Result<ThreadPool, rayon::ThreadPoolBuildError> {
    ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "candle".to_owned())
        // Without a handler of its own, rayon aborts the process; the closed channel tells the caller.
        .panic_handler(|_| {})
        .build()
}

/// A packed batch as rows of equal length.
struct PaddedBatch {
    /// Windows that have tokens.
    n_rows: usize,
    n_columns: usize,
    token_ids: Vec<u32>,
    /// 1 where a token stands, 0 where padding.
    mask: Vec<u8>,
    /// Which of the `n_rows · n_columns` places hold tokens, in the order of the batch; `None` where all do.
    places: Option<Vec<u32>>,
}

impl PaddedBatch {
    fn new(batch: &PackedBatch) -> Self {
        let n_columns = batch.longest();
        let windows = batch.windows().filter(|range| !range.is_empty());
        let n_rows = windows.clone().count();
        // Any id will do for padding, as nothing attends to it.
        let mut token_ids = vec![0; n_rows * n_columns];
        let mut mask = vec![0; n_rows * n_columns];
        let mut places = Vec::with_capacity(batch.n_tokens());
        for (row, range) in windows.enumerate() {
            let own = row * n_columns..row * n_columns + range.len();
            token_ids[own.clone()].copy_from_slice(&batch.token_ids()[range]);
            mask[own.clone()].fill(1);
            places.extend(own.map(|place| place as u32));
        }
        let is_full = places.len() == token_ids.len();
        Self { n_rows, n_columns, token_ids, mask, places: (!is_full).then_some(places) }
    }
}

fn run(network: &Network, batch: &PaddedBatch) -> Result<Array2<f32>, ExecutorError> {
    run_on_device(network, batch).map_err(device_error)
}

fn run_on_device(network: &Network, batch: &PaddedBatch) -> candle_core::Result<Array2<f32>> {
    let (shape, device) = ((batch.n_rows, batch.n_columns), network.device());
    let token_ids = Tensor::from_slice(&batch.token_ids, shape, device)?;
    let mask = match batch.places {
        None => None,
        Some(_) => Some(Tensor::from_slice(&batch.mask, shape, device)?),
    };
    let hidden = network.forward(&token_ids, mask.as_ref())?;
    let hidden = hidden.reshape((batch.n_rows * batch.n_columns, network.architecture().hidden_size))?;
    let hidden = match &batch.places {
        None => hidden,
        Some(places) => hidden.index_select(&Tensor::from_slice(places, places.len(), device)?, 0)?,
    };
    let shape = hidden.dims2()?;
    let values = hidden.flatten_all()?.to_vec1::<f32>()?;
    Ok(Array2::from_shape_vec(shape, values).expect("the tensor has that many values"))
}

fn device_error(source: candle_core::Error) -> ExecutorError {
    ExecutorError::Device { source: Box::new(source) }
}
