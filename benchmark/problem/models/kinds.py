"""Kinds of models by name: one a file in this folder, or of an installed plug-in."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import ValidationError

from benchmark import plugins
from benchmark.errors import LetheError, explain, unknown
from benchmark.problem.models.spec import ModelSpec


def _lacks(cls: type[ModelSpec]) -> str:
    """Refuse a plug-in that calls itself linear: closed forms go by the project's own layouts."""
    if cls.linear is ModelSpec.linear or cls.__module__.startswith(f"{__package__}."):
        return ""
    return "says whether it is linear, which only the project's kinds may: leave 'linear' out"


KIND = plugins.Kind(
    word="model",
    wanted="a ModelSpec class",
    accepts=lambda cls: issubclass(cls, ModelSpec) and "kind" in cls.model_fields,
    packages=("benchmark.problem.models",),
    group="lethe.models",
    lacks=_lacks,
)


def discover() -> dict[str, plugins.Found]:
    """Every kind of model by name: the project's, then those of plug-ins.

    Raises:
        LetheError: if a file cannot be imported, a class lacks a declaration or two share a name.
    """
    return plugins.discover(KIND)


def find(name: str) -> type[ModelSpec]:
    """The kind called `name`; plug-ins are looked through for names that are not the project's.

    Raises:
        LetheError: if there is none.
    """
    if name in _own():
        return _own()[name]
    found = discover()
    if name not in found:
        raise unknown("model", name, found)
    return found[name].cls


def read(value: Any) -> Any:
    """The model that a table of settings says; for pydantic, which hears of anything wrong.

    A table with a `factory` is of the kind `factory` and need not say so.

    Raises:
        ValueError: for a table without a kind, or one that there is not.
    """
    if not isinstance(value, dict):
        return value
    kind = value.get("kind", "factory" if "factory" in value else None)
    if not isinstance(kind, str):
        raise ValueError(
            "set kind, e.g. model = { kind = 'softmax' }, or factory = 'my_package.nets:small_cnn' "
            "for a net of your own"
        )
    try:
        cls = find(kind)
    except LetheError as error:
        raise ValueError(str(error)) from error
    return cls.model_validate({**value, "kind": kind})


def spec_of(table: dict[str, Any], cls: type[ModelSpec] | None = None) -> ModelSpec:
    """The model that a table of settings says, for callers that are not pydantic.

    Args:
        table: as in an experiment's file.
        cls: of the model; what the table says if None.

    Raises:
        LetheError: for a kind that there is not, or settings that do not fit it.
    """
    try:
        return read(table) if cls is None else cls.model_validate(table)
    except ValidationError as error:
        raise explain(error, "model") from error
    except ValueError as error:
        raise LetheError(f"model: {error}") from error


@cache
def _own() -> dict[str, type[ModelSpec]]:
    """The project's kinds."""
    return {found.cls.name: found.cls for found in plugins.in_packages(KIND)}
