"""grounded-sam: what is found, how it is weighted, and the real path through tiny networks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import neuronym as nym
from neuronym._core import hub
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas
from neuronym.inputs.probes.base import Annotation, open_probe
from neuronym.inputs.targets.base import Target
from neuronym.labelling.base import open_labeller
from neuronym.labelling.methods import _grounding, grounded_sam
from neuronym.labelling.methods._grounding import (
    Detections,
    Networks,
    Prompt,
    best_classes,
    decode,
    encode,
    prompts,
    suppress,
)
from neuronym.labelling.methods.grounded_sam import GroundedSam
from neuronym.labelling.run import label
from small_world import COLOURS, PLANTED, SMALL, ColourEncoder, Detectors, coloured_images
from tiny_encoders import one_thread  # noqa: F401
from tiny_grounding import LONG, WINDOW, save_detector, save_segmenter, tokenizer

WORDS = ["dog", "cats", "sky", "lamp", "st. bernard", "猫", "Élan?"]


# -- masks as text ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (5, 3), (64, 41)])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 1])
def test_a_mask_comes_back_from_its_text(size: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(3).random(size) < share
    assert np.array_equal(decode(encode(mask)), mask)
    assert json.loads(encode(mask))["size"] == list(size)


def test_the_text_is_what_coco_tools_write() -> None:
    # The counts are those that pycocotools gives for these masks.
    disc = np.add.outer(np.arange(40) ** 2, (np.arange(37) - 9) ** 2) < 400
    counts = "0b0f01O001O000000000000000000000000O100O100O1O100O1O1N2O1N2NR:"
    assert json.loads(encode(disc)) == {"size": [40, 37], "counts": counts}
    stripes = np.indices((90, 3)).sum(0) % 50 < 33
    assert json.loads(encode(stripes)) == {"size": [90, 3], "counts": "0Q1a00FO:1GN92H"}


def test_detections_come_back_from_the_cache_also_when_there_are_none() -> None:
    for found in (Detections.none(), made_up([("b", 0.5), ("a", 0.25), ("b", 0.125)], list("ab"))):
        again = Detections.from_arrays(found.to_arrays())
        assert again.masks == found.masks
        assert len(again) == len(found)
        for name in ("classes", "scores", "boxes", "areas"):
            assert np.array_equal(getattr(again, name), getattr(found, name)), name


def made_up(
    objects: list[tuple[str, float]],
    classes: list[str],
    masks: list[np.ndarray] | None = None,
) -> Detections:
    """Detections by hand; without masks each covers another part of a 4×5 image."""
    if masks is None:
        masks = [np.arange(20).reshape(4, 5) % len(objects) == i for i in range(len(objects))]
    return Detections(
        np.array([classes.index(name) for name, _ in objects], np.int32),
        np.array([score for _, score in objects], np.float32),
        np.tile(np.float32([0.25, 0.125, 0.75, 0.5]), (len(objects), 1)),
        tuple(map(encode, masks)),
        np.array([mask.mean() for mask in masks], np.float32),
    )


# -- overlapping boxes -----------------------------------------------------------------------------


def test_of_boxes_on_each_other_the_best_stays() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.9], [0.5, 0.5, 0.6, 0.6], [0, 0, 0.9, 1]])
    scores = np.array([0.3, 0.9, 0.1, 0.8])
    assert suppress(boxes, scores, 0.85).tolist() == [
        1,
        3,
        2,
    ]  # 3 is 0.83 of 1 and 3
    assert suppress(boxes, scores, 0.8).tolist() == [1, 2]
    assert suppress(boxes, scores, 1).tolist() == [1, 3, 0, 2]
    assert suppress(boxes[[1, 1, 1]], np.full(3, 0.5), 0.5).tolist() == [0]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5).tolist() == []


def test_suppression_against_a_slow_replica() -> None:
    rng = np.random.default_rng(5)
    corners = np.sort(rng.random((31, 2, 2)), axis=1)
    boxes, scores = corners.reshape(31, 4), np.round(rng.random(31), 1)
    kept: list[int] = []
    for one in sorted(range(31), key=lambda i: (-scores[i], i)):
        if all(overlap_of(boxes[one], boxes[other]) <= 0.3 for other in kept):
            kept.append(one)
    assert 3 < len(kept) < 31
    assert suppress(boxes, scores, 0.3).tolist() == kept


def overlap_of(a: np.ndarray, b: np.ndarray) -> float:
    high = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    wide = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    sizes = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return high * wide / (sum(sizes) - high * wide)


# -- prompts ---------------------------------------------------------------------------------------


def test_one_prompt_is_the_text_that_people_write() -> None:
    (prompt,), left_out = prompts(["Dog", "cats", "sky"], tokenizer(), WINDOW)
    assert list(prompt.ids) == tokenizer()("dog . cats . sky .")["input_ids"]
    assert [(place, prompt.ids[low:high]) for place, low, high in prompt.spans] == [
        (0, (300,)),
        (1, (301, 304)),
        (2, (302,)),
    ]
    assert left_out == []


def test_long_lists_are_split_between_names() -> None:
    words = ["dog", "zebra", "cats", "ox", "emu", "sky", "lamp", "abcdefghijklmnopqrstu"]
    made, left_out = prompts(words, tokenizer(), WINDOW)
    assert len(made) == 2
    assert left_out == []
    assert [place for prompt in made for place, *_ in prompt.spans] == list(range(8))
    for prompt in made:
        assert len(prompt.ids) <= WINDOW
        assert prompt.ids[0] == 101
        assert prompt.ids[-2:] == (1012, 102)
        whole = " . ".join(words[place] for place, *_ in prompt.spans) + " ."
        assert list(prompt.ids) == tokenizer()(whole)["input_ids"]
    assert len(made[1].ids) == WINDOW  # the longest name that fits, alone
    assert prompts([words[-1] + "v"], tokenizer(), WINDOW) == ([], [words[-1] + "v"])


def test_names_with_stops_odd_letters_and_repeats() -> None:
    words = ["st. bernard", "U.S.?", "Élan", "猫", "...", "[SEP]", "dog", "Dog", "dog.", "猫 cat"]
    made, left_out = prompts(words, tokenizer(), WINDOW)
    ids = [prompt.ids[low:high] for prompt in made for _, low, high in prompt.spans]
    assert left_out == ["猫", "...", "Dog", "dog."]
    expected = ["st bernard", "u s", "elan", "[sep]", "dog", "猫 cat"]
    assert ids == [tuple(tokenizer()(e, add_special_tokens=False)["input_ids"]) for e in expected]
    assert [p for prompt in made for p, *_ in prompt.spans] == [0, 1, 2, 5, 6, 9]


def test_each_query_has_the_class_of_its_best_token() -> None:
    rng = np.random.default_rng(7)
    prompt = Prompt(tuple(range(13)), ((4, 1, 3), (0, 4, 5), (9, 6, 11)))
    logits = rng.normal(size=(17, 13)).astype(np.float32)
    logits[:, [0, 3, 5, 11, 12]] += 9  # tokens that belong to no class
    logits[3, 2] = logits[3, 7] = 4  # a tie
    logits[5] = -np.inf
    logits[6] = -800
    classes, scores = best_classes(logits, prompt)
    for query in range(17):
        tokens = {4: (1, 2), 0: (4,), 9: (6, 7, 8, 9, 10)}
        best = {c: max(float(logits[query, t]) for t in where) for c, where in tokens.items()}
        top = max(best.values())
        assert classes[query] == next(c for c in best if best[c] == top)
        assert scores[query] == pytest.approx(1 / (1 + np.exp(min(-top, 700))), abs=1e-7)
    assert classes[3] == 4
    assert scores[5] == 0


# -- weights and counts ----------------------------------------------------------------------------


def test_activation_inside_masks_against_a_slow_replica() -> None:
    rng = np.random.default_rng(11)
    maps, grid = rng.normal(size=(4, 3, 5)), (11, 7)
    maps[1] = -1  # nowhere positive
    maps[2, 0, 0] = np.nan
    maps[2, 2, 4] = 3
    masks = rng.random((6, *grid)) < 0.4
    masks[0], masks[1] = True, False
    got = grounded_sam.inside(torch.from_numpy(maps).float(), torch.from_numpy(masks).float())
    for unit in range(4):
        whole = np.array([[stretched(maps[unit], y, x, grid) for x in range(7)] for y in range(11)])
        whole = np.where(np.isfinite(whole) & (whole > 0), whole, 0)
        whole = np.ones(grid) if whole.sum() == 0 else whole
        for number in range(6):
            expected = whole[masks[number]].sum() / whole.sum()
            assert got[unit, number] == pytest.approx(expected, abs=1e-5)
    assert got[:, 0] == pytest.approx(1)
    assert got[:, 1] == pytest.approx(0)
    assert got[1] == pytest.approx(masks.mean((1, 2)))


def stretched(small: np.ndarray, y: int, x: int, grid: tuple[int, int]) -> float:
    """Bilinear interpolation between cell centres, edges repeated."""
    value = 0.0
    parts = []
    for at, length, size in ((y, small.shape[0], grid[0]), (x, small.shape[1], grid[1])):
        place = max((at + 0.5) * length / size - 0.5, 0.0)
        low = min(int(place), length - 1)
        parts.append([(low, 1 - (place - low)), (min(low + 1, length - 1), place - low)])
    for row, weight in parts[0]:
        for column, other in parts[1]:
            value += weight * other * small[row, column]
    return value


def test_scores_against_a_slow_replica() -> None:
    rng = np.random.default_rng(13)
    classes, units, k = ["a", "b", "c", "d"], 7, 3
    rows = rng.integers(0, 11, (units, k))
    rows[2], rows[3, 1:] = -1, -1
    found = {
        row: made_up(
            [
                (classes[c], s)
                for c, s in zip(
                    rng.integers(0, 3, row % 4), rng.integers(1, 9, row % 4) / 8, strict=True
                )
            ],
            classes,
        )
        for row in range(11)
    }
    share = {row: rng.random((units, len(found[row]))) for row in found}
    seen = grounded_sam.Sightings()
    for row in found:
        some, ranks = np.nonzero(rows == row)
        seen.add(row, some, ranks + 1, found[row], share[row][some])
    reasons = [None] * units
    reasons[6] = "dead"
    got = grounded_sam.ranked(seen.frame(), (rows >= 0).sum(1), reasons, classes, 3)
    assert got.reasons[2] == "no image above its minimum"
    assert got.reasons[6] == "dead"
    for unit in range(6):
        totals, images = dict.fromkeys(classes, 0.0), {c: set() for c in classes}
        for place in range(k):
            row = rows[unit, place]
            for number in range(len(found[row]) if row >= 0 else 0):
                name = classes[found[row].classes[number]]
                totals[name] += float(found[row].scores[number]) * share[row][unit, number]
                images[name].add(place)
        order = [n for n in sorted(classes, key=lambda n: (-totals[n], n)) if totals[n] > 0][:3]
        assert [w for w in got.concepts[unit] if w is not None] == order
        n = max((rows[unit] >= 0).sum(), 1)
        assert got.scores[unit, : len(order)] == pytest.approx([totals[w] / n for w in order])
        assert got.details["images"][unit, : len(order)].tolist() == [len(images[w]) for w in order]


def test_equal_scores_go_to_the_first_class_and_nothing_found_is_said() -> None:
    classes = ["b", "a", "c"]
    seen = grounded_sam.Sightings()
    tie = made_up([("a", 0.5), ("b", 0.5), ("c", 0.25)], classes)
    seen.add(5, np.array([0, 2]), np.array([1, 2]), tie, np.array([[0.5, 0.5, 1], [0, 0, 0]]))
    got = grounded_sam.ranked(seen.frame(), np.array([1, 2, 4]), [None] * 3, classes, 9)
    assert got.concepts[0].tolist() == ["b", "a", "c"]
    assert got.reasons == (
        None,
        "none of the 3 classes was found on its 2 highest images",
        "nothing was found where it responds on its 4 highest images",
    )
    empty = grounded_sam.ranked(grounded_sam.Sightings().frame(), np.array([1]), [None], ["b"], 2)
    assert empty.reasons == ("the class was not found on its highest image",)
    assert grounded_sam.evidence(grounded_sam.Sightings().frame(), [], ["b"]) == {}


# -- the networks ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    save_detector(folder / "dino")
    save_segmenter(folder / "sam")
    return folder


def networks(folders: Path, classes: list[str] = WORDS, **settings: float) -> Networks:
    chosen = {"threshold": 0.25, "overlap": 0.8, "device": torch.device("cpu")} | settings
    return Networks(str(folders / "dino"), str(folders / "sam"), classes, **chosen)


@pytest.fixture(scope="module")
def opened(folders: Path) -> Networks:
    return networks(folders)


def noise(seed: int, size: tuple[int, int] = (31, 20)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_objects_have_a_class_a_box_and_a_mask(opened: Networks) -> None:
    assert len(opened.prompts) == 2
    assert opened.left_out == ["猫"]
    found = opened.find(noise(0))
    assert len(found) > 3
    assert set(found.classes.tolist()) <= {0, 1, 2, 3, 4, 6}
    assert np.all(np.diff(found.scores) <= 0)
    assert found.scores.min() >= 0.25
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= 1
    assert np.all(found.boxes[:, 2:] > found.boxes[:, :2])
    for text, area in zip(found.masks, found.areas, strict=True):
        mask = decode(text)
        assert mask.shape == (20, 31)
        assert mask.any()
        assert area == pytest.approx(mask.mean())
    again = opened.find(noise(0))
    assert again.masks == found.masks
    assert np.array_equal(again.scores, found.scores)


def test_prompts_are_searched_one_by_one_and_merged(folders: Path, opened: Networks) -> None:
    image, everything = noise(2), []
    for prompt in opened.prompts:
        words = [WORDS[place] for place, *_ in prompt.spans]
        alone = networks(folders, words, overlap=1).find(image)
        everything += [
            (WORDS.index(words[c]), *map(float, rest))
            for c, *rest in zip(alone.classes, alone.scores, *alone.boxes.T, strict=True)
        ]
    whole = networks(folders, overlap=1).find(image)
    got = zip(whole.classes.tolist(), whole.scores, *whole.boxes.T, strict=True)
    assert sorted(everything) == sorted((c, *map(float, rest)) for c, *rest in got)
    assert {c for c, *_ in everything} >= {4, 6}  # of both prompts
    fewer = opened.find(image)
    assert len(fewer) < len(whole)
    pairs = [(a, b) for a in range(len(fewer)) for b in range(a)]
    assert all(overlap_of(fewer.boxes[a], fewer.boxes[b]) <= 0.8 for a, b in pairs)


def test_boxes_and_masks_are_those_of_the_library(folders: Path) -> None:
    import transformers as hf

    image = noise(4, (37, 52))
    ours = networks(folders, ["dog", "cats"], threshold=0, overlap=1).find(image)
    reader = hf.AutoProcessor.from_pretrained(folders / "dino")
    detector = hf.GroundingDinoForObjectDetection.from_pretrained(folders / "dino").eval()
    framer = hf.AutoProcessor.from_pretrained(folders / "sam")
    segmenter = hf.SamModel.from_pretrained(folders / "sam").eval()
    with torch.no_grad():
        out = detector(**reader(images=image, text="dog. cats.", return_tensors="pt"))
        size = torch.tensor([[image.height, image.width]])
        (theirs,) = (
            framer.image_processor.__class__
            and [reader.image_processor.post_process_object_detection(out, 0, size)][0]
        )
    boxes = theirs["boxes"].clamp(min=0).numpy()
    boxes = np.minimum(boxes, [image.width, image.height, image.width, image.height])
    scaled = ours.boxes[:, [1, 0, 3, 2]] * [image.width, image.height, image.width, image.height]
    assert 1 < len(scaled) <= len(boxes)
    for box, text in zip(scaled, ours.masks, strict=True):
        assert np.abs(boxes - box).sum(1).min() < 1e-3
        given = framer(images=image, input_boxes=[[box.tolist()]], return_tensors="pt")
        given["input_boxes"] = given["input_boxes"].float()
        with torch.no_grad():
            out = segmenter(
                **{k: given[k] for k in ("pixel_values", "input_boxes")}, multimask_output=False
            )
        (mask,) = framer.post_process_masks(
            out.pred_masks, given["original_sizes"], given["reshaped_input_sizes"]
        )
        assert (mask[0, 0].numpy() != decode(text)).mean() < 0.01


def test_masks_of_large_images_are_reduced(
    opened: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_grounding, "MASK_SIDE", 50)
    found = opened.find(noise(6, (LONG + 9, 35)))
    assert {decode(text).shape for text in found.masks} == {(24, 50)}


def test_nothing_above_the_threshold(folders: Path) -> None:
    strict = networks(folders, ["lamp"], threshold=1)
    found = strict.find(noise(1))
    assert len(found) == 0
    assert found.boxes.shape == (0, 4)


def test_images_of_one_pixel_and_of_one_line(opened: Networks) -> None:
    assert all(opened.find(noise(3, (1, 1))).areas == 1)  # what is found is the whole
    assert len(opened.find(noise(3, (301, 3)))) == 0


def test_what_decides_the_detections_is_in_the_key(folders: Path, opened: Networks) -> None:
    assert networks(folders).about == opened.about
    assert networks(folders, threshold=0.5).about != opened.about
    assert networks(folders, overlap=0.5).about != opened.about
    assert networks(folders, WORDS[1:]).about != opened.about


# -- loading ---------------------------------------------------------------------------------------


def test_networks_that_are_not_there(folders: Path, tmp_path: Path) -> None:
    for text in ("./nothing", "/no/such/folder", ""):
        with pytest.raises(UsageError, match="`detector` to name a hub repository or an existing"):
            _grounding._open("detector", text, "grounding-dino")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NeuronymError, match=r"empty could not be loaded as segmenter: .* It needs"):
        _grounding._open("segmenter", str(tmp_path / "empty"), "sam")
    with pytest.raises(UsageError, match="a model of the type sam, got .*dino, of the type ground"):
        _grounding._open("segmenter", str(folders / "dino"), "sam")


def test_missing_weights_are_an_error(folders: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = Path(shutil.copytree(folders / "sam", tmp_path / "sam"))
    tensors = load_file(broken / "model.safetensors")
    gone = next(name for name in tensors if "mask_decoder" in name)
    save_file(
        {k: v for k, v in tensors.items() if k != gone},
        broken / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(NeuronymError, match=f"do not fill a SamModel: 1 of .* is {gone}"):
        _grounding._open("segmenter", str(broken), "sam")


def test_without_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda address: False)
    with pytest.raises(
        NeuronymError,
        match=r"detector IDEA-Research/grounding-dino-tiny could not be loaded: there is no network"
        r".*detector=PATH, see docs/grounded-sam\.md.*annotations or clip-avg",
    ):
        _grounding._open("detector", GroundedSam().detector, "grounding-dino")


def test_parameters_are_checked() -> None:
    made = open_labeller("grounded-sam:k=3,threshold=0.4,classes=/a/b.txt")
    assert (made.k, made.threshold, made.classes) == (3, 0.4, "/a/b.txt")
    assert open_labeller(made.spec) == made
    assert GroundedSam().method_id == "grounded-sam"
    with pytest.raises(UsageError, match="parameters among k, classes, detector.* got 'topk'"):
        open_labeller("grounded-sam:topk=5")
    with pytest.raises(UsageError, match="`overlap` to be a number 0…1, got '2'"):
        open_labeller("grounded-sam:overlap=2")


# -- the whole way ---------------------------------------------------------------------------------


class Ill(Detectors):
    """The planted colour detectors; unit 5 is dead, unit 6 is not a number."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.detect.bias[6] = np.nan

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = self.pool(self.relu(self.detect(images))).flatten(1)
        return self.head(torch.nan_to_num(pooled))


def target() -> Target:
    return Target("detectors", Ill().eval(), SMALL)


def dissect(folder: Path, probe: Any, **settings: Any) -> Atlas:
    return nym.dissect(
        target(),
        layers=["detect", "head"],
        probe=probe,
        concepts=[*PLANTED, "moss"],
        encoder=ColourEncoder(),
        out=folder / "atlas",
        cache=str(folder / "cache"),
        batch_size=4,
        **{"duplicates": "all", **settings},
    )


@pytest.fixture
def named(folders: Path, tmp_path: Path) -> Callable[..., GroundedSam]:
    """The method with the tiny networks, and a file of the given classes."""

    def make(words: list[str] | None = None, **settings: Any) -> GroundedSam:
        if words is not None:
            (tmp_path / "classes.txt").write_text("\n".join(words), "utf-8")
            settings["classes"] = str(tmp_path / "classes.txt")
        return GroundedSam(
            detector=str(folders / "dino"), segmenter=str(folders / "sam"), **settings
        )

    return make


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every image that the networks see; stops them at its first negative."""
    seen: list[int] = []
    find = Networks.find

    def counting(self: Networks, image: Image.Image) -> Detections:
        if len(seen) == 3 and seen[0] == -1:
            raise KeyboardInterrupt
        seen.append(len(seen))
        return find(self, image)

    monkeypatch.setattr(Networks, "find", counting)
    return seen


def test_the_real_path(
    named: Callable[..., GroundedSam], tmp_path: Path, searches: list[int]
) -> None:
    probe = coloured_images(13)
    atlas = dissect(tmp_path, [*probe, probe[0]])  # one image twice
    again = {"target": target(), "probe": [*probe, probe[0]], "cache": str(tmp_path / "cache")}
    method = named(WORDS, k=3)
    once = label(atlas, method, **again)
    frame = once.labels(method=method.method_id)
    used = once.exemplars()
    used = used[(used["rank"] <= 3) & ~((used["layer"] == "detect") & (used["unit"] == 6))]
    contents = once.images.set_index("image_id")["content_hash"][used["image_id"].unique()]
    facts = once.manifest["methods"][method.method_id]
    assert len(searches) == contents.nunique()
    assert facts["images"] == len(contents)
    assert facts["classes"] == 7
    assert facts["prompts"] == 2
    assert facts["left_out"] == ["猫"]
    assert facts["classes_from"] == method.classes
    dead = frame[(frame["layer"] == "detect") & (frame["unit"] == 5)]
    assert dead["reason"].tolist() == ["dead: the activation is the same for every image"]
    ill = frame[(frame["layer"] == "detect") & (frame["unit"] == 6)]
    assert ill["reason"].tolist() == ["not finite for 14 images"]
    alive = frame[~frame["abstained"]]
    assert set(alive["concept"]) <= set(WORDS) - {"猫"}
    assert (alive["score"] > 0).all()
    assert alive["images"].between(1, 3).all()

    evidence = pd.read_parquet(once.folder / f"evidence/{method.method_id}.parquet")
    names = [
        "rank",
        "image_id",
        "concept",
        "score",
        "area",
        "weight",
        "y0",
        "x0",
        "y1",
        "x1",
        "mask",
    ]
    assert list(evidence.columns) == ["layer", "unit", *names]
    assert decode(evidence["mask"][0]).shape == (20, 18)
    # Scores follow from the evidence alone.
    images = used.groupby(["layer", "unit"]).size()
    sums = evidence.groupby(["layer", "unit", "concept"])["weight"].sum()
    for row in alive.itertuples():
        mean = sums[row.layer, row.unit, row.concept] / images[row.layer, row.unit]
        assert row.score == pytest.approx(mean, rel=1e-5)
    flat = evidence[evidence["layer"] == "head"]  # no positions: the masks' shares of the image
    assert flat["weight"].to_numpy() == pytest.approx((flat["score"] * flat["area"]).to_numpy())

    before = len(searches)
    twice = label(once, method, overwrite=True, **again)
    pd.testing.assert_frame_equal(twice.labels(method=method.method_id), frame)
    assert len(searches) == before


def test_a_killed_run_goes_on(
    named: Callable[..., GroundedSam], tmp_path: Path, searches: list[int]
) -> None:
    atlas, method = dissect(tmp_path, coloured_images(9)), named(["dog", "sky"], k=2)
    again = {"target": target(), "probe": coloured_images(9), "cache": str(tmp_path / "cache")}
    context = LabelContext(atlas, **again)
    wanted = len(
        {row for rows in method._rows(context, ["detect", "head"]).values() for row in rows.ravel()}
        - {-1}
    )
    searches += [-1, -1]  # killed in the second image
    with pytest.raises(KeyboardInterrupt):
        label(atlas, method, **again)
    searches.clear()
    label(atlas, method, **again)
    assert len(searches) == wanted - 1


def test_the_cost_is_measured_before(
    named: Callable[..., GroundedSam], tmp_path: Path, searches: list[int]
) -> None:
    atlas, method = dissect(tmp_path, coloured_images(8)), named(WORDS, k=1)
    again = {"target": target(), "probe": coloured_images(8), "cache": str(tmp_path / "cache")}
    said = method.cost(LabelContext(atlas, **again), ["detect"])
    assert "7 classes in 2 prompts, 5 images of which 0 are in the cache: about" in said
    assert "s on cpu)" in said
    assert len(searches) == 2
    label(atlas, method, layers=["detect"], **again)
    assert len(searches) == 5  # those that were timed are not searched again
    said = method.cost(LabelContext(atlas, **again), ["detect"])
    assert said == "7 classes in 2 prompts, 5 images of which 5 are in the cache."


def test_nothing_found_and_one_image(named: Callable[..., GroundedSam], tmp_path: Path) -> None:
    atlas = dissect(tmp_path, coloured_images(2), exemplars=5)
    again = {"target": target(), "probe": coloured_images(2), "cache": str(tmp_path / "cache")}
    method = named(["sky"], threshold=1, k=40)
    reasons = label(atlas, method, **again).labels("detect", method=method.method_id)["reason"]
    assert reasons[0] == "the class was not found on its highest image"
    assert not (atlas.folder / f"evidence/{method.method_id}.parquet").exists()


def test_layers_without_positions_need_no_target(
    named: Callable[..., GroundedSam], tmp_path: Path, searches: list[int]
) -> None:
    atlas, method = dissect(tmp_path, coloured_images(7)), named(["dog"], k=2)
    again = {"probe": coloured_images(7), "cache": str(tmp_path / "cache")}
    frame = label(atlas, method, layers=["head"], **again).labels(method=method.method_id)
    assert set(frame["concept"]) == {"dog"}
    searches.clear()
    with pytest.raises(UsageError, match="The target of .* was a Python object"):
        label(atlas, named(["cat"], k=2), layers=["detect"], **again)
    assert not searches  # the error comes before the work


def test_where_the_classes_come_from(
    named: Callable[..., GroundedSam], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    probe = open_probe(coloured_images(6))
    atlas = dissect(tmp_path, probe)
    context = LabelContext(atlas, target=target(), probe=probe, cache=str(tmp_path / "cache"))
    assert named()._classes(context) == ((*PLANTED, "moss"), "concepts")
    with pytest.raises(UsageError, match="`classes` to contain at least one name, got none in ann"):
        named(classes="annotations")._classes(context)
    marks = [Annotation("object", "traffic_light"), Annotation("part", "traffic_light")]
    monkeypatch.setattr(type(probe), "vocabulary", lambda self: marks)
    assert named()._classes(context) == (("traffic light",), "annotations")
    assert named(classes="concepts")._classes(context)[0] == (*PLANTED, "moss")
    assert named(["  red ", "", "red", "dog"])._classes(context)[0] == ("red", "dog")
    with pytest.raises(UsageError, match=r"an existing text file, got .*which does not exist"):
        named(classes=str(tmp_path / "gone.txt"))._classes(context)
    marks += [Annotation("object", f"thing {i}") for i in range(500)]
    with pytest.raises(
        UsageError,
        match="`classes` to be given where the annotations are more than 500, got nothing, with "
        "501 annotations.*classes=FILE",
    ):
        named()._classes(context)
    assert len(named(classes="annotations")._classes(context)[0]) == 501
    with pytest.raises(UsageError, match="contain a name that the detector's .* got '猫', '.'"):
        named(["猫", "."])._finder(context)


# -- planted truth ---------------------------------------------------------------------------------

HALF = np.arange(16) < 8


def halves(count: int) -> tuple[list[np.ndarray], list[tuple[str, str]]]:
    """Images 16×16 whose left and right half have different colours, and which."""
    rng = np.random.default_rng(17)
    images, names = [], []
    for _ in range(count):
        left, right = rng.choice(PLANTED, 2, replace=False)
        colours = np.where(HALF[None, :, None], COLOURS[left], COLOURS[right])
        pixels = np.broadcast_to(colours * 200 + 20, (16, 16, 3)) + rng.normal(0, 5, (16, 16, 3))
        images.append(np.clip(pixels, 0, 255).astype(np.uint8))
        names.append((str(left), str(right)))
    return images, names


def plant(context: LabelContext, method: GroundedSam, found: list[Detections]) -> None:
    """Lay detections made by hand into the cache, where the real path looks first."""
    finder = method._finder(context)
    for row, objects in enumerate(found):
        finder.entry.write(finder._key(row), objects.to_arrays(), {})


def test_planted_detectors_get_their_colour(
    named: Callable[..., GroundedSam], tmp_path: Path, searches: list[int]
) -> None:
    images, names = halves(40)
    atlas, method = dissect(tmp_path, images), named(["moss", *PLANTED], k=5)
    again = {"target": target(), "probe": images, "cache": str(tmp_path / "cache")}
    classes = ["moss", *PLANTED]
    # Both halves are found with the same score and size, and the whole image as something else with
    # a lower one: only the activation inside the masks tells the unit's colour from the other.
    masks = [np.broadcast_to(HALF, (16, 16)), np.broadcast_to(~HALF, (16, 16)), np.ones((16, 16))]
    found = [
        made_up(
            [(right, 0.75), (left, 0.75), ("moss", 0.5)], classes, [masks[1], masks[0], masks[2]]
        )
        for left, right in names
    ]
    plant(LabelContext(atlas, **again), method, found)
    once = label(atlas, method, **again)
    assert not searches
    frame = once.labels("detect", method=method.method_id)
    best = frame[frame["rank"] == 1].set_index("unit")
    assert best["concept"].tolist()[:5] == PLANTED
    assert best["abstained"].tolist() == [False] * 5 + [True] * 2
    assert best["images"].tolist()[:5] == [5] * 5
    # A colour that a detector does not respond to at all has no weight.
    evidence = pd.read_parquet(once.folder / f"evidence/{method.method_id}.parquet")
    own = evidence[(evidence["layer"] == "detect") & (evidence["unit"] == 0)]
    assert own[own["concept"] == "red"]["weight"].min() > 0.4
    assert own[own["concept"].isin(["green", "blue"])]["weight"].to_numpy() == pytest.approx(0)


@pytest.mark.torture
def test_what_the_target_does_not_see_has_no_weight(
    named: Callable[..., GroundedSam], tmp_path: Path
) -> None:
    images = [np.pad(i, ((0, 0), (16, 8), (0, 0))) for i in halves(6)[0]]  # cropped to the middle
    atlas, method = dissect(tmp_path, images), named(["moss", "sky"])
    again = {"target": target(), "probe": images, "cache": str(tmp_path / "cache")}
    edge, middle = np.arange(40) < 11, (np.arange(40) >= 12) & (np.arange(40) < 28)
    masks = [np.broadcast_to(m, (16, 40)) for m in (edge, middle)]
    plant(
        LabelContext(atlas, **again),
        method,
        [made_up([("sky", 1.0), ("moss", 0.5)], ["moss", "sky"], masks) for _ in images],
    )
    once = label(atlas, method, layers=["detect"], **again)
    frame = once.labels("detect", method=method.method_id)
    alive = frame[~frame["abstained"]]
    assert set(alive["concept"]) == {"moss"}
    assert alive["score"].to_numpy() == pytest.approx(0.5)
    plant(
        LabelContext(atlas, **again),
        method,
        [made_up([("sky", 1.0)], ["moss", "sky"], masks[:1]) for _ in images],
    )
    blind = label(once, method, layers=["detect"], overwrite=True, **again)
    reason = blind.labels("detect", method=method.method_id)["reason"][0]
    assert reason == "nothing was found where it responds on its 5 highest images"
