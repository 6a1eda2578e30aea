"""Make the weights of the target `drawings-vit`: `python -m training.drawings_vit --out FILE`.

It is trained on drawings whose seeds no probe takes, and tested on drawings of other such seeds.
The same machine and versions give the same weights.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from neuronym.inputs.targets.drawings_vit import CLASSES, NAMES, RESIZE, SIDE, DrawingsViT
from neuronym_drawings import camera, catalogue, draw
from neuronym_drawings.catalogue import TRAINING_SEEDS

#: Seeds of the drawings that are learned, and of those that test it.
LEARNED, TESTED = TRAINING_SEEDS, TRAINING_SEEDS + 500_000
LABELS = [(kind, name) for kind, names in CLASSES.items() for name in names]


def choose(first_seed: int, per_class: int) -> list[tuple[int, str, int]]:
    """Seed, picture's id and class of so many drawings of each class, from `first_seed` on."""
    found: list[tuple[int, str, int]] = []
    counts: Counter[int] = Counter()
    numbers = {label: place for place, label in enumerate(LABELS)}
    seed = first_seed
    while len(found) < per_class * len(LABELS):
        for picture in catalogue(seed):
            kind, name, *_ = picture.id.split("/")
            number = numbers.get((kind, name))
            if number is not None and counts[number] < per_class:
                counts[number] += 1
                found.append((seed, picture.id, number))
        seed += 1
    return found


def small(seed: int, ids: list[str], file: Path) -> np.ndarray:
    """Drawings of one seed as the network sees them before it crops, uint8 `[·, 64, 64, 3]`.

    They are kept in `file`, so that a run that was stopped goes on.
    """
    if file.exists():
        return np.load(file)
    pictures = {picture.id: picture for picture in catalogue(seed)}
    side = (RESIZE, RESIZE)
    kept = []
    for one in ids:
        picture = camera.decoded(draw(pictures[one], seed))
        kept.append(np.asarray(picture.resize(side, Image.Resampling.BILINEAR)))
    unfinished = file.with_suffix(".part.npy")
    np.save(unfinished, np.stack(kept))
    unfinished.rename(file)
    return np.stack(kept)


def tasks(first_seed: int, per_class: int, folder: Path) -> list[tuple[int, list[str], Path]]:
    """Arguments of `small` for so many drawings of each class, a hundred at a time."""
    by_seed: dict[int, list[str]] = {}
    for seed, one, _ in choose(first_seed, per_class):
        by_seed.setdefault(seed, []).append(one)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        (seed, ids[start : start + 100], folder / f"{per_class}-{seed}-{start}.npy")
        for seed, ids in by_seed.items()
        for start in range(0, len(ids), 100)
    ]


def drawings(
    first_seed: int, per_class: int, processes: int, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Drawings and their classes."""
    with ProcessPoolExecutor(processes) as pool:
        parts = list(pool.map(small, *zip(*tasks(first_seed, per_class, folder), strict=True)))
    classes = [number for _, _, number in choose(first_seed, per_class)]
    return np.concatenate(parts), np.array(classes)


def batch_of(pictures: torch.Tensor, shift: int | None, generator: torch.Generator) -> torch.Tensor:
    """uint8 `[image, 64, 64, 3]` → input of the network: the middle, or a place by chance."""
    images = pictures.permute(0, 3, 1, 2).float()
    spare = RESIZE - SIDE
    top = left = spare // 2
    if shift is not None:
        top, left = torch.randint(0, spare + 1, (2,), generator=generator).tolist()
        if shift % 2:
            images = images.flip(3)
        count = (len(images), 1, 1, 1)
        light = 1 + 0.2 * torch.randn(count, generator=generator)
        cast = 1 + 0.08 * torch.randn((len(images), 3, 1, 1), generator=generator)
        images = (images * light * cast).clamp(0, 255)
    return images[:, :, top : top + SIDE, left : left + SIDE] / 127.5 - 1


def train(
    pictures: np.ndarray, classes: np.ndarray, epochs: int, batch: int, rate: float
) -> DrawingsViT:
    """Train from seed 0: AdamW, a warm start, then a cosine down to nothing."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = DrawingsViT().train().to(memory_format=torch.channels_last)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
    steps = epochs * (len(pictures) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.15, anneal_strategy="cos"
    )
    data, labels = torch.from_numpy(pictures), torch.from_numpy(classes)
    started = time.perf_counter()
    for epoch in range(epochs):
        order = torch.randperm(len(data), generator=generator)
        total = right = 0.0
        for step in range(len(data) // batch):
            at = order[step * batch : (step + 1) * batch]
            logits = model(batch_of(data[at], step, generator))
            loss = functional.cross_entropy(logits, labels[at], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total, right = total + loss.item(), right + (logits.argmax(1) == labels[at]).sum()
        seen = len(data) // batch * batch
        print(
            f"epoch {epoch + 1} of {epochs}: loss {total * batch / seen:.3f}, "
            f"{100 * right / seen:.1f} % right, {time.perf_counter() - started:.0f} s",
            flush=True,
        )
    return model.eval()


@torch.inference_mode()
def accuracy(model: DrawingsViT, pictures: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Whether each drawing is recognised."""
    generator = torch.Generator()
    parts = [
        model(batch_of(torch.from_numpy(pictures[i : i + 250]), None, generator)).argmax(1)
        for i in range(0, len(pictures), 250)
    ]
    return torch.cat(parts).numpy() == classes


def main() -> None:
    """Read the command line, draw, train, test, and write the weights in half precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--per-class", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--processes", type=int, default=2, help="that draw")
    parser.add_argument("--threads", type=int, default=1, help="of torch; decide the last bits")
    parser.add_argument("--data", type=Path, help="where the drawings are kept between runs")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.use_deterministic_algorithms(True)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        where = given.data or Path(folder)
        learned = drawings(LEARNED, given.per_class, given.processes, where)
        tested = drawings(TESTED, 10, given.processes, where)
    print(f"drawn after {time.perf_counter() - started:.0f} s", flush=True)
    model = train(*learned, given.epochs, given.batch, given.rate)
    model = model.half().float()  # as it will be loaded
    right = accuracy(model, *tested)
    for kind in CLASSES:
        own = np.array([LABELS[number][0] == kind for number in tested[1]])
        print(f"{kind}: {100 * right[own].mean():.1f} % of {own.sum()} held-out drawings right")
    print(f"all: {100 * right.mean():.1f} % of {len(right)}, {len(NAMES)} classes")
    values = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file({k: v.half() if v.is_floating_point() else v for k, v in values.items()}, given.out)
    print(f"{given.out}: {given.out.stat().st_size:,} bytes, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
