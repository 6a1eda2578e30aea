"""The command tree. What a command works with is imported only when it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from neuronym import __version__
from neuronym.cli import cache
from neuronym.cli.annotate import annotate
from neuronym.cli.calibrate import calibrate
from neuronym.cli.compare import compare
from neuronym.cli.demo import demo
from neuronym.cli.diff import diff
from neuronym.cli.dissect import dissect
from neuronym.cli.doctor import doctor
from neuronym.cli.effect import effect
from neuronym.cli.evaluate import evaluate
from neuronym.cli.export import export
from neuronym.cli.figure import figure
from neuronym.cli.grid import grid
from neuronym.cli.import_ import import_
from neuronym.cli.label import label
from neuronym.cli.layers import layers
from neuronym.cli.links import links
from neuronym.cli.list_ import list_
from neuronym.cli.merge import merge
from neuronym.cli.report import report
from neuronym.cli.search import search
from neuronym.cli.serve import serve
from neuronym.cli.show import show
from neuronym.cli.significance import significance
from neuronym.cli.stability import stability
from neuronym.cli.table import table
from neuronym.cli.top import top
from neuronym.cli.trust import trust

app = typer.Typer(
    name="neuronym",
    help="Names for neurons: label every neuron of a vision network with words, from images and an "
    "image–text model.",
    epilog="Start with: neuronym demo",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
#: In the order of `neuronym --help`.
_COMMANDS: tuple[Callable[..., None], ...] = (
    demo,
    dissect,
    layers,
    top,
    show,
    search,
    effect,
    serve,
    annotate,
    label,
    compare,
    diff,
    trust,
    significance,
    calibrate,
    stability,
    links,
    grid,
    merge,
    import_,
    export,
    evaluate,
    table,
    figure,
    report,
    list_,
    doctor,
)
#: What does something without arguments; the others show their help.
_ALONE = ("demo", "list", "doctor")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"neuronym {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


for _command in _COMMANDS:
    _name = _command.__name__.rstrip("_")
    app.command(_name, no_args_is_help=_name not in _ALONE)(_command)
app.add_typer(cache.app, name="cache")
