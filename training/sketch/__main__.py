"""Make the weights of the encoder `sketch`: `python -m training.sketch`.

From installed packages, WordNet's list of nouns and drawings; no photograph. The same machine and
versions give the same bytes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from neuronym.inputs.encoders.sentences import minilm
from training.sketch import fit, wordnet
from training.sketch.seen import backbone, seen

OUT = Path("src/neuronym/inputs/encoders/sketch.safetensors")


def main() -> None:
    """Draw, look, fit, write."""
    parser = argparse.ArgumentParser(prog="python -m training.sketch", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="the file of weights")
    parser.add_argument(
        "--kept",
        type=Path,
        default=Path("build/sketch"),
        help="what the network saw of the drawings; what is there is taken",
    )
    parser.add_argument("--wordnet", type=Path, default=wordnet.FILE, help="WordNet's data.noun")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    begun = time.time()
    pictures, rows, _ = seen(given.kept, given.processes)
    torch.set_num_threads(1)
    words = fit.Words(minilm())
    learn = [k for k, picture in enumerate(pictures) if not picture.held_out]
    kept = [k for k, picture in enumerate(pictures) if picture.held_out]
    tried = fit.bridge(rows[learn], [pictures[k] for k in learn], words)
    for group, options, count, share in fit.right(
        tried, rows[kept], [pictures[k] for k in kept], words
    ):
        print(f"held out, {group}: {share:.1%} of {count} pictures named right of {options} words")
    tensors = fit.weights(rows, pictures, words, backbone().class_names, given.wordnet)
    notice = "Kinds of classes derived from WordNet 3.0, Copyright 2006 by Princeton University."
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(sorted(tensors.items())), given.out, {"notice": notice})
    given.out.chmod(0o644)
    print(f"{given.out}: {given.out.stat().st_size / 1e6:.1f} MB, {time.time() - begun:.0f} s")


if __name__ == "__main__":
    main()
