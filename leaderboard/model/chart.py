"""A plot that knows its data: it is drawn when they have changed, and not to be compared."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from typing import Any

from pydantic import BaseModel

_BOARD = "leaderboard"
#: Fields of a record that no plot shows: where and when it was made.
_UNSEEN = {"environment", "finished"}
_MARK = re.compile(rb"<!-- drawn from ([0-9a-f]{64}) -->\n\Z")


@dataclass(frozen=True)
class Chart:
    """One plot.

    Attributes:
        path: where it lies, relative to the board's folder.
        caption: what it shows, in words.
        draw: a function of a module of this package, from `data` to an SVG that is the same bytes
            for the same data.
        data: its arguments.
    """

    path: str
    caption: str
    draw: Callable[..., bytes]
    data: tuple[Any, ...]

    @cached_property
    def digest(self) -> str:
        """sha256 of the data and of the board's code that draws them, matplotlib's left out."""
        found = hashlib.sha256()
        for module in _drawing(self.draw.__module__):
            found.update(inspect.getsource(sys.modules[module]).encode())
        found.update(json.dumps(_plain(self.data)).encode())
        return found.hexdigest()

    @cached_property
    def svg(self) -> bytes:
        """The file, which ends with the digest."""
        return self.draw(*self.data) + f"<!-- drawn from {self.digest} -->\n".encode()

    def is_in(self, content: bytes | None) -> bool:
        """Whether a file's content was drawn from the same data."""
        mark = _MARK.search(content or b"")
        return mark is not None and mark[1].decode() == self.digest


def is_drawn(content: bytes) -> bool:
    """Whether a file's content is a plot of the board's."""
    return _MARK.search(content) is not None


@cache
def _drawing(module: str) -> tuple[str, ...]:
    """Names of the board's modules that one imports, directly or not, itself included."""
    found, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name in found or not name.startswith(f"{_BOARD}.") or name not in sys.modules:
            continue
        found.add(name)
        for node in ast.walk(ast.parse(inspect.getsource(sys.modules[name]))):
            if isinstance(node, ast.ImportFrom) and node.module:
                todo += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(sorted(found))


def _plain(value: Any) -> Any:
    """The value as JSON, the same for equal values.

    Raises:
        TypeError: for a kind of value whose content is not known.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude=_UNSEEN & type(value).model_fields.keys())
    if is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return [[_plain(key), _plain(found)] for key, found in value.items()]
    if isinstance(value, AbstractSet):
        return sorted(map(_plain, value), key=repr)
    if isinstance(value, Sequence):
        return [_plain(found) for found in value]
    raise TypeError(f"no plot is drawn from a {type(value).__name__}")
