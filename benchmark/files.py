"""Where files lie, and how they are written so that none is ever half there."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from benchmark.errors import LetheError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class DiskError(LetheError):
    """A file could not be written."""


def cache_folder() -> Path:
    """`$LETHE_CACHE`, else `lethe` in the user's cache folder; safe to delete at any time."""
    if value := os.environ.get("LETHE_CACHE"):
        return Path(value)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lethe"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file beside `path`; once written it is flushed to disk and takes its place.

    On an error or an interrupt `path` is as before, and nothing is left behind.

    Raises:
        OSError: if the folder cannot be written or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp's own 0600 would hide results from others
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A block that one process at a time is in, of all that lock the same file.

    Also on several machines, where their file system does so. Without locks, as on Windows, nobody
    waits.

    Raises:
        DiskError: if the file cannot be made or locked.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("wb")
    except OSError as error:
        raise DiskError(f"{path} cannot be written ({error.strerror}); check the folder") from error
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            raise DiskError(f"{path} cannot be locked ({error.strerror})") from error
        yield


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all; see `replacing`.

    Raises:
        DiskError: if the folder cannot be written or the disk is full; `path` is then as before.
    """
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskError(
                f"the disk is full: {path} could not be written; make room and run the same "
                "command again, what is finished is kept"
            ) from error
        raise DiskError(f"{path} cannot be written ({error.strerror}); check the folder") from error
