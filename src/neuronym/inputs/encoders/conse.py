"""The encoder that needs no download: a classifier's guesses, said in words (ConSE)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from neuronym._core import hashing
from neuronym._core.checks import integer, misuse, nearest
from neuronym._core.errors import NeuronymError
from neuronym._core.hub import quiet
from neuronym._core.registry import Name, write
from neuronym.inputs.encoders.base import ENCODERS, Encoder, Reading, unit_rows
from neuronym.inputs.encoders.sentences import Sentences, minilm
from neuronym.inputs.targets.base import Target, open_target

BACKBONE, CLASSES = "efficientnet-lite2", 10

#: The cosines of one image with 10,000 English words have a standard deviation of about 0.062;
#: CLIP's have 0.02 and suit a logit scale of 10, so these suit 10 · 0.02 / 0.062 ≈ 3.
LOGIT_SCALE = 3.0

NOTE = (
    "conse knows images only by the class names of {backbone}; networks trained on the same "
    "classes share these names, which flatters results for their class neurons."
)


class Conse(Encoder):
    """A classifier and a sentence model joined by the names of the classes.

    An image's embedding is the mean of the class names' text embeddings, weighted by the
    probabilities of the most probable classes: Σ_{c ∈ top n} p(c given x) · text(name_c),
    divided by its length.

    Args:
        target: a classifier whose class names are known.
        sentences: gives the text embeddings.
        classes: how many of the most probable classes count (n).

    Raises:
        UsageError: the target has no class names or no trained weights.

    Reference: Norouzi et al. 2014, Zero-Shot Learning by Convex Combination of Semantic Embeddings.
    """

    logit_scale = LOGIT_SCALE
    texts_at_once = 4096  # the sentence model makes its own batches

    def __init__(self, target: Target, sentences: Sentences, classes: int = CLASSES) -> None:
        names = target.class_names
        if not target.pretrained:
            raise misuse(
                "encoder",
                "conse with a trained backbone",
                target.name,
                "Give its weights: conse:NAME,weights=FILE.",
            )
        if not names:
            raise misuse(
                "encoder",
                "conse with a backbone whose class names are known",
                target.name,
                f"Examples: conse, conse:{BACKBONE}, conse:torchvision:resnet50.",
            )
        self.classes = integer("classes", classes, 1, len(names))
        self.name = _joined(target.name, self.classes)
        self.preprocess, self.max_tokens = target.preprocess, sentences.max_tokens
        self.note = NOTE.format(backbone=target.name)
        self._target, self._sentences = target, sentences
        target.model.eval()
        self.dim = sentences.dim

    @cached_property
    def _names(self) -> torch.Tensor:
        """The classes' embeddings `[class, dim]`: made when the first image comes."""
        return self.encode_texts(self._target.class_names or ())

    @cached_property
    def fingerprint(self) -> str:
        """Of backbone, sentence model, class names, number of classes and preprocessing."""
        target = self._target
        return hashing.of_data(
            {
                "kind": "conse",
                "backbone": target.fingerprint,
                "sentences": self._sentences.fingerprint,
                "names": hashing.of_texts(target.class_names or ()),
                "classes": self.classes,
                "preprocess": self.preprocess.to_dict(),
            }
        )

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        """Normalised float batch `[image, 3, height, width]` → unit vectors `[image, dim]`."""
        some = next(self._target.model.parameters())
        with torch.no_grad():
            logits = _logits(
                self._target.forward(self._target.model, batch.to(some.device, some.dtype))
            )
            classes = len(self._target.class_names or ())
            if logits.ndim != 2 or logits.shape[1] != classes:
                raise NeuronymError(
                    f"The backbone of {self.name} gives {list(logits.shape[1:])} outputs for "
                    f"{classes} class names; conse needs one output per class."
                )
            best, places = logits.float().softmax(-1).topk(self.classes, dim=-1)
            vectors = self._names.to(best.device)[places]
            return unit_rows((best.unsqueeze(-1) * vectors).sum(1), f"The backbone of {self.name}")

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts → unit vectors `[text, dim]`, float32, on the CPU."""
        return unit_rows(self._sentences.encode(texts), "The sentence model of conse")

    def read_texts(self, texts: Sequence[str]) -> Reading:
        """How the sentence model reads these texts."""
        return self._sentences.read(texts)

    def to(self, device: torch.device | str) -> Conse:
        """Move both networks; returns self."""
        # Convolutions are about twice as fast with the channels last in memory.
        model: Any = self._target.model  # torch does not declare memory_format
        model.to(device, memory_format=torch.channels_last)
        self._sentences.to(device)
        return self


@ENCODERS.register("conse", syntax="conse[:BACKBONE]", example="conse", extra="embedded")
def conse_encoder(name: Name) -> Encoder:
    """A classifier's ten best class names, embedded as sentences and averaged; needs no download.

    Args:
        name: the detail is any target with class names (default efficientnet-lite2); the parameter
            `classes` says how many count (default 10), other parameters are the backbone's.

    Raises:
        UsageError: the backbone's name is wrong or it has no class names.
        MissingExtraError: a package that carries the weights is absent.

    Reference: Norouzi et al. 2014 (ConSE); Reimers and Gurevych 2019 (sentence embeddings).
    """
    params = dict(name.params)
    classes = integer("classes", params.pop("classes", CLASSES), 1)
    for key in params:
        if nearest(key, ["classes"]):  # a slip, which would else be refused as the backbone's
            raise misuse(
                "parameter of conse", "classes or one of the backbone's", key, "Nearest: classes."
            )
    kind, _, detail = (name.detail or BACKBONE).partition(":")
    with quiet():
        target = open_target(write(Name(kind, detail, params)))
    return Conse(target, minilm(), classes)


def _joined(backbone: str, classes: int) -> str:
    return f"conse:{backbone}" + (f",classes={classes}" if classes != CLASSES else "")


def _logits(output: Any) -> torch.Tensor:
    """Class scores from whatever a classifier returns."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(getattr(output, "logits", None), torch.Tensor):
        return output.logits
    if isinstance(output, list | tuple) and output and isinstance(output[0], torch.Tensor):
        return output[0]
    raise NeuronymError(
        f"conse needs a backbone that returns class scores, got {type(output).__name__}."
    )
