"""Linear explanations: the same as a slow evaluation of the definition, and what they refuse."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neuronym as nym
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.progress import silent
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.labelling.base import open_labeller
from neuronym.labelling.methods import linear
from neuronym.labelling.methods.linear import Sample, fit, held_out
from neuronym.labelling.run import label
from neuronym.similarity import blocks
from replicas import probabilities
from small_world import PLANTED, ColourEncoder, build, coloured_images

WORDS = [*PLANTED, "dog", "moss"]


def world(
    seed: int, images: int = 97, concepts: int = 23, dim: int = 7
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations of 5 units (sums of concepts, noise, a rare one, a constant), and embeddings."""
    rng = np.random.default_rng(seed)
    pixels, texts = rng.normal(size=(images, dim)), rng.normal(size=(concepts, dim))
    pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    p = probabilities(pixels @ texts.T, 4.0)
    z = (p - p.mean(0)) / p.std(0)
    units = np.stack(
        [
            1e4 + z[:, 3] + 0.6 * z[:, 11] + 0.3 * rng.normal(size=images),
            2 * z[:, 0] - 0.7 * z[:, 8] + 0.1 * rng.normal(size=images),
            rng.normal(size=images),
            np.where(rng.random(images) < 0.05, 1, 0),
            np.full(images, 0.3),
        ],
        1,
    )
    return units.astype(np.float32), pixels.astype(np.float32), texts.astype(np.float32)


def explain(q, z, count, concepts, length, width, tolerance):
    """One unit from the definition: chosen concepts, weights, correlation over what was fitted."""
    y = (q - q.mean()) / q.std()
    chosen: list[int] = []
    weights, correlation, left = np.zeros(0), 0.0, 1.0
    while len(chosen) < length:
        rest = y - z[:, chosen] @ weights
        covariance = {m: float(z[:, m] @ rest) for m in range(z.shape[1]) if m not in chosen}
        best = None
        for m in sorted(sorted(covariance, key=lambda m: (-covariance[m], m))[:width]):
            if covariance[m] <= 0:
                continue
            solution = np.linalg.lstsq(z[:, [*chosen, m]], y, rcond=None)[0]
            after = float(((y - z[:, [*chosen, m]] @ solution) ** 2).mean())
            if (solution > 0).all() and (best is None or after < best[0]):
                best = after, m, solution
        if best is None:
            break
        after, m, solution = best
        new = np.corrcoef(z[:, [*chosen, m]] @ solution, y)[0, 1]

        def criterion(residual: float, used: int) -> float:
            return count * np.log(residual) + used * (np.log(count) + 2 * np.log(concepts))

        if chosen and (
            new - correlation < tolerance
            or criterion(after, len(chosen) + 1) >= criterion(left, len(chosen))
        ):
            break
        chosen.append(m)
        weights, correlation, left = solution, new, after
    return chosen, weights, correlation


@pytest.mark.parametrize(("seed", "width", "tolerance"), [(0, 10, 0.02), (1, 1, 0), (2, 4, 0.05)])
def test_the_same_as_the_definition(
    seed: int, width: int, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "LIMITS", blocks.Limits(images=13))
    monkeypatch.setattr(linear, "_VALUES", 50)  # two units at once
    monkeypatch.setattr(linear, "_UNITS", 3)
    units, pixels, texts = world(seed)
    part = held_out([str(i) for i in range(97)], 0.3, seed)
    numbers = np.array([0, 1, 2, 3, 4])
    sample = Sample(units, pixels, texts, np.ones(23, np.int64), 4.0, numbers, ~part)
    found = fit(sample, 6, width, tolerance, silent)
    validated = found.correlate(Sample(units, pixels, texts, sample.counts, 4.0, numbers, part))
    p = probabilities(pixels.astype(float) @ texts.T.astype(float), 4.0)
    mean, std = p[~part].mean(0), p[~part].std(0)
    lengths = set()
    for unit in range(4):
        q = units[:, unit].astype(float)
        if not q[~part].std():
            continue
        chosen, weights, correlation = explain(
            q[~part], (p[~part] - mean) / std, (~part).sum(), 23, 6, width, tolerance
        )
        lengths.add(len(chosen))
        assert found.concepts[unit].tolist() == chosen + [-1] * (6 - len(chosen))
        np.testing.assert_allclose(found.weights[unit, : len(chosen)], weights, rtol=1e-4)
        assert found.correlation[unit] == pytest.approx(correlation, abs=1e-5)
        guess = ((p[part] - mean) / std)[:, chosen] @ weights
        if q[part].std():
            assert validated[unit] == pytest.approx(np.corrcoef(guess, q[part])[0, 1], abs=1e-5)
    assert len(lengths) > 1
    assert max(lengths) < 6
    assert found.concepts[4].tolist() == [-1] * 6
    assert np.isnan(validated[4])


def test_least_squares_agrees_with_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    units, pixels, texts = world(5, images=301)
    every = np.ones(301, bool)
    sample = Sample(units, pixels, texts, np.ones(23, np.int64), 4.0, np.arange(1), every)
    found = fit(sample, 2, 1, 0, silent)
    p = probabilities(pixels.astype(float) @ texts.T.astype(float), 4.0)
    z, q = (p - p.mean(0)) / p.std(0), units[:, 0].astype(float)
    pursuit = linear_model.OrthogonalMatchingPursuit(n_nonzero_coefs=2).fit(z, q)
    assert sorted(found.concepts[0]) == np.flatnonzero(pursuit.coef_).tolist() == [3, 11]
    np.testing.assert_allclose(
        found.weights[0] * q.std(), pursuit.coef_[found.concepts[0]], rtol=1e-4
    )


def test_equal_embeddings_count_as_one_candidate_but_share_the_softmax() -> None:
    units, pixels, texts = world(6)
    double, every = np.concatenate([texts, texts[3:4]]), np.ones(97, bool)
    counts = np.bincount(blocks.distinct_rows(double)[1])
    sample = Sample(units, pixels, texts, counts, 4.0, np.arange(1), every)
    found = fit(sample, 5, 10, 0.02, silent)
    p = probabilities(pixels.astype(float) @ double.T.astype(float), 4.0)
    z = (p - p.mean(0)) / p.std(0)
    chosen, weights, _ = explain(units[:, 0].astype(float), z[:, :23], 97, 24, 5, 10, 0.02)
    assert found.concepts[0, : len(chosen)].tolist() == chosen
    np.testing.assert_allclose(found.weights[0, : len(chosen)], weights, rtol=1e-4)


def test_the_split_follows_content() -> None:
    hashes = [f"{i}" for i in range(40)] + ["3", "7", "3"]
    out = held_out(hashes, 0.3, 0)
    assert out[:40].sum() == 12
    assert out[40] == out[42] == out[3]
    assert out[41] == out[7]
    order = np.random.default_rng(0).permutation(len(hashes))
    assert (held_out([hashes[i] for i in order], 0.3, 0) == out[order]).all()
    assert (held_out(hashes, 0.3, 1) != out).any()


# -- on an atlas -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linear")
    dissect(folder, 131)
    return folder


def dissect(folder: Path, images: int, words: list[str] = WORDS, **blurred: float) -> Atlas:
    encoder = ColourEncoder()
    vars(encoder).update(blurred)
    return nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=coloured_images(images),
        concepts=words,
        encoder=encoder,
        out=folder / f"atlas-{images}-{len(words)}",
        cache=str(folder / "cache"),
        batch_size=16,
        progress=None,
        duplicates="all",
    )


@pytest.fixture
def atlas(made: Path, tmp_path: Path) -> Atlas:
    import shutil

    return open_atlas(shutil.copytree(made / "atlas-131-7", tmp_path / "atlas"))


def measures(atlas: Atlas, method: str = "linear") -> pd.DataFrame:
    return pd.read_parquet(atlas.folder / f"trust/{method}.parquet")


def test_planted_colours_are_found(atlas: Atlas) -> None:
    again = label(atlas, "linear")
    frame = again.labels("detect", method="linear")
    best = frame[frame["rank"] == 1].set_index("unit")
    assert best["concept"][:5].tolist() == PLANTED
    assert (best["score"][:5] > 0.8).all()
    assert best["reason"][5] == "dead: the activation is the same for every image"
    found = measures(again)
    assert set(found.columns) == {"layer", "unit", "correlation", "fit_correlation", "concepts"}
    detect = found[found["layer"] == "detect"].set_index("unit")
    np.testing.assert_allclose(best["score"].dropna(), detect["correlation"].dropna(), rtol=1e-6)
    for unit, rows in frame[~frame["abstained"]].groupby("unit"):
        assert len(rows) == detect["concepts"][unit]
        assert (np.diff(rows["score"]) <= 0).all()
        assert (rows["weight"] > 0).all()
        share = rows["weight"] / rows["weight"].iloc[0] * detect["correlation"][unit]
        np.testing.assert_allclose(rows["score"], share, rtol=1e-5)
    assert detect["concepts"].max() > 1  # the mixture
    facts = again.manifest["methods"]["linear"]
    assert facts["a"] == 10.0
    assert facts["images"] == {"fit": 92, "validation": 39}


def test_labels_are_cut_but_not_the_explanation(atlas: Atlas) -> None:
    again = label(atlas, "linear", labels=1)
    assert again.labels(method="linear")["rank"].max() == 1
    assert measures(again)["concepts"].max() > 1


def test_noise_gets_no_confidence(atlas: Atlas) -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(131, 7)).astype(np.float32)
    again = label(atlas, "linear", layers=["detect"], activations={"detect": noise})
    frame = again.labels("detect", method="linear").query("rank == 1")
    assert frame["abstained"].sum() >= 2  # unit 5 is dead in the atlas
    assert frame["score"].max() < 0.35
    refused = frame["reason"].dropna()
    assert refused.str.match(r"dead|validation correlation -0\.\d\d, not above 0").all()


def test_units_that_vary_in_one_part_only_abstain(atlas: Atlas) -> None:
    out = held_out(list(atlas.images["content_hash"]), 0.3, 0)
    rare = np.array(atlas.activations("detect"))
    rare[:, 0] = np.where(out, rare[:, 0], 0.1)
    rare[:, 1] = np.where(out, 1e6 + 0.1, rare[:, 1])
    again = label(atlas, "linear", layers=["detect"], activations={"detect": rare})
    reasons = again.labels("detect", method="linear").query("rank == 1")["reason"]
    assert reasons.iloc[0] == "the same activation on all images to fit on"
    assert reasons.iloc[1] == "the same activation on all images to validate on"
    assert reasons.iloc[2:5].isna().all()


def test_few_images_or_indistinguishable_concepts_label_nothing(tmp_path: Path) -> None:
    few = label(dissect(tmp_path, 7), "linear").labels("detect", method="linear")
    assert few["abstained"].all()
    assert few["reason"][0] == "5 different images to fit on and 2 to validate on, 3 of each needed"
    one = label(dissect(tmp_path, 1), "linear").labels("detect", method="linear")
    assert one["reason"].str.startswith("dead").all()
    with pytest.raises(NeuronymError, match="All 2 words have one embedding under colours"):
        dissect(tmp_path, 31, ["dog", "moss"], blur=0)


def test_batches_and_order_change_nothing(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = label(atlas, "linear").labels(method="linear")
    monkeypatch.setattr(blocks, "LIMITS", blocks.Limits(images=50))
    monkeypatch.setattr(linear, "_UNITS", 4)
    parts = label(atlas, "linear", overwrite=True).labels(method="linear")
    pd.testing.assert_frame_equal(whole, parts, atol=1e-5)
    order = np.random.default_rng(0).permutation(131)
    images = coloured_images(131)
    other = nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=[images[i] for i in order],
        concepts=WORDS,
        encoder=ColourEncoder(),
        out=tmp_path / "other",
        cache=str(tmp_path),
        batch_size=16,
        progress=None,
    )
    shuffled = label(other, "linear").labels(method="linear")
    pd.testing.assert_frame_equal(whole, shuffled, atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("linear:top_k=5", "parameters among length, tolerance, width, a, validation, seed"),
        ("linear:length=0", "`length` to be a whole number of at least 1"),
        ("linear:validation=1", r"`validation` to be a number 0\.05…0\.95"),
        ("linear:tolerance=nan", "`tolerance` to be a number 0…1"),
    ],
)
def test_wrong_parameters_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_labeller(spec)


def test_settings_are_part_of_the_name() -> None:
    specs = ["linear", "linear:length=3", "linear:seed=1", "linear:a=5"]
    ids = [open_labeller(spec).method_id for spec in specs]
    assert ids[0] == "linear"
    assert all(one != two for one, two in itertools.combinations(ids, 2))
