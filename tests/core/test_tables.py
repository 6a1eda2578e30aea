"""One table in six formats, and intervals."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from scipy.stats import binomtest

from latex import Latex
from neuronym._core.errors import UsageError
from neuronym._core.intervals import wilson
from neuronym._core.tables import (
    FORMATS,
    LONG,
    Column,
    Table,
    as_text,
    check_format,
    format_of,
    write_tables,
)

TABLE = Table(
    "some-table",
    "Units of a_b & c%",
    (
        Column("layer"),
        Column("units", kind="count"),
        Column("share", "top-1", kind="percent", interval=("low", "high")),
        Column("mean", kind="number", digits=3),
    ),
    (
        {"layer": "l_1|<b>", "units": 1234, "share": 0.25, "low": 0.2, "high": 0.5, "mean": -0.5},
        {"layer": "null", "units": 0, "share": None, "mean": math.nan},
        {"layer": "all", "units": 1234, "share": 0.25, "low": 0.2, "high": 0.5, "mean": 2.0},
    ),
    ("Note of 5 $ & more_", "Scores ≥ 0.3."),
    totals=1,
)
CELLS = [
    ["l_1|<b>", "1,234", "25.0 [20.0, 50.0]", "-0.500"],
    ["null", "0", "–", "–"],
    ["all", "1,234", "25.0 [20.0, 50.0]", "2.000"],
]


def test_cells_for_people() -> None:
    assert TABLE.texts == CELLS
    assert [column.title for column in TABLE.columns] == ["layer", "units", "top-1 (%)", "mean"]


def test_csv_holds_everything_in_full() -> None:
    rows = list(csv.DictReader(io.StringIO(as_text([TABLE], "csv"))))
    assert list(rows[0]) == ["layer", "units", "share", "low", "high", "mean"]
    assert rows[0] == {
        "layer": "l_1|<b>",
        "units": "1234",
        "share": "0.25",
        "low": "0.2",
        "high": "0.5",
        "mean": "-0.5",
    }
    assert list(rows[1].values()) == ["null", "0", "", "", "", ""]


def test_json_of_one_and_of_several() -> None:
    one = json.loads(as_text([TABLE], "json"))
    assert one["rows"][1] == {
        "layer": "null",
        "units": 0,
        "share": None,
        "low": None,
        "high": None,
        "mean": None,
    }
    assert one["notes"] == list(TABLE.notes)
    assert (one["table"], one["totals"], len(one["columns"])) == ("some-table", 1, 4)
    assert json.loads(as_text([TABLE, TABLE], "json")) == [one, one]


def test_markdown_escapes_and_makes_totals_bold() -> None:
    text = as_text([TABLE], "markdown")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    for line in lines:
        assert len(re.findall(r"(?<!\\)\|", line)) == 5
    assert lines[1] == "| --- | ---: | ---: | ---: |"
    assert r"l\_1\|\<b\>" in lines[2]
    assert lines[4].startswith("| **all** |")
    assert text.startswith("**Units of a\\_b \\& c%**\n\n|")
    assert r"\~\~5\~\~ \&lt;" in as_text([replace(TABLE, title="~~5~~ &lt;")], "markdown")


UGLY = r"\a{b}$5%#_~^&<x>|≥≤×…α → [0, 1] -- \\ \end{table} é 字"


@pytest.mark.parametrize(
    ("rows", "kind"),
    [(1, "tabular"), (LONG - 1, "tabular"), (LONG, "longtable"), (130, "longtable")],
)
def test_latex_is_read_back(rows: int, kind: str) -> None:
    given = [{"layer": f"l_{n}", "units": n, "share": n / rows, "mean": -n} for n in range(rows)]
    given[0] |= {"layer": UGLY, "low": 0.0, "high": 1.0}
    table = replace(TABLE, rows=tuple(given), totals=1)
    made = Latex(as_text([table], "latex"))
    assert made.kind == kind
    assert made.sides == "lrrr"
    assert made.caption == TABLE.title
    assert made.heads == [[column.title for column in TABLE.columns]]
    assert made.rows == [
        [cell.replace("–", "--").replace("-", "-") for cell in cells] for cells in table.texts
    ]
    assert made.after == ([rows - 1] if rows > 1 else [])
    assert made.notes.endswith(" ".join(TABLE.notes))
    assert r"\label{tab:some-table}" in as_text([table], "latex")


def test_a_reader_of_latex_finds_mistakes() -> None:
    text = as_text([TABLE], "latex")
    for wrong in (
        (r"1,234 &", "1,234"),
        (r"l\_1", "l_1"),
        (r"\end{tabular}", ""),
        ("{lrrr}", "{lrr}"),
    ):
        with pytest.raises((AssertionError, IndexError)):
            Latex(text.replace(*wrong))


def test_columns_are_chosen_by_name_or_heading() -> None:
    made = TABLE.only(["mean", "Top-1", "layer"])
    assert made.names == ["mean", "share", "low", "high", "layer"]
    assert made.texts[0] == ["-0.500", "25.0 [20.0, 50.0]", "l_1|<b>"]
    with pytest.raises(
        UsageError, match=r"some of layer, units, share, mean, got 'meen'. Nearest: mean"
    ):
        TABLE.only(["layer", "meen"])


class _Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found += [[]] if tag == "tr" else []
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.found[-1].append(self.text)


def test_html_escapes_and_reads_back() -> None:
    text = as_text([TABLE], "html")
    reader = _Cells()
    reader.feed(text)
    assert reader.found[1:] == CELLS
    assert "<b>" not in text
    assert html.escape("Note of 5 $ & more_") in text
    assert "<tfoot>\n<tr><td" in text


@pytest.mark.parametrize("width", [200, 60])
def test_the_terminal_shows_every_cell_whole(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    many = Table(
        "wide",
        "Wide",
        (Column("layer"), *(Column(f"c{i}", kind="count") for i in range(9))),
        tuple(
            {"layer": f"layer{r}"} | {f"c{i}": 10**6 + 11 * i + r for i in range(9)}
            for r in range(3)
        ),
        ("once",),
    )
    text = as_text([many, many], "terminal")
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    for cells in many.texts:
        assert all(cell in text for cell in cells)
    # A table too wide comes in parts, each with the names of its rows.
    assert text.count("layer2") == 2 * (1 if width == 200 else 3)
    assert text.count("once") == 1


def test_files_and_folders(tmp_path: Path) -> None:
    two = [TABLE, Table("other", "Other", (Column("a"),), ({"a": "ü"},))]
    assert write_tables(two, tmp_path / "out", "latex") == [
        tmp_path / "out/some-table.tex",
        tmp_path / "out/other.tex",
    ]
    (file,) = write_tables(two, tmp_path / "both.md", "markdown")
    assert file.read_text("utf-8") == as_text(two, "markdown")
    assert {format_of(Path(f"x{e}")) for _, e in FORMATS.values()} == set(FORMATS)
    assert format_of(Path("folder")) == "csv"
    with pytest.raises(UsageError, match="`out` to be a folder for 2 CSV tables"):
        write_tables(two, tmp_path / "x.csv", "csv")
    with pytest.raises(UsageError, match=r"a file ending in .*\.tex.*got 'x.docx'"):
        format_of(Path("x.docx"))
    with pytest.raises(UsageError, match="`format` to be one of terminal, csv"):
        check_format("tex")


@pytest.mark.parametrize(("count", "total"), [(0, 9), (9, 9), (1, 3), (81, 263), (766, 1000)])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_wilson_is_scipys(count: int, total: int, level: float) -> None:
    wanted = binomtest(count, total).proportion_ci(level, "wilson")
    assert wilson(count, total, level) == pytest.approx((wanted.low, wanted.high), abs=1e-12)


def test_wilson_of_published_examples_and_of_nothing() -> None:
    # Newcombe 1998, table I: method 3.
    for (count, total), ends in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson(count, total) == pytest.approx(ends, abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(UsageError, match="`count` to be a number 0…3, got 4"):
        wilson(4, 3)
