"""faithfulness: words from one half of the probe, tested on the other."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import held_out
from scipy.stats import mannwhitneyu

import neuronym as nym
from known_world import UNITS, WORDS, known_atlas
from neuronym._core.errors import UsageError
from neuronym.analysis.families import families_of
from neuronym.analysis.trust.base import open_analysis
from neuronym.analysis.trust.explanation_metrics import METRICS, Pair
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.context import LabelContext
from neuronym.labelling.run import label
from neuronym.similarity.wpmi import SoftWpmi
from small_world import ColourEncoder

PASSING = ["correlation", "cosine", "f1", "iou", "auprc"]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    return known_atlas(tmp_path_factory.mktemp("faithful") / "atlas")


def _effect(p: np.ndarray, high: np.ndarray) -> float:
    pairs = [(a > b) + 0.5 * (a == b) for a in p[high] for b in p[~high]]
    return float(np.mean(pairs))


def test_against_loops(atlas) -> None:
    """Two splits by hand: label from each half, measure and test p(t | x) on the other."""
    analysis = open_analysis("faithfulness:splits=2,seed=4,share=0.15")
    context, method = LabelContext(atlas), atlas.method()
    found = analysis.run(context, method, ["detect"]).layers["detect"]
    activations = np.asarray(context.activations("detect"))
    images, texts = (
        np.asarray(v, np.float64) for v in (context.image_embeddings, context.text_embeddings)
    )
    a = atlas.manifest["methods"][method]["logit_scale"]
    p = np.exp(a * images @ texts.T)
    p /= p.sum(1, keepdims=True)
    shown = atlas.labels("detect", trust=False).query("rank == 1").sort_values("unit")["concept"]
    same = families_of(atlas).same
    parts: dict[str, list[np.ndarray]] = {n: [] for n in (*PASSING, "effect", "words_as_good")}
    parts |= {"word_agreement": [], "agreement": []}
    chances = []
    for split in range(2):
        drawn = np.random.default_rng(4 + split).permutation(len(images)) % 2 == 0
        half = np.empty(len(images), bool)
        half[np.argsort(atlas.tie)] = drawn
        for inside in (half, ~half):
            top = SoftWpmi(top_k=6, a=a).top(
                activations[inside],
                images[inside].astype(np.float32),
                texts.astype(np.float32),
                1,
                tie=np.argsort(np.argsort(atlas.tie[inside])),
            )
            labels, rest = top.concepts[:, 0], p[~inside]
            pair = Pair(activations[~inside].T, rest[:, labels].T, 0.15)
            for name in PASSING:
                parts[name].append(METRICS[name].measure(pair))
            words = np.array(WORDS, object)[labels]
            parts["word_agreement"].append(words == shown.to_numpy())
            parts["agreement"].append([same(a, b) for a, b in zip(words, shown, strict=True)])
            effects, better, chance = [], [], []
            for unit, label_of in enumerate(labels):
                order = np.lexsort((atlas.tie[~inside], -activations[~inside, unit]))
                high = np.isin(np.arange(len(order)), order[:5])
                every = [_effect(rest[:, word], high) for word in range(len(WORDS))]
                effects.append(every[label_of])
                others = [e >= every[label_of] - 1e-6 for w, e in enumerate(every) if w != label_of]
                better.append(np.mean(others))
                chance.append(
                    mannwhitneyu(
                        rest[high, label_of],
                        rest[~high, label_of],
                        alternative="greater",
                        method="exact",
                    ).pvalue
                )
            parts["effect"].append(effects)
            parts["words_as_good"].append(better)
            chances.append(chance)
    for name, values in parts.items():
        np.testing.assert_allclose(found[name], np.mean(values, 0), rtol=1e-4, atol=1e-5)
    c = np.array(chances)
    splits = [np.minimum(1, 2 * np.minimum(c[0], c[1])), np.minimum(1, 2 * np.minimum(c[2], c[3]))]
    np.testing.assert_allclose(
        found["held_out_p"], np.minimum(1, 2 * np.median(splits, 0)), rtol=1e-4
    )
    assert (found["effect_low"] <= found["effect"]).all()
    assert (found["effect"] <= found["effect_high"]).all()
    assert (found["halves"] == 4).all()


def test_the_order_of_the_images_changes_nothing(atlas) -> None:
    """The halves go by content hash: the same images in another order give the same numbers."""
    context, method = LabelContext(atlas), atlas.method()
    order = np.random.default_rng(0).permutation(context.count)
    found = open_analysis("faithfulness").run(context, method, ["detect"]).layers["detect"]
    again = open_analysis("faithfulness").run(_Turned(atlas, order), method, ["detect"])
    for name, values in found.items():
        np.testing.assert_allclose(again.layers["detect"][name], values, rtol=1e-5, err_msg=name)


class _Turned(LabelContext):
    """The same atlas with its images in another order."""

    def __init__(self, atlas, order: np.ndarray) -> None:
        whole = LabelContext(atlas)
        super().__init__(
            atlas, activations={"detect": np.asarray(whole.activations("detect"))[order]}
        )
        self.__dict__["images"] = whole.images.iloc[order].reset_index(drop=True)
        self.__dict__["tie"] = atlas.tie[order]
        vectors = np.asarray(whole.image_embeddings)[order]
        self.__dict__["_embeddings"] = {"images": vectors, "concepts": whole.text_embeddings}


def test_permuted_units_are_not_discovered(atlas) -> None:
    """One permutation of the images for all units, many times: seldom a single discovery."""
    context, method = LabelContext(atlas), atlas.method()
    rows = np.asarray(context.activations("detect"))
    analysis = open_analysis("faithfulness:splits=1,metrics=f1")
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(20):
        shuffled = LabelContext(atlas, activations={"detect": rows[rng.permutation(len(rows))]})
        found = analysis.run(shuffled, method, ["detect"]).layers["detect"]
        hits += bool((found["held_out_q"] <= 0.05).any())
    assert hits <= 4  # of 20 at 5 %: five or more have probability .003
    real = analysis.run(context, method, ["detect"]).layers["detect"]
    assert (real["held_out_q"] <= 0.05).mean() > 0.5


@pytest.mark.parametrize("method", ["clip-avg", "clip-dissect:cos", "linear", "semanticlens"])
def test_every_method_of_arrays_is_run_again_on_halves(atlas, method: str) -> None:
    made = label(atlas, method, encoder=ColourEncoder())
    chosen = made.methods[-1]
    facts = analyse(made, ["faithfulness:splits=1"], method=chosen, encoder=ColourEncoder())
    entry = facts.manifest.analyses[f"faithfulness of {chosen}"].more
    assert entry["labelled_again"]
    assert "note" not in entry
    found = facts.trust("faithfulness", "detect", method=chosen)
    assert found["effect"].notna().sum() > UNITS / 2
    assert found["word_agreement"].isin([0, 0.5, 1]).all()


def test_a_method_that_cannot_is_tested_with_its_labels(atlas, monkeypatch) -> None:
    """Its label is fixed, and the facts say that the images had a part in it."""
    made = label(atlas, "clip-avg:k=3")
    chosen = made.methods[-1]
    from neuronym.labelling.methods.clip_avg import ClipAvg

    monkeypatch.setattr(ClipAvg, "needs", ("activations", "target"))
    made = analyse(made, ["faithfulness:splits=1"], method=chosen)
    entry = made.manifest.analyses[f"faithfulness of {chosen}"].more
    assert not entry["labelled_again"]
    assert "helped to choose them" in entry["note"]
    found = made.trust("faithfulness", "detect", method=chosen)
    assert (found["agreement"] == 1).all()


def test_in_the_atlas(atlas, tmp_path) -> None:
    """Labels that fit predict their units; random words do not; the numbers do not drift."""
    made = analyse(atlas, ["faithfulness"])
    found = made.trust("faithfulness", "detect")
    assert len(found) == UNITS
    assert found["correlation"].mean() > 0.5
    assert abs(found["random_correlation"].mean()) < 0.3
    assert found["auprc"].mean() > found["random_auprc"].mean() + 0.2
    assert (6 * found["agreement"] % 1 < 1e-9).all()
    assert (found["agreement"] >= found["word_agreement"]).all()
    entry = made.manifest["analyses"][f"faithfulness of {made.method()}"]
    assert entry["means"]["detect"]["correlation"] == pytest.approx(found["correlation"].mean())
    assert "warnings" not in entry
    permuted = entry["permuted"]["detect"]
    assert permuted["word_agreement"] <= permuted["agreement"] < found["agreement"].mean()
    again = open_analysis("faithfulness").run(LabelContext(made), made.method(), ["detect"])
    np.testing.assert_array_equal(again.layers["detect"]["f1"], found["f1"])


@pytest.mark.parametrize("test", held_out.TESTS)
def test_units_that_say_nothing_are_hardly_ever_discovered(shuffles, test: str) -> None:
    """Activations moved to other images, jointly: of all units, and of half of them."""
    every, some = shuffles
    assert np.count_nonzero([(found[test] <= 0.05).any() for _, found in every]) <= 3
    hits = [(found[test] <= 0.05, moved) for moved, found in some]
    shares = np.array([(hit & moved).sum() / max(hit.sum(), 1) for hit, moved in hits])
    assert shares.mean() <= 0.05 + 2 * shares.std(ddof=1) / np.sqrt(len(shares))
    if test == "held_out_q":  # the other half does say something
        assert np.mean([hit[~moved].mean() for hit, moved in hits]) > 0.5


@pytest.fixture(scope="module")
def shuffles(atlas):
    """By shuffle which units were moved and what was found: all units, then half of them."""
    context, layers = LabelContext(atlas), ["detect"]
    return [
        [(moved["detect"], found["detect"]) for moved, found in made]
        for made in (
            held_out.shuffled(context, layers, 15),
            held_out.shuffled(context, layers, 8, 0.5),
        )
    ]


def test_failing_metrics_are_asked_for_under_a_warning(atlas) -> None:
    context = LabelContext(atlas)
    with pytest.warns(UserWarning, match="balanced-accuracy fails the sanity tests"):
        found = open_analysis("faithfulness:metrics=iou+balanced-accuracy").run(
            context, atlas.method(), ["detect"]
        )
    columns = ["iou", "balanced_accuracy", "random_iou", "random_balanced_accuracy"]
    assert [name for name in found.layers["detect"] if "iou" in name or "acc" in name] == columns
    assert found.facts["warnings"] == [pytest.approx(found.facts["warnings"][0])]


def test_misuse(atlas) -> None:
    with pytest.raises(UsageError, match=r"Expected `metric` to be one of .* Nearest: iou"):
        open_analysis("faithfulness:metrics=iuo")
    with pytest.raises(UsageError, match="folds"):
        analyse(atlas, ["faithfulness:folds=3"])


def test_dead_units_have_nothing(tmp_path) -> None:
    """A dead unit abstains in every half; one word leaves no random other."""
    atlas = known_atlas(tmp_path / "atlas", images=24)
    activations = np.array(LabelContext(atlas).activations("detect"))
    activations[:, 3] = 1.5
    context = LabelContext(atlas, activations={"detect": activations})
    found = open_analysis("faithfulness").run(context, atlas.method(), ["detect"]).layers["detect"]
    assert found.pop("halves")[3] == 0
    assert all(np.isnan(values[3]) for values in found.values())
    assert np.isfinite(found["correlation"][4])
    assert nym.open(atlas.folder).analyses() == []
    blank = LabelContext(atlas, activations={"detect": np.ones_like(activations)})
    found = open_analysis("faithfulness").run(blank, atlas.method(), ["detect"])
    assert set(found.facts["means"]["detect"].values()) == {None}
    columns = {k: v for k, v in found.layers["detect"].items() if k != "halves"}
    assert all(np.isnan(values).all() for values in columns.values())
