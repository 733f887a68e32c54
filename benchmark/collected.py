"""JSON files gathered in one file: `<folder>.jsonl` holds those below `<folder>`, a line each.

A run writes one file a cell, so that a stop loses nothing. What is to be kept and reviewed is
collected: a line is `{"path": "newton/seed-0.json", "content": {...}}`. A file that is there as
well stands in place of its line, so that a new run is seen at once, and collected by the next call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from benchmark import names
from benchmark.errors import LetheError
from benchmark.files import as_bytes, read_text, replace_file

SUFFIX = ".jsonl"
#: Folders between a file and the one that it is collected with.
DEEPEST = 4
_LINE = re.compile(r'\{"path": ("(?:[^"\\]|\\.)*"), "content": (\{.*\})\}')


def exists(path: Path) -> bool:
    """Whether there is such a file, or a line for it."""
    return path.exists() or find(path) is not None


def find(path: Path) -> tuple[str, str] | None:
    """The line for a file that is not there, as text, and where it stands; None if there is none.

    Raises:
        LetheError: if the file of lines cannot be read or one of them is damaged.
    """
    for folder in list(path.parents)[:DEEPEST]:
        lines = folder.parent / (folder.name + SUFFIX)
        if lines.is_file():
            found = read(lines).get(path.relative_to(folder).as_posix())
            if found is not None:
                number, text = found
                return text, f"{lines}:{number}"
    return None


def paths(folder: Path, pattern: str) -> list[Path]:
    """The files below `folder` that a glob pattern of as many parts fits, there or in a line."""
    there = set(folder.glob(pattern))
    for lines in folder.glob(pattern.split("/")[0] + SUFFIX):
        below = lines.with_suffix("")
        there.update(below / name for name in read(lines))
    return sorted(path for path in there if _fits(path.relative_to(folder), pattern))


def read(lines: Path) -> dict[str, tuple[int, str]]:
    """The number and the text of each line, by the path of its file below the folder.

    Raises:
        LetheError: if the file cannot be read, or a line is damaged or comes twice.
    """
    try:
        status = lines.stat()
        return _read(lines, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise LetheError(f"{lines} cannot be read ({error.strerror})") from error


@lru_cache(maxsize=64)  # by time and size as well: a file that has changed is another
def _read(lines: Path, modified: int, size: int) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    text = read_text(lines, "file of records")
    # by line feeds alone: a text within a record may hold other ends of a line
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        fitting = _LINE.fullmatch(line)
        if fitting is None:
            raise LetheError(
                f"{lines}:{number} is damaged: it is no line that `lethe collect` wrote; delete it "
                "and run again"
            )
        path = json.loads(fitting[1])
        if path in found:
            raise LetheError(f"{lines}:{number} is there twice, see line {found[path][0]}")
        found[path] = (number, fitting[2])
    return found


def _fits(path: Path, pattern: str) -> bool:
    parts = pattern.split("/")
    return len(parts) == len(path.parts) and all(map(fnmatchcase, path.parts, parts))


def collect(folder: Path) -> Iterator[tuple[Path, int]]:
    """Gather every folder of records in `folder` into one file beside it, and remove the files.

    What is reserved in a results folder, such as a board or W&B's own files, stays as it is.

    Yields:
        each file of lines, and how many it took up, where there were any.

    Raises:
        LetheError: for a damaged file, or if one cannot be written. Nothing is lost.
    """
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        if names.complaint(below.name.removesuffix(names.STUDY)):
            continue
        files = [p for p in sorted(below.rglob("*.json")) if _is_visible(p.relative_to(folder))]
        if files:
            yield _gathered(below, files), len(files)


def _is_visible(path: Path) -> bool:
    """Whether no part of the path is hidden, as stored models and unfinished files are."""
    return not any(part.startswith(".") for part in path.parts)


def _gathered(below: Path, files: list[Path]) -> Path:
    lines = below.with_name(below.name + SUFFIX)
    kept = {path: text for path, (_, text) in read(lines).items()} if lines.exists() else {}
    taken = {path: path.read_bytes() for path in files}
    kept |= {path.relative_to(below).as_posix(): _compact(path, taken[path]) for path in files}
    text = "".join(f'{{"path": {json.dumps(p)}, "content": {kept[p]}}}\n' for p in _ordered(kept))
    replace_file(lines, as_bytes(text))
    for path, content in taken.items():
        if path.read_bytes() == content:  # else a run has written it anew meanwhile
            path.unlink()
    _remove_empty(below)
    return lines


def _compact(path: Path, content: bytes) -> str:
    """The JSON object in one line.

    Raises:
        LetheError: if it is none.
    """
    try:
        found = json.loads(content)
    except ValueError as error:
        raise LetheError(f"{path} is damaged ({error}): delete it and run again") from error
    if not isinstance(found, dict):
        raise LetheError(f"{path} is no record: move it elsewhere")
    return json.dumps(found, ensure_ascii=False)


def _ordered(found: dict[str, str]) -> list[str]:
    """Files on top first, such as the plan; then by path, numbers by their value."""
    return sorted(found, key=lambda name: ("/" in name, in_order(name)))


def in_order(name: str) -> list[tuple[bool, int, str]]:
    """A key by which numbers in names come by their value."""
    pieces = re.split(r"(\d+)", name)
    return [(p.isdigit(), int(p) if p.isdigit() else 0, p) for p in pieces]


def _remove_empty(folder: Path) -> None:
    for path in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()
    if not any(folder.iterdir()):
        folder.rmdir()
