"""Published results into atlases and out of them: what is written, refused, found and lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

import neuronym as nym
from neuronym._core.errors import NeuronymError, UsageError
from neuronym.atlas.context import LabelContext, Sources
from neuronym.atlas.reader import Atlas
from neuronym.cli.app import app
from neuronym.inputs.settings import from_file
from neuronym.interchange.exporting import export_labels
from neuronym.interchange.images import locate, root_folder
from neuronym.interchange.importing import import_labels
from neuronym.interchange.open import open_format
from neuronym.labelling.run import label
from places import SHARED
from small_world import ColourEncoder, build, coloured_images

LISTED = "data/broden1_224/images/dtd/"


def search_file(units: list[tuple[dict[str, float], list[str]]]) -> str:
    lines = ["," + ",".join(map(str, range(40)))]
    for number, (labels, images) in enumerate(units):
        cells = [list(labels), [str(s) for s in labels.values()], images]
        filled = [c + [""] * (w - len(c)) for c, w in zip(cells, (10, 10, 20), strict=True)]
        lines.append(",".join([str(number), *filled[0], *filled[1], *filled[2]]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Two layers of three and two units, in three formats."""
    folder = tmp_path / "published"
    for name in ("clip-search", "netdissect"):
        (folder / name).mkdir(parents=True)
    images = [f"{LISTED}{name}.jpg" for name in ("a", "b", "c")]
    (folder / "clip-search" / "early.csv").write_text(
        search_file(
            [
                ({"red": 0.5, "stripes": 0.25}, images),
                ({"blue": 0.125}, images[:1]),
                ({}, images[1:]),
            ]
        )
    )
    (folder / "clip-search" / "late.csv").write_text(
        search_file(
            [
                ({"dog": 0.75}, images[::-1]),
                ({"cat": 0.0625, "dog": -0.5}, []),
            ]
        )
    )
    (folder / "milan.csv").write_text(
        'layer,unit,description\nfirst,0,Nothing here\nlate,0,Dogs\nlate,1,"Cats, mostly"\n'
    )
    return folder


def bring(kind: str, path: Path, out: Path, **how: object) -> Atlas:
    return import_labels(open_format(kind), path, out, **how).atlas


@pytest.fixture
def atlas(published: Path, tmp_path: Path) -> Atlas:
    return bring("clip-search", published / "clip-search", tmp_path / "atlas")


def test_a_new_atlas(atlas: Atlas, tmp_path: Path) -> None:
    assert {n: v["units"] for n, v in atlas.layers.items()} == {"early": 3, "late": 2}
    assert atlas.imported == "clip-search"
    assert atlas.methods == ["imported.clip-search"]
    assert atlas.manifest["complete"]
    assert atlas.manifest["target"]["name"] == "unknown"
    assert atlas.manifest["probe"]["name"] == LISTED.rstrip("/")
    files = atlas.manifest["imported"]["files"]
    assert [Path(f["path"]).name for f in files] == ["early.csv", "late.csv"]
    first = atlas.labels("early", 0)
    assert first["concept"].tolist() == ["red", "stripes"]
    assert first["score"].tolist() == [0.5, 0.25]
    silent = atlas.labels("early", 2)
    assert silent["abstained"].tolist() == [True]
    assert silent["reason"].tolist() == ["no label in the file"]
    assert atlas.exemplars("late", 0)["image_id"].tolist() == [
        f"{LISTED}{name}.jpg" for name in ("c", "b", "a")
    ]
    assert atlas.exemplars()["activation"].isna().all()
    assert len(atlas.images) == 3
    assert atlas.images["source"].isna().all()
    assert atlas.units["dead"].isna().all()
    assert atlas.concepts["concept"].tolist() == ["red", "stripes", "blue", "dog", "cat"]
    assert atlas.search("dog")["unit"].tolist() == [0, 1]
    assert sorted(atlas.tie) == [0, 1, 2]


def test_labels_of_another_format_are_added(atlas: Atlas, published: Path, tmp_path: Path) -> None:
    done = import_labels(open_format("milan"), published / "milan.csv", atlas.folder)
    assert (done.new, done.units, done.left_out) == (False, {"late": 2}, {"first": 1})
    assert done.atlas.methods == ["imported.clip-search", "imported.milan"]
    labels = done.atlas.labels(method="imported.milan")
    assert labels["concept"].tolist() == ["Dogs", "Cats, mostly"]
    assert labels["score"].isna().all()
    table = pq.read_table(done.atlas.folder / "labels" / "imported.milan.parquet")
    assert table["score"].null_count == 2  # missing, not NaN
    with pytest.raises(UsageError, match="has labels of imported.milan for late already"):
        import_labels(open_format("milan"), published / "milan.csv", atlas.folder)
    again = bring("milan", published / "milan.csv", atlas.folder, method="other")
    assert again.methods[-1] == "other"
    (published / "milan.csv").write_text("layer,unit,description\nlate,0,Cows\nlate,1,\n")
    replaced = bring("milan", published / "milan.csv", atlas.folder, overwrite=True)
    assert replaced.labels(method="imported.milan")["concept"].tolist()[:1] == ["Cows"]
    assert replaced.labels(method="other")["concept"].tolist()[:1] == ["Dogs"]


def test_scores_and_images_come_with_a_later_import(published: Path, tmp_path: Path) -> None:
    made = bring("milan", published / "milan.csv", tmp_path / "atlas")
    assert list(made.layers) == ["first", "late"]
    assert made.images.empty
    assert made.exemplars().empty
    (published / "clip-search" / "early.csv").unlink()
    done = bring("clip-search", published / "clip-search", made.folder)
    assert len(done.images) == 3
    assert len(done.exemplars("late", 0)) == 3
    assert len(done.exemplars("first", 0)) == 0


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"method": "clip-dissect"}, "name of one of neuronym's own methods"),
        ({"method": "netdissect.published"}, "netdissect is the name of one of neuronym's own"),
        ({"method": "soft-wpmi"}, "soft-wpmi is the name of one of neuronym's own"),
        ({"method": "../up"}, "`method` to be letters, digits"),
        ({"method": ""}, "`method` to be letters, digits"),
        ({"target": "resnet18"}, "`target` to be unknown, as in"),
        ({"images_root": "nowhere"}, "`images` to be an existing folder, got nowhere"),
    ],
)
def test_what_cannot_be_right_is_refused(
    how: dict, match: str, atlas: Atlas, published: Path
) -> None:
    with pytest.raises(UsageError, match=match):
        bring("clip-search", published / "clip-search", atlas.folder, **how)


def test_other_layers_and_units_are_refused(atlas: Atlas, published: Path) -> None:
    file = published / "milan.csv"
    with pytest.raises(UsageError, match="`images` to be left out: milan lists no images"):
        bring("milan", file, atlas.folder, images_root=published)
    file.write_text("layer,unit,description\nlate,0,Dogs\n")
    with pytest.raises(UsageError, match="whose late has 1 units.*where it has 2"):
        bring("milan", file, atlas.folder)
    file.write_text("layer,unit,description\nfar,0,Dogs\n")
    with pytest.raises(UsageError, match=r"a layer of the files \(far\), got .* with early, late"):
        bring("milan", file, atlas.folder)


def test_nothing_is_imported_by_halves(atlas: Atlas, published: Path, tmp_path: Path) -> None:
    late = published / "clip-search" / "late.csv"
    late.write_text(late.read_text().replace("0.0625", "a lot"))
    with pytest.raises(UsageError, match=r"late\.csv, line 3: Expected `similarity 1`"):
        bring("clip-search", published / "clip-search", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    before = {p: p.read_bytes() for p in atlas.folder.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match=r"late\.csv, line 3"):
        bring("clip-search", published / "clip-search", atlas.folder, overwrite=True)
    assert {p: p.read_bytes() for p in atlas.folder.rglob("*") if p.is_file()} == before


def test_an_interrupted_import_is_made_again(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuronym.labelling import run as labelling

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(labelling, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            bring("clip-search", published / "clip-search", tmp_path / "atlas")
    assert not nym.open(tmp_path / "atlas").manifest["complete"]
    made = bring("milan", published / "milan.csv", tmp_path / "atlas")
    assert made.manifest["complete"]
    assert made.methods == ["imported.milan"]


def test_folders_that_are_no_atlas_stay(published: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="which exists and is no atlas"):
        bring("milan", published / "milan.csv", tmp_path / "photos")


# -- images ---------------------------------------------------------------------------------------


@pytest.fixture
def broden(tmp_path: Path) -> Path:
    """A folder in which a and b are images and c is damaged."""
    folder = tmp_path / "copies" / "broden1_224" / "images" / "dtd"
    folder.mkdir(parents=True)
    for name, image in zip("ab", coloured_images(2), strict=True):
        Image.fromarray(image).save(folder / f"{name}.jpg")
    (folder / "c.jpg").write_bytes(b"\xff\xd8\xff no more")
    return tmp_path / "copies"


@pytest.mark.parametrize(
    "below", ["", "broden1_224", "broden1_224/images", "broden1_224/images/dtd"]
)
def test_images_are_found_by_the_ends_of_their_paths(
    below: str, broden: Path, published: Path, tmp_path: Path
) -> None:
    done = import_labels(
        open_format("clip-search"),
        published / "clip-search",
        tmp_path / "atlas",
        images_root=broden / below,
    )
    assert (done.images.listed, done.images.found) == (3, 2)
    assert [name for name, _ in done.images.damaged] == [f"{LISTED}c.jpg"]
    images = done.atlas.images.set_index("image_id")
    row = images.loc[f"{LISTED}a.jpg"]
    assert (row["width"], row["height"]) == (18, 20)
    assert Path(row["source"]).samefile(broden / "broden1_224/images/dtd/a.jpg")
    assert done.atlas.thumb(f"{LISTED}a.jpg").is_file()
    assert done.atlas.thumb(f"{LISTED}c.jpg") is None
    assert done.atlas.manifest["probe"]["skipped"][0][0] == f"{LISTED}c.jpg"


def test_images_can_be_given_later(atlas: Atlas, broden: Path, published: Path) -> None:
    assert atlas.thumb(f"{LISTED}a.jpg") is None
    later = bring(
        "clip-search", published / "clip-search", atlas.folder, images_root=broden, overwrite=True
    )
    assert later.thumb(f"{LISTED}a.jpg") is not None


def test_nothing_outside_the_folder_is_found(tmp_path: Path) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret.jpg"
    (root / "in").mkdir(parents=True)
    Image.new("RGB", (3, 5)).save(secret)
    Image.new("RGB", (3, 5)).save(root / "in" / "fine.jpg")
    (root / "link.jpg").symlink_to(secret)
    (root / "up").symlink_to(tmp_path)
    (root / "near.jpg").symlink_to(root / "in" / "fine.jpg")
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe.jpg")
    folder = root_folder(root)
    for listed in (
        "../secret.jpg",
        "../../etc/passwd",
        "in/../../secret.jpg",
        str(secret),
        "/etc/passwd",
        "link.jpg",
        "up/secret.jpg",
        "loop",
        "pipe.jpg",
        "in",
        ".",
        "..",
        "/",
        "x" * 5000,
        "a\0b",
        "~/secret.jpg",
        "in/fine.jpg/x",
    ):
        assert locate(listed, folder) is None, listed
    fine = (root / "in" / "fine.jpg").resolve()
    for listed in (
        "in/fine.jpg",
        "data/in/fine.jpg",
        "/data/in/fine.jpg",
        "../in/fine.jpg",
        "./in//fine.jpg",
        "near.jpg",
    ):
        assert locate(listed, folder) == fine, listed


def test_a_list_that_leads_out_is_read_without_those_images(
    broden: Path, published: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (3, 5)).save(tmp_path / "secret.jpg")
    for file in (published / "clip-search").iterdir():
        file.write_text(file.read_text().replace(f"{LISTED}a.jpg", "../secret.jpg"))
    done = import_labels(
        open_format("clip-search"),
        published / "clip-search",
        tmp_path / "atlas",
        images_root=broden,
    )
    assert done.images.found == 1
    assert done.atlas.images.set_index("image_id")["source"].isna()["../secret.jpg"]


# -- what works without images, embeddings and activations ----------------------------------------


def test_asking_for_what_files_do_not_hold_says_so(atlas: Atlas) -> None:
    with pytest.raises(NeuronymError, match="imported from clip-search files, which hold no activ"):
        atlas.activations("early")
    with pytest.raises(NeuronymError, match="which hold no embeddings"):
        atlas.embeddings()
    with pytest.raises(UsageError, match=r"`config` to be the atlas of a run.*was imported"):
        from_file(atlas.folder)
    context = LabelContext(atlas)
    for ask in ("target", "probe"):
        with pytest.raises(NeuronymError, match=f"which hold no {ask}"):
            getattr(context.sources, ask)
    with pytest.raises(NeuronymError, match="which hold no encoder"):
        context.sources.encoder()
    assert context.reasons("early") == (None, None, None)


@pytest.mark.parametrize(
    ("method", "match"),
    [
        ("clip-dissect:cos", "which hold no (activations|embeddings)"),
        ("clip-avg", "which hold no embeddings"),
        ("csp", "which hold no"),
        ("semanticlens", "which hold no"),
        ("linear", "which hold no"),
        ("annotations", "has no annotations"),
        ("netdissect", "has no annotations"),
    ],
)
def test_labelling_methods_refuse(method: str, match: str, atlas: Atlas) -> None:
    with pytest.raises(NeuronymError, match=match):
        label(atlas, method)


def test_labels_that_need_nothing_are_made(atlas: Atlas) -> None:
    assert not label(atlas, "random").labels(method="random")["abstained"].any()


def test_methods_are_compared_without_embeddings(atlas: Atlas, published: Path) -> None:
    made = bring("milan", published / "milan.csv", atlas.folder)
    found = nym.compare(made)
    assert set(found.words.unembedded) == set(found.words.words)
    row = found.agreement.set_index("layer").loc["late"]
    assert (row["units"], row["same"], row["same_lemma"]) == (2, 0, 0.5)  # dog and Dogs
    vectors = {"dog": [1, 0], "cat": [0, 1], "Dogs": [1, 0], "Cats, mostly": [0, 1]}
    found = nym.compare(
        made, synonyms=0.9, embed=lambda words: np.array([vectors.get(w, [0, 0]) for w in words])
    )
    assert found.agreement.set_index("layer").loc["late", "same_synonyms"] == 1


def test_words_are_embedded_by_the_embedded_encoder(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "neuronym.atlas.context.open_encoder",
        lambda name, device: asked.append(name) or ColourEncoder(),
    )
    vectors = Sources(atlas, cache=str(tmp_path / "cache")).embed_words(["red", "blue", "sky"])
    assert asked == ["conse"]
    assert vectors.shape == (3, 4)


def test_figures_of_units_without_images_and_scores(atlas: Atlas, published: Path) -> None:
    made = bring("milan", published / "milan.csv", atlas.folder)
    for unit, method in (("early:0", None), ("early:2", None), ("late:1", "imported.milan")):
        made[unit].figure(method=method).canvas.draw()


# -- export ---------------------------------------------------------------------------------------


def test_what_was_imported_is_exported_unchanged(
    atlas: Atlas, published: Path, tmp_path: Path
) -> None:
    done = export_labels(atlas, open_format("clip-search"), tmp_path / "out")
    for name in ("early.csv", "late.csv"):
        assert (tmp_path / "out" / name).read_text() == (
            published / "clip-search" / name
        ).read_text()
    assert (done.units, done.abstained, done.lost) == (5, 1, ("why units abstain",))
    with pytest.raises(UsageError, match=r"`out` to be a new path, got .*early\.csv, which exists"):
        export_labels(atlas, open_format("clip-search"), tmp_path / "out")
    export_labels(atlas, open_format("clip-search"), tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "older.csv").write_text("")
    with pytest.raises(UsageError, match=r"without other \.csv files, got .* with older\.csv"):
        export_labels(atlas, open_format("clip-search"), tmp_path / "out", overwrite=True)


def test_a_format_says_what_it_has_no_place_for(atlas: Atlas, tmp_path: Path) -> None:
    done = export_labels(atlas, open_format("milan"), tmp_path / "milan.csv")
    assert done.lost == (
        "labels behind rank 1 (there are up to 2)",
        "scores",
        "why units abstain",
        "the highest activating images",
    )
    assert (tmp_path / "milan.csv").read_text() == (
        "layer,unit,description\nearly,0,red\nearly,1,blue\nearly,2,\nlate,0,dog\nlate,1,cat\n"
    )


def test_formulas_are_pointed_out(published: Path, tmp_path: Path) -> None:
    (published / "milan.csv").write_text("layer,unit,description\na,0,=1+1\na,1,sky\n")
    made = bring("milan", published / "milan.csv", tmp_path / "atlas")
    done = export_labels(made, open_format("milan"), tmp_path / "out.csv")
    assert done.notes[0].startswith("1 labels, such as '=1+1', look like formulas")


@pytest.fixture(scope="module")
def dissected(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("dissected")
    return nym.dissect(
        build(),
        layers=["detect", "head"],
        probe=coloured_images(31),
        encoder=ColourEncoder(),
        concepts=["red", "green", "blue", "yellow", "purple", *(f"thing {i}" for i in range(8))],
        similarity="soft-wpmi:top_k=5",
        out=folder / "atlas",
        cache=str(folder / "cache"),
    )


@pytest.mark.parametrize("kind", ["clip-search", "clip-dissect", "milan"])
def test_labels_of_a_run_go_out_and_come_back(kind: str, dissected: Atlas, tmp_path: Path) -> None:
    made = open_format(kind)
    done = export_labels(dissected, made, tmp_path / "out")
    assert done.lost[-1] == "statistics of the units, embeddings, and what the atlas was made from"
    again = bring(kind, tmp_path / "out", tmp_path / "again")
    mine, theirs = (
        a.labels()[lambda f: f["rank"] <= made.labels].reset_index(drop=True)
        for a in (dissected, again)
    )
    columns = ["layer", "unit", "rank", "concept", *(["score"] if made.scores else [])]
    assert theirs[columns].equals(mine[columns])
    assert theirs["abstained"].equals(mine["abstained"])
    if made.listed:
        shown = dissected.exemplars()[["layer", "unit", "rank", "image_id"]]
        assert again.exemplars()[shown.columns].equals(shown)
    # Labels of files also fit the atlas that they came from.
    assert (
        "imported.x"
        in bring(
            kind, tmp_path / "out", dissected.folder, method="imported.x", overwrite=True
        ).methods
    )


def test_units_that_do_not_beat_chance_are_exported_without_a_label(
    dissected: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Atlas.labels

    def judged(self: Atlas, *args: object, trust: bool = True, **how: object):
        frame = whole(self, *args, trust=trust, **how)
        if trust:
            frame["abstained"] |= (frame["layer"] == "head") & (frame["unit"] == 2)
            frame["reason"] = frame["reason"].fillna("chance")
        return frame

    monkeypatch.setattr(Atlas, "labels", judged)
    export_labels(dissected, open_format("clip-dissect"), tmp_path / "out.csv")
    assert "head,2,,\n" in (tmp_path / "out.csv").read_text()


def test_images_of_a_run_are_its_own(dissected: Atlas, broden: Path, tmp_path: Path) -> None:
    export_labels(dissected, open_format("clip-search"), tmp_path / "out")
    with pytest.raises(UsageError, match="left out: .* has images of its own"):
        bring("clip-search", tmp_path / "out", dissected.folder, images_root=broden, method="y")
    done = import_labels(open_format("clip-search"), tmp_path / "out", dissected.folder, method="y")
    assert "were not taken" in done.notes[0]


# -- command line ---------------------------------------------------------------------------------


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if code:
        assert getattr(result.exception, "exit_code", result.exit_code) == code
        return str(result.exception)
    assert result.exit_code == 0, result.exception
    return result.stdout


def test_commands_from_files_to_files(published: Path, broden: Path, tmp_path: Path) -> None:
    out = tmp_path / "atlas"
    text = run("import", "clip-search", published / "clip-search", "--out", out)
    assert "5 neurons of unknown (early, late)" in text
    assert "The files list 3 images, not looked for so far." in text
    assert "Left out" in run("import", "milan", published / "milan.csv", "--out", out)
    again = ("import", "clip-search", published / "clip-search", "--out", out, "--overwrite")
    found = json.loads(run(*again, "--images", broden, "--json"))
    assert found["images"]["found"] == 2
    assert "from clip-search files, as imported.clip-search" in run("show", out)
    assert "no activations" in run("show", out, "early:0")
    assert "–" in run("show", out, "late:0", "--method", "imported.milan")
    run("show", out, "early:0", "--figure", tmp_path / "unit.png")
    assert json.loads(run("show", out, "early:0", "--json"))["facts"]["mean"] is None
    files = tmp_path / "out"
    text = run("export", out, "--format", "clip-search", "--out", files)
    assert "Labels of 5 neurons by imported.clip-search, 1 of them without a label" in text
    assert (files / "early.csv").read_text() == (published / "clip-search/early.csv").read_text()
    assert "late.csv, line" in run_malformed(published, out)


def run_malformed(published: Path, out: Path) -> str:
    (published / "clip-search" / "late.csv").write_text(",0\n")
    return run("import", "clip-search", published / "clip-search", "--out", out, code=2)


def test_annotations_go_in_and_out(atlas: Atlas, tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text(
        "layer,unit,label,status,annotator,time\n"
        "early,0,red,label,ann,2026-03-01T12:00:00.000Z\n"
        "late,1,,non-interpretable,bob,2026-03-01T12:00:00.000Z\n"
    )
    out = tmp_path / "out.csv"
    assert "error" not in run("import", "annotations", truth, "--out", atlas.folder)
    assert (
        json.loads(run("import", "annotations", truth, "--out", atlas.folder, "--json"))["added"]
        == 0
    )
    run("export", atlas.folder, "--format", "annotations", "--out", out)
    assert out.read_text() == truth.read_text()
    assert "which exists" in run(
        "export", atlas.folder, "--format", "annotations", "--out", out, code=2
    )
    assert "annotations has no use for it" in run(
        "import", "annotations", truth, "--out", atlas.folder, "--method", "x", code=2
    )
    truth.write_text("layer,unit,label\nearly,9,red\n")
    assert "line 2" in run("import", "annotations", truth, "--out", atlas.folder, code=2)


# -- the published files --------------------------------------------------------------------------


@pytest.mark.skipif(not (SHARED / "published").is_dir(), reason="check data absent")
def test_published_results_of_resnet50(tmp_path: Path) -> None:
    out, data = tmp_path / "atlas", SHARED / "published"
    for kind in ("clip-search", "clip-dissect", "netdissect", "milan"):
        made = bring(kind, data / kind, out)
    assert made.manifest["target"]["name"] == "resnet50"
    assert {n: v["units"] for n, v in made.layers.items()} == {
        "layer1": 256,
        "layer2": 512,
        "layer3": 1024,
        "layer4": 2048,
    }
    hit = made.search("stripes").set_index(["layer", "unit"]).loc[("layer4", 1330)]
    assert (hit["rank"], hit["concept"], hit["score"]) == (2, "stripes", 0.432708740234375)
    # All four count the units alike: they agree where they stand, and not one unit further.
    first = {m: made.labels("layer4", method=m)[lambda f: f["rank"] == 1] for m in made.methods}
    words = {m: f["concept"].str.casefold().to_numpy() for m, f in first.items()}
    ours, theirs = words["imported.clip-search"], words["imported.netdissect"]
    agree = [int((ours == np.roll(theirs, shift)).sum()) for shift in (-1, 0, 1)]
    assert agree[1] > 4 * max(agree[0], agree[2])
    files = tmp_path / "netdissect"
    export_labels(made, open_format("netdissect"), files, method="imported.netdissect")
    for n in range(1, 5):
        assert (files / f"layer{n}.csv").read_bytes() == (
            data / "netdissect" / f"resnet50_imagenet_layer{n}.csv"
        ).read_bytes()


@pytest.mark.skipif(not (SHARED / "published").is_dir(), reason="check data absent")
def test_the_layers_of_resnet50_come_in_network_order(tmp_path: Path) -> None:
    made = bring("milan", SHARED / "published" / "milan", tmp_path / "atlas")
    assert list(made.layers) == ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
    assert made.class_names("fc")[0] == "tench"
    assert made["fc:0"].class_name == "tench"
