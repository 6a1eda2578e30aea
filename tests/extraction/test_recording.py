"""Recording: hooks come and go, patterns find layers, tables tell shapes."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from neuronym._core.errors import NeuronymError, UsageError
from neuronym.extraction.cache import Cache
from neuronym.extraction.names import resolve_layers
from neuronym.extraction.passes import TargetPass, choose_layers
from neuronym.extraction.recording import (
    describe_layers,
    output_layer,
    record,
    tensor_of,
)
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.targets.base import Target


@dataclasses.dataclass
class Out:
    extra: object
    hidden: torch.Tensor


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.conv(x)) + self.relu(x.clone())


class Net(nn.Module):
    """Two blocks with an in-place ReLU that runs twice, a branch that never runs, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 3, stride=2, padding=1)
        self.stages = nn.ModuleList([Block(5), Block(5)])
        self.unused = nn.Linear(5, 5)
        self.norm = nn.LayerNorm(5)
        self.head = nn.Linear(5, 7)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = self.norm(x.permute(0, 2, 3, 1))
        return self.head(x.mean((1, 2)))


def net() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


PIXELS = np.arange(4 * 12 * 16 * 3, dtype=np.uint8).reshape(4, 12, 16, 3)
BATCH = torch.linspace(-1, 1, 2 * 3 * 12 * 16).reshape(2, 3, 12, 16)


def test_outputs_are_those_before_an_in_place_relu():
    model = net()
    with record(model, ["stages.0.conv", "stem"]) as acts:
        model(BATCH)
    assert list(acts) == ["stem", "stages.0.conv"]
    torch.testing.assert_close(acts["stem"], model.stem(BATCH))
    torch.testing.assert_close(acts["stages.0.conv"], model.stages[0].conv(model.stem(BATCH)))
    assert (acts["stages.0.conv"] < 0).any()
    assert not acts["stem"].requires_grad


def test_reduce_runs_inside_the_pass_and_results_share_no_memory():
    model = net()
    with record(model, ["stages.0.conv"], reduce=lambda layer, out: out) as acts:
        model(BATCH)
    assert (acts["stages.0.conv"] < 0).any()
    seen = []
    with record(model, ["stem", "head"], reduce=lambda layer, out: seen.append((layer, out.shape))):
        model(BATCH)
    assert seen == [("stem", (2, 5, 6, 8)), ("head", (2, 7))]


def test_the_last_call_is_kept_and_calls_are_counted_per_pass():
    model = net()
    with record(model, ["stages.1.relu", "head"]) as acts:
        for _ in range(3):
            model(BATCH)
    assert acts.calls == {"stages.1.relu": 2, "head": 1}
    inner = model.stages[0](model.stem(BATCH))
    torch.testing.assert_close(acts["stages.1.relu"], inner.relu())


def test_values_of_an_earlier_pass_are_forgotten():
    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 5), nn.Linear(3, 5)
            self.use_b = True

        def forward(self, x):
            return self.a(x) + (self.b(x) if self.use_b else 0)

    model = Fickle()
    with pytest.raises(NeuronymError, match="The layer b exists but does not run"):
        with record(model, ["a", "b"]) as acts:
            model(torch.ones(2, 3))
            assert acts["b"].shape == (2, 5)
            model.use_b = False
            model(torch.ones(2, 3))
    assert hooks(model) == 0


@pytest.mark.parametrize("where", ["body", "forward", "reduce", "attach"])
def test_no_hooks_are_left_after_an_exception(where, monkeypatch):
    model = net()

    def broken(*_: object, **__: object):
        raise ZeroDivisionError("broken")

    if where == "attach":
        monkeypatch.setattr(model.head, "register_forward_hook", broken)
    if where == "forward":
        monkeypatch.setattr(model.norm, "forward", broken)
    reduce = broken if where == "reduce" else None
    with pytest.raises(ZeroDivisionError, match="broken"):
        with record(model, ["stem", "head"], reduce):
            assert hooks(model) == 4
            model(BATCH)
            broken()
    assert hooks(model) == 0


def test_a_layer_that_never_runs_is_named():
    model = net()
    with pytest.raises(NeuronymError, match="The layer unused exists but does not run"):
        with record(model, ["stem", "unused"]):
            model(BATCH)
    # Also where the network is not called as a whole.
    with pytest.raises(NeuronymError, match="The layer unused"):
        with record(model, ["stem", "unused"]):
            model.stem(BATCH)
    assert hooks(model) == 0


def test_a_layer_without_a_tensor_is_named():
    class Text(nn.Module):
        def forward(self, x):
            return "text"

    model = nn.Sequential(OrderedDict(words=Text()))
    with pytest.raises(NeuronymError, match="The layer words gives str, which holds no tensor"):
        with record(model, "words"):
            model(BATCH)


def test_unknown_layers_are_refused_before_anything_runs():
    with pytest.raises(UsageError, match=r"name modules of Net, got 'stages.2'. Nearest: stages"):
        record(net(), ["stages.2"])
    with pytest.raises(UsageError, match="got ''"):
        record(net(), [""])


def test_a_recording_is_entered_once():
    acts = record(net(), ["stem"])
    with pytest.raises(RuntimeError, match="already attached"):
        with acts:
            acts.__enter__()
    assert hooks(acts._model) == 0


X, Y = torch.zeros(1), torch.ones(1)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (X, X),
        ((None, [Y, X]), Y),
        ({"a": "text", "b": X}, X),
        ({"a": Y, "last_hidden_state": X}, X),
        ({"last_hidden_state": Y, "logits": X}, X),
        (Out(extra=None, hidden=X), X),
        (Out, None),
        ("text", None),
        ((), None),
    ],
)
def test_the_tensor_of_an_output(output, expected):
    assert tensor_of(output) is expected


def test_the_tensor_of_a_model_output():
    outputs = pytest.importorskip("transformers").modeling_outputs
    assert tensor_of(outputs.ImageClassifierOutput(hidden_states=(Y,), logits=X)) is X
    assert tensor_of(outputs.BaseModelOutputWithPooling(pooler_output=Y, last_hidden_state=X)) is X


LAYERS = [
    ("stem", ["stem"]),
    ("head,stem", ["stem", "head"]),
    (["head", "stem", "stem"], ["stem", "head"]),
    ("stages.*", ["stages.0", "stages.1"]),
    ("*", ["stem", "unused", "norm", "head"]),  # not the ModuleList, which cannot run
    ("stages", ["stages"]),  # named exactly
    ("**.conv", ["stages.0.conv", "stages.1.conv"]),
    ("**.stem", ["stem"]),
    ("stages.**.relu", ["stages.0.relu", "stages.1.relu"]),
    ("stages.[1-9].**", ["stages.1.conv", "stages.1.relu"]),
    ("stages.[!1].conv", ["stages.0.conv"]),
    ("stages.?.con?", ["stages.0.conv", "stages.1.conv"]),
    (" norm , h* ", ["norm", "head"]),
    (("s*", "stages.0.*"), ["stem", "stages.0.conv", "stages.0.relu"]),
]


@pytest.mark.parametrize(("patterns", "expected"), LAYERS)
def test_patterns(patterns, expected):
    assert resolve_layers(net(), patterns) == expected


def test_names_may_hold_what_patterns_do():
    names = ["last ", " first", "a,b", "st*r", "star"]
    model = nn.Sequential(OrderedDict((name, nn.ReLU()) for name in names))
    for name in names:
        assert resolve_layers(model, name) == [name]
    assert resolve_layers(model, names[:3]) == names[:3]


def test_two_stars_find_everything_that_can_run():
    found = resolve_layers(net(), "**")
    assert len(found) == len(set(found)) == 10
    assert "stages" not in found


def test_a_module_under_two_names_is_found_under_both_but_globbed_once():
    model = nn.Sequential(OrderedDict(one=nn.ReLU(), two=nn.Linear(2, 2)))
    model.three = model.one
    assert resolve_layers(model, "three") == ["three"]
    assert resolve_layers(model, "*") == ["one", "two"]


def test_unknown_patterns_name_the_nearest_and_the_command():
    target = Target("resnet50", nn.Sequential(OrderedDict(layer4=nn.ReLU())), Preprocess())
    with pytest.raises(UsageError, match="layer5") as caught:
        resolve_layers(target, "layer4,layer5")
    assert str(caught.value) == (
        "Expected `layers` to name modules of resnet50, got 'layer5'. Nearest: layer4. "
        "List them with `neuronym layers resnet50`."
    )
    for nothing in ("", [], ["", " "], " , "):
        with pytest.raises(UsageError, match="to name at least one layer, got '[ ,]*'"):
            resolve_layers(target, nothing)
    with pytest.raises(UsageError, match=r"got 'layer\[4'"):
        resolve_layers(target, "layer[4")


def target(model: nn.Module | None = None, size: tuple[int, int] = (12, 16), **more) -> Target:
    return Target("net", (model or net()).eval(), Preprocess(size, 20), **more)


def test_the_table_of_layers():
    table = {info.name: info for info in describe_layers(target())}
    assert list(table) == [name for name, _ in net().named_modules() if name]
    stem = table["stem"]
    assert (stem.type, stem.shape, stem.units, stem.layout) == ("Conv2d", (5, 6, 8), 5, "NCHW")
    assert (stem.grid, stem.calls, stem.depth, stem.params) == ((6, 8), 1, 0, 5 * 3 * 9 + 5)
    assert (table["norm"].layout, table["norm"].units, table["norm"].grid) == ("NHWC", 5, (6, 8))
    assert (table["head"].layout, table["head"].units, table["head"].grid) == ("vector", 7, None)
    assert (table["stages.1.relu"].calls, table["stages.1.relu"].depth) == (2, 2)
    # By a second pass over larger images, since 5 × 6 × 8 alone does not tell.
    assert (table["stages.0"].layout, table["stages.0"].note) == ("NCHW", "")
    for silent in ("unused", "stages"):
        assert (table[silent].calls, table[silent].shape, table[silent].units) == (0, None, None)
        assert table[silent].note == "does not run"


def test_a_stated_layout_settles_what_is_four_dimensional():
    table = {info.name: info for info in describe_layers(target(), layout="nhwc")}
    assert (table["stages.0"].layout, table["stages.0"].units) == ("NHWC", 8)
    assert table["head"].layout == "vector"


def test_a_network_of_one_size_leaves_a_note():
    class Fixed(Net):
        def forward(self, x):
            assert x.shape[2] == 12
            return super().forward(x)

    table = {info.name: info for info in describe_layers(target(Fixed()))}
    assert "--layout" in table["stages.0"].note
    assert table["stem"].note == ""


def test_odd_outputs_are_described():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.windows, self.scalar, self.text = nn.Identity(), nn.Identity(), nn.Identity()
            self.tuple, self.volume = Pair(), nn.Identity()

        def forward(self, x):
            self.windows(x.reshape(-1, 4, 3))
            self.scalar(x.mean())
            self.text("text")
            self.volume(x[:, None])
            return self.tuple(x)[1].mean((2, 3))

    class Pair(nn.Module):
        def forward(self, x):
            return None, x

    table = {info.name: info for info in describe_layers(target(Odd()))}
    assert "takes windows or heads for images" in table["windows"].note
    assert table["scalar"].note == "does not grow with the number of images"
    assert table["text"].note == "gives no tensor"
    assert table["tuple"].units == 3
    assert (table["volume"].layout, table["volume"].units) == ("other", None)


def test_a_network_that_cannot_run_says_why():
    wrong = Target("net", nn.Linear(5, 7), Preprocess((12, 16)))
    with pytest.raises(
        NeuronymError,
        match="net does not run on images of 12 × 16 pixels and 3 channels: RuntimeError: mat1"
        ".*trained.*--preprocess size=",
    ):
        describe_layers(wrong)
    assert hooks(wrong.model) == 0


def test_the_output_layer():
    assert output_layer(target()) == "head"
    tail = nn.Sequential(OrderedDict(net=net(), soft=nn.Softmax(1), extra=nn.Linear(7, 4)))
    assert output_layer(target(tail)) == "extra"
    assert output_layer(target(tail, class_names=tuple("abcdefg"))) == "soft"
    with pytest.raises(UsageError, match="no layer puts out plain vectors.*neuronym layers net"):
        output_layer(target(nn.Sequential(nn.Conv2d(3, 5, 3))))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_modules_are_refused():
    scripted = torch.jit.script(nn.Conv2d(3, 5, 1))
    with pytest.raises(NeuronymError, match="TorchScript module.*give the Python module"):
        describe_layers(target(scripted))


def test_other_errors_come_without_advice_on_preprocessing():
    class Lost(nn.Module):
        def forward(self, x):
            raise KeyError("lost")

    only = "3 channels: KeyError: 'lost'. A network that takes other input .*`forward` of a Target"
    with pytest.raises(NeuronymError, match=only):
        describe_layers(target(Lost()))


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_networks_of_other_precisions_run(kind):
    assert describe_layers(target(net().to(kind)))[0].units == 5


def test_complex_outputs_are_named():
    class Phase(nn.Module):
        def forward(self, x):
            return torch.complex(x, x)

    model = nn.Sequential(Phase())
    assert describe_layers(target(model))[0].note == "gives complex numbers"


def test_the_checksum_tells_what_layers_compute():
    one, two = describe_layers(target()), describe_layers(target())
    assert [info.checksum for info in one] == [info.checksum for info in two]
    changed = net()
    changed.head.bias.data += 1
    found = {i.name for i, j in zip(one, describe_layers(target(changed)), strict=True) if i != j}
    assert found == {"head"}


def pass_of(model: nn.Module, layers: list[str], tmp_path) -> TargetPass:
    plans = choose_layers(target(model), layers)
    where = {"device": torch.device("cpu"), "dtype": "float32", "batch_size": 4}
    return TargetPass(target(model), plans, Cache(tmp_path), **where)


def test_a_module_with_two_names_is_recorded_under_the_first(tmp_path):
    model = net()
    model.alias = model.stem
    found = pass_of(model, ["alias"], tmp_path)(PIXELS, ["stem"])
    assert found["stem"]["values"].shape == (4, 5)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("broken\nlong story"),
            "net failed on a batch of images: RuntimeError: broken",
        ),
        (torch.OutOfMemoryError("too much"), "too much. Try a smaller --batch-size"),
    ],
)
def test_errors_of_the_network_name_it(error, message, tmp_path):
    model = net()
    run = pass_of(model, ["stem"], tmp_path)

    def broken(*_):
        raise error

    model.norm.register_forward_hook(broken)
    with pytest.raises(NeuronymError, match=message):
        run(PIXELS, ["stem"])


def test_layers_of_changing_shape_are_named(tmp_path):
    model = net()
    run = pass_of(model, ["stem"], tmp_path)
    model.stem.stride = (1, 1)
    with pytest.raises(NeuronymError, match="The layer stem of net gives other numbers of units"):
        run(PIXELS, ["stem"])
