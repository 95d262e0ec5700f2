//! DistilBERT (Sanh et al. 2019, arXiv:1910.01108): BERT with half of the layers and without token types.

use super::{Architecture, Biases, IntermediateNames, NormPlacement, Positions, QkvNames, WeightNames};
use crate::encoder::config::{ConfigError, Object, SizeKeys};

/// The `model_type` of `config.json`.
pub const MODEL_TYPES: [&str; 1] = ["distilbert"];

/// Not in `config.json`: the reference has the number in its code.
const LAYER_NORM_EPS: f64 = 1e-12;

const SIZE_KEYS: SizeKeys =
    SizeKeys { hidden_size: "dim", n_layers: "n_layers", n_heads: "n_heads", intermediate_size: "hidden_dim" };

/// `sinusoidal_pos_embds` is not asked: it says what the position table held before training, and the table is saved either way.
pub(in crate::encoder) fn read(config: &Object) -> Result<Architecture, ConfigError> {
    let size = config.size(&SIZE_KEYS)?;
    Ok(Architecture {
        model_type: config.need("model_type")?,
        vocab_size: size.vocab_size,
        hidden_size: size.hidden_size,
        n_layers: size.n_layers,
        n_heads: size.n_heads,
        intermediate_size: size.intermediate_size,
        activation: config.activation("activation")?,
        layer_norm_eps: LAYER_NORM_EPS,
        norm_placement: NormPlacement::After,
        positions: Positions::Learned { n_positions: config.need_positive("max_position_embeddings")?, offset: 0 },
        relative_bias: None,
        local_attention: None,
        biases: Biases::ALL,
        names: weight_names(),
    })
}

/// Names as Hugging Face's `DistilBertModel` saves them.
fn weight_names() -> WeightNames {
    WeightNames {
        prefix: String::new(),
        word_embeddings: "embeddings.word_embeddings.weight",
        position_embeddings: Some("embeddings.position_embeddings.weight"),
        token_type_embeddings: None,
        relative_bias: None,
        embedding_norm: "embeddings.LayerNorm",
        qkv: QkvNames::Separate {
            query: "transformer.layer.{layer}.attention.q_lin",
            key: "transformer.layer.{layer}.attention.k_lin",
            value: "transformer.layer.{layer}.attention.v_lin",
        },
        attention_output: "transformer.layer.{layer}.attention.out_lin",
        attention_norm: "transformer.layer.{layer}.sa_layer_norm",
        intermediate: IntermediateNames::Plain("transformer.layer.{layer}.ffn.lin1"),
        output: "transformer.layer.{layer}.ffn.lin2",
        output_norm: "transformer.layer.{layer}.output_layer_norm",
        final_norm: None,
    }
}
