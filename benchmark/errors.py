"""Errors a user can mend: the command line shows each as one line and exits with code 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

_T = TypeVar("_T")


class LetheError(Exception):
    """Something the user can put right; its text says what to do.

    >>> print(unknown("method", "retrian", ["newton", "retrain"]))
    unknown method 'retrian': did you mean 'retrain'?
    """


class DidNotConverge(LetheError):
    """An iteration that a certificate relies on never reached its tolerance."""


class AssumptionBroken(LetheError):
    """A condition of a theorem does not hold, so no certificate can be given.

    The cell is recorded as refused, with this text as the reason.

    >>> def bound(residual: float, mu: float) -> float:
    ...     if mu <= 0:
    ...         raise AssumptionBroken("the objective is not strongly convex: add a ridge")
    ...     return residual / mu
    >>> bound(1e-4, 0.1)
    0.001
    >>> bound(1e-4, 0.0)
    Traceback (most recent call last):
    benchmark.errors.AssumptionBroken: the objective is not strongly convex: add a ridge
    """


def present(value: _T | None) -> _T:
    """The value, which is never None where this is called.

    Raises:
        AssertionError: for None, a defect of the caller.
    """
    assert value is not None, "a value that is always there is None"
    return value


def unknown(kind: str, name: str, known: Iterable[str]) -> LetheError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'?" if near else f"there is: {', '.join(names) or 'none'}"
    return LetheError(f"unknown {kind} '{name}': {hint}")


def explain(error: ValidationError, where: str, model: type[BaseModel] | None = None) -> LetheError:
    """The first complaint of a pydantic validation, as one line; unknown names come first.

    Args:
        error: what pydantic says.
        where: names what was being read, e.g. a file or a method.
        model: what was validated, whose fields an unknown name may be meant for.

    >>> class Training(BaseModel, extra="forbid"):
    ...     tolerance: float
    >>> try:
    ...     Training.model_validate({"tolerence": 1e-9})
    ... except ValidationError as error:
    ...     print(explain(error, "study.toml", Training))
    study.toml: tolerence: there is no such setting: did you mean 'tolerance'? (and 1 more)
    """
    found = error.errors()
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    path = [str(part) for part in first["loc"]]
    said = _WORDS.get(first["type"], first["msg"].removeprefix("Value error, "))
    said = said.format(**first.get("ctx", {})) if first["type"] in _WORDS else said
    if first["type"] == "extra_forbidden" and model is not None:
        near = get_close_matches(path[-1], _fields(model, path[:-1]), n=1, cutoff=0.6)
        said += f": did you mean '{near[0]}'?" if near else ""
    tail = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return LetheError(f"{where}: {'.'.join(path) + ': ' if path else ''}{said}{tail}")


#: What pydantic's complaints are called that say little to whoever writes a file, by their types.
_WORDS = {
    "extra_forbidden": "there is no such setting",
    "missing": "this setting is missing",
    "too_long": "{max_length} or fewer values are wanted, not {actual_length}",
    "too_short": "{min_length} or more values are wanted, not {actual_length}",
    "tuple_type": "a list is wanted",
    "list_type": "a list is wanted",
    "dict_type": "a table is wanted",
    "model_type": "a table is wanted",
    "model_attributes_type": "a table is wanted",
    "union_tag_invalid": "unknown {discriminator} '{tag}': it is one of {expected_tags}",
    "union_tag_not_found": "the setting {discriminator} is missing",
}


def _fields(model: type[BaseModel], path: list[str]) -> set[str]:
    """Names of the fields of all models that a path leads to, of every member of a union."""
    inside = {model}
    for part in path:
        fields = [one.model_fields[part] for one in inside if part in one.model_fields]
        below = {kind for field in fields for kind in _models(field.annotation)}
        inside = below or {one for one in inside if part in _tags(one)} or inside
    return {name for one in inside for name in one.model_fields}


def _tags(model: type[BaseModel]) -> set[Any]:
    """Values of a model's literal fields, by which a union may tell its members apart."""
    said = [field.annotation for field in model.model_fields.values()]
    return {tag for one in said if get_origin(one) is Literal for tag in get_args(one)}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
