"""The neurons one can rely on most: by a stated rule, the same wherever they are listed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from known_world import known_atlas
from neuronym._core import hashing
from neuronym._core.errors import UsageError
from neuronym.analysis.families import Families, families_of
from neuronym.analysis.trust.run import analyse
from neuronym.cli.app import app
from neuronym.report.document import neurons
from neuronym.report.highlights import doubtful, rare, surest_of_layers
from neuronym.report.plots.base import select
from neuronym.report.plots.neurons import chosen
from neuronym.report.statement import SURE, kin, word_families
from neuronym.report.top import top_table
from neuronym.web.pages.base import Query
from neuronym.web.pages.layer import FORMS, _places, layer
from neuronym.web.view import View


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return known_atlas(tmp_path_factory.mktemp("top") / "atlas", 0.9)


@pytest.fixture(scope="module")
def atlas(plain, tmp_path_factory):
    import shutil

    import neuronym as nym

    copy = shutil.copytree(plain.folder, tmp_path_factory.mktemp("trusted") / "atlas")
    return analyse(nym.open(copy), ["confidence:calibrator=default", "bootstrap:resamples=5"])


def test_by_confidence_then_by_hash(atlas) -> None:
    found = atlas.top(15)
    first = atlas.first_labels()
    wanted = sorted(
        first.itertuples(),
        key=lambda row: (-row.confidence, hashing.of_data([row.layer, int(row.unit)])),
    )
    assert found["unit"].tolist() == [row.unit for row in wanted[:15]]
    assert found.attrs["by"] == "confidence"
    ties = found["confidence"].round(6).value_counts()
    assert ties.max() > 1  # an isotonic step: the hash decides
    assert list(atlas.top(3, layers="detect")["unit"]) == found["unit"][:3].tolist()


@pytest.mark.parametrize("by", ["score", "stability"])
def test_by_another_rule(atlas, by: str) -> None:
    found = atlas.top(1000, by=by)
    values = found[by].to_numpy()
    assert (np.diff(values) <= 0).all()
    assert len(found) == atlas.first_labels()[by].notna().sum()


def test_without_confidence_the_rule_is_said(plain) -> None:
    """Score alone is not reliance: the table says so, and how to get more."""
    made = top_table(plain, 5)
    assert "Ranked by score" in made.notes[0]
    assert "Confidence unknown" in made.notes[1]
    with pytest.raises(UsageError, match=r"Expected `by` to be .* got 'confidence'.*trust"):
        plain.top(by="confidence")
    with pytest.raises(UsageError, match="one of confidence, effect"):
        plain.top(by="beauty")
    with pytest.raises(UsageError, match="layer"):
        plain.top(layers=["nowhere"])


def test_command(atlas) -> None:
    done = CliRunner().invoke(app, ["top", str(atlas.folder), "-n", "4"])
    assert done.exit_code == 0, done.output
    first = atlas.top(4)
    for row in first.itertuples():
        assert f"{row.layer}:{row.unit}" in done.output
    assert "Ranked by confidence" in " ".join(done.output.split())
    said = CliRunner().invoke(app, ["top", str(atlas.folder), "-n", "4", "--json"])
    data = json.loads(said.stdout)
    assert [row["neuron"] for row in data["neurons"]] == [
        f"{row.layer}:{row.unit}" for row in first.itertuples()
    ]


def test_highlights(atlas, plain) -> None:
    """Each layer's surest, one rare label, and the one least sure with what was found about it."""
    labels = atlas.first_labels()
    shown = surest_of_layers(atlas, 4)
    assert [row["unit"] for row in shown] == atlas.top(4, by="confidence")["unit"].tolist()
    with_two = surest_of_layers(atlas, 1)
    assert len(with_two) == 1
    sure = labels[labels["confidence"] >= SURE]
    counts = labels["concept"].map(families_of(atlas).of).value_counts()
    fewest = sure["concept"].map(families_of(atlas).of).map(counts).min()
    said = rare(atlas)
    assert said.startswith("A rare find: detect:")
    assert ("no other neuron has it" if fewest == 1 else f"{fewest} neurons have it") in said
    least = labels.loc[labels["confidence"].idxmin()]
    told = doubtful(atlas)
    if labels["abstained"].any():
        assert told.startswith("Without a label: detect:")
    else:
        assert f"detect:{least['unit']}, {least['concept']}" in told
    assert rare(plain) is None
    assert surest_of_layers(plain, 4) == []


def test_a_line_names_what_is_of_the_labels_family(atlas) -> None:
    """Of the first ten labels, in their order, up to three; nothing where nothing is grouped."""
    families = Families(
        {"dog": "dog", "puppy": "dog", "hound": "dog", "pup": "dog", "red": "red"}, {}
    )
    labels = ["puppy", "red", "dog", "hound", "pup"]
    assert kin(families, labels) == ["dog", "hound"]
    assert kin(families, ["red", "dog", None]) == []
    assert kin(families, ["dog", *["red"] * 9, "pup"]) == []
    assert kin(None, labels) == kin(families, []) == []
    made = top_table(atlas, 40)
    assert made.records[0].keys() >= {"concept", "family"}
    words = atlas.labels(trust=False).groupby(["layer", "unit"])["concept"].agg(list)
    told = word_families(atlas)
    assert told is not None
    for row in made.records:
        layer, _, unit = row["neuron"].rpartition(":")
        rest = kin(told, words[layer, int(unit)])
        assert row["family"] == (" · ".join(rest) or None)


def test_pages_and_figures_begin_with_the_surest(atlas, plain) -> None:
    """The layer's page in all forms, the examples, and the report; by score where none is known."""
    wanted = atlas.first_labels()["confidence"].to_numpy()
    view = View("a", atlas)
    shown = {form: layer(view, ("detect", form), Query("")) for form in FORMS}
    for form, page in shown.items():
        order = [card.unit for card in page.units]
        assert sorted(order) == list(range(len(wanted))), form
        np.testing.assert_array_equal(wanted[order], np.sort(wanted)[::-1], form)
    spots = _places(view, 0, len(wanted))
    kept = [tuple(map(float, spots[card.unit])) for card in shown["map"].units]
    assert list(shown["map"].places) == kept
    headings = [[one.heading for one in chosen(select(a))] for a in (atlas, plain)]
    assert headings[0][:2] == ["Highest confidence", "Middle confidence"]
    assert headings[1][:2] == ["Highest score", "Middle score"]
    first = next(chosen(select(atlas)))
    assert wanted[first.unit] == wanted.max()
    cards, which = neurons.best(select(atlas))
    assert which == "The surest labels"
    assert neurons.best(select(plain))[1] == "The highest scores"
    assert cards.items
    plainly = layer(View("p", plain), ("detect",), Query(""))
    assert [card.unit for card in plainly.units] == list(range(len(wanted)))
