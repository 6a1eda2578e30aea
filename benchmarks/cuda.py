"""What a card brings, and whether it agrees with the CPU: `python -m benchmarks.cuda`.

Under eight minutes on any card. In order: CPU and CUDA score the same arrays (labels, scores) and
run the same networks (activations, exemplars); the pass over the images against max(forward,
decode), in float32 and bfloat16; scoring at 10,000 and 100,000 words; the card's peak memory.
It needs the extra `open-clip`; nothing is downloaded: the networks have random weights.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import networks, pictures, problem
from neuronym.extraction.cache import Cache
from neuronym.extraction.passes import IMAGES, EncoderPass, TargetPass, choose_layers
from neuronym.extraction.run import Extraction, extract
from neuronym.inputs.probes.base import open_probe
from neuronym.similarity.wpmi import SoftWpmi

#: Scores of CPU and card may differ by this much; so may the margin of a label that differs.
CLOSE = 1e-4
#: Seconds after which no further part is begun.
PATIENCE = 420


@dataclass(frozen=True)
class Scale:
    """How much is measured. Images are those of the pass; units and words those of the scoring."""

    compared: int = 256
    images: int = 2048
    units: int = 3840
    scored: int = 10_000
    words: tuple[int, ...] = (10_000, 100_000)


def scores_agree(device: str, scale: Scale) -> dict[str, Any]:
    """The same arrays scored on the CPU and on the card: labels and their scores."""
    arrays = _arrays(scale, min(scale.words), scale.units // 8)
    here, there = (_top(arrays, name, 20) for name in ("cpu", device))
    differ = here.concepts[:, 0] != there.concepts[:, 0]
    margin = here.scores[:, 0] - here.scores[:, 1]
    apart = np.abs(here.scores - there.scores) / np.maximum(1.0, np.abs(here.scores))
    return {
        "units": len(differ),
        "labels_that_differ": int(differ.sum()),
        "beyond_their_margin": int((differ & (margin > CLOSE)).sum()),
        "largest_difference_of_scores": float(apart.max()),
    }


def networks_agree(device: str, scale: Scale) -> dict[str, Any]:
    """The same images through both networks, on the CPU and on the card, in float32 proper."""
    made = networks.prepare(scale.compared)
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        here, there = (
            _rows(_pass(made, made.images, name, "float32", Cache(tempfile.mkdtemp())))
            for name in ("cpu", device)
        )
    finally:
        torch.backends.cudnn.allow_tf32 = before
    worst = max(float(abs(here[k] - there[k]).max() / abs(here[k]).max()) for k in here)
    first = {k: np.argsort(-here[k], 0)[:2] for k in networks.LAYERS}
    wrong = 0
    for name, (best, second) in first.items():
        units = np.arange(here[name].shape[1])
        top = here[name]
        margin = (top[best, units] - top[second, units]) / abs(top).max()
        wrong += int(((there[name].argmax(0) != best) & (margin > CLOSE)).sum())
    return {
        "images": scale.compared,
        "largest_relative_difference": worst,
        "exemplars_that_differ_beyond_their_margin": wrong,
    }


def passes(device: str, scale: Scale) -> dict[str, Any]:
    """Images per second of the pass, and of what it consists of, alone."""
    made = networks.prepare(1)
    folder = pictures.write(Path(tempfile.mkdtemp()) / "images", scale.images, 500, 375)
    found: dict[str, Any] = {"images": scale.images}
    probe, threads = open_probe(f"folder:{folder}"), min(16, os.cpu_count() or 1)
    steps = [feed.preprocess.pixel_steps for feed in _feeds(made, device, "float32", None)]
    with ThreadPoolExecutor(threads) as pool:
        seconds = _seconds(
            lambda: list(pool.map(lambda n: probe.read(n).seen(*steps)[0][0, 0], range(len(probe))))
        )
    found["decode_rate"] = scale.images / seconds
    some = [
        np.stack([probe.read(n % len(probe)).seen(step)[0] for n in range(32)]) for step in steps
    ]
    for dtype in ("float32", "bfloat16"):
        feeds = _feeds(made, device, dtype, None)

        def forward(feeds: Any = feeds) -> None:
            for feed, batch in zip(feeds, some, strict=True):
                with feed.running():
                    feed(batch, list(feed.entries))

        forward()
        repeats = max(1, scale.images // 64)
        seconds = _seconds(lambda f=forward, n=repeats: [f() for _ in range(n)])
        rate = 32 * repeats / seconds
        _pass(made, made.warm, device, dtype, Cache(tempfile.mkdtemp()))
        _forget(device)
        whole = _seconds(lambda d=dtype: _pass(made, folder, device, d, Cache(tempfile.mkdtemp())))
        found[dtype] = {
            "forward_rate": rate,
            "pass_rate": scale.images / whole,
            "of_what_is_possible": scale.images / whole / min(rate, found["decode_rate"]),
            "peak_bytes": _peak(device),
        }
    return found


def scoring(device: str, scale: Scale) -> dict[str, Any]:
    """Seconds and memory of soft-wpmi at several numbers of words, the second time of two."""
    found = {}
    for words in scale.words:
        arrays = _arrays(scale, words, scale.units)
        _top(arrays, device, 20)
        _forget(device)
        seconds = _seconds(lambda a=arrays: _top(a, device, 20))
        found[f"{words:,} words"] = {"seconds": seconds, "peak_bytes": _peak(device)}
    return {"units": scale.units, "images": scale.scored, **found}


def _arrays(scale: Scale, words: int, units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images, texts = (problem.embeddings(n, 512, rng) for n in (scale.scored, words))
    return problem.activations(scale.scored, units, rng), images, texts


def _top(arrays: tuple[np.ndarray, np.ndarray, np.ndarray], device: str, count: int) -> Any:
    similarity = SoftWpmi(a=10).with_defaults(len(arrays[0]), 10)
    activations, images, texts = arrays
    top = similarity.top_many([activations], images, texts, count, device=device)[0]
    _wait(device)
    return top


def _feeds(made: networks.Networks, device: str, dtype: str, cache: Cache | None) -> Any:
    where = {"device": torch.device(device), "dtype": dtype, "batch_size": networks.BATCH}
    kept = cache or Cache(tempfile.mkdtemp())
    layers = choose_layers(made.target, networks.LAYERS)
    encoder = EncoderPass(networks.encoder(made.clip), kept, **where)
    return TargetPass(made.target, layers, kept, **where), encoder


def _pass(
    made: networks.Networks, folder: Path, device: str, dtype: str, cache: Cache
) -> Extraction:
    feeds = _feeds(made, device, dtype, cache)
    threads = min(16, os.cpu_count() or 1)
    return extract(
        open_probe(f"folder:{folder}"), feeds, cache, batch_size=networks.BATCH, workers=threads
    )


def _rows(done: Extraction) -> dict[str, np.ndarray]:
    return {n: done.rows(n)[: len(done.images)] for n in [*networks.LAYERS, IMAGES]}


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    _wait("cuda" if torch.cuda.is_available() else "cpu")
    return time.perf_counter() - begun


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _forget(device: str) -> None:
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str) -> int | None:
    return torch.cuda.max_memory_allocated() if device != "cpu" else None


def wrong(found: dict[str, Any]) -> list[str]:
    """What does not agree."""
    scores, rows = found.get("scores_agree", {}), found.get("networks_agree", {})
    checks = {
        "labels differ beyond their margin": scores.get("beyond_their_margin", 0) > 0,
        "scores differ": scores.get("largest_difference_of_scores", 0) > CLOSE,
        "activations differ": rows.get("largest_relative_difference", 0) > CLOSE,
        "exemplars differ": rows.get("exemplars_that_differ_beyond_their_margin", 0) > 0,
    }
    return [what for what, bad in checks.items() if bad]


def run(device: str, scale: Scale) -> dict[str, Any]:
    """All parts, as long as there is time."""
    begun, found = time.perf_counter(), {}
    for part in (scores_agree, networks_agree, scoring, passes):
        if time.perf_counter() - begun < PATIENCE:
            found[part.__name__] = part(device, scale)
            print(f"{part.__name__}: {json.dumps(found[part.__name__], indent=1)}", flush=True)
    return found


def main() -> int:
    """Returns the exit code: 1 if something does not agree, 2 without a card."""
    if not torch.cuda.is_available():
        print("There is no card to measure: torch sees no CUDA device.", file=sys.stderr)
        return 2
    print(f"{torch.cuda.get_device_name()}, {os.cpu_count()} CPUs, torch {torch.__version__}")
    bad = wrong(run("cuda", Scale()))
    for what in bad:
        print(f"CPU and card: {what}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
