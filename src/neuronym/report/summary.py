"""An atlas and its neurons in words."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pandas as pd

from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import add_row, command, console, counted, duration, printable
from neuronym.analysis.effect.table import sayings
from neuronym.atlas.statement import leading
from neuronym.extraction.pooling import grouped, in_words
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.given import describe
from neuronym.inputs.probes.subsets import sentences
from neuronym.report.highlights import doubtful, rare, surest_of_layers
from neuronym.report.statement import (
    evidence,
    findings,
    kin,
    sure,
    why_unknown,
    word_families,
)

if TYPE_CHECKING:
    from neuronym.atlas.reader import Atlas
    from neuronym.atlas.unit import Unit


#: Columns of the table of layers that come from analyses, and what they mean.
_MEANING = {
    "confident": "sure: confidence of 50% or more",
    "median_confidence": "confidence and stability: medians",
    "by_chance": "by chance: scores no higher than a search over all words finds by chance",
}
_FURTHER = {
    "confident": "sure",
    "median_confidence": "confidence",
    "median_stability": "stability",
    "by_chance": "by chance",
}


def facts(atlas: Atlas, method: str | None = None) -> dict[str, Any]:
    """What a script wants to know of an atlas and one method; default: the first."""
    method = atlas.method(method)
    manifest, labels = atlas.shown, atlas.first_labels(method=method)
    top = top_scoring(labels, 8).to_dict("records")
    layers = []
    for name, layer in atlas.layers.items():
        rows = labels[labels["layer"] == name]
        if rows.empty:  # not labelled by this method
            continue
        active = rows[~rows["abstained"]]
        layers.append(
            {
                "layer": name,
                "units": layer["units"],
                "labelled": len(active),
                "abstained": int(rows["abstained"].sum()),
                "median_score": None
                if active["score"].isna().all()
                else float(active["score"].median()),
                "distinct_labels": int(active["concept"].nunique()),
                **_trusted(rows),
            }
        )
    return {
        "atlas": str(atlas.folder),
        "target": manifest.target.name,
        "probe": manifest.probe.name,
        "images": manifest.probe.images,
        "skipped": manifest.probe.skipped,
        "chosen": sentences(manifest.probe.to_data()),
        "duplicates": manifest.probe.duplicates,
        "concepts": manifest.concepts.name,
        "encoder": manifest.encoder.name,
        "input": network_input(atlas),
        "pooling": pooling(atlas),
        "method": method,
        "methods": {name: facts.to_data() for name, facts in manifest.methods.items()},
        "layers": layers,
        "confidence_unknown": why_unknown(atlas, method),
        "caveats": atlas.caveats(method),
        "notes": manifest.notes,
        "top_scoring": top,
        "striking": top,  # the name until 0.3
    }


def notes(atlas: Atlas, about: Any, found: dict[str, Any]) -> list[str]:
    """What to know before relying on labels: of the network's input, the encoder, the method."""
    seen = embeds(atlas, found["method"]) and not about.get("encoder")
    encoder = atlas.shown.encoder.note if seen else None
    copies = atlas.shown.probe.about_copies()
    own = (copies, atlas.shown.target.note, encoder, about.get("note"))
    return [note for note in (*found["chosen"], *own, *found["notes"], *found["caveats"]) if note]


def network_input(atlas: Atlas) -> str | None:
    """What the network saw and who says so, in words; None: not known."""
    target = atlas.shown.target
    if target.preprocess is None:
        return None
    words = describe(Preprocess.from_dict(target.preprocess))
    return f"{words} ({target.preprocess_origin})" if target.preprocess_origin else words


def pooling(atlas: Atlas) -> str | None:
    """How each layer's output became one number per image and unit; None: not known."""
    if atlas.imported:
        return None
    facts = atlas.shown.target.layers
    return grouped(
        {f["layer"]: in_words(f["pool"], f["layout"], f["prefix_tokens"]) for f in facts}
    )


def _trusted(rows: pd.DataFrame) -> dict[str, Any]:
    """What analyses found about a layer: `by_chance`: units that do not beat chance, …"""
    found: dict[str, Any] = {}
    if "q" in rows:
        found["by_chance"] = int(rows["significant"].eq(False).sum())
    if "confidence" in rows:
        found["confident"] = sure(rows)
    for name in ("stability", "confidence"):
        if name in rows:
            known = rows[name].dropna()
            found[f"median_{name}"] = float(known.median()) if len(known) else None
    return found


def trust_text(found: dict[str, float]) -> str:
    """`Unit.trust` in a few words, the confidence first.

    >>> trust_text({"p": 0.0002, "q": 0.013, "stability": 0.93, "confidence": 0.4})
    'confidence 40%, stability 93%, q = 0.013'
    """
    shares = [f"{name} {found[name]:.0%}" for name in ("confidence", "stability") if name in found]
    return ", ".join(shares + ([f"q = {found['q']:.2g}"] if "q" in found else []))


def score_text(score: float) -> str:
    """A score with two decimals, or two digits where that would hide it; – where there is none.

    >>> score_text(0.418), score_text(-0.00213), score_text(0.0)
    ('0.42', '-0.0021', '0')
    """
    if score != score:
        return "–"
    return f"{score:.2f}" if abs(score) >= 0.1 else f"{score:.2g}"


def top_scoring(labels: pd.DataFrame, count: int, by: str = "score") -> pd.DataFrame:
    """Units worth a look: high scores, spread over the layers, no label twice in one."""
    active = labels[~labels["abstained"]].sort_values(by, ascending=False, kind="stable")
    active = active.drop_duplicates(["layer", "concept"])
    layers = list(dict.fromkeys(labels["layer"]))
    each = -(-count // max(len(layers), 1))
    # The deepest layer first: its neurons are the easiest to judge.
    return pd.concat(
        [active[active["layer"] == layer].head(each) for layer in reversed(layers)],
        ignore_index=True,
    )[["layer", "unit", "concept", "score"]]


def print_method(atlas: Atlas, method: str) -> None:
    """What one method found: layers and top-scoring neurons."""
    out, found = console(), facts(atlas, method)
    units = counted(sum(layer["units"] for layer in found["layers"]), "neuron")
    out.print(f"{units} of {found['target']} labelled by {method}.\n", style="bold")
    _print_layers(out, found)
    about = atlas.shown.methods[method]
    if not about.get("baseline"):
        _print_top(out, atlas, found, method)
    for note in (about.get("note"), *found["caveats"]):
        if note:
            out.print(f"Note: {note}", style="dim")


def _print_layers(out: Any, found: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(box=None)
    further = [n for n in _FURTHER if any(n in layer for layer in found["layers"])]
    known = "confident" in further  # the score says less than that, and the table is wide enough
    table.add_column("layer", overflow="fold", min_width=min(20, max(map(_width, found["layers"]))))
    headings = ["neurons", "labelled", "abstained", *([] if known else ["median score"])]
    for heading in [*headings, "different labels", *(_FURTHER[name] for name in further)]:
        table.add_column(heading, justify="right", overflow="fold")
    for layer in found["layers"]:
        median = layer["median_score"]
        add_row(
            table,
            layer["layer"],
            f"{layer['units']:,}",
            f"{layer['labelled']:,}",
            f"{layer['abstained']:,}",
            *([] if known else ["–" if median is None else score_text(median)]),
            f"{layer['distinct_labels']:,}",
            *(_further(layer.get(name)) for name in further),
        )
    out.print(table)
    if meant := [text for name, text in _MEANING.items() if name in further]:
        out.print(f"({'; '.join(meant)})", style="dim")


def _width(layer: dict[str, Any]) -> int:
    return len(layer["layer"])


def _further(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0%}" if isinstance(value, float) else f"{value:,}"


def option(atlas: Atlas, method: str) -> str:
    """What a command needs to speak of a method: ` --method M`; nothing for the first one."""
    return "" if method == atlas.methods[0] else f" --method {shlex.quote(method)}"


def _by(atlas: Atlas, method: str, found: dict[str, Any]) -> str:
    """From what a method made its labels."""
    about = atlas.shown.methods[method]
    if source := about.get("format") or atlas.imported:
        return f"from {source} files, as {method}; {counted(found['images'], 'image')} listed."
    skipped = f", {len(found['skipped']):,} unreadable skipped" if found["skipped"] else ""
    if (copies := len(atlas.copies) if atlas.shown.probe.duplicates else 0) > 0:
        skipped = f", {copies:,} {'copy' if copies == 1 else 'copies'} left out{skipped}"
    said = [f"{counted(found['images'], 'image')} ({found['probe']}{skipped})"]
    if embeds(atlas, method):
        words = counted(atlas.shown.concepts.count or 0, "word")
        said.append(f"{words} ({found['concepts']})")
        said.append(about.get("encoder") or found["encoder"])
    said.append(about["with_defaults"] if "similarity" in about else about.method)
    return f"by {', '.join(said)}."


def embeds(atlas: Atlas, method: str) -> bool:
    """Whether a method reads embeddings of images and words; of one's own it is taken so."""
    labeller = atlas.shown.methods[method].labeller
    if labeller == "clip-dissect":  # without importing all of them
        return True
    from neuronym.labelling.base import LABELLERS

    known: list[Any] = [entry.make for entry in LABELLERS if entry.name == labeller]
    return not known or "embeddings" in known[0].needs


def examinable(atlas: Atlas, method: str, analysis: str) -> bool:
    """Whether an analysis can examine a method's labels."""
    from neuronym.analysis.trust.base import open_analysis
    from neuronym.atlas.context import LabelContext

    try:
        open_analysis(analysis).check(LabelContext(atlas), method)
    except NeuronymError:
        return False
    return True


def _some_analysis(atlas: Atlas, method: str) -> bool:
    from neuronym.analysis.trust.base import ANALYSES

    return any(examinable(atlas, method, entry.name) for entry in ANALYSES)


def print_summary(atlas: Atlas, seconds: float | None = None, method: str | None = None) -> None:
    """Layers, top-scoring neurons, where things are, what to do next.

    Args:
        atlas: which.
        seconds: that it took to make.
        method: whose labels; None: the first method's.
    """
    from rich.text import Text

    method = atlas.method(method)
    out, found = console(), facts(atlas, method)
    about, named = atlas.shown.methods[method], option(atlas, method)
    took = f" in {duration(seconds)}" if seconds is not None else ""
    units = counted(sum(layer["units"] for layer in found["layers"]), "neuron")
    random = "" if atlas.shown.target.pretrained else " (random weights)"
    out.print()
    by = f" by {method}" if len(atlas.methods) > 1 else ""
    out.print(
        Text(f"{units} of {found['target']}{random} labelled{by}{took}", style="bold"),
        Text(_by(atlas, method, found) + "\n"),
        sep="\n",
    )
    if seconds is None:  # else the header of the run has said so
        for name, words in (("Input", network_input(atlas)), ("Pooling", pooling(atlas))):
            if words:
                out.print(Text(f"{name}: {words}."))
        out.print()
    _print_layers(out, found)
    _print_top(out, atlas, found, method)
    for note in notes(atlas, about, found):
        out.print(f"Note: {note}", style="dim")
    first = next(iter(surest_of_layers(atlas, 8, method) or found["top_scoring"]), None)
    out.print(f"\nThe atlas is in {found['atlas']}/ (Parquet tables, see docs/atlas-format.md).")
    if first:
        place, name = (
            shlex.quote(text) for text in (found["atlas"], f"{first['layer']}:{first['unit']}")
        )
        word, call = shlex.quote(first["concept"]), command()
        out.print("Next:")
        for more in (
            f"serve {place}",
            f"show {place} {name} --figure neuron.png{named}",
            f"search {place} {word}{named}",
            f"trust {place}{named}",
        )[: 4 if not atlas.analyses(method) and _some_analysis(atlas, method) else 3]:
            out.print(f"  {call} {more}", style="cyan")


def _print_top(out: Any, atlas: Atlas, found: dict[str, Any], method: str | None = None) -> None:
    from rich.table import Table

    chosen = atlas.method(method)
    known = surest_of_layers(atlas, 8, method)
    rows = known or found["top_scoring"]
    if not rows:
        return
    labels = atlas.labels(method=method)
    title = "The surest labels" if known else "Top-scoring neurons"
    table = Table(title=title, title_justify="left", box=None, title_style="bold")
    table.add_column("neuron", overflow="fold")
    table.add_column("label", style="bold")
    for heading in (["confidence"] if known else []) + ["score"]:
        table.add_column(heading, justify="right")
    table.add_column("next labels")
    for row in rows:
        same = labels[(labels["layer"] == row["layer"]) & (labels["unit"] == row["unit"])]
        own = atlas.class_names(row["layer"]).get(row["unit"])
        name = f"{row['layer']}:{row['unit']}" + (f" (class {own})" if own else "")
        rest = ", ".join(same["concept"][(same["rank"] > 1) & (same["rank"] <= 4)])
        confidence = [f"{row['confidence']:.0%}"] if known else []
        add_row(table, name, row["concept"], *confidence, score_text(row["score"]), rest)
    out.print()
    out.print(table)
    for sentence in filter(None, (rare(atlas, chosen), doubtful(atlas, chosen)) if known else ()):
        out.print(printable(sentence), markup=False, highlight=False)
    if why := why_unknown(atlas, chosen, str(atlas.folder)):
        out.print(why)


def unit_facts(unit: Unit, method: str | None = None) -> dict[str, Any]:
    """What a script wants to know of one neuron; default: by the first method."""
    chosen = unit.atlas.method(method)
    return {
        "layer": unit.layer,
        "unit": unit.index,
        "method": chosen,
        "facts": unit.facts,
        "labels": unit.labels(method).to_dict("records"),
        "trust": unit.trust(method),
        "evidence": evidence(unit.atlas, chosen, findings(unit, chosen)),
        "confidence_unknown": why_unknown(unit.atlas, chosen, str(unit.atlas.folder)),
        "exemplars": unit.exemplars().to_dict("records"),
        "effects": sayings(unit.atlas, unit.layer, unit.index),
    }


def print_unit(unit: Unit, method: str | None = None) -> None:
    """One neuron: facts, labels, exemplars."""
    from rich.table import Table

    method = unit.atlas.method(method)
    out, row = console(), unit.facts
    own = f", the neuron of class {unit.class_name!r}" if unit.class_name else ""
    out.print(f"{unit.name} of {unit.atlas.shown.target.name}{own}", style="bold")
    out.print(
        f"Imported from {unit.atlas.imported} files, which hold no activations\n"
        if unit.atlas.imported
        else f"activation {row['min']:.3g} … {row['max']:.3g}, mean {row['mean']:.3g}, positive on "
        f"{row['positive']:.0%} of the images\n"
    )
    labels, trust = unit.labels(method), unit.trust(method)
    if labels.empty:
        out.print(f"{method} has not labelled {unit.layer}.\n", style="yellow")
    elif labels["abstained"].iloc[0]:
        out.print(f"No label: {labels['reason'].iloc[0]}.\n", style="yellow")
    else:
        words = [labels["concept"].iloc[0], *kin(word_families(unit.atlas), labels["concept"])]
        out.print(leading(" · ".join(words), trust.get("confidence")), style="bold")
        why = unit.atlas.caveats(method) if "confidence" in trust else []
        for note in (
            *why,
            *filter(None, [why_unknown(unit.atlas, method, str(unit.atlas.folder))]),
        ):
            out.print(note, style="dim")
        for sentence in evidence(unit.atlas, method, findings(unit, method)):
            out.print(f"· {sentence}")
        out.print()
    if labels["concept"].notna().any():  # also of a unit that abstains because of an analysis
        stands = not labels["abstained"].iloc[0]
        title = f"Labels by {method}" if stands else f"What {method} would have said"
        style = "" if stands else "dim"
        out.print(title, style="italic")  # the table's own would be folded to its width
        table = Table(box=None, style=style)
        further = list(labels.columns[5:])
        for heading in ("rank", "label", "score", *further):
            table.add_column(heading, justify="left" if heading == "label" else "right")
        for entry in labels.to_dict("records"):
            values = (entry[column] for column in further)
            rest = (score_text(v) if isinstance(v, float) else str(v) for v in values)
            add_row(table, str(entry["rank"]), entry["concept"], score_text(entry["score"]), *rest)
        out.print(table)
    for sentence in sayings(unit.atlas, unit.layer, unit.index):
        out.print(f"\n{sentence}", markup=False, highlight=False)
    exemplars = unit.exemplars()
    if len(exemplars):
        table = Table(title="Highest activating images", title_justify="left", box=None)
        for heading in ("rank", "image", "activation"):
            table.add_column(heading, justify="left" if heading == "image" else "right")
        for entry in exemplars.itertuples():
            known = entry.activation == entry.activation  # not NaN, as in imported atlases
            shown = f"{entry.activation:.4g}" if known else "–"
            add_row(table, str(entry.rank), entry.image_id, shown)
        out.print()
        out.print(table)
