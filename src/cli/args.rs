//! Flags that several commands share. A config file knows each by the same name.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::embedding_cache::USUAL;
use super::progress::ProgressMode;
use super::session::executor;
use crate::data::{Columns, Format, OnError, Quoting, ReadOptions};
use crate::encoder::pooling::WindowPooling;
use crate::encoder::{EncoderSettings, Precision, PromptChoice};
use crate::pipeline::EmbedSettings;
use crate::pipeline::adapt::PriorShift;
use crate::text::windows::{DEFAULT_OVERLAP_TOKENS, LongText, WindowSettings};

/// What to read.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[command(next_help_heading = "Input")]
pub struct DataArgs {
    /// Files, folders, patterns, or `-` for standard input
    ///
    /// JSON Lines, CSV, TSV, Parquet, fastText lines, or .txt files (one article each, id = file name); the text forms
    /// also as .gz and .zst. A folder stands for the articles in it.
    #[arg(value_name = "DATA", help_heading = None)]
    pub data: Vec<String>,
    /// Format of all inputs, where the endings do not tell: jsonl, csv, tsv, parquet, fasttext, txt
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Column that holds the text [default: text]
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// Column that holds the title [default: title]
    #[arg(long, value_name = "NAME")]
    pub title_column: Option<String>,
    /// Column that holds the labels [default: labels, or label]
    #[arg(long, value_name = "NAME")]
    pub label_column: Option<String>,
    /// Column that holds the id [default: id; else rows are numbered]
    #[arg(long, value_name = "NAME")]
    pub id_column: Option<String>,
    /// Between the labels in one cell, in input and output [default: |]
    #[arg(long, value_name = "TEXT")]
    pub label_separator: Option<String>,
    /// Between the columns of CSV [default: a comma; a tab for TSV]
    #[arg(long, value_name = "CHAR")]
    pub delimiter: Option<char>,
    /// Whether `"` quotes cells of CSV and TSV: double, or none to take it as a character like any other [default: double]
    #[arg(long, value_enum, value_name = "double|none", hide_possible_values = true)]
    pub quoting: Option<QuotingArg>,
    /// What to do with a row that cannot be used [default: stop]
    #[arg(long, value_name = "stop|skip")]
    pub on_error: Option<OnError>,
    /// Where `--on-error skip` writes the rows it leaves out [default: rejects.jsonl]
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
}

/// Whether `"` has a meaning in CSV and TSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuotingArg {
    Double,
    None,
}

impl DataArgs {
    /// The settings of the readers.
    pub fn read_options(&self) -> ReadOptions {
        let mut options = ReadOptions {
            format: self.format,
            columns: Columns {
                id: self.id_column.clone(),
                title: self.title_column.clone(),
                text: self.text_column.clone(),
                labels: self.label_column.clone(),
            },
            delimiter: self.delimiter,
            ..ReadOptions::default()
        };
        if self.quoting == Some(QuotingArg::None) {
            options.quoting = Quoting::None;
        }
        if let Some(separator) = &self.label_separator {
            options.label_separator = separator.clone();
        }
        options
    }
}

/// How to run the encoder and the program.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[command(next_help_heading = "Run")]
pub struct RunArgs {
    /// Encoder: a folder, an alias of `topicwire encoder list`, or a hub id [default: minilm; for a model, its own]
    #[arg(long, value_name = "PATH|ALIAS|HUB_ID")]
    pub encoder: Option<String>,
    /// Number format of the encoder; bf16 and int8 run on `--device cpu` only [default: f32]
    #[arg(long, value_enum, value_name = "f32|bf16|int8", hide_possible_values = true)]
    pub precision: Option<PrecisionArg>,
    /// What runs the encoder [default: cpu]
    #[arg(long, value_enum, value_name = "cpu|candle|cuda|metal", hide_possible_values = true)]
    pub device: Option<DeviceArg>,
    /// Threads to use [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Tokens in one batch, padding included [default: the encoder's best]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_tokens: Option<u32>,
    /// Seed of everything random [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Keep embeddings on disk and use those that are there; `topicwire cache` shows and empties it [alone: $TOPICWIRE_CACHE, else
    /// topicwire/embeddings in the user's caches]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = USUAL)]
    pub cache: Option<PathBuf>,
    /// Never use the network
    #[arg(long)]
    pub offline: bool,
    /// How to show progress [default: a bar on a terminal, else plain]
    #[arg(long, value_enum, value_name = "none|plain|json|bar", hide_possible_values = true)]
    pub progress: Option<ProgressMode>,
    /// Read settings from a TOML file; flags override it
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Also say what runs the encoder
    #[arg(short, long)]
    #[serde(skip)]
    pub verbose: bool,
    /// Say only warnings and errors
    #[arg(short, long, conflicts_with = "verbose")]
    #[serde(skip)]
    pub quiet: bool,
}

/// Number format of the encoder's weights and products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionArg {
    F32,
    Bf16,
    Int8,
}

impl From<PrecisionArg> for Precision {
    fn from(precision: PrecisionArg) -> Self {
        match precision {
            PrecisionArg::F32 => Precision::F32,
            PrecisionArg::Bf16 => Precision::Bf16,
            PrecisionArg::Int8 => Precision::Int8,
        }
    }
}

/// What runs the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceArg {
    /// Packed sequences on the CPU.
    Cpu,
    /// Candle on the CPU, padded batches: slow, a second opinion.
    Candle,
    /// The first CUDA device.
    Cuda,
    /// The first Metal device.
    Metal,
}

/// How text becomes an embedding.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[command(next_help_heading = "Long articles")]
pub struct WindowArgs {
    /// Tokens of a window [default: the encoder's own limit]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<usize>,
    /// What to do with an article longer than a window [default: windows]
    #[arg(long, value_enum, value_name = "windows|truncate", hide_possible_values = true)]
    pub long_text: Option<LongTextArg>,
    /// Tokens that neighbouring windows share [default: 32]
    #[arg(long, value_name = "N")]
    pub overlap: Option<usize>,
    /// Windows of an article at most [default: all]
    #[arg(long, value_name = "N")]
    pub max_windows: Option<usize>,
    /// How an article's windows become one embedding [default: mean]
    #[arg(long, value_enum, value_name = "mean|max|first", hide_possible_values = true)]
    pub window_pooling: Option<WindowPoolingArg>,
    /// Share of the title's own embedding in that of an article with a title, 0 to 1; costs a pass of the titles [default: 0]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub title_weight: Option<f64>,
    /// Text to put before every article [default: the encoder's own prompt]
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
}

/// What to do with an article longer than a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LongTextArg {
    Windows,
    Truncate,
}

/// How an article's windows become one embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowPoolingArg {
    Mean,
    Max,
    First,
}

impl From<WindowPooling> for WindowPoolingArg {
    fn from(pooling: WindowPooling) -> Self {
        match pooling {
            WindowPooling::Mean => Self::Mean,
            WindowPooling::Max => Self::Max,
            WindowPooling::First => Self::First,
        }
    }
}

impl WindowArgs {
    /// The settings of the pipeline.
    pub fn embed_settings(&self, run: &RunArgs) -> EmbedSettings {
        let long_text = match self.long_text.unwrap_or(LongTextArg::Windows) {
            LongTextArg::Truncate => LongText::Truncate,
            LongTextArg::Windows => {
                LongText::Windows { overlap_tokens: self.overlap.unwrap_or(DEFAULT_OVERLAP_TOKENS) }
            }
        };
        EmbedSettings {
            windows: WindowSettings { max_tokens: self.max_tokens, long_text, max_windows: self.max_windows },
            window_pooling: match self.window_pooling.unwrap_or(WindowPoolingArg::Mean) {
                WindowPoolingArg::Mean => WindowPooling::Mean,
                WindowPoolingArg::Max => WindowPooling::Max,
                WindowPoolingArg::First => WindowPooling::First,
            },
            title_weight: self.title_weight,
            passages: None,
            batch_tokens: run.batch_tokens.map(|n| n as usize),
        }
    }

    /// The settings of the encoder.
    pub fn encoder_settings(&self, run: &RunArgs) -> EncoderSettings {
        EncoderSettings {
            precision: run.precision.map_or(Precision::F32, Precision::from),
            executor: executor(run.device),
            prompt: self.prompt.clone().map_or(PromptChoice::Default, PromptChoice::Text),
            ..EncoderSettings::default()
        }
    }
}

/// A batch judged as a whole.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ShiftArgs {
    /// Judge all articles as one batch from elsewhere: by how frequent labels are in it (frequencies), by bringing its logits to where those of
    /// training lay (standardise), or both; holds ids and probabilities of the whole batch in memory [alone: frequencies]
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "frequencies",
        help_heading = "Output"
    )]
    pub prior_shift: Option<PriorShiftArg>,
}

/// What is put right about a batch from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriorShiftArg {
    Frequencies,
    Standardise,
    Both,
}

impl From<PriorShiftArg> for PriorShift {
    fn from(shift: PriorShiftArg) -> Self {
        match shift {
            PriorShiftArg::Frequencies => Self::Frequencies,
            PriorShiftArg::Standardise => Self::Standardise,
            PriorShiftArg::Both => Self::Both,
        }
    }
}
