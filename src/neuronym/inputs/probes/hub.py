"""Data sets of Hugging Face: from the hub, or from a folder on this machine."""

from __future__ import annotations

import functools
import logging
import re
import threading
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from neuronym._core import hub
from neuronym._core.checks import Verbatim, choice, missing_extra, misuse, nearest
from neuronym._core.errors import CorruptImageError, NeuronymError, UsageError
from neuronym._core.registry import Name, known_params, write
from neuronym.inputs.probes import images, remote
from neuronym.inputs.probes.base import CLASS, PROBES, Annotation, Probe, RawImage, valid_text


@PROBES.register(
    "hf",
    syntax="hf:NAME|PATH[,config=…][,split=…][,column=…][,stream=yes]",
    example="hf:uoft-cs/cifar100,split=test",
    extra="hf",
)
def open_hub(name: Name | Any) -> Probe:
    """A data set of Hugging Face by its name, or a local folder of one; class names become labels.

    Args:
        name: a parsed name, or the data set itself.

    Raises:
        UsageError: no such data set, configuration, split or column.
        NeuronymError: no network, or files that cannot be read.
        MissingExtraError: the package datasets is absent.
    """
    if not isinstance(name, Name):
        return _given(name)
    known_params(name, "config", "split", "column", "stream")
    stream = choice("stream", name.params.get("stream", "no"), ("yes", "no")) == "yes"
    if not name.detail:
        raise misuse(
            "probe", "hf:NAME or hf:PATH", Verbatim(f"{write(name)} without a name or a path")
        )
    try:
        import datasets
    except ImportError:
        raise missing_extra("A probe of Hugging Face", "datasets", "hf") from None
    if stream:
        return _streamed(name)
    local = Path(name.detail).expanduser().exists()
    loaded = (_load_local if local else _load_from_hub)(datasets, name)
    split, dataset = _pick_split(loaded, name)
    return HubProbe(dataset, valid_text(write(name)), split, name.params.get("column"))


def _given(loaded: Any) -> Probe:
    """A data set of Hugging Face that was made in Python."""
    import datasets

    if isinstance(loaded, datasets.DatasetDict | datasets.IterableDatasetDict):
        if len(loaded) != 1:
            some = next(iter(loaded), "train")
            raise misuse(
                "probe",
                "one split of a data set",
                Verbatim(f"a {type(loaded).__name__} of {', '.join(loaded) or 'none'}"),
                f"Give one of them, such as data[{some!r}].",
            )
        return _given(next(iter(loaded.values())))
    if isinstance(loaded, datasets.IterableDataset):
        raise misuse(
            "probe",
            "a data set with a length and numbered items",
            Verbatim("an IterableDataset, which is read as a stream"),
            "Give its name with stream=yes, or take its first images: datasets.Dataset.from_list("
            "list(data.take(1000)), features=data.features).",
        )
    return HubProbe(loaded)


class HubProbe(Probe):
    """A data set of Hugging Face with a column of images.

    Ids are the split and the row: `test/000017`. Encoded images stay encoded, to be hashed.

    Args:
        dataset: a `datasets.Dataset`.
        name: the name that opens it again.
        split: the name of its split.
        column: the column of images; None: the only one, or that called `image`.

    Raises:
        UsageError: no such column, or no column of images.
    """

    def __init__(
        self, dataset: Any, name: str | None = None, split: str = "row", column: str | None = None
    ) -> None:
        import datasets

        if not len(dataset):
            raise misuse("probe", "at least one image", Verbatim("an empty data set"))
        self.name = name or f"Hugging Face data set of {len(dataset)} images given in Python"
        self._split = split
        self._column = _image_column(datasets, dataset, column)
        encoded = dataset.with_format(None).cast_column(self._column, datasets.Image(decode=False))
        self._images = encoded.select_columns([self._column])
        self._classes = _class_columns(datasets, dataset.features)
        self._labels = encoded.select_columns(list(self._classes)) if self._classes else None
        kinds = dataset.features.items()
        self._single = [name for name, kind in kinds if isinstance(kind, datasets.ClassLabel)]

    def __len__(self) -> int:
        return len(self._images)

    def image_id(self, index: int) -> str:
        return f"{self._split}/{self._inside(index):06d}"

    def source(self, index: int) -> str | None:
        path = self._cell(index).get("path")
        return valid_text(path) if path and Path(path).is_file() else None

    def read(self, index: int) -> RawImage:
        cell = self._cell(index)
        if cell.get("bytes") is not None:
            return RawImage(cell["bytes"])
        if cell.get("path"):
            return RawImage(images.read_file(Path(cell["path"])))
        raise CorruptImageError("is an empty cell")

    def labels(self, index: int) -> Sequence[Annotation]:
        if self._labels is None:
            return ()
        return self._annotations(self._labels[self._inside(index)])

    def _annotations(self, row: Mapping[str, Any]) -> tuple[Annotation, ...]:
        found = []
        for column, names in self._classes.items():
            value = row[column]
            for code in value if isinstance(value, list) else [value]:
                if code is not None and 0 <= code < len(names):  # −1: unlabelled
                    found.append(Annotation(_category(column), names[code]))
        return tuple(dict.fromkeys(found))

    def vocabulary(self) -> Sequence[Annotation]:
        columns = self._classes.items()
        return sorted(
            {Annotation(_category(col), name) for col, names in columns for name in names}
        )

    def group(self, index: int) -> str:
        return str(self._groups[self._inside(index)]) if self._groups is not None else ""

    def eight_bit(self, index: int) -> bool:
        return False  # to ask for the name of a row's file would read the row

    @cached_property
    def _groups(self) -> Any:
        """The classes of all rows: the column called label, else the first of single classes."""
        if self._labels is None:
            return None
        single = [name for name in self._single if name == "label"] or self._single
        return self._labels.with_format("numpy")[single[0]] if single else None

    def _cell(self, index: int) -> dict[str, Any]:
        return self._images[self._inside(index)][self._column] or {}

    def _inside(self, index: int) -> int:
        if not 0 <= index < len(self._images):
            raise IndexError(index)
        return index


class StreamProbe(HubProbe):
    """A data set of Hugging Face in parquet files, read by groups of rows.

    Nothing is downloaded beforehand, no copy is made, and memory holds two groups.

    Args:
        rows: the data set.
        name: the name that opens it again.
        split: the name of its split.
        column: as for `HubProbe`.
    """

    def __init__(self, rows: _Rows, name: str, split: str, column: str | None) -> None:
        import datasets

        self.name, self._split = name, split
        features = datasets.Features.from_arrow_schema(rows.schema)
        self._column = _image_column(
            datasets, SimpleNamespace(features=features, column_names=list(features)), column
        )
        self._classes = _class_columns(datasets, features)
        rows.columns = [self._column, *self._classes]
        self._images = rows
        self._labels = rows if self._classes else None
        kinds = features.items()
        self._single = [name for name, kind in kinds if isinstance(kind, datasets.ClassLabel)]

    def labels(self, index: int) -> Sequence[Annotation]:
        return self._annotations(self._images[self._inside(index)])

    def eight_bit(self, index: int) -> bool:
        return index >= self._images.first  # the others would have to be fetched

    @cached_property
    def _groups(self) -> Any:
        single = [name for name in self._single if name == "label"] or self._single
        return self._images.column(single[0]) if single else None


class _Rows:
    """The rows of parquet files, read by groups of rows.

    Args:
        files: the file system of fsspec.
        paths: of the files in it, in order.
    """

    def __init__(self, files: Any, paths: Sequence[str]) -> None:
        self._files, self._paths = files, list(paths)
        self.columns: list[str] = []
        self.schema: Any = None
        self._ends, self._places = array("q"), list[tuple[int, int]]()
        for number, _ in enumerate(self._paths):
            with self._open(number) as file:
                self.schema = file.schema_arrow if number == 0 else self.schema
                for group in range(file.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    self._ends.append(rows + (self._ends[-1] if self._ends else 0))
                    self._places.append((number, group))
        self._setup()

    def _setup(self) -> None:
        self._read = functools.lru_cache(maxsize=2)(self._group)
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_read", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._setup()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def first(self) -> int:
        """How many rows the first group has."""
        return self._ends[0]

    def __getitem__(self, index: int) -> dict[str, Any]:
        place = bisect_right(self._ends, index)
        with self._lock:  # threads that ask for rows of one group read it once
            group = self._read(place)
        return group.slice(index - (self._ends[place - 1] if place else 0), 1).to_pylist()[0]

    def column(self, name: str) -> np.ndarray:
        """One column of all rows."""
        parts = []
        for number, _ in enumerate(self._paths):
            with self._open(number) as file:
                parts.append(file.read([name])[name].to_numpy())
        return np.concatenate(parts)

    def _group(self, place: int) -> Any:
        number, group = self._places[place]

        def read() -> Any:
            with self._open(number) as file:
                return file.read_row_group(group, self.columns, use_threads=False)

        try:
            return remote.request(read, "cannot be read")
        except NeuronymError as error:
            raise CorruptImageError(str(error).rstrip(".")) from error

    @contextmanager
    def _open(self, number: int) -> Iterator[Any]:
        import pyarrow.parquet as pq

        with self._files.open(self._paths[number], "rb") as opened:
            yield pq.ParquetFile(opened, pre_buffer=False)


def _streamed(name: Name) -> Probe:
    """A data set in parquet files, on this machine or as the hub keeps every data set."""
    local = Path(name.detail).expanduser()
    url = str(local) if local.exists() else f"hf://datasets/{name.detail}@~parquet"
    files, root = remote.filesystem(url)
    what = f"The parquet files of {name.detail} cannot be listed"
    paths = [root]
    if not root.endswith(".parquet"):
        paths = sorted(remote.request(lambda: files.glob(f"{root}/**/*.parquet"), what))
    splits = sorted({_split_of(path, root) for path in paths})
    wanted = name.params.get("split") or ("train" if "train" in splits else next(iter(splits), ""))
    config = name.params.get("config")
    some = [
        path
        for path in paths
        if _split_of(path, root) == wanted and (config is None or config in path.split("/"))
    ]
    if not some:
        got = Verbatim(f"{write(name)} with {', '.join(splits) or 'none'}")
        raise misuse("probe", "a data set in parquet files, with this split", got)
    try:
        rows = _Rows(files, some)
    except Exception as error:
        raise NeuronymError(
            f"{name.detail} cannot be read as parquet files: {remote.reason(error)}."
        ) from error
    if not len(rows):
        raise misuse("probe", "at least one image", Verbatim("an empty data set"))
    return StreamProbe(rows, valid_text(write(name)), wanted, name.params.get("column"))


def _split_of(path: str, root: str) -> str:
    """The split that a file belongs to: `train-00000-of-00002.parquet`, `train/0000.parquet`."""
    inside = path.removeprefix(root).strip("/").split("/")
    stem = re.split(r"[-.]", inside[-1])[0]
    return inside[-2] if stem.isdecimal() and len(inside) > 1 else stem or "train"


def _category(column: str) -> str:
    return CLASS if column in ("label", "labels") else column


def _image_column(datasets: Any, dataset: Any, column: str | None) -> str:
    found = [key for key, kind in dataset.features.items() if isinstance(kind, datasets.Image)]
    columns = ", ".join(dataset.column_names)
    if column is not None:
        if column not in found:
            near = (
                f"Nearest: {', '.join(nearest(column, found))}." if nearest(column, found) else ""
            )
            of = ", ".join(found) or f"none of {columns} holds images"
            raise misuse("column", f"a column of images ({of})", column, near)
        return column
    if not found:
        raise misuse(
            "probe", "a data set with a column of images", Verbatim(f"the columns {columns}")
        )
    if len(found) > 1 and "image" not in found:
        raise misuse(
            "column",
            "given where there are several columns of images",
            Verbatim("none"),
            f"Write column= and one of {', '.join(found)}.",
        )
    return "image" if "image" in found else found[0]


def _class_columns(datasets: Any, features: Any) -> dict[str, list[str]]:
    found = {}
    for column, kind in features.items():
        inner = getattr(kind, "feature", kind)
        if isinstance(inner, datasets.ClassLabel):
            found[column] = list(inner.names)
    return found


def _load_local(datasets: Any, name: Name) -> Any:
    path = Path(name.detail).expanduser()
    try:
        with hub.quiet(), _no_bars():
            if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
                return datasets.load_from_disk(str(path))
            if path.is_file():
                return datasets.load_dataset(path.suffix.lstrip("."), data_files=str(path))
            return datasets.load_dataset(str(path), name.params.get("config"))
    except Exception as error:
        raise NeuronymError(
            f"{path} cannot be read as a data set of Hugging Face: {hub.reason(error)}. Expected "
            "a folder written by save_to_disk, or parquet files with a column of images. A folder "
            "of image files is opened with folder:PATH."
        ) from error


def _load_from_hub(datasets: Any, name: Name) -> Any:
    from huggingface_hub import constants

    otherwise = (
        "Without the hub, give the path of a local data set, use your own images with folder:PATH, "
        "or the embedded probe `synthetic`."
    )
    with hub.hub(f"The data set {name.detail}", otherwise), _no_bars():
        try:
            return datasets.load_dataset(name.detail, name.params.get("config"))
        except datasets.exceptions.DatasetNotFoundError as error:
            if constants.HF_HUB_OFFLINE:
                raise
            raise misuse("probe", "hf:NAME of a data set on the hub", name.detail) from error
        except ValueError as error:  # several configurations, or an unknown one
            raise UsageError(
                f"The data set {name.detail} cannot be opened: {hub.reason(error)}."
            ) from error


def _pick_split(loaded: Any, name: Name) -> tuple[str, Any]:
    """The split that is asked for, else `train`, else the first."""
    wanted = name.params.get("split")
    if hasattr(loaded, "column_names") and not isinstance(loaded, dict):
        own = str(loaded.split) if loaded.split is not None else None
        if wanted is not None and wanted != own:
            raise misuse("split", f"left out or {own}: {name.detail} is one split", wanted)
        return own or "row", loaded
    if wanted is None:
        wanted = "train" if "train" in loaded else next(iter(loaded))
    if wanted not in loaded:
        raise misuse("split", f"one of {', '.join(loaded)}", wanted)
    return wanted, loaded[wanted]


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep progress bars and log lines of datasets off the terminal."""
    import datasets

    with ExitStack() as stack:
        logger = logging.getLogger("datasets")
        stack.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.CRITICAL)
        if not datasets.utils.are_progress_bars_disabled():
            stack.callback(datasets.utils.enable_progress_bars)
            datasets.utils.disable_progress_bars()
        yield
