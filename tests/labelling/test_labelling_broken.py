"""Labels and comparisons after accidents, with odd names, and where there is nothing to label."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import masked_world
import neuronym as nym
from masked_world import Masked
from neuronym._core.errors import NeuronymError
from neuronym.analysis.comparison import compare
from neuronym.atlas.reader import Atlas
from neuronym.atlas.writer import AtlasWriter
from neuronym.inputs.probes.base import Annotation, Mask
from neuronym.inputs.targets.base import Target
from neuronym.labelling.run import label
from neuronym.report.comparison_sheet import draw, print_comparison, write_csv
from small_world import PLANTED, ColourEncoder, build, coloured_images

WORDS = [*PLANTED, "dog", "moss"]


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    return nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=coloured_images(23),
        concepts=WORDS,
        encoder=ColourEncoder(),
        out=tmp_path / "atlas",
        cache=str(tmp_path / "cache"),
        batch_size=8,
    )


def dissect(place: Path, target: Target, probe: object, layers: Sequence[str]) -> Atlas:
    return nym.dissect(
        target,
        layers=list(layers),
        probe=probe,
        concepts=["red", "green"],
        similarity="cos",
        encoder=ColourEncoder(),
        out=place / "made",
        cache=str(place / "cache"),
        duplicates="all",
    )


def test_layers_survive_a_run_that_stopped_between_its_files(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = label(atlas, "random", layers=["detect"])

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AtlasWriter, "finish", dies)
        with pytest.raises(KeyboardInterrupt):
            label(first, "random", layers=["head"])
    again = label(nym.open(atlas.folder), "random", layers=["head"])
    assert set(again.labels(method="random")["layer"]) == {"detect", "head"}
    assert again.manifest["methods"]["random"]["layers"] == ["detect", "head"]


def test_damaged_labels_of_other_layers_are_not_dropped(atlas: Atlas) -> None:
    first = label(atlas, "random", layers=["detect"])
    (atlas.folder / "labels/random.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(NeuronymError, match="is damaged, and holds detect: label these"):
        label(first, "random", layers=["head"])
    whole = label(first, "random", overwrite=True)
    assert set(whole.labels(method="random")["layer"]) == {"detect", "head"}


def test_an_atlas_of_before_there_were_other_methods(atlas: Atlas) -> None:
    path = atlas.folder / "atlas.json"
    manifest = json.loads(path.read_text())
    manifest["schema"] = 1
    for key in ("layers", "abstained_by_layer", "method"):
        del manifest["methods"]["clip-dissect.soft-wpmi"][key]
    path.write_text(json.dumps(manifest))
    label(nym.open(atlas.folder), "clip-dissect", overwrite=True)


def test_methods_that_abstain_everywhere_can_be_compared(tmp_path: Path) -> None:
    made = masked_world.dissect(tmp_path, Masked(9))
    given = {"target": masked_world.build(), "probe": Masked(9), "layers": ["maps"]}
    made = label(made, "netdissect:threshold=1", **given)
    made = label(made, "netdissect:threshold=1,quantile=0.1", **given)
    found = compare(made, made.methods[-2:])
    assert found.agreement["units"].tolist() == [0]
    print_comparison(found)


def test_nothing_in_common_is_not_drawn(atlas: Atlas, tmp_path: Path) -> None:
    made = label(label(atlas, "random", layers=["detect"]), "frequent", layers=["head"])
    found = compare(made, ["random", "frequent"])
    with pytest.raises(NeuronymError, match="no layer in common"):
        draw(found)
    with pytest.raises(NeuronymError, match="Cannot write .*folder of this name"):
        write_csv(found, tmp_path)


def test_methods_go_by_several_names(atlas: Atlas) -> None:
    made = label(label(atlas, "clip-avg:k=3"), "random")
    hashed = made.methods[1]
    assert hashed.startswith("clip-avg.")
    assert made.method("clip-avg:k=3") == made.method("clip-avg") == hashed
    made = label(made, "clip-avg:k=2")
    with pytest.raises(nym.UsageError, match="one of clip-dissect.soft-wpmi, .*, got 'clip-avg'"):
        made.method("clip-avg")
    shown = made["detect", 0].figure(method="clip-avg:k=3")
    assert any(hashed in axes.get_title("left") for axes in shown.get_axes())


def test_what_cannot_be_labelled_is_refused_before_the_work(atlas: Atlas) -> None:
    with pytest.raises(NeuronymError, match="has no annotations"):
        label(atlas, "annotations")
    with pytest.raises(NeuronymError, match="has no annotations"):
        label(atlas, "netdissect", layers=["head"])


def test_layers_without_maps_are_refused_before_the_work(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("b, c", torch.nn.Conv2d(3, 4, 3))
            self.fc = torch.nn.Linear(4, 3)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.fc(getattr(self, "b, c")(images).mean((2, 3)))

    target = Target("commas", Net().eval(), masked_world.INPUT)
    made = dissect(tmp_path, target, Masked(9), ["b*", "fc"])
    with pytest.raises(NeuronymError, match="fc has no positions.* --layers b, c"):
        label(made, "netdissect")
    with pytest.raises(NeuronymError, match="fc has no positions"):
        label(made, "annotations:weighted=yes")
    label(made, "netdissect:quantile=0.1", layers=["b, c"], target=target, probe=Masked(9))


def test_rounding_is_no_label(tmp_path: Path) -> None:
    class Every(Masked):
        def labels(self, index: int) -> Sequence[Annotation]:
            return (Annotation("scene", "every"),)

        def masks(self, index: int) -> Sequence[Mask]:
            return ()

    torch.manual_seed(0)
    network = masked_world.Whole()
    with torch.no_grad():
        network.maps.weight.normal_()
    target = Target("random", network.eval(), masked_world.INPUT)
    made = dissect(tmp_path, target, Every(19), ["relu"])
    made = label(made, "annotations:weighted=yes", target=target, probe=Every(19))
    assert made.labels(method=made.methods[-1])["abstained"].all()


def test_lost_masks_are_noticed(tmp_path: Path) -> None:
    class Bare(Masked):
        def masks(self, index: int) -> Sequence[Mask]:
            return () if index == 4 else super().masks(index)

    made = masked_world.dissect(tmp_path, Masked(9))
    given = {"target": masked_world.build(), "probe": Bare(9), "layers": ["maps"]}
    with pytest.raises(NeuronymError, match="has lost labels or masks since"):
        label(made, "netdissect:quantile=0.1", **given)


def test_infinite_maps_warn_nobody(tmp_path: Path) -> None:
    network = masked_world.Whole()
    with torch.no_grad():
        network.maps.bias[masked_world.NAN] = torch.inf
    target = Target("infinite", network.eval(), masked_world.INPUT)
    made = dissect(tmp_path, target, Masked(9), ["maps"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        label(made, "netdissect:quantile=0.1", target=target, probe=Masked(9))


def test_words_that_embed_like_none_have_no_direction(tmp_path: Path) -> None:
    class Rounding(ColourEncoder):
        """Its embeddings depend on how many texts come together, by rounding."""

        fingerprint, blur = "rounding", 0.0

        def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
            vectors = super().encode_texts(texts) * (1 + 0.37 * len(texts))
            return torch.nn.functional.normalize(vectors, dim=1)

    made = nym.dissect(
        build(),
        layers=["head"],
        probe=coloured_images(9),
        concepts=WORDS,
        similarity="cos",
        encoder=Rounding(),
        out=tmp_path / "made",
        cache=str(tmp_path / "cache"),
    )
    labels = label(made, "semanticlens", encoder=Rounding()).labels(method="semanticlens")
    scores = labels.loc[labels["concept"] == "dog", "score"].to_numpy()  # moss is one with it
    assert len(scores)
    assert np.abs(scores).max() < 1e-3
