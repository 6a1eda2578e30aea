"""How well probabilities hold: a table, and reliability diagrams."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from neuronym._core.tables import Column, Table
from neuronym.analysis.trust.reliability import Reliability
from neuronym.report.figures import COLOURS, FAINT, INK, PALE, new, shown, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_ACROSS = 3
_TITLE = 34  # characters over a panel


def table(found: Mapping[str, Reliability]) -> Table:
    """One row per set of units: how many are right, what was predicted, how far off it is.

    Args:
        found: by what the units are.
    """
    rows = [
        {
            "on": name,
            "units": one.units,
            "right": one.share,
            "confidence": one.mean,
            "ece": one.ece.value,
            "ece_low": one.ece.low,
            "ece_high": one.ece.high,
            "exact": one.expected,
            "brier": one.brier.value,
            "brier_low": one.brier.low,
            "brier_high": one.brier.high,
            "auc": one.auc,
        }
        for name, one in found.items()
    ]
    return Table(
        "calibration",
        "How well confidence agrees with what is right",
        (
            Column("on"),
            Column("units", kind="count"),
            Column("right", kind="percent"),
            Column("confidence", "mean confidence", kind="percent"),
            Column("ece", "ECE", kind="number", digits=3, interval=("ece_low", "ece_high")),
            Column("exact", "ECE if exact", kind="number", digits=3),
            Column("brier", "Brier", kind="number", digits=3, interval=("brier_low", "brier_high")),
            Column("auc", "AUC", kind="number", digits=3),
        ),
        tuple(rows),
        (
            "ECE: expected calibration error over ten bins of equally many units, with a 95 % "
            "bootstrap interval. ECE if exact: what it would be on average if every probability "
            "were exact; with so many units it is not 0.",
        ),
    )


def draw(found: Mapping[str, Reliability]) -> Figure:
    """A reliability diagram for each: share that is right against mean confidence, per bin.

    Below each one, how many units have which confidence, as the width of its bins shows.

    Args:
        found: by what the units are.
    """
    with style():
        columns = min(_ACROSS, len(found))
        rows = math.ceil(len(found) / columns)
        figure = new(figsize=(3.1 * columns + 0.3, 3.2 * rows + 0.2), dpi=150, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for place, (name, one) in zip(axes.flat, found.items(), strict=False):
            _panel(place, name, one)
        for place in list(axes.flat)[len(found) :]:
            place.set_visible(False)
        for row in axes:
            row[0].set_ylabel("share of labels that are right")
        for column in range(columns):
            shown_in = [row[column] for row in axes if row[column].get_visible()]
            shown_in[-1].set_xlabel("confidence")
            shown_in[-1].tick_params(labelbottom=True)
    return figure


def _panel(axes: Axes, name: str, one: Reliability) -> None:
    x, y = np.array(one.bins["confidence"]), np.array(one.bins["right"])
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, zorder=1)
    axes.fill_between(
        x, one.bins["low"], one.bins["high"], color=COLOURS[0], alpha=0.15, linewidth=0
    )
    axes.plot(x, y, color=COLOURS[0], linewidth=1.2, marker="o", markersize=3.5, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_title(shown(name, _TITLE), color=INK)
    axes.text(
        0.03,
        0.97,
        f"ECE {one.ece.value:.3f} [{one.ece.low:.3f}, {one.ece.high:.3f}]\n"
        f"{one.units:,} units, {one.share:.0%} right",
        transform=axes.transAxes,
        va="top",
        fontsize=7.5,
        color=PALE,
    )
