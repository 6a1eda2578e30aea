"""Figures show the numbers of the atlas, on atlases of every kind."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

import figure_worlds
import planted
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.analysis.evaluation.base import open_context, table
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.reader import Atlas
from neuronym.cli.app import app
from neuronym.report import categories, figures
from neuronym.report.figures import as_bytes, inline_svg, shown
from neuronym.report.plots.base import (
    FIGURES,
    MOST,
    Selection,
    draw,
    layer_colour,
    method_colour,
    select,
    short,
    some,
)
from neuronym.report.plots.neurons import chosen
from places import ROOT
from small_world import ColourEncoder

NAMES = [entry.name for entry in FIGURES]
NEED_TRUTH = {"accuracy", "correctness"}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    made = figure_worlds.small(tmp_path_factory.mktemp("small"))
    return analyse(made, ["significance:sets=200"])


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(figure_worlds.truth(tmp_path_factory.mktemp("truth") / "truth.csv"))


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("deep")
    return figure_worlds.published(folder, 41, 30, silent=0.2, shift=-0.6)


@pytest.fixture(scope="module")
def mute(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    return figure_worlds.published(tmp_path_factory.mktemp("mute"), 2, 3, silent=1.1)


def seen(atlas: Atlas, truth: str | None = None, **options: object) -> Selection:
    return select(atlas, truth=truth, sources={"encoder": ColourEncoder()}, **options)


def texts(figure: object) -> list[str]:
    """All text of a figure's SVG."""
    root = ElementTree.fromstring(as_bytes(figure, "svg"))
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_drawn_to_svg_and_png(name: str, atlas: Atlas, truth: str) -> None:
    figure = draw(name, seen(atlas, truth))
    assert any("detectors" in line for line in texts(figure))
    again = [as_bytes(draw(name, seen(atlas, truth)), "svg") for _ in range(2)]
    assert again[0] == again[1]
    assert as_bytes(figure, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_one_layer_and_one_unit(name: str, tmp_path: Path) -> None:
    one = figure_worlds.published(tmp_path, 1, 1)
    (tmp_path / "truth.csv").write_text(
        f"layer,unit,label,status,annotator,time\n{next(iter(one.layers))},0,moss,own,a,\n"
    )
    if name == "categories":
        with pytest.raises(NeuronymError, match="no text embeddings"):
            draw(name, seen(one))
    else:
        assert texts(draw(name, seen(one, str(tmp_path / "truth.csv"))))


@pytest.mark.parametrize("name", sorted(set(NAMES) - NEED_TRUTH))
def test_every_figure_where_all_units_abstain(name: str, mute: Atlas) -> None:
    if name == "neuron":
        with pytest.raises(NeuronymError, match="No neuron is labelled: name the one"):
            draw(name, seen(mute))
        return
    shown = " ".join(texts(draw(name, seen(mute))))
    expected = {
        "scores": "no neuron has a score",
        "examples": "no label in the file",
        "links": "no links have been found",
    }
    assert expected.get(name, "no neuron is labelled") in shown


@pytest.mark.torture
@pytest.mark.parametrize("name", ["scores", "concepts", "ranks"])
def test_figures_of_41_layers_and_negative_scores(name: str, deep: Atlas) -> None:
    figure = draw(name, seen(deep))
    assert figure.get_figwidth() <= 10
    lines = texts(figure)
    assert any(line.startswith("encoder.") for line in lines)
    if name == "concepts":
        assert any(f"{MOST} of 41 layers" in line for line in lines)
        assert len(figure.axes) == MOST


def test_scores_counts_every_unit_once(atlas: Atlas) -> None:
    looked = seen(atlas)
    figure = draw("scores", looked)
    for axes, layer in zip(figure.axes, looked.layers, strict=True):
        rows, total = looked.best[layer], atlas.layers[layer]["units"]
        heights = [patch.get_data() for patch in axes.patches]
        named = rows[~rows["abstained"]]["score"].dropna()
        assert np.isclose(heights[0].values.sum() * total / 100, len(named))
        if len(heights) > 1:  # stacked on the first
            silent = (heights[1].values - heights[1].baseline).sum() * total / 100
            assert np.isclose(silent, rows["abstained"][rows["score"].notna()].sum())
        threshold = looked.chance(layer)
        drawn = [line.get_xdata()[0] for line in axes.lines]
        assert threshold is None or threshold in drawn
        assert named.empty or float(named.median()) in drawn


def test_concepts_agrees_with_the_table(deep: Atlas) -> None:
    layers = list(deep.layers)[:2]
    figure = draw("concepts", seen(deep, layers=layers))
    made = table("concepts", open_context(deep))
    for axes, layer in zip(figure.axes, layers, strict=True):
        rows = [row for row in made.rows if row["layer"] == layer]
        assert [bar.get_width() for bar in axes.patches] == [row["units"] for row in rows]
        labels = [text.get_text() for text in axes.get_yticklabels()]
        assert labels == [shown(row["concept"], 22) for row in rows]


def test_ranks_holds_all_labels(deep: Atlas) -> None:
    looked = seen(deep, layers=list(deep.layers)[:3])
    (axes,) = draw("ranks", looked).axes
    for line, layer in zip(axes.lines, looked.layers, strict=True):
        counts = sorted(Counter(looked.named(layer)).values(), reverse=True)
        assert np.allclose(line.get_ydata(), np.array(counts) * 100 / sum(counts))
    assert len(axes.get_legend().get_texts()) == 3


def test_accuracy_agrees_with_the_table(atlas: Atlas, truth: str) -> None:
    looked = seen(atlas, truth)
    figure = draw("accuracy", looked)
    (row,) = table("accuracy", looked.evaluation(every=True)).rows
    for axes, name in zip(figure.axes, ("top1_share", "top5_share"), strict=True):
        (points,) = axes.containers
        assert np.isclose(points.lines[0].get_ydata()[0], 100 * row[name])
        low, high = points.lines[2][0].get_segments()[0][:, 1]
        assert np.allclose((low, high), (100 * row[f"{name}_low"], 100 * row[f"{name}_high"]))
    assert "(5)" in " ".join(texts(figure))  # interpretable units


def test_correctness_agrees_with_the_table(atlas: Atlas, truth: str) -> None:
    looked = seen(atlas, truth)
    means, curve = draw("correctness", looked).axes
    (row,) = table("correctness", looked.evaluation()).rows
    kept = [row[f"mean_{name}"] for name in ("top1", "top3", "top5", "wrong", "all")]
    kept = [value for value in kept if value is not None]
    assert np.allclose([bar.get_height() for bar in means.patches], kept)
    assert not curve.lines  # seven neurons are too few


@pytest.mark.parametrize("name", sorted(NEED_TRUTH))
def test_a_truth_that_is_lacking_or_elsewhere(name: str, atlas: Atlas, truth: str) -> None:
    with pytest.raises(UsageError, match="Expected `truth` to be given for this figure, got None"):
        draw(name, seen(atlas))
    with pytest.raises(NeuronymError, match="says nothing about these layers"):
        draw(name, seen(atlas, truth, layers=["head"]))


def test_examples_are_right_wrong_and_none(atlas: Atlas, truth: str) -> None:
    looked = seen(atlas, truth)
    found = {example.heading: example for example in chosen(looked)}
    first = looked.best["detect"].set_index("unit")
    for heading, example in found.items():
        word = first.loc[example.unit, "concept"]
        if heading == "Right":
            assert word == example.truth
            assert not first.loc[example.unit, "abstained"]
        elif heading == "Wrong":
            assert word != example.truth
    assert found["No label can be derived"].unit in (5, 6)
    without = [example.heading for example in chosen(seen(atlas))]
    assert without[0] == "Highest score"


@pytest.mark.torture
def test_categories_of_annotated_words() -> None:
    atlas = planted.atlas()
    looked = select(atlas)
    words = list(dict.fromkeys(looked.named("units")))
    found, how = categories.of_words(atlas, words)
    assert found == {name: kind for kind, name in planted.PLANTED.values() if name in words}
    assert how == "categories of the probe's annotations"
    (axes,) = draw("categories", looked).axes
    counts = Counter(found[word] for word in looked.named("units"))
    widths = [bar.get_width() for bar in axes.patches]
    assert np.isclose(sum(widths), 100)
    expected = [100 * counts[k] / counts.total() for k in categories.CATEGORIES if counts[k]]
    assert np.allclose(widths, expected)


def test_categorise_takes_the_mean_of_the_seeds() -> None:
    seeds = {"a": np.array([[1.0, 0, 0], [0, 1, 0]]), "b": np.array([[0.8, 0, 0.6]])}
    words = np.array([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0, 1]])
    # (1, 0, 0): 0.707 with a's mean, 0.8 with b, although it is a seed of a.
    assert categories.categorise(words, seeds) == ["b", "a", "b"]


def test_seeds_are_stated_in_the_documentation() -> None:
    page = (ROOT / "docs" / "figures.md").read_text("utf-8")
    for name, words in categories.SEEDS.items():
        assert f"| {name} | {', '.join(words)} |" in page
    every = [word for words in categories.SEEDS.values() for word in words]
    assert len(set(every)) == len(every)


def test_seeds_without_the_encoder(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise NeuronymError("no encoder")

    monkeypatch.setattr(categories, "_embed", gone)
    with pytest.raises(NeuronymError, match="no encoder"):  # its concepts are no seeds
        categories.of_words(atlas, ["red"])


def test_colours_do_not_depend_on_what_is_shown(deep: Atlas) -> None:
    layers = list(deep.layers)
    assert len({layer_colour(deep, layer) for layer in layers}) == 41
    figure = draw("ranks", seen(deep, layers=layers[7:8]))
    assert figure.axes[0].lines[0].get_color() == layer_colour(deep, layers[7])
    assert method_colour(deep, deep.methods[0]).startswith("#")
    assert some(layers)[0][0] == layers[0]
    assert some(layers)[0][-1] == layers[-1]


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    figure = draw("concepts", seen(figure_worlds.published(tmp_path, 1, 300)))
    svg = inline_svg(figure, "x")
    assert "<script" not in svg
    shown = texts(figure)
    assert any("<script>alert" in line for line in shown)
    assert any("$5 and $6^{2" in line for line in shown)
    assert not any("\u202e" in line for line in shown)


def test_inline_svg_is_in_the_page_s_colours(deep: Atlas) -> None:
    svg = inline_svg(draw("ranks", seen(deep)), "mine")
    assert svg.startswith("<svg")
    assert "var(--ink)" in svg
    assert "#1f2430" not in svg
    ids = re.findall(r' id="([^"]+)"', svg)
    assert ids
    assert all(name.startswith("mine-") for name in ids)
    used = {*re.findall(r'href="#([^"]+)"', svg), *re.findall(r"url\(#([^)]+)\)", svg)}
    assert used <= set(ids)
    assert "<metadata" not in svg


def test_short_names_keep_both_ends() -> None:
    assert short("features.12") == "features.12"
    assert short("encoder.layers.11.attention.output", 20) == "encoder.l…ion.output"


def test_command(atlas: Atlas, truth: str, tmp_path: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["figure", str(atlas.folder), "concepts", "--out", f"{tmp_path}/a.png"])
    assert done.exit_code == 0, done.output
    assert f"Figure: {tmp_path}/a.png" in done.output
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 200
    arguments = ["--truth", truth, "--layers", "detect", "--json", "--out", f"{tmp_path}/b.svg"]
    done = run(app, ["figure", str(atlas.folder), "accuracy", *arguments])
    assert '"layers": [' in done.output
    ElementTree.parse(tmp_path / "b.svg")
    sheet = ["neuron", "--unit", "detect:1", "--images", "3", "--out", f"{tmp_path}/c.pdf"]
    assert run(app, ["figure", str(atlas.folder), *sheet]).exit_code == 0
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")
    for wrong, words in {
        ("scores", "--out", "x.gif"): "a file name ending in",
        ("skores",): "Nearest: scores",
        ("scores", "--layers", "detekt"): "Nearest: detect",
    }.items():
        failed = run(app, ["figure", str(atlas.folder), *wrong])
        assert isinstance(failed.exception, UsageError)
        assert words in str(failed.exception)


def _told(figure: Figure) -> list[str]:
    """What a written figure says of writings that no font has."""
    as_bytes(figure, "png")
    return [line for line in texts(figure) if "installed font" in line]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["狗", "猫"], "Chinese"),
        (["ねこ", "개"], "Japanese, Korean"),
        (["कुत्ता"], "Devanagari"),
        (["dog", "chien à poil", "собака", "كلب"], ""),
    ],
)
def test_a_writing_without_a_font_is_named(
    words: list[str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chinese words came out as boxes, and nothing said why."""
    from matplotlib.font_manager import fontManager

    ours = [font for font in fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(fontManager, "ttflist", ours)
    figures._font_for.cache_clear()
    with figures.style():
        figure = figures.new(figsize=(3, 2))
        axes = figure.subplots()
        axes.barh(range(len(words)), range(len(words)))
        axes.set_yticks(range(len(words)), words)
        told = _told(figure)
        assert told == (
            [f"No installed font has {named} characters: boxes stand for them."] if named else []
        )
    figures._font_for.cache_clear()
    assert "installed font" not in inline_svg(figure, "x") or named


def test_an_installed_font_steps_in() -> None:
    """matplotlib's own STIX has letters that DejaVu Sans lacks, as a font of CJK would."""
    lacking = sorted(figures._characters("STIXGeneral") - figures._characters("DejaVu Sans"))
    with figures.style():
        figure = figures.new(figsize=(3, 2))
        text = figure.text(0.1, 0.5, f"a {lacking[0]} b")
        assert _told(figure) == []
        family = text.get_fontfamily()
    assert family[0] == "DejaVu Sans"
    assert lacking[0] in figures._characters(family[1])
