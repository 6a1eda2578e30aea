"""How many labels are right, by layer and method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neuronym._core.errors import NeuronymError
from neuronym.analysis.evaluation.base import table
from neuronym.report.figures import FAINT, PALE, new, shown
from neuronym.report.plots.base import FIGURES, Selection, key, method_colour, short, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_MARKS = "osD^vPX*"


@FIGURES.register("accuracy")
def accuracy(seen: Selection) -> Figure:
    """Share of neurons with a right label, by layer and method, with 95 % intervals."""
    made = table("accuracy", seen.evaluation(every=True))
    rows = [row for row in made.rows if row["layer"] in seen.layers]
    layers = [layer for layer in seen.layers if any(row["layer"] == layer for row in rows)]
    if not rows:
        raise NeuronymError(f"The truth ({seen.truth}) says nothing about these layers.")
    methods = list(dict.fromkeys(row["method"] for row in rows))
    width = max(7.2, 2.2 + 0.3 * len(layers) * max(len(methods), 2))
    figure = new(figsize=(min(width, 16), 5.6), layout="constrained", dpi=120)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    highest = 100 * min(1, max([0.1, *(1.1 * row["top5_share_high"] for row in rows)]))
    for axes, name, heading in zip(
        panels,
        ("top1_share", "top5_share"),
        ("the first label is right", "one of the first five labels is right"),
        strict=True,
    ):
        for place, method in enumerate(methods):
            own = [row for row in rows if row["method"] == method and row[name] is not None]
            ends = np.array([[row[name], row[f"{name}_low"], row[f"{name}_high"]] for row in own])
            value, low, high = 100 * ends.reshape(-1, 3).T
            shift = 0.7 * ((place + 0.5) / len(methods) - 0.5)
            axes.errorbar(
                [layers.index(row["layer"]) + shift for row in own],
                value,
                yerr=np.clip([value - low, high - value], 0, None),
                linestyle="none",
                marker=_MARKS[place % len(_MARKS)],
                markersize=5,
                capsize=2.5,
                linewidth=1.3,
                color=method_colour(seen.atlas, method),
            )
        axes.set_title(heading)
        axes.set_ylim(0, highest)
        axes.set_ylabel("neurons (%)")
        axes.grid(axis="y", color=FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
    counts = {row["layer"]: row["total"] - row["non_interpretable"] for row in rows}
    slanted = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if len(layers) > 8 else {}
    names = [
        f"{short(layer, 20)}{' ' if slanted else chr(10)}({counts[layer]:,})" for layer in layers
    ]
    panels[1].set_xticks(range(len(layers)), names, **slanted)
    panels[1].set_xlim(-0.6, len(layers) - 0.4)
    panels[1].set_xlabel("layer (interpretable neurons of known truth)", color=PALE)
    names = [shown(method, 60) for method in methods]
    key(panels[0], panels[0].containers, names, columns=2)
    title(
        figure,
        f"How many labels are right, {seen.target}",
        f"{seen.truth_note}; all labels count, whether or not they beat chance",
    )
    return figure
