"""Arrays on disk: large ones that are mapped when read, trained weights, and those of others."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from benchmark.errors import LetheError
from benchmark.files import DiskError, replace_file, replacing, seal, sweep, unsealed

# Large arrays: written some rows at a time, mapped when read.


_DIGEST = hashlib.sha256().digest_size


def kept_array(
    path: Path, batches: Iterator[np.ndarray], n: int, dtype: type[np.generic]
) -> np.ndarray:
    """(n, columns), mapped and read-only; made of `batches` where no sound file has it.

    Raises:
        DiskError: if the file cannot be written.
    """
    if (found := read_array(path, n, dtype)) is None:
        sweep(path.parent)
        write_array(path, batches, n)
        found = np.load(path, mmap_mode="r")
    return found


def read_array(path: Path, n: int, dtype: type[np.generic]) -> np.ndarray | None:
    """(n, columns), mapped and read-only; None if the file is missing or damaged."""
    try:
        state = path.stat()
        if not _is_sound(path, state.st_size, state.st_mtime_ns):
            return None
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == n and found.dtype == dtype else None


def write_array(path: Path, batches: Iterator[np.ndarray], n: int) -> None:
    """Write `batches`, n rows together, to `path`: they are too large to hold in memory.

    Their checksum comes last, where NumPy does not look.

    Raises:
        DiskError: if the file cannot be written.
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


def tracked(numbers: range, description: str) -> Iterator[int]:
    """The numbers, of batches or epochs, with a progress bar on a terminal."""
    console = Console(stderr=True)
    yield from track(
        numbers,
        description=description,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@lru_cache
def _is_sound(path: Path, size: int, changed: int) -> bool:
    """Whether a file's last bytes are the checksum of those before; asked once a process."""
    if size <= _DIGEST:
        return False
    content = np.memmap(path, np.uint8, "r")
    return hashlib.sha256(content[:-_DIGEST].data).digest() == content[-_DIGEST:].tobytes()


def _content(batches: Iterator[np.ndarray], n: int) -> Iterator[bytes | memoryview]:
    """The parts of a file of n rows."""
    for number, batch in enumerate(batches):
        if number == 0:
            header, start = np.lib.format.header_data_from_array_1_0(batch), io.BytesIO()
            header["shape"] = (n, batch.shape[1])
            np.lib.format.write_array_header_1_0(start, header)
            yield start.getvalue()
        yield np.ascontiguousarray(batch).data


# Trained weights, each in a file under the hash of everything that determines it.


#: Hexadecimal digits of a key that name its file.
_DIGITS = 32


class WeightFiles:
    """Weights behind checksums: what is damaged counts as missing.

    Args:
        folder: that may be deleted; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def path(self, key: str) -> Path | None:
        """The file of a key."""
        return None if self._folder is None else self._folder / f"{key[:_DIGITS]}.npz"

    def read(
        self, key: str, device: torch.device, shape: tuple[int, ...] | None = None
    ) -> tuple[Tensor, float] | None:
        """The weights under `key` and the seconds that they took; None if missing or damaged.

        Args:
            key: the hash of what determines them.
            device: where to put them.
            shape: another one counts as damaged; None takes any.
        """
        path = self.path(key)
        if path is None or (payload := unsealed(path)) is None:
            return None
        with np.load(io.BytesIO(payload)) as found:
            weights, seconds = torch.from_numpy(found["weights"]), float(found["seconds"])
        if shape is not None and weights.shape != shape:
            return None
        return weights.to(device), seconds

    def write(self, key: str, weights: Tensor, seconds: float = 0.0) -> None:
        """Keep weights, and the seconds that they took where somebody asks for them.

        Raises:
            DiskError: if the folder cannot be written.
        """
        path = self.path(key)
        if path is not None:
            buffer = io.BytesIO()
            np.savez(buffer, weights=weights.detach().cpu().numpy(), seconds=seconds)
            replace_file(path, seal(buffer.getvalue()))


# Arrays that somebody else wrote.


def read_npz(path: Path, what: str, advice: str) -> dict[str, np.ndarray]:
    """The arrays in an npz file that somebody else wrote, by name; nothing in it is unpickled.

    Args:
        path: of the file.
        what: it is, for messages.
        advice: how to write it.

    Raises:
        LetheError: if it cannot be read, is another kind of file, is damaged or holds objects.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        reason = error.strerror or "damaged"
        raise LetheError(f"{what} {path} cannot be read ({reason}): {advice}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, AttributeError, zlib.error) as error:
        raise LetheError(
            f"{path.name} is no npz file without pickles, or a damaged one: {advice}"
        ) from error
