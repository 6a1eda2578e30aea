"""Lists of texts that take little more than their characters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from neuronym._core import hashing, texts
from neuronym._core.texts import Texts, first_repeated, places

ODD = ["b/é.png", "a", "", "caf\udce9.png", "a~2", "🐕", "b/é.png", "z"]


def test_texts_come_back_as_they_were() -> None:
    found = Texts(ODD)
    assert list(found) == ODD
    assert found[1:3] == ["a", ""]
    assert list(found.take([5, 0])) == ["🐕", "b/é.png"]
    plain = [text for text in ODD if text.isprintable()]
    assert list(Texts(plain).take(Texts(plain).order())) == sorted(plain)
    with pytest.raises(IndexError):
        found[len(ODD)]
    found.append("more")
    assert found[len(ODD)] == "more"
    assert list(Texts()) == list(Texts().take(Texts().order())) == []


def test_the_first_repeated_text_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert first_repeated(ODD) == "b/é.png"
    assert first_repeated(Texts(ODD[:6])) is None
    assert first_repeated([]) is None
    monkeypatch.setattr(texts, "hash", lambda text: len(text), raising=False)  # they all meet
    assert first_repeated(["ab", "cd", "ab", "cd"]) == "ab"
    assert first_repeated(["ab", "cd", "ef"]) is None


def test_places_are_those_of_a_dictionary() -> None:
    known = {text: at for at, text in enumerate(ODD[:6])}
    wanted = ["a", "nowhere", "caf\udce9.png", "a"]
    assert places(wanted, list(known)).tolist() == [known.get(text, -1) for text in wanted]
    column, series = pa.chunked_array([["z", "y"], ["x"]]), pd.Series(["x", "w", "z"])
    assert places(column, series).tolist() == [2, -1, 0]


def test_the_order_of_ties_is_that_of_python() -> None:
    rng = np.random.default_rng(0)
    hashes = [f"{n:02x}" for n in rng.integers(0, 9, 50)]
    ids = [f"{chr(int(n))}.png" for n in rng.permutation(np.arange(200, 250))]
    order = sorted(range(50), key=lambda row: (hashes[row], ids[row]))
    expected = np.argsort(order).tolist()
    assert hashing.tie_order(hashes, ids).tolist() == expected
    assert hashing.tie_order(pd.Series(hashes), pa.chunked_array([ids])).tolist() == expected
