"""The neuron sheet: highest activating images, labels with scores, what fewer images predict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from neuronym._core.errors import NeuronymError
from neuronym.atlas.maps import place_of, shares, warmed
from neuronym.report.figures import FAINT, INK, PALE, new, shown
from neuronym.report.summary import trust_text
from neuronym.similarity.base import open_similarity

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from neuronym.atlas.unit import Unit


_ACCENT = "#2a6f97"


def draw(
    unit: Unit,
    images: int = 16,
    at: Sequence[int] = (5, 10, 16),
    method: str | None = None,
    *,
    heat: bool = False,
) -> Figure:
    """Draw one unit.

    Args:
        unit: which.
        images: how many of its highest activating images.
        at: numbers of images for which the label is predicted anew, where the atlas holds what
            that takes (a similarity with a top_k, and the layer's activations).
        method: whose labels; None: the first method's.
        heat: lay activation maps over the images that have one.

    Raises:
        NeuronymError: `heat`, and there are no maps.
    """
    maps = shares(unit) if heat else None
    exemplars = unit.exemplars().head(images)
    columns = 4 if len(exemplars) <= 16 else 6
    lines = max(1, -(-len(exemplars) // columns))
    figure = new(figsize=(12.5, max(1.75 * lines + 1.5, 5.6)), layout="constrained", dpi=120)
    parts: Any = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    left, right = parts
    grid = left.subplots(lines, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.set_axis_off()
        axes.set_box_aspect(1)
        if place < len(exemplars):
            draw_exemplar(axes, unit, exemplars.iloc[place], maps)
    method = unit.atlas.method(method)
    labels = unit.labels(method)
    abstains = labels.empty or bool(labels["abstained"].iloc[0])
    counts = [k for k in at if k <= len(unit.atlas.images)]
    predictions = [] if abstains else _predictions(unit, counts, method)
    ratios = (3.2, 1) if predictions else (1, 0.001)
    top, bottom = right.subplots(2, 1, height_ratios=ratios)
    if predictions:
        bottom.set_title(
            "best labels from other numbers of images", fontsize=9, color=PALE, loc="left"
        )
    _labels(top, unit, max(at, default=16), method)
    bottom.set_axis_off()
    for line, (count, words) in enumerate(predictions):
        y = 1 - (line + 0.5) / len(predictions)
        bottom.text(0, y, f"from {count} images", color=PALE, fontsize=9, va="center")
        bottom.text(0.27, y, ", ".join(words), color=INK, fontsize=9, va="center", wrap=True)
    own = f", the neuron of class “{unit.class_name}”" if unit.class_name else ""
    figure.suptitle(
        f"{unit.name} of {unit.atlas.shown.target.name}{own}",
        x=0.01,
        ha="left",
        fontsize=13,
        fontweight="bold",
        color=INK,
    )
    if "confidence" in unit.trust(method):
        caveats = " ".join(unit.atlas.caveats(method))
        figure.supxlabel(caveats, x=0.01, ha="left", fontsize=6.5, color=PALE, wrap=True)
    return figure


def draw_exemplar(axes: Axes, unit: Unit, row: Any, maps: np.ndarray | None = None) -> None:
    """Draw one exemplar, a row of `unit.exemplars()`: its image, its peak, rank and activation.

    With the `shares` of the unit's maps, that of this image lies over it, if there is one.
    """
    from PIL import Image

    path = unit.atlas.thumb(row["image_id"])
    if path is None:
        name = row["image_id"].rpartition("/")[2]
        axes.fill([0, 1, 1, 0], [0, 0, 1, 1], color="#eef0f3")
        axes.text(
            0.5,
            0.5,
            f"no image\n{shown(name, 16)}",
            ha="center",
            va="center",
            color=PALE,
            fontsize=7,
        )
    else:
        with Image.open(path) as image:
            picture = image.convert("RGB")
        if maps is not None and row["rank"] <= len(maps):
            place = place_of(unit.atlas, unit.layer, row["image_id"], row["y"], row["x"])
            picture = warmed(picture, maps[int(row["rank"]) - 1], place.window)
        axes.imshow(picture, aspect="equal")
        if row["y"] == row["y"]:  # not NaN: the layer has positions
            x, y = row["x"] * picture.width, row["y"] * picture.height
            axes.plot(
                x,
                y,
                marker="o",
                markersize=9,
                markerfacecolor="none",
                markeredgecolor="white",
                markeredgewidth=2.2,
            )
            axes.plot(
                x,
                y,
                marker="o",
                markersize=9,
                markerfacecolor="none",
                markeredgecolor=INK,
                markeredgewidth=0.9,
            )
    value = f" · {row['activation']:.3g}" if row["activation"] == row["activation"] else ""
    axes.set_title(f"{int(row['rank'])}{value}", fontsize=8, color=PALE, pad=2)


def _labels(axes: Axes, unit: Unit, count: int, method: str) -> None:
    labels = unit.labels(method).head(count)
    axes.set_frame_on(False)
    axes.set_yticks([])
    trust = trust_text(unit.trust(method))
    heading = "\n".join(filter(None, [f"labels by {method}", trust]))
    axes.set_title(heading, fontsize=9, color=PALE, loc="left")
    abstains = labels.empty or bool(labels["abstained"].iloc[0])
    if abstains:
        why = f"No label: {labels['reason'].iloc[0]}" if len(labels) else "Layer not labelled"
        axes.set_title(why, fontsize=10, color=INK, loc="left", wrap=True)
    if labels["concept"].isna().all():
        axes.set_xticks([])
        return
    if labels["score"].isna().all():  # a method that only names, such as imported descriptions
        axes.set_xticks([])
        axes.text(
            0, 0.95, "\n".join(labels["concept"]), color=INK, wrap=True, va="top", fontweight="bold"
        )
        return
    scores = labels["score"].fillna(0).to_numpy()
    places = range(len(labels))
    first, rest, ink = (FAINT, FAINT, PALE) if abstains else (_ACCENT, "#a9c4d4", INK)
    axes.barh(places, scores, color=[first] + [rest] * (len(labels) - 1), height=0.72)
    axes.axvline(0, color=PALE, linewidth=0.6)
    low, high = min(0.0, float(scores.min())), max(0.0, float(scores.max()))
    pad = (high - low or 1.0) * 0.02
    for place, (word, score) in enumerate(zip(labels["concept"], scores, strict=True)):
        weight = "bold" if place == 0 and not abstains else "normal"
        axes.text(
            high + pad,
            place,
            f"{score:.3f}  {word}",
            va="center",
            fontsize=9,
            color=ink,
            fontweight=weight,
        )
    axes.set_xlim(low, high + (high - low or 1.0) * 0.6)
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=8, colors=PALE)


def _predictions(unit: Unit, counts: Sequence[int], method: str) -> list[tuple[int, list[str]]]:
    """The three best labels when the similarity sees only so many images of each unit."""
    atlas = unit.atlas
    facts = atlas.shown.methods[method]
    if "similarity" not in facts:
        return []
    try:
        similarity = open_similarity(facts["with_defaults"])
    except NeuronymError:  # somebody's own, which is not imported
        return []
    if not hasattr(similarity, "top_k"):
        return []
    try:
        activations = atlas.activations(unit.layer)
    except NeuronymError:
        return []
    from dataclasses import replace

    arrays = atlas.embeddings()
    words = atlas.concepts["concept"].iloc[atlas.ranked_concepts]
    texts = arrays["concepts"][atlas.ranked_concepts]
    found = []
    for count in counts:
        top = replace(similarity, top_k=count).top(
            activations, arrays["images"], texts, 3, tie=atlas.tie
        )
        reason = top.reasons[unit.index]
        found.append((count, [reason] if reason else list(words.iloc[top.concepts[unit.index]])))
    return found
