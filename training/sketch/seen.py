"""What the network sees of every picture, kept in files: this takes most of the time."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from neuronym.inputs.encoders._depths import blurred, depths
from neuronym.inputs.targets.base import Target, open_target
from training.sketch.pictures import Picture, catalogue

BATCH = 128
BACKBONE = "efficientnet-lite2"
_opened: dict[str, Target] = {}


def backbone() -> Target:
    """The classifier, one per process."""
    if BACKBONE not in _opened:
        torch.set_num_threads(1)
        target = open_target(BACKBONE)
        target.model.to(memory_format=torch.channels_last)
        _opened[BACKBONE] = target
    return _opened[BACKBONE]


@torch.no_grad()
def look(images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Statistics `[image, statistic]` and class scores `[image, class]` of uint8 images."""
    target = backbone()
    rows, scores = [], []
    for start in range(0, len(images), 8):
        pixels = [target.preprocess.pixels(Image.fromarray(i)) for i in images[start : start + 8]]
        batch = target.preprocess.normalise(np.stack(pixels))
        found = depths(target.model, batch, blurred(batch))
        rows.append(found[0].numpy())
        scores.append(found[1].numpy())
    return np.concatenate(rows), np.concatenate(scores)


def _batch(number: int, folder: Path) -> None:
    file = folder / f"{number:04d}.npz"
    if file.exists():
        return
    pictures = catalogue()[number * BATCH : (number + 1) * BATCH]
    rows, scores = look([picture.pixels() for picture in pictures])
    part = folder / f"{number:04d}.{os.getpid()}.part.npz"
    np.savez(part, rows=rows.astype(np.float16), scores=scores.astype(np.float16))
    part.rename(file)


def seen(folder: Path, processes: int, tell=print) -> tuple[list[Picture], np.ndarray, np.ndarray]:
    """All pictures, with what the network sees of them.

    Args:
        folder: where it is kept; what is there already is taken.
        processes: how many draw and look at once, one thread each.
        tell: is told how far it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = catalogue()
    count = -(-len(pictures) // BATCH)
    work = partial(_batch, folder=folder)
    if processes > 1:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for done, _ in enumerate(pool.map(work, range(count)), 1):
                tell(f"{done} of {count} batches")
    else:
        for number in range(count):
            work(number)
            tell(f"{number + 1} of {count} batches")
    files = [np.load(folder / f"{number:04d}.npz") for number in range(count)]
    rows = np.concatenate([file["rows"] for file in files]).astype(np.float32)
    return pictures, rows, np.concatenate([file["scores"] for file in files]).astype(np.float32)
