"""open-clip names: tags, checkpoints, folders, and what can be wrong with them."""

from __future__ import annotations

import json
import pickle
import shutil
import sys

import pytest
import torch
from safetensors.torch import save_file

from neuronym._core import hub
from neuronym._core.errors import MissingExtraError, NeuronymError, UsageError
from neuronym.inputs.encoders.base import open_encoder
from tiny_encoders import (
    DIM,
    TEXTS,
    WINDOW,
    images,
    one_thread,  # noqa: F401
    open_clip_config,
    open_clip_weights,
)

ARCH = "tiny-tagged"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("open-clip")
    open_clip_config(ARCH, home)
    state = open_clip_weights(ARCH)
    save_file(state, home / "clip.safetensors")
    torch.save(state, home / "clip.pt")
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(wrapped, home / "wrapped.pt")
    torch.save({"weight": torch.zeros(3)}, home / "other.pt")
    return home


@pytest.fixture
def tags(home, monkeypatch):
    """Publish the tiny weights under two tags, one of them trained with QuickGELU."""
    from open_clip import pretrained

    usual = {
        "file": str(home / "clip.pt"),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.25, 0.26, 0.27),
    }
    listed = {
        "quick": usual | {"quick_gelu": True},
        "plain": usual | {"resize_mode": "squash"},
        "far": {"hf_hub": "neuronym-tests/none/", "quick_gelu": False},
    }
    monkeypatch.setitem(pretrained._PRETRAINED, ARCH, listed)


def same(a, b):
    return float((a.encode_texts(TEXTS) - b.encode_texts(TEXTS)).abs().max()) < 1e-6 and (
        float((a.encode_images(images()) - b.encode_images(images())).abs().max()) < 1e-6
    )


@pytest.mark.parametrize("file", ["clip.pt", "wrapped.pt"])
def test_every_kind_of_file_gives_the_same_encoder(home, file):
    first = open_encoder(f"open-clip:{ARCH}/{home}/clip.safetensors")
    other = open_encoder(f"open-clip:{ARCH},weights={home}/{file}")
    assert same(first, other)
    assert first.fingerprint == other.fingerprint
    assert open_encoder(other.name).fingerprint == other.fingerprint


def test_relative_paths(home, monkeypatch):
    monkeypatch.chdir(home)
    assert open_encoder(f"open-clip:{ARCH}/clip.pt").dim == DIM


def test_a_tag_decides_activation_and_preprocessing(home, tags):
    quick, plain = (open_encoder(f"open-clip:{ARCH}/{tag}") for tag in ("quick", "plain"))
    assert not same(quick, plain)
    assert quick.note == plain.note == ""
    assert quick.preprocess.mean == (0.5, 0.4, 0.3)
    assert (quick.preprocess.fit, plain.preprocess.fit) == ("crop", "squash")
    # A local file can be read as the tag says it was trained.
    local = open_encoder(f"open-clip:{ARCH}/quick,weights={home}/clip.safetensors")
    assert same(local, quick)
    assert local.fingerprint == quick.fingerprint
    stated = open_encoder(f"open-clip:{ARCH}/{home}/clip.pt,quick_gelu=true")
    assert same(stated, quick)
    assert stated.note == ""


def test_a_file_alone_takes_what_all_tags_agree_on_and_says_what_it_guessed(home, tags):
    encoder = open_encoder(f"open-clip:{ARCH}/{home}/clip.pt")
    assert "write quick_gelu=true" in encoder.note
    from open_clip import pretrained

    del pretrained._PRETRAINED[ARCH]["far"]
    encoder = open_encoder(f"open-clip:{ARCH}/{home}/clip.pt,quick_gelu=false")
    assert encoder.preprocess.mean == (0.5, 0.4, 0.3)
    assert encoder.preprocess.fit == "crop"  # the tags disagree: open_clip's default


def test_openai_tags_of_open_clip_state_quick_gelu():
    """The published alias must never be read with plain GELU."""
    from neuronym._core.registry import parse
    from neuronym.inputs.encoders.base import ENCODERS
    from neuronym.inputs.encoders.open_clip import _read

    assert _read(parse(ENCODERS.expand("clip"))).quick_gelu is True
    assert _read(parse("open-clip:ViT-B-16/laion2b_s34b_b88k")).quick_gelu is False


def test_a_folder_with_its_own_configuration(home, tmp_path):
    model = json.loads((home / f"{ARCH}.json").read_text()) | {"quick_gelu": True}
    settings = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "resize_mode": "squash"}
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": model, "preprocess_cfg": settings})
    )
    shutil.copy(home / "clip.safetensors", tmp_path / "open_clip_model.safetensors")
    encoder = open_encoder(f"open-clip:{tmp_path}")
    assert same(encoder, open_encoder(f"open-clip:{ARCH}/{home}/clip.pt,quick_gelu=true"))
    assert encoder.preprocess.std == (0.4, 0.5, 0.6)
    assert open_encoder(encoder.name).fingerprint == encoder.fingerprint
    with pytest.raises(UsageError, match="`weights` to be left out where a folder"):
        open_encoder(f"open-clip:{tmp_path},weights=x.pt")
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(NeuronymError, match="Required pretrained weights"):
        open_encoder(f"open-clip:{tmp_path}")


@pytest.mark.parametrize("window", [WINDOW, 11])
def test_texts_are_embedded_as_open_clip_embeds_them(home, window):
    import open_clip

    name = f"tiny-window-{window}"
    base = json.loads((home / f"{ARCH}.json").read_text())
    open_clip_config(name, home, text_cfg=base["text_cfg"] | {"context_length": window})
    save_file(open_clip_weights(name), home / f"{name}.safetensors")
    encoder = open_encoder(f"open-clip:{name}/{home}/{name}.safetensors")
    assert encoder._texts.__name__ == "short"
    model = open_clip.create_model(name, pretrained=str(home / f"{name}.safetensors")).eval()
    texts = [*TEXTS, "a dog and a cat and " * 9]
    with torch.no_grad():
        expected = model.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)
    assert float((encoder.encode_texts(texts) - expected).abs().max()) < 1e-6
    assert encoder.max_tokens == window


def test_sigmoid_models_have_no_fixed_sharpness(home):
    """A text tower of another class than CLIP's takes the library's own way."""
    text = {"context_length": 13, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 1}
    text |= {"no_causal_mask": True, "pool_type": "last"}
    open_clip_config("tiny-sigmoid", home, text_cfg=text, custom_text=True, init_logit_bias=-10)
    save_file(open_clip_weights("tiny-sigmoid"), home / "sigmoid.safetensors")
    encoder = open_encoder(f"open-clip:tiny-sigmoid/{home}/sigmoid.safetensors")
    assert encoder.logit_scale is None
    assert encoder._texts.__name__ == "full"
    single = torch.cat([encoder.encode_texts([text]) for text in TEXTS])
    assert float((encoder.encode_texts(TEXTS) - single).abs().max()) < 1e-6


# What is wrong is said in one sentence.


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open-clip:ViT-B16/openai", "an architecture of open_clip.*'ViT-B16'. Nearest: ViT-B-16"),
        (
            "open-clip:ViT-B-16/opnai",
            "a tag of ViT-B-16 or a weights file, got 'opnai'. Tags: opena",
        ),
        ("open-clip:ViT-B-16/opnai,weights=x.pt", "a tag of ViT-B-16 or a weights file"),
        ("open-clip:ViT-B-16", "name weights: open-clip:ARCH/PRETRAINED"),
        ("open-clip", "an architecture of open_clip"),
        (f"open-clip:{ARCH}/absent.pt", "`weights` to be an existing file, got 'absent.pt"),
        (f"open-clip:{ARCH}/x.pt,weight=y", "got 'weight'. Nearest: weights"),
        (f"open-clip:{ARCH}/x.pt,quick_gelu=maybe", "`quick_gelu` to be one of true, false"),
    ],
)
def test_wrong_names(home, name, message):
    with pytest.raises(UsageError, match=message):
        open_encoder(name)


class Evil:
    def __reduce__(self):
        return (open, ("owned", "w"))


def test_files_that_do_not_load_or_do_not_fit(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "raw.pkl.pt").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "text.safetensors").write_text("hello")
    for file in ("evil.pt", "raw.pkl.pt", "text.pt"):
        with pytest.raises(NeuronymError, match=f"{file} (holds more|is a text file)"):
            open_encoder(f"open-clip:{ARCH}/{file}")
    assert not (tmp_path / "owned").exists()
    with pytest.raises(NeuronymError, match="text.safetensors is a text file, no weights"):
        open_encoder(f"open-clip:{ARCH}/text.safetensors")
    with pytest.raises(NeuronymError, match=f"other.pt do not fit {ARCH}: Missing key"):
        open_encoder(f"open-clip:{ARCH}/{home}/other.pt")


def test_no_network(home, tags, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "reachable", lambda endpoint: False)
    message = (
        f"weights 'far' of {ARCH} could not be loaded: there is no network.*weights=FILE.*sketch"
    )
    with pytest.raises(NeuronymError, match=message):
        open_encoder(f"open-clip:{ARCH}/far")
    message = "model hf-hub:neuronym-tests/none could not be loaded: there is no network.*sketch"
    with pytest.raises(NeuronymError, match=message):
        open_encoder("open-clip:hf-hub:neuronym-tests/none")


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"neuronym\[open-clip\]\""):
        open_encoder("clip")
