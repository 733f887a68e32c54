"""Changes to settings that a file declares: sweeps, rows by label, profiles."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from benchmark import names
from benchmark.errors import LetheError, explain, unknown


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


# A sweep: an experiment with one setting, or a few together, at some values.
#
#     [sweep.epochs]
#     setting = "rows.retrain-briefly.params.epochs"
#     values = [1, 2, 5]
#     title = "A budget of {value}"
#     each.rows.noisy-fine-tune.params.epochs = [2, 3, 6]
#
# `setting` names what takes the value, a path or several; a list under `each` has an entry for
# every value; all else is changed at every value alike, as in a profile. A point is called after
# the axis and the value, `epochs-1`, or after the value alone where that is a word.

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


# The rows of an experiment: `[rows.<label>]`, a method with a label of its own.

#: Of an experiment, a group or a row: it becomes a folder of the results, or a word of a command.
Name = Annotated[str, AfterValidator(names.checked)]
#: Of an experiment or a row, for people.
Words = Annotated[str, AfterValidator(names.worded)]

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
    title: Words | None = None
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


# One study at several scales and settings: tables of changes to a file's settings.

#: The file as it stands.
PAPER = "paper"
#: Profiles that are the same study made smaller: for one thread, and for trying it out.
SMALLER = ("cpu", "smoke")


@dataclass(frozen=True)
class Place:
    """Where in its file an experiment is.

    Attributes:
        study: the name of the file's experiment as it stands.
        profile: of the file; None for the file as it stands.
        axis, value: of the sweep that the profile is a point of; None if it is none.
        joins: whether the profile names its groups itself, and so runs with them beside the file.
    """

    study: str
    profile: str | None = None
    axis: str | None = None
    value: float | str | None = None
    joins: bool = False


@dataclass(frozen=True)
class Variant:
    """A file's settings under one of its profiles.

    Attributes:
        place: in the file.
        content: the settings.
    """

    place: Place
    content: dict[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.content["name"]


def variants(content: dict[str, Any]) -> dict[str, Variant]:
    """The file as it stands, under `paper`, and with the changes of each profile and sweep.

    `[profiles.<name>]` has changes, `[sweep.<axis>]` some for each of its values: see
    `benchmark.experiments.profile`. Tables are merged key by key; anything else is replaced. The
    experiment is named after the profile unless that sets a name. `profiles` becomes the names of
    all of them.

    Args:
        content: what the file says, with its `name`.

    Raises:
        LetheError: if `profiles` or `sweep` holds anything but tables, two profiles share a name
            or have one that cannot be a folder, or two experiments of the file share one.
    """
    name, profiles = content["name"], content.get("profiles", {})
    if not _is_tables(profiles) or PAPER in profiles:
        raise LetheError(
            f"experiment {name}: a profile is a table [profiles.<name>], and '{PAPER}' is the file "
            "as it stands"
        )
    changes = {
        one: (Place(name, one, joins="group" in table), table) for one, table in profiles.items()
    }
    for point in _points(content):
        if point.name in (PAPER, *changes):
            raise LetheError(f"experiment {name}: two profiles are called '{point.name}'")
        changes[point.name] = Place(name, point.name, point.axis, point.value), point.changes
    for one in changes:
        if wrong := names.complaint(one):
            raise LetheError(
                f"experiment {name}: {names.shown(one)} cannot be a profile's name: {wrong}"
            )
    names.refuse_twins(changes, f"experiment {name}: the profiles")
    base = {key: value for key, value in content.items() if key != "sweep"}
    base["profiles"] = tuple(changes)
    found = {PAPER: Variant(Place(name), base)}
    for one, (place, changed) in changes.items():
        found[one] = Variant(place, merged(base, _named(content, one) | changed))
    _refuse_namesakes(name, found)
    return found


def variant(content: dict[str, Any], profile: str | None) -> Variant:
    """The file's settings under a profile; as they stand if that is None.

    Raises:
        LetheError: if the file has no such profile, or see `variants`.
    """
    found = variants(content)
    if profile is not None and profile not in found:
        raise unknown(f"profile of experiment {content['name']}:", profile, found)
    return found[profile or PAPER]


def _refuse_namesakes(file: str, found: dict[str, Variant]) -> None:
    """Refuse experiments of one name: each would replace the records of the other."""
    texts = {one: variant.name for one, variant in found.items() if isinstance(variant.name, str)}
    first: dict[str, str] = {}
    for one, name in texts.items():
        if (other := first.setdefault(name, one)) != one:
            raise LetheError(
                f"experiment {file}: {other} and {one} are both called {names.shown(name)}: set "
                "another name, in a sweep one with {value} in it"
            )
    names.refuse_twins(first, f"experiment {file}: the names")


def _named(content: dict[str, Any], profile: str) -> dict[str, Any]:
    """What a profile is called if it does not say."""
    name = {"name": f"{content['name']}-{profile}"}
    return name | ({"title": f"{content['title']} ({profile})"} if "title" in content else {})


def _points(content: dict[str, Any]) -> list[Point]:
    """Points of every sweep, in the file's order."""
    sweeps = content.get("sweep", {})
    if not _is_tables(sweeps):
        raise LetheError(f"experiment {content['name']}: a sweep is a table [sweep.<axis>]")
    try:
        return [point for axis, table in sweeps.items() for point in points(axis, table)]
    except LetheError as error:
        raise LetheError(f"experiment {content['name']}: {error}") from error


def _is_tables(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(table, dict) for table in value.values())
