"""Concept sets: sources, the one place that cleans, templates, and clear errors."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from neuronym._core.errors import UsageError
from neuronym._core.registry import escape
from neuronym.inputs.concepts import english
from neuronym.inputs.concepts.base import CONCEPTS, ConceptSet, clean, normal, open_concepts


def write(path: Path, data: str | bytes) -> str:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return f"file:{escape(str(path))}"


class Annotated:
    """As much of a probe as concepts need."""

    name = "folder:photos"

    def __init__(self, *names: str) -> None:
        self.names = names

    def vocabulary(self) -> list[object]:
        return [type("Entry", (), {"name": name}) for name in self.names]


def test_cleaning_counts_everything_once() -> None:
    words = [
        "dog",
        "",
        "  ",
        "cat",
        "dog",
        " dog ",
        "great   white\tshark",
        "Cat",
        "DOG",
        "null",
        "cafe\u0301",
        "caf\u00e9",
        "x" * 201,
        "y" * 200,
        "zero\u200bwidth",
        "bell\x07",
    ]
    kept, report = clean(words, exclude=["ZEROwidth ", "absent"])
    accent = "caf\u00e9"
    assert kept == (
        "dog",
        "cat",
        "great white shark",
        "Cat",
        "DOG",
        "null",
        accent,
        "y" * 200,
        "bell",
    )
    assert report.given == 16
    assert report.blank == 2
    assert report.duplicates == ("dog", "dog", accent)
    assert report.excluded == ("zerowidth",)
    assert report.too_long == ("x" * 40 + "…",)
    assert report.case_variants == ("Cat", "DOG")
    assert report.changed == 3  # shark, the first café, bell
    dropped = report.blank + len(report.duplicates) + len(report.excluded) + len(report.too_long)
    assert len(kept) == report.given - dropped
    assert str(report) == (
        "2 blank lines dropped; 3 duplicates dropped: dog, dog, café; 1 word excluded; "
        f"1 line of more than 200 characters dropped: {'x' * 40}…; "
        "3 words tidied (white space, Unicode form); "
        "2 words differing only in case kept: Cat, DOG"
    )
    assert clean(kept)[0] == kept


def test_summary_is_one_line() -> None:
    concepts = open_concepts([f"word {number}" for number in range(1234)] + ["word 7"])
    assert concepts.summary == "1,234 concepts (1 duplicate dropped: word 7)"
    assert open_concepts(["a", "b"]).summary == "2 concepts"
    many = open_concepts([*"abcdefg", *"abcdefg", "x" * 300, "y" * 300])
    assert "7 duplicates dropped: a, b, c, d, e, …" in many.summary
    assert "2 lines of more than 200 characters dropped" in many.summary


def test_normal_form() -> None:
    assert normal("\ufeff  a\u00a0b\r\n") == "a b"
    assert normal(unicodedata.normalize("NFD", "Åse")) == unicodedata.normalize("NFC", "Åse")
    assert normal("\ud800x") == "x"
    assert normal("می\u200cخواهم") == "می\u200cخواهم"  # this joiner is spelling


def test_file(tmp_path: Path) -> None:
    data = "# not a comment\nnull\r\nnan\n\nNone\rtrue,false\n1.0\ncat"
    words = ("# not a comment", "null", "nan", "None", "true,false", "1.0", "cat")
    for bom in (b"", b"\xef\xbb\xbf"):
        spec = write(tmp_path / "a+b, c.txt", bom + data.encode())
        concepts = open_concepts(spec)
        assert concepts.words == words
        assert concepts.cleaning.blank == 1
        assert open_concepts(concepts.name).words == words
    assert open_concepts(tmp_path / "a+b, c.txt").words == words


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"words.txt, empty"),
        (b"cat\nd\x00g\n", r"UTF-8, got .*words.txt, which is not: byte 0x00 in line 2"),
        (b"cat\ndog\ncaf\xe9\n", r"words.txt, which is not: byte 0xe9 in line 3. Save it as UTF-8"),
        ("cat\ndog".encode("utf-16"), r"words.txt, in UTF-16 or UTF-32. Save it again as UTF-8"),
        (b"\n \n\n", r"got 0 in file:.*words.txt; 3 blank lines dropped"),
        (b"dog\n", r"at least 2 different words.*got 1 in file:.*words.txt \('dog'\)"),
        (b"dog\n dog\n", r"got 1 in .* \('dog'\); 1 duplicate dropped: dog"),
    ],
)
def test_bad_files(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_concepts(write(tmp_path / "words.txt", data))


def test_wrong_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"one of .*file:….*got 'englisch-3k'. Nearest: engl"):
        open_concepts("englisch-3k")
    with pytest.raises(UsageError, match=r"existing text file, got .*nowhere.txt, which does not"):
        open_concepts("file:nowhere.txt")
    with pytest.raises(UsageError, match="which is a folder"):
        open_concepts(f"file:{escape(str(tmp_path))}")
    with pytest.raises(UsageError, match="`concepts` to be file:PATH, got 'file'"):
        open_concepts("file")
    with pytest.raises(UsageError, match="imagenet without anything behind it"):
        open_concepts("imagenet:21k")
    with pytest.raises(UsageError, match="parameter of imagenet.*none here, got 'top'"):
        open_concepts("imagenet:top=5")
    with pytest.raises(UsageError, match="to be a name, got ' '"):
        open_concepts("imagenet+ ")
    with pytest.raises(UsageError, match="or a list of words, got int"):
        open_concepts(5)
    with pytest.raises(UsageError, match=r"a list of words, got 5 \(int\) at position 1"):
        open_concepts(["a", 5])
    with pytest.raises(UsageError, match=r"got 1 in 1 words given in Python \('a'\)"):
        open_concepts(["a"])
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "words.txt", "a\nb\n")
    with pytest.raises(UsageError, match="For this file write file:words.txt"):
        open_concepts("words.txt")


@pytest.mark.parametrize(("name", "count"), [("3k", 3_000), ("10k", 10_000), ("20k", 20_000)])
def test_english(name: str, count: int) -> None:
    words = open_concepts(f"english-{name}").words
    assert len(words) == count
    assert all(re.fullmatch("[a-z]{3,}", word) for word in words)
    bad = {"null", "nan", "none", "true", "false", "the", "and", "with", "would", "themselves"}
    assert not bad & set(words)
    assert not english.function_words() & set(words)
    assert {"dog", "water", "red", "street", "three", "round"} <= set(words)


def test_shorter_english_lists_begin_the_longer_ones() -> None:
    short, middle, long = (open_concepts(f"english-{n}").words for n in ("3k", "10k", "20k"))
    assert middle[:3_000] == short
    assert long[:10_000] == middle


def test_function_words() -> None:
    words = english.function_words()
    assert all(re.fullmatch("[a-z]{3,}", word) for word in words)
    assert 250 < len(words) < 400
    # Words with something to see stay in, although they can also be function words.
    assert not {"mine", "round", "ill", "three", "first", "well", "mile", "cross"} & words


def test_imagenet_keeps_case() -> None:
    pytest.importorskip("torchvision")
    concepts = open_concepts("imagenet")
    assert len(concepts) == 1000
    assert concepts.words[0] == "tench"
    assert {"Cardigan", "cardigan"} <= set(concepts.words)
    assert concepts.cleaning.case_variants == ("cardigan",)
    assert concepts.cleaning.duplicates == ()


def test_probe() -> None:
    probe = Annotated("sky", "polka_dotted", "sky", "null")
    concepts = open_concepts("probe", probe=probe)
    assert concepts.words == ("sky", "polka dotted", "null")
    assert concepts.summary == "3 concepts"
    with pytest.raises(UsageError, match="given together with a probe"):
        open_concepts("probe")
    with pytest.raises(UsageError, match="folder:photos has no annotations. Use english-3k"):
        open_concepts("probe", probe=Annotated())


def test_unions(tmp_path: Path) -> None:
    spec = write(tmp_path / "w.txt", "sky\ndragon\nsky\n")
    concepts = open_concepts(f"probe+{spec}", probe=Annotated("sky", "sea"))
    assert concepts.words == ("sky", "sea", "dragon")
    assert concepts.cleaning.duplicates == ("sky", "sky")
    assert concepts.name == f"probe+{spec}"


def test_exclude(tmp_path: Path) -> None:
    path = tmp_path / "bad words.txt"
    path.write_text("\ufeffSKY\n\nStraße\n", encoding="utf-8")
    words = ["sky", "Sky", "sea", "STRASSE", "dog"]
    for exclude in (str(path), path, ["sky", "strasse"], ("SKY", "straße")):
        concepts = open_concepts(words, exclude=exclude)
        assert concepts.words == ("sea", "dog")
        assert concepts.cleaning.excluded == ("sky", "Sky", "STRASSE")
    assert concepts.summary == "2 concepts (3 words excluded)"
    with pytest.raises(UsageError, match="`exclude` to be an existing text file, got nowhere.txt"):
        open_concepts(words, exclude="nowhere.txt")
    with pytest.raises(UsageError, match=r"got 1 in 5 words .*\('dog'\); 4 words excluded"):
        open_concepts(words, exclude=["sky", "sea", "strasse"])


def test_templates() -> None:
    concepts = open_concepts(["cat", "{}", "dog"], templates=["a photo of a {}.", "{}"])
    assert concepts.templates == ("a photo of a {}.", "{}")
    assert concepts.prompts("a {}.") == ["a cat.", "a {}.", "a dog."]
    assert open_concepts(["a", "b"], templates="the {}").templates == ("the {}",)
    assert open_concepts(["a", "b"]).templates == ("{}",)
    for wrong in ("a photo", "{} and {}", "{0}", ""):
        shown = re.escape(repr(wrong))
        message = f"a prompt with {{}} exactly once, got {shown}. For example"
        with pytest.raises(UsageError, match=message):
            open_concepts(["a", "b"], templates=["{}", wrong])
    with pytest.raises(UsageError, match="at least one prompt, got none"):
        open_concepts(["a", "b"], templates=[])
    with pytest.raises(UsageError, match="different prompts, got 'a {}'. It would count twice"):
        open_concepts(["a", "b"], templates=["a {}", "{}", "a {}"])


def test_a_concept_set_passes_through() -> None:
    concepts = open_concepts(["a", "b", "c"], templates=["x {}"])
    assert open_concepts(concepts) is concepts
    fewer = open_concepts(concepts, exclude=["B"])
    assert fewer.words == ("a", "c")
    assert fewer.templates == ("x {}",)
    assert open_concepts(concepts, templates=["y {}"]).templates == ("y {}",)


def test_fingerprint_is_of_words_order_and_templates() -> None:
    base = open_concepts(["a", "b", "c"])
    assert open_concepts([" a", "b", "b", "c"]).fingerprint == base.fingerprint
    others = [
        open_concepts(["a", "c", "b"]),
        open_concepts(["a", "b"]),
        open_concepts(["a", "b", "C"]),
        open_concepts(["a", "b", "c"], templates=["the {}"]),
        ConceptSet("x", ("ab", "c")),
        ConceptSet("x", ("a", "bc")),
    ]
    assert len({concepts.fingerprint for concepts in [base, *others]}) == 7


def test_every_source_has_a_summary() -> None:
    names = {"english-3k", "english-10k", "english-20k", "imagenet", "probe", "file"}
    assert names == {entry.name for entry in CONCEPTS}
    assert all(entry.summary.endswith(".") for entry in CONCEPTS)
