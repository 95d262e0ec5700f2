//! MPNet (Song et al. 2020, arXiv:2004.09297): BERT with a bias by distance in the attention, shared by all layers, and without token
//! types.

use super::{Architecture, Biases, IntermediateNames, NormPlacement, Positions, QkvNames, RelativeBias, WeightNames};
use crate::encoder::config::{ConfigError, Object, SizeKeys};

/// The `model_type` of `config.json`.
pub const MODEL_TYPES: [&str; 1] = ["mpnet"];

/// Both numbers are in the reference's code. `config.json` names the first too, but only as the length of the table.
const RELATIVE_BIAS: RelativeBias = RelativeBias { n_buckets: 32, max_distance: 128 };

/// Rows of the position table before that of the first token. The reference takes 1 for the id of the padding, whatever `config.json` says.
const POSITION_OFFSET: usize = 2;

pub(in crate::encoder) fn read(config: &Object) -> Result<Architecture, ConfigError> {
    config.only("relative_attention_num_buckets", RELATIVE_BIAS.n_buckets)?;
    let size = config.size(&SizeKeys::USUAL)?;
    let n_positions = config.n_positions("max_position_embeddings", POSITION_OFFSET)?;
    Ok(Architecture {
        model_type: config.need("model_type")?,
        vocab_size: size.vocab_size,
        hidden_size: size.hidden_size,
        n_layers: size.n_layers,
        n_heads: size.n_heads,
        intermediate_size: size.intermediate_size,
        activation: config.activation("hidden_act")?,
        layer_norm_eps: config.layer_norm_eps("layer_norm_eps")?,
        norm_placement: NormPlacement::After,
        positions: Positions::Learned { n_positions, offset: POSITION_OFFSET },
        relative_bias: Some(RELATIVE_BIAS),
        local_attention: None,
        biases: Biases::ALL,
        names: weight_names(),
    })
}

/// Names as Hugging Face's `MPNetModel` saves them.
fn weight_names() -> WeightNames {
    WeightNames {
        prefix: String::new(),
        word_embeddings: "embeddings.word_embeddings.weight",
        position_embeddings: Some("embeddings.position_embeddings.weight"),
        token_type_embeddings: None,
        relative_bias: Some("encoder.relative_attention_bias.weight"),
        embedding_norm: "embeddings.LayerNorm",
        qkv: QkvNames::Separate {
            query: "encoder.layer.{layer}.attention.attn.q",
            key: "encoder.layer.{layer}.attention.attn.k",
            value: "encoder.layer.{layer}.attention.attn.v",
        },
        attention_output: "encoder.layer.{layer}.attention.attn.o",
        attention_norm: "encoder.layer.{layer}.attention.LayerNorm",
        intermediate: IntermediateNames::Plain("encoder.layer.{layer}.intermediate.dense"),
        output: "encoder.layer.{layer}.output.dense",
        output_norm: "encoder.layer.{layer}.output.LayerNorm",
        final_norm: None,
    }
}
