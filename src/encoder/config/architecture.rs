//! From `config.json` to an [`Architecture`]: which family it is, and what the families' settings have in common. What is a family's own
//! is read where the family is described, in `encoder/arch/`.

use super::Result;
use super::object::Object;
use crate::encoder::arch::{Activation, Architecture, Rotary, bert, distilbert, gte, modernbert, mpnet, nomic_bert};

type Family = (&'static [&'static str], fn(&Object) -> Result<Architecture>);

const FAMILIES: [Family; 6] = [
    (&bert::MODEL_TYPES, bert::read),
    (&distilbert::MODEL_TYPES, distilbert::read),
    (&mpnet::MODEL_TYPES, mpnet::read),
    (&modernbert::MODEL_TYPES, modernbert::read),
    (&nomic_bert::MODEL_TYPES, nomic_bert::read),
    (&gte::MODEL_TYPES, gte::read),
];

pub(super) fn read(config: &Object) -> Result<Architecture> {
    let model_type: String = config.need("model_type")?;
    let Some((_, read)) = FAMILIES.iter().find(|(model_types, _)| model_types.contains(&model_type.as_str())) else {
        let supported: Vec<&str> = FAMILIES.iter().flat_map(|(model_types, _)| *model_types).copied().collect();
        return Err(config.unsupported("model_type", model_type, supported.join(", ")));
    };
    for field in ["is_decoder", "add_cross_attention", "is_encoder_decoder"] {
        config.only(field, false)?;
    }
    read(config)
}

/// What the keys of [`Size`] are called; most families share [`Self::USUAL`].
pub(in crate::encoder) struct SizeKeys {
    pub hidden_size: &'static str,
    pub n_layers: &'static str,
    pub n_heads: &'static str,
    pub intermediate_size: &'static str,
}

impl SizeKeys {
    pub(in crate::encoder) const USUAL: Self = Self {
        hidden_size: "hidden_size",
        n_layers: "num_hidden_layers",
        n_heads: "num_attention_heads",
        intermediate_size: "intermediate_size",
    };
}

/// The numbers that every network has.
pub(in crate::encoder) struct Size {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub n_layers: usize,
    pub n_heads: usize,
    pub intermediate_size: usize,
}

impl Object {
    pub(in crate::encoder) fn size(&self, keys: &SizeKeys) -> Result<Size> {
        let hidden_size = self.need_positive(keys.hidden_size)?;
        let n_heads = self.need_positive(keys.n_heads)?;
        if !hidden_size.is_multiple_of(n_heads) {
            let problem = format!("is {hidden_size}, not a multiple of {n_heads} attention heads");
            return Err(self.error(keys.hidden_size, problem));
        }
        Ok(Size {
            vocab_size: self.need_positive("vocab_size")?,
            hidden_size,
            n_layers: self.need_positive(keys.n_layers)?,
            n_heads,
            intermediate_size: self.need_positive(keys.intermediate_size)?,
        })
    }

    pub(in crate::encoder) fn activation(&self, field: &str) -> Result<Activation> {
        match self.need::<String>(field)?.as_str() {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            "silu" | "swish" => Ok(Activation::Silu),
            other => Err(self.unsupported(field, other, "gelu, gelu_new, gelu_pytorch_tanh, relu, silu, swish")),
        }
    }

    pub(in crate::encoder) fn layer_norm_eps(&self, field: &str) -> Result<f64> {
        let eps: f64 = self.need(field)?;
        if eps.is_finite() && eps >= 0.0 { Ok(eps) } else { Err(self.error(field, "is not a number from 0 on")) }
    }

    /// The rows of a table of learned positions whose first `n_reserved` rows belong to no token.
    pub(in crate::encoder) fn n_positions(&self, field: &str, n_reserved: usize) -> Result<usize> {
        let n_positions = self.need_positive(field)?;
        if n_positions <= n_reserved {
            return Err(self.error(field, format!("is {n_positions}, which leaves no position free")));
        }
        Ok(n_positions)
    }

    /// The base of a rotation; `size` must give each head pairs of columns.
    pub(in crate::encoder) fn rotary(&self, field: &str, size: &Size) -> Result<Rotary> {
        let base: f64 = self.need(field)?;
        if !(base.is_finite() && base > 0.0) {
            return Err(self.error(field, "is not a positive number"));
        }
        let head_size = size.hidden_size / size.n_heads;
        if !head_size.is_multiple_of(2) {
            return Err(self.error(field, format!("rotates pairs of columns, but a head has {head_size}")));
        }
        Ok(Rotary { base, frequency_scale: 1.0 })
    }

    /// A rotation as transformers 5 writes it: `{"rope_type": "default", "rope_theta": 10000.0}`.
    pub(in crate::encoder) fn rope_parameters(&self, field: &str, size: &Size) -> Result<Rotary> {
        let parameters = self.object(field)?.ok_or_else(|| self.error(field, "is missing"))?;
        for key in parameters.fields.keys() {
            match key.as_str() {
                "rope_theta" => {}
                "rope_type" | "type" => parameters.only(key, "default")?,
                "partial_rotary_factor" => parameters.only(key, 1.0)?,
                _ => parameters.none(key)?,
            }
        }
        parameters.rotary("rope_theta", size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::arch::{Biases, IntermediateNames, LocalAttention, NormPlacement, Positions, QkvNames};
    use serde_json::{Value, json};
    use std::path::Path;

    fn config_of(name: &str) -> Object {
        Object::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name).join("config.json")).unwrap()
    }

    /// A tiny encoder's settings with others put over them.
    fn read_with(name: &str, changes: &Value) -> Result<Architecture> {
        let mut config = config_of(name);
        config.fields.extend(changes.as_object().unwrap().clone());
        read(&config)
    }

    fn rotary(base: f64) -> Rotary {
        Rotary { base, frequency_scale: 1.0 }
    }

    #[test]
    fn settings_become_descriptions() {
        let distilbert = read(&config_of("tiny-distilbert-mean")).unwrap();
        assert_eq!((distilbert.hidden_size, distilbert.n_layers, distilbert.n_heads), (32, 2, 4));
        assert_eq!((distilbert.intermediate_size, distilbert.layer_norm_eps, distilbert.max_tokens()), (64, 1e-12, 64));

        let mpnet = read(&config_of("tiny-mpnet-mean")).unwrap();
        assert_eq!(mpnet.positions, Positions::Learned { n_positions: 130, offset: 2 });
        assert_eq!((mpnet.max_tokens(), mpnet.layer_norm_eps), (128, 1e-5));

        let modernbert = read(&config_of("tiny-modernbert-mean")).unwrap();
        assert_eq!(modernbert.norm_placement, NormPlacement::Before);
        assert_eq!(modernbert.positions, Positions::Rotary { n_positions: 128, rotary: rotary(160_000.0) });
        let local = LocalAttention { global_every: 3, reach: 4, rotary: rotary(10_000.0) };
        assert_eq!(modernbert.local_attention, Some(local));
        assert_eq!([0, 1, 2, 3].map(|i| modernbert.reach(i)), [None, Some(4), Some(4), None]);
        let none = Biases { qkv: false, attention_output: false, intermediate: false, output: false, norms: false };
        assert_eq!(modernbert.biases, none);

        let nomic_bert = read(&config_of("tiny-nomic-bert-mean")).unwrap();
        assert_eq!((nomic_bert.hidden_size, nomic_bert.n_layers, nomic_bert.n_heads), (32, 2, 4));
        assert_eq!((nomic_bert.intermediate_size, nomic_bert.activation), (64, Activation::Silu));
        assert_eq!(nomic_bert.positions, Positions::Rotary { n_positions: 128, rotary: rotary(1000.0) });
        assert_eq!(nomic_bert.biases, Biases { norms: true, ..none });

        let gte = read(&config_of("tiny-gte-cls")).unwrap();
        let stretched = Rotary { base: 40_000.0, frequency_scale: 2f64.powf(-0.25) };
        assert_eq!(gte.positions, Positions::Rotary { n_positions: 128, rotary: stretched });
        assert_eq!(gte.biases, Biases { intermediate: false, ..Biases::ALL });
        assert!(matches!(gte.names.intermediate, IntermediateNames::UpGate(_)));
    }

    #[test]
    fn settings_that_are_there_are_followed() {
        let modernbert = |changes| read_with("tiny-modernbert-mean", &changes).unwrap();
        let all = json!({"norm_bias": true, "attention_bias": true, "mlp_bias": true, "hidden_activation": "relu"});
        assert_eq!((modernbert(all.clone()).biases, modernbert(all).activation), (Biases::ALL, Activation::Relu));
        assert_eq!(modernbert(json!({"global_attn_every_n_layers": 1})).reach(3), None);

        let nomic_bert = |changes| read_with("tiny-nomic-bert-mean", &changes).unwrap();
        let biases = json!({"qkv_proj_bias": true, "mlp_fc1_bias": true, "mlp_fc2_bias": true});
        assert_eq!(nomic_bert(biases).biases, Biases::ALL);
        assert_eq!(nomic_bert(json!({"activation_function": "geglu"})).activation, Activation::Gelu);
        assert_eq!(nomic_bert(json!({"type_vocab_size": 0})).names.token_type_embeddings, None);

        let gte = |changes| read_with("tiny-gte-cls", &changes).unwrap();
        assert_eq!(gte(json!({"type_vocab_size": 0})).names.token_type_embeddings, None);
        assert!(matches!(gte(json!({"pack_qkv": false})).names.qkv, QkvNames::Separate { .. }));
        let unstretched = gte(json!({"rope_scaling": null}));
        assert_eq!(unstretched.rotary(0), Some(rotary(20_000.0)));
    }

    /// As transformers 5.23 writes them.
    #[test]
    fn the_newer_form_says_the_same() {
        let mut config = config_of("tiny-modernbert-mean");
        for old in ["global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"] {
            config.fields.remove(old).unwrap();
        }
        let new = json!({
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
            "rope_parameters": {
                "full_attention": {"rope_theta": 160000.0, "rope_type": "default"},
                "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
            },
        });
        config.fields.extend(new.as_object().unwrap().clone());
        assert_eq!(read(&config).unwrap(), read(&config_of("tiny-modernbert-mean")).unwrap());

        let mut config = config_of("tiny-nomic-bert-mean");
        config.fields.clear();
        let new = json!({
            "head_dim": 8, "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 64, "layer_norm_eps": 1e-12,
            "max_position_embeddings": 128, "model_type": "nomic_bert", "num_attention_heads": 4, "num_hidden_layers": 2,
            "rope_parameters": {"rope_theta": 1000.0, "rope_type": "default"}, "type_vocab_size": 2, "vocab_size": 400,
        });
        config.fields.extend(new.as_object().unwrap().clone());
        assert_eq!(read(&config).unwrap(), read(&config_of("tiny-nomic-bert-mean")).unwrap());

        let new = json!({
            "model_type": "gte", "rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"},
            "rope_scaling": null, "rope_theta": null,
        });
        let old = read_with("tiny-gte-cls", &json!({"rope_scaling": null})).unwrap();
        let new = read_with("tiny-gte-cls", &new).unwrap();
        assert_eq!(new, Architecture { model_type: "gte".to_owned(), ..old });
    }

    #[test]
    fn what_changes_the_result_and_is_not_supported_is_named() {
        let every_other = json!(["full_attention", "sliding_attention", "full_attention", "sliding_attention"]);
        let local_first = json!(["sliding_attention", "full_attention", "full_attention", "full_attention"]);
        let yarn = json!({
            "full_attention": {"rope_theta": 160000.0, "rope_type": "yarn", "factor": 4.0},
            "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
        });
        let cases = [
            ("tiny-distilbert-mean", json!({"activation": "gelu_fast"}), "activation `gelu_fast`"),
            ("tiny-distilbert-mean", json!({"n_heads": 5}), "`dim` is 32, not a multiple of 5"),
            ("tiny-mpnet-mean", json!({"relative_attention_num_buckets": 64}), "relative_attention_num_buckets `64`"),
            ("tiny-mpnet-mean", json!({"max_position_embeddings": 2}), "no position free"),
            ("tiny-modernbert-mean", json!({"layer_types": every_other}), "layer_types `full_attention, sliding"),
            ("tiny-modernbert-mean", json!({"layer_types": local_first}), "layer_types `sliding_attention, full"),
            ("tiny-modernbert-mean", json!({"layer_types": ["full_attention"]}), "supported: 4 of them"),
            ("tiny-modernbert-mean", json!({"rope_parameters": yarn}), "rope_parameters.full_attention.rope_type"),
            ("tiny-modernbert-mean", json!({"rope_scaling": {"type": "linear"}}), "rope_scaling"),
            ("tiny-modernbert-mean", json!({"local_rope_theta": null}), "`local_rope_theta` is missing"),
            ("tiny-modernbert-mean", json!({"global_rope_theta": 0}), "`global_rope_theta` is not a positive number"),
            ("tiny-modernbert-mean", json!({"global_attn_every_n_layers": 0}), "`global_attn_every_n_layers` is 0"),
            ("tiny-modernbert-mean", json!({"num_attention_heads": 32}), "but a head has 1"),
            ("tiny-nomic-bert-mean", json!({"rotary_emb_fraction": 0.5}), "rotary_emb_fraction `0.5`"),
            ("tiny-nomic-bert-mean", json!({"rotary_emb_fraction": null}), "`rotary_emb_fraction` is missing"),
            ("tiny-nomic-bert-mean", json!({"rotary_emb_interleaved": true}), "rotary_emb_interleaved"),
            ("tiny-nomic-bert-mean", json!({"rotary_emb_scale_base": 512}), "rotary_emb_scale_base"),
            ("tiny-nomic-bert-mean", json!({"rotary_scaling_factor": 2}), "rotary_scaling_factor"),
            ("tiny-nomic-bert-mean", json!({"prenorm": true}), "prenorm"),
            ("tiny-nomic-bert-mean", json!({"use_rms_norm": true}), "use_rms_norm"),
            ("tiny-nomic-bert-mean", json!({"parallel_block": true}), "parallel_block"),
            ("tiny-nomic-bert-mean", json!({"causal": true}), "causal"),
            ("tiny-nomic-bert-mean", json!({"scale_attn_weights": false}), "scale_attn_weights"),
            ("tiny-nomic-bert-mean", json!({"moe_every_n_layers": 2}), "moe_every_n_layers `2`"),
            ("tiny-nomic-bert-mean", json!({"activation_function": "glu"}), "activation_function `glu`"),
            ("tiny-nomic-bert-mean", json!({"n_inner": null}), "`n_inner` is missing"),
            ("tiny-nomic-bert-mean", json!({"qkv_proj_bias": null}), "`qkv_proj_bias` is missing"),
            (
                "tiny-gte-cls",
                json!({"rope_scaling": {"type": "linear", "factor": 2}}),
                "rope_scaling.type `\"linear\"`",
            ),
            ("tiny-gte-cls", json!({"rope_scaling": {"type": "ntk"}}), "`rope_scaling.factor` is missing"),
            ("tiny-gte-cls", json!({"rope_scaling": {"type": "ntk", "factor": 0.5}}), "`rope_scaling.factor` is not"),
            (
                "tiny-gte-cls",
                json!({"rope_scaling": {"type": "ntk", "factor": 2, "mixed_b": 0.6}}),
                "rope_scaling.mixed_b",
            ),
            ("tiny-gte-cls", json!({"position_embedding_type": "absolute"}), "position_embedding_type"),
            ("tiny-gte-cls", json!({"layer_norm_type": "rms_norm"}), "layer_norm_type"),
            ("tiny-gte-cls", json!({"logn_attention_scale": true}), "logn_attention_scale"),
            ("tiny-gte-cls", json!({"type_vocab_size": null}), "`type_vocab_size` is missing"),
            ("tiny-gte-cls", json!({"is_decoder": true}), "is_decoder"),
        ];
        for (name, changes, expected) in cases {
            let message = read_with(name, &changes).expect_err(expected).to_string();
            assert!(message.contains(expected) && message.contains("config.json"), "{message}\nlacks: {expected}");
        }
    }
}
