"""Where files lie, how they are written so that none is ever half there, and how text is read."""

from __future__ import annotations

import codecs
import errno
import hashlib
import math
import os
import re
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from benchmark.errors import LetheError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # not on Windows, where what a killed run leaves behind stays
    fcntl = None

#: What `tempfile` makes of the name of a file of ours.
_TEMPORARY = re.compile(r"\..+\.(jsonl?|npy|npz|pt|md|csv|html|svg|board|study)\.[a-z0-9_]{8}")
#: Marks of other encodings at the start of a text, the longer before what they begin with.
_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class DiskError(LetheError):
    """A file could not be written."""


def cache_folder() -> Path:
    """`$LETHE_CACHE`, else `lethe` in the user's cache folder; safe to delete at any time."""
    if value := os.environ.get("LETHE_CACHE"):
        return Path(value)
    if value := os.environ.get("XDG_CACHE_HOME"):
        return Path(value) / "lethe"
    try:
        return Path.home() / ".cache" / "lethe"
    except RuntimeError as error:
        raise LetheError("HOME is not set, so there is no cache folder: set LETHE_CACHE") from error


def read_text(path: Path, what: str) -> str:
    """The text of a file, which is UTF-8 wherever it is read, with or without a mark in front.

    Args:
        path: of the file.
        what: what to call it in an error, e.g. `record`.

    Raises:
        LetheError: if it cannot be read or has another encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LetheError(f"{what} {path} cannot be read ({error.strerror})") from error
    return text_in(content, f"{what} {path}")


def text_in(content: bytes, what: str) -> str:
    """The text that bytes are in UTF-8, with or without a mark in front.

    Args:
        content: of a file.
        what: what to call it in an error.

    Raises:
        LetheError: if it has another encoding.
    """
    other = next((name for mark, name in _OTHER_MARKS.items() if content.startswith(mark)), None)
    try:
        if other is None:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        other = f"another encoding, perhaps Latin-1 (byte {content[error.start]:#x} in line {line})"
    raise LetheError(f"{what} is not UTF-8 but {other}: save it as UTF-8")


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """What a TOML file says; see `read_text`.

    Raises:
        LetheError: if it cannot be read or is no TOML, whose whole numbers have 64 bits, or says
            `nan` or `inf`.
    """
    text = read_text(path, what)
    try:
        content = tomllib.loads(text)
        _check_numbers(content, f"{what} {path}")
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise LetheError(f"{what} {path} is not valid TOML: {reason}") from error
    return content


def _check_numbers(value: Any, file: str, key: str = "") -> None:
    """Refuse `nan` and `inf`, which TOML has, and whole numbers beyond 64 bits, which it lacks."""
    if isinstance(value, dict):
        for name, part in value.items():
            _check_numbers(part, file, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for part in value:
            _check_numbers(part, file, key)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{key} is no whole number of 64 bits: write a smaller one")
    elif isinstance(value, float) and not math.isfinite(value):
        raise LetheError(f"{file}: {key} is {value}: write a finite number")


def as_bytes(text: str) -> bytes:
    """Text as it is written everywhere: UTF-8, `?` for half a character (a lone surrogate)."""
    return text.encode("utf-8", errors="replace")


def sweep(folder: Path) -> None:
    """Remove, in `folder` and below, the temporary files of writers that were killed."""
    for parent, _, names in os.walk(folder):
        for name in filter(_TEMPORARY.fullmatch, names):
            _remove_if_abandoned(Path(parent) / name)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file beside `path`; once written it is flushed to disk and takes its place.

    On an error or an interrupt `path` is as before, and nothing is left behind.

    Raises:
        OSError: if the folder cannot be written, the disk is full, or the name has a NUL in it.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "its name has a NUL in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_beside(path) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
        file.close()
        temporary = Path(file.name)
        temporary.chmod(0o644)  # whatever the umask: others may read results
        temporary.replace(path)


@contextmanager
def _temporary_beside(path: Path) -> Iterator[BinaryIO]:
    """A new file; locked within, as a sign to `sweep` that somebody writes it.

    At the end it is removed, unless it was renamed. Its name is known before it is there, so that
    an interrupt at any moment leaves nothing.
    """
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:
                if fcntl is None:
                    yield file
                    return
                with open(os.dup(file.fileno()), "rb") as held:  # noqa: PTH123
                    with suppress(OSError):  # a file system without locks
                        fcntl.flock(held, fcntl.LOCK_EX)
                    if os.fstat(held.fileno()).st_nlink:  # else a sweep came first
                        yield file
                        return
        finally:
            temporary.unlink(missing_ok=True)


def _remove_if_abandoned(temporary: Path) -> None:
    """Remove it unless somebody holds it."""
    with suppress(OSError), temporary.open("rb") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """A block that one process at a time is in, of all that lock the same file or folder.

    Also on several machines, where their file system does so. Without locks, as on Windows, nobody
    waits.

    Raises:
        DiskError: if the file cannot be made.
    """
    if fcntl is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        raise DiskError(f"{path} cannot be written ({error.strerror}); check the folder") from error
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


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


def seal(payload: bytes) -> bytes:
    """`payload` behind its checksum, for a file that is made again when a bit of it is wrong."""
    return hashlib.sha256(payload).digest() + payload


def unsealed(path: Path) -> bytes | None:
    """What was sealed in a file; None if it is missing or damaged, or its name is none."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError):
        return None
    digest, payload = content[:32], content[32:]
    return payload if hashlib.sha256(payload).digest() == digest else None
