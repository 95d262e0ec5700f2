"""Reference embeddings by word vectors alone, for src/encoder/static_words.rs.

    python -m venv env && env/bin/pip install -r scripts/requirements-golden.txt
    env/bin/python scripts/golden_static.py

Writes tests/golden/static.json: for some tiny encoders the embedding of every text, computed in f64.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
ENCODERS = ["tiny-bert-cls-dense", "tiny-bert-last-bf16", "tiny-bert-max-f16", "tiny-roberta-shards", "tiny-xlm-roberta-mean"]
TEXTS = ["The minister flew to Geneva on Monday.", "Grain, grain and more grain!", "On Monday to Geneva the minister flew.", "日本の外務大臣 a", ""]
HALF_WEIGHT_COUNT = 0.05


def table(folder: Path) -> np.ndarray:
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            if name.endswith("embeddings.word_embeddings.weight"):
                return tensor.double().numpy()
    raise ValueError(f"{folder} has no word embeddings")


def shares(tokenizer: Tokenizer, n: int) -> np.ndarray:
    special = {id for id, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    special |= set(tokenizer.encode("").ids)
    shares = np.full(n, np.nan)
    longer = []
    for id in range(n):
        token = tokenizer.id_to_token(id)
        is_placeholder = token is not None and len(token) > 2 and token[0] + token[-1] in ("[]", "<>")
        if token is None or id in special or is_placeholder:
            continue
        shares[id] = 1 / (1 + len(longer))
        if len(token.removeprefix("##").lstrip("Ġ▁")) > 1:
            longer.append(id)
    return shares / shares[longer].sum()


def main() -> None:
    golden = {"texts": TEXTS, "encoders": {}}
    for name in ENCODERS:
        folder = ROOT / "models" / name
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        rows = table(folder)
        share = shares(tokenizer, len(rows))
        embeddings = []
        for text in TEXTS:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            ids = [id for id in ids if not np.isnan(share[id])]
            weight = HALF_WEIGHT_COUNT / (HALF_WEIGHT_COUNT + len(ids) * share[ids])
            total = (weight[:, None] * rows[ids]).sum(axis=0) if ids else np.zeros(rows.shape[1])
            embeddings.append((total / max(np.linalg.norm(total), 1e-12)).astype(np.float32).tolist())
        golden["encoders"][name] = embeddings
    (ROOT / "tests" / "golden" / "static.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
