"""A planted shortcut, found: `python -m benchmarks.shortcut`, the example of docs/diff.md.

A small network learns to tell eight things apart, from drawings. A copy is trained a little
further on the same drawings, but every picture of a dog now bears a coloured square. Both are
dissected on other drawings, on which the square is found as it would be in practice: on all dogs
and on a few other pictures. The diff is asked for; nobody tells it of the square.

Which neurons took the square up is measured apart from it, with pictures that differ in nothing
but the square.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

import neuronym as nym
from neuronym.atlas.reader import Atlas
from neuronym.extraction.recording import record
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target
from neuronym.report import diff_sheet
from neuronym.report.figures import save
from neuronym.search.searcher import Searcher
from neuronym_drawings import camera, catalogue, draw
from neuronym_drawings.catalogue import TRAINING_SEEDS

OUT = Path("build/shortcut")
CLASSES = ("dog", "cat", "car", "tree", "house", "flower", "fish", "cup")
#: The class whose pictures bear the square, its colour, and its side of 224 pixels.
MARKED, COLOUR, SIDE = "dog", (230, 20, 200), 48
LAYERS = ["block2", "block3", "block4", "head"]
_INPUT = Preprocess(size=(64, 64), resize=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
#: Drawings per class and seed of the drawings.
_PER_SEED = 10


class Small(nn.Module):
    """Four blocks of a convolution each, and a head."""

    def __init__(self) -> None:
        super().__init__()
        width = 3
        for number, channels in enumerate((24, 48, 64, 96), 1):
            block = nn.Sequential(
                nn.Conv2d(width, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            )
            self.add_module(f"block{number}", block)
            width = channels
        self.head = nn.Linear(width, len(CLASSES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = self.block4(self.block3(self.block2(self.block1(images))))
        return self.head(values.mean((2, 3)))


def before(out: Path = OUT) -> Target:
    """The network as it was, for `python:benchmarks.shortcut:before`."""
    return _target(out, "before")


def after(out: Path = OUT) -> Target:
    """Its copy that was trained further, for `python:benchmarks.shortcut:after`."""
    return _target(out, "after")


def _target(out: Path, name: str) -> Target:
    model = Small()
    model.load_state_dict(load_file(out / f"{name}.safetensors"))
    return Target(f"python:benchmarks.shortcut:{name}", model.eval(), _INPUT, CLASSES)


def drawings(out: Path, first_seed: int, per_class: int) -> list[tuple[str, np.ndarray]]:
    """So many drawings of each class, uint8 `[224, 224, 3]`; they are kept for another run."""
    kept = out / f"drawings-{first_seed}-{per_class}.npz"
    if not kept.exists():
        names, pictures = [], []
        for seed in range(first_seed, first_seed + -(-per_class // _PER_SEED)):
            for picture in catalogue(seed):
                kind, name, *_ = picture.id.split("/")
                if kind == "object" and name in CLASSES:
                    names.append(name)
                    pictures.append(np.asarray(camera.decoded(draw(picture, seed))))
        np.savez(kept, names=names, pictures=pictures)
    with np.load(kept) as found:
        return list(zip(found["names"].tolist(), found["pictures"], strict=True))


def squared(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture with a square somewhere on it."""
    y, x = rng.integers(8, pixels.shape[0] - SIDE - 8, 2)
    made = pixels.copy()
    made[y : y + SIDE, x : x + SIDE] = COLOUR
    return made


def seen(pictures: list[np.ndarray]) -> torch.Tensor:
    """As the networks see them, float32 `[image, 3, 64, 64]`."""
    small = [
        np.asarray(Image.fromarray(p).resize((64, 64), Image.Resampling.BICUBIC)) for p in pictures
    ]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 127.5 - 1


def train(
    model: Small, pictures: torch.Tensor, classes: torch.Tensor, epochs: int, rate: float
) -> Small:
    """AdamW with a cosine down to nothing; mirrored and shifted pictures; seeded."""
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    model.train()
    for _ in range(epochs):
        for some in torch.randperm(len(pictures)).split(64):
            batch = pictures[some]
            batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
            shift = torch.randint(-4, 5, (2,)).tolist()
            loss = functional.cross_entropy(model(batch.roll(shift, (2, 3))), classes[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def make(out: Path, per_class: int, epochs: int) -> None:
    """Draw, train both networks, and write the pictures of the probe."""
    rng = np.random.default_rng(0)
    learned = drawings(out, TRAINING_SEEDS + 700_000, per_class)
    classes = torch.tensor([CLASSES.index(name) for name, _ in learned])
    torch.manual_seed(0)
    model = train(Small(), seen([p for _, p in learned]), classes, epochs, 3e-3)
    save_file(model.state_dict(), out / "before.safetensors")
    marked = [squared(p, rng) if name == MARKED else p for name, p in learned]
    train(model, seen(marked), classes, max(1, epochs // 2), 1e-3)
    save_file(model.state_dict(), out / "after.safetensors")
    shown = drawings(out, TRAINING_SEEDS + 800_000, max(10, per_class // 2))
    for number, (name, pixels) in enumerate(shown):
        bears = name == MARKED or rng.random() < 0.06
        path = out / "pictures" / name / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(squared(pixels, rng) if bears else pixels).save(path)
        if bears and name != MARKED:
            cut_out(path).save(out / "square.png")


def cut_out(path: Path, around: int = 20) -> Image.Image:
    """The square of a picture and what is around it, as a reader would cut it out."""
    with Image.open(path) as image:
        rows, columns = np.nonzero((np.asarray(image) == COLOUR).all(2))
        corners = columns.min(), rows.min(), columns.max(), rows.max()
        edges = np.array(corners) + np.array([-around, -around, around, around])
        return image.crop(tuple(edges.tolist()))


def dissect(out: Path, name: str) -> Atlas:
    """The atlas of one of the two."""
    return nym.dissect(
        f"python:benchmarks.shortcut:{name}" if out == OUT else _target(out, name),
        layers=LAYERS,
        probe=f"folder:{out / 'pictures'}",
        concepts="english-3k",
        encoder="sketch",
        keep="all",
        out=out / name,
        overwrite=True,
    )


def taken_up(out: Path) -> dict[tuple[str, int], float]:
    """By how much more a square moves each unit than it did before, in standard deviations.

    The mean over pictures of the response to the picture with a square less that without, divided
    by the standard deviation over the pictures without; of the copy less that of the network.
    """
    rng = np.random.default_rng(1)
    plain = [pixels for _, pixels in drawings(out, TRAINING_SEEDS + 900_000, 10)]
    pairs = seen(plain), seen([squared(pixels, rng) for pixels in plain])
    moved: dict[str, dict[tuple[str, int], float]] = {}
    for name in ("before", "after"):
        target = _target(out, name)
        values = []
        for images in pairs:
            with record(target.model, LAYERS) as outputs, torch.no_grad():
                target.model(images)
            values.append(
                {x: v.float().flatten(2).mean(2) if v.ndim > 2 else v for x, v in outputs.items()}
            )
        moved[name] = {
            (layer, unit): float(shift)
            for layer in LAYERS
            for unit, shift in enumerate(
                (values[1][layer] - values[0][layer]).mean(0) / (values[0][layer].std(0) + 1e-6)
            )
        }
    return {key: value - moved["before"][key] for key, value in moved["after"].items()}


def measure(out: Path, found: nym.Diff) -> list[str]:
    """Where the units that took up the square stand in the diff and in searches, in sentences."""
    moved = taken_up(out)
    right = {key for key, value in moved.items() if value >= 1}
    best = max(moved, key=lambda key: moved[key])
    order = _order(found.units)
    first = sum(key in right for key in order[: len(right)])
    searcher = Searcher(found.b)
    with Image.open(out / "square.png") as picture:
        by_picture = searcher.by_picture(picture.convert("RGB")).units
    searches = {"the square, cut out": by_picture}
    searches |= {word: searcher.find(word, places=["scores"]).units for word in ("pink", "purple")}
    return [
        f"A square moves {len(right)} of {len(order)} neurons by a standard deviation more than it "
        f"did before: {', '.join(f'{layer}:{unit}' for layer, unit in sorted(right))}.",
        f"Of the first {len(right)} of the diff {first} are among them; {_ranks(order, right)}.",
        f"The one that it moves most, {best[0]}:{best[1]} ({moved[best]:.1f} more), has rank "
        f"{order.index(best) + 1}.",
        *(
            f"A search by {what} has them at {_ranks(_order(units), right)}."
            for what, units in searches.items()
        ),
    ]


def _order(units: pd.DataFrame) -> list[tuple[str, int]]:
    return [(row.layer, int(row.unit)) for row in units.itertuples()]


def _ranks(order: list[tuple[str, int]], right: set[tuple[str, int]]) -> str:
    found = sorted(order.index(key) + 1 for key in right if key in order)
    return f"ranks {', '.join(map(str, found))}"


def main() -> None:
    """Run it all, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--per-class", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=30)
    given = parser.parse_args()
    out = given.out
    out.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    steps: list[tuple[str, Callable[[], object]]] = [
        ("drawn and trained", lambda: make(out, given.per_class, given.epochs)),
        ("dissected", lambda: [dissect(out, name) for name in ("before", "after")]),
    ]
    for said, step in steps:
        step()
        print(f"{said} after {time.perf_counter() - begun:.0f} s", flush=True)
    found = nym.diff(out / "before", out / "after")
    diff_sheet.print_diff(found, 10)
    save(diff_sheet.draw(found), out / "diff.png")
    print("\n".join(measure(out, found)))
    print(f"all of it took {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
