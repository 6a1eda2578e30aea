"""What changed between two atlases: exact on what is planted, silent about noise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import neuronym as nym
from array_context import ugly_activations
from commands import run
from diff_replica import change_of, concept_p, mutual
from neuronym._core.errors import UsageError
from neuronym.analysis.diff.concepts import concepts
from neuronym.analysis.diff.correlation import change, groups_of
from neuronym.analysis.diff.partners import partners
from neuronym.analysis.diff.run import NEWS, diff
from neuronym.analysis.diff.shared import SharedImages
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.extraction.cache import ShardedRows
from neuronym.report import diff_sheet
from neuronym.web.addresses import Addresses
from neuronym.web.site import Site
from small_world import COLOURS, SMALL, ColourEncoder, coloured_images

IMAGES, UNITS = 70, 24
#: Units of the layer `2` whose weights are drawn anew, and the one that falls silent.
PLANTED, SILENT = (0, 5, 11), 17


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [32, 71, 130])
@pytest.mark.parametrize("noise", [1e-6, 1e-3])
def test_change_is_that_of_the_definition(images: int, noise: float) -> None:
    rng = np.random.default_rng(images)
    a = np.concatenate([ugly_activations(rng, images), rng.normal(size=(images, 3))], axis=1)
    b = a + rng.normal(size=a.shape) * ([0.05, 0.3, 0, 0, 1, 0.01, 0, 0, 2, 0, 0.1] * a.std(0))
    b[:, 2] = 0  # falls silent
    b[:, 6] = rng.gamma(1.0, size=images)  # begins to respond
    b[:, 9] = 3 * a[:, 9] + 7  # the same on another scale
    a, b = np.float32(a), np.float32(b)
    order = rng.permutation(images)
    rows = rng.permutation(images + 5)[:images]  # of b, which has other images too
    theirs = np.full((images + 5, a.shape[1]), 99, np.float32)
    theirs[rows] = b
    found = change(a, theirs, order, rows[order], same=0.98, noise=(noise, noise))
    for unit in range(a.shape[1]):
        said = change_of(a[order, unit], b[order, unit], groups_of(images), 0.98, noise)
        got = {name: getattr(found, name)[unit] for name in said}
        assert got == pytest.approx(said, rel=1e-6, abs=1e-9, nan_ok=True), unit
    assert found.gain[9] == pytest.approx(3, rel=1e-5)
    assert found.silent_b[2]
    assert found.silent_a[6]
    assert not found.silent_a[2]


def test_rows_on_disk_in_any_order_give_the_same(tmp_path: Path) -> None:
    """Sibling of arrays in memory: shards of odd sizes, read by slices."""
    from neuronym._core.storage import write_arrays

    rng = np.random.default_rng(0)
    a = rng.normal(size=(67, 5)).astype(np.float32)
    b = a + rng.normal(size=a.shape).astype(np.float32) * np.float32([0, 0.1, 0.2, 1, 2])
    parts = []
    for low, high in ((0, 10), (10, 41), (41, 67)):
        path = tmp_path / f"{low}.safetensors"
        write_arrays(path, {"values": b[low:high]}, {})
        parts.append((path, high - low))
    shards = ShardedRows(parts, "values", 5, np.float32)
    some = rng.permutation(67)[:50]
    one, other = (change(a, rows, some, some) for rows in (b, shards))
    np.testing.assert_array_equal(one.p, other.p)


@pytest.mark.parametrize("heavy", [False, True])
def test_chance_is_not_reported(heavy: bool) -> None:
    """Units right at the limit: as likely to be said to have changed as is stated."""
    rng = np.random.default_rng(3)
    draw = (
        (lambda: rng.gamma(0.5, size=(300, 1500)))
        if heavy
        else (lambda: rng.normal(size=(300, 1500)))
    )
    x, y = (values / values.std() for values in (draw(), draw()))
    b = 0.97 * x + np.sqrt(1 - 0.97**2) * y
    rows = np.arange(300)
    p = change(x.astype(np.float32), b.astype(np.float32), rows, rows, same=0.97).p
    assert 0.01 < (p <= 0.05).mean() < 0.08
    changed = change(x.astype(np.float32), b.astype(np.float32), rows, rows, same=0.999).p
    assert (changed <= 0.001).mean() > 0.95


def test_partners_are_those_that_were_planted() -> None:
    """A permuted copy is found; units of their own have no partner. As the definition says."""
    rng = np.random.default_rng(1)
    a = {"x": rng.normal(size=(90, 13)), "y": rng.gamma(1.0, size=(90, 8))}
    place = rng.permutation(21)
    theirs = np.concatenate(list(a.values()), axis=1)[:, place]
    theirs = theirs + 0.2 * rng.normal(size=theirs.shape)
    theirs[:, :6] = rng.normal(size=(90, 6))
    theirs[:, 6] = 4  # constant
    b = {"z": 5 - 3 * -theirs}
    images = SharedImages(np.arange(90), np.arange(90), 0, 0)
    found = partners(a, b, (["x", "y"], ["z"]), images)
    left = found["a_unit"] + 13 * (found["a_layer"] == "y")
    assert dict(zip(found["b_unit"], left, strict=True)) == dict(enumerate(place[7:], 7))
    every = partners(a, b, (["x", "y"], ["z"]), images, fdr=1)
    pairs = mutual(np.concatenate(list(a.values()), axis=1), b["z"])
    assert (
        set(zip(every["a_unit"] + 13 * (every["a_layer"] == "y"), every["b_unit"], strict=True))
        <= pairs
    )
    shuffled = {"z": b["z"][rng.permutation(90)]}
    assert partners(a, shuffled, (["x", "y"], ["z"]), images).empty


def labelled(words: dict[str, list[str]], known: list[str]) -> Atlas:
    """What `concepts` reads of an atlas with these first labels, by layer."""
    rows = [(layer, unit, word) for layer, some in words.items() for unit, word in enumerate(some)]
    frame = pd.DataFrame(rows, columns=["layer", "unit", "concept"]).assign(confidence=0.25)
    return SimpleNamespace(
        imported=None,
        layers=dict.fromkeys(words),
        concepts=pd.DataFrame({"concept": known}),
        first_labels=lambda **_: frame,
        labels=lambda **_: frame,
    )


def test_concepts_are_counted_and_compared_with_chance() -> None:
    known = ["dog", "Dogs", "cat", "sky", "tree", "boat"]
    one = labelled(
        {"f": ["dog"] * 5 + ["cat"] * 15, "g": ["tree"] * 20 + ["old"] * 9}, [*known, "old"]
    )
    other = labelled({"f": ["Dogs"] * 15 + ["dog"] * 10, "g": ["sky"] * 30 + ["tree"] * 18}, known)
    found = concepts(one, other, ("m", "m")).set_index("concept")
    assert found["change"].to_dict() == {
        "sky": "gained",
        "cat": "lost",
        "dog": "more",
        "tree": "",
        "old": "",
    }
    for row in found.drop("old").itertuples():
        assert row.p == pytest.approx(concept_p(row.a, row.b, 49, 73), rel=1e-9)
    assert np.isnan(found.loc["old", "p"])  # the other one does not know the word
    assert (found.loc["dog", "a"], found.loc["dog", "b"]) == (5, 25)
    assert found.loc["dog", "b_low"] < 25 < found.loc["dog", "b_high"]
    assert (found.loc["sky", "b_depth"], found.loc["cat", "a_depth"]) == (1, 0)
    assert found.loc["cat", "a_sure"] == pytest.approx(15 / 4)
    same = concepts(one, one, ("m", "m"))
    assert set(same["change"]) == {""}
    assert (same["p"] == 1).all()


# -- atlases ---------------------------------------------------------------------------------------


class Net(nn.Sequential):
    """Two layers with units, `2` and `6`."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        super().__init__(
            nn.Conv2d(3, UNITS, 3),
            nn.ReLU(),
            nn.Conv2d(UNITS, UNITS, 3),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(UNITS, 5),
        )


def planted() -> Net:
    """A copy with other weights in some units, and one without any."""
    net = Net()
    torch.manual_seed(7)
    with torch.no_grad():
        for unit in PLANTED:
            net[2].weight[unit] = torch.randn_like(net[2].weight[unit]) * 0.1
        net[2].weight[SILENT] = 0
    return net


def made(
    place: Path, name: str, net: nn.Module, layers: tuple[str, ...] = ("2", "6"), **given
) -> Atlas:
    about = {"probe": coloured_images(IMAGES), "concepts": [*COLOURS, "tree"], "keep": "all"}
    return nym.dissect(
        nym.Target("net", net.eval(), SMALL),
        layers=list(layers),
        encoder=ColourEncoder(),
        out=str(place / name),
        cache=str(place / "cache"),
        trust=False,
        **about | given,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("diff")
    made(place, "before", Net())
    made(place, "after", planted())
    made(place, "before-1", Net(), batch_size=1)
    made(place, "other", Net(5), ("0", "6"))
    return place


def news(found: nym.Diff, layer: str) -> dict[int, str]:
    some = found.changed[found.changed["layer"] == layer]
    return dict(zip(some["unit"], some["state"], strict=True))


EXPECTED = {**dict.fromkeys(PLANTED, "changed"), SILENT: "died"}


def test_planted_changes_are_found_and_no_others(world: Path) -> None:
    found = diff(world / "before", world / "after")
    assert (found.by, found.images) == ("activations", (IMAGES, 0, 0))
    assert news(found, "2") == EXPECTED
    first = found.units.iloc[0]
    assert first["state"] == "changed"
    assert first["high"] < 0.99
    assert first["q"] <= 0.05
    left, came = found.exemplars(first["layer"], first["unit"])
    ours, theirs = (
        set(atlas[first["layer"], first["unit"]].exemplars().head(10)["image_id"])
        for atlas in (found.a, found.b)
    )
    assert (set(left), set(came)) == (ours - theirs, theirs - ours)
    assert first["kept"] == pytest.approx(1 - len(left) / 10)
    assert first["came"].split("\n") == came
    assert found.units["high"][found.units["state"] == "changed"].is_monotonic_increasing
    back = diff(world / "after", world / "before")
    assert news(back, "2") == {**EXPECTED, SILENT: "woke"}


def test_noise_is_no_news(world: Path) -> None:
    for other in ("before", "before-1"):
        found = diff(world / "before", world / other)
        assert found.changed.empty, other
        assert diff_sheet.headline(found).startswith("No neuron changed; 29 are the same"), other
        assert found.notes == ("Both atlases are of one network, with the same weights.",)
    assert set(found.concepts["change"]) == {""}


def test_the_images_may_be_others_in_another_order(world: Path, tmp_path: Path) -> None:
    """Images are the same by their content, whatever they are called; the rest is left out."""
    pictures = coloured_images(IMAGES + 9)
    order = np.random.default_rng(0).permutation(len(pictures))[: IMAGES + 4]
    after = made(tmp_path, "shuffled", planted(), probe=[pictures[i] for i in order])
    shared = int((order < IMAGES).sum())
    found = diff(world / "before", after)
    assert found.images == (shared, IMAGES - shared, len(order) - shared)
    assert news(found, "2") == EXPECTED


def renamed(atlas: Path, copy: Path, keep: int) -> Path:
    """A copy of an atlas whose images but the first `keep` are others."""
    shutil.copytree(atlas, copy)
    images = pd.read_parquet(copy / "images.parquet")
    images.loc[images.index >= keep, "content_hash"] += "x"
    images.to_parquet(copy / "images.parquet")
    return copy


def test_few_shared_images_are_said(world: Path, tmp_path: Path) -> None:
    few = diff(world / "before", renamed(world / "after", tmp_path / "few", 20))
    assert few.by == "exemplars"
    assert "share 20 images, and to compare activations takes 32" in few.notes[0]
    none = diff(world / "before", renamed(world / "after", tmp_path / "none", 0))
    assert none.by == "concepts"
    assert "share 0 images" in none.notes[0]


def without(atlas: Path, copy: Path) -> Path:
    """A copy of an atlas that keeps no activations."""
    shutil.copytree(atlas, copy)
    for file in (copy / "arrays").glob("activations-*"):
        file.unlink()
    return copy


def test_without_activations_the_highest_images_tell(world: Path, tmp_path: Path) -> None:
    one, other, again = (
        without(world / name, tmp_path / name) for name in ("before", "after", "before-1")
    )
    found = diff(one, other)
    assert found.by == "exemplars"
    assert set(news(found, "2")) <= set(EXPECTED)
    assert len(set(PLANTED) & set(news(found, "2"))) >= 2
    assert news(found, "2")[SILENT] == "died"
    assert "activations of A are not at hand" in found.notes[0]
    assert "highest images alone" in found.notes[0]
    assert found.units["p"].isna().all()
    assert diff(one, again).changed.empty


def test_two_networks_are_compared_by_concepts(world: Path) -> None:
    found = diff(world / "before", world / "other")
    assert found.by == "concepts"
    assert found.units.empty
    assert len(found.partners)
    assert found.partners.attrs["threshold"] > 0
    assert found.partners["a_layer"].isin(["2", "6"]).all()
    assert {"a_label", "b_label", "a_depth"} <= set(found.partners)
    with pytest.raises(UsageError, match="Expected `by` to be one of auto, units, concepts"):
        diff(world / "before", world / "other", by="neurons")


def test_two_trainings_are_two_networks(world: Path, tmp_path: Path) -> None:
    """Names and sizes are the same, numbers mean nothing; --by units compares all the same."""
    again = made(tmp_path, "again", Net(3))
    found = diff(world / "before", again)
    assert found.by == "concepts"
    assert "two trainings" in found.notes[0]
    assert diff(world / "before", again, by="units").by == "activations"


# -- commands and pages ----------------------------------------------------------------------------


def test_the_commands_say_what_changed(world: Path) -> None:
    told = run(
        "diff", "before", "after", "-n", "3", "--figure", "f.png", "--out", "t.csv", cwd=world
    )
    assert told.code == 0, told.err
    assert "of them fell silent)" in told.out.splitlines()[0]
    assert (world / "f.png").stat().st_size > 5000
    table = pd.read_csv(world / "t.csv", keep_default_na=False)
    assert len(table) == UNITS + 5
    assert set(table["state"]) >= {"changed", "died", "same"}
    same = run("compare", "before", "after", cwd=world)
    assert same.out.splitlines()[0] == told.out.splitlines()[0]
    data = json.loads(run("diff", "before", "after", "--json", "-n", "2", cwd=world).out)
    assert (len(data["units"]), data["images"]["shared"]) == (2, IMAGES)
    assert data["units"][0]["state"] in NEWS
    assert data["units"][0]["came"]
    none = run("diff", "before", "before-1", "--figure", "no.png", cwd=world)
    assert none.code == 0
    assert "nothing to draw" in none.err
    assert not (world / "no.png").exists()
    other = run("diff", "before", "other", "--out", "tables", cwd=world)
    assert "pairs of neurons respond alike" in other.out.splitlines()[0]
    found = diff(world / "before", world / "other")
    pd.testing.assert_frame_equal(
        pd.read_parquet(world / "tables" / "partners.parquet"), found.partners, check_dtype=False
    )


def test_wrong_questions_get_a_sentence(world: Path) -> None:
    for asked, said in (
        (("diff", "before", "gone"), "got 'gone'. There is no such folder"),
        (("diff", "before", "after", "--out", "x.doc"), "file ending in .parquet, .csv, .json"),
        (("diff", "before", "other", "--by", "units", "--layers", "0"), "Expected `by`"),
        (("diff", "before", "after", "--layers", "3"), "Expected `layer`"),
        (("compare", "before", "after", "--methods", "x"), "neuronym diff A B"),
    ):
        told = run(*asked, cwd=world)
        assert told.code == 2
        assert said in told.err, (asked, told.err)
    atlases = [open_atlas(world / name) for name in ("before", "after")]
    for other in (atlases[1], str(atlases[1].folder)):
        with pytest.raises(
            UsageError, match=r"Two atlases are compared by `neuronym.diff\(a, b\)`"
        ):
            nym.compare(atlases[0], other)  # type: ignore[arg-type]


def test_the_site_shows_it(world: Path) -> None:
    site = Site([open_atlas(world / name) for name in ("before", "after", "other")])
    page = site.page(["a", "before", "diff", "after"])
    html = site.html(page, Addresses())
    assert page.changed >= 4
    assert page.units[0].came
    assert page.units[0].left
    assert "thumbs/" in page.units[0].came[0]
    assert f"2:{SILENT}" in html
    assert "fell silent" in html
    json.loads(site.json(page))
    beside = site.page(["a", "before", "compare", "2", "after"])
    assert "copy of the other" in beside.note
    assert "different networks" not in beside.note
    assert "/a/before/diff/after" in site.html(beside, Addresses())
    assert "/a/after/diff/other" in site.html(site.page([]), Addresses())
    page = site.page(["a", "before", "diff", "other"])
    assert page.partners
    assert "Neurons that respond alike" in site.html(page, Addresses())
    with pytest.raises(UsageError, match="before has no diff gone"):
        site.page(["a", "before", "diff", "gone"])
