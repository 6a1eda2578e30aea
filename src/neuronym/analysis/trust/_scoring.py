"""What examining the labels of CLIP-Dissect takes: its similarity, and the units' best scores."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64

from neuronym._core import storage
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas import schema
from neuronym.atlas.context import Material
from neuronym.similarity.base import Similarity, open_similarity


def similarity_of(material: Material, method: str) -> Similarity:
    """The similarity behind a method's labels, with the defaults of this probe filled in.

    Raises:
        UsageError: the method is not clip-dissect.
    """
    facts = material.atlas.manifest["methods"][method]
    if facts.get("labeller") != "clip-dissect" or "settled" not in facts:
        raise UsageError(
            f"Expected a method that scores all concepts by a similarity, got {method}. Labels of "
            "clip-dissect can be examined like this: choose them with --method."
        )
    return open_similarity(facts["settled"])


def best_scores(material: Material, method: str, layer: str) -> Float64[np.ndarray, " unit"]:
    """Every unit's rank-1 score; NaN where it abstains."""
    labels = material.atlas.labels(layer, method=method, trust=False)
    labels = labels[(labels["rank"] == 1) & ~labels["abstained"]]
    found = np.full(material.units(layer), np.nan)
    found[labels["unit"].to_numpy()] = labels["score"].to_numpy()
    return found


def kept_arrays(
    material: Material, method: str, layers: Iterable[str]
) -> tuple[Float64[np.ndarray, " image"], dict[str, Float64[np.ndarray, " concept"]]]:
    """log Z(x) of the images, and by layer log p(t), as they were when the labels were made.

    Raises:
        NeuronymError: the atlas does not hold them.
    """
    path = material.atlas.folder / schema.method_file(method)
    arrays = storage.read_arrays(path)[0] if path.exists() else {}
    try:
        priors = {layer: arrays[f"{layer}/log_prior"] for layer in layers}
        return arrays["log_normalisers"], priors
    except KeyError as error:
        again = material.atlas.manifest["methods"][method].get("method", "clip-dissect")
        raise NeuronymError(
            f"{path} lacks {error.args[0]}, which the labels were scored with. Label again with "
            f"`neuronym label {material.atlas.folder} --method {again} --overwrite`."
        ) from error
