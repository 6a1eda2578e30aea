"""What is wrong with a table of an atlas that cannot be read, and how it is repaired."""

from __future__ import annotations

from pathlib import Path

from neuronym._core.errors import NeuronymError


def unreadable(folder: Path, file: str, error: Exception) -> NeuronymError:
    """What to raise where a table is damaged or not there.

    Args:
        folder: of the atlas.
        file: of the table, relative to it.
        error: what reading it gave.
    """
    path = folder / file
    if (kind := path.parent.name) in ("trust", "links"):
        analysis, _, method = path.name.removesuffix(".parquet").partition(".")
        more = f" {analysis} --method {method}" if kind == "trust" else ""
        return NeuronymError(
            f"{path} is damaged or missing. Make it again with `neuronym {kind} "
            f"{folder}{more} --overwrite`."
        )
    if not isinstance(error, FileNotFoundError):
        return NeuronymError(
            f"{path} is damaged ({str(error).splitlines()[0]}). "
            "Repair the atlas: run its `neuronym dissect` command again with --resume, or, "
            "for labels that were added, `neuronym label` with --overwrite."
        )
    return NeuronymError(
        f"{folder} has no {file}: the run did not get that far. "
        "Run the same `neuronym dissect` command again to go on."
    )
