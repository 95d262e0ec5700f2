"""How much contracts assign by one procedure or another, on populations of real predictions.

    topicwire predict MODEL TEST.jsonl -o PREDICTED.jsonl
    env/bin/python scripts/compare_contract_procedures.py PREDICTED.jsonl TEST.jsonl ...    # numpy==2.4.6 scipy==1.17.1

Pairs of files. Of sets with one label an article: samples of each label's articles, coverage certified by procedures that control the error over several
thresholds. Of sets with several: one threshold over all labels, by a drawn label and the exact binomial tail, by Hoeffding & Bentkus, and by
betting (Waudby-Smith & Ramdas, 2023) on the shares themselves. Mean share of what the best threshold would assign, delta 0.1.
"""

import json
import sys

import numpy as np
from golden_contract import DELTA, rungs
from scipy.stats import binom

N_RESAMPLES = 400
PROMISES = (0.8, 0.9, 0.95)


def fallback(p_values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The lowest certified threshold of each row, -1 for none."""
    carried, lowest = np.zeros(len(p_values)), np.full(len(p_values), -1)
    for j, share in enumerate(shares):
        level = DELTA * share + carried
        is_certified = p_values[:, j] <= level
        lowest[is_certified] = j
        carried = np.where(is_certified, level, 0)
    return lowest


def bonferroni(p_values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    certified = p_values <= DELTA * shares
    return np.where(certified.any(1), certified.shape[1] - 1 - certified[:, ::-1].argmax(1), -1)


def procedures(tried: list) -> dict:
    m, own = len(tried), np.array([share for _, share in tried])
    return {
        "Bonferroni": (bonferroni, np.full(m, 1 / m)),
        "fallback, equal shares": (fallback, np.full(m, 1 / m)),
        "fixed sequence from the top": (fallback, np.eye(m)[0]),
        "fixed sequence from the promise": (fallback, np.eye(m)[2]),
        "fallback, 0.8 at the promise": (fallback, own),
    }


def compare_shares(sets: list, rng: np.random.Generator) -> None:
    sizes = (60, 100, 200, 500, 2000)
    result = {}
    for p, truth in sets:
        best = p.argmax(1)
        groups = [best == k for k in range(p.shape[1])] if p.shape[1] < 10 else [best % 8 == k for k in range(8)]
        for rows in groups:
            score, right = p[rows].max(1), truth[rows, best[rows]]
            order = np.argsort(-score)
            shares = right[order].cumsum() / np.arange(1, len(order) + 1)
            for promise in PROMISES:
                tried = rungs(promise)
                m = len(tried)
                good = np.flatnonzero(shares >= promise)
                most = (good.max() + 1) / len(order) if len(good) else 0
                if most < 0.05:
                    continue
                bins = np.searchsorted([-t for t, _ in tried], -score)
                mass = np.bincount(bins, minlength=m + 1)
                chance = np.bincount(bins, weights=right, minlength=m + 1) / np.maximum(mass, 1)
                for n in sizes:
                    counts = rng.multinomial(n, mass / mass.sum(), size=N_RESAMPLES)
                    hits = rng.binomial(counts, chance)
                    p_values = binom.sf(hits.cumsum(1)[:, :m] - 1, counts.cumsum(1)[:, :m], promise)
                    reach = mass.cumsum()[:m] / mass.sum()
                    for name, (procedure, own) in procedures(tried).items():
                        lowest = procedure(p_values, own)
                        result.setdefault((name, n), []).append(np.where(lowest >= 0, reach[lowest], 0).mean() / most)
    for name in procedures(rungs(0.9)):
        print(f"| {name} |", " | ".join(f"{np.mean(result[name, n]):.2f}" for n in sizes), "|")


def bet(x: np.ndarray, mean: float) -> float:
    """p-value of "the mean is at most `mean`": bets by the plug-in rule of Waudby-Smith & Ramdas, truncated at half of what may be lost."""
    n = len(x)
    if not n:
        return 1.0
    t = np.arange(1, n + 1)
    guess = (0.5 + x.cumsum()) / (t + 1)
    variance = (0.25 + ((x - guess) ** 2).cumsum()) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    stake = np.minimum(np.sqrt(2 * np.log(1 / DELTA) / (before * n)), 0.5 / mean)
    return float(min(1, np.exp(-np.log1p(stake * (x - mean)).cumsum().max())))


def hoeffding_bentkus(x: np.ndarray, mean: float) -> float:
    n, loss, limit = len(x), 1 - x.mean() if len(x) else 1, 1 - mean
    if not n or loss >= limit:
        return 1.0
    kl = (loss * np.log(loss / limit) if loss else 0) + (1 - loss) * np.log((1 - loss) / (1 - limit))
    return float(min(np.exp(-n * kl), np.e * binom.cdf(np.ceil(n * loss - 1e-9), n, limit), 1))


def compare_units(p: np.ndarray, truth: np.ndarray, rng: np.random.Generator) -> None:
    sizes = (200, 500, 2000)
    for promise in PROMISES:
        tried = rungs(promise)
        own = np.array([share for _, share in tried])
        shares = np.stack([((p >= t) & truth).sum(1) / np.maximum((p >= t).sum(1), 1) for t, _ in tried])
        some = np.stack([(p >= t).any(1) for t, _ in tried])
        coverage = {}
        for n in sizes:
            for _ in range(N_RESAMPLES):
                rows, luck = rng.integers(len(p), size=n), rng.random(n)
                tests = {"drawn": [], "Hoeffding and Bentkus": [], "betting": []}
                for x, is_some in zip(shares[:, rows], some[:, rows]):
                    x, u = x[is_some], luck[is_some]
                    tests["drawn"].append(binom.sf((u < x).sum() - 1, len(x), promise) if len(x) else 1)
                    tests["Hoeffding and Bentkus"].append(hoeffding_bentkus(x, promise))
                    tests["betting"].append(bet(x, promise))
                for name, p_values in tests.items():
                    [lowest] = fallback(np.array([p_values]), own)
                    coverage.setdefault((name, n), []).append(some[lowest].mean() if lowest >= 0 else 0)
        for name in tests:
            print(f"| {promise} | {name} |", " | ".join(f"{np.mean(coverage[name, n]):.3f}" for n in sizes), "|")


def read(predicted: str, test: str) -> tuple[np.ndarray, np.ndarray]:
    known = {row["id"]: row["labels"] for row in map(json.loads, open(test))}
    rows = list(map(json.loads, open(predicted)))
    names = list(rows[0]["scores"])
    p = np.array([[row["scores"][name] for name in names] for row in rows])
    return p, np.array([[name in known[row["id"]] for name in names] for row in rows])


def main() -> None:
    rng = np.random.default_rng(0)
    sets = [read(*pair) for pair in zip(sys.argv[1::2], sys.argv[2::2])]
    single = [pair for pair in sets if (pair[1].sum(1) == 1).all()]
    if single:
        compare_shares(single, rng)
    for p, truth in sets:
        if not (truth.sum(1) == 1).all():
            compare_units(p, truth, rng)


main()
