"""Effects of units on the output: against a replica, over many seeds, and said in words."""

from __future__ import annotations

import copy
import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from starlette.testclient import TestClient
from torch import Tensor, nn

import effect_replica as replica
import neuronym as nym
from commands import run
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.analysis.effect import kept, measure, statistics
from neuronym.analysis.effect.settings import How
from neuronym.analysis.effect.statistics import Seen, one_output, whole_output
from neuronym.analysis.effect.table import effect_table, facts, first_labels, in_words, sayings
from neuronym.atlas.reader import Atlas
from neuronym.inputs.targets.base import Target
from neuronym.report.document.neurons import card
from neuronym.report.plots.base import Selection
from neuronym.web.server import application
from places import ROOT
from small_world import PLANTED, SMALL, ColourEncoder, coloured_images

STARTS = ["Without it (it puts out its mean): +", "When it puts out 3 standard deviations more: −"]
CLASSES = tuple(f"class {n}" for n in range(9))
#: Unit → the class it speaks for, and how loudly.
SPEAKS = {0: (2, 3.0), 1: (5, -2.0), 2: (0, 4.0), 3: (8, 2.5)}


class Convolutions(nn.Module):
    """Detectors of colours; some speak for a class, 5 and 6 are silent, 7 is dead."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.detect, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 9)
        self.relu = nn.ReLU(inplace=True)
        with torch.no_grad():
            self.detect.weight[7], self.detect.bias[7] = 0, -1
            self.detect.bias[:7] = 0.7
            self.head.weight.zero_()
            for unit, (output, weight) in SPEAKS.items():
                self.head.weight[output, unit] = weight
            self.head.weight[3, 4] = 2.0

    def forward(self, x: Tensor, change: Any = lambda layer: layer) -> Tensor:
        return self.head(self.relu(change(self.detect(x))).mean((2, 3)))


class Patches(nn.Module):
    """A transformer with a class token that puts out an embedding, not classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.patches = nn.Conv2d(3, 6, 8, 8)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 6))
        self.block = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
        self.norm, self.out = nn.LayerNorm(6), nn.Linear(6, 5)

    def forward(self, x: Tensor, change: Any = lambda layer: layer) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), 1, 6), tokens], 1)
        return self.out(self.norm(change(self.block(tokens)))).mean(1)


def dissected(
    folder: Path, model: nn.Module, layers: list[str], names: Any = None, probe: Any = None
) -> Atlas:
    return nym.dissect(
        Target("speaking", model.eval(), SMALL, names),
        layers=layers,
        probe=probe or coloured_images(40),
        concepts=PLANTED,
        encoder=ColourEncoder(),
        out=folder / "atlas",
        cache=str(folder / "cache"),
        progress=None,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, model, layers, names in (
        ("cnn", Convolutions(), ["detect", "relu", "head"], CLASSES),
        ("tokens", Patches(), ["block"], None),
    ):
        folder = tmp_path_factory.mktemp(name)
        atlas = dissected(folder, model, layers, names)
        given = {
            "target": Target("speaking", model.eval(), SMALL, names),
            "probe": coloured_images(40),
            "cache": str(folder / "cache"),
            "progress": lambda *_: _Quiet(),
        }
        found[name] = (atlas, model, given)
    return found


class _Quiet:
    """A display that counts what it is told."""

    steps = 0

    def __enter__(self) -> _Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def advance(self, steps: int = 1, *, instant: bool = False) -> None:
        _Quiet.steps += 0 if instant else steps


def fresh(made: dict[str, Any], name: str, folder: Path) -> tuple[Atlas, nn.Module, dict[str, Any]]:
    """A copy of an atlas, its network, and what it was made from."""
    atlas, model, given = made[name]
    shutil.copytree(atlas.folder, folder / name)
    return nym.open(folder / name), model, given


@pytest.mark.parametrize(
    ("name", "layer", "how"),
    [
        ("cnn", "detect", {"mode": "mean", "outputs": 2}),
        ("cnn", "detect", {"mode": "zero", "images": 13, "seed": 4}),
        ("cnn", "detect", {"mode": "steer", "amount": -1.5, "images": 11}),
        ("tokens", "block", {"mode": "mean", "images": 9, "outputs": 3}),
        ("tokens", "block", {"mode": "steer", "amount": 2}),
    ],
)
def test_effects_are_those_of_the_replica(name, layer, how, made, tmp_path: Path) -> None:
    atlas, model, given = fresh(made, name, tmp_path)
    found = atlas.effect(layer=layer, **how, **given)
    double = copy.deepcopy(model).double().eval()
    hashes, ids = list(atlas.images["content_hash"]), list(atlas.images["image_id"])
    images = [replica.seen(SMALL.pixels(pixels)) for pixels in coloured_images(40)]
    count = how.get("images", 20)
    random = replica.drawn(hashes, how.get("seed", 0))
    tokens, rows, units = name == "tokens", [], found.units.set_index("unit")
    for unit in range(atlas.layers[layer]["units"]):
        row = atlas.units[(atlas.units["layer"] == layer) & (atlas.units["unit"] == unit)].iloc[0]
        if row["dead"]:
            assert "dead" in units["reason"][unit]
            continue
        ranked = atlas.exemplars(layer, unit).sort_values("rank")["image_id"].head(count)
        own = [ids.index(image) for image in ranked] if how["mode"] != "steer" else []
        others = [place for place in random if place not in own][:count]
        place = (lambda out, u=unit: out[..., u]) if tokens else (lambda out, u=unit: out[:, u])
        kinds = [lambda out, p=place: p(out)]
        if tokens and how["mode"] == "mean":  # the class token has a mean of its own
            kinds = [lambda out, u=unit: out[:, 1:, u], lambda out, u=unit: out[:, :1, u]]
        levels = [
            replica.level(double, [images[i] for i in random[:count]], kind) for kind in kinds
        ]

        def new(values: Tensor, levels: Any = levels, std: float = row["std"]) -> Tensor:
            if how["mode"] == "steer":
                return values + how["amount"] * std
            if how["mode"] == "zero":
                return 0 * values
            means = torch.full_like(values, levels[0])
            if len(levels) > 1:
                means[:, 0] = levels[1]
            return means

        high = replica.changes(double, [images[i] for i in own], place, new) if own else None
        low = replica.changes(double, [images[i] for i in others], place, new)
        if np.abs(low).max() < 1e-9 and (high is None or np.abs(high).max() < 1e-9):
            assert units["reason"][unit] == "the output does not change"
            continue
        whole = units.loc[unit]
        assert (whole["exemplars"], whole["random"]) == (len(own), len(others))
        outs = [double(images[i])[0].detach().numpy() for i in [*own, *others]]
        turns = [
            replica.angle(a, a + d)
            for a, d in zip(outs, [*(high if own else []), *low], strict=True)
        ]
        np.testing.assert_allclose(whole["turn_random"], np.mean(turns[len(own) :]), atol=1e-3)
        if own:
            np.testing.assert_allclose(whole["turn"], np.mean(turns[: len(own)]), atol=1e-3)
        exact = replica.effects(high, low, how.get("outputs", 5))
        rows += [one | {"unit": unit} for one in exact if abs(one["difference"]) > 1e-9]
    rows = replica.reported(rows)
    mine = found.outputs[found.outputs["difference"].abs() > 1e-9].set_index(["unit", "output"])
    assert len(mine) == len(rows) > 3
    for one in rows:
        here = mine.loc[(one["unit"], one["output"])]
        for column in ("difference", "low", "high"):
            np.testing.assert_allclose(here[column], one[column], atol=2e-4, rtol=2e-3)
        assert bool(here["reported"]) == one["reported"] or abs(one["p"] - 0.01) < 0.002
    named = set(found.outputs["class"].dropna())
    assert (named <= set(CLASSES) and bool(named)) if name == "cnn" else not named


# -- what is reported ------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["heavy", "sparse", "skewed"])
def test_of_reported_effects_at_most_one_in_twenty_is_absent(noise: str) -> None:
    """60 units a run, each of which moves 3 of 40 outputs and disturbs the rest at random."""
    absent = found = planted = 0
    for seed in range(3):
        rng = np.random.default_rng(seed)

        def disturbed(count: int, rng: Any = rng) -> np.ndarray:
            if noise == "skewed":
                return (rng.exponential(1, (count, 40)) - 1) * rng.choice([-1, 1], 40)
            heavy = rng.standard_t(3, (count, 40))
            return heavy * (rng.random((count, 40)) < 0.15) if noise == "sparse" else heavy

        p, true = [], []
        for _ in range(60):
            moved = rng.choice(40, 3, replace=False)
            size = np.zeros(40)
            size[moved] = rng.choice([-1, 1], 3) * 1.5
            activation = np.sort(rng.gamma(2, 1, 20))[::-1, None] + 2
            high = activation * (size + 0.5 * disturbed(20))
            other = (rng.random((20, 1)) < 0.2) * (size + 0.5 * disturbed(20))
            seen = [Seen(np.zeros_like(one), one.astype(np.float32)) for one in (high, other)]
            tested = one_output(*seen, 5, False)
            p += tested["p"]
            true += [output in moved for output in tested["output"]]
        hit = statistics.reported(np.array(p))[0] <= statistics.FDR
        found += int(hit.sum())
        absent += int((hit & ~np.array(true)).sum())
        planted += 180
    assert absent <= 0.05 * found
    assert found > 0.5 * planted


def test_planted_effects_are_found_and_no_others(made, tmp_path: Path) -> None:
    atlas, _, given = fresh(made, "cnn", tmp_path)
    found = atlas.effect(layer="relu", **given)
    reported = found.outputs[found.outputs["reported"]]
    signs = {(r.unit, r.output): np.sign(r.difference) for r in reported.itertuples()}
    assert signs == {
        **{(unit, output): -np.sign(weight) for unit, (output, weight) in SPEAKS.items()},
        (4, 3): -1,
    }
    reasons = found.units.set_index("unit")["reason"]
    assert list(reasons[[5, 6]]) == ["the output does not change"] * 2
    assert "dead" in reasons[7]
    # What rounding moves is no effect, however steadily it does.
    silent = found.outputs[found.outputs["unit"].isin([5, 6, 7])]
    assert silent.empty


def test_whole_outputs_turn_and_stretch() -> None:
    plain = np.array([[3.0, 0, 0], [0, 2, 1], [0, 1, 0], [1, 0, 0]], np.float32)
    turned = np.array([[0, 6.0, 0], [0, 2, 1], [0, 2, 0], [0, 0, 2]], np.float32)
    found = whole_output(Seen(plain, turned), Seen(plain, plain))
    assert found["turn"] == pytest.approx(45)
    assert found["norm"] == pytest.approx(0.75)
    assert (found["flips"], found["turn_random"], found["norm_random"]) == (0.5, 0, 0)
    assert whole_output(None, Seen(plain, turned))["turn"] is None


# -- kept in the atlas -----------------------------------------------------------------------------


def test_a_stopped_run_goes_on_where_it_was(made, tmp_path: Path, monkeypatch) -> None:
    atlas, _, given = fresh(made, "cnn", tmp_path)
    whole = atlas.effect(layer="relu", mode="zero", **given)
    again, _, _ = fresh(made, "cnn", tmp_path / "again")
    monkeypatch.setattr(measure, "_BLOCK_UNITS", 3)
    under, calls = measure.Experiment.measured, []

    def stopped(self: Any, images: Any, tick: Any) -> Any:
        calls.append(list(images))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return under(self, images, tick)

    monkeypatch.setattr(measure.Experiment, "measured", stopped)
    with pytest.raises(KeyboardInterrupt):
        again.effect("relu:4", "relu:0", "relu:1", "relu:3", mode="zero", **given)
    there = kept.read(nym.open(again.folder), "relu", How("zero"))
    assert there is not None
    assert list(there.units["unit"]) == [0, 1, 4]
    _Quiet.steps = 0
    found = nym.open(again.folder).effect(layer="relu", mode="zero", **given)
    assert calls[2:] == [[2, 3, 5], [6]]
    assert _Quiet.steps == 4 * 40
    for one, other in ((found.outputs, whole.outputs), (found.units, whole.units)):
        pd.testing.assert_frame_equal(one, other, atol=1e-5)
    calls.clear()
    nym.open(again.folder).effect("relu:2", mode="zero", **given)
    assert not calls
    nym.open(again.folder).effect("relu:2", mode="zero", overwrite=True, **given)
    assert calls == [[2]]


def test_ways_to_measure_lie_side_by_side(made, tmp_path: Path) -> None:
    atlas, _, given = fresh(made, "cnn", tmp_path)
    for how in ({"mode": "steer"}, {}, {"images": 8}):
        atlas.effect("relu:0", **how, **given)
    atlas = nym.open(atlas.folder)
    found = kept.kept(atlas, "relu")
    assert [one.how for one in found[:2]] == [How(), How("steer")]
    assert found[2].how == How(images=8)
    assert {facts.layer for facts in atlas.manifest.effects.values()} == {"relu"}
    (atlas.folder / "effect" / "relu.mean.parquet").unlink()
    with pytest.raises(
        NeuronymError, match=r"relu.mean.parquet is damaged or missing. .*--all relu"
    ):
        kept.read(atlas, "relu", How())


def test_the_order_of_images_changes_nothing(made, tmp_path: Path) -> None:
    atlas, model, given = fresh(made, "tokens", tmp_path)
    found = atlas.effect("block:1", "block:4", images=8, **given)
    given = given | {"probe": coloured_images(40)[::-1]}
    turned = dissected(tmp_path, model, ["block"], None, given["probe"])
    other = turned.effect("block:1", "block:4", images=8, **given)
    pd.testing.assert_frame_equal(found.outputs, other.outputs, atol=1e-4, rtol=1e-2)


# -- what is refused, and what is said -------------------------------------------------------------


def test_what_cannot_be_measured_is_said(made, tmp_path: Path) -> None:
    atlas, _, given = fresh(made, "cnn", tmp_path)
    with pytest.raises(UsageError, match="got head, which is the output: nothing comes after it"):
        atlas.effect("head:2", **given)
    with pytest.raises(UsageError, match="a number 0…7 in relu, got 8"):
        atlas.effect("relu:8", **given)
    with pytest.raises(UsageError, match="such as layer4:1802, or all of a layer, got none"):
        atlas.effect(**given)
    with pytest.raises(UsageError, match="Expected `mode` to be steer where an amount is given"):
        atlas.effect("relu:0", amount=2, **given)
    with pytest.raises(UsageError, match="`amount` to be a number of standard deviations other"):
        atlas.effect("relu:0", mode="steer", amount=0, **given)
    with pytest.raises(UsageError, match="moved or changed since the atlas was made"):
        atlas.effect("relu:0", **given | {"probe": coloured_images(39)})
    other = Target("speaking", Convolutions().eval(), SMALL, CLASSES)
    nn.init.zeros_(other.model.head.weight)
    with pytest.raises(UsageError, match="with other weights or code"):
        atlas.effect("relu:0", **given | {"target": other})
    exemplars = pd.read_parquet(atlas.folder / "exemplars.parquet")
    few = exemplars[(exemplars["layer"] != "relu") | (exemplars["rank"] <= 4)]
    few.to_parquet(atlas.folder / "exemplars.parquet")
    found = nym.open(atlas.folder).effect("relu:0", **given)
    assert found.units["reason"][0] == "it has 4 exemplars, and 6 are needed"
    words = in_words(found, "relu", 0)
    assert words == (
        "What it does to the output was not measured, because it has 4 exemplars, and 6 are needed."
    )


def test_effects_are_said(made, tmp_path: Path) -> None:
    atlas, _, given = fresh(made, "cnn", tmp_path)
    found = atlas["relu", 1].effect(**given)
    labels = first_labels(atlas)
    said = in_words(found, "relu", 1)
    assert re.fullmatch(
        r"Without it \(it puts out its mean\): \+\d\.\d\d on class 5 \[\+\d.*\]\.", said or ""
    )
    assert in_words(found, "relu", 0) is None
    shown = effect_table(found, labels)
    assert shown.title == "What relu:1 does to the output: when it puts out its mean"
    assert [row["output"] for row in shown.rows] == ["class 5"]
    assert "the logit of the class" in shown.notes[0]
    many = effect_table(atlas.effect(layer="relu", **given), labels)
    assert len(many.rows) == 5
    told = " ".join(many.notes)
    assert "because the output does not change: relu:5, relu:6." in told
    data = json.loads(json.dumps(facts(found, labels)))
    assert (data["how"]["mode"], data["units"][0]["outputs"][0]["class"]) == ("mean", "class 5")
    tokens, _, given = fresh(made, "tokens", tmp_path)
    steered = tokens.effect("block:2", mode="steer", amount=-2, **given)
    said = in_words(steered, "block", 2)
    assert (said or "").startswith("When it puts out 2 standard deviations less: −")
    assert " on output " in (said or "")
    shown = effect_table(steered, {})
    assert "the output of the network changes on random images" in shown.notes[0]
    assert {"on_exemplars", "probability"}.isdisjoint(shown.names)


def test_outputs_with_positions_are_averaged(tmp_path: Path) -> None:
    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one, self.two = nn.Conv2d(3, 5, 1), nn.Conv2d(5, 9, 3, padding=1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"out": self.two(self.one(x).relu())}

    model = Maps()
    atlas = dissected(tmp_path, model, ["one"], CLASSES)
    target = Target("speaking", model.eval(), SMALL, CLASSES)
    given = {"target": target, "probe": coloured_images(40), "cache": str(tmp_path / "cache")}
    found = atlas.effect("one:1", progress=lambda *_: _Quiet(), **given)
    assert (found.facts["one"].pooled, found.facts["one"].outputs) == (True, 9)
    assert "averaged over positions" in effect_table(found, {}).notes[0]


def test_columns_are_documented() -> None:
    page = (ROOT / "docs" / "atlas-format.md").read_text("utf-8")
    for title, schema in zip(
        ("effect/<layer>.<how>.parquet", "effect/<layer>.<how>.units.parquet"),
        kept.schemas(),
        strict=True,
    ):
        section = page.split(f"### `{title}`")[1].split("\n### ")[0].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == schema.names


def test_effects_are_shown_where_neurons_are(made, tmp_path: Path) -> None:
    atlas, _, given = fresh(made, "cnn", tmp_path)
    quiet = run("show", str(atlas.folder), "relu:1", cwd=tmp_path)
    assert "Without it" not in quiet.out
    atlas.effect("relu:1", **given)
    atlas.effect("relu:1", mode="steer", **given)
    atlas = nym.open(atlas.folder)
    said = sayings(atlas, "relu", 1)
    assert [text[: len(start)] for text, start in zip(said, STARTS, strict=True)] == STARTS
    assert len(said) == 2
    shown = " ".join(run("show", str(atlas.folder), "relu:1", cwd=tmp_path).out.split())
    assert all(text in shown for text in said)
    data = run("show", str(atlas.folder), "relu:1", "--json", cwd=tmp_path)
    assert json.loads(data.out)["effects"] == said
    with TestClient(application([atlas])) as client:
        pages = [client.get(f"/a/{atlas.folder.name}/unit/relu/{unit}").text for unit in (1, 2)]
    heading = "What it does to the output"
    assert [heading in page for page in pages] == [True, False]
    assert all(text in html.unescape(pages[0]) for text in said)
    drawn = card(Selection(atlas, atlas.methods[0], ("relu",)), "relu", 1)
    assert set(said) <= set(drawn.details)
