"""Batch norms folded while a network runs."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from neuronym.extraction.precision import Folding, find_folding
from neuronym.extraction.recording import record

CPU = torch.device("cpu")
SIZE = (9, 11)


def filled(module: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics as if it had been trained."""
    generator = torch.Generator().manual_seed(5)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for tensor, low, high in (
                (part.running_mean, -0.6, 0.5),
                (part.running_var, 0.2, 3.0),
                (part.weight, 0.3, 1.7),
                (part.bias, -0.4, 0.7),
            ):
                if tensor is not None:
                    tensor.data.uniform_(low, high, generator=generator)
    return module.eval()


class Block(nn.Module):
    """Two convolutions with batch norms, and a way around them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.one_norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.two, self.two_norm = nn.Conv2d(6, 3, 1, bias=False), nn.BatchNorm2d(3, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.one_norm(self.one(x)), inplace=True)
        return functional.relu(x + self.two_norm(self.two(y)))


class NormAct(nn.BatchNorm2d):
    """A batch norm that does more, as timm's do."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(super().forward(x))


class Shared(nn.Module):
    """One convolution, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(self.norm(self.conv(x))))


class Leaking(nn.Module):
    """The output of the convolution is used beside its batch norm."""

    def __init__(self, use: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)
        self.use = use

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.use(self.norm(y), y)


def sequence(conv: nn.Module, norm: nn.Module) -> nn.Module:
    return nn.Sequential(conv, norm, nn.ReLU(inplace=True), nn.Conv2d(norm.num_features, 4, 1))


def found(model: nn.Module, layers: list[str], dtype: str = "float32") -> Folding:
    def run(batch: Tensor) -> list[Tensor]:
        with record(model, layers) as acts:
            model(batch)
        return list(acts.values())

    return find_folding(run, SIZE, CPU, dtype)


FOLDED: list[tuple[nn.Module, list[str], tuple[int, ...]]] = [
    (Block(), ["one_norm", "two_norm"], (0, 1)),
    (Block(), ["one"], (1,)),
    (Block(), ["one", "two"], ()),
    (sequence(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6)), ["3"], (0,)),
    (sequence(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False)), ["1"], (0,)),
    (sequence(nn.Conv2d(3, 6, 3, 2, 1, padding_mode="reflect"), NormAct(6)), ["1", "3"], (0,)),
    (sequence(nn.Conv2d(3, 6, 3, dilation=2), nn.BatchNorm2d(6)), ["2", "3"], (0,)),
    (sequence(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, track_running_stats=False)), ["3"], ()),
    (sequence(nn.ConvTranspose2d(3, 6, 3), nn.BatchNorm2d(6)), ["3"], ()),
    (nn.Sequential(nn.Sequential(nn.Conv2d(3, 5, 3)), nn.BatchNorm2d(5)), ["0", "1"], ()),
    (Shared(), ["norm"], ()),
    (Leaking(lambda normed, y: normed + 1e-7 * y), ["norm"], ()),
    (Leaking(lambda normed, y: normed + y.flatten(1).mean()), ["norm"], ()),
    (Leaking(lambda normed, y: torch.cat([normed, y], 1)), ["norm"], ()),
    (nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 5, 4), nn.BatchNorm1d(5)), ["2"], (0,)),
]


@pytest.mark.parametrize(("model", "layers", "places"), FOLDED)
def test_what_is_folded_and_that_outputs_stay(
    model: nn.Module, layers: list[str], places: tuple[int, ...]
) -> None:
    filled(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fold = found(model, layers)
    assert fold.places == places
    batch = torch.randn(4, 3, *SIZE, generator=torch.Generator().manual_seed(2))
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        with record(exact, layers) as wanted:
            exact(batch.double())
        with fold.applied(), record(model, layers) as acts:
            model(batch)
    assert not fold.waiting
    for layer in layers:
        np.testing.assert_allclose(acts[layer], wanted[layer], rtol=1e-5, atol=2e-6)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_batch_norm_in_training_is_left_alone() -> None:
    model = filled(sequence(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)))
    assert found(model, ["3"]).places == (0,)
    model[1].train()
    assert found(model, ["3"]).places == ()


def test_half_precision_is_not_folded() -> None:
    assert found(filled(Block()), ["one_norm"], "bfloat16").places == ()


def test_folding_computes_less() -> None:
    model = filled(Block())
    fold = found(model, ["two_norm"])
    with torch.no_grad(), torch.profiler.profile() as profile, fold.applied():
        model(torch.randn(2, 3, *SIZE))
    assert not [event for event in profile.events() if "batch_norm" in event.name]


def test_functions_come_back_after_an_error() -> None:
    model = filled(Block())
    plain = functional.conv2d, functional.batch_norm
    fold = found(model, ["two_norm"])
    with pytest.raises(RuntimeError, match="expected input"), fold.applied():
        assert functional.conv2d is not plain[0]
        model(torch.randn(2, 7, *SIZE))
    assert (functional.conv2d, functional.batch_norm) == plain


def test_a_network_that_fails_is_not_folded() -> None:
    model = filled(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Linear(2, 3)))
    assert found(model, ["2"]).places == ()


class Counting(nn.Sequential):
    """Another output at every call."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


def test_outputs_that_cannot_be_compared() -> None:
    parts = (nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU())
    assert found(filled(nn.Sequential(nn.Sequential(*parts))), ["0"]).places == (0,)
    assert found(filled(nn.Sequential(Counting(*parts))), ["0"]).places == ()
