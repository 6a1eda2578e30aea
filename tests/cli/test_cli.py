"""The commands as a user runs them, on one small atlas of real embedded networks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Done, run
from neuronym.extraction.cache import Cache
from neuronym.extraction.texts import concept_embeddings
from neuronym.inputs.concepts.base import ConceptSet, open_concepts
from neuronym.inputs.encoders.base import open_encoder
from places import FAKES
from small_world import coloured_images


def process(*arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess:
    """Run the installed command as a process of its own, and check its exit code."""
    environment = os.environ | {
        "NEURONYM_CACHE": str(cwd / "cache"),
        "COLUMNS": "120",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join([str(FAKES), *filter(None, sys.path)]),
    }
    command = [sys.executable, "-W", "error::DeprecationWarning:neuronym", "-m", "neuronym"]
    result = subprocess.run(
        [*command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def neuronym(*arguments: str, cwd: Path) -> Done:
    """Run the command within this process; it has to succeed."""
    done = run(*arguments, cwd=cwd)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "photos").mkdir()
    for number, image in enumerate(coloured_images(40)):
        Image.fromarray(image).save(folder / "photos" / f"[b]{number:02d}<i>.png")
    (folder / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    (folder / "photos" / "01\x1b[31m\n\u202e.png").write_bytes(
        (folder / "photos" / "[b]01<i>.png").read_bytes() + b"x"
    )
    words = open_concepts("english-3k").words[:300]
    (folder / "short.txt").write_text("\n".join(words))
    result = process(
        "dissect",
        "efficientnet-lite0",
        "--layers",
        "_blocks.15,_fc",
        "--probe",
        "folder:photos",
        "--encoder",
        "conse",
        "--concepts",
        "file:short.txt",
        "--out",
        "atlas",
        cwd=folder,
    )
    (folder / "dissect.out").write_text(result.stdout)
    (folder / "dissect.err").write_text(result.stderr)
    return folder


def test_dissect_tells_what_it_does_and_what_came_out(place: Path) -> None:
    out, err = (place / "dissect.out").read_text(), (place / "dissect.err").read_text()
    assert "_blocks.15 (320), _fc (1000): 1,320 units" in err
    assert "input       224 × 224 pixels, RGB; shorter side to 224, bicubic, then the centre" in err
    assert "(known: measured for efficientnet-lite0)" in err
    assert "pooling     mean over positions (_blocks.15); none: one number as it is (_fc)" in err
    assert "300 concepts" in err
    assert "flatters results" in err  # the encoder's caveat
    assert "skipped broken.jpg" in err
    assert "1,320 neurons of efficientnet-lite0 labelled" in out
    assert "40 images" in out
    assert "2 of the 41 images are copies" in " ".join(out.split())
    assert "neuronym search atlas" in out
    manifest = json.loads((place / "atlas" / "atlas.json").read_text())
    assert manifest["probe"]["skipped"][0][0] == "broken.jpg"
    assert manifest["methods"]["clip-dissect.soft-wpmi"]["with_defaults"] == "soft-wpmi:top_k=5,a=3"


def test_show(place: Path) -> None:
    text = neuronym("show", "atlas", "_fc:3", cwd=place).out
    assert "_fc:3 of efficientnet-lite0" in text
    assert "Highest activating images" in text
    assert "[b]" in text  # file names are not markup
    for number in range(0, 1000, 331):
        text = neuronym("show", "atlas", f"_fc:{number}", cwd=place).out
        assert not set(text) & {"\x1b", "\u202e"}
    data = json.loads(neuronym("show", "atlas", "_fc:3", "--json", cwd=place).out)
    assert [row["rank"] for row in data["labels"]] == list(range(1, 21))
    scores = [row["score"] for row in data["labels"]]
    assert scores == sorted(scores, reverse=True)
    neuronym("show", "atlas", "_blocks.15:3", "--figure", "unit.png", cwd=place)
    with Image.open(place / "unit.png") as figure:
        assert figure.width > 1000
    summary = json.loads(neuronym("show", "atlas", "--json", cwd=place).out)
    assert [layer["units"] for layer in summary["layers"]] == [320, 1000]


def test_search(place: Path) -> None:
    best = json.loads(neuronym("show", "atlas", "--json", cwd=place).out)["top_scoring"][0]
    found = json.loads(
        neuronym("search", "atlas", best["concept"], "--match", "exact", "--json", cwd=place).out
    )
    assert any(u["unit"] == best["unit"] and u["rank"] == 1 for u in found["units"])
    assert (
        "No neuron was found by 'zzzqqq'"
        in neuronym("search", "atlas", "zzzqqq", "--in", "labels", cwd=place).out
    )
    classic = ["search", "atlas", "zzzqqq", "--format", "classic"]
    anew = neuronym(*classic, cwd=place)
    assert "'zzzqqq' is not in the concept set: it was scored anew" in anew.err
    assert all(line.startswith("Found concept") for line in anew.out.splitlines())
    none = neuronym(*classic, "--in", "labels", cwd=place)
    assert (none.out, "No neuron was found by 'zzzqqq'" in none.err) == ("", True)


def test_searches_of_layers_by_pattern_and_of_neurons(place: Path) -> None:
    asked = ["dog", "--layers", "_bl*", "--in", "scores", "--json"]
    found = json.loads(neuronym("search", "atlas", *asked, cwd=place).out)
    assert {unit["layer"] for unit in found["units"]} == {"_blocks.15"}
    text = neuronym("search", "atlas", "_fc:17", "--in", "labels", cwd=place).out
    assert "_fc:17 is also a neuron: neuronym show atlas _fc:17" in text
    for wrong, said in [
        (["dog", "--by", "activations"], "--by with --image or --like"),
        (["--like", "_fc:3", "--format", "classic"], "--format classic with a word"),
        (["--image", "dissect.out"], "It is not an image"),
    ]:
        done = run("search", "atlas", *wrong, cwd=place)
        assert (done.code, said in done.err) == (2, True), done.err


def test_layers(place: Path) -> None:
    rows = json.loads(neuronym("layers", "efficientnet-lite0", "--json", cwd=place).out)
    by_name = {row["name"]: row for row in rows}
    assert by_name["_fc"]["units"] == 1000
    assert by_name["_blocks.15"]["shape"] == [320, 7, 7]
    defaults = [row["name"] for row in rows if row["default"]]
    assert defaults[-1] == "_fc"
    assert len(defaults) == 5
    text = neuronym("layers", "efficientnet-lite0", "--layers", "_blocks.*", cwd=place).out
    assert "320 × 7 × 7" in text
    assert (by_name["_fc"]["pooling"], by_name["_blocks.15"]["pooling"]) == (
        "none: one number as it is",
        "mean over positions",
    )
    assert "input: 224 × 224 pixels, RGB; " in text


def test_layers_of_a_network_of_ones_own(place: Path) -> None:
    text = neuronym("layers", "python:drawings:Small", cwd=place).out
    assert "input: 224 × 224 pixels, RGB; " in text
    assert "(assumed, as usual for ImageNet: size, channels, normalisation)" in text
    given = ["--preprocess", "size=32,mean=0.3,std=0.5", "--json"]
    rows = json.loads(neuronym("layers", "python:drawings:Small", *given, cwd=place).out)
    assert rows[0]["shape"] == [16, 32, 32]
    done = run("layers", "python:drawings:Small", "--preprocess", "siez=32", cwd=place)
    assert (done.code, "got 'siez'. Nearest: size" in done.err) == (2, True)
    assert "_conv_stem" not in text


def test_list_and_doctor_and_cache(place: Path) -> None:
    listed = json.loads(neuronym("list", "--json", cwd=place).out)
    assert set(listed) == {
        "targets",
        "probes",
        "concepts",
        "encoders",
        "engines",
        "similarities",
        "methods",
        "analyses",
        "tables",
        "figures",
        "formats",
    }
    assert "soft-wpmi" in neuronym("list", "similarities", cwd=place).out
    found = json.loads(neuronym("doctor", "--json", cwd=place).out)
    assert found["torchvision_works"] is True
    assert "Nothing is wrong" in neuronym("doctor", cwd=place).out
    stored = json.loads(neuronym("cache", "list", "--json", cwd=place).out)["stored"]
    assert {s["kind"] for s in stored} == {"activations", "embeddings", "images", "maps", "texts"}
    assert "efficientnet-lite0 _fc" in neuronym("cache", "list", cwd=place).out
    assert "Would remove" in neuronym("cache", "prune", "--dry-run", cwd=place).out


@pytest.mark.torture
def test_settings_of_an_atlas_run_again_and_use_the_cache(place: Path) -> None:
    result = neuronym("dissect", "--config", "atlas", "--out", "again", "--quiet", cwd=place)
    assert result.out.strip() == "again"
    import neuronym as nym

    one, two = nym.open(place / "atlas"), nym.open(place / "again")
    assert one.labels(trust=False).equals(two.labels(trust=False))
    np.testing.assert_array_equal(one.activations("_fc"), two.activations("_fc"))


@pytest.mark.torture
def test_a_dry_run_writes_nothing_and_counts_the_words_that_are_not_cached(place: Path) -> None:
    (place / "words.txt").write_text("\n".join(["dog", "house", "zyzzyva", "cassowary"]))
    some = ConceptSet("some", ("house", "dog"))
    concept_embeddings(open_encoder("conse"), some, Cache(place / "cache"))

    def cost(*more: str) -> dict:
        dry = ("dissect", "--config", "atlas", "--out", "dry", "--dry-run", "--json", *more)
        return json.loads(neuronym(*dry, cwd=place).out)

    own = cost("--concepts", "file:words.txt")
    in_templates = cost("--template", "a {}", "--template", "the {}")
    assert [found["texts"] for found in (own, in_templates)] == [2, 600]
    assert not (place / "dry").exists()
    for found in (own, in_templates):
        assert found["units"] == 1320
        parts = ("decoding", "target", "encoder", "text")
        assert found["seconds"] == pytest.approx(sum(found[f"{part}_seconds"] for part in parts))
        assert all(found[f"{part}_seconds"] > 0 for part in parts[:3])
    assert in_templates["text_seconds"] > own["text_seconds"] > 0
    told = neuronym("dissect", "--config", "atlas", "--dry-run", cwd=place).out
    assert "0 s for the words, which are cached" in told


def test_output_can_be_cut_off(place: Path) -> None:
    command = f"{sys.executable} -m neuronym show atlas _fc:3 | head -1"
    result = subprocess.run(command, shell=True, cwd=place, capture_output=True, text=True)
    assert "Traceback" not in result.stderr


@pytest.mark.torture
def test_output_on_a_terminal_without_unicode(place: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "NEURONYM_CACHE": str(place / "cache")}
    for arguments in (
        ["list"],
        ["show", "atlas", "_fc:3"],
    ):
        command = [sys.executable, "-m", "neuronym", *arguments]
        result = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr


@pytest.mark.torture
def test_a_dry_run_passes_over_broken_images(place: Path) -> None:
    (place / "first").mkdir()
    (place / "first" / "a.jpg").write_bytes(b"no image")
    (place / "first" / "b.png").write_bytes((place / "photos" / "[b]02<i>.png").read_bytes())
    result = neuronym(
        "dissect",
        "--config",
        "atlas",
        "--probe",
        "folder:first",
        "--out",
        "dry",
        "--dry-run",
        cwd=place,
    )
    assert "Would label 1,320 units from 2 images" in result.out
    assert (result.err + result.out).count("nearly equal images") == 1  # said once
    (place / "first" / "b.png").write_bytes(b"no image either")
    result = run(
        *["dissect", "--config", "atlas", "--probe", "folder:first", "--out", "dry", "--dry-run"],
        cwd=place,
    )
    assert result.code == 1
    assert "folder:first could be read; the first, a.jpg: is not an image" in result.err
