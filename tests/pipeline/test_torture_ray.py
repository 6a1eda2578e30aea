"""The engine ray with real processes: `make torture`."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import neuronym as nym

pytest.importorskip("ray")
pytestmark = pytest.mark.torture

#: 768 pictures: three shards.
COMMAND = [sys.executable, "-m", "neuronym", "dissect", "efficientnet-lite0", "--encoder", "sketch"]
COMMAND += ["--layers", "_blocks.15,_fc", "--probe", "synthetic:images=768"]
COMMAND += ["--concepts", "english-3k", "--no-trust"]
SETTINGS = ("--engine", "ray:workers=2,threads=1")


def start(folder: Path, *more: str, threads: int = 1) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"NEURONYM_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}
    environment["OMP_NUM_THREADS"] = str(threads)
    command = [*COMMAND, "--out", "atlas", *more]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipe)


def finished(process: subprocess.Popen) -> str:
    try:
        out, err = process.communicate(timeout=1800)
    finally:
        process.kill()
    assert process.returncode == 0, err
    return out + err


def family(process: subprocess.Popen) -> dict[int, str]:
    """The processes that a run has started, by number, with their names."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    own = {process.pid}
    for _ in range(5):
        own |= {int(pid) for pid, parent, _ in rows if int(parent) in own}
    return {int(pid): name for pid, _, name in rows if int(pid) in own - {process.pid}}


def when_computing(process: subprocess.Popen, folder: Path) -> dict[int, str]:
    """Wait for the first finished shard: then there is work in every worker."""
    while process.poll() is None:
        if any((folder / "cache" / "activations").rglob("*.safetensors")):
            return family(process)
        time.sleep(0.2)
    raise AssertionError(process.communicate())


def cached(folder: Path, *kinds: str) -> dict[str, bytes]:
    files = [f for kind in kinds for f in (folder / "cache" / kind).rglob("*.safetensors")]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


KEPT = ("activations", "embeddings", "images")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process of one thread."""
    folder = tmp_path_factory.mktemp("plain")
    finished(start(folder))
    return folder


def test_a_killed_worker_changes_nothing(tmp_path: Path, plain: Path) -> None:
    process = start(tmp_path, *SETTINGS)
    workers = [n for n, name in when_computing(process, tmp_path).items() if "::Worker" in name]
    os.kill(workers[0], signal.SIGKILL)
    said = finished(process)
    assert re.search(r"1 worker of the engine ray.* died and was replaced; \d blocks? of", said)
    assert "raylet" not in said
    assert len(said.splitlines()) < 80
    engine = nym.open(tmp_path / "atlas").manifest.engine
    assert (engine.workers, engine.replaced) == (2, 1)
    assert cached(tmp_path, *KEPT) == cached(plain, *KEPT)
    assert nym.open(tmp_path / "atlas").labels().equals(nym.open(plain / "atlas").labels())


def test_stopped_at_once_and_gone_on_without_ray(tmp_path: Path, plain: Path) -> None:
    process = start(tmp_path, *SETTINGS)
    others = when_computing(process, tmp_path)
    process.send_signal(signal.SIGINT)
    stopped = time.monotonic()
    _, err = process.communicate(timeout=120)
    assert (process.returncode, "What was finished is kept" in err) == (130, True), err
    assert time.monotonic() - stopped < 60
    left = {n: name for n, name in others.items() if Path(f"/proc/{n}").exists()}
    assert not left
    kept = cached(tmp_path, *KEPT)
    assert kept
    finished(start(tmp_path, "--resume"))
    whole = cached(plain, *KEPT)
    assert cached(tmp_path, *KEPT) == whole
    assert kept.items() <= whole.items()


def test_ray_goes_on_with_a_plain_run_of_other_threads(tmp_path: Path, plain: Path) -> None:
    process = start(tmp_path, threads=2)
    when_computing(process, tmp_path)
    process.kill()
    process.communicate()
    kept = cached(tmp_path, *KEPT)
    finished(start(tmp_path, *SETTINGS, "--resume", threads=2))
    assert kept.items() <= cached(tmp_path, *KEPT).items()
    ours, theirs = nym.open(tmp_path / "atlas"), nym.open(plain / "atlas")
    for layer in ours.layers:
        a, b = ours.activations(layer), theirs.activations(layer)
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()
    best = (
        ours.labels()
        .query("rank <= 2")
        .pivot(index=["layer", "unit"], columns="rank", values="score")
    )
    sure = (best[1] - best[2] > 1e-3).to_numpy()
    first = [a.labels().query("rank == 1")["concept"].to_numpy() for a in (ours, theirs)]
    assert sure.mean() > 0.5
    assert (first[0] == first[1])[sure].all()
