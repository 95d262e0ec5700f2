"""Reference curves, intervals and components behind the report's plots, for tests/report_golden.rs.

    python -m venv env && env/bin/pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
    env/bin/python scripts/golden_report.py

Writes tests/golden/report.json.
"""

import json
from pathlib import Path

import numpy as np
from scipy.stats import binomtest
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score, precision_recall_curve

SEED = 20_26


def curve(rng, n, n_values, share):
    truth = rng.random(n) < share
    # Few distinct scores, so that many are equal.
    scores = np.clip(np.round((0.4 * truth + 0.6 * rng.random(n)) * n_values) / n_values, 0, 1)
    precision, recall, thresholds = precision_recall_curve(truth, scores)
    f1 = [f1_score(truth, scores >= threshold) for threshold in thresholds]
    return {
        "truth": truth.tolist(),
        "scores": scores.tolist(),
        "thresholds": thresholds.tolist(),
        "precision": precision[:-1].tolist(),
        "recall": recall[:-1].tolist(),
        "f1": f1,
    }


def wilson(hits, n):
    interval = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return {"hits": hits, "n": n, "low": interval.low, "high": interval.high}


def components(rng, n, width):
    points = (rng.normal(size=(n, width)) * np.linspace(3, 0.5, width)).astype(np.float32)
    fitted = PCA(n_components=2, svd_solver="full").fit(points.astype(np.float64))
    signs = np.sign([row[np.argmax(np.abs(row))] for row in fitted.components_])
    placed = fitted.transform(points.astype(np.float64)) * signs
    return {
        "points": points.tolist(),
        "placed": placed.tolist(),
        "explained": fitted.explained_variance_ratio_.tolist(),
    }


def main():
    rng = np.random.default_rng(SEED)
    golden = {
        "curves": [curve(rng, 12, 5, 0.4), curve(rng, 60, 20, 0.2), curve(rng, 60, 1000, 0.5)],
        "wilson": [wilson(hits, n) for hits, n in [(0, 1), (1, 1), (0, 30), (30, 30), (3, 10), (57, 400), (399, 400)]],
        "pca": [components(rng, 12, 3), components(rng, 8, 20)],
    }
    place = Path(__file__).parent.parent / "tests/golden/report.json"
    place.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"wrote {place.name}: {place.stat().st_size} bytes")


if __name__ == "__main__":
    main()
