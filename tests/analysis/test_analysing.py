"""Analyses in an atlas: what is written, joined, shown, kept, refused; and planted units."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import neuronym as nym
import planted
from neuronym._core import registry
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.analysis.trust import bootstrap
from neuronym.analysis.trust.base import ANALYSES, Analysis, Findings, open_analysis
from neuronym.analysis.trust.run import analyse, in_order
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.cli.app import app
from neuronym.labelling.run import label
from neuronym.report import summary, trust_sheet
from neuronym.report.unit_sheet import draw
from small_world import PLANTED, ColourEncoder, build, coloured_images

WORDS = [*PLANTED, "dog", "moss"]
BOOTSTRAP = "bootstrap of clip-dissect.soft-wpmi"


@dataclass(frozen=True)
class Parity(Analysis):
    """Which units are even, and half their number, which nobody knows of unit 1."""

    name: ClassVar[str] = "parity"
    start: int = registry.whole(0, 0)

    def check(self, context: LabelContext, method: str) -> None:
        if method == "random":
            raise UsageError("Expected a method with a parity.")

    def run(self, context: LabelContext, method: str, layers: Sequence[str]) -> Findings:
        columns = {}
        for layer in layers:
            half = np.arange(context.units(layer)) / 2 + self.start
            half[1] = np.nan
            even = [unit % 2 == 0 for unit in range(context.units(layer))]
            columns[layer] = {
                "half": half,
                "even": even,
                "words": [["a"] * u for u in range(len(half))],
            }
        return Findings(columns, {"seen": layers})


@dataclass(frozen=True)
class After(Parity):
    """The same, once parity is there."""

    name: ClassVar[str] = "after"
    after: ClassVar[tuple[str, ...]] = ("parity",)

    def run(self, context: LabelContext, method: str, layers: Sequence[str]) -> Findings:
        earlier = context.atlas.trust("parity", method=method)["half"]
        return Findings(
            {layer: {"seen": [earlier.max()] * context.units(layer)} for layer in layers}
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysing")
    nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=coloured_images(43),
        concepts=WORDS,
        encoder=ColourEncoder(),
        out=folder / "atlas",
        cache=str(folder / "cache"),
        batch_size=8,
    )
    return folder


@pytest.fixture
def atlas(made: Path, tmp_path: Path) -> Atlas:
    return open_atlas(shutil.copytree(made / "atlas", tmp_path / "atlas"))


@pytest.fixture
def parity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ANALYSES, "_entries", {entry.name: entry for entry in ANALYSES})
    for analysis in (Parity, After):
        ANALYSES.register(analysis.name)(analysis)


@pytest.fixture(scope="module")
def examined(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """The same atlas after significance and bootstrap."""
    copy = shutil.copytree(made / "atlas", tmp_path_factory.mktemp("examined") / "atlas")
    return analyse(open_atlas(copy), ["significance:sets=4000", "bootstrap:resamples=30"])


def test_planted_colours_are_found_and_significant(examined: Atlas) -> None:
    first = examined.labels("detect")
    first = first[first["rank"] == 1].set_index("unit")
    assert first["concept"][:5].tolist() == PLANTED
    assert not first["abstained"][:5].any()
    assert (first["q"][:5] <= 0.05).all()
    assert (first["stability"][:5] >= 0.9).all()
    assert first["abstained"][5]  # dead
    assert first["reason"][5].startswith("dead")
    assert np.isnan(first["q"][5])
    table = examined.trust("bootstrap", "detect")
    assert table["half_agreement"][:5].between(0, 1).all()
    assert table["concept_set"][0].tolist()[0] == "red"
    assert table["set_size"][0] <= bootstrap.MOST_FAMILIES
    assert table.loc[5, ["stability", "set_size", "concept_set", "low"]].isna().all()
    entry = examined.manifest["analyses"]["significance of clip-dissect.soft-wpmi"]
    assert entry["spec"] == "significance:sets=4000"
    assert entry["chance"]["detect"]["tested"] == 6
    assert list(entry["chance"]["head"]["quantiles"]) == ["50", "90", "95", "99", "99.9"]


@pytest.mark.parametrize("method", ["wpmi", "cos", "cos-cubed"])
def test_planted_detectors_are_found_and_significant(tmp_path: Path, method: str) -> None:
    atlas = open_atlas(shutil.copytree(planted.atlas().folder, tmp_path / "atlas"))
    atlas = label(atlas, f"clip-dissect:{method}", **planted.sources())
    name = f"clip-dissect.{method}"
    atlas = analyse(atlas, ["significance"], method=name, **planted.sources())
    first = atlas.labels(method=name)
    first = first[first["rank"] == 1].set_index("unit")
    found = first.loc[list(planted.PLANTED)]
    assert found["concept"].tolist() == planted.WORDS
    assert not found["abstained"].any()
    assert (found["q"] <= 0.05).all()


def test_missing_values_are_null(examined: Atlas) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(examined.folder / "trust/significance.clip-dissect.soft-wpmi.parquet")
    assert table.column_names == ["layer", "unit", "score", "p", "q", "significant", "reason"]
    row = table.slice(5, 1).to_pylist()[0]
    assert row == {
        "layer": "detect",
        "unit": 5,
        "score": None,
        "p": None,
        "q": None,
        "significant": None,
        "reason": None,
    }


def test_columns_and_facts_are_written(atlas: Atlas, parity: None) -> None:
    again = analyse(atlas, ["parity:start=2"])
    table = again.trust("parity")
    assert list(table.columns) == ["layer", "unit", "half", "even", "words"]
    assert table["unit"].tolist() == [*range(7), *range(4)]
    assert table["half"][:3].isna().tolist() == [False, True, False]
    assert table["words"][3].tolist() == ["a"] * 3
    entry = again.manifest["analyses"]["parity of clip-dissect.soft-wpmi"]
    assert entry["spec"] == "parity:start=2"
    assert entry["seen"] == entry["layers"] == ["detect", "head"]
    assert again.trust("parity", "head", 2)["half"].tolist() == [3]
    with pytest.raises(UsageError, match="`neuronym trust"):
        again.trust("significance")


def test_what_is_there_is_not_made_again(atlas: Atlas, parity: None) -> None:
    first = analyse(atlas, ["parity"]).manifest
    assert analyse(open_atlas(atlas.folder), ["parity"]).manifest == first
    assert nym.analyse(atlas.folder, "parity").manifest == first
    other = analyse(open_atlas(atlas.folder), ["parity:start=1"])
    assert other.trust("parity")["half"][0] == 1
    later = analyse(other, ["after"])  # what it reads is there, if with other parameters
    assert later.trust("after")["seen"][0] == 4
    assert later.manifest["analyses"]["parity of clip-dissect.soft-wpmi"]["spec"].endswith("=1")
    shifted = analyse(later, ["parity:start=3"])  # what has read it is read anew
    assert shifted.trust("after")["seen"][0] == 6
    anew = analyse(shifted, ["parity:start=1"])
    assert anew.trust("after")["seen"][0] == 4
    anew = analyse(anew, ["parity:start=1"], overwrite=True)
    stages = "trust parity of clip-dissect.soft-wpmi", "trust after of clip-dissect.soft-wpmi"
    assert set(stages) <= set(anew.manifest["stages"])


def test_what_an_analysis_reads_comes_first(atlas: Atlas, parity: None) -> None:
    assert [a.name for a in in_order([open_analysis("after")])] == ["parity", "after"]
    given = [open_analysis("after"), open_analysis("parity:start=3")]
    assert [str(a) for a in in_order(given)] == ["parity:start=3", "after"]
    assert analyse(atlas, ["after"]).analyses() == ["parity", "after"]


def test_new_labels_end_the_analyses(atlas: Atlas, parity: None) -> None:
    there = analyse(atlas, ["parity"])
    file = there.folder / "trust/parity.clip-dissect.soft-wpmi.parquet"
    assert file.exists()
    made = label(there, "clip-dissect:soft-wpmi", overwrite=True)
    assert made.analyses() == []
    assert not file.exists()


def test_all_that_fit_are_run(atlas: Atlas, parity: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [entry.name for entry in ANALYSES if entry.name not in ("parity", "after")]:
        monkeypatch.delitem(ANALYSES._entries, name)
    assert analyse(atlas).analyses() == ["parity", "after"]
    with_random = label(atlas, "random")
    with pytest.raises(UsageError, match="a method with a parity"):
        analyse(with_random, method="random")


def test_refusals(atlas: Atlas) -> None:
    with pytest.raises(UsageError, match="analysis"):
        analyse(atlas, ["magic"])
    with pytest.raises(UsageError, match="`analyses` to be different ones, got bootstrap twice"):
        analyse(atlas, ["bootstrap", "bootstrap:resamples=3"])
    label(atlas, "clip-avg")
    with pytest.raises(UsageError, match="got clip-avg"):
        analyse(open_atlas(atlas.folder), ["significance"], method="clip-avg")
    atlas.manifest.complete = False
    with pytest.raises(UsageError, match="interrupted"):
        analyse(atlas, ["significance"])


@pytest.fixture(scope="module")
def strict(examined: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """An atlas in which nobody beats chance: 5 false discoveries in 10⁴ are too many."""
    copy = shutil.copytree(examined.folder, tmp_path_factory.mktemp("strict") / "atlas")
    analyse(open_atlas(copy), ["significance:sets=99,fdr=1e-4"])
    return open_atlas(copy, significant=True)


def test_units_that_do_not_beat_chance_keep_their_label_unless_asked(strict: Atlas) -> None:
    plain = open_atlas(strict.folder)
    rows = plain.labels("detect", 0)
    assert not rows["abstained"].any()
    assert not rows["significant"].any()
    assert not plain.search("red").empty
    found = summary.facts(plain)["layers"][0]
    assert (found["labelled"], found["abstained"], found["by_chance"]) == (6, 1, 6)
    text = " ".join(run("show", strict.folder, "detect:0").split())
    assert "red, confidence unknown" in text
    assert "gives so high a score by chance, too (q = 0.012)" in text
    assert "No label" not in text
    asked = " ".join(run("show", strict.folder, "detect:0", "--significant").split())
    assert "No label: no better than chance" in asked


def test_units_that_do_not_beat_chance_abstain_everywhere(strict: Atlas) -> None:
    rows = strict.labels("detect", 0)
    assert rows["abstained"].all()
    assert rows["concept"].iloc[0] == "red"  # what it would have been
    assert rows["reason"].iloc[0] == "no better than chance (q = 0.012)"
    assert not strict.labels("detect", 0, trust=False)["abstained"].any()
    assert strict.search("red").empty
    found = summary.facts(strict)["layers"][0]
    assert (found["labelled"], found["abstained"], found["by_chance"]) == (0, 7, 6)
    assert found["median_stability"] > 0.9
    assert found["median_score"] is None


def test_a_unit_and_what_is_known_of_it(examined: Atlas, strict: Atlas) -> None:
    unit = examined["detect", 0]
    assert list(unit.labels().columns) == ["rank", "concept", "score", "abstained", "reason"]
    assert list(unit.trust()) == ["p", "q", "stability"]
    assert unit.trust()["stability"] >= 0.9
    assert examined["detect", 5].trust() == {}
    drawn = [text.get_text() for text in _texts(draw(strict["detect", 0]))]
    assert any("no better than chance (q = 0.012)" in text for text in drawn)
    assert any(text.endswith("red") for text in drawn)
    drawn = [text.get_text() for text in _texts(draw(unit))]
    assert any("stability" in text for text in drawn)
    assert not any("chance" in text for text in drawn)


def _texts(figure):
    from matplotlib.text import Text

    return figure.findobj(Text)


def run(*arguments: object) -> str:
    found = CliRunner().invoke(app, [str(a) for a in arguments])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found.stdout


def test_commands(atlas: Atlas) -> None:
    text = run("significance", atlas.folder, "--sets", 500, "--fdr", 0.2, "-q")
    assert text.split() == ["significance"]
    entry = open_atlas(atlas.folder).manifest["analyses"]["significance of clip-dissect.soft-wpmi"]
    assert entry["spec"] == "significance:sets=500,fdr=0.2"
    text = run("trust", atlas.folder, "significance:sets=700", "bootstrap:resamples=9")
    assert "significance:sets=700" in text
    assert "half agreement" in text
    assert "neurons have a label. Confidence unknown" in " ".join(text.split())
    found = json.loads(run("trust", atlas.folder, "bootstrap:resamples=9", "--json", "-q"))
    assert found["analyses"]["bootstrap"]["resamples"] == 9
    assert [row["layer"] for row in found["analyses"]["bootstrap"]["by_layer"]] == [
        "detect",
        "head",
    ]
    shown = run("show", atlas.folder, "detect:0")
    assert "(q = " in shown
    assert "the label stays in" in shown
    assert json.loads(run("show", atlas.folder, "detect:0", "--json"))["trust"]["stability"] > 0.8
    assert "scores no higher than a search over all words" in " ".join(
        run("show", atlas.folder).split()
    )
    with pytest.raises(UsageError, match="`sets`"):
        run("significance", atlas.folder, "--sets", 2)


def test_summary_counts_and_medians(examined: Atlas) -> None:
    rows = trust_sheet.by_layer(examined, examined.methods[0], "significance")
    assert [row["units"] for row in rows] == [7, 4]
    assert rows[0]["significant"] == int(
        examined.trust("significance", "detect")["significant"].sum()
    )
    scores = examined.trust("significance", "detect")["score"]
    assert rows[0]["score"] == pytest.approx(scores.median())
    assert "threshold" in rows[0]
    assert "concept_set" not in trust_sheet.by_layer(examined, examined.methods[0], "bootstrap")[0]
    assert isinstance(scores, pd.Series)


def test_damaged_and_missing(examined: Atlas, tmp_path: Path) -> None:
    copy = open_atlas(shutil.copytree(examined.folder, tmp_path / "atlas"))
    (copy.folder / "trust/bootstrap.clip-dissect.soft-wpmi.parquet").unlink()
    with pytest.raises(NeuronymError, match="again with `neuronym trust .* bootstrap --method"):
        copy.labels()
    # The same parameters, but the file is gone: made again, without --overwrite.
    again = analyse(copy, [copy.manifest["analyses"][BOOTSTRAP]["spec"]])
    assert again.labels().equals(examined.labels())
