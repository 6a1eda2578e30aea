"""Ground truth: what units respond to, from people, files, or the classes of an output layer."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd

from neuronym._core.checks import misuse, nearest
from neuronym._core.errors import NeuronymError
from neuronym._core.terminal import counted
from neuronym.analysis.truth.agreement import merge
from neuronym.analysis.truth.base import Answer, Truth
from neuronym.analysis.truth.files import read_answers, write_answers
from neuronym.analysis.truth.store import Annotations
from neuronym.atlas.reader import Atlas


def open_truth(atlas: Atlas, spec: str | Truth) -> Truth:
    """The ground truth of an atlas's units.

    Args:
        atlas: whose units.
        spec: `classes`: each unit of the output layer stands for the class of its index, and each
            of the class's names (`tench, Tinca tinca`: both, and the whole) is right.
            `annotations`: what people said in the atlas, merged. Else a ground-truth file, merged
            in the same way; its rows about layers that the atlas does not have are left out.

    Raises:
        UsageError: a malformed file, or none of this name.
        NeuronymError: no classes are known, or there are no annotations.
    """
    if isinstance(spec, Truth):
        return spec
    if spec == "classes":
        return _classes(atlas)
    others: dict[str, int] = {}
    truth = merge(known_answers(atlas, spec, others), spec)
    if not others:
        return truth
    rows = counted(sum(others.values()), "row")
    note = (
        f"Left out of {spec}: {rows} of layers that the atlas does not have ({', '.join(others)})."
    )
    return replace(truth, notes=(*truth.notes, note))


def known_answers(atlas: Atlas, spec: str, others: dict[str, int] | None = None) -> list[Answer]:
    """The latest answer of each person on each unit, from `annotations` or a file; see above.

    Args:
        atlas: whose units.
        spec: see `open_truth`.
        others: gets the number of rows of each layer that the atlas does not have.
    """
    others = {} if others is None else others
    if spec == "annotations":
        found = Annotations(atlas).latest()
        if not found:
            raise NeuronymError(
                f"{atlas.folder} has no annotations. Import a ground-truth file with "
                "`neuronym import annotations FILE`, or evaluate with --truth FILE."
            )
        return found
    if not os.path.isfile(spec):  # unlike Path.is_file() also false for names that cannot be
        near = nearest(spec, ["classes", "annotations"])
        remedy = f"Nearest: {near[0]}." if near else "There is no such file."
        raise misuse("truth", "classes, annotations or a ground-truth file", spec, remedy)
    latest: dict[tuple[str, str, int], Answer] = {}
    for answer in read_answers(spec, atlas, others=others):
        key = (answer.annotator, answer.layer, answer.unit)
        if key not in latest or answer.time >= latest[key].time:
            latest[key] = answer
    return list(latest.values())


def import_annotations(atlas: Atlas, path: str | Path) -> int:
    """Add a ground-truth file's answers to an atlas's annotations: all of them, or none.

    Returns:
        How many were new.

    Raises:
        UsageError: malformed rows, or units that the atlas does not have; each with its line.
    """
    return Annotations(atlas).add_many(read_answers(path, atlas))


def export_annotations(atlas: Atlas, path: str | Path) -> int:
    """Write an atlas's annotations as a ground-truth file: the latest answers of everyone.

    Returns:
        How many were written.

    Raises:
        NeuronymError: there are none.
    """
    answers = known_answers(atlas, "annotations")
    write_answers(answers, path)
    return len(answers)


def _classes(atlas: Atlas) -> Truth:
    layer = list(atlas.layers)[-1]
    names = atlas.class_names(layer)
    if not names:
        raise NeuronymError(
            f"The classes of {atlas.folder} are not known: its last layer, {layer}, is not the "
            "output layer of a classifier with class names. Give --truth a ground-truth file."
        )
    frame = pd.DataFrame(
        {
            "layer": layer,
            "unit": list(names),
            "labels": [_names(name) for name in names.values()],
            "status": "label",
        }
    )
    note = f"Truth: unit i of {layer} stands for class i."
    return Truth("classes", frame, (note,))


def _names(name: str) -> tuple[str, ...]:
    """`tench, Tinca tinca` → the whole and its parts."""
    return tuple(dict.fromkeys(filter(None, [name, *(part.strip() for part in name.split(","))])))
