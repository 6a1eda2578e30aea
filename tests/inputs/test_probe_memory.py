"""Probes made in Python, unions, and the first images of a probe."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronym._core.errors import CorruptImageError, UsageError
from neuronym._core.registry import escape
from neuronym.inputs.probes.base import PROBES, Annotation, open_probe, valid_text

COLOURS = ["red", "lime", "blue", "white", "black"]


def square(colour: str, size: int = 4) -> Image.Image:
    return Image.new("RGB", (size, size + 1), colour)


def encoded(colour: str) -> bytes:
    file = io.BytesIO()
    square(colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, colour in enumerate(COLOURS[:3]):
        (tmp_path / colour).mkdir()
        square(colour).save(tmp_path / colour / f"{number}.png")
    return tmp_path


def name_of(folder: Path, more: str = "") -> str:
    return f"folder:{escape(str(folder))}{more}"


def test_a_list_of_everything(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    red = np.asarray(square("red"))
    path = folder / "red" / "0.png"
    given = [
        square("red"),
        red,
        torch.from_numpy(red.copy()).permute(2, 0, 1),
        encoded("red"),
        path,
        str(path),
        square("red").convert("CMYK"),
    ]
    probe = open_probe(given)
    assert len(probe) == 7
    text = path.as_posix()
    numbered = ["000000", "000001", "000002", "000003"]
    assert [probe.image_id(i) for i in range(7)] == [*numbered, text, f"{text}~2", "000006"]
    assert probe.source(4) == text
    assert probe.source(0) is None
    for index in range(7):
        assert (np.asarray(probe.read(index).decode()) == red).all()
    hashes = [probe.read(index).content_hash for index in range(7)]
    assert len(set(hashes[:3])) == 1
    assert hashes[4] == hashes[5] != hashes[0]
    assert list(probe.labels(0)) == list(probe.masks(0)) == list(probe.vocabulary()) == []
    assert probe.name == "7 images given in Python"


def test_wrong_things() -> None:
    with pytest.raises(UsageError, match="at least one image, got an empty list"):
        open_probe([])
    with pytest.raises(UsageError, match="a list of PIL images.*got int at position 1"):
        open_probe([square("red"), 5])
    with pytest.raises(UsageError, match="a name, a path, a list of images.*got int"):
        open_probe(5)
    with pytest.raises(UsageError, match="numbered items, got generator"):
        open_probe(item for item in COLOURS)
    with pytest.raises(UsageError, match="`probe` to be a name, got ''"):
        open_probe("")
    with pytest.raises(UsageError, match="one of .*folder:….*, got 'foldr'. Nearest: folder"):
        open_probe("foldr:photos")


def test_a_plain_path_is_explained(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"For this folder write folder:.*"):
        open_probe(str(folder))


class Pairs:
    """A torch-like data set of (image, class)."""

    classes = ("scarlet", "grass_green", ("sea", "ocean"))

    def __init__(self, form: str = "pair") -> None:
        self.form = form
        self.reads = 0

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> object:
        self.reads += 1
        image, label = square(COLOURS[index]), index % 4
        if self.form == "dict":
            return {"image": np.asarray(image), "label": np.int64(label)}
        return (image, label) if self.form == "pair" else image


@pytest.mark.parametrize("form", ["pair", "dict"])
def test_data_sets(form: str) -> None:
    dataset = Pairs(form)
    probe = open_probe(dataset)
    assert len(probe) == 5
    assert probe.values.images == 0  # all are looked at once, for their values
    dataset.reads = 0
    assert probe.image_id(4) == "000004"
    assert probe.read(2).decode().getpixel((0, 0)) == (0, 0, 255)
    assert probe.labels(2) == (Annotation("class", "sea"),)
    assert dataset.reads == 1  # the image is not decoded again for its label
    assert probe.labels(1) == (Annotation("class", "grass_green"),)
    assert probe.labels(3) == ()
    assert [entry.name for entry in probe.vocabulary()] == ["grass_green", "scarlet", "sea"]
    with pytest.raises(IndexError, match="5"):
        probe.read(5)


def test_data_sets_without_labels_or_with_texts() -> None:
    probe = open_probe(Pairs("image"))
    assert probe.labels(2) == ()
    assert probe.read(1).size == (4, 5)
    texts = open_probe(_Texts())
    assert texts.labels(1) == (Annotation("class", "b"),)
    assert [entry.name for entry in texts.vocabulary()] == ["a", "b"]


class _Texts(Pairs):
    classes = ()
    targets = ("a", "b", "a", "b", "b")


def test_torch_data_sets(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    data = torch.utils.data
    images = torch.rand(3, 3, 5, 7)
    probe = open_probe(data.TensorDataset(images, torch.tensor([0, 1, 1])))
    assert len(probe) == 3
    found = np.asarray(probe.read(1).decode()) / 255
    assert np.abs(found - images[1].permute(1, 2, 0).numpy()).max() < 0.003
    assert len(open_probe(data.Subset(Pairs(), [0, 3]))) == 2

    class Stream(data.IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(UsageError, match="Stream, which has no length. Take a list of its first"):
        open_probe(Stream())
    loader = data.DataLoader(Pairs(), batch_size=2)
    with pytest.raises(UsageError, match=r"got DataLoader. Give its data set: loader.dataset"):
        open_probe(loader)
    normalised = data.TensorDataset(images * 4 - 2)
    with pytest.raises(UsageError, match="before normalisation"):
        open_probe(normalised).read(0)


def test_a_data_set_with_a_bad_item() -> None:
    class Bad(Pairs):
        def __getitem__(self, index: int) -> object:
            raise OSError("disk gone")

    with pytest.raises(CorruptImageError, match="cannot be read: disk gone"):
        open_probe(Bad()).read(0)

    class NoKey(Pairs):
        def __getitem__(self, index: int) -> object:
            return {"picture": 1}

    with pytest.raises(UsageError, match=r"items have the key 'image', got \['picture'\]"):
        open_probe(NoKey()).read(0)


def test_unions(folder: Path) -> None:
    blue = folder / "blue"
    probe = open_probe(f"{name_of(folder)}+{name_of(blue, ',labels=no')}+{name_of(blue)}")
    ids = [probe.image_id(i) for i in range(len(probe))]
    first = ["folder/blue/2.png", "folder/lime/1.png", "folder/red/0.png"]
    assert ids == [*first, "folder-2/2.png", "folder-3/2.png"]
    assert probe.read(2).decode().getpixel((0, 0)) == (255, 0, 0)
    assert probe.read(3).content_hash == probe.read(0).content_hash
    assert probe.labels(0) == (Annotation("folder", "blue"),)
    assert probe.labels(3) == ()
    assert probe.masks(4) == ()
    assert probe.source(4) == str(blue / "2.png")
    assert [entry.name for entry in probe.vocabulary()] == ["blue", "lime", "red"]
    again = open_probe(probe.name)
    assert [again.image_id(i) for i in range(5)] == ids
    for index in (5, -1):
        with pytest.raises(IndexError, match=str(index)):
            probe.image_id(index)


def test_limits(folder: Path) -> None:
    probe = open_probe(name_of(folder), limit="first:2")
    assert [probe.image_id(i) for i in range(len(probe))] == ["blue/2.png", "lime/1.png"]
    assert len(open_probe(probe.name)) == 2
    assert probe.labels(1) == (Annotation("folder", "lime"),)
    assert probe.masks(1) == ()
    assert probe.source(1) == str(folder / "lime" / "1.png")
    assert probe.read(0).size == (4, 5)
    with pytest.raises(IndexError, match="2"):
        probe.read(2)
    assert len(open_probe(name_of(folder), limit=99)) == 3
    both = open_probe(f"{name_of(folder, ',limit=first:1')}+{name_of(folder)}", limit="first:3")
    expected = ["folder/blue/2.png", "folder-2/blue/2.png", "folder-2/lime/1.png"]
    assert [both.image_id(i) for i in range(len(both))] == expected
    assert both.name.endswith("(first 3)")
    assert open_probe(Pairs(), limit="first:4").name.endswith("(first 4)")
    assert open_probe(Pairs(), limit=4).name.endswith("(4 of it)")
    with pytest.raises(UsageError, match="`limit` to be a whole number of at least 1, got 0"):
        open_probe(name_of(folder), limit=0)
    with pytest.raises(UsageError, match="`limit` to be a whole number of at least 1, got 'x'"):
        open_probe(name_of(folder, ",limit=x"))


def test_any_text_becomes_valid() -> None:
    given = ["a", "naïve", b"caf\xe9", "caf\udce9", "x\ud800", "a\0b\nc"]
    expected = ["a", "naïve", "caf\\xe9", "caf\\xe9", "x\\ud800", "a\0b\nc"]
    assert list(map(valid_text, given)) == expected


def test_a_probe_passes_through(folder: Path) -> None:
    probe = open_probe(folder)
    assert open_probe(probe) is probe


def test_every_source_has_a_summary() -> None:
    assert {"broden", "folder", "hf", "synthetic", "torchvision"} <= {e.name for e in PROBES}
    assert all(entry.summary.endswith(".") for entry in PROBES)
