"""The tables of an atlas: names, types and meanings of their columns (see docs/atlas-format.md)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    import pyarrow as pa

#: Version of the directory layout and of the tables' columns.
VERSION = 1
#: What each analysis contributes to the table of labels.
JOINED = {
    "significance": ["p", "q", "reason"],
    "bootstrap": ["stability"],
    "confidence": ["confidence"],
}
#: Those of its columns that are numbers about the unit, not about one of its labels.
TRUST = [name for columns in JOINED.values() for name in columns if name != "reason"]


@functools.cache
def tables() -> dict[str, pa.Schema]:
    """Arrow schema of every table, by name."""
    import pyarrow as pa

    annotation = pa.struct(
        [("category", pa.string()), ("name", pa.string()), ("area", pa.float32())]
    )
    unit = [("layer", pa.string()), ("unit", pa.int32())]
    return {
        "images": pa.schema(
            [
                ("image_id", pa.string()),
                ("source", pa.string()),
                ("width", pa.int32()),
                ("height", pa.int32()),
                ("content_hash", pa.string()),
                ("annotations", pa.list_(annotation)),
            ]
        ),
        "units": pa.schema(
            [
                *unit,
                ("min", pa.float32()),
                ("mean", pa.float32()),
                ("max", pa.float32()),
                ("std", pa.float32()),
                ("positive", pa.float32()),
                ("nonfinite", pa.int64()),
                ("dead", pa.bool_()),
            ]
        ),
        "concepts": pa.schema([("concept", pa.string()), ("row", pa.int32())]),
        "exemplars": pa.schema(
            [
                *unit,
                ("rank", pa.int32()),
                ("image_id", pa.string()),
                ("activation", pa.float32()),
                ("y", pa.float32()),
                ("x", pa.float32()),
            ]
        ),
        "labels": pa.schema(
            [
                *unit,
                ("rank", pa.int32()),
                ("concept", pa.string()),
                ("score", pa.float32()),
                ("abstained", pa.bool_()),
                ("reason", pa.string()),
            ]
        ),
    }


def file_name(layer: str) -> str:
    """A layer's name as part of a file name."""
    return quote(layer, safe="-_.") or "%00"


def activations_file(layer: str) -> str:
    """Where an atlas keeps the activations of a layer, relative to its folder."""
    return f"arrays/activations-{file_name(layer)}.safetensors"


def labels_file(method: str) -> str:
    """Where an atlas keeps the labels of a method, relative to its folder."""
    return f"labels/{file_name(method)}.parquet"


def method_file(method: str) -> str:
    """Where an atlas keeps the arrays with which a method scores new words."""
    return f"arrays/{file_name(method)}.safetensors"


def analysis_id(analysis: str, method: str) -> str:
    """What an analysis of a method's labels is called in the manifest: `significance of …`."""
    return f"{analysis} of {method}"


def trust_file(analysis: str, method: str) -> str:
    """Where an atlas keeps what an analysis found about a method's labels."""
    return f"trust/{file_name(analysis)}.{file_name(method)}.parquet"


def thumb_file(content_hash: str) -> str:
    """Where an atlas keeps the small copy of an image, relative to its folder."""
    return f"thumbs/{content_hash}.jpg"
