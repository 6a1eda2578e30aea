"""Data sets of torchvision and of Hugging Face, without a network."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from neuronym._core import hub, torchvision_compat
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.registry import escape
from neuronym.inputs.probes import remote
from neuronym.inputs.probes import torchvision as source
from neuronym.inputs.probes.base import Annotation, open_probe

COLOURS = ["red", "lime", "blue", "white", "black"]


@pytest.fixture
def tv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """torchvision's data sets, with a cache of our own and no network."""
    torchvision_compat.prepare_torchvision()
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setattr(source, "_default_root", lambda: tmp_path / "cache")

    def no_network(*args: object, **options: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    return datasets


def test_fake_data(tv) -> None:
    probe = open_probe("torchvision:FakeData,size=5,image_size=3x6x9,num_classes=2")
    assert len(probe) == 5
    assert probe.read(4).size == (9, 6)
    assert probe.read(4).content_hash == probe.read(4).content_hash
    assert probe.read(3).content_hash != probe.read(4).content_hash
    assert probe.image_id(3) == "000003"
    assert probe.labels(0) == ()
    assert len(open_probe(probe.name)) == 5


def test_a_data_set_of_files_keeps_them_encoded(tv, tmp_path: Path) -> None:
    base = tmp_path / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    lines = []
    for number, name in enumerate(("banded", "zigzagged", "banded")):
        (base / "images" / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 4), COLOURS[number]).save(base / "images" / name / f"{number}.jpg")
        lines.append(f"{name}/{number}.jpg")
    for part in ("train", "val", "test"):
        text = lines[2] if part == "test" else "\n".join(lines[:2])
        (base / "labels" / f"{part}1.txt").write_text(text)
    root = escape(str(tmp_path))
    probe = open_probe(f"dtd:root={root}")
    assert len(probe) == 2
    assert probe.read(0).data == (base / "images" / "banded" / "0.jpg").read_bytes()
    assert probe.labels(1) == (Annotation("texture", "zigzagged"),)
    assert [entry.name for entry in probe.vocabulary()] == ["banded", "zigzagged"]
    assert len(open_probe(f"torchvision:DTD,split=test,root={root}")) == 1
    with pytest.raises(UsageError, match="DTD cannot be opened: Unknown value 'x' for arg"):
        open_probe(f"torchvision:DTD,split=x,root={root}")
    plain = open_probe(f"torchvision:ImageFolder,root={escape(str(base / 'images'))}")
    assert isinstance(plain.read(0).data, bytes)
    assert plain.labels(2) == (Annotation("class", "zigzagged"),)
    assert plain.source(2) == str(base / "images" / "zigzagged" / "1.jpg")


def test_torchvision_offline(tv, tmp_path: Path) -> None:
    message = (
        r"torchvision's CIFAR100 is not in .*cache and could not be downloaded: .*not known.*"
        r"root=DIR, use your own images with folder:PATH, or the embedded probe `synthetic`"
    )
    with pytest.raises(NeuronymError, match=message) as caught:
        open_probe("cifar100")
    assert caught.value.exit_code == 1


def test_torchvision_misuse(tv) -> None:
    with pytest.raises(UsageError, match="class of torchvision.datasets, got 'CIFAR99'. Near"):
        open_probe("torchvision:CIFAR99")
    with pytest.raises(UsageError, match="one of size, image_size, num_classes, random_offset, r"):
        open_probe("torchvision:FakeData,split=train")
    with pytest.raises(UsageError, match="`size` to be a number, got 'x'"):
        open_probe("torchvision:FakeData,size=x")
    with pytest.raises(UsageError, match="`image_size` to be numbers with x between them"):
        open_probe("torchvision:FakeData,image_size=big")
    with pytest.raises(UsageError, match="`split` to be train or test, got 'half'"):
        open_probe("torchvision:CIFAR10,split=half")
    with pytest.raises(UsageError, match="`small` to be true or false, got '7'"):
        open_probe("torchvision:Places365,small=7")


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def hf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A tiny data set: images, a class column with a missing label, another class column."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["cat", "great_dane", "null"]),
            "coarse": datasets.Sequence(datasets.ClassLabel(names=["pet", "none"])),
        }
    )
    return datasets.Dataset.from_dict(
        {
            "text": ["a", "b", "c"],
            "image": [{"bytes": png(colour), "path": None} for colour in COLOURS[:3]],
            "label": [1, -1, 2],
            "coarse": [[0], [], [1, 0]],
        },
        features=features,
    )


def check(probe) -> None:
    assert len(probe) == 3
    assert [probe.read(i).data for i in range(3)] == [png(colour) for colour in COLOURS[:3]]
    assert set(probe.labels(0)) == {Annotation("class", "great_dane"), Annotation("coarse", "pet")}
    assert probe.labels(1) == ()
    assert {entry.name for entry in probe.labels(2)} == {"null", "none", "pet"}
    words = [entry.name for entry in probe.vocabulary()]
    assert words == ["cat", "great_dane", "null", "none", "pet"]


def test_saved_to_disk(hf, tmp_path: Path) -> None:
    hf.save_to_disk(tmp_path / "saved")
    probe = open_probe(f"hf:{escape(str(tmp_path / 'saved'))}")
    check(probe)
    assert probe.image_id(2) == "row/000002"
    assert probe.source(0) is None
    check(open_probe(probe.name))


def test_splits(hf, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    both = datasets.DatasetDict({"test": hf.select([0, 1]), "train": hf})
    both.save_to_disk(tmp_path / "saved")
    name = f"hf:{escape(str(tmp_path / 'saved'))}"
    check(open_probe(name))
    assert open_probe(name).image_id(1) == "train/000001"
    test = open_probe(f"{name},split=test")
    assert len(test) == 2
    assert test.image_id(1) == "test/000001"
    with pytest.raises(UsageError, match="`split` to be one of test, train, got 'val'"):
        open_probe(f"{name},split=val")


def test_parquet_files_are_streamed(hf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of two rows in two files; another split beside them; no copy is made anywhere."""
    data = tmp_path / "data" / "default"
    data.mkdir(parents=True)
    hf.to_parquet(data / "whole.parquet")
    whole = pq.read_table(data / "whole.parquet")
    (data / "whole.parquet").unlink()
    six = pa.concat_tables([whole, whole])
    pq.write_table(six.slice(0, 4), data / "train-00000-of-00002.parquet", row_group_size=2)
    pq.write_table(six.slice(4), data / "train-00001-of-00002.parquet", row_group_size=2)
    pq.write_table(whole, data / "test-00000-of-00001.parquet")
    name = f"hf:{escape(str(tmp_path / 'data'))}"
    check(open_probe(f"{name},split=test,stream=yes"))
    probe = open_probe(f"{name},stream=yes")
    for one in (probe, open_probe(probe.name), pickle.loads(pickle.dumps(probe))):
        assert list(one.ids) == [f"train/{row:06d}" for row in range(6)]
        assert [one.read(i).data for i in (5, 0, 4)] == [png(COLOURS[i]) for i in (2, 0, 1)]
        assert one.labels(3) == one.labels(0) != ()
        assert [one.group(i) for i in range(6)] == ["1", "-1", "2"] * 2
    assert probe.vocabulary() == open_probe(f"{name},split=test,stream=yes").vocabulary()
    assert [probe.eight_bit(i) for i in range(6)] == [False] * 2 + [True] * 4
    assert not (tmp_path / "cache").exists()
    with pytest.raises(UsageError, match="with this split, got .*split=val.* with test, train"):
        open_probe(f"{name},split=val,stream=yes")
    monkeypatch.setattr(remote, "_PAUSE", 0)
    (data / "train-00001-of-00002.parquet").write_bytes(b"broken")
    with pytest.raises(CorruptImageError, match="cannot be read"):
        probe.read(5)
    with pytest.raises(NeuronymError, match="cannot be read as parquet files"):
        open_probe(f"{name},stream=yes")


def test_folder_of_parquet_files(hf, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    hf.to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    name = f"hf:{escape(str(tmp_path / 'data'))}"
    probe = open_probe(name)
    check(probe)
    assert probe.image_id(0) == "test/000000"
    check(open_probe(f"hf:{escape(str(tmp_path / 'data' / 'test-00000-of-00001.parquet'))}"))


def test_a_data_set_given_in_python(hf) -> None:
    check(open_probe(hf))
    check(open_probe(hf.with_format("numpy")))
    assert np.asarray(open_probe(hf, limit=1).read(0).decode())[0, 0].tolist() == [255, 0, 0]


def test_columns(hf, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    right = hf.select_columns(["image"]).rename_column("image", "right")
    two = datasets.concatenate_datasets([hf.rename_column("image", "left"), right], axis=1)
    two.save_to_disk(tmp_path / "two")
    name = f"hf:{escape(str(tmp_path / 'two'))}"
    with pytest.raises(UsageError, match="several columns of images, got none. .* left, right"):
        open_probe(name)
    check(open_probe(f"{name},column=left"))
    with pytest.raises(UsageError, match=r"a column of images \(left, right\), got 'rigth'. Near"):
        open_probe(f"{name},column=rigth")
    with pytest.raises(UsageError, match="with a column of images, got the columns text, label"):
        open_probe(hf.select_columns(["text", "label"]))


def test_hf_misuse(hf, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of config, split, column, stream, got 'part'"):
        open_probe("hf:x,part=1")
    with pytest.raises(UsageError, match="hf:NAME or hf:PATH, got hf:split=a without a name"):
        open_probe("hf:split=a")
    with pytest.raises(UsageError, match=r"got hf without a name or a path\."):
        open_probe("hf:")
    (tmp_path / "notes").mkdir()
    with pytest.raises(NeuronymError, match="notes cannot be read as a data set of Hugging Face"):
        open_probe(f"hf:{escape(str(tmp_path / 'notes'))}")


def test_hf_offline(hf, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object) -> None:
        raise OSError("Name or service not known")

    hub.reachable.cache_clear()
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    message = "no network and it is not in the local cache. .*folder:PATH.* `synthetic`"
    with pytest.raises(NeuronymError, match=message):
        open_probe("hf:uoft-cs/cifar100,split=test")
    hub.reachable.cache_clear()
