"""faithfulness: labels from one part of the probe, measured on the other."""

from __future__ import annotations

import numpy as np
import pytest

import neuronym as nym
from known_world import UNITS, WORDS, known_atlas
from neuronym._core.errors import UsageError
from neuronym.analysis.trust.base import open_analysis
from neuronym.analysis.trust.explanation_metrics import METRICS, Pair
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.context import LabelContext
from neuronym.labelling.run import label

PASSING = ["correlation", "cosine", "f1", "iou", "auprc"]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    return known_atlas(tmp_path_factory.mktemp("faithful") / "atlas")


def test_against_loops(atlas) -> None:
    """Three folds by hand: label again without each, measure p(t | x) on it."""
    analysis = open_analysis("faithfulness:folds=3,seed=4,share=0.15")
    context, method = LabelContext(atlas), atlas.method()
    found = analysis.run(context, method, ["detect"]).layers["detect"]
    activations = np.asarray(context.activations("detect"))
    images, texts = (
        np.asarray(v, np.float64) for v in (context.image_embeddings, context.text_embeddings)
    )
    a = atlas.manifest["methods"][method]["logit_scale"]
    p = np.exp(a * images @ texts.T)
    p /= p.sum(1, keepdims=True)
    fold = np.random.default_rng(4).permutation(len(images))[atlas.tie] % 3
    from neuronym.similarity.wpmi import SoftWpmi

    sums = {name: [] for name in [*PASSING, "agreement"]}
    shown = atlas.labels("detect", trust=False).query("rank == 1").sort_values("unit")["concept"]
    for k in range(3):
        inside = fold != k
        top = SoftWpmi(top_k=6, a=a).top(
            activations[inside],
            images[inside].astype(np.float32),
            texts.astype(np.float32),
            1,
            tie=np.argsort(np.argsort(atlas.tie[inside])),
        )
        labels = top.concepts[:, 0]
        pair = Pair(activations[~inside].T, p[~inside][:, labels].T, 0.15)
        for name in PASSING:
            sums[name].append(METRICS[name].measure(pair))
        sums["agreement"].append(np.array(WORDS, object)[labels] == shown.to_numpy())
    for name, parts in sums.items():
        np.testing.assert_allclose(found[name], np.mean(parts, 0), rtol=1e-4, atol=1e-5)
    assert list(found) == [*PASSING, *(f"random_{name}" for name in PASSING), "agreement"]


def test_in_the_atlas(atlas, tmp_path) -> None:
    """Labels that fit predict their units; random words do not; the numbers do not drift."""
    made = analyse(atlas, ["faithfulness"])
    found = made.trust("faithfulness", "detect")
    assert len(found) == UNITS
    assert found["correlation"].mean() > 0.5
    assert abs(found["random_correlation"].mean()) < 0.3
    assert found["auprc"].mean() > found["random_auprc"].mean() + 0.2
    assert found["agreement"].isin([0, 0.5, 1]).all()
    entry = made.manifest["analyses"][f"faithfulness of {made.method()}"]
    assert entry["means"]["detect"]["correlation"] == pytest.approx(found["correlation"].mean())
    assert "warnings" not in entry
    again = open_analysis("faithfulness").run(LabelContext(made), made.method(), ["detect"])
    np.testing.assert_array_equal(again.layers["detect"]["f1"], found["f1"])


def test_failing_metrics_are_asked_for_under_a_warning(atlas) -> None:
    context = LabelContext(atlas)
    with pytest.warns(UserWarning, match="balanced-accuracy fails the sanity tests"):
        found = open_analysis("faithfulness:metrics=iou+balanced-accuracy").run(
            context, atlas.method(), ["detect"]
        )
    columns = ["iou", "balanced_accuracy", "random_iou", "random_balanced_accuracy", "agreement"]
    assert list(found.layers["detect"]) == columns
    assert found.facts["warnings"] == [pytest.approx(found.facts["warnings"][0])]


def test_misuse(atlas) -> None:
    with pytest.raises(UsageError, match=r"Expected `metric` to be one of .* Nearest: iou"):
        open_analysis("faithfulness:metrics=iuo")
    with pytest.raises(UsageError, match="at most half the number of images"):
        analyse(atlas, ["faithfulness:folds=31"])
    labelled = label(atlas, "clip-avg")
    with pytest.raises(UsageError, match="scores all concepts by a similarity, got clip-avg"):
        analyse(labelled, ["faithfulness"], method="clip-avg")


def test_dead_units_have_nothing(tmp_path) -> None:
    """A dead unit abstains in every fold; one word leaves no random other."""
    atlas = known_atlas(tmp_path / "atlas", images=24)
    activations = np.array(LabelContext(atlas).activations("detect"))
    activations[:, 3] = 1.5
    context = LabelContext(atlas, activations={"detect": activations})
    found = open_analysis("faithfulness").run(context, atlas.method(), ["detect"]).layers["detect"]
    assert all(np.isnan(values[3]) for values in found.values())
    assert np.isfinite(found["correlation"][4])
    assert nym.open(atlas.folder).analyses() == []
    blank = LabelContext(atlas, activations={"detect": np.ones_like(activations)})
    found = open_analysis("faithfulness").run(blank, atlas.method(), ["detect"])
    assert set(found.facts["means"]["detect"].values()) == {None}
    assert all(np.isnan(values).all() for values in found.layers["detect"].values())
