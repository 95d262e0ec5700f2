//! How many multiplications and additions a network takes: the work that a speed is measured against.

use serde::Serialize;

use super::Architecture;

/// Operations of one multiplication and the addition that follows it.
const PER_PRODUCT: u64 = 2;

/// What windows cost in matrix products, a multiplication and an addition counting two.
///
/// Embeddings, norms, activations, soft-max, pooling and the dense layers behind it are left out: together they are a few per cent of
/// the operations, and no product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OperationCount {
    /// Operations of a token in the matrices of all layers: twice the numbers in them.
    pub per_token: u64,
    /// Operations of a query with one key, in all heads of a layer: `q · k` and `p · v`, so `4 · hidden_size`.
    pub per_pair: u64,
    /// Layers whose tokens see the whole window.
    pub n_global_layers: u64,
    /// Layers whose tokens see `reach` neighbours to either side.
    pub n_local_layers: u64,
    pub reach: u64,
}

impl OperationCount {
    /// Of what has no layers.
    pub const NONE: Self = Self { per_token: 0, per_pair: 0, n_global_layers: 0, n_local_layers: 0, reach: 0 };

    /// Operations of one window: `n · per_token + per_pair · pairs`, where a global layer has `n²` pairs of a query and a key, a
    /// local one `n · (2 · reach + 1)` without those that would lie outside the window.
    ///
    /// ```
    /// use topicwire::encoder::arch::OperationCount;
    /// let minilm = OperationCount { per_token: 21_233_664, per_pair: 1_536, n_global_layers: 6, n_local_layers: 0, reach: 0 };
    /// assert_eq!(minilm.of_window(256), 256 * 21_233_664 + 6 * 1_536 * 256 * 256);
    /// ```
    pub fn of_window(&self, n_tokens: usize) -> u64 {
        let n = n_tokens as u64;
        let n_local_pairs = match self.reach {
            reach if n <= reach + 1 => n * n,
            reach => n * (2 * reach + 1) - reach * (reach + 1),
        };
        n * self.per_token + self.per_pair * (self.n_global_layers * n * n + self.n_local_layers * n_local_pairs)
    }
}

impl Architecture {
    /// What windows cost in this network.
    pub fn operations(&self) -> OperationCount {
        let (width, inner) = (self.hidden_size as u64, self.intermediate_size as u64);
        let n_inner_matrices = if self.names.intermediate.is_gated() { 3 } else { 2 };
        // Queries, keys, values and the attention's output; then the feed-forward block.
        let numbers_per_layer = 4 * width * width + n_inner_matrices * width * inner;
        let reaches: Vec<usize> = (0..self.n_layers).filter_map(|layer_idx| self.reach(layer_idx)).collect();
        OperationCount {
            per_token: PER_PRODUCT * numbers_per_layer * self.n_layers as u64,
            per_pair: 2 * PER_PRODUCT * width,
            n_global_layers: (self.n_layers - reaches.len()) as u64,
            n_local_layers: reaches.len() as u64,
            reach: reaches.first().map_or(0, |&reach| reach as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::config::FolderConfig;
    use std::path::Path;

    fn of_folder(name: &str) -> OperationCount {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name);
        FolderConfig::read(&folder).unwrap().architecture.operations()
    }

    #[test]
    fn matrices_count_twice_their_numbers() {
        // Both: 32 columns, 64 inside the feed-forward block.
        let bert = of_folder("tiny-bert-cls-dense");
        assert_eq!((bert.per_token, bert.per_pair), (2 * 2 * (4 * 32 * 32 + 2 * 32 * 64), 4 * 32));
        assert_eq!((bert.n_global_layers, bert.n_local_layers), (2, 0));
        // Four layers with a gate; the first and the last see everything, the others four tokens to either side.
        let modern = of_folder("tiny-modernbert-mean");
        assert_eq!(modern.per_token, 2 * 4 * (4 * 32 * 32 + 3 * 32 * 64));
        assert_eq!((modern.n_global_layers, modern.n_local_layers, modern.reach), (2, 2, 4));
    }

    #[test]
    fn pairs_are_those_that_attend_to_each_other() {
        for reach in 0..6u64 {
            let only_local = OperationCount { per_token: 0, per_pair: 1, n_global_layers: 0, n_local_layers: 1, reach };
            let only_global = OperationCount { n_global_layers: 1, n_local_layers: 0, ..only_local };
            for n in 0..20usize {
                let pairs = (0..n).flat_map(|query| (0..n).map(move |key| query.abs_diff(key) as u64));
                let n_seen = pairs.filter(|&distance| distance <= reach).count() as u64;
                assert_eq!(only_local.of_window(n), n_seen, "{n} tokens, reach {reach}");
                assert_eq!(only_global.of_window(n), (n * n) as u64);
            }
        }
    }
}
