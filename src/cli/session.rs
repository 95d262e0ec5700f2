//! What every command sets up before the work: threads, progress, input with its rejects, the encoder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;

use super::args::{DataArgs, DeviceArg, RunArgs};
use super::embedding_cache;
use super::exit::{Interrupted, Outcome};
use super::printer::counted;
use super::progress::{InputMeter, StderrProgress};
use crate::data::{
    Article, Articles, DataError, Input, OnError, ReadOptions, RejectsWriter, Rows, SourceRow, read_articles,
};
use crate::encoder::candle::DeviceChoice;
use crate::encoder::source::{EncoderId, SourceOptions};
use crate::encoder::store::EmbeddingStore;
use crate::encoder::{Encoder, EncoderError, EncoderSettings, ExecutorChoice};
use crate::progress::Progress;

/// Where `--on-error skip` writes unless told otherwise.
pub const REJECTS_FILE: &str = "rejects.jsonl";
/// Rejected rows that are shown one by one; the others are in the rejects file.
const MAX_SHOWN_REJECTS: u64 = 5;
/// The encoder where none is named.
pub const DEFAULT_ENCODER: &str = "minilm";

/// Threads and progress of one run.
pub struct Session {
    pub progress: Arc<StderrProgress>,
    is_verbose: bool,
    pool: rayon::ThreadPool,
}

impl Session {
    /// Starts the threads.
    pub fn new(run: &RunArgs) -> anyhow::Result<Self> {
        // Said outright, so that rayon reads no variable of its own.
        let n_threads = match run.threads {
            Some(0) => anyhow::bail!("--threads must be at least 1"),
            Some(n) => usize::from(n),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        anyhow::ensure!(run.batch_tokens != Some(0), "--batch-tokens must be at least 1");
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads)
            .thread_name(|i| format!("topicwire-{i}"))
            .build()
            .context("cannot start the threads")?;
        let progress = Arc::new(StderrProgress::new(run.progress, run.quiet));
        Ok(Self { progress, is_verbose: run.verbose, pool })
    }

    /// Runs the work on the session's threads.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    /// Loads an encoder.
    pub fn open_encoder(&self, name: &str, run: &RunArgs, settings: &EncoderSettings) -> anyhow::Result<Encoder> {
        let id: EncoderId = name.parse()?;
        let mut encoder = match Encoder::open_with(&id, &source_options(run.offline), settings, &*self.progress) {
            Ok(encoder) => encoder,
            // Names the encoder already.
            Err(error @ (EncoderError::Source(_) | EncoderError::Interrupted)) => return Err(error.into()),
            Err(error) => return Err(error).with_context(|| format!("cannot load the encoder `{name}`")),
        };
        self.tell_encoder(&encoder);
        if let Some(store) = open_store(run)? {
            encoder.set_store(store);
        }
        Ok(encoder)
    }

    /// Warns of what is odd about an encoder; when verbose, also says what it is and what runs it.
    pub fn tell_encoder(&self, encoder: &Encoder) {
        let info = encoder.info();
        for warning in &info.warnings {
            self.progress.warn(warning);
        }
        if self.is_verbose {
            self.progress.say(format!(
                "{}, {} layers, {} columns, windows of {} tokens, on {}, {}",
                info.model_type,
                info.n_layers,
                info.hidden_size,
                info.max_tokens,
                info.executor,
                counted(self.pool.current_num_threads() as u64, "thread"),
            ));
        }
    }

    /// Opens the inputs, so that what is wrong with them is known before anything long begins.
    ///
    /// `prepare` adds conditions that each article must meet.
    pub fn open_input(
        &self,
        data: &DataArgs,
        prepare: impl FnOnce(Articles) -> Articles,
    ) -> anyhow::Result<(MeteredRows, Rejected)> {
        self.open_input_with(data, &data.read_options(), prepare)
    }

    /// As [`Session::open_input`], with options of reading beside the flags.
    pub fn open_input_with(
        &self,
        data: &DataArgs,
        options: &ReadOptions,
        prepare: impl FnOnce(Articles) -> Articles,
    ) -> anyhow::Result<(MeteredRows, Rejected)> {
        let inputs: Vec<Input> = data.data.iter().map(|name| Input::from(name.as_str())).collect();
        let articles = prepare(read_articles(&inputs, options)?);
        let on_error = data.on_error.unwrap_or_default();
        let (writer, path) = match on_error {
            OnError::Stop => (None, None),
            OnError::Skip => {
                let path = data.rejects.clone().unwrap_or_else(|| REJECTS_FILE.into());
                (Some(RejectsWriter::create(&path)?), Some(path))
            }
        };
        let rejected = Rejected { n_rows: Arc::default(), path };
        let (n_rows, progress) = (Arc::clone(&rejected.n_rows), Arc::clone(&self.progress));
        let meter = InputMeter { n_bytes_read: Arc::default(), n_bytes_total: articles.total_bytes() };
        self.progress.follow(meter.clone());
        let rows = Rows::new(articles, on_error, writer).on_reject(move |error| {
            if n_rows.fetch_add(1, Ordering::Relaxed) < MAX_SHOWN_REJECTS {
                progress.warn(format!("row rejected: {error}"));
            }
        });
        Ok((MeteredRows { rows, meter }, rejected))
    }

    /// Fails when a signal asked to stop.
    pub fn check_cancelled(&self) -> anyhow::Result<()> {
        if self.progress.is_cancelled() { Err(Interrupted.into()) } else { Ok(()) }
    }
}

/// Articles, with the bytes read so far told to the progress.
pub struct MeteredRows {
    rows: Rows<Articles>,
    meter: InputMeter,
}

impl MeteredRows {
    /// The row of the article that came last, as it stands in its file, where rows are kept.
    pub fn take_source_row(&mut self) -> Option<SourceRow> {
        self.rows.inner_mut().take_source_row()
    }
}

impl Iterator for MeteredRows {
    type Item = Result<Article, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next();
        self.meter.n_bytes_read.store(self.rows.inner().bytes_read(), Ordering::Relaxed);
        row
    }
}

/// The rows that were left out.
pub struct Rejected {
    n_rows: Arc<AtomicU64>,
    path: Option<PathBuf>,
}

impl Rejected {
    /// How many there are so far.
    pub fn count(&self) -> u64 {
        self.n_rows.load(Ordering::Relaxed)
    }

    /// Where they are, for messages.
    pub fn place(&self) -> String {
        self.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
    }

    /// Says how many rows came in and what became of them; the exit status says so too.
    pub fn conclude(&self, n_articles: u64, progress: &StderrProgress) -> Outcome {
        let n_rejected = self.count();
        match &self.path {
            Some(path) if n_rejected > 0 => {
                progress.warn(format!(
                    "{} in, {n_articles} out, {n_rejected} rejected: see {}",
                    counted(n_articles + n_rejected, "row"),
                    path.display()
                ));
                Outcome::RowsRejected
            }
            _ => {
                progress.say(format!("{} in, {n_articles} out, 0 rejected", counted(n_articles, "row")));
                Outcome::Done
            }
        }
    }
}

/// Where embeddings are kept, if they are.
pub fn open_store(run: &RunArgs) -> anyhow::Result<Option<Arc<dyn EmbeddingStore>>> {
    let given = run.cache.as_deref();
    given.map(|given| embedding_cache::open(&embedding_cache::folder(Some(given))?)).transpose()
}

/// Where encoders are looked for. The only place that reads the environment for it.
pub fn source_options(offline: bool) -> SourceOptions {
    let program = std::env::current_exe().ok();
    let mut options = SourceOptions::from_vars(|name| std::env::var(name).ok(), program.as_deref());
    options.offline |= offline;
    options
}

/// The executor that a flag asks for.
pub fn executor(device: Option<DeviceArg>) -> ExecutorChoice {
    match device {
        None | Some(DeviceArg::Cpu) => ExecutorChoice::Cpu,
        Some(DeviceArg::Candle) => ExecutorChoice::Candle(DeviceChoice::Cpu),
        Some(DeviceArg::Cuda) => ExecutorChoice::Candle(DeviceChoice::Cuda(0)),
        Some(DeviceArg::Metal) => ExecutorChoice::Candle(DeviceChoice::Metal(0)),
    }
}
