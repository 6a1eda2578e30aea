"""The pass over the images: ResNet-50 and a ViT-B/32 encoder, and the memory of a whole run."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import pictures
from benchmarks.case import Arrays
from benchmarks.clock import Clock
from neuronym import Atlas, dissect
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.extraction.cache import Cache
from neuronym.extraction.passes import IMAGES, EncoderPass, TargetPass, choose_layers
from neuronym.extraction.run import extract
from neuronym.inputs.encoders.base import Encoder
from neuronym.inputs.encoders.dual import DualEncoder
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.published import from_open_clip
from neuronym.inputs.probes.base import open_probe
from neuronym.inputs.targets.base import Target, open_target

LAYERS = ["layer1", "layer2", "layer3", "layer4"]
BATCH = 32
#: The usual size of ImageNet's photographs.
_PHOTO = (500, 375)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Networks:
    """Two networks with random weights and a folder of images."""

    target: Target
    clip: nn.Module
    images: Path
    warm: Path


def prepare(images: int) -> Networks:
    """ResNet-50, CLIP's ViT-B/32, and as many JPEGs beside one batch to warm up with."""
    prepare_torchvision()
    import open_clip

    torch.manual_seed(0)
    scratch = Path(tempfile.mkdtemp())
    return Networks(
        open_target("resnet50:weights=random"),
        open_clip.create_model("ViT-B-32").eval(),
        pictures.write(scratch / "images", images, *_PHOTO),
        # Others than those: what the warm-up has seen lies in the cache.
        pictures.write(scratch / "warm", BATCH, *_PHOTO, seed=1),
    )


def encoder(clip: nn.Module) -> Encoder:
    """The image side of CLIP; texts are not embedded."""
    return DualEncoder(
        "ViT-B-32",
        clip,
        from_open_clip(clip.visual.preprocess_cfg),
        images=clip.encode_image,
        texts=lambda texts: torch.ones(len(texts), clip.visual.output_dim),
        settings={},
    )


def one_pass(dtype: str, inputs: Networks, clock: Clock) -> Arrays:
    """neuronym: both networks fed from one decoding."""
    settings = {"device": torch.device("cpu"), "dtype": dtype, "batch_size": BATCH}
    made = encoder(inputs.clip)
    cache = Cache(tempfile.mkdtemp())
    feeds = (
        TargetPass(inputs.target, choose_layers(inputs.target, LAYERS), cache, **settings),
        EncoderPass(made, cache, **settings),
    )
    workers = torch.get_num_threads()
    _extract(inputs.warm, feeds, cache, workers)
    with clock():
        done = _extract(inputs.images, feeds, cache, workers)
    widths = {name: 256 << stage for stage, name in enumerate(LAYERS)}
    widths[IMAGES] = made.dim
    found = {
        name.removeprefix("."): done.rows(name)[: len(done.images)]
        for name, width in widths.items()
    }
    return found | {"flops": np.array(operations(inputs) * len(done.images))}


def _extract(folder: Path, feeds: Sequence[Any], cache: Cache, workers: int) -> Any:
    return extract(open_probe(f"folder:{folder}"), feeds, cache, batch_size=BATCH, workers=workers)


def operations(inputs: Networks) -> float:
    """Floating-point operations of one image through both networks."""
    from torch.utils.flop_counter import FlopCounterMode

    image = torch.zeros(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter:  # with gradients: no fused operators
        inputs.target.model(image)
        inputs.clip.encode_image(image)
    return float(counter.get_total_flops())


def two_passes(inputs: Networks, clock: Clock) -> Arrays:
    """A plain loop per network, with the settings that torch has by default."""
    from torchvision import transforms as t

    found: dict[str, list[torch.Tensor]] = {name: [] for name in [*LAYERS, "image embeddings"]}
    model, clip = inputs.target.model, inputs.clip
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: found[name].append(output.mean((2, 3)))
        )
        for name in LAYERS
    ]
    own = t.Compose([t.Resize(256), t.CenterCrop(224), t.ToTensor(), t.Normalize(_MEAN, _STD)])
    config = clip.visual.preprocess_cfg
    theirs = t.Compose(
        [
            t.Resize(224, t.InterpolationMode.BICUBIC),
            t.CenterCrop(224),
            t.ToTensor(),
            t.Normalize(config["mean"], config["std"]),
        ]
    )

    def embed(batch: torch.Tensor) -> None:
        vectors = nn.functional.normalize(clip.encode_image(batch), dim=1)
        found["image embeddings"].append(vectors)

    def both(folder: Path) -> None:
        _run(folder, own, model)
        _run(folder, theirs, embed)

    both(inputs.warm)
    for values in found.values():
        values.clear()
    with clock():
        both(inputs.images)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(values).numpy() for name, values in found.items()}


def _run(folder: Path, transform: Any, network: Any) -> None:
    from PIL import Image

    files = sorted(folder.iterdir())
    with torch.no_grad():
        for low in range(0, len(files), BATCH):
            pixels = [transform(Image.open(f).convert("RGB")) for f in files[low : low + BATCH]]
            network(torch.stack(pixels))


def compare(_: object, ours: Arrays, theirs: Arrays) -> dict[str, Any]:
    """The largest difference of a value, relative to the largest value of its layer."""
    return {
        "max_relative_difference": max(
            float(abs(ours[name] - theirs[name]).max() / abs(theirs[name]).max()) for name in theirs
        )
    }


class _Tiny(Encoder):
    """Embeds an image by a coarse copy of itself."""

    name, dim, logit_scale = "tiny", 3 * 16, 10.0
    preprocess = Preprocess(size=(32, 32), resize=32)
    fingerprint = "tiny"

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        coarse = nn.functional.adaptive_avg_pool2d(batch, 4).flatten(1)
        return nn.functional.normalize(coarse, dim=1)

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        seeds = [sum(map(ord, text)) for text in texts]
        rows = [np.random.default_rng(seed).standard_normal(self.dim) for seed in seeds]
        return nn.functional.normalize(torch.tensor(np.array(rows), dtype=torch.float32), dim=1)

    def to(self, device: torch.device | str) -> _Tiny:
        return self


def prepare_run(images: int) -> Path:
    """A folder of small JPEGs."""
    return pictures.write(Path(tempfile.mkdtemp()) / "images", images, 64, 48)


def run(inputs: Path, clock: Clock) -> Arrays:
    """A whole `dissect` with networks so small that the images are what there is to hold."""
    with clock():
        atlas = run_tiny(
            inputs, Path(tempfile.mkdtemp()), similarity="soft-wpmi:top_k=10", keep="none"
        )
    return {"labels": np.array(len(atlas.labels()))}


def run_tiny(images: Path, scratch: Path, **settings: Any) -> Atlas:
    """The atlas of two layers and 300 words, over a folder of images."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 64, 3, stride=2), nn.ReLU(), nn.Conv2d(64, 32, 3))
    return dissect(
        Target("tiny", model, _Tiny.preprocess),
        layers=["0", "2"],
        probe=f"folder:{images}",
        concepts=[f"word {number}" for number in range(300)],
        encoder=_Tiny(),
        out=scratch / "atlas",
        cache=str(scratch / "cache"),
        progress=None,
        **settings,
    )
