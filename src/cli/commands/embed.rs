//! `topicwire embed`.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::train::say_long;
use crate::cli::args::{DataArgs, RunArgs, WindowArgs};
use crate::cli::config;
use crate::cli::exit::Outcome;
use crate::cli::output::{EmbeddingFormat, Target, embedding_writer};
use crate::cli::session::{DEFAULT_ENCODER, Session};
use crate::pipeline::{PipelineError, embed_stream};
use crate::progress::{Event, Progress};

/// Turn articles into embeddings.
///
/// One row per article, in order. `.npy` holds f32 [n_articles, hidden_size], with the ids beside it in FILE.ids, one a line.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire embed news.jsonl -o news.npy
  topicwire embed articles/ -o articles.parquet --encoder BAAI/bge-small-en-v1.5")]
pub struct EmbedCommand {
    #[command(flatten)]
    flags: EmbedFlags,
}

/// The flags of `embed`; a config file knows them by the same names.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EmbedFlags {
    #[command(flatten)]
    #[serde(flatten)]
    data: DataArgs,
    /// File to write: .npy, .safetensors, .parquet or .jsonl; `-` or nothing for JSON Lines on standard output
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,
    /// Format of the output: npy, safetensors, parquet, jsonl [default: from the ending]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    output_format: Option<EmbeddingFormat>,
    #[command(flatten)]
    #[serde(flatten)]
    windows: WindowArgs,
    #[command(flatten)]
    #[serde(flatten)]
    run: RunArgs,
}

impl EmbedCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        let flags = config::layer_run(&self.flags, |flags| &mut flags.run, "embed")?;
        let session = Session::new(&flags.run)?;
        let (rows, rejected) = session.open_input(&flags.data, |articles| articles)?;
        let target = Target::new(flags.output.clone().unwrap_or_else(|| "-".into()));
        let format = match flags.output_format {
            Some(format) => format,
            None => EmbeddingFormat::from_target(&target)?,
        };
        let name = flags.run.encoder.as_deref().unwrap_or(DEFAULT_ENCODER);
        let encoder = session.open_encoder(name, &flags.run, &flags.windows.encoder_settings(&flags.run))?;
        let settings = flags.windows.embed_settings(&flags.run);
        encoder.tokenizer().check(&settings.windows)?;
        let mut writer = embedding_writer(&target, format, encoder.hidden_size())?;

        let progress = &*session.progress;
        progress.event(Event::Started { stage: "embedding", total: None });
        let counts = session.install(|| {
            embed_stream(&encoder, &settings, rows, progress, |chunk| {
                for (article, embedding) in chunk.articles.iter().zip(chunk.embeddings.rows()) {
                    let numbers = embedding.as_slice().expect("rows of a new array are contiguous");
                    writer.write(&article.id, numbers).map_err(|error| PipelineError::Sink(Box::new(error)))?;
                }
                Ok(())
            })
        });
        progress.event(Event::Finished);
        let counts = counts?;
        session.check_cancelled()?;
        ensure!(counts.n_articles > 0, "there is no article to embed");
        writer.finish()?;
        say_long(progress, &counts);
        Ok(rejected.conclude(counts.n_articles, progress))
    }
}
