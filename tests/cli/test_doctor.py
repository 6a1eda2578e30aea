"""`neuronym doctor`: what is missing is said with what to do."""

from __future__ import annotations

import copy

import pytest

from neuronym.cli import doctor


@pytest.fixture(scope="module")
def found() -> dict:
    return doctor.examine()


@pytest.mark.parametrize(
    ("there", "encoders"),
    [
        (set(), False),
        ({"timm", "tokenizers"}, False),
        ({"open-clip-torch"}, True),
        ({"transformers"}, True),
        (set(doctor.OPTIONAL) - {"open-clip-torch", "transformers"}, True),
        (set(doctor.OPTIONAL) - {"open-clip-torch", "transformers", "tokenizers"}, False),
    ],
)
def test_no_encoder_is_a_problem(found: dict, there: set[str], encoders: bool) -> None:
    given = copy.deepcopy(found)
    for name, part in given["optional"].items():
        part["version"] = "1" if name in there else None
    told = " ".join(doctor._problems(given))
    assert ("No encoder is installed" in told) is not encoders
    assert ("neuronym[embedded]" in told) is not encoders
