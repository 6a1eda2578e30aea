"""Progress where there is no terminal: plain lines."""

import pytest

from neuronym._core import progress


def test_speed_is_said_once_there_is_one(capsys: pytest.CaptureFixture) -> None:
    with progress.lines("reading", 1000, every=0.0) as ticker:
        ticker.advance(900, instant=True)  # from the cache
        ticker.advance(50)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "reading: 900 of 1,000"
    assert second.startswith("reading: 950 of 1,000, ")
    assert second.endswith("/s, 0:00:00 left")
