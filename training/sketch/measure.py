"""The proxies of docs/encoders.md: `python -m training.sketch.measure --photographs FOLDER`.

FOLDER holds one photograph of each ImageNet class, in the order of the classes; --camvid a folder
with images/ and masks/. Photographs are for measuring alone and go nowhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import skimage
import torch
from PIL import Image
from scipy.stats import rankdata

from neuronym._core.torchvision_compat import imagenet_names
from neuronym.inputs.encoders.base import Encoder, embed_concepts, open_encoder

#: Everyday kinds, by names of classes.
TEN = {
    "airplane": "airliner,warplane",
    "automobile": "beach wagon,cab,convertible,jeep,limousine,minivan,Model T,racer,sports car",
    "bird": "cock,hen,ostrich,goldfinch,junco,robin,jay,magpie,kite,bald eagle,quail,goose,pelican",
    "cat": "tabby,tiger cat,Persian cat,Siamese cat,Egyptian cat",
    "deer": "hartebeest,impala,gazelle",
    "dog": "Chihuahua,beagle,bloodhound,Saluki,Airedale,Irish setter,Doberman,boxer,pug,Samoyed",
    "frog": "bullfrog,tree frog,tailed frog",
    "horse": "sorrel,horse cart",
    "ship": "container ship,liner,aircraft carrier,schooner,pirate,fireboat,catamaran,yawl",
    "truck": "fire engine,garbage truck,moving van,pickup,tow truck,trailer truck",
}
#: Parts of photographs that show a texture: class, and left, top, right, bottom of 224 pixels.
TEXTURES = """
striped: zebra 0 60 130 190, tiger 100 60 200 160, zebra 40 110 140 210, worm fence 60 60 200 200
honeycombed: honeycomb 30 60 224 220, honeycomb 100 100 200 200
meshed: chainlink fence 0 40 100 140, chainlink fence 124 100 224 200, strainer 100 60 200 160
knitted: cardigan 60 60 180 180, dishrag 20 20 200 200, mitten 60 50 180 150, sock 40 60 140 160
woven: doormat 0 0 224 224, doormat 10 110 110 210, hamper 60 0 180 70, hamper 0 150 224 224
spotted: leopard 100 110 224 224, dalmatian 40 60 140 160, snow leopard 0 10 200 140
scaly: diamondback 20 0 224 100, boa constrictor 60 80 224 180, green lizard 0 0 224 224
bubbly: bubble 60 60 200 190, bubble 20 20 220 220
spiralled: coil 10 10 214 214, snail 30 50 150 180, chambered nautilus 10 10 150 214
pleated: hoopskirt 60 60 160 220, theater curtain 40 20 220 120, shower curtain 40 40 140 200
bumpy: custard apple 20 40 200 210, cauliflower 20 20 200 200, artichoke 0 0 150 150
fibrous: hay 0 120 224 224, feather boa 0 120 100 220, thatch 0 0 224 80
grooved: brain coral 50 20 224 160, radiator 80 140 170 210, tile roof 50 90 190 190
wrinkled: quilt 0 60 200 224, bath towel 40 30 180 200, pillow 0 0 224 224
"""
#: Photographs of surfaces that come with scikit-image, and where in them.
SURFACES = {
    "brick": [("brick.png", None)],
    "grass": [("grass.png", None), ("camera.png", (374, 360, 512, 498))],
    "gravel": [("gravel.png", None)],
    "wood": [("coffee.png", (440, 0, 590, 150)), ("coffee.png", (0, 270, 130, 400))],
    "fabric": [("astronaut.png", (90, 280, 270, 460))],
    "fur": [("chelsea.png", (180, 0, 290, 110)), ("chelsea.png", (0, 150, 120, 290))],
}
COLOURS = {
    "black": "000000 141416 1c1a18",
    "white": "ffffff f8f8ff faf0e6",
    "grey": "808080 a9a9a9 696969",
    "red": "ff0000 b22222 dc143c",
    "green": "008000 228b22 32cd32",
    "yellow": "ffff00 ffd700 f0e650",
    "blue": "0000ff 1e90ff 4169e1",
    "brown": "8b4513 654321 a0522d",
    "purple": "800080 9400d3 663399",
    "pink": "ffc0cb ff69b4 ffb6c1",
    "orange": "ffa500 ff8c00 ff7814",
}
AREAS = {"road": 3, "sky": 0, "building": 1, "tree": 5}
Shown = dict[str, list[Image.Image]]


def parts(
    image: Image.Image, count: int, low: float, rng: np.random.Generator
) -> list[Image.Image]:
    """Square parts of an image, `low` to 1 of its shorter side."""
    found = []
    for _ in range(count):
        side = int(min(image.size) * rng.uniform(low, 1))
        x, y = (int(rng.integers(length - side + 1)) for length in image.size)
        found.append(image.crop((x, y, x + side, y + side)))
    return found


def surfaces() -> Shown:
    """Parts of scikit-image's photographs of surfaces."""
    rng, folder = np.random.default_rng(0), Path(skimage.__file__).parent / "data"
    shown: Shown = {}
    for word, files in SURFACES.items():
        for file, box in files:
            image = Image.open(folder / file).convert("RGB")
            whole = image.crop(box) if box else image
            shown.setdefault(word, []).extend(parts(whole, 12 // len(files), 0.4, rng))
    return shown


def textures(photographs: dict[str, Image.Image]) -> Shown:
    """Parts of photographs that show a texture, each also mirrored."""
    shown: Shown = {}
    for line in TEXTURES.strip().splitlines():
        word, places = line.split(": ")
        for place in places.split(", "):
            name, *box = place.rsplit(" ", 4)
            part = photographs[name].crop(tuple(map(int, box)))
            shown.setdefault(word, []).extend([part, part.transpose(0)])
    return shown


def small(photographs: dict[str, Image.Image], side: int) -> Shown:
    """Everyday kinds in few pixels, some two dozen of each."""
    rng, shown = np.random.default_rng(1), {}
    for word, names in TEN.items():
        listed = names.split(",")
        each = max(1, round(24 / len(listed)))
        images = [i for name in listed for i in parts(photographs[name], each, 0.75, rng)]
        shown[word] = [i.resize((side, side), Image.Resampling.LANCZOS) for i in images]
    return shown


def colours() -> Shown:
    """Flat colours."""
    return {
        word: [Image.new("RGB", (224, 224), f"#{value}") for value in values.split()]
        for word, values in COLOURS.items()
    }


def embedded(encoder: Encoder, images: Sequence[Image.Image]) -> np.ndarray:
    """Unit vectors `[image, dim]`."""
    rows = []
    for start in range(0, len(images), 8):
        pixels = [encoder.preprocess.pixels(image) for image in images[start : start + 8]]
        rows.append(encoder.encode_images(encoder.preprocess.normalise(np.stack(pixels))).numpy())
    return np.concatenate(rows)


def named_right(encoder: Encoder, shown: Shown) -> float:
    """Mean over the words of the share of their images whose nearest word they are."""
    words = embed_concepts(encoder, list(shown))
    hits = [
        (embedded(encoder, images) @ words.T).argmax(1) == k
        for k, images in enumerate(shown.values())
    ]
    return float(np.mean([hit.mean() for hit in hits]))


def areas(encoder: Encoder, folder: Path) -> dict[str, tuple[float, float]]:
    """By word: Spearman of score and mask's area, and AUPRC for more than the median area."""
    files = sorted((folder / "images").iterdir())[::5]
    vectors = embedded(encoder, [Image.open(file).convert("RGB") for file in files])
    masks = {file.stem: file for file in (folder / "masks").iterdir()}
    ids = [np.asarray(Image.open(masks[file.stem])) for file in files]
    found = {}
    for word, number in AREAS.items():
        score = vectors @ embed_concepts(encoder, [word])[0]
        area = np.array([(mask == number).mean() for mask in ids])
        order = np.argsort(-score, kind="stable")
        large = (area > np.median(area))[order]
        precision = np.cumsum(large) / np.arange(1, len(large) + 1)
        rho = np.corrcoef(rankdata(score), rankdata(area))[0, 1]
        found[word] = float(rho), float(precision[large].mean())
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m training.sketch.measure", description=__doc__)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--camvid", type=Path)
    parser.add_argument("--encoder", action="append", help="default: conse and sketch")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sets = {"surfaces": surfaces(), "colours": colours()}
    names, photographs = imagenet_names(), {}
    if given.photographs:
        files = sorted(given.photographs.iterdir())
        images = [Image.open(file).convert("RGB") for file in files]
        photographs = dict(zip(names, images, strict=True))
        sets |= {"textures": textures(photographs)}
        sets |= {f"ten kinds, {side} pixels": small(photographs, side) for side in (32, 20)}
        sets |= {"class names": {name: [image] for name, image in photographs.items()}}
    for spec in given.encoder or ["conse", "sketch"]:
        encoder = open_encoder(spec)
        print(spec)
        for what, shown in sets.items():
            count = sum(map(len, shown.values()))
            print(
                f"  {what}: {named_right(encoder, shown):.1%} ({len(shown)} words, {count} images)"
            )
        if given.camvid:
            for word, (rho, precision) in areas(encoder, given.camvid).items():
                print(f"  {word}: Spearman {rho:.2f}, AUPRC {precision:.2f}")


if __name__ == "__main__":
    main()
