"""Changes to a file's settings: tables within tables, and dotted paths into them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from benchmark.errors import LetheError


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with `changes`, tables within tables too; anything else is replaced."""
    result = dict(settings)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def at(setting: str, value: Any) -> dict[str, Any]:
    """The tables in which the setting of that dotted path has a value, and nothing else is.

    Args:
        setting: as TOML writes a key, e.g. `problem.objective.ridge`.
        value: anything that a file could say; None where that is a setting's default.

    Raises:
        LetheError: if it is no path.
    """
    try:
        found = {} if "=" in setting else tomllib.loads(f"{setting} = 0")
    except (ValueError, RecursionError):
        found = {}
    if not found:
        raise LetheError(f"{setting!r} is no path of a setting, as problem.objective.ridge is")
    return _filled(found, value)


def _filled(tables: dict[str, Any], value: Any) -> dict[str, Any]:
    return {
        key: _filled(inner, value) if isinstance(inner, dict) else value
        for key, inner in tables.items()
    }
