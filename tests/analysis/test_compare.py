"""Methods side by side: shares counted by hand, synonyms, abstentions, disagreements, output."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import neuronym as nym
from neuronym._core.errors import UsageError
from neuronym._core.words import fold
from neuronym.analysis import comparison as module
from neuronym.analysis import matching
from neuronym.analysis.comparison import compare
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas
from neuronym.labelling.base import Labeller, Labels, LayerLabels
from neuronym.labelling.run import label
from neuronym.report.comparison_sheet import draw, print_comparison, synonyms, to_json, write_csv
from small_world import PLANTED, ColourEncoder, build, coloured_images

WORDS = [*PLANTED, "dog", "moss", "Dog"]
#: Labels of `detect`, units 0 to 6, by two methods made up; None: the unit abstains.
ONE = [
    ["red", "green"],
    ["dog", "moss", "blue"],
    ["green"],
    None,
    ["yellow", "red"],
    None,
    ["a_b"],
]
TWO = [
    ["Red", "blue"],
    ["moss", "red"],
    ["blue", "Green"],
    ["red"],
    ["purple", "blue"],
    None,
    ["A b"],
]
SCORES = [0.9, 0.8, 0.7, 0.0, 0.6, 0.0, 0.5]


@dataclass(frozen=True)
class Fixed(Labeller):
    """Labels given beforehand."""

    name: ClassVar[str] = "fixed"
    labels: Any = None

    def __post_init__(self) -> None: ...

    @property
    def spec(self) -> str:
        return self.name

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        words = np.full((7, 3), None, object)
        for unit, some in enumerate(self.labels):
            words[unit, : len(some or [])] = some or []
        reasons = tuple("unclear" if some is None else None for some in self.labels)
        scores = np.array(SCORES, np.float32)[:, None] - np.float32([0, 0.1, 0.2])
        return Labels({"detect": LayerLabels(words, scores, reasons)})


class One(Fixed):
    name: ClassVar[str] = "one"


class Two(Fixed):
    name: ClassVar[str] = "two"


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("compare")
    made = nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=coloured_images(43),
        concepts=WORDS,
        encoder=ColourEncoder(),
        out=folder / "atlas",
        cache=str(folder / "cache"),
        batch_size=8,
        similarity="cos",
        progress=None,
    )
    made = label(made, "random")
    made = label(made, One(ONE), layers=["detect"])
    return label(made, Two(TWO), layers=["detect"])


def pair(found: module.Comparison, layer: str, a: str, b: str) -> pd.Series:
    frame = found.agreement.query("layer == @layer and a == @a and b == @b")
    assert len(frame) == 1
    return frame.iloc[0]


def test_shares_are_those_counted_by_hand(atlas: Atlas) -> None:
    found = compare(atlas, ["one", "two"], synonyms=0.9999)
    row = pair(found, "detect", "one", "two")
    # Both label units 0, 1, 2, 4 and 6. Same first label: 0 and 6, but for case and underscores.
    assert row["units"] == 5
    assert row["same"] == pytest.approx(2 / 5)
    assert row["a_in_b"] == pytest.approx(3 / 5)  # 0, 2, 6
    assert row["b_in_a"] == pytest.approx(3 / 5)  # 0, 1, 6
    assert row["jaccard"] == pytest.approx((1 / 3 + 1 / 4 + 1 / 2 + 0 + 1) / 5)
    # "dog" and "moss" have the same embedding in this encoder.
    assert row["same_synonyms"] == pytest.approx(3 / 5)
    assert row["a_in_b_synonyms"] == pytest.approx(4 / 5)
    assert row["b_in_a_synonyms"] == pytest.approx(3 / 5)
    # Unit 1: both of one's words match "moss", which has partners; "red" and "blue" have none.
    assert row["jaccard_synonyms"] == pytest.approx((1 / 3 + 1.5 / 3.5 + 1 / 2 + 0 + 1) / 5)
    # Families, by spelling here: singular and plural, nothing more.
    assert row["same_family"] == row["same_lemma"] == pytest.approx(2 / 5)
    labels = {
        name: atlas.first_labels("detect", method=name).set_index("unit") for name in ("one", "two")
    }
    units = [0, 1, 2, 4, 6]
    every = [[fold(labels[name]["concept"][unit]) for unit in units] for name in ("one", "two")]
    by_hand = np.mean([a == b for a in every[0] for b in every[1]])
    assert row["chance"] == row["chance_family"] == pytest.approx(by_hand)
    assert 0 < by_hand < row["same"]
    assert found.words.unembedded == ("a_b", "A b")
    assert "2 labels, such as 'a_b', are no concepts of the atlas" in synonyms(found)


def test_abstentions_and_times(atlas: Atlas) -> None:
    found = compare(atlas)
    assert found.methods["method"].tolist() == ["clip-dissect.cos", "random", "one", "two"]
    rows = found.methods.set_index("method")
    assert rows.loc["one", ["layers", "units", "labelled", "abstained"]].tolist() == [1, 7, 5, 2]
    assert rows.loc["random", ["layers", "units", "labelled", "abstained"]].tolist() == [
        2,
        11,
        10,
        1,
    ]
    assert rows.loc["random", "seconds"] == atlas.manifest["methods"]["random"]["seconds"]
    each = found.abstentions.set_index(["layer", "method"])
    assert each.loc[("detect", "two"), "abstained"] == 1
    assert ("head", "two") not in each.index
    assert found.abstentions["layer"].tolist() == ["detect"] * 4 + ["head"] * 2
    # A pair is compared on the layers that both have labelled.
    assert len(found.agreement) == 6 + 1


def test_a_method_agrees_with_itself_and_the_planted_truth_beats_the_floor(atlas: Atlas) -> None:
    once = label(atlas, "clip-dissect:cos-cubed")
    row = pair(
        compare(once, synonyms=0.9999), "detect", "clip-dissect.cos", "clip-dissect.cos-cubed"
    )
    floor = pair(compare(once, synonyms=0.9999), "detect", "clip-dissect.cos", "random")
    assert row["same"] > 0.6 > floor["same"]


def test_the_most_confident_disagreements_come_first(atlas: Atlas) -> None:
    found = compare(atlas, ["one", "two"], synonyms=0.9999)
    rows = found.disagreements
    assert rows["unit"].tolist() == [2, 4]  # unit 1 differs by a synonym only
    assert rows["a_label"].tolist() == ["green", "yellow"]
    assert rows["b_label"].tolist() == ["blue", "purple"]
    # Of five first scores by `one`, 0.7 is the third; of six by `two`, the fourth.
    assert rows["confidence"][0] == pytest.approx(3 / 5)
    assert compare(atlas, ["one", "two"], synonyms=0.9999, most=1).disagreements[
        "unit"
    ].tolist() == [2]
    # Random scores are all the same at rank 1: they say nothing of confidence.
    assert compare(atlas, ["one", "random"]).disagreements.empty


def test_words_from_elsewhere_get_synonyms_by_an_encoder(atlas: Atlas) -> None:
    def embed(words: Sequence[str]) -> np.ndarray:
        assert set(words) == {"a_b", "A b"}  # only those that are no concepts
        return np.array([[0.0, 0.0, 0.0, -1.0]] * len(words))

    found = compare(atlas, ["one", "two"], embed=embed)
    assert found.words.unembedded == ()
    assert found.words.threshold == compare(atlas, ["one", "two"]).words.threshold


def test_blocks_of_units_change_nothing(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compare(atlas, synonyms=0.9)
    monkeypatch.setattr(matching, "_UNITS", 2)
    pd.testing.assert_frame_equal(compare(atlas, synonyms=0.9).agreement, whole.agreement)


def test_no_unit_in_common(atlas: Atlas) -> None:
    halves = [[w if u % 2 == part else None for u, w in enumerate(TWO)] for part in (0, 1)]

    class Even(Fixed):
        name: ClassVar[str] = "even"

    class Odd(Fixed):
        name: ClassVar[str] = "odd"

    made = label(
        label(atlas, Even(halves[0]), layers=["detect"]), Odd(halves[1]), layers=["detect"]
    )
    found = compare(made, ["even", "odd"])
    assert pair(found, "detect", "even", "odd")["units"] == 0
    assert found.agreement["same"].isna().all()
    assert to_json(found)["agreement"][0]["same"] is None
    draw(found)
    print_comparison(found)


def test_output(atlas: Atlas, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compare(atlas, synonyms=0.9999)
    print_comparison(found)
    shown = capsys.readouterr().out
    assert "4 methods on detectors" in shown
    assert "4 two" in shown
    assert re.search(r"4 two +\S+ +\S+ +60 +–", shown)  # with one: same first label
    assert "Synonyms: cosine of text embeddings of 1.00 or more" in shown
    again = json.loads(json.dumps(to_json(found), allow_nan=False))
    assert len(again["agreement"]) == 7
    assert again["methods"][0]["method"] == "clip-dissect.cos"
    write_csv(found, tmp_path / "pairs.csv")
    read = pd.read_csv(tmp_path / "pairs.csv", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(read, found.agreement, check_dtype=False)
    figure = draw(found)
    figure.savefig(tmp_path / "agreement.png")
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == ["detect", "head"]
    texts = {tuple(round(v) for v in t.get_position()): t.get_text() for t in panels[0].texts}
    assert texts[2, 3] == "60"  # below the diagonal: one and two, same first label
    assert texts[3, 2] == "70"  # above: 4 of 5 and 3 of 5
    assert texts[2, 2] == "71"  # one labels 5 of 7


def test_what_cannot_be_compared_is_refused(atlas: Atlas) -> None:
    with pytest.raises(UsageError, match="at least two methods of the atlas, got one. Add"):
        compare(atlas, ["one", "one"])
    with pytest.raises(UsageError, match="one of .*, got 'randm'. Nearest: random"):
        compare(atlas, ["one", "randm"])
    with pytest.raises(UsageError, match="`synonyms` to be a number -1…1, got 2"):
        compare(atlas, synonyms=2)
