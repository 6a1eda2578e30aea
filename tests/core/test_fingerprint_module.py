"""The fingerprint of a network changes with what it computes, and with nothing else."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import types
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from neuronym._core.module_fingerprint import of_module
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target


@dataclass
class Settings:
    k: float = 1.0


class Act(nn.Module):
    K = 2.0

    def __init__(self, act=None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)
        nn.init.constant_(self.conv.weight, 0.3)
        nn.init.constant_(self.conv.bias, 0.1)
        self.act = act

    def forward(self, x):
        self.last = x.mean()
        return self.conv(x) * self.K


def scaled(k):
    return lambda x: x * k


PAIRS = {
    "function": (torch.relu, torch.tanh),
    "functional": (nn.functional.relu, nn.functional.gelu),
    "partial": tuple(
        functools.partial(nn.functional.leaky_relu, negative_slope=s) for s in (0.1, 0.9)
    ),
    "lambda": (lambda x: x * 2, lambda x: x * 3),
    "closure": (scaled(2), scaled(3)),
    "dictionary": ({"k": [2.0]}, {"k": [3.0]}),
    "tensor": (torch.tensor(2.0), torch.tensor(3.0)),
    "array": (np.array([2.0]), np.array([3.0])),
    "scalar": (np.float32(2), np.float32(3)),
    "none": (None, 3.0),
    "dataclass": (Settings(2.0), Settings(3.0)),
    "namespace": (types.SimpleNamespace(k=2), types.SimpleNamespace(k=3)),
    "set": ({"a", "b"}, {"a", "c"}),
    "module in a list": ([Act(2.0)], [Act(3.0)]),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_attributes_count(kind):
    one, two = PAIRS[kind]
    assert of_module(Act(one)) == of_module(Act(one))
    assert of_module(Act(one)) != of_module(Act(two))


def test_hooks_patches_and_class_attributes_count(monkeypatch):
    plain, hooked, patched = Act(), Act(), Act()
    hooked.conv.register_forward_hook(lambda m, i, o: o * 2)
    patched.conv.forward = lambda x: x
    assert len({of_module(m) for m in (plain, hooked, patched)}) == 3
    before = of_module(plain)
    monkeypatch.setattr(Act, "K", 3.0)
    assert of_module(plain) != before


def test_what_runs_the_network_counts():
    model = Act()
    prints = {
        Target("n", model, Preprocess(), forward=forward).fingerprint
        for forward in (lambda m, x: m(x), lambda m, x: m(x * 2))
    }
    assert len({*prints, Target("n", model, Preprocess()).fingerprint}) == 3


def test_passes_and_modes_do_not_count():
    model = Act(torch.relu).train()
    before = of_module(model)
    model(torch.ones(1, 3, 2, 2))
    assert of_module(model.eval()) == before
    model.itself = [model]  # a cycle ends
    assert of_module(model) != before


def test_a_target_is_in_evaluation_mode():
    assert not Target("n", Act().train(), Preprocess()).model.training


@pytest.mark.torture
def test_own_files_count_and_processes_agree(tmp_path):
    (tmp_path / "base_mod.py").write_text(
        "from torch import nn\n"
        "class Base(nn.Module):\n"
        "    names = {'x', 'y', 'z'}\n"
        "    def forward(self, x): return helper(x)\n"
        "def helper(x): return x * 1.0\n"
    )
    (tmp_path / "net_mod.py").write_text(
        "from base_mod import Base\nclass Net(Base): pass\ndef build(): return Net()\n"
    )
    code = (
        "from neuronym.inputs.targets.base import open_target\n"
        "print(open_target('python:net_mod:build').fingerprint)"
    )

    def run(seed: int) -> str:
        env = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = run(1)
    assert run(2) == before
    text = (tmp_path / "base_mod.py").read_text()
    (tmp_path / "base_mod.py").write_text(text.replace("* 1.0", "* 5.0"))
    assert run(1) != before
