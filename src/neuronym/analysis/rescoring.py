"""Labels of CLIP-Dissect: the similarity behind them, their scores, and those of any concept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from jaxtyping import Float64

from neuronym._core import storage
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas import schema
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas
from neuronym.atlas.schema import Facts
from neuronym.similarity.base import Similarity, open_similarity

#: Rows of concepts → scores `[unit, concept]` of all units of a layer; NaN for units that abstain.
Scorer = Callable[[np.ndarray], np.ndarray]


def own_similarity(atlas: Atlas, method: str) -> Similarity | None:
    """The similarity behind a method's labels, with the defaults of its probe filled in.

    Returns:
        None for methods that are not clip-dissect.
    """
    facts: Facts | dict[str, Any] = atlas.manifest.methods.get(method, {})
    if facts.get("labeller") != "clip-dissect" or "with_defaults" not in facts:
        return None
    return open_similarity(facts["with_defaults"])


def similarity_of(context: LabelContext, method: str) -> Similarity:
    """The same, of a method that has to be clip-dissect.

    Raises:
        UsageError: it is not.
    """
    found = own_similarity(context.atlas, method)
    if found is None:
        raise UsageError(
            f"Expected a method that scores all concepts by a similarity, got {method}. Labels of "
            "clip-dissect can be examined like this: choose them with --method."
        )
    return found


def first_words(context: LabelContext, method: str, layer: str) -> np.ndarray:
    """The rank-1 label that the atlas has for each unit; None where it has none."""
    frame = context.atlas.first_labels(layer, method=method, trust=False, abstaining=False)
    found = np.full(context.units(layer), None, object)
    found[frame["unit"].to_numpy()] = frame["concept"].to_numpy()
    return found


def best_scores(context: LabelContext, method: str, layer: str) -> Float64[np.ndarray, " unit"]:
    """Every unit's rank-1 score; NaN where it abstains."""
    labels = context.atlas.first_labels(layer, method=method, trust=False, abstaining=False)
    found = np.full(context.units(layer), np.nan)
    found[labels["unit"].to_numpy()] = labels["score"].to_numpy()
    return found


def kept_arrays(
    context: LabelContext, method: str, layers: Iterable[str]
) -> tuple[Float64[np.ndarray, " image"], dict[str, Float64[np.ndarray, " concept"]]]:
    """log Z(x) of the images, and by layer log p(t), as they were when the labels were made.

    Raises:
        NeuronymError: the atlas does not hold them.
    """
    atlas = context.atlas
    arrays = _left_behind(atlas, method)
    try:
        priors = {layer: arrays[f"{layer}/log_prior"] for layer in layers}
        return arrays["log_normalisers"], priors
    except KeyError as error:
        again = atlas.manifest.methods[method].get("method", "clip-dissect")
        raise NeuronymError(
            f"{atlas.folder / schema.method_file(method)} lacks {error.args[0]}, which the labels "
            f"were scored with. Label again with `neuronym label {atlas.folder} --method {again} "
            "--overwrite`."
        ) from error


def scorer(context: LabelContext, method: str, layer: str) -> Scorer | None:
    """How a method scores concepts, some at a time; None for methods that score no others.

    The WPMI family goes by what its labels left behind, the others by the activations.
    """
    similarity = own_similarity(context.atlas, method)
    if similarity is None:
        return None
    images, texts = context.image_embeddings, context.text_embeddings
    if hasattr(similarity, "score_words"):
        kept = _left_behind(context.atlas, method)
        if f"{layer}/indices" not in kept:
            return None
        arrays = {"indices": kept[f"{layer}/indices"], "log_normalisers": kept["log_normalisers"]}
        return lambda rows: similarity.score_words(arrays, images, texts[rows])
    if context.atlas.manifest.kept != "all":
        return None
    activations = context.activations(layer)
    return lambda rows: similarity.scores(activations, images, texts[rows], tie=context.tie)


def _left_behind(atlas: Atlas, method: str) -> dict[str, np.ndarray]:
    """The arrays that a method's labels left behind, by name; empty where there are none."""
    path = atlas.folder / schema.method_file(method)
    return storage.read_arrays(path)[0] if path.exists() else {}
