"""Files written whole or not at all, and arrays read without loading them."""

from __future__ import annotations

import errno
import json
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from neuronym._core.errors import NeuronymError
from neuronym._core.types import Rows

if TYPE_CHECKING:
    import pyarrow as pa


_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
#: Rows that `arranged` reads at once.
_ARRANGED = 2048
_CODES = {np.dtype(kind): code for code, kind in _DTYPES.items()}
_DISK = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.EBUSY,
}


def cache_root() -> Path:
    """Where what is expensive is kept: `$NEURONYM_CACHE`, or the user's cache directory."""
    import platformdirs

    chosen = os.environ.get("NEURONYM_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("neuronym"))


@contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO]:
    """Open a temporary neighbour of `path`; on success flush it to disk and rename it to `path`.

    Raises:
        NeuronymError: the disk is full or the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=".tmp", dir=path.parent
        )
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        encoding = None if "b" in mode else "utf-8"
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "there is a folder of this name")
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        if error.errno not in _DISK:
            raise  # not the disk's fault: something that was read on the way
        raise cannot_write(path, error) from error
    except BaseException:
        _remove(temporary)
        raise


def cannot_write(path: Path, error: OSError) -> NeuronymError:
    """The error for a full or read-only disk."""
    return NeuronymError(
        f"Cannot write {path}: {error.strerror or error}. "
        "Nothing that was finished is lost: free space or fix permissions, then run the same "
        "command again."
    )


def cannot_read(path: Path | str, error: OSError) -> NeuronymError:
    """The error for a file or folder that is there, but may not or cannot be read."""
    return NeuronymError(
        f"Cannot read {path}: {error.strerror or error}. It need not be damaged: see who may read "
        "it and the folders that it lies in, and whether its disk is at hand."
    )


def readable(path: Path) -> bool:
    """Whether it is a plain file that may be read."""
    try:
        if not path.is_file() or path.is_symlink():
            return False
        with open(path, "rb"):
            return True
    except OSError:
        return False


def check_writable(folder: Path) -> None:
    """Whether files can be made in a folder, which is made if need be.

    Raises:
        OSError: they cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove_leftovers(folder: Path, older_than: float = 0.0) -> None:
    """Remove temporary files that a killed process left behind, at least so many seconds old."""
    for path in folder.rglob(".*.tmp"):
        try:
            if time.time() - path.stat().st_mtime >= older_than:
                path.unlink()
        except OSError:
            pass


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def write_json(path: Path, data: object) -> None:
    """Write JSON atomically: two-space indentation, keys in the order given."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # a path that is not UTF-8: escapes can hold it
        encoded = (json.dumps(data, indent=2, allow_nan=False) + "\n").encode()
    with atomic_write(path) as file:
        file.write(encoded)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> None:
    """Write named arrays as one safetensors file, atomically, with a checksum of their values."""
    about = {**about, "crc32": _checksum(arrays)}
    write_array_blocks(path, {k: (v.dtype, v.shape, [v]) for k, v in arrays.items()}, about)


def intact(arrays: Mapping[str, np.ndarray], about: Mapping[str, str]) -> bool:
    """Whether arrays from a file of `write_arrays` still have the checksum they had."""
    return about.get("crc32") == _checksum(arrays)


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    total = 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        total = zlib.crc32(data.data, zlib.crc32(name.encode(), total))
    return f"{total:08x}"


def write_array_blocks(
    path: Path,
    arrays: Mapping[str, tuple[np.dtype | type, tuple[int, ...], Iterable[np.ndarray]]],
    about: Mapping[str, str],
) -> None:
    """Write a safetensors file whose arrays come in blocks of rows, never whole in memory."""
    header: dict[str, object] = {"__metadata__": dict(about)}
    offset = 0
    for name, (kind, shape, _) in arrays.items():
        size = int(np.dtype(kind).itemsize * np.prod(shape, dtype=np.int64))
        header[name] = {
            "dtype": _CODES[np.dtype(kind)],
            "shape": list(shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, (kind, shape, blocks) in arrays.items():
            wanted = int(np.prod(shape, dtype=np.int64))
            for block in blocks:
                data = np.ascontiguousarray(block, dtype=kind)
                wanted -= data.size
                file.write(data.reshape(-1).view(np.uint8).data)
            if wanted:
                raise ValueError(f"array {name!r}: {wanted} values missing of shape {shape}")


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Open a safetensors file: memory-mapped arrays (read-only) and its string metadata.

    Raises:
        NeuronymError: the file is truncated or not safetensors, or may not be read.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, 100_000_000):
                raise ValueError("header too long")
            header = json.loads(file.read(length))
        about = header.pop("__metadata__", {})
        start, arrays = 8 + length, {}
        whole = (
            np.memmap(path, dtype=np.uint8, mode="r") if size > start else np.zeros(start, np.uint8)
        )
        for name, entry in header.items():
            low, high = entry["data_offsets"]
            if start + high > size:
                raise ValueError("file is shorter than its header says")
            kind = np.dtype(_DTYPES[entry["dtype"]])
            arrays[name] = whole[start + low : start + high].view(kind).reshape(entry["shape"])
        return arrays, about
    except PermissionError as error:
        raise cannot_read(path, error) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise NeuronymError(f"{path} is not a readable safetensors file: {error}.") from error


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A parquet file, read within this thread.

    Where pyarrow has made threads, Python's way out may abort at the end of a program that also
    uses torch (exit code 134). Atlases are small enough to do without.

    Raises:
        OSError, pa.ArrowInvalid: it is not there, or damaged.
    """
    import pyarrow.parquet as pq

    with open(path, "rb") as opened:  # a path with a colon would be taken for a URI
        return pq.ParquetFile(opened, pre_buffer=False).read(columns, use_threads=False)


class RowsFile:
    """Rows in a file, mapped into memory only while they are read, so that none of them stays."""

    def __init__(self, file: IO[bytes], kind: np.dtype, shape: tuple[int, int]) -> None:
        self._file, self.dtype, self.shape = file, kind, shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        return np.array(np.memmap(self._file, self.dtype, "r", shape=self.shape)[rows])


@contextmanager
def arranged(rows: Rows, order: np.ndarray) -> Iterator[RowsFile]:
    """Rows of an array in another order, in a temporary file.

    The array is read once, from its beginning to its end.

    Args:
        rows: `[row, column]`.
        order: int64: which of them, each once at most.

    Raises:
        NeuronymError: the temporary file cannot be written.
    """
    first = rows[0:1]
    size, where = first.nbytes, np.full(rows.shape[0], -1)
    where[order] = np.arange(len(order))
    with tempfile.TemporaryFile() as file:
        try:
            for low in range(0, rows.shape[0], _ARRANGED):
                block = np.ascontiguousarray(rows[low : low + _ARRANGED])
                for row, place in zip(block, where[low : low + _ARRANGED], strict=True):
                    if place >= 0:
                        file.seek(int(place) * size)
                        file.write(row.tobytes())
            file.flush()
        except OSError as error:
            raise cannot_write(Path(tempfile.gettempdir()), error) from error
        yield RowsFile(file, first.dtype, (len(order), first.shape[1]))
