#!/usr/bin/env python3
"""How well text from elsewhere, and articles on a topic left out of training, are told from articles like the training's.

    python -m venv env && env/bin/pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.0
    env/bin/python scripts/measure_scope.py PROGRAM DATASETS OUT [--precision int8] [--rows 1000] [--only a,b] [--fast]

DATASETS holds a folder for each set, with train.jsonl and test.jsonl: agnews, trec, banking77, nlupp-banking, sst5, uscongress-cap and, with
several labels each, situation-typing and diplomacy; what is missing is left out. PROGRAM embeds them, once, into OUT.
Fits on the train part; scores at most `--rows` articles of each test part, evenly spaced. `--fast` leaves out neighbours,
logistic regressions and what takes a second covariance. Prints for every method the area under the ROC curve and the share of foreign text that is taken for the
training's where 95 % of the test part are (FPR95), percent, means over pairs; then how many articles of the test part the cut-off calls
foreign, as they are and cut to their first ten words.
"""

import argparse
import json
import subprocess
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import rankdata
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

N_FOLDS = 5
FOREIGN = {
    "agnews": ["banking77", "nlupp-banking", "sst5", "trec"],
    "trec": ["banking77", "nlupp-banking", "sst5", "agnews"],
    "uscongress-cap": ["banking77", "nlupp-banking", "sst5", "agnews"],
    "situation-typing": ["banking77", "nlupp-banking", "sst5", "agnews"],
    "diplomacy": ["banking77", "sst5", "agnews", "uscongress-cap"],
}
LEFT_OUT = ["agnews", "trec", "uscongress-cap", "banking77", "situation-typing", "diplomacy"]


class Classes:
    """Label means and one shrunk covariance, as in src/scope/classes.rs; labels are lists of numbers."""

    def __init__(self, x, labels):
        n_labels = max((k for row in labels for k in row), default=-1) + 1
        weights = np.zeros((len(x), n_labels + 1), dtype=x.dtype)
        for i, row in enumerate(labels):
            weights[i, list(row) or [n_labels]] = 1 / max(1, len(row))
        weights = weights[:, weights.sum(axis=0) > 0]
        self.shares = weights.mean(axis=0)
        self.means = weights.T @ x / weights.sum(axis=0)[:, None]
        self.covariance = LedoitWolf(assume_centered=True).fit(x - weights @ self.means).covariance_
        self.mean = x.mean(axis=0)
        whitening = np.linalg.inv(np.linalg.cholesky(self.covariance))
        self.whiten = lambda rows: (rows - self.mean) @ whitening.T
        self.centers = self.whiten(self.means)

    def measures(self, x):
        z = self.whiten(x)
        products, squares, lengths = z @ self.centers.T, (z**2).sum(axis=1), np.linalg.norm(self.centers, axis=1)
        distance = (squares[:, None] - 2 * products + lengths**2).min(axis=1)
        cosine = products / np.maximum(lengths, 1e-9) / np.sqrt(np.maximum(squares, 1e-18))[:, None]
        return {"Mahalanobis": distance, "whitened angle": -cosine.max(axis=1)}


class Scope:
    """The score of src/scope/mod.rs."""

    parts = ("Mahalanobis", "whitened angle")

    def __init__(self, x, labels, folds, n_folds):
        found = {part: np.zeros(len(x)) for part in self.parts}
        for fold in range(n_folds):
            inside = folds == fold
            if not inside.any():
                continue
            classes = Classes(x[~inside], [row for row, out in zip(labels, inside) if not out])
            for part, values in classes.measures(x[inside]).items():
                found[part][inside] = values
        self.standards = {part: (values.mean(), values.std()) for part, values in found.items()}
        self.out_of_fold = self.combine(found)
        self.classes = Classes(x, labels)

    def combine(self, measures):
        return sum((measures[part] - mean) / sd for part, (mean, sd) in self.standards.items()) / 2

    def cutoff(self, rate):
        n = len(self.out_of_fold)
        return np.sort(self.out_of_fold)[int(np.ceil((n + 1) * (1 - rate) - 1e-9)) - 1]


def methods(x, labels, fast):
    """A function from embeddings to the scores of every method, and the scope."""
    scope = Scope(x, labels, np.arange(len(x)) % N_FOLDS, N_FOLDS)
    classes, all_of_one = scope.classes, None if fast else Classes(x, [[]] * len(x))
    centred = x - classes.mean
    axes = np.linalg.eigh(centred.T @ centred / len(x))[1][:, ::-1]
    unit_means = classes.means / np.linalg.norm(classes.means, axis=1, keepdims=True)
    logits = None
    if not fast:
        numbers = sorted({k for row in labels for k in row})
        is_single = all(len(row) == 1 for row in labels)
        regression = LogisticRegression(C=10, max_iter=200)
        if is_single:
            regression.fit(x, [row[0] for row in labels])
        else:
            indicator = np.array([[k in row for k in numbers] for row in labels])
            regression = OneVsRestClassifier(regression).fit(x, indicator)

        def logits(rows):
            z = regression.decision_function(rows)
            return np.stack([np.zeros(len(z)), z], axis=1) if z.ndim == 1 else z

    def scores(rows):
        measures = classes.measures(rows)
        found = {"**score: Mahalanobis and whitened angle**": scope.combine(measures), **measures}
        found["cosine to label means"] = -(rows @ unit_means.T).max(axis=1)
        found["outside 64 principal axes"] = np.linalg.norm((rows - classes.mean) @ axes[:, 64:], axis=1)
        if not fast:
            one = all_of_one.measures(rows)["Mahalanobis"]
            found["Mahalanobis to the mean of all"] = one
            found["relative Mahalanobis"] = measures["Mahalanobis"] - one
            nearest = -np.sort(-np.partition(rows @ x.T, -50, axis=1)[:, -50:], axis=1)
            for k in (1, 5, 10, 50):
                found[f"cosine to {k} neighbours"] = -nearest[:, :k].mean(axis=1)
            z = logits(rows)
            if is_single:
                energy = np.logaddexp.reduce(z, axis=1)
                found["probability"] = -np.exp(z.max(axis=1) - energy)
            else:
                energy = np.logaddexp(0, z).sum(axis=1)
                found["probability"] = -z.max(axis=1)
            found["energy"] = -energy
        return found

    return scores, scope


def auroc(inside, outside):
    ranks = rankdata(np.r_[inside, outside])[len(inside) :]
    return (ranks.sum() - len(outside) * (len(outside) + 1) / 2) / (len(inside) * len(outside))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("datasets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--only", help="sets to train on, separated by commas [default: all]")
    parser.add_argument("--fast", action="store_true")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore", message="lbfgs failed to converge")
    warnings.filterwarnings("ignore", message="Label .* is present in all training examples")

    def rows_of(name, part):
        rows = [json.loads(line) for line in (arguments.datasets / name / f"{part}.jsonl").open()]
        if part != "test":
            return rows
        n = min(arguments.rows, len(rows))
        return [rows[i * len(rows) // n] for i in range(n)]

    def embedded(name, part, cut=None):
        rows = rows_of(name, part)
        stem = arguments.out / f"{name}-{part}{'' if part == 'train' else f'-{len(rows)}'}{f'-cut{cut}' if cut else ''}"
        if not stem.with_suffix(".npy").exists():
            texts = [" ".join([row.get("title") or "", row["text"]]).split() if cut else None for row in rows]
            kept = ({"text": " ".join(text[:cut])} if cut else {k: row[k] for k in ("title", "text") if row.get(k)} for row, text in zip(rows, texts))
            stem.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
            command = [arguments.program, "embed", stem.with_suffix(".jsonl"), "-o", stem.with_suffix(".npy"), "--precision", arguments.precision, "-q"]
            subprocess.run([str(part) for part in command], check=True)
        return np.load(stem.with_suffix(".npy"))

    def is_there(name):
        chosen = arguments.only is None or name in arguments.only.split(",")
        return chosen and (arguments.datasets / name / "train.jsonl").exists()

    def labels_of(name, part):
        return [row["labels"] for row in rows_of(name, part)]

    table, alarms = {}, []

    def measure(column, train, labels, inside, outside):
        names = sorted({label for row in labels for label in row})
        scores, scope = methods(train, [[names.index(label) for label in row] for row in labels], arguments.fast)
        known = scores(inside)
        for x in outside:
            for method, values in scores(x).items():
                accepted = values <= np.quantile(known[method], 0.95)
                table.setdefault(method, {}).setdefault(column, []).append((auroc(known[method], values), accepted.mean()))
        return scope, known

    for name in filter(is_there, FOREIGN):
        others = [embedded(other, "test") for other in FOREIGN[name] if (arguments.datasets / other / "test.jsonl").exists()]
        train, labels, test = embedded(name, "train"), labels_of(name, "train"), embedded(name, "test")
        scope, _ = measure(f"{name}, foreign", train, labels, test, others)
        # A tenth of the train part, evenly spaced: surely of the same kind.
        held = np.arange(len(train)) % 10 == 9
        split = Scope(train[~held], [[sorted({k for r in labels for k in r}).index(k) for k in row] for row, out in zip(labels, held) if not out], np.arange((~held).sum()) % N_FOLDS, N_FOLDS)
        shares = []
        for fitted, x in ((split, train[held]), (scope, test), (scope, embedded(name, "test", cut=10)), (scope, np.concatenate(others))):
            found = fitted.combine(fitted.classes.measures(x))
            shares += [(found > fitted.cutoff(rate)).mean() for rate in (0.01, 0.05, 0.1)]
        alarms.append((name, shares))
        print(f"# {name}", flush=True)

    for name in filter(is_there, LEFT_OUT):
        labels, test_labels = labels_of(name, "train"), labels_of(name, "test")
        names = sorted({label for row in labels for label in row})
        groups = [[label] for label in names]
        if len(names) > 30:
            groups = [[names[i] for i in np.random.default_rng(0).permutation(len(names))[:10]]]
        train, test = embedded(name, "train"), embedded(name, "test")
        for group in map(set, groups):
            kept = np.array([group.isdisjoint(row) for row in labels])
            inside = np.array([group.isdisjoint(row) for row in test_labels])
            if inside.all():
                continue
            measure(f"{name}, left out", train[kept], [row for row, keep in zip(labels, kept) if keep], test[inside], [test[~inside]])
        print(f"# {name}, left out", flush=True)

    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    print(f"| score | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for method, row in table.items():
        cells = [100 * np.mean(row[column], axis=0) if column in row else None for column in columns]
        print(f"| {method} | {' | '.join('' if cell is None else f'{cell[0]:.1f}, {cell[1]:.1f}' for cell in cells)} |")
    print("\n| set | held out of training: 1, 5, 10 % | test part | test part, ten words | foreign text |\n|---|---:|---:|---:|---:|")
    for name, shares in alarms:
        groups = [", ".join(f"{100 * share:.1f}" for share in shares[i : i + 3]) for i in range(0, len(shares), 3)]
        print(f"| {name} | {' | '.join(groups)} |")


if __name__ == "__main__":
    main()
