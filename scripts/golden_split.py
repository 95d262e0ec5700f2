"""Reference deviations of splits from ideal, for src/data/split/tests.rs.

    python -m venv env && env/bin/pip install numpy==2.4.6
    env/bin/python scripts/golden_split.py

Writes tests/golden/split.json: label sets drawn at random and divided at random, with LD and ED of Sechidis et al. (2011) and LPD of
Szymanski & Kajdanowicz (2017) computed from indicator matrices. Articles whose part is null are in none. One label is on every article,
and must not count; one part has another on every article, where the odds are taken as if half an article had it not.
"""

import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def mean_difference(indicator: np.ndarray, part_of: np.ndarray, n_parts: int) -> float:
    n = len(indicator)
    indicator = indicator[:, indicator.sum(0) < n]
    if indicator.shape[1] == 0:
        return 0.0
    positives = indicator.sum(0).astype(float)
    whole = positives / (n - positives)
    total = 0.0
    for part in range(n_parts):
        mine = indicator[part_of == part]
        have = mine.sum(0).astype(float)
        without = np.where(len(mine) > have, len(mine) - have, 0.5)
        total += np.abs(have / without - whole).sum()
    return total / (n_parts * indicator.shape[1])


def case(rng: np.random.Generator, n: int, rates: list[float], shares: list[float], left_out: float) -> dict:
    y = rng.random((n, len(rates))) < np.array(rates)
    y[:, 0] = True
    part_of = rng.choice(len(shares) + 1, n, p=[*(np.array(shares) / sum(shares) * (1 - left_out)), left_out])
    y[part_of == 0, 1] = True
    a, b = np.triu_indices(len(rates), 1)
    pairs = y[:, a] & y[:, b]
    pairs = pairs[:, pairs.sum(0) > 0]
    sizes = np.array([(part_of == part).sum() for part in range(len(shares))])
    return {
        "rows": [np.flatnonzero(row).tolist() for row in y],
        "n_labels": len(rates),
        "shares": shares,
        "part_of": [int(part) if part < len(shares) else None for part in part_of],
        "labels": mean_difference(y, part_of, len(shares)),
        "pairs": mean_difference(pairs, part_of, len(shares)),
        "sizes": float(np.abs(sizes - np.array(shares) * n).mean()),
    }


def main() -> None:
    rng = np.random.default_rng(20)
    cases = [
        case(rng, 60, [1, 0.3, 0.2, 0.1, 0.03], [0.8, 0.2], 0.0),
        case(rng, 90, [1, 0.5, 0.4, 0.1, 0.05, 0.02, 0.0], [0.5, 0.2, 0.1], 0.2),
        case(rng, 40, [1, 0.2, 0.2, 0.2], [0.2] * 5, 0.0),
    ]
    (ROOT / "tests" / "golden" / "split.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
