"""Correlations of two layers, and the way through the weights between them, against replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import neuronym as nym
from array_context import ugly_activations
from links_replica import chances, correlation, discoveries, jacobian
from neuronym.analysis.links import correlation as module
from neuronym.analysis.links.correlation import correlate, strongest
from neuronym.analysis.links.weights import Followed, NoPathError, strength
from neuronym.extraction.passes import choose_layers
from neuronym.inputs.preprocess.base import Preprocess


@pytest.mark.parametrize(("images", "sources", "targets", "block"), [(61, 5, 8, 40), (3, 2, 8, 99)])
def test_correlations_are_those_of_the_definition(
    images: int, sources: int, targets: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAWS", 30)  # the fewest permutations
    monkeypatch.setattr(module, "_BLOCK", block)  # several blocks of images
    random = np.random.default_rng(images)
    y = ugly_activations(random, images)[:, :targets]
    x = random.normal(size=(images, sources)).astype(np.float32)
    x[:, 0] = 1e4 - y[:, 1]  # a strong link, downwards, far from 0
    x[:, -1] = 3.5  # a dead one
    found = correlate(x, y, np.arange(images), seed=5)
    r = [[correlation(x[:, a], y[:, b]) for b in range(targets)] for a in range(sources)]
    np.testing.assert_allclose(found.r, r, atol=1e-6)
    assert np.isnan(found.r[-1]).all()
    assert np.isnan(found.r[:, 6:]).all()  # dead, not finite
    p = chances(x, y, found.permutations, 5)
    np.testing.assert_allclose(found.p, p)
    np.testing.assert_allclose(found.q, discoveries(p))
    assert found.r[0, 1] < -0.99


def test_the_order_of_the_images_changes_nothing_and_others_do_not_count() -> None:
    random = np.random.default_rng(1)
    x, y = (random.gamma(2.0, size=(53, n)).astype(np.float32) for n in (4, 6))
    y[:, 2] += 3 * x[:, 1]
    plain = correlate(x, y, np.arange(53))
    place = random.permutation(60)  # seven rows that are copies of others
    mixed = [np.concatenate([some, 1 + some[:7]])[place] for some in (x, y)]
    order = np.argsort(place)[:53]
    again = correlate(*mixed, order)
    for name in ("r", "p", "q"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(again, name))
    assert plain.q[1, 2] < 0.05
    assert (plain.q < 0.05).sum() == 1


def test_the_strongest_are_kept_of_every_target() -> None:
    size = np.array([[0.5, 0, np.nan], [0.9, 0, 0.2], [0.5, 0, 0.1]])
    chosen = strongest(size, 2)
    assert chosen.tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 1]]  # of equal ones the first


# -- weights -------------------------------------------------------------------------------------


class Net(nn.Module):
    """From `a` to `b`, through what `middle` makes of them; as itself, or linear."""

    def __init__(self, middle: Callable[[Net, Any], Any], linear: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.linear, self.middle = linear, middle
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.a = nn.Identity() if linear else nn.ReLU(inplace=True)
        self.one = nn.Conv2d(6, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 4, 1, groups=2)
        self.back = nn.Conv2d(6, 4, 1, stride=2)
        self.act = nn.Identity() if linear else nn.SiLU(inplace=True)
        self.pool = nn.AvgPool2d(3, 2, 1) if linear else nn.MaxPool2d(3, 2, 1)
        self.gate = nn.Linear(6, 6)
        self.scale = nn.Parameter(torch.rand(4, 1, 1) - 0.5)
        self.head = nn.Linear(4 * 4 * 3, 5)
        self.mean, self.b = nn.AdaptiveAvgPool2d(1), nn.Identity()
        with torch.no_grad():
            for buffer in (self.norm.running_mean, self.norm.running_var, self.norm.weight):
                buffer.uniform_(0.5, 2)

    def bent(self, x: Any, name: str = "relu") -> Any:
        return x if self.linear else getattr(functional, name)(x)

    def forward(self, x: Any) -> Any:
        return self.b(self.middle(self, self.a(self.stem(x))))


def plain(net: Net, x: Any) -> Any:
    return net.act(net.norm(net.one(x)))


def residual(net: Net, x: Any) -> Any:
    y = net.grouped(net.bent(net.deep(plain(net, x)), "gelu"))
    y += net.back(x)
    return net.bent(y)


def joined(net: Net, x: Any) -> Any:
    y = plain(net, x)
    y = torch.cat([net.grouped(y), net.back(x) * net.scale - net.back(net.bent(x))], 1)
    return net.bent(y, "hardswish")


def pooled(net: Net, x: Any) -> Any:
    y = net.pool(x)
    return net.grouped(net.deep(net.norm(net.one(functional.pad(y, (1, 0, 2, 0))))))


def flat(net: Net, x: Any) -> Any:
    y = net.grouped(plain(net, x))
    return net.head(y.view(y.size(0), -1))


def averaged(net: Net, x: Any) -> Any:
    y = net.grouped(net.bent(plain(net, x)))
    return torch.flatten(net.mean(y), 1) @ net.head.weight[:, :4].t() + y.mean((2, 3))[:, :1]


def swish(net: Net, x: Any) -> Any:
    y = net.one(x)
    return net.grouped(y if net.linear else y * torch.sigmoid(y))


SIZE = (7, 6)


def paths(network: nn.Module, first: str = "a", last: str = "b") -> Any:
    target = nym.Target("net", network.eval(), Preprocess(size=SIZE, resize=6))
    return Followed(target).between(*choose_layers(target, [first, last]))


@pytest.mark.parametrize(
    "middle", [plain, residual, joined, pooled, flat, averaged, swish], ids=lambda f: f.__name__
)
def test_kernels_are_the_derivatives_of_the_linear_network(middle: Any) -> None:
    found = paths(Net(middle, linear=False))
    twin = Net(middle, linear=True).double().eval()
    kernels = jacobian(twin, twin.a, twin.b, torch.randn(1, 3, *SIZE))
    np.testing.assert_allclose(found.norm, np.sqrt((kernels**2).sum(2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.gain, kernels.sum(2), rtol=1e-4, atol=1e-5)
    assert (found.norm > 0).mean() > 0.4


def test_grouped_layers_lead_nowhere_else_and_a_silent_source_feeds_nothing() -> None:
    net = Net(lambda net, x: net.grouped(net.one(x)), linear=False)
    found = paths(net, "one", "b")
    assert not found.norm[:4, 2:].any()
    assert not found.norm[4:, :2].any()
    assert (found.norm[:4, :2] > 0).all()
    spread = [1.0, 0.0, np.nan, 2.0, 1, 1, 1, 1]
    way = strength(found, spread)
    assert way[3, 0] == pytest.approx(2 * found.norm[3, 0])
    assert not way[1:3].any()
    aside = Net(lambda net, x: (net.back(x), net.grouped(net.one(x)))[1], linear=False)
    assert not paths(aside, "back", "b").norm.any()  # it runs, but nothing reads it


def gated(net: Net, x: Any) -> Any:
    return x * torch.sigmoid(net.gate(x.mean((2, 3))))[..., None, None]


def normed(net: Net, x: Any) -> Any:
    return functional.layer_norm(x, x.shape[1:])


def deciding(net: Net, x: Any) -> Any:
    return net.one(x) if x.sum() > 0 else net.back(x)


@pytest.mark.parametrize(
    ("middle", "match"),
    [
        (gated, "a product of activations between them, which is not linear"),
        (normed, "there is layer_norm between them"),
        (deciding, "torch.fx cannot follow net"),
    ],
)
def test_what_is_not_linear_is_said(middle: Any, match: str) -> None:
    with pytest.raises(NoPathError, match=match):
        paths(Net(middle, linear=False))


def test_weights_may_learn_again_afterwards() -> None:
    net = Net(plain, linear=False)
    net.norm.weight.requires_grad_(False)
    paths(net)
    asking = [name for name, p in net.named_parameters() if not p.requires_grad]
    assert asking == ["norm.weight"]
