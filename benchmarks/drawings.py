"""What the probe `synthetic` holds, what it costs, and how alike its pictures of one word are.

python -m benchmarks.drawings                 counts, time to draw with 1 and 2 processes, size
python -m benchmarks.drawings --alike         and pairs of pictures of one word, by encoder
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from neuronym.extraction.duplicates import SmallCopies, looks
from neuronym.inputs.encoders.base import open_encoder
from neuronym.inputs.probes.base import Probe, open_probe

#: A pair above both is taken for two copies of one picture.
COSINE, LIKENESS = 0.9, 0.95
#: Kinds of pictures that show one word each.
KINDS = ("colour", "texture", "material", "object", "scene")


def words(probe: Probe) -> dict[str, list[int]]:
    """For each word (`texture/striped`) the places of its pictures."""
    found: dict[str, list[int]] = {}
    for place in range(len(probe)):
        kind, name, *_ = probe.image_id(place).split("/")
        if kind in KINDS:
            found.setdefault(f"{kind}/{name}", []).append(place)
    return found


def likeness(images: list[Image.Image]) -> np.ndarray:
    """Of every pair of pictures: the correlation of their pixels where their colours are equal."""
    small = np.stack([SmallCopies.preprocess.pixels(image).ravel() for image in images])
    seen = looks(small).astype(np.float64)
    return 1 - np.square(seen[:, None] - seen[None]).sum(-1) / 2


def alike(probe: Probe, encoder: str) -> dict[str, np.ndarray]:
    """Cosine and likeness of every pair of one word, by kind: `[pair, 2]`."""
    model = open_encoder(encoder)
    pairs: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for word, places in words(probe).items():
        images = [probe.read(place).decode() for place in places]
        pixels = torch.from_numpy(np.stack([model.preprocess.pixels(i) for i in images]))
        with torch.inference_mode():
            rows = [model.encode_images(model.preprocess.normalise(p)) for p in pixels.split(16)]
        embedded = np.concatenate([np.asarray(row) for row in rows])
        upper = np.triu_indices(len(places), 1)
        both = np.stack([(embedded @ embedded.T)[upper], likeness(images)[upper]], 1)
        pairs[word.split("/")[0]].append(both)
    return {kind: np.concatenate(found) for kind, found in pairs.items()}


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alike", action="store_true")
    parser.add_argument("--probe", default="synthetic")
    parser.add_argument("--encoder", default="conse")
    given = parser.parse_args()
    probe = open_probe(given.probe)
    kinds = Counter(probe.image_id(place).split("/")[0] for place in range(len(probe)))
    print(f"{len(probe):,} images:", ", ".join(f"{n:,} {kind}" for kind, n in kinds.items()))
    for kind in KINDS:
        counts = Counter(len(p) for word, p in words(probe).items() if word.startswith(kind))
        print(f"  {kind}: " + ", ".join(f"{n} words with {k} pictures" for k, n in counts.items()))
    if given.alike:
        for kind, pairs in alike(probe, given.encoder).items():
            copies = (pairs[:, 0] >= COSINE) & (pairs[:, 1] >= LIKENESS)
            print(
                f"{kind}: {len(pairs):,} pairs; likeness median {np.median(pairs[:, 1]):.2f}, 99 % "
                f"below {np.quantile(pairs[:, 1], 0.99):.2f}, largest {pairs[:, 1].max():.2f}; "
                f"cosine median {np.median(pairs[:, 0]):.2f}, 99 % below "
                f"{np.quantile(pairs[:, 0], 0.99):.2f}; {copies.sum()} pairs are copies"
            )
        return
    for processes in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            open_probe(given.probe).prepare(len(probe), Path(folder), processes)
            spent = time.perf_counter() - started
            held = sum(f.stat().st_size for f in Path(folder).rglob("*.safetensors"))
            print(f"{processes} processes: {spent:.0f} s, {held / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
