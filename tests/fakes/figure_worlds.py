"""Atlases of all kinds for figures and reports: small, hostile, large, silent."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

import neuronym as nym
from neuronym.atlas.reader import Atlas
from neuronym.interchange.importing import import_labels
from neuronym.interchange.open import open_format
from small_world import PLANTED, ColourEncoder, build, coloured_images

#: Concepts that would do harm where they are not escaped; units of `detect` get them as labels.
HOSTILE = {
    "red": "red <script>alert(1)</script>",
    "green": "green \" onload=alert(2) ' `code` |pipe| *star* [a](http://evil.example)",
    "blue": "blue \u202eRTL",
    "yellow": "yellow $5 and $6^{2",
    "purple": "purple & 日本語 עברית",
}


def small(folder: Path, words: list[str] | None = None, **settings: object) -> Atlas:
    """The small world's network on 23 images; seven units of `detect`, four of `head`."""
    return nym.dissect(
        build(),
        layers=settings.pop("layers", ["detect", "head"]),
        probe=coloured_images(23),
        concepts=words or [*PLANTED, "dog", "moss"],
        encoder=ColourEncoder(),
        similarity="soft-wpmi:top_k=4",
        out=str(folder / "atlas"),
        cache=str(folder / "cache"),
        **settings,
    )


def truth(path: Path) -> Path:
    """A ground truth of `detect`: three words right, one wrong, one that names nothing."""
    said = ["red", "green", "blue", "moss", "purple", None, None]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "unit", "label", "status", "annotator", "time"])
        for unit, word in enumerate(said):
            status = "own" if word else "non-interpretable"
            writer.writerow(["detect", unit, word, status, "ann", "2026-01-02T03:04:05Z"])
    return path


def published(
    folder: Path, layers: int, units: int, *, silent: float = 0.0, shift: float = 0.0
) -> Atlas:
    """An atlas from a file: no images, no embeddings; labels as unevenly used as words are.

    Args:
        folder: empty.
        layers, units: how many.
        silent: share of the units that have no label.
        shift: added to all scores, which else are about 0.3.
    """
    random = np.random.default_rng(layers)
    words = [*HOSTILE.values(), *(f"word{number}" for number in range(60))]
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "unit", "description", "similarity"])
        for layer in range(layers):
            for unit in range(units):
                word = words[min(int(random.zipf(1.3)) - 1, len(words) - 1)]
                score = f"{random.normal(0.3 + shift, 0.1):.4f}"
                there = random.random() >= silent
                name = f"encoder.layers.{layer}.attention.output.dense"
                writer.writerow([name, unit, *((word, score) if there else ("", ""))])
    kind = open_format("clip-dissect")
    return import_labels(kind, folder / "labels.csv", folder / "atlas").atlas
