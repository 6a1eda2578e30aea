"""Arguments and options: those that several commands have, and those made from settings."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from neuronym._core.former import UNTIL

#: Where right labels come from.
TRUTHS = (
    "classes (unit i of the output layer is class i), annotations (people's, in the atlas), or a "
    "ground-truth file (.csv)."
)
#: What a study of stability measures.
PARTS = (
    "What to measure beside the published score, of images, bootstrap, halves, order, words, "
    "prompts, pairs; `none`: nothing."
)
_RARE = "Default: what 1 in 10,000 pairs of concepts reach."

# -- which atlas, whose labels -------------------------------------------------------------------

AtlasArgument = Annotated[str, typer.Argument(metavar="ATLAS", help="The folder of an atlas.")]
AtlasesArgument = Annotated[
    list[str], typer.Argument(metavar="ATLAS…", help="The folders of one or several atlases.")
]
MethodOption = Annotated[
    str | None,
    typer.Option(metavar="METHOD", help="Whose labels. Default: those of the run that made it."),
]
MethodsOption = Annotated[
    str | None,
    typer.Option("--methods", "--method", metavar="M,…", help="Only these. Default: all."),
]
SignificantOption = Annotated[
    bool,
    typer.Option(
        "--significant",
        help="Only labels whose score is higher than by chance, by the analysis significance; the "
        "other neurons abstain.",
    ),
]
LayersOption = Annotated[
    str | None,
    typer.Option(metavar="L,…", help="Only these layers, by exact name. Default: all."),
]

ColumnsOption = Annotated[
    str | None,
    typer.Option(metavar="C,…", help="Only these columns, in this order. Default: all."),
]
CaptionOption = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="The title of the table; in LaTeX its caption."),
]
TableFileOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write it: .csv, .md, .tex, .json, .html or .txt."),
]

# -- when a label is right -----------------------------------------------------------------------

TruthOption = Annotated[str | None, typer.Option(metavar="TRUTH", help=f"Right labels: {TRUTHS}")]
MatchOption = Annotated[
    str, typer.Option(metavar="HOW", help="When a label is right: exact, lemma or synonyms.")
]
MatchSynonymsOption = Annotated[
    float | None,
    typer.Option(
        "--synonyms",
        metavar="COSINE",
        min=-1,
        max=1,
        show_default=False,
        help="With --match synonyms: labels are synonyms from this cosine of their text embeddings "
        f"on. {_RARE}",
    ),
]
SynonymsOption = Annotated[
    float | None,
    typer.Option(
        metavar="COSINE",
        min=-1,
        max=1,
        help=f"Labels count as synonyms from this cosine of their text embeddings on. {_RARE}",
    ),
]


def _all_labels(value: bool) -> bool:
    if value:
        print(
            "Tables count all labels, and those that beat chance in columns of their own: "
            f"--all-labels changes nothing any more; it goes in {UNTIL}.",
            file=sys.stderr,
        )
    return value


AllLabelsOption = Annotated[bool, typer.Option("--all-labels", hidden=True, callback=_all_labels)]

# -- where and how it runs -----------------------------------------------------------------------

DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:N, mps; where networks run if they must.")
]
WorkersOption = Annotated[
    int, typer.Option(metavar="N", help="Threads that decode images. 0: one per core.", min=0)
]
CacheOption = Annotated[
    str | None, typer.Option(metavar="DIR", help="Cache directory.", show_default=False)
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Make again what is there already.")
]

PreprocessOption = Annotated[
    str | None,
    typer.Option(
        metavar="S=V,…",
        show_default=False,
        help="What the network sees: size=32,mean=0.5,std=0.25 and further settings.",
    ),
]

# -- what comes out ------------------------------------------------------------------------------

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the result.")]
DrawingOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also draw it: .png, .svg or .pdf.")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        show_default=False,
        help="terminal, csv, markdown, latex, json or html. Default: terminal, or by the ending of "
        "--out.",
    ),
]

# -- the site ------------------------------------------------------------------------------------

PortOption = Annotated[
    int, typer.Option(metavar="N", help="Port. 0: any free one.", min=0, max=65535)
]
HostOption = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS",
        help="Address to listen at. Any but this machine's own also asks readers for a token, "
        "which is part of the address that is printed.",
    ),
]
NoOpenOption = Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")]


def listed(text: str | None) -> list[str] | None:
    """The names in `A,B,…`; None where nothing is given.

    >>> listed("layer3, layer4")
    ['layer3', 'layer4']
    """
    return [name.strip() for name in text.split(",")] if text else None


def parts_of(text: str | None) -> dict[str, Any]:
    """What `--parts` says, as a setting of a study.

    >>> parts_of("halves,pairs"), parts_of("none"), parts_of(None)
    ({'parts': ('halves', 'pairs')}, {'parts': ()}, {})
    """
    if text is None:
        return {}
    return {"parts": () if text == "none" else named(text)}


def named(text: str) -> tuple[str, ...]:
    """The names in `A,B,…` without empty ones."""
    return tuple(filter(None, listed(text) or ()))


def from_settings(settings: type, positional: str) -> Callable[[Callable], Callable]:
    """Decorator: give a command an option for each field; unset ones arrive as None.

    The command receives them in its keyword argument `given`, without those left out.
    """

    def decorate(command: Callable) -> Callable:
        hints = typing.get_type_hints(settings)
        own = inspect.signature(command, eval_str=True).parameters
        made = {
            f.name: _parameter(f, hints[f.name], f.name == positional) for f in fields(settings)
        }

        def wrapper(**kwargs: Any) -> Any:
            given = {name: kwargs.pop(name) for name in made}
            return command(given={k: v for k, v in given.items() if v not in (None, [])}, **kwargs)

        rest = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for p in own.values()
            if p.name != "given"
        ]
        signature = inspect.Signature([*made.values(), *rest])
        wrapper.__signature__ = signature  # type: ignore[attr-defined]  # inspect reads it
        wrapper.__annotations__ = {p.name: p.annotation for p in [*made.values(), *rest]}
        wrapper.__doc__, wrapper.__name__ = command.__doc__, command.__name__
        return wrapper

    return decorate


def _parameter(field: Field, hint: Any, positional: bool) -> inspect.Parameter:
    default: Any = field.default
    if field.default_factory is not MISSING:
        default = field.default_factory()
    shown = ",".join(map(str, default)) if isinstance(default, list) else default
    about: dict[str, Any] = {
        "help": _help(field, shown),
        "metavar": field.metadata["metavar"],
        "rich_help_panel": {
            "What": "What to label, with what",
            "How": "How",
            "Where": "Where it runs",
        }[field.metadata["group"]],
    }
    if positional:
        option: Any = typer.Argument(
            help=about["help"], metavar=about["metavar"], show_default=False
        )
    else:
        name = f"--{field.name.replace('_', '-')}"
        if hint is bool:
            name, about["metavar"] = f"{name}/--no-{name[2:]}", None
        option = typer.Option(name, show_default=False, **about)
    kind = hint
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kind = next(a for a in typing.get_args(hint) if a is not type(None))
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _help(field: Field, default: Any) -> str:
    text = field.metadata["help"]
    return text if default in (None, "", 0) else f"{text} Default: {default}."


def former(old: str, new: str) -> typer.models.OptionInfo:
    """An option under its name of 0.1.0: hidden, and with a warning when it is used."""

    def told(value: Any) -> Any:
        if value not in (None, []):
            print(f"{old} is called {new} now; the old name goes in {UNTIL}.", file=sys.stderr)
        return value

    return typer.Option(old, hidden=True, callback=told)
