"""A folder of images: which files, in which order, with which ids, labels and masks."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.registry import escape
from neuronym.inputs.probes.base import Annotation, Probe, open_probe
from places import SHARED


def save(path: Path, size: tuple[int, int] = (6, 4), colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, {".jfif": "JPEG"}.get(path.suffix.lower()))
    return path


def folder(path: Path, more: str = "", **options: int) -> Probe:
    return open_probe(f"folder:{escape(str(path))}{more}", **options)


def ids(probe: Probe) -> list[str]:
    return [probe.image_id(index) for index in range(len(probe))]


def test_recursive_sorted_and_nothing_hidden(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/z.jpg", "a/b/y.webp", "a-1.bmp", "c.JFIF", "d.ppm", "e.tif", "f.gif"):
        save(tmp_path / name)
    for name in (".hidden.png", ".git/x.png", "__MACOSX/y.png", "a/.thumbs/z.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    probe = folder(tmp_path)
    expected = "a-1.bmp a/b/y.webp a/z.jpg b.PNG c.JFIF d.ppm e.tif f.gif"
    assert ids(probe) == expected.split()
    assert probe.source(1) == str(tmp_path / "a" / "b" / "y.webp")
    assert probe.read(3).decode().getpixel((5, 3)) == (255, 0, 0)
    assert probe.read(3).data == (tmp_path / "b.PNG").read_bytes()
    assert ids(open_probe(tmp_path)) == ids(probe)
    assert ids(open_probe(probe.name)) == ids(probe)


def test_sub_folders_are_labels(tmp_path: Path) -> None:
    for name in ("x.png", "animal/dog/1.png", "animal/great_white/2.png", "animal/animal/3.png"):
        save(tmp_path / name)
    probe = folder(tmp_path)
    by_id = dict(zip(ids(probe), map(probe.labels, range(4)), strict=True))
    assert by_id["x.png"] == ()
    assert by_id["animal/dog/1.png"] == tuple(Annotation("folder", w) for w in ("animal", "dog"))
    assert by_id["animal/animal/3.png"] == (Annotation("folder", "animal"),)
    names = [entry.name for entry in probe.vocabulary()]
    assert names == ["animal", "dog", "great_white"]
    assert folder(tmp_path, ",labels=no").vocabulary() == []
    assert folder(tmp_path, ",labels=object").labels(1)[0].category == "object"


def test_odd_names(tmp_path: Path) -> None:
    save(tmp_path / "a+b, c=1" / "x:y 10%.png")
    save(tmp_path / "naïve 🐕.png")
    os.rename(save(tmp_path / "tmp.png"), os.fsencode(tmp_path) + b"/caf\xe9.png")
    probe = folder(tmp_path)
    assert ids(probe) == ["a+b, c=1/x:y 10%.png", "caf\\xe9.png", "naïve 🐕.png"]
    for index in range(3):
        ids(probe)[index].encode()
        str(probe.source(index)).encode()
        assert probe.read(index).size == (6, 4)
    inner = folder(tmp_path / "a+b, c=1")
    assert ids(inner) == ["x:y 10%.png"]
    assert ids(open_probe(inner.name)) == ids(inner)


def test_symbolic_links(tmp_path: Path) -> None:
    save(tmp_path / "real" / "1.png")
    save(tmp_path / "elsewhere" / "2.png")
    root = tmp_path / "root"
    save(root / "deep" / "3.png")
    (root / "deep" / "loop").symlink_to(root, target_is_directory=True)
    (root / "again").symlink_to(root / "deep", target_is_directory=True)
    (root / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "one.png").symlink_to(tmp_path / "real" / "1.png")
    (root / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (root / "loop").symlink_to("loop")
    (root / "round.png").symlink_to("round.png")
    (root / "nothing").symlink_to(tmp_path / "nowhere")
    probe = folder(root)
    expected = ["dangling.png", "deep/3.png", "linked/2.png", "one.png", "round.png"]
    assert ids(probe) == expected
    with pytest.raises(CorruptImageError, match="cannot be read: No such file"):
        probe.read(0)
    with pytest.raises(CorruptImageError, match="cannot be read: Too many levels"):
        probe.read(4)


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    save(tmp_path / "x.png")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "linked.jpg").symlink_to("pipe.jpg")
    assert ids(folder(tmp_path)) == ["x.png"]


def test_a_large_folder_takes_little_memory(tmp_path: Path) -> None:
    """No Python object stays for an image: their names have 40 bytes, and a number is 8."""
    for number in range(2000):
        (tmp_path / f"folder-{number % 3}").mkdir(exist_ok=True)
        (tmp_path / f"folder-{number % 3}" / f"an image with a name {number:06d}.jpg").touch()
    folder(tmp_path)
    tracemalloc.start()
    probe = folder(tmp_path)
    assert len(probe) == 2000
    assert probe.values.range is None
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2000 * 100
    assert peak < 2000 * 200
    assert [label.name for label in probe.labels(1999)] == ["folder-2"]
    assert [entry.name for entry in probe.vocabulary()] == [f"folder-{n}" for n in range(3)]


def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/n\xff"))
    save(root / "images" / "1.png")
    save(root / "masks" / "1.png").write_bytes(b"broken")
    probe = folder(root, ",names=a|b,labels=c\udcff")
    for text in (probe.name, probe.source(0), probe.image_id(0)):
        text.encode()
    assert "n\\xff" in probe.name
    assert "n\\xff/images/1.png" in probe.source(0)
    assert probe.read(0).size == (6, 4)
    with pytest.raises(CorruptImageError, match="the mask") as caught:
        probe.masks(0)
    str(caught.value).encode()
    first = open_probe(f"folder:{escape(str(root))},limit=1,masks=no")
    first.name.encode()


def test_corrupt_and_vanished_files(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    gone = save(tmp_path / "gone.png")
    probe = folder(tmp_path)
    gone.unlink()
    with pytest.raises(CorruptImageError, match=r"cannot be decoded"):
        probe.read(0).decode()
    with pytest.raises(CorruptImageError, match="cannot be read: No such file"):
        probe.read(1)
    assert probe.read(2).decode().size == (6, 4)


def test_clear_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="is empty: it holds no files"):
        folder(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.txt").write_text("y")
    (tmp_path / "README").write_text("z")
    with pytest.raises(UsageError, match=r"no images, but 3 other files \(2 .txt, 1 without end"):
        folder(tmp_path)
    with pytest.raises(UsageError, match=r"existing folder, got .*nowhere, which does not exist"):
        folder(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"a.txt, which is a file. Its folder is .*"):
        folder(tmp_path / "a.txt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=rf"got a.txt, .* Its folder is {tmp_path}\."):
        open_probe("folder:a.txt")
    with pytest.raises(
        UsageError, match="one of labels, masks, names, arrays, got 'label'. Nearest: lab"
    ):
        folder(tmp_path, ",label=no")
    with pytest.raises(UsageError, match=r"to be folder:PATH, .*, got folder without a path\."):
        open_probe("folder")
    with pytest.raises(UsageError, match=r"got folder:labels=no without a path\."):
        open_probe("folder:,labels=no")


@pytest.fixture
def camvid_like(tmp_path: Path) -> Path:
    save(tmp_path / "images" / "1.jpg", (6, 4))
    save(tmp_path / "images" / "sub" / "2.png", (3, 5))
    save(tmp_path / "images" / "3.png")
    codes = np.array([[0, 0, 1], [2, 2, 9]], np.uint8)
    (tmp_path / "masks" / "sub").mkdir(parents=True)
    Image.fromarray(codes).save(tmp_path / "masks" / "1.png")
    palette = Image.fromarray(np.full((5, 3), 1, np.uint8)).convert("P")
    palette.putpalette([9, 9, 9, 200, 0, 0])
    palette.save(tmp_path / "masks" / "sub" / "2.png")
    return tmp_path


def test_masks_beside_the_images(camvid_like: Path) -> None:
    (camvid_like / "labels.csv").write_text("code,name,category\n0,sky\n1,null,thing\n2,nan,\n")
    probe = folder(camvid_like)
    assert ids(probe) == ["1.jpg", "3.png", "sub/2.png"]
    found = {(mask.category, mask.name): mask.pixels for mask in probe.masks(0)}
    assert set(found) == {("object", "sky"), ("thing", "null"), ("object", "nan")}
    assert all(mask.shape == (4, 6) and mask.dtype == bool for mask in found.values())
    sky = np.zeros((4, 6), bool)
    sky[:2, :4] = True  # each of the 2 × 3 codes covers 2 × 2 pixels
    assert (found["object", "sky"] == sky).all()
    assert found["thing", "null"].sum() == 4
    assert found["object", "nan"][2:, :4].all()
    assert sum(mask.sum() for mask in found.values()) == 20  # code 9 has no name
    assert probe.masks(1) == ()
    assert [mask.name for mask in probe.masks(2)] == ["null"]
    names = [("folder", "sub"), ("object", "nan"), ("object", "sky"), ("thing", "null")]
    assert probe.vocabulary() == [Annotation(*name) for name in names]


def test_masks_by_parameters(camvid_like: Path) -> None:
    names = camvid_like / "names.txt"
    names.write_text("sky\n\nroad\n", encoding="utf-8-sig")
    where = f",masks={escape(str(camvid_like / 'masks'))}"
    for more in (",names=sky||road", f",names={escape(str(names))}"):
        probe = folder(camvid_like / "images", where + more)
        assert [mask.name for mask in probe.masks(0)] == ["road", "sky"]
        assert [mask.name for mask in open_probe(probe.name).masks(0)] == ["road", "sky"]
    assert folder(camvid_like, ",masks=no").masks(0) == ()


def test_kinds_of_mask_files(camvid_like: Path) -> None:
    path = camvid_like / "masks" / "1.png"
    probe = folder(camvid_like, ",names=a|b|c")
    bilevel = np.array([[True, False, False], [False, False, False]])
    for codes, names in (
        (bilevel, ["a", "b"]),
        (np.array([[0, 2, 2], [2, 2, 2]], np.uint16), ["a", "c"]),
        (np.dstack([bilevel, 0 * bilevel, bilevel]).astype(np.uint8) * 2, ["a", "c"]),
        (np.dstack([0 * bilevel, bilevel, bilevel]).astype(np.uint8), ["a"]),
    ):
        Image.fromarray(codes).save(path)
        assert [mask.name for mask in probe.masks(0)] == names
    Image.fromarray(codes[:, :, :2]).save(path)
    with pytest.raises(CorruptImageError, match=r"1.jpg: the mask .*1.png is not an index image"):
        probe.masks(0)


def test_masks_of_a_turned_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.new("RGB", (6, 4)).save(tmp_path / "images" / "1.jpg", exif=exif)
    Image.fromarray(np.ones((6, 4), np.uint8)).save(tmp_path / "masks" / "1.png")
    probe = folder(tmp_path, ",names=a|b")
    (mask,) = probe.masks(0)
    assert mask.pixels.shape == (6, 4)
    Image.fromarray(np.ones((4, 6), np.uint8)).save(tmp_path / "masks" / "1.png")
    with pytest.raises(CorruptImageError, match=r"1.jpg: the mask .*1.png is 6 × 4.*turn the mask"):
        probe.masks(0)
    (tmp_path / "masks" / "1.png").write_text("nothing")
    with pytest.raises(CorruptImageError, match=r"1.jpg: the mask .*1.png is not an image"):
        probe.masks(0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,sky\nx,road\n", r"labels.csv, line 2: expected code,name\[,category\], got 'x,road'"),
        ("0,sky\n1\n", r"labels.csv, line 2: expected"),
        ("0,sky\n0,road\n", r"labels.csv, line 2: the code 0 has two names"),
        ("code,name\n", r"labels.csv names no codes"),
        (b"0,caf\xe9\n", r"labels.csv is not readable as UTF-8"),
    ],
)
def test_malformed_names(camvid_like: Path, text: str | bytes, message: str) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (camvid_like / "labels.csv").write_bytes(data)
    with pytest.raises(NeuronymError, match=message):
        folder(camvid_like)


def test_masks_without_names(camvid_like: Path) -> None:
    with pytest.raises(UsageError, match="have names for their codes, got none. Write names=sky"):
        folder(camvid_like)
    with pytest.raises(UsageError, match="a list a|b|… or an existing file, got 'absent.csv'"):
        folder(camvid_like, ",names=absent.csv")
    with pytest.raises(UsageError, match="left out where there are no masks"):
        folder(camvid_like / "images", ",names=a|b")
    with pytest.raises(UsageError, match="which does not exist"):
        folder(camvid_like / "images", ",masks=/nowhere,names=a|b")


@pytest.mark.skipif(not (SHARED / "camvid").is_dir(), reason="check data absent")
def test_camvid() -> None:
    words = "sky|building|pole|road|pavement|tree|sign|fence|car|pedestrian|bicyclist|"
    probe = folder(SHARED / "camvid", f",names={words}", limit="first:5")
    names = [mask.name for mask in probe.masks(0)]
    assert "road" in names
    assert "car" in names
    assert len(probe.vocabulary()) == 11
    covered = sum(mask.pixels.mean() for mask in probe.masks(0))
    assert 0.8 < covered <= 1
