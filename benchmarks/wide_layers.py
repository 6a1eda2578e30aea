"""What grows with units and words: an atlas of a wide, sparse layer, its scoring, its site.

    python -m benchmarks.wide_layers atlas FOLDER [--units N] [--images N]
    python -m benchmarks.wide_layers site ATLAS [--export FOLDER]
    python -m benchmarks.wide_layers scoring

`atlas` runs `dissect` on a random dictionary, of which each unit fires on few pictures of noise.
`site` asks for the pages of its first layer and prints their size, nodes and time. `scoring` times
soft-wpmi over units and words.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

import neuronym as nym
from neuronym.inputs.probes.base import ListProbe
from neuronym.web.addresses import Addresses

SIZE = nym.Preprocess(size=(16, 16), resize=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
DIM = 64
SCORED = [(units, 20_000) for units in (1024, 4096, 16_384, 65_536)]
SCORED += [(4096, words) for words in (10_000, 50_000, 100_000)]


class Dictionary(nn.Module):
    """Random features with a high threshold: about one image in fifty is above it."""

    def __init__(self, units: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.mix = nn.Parameter(torch.randn(16 * 16 * 3, units, generator=generator))
        self.codes = nn.ReLU()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = nn.functional.normalize(images.flatten(1), dim=1)
        return self.codes(flat @ self.mix - 2)


class Projection(nym.Encoder):
    """Embeds images by random projections, words at random."""

    name, preprocess, dim, logit_scale, fingerprint = "projection", SIZE, DIM, 10.0, "projection"

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        weights = torch.randn(16 * 16 * 3, DIM, generator=torch.Generator().manual_seed(1))
        return nn.functional.normalize(batch.flatten(1) @ weights, dim=1)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        rows = [np.random.default_rng(zlib.crc32(t.encode())).normal(size=DIM) for t in texts]
        return nn.functional.normalize(torch.tensor(np.array(rows), dtype=torch.float32), dim=1)

    def to(self, device: torch.device | str) -> Projection:
        return self


def make(out: Path, units: int, images: int) -> nym.Atlas:
    """An atlas of one layer of so many units."""
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (images, 16, 16, 3), np.uint8))
    begun = time.perf_counter()
    atlas = nym.dissect(
        nym.Target("dictionary", Dictionary(units).eval(), SIZE),
        layers=["codes"],
        probe=ListProbe(pictures),
        concepts="english-10k",
        encoder=Projection(),
        out=out,
        trust=False,
        overwrite=True,
    )
    print(f"dissect: {time.perf_counter() - begun:.1f} s, {size_of(out) / 1e6:.1f} MB")
    for file in sorted(out.rglob("*")):
        if file.is_file() and file.stat().st_size > 1e6:
            print(f"  {file.relative_to(out)}: {file.stat().st_size / 1e6:.1f} MB")
    return atlas


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def site(atlas: Path, export: Path | None) -> None:
    """Size, nodes and time of the pages of the first layer; of the export if it is asked for."""
    from starlette.testclient import TestClient

    from neuronym.web.export import export_site
    from neuronym.web.server import application

    opened, at = nym.open(atlas), Addresses()
    client = TestClient(application([opened]))
    layer, name = next(iter(opened.layers)), client.get("/").url.path.split("/")[2]
    word = str(opened.first_labels(abstaining=False)["concept"].iloc[0])
    asked = {
        "home": at.page("a", name),
        "table": at.page("a", name, "layer", layer),
        "pictures": at.page("a", name, "layer", layer, "pictures"),
        "map": at.page("a", name, "layer", layer, "map"),
        "JSON": at.json("a", name, "layer", layer),
        "neuron": at.page("a", name, "unit", layer, "7"),
        "search": at.page("a", name, "search", query={"q": word}),
    }
    for kind, address in asked.items():
        times = []
        for _ in range(2):
            begun = time.perf_counter()
            text = client.get(address).text
            times.append(time.perf_counter() - begun)
        nodes = len(re.findall(r"<[a-zA-Z]", text)) if kind != "JSON" else 0
        print(
            f"{kind:9s} {len(text) / 1e3:9.1f} kB {nodes:8,} elements, "
            f"{times[0]:6.2f} s first, {times[1]:6.3f} s again"
        )
    if export is not None:
        begun = time.perf_counter()
        export_site([opened], export, overwrite=True)
        files = sum(file.is_file() for file in export.rglob("*"))
        took = time.perf_counter() - begun
        print(f"export: {took:.0f} s, {size_of(export) / 1e6:.1f} MB in {files:,} files")


def score(units: int, words: int, images: int = 2000, dim: int = 512) -> None:
    """Time and memory of soft-wpmi with its usual top_k, in this process."""
    from neuronym.similarity.base import open_similarity

    rng = np.random.default_rng(0)
    activations = np.maximum(rng.standard_normal((images, units), np.float32) - 1, 0)
    embeddings, texts = (
        row / np.linalg.norm(row, axis=1, keepdims=True)
        for row in (rng.standard_normal((n, dim), np.float32) for n in (images, words))
    )
    similarity = open_similarity("soft-wpmi").with_defaults(images, 10.0)
    similarity.top(activations[:, :8], embeddings[:], texts[:99])  # compiled
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun, used = time.perf_counter(), time.process_time()
    similarity.top(activations, embeddings, texts, 20)
    took, used = time.perf_counter() - begun, time.process_time() - used
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"{units:7,} units, {words:8,} words: {took:7.1f} s ({used:.1f} of the processor), "
        f"{more / 1024:7.0f} MB more"
    )


def main() -> None:
    """Do what was asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("atlas", "site", "scoring", "score"))
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--units", type=int, default=24_576)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--words", type=int, default=20_000)
    parser.add_argument("--export", type=Path)
    given = parser.parse_args()
    if given.what == "atlas":
        make(given.folder, given.units, given.images)
    elif given.what == "site":
        site(given.folder, given.export)
    elif given.what == "score":
        score(given.units, given.words)
    else:
        for units, words in SCORED:  # a process each: the peak of one is not that of the next
            sizes = ["--units", str(units), "--words", str(words)]
            own = [sys.executable, "-m", "benchmarks.wide_layers", "score"]
            subprocess.run([*own, *sizes], check=True)


if __name__ == "__main__":
    main()
