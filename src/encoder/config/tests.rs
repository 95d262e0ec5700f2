//! Folders of a tiny encoder, each changed in one place.

use super::*;
use crate::encoder::arch::Activation;

const FILES: [&str; 9] = [
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "3_Normalize/config.json",
];

/// A copy of an encoder's settings, with one file changed.
fn folder_with(file: &str, change: impl Fn(&str) -> String) -> tempfile::TempDir {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny-bert-cls-dense");
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let content = std::fs::read_to_string(source.join(name)).unwrap();
        let target = folder.path().join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, if name == file { change(&content) } else { content }).unwrap();
    }
    folder
}

fn replaced(file: &str, from: &str, to: &str) -> tempfile::TempDir {
    folder_with(file, |content| {
        assert!(content.contains(from), "{file} holds no {from}");
        content.replace(from, to)
    })
}

#[test]
fn everything_is_read() {
    let folder = folder_with("", str::to_owned);
    let config = FolderConfig::read(folder.path()).unwrap();
    assert_eq!(config.max_tokens, 48);
    assert!(config.do_lower_case && config.include_prompt);
    assert_eq!(config.pooling, [PoolingMode::Cls]);
    let dense = TailModule::Dense {
        folder: folder.path().join("2_Dense"),
        in_features: 32,
        out_features: 24,
        bias: true,
        activation: DenseActivation::Tanh,
    };
    assert_eq!(config.tail, [dense, TailModule::Normalize]);
    assert_eq!(config.default_prompt_name.as_deref(), Some("passage"));
    assert!(config.prompts.contains(&("query".to_owned(), "query: ".to_owned())));
    assert_eq!(config.warnings, Vec::<String>::new());
    let a = &config.architecture;
    assert_eq!((a.vocab_size, a.hidden_size, a.n_layers, a.n_heads), (400, 32, 2, 4));
    assert_eq!((a.intermediate_size, a.activation, a.max_tokens()), (64, Activation::Gelu, 64));
}

#[test]
fn positions_of_the_roberta_family_start_after_the_padding() {
    let folder = replaced("config.json", r#""bert""#, r#""xlm-roberta""#);
    let edited = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    std::fs::write(folder.path().join("config.json"), edited.replace(r#""pad_token_id": 0"#, r#""pad_token_id": 1"#))
        .unwrap();
    let config = FolderConfig::read(folder.path()).unwrap();
    assert_eq!(config.architecture.max_tokens(), 62);
}

#[test]
fn the_length_limit_is_the_least_of_those_given() {
    let limit = |file, from, to| FolderConfig::read(replaced(file, from, to).path()).unwrap().max_tokens;
    assert_eq!(limit("sentence_bert_config.json", "48", "512"), 64);
    assert_eq!(limit("sentence_bert_config.json", r#""max_seq_length": 48, "#, ""), 48);
    let folder = replaced("sentence_bert_config.json", r#""max_seq_length": 48, "#, "");
    std::fs::write(folder.path().join("tokenizer_config.json"), r#"{"model_max_length": 1e30}"#).unwrap();
    assert_eq!(FolderConfig::read(folder.path()).unwrap().max_tokens, 64);
}

#[test]
fn without_modules_it_is_mean_pooling_with_a_warning() {
    let folder = folder_with("", str::to_owned);
    std::fs::remove_file(folder.path().join("modules.json")).unwrap();
    let config = FolderConfig::read(folder.path()).unwrap();
    assert_eq!((config.pooling, config.tail), (vec![PoolingMode::Mean], vec![]));
    assert!(config.warnings[0].contains("modules.json is missing"), "{:?}", config.warnings);
}

#[test]
fn pooling_in_both_forms() {
    let pooling = |content: &str| {
        let folder = folder_with("1_Pooling/config.json", |_| content.to_owned());
        // The dense layer expects one block of columns only.
        let modules = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"}]"#;
        std::fs::write(folder.path().join("modules.json"), modules).unwrap();
        FolderConfig::read(folder.path()).map(|config| config.pooling)
    };
    let (cls, max, mean) = (PoolingMode::Cls, PoolingMode::Max, PoolingMode::Mean);
    assert_eq!(pooling(r#"{"pooling_mode": "max"}"#).unwrap(), [max]);
    assert_eq!(pooling(r#"{"pooling_mode": ["mean", "cls"]}"#).unwrap(), [mean, cls]);
    assert_eq!(pooling(r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#).unwrap(), [cls, mean]);
    assert_eq!(pooling(r#"{"pooling_mode_mean_tokens": false}"#).unwrap(), [mean]);
    assert!(pooling(r#"{"pooling_mode": []}"#).is_err());
}

#[test]
fn what_is_not_supported_or_malformed_is_named() {
    let cases = [
        ("config.json", r#""bert""#, r#""deberta-v2""#, "model_type `deberta-v2` is not supported; supported: bert"),
        ("config.json", r#""is_decoder": false"#, r#""is_decoder": true"#, "is_decoder `true` is not supported"),
        ("config.json", r#""use_cache""#, r#""position_embedding_type": "relative_key", "x""#, "`\"relative_key\"`"),
        ("config.json", r#""gelu""#, r#""mish""#, "hidden_act `mish` is not supported"),
        ("config.json", r#""hidden_size": 32"#, r#""hidden_size": 30"#, "`hidden_size` is 30, not a multiple of 4"),
        ("config.json", r#""hidden_size": 32"#, r#""hidden_size": "32""#, "`hidden_size` invalid type"),
        ("config.json", r#""num_hidden_layers": 2"#, r#""num_hidden_layers": 0"#, "`num_hidden_layers` is 0"),
        ("config.json", r#""vocab_size": 400"#, r#""x": 1"#, "`vocab_size` is missing"),
        ("config.json", r#""max_position_embeddings": 64"#, r#""max_position_embeddings": 1"#, "no position free"),
        ("config.json", "{", "", "config.json is not valid JSON"),
        ("modules.json", "models.Pooling", "models.WeightedLayerPooling", "WeightedLayerPooling` is not supported"),
        (
            "modules.json",
            "sentence_transformers.models.Transformer",
            "custom_st.Transformer",
            "`custom_st.Transformer`",
        ),
        ("modules.json", "models.Pooling", "models.Dense", "order of modules `Transformer, Dense, Dense, Normalize`"),
        ("modules.json", "2_Dense", "../2_Dense", "`../2_Dense` leads out of the folder"),
        ("1_Pooling/config.json", r#"pooling_mode_cls_token"#, "pooling_mode_weightedmean_tokens", "`weightedmean`"),
        ("1_Pooling/config.json", r#"pooling_mode_cls_token"#, "pooling_mode_new_kind", "`pooling_mode_new_kind`"),
        ("1_Pooling/config.json", "32", "64", "is 64, but the transformer's hidden size is 32"),
        ("2_Dense/config.json", "torch.nn.modules.activation.Tanh", "torch.nn.modules.activation.GELU", "GELU` is not"),
        ("2_Dense/config.json", r#""in_features": 32"#, r#""in_features": 31"#, "is 31, but 32 come in"),
        ("2_Dense/config.json", r#""bias": true"#, r#""use_residual": true"#, "use_residual `true` is not supported"),
        ("3_Normalize/config.json", "sentence_embedding", "token_embeddings", "module_input_name"),
        ("sentence_bert_config.json", "48", "-1", "`max_seq_length` invalid value"),
        ("sentence_bert_config.json", "48", "0", "`max_seq_length` is 0"),
        (
            "sentence_bert_config.json",
            r#""do_lower_case""#,
            r#""query_expansion": {"length": 3}, "x""#,
            "`query_expansion`",
        ),
        ("sentence_bert_config.json", r#""do_lower_case""#, r#""transformer_task": "fill-mask", "x""#, "fill-mask"),
        ("tokenizer_config.json", r#""backend""#, r#""truncation_side": "left", "x""#, "truncation_side"),
        ("config_sentence_transformers.json", r#""query: ""#, "7", "`prompts` holds 7 under `query`"),
        (
            "config_sentence_transformers.json",
            r#""default_prompt_name": "passage""#,
            r#""default_prompt_name": "x""#,
            "is `x`",
        ),
        ("config_sentence_transformers.json", "SentenceTransformer", "SparseEncoder", "model_type `\"SparseEncoder\"`"),
    ];
    for (file, from, to, expected) in cases {
        let error = FolderConfig::read(replaced(file, from, to).path()).expect_err(expected);
        let message = error.to_string();
        assert!(message.contains(expected) && message.contains(file), "{message}\ndoes not hold: {expected}");
    }
    let folder = folder_with("", str::to_owned);
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    let message = FolderConfig::read(folder.path()).unwrap_err().to_string();
    assert!(message.contains("cannot read") && message.contains("tokenizer.json"), "{message}");
}
