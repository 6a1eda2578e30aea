"""What the factories of targets share: the parameters `weights` and `seed`, and full names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import torch

from neuronym._core.checks import integer, misuse, nearest
from neuronym._core.registry import Name, escape
from neuronym.inputs.targets.weights import split_path

#: Whether a network is wanted for its layers alone: no weights are downloaded for it.
_untrained: ContextVar[bool] = ContextVar("untrained", default=False)
_WEIGHTS = {
    "weights": "random, or a file",
    "seed": "of random weights",
}


@dataclass(frozen=True)
class Source:
    """Where the weights come from: exactly one of a file, a published name, or chance."""

    file: Path | None
    published: str | None
    seed: int | None

    @property
    def random(self) -> bool:
        """Whether the weights are drawn and not trained."""
        return self.seed is not None


def source(name: Name, weights: Path | None, extra: Mapping[str, str] | None = None) -> Source:
    """Read a target's parameters.

    Args:
        name: the target's name; its parameter `weights` is `random`, a path, or a published name.
        weights: the path given separately, or None.
        extra: further parameters of this kind of target, and what each is for.

    Raises:
        UsageError: a parameter is unknown, or two of them contradict each other.
    """
    only(name, {**_WEIGHTS, **(extra or {})})
    given = name.params.get("weights")
    if given is not None and weights is not None and Path(given) != weights:
        raise misuse("weights", "given once", f"{given} and {weights}")
    if given == "random":
        return Source(None, None, integer("seed", name.params.get("seed", 0), 0))
    if "seed" in name.params:
        raise misuse("seed", "given with weights=random only", name.params["seed"])
    if weights is not None:
        return Source(weights, None, None)
    if given is not None and (_pathlike(given) or split_path(given)[0].exists()):
        return Source(Path(given), None, None)
    return Source(None, given, None)


def _pathlike(text: str) -> bool:
    text = str(split_path(text)[0])  # file.pth#ema
    return "/" in text or "\\" in text or text.endswith((".pth", ".pt", ".bin", ".safetensors"))


def only(name: Name, known: Mapping[str, str]) -> None:
    """Refuse parameters that this kind of target does not have."""
    for key in name.params:
        if key not in known:
            takes = ", ".join(f"{k} ({why})" for k, why in known.items()) or "none"
            near = nearest(key, known)
            hint = f"Nearest: {', '.join(near)}. " if near else ""
            raise misuse(
                name.kind,
                "have known parameters",
                f"{key}={name.params[key]}",
                f"{hint}It takes {takes}.",
            )


def spell(name: Name, weights: Path | None = None) -> str:
    """The text that opens the target again, with the weights' file among its parameters."""
    params = dict(name.params)
    if weights is not None:
        params["weights"] = str(weights)
    parts = [name.detail.replace("\\", "\\\\").replace(",", "\\,").replace("+", "\\+")]
    parts = [part for part in parts if part]
    parts += [f"{key}={escape(value)}" for key, value in params.items()]
    return f"{name.kind}:{','.join(parts)}" if parts else name.kind


@contextmanager
def without_downloads() -> Iterator[None]:
    """Networks that are opened inside get random numbers for weights that would be downloaded."""
    token = _untrained.set(True)
    try:
        yield
    finally:
        _untrained.reset(token)


def downloads() -> bool:
    """Whether published weights may be downloaded here."""
    return not _untrained.get()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from `seed` inside, and restore the generator afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
