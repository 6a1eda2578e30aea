"""The tables of a study, held against counting by hand and straightforward replicas."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

import neuronym as nym
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.intervals import wilson
from neuronym._core.tables import as_text
from neuronym.analysis.evaluation.base import TABLES, open_context, open_table, table
from neuronym.analysis.evaluation.bins import BINS, STUDY, as_in_the_study, binned
from neuronym.analysis.evaluation.curves import auc, auprc, precision_at, threshold
from neuronym.analysis.trust.run import analyse
from neuronym.analysis.truth.base import Answer, Truth
from neuronym.analysis.truth.files import write_answers
from neuronym.analysis.truth.store import Annotations
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas
from neuronym.cli.app import app
from neuronym.inputs.targets.base import Target
from neuronym.labelling.base import Labeller, Labels, LayerLabels
from neuronym.labelling.run import label
from neuronym.similarity.base import open_similarity
from small_world import PLANTED, SMALL, ColourEncoder, Detectors, coloured_images

WPMI = "clip-dissect:soft-wpmi,top_k=7"
#: "dog" and "moss" have one embedding in the encoder of the small world.
WORDS = [*PLANTED, "dog", "moss", "Dog", "reds", "hat", "cap"]
#: First labels of the seven units of `detect`, best first; None: the unit abstains.
LABELS = [
    ["red", "green"],
    ["moss", "hat", "green"],
    ["hat", "cap", "moss", "dog", "Blue"],
    None,
    ["reds"],
    ["hat", "cap"],
    ["cap", "hat", "red", "moss", "blue", "purple"],
]
SCORES = [0.9, 0.8, 0.7, np.nan, 0.6, 0.5, 0.4]
#: What a person says: unit → word, or None for non-interpretable.
TRUTH = {0: "RED", 1: "green", 2: "blue", 3: "yellow", 4: "red", 5: None, 6: "purple"}


@dataclass(frozen=True)
class Fixed(Labeller):
    """Labels given beforehand."""

    name: ClassVar[str] = "fixed"
    labels: Any = None

    def __post_init__(self) -> None: ...

    @property
    def spec(self) -> str:
        return self.name

    def label(self, context: LabelContext, layers: Sequence[str], count: int) -> Labels:
        words = np.full((7, 6), None, object)
        for unit, some in enumerate(LABELS):
            words[unit, : len(some or [])] = some or []
        reasons = tuple("unclear" if some is None else None for some in LABELS)
        scores = np.array(SCORES, np.float32)[:, None] - np.float32(0.01) * np.arange(6)
        return Labels({"detect": LayerLabels(words, scores.astype(np.float32), reasons)})


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("evaluation")
    classes = ("red", "DOG", "blue, azure", "a wolf")
    made = nym.dissect(
        Target("detectors", Detectors().eval(), SMALL, classes),
        layers=["detect", "head"],
        probe=coloured_images(43),
        concepts=WORDS,
        encoder=ColourEncoder(),
        out=folder / "atlas",
        cache=str(folder / "cache"),
        batch_size=8,
        similarity="soft-wpmi:top_k=7",
        labels=6,
        progress=None,
    )
    made = label(made, "clip-dissect:cos", labels=6)
    made = label(made, Fixed(), layers=["detect"])
    made = analyse(made, ["significance:sets=999"], method="clip-dissect:soft-wpmi,top_k=7")
    Annotations(made).add_many(
        Answer("detect", unit, "label" if word else "non-interpretable", word or "", "ann")
        for unit, word in TRUTH.items()
    )
    return made


def row(atlas: Atlas, name: str, layer: str = "detect", method: str = "fixed", **given: Any) -> Any:
    """The one row of a table about a layer and method."""
    given.setdefault("truth", "annotations")
    made = table(name, open_context(atlas, [method], **given))
    (found,) = [r for r in made.records if r["layer"] == layer]
    return found


# -- accuracy --------------------------------------------------------------------------------------


def test_the_counts_are_those_counted_by_hand(atlas: Atlas) -> None:
    found = row(atlas, "accuracy")
    # Right at rank 1: unit 0. At rank 3: 1. At rank 5: 2. At rank 6, so wrong: 6. 3 abstains,
    # 4 has a plural. 5 is non-interpretable.
    assert {k: found[k] for k in ("top1", "top3", "top5", "incorrect", "non_interpretable")} == {
        "top1": 1,
        "top3": 2,
        "top5": 3,
        "incorrect": 3,
        "non_interpretable": 1,
    }
    assert (found["total"], found["abstained"]) == (7, 1)
    assert found["top5_share"] == 3 / 6
    assert (found["top5_share_low"], found["top5_share_high"]) == wilson(3, 6)
    assert found["top5_labelled"] == 3 / 5


def test_lemmas_and_synonyms_accept_more(atlas: Atlas) -> None:
    assert row(atlas, "accuracy", match="lemma")["top1"] == 2  # reds
    # All words that are no colour have one embedding; yellow and the colours have their own.
    found = row(atlas, "accuracy", match="synonyms", synonyms=0.999)
    assert (found["top1"], found["top5"]) == (2, 4)
    with pytest.raises(UsageError, match="one of exact, lemma, synonyms, got 'close'"):
        row(atlas, "accuracy", match="close")


def test_several_names_of_a_class_are_right(atlas: Atlas) -> None:
    made = table("accuracy", open_context(atlas, ["clip-dissect:cos"], truth="classes"))
    labels = atlas.labels("head", method="clip-dissect:cos")
    names = [{"red"}, {"dog"}, {"blue", "azure", "blue, azure"}, {"a wolf"}]
    places = [
        [r for r, c in zip(f["rank"], f["concept"], strict=True) if c.casefold() in names[u]]
        for u, f in labels.groupby("unit")
    ]
    (found,) = made.records
    for n in (1, 3, 5):
        assert found[f"top{n}"] == sum(min(p, default=9) <= n for p in places)


def test_several_layers_are_summed_and_the_unsure_left_out(atlas: Atlas, tmp_path: Path) -> None:
    rows = [
        Answer("detect", 0, "own", "red"),
        Answer("detect", 1, "unsure"),
        Answer("head", 0, "own", "nothing"),
        Answer("head", 3, "non-interpretable"),
    ]
    write_answers(rows, tmp_path / "t.csv")
    methods = ["clip-dissect:cos", "fixed"]
    made = table("accuracy", open_context(atlas, methods, truth=str(tmp_path / "t.csv")))
    totals = {(r["layer"], r["method"]): r["total"] for r in made.records}
    assert totals == {
        ("detect", "clip-dissect.cos"): 1,
        ("head", "clip-dissect.cos"): 2,
        ("all", "clip-dissect.cos"): 3,
        ("detect", "fixed"): 1,
    }
    assert made.totals == 1
    assert "Left out: 1 units of which the truth is unsure." in made.notes


def test_labels_that_beat_chance_are_counted_beside_all(atlas: Atlas) -> None:
    method = WPMI
    found = atlas.trust("significance", "detect", method=method)
    beyond = set(found["unit"][found["reason"].isna() & found["q"].notna()])
    labels = atlas.labels("detect", method=method, trust=False).query("rank == 1 and not abstained")
    assert 0 < len(beyond) < len(labels)
    # The first and the last unit are wrong, all others right.
    own = [(word,) for word in labels["concept"]]
    own[0] = own[-1] = ("nothing",)
    wrong = {labels["unit"].iloc[0], labels["unit"].iloc[-1]}
    every = Truth("own", labels[["layer", "unit"]].assign(labels=own, status="own"))
    told = row(atlas, "accuracy", method=method, truth=every)
    assert told["top1"] == len(labels) - 2
    assert told["significant"] == len(beyond)
    assert told["top1_significant"] == len(beyond - wrong)
    share = wilson(len(beyond - wrong), len(beyond))
    ends = told["top1_of_significant_low"], told["top1_of_significant_high"]
    assert ends == share
    shown = atlas.first_labels("detect", method=method)
    assert told["abstained"] == shown["abstained"][shown["unit"].isin(labels["unit"])].sum()
    (most,) = [r for r in _frequent(atlas, method) if r["place"] == 1 and r["layer"] == "detect"]
    assert most["units"] == labels["concept"].value_counts().iloc[0]
    best = labels["unit"][labels["concept"] == most["concept"]]
    assert most["significant"] == len(beyond & set(best))
    assert most["different"] == labels["concept"].nunique()
    assert most["different_significant"] == labels["concept"][labels["unit"].isin(beyond)].nunique()


def _frequent(atlas: Atlas, *methods: str) -> list[dict[str, Any]]:
    return table("concepts", open_context(atlas, list(methods) or None)).records


def test_a_row_is_the_same_whatever_other_methods_stand_beside_it(atlas: Atlas) -> None:
    """One method was examined against chance, two were not."""
    for name, truth in (("accuracy", "annotations"), ("accuracy", "classes"), ("concepts", None)):
        every = table(name, open_context(atlas, truth=truth)).records
        assert {r["method"] for r in every} == set(atlas.methods) or truth == "classes"
        for method in {r["method"] for r in every}:
            alone = table(name, open_context(atlas, [method], truth=truth)).records
            assert alone == [r for r in every if r["method"] == method]
    examined = [r for r in _frequent(atlas) if r["significant"] is not None]
    assert {r["method"] for r in examined} == {atlas.method(WPMI)}


def test_all_labels_is_told_to_change_nothing(atlas: Atlas) -> None:
    how = ("table", str(atlas.folder), "accuracy", "--truth", "annotations", "--json")
    plain, former = run(*how), run(*how, "--all-labels")
    assert former.stdout == plain.stdout
    assert "--all-labels changes nothing any more; it goes in 0.3" in former.stderr


# -- scores against correctness --------------------------------------------------------------------


def test_means_of_scores_by_correctness(atlas: Atlas) -> None:
    found = row(atlas, "correctness")
    assert found["mean_top1"] == pytest.approx(0.9)
    assert found["mean_top3"] == pytest.approx((0.9 + 0.8) / 2)
    assert found["mean_top5"] == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    assert found["mean_wrong"] == pytest.approx((0.6 + 0.5 + 0.4) / 3)  # 3 has no score
    assert found["mean_all"] == pytest.approx(0.65)
    assert found["auc"] == 1
    assert (found["right"], found["auprc"], found["above"]) == (pytest.approx(1 / 6), 1, 1)
    assert found["threshold"] == pytest.approx(0.9)
    most = row(atlas, "correctness:precision=0.5,top=5")
    assert (most["threshold"], most["above"]) == (pytest.approx(0.4), 6)


def test_curve(atlas: Atlas) -> None:
    made = table("curve:steps=3,top=5", open_context(atlas, ["fixed"], truth="annotations"))
    assert [r["units"] for r in made.records] == [2, 4, 6]
    assert [r["accuracy"] for r in made.records] == [1, 3 / 4, 3 / 6]
    with pytest.raises(UsageError, match="`top` to be a whole number 1…5, got '6'"):
        open_table("curve:top=6")


@pytest.mark.parametrize("seed", range(4))
def test_areas_are_those_of_scikit_learn_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, 61).astype(float)
    right = rng.random(61) < 0.1 + scores / 12
    assert auc(scores, right) == pytest.approx(roc_auc_score(right, scores))
    assert auprc(scores, right) == pytest.approx(average_precision_score(right, scores))
    order = rng.permutation(61)
    assert auprc(scores[order], right[order]) == pytest.approx(auprc(scores, right))
    pairs = [(a > b) + (a == b) / 2 for a in scores[right] for b in scores[~right]]
    assert auc(scores, right) == pytest.approx(np.mean(pairs))
    for wished in (0.3, 0.6, 0.9):
        good = [s for s in set(scores) if right[scores >= s].mean() >= wished]
        limit, count = threshold(scores, right, wished)
        if good:
            assert (limit, count) == (min(good), (scores >= min(good)).sum())
        else:
            assert np.isnan(limit)
            assert count == 0


def test_areas_of_nothing() -> None:
    none, some = np.zeros(0), np.array([1.0, 2.0])
    assert np.isnan(auc(none, none.astype(bool)))
    assert np.isnan(auprc(some, np.array([False, False])))
    assert np.isnan(auc(some, np.array([True, True])))
    assert auc(np.ones(5), np.array([1, 0, 0, 1, 0], bool)) == 0.5
    assert auprc(np.ones(5), np.array([1, 0, 0, 1, 0], bool)) == pytest.approx(2 / 5)
    assert [len(part) for part in precision_at(none, none.astype(bool))] == [0, 0, 0]


# -- bins ------------------------------------------------------------------------------------------


def test_each_score_is_in_one_bin_also_at_the_edges() -> None:
    edges = np.float32([0.3, 0.2, 0.1])
    below, above = np.nextafter(edges, -1), np.nextafter(edges, 1)
    assert binned(edges, STUDY).tolist() == binned(above, STUDY).tolist() == [0, 1, 2]
    assert binned(below, STUDY).tolist() == [1, 2, 3]
    assert binned(np.float32([0, -1e-9, -5, 9, np.nan]), STUDY).tolist() == [3, 3, 3, 0, 4]
    # 0.7 in float32 is smaller than 0.7.
    assert binned(np.float32([0.7]), (0.7, 0.6, 0.5)).tolist() == [0]
    rng = np.random.default_rng(0)
    scores = np.append(rng.normal(0.2, 0.2, 997), [np.nan] * 3).astype(np.float32)
    assert np.bincount(binned(scores, STUDY), minlength=5).sum() == 1000


def test_bins_with_edges(atlas: Atlas) -> None:
    found = row(atlas, "bins:high=0.9,medium=0.7,low=0.5")
    assert [found[name] for name in BINS] == [1, 2, 2, 1, 1]
    assert found["total"] == 7
    assert found["high_from"] == 0.9
    assert found["beats_chance"] is None
    for spec in ("bins:high=1", "bins:high=1,medium=2,low=0", "bins:high=1,medium=1,low=0"):
        with pytest.raises(UsageError, match="three edges, high > medium > low"):
            open_table(spec)


def test_bins_by_chance(atlas: Atlas) -> None:
    method = WPMI
    p = atlas.trust("significance", "detect", method=method)["p"].to_numpy()
    found = row(atlas, "bins", method=method)
    assert [found[name] for name in BINS] == [
        (p <= 0.001).sum(),
        ((p > 0.001) & (p <= 0.01)).sum(),
        ((p > 0.01) & (p <= 0.05)).sum(),
        (p > 0.05).sum(),
        np.isnan(p).sum(),
    ]
    assert found["high_from"] > found["medium_from"] > found["low_from"]
    beats = atlas.trust("significance", "detect", method=method)["significant"].eq(True)
    assert found["beats_chance"] == beats.mean()
    both = table("bins", open_context(atlas))
    assert {r["method"] for r in both.rows} == {atlas.method(method)}
    assert "nothing says what chance gives: clip-dissect.cos, fixed." in both.notes[-1]
    with pytest.raises(NeuronymError, match="says what chance gives. Give edges: bins:high="):
        row(atlas, "bins")  # significance refuses this method
    cos = "clip-dissect.cos"
    with pytest.raises(NeuronymError, match=f"significance --method {cos}`, or give edges: bins:"):
        row(atlas, "bins", method=cos)


def _claiming(atlas: Atlas, encoder: str, count: int, with_defaults: str, **facts: str) -> Atlas:
    manifest = copy.deepcopy(atlas.manifest)
    manifest.encoder.name, manifest.concepts.count = encoder, count
    manifest.methods["clip-dissect.cos"].more |= {"with_defaults": with_defaults, **facts}
    return Atlas(atlas.folder, manifest)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, True),
        ({"encoder": "hf:openai/clip-vit-base-patch16"}, True),
        ({"encoder": "open-clip:ViT-B-32/openai"}, False),
        ({"count": 10_000}, False),
        ({"with_defaults": "soft-wpmi:top_k=100,a=2"}, False),
        ({"with_defaults": "wpmi:top_k=28,a=10"}, False),
        ({"with_defaults": "soft-wpmi:top_k=100,a=10,prior=probe"}, False),
        ({"with_defaults": "cos", "format": "clip-search"}, True),
    ],
)
def test_the_studys_bins_are_for_its_configuration(
    atlas: Atlas, change: dict[str, Any], wanted: bool
) -> None:
    as_there = {
        "encoder": "open-clip:ViT-B-16/openai",
        "count": 19_873,
        "with_defaults": "soft-wpmi:top_k=100,a=10",
    }
    claimed = _claiming(atlas, **as_there | change)
    assert as_in_the_study(claimed, "clip-dissect.cos") is wanted
    if wanted:
        found = row(claimed, "bins", method="clip-dissect.cos")
        scores = claimed.labels("detect", method="clip-dissect.cos").query("rank == 1")["score"]
        assert found["high"] == (scores >= np.float32(0.3)).sum()
        assert found["total"] == 7


# -- known neurons ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [WPMI, "clip-dissect:cos"])
def test_ranks_are_those_among_all_scores(atlas: Atlas, method: str) -> None:
    names = ("cap", "purple", "dog", "x", "red", "red", "blue")
    truth = {
        "layer": "detect",
        "unit": range(7),
        "status": "label",
        "labels": [(n,) for n in names],
    }
    known = Truth("hand", pd.DataFrame(truth))
    found = row(atlas, "known", method=method, truth=known)
    context, filled = (
        LabelContext(atlas),
        atlas.manifest["methods"][atlas.method(method)]["with_defaults"],
    )
    scores = open_similarity(filled).scores(
        context.activations("detect"),
        context.image_embeddings,
        context.text_embeddings,
        tie=context.tie,
    )
    folded = [word.casefold() for word in WORDS]
    ranks, places = [], []
    for unit, name in enumerate(names):
        order = sorted(range(len(WORDS)), key=lambda c: (-scores[unit, c], c))
        own = [p + 1 for p, c in enumerate(order) if folded[c] == name]
        active = np.isfinite(scores[unit]).all()
        places.append(own[0] if own and active else np.inf)
        ranks += [own[0]] if own and active else []
    assert found["units"] == 7
    assert found["named"] == 6 - int(not np.isfinite(scores[5]).all())
    assert max(ranks) > 6  # beyond what was kept
    assert found["mean_rank"] == pytest.approx(np.mean(ranks))
    assert found["median_rank"] == np.median(ranks)
    assert found["top1"] == pytest.approx(np.mean(np.array(places) <= 1))
    assert found["top5"] == pytest.approx(np.mean(np.array(places) <= 5))
    best = np.nanmax(np.where(np.isfinite(scores), scores, -np.inf), axis=1)
    active = np.isfinite(best)
    hits = np.array(places)[active] == 1
    wanted = auc(best[active], hits)
    assert found["auc"] == (pytest.approx(wanted) if np.isfinite(wanted) else None)


def test_known_neurons_of_a_method_that_scores_no_other_words(atlas: Atlas) -> None:
    found = row(atlas, "known")
    assert found["mean_rank"] is None  # unit 3 abstains
    assert (found["units"], found["top1"]) == (6, pytest.approx(1 / 6))
    few = pd.DataFrame(
        {"layer": "detect", "unit": [0, 6], "status": "label", "labels": [("red",), ("purple",)]}
    )
    found = row(atlas, "known", truth=Truth("hand", few))
    assert (found["mean_rank"], found["median_rank"]) == ((1 + 6) / 2, 3.5)
    vectors = atlas.embeddings()["concepts"]
    own = float(vectors[WORDS.index("cap")] @ vectors[WORDS.index("purple")])
    assert found["cosine"] == pytest.approx((1 + own) / 2, abs=1e-6)


def test_known_neurons_that_all_abstain(atlas: Atlas) -> None:
    nobody = _Silent(atlas.folder, atlas.manifest)
    found = row(nobody, "known")
    assert (found["units"], found["top1"], found["top5"]) == (6, 0, 0)
    assert (found["mean_rank"], found["auc"]) == (None, None)
    found = row(nobody, "accuracy")
    assert (found["incorrect"], found["abstained"], found["top5_share"]) == (6, 7, 0)
    names = ("top5_labelled", "top5_labelled_low", "top5_labelled_high")
    assert [found[name] for name in names] == [None] * 3


class _Silent(Atlas):
    """The same atlas, in which no unit has a label."""

    def labels(self, *args: Any, **options: Any) -> pd.DataFrame:
        frame = super().labels(*args, **options)
        frame = frame[frame["rank"] == 1].assign(abstained=True, reason="dead")
        return frame.assign(concept=None, score=np.nan)


# -- frequency and agreement -----------------------------------------------------------------------


def test_frequent_concepts(atlas: Atlas) -> None:
    made = table("concepts:top=2", open_context(atlas, ["fixed"]))
    assert [(r["place"], r["concept"], r["units"]) for r in made.rows] == [
        (1, "hat", 2),
        (2, "cap", 1),
    ]
    assert made.rows[0]["share"] == pytest.approx(2 / 6)
    assert made.rows[0]["different"] == 5


def test_agreement_of_annotators(atlas: Atlas, tmp_path: Path) -> None:
    words = {"ann": ["red", "", "dog", "hat"], "bob": ["Red", "", "cat", None]}
    rows = [
        Answer(
            "detect",
            unit,
            "unsure" if w is None else "own" if w else "non-interpretable",
            w or "",
            name,
        )
        for name, some in words.items()
        for unit, w in enumerate(some)
    ]
    write_answers(rows, tmp_path / "t.csv")
    found = row(atlas, "agreement", truth=str(tmp_path / "t.csv"))
    assert (found["annotators"], found["units"], found["several"], found["unsure"]) == (2, 4, 3, 1)
    assert found["agree"] == pytest.approx(2 / 3)
    # Six answers in pairs: red twice, none twice, dog, cat.
    assert found["chance"] == pytest.approx((2 + 2) / (6 * 5))
    assert (found["agree_family"], found["chance_family"]) == (found["agree"], found["chance"])
    # red red | – – | dog cat: 1 − (6 − 1)·2/(36 − 4 − 4 − 1 − 1)
    assert found["alpha"] == pytest.approx(1 - 10 / 26)
    assert found["alpha_interpretable"] == 1
    dogs = [replace(a, label={"cat": "dogs"}.get(a.label, a.label)) for a in rows]
    write_answers(dogs, tmp_path / "dogs.csv")
    found = row(atlas, "agreement", truth=str(tmp_path / "dogs.csv"))
    assert found["agree"] == pytest.approx(2 / 3)
    assert found["agree_family"] == 1
    assert found["chance_family"] == pytest.approx(3 * 2 / (6 * 5))
    with pytest.raises(UsageError, match="Classes have no annotators"):
        row(atlas, "agreement", truth="classes", layer="head")


# -- subjects and the command line -----------------------------------------------------------------


def test_what_cannot_be_is_refused(atlas: Atlas) -> None:
    with pytest.raises(UsageError, match="one of accuracy, .* got 'acuracy'. Nearest: accuracy"):
        open_table("acuracy")
    with pytest.raises(UsageError, match="have no parameters, got 'top'"):
        open_table("accuracy:top=3")
    with pytest.raises(UsageError, match="one of .*, got 'fixd'. Nearest: fixed"):
        open_context(atlas, ["fixd"])
    with pytest.raises(UsageError, match="`truth` to be given for this table"):
        table("accuracy", open_context(atlas))
    nothing = Truth("nothing", pd.DataFrame(columns=["layer", "unit", "labels", "status"]))
    for name in ("accuracy", "correctness", "known"):
        with pytest.raises(NeuronymError, match=r"says nothing about|names no unit"):
            table(name, open_context(atlas, truth=nothing))


@pytest.mark.parametrize("entry", list(TABLES), ids=lambda e: e.name)
@pytest.mark.parametrize("form", ["terminal", "csv", "markdown", "latex", "json", "html"])
def test_every_table_in_every_format(atlas: Atlas, entry: Any, form: str) -> None:
    spec = entry.example if form != "csv" else entry.name
    method = WPMI
    made = table(spec, open_context(atlas, [method], truth="annotations"))
    text = as_text([made], form)
    assert "detect" in text
    if form == "json":
        assert json.loads(text)["rows"] == made.records


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_evaluate_from_the_command_line(atlas: Atlas, tmp_path: Path) -> None:
    folder = str(atlas.folder)
    found = run("evaluate", folder, "--truth", "annotations", "--method", "fixed", "--json")
    assert found.exit_code == 0, found.output
    names = [t["table"] for t in json.loads(found.stdout)]
    assert names == ["accuracy", "correctness", "known", "curve", "agreement"]
    found = run(
        "evaluate", folder, "--truth", "classes", "--out", str(tmp_path / "o"), "--format", "latex"
    )
    assert found.exit_code == 0, found.output
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [
        "accuracy.tex",
        "correctness.tex",
        "curve.tex",
        "known.tex",
    ]
    assert isinstance(run("evaluate", folder, "--truth", "clases").exception, UsageError)
    assert run("evaluate", folder).exit_code == 2
    truth = tmp_path / "truth.csv"
    truth.write_text("layer,unit,label\ndetect,0,red\n")
    for option, value, message in (
        ("--format", "pdf", "`format` to be one of"),
        ("--out", str(tmp_path / "x.csv"), "a folder: CSV holds one table per file"),
        ("--out", str(tmp_path / "x.pdf"), "a folder, or a file ending in"),
    ):
        wrong = run("evaluate", folder, "--truth", str(truth), option, value)
        assert isinstance(wrong.exception, UsageError)
        assert message in str(wrong.exception)
    wrong = run("table", folder, "accuracy", "--truth", str(truth), "--out", str(truth))
    assert "`out` to be another file than the truth" in str(wrong.exception)
    assert truth.read_text().endswith("detect,0,red\n")
    wrong = run("evaluate", folder, "--truth", "classes", "--synonyms", "0.5")
    assert wrong.exit_code == 2
    assert "--synonyms needs --match synonyms" in wrong.output


def test_table_from_the_command_line(atlas: Atlas, tmp_path: Path) -> None:
    folder, file = str(atlas.folder), tmp_path / "c.csv"
    found = run("table", folder, "concepts:top=2", "--methods", "fixed", "--out", str(file))
    assert found.exit_code == 0, found.output
    assert found.stdout == f"Table: {file}\n"
    rows = pd.read_csv(file, keep_default_na=False)
    assert rows["concept"].tolist() == ["hat", "cap"]
    found = run("table", folder, "concepts:top=2", "--methods", "fixed", "--format", "markdown")
    assert "| hat |" in found.stdout
    wrong = run("table", folder, "accuracy")
    assert wrong.exit_code == 2
    assert "The table accuracy needs --truth" in wrong.output
