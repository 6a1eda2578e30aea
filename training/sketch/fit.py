"""From what the network sees of drawings to the weights of the encoder `sketch`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from skimage.color import rgb2lab

from neuronym.inputs.concepts.english import english
from neuronym.inputs.encoders.sentences import Sentences
from training.sketch import drawings, wordnet
from training.sketch.pictures import Picture

#: Weight of a kind, by how many steps it is above the class.
STEP = 0.7
#: How far the words' common directions are evened out: 0 leaves them, POWER ½ is full whitening.
FLOOR, POWER = 0.3, 0.25
#: Penalty of the regression: strong, since photographs are not drawings.
RIDGE = 50.0
#: How many statistics there are of each depth.
WIDTHS = (48, 96, 176, 240, 416, 704, 1280)
#: Weights of looks, of colours, and of kinds with and without fine detail.
MIX = (0.35, 0.15, 0.03, 0.6)


class Words:
    """Centred, partly whitened sentence embeddings, each text embedded once.

    Attributes:
        mean: of English words.
        whiten: `[dim, dim]`, (C + FLOOR·mean eigenvalue)^−POWER, C the covariance of those words.
    """

    def __init__(self, sentences: Sentences) -> None:
        self._sentences, self._known = sentences, {}
        plain = self._plain(english(10_000))
        self.mean = plain.mean(0)
        values, axes = np.linalg.eigh(np.cov((plain - self.mean).T))
        self.whiten = (axes * (values + FLOOR * values.mean()) ** -POWER) @ axes.T

    def _plain(self, texts: Sequence[str]) -> np.ndarray:
        new = sorted({text for text in texts if text not in self._known})
        if new:
            for text, vector in zip(new, _unit(self._sentences.encode(new).numpy()), strict=True):
                self._known[text] = vector
        return np.stack([self._known[text] for text in texts])

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors `[text, dim]`."""
        return _unit((self._plain(texts) - self.mean) @ self.whiten)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def palette() -> np.ndarray:
    """The share of each basic colour in each of 16³ cells of sRGB, `[cell, colour]`."""
    level = (np.arange(16) + 0.5) / 16
    cells = np.stack(np.meshgrid(level, level, level, indexing="ij"), -1).reshape(-1, 1, 3)
    cells = rgb2lab(cells)
    near = []
    for shades in drawings.colours().values():
        near.append(np.linalg.norm(cells - rgb2lab(shades[None]), axis=-1).min(1))
    score = -np.stack(near, 1) / 5
    score = np.exp(score - score.max(1, keepdims=True))
    return score / score.sum(1, keepdims=True)


def classes(names: tuple[str, ...], words: Words, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """(name, kinds) of each class as vectors, `[class, dim]` each."""
    known = wordnet.kinds(names, file)
    words([word for way in known for synset in way for word in synset])
    above = np.zeros((len(names), len(words.mean)))
    for row, way in zip(above, known, strict=True):
        for step, synset in enumerate(way):
            row += STEP**step * words(synset).mean(0)
    return words(names), above


def bridge(rows: np.ndarray, pictures: Sequence[Picture], words: Words) -> dict[str, np.ndarray]:
    """Ridge regression from statistics, standardised, to the mean vector of a picture's words.

    min Σ_i |Bᵀs_i − t_i|² + RIDGE·|B|², in closed form; s_i and t_i less their means. Every depth
    counts alike: the statistics of one are divided by the root of their number.

    Args:
        rows: statistics `[picture, statistic]`.
        pictures: what they are of.
        words: gives the vectors.
    """
    centre, scale = rows.mean(0), rows.std(0) + 1e-3
    scale = scale * np.repeat(np.sqrt(WIDTHS), WIDTHS)
    standard = (rows - centre) / scale
    words([word for picture in pictures for word in picture.words])
    aims = np.stack([words(picture.words).mean(0) for picture in pictures])
    aims -= aims.mean(0)
    # Half the weight for things: the classifier knows photographed ones better than drawings do.
    aims *= np.array([0.5 if picture.group == "object" else 1 for picture in pictures])[:, None]
    aims -= aims.mean(0)
    gram = standard.T @ standard + RIDGE * np.eye(standard.shape[1])
    return {"centre": centre, "scale": scale, "bridge": np.linalg.solve(gram, standard.T @ aims)}


def weights(
    rows: np.ndarray, pictures: Sequence[Picture], words: Words, names: tuple[str, ...], file: Path
) -> dict[str, torch.Tensor]:
    """Everything that `sketch.safetensors` holds."""
    own, above = classes(names, words, file)
    found = bridge(rows, pictures, words)
    found |= {"names": own, "kinds": above, "mean": words.mean, "whiten": words.whiten}
    found |= {"palette": palette(), "colours": words(list(drawings.colours()))}
    exact = ("centre", "scale", "mean", "whiten")
    kept = {
        key: torch.tensor(value, dtype=torch.float32 if key in exact else torch.float16)
        for key, value in found.items()
    }
    return kept | {"mix": torch.tensor(MIX)}


def right(
    found: dict[str, np.ndarray], rows: np.ndarray, pictures: Sequence[Picture], words: Words
):
    """Share of pictures of each group whose nearest word of the group is one of its own."""
    vectors = ((rows - found["centre"]) / found["scale"]) @ found["bridge"]
    for group in sorted({picture.group for picture in pictures}):
        places = [k for k, picture in enumerate(pictures) if picture.group == group]
        options = sorted({word for k in places for word in pictures[k].words})
        best = (vectors[places] @ words(options).T).argmax(1)
        hits = [options[b] in pictures[k].words for b, k in zip(best, places, strict=True)]
        yield group, len(options), len(places), float(np.mean(hits))
