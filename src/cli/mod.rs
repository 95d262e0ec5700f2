//! The command line program.

pub mod output;
