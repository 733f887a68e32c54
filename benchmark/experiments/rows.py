"""The rows of an experiment: `[rows.<label>]`, a method with a label of its own."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchmark import names
from benchmark.errors import LetheError, explain, unknown
from benchmark.experiments.tables import merged

#: Of an experiment, a group or a row: it becomes a folder of the results, or a word of a command.
Name = Annotated[str, AfterValidator(names.checked)]

#: What a row takes from the one that it is like.
_INHERITED = ("method", "params", "search")


class Row(BaseModel):
    """One row of an experiment: a method, a label of its own and parameters off their default.

    Attributes:
        method: its name; in a file the label where it is left out.
        label: the row's name within the experiment.
        title: for people; the method's own if None.
        search: replaces the search space that the method declares, where the experiment tunes.
        like: the label of the row whose method and parameters it takes where it sets none itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    label: Name = Field(pattern=names.LABEL)
    title: str | None = None
    params: dict[str, Any] = {}
    search: dict[str, tuple[Any, ...]] = {}
    like: str | None = None


def rows_of(tables: Any, only: Any, where: str) -> tuple[Row, ...]:
    """The rows that a file's tables set up, in the file's order.

    Args:
        tables: the content of `rows`, by label.
        only: labels of those that take part; all if None.
        where: the file, for errors.

    Raises:
        LetheError: for anything but tables by label, a row that is not valid, or a label that
            there is no row of.
    """
    if not isinstance(tables, dict) or not all(isinstance(row, dict) for row in tables.values()):
        raise LetheError(f"{where}: a row is a table [rows.<label>]")
    if only is not None and not (isinstance(only, list) and all(isinstance(x, str) for x in only)):
        raise LetheError(f"{where}: only_rows is a list of labels")
    for label in only or ():
        if label not in tables:
            raise unknown(f"row in only_rows of {where}:", label, tables)
    return tuple(_row(label, tables, where) for label in tables if only is None or label in only)


def methods_of(tables: dict[str, dict[str, Any]], where: str) -> list[str]:
    """The method of every row, also of those that take no part; arguments as of `rows_of`.

    Raises:
        LetheError: for a row that is like one that it cannot be like.
    """
    places = {label: f"{where}: row {names.shown(label)}" for label in tables}
    return [
        str(_complete(label, tables, place).get("method", label)) for label, place in places.items()
    ]


def _row(label: str, tables: dict[str, dict[str, Any]], where: str) -> Row:
    place = f"{where}: row {names.shown(label)}"
    if "label" in tables[label]:
        raise LetheError(f"{place}: its label is the table's name: leave 'label' out")
    try:
        return Row.model_validate(
            {"method": label, **_complete(label, tables, place), "label": label}
        )
    except ValidationError as error:
        raise explain(error, place, Row) from error


def _complete(label: str, tables: dict[str, dict[str, Any]], place: str) -> dict[str, Any]:
    """A row's table with what it takes from the row that it is like."""
    table = tables[label]
    if "like" not in table:
        return table
    name = table["like"]
    if not isinstance(name, str):
        raise LetheError(f"{place}: like is the label of one other row")
    if name not in tables:
        raise unknown(f"row that {place} is like:", name, tables)
    if name == label:
        raise LetheError(f"{place}: it is like itself: name another row, or leave 'like' out")
    other = tables[name]
    if "like" in other:
        raise LetheError(f"{place}: {name} is itself like another row: name that one")
    taken = {key: other[key] for key in _INHERITED if key in other}
    return merged({"method": name} | taken, table)
