"""What activation maps cost: processor time, memory and disk, with and without them.

    python -m benchmarks.maps [images]

EfficientNet-Lite0 with its weights and torchvision's resnet50 with random ones, on pictures of the
probe `synthetic`, the layers that `dissect` takes by itself. Processor time is of the process, over
a fresh pass with one thread, so that other work on the machine changes it little.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import torch

from neuronym._core.torchvision_compat import prepare_torchvision
from neuronym.extraction.cache import Cache
from neuronym.extraction.passes import TargetPass, choose_layers
from neuronym.extraction.run import extract
from neuronym.extraction.sight import sights_of
from neuronym.inputs.preprocess.base import Preprocess
from neuronym.inputs.probes.base import open_probe
from neuronym.inputs.targets.base import Target, open_target


def main(images: int = 256) -> None:
    """Print one line per network and number of maps."""
    torch.set_num_threads(1)
    prepare_torchvision()
    import torchvision

    torch.manual_seed(0)
    plain = torchvision.models.resnet50(weights=None).eval()
    probe = open_probe("synthetic", limit=images)
    print("network             maps  ms/image  cache MB  of which maps  peak MB  sight s")
    for target in (open_target("efficientnet-lite0"), Target("resnet50", plain, Preprocess())):
        plans = choose_layers(target, ())
        start = time.process_time()
        sights_of(target, plans)
        sight = time.process_time() - start
        for maps in (0, 9, 20, 0, 9):
            _once(target, plans, probe, maps, sight)


def _once(target: Target, plans: list, probe: object, maps: int, sight: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        how = {"device": torch.device("cpu"), "dtype": "float32", "batch_size": 32}
        feed = TargetPass(target, plans, Cache(folder), maps=maps, **how)
        start = time.process_time()
        extract(probe, [feed], Cache(folder), batch_size=32, workers=1)
        spent = 1000 * (time.process_time() - start) / len(probe)
        sizes = {p: p.stat().st_size / 1e6 for p in Path(folder).rglob("*.safetensors")}
        own = sum(size for path, size in sizes.items() if path.parts[-3] == "maps")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        name = f"{target.name:<20}{maps:>4}{spent:>10.1f}{sum(sizes.values()):>10.1f}"
        print(f"{name}{own:>15.1f}{peak:>9.0f}{sight:>9.1f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
