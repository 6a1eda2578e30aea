"""`neuronym calibrate`: from signs that a label is right to a probability."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from neuronym._core.terminal import command, printable
from neuronym.cli.evaluating import MatchOption, SynonymsOption
from neuronym.cli.inspecting import MethodOption
from neuronym.cli.output import JsonOption, QuietOption, print_json

_TRUTH = (
    "classes (unit i of the output layer is class i), annotations (people's, in each atlas), or a "
    "ground-truth file (.csv)."
)


def calibrate(
    atlases: Annotated[
        list[str],
        typer.Argument(metavar="ATLAS…", help="Atlases whose units to fit on.", show_default=False),
    ],
    truth: Annotated[str, typer.Option(metavar="TRUTH", help=_TRUTH)] = "classes",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where to write the calibrator: .json.", show_default=False
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ATLAS",
            show_default=False,
            help="An atlas that has no part in the fit, to see how well it does there. Again for "
            "more.",
        ),
    ] = None,
    signs: Annotated[
        str | None,
        typer.Option(
            metavar="S,…",
            show_default=False,
            help="What to judge by: fit, fit_margin, margin, crowding (the default), clarity, lead,"
            " positive, chance, stability.",
        ),
    ] = None,
    isotonic: Annotated[
        bool,
        typer.Option(
            "--isotonic/--logistic",
            help="Whether a rising function corrects what the logistic model says.",
        ),
    ] = True,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="What atlases record as their calibrator. Default: that of --out.",
        ),
    ] = None,
    method: MethodOption = None,
    match: MatchOption = "exact",
    synonyms: SynonymsOption = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of folds and intervals.")] = 0,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw reliability diagrams: .png, .svg or .pdf."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit the probability that a label is right, on units of known truth.

    Use it with `neuronym trust ATLAS confidence:calibrator=FILE`. It is tried on units that had no
    part in the fit: of the same atlases, of each atlas by the others, and of --test.

    Examples:

      neuronym calibrate demo-atlas --truth annotations --out mine.json

      neuronym calibrate lite0 lite1 lite2 --test squeezenet --figure reliability.png

      neuronym calibrate demo-atlas --truth truth.csv --match lemma --signs fit,margin,stability
    """
    from neuronym._core import progress
    from neuronym.analysis.trust.calibration import DEFAULT_SIGNS
    from neuronym.analysis.trust.calibration import calibrate as fit
    from neuronym.atlas.reader import open_atlas
    from neuronym.report import reliability_sheet
    from neuronym.report.figures import check_format, save

    if figure is not None:
        check_format(figure)
    chosen = [part.strip() for part in signs.split(",")] if signs else DEFAULT_SIGNS
    with contextlib.redirect_stdout(sys.stderr):  # what models print is no result of ours
        made = fit(
            [open_atlas(path) for path in atlases],
            truth,
            tests=[open_atlas(path) for path in test or ()],
            signs=chosen,
            isotonic=isotonic,
            name=name or (out.stem if out else "calibrator"),
            seed=seed,
            method=method,
            match=match,
            synonyms=synonyms,
            progress=progress.automatic(quiet),
        )
    if out is not None:
        made.calibrator.save(out)
    if figure is not None:
        save(reliability_sheet.draw(made.named), figure)
    if json:
        print_json(
            {
                "calibrator": made.calibrator.to_json(),
                "reliability": {name: found.to_json() for name, found in made.named.items()},
            }
        )
        return
    if not quiet:
        from neuronym._core.tables import print_table

        print_table(reliability_sheet.table(made.named))
        weights = zip(made.calibrator.signs, made.calibrator.coefficients, strict=True)
        print("Weights of the signs: " + ", ".join(f"{n} {w:+.2f}" for n, w in weights))
        print(printable(made.calibrator.caveat))
    for what, path in (("Calibrator", out), ("Figure", figure)):
        if path is not None:
            print(printable(str(path) if quiet else f"{what}: {path}"))
    if out is not None and not quiet:
        print("Next:")
        print(printable(f"  {command()} trust {atlases[0]} confidence:calibrator={out}"))
