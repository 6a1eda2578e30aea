from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from helpers import ListProbe
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym.extraction.cache import Cache
from neuronym.extraction.image_table import Chosen, Copies, ImageRow, ImageTable
from neuronym.extraction.run import Extraction, extract
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import RawImage


class Means:
    """A "network" whose three units are the mean colours; counts what it sees."""

    def __init__(self, cache: Cache, stop_after: int | None = None, salt: str = "") -> None:
        self.preprocess = Preprocess(size=(8, 8), resize=8)
        self.entries = {
            name: cache.entry("activations", {"weights": f"{name}{salt}"}) for name in ("a", "b")
        }
        self.arrays = {name: {"values": (3, np.float32)} for name in self.entries}
        self.beside: dict = {}
        self.seen, self.stop_after = 0, stop_after
        self.batches: list[int] = []

    def running(self) -> AbstractContextManager[None]:
        return nullcontext()

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        if self.stop_after is not None and self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(pixels)
        self.batches.append(len(pixels))
        values = pixels.astype(np.float32).mean((1, 2))
        scale = {"a": 1.0, "b": -2.0}
        return {name: {"values": values * np.float32(scale[name])} for name in wanted}


def _values(done: Extraction, output: str = "a") -> np.ndarray:
    return np.asarray(done.rows(output))


def _expected(probe: ListProbe, network: Means) -> np.ndarray:
    rows = []
    for index in range(len(probe)):
        if index not in probe.broken | probe.gone:
            pixels = network.preprocess.pixels(probe.read(index).decode())
            rows.append(pixels.astype(np.float32).mean((0, 1)))
    return np.stack(rows)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 12)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(("batch_size", "workers"), [(5, 1), (4, 3), (64, 2), (1, 2)])
def test_every_image_once_in_order(tmp_path: Path, batch_size: int, workers: int) -> None:
    probe, cache = ListProbe(31, broken=[3, 29], gone=[12]), Cache(tmp_path)
    network = Means(cache)
    done = extract(probe, [network], cache, batch_size=batch_size, workers=workers)
    assert [row.image_id for row in done.images] == [
        f"{i:04d}" for i in range(31) if i not in (3, 12, 29)
    ]
    assert [skip.image_id for skip in done.skipped] == ["0003", "0012", "0029"]
    assert "permission denied" in done.skipped[1].reason
    np.testing.assert_allclose(_values(done), _expected(probe, network), rtol=1e-6)
    np.testing.assert_array_equal(_values(done, "b"), _values(done) * -2)
    row = done.images[1]
    assert (row.width, row.height) == (16, 20)
    assert row.annotations == (("parity", "odd", 1.0), ("part", "top", 0.25))


@pytest.mark.usefixtures("small_shards")
def test_nothing_is_computed_twice(tmp_path: Path) -> None:
    probe, cache = ListProbe(31, broken=[7]), Cache(tmp_path)
    first = extract(probe, [Means(cache)], cache, batch_size=4)
    again = Means(cache)
    second = extract(probe, [again], cache, batch_size=4)
    assert again.seen == 0
    assert second.computed == 0
    assert list(first.images) == list(second.images)
    assert first.skipped == second.skipped
    np.testing.assert_array_equal(_values(first), _values(second))
    fresh = Means(cache, salt="other weights")
    extract(probe, [again, fresh], cache, batch_size=4)
    assert (again.seen, fresh.seen) == (0, 30)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("stop_after", [0, 4, 12, 13, 24])
def test_a_killed_pass_goes_on_behind_its_last_finished_shard(
    tmp_path: Path, stop_after: int
) -> None:
    probe = ListProbe(31, broken=[2, 30])
    undisturbed = Cache(tmp_path / "one")
    wanted = extract(probe, [Means(undisturbed)], undisturbed, batch_size=5)
    cache = Cache(tmp_path / "two")
    killed = Means(cache, stop_after)
    with pytest.raises(KeyboardInterrupt):
        extract(probe, [killed], cache, batch_size=5)
    rest = Means(cache)
    done = extract(probe, [rest], cache, batch_size=5)
    np.testing.assert_array_equal(_values(done), _values(wanted))
    assert list(done.images) == list(wanted.images)
    finished = killed.seen // 10 * 10  # shards of 12 images are cut to whole batches of 5
    assert rest.seen <= 29 - finished + 1
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.usefixtures("small_shards")
def test_a_changed_image_is_noticed(tmp_path: Path) -> None:
    probe, cache = ListProbe(31), Cache(tmp_path)
    extract(probe, [Means(cache)], cache, batch_size=4)
    probe.broken.add(14)
    network = Means(cache)
    done = extract(probe, [network], cache, batch_size=4)
    assert [skip.image_id for skip in done.skipped] == ["0014"]
    assert network.seen == 11  # one shard of 12 without the broken image


def test_a_shard_without_readable_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 4)
    probe, cache = ListProbe(10, broken=[4, 5, 6, 7]), Cache(tmp_path)
    for _ in range(2):
        done = extract(probe, [Means(cache)], cache, batch_size=4)
        assert _values(done).shape == (6, 3)
        assert len(done.skipped) == 4


def test_unusable_probes(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(UsageError, match="`probe` to hold at least one image, got none in list"):
        extract(ListProbe(0), [Means(cache)], cache)
    with pytest.raises(
        NeuronymError, match="None of the 3 images of list could be read; the first"
    ):
        extract(ListProbe(3, broken=[0, 1, 2]), [Means(cache)], cache)
    twins = ListProbe(4)
    twins.image_id = lambda index: f"{index // 2}"  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="ids of list to be unique, got '0' twice"):
        extract(twins, [Means(cache)], cache)


def test_ties_go_by_content_not_by_place(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    done = extract(ListProbe(9), [Means(cache)], cache, batch_size=4)
    hashes = [row.content_hash for row in done.images]
    assert [hashes[i] for i in np.argsort(done.tie)] == sorted(hashes)


class Flaky(ListProbe):
    """Its images lie in large files, of which one cannot be read a second time, once."""

    def __init__(self, count: int, fails: int) -> None:
        super().__init__(count)
        self.fails, self.healthy, self.seen = fails, False, set()

    def read(self, index: int) -> RawImage:
        if index == self.fails and index in self.seen and not self.healthy:
            raise CorruptImageError("input/output error")
        self.seen.add(index)
        return super().read(index)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("healthy_first", [True, False])
def test_an_error_that_passes_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, healthy_first: bool
) -> None:
    monkeypatch.setattr("neuronym.extraction.shards._HOLD_BYTES", 0)  # every image is read twice
    cache = Cache(tmp_path)
    wanted = _values(extract(ListProbe(31), [Means(cache, salt="other")], cache, batch_size=4))
    if healthy_first:
        extract(ListProbe(31), [Means(cache)], cache, batch_size=4)
    probe = Flaky(31, fails=7)
    done = extract(probe, [Means(cache), Means2(cache)], cache, batch_size=4)
    assert [skip.image_id for skip in done.skipped] == ["0007"]
    assert _values(done).shape == (30, 3)
    assert _values(done, "c").shape == (30, 3)
    np.testing.assert_array_equal(_values(done), np.delete(wanted, 7, 0))
    probe.healthy = True
    again = extract(probe, [Means(cache), Means2(cache)], cache, batch_size=4)
    assert again.skipped == []
    np.testing.assert_array_equal(_values(again), wanted)
    np.testing.assert_array_equal(_values(again, "c"), wanted)


class Means2(Means):
    """Another network over the same images, with one output."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(cache)
        self.entries = {"c": cache.entry("activations", {"weights": "c"})}
        self.arrays = {"c": {"values": (3, np.float32)}}

    def __call__(
        self, pixels: np.ndarray, wanted: Sequence[str]
    ) -> dict[str, dict[str, np.ndarray]]:
        return {"c": {"values": pixels.astype(np.float32).mean((1, 2))}}


@pytest.mark.parametrize("identity", ["", "caf\udce9", "a\0b", 5])
def test_ids_that_no_table_can_hold(tmp_path: Path, identity: object) -> None:
    probe = ListProbe(3)
    probe.image_id = lambda index: identity if index == 1 else str(index)  # type: ignore
    cache = Cache(tmp_path)
    with pytest.raises(UsageError, match="image ids of list to be UTF-8 text"):
        extract(probe, [Means(cache)], cache)


def test_the_table_of_images_lies_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuronym.extraction.image_table._BLOCK", 4)
    expected = [
        ImageRow(f"{n}", None if n % 3 else f"/{n}", n, 2 * n, f"{n // 2:04x}", (("a", "b", 0.5),))
        for n in range(11)
    ]
    table = ImageTable()
    assert (len(table), list(table)) == (0, [])
    for row in expected:
        table.append(row)
    assert list(table) == expected
    assert [len(block) for block in table.blocks()] == [4, 4, 3]
    assert table.column("width").to_pylist() == list(range(11))
    rows = np.array([0, 3, 4, 10])
    some = Chosen(table, rows)
    assert list(some) == [expected[row] for row in rows]
    assert pa.Table.from_batches(some.blocks())["image_id"].to_pylist() == ["0", "3", "4", "10"]
    assert some.pick("width", np.array([3, 0, 3])) == [10, 0, 10]
    stands = np.arange(11)
    stands[[1, 7, 10]] = [0, 6, 2]
    copies = Copies(table, stands)
    assert [(c.image.image_id, c.of, c.equal) for c in copies] == [
        ("1", "0", True),
        ("7", "6", True),
        ("10", "2", False),
    ]
    blocks = pa.Table.from_batches(copies.blocks())
    assert blocks["of"].to_pylist() == ["0", "6", "2"]
    with pytest.raises(IndexError):
        table[11]
