"""The figures of a stability study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from neuronym.analysis.stability.measures import mean_interval
from neuronym.analysis.stability.study import Study
from neuronym.report.figures import COLOURS, FAINT, INK, PALE, new, shown, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neuronym.atlas.reader import Atlas


_HATCHES = ("", "////", "....", "xxxx")  # for more configurations than there are colours
_MARKS = "osD^vPX*"
PANELS = 6
_LINE = 44  # characters over a panel
_BINS, _FEWEST = 8, 15  # bins of one layer at most, neurons in each at least
#: One number per unit, the first that was measured.
KEYS = {
    "bootstrap_same": "share of bootstrap resamples with the same first label",
    "halves_rbo": "rank-biased overlap of split halves",
    "images_10_rbo": "rank-biased overlap of 10 images with the most",
    "images_5_rbo": "rank-biased overlap of 5 images with the most",
    "words_kept": "share of concept subsets in which the label stays first",
}
#: What is drawn against depth, where it was measured.
_AGAINST_DEPTH = {
    "images_10_same": "10 images against the most",
    "bootstrap_same": "bootstrap of the images",
    "halves_same": "one half of the images against the other",
    "words_kept": "half of the concepts",
    "prompts_same": "another prompt",
}


def key_measure(results: pd.DataFrame) -> str | None:
    """The column that stands for a unit's stability; None if nothing was measured."""
    there = (name for name in KEYS if name in results and results[name].notna().any())
    return next(there, None)


def draw_all(study: Study, atlases: dict[str, Atlas]) -> dict[str, Figure]:
    """Every figure there is material for, by file name.

    Those with a panel for each configuration show the first six.

    Args:
        study: what was found.
        atlases: by configuration, for the images of single neurons.
    """
    with style():
        figures = {"scores": scores(study)}
        if study.results.filter(regex=r"^images_\d+_same$").notna().any(axis=None):
            figures["images"] = number_of_images(study)
        key = key_measure(study.results)
        if key is not None:
            figures["against-score"] = against_score(study, key)
            figures["distribution"] = distribution(study, key)
            figures["neurons"] = extremes(study, key, atlases)
        if not study.measures.empty:
            figures["against-depth"] = against_depth(study)
    return figures


def scores(study: Study) -> Figure:
    """The published scores as grouped bars: layers side by side, one colour per configuration."""
    frame, names = study.scores, _names(study)
    layers = list(dict.fromkeys(frame["layer"]))
    figure = new(
        figsize=(max(7.5, 2.4 + 1.1 * len(layers) * len(names) ** 0.5), 4.4),
        layout="constrained",
        dpi=120,
    )
    panels = figure.subplots(1, 2, sharey=True)
    width = 0.8 / len(names)
    for axes, column, title in zip(
        panels, ("score_5_10", "score_5_16"), ("k = 5 and 10", "k = 5 and 16"), strict=True
    ):
        for place, name in enumerate(names):
            own = frame[frame["configuration"] == name].set_index("layer")[column]
            heights = 100 * own.reindex(layers).to_numpy(float)
            x = np.arange(len(layers)) + (place - (len(names) - 1) / 2) * width
            hatch = _HATCHES[place // len(COLOURS) % len(_HATCHES)]
            axes.bar(
                x,
                heights,
                width * 0.92,
                color=_colour(place),
                label=name,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
            )
        axes.set_xticks(range(len(layers)), layers, fontsize=9, color=INK)
        axes.set_ylim(0, 105)
        axes.set_title(title, fontsize=10, color=INK, loc="left")
        _plain(axes)
    panels[0].set_ylabel("neurons with equal sets, %", fontsize=9, color=INK)
    _legend(figure, panels[0])
    _title(
        figure,
        "The published stability score",
        "top 5 of a score vector against the first 5 of its own top 10 or 16: near 100 % by "
        "construction",
    )
    return figure


def number_of_images(study: Study) -> Figure:
    """Agreement of labels from k images with those from the largest k, per configuration."""
    names = _names(study)[:PANELS]
    figure, grid = _grid(len(names))
    for axes, name in zip(grid, names, strict=False):
        rows = study.measures[
            (study.measures["configuration"] == name) & (study.measures["part"] == "images")
        ]
        rows = rows[rows["measure"].str.endswith("_same")]
        rows = rows.assign(k=rows["measure"].str.extract(r"_(\d+)_", expand=False).astype(int))
        layers = list(dict.fromkeys(rows["layer"]))
        for place, layer in enumerate(layers):
            own = rows[rows["layer"] == layer].sort_values("k")
            _line(axes, own["k"], own, place, layer)
        axes.set_xscale("log")
        ticks = sorted(rows["k"].unique())
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.minorticks_off()
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.set_title(_wrapped(name), fontsize=8.5, color=INK, loc="left")
        axes.legend(fontsize=8, frameon=False, labelcolor=INK, loc="lower right")
    _blank(grid, len(names))
    figure.supxlabel("images per neuron that the similarity sees", fontsize=9, color=INK)
    _title(
        figure,
        "How many images a label needs",
        f"share of neurons with the same first label as from {max(study.settings.images)} "
        "images (or the most there are), with 95 % intervals over neurons",
    )
    return figure


def against_score(study: Study, key: str) -> Figure:
    """A unit's stability against its similarity score, and means of bins of equal size."""
    names = _names(study)[:PANELS]
    figure, grid = _grid(len(names))
    for axes, name in zip(grid, names, strict=False):
        rows = study.results[study.results["configuration"] == name]
        rows = rows[rows["score"].notna() & rows[key].notna()]
        for place, layer in enumerate(dict.fromkeys(rows["layer"])):
            own = rows[rows["layer"] == layer]
            axes.scatter(
                own["score"],
                own[key],
                s=5,
                color=_colour(place),
                alpha=0.25,
                linewidths=0,
                rasterized=True,
            )
            count = max(1, min(_BINS, len(own) // _FEWEST))
            bins = pd.qcut(own["score"].rank(method="first"), count, labels=False)
            means = [mean_interval(own.loc[bins == b, key].to_numpy(float)) for b in range(count)]
            x = [own.loc[bins == b, "score"].median() for b in range(count)]
            frame = pd.DataFrame(means, columns=["mean", "low", "high", "units"])
            _line(axes, x, frame, place, layer)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(_wrapped(name), fontsize=8.5, color=INK, loc="left")
        axes.legend(fontsize=8, frameon=False, labelcolor=INK, loc="best")
    _blank(grid, len(names))
    figure.supxlabel("similarity score of the first label", fontsize=9, color=INK)
    _title(
        figure,
        "Stability against similarity score",
        f"{KEYS[key]}; points: neurons, lines: means of bins of equal size",
    )
    return figure


def against_depth(study: Study) -> Figure:
    """Means per layer of everything that was measured, from the first layer to the last."""
    names = _names(study)[:PANELS]
    figure, grid = _grid(len(names))
    for axes, name in zip(grid, names, strict=False):
        rows = study.measures[study.measures["configuration"] == name]
        layers = list(dict.fromkeys(rows["layer"]))
        for place, (measure, text) in enumerate(_AGAINST_DEPTH.items()):
            own = rows[rows["measure"] == measure]
            if len(own):
                x = [layers.index(layer) for layer in own["layer"]]
                _line(axes, x, own, place, text)
        axes.set_xticks(range(len(layers)), layers, fontsize=8)
        axes.set_xlim(-0.4, len(layers) - 0.6)
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.set_title(_wrapped(name), fontsize=8.5, color=INK, loc="left")
    _blank(grid, len(names))
    _legend(figure, grid[0])
    _title(
        figure,
        "Stability against depth",
        "share of neurons that keep their first label, with 95 % intervals",
    )
    return figure


def distribution(study: Study, key: str) -> Figure:
    """The distribution of a unit's stability in every layer, as steps of a histogram."""
    names = _names(study)[:PANELS]
    figure, grid = _grid(len(names))
    edges = np.linspace(0, 1, 21)
    for axes, name in zip(grid, names, strict=False):
        rows = study.results[study.results["configuration"] == name]
        layers = list(dict.fromkeys(rows["layer"]))
        for place, layer in enumerate(layers):
            values = rows.loc[rows["layer"] == layer, key].dropna().to_numpy(float)
            counts = np.histogram(values, edges)[0] / max(len(values), 1)
            base = len(layers) - 1 - place
            height = 0.85 * counts / max(counts.max(), 1e-9)
            axes.stairs(
                base + height, edges, baseline=base, fill=True, color=_colour(place), alpha=0.75
            )
            if len(values):
                middle = float(np.median(values))
                axes.plot([middle, middle], [base, base + 0.85], color=INK, linewidth=1.2)
        axes.set_yticks(range(len(layers)), layers[::-1], fontsize=8, color=INK)
        axes.set_xlim(0, 1)
        axes.set_title(_wrapped(name), fontsize=8.5, color=INK, loc="left")
    _blank(grid, len(names))
    _title(
        figure,
        "Stability in every layer",
        f"{KEYS[key]}; each histogram scaled to its highest bar; line: median",
    )
    return figure


def extremes(study: Study, key: str, atlases: dict[str, Atlas], count: int = 4) -> Figure:
    """The most and the least stable neurons of the first configuration with their images."""
    chosen = ranked(study, key, count)
    figure = new(figsize=(12.5, 1.75 * count + 1.1), layout="constrained", dpi=120)
    images = 4
    sides: Any = figure.subfigures(1, 2, wspace=0.04)
    for side, rows in zip(sides, chosen, strict=True):
        grid = side.subplots(count, images, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
            axes.set_box_aspect(1)
        for line, row in enumerate(rows.itertuples()):
            atlas = atlases[row.configuration]
            for place in range(images):
                _thumb(grid[line, place], atlas, row, place)
            first = grid[line, 0]
            text = f"{row.layer}:{row.unit}  {shown(row.label, 36)}   {getattr(row, key):.2f}"
            first.set_title(text, fontsize=9, color=INK, loc="left")
    _title(
        figure,
        f"The most stable (left) and least stable neurons of {study.target[0]}",
        f"{KEYS[key]}; {study.configurations['configuration'].iloc[0]}",
    )
    return figure


def ranked(study: Study, key: str, count: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The most and the least stable units of the first configuration, no label twice.

    Of equally stable ones those with the higher score come first.
    """
    name = study.configurations["configuration"].iloc[0]
    rows = study.results[(study.results["configuration"] == name) & study.results[key].notna()]
    most = rows.sort_values([key, "score"], ascending=[False, False], kind="stable")
    least = rows.sort_values([key, "score"], ascending=[True, False], kind="stable")
    return most.drop_duplicates("label").head(count), least.drop_duplicates("label").head(count)


def _thumb(axes: Axes, atlas: Atlas, row: Any, place: int) -> None:
    from PIL import Image

    shown = atlas.exemplars(row.layer, row.unit)
    path = atlas.thumb(shown["image_id"].iloc[place]) if place < len(shown) else None
    if path is None:
        axes.text(0.5, 0.5, "no image", ha="center", va="center", color=PALE, fontsize=8)
        return
    with Image.open(path) as image:
        axes.imshow(image.convert("RGB"))


def _names(study: Study) -> list[str]:
    return list(study.configurations["configuration"])


def _wrapped(name: str) -> str:
    """A configuration's name in lines that fit over a panel."""
    lines = [""]
    for part in name.split(" · "):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if len(joined) > _LINE and lines[-1]:
            lines[-1] += " ·"
            lines.append(part)
        else:
            lines[-1] = joined
    return "\n".join(shown(line, _LINE + 10) for line in lines)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _line(axes: Axes, x: Any, rows: pd.DataFrame, place: int, label: str) -> None:
    """Means with their intervals."""
    colour, label = _colour(place), f" {label}"  # labels that start with _ get no legend
    spread = [rows["mean"] - rows["low"], rows["high"] - rows["mean"]]
    axes.errorbar(
        x,
        rows["mean"],
        yerr=np.clip(spread, 0, None),
        color=colour,
        label=label,
        linewidth=1.4,
        marker=_MARKS[place % len(_MARKS)],
        markersize=5,
        capsize=2,
        elinewidth=0.9,
    )


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, 3)
    lines = -(-count // columns)
    size = (max(4.2 * columns, 7.5), 3.5 * lines + 1)
    figure = new(figsize=size, layout="constrained", dpi=120)
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in grid:
        _plain(axes)
    return figure, grid


def _blank(grid: list[Axes], used: int) -> None:
    for axes in grid[used:]:
        axes.set_axis_off()


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8, colors=INK, length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(PALE)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels), default=0) > 45 else 2
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        fontsize=8,
        frameon=False,
        labelcolor=INK,
        ncols=columns,
    )


def _title(figure: Figure, title: str, text: str) -> None:
    figure.suptitle(f"{title}\n\n", x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    figure.text(
        0.01, 1 - 0.36 / figure.get_figheight(), text, ha="left", va="top", fontsize=8.5, color=PALE
    )
