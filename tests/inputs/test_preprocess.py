"""Preprocessing equals that of the libraries whose models it feeds."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from neuronym._core.errors import UsageError
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.preprocess.published import (
    from_hf,
    from_open_clip,
    from_timm,
    from_torchvision,
)

prepare_torchvision()

# Portrait, landscape, odd margins, smaller than the crop, one pixel, and 1:13.
SIZES = [(97, 61), (61, 97), (224, 224), (225, 231), (31, 17), (1, 1), (40, 520), (257, 256)]


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def network_input(preprocess: Preprocess, image: Image.Image) -> torch.Tensor:
    return preprocess.normalise(torch.from_numpy(preprocess.pixels(image))[None])[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (53, 47), (40, 47), (47, 47)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
def test_pixels_equal_torchvision_bit_for_bit(size, resize, crop, interpolation):
    from torchvision import transforms

    pipeline = transforms.Compose(
        [
            transforms.Resize(resize, transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(crop),
        ]
    )
    image = picture(*size)
    ours = Preprocess(size=(crop, crop), resize=resize, interpolation=interpolation).pixels(image)
    np.testing.assert_array_equal(ours, np.asarray(pipeline(image)))


def test_torchvision_preset_is_read():
    from torchvision.models import ViT_H_14_Weights

    weights = ViT_H_14_Weights.IMAGENET1K_SWAG_E2E_V1
    preprocess = from_torchvision(weights)
    assert preprocess == from_torchvision(weights.transforms())
    assert (preprocess.size, preprocess.resize) == ((518, 518), 518)
    assert preprocess.interpolation == "bicubic"
    image = picture(97, 61)
    theirs = weights.transforms()(image)
    torch.testing.assert_close(network_input(preprocess, image), theirs, atol=1e-5, rtol=0)


def test_other_torchvision_transforms_are_refused():
    from torchvision.models.detection import FCOS_ResNet50_FPN_Weights

    with pytest.raises(UsageError, match="preprocessing of a torchvision classification model"):
        from_torchvision(FCOS_ResNet50_FPN_Weights.COCO_V1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(
    ("shape", "crop_pct"), [((3, 41, 41), 0.875), ((3, 37, 37), 1.0), ((3, 37, 43), 0.9)]
)
def test_input_equals_timm(size, mode, shape, crop_pct):
    from timm.data import create_transform

    config = {
        "input_size": shape,
        "crop_pct": crop_pct,
        "crop_mode": mode,
        "interpolation": "bicubic",
        "mean": (0.48, 0.46, 0.41),
        "std": (0.27, 0.26, 0.25),
    }
    image = picture(*size)
    theirs = create_transform(**config)(image)
    torch.testing.assert_close(network_input(from_timm(config), image), theirs, atol=1e-5, rtol=0)


def test_timm_model_is_read():
    import timm

    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, depth=1)
    preprocess = from_timm(model)
    assert preprocess.size == (224, 224)
    assert preprocess.resize == int(224 / model.pretrained_cfg["crop_pct"])
    assert preprocess.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("target", [41, (37, 43)])
def test_input_equals_open_clip(size, mode, target):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(size=target, resize_mode=mode, interpolation="bilinear", fill_color=9)
    image = picture(*size)
    theirs = image_transform_v2(config, is_train=False)(image)
    torch.testing.assert_close(
        network_input(from_open_clip(config), image), theirs, atol=1e-5, rtol=0
    )
    assert from_open_clip(vars(config)) == from_open_clip(config)


HF = [
    ("CLIPImageProcessorPil", {"size": {"shortest_edge": 41}, "crop_size": 38}),
    ("CLIPImageProcessorPil", {"size": {"shortest_edge": 41}, "crop_size": [36, 33]}),
    ("ViTImageProcessorPil", {"size": {"height": 37, "width": 43}, "resample": 3}),
    ("ViTImageProcessorPil", {"size": 37, "do_rescale": True, "rescale_factor": 1 / 127.5}),
    ("ViTImageProcessorPil", {"size": 37, "do_normalize": False}),
    ("ViTImageProcessorPil", {"size": 37, "do_rescale": False, "image_mean": [90.0, 91, 92]}),
    ("DeiTImageProcessorPil", {"size": 47, "crop_size": 38}),
    ("BitImageProcessorPil", {"size": {"shortest_edge": 47}, "crop_size": 38, "resample": 3}),
    ("SiglipImageProcessorPil", {"size": {"height": 37, "width": 37}}),
    ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 37}}),
    ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}}),
    ("LevitImageProcessorPil", {"size": {"shortest_edge": 37}, "crop_size": 37}),
    ("PoolFormerImageProcessorPil", {"size": {"shortest_edge": 37}, "crop_size": 37}),
    ("EfficientNetImageProcessorPil", {"size": 47, "do_center_crop": True, "crop_size": 38}),
    ("EfficientNetImageProcessorPil", {"size": 47, "rescale_offset": True, "rescale_factor": 0.01}),
    ("MobileViTImageProcessorPil", {"size": {"shortest_edge": 41}, "crop_size": 37}),
    ("MobileNetV2ImageProcessorPil", {"size": {"shortest_edge": 41}, "crop_size": 37}),
]


@pytest.mark.parametrize(("name", "settings"), HF)
def test_input_equals_hugging_face_on_pillow(name, settings, tmp_path):
    transformers = pytest.importorskip("transformers")
    processor = getattr(transformers, name)(**settings)
    preprocess = from_hf(processor)
    for size in SIZES:
        image = picture(*size)
        theirs = torch.as_tensor(processor(image, return_tensors="np")["pixel_values"][0])
        scale = max(1.0, float(theirs.abs().max()))
        difference = (network_input(preprocess, image) - theirs.float()).abs().max() / scale
        assert difference < 1e-5, size
    processor.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert from_hf(saved) == preprocess
    assert from_hf({"image_processor": saved}) == preprocess


def test_hugging_face_on_torchvision_is_within_two_levels():
    transformers = pytest.importorskip("transformers")
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 41}, crop_size=38, image_mean=[0.0] * 3, image_std=[1 / 255] * 3
    )
    preprocess = from_hf(processor)
    for size in [(97, 61), (61, 97), (225, 231)]:
        theirs = processor(picture(*size), return_tensors="pt")["pixel_values"][0]
        assert (network_input(preprocess, picture(*size)) - theirs).abs().max() <= 2.01


def test_old_hugging_face_files_with_bare_numbers():
    clip = {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "size": 224,
        "crop_size": 224,
        "do_center_crop": True,
        "do_resize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "resample": 3,
    }
    assert from_hf(clip) == Preprocess(
        (224, 224), 224, "crop", "bicubic", (0.5,) * 3, (0.5,) * 3, centre="floor"
    )
    vit = {
        "feature_extractor_type": "ViTFeatureExtractor",
        "size": 224,
        "resample": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    assert (from_hf(vit).fit, from_hf(vit).size) == ("squash", (224, 224))
    with pytest.raises(UsageError, match="an image processor with a fixed image size"):
        from_hf({"size": {"longest_edge": 800}})


def test_very_long_images_stay_small_in_memory():
    import tracemalloc

    for size in [(150_000, 3), (3, 150_000), (1, 4096)]:
        image = picture(*size)
        tracemalloc.start()
        pixels = Preprocess().pixels(image)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert pixels.shape == (224, 224, 3)
        assert peak < 50e6


@pytest.mark.parametrize("size", [(1300, 40), (40, 1300), (903, 31), (17, 1001)])
@pytest.mark.parametrize(("resize", "crop"), [(64, 48), (31, 48)])
def test_long_images_equal_torchvision_within_one_level(size, resize, crop):
    from torchvision import transforms

    image = picture(*size)
    theirs = transforms.CenterCrop(crop)(transforms.Resize(resize)(image))
    ours = Preprocess(size=(crop, crop), resize=resize).pixels(image)
    difference = np.abs(ours.astype(int) - np.asarray(theirs).astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.05


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (60, 47), (640, 35)])
@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess((48, 40), 52),
        Preprocess((48, 40), fit="squash"),
        Preprocess((48, 40), (60, 50), fit="squash"),
        Preprocess((48, 40), fit="pad"),
        Preprocess((48, 40), 30),
    ],
    ids=["crop", "squash", "squash-crop", "pad", "smaller"],
)
def test_peaks_map_back_to_the_marked_pixel(size, preprocess):
    width, height = size
    aside = min(size) // 6  # within every crop
    spot_x, spot_y = width // 2 + aside, height // 2 - aside
    array = np.zeros((height, width, 3), np.uint8)
    array[spot_y, spot_x] = 255
    # A small blur so that the mark survives shrinking.
    block = array[max(spot_y - 2, 0) : spot_y + 3, max(spot_x - 2, 0) : spot_x + 3]
    block[:] = 255
    mean_free = Preprocess(**{**preprocess.to_dict(), "fill": (0, 0, 0)})
    seen = mean_free.pixels(Image.fromarray(array)).astype(float).sum(axis=2)
    rows, columns = np.nonzero(seen > 0.6 * seen.max())
    y, x = mean_free.on_image((rows.mean() + 0.5) / 48, (columns.mean() + 0.5) / 40, width, height)
    shrink = max(width / 40, height / 48, 1)
    assert abs(y * height - (spot_y + 0.5)) <= 1.5 * shrink
    assert abs(x * width - (spot_x + 0.5)) <= 1.5 * shrink


def test_corners_of_the_padded_border_go_to_the_edge():
    assert Preprocess((48, 40), fit="pad").on_image(0.0, 0.5, 300, 200) == (0.0, 0.5)
    assert Preprocess((48, 40), fit="squash").on_image(0.25, 0.75, 300, 200) == (0.25, 0.75)


def test_settings_survive_json():
    for settings in (
        Preprocess(),
        Preprocess((48, 40), (60, 50), "squash", "lanczos", fill=(1, 2, 3), channels="bgr"),
    ):
        again = Preprocess.from_dict(json.loads(json.dumps(settings.to_dict())))
        assert again == settings
        assert hash(again) == hash(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fit": "stretch"}, "Expected `fit` to be one of crop, squash, pad, got 'stretch'"),
        ({"interpolation": "cubic"}, "Expected `interpolation` to be one of nearest"),
        ({"size": (224,)}, "Expected `size` to be 2 numbers"),
        ({"size": (0, 5)}, "at least one pixel high and wide"),
        ({"std": (1, 0, 1)}, "Expected `std` to be numbers above 0"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        Preprocess(**settings)


def test_unknown_setting_is_refused():
    with pytest.raises(UsageError, match="Expected `preprocess` to be one of size, resize"):
        Preprocess.from_dict({"crop": 3})


def test_grey_and_transparent_images_become_rgb():
    assert Preprocess((5, 7)).pixels(Image.new("L", (9, 11), 77)).shape == (5, 7, 3)
    pixels = Preprocess((5, 7)).pixels(Image.new("RGBA", (9, 11), (1, 2, 3, 4)))
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
