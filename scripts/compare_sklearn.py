#!/usr/bin/env python3
"""Our heads beside scikit-learn's logistic regression, on the same embeddings.

    pip install numpy==2.4.6 scikit-learn==1.9.1 joblib
    cargo build --release --example fit_npy
    python scripts/compare_sklearn.py DATA_DIR EMBEDDINGS_DIR [--program target/release/examples/fit_npy] [--rounds 3] [SET...]

DATA_DIR holds SET/train.jsonl and SET/test.jsonl, EMBEDDINGS_DIR SET-train.npy and SET-test.npy (f32, one row per line).
Both choose the strength by five folds, ours from its defaults, scikit-learn from four values of C: for one label per article by
accuracy, for label sets (a regression per label, `tol` as by default, since a label with few positives has small gradients
and would stop at its start) by micro-F1 at 0.5. Label sets are shown at 0.5 and at tuned thresholds, which for scikit-learn
are those best for each label out of fold. The two run in turn, round after round, each on two threads; seconds are medians.
"""
import argparse
import json
import os
import subprocess
import sys
import time

os.environ.update({name: "2" for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"]})
import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold, StratifiedKFold

STRENGTHS = [0.1, 1.0, 10.0, 100.0]
N_FOLDS = 5
CV_SETTINGS = {"tol": 1e-3, "max_iter": 300}


def labels_of(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line)["labels"] for line in lines]


def indicator(rows, names):
    place = {name: i for i, name in enumerate(names)}
    y = np.zeros((len(rows), len(names)), bool)
    for i, row in enumerate(rows):
        y[i, [place[name] for name in row]] = True
    return y


def fit_single(x, y, x_test):
    folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(x, y))

    def accuracy(strength):
        models = [(LogisticRegression(C=strength, **CV_SETTINGS).fit(x[a], y[a]), b) for a, b in folds]
        return np.mean([(model.predict(x[b]) == y[b]).mean() for model, b in models])

    best = max(STRENGTHS, key=accuracy)
    return best, LogisticRegression(C=best, max_iter=1000).fit(x, y).predict(x_test)


def one_vs_rest(x, y, x_test, strength):
    def probabilities(k):
        if y[:, k].all() or not y[:, k].any():
            return np.full(len(x_test), float(y[0, k]))
        return LogisticRegression(C=strength, max_iter=1000).fit(x, y[:, k]).predict_proba(x_test)[:, 1]

    return np.stack(Parallel(2)(delayed(probabilities)(k) for k in range(y.shape[1])), 1)


def best_threshold(y, scores):
    order = np.argsort(-scores)
    hits = np.cumsum(y[order])
    best = (2 * hits / (np.arange(1, len(y) + 1) + y.sum())).argmax()
    return scores[order[best : best + 2]].mean()


def fit_multi(x, y, x_test):
    folds = list(KFold(N_FOLDS, shuffle=True, random_state=0).split(x))
    best = None
    for strength in STRENGTHS:
        held_out = np.zeros(y.shape)
        for a, b in folds:
            held_out[b] = one_vs_rest(x[a], y[a], x[b], strength)
        micro = f1_score(y, held_out > 0.5, average="micro")
        if best is None or micro > best[0]:
            best = micro, strength, held_out
    _, strength, held_out = best
    thresholds = np.array([best_threshold(y[:, k], held_out[:, k]) for k in range(y.shape[1])])
    scores = one_vs_rest(x, y, x_test, strength)
    return strength, scores > 0.5, scores > thresholds


def f1s(y, assigned):
    return [100 * f1_score(y, assigned, average=average, zero_division=0) for average in ["micro", "macro"]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("embeddings_dir")
    parser.add_argument("sets", nargs="*", default=["agnews", "banking77", "trec", "reuters21578-90"])
    parser.add_argument("--program", default="target/release/examples/fit_npy")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_intermixed_args()
    print("| set | accuracy or micro-F1: ours | scikit-learn | difference | macro-F1: ours | scikit-learn | difference "
          "| seconds: ours | scikit-learn | ratio |")
    print("|---" + "|---:" * 9 + "|", flush=True)
    for name in args.sets:
        files = {}
        for part in ["train", "test"]:
            files[part] = f"{args.embeddings_dir}/{name}-{part}.npy", f"{args.data_dir}/{name}/{part}.jsonl"
        (x, train), (x_test, test) = [(np.load(npy), labels_of(jsonl)) for npy, jsonl in files.values()]
        names = sorted({label for row in train for label in row})
        y, y_test = indicator(train, names), indicator(test, names)
        single = (y.sum(1) == 1).all()
        our_s, their_s = [], []
        for _ in range(args.rounds):
            command = [args.program, *files["train"], *files["test"], "--threads", "2"]
            ours = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            our_s.append(ours["fit_s"])
            start = time.perf_counter()
            result = fit_single(x, y.argmax(1), x_test) if single else fit_multi(x, y, x_test)
            their_s.append(time.perf_counter() - start)
        if single:
            assigned = np.eye(len(names), dtype=bool)[result[1]]
            theirs = {"": [100 * (result[1] == y_test.argmax(1)).mean(), f1s(y_test, assigned)[1]]}
            mine = {"": [100 * ours["accuracy"], 100 * ours["f1_macro"]]}
        else:
            theirs = {" at 0.5": f1s(y_test, result[1]), " tuned": f1s(y_test, result[2])}
            half = ours["at_half"]
            mine = {
                " at 0.5": [100 * half["f1_micro"], 100 * half["f1_macro"]],
                " tuned": [100 * ours["f1_micro"], 100 * ours["f1_macro"]],
            }
        seconds = [float(np.median(our_s)), float(np.median(their_s))]
        for kind in mine:
            show(name + kind, *mine[kind], *theirs[kind], *seconds)
        print(f"{name}: strength ours {ours['strength']}, theirs {result[0]}", file=sys.stderr)


def show(name, micro, macro, their_micro, their_macro, ours, theirs):
    print(f"| {name} | {micro:.2f} | {their_micro:.2f} | {micro - their_micro:+.2f} | {macro:.2f} | {their_macro:.2f} "
          f"| {macro - their_macro:+.2f} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} |", flush=True)


main()
