"""The command tree: each command's module is imported only when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from neuronym import __version__
from neuronym.cli import (
    cache,
    calibrating,
    demo,
    dissect,
    evaluating,
    exchanging,
    inspecting,
    labelling,
    reporting,
    searching,
    serving,
    studying,
    trusting,
)

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


app.command("demo")(demo.demo)
app.command("dissect", no_args_is_help=True)(dissect.dissect)
app.command("layers", no_args_is_help=True)(inspecting.layers)
app.command("show", no_args_is_help=True)(inspecting.show)
app.command("search", no_args_is_help=True)(searching.search)
app.command("serve", no_args_is_help=True)(serving.serve)
app.command("annotate", no_args_is_help=True)(serving.annotate)
app.command("label", no_args_is_help=True)(labelling.label)
app.command("compare", no_args_is_help=True)(labelling.compare)
app.command("trust", no_args_is_help=True)(trusting.trust)
app.command("significance", no_args_is_help=True)(trusting.significance)
app.command("calibrate", no_args_is_help=True)(calibrating.calibrate)
app.command("stability", no_args_is_help=True)(studying.stability)
app.command("grid", no_args_is_help=True)(studying.grid)
app.command("import", no_args_is_help=True)(exchanging.import_)
app.command("export", no_args_is_help=True)(exchanging.export)
app.command("evaluate", no_args_is_help=True)(evaluating.evaluate)
app.command("table", no_args_is_help=True)(evaluating.table)
app.command("figure", no_args_is_help=True)(reporting.figure)
app.command("report", no_args_is_help=True)(reporting.report)
app.command("list")(inspecting.list_names)
app.command("doctor")(inspecting.doctor)
app.add_typer(cache.app, name="cache")
