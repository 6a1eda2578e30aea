"""Ground truth: files, the store that people write to, agreement, merging."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections import Counter
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import manifest
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.analysis.truth.agreement import agreeing, alpha, merge
from neuronym.analysis.truth.base import Answer
from neuronym.analysis.truth.files import read_answers, write_answers
from neuronym.analysis.truth.open import export_annotations, import_annotations, open_truth
from neuronym.analysis.truth.store import Annotations
from neuronym.atlas.reader import Atlas

CLASSES = ["tench, Tinca tinca", "goldfish", "Cardigan"]


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    """Two layers, of 5 and 3 units; the last one is an output layer. Only its manifest is there."""
    layers = [{"layer": "mid", "units": 5}, {"layer": "fc", "units": 3}]
    return Atlas(tmp_path, manifest(target={"layers": layers, "class_names": CLASSES}))


def at(second: int) -> str:
    return f"2026-03-01T12:00:{second:02d}.000Z"


# -- answers ---------------------------------------------------------------------------------------


def test_an_answer_is_brought_into_form() -> None:
    answer = Answer("fc", "2", "own", " two\t words ", " ann ", "2026-03-01 13:30:00+02:00")  # type: ignore[arg-type]
    assert (answer.unit, answer.label, answer.annotator) == (2, "two words", "ann")
    assert answer.time == "2026-03-01T11:30:00.000Z"
    assert Answer("fc", 0, "unsure").time.endswith("Z")
    assert Answer("fc", 0, "unsure").annotator == "anonymous"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("fc", 0, "label", ""), "`label` to be a word where the status is label"),
        (("fc", 0, "unsure", "x"), "`label` to be empty where the status is unsure, got 'x'"),
        (("fc", 0, "sure", "x"), "`status` to be one of label, own, non-interpretable, unsure"),
        (("fc", -1, "own", "x"), "`unit` to be a whole number of at least 0, got -1"),
        (("fc", 0, "own", "x", "a", "noon"), "`time` to be ISO 8601, .* got 'noon'"),
    ],
)
def test_answers_that_cannot_be(given: tuple, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Answer(*given)


# -- files -----------------------------------------------------------------------------------------

ANSWERS = [
    Answer("mid", 0, "label", "null", "ann", at(1)),
    Answer("mid", 1, "own", 'a "quoted", word', "ann", at(2)),
    Answer("mid", 2, "non-interpretable", "", "ann", at(3)),
    Answer("fc", 0, "unsure", "", "bob; the second", at(4)),
    Answer("fc", 1, "label", "nan", "Zoë", at(5)),
    Answer("fc", 2, "label", "none", "Zoë", at(6)),
]


def test_writing_and_reading_changes_nothing(tmp_path: Path, atlas: Atlas) -> None:
    write_answers(ANSWERS, tmp_path / "a.csv")
    assert read_answers(tmp_path / "a.csv", atlas) == ANSWERS
    first = (tmp_path / "a.csv").read_bytes()
    write_answers(read_answers(tmp_path / "a.csv"), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == first


@pytest.mark.parametrize("mark", ["", "﻿"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_spreadsheets_file(tmp_path: Path, atlas: Atlas, separator: str, mark: str) -> None:
    lines = [
        "Unit,Layer,remark,label,status",
        "2,mid,?,null,",
        "1,fc,,,Non-Interpretable",
        ",,,,",
        "",
    ]
    text = mark + "\r\n".join(lines).replace(",", separator)
    (tmp_path / "mine.csv").write_bytes(text.encode())
    one, two = read_answers(tmp_path / "mine.csv", atlas)
    assert (one.layer, one.unit, one.label, one.status) == ("mid", 2, "null", "label")
    assert (two.layer, two.unit, two.label, two.status) == ("fc", 1, "", "non-interpretable")
    assert one.annotator == two.annotator == "mine"
    assert one.time == two.time


def test_malformed_rows_are_named_and_nothing_is_imported(tmp_path: Path, atlas: Atlas) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        "layer,unit,label,status\nmid,0,red,label\nmid,9,red,label\nmid,x,red,label\n"
        "low,0,red,label\nmid,1,,\nmid,2\nmid,3,a,label,more\n,4,a,label\n"
    )
    with pytest.raises(UsageError) as caught:
        import_annotations(atlas, path)
    message = str(caught.value)
    assert f"{path} has 7 malformed rows, so nothing of it is used." in message
    for line, what in {
        3: "0…4 in mid, got 9",
        4: "got 'x'",
        5: "one of the atlas's 2 layers",
        6: "`status` to be given",
        7: "too few cells",
    }.items():
        assert f"line {line}: " in message
        assert what in message
    assert message.endswith("… and 2 more.")
    assert not Annotations(atlas).path.exists()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("layer,units,label\n", UsageError, "have the columns layer, unit.*Did you mean 'units'"),
        ("", UsageError, "have the columns layer, unit"),
        ("layer,unit\n", UsageError, "got layer, unit. label is missing. See docs"),
        ("layer,unit,label,Unit\n", UsageError, "have each column once, got unit twice"),
        ("\n;\nlayer;unit;label\n\n", UsageError, "have rows about units, got .*without rows"),
        ('layer,unit,label\nmid,0,"a\n', UsageError, "line 2: unexpected end of data"),
        ('"layer,unit,label\nmid,0,a\n', UsageError, "line 1: unexpected end of data"),
        ("layer,unit,label\nmid,0,a\0b\n", UsageError, "line 2: a zero byte"),
        ("layer,unit,label\nmid,1_0,a\n", UsageError, "a whole number of at least 0, got '1_0'"),
        ("layer,unit,label\nmid,\xb2,a\n".encode().decode("latin-1"), UsageError, "got '²'"),
        (f"layer,unit,label\nmid,{'9' * 5000},a\n", UsageError, "malformed row.*`unit`"),
        (
            "layer,unit,label,time\nmid,0,a,0001-01-01T00:00:00+14:00\n",
            UsageError,
            "`time` to be ISO 8601",
        ),
        ("layer,unit,label\nmid,0,\xff", NeuronymError, "it is not UTF-8"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, text: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "x.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(error, match=message):
        read_answers(tmp_path / "x.csv")


# -- the store -------------------------------------------------------------------------------------


def test_the_latest_answer_of_each_person_counts(atlas: Atlas) -> None:
    store = Annotations(atlas)
    assert store.latest() == []
    assert store.undo("ann") is None
    assert not store.path.exists()  # looking makes no file
    given = [
        Answer("fc", 2, "label", "cat", "ann", at(1)),
        Answer("mid", 1, "label", "dog", "ann", at(2)),
        Answer("mid", 1, "label", "wolf", "bob", at(3)),
        Answer("mid", 1, "own", "fox", "ann", at(4)),
        Answer("mid", 1, "unsure", "", "ann", at(3)),  # came later, is older
    ]
    for answer in given:
        store.add(answer)
    assert store.latest() == [given[3], given[2], given[0]]  # in the order of layers
    assert store.latest("ann") == [given[3], given[0]]
    assert store.history("mid", 1) == [given[1], given[2], given[3], given[4]]
    counts = store.progress().set_index(["layer", "annotator"])
    assert counts.loc[("mid", "ann"), ["units", "answered", "own", "label"]].tolist() == [
        5,
        1,
        1,
        0,
    ]
    assert counts["answered"].sum() == 3
    with pytest.raises(UsageError, match="0…2 in fc, got 3"):
        store.add(Answer("fc", 3, "unsure"))


def test_undo_goes_back_answer_by_answer_and_deletes_nothing(atlas: Atlas) -> None:
    store = Annotations(atlas)
    given = [
        Answer("mid", 1, "label", "dog", "ann", at(1)),
        Answer("mid", 2, "label", "cat", "bob", at(2)),
        Answer("mid", 1, "own", "fox", "ann", at(3)),
    ]
    for answer in given:
        store.add(answer)
    assert store.undo("ann") == given[2]
    assert store.latest("ann") == [given[0]]
    assert store.undo("ann") == given[0]
    assert store.undo("ann") is None
    assert store.latest() == [given[1]]
    store.add(given[0])
    assert store.latest("ann") == [given[0]]
    with sqlite3.connect(store.path) as database:
        assert database.execute("SELECT count(*) FROM answers").fetchone() == (6,)
    database.close()


def test_files_go_in_and_out(atlas: Atlas, tmp_path: Path) -> None:
    with pytest.raises(NeuronymError, match="has no annotations. Import"):
        export_annotations(atlas, tmp_path / "x.csv")
    write_answers(ANSWERS, tmp_path / "a.csv")
    assert import_annotations(atlas, tmp_path / "a.csv") == 6
    assert import_annotations(atlas, tmp_path / "a.csv") == 0  # they are there
    assert export_annotations(atlas, tmp_path / "b.csv") == 6
    assert read_answers(tmp_path / "b.csv") == sorted(
        ANSWERS, key=lambda a: (a.layer == "fc", a.unit)
    )
    # All or nothing, also where the error comes in the middle.
    with pytest.raises(UsageError, match="0…4 in mid, got 7"):
        Annotations(atlas).add_many([Answer("mid", 4, "unsure"), Answer("mid", 7, "unsure")])
    assert len(Annotations(atlas).latest()) == 6


def _write(folder: Path, name: str, count: int) -> None:
    layers = [{"layer": "mid", "units": count}]
    store = Annotations(Atlas(folder, manifest(target={"layers": layers})))
    for unit in range(count):
        store.add(Answer("mid", unit, "own", f"{name} {unit}", name))


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path, n, 40)) for n in ("ann", "bob")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    layers = [{"layer": "mid", "units": 40}]
    found = Annotations(Atlas(tmp_path, manifest(target={"layers": layers}))).latest()
    assert Counter(answer.annotator for answer in found) == {"ann": 40, "bob": 40}
    # One file only: a copy of the folder has everything.
    assert [p.name for p in tmp_path.iterdir()] == ["annotations.sqlite"]


def test_a_damaged_or_later_store_is_said(atlas: Atlas) -> None:
    store = Annotations(atlas)
    store.path.write_bytes(b"this is no database, and it is long enough to be looked at" * 9)
    with pytest.raises(NeuronymError, match="Cannot use .*not a database"):
        store.latest()
    with pytest.raises(NeuronymError, match="Cannot use .*not a database"):
        store.add(ANSWERS[0])
    store.path.unlink()
    store.add(ANSWERS[0])
    with sqlite3.connect(store.path) as database:
        database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(NeuronymError, match="later version of neuronym"):
        store.latest()
    store.path.rename(store.path.with_name("elsewhere"))
    store.path.symlink_to(store.path.with_name("elsewhere"))
    with pytest.raises(NeuronymError, match="is a link"):
        store.add(ANSWERS[0])


# -- agreement -------------------------------------------------------------------------------------


def _units(*people: str) -> list[list[str]]:
    return [[value for value in unit if value != "."] for unit in zip(*people, strict=True)]


@pytest.mark.parametrize(
    ("people", "wanted"),
    [
        # Krippendorff 2011, Computing Krippendorff's Alpha-Reliability, sections A, B and C.
        (("0100000010", "1110010000"), 0.095),
        (("aabbdcccedda", "babbbcccEddd".lower()), 0.692),
        (("123321412...", "1233224125.3", ".3332342251.", "12332441251."), 0.743),
    ],
)
def test_alpha_of_published_examples(people: tuple[str, ...], wanted: float) -> None:
    assert alpha(_units(*people)) == pytest.approx(wanted, abs=5e-4)


def _alpha(units: list[list[int]]) -> float:
    """1 − observed/expected disagreement over all pairs, from the definition, in loops."""
    several = [unit for unit in units if len(unit) > 1]
    every = [value for unit in several for value in unit]
    n = len(every)
    observed = sum((a != b) / (len(unit) - 1) for unit in several for a, b in permutations(unit, 2))
    expected = sum(a != b for a, b in permutations(every, 2)) / (n - 1)
    return 1 - observed / expected


def test_alpha_and_percent_agreement_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    units = [rng.integers(0, 4, rng.integers(0, 6)).tolist() for _ in range(23)]
    assert alpha(units) == pytest.approx(_alpha(units), abs=1e-12)
    pairs = [a == b for unit in units for a, b in permutations(unit, 2)]
    assert agreeing(units) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert np.isnan(alpha([["a", "a"], ["a"]]))  # nothing could differ
    assert np.isnan(alpha([["a"], []]))
    assert np.isnan(agreeing([["a"]]))
    assert alpha([["a", "a"], ["b", "b"]]) == 1
    assert alpha([["a", "b"], ["b", "a"]]) < 0


# -- merging ---------------------------------------------------------------------------------------


def _merged(*answers: tuple[str, str]) -> tuple[tuple[str, ...], str]:
    given = [Answer("mid", 3, s, w, f"p{i}", at(i)) for i, (s, w) in enumerate(answers)]
    for some in permutations(given):  # the order of people never matters
        frame = merge(some, "x").frame
        assert len(frame) == 1
        found = (frame["labels"][0], frame["status"][0])
    return found


@pytest.mark.parametrize(
    ("answers", "labels", "status"),
    [
        ([("label", "dog")], ("dog",), "label"),
        ([("own", "dog"), ("label", "Dog"), ("label", "Dog")], ("Dog",), "label"),
        ([("own", "big_dog"), ("own", "big dog"), ("label", "cat")], ("big dog",), "own"),
        ([("label", "dog"), ("label", "cat")], (), "unsure"),
        ([("label", "dog"), ("label", "cat"), ("label", "fox"), ("own", "DOG")], ("DOG",), "label"),
        ([("label", "dog"), ("unsure", ""), ("unsure", "")], ("dog",), "label"),
        ([("unsure", ""), ("unsure", "")], (), "unsure"),
        ([("non-interpretable", ""), ("label", "dog")], (), "unsure"),
        ([("non-interpretable", "")] * 2 + [("label", "dog")], (), "non-interpretable"),
    ],
)
def test_the_most_frequent_answer_counts(answers: list, labels: tuple, status: str) -> None:
    assert _merged(*answers) == (labels, status)


def test_truth_of_classes(atlas: Atlas) -> None:
    truth = open_truth(atlas, "classes")
    assert truth.frame["layer"].unique().tolist() == ["fc"]
    assert truth.of("fc")["labels"].tolist() == [
        ("tench, Tinca tinca", "tench", "Tinca tinca"),
        ("goldfish",),
        ("Cardigan",),
    ]
    assert open_truth(atlas, truth) is truth
    unknown = manifest(target={**atlas.manifest.target.to_data(), "class_names": None})
    with pytest.raises(NeuronymError, match="classes of .* are not known"):
        open_truth(Atlas(atlas.folder, unknown), "classes")


def test_truth_of_people_and_files(atlas: Atlas, tmp_path: Path) -> None:
    with pytest.raises(NeuronymError, match="no annotations"):
        open_truth(atlas, "annotations")
    with pytest.raises(UsageError, match="ground-truth file, got 'clases'. Nearest: classes"):
        open_truth(atlas, "clases")
    rows = [
        Answer("mid", 0, "label", "old", "ann", at(1)),
        Answer("elsewhere", 70, "label", "x", "ann", at(1)),  # of a layer that is not here
        Answer("mid", 0, "label", "new", "ann", at(9)),
        Answer("mid", 0, "label", "old", "ann", at(2)),
    ]
    write_answers(rows, tmp_path / "t.csv")
    truth = open_truth(atlas, str(tmp_path / "t.csv"))
    assert truth.of("mid")["labels"].to_dict() == {0: ("new",)}
    assert len(truth.frame) == 1
    assert "1 row of layers that the atlas does not have (elsewhere)" in truth.notes[-1]
    for bad in ("mid,1,a,b", "elsewhere,1,a,b", ",1,a", "elsewhere,x,a"):  # not left out unseen
        (tmp_path / "t.csv").write_text(f"layer,unit,label\nmid,0,red\n{bad}\n")
        with pytest.raises(UsageError, match="1 malformed row, so nothing of it is used. line 3"):
            open_truth(atlas, str(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text("layer,unit,label\nmit,0,red\n")
    with pytest.raises(UsageError, match="units of the layers mid, fc, got .*with rows of mit"):
        open_truth(atlas, str(tmp_path / "t.csv"))
    with pytest.raises(UsageError, match="There is no such file"):
        open_truth(atlas, "x" * 5000)
    Annotations(atlas).add(rows[0])
    assert open_truth(atlas, "annotations").frame["labels"].tolist() == [("old",)]


def test_nothing_here_needs_more_than_a_manifest() -> None:
    nothing = SimpleNamespace(folder=Path("/nowhere"), layers={})
    assert Annotations(nothing).latest() == []  # type: ignore[arg-type]
