"""Reading and writing what the leaderboard is made from: one pydantic value a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from benchmark import collected
from benchmark.errors import LetheError, explain
from benchmark.files import replace_file

T = TypeVar("T")
#: What to do with a file that is damaged or of an older version.
REMAKE = "delete it and run again"


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
    if not path.exists() and (line := collected.find(path)) is not None:
        text, where = line
        try:
            return json.loads(text)
        except ValueError as error:
            raise LetheError(f"{what} {where} is damaged ({error}): {cure}") from error
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LetheError(f"{what} {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise LetheError(f"{what} {path} is damaged ({error}): {cure}") from error


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
        LetheError: if it does not fit the schema.
    """
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version != schema:
        cure = "update Lethe" if version > schema else cure
        raise LetheError(f"{what} {path} has schema {version}; this version reads {schema}: {cure}")
    try:
        return parse(content)
    except ValidationError as error:
        raise explain(error, f"{what} {path} does not fit the schema") from error


def write(path: Path, content: BaseModel) -> None:
    """Write atomically, keys in a fixed order, so that equal values are equal files."""
    text = json.dumps(content.model_dump(mode="json"), indent=1, ensure_ascii=False)
    replace_file(path, (text + "\n").encode())


def current(read_it: Callable[[], K | None], key: str) -> K | None:
    """What is there, if it is of the same inputs; what is missing or damaged is made again."""
    try:
        found = read_it()
    except LetheError:
        return None
    return found if found is not None and found.key == key else None
