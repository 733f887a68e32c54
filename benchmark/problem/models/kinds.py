"""Kinds of models by name: one a file in this folder, or of an installed plug-in."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from benchmark import plugins
from benchmark.errors import LetheError, explain
from benchmark.problem.models.spec import ModelSpec


def _lacks(cls: type[ModelSpec]) -> str:
    """Refuse a plug-in that calls itself linear: closed forms go by the project's own layouts."""
    if cls.linear is ModelSpec.linear or cls.__module__.startswith(f"{__package__}."):
        return ""
    return "says whether it is linear, which only the project's kinds may: leave 'linear' out"


KIND = plugins.Kind[ModelSpec](
    word="model",
    wanted="a ModelSpec class",
    accepts=lambda cls: issubclass(cls, ModelSpec) and "kind" in cls.model_fields,
    packages=("benchmark.problem.models",),
    group="lethe.models",
    lacks=_lacks,
)
#: Every kind of model by name: the project's, then those of plug-ins.
discover = KIND.classes
#: The kind of a name; a LetheError if there is none.
find = KIND.find


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
