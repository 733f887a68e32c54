"""Reading and writing what the leaderboard is made from: one pydantic value a JSON file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from benchmark import collected
from benchmark.errors import LetheError, explain
from benchmark.files import as_bytes, read_text, replace_file

T = TypeVar("T")
#: What to do with a file that is damaged or of an older version.
REMAKE = "delete it and run again"
#: Name of the sha256 of all the rest of a file, as it was written.
DIGEST = "digest"


class Sound(LetheError):
    """A file that this version must not use and nobody damaged: it is never replaced."""


class Keyed(Protocol):
    """Something with the hash of everything that determines it."""

    @property
    def key(self) -> str: ...


K = TypeVar("K", bound=Keyed)


def read(path: Path, what: str, schema: int, parse: Callable[[Any], T]) -> T:
    """The content of a file.

    Args:
        path: of the file.
        what: what to call it in an error, e.g. `record`.
        schema: that this version reads; a file that names no `schema_version` is left to `parse`.
        parse: from JSON to the value, by pydantic.

    Raises:
        LetheError: if it cannot be read, is no JSON or does not fit the schema.
    """
    return fitted(load(path, what), path, what, schema, parse)


def load(path: Path, what: str, cure: str = REMAKE) -> Any:
    """The JSON in a file, there or collected; `cure` says what to do if it is damaged.

    Raises:
        LetheError: if it cannot be read or is no JSON.
    """
    text, where = _text(path, what)
    return parsed(text, f"{what} {where}", cure)


def parsed(text: str, what: str, cure: str = REMAKE) -> Any:
    """The JSON in a text; `what` is where it stands, and `cure` what to do if it is damaged.

    Raises:
        LetheError: if it is no JSON.
    """
    try:
        return from_json(text)  # texts that come again and again, as names of metrics do, are one
    except ValueError as error:
        raise LetheError(f"{what} is damaged ({error}): {cure}") from error


def _text(path: Path, what: str) -> tuple[str, str | Path]:
    """What is in the file, or in its line, and where that is."""
    if not path.exists() and (line := collected.find(path)) is not None:
        return line
    return read_text(path, what), path


def fitted(
    content: Any,
    path: Path,
    what: str,
    schema: int,
    parse: Callable[[Any], T],
    cure: str = REMAKE,
) -> T:
    """What `load` found in a file as a value; see `read`. `cure` is for an older schema.

    Raises:
        LetheError: if it does not fit the schema; `Sound` if that is of a newer version, or the
            file is not as it was written.
    """
    _refuse_newer(content, path, what, schema)
    if _version(content) not in (None, schema):
        raise LetheError(
            f"{what} {path} has schema {_version(content)}; this version reads {schema}: {cure}"
        )
    written = None
    if isinstance(content, dict):
        content = dict(content)
        written = content.pop(DIGEST, None)
    try:
        value = parse(content)
    except ValidationError as error:
        raise explain(error, f"{what} {path} does not fit the schema") from error
    except RecursionError as error:
        raise LetheError(f"{what} {path} is damaged (nested too deeply): {cure}") from error
    if written is not None and written != digest(content):
        raise Sound(f"{what} {path} was edited by hand: put it back as it was, or {REMAKE}")
    return value


def write(path: Path, content: BaseModel) -> None:
    """Write atomically, keys in a fixed order, so that equal values are equal files.

    A digest stands at the end, so that an edit by hand is noticed when the file is read.

    Raises:
        LetheError: if it cannot be written, or what is there is of a newer version.
    """
    refuse_newer(path, getattr(content, "schema_version", 0))
    found = json.loads(as_bytes(_text_of(content.model_dump(mode="json"))))
    replace_file(path, as_bytes(_text_of(found | {DIGEST: digest(found)}) + "\n"))


def digest(content: dict[str, Any]) -> str:
    """sha256, in hex, of the values of a file, whatever their order and layout."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _text_of(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)


def refuse_newer(path: Path, schema: int) -> None:
    """Leave alone what a newer version wrote.

    Raises:
        Sound: if the file at `path` is of a newer schema.
    """
    try:
        content = load(path, "record")
    except LetheError:  # missing or damaged
        return
    _refuse_newer(content, path, "record", schema)


def _refuse_newer(content: Any, path: Path, what: str, schema: int) -> None:
    if (version := _version(content)) is not None and version > schema:
        raise Sound(
            f"{what} {path} has schema {version}; this version reads {schema}: update Lethe"
        )


def _version(content: Any) -> int | None:
    """The schema that a file names; None if it names none."""
    version = content.get("schema_version") if isinstance(content, dict) else None
    return version if isinstance(version, int) else None


def current(read_it: Callable[[], K | None], key: str) -> K | None:
    """What is there, if it is of the same inputs; what is missing or damaged is made again.

    Raises:
        Sound: for what must not be made again in its place.
    """
    try:
        found = read_it()
    except Sound:
        raise
    except LetheError:
        return None
    return found if found is not None and found.key == key else None
