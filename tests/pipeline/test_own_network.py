"""Networks of one's own: what they see is said, kept, and used again."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

import neuronym as nym
from drawings import CLASSES, RIGHT, Patterns, Small, drawings, trained
from neuronym._core.errors import UsageError
from neuronym.atlas.context import Sources
from neuronym.cli.dissect import _announce
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import open_probe
from neuronym.inputs.probes.subsets import sentences
from neuronym.inputs.probes.values import Values
from neuronym.inputs.settings import DissectSettings
from neuronym.inputs.targets.base import Target
from neuronym.pipeline.run import plan
from neuronym.report.document.sections import configuration
from neuronym.report.document.sentences import caveats
from neuronym.report.plots.base import select
from neuronym.report.summary import facts, print_summary
from neuronym.search.searcher import Searcher
from neuronym.web.server import application


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return trained()


def dissect(out: Path, target: Any, **changed: Any) -> nym.Atlas:
    given = {
        "layers": ["6"],
        "probe": drawings(60, seed=2),
        "concepts": list(CLASSES),
        "encoder": Patterns(),
        "similarity": "soft-wpmi:top_k=8,a=20",
        "cache": str(out.parent / "cache"),
    }
    return nym.dissect(target, **(given | changed), out=out)


def first(atlas: nym.Atlas) -> list[str]:
    labels = atlas.labels("6")
    return labels[labels["rank"] == 1].sort_values("unit")["concept"].tolist()


def test_the_right_preprocessing_gives_the_right_labels_without_a_word(network, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atlas = dissect(tmp_path / "right", network, preprocess=RIGHT)
    assert first(atlas) == list(CLASSES)
    facts = atlas.manifest.target
    assert (facts.preprocess["size"], facts.preprocess["mean"]) == ([32, 32], [0.3] * 3)
    assert (facts.preprocess_assumed, facts.note) == ([], None)
    assert facts.preprocess_origin == "known: size, mean, std as given"
    assert atlas.manifest.config["preprocess"] == "size=32,mean=0.3,std=0.5"


def test_an_assumed_preprocessing_is_announced_said_again_and_kept(network, tmp_path):
    with pytest.warns(UserWarning, match="assum") as told:
        atlas = dissect(tmp_path / "assumed", network)
    assert first(atlas) != list(CLASSES)  # nobody knows that it was meant for 32 pixels
    before, after = (str(w.message) for w in told if "assum" in str(w.message))
    assert "The size, channels and normalisation of what Small sees are assumed" in before
    assert "try --preprocess size=32,mean=0.5,std=0.5" in before
    assert after.startswith("These labels rest on an assumption.")
    kept = json.loads((atlas.folder / "atlas.json").read_text("utf-8"))["target"]
    assert kept["preprocess_assumed"] == ["size", "channels", "normalisation"]
    assert kept["preprocess_origin"].startswith("assumed, as usual for ImageNet")
    assert kept["note"] == before
    assert kept["preprocess"]["size"] == [224, 224]


def test_what_is_given_in_part_leaves_the_rest_assumed(network, tmp_path):
    with pytest.warns(UserWarning, match="The channels and normalisation of what Small sees"):
        atlas = dissect(tmp_path / "part", network, preprocess={"size": 32})
    facts = atlas.manifest.target
    assert (facts.preprocess["size"], facts.preprocess["resize"]) == ([32, 32], None)
    assert facts.preprocess_assumed == ["channels", "normalisation"]


def test_later_work_sees_what_the_run_saw(network, tmp_path):
    """With the module alone, which says nothing of its preprocessing."""
    atlas = dissect(tmp_path / "atlas", network, preprocess=RIGHT)
    sources = Sources(atlas, target=network, cache=str(tmp_path / "other"))
    assert sources.target.preprocess.size == (32, 32)
    assert sources.target.preprocess.mean == (0.3,) * 3
    picture = drawings(2)[1]
    found = Searcher(atlas, sources=sources).by_picture(Image.fromarray(picture)).units
    batch = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255 - 0.3) / 0.5
    with torch.no_grad():
        wanted = network(batch)[0].numpy()
    found = found.sort_values("unit")
    np.testing.assert_allclose(found["activation"], wanted[found["unit"]], rtol=1e-4, atol=1e-4)


def test_the_header_and_the_end_of_a_run_say_what_is_assumed(network, tmp_path, capsys):
    settings = DissectSettings(target="Small", similarity="cos")
    given = {"probe": drawings(40), "concepts": list(CLASSES), "encoder": Patterns()}
    _announce(plan(settings, target=network, **given))
    said = capsys.readouterr().err
    assert (
        "input       224 × 224 pixels, RGB; shorter side to 256, bilinear, then the centre; mean "
        "0.485 0.456 0.406, std 0.229 0.224 0.225 (assumed, as usual for ImageNet: size, channels, "
        "normalisation)\n" in said
    )
    assert "pooling     mean over positions (1, 3); none: one number as it is (6)\n" in said
    assert "note        The size, channels and normalisation of what Small sees are assumed" in said
    _announce(plan(replace(settings, preprocess=RIGHT), target=network, **given))
    said = capsys.readouterr().err
    assert "32 × 32 pixels, RGB; shorter side to 32, bilinear, then the centre; mean 0.3, " in said
    assert "(known: size, mean, std as given)" in said
    assert "assumed" not in said

    with pytest.warns(UserWarning, match="assumed"):
        atlas = dissect(tmp_path / "assumed", network)
    capsys.readouterr()
    print_summary(atlas)
    shown = " ".join(capsys.readouterr().out.split())
    assert "Input: 224 × 224 pixels, RGB;" in shown
    assert "Pooling: none: one number as it is." in shown
    assert "Note: The size, channels and normalisation of what Small sees are assumed" in shown
    assert facts(atlas)["input"].endswith("channels, normalisation)")


def test_report_and_site_say_what_the_network_saw(network, tmp_path):
    with pytest.warns(UserWarning, match="assumed"):
        atlas = dissect(tmp_path / "assumed", network)
    seen = select(atlas)
    rows = {row["what"]: row["which"] for row in configuration(seen).rows}
    assert "224 × 224 pixels, RGB" in rows["input"]
    assert "assumed, as usual for ImageNet" in rows["input"]
    assert rows["pooling"] == "none: one number as it is"
    assert any("what Small sees are assumed" in text for text in caveats(seen, set()))
    with TestClient(application([atlas])) as client:
        page = client.get("/").text  # of one atlas, its first page
    assert "Input: 224 × 224 pixels, RGB;" in page
    assert "Pooling: none: one number as it is." in page
    assert "what Small sees are assumed" in page


# Other numbers of channels.


def test_a_grey_network_sees_grey_by_itself(tmp_path):
    net = trained(channels=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        atlas = dissect(tmp_path / "grey", net, preprocess=RIGHT)
    assert first(atlas) == list(CLASSES)
    assert atlas.manifest.target.preprocess["channels"] == "grey"
    assert atlas.manifest.target.preprocess["mean"] == [0.3]


def given(kind: str, images: list[np.ndarray], folder: Path) -> tuple[Any, dict[str, Any]]:
    """Images of n bands as users have them, and what has to be said of their values."""
    if kind == "arrays":
        return images, {}
    if kind == "tensors":
        return [torch.from_numpy(image).permute(2, 0, 1) for image in images], {}
    if kind == "stack":
        np.save(folder / "stack.npy", np.stack(images).astype(np.float32) / 255)
        return f"arrays:{folder / 'stack.npy'}", {}
    (folder / "scenes").mkdir()
    tifffile = pytest.importorskip("tifffile")
    for number, image in enumerate(images):
        path = folder / "scenes" / f"{number:02d}.tif"
        kinds = {"photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(path, image.astype(np.uint16) * 40, **kinds)
    return f"folder:{folder / 'scenes'}", {"value_range": "0,10200"}


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("arrays", 4), ("arrays", 13), ("tensors", 40), ("stack", 5), ("files", 13)],
)
def test_a_network_of_n_bands_sees_all_of_them(kind, channels, tmp_path):
    """And the encoder, the thumbnails and the site see the three that are named."""
    images = drawings(60, seed=2, channels=channels)
    probe, said = given(kind, images, tmp_path)
    net = trained(channels)
    atlas = dissect(tmp_path / "atlas", net, probe=probe, bands="3,2,1", preprocess=RIGHT, **said)
    assert first(atlas) == list(CLASSES)
    assert atlas.manifest.target.preprocess["channels"] == "bands"
    sentence = f"3, 2, 1 are shown (red, green and blue), and the network sees all {channels}."
    assert any(sentence in text for text in sentences(atlas.manifest.probe))
    python = {"target": net} | ({} if isinstance(probe, str) else {"probe": probe})
    sources = Sources(atlas, **python, cache=str(tmp_path / "none"))
    row = 7
    np.testing.assert_array_equal(sources.seen(row), images[row])
    np.testing.assert_array_equal(np.asarray(sources.picture(row)), images[row][:, :, 2::-1])
    name = atlas.images["image_id"].iloc[row]
    thumb = np.asarray(Image.open(atlas.thumb(name)), float)
    assert abs(thumb - images[row][:, :, 2::-1]).mean() < 12  # JPEG
    with torch.no_grad():
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        expected = net((batch - 0.3) / 0.5).numpy()
    np.testing.assert_allclose(atlas.activations("6"), expected, rtol=1e-4, atol=1e-4)


def test_images_that_differ_only_in_a_band_that_is_not_shown(tmp_path):
    """They are two images, and nothing computed for the one is taken for the other."""
    images = drawings(60, seed=2, channels=5)
    other = [image.copy() for image in images]
    for image in other:
        image[:, :, 4] = 255 - image[:, :, 4]
    net = trained(5)
    run = {"bands": "3,2,1", "preprocess": RIGHT, "duplicates": "all"}
    one, two = (
        dissect(tmp_path / name, net, probe=probe, **run)
        for name, probe in (("one", images), ("two", other))
    )
    assert set(one.images["content_hash"]).isdisjoint(two.images["content_hash"])
    assert not np.allclose(one.activations("6"), two.activations("6"))


def test_the_range_is_found_in_all_bands_that_the_network_sees(tmp_path):
    """A bright band that is not shown is not clipped to the range of the others."""
    images = [image.astype(np.uint16) for image in drawings(12, channels=4)]
    for image in images:
        image[:, :, 3] *= 16
    shown = {"values": Values.asked(bands="3,2,1")}
    assert open_probe(images, **shown).values.integers == (0, 255)
    settings = DissectSettings(target="Small", bands="3,2,1", preprocess="size=32,mean=0,std=1")
    given = {"probe": images, "concepts": list(CLASSES), "encoder": Patterns()}
    made = plan(settings, target=Small(4), **given)
    assert made.probe.values.integers == (0, 4095)
    (seen,) = made.probe.read(5).seen(made.target.preprocess)
    np.testing.assert_array_equal(seen, np.rint(images[5] * (255 / 4095)).astype(np.uint8))


@pytest.mark.parametrize("kind", ["arrays", "files"])
def test_which_bands_are_shown_has_to_be_said(kind, tmp_path):
    probe, said = given(kind, drawings(20, channels=13), tmp_path)
    with pytest.raises(
        UsageError,
        match=r"The image \S+ has 13 bands, and nothing says which are red, green and blue or "
        r"alpha: say it with --bands, such as 3,2,1, .* The network sees all of them\.$",
    ):
        dissect(tmp_path / "no", Small(13), probe=probe, preprocess=RIGHT, **said)


def test_one_image_of_other_bands_is_skipped_and_named(tmp_path):
    images = drawings(40, seed=2, channels=4)
    images[0] = images[0][:, :, :3]
    with pytest.warns(UserWarning, match="1 of 40 images could not be read"):
        atlas = dissect(tmp_path / "odd", trained(4), probe=images, bands="3,2,1", preprocess=RIGHT)
    assert first(atlas) == list(CLASSES)
    (skipped,) = atlas.manifest.probe.skipped
    assert "has 3 bands, and the network sees 4" in str(skipped)


def test_a_picture_has_not_the_bands_of_a_network_of_n_bands(tmp_path):
    images = drawings(40, seed=2, channels=6)
    net = trained(6)
    atlas = dissect(tmp_path / "six", net, probe=images, bands="1,2,3", preprocess=RIGHT)
    searcher = Searcher(atlas, sources=Sources(atlas, target=net, encoder=Patterns()))
    picture = Image.fromarray(images[1][:, :, :3])
    assert len(searcher.by_picture(picture, by="encoder").units)
    with pytest.raises(UsageError, match="a picture has not the 6 bands of the network"):
        searcher.by_picture(picture)


@pytest.mark.parametrize("channels", [2, 7])
def test_a_network_of_n_bands_says_what_to_do_about_other_images(channels, tmp_path):
    with pytest.raises(
        UsageError,
        match=f"`probe` to hold images of {channels} channels, as the network sees them, got "
        rf"images of 3 channels. Give arrays \[height, width, {channels}\], or a Target whose "
        "`forward` makes",
    ):
        dissect(tmp_path / "no", Small(channels), preprocess="size=32,mean=0.5,std=0.5")


def test_a_forward_of_ones_own_takes_other_input(network, tmp_path):
    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network

        def forward(self, images: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return self.net(images) * scale

    def run(model: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return model(batch, torch.ones(len(batch), 1))

    seen = Preprocess((32, 32), 32, mean=(0.3,) * 3, std=(0.5,) * 3)
    with pytest.raises(nym.NeuronymError, match="TypeError.*run by the `forward` of a Target"):
        dissect(tmp_path / "two", Two(), layers=["net.6"], preprocess=seen)
    atlas = dissect(tmp_path / "own", Target("two", Two(), seen, forward=run), layers=["net.6"])
    assert atlas.manifest.target.preprocess_origin == "known: given with the network"
    labels = atlas.labels("net.6")
    assert labels[labels["rank"] == 1]["concept"].tolist() == list(CLASSES)


@pytest.mark.parametrize("within", [False, True])
def test_a_network_is_left_in_the_mode_that_it_was_in(within, tmp_path):
    """Training that goes on after a look at the neurons trains what it trained before."""
    net = Small()
    net.insert(1, torch.nn.BatchNorm2d(16).eval())  # frozen, as in fine-tuning
    net.train()
    net[1].eval()
    target = Target("small", net, Preprocess((32, 32), 32)) if within else net
    net.train()
    net[1].eval()
    atlas = dissect(tmp_path / "atlas", target, layers=["7"], preprocess=RIGHT)
    assert [module.training for module in net] == [True, False, *[True] * 6]
    assert net.training
    with pytest.raises(UsageError, match="layers"):
        dissect(tmp_path / "no", target, layers=["8"], preprocess=RIGHT)
    assert net.training
    net.eval()
    with torch.no_grad():
        batch = torch.from_numpy(np.stack(drawings(60, seed=2))).permute(0, 3, 1, 2).float() / 255
        expected = net((batch - 0.3) / 0.5).numpy()
    np.testing.assert_allclose(atlas.activations("7"), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["random", "mixed"])
def test_outputs_that_are_no_matter_of_the_image_alone_are_said_and_kept(kind, tmp_path, capsys):
    class Odd(Small):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found = super().forward(images)
            return torch.dropout(found, 0.5, True) if kind == "random" else found - found.mean(0)

    model = torch.nn.Sequential(Odd(), torch.nn.Linear(4, 4))
    what = {
        "random": "Of Sequential, 1: each gives another output for the same image each time. .* "
        "are a matter of chance in part",
        "mixed": "Of Sequential, 1: each gives another output for the same image beside other "
        "images. .* depend on which images stand together in a batch",
    }[kind]
    with pytest.warns(UserWarning, match=what):
        atlas = dissect(tmp_path / "atlas", model, layers=["0.2", "1"], preprocess=RIGHT)
    (kept,) = (note for note in atlas.manifest.notes if "each gives" in note)
    assert kept.startswith("Of Sequential, 1: each gives")
    capsys.readouterr()
    print_summary(atlas)
    assert "Of Sequential, 1: each gives" in " ".join(capsys.readouterr().out.split())
    settings = DissectSettings(target="Odd", layers=["1"], preprocess=RIGHT)
    given = {"probe": drawings(40), "concepts": list(CLASSES), "encoder": Patterns()}
    _announce(plan(settings, target=model, **given))
    assert "note        Of Sequential, 1: each gives" in capsys.readouterr().err
