"""What changed between two atlases as text for people, a figure, JSON and files."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.storage import atomic_write
from neuronym._core.tables import Column, Table, print_table
from neuronym._core.terminal import console, counted, printable
from neuronym.analysis.diff.run import Diff
from neuronym.report.figures import FAINT, INK, PALE, new, shown, style
from neuronym.report.unit_sheet import draw_exemplar

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure, SubFigure

    from neuronym.atlas.reader import Atlas


#: Units that a figure shows at most, and images of each that left, and that came.
DRAWN, _IMAGES = 8, 5
_CONCEPTS = 10
#: Images that are named for having come to most units, and to how many at least.
_MOVED, OFTEN = 5, 3
_ENDINGS = (".parquet", ".csv", ".json")


# -- sentences -----------------------------------------------------------------------------------


def headline(found: Diff) -> str:
    """How many units changed, in a sentence or two."""
    shared, only_a, only_b = found.images
    images = f"the {counted(shared, 'image')} that both atlases have"
    if only_a or only_b:
        images += f" ({only_a:,} more in A, {only_b:,} in B)"
    if found.by == "concepts":
        gone = Counter(found.concepts["change"])
        parts = [f"{gone[x]:,} {x}" for x in ("gained", "lost", "more", "fewer") if gone[x]]
        matched = ""
        if found.partners.attrs:
            matched = (
                f" {counted(len(found.partners), 'pair')} of neurons respond alike to {images}."
            )
        said = f"Concepts: {', '.join(parts)}, beyond chance." if parts else f"{_NO_CONCEPT}."
        return said + matched
    states = Counter(found.units["state"])
    news, total = len(found.changed), len(found.units)
    what = f"{news:,} of {counted(total, 'neuron')} changed" if news else "No neuron changed"
    extra = [f"{states[s]:,} {said}" for s, said in _SILENT.items() if states[s]]
    what += f" ({', '.join(extra)})" if extra else ""
    rest = f"{states['same']:,} are the same"
    if found.by == "activations":
        rest += f" within what {images} can tell"
    if states["silent"]:
        rest += f"; {states['silent']:,} respond to none of them in either"
    if states["unknown"]:
        rest += f"; of {states['unknown']:,} nothing can be said"
    return f"{what}; {rest}."


_NO_CONCEPT = "No concept has more or fewer neurons, beyond chance"
_SILENT = {"died": "of them fell silent", "woke": "began to respond"}


def rule(found: Diff) -> str:
    """What counted as changed, in a sentence."""
    if found.by != "activations":
        return ""
    return (
        f"Changed: the responses correlate less than {found.same:g}, beyond what the choice of "
        f"images explains (at most {100 * found.fdr:g} % of those listed are false, on average). "
        "In brackets: 95 % intervals. First come those of which most is sure."
    )


def moved(found: Diff) -> str:
    """Which images came to most of the units that changed."""
    some = found.moved[found.moved["came"] >= OFTEN].head(_MOVED)
    if some.empty:
        return ""
    names = [f"{row.image_id} (to {row.came:,})" for row in some.itertuples()]
    return f"Images that came to most of them: {', '.join(names)}."


def names(found: Diff) -> list[str]:
    """What A and B are, a line each."""
    return [
        f"{side} {atlas.name}: {atlas.shown.target.name} on {atlas.shown.probe.name}"
        for side, atlas in zip("AB", (found.a, found.b), strict=True)
    ]


# -- tables --------------------------------------------------------------------------------------


def units_table(found: Diff, count: int) -> Table:
    """The units that changed most."""
    rows, annotated = [], _Annotated(found.b)
    for row in found.changed.head(count).to_dict("records"):
        came = annotated.common([name for name in row["came"].split("\n") if name])
        rows.append(row | {"neuron": f"{row['layer']}:{row['unit']}", "came_with": came})
    columns = [Column("neuron"), Column("state", "")]
    if found.by == "activations":
        columns.append(Column("correlation", kind="number", interval=("low", "high")))
    columns += [
        Column("kept", "images kept", kind="percent", digits=0),
        Column("a_label", "label in A"),
        Column("b_label", "label in B"),
        *(
            Column(f"{x}_confidence", f"confidence {x.upper()}", kind="percent")
            for x in "ab"
            if found.units[f"{x}_confidence"].notna().any()
        ),
        Column("came_with", "came"),
    ]
    return Table(
        "units",
        f"The {counted(len(rows), 'neuron')} that changed most",
        tuple(columns),
        tuple(rows),
    )


class _Annotated:
    """What the images of an atlas are annotated with."""

    def __init__(self, atlas: Atlas) -> None:
        pairs = zip(atlas.images["image_id"], atlas.images["annotations"], strict=True)
        self._names = {image: {entry["name"] for entry in entries} for image, entries in pairs}
        self._counts = Counter(name for some in self._names.values() for name in some)

    def common(self, ids: list[str]) -> str:
        """What most of these images have, beyond what all have of it; else the first one's name."""
        counts = Counter(name for image in ids for name in self._names[image])
        if not ids or not counts:
            return shown(ids[0].rpartition("/")[2], 24) if ids else ""
        usual = {name: self._counts[name] / len(self._names) for name in counts}
        name = max(counts, key=lambda name: (counts[name] / len(ids) - usual[name], name))
        return f"{shown(name, 20)} ({counts[name]} of {len(ids)})"


def layers_table(found: Diff) -> Table:
    """What changed by layer."""
    columns = (
        Column("layer"),
        Column("units", "neurons", kind="count"),
        Column("changed", kind="count"),
        Column("died", "fell silent", kind="count"),
        Column("woke", "began to respond", kind="count"),
        Column("correlation", "median correlation", kind="number", digits=3),
        Column("relabelled", "other label, changed", kind="count"),
        Column("relabelled_same", "other label, same", kind="count"),
    )
    return Table("layers", "By layer", columns, tuple(found.layers.to_dict("records")))


def concepts_table(found: Diff, count: int) -> Table:
    """The concepts whose numbers of units differ beyond chance."""
    news = found.concepts[found.concepts["change"] != ""]
    columns = (
        Column("concept"),
        Column("change", ""),
        Column("a", "neurons A", kind="number", digits=0, interval=("a_low", "a_high")),
        Column("b", "neurons B", kind="number", digits=0, interval=("b_low", "b_high")),
        Column("a_depth", "depth A", kind="number"),
        Column("b_depth", "depth B", kind="number"),
        Column("q", kind="number", digits=3),
    )
    notes: tuple[str, ...] = ()
    if len(news):
        notes = (
            "Depth: mean place among the atlas's layers, 0 the first, 1 the last. In brackets: "
            "95 % intervals, as if units were drawn at random.",
        )
    title = (
        f"{counted(len(news), 'concept')} with more or fewer neurons, beyond chance"
        if len(news)
        else _NO_CONCEPT
    )
    rows = tuple(news.head(count).to_dict("records"))
    return Table("concepts", title, columns if rows else (), rows, notes)


def partners_table(found: Diff, count: int) -> Table:
    """The pairs of units that respond most alike."""
    rows = [
        row | {x: f"{row[f'{x}_layer']}:{row[f'{x}_unit']}" for x in "ab"}
        for row in found.partners.head(count).to_dict("records")
    ]
    columns = (
        Column("a", "neuron in A"),
        Column("b", "neuron in B"),
        Column("correlation", kind="number"),
        Column("a_label", "label in A"),
        Column("b_label", "label in B"),
    )
    facts = found.partners.attrs
    note = (
        f"Each correlates with the other more than with any other neuron, over {facts['images']:,} "
        "images, more than pairs do that come about with the images shuffled (at most "
        f"{100 * found.fdr:g} % by chance)."
    )
    return Table("partners", "Neurons that respond alike", columns, tuple(rows), (note,))


def tables(found: Diff, count: int) -> Iterator[Table]:
    """What is worth showing."""
    if found.by != "concepts":
        if len(found.changed):
            yield units_table(found, count)
        yield layers_table(found)
    elif len(found.partners):
        yield partners_table(found, count)
    if found.by != "concepts" or (found.concepts["change"] != "").any():
        yield concepts_table(found, min(count, _CONCEPTS))


def print_diff(found: Diff, count: int) -> None:
    """The point first, then the most changed units, layers, concepts, and what to know."""
    out = console()
    out.print(printable(headline(found)), style="bold")
    for line in names(found):
        out.print(printable(line), style="dim")
    for table in tables(found, count):
        out.print()
        if table.rows:
            print_table(table, out)
        else:
            out.print(printable(f"{table.title}."))
        if table.name == "units" and (text := moved(found)):
            out.print(printable(text))
    rest = [text for text in (rule(found) if len(found.changed) else "", *found.notes) if text]
    if rest:
        out.print()
    for text in rest:
        out.print(printable(text), style="dim")


# -- data and files ------------------------------------------------------------------------------


def to_json(found: Diff, count: int) -> dict[str, Any]:
    """Everything as plain data, the first `count` rows of each table among it."""
    news = found.changed.head(count)
    return {
        "a": str(found.a.folder),
        "b": str(found.b.folder),
        "methods": list(found.methods),
        "by": found.by,
        "same": found.same,
        "fdr": found.fdr,
        "images": dict(zip(("shared", "only_a", "only_b"), found.images, strict=True)),
        "states": dict(Counter(found.units["state"])),
        "units": [
            row | {name: row[name].split("\n") if row[name] else [] for name in ("left", "came")}
            for row in records(news)
        ],
        "layers": records(found.layers),
        "moved": records(found.moved.head(count)),
        "concepts": records(found.concepts[found.concepts["change"] != ""].head(count)),
        "matched": len(found.partners),
        "matching": dict(found.partners.attrs),
        "partners": records(found.partners.head(count)),
        "notes": list(found.notes),
    }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain data; None for what is missing."""
    rows = frame.to_dict("records")
    return [{k: None if v != v else v for k, v in row.items()} for row in rows]


def check_format(path: Path) -> None:
    """Raise UsageError unless a table can be written to the path; see `write`."""
    if path.suffix and path.suffix.lower() not in _ENDINGS:
        raise misuse("out", f"a folder, or a file ending in {', '.join(_ENDINGS)}", str(path))


def write(found: Diff, path: Path) -> None:
    """Write the table of units, of concepts where there is none; into a folder all tables.

    Raises:
        UsageError: the ending is none of .parquet, .csv, .json.
        NeuronymError: the file cannot be written.
    """
    check_format(path)
    if path.suffix:
        _write(found.concepts if found.by == "concepts" else found.units, path)
        return
    for name in ("units", "layers", "moved", "concepts", "partners"):
        if len(frame := getattr(found, name)):
            _write(frame, path / f"{name}.parquet")


def _write(frame: pd.DataFrame, path: Path) -> None:
    kind = path.suffix.lower()
    if kind == ".parquet":
        held = io.BytesIO()
        frame.assign().to_parquet(held, index=False, compression="zstd")
        data = held.getvalue()
    elif kind == ".csv":
        data = frame.to_csv(index=False).encode()
    else:
        data = frame.to_json(orient="records", indent=1, force_ascii=False).encode()
    with atomic_write(path) as file:
        file.write(data)


# -- the figure ----------------------------------------------------------------------------------


def draw(found: Diff, count: int = DRAWN) -> Figure:
    """The images that left and that came, side by side, for the units that changed most.

    Raises:
        NeuronymError: no unit changed.
    """
    news = found.changed.head(min(count, DRAWN))
    if news.empty:
        raise NeuronymError(
            "There is nothing to draw: no neuron is known to have changed. " + headline(found)
        )
    with style():
        figure = new(figsize=(11, 1.75 * len(news) + 0.9), layout="constrained", dpi=120)
        figure.suptitle(
            f"What changed: {shown(headline(found).partition(';')[0], 90)}",
            x=0.01,
            ha="left",
            fontsize=12,
            fontweight="bold",
            color=INK,
        )
        parts = figure.subfigures(len(news), 1, squeeze=False).flat
        for part, row in zip(parts, news.to_dict("records"), strict=True):
            _row(part, found, row)
        figure.supxlabel(
            f"left: of its highest images in {shown(found.a.folder.name, 30)} those that left · "
            f"right: those that came in {shown(found.b.folder.name, 30)}",
            x=0.01,
            ha="left",
            fontsize=8,
            color=PALE,
        )
    return figure


def _row(part: SubFigure, found: Diff, row: dict[str, Any]) -> None:
    words = [
        shown(x, 24) if isinstance(x, str) else "no label" for x in (row["a_label"], row["b_label"])
    ]
    r = row["correlation"]
    how = f" · correlation {r:.2f}" if isinstance(r, float) and r == r else ""
    part.suptitle(
        f"{shown(row['layer'], 40)}:{row['unit']}   {words[0]} → {words[1]}{how}",
        x=0.01,
        ha="left",
        fontsize=9.5,
        color=INK,
    )
    grid = part.subplots(
        1, 2 * _IMAGES + 1, gridspec_kw={"width_ratios": [1] * _IMAGES + [0.35] + [1] * _IMAGES}
    )
    both = found.exemplars(row["layer"], row["unit"])
    for axes in grid:
        axes.set_axis_off()
        axes.set_box_aspect(1)
    grid[_IMAGES].text(0.5, 0.5, "→", ha="center", va="center", fontsize=14, color=FAINT)
    for start, atlas, ids in ((0, found.a, both[0]), (_IMAGES + 1, found.b, both[1])):
        unit = atlas[row["layer"], row["unit"]]
        rows = unit.exemplars().set_index("image_id", drop=False)
        for place, image in enumerate(ids[:_IMAGES]):
            draw_exemplar(grid[start + place], unit, rows.loc[image])
