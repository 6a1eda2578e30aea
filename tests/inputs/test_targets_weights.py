"""Weights from files: every wrapping opens, everything else is named, no code runs."""

from __future__ import annotations

import argparse
import pickle
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from neuronym._core.errors import NeuronymError, UsageError
from neuronym.inputs.targets.weights import load_weights, read_weights


def small(classes: int = 5, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(3, 7, 3), norm=nn.BatchNorm2d(7), fc=nn.Linear(7, classes))
    )


TRAINED = small(seed=1).state_dict()


def same(model: nn.Module) -> bool:
    return all(torch.equal(v, TRAINED[k]) for k, v in model.state_dict().items())


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{k}": v for k, v in TRAINED.items()}


WRAPPED = {
    "plain": TRAINED,
    "state_dict": {"state_dict": TRAINED, "epoch": 3},
    "model": {"model": TRAINED, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}},
    "model_state_dict": {"model_state_dict": dict(TRAINED)},
    "net": {"net": TRAINED, "best": 0.9},
    "nested": {"model": {"state_dict": prefixed("module.")}},
    "ema beside": {"ema": {k: v * 0 for k, v in TRAINED.items()}, "state_dict": TRAINED},
    "only ema": {"ema": TRAINED, "epoch": 3},
    "module.": prefixed("module."),
    "_orig_mod.": prefixed("_orig_mod."),
    "module._orig_mod.": prefixed("module._orig_mod."),
    "lightning": {"state_dict": {**prefixed("model."), "loss.weight": torch.ones(3)}},
    "backbone.": {"state_dict": prefixed("backbone.")},
    "beside a number": {**TRAINED, "epoch": 3},
    "no counters": {k: v for k, v in TRAINED.items() if "num_batches" not in k},
    "numbers of NumPy": {"state_dict": TRAINED, "best": np.float64(0.9), "epoch": np.int32(4)},
    "arrays of NumPy": {
        "model": TRAINED,
        "mean": np.arange(6.0, dtype=np.float32).reshape(2, 3),
        "classes": np.array(["cat", "dog"]),
        "kind": np.dtype("float16"),
        "when": np.datetime64("2026-01-02"),
        "mixed": np.array([1, "a", None], dtype=object),
        "history": [{"loss": np.float16(0.5), "right": np.bool_(True)}],
        "args": argparse.Namespace(lr=np.float32(0.1)),
    },
    "arguments": {"model": TRAINED, "args": argparse.Namespace(lr=0.1, layers=[1, 2])},
    "half": {k: v.half().float() if v.is_floating_point() else v for k, v in TRAINED.items()},
}


@pytest.mark.parametrize("how", WRAPPED)
def test_every_wrapping_opens(how, tmp_path):
    torch.save(WRAPPED[how], tmp_path / "w.pth")
    model = load_weights(small(), tmp_path / "w.pth")
    assert same(model) or how in ("no counters", "half")
    torch.testing.assert_close(model.fc.weight, TRAINED["fc.weight"], atol=1e-3, rtol=0)


@pytest.mark.parametrize("how", ["numbers of NumPy", "arrays of NumPy"])
def test_old_files_with_more_beside_the_weights_open(how, tmp_path):
    torch.save(WRAPPED[how], tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert same(load_weights(small(), tmp_path / "w.pt"))


def test_what_stands_in_for_numpy_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Scalar:
        def __reduce__(self):
            return (np.dtype, (Bomb(),))

    torch.save({"state_dict": TRAINED, "best": Scalar()}, "w.pth")
    with pytest.raises(NeuronymError, match="holds more than weights"):
        read_weights("w.pth")
    assert not (tmp_path / "exploded").exists()


def test_one_of_several_state_dicts(tmp_path):
    file = tmp_path / "w.pth"
    twice = {k: v * 2 for k, v in TRAINED.items()}
    torch.save(
        {"model": {"student": TRAINED, "late": {"ema": prefixed("module.")}}, "ema": twice}, file
    )
    assert torch.equal(load_weights(small(), f"{file}#ema").fc.bias, TRAINED["fc.bias"] * 2)
    assert same(load_weights(small(), f"{file}#model.student"))
    assert same(load_weights(small(), f"{file}#model.late.ema"))
    has = "It has these: w.pth#model.student, w.pth#model.late.ema, w.pth#ema."
    with pytest.raises(UsageError, match=f"name a state dict of .*, got 'emma'. {has}"):
        load_weights(small(), f"{file}#emma")
    with pytest.raises(NeuronymError, match="its keys are one, two.*w.pth#one, w.pth#two"):
        torch.save({"one": TRAINED, "two": TRAINED}, file)
        read_weights(file)
    with pytest.raises(UsageError, match=r"an existing file, got '.*gone.pth \(nothing there\)'"):
        read_weights(tmp_path / "gone.pth#ema")
    torch.save(TRAINED, file)
    with pytest.raises(UsageError, match="got 'ema'. It has one, without a name: leave #ema out"):
        load_weights(small(), f"{file}#ema")


def test_parts_of_safetensors_and_files_with_a_number_sign(tmp_path):
    save_file({**prefixed("ema."), "other.weight": torch.ones(1)}, tmp_path / "w.safetensors")
    assert same(load_weights(small(), f"{tmp_path / 'w.safetensors'}#ema"))
    torch.save(TRAINED, tmp_path / "run#3.pth")
    assert same(load_weights(small(), tmp_path / "run#3.pth"))
    torch.save({"a": TRAINED, "b": {}}, tmp_path / "run#4.pth")
    assert same(load_weights(small(), f"{tmp_path / 'run#4.pth'}#a"))


@pytest.mark.parametrize("how", ["module", "in a dictionary", "beside a path"])
def test_the_line_that_is_printed_takes_the_weights_out(how, tmp_path):
    module = small()
    module.load_state_dict(TRAINED)
    whole = {
        "module": module,
        "in a dictionary": {"epoch": 3, "model": module},
        "beside a path": {"net": TRAINED, "where": tmp_path},
    }[how]
    torch.save(whole, tmp_path / "w.pth")
    with pytest.raises(NeuronymError, match="take the weights out of it: python -c ") as caught:
        read_weights(tmp_path / "w.pth")
    line = str(caught.value).partition('python -c "')[2].rstrip('"')
    subprocess.run([sys.executable, "-c", line], check=True)
    assert same(load_weights(small(), tmp_path / "w-weights.pth"))


def test_old_files_of_torch_open(tmp_path):
    torch.save(TRAINED, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert same(load_weights(small(), str(tmp_path / "w.pt")))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors_open_whatever_they_are_called(prefix, tmp_path):
    save_file(prefixed(prefix), tmp_path / "weights.bin")
    assert same(load_weights(small(), tmp_path / "weights.bin"))


def test_half_precision_is_converted(tmp_path):
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in TRAINED.items()}, tmp_path / "w"
    )
    model = load_weights(small(), tmp_path / "w")
    assert model.fc.weight.dtype == torch.float32


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


def files(tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save(TRAINED, whole)
    save_file(TRAINED, tmp_path / "whole.safetensors")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "text.pth").write_text("<html>404 not found</html>\n" * 30)
    (tmp_path / "lfs.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:-200])
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-20])
    (tmp_path / "noise.pth").write_bytes(b"\x80" + bytes(range(256)))
    torch.save(small(), tmp_path / "module.pth")
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"state_dict": Bomb()}))
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "nothing.pth")
    torch.save([torch.ones(3)], tmp_path / "list.pth")
    torch.jit.save(torch.jit.script(nn.ReLU()), tmp_path / "script.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.pth", "The weights file .*empty.pth is empty"),
        ("text.pth", "text.pth is a text file, no weights"),
        ("lfs.pth", "pointer of git-lfs.*git lfs pull"),
        ("cut.pth", "cut.pth is not a complete PyTorch file.*Was it cut off"),
        ("cut.safetensors", "not a complete safetensors file.*Was it cut off"),
        ("noise.pth", "noise.pth is not a PyTorch file. Save the weights"),
        (
            "module.pth",
            "holds more than weights.*could run code, so neuronym does not. If you trust it, take",
        ),
        ("bomb.pth", "bomb.pth holds more than weights"),
        ("nothing.pth", r"holds no weights by name \(its keys are epoch, lr\)"),
        ("list.pth", "list.pth holds no weights by name"),
        ("script.pt", "script.pt is a TorchScript archive"),
    ],
)
def test_files_that_hold_no_weights_are_named(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files(tmp_path)
    with pytest.raises(NeuronymError, match=message) as caught:
        read_weights(tmp_path / name)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_missing_files_and_folders_are_wrong_usage(tmp_path):
    with pytest.raises(
        UsageError, match=r"Expected `weights` to be an existing file, got .*nothing there"
    ):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(UsageError, match="a folder"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("fc.bias"), r"do not fit tiny: 1 missing from the file \(fc.bias\)"),
        (lambda w: w.update(extra=torch.ones(2)), r"1 unknown to the network \(extra\)"),
        (
            lambda w: w.update({"conv.weight": torch.ones(7, 3, 5, 5)}),
            r"1 of another shape \(conv.weight is \[7, 3, 5, 5\] in the file, \[7, 3, 3, 3\] in",
        ),
        (
            lambda w: w.update({"fc.weight": torch.ones(11, 7), "fc.bias": torch.ones(11)}),
            "Its head is for 11 classes: make the network with num_classes=11",
        ),
        (lambda w: w.update({"fc.bias": torch.ones(5, dtype=torch.int8)}), "fc.bias is torch.int8"),
        (
            lambda w: (w.clear(), w.update({f"a{i}": torch.ones(1) for i in range(9)})),
            r"8 missing .*, …\); 9 unknown.*weights of another network",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message, tmp_path):
    weights = dict(TRAINED)
    change(weights)
    torch.save(weights, tmp_path / "w.pth")
    model = small()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(NeuronymError, match=message):
        load_weights(model, tmp_path / "w.pth", name="tiny")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_head_of_other_classes_is_rebuilt_where_the_network_can_be(tmp_path):
    trained = small(11)
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    model = load_weights(small(), tmp_path / "w.pth", rebuild=small)
    assert model.fc.out_features == 11
    assert torch.equal(model.fc.weight, trained.fc.weight)
    # Not where another layer differs, alone or too.
    other = {**small().state_dict(), "conv.weight": torch.ones(9, *small().conv.weight.shape[1:])}
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(NeuronymError, match="1 of another shape.*changed version"):
        load_weights(small(), tmp_path / "other.pth", rebuild=small)
    wide = {**trained.state_dict(), "conv.weight": torch.ones(9, 3, 3, 3)}
    torch.save(wide, tmp_path / "wide.pth")
    with pytest.raises(NeuronymError, match="3 of another shape"):
        load_weights(small(), tmp_path / "wide.pth", rebuild=small)
