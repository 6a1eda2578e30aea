from dataclasses import replace

import pytest

from neuronym._core.errors import UsageError
from neuronym.extraction.passes import choose_layers, class_layer, default_layers
from neuronym.extraction.recording import describe_layers
from neuronym.inputs.targets.base import open_target

DEFAULTS = {
    "efficientnet-lite0:weights=random": [
        "_blocks.2",
        "_blocks.4",
        "_blocks.10",
        "_blocks.15",
        "_fc",
    ],
    "resnet18:weights=random": ["layer1", "layer2", "layer3", "layer4", "fc"],
    "squeezenet1_1:weights=random": ["features.4", "features.7", "features.12", "classifier.3"],
    "timm:test_vit,weights=random": None,
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_default_layers_are_the_stages(name: str) -> None:
    names = [info.name for info in default_layers(describe_layers(open_target(name)))]
    if DEFAULTS[name] is not None:
        assert names == DEFAULTS[name]
    else:  # a transformer: blocks and the head
        assert any(n.startswith("blocks.") for n in names)
        assert names[-1] == "head"


def test_patterns_leave_out_what_has_no_units_and_names_do_not() -> None:
    target = open_target("resnet18:weights=random")
    plans = choose_layers(target, ["layer4.*", "fc"])
    assert [plan.info.name for plan in plans] == ["layer4.0", "layer4.1", "fc"]
    assert [plan.mode for plan in plans] == ["mean", "mean", "none"]
    with pytest.raises(UsageError, match="Nearest: layer4"):
        choose_layers(target, ["layer5"])
    with pytest.raises(UsageError, match="no class token. Use --pool auto"):
        choose_layers(target, ["layer4"], pool="cls")


@pytest.mark.parametrize(
    ("name", "chosen", "found"),
    [
        ("resnet18:weights=random", "layer3", "fc"),
        ("resnet18:weights=random", "fc", None),
        ("squeezenet1_1:weights=random", "features.4", "classifier.3"),
        ("squeezenet1_1:weights=random", "classifier.1", None),
    ],
)
def test_the_output_layer_is_the_last_with_a_unit_for_each_class(name, chosen, found) -> None:
    target = replace(open_target(name), class_names=tuple(map(str, range(1000))))
    known = describe_layers(target)
    layers = choose_layers(target, [chosen], known=known)
    layer = class_layer(target, known, layers)
    assert (layer and layer.info.name) == found
    assert class_layer(replace(target, class_names=("a", "b")), known, layers) is None
    assert class_layer(replace(target, class_names=None), known, layers) is None
