"""How many files the main ways through the code take: a number that should fall, not rise."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import torch
from torch import nn

import neuronym as nym
from neuronym._core.numerics import compiled
from neuronym.similarity.wpmi import SoftWpmi
from small_world import SMALL, ColourEncoder, coloured_images

SOURCE = str(Path(nym.__file__).parent)


def _files(work: Callable[[], object]) -> set[str]:
    """The files of which a function runs, in any thread; importing one is not running it."""
    found: set[str] = set()

    def look(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(SOURCE) and code.co_name != "<module>":
            found.add(code.co_filename[len(SOURCE) + 1 :])

    before = sys.getprofile()
    threading.setprofile(look)
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return found


@pytest.mark.skipif(not compiled.available(), reason="numba is not installed")
def test_from_a_similarity_to_its_inner_loop() -> None:
    rng = np.random.default_rng(0)
    activations = rng.normal(size=(61, 7)).astype(np.float32)
    images, texts = (rng.normal(size=(n, 5)).astype(np.float32) for n in (61, 13))
    similarity = SoftWpmi(top_k=5, a=10)
    similarity.top(activations, images, texts)  # imports and compiles
    files = _files(lambda: similarity.top(activations, images, texts))
    assert "similarity/kernels/wpmi_compiled.py" in files
    assert len(files) <= 8, sorted(files)


def test_from_an_image_to_its_label(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def dissect(name: str) -> nym.Atlas:
        return nym.dissect(
            nym.Target("net", net, SMALL),
            probe=coloured_images(1),
            concepts=["red", "green", "blue"],
            encoder=ColourEncoder(),
            out=tmp_path / name,
            cache=str(tmp_path / f"{name} cache"),
        )

    dissect("first")
    files = _files(lambda: dissect("second"))
    assert {"extraction/passes.py", "labelling/methods/clip_dissect.py"} <= files
    assert len(files - {"__init__.py"}) <= 51, " ".join(sorted(files))
