//! Text to tokens, tokens to windows, windows to batches.

pub mod pack;
