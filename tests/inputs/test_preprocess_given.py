"""What users say of the preprocessing, what networks tell of it, and what is only assumed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.extraction.recording import describe_layers
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.given import describe, over, settings_of, text_of
from neuronym.inputs.targets.base import PARTS, Target, of_module, open_target
from neuronym.inputs.targets.guess import guess

prepare_torchvision()
transforms = pytest.importorskip("torchvision.transforms")
v2 = pytest.importorskip("torchvision.transforms.v2")

IMAGENET = Preprocess()


def seen(text: str, base: Preprocess = IMAGENET) -> Preprocess:
    return over(base, settings_of(text))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("size=32,mean=0.5,std=0.25", Preprocess((32, 32), None, mean=[0.5] * 3, std=[0.25] * 3)),
        ("size=48x64,mean=0.1,0.2,0.3", Preprocess((48, 64), None, mean=(0.1, 0.2, 0.3))),
        ("resize=232,interpolation=bicubic", Preprocess(resize=232, interpolation="bicubic")),
        ("size=96,fit=squash,resize=96x96", Preprocess((96, 96), (96, 96), "squash")),
        ("fit=pad,fill=9,8,7,centre=floor", Preprocess(fit="pad", fill=(9, 8, 7), centre="floor")),
        (
            "channels=bgr,scale=255,mean=103.5,116,123,std=1",
            Preprocess(channels="bgr", mean=(103.5 / 255, 116 / 255, 123 / 255), std=[1 / 255] * 3),
        ),
        (
            "channels=grey,size=28",
            Preprocess((28, 28), None, mean=0.449, std=0.226, channels="grey"),
        ),
        (
            "channels=5,mean=0.5,std=0.1",
            Preprocess(mean=[0.5] * 5, std=[0.1] * 5, channels="bands"),
        ),
        (
            "mean=0.1,0.2,0.3,0.4,std=0.5,0.5,0.5,0.6",
            Preprocess(mean=(0.1, 0.2, 0.3, 0.4), std=(0.5, 0.5, 0.5, 0.6), channels="bands"),
        ),
    ],
)
def test_settings_in_words(text, wanted):
    assert seen(text) == wanted
    assert seen(text_of(settings_of(text))) == wanted
    assert over(IMAGENET, settings_of(text_of(settings_of(wanted)))) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("siez=32", "settings of the preprocessing, got 'siez'. Nearest: size"),
        (
            "32",
            "Expected `preprocess` to be settings, got '32'. Write it size=32,mean=0.5,std=0.25",
        ),
        ("size=big", "`preprocess size` to be one or two whole numbers, got big"),
        ("size=1,2,3", "one or two whole numbers, got 1,2,3"),
        ("size=31.5", "one or two whole numbers, got 31.5"),
        ("size=0", r"`size` to be at least one pixel high and wide, got \(0, 0\)\."),
        ("size=8,resize=0", "`resize` to be at least one pixel high and wide, got 0"),
        ("mean=124,116,104,std=58", "mean` to be on the scale 0…1, got .* write scale=255 as well"),
        ("mean=-1.5", "mean` to be on the scale 0…1"),
        ("mean=a", "`preprocess mean` to be numbers separated by commas, got a"),
        ("std=0", "Expected `std` to be numbers above 0"),
        ("fit=stretch", "`preprocess fit` to be one of crop, squash, pad, got 'stretch'"),
        ("channels=cmyk", "one of rgb, bgr, grey, bands, got 'cmyk'"),
        ("scale=0", "`preprocess scale` to be a number above 0: 1 or 255"),
        ("size=3,size=4", "'size' at most once"),
        ("mean=0.5,0.5,0.5,std=0.1,0.2", "Expected `std` to be 3 numbers, one per channel"),
    ],
)
def test_impossible_settings_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        seen(text)


def test_torchvision_transforms_are_read_as_settings():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (41, 57, 3), np.uint8))
    usual = [transforms.ToTensor(), transforms.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))]
    for steps in (
        [transforms.Resize(32), transforms.CenterCrop(28)],
        [transforms.Resize((28, 36), transforms.InterpolationMode.BICUBIC)],
        [transforms.Resize((40, 40)), transforms.CenterCrop(28)],
    ):
        compose = transforms.Compose([*steps, *usual])
        preprocess = over(IMAGENET, settings_of(compose))
        batch = preprocess.normalise(torch.from_numpy(preprocess.pixels(picture)[None]))
        torch.testing.assert_close(batch[0], compose(picture), rtol=1e-5, atol=1e-5)
    modern = v2.Compose([v2.Resize(32), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    assert settings_of(modern)["mean"] == (0.0,)
    only = settings_of(transforms.Compose(usual))
    assert only == {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)}  # no word of the size


@pytest.mark.parametrize(
    "given", [transforms.Compose([transforms.RandomCrop(8)]), lambda image: image, 3]
)
def test_what_cannot_be_kept_as_settings_is_refused(given):
    with pytest.raises(UsageError, match="Expected `preprocess` to be settings such as.*forward"):
        settings_of(given)


def test_processors_and_configurations_are_read():
    hf = {
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4] * 3,
        "size": {"height": 48, "width": 48},
    }
    assert settings_of(hf)["mean"] == (0.1, 0.2, 0.3)
    assert settings_of({"input_size": (3, 64, 64), "mean": (0.5,) * 3})["size"] == (64, 64)
    assert settings_of({"size": 32, "std": [0.5, 0.5, 0.4]}) == {
        "size": (32, 32),
        "std": (0.5, 0.5, 0.4),
    }


# Pixels of other numbers of channels.


def test_grey_is_the_luminance_and_bands_stay_what_they_are():
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (9, 7, 3), np.uint8)
    grey = Preprocess((9, 7), None, channels="grey", mean=0.5, std=0.5)
    wanted = np.array(Image.fromarray(array).convert("L"))[:, :, None]
    np.testing.assert_array_equal(grey.pixels(Image.fromarray(array)), wanted)
    assert grey.normalise(torch.from_numpy(wanted[None])).shape == (1, 1, 9, 7)
    for bands in (2, 5):
        many = rng.integers(0, 256, (9, 7, bands), np.uint8)
        preprocess = Preprocess((9, 7), None, channels="bands", mean=[0.5] * bands, std=0.5)
        np.testing.assert_array_equal(preprocess.pixels(many), many)
        resized = Preprocess((6, 6), (6, 6), "squash", channels="bands", mean=[0] * bands, std=1)
        for band in range(bands):
            alone = Image.fromarray(many[:, :, band]).resize((6, 6), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(resized.pixels(many)[:, :, band], np.asarray(alone))
        floats = resized.pixels(many.astype(np.float32))
        assert floats.dtype == np.float32
        assert np.abs(floats - resized.pixels(many)).max() <= 1
        with pytest.raises(UsageError, match=f"images of {bands} channels.*got images of 4 chan"):
            preprocess.pixels(np.zeros((9, 7, 4), np.uint8))
        with pytest.raises(UsageError, match="3 channels, .*Say which channels are red"):
            Preprocess((9, 7)).pixels(np.zeros((9, 7, bands + 4), np.uint8))


@pytest.mark.parametrize("channels", ["grey", "bands"])
def test_what_lies_outside_is_filled_in_every_channel(channels):
    count = 1 if channels == "grey" else 4
    mean = [0.2, 0.4, 0.6, 0.8][:count]
    padded = Preprocess((8, 8), None, "pad", channels=channels, mean=mean, std=1)
    image = Image.new("L", (8, 2)) if channels == "grey" else np.full((2, 8, 4), 9, np.uint8)
    found = padded.pixels(image)
    np.testing.assert_array_equal(found[0, 0], np.round(255 * np.array(mean)))
    assert len(padded.pixel_steps.mean) == count


# What networks tell.


def flat(channels: int = 3, side: int = 32) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 5, 3), nn.Flatten(), nn.Linear(5 * (side - 2) ** 2, 4))


def test_nothing_stated_is_assumed_and_what_is_given_is_known():
    target = open_target(nn.Sequential(nn.Conv2d(3, 5, 3)))
    assert (target.origin.source, target.origin.assumed) == ("", PARTS)
    given = open_target(target.model, preprocess="size=32,mean=0.5,std=0.5")
    assert (given.origin.words, given.preprocess.size) == (
        "known: size, mean, std as given",
        (32, 32),
    )
    part = open_target(target.model, preprocess="mean=0.5,std=0.5")
    assert part.origin.assumed == ("size",)
    assert of_module(target.model, {"size": 8}).preprocess.resize is None
    whole = open_target(target.model, preprocess=Preprocess((8, 8), 8))
    assert whole.origin.words == "known: all as given"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("squeezenet1_1:weights=random", "known: torchvision's weights IMAGENET1K_V1"),
        ("timm:test_vit,weights=random", "known: timm's configuration of the network"),
        ("efficientnet-lite0:weights=random", "known: measured for efficientnet-lite0"),
    ],
)
def test_published_networks_are_known(name, words):
    pytest.importorskip("timm")
    assert open_target(name).origin.words == words


@pytest.mark.parametrize("name", ["squeezenet1_1", "timm:test_vit", "efficientnet-lite0"])
def test_of_weights_from_a_file_it_is_assumed(name, tmp_path):
    pytest.importorskip("timm")
    file = tmp_path / "own.pth"
    drawn = open_target(f"{name}{',' if ':' in name else ':'}weights=random")
    torch.save(drawn.model.state_dict(), file)
    origin = open_target(name, weights=file).origin
    assert origin.assumed == PARTS
    assert "assumed, as " in origin.words


def test_a_size_in_the_configuration_is_known_and_the_rest_is_not():
    model = nn.Sequential(nn.Conv2d(3, 5, 3))
    model.config = type("Config", (), {"image_size": 96})()  # type: ignore[assignment]
    target = open_target(model)
    assert target.preprocess.size == (96, 96)
    assert target.origin.words == (
        "known: size from the network's config.image_size; "
        "assumed, as usual for ImageNet: channels, normalisation"
    )


@pytest.mark.parametrize(("channels", "order"), [(1, "grey"), (2, "bands"), (13, "bands")])
def test_channels_come_from_the_first_convolution(channels, order):
    target = open_target(nn.Sequential(nn.Conv2d(channels, 5, 3), nn.AdaptiveAvgPool2d(1)))
    assert (target.preprocess.channels, target.preprocess.count) == (order, channels)
    assert target.origin.assumed == ("size", "normalisation")
    assert describe_layers(target)[0].units == 5
    three = Preprocess((9, 9), 9, mean=(0.5,) * 3, std=(0.5,) * 3)
    stated = open_target(target.model, preprocess=three)  # as people write it by habit
    assert stated.preprocess.count == channels


@pytest.mark.parametrize(
    ("channels", "given", "got"),
    [
        (3, "mean=0.5,0.4,std=0.2", "3 channels, as the first conv.*got 2 channels.*forward"),
        (3, {"std": (0.5, 0.4)}, "3 channels, .*got 2 channels"),
        (3, "channels=grey", "3 channels, .*got 1 channel"),
        (3, Preprocess(mean=0.5, std=0.5, channels="grey"), "3 channels, .*got 1 channel"),
        (3, "channels=5", "3 channels, .*got 5 channels"),
        (1, "channels=bgr", "1 channel, .*got 3 channels"),
        (5, "mean=1,1,1,1,std=1", "5 channels, .*got 4 channels"),
    ],
)
def test_channels_that_the_network_does_not_take_are_refused(channels, given, got):
    network = nn.Sequential(nn.Conv2d(channels, 5, 3), nn.AdaptiveAvgPool2d(1))
    with pytest.raises(UsageError, match=f"Expected `preprocess` to have {got}"):
        open_target(network, preprocess=given)
    with pytest.raises(UsageError, match="Expected `preprocess` to have"):
        of_module(network, given if not isinstance(given, Preprocess) else {"channels": "grey"})


def test_colours_that_are_given_become_grey_for_a_network_of_one_channel():
    network = nn.Sequential(nn.Conv2d(1, 5, 3), nn.AdaptiveAvgPool2d(1))
    for given in ("mean=0.4,0.5,0.6,std=0.2", Preprocess(mean=(0.4, 0.5, 0.6), std=(0.2,) * 3)):
        seen = open_target(network, preprocess=given).preprocess
        assert (seen.channels, seen.mean, seen.std) == ("grey", (0.5,), (0.2,))


def test_a_network_that_makes_grey_itself_gets_colour():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Conv2d(1, 5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x[:, :1] * 0.3 + x[:, 1:2] * 0.6 + x[:, 2:] * 0.1)

    assert open_target(Own()).preprocess.channels == "rgb"

    def grey(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return model(batch.mean(1, keepdim=True))

    target = Target("net", nn.Sequential(nn.Conv2d(1, 5, 3)), IMAGENET, forward=grey)
    assert open_target(target).preprocess.channels == "rgb"
    assert describe_layers(open_target(target))[0].units == 5


class _Vit(nn.Module):
    """Takes one size only, and says which."""

    image_size = 48

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 5, 8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[-1] == self.image_size
        return self.patch(x)


@pytest.mark.parametrize(
    ("model", "option"),
    [
        (flat(), "size=32,mean=0.5,std=0.5"),
        (flat(1, 28), "size=28,mean=0.5,std=0.5"),
        (flat(3, 96), "size=96,mean=0.5,std=0.5"),
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 4)), "size=28,channels=grey,mean=0.5,std=0.5"),
        (_Vit(), "size=48,mean=0.5,std=0.5"),
    ],
)
def test_the_size_that_runs_is_offered_by_the_error(model, option):
    target = open_target(model)
    assert target.preprocess.size == (224, 224)  # never taken
    with pytest.raises(NeuronymError, match=f"try --preprocess {option} "):
        describe_layers(target)
    assert describe_layers(open_target(model, preprocess=option))


@pytest.mark.torture
def test_small_images_are_guessed_from_what_the_layers_reduce():
    thin = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 4), nn.Conv2d(4, 4, 1))
    assert guess(open_target(thin)).option == "size=32,mean=0.5,std=0.5"
    assert guess(open_target("resnet18:weights=random")) is None
    assert guess(open_target("vgg11:weights=random")) is None
    stated = {"input_size": (3, 40, 40), "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    thin.default_cfg = stated  # type: ignore[assignment]
    target = open_target(thin)
    assert target.preprocess == IMAGENET
    assert guess(target).option == "size=40,mean=0.1,0.2,0.3,std=0.4,0.5,0.6"


def test_what_is_seen_in_words():
    assert describe(Preprocess((32, 32))) == (
        "32 × 32 pixels, RGB; shorter side to 256, bilinear, then the centre (2% of a square "
        "image); mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    )
    assert describe(seen("size=64,fit=squash,mean=0,std=1,channels=13")) == (
        "64 × 64 pixels, 13 bands; squashed to 64 × 64, bilinear; scaled to 0…1"
    )
