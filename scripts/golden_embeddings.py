"""Reference embeddings and token ids from sentence-transformers, for tests/parity.rs.

    python -m venv env && env/bin/pip install -r scripts/requirements-golden.txt
    env/bin/python scripts/golden_texts.py
    env/bin/python scripts/make_tiny_encoders.py
    env/bin/python scripts/golden_embeddings.py

Writes to tests/golden, for each encoder: NAME.npy with f32 embeddings `[n_rows, hidden_size]`, computed in f32 one text at
a time (nothing is padded), and NAME.ids.json with `[n_tokens, checksum]` per row. The real encoder must lie in
models/all-MiniLM-L6-v2; the tiny ones see every tenth text and all literal ones.
"""

import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
import published_models  # noqa: F401, it registers
from golden_texts import ROOT, articles, expand
from sentence_transformers import SentenceTransformer

REAL = "all-MiniLM-L6-v2"


def checksum(ids: list[int]) -> int:
    """Changes with any id and with their order; below 2**31, so every language can hold it."""
    value = 0
    for token_id in ids:
        value = (value * 31 + token_id + 1) % 2147483647
    return value


def embed(folder: Path, texts: list[str]) -> None:
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": "float32"})
    prompt = model.prompts.get(model.default_prompt_name, "") if model.default_prompt_name else ""
    ids = [model.tokenizer(prompt + text, truncation=True)["input_ids"] for text in texts]
    embeddings = np.concatenate([model.encode([text]) for text in texts]).astype(np.float32)
    name = folder.name
    np.save(ROOT / f"tests/golden/{name}.npy", embeddings)
    rows = ",\n".join(json.dumps([len(row), checksum(row)]) for row in ids)
    (ROOT / f"tests/golden/{name}.ids.json").write_text(f"[\n{rows}\n]\n")
    print(f"{name}: {embeddings.shape}, longest {max(map(len, ids))} tokens")


def main() -> None:
    torch.manual_seed(0)
    recipes = json.loads((ROOT / "tests/golden/texts.json").read_text(encoding="utf-8"))
    all_articles = articles()
    texts = [expand(recipe, all_articles) for recipe in recipes]
    few = [text for i, (text, recipe) in enumerate(zip(texts, recipes)) if "text" in recipe or i % 10 == 0]
    only = sys.argv[1:]
    for folder in sorted((ROOT / "models").glob("tiny-*")):
        if not only or folder.name in only:
            embed(folder, few)
    if not only or REAL in only:
        embed(ROOT / "models" / REAL, texts)


if __name__ == "__main__":
    main()
