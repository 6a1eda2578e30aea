"""Images of more than 8 bits or with other bands come out right, the same in every file."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from grey import greys, rounded_out
from neuronym._core import hashing
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.registry import escape
from neuronym.inputs.probes import deep, images
from neuronym.inputs.probes.base import Probe, RawImage, open_probe
from neuronym.inputs.probes.subsets import sentences
from neuronym.inputs.probes.values import Values

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")

RNG = np.random.default_rng(14)
TWELVE = RNG.integers(0, 4096, (9, 7, 3)).astype(np.uint16)
TWELVE[0, 0], TWELVE[0, 1], TWELVE[0, 2] = 0, 4095, 2048


def tiff(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def png(array: np.ndarray) -> bytes:
    return imagecodecs.png_encode(np.ascontiguousarray(array))


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, array)
    return file.getvalue()


def rgb(probe: Probe, index: int = 0) -> np.ndarray:
    return np.asarray(probe.read(index).decode())


def shown(given: list, **asked: object) -> Probe:
    return open_probe(given, values=Values.asked(**asked))


KINDS = {
    "array": np.asarray,
    "png": png,
    "tiff": lambda a: tiff(a, photometric="rgb"),
    "big tiff": lambda a: tiff(a, photometric="rgb", bigtiff=True, compression="zlib"),
    "planes": lambda a: tiff(a.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
    "jpeg 2000": lambda a: imagecodecs.jpeg2k_encode(a, reversible=True, level=0),
    "jpeg xl": lambda a: imagecodecs.jpegxl_encode(a, lossless=True),
    "npy": npy,
    "npz": npz,
}


@pytest.mark.parametrize("kind", KINDS)
def test_12_bits_in_16_are_seen(kind: str) -> None:
    probe = open_probe([KINDS[kind](TWELVE)])
    expected = np.reshape(greys(TWELVE.ravel(), 0, 4095), TWELVE.shape)
    assert (rgb(probe) == expected).all()
    assert probe.values.integers == (0, 4095)
    assert probe.read(0).size == (7, 9)


@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg xl", "npy"])
def test_grey_and_one_range_for_all_files(kind: str) -> None:
    """The same value is the same grey, whatever else is in its file."""
    make = {"tiff": tiff}.get(kind, KINDS[kind])
    files = []
    for low, high in ((0, 1100), (900, 16_000), (1000, 1001)):
        values = np.linspace(low, high, 70).astype(np.uint16).reshape(7, 10)
        values[3, 4] = 1000
        files.append(make(values))
    probe = open_probe(files)
    assert {int(rgb(probe, i)[3, 4, 0]) for i in range(3)} == {round(1000 * 255 / 16_383)}


def test_one_range_for_what_a_name_with_a_limit_opens(tmp_path: Path) -> None:
    for number, high in enumerate((500, 4000, 1000)):
        array = np.linspace(0, high, 35).astype(np.uint16).reshape(5, 7)
        (tmp_path / f"{number}.png").write_bytes(png(array))
    for limit in ("limit=first:2", "limit=3"):
        name = f"folder:{escape(str(tmp_path))},{limit}"
        for probe in (open_probe(name), open_probe(f"{name}+{name}"), open_probe(open_probe(name))):
            assert probe.values.integers == (0, 4095)
            assert rgb(probe, 0).max() == round(500 / 4095 * 255)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64])
def test_signed_and_float_files(kind: type) -> None:
    """Computed tomography: −1024…3071, once as integers, once as floats."""
    first = np.linspace(-1000, 200, 999).astype(kind).reshape(27, 37)
    second = np.linspace(100, 3000, 999).astype(kind).reshape(27, 37)
    first[2, 3] = second[5, 6] = 150
    probe = open_probe([tiff(first), tiff(second)])
    assert rgb(probe, 0)[2, 3, 0] == rgb(probe, 1)[5, 6, 0]
    every = np.concatenate([first.ravel(), second.ravel()]).astype(float)
    if kind in (np.int16, np.int32):
        assert probe.values.integers == rounded_out(every.tolist()) == (-1024, 4095)
    else:
        assert probe.values.floats == pytest.approx(np.percentile(every, [0.1, 99.9]))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_that_resizing_overshot(kind: type) -> None:
    values = np.linspace(0, 1, 60).astype(kind).reshape(6, 10)
    values[0, 0], values[5, 9] = -0.003, 1.004  # what bicubic resizing leaves
    expected = np.reshape(greys(values.ravel(), 0, 1), values.shape)
    for given in (values, tiff(values) if kind != np.float16 else npy(values)):
        probe = open_probe([given])
        assert (rgb(probe)[:, :, 0] == expected).all()
        assert probe.values.floats == (0, 1)


def test_pillow_images_given_in_python() -> None:
    grey = TWELVE[:, :, 0]
    expected = np.reshape(greys(grey.ravel(), 0, 4095), grey.shape)
    for image in (Image.fromarray(grey), Image.fromarray(grey.astype(np.int32))):
        assert (rgb(open_probe([image]))[:, :, 0] == expected).all()
    floats = Image.fromarray((grey / 4095 * 1.004).astype(np.float32))
    assert rgb(open_probe([floats])).max() == 255


def test_floats_to_255_that_lanczos_overshot() -> None:
    values = np.linspace(0, 255, 3000).astype(np.float32).reshape(50, 60)
    values[0, 0], values[1, 1] = -12.5, 271.0
    probe = open_probe([values])
    assert (rgb(probe)[:, :, 1] == np.reshape(greys(values.ravel(), 0, 255), values.shape)).all()


def test_floats_of_another_range() -> None:
    """Reflectance to 0.3 stays dark, a ratio to 3.5 is not taken for 0…255."""
    dim = np.linspace(0, 0.3, 60).reshape(6, 10)
    assert rgb(open_probe([dim])).max() == round(0.3 * 255)
    ratio = np.linspace(0, 3.5, 6000).reshape(60, 100)
    probe = open_probe([ratio])
    assert rgb(probe).max() == 255
    assert probe.values.floats == pytest.approx(np.percentile(ratio, [0.1, 99.9]))


@pytest.mark.parametrize("white", [0.02, 0.1, 9])
def test_floats_that_would_be_black(white: float) -> None:
    """Radiance to 0.02 is no 0…1, and 0…9 no 0…255."""
    values = np.linspace(0, white, 6000).astype(np.float32).reshape(60, 100)
    for given in (values, tiff(values)):
        assert rgb(open_probe([given])).max() == 255


def test_one_odd_file_does_not_end_a_run() -> None:
    """It is skipped and named by the pass; where most are so, the user has to say which bands."""
    odd = tiff(FOUR, photometric="minisblack", planarconfig="contig")
    probe = open_probe([png(TWELVE), odd, png(TWELVE)])
    assert probe.values.images == 2
    with pytest.raises(CorruptImageError, match="has 4 bands"):
        probe.read(1).decode()
    with pytest.raises(UsageError, match=r"The image 00000\d has 4 bands"):
        open_probe([png(TWELVE), odd, odd]).read(0)


def test_normalised_tensors_are_refused_unless_one_says_so() -> None:
    values = np.linspace(-2.1, 2.6, 60, dtype=np.float32).reshape(6, 10)
    with pytest.raises(UsageError, match=r"before normalisation.*value_range=\"percentile\""):
        open_probe([values]).read(0)
    assert rgb(shown([values], value_range="percentile")).max() == 255
    assert rgb(open_probe([tiff(values)])).max() == 255  # a file of heights has no mean and std


def test_nan_and_nodata_are_black_and_do_not_count() -> None:
    height = np.linspace(100, 900, 6000).astype(np.float32).reshape(60, 100)
    height[2, 3] = np.nan
    height[4, 5] = -9999
    nodata = [(42113, "s", 0, "-9999", True)]
    for array in (height, height[:, :, None].repeat(3, 2)):
        kind = "minisblack" if array.ndim == 2 else "rgb"
        probe = open_probe([tiff(array, extratags=nodata, photometric=kind)])
        assert probe.values.floats == pytest.approx((100, 900), rel=0.02)
        assert rgb(probe)[2, 3].tolist() == rgb(probe)[4, 5].tolist() == [0, 0, 0]
    whole = np.nan_to_num(height).astype(np.int16)
    probe = open_probe([tiff(whole, extratags=nodata)])
    assert probe.values.integers == (0, 1023)
    assert rgb(probe)[4, 5, 0] == 0
    with pytest.raises(CorruptImageError, match="holds no finite values"):
        open_probe([tiff(np.full((5, 6), np.nan, np.float32))]).read(0).decode()


def test_ranges_that_are_asked_for() -> None:
    values = np.linspace(0, 4000, 6000).astype(np.uint16).reshape(60, 100)
    for given in (values, png(values), tiff(values)):
        exact = shown([given], value_range="1000,3000")
        assert (
            rgb(exact)[:, :, 0] == np.reshape(greys(values.ravel(), 1000, 3000), (60, 100))
        ).all()
        assert rgb(shown([given], value_range=(0, 65535))).max() == round(4000 / 257)
        assert rgb(shown([given], value_range="dtype")).max() == round(4000 / 257)
        spread = shown([given], value_range="percentile")
        assert spread.values.integers == pytest.approx(np.percentile(values, [0.1, 99.9]))
        assert exact.read(0).content_hash != spread.read(0).content_hash
    low, high = shown([values.astype(np.int16)], value_range="dtype").values.integers or (0, 0)
    assert (low, high) == (-32768, 32767)
    for wrong in ("1", "5,2", "a,b", "0,inf", 7, "full"):
        with pytest.raises(UsageError, match="`value_range` to be LOW,HIGH, percentile or dtype"):
            Values.asked(wrong)


def test_replica() -> None:
    """Against the definition over ugly values: one, few, equal, negative, huge."""
    for values in ([7], [300, 300], [-1, 5], [-5000, 70_000, 12], [2**31, 9], [-(2**40), 0]):
        array = np.array(values, np.int64).reshape(1, -1, 1)
        found = Values().measured([array])
        assert found.integers == rounded_out(values)
        assert found.to_bytes(array).ravel().tolist() == greys(values, *rounded_out(values))
    for seed in range(5):
        many = np.random.default_rng(seed).normal(1500, 700 * (seed + 1), (31, 17, 3))
        array = many.astype(np.int32)
        found = Values().measured([array])
        assert found.integers == rounded_out(array.ravel().tolist())
        assert found.to_bytes(array).ravel().tolist() == greys(array.ravel(), *found.integers or ())


def test_images_of_8_bits_keep_their_hashes() -> None:
    """Cached activations of 0.1.0 are found again."""
    colours = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).save(file, "TIFF")
    for data in (file.getvalue(), png(colours), tiff(colours, photometric="rgb"), tiff(colours[0])):
        assert RawImage(data).content_hash == hashing.of_bytes(data)
        probe = open_probe([data, png(TWELVE)])
        assert probe.read(0).content_hash == hashing.of_bytes(data)
        assert probe.read(1).content_hash != hashing.of_bytes(png(TWELVE))
    array = hashing.of_array(colours)
    for given in (colours, colours.astype(np.int64), (colours / 255).astype(np.float32)):
        assert open_probe([given]).read(0).content_hash == array


def test_the_range_is_part_of_the_hash() -> None:
    data = png(TWELVE)
    hashes = {
        open_probe([data, *more]).read(0).content_hash
        for more in ([], [png(TWELVE * 16)], [png(TWELVE // 2)])
    }
    assert len(hashes) == 2  # 0…4095 (also with darker ones), 0…65535


def test_the_order_of_images_changes_nothing(tmp_path: Path) -> None:
    for number in range(230):
        array = np.full((3, 4), 10 + number * 40, np.uint16)
        (tmp_path / f"{number:03d}.png").write_bytes(png(array))
    paths = sorted(tmp_path.iterdir())
    first = open_probe(paths, values=Values.asked("percentile")).values
    assert first.images == 200
    assert open_probe(paths[::-1], values=Values.asked("percentile")).values == first
    assert Values.from_data(json.loads(json.dumps(first.to_data()))) == first


def test_a_picture_that_lies_elsewhere_is_left_out_not_white() -> None:
    usual = [np.full((5, 6), 0.1 + 0.003 * i, np.float32) for i in range(250)]
    odd = np.linspace(0, 255, 30, dtype=np.float32).reshape(5, 6)
    values = open_probe(usual).values
    assert values.floats == (0, 1)
    with pytest.raises(
        CorruptImageError, match=r"values 0…255, where those of the probe lie in 0…1"
    ):
        RawImage(tiff(odd), values).decode()
    ints = open_probe([TWELVE]).values
    with pytest.raises(CorruptImageError, match=r"values 60000…60000.*--value-range"):
        RawImage(png(np.full((4, 4), 60_000, np.uint16)), ints).decode()


# -- bands


FOUR = RNG.integers(1, 255, (6, 8, 4), dtype=np.uint8)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("count", [2, 4, 6])
def test_bands_have_to_be_named(kind: type, count: int) -> None:
    """Four bands were taken for alpha, and what was clear there became white."""
    array = RNG.integers(1, 255, (9, 8, count)).astype(kind)
    array[0, 0, 0] = 255
    given = {
        "array": array,
        "tiff": tiff(array, photometric="minisblack", planarconfig="contig"),
        "planes": tiff(array.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"),
        "npy": npy(array),
    }
    bands = (2, 1, 2) if count == 2 else (count, 1, 2)
    expected = array[:, :, [band - 1 for band in bands]].astype(np.uint8)
    for name, one in given.items():
        if name == "array" and count == 6:
            refusal = r"1 to 4 channels, got the shape \[9, 8, 6\].*bands says which"
        elif name == "array":
            refusal = rf"got {count} channels. Say which .*--bands 3,2,1"
        elif name == "npy" and count == 6:
            refusal = r"bands says which"
        else:
            refusal = rf"000000 has {count} bands, and nothing says which .*--bands"
        with pytest.raises(UsageError, match=refusal):
            open_probe([one]).read(0)
        assert (rgb(shown([one], bands=bands)) == expected).all(), name
        with pytest.raises(UsageError, match=rf"has {count} bands, .* asks for band 7"):
            shown([given["tiff"]], bands="7").read(0)


def test_alpha_only_where_the_file_says_so() -> None:
    tagged = tiff(FOUR, photometric="rgb", extrasamples=["unassalpha"])
    beside = tiff(FOUR, photometric="rgb", extrasamples=["unspecified"])
    clear = FOUR.copy()
    clear[:, :, 3] = 0
    assert (
        rgb(open_probe([tiff(clear, photometric="rgb", extrasamples=["unassalpha"])])) == 255
    ).all()
    assert (rgb(open_probe([beside])) == FOUR[:, :, :3]).all()
    assert not (rgb(open_probe([tagged])) == FOUR[:, :, :3]).all()
    deep_clear = (clear.astype(np.uint16) << 4) + 15
    deep_clear[:, :, 3] = 0
    for data in (png(deep_clear), tiff(deep_clear, photometric="rgb", extrasamples=["unassalpha"])):
        assert (rgb(open_probe([data])) == 255).all()
    infra = tiff(deep_clear, photometric="rgb", extrasamples=["unspecified"])
    assert rgb(open_probe([infra])).mean() < 200
    four = shown([clear], bands="1,2,3,4")  # the user says that the fourth is alpha
    assert (rgb(four) == 255).all()
    assert (rgb(shown([clear], bands="3,2,1")) == clear[:, :, 2::-1]).all()


def test_a_tiff_without_the_tag_has_no_alpha() -> None:
    """Pillow takes the fourth band of such a file for alpha."""
    file = io.BytesIO()
    clear = FOUR.copy()
    clear[:, :, 3] = 0
    Image.fromarray(clear, "RGBA").save(file, "TIFF")
    data = file.getvalue()
    tagged = (338).to_bytes(2, "little") + (3).to_bytes(2, "little")
    assert data.count(tagged) == 1
    bare = data.replace(tagged, (65000).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    assert (rgb(open_probe([data])) == 255).all()
    assert (rgb(open_probe([bare])) == FOUR[:, :, :3]).all()


def test_bands_of_ordinary_files() -> None:
    colours = FOUR[:, :, :3]
    probe = shown([png(colours), colours], bands="3,2,1")
    assert (rgb(probe, 0) == colours[:, :, ::-1]).all()
    assert (rgb(probe, 1) == colours[:, :, ::-1]).all()
    assert (rgb(shown([png(colours)], bands="2")) == colours[:, :, 1:2]).all()
    assert probe.read(0).content_hash != open_probe([png(colours)]).read(0).content_hash
    with pytest.raises(CorruptImageError, match="has 1 band, and --bands asks for band 3"):
        shown([png(colours[:, :, 0])], bands="3,2,1").read(0).decode()
    for wrong in ("0", "1,2,3,4,5", "red", "", 3):
        with pytest.raises(UsageError, match="`bands` to be"):
            Values.asked(bands=wrong)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_pages_as_bands(kind: type) -> None:
    array = RNG.integers(0, 255, (5, 12, 13)).astype(kind)
    data = tiff(array, photometric="minisblack", metadata=None)
    found = rgb(shown([data], bands="4,1,2", value_range="0,255"))
    assert (found == np.moveaxis(array[[3, 0, 1]], 0, 2)).all()
    first = rgb(shown([data], value_range="0,255"))
    assert (first == array[0][:, :, None]).all()


ORDERED = RNG.integers(0, 4096, (12, 10, 6)).astype(np.uint16)
WITH_BANDS = {
    "array": ORDERED,
    "tensor": torch.from_numpy(ORDERED.transpose(2, 0, 1).astype(np.int32)),
    "npy": npy(ORDERED),
    "turned": tiff(
        ORDERED, photometric="minisblack", planarconfig="contig", extratags=[(274, 3, 1, 6, True)]
    ),
    "planes": tiff(ORDERED.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"),
    "pages": tiff(ORDERED.transpose(2, 0, 1), photometric="minisblack", metadata=None),
    "rgb and two": tiff(ORDERED[:, :, :5], photometric="rgb", extrasamples=["unspecified"] * 2),
    "rgb and one": tiff(FOUR, photometric="rgb", extrasamples=["unspecified"]),
    "png": png(FOUR),
    "pillow": Image.fromarray(FOUR),
    "grey": png(FOUR[:, :, 0]),
}


@pytest.mark.parametrize("huge", [False, True])
@pytest.mark.parametrize("kind", WITH_BANDS)
def test_every_band_is_seen_as_it_is_shown(kind: str, huge: bool, monkeypatch) -> None:
    """Each is what --bands with its number alone shows, and the three are those of `decode`."""
    source = WITH_BANDS[kind]
    if huge:
        monkeypatch.setattr(images, "EXACT_PIXELS", 30)
    count = {"rgb and two": 5, "rgb and one": 4, "png": 4, "pillow": 4, "grey": 1}.get(kind, 6)
    asked = Values.asked("0,4095", (3, 1, 2) if count > 1 else (1,))
    image, bands = images.with_bands(source, replace(asked, seen=count))
    assert bands.dtype == np.uint8
    assert bands.shape == (image.height, image.width, count)
    decode = images.decode if isinstance(source, bytes) else images.to_rgb
    assert (np.asarray(image) == np.asarray(decode(source, asked))).all()
    for band in range(count):
        alone = decode(source, replace(asked, bands=(band + 1,), seen=count))
        assert (bands[:, :, band] == np.asarray(alone)[:, :, 0]).all()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_more_bands_than_pixels_across(kind: type) -> None:
    """Patches of hyperspectral scenes: the axis of the bands is as long as the network says."""
    patch = RNG.integers(0, 256, (200, 9, 7)).astype(kind)
    for source in (patch, np.moveaxis(patch, 0, 2), npy(patch)):
        values = replace(Values.asked("0,255", (30, 20, 10)), seen=200)
        image, bands = images.with_bands(source, values)
        assert (bands == np.moveaxis(patch, 0, 2)).all()
        assert (np.asarray(image) == np.moveaxis(patch[[29, 19, 9]], 0, 2)).all()
        assert RawImage(source, values).size == (7, 9)


# -- files


def test_orientation_and_white_is_zero() -> None:
    grey = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300
    turned = open_probe([tiff(grey, extratags=[(274, "H", 1, 6, True)])])
    assert turned.read(0).size == (3, 4)
    assert (rgb(turned)[:, :, 0] == rgb(open_probe([tiff(grey)]))[::-1, :, 0].T).all()
    negative = tiff(65535 - grey, photometric="miniswhite")
    assert (rgb(open_probe([negative])) == rgb(open_probe([tiff(grey)]))).all()


def test_huge_ones_are_reduced_and_bombs_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "EXACT_PIXELS", 100)
    data = tiff(np.full((40, 60), 1000, np.uint16))
    probe = open_probe([data])
    assert probe.read(0).decode().size == (8, 5)
    assert probe.read(0).size == (60, 40)
    monkeypatch.setattr(images, "MAX_PIXELS", 50)
    with pytest.raises(CorruptImageError, match="60 × 40 pixels, above the limit of 50"):
        probe.read(0).decode()


@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg 2000", "jpeg xl", "npy", "npz"])
def test_damage_is_one_error(kind: str) -> None:
    data = np.frombuffer(KINDS[kind](TWELVE), np.uint8)
    outcomes = set()
    for seed in range(40):
        bad = data.copy()
        places = np.random.default_rng(seed).integers(4, len(data), 4)
        bad[places] = seed
        for some in (bad.tobytes(), data[: len(data) * 2 // 3].tobytes()):
            try:
                outcomes.add(images.decode(some).mode)
            except CorruptImageError:
                outcomes.add("error")
    assert outcomes <= {"RGB", "error"}
    assert "error" in outcomes


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the extra: one sentence, never dark pictures."""
    real = deep.importlib.import_module

    def without(name: str) -> object:
        if name in ("tifffile", "imagecodecs"):
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(deep.importlib, "import_module", without)
    monkeypatch.setattr(deep, "_installed", lambda name: False)
    for data, what in (
        (png(TWELVE), "a PNG with 16 bits a value"),
        (tiff(TWELVE, photometric="rgb"), "a TIFF file with more than 8 bits"),
        (KINDS["jpeg xl"](TWELVE), "a JPEG XL file"),
    ):
        with pytest.raises(UsageError, match=rf'{what}.*pip install "neuronym\[images\]"'):
            open_probe([data]).read(0)
    grey = TWELVE[:, :, 0]
    expected = np.reshape(greys(grey.ravel(), 0, 4095), grey.shape)
    for data in (png(grey), tiff(grey)):  # Pillow keeps the bits of these
        assert (rgb(open_probe([data]))[:, :, 0] == expected).all()
    (tmp_path / "a.jxl").write_bytes(KINDS["jpeg xl"](TWELVE))
    with pytest.raises(UsageError, match=r'no images.*1 \.jxl, which needs "neuronym\[images\]"'):
        open_probe(tmp_path)


def test_arrays_in_folders(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", TWELVE)
    np.savez(tmp_path / "b.npz", image=TWELVE[:, :, 0], mask=TWELVE)
    probe = open_probe(tmp_path)
    assert [probe.image_id(i) for i in range(2)] == ["a.npy", "b.npz"]
    assert rgb(probe, 0)[0, 1].tolist() == [255, 255, 255]
    Image.new("RGB", (3, 4)).save(tmp_path / "c.png")  # photos beside saved features
    probe = open_probe(tmp_path)
    assert len(probe) == 1
    left = {".npy or .npz, which arrays=yes takes": 2}
    assert probe.facts()["left_out"] == left
    assert "Left out: 2 files (2 .npy or .npz" in sentences(probe.facts())[0]
    assert len(open_probe(f"folder:{escape(str(tmp_path))},arrays=yes")) == 3
    np.savez(tmp_path / "b.npz", x=TWELVE, y=TWELVE)
    np.save(tmp_path / "d.npy", np.zeros((5, 6, 7, 3)))
    np.save(tmp_path / "e.npy", np.array([{}]), allow_pickle=True)
    probe = open_probe(f"folder:{escape(str(tmp_path))},arrays=yes")
    for index, reason in (
        (1, "holds 2 arrays"),
        (3, "opened with arrays:PATH"),
        (4, "cannot be dec"),
    ):
        with pytest.raises(CorruptImageError, match=reason):
            probe.read(index).decode()


def test_a_stack_stays_on_the_disk(tmp_path: Path) -> None:
    stack = RNG.integers(0, 4096, (11, 5, 6, 3)).astype(np.uint16)
    stack[:, 0, 0] = 4095
    np.save(tmp_path / "a.npy", stack)
    probe = open_probe(f"arrays:{escape(str(tmp_path / 'a.npy'))}")
    assert len(probe) == 11
    assert probe.image_id(3) == "000003"
    expected = np.reshape(greys(stack[3].ravel(), 0, 4095), stack[3].shape)
    assert (rgb(probe, 3) == expected).all()
    inner = probe._probe._images
    assert isinstance(inner, np.memmap)
    assert (rgb(open_probe(np.load(tmp_path / "a.npy", mmap_mode="r")), 3) == expected).all()
    with pytest.raises(IndexError, match="11"):
        probe.image_id(11)


def test_a_stack_with_labels(tmp_path: Path) -> None:
    stack = RNG.integers(0, 256, (10, 4, 5), dtype=np.uint8)
    labels = np.arange(10)[:, None] % 3
    path = tmp_path / "set.npz"
    np.savez(path, train_images=stack, train_labels=labels, test_images=stack[:2])
    name = f"arrays:{escape(str(path))},key=train_images,labels=train_labels,names=cat|dog|bird"
    probe = open_probe(name)
    assert [probe.labels(i)[0].name for i in (0, 1, 2)] == ["cat", "dog", "bird"]
    assert [entry.name for entry in probe.vocabulary()] == ["bird", "cat", "dog"]
    assert (rgb(probe, 4)[:, :, 0] == stack[4]).all()
    some = open_probe(name, limit=3)
    assert sorted(some.labels(i)[0].name for i in range(3)) == ["bird", "cat", "dog"]
    with pytest.raises(UsageError, match="`key` to be given: set.npz holds train_images, "):
        open_probe(f"arrays:{escape(str(path))}")
    with pytest.raises(UsageError, match="`key` to be one of .*got 'x'"):
        open_probe(f"arrays:{escape(str(path))},key=x")
    with pytest.raises(UsageError, match="one for each of 10 images, got 2 × 4 × 5"):
        open_probe(f"arrays:{escape(str(path))},key=train_images,labels=test_images")
    with pytest.raises(UsageError, match="got an array of 10 × 1 of int64"):
        open_probe(f"arrays:{escape(str(path))},key=train_labels")
    with pytest.raises(UsageError, match="which is no file"):
        open_probe("arrays:nowhere.npy")
    path.write_bytes(b"PK\3\4 no zip")
    with pytest.raises(NeuronymError, match="cannot be read as an array"):
        open_probe(f"arrays:{escape(str(path))}")
    np.savez(path, x=stack)
    with np.load(path) as file, pytest.raises(UsageError, match="got NpzFile. Give one of its"):
        open_probe(file)


def test_what_the_run_says() -> None:
    probe = shown([TWELVE, TWELVE], bands="3,2,1")
    values, bands = sentences(probe.facts())
    assert values == (
        "Values that are not 8 bit: integers 0…4095 become black…white (found in 2 images that are "
        "not 8 bit)."
    )
    assert bands == "Of several bands, 3, 2, 1 are shown (red, green and blue)."
    plain = shown([FOUR[:, :, :3]], value_range="0,9")
    assert "they are 8 bit" in sentences(plain.facts())[0]
    assert sentences(open_probe([FOUR[:, :, :3]]).facts()) == []
