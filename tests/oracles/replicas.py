"""The similarities once more, as slow loops in float64 straight from their definitions.

Nothing here is shared with the package: these are the oracles that the fast code has to match.
"""

from __future__ import annotations

import math

import numpy as np

DEFAULTS = {
    "soft-wpmi": {"lam": 1.0, "min_prob": 1e-7, "prior": "layer"},
    "wpmi": {"lam": 0.6, "min_prob": 1e-7, "prior": "layer"},
    "cos": {},
    "cos-cubed": {"min_norm": 1e-3},
    "rank-reorder": {"p": 3.0, "top_fraction": 0.05, "scale_p": 0.5, "seed": 0},
}


def highest(column, tie, k):
    """The images with the k highest activations, equal ones by tie."""
    order = sorted(range(len(column)), key=lambda i: (-column[i], tie[i]))
    return order[:k]


def alive(column, needed):
    """True where a unit has finite activations and enough of them above its minimum."""
    if not all(math.isfinite(v) for v in column):
        return False
    above = sum(v > min(column) for v in column)
    return above >= max(1, min(needed, len(column) - 1))


def replica(name, activations, images, texts, tie=None, **params):
    """Scores `[unit, concept]`, NaN rows for units that abstain."""
    params = DEFAULTS[name] | params
    q = np.asarray(activations, np.float32).astype(np.float64)
    cosines = np.asarray(images, np.float32).astype(np.float64) @ (
        np.asarray(texts, np.float32).astype(np.float64).T
    )
    tie = list(range(len(q))) if tie is None else list(tie)
    if name in ("soft-wpmi", "wpmi"):
        return _mutual_information(name, q, cosines, tie, **params)
    single = {"cos": _cos, "cos-cubed": _cos_cubed, "rank-reorder": _rank_reorder}[name]
    out = np.full((q.shape[1], cosines.shape[1]), np.nan)
    for k in range(q.shape[1]):
        for m in range(cosines.shape[1]):
            out[k, m] = single(list(q[:, k]), list(cosines[:, m]), tie, **params)
    return out


def probabilities(cosines, a):
    p = np.zeros_like(cosines)
    for i, row in enumerate(cosines):
        top = max(row)
        total = sum(math.exp(a * (c - top)) for c in row)
        for m, c in enumerate(row):
            p[i, m] = math.exp(a * (c - top)) / total
    return p


def _mutual_information(name, q, cosines, tie, *, top_k, a, lam, min_prob, prior):
    p = probabilities(cosines, a)
    soft = name == "soft-wpmi"

    def term(rank, x):
        if not soft:
            return math.log(x + min_prob)
        member = 0.998 - 0.028 * rank / top_k
        return math.log(1 + member * (x - 1) + min_prob)

    units, concepts = q.shape[1], cosines.shape[1]
    active = [k for k in range(units) if alive(list(q[:, k]), top_k)]
    out = np.full((units, concepts), np.nan)
    if len(active) == 1 and prior == "layer" and lam == 1:
        return out
    for m in range(concepts):
        first = {}
        for k in active:
            chosen = highest(list(q[:, k]), tie, top_k)
            first[k] = math.fsum(term(r, p[i, m]) for r, i in enumerate(chosen))
        if prior == "probe":
            mean = math.fsum(p[:, m]) / len(p)
            log_prior = math.fsum(term(r, mean) for r in range(top_k))
        elif active:
            top = max(first.values())
            mean = math.fsum(math.exp(v - top) for v in first.values()) / len(active)
            log_prior = top + math.log(mean)
        for k in active:
            out[k, m] = first[k] - lam * log_prior
    return out


def _cos(q, c, tie):
    if not alive(q, 1):
        return math.nan
    length = math.sqrt(math.fsum(v * v for v in c))
    if length == 0:
        return 0.0
    return math.fsum(x * y for x, y in zip(q, c, strict=True)) / (
        length * math.sqrt(math.fsum(v * v for v in q))
    )


def _cos_cubed(q, c, tie, *, min_norm):
    if not alive(q, 1):
        return math.nan
    mean_q, mean_c = math.fsum(q) / len(q), math.fsum(c) / len(c)
    q3 = [(v - mean_q) ** 3 for v in q]
    c3 = [(v - mean_c) ** 3 for v in c]
    long_q = max(math.sqrt(math.fsum(v * v for v in q3)), min_norm)
    long_c = max(math.sqrt(math.fsum(v * v for v in c3)), min_norm)
    return math.fsum(x / long_q * (y / long_c) for x, y in zip(q3, c3, strict=True))


def _rank_reorder(q, c, tie, *, p, top_fraction, scale_p, seed):
    n = math.floor(top_fraction * len(q) + 1e-9)
    if n < 2 or not alive(q, n):
        return math.nan
    chosen = highest(q, tie, n)
    own = [q[i] for i in chosen]
    spread = own[0] - own[-1]
    if spread == 0:
        return math.nan
    own = [v / spread for v in own]  # a ratio follows: the scale cancels, and nothing overflows
    ascending = sorted(own)
    by_concept = sorted(range(n), key=lambda j: (np.float32(c[chosen[j]]), tie[chosen[j]]))
    error = 0.0
    for s, j in enumerate(by_concept):
        error += abs(ascending[s] - own[j]) ** p
    rng = np.random.default_rng(seed)
    baseline = 0.0
    for _ in range(5):
        order = rng.permutation(n)
        baseline += sum(abs(own[j] - own[order[j]]) ** p for j in range(n))
    baseline /= 5 * n
    if baseline == 0:
        return math.nan
    mean = max(math.fsum(c[i] for i in chosen) / n, 1e-6)
    return -(error / n / baseline) / mean**scale_p


def top_n(scores, n):
    """The n best concepts per unit: score descending, then concept ascending; −1 for NaN rows."""
    out = []
    for row in scores:
        if np.isnan(row).any():
            out.append([-1] * min(n, len(row)))
        else:
            out.append(sorted(range(len(row)), key=lambda m: (-row[m], m))[:n])
    return np.array(out)
