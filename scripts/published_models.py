"""Lets transformers load two networks from the config.json that their encoders were published with.

nomic-embed-text and gte-*-v1.5 came with code of their own, whose settings transformers does not read, although it has both networks
(NomicBertModel, GteModel) and knows the published names of the weights. Importing this file registers what translates the settings. The
networks are those of transformers; only the frequencies of stretched positions (`rope_scaling` of type `ntk`), which transformers cannot
express, are computed here, as the published code does: https://kexue.fm/archives/9706, equation 6.
"""

import torch
from transformers import AutoConfig, AutoModel, GteConfig, GteModel, NomicBertConfig, NomicBertModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.models.gte.modeling_gte import GteRotaryEmbedding

NOMIC_NAMES = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "n_positions": "max_position_embeddings",
    "layer_norm_epsilon": "layer_norm_eps",
}


class PublishedNomicBertConfig(NomicBertConfig):
    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        translated = {NOMIC_NAMES.get(name, name): value for name, value in config_dict.items()}
        translated["hidden_act"] = {"swiglu": "silu", "geglu": "gelu"}[translated.pop("activation_function")]
        translated["rope_parameters"] = {"rope_type": "default", "rope_theta": translated.pop("rotary_emb_base")}
        return super().from_dict(translated, **kwargs)


class PublishedNomicBertModel(NomicBertModel):
    config: PublishedNomicBertConfig
    config_class = PublishedNomicBertConfig


class PublishedGteConfig(GteConfig):
    model_type = "new"

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        translated = dict(config_dict)
        scaling = translated.pop("rope_scaling", None)
        translated["rope_parameters"] = {"rope_type": "default", "rope_theta": translated.pop("rope_theta")}
        translated["stretch"] = scaling["factor"] if scaling else 1.0
        return super().from_dict(translated, **kwargs)


class StretchedRotaryEmbedding(GteRotaryEmbedding):
    @staticmethod
    def compute_default_rope_parameters(config, **kwargs):
        dim = config.hidden_size // config.num_attention_heads
        base = config.rope_parameters["rope_theta"] * config.stretch
        frequencies = 1.0 / (base ** (torch.arange(0, dim, 2).float() / dim))
        return frequencies / config.stretch ** (2 / dim), 1.0


class PublishedGteModel(GteModel):
    config: PublishedGteConfig
    config_class = PublishedGteConfig

    def __init__(self, config):
        super().__init__(config)
        self.rotary_emb = StretchedRotaryEmbedding(config)


# For classes of another module than its own, transformers asks for the names to be registered again.
register_checkpoint_conversion_mapping("new", get_checkpoint_conversion_mapping("gte"))
register_checkpoint_conversion_mapping("nomic_bert", get_checkpoint_conversion_mapping("nomic_bert"), overwrite=True)
AutoConfig.register("new", PublishedGteConfig)
AutoModel.register(PublishedGteConfig, PublishedGteModel)
AutoConfig.register("nomic_bert", PublishedNomicBertConfig, exist_ok=True)
AutoModel.register(PublishedNomicBertConfig, PublishedNomicBertModel)
