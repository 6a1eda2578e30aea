"""`neuronym calibrate`: from features that a label is right to a probability."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuronym._core import progress
from neuronym._core.terminal import command, printable
from neuronym.cli.options import (
    TRUTHS,
    JsonOption,
    MatchOption,
    MatchSynonymsOption,
    MethodOption,
    QuietOption,
    former,
    listed,
)
from neuronym.cli.output import aside, print_files, print_json

if TYPE_CHECKING:
    from neuronym.analysis.trust.calibration import Calibration


_TRUTHS = TRUTHS.replace("the atlas", "each atlas")


def calibrate(
    atlases: Annotated[
        list[str],
        typer.Argument(metavar="ATLAS…", help="Atlases whose units to fit on.", show_default=False),
    ],
    truth: Annotated[str, typer.Option(metavar="TRUTH", help=_TRUTHS)] = "classes",
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
    features: Annotated[
        str | None,
        typer.Option(
            metavar="S,…",
            show_default=False,
            help="What to judge by: fit, fit_margin, margin, crowding (the default), clarity, lead,"
            " positive, chance, stability.",
        ),
    ] = None,
    signs: Annotated[str | None, former("--signs", "--features")] = None,
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
    synonyms: MatchSynonymsOption = None,
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

      neuronym calibrate demo-atlas --truth truth.csv --match lemma --features fit,margin,stability
    """
    from neuronym.analysis.trust import calibration
    from neuronym.atlas.reader import open_atlas
    from neuronym.report import reliability_sheet
    from neuronym.report.figures import check_format, save

    if figure is not None:
        check_format(figure)
    with aside():
        made = calibration.calibrate(
            [open_atlas(path) for path in atlases],
            truth,
            tests=[open_atlas(path) for path in test or ()],
            features=listed(features or signs) or calibration.DEFAULT_FEATURES,
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
        reliability = {name: found.to_json() for name, found in made.named.items()}
        print_json({"calibrator": made.calibrator.to_json(), "reliability": reliability})
        return
    if not quiet:
        _print_calibrated(made)
    print_files({"Calibrator": out, "Figure": figure}, quiet)
    if out is not None and not quiet:
        print("Next:")
        print(printable(f"  {command()} trust {atlases[0]} confidence:calibrator={out}"))


def _print_calibrated(made: Calibration) -> None:
    from neuronym._core.tables import print_table
    from neuronym.report import reliability_sheet

    print_table(reliability_sheet.table(made.named))
    weights = zip(made.calibrator.features, made.calibrator.coefficients, strict=True)
    print("Weights of the features: " + ", ".join(f"{n} {w:+.2f}" for n, w in weights))
    print(printable(made.calibrator.caveat))
