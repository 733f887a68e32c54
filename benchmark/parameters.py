"""Parameters of methods and attacks: pydantic fields, and mistakes in one line."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.errors import explain, unknown

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
        return cls(**params)
    except ValidationError as error:
        raise explain(error, f"{kind} {name}") from error
