"""What an atlas shows, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from neuronym._core.errors import NeuronymError
from neuronym._core.tables import Table
from neuronym.atlas import schema
from neuronym.inputs.probes.subsets import sentences as told
from neuronym.report.categories import MEASURED
from neuronym.report.plots.base import Selection, numbered
from neuronym.report.statement import sure, why_unknown
from neuronym.report.summary import embeds, score_text
from neuronym.similarity.base import open_similarity


def part(some: int, total: int) -> str:
    """`1,210 (82 %)`, `5 (0.5 %)`; without the share where there is nothing to share."""
    share = 100 * some / total if total else 0.0
    return f"{some:,} ({share:.{1 if 0 < share < 1 else 0}f} %)" if total else f"{some:,}"


def lead(seen: Selection) -> Iterator[str]:
    """The sentences that say most: what was labelled, what stands, how sure, what is frequent."""
    rows = pd.concat(seen.best.values())
    layers = numbered(len(seen.layers), "layer")
    target = seen.atlas.shown.target
    random = " with random weights" if not target["pretrained"] else ""
    source = "was" if len(rows) == 1 else "were"
    source += " read from files" if seen.atlas.imported else " labelled"
    yield (
        f"{numbered(len(rows), 'neuron')} in {layers} of {target['name']}{random} {source} "
        f"as {seen.method}{_from(seen)}."
    )
    yield confident(seen, rows)
    yield chance(seen, rows)
    named = rows[~rows["abstained"]]
    if len(named):
        counts = named["concept"].value_counts()
        top = sorted(counts.index[counts == counts.iloc[0]])[0]
        text = f"The labelled neurons have {numbered(len(counts), 'different label')}"
        text += (
            f"; the most frequent is “{top}”, on {part(int(counts.iloc[0]), len(named))} of them"
        )
        scores = named["score"].dropna()
        text += f"; the median score is {score_text(scores.median())}." if len(scores) else "."
        yield text
    yield from _trust(named)


def _from(seen: Selection) -> str:
    manifest = seen.atlas.shown
    if seen.atlas.imported:
        return ""
    words = f" and {manifest.concepts.count:,} words" if embeds(seen.atlas, seen.method) else ""
    return f", from {manifest.probe.images:,} images{words}"


def confident(seen: Selection, rows: pd.DataFrame) -> str:
    """How many labels one can rely on, or why that is not known."""
    why = why_unknown(seen.atlas, seen.method)
    if why is not None:
        return why
    known = rows["confidence"].dropna()
    if known.empty:
        return "No label has a confidence."
    said = f"{part(sure(rows), len(rows))} of the labels have a confidence of at least 50 %"
    return f"{said}; the highest is {known.max():.0%}."


def chance(seen: Selection, rows: pd.DataFrame) -> str:
    """How many neurons have a label, and how many scores beat chance."""
    total, named = len(rows), int(rows["concept"].notna().sum())
    said = f"Of {numbered(total, 'neuron')}, {part(named, total)} have a label."
    if "significance" not in seen.atlas.analyses(seen.method):
        return said
    key = schema.analysis_id("significance", seen.method)
    fdr = seen.atlas.shown.analyses[key]["fdr"]
    beyond = int(rows["significant"].eq(True).sum())
    rest = " The others abstain." if seen.atlas.only_significant else ""
    return (
        f"{said} The scores of {part(beyond, total)} beat chance at a false-discovery rate of "
        f"{100 * fdr:g} %: they are higher than what the same search finds where there is nothing "
        f"to find.{rest}"
    )


def _trust(named: pd.DataFrame) -> Iterator[str]:
    """Medians of what analyses found about the labels that stand."""
    middle = {
        name: float(named[name].median())
        for name in ("stability", "confidence")
        if name in named and named[name].notna().any()
    }
    if "stability" in middle:
        yield (
            f"With the images drawn anew, the middle one of these neurons keeps its label in "
            f"{100 * middle['stability']:.0f} % of the draws."
        )
    if "confidence" in middle:
        yield (
            "The calibrated probability that the label is right is "
            f"{100 * middle['confidence']:.0f} % for the middle one."
        )


def right(accuracy: Table, seen: Selection) -> Iterator[str]:
    """How many labels are right, of the view's method."""
    for row in accuracy.rows:
        known = row["total"] - row["non_interpretable"]
        if row["method"] != seen.method or row["layer"] not in seen.layers or not known:
            continue
        low, high = (100 * row[f"top1_share_{end}"] for end in ("low", "high"))
        beyond = ""
        if row["significant"]:
            right, some = row["top1_significant"], row["significant"]
            beyond = f" Of the {numbered(some, 'neuron')} that beat chance, for {right:,}."
        yield (
            f"In {row['layer']} the first label is right for {row['top1']:,} of {known:,} neurons "
            f"of known meaning ({100 * row['top1_share']:.1f} %, 95 % interval {low:.1f} to "
            f"{high:.1f}), and one of the first five for {row['top5']:,} "
            f"({100 * row['top5_share']:.1f} %).{beyond}"
        )


def caveats(seen: Selection, drawn: set[str]) -> Iterator[str]:
    """What a reader must know before relying on the labels.

    Args:
        seen: what the report is about.
        drawn: names of the figures in it.
    """
    atlas, manifest = seen.atlas, seen.atlas.shown
    facts: Any = manifest.methods.get(seen.method, {})
    probe, words = manifest.probe, manifest.concepts.count
    if facts.get("baseline"):
        yield f"{seen.method} is a baseline: its labels are there to be beaten, not believed."
    embedded = embeds(atlas, seen.method)
    if not atlas.imported and embedded:
        yield (
            f"Every neuron gets the best of {words:,} words; one that responds to what no word "
            "names gets the nearest word."
        )
    if not atlas.imported:
        yield (
            f"Labels describe responses to {probe['images']:,} images of {probe['name']}. What "
            "these do not show cannot be found."
        )
    yield from told(probe.to_data())
    if "significance" in atlas.analyses(seen.method):
        yield (
            "Beating chance means that images that the neuron responds to have something in common "
            "that a word describes. It does not mean that the word is the right one."
        )
    yield from atlas.caveats(seen.method)
    if _layer_prior(facts):
        yield (
            "A score depends on the other neurons of the layer (they say how frequent a concept "
            "is), so scores of different layers should not be compared number by number."
        )
    if not manifest.target.pretrained:
        yield "The network has random weights: its neurons still see colour and contrast."
    if probe["skipped"]:
        yield f"{numbered(len(probe['skipped']), 'image')} could not be read and were left out."
    if "categories" in drawn:
        yield (
            "What kind of thing a label names is itself guessed, unless labels are names of the "
            f"probe's annotations: {MEASURED}."
        )
    if seen.truth is not None:
        yield (
            "Labels were matched with the truth exactly, but for case and underscores: “car” for "
            "“automobile” counts as wrong. `neuronym evaluate --match synonyms` is milder."
        )
    encoder = manifest.encoder.note if embedded else None
    yield from filter(None, (manifest.target.note, encoder, facts.get("note")))


def _layer_prior(facts: dict[str, Any]) -> bool:
    try:
        return (
            "with_defaults" in facts
            and getattr(open_similarity(facts["with_defaults"]), "prior", "") == "layer"
        )
    except NeuronymError:
        return False
