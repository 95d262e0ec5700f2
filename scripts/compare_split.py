#!/usr/bin/env python3
"""`topicwire split` beside scikit-multilearn and iterative-stratification: how far parts are from being like the whole.

    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 iterative-stratification==0.1.9
    pip install --no-deps scikit-multilearn==0.2.0
    python scripts/compare_split.py DATA topicwire [--seeds 10] [SET...]

DATA holds SET/train.jsonl and SET/test.jsonl, which are put together and divided anew: into five folds, and 80 to 20. Printed are
means over the seeds of LD (labels), LPD (pairs of labels) and ED (articles), computed here by their definitions (Sechidis et al. 2011,
section 4.2; Szymanski & Kajdanowicz 2017); of the label furthest from its share, how many articles it is off; and how many labels
that could be in every part are missing from one. For 80/20 both parts count. Seconds are of a whole run, for us with reading and
writing the articles. With `-` for the program only the others run.
"""
import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit
from skmultilearn.model_selection import IterativeStratification

SETS = ["reuters21578-90", "nlupp-banking", "diplomacy"]
N_FOLDS = 5
SHARES = {"5 folds": [1 / N_FOLDS] * N_FOLDS, "80/20": [0.8, 0.2]}


def read(folder):
    rows = []
    for name in ["train.jsonl", "test.jsonl"]:
        with open(folder / name, encoding="utf-8") as lines:
            rows += [(row["id"], row["labels"]) for row in map(json.loads, lines)]
    names = {name: i for i, name in enumerate(sorted({label for _, labels in rows for label in labels}))}
    y = np.zeros((len(rows), len(names)), int)
    for i, (_, labels) in enumerate(rows):
        y[i, [names[label] for label in labels]] = 1
    return [row_id for row_id, _ in rows], y


def odds_differences(indicator, parts):
    """Mean over columns and parts of |odds in the part - odds in all|; columns that are always 1 are left out."""
    n = len(indicator)
    indicator = indicator[:, indicator.sum(0) < n]
    whole = indicator.sum(0) / (n - indicator.sum(0))
    differences = []
    for part in parts:
        have = indicator[part].sum(0)
        differences.append(np.abs(have / np.maximum(len(part) - have, 0.5) - whole))
    return float(np.mean(differences))


def measure(y, parts, shares):
    n, n_parts = len(y), len(parts)
    a, b = np.triu_indices(y.shape[1], 1)
    pairs = y[:, a] * y[:, b]
    pairs = pairs[:, pairs.sum(0) > 0]
    counts = np.array([y[part].sum(0) for part in parts])
    sizes = np.array([len(part) for part in parts])
    could_be_in_all = y.sum(0) * min(shares) >= 1
    return {
        "LD": odds_differences(y, parts),
        "LPD": odds_differences(pairs, parts),
        "ED": float(np.mean(np.abs(sizes - np.array(shares) * n))),
        "worst": float(np.max(np.abs(counts - np.outer(sizes, y.sum(0)) / n))),
        "missing": int(((counts == 0).any(0) & could_be_in_all).sum()),
    }


def scikit_multilearn(order):
    def divide(y, shares, seed):
        # It draws from numpy's global generator; its own random_state is refused by scikit-learn of today.
        np.random.seed(seed)
        rows = np.random.permutation(len(y))
        stratifier = IterativeStratification(n_splits=len(shares), order=order, sample_distribution_per_fold=list(shares))
        return [rows[test] for _, test in stratifier.split(rows, y[rows])]

    return divide


def iterative_stratification(y, shares, seed):
    if len(set(shares)) == 1:
        folds = MultilabelStratifiedKFold(n_splits=len(shares), shuffle=True, random_state=seed).split(y, y)
        return [test for _, test in folds]
    splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=shares[1], random_state=seed)
    return list(next(splitter.split(y, y)))


def topicwire(program, folder, ids):
    place = {row_id: i for i, row_id in enumerate(ids)}

    def divide(y, shares, seed):
        with tempfile.TemporaryDirectory() as out:
            n = len(shares)
            how = ["--folds", str(n)] if len(set(shares)) == 1 else ["--parts", f"train={shares[0]},test={shares[1]}"]
            files = [str(folder / "train.jsonl"), str(folder / "test.jsonl")]
            subprocess.run([program, "split", *files, "-o", f"{out}/parts", *how, "--seed", str(seed), "-q"], check=True, stdout=subprocess.DEVNULL)
            names = [f"fold-{i + 1}.test" for i in range(n)] if how[0] == "--folds" else ["train", "test"]
            parts = []
            for name in names:
                with open(f"{out}/parts/{name}.jsonl", encoding="utf-8") as lines:
                    parts.append(np.array([place[json.loads(line)["id"]] for line in lines]))
        return parts

    return divide


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("program")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("sets", nargs="*", default=SETS)
    args = parser.parse_args()
    print("| set | division | by | LD | LPD | ED | worst label off by | labels missing somewhere | seconds |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for name in args.sets:
        ids, y = read(args.data / name)
        contenders = {
            "scikit-multilearn, order 1": scikit_multilearn(1),
            "scikit-multilearn, order 2": scikit_multilearn(2),
            "iterative-stratification": iterative_stratification,
        }
        if args.program != "-":
            contenders["topicwire"] = topicwire(args.program, args.data / name, ids)
        for division, shares in SHARES.items():
            for contender, divide in contenders.items():
                results, start = [], time.perf_counter()
                for seed in range(args.seeds):
                    parts = divide(y, shares, seed)
                    assert sorted(np.concatenate(parts)) == list(range(len(y))), "every article in one part"
                    results.append((parts, time.perf_counter()))
                seconds = (results[-1][1] - start) / args.seeds
                measures = [measure(y, parts, shares) for parts, _ in results]
                mean = {key: np.mean([m[key] for m in measures]) for key in measures[0]}
                print(
                    f"| {name} | {division} | {contender} | {mean['LD']:.6f} | {mean['LPD']:.6f} | {mean['ED']:.2f} | {mean['worst']:.1f} | {mean['missing']:.1f} | {seconds:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
