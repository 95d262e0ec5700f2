//! Descriptions of networks: layer order, activation, positions and the names of the weights. Executors read them; nothing here computes.

pub mod bert;

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
    pub positions: Positions,
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
        }
    }
}

/// The function between the two halves of a feed-forward block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x · Φ(x)` with the exact error function.
    Gelu,
    /// The hyperbolic-tangent approximation of GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415).
    GeluTanh,
    Relu,
}

/// How a token learns where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// A learned vector per position, added to the token's; position `i` reads row `i + offset` (RoBERTa keeps rows 0 to `pad_token_id` free).
    Learned { n_positions: usize, offset: usize },
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
    /// `[n_positions, hidden_size]`
    pub position_embeddings: &'static str,
    /// `[n_types, hidden_size]`; all our tokens are of type 0.
    pub token_type_embeddings: &'static str,
    /// Name without `.weight` and `.bias`, like all below.
    pub embedding_norm: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub attention_output: &'static str,
    pub attention_norm: &'static str,
    pub intermediate: &'static str,
    pub output: &'static str,
    pub output_norm: &'static str,
}

impl WeightNames {
    /// Whether an executor reads the tensor of this full name.
    pub fn is_wanted(&self, full_name: &str) -> bool {
        let Some(name) = full_name.strip_prefix(&self.prefix) else { return false };
        let tables = [self.word_embeddings, self.position_embeddings, self.token_type_embeddings];
        let in_layers = self.query.split("{layer}").next().expect("split gives at least one part");
        tables.contains(&name) || name.starts_with(self.embedding_norm) || name.starts_with(in_layers)
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
