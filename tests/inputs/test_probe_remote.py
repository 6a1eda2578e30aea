"""Images behind URLs and in tar files: the same ids, hashes and labels as on the disk."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from neuronym._core.errors import CorruptImageError, MissingExtraError, NeuronymError, UsageError
from neuronym.extraction.cache import Cache
from neuronym.extraction.duplicates import SmallCopies
from neuronym.extraction.run import extract
from neuronym.inputs.probes import remote
from neuronym.inputs.probes.base import Annotation, Probe, open_probe

FILES = ["a-1.png", "cat/b/2.png", "cat/ö 3.png", "dog/4.jpg", "dog/5.png"]


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (number * 40, 0, 0)).save(file, "PNG")
    return file.getvalue()


DATA = {name: png(number) for number, name in enumerate(FILES)} | {"dog/5.png": b"broken"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE", 0)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The images in a folder, and what is not shown beside them."""
    more = {"dog/notes.md": b"x", ".hidden/z.png": png(1), "cat/.z.png": png(1)}
    for name, data in (DATA | more).items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(data)
    return tmp_path / "photos"


def same(probe: Probe, local: Probe) -> None:
    """As the folder on the disk, also in another process, and in a pass that leaves a mark."""
    assert list(probe.ids) == list(local.ids)
    for one in (probe, pickle.loads(pickle.dumps(probe)), open_probe(probe.name)):
        for index in range(len(local)):
            assert one.read(index).content_hash == local.read(index).content_hash
            assert one.labels(index) == local.labels(index)
            assert one.group(index) == local.group(index)
    assert probe.vocabulary() == local.vocabulary()
    assert probe.facts()["left_out"] == local.facts()["left_out"]


def test_a_url_is_as_a_folder(disk: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(disk), "/bucket/photos", recursive=True)
    local = open_probe(f"folder:{disk}")
    probe = open_probe("memory://bucket/photos")
    same(probe, local)
    assert probe.source(3) == "memory://bucket/photos/dog/4.jpg"
    assert open_probe("memory://bucket/photos,labels=no").labels(1) == ()
    few = open_probe("memory://bucket/photos,limit=first:2")
    assert list(few.ids) == FILES[:2]
    # What was computed for the folder is there for the URL, too; what is broken is counted.
    cache = Cache(tmp_path / "cache")
    local.read(0).decode()  # plugins of Pillow are there from the first image on
    first = extract(local, [SmallCopies(cache)], cache)
    again = extract(probe, [SmallCopies(cache)], cache)
    assert (first.computed, again.computed) == (5, 0)
    assert [s.image_id for s in again.skipped] == ["dog/5.png"]
    # Gone, and cut off for a while.
    memory.rm("/bucket/photos/dog/4.jpg")
    with pytest.raises(CorruptImageError, match="cannot be read: it is not there"):
        probe.read(3)
    memory.rm("/bucket", recursive=True)


def test_a_zip_file_is_a_folder(disk: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as out:
        for path in sorted(disk.rglob("*.*")):
            if path.is_file():
                out.write(path, path.relative_to(disk))
    same(open_probe(f"zip://::{tmp_path}/photos.zip"), open_probe(f"folder:{disk}"))


def test_a_request_is_made_again_before_an_image_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/flaky/1.png", png(1))
    probe, failures, fetch = open_probe("memory://flaky"), [], type(memory).cat_file

    def flaky(self: object, path: str, **how: object) -> bytes:
        failures.append(path)
        if len(failures) < 3:
            raise ConnectionError("reset by peer")
        return fetch(self, path, **how)

    monkeypatch.setattr(type(memory), "cat_file", flaky)
    assert probe.read(0).data == png(1)
    failures[:] = []
    monkeypatch.setattr(remote, "_TRIES", 2)
    with pytest.raises(CorruptImageError, match="cannot be read: reset by peer"):
        probe.read(0)
    memory.rm("/flaky", recursive=True)


def test_what_is_said_of_urls_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        UsageError, match="that fsspec knows, .* got nosuch://x: Protocol not known"
    ):
        open_probe("nosuch://x")
    with pytest.raises(NeuronymError, match="Cannot list memory://nowhere: it is not there"):
        open_probe("memory://nowhere")
    fsspec.filesystem("memory").pipe("/texts/1.txt", b"x")
    with pytest.raises(
        UsageError, match=r"memory://texts holds no images, but 1 other files \(1 .t"
    ):
        open_probe("memory://texts")
    with pytest.raises(UsageError, match="one of labels, got 'masks'"):
        open_probe("memory://texts,masks=no")

    def absent(*_: object, **__: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", absent)
    with pytest.raises(
        MissingExtraError, match=r"Install s3fs .* pip install \"neuronym\[remote\]"
    ):
        open_probe("s3://bucket/photos")


@pytest.fixture
def served(disk: Path) -> Iterator[str]:
    """The address of a server of the folder's parent."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(disk.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_images_behind_http(disk: Path, served: str) -> None:
    pytest.importorskip("aiohttp")
    same(open_probe(f"{served}/photos"), open_probe(f"folder:{disk}"))


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def shards(folder: Path) -> None:
    tar(
        folder / "t-00.tar",
        {
            "a/1.cls": b"0\n",
            "a/1.png": png(1),
            "a/2.png": png(2),
            "a/2.json": b'{"label": ["cat", 1]}',
            "a/readme.md": b"x",
        },
    )
    tar(
        folder / "t-01.tar",
        {
            "./3.jpg": png(3),
            "./3.txt": "a dög, asleep".encode(),
            "4.png": b"broken",
            "5.png": png(5),
        },
    )


def test_shards_are_read_where_their_images_lie(tmp_path: Path) -> None:
    shards(tmp_path)
    probe = open_probe(f"wds:{tmp_path}/t-{{00..01}}.tar,names=cat|dog")
    assert list(probe.ids) == [
        "t-00/a/1.png",
        "t-00/a/2.png",
        "t-01/3.jpg",
        "t-01/4.png",
        "t-01/5.png",
    ]
    assert [probe.read(i).data for i in (0, 1, 2, 4)] == [png(1), png(2), png(3), png(5)]
    with pytest.raises(CorruptImageError, match="is not an image"):
        probe.read(3).decode()
    assert probe.labels(0) == (Annotation("class", "cat"),)
    assert probe.labels(1) == (Annotation("class", "cat"), Annotation("class", "dog"))
    assert probe.labels(2) == (Annotation("caption", "a dög, asleep"),)
    assert probe.labels(4) == ()
    assert [entry.name for entry in probe.vocabulary()] == ["a dög, asleep", "cat", "dog"]
    assert probe.facts()["left_out"] == {".md": 1}
    assert len({probe.group(index) for index in range(3)}) == 3
    assert pickle.loads(pickle.dumps(probe)).read(4).data == png(5)
    assert list(open_probe(probe.name).ids) == list(probe.ids)
    assert list(open_probe(f"wds:{tmp_path}/t-*.tar").ids) == list(probe.ids)
    assert open_probe(f"wds:{tmp_path}/t-00.tar,labels=no").labels(0) == ()
    # A download that stopped: what is whole is read.
    whole = (tmp_path / "t-01.tar").read_bytes()
    (tmp_path / "t-01.tar").write_bytes(whole[: whole.index(png(5)) + 20])
    part = open_probe(f"wds:{tmp_path}/t-01.tar")
    assert part.read(0).data == png(3)
    assert part.facts()["left_out"] == {"rest of a shard that is cut off": 1}
    with pytest.raises(CorruptImageError, match="is cut off: 20 of"):
        part.read(2)


def test_shards_behind_a_url(tmp_path: Path) -> None:
    shards(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "t-00.tar"), "/shards/t-00.tar")
    memory.put(str(tmp_path / "t-01.tar"), "/shards/t-01.tar")
    local = open_probe(f"wds:{tmp_path}/t-*.tar")
    probe = open_probe("wds:memory://shards/t-{00..01}.tar")
    assert list(probe.ids) == list(local.ids)
    assert [probe.read(i).content_hash for i in range(5)] == [
        local.read(i).content_hash for i in range(5)
    ]
    assert [probe.labels(i) for i in range(5)] == [local.labels(i) for i in range(5)]
    assert list(open_probe("memory://shards/t-01.tar").ids) == list(local.ids)[2:]
    memory.rm("/shards", recursive=True)


def test_what_is_said_of_shards_that_cannot_be_read(tmp_path: Path) -> None:
    shards(tmp_path)
    with pytest.raises(UsageError, match="tar files that are there, got .*t-02.tar"):
        open_probe(f"wds:{tmp_path}/t-{{00..02}}.tar")
    (tmp_path / "t.tar.gz").write_bytes(gzip.compress((tmp_path / "t-00.tar").read_bytes()))
    with pytest.raises(
        NeuronymError, match=r"t.tar.gz cannot be read as a tar file: .* with gunzip"
    ):
        open_probe(f"wds:{tmp_path}/t.tar.gz")
    tar(tmp_path / "empty.tar", {"1.txt": b"x"})
    with pytest.raises(UsageError, match="holds no images|is empty"):
        open_probe(f"wds:{tmp_path}/empty.tar")
    tar(tmp_path / "twice.tar", {"1.png": png(1), "2.png": png(2), "./1.png": png(3)})
    with pytest.raises(UsageError, match=r"with different names in .*, got 'twice/1.png' twice"):
        open_probe(f"wds:{tmp_path}/twice.tar")
    with pytest.raises(UsageError, match="wds:SHARDS, such as"):
        open_probe("wds:")


@pytest.mark.torture
def test_images_in_a_bucket(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `pip install "moto[s3]" flask flask-cors s3fs`."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0)
    pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    options = {"endpoint_url": f"http://{host}:{port}"}
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    try:
        bucket = fsspec.filesystem("s3")
        bucket.mkdir("photos")
        for name, data in DATA.items():
            bucket.pipe(f"photos/all/{name}", data)
        bucket.pipe("photos/all/dog/notes.md", b"x")
        same(open_probe("s3://photos/all"), open_probe(f"folder:{disk}"))
        shards(disk.parent)
        bucket.put(str(disk.parent / "t-00.tar"), "photos/t-00.tar")
        assert open_probe("wds:s3://photos/t-00.tar").read(1).data == png(2)
    finally:
        server.stop()
