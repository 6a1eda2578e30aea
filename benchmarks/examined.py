"""What examining labels costs, beside labelling them: `dissect` with and without `trust`.

    python -m benchmarks.examined small|full

The network and the encoder look up random numbers by the pixels of an image, so that everything
but the networks themselves is as in a run; of half of the class neurons the class name is a likely
label. Each run is a process of its own, with an empty cache; words are embedded once before.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

import neuronym as nym
from benchmarks import problem
from benchmarks.clock import Clock
from neuronym.inputs.encoders.base import Encoder
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target

SIDE = 8
SEEN = Preprocess(size=(SIDE, SIDE), resize=SIDE, mean=(0, 0, 0), std=(1, 1, 1))
SIZES = {"small": replace(problem.SMALL, concepts=3_000), "full": problem.FULL}
#: The images that an aligned class name is near to.
NEAR = 20


def pictures(count: int) -> np.ndarray:
    """Images whose first pixels spell their number; the rest is noise, so that none are alike."""
    found = np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    found[:, 0, 0, 0], found[:, 0, 0, 1] = np.divmod(np.arange(count), 256)
    return found


def numbers(batch: torch.Tensor, count: int) -> torch.Tensor:
    """The numbers of a batch of such images."""
    high, low = (batch[:, channel, 0, 0] * 255 for channel in (0, 1))
    return (high.round() * 256 + low.round()).long() % count


class Row(nn.Module):
    """A layer: rows of numbers."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("rows", torch.from_numpy(rows))

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        return self.rows[places]


class Lookup(nn.Module):
    """A network of such layers, each of which sees the image alone."""

    def __init__(self, layers: list[np.ndarray]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(map(Row, layers))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        places = numbers(batch, len(self.layers[0].rows))
        return [layer(places) for layer in self.layers][-1]


class LookupEncoder(Encoder):
    """Looks images up, and words by a hash; names of classes lie near their unit's images."""

    name, preprocess, logit_scale = "lookup", SEEN, 10.0

    def __init__(self, made: problem.Problem) -> None:
        self._images, self.dim = torch.from_numpy(made.images), made.size.dim
        last = made.layers[-1]
        self._near = {
            f"class {unit}": made.images[np.argsort(-last[:, unit])[:NEAR]].sum(0)
            for unit in range(0, last.shape[1], 2)
        }

    @property
    def fingerprint(self) -> str:
        return f"lookup of {len(self._images)}"

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        return self._images[numbers(batch, len(self._images))]

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        rows = [
            self._near.get(
                text, np.random.default_rng(zlib.crc32(text.encode())).normal(size=self.dim)
            )
            for text in texts
        ]
        return nn.functional.normalize(torch.from_numpy(np.float32(rows)), dim=1)

    def to(self, device: object) -> LookupEncoder:
        return self


def run(size: problem.Size, trust: bool, folder: Path) -> None:
    """One run; prints its times and the most memory that its process took."""
    made, clock = problem.make(size), Clock()
    probe = folder / "pictures.npy"
    if not probe.exists():
        np.save(probe, pictures(size.images))
    classes = tuple(f"class {unit}" for unit in range(size.units[-1]))
    with clock():
        atlas = nym.dissect(
            Target("lookup", Lookup(made.layers).eval(), SEEN, classes),
            layers=[f"layers.{place}" for place in range(len(made.layers))],
            probe=f"arrays:{probe}",
            concepts=f"english-{size.concepts // 1000}k",
            encoder=LookupEncoder(made),
            similarity="soft-wpmi",
            duplicates="all",
            trust=trust,
            out=folder / f"atlas-{trust}",
            cache=str(folder / f"cache-{trust}"),
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    parts = {entry.analysis: entry.seconds for entry in atlas.manifest.analyses.values()}
    print(
        f"{size}, {'with' if trust else 'without'} trust: {clock.wall:.0f} s wall, "
        f"{clock.cpu:.0f} s CPU, peak {peak:.2f} GiB; {parts} {atlas.manifest.refused or ''}",
        flush=True,
    )


if __name__ == "__main__":
    if len(sys.argv) == 2:
        with tempfile.TemporaryDirectory() as place:
            for trust in ("no", "yes"):
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.examined", sys.argv[1], trust, place],
                    check=True,
                )
    else:
        chosen, with_trust, place = sys.argv[1:]
        run(SIZES[chosen], with_trust == "yes", Path(place))
