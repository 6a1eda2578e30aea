"""Crops of the photographs that come inside scikit-image's package, labelled by hand.

The files belong to scikit-image and are read where it is installed; nothing is downloaded. Without
the package the probe is the drawn images alone.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from neuronym_drawings.canvas import Note
from neuronym_drawings.noise import SIZE

# File, then per crop: left, top, side in pixels, and what it shows. c colour, t texture,
# m material, o object, p part, s scene; _ stands for a space.
_CROPS = """
astronaut.png
  0 0 512      o:astronaut o:person c:orange
  130 0 190    o:face p:head p:hair p:mouth o:person
  0 20 140     o:flag m:fabric t:striped t:pleated
  352 0 160    o:rocket c:white
  310 320 192  o:helmet c:black
  90 280 180   m:fabric c:orange t:wrinkled
  40 110 330   o:astronaut c:orange p:torso
chelsea.png
  80 0 300     o:cat p:head p:eye p:nose m:fur
  121 60 110   o:cat p:eye m:fur
  272 40 110   o:cat p:eye m:fur
  195 180 120  o:cat p:nose m:fur
  180 0 110    o:cat m:fur t:striped c:brown
  0 60 150     o:cat p:ear m:fur
  100 40 250   o:cat o:face p:eye p:nose m:fur
coffee.png
  90 0 400     o:cup o:coffee o:saucer o:spoon o:table c:red
  150 0 270    o:cup o:coffee c:red c:brown
  0 270 130    o:table m:wood c:brown
  300 220 160  o:spoon o:saucer m:metal c:red
  170 30 170   o:coffee o:cup c:brown c:white
  440 0 150    m:wood o:table c:brown c:orange
  60 160 240   o:saucer o:cup p:handle c:red
camera.png
  0 0 512      o:person o:camera o:tripod o:grass s:field
  150 20 210   o:person p:head p:hair o:camera
  190 190 310  o:tripod p:leg o:grass
  320 80 140   o:building o:tower o:sky
  374 360 138  o:grass m:grass
  20 140 200   o:person p:arm c:black m:fabric
  300 0 130    o:sky c:grey
coins.png
  0 0 303      o:coin c:grey m:metal
  60 20 100    o:coin o:circle m:metal
  180 100 130  o:coin o:circle m:metal
  280 0 104    o:coin o:circle m:metal
  10 220 83    o:coin o:circle m:metal
  290 140 94   o:coin o:circle m:metal
rocket.jpg
  110 0 427    o:rocket o:tower o:sky s:night c:blue
  230 90 200   o:rocket o:sky c:blue
  0 40 200     o:tower o:sky t:meshed c:blue
  150 250 170  o:lamp o:rocket o:tower s:night
  370 0 110    o:sky c:blue s:night
  400 130 240  o:tower o:sky c:blue
hubble_deep_field.jpg
  60 0 872     o:galaxy o:sky c:black t:sprinkled s:night
  0 0 400      o:galaxy o:sky c:black s:night
  520 280 300  o:galaxy o:sky c:black s:night
  300 500 372  o:galaxy o:sky c:black s:night
  700 0 260    o:galaxy o:sky c:black s:night
ihc.png
  0 0 512      o:tissue o:cell c:brown t:veined
  240 0 260    o:tissue o:cell c:brown t:fibrous
  230 260 250  o:tissue o:cell t:blotchy
  0 0 240      o:tissue o:cell c:brown t:fibrous
moon.png
  0 0 512      o:moon c:grey t:pitted
  50 20 140    o:moon o:crater c:grey
  270 40 150   o:moon o:crater c:grey
  170 370 140  o:moon c:grey t:blotchy
motorcycle_left.png
  110 0 500    o:motorcycle p:wheel p:seat p:handlebar s:garage c:red
  241 0 500    o:motorcycle p:wheel p:handlebar s:garage c:red
  510 260 220  o:motorcycle p:wheel o:wheel c:red
  20 250 220   o:motorcycle p:wheel o:wheel c:black
  230 180 190  o:motorcycle o:engine m:metal c:red
  200 90 180   o:motorcycle p:seat m:leather c:red c:black
  400 30 180   o:motorcycle p:handlebar p:headlight
  60 0 130     m:wood o:door c:brown
  560 0 180    o:shelf o:box s:garage
  330 400 100  o:floor m:concrete c:grey
page.png
  0 0 191      o:text o:page m:paper t:lined
  190 0 191    o:text o:page m:paper t:lined
  60 60 100    o:text o:letter m:paper
text.png
  0 0 172      o:text m:paper t:lined
  140 0 172    o:text m:paper t:lined
  276 0 172    o:text m:paper t:lined
retina.jpg
  0 0 1411     o:eye p:retina o:circle c:orange
  40 460 380   p:retina t:veined c:orange
  350 820 420  p:retina t:veined c:orange
  260 100 420  p:retina t:veined c:orange
  520 520 400  p:retina c:orange
brick.png
  0 0 512      m:brick o:wall c:grey t:grid
  0 0 220      m:brick o:wall c:grey
  200 250 250  m:brick o:wall c:grey
grass.png
  0 0 512      m:grass o:grass t:matted c:grey
  40 60 220    m:grass o:grass o:leaf c:grey
  260 250 240  m:grass o:grass t:matted c:grey
gravel.png
  0 0 512      m:gravel m:stone t:bumpy c:grey
  0 0 200      m:gravel m:stone c:grey
  250 200 250  m:gravel m:stone c:grey
horse.png
  36 0 328     o:horse p:leg p:tail p:head c:black
  250 0 150    o:horse p:head p:ear c:black
  0 60 200     o:horse p:tail p:leg c:black
cell.png
  0 60 550     o:cell o:circle c:grey
  320 270 200  o:cell o:circle c:white
"""
_CATEGORIES = {
    "c": "colour",
    "t": "texture",
    "m": "material",
    "o": "object",
    "p": "part",
    "s": "scene",
}


@dataclass(frozen=True)
class Crop:
    """One square part of a photograph."""

    file: str
    number: int
    box: tuple[int, int, int, int]
    labels: tuple[Note, ...]

    @property
    def id(self) -> str:
        """Its id in the probe."""
        return f"photo/{self.file.split('.')[0]}/{self.number:02d}"

    def pixels(self) -> np.ndarray:
        """The crop, uint8 `[SIZE, SIZE, 3]`."""
        folder = photograph_folder()
        if folder is None:
            raise FileNotFoundError(self.file)
        with Image.open(folder / self.file) as file:
            image: Image.Image = file
            if image.mode == "RGBA":
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            part = image.convert("RGB").crop(self.box)
        return np.asarray(part.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def photograph_folder() -> Path | None:
    """Where the installed scikit-image keeps its pictures; None if it is not installed."""
    try:
        spec = importlib.util.find_spec("skimage")
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "data"


@functools.cache
def _table() -> tuple[Crop, ...]:
    found, file, number = [], "", 0
    for line in _CROPS.strip().splitlines():
        if not line.startswith(" "):
            file, number = line.strip(), 0
            continue
        left, top, side, *words = line.split()
        pairs = [word.replace("_", " ").split(":") for word in words]
        labels = tuple(sorted(Note(_CATEGORIES[kind], name) for kind, name in pairs))
        x, y, s = int(left), int(top), int(side)
        found.append(Crop(file, number, (x, y, x + s, y + s), labels))
        number += 1
    return tuple(found)


def crops() -> tuple[Crop, ...]:
    """The crops of the photographs that are present here."""
    folder = photograph_folder()
    if folder is None:
        return ()
    present = {crop.file for crop in _table() if (folder / crop.file).is_file()}
    return tuple(crop for crop in _table() if crop.file in present)
