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
import pandas as pd
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


def test_eight_processes_and_a_merge_are_one_run(tmp_path: Path) -> None:
    """The recipe of docs/scaling.md: eight tasks with a cache of their own each, then merge."""
    command = [*COMMAND, "--probe", "synthetic:images=160", "--keep", "topk", "--no-trust"]
    whole_run = [*command, "--out", "whole"]
    subprocess.run(whole_run, cwd=tmp_path, env=environment(tmp_path), check=True)
    tasks = [
        subprocess.Popen(
            [*command, "--part", f"{n}/8", "--out", f"parts/{n}"],
            cwd=tmp_path,
            env=environment(tmp_path / f"task-{n}"),
        )
        for n in range(1, 9)
    ]
    assert [task.wait(timeout=600) for task in tasks] == [0] * 8
    merging = [sys.executable, "-m", "neuronym", "merge", *(f"parts/{n}" for n in range(8, 0, -1))]
    more = ["--out", "merged", "--no-trust", "--quiet"]
    subprocess.run([*merging, *more], cwd=tmp_path, env=environment(tmp_path), check=True)
    whole, merged = (nym.open(tmp_path / name) for name in ("whole", "merged"))
    for table in ("images", "copies", "units"):
        one, other = getattr(whole, table), getattr(merged, table)
        pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-5, atol=1e-5)
    one, other = whole.labels(trust=False), merged.labels(trust=False)
    np.testing.assert_allclose(one["score"], other["score"], atol=1e-5)
    # Labels may change places where their scores are one to 1e-5, and nowhere else.
    moved = one["concept"].fillna("") != other["concept"].fillna("")
    gaps = one.groupby(["layer", "unit"])["score"].diff(-1).abs().fillna(0)
    assert (gaps[moved].clip(upper=gaps.shift(1)[moved]) < 2e-5).all()
