"""Every kind of image file that people have comes out as upright RGB, or as one clear error."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronym._core.errors import CorruptImageError, UsageError
from neuronym.inputs.probes import deep, images
from neuronym.inputs.probes.base import RawImage

RNG = np.random.default_rng(5)
COLOURS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    image = images.decode(data)
    assert image.mode == "RGB"
    assert image.size == images.size(data) == RawImage(data).size
    return np.asarray(image)


def png(values: np.ndarray, colour_type: int) -> bytes:
    """A 16-bit PNG, which Pillow itself cannot write in colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_rgb_is_exact(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert (pixels(encode(Image.fromarray(COLOURS), kind, **options)) == COLOURS).all()


def test_grey_and_bilevel() -> None:
    grey = COLOURS[:, :, 0]
    assert (pixels(encode(Image.fromarray(grey))) == grey[:, :, None]).all()
    black_and_white = Image.fromarray(grey > 127)
    assert black_and_white.mode == "1"
    expected = np.where(grey > 127, 255, 0)[:, :, None]
    assert (pixels(encode(black_and_white)) == expected).all()


def test_transparent_pixels_lie_on_white() -> None:
    rgba = np.dstack([COLOURS, np.full((5, 7), 255, np.uint8)])
    rgba[0, 0] = (10, 20, 30, 0)  # the colour that an editor left under a hole
    rgba[1, 2] = (0, 0, 0, 51)
    found = pixels(encode(Image.fromarray(rgba)))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[1, 2].tolist() == [204, 204, 204]
    assert (found[2:] == COLOURS[2:]).all()


def test_grey_with_alpha() -> None:
    la = np.dstack([COLOURS[:, :, 0], np.full((5, 7), 255, np.uint8)])
    la[3, 4] = (0, 0)
    image = Image.fromarray(la)
    assert image.mode == "LA"
    found = pixels(encode(image))
    assert found[3, 4].tolist() == [255, 255, 255]
    assert (found[0] == la[0, :, :1]).all()


def test_palette_with_and_without_transparency() -> None:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200])
    image.putpixel((0, 0), 0)
    image.putpixel((5, 3), 2)
    plain = pixels(encode(image))
    assert plain[0, 0].tolist() == [200, 10, 10]
    assert plain[3, 5].tolist() == [10, 10, 200]
    holed = pixels(encode(image, transparency=0))
    assert holed[0, 0].tolist() == [255, 255, 255]
    assert holed[1, 1].tolist() == [10, 200, 10]
    several = pixels(encode(image, transparency=bytes([255, 0, 51])))
    assert several[1, 1].tolist() == [255, 255, 255]
    assert several[3, 5].tolist() == [206, 206, 244]


def test_transparent_colour_of_an_rgb_file() -> None:
    found = pixels(encode(Image.fromarray(COLOURS), transparency=tuple(COLOURS[2, 3].tolist())))
    assert found[2, 3].tolist() == [255, 255, 255]
    assert (found[0] == COLOURS[0]).all()


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3)])
def test_16_bit_png(colour_type: int, channels: int) -> None:
    values = RNG.integers(0, 65536, (4, 6, channels)).astype(np.uint16)
    values[0, 0], values[0, 1] = 0, 65535
    found = pixels(png(values, colour_type))
    assert (found == np.broadcast_to(np.rint(values / 257), (4, 6, 3))).all()
    assert found[0, 0].tolist() == [0, 0, 0]
    assert found[0, 1].tolist() == [255, 255, 255]


def test_16_bit_with_alpha() -> None:
    values = RNG.integers(0, 65536, (4, 6, 4)).astype(np.uint16)
    values[:, :, 3] = 65535
    values[1, 1, 3] = 0
    found = pixels(png(values, 6))
    assert found[1, 1].tolist() == [255, 255, 255]
    assert (found[0] == np.rint(values[0, :, :3] / 257)).all()


@pytest.mark.parametrize("kind", ["TIFF", "PPM"])
def test_16_bit_grey_in_other_files(kind: str) -> None:
    values = RNG.integers(0, 65536, (4, 6)).astype(np.uint16)
    found = pixels(encode(Image.fromarray(values), kind))
    expected = values >> 8 if kind == "PPM" else np.rint(values / 257)  # PPM says what white is
    assert (found == expected[:, :, None]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 1.5, 255.0], [0, 2, 255]),
        ([0.0, 257.0, 65535.0], [0, 1, 255]),
        ([-1.0, 0.0, 3.0], [0, 64, 255]),
        ([-4.0, -4.0, -4.0], [0, 0, 0]),
        ([float("nan"), float("inf"), 1.0], [0, 0, 255]),
    ],
)
def test_float_files_are_scaled_by_their_range(values: list[float], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.float32))
    assert image.mode == "F"
    assert pixels(encode(image, "TIFF"))[0, :, 0].tolist() == expected


def test_32_bit_integers() -> None:
    image = Image.fromarray(np.array([[0, 100, 255]], np.int32))
    assert image.mode == "I"
    assert pixels(encode(image, "TIFF"))[0, :, 0].tolist() == [0, 100, 255]


def test_cmyk_with_and_without_adobes_marker() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    adobe = encode(red, "JPEG", quality=95)
    start = adobe.index(b"\xff\xee")  # the APP14 segment that says "Adobe"
    length = struct.unpack(">H", adobe[start + 2 : start + 4])[0]
    bare = adobe[:start] + adobe[start + 2 + length :]
    assert np.abs(pixels(adobe)[8, 8].astype(int) - [255, 0, 0]).max() < 8
    # Without the marker the stored values are inks themselves: the complement of Adobe's.
    assert np.abs(pixels(bare)[8, 8].astype(int) - [0, 0, 0]).max() < 8
    inks = Image.new("CMYK", (16, 16), (255, 0, 0, 255))  # what the decoder reads for red
    plain = encode(inks, "JPEG", quality=95)
    plain = plain[:start] + plain[start + 2 + length :]
    assert np.abs(pixels(plain)[8, 8].astype(int) - [255, 0, 0]).max() < 8


def turned(orientation: int) -> np.ndarray:
    """What a viewer shows of COLOURS with this EXIF orientation, from the EXIF specification."""
    rows_first = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0)}
    if orientation <= 4:
        down, across = rows_first[orientation]
        return COLOURS[:: -1 if down else 1, :: -1 if across else 1]
    flat = COLOURS.transpose(1, 0, 2)
    down, across = {5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    return flat[:: -1 if down else 1, :: -1 if across else 1]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(Image.fromarray(COLOURS), kind, exif=exif, **options)
    assert (pixels(data) == turned(orientation)).all()
    in_memory = images.to_rgb(Image.open(io.BytesIO(data)))
    assert (np.asarray(in_memory) == turned(orientation)).all()


def test_exif_of_jpeg_and_bad_exif() -> None:
    image = Image.fromarray(np.zeros((24, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(image, "JPEG", exif=exif)
    assert images.size(data) == images.decode(data).size == (24, 40)
    for value in (0, 9, 77):
        exif[0x0112] = value
        assert pixels(encode(image, "JPEG", exif=exif)).shape == (24, 40, 3)
    broken = encode(image, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xffnonsense")
    assert pixels(broken).shape == (24, 40, 3)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (9, 6), colour) for colour in ("red", "blue", "green")]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert pixels(data)[2, 3].tolist() == [255, 0, 0], kind


def test_one_pixel_and_thin() -> None:
    for size in ((1, 1), (1, 3000), (3000, 1)):
        data = encode(Image.new("RGB", size, "navy"))
        assert pixels(data)[-1, -1].tolist() == [0, 0, 128]


def test_huge_jpeg_comes_back_reduced_and_keeps_its_size() -> None:
    data = encode(Image.new("L", (12_000, 9_000), 77), "JPEG", quality=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = images.decode(data)
    assert images.size(data) == (12_000, 9_000)
    assert image.size == (6_000, 4_500)
    assert image.getpixel((3000, 2000)) == (77, 77, 77)


def test_large_images_are_reduced_by_a_whole_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "EXACT_PIXELS", 100)
    step = np.repeat(np.arange(0, 240, 12, dtype=np.uint8), 2)[None].repeat(30, 0)
    data = encode(Image.fromarray(step))
    assert images.size(data) == (40, 30)
    found = images.decode(data)
    assert found.size == (10, 8)  # 1/4: the smallest power of two that leaves at most 100
    assert found.getpixel((0, 0)) == (6, 6, 6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "1", "P", "I;16", "F", "CMYK"])
def test_tiles_do_not_show(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(7).integers(0, 256, (29, 43, 4), dtype=np.uint8)
    if mode in ("I;16", "F"):
        kind, scale = (np.uint16, 200) if mode == "I;16" else (np.float32, 0.7)
        image = Image.fromarray((values[:, :, 0] * scale).astype(kind))
    elif mode in ("P", "1", "L"):
        image = Image.fromarray(values[:, :, 0]).convert(mode)
    else:
        image = Image.fromarray(values).convert(mode)
    assert image.mode == mode
    data = encode(image, "TIFF" if mode in ("F", "CMYK") else "PNG")
    exact = images.decode(data)
    monkeypatch.setattr(images, "_TILE", 8)
    assert (np.asarray(images.decode(data)) == np.asarray(exact)).all()
    monkeypatch.setattr(images, "EXACT_PIXELS", 100)
    expected = exact.reduce(4)
    assert images.decode(data).size == expected.size == (11, 8)
    assert (np.asarray(images.decode(data)) == np.asarray(expected)).all()


def test_one_huge_image_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "EXACT_PIXELS", 100)
    data = encode(Image.new("L", (11, 13)))
    small = encode(Image.new("L", (3, 5)))
    with ThreadPoolExecutor(1) as pool:
        with images._ONE_HUGE:
            assert images.decode(small).size == (3, 5)
            waiting = pool.submit(images.decode, data)
            with pytest.raises(TimeoutError, match=r"^$"):
                waiting.result(0.1)
        assert waiting.result(10).size == (6, 7)


def test_bombs_are_refused() -> None:
    image = encode(Image.new("L", (3, 3)))
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + head))
    bomb = image[:16] + head + crc + image[33:]
    for read in (images.decode, images.size):
        with pytest.raises(CorruptImageError, match="100000 × 100000 pixels, above the limit"):
            read(bomb)


def test_formats_with_hungry_decoders_have_a_lower_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(images.MAX_PIXELS_OF, "WEBP", 50)
    image = Image.new("RGB", (7, 11))
    assert images.size(encode(image, "PNG")) == (7, 11)
    with pytest.raises(CorruptImageError, match="7 × 11 pixels, above the limit of 50"):
        images.size(encode(image, "WEBP"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_files(kind: str) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    data = encode(noise, kind)
    with pytest.raises(CorruptImageError, match=r"cannot be decoded: \w+"):
        images.decode(data[: len(data) * 2 // 3])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is an empty file"),
        (b"Just some text, sorry.", "is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
        (b"\xff\xd8\xff\xe0nothing", "cannot be decoded|is not an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "cannot be decoded"),
    ],
)
def test_not_images(data: bytes, reason: str) -> None:
    for read in (images.decode, images.size):
        with pytest.raises(CorruptImageError, match=reason):
            read(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damage_gives_an_image_or_one_error(kind: str) -> None:
    rng = np.random.default_rng(11)
    original = np.frombuffer(encode(Image.fromarray(COLOURS).resize((40, 30)), kind), np.uint8)
    outcomes = set()
    for _ in range(60):
        data = original.copy()
        places = rng.integers(0, min(len(data), 300), 3)
        data[places] = rng.integers(0, 256, 3)
        try:
            outcomes.add(images.decode(data.tobytes()).mode)
        except CorruptImageError:
            outcomes.add("error")
    assert outcomes <= {"RGB", "error"}
    assert "error" in outcomes


def test_threads_agree_and_no_warning_leaks() -> None:
    palette = Image.new("P", (31, 17), 1)
    palette.putpalette([200, 10, 10, 10, 200, 10])
    tiff = encode(Image.fromarray(COLOURS), "TIFF")
    bad_tag = tiff.replace(struct.pack("<HHI", 0x0115, 3, 1), struct.pack("<HHI", 0x0115, 3, 9))
    assert bad_tag != tiff
    files = [encode(palette, transparency=bytes([0, 99])), tiff, bad_tag, b"no image"] * 40

    def outcome(data: bytes) -> bytes:
        try:
            return images.decode(data).tobytes()
        except CorruptImageError:
            return b"error"

    before = [outcome(data) for data in files]
    with ThreadPoolExecutor(8) as threads:  # warnings are errors in tests
        assert list(threads.map(outcome, files)) == before
    assert len({b"error", *before}) >= 3


@pytest.mark.parametrize("first", [False, True], ids=["HWC", "CHW"])
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_arrays_and_tensors(kind: str, first: bool) -> None:
    torch = pytest.importorskip("torch")
    values = COLOURS.transpose(2, 0, 1).copy() if first else COLOURS

    def given(array: np.ndarray) -> object:
        return torch.from_numpy(array) if kind == "tensor" else array

    for array in (values, (values / 255).astype(np.float32), values.astype(np.float64)):
        assert (np.asarray(images.to_rgb(given(array))) == COLOURS).all()
        assert images.size_of(given(array)) == (7, 5)
    assert (np.asarray(images.to_rgb(given(values.astype(np.int64)))) == COLOURS).all()


def test_other_arrays() -> None:
    torch = pytest.importorskip("torch")
    grey = COLOURS[:, :, 1]
    for array in (grey, grey[None], grey[:, :, None], grey.astype(np.uint16) * 257):
        assert (np.asarray(images.to_rgb(array)) == grey[:, :, None]).all()
    assert np.asarray(images.to_rgb(grey > 99)).max() == 255
    half = torch.tensor([[0.0, 0.5, 1.0]], dtype=torch.bfloat16, requires_grad=True)
    assert np.asarray(images.to_rgb(half))[0, :, 0].tolist() == [0, 128, 255]
    # Three rows of three pixels: arrays have their channels last, tensors first.
    square = np.zeros((3, 3, 3), np.uint8)
    square[0, :, :] = 200
    assert images.to_rgb(square).getpixel((1, 0)) == (200, 200, 200)
    assert images.to_rgb(torch.from_numpy(square)).getpixel((1, 2)) == (200, 0, 0)


def test_arrays_that_are_no_images() -> None:
    with pytest.raises(UsageError, match="values in 0…1 or 0…255, got -2.1…2.6.*before normal"):
        images.to_rgb(np.array([[-2.1, 2.6]]))
    assert images.to_rgb(np.array([[np.nan, 1.0]])).getpixel((0, 0)) == (0, 0, 0)
    with pytest.raises(CorruptImageError, match="no finite values"):
        images.to_rgb(np.array([[np.nan, np.inf]]))
    with pytest.raises(UsageError, match=r"1 to 4 channels, got the shape \[5, 7, 6\]"):
        images.to_rgb(np.zeros((5, 7, 6)))
    with pytest.raises(UsageError, match=r"got the shape \[2, 5, 7, 3\]"):
        images.to_rgb(np.zeros((2, 5, 7, 3)))
    with pytest.raises(UsageError, match="a PIL image, an array, a tensor.*got dict"):
        images.to_rgb({})
    with pytest.raises(CorruptImageError, match="no pixels"):
        images.to_rgb(np.zeros((0, 7, 3), np.uint8))


def test_content_hash_is_of_content() -> None:
    image = Image.fromarray(COLOURS)
    assert RawImage(image).content_hash == RawImage(COLOURS).content_hash
    other = COLOURS.copy()
    other[4, 6, 2] ^= 1
    assert RawImage(other).content_hash != RawImage(COLOURS).content_hash
    assert RawImage(encode(image)).content_hash != RawImage(encode(image, "BMP")).content_hash
    assert RawImage(image).size == (7, 5)


def test_files_that_are_too_large_or_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(Image.fromarray(COLOURS)))
    assert images.decode(images.read_file(path)).size == (7, 5)
    with pytest.raises(CorruptImageError, match="cannot be read: Is a directory"):
        images.read_file(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(CorruptImageError, match="is a pipe, not a file"):
        images.read_file(tmp_path / "pipe.png")
    with pytest.raises(CorruptImageError, match="cannot be read: embedded null"):
        images.read_file(Path("a\0b.png"))
    monkeypatch.setattr(deep, "MAX_BYTES", 20)
    with pytest.raises(CorruptImageError, match="is larger than 0 MB"):
        images.read_file(path)
