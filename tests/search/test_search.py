"""Search against replicas: by label, annotation, new word, picture and likeness."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import neuronym as nym
from helpers import png
from neuronym.atlas.context import Sources
from neuronym.atlas.reader import Atlas
from neuronym.inputs.probes.base import Annotation, Probe, RawImage
from neuronym.search.relations import Relations
from neuronym.search.searcher import Searcher
from neuronym.search.words import WordIndex
from neuronym.similarity.base import open_similarity
from small_world import COLOURS, PLANTED, ColourEncoder, build, coloured_images

WORDS = [*COLOURS, "reddish brown", "Red_wine", "gibberish"]
LAYERS = ["detect", "head"]


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    folder = tmp_path_factory.mktemp("search")
    return nym.dissect(
        build(),
        layers=LAYERS,
        probe=coloured_images(61),
        concepts=WORDS,
        encoder=ColourEncoder(),
        similarity="soft-wpmi:top_k=7",
        labels=4,
        exemplars=9,
        cache=str(folder / "cache"),
        out=folder / "atlas",
        progress=None,
    )


@pytest.fixture(scope="module")
def searcher(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    cache = str(tmp_path_factory.mktemp("cache"))
    sources = Sources(
        atlas, target=build(), probe=coloured_images(61), encoder=ColourEncoder(), cache=cache
    )
    return Searcher(atlas, sources=sources)


def slow(atlas: Atlas, word: str, match: str, top: int) -> list[tuple[str, int, int, str]]:
    """layer, unit, rank, concept of each unit's best-ranked match, in the order of scores."""
    found = {}
    for row in atlas.labels().itertuples():
        if row.concept is None or row.abstained or row.rank > top:
            continue
        text = row.concept.replace("_", " ").lower()
        if text == word if match == "exact" else word in text:
            old = found.get((row.layer, row.unit))
            if old is None or row.rank < old.rank:
                found[row.layer, row.unit] = row
    order = sorted(found.values(), key=lambda r: (-r.score, LAYERS.index(r.layer), r.unit))
    return [(r.layer, r.unit, r.rank, r.concept) for r in order]


@pytest.mark.parametrize("match", ["exact", "substring"])
@pytest.mark.parametrize("top", [1, 2, 4])
@pytest.mark.parametrize("word", ["red", "RED", "ur", "red wine", "nothing"])
def test_labels_against_a_loop(
    searcher: Searcher, atlas: Atlas, word: str, match: str, top: int
) -> None:
    found = searcher.find(word, match=match, top=top, places=["labels"])
    columns = zip(*(found.units[c] for c in ("layer", "unit", "rank", "concept")), strict=True)
    assert list(columns) == slow(atlas, word.lower(), match, top)
    assert found.layers["units"].sum() == len(found.units)
    for row in found.layers.itertuples():
        same = found.units[found.units["layer"] == row.layer]
        assert (len(same), same["score"].max()) == (row.units, row.best)


def test_stems_match_inflected_words() -> None:
    index = WordIndex(["stripes", "striped", "star", "striped", "polka dots"])
    assert sorted(index.find("stripe", "stem")) == [0, 1, 3]
    assert sorted(index.find("polka dot", "stem")) == [4]
    assert len(index.find("stri", "stem")) == 0
    with pytest.raises(nym.UsageError, match="`match` to be one of exact, substring, stem"):
        index.find("star", "fuzzy")


def test_a_known_word_gets_the_scores_it_has(searcher: Searcher, atlas: Atlas) -> None:
    hits = searcher.find("Blue", places=["scores"])
    assert hits.known
    assert not hits.note
    labels = atlas.labels().query("concept == 'blue'").set_index(["layer", "unit"])
    units = hits.units.set_index(["layer", "unit"])
    assert len(units) == 10  # one of the eleven is dead
    for place, row in labels.iterrows():
        assert units.loc[place, "score"] == pytest.approx(row["score"], abs=1e-5)
        assert units.loc[place, "rank"] == row["rank"]
    assert hits.units["score"].is_monotonic_decreasing


def test_a_new_word_is_embedded_and_scored(searcher: Searcher, atlas: Atlas) -> None:
    hits = searcher.find("deep purple")  # the encoder knows the second word
    assert not hits.known
    assert hits.note == "'deep purple' is not in the concept set: it was scored anew."
    arrays = atlas.embeddings()
    vector = ColourEncoder().encode_texts(["deep purple"]).numpy()
    similarity = open_similarity(next(iter(atlas.manifest["methods"].values()))["with_defaults"])
    normalisers = similarity.shared(arrays["images"], arrays["concepts"])["log_normalisers"]
    logs = similarity.a * arrays["images"].astype(float) @ vector[0] - normalisers
    for layer in LAYERS:
        activations = atlas.activations(layer).astype(float)
        best = np.argsort(-activations, axis=0, kind="stable")[:7].T
        member = 0.998 - 0.028 * np.arange(7) / 7
        p = np.exp(logs[best])
        evidence = np.log(1 + member * (p - 1) + 1e-7).sum(1)
        alive = activations.std(0) > 0
        prior = np.log(np.exp(evidence[alive]).mean())
        got = hits.units[hits.units["layer"] == layer].set_index("unit")["score"]
        wanted = (evidence - prior)[alive]
        np.testing.assert_allclose(got.loc[np.flatnonzero(alive)], wanted, atol=1e-4)
    first = hits.units.iloc[0]
    assert (first["layer"], first["unit"], first["found"]) == ("detect", 4, "score")
    assert not any(searcher.sources.cache.root.rglob("*.safetensors"))  # no file per typed word


def test_other_similarities_score_words_from_activations(tmp_path: Path, atlas: Atlas) -> None:
    nym.label(atlas, "clip-dissect:cos", progress=None)
    opened = nym.open(atlas.folder)
    found = Searcher(opened, "clip-dissect:cos").find("red", places=["scores"]).units
    images, texts = opened.embeddings()["images"], opened.embeddings()["concepts"]
    activations = opened.activations("detect").astype(float)
    p = images.astype(float) @ texts[0]
    wanted = [np.dot(p, a) / np.linalg.norm(p) / np.linalg.norm(a) for a in activations.T[:5]]
    got = found[found["layer"] == "detect"].set_index("unit")["score"]
    np.testing.assert_allclose(got.loc[range(5)], wanted, atol=1e-5)


def test_labellers_without_a_similarity_cannot_score(atlas: Atlas) -> None:
    nym.label(atlas, "random", progress=None)
    one = Searcher(nym.open(atlas.folder), "random")
    with pytest.raises(nym.NeuronymError, match="random cannot score words"):
        one.find("red", places=["scores"])
    hits = one.find("unheard of")
    assert "could not be scored: random cannot score words" in hits.note
    assert hits.units.empty


def test_wrong_searches(searcher: Searcher) -> None:
    with pytest.raises(nym.UsageError, match="word or phrase to search for, got an empty one"):
        searcher.find("  _ ")
    with pytest.raises(nym.UsageError, match="`in` to be one of labels, images, scores, got 'hay'"):
        searcher.find("red", places=["hay"])
    with pytest.raises(nym.UsageError, match="one of the atlas's 2 layers, got 'detct'"):
        searcher.find("red", layers=["detct"])


def test_suggestions_and_related_words(searcher: Searcher) -> None:
    assert searcher.find("purpel", places=["labels"]).suggestions == ("purple",)
    assert searcher.find("purple", places=["labels"]).suggestions == ()
    assert searcher.find("purple", places=["labels"]).related == ()
    new = searcher.find("deep purple")  # embedded already: concepts near in meaning are known
    assert new.related[0] == "purple"
    assert len(new.related) == 6
    related = searcher.related("red", 3)
    texts = dict(zip(WORDS, ColourEncoder().encode_texts(WORDS).numpy(), strict=True))
    wanted = sorted(WORDS[1:], key=lambda w: (-texts[w] @ texts["red"], WORDS.index(w)))[:3]
    assert [word for word, _ in related] == wanted


class Marked(Probe):
    """The coloured images in folders, some with annotations."""

    name = "marked"

    def __init__(self) -> None:
        self.images = coloured_images(43)

    def __len__(self) -> int:
        return len(self.images)

    def image_id(self, index: int) -> str:
        return f"{'striped' if index % 7 == 3 else 'plain'}/{index:02}.png"

    def read(self, index: int) -> RawImage:
        return RawImage(png(self.images[index]))

    def labels(self, index: int) -> list[Annotation]:
        return [Annotation("texture", "Striped")] if index % 5 == 0 else []


def test_annotations_and_paths_of_exemplars(tmp_path: Path) -> None:
    atlas = nym.dissect(
        build(),
        layers=["detect"],
        probe=Marked(),
        concepts=[*COLOURS, "striped shirt"],
        encoder=ColourEncoder(),
        similarity="soft-wpmi:top_k=5",
        exemplars=24,
        cache=str(tmp_path / "cache"),
        out=tmp_path / "atlas",
        progress=None,
    )
    one = Searcher(atlas)
    found = one.find("striped", match="exact", places=["images"]).units.set_index("unit")
    marks = dict(zip(atlas.images["image_id"], atlas.images["annotations"], strict=True))
    assert any(len(found_marks) for found_marks in marks.values())
    for unit in range(7):
        ranks = [
            row.rank
            for row in atlas.exemplars("detect", unit).itertuples()
            if row.rank <= 20
            and (
                any(mark["name"] == "Striped" for mark in marks[row.image_id])
                or "striped" in row.image_id.split("/")
            )
        ]
        assert (unit in found.index) == bool(ranks), unit
        if ranks:
            assert found.loc[unit, "rank"] == min(ranks)
            assert found.loc[unit, "images"] == len(ranks)
            assert found.loc[unit, "matched"].lower() == "striped"
    both = one.find("striped").units
    assert not both.duplicated(["layer", "unit"]).any()
    assert both["found"].tolist() == sorted(both["found"], key=["label", "image"].index)


def test_a_picture_finds_its_detector(searcher: Searcher, atlas: Atlas) -> None:
    green = Image.fromarray(np.full((33, 47, 3), (10, 240, 20), np.uint8))
    hits = searcher.by_picture(green, layers=["detect"])
    assert hits.units["unit"].iloc[0] == PLANTED.index("green")
    assert hits.units["concept"].iloc[0] == "green"
    assert 5 not in set(hits.units["unit"])  # dead
    row = hits.units.set_index("unit").loc[1]
    column = atlas.activations("detect")[:, 1].astype(float)
    assert row["deviation"] == pytest.approx(
        (row["activation"] - column.mean()) / column.std(), rel=1e-4
    )
    assert row["share"] == pytest.approx((column < row["activation"]).mean())
    by_encoder = searcher.by_picture(green, by="encoder", layers=["detect"]).units
    assert by_encoder["unit"].iloc[0] == PLANTED.index("green")


def test_likeness_against_replicas(atlas: Atlas) -> None:
    relations = Relations(atlas)
    pairs = [(layer, unit) for layer in LAYERS for unit in range(atlas.layers[layer]["units"])]
    images = atlas.embeddings()["images"].astype(float)
    row_of = {name: row for row, name in enumerate(atlas.images["image_id"])}
    activations = np.concatenate([atlas.activations(layer) for layer in LAYERS], 1).astype(float)

    def vector(by: str, layer: str, unit: int) -> np.ndarray:
        if by == "activations":
            own = activations[:, pairs.index((layer, unit))]
            return own - own.mean()
        if by == "exemplars":
            rows = atlas.exemplars(layer, unit)["image_id"].map(row_of)
            return images[rows].mean(0) - images.mean(0) if len(rows) else np.zeros(4)
        labels = atlas.labels(layer, unit)
        weights = dict(zip(labels["concept"], 1 / labels["rank"], strict=True))
        return np.array([weights.get(word, 0.0) for word in WORDS])

    for by in ("labels", "exemplars", "activations"):
        vectors = np.array([vector(by, *pair) for pair in pairs])
        lengths = np.linalg.norm(vectors, axis=1)
        vectors[lengths > 1e-9] /= lengths[lengths > 1e-9][:, None]
        for place, (layer, unit) in enumerate(pairs):
            cosines = vectors @ vectors[place]
            cosines[place] = 0
            wanted = {pairs[i]: c for i, c in enumerate(cosines) if c > 1e-5}
            found = relations.like(layer, unit, by, 99)
            got = dict(
                zip(zip(found["layer"], found["unit"], strict=True), found["likeness"], strict=True)
            )
            got = {pair: value for pair, value in got.items() if value > 1e-5}
            assert got.keys() == wanted.keys(), (by, layer, unit)
            assert found["likeness"].is_monotonic_decreasing
            for pair in got:
                assert got[pair] == pytest.approx(wanted[pair], abs=1e-5)


def test_like_with_labels(searcher: Searcher) -> None:
    hits = searcher.like("detect", 0, by="activations", count=3, layers=["detect"])
    assert list(hits.units.columns) == ["layer", "unit", "likeness", "concept", "score"]
    assert len(hits.units) <= 3
    with pytest.raises(nym.UsageError, match="`by` to be one of labels, exemplars, activations"):
        searcher.like("detect", 0, by="name")
    with pytest.raises(nym.UsageError, match="a number 0…6 in detect, got 7"):
        searcher.like("detect", 7)


def test_units_that_do_not_beat_chance_are_left_out(
    searcher: Searcher, atlas: Atlas, monkeypatch
) -> None:
    labels = Atlas.labels

    def doubted(self: Atlas, *args: object, **kwargs: object) -> pd.DataFrame:
        frame = labels(self, *args, **kwargs)
        frame.loc[(frame["layer"] == "detect") & (frame["unit"] == 0), "abstained"] = True
        return frame

    monkeypatch.setattr(Atlas, "labels", doubted)
    one = Searcher(atlas, sources=searcher.sources)
    keys = set(map(tuple, one.find("red", places=["labels"]).units[["layer", "unit"]].to_numpy()))
    assert ("detect", 0) not in keys
    note = one.find("red", places=["labels"]).note
    assert note == "1 more neuron does no better than chance: left out."
    shown = one.find("red", places=["labels"], abstained=True).units
    assert ("detect", 0) in set(map(tuple, shown[["layer", "unit"]].to_numpy()))
    scored = one.find("red", places=["labels", "scores"])
    assert ("detect", 0) not in set(map(tuple, scored.units[["layer", "unit"]].to_numpy()))
    assert (scored.hidden, one.find("red", places=["scores"], layers=["head"]).hidden) == (1, 0)
    both = one.find("deep purple")
    assert "it was scored anew. 1 more neuron does no better than chance" in both.note
    assert one.find("deep purple", abstained=True).hidden == 0


def test_the_best_of_each_layer_is_of_what_was_asked(searcher: Searcher) -> None:
    like = searcher.like("detect", 4, by="labels", count=99)
    best = like.units.groupby("layer")["likeness"].max()
    assert dict(zip(like.layers["layer"], like.layers["best"], strict=True)) == best.to_dict()
    images = searcher.find("00", places=["images"])
    assert len(images.units)
    assert images.units["score"].notna().any()  # of first labels, which nobody asked for
    assert images.layers["best"].isna().all()
    both = searcher.find("0", places=["scores", "images"])  # no label has it: scored anew
    scored = both.units[both.units["found"] == "score"]
    wanted = scored[scored["rank"].le(20).fillna(False)].groupby("layer")["score"].max()
    got = both.layers.dropna(subset="best").set_index("layer")["best"]
    assert got.to_dict() == wanted.to_dict()


def test_ranks_of_scores_are_those_of_the_kept_labels(searcher: Searcher, atlas: Atlas) -> None:
    labels = atlas.labels().query("~abstained")
    kept = labels.groupby(["layer", "unit"])["score"].agg(["min", "size"])
    missing = 0
    for word in [w for w in WORDS if w in set(labels["concept"])]:
        hits = searcher.find(word, places=["scores"], match="exact", top=30)
        found = hits.units.set_index(["layer", "unit"])
        own = labels[labels["concept"] == word].set_index(["layer", "unit"])["rank"]
        assert found["rank"].loc[own.index].astype(int).tolist() == own.tolist()
        rest = found.drop(own.index)
        below = rest["score"] < kept["min"].loc[rest.index] - 1e-4
        missing += below.sum()
        assert rest["rank"][below].isna().all()
        assert hits.layers["units"].sum() == found["rank"].notna().sum()
    assert missing > 9


def test_an_exchange_of_letters_is_one_mistake(searcher: Searcher) -> None:
    assert searcher.suggest("rde")[0] == "red"
    assert searcher.suggest("gibbreish") == ("gibberish",)
    assert searcher.suggest("red") == ()
    assert searcher.suggest("entirely otherwise") == ()


def test_what_scoring_takes_may_be_lost(tmp_path: Path, atlas: Atlas) -> None:
    folder = shutil.copytree(atlas.folder, tmp_path / "atlas")
    manifest = json.loads((folder / "atlas.json").read_text())
    method = nym.open(folder).method()
    manifest["methods"][method].pop("layers")  # of an atlas of before
    (folder / "atlas.json").write_text(json.dumps(manifest))
    sources = Sources(
        nym.open(folder),
        target=build(),
        probe=coloured_images(61),
        encoder=ColourEncoder(),
        cache=str(tmp_path / "cache"),
    )
    one = Searcher(nym.open(folder), sources=sources)
    wanted = Searcher(atlas, sources=sources).find("red", places=["scores"]).units
    pd.testing.assert_frame_equal(one.find("red", places=["scores"]).units, wanted)
    (folder / "arrays" / f"{method}.safetensors").unlink()
    with pytest.raises(nym.NeuronymError, match=r"safetensors is missing .* with --resume"):
        Searcher(nym.open(folder)).find("red", places=["scores"])
    assert "could not be scored" in Searcher(nym.open(folder), sources=sources).find("new").note
