"""Ordinary networks: wrapped, quantised, exported; whatever is offered can be recorded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from neuronym._core.errors import NeuronymError, UsageError
from neuronym.extraction.cache import Cache
from neuronym.extraction.names import resolve_layers
from neuronym.extraction.passes import TargetPass, choose_layers, default_layers
from neuronym.extraction.recording import describe_layers, record, run_target
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target, open_target

# torch's own, of what these tests make: nothing of ours may warn.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{text}")
    for text in ("torch.jit", "LeafSpec", "quantiz", "reduce_range", "nested tensors", "observer")
]
SMALL = Preprocess((16, 16), 16)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


def plain(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    parts = [nn.Conv2d(3, 7, 3, 2, 1), nn.BatchNorm2d(7), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(7, 5)).eval()


def nested(inner: Callable[[nn.Module], nn.Module] = lambda module: module) -> nn.Module:
    whole = plain()
    return nn.Sequential(inner(whole[:4]), whole[4:]).eval()


def compiled_in_place() -> nn.Module:
    model = plain()
    model.compile()
    return model


def feed(
    model: nn.Module | Target, layers: list[str], folder: Path, dtype: str = "float32"
) -> TargetPass:
    target = model if isinstance(model, Target) else open_target(model, preprocess=SMALL)
    where = {"device": torch.device("cpu"), "dtype": dtype, "batch_size": 4}
    return TargetPass(target, choose_layers(target, layers), Cache(folder), **where)


def values(model: nn.Module | Target, layers: list[str], folder: Path, **how) -> dict:
    run = feed(model, layers, folder, **how)
    with run.running():
        found = run(PIXELS, list(run.entries))
    return {layer: arrays["values"] for layer, arrays in found.items()}


def by_hand(model: nn.Module, layers: list[str]) -> dict[str, np.ndarray]:
    """Pooled outputs in float64, each from a hook of torch's own."""
    model, found = copy.deepcopy(model).double(), {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: found.update({name: output.detach().clone()})

    for layer in layers:
        model.get_submodule(layer).register_forward_hook(keep(layer))
    with torch.no_grad():
        model(SMALL.normalise(torch.from_numpy(PIXELS)).double().contiguous())
    return {k: (v.mean((2, 3)) if v.ndim == 4 else v).numpy() for k, v in found.items()}


# Wrapped networks


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        lambda model: torch.compile(nn.DataParallel(model)),
        nn.DataParallel,
        lambda model: AveragedModel(model, use_buffers=True),
        lambda model: compiled_in_place(),
    ],
    ids=["compile", "both", "parallel", "averaged", "in place"],
)
def test_wrapped_networks_are_seen_through(wrap, dtype: str, tmp_path: Path) -> None:
    infos = describe_layers(open_target(wrap(plain()), preprocess=SMALL))
    names = [info.name for info in infos]
    assert names == ["0", "1", "2", "3", "4", "5"]
    found = values(wrap(plain()), names, tmp_path, dtype=dtype)
    exact = by_hand(plain(), names)
    for name in names:
        near = 1e-5 if dtype == "float32" else 0.02
        wanted = exact[name].reshape(len(PIXELS), -1)
        np.testing.assert_allclose(found[name], wanted, atol=near * np.abs(wanted).max())


@pytest.mark.parametrize("inner", [torch.compile, nn.DataParallel])
def test_wrapped_parts_are_seen_through(inner, tmp_path: Path) -> None:
    names = ["0.0", "0.1", "0", "1.5"]
    found = values(nested(inner), names, tmp_path)
    assert set(found) == set(names)
    assert [i.name for i in describe_layers(open_target(nested(inner), preprocess=SMALL))] == [
        i.name for i in describe_layers(open_target(nested(), preprocess=SMALL))
    ]
    exact = by_hand(nested(), names)
    for name in names:
        np.testing.assert_allclose(
            found[name], exact[name].reshape(found[name].shape), rtol=1e-4, atol=1e-5
        )


def test_names_with_wrappers_in_them_stay_what_they_are(tmp_path: Path) -> None:
    model = nn.DataParallel(plain())
    assert resolve_layers(model, "module.5,2,module.0") == ["module.0", "2", "module.5"]
    with record(model, ["module.5", "5"]) as acts:
        model(torch.zeros(2, 3, 16, 16))
    assert torch.equal(acts["module.5"], acts["5"])
    # What an earlier version has cached under torch's name is found under either.
    before = feed(model, ["module.5"], tmp_path)
    assert list(before.entries) == ["module.5"]
    before.entries["module.5"].write("shard", {"values": np.zeros((2, 3))}, {})
    now = feed(model, ["5"], tmp_path)
    assert now.entries["5"].folder == before.entries["module.5"].folder
    with pytest.raises(UsageError, match="to name modules of DataParallel, got 'module.9'"):
        feed(model, ["module.9"], tmp_path)


def test_compiled_networks_compile_again_afterwards() -> None:
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    model = torch.compile(plain(), backend=backend)
    with record(model, ["0"]) as acts:
        model(torch.zeros(2, 3, 16, 16))
    assert acts["0"].shape == (2, 7, 8, 8)
    assert not seen
    model(torch.zeros(2, 3, 16, 16))
    assert seen


def test_a_forward_of_ones_own_gets_the_network_as_it_was_given() -> None:
    seen = []
    model = nn.DataParallel(plain())
    target = Target("own", model, SMALL, forward=lambda m, x: seen.append(m) or m.module(x))
    assert run_target(target, torch.zeros(2, 3, 16, 16), ["5"])["5"].shape == (2, 5)
    assert seen == [model]


def test_weights_go_into_wrapped_networks(tmp_path: Path) -> None:
    torch.save(plain(seed=1).state_dict(), tmp_path / "w.pth")
    for wrap in (nn.DataParallel, torch.compile):
        model = open_target(wrap(plain()), weights=tmp_path / "w.pth", preprocess=SMALL).model
        assert torch.equal(list(model.parameters())[-1], plain(seed=1)[5].bias)


# Whatever is offered can be recorded


class Volumes(nn.Module):
    def __init__(self, kind: type = nn.Conv3d) -> None:
        super().__init__()
        self.volume, self.head = kind(3, 6, (1, 3, 3)), nn.Linear(6, 4)
        self.register_buffer("table", torch.ones(1, 1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.volume(x[:, :, None]) * self.table).mean((2, 3, 4)))


def quantised() -> nn.Module:
    from torch.ao import quantization

    whole = plain()
    model = nn.Sequential(
        quantization.QuantStub(), whole[0], *whole[2:], quantization.DeQuantStub()
    ).eval()
    model.qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
    quantization.prepare(model, inplace=True)
    model(torch.rand(4, 3, 16, 16))
    return quantization.convert(model, inplace=True)


def quantised_as_it_runs() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(plain(), {nn.Linear})


def unflattened(dynamic: bool = True) -> nn.Module:
    shapes = {0: torch.export.Dim("batch")} if dynamic else None
    program = torch.export.export(
        plain(), (torch.rand(2, 3, 16, 16),), dynamic_shapes=(shapes,) if dynamic else None
    )
    return torch.export.unflatten(program)


class Odd(nn.Module):
    """Outputs that cannot be pooled, each for its own reason, and one that can."""

    REASONS: ClassVar = {
        "nothing": "gives an empty tensor",
        "ragged": "gives a nested tensor",
        "single": "does not grow with the number of images",
        "pairs": "grows with the number of images in more than one dimension",
        "heads": "takes windows or heads for images: choose the layer around it",
        "deep": "gives outputs of five dimensions: choose a layer with maps or tokens",
        "alone": "gives outputs of one dimension",
        "never": "does not run",
    }

    def __init__(self) -> None:
        super().__init__()
        for name in self.REASONS:
            setattr(self, name, nn.Identity())
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = x.mean((2, 3))
        self.nothing(x[:, :0])
        self.ragged(torch.nested.nested_tensor(list(x)))
        self.single(y.mean(0, keepdim=True))
        self.pairs(y @ y.T)
        self.heads(x.reshape(-1, 4, 16))
        self.deep(x[:, None])
        self.alone(y[:, 0])
        return self.head(y)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "make",
    [
        Volumes,
        lambda: Volumes(nn.ConvTranspose3d),
        quantised,
        quantised_as_it_runs,
        unflattened,
        Odd,
        lambda: torch.fx.symbolic_trace(plain()),
    ],
    ids=["volumes", "transposed", "quantised", "as it runs", "unflattened", "odd", "traced"],
)
def test_whatever_is_offered_can_be_recorded(make, dtype: str, tmp_path: Path) -> None:
    model = make().eval()
    infos = describe_layers(open_target(model, preprocess=SMALL))
    offered = [info.name for info in infos if info.usable]
    assert offered
    found = values(model, offered, tmp_path, dtype=dtype)
    assert {name: array.shape for name, array in found.items()} == {
        info.name: (5, info.units) for info in infos if info.usable
    }
    assert all(np.isfinite(array).all() for array in found.values())
    for info in infos:
        if not info.usable:
            with pytest.raises(UsageError, match="which (gives|does|takes|grows)"):
                choose_layers(open_target(model, preprocess=SMALL), [info.name])


def test_what_is_not_offered_says_why() -> None:
    notes = {i.name: i.note for i in describe_layers(open_target(Odd(), preprocess=SMALL))}
    for name, reason in Odd.REASONS.items():
        assert notes[name].startswith(reason), name


def test_quantised_outputs_are_the_numbers_they_stand_for(tmp_path: Path) -> None:
    model, seen = quantised(), []
    model[1].register_forward_hook(lambda m, i, output: seen.append(output.dequantize()))
    found = values(model, ["1"], tmp_path)["1"]
    seen.clear()
    with torch.no_grad():
        model(SMALL.normalise(torch.from_numpy(PIXELS)))
    np.testing.assert_allclose(found, seen[0].mean((2, 3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("what", [lambda p: p, lambda p: p.module()])
def test_exported_programs_are_refused_in_a_sentence(what) -> None:
    program = torch.export.export(plain(), (torch.rand(2, 3, 16, 16),))
    with pytest.raises(UsageError, match=r"from torch.export, which has no layers. Give the Py"):
        open_target(what(program), preprocess=SMALL)


def test_networks_for_one_number_of_images_are_refused_in_a_sentence() -> None:
    with pytest.raises(NeuronymError, match="runs on 2 images at once but neither on 1 nor on 3"):
        describe_layers(open_target(unflattened(dynamic=False), preprocess=SMALL))


# What is done for speed and fails is left out


class Viewing(nn.Module):
    """Wants its maps in memory the way torch usually has them."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Conv2d(3, 7, 3, padding=1), nn.Linear(7 * 256, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x).view(len(x), -1))


COSTS = {functional.linear: 1}


class Looking(nn.Module):
    """Looks a function of torch up in a table."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Conv2d(3, 7, 3), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x).mean((2, 3)) * COSTS[functional.linear])


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Viewing(), Looking()

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.two(x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("make", "layers", "without"),
    [
        (Viewing, ["maps", "head"], "channels last in memory"),
        (Looking, ["maps", "head"], "linear layers (by oneDNN|on vectors in float32)"),
        (
            Both,
            ["one.maps", "one", "two.head"],
            "channels last in memory and linear layers (by|on)",
        ),
    ],
)
def test_what_fails_of_ours_is_left_out_with_a_note(
    make, layers: list[str], without: str, dtype: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = make().eval()
    exact = by_hand(model, layers)
    with pytest.warns(UserWarning, match=f"{make.__name__} does not run with {without}"):
        run = feed(model, layers, tmp_path, dtype)
    assert f"without {without}".partition(" and")[0].partition(" (")[0] in run.arithmetic
    with run.running():
        found = run(PIXELS, layers)
    near = 1e-5 if dtype == "float32" else 0.03
    for layer, wanted in exact.items():
        size = np.abs(wanted).max()
        np.testing.assert_allclose(found[layer]["values"], wanted, atol=near * size)


def test_a_network_that_fails_by_itself_is_not_blamed_on_us(tmp_path: Path) -> None:
    model = plain()
    run_once = feed(model, ["5"], tmp_path)
    model[4].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(NeuronymError, match="failed on a batch of images: ZeroDivisionError"):
        run_once(PIXELS, ["5"])
    assert default_layers(describe_layers(open_target(plain(), preprocess=SMALL)))
