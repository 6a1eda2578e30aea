"""What a search found: as a table for people, as sentences, and as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from neuronym._core.terminal import add_row, console, printable

if TYPE_CHECKING:
    import pandas as pd

    from neuronym.search.searcher import Hits


#: Columns in order: of what a word finds, and of what is like a picture or a neuron.
_COLUMNS = {
    "found": ("neuron", "rank", "concept", "score", "found", "matched", "images"),
    "like": (
        *("neuron", "likeness", "strength", "here", "activation", "deviation", "share"),
        *("concept", "score", "confidence"),
    ),
}
_HEADINGS = {
    "concept": "label",
    "found": "found in",
    "images": "images with it",
    "share": "of images below",
    "deviation": "deviations above mean",
    "strength": "of its own highest",
    "here": "here",
}


def to_json(hits: Hits, limit: int) -> dict[str, Any]:
    """Everything as plain data, the first `limit` units among it."""
    return {
        "query": hits.query,
        "known": hits.known,
        "suggestions": hits.suggestions,
        "related": hits.related,
        "note": hits.note,
        "found": len(hits.units),
        "hidden": hits.hidden,
        "layers": hits.layers.to_dict("records"),
        "units": _records(hits.units.head(limit)),
    }


def sentences(hits: Hits, limit: int) -> Iterator[str]:
    """One sentence for each of the first `limit` units that a word finds by their labels.

    It names the label that was found, as it stands there: *stripes* where *strip* was looked for.
    """
    labelled = hits.units[hits.units["found"] != "image"].dropna(subset="rank")
    for row in labelled.head(limit).itertuples():
        yield (
            f"Found concept {row.concept!r} in Neuron {row.unit} and Index {row.rank} with "
            f"Similarity Value: {row.score}"
        )


def notes(hits: Hits) -> Iterator[str]:
    """What a reader of the units has to know: whether the word is one, and whether any has it."""
    hidden = " Show them with --abstained." if hits.hidden else ""
    yield from filter(None, (hits.note + hidden, _asked(hits)))
    if "found" in hits.units and hits.layers.empty:
        where = "" if hits.units.empty else f" among its first {hits.top} labels"
        yield f"No neuron was found by {hits.query!r}{where}."


def print_hits(hits: Hits, limit: int) -> None:
    """What a reader has to know, a table of the first `limit` units, and the units per layer."""
    out = console()
    by_word = "found" in hits.units
    for line in notes(hits):
        out.print(printable(line), style="yellow")
    if hits.units.empty:
        return
    _print_units(out, hits.units.head(limit), _COLUMNS["found" if by_word else "like"])
    if by_word and len(hits.layers):
        out.print(f"\nNeurons per layer: {_per_layer(hits)}.", style="dim")
    if len(hits.units) > limit:
        print(f"… and {len(hits.units) - limit:,} more; show them with --limit.")


def _print_units(out: Any, units: pd.DataFrame, columns: tuple[str, ...]) -> None:
    from rich.table import Table

    table = Table(box=None)
    shown = [column for column in columns if column in ("neuron", *units.columns)]
    for column in shown:
        left = column in ("neuron", "concept", "found", "matched")
        table.add_column(_HEADINGS.get(column, column), justify="left" if left else "right")
    for row in _records(units):
        row["neuron"] = f"{row['layer']}:{row['unit']}"
        add_row(table, *(_cell(column, row[column]) for column in shown))
    out.print(table)


def _per_layer(hits: Hits) -> str:
    return ", ".join(
        f"{row.layer} {row.units:,}" + (f" (best {row.best:.3f})" if row.best == row.best else "")
        for row in hits.layers.itertuples()
    )


def _asked(hits: Hits) -> str:
    parts = [f"Did you mean {', '.join(hits.suggestions)}?"] if hits.suggestions else []
    parts += [f"Near in meaning: {', '.join(hits.related)}."] if hits.related else []
    return " ".join(parts)


def _cell(column: str, value: Any) -> str:
    if value is None or value != value:
        return "–"
    if column in ("share", "strength"):
        return f"{value:.1%}"
    if column == "images":
        return str(value) if value else ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _records(units: pd.DataFrame) -> list[dict[str, Any]]:
    return units.astype(object).where(units.notna(), None).to_dict("records")
