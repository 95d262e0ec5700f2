//! A metric on parts of the articles: those of one source, one month, one length.

use super::Estimate;
use crate::metrics::summary::Metric;

/// The articles by the values of one column, worst first.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceTable {
    pub column: String,
    pub slices: Vec<Slice>,
}

/// Articles that share a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    pub value: String,
    /// Number of articles.
    pub n: usize,
    pub metric: Metric,
    pub estimate: Estimate,
}
