"""Reference contracts by SciPy, for tests/contract_golden.rs.

    python -m venv env && env/bin/pip install numpy==2.4.6 scipy==1.17.1
    env/bin/python scripts/golden_contract.py

Writes tests/golden/contract.json: binomial tails (scipy.stats.binom), lower bounds of Clopper & Pearson (scipy.stats.beta), and thresholds of
small tasks by the fallback procedure and by order statistics, written from the papers: Wiens & Dmitrienko (2005), Bates et al. (2021).
"""

import json
from pathlib import Path

import numpy as np
from scipy.special import expit, logit
from scipy.stats import beta, binom

ROOT = Path(__file__).resolve().parent.parent
DELTA = 0.1


def tails(rng: np.random.Generator) -> list[dict]:
    cases = [(1, 1, 0.5), (2, 1, 0.5), (45, 45, 0.95), (44, 44, 0.95), (1_000_000, 951_000, 0.95), (1_000_000, 999_990, 0.9999)]
    for _ in range(200):
        n = int(10 ** rng.uniform(0, 6))
        share = float(rng.choice([0.5, 0.8, 0.9, 0.95, 0.99]))
        near = n * share + rng.normal() * 2 * np.sqrt(n * share * (1 - share))
        cases.append((n, int(np.clip(round(near), 1, n)), share))
    return [
        {"n": n, "n_right": k, "share": p, "tail": float(binom.sf(k - 1, n, p)), "bound": float(beta.ppf(DELTA, k, n - k + 1))}
        for n, k, p in cases
    ]


def rungs(p: float) -> list[tuple[float, float]]:
    """Thresholds from the top, and the share of the risk that each has of its own."""
    below = expit(logit(p) - 0.4 * np.arange(1, 40))
    below = below[below >= 0.15]
    thresholds = [1 - (1 - p) / 4, 1 - (1 - p) / 2, p, *below]
    shares = [0.05, 0.1, 0.8, *(0.05 / len(below) for _ in below)]
    return list(zip(thresholds, shares))


def precision_threshold(score: np.ndarray, right: np.ndarray, p: float) -> float | None:
    chosen, carried = None, 0.0
    for threshold, share in rungs(p):
        level = DELTA * share + carried
        reach = score >= threshold
        if binom.sf(right[reach].sum() - 1, reach.sum(), p) <= level:
            chosen, carried = float(threshold), level
        else:
            carried = 0.0
    return chosen


def recall_threshold(score: np.ndarray, r: float) -> float | None:
    for place, threshold in enumerate(np.sort(score)[::-1]):
        if binom.sf(place, len(score), r) <= DELTA:
            return float(threshold)
    return None


def task(rng: np.random.Generator, single: bool, share: float) -> dict:
    n, n_labels = 400, 4
    logits = 3 * rng.normal(size=(n, n_labels)) - (0 if single else 1)
    logits[:, -1] -= 4
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) if single else expit(logits)
    truth = p.cumsum(1) > rng.random((n, 1))
    truth = truth & ~np.roll(truth, 1, axis=1) if single else rng.random(p.shape) < p
    truth[:, 0] = truth[:, 0] if not single else ~truth[:, 1:].any(1)
    assigned = np.arange(n_labels) == p.argmax(1)[:, None] if single else np.ones_like(truth)
    by_label = range(n_labels)
    case = {
        "task": "single" if single else "multi",
        "share": share,
        "probabilities": p.tolist(),
        "truth": truth.tolist(),
        "precision": [precision_threshold(p[assigned[:, k], k], truth[assigned[:, k], k], share) for k in by_label],
        "recall": [recall_threshold(p[truth[:, k], k], share) for k in by_label],
    }
    if single:
        case["precision_all"] = precision_threshold(p.max(1), (truth & assigned).any(1), share)
        case["recall_all"] = recall_threshold(p[truth], share)
    return case


def main() -> None:
    rng = np.random.default_rng(0)
    tasks = [task(rng, single, share) for single in (True, False) for share in (0.8, 0.95)]
    golden = {"delta": DELTA, "tails": tails(rng), "tasks": tasks}
    (ROOT / "tests" / "golden" / "contract.json").write_text(json.dumps(golden) + "\n")
    for case in tasks:
        print(case["task"], case["share"], {key: value for key, value in case.items() if key[:4] in ("prec", "reca")})


if __name__ == "__main__":
    main()
