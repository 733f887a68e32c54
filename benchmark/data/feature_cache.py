"""Features of a whole part, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmark.data.dataset import Part
from benchmark.data.features import DESCRIPTORS, Features, compute
from benchmark.files import DiskError, cache_folder, replacing, sweep

BATCH = 250  # rows
_DIGEST = hashlib.sha256().digest_size


def rows(part: Part, kind: Features, levels: int, index: np.ndarray) -> np.ndarray:
    """(len(index), inputs): the features of the rows `index` of `part`.

    Raises:
        LetheError: for an unknown kind, or if the cache cannot be written.
    """
    if kind not in DESCRIPTORS:
        return compute(kind, part.images[index], levels)
    return whole(part, kind, levels)[index]


def whole(part: Part, kind: Features, levels: int) -> np.ndarray:
    """(n, inputs) float32, mapped from disk and read-only: a descriptor of every row of `part`.

    Raises:
        LetheError: if the cache cannot be written.
    """
    path = cached_file(part, kind)
    if (found := _read(path, len(part.labels))) is None:
        sweep(path.parent)
        _write(path, _batches(part, kind, levels), len(part.labels))
        found = np.load(path, mmap_mode="r")
    return np.asarray(found)


def cached_file(part: Part, kind: Features) -> Path:
    """Where the features lie; the name says of what content, by which version."""
    name = f"{part.content_hash[:16]}-{kind}-v{DESCRIPTORS[kind].version}.npy"
    return cache_folder() / "features" / name


def _read(path: Path, n: int) -> np.ndarray | None:
    """The array at `path`, or None if it is missing or damaged."""
    try:
        state = path.stat()
        if not _is_sound(path, state.st_size, state.st_mtime_ns):
            return None
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    sound = found.ndim == 2 and len(found) == n and found.dtype == np.float32
    return found if sound else None


@lru_cache
def _is_sound(path: Path, size: int, changed: int) -> bool:
    """Whether a file's last bytes are the checksum of those before; asked once a process."""
    if size <= _DIGEST:
        return False
    content = np.memmap(path, np.uint8, "r")
    return hashlib.sha256(content[:-_DIGEST]).digest() == content[-_DIGEST:].tobytes()


def _batches(part: Part, kind: Features, levels: int) -> Iterator[np.ndarray]:
    """The features, some rows at a time, with a progress bar on a terminal."""
    console = Console(stderr=True)
    starts = track(
        range(0, len(part.labels), BATCH),
        description=f"computing {kind} features",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    for start in starts:
        yield compute(kind, part.images[start : start + BATCH], levels)


def _write(path: Path, batches: Iterator[np.ndarray], n: int) -> None:
    """Write `batches`, n rows together, to `path`: they are too large to hold in memory.

    Their checksum comes last, where NumPy does not look.
    """
    digest = hashlib.sha256()
    try:
        with replacing(path) as file:
            for content in _content(batches, n):
                file.write(content)
                digest.update(content)
            file.write(digest.digest())
    except OSError as error:
        raise DiskError(
            f"{path} cannot be written ({error.strerror}); make room or set LETHE_CACHE to "
            "another folder"
        ) from error


def _content(batches: Iterator[np.ndarray], n: int) -> Iterator[bytes | memoryview]:
    """The parts of a file of n rows."""
    for number, batch in enumerate(batches):
        if number == 0:
            header, start = np.lib.format.header_data_from_array_1_0(batch), io.BytesIO()
            header["shape"] = (n, batch.shape[1])
            np.lib.format.write_array_header_1_0(start, header)
            yield start.getvalue()
        yield np.ascontiguousarray(batch).data
