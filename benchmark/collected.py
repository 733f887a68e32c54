"""JSON files gathered in few: the `.jsonl` files of a folder hold those below it, a line each.

A run writes one file a cell, so that a stop loses nothing. What is to be kept and reviewed is
collected: a line is `{"path": "mnist-hog/newton/seed-0.json", "content": {...}}`. A file that is
there as well stands in place of its line, so that a new run is seen at once, and collected by the
next call.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from benchmark import names
from benchmark.errors import LetheError
from benchmark.files import as_bytes, locked, read_text, replace_file

SUFFIX = ".jsonl"
#: Folders above a file in which its line may stand.
HIGHEST = 4
_LINE = re.compile(r'\{"path": ("(?:[^"\\]|\\.)*"), "content": (\{.*\})\}')

_BEGIN = b'{"path": "'
#: Where a run writes plans, what it found of a row on a seed, and the records of other studies.
_PLACES = ("*/plan.json", "*/*/*-[0-9]*.json", f"*{names.STUDY}/**/*.json")

#: Where a line stands, and the JSON in it in UTF-8. As text, one character beyond Latin-1 doubles
#: its memory.
Line = tuple[Path, int, bytes]


def exists(path: Path) -> bool:
    """Whether there is such a file, or a line for it."""
    try:
        return path.exists() or find(path) is not None
    except ValueError:  # a NUL in its name
        return False


def find(path: Path) -> tuple[str, str] | None:
    """The line for a file that is not there, as text, and where it stands; None if there is none.

    Raises:
        LetheError: if a file of lines cannot be read or one of them is damaged.
    """
    for folder in list(path.parents)[1 : 1 + HIGHEST]:
        name = "/".join(path.parts[len(folder.parts) :])
        found = _as_before(folder, name) or below(folder).get(name)
        if found is not None:
            lines, number, content = found
            return content.decode(), f"{lines}:{number}"
    return None


def paths(folder: Path, pattern: str) -> list[Path]:
    """The files below `folder` that a glob pattern of as many parts fits, there or in a line."""
    first, *rest = pattern.split("/")
    lines = (
        f"{top}/{name}"
        for top, within in _by_top(folder).items()
        if fnmatchcase(top, first)
        for name in within
        if _fits(name, rest)
    )
    return sorted({*folder.glob(pattern), *map(folder.joinpath, lines)}, key=attrgetter("parts"))


def below(folder: Path) -> dict[str, Line]:
    """Every line of the folder's files of lines, by the path that it stands for in the folder.

    Raises:
        LetheError: if a file cannot be read, or a line is damaged or comes twice.
    """
    states = _states(folder)
    if not states:
        return {}
    found = _below(folder, states)
    _LATEST[folder] = frozenset(states), found
    return found


def _as_before(folder: Path, name: str) -> Line | None:
    """The line that stood there at the last look, if its file is as it was; no other is read."""
    states, lines = _LATEST.get(folder, (frozenset(), {}))
    found = lines.get(name)
    try:
        same = found is not None and _state(found[0].name, found[0].stat()) in states
    except OSError:  # gone
        same = False
    return found if same else None


#: Name, time and size of a file of lines.
_State = tuple[str, int, int]
#: Those of each in a folder.
_States = tuple[_State, ...]
#: The states of a folder's files at the last look, and its lines.
_LATEST: dict[Path, tuple[frozenset[_State], dict[str, Line]]] = {}


def _state(name: str, status: os.stat_result) -> _State:
    return name, status.st_mtime_ns, status.st_size


def _states(folder: Path) -> _States:
    """States of the folder's files of lines, by name; none where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            found = [one for one in entries if one.name.endswith(SUFFIX) and one.is_file()]
        states = [_state(one.name, one.stat()) for one in found]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise LetheError(f"{folder} cannot be read ({error.strerror})") from error
    return tuple(sorted(states))


@lru_cache(maxsize=16)  # by time and size as well: files that have changed are others
def _below(folder: Path, states: _States) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for name, modified, size in states:
        if not _is_ours(folder / name):
            continue
        for path, (number, content) in _read(folder / name, modified, size).items():
            lines, first, other = found.setdefault(path, (folder / name, number, content))
            if other != content:
                raise LetheError(
                    f"{folder / name}:{number} holds the record of {lines}:{first}: delete one"
                )
    return found


def _by_top(folder: Path) -> dict[str, list[str]]:
    """What follows the first part of the paths that lines stand for, by that part."""
    states = _states(folder)
    return _grouped(folder, states) if states else {}


@lru_cache(maxsize=16)
def _grouped(folder: Path, states: _States) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in _below(folder, states):
        top, _, rest = path.partition("/")
        found.setdefault(top, []).append(rest)
    return found


def _is_ours(lines: Path) -> bool:
    """Whether the file begins as one of ours: others may lie in a folder above the records."""
    if not lines.is_file():
        return False
    with lines.open("rb") as file:
        return file.read(len(_BEGIN)) == _BEGIN


def read(lines: Path) -> dict[str, tuple[int, str]]:
    """The number and the text of each line, by the path of its file beside `lines`.

    Raises:
        LetheError: if the file cannot be read, or a line is damaged or comes twice.
    """
    try:
        status = lines.stat()
    except OSError as error:
        raise LetheError(f"{lines} cannot be read ({error.strerror})") from error
    found = _read(lines, status.st_mtime_ns, status.st_size)
    return {path: (number, content.decode()) for path, (number, content) in found.items()}


@lru_cache(maxsize=256)
def _read(lines: Path, modified: int, size: int) -> dict[str, tuple[int, bytes]]:
    found: dict[str, tuple[int, bytes]] = {}
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
            raise LetheError(
                f"{lines}:{number} holds the record of line {found[path][0]}: delete one"
            )
        found[path] = (number, fitting[2].encode())
    return found


def _fits(name: str, pattern: list[str]) -> bool:
    parts = name.split("/")
    return len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))


def collect(folder: Path, together: Mapping[str, str] | None = None) -> list[tuple[Path, int]]:
    """Gather the files below `folder` into files of lines in it, and remove them.

    What is reserved in a results folder, such as a board or W&B's own files, stays as it is.

    Args:
        folder: of folders of records.
        together: the name of the file for a folder of records; its own where none is given.

    Returns:
        each file of lines that is new or has changed, and how many lines it has got anew.

    Raises:
        LetheError: for a damaged file, or if one cannot be written. Nothing is lost.
    """
    with locked(folder):
        return _collect(folder, together or {})


def _collect(folder: Path, together: Mapping[str, str]) -> list[tuple[Path, int]]:
    files = {path.relative_to(folder).as_posix(): path for path in _loose(folder)}
    taken = {name: path.read_bytes() for name, path in files.items()}
    fresh = {name: _compact(files[name], content) for name, content in taken.items()}
    old = {name: content.decode() for name, (_, _, content) in below(folder).items()}
    # first the old lines to where they belong: a stop leaves the same line twice at most
    changed = _arranged(folder, old, together)
    changed |= _arranged(folder, old | fresh, together)
    for name, path in files.items():
        if path.read_bytes() == taken[name]:  # else a run has written it anew meanwhile
            path.unlink()
    for group in {name.split("/")[0] for name in files}:
        _remove_empty(folder / group)
    return [(lines, len(held & fresh.keys())) for lines, held in sorted(changed.items())]


def _arranged(
    folder: Path, texts: dict[str, str], together: Mapping[str, str]
) -> dict[Path, set[str]]:
    """Write files of lines with these texts and remove the others: what changed, and its names."""
    wanted: dict[Path, dict[str, str]] = {}
    for name, text in texts.items():
        group = name.split("/")[0]
        wanted.setdefault(folder / f"{together.get(group, group)}{SUFFIX}", {})[name] = text
    # one whose every line stands in another as well holds nothing that `below` tells of
    others = {lines for lines in folder.glob(f"*{SUFFIX}") if _is_ours(lines)} - set(wanted)
    changed = {lines: set(held) for lines, held in wanted.items() if _written(lines, held)}
    for lines in others:
        lines.unlink()
    return changed


def _loose(folder: Path) -> Iterator[Path]:
    """The files to collect: those that lie where a run writes one, whatever else is there."""
    for path in (found for pattern in _PLACES for found in folder.glob(pattern)):
        name = path.relative_to(folder)
        if _is_visible(name) and not names.complaint(name.parts[0].removesuffix(names.STUDY)):
            yield path


def _written(lines: Path, held: dict[str, str]) -> bool:
    """Whether the file was to be written, as it held something else."""
    text = "".join(f'{{"path": {json.dumps(p)}, "content": {held[p]}}}\n' for p in _ordered(held))
    content = as_bytes(text)
    if lines.exists() and lines.read_bytes() == content:
        return False
    replace_file(lines, content)
    return True


def _is_visible(path: Path) -> bool:
    """Whether no part of the path is hidden, as stored models and unfinished files are."""
    return not any(part.startswith(".") for part in path.parts)


def _compact(path: Path, content: bytes) -> str:
    """The JSON object in one line.

    Raises:
        LetheError: if it is none.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LetheError(f"{path} is damaged ({error}): delete it and run again") from error
    if not isinstance(found, dict):
        raise LetheError(f"{path} is no record: move it elsewhere")
    return json.dumps(found, ensure_ascii=False)


def _ordered(found: dict[str, str]) -> list[str]:
    """By folder; of each the files on top first, such as the plan; numbers by their value."""
    return sorted(found, key=_place)


def _place(name: str) -> tuple[list[tuple[bool, int, str]], bool, list[tuple[bool, int, str]]]:
    group, _, rest = name.partition("/")
    return in_order(group), "/" in rest, in_order(rest)


def in_order(name: str) -> list[tuple[bool, int, str]]:
    """A key by which numbers in names come by their value."""
    pieces = re.split(r"(\d+)", name)
    return [(p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces]


def _remove_empty(folder: Path) -> None:
    inside = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    for path in (*inside, folder):
        with suppress(OSError):  # something is in it
            path.rmdir()
