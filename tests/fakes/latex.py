"""A strict reader of LaTeX tables: what it does not know is an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: What stands for a character, as LaTeX prints it.
SAID = {
    "textbackslash": "\\",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "dots": "…",
    "geq": "≥",
    "leq": "≤",
    "times": "×",
    "alpha": "α",
    "Sigma": "Σ",
    "lambda": "λ",
    "rho": "ρ",
    "rightarrow": "→",
    "approx": "≈",
    "pm": "±",
}
RULES = ["toprule", "midrule", "bottomrule"]
KNOWN = ["centering", "caption", "label", "multicolumn", "footnotesize", "par", "smallskip"]
PARTS = ["endfirsthead", "endhead", "endfoot", "endlastfoot"]
_TOKEN = re.compile(
    r"\\begin\{(?P<begin>\w+)\}|\\end\{(?P<end>\w+)\}|(?P<row>\\\\)|\\(?P<char>[&%$#_{}])"
    r"|\\(?P<command>[a-zA-Z]+)(?:\{\}| |(?![a-zA-Z]))|(?P<comment>%[^\n]*\n)|(?P<other>.)",
    re.DOTALL,
)


@dataclass
class Latex:
    """What a text of one table holds: its rows by the rule or head that they follow."""

    text: str
    used: set[str] = field(default_factory=set)
    kind: str = ""
    sides: str = ""
    caption: str = ""
    rows: list[list[str]] = field(default_factory=list)
    after: list[int] = field(default_factory=list)  # rows before each \midrule of the body
    heads: list[list[str]] = field(default_factory=list)
    notes: str = ""

    def __post_init__(self) -> None:
        stack, depth, maths, cell, cells = [], 0, False, "", []
        spans, opened, waiting = 0, [], ""
        text = self.text
        place = 0
        while place < len(text):
            token = _TOKEN.match(text, place)
            assert token is not None
            place, what = token.end(), token.lastgroup
            value = token[what]
            if what == "comment":
                self.used |= set(re.findall(r"\w+", value.partition("{")[2]))
            elif what == "begin":
                stack.append(value)
                if value in ("tabular", "longtable"):
                    sides = re.compile(r"\{([lr]+)\}").match(text, place)
                    assert sides is not None
                    self.kind, self.sides, place = value, sides[1], sides.end()
                elif value == "table":
                    place = re.compile(r"\[htbp\]").match(text, place).end()
            elif what == "end":
                assert stack.pop() == value
                assert value == "table" or not cell.strip(), cell
            elif what == "command" and value in SAID:
                assert maths or not value.islower() or value.startswith(("text", "dots"))
                cell += SAID[value]
            elif what == "command" and value in (*RULES, *PARTS):
                assert stack[-1:] == [self.kind], value
                assert not cell.strip(), cell
                cell = ""
                if value in PARTS[:3]:
                    self.heads += self.rows if value == PARTS[0] else []
                    self.rows, self.after = [], []
                elif value == "midrule":
                    self.after.append(len(self.rows))
            elif what == "command":
                assert value in KNOWN, value
                if value == "multicolumn":
                    span = re.compile(r"\{(\d+)\}\{[lr]\}").match(text, place)
                    spans, place = int(span[1]) - 1, span.end()
                waiting = value if value in ("caption", "label") else ""
            elif what == "row":
                assert depth == 0
                if cell.strip() or cells:
                    cells.append(cell.strip())
                    assert len(cells) + spans == len(self.sides), cells
                    self.rows.append(cells)
                cell, cells, spans = "", [], 0
            elif what == "char":
                cell += value
            elif value == "{":
                depth += 1
                opened.append((waiting, cell))
                if waiting:
                    cell, waiting = "", ""
            elif value == "}":
                depth -= 1
                of, before = opened.pop()
                if of:
                    self.caption = cell if of == "caption" else self.caption
                    cell = before
            elif value == "$":
                maths = not maths
            elif value == "&":
                assert depth == 0
                assert stack[-1:] == [self.kind]
                cells.append(cell.strip())
                cell = ""
            else:
                assert value not in ("#_^~" if maths else "#_^~<>|"), f"bare {value}"
                assert value != "\\"
                cell += "−" if maths and value == "-" else value
        assert (stack, depth, maths, cells) == ([], 0, False, [])
        self.notes = " ".join(cell.split())
        if self.kind == "tabular":
            self.heads, self.rows, self.after = self.rows[:1], self.rows[1:], self.after[1:]
            self.after = [count - 1 for count in self.after]
        needed = {"booktabs"} | ({"longtable"} if self.kind == "longtable" else set())
        assert self.used - {"usepackage"} == needed
