//! BERT (Devlin et al. 2019, arXiv:1810.04805) and XLM-RoBERTa (Conneau et al. 2020, arXiv:1911.02116), which differ in positions only.

use super::{Positions, WeightNames};

/// The `model_type`s of `config.json` that have this layout. RoBERTa (Liu et al. 2019, arXiv:1907.11692) is XLM-RoBERTa
/// with another vocabulary.
pub const MODEL_TYPES: [&str; 3] = ["bert", "xlm-roberta", "roberta"];

/// Which row of the position table token `i` reads: `i` in BERT, `i + pad_token_id + 1` in the RoBERTa family.
///
/// The reference counts positions over tokens that are not padding. We never pad, so that counting is plain; only a literal
/// `<pad>` inside an article, which the reference skips when it counts, gets a position of its own here.
pub fn positions(model_type: &str, max_position_embeddings: usize, pad_token_id: usize) -> Positions {
    let offset = if model_type == "bert" { 0 } else { pad_token_id + 1 };
    Positions::Learned { n_positions: max_position_embeddings, offset }
}

/// Names as Hugging Face's `BertModel` and `XLMRobertaModel` save them.
pub fn weight_names(prefix: impl Into<String>) -> WeightNames {
    WeightNames {
        prefix: prefix.into(),
        word_embeddings: "embeddings.word_embeddings.weight",
        position_embeddings: "embeddings.position_embeddings.weight",
        token_type_embeddings: "embeddings.token_type_embeddings.weight",
        embedding_norm: "embeddings.LayerNorm",
        query: "encoder.layer.{layer}.attention.self.query",
        key: "encoder.layer.{layer}.attention.self.key",
        value: "encoder.layer.{layer}.attention.self.value",
        attention_output: "encoder.layer.{layer}.attention.output.dense",
        attention_norm: "encoder.layer.{layer}.attention.output.LayerNorm",
        intermediate: "encoder.layer.{layer}.intermediate.dense",
        output: "encoder.layer.{layer}.output.dense",
        output_norm: "encoder.layer.{layer}.output.LayerNorm",
    }
}
