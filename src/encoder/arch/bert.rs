//! BERT (Devlin et al. 2019, arXiv:1810.04805) and XLM-RoBERTa (Conneau et al. 2020, arXiv:1911.02116), which differ in positions only.

use super::WeightNames;

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
