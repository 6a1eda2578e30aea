"""Files of published formats: what is written is read back unchanged, malformed rows are named."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuronym._core.errors import NeuronymError, UsageError
from neuronym.interchange._labels import from_rows
from neuronym.interchange.base import FORMATS, Published
from neuronym.interchange.netdissect import UNNAMED
from neuronym.interchange.open import open_format
from neuronym.labelling.base import LayerLabels
from places import SHARED

UGLY = [
    "null",
    "nan",
    "NaN",
    "None",
    "true",
    "0",
    "-1e5",
    "a,b",
    'say "hi"',
    '"',
    "line\nbreak",
    "\r",
    "a\r\nb",
    " blanks ",
    "\t",
    ";",
    "'",
    "=1+1",
    "@x",
    "עברית \u200f",
    "\u202etxt",
    "é",
    "\u2028",
    "\ufeff",
    "𝔘",
    "\\",
    "\x1b[31m",
    UNNAMED,
    "red-c",
    "a/b",
    "..",
    "%2F",
    "#",
]
text = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6
)
words = st.sampled_from(UGLY) | text
scores = st.floats(width=32, allow_nan=False, allow_infinity=False)


def put(files: dict[str, str], folder: Path) -> Path:
    """Write what a format wrote; returns the path to read."""
    path = folder / "published"
    for name, content in files.items():
        file = path / name if name else path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode())
    return path


def same(a: LayerLabels, b: LayerLabels) -> bool:
    return (
        a.concepts.tolist() == b.concepts.tolist()
        and np.array_equal(a.scores, b.scores, equal_nan=True)
        and a.reasons == b.reasons
        and {n: v.tolist() for n, v in a.details.items()}
        == {n: v.tolist() for n, v in b.details.items()}
    )


def check_return(kind: str, published: Published) -> None:
    """What is written is read back as it was, and written again the same, byte by byte."""
    made = open_format(kind)
    with tempfile.TemporaryDirectory() as folder:
        files = made.write(published)
        again = made.read(put(files, Path(folder)))
    assert set(again.layers) == set(published.layers)
    for layer, labels in published.layers.items():
        assert same(again.layers[layer], labels), layer
    assert {k: v for k, v in again.images.items() if any(v)} == {
        k: v for k, v in published.images.items() if any(v)
    }
    assert made.write(again) == files


def layers(units: st.SearchStrategy) -> st.SearchStrategy:
    return st.dictionaries(words, st.lists(units, min_size=1, max_size=5), min_size=1, max_size=3)


@st.composite
def searched(draw: st.DrawFn) -> tuple[list, list]:
    ranked = sorted(draw(st.lists(scores, max_size=10)), reverse=True)
    if draw(st.booleans()):
        ranked = [math.nan] * len(ranked)
    labels = [(draw(words), score) for score in ranked]
    return labels, draw(st.lists(words, max_size=20))


@settings(max_examples=60, deadline=None)
@given(layers(searched()))
def test_clip_search_returns(found: dict) -> None:
    published = Published(
        {layer: from_rows([labels for labels, _ in units]) for layer, units in found.items()},
        {layer: [images for _, images in units] for layer, units in found.items()},
    )
    check_return("clip-search", published)


@settings(max_examples=60, deadline=None)
@given(layers(st.lists(st.tuples(words, scores | st.just(math.nan)), max_size=1)))
def test_clip_dissect_returns(found: dict) -> None:
    check_return("clip-dissect", Published({n: from_rows(units) for n, units in found.items()}))


@settings(max_examples=60, deadline=None)
@given(layers(st.lists(st.tuples(words, st.just(math.nan)), max_size=1)))
def test_milan_returns(found: dict) -> None:
    check_return("milan", Published({n: from_rows(units) for n, units in found.items()}))


@st.composite
def dissected(draw: st.DrawFn) -> dict[str, tuple]:
    """category → name, truth, activation, intersect, IoU."""
    counts = st.integers(0, 2**53) | st.none()
    found = {}
    for category in draw(st.lists(st.sampled_from(["color", "scene", "q,"]), unique=True)):
        name = draw(words | st.just(""))
        iou = draw(st.floats(0, 1) | st.sampled_from([0.0, 0.25, 1.0]))
        found[category] = (name, draw(counts), draw(counts), draw(counts), iou)
    best = max(found, key=lambda c: found[c][-1], default=None)
    if best is not None and not found[best][0]:
        found[best] = ("sky", *found[best][1:])
    return found


@settings(max_examples=60, deadline=None)
@given(layers(dissected()))
def test_netdissect_returns(found: dict) -> None:
    from neuronym.interchange import _rows
    from neuronym.interchange.netdissect import _columns, _name

    order, files = ["scene", "q,", "color"], {}
    for layer, units in found.items():
        rows = []
        for number, unit in enumerate(units, 1):
            best = max(unit, key=lambda c: unit[c][-1], default=None)
            head = [best, unit[best][0], str(unit[best][-1])] if best else [""] * 3
            groups = [unit.get(category, ("", None, None, None, "")) for category in order]
            cells = ["" if v is None else str(v) for group in groups for v in group]
            rows.append([str(number), *head, *cells])
        files[_name(layer)] = _rows.text(_columns(order), rows)
    kind = open_format("netdissect")
    with tempfile.TemporaryDirectory() as folder:
        published = kind.read(put(files, Path(folder)))
    assert kind.write(published) == files
    check_return("netdissect", published)
    assert set(published.layers) == set(found)


def test_netdissect_in_detail(tmp_path: Path) -> None:
    head = "unit,category,label,score," + ",".join(
        f"{category}-{name}"
        for category in ("color", "scene", "texture")
        for name in ("label", "truth", "activation", "intersect", "iou")
    )
    rows = [
        "1,scene,street-s,0.19,red-c,10,20,3,0.11,street-s,7,9,2,0.19,,4,5,1,0.125",
        "2,color,blue-c,0.25,blue-c,11,21,5,0.25,,,,,,dotted,4,5,1,0.125",
        "3,,," + "," * 15,
    ]
    file = tmp_path / "resnet50_imagenet_layer4.csv"
    file.write_text("\n".join([head, *rows]) + "\n")
    found = open_format("netdissect").read(tmp_path)
    labels = found.layers["layer4"]
    # Units count from 1 in the files, names lose their suffix, an empty one is no name.
    assert labels.concepts.tolist() == [
        ["street", UNNAMED, "red"],
        ["blue", "dotted", None],
        [None, None, None],
    ]
    assert labels.details["name"][0].tolist() == ["street-s", "", "red-c"]
    assert labels.details["category"][1].tolist() == ["color", "texture", None]
    assert labels.details["truth"][0].tolist() == [7, 4, 10]
    assert labels.details["iou"][0].tolist() == [0.19, 0.125, 0.11]
    assert labels.reasons == (None, None, "no label in the file")
    assert open_format("netdissect").write(found) == {"layer4.csv": file.read_text()}


def test_a_layer_named_like_a_published_file_keeps_its_name(tmp_path: Path) -> None:
    details = {"category": np.array([["part"]], object), "iou": np.array([[0.5]], object)}
    labels = from_rows([[("eye", 0.5)]])
    labels = LayerLabels(labels.concepts, labels.scores, labels.reasons, details)
    files = open_format("netdissect").write(Published({"a_imagenet_b": labels}))
    assert list(open_format("netdissect").read(put(files, tmp_path)).layers) == ["a_imagenet_b"]


def test_fewer_labels_and_images_leave_cells_empty() -> None:
    units = [[("sky", 0.5), ("blue", 0.25)], []]
    images = [["a.jpg"], ["b.jpg", "c,d.jpg"]]
    files = open_format("clip-search").write(
        Published({"conv": from_rows(units)}, {"conv": images})
    )
    first, second = files["conv.csv"].splitlines()[1:]
    assert first == "0,sky,blue" + "," * 9 + "0.5,0.25" + "," * 9 + "a.jpg" + "," * 19
    assert second == "1" + "," * 21 + 'b.jpg,"c,d.jpg"' + "," * 18


SEARCH = "," + ",".join(map(str, range(40))) + "\n"


def searched_row(unit: str = "0", concept: str = "sky", score: str = "0.5", image: str = "") -> str:
    return f"{unit},{concept},{',' * 9}{score},{',' * 9}{image},{',' * 18}\n"


ND = "unit,category,label,score,part-label,part-truth,part-activation,part-intersect,part-iou\n"
CD = "layer,unit,description,similarity\n"
MALFORMED = [
    ("clip-search", SEARCH + "0,sky\n", r"line 2: Expected `row` to have 41 columns, got 2"),
    (
        "clip-search",
        SEARCH + searched_row(score="high"),
        r"line 2: Expected `similarity 1` to be a number, got 'high'",
    ),
    ("clip-search", SEARCH + searched_row(score="nan"), r"`similarity 1` to be a number"),
    ("clip-search", SEARCH + searched_row(score="1e39"), r"that float32 can hold, got '1e39'"),
    ("clip-search", SEARCH + searched_row(score="1_0"), r"`similarity 1` to be a number"),
    ("clip-search", SEARCH + searched_row(concept=""), r"empty without a concept, got 0.5"),
    ("clip-search", SEARCH + "0,,sky" + "," * 38 + "\n", r"`concept 2` to be empty behind"),
    (
        "clip-search",
        SEARCH + "0,a,b" + "," * 9 + "0.1,0.2" + "," * 28 + "\n",
        r"line 2: Expected `similarity 2` to be at most the similarity before it, got '0.2'",
    ),
    (
        "clip-search",
        SEARCH + searched_row() + searched_row(),
        r"line 3: Expected `unit` to be a unit that has no row yet, got 0. It stands in line 2 too",
    ),
    ("clip-search", SEARCH + searched_row() + searched_row("2"), r"line 3: .*Unit 1 is missing"),
    ("clip-search", SEARCH + searched_row("-1"), r"`unit` to be 0…10000000, got '-1'"),
    ("clip-search", SEARCH + searched_row("9" * 5000), r"`unit` to be 0…10000000"),
    ("clip-search", SEARCH + searched_row("٣"), r"`unit` to be 0…10000000"),
    ("clip-search", SEARCH + "0" + "," * 22 + "a.jpg" + "," * 18 + "\n", r"`image 1` to be a path"),
    ("clip-search", SEARCH, r"line 1: There are no units, only a header"),
    ("clip-search", "", r"line 1: The file is empty"),
    ("clip-search", CD + "a,0,b,1\n", r"line 1: Expected `header` to be , 0, 1, .*got layer, unit"),
    ("clip-search", SEARCH + searched_row(concept="\0"), r"line 2: A zero byte"),
    ("clip-search", SEARCH + searched_row(concept="x" * 200_000), r"line 2: Not CSV \(field la"),
    ("clip-dissect", CD + 'a,0,"b,1\n', r"line 2: Not CSV \(unexpected end of data\)"),
    ("clip-dissect", CD + 'a,0,"b"c,1\n', r"line 2: Not CSV"),
    ("clip-dissect", CD + 'a,0,"x\ny",1\na,0,b,1\n', r"line 4: Expected `unit`.*in line 2 too"),
    ("clip-dissect", CD + ",0,sky,0.5\n", r"line 2: Expected `layer` to be a name, got ''"),
    ("clip-dissect", CD + "a,0,,0.5\n", r"`similarity` to be empty without a description"),
    ("clip-dissect", CD + "a,0,sky,inf\n", r"`similarity` to be a number, got 'inf'"),
    ("milan", CD + "a,0,sky,1\n", r"`header` to be layer, unit, description, got layer, unit"),
    ("milan", "layer,unit,description\na,1,sky\n", r"line 2: .*Unit 0 is missing"),
    ("netdissect", ND + "0,part,eye,0.5,eye,1,1,1,0.5\n", r"`unit` to be 1…10000000, got '0'"),
    ("netdissect", ND + "1,part,eye,0.5,eye,1,-1,1,0.5\n", r"`part-activation` to be a whole"),
    ("netdissect", ND + "1,part,eye,0.5,eye,1,1,1,2\n", r"`part-iou` to be a number 0…1, got '2'"),
    ("netdissect", ND + "1,part,eye,0.5,eye,1,1,1,\n", r"`part-iou` to be a number 0…1, got ''"),
    ("netdissect", ND + "1,scene,eye,0.5,eye,1,1,1,0.5\n", r"one of the categories with a labe"),
    ("netdissect", ND + "1,part,ear,0.5,eye,1,1,1,0.5\n", r"those of the category part \(eye, 0"),
    ("netdissect", ND + "1,part,,0.5,,1,1,1,0.5\n", r"`label and score`"),
    ("netdissect", ND.replace("iou", "io") + "1,a,,,,,,,\n", r"line 1: Expected `header`"),
]


@pytest.mark.parametrize(("kind", "content", "match"), MALFORMED)
def test_malformed_files_are_named_with_the_line(
    kind: str, content: str, match: str, tmp_path: Path
) -> None:
    (tmp_path / "layer1.csv").write_bytes(content.encode())
    with pytest.raises(UsageError, match=rf"layer1\.csv, {match}|layer1\.csv, line \d+: .*{match}"):
        open_format(kind).read(tmp_path)


def test_other_encodings_are_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CD.encode() + b"a,0,sky,1\na,1,caf\xe9,1\n")
    with pytest.raises(UsageError, match=r"a\.csv, line 3: Not UTF-8"):
        open_format("clip-dissect").read(tmp_path / "a.csv")


def test_a_byte_order_mark_blank_lines_and_any_order_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(f"\ufeff{CD}a,1,sky,1\n\na,0,sea,2\r\n\n".encode())
    labels = open_format("clip-dissect").read(tmp_path / "a.csv").layers["a"]
    assert labels.concepts.tolist() == [["sea"], ["sky"]]


def test_where_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`path` to be an existing file or folder"):
        open_format("milan").read(tmp_path / "nowhere")
    with pytest.raises(NeuronymError, match="Cannot read x.*: File name too long"):
        open_format("milan").read(Path("x" * 5000))
    with pytest.raises(UsageError, match=r"a folder with \.csv files"):
        open_format("clip-search").read(tmp_path)
    (tmp_path / "a.csv").write_text(CD)
    (tmp_path / "b.csv").write_text(CD)
    with pytest.raises(UsageError, match=r"one file, got .* with 2 \(a\.csv, b\.csv"):
        open_format("clip-dissect").read(tmp_path)


def test_two_files_of_one_layer_are_refused(tmp_path: Path) -> None:
    for name in ("layer1.csv", "resnet50_imagenet_layer1.csv"):
        (tmp_path / name).write_text(ND + "1,part,eye,0.5,eye,1,1,1,0.5\n")
    with pytest.raises(UsageError, match="both named after the layer layer1"):
        open_format("netdissect").read(tmp_path)


def test_files_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("layer10", "layer9", "conv1"):
        (tmp_path / f"{name}.csv").write_text(SEARCH + searched_row())
    assert list(open_format("clip-search").read(tmp_path).layers) == ["conv1", "layer9", "layer10"]


def test_netdissect_needs_categories() -> None:
    with pytest.raises(
        UsageError, match="whose labels have a category and an IoU, got labels with"
    ):
        open_format("netdissect").write(Published({"a": from_rows([[("sky", 0.5)]])}))


def test_a_zero_byte_cannot_be_written() -> None:
    with pytest.raises(UsageError, match="without zero bytes"):
        open_format("milan").write(Published({"a": from_rows([[("s\0y", 0.5)]])}))


def test_unknown_formats_list_the_known_ones() -> None:
    assert {e.name for e in FORMATS} == {
        "annotations",
        "clip-dissect",
        "clip-search",
        "milan",
        "netdissect",
    }
    with pytest.raises(UsageError, match="Nearest: clip-search"):
        open_format("clipsearch")
    with pytest.raises(UsageError, match="`format` to be one of"):
        open_format("milan:x=1")


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text(CD)

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(NeuronymError, match=r"Cannot read .*a\.csv: Permission denied"):
        open_format("milan").read(tmp_path / "a.csv")


@pytest.mark.skipif(not (SHARED / "published").is_dir(), reason="check data absent")
@pytest.mark.parametrize("kind", ["clip-search", "clip-dissect", "netdissect", "milan"])
def test_published_files_return_byte_by_byte(kind: str) -> None:
    made, path = open_format(kind), SHARED / "published" / kind
    written = made.write(made.read(path))
    assert [t.encode() for t in written.values()] == [f.read_bytes() for f in made.files(path)]
