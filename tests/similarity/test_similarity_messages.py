"""Names, parameters and messages of similarities."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from neuronym._core.errors import UsageError
from neuronym.similarity.base import SIMILARITIES, open_similarity
from neuronym.similarity.cosine import Cos
from neuronym.similarity.wpmi import SoftWpmi, Wpmi


def test_registry():
    names = {entry.name for entry in SIMILARITIES}
    assert names >= {"cos", "cos-cubed", "rank-reorder", "soft-wpmi", "wpmi"}


@pytest.mark.parametrize("entry", list(SIMILARITIES), ids=lambda entry: entry.name)
def test_examples_and_summaries(entry):
    assert open_similarity(entry.example).name == entry.name
    assert entry.summary.endswith(".")
    assert open_similarity(entry.name).spec == entry.name


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("soft-wpmi:prior=probe,top_k=5,a=10", "soft-wpmi:top_k=5,a=10,prior=probe"),
        ("soft-wpmi:lam=1.0,prior=layer", "soft-wpmi"),
        ("wpmi:a=2.5,min_prob=1e-5", "wpmi:a=2.5,min_prob=1e-05"),
        ("cos-cubed:min_norm=1e+1", "cos-cubed:min_norm=10"),
        ("cos-cubed:min_norm=1e\\+20", "cos-cubed:min_norm=1e\\+20"),
        ("rank-reorder:seed=3,top_fraction=0.1", "rank-reorder:top_fraction=0.1,seed=3"),
    ],
)
def test_canonical_names(given, canonical):
    similarity = open_similarity(given)
    assert str(similarity) == similarity.spec == canonical
    assert open_similarity(canonical) == similarity
    assert open_similarity(similarity) is similarity


def test_sizes_and_encoders_settle_the_defaults():
    sizes = {3: 3, 50: 5, 1000: 10, 10_000: 100, 50_000: 100}
    for images, top_k in sizes.items():
        assert SoftWpmi().with_defaults(images, 7.5) == SoftWpmi(top_k=top_k, a=7.5)
    assert Wpmi().with_defaults(10_000, 10) == Wpmi(top_k=28, a=2)
    assert Wpmi().with_defaults(1000, 5) == Wpmi(top_k=10, a=1)
    assert SoftWpmi(top_k=4, a=1).with_defaults(1000, 10) == SoftWpmi(top_k=4, a=1)
    assert Cos().with_defaults(1000, 10) == Cos()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "soft-wpmi:topk=5",
            r"parameters among top_k, a, lam, min_prob, prior, got 'topk'. Nearest: top_k",
        ),
        ("soft-wpmi:lambda=5", "parameters among top_k, a, lam, min_prob, prior, got 'lambda'"),
        ("soft-wpmi:5", "parameters among top_k, a, lam, min_prob, prior, got '5'"),
        ("cos:a=3", "`cos` to have no parameters, got 'a'. Write it cos."),
        ("cosine", r"`similarity` to be one of cos, .*got 'cosine'. Nearest: cos"),
        ("soft-wpmi:top_k=0", "`top_k` to be a whole number of at least 1, got '0'"),
        ("soft-wpmi:top_k=2.5", "`top_k` to be a whole number of at least 1, got '2.5'"),
        ("soft-wpmi:a=-1", "`a` to be a number 1e-06…10000, got '-1'"),
        ("soft-wpmi:a=nan", "`a` to be a number 1e-06…10000, got 'nan'"),
        ("soft-wpmi:lam=1e300", "`lam` to be a number 0…1000, got '1e300'"),
        ("wpmi:a=1e308", "`a` to be a number 1e-06…10000, got '1e308'"),
        ("rank-reorder:p=15", "`p` to be a number 0.1…10, got '15'"),
        ("rank-reorder:scale_p=7", "`scale_p` to be a number 0…5, got '7'"),
        ("cos-cubed:min_norm=1e308", r"`min_norm` to be a number 1e-30…1e\+30, got '1e308'"),
        ("wpmi:prior=image", "`prior` to be one of layer, probe, got 'image'"),
        ("rank-reorder:top_fraction=5", "`top_fraction` to be a number 0…1, got '5'"),
        ("soft-wpmi:top_k=5,top_k=6", "'top_k' at most once"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(UsageError, match=message):
        open_similarity(name)
    with pytest.raises(UsageError, match="a name or a Similarity, got 5"):
        open_similarity(5)


def test_wrong_parameters_in_python():
    with pytest.raises(UsageError, match="`lam` to be a number 0…1000, got -1"):
        SoftWpmi(lam=-1)


def arrays(images=7, units=5, concepts=11, dim=3):
    rng = np.random.default_rng(0)
    shapes = (images, units), (images, dim), (concepts, dim)
    return tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)


@pytest.mark.parametrize(
    "name",
    [
        "soft-wpmi:a=1e4,lam=1000,min_prob=1e-12",
        "soft-wpmi:a=1e4,lam=1000,prior=probe",
        "wpmi:a=1e4,lam=1000,min_prob=1e-12",
        "wpmi:a=1e4,lam=1000,prior=probe,min_prob=0.1",
        "wpmi:a=1e-6,lam=1000",
        "rank-reorder:p=10,scale_p=5,top_fraction=1",
        "rank-reorder:p=0.1,scale_p=5,top_fraction=0.5",
        "cos-cubed:min_norm=1e-30",
        "cos-cubed:min_norm=1e30",
    ],
)
def test_scores_are_finite_at_the_bounds(name):
    activations, images, texts = arrays()
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    activations[:, 1] = [0, 1, 2, 3, 4, 5, 1e30]
    similarity = open_similarity(name)
    assert np.isfinite(similarity.scores(activations, images, texts)).all()
    if isinstance(similarity, SoftWpmi | Wpmi):
        few = texts[:2]  # the others are words from outside, most of them nearer to some image
        arrays_of = similarity.top(activations, images, few, n=1).arrays
        assert np.isfinite(similarity.score_words(arrays_of, images, texts)).all()


def test_top_k_over_the_number_of_images():
    message = (
        r"`top_k` to be at most the number of images \(7\), got 8. .*the default for 7 images is 5"
    )
    with pytest.raises(UsageError, match=message):
        SoftWpmi(top_k=8, a=10).scores(*arrays())
    with pytest.raises(UsageError, match=message):
        SoftWpmi(top_k=8).with_defaults(images=7, logit_scale=10)


def test_unknown_logit_scale():
    with pytest.raises(UsageError, match=r"`a` to be a number .*soft-wpmi:a=10 .*with_defaults"):
        SoftWpmi().top(*arrays())
    with pytest.raises(UsageError, match="wpmi:a=2 "):
        Wpmi().top(*arrays())


def test_arrays_that_do_not_fit():
    activations, images, texts = arrays()
    with pytest.raises(UsageError, match="one row for each of the 7 images"):
        Cos().scores(activations[:6], images, texts)
    with pytest.raises(UsageError, match=r"dimension of the image embeddings \(3\), got 2"):
        Cos().scores(activations, images, texts[:, :2])
    with pytest.raises(UsageError, match=r"`texts` to be an array of shape \[concept, dim\]"):
        Cos().scores(activations, images, texts[:0])
    with pytest.raises(UsageError, match=r"`activations` to be an array of shape \[image, unit\]"):
        Cos().scores(activations[:, 0], images, texts)
    with pytest.raises(UsageError, match="`tie` to hold each of 0…6 once"):
        Cos().scores(activations, images, texts, tie=np.zeros(7, int))
    with pytest.raises(UsageError, match="`n` to be a whole number of at least 1, got 0"):
        Cos().top(activations, images, texts, 0)
    similarity = SoftWpmi(top_k=3, a=10)
    with pytest.raises(UsageError, match=r"`arrays` to fit soft-wpmi:top_k=3,a=10 on 7 images"):
        similarity.score_words(
            {"indices": np.zeros((5, 4), int), "log_normalisers": np.zeros(7)}, images, texts
        )


@pytest.mark.parametrize("entry", list(SIMILARITIES), ids=lambda entry: entry.name)
def test_embeddings_that_are_not_finite(entry):
    similarity = open_similarity(entry.name).with_defaults(images=7, logit_scale=10)
    if entry.name == "rank-reorder":
        similarity = open_similarity("rank-reorder:top_fraction=0.5")
    for place in (1, 2):
        given = [array.copy() for array in arrays()]
        given[place][2, 1] = np.nan
        with pytest.raises(UsageError, match="to hold finite embeddings, got NaN or infinite"):
            similarity.scores(*given)


@pytest.mark.parametrize("entry", list(SIMILARITIES), ids=lambda entry: entry.name)
def test_reasons(entry):
    activations, images, texts = arrays(images=40)
    activations[:, 0] = 1
    activations[3, 1] = np.nan
    activations[:, 2] = np.arange(40) >= 38  # two images above the minimum
    similarity = open_similarity(entry.name).with_defaults(images=40, logit_scale=10)
    if entry.name == "rank-reorder":
        similarity = open_similarity("rank-reorder:top_fraction=0.125")
    reasons = similarity.top(activations, images, texts).reasons
    assert reasons[0] == "dead: the activation is the same for every image"
    assert reasons[1] == "not finite for 1 image"
    few = "only 2 images above its minimum, 5 needed"
    assert reasons[2] == (
        few if hasattr(similarity, "top_k") or "top_fraction" in similarity.spec else None
    )
    assert reasons[3:] == (None, None)


def test_one_active_unit_has_no_layer_to_compare_with():
    activations, images, texts = arrays(units=3)
    activations[:, 1:] = 0
    alone = SoftWpmi(top_k=2, a=10).top(activations, images, texts)
    assert "the layer has one active unit" in alone.reasons[0]
    assert "use prior=probe" in alone.reasons[0]
    assert np.isnan(alone.scores).all()
    for other in (SoftWpmi(top_k=2, a=10, prior="probe"), SoftWpmi(top_k=2, a=10, lam=0.9)):
        assert other.top(activations, images, texts).reasons[0] is None


def test_rank_reorder_without_anything_to_order():
    activations, images, texts = arrays(images=30)
    few = open_similarity("rank-reorder").top(activations, images, texts).reasons
    assert few[0] == "top_fraction 0.05 of 30 images is 1, 2 needed"
    activations[:10, 0] = 9
    flat = open_similarity("rank-reorder:top_fraction=0.3").top(activations, images, texts).reasons
    assert flat == ("its 9 highest activations are equal", None, None, None, None)


def test_parameters_need_no_torch():
    code = "import sys, neuronym._core.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_shapes_are_what_the_annotations_say():
    """All similarities run once with every annotated shape checked."""
    code = """
import sys, typing
import beartype, numpy, pandas, torch, neuronym._core.numerics.topk
from jaxtyping import install_import_hook
for name in [name for name in sys.modules if name.startswith("neuronym.similarity")]:
    del sys.modules[name]
typing.TYPE_CHECKING = True  # the annotations name torch.Tensor, imported for type checkers only
files = (
    "base blocks kernels.wpmi_torch kernels.wpmi_compiled resampling tiled wpmi cosine rank_reorder"
)
hooked = ["neuronym.similarity." + file for file in files.split()]
with install_import_hook(hooked, "beartype.beartype"):
    from neuronym.similarity.cosine import Cos, CosCubed
    from neuronym.similarity.rank_reorder import RankReorder
    from neuronym.similarity.wpmi import SoftWpmi, Wpmi
rng = numpy.random.default_rng(0)
arrays = [rng.normal(size=s).astype(numpy.float32) for s in ((61, 5), (61, 7), (11, 7))]
arrays[2][4] = arrays[2][3]
family = [kind(prior=prior) for kind in (SoftWpmi, Wpmi) for prior in ("layer", "probe")]
for similarity in [Cos(), CosCubed(), RankReorder(), RankReorder(top_fraction=0.01), *family]:
    similarity = similarity.settle(61, 10.0)
    top = similarity.top(*arrays, n=3)
    assert (top.concepts.min() >= 0) == (top.reasons[0] is None)
    similarity.scores(*arrays)
    if top.arrays:
        similarity.score_words(top.arrays, arrays[1], arrays[2])
        sets, logs = top.arrays["indices"], top.arrays["log_normalisers"]
        list(similarity.evidence(sets.astype(int), arrays[1], arrays[2], logs))
        given = logs, top.arrays["log_prior"]
        similarity.resample(sets[:, None], top.concepts, arrays[1], arrays[2], *given)
try:
    Cos().top(arrays[0], arrays[1], arrays[2], n="3 or so")
except Exception as error:
    sys.exit(type(error).__name__ != "TypeCheckError")
sys.exit("the hook checks nothing")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
