"""Makes models/tiny-*: encoders with random weights in the published format, small enough to be committed.

Each covers ground that the default encoder does not: see ENCODERS below. Run from anywhere, with the versions of
scripts/requirements-golden.txt and the names of the encoders to make, or none for all; then run golden_embeddings.py with the names of
their folders, since the weights are new.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from golden_texts import ROOT, articles
from published_models import PublishedGteConfig, PublishedGteModel, PublishedNomicBertConfig, PublishedNomicBertModel
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram, WordPiece
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, ModernBertConfig, ModernBertModel
from transformers import MPNetConfig, MPNetModel, PreTrainedTokenizerFast
from transformers import RobertaConfig, RobertaModel, XLMRobertaConfig, XLMRobertaModel

VOCAB_SIZE = 400
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, initializer_range=0.25)
BERT_SPECIALS = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
ROBERTA_SPECIALS = dict(
    bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>", cls_token="<s>", sep_token="</s>"
)


def frame(tokenizer: Tokenizer, before: str, after: str) -> None:
    specials = [(token, tokenizer.token_to_id(token)) for token in (before, after)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{before} $A {after}", pair=f"{before} $A {after} $B:1 {after}:1", special_tokens=specials
    )


def wordpiece() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=VOCAB_SIZE, special_tokens=list(BERT_SPECIALS.values()))
    tokenizer.train_from_iterator(articles(), trainer)
    frame(tokenizer, "[CLS]", "[SEP]")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **BERT_SPECIALS)


def unigram() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=VOCAB_SIZE, special_tokens=specials, unk_token="<unk>")
    tokenizer.train_from_iterator(articles(), trainer)
    frame(tokenizer, "<s>", "</s>")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ROBERTA_SPECIALS)


def byte_level() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(articles(), trainer)
    ends = {token: (token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")}
    tokenizer.post_processor = processors.RobertaProcessing(ends["</s>"], ends["<s>"], add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ROBERTA_SPECIALS)


def randomize(model: torch.nn.Module) -> None:
    """Layer norms and biases start at 1 and 0; random ones show whether they are used."""
    for name, parameter in model.named_parameters():
        if re.search("norm.weight$", name, re.IGNORECASE):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
        elif name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)


def save(
    name: str, model, tokenizer, max_seq_length: int | None, tail, prompts=None, default=None, dtype=None, published=None
) -> Path:
    """`published` are the settings in the form that such encoders are published with, where transformers writes another."""
    folder = ROOT / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    randomize(model)
    raw = folder / "raw"
    if dtype is not None:
        model = model.to(dtype)
    model.save_pretrained(raw)
    if published is not None:
        edit(raw / "config.json", lambda _: published)
    if max_seq_length is not None:
        tokenizer.model_max_length = max_seq_length
    tokenizer.save_pretrained(raw)
    transformer = Transformer(str(raw), max_seq_length=max_seq_length, model_kwargs={"dtype": dtype or torch.float32})
    whole = SentenceTransformer(modules=[transformer, *tail(transformer)], prompts=prompts, default_prompt_name=default)
    whole.save(str(folder), create_model_card=False)
    if published is not None:
        edit(folder / "config.json", lambda _: published)
    shutil.rmtree(raw)
    return folder


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    content = change(content) or content
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def bert_cls_dense() -> None:
    """[CLS] pooling, dense layer, normalisation, prompts; written in the form of sentence-transformers 2 to 4."""
    model = BertModel(BertConfig(vocab_size=VOCAB_SIZE, max_position_embeddings=64, hidden_act="gelu", **SMALL))
    folder = save(
        "tiny-bert-cls-dense",
        model,
        wordpiece(),
        48,
        lambda t: [Pooling(32, "cls"), Dense(32, 24), Normalize()],
        prompts={"query": "query: ", "passage": "passage: "},
        default="passage",
    )

    def old_types(modules):
        for module in modules:
            module["type"] = "sentence_transformers.models." + module["type"].rsplit(".", 1)[1]

    edit(folder / "modules.json", old_types)
    (folder / "1_Pooling/config.json").write_text(
        json.dumps(
            {
                "word_embedding_dimension": 32,
                "pooling_mode_cls_token": True,
                "pooling_mode_mean_tokens": False,
                "pooling_mode_max_tokens": False,
                "pooling_mode_mean_sqrt_len_tokens": False,
            },
            indent=1,
        )
        + "\n"
    )
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48, "do_lower_case": true}\n')

    # Settings that a tokenizer carries along from its training and that must not rule.
    def stale_settings(tokenizer):
        tokenizer["truncation"] = {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0}
        tokenizer["padding"] = {
            "strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
        }  # fmt: skip

    edit(folder / "tokenizer.json", stale_settings)


def xlm_roberta_mean() -> None:
    """XLM-RoBERTa, mean pooling, no normalisation; in the form of the installed sentence-transformers."""
    config = XLMRobertaConfig(
        vocab_size=VOCAB_SIZE, max_position_embeddings=66, type_vocab_size=1, pad_token_id=1, bos_token_id=0, eos_token_id=2, **SMALL
    )
    save("tiny-xlm-roberta-mean", XLMRobertaModel(config), unigram(), 64, lambda t: [Pooling(32, "mean")])


def roberta_shards() -> None:
    """RoBERTa with a byte-level vocabulary, the sum over √n and [CLS] side by side, weights in two files with a prefix."""
    config = RobertaConfig(
        vocab_size=VOCAB_SIZE, max_position_embeddings=42, type_vocab_size=1, pad_token_id=1, hidden_act="gelu_new", **SMALL
    )
    folder = save(
        "tiny-roberta-shards",
        RobertaModel(config),
        byte_level(),
        40,
        lambda t: [Pooling(32, ("cls", "mean_sqrt_len_tokens")), Normalize()],
    )
    path = folder / "model.safetensors"
    tensors = {f"roberta.{name}": tensor for name, tensor in load_file(path).items()}
    names = sorted(tensors)
    shards = {
        "model-00001-of-00002.safetensors": names[: len(names) // 2],
        "model-00002-of-00002.safetensors": names[len(names) // 2 :],
    }
    for file, own in shards.items():
        save_file({name: tensors[name] for name in own}, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, own in shards.items() for name in own}
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    path.unlink()


def bert_max_f16() -> None:
    """Maximum pooling, ReLU, weights in half precision."""
    config = BertConfig(vocab_size=VOCAB_SIZE, max_position_embeddings=64, hidden_act="relu", layer_norm_eps=1e-6, **SMALL)
    save("tiny-bert-max-f16", BertModel(config), wordpiece(), 64, lambda t: [Pooling(32, "max")], dtype=torch.float16)


def bert_last_bf16() -> None:
    """Last-token pooling, tanh GELU, an identity dense layer without bias, weights in bfloat16."""
    config = BertConfig(vocab_size=VOCAB_SIZE, max_position_embeddings=64, hidden_act="gelu_pytorch_tanh", **SMALL)
    save(
        "tiny-bert-last-bf16",
        BertModel(config),
        wordpiece(),
        None,
        lambda t: [
            Pooling(32, "lasttoken"),
            Dense(32, 16, bias=False, activation_function=torch.nn.Identity()),
            Normalize(),
        ],
        dtype=torch.bfloat16,
    )


def distilbert_mean() -> None:
    """DistilBERT, mean pooling, no normalisation."""
    config = DistilBertConfig(
        vocab_size=VOCAB_SIZE, max_position_embeddings=64, dim=32, n_layers=2, n_heads=4, hidden_dim=64, initializer_range=0.25
    )
    save("tiny-distilbert-mean", DistilBertModel(config), wordpiece(), 64, lambda t: [Pooling(32, "mean")])


def mpnet_mean() -> None:
    """MPNet, whose windows are long enough for most buckets of distances."""
    config = MPNetConfig(vocab_size=VOCAB_SIZE, max_position_embeddings=130, layer_norm_eps=1e-5, **SMALL)
    model = MPNetModel(config)
    torch.nn.init.normal_(model.encoder.relative_attention_bias.weight, std=2.0)
    save("tiny-mpnet-mean", model, byte_level(), 128, lambda t: [Pooling(32, "mean"), Normalize()])


def modernbert_mean() -> None:
    """ModernBERT, two local layers between two global ones; windows are much longer than a local layer reaches. Settings in the form of
    the encoders published in 2024, names with a prefix, as the language model saves them."""
    config = ModernBertConfig(
        vocab_size=VOCAB_SIZE,
        max_position_embeddings=128,
        local_attention=8,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        cls_token_id=0,
        sep_token_id=2,
        **{**SMALL, "num_hidden_layers": 4},
    )
    published = config.to_diff_dict() | {
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0,
        "local_rope_theta": 10000.0,
        "position_embedding_type": "absolute",
    }
    del published["layer_types"], published["rope_parameters"]
    folder = save(
        "tiny-modernbert-mean",
        ModernBertModel(config),
        byte_level(),
        96,
        lambda t: [Pooling(32, "mean"), Normalize()],
        published=published,
    )
    path = folder / "model.safetensors"
    tensors = {f"model.{name}": tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def nomic_bert_mean() -> None:
    """NomicBERT with the settings of the published encoders."""
    published = {
        "activation_function": "swiglu",
        "architectures": ["NomicBertModel"],
        "causal": False,
        "layer_norm_epsilon": 1e-12,
        "max_trained_positions": 2048,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "model_type": "nomic_bert",
        "n_embd": 32,
        "n_head": 4,
        "n_inner": 64,
        "n_layer": 2,
        "n_positions": 128,
        "pad_token_id": 0,
        "pad_vocab_size_multiple": 16,
        "parallel_block": False,
        "parallel_block_tied_norm": False,
        "prenorm": False,
        "qkv_proj_bias": False,
        "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "rotary_scaling_factor": None,
        "scale_attn_by_inverse_layer_idx": False,
        "scale_attn_weights": True,
        "type_vocab_size": 2,
        "use_rms_norm": False,
        "vocab_size": VOCAB_SIZE,
    }
    model = PublishedNomicBertModel(PublishedNomicBertConfig.from_dict(published | {"initializer_range": 0.25}))
    save("tiny-nomic-bert-mean", model, wordpiece(), 96, lambda t: [Pooling(32, "mean"), Normalize()], published=published)


def gte_cls() -> None:
    """GTE v1.5 with the settings of the published encoders, positions stretched twice, one token type as in the multilingual one."""
    published = {
        "architectures": ["NewModel"],
        "hidden_act": "gelu",
        "hidden_size": 32,
        "intermediate_size": 64,
        "layer_norm_eps": 1e-12,
        "layer_norm_type": "layer_norm",
        "logn_attention_clip1": False,
        "logn_attention_scale": False,
        "max_position_embeddings": 128,
        "model_type": "new",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "pack_qkv": True,
        "pad_token_id": 1,
        "position_embedding_type": "rope",
        "rope_scaling": {"factor": 2.0, "type": "ntk"},
        "rope_theta": 20000,
        "type_vocab_size": 1,
        "unpad_inputs": False,
        "use_memory_efficient_attention": False,
        "vocab_size": VOCAB_SIZE,
    }
    model = PublishedGteModel(PublishedGteConfig.from_dict(published | {"initializer_range": 0.25}))
    save("tiny-gte-cls", model, unigram(), 80, lambda t: [Pooling(32, "cls"), Normalize()], published=published)


ENCODERS = [
    bert_cls_dense,
    xlm_roberta_mean,
    roberta_shards,
    bert_max_f16,
    bert_last_bf16,
    distilbert_mean,
    mpnet_mean,
    modernbert_mean,
    nomic_bert_mean,
    gte_cls,
]

if __name__ == "__main__":
    for seed, make in enumerate(ENCODERS):
        if len(sys.argv) > 1 and make.__name__ not in sys.argv:
            continue
        torch.manual_seed(seed)
        make()
        print(make.__name__)
