"""Labels under resampled probes against the definition in float64."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from neuronym._core.errors import UsageError
from neuronym.analysis.trust import bootstrap
from neuronym.analysis.trust.bootstrap import (
    Bootstrap,
    Resampled,
    bootstrap_labels,
    concept_set,
    image_sets,
    relabel,
)
from neuronym.atlas.schema import MethodFacts
from neuronym.similarity.cosine import Cos
from neuronym.similarity.rank_reorder import RankReorder
from neuronym.similarity.wpmi import SoftWpmi, Wpmi
from replicas import replica
from scored_world import METHOD, scored
from wpmi_replica import evidence, log_normalisers, probabilities, world


def drawn(column, tie, counts, top_k):
    """The set of one unit in one resample: every image as often as it was drawn; or None."""
    images = [i for i in range(len(column)) for _ in range(counts[i])]
    if len(images) < top_k:
        return None
    above = sum(column[i] > min(column) for i in images)
    if above < min(top_k, len(images) - 1):
        return None
    return sorted(images, key=lambda i: (-column[i], tie[i]))[:top_k]


@pytest.fixture
def case(tmp_path):
    """Units of every kind: plain, tied, mostly at its minimum, always negative, dead."""
    rng = np.random.default_rng(8)
    images, texts, (rows,) = world("cone", 43, 29, (6,))
    rows[:, 1] = np.round(rows[:, 1] / np.std(rows[:, 1]))
    rows[:, 2] = np.maximum(rows[:, 2] - np.sort(rows[:, 2])[-9], 0)
    rows[:, 3] -= 50
    rows[:, 4] = 1
    return tmp_path, rows, images, texts, rng.permutation(43)


@pytest.mark.parametrize("top_k", [1, 6, 43])
def test_sets(case, top_k):
    folder, rows, images, texts, tie = case
    context = scored(SoftWpmi(top_k=top_k, a=10), {"one": rows}, images, texts, folder, tie)
    rng = np.random.default_rng(0)
    counts = np.concatenate([bootstrap.draws(43, 17, rng), bootstrap.split(43, 3, rng)])
    units = np.array([5, 0, 1, 2, 3])
    sets = image_sets(context, "one", units, counts, top_k)
    assert sets.shape == (5, 23, top_k)
    for place, unit in enumerate(units):
        for resample, times in enumerate(counts):
            expected = drawn(rows[:, unit].tolist(), tie, times, top_k)
            assert sets[place, resample].tolist() == (expected or [-1] * top_k)
    if top_k == 6:
        assert (sets[3] == -1).any()
        assert not (sets[3] == -1).all()


@pytest.mark.parametrize("make", [SoftWpmi, Wpmi])
@pytest.mark.parametrize("prior", ["layer", "probe"])
def test_labels_and_scores_are_those_of_the_formula_with_the_prior_held(case, make, prior):
    folder, rows, images, texts, tie = case
    texts[11] = texts[4]  # equal scores, of which the smaller number comes first
    similarity = make(top_k=6, a=12.0, prior=prior)
    context = scored(similarity, {"one": rows}, images, texts, folder, tie)
    counts = bootstrap.draws(43, 13, np.random.default_rng(2))
    found = relabel(similarity, context, ["one"], counts, 256)["one"]
    top = similarity.top(rows, images, texts, 5, tie=tie)
    np.testing.assert_array_equal(found.full, top.concepts)
    p = probabilities(images, texts, 12.0, log_normalisers(images, texts, 12.0))
    for unit in range(6):
        for resample, times in enumerate(counts):
            own = drawn(rows[:, unit].tolist(), tie, times, 6)
            if unit == 4 or own is None:
                assert found.labels[unit, resample].tolist() == [-1] * 5
                continue
            score = evidence(similarity, p[own][None])[0]
            score -= similarity.lam * top.arrays["log_prior"]
            first = found.full[unit, 0]
            assert abs(found.scores[unit, resample] - score[first]) < 1e-4
            best = score[found.labels[unit, resample]]
            assert np.abs(np.sort(score)[::-1][:5] - best).max() < 1e-4
            labels = found.labels[unit, resample].tolist()
            assert 11 not in labels or labels.index(4) < labels.index(11)


def test_fewer_candidates_change_only_what_they_lack(case):
    folder, rows, images, texts, tie = case
    similarity = SoftWpmi(top_k=6, a=12.0)
    context = scored(similarity, {"one": rows}, images, texts, folder, tie)
    counts = bootstrap.draws(43, 31, np.random.default_rng(2))
    every = relabel(similarity, context, ["one"], counts, 256)["one"].labels[:, :, 0]
    few = relabel(similarity, context, ["one"], counts, 9)["one"]
    kept = similarity.top(rows, images, texts, 9, tie=tie).concepts
    for unit in (0, 1, 3, 5):
        known = np.isin(every[unit], kept[unit])
        assert (few.labels[unit, known, 0] == every[unit, known]).all()
        assert np.isin(few.labels[unit, :, 0], kept[unit]).all()


def test_other_similarities_search_again(case):
    folder, rows, images, texts, tie = case
    counts = bootstrap.draws(43, 4, np.random.default_rng(2))
    context = scored(Cos(), {"one": rows[:, :3], "two": rows[:, 3:]}, images, texts, folder, tie)
    found = relabel(Cos(), context, ["one", "two"], counts, 8)
    for resample, times in enumerate(counts):
        rows_here = np.repeat(np.arange(43), times)
        scores = replica("cos", rows[rows_here], images[rows_here], texts)
        for unit in (0, 1, 2, 3, 5):
            layer, place = ("one", unit) if unit < 3 else ("two", unit - 3)
            label = found[layer].labels[place, resample, 0]
            assert scores[unit].max() - scores[unit, label] < 1e-5
            kept = found[layer].scores[place, resample]
            full = found[layer].full[place, 0]
            assert np.isnan(kept) or abs(kept - scores[unit, full]) < 1e-5
    assert (found["two"].labels[1] == -1).all()
    analysis = Bootstrap(resamples=50, halves=20)
    assert analysis.run(context, METHOD, ["one"]).facts["resamples"] == 20
    reorder = scored(RankReorder(top_fraction=0.3), {"one": rows}, images, texts, folder / "b", tie)
    columns = Bootstrap(resamples=3, halves=1).run(reorder, METHOD, ["one"]).layers["one"]
    assert np.isnan(columns["stability"][4])
    assert np.isfinite(columns["stability"][[0, 3, 5]]).all()


def test_columns(case):
    folder, rows, images, texts, tie = case
    similarity = SoftWpmi(top_k=6, a=12.0)
    context = scored(similarity, {"one": rows}, images, texts, folder, tie)
    found = Bootstrap(resamples=40, coverage=0.8, halves=7, seed=3).run(context, METHOD, ["one"])
    columns = found.layers["one"]
    counts = bootstrap.draws(len(images), 40, np.random.default_rng(3))[:, context.tie]
    plain = bootstrap.relabel(similarity, context, ["one"], counts, 256)["one"]
    public = bootstrap_labels(context, METHOD, ["one"], 40, 3)["one"]
    np.testing.assert_array_equal(public.labels, plain.labels)
    for unit in (0, 1, 3, 5):
        labels = plain.labels[unit, :, 0]
        assert columns["stability"][unit] == (labels == plain.full[unit, 0]).mean()
        shared = [len({*plain.full[unit]} & {*own}) for own in plain.labels[unit].tolist()]
        jaccard = np.mean([n / (10 - n) for n in shared])
        assert columns["top5_jaccard"][unit] == pytest.approx(jaccard)
        low, high = np.percentile(plain.scores[unit], [10, 90])
        assert columns["low"][unit] == pytest.approx(low)
        assert columns["high"][unit] == pytest.approx(high)
        assert 0 <= columns["half_agreement"][unit] <= 1
    for name, column in columns.items():
        assert column[4] is None or np.isnan(column[4]), name  # dead
    with_set = [unit for unit, size in enumerate(columns["set_size"]) if size is not None]
    assert found.facts["units_with_set"] == {"one": len(with_set)}
    assert found.facts["halves"] == 7


def test_the_set_of_families_by_counting(case):
    """The families of independent halves, the most frequent first; none where five are too few."""
    folder, rows, images, texts, tie = case
    similarity = SoftWpmi(top_k=6, a=12.0)
    context = scored(similarity, {"one": rows}, images, texts, folder, tie)
    context.atlas.manifest.stages["families"] = {}
    context.atlas.manifest.more["families"] = {"by": "hand"}
    words = list(context.words)
    heads = [words[row // 4 * 4] for row in range(len(words))]
    context.atlas.families = pd.DataFrame({"concept": words, "family": heads})
    analysis = Bootstrap(resamples=9, coverage=0.7, halves=6, seed=2)
    found = analysis.run(context, METHOD, ["one"]).layers["one"]
    rng = np.random.default_rng(2)
    counts = np.concatenate(
        [bootstrap.draws(len(images), 9, rng), bootstrap.split(len(images), 6, rng)]
    )[:, context.tie]
    labels = bootstrap.relabel(similarity, context, ["one"], counts, 256)["one"].labels
    shown = 0
    for unit in (0, 1, 3, 5):
        own = [heads[label] if label >= 0 else None for label in labels[unit, 9:, 0]]
        most = Counter(word for word in own if word).most_common()
        needed = next(
            (n for n in range(1, 6) if sum(c for _, c in most[:n]) >= 0.7 * 12 - 1e-9), None
        )
        assert found["set_size"][unit] == needed
        if needed:
            shown += 1
            assert {*found["concept_set"][unit]} <= {*heads}
            covered = sum(own.count(word) for word in found["concept_set"][unit]) / 12
            assert found["coverage"][unit] == pytest.approx(covered)
        both = [a is not None and a == b for a, b in zip(own[::2], own[1::2], strict=True)]
        assert found["family_half_agreement"][unit] == pytest.approx(np.mean(both))
        assert found["family_half_agreement"][unit] >= found["half_agreement"][unit]
        assert found["family_stability"][unit] >= found["stability"][unit]
    assert shown


def test_concept_sets():
    labels, full = np.array([7, 3, 7, 3, 2, 9, 7, -1, 3, 1]), np.array([3, 7, 1, 2, 9])
    assert concept_set(labels, full, 0.6)[0].tolist() == [3, 7]  # equally often: the better first
    chosen, share = concept_set(labels, full, 0.61)
    assert chosen.tolist() == [3, 7, 1]
    assert share == pytest.approx(0.7)
    chosen, share = concept_set(labels, full, 1)
    assert chosen.tolist() == [3, 7, 1, 2, 9]
    assert share == pytest.approx(0.9)
    assert concept_set(np.array([-1, -1]), full, 0.9)[0].tolist() == []


def test_halves_share_no_image():
    halves = bootstrap.split(11, 4, np.random.default_rng(0))
    assert halves.shape == (8, 11)
    assert (halves.sum(1) == 5).all()
    assert ((halves[0::2] + halves[1::2]) <= 1).all()
    assert len({tuple(own) for own in halves.tolist()}) == 8
    labels = np.array([[[3], [3], [4], [5], [-1], [-1]]])
    agreed = bootstrap._half_agreement(np.array([[3]]), labels)
    assert agreed.tolist() == pytest.approx([1 / 3])


def test_jaccard_with_fewer_than_five_concepts():
    full = np.array([[4, 2, 0, -1, -1], [-1] * 5])
    labels = np.array([[[2, 4, 1, -1, -1], [4, 2, 0, -1, -1]], [[-1] * 5, [-1] * 5]])
    found = bootstrap._jaccard(Resampled(full, labels, np.zeros((2, 2))))
    assert found.tolist() == [[0.5, 1], [0, 0]]


@pytest.mark.parametrize("concepts", [1, 3])
def test_few_images_and_concepts(tmp_path, concepts):
    rng = np.random.default_rng(0)
    images, texts, _ = world("random", 17, 3, (1,))
    for count, top_k in ((1, 1), (2, 2), (17, 17), (17, 9)):
        similarity = SoftWpmi(top_k=top_k, a=10)
        layers = {"one": rng.normal(size=(count, 4)), "dead": np.zeros((count, 2))}
        folder = tmp_path / f"{count}-{top_k}"
        context = scored(similarity, layers, images[:count], texts[:concepts], folder)
        found = Bootstrap(resamples=5).run(context, METHOD, list(layers)).layers
        assert np.isnan(found["dead"]["stability"]).all()
        assert found["dead"]["set_size"] == [None, None]
        if (top_k, concepts) == (9, 1):
            assert (found["one"]["stability"] == 1).all()
        if top_k == 9:  # a half holds eight
            assert (found["one"]["half_agreement"] == 0).all()


def test_other_methods_are_refused(tmp_path):
    images, texts, (rows,) = world("random", 29, 13, (5,))
    context = scored(SoftWpmi(top_k=3, a=10), {"one": rows}, images, texts, tmp_path)
    context.atlas.manifest.methods[METHOD] = MethodFacts(
        labeller="netdissect", method="netdissect", more={"with_defaults": "k=3"}
    )
    with pytest.raises(UsageError, match="choose them with --method"):
        Bootstrap().check(context, METHOD)
