"""`limit` takes a fair sample, and says so; `first:N` takes the first images."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronym._core.errors import UsageError
from neuronym._core.registry import escape
from neuronym.inputs.probes.base import Probe, open_probe
from neuronym.inputs.probes.subsets import sentences
from neuronym.inputs.settings import DissectSettings, first_images, from_file


def ids(probe: Probe) -> list[str]:
    return [probe.image_id(i) for i in range(len(probe))]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of 40 pictures, as CIFAR-10 lies in folders, one of 13, and one beside them."""
    root = tmp_path_factory.mktemp("cifar")
    for number in range(10):
        (root / f"class{number}").mkdir()
        for picture in range(40):
            Image.new("RGB", (2, 2)).save(root / f"class{number}" / f"{picture:03d}.png")
    return root


def test_60_of_ten_classes_are_six_of_each(classes: Path) -> None:
    probe = open_probe(classes, limit=60)
    found = ids(probe)
    assert Counter(name.split("/")[0] for name in found) == {f"class{i}": 6 for i in range(10)}
    assert found == sorted(found)  # in the probe's order
    assert len({name.split("/")[1] for name in found}) > 20  # not the same six of each
    assert probe.labels(7)[0].name == found[7].split("/")[0]
    (said,) = sentences(probe.facts())
    assert said == "The images are a sample of 60 of 400 images over 10 groups, seed 0."
    assert probe.facts()["sample"] == [{"images": 60, "of": 400, "seed": 0, "groups": 10}]


@pytest.mark.parametrize("count", [1, 3, 7, 61, 399])
def test_shares_are_rounded_up_or_down(classes: Path, count: int) -> None:
    found = ids(open_probe(classes, limit=count))
    assert len(found) == len(set(found)) == count
    each = Counter(name.split("/")[0] for name in found)
    assert {each.get(f"class{i}", 0) for i in range(10)} <= {count // 10, -(-count // 10)}


def test_seeds_names_and_the_first(classes: Path) -> None:
    name = f"folder:{escape(str(classes))}"
    first = ids(open_probe(name, limit=50))
    assert first == ids(open_probe(name, limit="50")) == ids(open_probe(f"{name},limit=50"))
    other = open_probe(name, limit=50, seed=3)
    assert ids(other) != first
    assert other.name == f"{name},limit=50,limit_seed=3"
    for probe in (other, open_probe(name, limit=50), open_probe(name, limit="first:50")):
        assert ids(open_probe(probe.name)) == ids(probe)
    whole = ids(open_probe(name))
    front = open_probe(name, limit="first:50")
    assert ids(front) == whole[:50]
    assert front.name == f"{name},limit=first:50"
    assert sentences(front.facts()) == ["The images are the first 50 of 400 images."]
    for limit in (400, 9999):
        assert ids(open_probe(name, limit=limit)) == whole
        assert "sample" not in open_probe(name, limit=limit).facts()
    for wrong in (0, -1, "x", "first:0", "first:", "last:5", 2.5, True):
        with pytest.raises(UsageError, match="`limit` to be a whole number of at least 1"):
            open_probe(name, limit=wrong)
    with pytest.raises(UsageError, match="`seed` to be a whole number of at least 0"):
        open_probe(name, limit=5, seed=-1)


def test_the_order_of_images_changes_nothing(classes: Path) -> None:
    paths = sorted(map(str, classes.rglob("*.png")))
    shuffled = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    assert set(ids(open_probe(paths, limit=37))) == set(ids(open_probe(shuffled, limit=37)))


def test_unions_and_parts(classes: Path) -> None:
    few = f"folder:{escape(str(classes / 'class3'))}"
    probe = open_probe(f"{few},limit=9+folder:{escape(str(classes))}", limit=41)
    of = Counter(name.split("/")[0] for name in ids(probe))
    assert of == {"folder": 1, "folder-2": 40}
    told = sentences(probe.facts())
    assert told[0].startswith("The images of folder/ are a sample of 9 of 40 images, seed 0")
    assert told[1].startswith("The images are a sample of 41 of 409 images over 11 groups")
    twice = open_probe(f"{few},limit=9+{few},limit=first:3")
    assert sentences(twice.facts())[1] == "The images of folder-2/ are the first 3 of 40 images."


class Labelled:
    """A data set whose labels are known without reading, sorted by class as many are."""

    def __init__(self, targets: object, classes: tuple[str, ...] = ()) -> None:
        self.targets, self.classes, self.read = targets, classes, 0

    def __len__(self) -> int:
        return 90

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        self.read += 1
        return np.full((2, 3), index, np.uint8), int(self.targets[index])


@pytest.mark.parametrize("kind", ["list", "array", "tensor"])
def test_data_sets_with_classes(kind: str) -> None:
    torch = pytest.importorskip("torch")
    targets = np.repeat(np.arange(3), 30)
    make = {"list": list, "array": np.asarray, "tensor": torch.as_tensor}[kind]
    data = Labelled(make(targets), ("a", "b", "c") if kind == "list" else ())
    probe = open_probe(data, limit=12)
    places = [int(name) for name in ids(probe)]
    assert Counter(targets[places].tolist()) == {0: 4, 1: 4, 2: 4}
    rows = list(range(89, -1, -2))
    part = ids(open_probe(torch.utils.data.Subset(data, rows), limit=9))
    assert Counter(targets[rows[int(name)]] for name in part) == {0: 3, 1: 3, 2: 3}
    assert data.read == 0  # only names are needed
    assert np.asarray(probe.read(5).decode())[0, 0, 0] == places[5]


def test_torchvision_and_hugging_face(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    labels = [0] * 20 + [1] * 20 + [2] * 20
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y", "z"])}
    )
    cells = [{"bytes": b"no image", "path": None}] * 60
    data = datasets.Dataset.from_dict({"image": cells, "label": labels}, features=features)
    probe = open_probe(data, limit=9)  # would fail if images were read
    assert Counter(probe.labels(i)[0].name for i in range(9)) == {"x": 3, "y": 3, "z": 3}
    part = data.shuffle(seed=1).select(range(30))
    assert len(open_probe(part, limit=7)) == 7


def test_the_synthetic_probe() -> None:
    kinds = Counter(name.split("/")[0] for name in ids(open_probe("synthetic", limit=300)))
    whole = Counter(name.split("/")[0] for name in ids(open_probe("synthetic")))
    for kind, count in whole.items():
        share = 300 * count / sum(whole.values())
        assert abs(kinds[kind] - share) <= 1, kind


def test_settings_of_earlier_runs_mean_the_first(tmp_path: Path) -> None:
    assert DissectSettings("net", limit="first:9").limit == "first:9"
    assert DissectSettings("net", limit="9").limit == 9
    with pytest.raises(UsageError, match="`limit` to be a whole number of .* 1, or first:N, got"):
        DissectSettings("net", limit="last:9")
    config = {"target": "net", "limit": 7, "probe": "broden:b,limit=5+synthetic:limit=3"}
    file = tmp_path / "atlas.json"
    file.write_text(json.dumps({"neuronym": "0.1.0", "config": config}))
    assert from_file(file)["limit"] == "first:7"
    assert from_file(file)["probe"] == "broden:b,limit=first:5+synthetic:limit=first:3"
    assert first_images("folder:unlimit=7") == "folder:unlimit=7"
    new = config | {"seed": 0}
    file.write_text(json.dumps({"neuronym": "0.2.0", "config": new}))
    assert from_file(file)["limit"] == 7
