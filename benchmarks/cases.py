"""The table of benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from benchmarks import exact, kernels, networks, problem, scoring
from benchmarks import straightforward as plain
from benchmarks.case import Arrays, Case, Comparison, Limits
from benchmarks.problem import Problem
from neuronym.similarity.cosine import Cos, CosCubed
from neuronym.similarity.rank_reorder import RankReorder

_SCALES = {"small": problem.SMALL, "full": problem.FULL, "warm": problem.WARM}
_SIZES = {name: asdict(size) for name, size in _SCALES.items()}
_ONE_LAYER = {
    name: asdict(replace(size, units=(size.all_units,), concepts=8, dim=8))
    for name, size in _SCALES.items()
}


def _products(size: Mapping[str, Any], limits: Limits) -> float:
    return 4 * size["images"] * size["concepts"] * size["dim"] / limits["float32_all"]


def _reads(size: Mapping[str, Any], limits: Limits, top_k: int) -> float:
    count = sum(size["units"]) * size["concepts"] * top_k
    return 4 * count / (limits["cached_one"] * limits["cores"])


def _soft_floor(size: Mapping[str, Any], limits: Limits, *_: Any) -> float:
    return _products(size, limits) + _reads(size, limits, size["top_k"])


def _wpmi_floor(size: Mapping[str, Any], limits: Limits, *_: Any) -> float:
    return _products(size, limits) + _reads(size, limits, scoring.few(size["top_k"]))


def _kernel_floor(size: Mapping[str, Any], limits: Limits, *_: Any) -> float:
    return _reads(size, limits, size["top_k"])


def _bootstrap_floor(size: Mapping[str, Any], limits: Limits, *_: Any) -> float:
    units, top_k = sum(size["units"]), size["top_k"]
    reads = 4 * units * kernels.RESAMPLES * kernels.CANDIDATES * top_k
    products = 2 * units * kernels.CANDIDATES * top_k * size["dim"]
    return reads / (limits["cached_one"] * limits["cores"]) + products / limits["float32_all"]


def _cos_floor(size: Mapping[str, Any], limits: Limits, *_: Any) -> float:
    units, n, m, dim = sum(size["units"]), size["images"], size["concepts"], size["dim"]
    return 2 * dim * (units * n + n * dim + m * dim + units * m) / limits["float32_all"]


def _cubed_floor(size: Mapping[str, Any], limits: Limits, *_: Any) -> float:
    n, m = size["images"], size["concepts"]
    return 2 * n * m * (size["dim"] + sum(size["units"])) / limits["float32_all"]


def _rank_floor(size: Mapping[str, Any], limits: Limits, *_: Any) -> float:
    keys = sum(size["units"]) * size["concepts"] * (size["images"] // 20)
    return keys / (limits["sort_one"] * limits["cores"])


def _topk_floor(size: Mapping[str, Any], limits: Limits, *_: Any) -> float:
    return 4 * sum(size["units"]) * size["images"] / limits["read_all"]


def _forward_floor(_: Any, limits: Limits, side: str, found: Arrays) -> float:
    return float(found["flops"]) / limits[f"{side}_all"]


def _against_float64(method: str, **parameters: float) -> Callable[..., dict[str, Any]]:
    def compare(prepare: Callable[[], Problem], ours: Arrays, theirs: Arrays) -> dict[str, Any]:
        inputs = prepare()
        top_k = inputs.size.top_k
        given = {"top_k": scoring.few(top_k) if method == "wpmi" else top_k} | parameters
        return exact.compare(method, inputs, ours, theirs, **given)

    return compare


def _same_values(_: object, ours: Arrays, theirs: Arrays) -> dict[str, Any]:
    found = {"max_difference": float(abs(ours["values"] - theirs["values"]).max())}
    if "indices" in ours:
        found["same"] = float((ours["indices"] == theirs["indices"]).mean())
    return found


_PRODUCTS = "two float32 products of images × concepts, and top_k values per unit and concept "
_CACHE = "read from the second-level cache"

CASES = [
    Case(
        "soft-wpmi",
        _SIZES,
        scoring.prepare,
        {
            "neuronym": partial(scoring.labels, scoring.soft_wpmi),
            "loop": partial(scoring.soft_wpmi_loop, plain.soft_evidence),
            "tuned loop": partial(scoring.soft_wpmi_loop, plain.soft_evidence_tuned),
        },
        (
            Comparison("soft-wpmi", "neuronym", "loop"),
            Comparison("soft-wpmi, tuned loop", "neuronym", "tuned loop"),
        ),
        "Straightforward: P, softmax, per unit gather, log and sum, the layer's prior. "
        "The tuned loop is the same with one temporary array per unit instead of six.",
        _soft_floor,
        _PRODUCTS + _CACHE,
        _against_float64("soft-wpmi", a=10, lam=1),
    ),
    Case(
        "kernel",
        _SIZES,
        scoring.prepare,
        {
            "neuronym": kernels.evidence,
            "loop": partial(kernels.loop, plain.soft_evidence),
            "tuned loop": partial(kernels.loop, plain.soft_evidence_tuned),
        },
        (
            Comparison("kernel of soft-wpmi", "neuronym", "loop"),
            Comparison("kernel of soft-wpmi, tuned loop", "neuronym", "tuned loop"),
        ),
        "From probabilities to the evidence of every unit for every concept, and nothing else. "
        "Ours: evidence of all units less that of a few sets that use the same images, each the "
        f"shortest of several runs. Straightforward: timed on {kernels.SAMPLED} sampled units and "
        "scaled where there are more. Peak memory includes the products on both sides.",
        _kernel_floor,
        f"top_k values per unit and concept {_CACHE}",
        _same_values,
        repeats=1,
    ),
    Case(
        "bootstrap",
        _SIZES,
        scoring.prepare,
        {"neuronym": kernels.resample, "loop": kernels.resample_loop},
        (Comparison("bootstrap", "neuronym", "loop"),),
        f"soft-wpmi scores of every unit for {kernels.CANDIDATES} candidate concepts under "
        f"{kernels.RESAMPLES} resampled image sets, after a full scoring: ours is given "
        "log-normalisers and prior, the straightforward loop (all resamples of one unit at once, "
        f"timed on {kernels.RESAMPLED} units and scaled) the softmax and the prior.",
        _bootstrap_floor,
        f"a product of top_k images × candidates per unit, and top_k values per "
        f"resample and candidate {_CACHE}",
        _same_values,
        repeats=1,
    ),
    Case(
        "wpmi",
        _SIZES,
        scoring.prepare,
        {
            "neuronym": partial(scoring.labels, scoring.wpmi),
            "loop": partial(scoring.wpmi_loop, False),
            "tuned loop": partial(scoring.wpmi_loop, True),
        },
        (
            Comparison("wpmi", "neuronym", "loop"),
            Comparison("wpmi, tuned loop", "neuronym", "tuned loop"),
        ),
        "top_k is 28 where soft-wpmi has 100. The tuned loop takes the logarithm of "
        "the whole softmax once.",
        _wpmi_floor,
        _PRODUCTS + _CACHE,
        _against_float64("wpmi", a=2, lam=0.6),
    ),
    Case(
        "cos",
        _SIZES,
        scoring.prepare,
        {
            "neuronym": partial(scoring.labels, lambda _: Cos()),
            "loop": partial(scoring.labels_loop, plain.cos),
        },
        (Comparison("cos", "neuronym", "loop"),),
        "Straightforward: P, norms, activationsᵀ·P, topk.",
        _cos_floor,
        "the float32 operations of T·(Iᵀq), which needs no P",
        _against_float64("cos"),
    ),
    Case(
        "cos-cubed",
        _SIZES,
        scoring.prepare,
        {
            "neuronym": partial(scoring.labels, lambda _: CosCubed()),
            "loop": partial(scoring.labels_loop, plain.cos_cubed),
        },
        (Comparison("cos-cubed", "neuronym", "loop"),),
        "Straightforward: P and activations centred and cubed in full, product, topk.",
        _cubed_floor,
        "the float32 products images × concepts and units × concepts",
        _against_float64("cos-cubed"),
    ),
    Case(
        "rank-reorder",
        _SIZES,
        scoring.prepare,
        {
            "neuronym": partial(scoring.labels, lambda _: RankReorder()),
            "loop": scoring.rank_reorder_loop,
        },
        (Comparison("rank-reorder (loop: 20 units, scaled)", "neuronym", "loop"),),
        f"Straightforward: timed on {scoring.SAMPLED} units, evenly spread, and scaled "
        "to all of them (P counts once); agreement is that of these units.",
        _rank_floor,
        "one sort of top_fraction · N 32-bit keys per unit and concept",
        _against_float64("rank-reorder"),
        repeats=1,
    ),
    Case(
        "topk",
        _ONE_LAYER,
        scoring.prepare,
        {"neuronym": scoring.ranked, "torch.topk": scoring.ranked_by_torch},
        (Comparison("streaming top-k", "neuronym", "torch.topk"),),
        "The top_k highest images of every unit, from activations in memory; torch.topk over all "
        "of them at once. Ours also orders ties, so that batches and shards do not matter.",
        _topk_floor,
        "one read of the activations",
        _same_values,
    ),
    Case(
        "extraction",
        {"small": {"images": 64}, "full": {"images": 128}},
        networks.prepare,
        {
            "float32": partial(networks.one_pass, "float32"),
            "bfloat16": partial(networks.one_pass, "bfloat16"),
            "two passes": networks.two_passes,
        },
        (
            Comparison("extraction, float32", "float32", "two passes"),
            Comparison("extraction, bfloat16", "bfloat16", "two passes"),
        ),
        "From JPEG files (500 × 375) to the pooled activations of ResNet-50's layer1 to layer4 and "
        "the embeddings of CLIP's ViT-B/32, random weights, batches of 32; without loading the "
        "networks and a first batch. Ours writes its cache. Straightforward: two float32 loops, "
        "each decoding with Pillow and torchvision's transforms, no_grad, hooks.",
        _forward_floor,
        "the operations of both forward passes",
        networks.compare,
        repeats=1,
    ),
    Case(
        "dissect",
        {"small": {"images": 500}, "full": {"images": 2000}, "warm": {"images": 64}},
        networks.prepare_run,
        {"neuronym": networks.run},
        (),
        "A whole `dissect` of a tiny network: the process's peak memory, images on disk.",
        None,
        "",
        lambda *_: {},
        repeats=1,
    ),
]


def find(name: str) -> Case:
    """The case of this name."""
    return next(case for case in CASES if case.name == name)
