"""Which layers of a target are recorded, and how each is pooled."""

from __future__ import annotations

from collections.abc import Sequence

from neuronym import pooling
from neuronym._errors import UsageError
from neuronym.activations import LayerPlan
from neuronym.recording import LayerInfo, describe_layers, resolve_layers
from neuronym.targets.base import Target

#: How many layers are recorded when none are named.
_DEFAULT_LAYERS = 5


def choose_layers(
    target: Target, patterns: Sequence[str], pool: str = "auto", layout: str = "auto"
) -> list[LayerPlan]:
    """The layers that names and patterns stand for, in network order, with their pooling settled.

    Layers that a pattern matches but that cannot be pooled are left out; named ones are refused.

    Raises:
        UsageError: an unknown layer, one without units, or a pooling that does not fit.
    """
    infos = describe_layers(target, None if layout == "auto" else layout)
    if patterns:
        named = {part.strip() for pattern in patterns for part in pattern.split(",")}
        # A module with several names is described under the first.
        modules = target.model.named_modules(remove_duplicate=False)
        first = {id(module): name for name, module in target.model.named_modules()}
        names = {name: first[id(module)] for name, module in modules}
        wanted = {names[name] for name in resolve_layers(target, patterns)}
        named = {names.get(name, name) for name in named}
        chosen = [info for info in infos if info.name in wanted]
        for info in chosen:
            if info.layout == "other" and info.name in named:
                raise UsageError(
                    f"Expected `layers` to name layers with units, got {info.name!r}, which "
                    f"{info.note or f'puts out the shape {info.shape}'}. "
                    f"See `neuronym layers {target.name}`."
                )
        chosen = [info for info in chosen if info.layout != "other"]
    else:
        chosen = default_layers(infos)
    if not chosen and not patterns:
        raise UsageError(f"No layer of {target.name} has units that can be recorded.")
    if not chosen:
        raise UsageError(
            f"Expected `layers` to name layers with units, got {', '.join(patterns)!r}, of which "
            f"none has any. See `neuronym layers {target.name}`."
        )
    return [LayerPlan(info, _mode(pool, info)) for info in chosen]


def _mode(pool: str, info: LayerInfo) -> str:
    if info.layout == "vector":
        pooling.settle(pool, "vector")  # an unknown name is wrong even where it has no effect
        return "none"
    mode = pooling.settle(pool, info.layout, info.prefix_tokens)
    if mode == "cls" and (info.layout != "tokens" or info.prefix_tokens == 0):
        raise UsageError(
            f"Expected `pool` to fit {info.name}, got 'cls', but its output ({info.layout}) has no "
            "class token. Use --pool auto, mean or max."
        )
    return mode


def default_layers(infos: Sequence[LayerInfo]) -> list[LayerInfo]:
    """The last layer at each resolution, deepest first choice, and the output layer.

    For a ResNet these are layer1 … layer4 and fc. Layers that run several times per image are
    passed over, since only their last call could be recorded.
    """
    usable = [i for i in infos if i.calls == 1 and i.units and i.units > 1 and i.grid is not None]
    last: dict[tuple, LayerInfo] = {}
    for info in usable:
        # Where one module ends another (layer4 ends layer4.2), the outer one is the stage.
        key = (info.layout, info.grid)
        before = last.pop(key, None)
        outer = before is not None and info.name.startswith(f"{before.name}.")
        last[key] = before if outer and before is not None else info
    stages = [i for i in last.values() if i.grid is not None and i.grid[0] * i.grid[1] > 1]
    vectors = [i for i in infos if i.layout == "vector" and i.units and i.calls == 1]
    chosen = stages[-(_DEFAULT_LAYERS - 1) :] + vectors[-1:]
    order = {info.name: place for place, info in enumerate(infos)}
    return sorted(chosen, key=lambda info: order[info.name])
