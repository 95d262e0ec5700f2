#!/usr/bin/env python3
"""A von Mises-Fisher mixture held by a teacher, on seeded directions, in plain NumPy.

    pip install numpy==2.4.6
    python scripts/golden_few.py > tests/golden/few.json

The steps are those of `train::few::mixture`: whitening by the scatter of all rows, EM after Banerjee et al. (2005) with the
teacher's probabilities in the exponent, and a background component. Here every row and label is looped over, one at a time.
"""
import json
import sys

import numpy as np

SEED = 20260712
N_ROWS, N_SURE, N_LABELS, N_COLUMNS = 60, 6, 3, 8
WHITENING, RIDGE = 0.75, 0.3
PULLS = [(0.3, 1.0), (1.0, 0.5)]
MAX_ROUNDS, TOLERANCE, PRIOR_SHARE = 50, 1e-4, 0.05
BACKGROUND_DEVIATIONS, BACKGROUND_SHARE, EDGE = 2.0, 0.02, 1e-6
rng = np.random.default_rng(SEED)


def grid(values):
    """Multiples of 1/256, which f32 holds exactly."""
    return np.round(values * 256) / 256


def unit(v):
    return v / np.linalg.norm(v)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def space(rows, posteriors):
    means = np.array([sum(p[k] * x for p, x in zip(posteriors, rows)) / posteriors[:, k].sum() for k in range(N_LABELS)])
    centre = means.mean(axis=0)
    scatter = np.zeros((N_COLUMNS, N_COLUMNS))
    for p, x in zip(posteriors, rows):
        deviation = x - centre
        scatter += (p / posteriors.sum(axis=0)).mean() * np.outer(deviation, deviation)
    values, vectors = np.linalg.eigh(scatter)
    return centre, vectors @ np.diag((values + RIDGE * values.mean()) ** (-WHITENING / 2))


def moments(r, similarities):
    mean = np.average(similarities, weights=r)
    return mean, np.sqrt(np.average((similarities - mean) ** 2, weights=r))


def mixture(rows, sure, sure_labels, teacher, trust, teacher_weight):
    centre, whiten = space(rows, teacher)
    u = np.array([unit((x - centre) @ whiten) for x in rows])
    known = np.array([unit((x - centre) @ whiten) for x in sure])
    r = np.array([softmax(teacher_weight * np.log(p)) for p in teacher])
    pseudo = PRIOR_SHARE * len(rows) / N_LABELS
    background = BACKGROUND_SHARE

    def means_of(r):
        return np.array([unit(r[:, k] @ u + known[sure_labels == k].sum(axis=0)) for k in range(N_LABELS)])

    for _ in range(MAX_ROUNDS):
        similarities = u @ means_of(r).T
        mean, deviation = moments(r, similarities)
        kappa = mean * (N_COLUMNS - mean**2) / (1 - mean**2)
        shares = (r.sum(axis=0) + pseudo) / (r.sum() + N_LABELS * pseudo)
        after = []
        for s, p in zip(similarities, teacher):
            foreign = background * np.exp(trust * kappa * (mean - BACKGROUND_DEVIATIONS * deviation))
            nearest = (1 - background) * np.exp(trust * kappa * s.max())
            after.append(nearest / (nearest + foreign) * softmax(trust * kappa * s + teacher_weight * np.log(p) + np.log(shares)))
        after = np.array(after)
        n_background = len(rows) - after.sum()
        background = np.clip((n_background + BACKGROUND_SHARE * pseudo) / (len(rows) + pseudo), EDGE, 1 - EDGE)
        change = np.abs(after - r).max()
        r = after
        if change <= TOLERANCE:
            break
    means = means_of(r)
    mean, _ = moments(r, u @ means.T)
    kappa = mean * (N_COLUMNS - mean**2) / (1 - mean**2)
    inverse_length = np.mean([1 / np.linalg.norm((x - centre) @ whiten) for x in rows])
    return r, trust * kappa * inverse_length * (rows - centre) @ whiten @ means.T


directions = rng.normal(size=(N_LABELS, N_COLUMNS))
labels = np.repeat(np.arange(N_LABELS), [30, 20, 10])
rows = grid(0.6 * directions[labels] + 0.7 * rng.normal(size=(N_ROWS, N_COLUMNS)))
sure_labels = np.arange(N_SURE) % N_LABELS
sure = grid(0.6 * directions[sure_labels] + 0.7 * rng.normal(size=(N_SURE, N_COLUMNS)))
teacher = np.array([softmax(1.5 * (k == np.arange(N_LABELS)) + rng.normal(size=N_LABELS)) for k in labels])
cases = []
for trust, teacher_weight in PULLS:
    r, evidence = mixture(rows, sure, sure_labels, teacher, trust, teacher_weight)
    cases.append(
        {"trust": trust, "teacher_weight": teacher_weight, "responsibilities": r.tolist(), "evidence": evidence.tolist()}
    )
json.dump(
    {
        "whitening": WHITENING,
        "ridge": RIDGE,
        "rows": rows.tolist(),
        "sure": sure.tolist(),
        "sure_labels": sure_labels.tolist(),
        "teacher": teacher.tolist(),
        "cases": cases,
    },
    sys.stdout,
)
print()
