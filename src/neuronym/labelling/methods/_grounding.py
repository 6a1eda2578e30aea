"""Objects found in images by name: Grounding DINO, SAM, and the boxes and masks they give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neuronym._core import hashing, module_fingerprint
from neuronym._core.checks import Verbatim, missing_extra, misuse
from neuronym._core.errors import NeuronymError
from neuronym._core.hub import hub, looks_like_a_path, quiet, reason
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.inputs.encoders._tokenizers import of_tokenizer

if TYPE_CHECKING:
    from PIL.Image import Image
#: Masks are kept with at most so many pixels on the longer side: SAM sees no more.
MASK_SIDE = 1024
_THIN = 100  # an image so many times longer than wide loses its shorter side when it is resized
_BOXES = 16  # prompts of SAM at a time: bounds the memory for masks
_OTHERWISE = (
    "Without the hub, download it on another machine and give its folder ({}=PATH, see "
    "docs/grounded-sam.md), or use a method that needs no such network, such as annotations or "
    "clip-avg."
)


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects found in one image, best first.

    Attributes:
        classes: int32 `[object]`, places in the class list.
        scores: float32 `[object]`, the detector's, 0 to 1.
        boxes: float32 `[object, 4]`: top, left, bottom, right as fractions of the image.
        masks: JSON text of each object's mask, see `encode`.
        areas: float32 `[object]`, the mask's share of the image.
    """

    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    masks: tuple[str, ...]
    areas: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    @classmethod
    def none(cls) -> Detections:
        """No object."""
        empty = np.zeros(0, np.float32)
        return cls(np.zeros(0, np.int32), empty, np.zeros((0, 4), np.float32), (), empty)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The same as arrays for the cache; never all empty, so that finding nothing is kept."""
        text = np.frombuffer("\n".join(self.masks).encode(), np.uint8)
        return {
            "count": np.array([len(self)], np.int64),
            "classes": self.classes,
            "scores": self.scores,
            "boxes": self.boxes,
            "areas": self.areas,
            "masks": text,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Detections:
        """What `to_arrays` wrote."""
        got = {name: np.array(arrays[name]) for name in ("classes", "scores", "boxes", "areas")}
        masks = arrays["masks"].tobytes().decode()
        return cls(masks=tuple(masks.split("\n")) if masks else (), **got)


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float) -> np.ndarray:
    """Of boxes that lie on each other keep the best (greedy non-maximum suppression).

    Args:
        boxes: `[box, 4]`: top, left, bottom, right.
        scores: `[box]`; of equal ones the first wins.
        overlap: a box goes whose intersection over union with a better kept one exceeds this.

    Returns:
        Places of the kept boxes, best first.
    """
    order = np.argsort(-scores, kind="stable")
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        top_left = np.maximum(boxes[order, :2], boxes[best, :2])
        sides = np.clip(np.minimum(boxes[order, 2:], boxes[best, 2:]) - top_left, 0, None)
        both = sides[:, 0] * sides[:, 1]
        order = order[both <= overlap * (area[order] + area[best] - both)]
    return np.array(kept, np.int64)


def encode(mask: np.ndarray) -> str:
    """A boolean mask `[height, width]` as JSON text of a COCO object: size and compressed counts.

    >>> encode(np.array([[0, 1], [0, 1]], bool))
    '{"size":[2,2],"counts":"22"}'
    """
    flat = np.asarray(mask, bool).ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=False)) if flat.size else np.zeros(0, np.int64)
    counts = np.diff(edges, prepend=0, append=flat.size)
    steps = counts.copy()
    steps[3:] -= counts[1:-2]
    letters = []
    for step in steps.tolist():
        more = True
        while more:
            group, step = step & 31, step >> 5
            more = step != (-1 if group & 16 else 0)
            letters.append(chr(48 + group + 32 * more))
    data = {"size": list(mask.shape), "counts": "".join(letters)}
    return json.dumps(data, separators=(",", ":"))


def decode(text: str) -> np.ndarray:
    """The boolean mask `[height, width]` that `encode` wrote."""
    data = json.loads(text)
    counts: list[int] = []
    value = shift = 0
    for letter in data["counts"]:
        group = ord(letter) - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift  # negative numbers are written as two's complement
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(data["size"], order="F")


@dataclass(frozen=True)
class Prompt:
    """One text for the detector.

    Attributes:
        ids: its tokens, from the start token to the end token.
        spans: of each class in it: place in the class list, first token, token after the last.
    """

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int, int], ...]


def prompts(classes: Sequence[str], tokenizer: Any, window: int) -> tuple[list[Prompt], list[str]]:
    """Put class names into as few texts `name . name .` as their order allows.

    Names are tokenised one by one, so it is known which tokens are whose. Full stops and question
    marks inside a name would end it for the detector: their tokens are left out.

    Args:
        classes: names, in any case.
        tokenizer: the detector's.
        window: tokens that a text may have.

    Returns:
        The texts, and the names that cannot be asked for: no token is left, the tokenizer knows
        none of their characters, they are too long, or the detector sees another name in them.
    """
    start, end, stop = tokenizer.convert_tokens_to_ids(
        [tokenizer.cls_token, tokenizer.sep_token, "."]
    )
    borders = {start, end, stop, *tokenizer.convert_tokens_to_ids(["?", tokenizer.pad_token])}
    made: list[Prompt] = []
    left_out, seen = [], set()
    ids: list[int] = [start]
    spans: list[tuple[int, int, int]] = []
    for place, name in enumerate(classes):
        tokens = tokenizer(name.lower(), add_special_tokens=False)["input_ids"]
        words = tuple(token for token in tokens if token not in borders)
        unknown = set(words) <= {tokenizer.unk_token_id}
        if unknown or words in seen or len(words) + 3 > window:
            left_out.append(name)
            continue
        seen.add(words)
        if len(ids) + len(words) + 2 > window:
            made.append(Prompt((*ids, end), tuple(spans)))
            ids, spans = [start], []
        spans.append((place, len(ids), len(ids) + len(words)))
        ids += [*words, stop]
    if spans:
        made.append(Prompt((*ids, end), tuple(spans)))
    return made, left_out


class Networks:
    """An open detector and segmenter, with one class list.

    Attributes:
        prompts, left_out: see the function `prompts`.
        about: what decides the detections, for the cache.
    """

    def __init__(
        self,
        detector: str,
        segmenter: str,
        classes: Sequence[str],
        *,
        threshold: float,
        overlap: float,
        device: torch.device,
    ) -> None:
        self._detector, self._reader = _open("detector", detector, "grounding-dino")
        self._segmenter, self._framer = _open("segmenter", segmenter, "sam")
        self._threshold, self._overlap, self._device = threshold, overlap, device
        tokenizer, window = self._reader.tokenizer, self._detector.config.max_text_len
        self.prompts, self.left_out = prompts(classes, tokenizer, window)
        if not self.prompts:
            raise misuse(
                "classes",
                "contain a name that the detector's tokenizer knows",
                Verbatim(", ".join(map(repr, classes[:3]))),
            )
        self.about = {
            "what": f"{detector}, {segmenter}",
            "weights": [module_fingerprint.of_module(m) for m in (self._detector, self._segmenter)],
            "preprocess": hashing.of_texts(
                p.image_processor.to_json_string() for p in (self._reader, self._framer)
            ),
            "tokenizer": of_tokenizer(tokenizer),
            "classes": hashing.of_texts(classes),
            "threshold": threshold,
            "overlap": overlap,
            "mask_side": MASK_SIDE,
            "device": device.type,
        }
        for network in (self._detector, self._segmenter):
            network.to(device)

    def find(self, image: Image) -> Detections:
        """All objects of the classes in one RGB image, best first."""
        if max(image.size) > _THIN * min(image.size):
            return Detections.none()
        with torch.no_grad():
            classes, scores, boxes = self._detect(image)
            kept = suppress(boxes, scores, self._overlap)
            masks = self._segment(image, boxes[kept])
        # A box in which SAM sees nothing is no evidence.
        solid = [place for place, mask in enumerate(masks) if mask.any()]
        chosen = kept[solid]
        return Detections(
            classes[chosen],
            scores[chosen],
            boxes[chosen],
            tuple(encode(masks[place]) for place in solid),
            np.array([masks[place].mean() for place in solid], np.float32),
        )

    def _detect(self, image: Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Class, score and box of every query above the threshold, prompt after prompt."""
        seen = self._reader.image_processor(images=image, return_tensors="pt").to(self._device)
        classes, scores, boxes = [], [], []
        for prompt in self.prompts:
            ids = torch.tensor([prompt.ids], device=self._device)
            found = self._detector(
                **seen,
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                token_type_ids=torch.zeros_like(ids),
            )
            best = best_classes(found.logits[0].float().cpu().numpy(), prompt)
            above = best[1] >= self._threshold
            middle, sides = np.split(found.pred_boxes[0].float().cpu().numpy(), 2, axis=1)
            corners = np.concatenate([middle - sides / 2, middle + sides / 2], 1).clip(0, 1)
            corners = corners[:, [1, 0, 3, 2]]  # x, y → y, x
            above &= (corners[:, 2:] > corners[:, :2]).all(1)
            classes.append(best[0][above])
            scores.append(best[1][above])
            boxes.append(corners[above])
        return np.concatenate(classes), np.concatenate(scores), np.concatenate(boxes)

    def _segment(self, image: Image, boxes: np.ndarray) -> list[np.ndarray]:
        """SAM's mask of each box, boolean, of the image's shape with at most MASK_SIDE pixels."""
        if not len(boxes):
            return []
        framer = self._framer.image_processor
        seen = framer(images=image, return_tensors="pt")
        high, wide = seen["reshaped_input_sizes"][0].tolist()
        shrink = min(1.0, MASK_SIDE / max(image.size))
        size = [max(1, round(shrink * side)) for side in (image.height, image.width)]
        sides = np.array([wide, high, wide, high], np.float32)
        corners = torch.from_numpy(boxes[:, [1, 0, 3, 2]] * sides)
        features = self._segmenter.get_image_embeddings(seen["pixel_values"].to(self._device))
        masks: list[np.ndarray] = []
        for some in corners.to(self._device).split(_BOXES):
            found = self._segmenter(
                image_embeddings=features, input_boxes=some[None], multimask_output=False
            )
            small = found.pred_masks.float().cpu()
            masks += [*framer.post_process_masks(small, [size], [[high, wide]])[0][:, 0].numpy()]
        return masks


def best_classes(logits: np.ndarray, prompt: Prompt) -> tuple[np.ndarray, np.ndarray]:
    """The one class of each query, and its score.

    A class scores the sigmoid of its best token's logit; of equal classes the first wins.

    Args:
        logits: float32 `[query, token]`.
        prompt: whose tokens they are.

    Returns:
        Classes int32 `[query]`, scores float32 `[query]`.
    """
    each = np.stack([logits[:, low:high].max(1) for _, low, high in prompt.spans], 1)
    best = each.argmax(1)
    with np.errstate(over="ignore"):
        scores = 1 / (1 + np.exp(-each[np.arange(len(each)), best]))
    return np.array([place for place, *_ in prompt.spans], np.int32)[best], scores


def _open(argument: str, where: str, kind: str) -> tuple[Any, Any]:
    """A network and its processor from a folder, without touching the network, or the hub."""
    prepare_torchvision()
    try:
        import transformers as hf
    except ImportError:
        raise missing_extra("The method grounded-sam", "transformers", "hf") from None
    make = hf.SamModel if kind == "sam" else hf.GroundingDinoForObjectDetection
    folder = Path(where).expanduser()
    if not where or (not folder.is_dir() and looks_like_a_path(where)):
        raise misuse(argument, "name a hub repository or an existing folder", where)
    if not folder.is_dir():
        with hub(f"The {argument} {where}", _OTHERWISE.format(argument)):
            from huggingface_hub import constants

            return _load(argument, where, kind, make, local_files_only=constants.HF_HUB_OFFLINE)
    try:
        with quiet():
            return _load(argument, str(folder), kind, make, local_files_only=True)
    except NeuronymError:
        raise
    except Exception as error:
        raise NeuronymError(
            f"The folder {where} could not be loaded as {argument}: {reason(error)}. It needs "
            "config.json, model.safetensors and the files of its processor, as `save_pretrained` "
            "writes them."
        ) from error


def _load(argument: str, where: str, kind: str, make: Any, **options: Any) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoProcessor

    config = AutoConfig.from_pretrained(where, **options)
    if config.model_type != kind:
        raise misuse(
            argument,
            f"a model of the type {kind}",
            Verbatim(f"{where}, of the type {config.model_type}"),
        )
    model, report = make.from_pretrained(where, config=config, output_loading_info=True, **options)
    # transformers fills weights that it misses with random numbers and only prints a table.
    absent = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if absent:
        raise NeuronymError(
            f"The weights of {where} do not fill a {type(model).__name__}: {len(absent)} of its "
            f"tensors are missing or of another shape, the first is {absent[0]}."
        )
    return model.float().eval(), AutoProcessor.from_pretrained(where, **options)
