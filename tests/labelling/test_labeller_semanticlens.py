"""semanticlens against loops, against the authors' package, and on planted colours."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import neuronym as nym
from array_context import ArrayContext, ugly_activations, unit_vectors
from neuronym._core.errors import UsageError
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.labelling.base import open_labeller
from neuronym.labelling.methods import _exemplars, semanticlens
from neuronym.labelling.methods.semanticlens import halves
from neuronym.labelling.run import label
from small_world import PLANTED, ColourEncoder, build, coloured_images

DIM = 6


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


class Texts:
    """An encoder that gives every text a random vector of its own."""

    device = "cpu"

    def texts(self, texts: list[str]) -> np.ndarray:
        rows = [np.random.default_rng([1, *text.encode()]).normal(size=DIM) + 0.7 for text in texts]
        return np.array([row / np.linalg.norm(row) for row in rows], np.float32)

    def tokenize(self, texts: list[str]) -> torch.Tensor:
        """What the authors' package calls first: letters as numbers."""
        letters = [list(text.encode().ljust(40, b"\0")) for text in texts]
        return torch.tensor(letters)

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        texts = [bytes(row).rstrip(b"\0").decode() for row in tokens.tolist()]
        return torch.from_numpy(self.texts(texts)).double()


def splits(vectors: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The best of all splits in two, by brute force: error and members."""
    best = (np.inf, vectors, vectors[:0])
    for size in range(1, len(vectors) // 2 + 1):
        for chosen in itertools.combinations(range(len(vectors)), size):
            inside = np.isin(np.arange(len(vectors)), chosen)
            parts = vectors[~inside], vectors[inside]
            error = sum(float(((part - part.mean(0)) ** 2).sum()) for part in parts)
            if error < best[0]:
                best = (error, *parts)
    return best


def replica(vectors: np.ndarray) -> tuple[float, float]:
    """Clarity and polysemanticity of one unit's exemplars, from pairs and from all splits."""
    if len(vectors) < 2:
        return np.nan, np.nan
    clarity = np.mean([cosine(a, b) for a, b in itertools.combinations(vectors, 2)])
    _, first, second = splits(vectors)
    if min(len(first), len(second)) < 2:
        return clarity, 1 - np.mean([cosine(v, vectors.mean(0)) for v in vectors[:10]])
    return clarity, 1 - cosine(first.mean(0), second.mean(0))


@pytest.mark.parametrize(
    ("images", "texts", "k", "templates"),
    [
        (23, 11, 7, ("{}",)),
        (23, 5, 4, ("a photo of {}", "{} in the wild", "the {}")),
        (9, 1, 40, ("{}s",)),
        (7, 3, 1, ("{}",)),
        (1, 2, 2, ("{}",)),
    ],
)
@pytest.mark.parametrize("centre", ["yes", "no"])
def test_it_agrees_with_loops(
    images: int, texts: int, k: int, templates: tuple, centre: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(images + texts)
    words, encoder = [f"word {m}" for m in range(texts)], Texts()
    prompts = np.array([encoder.texts([t.replace("{}", w) for t in templates]) for w in words])
    atlas_texts = prompts.mean(1) / np.linalg.norm(prompts.mean(1), axis=1, keepdims=True)
    empty = encoder.texts([t.replace("{}", "") for t in templates])
    activations = ugly_activations(rng, images)
    context = ArrayContext(
        {"a": activations},
        unit_vectors(rng, images, DIM),
        atlas_texts.astype(np.float32),
        tie=rng.permutation(images),
        templates=templates,
        encoders={None: encoder},
    )
    monkeypatch.setattr(semanticlens, "BLOCK", 3)
    method = open_labeller(f"semanticlens:k={k},centre={centre}")
    found = method.label(context, ["a"], 4)
    labels = found.layers["a"]
    assert labels.reasons == context.reasons("a")
    queries = (prompts - empty).mean(1) if centre == "yes" else atlas_texts
    rows, means = context.highest("a", k).indices, {}
    for unit, reason in enumerate(labels.reasons):
        measures = {name: values[unit] for name, values in labels.measures.items()}
        if reason is not None:
            assert labels.concepts[unit].tolist() == [None] * min(4, texts)
            assert np.isnan(list(measures.values())).all()
            continue
        vectors = context.image_embeddings[rows[unit][rows[unit] >= 0]].astype(float)
        means[unit] = mean = vectors.mean(0)
        cosines = np.array([np.float32(cosine(mean, query)) for query in queries])
        best = sorted(range(texts), key=lambda m: (-cosines[m], m))[:4]
        assert labels.concepts[unit].tolist() == [words[m] for m in best]
        np.testing.assert_allclose(labels.scores[unit], cosines[best], atol=1e-6)
        clarity, polysemanticity = replica(vectors)
        assert measures["exemplars"] == len(vectors)
        np.testing.assert_allclose(measures["clarity"], clarity, atol=1e-6)
        np.testing.assert_allclose(measures["polysemanticity"], polysemanticity, atol=1e-6)
        direction = mean / np.linalg.norm(mean)
        np.testing.assert_allclose(labels.arrays["vectors"][unit], direction, atol=1e-6)
    for unit, mean in means.items():
        others = [cosine(mean, other) for u, other in means.items() if u != unit]
        redundancy = labels.measures["redundancy"][unit]
        np.testing.assert_allclose(redundancy, max(others, default=np.nan), atol=1e-6)
    if centre == "yes":
        np.testing.assert_allclose(found.shared["empty_prompts"], empty, atol=1e-6)
    else:
        assert not found.shared


def test_exemplars_that_cancel_abstain() -> None:
    images = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    context = ArrayContext({"a": [[3.0, 1.0], [3.0, 2.0], [1.0, 9.0]]}, images, np.eye(2))
    labels = open_labeller("semanticlens:k=2,centre=no").label(context, ["a"], 1).layers["a"]
    assert labels.reasons == ("the embeddings of its exemplars cancel", None)
    assert np.isnan(labels.measures["clarity"]).tolist() == [True, False]
    assert np.isnan(labels.measures["redundancy"]).all()


def test_measures_of_clear_mixed_and_outlying_exemplars() -> None:
    x, y = np.eye(2)
    vectors = np.array([[x, x, x, x], [x, y, x, y], [x, x, x, y], [x, x, y, y]])
    present = np.ones((4, 4), bool)
    present[3, 1:] = False
    clarity = semanticlens.clarity(vectors, present)
    np.testing.assert_allclose(clarity, [1, 1 / 3, 1 / 2, np.nan])
    outlier = 1 - np.mean([3 / np.sqrt(10)] * 3 + [1 / np.sqrt(10)])
    found = semanticlens.polysemanticity(vectors, present)
    np.testing.assert_allclose(found, [0, 1, outlier, np.nan], atol=1e-12)


def test_two_clusters_are_the_best_two() -> None:
    rng = np.random.default_rng(3)
    vectors = unit_vectors(rng, 40, 7, 5).astype(float)
    present = rng.random((40, 7)) < 0.8
    vectors[3, 1:], present[4] = vectors[3, 0], False
    found = halves(vectors @ vectors.swapaxes(1, 2), present)
    assert not found.second[~present].any()
    for unit in set(range(40)) - {3, 4}:
        error, *parts = splits(vectors[unit][present[unit]])
        np.testing.assert_allclose(found.error[unit], error if len(parts[1]) else 0, atol=1e-9)
    assert not found.second[3].any()
    assert found.error[3] == pytest.approx(0, abs=1e-9)


def test_equal_cosines_go_to_the_smaller_concept() -> None:
    rng = np.random.default_rng(4)
    texts = unit_vectors(rng, 9, 5)
    texts[[2, 7]] = texts[5]
    context = ArrayContext({"a": rng.random((11, 3))}, unit_vectors(rng, 11, 5), texts)
    labels = open_labeller("semanticlens:centre=no").label(context, ["a"], 9).layers["a"]
    for words in labels.concepts.tolist():
        at = words.index("word 2")
        assert words[at : at + 3] == ["word 2", "word 5", "word 7"]


def test_a_small_probe_gets_a_caveat() -> None:
    assert _exemplars.caveat(10, 1000) == _exemplars.caveat(5, 7) == {}
    assert "k=30 of 1,000 images" in _exemplars.caveat(30, 1000)["note"]
    assert "k=10 suits" in _exemplars.caveat(30, 1000)["note"]


def test_it_agrees_with_the_authors_package() -> None:
    prepare_torchvision()
    package = pytest.importorskip("semanticlens")
    rng = np.random.default_rng(6)
    units, k = 17, 12
    centres = unit_vectors(rng, units, 2, DIM)
    spread = 0.15 * rng.normal(size=(units, k, DIM))
    vectors = centres[:, [0] * 7 + [1] * 5] + spread  # two clear clusters, of 7 and of 5
    vectors[:4] = centres[:4, :1] + spread[:4]
    vectors[:4, -1] = -centres[:4, 0]  # or one, and an outlier
    vectors = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)
    images, activations = vectors.reshape(-1, DIM), np.zeros((units, k, units))
    activations[np.arange(units), :, np.arange(units)] = np.arange(k, 0, -1)
    words, templates = [f"word {m}" for m in range(11)], ["a photo of {}", "{} here"]
    context = ArrayContext(
        {"a": activations.reshape(-1, units)},
        images,
        np.zeros((len(words), DIM)),
        templates=templates,
        encoders={None: Texts()},
    )
    labels = open_labeller(f"semanticlens:k={k}").label(context, ["a"], len(words)).layers["a"]
    database = torch.from_numpy(vectors).double()
    # One word at a time: with several words and several templates the package mixes them up.
    theirs = [
        package.lens.text_probing(Texts(), [word], database.mean(1), templates)[0].numpy()
        for word in words
    ]
    for unit, scores in enumerate(np.transpose(theirs)):
        order = np.argsort(-scores)
        assert labels.concepts[unit].tolist() == [words[m] for m in order]
        np.testing.assert_allclose(labels.scores[unit], scores[order], atol=1e-6)
    ours = labels.measures
    clarity = package.scores.clarity_score(database)
    np.testing.assert_allclose(ours["clarity"], clarity, atol=1e-6)
    polysemanticity = package.scores.polysemanticity_score(database)
    np.testing.assert_allclose(ours["polysemanticity"], polysemanticity, atol=1e-6)
    redundancy = float(package.scores.redundancy_score(database.mean(1)))
    assert ours["redundancy"].mean() == pytest.approx(redundancy, abs=1e-6)


def test_planted_colours(tmp_path: Path) -> None:
    words = [*PLANTED, "dog", "moss"]
    where = {"probe": coloured_images(43), "encoder": ColourEncoder(), "cache": str(tmp_path)}
    atlas = nym.dissect(build(), layers=["detect"], concepts=words, out=tmp_path / "atlas", **where)
    method = open_labeller("semanticlens:k=7")
    atlas = label(atlas, method, target=build(), **where)
    best = atlas.labels("detect", method=method.method_id).query("rank == 1").set_index("unit")
    assert best["concept"].loc[:4].tolist() == PLANTED
    assert "dead" in best["reason"].loc[5]
    trust = pd.read_parquet(atlas.folder / f"trust/{method.method_id}.parquet").set_index("unit")
    assert list(trust.columns) == ["layer", "exemplars", "clarity", "polysemanticity", "redundancy"]
    assert trust["exemplars"].loc[:4].tolist() == [7] * 5
    assert (trust["clarity"].loc[:4] > 0.9).all()
    assert trust.loc[5].drop("layer").isna().all()
    assert "k=5 suits this probe" in atlas.manifest["methods"][method.method_id]["note"]


def test_names() -> None:
    assert open_labeller("semanticlens").method_id == "semanticlens"
    assert open_labeller("semanticlens:centre=false").spec == "semanticlens:centre=no"
    with pytest.raises(UsageError, match="`centre` to be one of .*, got 'maybe'"):
        open_labeller("semanticlens:centre=maybe")
    with pytest.raises(UsageError, match="parameters among k, centre, got 'center'"):
        open_labeller("semanticlens:center=no")
