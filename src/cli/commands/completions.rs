//! `topicwire completions`.

use std::io::{self, Write};

use clap::Args;
use clap_complete::Shell;

use crate::cli::exit::Outcome;

/// Print a completion script for a shell.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  topicwire completions bash > ~/.local/share/bash-completion/completions/topicwire
  topicwire completions zsh > ~/.zfunc/_topicwire")]
pub struct CompletionsCommand {
    /// The shell to complete in
    shell: Shell,
}

impl CompletionsCommand {
    pub fn run(self, program: &mut clap::Command) -> anyhow::Result<Outcome> {
        // Into memory first: the generator panics on a closed pipe.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, program, "topicwire", &mut script);
        io::stdout().lock().write_all(&script)?;
        Ok(Outcome::Done)
    }
}
