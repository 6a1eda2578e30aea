"""A calibrator of the user's own network: fitted on its class neurons, or on people's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.words import fold
from neuronym.analysis.trust.calibration import (
    DEFAULT_FEATURES,
    OWN,
    Calibrator,
    cross_fitted,
    fit,
    kind_of,
    known_units,
    short,
)
from neuronym.analysis.trust.faithfulness import again
from neuronym.analysis.trust.features import LABELS, of_labels
from neuronym.atlas.context import LabelContext
from neuronym.atlas.view import View
from neuronym.labelling.base import LayerLabels

#: Units of known truth, at least: with fewer the probabilities are wrong by more than they say.
FEWEST = 200
UNKNOWN = (
    "No neuron of known class is in this atlas, so confidence is unknown. Record the output layer "
    "of a classifier with class names, answer for neurons with `neuronym annotate`, or give a "
    "calibrator of your own."
)

PerUnit = Float64[np.ndarray, " unit"]


def own_calibrator(context: LabelContext, method: str) -> Calibrator:
    """Fit a calibrator on units of the atlas whose truth is known.

    The output layer of a classifier is labelled a second time, with its class names among the
    words, so that every class could be named; those labels are kept nowhere. A label is right
    where it is the unit's class, but for case and spelling. Every unit with a label and features
    counts; one whose class the probe does not show counts as well: its label is wrong, as that of
    an inner unit is when the probe lacks what it responds to. Without class names, people's
    answers in the atlas take their place.

    Raises:
        UsageError: fewer than 200 units of known truth, or all of them right or wrong.
    """
    atlas = context.atlas
    layer = class_layer(context)
    if layer is None:
        return _answered(context, method)
    values, right, _ = class_units(context, method, layer)
    about = {"target": atlas.manifest.target.name, "layer": layer, "truth": "classes"}
    if layer not in atlas.layers:
        about["recorded"] = "for calibration only"
    return _fit(method, values, right, about)


def class_layer(context: LabelContext) -> str | None:
    """The output layer of a classifier whose class names are known, if the atlas holds it."""
    return next((name for name in context.atlas.recorded if context.atlas.class_names(name)), None)


def class_units(
    context: LabelContext, method: str, layer: str
) -> tuple[dict[str, PerUnit], Bool[np.ndarray, " unit"], Int64[np.ndarray, " unit"]]:
    """Features of the class neurons' private labels, whether each is the unit's class, and units.

    Units without a label, or without one of the features, are left out.
    """
    labeller = again(context, method)
    if labeller is None:
        raise UsageError(
            "Expected a method that can label the class neurons again with their class names "
            f"among the words, got {method}, which reads more than activations and embeddings."
        )
    names = context.atlas.class_names(layer)
    known = {fold(word) for word in context.words}
    new = sorted({name for name in names.values() if fold(name) not in known})
    vectors = context.sources.embed_words(new) if new else context.text_embeddings[:0]
    view = View(context, more=(new, np.asarray(vectors, np.float32)), progress=context.progress)
    found = labeller.label(view, [layer], LABELS).layers[layer]
    labels, scores = _numbered(found, view.words)
    values = of_labels(view, method, layer, labels, scores)
    values = {name: values[name] for name in DEFAULT_FEATURES}
    usable = labels[:, 0] >= 0
    # A method without scores has no margin: such a feature is left out, not every unit.
    values = {n: v for n, v in values.items() if np.isfinite(v[usable]).sum() > usable.sum() / 2}
    for column in values.values():
        usable &= np.isfinite(column)
    usable &= np.isin(np.arange(len(labels)), list(names))
    first = [view.words[row] for row in labels[:, 0]]
    right = np.array([fold(names.get(u, "")) == fold(word) for u, word in enumerate(first)])
    columns = {name: column[usable] for name, column in values.items()}
    return columns, right[usable], np.flatnonzero(usable)


def _numbered(
    found: LayerLabels, words: tuple[str, ...]
) -> tuple[Int64[np.ndarray, "unit rank"], Float64[np.ndarray, "unit rank"]]:
    """Rows of the words of the labels, −1 where there is none, and their scores."""
    number: dict[Any, int] = {word: row for row, word in enumerate(words)}
    shape = (len(found.reasons), LABELS)
    labels, scores = np.full(shape, -1, np.int64), np.full(shape, np.nan)
    for unit, reason in enumerate(found.reasons):
        if reason is None:
            own = [number.get(word, -1) for word in found.concepts[unit]]
            labels[unit, : len(own)] = own
            scores[unit, : len(own)] = found.scores[unit]
    return labels, scores


def _answered(context: LabelContext, method: str) -> Calibrator:
    """From people's answers."""
    try:
        known = known_units(context.atlas, "annotations", DEFAULT_FEATURES, method=method)
    except NeuronymError as error:
        raise UsageError(UNKNOWN) from error
    return _fit(method, known.features, known.right, dict(known.about))


def _fit(
    method: str,
    values: Mapping[str, PerUnit],
    right: Bool[np.ndarray, " unit"],
    about: dict[str, Any],
) -> Calibrator:
    if len(right) < FEWEST:
        raise UsageError(
            f"Expected at least {FEWEST} neurons of known truth to calibrate on, got {len(right)}, "
            "so confidence is unknown. Neurons without a label do not count."
        )
    made = fit(values, right, kind=kind_of(method), name=OWN)
    within = short(cross_fitted(values, right, made.kind))
    entry = about | {"units": len(right), "right": int(right.sum())}
    return replace(made, fitted_on=(entry,), measures={"within": within})
