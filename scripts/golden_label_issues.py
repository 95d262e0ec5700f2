"""Reference findings about wrong labels, for tests/label_issues_golden.rs.

    python -m venv env && env/bin/pip install cleanlab==2.9.0 numpy==2.4.6 scikit-learn==1.9.1
    env/bin/python scripts/golden_label_issues.py

Writes tests/golden/label_issues.json. Counts, flags `confident_learning` and the qualities `self_confidence` and `normalized_margin` are cleanlab's. The
quality `error_rates`, which cleanlab has not, is computed here article by article from its definition.
"""

import json
from pathlib import Path

import numpy as np
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues
from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class
from cleanlab.multilabel_classification.rank import get_label_quality_scores_per_class
from cleanlab.rank import get_label_quality_scores

ROOT = Path(__file__).resolve().parent.parent


def error_rate(counts, given):
    support = np.bincount(given, minlength=len(counts))
    return sum(n * (1 - row[k] / row.sum()) for k, (n, row) in enumerate(zip(support, counts))) / len(given)


def error_rates(counts, given, p):
    """T[true, given] as `ConfidentJoint::error_rates` defines it."""
    n, n_classes = p.shape
    support = np.bincount(given, minlength=n_classes)
    moved = np.zeros((n_classes, n_classes))
    for row, own in zip(p, given):
        other = max((k for k in range(n_classes) if k != own), key=lambda k: row[k])
        moved[other, own] += (1 - min(row[own] / row[other], 1)) ** 16
    wrong = error_rate(counts, given) * n
    pairs = ~np.eye(n_classes, dtype=bool)
    even = np.where(pairs, support[:, None] / n / (n_classes - 1), 0)
    moved /= (total := moved.sum())
    chi_squared = total * ((moved - even)[pairs] ** 2 / even[pairs]).sum()
    counted = min(max(1 - (pairs.sum() - 1) / chi_squared, 0), 0.95)
    moved = wrong * (counted * moved + (1 - counted) * even)
    rates = np.zeros_like(moved)
    for true in range(n_classes):
        n_true = max(support[true] - moved[:, true].sum() + moved[true].sum(), moved[true].sum() / 0.9)
        rates[true] = moved[true] / n_true
        rates[true, true] = 1 - moved[true].sum() / n_true
    return rates


def posterior_of_given(rates, given, p):
    quality = []
    for row, own in zip(p, given):
        q = row.copy()
        for _ in range(2):
            q = np.array([q[z] * sum(rates[z, j] * row[j] / sum(q[k] * rates[k, j] for k in range(len(q))) for j in range(len(q))) for z in range(len(q))])
            q /= q.sum()
        true = q * rates[:, own]
        quality.append(true[own] / true.sum())
    return np.array(quality)


def noisy(rng, true, n_classes, rate):
    """Most errors go to the next class, so that pairs of classes differ."""
    step = np.where(rng.random(len(true)) < 0.8, 1, rng.integers(1, n_classes, len(true)))
    return np.where(rng.random(len(true)) < rate, (true + step) % n_classes, true)


def main():
    rng = np.random.default_rng(7)
    n, n_classes = 300, 4
    true = rng.choice(n_classes, n, p=[0.4, 0.3, 0.2, 0.1])
    logits = 1.2 * rng.standard_normal((n, n_classes))
    logits[np.arange(n), true] += 3
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    given = noisy(rng, true, n_classes, 0.12)
    counts = compute_confident_joint(given, p, calibrate=False)
    quality = posterior_of_given(error_rates(counts, given, p), given, p)
    single = {
        "given": given.tolist(),
        "probabilities": p.tolist(),
        "confident_learning": find_label_issues(given, p, filter_by="confident_learning", n_jobs=1).tolist(),
        "self_confidence": get_label_quality_scores(given, p, method="self_confidence").tolist(),
        "normalized_margin": get_label_quality_scores(given, p, method="normalized_margin").tolist(),
        "error_rates": quality.tolist(),
    }

    n, n_labels = 120, 5
    true = rng.random((n, n_labels)) < [0.5, 0.3, 0.2, 0.1, 0.06]
    p = 1 / (1 + np.exp(-(1.3 * rng.standard_normal((n, n_labels)) + np.where(true, 2.5, -2.5))))
    given = true ^ (rng.random((n, n_labels)) < 0.05)
    lists = [np.flatnonzero(row).tolist() for row in given]
    cells = np.zeros((n, n_labels))
    for k in range(n_labels):
        classes, both = given[:, k].astype(int), np.column_stack([1 - p[:, k], p[:, k]])
        counts = compute_confident_joint(classes, both, calibrate=False)
        cells[:, k] = posterior_of_given(error_rates(counts, classes, both), classes, both)
    multi = {
        "given": lists,
        "probabilities": p.tolist(),
        "confident_learning": find_multilabel_issues_per_class(lists, p, filter_by="confident_learning", n_jobs=1).tolist(),
        "self_confidence": get_label_quality_scores_per_class(lists, p, method="self_confidence").tolist(),
        "normalized_margin": get_label_quality_scores_per_class(lists, p, method="normalized_margin").tolist(),
        "error_rates": cells.tolist(),
    }
    (ROOT / "tests" / "golden" / "label_issues.json").write_text(json.dumps({"single": single, "multi": multi}) + "\n")


if __name__ == "__main__":
    main()
