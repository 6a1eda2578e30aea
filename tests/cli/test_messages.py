"""What a user reads when something is wrong: one line on standard error, and the exit code."""

from pathlib import Path

import pytest

from commands import Done, run

BASE = ["dissect", "python:small_world:build", "--probe", "PHOTOS", "--encoder", "conse"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    from PIL import Image

    from small_world import coloured_images

    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(coloured_images(12)):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    return folder


def attempt(arguments: list[str], folder: Path) -> Done:
    """Run a command on the photographs of a folder."""
    return run(*(a.replace("PHOTOS", f"folder:{folder / 'photos'}") for a in arguments), cwd=folder)


WRONG = [
    (["dissect", "resnet5"], 2, r"got 'resnet5'\. Nearest: .*resnet50"),
    (["dissect", "torchvision:resnet5000"], 2, "resnet5000.*Nearest: .*resnet"),
    (["dissect", "python:no_such_module:build"], 2, "no_such_module"),
    (["dissect", "python:./mynets.py:build"], 2, "a module, not a file.*write python:mynets:build"),
    (["dissect", "python:small_world:no_such_function"], 2, "no_such_function"),
    (
        [*BASE, "--layers", "detekt"],
        2,
        "`layers` to name modules of .*got 'detekt'. Nearest: detect",
    ),
    ([*BASE, "--pool", "median"], 2, "'median'"),
    ([*BASE, "--pool", "cls", "--layers", "detect"], 2, "no class token. Use --pool"),
    ([*BASE, "--probe", "foldr:x"], 2, "got 'foldr.*Nearest: folder"),
    ([*BASE, "--probe", "folder:nowhere"], 2, "nowhere"),
    ([*BASE, "--probe", "folder:empty"], 2, "empty"),
    ([*BASE, "--probe", "folder:texts"], 2, "texts"),
    ([*BASE, "--concepts", "englisch-20k"], 2, "got 'englisch-20k'.*Nearest: english-20k"),
    ([*BASE, "--concepts", "file:nowhere.txt"], 2, "nowhere.txt"),
    ([*BASE, "--concepts", "file:empty.txt"], 2, "empty.txt"),
    ([*BASE, "--concepts", "file:binary.txt"], 2, "binary.txt"),
    ([*BASE, "--concepts", "file:one.txt"], 2, "one.txt"),
    ([*BASE, "--template", "a photo"], 2, r"\{\}"),
    ([*BASE, "--encoder", "klip"], 2, "got 'klip'. Nearest: clip"),
    ([*BASE, "--encoder", "open-clip:ViT-B-17/openai"], 2, "ViT-B-17.*Nearest|Nearest.*ViT-B-1"),
    ([*BASE, "--similarity", "soft-wmpi"], 2, "got 'soft-wmpi'. Nearest: soft-wpmi"),
    ([*BASE, "--similarity", "soft-wpmi:topk=5"], 2, "top_k"),
    ([*BASE, "--similarity", "soft-wpmi:top_k=0"], 2, "top_k.*at least 1, got '?0"),
    (
        [*BASE, "--similarity", "soft-wpmi:top_k=13"],
        2,
        r"top_k.*at most the number of images \(12\)",
    ),
    ([*BASE, "--weights", "nowhere.pth"], 2, "nowhere.pth"),
    ([*BASE, "--weights", "one.txt"], 1, "one.txt"),
    ([*BASE, "--device", "cuda:7"], 2, "no CUDA device|there are"),
    ([*BASE, "--device", "tpu"], 2, "`device` to be auto, cpu, cuda"),
    ([*BASE, "--dtype", "int8"], 2, "`dtype` to be one of float32"),
    ([*BASE, "--batch-size", "0"], 2, "`batch_size` to be a whole number of at least 1, got 0"),
    ([*BASE, "--limit", "0"], 2, "`limit`"),
    ([*BASE, "--config", "nowhere.toml"], 2, "nowhere.toml.*No such file"),
    ([*BASE, "--config", "wrong.toml"], 2, r"wrong\.toml, got 'probes'. Nearest: probe"),
    ([*BASE, "--resume", "--overwrite"], 2, "exclude each other"),
    ([*BASE, "--nonsense"], 2, "No such option: --nonsense"),
    ([*BASE, "--out", "one.txt"], 2, "which exists and is no atlas"),
    ([*BASE, "--config", "types.toml"], 2, "`layers` to be a list of texts, got 5"),
    ([*BASE, "--device", "meta"], 2, "`device` to be auto, cpu, cuda"),
    (["show", "nowhere"], 2, "`atlas` to be the folder of an atlas, got 'nowhere'"),
    (["search", "nowhere", "dog"], 2, "`atlas`"),
    (["layers", "resnet5"], 2, "Nearest: .*resnet50"),
    (["list", "encodings"], 2, "one of targets, probes"),
    (["cache", "prune", "--kind", "x"], 2, "activations"),
    (["frobnicate"], 2, "No such command"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG, ids=lambda v: str(v)[:60])
def test_one_clear_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, photos: Path
) -> None:
    import re

    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no image")
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "one.txt").write_text("dog\n")
    (tmp_path / "types.toml").write_text("layers = 5\n")
    (tmp_path / "wrong.toml").write_text("probes = 'synthetic'\n")
    got = attempt(arguments, tmp_path)
    err = got.err
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    assert re.search(message, lines[0]), lines[0]
    assert "Traceback" not in err
    assert got.code == code, err
    assert not (tmp_path / "detectors-atlas" / "labels").exists()


def test_a_hub_name_without_network(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for arguments, ways in [
        (["dissect", "timm:vit_tiny_patch16_224", "--probe", "PHOTOS"], "efficientnet-lite0"),
        (["dissect", "hf:google/vit-base-patch16-224", "--probe", "PHOTOS"], "efficientnet-lite0"),
        ([*BASE, "--encoder", "clip"], "sketch"),
        ([*BASE, "--encoder", "hf:openai/clip-vit-base-patch16"], "sketch"),
    ]:
        done = attempt(arguments, tmp_path)
        last = done.err.strip().splitlines()[-1]
        assert done.code == 1, done.err
        assert last.startswith("error: "), done.err
        assert ways in last, last


def test_a_missing_atlas_part_says_how_to_get_it(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "words.txt").write_text("red\ngreen\nblue\n")
    made = [*BASE, "--layers", "head", "--concepts", "file:words.txt", "--out", "a"]
    assert attempt(made, tmp_path).code == 0
    done = attempt(["show", "a", "head:1", "--figure", "x.docx"], tmp_path)
    assert done.code == 2, done.err
    assert "a file name ending in .png" in done.err
    done = attempt(["show", "a", "head:99"], tmp_path)
    assert done.code == 2
    assert "a number 0…3 in head, got 99" in done.err


def test_warnings_are_one_line_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the user's own modules and ours are notes; those of libraries are left out."""
    import os

    import torch

    from neuronym import cli
    from neuronym.cli import _note

    _note(UserWarning("weights are old"), UserWarning, "/home/me/my_models.py", 3)
    _note(UserWarning("has another name"), UserWarning, cli.__file__, 3)
    _note(UserWarning("meshgrid will change"), UserWarning, torch.functional.__file__, 3)
    _note(DeprecationWarning("of Python"), DeprecationWarning, os.__file__, 3)
    assert capsys.readouterr().err == "note: weights are old\nnote: has another name\n"
