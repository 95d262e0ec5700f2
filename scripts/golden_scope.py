"""Reference covariances and out-of-scope scores, for src/scope/tests.rs.

    python -m venv env && env/bin/pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.0
    env/bin/python scripts/golden_scope.py

Writes tests/golden/scope.json. Covariances are those of scikit-learn's `LedoitWolf`; scores those of scripts/measure_scope.py, with which the method
was chosen. Embeddings are rounded to f32, so that both sides start from the same numbers.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.covariance import LedoitWolf

from measure_scope import Scope

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    rng = np.random.default_rng(30)
    covariances = []
    # Many rows, fewer rows than columns, and a column that is constant.
    for n, d in ((40, 5), (6, 9), (30, 3)):
        rows = (rng.standard_normal((n, d)) * (1 + np.arange(d))).round(4)
        if d == 3:
            rows[:, 1] = 0
        fitted = LedoitWolf(assume_centered=True).fit(rows)
        covariances.append({"rows": rows.tolist(), "shrinkage": fitted.shrinkage_, "covariance": fitted.covariance_.tolist()})

    scopes = []
    for name, n, d, n_labels, max_labels in (("single", 60, 6, 4, 1), ("several labels or none", 60, 5, 4, 3), ("fewer articles than columns", 14, 24, 2, 1)):
        places = rng.standard_normal((n_labels, d))
        counts = [max_labels] * n if max_labels == 1 else rng.integers(0, max_labels + 1, n)
        labels = [sorted(rng.choice(n_labels, count, replace=False).tolist()) for count in counts]
        middles = np.array([places[row].mean(axis=0) if row else np.zeros(d) for row in labels])
        x = (middles + 0.4 * rng.standard_normal((n, d))).astype(np.float32).astype(np.float64)
        fresh = (1.5 * rng.standard_normal((8, d))).astype(np.float32).astype(np.float64)
        folds = rng.permutation(np.arange(n) % 5)
        scope = Scope(x, labels, folds, 5)
        scopes.append(
            {
                "name": name,
                "embeddings": x.tolist(),
                "labels": labels,
                "folds": folds.tolist(),
                "n_folds": 5,
                "fresh": fresh.tolist(),
                "out_of_fold": scope.out_of_fold.tolist(),
                "scores": scope.combine(scope.classes.measures(fresh)).tolist(),
                "cutoff_10": float(scope.cutoff(0.1)),
            }
        )
    golden = {"covariances": covariances, "scopes": scopes}
    (ROOT / "tests" / "golden" / "scope.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
