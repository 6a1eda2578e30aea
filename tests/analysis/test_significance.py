"""p-values against the definition in float64, and what chance and planted units get."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neuronym._core.errors import NeuronymError, UsageError
from neuronym.analysis.trust import significance
from neuronym.analysis.trust.base import open_analysis
from neuronym.analysis.trust.significance import Significance
from neuronym.atlas.schema import MethodFacts
from neuronym.similarity.base import SIMILARITIES
from neuronym.similarity.cosine import Cos
from neuronym.similarity.wpmi import SoftWpmi
from scored_world import METHOD, scored
from wpmi_replica import evidence, log_normalisers, probabilities, world


def benjamini_hochberg(p):
    """q-values by the textbook."""
    order, count = sorted(range(len(p)), key=lambda i: p[i]), len(p)
    q, least = [0.0] * count, 1.0
    for place in reversed(range(count)):
        least = min(least, p[order[place]] * count / (place + 1))
        q[order[place]] = least
    return q


def best_of(similarity, sets, images, texts, prior, units):
    """Of every set the best score, the set standing in for one of the layer's units."""
    p = probabilities(images, texts, similarity.a, log_normalisers(images, texts, similarity.a))
    found = []
    for own in sets:
        first = evidence(similarity, p[own][None])[0]
        if similarity.prior == "layer":
            mean = np.logaddexp(np.log(max(units - 1, 1e-300)) + prior, first) - math.log(units)
        else:
            mean = prior
        found.append((first - similarity.lam * mean).max())
    return np.array(found)


@pytest.mark.parametrize("prior", ["layer", "probe"])
@pytest.mark.parametrize(("kind", "lam"), [("soft-wpmi", 1.0), ("soft-wpmi", 0.7), ("wpmi", 0.6)])
def test_replica(tmp_path, kind, lam, prior):
    images, texts, layers = world("cone", 53, 37, (2, 7))
    similarity = SIMILARITIES[kind].make(top_k=6, a=15.0, lam=lam, prior=prior)
    named = dict(zip(("narrow", "wide"), layers, strict=True))
    named["wide"][:, 3] = 1.0  # dead: neither tested nor one of the layer's units
    context = scored(similarity, named, images, texts, tmp_path)
    found = Significance(sets=211, fdr=0.3, seed=5).run(context, METHOD, list(named))
    sets = significance.random_sets(53, 6, 211, 5)
    for layer, units in (("narrow", 2), ("wide", 6)):
        own = similarity.top(named[layer], images, texts, 1)
        chance = best_of(similarity, sets, images, texts, own.arrays["log_prior"], units)
        active = [unit for unit, reason in enumerate(own.reasons) if reason is None]
        p = [(1 + sum(chance >= s - 1e-4)) / 212 for s in own.scores[active, 0].astype(float)]
        columns, about = found.layers[layer], found.facts["chance"][layer]
        assert columns["p"][active] == pytest.approx(p, abs=1.5 / 212)  # one set at the border
        q = benjamini_hochberg(columns["p"][active])
        assert columns["q"][active] == pytest.approx(q)
        assert [columns["significant"][u] for u in active] == [v <= 0.3 for v in q]
        assert about["tested"] == units
        assert about["quantiles"]["95"] == pytest.approx(np.percentile(chance, 95), abs=1e-4)
        above = [own.scores[u, 0] > about["threshold"] for u in active]
        assert above == [bool(columns["significant"][u]) for u in active]
    dead = {name: column[3] for name, column in found.layers["wide"].items()}
    assert math.isnan(dead["p"])
    assert math.isnan(dead["q"])
    assert dead["significant"] is dead["reason"] is None


def test_random_sets_are_sets():
    sets = significance.random_sets(9, 4, 500, 1)
    assert sets.shape == (500, 4)
    assert all(len(set(own)) == 4 for own in sets.tolist())
    assert set(sets[:, 0].tolist()) == set(range(9))  # in no order
    assert (sets == significance.random_sets(9, 4, 500, 1)).all()
    assert (sets != significance.random_sets(9, 4, 500, 2)).any()
    assert sorted(significance.random_sets(5, 5, 3, 0)[2].tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("units", [10, 60])
@pytest.mark.parametrize("kind", ["soft-wpmi", "wpmi"])
def test_p_is_uniform_where_activations_say_nothing(tmp_path, kind, units):
    # Scores that many units reach (log K bounds them) would be ties, and p larger than uniform.
    rng, layers = np.random.default_rng(0), 300 // units
    images, texts, _ = world("random", 97, 41, (1,))
    similarity = SIMILARITIES[kind].make(top_k=4, a=5.0)
    named = {f"layer {i}": rng.normal(size=(97, units)) for i in range(layers)}
    context = scored(similarity, named, images, texts, tmp_path)
    found = Significance(sets=1000).run(context, METHOD, list(named))
    p = np.concatenate([columns["p"] for columns in found.layers.values()])
    for level in (0.05, 0.2, 0.5):
        assert abs((p <= level).mean() - level) < 4.5 * math.sqrt(level * (1 - level) / 300)
    assert sum(sum(c["significant"]) for c in found.layers.values()) <= 0.05 * 300


@pytest.mark.parametrize("name", ["cos", "cos-cubed", "rank-reorder", "soft-wpmi", "wpmi"])
def test_permuted_units_abstain_and_planted_ones_do_not(tmp_path, name):
    rng = np.random.default_rng(3)
    images, texts, _ = world("cone" if name == "rank-reorder" else "random", 163, 19, (1,))
    parameters = {"top_k": 6, "a": 20.0} if name.endswith("wpmi") else {}
    parameters |= {"top_fraction": 0.2} if name == "rank-reorder" else {}
    planted = (images @ texts.T)[:, :5]
    planted += 0.1 * planted.std() * rng.normal(size=(163, 5))
    heavy = np.exp(2 * rng.normal(size=(163, 35)))  # of every shape, and empty of meaning
    layer = np.concatenate([planted, np.abs(rng.normal(size=(163, 30))), heavy], 1)
    similarity = SIMILARITIES[name].make(**parameters)
    context = scored(similarity, {"one": layer}, images, texts, tmp_path)
    found = Significance(sets=1400).run(context, METHOD, ["one"])
    significant = np.array(found.layers["one"]["significant"])
    assert significant[:5].all()
    assert significant[5:].mean() <= 0.05
    p = found.layers["one"]["p"][5:]
    assert 0.3 < p.mean() < 0.7
    assert found.layers["one"]["reason"][0] is None
    reasons = {r.split(" (")[0] for r in found.layers["one"]["reason"] if r}
    assert reasons == {"no better than chance"}


def test_standardised_scores_know_no_scale():
    rng = np.random.default_rng(0)
    scores, chance = rng.normal(size=4000), rng.normal(size=(4000, 10))
    own, there = significance.standardised(scores, chance)
    shifted = significance.standardised(scores * 7 - 3, chance * 7 - 3)
    np.testing.assert_allclose(shifted[0], own)
    np.testing.assert_allclose(shifted[1], there)
    # A unit that says nothing is one more of its own permutations.
    p = 1 - np.searchsorted(np.sort(there.ravel()), own) / there.size
    assert abs((p <= 0.05).mean() - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 4000)
    own, there = significance.standardised(np.array([2.0]), np.full((1, 10), 2 + 1e-9))
    assert own.tolist() == [0]
    assert not there.any()


def ugly(kind):
    """Activations of shapes that break things."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(17, 6)).astype(np.float32)
    if kind == "dead":
        rows[:] = 2
    elif kind == "one image":
        rows = rows[:1]
    elif kind == "negative":
        rows = -1 - np.abs(rows)
    elif kind == "ties":
        rows = np.round(rows)
    elif kind == "few positive":
        rows = np.maximum(rows - np.sort(rows, 0)[-3], 0)
    elif kind == "not finite":
        rows[3, :2], rows[4, 2] = np.nan, np.inf
    return rows


@pytest.mark.parametrize("concepts", [1, 11])
@pytest.mark.parametrize("top_k", [3, 17])
@pytest.mark.parametrize(
    "kind", ["plain", "dead", "one image", "negative", "ties", "few positive", "not finite"]
)
def test_ugly_input(tmp_path, kind, top_k, concepts):
    rows = ugly(kind)
    images, texts, _ = world("random", 17, 11, (1,))
    images, texts = images[: len(rows)], texts[:concepts]
    for similarity in (SoftWpmi(top_k=min(top_k, len(rows)), a=10), Cos()):
        folder = tmp_path / similarity.name
        context = scored(similarity, {"one": rows}, images, texts, folder)
        found = Significance(sets=30).run(context, METHOD, ["one"]).layers["one"]
        tested = np.isfinite(found["score"])
        p = found["p"][tested]
        assert (np.isfinite(found["p"]) == tested).all()
        assert ((p > 0) & (p <= 1)).all()
        if concepts == 1 and similarity.name == "soft-wpmi":
            assert (p == 1).all()  # p(t | x) = 1 for every image


def test_sets_follow_the_widest_layer():
    assert Significance()._draws(40, 10_000) == 10_000
    assert Significance()._draws(1000, 10_000) == 20_000
    assert Significance(fdr=0.01)._draws(2048, 1000) == 50_000
    assert Significance(sets=77)._draws(2048, 1000) == 77
    with pytest.raises(UsageError, match="`sets` to be a whole number of at least 19"):
        open_analysis("significance:sets=3")
    with pytest.raises(UsageError, match="`fdr`"):
        Significance(fdr=2)
    assert open_analysis("significance:fdr=0.01,sets=500").spec == "significance:sets=500,fdr=0.01"


def test_what_cannot_be_tested_is_refused(tmp_path):
    images, texts, (rows,) = world("random", 29, 13, (5,))
    context = scored(SoftWpmi(top_k=3, a=10), {"one": rows}, images, texts, tmp_path)
    for file in (tmp_path / "arrays").iterdir():
        file.unlink()
    with pytest.raises(NeuronymError, match="Label again with"):
        Significance(sets=30).run(context, METHOD, ["one"])
    context.atlas.manifest.methods[METHOD] = MethodFacts(labeller="clip-avg", method="clip-avg")
    with pytest.raises(UsageError, match="method that scores all concepts by a similarity"):
        Significance().check(context, METHOD)
