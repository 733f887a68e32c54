"""Where files lie, and how they are written so that none is ever half there."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from benchmark.errors import LetheError


class DiskError(LetheError):
    """A file could not be written."""


def cache_folder() -> Path:
    """`$LETHE_CACHE`, else `lethe` in the user's cache folder; safe to delete at any time."""
    if value := os.environ.get("LETHE_CACHE"):
        return Path(value)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lethe"


def replace_file(path: Path, content: bytes) -> None:
    """Write `content` to a temporary file beside `path`, flush it to disk and rename it.

    Raises:
        DiskError: if the folder cannot be written or the disk is full; `path` is then as before.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's own 0600 would hide results from others
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise DiskError(
                f"the disk is full: {path} could not be written; make room and run the same "
                "command again, what is finished is kept"
            ) from error
        raise DiskError(f"{path} cannot be written ({error.strerror}); check the folder") from error
