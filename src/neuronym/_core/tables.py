"""Tables for people and programs: one content, six formats."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from neuronym._core.checks import choice, misuse, nearest
from neuronym._core.storage import atomic_write
from neuronym._core.terminal import add_row, console, printable

MISSING = "–"
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "…": r"\dots{}",
    "→": r"$\rightarrow$",
    "≈": r"$\approx$",
    "±": r"$\pm$",
    "α": r"$\alpha$",
    "λ": r"$\lambda$",
    "ρ": r"$\rho$",
    "Σ": r"$\Sigma$",
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: key in the rows, and heading in CSV and JSON.
        heading: for people; default: the name with spaces.
        kind: words; whole numbers; numbers; or shares, kept as 0…1 and shown in %.
        digits: behind the point, for people.
        interval: names of two further values in the rows, the ends of a confidence interval. For
            people they stand in brackets behind the value, for programs in their own columns.
    """

    name: str
    heading: str = ""
    kind: Literal["text", "count", "number", "percent"] = "text"
    digits: int = 2
    interval: tuple[str, str] | None = None

    @property
    def title(self) -> str:
        """The heading for people; shares say that they are in %."""
        heading = self.heading or self.name.replace("_", " ")
        return f"{heading} (%)" if self.kind == "percent" else heading

    def text(self, row: Mapping[str, Any]) -> str:
        """A row's value for people."""
        shown = self._one(row.get(self.name))
        if self.interval is None or shown == MISSING:
            return shown
        low, high = (self._one(row.get(name)) for name in self.interval)
        return shown if MISSING in (low, high) else f"{shown} [{low}, {high}]"

    def _one(self, value: Any) -> str:
        if _missing(value):
            return MISSING
        if self.kind == "text":
            return str(value)
        if self.kind == "count":
            return f"{int(value):,}"
        if self.kind == "percent":
            return f"{100 * value:.1f}"
        return f"{value:,.{self.digits}f}"


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


@dataclass(frozen=True, eq=False)
class Table:
    """A table and what its reader has to know.

    Attributes:
        name: under which it is registered.
        title: one line.
        columns: in order.
        rows: by column name; what is missing or NaN is shown as –.
        notes: sentences on how the numbers were made.
        totals: how many of the last rows sum the others up.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()
    totals: int = 0

    @property
    def texts(self) -> list[list[str]]:
        """The cells as people see them."""
        return [[column.text(row) for column in self.columns] for row in self.rows]

    def only(self, names: Sequence[str]) -> Table:
        """The same with these columns only, in this order, by name or heading.

        Raises:
            UsageError: there is no such column, or none is named.
        """
        keys = [{c.title: c for c in self.columns}, {c.heading: c for c in self.columns}]
        keys.append({c.name: c for c in self.columns})  # last, since it goes first
        known = {name.lower(): c for some in keys for name, c in some.items()}
        for name in names:
            if name.lower() not in known:
                near = nearest(name, known)
                valid = f"some of {', '.join(c.name for c in self.columns)}"
                remedy = f"Nearest: {known[near[0]].name}." if near else ""
                raise misuse("columns", valid, name, remedy)
        chosen = tuple(dict.fromkeys(known[name.lower()] for name in names))
        return replace(self, columns=chosen)

    @property
    def names(self) -> list[str]:
        """The columns as programs see them: ends of intervals are columns too."""
        return [n for c in self.columns for n in (c.name, *(c.interval or ()))]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The rows as programs see them: plain values, None for what is missing."""
        return [{name: _plain(row.get(name)) for name in self.names} for row in self.rows]


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if _missing(value) else value


def to_csv(table: Table) -> str:
    """Comma-separated, full precision, shares as 0…1, missing values empty; without notes."""
    out = io.StringIO()
    writer = csv.DictWriter(out, table.names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.records)
    return out.getvalue()


def to_json(table: Table) -> str:
    """One object: name, title, columns, rows, notes; missing values are null."""
    return json.dumps(as_data(table), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_data(table: Table) -> dict[str, Any]:
    """What `to_json` writes, as plain data."""
    columns = [{"name": c.name, "heading": c.title, "kind": c.kind} for c in table.columns]
    return {
        "table": table.name,
        "title": table.title,
        "columns": columns,
        "rows": table.records,
        "totals": table.totals,
        "notes": list(table.notes),
    }


def to_markdown(table: Table) -> str:
    """A table of GitHub's Markdown, its title before it and its notes behind it."""
    sides = ["---" if column.kind == "text" else "---:" for column in table.columns]
    body = [[_markdown(cell) for cell in cells] for cells in table.texts]
    if table.totals:
        low = len(body) - table.totals
        body[low:] = [[f"**{cell}**" for cell in cells] for cells in body[low:]]
    lines = [[_markdown(column.title) for column in table.columns], sides, *body]
    parts = [f"**{_markdown(table.title)}**", "\n".join(f"| {' | '.join(c)} |" for c in lines)]
    return "\n\n".join([*parts, *map(_markdown, table.notes)]) + "\n"


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", _line(text))


#: From so many rows on a table of LaTeX is broken across pages.
LONG = 40


def to_latex(table: Table) -> str:
    """A table with booktabs, its notes in small print; a long one is broken across pages.

    Needs `\\usepackage{booktabs}`, and from `LONG` rows on `\\usepackage{longtable}`, too. It is
    referred to by `tab:` and its name.
    """
    sides = "".join("l" if column.kind == "text" else "r" for column in table.columns)
    head = [r"\toprule", _latex_row(column.title for column in table.columns), r"\midrule"]
    named = (
        rf"\caption{{{_latex(table.title)}}}\label{{tab:{re.sub(r'[^a-z0-9]+', '-', table.name)}}}"
    )
    body = [_latex_row(cells) for cells in table.texts]
    if table.totals and len(body) > table.totals:
        body.insert(-table.totals, r"\midrule")
    notes = [rf"{{\footnotesize {_latex(note)}\par}}" for note in table.notes]
    if len(table.rows) < LONG:
        lines = [
            r"% \usepackage{booktabs}",
            r"\begin{table}[htbp]",
            r"\centering",
            named,
            rf"\begin{{tabular}}{{{sides}}}",
            *head,
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *([r"\par\smallskip", *notes] if notes else []),
            r"\end{table}",
        ]
    else:
        width = len(table.columns)
        lines = [
            r"% \usepackage{booktabs, longtable}",
            rf"\begin{{longtable}}{{{sides}}}",
            named + r" \\",
            *head,
            r"\endfirsthead",
            *head,
            r"\endhead",
            r"\midrule",
            rf"\multicolumn{{{width}}}{{r}}{{\footnotesize continued}} \\",
            r"\endfoot",
            r"\bottomrule",
            r"\endlastfoot",
            *body,
            r"\end{longtable}",
            *notes,
        ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Any) -> str:
    # A bracket at the beginning of a row would be an argument of the \\ before it.
    return " & ".join(re.sub(r"^\[", "{[}", _latex(cell)) for cell in cells) + r" \\"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in _line(text))


def to_html(table: Table) -> str:
    """A `<table>` with caption, and a paragraph of class `note` for each note."""

    def row(cells: Sequence[str], tag: str) -> str:
        parts = [
            f'<{tag} class="{column.kind}">{html.escape(_line(cell))}</{tag}>'
            for column, cell in zip(table.columns, cells, strict=True)
        ]
        return f"<tr>{''.join(parts)}</tr>"

    low = len(table.rows) - table.totals
    body = [row(cells, "td") for cells in table.texts]
    lines = [
        f'<table class="table" id="table-{html.escape(table.name)}">',
        f"<caption>{html.escape(_line(table.title))}</caption>",
        f"<thead>{row([c.title for c in table.columns], 'th')}</thead>",
        "<tbody>",
        *body[:low],
        "</tbody>",
    ]
    if table.totals:
        lines += ["<tfoot>", *body[low:], "</tfoot>"]
    notes = [f'<p class="note">{html.escape(_line(note))}</p>' for note in table.notes]
    return "\n".join([*lines, "</table>", *notes]) + "\n"


def to_terminal(table: Table) -> str:
    """Text in columns for a terminal."""
    out = console()
    with out.capture() as captured:
        print_table(table, out)
    return captured.get()


def print_table(table: Table, out: Any = None) -> None:
    """Show a table on the terminal; one that is too wide in parts below each other."""
    out = out or console()
    out.print(printable(table.title), style="bold")
    for places in _parts(table, out.width):
        out.print(_shown(table, places, out.width))
    for note in table.notes:
        out.print(printable(note), style="dim")


def _parts(table: Table, width: int) -> list[list[int]]:
    """Which columns fit beside each other; each part begins with the words that name its rows."""
    widths = [least + 2 for least in _widths(table)]
    keys = [i for i, c in enumerate(table.columns) if c.kind == "text"]
    parts, room = [list(keys)], width - sum(widths[i] for i in keys)
    for i in range(len(widths)):
        if i in keys:
            continue
        if widths[i] > room and parts[-1] != keys:
            parts.append(list(keys))
            room = width - sum(widths[k] for k in keys)
        parts[-1].append(i)
        room -= widths[i]
    return [sorted(part) for part in parts]


def _widths(table: Table) -> list[int]:
    """What each column needs at least: headings may be broken between words, cells not."""
    texts = table.texts
    return [
        max(map(len, [*column.title.split(), *(cells[i] for cells in texts)]))
        for i, column in enumerate(table.columns)
    ]


def _shown(table: Table, places: Sequence[int], room: int) -> Any:
    from rich.table import Table as Rich

    shown, widths = Rich(box=None), _widths(table)
    whole = sum(max(widths[i], len(table.columns[i].title)) + 2 for i in places)
    for i in places:
        side: Any = "left" if table.columns[i].kind == "text" else "right"
        width = widths[i] if whole > room else None
        shown.add_column(table.columns[i].title, justify=side, overflow="fold", width=width)
    for place, cells in enumerate(table.texts):
        if table.totals and place == len(table.rows) - table.totals:
            shown.add_row(*([""] * len(places)))
        add_row(shown, *(cells[i] for i in places))
    return shown


def _line(text: str) -> str:
    """Text as one line of printable characters."""
    return printable(" ".join(text.split()))


#: Format → what writes it, and the ending of its files.
FORMATS: dict[str, tuple[Callable[[Table], str], str]] = {
    "terminal": (to_terminal, ".txt"),
    "csv": (to_csv, ".csv"),
    "markdown": (to_markdown, ".md"),
    "latex": (to_latex, ".tex"),
    "json": (to_json, ".json"),
    "html": (to_html, ".html"),
}


def check_format(name: str) -> str:
    """The name of a format, if there is one."""
    return choice("format", name, FORMATS)


def format_of(path: Path) -> str:
    """The format that a file's ending asks for; CSV for a folder."""
    endings = {ending: name for name, (_, ending) in FORMATS.items()}
    if path.suffix and path.suffix.lower() not in endings:
        raise misuse("out", f"a folder, or a file ending in {', '.join(endings)}", str(path))
    return endings.get(path.suffix.lower(), "csv")


def as_text(tables: Sequence[Table], form: str) -> str:
    """Tables in one text; JSON: one alone is an object, several are an array."""
    if form == "json" and len(tables) != 1:
        data = [as_data(table) for table in tables]
        return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if form == "terminal":
        tables = list(_each_note_once(tables))
    return "\n".join(FORMATS[form][0](table) for table in tables)


def _each_note_once(tables: Sequence[Table]) -> Iterator[Table]:
    seen: set[str] = set()
    for table in tables:
        yield replace(table, notes=tuple(note for note in table.notes if note not in seen))
        seen |= set(table.notes)


def write_tables(tables: Sequence[Table], out: Path, form: str) -> list[Path]:
    """Write tables into one file, or into a folder: a path without an ending of a known format.

    Returns:
        The files.

    Raises:
        UsageError: several tables into one CSV file.
        NeuronymError: the disk is full or may not be written to.
    """
    if out.suffix and not out.is_dir():
        if form == "csv" and len(tables) > 1:
            raise misuse("out", f"a folder for {len(tables)} CSV tables", str(out))
        texts = {out: as_text(tables, form)}
    else:
        texts = {out / f"{t.name}{FORMATS[form][1]}": as_text([t], form) for t in tables}
    for path, text in texts.items():
        with atomic_write(path, "w") as file:
            file.write(text)
    return list(texts)
