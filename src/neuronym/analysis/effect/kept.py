"""Effects in an atlas: two tables per layer and way of measuring, written and read."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuronym._core import storage
from neuronym._core.errors import NeuronymError
from neuronym._core.registry import parse
from neuronym.analysis.effect.settings import How
from neuronym.analysis.effect.statistics import FDR, intervals, reported
from neuronym.atlas.reader import Atlas
from neuronym.atlas.schema import EffectFacts, effect_files, effect_key
from neuronym.atlas.writer import AtlasWriter

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@functools.cache
def schemas() -> tuple[pa.Schema, pa.Schema]:
    """Arrow schemas: of what units do to single outputs, and to the output as a whole."""
    import pyarrow as pa

    unit = [("layer", pa.string()), ("unit", pa.int32())]
    numbers = ("difference", "on_exemplars", "on_random", "probability", "error", "freedom", "p")
    whole = ("turn", "turn_random", "turn_p", "norm", "norm_random", "flips", "flips_random")
    return (
        pa.schema(
            [
                *unit,
                ("output", pa.int32()),
                ("class", pa.string()),
                ("side", pa.string()),
                *((name, pa.float64()) for name in numbers),
            ]
        ),
        pa.schema(
            [
                *unit,
                ("exemplars", pa.int32()),
                ("random", pa.int32()),
                ("reason", pa.string()),
                *((name, pa.float64()) for name in whole),
            ]
        ),
    )


@dataclass(frozen=True, eq=False)
class Effects:
    """What units do to the output of their network.

    Attributes:
        how: what was done to them.
        facts: by layer about the measurement, of the manifest.
        outputs: layer, unit, output, class, side, difference, low, high, p, q, reported,
            on_exemplars, on_random, probability; see docs/effect.md.
        units: layer, unit, exemplars, random, reason, and what changes in the output as a whole.
    """

    how: How
    facts: Mapping[str, EffectFacts]
    outputs: pd.DataFrame
    units: pd.DataFrame

    @property
    def what(self) -> str:
        """The numbers that the network puts out: logits, probabilities or values."""
        return next(iter(self.facts.values())).what

    def of(self, units: Sequence[int]) -> Effects:
        """Those of some units of the one layer, in that order; q and intervals stay."""
        import pandas as pd

        parts = []
        for frame in (self.outputs, self.units):
            rows = [frame[frame["unit"] == unit] for unit in units]
            parts.append(pd.concat(rows, ignore_index=True) if rows else frame.head(0))
        return Effects(self.how, self.facts, *parts)


def joined(parts: Sequence[Effects]) -> Effects:
    """Effects of several layers, measured alike."""
    import pandas as pd

    facts = {layer: one for part in parts for layer, one in part.facts.items()}
    outputs = pd.concat([part.outputs for part in parts], ignore_index=True)
    units = pd.concat([part.units for part in parts], ignore_index=True)
    return Effects(parts[0].how, facts, outputs, units)


def kept(atlas: Atlas, layer: str) -> list[Effects]:
    """All effects that an atlas holds of a layer, those measured by the defaults first."""
    found = [facts for facts in atlas.manifest.effects.values() if facts.layer == layer]
    ways = [How.from_name(parse(facts.spec, "effect")) for facts in found]
    order = {how.id: place for place, how in enumerate((How(), How("zero"), How("steer")))}
    ways.sort(key=lambda how: order.get(how.id, len(order)))
    return [effects for how in ways if (effects := read(atlas, layer, how)) is not None]


def read(atlas: Atlas, layer: str, how: How) -> Effects | None:
    """What an atlas holds of a layer, measured like this; None: nothing."""
    facts = atlas.manifest.effects.get(effect_key(layer, how.id))
    if facts is None:
        return None
    frames = []
    for file, schema in zip(effect_files(layer, how.id), schemas(), strict=True):
        try:
            frames.append(storage.read_table(atlas.folder / file).cast(schema).to_pandas())
        except (OSError, ValueError) as error:
            raise NeuronymError(
                f"{atlas.folder / file} is damaged or missing. Make it again with `neuronym effect "
                f"{atlas.folder} --all {layer} --mode {how.mode} --overwrite`."
            ) from error
    outputs, units = frames
    q, level = reported(outputs["p"].to_numpy())
    moved, spread, freedom = (outputs[k].to_numpy() for k in ("difference", "error", "freedom"))
    low, high = intervals(moved, spread, freedom, level)
    outputs = outputs.assign(low=low, high=high, q=q, reported=q <= FDR)
    order = ["layer", "unit", "output", "class", "side", "difference", "low", "high", "p", "q"]
    rest = ["reported", "on_exemplars", "on_random", "probability"]
    return Effects(how, {layer: facts}, outputs[[*order, *rest]], units)


def add(
    writer: AtlasWriter,
    facts: EffectFacts,
    how: How,
    outputs: Mapping[str, Sequence[Any]],
    units: Mapping[str, Sequence[Any]],
    *,
    anew: bool,
) -> None:
    """Write rows of some units beside those that are there, and enter them in the manifest.

    Args:
        writer: of the atlas.
        facts, how: about the measurement.
        outputs, units: columns of the tables.
        anew: in place of what is there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = effect_files(facts.layer, how.id)
    for file, schema, rows in zip(files, schemas(), (outputs, units), strict=True):
        table = pa.table(dict(rows), schema=schema)
        if not anew:
            there = storage.read_table(writer.folder / file).cast(schema)
            table = pa.concat_tables([there, table])
        table = table.sort_by([("unit", "ascending")])
        with storage.atomic_write(writer.folder / file) as out:
            pq.write_table(table, out, compression="zstd")
    key = effect_key(facts.layer, how.id)
    effects = writer.manifest.effects | {key: facts}
    writer.finish(f"effect {key}", files, effects=effects)
