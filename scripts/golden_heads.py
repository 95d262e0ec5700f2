#!/usr/bin/env python3
"""Reference solutions of small logistic regressions, by scikit-learn.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    python scripts/golden_heads.py > tests/golden/heads.json

Solver `newton-cholesky` in double precision with the smallest tol that rounding allows (1e-13 to 1e-10): `lbfgs` stops at a gradient of tol, which at C = 100 leaves errors of
1e-5 in the coefficients. The script checks that lbfgs agrees as far as it goes. Embeddings are multiples of 1/256, so that
f32 holds them exactly.
"""
import json
import sys
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

SEED = 20240607
rng = np.random.default_rng(SEED)


def solve(x, y, solver, tol, **settings):
    model = LogisticRegression(solver=solver, tol=tol, max_iter=100_000, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        return model.fit(x, y)


def fit(x, y, strength, class_weight):
    settings = {"C": strength, "class_weight": class_weight}
    for tol in [1e-13, 1e-12, 1e-11, 1e-10]:
        try:
            reference = solve(x, y, "newton-cholesky", tol, **settings)
            break
        except ConvergenceWarning:
            continue  # rounding hides a gradient as small as that
    check = solve(x, y, "lbfgs", 1e-8, **settings)
    worst = np.abs(check.predict_proba(x) - reference.predict_proba(x)).max()
    assert worst < 1e-5, f"lbfgs and newton-cholesky differ by {worst}"
    return reference


def embeddings(n, d):
    return np.round(rng.normal(size=(n, d)) * 128) / 256


def single(name, x, y, n_labels, strength, class_weight=None):
    """Soft-max over the labels that occur; scikit-learn drops the others."""
    test = np.vstack([embeddings(4, x.shape[1]), x[:2]])
    present = sorted(set(y.tolist()))
    weights = class_weight
    if isinstance(class_weight, list):
        weights = {label: class_weight[label] for label in present}
    # Two labels: soft-max at strength C has the weights ±w/2 of the binary regression at 2 C.
    two = len(present) == 2
    model = fit(x, y, 2 * strength if two else strength, weights)
    coef, intercept = model.coef_, model.intercept_
    if two:
        coef, intercept = np.vstack([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    intercept = intercept - intercept.mean()
    return {
        "name": name, "task": "single", "n_labels": n_labels, "strength": strength,
        "class_weight": class_weight or "uniform", "x": x.tolist(), "labels": [[int(v)] for v in y], "test": test.tolist(),
        "fitted": present, "coef": coef.tolist(), "intercept": intercept.tolist(),
        "probabilities": model.predict_proba(test).tolist(),
    }


def multi(name, x, y, strength, class_weight=None):
    """A binary regression per label that has both positives and negatives."""
    test = np.vstack([embeddings(4, x.shape[1]), x[:2]])
    fitted = [k for k in range(y.shape[1]) if 0 < y[:, k].sum() < len(y)]
    models = []
    for k in fitted:
        weights = {0: 1.0, 1: class_weight[k]} if isinstance(class_weight, list) else class_weight
        models.append(fit(x, y[:, k], strength, weights))
    return {
        "name": name, "task": "multi", "n_labels": y.shape[1], "strength": strength,
        "class_weight": class_weight or "uniform", "x": x.tolist(), "labels": [np.flatnonzero(row).tolist() for row in y],
        "test": test.tolist(), "fitted": fitted, "coef": [m.coef_[0].tolist() for m in models],
        "intercept": [float(m.intercept_[0]) for m in models],
        "probabilities": np.stack([m.predict_proba(test)[:, 1] for m in models], 1).tolist(),
    }


def labelled(n, d, k, noise):
    """Embeddings whose labels follow a random linear map."""
    x = embeddings(n, d)
    scores = x @ rng.normal(size=(d, k)) * 4 + noise * rng.normal(size=(n, k))
    return x, scores


def cases():
    for strength in [0.1, 1.0, 100.0]:
        x, scores = labelled(40, 6, 3, 1.0)
        yield single(f"three labels, strength {strength}", x, scores.argmax(1), 3, strength)
        yield multi(f"label sets, strength {strength}", x, scores > 0.5, strength)
    x, scores = labelled(30, 5, 2, 0.5)
    yield single("two labels", x, scores.argmax(1), 2, 4.0)
    x, scores = labelled(24, 4, 3, 0.0)
    x = x + np.eye(3, 4)[scores.argmax(1)] * 4
    yield single("separable", x, scores.argmax(1), 3, 100.0)
    yield multi("separable label sets", x, np.eye(3, dtype=bool)[scores.argmax(1)], 100.0)
    x, scores = labelled(15, 4, 3, 1.0)
    x, scores = np.vstack([x, x, x[:3]]), np.vstack([scores, scores, scores[:3] * -1])
    yield single("duplicated rows", x, scores.argmax(1), 3, 10.0)
    x, scores = labelled(25, 4, 3, 1.0)
    x[:, 2] = 0.75
    yield single("constant column", x, scores.argmax(1), 3, 10.0)
    yield multi("constant column in label sets", x, scores > 0, 10.0)
    x, scores = labelled(7, 12, 3, 1.0)
    yield single("fewer rows than columns", x, np.array([0, 1, 2, 0, 1, 2, 0]), 3, 10.0)
    yield multi("fewer rows than columns in label sets", x, np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [0, 0], [0, 1]], bool), 10.0)
    x, scores = labelled(30, 5, 4, 1.0)
    y = scores[:, [0, 1, 3]].argmax(1)
    yield single("a label that no row has", x, np.array([0, 1, 3])[y], 4, 3.0)
    y = scores > 1
    y[:, 1] = False
    y[:, 2] = True
    y[:, 3] = np.arange(30) == 11
    yield multi("a label of no row, of every row, of one row", x, y, 3.0)
    x, scores = labelled(40, 5, 3, 1.5)
    scores[:, 0] += 2
    yield single("balanced labels", x, scores.argmax(1), 3, 5.0, "balanced")
    yield single("weighted labels", x, scores.argmax(1), 3, 5.0, [0.5, 2.0, 7.0])
    yield multi("balanced label sets", x, scores > 1, 5.0, "balanced")
    yield multi("weighted label sets", x, scores > 1, 5.0, [0.5, 2.0, 7.0])


json.dump({"source": "scripts/golden_heads.py, scikit-learn 1.9.1, numpy 2.4.6", "cases": list(cases())}, sys.stdout)
sys.stdout.write("\n")
