"""CLIP and SigLIP families: tiny random models, loaded by the code that loads published ones."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from neuronym._core import hub
from neuronym._core.errors import MissingExtraError, NeuronymError, UsageError
from neuronym.inputs.encoders.base import open_encoder
from tiny_encoders import (
    DIM,
    SIDE,
    TEXTS,
    WIDTH,
    WINDOW,
    clip_tokenizer,
    images,
    one_thread,  # noqa: F401
    open_clip_config,
    open_clip_weights,
    save_clip,
    save_siglip,
)

ARCH = "tiny-ViT"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folder with one CLIP in both libraries' forms and two SigLIPs."""
    home = tmp_path_factory.mktemp("encoders")
    open_clip_config(ARCH, home)
    state = open_clip_weights(ARCH)
    save_file(state, home / "clip.safetensors")
    save_clip(home / "clip", state)
    save_clip(home / "quick", state, hidden_act="quick_gelu")
    for version in (1, 2):
        save_siglip(home / f"siglip{version}", version)
    return home


def names(home):
    return {
        "open-clip": f"open-clip:{ARCH}/{home}/clip.safetensors",
        "hf-clip": f"hf:{home}/clip",
        "siglip": f"hf:{home}/siglip1",
        "siglip2": f"hf:{home}/siglip2",
    }


KINDS = ["open-clip", "hf-clip", "siglip", "siglip2"]


@pytest.fixture(scope="module")
def encoders(home):
    return {kind: open_encoder(name) for kind, name in names(home).items()}


def difference(a, b):
    return float((a - b).abs().max())


@pytest.mark.parametrize("quick", [False, True])
def test_the_same_weights_give_the_same_embeddings_in_both_libraries(home, quick):
    flag = ",quick_gelu=true" if quick else ""
    ours = open_encoder(names(home)["open-clip"] + flag)
    theirs = open_encoder(f"hf:{home}/{'quick' if quick else 'clip'}")
    assert difference(ours.encode_images(images()), theirs.encode_images(images())) < 1e-4
    assert difference(ours.encode_texts(TEXTS), theirs.encode_texts(TEXTS)) < 1e-4
    assert ours.preprocess.mean == theirs.preprocess.mean
    assert ours.preprocess.size == theirs.preprocess.size == (SIDE, SIDE)


def test_the_activation_function_matters_here(home, encoders):
    quick = open_encoder(names(home)["open-clip"] + ",quick_gelu=true")
    assert difference(quick.encode_texts(TEXTS), encoders["open-clip"].encode_texts(TEXTS)) > 1e-3
    assert quick.fingerprint != encoders["open-clip"].fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_contract(encoders, home, kind):
    encoder = encoders[kind]
    assert encoder.dim == (WIDTH if "siglip" in kind else DIM)
    assert encoder.max_tokens == WINDOW
    assert encoder.logit_scale == (None if "siglip" in kind else 10.0)
    assert encoder.name == names(home)[kind]
    assert encoder.note == ""
    for vectors, count in ((encoder.encode_images(images(7)), 7), (encoder.encode_texts(TEXTS), 4)):
        assert vectors.shape == (count, encoder.dim)
        assert vectors.dtype == torch.float32
        assert not vectors.requires_grad
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(count))
    assert torch.equal(encoder.encode_images(images()), encoder.encode_images(images()))
    assert difference(*encoder.encode_texts(["dog", "honeycomb"]).split(1)) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_depends_on_the_rest_of_its_batch(encoders, kind):
    encoder = encoders[kind]
    for image, vector in zip(images(7), encoder.encode_images(images(7)), strict=True):
        assert difference(encoder.encode_images(image[None])[0], vector) < 1e-6
    together = encoder.encode_texts([*TEXTS, "dog " * 40])
    for text, vector in zip(TEXTS, together, strict=False):
        assert difference(encoder.encode_texts([text])[0], vector) < 1e-6
    assert difference(encoder.encode_texts(TEXTS[::-1]).flip(0), together[:4]) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_cut_at_the_window(encoders, kind):
    encoder = encoders[kind]
    long = encoder.encode_texts(["dog " * 40, "dog " * 40 + "honeycomb"])
    assert difference(*long.split(1)) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_gives_float32_unit_vectors(encoders, kind):
    exact = encoders[kind].encode_images(images())
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encoders[kind].encode_images(images())
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough.norm(dim=1), torch.ones(7))
    assert 0 < difference(rough, exact) < 0.1


@pytest.mark.parametrize("kind", KINDS[1:])
def test_embeddings_are_what_the_library_gives_for_its_own_inputs(encoders, home, kind):
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    folder = names(home)[kind].removeprefix("hf:")
    encoder, model = encoders[kind], AutoModel.from_pretrained(folder).eval()
    pixels = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    given = AutoImageProcessor.from_pretrained(folder)(Image.fromarray(pixels), return_tensors="pt")
    batch = encoder.preprocess.normalise(torch.from_numpy(pixels[None]))
    with torch.no_grad():
        expected = model.get_image_features(**given).pooler_output
    expected = torch.nn.functional.normalize(expected, dim=-1)
    assert difference(encoder.encode_images(batch), expected) < 1e-4

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        tokens = tokenizer([text], truncation=True, max_length=WINDOW).input_ids[0]
        if "siglip" in kind:  # filled up on the right, nothing masked
            tokens = tokens + [tokenizer.pad_token_id] * (WINDOW - len(tokens))
        with torch.no_grad():
            expected = model.get_text_features(input_ids=torch.tensor([tokens])).pooler_output
        expected = torch.nn.functional.normalize(expected, dim=-1)
        assert difference(encoder.encode_texts([text]), expected) < 1e-5


def test_siglip_reads_lower_case(encoders):
    for kind in ("siglip", "siglip2"):
        assert difference(*encoders[kind].encode_texts(["dog", "DOG"]).split(1)) < 1e-6


def test_fingerprints_follow_content_not_place(home, encoders, tmp_path):
    prints = {encoder.fingerprint for encoder in encoders.values()}
    assert len(prints) == 4
    shutil.copytree(home / "clip", tmp_path / "elsewhere")
    again = open_encoder(f"hf:{tmp_path}/elsewhere")
    again.encode_texts(TEXTS)  # a tokenizer remembers padding and truncation of its last call
    assert again.fingerprint == encoders["hf-clip"].fingerprint


def test_fingerprint_follows_tokenizer_and_preprocessing(home, encoders, tmp_path):
    shutil.copytree(home / "clip", tmp_path / "words")
    tokenizer = clip_tokenizer()
    tokenizer.model_max_length = 9
    tokenizer.save_pretrained(tmp_path / "words")
    assert open_encoder(f"hf:{tmp_path}/words").fingerprint != encoders["hf-clip"].fingerprint
    shutil.copytree(home / "clip", tmp_path / "pixels")
    file = tmp_path / "pixels" / "preprocessor_config.json"
    file.write_text(file.read_text().replace("0.48145466", "0.5"))
    assert open_encoder(f"hf:{tmp_path}/pixels").fingerprint != encoders["hf-clip"].fingerprint


def test_parameters_keep_requiring_gradients(encoders):
    """Autocast keeps its converted weights only for such parameters."""
    assert all(p.requires_grad for p in encoders["hf-clip"]._model.parameters())
    assert not encoders["hf-clip"]._model.training


# What is wrong is said in one sentence.


def test_incomplete_weights_are_refused(home, tmp_path):
    from safetensors.torch import load_file

    shutil.copytree(home / "clip", tmp_path / "part")
    state = load_file(tmp_path / "part" / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, tmp_path / "part" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NeuronymError, match=r"1 of its tensors .* first is visual_projection"):
        open_encoder(f"hf:{tmp_path}/part")


def test_a_tokenizer_of_another_model_is_refused(home, tmp_path):
    shutil.copytree(home / "siglip1", tmp_path / "mixed")
    for file in (tmp_path / "mixed").glob("tokenizer*"):
        file.unlink()
    clip_tokenizer().save_pretrained(tmp_path / "mixed")
    with pytest.raises(NeuronymError, match="they do not belong together"):
        open_encoder(f"hf:{tmp_path}/mixed")


def test_a_model_without_text_is_refused(tmp_path):
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 8, "intermediate_size": 9, "image_size": 16, "patch_size": 8}
    config = ViTConfig(num_hidden_layers=1, num_attention_heads=2, **sizes)
    ViTModel(config).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="image and text features, such as CLIP .* a ViTModel"):
        open_encoder(f"hf:{tmp_path}")


def test_folders_that_hold_no_model(tmp_path):
    with pytest.raises(NeuronymError, match=r"could not be loaded as an encoder.*It needs config"):
        open_encoder(f"hf:{tmp_path}")
    with pytest.raises(UsageError, match="a hub repository or an existing folder"):
        open_encoder(f"hf:{tmp_path}/absent")
    with pytest.raises(UsageError, match="a hub repository or an existing folder"):
        open_encoder("hf")


def test_unknown_parameters():
    with pytest.raises(UsageError, match="`parameter of hf` to be one of revision, got 'revison'"):
        open_encoder("hf:some/where,revison=3")


def test_no_network(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(hub, "reachable", lambda endpoint: False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    message = r"neuronym-tests/none could not be loaded: there is no network.*hf:PATH.*sketch"
    with pytest.raises(NeuronymError, match=message):
        open_encoder("hf:neuronym-tests/none")
    assert constants.HF_HUB_OFFLINE is False
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(NeuronymError, match="HF_HUB_OFFLINE is set and it is not in the local"):
        open_encoder("hf:neuronym-tests/none")


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"neuronym\[hf\]\""):
        open_encoder("hf:some/where")
