"""What is said of one method speaks of that method alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuronym as nym
from commands import run
from neuronym._core.tables import Table
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.reader import Atlas
from neuronym.labelling.run import label
from neuronym.report.document.blocks import Bullets
from neuronym.report.document.compose import build
from neuronym.report.plots.base import select
from neuronym.web.site import Query, Site
from small_world import COLOURS, ColourEncoder, coloured_images
from small_world import build as network


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `atlas`: three methods that find different labels, of which two abstain."""
    folder = tmp_path_factory.mktemp("method")
    atlas = nym.dissect(
        network(),
        layers=["detect", "head"],
        probe=coloured_images(61),
        concepts=[*COLOURS, "stripes", "pin stripe", "striped cat"],
        encoder=ColourEncoder(),
        similarity="soft-wpmi:top_k=7",
        cache=str(folder / "cache"),
        out=folder / "atlas",
        progress=None,
    )
    atlas = analyse(atlas, ["significance:sets=999"])
    for method in ("clip-avg", "clip-dissect:cos", "random"):
        atlas = label(atlas, method, layers=["detect"] if method == "clip-avg" else None)
    analyse(atlas, ["bootstrap:resamples=20"], method="clip-dissect:cos")
    return folder


@pytest.fixture
def atlas(place: Path) -> Atlas:
    return nym.open(place / "atlas")


@pytest.mark.parametrize("number", range(4))
def test_show_of_an_atlas_speaks_of_the_method(place: Path, atlas: Atlas, number: int) -> None:
    method = atlas.methods[number]
    text = run("show", "atlas", "--method", method, cwd=place).out
    first, made = text.split("\n\n")[0].strip().splitlines()[:2]
    units = sum(atlas.layers[layer]["units"] for layer in atlas.labelled_layers(method))
    assert first == f"{units} neurons of detectors labelled by {method}"
    about = atlas.manifest.methods[method]
    assert (about.get("with_defaults") or about.method) in made  # of csp it is not a name
    # What the random baseline draws, no encoder has seen.
    assert ("colours" in made) == (method != "random")
    data = json.loads(run("show", "atlas", "--method", method, "--json", cwd=place).out)
    assert data["method"] == method
    labels = atlas.first_labels(method=method)
    for row in data["layers"]:
        own = labels[labels["layer"] == row["layer"]]
        assert row["labelled"] == (~own["abstained"]).sum()
        stands = own[~own["abstained"]]
        cells = [row["layer"], str(row["units"]), str(len(stands)), str(own["abstained"].sum())]
        line = next(x for x in text.splitlines() if x.split()[:1] == [row["layer"]])
        assert line.split()[:4] == cells
        if len(stands):
            assert row["median_score"] == pytest.approx(float(np.median(stands["score"])))
    for row in data["top_scoring"]:
        own = labels[(labels["layer"] == row["layer"]) & (labels["unit"] == row["unit"])]
        assert (row["concept"], row["score"]) == (own["concept"].item(), own["score"].item())
        assert re.search(rf"{row['layer']}:{row['unit']} +{row['concept']} ", text)
    assert any("by_chance" in row for row in data["layers"]) == (number == 0)
    assert any("median_stability" in row for row in data["layers"]) == (number == 2)
    for line in text.split("Next:")[1].splitlines():
        if re.search(r" (show|search|trust) ", line):
            assert line.endswith(f" --method {method}") == (number > 0)
    assert "Confidence unknown" in text


def test_show_of_a_neuron_speaks_of_the_method(place: Path, atlas: Atlas) -> None:
    for method in atlas.methods:
        asked = ["show", "atlas", "detect:2", "--method", method]
        text, data = (run(*asked, *more, cwd=place).out for more in ((), ("--json",)))
        told, text = json.loads(data), " ".join(text.split())
        assert told["method"] == method
        own = atlas.labels("detect", 2, method=method)
        assert [row["concept"] for row in told["labels"]] == list(own["concept"])
        assert f"by {method}" in text or f"What {method} would have said" in text
        assert all(f"by {other} " not in text for other in set(atlas.methods) - {method})
        assert set(told["trust"]) == {n for n in ("p", "q", "stability") if n in own}
    told = run("show", "atlas", "head:1", "--method", "clip-avg", cwd=place).out
    assert "clip-avg has not labelled head." in told


def test_the_report_speaks_of_the_method(place: Path, atlas: Atlas) -> None:
    for method in ("clip-dissect.cos", "random"):
        said = build(select(atlas, method=method))
        assert f"as {method}, from 61 images" in said.lead[0]
        assert ("and 8 words" in said.lead[0]) == (method != "random")
        table = next(b for b in said.sections[0].blocks if isinstance(b, Table))
        rows = {row["what"]: row["which"] for row in table.rows}
        assert rows["labels"].startswith(f"{method}: ")
        assert ("image–text model" in rows) == ("words" in rows) == (method != "random")
        about = " ".join(
            item
            for part in said.sections
            for b in part.blocks
            if isinstance(b, Bullets)
            for item in b.items
        )
        assert ("the best of 8 words" in about) == (method != "random")


def test_the_next_commands_are_about_the_method(place: Path) -> None:
    text = run("trust", "atlas", "bootstrap", "--method", "clip-dissect.cos", cwd=place).out
    following = text.split("Next:\n")[1].strip().splitlines()
    assert len(following) == 2
    assert all(line.endswith(" --method clip-dissect.cos") for line in following)
    text = run("search", "atlas", "detect:1", "--method", "clip-avg", "--in", "labels", cwd=place)
    assert text.out.strip().endswith("show atlas detect:1 --method clip-avg")


def test_the_site_shows_a_neuron_by_the_method_of_the_search(atlas: Atlas) -> None:
    site = Site([atlas])
    for method in ("clip-dissect.cos", "random"):
        asked = Query([("q", "detect:1"), ("method", method)])
        (card,) = site.page(("a", "atlas", "search"), asked).named
        own = atlas.first_labels("detect", 1, method=method)
        assert card.concept == own["concept"].item()


def labels_of(text: str, done: Any) -> list[tuple[str, int, int]]:
    """Concept, neuron and index of each sentence."""
    form = r"Found concept (['\"])(.*)\1 in Neuron (\d+) and Index (\d+) with Similarity Value: .+"
    found = [re.fullmatch(form, line) for line in done.out.splitlines()]
    assert found, text
    assert all(found), done.out
    return [(one[2], int(one[3]), int(one[4])) for one in found if one]


@pytest.mark.parametrize("text", ["strip", "stripe", "STRIPED", "pin s", "cat", "tripe"])
def test_classic_sentences_name_the_label_that_was_found(
    place: Path, atlas: Atlas, text: str
) -> None:
    asked = ["search", "atlas", text, "--format", "classic", "--in", "labels", "--limit", "99"]
    for method in ("clip-dissect.cos", "random"):
        done = run(*asked, "--layers", "detect", "--method", method, cwd=place)
        found = labels_of(text, done)
        labels = atlas.labels("detect", method=method).query("not abstained and rank <= 10")
        labels = labels[labels["concept"].str.contains(text.lower())]
        best = labels.sort_values("rank").groupby("unit").first()
        assert {(c, u, r) for c, u, r in found} == {
            (row.concept, row.Index, row.rank) for row in best.itertuples()
        }
        assert {concept for concept, _, _ in found} <= {"stripes", "pin stripe", "striped cat"}
