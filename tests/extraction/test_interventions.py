"""Networks with units changed as they run, against one image at a time through a float64 copy."""

from __future__ import annotations

import copy
import dataclasses
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_folding import filled
from torch import Tensor, nn

from neuronym._core.errors import NeuronymError, UsageError
from neuronym.extraction.axes import Axes
from neuronym.extraction.cache import Cache
from neuronym.extraction.interventions import (
    Change,
    ChangedPass,
    _exchanged,
    levelled,
    steered,
    zeroed,
)
from neuronym.extraction.passes import choose_layers
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target

SEEN = Preprocess((8, 12), 8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
PIXELS = np.random.default_rng(3).integers(0, 256, (5, 8, 12, 3), dtype=np.uint8)
#: Images of rows, those of one image together; and a unit of each row.
ROWS, UNITS = [0, 0, 0, 2, 3, 3, 3, 3, 4, 4], [0, 3, 1, 1, 4, 0, 2, 2, 3, 1]


class Pair(nn.Module):
    """Puts out a named tuple of which the next module reads one part."""

    Out = namedtuple("Out", "weights hidden")

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 5, 1)

    def forward(self, x: Tensor) -> Any:
        hidden = self.conv(x)
        return self.Out(hidden, (None, hidden))


class Conv(nn.Module):
    """Folded norms, a ReLU in place that runs three times, once for nothing, a way around, NHWC."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)
        self.relu = nn.ReLU(inplace=True)
        self.next, self.next_bn = nn.Conv2d(5, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5)
        self.pair, self.last = Pair(), nn.LayerNorm(5)
        self.unused, self.head = nn.Linear(5, 5), nn.Linear(5, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        y = self.next_bn(self.next(x))
        self.relu(y)  # in place, and what it returns is not read
        y = y + 0.5 * x[:, :, ::2, ::2]
        y = self.relu(self.pair(y)[1][1] * y)
        return self.head(self.last(y.permute(0, 2, 3, 1)).mean((1, 2)))


class Tokens(nn.Module):
    """A class token and a register before the patches, images first or behind the tokens."""

    def __init__(self, first: bool = True) -> None:
        super().__init__()
        self.patches, self.first = nn.Conv2d(3, 6, 4, 4), first
        self.cls_token = nn.Parameter(torch.randn(1, 1, 6))
        self.reg_token = nn.Parameter(torch.randn(1, 1, 6))
        self.line = nn.Conv1d(6, 6, 3, padding=1)
        blocks = (nn.TransformerEncoderLayer(6, 2, 11, batch_first=first) for _ in range(2))
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> dict[str, Any]:
        tokens = self.line(self.patches(x).flatten(2)).transpose(1, 2)
        before = [t.expand(len(x), 1, 6) for t in (self.cls_token, self.reg_token)]
        tokens = torch.cat([*before, tokens], 1)
        tokens = tokens if self.first else tokens.transpose(0, 1)
        hidden = self.blocks(tokens)
        hidden = hidden if self.first else hidden.transpose(0, 1)
        return {"hidden": hidden, "logits": self.head(hidden[:, 0] + hidden[:, 2:].mean(1))}


def network(make: Any, *how: Any) -> nn.Module:
    torch.manual_seed(7)
    return filled(make(*how))


def open_pass(model: nn.Module, layers: list[str], folder: Path, pool: str = "auto") -> ChangedPass:
    target = Target("small", copy.deepcopy(model), SEEN)
    plans = choose_layers(target, layers, pool)
    how: dict[str, Any] = {"device": torch.device("cpu"), "dtype": "float32", "batch_size": 4}
    return ChangedPass(target, plans, Cache(folder), **how)


#: Layer → where in its output the places of a unit are, patches only and with what is before them.
PLACES = {
    "conv": (lambda out, u: out[:, u],) * 2,
    "bn": (lambda out, u: out[:, u],) * 2,
    "relu#1": (lambda out, u: out[:, u],) * 2,
    "relu#2": (lambda out, u: out[:, u],) * 2,
    "relu": (lambda out, u: out[:, u],) * 2,
    "next": (lambda out, u: out[:, u],) * 2,
    "pair": (lambda out, u: out.weights[:, u],) * 2,
    "last": (lambda out, u: out[..., u],) * 2,
    "line": (lambda out, u: out[:, u],) * 2,
    "blocks.0": (lambda out, u: out[:, 2:, u], lambda out, u: out[..., u]),
    "blocks.1.linear1": (lambda out, u: out[:, 2:, u], lambda out, u: out[..., u]),
    "first.0": (lambda out, u: out[2:, :, u], lambda out, u: out[..., u]),
}


def alone(model: nn.Module, layer: str, place: Any, image: int, change: Any) -> Tensor:
    """The output for one image in float64, with `change(values)` written into a layer's output."""
    model = copy.deepcopy(model).double()
    name, _, number = layer.partition("#")
    calls = []

    def write(module: nn.Module, inputs: Any, output: Any) -> None:
        calls.append(1)
        if len(calls) == int(number or (3 if name == "relu" else 1)):
            values = place(output)
            values.copy_(change(values))

    model.get_submodule(name).register_forward_hook(write)
    with torch.no_grad():
        seen = SEEN.normalise(torch.from_numpy(PIXELS[image : image + 1])).double()
        found = model(seen.contiguous())
    return found["logits"] if isinstance(found, dict) else found


@pytest.mark.parametrize("layer", PLACES)
def test_every_row_has_its_own_change(layer: str, tmp_path: Path) -> None:
    conv = hasattr(Conv(), layer.partition("#")[0])
    model = network(Conv) if conv else network(Tokens, not layer.startswith("first"))
    name = layer.replace("first", "blocks")
    changed = open_pass(model, [name], tmp_path)
    (plan,) = changed.plans.values()
    assert plan.info.name == name
    levels = np.linspace(-1.5, 2.5, plan.info.units, dtype=np.float32)
    units = np.array(UNITS)[:, None]
    plain = changed.under(PIXELS).output[ROWS]
    kinds = {
        "zero": (zeroed(plan, units), lambda v, u: 0 * v, True),
        "mean": (levelled(plan, units, levels), lambda v, u: 0 * v + float(levels[u]), True),
        "steer": (steered(plan, units, levels, prefix=False), lambda v, u: v + levels[u], False),
    }
    for kind, (change, wanted, prefix) in kinds.items():
        found = changed.under(PIXELS, [change], rows=ROWS).output
        again = changed.under(PIXELS[ROWS], [change]).output
        assert not np.allclose(found, plain, atol=1e-3), kind
        for row, (image, unit) in enumerate(zip(ROWS, UNITS, strict=True)):
            exact = alone(
                model,
                name,
                lambda out, u=unit, p=prefix: PLACES[layer][p](out, u),
                image,
                lambda values, u=unit, w=wanted: w(values, u),
            )
            for one in (found[row], again[row]):
                np.testing.assert_allclose(one, exact[0], atol=3e-5, err_msg=f"{kind} {row}")


class Joined(nn.Module):
    """Two branches side by side, which takes as many rows of one as of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = (nn.Conv2d(n, 5, 1) for n in (3, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return torch.cat([self.one(x).relu(), self.two(x)], 1).mean((2, 3))


class Viewed(Joined):
    """Reshapes its output to the number of images that it was given."""

    def forward(self, x: Tensor) -> Tensor:
        return self.one(self.conv(x)).relu().mean((2, 3)).view(len(x), 5)


class Scaled(Viewed):
    """The same, and its first operation is no module."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(1 - 3 * x)


@pytest.mark.parametrize(
    ("make", "layer", "runs"),
    [
        (Conv, "last", [4]),
        (Conv, "next", [1, 1, 1, 1]),  # beside a way around it with a row per image
        (Joined, "conv", [4]),
        (Joined, "one", [4, 4, 2]),
        (Viewed, "conv", [4]),
        (Viewed, "one", [4]),
        (Scaled, "one", [4, 4, 2]),
    ],
)
def test_what_comes_before_runs_once_where_it_can(make, layer, runs, tmp_path: Path) -> None:
    changed, seen = open_pass(network(make), [layer], tmp_path), []
    changed.target.model.conv.register_forward_hook(lambda m, i, out: seen.append(len(out)))
    (plan,) = changed.plans.values()
    change = zeroed(plan, np.array(UNITS)[:, None])
    changed.under(PIXELS, [change], rows=ROWS)  # tries it out
    seen.clear()
    found = changed.under(PIXELS, [change], rows=ROWS).output
    assert seen == runs
    np.testing.assert_allclose(found, changed.under(PIXELS[ROWS], [change]).output, atol=1e-6)


def test_layers_are_read_with_the_change_pooled_or_as_they_are(tmp_path: Path) -> None:
    model = network(Conv)
    changed = open_pass(model, ["conv", "next", "last", "head"], tmp_path)
    change = zeroed(changed.plans["next"], [[4], [-1], [4], [-1], [0]])
    layers = ["conv", "next", "last", "head"]
    plain = changed.under(PIXELS, wanted=layers)
    pooled = changed.under(PIXELS, [change], layers)
    raw = changed.under(PIXELS, [change], layers, raw=True, output=False)
    assert raw.output is None
    np.testing.assert_array_equal(pooled.values["conv"], plain.values["conv"])
    assert (pooled.values["next"][[0, 2, 4], [4, 4, 0]] == 0).all()
    np.testing.assert_array_equal(pooled.values["head"][1], plain.values["head"][1])
    assert np.abs(pooled.values["last"] - plain.values["last"])[[0, 2, 4]].max(1).min() > 1e-3
    assert raw.values["next"].shape == (5, 5, 4, 6)
    assert (raw.values["next"][0, 4] == 0).all()
    np.testing.assert_allclose(raw.values["last"].mean((1, 2)), pooled.values["last"], atol=1e-6)
    np.testing.assert_allclose(pooled.values["head"], pooled.output, atol=1e-6)
    # Without the output the pass ends behind the layers, and gives the same.
    for _ in range(2):
        early = changed.under(PIXELS, [change], ["next"], output=False)
        np.testing.assert_array_equal(early.values["next"], pooled.values["next"])


def test_several_layers_change_at_once(tmp_path: Path) -> None:
    model = network(Conv)
    changed = open_pass(model, ["conv", "last"], tmp_path)
    conv, last = changed.plans["conv"], changed.plans["last"]
    units = [[2, 0], [1, -1], [-1, -1], [4, 3], [0, 1]]
    both = changed.under(PIXELS, [zeroed(conv, units), steered(last, [4], np.ones(5))]).output
    double = copy.deepcopy(model).double()
    row = [0]

    def ablate(module: nn.Module, inputs: Any, out: Tensor) -> None:
        for unit in units[row[0]]:
            if unit >= 0:
                out[:, unit] = 0

    double.conv.register_forward_hook(ablate)
    double.last.register_forward_hook(lambda m, i, out: out + torch.eye(5)[4])
    for row[0] in range(5):
        seen = SEEN.normalise(torch.from_numpy(PIXELS[row[0] : row[0] + 1])).double()
        np.testing.assert_allclose(both[row[0]], double(seen)[0].detach(), atol=3e-5)


def test_folding_changes_nothing(tmp_path: Path) -> None:
    model = network(Conv)
    folded = open_pass(model, ["next_bn"], tmp_path)
    kept = open_pass(model, ["next"], tmp_path)
    # The convolution that is changed keeps its norm, and the other is folded all the same.
    assert (folded._folding.places, kept._folding.places) == ((0, 1), (0,))
    plan = folded.plans["next_bn"]
    found = folded.under(PIXELS, [zeroed(plan, [2])]).output
    for row in range(5):
        exact = alone(model, "next_bn", lambda out: out[:, 2], row, lambda v: 0 * v)
        np.testing.assert_allclose(found[row], exact[0], atol=3e-5)


@pytest.mark.parametrize("layer", ["next", "last", "blocks.0", "line", "head"])
def test_levels_are_means_over_images_and_positions(layer: str, tmp_path: Path) -> None:
    model = network(Conv) if hasattr(Conv(), layer) and layer != "head" else network(Tokens)
    changed = open_pass(model, [layer], tmp_path, "max" if layer in ("next", "line") else "auto")
    found = changed.levels(layer, PIXELS)
    seen: list[Tensor] = []
    double = copy.deepcopy(model).double()
    double.get_submodule(layer).register_forward_hook(lambda m, i, out: seen.append(out.detach()))
    double(SEEN.normalise(torch.from_numpy(PIXELS)).double().contiguous())
    out = seen[0]
    exact = {
        "next": lambda: [out.mean((0, 2, 3))],
        "last": lambda: [out.mean((0, 1, 2))],
        "line": lambda: [out.mean((0, 2))],
        "head": lambda: [out.mean(0)],
        "blocks.0": lambda: [out[:, 2:].mean((0, 1)), out[:, 0].mean(0), out[:, 1].mean(0)],
    }[layer]()
    np.testing.assert_allclose(found, torch.stack(exact), atol=1e-5)
    if layer == "blocks.0":  # each kind of token gets its own mean
        change = levelled(changed.plans[layer], [3], found)
        raw = changed.under(PIXELS, [change], [layer], raw=True).values[layer][..., 3]
        np.testing.assert_allclose(raw, np.broadcast_to(found[[1, 2, *[0] * 6], 3], (5, 8)))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (Axes(), (2, 3, 5)),
        (Axes(1), (5, 2, 3)),
        (Axes(units_first=True), (2, 3, 5)),
        (Axes(0, 3), (6, 4, 5)),
        (Axes(0, 3, True), (6, 4, 5)),
        (Axes(0, 3), (6, 5)),
        (Axes(0, 3, True), (6, 5)),
        (Axes(0, 3, True), (6, 2, 2, 5)),
        (Axes(2), (5, 3, 2)),
    ],
)
def test_axes_are_put_back(axes: Axes, shape: tuple[int, ...]) -> None:
    output = torch.arange(float(np.prod(shape))).reshape(shape)
    assert torch.equal(axes.restore(axes.arrange(output).clone(), shape), output)


@dataclasses.dataclass(frozen=True)
class Out:
    extra: object
    hidden: Tensor


def test_one_tensor_of_an_output_is_exchanged() -> None:
    old, new, other = torch.zeros(()), torch.ones(()), torch.full((), 2.0)
    assert _exchanged(old, old, new) is new
    mapping = _exchanged({"a": [other, old], "b": old}, old, new)
    assert [mapping["a"][0], mapping["a"][1], mapping["b"]] == [other, new, new]
    before = Out("text", old)
    assert (_exchanged(before, old, new).hidden, before.hidden) == (new, old)
    outputs = pytest.importorskip("transformers.modeling_outputs")
    made = outputs.BaseModelOutput(last_hidden_state=old, hidden_states=(other, old))
    found = _exchanged(made, old, new)
    assert [found.last_hidden_state, found[0], *found.hidden_states] == [new, new, other, new]
    assert made.last_hidden_state is old


def test_what_cannot_be_changed_is_said(tmp_path: Path) -> None:
    changed = open_pass(network(Conv), ["next", "head"], tmp_path)
    plan = changed.plans["next"]
    with pytest.raises(UsageError, match="`units` to be from 0 to 4 in next, got 5"):
        zeroed(plan, [1, 5])
    with pytest.raises(UsageError, match="got -2"):
        zeroed(plan, [-2])
    info = dataclasses.replace(plan.info, name="relu#5")
    never = Change(
        dataclasses.replace(plan, info=info), *dataclasses.astuple(zeroed(plan, [1]))[1:]
    )
    with pytest.raises(NeuronymError, match="relu#5 .* does not"):
        changed.under(PIXELS, [never])
    hooked = sum(len(m._forward_hooks) for m in changed.target.model.modules())
    assert hooked == 0

    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum()

    bare = open_pass(nn.Sequential(nn.Conv2d(3, 5, 1), Sum()), ["0"], tmp_path)
    with pytest.raises(NeuronymError, match="nothing with one row per image"):
        bare.under(PIXELS)
    assert (
        bare.under(PIXELS, [zeroed(bare.plans["0"], [1])], ["0"], output=False).values["0"][0, 1]
        == 0
    )
