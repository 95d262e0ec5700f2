"""Makes models/tiny-*: encoders with random weights in the published format, small enough to be committed.

Each covers ground that the default encoder does not: see ENCODERS below. Run from anywhere, with the versions of
scripts/requirements-golden.txt; then run golden_embeddings.py, since the weights are new.
"""

import json
import os
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from golden_texts import ROOT, articles
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE, Unigram, WordPiece
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
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
        if name.endswith("LayerNorm.weight"):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
        elif name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)


def save(name: str, model, tokenizer, max_seq_length: int | None, tail, prompts=None, default=None, dtype=None) -> Path:
    folder = ROOT / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    randomize(model)
    raw = folder / "raw"
    if dtype is not None:
        model = model.to(dtype)
    model.save_pretrained(raw)
    if max_seq_length is not None:
        tokenizer.model_max_length = max_seq_length
    tokenizer.save_pretrained(raw)
    transformer = Transformer(str(raw), max_seq_length=max_seq_length, model_kwargs={"dtype": dtype or torch.float32})
    whole = SentenceTransformer(modules=[transformer, *tail(transformer)], prompts=prompts, default_prompt_name=default)
    whole.save(str(folder), create_model_card=False)
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


ENCODERS = [bert_cls_dense, xlm_roberta_mean, roberta_shards, bert_max_f16, bert_last_bf16]

if __name__ == "__main__":
    for make in ENCODERS:
        torch.manual_seed(ENCODERS.index(make))
        make()
        print(make.__name__)
