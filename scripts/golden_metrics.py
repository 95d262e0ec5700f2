# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scikit-learn==1.9.1"]
# ///
"""Writes tests/golden/metrics.json: inputs and the values that scikit-learn gives for them.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    python scripts/golden_metrics.py

Calibration errors and the parts of the Brier score have no counterpart in scikit-learn; they are computed here with numpy, from the definition.
Undefined values (NaN) are written as null.
"""

import json
import math
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn import metrics

assert np.__version__ == "2.4.6", np.__version__
assert sklearn.__version__ == "1.9.1", sklearn.__version__
warnings.simplefilter("ignore")

ROOT = pathlib.Path(__file__).resolve().parent.parent
N_BINS = 15
ZERO_DIVISION = {"zero": 0, "one": 1, "nan": np.nan}


def plain(value):
    """Arrays to lists, NaN to null."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(entry) for entry in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else float(value)
    return value


def prf(y_true, y_pred, average, zero_division, weights=None):
    """Precision, recall and F1 of an indicator matrix. One column alone would be taken for a binary problem, so it is
    scored as one, and a column of negatives, which changes neither total nor row, is added for micro and samples."""
    kwargs = {"zero_division": zero_division, "sample_weight": weights}
    if y_true.shape[1] > 1:
        return metrics.precision_recall_fscore_support(y_true, y_pred, average=average, **kwargs)
    if average in ("micro", "samples"):
        padding = np.zeros_like(y_true)
        y_true, y_pred = np.hstack([y_true, padding]), np.hstack([y_pred, padding])
        return metrics.precision_recall_fscore_support(y_true, y_pred, average=average, **kwargs)
    scores = metrics.precision_recall_fscore_support(y_true[:, 0], y_pred[:, 0], average="binary", **kwargs)[:3]
    if average is None:
        weights = np.ones(len(y_true)) if weights is None else weights
        return [np.array([score]) for score in scores] + [np.array([(y_true[:, 0] * weights).sum()])]
    return scores


def prf_all(y_true, y_pred, zero_division, weights=None):
    per_label = prf(y_true, y_pred, None, zero_division, weights)
    out = {"per_label": dict(zip(["precision", "recall", "f1", "support"], per_label))}
    for average in ["micro", "macro", "weighted", "samples"]:
        out[average] = dict(zip(["precision", "recall", "f1"], prf(y_true, y_pred, average, zero_division, weights)[:3]))
    return out


def ranking(y_true, y_score, weights=None):
    """Per label: average precision as scikit-learn gives it (0 without positives) and ROC-AUC (null with one class)."""
    columns = range(y_true.shape[1])
    return {
        "average_precision": [
            metrics.average_precision_score(y_true[:, k], y_score[:, k], sample_weight=weights) for k in columns
        ],
        "roc_auc": [auc(y_true[:, k], y_score[:, k], weights) for k in columns],
    }


def auc(y_true, y_score, weights):
    present = y_true if weights is None else y_true[weights > 0]
    if len(np.unique(present)) < 2:
        return np.nan
    return metrics.roc_auc_score(y_true, y_score, sample_weight=weights)


def ece_equal_width(confidence, outcome, weights=None):
    """Guo et al. 2017, eq. 3: bins ((b-1)/B, b/B], the first one closed at 0."""
    weights = np.ones(len(confidence)) if weights is None else weights
    edges = np.arange(1, N_BINS) / N_BINS
    bins = np.searchsorted(edges, confidence, side="left")
    return ece_of(bins, confidence, outcome, weights)


def ece_equal_mass(confidence, outcome):
    """Bins of nearly equal counts by rank; equal confidences share the bin of the first of them."""
    return ece_of(mass_bins(confidence), confidence, outcome, np.ones(len(confidence)))


def mass_bins(values):
    first_rank = np.searchsorted(np.sort(values), values, side="left")
    return first_rank * N_BINS // len(values)


def ece_floor(confidence):
    """Mean calibration error of outcomes that come true with these confidences: the distribution of each bin's count, one outcome after the other."""
    error = 0.0
    bins = mass_bins(confidence)
    for b in np.unique(bins):
        counts = np.ones(1)
        for p in confidence[bins == b]:
            counts = np.convolve(counts, [1 - p, p])
        error += (counts * abs(np.arange(len(counts)) - confidence[bins == b].sum())).sum()
    return error / len(confidence)


def brier_parts(y_true, y_score):
    """Murphy's parts of one label's Brier score, and what is left over within bins."""
    bins = mass_bins(y_score)
    mean = lambda values: np.array([values[bins == b].mean() for b in bins])
    frequency, confidence, overall = mean(y_true), mean(y_score), y_true.mean()
    parts = [((confidence - frequency) ** 2).mean(), ((frequency - overall) ** 2).mean(), overall * (1 - overall)]
    return np.array([*parts, ((y_score - y_true) ** 2).mean() - parts[0] + parts[1] - parts[2]])


def all_brier_parts(y_true, y_score, scale):
    parts = scale * sum(brier_parts(y_true[:, k], y_score[:, k]) for k in range(y_true.shape[1]))
    return dict(zip(["brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins"], parts))


def ece_of(bins, confidence, outcome, weights):
    error = 0.0
    for b in range(N_BINS):
        inside = bins == b
        mass = weights[inside].sum()
        if mass > 0:
            gap = np.average(outcome[inside], weights=weights[inside]) - np.average(
                confidence[inside], weights=weights[inside]
            )
            error += mass / weights.sum() * abs(gap)
    return error


def multi_case(name, y_true, y_score, y_pred=None, weights=None):
    y_true = np.asarray(y_true, dtype=int)
    y_score = np.asarray(y_score, dtype=float)
    y_pred = (y_score >= 0.5).astype(int) if y_pred is None else np.asarray(y_pred, dtype=int)
    one_label = y_true.shape[1] == 1
    flat_true, flat_score = y_true.ravel(), y_score.ravel()
    flat_weights = None if weights is None else np.repeat(weights, y_true.shape[1])
    both = lambda k: np.column_stack([1 - y_score[:, k], y_score[:, k]])
    log_losses = [
        metrics.log_loss(y_true[:, k], y_proba=both(k), labels=[0, 1], sample_weight=weights)
        for k in range(y_true.shape[1])
    ]
    briers = [
        metrics.brier_score_loss(y_true[:, k], y_score[:, k], pos_label=1, sample_weight=weights)
        for k in range(y_true.shape[1])
    ]
    if one_label:
        subset = metrics.accuracy_score(y_true[:, 0], y_pred[:, 0], sample_weight=weights)
        hamming = metrics.hamming_loss(y_true[:, 0], y_pred[:, 0], sample_weight=weights)
        confusion = metrics.confusion_matrix(y_true[:, 0], y_pred[:, 0], labels=[0, 1], sample_weight=weights)[None]
    else:
        subset = metrics.accuracy_score(y_true, y_pred, sample_weight=weights)
        hamming = metrics.hamming_loss(y_true, y_pred, sample_weight=weights)
        confusion = metrics.multilabel_confusion_matrix(y_true, y_pred, sample_weight=weights)
    expected = {
        "prf": {
            key: prf_all(y_true, y_pred, value, weights)
            for key, value in ZERO_DIVISION.items()
            if weights is None or key == "zero"
        },
        "subset_accuracy": subset,
        "hamming_loss": hamming,
        "log_loss": np.mean(log_losses),
        "brier": np.mean(briers),
        "ece": ece_equal_width(flat_score, flat_true, flat_weights),
        "multilabel_confusion_matrix": confusion,
        **ranking(y_true, y_score, weights),
    }
    if weights is None:
        expected["ece_equal_mass"] = ece_equal_mass(flat_score, flat_true)
        expected["ece_equal_mass_floor"] = ece_floor(flat_score)
        expected.update(all_brier_parts(y_true, y_score, 1 / y_true.shape[1]))
        expected["cooccurrence_true"] = y_true.T @ y_true
        expected["cooccurrence_predicted"] = y_pred.T @ y_pred
        confused = y_true.T @ (y_pred * (1 - y_true))
        np.fill_diagonal(confused, (y_true * y_pred).sum(axis=0))
        expected["confused"] = confused
    return {
        "name": name,
        "task": "multi",
        "y_true": y_true.astype(bool),
        "y_pred": y_pred.astype(bool),
        "y_score": y_score,
        "weights": weights,
        "expected": expected,
    }


def single_case(name, y_true, y_score, weights=None):
    y_true = np.asarray(y_true, dtype=int)
    y_score = np.asarray(y_score, dtype=float)
    y_pred = y_score.argmax(axis=1)
    n_labels = y_score.shape[1]
    labels = list(range(n_labels))
    one_hot = np.eye(n_labels, dtype=int)[y_true]
    kwargs = {"sample_weight": weights}
    prf_of = lambda average, zero_division: metrics.precision_recall_fscore_support(
        y_true, y_pred, labels=labels, average=average, zero_division=zero_division, **kwargs
    )
    scores = {}
    for key, value in ZERO_DIVISION.items():
        if weights is not None and key != "zero":
            continue
        scores[key] = {"per_label": dict(zip(["precision", "recall", "f1", "support"], prf_of(None, value)))}
        for average in ["micro", "macro", "weighted"]:
            scores[key][average] = dict(zip(["precision", "recall", "f1"], prf_of(average, value)[:3]))
    confidence = y_score.max(axis=1)
    correct = (y_pred == y_true).astype(int)
    expected = {
        "prf": scores,
        "accuracy": metrics.accuracy_score(y_true, y_pred, **kwargs),
        "log_loss": metrics.log_loss(y_true, y_proba=y_score, labels=labels, **kwargs),
        "brier": metrics.brier_score_loss(y_true, y_score, labels=labels, **kwargs),
        "ece": ece_equal_width(confidence, correct, weights),
        "confusion_matrix": metrics.confusion_matrix(y_true, y_pred, labels=labels, **kwargs),
        **ranking(one_hot, y_score, weights),
    }
    if weights is None:
        expected["ece_equal_mass"] = ece_equal_mass(confidence, correct)
        expected["ece_equal_mass_floor"] = ece_floor(confidence)
        expected.update(all_brier_parts(one_hot, y_score, 0.5 if n_labels == 2 else 1))
    return {
        "name": name,
        "task": "single",
        "y_true": y_true,
        "y_pred": y_pred,
        "y_score": y_score,
        "weights": weights,
        "expected": expected,
    }


def random_multi(rng, n, n_labels, rate=0.3, decimals=None):
    y_true = rng.random((n, n_labels)) < rate
    y_score = 1 / (1 + np.exp(-(rng.normal(size=y_true.shape) * 1.5 + 2.5 * y_true - 1)))
    return y_true, y_score if decimals is None else y_score.round(decimals)


def random_single(rng, n, n_labels, n_present=None):
    y_true = rng.integers(0, n_present or n_labels, n)
    logits = rng.normal(size=(n, n_labels)) + 1.5 * np.eye(n_labels)[y_true]
    odds = np.exp(logits)
    return y_true, odds / odds.sum(axis=1, keepdims=True)


def main():
    rng = np.random.default_rng(20240607)
    cases = [multi_case("multi: random", *random_multi(rng, 40, 6))]
    cases.append(multi_case("multi: ties in scores", *random_multi(rng, 40, 5, decimals=1)))

    y_true, y_score = random_multi(rng, 25, 5)
    y_true[:, 1] = False
    y_score[:, 1] *= 0.4
    cases.append(multi_case("multi: a label that is neither true nor predicted", y_true, y_score))
    y_true[:, 3] = True
    y_true[:, 4] = False
    cases.append(multi_case("multi: labels without positives and without negatives", y_true, y_score))

    y_true, y_score = random_multi(rng, 30, 4)
    y_true[::4], y_score[1::4] = False, 0.1
    cases.append(multi_case("multi: rows without true, predicted or any labels", y_true, y_score))
    cases.append(multi_case("multi: nothing is predicted", y_true, y_score * 0.3))
    cases.append(multi_case("multi: nothing is true", np.zeros_like(y_true), y_score))
    cases.append(multi_case("multi: nothing is true or predicted", np.zeros_like(y_true), y_score * 0.3))
    cases.append(multi_case("multi: everything is true", np.ones_like(y_true), y_score))
    cases.append(multi_case("multi: all scores alike", y_true, np.full_like(y_score, 0.5)))

    cases.append(multi_case("multi: one row", [[True, False, True]], [[0.9, 0.6, 0.2]]))
    cases.append(multi_case("multi: one empty row", [[False, False]], [[0.1, 0.2]]))
    cases.append(multi_case("multi: one label", *random_multi(rng, 20, 1)))
    cases.append(multi_case("multi: one row, one label", [[True]], [[0.75]]))

    y_true, y_score = random_multi(rng, 24, 3)
    y_score = np.where(y_score < 0.3, 0.0, np.where(y_score > 0.7, 1.0, y_score))
    cases.append(multi_case("multi: probabilities of exactly 0 and 1", y_true, y_score))
    cases.append(multi_case("multi: scores on the edges of bins", y_true, rng.integers(0, 16, y_true.shape) / 15))

    y_true, y_score = random_multi(rng, 30, 4)
    y_pred = y_score >= np.array([0.2, 0.5, 0.7, 1.0])
    cases.append(multi_case("multi: thresholds of its own for each label", y_true, y_score, y_pred))
    y_true, y_score = random_multi(rng, 35, 5, decimals=2)
    cases.append(multi_case("multi: weighted rows", y_true, y_score, weights=rng.integers(0, 4, 35)))

    cases.append(single_case("single: random", *random_single(rng, 50, 4)))
    cases.append(single_case("single: a label that no row has", *random_single(rng, 30, 5, n_present=3)))
    y_true, y_score = random_single(rng, 30, 4)
    y_score[:, 2] = 0
    y_score /= y_score.sum(axis=1, keepdims=True)
    y_score[:, 2] = 0
    cases.append(single_case("single: a label that is never predicted", y_true, y_score))
    cases.append(single_case("single: two labels", *random_single(rng, 25, 2)))
    cases.append(single_case("single: one row", [2], [[0.2, 0.3, 0.5]]))
    y_true, y_score = random_single(rng, 20, 3)
    cases.append(single_case("single: probabilities of exactly 0 and 1", y_true, np.eye(3)[y_score.argmax(axis=1)]))
    cases.append(single_case("single: all probabilities alike", y_true, np.full((20, 3), 1 / 3)))
    y_true, y_score = random_single(rng, 40, 4)
    cases.append(single_case("single: weighted rows", y_true, y_score, weights=rng.integers(0, 4, 40)))

    sample = rng.normal(size=37)
    golden = {
        "made_by": f"scripts/golden_metrics.py, numpy {np.__version__}, scikit-learn {sklearn.__version__}",
        "percentiles": {
            "sample": sample,
            "levels": [0.0, 2.5, 5.0, 50.0, 97.5, 100.0],
            "values": np.percentile(sample, [0.0, 2.5, 5.0, 50.0, 97.5, 100.0]),
        },
        "cases": cases,
    }
    path = ROOT / "tests/golden/metrics.json"
    with path.open("w") as file:
        head = plain({key: golden[key] for key in ("made_by", "percentiles")})
        file.write(json.dumps(head, allow_nan=False)[:-1] + ', "cases": [\n')
        file.write(",\n".join(json.dumps(plain(case), allow_nan=False) for case in cases))
        file.write("\n]}\n")
    print(f"{path.relative_to(ROOT)}: {len(cases)} cases")


if __name__ == "__main__":
    main()
