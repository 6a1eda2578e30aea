"""Time and memory of `neuronym effect --all`: python -m benchmarks.effect NETWORK LAYER IMAGES.

A network by name (random weights do), one of its layers, and so many drawn images.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time

import neuronym as nym


def measure(network: str, layer: str, images: int) -> dict[str, object]:
    """Seconds of clock and processor, peak memory, and what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        atlas = nym.dissect(
            network,
            layers=[layer],
            probe="synthetic",
            limit=images,
            encoder="sketch",
            concepts=["red", "round", "wheel", "leaf", "face"],
            trust=False,
            out=f"{folder}/atlas",
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clock, processor = time.monotonic(), time.process_time()
        found = atlas.effect(layer=layer)
        return {
            "network": network,
            "layer": layer,
            "images": images,
            "units": len(found.units),
            "reported": int(found.outputs["reported"].sum()),
            "seconds": round(time.monotonic() - clock, 1),
            "processor": round(time.process_time() - processor, 1),
            "peak_before_mb": before // 1024,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }


if __name__ == "__main__":
    print(measure(sys.argv[1], sys.argv[2], int(sys.argv[3])))
