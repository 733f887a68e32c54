"""Parameters of methods and attacks: pydantic fields, and mistakes in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.errors import LetheError, explain, unknown

T = TypeVar("T", bound=BaseModel)


def build(cls: type[T], params: dict[str, Any], name: str, kind: str) -> T:
    """An instance of `cls` with `params` over the defaults.

    Args:
        cls: what is built.
        params: by field.
        name: of the method or attack.
        kind: what to call it in an error.

    Raises:
        LetheError: for an unknown parameter or a value of the wrong type or range.
    """
    for key in params:
        if key not in cls.model_fields:
            raise unknown(f"parameter of {name}", key, cls.model_fields)
    try:
        built = cls(**params)
    except ValidationError as error:
        raise explain(error, f"{kind} {name}") from error
    refuse_conversions(params, built, f"{kind} {name}")
    return built


def refuse_conversions(given: dict[str, Any], built: BaseModel, where: str) -> None:
    """Refuse a truth value or a text that was taken for a number, as `true` is for 1.

    Args:
        given: what `built` was made of.
        built: a pydantic value with every default.
        where: what was being read.

    Raises:
        LetheError: for the first such value, by its place.
    """
    for place, value, number in _pairs("", given, built.model_dump()):
        if isinstance(value, bool | str) and type(number) in (int, float):
            shown = str(value).lower() if isinstance(value, bool) else repr(value)
            raise LetheError(f"{where}: {place}: {shown} is not a number")


def _pairs(place: str, given: Any, built: Any) -> Iterator[tuple[str, Any, Any]]:
    """The leaves that two values share, each with its place."""
    if isinstance(given, dict) and isinstance(built, dict):
        for key in given:
            if key in built:
                yield from _pairs(f"{place}.{key}" if place else str(key), given[key], built[key])
    elif isinstance(given, list | tuple) and isinstance(built, list | tuple):
        for number, (one, other) in enumerate(zip(given, built, strict=False)):
            yield from _pairs(f"{place}.{number}", one, other)
    else:
        yield place, given, built
