#!/usr/bin/env python3
"""One peer in one process, with the line protocol of examples/encode_worker.rs.

    worker.py PEER THREADS ENCODER_FOLDER EXPORTS_FOLDER [--cold TEXT]

First prints {"load_s": …}, then answers `run PATH MAX_TOKENS` and `emb PATH MAX_TOKENS N OUT`, one JSON object a line. With
`--cold` it embeds that one text and ends. Imports count as loading, so each is made where it is needed.
"""
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

START = time.perf_counter()
PEER, N_THREADS, ENCODER, EXPORTS = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"]:
    os.environ[name] = str(N_THREADS)
os.environ["TOKENIZERS_PARALLELISM"] = "true" if N_THREADS > 1 else "false"
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1")

import numpy as np

BATCH_SIZE = 32
COLD_MAX_TOKENS = 256


def plain_tokenizer():
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(ENCODER / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer


class SentenceTransformers:
    def __init__(self, dtype: str) -> None:
        import torch

        torch.set_num_threads(N_THREADS)
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(ENCODER), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})

    def embed(self, texts: list[str], max_tokens: int) -> np.ndarray:
        self.model.max_seq_length = max_tokens
        settings = {"batch_size": BATCH_SIZE, "normalize_embeddings": True, "show_progress_bar": False}
        # A tensor, since NumPy has no bf16.
        return self.model.encode(texts, convert_to_tensor=True, **settings).float().numpy()


class Batched:
    """What the runtimes share: texts to padded batches of about the same length, the longest first."""

    def __init__(self) -> None:
        self.tokenizer = plain_tokenizer()

    def infer(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        raise NotImplementedError

    def embed(self, texts: list[str], max_tokens: int) -> np.ndarray:
        embeddings = [None] * len(texts)
        for places, inputs in self.batches(texts, max_tokens):
            for place, row in zip(places, self.infer(inputs)):
                embeddings[place] = row
        return np.stack(embeddings)

    def batches(self, texts: list[str], max_tokens: int) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        self.tokenizer.enable_truncation(max_tokens)
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        for start in range(0, len(order), BATCH_SIZE):
            places = order[start : start + BATCH_SIZE]
            shape = len(places), len(ids[places[0]])
            input_ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
            for row, place in enumerate(places):
                input_ids[row, : len(ids[place])] = ids[place]
                mask[row, : len(ids[place])] = 1
            yield places, {"input_ids": input_ids, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}


class OnnxRuntime(Batched):
    def __init__(self, file: str) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = N_THREADS
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(EXPORTS / file), options, providers=["CPUExecutionProvider"])

    def infer(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return self.session.run(None, inputs)[0]


class OpenVino(Batched):
    def __init__(self, file: str, precision: str) -> None:
        super().__init__()
        import openvino

        settings = {
            "INFERENCE_NUM_THREADS": N_THREADS,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
        }
        self.request = openvino.Core().compile_model(str(EXPORTS / file), "CPU", settings).create_infer_request()

    def infer(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        return self.request.infer(inputs)[0]


class FastEmbed:
    def __init__(self) -> None:
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        TextEmbedding.add_custom_model(
            model="local",
            pooling=PoolingType.MEAN,
            normalization=True,
            sources=ModelSource(hf="local"),
            dim=json.loads((ENCODER / "config.json").read_text())["hidden_size"],
            model_file="model.onnx",
        )
        settings = {"threads": N_THREADS, "providers": ["CPUExecutionProvider"]}
        self.model = TextEmbedding("local", specific_model_path=str(EXPORTS / "fastembed"), **settings)

    def embed(self, texts: list[str], max_tokens: int) -> np.ndarray:
        self.model.model.tokenizer.enable_truncation(max_tokens)
        return np.asarray(list(self.model.embed(texts, batch_size=BATCH_SIZE)), np.float32)


PEERS = {
    "st-f32": lambda: SentenceTransformers("float32"),
    "st-bf16": lambda: SentenceTransformers("bfloat16"),
    "ort-f32": lambda: OnnxRuntime("model.onnx"),
    "ort-int8": lambda: OnnxRuntime("ort-int8.onnx"),
    "ov-f32": lambda: OpenVino("model.onnx", "f32"),
    "ov-bf16": lambda: OpenVino("model.onnx", "bf16"),
    "ov-int8": lambda: OpenVino("ov-int8.xml", "f32"),
    "ov-int8-bf16": lambda: OpenVino("ov-int8.xml", "bf16"),
    "fastembed": FastEmbed,
}


def texts_of(path: str) -> list[str]:
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def n_tokens(texts: list[str], max_tokens: int) -> int:
    tokenizer = plain_tokenizer()
    tokenizer.enable_truncation(max_tokens)
    return sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts))


def peak_kb() -> int:
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError("the kernel shows no VmHWM")


def answer(peer, request: list[str]) -> dict:
    kind, path, max_tokens = request[0], request[1], int(request[2])
    texts = texts_of(path)
    if kind == "emb":
        n, out = int(request[3]), request[4]
        peer.embed(texts[:n], max_tokens).astype("<f4").tofile(out)
        return {"n_docs": min(n, len(texts))}
    Path("/proc/self/clear_refs").write_text("5")  # lets the peak start anew
    start = time.perf_counter()
    embeddings = peer.embed(texts, max_tokens)
    seconds = time.perf_counter() - start
    peak = peak_kb()
    return {"seconds": seconds, "n_docs": len(embeddings), "n_tokens": n_tokens(texts, max_tokens), "peak_kb": peak}


def main() -> None:
    peer = PEERS[PEER]()
    if sys.argv[5:6] == ["--cold"]:
        print(peer.embed([sys.argv[6]], COLD_MAX_TOKENS)[0, 0])
        return
    print(json.dumps({"load_s": time.perf_counter() - START}), flush=True)
    for line in sys.stdin:
        try:
            result = answer(peer, line.split())
        except Exception as error:  # the driver shows it and goes on with the other contenders
            result = {"error": repr(error)}
        print(json.dumps(result), flush=True)


main()
