import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuronym._core import hashing, storage
from neuronym._core.errors import NeuronymError
from neuronym.extraction.cache import Cache, ShardedRows


def test_arrays_are_read_back_and_by_the_safetensors_package(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(35, dtype=np.float32).reshape(5, 7),
        "peaks": np.arange(11, dtype=np.uint16),
        "empty": np.zeros((0, 3), np.float32),
    }
    path = tmp_path / "sub" / "x.safetensors"
    storage.write_arrays(path, arrays, {"note": "ü"})
    ours, about = storage.read_arrays(path)
    theirs = safetensors.numpy.load_file(path)
    assert about["note"] == "ü"
    assert storage.intact(ours, about)
    for name, array in arrays.items():
        np.testing.assert_array_equal(ours[name], array)
        np.testing.assert_array_equal(theirs[name], array)
        assert ours[name].dtype == array.dtype
    assert [p.name for p in path.parent.iterdir()] == ["x.safetensors"]


def test_blocks_that_do_not_fill_the_array_leave_no_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ValueError, match="3 values missing"):
        storage.write_array_blocks(path, {"a": (np.float32, (2, 3), [np.ones((1, 3))])}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 4, 9, 60, -1])
def test_truncated_files_are_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "x.safetensors"
    storage.write_arrays(path, {"a": np.ones((5, 7), np.float32)}, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(NeuronymError, match=r"x\.safetensors is not a readable safetensors file"):
        storage.read_arrays(path)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NeuronymError, match="No space left on device.*run the same command again"):
        storage.write_json(tmp_path / "a.json", {"x": 1})
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_json(path, {"old": 1})
    with pytest.raises(KeyboardInterrupt), storage.atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text().startswith('{\n  "old"')
    assert len(list(tmp_path.iterdir())) == 1


def test_fingerprints_tell_regrouped_texts_apart() -> None:
    assert hashing.of_texts(["ab", "c"]) != hashing.of_texts(["a", "bc"])
    assert hashing.of_data({"a": 1, "b": 2}) == hashing.of_data({"b": 2, "a": 1})
    flat = np.arange(6, dtype=np.float32)
    assert hashing.of_array(flat) != hashing.of_array(flat.reshape(2, 3))
    assert hashing.of_array(flat) != hashing.of_array(flat.view(np.int32))


@given(
    hnp.arrays(
        np.float32, st.tuples(st.integers(1, 23), st.just(3)), elements=st.floats(-9, 9, width=32)
    ),
    st.lists(st.integers(0, 23), max_size=6),
    st.integers(0, 25),
    st.integers(0, 25),
)
def test_sharded_rows_read_like_one_array(
    tmp_path_factory: pytest.TempPathFactory,
    whole: np.ndarray,
    cuts: list[int],
    low: int,
    high: int,
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    edges = [0, *sorted(min(c, len(whole)) for c in cuts), len(whole)]
    parts = []
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        path = folder / f"{number}.safetensors"
        storage.write_arrays(path, {"values": whole[start:stop]}, {})
        parts.append((path, stop - start))
    rows = ShardedRows(parts, "values", 3, np.float32)
    assert rows.shape == whole.shape
    np.testing.assert_array_equal(rows[low:high], whole[low:high])
    np.testing.assert_array_equal(np.asarray(rows), whole)


def test_cache_shelves_differ_with_anything_that_goes_in(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    one = cache.entry("activations", {"weights": "a", "layer": "x"})
    two = cache.entry("activations", {"weights": "b", "layer": "x"})
    assert one.folder != two.folder
    assert one.folder == cache.entry("activations", {"layer": "x", "weights": "a"}).folder
    one.write("k", {"values": np.ones((2, 3), np.float32)}, {})
    assert one.has("k", 2)
    assert not two.has("k", 2)


def _flip(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-7],
        lambda data: b"",
        _flip,
        lambda data: b"\x02" + bytes(7) + b"{}",
        lambda data: b"\x01" + bytes(7) + b"5",
    ],
)
def test_a_damaged_shard_counts_as_absent(tmp_path: Path, damage: Callable) -> None:
    entry = Cache(tmp_path).entry("activations", {"weights": "a"})
    entry.write("k", {"values": np.ones((20, 3), np.float32)}, {})
    assert entry.has("k", 20)
    assert not entry.has("k", 19)
    entry.path("k").write_bytes(damage(entry.path("k").read_bytes()))
    assert not entry.has("k", 20)
    entry.write("k", {"values": np.ones((20, 3), np.float32)}, {})
    assert entry.has("k", 20)


def test_leftovers_of_killed_processes_go(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".x.safetensors.abc.tmp").write_text("half")
    (tmp_path / "mine.tmp").write_text("not ours")
    storage.remove_leftovers(tmp_path, older_than=100)
    assert len(list((tmp_path / "sub").iterdir())) == 1
    storage.remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.rglob("*tmp")] == ["mine.tmp"]


def test_json_holds_paths_that_are_not_utf8(tmp_path: Path) -> None:
    import json

    storage.write_json(tmp_path / "a.json", {"out": "caf\udce9", "ä": 1})
    assert json.loads((tmp_path / "a.json").read_text())["out"] == "caf\udce9"


def test_cache_list_and_prune(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (tmp_path / "mine.txt").write_text("not ours")
    for age, (kind, name) in enumerate(
        [("activations", "a"), ("activations", "b"), ("texts", "c")]
    ):
        entry = cache.entry(kind, {"weights": name})
        entry.write("k", {"values": np.ones((25, 10), np.float32)}, {})
        note = entry.folder / "about.json"
        os.utime(note, (note.stat().st_mtime - age * 86400 * 10,) * 2)
    assert cache.prune(dry_run=True) == []  # in use
    del cache, entry
    cache = Cache(tmp_path)
    assert [s.about["weights"] for s in cache.list()] == ["a", "b", "c"]
    assert len(cache.prune(dry_run=True)) == 3
    assert [s.about["weights"] for s in cache.prune(older_than_days=15)] == ["c"]
    assert [s.about["weights"] for s in cache.prune(keep_bytes=1200)] == ["b"]
    assert [s.about["weights"] for s in cache.list()] == ["a"]
    assert len(cache.prune(kind="texts")) == 0
    cache.prune()
    assert cache.list() == []
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted by /proc")
def test_reading_a_table_makes_no_threads(tmp_path: Path) -> None:
    pq.write_table(pa.table({"unit": range(70_000)}), tmp_path / "t.parquet")
    code = (
        "import os, sys, pathlib, pyarrow.parquet\n"
        "from neuronym._core import storage\n"
        "threads = lambda: len(os.listdir('/proc/self/task'))\n"
        "before = threads()\n"
        "table = storage.read_table(pathlib.Path(sys.argv[1]))\n"
        "table.to_pandas(use_threads=False)\n"
        "assert table.num_rows == 70_000\n"
        "assert threads() == before\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "t.parquet")], check=True)
    assert storage.read_table(tmp_path / "t.parquet", ["unit"])["unit"].to_pylist()[-1] == 69_999
