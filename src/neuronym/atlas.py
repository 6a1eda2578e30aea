"""The read side of a finished run: `neuronym.open(path)`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym import _files, _fingerprint, schema
from neuronym._checks import misuse, nearest
from neuronym._errors import NeuronymError, UsageError
from neuronym.atlas_writer import MANIFEST, read_manifest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


_KEYS = ["layer", "unit"]
#: What each analysis contributes to the table of labels.
JOINED = {
    "significance": ["p", "q", "reason"],
    "bootstrap": ["stability"],
    "confidence": ["confidence"],
}


def open_atlas(path: str | Path) -> Atlas:
    """Open an atlas read-only.

    Raises:
        UsageError: there is no atlas at `path`.
        NeuronymError: it is damaged, or made by a later version.
    """
    folder = Path(path)
    manifest = read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        what = "no such folder" if not folder.exists() else f"no {MANIFEST} in it"
        raise misuse("atlas", "the folder of an atlas", str(path),
                     f"There is {what}. Make one with `neuronym dissect`.")  # fmt: skip
    return Atlas(folder, manifest)


def unit_name(text: str) -> tuple[str, int]:
    """Parse `layer4:1802`."""
    layer, colon, unit = text.rpartition(":")
    if not colon or not layer or not unit.isdecimal():
        raise misuse("unit", "layer:number, such as layer4:1802", text)
    return layer, int(unit)


class Atlas:
    """One finished run: tables as pandas frames, arrays memory-mapped."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest

    def __repr__(self) -> str:
        units = sum(layer["units"] for layer in self.layers.values())
        return f"<Atlas {self.folder}: {self.manifest['target']['name']}, {units:,} units>"

    # -- what there is ---------------------------------------------------------------------------

    @property
    def layers(self) -> dict[str, dict[str, Any]]:
        """Layer name → its facts (units, shape, layout, pool), in network order."""
        return {entry["layer"]: entry for entry in self.manifest["target"]["layers"]}

    def class_names(self, layer: str) -> dict[int, str]:
        """unit → class, for the output layer of a classifier of known classes; else empty."""
        names = self.manifest["target"].get("class_names") or []
        last = layer == list(self.layers)[-1]
        fits = self.layers[layer]["units"] == len(names)
        return dict(enumerate(names)) if last and fits else {}

    @property
    def methods(self) -> list[str]:
        """The method-ids that have labels here, the first one first."""
        stages = self.manifest["stages"]
        return [name.removeprefix("labels ") for name in stages if name.startswith("labels ")]

    def _table(self, file: str, filters: list | None = None) -> pd.DataFrame:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / file
        try:
            with open(path, "rb") as file:  # a path with a colon would be taken for a URI
                return pq.read_table(file, filters=filters).to_pandas()
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            if not isinstance(error, FileNotFoundError):
                raise NeuronymError(
                    f"{path} is damaged ({str(error).splitlines()[0]}). "
                    "Repair the atlas: run its `neuronym dissect` command again with --resume, or, "
                    "for labels that were added, `neuronym label` with --overwrite."
                ) from error
            raise NeuronymError(
                f"{self.folder} has no {file}: the run did not get that far. "
                "Run the same `neuronym dissect` command again to go on."
            ) from None

    @functools.cached_property
    def images(self) -> pd.DataFrame:
        """image_id, source, width, height, content_hash, annotations; in probe order."""
        return self._table("images.parquet")

    @functools.cached_property
    def units(self) -> pd.DataFrame:
        """layer, unit, min, mean, max, std, positive, nonfinite, dead."""
        return self._table("units.parquet")

    @functools.cached_property
    def concepts(self) -> pd.DataFrame:
        """concept, row."""
        return self._table("concepts.parquet")

    def exemplars(self, layer: str | None = None, unit: int | None = None) -> pd.DataFrame:
        """layer, unit, rank, image_id, activation, y, x; the highest activating images."""
        return self._table("exemplars.parquet", self._filters(layer, unit))

    def labels(
        self,
        layer: str | None = None,
        unit: int | None = None,
        *,
        method: str | None = None,
        trust: bool = True,
    ) -> pd.DataFrame:
        """layer, unit, rank, concept, score, abstained, reason of one labelling method.

        Args:
            layer, unit: only this layer or unit.
            method: whose labels. None: the first method's.
            trust: join what analyses found about each unit: `p`, `q`, `stability`, `confidence`,
                as far as they were run. Units that do not beat chance are then marked as
                abstained, with the reason; their rows keep concept and score.
        """
        method = self.method(method)
        labels = self._table(schema.labels_file(method), self._filters(layer, unit))
        if not trust:
            return labels
        for analysis, columns in JOINED.items():
            if analysis in self.analyses(method):
                found = self.trust(analysis, layer, unit, method=method)[[*_KEYS, *columns]]
                labels = labels.merge(found, "left", _KEYS, suffixes=("", "_by_chance"))
        if "reason_by_chance" in labels:
            chance = labels.pop("reason_by_chance")
            labels["reason"] = labels["reason"].fillna(chance)
            labels["abstained"] |= chance.notna()
        return labels

    def analyses(self, method: str | None = None) -> list[str]:
        """The analyses of a method's labels that are here, such as `significance`."""
        method, stages = self.method(method), self.manifest["stages"]
        entries = self.manifest.get("analyses", {}).items()
        return [
            e["analysis"]
            for key, e in entries
            if e["method"] == method and f"trust {key}" in stages
        ]

    def trust(
        self,
        analysis: str,
        layer: str | None = None,
        unit: int | None = None,
        *,
        method: str | None = None,
    ) -> pd.DataFrame:
        """What an analysis found about a method's labels: layer, unit, and its own columns.

        Raises:
            UsageError: the analysis was not run.
        """
        method = self.method(method)
        if analysis not in self.analyses(method):
            there = ", ".join(self.analyses(method)) or "none so far"
            raise misuse("analysis", f"one that {method} has here ({there})", analysis,
                         f"Add it with `neuronym trust {self.folder} {analysis}`.")  # fmt: skip
        return self._table(schema.trust_file(analysis, method), self._filters(layer, unit))

    def labelled_layers(self, method: str | None = None) -> list[str]:
        """The layers that a method has labelled, in network order."""
        facts = self.manifest.get("methods", {}).get(self.method(method), {})
        return list(facts.get("layers", self.layers))

    def method(self, name: str | None = None) -> str:
        """The method-id that a name stands for: an id, the name as it was asked for, or its kind.

        >>> atlas.method("csp:gamma=0.5")  # doctest: +SKIP
        'csp.70fa9a'

        Args:
            name: None: the first method's.

        Raises:
            UsageError: there is no such method, or several of its kind.
        """
        methods = self.methods
        if not methods:
            raise NeuronymError(
                f"{self.folder} has no labels yet. Run the same `neuronym dissect` command again."
            )
        if name is None:
            return methods[0]
        if name in methods:
            return name
        facts = self.manifest.get("methods", {})
        for key in ("method", "labeller"):
            found = [m for m in methods if facts.get(m, {}).get(key) == name]
            if found:
                break
        if len(found) != 1:
            near = nearest(name, methods)
            remedy = f"Nearest: {', '.join(near)}." if near else ""
            raise misuse("method", f"one of {', '.join(methods)}", name, remedy)
        return found[0]

    def _filters(self, layer: str | None, unit: int | None) -> list | None:
        if layer is None:
            return None
        self.check_unit(layer, unit)
        rows = [("layer", "=", layer)]
        return rows if unit is None else [*rows, ("unit", "=", unit)]

    def check_unit(self, layer: str, unit: int | None = None) -> None:
        """Raise UsageError unless the layer (and unit) are in this atlas."""
        if layer not in self.layers:
            near = nearest(layer, self.layers) or list(self.layers)
            remedy = f"Nearest: {', '.join(near[:5])}."
            raise misuse("layer", f"one of the atlas's {len(self.layers)} layers", layer, remedy)
        count = self.layers[layer]["units"]
        if unit is not None and not 0 <= unit < count:
            raise misuse("unit", f"a number 0…{count - 1} in {layer}", unit)

    # -- arrays ----------------------------------------------------------------------------------

    def activations(self, layer: str) -> np.ndarray:
        """float32 `[image, unit]`, memory-mapped.

        Raises:
            NeuronymError: they were not kept.
        """
        self.check_unit(layer)
        path = self.folder / schema.activations_file(layer)
        arrays = _files.read_arrays(path)[0] if path.exists() else {}
        if "activations" not in arrays:
            raise NeuronymError(
                f"{self.folder} holds no activations of {layer} (kept: "
                f"{self.manifest.get('kept', 'none')}). Make it again with --keep all --overwrite; "
                "what is in the cache is not computed again."
            )
        return arrays["activations"]

    def embeddings(self) -> dict[str, np.ndarray]:
        """`images` `[image, dim]` and `concepts` `[concept, dim]`, float32 unit vectors."""
        return _files.read_arrays(self.folder / "arrays/embeddings.safetensors")[0]

    @property
    def tie(self) -> np.ndarray:
        """int64 `[image]`: the place of each image in the order of content hashes (then ids)."""
        images = self.images
        return _fingerprint.tie_order(list(images["content_hash"]), list(images["image_id"]))

    def thumb(self, image_id: str) -> Path | None:
        """The small copy of an image, if the atlas has one."""
        content_hash = self._hashes.get(image_id)
        path = self.folder / schema.thumb_file(content_hash) if content_hash else None
        return path if path is not None and path.exists() else None

    @functools.cached_property
    def _hashes(self) -> dict[str, str]:
        return dict(zip(self.images["image_id"], self.images["content_hash"], strict=True))

    # -- units and search ------------------------------------------------------------------------

    def __getitem__(self, key: tuple[str, int] | str) -> Unit:
        layer, unit = unit_name(key) if isinstance(key, str) else key
        self.check_unit(layer, unit)
        return Unit(self, layer, int(unit))

    def search(
        self,
        text: str,
        *,
        layers: Iterable[str] | None = None,
        match: str = "substring",
        top: int = 10,
        method: str | None = None,
    ) -> pd.DataFrame:
        """Units with a label like `text` among their first `top`, best score first.

        Args:
            text: what to look for, in any case.
            layers: look only in these.
            match: `exact`, or `substring`.
            top: how many labels of each unit to look at.
            method: whose labels; default the first method's.
        """
        if match not in ("exact", "substring"):
            raise misuse("match", "exact or substring", match)
        word = " ".join(text.split()).casefold()
        if not word:
            raise UsageError("Expected `text` to be a word or phrase, got an empty one.")
        frame = self.labels(method=method)
        frame = frame[~frame["abstained"] & (frame["rank"] <= top)]
        if layers is not None:
            wanted = list(layers)
            for layer in wanted:
                self.check_unit(layer)
            frame = frame[frame["layer"].isin(wanted)]
        folded = frame["concept"].str.casefold()
        hits = folded == word if match == "exact" else folded.str.contains(word, regex=False)
        frame = frame[hits].sort_values(["rank"], kind="stable")
        frame = frame.drop_duplicates(["layer", "unit"])
        frame = frame.sort_values(["score", "layer", "unit"], ascending=[False, True, True])
        return frame[["layer", "unit", "rank", "concept", "score"]].reset_index(drop=True)


@dataclass(frozen=True)
class Unit:
    """One unit of an atlas."""

    atlas: Atlas
    layer: str
    index: int

    @property
    def name(self) -> str:
        """`layer4:1802`."""
        return f"{self.layer}:{self.index}"

    @property
    def class_name(self) -> str | None:
        """The class it stands for, if it belongs to the output layer of a known classifier."""
        return self.atlas.class_names(self.layer).get(self.index)

    @property
    def facts(self) -> dict[str, Any]:
        """Its row of the units table."""
        frame = self.atlas.units
        row = frame[(frame["layer"] == self.layer) & (frame["unit"] == self.index)]
        return row.iloc[0].to_dict()

    def labels(self, method: str | None = None) -> pd.DataFrame:
        """rank, concept, score, abstained, reason."""
        frame = self.atlas.labels(self.layer, self.index, method=method)
        return frame.drop(columns=["layer", "unit"]).reset_index(drop=True)

    def exemplars(self) -> pd.DataFrame:
        """rank, image_id, activation, y, x."""
        frame = self.atlas.exemplars(self.layer, self.index)
        return frame.drop(columns=["layer", "unit"]).reset_index(drop=True)

    def figure(
        self, images: int = 16, at: Sequence[int] = (5, 10, 16), method: str | None = None
    ) -> Figure:
        """Its highest activating images with labels and scores, and what fewer images predict."""
        from neuronym.report.unit_sheet import draw

        return draw(self, images, at, method)
