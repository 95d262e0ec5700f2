#!/usr/bin/env python3
"""How near the embeddings of each precision come to those of sentence-transformers in f32: ours, and for context the peers'.

    scripts/compare_encoders.sh --setup
    ~/.cache/topicwire-peers/bin/python scripts/compare_fidelity.py DATA [OUT]

DATA as for scripts/compare_encoders.sh: 500 short and 500 long articles are taken, spread evenly over their files. Prints cosine
similarity to the reference, mean and worst, and for how many articles the nearest other one is the same; writes the same numbers to
OUT (default: compare-encoders) as fidelity.json. Where the program lies elsewhere or some contenders are enough: --help.
"""
import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
from compare_encoders.contenders import CONTENDERS, Contender, ContenderError, Places, Worker, add_arguments, chosen, places
from compare_encoders.corpora import thin

REFERENCE = "st-f32"
CORPORA = ["short", "long"]


def embeddings(contender: Contender, where: Places, files: dict[str, int], max_tokens: int, out: Path) -> list[np.ndarray]:
    """Unit vectors `[n_docs, hidden_size]` of each file."""
    cores = os.sched_getaffinity(0)
    worker = Worker(contender, where, len(cores), cores, out / "contenders.log")
    raw = out / "embeddings.f32"
    found = []
    for file, n_docs in files.items():
        worker.ask("emb", file, max_tokens, n_docs, raw)
        rows = np.fromfile(raw, "<f4").reshape(n_docs, -1).astype(np.float64)
        found.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    raw.unlink()
    worker.stop()
    return found


def nearest(rows: np.ndarray) -> np.ndarray:
    """The article most like each one, itself aside."""
    similarity = rows @ rows.T
    np.fill_diagonal(similarity, -1)
    return similarity.argmax(1)


def fidelity(rows: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    cosine = (rows * reference).sum(1)
    same = (nearest(rows) == nearest(reference)).mean()
    return {"n_docs": len(rows), "cosine_mean": cosine.mean(), "cosine_worst": cosine.min(), "same_nearest": same}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("compare-encoders"))
    parser.add_argument("--docs", type=int, default=500, help="articles of each corpus")
    parser.add_argument("--max-tokens", type=int, default=256)
    add_arguments(parser)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    files = {}
    for corpus in CORPORA:
        file = args.out / f"fidelity-{corpus}.jsonl"
        files[str(file)] = thin(args.data / f"{corpus}.jsonl", args.docs, file)
    reference = next(contender for contender in CONTENDERS if contender.name == REFERENCE)
    expected = embeddings(reference, places(args), files, args.max_tokens, args.out)
    columns = [name for corpus in [*CORPORA, "both"] for name in [f"{corpus}: mean", "worst", "same nearest"]]
    print(f"| precision | contender | {' | '.join(columns)} |")
    print("|---|---" + "|---:" * len(columns) + "|", flush=True)
    results = {}
    for contender in chosen(args):
        if contender.name == REFERENCE:
            continue
        try:
            found = embeddings(contender, places(args), files, args.max_tokens, args.out)
        except ContenderError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        groups = [*zip(found, expected), (np.concatenate(found), np.concatenate(expected))]
        parts = [fidelity(*group) for group in groups]
        results[contender.name] = dict(zip([*CORPORA, "both"], parts))
        cells = []
        for part in parts:
            cells += [f"{part['cosine_mean']:.6f}", f"{part['cosine_worst']:.6f}", f"{100 * part['same_nearest']:.1f} %"]
        label = f"**{contender.label}**" if contender.ours else contender.label
        print(f"| {contender.precision} | {label} | {' | '.join(cells)} |", flush=True)
    path = args.out / "fidelity.json"
    path.write_text(json.dumps({"max_tokens": args.max_tokens, "contenders": results}, indent=1) + "\n", encoding="utf-8")


main()
