//! `topicwire cache`.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cache::{ContextInfo, EmbeddingCache};
use crate::cli::embedding_cache::folder;
use crate::cli::exit::Outcome;
use crate::cli::printer::{self, Table, counted};

/// See and empty the cache of embeddings that `--cache` keeps.
///
/// It holds numbers and hashes of texts, no texts. $TOPICWIRE_CACHE names its folder where --cache does not.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show what is kept: encoders, their settings, articles, bytes
    Info(InfoCommand),
    /// Remove what is kept
    Clear(ClearCommand),
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  topicwire cache info")]
pub struct InfoCommand {
    /// Folder of the cache [default: $TOPICWIRE_CACHE, else topicwire/embeddings in the user's caches]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire cache clear
  topicwire cache clear --older-than 30")]
pub struct ClearCommand {
    /// Folder of the cache [default: $TOPICWIRE_CACHE, else topicwire/embeddings in the user's caches]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Only of encoders and settings that were not used for so many days
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u64>,
}

const SECONDS_A_DAY: u64 = 86_400;

impl CacheCommand {
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Info(command) => command.run(),
            Self::Clear(command) => command.run(),
        }
    }
}

impl InfoCommand {
    fn run(self) -> anyhow::Result<Outcome> {
        let folder = folder(self.cache.as_deref())?;
        // Looking must not make a cache.
        let (contexts, disk_bytes) = if folder.exists() {
            let cache = EmbeddingCache::open(&folder)?;
            (cache.contexts()?, cache.disk_bytes()?)
        } else {
            (Vec::new(), 0)
        };
        if self.json {
            let found = json!({ "folder": folder, "disk_bytes": disk_bytes, "contexts": contexts });
            printer::print(&(serde_json::to_string_pretty(&found)? + "\n"))?;
            return Ok(Outcome::Done);
        }
        let n_articles: u64 = contexts.iter().map(|context| context.n_articles).sum();
        let mut text = format!(
            "{}: {}, {:.1} MiB on disk\n",
            folder.display(),
            counted(n_articles, "article"),
            disk_bytes as f64 / f64::from(1 << 20)
        );
        if !contexts.is_empty() {
            let mut table = Table::new(&["encoder", "executor", "articles", "MiB", "last used"]);
            for context in &contexts {
                table.row(vec![
                    word(context, "/encoder"),
                    word(context, "/context/executor"),
                    context.n_articles.to_string(),
                    format!("{:.1}", context.n_bytes as f64 / f64::from(1 << 20)),
                    days_ago(context.used_at),
                ]);
            }
            text.push('\n');
            text.push_str(&table.render());
        }
        printer::print(&text)?;
        Ok(Outcome::Done)
    }
}

impl ClearCommand {
    fn run(self) -> anyhow::Result<Outcome> {
        let folder = folder(self.cache.as_deref())?;
        let n_removed = if folder.exists() {
            let unused_since = self.older_than.map(|days| now().saturating_sub(days.saturating_mul(SECONDS_A_DAY)));
            EmbeddingCache::open(&folder)?.clear(unused_since)?
        } else {
            0
        };
        printer::print(&format!("{} removed from {}\n", counted(n_removed, "article"), folder.display()))?;
        Ok(Outcome::Done)
    }
}

fn word(context: &ContextInfo, pointer: &str) -> String {
    context.description.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn days_ago(used_at: u64) -> String {
    match now().saturating_sub(used_at) / SECONDS_A_DAY {
        0 => "today".to_owned(),
        1 => "yesterday".to_owned(),
        n => format!("{n} days ago"),
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
