"""Features, calibrators fitted on known units, confidence in the atlas, the command."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import neuronym as nym
from known_world import LIARS, NAMES, UNITS, WORDS, known_atlas, right
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.analysis.trust import confidence
from neuronym.analysis.trust.base import open_analysis
from neuronym.analysis.trust.calibration import (
    DEFAULT_FEATURES,
    calibrate,
    known_units,
    open_calibrator,
)
from neuronym.analysis.trust.explanation_metrics import ranks
from neuronym.analysis.trust.features import FEATURES, features, measured
from neuronym.analysis.trust.run import analyse, in_order
from neuronym.atlas.context import LabelContext
from neuronym.cli.app import app
from neuronym.labelling.run import label
from neuronym.report import reliability_sheet

KIND = "clip-dissect.soft-wpmi"


@pytest.fixture(scope="module")
def atlases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("known")
    return [known_atlas(folder / f"net{n}", noise, n) for n, noise in enumerate((0.3, 0.9, 0.6))]


@pytest.fixture
def atlas(atlases, tmp_path):
    shutil.copytree(atlases[0].folder, tmp_path / "atlas")
    return nym.open(tmp_path / "atlas")


def test_signs_against_loops() -> None:
    rng = np.random.default_rng(1)
    count, units, concepts, top_k, a = 37, 6, 11, 4, 7.0
    drawn = (rng.normal(size=(n, 5)) for n in (count, concepts))
    images, texts = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in drawn)
    activations = np.maximum(rng.normal(size=(count, units)), -0.5)
    activations[:, 1] = activations[:, 0] ** 3  # the same order
    labels = np.array([rng.permutation(concepts)[:5] for _ in range(units)])
    labels[2, 3:], labels[4] = -1, -1
    scores = -np.sort(-rng.normal(size=(units, 5)), axis=1)
    scores[4] = np.nan
    found = measured(
        activations.astype(np.float32),
        images.astype(np.float32),
        texts.astype(np.float32),
        labels,
        scores,
        logit_scale=a,
        top_k=top_k,
    )
    p = np.exp(a * images @ texts.T)
    p /= p.sum(1, keepdims=True)
    best = activations.argmax(0)
    for unit in (0, 1, 2, 3, 5):
        own = activations[:, unit]
        weights = 1 / np.sqrt([1 + sum(own > v) + (sum(own == v) - 1) / 2 for v in own])
        fits = [np.corrcoef(weights, p[:, c])[0, 1] for c in labels[unit] if c >= 0]
        assert found["fit"][unit] == pytest.approx(fits[0], abs=1e-5)
        assert found["fit_margin"][unit] == pytest.approx(fits[0] - max(fits[1:]), abs=1e-5)
        gap = scores[unit, 0] - scores[unit, 1]
        assert found["margin"][unit] == pytest.approx(np.log(gap + 0.05))
        others = sum(best[u] == best[unit] for u in (0, 1, 2, 3, 5) if u != unit)
        assert found["crowding"][unit] == pytest.approx(np.log((1 + others) / (1 + 4 / count)))
        z = (own.max() - own.mean()) / own.std()
        assert found["lead"][unit] == pytest.approx(np.log(z), abs=1e-5)
        assert found["positive"][unit] == pytest.approx(np.mean(own > 0))
    assert found["fit"][1] == pytest.approx(
        found["fit"][0] if labels[0, 0] == labels[1, 0] else found["fit"][1]
    )
    assert np.isnan([found[name][4] for name in ("fit", "fit_margin", "margin")]).all()


def test_default_signs_follow_from_the_order_of_the_images(atlas) -> None:
    """Labels of soft-wpmi do; what is said of them must not depend on the scale either."""
    context, method = LabelContext(atlas), atlas.method()
    rows = np.asarray(context.activations("detect"))
    bent = LabelContext(atlas, activations={"detect": np.exp(rows.astype(np.float64) * 3)})
    one, two = (features(m, method, "detect") for m in (context, bent))
    for name in DEFAULT_FEATURES:
        np.testing.assert_allclose(one[name], two[name], atol=1e-5, err_msg=name)
    assert not np.allclose(one["lead"], two["lead"], atol=0.01)


def test_signs_of_constant_units_and_single_labels() -> None:
    rng = np.random.default_rng(2)
    images, texts = (np.abs(rng.normal(size=(n, 4))).astype(np.float32) for n in (9, 3))
    images, texts = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (images, texts))
    activations = rng.normal(size=(9, 3)).astype(np.float32)
    activations[:, 1] = 2
    labels, scores = np.array([[0], [1], [-1]]), np.array([[0.5], [0.4], [np.nan]])
    found = measured(activations, images, texts, labels, scores, logit_scale=5, top_k=1)
    assert np.isfinite(found["fit"][0])
    assert np.isnan(found["fit"][1:]).all()
    for name in ("fit_margin", "clarity"):  # there is no second label, no pair
        assert np.isnan(found[name]).all()
    same = np.repeat(texts[:1], 3, axis=0)
    found = measured(
        activations, images, same, np.array([[0, 1]] * 3), np.zeros((3, 2)), logit_scale=5, top_k=3
    )
    assert np.isnan(found["fit"]).all()  # p(t | x) is the same for all images
    assert ranks(np.zeros((1, 3))).tolist() == [[2, 2, 2]]


def test_known_units(atlas) -> None:
    known = known_units(atlas)
    assert known.kind == KIND
    np.testing.assert_array_equal(known.right, right(atlas))
    assert 5 < known.right.sum() <= LIARS
    assert list(known.features) == list(DEFAULT_FEATURES)
    assert known.about["units"] == UNITS
    assert atlas.analyses() == []  # nothing was needed
    every = known_units(atlas, names=list(FEATURES))
    assert nym.open(atlas.folder).analyses() == ["bootstrap", "significance"]
    assert np.isfinite(np.stack(list(every.features.values()))).all()
    assert str(atlas.folder.parent) not in json.dumps(known.about)


def test_truth_from_a_file(atlas, tmp_path) -> None:
    """Only units that it names; non-interpretable ones have no right label."""
    rows = [f"detect,{u},{NAMES[u % 5]}s,label,me," for u in range(15)]
    rows += [f"detect,{u},,non-interpretable,me," for u in range(15, 22)]
    rows += ["detect,30,,unsure,me,"]
    file = tmp_path / "truth.csv"
    file.write_text("\n".join(["layer,unit,label,status,annotator,time", *rows]), "utf-8")
    exact, lemma = (known_units(atlas, str(file), match=how) for how in ("exact", "lemma"))
    assert len(exact.right) == len(lemma.right) == 22
    assert not exact.right.any()
    np.testing.assert_array_equal(lemma.right[:15], right(atlas)[:15])
    assert not lemma.right[15:].any()


def test_calibrate(atlases) -> None:
    made = calibrate(atlases[:2], tests=[atlases[2]], name="colours", isotonic=False)
    assert made.calibrator.kind == KIND
    assert [entry["units"] for entry in made.calibrator.fitted_on] == [UNITS, UNITS]
    assert list(made.across) == ["net0", "net1"]
    assert next(iter(made.named)) == "cross-fitted, same atlases"
    assert made.within.units == 2 * UNITS
    assert made.calibrator.measures["across"]["net1"]["share"] == right(atlases[1]).mean()
    assert "bins" not in made.calibrator.measures["within"]
    known = known_units(atlases[2])
    by_hand = made.calibrator.probability(known.features)
    assert made.tests["net2"].mean == pytest.approx(by_hand.mean())
    table = reliability_sheet.table(made.named)
    assert [row["on"] for row in table.rows] == list(made.named)
    assert len(reliability_sheet.draw(made.named).axes) == 6  # two rows of three


def test_calibrate_refuses(atlases, atlas) -> None:
    with pytest.raises(UsageError, match=r"Expected `features` to be names among .* Nearest: fit"):
        calibrate(atlases, features=["fitt"])
    with pytest.raises(UsageError, match="at least one atlas"):
        calibrate([])
    other = label(atlas, "clip-dissect:cos")
    with pytest.raises(
        UsageError, match=r"labels of one kind, got clip-dissect\.cos, clip-dissect"
    ):
        calibrate([atlases[0], known_only(other, "clip-dissect.cos")])
    with pytest.raises(NeuronymError, match="no annotations"):
        calibrate([atlas], "annotations")
    with pytest.raises(UsageError, match="No unit of .* has all of chance: chance cannot be"):
        blank = {"detect": np.ones((60, UNITS), np.float32)}
        known_units(relabelled(atlas, blank), names=["chance"])


def known_only(atlas, method: str):
    """The atlas with this method first."""
    first = {f"labels {method}": atlas.manifest.stages[f"labels {method}"]}
    atlas.manifest.stages = first | atlas.manifest.stages
    return atlas


def relabelled(atlas, activations):
    """The atlas with significance of nothing but NaN."""
    made = analyse(atlas, ["significance"])
    frame = made.trust("significance").assign(p=np.nan)
    made.trust = lambda analysis, layer=None, unit=None, method=None: frame
    return made


def test_confidence_in_the_atlas(atlases, atlas, tmp_path) -> None:
    made = calibrate(atlases[1:], name="colours", isotonic=True)
    made.calibrator.save(tmp_path / "colours.json")
    spec = f"confidence:calibrator={tmp_path / 'colours.json'}"
    done = analyse(atlas, [spec])
    assert done.analyses() == ["confidence"]
    found = done.trust("confidence", "detect")
    assert list(found.columns) == ["layer", "unit", "confidence", *DEFAULT_FEATURES]
    wanted = made.calibrator.probability(known_units(atlas).features)
    np.testing.assert_allclose(found["confidence"], wanted)
    labels = done.labels("detect", 3)
    assert labels["confidence"].nunique() == 1
    assert labels["confidence"].iloc[0] == found["confidence"][3]
    entry = done.manifest["analyses"][f"confidence of {done.method()}"]
    assert entry["calibrator"] == "colours"
    assert entry["without_confidence"] == 0
    assert [one["atlas"] for one in entry["fitted_on"]] == ["net1", "net2"]
    assert done.caveats() == [entry["caveat"]]
    assert "fitted on 80 units of known truth (detectors)" in entry["caveat"]
    assert "fitted with the encoder" not in entry["caveat"]  # the same one


def test_another_encoder_than_the_calibrators_is_said(atlas) -> None:
    done = analyse(atlas, ["confidence:calibrator=default"])
    caveat = done.manifest["analyses"][f"confidence of {done.method()}"]["caveat"]
    used = done.manifest.encoder.name
    assert f"fitted with the encoder conse, and these labels were made with {used}" in caveat


def test_another_backbone_is_no_other_encoder() -> None:
    default = open_calibrator("default")
    for encoder in ("conse", "conse:efficientnet-lite1", "conse:torchvision:resnet50,classes=5"):
        assert confidence._caveat(default, encoder) == default.caveat
    for encoder in ("sketch", "open-clip:ViT-B-16/openai"):
        assert confidence._caveat(default, encoder).endswith("more than their size.")


def test_analyses_that_a_calibrator_reads_come_first(atlases, tmp_path) -> None:
    assert [a.name for a in in_order([open_analysis("confidence")])] == ["confidence"]
    made = calibrate(atlases[:2], features=["stability", "chance", "fit"], isotonic=False)
    made.calibrator.save(tmp_path / "more.json")
    wanted = open_analysis(f"confidence:calibrator={tmp_path / 'more.json'}")
    assert [a.name for a in in_order([wanted])] == ["bootstrap", "significance", "confidence"]


def test_confidence_refuses(atlas) -> None:
    with pytest.raises(UsageError, match="no such file"):
        analyse(atlas, ["confidence:calibrator=none.json"])
    other = label(atlas, "clip-dissect:wpmi")
    with pytest.raises(UsageError, match=r"for labels of clip-dissect\.wpmi, got default, which"):
        analyse(other, ["confidence:calibrator=default"], method="clip-dissect.wpmi")
    named = label(other, "clip-avg")
    with pytest.raises(UsageError, match="got default, which was fitted"):
        analyse(named, ["confidence:calibrator=default"], method="clip-avg")


def test_units_without_a_label_have_no_confidence(atlas) -> None:
    rows = np.array(LabelContext(atlas).activations("detect"))
    rows[:, 5] = -2
    again = LabelContext(atlas, activations={"detect": rows})
    labels = atlas.labels(trust=False)
    labels.loc[labels["unit"] == 5, ["abstained", "concept", "score"]] = [True, None, np.nan]
    atlas.labels = lambda *given, **options: labels
    found = open_analysis("confidence:calibrator=default").run(again, atlas.method(), ["detect"])
    values = found.layers["detect"]["confidence"]
    assert np.isnan(values[5])
    assert np.isfinite(np.delete(values, 5)).all()
    assert found.facts["without_confidence"] == 1


def test_command(atlases, tmp_path) -> None:
    folders = [str(atlas.folder) for atlas in atlases]
    out, figure = tmp_path / "mine.json", tmp_path / "mine.png"
    given = [*folders[:2], "--out", str(out), "--figure", str(figure), "--test", folders[2]]
    done = CliRunner().invoke(app, ["calibrate", *given])
    assert done.exit_code == 0, done.output
    assert "What inner units respond to is not known" in " ".join(done.output.split())
    assert open_calibrator(str(out)).name == "mine"
    assert figure.read_bytes()[:4] == b"\x89PNG"
    done = CliRunner().invoke(app, ["calibrate", *folders[:2], "--json", "--logistic"])
    data = json.loads(done.output)
    assert data["calibrator"]["knots"] is None
    assert len(data["reliability"]) == 3
    assert set(data["reliability"]["net0, from the others"]) >= {"ece", "brier", "bins", "auc"}
    shutil.copytree(folders[0], tmp_path / "copy")
    done = CliRunner().invoke(
        app, ["trust", str(tmp_path / "copy"), f"confidence:calibrator={out}"]
    )
    assert done.exit_code == 0, done.output
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "copy"), "detect:3"])
    assert "calibrator mine" in " ".join(shown.output.split())
    summary = json.loads(CliRunner().invoke(app, ["show", str(tmp_path / "copy"), "--json"]).output)
    assert "calibrator mine" in summary["caveats"][0]


def test_words_of_the_world() -> None:
    assert set(NAMES) < set(WORDS)
