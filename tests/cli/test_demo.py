"""`neuronym demo`: which atlases it makes and opens."""

from __future__ import annotations

import pytest

from commands import run
from neuronym.cli import demo


@pytest.mark.parametrize(
    ("options", "atlases"),
    [([], ["a"]), (["--serve", "--no-open"], ["a"]), (["--second", "--serve"], ["a", "a-vit"])],
)
def test_what_is_made_and_opened(monkeypatch, tmp_path, options, atlases) -> None:
    made, opened = [], []
    monkeypatch.setattr(demo, "run", lambda settings, **how: made.append((settings, how)))
    monkeypatch.setattr(demo.site, "run", lambda *asked, **_: opened.append(asked))
    done = run("demo", "--out", "a/", "--limit", "9", *options, cwd=tmp_path)
    assert done.code == 0, done.err
    assert [settings.out.rstrip("/") for settings, _ in made] == atlases
    assert all(how["resume"] and settings.limit == 9 for settings, how in made)
    assert {settings.target for settings, _ in made[1:]} <= {"drawings-vit"}
    assert all(settings.probe == "synthetic" for settings, _ in made)
    assert len(opened) == ("--serve" in options)
    for names, port, host, no_open in opened:
        assert [name.rstrip("/") for name in names] == atlases
        assert (port, host, no_open) == (0, "127.0.0.1", "--no-open" in options)
