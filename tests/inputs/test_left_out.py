"""What lies in folders beside images, files linked twice, and files that need a package."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronym._core.errors import CorruptImageError, UsageError
from neuronym.inputs.probes import deep, images
from neuronym.inputs.probes.base import Probe, open_probe
from neuronym.inputs.probes.subsets import sentences


def save(path: Path, colour: str = "red", kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(file, kind)
    path.write_bytes(file.getvalue())
    return path


def ids(probe: Probe) -> list[str]:
    return [probe.image_id(i) for i in range(len(probe))]


@pytest.mark.parametrize(
    "junk",
    [
        "@eaDir/SYNOPHOTO_THUMB_M.jpg",
        "cats/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "__MACOSX/cats/._1.png",
        "._1.png",
        ".DS_Store",
        "Thumbs.db",
        "cats/.ipynb_checkpoints/1-checkpoint.png",
        "#recycle/old.png",
        "$RECYCLE.BIN/S-1/x.jpg",
        "@Recycle/y.png",
        "desktop.ini",
        "cats/.@__thumb/1.png",
    ],
)
def test_what_systems_leave_behind(tmp_path: Path, junk: str) -> None:
    save(tmp_path / "cats" / "1.png")
    save(tmp_path / junk)
    probe = open_probe(tmp_path)
    assert ids(probe) == ["cats/1.png"]
    assert sentences(probe.facts()) == []


def test_a_file_that_is_linked_twice_counts_once(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    first = save(root / "b" / "1.png")
    save(root / "c" / "2.png", "blue")
    (root / "a").mkdir()
    os.link(first, root / "z.png")
    os.link(first, root / "b" / "0.png")  # of hard links the first path stays
    os.symlink(root / "c" / "2.png", root / "a" / "2.png")  # a place of its own goes first
    outside = save(tmp_path / "outside.png", "lime")
    os.symlink(outside, root / "x.png")
    os.symlink(outside, root / "y.png")
    os.symlink(tmp_path / "nowhere.png", root / "gone.png")
    probe = open_probe(root)
    assert ids(probe) == ["b/0.png", "c/2.png", "gone.png", "x.png"]
    (said,) = sentences(probe.facts())
    assert said == "Left out: 4 files (4 linked to a file that is there)."
    with pytest.raises(CorruptImageError, match="cannot be read: No such file"):
        probe.read(2)


def test_equal_files_that_are_not_linked_stay(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / f"{name}.png")
    assert len(open_probe(tmp_path)) == 3


def test_other_files_are_counted_by_kind_in_one_sentence(tmp_path: Path) -> None:
    save(tmp_path / "1.png")
    for name in ("a.txt", "b.TXT", "sub/c.txt", "d.csv", "README"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (said,) = sentences(open_probe(tmp_path).facts())
    assert said == "Left out: 5 files (3 .txt, 1 .csv, 1 without ending)."
    both = open_probe([tmp_path / "1.png"])
    assert both.facts().get("left_out") is None
    union = open_probe(f"folder:{tmp_path}+folder:{tmp_path}")
    assert union.facts()["left_out"] == {".txt": 6, ".csv": 2, "without ending": 2}


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without packages for HEIF and AVIF."""
    monkeypatch.setattr(deep, "heif", lambda: False)
    Image.init()
    for kind in ("HEIF", "AVIF"):
        monkeypatch.delitem(Image.OPEN, kind, raising=False)
    images._openers.cache_clear()


HEIC = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(80)
AVIF = b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf" + bytes(80)


@pytest.mark.usefixtures("without")
def test_what_is_needed_is_said(tmp_path: Path) -> None:
    for name, data in (("1.heic", HEIC), ("2.HEIF", HEIC), ("3.avif", AVIF)):
        (tmp_path / name).write_bytes(data)
    expected = (
        r"holds no images, but 3 other files \(1 .avif, which needs Pillow 11.3 or later, 1 .heic, "
        r"which needs pillow-heif, 1 .heif, which needs pillow-heif\)"
    )
    with pytest.raises(UsageError, match=expected):
        open_probe(tmp_path)
    save(tmp_path / "4.png")
    probe = open_probe(tmp_path)
    assert ids(probe) == ["4.png"]
    assert "1 .heic, which needs pillow-heif" in sentences(probe.facts())[0]
    for data, what in ((HEIC, "is HEIF, which needs pillow-heif: pip"), (AVIF, "is AVIF, which")):
        (tmp_path / "5.jpg").write_bytes(data)  # under another name
        with pytest.raises(CorruptImageError, match=what):
            open_probe(tmp_path).read(1).decode()


def test_heif_and_avif_are_read_where_they_can_be(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    assert deep.heif()
    for name, kind in (("1.heic", "HEIF"), ("2.avif", "AVIF")):
        save(tmp_path / name, "blue", kind)
    code = (
        "import sys; from pathlib import Path; from neuronym.inputs.probes.base import open_probe;"
        "p = open_probe(Path(sys.argv[1]));"
        "print([p.read(i).decode().getpixel((1, 1)) for i in range(len(p))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    found = np.array(eval(done.stdout))
    assert np.abs(found - [[0, 0, 255]] * 2).max() < 6


# -- data sets of Hugging Face


def test_splits_and_streams_given_in_python() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image()})
    file = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(file, "PNG")
    rows = {"image": [{"bytes": file.getvalue(), "path": None}] * 3}
    data = datasets.Dataset.from_dict(rows, features=features)
    assert len(open_probe(datasets.DatasetDict({"train": data}))) == 3
    both = datasets.DatasetDict({"train": data, "test": data})
    with pytest.raises(UsageError, match=r"a DatasetDict of train, test. Give .* data\['train'\]"):
        open_probe(both)
    stream = data.to_iterable_dataset()
    with pytest.raises(
        UsageError,
        match="got an IterableDataset, which is read as a stream. Give its name with stream=yes",
    ):
        open_probe(stream)
    taken = datasets.Dataset.from_list(list(stream.take(2)), features=stream.features)
    assert len(open_probe(taken)) == 2  # what the sentence says works
    streams = datasets.IterableDatasetDict({"a": stream, "b": stream})
    with pytest.raises(UsageError, match="a IterableDatasetDict of a, b"):
        open_probe(streams)


# -- warnings of libraries


def test_a_large_picture_of_a_data_set_is_no_warning() -> None:
    """Pillow warns above 89 megapixels, and raises above 179, wherever it is called."""

    class Data:
        limit = 400

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Image.Image:
            file = io.BytesIO()
            Image.new("L", (20, 15)).save(file, "PNG")
            return Image.open(file)

    probe = open_probe(Data())
    usual = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = 200
        with warnings.catch_warnings(record=True) as told:
            warnings.resetwarnings()
            warnings.simplefilter("default")
            images.silence()
            assert probe.read(0).size == (20, 15)
        assert told == []
        Image.MAX_IMAGE_PIXELS = 100
        with pytest.raises(CorruptImageError, match="cannot be read: Image size"):
            open_probe(Data()).read(0)
    finally:
        Image.MAX_IMAGE_PIXELS = usual


def test_damaged_tags_print_nothing(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, np.full((5, 6), 999, np.uint16), description="x" * 50)
    data = file.getvalue()
    for place in range(8, 200, 7):
        (tmp_path / f"{place:03d}.tif").write_bytes(data[:place] + b"\xff\xff" + data[place + 2 :])
    code = (
        "import sys; from pathlib import Path; from neuronym.inputs.probes.images import decode\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try: decode(path.read_bytes())\n"
        "    except Exception as error: assert type(error).__name__ == 'CorruptImageError', error"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
