"""A cache keeps to its size, shares its entries, and loses none that a run is using."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import run
from neuronym._core.errors import UsageError
from neuronym.extraction.cache import Cache, CacheEntry, limit_gb
from places import ROOT

MB = np.zeros(250_000, np.float32)
#: Uses an entry until its input ends, as a run does.
USER = """
import sys
from neuronym.extraction.cache import Cache
cache = Cache(sys.argv[1])
cache.entry("embeddings", {"weights": sys.argv[2]})
print("ready", flush=True)
sys.stdin.read()
"""


def filled(root: Path, count: int) -> list[CacheEntry]:
    """Entries of one MB each, the first not used for longest."""
    cache, made = Cache(root), []
    for number in range(count):
        made.append(cache.entry("embeddings", {"weights": str(number)}))
        made[-1].write("0", {"values": MB}, {})
        os.utime(made[-1].folder / "about.json", (number, 1000 * number))
    return made


def there(entries: list[CacheEntry]) -> list[bool]:
    return [entry.has("0", len(MB)) for entry in entries]


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    entries = filled(tmp_path, 4)
    Cache(tmp_path).fit(0)
    Cache(tmp_path).fit(0.0041)
    assert there(entries) == [True] * 4
    with pytest.warns(UserWarning, match=r"grown over 0.0025 GB: .* \(2.0 MB\) was removed"):
        Cache(tmp_path).fit(0.0025)
    assert there(entries) == [False, False, True, True]
    Cache(tmp_path).entry("embeddings", {"weights": "2"})  # used, so no longer the oldest
    with pytest.warns(UserWarning, match="1.0 MB"):
        Cache(tmp_path).fit(0.0015)
    assert there(entries) == [False, False, True, False]


def test_what_a_live_run_uses_stays(tmp_path: Path) -> None:
    """Of another process, and of this one as long as its cache lives."""
    entries = filled(tmp_path, 4)
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(tmp_path), "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        own = Cache(tmp_path)
        own.entry("embeddings", {"weights": "1"})
        said = json.loads(
            run("cache", "list", "--cache", str(tmp_path), "--json", cwd=tmp_path).out
        )
        assert said["limit_gb"] == 20
        assert sum(entry["in_use"] for entry in said["stored"]) == 2
        assert (
            "1.0 MB"
            in run("cache", "prune", "--cache", str(tmp_path), "--keep", "0.0031", cwd=tmp_path).out
        )
        assert there(entries) == [True, True, False, True]
        run("cache", "prune", "--cache", str(tmp_path), cwd=tmp_path)
        assert there(entries) == [True, True, False, False]
        other.kill()
    del own
    assert Cache(tmp_path).in_use() == set()
    run("cache", "prune", "--cache", str(tmp_path), cwd=tmp_path)
    assert there(entries) == [False] * 4
    assert run("cache", "--help", cwd=tmp_path).code == 0
    assert len(list((tmp_path / ".runs").iterdir())) <= 1


def test_the_limit_is_that_of_the_option_or_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert limit_gb() == 20
    monkeypatch.setenv("NEURONYM_CACHE_SIZE", "1.5")
    assert limit_gb() == 1.5
    assert limit_gb("7") == 7
    monkeypatch.setenv("NEURONYM_CACHE_SIZE", "much")
    with pytest.raises(UsageError, match="`cache_size` to be a number of at least 0, got 'much'"):
        limit_gb()


def test_a_cache_goes_to_other_processes(tmp_path: Path) -> None:
    entries = filled(tmp_path, 1)
    cache = Cache(tmp_path)
    cache.entry("embeddings", {"weights": "0"})
    again = pickle.loads(pickle.dumps(cache)).entry("embeddings", {"weights": "0"})
    assert again == entries[0]
    assert pickle.loads(pickle.dumps(entries[0])).has("0", len(MB))
