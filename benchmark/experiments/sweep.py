"""A sweep: an experiment with one setting, or a few together, at some values.

    [sweep.epochs]
    setting = "rows.retrain-briefly.params.epochs"
    values = [1, 2, 5]
    title = "A budget of {value}"
    each.rows.noisy-fine-tune.params.epochs = [2, 3, 6]

`setting` names what takes the value, a path or several; a list under `each` has an entry for every
value; all else is changed at every value alike, as in a profile. A point is called after the axis
and the value, `epochs-1`, or after the value alone where that is a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmark.errors import LetheError
from benchmark.experiments.tables import at, merged

#: Stands for the value where people read it.
_VALUE = "{value}"
_WORDS = ("name", "title", "description")


@dataclass(frozen=True)
class Point:
    """One value of a sweep.

    Attributes:
        axis: the sweep's name.
        value: on that axis.
        changes: to the file's settings.
    """

    axis: str
    value: float | str
    changes: dict[str, Any]

    @property
    def name(self) -> str:
        """What the point is called among the file's profiles."""
        return self.value if isinstance(self.value, str) else f"{self.axis}-{self.value:.12g}"


def points(axis: str, table: dict[str, Any]) -> list[Point]:
    """The points of `[sweep.<axis>]`, in the order of its values.

    Raises:
        LetheError: if the table is no sweep.
    """
    changes = dict(table)
    values, each = changes.pop("values", None), changes.pop("each", {})
    settings = changes.pop("setting", [])
    settings = [settings] if isinstance(settings, str) else settings
    if not isinstance(values, list) or not values or not all(map(_is_value, values)):
        raise LetheError(f"sweep {axis}: set values, a list of numbers or texts")
    if not isinstance(settings, list) or not isinstance(each, dict) or not (settings or each):
        raise LetheError(
            f"sweep {axis}: set setting, the path of what takes the values, or lists under each"
        )
    found = []
    for number, value in enumerate(values):
        own = _said(changes, value)
        for setting in settings:
            own = merged(own, at(str(setting), value))
        own = merged(own, _nth(each, number, len(values), f"sweep {axis}: each"))
        found.append(Point(axis, value, own))
    return found


def _is_value(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _said(changes: dict[str, Any], value: float | str) -> dict[str, Any]:
    """The changes with the value in the words of its experiment."""
    plain = Point("", value, {}).name.removeprefix("-")
    grouped = plain if isinstance(value, str) else f"{value:,}".removesuffix(".0")
    words = {"name": plain, "title": grouped, "description": grouped}
    return changes | {
        key: changes[key].replace(_VALUE, words[key])
        for key in _WORDS
        if isinstance(changes.get(key), str)
    }


def _nth(each: dict[str, Any], number: int, count: int, place: str) -> dict[str, Any]:
    """The tables with the entry of one value in place of every list."""
    found = {}
    for key, entry in each.items():
        if isinstance(entry, dict):
            found[key] = _nth(entry, number, count, f"{place}.{key}")
        elif isinstance(entry, list) and len(entry) == count:
            found[key] = entry[number]
        else:
            raise LetheError(f"{place}.{key}: a list with an entry for each of the {count} values")
    return found
