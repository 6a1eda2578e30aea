"""Encoders of transformers: CLIP, SigLIP and any other model with image and text features."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from neuronym._core.checks import Verbatim, missing_extra, misuse
from neuronym._core.errors import MissingExtraError, NeuronymError
from neuronym._core.hub import hub, looks_like_a_path, quiet, reason
from neuronym._core.registry import Name, known_params, write
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.inputs.encoders._tokenizers import of_tokenizer, reads
from neuronym.inputs.encoders.base import CLIP_LOGIT_SCALE, ENCODERS, Encoder
from neuronym.inputs.encoders.dual import DualEncoder
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.published import from_hf

_OTHERWISE = (
    "Without the hub, give a folder written by save_pretrained (hf:PATH), or use the embedded "
    "encoder: sketch."
)
_SIGMOID = ("siglip", "siglip2")
_HISTORY = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
_CLIP = ("clip", "metaclip_2", "chinese_clip")

ENCODERS.alias("siglip", "hf:google/siglip-base-patch16-224")


@ENCODERS.register(
    "hf", syntax="hf:REPO_OR_PATH", example="hf:openai/clip-vit-base-patch16", extra="hf"
)
def hf_encoder(name: Name) -> Encoder:
    """A CLIP, SigLIP or other dual encoder of transformers, from the hub or a folder.

    Args:
        name: the detail is a hub repository or a folder written by `save_pretrained`; the only
            parameter is `revision`, for a repository.

    Raises:
        UsageError: no such folder, or no dual encoder in it.
        NeuronymError: it cannot be fetched or is incomplete, or transformers is missing.

    Reference: Radford et al. 2021 (CLIP); Zhai et al. 2023 (SigLIP); Tschannen et al. 2025
    (SigLIP 2).
    """
    prepare_torchvision()
    try:
        import transformers  # noqa: F401
    except ImportError:
        raise missing_extra("The encoder hf", "transformers", "hf") from None
    known_params(name, "revision")
    model, tokenizer, processor = _load(name)
    kind = str(model.config.model_type)
    texts, max_tokens, padding = _texts(model, tokenizer, kind)
    return DualEncoder(
        write(name),
        model,
        _preprocess(processor, kind),
        images=_images(model, kind),
        texts=texts,
        settings={
            "library": "transformers",
            "configuration": _plain(model.config.to_dict()),
            "tokenizer": of_tokenizer(tokenizer),
            "padding": padding,
            "max_tokens": max_tokens,
        },
        logit_scale=CLIP_LOGIT_SCALE if kind in _CLIP else None,
        max_tokens=max_tokens,
        reads=partial(reads, tokenizer, clean=str.lower if kind in _SIGMOID else str),
    )


def _load(name: Name) -> tuple[Any, Any, Any]:
    """Model, tokenizer and image processor; local folders never touch the network."""
    where = name.detail
    folder = Path(where).expanduser()
    if not where or (not folder.is_dir() and looks_like_a_path(where)):
        raise misuse(
            "encoder",
            "name a hub repository or an existing folder: hf:REPO_OR_PATH",
            Verbatim(write(name)),
        )
    if folder.is_dir():
        try:
            with quiet():
                return _from_pretrained(str(folder), {"local_files_only": True})
        except NeuronymError:
            raise
        except Exception as error:
            raise NeuronymError(
                f"The folder {where} could not be loaded as an encoder: {reason(error)}. It needs "
                "config.json, model.safetensors, the tokenizer's files and "
                "preprocessor_config.json, as `save_pretrained` writes them."
            ) from error
    options = {"revision": name.params["revision"]} if "revision" in name.params else {}
    with hub(f"The model {where}", _OTHERWISE):
        from huggingface_hub import constants

        return _from_pretrained(where, options | {"local_files_only": constants.HF_HUB_OFFLINE})


def _from_pretrained(where: str, options: dict[str, Any]) -> tuple[Any, Any, Any]:
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

    config = AutoConfig.from_pretrained(where, **options)
    model, report = AutoModel.from_pretrained(
        where, config=config, output_loading_info=True, **options
    )
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        raise misuse(
            "encoder",
            "a model with image and text features, such as CLIP or SigLIP",
            Verbatim(f"{where}, a {type(model).__name__}"),
        )
    # transformers fills weights that it misses with random numbers and only prints a table.
    absent = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if absent:
        raise NeuronymError(
            f"The weights of {where} do not fill a {type(model).__name__}: {len(absent)} of its "
            f"tensors are missing or of another shape, the first is {absent[0]}."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **options)
    except ImportError as error:
        raise MissingExtraError(
            f"The tokenizer of {where} needs a package that is not installed. "
            "SigLIP's needs two; install them with: pip install sentencepiece protobuf"
        ) from error
    return model, tokenizer, AutoImageProcessor.from_pretrained(where, **options)


def _texts(
    model: Any, tokenizer: Any, kind: str
) -> tuple[Callable[[list[str]], torch.Tensor], int | None, str]:
    """How to embed texts, the text window, and the padding that this family was trained with."""
    text_config = getattr(model.config, "text_config", model.config)
    limits = [tokenizer.model_max_length, getattr(text_config, "max_position_embeddings", None)]
    window = min((int(n) for n in limits if n and n < 1_000_000), default=None)
    # SigLIP reads its last position, saw every text filled up to the full window on the right, with
    # no mask, and in lower case (which transformers before 5 leaves to the caller for SigLIP 2).
    sigmoid = kind in _SIGMOID
    if sigmoid:
        tokenizer.padding_side = "right"
    padding = "max_length" if sigmoid and window else "longest"
    accepted = set(inspect.signature(model.get_text_features).parameters)
    keys = {"input_ids"} if sigmoid else accepted

    def embed(texts: list[str]) -> torch.Tensor:
        if sigmoid:
            texts = [text.lower() for text in texts]
        tokens = tokenizer(
            texts,
            padding=padding,
            truncation=window is not None,
            max_length=window,
            return_tensors="pt",
        )
        device = next(model.parameters()).device
        given = {key: value.to(device) for key, value in tokens.items() if key in keys}
        return _features(model.get_text_features(**given), "text")

    return embed, window, padding


def _images(model: Any, kind: str) -> Callable[[torch.Tensor], torch.Tensor]:
    if kind != "siglip2":
        return lambda batch: _features(model.get_image_features(pixel_values=batch), "image")
    patch = model.config.vision_config.patch_size

    def embed(batch: torch.Tensor) -> torch.Tensor:
        """SigLIP 2 with flexible resolution takes a list of patches and the shape of their grid."""
        count, channels, height, width = batch.shape
        rows, columns = height // patch, width // patch
        patches = batch.reshape(count, channels, rows, patch, columns, patch)
        patches = patches.permute(0, 2, 4, 3, 5, 1).reshape(count, rows * columns, -1)
        return _features(
            model.get_image_features(
                pixel_values=patches,
                pixel_attention_mask=torch.ones(patches.shape[:2], dtype=torch.int32).to(
                    batch.device
                ),
                spatial_shapes=torch.tensor([[rows, columns]] * count, device=batch.device),
            ),
            "image",
        )

    return embed


def _preprocess(processor: Any, kind: str) -> Preprocess:
    if kind != "siglip2":
        return from_hf(processor)
    # One square grid of as many patches as the model allows, so that all images share a shape.
    settings = processor.to_dict()
    side = settings["patch_size"] * math.isqrt(settings["max_num_patches"])
    return from_hf(settings | {"size": {"height": side, "width": side}, "do_center_crop": False})


def _features(output: Any, what: str) -> torch.Tensor:
    """The pooled, projected vectors: transformers 4 returns them, transformers 5 wraps them."""
    vectors = output if isinstance(output, torch.Tensor) else getattr(output, "pooler_output", None)
    if not isinstance(vectors, torch.Tensor) or vectors.ndim != 2:
        raise NeuronymError(
            f"This model's {what} features are not one vector per {what}; "
            "neuronym needs a dual encoder such as CLIP or SigLIP."
        )
    return vectors


def _plain(value: Any) -> Any:
    """Configuration data as JSON can hold them, without what says where they came from."""
    if isinstance(value, dict):
        items = {str(key): _plain(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if key not in _HISTORY}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
