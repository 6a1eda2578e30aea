"""Adds links to an atlas: units that feed units, pair of layers by pair of layers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neuronym._core.checks import choice, integer, misuse
from neuronym._core.progress import Progress, automatic
from neuronym.analysis.links.ablation import EXEMPLARS, LEAST, OTHERS, Ablations
from neuronym.analysis.links.correlation import correlate, strongest
from neuronym.analysis.links.weights import Followed, NoPathError, Paths, explained, strength
from neuronym.atlas import schema
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas, opened
from neuronym.atlas.unit import unit_name
from neuronym.atlas.writer import AtlasWriter

#: How many links are checked before what was found is written.
_ROUND = 50
#: A correlation, and an effect, counts from this q on.
FDR = 0.05
#: Of each unit on the way back from one, so many links are checked and followed.
WIDTH = 4
ABLATIONS = ("mean", "zero")


@dataclass(frozen=True)
class LinkSettings:
    """What decides which links are found.

    Attributes:
        keep: sources that are kept of each target unit by correlation, and as many by weight.
        ablate: what stands in place of an ablated unit: its `mean` or `zero`.
        seed: of permutations and random images.
    """

    keep: int = 10
    ablate: str = "mean"
    seed: int = 0

    def __post_init__(self) -> None:
        integer("keep", self.keep, 1)
        integer("seed", self.seed, 0)
        choice("ablate", self.ablate, ABLATIONS)

    def to_data(self) -> dict[str, Any]:
        """As the manifest holds it, with what is fixed."""
        fixed = {"exemplars": EXEMPLARS, "others": OTHERS, "least": LEAST, "fdr": FDR}
        return asdict(self) | fixed


def link(
    atlas: Atlas | str | Path,
    from_layer: str | None = None,
    to_layer: str | None = None,
    *,
    check: int = 200,
    seconds: float | None = None,
    of: str | None = None,
    depth: int = 3,
    keep: int = 10,
    ablate: str = "mean",
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
    **context: Any,
) -> Atlas:
    """Find units that feed units: by correlation, by the weights between them, and by ablation.

    What is there already with the same settings is not made again; further links are checked until
    `check` of each pair of layers are.

    Args:
        atlas: a complete one, or its folder.
        from_layer, to_layer: names of layers. None: all neighbouring pairs in network order; of
            one alone, its pair with the neighbour.
        check: how many links of each pair of layers are checked by ablation, the strongest first.
        seconds: no further round of checks begins after so long. None: no limit.
        of: a unit such as `fc:207`: only links on the ways back from it are checked, through
            `depth` layers.
        keep, ablate, seed: see `LinkSettings`.
        overwrite: make them again.
        progress: display for long work; default: a bar on a terminal, lines elsewhere.
        **context: target, probe, encoder: objects, where the atlas was made from objects rather
            than names; device, workers, cache.

    Returns:
        The atlas with links: `atlas.links()`, `unit.fed_by()`, `unit.feeds()`.

    Raises:
        UsageError: a wrong name, an atlas that is not complete, or one with a single layer.
        NeuronymError: the network or the images are not there. What was finished before stays.
    """
    settings = LinkSettings(keep, ablate, seed)
    integer("check", check, 0)
    atlas = opened(atlas)
    atlas.check_complete()
    if atlas.imported:
        raise atlas.lacks("activations")
    shown = automatic() if progress is None else progress
    root = None if of is None else unit_name(of)
    pairs = layer_pairs(atlas, from_layer, to_layer)
    if root is not None:
        if from_layer or to_layer:
            raise misuse("of", "given without a layer that links come from or lead to", of)
        atlas.check_unit(*root)
        pairs = _ways(atlas, root[0], depth)
    look = _Look(LabelContext(atlas, progress=shown, **context), settings)
    until = None if seconds is None else time.monotonic() + seconds
    units = None if root is None else [root[1]]
    with AtlasWriter.extend(atlas.folder) as writer:
        for pair in pairs:
            frame = _found(writer, look, pair, overwrite)
            frame = _checked(writer, look, pair, frame, check, until, units)
            units = None if units is None else _fed_by(frame, units)
    return open_atlas(atlas.folder)


def layer_pairs(atlas: Atlas, source: str | None, target: str | None) -> list[tuple[str, str]]:
    """The pairs of layers that are looked at, in network order.

    Raises:
        UsageError: an unknown layer, a source behind its target, or a layer without a neighbour.
    """
    layers = list(atlas.layers)
    for layer in filter(None, (source, target)):
        atlas.check_unit(layer)
    neighbours = list(pairwise(layers))
    if source and target:
        if layers.index(source) >= layers.index(target):
            raise misuse(
                "from", f"a layer before {target}, in the order {', '.join(layers)}", source
            )
        return [(source, target)]
    found = [(a, b) for a, b in neighbours if source in (None, a) and target in (None, b)]
    if not found:
        which = f"a layer behind {source}" if source else f"a layer before {target}"
        raise misuse(
            "layers",
            f"the atlas to have {which if source or target else 'two layers at least'}",
            ", ".join(layers),
            "Make an atlas of more layers with `neuronym dissect --layers`.",
        )
    return found


def _ways(atlas: Atlas, layer: str, depth: int) -> list[tuple[str, str]]:
    """The pairs of layers on the way back from one, the last first."""
    layers = list(atlas.layers)
    place = layers.index(layer)
    if not place:
        raise misuse("of", f"a unit of a layer behind {layer}", layer, "Nothing lies before it.")
    low = max(0, place - integer("depth", depth, 1))
    return [(layers[n - 1], layers[n]) for n in range(place, low, -1)]


class _Look:
    """The atlas's context, and its network followed once."""

    def __init__(self, context: LabelContext, settings: LinkSettings) -> None:
        self.context, self.settings = context, settings
        self._followed: Followed | NoPathError | None = None

    @property
    def rows(self) -> np.ndarray:
        """Rows of images in the order of their content, of equal ones the first."""
        hashes, order = self.context.images["content_hash"].to_numpy(), self.context.by_content
        fresh = np.ones(len(order), bool)
        fresh[1:] = hashes[order[1:]] != hashes[order[:-1]]
        return order[fresh]

    def paths(self, source: str, target: str) -> Paths:
        """Raises: NoPathError: there are none."""
        sources = self.context.sources
        if self._followed is None:
            try:
                self._followed = Followed(sources.target)
            except NoPathError as error:
                self._followed = error
        if isinstance(self._followed, NoPathError):
            raise self._followed
        plans = {plan.info.name: plan for plan in sources.plans}
        return self._followed.between(plans[source], plans[target], self.context.progress)


def _found(
    writer: AtlasWriter, look: _Look, pair: tuple[str, str], overwrite: bool
) -> pd.DataFrame:
    """The links of a pair of layers, found now or before."""
    key = schema.links_id(*pair)
    facts = writer.manifest.links.get(key)
    wanted = look.settings.to_data()
    if facts and facts.settings == wanted and writer.has(f"links {key}") and not overwrite:
        return look.context.atlas.links(*pair)
    started, (source, target) = time.monotonic(), pair
    context, rows = look.context, look.rows
    found = correlate(
        context.activations(source),
        context.activations(target),
        rows,
        seed=look.settings.seed,
        progress=context.progress,
    )
    no_weights, paths = None, None
    try:
        paths = look.paths(source, target)
    except NoPathError as error:
        no_weights = explained(error, source, target)
    frame = _table(look, pair, found, paths)
    facts = schema.LinkFacts(
        from_layer=source,
        to_layer=target,
        settings=wanted,
        pairs=int(np.isfinite(found.r).sum()),
        images=len(rows),
        permutations=found.permutations,
        significant=int((found.q <= FDR).sum()),
        listed=len(frame),
        no_weights=no_weights,
        seconds=round(time.monotonic() - started, 3),
    )
    _write(writer, pair, frame, facts)
    return frame


def _table(look: _Look, pair: tuple[str, str], found: Any, paths: Paths | None) -> pd.DataFrame:
    """The strongest links of every target unit."""
    keep, certain = look.settings.keep, found.q <= FDR
    size = np.where(certain, np.abs(found.r), 0)
    chosen, scores = strongest(size, keep), size
    if paths is not None:
        spread = look.context.statistics(pair[0])["std"]
        way = strength(paths, spread)
        alive = ~look.context.statistics(pair[1])["dead"].to_numpy(bool)
        chosen |= strongest(way * alive, keep)
        most = way.max(0, initial=0)
        scores = (size + np.divide(way, most, out=np.zeros_like(way), where=most > 0)) / 2
    targets, sources = np.nonzero(chosen.T)
    frame = pd.DataFrame(
        {
            "from_layer": pair[0],
            "from_unit": sources.astype(np.int32),
            "to_layer": pair[1],
            "to_unit": targets.astype(np.int32),
            "rank": np.int32(0),
            "strength": scores[sources, targets].astype(np.float32),
            "correlation": found.r[sources, targets],
            "correlation_q": found.q[sources, targets].astype(np.float32),
            "weight": np.float32("nan"),
            "gain": np.float32("nan"),
            "checked": False,
        }
    )
    if paths is not None:
        frame["weight"] = paths.norm[sources, targets]
        frame["gain"] = paths.gain[sources, targets]
    for name in ("effect", "effect_low", "effect_high", "effect_p", "effect_q", "slope"):
        frame[name] = np.float32("nan")
    frame["confirmed"] = pd.Series([None] * len(frame), dtype=object)
    return _ranked(frame)


def _checked(
    writer: AtlasWriter,
    look: _Look,
    pair: tuple[str, str],
    frame: pd.DataFrame,
    budget: int,
    until: float | None,
    units: Sequence[int] | None,
) -> pd.DataFrame:
    """The links with the strongest ones checked, written round by round."""
    key, measure = schema.links_id(*pair), None
    # On a way back each pair of layers has its own budget, whatever was checked before.
    left = budget - (int(frame["checked"].sum()) if units is None else 0)
    while until is None or time.monotonic() < until:
        wanted = _next(frame, left, units)
        left -= len(wanted)
        if not len(wanted):
            break
        started = time.monotonic()
        if measure is None:
            how = (look.settings.ablate, look.settings.seed)
            measure = Ablations(look.context, *pair, *how)
        rows = wanted[["from_unit", "to_unit"]].itertuples(index=False)
        effects = measure([(int(a), int(b)) for a, b in rows])
        for name, values in (
            ("effect", effects.effect),
            ("effect_low", effects.low),
            ("effect_high", effects.high),
            ("effect_p", effects.p),
            ("slope", effects.slope),
        ):
            frame.loc[wanted.index, name] = values.astype(np.float32)
        frame.loc[wanted.index, "checked"] = True
        frame = _ranked(_judged(frame))
        facts = writer.manifest.links[key]
        facts.checked, facts.confirmed = int(frame["checked"].sum()), _sure(frame)
        facts.seconds = round(facts.seconds + time.monotonic() - started, 3)
        _write(writer, pair, frame, facts)
    return frame


def _next(frame: pd.DataFrame, left: int, units: Sequence[int] | None) -> pd.DataFrame:
    """The links that are checked next; none when the budget is used up.

    Targets by their strongest link, of each the strongest `WIDTH` before those of the next, so that
    what feeds a target is known as a whole; further ones of each come after all of these.
    """
    by_strength = frame.sort_values("strength", ascending=False, kind="stable")
    by_target = by_strength.groupby("to_unit", sort=False)
    place = by_target.cumcount() // WIDTH
    best = -by_target["strength"].transform("max")
    order = by_strength.iloc[np.lexsort((by_strength["to_unit"], best, place))]
    if units is not None:  # on a way back: what would be followed, until all of it is checked
        mine = frame[frame["to_unit"].isin(units) & (frame["confirmed"] != False)]  # noqa: E712
        order = mine.sort_values("rank", kind="stable").groupby("to_unit").head(WIDTH)
    return order[~order["checked"]].head(max(0, min(left, _ROUND)))


def _fed_by(frame: pd.DataFrame, units: Sequence[int]) -> list[int]:
    """The units that feed some units most."""
    rows = frame[frame["to_unit"].isin(units) & (frame["confirmed"] != False)]  # noqa: E712
    first = rows.sort_values("rank", kind="stable").groupby("to_unit").head(WIDTH)
    return sorted(set(first["from_unit"].tolist()))


def _judged(frame: pd.DataFrame) -> pd.DataFrame:
    """With q-values over all that is checked, and what they confirm."""
    from scipy.stats import false_discovery_control

    p = frame["effect_p"].to_numpy(np.float64)
    tested = np.isfinite(p)
    q = np.full(len(p), np.nan)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    confirmed: list[bool | None] = [bool(value <= FDR) if value == value else None for value in q]
    return frame.assign(effect_q=q.astype(np.float32), confirmed=pd.Series(confirmed, dtype=object))


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """Target by target: confirmed links by their effect, then those not checked, then the rest."""
    confirmed = frame["confirmed"]
    group = np.select([confirmed == True, confirmed == False], [0, 2], 1)  # noqa: E712
    size = np.where(group == 0, frame["effect"].abs(), frame["strength"])
    ordered = frame.assign(_group=group, _size=-size.astype(np.float64)).sort_values(
        ["to_unit", "_group", "_size", "from_unit"], kind="stable"
    )
    ordered["rank"] = (ordered.groupby("to_unit").cumcount() + 1).astype(np.int32)
    return ordered.drop(columns=["_group", "_size"]).reset_index(drop=True)


def _sure(frame: pd.DataFrame) -> int:
    return int((frame["confirmed"] == True).sum())  # noqa: E712


def _write(
    writer: AtlasWriter, pair: tuple[str, str], frame: pd.DataFrame, facts: schema.LinkFacts
) -> None:
    import pyarrow as pa

    columns = {name: pa.array(frame[name], from_pandas=True) for name in frame}
    columns["confirmed"] = pa.array(frame["confirmed"].tolist(), pa.bool_())
    file = writer.table(schema.links_file(*pair), "links", columns)
    key = schema.links_id(*pair)
    writer.finish(f"links {key}", [file], links=writer.manifest.links | {key: facts})
