"""Adds analyses of labels to an atlas."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.progress import Progress, automatic
from neuronym.analysis.families import add_families
from neuronym.analysis.trust.base import ANALYSES, Analysis, open_analysis
from neuronym.atlas import schema
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas, opened
from neuronym.atlas.writer import AtlasWriter


def analyse(
    atlas: Atlas | str | Path,
    analyses: str | Sequence[str | Analysis] | None = None,
    *,
    method: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **context: Any,
) -> Atlas:
    """Examine how far the labels of a method can be trusted; what is found goes into the atlas.

    An analysis that is there already with the same parameters is not made again. Analyses that
    another one reads are run before it, and those that read a new one again after it.

    Args:
        atlas: a complete one, or its folder.
        analyses: names such as `significance:sets=2000`, or objects. None: all that can examine
            the method's labels, but those that are run by name only (`Analysis.default`).
        method: a method-id or another name of a method. None: the first one.
        overwrite: make them again.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **context: target, probe, encoder: objects, where the atlas was made from objects rather
            than names; device, workers, cache.

    Returns:
        The atlas with what was found: `atlas.trust("bootstrap")`, columns of `atlas.labels()`.

    Raises:
        UsageError: a wrong name, or an atlas that is not complete.
        NeuronymError: something an analysis needs is missing. What was finished before stays.
    """
    atlas = opened(atlas)
    atlas.check_complete()
    shown = automatic() if progress is None else progress
    chosen, look = atlas.method(method), LabelContext(atlas, progress=shown, **context)
    asked = [analyses] if isinstance(analyses, str) else analyses
    given = [open_analysis(a) for a in asked or ()]
    refused: dict[str, NeuronymError] = {}
    if asked is None:
        given, refused = _able(look, chosen)
    names = [analysis.name for analysis in given]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise misuse("analyses", "different ones", Verbatim(f"{twice[0]} twice"))
    wanted = in_order(given)
    wanted += _readers(atlas, chosen, wanted)
    for analysis in wanted:
        analysis.check(look, chosen)
    atlas = add_families(look)
    new: set[str] = set()
    for analysis in wanted:
        there = _there(atlas, analysis.name, chosen)
        named = analysis.name in {one.name for one in given}
        same = not named or (not overwrite and there and there.spec == analysis.spec)
        if there and same and not new & set(analysis.after):
            continue
        new.add(analysis.name)
        try:
            _add(LabelContext(atlas, progress=shown, **context), analysis, chosen)
        except UsageError as error:  # only now it is seen that the method cannot be examined so
            if asked is not None:
                raise
            refused[analysis.name] = error
        atlas = open_atlas(atlas.folder)
    if asked is None:
        _note(atlas, chosen, refused)
    return atlas


def _there(atlas: Atlas, analysis: str, method: str) -> schema.AnalysisFacts | None:
    """What the manifest says of an analysis, if its file is there and as large as it was."""
    key = schema.analysis_id(analysis, method)
    whole = AtlasWriter(atlas.folder, atlas.manifest).has(f"trust {key}")
    return atlas.manifest.analyses.get(key) if whole else None


def _readers(atlas: Atlas, method: str, wanted: Sequence[Analysis]) -> list[Analysis]:
    """The analyses of a method that are there and read wanted ones: new findings change theirs."""
    names = {analysis.name for analysis in wanted}
    entries = atlas.manifest.analyses
    there = [entries[schema.analysis_id(name, method)] for name in atlas.analyses(method)]
    others = []
    for entry in there:
        # Of an older version it may have parameters that are no more: it reads nothing new then.
        with contextlib.suppress(UsageError):
            others.append(open_analysis(entry.spec))
    return [a for a in others if a.name not in names and names & set(a.after)]


def _able(context: LabelContext, method: str) -> tuple[list[Analysis], dict[str, NeuronymError]]:
    """Those of the analyses run by default that do not refuse the method, and why the others do.

    Raises:
        UsageError, NeuronymError: all refuse; says why.
    """
    found: list[Analysis] = []
    refusals: dict[str, NeuronymError] = {}
    for analysis in (open_analysis(entry.name) for entry in ANALYSES):
        if not analysis.default:
            continue
        try:
            for needed in in_order([analysis]):
                needed.check(context, method)
            found.append(analysis)
        except NeuronymError as error:
            refusals[analysis.name] = error
    if not found:
        raise next(iter(refusals.values()))
    return found, refusals


def _note(atlas: Atlas, method: str, refusals: Mapping[str, NeuronymError]) -> None:
    """Keep in the atlas why analyses could not be made: it is shown in place of their numbers."""
    said = {schema.analysis_id(name, method): str(error) for name, error in refusals.items()}
    others = {k: v for k, v in atlas.manifest.refused.items() if not k.endswith(f" of {method}")}
    if atlas.manifest.refused != others | said:
        with AtlasWriter.extend(atlas.folder) as writer:
            writer.note(refused=others | said)
        atlas.manifest.refused = others | said


def in_order(analyses: Sequence[Analysis]) -> list[Analysis]:
    """The analyses, each after those that it reads; what is lacking comes with its defaults."""
    given = {analysis.name: analysis for analysis in analyses}
    found: dict[str, Analysis] = {}

    def add(name: str) -> None:
        analysis = given.get(name) or open_analysis(name)
        for earlier in analysis.after:
            add(earlier)
        found.setdefault(name, analysis)

    for name in given:
        add(name)
    return list(found.values())


def _add(context: LabelContext, analysis: Analysis, method: str) -> None:
    """Run one analysis over all layers that the method has labelled, and write its file."""
    import pyarrow as pa

    atlas, started = context.atlas, time.monotonic()
    layers = atlas.labelled_layers(method)
    with AtlasWriter.extend(atlas.folder) as writer:
        found = analysis.run(context, method, layers)
        file = schema.trust_file(analysis.name, method)
        parts = {
            layer: {"layer": [layer] * context.units(layer), "unit": range(context.units(layer))}
            | {name: pa.array(values, from_pandas=True) for name, values in columns.items()}
            for layer, columns in found.layers.items()
        }
        writer.join(file, "trust", layers, parts, ())
        key = schema.analysis_id(analysis.name, method)
        more = dict(found.facts)
        entry = schema.AnalysisFacts(
            analysis=analysis.name,
            method=method,
            spec=analysis.spec,
            layers=layers,
            seconds=round(time.monotonic() - started, 3),
            caveat=more.pop("caveat", None),
            more=more,
        )
        entries = writer.manifest.analyses | {key: entry}
        writer.finish(f"trust {key}", [file], analyses=entries)
