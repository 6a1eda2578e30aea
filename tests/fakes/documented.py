"""A folder in which the commands and snippets of the documentation find what they name."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import neuronym as nym
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.reader import Atlas
from neuronym.inputs.targets.base import Target
from neuronym.interchange.exporting import export_labels
from neuronym.interchange.importing import import_labels
from neuronym.interchange.open import open_format
from neuronym.labelling.run import label
from small_world import COLOURS, SMALL, ColourEncoder, coloured_images

WORDS = [*COLOURS, "dog", "cat", "stripes", "striped", "polka dot", "balloon", "hot-air balloon"]
#: Units by layer: as many as the documentation names neurons of them.
DEMO = {"_blocks.4": 6, "_blocks.10": 6, "_blocks.15": 8, "_fc": 420}
OWN = {"layer3": 5, "layer4": 1803}


class Documented(nn.Module):
    """Layers of these names, one after another, of seeded weights over the mean colour.

    All but the last have maps of 4 × 4 positions, units last.
    """

    def __init__(self, layers: dict[str, int]) -> None:
        super().__init__()
        self.pool, self.names, width = nn.AdaptiveAvgPool2d(4), list(layers), 3
        for seed, (name, units) in enumerate(layers.items()):
            folder, _, last = name.rpartition(".")
            if folder and not hasattr(self, folder):
                self.add_module(folder, nn.ModuleDict())
            made = nn.Linear(width, units)
            generator = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                made.weight.copy_(torch.randn(units, width, generator=generator))
                made.bias.zero_()
            parent = self.get_submodule(folder) if folder else self
            parent.add_module(last, made)
            width = units

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = self.pool(images).permute(0, 2, 3, 1)
        for name in self.names:
            values = values.mean((1, 2)) if name == self.names[-1] else values
            values = self.get_submodule(name)(values)
        return values


def target(layers: dict[str, int], name: str = "documented") -> Target:
    """Such a network; the class names of its last layer begin with the words."""
    last = list(layers.values())[-1]
    names = (WORDS + [f"thing {number}" for number in range(last)])[:last]
    return Target(name, Documented(layers).eval(), SMALL, tuple(names))


def demo() -> Target:
    """As `python:documented:demo` opens it."""
    return target(DEMO, "python:documented:demo")


def small_dissect(target_: object, layers: list[str], out: str, **given: object) -> Atlas:
    """`nym.dissect` of a small network with these layers, in place of one that is downloaded."""
    made = target({name: OWN.get(name, 5) for name in layers})
    about = {"encoder": ColourEncoder(), "concepts": WORDS, "keep": "all", "cache": "cache"}
    kept = {key: value for key, value in given.items() if key in ("probe", "concepts")}
    return nym_dissect(made, layers=layers, out=out, overwrite=True, **{**about, **kept})


nym_dissect = nym.dissect


def folder(place: Path) -> Path:
    """Photos, and atlases of three methods under the names that the documentation gives them."""
    drawn = coloured_images(44)
    for number, name in enumerate([*COLOURS] * 8):
        path = place / "photos" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn[number]).save(path)
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    noise = noise.repeat(5, 0).repeat(5, 1)
    Image.fromarray(noise).save(place / "photo.jpg")
    made = functools.partial(
        nym_dissect,
        probe=f"folder:{place / 'photos'}",
        concepts=WORDS,
        encoder=ColourEncoder(),
        keep="all",
        cache=str(place / "cache"),
        progress=None,
    )
    atlas = made("python:documented:demo", layers=list(DEMO), out=place / "demo-atlas")
    export_labels(atlas, open_format("clip-search"), place / "published" / "clip-search")
    for name, words in (("one", WORDS[:6]), ("another", WORDS[3:9])):
        lines = [f"_blocks.4,{unit},{word},0.5" for unit, word in enumerate(words)]
        (place / f"{name}.csv").write_text("\n".join(["layer,unit,description,similarity", *lines]))
        out = place / "resnet50-published"
        import_labels(open_format("clip-dissect"), place / f"{name}.csv", out, method=name)
    atlas = analyse(atlas, ["significance:sets=2000,fdr=0.2"])
    label(label(atlas, "csp"), "clip-dissect:cos", layers=["_fc", "_blocks.15"])
    for name in ("exact", "fast", "before", "after", "photos-atlas", "synthetic-atlas"):
        shutil.copytree(place / "demo-atlas", place / name)
    atlas = made(target(OWN), layers=list(OWN), out=place / "my-atlas")
    label(label(atlas, "csp"), "random")
    shutil.copytree(place / "my-atlas", place / "ATLAS")
    (place / "grid.toml").write_text('target = "python:documented:demo"\n[grid]\n')
    return place
