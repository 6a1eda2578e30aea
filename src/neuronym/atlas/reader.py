"""The read side of a finished run: `neuronym.open(path)`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuronym._core import hashing, storage
from neuronym._core.checks import integer, misuse, nearest
from neuronym._core.errors import NeuronymError, UsageError
from neuronym._core.numerics.sparse import SparseRows
from neuronym._core.registry import kept
from neuronym.atlas import schema
from neuronym.atlas.damage import unreadable
from neuronym.atlas.links import read_links
from neuronym.atlas.maps import LayerMaps, open_maps
from neuronym.atlas.notebook import Gallery, atlas_html, gallery
from neuronym.atlas.schema import MANIFEST, LayerFacts, Manifest, read_manifest
from neuronym.atlas.statement import shown
from neuronym.atlas.unit import Unit, unit_name

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image


_KEYS = ["layer", "unit"]
#: What units can be ranked by in `Atlas.top`, the most telling first; False: the lowest is best.
RELIANCE = {"confidence": True, "effect": True, "stability": True, "score": True, "q": False}
_OF = {name: analysis for analysis, columns in schema.JOINED.items() for name in columns}


def opened(atlas: Atlas | str | Path) -> Atlas:
    """The atlas itself, or the one in a folder; see `open_atlas`."""
    return open_atlas(atlas) if isinstance(atlas, str | Path) else atlas


def open_atlas(path: str | Path, *, significant: bool = False) -> Atlas:
    """Open an atlas read-only.

    Args:
        path: its folder.
        significant: units whose labels do not beat chance, by the analysis `significance`, abstain.

    Raises:
        UsageError: there is no atlas at `path`.
        NeuronymError: it is damaged, may not be read, or was made by a later version.
    """
    folder = Path(path)
    try:
        manifest, there = read_manifest(folder) if folder.is_dir() else None, folder.exists()
    except OSError as error:
        raise storage.cannot_read(folder, error) from error
    if manifest is None:
        what = f"no {MANIFEST} in it" if there else "no such folder"
        raise misuse(
            "atlas",
            "the folder of an atlas",
            str(path),
            f"There is {what}. Make one with `neuronym dissect`.",
        )
    return Atlas(folder, manifest, significant)


def first_of(labels: pd.DataFrame, *, abstaining: bool = True) -> pd.DataFrame:
    """The rank-1 rows of a table of labels; `abstaining`: with those of units that abstain."""
    first = labels[labels["rank"] == 1]
    return first if abstaining else first[~first["abstained"].astype(bool)]


class Atlas:
    """One finished run: tables as pandas frames, arrays memory-mapped."""

    def __init__(self, folder: Path, manifest: Manifest, only_significant: bool = False) -> None:
        self.folder, self.manifest = folder, manifest
        self.only_significant = only_significant
        self._searchers: dict[str, Any] = {}
        self._maps: dict[str, LayerMaps] = {}

    def __repr__(self) -> str:
        units = sum(layer["units"] for layer in self.layers.values())
        return f"<Atlas {self.folder}: {self.manifest.target.name}, {units:,} units>"

    def _repr_html_(self) -> str | None:
        return atlas_html(self)

    # -- what there is ---------------------------------------------------------------------------

    @functools.cached_property
    def name(self) -> str:
        """What its folder is called."""
        return self.folder.resolve().name

    @functools.cached_property
    def shown(self) -> Manifest:
        """The manifest for whoever reads a page or report: folders of this machine left out."""
        return shown(self.manifest)

    @property
    def layers(self) -> dict[str, LayerFacts]:
        """Layer name → its facts (units, shape, layout, pool), in network order."""
        return {entry["layer"]: entry for entry in self.manifest.target.layers}

    @property
    def recorded(self) -> dict[str, Any]:
        """`layers`, and after them the output layer where only confidence is calibrated on it."""
        extra = self.manifest.target.calibration_layer
        return self.layers | ({extra["layer"]: extra} if extra else {})

    @property
    def imported(self) -> str | None:
        """The format of the files that this atlas was imported from; None if it was dissected."""
        return (self.manifest.imported or {}).get("format")

    def class_names(self, layer: str) -> dict[int, str]:
        """unit → class, for the output layer of a classifier of known classes; else empty."""
        names = self.manifest.target.class_names or []
        last = layer == list(self.recorded)[-1]
        fits = self.recorded[layer]["units"] == len(names)
        return dict(enumerate(names)) if last and fits else {}

    @property
    def methods(self) -> list[str]:
        """The method-ids that have labels here, the first one first."""
        stages = self.manifest.stages
        return [name.removeprefix("labels ") for name in stages if name.startswith("labels ")]

    def table(self, file: str, layer: str | None = None, unit: int | None = None) -> pd.DataFrame:
        """A table, or its rows about one layer or unit."""
        import pandas as pd
        import pyarrow as pa
        import pyarrow.compute as pc

        if layer is not None:
            self.check_unit(layer, unit)
        path = self.folder / file
        try:
            found = storage.read_table(path)
            for column, wanted in (("layer", layer), ("unit", unit)):
                if layer is not None and wanted is not None:
                    found = found.filter(pc.equal(found[column], wanted))
            lists = pa.types.is_list if file == "images.parquet" else pa.types.is_null
            # Lists stay as they lie in the file: as objects they take ten times more.
            return found.to_pandas(
                use_threads=False,
                types_mapper=lambda kind: pd.ArrowDtype(kind) if lists(kind) else None,
            )
        except PermissionError as error:
            raise storage.cannot_read(path, error) from error
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise unreadable(self.folder, file, error) from error

    @functools.cached_property
    def images(self) -> pd.DataFrame:
        """image_id, source, width, height, content_hash, annotations, copies; in probe order.

        `copies`: for how many images beside itself it stands; see `copies`.
        """
        found = self.table("images.parquet")
        return found if "copies" in found else found.assign(copies=0)  # schema 2 of before

    @functools.cached_property
    def copies(self) -> pd.DataFrame:
        """Images without a row in `images`, because an equal or nearly equal one stands for them.

        image_id, source, width, height, content_hash, annotations, of (the `image_id` of the one
        that stands for it), equal (its content is the same); in probe order.
        """
        if not (self.folder / "copies.parquet").exists():  # made before there were any
            return schema.tables()["copies"].empty_table().to_pandas()
        return self.table("copies.parquet")

    @functools.cached_property
    def units(self) -> pd.DataFrame:
        """layer, unit, min, mean, max, std, positive, nonfinite, dead."""
        return self.table("units.parquet")

    @functools.cached_property
    def concepts(self) -> pd.DataFrame:
        """concept, row, same_as, cut, unknown (without the last three in atlases of 0.1.0)."""
        return self.table("concepts.parquet")

    @functools.cached_property
    def ranked_concepts(self) -> np.ndarray:
        """int64 `[word]`: the rows of concepts that are ranked: of words that are one the first."""
        same, count = self.concepts.get("same_as"), len(self.concepts)
        return np.arange(count) if same is None else np.flatnonzero(same.isna())

    @functools.cached_property
    def families(self) -> pd.DataFrame:
        """concept and family (its leading word), where `trust` has grouped the words."""
        return self.table("families.parquet")

    def exemplars(self, layer: str | None = None, unit: int | None = None) -> pd.DataFrame:
        """layer, unit, rank, image_id, activation, y, x; the highest activating images."""
        return self.table("exemplars.parquet", layer, unit)

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
            trust: join what analyses found about each unit, as far as they were run:
                `confidence`, `effect`, `stability`, `p`, `q`, `significant`, … In an atlas that
                was opened with `significant=True`, units that do not beat chance are marked as
                abstained, with the reason; their rows keep concept and score.
        """
        method = self.method(method)
        labels = self.table(schema.labels_file(method), layer, unit)
        if not trust:
            return labels
        for analysis, columns in schema.JOINED.items():
            if analysis in self.analyses(method):
                found = self.trust(analysis, layer, unit, method=method)
                # Analyses of older versions lack what was added later.
                found = found[[*_KEYS, *(name for name in columns if name in found)]]
                labels = labels.merge(found, "left", _KEYS, suffixes=("", "_by_chance"))
        if "reason_by_chance" in labels:
            chance = labels.pop("reason_by_chance")
            if self.only_significant:
                labels["reason"] = labels["reason"].fillna(chance)
                labels["abstained"] |= chance.notna()
        return labels

    def first_labels(
        self,
        layer: str | None = None,
        unit: int | None = None,
        *,
        method: str | None = None,
        trust: bool = True,
        abstaining: bool = True,
    ) -> pd.DataFrame:
        """The rank-1 row of every unit, with the columns of `labels`, numbered from 0.

        Args:
            layer, unit, method, trust: see `labels`.
            abstaining: with the units that abstain.
        """
        labels = self.labels(layer, unit, method=method, trust=trust)
        return first_of(labels, abstaining=abstaining).reset_index(drop=True)

    def top(
        self,
        n: int = 50,
        *,
        layers: str | Sequence[str] | None = None,
        by: str | None = None,
        method: str | None = None,
    ) -> pd.DataFrame:
        """The n units whose label one can rely on most, the best first; see `RELIANCE`.

        Equal ones are ordered by a hash of their names, so that no layer goes first for being
        first.

        Args:
            n: how many at most.
            layers: only these, by exact name.
            by: what is ranked by; None: the first of `RELIANCE` that is known here.
            method: whose labels. None: the first method's.

        Returns:
            layer, unit, concept, score and what analyses found; `frame.attrs["by"]` is what it was
            ranked by.

        Raises:
            UsageError: it is not known here; says how to get it.
        """
        wanted = [layers] if isinstance(layers, str) else layers
        for layer in wanted or ():
            self.check_unit(layer)
        labels = self.first_labels(method=method)
        labels = labels[labels["concept"].notna()]
        known = [name for name in RELIANCE if name in labels and labels[name].notna().any()]
        if by is not None and by not in RELIANCE:
            raise misuse("by", f"one of {', '.join(RELIANCE)}", by)
        if by is not None and by not in known:
            remedy = f"Get it with `neuronym trust {self.folder} {_OF[by]}`." if by in _OF else ""
            raise misuse("by", f"one of {', '.join(known)}, which are known here", by, remedy)
        chosen = by or known[0]
        if wanted is not None:
            labels = labels[labels["layer"].isin(wanted)]
        rows = zip(labels["layer"], labels["unit"], strict=True)
        labels = labels.assign(_hash=[hashing.of_data([layer, int(unit)]) for layer, unit in rows])
        found = labels[labels[chosen].notna()].sort_values(
            [chosen, "_hash"], ascending=[not RELIANCE[chosen], True]
        )
        found = found.drop(columns=["_hash", "rank", "abstained", "reason"]).head(
            integer("n", n, 1)
        )
        found = found.reset_index(drop=True)
        found.attrs["by"] = chosen
        return found

    def gallery(
        self, frame: pd.DataFrame, images: int = 5, *, method: str | None = None
    ) -> Gallery:
        """Any table of units as a notebook shows it, with pictures; see `docs/notebooks.md`.

        Args:
            frame: with `layer` and `unit`, one entry per unit; of its other columns the values.
            images: how many of each unit's highest images; fewer units are shown if there are many.
            method: whose labels. None: the first method's.

        Raises:
            UsageError: the frame has no such columns, or a unit that the atlas has not.
        """
        return gallery(self, frame, images, method)

    def analyses(self, method: str | None = None) -> list[str]:
        """The analyses of a method's labels that are here, such as `significance`."""
        method, stages = self.method(method), self.manifest.stages
        entries = self.manifest.analyses.items()
        return [e.analysis for key, e in entries if e.method == method and f"trust {key}" in stages]

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
            raise misuse(
                "analysis",
                f"one that {method} has here ({there})",
                analysis,
                f"Add it with `neuronym trust {self.folder} {analysis}`.",
            )
        return self.table(schema.trust_file(analysis, method), layer, unit)

    def links(self, from_layer: str | None = None, to_layer: str | None = None) -> pd.DataFrame:
        """Units that feed units, as far as `link` has looked; one row per link.

        Args:
            from_layer, to_layer: only from or to this layer.

        Returns:
            from_layer, from_unit, to_layer, to_unit, rank (among what feeds the target), strength,
            correlation, correlation_q, weight, gain, checked, effect, effect_low, effect_high,
            effect_p, effect_q, confirmed; see docs/links.md. Target by target, in network order.

        Raises:
            UsageError: no such links are here; says how to get them.
        """
        return read_links(self, from_layer, to_layer)

    def caveats(self, method: str | None = None) -> list[str]:
        """What whoever reads the analyses of a method's labels has to know, in sentences."""
        entries, chosen = self.shown.analyses, self.method(method)
        found = [entries[schema.analysis_id(a, chosen)] for a in self.analyses(chosen)]
        return [entry.caveat for entry in found if entry.caveat]

    def labelled_layers(self, method: str | None = None) -> list[str]:
        """The layers that a method has labelled, in network order."""
        facts = self.manifest.methods.get(self.method(method))
        return list((facts and facts.layers) or self.layers)

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
        if self.manifest.part:
            raise self.manifest.part.refused(self.folder)
        if not methods:
            raise NeuronymError(
                f"{self.folder} has no labels yet. Run the same `neuronym dissect` command again."
            )
        if name is None:
            return methods[0]
        if name in methods:
            return name
        facts, asked = self.manifest.methods, kept(name)
        for key in ("method", "labeller"):
            found = [m for m in methods if m in facts and facts[m].get(key) == asked]
            if found:
                break
        else:
            found = [m for m in methods if m == name.replace(":", ".", 1)]
        if len(found) != 1:
            near = nearest(name, methods)
            remedy = f"Nearest: {', '.join(near)}." if near else ""
            raise misuse("method", f"one of {', '.join(methods)}", name, remedy)
        return found[0]

    def check_complete(self) -> None:
        """Refuse an atlas whose run was interrupted, or that is but a part.

        Raises:
            UsageError: it is.
        """
        if self.manifest.part:
            raise self.manifest.part.refused(self.folder)
        if not self.manifest.complete:
            raise UsageError(
                f"Expected a complete atlas, got {self.folder}, whose run was interrupted. "
                "Run its `neuronym dissect` command again first."
            )

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

    def activations(self, layer: str) -> np.ndarray | SparseRows:
        """float32 `[image, unit]`, memory-mapped; kept sparse: `np.asarray` makes an array of it.

        Raises:
            NeuronymError: they were not kept.
        """
        if layer not in self.recorded:
            self.check_unit(layer)
        if self.imported:
            raise self.lacks("activations")
        path = self.folder / schema.activations_file(layer)
        arrays = storage.read_arrays(path)[0] if path.exists() else {}
        if "offsets" in arrays:
            return SparseRows.of_arrays(arrays)
        if "activations" not in arrays:
            raise NeuronymError(
                f"{self.folder} holds no activations of {layer} (kept: "
                f"{self.manifest.kept}). Make it again with --keep all --overwrite; "
                "what is in the cache is not computed again."
            )
        return arrays["activations"]

    def maps(self, layer: str) -> LayerMaps:
        """The activation maps of a layer's exemplars; see `LayerMaps` and `Unit.maps`.

        Raises:
            NeuronymError: the layer has no positions, or no maps were kept; says what to do.
        """
        if layer not in self._maps:
            self._maps[layer] = open_maps(self, layer)
        return self._maps[layer]

    @functools.cached_property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """image_id → width and height of the original, in pixels."""
        images = self.images
        sizes = zip(images["width"].tolist(), images["height"].tolist(), strict=True)
        return dict(zip(images["image_id"], sizes, strict=True))

    def embeddings(self) -> dict[str, np.ndarray]:
        """`images` `[image, dim]` and `concepts` `[concept, dim]`, float32 unit vectors.

        Raises:
            NeuronymError: the atlas was imported, so it has none.
        """
        if self.imported:
            raise self.lacks("embeddings")
        return storage.read_arrays(self.folder / "arrays/embeddings.safetensors")[0]

    def lacks(self, what: str) -> NeuronymError:
        """The error where something is asked for that an imported atlas cannot have."""
        return NeuronymError(
            f"{self.folder} was imported from {self.imported} files, which hold no {what}. "
            "What needs them works on atlases made by `neuronym dissect`."
        )

    @property
    def tie(self) -> np.ndarray:
        """int64 `[image]`: the place of each image in the order of content hashes (then ids)."""
        images = self.images
        return hashing.tie_order(images["content_hash"].fillna(""), images["image_id"])

    def thumb(self, image_id: str) -> Path | None:
        """The small copy of an image, if the atlas has one; nothing outside of the atlas."""
        content_hash = self._hashes.get(image_id)
        if not (isinstance(content_hash, str) and content_hash.isalnum()):
            return None
        path = self.folder / schema.thumb_file(content_hash)
        return path if storage.readable(path) else None

    @functools.cached_property
    def _hashes(self) -> dict[str, str]:
        return dict(zip(self.images["image_id"], self.images["content_hash"], strict=True))

    def __getitem__(self, key: tuple[str, int] | str) -> Unit:
        layer, unit = unit_name(key) if isinstance(key, str) else key
        self.check_unit(layer, unit)
        return Unit(self, layer, int(unit))

    def search(self, text: str, *, method: str | None = None, **options: Any) -> pd.DataFrame:
        """Units by a word or phrase, one row each, best first.

        Args:
            text: what to look for, in any case; it need not be in the concept set.
            method: whose labels; default the first method's.
            **options: match, places, layers, top, abstained; see `search.searcher.Searcher.find`.

        Returns:
            layer, unit, rank, concept, score, found, matched, images; see `search.searcher.Hits`.
        """
        return self.searcher(method).find(text, **options).units

    def at(
        self,
        picture: Image,
        point: Sequence[float] | None = None,
        box: Sequence[float] | None = None,
        *,
        method: str | None = None,
        layers: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Which units respond at one place of a picture, the strongest first.

        Args:
            picture: a Pillow image, upright.
            point: x and y in pixels; or
            box: left, top, right, bottom in pixels.
            method: whose labels; default the first method's.
            layers: only these.

        Returns:
            layer, unit, here, strength, concept, score, confidence (where it is known); see
            `search.places.at_place`.
        """
        found = self.searcher(method).at(picture.convert("RGB"), point, box, layers=layers)
        return found.units

    def searcher(self, method: str | None = None) -> Any:
        """The `search.searcher.Searcher` of a method's labels, by default the first's; kept."""
        from neuronym.search.searcher import Searcher

        method = self.method(method)
        if method not in self._searchers:
            self._searchers[method] = Searcher(self, method)
        return self._searchers[method]

    def effect(self, *units: str, layer: str | None = None, **how: Any) -> Any:
        """What units, or all of a layer, do to the output: see `measure_effects`."""
        from neuronym.analysis.effect.run import measure_effects

        return measure_effects(self, units, layer=layer, **how)

    def serve(self, *, port: int = 0, browse: bool = True) -> None:
        """Open the site of this atlas in a browser, until it is stopped (Ctrl-C).

        Args:
            port: to listen at; 0: any free one.
            browse: open a browser.
        """
        from neuronym.web import serving

        bound = serving.listen("127.0.0.1", port)
        address = serving.address("127.0.0.1", bound, None, None)
        print(f"Serving {self.folder} at {address}")
        serving.serve([self], bound, browse=address if browse else None)
