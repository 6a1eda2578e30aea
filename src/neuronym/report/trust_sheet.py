"""What analyses found about a method's labels, layer by layer, for reading."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from neuronym._core.terminal import add_row, command, console
from neuronym.atlas import schema
from neuronym.report.statement import sure, why_unknown
from neuronym.report.summary import option, score_text

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas


#: Columns that a terminal has room for; a table with more is shown on its side.
_ACROSS = 8


def facts(atlas: Atlas, method: str, analyses: Sequence[str]) -> dict[str, Any]:
    """What a script wants to know: per analysis its entry in the manifest, and `by_layer`."""
    entries = atlas.shown.analyses
    found = {
        name: {
            **entries[schema.analysis_id(name, method)],
            "by_layer": by_layer(atlas, method, name),
        }
        for name in analyses
    }
    return {"atlas": str(atlas.folder), "method": method, "analyses": found}


def by_layer(atlas: Atlas, method: str, analysis: str) -> list[dict[str, Any]]:
    """Per layer: its units, how many say yes to each yes-or-no, the median of each number.

    With `significance` also the threshold: the score above which a unit beats chance.
    """
    found, rows = atlas.trust(analysis, method=method), []
    entry = atlas.shown.analyses[schema.analysis_id(analysis, method)]
    for layer, own in found.groupby("layer", sort=False):
        row: dict[str, Any] = {"layer": layer, "units": len(own)}
        for name in own.columns.drop(["layer", "unit"]):
            column = own[name].dropna()
            if len(column) and column.map(lambda value: isinstance(value, bool)).all():
                row[name] = int(column.sum())
            elif pd.api.types.is_numeric_dtype(own[name]):
                row[name] = float(column.median()) if len(column) else None
        if "chance" in entry:
            row["threshold"] = entry["chance"][layer].get("threshold")
        rows.append(row)
    return rows


def print_trust(atlas: Atlas, method: str, analyses: Sequence[str]) -> None:
    """A table per analysis: counts of yes, medians of numbers; and what to do next."""
    from rich.table import Table

    out = console()
    out.print(f"Labels of {method} in {atlas.folder}\n", style="bold")
    for analysis in analyses:
        rows = by_layer(atlas, method, analysis)
        columns = list(dict.fromkeys(key for row in rows for key in row))
        spec = atlas.shown.analyses[schema.analysis_id(analysis, method)]["spec"]
        title = f"{spec}: counts and medians per layer"
        table = Table(title=title, title_justify="left", title_style="bold", box=None)
        cells = [[column.replace("_", " ") for column in columns]]
        cells += [[_text(row.get(column)) for column in columns] for row in rows]
        if len(columns) > _ACROSS:
            cells = [list(column) for column in zip(*cells, strict=True)]
        for place, heading in enumerate(cells[0]):
            table.add_column(heading, justify="right" if place else "left", overflow="fold")
        for row in cells[1:]:
            add_row(table, *row)
        out.print(table)
        out.print()
    for caveat in atlas.caveats(method):
        out.print(f"{caveat}\n", style="dim")
    first = atlas.first_labels(method=method)
    labelled = int((~first["abstained"]).sum())
    said = f"{labelled:,} of {len(first):,} neurons have a label"
    if (why := why_unknown(atlas, method, str(atlas.folder))) is None:
        out.print(f"{said}; {sure(first):,} with a confidence of 50% or more.")
    else:
        out.print(f"{said}. {why}")
    active = first[~first["abstained"]].sort_values("score", ascending=False, kind="stable")
    shown = active if len(active) else first
    folder, named = shlex.quote(str(atlas.folder)), option(atlas, method)
    out.print("Next:")
    for row in shown.head(1).itertuples():
        out.print(
            f"  {command()} show {folder} {shlex.quote(f'{row.layer}:{row.unit}')}{named}",
            style="cyan",
        )
    out.print(f"  {command()} show {folder}{named}", style="cyan")


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return score_text(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
