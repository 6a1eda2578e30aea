"""How the weights of the encoder sketch are made: pictures, kinds of classes, the regression."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training.sketch import fit, wordnet
from training.sketch.pictures import Picture, catalogue

from neuronym.inputs.encoders.sketch import stored

LINES = """  1 This software and database is being provided to you
00000010 03 n 01 thing 0 000 | what is
00000020 03 n 02 animal 0 beast 0 001 @ 00000010 n 0000 | that lives
00000030 05 n 01 bird 0 001 @ 00000020 n 0000 | that flies
00000040 05 n 02 crane 0 long_neck 0 001 @ 00000030 n 0000 | a bird
00000050 06 n 01 artifact 0 001 @ 00000010 n 0000 | made
00000060 06 n 01 lifting_device 0 001 @ 00000050 n 0000 | it lifts
00000070 06 n 01 crane 0 001 @ 00000060 n 0000 | a machine
00000080 05 n 01 jay 0 001 @ 00000030 n 0000 | another bird
00000090 06 n 01 Drum 0 001 @ 00000050 n 0000 | it sounds
"""


class Letters:
    """Sentence embeddings from letters."""

    def encode(self, texts):
        rows = [[text.count(letter) + 0.1 for letter in "aeinorst"] for text in texts]
        return torch.tensor(rows, dtype=torch.float32)


@pytest.fixture(scope="module")
def words():
    return fit.Words(Letters())


def test_classes_of_one_name_are_told_by_their_order(tmp_path) -> None:
    file = tmp_path / "data.noun"
    file.write_text(LINES, "latin-1")
    found = wordnet.kinds(("crane", "crane", "jay", "drum", "unheard of"), file)
    birds = [("bird",), ("animal", "beast"), ("thing",)]
    assert found == [birds, [("lifting device",)], birds, [], []]
    assert wordnet.kinds(("crane", "jay"), file)[0] in (birds, [("lifting device",)])
    with pytest.raises(SystemExit, match="nowhere is not there: apt-get install wordnet-base"):
        wordnet.nouns(tmp_path / "nowhere")


def test_more_than_a_fifth_of_the_ways_are_held_out() -> None:
    pictures = catalogue()
    ways = {picture.way: picture.held_out for picture in pictures}
    assert 0.2 <= sum(ways.values()) / len(ways) <= 0.35
    for group in ("texture", "material", "object", "scene"):
        assert {p.held_out for p in pictures if p.group == group} == {True, False}
    assert len({(p.group, p.way, p.number) for p in pictures}) == len(pictures)


@pytest.mark.parametrize("group", ["texture", "material", "object", "scene"])
def test_pictures_are_drawn_the_same_again(group) -> None:
    chosen = [p for p in catalogue() if p.group == group and p.number < 2][::37]
    for picture in chosen:
        pixels = picture.pixels()
        assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)
        assert np.array_equal(pixels, picture.pixels())
        other = Picture(group, picture.way, picture.words, picture.number + 100).pixels()
        assert np.abs(pixels.astype(int) - other).mean() > 1


def test_the_regression(words, monkeypatch) -> None:
    monkeypatch.setattr(fit, "WIDTHS", (2, 5))
    rng = np.random.default_rng(1)
    rows = rng.normal(3, [1, 2, 5, 1, 1, 4, 9], (23, 7))
    shown = [("striped", "lined"), ("dog",), ("stone",)]
    groups = ("texture", "object", "material")
    pictures = [Picture(groups[k % 3], f"way/{k}", shown[k % 3], 0) for k in range(23)]
    found = fit.bridge(rows, pictures, words)
    # From the definition: by gradient, the sum of squares and penalty has its least value there.
    standard = (rows - found["centre"]) / found["scale"]
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(standard.var(0), [1 / 2] * 2 + [1 / 5] * 5, rtol=0.01)
    aims = np.stack([np.mean([words([w])[0] for w in p.words], 0) for p in pictures])
    aims -= aims.mean(0)
    aims[[p.group == "object" for p in pictures]] *= 0.5
    aims -= aims.mean(0)
    slope = standard.T @ (standard @ found["bridge"] - aims) + fit.RIDGE * found["bridge"]
    np.testing.assert_allclose(slope, 0, atol=1e-9)


def test_words_are_centred_and_evened_out(words) -> None:
    found = words(["striped", "dog", "striped"])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert np.array_equal(found[0], found[2])
    assert np.allclose(words.whiten, words.whiten.T)


def test_the_palette_knows_its_own_shades() -> None:
    table, names = fit.palette(), list(fit.drawings.colours())
    np.testing.assert_allclose(table.sum(1), 1)
    for name, (r, g, b) in {"red": (13, 1, 1), "blue": (1, 3, 12), "white": (15, 15, 15)}.items():
        assert names[int(table[(r * 16 + g) * 16 + b].argmax())] == name


def test_the_shipped_weights_have_the_form_that_is_made() -> None:
    held = stored()
    assert {key: tuple(tensor.shape) for key, tensor in held.items()} == {
        "bridge": (sum(fit.WIDTHS), 384),
        "centre": (sum(fit.WIDTHS),),
        "colours": (11, 384),
        "kinds": (1000, 384),
        "mean": (384,),
        "mix": (4,),
        "names": (1000, 384),
        "palette": (4096, 11),
        "scale": (sum(fit.WIDTHS),),
        "whiten": (384, 384),
    }
    np.testing.assert_allclose(held["mix"], fit.MIX, rtol=1e-6)
    np.testing.assert_allclose(held["palette"], fit.palette(), atol=1e-3)
