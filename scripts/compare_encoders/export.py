#!/usr/bin/env python3
"""Exports an encoder for ONNX Runtime and OpenVINO, in f32 and int8; see scripts/compare_encoders.sh.

    python scripts/compare_encoders/export.py ENCODER_FOLDER OUT_FOLDER

Writes model.onnx (mean pooling and normalisation in the graph), ort-int8.onnx (dynamic, weights per channel), ov-int8.xml
(post-training quantisation for transformers) and fastembed/ (the hidden states alone, with the tokenizer beside, as fastembed wants
it). All from the same weights. OpenVINO's int8 needs texts to find the ranges of activations: articles of data/diplomacy, which are
in neither corpus that is measured, half of them cut to the length of a headline and a sentence.
"""
import json
import os
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import nncf
import numpy as np
import onnx
import openvino as ov
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer
from transformers import AutoModel

ROOT = Path(__file__).resolve().parents[2]
OPSET = 17
N_CALIBRATION_TEXTS = 300
N_SHORT_WORDS = 40
MAX_TOKENS = 256


class Embedding(torch.nn.Module):
    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids, attention_mask, token_type_ids):
        hidden = self.transformer(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)[0]
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


class HiddenStates(Embedding):
    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.transformer(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)[0]


def export_onnx(module: torch.nn.Module, path: Path, output: str) -> None:
    ids = torch.randint(1000, 2000, (2, 16))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    axes = {0: "batch", 1: "sequence"}
    with torch.no_grad():
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            dynamo=False,  # the graph that it makes is the one that both runtimes know how to fuse
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={**{name: axes for name in inputs}, output: axes if output == "last_hidden_state" else {0: "batch"}},
        )


def calibration_inputs(encoder: Path) -> list[dict[str, np.ndarray]]:
    tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    with open(ROOT / "data/diplomacy/train.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines][:N_CALIBRATION_TEXTS]
    inputs = []
    for i, row in enumerate(rows):
        text = f"{row['title']} {row['text']}"
        if i % 2:
            text = " ".join(text.split()[:N_SHORT_WORDS])
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        inputs.append({"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)})
    return inputs


def main() -> None:
    encoder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    transformer = AutoModel.from_pretrained(encoder, attn_implementation="eager")
    export_onnx(Embedding(transformer), out / "model.onnx", "embedding")
    quantize_dynamic(
        out / "model.onnx",
        out / "ort-int8.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    model = ov.Core().read_model(out / "model.onnx")
    inputs = calibration_inputs(encoder)
    quantized = nncf.quantize(
        model, nncf.Dataset(inputs), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(inputs)
    )
    ov.save_model(quantized, out / "ov-int8.xml")
    fastembed = out / "fastembed"
    fastembed.mkdir(exist_ok=True)
    export_onnx(HiddenStates(transformer), fastembed / "model.onnx", "last_hidden_state")
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]:
        shutil.copy(encoder / name, fastembed / name)


main()
