import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch.utils.data import Dataset

import neuronym as nym
from neuronym._core.errors import MissingExtraError, NeuronymError, UsageError
from neuronym._core.registry import opened
from neuronym.atlas.schema import EngineFacts
from neuronym.extraction.shards import Loader
from neuronym.inputs.probes.deep import heif
from neuronym.pipeline.engines import _pool
from neuronym.pipeline.engines.base import ENGINES, Engine
from neuronym.pipeline.engines.ray import Ray, Shape
from small_world import COLOURS, ColourEncoder, build, coloured_images
from threads_as_ray import Actor, ThreadsAsRay

Use = Callable[[ThreadsAsRay], ThreadsAsRay]


@pytest.fixture(autouse=True)
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Shards of 8 images, and threads in the place of Ray."""
    monkeypatch.setattr("neuronym.extraction.shards.SHARD_IMAGES", 8)
    monkeypatch.setattr(_pool, "EVERY", 0.02)

    def take(ray: ThreadsAsRay) -> ThreadsAsRay:
        monkeypatch.setattr("neuronym.pipeline.engines.ray._connected", ray.connected)
        return ray

    take(ThreadsAsRay(cpus=3))
    heif()  # the first image that cannot be read registers it, which makes another cache entry
    return take


def dissect(folder: Path, engine: str, **changed: Any) -> nym.Atlas:
    given: dict[str, Any] = {
        "target": build(),
        "layers": ["detect", "head"],
        "probe": coloured_images(61),
        "concepts": [*COLOURS, "nonsense"],
        "encoder": ColourEncoder(),
        "similarity": "soft-wpmi:top_k=7",
        "batch_size": 4,
        "cache": str(folder / "cache"),
        "out": folder / "atlas",
        "overwrite": True,
        "progress": None,
        "engine": engine,
    }
    return nym.dissect(**(given | changed))


def cached(folder: Path) -> dict[str, bytes]:
    files = (folder / "cache").rglob("*.safetensors")
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


def same(one: nym.Atlas, two: nym.Atlas) -> None:
    for table in ("images", "units", "concepts"):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(two, table))
    pd.testing.assert_frame_equal(one.labels(), two.labels())
    pd.testing.assert_frame_equal(one.exemplars(), two.exemplars())


class Broken(Dataset):
    """Images of which some cannot be read, in a data set that is read one at a time."""

    def __init__(self) -> None:
        self.images = coloured_images(30)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return (b"no image" if index in (0, 9, 29) else self.images[index]), index % 2


@pytest.mark.parametrize("probe", [None, Broken()], ids=["images", "some unreadable"])
@pytest.mark.filterwarnings("ignore:.*could not be read")
def test_workers_leave_what_a_plain_run_leaves(tmp_path: Path, probe: Any) -> None:
    changed = {} if probe is None else {"probe": probe}
    plain, pooled = (dissect(tmp_path / name, name, **changed) for name in ("local", "ray"))
    assert cached(tmp_path / "ray") == cached(tmp_path / "local")
    same(plain, pooled)
    assert plain.manifest.engine is None
    facts = EngineFacts(name="ray", workers=3, threads=1)
    assert pooled.manifest.engine == facts


@pytest.mark.parametrize(("first", "then"), [("local", "ray"), ("ray:workers=2", "local")])
def test_either_goes_on_where_the_other_stopped(
    tmp_path: Path, first: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dissect(tmp_path, first)
    whole = cached(tmp_path)
    lost = [name for name in sorted(whole) if "/activations/" in name][::3]
    for name in lost:
        (tmp_path / name).unlink()
    decoded: list[int] = []
    decode = Loader._decode
    monkeypatch.setattr(
        Loader, "_decode", lambda s, h, steps: decoded.append(h.index) or decode(s, h, steps)
    )
    dissect(tmp_path, then)
    assert cached(tmp_path) == whole
    shards = {index // 8 for index in decoded}
    assert 0 < len(shards) <= len(lost) < 16  # two layers, eight shards each
    assert len(decoded) == len(set(decoded))


@pytest.mark.parametrize("method", ["compute", "read", "set_up"])
def test_a_worker_that_dies_is_replaced(tmp_path: Path, use: Use, method: str) -> None:
    seen: list[str] = []

    def kills(actor: Actor, name: str, args: list) -> bool:
        seen.append(name)
        return actor.number == 0 and name == method

    use(ThreadsAsRay(cpus=2, kills=kills))
    plain = dissect(tmp_path / "local", "local")
    with pytest.warns(UserWarning, match="1 worker of the engine ray died and was replaced"):
        pooled = dissect(tmp_path / "ray", "ray")
    assert cached(tmp_path / "ray") == cached(tmp_path / "local")
    same(plain, pooled)
    engine = pooled.manifest.engine
    assert engine.replaced == 1
    assert (engine.again > 0) == (method == "compute")


@pytest.mark.parametrize(
    ("method", "where"), [("compute", "at the images 16 to 23"), ("set_up", "while they started")]
)
def test_workers_that_die_again_and_again_end_the_run(
    tmp_path: Path, use: Use, method: str, where: str
) -> None:
    def kills(actor: Actor, name: str, args: list) -> bool:
        return name == method and (name == "set_up" or args[0] == 2)

    use(ThreadsAsRay(cpus=1, kills=kills))
    with pytest.raises(NeuronymError, match=f"3 workers of the engine ray died .* {where}"):
        dissect(tmp_path, "ray")


class Elsewhere(Dataset):
    """Images that another process does not find, or finds changed."""

    def __init__(self, after: Any) -> None:
        self.images, self.after = coloured_images(9), after

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.images[index]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state | {"images": [state["after"]] * len(state["images"])}


@pytest.mark.parametrize(
    ("after", "why"),
    [("/nowhere/image.jpg", "cannot be read"), (coloured_images(1, 5)[0], "another image")],
)
def test_workers_that_do_not_find_the_images_are_refused(
    tmp_path: Path, after: Any, why: str
) -> None:
    with pytest.raises(NeuronymError, match=f"does not find 000000: .*{why}"):
        dissect(tmp_path, "ray", probe=Elsewhere(after))


def test_what_a_worker_raises_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuronym.pipeline.engines._worker.compute", lambda *a, **k: np.zeros(3)[7])
    with pytest.raises(NeuronymError, match=r"A worker .* failed: IndexError: index 7 is out"):
        dissect(tmp_path, "ray")


def test_workers_that_compute_otherwise_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pool, "same", lambda: {"torch": "1.0"})
    with pytest.raises(NeuronymError, match=r"as this machine does \(torch: 1.0\), got "):
        dissect(tmp_path, "ray")


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("compute", r"no image was finished for a minute\. Waiting for process \d+ on .* images"),
        ("set_up", r"none of 1 worker has started\. Each takes 0\.5 CPUs"),
    ],
)
def test_a_run_that_stands_still_says_what_it_waits_for(
    tmp_path: Path,
    use: Use,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    method: str,
    said: str,
) -> None:
    monkeypatch.setattr(_pool, "PATIENCE", 0.1)
    held, awaited = threading.Event(), _pool.Pool._awaited

    def kills(actor: Actor, name: str, args: list) -> bool:
        return name == method and not held.wait(20)

    def tell(pool: _pool.Pool, ranges: list[range]) -> str:
        held.set()
        return awaited(pool, ranges)

    use(ThreadsAsRay(cpus=1, kills=kills))
    monkeypatch.setattr(_pool.Pool, "_awaited", tell)
    dissect(tmp_path, "ray")
    assert pd.Series(capsys.readouterr().err.splitlines()).str.contains(f"ray: .*{said}").any()


@pytest.mark.parametrize("cpus", [1, 2, 3, 7, 16, 17, 64, 100, 192])
@pytest.mark.parametrize("given", [{}, {"threads": 3}, {"workers": 5}, {"workers": 500}])
def test_workers_leave_a_cpu_on_every_machine(cpus: int, given: dict[str, int]) -> None:
    shape = Shape.of([(cpus, 0)], cards=False, most=10_000, **given)
    assert shape.workers * shape.cpus <= max(cpus - 1, 0.5)
    assert shape.cpus > 0
    assert shape.workers == given.get("workers", shape.workers)
    cards = Shape.of([(cpus, 4), (2 * cpus, 4)], cards=True, most=10_000, gpus=0.5)
    assert (cards.workers, cards.gpus) == (16, 0.5)
    assert 8 * cards.cpus <= max(cpus - 1, 0.5)


def test_no_more_workers_than_shards_and_none_without_a_card() -> None:
    assert Shape.of([(8, 0)] * 3, cards=False, most=5).workers == 5
    with pytest.raises(NeuronymError, match="No machine of the cluster has a GPU"):
        Shape.of([(8, 0)], cards=True, most=5)


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("ray", Ray()),
        ("ray:workers=3,gpus=0.25", Ray(workers=3, gpus=0.25)),
        ("ray://head:6379", Ray(address="head:6379")),
        ("ray://auto,threads=2", Ray(address="auto", threads=2)),
    ],
)
def test_names_of_engines(name: str, engine: Ray) -> None:
    assert opened(ENGINES, Engine, name) == engine
    assert opened(ENGINES, Engine, engine.spec) == engine


@pytest.mark.parametrize("name", ["ry", "ray:head:6379", "ray://", "ray:workers=0", "local:x=1"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="Expected `"):
        nym.dissect("efficientnet-lite0", engine=name)


def test_without_the_package_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'pip install "neuronym\[ray\]"'):
        dissect(tmp_path, "ray")


def test_of_a_worker_that_cannot_be_made_it_says_why() -> None:
    text = (
        "The actor died because of an error raised in its creation task, "
        "\x1b[36mray::Worker.__init__()\x1b[39m (pid=1)\n  File 'x', line 3\n"
        "ModuleNotFoundError: No module named 'neuronym'"
    )
    assert _pool._first(Exception(text)) == "ModuleNotFoundError: No module named 'neuronym'."
    died = "The actor died unexpectedly before finishing this task.\n\tpid: 3\n"
    assert _pool._first(Exception(died)) == died.splitlines()[0]
