"""Names of 0.1.0 work, and say what they are called now."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

import neuronym as nym
from neuronym._core import former
from neuronym.analysis.trust.calibration import open_calibrator
from neuronym.cli.app import app
from neuronym.similarity.base import Top
from neuronym.similarity.cosine import Cos
from small_world import ColourEncoder

#: What the documentation of 0.1.0 imported.
IMPORTED = [
    ("neuronym.concepts", "ConceptSet"),
    ("neuronym.encoders", "embed_concepts"),
    ("neuronym.encoders", "open_encoder"),
    ("neuronym.evaluation", "open_subject"),
    ("neuronym.evaluation", "table"),
    ("neuronym.interchange", "export_labels"),
    ("neuronym.interchange", "import_labels"),
    ("neuronym.interchange", "open_format"),
    ("neuronym.labellers", "Labeller"),
    ("neuronym.material", "Material"),
    ("neuronym.preprocess", "Preprocess"),
    ("neuronym.probes.synthetic", "SyntheticProbe"),
    ("neuronym.report.document", "build"),
    ("neuronym.report.document", "write"),
    ("neuronym.calibrating", "calibrate"),
    ("neuronym.trust.calibration", "Calibrator"),
    ("neuronym.encoders.base", "Encoder"),
    ("neuronym.labellers.base", "LABELLERS"),
    ("neuronym.report.plots", "view"),
    ("neuronym.search", "Searcher"),
    ("neuronym.similarity", "SoftWpmi"),
    ("neuronym.stability", "Settings"),
    ("neuronym.stability", "study"),
    ("neuronym.tables", "as_text"),
    ("neuronym.tables", "print_table"),
    ("neuronym.targets", "open_target"),
    ("neuronym.trust", "open_analysis"),
    ("neuronym.trust.explanation_metrics", "METRICS"),
    ("neuronym.truth", "Annotations"),
    ("neuronym.truth", "open_truth"),
]


@pytest.mark.parametrize(("module", "name"), IMPORTED)
def test_imports_of_before(module: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{name} is called neuronym"):
        exec(f"from {module} import {name}", space := {})
    assert space[name] is not None


def test_a_module_of_before_by_itself() -> None:
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import neuronym.truth, neuronym.trust.explanation_metrics as metrics\n"
        "from neuronym import grid\n"
        "from neuronym.report import document\n"
        "import neuronym.atlas, neuronym.search\n"
        "neuronym.atlas.open_atlas, neuronym.search.Searcher\n"
        "assert document.build and document.write\n"
        "found = neuronym.truth.open_truth, metrics.measure, grid.run\n"
        "print(*(function.__module__ for function in found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "neuronym.analysis.truth.open",
        "neuronym.analysis.trust.explanation_metrics",
        "neuronym.pipeline.grid",
    ]


def test_every_place_is_there_and_other_names_are_not() -> None:
    for places in former.MODULES.values():
        for place in places:
            importlib.import_module(f"neuronym.{place}")
    for wrong in ("neuronym.nothing", "neuronym.truth.nothing", "neuronym.nothing.at_all"):
        with pytest.raises(ImportError, match="nothing"):
            importlib.import_module(wrong)
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec("from neuronym.search import nothing")


def test_the_sharpness_of_an_encoder() -> None:
    with pytest.warns(DeprecationWarning, match=r"Mine\.sharpness is called logit_scale"):

        class Mine(ColourEncoder):
            sharpness = 7.0

    assert Mine().logit_scale == 7
    with pytest.warns(DeprecationWarning, match=r"Mine\.sharpness is called logit_scale"):
        assert Mine().sharpness == 7
    encoder = Mine()
    with pytest.warns(DeprecationWarning, match="sharpness"):
        encoder.sharpness = 3.0
    assert encoder.logit_scale == 3


def test_a_similarity_that_settles() -> None:
    with pytest.warns(DeprecationWarning, match="settle is called with_defaults"):
        assert Cos().settle(9, 10.0) == Cos()
    with pytest.warns(DeprecationWarning, match=r"Mine\.settle is called with_defaults"):

        @dataclass(frozen=True)
        class Mine(Cos):
            name: ClassVar[str] = "mine"

            def settle(self, images: int, sharpness: float) -> Any:
                return "settled", images, sharpness

    assert Mine().with_defaults(9, 10.0) == ("settled", 9, 10.0)


def test_the_engine_of_a_result() -> None:
    top = Top(np.zeros((1, 1)), np.zeros((1, 1)), (None,), backend="compiled")
    with pytest.warns(DeprecationWarning, match=r"Top\.engine is called backend"):
        assert top.engine == "compiled"


def test_signs_of_a_calibrator(tmp_path) -> None:
    calibrator = open_calibrator("default")
    with pytest.warns(DeprecationWarning, match=r"Calibrator\.signs is called features"):
        assert calibrator.signs == calibrator.features
    data = calibrator.to_json()
    data["signs"] = data.pop("features")
    (tmp_path / "old.json").write_text(json.dumps(data), "utf-8")
    assert open_calibrator(str(tmp_path / "old.json")).features == calibrator.features
    done = CliRunner().invoke(app, ["calibrate", str(tmp_path), "--signs", "fit"])
    assert "--signs is called --features now" in done.stderr
    assert "signs" not in CliRunner().invoke(app, ["calibrate", "--help"]).output


def test_keys_of_an_older_manifest(tmp_path) -> None:
    from places import TESTS

    manifest = nym.open(TESTS / "fixtures" / "before" / "atlas").manifest
    assert (manifest.schema, manifest.encoder.logit_scale) == (2, 10)
    with pytest.warns(DeprecationWarning, match="'sharpness' of a manifest is 'logit_scale' now"):
        assert manifest["encoder"]["sharpness"] == 10
    method = manifest["methods"]["clip-dissect.soft-wpmi"]
    with pytest.warns(DeprecationWarning, match="'settled' of a manifest is 'with_defaults' now"):
        assert method["settled"] == "soft-wpmi:top_k=5,a=10"
    assert method["backend"] == "compiled"
    assert "probe" in manifest
    assert dict(manifest)["probe"].name == manifest["probe"]["name"] == "folder:photos"
    with pytest.raises(KeyError, match="nothing"):
        manifest["nothing"]
