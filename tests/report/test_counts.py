"""The same neurons, counted everywhere: tables, figures, summaries, pages and report agree."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import neuronym as nym
from commands import run
from known_world import NAMES, UNITS, WORDS, Many, colour
from neuronym.analysis.evaluation.base import open_context, table
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.inputs.targets.base import Target
from neuronym.interchange.importing import import_labels
from neuronym.interchange.open import open_format
from neuronym.labelling.run import label
from neuronym.report import summary
from neuronym.report.plots.base import draw, select
from neuronym.web.site import Site
from small_world import SMALL, ColourEncoder, coloured_images

WPMI = "clip-dissect:soft-wpmi,top_k=6"


class Deep(Many):
    """The colour detectors with a layer behind them."""

    def __init__(self) -> None:
        super().__init__(0.4, 0)
        self.head = nn.Linear(UNITS, len(NAMES))
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            self.head.weight.copy_(torch.randn(len(NAMES), UNITS, generator=generator))
            self.head.bias.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(super().forward(images))


def pages(atlas: Atlas, *parts: str) -> dict[str, Any]:
    """A page's JSON twin."""
    site = Site([atlas])
    name = next(iter(site.views))
    return json.loads(site.json(site.page(("a", name, *parts))))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What every unit stands for, right or wrong."""
    path = tmp_path_factory.mktemp("truth") / "truth.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "unit", "label"])
        writer.writerows(["detect", unit, colour(unit)] for unit in range(UNITS))
        writer.writerows(["head", unit, name] for unit, name in enumerate(NAMES))
    return str(path)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, truth: str) -> list[dict[str, Any]]:
    """What each surface says of the first method, which is examined, as others join it."""
    folder = tmp_path_factory.mktemp("counts")
    atlas = nym.dissect(
        Target("detectors", Deep().eval(), SMALL, tuple(NAMES)),
        layers=["detect", "head"],
        probe=coloured_images(60),
        concepts=WORDS,
        encoder=ColourEncoder(),
        similarity="soft-wpmi:top_k=6",
        keep="all",
        out=str(folder / "atlas"),
        cache=str(folder / "cache"),
        progress=None,
    )
    atlas = analyse(atlas, ["significance:sets=2000,fdr=0.2"], method=WPMI)
    found = [told(atlas, truth, folder)]
    atlas = label(atlas, "clip-avg")
    found.append(told(atlas, truth, folder))
    atlas = label(atlas, "clip-dissect:cos")
    found.append(told(atlas, truth, folder))
    atlas = analyse(atlas, ["significance:sets=200"], method="clip-dissect:cos")
    found.append(told(atlas, truth, folder))
    assert len(atlas.methods) == 3
    return found


def told(atlas: Atlas, truth: str, folder: Path) -> dict[str, Any]:
    """What the surfaces say of the first method, in their own words."""
    atlas = nym.open(atlas.folder, significant=True)
    method, found = atlas.methods[0], {}
    stands = atlas.first_labels(abstaining=False)
    found["stands"] = {n: Counter(stands["concept"][stands["layer"] == n]) for n in atlas.layers}
    found["facts"] = summary.facts(atlas, method)["layers"]
    found["show"] = json.loads(run("show", "atlas", "--significant", "--json", cwd=folder).out)[
        "layers"
    ]
    for name, methods in (("every", None), ("alone", [method])):
        about = open_context(atlas, methods, truth=truth)
        for kind in ("accuracy", "concepts:top=99"):
            rows = [r for r in table(kind, about).records if r["method"] == method]
            found[f"{kind.partition(':')[0]} {name}"] = rows
    seen = select(atlas, truth=truth)
    panels = draw("concepts", seen).axes
    found["figure"] = {
        axes.get_title(loc="left").partition("\n")[0]: (
            axes.get_title(loc="left").partition("\n")[2],
            [bar.get_width() for bar in axes.patches],
        )
        for axes in panels
    }
    found["home"], found["report"] = pages(atlas), pages(atlas, "report")
    found["layers"] = {name: pages(atlas, "layer", name) for name in atlas.layers}
    words = dict.fromkeys(word for count in found["stands"].values() for word in count)
    found["words"] = {word: pages(atlas, "concept", word)["methods"][0] for word in words}
    return found


@pytest.mark.torture
def test_nothing_that_is_said_of_a_method_changes_when_others_join_it(
    stages: list[dict[str, Any]],
) -> None:
    first, *later = stages
    for key in ("facts", "show", "accuracy every", "concepts every", "figure", "layers", "words"):
        assert all(stage[key] == first[key] for stage in later), key
    assert all(stage["home"]["layers"] == first["home"]["layers"] for stage in later)
    for stage in stages:
        assert stage["accuracy every"] == stage["accuracy alone"]
        assert stage["concepts every"] == stage["concepts alone"]


@pytest.mark.parametrize("place", range(4))
def test_all_surfaces_count_alike(stages: list[dict[str, Any]], place: int) -> None:
    said = stages[place]
    assert said["show"] == said["facts"]
    # Both readings are of interest here.
    assert all(sum(row[key] for row in said["facts"]) for key in ("labelled", "abstained"))
    for row in said["facts"]:
        layer, stands = row["layer"], said["stands"][row["layer"]]
        assert row["labelled"] == stands.total()
        assert row["distinct_labels"] == len(stands)
        (judged,) = [r for r in said["accuracy every"] if r["layer"] == layer]
        assert (judged["total"], judged["abstained"]) == (row["units"], row["abstained"])
        assert judged["significant"] == row["labelled"]
        frequent = [r for r in said["concepts every"] if r["layer"] == layer]
        assert {r["concept"]: r["significant"] for r in frequent if r["significant"]} == stands
        assert sum(r["units"] for r in frequent) == row["units"]  # every unit has some label
        assert {r["different_significant"] for r in frequent} == {row["distinct_labels"]}
        assert {r["different"] for r in frequent} == {len(frequent)}
        text, bars = said["figure"][layer]
        assert bars == sorted(stands.values(), reverse=True)
        plural = "" if len(stands) == 1 else "s"
        assert text.startswith(f"{len(stands)} label{plural} on {stands.total()} neuron")
        (home,) = [one for one in said["home"]["layers"] if one["name"] == layer]
        assert (home["labelled"], home["distinct"]) == (row["labelled"], row["distinct_labels"])
        page = said["layers"][layer]
        assert page["facts"]["labelled"] == row["labelled"]
        assert page["facts"]["distinct"] == row["distinct_labels"]
        assert dict(home["frequent"]) == dict(page["frequent"]) == stands
        for word, count in stands.items():
            concept = said["words"][word]
            assert dict(concept["first"])[layer] == count
            among = {name: number for name, number, _best in concept["layers"]}
            assert among[layer] >= count  # among its first twenty labels
        blocks = [b for part in said["report"]["sections"] for b in part["blocks"]]
        (counted,) = [b for b in blocks if b["kind"] == "table" and b["table"] == "layers"]
        (mine,) = [r for r in counted["rows"] if r["layer"] == layer]
        assert (mine["labelled"], mine["abstained"]) == (row["labelled"], row["abstained"])
    lead = " ".join(said["report"]["lead"])
    total = sum(row["labelled"] for row in said["facts"])
    units = sum(row["units"] for row in said["facts"])
    assert f"The scores of {total} ({100 * total / units:.0f} %) beat chance" in lead
    assert str(units) in lead


def test_spellings_of_a_word_are_told_apart_on_its_page(tmp_path: Path) -> None:
    said = ["Cardigan", "cardigan", "Cardigan", "cap"]
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "unit", "description", "similarity"])
        writer.writerows(["conv", unit, word, 0.5] for unit, word in enumerate(said))
    import_labels(open_format("clip-dissect"), tmp_path / "labels.csv", tmp_path / "atlas")
    atlas = open_atlas(tmp_path / "atlas")
    (home,) = pages(atlas)["layers"]
    assert dict(home["frequent"]) == Counter(said)
    (page,) = pages(atlas, "concept", "cardigan")["methods"]
    assert page["first"] == [["conv", 3]]
    assert dict(page["spellings"]) == {"Cardigan": 2, "cardigan": 1}
    site = Site([atlas])
    (name,) = site.views
    from neuronym.web.addresses import Addresses

    text = site.html(site.page(("a", name, "concept", "cardigan")), Addresses())
    assert "spelled Cardigan 2, cardigan 1." in text
    assert "3 neurons have it among the first 20 labels" in text
    assert pages(atlas, "concept", "cap")["methods"][0]["spellings"] == []
