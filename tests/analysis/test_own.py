"""A calibrator of the network itself, from its class neurons labelled again."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest

import neuronym as nym
from known_world import NAMES, WORDS, Deep, known_atlas, known_target
from neuronym._core.errors import UsageError
from neuronym.analysis.trust.base import open_analysis
from neuronym.analysis.trust.calibration import DEFAULT_FEATURES, fit
from neuronym.analysis.trust.features import features
from neuronym.analysis.trust.own import FEWEST, class_units, own_calibrator
from neuronym.analysis.trust.run import analyse
from neuronym.atlas.context import LabelContext
from neuronym.labelling.run import label
from neuronym.report.summary import print_summary
from small_world import ColourEncoder, coloured_images

UNITS = 240


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return known_atlas(tmp_path_factory.mktemp("own") / "atlas", 1.1, units=UNITS)


@pytest.fixture
def atlas(made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "atlas")
    return nym.open(tmp_path / "atlas")


def test_with_all_class_names_among_the_words(atlas) -> None:
    """The private labels are then the atlas's own: features and truth follow from them."""
    context, method = LabelContext(atlas), atlas.method()
    values, right, units = class_units(context, method, "detect")
    wanted = features(context, method, "detect", DEFAULT_FEATURES)
    usable = np.all([np.isfinite(v) for v in wanted.values()], 0)
    assert usable.sum() >= FEWEST
    np.testing.assert_array_equal(units, np.flatnonzero(usable))
    for name, column in values.items():
        np.testing.assert_allclose(column, wanted[name][usable], rtol=1e-5, err_msg=name)
    first = atlas.first_labels("detect", trust=False)["concept"].to_numpy()
    classes = np.array([NAMES[unit % len(NAMES)] for unit in range(UNITS)])
    np.testing.assert_array_equal(right, (first == classes)[usable])
    assert 0.2 < right.mean() < 0.98
    found = own_calibrator(context, method)
    plain = fit(values, right, kind="clip-dissect.soft-wpmi")
    assert found.coefficients == plain.coefficients
    assert found.fitted_on[0]["units"] == len(right)
    assert found.measures["within"]["units"] == len(right)


def test_class_names_that_the_words_lack_are_added(tmp_path) -> None:
    """Without its class among the words no label could be right; the atlas keeps no such label."""
    words = [word for word in WORDS if not set(word.split()) & set(NAMES[:3])]
    atlas = known_atlas(tmp_path / "atlas", 1.1, units=UNITS, words=words)
    assert not set(NAMES[:3]) & set(atlas.labels(trust=False)["concept"].dropna())
    context = LabelContext(atlas, encoder=ColourEncoder())
    _, right, _ = class_units(context, atlas.method(), "detect")
    kept = sum(unit % len(NAMES) >= 3 for unit in range(UNITS))
    assert right.sum() > 0.1 * UNITS
    done = analyse(atlas, ["confidence"], encoder=ColourEncoder())
    assert done.manifest.analyses[f"confidence of {done.method()}"].more["calibrator"] == "own"
    assert not set(NAMES[:3]) & set(done.labels(trust=False)["concept"].dropna())
    shown = done.first_labels("detect")["concept"].to_numpy()
    classes = np.array([NAMES[unit % len(NAMES)] for unit in range(UNITS)])
    assert not np.isin(shown, NAMES[:3]).any()
    # Only with their names among the words can units of the first three classes be right.
    assert (shown == classes).sum() + 10 < right.sum() <= UNITS
    assert kept < UNITS


def test_it_is_calibrated_and_separates(atlas) -> None:
    """Confidence follows the share of right labels, and other methods get their own."""
    done = analyse(atlas, ["confidence"])
    first = done.first_labels("detect")
    classes = np.array([NAMES[unit % len(NAMES)] for unit in range(UNITS)])
    right = first["concept"].to_numpy() == classes
    confidence = first["confidence"].to_numpy()
    assert abs(confidence.mean() - right.mean()) < 0.05
    assert confidence[right].mean() > confidence[~right].mean() + 0.05
    entry = done.manifest.analyses[f"confidence of {done.method()}"]
    assert "240" in entry.caveat
    assert entry.more["measures"]["within"]["ece"]["value"] < 0.1
    again = label(done, "clip-avg")
    again = analyse(again, ["confidence"], method="clip-avg")
    other = again.first_labels("detect", method="clip-avg")["confidence"].to_numpy()
    assert np.isfinite(other).mean() > 0.9
    assert not np.allclose(other, confidence)


def test_a_run_ends_with_the_analyses(tmp_path, examined_runs: None) -> None:
    """As for users; what cannot be made is kept as a sentence."""
    done = known_atlas(tmp_path / "atlas", 1.1, units=UNITS)
    assert sorted(done.analyses()) == ["bootstrap", "confidence", "faithfulness", "significance"]
    assert done.manifest.refused == {}
    assert done.top(5).attrs["by"] == "confidence"
    few = known_atlas(tmp_path / "few", 0.9)
    assert "confidence" not in few.analyses()
    (said,) = few.manifest.refused.values()
    assert "got 40, so confidence is unknown" in said


def test_without_known_truth_nothing_is_borrowed(tmp_path) -> None:
    """40 class neurons are too few, and a calibrator of another encoder is not taken instead."""
    few = known_atlas(tmp_path / "few", 0.9)
    with pytest.raises(UsageError, match="at least 200 neurons of known truth .* got 40"):
        analyse(few, ["confidence"])
    unnamed = known_atlas(tmp_path / "unnamed", 0.9)
    unnamed.manifest.target.class_names = None
    with pytest.raises(UsageError, match="so confidence is unknown"):
        open_analysis("confidence").check(LabelContext(unnamed), unnamed.method())
    with pytest.raises(UsageError, match="so confidence is unknown"):
        own_calibrator(LabelContext(unnamed), unnamed.method())


def test_a_method_of_more_than_arrays_is_refused(atlas, monkeypatch) -> None:
    from neuronym.labelling.methods.clip_avg import ClipAvg

    named = label(atlas, "clip-avg")
    monkeypatch.setattr(ClipAvg, "needs", ("activations", "target"))
    with pytest.raises(UsageError, match="reads more than activations and embeddings"):
        analyse(named, ["confidence"], method="clip-avg")


def inner_only(folder, **settings):
    """A run of a layer in the middle of a classifier of 240 classes."""
    return known_atlas(folder, 1.1, units=UNITS, **{"layers": ["inner"]} | settings)


def test_a_run_of_inner_layers_records_the_output_layer_for_confidence_alone(
    tmp_path, examined_runs: None, capsys
) -> None:
    """The numbers are those of a run that labels both layers; no list has the output layer."""
    atlas, both = inner_only(tmp_path / "a"), inner_only(tmp_path / "b", layers=["inner", "detect"])
    assert atlas.manifest.target.calibration_layer["layer"] == "detect"
    assert both.manifest.target.calibration_layer is None
    confidence = atlas.labels()["confidence"]
    assert confidence.notna().all()
    pd.testing.assert_series_equal(confidence, both.labels("inner")["confidence"])
    entry, other = (a.manifest.analyses[f"confidence of {a.method()}"] for a in (atlas, both))
    assert "class neurons of this network (detect, recorded for calibration only)" in entry.caveat
    assert "class neurons of this network (detect);" in other.caveat
    assert list(atlas.layers) == atlas.labelled_layers() == ["inner"]
    tables = [atlas.units, atlas.exemplars(), atlas.labels(), atlas.top(500), atlas.search("red")]
    tables += [atlas.trust(name) for name in atlas.analyses()]
    assert {layer for table in tables for layer in table["layer"]} == {"inner"}
    assert atlas.manifest.units == len(NAMES)
    with pytest.raises(UsageError, match="one of the atlas's 1 layers"):
        atlas["detect", 0]
    print_summary(atlas)
    printed = " ".join(capsys.readouterr().out.split()).replace(entry.caveat, "")
    assert "inner" in printed
    assert not re.search(r"\bdetect\b", printed)
    again = label(atlas, "clip-avg", target=target())
    again = analyse(again, ["confidence"], method="clip-avg")
    assert again.labels(method="clip-avg")["confidence"].notna().all()
    assert set(again.labels(method="clip-avg")["layer"]) == {"inner"}


@pytest.mark.parametrize("keep", ["topk", "none"])
def test_what_the_atlas_does_not_keep_is_read_again(tmp_path, keep, examined_runs: None) -> None:
    atlas = inner_only(tmp_path / "a", keep=keep)
    assert atlas.labels()["confidence"].notna().all()
    assert not list((atlas.folder / "arrays").glob("activations-detect*"))
    given = {"target": target(), "probe": coloured_images(60, 0), "encoder": ColourEncoder()}
    again = label(atlas, "clip-avg", cache=str(tmp_path / "other"), **given)
    analyse(again, ["confidence"], method="clip-avg", cache=str(tmp_path / "other"), **given)
    assert nym.open(atlas.folder).labels(method="clip-avg")["confidence"].notna().all()


def test_without_trust_or_enough_classes_no_layer_is_added(tmp_path) -> None:
    atlas = inner_only(tmp_path / "a", trust=False)
    assert atlas.manifest.target.calibration_layer is None
    assert "calibration_layer" not in (atlas.folder / "atlas.json").read_text("utf-8")
    assert [file.name for file in (atlas.folder / "arrays").glob("act*")] == [
        "activations-inner.safetensors"
    ]
    with pytest.raises(UsageError, match="so confidence is unknown"):
        analyse(atlas, ["confidence"])
    few = known_atlas(tmp_path / "few", layers=["inner"])
    assert few.manifest.target.calibration_layer is None


def target():
    return known_target(1.1, 0, UNITS, Deep)
