"""Units that feed units, in networks in which that is planted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch

import neuronym as nym
from commands import run
from linked_world import SOURCES, TWINS, World, world
from links_replica import effect
from neuronym._core.errors import UsageError
from neuronym._core.progress import silent
from neuronym.analysis.links import ablation
from neuronym.analysis.links import run as module
from neuronym.atlas.context import LabelContext
from neuronym.report.links import links_table, sign_of, way_back, way_lines
from neuronym.report.plots.base import draw, select
from small_world import SMALL


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    with patch.object(module, "automatic", lambda: silent):
        yield


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("planted"), seed=3, count=120)


@pytest.fixture(scope="module")
def atlas(planted: World) -> nym.Atlas:
    return nym.link(planted.atlas, check=200, **planted.sources)


def ends(frame: pd.DataFrame) -> set[tuple[int, int]]:
    return set(zip(frame["from_unit"], frame["to_unit"], strict=True))


def test_planted_links_are_found_and_no_others(planted: World, atlas: nym.Atlas) -> None:
    links, real = atlas.links("first", "second"), planted.network.planted
    confirmed = ends(links[links["confirmed"] == True])  # noqa: E712
    assert real <= ends(links)
    assert confirmed <= real
    assert len(confirmed) >= 0.9 * len(real)
    # Twins of what feeds a unit correlate with it, and feed nothing.
    twins = links[(links["from_unit"] >= SOURCES - TWINS) & (links["correlation_q"] < 0.01)]
    assert len(twins) > 5
    assert set(twins["confirmed"]) == {False}
    strong = links[[pair in real for pair in zip(links.from_unit, links.to_unit, strict=True)]]
    assert strong["weight"].min() > 5 * links.drop(strong.index)["weight"].max()
    weights = planted.network.between.weight.sum((2, 3)).detach().numpy()
    signs = np.sign([weights[b, a] for a, b in zip(strong.from_unit, strong.to_unit, strict=True)])
    assert (np.sign(strong["gain"]) == signs).all()
    sure = (strong["confirmed"] == True).to_numpy()  # noqa: E712
    assert (np.sign(strong["slope"]) == signs)[sure].all()
    assert {-1, 1} <= set(signs)


def test_an_effect_is_what_goes_away_with_the_source(planted: World, atlas: nym.Atlas) -> None:
    links = atlas.links("first", "second")
    row = links[links["confirmed"] == True].iloc[3]  # noqa: E712
    context = LabelContext(atlas, **planted.sources)
    network, sources = planted.network, context.sources
    random = np.random.default_rng(0).permutation(context.count)[: ablation.OTHERS]
    others = context.by_content[random].tolist()

    def maps(image: int) -> torch.Tensor:
        pixels = torch.from_numpy(sources.seen(image)[None])
        return network.first(SMALL.normalise(pixels)).detach()

    means = torch.cat([maps(image) for image in others]).mean((0, 2, 3))

    @torch.no_grad()
    def measure(source: int | None, image: int) -> float:
        found = maps(image)
        if source is not None:
            found[:, int(row.from_unit)] = means[int(row.from_unit)]
        second = network.second(network.norm(network.between(found)))
        return float(second[0, int(row.to_unit)].double().mean())

    named = atlas.exemplars("second", int(row.to_unit))["image_id"].head(ablation.EXEMPLARS)
    own = [context.row_of[image] for image in named]
    share, error = effect(measure, own, [image for image in others if image not in own])
    assert row.effect == pytest.approx(share, abs=1e-4)
    assert row.effect_high - row.effect_low == pytest.approx(4 * error, rel=0.15)
    assert row.effect_low < row.effect < row.effect_high


@pytest.mark.parametrize(
    ("own", "others", "effect", "p"),
    [
        (([3, 4, 5], [1, 2, 3]), ([1, 1, 1], [1, 1, 1]), 2 / 3, 0),  # the same everywhere
        (([3, 4, 5], [3, 4, 5]), ([1, 0, 1], [1, 0, 1]), 0, 1),
        (([3, 4, 5], [3.015, 4.015, 5.015]), ([1, 1, 1], [1, 1, 1]), -0.005, 1),  # too little
        (([1, 1], [0, 0]), ([0, 0, 0], [0, 0, 0]), np.nan, np.nan),  # too few images
        (([1, 2, 1], [0, 0, 0]), ([5, 6, 7], [5, 6, 7]), np.nan, np.nan),  # no higher than others
        (([1, 2, np.nan], [0, 0, 0]), ([0, 0, 0], [0, 0, 0]), np.nan, np.nan),
    ],
)
def test_what_a_comparison_says(own: Any, others: Any, effect: float, p: float) -> None:
    found = ablation.compared(own, others)
    assert found[0] == pytest.approx(effect, nan_ok=True)
    assert found[3] == pytest.approx(p, nan_ok=True, abs=1e-9)


@pytest.mark.parametrize(
    ("row", "sign"),
    [
        ({"slope": -0.1, "correlation": 0.5, "gain": 1.0}, "−"),  # ablation has the last word
        ({"slope": np.nan, "correlation": 0.5, "gain": np.nan}, "+"),
        ({"slope": np.nan, "correlation": np.nan, "gain": -2.0}, "−"),
        ({"slope": np.nan, "correlation": 0.5, "gain": -2.0}, "?"),
        ({"slope": None, "correlation": 0.0, "gain": np.nan}, "?"),
    ],
)
def test_the_sign_of_a_link(row: dict[str, Any], sign: str) -> None:
    assert sign_of(row) == sign
    assert ablation.slope(np.array([1.0, 2, 3]), np.array([5.0, 3, 1])) == pytest.approx(-2)
    assert np.isnan(ablation.slope(np.ones(3), np.ones(3)))


@pytest.mark.parametrize("skewed", [False, True])
def test_chance_is_not_an_effect(skewed: bool) -> None:
    """Differences drawn around the share that counts as none: p is no smaller than it says."""
    random, found = np.random.default_rng(0), []

    def spread(count: int) -> np.ndarray:
        return 1 - random.exponential(1, count) if skewed else random.normal(0, 1, count)

    for _ in range(800):
        y = [random.normal(5, 1, 12), random.normal(0, 1, 40)]
        gap = y[0].mean() - y[1].mean()
        d = [ablation.LEAST * gap + spread(12) / 2, spread(40) / 2]
        pairs = [(a, a - b) for a, b in zip(y, d, strict=True)]
        found.append(ablation.compared(*pairs)[3])
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.07
    assert np.mean(np.array(found) < 0.01) < 0.02


def test_a_unit_knows_what_feeds_it(planted: World, atlas: nym.Atlas) -> None:
    real = sorted(planted.network.planted)
    source, target = real[0]
    fed_by = atlas["second", target].fed_by()
    assert list(fed_by.columns[:4]) == ["layer", "unit", "concept", "confidence"]
    named = atlas.first_labels("first")["concept"]
    assert (fed_by["concept"] == named[fed_by["unit"]].to_numpy()).all()
    first = fed_by.head(sum(b == target for _, b in real))
    assert set(first["unit"]) == {a for a, b in real if b == target}
    feeds = atlas["first", source].feeds()
    assert set(feeds["unit"][feeds["confirmed"] == True]) <= {b for a, b in real if a == source}  # noqa: E712
    assert set(feeds["layer"]) == {"second"}
    with pytest.raises(
        UsageError, match=r"to hold links from head, got none.*neuronym links .*--from head"
    ):
        atlas["head", 0].feeds()


def test_it_goes_on_where_it_stopped(planted: World, atlas: nym.Atlas, tmp_path: Path) -> None:
    import shutil

    own = tmp_path / "atlas"
    shutil.copytree(planted.atlas.folder, own)
    whole = nym.link(own, "first", check=30, overwrite=True, **planted.sources).links("first")
    measured: list[int] = []

    class Stopped(module.Ablations):
        def __call__(self, pairs: Any) -> Any:
            measured.append(len(pairs))
            if len(measured) == 3:
                raise KeyboardInterrupt
            return super().__call__(pairs)

    with patch.object(module, "_ROUND", 11), patch.object(module, "Ablations", Stopped):
        with pytest.raises(KeyboardInterrupt):
            nym.link(own, "first", check=30, overwrite=True, **planted.sources)
        assert nym.open(own).links("first")["checked"].sum() == 22
        with patch.object(module, "correlate", side_effect=AssertionError):  # not made again
            again = nym.link(own, "first", check=30, **planted.sources)
    assert measured == [11, 11, 8, 8]
    pd.testing.assert_frame_equal(again.links("first"), whole)
    facts = again.manifest.links["first to second"]
    assert (facts.checked, facts.confirmed) == (30, int((whole["confirmed"] == True).sum()))  # noqa: E712
    with patch.object(module, "Ablations", side_effect=AssertionError):  # the budget is used up
        nym.link(own, "first", check=30, **planted.sources)


def test_the_way_back_is_walked(planted: World, atlas: nym.Atlas) -> None:
    way = way_back(atlas, "head", 2, depth=3)
    assert {one.layer for one in way.fed_by} == {"second"}
    assert {deep.layer for one in way.fed_by for deep in one.fed_by} == {"first"}
    text = way_lines(way)
    assert text[0].startswith("head:2 “")
    assert any(line.startswith(("│  ├─ ", "   └─ ")) and "effect" in line for line in text)
    assert way.equation is not None
    assert way.equation.endswith(f" → {way.label}")
    assert way.to_data()["fed_by"][0]["fed_by"][0]["neuron"].startswith("first:")
    table = links_table(atlas, "first", "second", targets=3)
    assert len({row["neuron"] for row in table.rows}) == 3
    assert "further units" in " ".join(table.notes)
    assert {row["check"] for row in table.rows} <= {"confirmed", "not checked"}


def test_the_neurons_page_shows_them(planted: World, atlas: nym.Atlas) -> None:
    from starlette.testclient import TestClient

    from neuronym.web.server import application

    source, target = sorted(planted.network.planted)[0]
    with TestClient(application([atlas])) as client:
        address = f"/a/{atlas.folder.name}/unit/second/{target}"
        page, data = client.get(address).text, client.get(f"{address}.json").json()
        other = client.get(f"/a/{atlas.folder.name}/unit/first/{source}.json").json()
    fed_by = data["links"]["fed by"]
    assert source in {row["other"]["unit"] for row in fed_by}
    assert fed_by[0]["check"] == "confirmed"
    assert fed_by[0]["low"] < fed_by[0]["effect"] < fed_by[0]["high"]
    assert [row["check"] for row in fed_by] == sorted(row["check"] for row in fed_by)
    assert target in {row["other"]["unit"] for row in other["links"]["feeds"]}
    assert "What feeds it, and what it feeds" in page
    assert f"/unit/first/{source}" in page
    assert data["equation"] in page


def test_the_graph_is_drawn(planted: World, atlas: nym.Atlas) -> None:
    for unit in (None, "head:2"):
        figure = draw("links", select(atlas, unit=unit))
        said = [text.get_text() for text in figure.axes[0].texts]
        assert sum("first:" in text for text in said) > 2
        assert any("head:2" in text for text in said) or unit is None
        widths = {line.get_linestyle() for line in figure.axes[0].lines}
        assert "-" in widths
        assert len(figure.axes[0].lines) >= 4


def test_from_the_command_line(planted: World, atlas: nym.Atlas, tmp_path: Path) -> None:
    folder = str(atlas.folder)
    again = ("--check", "0")  # the network is an object: what is there is shown
    done = run("links", folder, "--from", "first", *again, "-n", "2", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "What feeds second, from first" in done.out
    assert "confirmed" in done.out
    data = json.loads(run("links", folder, "--json", *again, cwd=tmp_path).out)
    assert [(part["from_layer"], part["to_layer"]) for part in data] == [
        ("first", "second"),
        ("second", "head"),
    ]
    assert data[0]["links"][0]["from_label"]
    tree = run("links", folder, "--of", "head:1", *again, cwd=tmp_path)
    assert tree.out.startswith("head:1 “")
    assert "└─" in tree.out


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (
            {"from_layer": "second", "to_layer": "first"},
            "from.* a layer before first.*got 'second'",
        ),
        ({"from_layer": "head"}, "a layer behind head"),
        ({"to_layer": "first"}, "a layer before first"),
        ({"of": "first:2"}, "a unit of a layer behind first"),
        ({"of": "second:1", "to_layer": "second"}, "given without a layer that links come from"),
        ({"of": "second:99"}, "a number 0…8 in second"),
        ({"from_layer": "secnd"}, "Nearest: second"),
        ({"ablate": "noise"}, "`ablate` to be one of mean, zero, got 'noise'"),
        ({"keep": 0}, "`keep`"),
    ],
)
def test_wrong_names_are_refused(planted: World, given: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        nym.link(planted.atlas, **given, **planted.sources)
