"""The house is as docs/architecture.md draws it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from places import ROOT

SOURCE = ROOT / "src" / "neuronym"
DRAWINGS = ROOT / "src" / "neuronym_drawings"
FILES = sorted(SOURCE.rglob("*.py"))
#: The only imports that point upward: shortcuts of objects, made when they are called.
UPWARD = {
    ("atlas/reader.py", "Atlas.effect", "analysis"),
    ("atlas/reader.py", "Atlas.searcher", "search"),
    ("atlas/reader.py", "Atlas.serve", "web"),
    ("atlas/unit.py", "Unit.figure", "report"),
}
LEVELS = 9
ENTRIES = 16


def _levels() -> dict[str, int]:
    """Package → level, as the document's table has them."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.MULTILINE)
    return {name: int(level) for level, names in rows for name in re.findall(r"`(\w+)/`", names)}


def _orders() -> dict[str, list[set[str]]]:
    """Package → its parts from the lowest up, for packages whose inside has an order."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    found = {}
    for package, parts in re.findall(r"^- within `(\w+)/`: ([^\n]+)$", text, re.MULTILINE):
        found[package] = [set(re.findall(r"`(\w+)`", rank)) for rank in parts.split("<")]
    return found


def _imports(path: Path) -> Iterator[tuple[str, str, str]]:
    """(class or function that holds it, package, part of the package) of every import of ours."""

    def walk(node: ast.AST, where: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from walk(child, (*where, child.name))
                continue
            yield from walk(child, where)
            names = []
            if isinstance(child, ast.ImportFrom) and child.module:
                names = [f"{child.module}.{alias.name}" for alias in child.names]
            elif isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "neuronym" and parts[1:] != ["__version__"]:
                    yield ".".join(where), parts[1], [*parts, ""][2]

    yield from walk(ast.parse(path.read_text("utf-8")), ())


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_the_listing_is_the_architecture() -> None:
    there = {p.name for p in SOURCE.iterdir() if p.name != "__pycache__"}
    levels = _levels()
    assert there == {"__init__.py", "__main__.py", "py.typed", *levels}
    assert len(there) <= ENTRIES
    assert set(levels.values()) == set(range(1, LEVELS + 1))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_go_down(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0]
    if path.parent == SOURCE:
        return
    levels, orders = _levels(), _orders()
    inside = path.relative_to(SOURCE).parts[1].removesuffix(".py")
    for where, package, part in _imports(path):
        if package != own:
            allowed = (_name(path), where, package) in UPWARD
            assert allowed or levels[package] < levels[own], f"{where} imports {package}"
        elif own in orders and inside != "__init__":
            rank = {name: place for place, names in enumerate(orders[own]) for name in names}
            assert inside == part or rank[part] < rank[inside], f"{where} imports {part}"


def test_every_upward_import_is_still_there() -> None:
    there = {(_name(p), where, package) for p in FILES for where, package, _ in _imports(p)}
    assert there >= UPWARD


@pytest.mark.parametrize("path", [*FILES, *sorted(DRAWINGS.rglob("*.py"))], ids=str)
def test_files_hold_one_idea_of_bearable_length(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 600


def test_folders_hold_few_entries() -> None:
    for folder in (DRAWINGS, *(p for p in DRAWINGS.rglob("*") if p.is_dir())):
        there = [p for p in folder.iterdir() if p.name != "__pycache__"]
        assert len(there) <= ENTRIES, folder


def test_packages_import_nothing_when_they_are_entered() -> None:
    for path in SOURCE.rglob("*/__init__.py"):
        top = [package for where, package, _ in _imports(path) if not where]
        assert not top or path.parent.name == "cli", path


def test_the_drawings_know_nothing_of_neurons() -> None:
    files = sorted(DRAWINGS.rglob("*.py"))
    assert len(files) > 30
    for path in files:
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        names = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        packages = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
        assert packages <= {"numpy", "PIL", "neuronym_drawings"}, path


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "training"])
def test_the_formatter_has_no_exceptions(folder: str) -> None:
    word = "fmt" + ":"
    for path in (ROOT / folder).rglob("*.py"):
        assert word not in path.read_text("utf-8"), path


def test_help_imports_no_torch() -> None:
    code = (
        "import sys, neuronym.cli\n"
        "sys.argv = ['neuronym', '--help']\n"
        "try: neuronym.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pyarrow', 'PIL', 'matplotlib', 'numba', 'scipy'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "dissect" in result.stdout
