"""Broden: a tiny one written by hand, every number checked; malformed tables named by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.registry import escape
from neuronym.inputs.probes.base import Annotation, Probe, open_probe

LABELS = """number,name,category,frequency,coverage,syns
1,red-c,color(2),2,0.5,
2,street-s,scene(1),1,1.0,
3,nan,object(2);part(1),2,0.4,null;none
4,wheel,part(1),1,0.1,
5,striped,texture(1),1,1.0,
6,x-ray,object(1),1,0.1,
300,sky,object(1),1,0.2,heaven
"""
INDEX = """image,split,ih,iw,sh,sw,color,object,part,material,scene,texture
a/1.jpg,train,4,6,2,3,a/1_color.png,a/1_object.png,a/1_part_1.png;a/1_part_2.png,,2,
a/2.jpg,val,4,6,2,3,,,,,,5;0;5
b/3.jpg,train,6,8,3,4,,b/3_object.png,,,,5;3
"""


def mask(path: Path, codes: list[list[int]]) -> None:
    array = np.array(codes)
    rgb = np.dstack([array % 256, array // 256, np.full_like(array, 7)]).astype(np.uint8)
    Image.fromarray(rgb).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "broden1_224"
    for folder in ("a", "b"):
        (root / "images" / folder).mkdir(parents=True)
    (root / "index.csv").write_text(INDEX)
    (root / "label.csv").write_text(LABELS)
    for name, size in (("a/1", (6, 4)), ("a/2", (6, 4)), ("b/3", (8, 6))):
        Image.new("RGB", size, "red").save(root / "images" / f"{name}.jpg")
    images = root / "images"
    mask(images / "a/1_color.png", [[1, 0, 0], [0, 0, 1]])
    mask(images / "a/1_object.png", [[300, 300, 3], [0, 0, 6]])
    mask(images / "a/1_part_1.png", [[4, 0, 0], [0, 0, 0]])
    mask(images / "a/1_part_2.png", [[0, 0, 3], [0, 4, 0]])
    mask(images / "b/3_object.png", [[3] * 4] * 3)
    return root


def broden(root: Path, more: str = "") -> Probe:
    return open_probe(f"broden:{escape(str(root))}{more}")


def test_images_and_splits(root: Path) -> None:
    probe = broden(root)
    assert [probe.image_id(i) for i in range(len(probe))] == ["a/1.jpg", "a/2.jpg", "b/3.jpg"]
    assert probe.read(2).size == (8, 6)
    assert probe.source(2) == str(root / "images" / "b" / "3.jpg")
    train = broden(root, ",split=train")
    assert [train.image_id(i) for i in range(len(train))] == ["a/1.jpg", "b/3.jpg"]
    assert train.labels(1) == probe.labels(2)
    assert len(open_probe(train.name)) == 2
    with pytest.raises(UsageError, match="`split` to be one of train, val, got 'test'"):
        broden(root, ",split=test")


def test_labels(root: Path) -> None:
    probe = broden(root)
    assert probe.labels(0) == (Annotation("scene", "street"),)
    assert probe.labels(1) == (Annotation("texture", "striped"),)
    assert probe.labels(2) == (Annotation("texture", "striped"), Annotation("texture", "nan"))


def test_masks(root: Path) -> None:
    found = {(m.category, m.name): m.pixels for m in broden(root).masks(0)}
    small = {
        ("color", "red"): [[1, 0, 0], [0, 0, 1]],
        ("object", "sky"): [[1, 1, 0], [0, 0, 0]],
        ("object", "nan"): [[0, 0, 1], [0, 0, 0]],
        ("object", "x-ray"): [[0, 0, 0], [0, 0, 1]],
        ("part", "wheel"): [[1, 0, 0], [0, 1, 0]],  # both layers joined
        ("part", "nan"): [[0, 0, 1], [0, 0, 0]],
    }
    assert found.keys() == small.keys()
    for key, codes in small.items():
        assert (found[key] == np.kron(np.array(codes, bool), np.ones((2, 2), bool))).all(), key
    assert broden(root).masks(1) == ()
    (whole,) = broden(root).masks(2)
    assert whole.pixels.shape == (6, 8)
    assert whole.pixels.all()


def test_vocabulary(root: Path) -> None:
    entries = [(entry.category, entry.name) for entry in broden(root).vocabulary()]
    expected = [("color", "red"), ("object", "nan"), ("object", "sky"), ("object", "x-ray")]
    expected += [("part", "nan"), ("part", "wheel"), ("scene", "street"), ("texture", "nan")]
    assert entries == [*expected, ("texture", "striped")]
    (root / "c_object.csv").write_text("code,number,name,frequency,coverage\n1,300,sky,1,0.2\n")
    entries = [(entry.category, entry.name) for entry in broden(root).vocabulary()]
    assert [name for category, name in entries if category == "object"] == ["sky"]


def test_names_from_the_category_files(root: Path) -> None:
    before = broden(root)
    rows = [line.split(",") for line in LABELS.splitlines()[1:]]
    table = "".join(f"{code},{row[0]},{row[1]},1,0.1\n" for code, row in enumerate(rows, 1))
    (root / "c_object.csv").write_text("code,number,name,frequency,coverage\n" + table)
    (root / "label.csv").unlink()
    assert broden(root).labels(0) == before.labels(0)
    (root / "c_object.csv").unlink()
    with pytest.raises(NeuronymError, match="neither a label.csv nor c_"):
        broden(root)


def test_where_a_bare_name_looks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEURONYM_BRODEN", raising=False)
    monkeypatch.chdir(root)
    with pytest.raises(UsageError, match="none at broden1_224, dataset/broden1_224. .*NEURONYM_BR"):
        open_probe("broden")
    monkeypatch.chdir(root.parent)
    assert len(open_probe("broden:split=train")) == 2
    monkeypatch.chdir(root)
    monkeypatch.setenv("NEURONYM_BRODEN", str(root))
    assert len(open_probe("broden")) == 3
    monkeypatch.setenv("NEURONYM_BRODEN", "/nowhere")
    with pytest.raises(UsageError, match="there is none at NEURONYM_BRODEN=/nowhere"):
        open_probe("broden")
    with pytest.raises(UsageError, match=r"index.csv, label.csv and images/, got .*has no index.c"):
        broden(root / "images")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("index.csv", "a/2.jpg,val", "a/2.jpg", "index.csv, line 3: expected 12 cells.*got 11"),
        ("index.csv", "5;0;5", "5,0,5", "index.csv, line 3: expected 12 cells.*got 14"),
        ("index.csv", "5;3", "5;77", "index.csv, line 4, column texture: the number 77 has no n"),
        ("index.csv", "5;3", "5;x", "line 4, column texture: expected numbers or mask.*got 'x'"),
        ("index.csv", "a/2.jpg", "a/1.jpg", "index.csv, line 3: a/1.jpg is already in line 2"),
        ("index.csv", "a/2.jpg", "", "index.csv, line 3: the column image is empty"),
        ("index.csv", "image,split", "img,split", "index.csv, line 1: the column image is missi"),
        ("index.csv", "b/3.jpg", '"b/3.jpg', "index.csv, line 4: unexpected end of data"),
        ("label.csv", "4,wheel", "four,wheel", "label.csv, line 5: .*whole number, got 'four'"),
        ("label.csv", "4,wheel", "3,wheel", "label.csv, line 5: the number 3 has two names"),
    ],
)
def test_malformed_rows(root: Path, file: str, old: str, new: str, message: str) -> None:
    path = root / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(NeuronymError, match=message):
        broden(root)


def test_malformed_files(root: Path) -> None:
    (root / "images" / "a" / "2.jpg").unlink()
    mask(root / "images" / "a" / "1_part_2.png", [[77, 0, 0], [0, 0, 0]])
    (root / "images" / "b" / "3_object.png").write_bytes(b"")
    probe = broden(root)
    with pytest.raises(CorruptImageError, match="cannot be read: No such file"):
        probe.read(1)
    with pytest.raises(CorruptImageError, match=r"1_part_2.png holds 77, a number without a name"):
        probe.masks(0)
    with pytest.raises(CorruptImageError, match=r"the mask .*3_object.png is an empty file"):
        probe.masks(2)
    (root / "index.csv").write_bytes(b"image,split\n\xff\xfe,train\n")
    with pytest.raises(NeuronymError, match=r"index.csv is not readable as UTF-8 text"):
        broden(root)
    (root / "index.csv").write_text(INDEX.splitlines()[0] + "\n")
    with pytest.raises(NeuronymError, match=r"index.csv lists no images"):
        broden(root)
