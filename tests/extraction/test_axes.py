"""Where layers hold the images: first, behind the tokens, folded together with windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from test_networks import PIXELS, SMALL, feed, values
from torch import Tensor, nn

from neuronym._core.errors import UsageError
from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.extraction.axes import Axes, find_axes, look
from neuronym.extraction.passes import choose_layers
from neuronym.extraction.recording import LayerInfo, describe_layers, record
from neuronym.inputs.targets.base import Target, open_target

prepare_torchvision()  # timm and open_clip import it


def described(model: nn.Module, layout: str | None = None) -> dict[str, LayerInfo]:
    target = open_target(model.eval(), preprocess=SMALL)
    return {info.name: info for info in describe_layers(target, layout)}


class Tokens(nn.Module):
    """Patches through a module that sees them one way or the other, then a head."""

    def __init__(self, make: Callable[[bool], nn.Module], batch_first: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.patches, self.body = nn.Conv2d(3, 12, 4, 4), make(batch_first)
        self.class_token = nn.Parameter(torch.randn(1, 1, 12))
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(x), 1, 12), tokens], 1)
        tokens = tokens if self.batch_first else tokens.transpose(0, 1)
        if isinstance(self.body, nn.MultiheadAttention):
            return self.body(tokens, tokens, tokens)[0].sum()
        return self.body(tokens)


def clip_blocks(batch_first: bool) -> nn.Module:
    block = pytest.importorskip("open_clip").transformer.ResidualAttentionBlock
    return nn.Sequential(*(block(12, 3, 2, batch_first=batch_first) for _ in range(2)))


BODIES = {
    "clip": clip_blocks,
    "attention": lambda first: nn.MultiheadAttention(12, 3, batch_first=first),
    "encoder": lambda first: nn.TransformerEncoderLayer(12, 3, 17, batch_first=first),
    "rnn": lambda first: nn.RNN(12, 7, batch_first=first),
    "gru": lambda first: nn.GRU(12, 7, 2, bidirectional=True, batch_first=first),
    "lstm": lambda first: nn.LSTM(12, 7, batch_first=first),
}


@pytest.mark.parametrize("pool", ["mean", "max", "cls"])
@pytest.mark.parametrize("name", BODIES)
def test_tokens_first_gives_what_images_first_gives(name: str, pool: str, tmp_path: Path) -> None:
    first, last = (Tokens(BODIES[name], batch_first).eval() for batch_first in (True, False))
    last.load_state_dict(first.state_dict())
    infos = {key: described(model) for key, model in (("first", first), ("last", last))}
    usable = [i for i in infos["last"].values() if i.usable and i.name != "patches"]
    inside = [i.name for i in usable if i.name.startswith("body")]
    assert len(inside) >= (15 if name == "clip" else 1)
    for layer in inside:
        one, other = infos["first"][layer], infos["last"][layer]
        assert (other.units, other.grid) == (one.units, (4, 4))
        assert (one.spelled, other.spelled) == ("tokens", "tokens-first")
    found = []
    for model in (first, last):
        target = open_target(model, preprocess=SMALL)
        run = feed(target, inside, tmp_path)
        run.plans = {p.info.name: p for p in choose_layers(target, inside, pool)}
        with run.running():
            found.append(run(PIXELS, inside))
    for layer in inside:
        one, other = (f[layer] for f in found)
        np.testing.assert_allclose(other["values"], one["values"], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(other["peaks"], one["peaks"])


class Windows(nn.Module):
    """Linear layers over windows of 4 × 4 pixels, in the order of Swin or with images last."""

    def __init__(self, interleaved: bool, heads: int = 2) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.interleaved, self.heads = interleaved, heads
        self.windows, self.scores = nn.Linear(3, 6), nn.Softmax(-1)
        self.flat, self.out = nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        count = len(x)
        y = x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 4, 5, 1).reshape(count, 16, 16, 3)
        y = (y.transpose(0, 1) if self.interleaved else y).reshape(-1, 16, 3)
        y = self.windows(y)
        heads = y.unflatten(2, (self.heads, -1)).transpose(1, 2).flatten(0, 1)
        self.scores(heads @ heads.transpose(1, 2))
        y = y.unflatten(0, (16, count) if self.interleaved else (count, 16))
        y = (y.transpose(0, 1) if self.interleaved else y).flatten(1, 2)
        return self.out(self.flat(y.flatten(0, 1)).unflatten(0, (count, 256)).mean(1))


@pytest.mark.parametrize("interleaved", [False, True])
def test_windows_are_put_together_again(interleaved: bool, tmp_path: Path) -> None:
    model = Windows(interleaved).eval()
    infos = described(model)
    windows = infos["windows"]
    assert (windows.layout, windows.units, windows.shape) == ("tokens", 6, (256, 6))
    assert windows.axes == Axes(0, 16, interleaved)
    assert windows.grid is None  # not in the order of the map
    assert infos["flat"].axes == Axes(0, 256)
    assert infos["scores"].note.startswith("takes windows or heads for images")
    found = values(model, ["windows", "flat"], tmp_path)
    for layer, array in found.items():
        for place, picture in enumerate(PIXELS):
            with record(model, [layer]) as acts, torch.no_grad():
                model(SMALL.normalise(torch.from_numpy(picture[None])))
            alone = acts[layer].flatten(0, -2).double().mean(0)
            np.testing.assert_allclose(array[place], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_swin_of_timm(dtype: str, tmp_path: Path) -> None:
    swin = pytest.importorskip("timm").models.swin_transformer.SwinTransformer
    torch.manual_seed(0)
    small = {"embed_dim": 6, "depths": (2,), "num_heads": (3,), "num_classes": 4}
    model = swin(img_size=16, patch_size=1, window_size=4, **small).eval()
    infos = described(model)
    layers = [f"layers.0.blocks.1.attn{part}" for part in ("", ".qkv", ".proj")]
    assert [infos[layer].axes for layer in layers] == [Axes(0, 16)] * 3
    assert not infos["layers.0.blocks.1.attn.softmax"].usable
    for layer, array in values(model, layers, tmp_path, dtype=dtype).items():
        with record(model, [layer]) as acts, torch.no_grad():
            model(SMALL.normalise(torch.from_numpy(PIXELS[3:4])))
        wanted = acts[layer].double().mean((0, 1))
        near = 1e-4 if dtype == "float32" else 0.03
        np.testing.assert_allclose(array[3], wanted, atol=near * wanted.abs().max())


class Sequence(nn.Module):
    """1-D convolutions over the pixels, as a stack and by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv1d(3, 5, 3, padding=1), nn.ReLU()
        self.stack = nn.Sequential(nn.Conv1d(5, 6, 1), nn.BatchNorm1d(6), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.stack(self.act(self.conv(x.flatten(2)))).mean(2)


def test_units_before_positions(tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = Sequence().eval()
    infos = described(model)
    for name, units in (("conv", 5), ("act", 5), ("stack", 6), ("stack.1", 6)):
        info = infos[name]
        assert (info.spelled, info.units, info.grid) == ("NCL", units, (16, 16))
    found = values(model, ["act", "stack"], tmp_path)
    with torch.no_grad():
        maps = model.act(model.conv(SMALL.normalise(torch.from_numpy(PIXELS)).flatten(2)))
    np.testing.assert_allclose(found["act"], maps.mean(2), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["stack"], model.stack(maps).mean(2).detach(), atol=1e-5)


class Fixed(nn.Module):
    """Takes images of one size: nothing tells what the dimensions of its token layers are."""

    def __init__(self) -> None:
        super().__init__()
        self.which, self.pairs = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2] == 16
        y = self.which(x.flatten(2))
        self.pairs(torch.einsum("icp,jcp->ijp", y, y))
        return y.mean(2)


def test_layout_is_what_the_user_says_where_nothing_tells(tmp_path: Path) -> None:
    infos = described(Fixed())
    assert (infos["which"].spelled, infos["which"].units) == ("tokens", 256)
    assert infos["pairs"].note == (
        "grows with the number of images in more than one dimension (if one is the images, say "
        "--layout tokens|tokens-first|NCL)"
    )
    target = open_target(Fixed(), preprocess=SMALL)
    with pytest.raises(UsageError, match="'pairs', which grows with.*--layout tokens|tokens-first"):
        choose_layers(target, ["pairs"])
    stated = described(Fixed(), "ncl")
    assert (stated["which"].spelled, stated["which"].units) == ("NCL", 3)
    assert described(Fixed(), "tokens-first")["pairs"].spelled == "tokens-first"
    # What two and three images show is not talked away.
    assert described(Fixed(), "tokens-first")["which"].spelled == "tokens"
    for name, units in (("gru", 14), ("attention", 12)):
        found = described(Tokens(BODIES[name], False), "NCL")["body"]
        assert (found.spelled, found.units) == ("tokens-first", units)


@pytest.mark.parametrize(
    ("few", "more", "axes"),
    [
        ((2, 5), (3, 5), Axes()),
        ((2, 5, 7), (3, 5, 7), Axes()),
        ((5, 2, 7), (5, 3, 7), Axes(1)),
        ((2, 2, 7), (2, 3, 7), Axes(1)),
        ((5, 4, 6, 2), (5, 4, 6, 3), Axes(3)),
        ((5, 7), (5, 7), "does not grow"),
        ((2, 7), (2, 7), "does not grow"),
        ((2, 2, 7), (3, 3, 7), "grows with the number of images in more than one dimension"),
        ((5, 4, 7), (5, 6, 7), "holds the images among other things in dimension 1"),
        ((4, 5, 3, 3), (6, 5, 3, 3), "takes windows or heads for images"),
        ((5, 2), (4, 2), "takes windows or heads for images"),
        ((2, 5), (3, 5, 1), "gives outputs of other dimensions"),
        ((), (), "does not grow"),
    ],
)
def test_the_axis_of_the_images(few: tuple, more: tuple, axes: Axes | str) -> None:
    found = find_axes(look(torch.rand(few)), look(torch.rand(more)))
    assert found == axes if isinstance(axes, Axes) else str(found).startswith(axes)


# Single calls of a module


class Again(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv, self.act, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.conv(x))
        y = self.act(y.mean((2, 3)) - 0.1)
        return self.act(self.head(y))


def test_a_call_of_a_module_that_runs_several_times(tmp_path: Path) -> None:
    model = Again().eval()
    layers = ["act#1", "act#2", "act#3", "act", "head"]
    found = values(model, layers, tmp_path)
    assert set(found) == set(layers)
    with torch.no_grad():
        one = model.act(model.conv(SMALL.normalise(torch.from_numpy(PIXELS))))
        two = model.act(one.mean((2, 3)) - 0.1)
        three = model.act(model.head(two))
    for name, wanted in (("act#1", one.mean((2, 3))), ("act#2", two), ("act#3", three)):
        np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["act"], found["act#3"])
    target = open_target(model, preprocess=SMALL)
    plans = {plan.info.name: plan.info for plan in choose_layers(target, ["*#2", "conv#1"])}
    assert {n: (i.layout, i.calls) for n, i in plans.items()} == {
        "act#2": ("vector", 1),
        "conv#1": ("NCHW", 1),
    }
    for name, times in (("act#4", "act runs 3 times"), ("head#2", "head runs once")):
        with pytest.raises(
            UsageError, match=f"name a call that happens, got '{name}', but {times}"
        ):
            choose_layers(target, [name])
    with pytest.raises(UsageError, match="Nearest: act"):
        choose_layers(target, ["akt#2"])


# The end of a pass


class Counted(nn.Module):
    """Says what ran; its last part runs for the network's own output alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.stem, self.norm = nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7)
        self.side, self.side_norm = nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7)
        self.act, self.head = nn.ReLU(), nn.Linear(7, 4)
        self.ran = 0

    def forward(self, x: Tensor) -> Tensor:
        # The batch norm of the side way comes after the first layer that may be the last.
        side = self.side(x)
        y = self.act(self.norm(self.stem(x)))
        y = self.act(y + self.side_norm(side))
        self.ran += len(x)
        return self.head(y.mean((2, 3)))


@pytest.mark.parametrize(
    ("layers", "ran"),
    [(["norm"], False), (["act#1"], False), (["stem", "side"], False), (["act"], True)],
)
def test_a_pass_ends_behind_the_last_layer_that_is_wanted(
    layers: list[str], ran: bool, tmp_path: Path
) -> None:
    model = Counted().eval()
    for norm in (model.norm, model.side_norm):
        norm.running_mean.uniform_(-0.5, 0.5)
    run = feed(model, layers, tmp_path)
    folded = run.arithmetic
    whole = feed(model, [*layers, "head"], tmp_path)
    many = np.concatenate([PIXELS] * 8)
    model.ran = 0
    with run.running():
        first, found = run(PIXELS[:2], layers), run(many, layers)
    assert model.ran == (2 + len(many) if ran else 2)  # to see what comes after what
    assert "folded" in folded or layers == ["stem", "side"]
    with whole.running():
        wanted = whole(many, layers)
    for layer in layers:
        np.testing.assert_array_equal(found[layer]["values"], wanted[layer]["values"])
        np.testing.assert_array_equal(first[layer]["values"], found[layer]["values"][:2])
    model.ran = 0
    with run.running():
        run(many, layers)
    assert run.arithmetic == folded
    assert bool(model.ran) == ran
    assert not any(module._forward_hooks for module in model.modules())


def test_a_forward_that_calls_the_network_twice_runs_to_its_end(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU())

    def both(network: nn.Module, x: Tensor) -> Tensor:
        return network(x) + network(x.flip(3) * 2)

    target = Target("flips", model, SMALL, forward=both)
    run = feed(target, ["0"], tmp_path)
    with run.running(), torch.no_grad():
        run(PIXELS, ["0"])
        found = run(PIXELS, ["0"])["0"]["values"]
        second = SMALL.normalise(torch.from_numpy(PIXELS)).flip(3) * 2
        wanted = model[0](second).mean((2, 3))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
