//! ModernBERT (Warner et al. 2024, arXiv:2412.13663): norms before the blocks, rotary positions, gated feed-forward blocks, and attention
//! to the whole window in some layers only.

use super::{
    Architecture, Biases, IntermediateNames, LocalAttention, NormPlacement, Positions, QkvNames, Rotary, WeightNames,
};
use crate::encoder::config::{ConfigError, Object, Size, SizeKeys};

/// The `model_type` of `config.json`.
pub const MODEL_TYPES: [&str; 1] = ["modernbert"];

pub(in crate::encoder) fn read(config: &Object) -> Result<Architecture, ConfigError> {
    config.none("rope_scaling")?;
    let size = config.size(&SizeKeys::USUAL)?;
    let (global, local) = rotations(config, &size)?;
    // Without them the reference's classes have no biases.
    let attention_bias = config.get("attention_bias")?.unwrap_or(false);
    let mlp_bias = config.get("mlp_bias")?.unwrap_or(false);
    let norms = config.get("norm_bias")?.unwrap_or(false);
    Ok(Architecture {
        model_type: config.need("model_type")?,
        vocab_size: size.vocab_size,
        hidden_size: size.hidden_size,
        n_layers: size.n_layers,
        n_heads: size.n_heads,
        intermediate_size: size.intermediate_size,
        activation: config.activation("hidden_activation")?,
        layer_norm_eps: config.layer_norm_eps("norm_eps")?,
        norm_placement: NormPlacement::Before,
        positions: Positions::Rotary { n_positions: config.need_positive("max_position_embeddings")?, rotary: global },
        relative_bias: None,
        local_attention: Some(LocalAttention {
            global_every: global_every(config, size.n_layers)?,
            // `local_attention` counts both sides.
            reach: config.need_positive("local_attention")? / 2,
            rotary: local,
        }),
        biases: Biases {
            qkv: attention_bias,
            attention_output: attention_bias,
            intermediate: mlp_bias,
            output: mlp_bias,
            norms,
        },
        names: weight_names(),
    })
}

/// The rotations of global and local layers: `global_rope_theta` and `local_rope_theta`, or since transformers 5 `rope_parameters` by the
/// type of layer.
fn rotations(config: &Object, size: &Size) -> Result<(Rotary, Rotary), ConfigError> {
    match config.object("rope_parameters")? {
        None => Ok((config.rotary("global_rope_theta", size)?, config.rotary("local_rope_theta", size)?)),
        Some(parameters) => Ok((
            parameters.rope_parameters("full_attention", size)?,
            parameters.rope_parameters("sliding_attention", size)?,
        )),
    }
}

/// `global_attn_every_n_layers`, or since transformers 5 `layer_types`, which lists every layer.
fn global_every(config: &Object, n_layers: usize) -> Result<usize, ConfigError> {
    let Some(layer_types) = config.get::<Vec<String>>("layer_types")? else {
        return config.need_positive("global_attn_every_n_layers");
    };
    let (local, global) = ("sliding_attention", "full_attention");
    let after_first = layer_types.iter().skip(1).position(|layer_type| layer_type == global);
    let found = after_first.map_or(n_layers, |n_local| n_local + 1);
    let every = config.get("global_attn_every_n_layers")?.unwrap_or(found).max(1);
    let expected = (0..n_layers).map(|layer_idx| if layer_idx.is_multiple_of(every) { global } else { local });
    if expected.eq(layer_types.iter().map(String::as_str)) {
        return Ok(every);
    }
    let supported = format!("{n_layers} of them, `{global}` in the first and every n-th layer, else `{local}`");
    Err(config.unsupported("layer_types", layer_types.join(", "), supported))
}

/// Names as Hugging Face's `ModernBertModel` saves them.
fn weight_names() -> WeightNames {
    WeightNames {
        prefix: String::new(),
        word_embeddings: "embeddings.tok_embeddings.weight",
        position_embeddings: None,
        token_type_embeddings: None,
        relative_bias: None,
        embedding_norm: "embeddings.norm",
        qkv: QkvNames::Packed("layers.{layer}.attn.Wqkv"),
        attention_output: "layers.{layer}.attn.Wo",
        attention_norm: "layers.{layer}.attn_norm",
        intermediate: IntermediateNames::GateUp("layers.{layer}.mlp.Wi"),
        output: "layers.{layer}.mlp.Wo",
        output_norm: "layers.{layer}.mlp_norm",
        final_norm: Some("final_norm"),
    }
}
