//! NomicBERT (Nussbaum et al. 2024, arXiv:2402.01613): BERT with rotary positions and gated feed-forward blocks.

use super::{
    Activation, Architecture, Biases, IntermediateNames, NormPlacement, Positions, QkvNames, Rotary, WeightNames,
};
use crate::encoder::config::{ConfigError, Object, Size, SizeKeys};

/// The `model_type` of `config.json`.
pub const MODEL_TYPES: [&str; 1] = ["nomic_bert"];

/// Keys of the published encoders, which are those of GPT-2.
const PUBLISHED_SIZE_KEYS: SizeKeys =
    SizeKeys { hidden_size: "n_embd", n_layers: "n_layer", n_heads: "n_head", intermediate_size: "n_inner" };

/// Settings in either of the two forms there are.
struct Settings {
    size: Size,
    activation: Activation,
    layer_norm_eps: f64,
    n_positions: usize,
    rotary: Rotary,
    biases: Biases,
}

pub(in crate::encoder) fn read(config: &Object) -> Result<Architecture, ConfigError> {
    let Settings { size, activation, layer_norm_eps, n_positions, rotary, biases } =
        if config.has("n_embd") { read_published(config)? } else { read_transformers(config)? };
    Ok(Architecture {
        model_type: config.need("model_type")?,
        vocab_size: size.vocab_size,
        hidden_size: size.hidden_size,
        n_layers: size.n_layers,
        n_heads: size.n_heads,
        intermediate_size: size.intermediate_size,
        activation,
        layer_norm_eps,
        norm_placement: NormPlacement::After,
        positions: Positions::Rotary { n_positions, rotary },
        relative_bias: None,
        local_attention: None,
        biases,
        names: weight_names(config.need::<usize>("type_vocab_size")? > 0),
    })
}

/// The form of the published encoders, whose code comes along with them.
fn read_published(config: &Object) -> Result<Settings, ConfigError> {
    config.must_be("prenorm", false)?;
    config.must_be("rotary_emb_fraction", 1.0)?;
    for field in [
        "causal",
        "norm_mlp",
        "parallel_block",
        "parallel_block_tied_norm",
        "rotary_emb_interleaved",
        "rotary_head_dim",
        "scale_attn_by_inverse_layer_idx",
        "use_rms_norm",
    ] {
        config.only(field, false)?;
    }
    config.only("scale_attn_weights", true)?;
    let moe_every: i64 = config.get("moe_every_n_layers")?.unwrap_or(0);
    if moe_every > 0 {
        return Err(config.unsupported("moe_every_n_layers", moe_every, "0"));
    }
    config.none("rotary_emb_scale_base")?;
    config.none("rotary_scaling_factor")?;
    let size = config.size(&PUBLISHED_SIZE_KEYS)?;
    let activation = match config.need::<String>("activation_function")?.as_str() {
        "swiglu" => Activation::Silu,
        "geglu" => Activation::Gelu,
        other => return Err(config.unsupported("activation_function", other, "swiglu, geglu")),
    };
    let qkv = config.need("qkv_proj_bias")?;
    Ok(Settings {
        activation,
        layer_norm_eps: config.layer_norm_eps("layer_norm_epsilon")?,
        n_positions: config.need_positive("n_positions")?,
        rotary: config.rotary("rotary_emb_base", &size)?,
        biases: Biases {
            qkv,
            attention_output: qkv,
            intermediate: config.need("mlp_fc1_bias")?,
            output: config.need("mlp_fc2_bias")?,
            norms: true,
        },
        size,
    })
}

/// The form of transformers 5, which has the network without biases only.
fn read_transformers(config: &Object) -> Result<Settings, ConfigError> {
    let size = config.size(&SizeKeys::USUAL)?;
    config.only("head_dim", size.hidden_size / size.n_heads)?;
    Ok(Settings {
        activation: config.activation("hidden_act")?,
        layer_norm_eps: config.layer_norm_eps("layer_norm_eps")?,
        n_positions: config.need_positive("max_position_embeddings")?,
        rotary: config.rope_parameters("rope_parameters", &size)?,
        biases: Biases { qkv: false, attention_output: false, intermediate: false, output: false, norms: true },
        size,
    })
}

/// Names of the published encoders; transformers 5 saves the same.
fn weight_names(has_token_types: bool) -> WeightNames {
    WeightNames {
        prefix: String::new(),
        word_embeddings: "embeddings.word_embeddings.weight",
        position_embeddings: None,
        token_type_embeddings: has_token_types.then_some("embeddings.token_type_embeddings.weight"),
        relative_bias: None,
        embedding_norm: "emb_ln",
        qkv: QkvNames::Packed("encoder.layers.{layer}.attn.Wqkv"),
        attention_output: "encoder.layers.{layer}.attn.out_proj",
        attention_norm: "encoder.layers.{layer}.norm1",
        intermediate: IntermediateNames::Gated {
            gate: "encoder.layers.{layer}.mlp.fc12",
            up: "encoder.layers.{layer}.mlp.fc11",
        },
        output: "encoder.layers.{layer}.mlp.fc2",
        output_norm: "encoder.layers.{layer}.norm2",
        final_norm: None,
    }
}
