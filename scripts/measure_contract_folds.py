"""How much a contract loses by out-of-fold probabilities instead of held-out articles.

    topicwire embed DATA/agnews/train.jsonl -o EMB/agnews-train.npy    # and test, and banking77
    env/bin/python scripts/measure_contract_folds.py DATA EMB [N_REPEATS]    # numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.0

Each repeat draws training articles from both parts of a set, fits soft-max regression on their embeddings and a temperature on five folds, and
fits contracts over all labels twice: on out-of-fold probabilities, and with the final head on as many articles held out. The articles left
over say what the final head's precision is from that threshold on.
"""

import json
import sys
from pathlib import Path

import numpy as np
from golden_contract import precision_threshold
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

# Set, training articles of a repeat, inverse strength, steps of the solver.
SETS = [("agnews", 1000, 3.0, 100), ("banking77", 1500, 30.0, 25)]
PROMISES = [0.9, 0.95]
N_FOLDS = 5


def read(data: Path, embeddings: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = [], []
    for part in ("train", "test"):
        x.append(np.load(embeddings / f"{name}-{part}.npy"))
        y += [json.loads(line)["labels"][0] for line in (data / name / f"{part}.jsonl").open()]
    return np.concatenate(x).astype(np.float64), np.unique(y, return_inverse=True)[1]


def logits(x: np.ndarray, y: np.ndarray, strength: float, n_steps: int, *others: np.ndarray) -> list[np.ndarray]:
    head = LogisticRegression(C=strength, max_iter=n_steps, tol=1e-3).fit(x, y)
    return [head.decision_function(other) for other in others]


def main() -> None:
    data, embeddings = Path(sys.argv[1]), Path(sys.argv[2])
    n_repeats = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    for name, n, strength, n_steps in SETS:
        x, y = read(data, embeddings, name)
        outcomes = {(promise, kind): [] for promise in PROMISES for kind in ("out of fold", "held out")}
        for repeat in range(n_repeats):
            order = np.random.default_rng(repeat).permutation(len(y))
            train, held, rest = order[:n], order[n : 2 * n], order[2 * n :]
            folds = np.empty((n, y.max() + 1))
            for fit, other in StratifiedKFold(N_FOLDS, shuffle=True, random_state=repeat).split(train, y[train]):
                [folds[other]] = logits(x[train[fit]], y[train[fit]], strength, n_steps, x[train[other]])
            final_held, final_rest = logits(x[train], y[train], strength, n_steps, x[held], x[rest])
            # A soft-max's own scale varies with the number of articles; the temperature is that of the folds, as in training.
            loss = lambda t: -log_softmax(folds / t, axis=1)[np.arange(n), y[train]].mean()
            temperature = minimize_scalar(loss, bounds=(0.05, 5), method="bounded").x
            at_rest = softmax(final_rest / temperature, axis=1)
            right_rest = at_rest.argmax(1) == y[rest]
            for kind, raw, rows in (("out of fold", folds, train), ("held out", final_held, held)):
                p = softmax(raw / temperature, axis=1)
                for promise in PROMISES:
                    threshold = precision_threshold(p.max(1), p.argmax(1) == y[rows], promise)
                    reach = at_rest.max(1) >= (2.0 if threshold is None else threshold)
                    precision = right_rest[reach].mean() if reach.any() else np.nan
                    outcomes[promise, kind].append((precision < promise, precision, reach.mean()))
            if repeat % 10 == 9 or repeat + 1 == n_repeats:
                print(f"{name}: {repeat + 1} repeats of {n} articles", flush=True)
                for (promise, kind), rows in outcomes.items():
                    broken, precision, coverage = np.array(rows).T
                    print(f"  {promise} {kind}: broken {broken.mean():.3f}, precision {np.nanmean(precision):.4f}, coverage {coverage.mean():.3f}")


main()
