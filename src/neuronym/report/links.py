"""Units that feed units, for people: a table per pair of layers, and the way back from a unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuronym._core.tables import Column, Table
from neuronym._core.terminal import counted

if TYPE_CHECKING:
    import pandas as pd

    from neuronym.atlas.reader import Atlas
    from neuronym.atlas.schema import LinkFacts

#: Links of a target that are shown, and targets of a pair of layers.
WIDTH, TARGETS = 4, 20
_ABLATED = {"mean": "set to its mean", "zero": "set to 0"}
_COLUMNS = (
    Column("neuron"),
    Column("label"),
    Column("confidence", kind="percent", digits=0),
    Column("fed_by"),
    Column("sign"),
    Column("fed_by_label", "its label"),
    Column("fed_by_confidence", "its confidence", kind="percent", digits=0),
    Column("effect", kind="percent", digits=0, interval=("effect_low", "effect_high")),
    Column("check"),
    Column("correlation", kind="number"),
    Column("weight", kind="number"),
)


def sign_of(row: Mapping[str, Any]) -> str:
    """`+`: the source drives the target up, `−`: down, `?`: unknown.

    By the ablation, else by correlation and weights where they agree, or where only one is known.
    """
    if known := _signs(row, "slope") or _signs(row, "correlation", "gain"):
        return known.pop() if len(known) == 1 else "?"
    return "?"


def _signs(row: Mapping[str, Any], *names: str) -> set[str]:
    values = [row.get(name) for name in names]
    return {"+" if v > 0 else "−" for v in values if v is not None and v == v and v != 0}


def check_of(row: Mapping[str, Any]) -> str:
    """What ablation said of a link."""
    confirmed = row.get("confirmed")
    if confirmed is None or confirmed != confirmed:
        return "could not be measured" if row.get("checked") else "not checked"
    return "confirmed" if confirmed else "not confirmed"


class Names:
    """What units are called: their class where they stand for one, else their label.

    Args:
        atlas: any.
        method: whose labels. None: the first method's.
    """

    def __init__(self, atlas: Atlas, method: str | None = None) -> None:
        self._atlas, self._found = atlas, {}
        for row in atlas.first_labels(method=method).to_dict("records"):
            known = not row["abstained"] and isinstance(row["concept"], str)
            said, sure = row["concept"] if known else None, row.get("confidence")
            sure = sure if known and sure is not None and sure == sure else None
            self._found[row["layer"], int(row["unit"])] = said, sure

    def of(self, layer: str, unit: int) -> tuple[str | None, float | None]:
        """A unit's name and the confidence of it; of a class there is none. None: no label."""
        own = self._atlas.class_names(layer).get(unit)
        return (own, None) if own is not None else self._found.get((layer, unit), (None, None))


@dataclass(frozen=True)
class Way:
    """A unit, the link through which it feeds the one before it, and what feeds it."""

    layer: str
    unit: int
    label: str | None
    confidence: float | None
    link: Mapping[str, Any] | None
    fed_by: tuple[Way, ...]

    @property
    def name(self) -> str:
        """`layer4:1802`."""
        return f"{self.layer}:{self.unit}"

    @property
    def equation(self) -> str | None:
        """`wheel + window → car`: the labelled units that feed it most. None: there are none."""
        parts = [(sign_of(way.link or {}), way.label) for way in self.fed_by if way.label]
        if not parts:
            return None
        text = " ".join(f"{sign} {label}" for sign, label in parts).removeprefix("+ ")
        return f"{text} → {self.label or self.name}"

    def to_data(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "neuron": self.name,
            "label": self.label,
            "confidence": self.confidence,
            "equation": self.equation,
            **({} if self.link is None else {"sign": sign_of(self.link), **self.link}),
            "fed_by": [way.to_data() for way in self.fed_by],
        }


def way_back(
    atlas: Atlas,
    layer: str,
    unit: int,
    depth: int = 3,
    *,
    width: int = WIDTH,
    method: str | None = None,
) -> Way:
    """A unit and what feeds it, layer by layer towards the image, as far as links are known.

    Links that ablation did not confirm are left out.

    Args:
        atlas: with links.
        layer, unit: where to begin.
        depth: through how many layers.
        width: how many units are followed from the first, and half as many from each further.
        method: whose labels. None: the first method's.

    Raises:
        UsageError: no links lead to the unit's layer.
    """
    names, before = Names(atlas, method), {}
    links = [(facts.from_layer, facts.to_layer) for facts in atlas.shown.links.values()]
    order = list(atlas.layers)

    def feeding(target: str) -> pd.DataFrame | None:
        if target not in before:
            # Of several layers that links come from, the one nearest to the target.
            nearest = max((a for a, b in links if b == target), key=order.index, default=None)
            before[target] = None if nearest is None else atlas.links(nearest, target)
        return before[target]

    def go(layer: str, unit: int, link: Mapping[str, Any] | None, left: int) -> Way:
        frame, below = feeding(layer) if left else None, []
        # Narrower further back: else nobody reads it.
        most = width if link is None else max(1, width // 2)
        for row in () if frame is None else _of(frame, unit, most):
            below.append(go(row["from_layer"], int(row["from_unit"]), _facts(row), left - 1))
        return Way(layer, unit, *names.of(layer, unit), link, tuple(below))

    atlas.check_unit(layer, unit)
    if feeding(layer) is None:
        atlas.links(to_layer=layer)  # says how to get them
    return go(layer, unit, None, depth)


def _of(frame: pd.DataFrame, unit: int, width: int) -> list[dict[str, Any]]:
    """The first links of a target that ablation does not speak against."""
    rows = frame[(frame["to_unit"] == unit) & (frame["confirmed"] != False)]  # noqa: E712
    return rows.sort_values("rank").head(width).to_dict("records")


def _facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a link is, without its ends."""
    ends = ("from_layer", "from_unit", "to_layer", "to_unit")
    return {name: value for name, value in row.items() if name not in ends}


def way_lines(way: Way) -> list[str]:
    """The way back as a tree of lines."""
    return [_line(way), *_below(way, "")]


def _below(way: Way, indent: str) -> Iterator[str]:
    for place, one in enumerate(way.fed_by):
        last = place == len(way.fed_by) - 1
        yield f"{indent}{'└─' if last else '├─'} {_line(one)}"
        yield from _below(one, f"{indent}{'   ' if last else '│  '}")


def _line(way: Way) -> str:
    said = f"“{way.label}”" if way.label else "no label"
    sure = "" if way.confidence is None else f" ({way.confidence:.0%} sure)"
    if way.link is None:
        return f"{way.name} {said}{sure}"
    link, parts = way.link, []
    if check_of(link) == "confirmed":
        ends = f"[{link['effect_low']:.0%}, {link['effect_high']:.0%}]"
        parts.append(f"effect {link['effect']:.0%} {ends}")
    else:
        parts.append(check_of(link))
    if link["correlation"] == link["correlation"]:
        parts.append(f"r {link['correlation']:.2f}")
    return f"{sign_of(link)} {way.name} {said}{sure}  {', '.join(parts)}"


def links_table(
    atlas: Atlas,
    from_layer: str,
    to_layer: str,
    *,
    targets: int | None = TARGETS,
    width: int = WIDTH,
    method: str | None = None,
) -> Table:
    """What feeds the units of a layer: those with the surest links first.

    Args:
        atlas: with links of this pair of layers.
        from_layer, to_layer: the pair.
        targets: how many units of `to_layer`. None: all.
        width: how many links of each. Those that ablation did not confirm are left out.
        method: whose labels. None: the first method's.
    """
    names, frame = Names(atlas, method), atlas.links(from_layer, to_layer)
    rest = frame[frame["confirmed"] != False]  # noqa: E712
    rest = rest[rest["rank"] <= rest.groupby("to_unit")["rank"].transform("min") + width - 1]
    sure = rest["effect"].abs().where(rest["confirmed"] == True, 0).fillna(0)  # noqa: E712
    best = (
        rest.assign(_sure=sure)
        .groupby("to_unit")[["_sure", "strength"]]
        .max()
        .sort_values(["_sure", "strength"], ascending=False, kind="stable")
    )
    shown = list(best.index[:targets])
    rows = []
    for unit in shown:
        mine = rest[rest["to_unit"] == unit].sort_values("rank").to_dict("records")
        for row in mine:
            label, confidence = names.of(to_layer, int(unit))
            other, other_confidence = names.of(from_layer, int(row["from_unit"]))
            rows.append(
                {
                    "neuron": f"{to_layer}:{unit}",
                    "label": label,
                    "confidence": confidence,
                    "fed_by": f"{from_layer}:{row['from_unit']}",
                    "sign": sign_of(row),
                    "fed_by_label": other,
                    "fed_by_confidence": other_confidence,
                    "check": check_of(row),
                    **_facts(row),
                }
            )
    facts = atlas.shown.links[f"{from_layer} to {to_layer}"]
    left = len(best) - len(shown)
    notes = link_notes(facts)
    if left > 0:
        notes.append(f"{counted(left, 'further unit')} of {to_layer} not shown: -n {len(best)}.")
    title = f"What feeds {to_layer}, from {from_layer}"
    name = f"links-{from_layer}-{to_layer}"
    return Table(name, title, _COLUMNS, tuple(rows), tuple(notes))


def link_notes(facts: LinkFacts) -> list[str]:
    """How the links of a pair of layers were found, and how many hold."""
    settings = facts.settings
    notes = [
        f"Correlation over {counted(facts.images, 'image')}: {facts.significant:,} of "
        f"{counted(facts.pairs, 'pair')} of units correlate more than with permuted images "
        f"(q ≤ {settings['fdr']:g}); of each target the {settings['keep']} strongest are kept, and "
        f"as many by weight: {facts.listed:,} links.",
        facts.no_weights
        or "Weights: the network between the layers taken for linear; ReLU and other activations "
        "count as if they let everything pass, max pooling as the mean.",
    ]
    if not facts.checked:
        return [*notes, "None was checked by ablation, so none is known to be a cause: --check N."]
    return [
        *notes,
        f"{facts.checked:,} of them were checked by ablation (the source "
        f"{_ABLATED[settings['ablate']]}; up to {settings['exemplars']} exemplars of the target "
        f"against {settings['others']} random images): {facts.confirmed:,} hold. Effect: the share "
        "of what sets the exemplars apart for the target that goes away without the source. Sign: "
        "+ the source drives the target up, − down, ? where correlation and weights disagree.",
    ]


def pair_data(
    atlas: Atlas, pairs: Sequence[tuple[str, str]], method: str | None = None
) -> list[dict[str, Any]]:
    """All links of pairs of layers, with the names of both ends, as JSON-able data."""
    names, found = Names(atlas, method), []
    for pair in pairs:
        facts = atlas.shown.links[f"{pair[0]} to {pair[1]}"]
        rows = []
        for row in atlas.links(*pair).to_dict("records"):
            ends: dict[str, Any] = {}
            for end in ("from", "to"):
                label, confidence = names.of(row[f"{end}_layer"], int(row[f"{end}_unit"]))
                ends |= {f"{end}_label": label, f"{end}_confidence": confidence}
            rows.append({**row, "sign": sign_of(row), **ends})
        found.append({**facts.to_data(), "notes": link_notes(facts), "links": rows})
    return found
