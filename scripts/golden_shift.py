"""Reference label frequencies by expectation maximisation and from confusions, for tests/shift_golden.rs.

    python -m venv env && env/bin/pip install numpy==2.4.6 scipy==1.17.1
    env/bin/python scripts/golden_shift.py

Writes tests/golden/shift.json. The frequencies are found by general optimisers, not by the steps the library takes: the posterior of
Saerens, Latinne & Decaestecker (2002) by a search in one dimension (several labels) or by SLSQP (one label), those of Lipton, Wang &
Smola (2018) from their equations.
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

ROOT = Path(__file__).resolve().parent.parent
PRIOR_POSITIVES = 5.0
MAX_RATIO = 8.0


def binary_posterior(p: np.ndarray, training: float) -> float:
    prior = PRIOR_POSITIVES / min(training, 1 - training)

    def loss(log_odds: float) -> float:
        share = expit(log_odds)
        likelihood = np.log(p * share / training + (1 - p) * (1 - share) / (1 - training)).sum()
        return -likelihood - prior * (training * np.log(share) + (1 - training) * np.log(1 - share))

    reach = np.log(MAX_RATIO)
    found = minimize_scalar(loss, bounds=(logit(training) - reach, logit(training) + reach), method="bounded", options={"xatol": 1e-12})
    return float(expit(found.x))


def binary_black_box(assigned: np.ndarray, training_assigned: np.ndarray, truth: np.ndarray) -> float:
    training = truth.mean()
    hit = (truth[training_assigned].sum() + 0.5) / (truth.sum() + 1)
    false_alarm = ((~truth)[training_assigned].sum() + 0.5) / ((~truth).sum() + 1)
    expected = training * hit + (1 - training) * false_alarm
    # Two independent normal estimates of one number: by the assignments and by the prior.
    estimate = (assigned.mean() - false_alarm) / (hit - false_alarm)
    variance = expected * (1 - expected) / len(assigned) / (hit - false_alarm) ** 2
    prior_variance = training * (1 - training) / (PRIOR_POSITIVES / min(training, 1 - training))
    share = (estimate / variance + training / prior_variance) / (1 / variance + 1 / prior_variance)
    reach = np.log(MAX_RATIO)
    change = logit(min(max(share, 1e-9), 1 - 1e-9)) - logit(training)
    return float(expit(logit(training) + np.clip(change, -reach, reach)))


def categorical_posterior(p: np.ndarray, training: np.ndarray) -> np.ndarray:
    prior = PRIOR_POSITIVES * len(training)

    def loss(share: np.ndarray) -> float:
        return -(np.log(p @ (share / training)).sum() + prior * (training * np.log(share)).sum())

    def gradient(share: np.ndarray) -> np.ndarray:
        return -((p / training).T @ (1 / (p @ (share / training))) + prior * training / share)

    bounds = [(t / MAX_RATIO, min(1.0, t * MAX_RATIO)) for t in training]
    sums = {"type": "eq", "fun": lambda share: share.sum() - 1, "jac": lambda share: np.ones_like(share)}
    found = minimize(loss, training, jac=gradient, bounds=bounds, constraints=[sums], method="SLSQP", options={"ftol": 1e-15, "maxiter": 1000})
    return found.x


def categorical_black_box(counts: np.ndarray, confusion: np.ndarray, training: np.ndarray) -> np.ndarray:
    n, prior = counts.sum(), PRIOR_POSITIVES * len(training)
    expected = confusion.sum(axis=1)
    matrix = confusion / training
    quadratic = n * (matrix.T / expected) @ matrix + prior * np.diag(1 / training)
    linear = n * (matrix.T / expected) @ (counts / n) + prior

    def loss(share: np.ndarray) -> float:
        return 0.5 * share @ quadratic @ share - linear @ share

    bounds = [(t / MAX_RATIO, t * MAX_RATIO) for t in training]
    sums = {"type": "eq", "fun": lambda share: share.sum() - 1, "jac": lambda share: np.ones_like(share)}
    found = minimize(loss, training, jac=lambda share: quadratic @ share - linear, bounds=bounds, constraints=[sums], method="SLSQP", options={"ftol": 1e-16, "maxiter": 1000})
    return found.x


def main() -> None:
    rng = np.random.default_rng(20)
    # Four labels, the last rare and unlikely everywhere so that its bound is met.
    training = [0.3, 0.1, 0.6, 0.05]
    n, n_training = 60, 90
    offsets = [1.0, 0.5, -2.0, -6.0]
    p = expit(np.array([logit(t) + o + 2 * rng.standard_normal(n) for t, o in zip(training, offsets)]).T).round(6)
    truth = rng.random((n_training, 4)) < training
    assigned = rng.random((n_training, 4)) < np.where(truth, 0.7, 0.1)
    target = rng.random((n, 4)) < [0.6, 0.1, 0.2, 0.9]
    multi = {
        "probabilities": p.tolist(),
        "training": training,
        "shares": [binary_posterior(p[:, k], t) for k, t in enumerate(training)],
        "training_truth": truth.tolist(),
        "training_decisions": assigned.tolist(),
        "decisions": target.tolist(),
        "black_box_shares": [binary_black_box(target[:, k], assigned[:, k], truth[:, k]) for k in range(4)],
    }

    training = np.array([0.5, 0.3, 0.19, 0.01])
    logits = 2 * rng.standard_normal((n, 4)) + np.log(training) + np.array([-2.0, 1.0, 0.0, 4.0])
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)).round(9)
    p[:, 0] += 1 - p.sum(axis=1)
    truth = rng.choice(4, n_training, p=[0.4, 0.3, 0.2, 0.1])
    assigned = np.where(rng.random(n_training) < 0.7, truth, rng.choice(4, n_training))
    target = rng.choice(4, n, p=[0.1, 0.2, 0.6, 0.1])
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (assigned, truth), 1 / n_training)
    single = {
        "probabilities": p.tolist(),
        "training": training.tolist(),
        "shares": categorical_posterior(p, training).tolist(),
        "training_truth": truth.tolist(),
        "training_decisions": assigned.tolist(),
        "decisions": target.tolist(),
        "black_box_shares": categorical_black_box(np.bincount(target, minlength=4), confusion, confusion.sum(axis=0)).tolist(),
    }
    golden = {"prior_positives": PRIOR_POSITIVES, "max_odds_ratio": MAX_RATIO, "multi": multi, "single": single}
    (ROOT / "tests" / "golden" / "shift.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
