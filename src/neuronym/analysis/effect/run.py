"""Measures what units of an atlas do to the output, and keeps it in the atlas."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuronym._core.checks import Verbatim, misuse
from neuronym._core.progress import Progress, automatic
from neuronym.analysis.effect import kept
from neuronym.analysis.effect.kept import Effects
from neuronym.analysis.effect.measure import Experiment
from neuronym.analysis.effect.settings import How
from neuronym.analysis.effect.statistics import OUTPUT_COLUMNS, one_output, whole_output
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas, opened
from neuronym.atlas.schema import EffectFacts
from neuronym.atlas.unit import unit_name
from neuronym.atlas.writer import AtlasWriter


def measure_effects(
    atlas: Atlas | str | Path,
    units: str | Sequence[str] = (),
    *,
    layer: str | None = None,
    mode: str = "mean",
    amount: float = How.amount,
    images: int = How.images,
    outputs: int = How.outputs,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
    **sources: Any,
) -> Effects:
    """Change units as the network runs, and measure what happens to its output.

    What was measured like this before is read from the atlas; the rest is measured and kept there,
    block by block, so that a run that was stopped goes on where it was.

    Args:
        atlas: a complete one, or its folder.
        units: such as `layer4:1802`, one or several.
        layer: all units of this layer.
        mode: mean or zero: the unit is ablated, it puts out its mean or 0; steer: it puts out
            `amount` standard deviations more.
        amount: of steering.
        images: exemplars per unit, and random images.
        outputs: how many outputs are tested that fall, and how many that rise.
        seed: of the draw of random images.
        overwrite: measure again what is there.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **sources: target, probe: objects, where the atlas was made from objects rather than names;
            device, workers, cache.

    Returns:
        Those of the units that were asked for.

    Raises:
        UsageError: a unit that is not there, units of the output itself, or another target or probe
            than the atlas was made with.
    """
    atlas = opened(atlas)
    atlas.check_complete()
    how = How(mode, amount, images, outputs, seed)
    wanted: dict[str, list[int]] = {}
    for text in [units] if isinstance(units, str) else units:
        name, unit = unit_name(text)
        wanted.setdefault(name, []).append(unit)
    if layer is not None:
        atlas.check_unit(layer)
        wanted[layer] = list(range(atlas.layers[layer]["units"]))
    for name, chosen in wanted.items():
        for unit in chosen:
            atlas.check_unit(name, unit)
    if not wanted:
        raise misuse("units", "such as layer4:1802, or all of a layer", Verbatim("none"))
    if atlas.imported:
        raise atlas.lacks("network")
    shown = automatic() if progress is None else progress
    context = LabelContext(atlas, progress=shown, **sources)
    for name, chosen in wanted.items():
        there = None if overwrite else kept.read(atlas, name, how)
        old = set() if there is None else set(there.units["unit"])
        missing = [unit for unit in dict.fromkeys(chosen) if unit not in old]
        if missing:
            _measure(context, name, missing, how, there, len(set(chosen) & old))
    atlas = open_atlas(atlas.folder)
    found = []
    for name, chosen in wanted.items():
        effects = kept.read(atlas, name, how)
        assert effects is not None
        found.append(effects.of(list(dict.fromkeys(chosen))))
    return kept.joined(found)


def _measure(
    context: LabelContext,
    layer: str,
    units: Sequence[int],
    how: How,
    there: Effects | None,
    done: int,
) -> None:
    """Measure units of a layer and write them, block by block."""
    started = time.monotonic()
    before = there.facts[layer].seconds if there else 0.0
    experiment = Experiment(context, layer, how)
    images = experiment.images(units)
    pairs = {u: 0 if isinstance(i, str) else len(i[0]) + len(i[1]) for u, i in images.items()}
    each = round(sum(pairs.values()) / max(1, len(units)))
    total = sum(pairs.values()) + done * each
    anew = there is None
    with (
        AtlasWriter.extend(context.atlas.folder) as writer,
        context.progress(f"effect of {layer}", max(1, total)) as tick,
    ):
        if done:
            tick.advance(done * each, instant=True)
        for block in experiment.blocks(units):
            rows: dict[str, list[Any]] = {name: [] for name in kept.schemas()[0].names}
            whole: dict[str, list[Any]] = {name: [] for name in kept.schemas()[1].names}
            able = {unit: i for unit in block if not isinstance(i := images[unit], str)}
            for unit in block:
                if isinstance(lack := images[unit], str):
                    _append(whole, {"layer": layer, "unit": unit, "reason": lack})
            for unit, exemplars, random in experiment.measured(able, tick):
                seen = {"exemplars": len(able[unit][0]), "random": len(able[unit][1])}
                about = {"layer": layer, "unit": unit}
                moved = [part.difference for part in (exemplars, random) if part is not None]
                reason = None
                if not all(np.isfinite(part).all() for part in moved):
                    reason = "the output is not finite for some of its images"
                elif not any(part.any() for part in moved):
                    reason = "the output does not change"
                if reason is not None:
                    _append(whole, about | seen | {"reason": reason})
                    continue
                _append(whole, about | seen | whole_output(exemplars, random))
                named = experiment.names is not None and experiment.what == "logits"
                found = one_output(exemplars, random, how.outputs, named)
                for values in zip(*(found[name] for name in OUTPUT_COLUMNS), strict=True):
                    row: dict[str, Any] = about | dict(zip(OUTPUT_COLUMNS, values, strict=True))
                    name = experiment.names and experiment.names[row["output"]]
                    _append(rows, row | {"class": name})
            facts = EffectFacts(
                layer=layer,
                spec=how.spec,
                outputs=experiment.outputs,
                what=experiment.what,
                pooled=experiment.pooled,
                seconds=round(before + time.monotonic() - started, 3),
            )
            kept.add(writer, facts, how, rows, whole, anew=anew)
            anew = False


def _append(columns: dict[str, list[Any]], row: dict[str, Any]) -> None:
    for name, values in columns.items():
        values.append(row.get(name))
