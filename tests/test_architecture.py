"""The house is as docs/architecture.md draws it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "neuronym"


def _ranks() -> dict[str, int]:
    table = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    ranks = {}
    for rank, modules in re.findall(r"^\| (\d+) \| ([^|]+) \|", table, re.MULTILINE):
        for module in re.findall(r"`(\w+)`", modules):
            ranks[module] = int(rank)
    return ranks


def _imports(path: Path) -> set[str]:
    """First-level neuronym modules imported when the file is imported."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "neuronym":
            parts = (node.module or "").split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("neuronym.")}
    return found - {"__version__"}


def test_every_module_has_a_rank() -> None:
    there = {p.stem if p.is_file() else p.name for p in SOURCE.iterdir() if p.name != "__pycache__"}
    assert there - {"__init__", "__main__", "py"} == set(_ranks())


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_imports_go_down(path: Path) -> None:
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    ranks = _ranks()
    for other in _imports(path) - {own}:
        assert ranks[other] < ranks[own], f"{own} (rank {ranks[own]}) imports {other}"


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_modules_stay_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 600


def test_help_imports_no_torch() -> None:
    code = (
        "import sys, neuronym.cli\n"
        "sys.argv = ['neuronym', '--help']\n"
        "try: neuronym.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'PIL', 'matplotlib', 'numba'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "dissect" in result.stdout
