//! The command line: parses flags into plain data, calls the library, prints what comes back.

mod args;
mod check_text;
mod commands;
mod compared;
mod config;
mod contract_text;
mod embedding_cache;
mod exit;
mod explain_text;
mod hints;
mod machine;
pub mod output;
mod predictions_file;
mod printer;
mod progress;
mod report_page;
mod session;
mod split_files;
mod study_text;
mod terminal;
mod train_flags;
mod wrapped;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

#[cfg(feature = "cache")]
use commands::cache;
use commands::{
    bench, check, completions, embed, encoder, evaluate, explain, inspect, predict, split, study, train, tune,
};
use exit::Outcome;

/// Exit statuses, as every `--help` shows them.
const EXIT_STATUS_HELP: &str = "Exit status: 0 done · 1 --fail-under or --strict not met · 2 failed, nothing usable written · \
3 done, but rows were rejected · 130 interrupted";

/// Train a topic classifier on labelled articles and label millions of them, on an ordinary CPU, offline.
#[derive(Debug, Parser)]
#[command(name = "topicwire", version, max_term_width = 100, after_help = EXIT_STATUS_HELP, propagate_version = true,
    arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What each command does is said at its flags.
#[derive(Debug, Subcommand)]
enum Command {
    Check(check::CheckCommand),
    Split(split::SplitCommand),
    Train(train::TrainCommand),
    Tune(Box<tune::TuneCommand>),
    #[command(subcommand)]
    Study(study::StudyCommand),
    Evaluate(evaluate::EvaluateCommand),
    Predict(predict::PredictCommand),
    Explain(explain::ExplainCommand),
    Embed(embed::EmbedCommand),
    Bench(bench::BenchCommand),
    Inspect(inspect::InspectCommand),
    #[cfg(feature = "cache")]
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    #[command(subcommand)]
    Encoder(encoder::EncoderCommand),
    Completions(completions::CompletionsCommand),
}

/// Runs the program and gives its exit status.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout, whose reader may have left: no error either.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    exit::finish(run(cli.command))
}

fn run(command: Command) -> anyhow::Result<Outcome> {
    progress::listen_for_signals()?;
    match command {
        Command::Check(command) => command.run(),
        Command::Split(command) => command.run(),
        Command::Train(command) => command.run(),
        Command::Tune(command) => command.run(),
        Command::Study(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Embed(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Inspect(command) => command.run(),
        #[cfg(feature = "cache")]
        Command::Cache(command) => command.run(),
        Command::Encoder(command) => command.run(),
        Command::Completions(command) => command.run(&mut Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
