# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scipy==1.17.1", "scikit-learn==1.9.1"]
# ///
"""Writes tests/golden/study.json: tests of differences, laws of learning curves and intervals, for tests/study_golden.rs.

    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
    python scripts/golden_study.py

McNemar's test is scipy's exact binomial test. Randomisation tests are exact here: every one of the 2^n ways to swap two classifiers'
outputs is scored with scikit-learn, so that the library's share of random ones must come near. Laws are fitted with scipy's
curve_fit from many starts. Holm's correction is written out from its definition. Intervals are percentiles of numpy's own resamples of a
mean, and the normal interval of the same mean.
"""

import json
import pathlib
from itertools import product

import numpy as np
import scipy
import sklearn
from scipy.optimize import curve_fit
from scipy.stats import binomtest
from sklearn.metrics import f1_score

assert np.__version__ == "2.4.6", np.__version__
assert scipy.__version__ == "1.17.1", scipy.__version__
assert sklearn.__version__ == "1.9.1", sklearn.__version__

ROOT = pathlib.Path(__file__).resolve().parent.parent
rng = np.random.default_rng(0)


def mcnemar():
    pairs = [(0, 0), (0, 1), (0, 6), (3, 3), (2, 9), (40, 25), (25, 40), (300, 371), (5000, 5200), (0, 2000)]
    return [{"a": a, "b": b, "p": binomtest(min(a, b), a + b, 0.5).pvalue if a + b else 1.0} for a, b in pairs]


def holm(p):
    order = np.argsort(p, kind="stable")
    out = np.empty(len(p))
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        out[i] = running
    return out.tolist()


def f1s(truth, predicted):
    kwargs = {"zero_division": 0}
    labels = f1_score(truth, predicted, average=None, **kwargs)
    return np.array([f1_score(truth, predicted, average="micro", **kwargs), labels.mean(), *labels])


def randomisation(n, n_labels, rates):
    truth = rng.random((n, n_labels)) < 0.4
    a, b = (truth ^ (rng.random((n, n_labels)) < rate) for rate in rates)
    observed = np.abs(f1s(truth, b) - f1s(truth, a))
    as_large = np.zeros(n_labels + 2)
    for swaps in product([False, True], repeat=n):
        swap = np.array(swaps)[:, None]
        difference = f1s(truth, np.where(swap, a, b)) - f1s(truth, np.where(swap, b, a))
        as_large += np.abs(difference) >= observed - 1e-12
    p = as_large / 2**n
    ints = lambda matrix: matrix.astype(int).tolist()
    return {"truth": ints(truth), "a": ints(a), "b": ints(b), "micro": p[0], "macro": p[1], "per_label": p[2:].tolist()}


def mean_test(n):
    differences = rng.normal(0.3, 1.0, n).round(3)
    signs = np.array(list(product([1, -1], repeat=n)))
    p = (np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean()
    return {"differences": differences.tolist(), "p": p}


def law(n, floor, scale, exponent):
    return floor + scale * n ** (-exponent)


def curve(sizes, floor, scale, exponent, noise):
    sizes = np.array(sizes, float)
    weights = rng.uniform(0.5, 2.0, len(sizes))
    errors = law(sizes, floor, scale, exponent) + noise * rng.normal(size=len(sizes))
    best = None
    for start in product([0.0, 0.05, 0.3], [0.5, 2.0, 10.0], [0.1, 0.3, 0.5, 1.0, 1.8]):
        try:
            found, _ = curve_fit(
                law, sizes, errors, p0=start, sigma=weights**-0.5, bounds=([0, 0, 0.02], [np.inf, np.inf, 2.0]),
                xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=20000,
            )
        except RuntimeError:
            continue
        loss = float((weights * (errors - law(sizes, *found)) ** 2).sum())
        if best is None or loss < best[0]:
            best = (loss, found)
    loss, found = best
    return {
        "n": sizes.tolist(), "error": errors.tolist(), "weight": weights.tolist(), "loss": loss,
        "law": found.tolist(), "doubled": float(law(2 * sizes[-1], *found)),
    }


def mean_interval(n):
    values = rng.normal(0.7, 0.4, n)
    drawn = values[rng.integers(0, n, (20000, n))].mean(axis=1)
    half = 1.959963984540054 * values.std() / n**0.5
    return {
        "values": values.tolist(), "percentile": np.percentile(drawn, [2.5, 97.5]).tolist(),
        "normal": [values.mean() - half, values.mean() + half],
    }


def main():
    p_values = [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.0001], rng.random(20).round(4).tolist()]
    golden = {
        "mcnemar": mcnemar(),
        "holm": [{"p": p, "corrected": holm(np.array(p))} for p in p_values],
        "randomisation": [randomisation(10, 3, (0.35, 0.15)), randomisation(9, 2, (0.3, 0.3))],
        "mean_test": [mean_test(12), mean_test(15)],
        "curves": [
            curve([225, 450, 900, 1800, 3600], 0.08, 1.5, 0.5, 0.0),
            curve([225, 450, 900, 1800, 3600], 0.08, 1.5, 0.5, 0.002),
            curve([50, 100, 200, 400, 800], 0.0, 2.0, 0.35, 0.01),
            curve([600, 1200, 2500, 5000, 10000, 20000], 0.05, 9.0, 0.8, 0.001),
            curve([16, 32, 64, 128], 0.2, 1.0, 0.7, 0.005),
        ],
        "mean_intervals": [mean_interval(60), mean_interval(300)],
    }
    (ROOT / "tests/golden/study.json").write_text(json.dumps(golden) + "\n")


main()
