"""Calibrations of logits by other programs, for tests/calibration_golden.rs.

    python -m venv env && env/bin/pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 betacal==1.1.0
    env/bin/python scripts/golden_calibration.py

Writes tests/golden/calibration.json: isotonic regression by scikit-learn, ties and weights included; beta calibration by betacal, the package of its
authors, and by a bounded search of scipy for the same loss; temperature of sigmoids, and Platt's lines of each label against the others scaled to
sum 1, by scipy; bins of a reliability diagram by scikit-learn's calibration_curve, their intervals by scipy.
"""

import json
from pathlib import Path

import numpy as np
import scipy
import sklearn
from betacal import BetaCalibration
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, logsumexp
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression

assert np.__version__ == "2.4.6", np.__version__
assert scipy.__version__ == "1.17.1", scipy.__version__
assert sklearn.__version__ == "1.9.1", sklearn.__version__

ROOT = Path(__file__).resolve().parent.parent
N_BINS = 15


def softplus(z):
    return np.logaddexp(0, z)


def isotonic(rng, n, decimals, weighted):
    logits = rng.normal(0, 2, n)
    if decimals is not None:
        logits = logits.round(decimals)
    outcomes = (rng.random(n) < expit(logits)).astype(float)
    weights = rng.integers(1, 5, n).astype(float) if weighted else np.ones(n)
    fitted = IsotonicRegression(out_of_bounds="clip").fit(logits, outcomes, sample_weight=weights)
    return {
        "logits": logits.tolist(),
        "outcomes": outcomes.tolist(),
        "weights": weights.tolist(),
        "expected": fitted.predict(logits).tolist(),
    }


def cross_entropy(z, targets):
    return (softplus(z) - targets * z).sum()


def beta(name, logits, targets):
    """Kull et al. 2017, equation 5, minimised within a, b >= 0; the gradient is given, so that the search ends at the minimum."""

    features = np.column_stack([-softplus(-logits), softplus(logits), np.ones_like(logits)])

    def loss(parameters):
        z = features @ parameters
        return cross_entropy(z, targets), features.T @ (expit(z) - targets)

    bounds = [(0, None), (0, None), (None, None)]
    best = minimize(loss, [1.0, 1.0, 0.0], jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 10_000})
    case = {"name": name, "logits": logits.tolist(), "targets": targets.tolist(), "expected": best.x.tolist()}
    if set(targets) <= {0.0, 1.0}:
        # Their package goes by probabilities, and its search is loose; it is compared by what it predicts.
        probabilities = expit(logits)
        case["betacal"] = BetaCalibration("abm").fit(probabilities, targets.astype(int)).predict(probabilities).tolist()
    return case


def beta_cases(rng):
    logits = rng.normal(0, 2, 400)
    bent = np.where(logits < 0, 0.4 * logits, 1.5 * logits) - 0.5
    outcomes = (rng.random(400) < expit(bent)).astype(float)
    cases = [beta("a bend", logits, outcomes)]
    n_positive = outcomes.sum()
    smoothed = np.where(outcomes > 0, (n_positive + 1) / (n_positive + 2), 1 / (400 - n_positive + 2))
    cases.append(beta("a bend, smoothed targets", logits, smoothed))
    humped = np.where(np.abs(logits) < 1.5, 0.8, 0.1)
    cases.append(beta("falls above", logits, (rng.random(400) < np.where(logits < -1, 0.1, humped)).astype(float)))
    cases.append(beta("falls below", logits, (rng.random(400) < np.where(logits > 1, 0.95, 1 - humped)).astype(float)))
    cases.append(beta("far out", np.concatenate([logits, [100.0, -100.0]]), np.concatenate([outcomes, [1.0, 0.0]])))
    return cases


def platt_targets(outcomes):
    n_positive = outcomes.sum(axis=0)
    n_negative = len(outcomes) - n_positive
    return np.where(outcomes, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))


def temperature(rng):
    logits = rng.normal(-1, 3, (120, 4))
    outcomes = rng.random(logits.shape) < expit(logits / 2.2)
    targets = platt_targets(outcomes)
    best = minimize_scalar(lambda inverse: cross_entropy(inverse * logits, targets), bounds=(0.05, 5), method="bounded", options={"xatol": 1e-12})
    return {"logits": logits.tolist(), "outcomes": outcomes.tolist(), "expected": 1 / best.x}


def one_vs_rest(rng):
    logits = rng.normal(0, 2, (240, 3))
    labels = np.array([rng.choice(3, p=np.exp(log_softmax(row / 2 + [0.5, 0, -0.5]))) for row in logits])
    odds = np.column_stack([logits[:, k] - logsumexp(np.delete(logits, k, axis=1), axis=1) for k in range(3)])
    targets = platt_targets(labels[:, None] == np.arange(3))
    scores = np.zeros_like(odds)
    for k in range(3):
        def loss(line):
            z = line[0] * odds[:, k] + line[1]
            residual = expit(z) - targets[:, k]
            return cross_entropy(z, targets[:, k]), np.array([residual @ odds[:, k], residual.sum()])

        line = minimize(loss, [1.0, 0.0], jac=True, method="BFGS", options={"gtol": 1e-10}).x
        scores[:, k] = expit(line[0] * odds[:, k] + line[1])
    expected = scores / scores.sum(axis=1, keepdims=True)
    return {"logits": logits.tolist(), "labels": labels.tolist(), "expected": expected.tolist()}


def reliability(rng):
    """As many predictions as fill every bin alike, none twice: there the bins of both are the same."""
    confidence = rng.permutation(np.linspace(0.01, 0.99, 20 * N_BINS)) ** 2
    outcome = rng.random(len(confidence)) < confidence
    frequency, mean = calibration_curve(outcome, confidence, n_bins=N_BINS, strategy="quantile")
    intervals = [binomtest(round(20 * f), 20).proportion_ci(0.95, method="wilson") for f in frequency]
    return {
        "confidence": confidence.tolist(),
        "outcome": outcome.tolist(),
        "frequency": frequency.tolist(),
        "mean_confidence": mean.tolist(),
        "intervals": [[interval.low, interval.high] for interval in intervals],
    }


def main():
    rng = np.random.default_rng(2017)
    golden = {
        "made_by": f"scripts/golden_calibration.py, numpy {np.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}, betacal 1.1.0",
        "isotonic": [isotonic(rng, 60, None, False), isotonic(rng, 80, 0, False), isotonic(rng, 80, 1, True), isotonic(rng, 1, None, False)],
        "beta": beta_cases(rng),
        "temperature": temperature(rng),
        "one_vs_rest": one_vs_rest(rng),
        "reliability": reliability(rng),
    }
    path = ROOT / "tests/golden/calibration.json"
    path.write_text(json.dumps(golden, allow_nan=False) + "\n")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
