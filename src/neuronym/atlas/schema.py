"""What an atlas consists of: the names and columns of its tables, and `atlas.json`."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from neuronym._core.errors import NeuronymError

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


MANIFEST = "atlas.json"


#: What a manifest must hold for the rest of the code to rely on it.
_SHAPE: dict[str, type] = {
    "schema": int,
    "config": dict,
    "identity": dict,
    "target": dict,
    "probe": dict,
    "concepts": dict,
    "encoder": dict,
    "stages": dict,
}


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an atlas, or None if there is none.

    Raises:
        NeuronymError: the manifest is damaged or of a later version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise NeuronymError(f"{path} is not a readable atlas manifest: {error}.") from error
    version = manifest.get("schema") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise NeuronymError(
            f"{folder} has atlas format {version}, this neuronym reads up to {VERSION}: "
            "upgrade neuronym."
        )
    wrong = [k for k, kind in _SHAPE.items() if not isinstance(_get(manifest, k), kind)]
    wrong += [] if isinstance(_get(_get(manifest, "target"), "layers"), list) else ["target.layers"]
    if wrong:
        raise NeuronymError(
            f"{path} is not a readable atlas manifest: {', '.join(wrong)} missing or of the wrong "
            "type. Make the atlas anew with --overwrite."
        )
    return manifest


def _get(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, dict) else None
