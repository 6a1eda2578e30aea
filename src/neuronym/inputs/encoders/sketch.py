"""The embedded default: a classifier's guesses, and what drawings taught about looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from typing import Any

import torch

from neuronym._core import hashing
from neuronym._core.checks import misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.hub import quiet
from neuronym._core.registry import Name
from neuronym.inputs.encoders._depths import blurred, depths
from neuronym.inputs.encoders.base import ENCODERS, Encoder, Reading, unit_rows
from neuronym.inputs.encoders.sentences import Sentences, minilm
from neuronym.inputs.targets.base import Target, open_target

BACKBONE, CLASSES = "efficientnet-lite2", 10
WEIGHTS = "sketch.safetensors"
#: Chosen by class neurons and by held-out fit of inner layers; docs/encoders.md has the figures.
LOGIT_SCALE = 20.0

NOTE = (
    "sketch is a stand-in for CLIP, learned from drawings and from the class names of "
    f"{BACKBONE}: it has seen no captioned photograph, and networks trained on the same classes "
    "share these names, which flatters results for their class neurons."
)


class Sketch(Encoder):
    """Four views of an image, added up in a space of sentence embeddings.

    image(x) = Σ_{c ∈ top 10} p(c given x)·name_c + h(x)·Σ_c p(c given x)·kind_c
             + w_looks·look(x) + w_colour·Σ_k share_k(x)·colour_k, divided by its length.

    p are a classifier's probabilities, name_c the text embedding of a class's name, kind_c that of
    the kinds of thing it belongs to, h a weight that is higher for images without fine detail.
    look(x) is B·s(x) divided by its length: s(x) are means and standard deviations of the
    classifier's channels at several depths, standardised, and B was learned from drawings. share_k
    is the part of the image that has the basic colour k.

    text(t) = (sentence(t) − mean)·A, divided by its length: the mean is that over English words, A
    evens out their most common directions, in part.

    Args:
        target: EfficientNet-Lite2, for which the weights were made.
        sentences: gives the text embeddings.
        weights: the tensors of `sketch.safetensors`.
    """

    logit_scale = LOGIT_SCALE
    texts_at_once = 4096  # the sentence model makes its own batches
    name, note = "sketch", NOTE

    def __init__(
        self, target: Target, sentences: Sentences, weights: Mapping[str, torch.Tensor]
    ) -> None:
        self.preprocess, self.max_tokens = target.preprocess, sentences.max_tokens
        self._target, self._sentences = target, sentences
        target.model.eval()
        self._stored = dict(weights)
        self._held = {key: tensor.float() for key, tensor in weights.items()}
        self.dim = self._held["names"].shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """Of backbone, sentence model, preprocessing and weights."""
        return hashing.of_data(
            {
                "kind": "sketch",
                "backbone": self._target.fingerprint,
                "sentences": self._sentences.fingerprint,
                "weights": {
                    key: hashing.of_bytes(tensor.numpy().tobytes())
                    for key, tensor in sorted(self._stored.items())
                },
                "preprocess": self.preprocess.to_dict(),
            }
        )

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        """Normalised float batch `[image, 3, 260, 260]` → unit vectors `[image, dim]`."""
        some = next(self._target.model.parameters())
        batch = batch.to(some.device)
        with torch.no_grad():
            without = blurred(batch)
            rows, scores = depths(self._target.model, batch.to(some.dtype), without)
            total = self.mixed(rows, scores, without, self._colours(batch))
        return unit_rows(total, "The backbone of sketch")

    def mixed(
        self,
        rows: torch.Tensor,
        scores: torch.Tensor,
        without: torch.Tensor,
        shares: torch.Tensor,
    ) -> torch.Tensor:
        """The sum of the views, of any length; `[image, dim]`.

        Args:
            rows: statistics of the channels `[image, statistic]`, as `depths` gives them.
            scores: of the classes `[image, class]`.
            without: whether an image lacks fine detail, `[image]`.
            shares: of each basic colour `[image, colour]`.
        """
        held = self._held
        looks, colour, sharp, soft = held["mix"]
        chance = scores.float().softmax(-1)
        best, places = chance.topk(CLASSES, dim=-1)
        total = (best.unsqueeze(-1) * held["names"][places]).sum(1)
        total += torch.where(without, soft, sharp).unsqueeze(1) * (chance @ held["kinds"])
        look = ((rows.float() - held["centre"]) / held["scale"]) @ held["bridge"]
        total += looks * look / torch.linalg.vector_norm(look, dim=1, keepdim=True).clamp_min(1e-9)
        return total + colour * (shares @ held["colours"])

    def _colours(self, batch: torch.Tensor) -> torch.Tensor:
        """The share of each basic colour in an image, `[image, colour]`."""
        small = torch.nn.functional.interpolate(batch.float(), size=(65, 65), mode="area")
        mean, std = (
            torch.tensor(numbers, device=small.device).view(3, 1, 1)
            for numbers in (self.preprocess.mean, self.preprocess.std)
        )
        level = ((small * std + mean) * 16).long().clamp(0, 15).flatten(2)
        place = (level[:, 0] * 16 + level[:, 1]) * 16 + level[:, 2]
        return self._held["palette"][place].mean(1)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → unit vectors `[text, dim]`, float32, on the CPU."""
        plain = unit_rows(self._sentences.encode(texts), "The sentence model of sketch")
        mean, whiten = (self._held[key].cpu() for key in ("mean", "whiten"))
        return unit_rows((plain - mean) @ whiten, "The sentence model of sketch")

    def read_texts(self, texts: Sequence[str]) -> Reading:
        """How the sentence model reads these texts."""
        return self._sentences.read(texts)

    def to(self, device: torch.device | str) -> Sketch:
        """Move the networks and the weights; returns self."""
        model: Any = self._target.model  # torch does not declare memory_format
        model.to(device, memory_format=torch.channels_last)
        self._sentences.to(device)
        self._held = {key: tensor.to(device) for key, tensor in self._held.items()}
        return self


@ENCODERS.register("sketch", extra="embedded")
def sketch_encoder(name: Name) -> Encoder:
    """Embedded default: class names, their kinds, and looks and colours learned from drawings.

    Raises:
        UsageError: a detail, which it has none of.
        MissingExtraError: a package that carries weights is absent.
    """
    if name.detail or name.params:
        given = name.detail or ",".join(name.params)
        raise misuse(
            "encoder",
            "sketch without a detail",
            f"sketch:{given}",
            "Its weights belong to one backbone; conse:BACKBONE takes any classifier.",
        )
    with quiet():
        target = open_target(BACKBONE)
    return Sketch(target, minilm(), stored())


def stored() -> dict[str, torch.Tensor]:
    """The weights that come with neuronym.

    Raises:
        NeuronymError: the file is not there: neuronym is not completely installed.
    """
    from safetensors.torch import load

    file = resources.files("neuronym.inputs.encoders") / WEIGHTS
    try:
        return load(file.read_bytes())
    except OSError:
        raise NeuronymError(
            f"{WEIGHTS}, the weights of the encoder sketch, is not there: install neuronym again."
        ) from None
