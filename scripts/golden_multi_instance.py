#!/usr/bin/env python3
"""Reference solutions of small multi-instance problems, by scipy.

    pip install numpy==2.4.6 scipy==1.17.1
    python scripts/golden_multi_instance.py > tests/golden/multi_instance.json

The objective of src/heads/multi_instance is written out passage by passage, with its gradient, and minimised by L-BFGS-B from
zero weights and the log-odds as intercepts, in double precision, until the gradient is below 1e-7, then by Newton steps on a
numerical Hessian until it is below 1e-11. It is not convex: the script checks that random starts end at the same minimum.
Embeddings are multiples of 1/256, so that f32 holds them exactly.
"""
import json
import sys

import numpy as np
from scipy.optimize import check_grad, minimize
from scipy.special import log_expit, log_softmax, logsumexp, softmax

SEED = 20240607
N_STARTS = 5
rng = np.random.default_rng(SEED)


def loss_and_derivative(z, y, task):
    """Sum of the losses of rows of logits against rows of 0 and 1, and its derivative by them."""
    if task == "multi":
        return -(y * log_expit(z) + (1 - y) * log_expit(-z)).sum(), np.exp(log_expit(z)) - y
    return -(y * log_softmax(z, axis=1)).sum(), softmax(z, axis=1) - y


def objective(point, bags, y, known, gold, case):
    """`point` is the weights and intercept of one label after the other."""
    coefficients = point.reshape(y.shape[1], -1)
    weights, intercepts = coefficients[:, :-1], coefficients[:, -1]
    value = (weights**2).sum() / (2 * case["strength"])
    gradient = np.zeros_like(coefficients)
    gradient[:, :-1] = weights / case["strength"]
    for x, truth in zip(bags, y):
        z = x @ weights.T + intercepts
        loss, derivative = loss_and_derivative(logsumexp(z, axis=0, keepdims=True) - np.log(len(x)), truth[None], case["task"])
        value += loss
        by_passage = derivative * softmax(z, axis=0)
        gradient[:, :-1] += by_passage.T @ x
        gradient[:, -1] += by_passage.sum(0)
    for x, truth in zip(known, gold):
        loss, derivative = loss_and_derivative(x[None] @ weights.T + intercepts, truth[None], case["task"])
        value += case["passage_weight"] * loss
        gradient[:, :-1] += case["passage_weight"] * derivative.T @ x[None]
        gradient[:, -1] += case["passage_weight"] * derivative[0]
    return value, gradient.ravel()


def hessian(point, args, step=1e-5):
    columns = []
    for j in range(len(point)):
        e = np.zeros_like(point)
        e[j] = step
        columns.append((objective(point + e, *args)[1] - objective(point - e, *args)[1]) / (2 * step))
    return np.array(columns)


def minimum(start, args):
    options = {"maxiter": 100_000, "maxfun": 100_000, "ftol": 0, "gtol": 1e-7, "maxcor": 50}
    point = minimize(objective, start, args, "L-BFGS-B", jac=True, options=options).x
    assert np.abs(objective(point, *args)[1]).max() < 1e-4
    for _ in range(20):
        gradient = objective(point, *args)[1]
        if np.abs(gradient).max() < 1e-11:
            break
        # Least squares, since in soft-max all intercepts may rise together.
        point = point - np.linalg.lstsq(hessian(point, args), gradient, rcond=1e-8)[0]
    assert np.abs(objective(point, *args)[1]).max() < 1e-11
    return point, objective(point, *args)[0]


def solve(case):
    x, offsets, task = np.array(case["x"]), case["offsets"], case["task"]
    rows = [i for i in case["rows"] if offsets[i] < offsets[i + 1]]
    has = np.array([[k in case["labels"][i] for k in range(case["n_labels"])] for i in rows], float)
    support = has.sum(0)
    fitted = [k for k in range(case["n_labels"]) if 0 < support[k] and (task == "single" or support[k] < len(rows))]
    passages = [p for i in rows for p in range(offsets[i], offsets[i + 1]) if case["known"][p] is not None]
    if task == "single":
        passages = [p for p in passages if len(case["known"][p]) == 1 and case["known"][p][0] in fitted]
    gold = np.array([[k in case["known"][p] for k in fitted] for p in passages], float).reshape(-1, len(fitted))
    bags = [x[offsets[i]:offsets[i + 1]] for i in rows]
    args = (bags, has[:, fitted], x[passages], gold, case)
    start = np.zeros((len(fitted), x.shape[1] + 1))
    odds = support[fitted] / (len(rows) - support[fitted] if task == "multi" else 1)
    start[:, -1] = np.log(odds)
    point, value = minimum(start.ravel(), args)
    wrong = check_grad(lambda p: objective(p, *args)[0], lambda p: objective(p, *args)[1], start.ravel() + 0.1)
    assert wrong < 1e-4, wrong
    for _ in range(N_STARTS):
        other = minimum(start.ravel() + rng.normal(size=start.size), args)[1]
        assert abs(other - value) < 1e-9, f"{case['name']}: {value} from zero, {other} from elsewhere"
    coefficients = point.reshape(len(fitted), -1)
    print(f"{case['name']}: objective {value:.6f} over {len(rows)} articles, {len(passages)} known passages", file=sys.stderr)
    return case | {"fitted": fitted, "coef": coefficients[:, :-1].tolist(), "intercept": coefficients[:, -1].tolist(), "objective": value}


def problem(name, task, n_labels, strength, passage_weight):
    """Articles of 0 to 5 passages; each label has a passage of its own, moved along a column of the embedding."""
    n_articles, hidden_size = 24, 6
    sizes = rng.integers(1, 6, n_articles)
    sizes[5] = 0
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    x = rng.normal(size=(offsets[-1], hidden_size))
    labels, known = [], [[] for _ in range(len(x))]
    for i in range(n_articles):
        if task == "single":
            # Label 1 is left out, the last label is rare.
            labels.append([int(rng.choice([k for k in range(n_labels) if k != 1]))])
        else:
            # The last label is in every article.
            labels.append([k for k in range(n_labels) if k == n_labels - 1 or rng.random() < 0.4])
        for k in labels[-1]:
            if sizes[i]:
                p = int(rng.integers(offsets[i], offsets[i + 1]))
                x[p, k] += 1.5
                known[p].append(k)
    known = [gold if rng.random() < 0.5 else None for gold in known]
    return {
        "name": name, "task": task, "n_labels": n_labels, "strength": strength, "passage_weight": passage_weight,
        "x": (np.round(x * 64) / 256).tolist(), "offsets": offsets.tolist(), "rows": [i for i in range(n_articles) if i % 7 != 3],
        "labels": labels, "known": known,
    }


def cases():
    yield problem("label sets", "multi", 4, 1.0, 0.0)
    yield problem("label sets and passages", "multi", 4, 10.0, 0.3)
    yield problem("one label", "single", 4, 1.0, 0.0)
    yield problem("one label and passages", "single", 4, 10.0, 0.3)


golden = {"source": "scripts/golden_multi_instance.py, scipy 1.17.1, numpy 2.4.6", "cases": [solve(case) for case in cases()]}
json.dump(golden, sys.stdout)
sys.stdout.write("\n")
