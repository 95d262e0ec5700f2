//! GTE v1.5 and its multilingual sister (Zhang et al. 2024, mGTE, arXiv:2407.19669): BERT with rotary positions and gated feed-forward
//! blocks.

use super::{Architecture, Biases, IntermediateNames, NormPlacement, Positions, QkvNames, Rotary, WeightNames};
use crate::encoder::config::{ConfigError, Object, Size, SizeKeys};

/// The `model_type`s of `config.json`: that of the published encoders, whose code comes along with them, and that of transformers 5.
pub const MODEL_TYPES: [&str; 2] = ["new", "gte"];

pub(in crate::encoder) fn read(config: &Object) -> Result<Architecture, ConfigError> {
    let model_type: String = config.need("model_type")?;
    let size = config.size(&SizeKeys::USUAL)?;
    let rotary = match model_type.as_str() {
        "new" => read_published(config, &size)?,
        _ => {
            config.only("head_dim", size.hidden_size / size.n_heads)?;
            config.rope_parameters("rope_parameters", &size)?
        }
    };
    let has_token_types = config.need::<usize>("type_vocab_size")? > 0;
    let is_packed = config.get("pack_qkv")?.unwrap_or(true);
    Ok(Architecture {
        model_type,
        vocab_size: size.vocab_size,
        hidden_size: size.hidden_size,
        n_layers: size.n_layers,
        n_heads: size.n_heads,
        intermediate_size: size.intermediate_size,
        activation: config.activation("hidden_act")?,
        layer_norm_eps: config.layer_norm_eps("layer_norm_eps")?,
        norm_placement: NormPlacement::After,
        positions: Positions::Rotary { n_positions: config.need_positive("max_position_embeddings")?, rotary },
        relative_bias: None,
        local_attention: None,
        biases: Biases { intermediate: false, ..Biases::ALL },
        names: weight_names(has_token_types, is_packed),
    })
}

/// Settings of the published encoders' own code; returns the rotation.
fn read_published(config: &Object, size: &Size) -> Result<Rotary, ConfigError> {
    config.only("position_embedding_type", "rope")?;
    config.only("layer_norm_type", "layer_norm")?;
    config.only("logn_attention_scale", false)?;
    config.only("logn_attention_clip1", false)?;
    let rotary = config.rotary("rope_theta", size)?;
    let Some(scaling) = config.object("rope_scaling")? else { return Ok(rotary) };
    scaling.must_be("type", "ntk")?;
    scaling.none("mixed_b")?;
    let factor: f64 = scaling.need("factor")?;
    if !(factor.is_finite() && factor >= 1.0) {
        return Err(scaling.error("factor", "is not a number from 1 on"));
    }
    Ok(stretched(rotary, factor, size.hidden_size / size.n_heads))
}

/// Positions stretched by the method that the published code calls NTK (Su Jianlin 2023, kexue.fm/archives/9706, equation 6): the base
/// grows `factor` times, and every frequency shrinks `factor^(2 / head_size)` times.
pub(super) fn stretched(rotary: Rotary, factor: f64, head_size: usize) -> Rotary {
    Rotary { base: rotary.base * factor, frequency_scale: factor.powf(-2.0 / head_size as f64) }
}

/// Names of the published encoders; transformers 5 saves the same.
fn weight_names(has_token_types: bool, is_packed: bool) -> WeightNames {
    let qkv = if is_packed {
        QkvNames::Packed("encoder.layer.{layer}.attention.qkv_proj")
    } else {
        QkvNames::Separate {
            query: "encoder.layer.{layer}.attention.q_proj",
            key: "encoder.layer.{layer}.attention.k_proj",
            value: "encoder.layer.{layer}.attention.v_proj",
        }
    };
    WeightNames {
        prefix: String::new(),
        word_embeddings: "embeddings.word_embeddings.weight",
        position_embeddings: None,
        token_type_embeddings: has_token_types.then_some("embeddings.token_type_embeddings.weight"),
        relative_bias: None,
        embedding_norm: "embeddings.LayerNorm",
        qkv,
        attention_output: "encoder.layer.{layer}.attention.o_proj",
        attention_norm: "encoder.layer.{layer}.attn_ln",
        intermediate: IntermediateNames::UpGate("encoder.layer.{layer}.mlp.up_gate_proj"),
        output: "encoder.layer.{layer}.mlp.down_proj",
        output_norm: "encoder.layer.{layer}.mlp_ln",
        final_norm: None,
    }
}
