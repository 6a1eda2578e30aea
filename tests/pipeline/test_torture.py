"""Slow checks on real processes: `make torture`."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import neuronym as nym

pytestmark = pytest.mark.torture

COMMAND = [
    sys.executable,
    "-m",
    "neuronym",
    "dissect",
    "efficientnet-lite0",
    "--layers",
    "_blocks.15,_fc",
    "--probe",
    "synthetic:images=600",
    "--encoder",
    "conse",
    "--concepts",
    "english-3k",
    "--batch-size",
    "16",
    "--quiet",
]


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"NEURONYM_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[nym.Atlas, float]:
    folder = tmp_path_factory.mktemp("undisturbed")
    start = time.monotonic()
    subprocess.run([*COMMAND, "--out", "atlas"], cwd=folder, env=environment(folder), check=True)
    return nym.open(folder / "atlas"), time.monotonic() - start


@pytest.mark.parametrize("run", range(5))
def test_killed_and_resumed(tmp_path: Path, undisturbed: tuple[nym.Atlas, float], run: int) -> None:
    """Kill the process (SIGKILL) at two random moments, then let it finish."""
    wanted, seconds = undisturbed
    moments = random.Random(run)
    for _ in range(2):
        process = subprocess.Popen(
            [*COMMAND, "--out", "atlas"], cwd=tmp_path, env=environment(tmp_path)
        )
        try:
            process.wait(moments.uniform(0.2, 0.8) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    subprocess.run(
        [*COMMAND, "--out", "atlas", "--resume"],
        cwd=tmp_path,
        env=environment(tmp_path),
        check=True,
    )
    atlas = nym.open(tmp_path / "atlas")
    assert atlas.labels().equals(wanted.labels())
    assert atlas.exemplars().equals(wanted.exemplars())
    assert atlas.units.equals(wanted.units)
    for layer in atlas.layers:
        np.testing.assert_array_equal(atlas.activations(layer), wanted.activations(layer))


def test_two_runs_share_one_cache(tmp_path: Path, undisturbed: tuple[nym.Atlas, float]) -> None:
    """Both at once, from nothing: each leaves what a run alone leaves, and no litter."""
    wanted, _ = undisturbed
    runs = [
        subprocess.Popen([*COMMAND, "--out", out], cwd=tmp_path, env=environment(tmp_path))
        for out in ("one", "two")
    ]
    assert [process.wait() for process in runs] == [0, 0]
    for out in ("one", "two"):
        atlas = nym.open(tmp_path / out)
        assert atlas.labels().equals(wanted.labels())
        assert atlas.exemplars().equals(wanted.exemplars())
    assert not list((tmp_path / "cache").rglob("*.tmp"))
    assert not list((tmp_path / "cache" / ".runs").glob("*.txt"))


def test_a_full_disk_is_one_sentence_and_the_run_goes_on(
    tmp_path: Path, undisturbed: tuple[nym.Atlas, float]
) -> None:
    """Files may not grow beyond 200 kB: writing a shard fails as it does on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    result = subprocess.run(
        [*COMMAND, "--out", "atlas"],
        cwd=tmp_path,
        env=environment(tmp_path),
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: Cannot write ")
    assert "run the same command again" in last
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*.tmp"))
    subprocess.run(
        [*COMMAND, "--out", "atlas"], cwd=tmp_path, env=environment(tmp_path), check=True
    )
    assert nym.open(tmp_path / "atlas").labels().equals(undisturbed[0].labels())


def test_ctrl_c_answers_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--out", "atlas"],
        cwd=tmp_path,
        env=environment(tmp_path),
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not list(tmp_path.rglob("activations/*/*.safetensors")):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"run the same command again to go on" in err
    assert b"Traceback" not in err
    print(f"stopped after {time.monotonic() - start:.2f} s")
