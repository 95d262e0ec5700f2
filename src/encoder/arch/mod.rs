//! Descriptions of networks: layer order, activation, positions and the names of the weights. Executors read them; nothing here computes.

pub mod bert;
pub mod distilbert;
pub mod gte;
pub mod modernbert;
pub mod mpnet;
pub mod nomic_bert;
mod operations;

pub use operations::OperationCount;
use serde::Serialize;

/// What an executor must know to run an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// `model_type` of `config.json`.
    pub model_type: String,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub n_layers: usize,
    pub n_heads: usize,
    pub intermediate_size: usize,
    pub activation: Activation,
    pub layer_norm_eps: f64,
    pub norm_placement: NormPlacement,
    pub positions: Positions,
    /// Added to attention scores by distance.
    pub relative_bias: Option<RelativeBias>,
    /// Layers whose tokens see their neighbours only.
    pub local_attention: Option<LocalAttention>,
    pub biases: Biases,
    pub names: WeightNames,
}

impl Architecture {
    /// Columns of one attention head.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.n_heads
    }

    /// The longest window the positions allow.
    pub fn max_tokens(&self) -> usize {
        match self.positions {
            Positions::Learned { n_positions, offset } => n_positions - offset,
            Positions::Rotary { n_positions, .. } => n_positions,
        }
    }

    /// How far a token sees in this layer, to either side; `None` where it sees the whole window.
    pub fn reach(&self, layer_idx: usize) -> Option<usize> {
        self.local_attention.filter(|local| local.is_local(layer_idx)).map(|local| local.reach)
    }

    /// The rotation of this layer's queries and keys.
    pub fn rotary(&self, layer_idx: usize) -> Option<Rotary> {
        match (self.positions, self.local_attention) {
            (Positions::Learned { .. }, _) => None,
            (_, Some(local)) if local.is_local(layer_idx) => Some(local.rotary),
            (Positions::Rotary { rotary, .. }, _) => Some(rotary),
        }
    }

    /// Whether the layer normalises what its attention reads; with [`NormPlacement::Before`] the first layer does not, as the
    /// embeddings are normalised already.
    pub fn has_attention_norm(&self, layer_idx: usize) -> bool {
        self.norm_placement == NormPlacement::After || layer_idx > 0
    }
}

/// The function inside a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x · Φ(x)` with the exact error function.
    Gelu,
    /// The hyperbolic-tangent approximation of GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415).
    GeluTanh,
    Relu,
    /// `x / (1 + exp(-x))` (Elfwing et al. 2018, arXiv:1702.03118).
    Silu,
}

/// Where a layer normalises, `f` being attention or the feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlacement {
    /// `norm(x + f(x))`, as in BERT.
    After,
    /// `x + f(norm(x))`, and a last norm after all layers, as in ModernBERT.
    Before,
}

/// How a token learns where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Positions {
    /// A learned vector per position, added to the token's; position `i` reads row `i + offset` (RoBERTa keeps rows 0 to `pad_token_id` free).
    Learned { n_positions: usize, offset: usize },
    /// Queries and keys are rotated.
    Rotary { n_positions: usize, rotary: Rotary },
}

/// Rotation of queries and keys by position (Su et al. 2021, arXiv:2104.09864), in the form that pairs column `i` of a head with column
/// `i + head_size / 2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    pub base: f64,
    /// What all frequencies are multiplied by; 1 unless the positions were stretched after training.
    pub frequency_scale: f64,
}

impl Rotary {
    /// Radians per position of each pair of columns, `[head_size / 2]`: `frequency_scale · base^(-2i / head_size)`.
    pub fn frequencies(self, head_size: usize) -> Vec<f64> {
        (0..head_size / 2).map(|i| self.frequency_scale * self.base.powf(-2.0 * i as f64 / head_size as f64)).collect()
    }
}

/// A learned number per head and distance, added to the attention scores of all layers, with distances grouped as in T5 (Raffel et al. 2020,
/// arXiv:1910.10683, section 2.1; both directions have their own half of the buckets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelativeBias {
    pub n_buckets: usize,
    /// From this distance on all are in the last bucket.
    pub max_distance: usize,
}

impl RelativeBias {
    /// The bucket, below `n_buckets`, of a key that stands `distance` tokens behind (negative: before) its query.
    ///
    /// Half of each direction's buckets are for one distance each, the other half for ranges that grow with the logarithm.
    pub fn bucket(self, distance: isize) -> usize {
        let half = self.n_buckets / 2;
        let (start, distance) = (if distance > 0 { half } else { 0 }, distance.unsigned_abs());
        let n_exact = half / 2;
        if distance < n_exact {
            return start + distance;
        }
        // In f32, as the reference computes it, so that distances on the edge of two buckets fall on the same side.
        let ratio = (distance as f32 / n_exact as f32).ln() / (self.max_distance as f32 / n_exact as f32).ln();
        start + (n_exact + (ratio * (half - n_exact) as f32) as usize).min(half - 1)
    }
}

/// Layers in which a token attends to at most `reach` neighbours on either side; every `global_every`-th layer, beginning with the first,
/// sees the whole window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalAttention {
    pub global_every: usize,
    pub reach: usize,
    /// The local layers' own rotation.
    pub rotary: Rotary,
}

impl LocalAttention {
    fn is_local(self, layer_idx: usize) -> bool {
        !layer_idx.is_multiple_of(self.global_every)
    }
}

/// Which products and norms have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    pub qkv: bool,
    pub attention_output: bool,
    pub intermediate: bool,
    pub output: bool,
    pub norms: bool,
}

impl Biases {
    /// All of them, as in BERT.
    pub const ALL: Self = Self { qkv: true, attention_output: true, intermediate: true, output: true, norms: true };
}

/// Names of the tensors; `{layer}` stands for the number of the layer.
///
/// Matrices are stored as PyTorch's `Linear` keeps them: `[n_out, n_in]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightNames {
    /// Put before every other name; checkpoints differ (`""`, `bert.`, `roberta.` …).
    pub prefix: String,
    /// `[vocab_size, hidden_size]`
    pub word_embeddings: &'static str,
    /// `[n_positions, hidden_size]`, where positions are learned.
    pub position_embeddings: Option<&'static str>,
    /// `[n_types, hidden_size]`; all our tokens are of type 0.
    pub token_type_embeddings: Option<&'static str>,
    /// `[n_buckets, n_heads]`, where there is a [`RelativeBias`].
    pub relative_bias: Option<&'static str>,
    /// Name without `.weight` and `.bias`, like all below.
    pub embedding_norm: &'static str,
    pub qkv: QkvNames,
    pub attention_output: &'static str,
    pub attention_norm: &'static str,
    pub intermediate: IntermediateNames,
    pub output: &'static str,
    pub output_norm: &'static str,
    /// With [`NormPlacement::Before`], the norm after all layers.
    pub final_norm: Option<&'static str>,
}

/// How queries, keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkvNames {
    Separate {
        query: &'static str,
        key: &'static str,
        value: &'static str,
    },
    /// One matrix `[3 · hidden_size, hidden_size]`: queries, keys, values.
    Packed(&'static str),
}

/// How the first half of a feed-forward block is stored: `act(x·W)`, or gated `act(x·G) ∘ (x·U)` (Shazeer 2020, arXiv:2002.05202).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntermediateNames {
    /// `[intermediate_size, hidden_size]`
    Plain(&'static str),
    /// Two matrices of that shape; the activation is on `gate`.
    Gated { gate: &'static str, up: &'static str },
    /// One matrix `[2 · intermediate_size, hidden_size]`: gate, up.
    GateUp(&'static str),
    /// One matrix `[2 · intermediate_size, hidden_size]`: up, gate.
    UpGate(&'static str),
}

impl IntermediateNames {
    /// Whether there is a gate.
    pub fn is_gated(self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

impl WeightNames {
    /// Whether an executor reads the tensor of this full name.
    pub fn is_wanted(&self, full_name: &str) -> bool {
        let Some(name) = full_name.strip_prefix(&self.prefix) else { return false };
        let tables =
            [Some(self.word_embeddings), self.position_embeddings, self.token_type_embeddings, self.relative_bias];
        let outside = [Some(self.embedding_norm), self.final_norm];
        let in_layers = self.output.split("{layer}").next().expect("split gives at least one part");
        tables.contains(&Some(name))
            || outside.into_iter().flatten().any(|norm| name.starts_with(norm))
            || name.starts_with(in_layers)
    }

    /// The full name of a tensor outside the layers.
    pub fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The full name of a tensor of one layer.
    pub fn in_layer(&self, name: &str, layer_idx: usize) -> String {
        format!("{}{}", self.prefix, name.replace("{layer}", &layer_idx.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::path::Path;

    /// From transformers, by `scripts/golden_positions.py`.
    fn golden(kind: &str) -> Vec<Value> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/positions.json");
        let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        all[kind].as_array().unwrap().clone()
    }

    #[test]
    fn distances_fall_into_the_buckets_of_the_reference() {
        for case in golden("buckets") {
            let count = |field: &str| case[field].as_u64().unwrap() as usize;
            let bias = RelativeBias { n_buckets: count("n_buckets"), max_distance: count("max_distance") };
            let expected: Vec<usize> = serde_json::from_value(case["buckets"].clone()).unwrap();
            let longest = (expected.len() / 2) as isize;
            let found: Vec<usize> = (-longest..=longest).map(|distance| bias.bucket(distance)).collect();
            assert_eq!(found, expected, "{bias:?}");
        }
    }

    /// The reference computes in f32.
    #[test]
    fn frequencies_are_those_of_the_reference() {
        for case in golden("frequencies") {
            let number = |field: &str| case[field].as_f64().unwrap();
            let head_size = number("head_size") as usize;
            let rotary = Rotary { base: number("base"), frequency_scale: 1.0 };
            let rotary = match number("stretch") {
                1.0 => rotary,
                factor => gte::stretched(rotary, factor, head_size),
            };
            let found = rotary.frequencies(head_size);
            let expected: Vec<f64> = serde_json::from_value(case["frequencies"].clone()).unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found / expected - 1.0).abs() < 1e-6, "{rotary:?}: {found}, expected {expected}");
            }
        }
    }
}
