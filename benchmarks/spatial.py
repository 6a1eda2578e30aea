"""How well the gain of `spatial` tells a unit's own label from that of another unit.

    python -m benchmarks.spatial                # planted units, as maps and as tokens
    python -m benchmarks.spatial ATLAS [LAYER]  # any atlas with maps, made from names

Per layer: units, the share with a positive gain and with an interval above 0 for their own labels
and for labels dealt out anew among the units of the layer (20 deals, on the same pictures), the
share of pairs in which the own label has the higher gain (AUC), and processor time per unit. Each
planted unit sees one colour, which is its label.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu

from benchmarks.measure import ROOT
from neuronym._core.progress import silent
from neuronym.analysis.rescoring import first_words
from neuronym.analysis.trust.spatial import Cropped, Scores, Spatial, gains
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import open_atlas
from neuronym.labelling.run import label as add_labels

_DEALS = 20


def main(arguments: list[str]) -> None:
    """Print a line per layer."""
    print("layer          units  own >0  low >0  dealt >0  low >0    AUC  s/unit")
    if arguments:
        atlas = open_atlas(arguments[0])
        _layers(LabelContext(atlas), arguments[1:] or list(atlas.manifest.maps))
        return
    sys.path[:0] = [str(ROOT / "tests/fakes")]
    import discs

    with tempfile.TemporaryDirectory() as folder:
        probe = discs.Discs(200, seed=1)
        atlas = discs.dissect(Path(folder), probe)
        how = {"cache": f"{folder}/cache", "progress": silent, **discs.sources(probe)}
        atlas = add_labels(atlas, discs.Turned(), **how)
        _layers(LabelContext(atlas, **how), list(discs.LAYERS), "turned")


def _layers(context: LabelContext, layers: list[str], method: str | None = None) -> None:
    method = context.atlas.method(method)
    rng = np.random.default_rng(0)
    for layer in layers:
        start, score = time.process_time(), Scores(context, method)
        labels = first_words(context, method, layer)
        units = np.flatnonzero(labels.astype(bool))
        cropped = Cropped(context, layer, Spatial(), units)
        own = gains(*cropped.scores(score, labels))
        spent = (time.process_time() - start) / len(units)
        dealt = []
        for _ in range(_DEALS):
            other = labels.copy()
            other[units] = rng.permutation(labels[units])
            found = gains(*cropped.scores(score, other))
            new = units[other[units] != labels[units]]
            dealt.append(np.stack([found["gain"][new], found["gain_low"][new]]))
        gain, low = np.concatenate(dealt, axis=1)
        mine = own["gain"][units]
        auc = mannwhitneyu(mine, gain).statistic / (len(mine) * len(gain))
        shares = [np.mean(v > 0) for v in (mine, own["gain_low"][units], gain, low)]
        said = "".join(
            f"{share:>8.1%}" if n != 2 else f"{share:>10.1%}" for n, share in enumerate(shares)
        )
        print(f"{layer:<14}{len(units):>6}{said}{auc:>7.3f}{spent:>8.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
