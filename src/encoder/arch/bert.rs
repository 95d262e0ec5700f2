//! BERT (Devlin et al. 2019, arXiv:1810.04805) and XLM-RoBERTa (Conneau et al. 2020, arXiv:1911.02116), which differ in positions only.

use super::{Architecture, Biases, IntermediateNames, NormPlacement, Positions, QkvNames, WeightNames};
use crate::encoder::config::{ConfigError, Object, SizeKeys};

/// The `model_type`s of `config.json` that have this layout. RoBERTa (Liu et al. 2019, arXiv:1907.11692) is XLM-RoBERTa
/// with another vocabulary.
pub const MODEL_TYPES: [&str; 3] = ["bert", "xlm-roberta", "roberta"];

/// Token `i` reads row `i` of the position table in BERT, row `i + pad_token_id + 1` in the RoBERTa family.
///
/// The reference counts positions over tokens that are not padding. We never pad, so that counting is plain; only a literal
/// `<pad>` inside an article, which the reference skips when it counts, gets a position of its own here.
pub(in crate::encoder) fn read(config: &Object) -> Result<Architecture, ConfigError> {
    config.only("position_embedding_type", "absolute")?;
    let model_type: String = config.need("model_type")?;
    let size = config.size(&SizeKeys::USUAL)?;
    let (offset, n_reserved) = match model_type.as_str() {
        "bert" => (0, 1),
        _ => {
            let pad_token_id: usize = config.need("pad_token_id")?;
            let offset = pad_token_id.saturating_add(1);
            (offset, offset)
        }
    };
    let n_positions = config.n_positions("max_position_embeddings", n_reserved)?;
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
        positions: Positions::Learned { n_positions, offset },
        relative_bias: None,
        local_attention: None,
        biases: Biases::ALL,
        names: weight_names(""),
    })
}

/// Names as Hugging Face's `BertModel` and `XLMRobertaModel` save them.
pub fn weight_names(prefix: impl Into<String>) -> WeightNames {
    WeightNames {
        prefix: prefix.into(),
        word_embeddings: "embeddings.word_embeddings.weight",
        position_embeddings: Some("embeddings.position_embeddings.weight"),
        token_type_embeddings: Some("embeddings.token_type_embeddings.weight"),
        relative_bias: None,
        embedding_norm: "embeddings.LayerNorm",
        qkv: QkvNames::Separate {
            query: "encoder.layer.{layer}.attention.self.query",
            key: "encoder.layer.{layer}.attention.self.key",
            value: "encoder.layer.{layer}.attention.self.value",
        },
        attention_output: "encoder.layer.{layer}.attention.output.dense",
        attention_norm: "encoder.layer.{layer}.attention.output.LayerNorm",
        intermediate: IntermediateNames::Plain("encoder.layer.{layer}.intermediate.dense"),
        output: "encoder.layer.{layer}.output.dense",
        output_norm: "encoder.layer.{layer}.output.LayerNorm",
        final_norm: None,
    }
}
