"""A comparison of methods as tables for people, a figure, JSON and CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym._core.errors import NeuronymError
from neuronym._core.storage import atomic_write
from neuronym._core.terminal import add_row, console, counted, duration
from neuronym.analysis.comparison import Comparison
from neuronym.analysis.matching import threshold_text
from neuronym.report.figures import INK, PALE, new

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_PANELS = 6
#: Disagreements that are printed.
_LISTED = 10
#: Pairs of methods in a layer that are printed.
_PAIRS = 24


def print_comparison(found: Comparison) -> None:
    """Methods, agreement pair by pair, and the most confident disagreements."""
    out = console()
    out.print(f"{len(found.methods)} methods on {found.target}\n", style="bold")
    named = [
        (f"{place} {row.method}", "" if row.settings == row.method else row.settings, row)
        for place, row in enumerate(found.methods.itertuples(), 1)
    ]
    _print(
        out,
        ("method", "asked for as", "layers", "neurons", "abstained", "time"),
        [
            (
                name,
                settings,
                row.layers,
                f"{row.units:,}",
                f"{row.abstained:,}",
                duration(row.seconds) if np.isfinite(row.seconds) else "–",
            )
            for name, settings, row in named
        ],
        names=2,
    )
    out.print(
        "\nAgreement on the neurons that both label, in %, up to synonyms. Below the diagonal: the "
        "same first label. Above it: one's first label among the other's first five."
    )
    names = list(found.methods["method"])
    for layer in found.agreement["layer"].unique():
        values = matrix(found, layer, names)
        rows = [
            (f"{place + 1} {name}", *(_percent(value) for value in values[place]))
            for place, name in enumerate(names)
        ]
        units = found.agreement.loc[found.agreement["layer"] == layer, "units"]
        low, high = int(units.min()), int(units.max())
        common = f"{low:,} to {high:,} neurons" if low < high else counted(high, "neuron")
        _print(out, (f"{layer} ({common})", *map(str, range(1, len(names) + 1))), rows)
    out.print(
        "\nThe same first label, in %: as a word, and as a family of words; in brackets on average "
        "if labels were permuted over the layer's neurons."
    )
    _print(
        out,
        ("layer", "methods", "neurons", "word", "family"),
        [
            (
                row.layer,
                f"{names.index(row.a) + 1} and {names.index(row.b) + 1}",
                f"{row.units:,}",
                f"{_percent(row.same)} ({_percent(row.chance)})",
                f"{_percent(row.same_family)} ({_percent(row.chance_family)})",
            )
            for row in found.agreement.head(_PAIRS).itertuples()
        ],
        names=2,
    )
    if len(found.agreement) > _PAIRS:
        out.print(f"… and {len(found.agreement) - _PAIRS} more pairs, in --json and --out FILE.")
    if len(found.disagreements):
        out.print("\nWhere two methods are most confident and differ")
        most = found.disagreements.sort_values("confidence", ascending=False, kind="stable")
        _print(
            out,
            ("neuron", "a", "label", "score", "b", "label", "score"),
            [
                (
                    f"{row.layer}:{row.unit}",
                    row.a,
                    row.a_label,
                    f"{row.a_score:.3g}",
                    row.b,
                    row.b_label,
                    f"{row.b_score:.3g}",
                )
                for row in most.drop_duplicates(["layer", "unit"]).head(_LISTED).itertuples()
            ],
            names=3,
        )
        out.print("All of them, and exact agreement, are in --json; all pairs in --out FILE.")
    out.print(f"\n{synonyms(found)}", style="dim")


def synonyms(found: Comparison) -> str:
    """What counted as synonyms, in a sentence or two."""
    return threshold_text(found.words, found.chosen)


def _print(out: Any, headings: tuple[str, ...], rows: list[tuple], names: int = 1) -> None:
    from rich.table import Table

    table = Table(box=None)
    for place, heading in enumerate(headings):
        left = place < names or heading in ("label", "b")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for row in rows:
        add_row(table, *row)
    out.print(table)


def _percent(share: float) -> str:
    return f"{share * 100:.0f}" if np.isfinite(share) else "–"


def matrix(found: Comparison, layer: str, names: list[str]) -> np.ndarray:
    """Agreement of all pairs in one layer, up to synonyms, `[method, method]`.

    Below the diagonal: the same first label. Above it: one method's first label among the other's
    first five, mean of both ways. NaN elsewhere.
    """
    values = np.full((len(names), len(names)), np.nan)
    for row in found.agreement[found.agreement["layer"] == layer].itertuples():
        a, b = names.index(row.a), names.index(row.b)
        values[max(a, b), min(a, b)] = row.same_synonyms
        values[min(a, b), max(a, b)] = (row.a_in_b_synonyms + row.b_in_a_synonyms) / 2
    return values


def to_json(found: Comparison) -> dict[str, Any]:
    """Everything, as plain data; shares of no units are None."""
    return {
        "atlas": found.atlas,
        "target": found.target,
        "threshold": found.words.threshold,
        "threshold_chosen": found.chosen,
        "unembedded": list(found.words.unembedded),
        **{
            name: _records(getattr(found, name))
            for name in ("methods", "abstentions", "agreement", "disagreements")
        },
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = frame.to_dict("records")
    return [{k: None if v != v else v for k, v in row.items()} for row in rows]


def write_csv(found: Comparison, path: Path) -> None:
    """Write the agreement of all pairs.

    Raises:
        NeuronymError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(found.agreement.to_csv(index=False).encode())


def draw(found: Comparison) -> Figure:
    """Agreement of all pairs up to synonyms as heat maps, one for each of the last six layers.

    Below the diagonal: the same first label. Above it: one method's first label among the other's
    first five, mean of both ways. On it: the share of the units that the method labels.
    """
    layers = list(found.agreement["layer"].unique())[-_PANELS:]
    if not layers:
        raise NeuronymError("These methods have labelled no layer in common: nothing to draw.")
    columns = min(len(layers), 3)
    lines = -(-len(layers) // columns)
    names = list(found.methods["method"])
    side = 1.6 + 0.5 * len(names)
    figure = new(
        figsize=(max(columns * (side + 0.8), 6.5), lines * side + 1.4),
        layout="constrained",
        dpi=120,
    )
    grid = figure.subplots(lines, columns, squeeze=False)
    image: Any = None
    for place, axes in enumerate(grid.flat):
        if place >= len(layers):
            axes.set_axis_off()
            continue
        image = _panel(axes, found, layers[place], names, place % columns == 0)
    bar = figure.colorbar(image, ax=grid, shrink=0.8 / lines, pad=0.02, aspect=24)
    bar.set_label("agreement up to synonyms", fontsize=8, color=PALE)
    bar.ax.tick_params(labelsize=8, colors=PALE)
    bar.ax.yaxis.set_major_formatter("{x:.0%}")
    bar.outline.set_visible(False)
    name = found.target if len(found.target) <= 30 else f"{found.target[:29]}…"
    figure.suptitle(
        f"Where methods agree on {name}, in %\n",
        x=0.01,
        ha="left",
        fontsize=12,
        fontweight="bold",
        color=INK,
    )
    figure.supxlabel(
        "\nbelow the diagonal: same first label · above: first label among the other's first five "
        f"(mean of both ways)\non it: neurons labelled · synonyms count from cosine "
        f"{found.words.threshold:.2f} on",
        x=0.01,
        ha="left",
        fontsize=8,
        color=PALE,
    )
    return figure


def _panel(axes: Axes, found: Comparison, layer: str, names: list[str], first: bool) -> Any:
    import matplotlib

    values = matrix(found, layer, names)
    colours = matplotlib.colormaps["cividis"]
    image = axes.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=0, vmax=1)
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            ink = "white" if value < 0.55 else INK
            axes.text(x, y, f"{value * 100:.0f}", ha="center", va="center", color=ink, fontsize=9)
    for row in found.abstentions[found.abstentions["layer"] == layer].itertuples():
        place = names.index(row.method)
        share = f"{row.labelled / row.units * 100:.0f}"
        axes.text(place, place, share, ha="center", va="center", color=PALE, fontsize=9)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8, color=INK)
    axes.set_yticks(range(len(names)), names if first else [""] * len(names), fontsize=8, color=INK)
    axes.tick_params(length=0)
    axes.set_frame_on(False)
    axes.set_title(layer, fontsize=10, color=INK, loc="left")
    return image
