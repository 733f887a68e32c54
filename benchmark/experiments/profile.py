"""One study at several scales and settings: tables of changes to a file's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmark import names
from benchmark.errors import LetheError, unknown
from benchmark.experiments import sweep
from benchmark.experiments.tables import merged

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
    `benchmark.experiments.sweep`. Tables are merged key by key; anything else is replaced. The
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


def _points(content: dict[str, Any]) -> list[sweep.Point]:
    """Points of every sweep, in the file's order."""
    sweeps = content.get("sweep", {})
    if not _is_tables(sweeps):
        raise LetheError(f"experiment {content['name']}: a sweep is a table [sweep.<axis>]")
    try:
        return [point for axis, table in sweeps.items() for point in sweep.points(axis, table)]
    except LetheError as error:
        raise LetheError(f"experiment {content['name']}: {error}") from error


def _is_tables(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(table, dict) for table in value.values())
