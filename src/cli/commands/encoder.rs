//! `topicwire encoder`.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::args::{DeviceArg, RunArgs};
use crate::cli::exit::Outcome;
use crate::cli::printer::{self, Table};
use crate::cli::progress::ProgressMode;
use crate::cli::session::{Session, executor, source_options};
use crate::encoder::source::{EncoderId, is_present, locate};
use crate::encoder::{Encoder, EncoderSettings};

/// List, fetch and inspect encoders.
#[derive(Debug, Subcommand)]
pub enum EncoderCommand {
    /// List the encoders that have an alias
    List(ListCommand),
    /// Get an encoder from the hub, or say where it is already
    Fetch(FetchCommand),
    /// Load an encoder and show what it is
    Inspect(InspectEncoderCommand),
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  topicwire encoder list")]
pub struct ListCommand {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire encoder fetch minilm
  topicwire encoder fetch BAAI/bge-small-en-v1.5@main")]
pub struct FetchCommand {
    /// Alias, hub id, or hub id@revision
    #[arg(value_name = "ALIAS|HUB_ID")]
    encoder: String,
    #[command(flatten)]
    talk: TalkArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  topicwire encoder inspect minilm")]
pub struct InspectEncoderCommand {
    /// Folder, alias, or hub id
    #[arg(value_name = "PATH|ALIAS|HUB_ID")]
    encoder: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// What runs the encoder [default: cpu]
    #[arg(long, value_enum, value_name = "cpu|candle|cuda|metal", hide_possible_values = true)]
    device: Option<DeviceArg>,
    #[command(flatten)]
    talk: TalkArgs,
}

/// The flags of a run that mean something where no articles are read.
#[derive(Args, Clone, Debug)]
struct TalkArgs {
    /// Never use the network
    #[arg(long)]
    offline: bool,
    /// How to show progress [default: a bar on a terminal, else plain]
    #[arg(long, value_enum, value_name = "none|plain|json|bar", hide_possible_values = true)]
    progress: Option<ProgressMode>,
    /// Say only warnings and errors
    #[arg(short, long)]
    quiet: bool,
}

impl TalkArgs {
    fn session(&self) -> anyhow::Result<Session> {
        Session::new(&RunArgs { progress: self.progress, quiet: self.quiet, ..RunArgs::default() })
    }
}

impl EncoderCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self {
            EncoderCommand::List(command) => command.run(),
            EncoderCommand::Fetch(command) => command.run(),
            EncoderCommand::Inspect(command) => command.run(),
        }
    }
}

impl ListCommand {
    fn run(self) -> anyhow::Result<Outcome> {
        let options = source_options(true);
        let mut entries = Vec::new();
        let mut table = Table::new(&["alias", "hub id", "million", "columns", "tokens", "licence", "verified", "here"]);
        for encoder in options.registry.iter() {
            let here = is_present(&encoder.id(), &options);
            entries.push(json!({
                "alias": encoder.alias, "hub_id": encoder.hub_id, "revision": encoder.revision,
                "weights_sha256": encoder.weights_sha256, "parameters_millions": encoder.parameters_millions,
                "hidden_size": encoder.hidden_size, "max_tokens": encoder.max_tokens, "prefix": encoder.prefix,
                "licence": encoder.licence, "languages": encoder.languages, "verified": encoder.verified.to_string(),
                "here": here, "note": encoder.note,
            }));
            table.row(vec![
                encoder.alias.clone(),
                encoder.hub_id.clone(),
                format!("{:.0}", encoder.parameters_millions),
                encoder.hidden_size.to_string(),
                encoder.max_tokens.to_string(),
                encoder.licence.clone(),
                encoder.verified.to_string(),
                if here { "yes" } else { "no" }.to_owned(),
            ]);
        }
        if self.json {
            printer::print(&(serde_json::to_string_pretty(&entries)? + "\n"))?;
        } else {
            printer::print(&format!(
                "{}\nAny other hub id or folder of a BERT, RoBERTa, XLM-RoBERTa, DistilBERT, MPNet, ModernBERT,\nNomicBERT or GTE encoder works too.\n",
                table.render()
            ))?;
        }
        Ok(Outcome::Done)
    }
}

impl FetchCommand {
    fn run(self) -> anyhow::Result<Outcome> {
        let session = self.talk.session()?;
        let id: EncoderId = self.encoder.parse()?;
        let files = locate(&id, &source_options(self.talk.offline), &*session.progress)?;
        let sha256 = files.weights_sha256()?;
        let revision = files.revision.as_deref().unwrap_or("not told by the folder");
        printer::print(&format!(
            "encoder   {}\nfolder    {} ({})\nrevision  {revision}\nweights   SHA-256 {sha256}\n",
            files.id,
            files.folder.display(),
            files.origin
        ))?;
        Ok(Outcome::Done)
    }
}

impl InspectEncoderCommand {
    fn run(self) -> anyhow::Result<Outcome> {
        let session = self.talk.session()?;
        let id: EncoderId = self.encoder.parse()?;
        let files = locate(&id, &source_options(self.talk.offline), &*session.progress)?;
        let settings = EncoderSettings { executor: executor(self.device), ..EncoderSettings::default() };
        let encoder = Encoder::from_files(&files, &settings)?;
        let info = encoder.info();
        if self.json {
            let reference = encoder.reference();
            let text = serde_json::to_string_pretty(&json!({"reference": reference, "info": info}))?;
            printer::print(&(text + "\n"))?;
            return Ok(Outcome::Done);
        }
        let licence =
            files.entry.as_ref().map_or("not in the list: see the encoder's own card", |e| e.licence.as_str());
        let pooling: Vec<String> = info.pooling.iter().map(|mode| mode.to_string()).collect();
        let mut text = format!(
            "encoder     {}\n\
             folder      {} ({})\n\
             weights     SHA-256 {}\n\
             network     {}, {} layers, {} heads, width {}, feed-forward {}, {:.1} million parameters\n\
             tokens      {} a window (positions for {}), vocabulary of {}\n\
             pooling     {}{}{}\n\
             embedding   {} columns\n\
             licence     {licence}\n\
             runs on     {}\n",
            files.id,
            files.folder.display(),
            files.origin,
            files.weights_sha256()?,
            info.model_type,
            info.n_layers,
            info.n_heads,
            info.transformer_hidden_size,
            info.intermediate_size,
            info.n_parameters as f64 / 1e6,
            info.max_tokens,
            info.n_positions,
            info.vocab_size,
            pooling.join(" + "),
            info.dense.iter().map(|width| format!(", dense to {width}")).collect::<String>(),
            if info.normalizes { ", normalised" } else { "" },
            info.hidden_size,
            info.executor,
        );
        for (name, prompt) in &info.prompts {
            text.push_str(&format!("prompt      {name}: {prompt:?}\n"));
        }
        if !info.prompt.is_empty() {
            text.push_str(&format!("in use      {:?} before every text\n", info.prompt));
        }
        for warning in &info.warnings {
            session.progress.warn(warning);
        }
        printer::print(&text)?;
        Ok(Outcome::Done)
    }
}
