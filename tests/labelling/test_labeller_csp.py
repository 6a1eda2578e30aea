"""csp against loops over images, and on planted colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neuronym as nym
from array_context import ArrayContext, ugly_activations, unit_vectors
from neuronym._core.errors import UsageError
from neuronym.labelling.base import open_labeller
from neuronym.labelling.methods import csp
from neuronym.labelling.run import label
from small_world import PLANTED, ColourEncoder, build, coloured_images


def replica(context, layer: str, unit: int, k: int, gamma: float) -> tuple | None:
    """θ, and rows of exemplars and contrasts of one unit; None where it has no exemplar."""
    images = context.image_embeddings.astype(float)
    values = context.activations(layer)[:, unit]
    mean = np.float32(values.astype(float).mean())
    order = sorted(range(len(values)), key=lambda i: (-values[i], context.tie[i]))
    exemplars = [i for i in order[:k] if values[i] > mean and values[i] > 0]
    low = [i for i in range(len(values)) if values[i] < mean]
    if not exemplars:
        return None
    total, contrast = np.zeros(images.shape[1]), []
    for row in exemplars:
        other = max(low, key=lambda i: images[row] @ images[i])
        contrast.append(other)
        p, n = images[row], images[other]
        total += float(values[row]) * (p - gamma * (p @ n) * n)
    return total / sum(float(values[i]) for i in exemplars), exemplars, contrast


@pytest.mark.parametrize(
    ("images", "texts", "k", "gamma"),
    [(29, 11, 4, 1), (29, 11, 60, 0.5), (11, 1, 3, 0), (6, 5, 1, 1), (1, 3, 2, 1)],
)
def test_it_agrees_with_loops(
    images: int, texts: int, k: int, gamma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(images)
    layers = {"a": ugly_activations(rng, images), "b": rng.normal(size=(images, 3))}
    words = unit_vectors(rng, texts, 7)
    context = ArrayContext(layers, unit_vectors(rng, images, 7), words, tie=rng.permutation(images))
    monkeypatch.setattr(csp, "BLOCK", 3)
    monkeypatch.setattr(csp, "_VALUES", 40)
    found = open_labeller(f"csp:k={k},gamma={gamma}").label(context, ["a", "b"], 4)
    names = context.images["image_id"]
    for layer, labels in found.layers.items():
        evidence = pd.DataFrame(labels.evidence)
        for unit, reason in enumerate(context.reasons(layer)):
            expected = None if reason else replica(context, layer, unit, k, gamma)
            own = evidence[evidence["unit"] == unit]
            if expected is None:
                assert (
                    labels.reasons[unit] == reason
                    or "no activation is above 0" in (labels.reasons[unit])
                )
                assert len(own) == 0
                assert np.isnan(labels.measures["exemplars"][unit])
                assert labels.concepts[unit].tolist() == [None] * min(4, texts)
                continue
            theta, exemplars, contrast = expected
            assert labels.reasons[unit] is None
            cosines = (words.astype(float) @ theta / np.linalg.norm(theta)).astype(np.float32)
            best = sorted(range(texts), key=lambda m: (-cosines[m], m))[:4]
            assert labels.concepts[unit].tolist() == [f"word {m}" for m in best]
            np.testing.assert_allclose(labels.scores[unit], cosines[best], atol=1e-6)
            assert own["rank"].tolist() == list(range(1, len(exemplars) + 1))
            assert own["image_id"].tolist() == [names[i] for i in exemplars]
            assert own["contrast_id"].tolist() == [names[i] for i in contrast]
            pairs = context.image_embeddings[[exemplars, contrast]].prod(0).sum(1)
            np.testing.assert_allclose(own["cosine"], pairs, atol=1e-6)
            assert labels.measures["exemplars"][unit] == len(exemplars)
            np.testing.assert_allclose(labels.measures["contrast"][unit], pairs.mean(), atol=1e-6)


def test_a_unit_below_zero_abstains() -> None:
    rng = np.random.default_rng(2)
    activations = -rng.random((9, 2)) - 1
    activations[3, 0] = 0.5
    context = ArrayContext({"a": activations}, unit_vectors(rng, 9, 4), np.eye(4))
    labels = open_labeller("csp").label(context, ["a"], 2).layers["a"]
    assert labels.reasons[0] is None
    assert labels.measures["exemplars"].tolist()[0] == 1
    assert "no activation is above 0" in labels.reasons[1]


def test_exemplars_like_their_contrasts_abstain() -> None:
    images = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    context = ArrayContext({"a": [[4.0], [0.0], [3.0], [0.0]]}, images, np.eye(2))
    full = open_labeller("csp").label(context, ["a"], 2).layers["a"]
    assert full.reasons == ("its exemplars look like their contrasts",)
    half = open_labeller("csp:gamma=0.5").label(context, ["a"], 2).layers["a"]
    assert half.concepts[0].tolist() == ["word 0", "word 1"]
    np.testing.assert_allclose(half.scores[0], [0.8, 0.6], atol=1e-6)


def test_what_contrasts_share_with_exemplars_does_not_name_the_unit() -> None:
    # All exemplars show grass (first axis) with a dog (second); the contrasts show grass alone.
    images = np.array([[0.9, 0.4, 0.1], [0.9, 0.4, -0.1], [1, 0, 0.1], [1, 0, -0.1], [0, 0, 1]])
    images = (images / np.linalg.norm(images, axis=1, keepdims=True)).astype(np.float32)
    context = ArrayContext({"a": [[5.0], [4.0], [0.0], [0.1], [0.0]]}, images, np.eye(3))
    found = {
        gamma: open_labeller(f"csp:gamma={gamma}")
        .label(context, ["a"], 1)
        .layers["a"]
        .concepts[0, 0]
        for gamma in (0, 1)
    }
    assert found == {0: "word 0", 1: "word 1"}


def test_no_image_below_the_mean_abstains() -> None:
    rng = np.random.default_rng(8)
    activations = np.full((5, 1), 1.0, np.float32)
    activations[2] = np.nextafter(np.float32(1), np.float32(2))
    context = ArrayContext({"a": activations}, unit_vectors(rng, 5, 3), np.eye(3))
    labels = open_labeller("csp").label(context, ["a"], 2).layers["a"]
    assert labels.reasons == ("no image is below its mean",)
    assert len(labels.evidence["unit"]) == 0


@pytest.mark.parametrize("gamma", [1, 0.5])
def test_planted_colours(tmp_path: Path, gamma: float) -> None:
    words = [*PLANTED, "dog", "moss"]
    where = {"probe": coloured_images(43), "encoder": ColourEncoder(), "cache": str(tmp_path)}
    atlas = nym.dissect(build(), layers=["detect"], concepts=words, out=tmp_path / "atlas", **where)
    method = open_labeller(f"csp:gamma={gamma}")
    atlas = label(atlas, method, target=build(), **where)
    best = atlas.labels("detect", method=method.method_id).query("rank == 1").set_index("unit")
    assert best["concept"].loc[:4].tolist() == PLANTED
    assert "dead" in best["reason"].loc[5]
    evidence = pd.read_parquet(atlas.folder / f"evidence/{method.method_id}.parquet")
    assert set(evidence["unit"]) == {0, 1, 2, 3, 4, 6} - set(best.query("abstained").index)
    assert set(evidence["contrast_id"]) <= set(atlas.images["image_id"])
    trust = pd.read_parquet(atlas.folder / f"trust/{method.method_id}.parquet").set_index("unit")
    assert trust.loc[5].drop("layer").isna().all()


def test_names() -> None:
    assert open_labeller("csp").method_id == "csp"
    assert open_labeller("csp:gamma=1.0").method_id == "csp"
    assert open_labeller("csp:gamma=0.5").spec == "csp:gamma=0.5"
    with pytest.raises(UsageError, match="`gamma` to be a number 0…1, got '2'"):
        open_labeller("csp:gamma=2")
    with pytest.raises(UsageError, match="parameters among k, gamma, got 'alpha'"):
        open_labeller("csp:alpha=2")
