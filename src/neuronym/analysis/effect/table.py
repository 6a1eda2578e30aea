"""Effects for reading: as tables, and in a sentence about one unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from neuronym._core.errors import NeuronymError
from neuronym._core.tables import MISSING, Column, Table
from neuronym._core.terminal import counted
from neuronym.analysis.effect.kept import Effects, kept
from neuronym.analysis.effect.statistics import ABSENT

if TYPE_CHECKING:
    import pandas as pd

    from neuronym.atlas.reader import Atlas

#: Units of which a table lists every output that changes; of more it has one row per unit.
FEW = 12
_SHOWN = 30
_MEANING = {
    "logits": "the logit of the class (what softmax makes a probability of)",
    "probabilities": "the probability of the class, as the network puts it out",
    "values": "the output of the network",
}


def title_of(row: Mapping[str, Any]) -> str:
    """An output by its class, or by its number."""
    name = row["class"]
    return name if isinstance(name, str) else f"output {row['output']}"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign.

    >>> signed(-2.104), signed(0.5)
    ('−2.10', '+0.50')
    """
    return f"{value:+.{digits}f}".replace("-", "−")


def meaning(effects: Effects) -> str:
    """What the numbers say, in a sentence."""
    number = _MEANING[effects.what]
    if any(one.pooled for one in effects.facts.values()):
        number += ", averaged over positions"
    if effects.how.mode == "steer":
        return f"By how much {number} changes on random images when {effects.how.words}."
    return (
        f"By how much {number} changes on the neuron's exemplars when {effects.how.words}, less "
        "by how much it changes on random images."
    )


def notes(effects: Effects) -> list[str]:
    """What whoever reads effects has to know, in sentences."""
    half = "half of the images" if effects.how.mode == "steer" else "half of the exemplars"
    found = [
        meaning(effects),
        f"Outputs are chosen on {half} and measured on the other half. In simulations at most "
        f"{ABSENT:.0%} of the effects reported were absent, but more where differences are very "
        "skewed (docs/effect.md).",
    ]
    silent = effects.units[effects.units["reason"].notna()]
    for reason, rows in silent.groupby("reason", sort=False):
        some = [f"{row.layer}:{row.unit}" for row in rows.head(5).itertuples()]
        more = f" and {len(rows) - len(some)} more" if len(rows) > len(some) else ""
        found.append(f"Not measured, because {reason}: {', '.join(some)}{more}.")
    return found


def strongest(outputs: pd.DataFrame) -> pd.DataFrame:
    """The reported effects, those that fall first, each side the largest first."""
    rows = outputs[outputs["reported"]]
    falls = rows[rows["difference"] < 0].sort_values("difference", kind="stable")
    rises = rows[rows["difference"] > 0].sort_values("difference", ascending=False, kind="stable")
    import pandas as pd

    return pd.concat([falls, rises])


def in_words(effects: Effects, layer: str, unit: int, count: int = 3) -> str | None:
    """What is known of one unit, in a sentence; None: it was not measured.

    Args:
        effects: of it, among others.
        layer, unit: which.
        count: outputs to name that fall, and that rise.
    """
    whole, outputs = (
        frame[(frame["layer"] == layer) & (frame["unit"] == unit)]
        for frame in (effects.units, effects.outputs)
    )
    if whole.empty:
        return None
    if isinstance(reason := whole["reason"].iloc[0], str):
        return f"What it does to the output was not measured, because {reason}."
    rows = strongest(outputs)
    signs = (rows["difference"] < 0, rows["difference"] > 0)
    named = [
        f"{signed(row['difference'])} on {title_of(row)} "
        f"[{signed(row['low'])}, {signed(row['high'])}]"
        for sign in signs
        for row in rows[sign].head(count).to_dict("records")
    ]
    steer = effects.how.mode == "steer"
    way = f"When {effects.how.words}" if steer else f"Without it ({effects.how.words})"
    if not named:
        return f"{way} no single output was found to change."
    return f"{way}: {', '.join(named)}."


def first_labels(atlas: Atlas) -> dict[tuple[str, int], str]:
    """By layer and unit the first label of the first method, where there is one."""
    if not atlas.methods:
        return {}
    rows = atlas.first_labels(trust=False, abstaining=False)
    return {(row.layer, row.unit): row.concept for row in rows.itertuples()}


def sayings(atlas: Atlas, layer: str, unit: int) -> list[str]:
    """What an atlas holds of one unit's effect: a sentence for each way that it was measured in."""
    try:
        found = [in_words(effects, layer, unit) for effects in kept(atlas, layer)]
    except NeuronymError as error:
        return [str(error)]
    return [said for said in found if said is not None]


def effect_table(effects: Effects, labels: Mapping[tuple[str, int], str]) -> Table:
    """The reported effects of a few units, or of many the largest of each.

    Args:
        effects: of some units.
        labels: by layer and unit its first label, where it has one.
    """
    if len(effects.units) > FEW:
        return _many(effects, labels)
    rows: list[dict[str, Any]] = []
    for own in effects.units.itertuples():
        mine = effects.outputs
        mine = strongest(mine[(mine["layer"] == own.layer) & (mine["unit"] == own.unit)])
        name = {"neuron": f"{own.layer}:{own.unit}", "label": labels.get((own.layer, own.unit))}
        rows += [{**row, **name, "output": title_of(row)} for row in mine.to_dict("records")]
        if mine.empty and not isinstance(own.reason, str):
            rows.append({**name, "output": "no single output was found to change"})
    named = any(isinstance(name, str) for name in effects.outputs["class"])
    columns = [
        Column("neuron"),
        Column("label"),
        Column("output", "class" if named else "output"),
        Column("difference", kind="number", interval=("low", "high")),
    ]
    if effects.how.mode != "steer":
        columns += [
            Column("on_exemplars", kind="number"),
            Column("on_random", "on random images", kind="number"),
        ]
    if effects.outputs["probability"].notna().any():
        columns.append(Column("probability", "change of probability", "percent"))
    how = effects.how.words
    title = f"What {counted(len(effects.units), 'neuron')} do to the output: when {how}"
    if len(effects.units) == 1:
        title = f"What {rows[0]['neuron'] if rows else 'it'} does to the output: when {how}"
    return Table("effect", title, tuple(columns), tuple(rows), tuple(notes(effects)))


def _many(effects: Effects, labels: Mapping[tuple[str, int], str]) -> Table:
    found: list[dict[str, Any]] = []
    units = effects.units[effects.units["reason"].isna()].to_dict("records")
    by_unit = dict(list(strongest(effects.outputs).groupby(["layer", "unit"], sort=False)))
    for own in units:
        key = (own["layer"], own["unit"])
        rows = by_unit.get(key)
        ends = {"falls": MISSING, "rises": MISSING}
        largest = 0.0
        if rows is not None:
            largest = float(rows["difference"].abs().max())
            for side, some in (
                ("falls", rows[rows["difference"] < 0]),
                ("rises", rows[rows["difference"] > 0]),
            ):
                if len(some):
                    row = some.iloc[0].to_dict()
                    ends[side] = f"{title_of(row)} {signed(row['difference'])}"
        name = {"neuron": f"{key[0]}:{key[1]}", "label": labels.get(key)}
        found.append(own | name | ends | {"largest": largest})
    found.sort(key=lambda row: -row["largest"])
    changing = sum(row["largest"] > 0 for row in found)
    shown = found[:_SHOWN]
    columns = [
        Column("neuron"),
        Column("label"),
        Column("falls", "falls most"),
        Column("rises", "rises most"),
        Column("turn", "output turns (degrees)", "number", 1),
        Column("turn_random", "on random images", "number", 1),
    ]
    title = f"What neurons do to the output: when {effects.how.words}"
    said = f"{changing:,} of {len(effects.units):,} neurons change some output"
    more = f"; the {len(shown)} that change one most are listed" if len(found) > len(shown) else ""
    return Table("effect", title, tuple(columns), tuple(shown), (f"{said}{more}.", *notes(effects)))


def facts(effects: Effects, labels: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    """What a script wants to know: how it was measured, and per unit what was found."""
    units = []
    outputs = dict(list(effects.outputs.groupby(["layer", "unit"], sort=False)))
    for own in effects.units.to_dict("records"):
        rows = outputs.get((own["layer"], own["unit"]))
        records: Sequence[Any] = []
        if rows is not None:
            records = rows.drop(columns=["layer", "unit"]).to_dict("records")
        label = labels.get((own["layer"], own["unit"]))
        units.append(own | {"label": label, "outputs": records})
    return {
        "how": asdict(effects.how),
        "layers": {layer: one.to_data() for layer, one in effects.facts.items()},
        "notes": notes(effects),
        "units": units,
    }
