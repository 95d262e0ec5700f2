//! What standard output can show: colours, and how much fits on a line.

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Columns of a line where nothing tells.
const DEFAULT_COLUMNS: usize = 80;
/// Lines of text longer than this are hard to read; nothing fits on shorter ones than that.
const MAX_COLUMNS: usize = 100;
const MIN_COLUMNS: usize = 40;

/// Whether to colour text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColorArg {
    #[default]
    Auto,
    Always,
    Never,
}

/// How text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns of a line.
    pub width: usize,
    pub has_colours: bool,
}

impl Look {
    /// What standard output can show. `COLUMNS` overrules the terminal, `NO_COLOR` (see no-color.org) the colours of `auto`.
    pub fn of_stdout(color: ColorArg) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let own = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0));
        Self {
            width: asked.or_else(own).unwrap_or(DEFAULT_COLUMNS).clamp(MIN_COLUMNS, MAX_COLUMNS),
            has_colours: has_colours(color, is_terminal, std::env::var_os),
        }
    }
}

fn has_colours(color: ColorArg, is_terminal: bool, variable: impl Fn(&'static str) -> Option<OsString>) -> bool {
    match color {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => {
            let is_refused = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
            is_terminal && !is_refused && variable("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let with = |color, is_terminal, set: (&'static str, &str)| {
            has_colours(color, is_terminal, |name| (name == set.0).then(|| set.1.into()))
        };
        assert!(with(ColorArg::Auto, true, ("TERM", "xterm")));
        assert!(with(ColorArg::Auto, true, ("NO_COLOR", "")));
        assert!(!with(ColorArg::Auto, true, ("NO_COLOR", "1")));
        assert!(!with(ColorArg::Auto, true, ("TERM", "dumb")));
        assert!(!with(ColorArg::Auto, false, ("TERM", "xterm")));
        assert!(with(ColorArg::Always, false, ("NO_COLOR", "1")));
        assert!(!with(ColorArg::Never, true, ("TERM", "xterm")));
    }
}
