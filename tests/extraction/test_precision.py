"""In which precision networks run, and in what pieces."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from test_folding import Block, filled
from torch import Tensor, nn
from torch.nn import functional

import neuronym as nym
import small_world
from helpers import ListProbe
from neuronym._core import devices
from neuronym._core.progress import silent
from neuronym.extraction.cache import Cache
from neuronym.extraction.passes import IMAGES, EncoderPass, TargetPass, choose_layers
from neuronym.extraction.precision import (
    AT_ONCE_ON_CPU,
    AT_ONCE_ON_ONE_THREAD,
    arithmetic,
    at_once,
    no_fused_attention,
    precision,
    replaced,
)
from neuronym.extraction.run import extract
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target
from small_world import ColourEncoder

CPU = torch.device("cpu")
SMALL = Preprocess(size=(12, 10), resize=12)
HALVES = ["bfloat16", "float16"]


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Small(nn.Module):
    """Maps, then one vector per image, then scores."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = filled(nn.Sequential(Block(), nn.Conv2d(3, 17, 3), nn.BatchNorm2d(17)))
        self.pool, self.squeeze = nn.AdaptiveAvgPool2d(1), nn.Conv2d(17, 23, 1)
        self.flat, self.head = nn.Flatten(), nn.Linear(23, 13)
        self.most = 0

    def forward(self, x: Tensor) -> Tensor:
        self.most = max(self.most, len(x))
        return self.head(self.flat(self.squeeze(self.pool(self.maps(x)))))


@pytest.fixture(scope="module")
def target() -> Target:
    torch.manual_seed(3)
    return Target("small", Small(), SMALL)


def feed(
    target: Target, folder: Path, layers: list[str], dtype: str = "float32", batch_size: int = 19
) -> TargetPass:
    return TargetPass(
        target,
        choose_layers(target, layers),
        Cache(folder),
        device=CPU,
        dtype=dtype,
        batch_size=batch_size,
    )


def pixels(images: int, seed: int = 0) -> np.ndarray:
    shape = (images, *SMALL.size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Linear layers


@pytest.mark.skipif(not devices.onednn(), reason="torch's own linear layers are fast here")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "input",
    [
        rand(7, 33),
        rand(2, 5, 33),
        rand(2, 3, 4, 33),
        rand(33, 7).T,
        rand(1, 1, 33).expand(5, 3, 33),
        rand(7, 66)[:, ::2],
        rand(1, 33),
    ],
    ids=lambda x: "x".join(map(str, x.shape)),
)
def test_linear_layers_by_onednn(input: Tensor, bias: bool) -> None:
    layer = nn.Linear(33, 21, bias=bias)
    exact = nn.Linear(33, 21, bias=bias).double()
    exact.load_state_dict(layer.state_dict())
    used = []
    operator = torch.ops.mkldnn._linear_pointwise
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.ops.mkldnn, "_linear_pointwise", lambda *a: used.append(1) or operator(*a)
        )
        with precision(CPU, "float32"):
            found = layer(input)
    assert used
    assert found.shape == (*input.shape[:-1], 21)
    np.testing.assert_allclose(found, exact(input.double()).detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("input", "weight", "bias"),
    [
        (rand(5), rand(3, 5), rand(3)),
        (rand(2, 5), rand(5), None),
        (rand(0, 5), rand(3, 5), None),
        (rand(2, 5).double(), rand(3, 5).double(), rand(3).double()),
        (rand(2, 5), rand(3, 5), rand(1)),
        (rand(2, 5).to("meta"), rand(3, 5).to("meta"), None),
    ],
)
def test_everything_else_goes_its_usual_way(
    input: Tensor, weight: Tensor, bias: Tensor | None
) -> None:
    wanted = functional.linear(input, weight, bias)
    with precision(CPU, "float32"):
        found = functional.linear(input, weight=weight, bias=bias)
    assert (found.shape, found.dtype, found.device) == (wanted.shape, wanted.dtype, wanted.device)
    if not found.is_meta:
        np.testing.assert_array_equal(found, wanted)


def test_gradients_still_flow_where_they_are_wanted() -> None:
    layer = nn.Linear(5, 3)
    with precision(CPU, "float32"), torch.enable_grad():
        layer(rand(2, 5)).sum().backward()
    assert layer.weight.grad is not None


@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_gives_the_same(batch_first: bool) -> None:
    torch.manual_seed(1)
    block = nn.TransformerEncoderLayer(24, 3, 48, batch_first=batch_first).eval()
    input = rand(5, 7, 24)
    exact = block.double()(input.double()).detach()
    block.float()
    fused = torch.backends.mha.get_fastpath_enabled()
    with precision(CPU, "float32"):
        found = block(input)
    assert torch.backends.mha.get_fastpath_enabled() == fused
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


def test_torch_is_as_before_after_an_error() -> None:
    plain, grad = functional.linear, torch.is_grad_enabled()
    for dtype in ("float32", *HALVES):
        with pytest.raises(ZeroDivisionError, match="division"), precision(CPU, dtype):
            assert not torch.is_grad_enabled()
            1 / 0  # noqa: B018
        assert functional.linear is plain
        assert torch.is_grad_enabled() == grad
        assert not torch.is_autocast_enabled("cpu")


def test_threads_do_not_meet_each_others_functions() -> None:
    plain, fused = functional.linear, torch.backends.mha.get_fastpath_enabled()
    inside, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def double(before: Callable[..., Tensor], *args: Tensor) -> Tensor:
        seen.append(threading.current_thread().name)
        return before(*args)

    def other() -> None:
        with replaced(linear=double), no_fused_attention():
            inside.set()
            functional.linear(rand(2, 5), rand(3, 5))
            go_on.wait(10)

    thread = threading.Thread(target=other, name="other")
    with replaced(linear=lambda before, *args: before(*args) + 1), no_fused_attention():
        thread.start()
        assert inside.wait(10)
        found = functional.linear(rand(2, 5), rand(3, 5))
    # The first one in is out, the other still inside.
    np.testing.assert_array_equal(found, plain(rand(2, 5), rand(3, 5)) + 1)
    np.testing.assert_array_equal(
        functional.linear(rand(2, 5), rand(3, 5)), plain(rand(2, 5), rand(3, 5))
    )
    go_on.set()
    thread.join()
    assert seen == ["other"]
    assert functional.linear is plain
    assert torch.backends.mha.get_fastpath_enabled() == fused


def test_compiled_networks_run() -> None:
    layer = nn.Linear(5, 3)
    compiled = torch.compile(layer, backend="eager")
    with precision(CPU, "float32"):
        found = compiled(rand(2, 5))
    np.testing.assert_allclose(found, layer(rand(2, 5)).detach(), rtol=1e-5, atol=1e-6)


# Half precision


@pytest.mark.parametrize("dtype", HALVES)
def test_vectors_are_computed_in_float32(target: Target, tmp_path: Path, dtype: str) -> None:
    some = pixels(11)
    net = feed(target, tmp_path, ["maps", "pool", "squeeze", "head"], dtype)
    found = {name: arrays["values"] for name, arrays in net(some, list(net.entries)).items()}
    head = target.model.head
    wanted = functional.linear(torch.from_numpy(found["squeeze"]), head.weight, head.bias)
    np.testing.assert_allclose(found["head"], wanted.detach(), rtol=1e-5, atol=1e-6)
    kind = getattr(torch, dtype)
    for name in ("pool", "squeeze", "head"):
        rounded = torch.from_numpy(found[name]).to(kind).float().numpy()
        assert np.mean(found[name] != rounded) > 0.8, f"{name} has the values of {dtype}"
    full = feed(target, tmp_path, ["maps", "pool", "squeeze", "head"])
    exact = full(some, list(full.entries))
    for name, values in found.items():
        assert values.dtype == np.float32
        size = np.abs(exact[name]["values"]).max()
        assert 0 < np.abs(values - exact[name]["values"]).max() < 0.02 * size


def test_frozen_weights_stay_frozen_and_count_the_same(target: Target, tmp_path: Path) -> None:
    some = pixels(5)
    free = feed(target, tmp_path, ["head"], "bfloat16")(some, ["head"])["head"]["values"]
    try:
        target.model.requires_grad_(False)
        net = feed(target, tmp_path, ["head"], "bfloat16")
        with net.running():
            assert all(p.requires_grad for p in target.model.parameters())
            frozen = net(some, ["head"])["head"]["values"]
        assert not any(p.requires_grad for p in target.model.parameters())
    finally:
        target.model.requires_grad_(True)
    np.testing.assert_array_equal(frozen, free)


# Folding and pieces in a pass


def test_a_pass_is_folded_and_agrees_with_float64(target: Target, tmp_path: Path) -> None:
    some = pixels(19)
    net = feed(target, tmp_path, ["maps.0", "head"])
    assert "3 batch norms folded" in net.arithmetic
    before = {name: value.clone() for name, value in target.model.state_dict().items()}
    target.model.most = 0
    found = net(some, list(net.entries))
    assert target.model.most == at_once(19, CPU) < 19
    after = target.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    exact = Small().double().eval()
    exact.load_state_dict(target.model.state_dict())
    batch = SMALL.normalise(torch.from_numpy(some)).double()
    maps = exact.maps[0](batch)
    for name, wanted in (("maps.0", maps.mean((2, 3))), ("head", exact(batch))):
        np.testing.assert_allclose(found[name]["values"], wanted.detach(), rtol=1e-4, atol=1e-5)


def test_batches_are_cut_on_a_cpu_alone() -> None:
    threads = torch.get_num_threads()
    try:
        for count, many in ((1, AT_ONCE_ON_ONE_THREAD), (2, AT_ONCE_ON_CPU)):
            torch.set_num_threads(count)
            assert at_once(19, CPU) == many
            assert at_once(3, CPU) == 3
            assert at_once(19, torch.device("cuda")) == 19
    finally:
        torch.set_num_threads(threads)


def test_what_decides_the_bits_is_in_the_cache_key(target: Target, tmp_path: Path) -> None:
    def entry(layers: list[str], **how: object) -> Path:
        return feed(target, tmp_path, layers, **how).entries["head"].folder

    plain = entry(["head"])
    assert entry(["maps", "head"]) == plain
    assert entry(["maps.1", "head"]) != plain  # that convolution is not folded
    assert entry(["head"], dtype="bfloat16") != plain
    assert entry(["head"], batch_size=3) != plain


class Sometimes(nn.Module):
    """Normalises bright images only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)
        self.last = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.last(y if x.mean() < -1 else self.norm(y))


def test_a_network_that_leaves_out_its_batch_norm(tmp_path: Path) -> None:
    torch.manual_seed(2)
    target = Target("sometimes", filled(Sometimes()), SMALL)
    net = feed(target, tmp_path, ["last"])
    assert "1 batch norms folded" in net.arithmetic
    for some in (pixels(3), np.zeros_like(pixels(4)), pixels(3)):
        found = net(some, ["last"])["last"]["values"]
        with torch.no_grad():
            wanted = target.model(SMALL.normalise(torch.from_numpy(some))).mean((2, 3))
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


# One look at every image


@pytest.mark.parametrize(
    ("own", "times"),
    [
        ({}, 1),
        ({"mean": (0, 0, 0), "std": (0.5, 0.5, 0.5), "channels": "bgr"}, 1),
        ({"resize": 14}, 2),
        ({"fill": (1, 2, 3)}, 2),
    ],
)
def test_equal_pixels_are_made_once(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict, times: int
) -> None:
    encoder = ColourEncoder()
    monkeypatch.setattr(encoder, "preprocess", Preprocess(**{"size": (12, 10), "resize": 12} | own))
    made: list[Preprocess] = []
    pixels_of = Preprocess.pixels
    monkeypatch.setattr(
        Preprocess, "pixels", lambda self, image: made.append(self) or pixels_of(self, image)
    )
    cache = Cache(tmp_path)
    feeds = [
        feed(target, tmp_path, ["head"], batch_size=4),
        EncoderPass(encoder, cache, device=CPU, dtype="float32", batch_size=4),
    ]
    done = extract(ListProbe(7), feeds, cache, batch_size=4)
    assert len(made) == 7 * times
    some = np.stack(
        [pixels_of(encoder.preprocess, ListProbe(7).read(i).decode()) for i in range(7)]
    )
    wanted = encoder.encode_images(encoder.preprocess.normalise(torch.from_numpy(some)))
    np.testing.assert_allclose(np.asarray(done.rows(IMAGES)), wanted, rtol=1e-5, atol=1e-6)


def test_how_it_ran_in_words() -> None:
    assert arithmetic(CPU, "bfloat16", 0) == (
        "bfloat16 by autocast, linear layers on vectors in float32"
    )
    assert arithmetic(CPU, "float32", 2).startswith("float32, ")
    assert arithmetic(CPU, "float32", 2).endswith("2 batch norms folded")


def test_the_manifest_says_how_it_ran(tmp_path: Path) -> None:
    atlas = nym.dissect(
        small_world.build(),
        probe=small_world.coloured_images(12),
        concepts=["red", "green"],
        encoder=ColourEncoder(),
        similarity="cos",
        out=tmp_path / "atlas",
        cache=str(tmp_path / "cache"),
        dtype="bf16",
        device="cpu",
        progress=silent,
    )
    words = "bfloat16 by autocast, linear layers on vectors in float32"
    assert atlas.manifest["dtype"] == "bfloat16"
    assert atlas.manifest["arithmetic"] == {"target": words, "encoder": words}
