//! The program as other programs and people see it: arguments in; standard output, standard error and exit status out.
//!
//! All but `real_encoder` run on the committed tiny encoders. Their weights are random, so what is labelled how means
//! nothing; how the program behaves does.

mod support;

#[cfg(target_os = "linux")]
mod bad_input;
mod bench;
#[cfg(feature = "cache")]
mod cache;
mod check;
mod commands;
mod config;
mod contract;
mod corrections;
mod determinism;
mod evaluate_more;
mod explain;
mod formats;
mod real_encoder;
mod report;
#[cfg(target_os = "linux")]
mod signals;
mod split;
mod study;
#[cfg(feature = "cache")]
mod tune;
mod views;
