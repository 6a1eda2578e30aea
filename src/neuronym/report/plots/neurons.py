"""Single neurons: one sheet, and three examples of right, wrong and no label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from neuronym._core.errors import NeuronymError
from neuronym.analysis.evaluation.judging import judge
from neuronym.report.figures import COLOURS, FAINT, INK, new, shown
from neuronym.report.plots.base import FIGURES, Selection, short, title
from neuronym.report.statement import leads
from neuronym.report.summary import score_text, top_scoring
from neuronym.report.unit_sheet import draw as sheet
from neuronym.report.unit_sheet import draw_exemplar

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


#: Images of each example, as many as the published study shows.
IMAGES = 10
_LABELS = 6


class Example(NamedTuple):
    """A neuron, and what it is an example of."""

    heading: str
    layer: str
    unit: int
    truth: str


@FIGURES.register("neuron")
def neuron(seen: Selection) -> Figure:
    """One neuron's highest activating images, labels and scores (--unit, --images)."""
    if seen.unit is not None:
        chosen = seen.atlas[seen.unit]
    else:
        labels = pd.concat(seen.best.values())
        best = top_scoring(labels, 1, leads(labels))
        if best.empty:
            raise NeuronymError("No neuron is labelled: name the one to draw with --unit.")
        chosen = seen.atlas[best["layer"].iloc[0], int(best["unit"].iloc[0])]
    return sheet(chosen, seen.images, method=seen.method)


@FIGURES.register("examples")
def examples(seen: Selection) -> Figure:
    """Three neurons with their images and labels: right, wrong, and none that can be derived."""
    found = list(chosen(seen))
    if not found:
        raise NeuronymError("The chosen layers have no neuron to show.")
    figure = new(figsize=(12, 2.95 * len(found) + 0.5), layout="constrained", dpi=120)
    for part, example in zip(
        figure.subfigures(len(found), 1, squeeze=False).flat, found, strict=True
    ):
        _strip(part, seen, example)
    by = leads(pd.concat(seen.best.values()))
    note = seen.truth_note if seen.truth is not None else f"chosen by {by}: no truth was given"
    title(figure, f"Examples of neurons, {seen.target}", note)
    return figure


def chosen(seen: Selection) -> Iterator[Example]:
    """The neurons to show; with a truth it decides, else the confidence, or the score without one.

    With a truth: the highest score whose first label is right; the highest with no right label
    among the first five; the highest of those in which people saw nothing in common, else one that
    abstains. Without: the surest, the middle one, and one that abstains, else the least sure.
    """
    rows = pd.concat(seen.best.values())
    by = leads(rows)
    rows = _highest_first(rows, by)
    named, silent = rows[~rows["abstained"]], rows[rows["abstained"]]
    if seen.truth is None:
        last, none = ("No label", silent) if len(silent) else (f"Lowest {by}", named.tail(1))
        middle = named.iloc[(len(named) - 1) // 2 :]
        picks = {f"Highest {by}": named, f"Middle {by}": middle, last: none}
        words: dict = {}
    else:
        picks, words = _by_truth(seen, silent)
    there = set()
    for heading, some in picks.items():
        for row in some.head(1).itertuples():
            if (row.layer, row.unit) not in there:
                there.add((row.layer, row.unit))
                truth = ", ".join(words.get((row.layer, row.unit), ())[:2])
                yield Example(heading, row.layer, int(row.unit), truth)


def _by_truth(seen: Selection, silent: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], dict]:
    """Right, wrong and other units, best first; and by unit the words of the truth."""
    evaluation = seen.evaluation()
    (units,), _notes = judge(evaluation)
    units = _highest_first(units[units["layer"].isin(seen.layers)])
    sure = units[units["interpretable"] & ~units["abstained"]]
    picks = {"Right": sure[sure["rank"] == 1], "Wrong": sure[sure["rank"] == 0]}
    blank = units[~units["interpretable"]]
    picks |= {"No label can be derived": blank} if len(blank) else {"No label": silent}
    words = {(row.layer, row.unit): row.labels for row in evaluation.known.frame.itertuples()}
    return picks, words


def _highest_first(rows: pd.DataFrame, by: str = "score") -> pd.DataFrame:
    return rows.sort_values(by, ascending=False, kind="stable", na_position="last")


def _strip(part: SubFigure, seen: Selection, example: Example) -> None:
    """One neuron: its heading, two lines of images, its labels as bars."""
    unit = seen.atlas[example.layer, example.unit]
    halves: Any = part.subfigures(1, 2, width_ratios=(1.45, 1))
    left, right = halves
    truth = f" (truth: {shown(example.truth, 40)})" if example.truth else ""
    part.suptitle(
        f"{example.heading}: {short(unit.name, 40)}{truth}",
        x=0.01,
        ha="left",
        fontsize=10.5,
        color=INK,
        fontweight="bold",
    )
    exemplars = unit.exemplars().head(IMAGES)
    for place, axes in enumerate(left.subplots(2, IMAGES // 2).flat):
        axes.set_axis_off()
        axes.set_box_aspect(1)
        if place < len(exemplars):
            draw_exemplar(axes, unit, exemplars.iloc[place])
    _labels(right.subplots(), unit.labels(seen.method).head(_LABELS))


def _labels(axes: Axes, labels: pd.DataFrame) -> None:
    axes.set_frame_on(False)
    axes.set_xticks([])
    axes.set_yticks([])
    if labels["abstained"].any():
        axes.set_title(f"no label: {shown(labels['reason'].iloc[0], 60)}", fontsize=9)
    labels = labels[labels["concept"].notna()]
    if labels.empty:
        return
    scores = labels["score"].fillna(0).to_numpy(float)
    bar = FAINT if labels["abstained"].any() else COLOURS[5]
    axes.barh(range(len(labels)), scores, color=bar, height=0.7)
    low, high = min(0.0, scores.min()), max(0.0, scores.max())
    span = high - low or 1.0
    for place, row in enumerate(labels.to_dict("records")):
        text = f"{score_text(row['score'])}  {shown(row['concept'], 32)}"
        axes.text(
            high + 0.02 * span,
            place,
            text,
            va="center",
            fontsize=9,
            fontweight="bold" if place == 0 else "normal",
        )
    axes.set_xlim(low, high + 0.9 * span)
    axes.set_ylim(_LABELS - 0.4, -0.6)
