//! Plots of an evaluation: numbers in, SVG out.
//!
//! | file | holds |
//! |---|---|
//! | [`curves`] | precision, recall and F1 of a label at every threshold |
//! | [`precision_recall`], [`sweep`] | these as curves over recall, over the threshold |
//! | [`histogram`] | scores of the articles with a label and of those without |
//! | [`reliability`] | stated probabilities against frequencies, with intervals |
//! | [`projection`] | embeddings in two dimensions: PCA, t-SNE |
//! | [`map`] | these as points with a label and a verdict |
//! | `canvas`, `thin` | what all drawings share |
//!
//! Drawn with the crate plotters. Colours are those of the page; its style sheet, or the one inside a file of its own, maps them to
//! others where the reader prefers the dark. No plot tells things apart by colour alone: lines differ in dashes and width, points in
//! shape.

pub mod curves;
pub mod histogram;
pub mod map;
pub mod precision_recall;
pub mod projection;
pub mod reliability;
pub mod sweep;

mod canvas;
mod thin;

pub use self::canvas::Plot;
