"""The compiled loops of rank-reorder, around NumPy's vectorised sort; import where numba is there.

A key is (rank of an image for a text, place of the image in the unit's ladder of activations) in
one integer: sorted, the keys of a unit's images list the ladder's places in the text's order.
"""

from __future__ import annotations

import numpy as np

from neuronym._core.numerics.compiled import compiled

_plain, _summing = compiled(), compiled("reassoc", "nsz")


@_plain
def fill_keys(ranks, places, bits, keys):
    """keys[u, t, r] = ranks[t, places[u, r]] · 2^bits + r.

    Args:
        ranks: unsigned `[text, image]`; a row should fit the first-level cache.
        places: unsigned `[unit, n]`, images of every unit in ascending order of activation.
        bits: room for a place.
        keys: uint32 or uint64 `[unit, text, n]`, overwritten.
    """
    whole = keys.dtype.type
    for t in range(keys.shape[1]):
        row = ranks[t]
        for u in range(keys.shape[0]):
            own, out = places[u], keys[u, t]
            for r in range(len(out)):
                out[r] = (whole(row[own[r]]) << whole(bits)) | whole(r)


@_plain
def add_errors(keys, ladders, bits, p, errors):
    """errors[u, t] = Σ_s |height that the s-th key's place has − s-th smallest height|^p.

    Args:
        keys: `[unit, text, n]`, sorted along n.
        ladders: float32 `[unit, n]`, each unit's heights in ascending order.
        bits: as for `fill_keys`.
        p: float32, the exponent.
        errors: float64 `[unit, text]`, overwritten.
    """
    whole = keys.dtype.type
    mask = (whole(1) << whole(bits)) - whole(1)
    given = np.empty(keys.shape[2], np.float32)
    for u in range(keys.shape[0]):
        own = ladders[u]
        for t in range(keys.shape[1]):
            row = keys[u, t]
            # Reading first and adding up afterwards lets the second loop vectorise.
            for s in range(len(given)):
                given[s] = own[row[s] & mask]
            errors[u, t] = _distance(given, own, p)


@_summing
def _distance(given, own, p):
    """Σ |given − own|^p, added up in float64; a general power is ten times as slow as a product."""
    total = 0.0
    if p == 1:
        for s in range(len(own)):
            total += np.float64(abs(given[s] - own[s]))
    elif p == 2:
        for s in range(len(own)):
            gap = given[s] - own[s]
            total += np.float64(gap * gap)
    elif p == 3:
        for s in range(len(own)):
            gap = abs(given[s] - own[s])
            total += np.float64(gap * gap * gap)
    else:
        for s in range(len(own)):
            total += np.float64(abs(given[s] - own[s]) ** p)
    return total
