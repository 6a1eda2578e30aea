"""clip-avg against loops over images and concepts, and on planted colours."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import neuronym as nym
from array_context import ArrayContext, ugly_activations, unit_vectors
from neuronym._core.errors import UsageError
from neuronym.labelling.base import open_labeller
from neuronym.labelling.methods import clip_avg as module
from neuronym.labelling.run import label
from small_world import PLANTED, ColourEncoder, build, coloured_images


def replica(context, layer: str, k: int, concepts: int) -> list[list[tuple[int, float, int]]]:
    """Per unit (concept, sum of cosines, number of images), best first, in float64."""
    images, texts = (
        np.asarray(v, float) for v in (context.image_embeddings, context.text_embeddings)
    )
    found = []
    for unit in range(context.units(layer)):
        sums: dict[int, list[float]] = {}
        rows = context.highest(layer, k).indices[unit]
        for row in rows[rows >= 0]:
            cosines = [
                float(np.float32(images[row] @ t / np.linalg.norm(images[row]) / np.linalg.norm(t)))
                for t in texts
            ]
            for concept in sorted(range(len(texts)), key=lambda m: (-cosines[m], m))[:concepts]:
                sums.setdefault(concept, []).append(cosines[concept])
        ranked = [(m, float(np.float32(sum(v))), len(v)) for m, v in sums.items()]
        found.append(sorted(ranked, key=lambda entry: (-entry[1], entry[0])))
    return found


@pytest.mark.parametrize(
    ("images", "texts", "k", "concepts", "count"),
    [(23, 11, 4, 3, 5), (23, 11, 40, 2, 20), (7, 1, 3, 10, 4), (9, 13, 1, 1, 2), (1, 5, 2, 2, 3)],
)
def test_it_agrees_with_loops(
    images: int, texts: int, k: int, concepts: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(images)
    words = unit_vectors(rng, texts, 6)
    words[texts // 2] = words[0]  # two concepts with one embedding
    tie = rng.permutation(images)
    layers = {"a": ugly_activations(rng, images), "b": rng.normal(size=(images, 3))}
    context = ArrayContext(layers, unit_vectors(rng, images, 6), words, tie=tie)
    monkeypatch.setattr(module, "_BLOCK", 4)
    found = open_labeller(f"clip-avg:k={k},concepts={concepts}").label(context, ["b", "a"], count)
    assert list(found.layers) == ["b", "a"]
    for layer, labels in found.layers.items():
        assert labels.reasons == context.reasons(layer)
        expected = replica(context, layer, k, concepts)
        for unit in range(context.units(layer)):
            if labels.reasons[unit] is not None:
                continue
            best = expected[unit][:count]
            names = [context.words[m] for m, _, _ in best]
            shown = [word for word in labels.concepts[unit] if word is not None]
            assert shown == names
            width = len(names)
            assert labels.scores.dtype == np.float32
            np.testing.assert_allclose(
                labels.scores[unit, :width], [s for _, s, _ in best], atol=1e-6
            )
            assert np.isnan(labels.scores[unit, width:]).all()
            assert labels.details["images"][unit, :width].tolist() == [n for _, _, n in best]


def test_equal_sums_go_to_the_smaller_concept() -> None:
    images = np.eye(3, dtype=np.float32)
    texts = np.array([[0, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 0]], np.float32)
    context = ArrayContext({"a": [[3.0], [2.0], [1.0]]}, images, texts)
    labels = open_labeller("clip-avg:k=2,concepts=2").label(context, ["a"], 4).layers["a"]
    # The second image votes for concepts 1 and 2, the first for 3 and the first of those it misses.
    assert labels.concepts[0].tolist() == ["word 1", "word 2", "word 3", "word 0"]
    assert labels.scores[0].tolist() == [1.0, 1.0, 1.0, 0.0]
    assert labels.details["images"][0].tolist() == [1, 1, 1, 1]


def test_another_encoder_embeds_images_and_words_anew() -> None:
    rng = np.random.default_rng(5)
    own, other = np.eye(7, dtype=np.float32), np.roll(np.eye(7, dtype=np.float32), 2, axis=0)
    encoder = SimpleNamespace(
        name="another", images=other, texts=lambda t: np.eye(7)[[int(s.split()[-1]) for s in t]]
    )
    activations = rng.permutation(7)[:, None] == np.arange(1)
    context = ArrayContext({"a": activations}, own, own, encoders={"x:y,z": encoder})
    top = int(activations[:, 0].argmax())
    plain = open_labeller("clip-avg:k=1").label(context, ["a"], 1)
    assert plain.layers["a"].concepts[0, 0] == f"word {top}"
    assert "encoder" not in plain.facts
    method = open_labeller(r"clip-avg:k=1,encoder=x\:y\,z")
    assert open_labeller(method.spec) == method
    assert method.spec.startswith("clip-avg:k=1,encoder=")
    found = method.label(context, ["a"], 1)
    assert found.layers["a"].concepts[0, 0] == f"word {(top - 2) % 7}"
    assert found.facts["encoder"] == "another"


def test_a_layer_without_exemplars_abstains_throughout() -> None:
    context = ArrayContext({"a": np.ones((3, 2))}, np.eye(3), np.eye(3))
    labels = open_labeller("clip-avg").label(context, ["a"], 2).layers["a"]
    assert all("dead" in reason for reason in labels.reasons)


def test_planted_colours(tmp_path: Path) -> None:
    words = [*PLANTED, "dog", "moss"]
    where = {"probe": coloured_images(43), "encoder": ColourEncoder(), "cache": str(tmp_path)}
    atlas = nym.dissect(
        build(), layers=["detect"], concepts=words, out=tmp_path / "atlas", exemplars=3, **where
    )
    atlas = label(atlas, "clip-avg:k=5", target=build(), **where)
    frame = atlas.labels("detect", method=open_labeller("clip-avg:k=5").method_id)
    best = frame[frame["rank"] == 1].set_index("unit")
    assert best["concept"].loc[:4].tolist() == PLANTED
    assert "dead" in best["reason"].loc[5]
    assert best["images"].loc[:4].tolist() == [5] * 5


def test_names() -> None:
    assert open_labeller("clip-avg").method_id == "clip-avg"
    assert open_labeller("clip-avg:k=10,concepts=10").method_id == "clip-avg"
    assert open_labeller("clip-avg:k=7").method_id.startswith("clip-avg.")
    with pytest.raises(UsageError, match="clip-avg.*k, concepts, encoder, got 'topk'"):
        open_labeller("clip-avg:topk=5")
    with pytest.raises(UsageError, match="`k` to be a whole number of at least 1, got '0'"):
        open_labeller("clip-avg:k=0")
