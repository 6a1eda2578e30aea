"""torchvision imports beside a CPU-only torch; fingerprints of modules hold across processes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from neuronym._core import torchvision_compat
from neuronym._core.module_fingerprint import of_module
from neuronym.extraction.recording import record


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.torture
def test_torchvision_imports_and_works_once_prepared():
    out = python(
        "from neuronym._core.torchvision_compat import prepare_torchvision\n"
        "prepare_torchvision(); prepare_torchvision()\n"
        "import torch, torchvision\n"
        "from torchvision.transforms import functional as F\n"
        "print(torchvision.models.squeezenet1_1().eval()(torch.zeros(1, 3, 64, 64)).shape)\n"
        "print(F.resize(torch.zeros(3, 9, 9), [5, 5]).shape)\n"
    )
    assert out.splitlines() == ["torch.Size([1, 1000])", "torch.Size([3, 5, 5])"]


def test_names_of_imagenet_without_importing_torchvision():
    names = python(
        "import sys\n"
        "from neuronym._core.torchvision_compat import imagenet_names\n"
        "names = imagenet_names()\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules)\n"
        "print(*names, sep='\\n')\n"
    )
    torchvision_compat.prepare_torchvision()
    from torchvision.models import ResNet50_Weights

    assert names.splitlines() == ResNet50_Weights.IMAGENET1K_V1.meta["categories"]


def test_nothing_is_touched_once_torchvision_is_imported_or_absent():
    out = python(
        "import sys, importlib.util\n"
        "from neuronym._core.torchvision_compat import prepare_torchvision\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'torchvision' else find(n, *a)\n"
        "prepare_torchvision()\n"
        "print('torch' in sys.modules)\n"
        "prepare_torchvision.cache_clear()\n"
        "importlib.util.find_spec, sys.modules['torchvision'] = find, sys\n"
        "prepare_torchvision()\n"
        "print('torch' in sys.modules)\n"
    )
    assert out.splitlines() == ["False", "False"]


def test_an_extension_that_loads_is_left_alone(monkeypatch):
    monkeypatch.setattr(torchvision_compat, "_extension_loads", lambda: True)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    defined = []
    monkeypatch.setattr(torch.library, "define", lambda *a: defined.append(a))
    torchvision_compat.prepare_torchvision.__wrapped__()
    assert defined == []
    monkeypatch.setattr(torchvision_compat, "_extension_loads", lambda: False)
    monkeypatch.setattr(torchvision_compat, "_declared", lambda name: False)
    torchvision_compat.prepare_torchvision.__wrapped__()
    assert [name for name, _ in defined] == ["torchvision::nms", "torchvision::qnms"]


class Scaled(nn.Module):
    def __init__(self, scale: float = 1.0, values: float = 0.0) -> None:
        super().__init__()
        self.inner, self.scale = nn.Linear(3, 5, bias=False), scale
        self.call = lambda x: x
        with torch.no_grad():
            self.inner.weight.fill_(values)
        self.register_buffer("seen", torch.zeros(2), persistent=False)

    def extra_repr(self) -> str:
        return f"call={self.call}"


def test_fingerprints_of_modules_change_with_everything_that_counts():
    one = Scaled()
    assert of_module(one) == of_module(Scaled())
    assert of_module(one) == of_module(Scaled().eval())
    different = [one, Scaled(2.0), Scaled(values=1.0), Scaled().half(), Scaled().bfloat16()]
    moved = Scaled()
    moved.seen += 1
    activation = Scaled()
    activation.inner = nn.Sequential(activation.inner, nn.ReLU())
    prints = [of_module(m) for m in [*different, moved, activation]]
    assert len(set(prints)) == len(prints)


def test_fingerprints_do_not_change_by_recording():
    one = Scaled()
    before = of_module(one)
    with record(one, ["inner"]) as acts:
        one.inner(torch.zeros(1, 3))
    assert acts["inner"].shape[0] == 1
    assert of_module(one) == before
    handle = one.inner.register_forward_hook(lambda *_: None)
    assert of_module(one) != before  # a hook of the user's may change what the network does
    handle.remove()
    assert of_module(one) == before


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.bool, torch.int64])
def test_fingerprints_take_tensors_of_any_kind(shape, kind):
    module = nn.Module()
    module.register_buffer("x", torch.zeros(shape, dtype=kind))
    other = nn.Module()
    other.register_buffer("x", torch.zeros((*shape, 1), dtype=kind))
    assert of_module(module) != of_module(other)


@pytest.mark.torture
def test_fingerprints_hold_across_processes():
    from neuronym.inputs.targets.base import open_target

    name = "squeezenet1_1:weights=random"
    other = python(
        "from neuronym.inputs.targets.base import open_target\n"
        f"print(open_target('{name}').fingerprint)"
    )
    assert other == open_target(name).fingerprint
