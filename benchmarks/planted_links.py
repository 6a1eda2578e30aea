"""How many planted links `nym.link` finds, and how many that it confirms are not there.

`python -m benchmarks.planted_links --seeds 40`. Each seed is another network of the tests' planted
ones, with other images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import ROOT

sys.path.insert(0, str(ROOT / "tests" / "fakes"))


def main() -> None:
    """Print a line per seed and the sums."""
    import neuronym as nym
    from linked_world import world
    from neuronym._core.progress import silent

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--ablate", default="mean")
    given = parser.parse_args()
    sums = dict.fromkeys(("planted", "listed", "confirmed", "false", "checked"), 0)
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            made = world(Path(folder), seed, given.images, progress=silent)
            how = {"check": 1000, "ablate": given.ablate, "progress": silent}
            links = nym.link(made.atlas, "first", "second", **how, **made.sources).links("first")
        pairs = list(zip(links["from_unit"], links["to_unit"], strict=True))
        sure = {pair for pair, yes in zip(pairs, links["confirmed"], strict=True) if yes is True}
        units = made.atlas.units
        dead = set(units["unit"][(units["layer"] == "second") & units["dead"]])
        real = {pair for pair in made.network.planted if pair[1] not in dead}  # as far as it shows
        one = {
            "planted": len(real),
            "listed": len(real & set(pairs)),
            "confirmed": len(real & sure),
            "false": len(sure - real),
            "checked": int(links["checked"].sum()),
        }
        print(seed, one, flush=True)
        sums = {name: sums[name] + one[name] for name in sums}
    print("all", sums)


if __name__ == "__main__":
    main()
