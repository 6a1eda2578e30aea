"""How time and memory grow, as one figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Colours that people with any colour vision can tell apart (Okabe and Ito), and different marks.
_OURS = {"color": "#0072B2", "marker": "o", "label": "neuronym"}
_THEIRS = {"color": "#D55E00", "marker": "s", "label": "straightforward"}
_FLOOR = {"color": "#555555", "linestyle": "--", "label": "floor: the machine's limit"}
_TITLES = {"soft-wpmi": "soft-wpmi", "extraction": "float32 extraction"}


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Time above, memory below, one column for everything that grows; both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    series = result["growth"]
    if not series:
        return
    figure, axes = plt.subplots(
        2,
        len(series),
        figsize=(3.1 * len(series), 5.6),
        sharex="col",
        squeeze=False,
        layout="constrained",
    )
    for column, entry in enumerate(series):
        above, below = axes[:, column]
        _lines(above, entry, "wall", 1)
        above.plot(entry["values"], entry["floor"], **_FLOOR)
        _lines(below, entry, "peak", 1e6)
        above.set_title(f"{_TITLES[entry['case']]}, {entry['axis']}", fontsize=11)
        below.set_xlabel(entry["axis"])
        for axis in (above, below):
            _logarithmic(axis, entry["values"])
    axes[0, 0].set_ylabel("time (s)")
    axes[1, 0].set_ylabel("peak memory beyond inputs (MB)")
    cases = [entry["case"] for entry in series]
    for row in axes:
        for case in set(cases):
            # Panels of one case share their scale, so that columns can be compared.
            _decades([axis for axis, own in zip(row, cases, strict=True) if own == case])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _lines(axis: Any, entry: Mapping[str, Any], what: str, unit: float) -> None:
    for style, runs in zip((_OURS, _THEIRS), entry["sides"].values(), strict=True):
        points = [
            (x, run[what] / unit)
            for x, run in zip(entry["values"], runs, strict=True)
            if run[what]  # memory is not known everywhere, and 0 has no logarithm
        ]
        axis.plot([p[0] for p in points], [p[1] for p in points], markersize=5, **style)


def _decades(axes: list[Any]) -> None:
    """The same whole decades on all these axes: less than one would show hardly a number."""
    values = [y for axis in axes for line in axis.lines for y in line.get_ydata()] or [1.0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    for axis in axes:
        axis.set_ylim(10.0**low, 10.0 ** max(high, low + 1))


def _logarithmic(axis: Any, values: list[int]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(values, [f"{value:,}" for value in values])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(which="major", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
