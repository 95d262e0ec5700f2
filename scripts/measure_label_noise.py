#!/usr/bin/env python3
"""How well flags of wrong labels find labels that were made wrong, beside cleanlab on the same probabilities.

    python -m venv env && env/bin/pip install cleanlab==2.9.0 numpy==2.4.6 scikit-learn==1.9.1
    cargo build --release --example label_noise
    for set in agnews banking77 reuters21578-90; do
      topicwire embed DATA/$set/train.jsonl -o OUT/$set-train.npy --precision int8
    done
    env/bin/python scripts/measure_label_noise.py target/release/examples/label_noise DATA OUT [--sets agnews,banking77,reuters21578-90]

DATA/SET/train.jsonl has `labels`; OUT/SET-train.npy are the embeddings of these articles, in order. Noise, seeds fixed:

* random 5 %, random 10 %: so many articles get a wrong label, each other label as likely
* confusable 10 %: the label that out-of-fold predictions on the clean data give most often in place of the true one, always the same

With several labels an article is changed by one of three means, each as likely: a label is dropped, one is added, one is replaced. Added labels
are any the article has not, or (confusable) the one most probable beside the label that was picked. A hit is a flagged article that was changed; errors
that were in the data from the start count as false alarms, for every method. AP is the average precision of the ranking of all articles.
"""

import argparse
import json
import subprocess
import warnings
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.multilabel_classification.filter import find_label_issues as find_multilabel_issues
from cleanlab.multilabel_classification.rank import get_label_quality_scores as multilabel_quality
from cleanlab.rank import get_label_quality_scores
from sklearn.metrics import average_precision_score

FILTERS = ["prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "low_self_confidence", "low_normalized_margin"]
QUALITIES = ["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
NOISES = [("random 5 %", 0.05, 1, False), ("random 10 %", 0.10, 2, False), ("confusable 10 %", 0.10, 3, True)]


def flipped(rows, names, rate, seed, rivals):
    """The rows with some labels changed; `rivals` of a label are the others, most confusable first, or None for chance."""
    rng = np.random.default_rng(seed)
    is_multi = any(len(row) != 1 for row in rows)
    out = [list(row) for row in rows]
    for i in rng.choice(len(rows), round(rate * len(rows)), replace=False):
        row = out[i]
        how = ["drop", "add", "replace"][rng.integers(3)] if is_multi else "replace"
        picked = row[rng.integers(len(row))] if row else None
        others = [name for name in names if name not in row]
        new = next(name for name in rivals[picked] if name not in row) if rivals and row else others[rng.integers(len(others))]
        if row and how in ("drop", "replace"):
            row = [name for name in row if name != picked]
        if not out[i] or how in ("add", "replace"):
            row = row + [new]
        out[i] = sorted(row)
    return out


def run(program, embeddings, names, task, rows, out):
    """Probabilities and findings of the program on these labels."""
    out.with_suffix(".jsonl").write_text("".join(json.dumps({"labels": row}) + "\n" for row in rows))
    out.with_suffix(".names").write_text(json.dumps(names))
    subprocess.run([program, embeddings, out.with_suffix(".names"), task, out.with_suffix(".jsonl"), out], check=True)
    return np.load(f"{out}.npy"), json.loads(Path(f"{out}.json").read_text())


def rivals_of(rows, names, probabilities):
    rivals = {}
    for k, name in enumerate(names):
        own = probabilities[[name in row for row in rows]]
        says = own if any(len(row) != 1 for row in rows) else np.eye(len(names))[own.argmax(1)] + 1e-6 * own
        rivals[name] = [names[j] for j in np.argsort(-says.mean(0), kind="stable") if j != k]
    return rivals


def line(name, flags, quality, changed):
    cells = ["", "", "", ""]
    if flags is not None:
        hits = (flags & changed).sum()
        precision, recall = hits / max(flags.sum(), 1), hits / changed.sum()
        cells = [str(flags.sum()), f"{precision:.3f}", f"{recall:.3f}", f"{2 * hits / (flags.sum() + changed.sum()):.3f}"]
    ap = f"{average_precision_score(changed, -quality):.3f}" if quality is not None else ""
    print(f"| {name} | {' | '.join(cells)} | {ap} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", default="agnews,banking77,reuters21578-90")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in arguments.sets.split(","):
        rows = [json.loads(text)["labels"] for text in (arguments.data / name / "train.jsonl").open()]
        names = sorted({label for row in rows for label in row})
        task = "single" if all(len(row) == 1 for row in rows) else "multi"
        embeddings = arguments.out / f"{name}-train.npy"
        clean, _ = run(arguments.program, embeddings, names, task, rows, arguments.out / f"noise-{name}-clean")
        rivals = rivals_of(rows, names, clean)
        for noise, rate, seed, is_confusable in NOISES:
            noisy = flipped(rows, names, rate, seed, rivals if is_confusable else None)
            out = arguments.out / f"noise-{name}-{seed}"
            p, found = run(arguments.program, embeddings, names, task, noisy, out)
            changed = np.array([set(a) != set(b) for a, b in zip(rows, noisy)])
            print(f"\n{name}, {noise}: {changed.sum()} of {len(rows)} articles changed\n")
            print("| method | flags | precision | recall | F1 | AP |\n|---|--:|--:|--:|--:|--:|")
            flags = np.zeros(len(rows), bool)
            flags[[issue["row"] for issue in found["issues"]]] = True
            line("topicwire", flags, np.array(found["quality"]), changed)
            column = {label: k for k, label in enumerate(names)}
            lists = [[column[label] for label in row] for row in noisy]
            given = None if task == "multi" else np.array([row[0] for row in lists])
            for method in FILTERS:
                if task == "multi":
                    flags = find_multilabel_issues(lists, p, filter_by=method, n_jobs=1)
                else:
                    flags = find_label_issues(given, p, filter_by=method, n_jobs=1)
                line(f"cleanlab {method}", flags, None, changed)
            for method in QUALITIES:
                quality = multilabel_quality(lists, p, method=method) if task == "multi" else get_label_quality_scores(given, p, method=method)
                line(f"cleanlab {method}", None, quality, changed)


if __name__ == "__main__":
    main()
