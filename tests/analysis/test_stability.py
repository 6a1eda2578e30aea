"""The stability study on small atlases: protocol, parts, pairs, folder, commands."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import neuronym as nym
from neuronym._core.errors import UsageError
from neuronym._core.progress import silent
from neuronym.analysis.stability import parts as measure
from neuronym.analysis.stability.configurations import configurations, differences
from neuronym.analysis.stability.parts import Chosen, Masked, Scorer
from neuronym.analysis.stability.study import Settings, labels_at, stable, study
from neuronym.atlas.reader import Atlas
from neuronym.cli.app import app
from neuronym.inputs.targets.base import Target
from neuronym.labelling.run import label
from neuronym.report import stability_figures, stability_report
from neuronym.similarity.base import open_similarity
from small_world import PLANTED, SMALL, ColourEncoder, Detectors, build, coloured_images

WORDS = [*PLANTED, "dog", "red dog", "green moss", "blue sky", "sun", "yellow sun", "dogs"]
LAYERS = {"detect": 7, "head": 4}
QUICK = Settings(images=(5, 9, 16, 400), resamples=8, splits=2, subsets=3, templates=("a {} tile",))


class OtherEncoder(ColourEncoder):
    """Sees other shades."""

    name, logit_scale = "shades", 5.0

    @property
    def fingerprint(self) -> str:
        return "shades"

    def encode_images(self, batch: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(super().encode_images(batch) + 0.2, dim=1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stability")


def made(place: Path, name: str, **changes: object) -> Atlas:
    options = {
        "layers": list(LAYERS),
        "probe": coloured_images(43),
        "concepts": WORDS,
        "encoder": ColourEncoder(),
        "cache": str(place / "cache"),
        "batch_size": 16,
        "out": place / name,
    } | changes
    return nym.dissect(build(), progress=silent, **options)


@pytest.fixture(scope="module")
def atlas(place: Path) -> Atlas:
    return label(made(place, "atlas"), "clip-dissect:wpmi")


@pytest.fixture(scope="module")
def found(atlas: Atlas, place: Path) -> nym.stability.Study:
    return study(atlas, settings=QUICK, encoder=ColourEncoder(), out=place / "study")


def test_the_protocol_compares_a_vector_with_itself(found: nym.stability.Study) -> None:
    assert len(found.results) == 2 * sum(LAYERS.values())
    active = found.results[~found.results["abstained"]]
    dead = found.results[found.results["abstained"]]
    assert len(dead) > 0
    assert dead["label"].isna().all()
    assert dead["stability_5_10"].isna().all()
    assert "dead" in dead["reason"].iloc[0]
    for row in active.itertuples():
        assert (len(row.labels_5), len(row.labels_10), len(row.labels_16)) == (5, 10, 12)
        assert row.label in row.labels_10  # "red" and "red dog" tie: torch may take either first
        assert row.stability_5_10 == (set(row.labels_5) == set(row.labels_10[:5]))
        assert row.stability_5_16 == (set(row.labels_5) == set(row.labels_16[:5]))
    for row in found.scores.itertuples():
        own = active[
            (active["configuration"] == row.configuration) & (active["layer"] == row.layer)
        ]
        assert row.units == LAYERS[row.layer]
        assert row.units - row.abstained == len(own)
        assert row.score_5_10 == own["stability_5_10"].mean()
        assert row.score_5_16 == own["stability_5_16"].mean()


def test_only_sets_that_differ_are_unstable() -> None:
    words = [f"w{m}" for m in range(20)]
    scores = np.random.default_rng(0).permutation(20).astype(np.float32)
    five, ten, sixteen = labels_at(scores, words)
    best = [words[m] for m in np.argsort(-scores)]
    assert (five, ten, sixteen) == (best[:5], best[:10], best[:16])
    assert stable(five, ten)
    assert not stable(["a", "b"], ["a", "c", "b"])  # as ties in torch.topk could have it
    assert labels_at(np.ones(1), ["only"]) == [["only"]] * 3


def test_few_kept_labels_are_scored_again(place: Path, atlas: Atlas) -> None:
    few = made(place, "few", labels=6)
    again = study(few, settings=Settings(parts=()))
    whole = study(atlas, method="soft-wpmi", settings=Settings(parts=()))
    assert again.results["labels_16"].equals(whole.results["labels_16"])


def test_fewer_concepts_than_labels_asked_for(place: Path) -> None:
    two = made(place, "two", concepts=["red", "blue"], similarity="cos")
    found = study(two, settings=replace(QUICK, parts=("images", "bootstrap", "words", "halves")))
    active = found.results[~found.results["abstained"]]
    assert active["labels_16"].map(len).eq(2).all()
    assert active["stability_5_16"].all()
    assert active["halves_jaccard"].dropna().eq(1).all()
    assert active["words_kept"].dropna().eq(1).all()  # of one concept the first is that one
    none = study(two, settings=replace(QUICK, parts=("words", "images"), share=0.9, images=(5,)))
    assert [note.split(": ", 1)[1] for note in none.notes] == [
        "number of images left out: the probe has 43 images, and k = 5 leaves no two numbers to "
        "compare.",
        "subsets of the concepts left out: 90% of 2 concepts would be all or none.",
    ]


def test_methods_that_have_not_labelled_the_layers_are_left_out(place: Path) -> None:
    part = label(made(place, "part"), "clip-dissect:wpmi", layers=["head"])
    found = study(part, layers=["detect"], settings=replace(QUICK, parts=("halves", "pairs")))
    assert list(found.configurations["similarity"]) == ["soft-wpmi"]
    with pytest.raises(UsageError, match="`layers` to be some that the methods have labelled"):
        study(part, method="wpmi", layers=["detect"], settings=replace(QUICK, parts=()))


def test_images_are_those_of_the_similarity_itself(
    found: nym.stability.Study, atlas: Atlas
) -> None:
    """k = 400 is more than the probe has; the largest is 16, with which 5 and 9 are compared."""
    columns = [c for c in found.results if c.startswith("images_")]
    assert columns == [f"images_{k}_{kind}" for k in (5, 9) for kind in ("same", "jaccard", "rbo")]
    arrays = atlas.embeddings()
    for name, row in found.configurations.set_index("configuration").iterrows():
        for layer in LAYERS:
            best = [
                replace(open_similarity(row["with_defaults"]), top_k=k)
                .top(
                    atlas.activations(layer),
                    arrays["images"],
                    arrays["concepts"],
                    20,
                    tie=atlas.tie,
                )
                .concepts
                for k in (9, 16)
            ]
            known = (best[0][:, 0] >= 0) & (best[1][:, 0] >= 0)
            expected = np.where(known, best[0][:, 0] == best[1][:, 0], np.nan)
            own = found.results[
                (found.results["configuration"] == name) & (found.results["layer"] == layer)
            ]
            np.testing.assert_array_equal(own["images_9_same"].to_numpy(float), expected)


def test_activations_outside_the_highest_count_as_silence() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(13, 3)).astype(np.float32)
    tie = rng.permutation(13)
    masked = Masked(rows, 4, tie)
    for part in (slice(0, 13), slice(3, 8), slice(12, 20)):
        expected = rows.copy()
        for unit in range(3):
            order = np.argsort(-rows[:, unit])
            expected[order[4:], unit] = rows[:, unit].min()
        np.testing.assert_array_equal(masked[part], expected[part])


def test_chosen_rows_are_read_in_slices() -> None:
    rows = np.arange(22.0).reshape(11, 2)
    chosen = Chosen(rows, np.array([1, 2, 5, 9]))
    assert chosen.shape == (4, 2)
    np.testing.assert_array_equal(chosen[1:3], rows[[2, 5]])
    np.testing.assert_array_equal(chosen[3:9], rows[[9]])
    assert chosen[4:6].shape == (0, 2)


@pytest.mark.parametrize(
    "similarity",
    ["soft-wpmi", "wpmi:prior=probe", "rank-reorder:top_fraction=0.3", "cos", "cos-cubed"],
)
def test_the_order_of_images_changes_nothing(atlas: Atlas, similarity: str) -> None:
    """Activations are tied in long runs, so that without content hashes the order would decide."""
    (one, _) = configurations([atlas])
    filled = open_similarity(similarity).with_defaults(images=43, logit_scale=10).spec
    facts = replace(
        atlas.manifest.methods[one.method], more={"similarity": similarity, "with_defaults": filled}
    )
    manifest = replace(atlas.manifest, methods={one.method: facts})
    other = replace(one, atlas=Atlas(atlas.folder, manifest))
    tied = {layer: np.round(atlas.activations(layer)) for layer in LAYERS}
    scorer = Scorer(other, activations=tied)
    for seed in (0, 1):
        columns = measure.image_order(scorer, silent("", 0), seed)
        for own, top in zip(columns, scorer.full, strict=True):
            assert np.isfinite(own["order_same"]).any()
            assert (own["order_same"][top.concepts[:, 0] >= 0] == 1).all()
    if similarity == "soft-wpmi":  # the check can fail: here the place decides instead
        back = np.arange(43)[::-1]
        plain = [
            scorer.similarity.top(
                tied["detect"][order], scorer.images[order], scorer.texts, 20, tie=np.arange(43)
            ).concepts
            for order in (np.arange(43), back)
        ]
        assert (plain[0] != plain[1]).any()


def test_halves_depend_on_content_not_on_order(place: Path, found: nym.stability.Study) -> None:
    turned = made(place, "turned", probe=coloured_images(43)[::-1])
    again = study(turned, settings=replace(QUICK, parts=("halves", "words")))
    name = found.configurations["configuration"].iloc[0]
    before = found.results[found.results["configuration"] == name]
    for column in ("halves_same", "halves_rbo", "words_kept", "words_next"):
        np.testing.assert_allclose(
            again.results[column].to_numpy(float), before[column].to_numpy(float), equal_nan=True
        )


def test_subsets_say_where_labels_go(atlas: Atlas) -> None:
    (one, _) = configurations([atlas])
    scorer = Scorer(one)
    columns = measure.concept_subsets(scorer, silent("", 0), 4, 0.5, 7, None)[0]
    full = scorer.full[0].concepts
    kept, following = {}, {}
    for subset in range(4):
        chosen = np.sort(np.random.default_rng([7, subset]).permutation(12)[:6])
        top = scorer.similarity.top(
            scorer.activations[0], scorer.images, scorer.texts[chosen], 6, tie=scorer.tie
        )
        for unit in np.flatnonzero(full[:, 0] >= 0):
            new = chosen[top.concepts[unit, 0]]
            if full[unit, 0] in chosen:
                kept.setdefault(unit, []).append(new == full[unit, 0])
            else:
                left = [m for m in full[unit] if m in chosen]
                following.setdefault(unit, []).append(new == left[0])
    for name, expected in (("words_kept", kept), ("words_next", following)):
        assert expected
        for unit in range(7):
            values = expected.get(unit)
            wanted = np.mean(values) if values else np.nan
            assert columns[name][unit] == pytest.approx(wanted, nan_ok=True)


def test_prompts_need_the_encoder(atlas: Atlas, found: nym.stability.Study) -> None:
    assert found.results["prompts_same"].notna().any()
    without = study(atlas, settings=replace(QUICK, parts=("prompts",)))
    assert "prompts_same" not in without.results
    assert any("other prompts left out" in n and "encoder=" in n for n in without.notes)


def test_bootstrap_is_that_of_the_analysis(found: nym.stability.Study, atlas: Atlas) -> None:
    from neuronym.analysis.trust.bootstrap import Bootstrap
    from neuronym.atlas.context import LabelContext

    method = atlas.methods[0]
    rows = Bootstrap(resamples=8, halves=1).run(LabelContext(atlas), method, ["detect"]).layers
    own = found.results[found.results["layer"] == "detect"].head(7)
    np.testing.assert_array_equal(own["bootstrap_same"], rows["detect"]["stability"])


@pytest.mark.parametrize(
    ("aspect", "changes"),
    [
        ("probe", {"probe": coloured_images(38, seed=5)}),
        ("concepts", {"concepts": [*WORDS[2:], "cyan", "a_dog"]}),
        ("templates", {"template": ["one {}", "{}"]}),
        ("encoder", {"encoder": OtherEncoder()}),
        ("similarity", {"similarity": "soft-wpmi:lam=0.5"}),
        ("pooling", {"pool": "max"}),
    ],
)
def test_pairs_that_differ_in_one_thing(
    atlas: Atlas, place: Path, aspect: str, changes: dict[str, object]
) -> None:
    other = made(place, f"other-{aspect}", **changes)
    a, b = [c for c in configurations([atlas, other]) if "soft" in c.method]
    assert differences(a, b) == [aspect]
    assert differences(a, a) == []
    found = study([atlas, other], settings=Settings(parts=("pairs",)))
    assert found.configurations["configuration"].is_unique
    rows = found.pair_units[found.pair_units["differs"] == aspect]
    rows = rows[(rows["a"] == a.name) & (rows["b"] == b.name)]
    assert len(rows) == sum(LAYERS.values())
    labels = [c.atlas.labels(method=c.method, trust=False) for c in (a, b)]
    for row in rows.itertuples():
        own = [f[(f["layer"] == row.layer) & (f["unit"] == row.unit)] for f in labels]
        first = [None if f["abstained"].iloc[0] else f["concept"].iloc[0] for f in own]
        if None in first:
            assert np.isnan(row.same)
            continue
        assert [row.label_a, row.label_b] == first
        assert row.same == (first[0] == first[1])
        tops = [set(f["concept"].head(5)) for f in own]
        assert row.jaccard == pytest.approx(len(tops[0] & tops[1]) / len(tops[0] | tops[1]))
        assert row.synonyms >= row.same
        there = all(w in set(c.atlas.concepts["concept"]) for c in (a, b) for w in first)
        assert row.possible == there
    table = found.pairs[found.pairs["differs"] == aspect]
    assert len(table)
    assert (table["same_low"] <= table["same"]).all()


def test_atlases_of_other_targets_are_refused(atlas: Atlas, place: Path) -> None:
    other = nym.dissect(
        Target("detectors", Detectors(spoil=0.5).eval(), SMALL),
        layers=["detect"],
        probe=coloured_images(9),
        concepts=WORDS,
        encoder=ColourEncoder(),
        out=place / "spoilt",
        cache=str(place / "cache"),
        progress=silent,
    )
    with pytest.raises(
        UsageError, match=r"of one target, got detectors with other weights.*spoilt"
    ):
        study([atlas, other])
    with pytest.raises(UsageError, match="at least one"):
        study([])
    with pytest.raises(UsageError, match=r"`layer` to be one of the atlas's 2 layers, got 'tail'"):
        study(atlas, layers=["tail"])
    with pytest.raises(UsageError, match="`parts` to be some of images"):
        Settings(parts=("image",))
    with pytest.raises(UsageError, match=r"`templates` to hold \{\} once each, got 'a photo'"):
        Settings(templates=("a photo",))


def test_atlases_are_only_read(atlas: Atlas, found: nym.stability.Study) -> None:
    files = {p: p.stat().st_mtime_ns for p in atlas.folder.rglob("*")}
    study(atlas, settings=replace(QUICK, parts=("images", "bootstrap", "words", "pairs")))
    assert {p: p.stat().st_mtime_ns for p in atlas.folder.rglob("*")} == files


def test_finished_parts_are_kept(atlas: Atlas, place: Path, monkeypatch) -> None:
    settings = replace(QUICK, parts=("halves", "words"))
    first = study(atlas, settings=settings, out=place / "kept")
    monkeypatch.setattr(measure, "split_halves", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(measure, "concept_subsets", lambda *_, **__: 1 / 0)
    again = study(atlas, settings=settings, out=place / "kept")
    pd.testing.assert_frame_equal(first.results, again.results)
    damaged = next((place / "kept" / "parts").glob("halves-*"))
    damaged.write_bytes(b"PAR1")
    monkeypatch.undo()
    pd.testing.assert_frame_equal(
        study(atlas, settings=settings, out=place / "kept").results, first.results
    )
    more = study(atlas, settings=replace(settings, splits=3), out=place / "kept")
    assert not more.results["halves_rbo"].equals(first.results["halves_rbo"])


def test_a_foreign_folder_is_refused(atlas: Atlas, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"`out` to be the folder of a study or a new one"):
        study(atlas, out=tmp_path)
    with pytest.raises(UsageError, match="It is a file"):
        study(atlas, out=tmp_path / "thesis.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.torture
def test_report_tables_and_figures(found: nym.stability.Study, place: Path) -> None:
    written = stability_report.write(found, place / "study")
    assert all(path.stat().st_size for path in written)
    text = (place / "study" / "report.md").read_text()
    assert found.target[1] in text
    assert "compares a vector's top 5 with itself" in text
    assert "by construction" in text
    for picture in re.findall(r"\]\((\S+\.png)\)", text):
        with Image.open(place / "study" / picture) as image:
            assert image.width > 600
    names = {p.name for p in written}
    assert {"against-score.svg", "against-depth.png", "distribution.png", "neurons.png"} <= names
    table = pd.read_csv(place / "study" / "results.csv")
    assert len(table) == len(found.results)
    assert json.loads(table["labels_5"].dropna().iloc[0]) == found.results["labels_5"].iloc[0]
    parquet = pd.read_parquet(place / "study" / "results.parquet")
    assert list(parquet["labels_16"].iloc[0]) == found.results["labels_16"].iloc[0]
    head = json.loads((place / "study" / "stability.json").read_text())
    assert head["target"]["fingerprint"] == found.target[1]


def test_without_anything_measured(atlas: Atlas, tmp_path: Path) -> None:
    bare = study(atlas, settings=Settings(parts=()))
    assert stability_figures.key_measure(bare.results) is None
    written = {path.name for path in stability_report.write(bare, tmp_path / "bare")}
    assert "scores.png" in written
    assert "against-score.png" not in written


def run(arguments: Sequence[str]) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.torture
def test_the_command(atlas: Atlas, place: Path) -> None:
    out = str(place / "command")
    text = run(
        [
            "stability",
            str(atlas.folder),
            "--out",
            out,
            "--parts",
            "images,halves",
            "--images",
            "5,9",
            "--layers",
            "detect",
            "--splits",
            "2",
        ]
    )
    assert "near 100 %" in " ".join(text.split()).lower()
    assert "report.md" in text
    data = json.loads(run(["stability", str(atlas.folder), "--parts", "none", "--json", "-q"]))
    assert len(data["scores"]) == 4
    assert data["measures"] == []
    assert data["settings"]["parts"] == []
