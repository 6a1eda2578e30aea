"""What docs/trust.md says about significance and bootstrap, measured again on atlases.

    python -m benchmarks.trust permuted ATLAS…        units whose activations say nothing
    python -m benchmarks.trust held ATLAS             what holding the prior misses
    python -m benchmarks.trust halves ATLAS           concept sets on an independent half
    python -m benchmarks.trust compare ATLAS…         one row per layer: trained, random, …
    python -m benchmarks.trust cost full|small        the analyses beside one scoring

Atlases are only read: what is written goes to a copy.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks import problem
from benchmarks.clock import Clock
from benchmarks.scoring import soft_wpmi
from neuronym._core import storage
from neuronym._core.numerics.topk import as_array
from neuronym._core.progress import silent
from neuronym.analysis.rescoring import similarity_of
from neuronym.analysis.trust import bootstrap, significance
from neuronym.analysis.trust.bootstrap import concept_set, draws, relabel, split
from neuronym.analysis.trust.run import analyse
from neuronym.atlas import schema
from neuronym.atlas.context import LabelContext
from neuronym.atlas.reader import Atlas, open_atlas
from neuronym.atlas.schema import MethodFacts
from neuronym.labelling.run import label


def _all(rows) -> np.ndarray:
    return as_array(rows[0 : rows.shape[0]])


def permuted(atlas: Atlas, methods: list[str]) -> None:
    """The whole pipeline, prior and all, on activations permuted over the images."""
    rng, context = np.random.default_rng(0), LabelContext(atlas)
    for repeat in range(5):
        rows = {
            layer: rng.permuted(_all(context.activations(layer)), axis=0) for layer in atlas.layers
        }
        for method in methods:
            with tempfile.TemporaryDirectory() as folder:
                copy = open_atlas(shutil.copytree(atlas.folder, f"{folder}/atlas"))
                made = label(copy, method, overwrite=True, labels=5, activations=rows)
                made = analyse(made, ["significance"], method=method, activations=rows)
                found = made.trust("significance", method=made.method(method))
            tested = found[found["p"].notna()]
            print(
                f"{atlas.folder.name} {method} {repeat}: {len(tested):,} units, "
                f"{1 - tested['significant'].mean():.2%} abstain, "
                f"p ≤ 0.05: {(tested['p'] <= 0.05).mean():.2%}, median p {tested['p'].median():.3f}"
            )


def held(atlas: Atlas, resamples: int = 20) -> None:
    """Bootstrap with prior and candidates held, against a new search over all concepts."""
    context, method = LabelContext(atlas), atlas.method()
    similarity, layers = similarity_of(context, method), list(atlas.layers)
    counts = draws(context.count, resamples, np.random.default_rng(0))
    quick = relabel(similarity, context, layers, counts, 256)
    images, same = context.image_embeddings, {layer: [] for layer in layers}
    for resample, times in enumerate(counts):
        rows = np.repeat(np.arange(len(times)), times)
        tie = np.argsort(np.argsort(context.tie[rows], kind="stable"))
        again = similarity.top_many(
            [_all(context.activations(layer))[rows] for layer in layers],
            images[rows],
            context.text_embeddings,
            1,
            tie=tie,
        )
        for layer, top in zip(layers, again, strict=True):
            full = quick[layer].full[:, 0]
            label = quick[layer].labels[:, resample, 0]
            new = top.concepts[:, 0]
            same[layer].append((label == new, label == full, new == full))
    for layer in layers:
        agreed, held_share, new_share = np.mean(same[layer], axis=(0, 2))
        print(
            f"{layer}: same label {agreed:.1%}; stability {held_share:.1%} held, "
            f"{new_share:.1%} searched again"
        )


def halves(atlas: Atlas, splits: int = 5, resamples: int = 100) -> None:
    """90 % sets made on one half: do they hold the label of the other half, and the truth?"""
    context, method = LabelContext(atlas), atlas.method()
    similarity, layers = similarity_of(context, method), list(atlas.layers)
    rng = np.random.default_rng(0)
    parts = split(context.count, splits, rng)
    own = relabel(similarity, context, layers, parts, 256)
    results: dict[str, list] = {layer: [] for layer in layers}
    for number in range(splits):
        first = np.flatnonzero(parts[2 * number])
        counts = np.zeros((resamples, context.count), np.int64)
        counts[:, first] = draws(len(first), resamples, rng)
        for layer, drawn in relabel(similarity, context, layers, counts, 256).items():
            for unit in np.flatnonzero(own[layer].labels[:, 2 * number + 1, 0] >= 0):
                chosen, _ = concept_set(drawn.labels[unit, :, 0], drawn.full[unit], 0.9)
                here, there = own[layer].labels[unit, 2 * number : 2 * number + 2, 0]
                results[layer].append((there in chosen, here == there, len(chosen), unit))
    stands = "significance" in atlas.analyses(method)
    for layer in layers:
        found, groups = (
            np.array(results[layer]),
            {"all units": np.ones(context.units(layer), bool)},
        )
        if stands:
            passed = atlas.trust("significance", layer, method=method)["significant"]
            groups["units that beat chance"] = passed.fillna(False).to_numpy(bool)
        for name, chosen in groups.items():
            inside, equal, size, _ = found[chosen[found[:, 3].astype(int)]].mean(0)
            print(
                f"{layer}, {chosen.sum():,} {name}: sets from a half ({size:.1f} concepts) hold "
                f"the other half's label in {inside:.1%}; halves agree in {equal:.1%}"
            )
    made = bootstrap.Bootstrap().run(context, method, layers).layers
    for layer in layers:
        names = atlas.class_names(layer)
        if names:
            sets, labels = made[layer]["concept_set"], atlas.labels(layer, trust=False)
            labels = labels[labels["rank"] == 1].set_index("unit")["concept"]
            known = [unit for unit in names if sets[unit] is not None]
            print(
                f"{layer}: the class name is the label in "
                f"{np.mean([labels[u] == names[u] for u in known]):.1%}, in the concept set in "
                f"{np.mean([names[u] in sets[u] for u in known]):.1%} of {len(known)} units"
            )


def compare(atlas: Atlas, method: str) -> None:
    """One row per layer: share significant, scores, labels, and how specific they are.

    The reach of a label is the share of the probe that fits it as well as the unit's own highest
    images do (by their median cosine): small for specific labels.
    """
    context = LabelContext(atlas)
    cosines = context.image_embeddings @ context.text_embeddings.T
    place = {word: row for row, word in enumerate(context.words)}
    with tempfile.TemporaryDirectory() as folder:
        copy = open_atlas(shutil.copytree(atlas.folder, f"{folder}/atlas"))
        made = analyse(copy, ["significance", "bootstrap"], method=method)
        trust = {name: made.trust(name, method=method) for name in ("significance", "bootstrap")}
    for layer in atlas.layers:
        labels = atlas.labels(layer, method=method, trust=False)
        labels = labels[(labels["rank"] == 1) & ~labels["abstained"]]
        top_k = getattr(similarity_of(context, method), "top_k", 10)
        rows = context.highest(layer, top_k).indices
        reach = []
        for unit, word in zip(labels["unit"], labels["concept"], strict=True):
            column = cosines[:, place[word]]
            reach.append((column >= np.median(column[rows[unit]])).mean())
        found = {name: table[table["layer"] == layer] for name, table in trust.items()}
        passed = found["significance"]["significant"].dropna().astype(bool)
        print(
            f"{atlas.folder.name} | {method} | {layer} | {len(passed)} | {passed.mean():.1%} | "
            f"{labels['score'].median():.3f} | {labels['concept'].nunique()} | "
            f"{np.median(reach):.1%} | {found['bootstrap']['stability'].median():.2f} | "
            f"{found['bootstrap']['half_agreement'].mean():.2f}"
        )


def cost(scale: str) -> None:
    """One scoring, the bootstrap, and the null of significance, on the inputs of `make bench`."""
    inputs = problem.make({"full": problem.FULL, "small": problem.SMALL}[scale])
    size, similarity = inputs.size, soft_wpmi(inputs.size)
    names = [f"layer{number}" for number in range(len(inputs.layers))]
    layers = dict(zip(names, inputs.layers, strict=True))
    given = SimpleNamespace(
        image_embeddings=inputs.images,
        text_embeddings=inputs.texts,
        progress=silent,
        count=size.images,
        tie=np.arange(size.images),
        activations=layers.__getitem__,
        units=lambda layer: layers[layer].shape[1],
    )
    counts = draws(size.images, 100, np.random.default_rng(0))
    active = {name: rows.shape[1] for name, rows in layers.items()}
    sets = significance.random_sets(size.images, size.top_k, 20 * max(active.values()), 0)
    tops = similarity.top_many(list(layers.values()), inputs.images, inputs.texts, 20)
    with tempfile.TemporaryDirectory() as folder:
        facts = MethodFacts(
            labeller="clip-dissect", method="m", more={"with_defaults": similarity.spec}
        )
        about = SimpleNamespace(methods={"m": facts})
        given.atlas = SimpleNamespace(folder=Path(folder), manifest=about)
        arrays = {f"{n}/log_prior": t.arrays["log_prior"] for n, t in zip(names, tops, strict=True)}
        arrays["log_normalisers"] = tops[0].arrays["log_normalisers"]
        (Path(folder) / "arrays").mkdir()
        storage.write_arrays(Path(folder) / schema.method_file("m"), arrays, {})
        work = {
            "scoring": lambda: similarity.top_many(
                list(layers.values()), inputs.images, inputs.texts, 20
            ),
            "bootstrap": lambda: relabel(similarity, given, names, counts, 256),
            f"null of {len(sets):,} sets": lambda: significance.best_of_sets(
                similarity, given, "m", active, sets
            ),
        }
        print(f"{size}, top_k {size.top_k}")
        for _ in range(2):
            for name, run in work.items():
                clock = Clock()
                with clock():
                    run()
                print(f"{name}: {clock.wall:.1f} s wall, {clock.cpu:.1f} s CPU", flush=True)


if __name__ == "__main__":
    part, *paths = sys.argv[1:]
    if part == "cost":
        cost(*paths)
        sys.exit()
    for path in map(Path, paths):
        opened = open_atlas(path)
        if part == "permuted":
            permuted(opened, ["clip-dissect:soft-wpmi", "clip-dissect:wpmi"])
        elif part == "compare":
            for method in opened.methods:
                compare(opened, method)
        else:
            {"held": held, "halves": halves}[part](opened)
