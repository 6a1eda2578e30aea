"""What docs/diff.md says about how sure a diff is, measured again.

python -m benchmarks.shortcut          first: it trains the network and draws the pictures
python -m benchmarks.diff detection    units whose weights changed, among all that drifted a little
python -m benchmarks.diff cost         time and memory by number of units
python -m benchmarks.diff cost A B     of a whole diff of two atlases
"""

from __future__ import annotations

import argparse
import copy
import resource
import time
from pathlib import Path

import numpy as np
import torch

import neuronym as nym
from benchmarks import shortcut
from neuronym.analysis.diff.correlation import change
from neuronym.analysis.diff.partners import partners
from neuronym.analysis.diff.shared import SharedImages
from neuronym.analysis.trust.held_out import discoveries
from neuronym_drawings.catalogue import TRAINING_SEEDS

#: What is changed: units of this layer, in shares of them, by noise of this size.
LAYER, SHARES, SIZES = "block4", (0.01, 0.03, 0.1, 0.3), (0.25, 0.5, 1.0)
#: How far all weights drift, images of a diff, and how often each is done.
DRIFT, IMAGES, REPEATS = 0.02, 200, 20


def responses(block: torch.nn.Module, inputs: torch.Tensor) -> np.ndarray:
    """Pooled responses of a block, `[image, unit]`."""
    with torch.no_grad():
        return block(inputs).mean((2, 3)).numpy()


def detection(out: Path) -> None:
    """The layer's weights drift everywhere and change much in some units; what is reported?

    What is true is known from all pictures there are: a unit changed if its correlation over them
    is below 0.99. The diff sees 200 of them, drawn at random.
    """
    seeds = (TRAINING_SEEDS + 700_000, TRAINING_SEEDS + 800_000)
    kept = [sorted(out.glob(f"drawings-{seed}-*.npz"))[0] for seed in seeds]
    pictures = [p for file in kept for p in np.load(file)["pictures"]]
    net, inputs = shortcut.before(out).model, shortcut.seen(pictures)
    with torch.no_grad():
        for name, part in net.named_children():
            if name == LAYER:
                break
            inputs = part(inputs)
    block = getattr(net, LAYER)
    a, rng = responses(block, inputs), np.random.default_rng(0)
    units, torch_rng = a.shape[1], torch.Generator().manual_seed(0)
    every = np.arange(len(a))
    print(
        f"{units} units, {len(a):,} pictures, {IMAGES} in a diff; all weights drift by {DRIFT:.0%}"
    )
    print("share  noise  planted  of them found  changed in truth  found  reported  false")
    for share in SHARES:
        for size in SIZES:
            counts = np.zeros(6, int)
            for _ in range(REPEATS):
                chosen = rng.permutation(units)[: max(1, round(share * units))]
                other = copy.deepcopy(block)
                with torch.no_grad():
                    weight = other[0].weight
                    level = torch.full((units, 1, 1, 1), DRIFT)
                    level[chosen] = size
                    noise = torch.randn(weight.shape, generator=torch_rng)
                    weight += noise * level * weight.std()
                b = responses(other, inputs)
                true = ~(change(a, b, every, every).correlation >= 0.99)
                some = rng.permutation(len(a))[:IMAGES]
                said = discoveries(change(a, b, some, some).p) <= 0.05
                planted = np.isin(np.arange(units), chosen)
                counts += [
                    x.sum()
                    for x in (planted, planted & said, true, true & said, said, said & ~true)
                ]
            rates = (
                counts[1] / counts[0],
                counts[3] / max(1, counts[2]),
                counts[5] / max(1, counts[4]),
            )
            print(
                f"{share:5.0%}  {size:5.0%}  {counts[0]:7}  {rates[0]:13.0%}  {counts[2]:16}  "
                f"{rates[1]:5.0%}  {counts[4]:8}  {rates[2]:5.1%}"
            )


def cost(atlases: list[str]) -> None:
    """Seconds of processor time, and the most memory used so far."""
    if atlases:
        start = time.process_time()
        found = nym.diff(*atlases)
        told(f"diff of {len(found.units):,} units, {found.images[0]:,} images", start)
        return
    rng, images = np.random.default_rng(0), 1000
    rows = np.arange(images)
    for what, units in (("EfficientNet-Lite0", 1472), ("ResNet-50", 3840), ("all", 26560)):
        a = rng.normal(size=(images, units)).astype(np.float32)
        b = a + 0.3 * rng.normal(size=a.shape).astype(np.float32)
        told(f"{what}: {units:,} units, {images:,} images in memory", time.process_time())
        start = time.process_time()
        change(a, b, rows, rows)
        told("  unit by unit", start)
        if units < 10_000:
            start = time.process_time()
            partners({"x": a}, {"x": b}, (["x"], ["x"]), SharedImages(rows, rows, 0, 0))
            told("  matched", start)


def told(what: str, start: float) -> None:
    """Print what was done, its time and the most memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{what}: {time.process_time() - start:.1f} s, peak {peak:.2f} GB", flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("detection", "cost"))
    parser.add_argument("atlases", nargs="*")
    parser.add_argument("--out", type=Path, default=shortcut.OUT)
    given = parser.parse_args()
    detection(given.out) if given.what == "detection" else cost(given.atlases)


if __name__ == "__main__":
    main()
