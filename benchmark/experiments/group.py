"""Groups: experiments that are run together, each saying what it belongs to."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.errors import LetheError, unknown
from benchmark.experiments.experiment import Experiment, load, names
from benchmark.experiments.profile import PAPER


def groups() -> list[str]:
    """The names of all groups, in order."""
    return sorted({group for _, one in _experiments() for group in one.group})


def members(group: str, profile: str | None = None) -> list[tuple[str, str | None]]:
    """The experiments of a group, each as the name of its file and a profile.

    Without a profile, or at the scale `paper`, these are the files in the group as they stand and
    the points of sweeps that are in it. Linear models, which take the least, come first.

    Args:
        group: as `groups` lists it.
        profile: of all of them, what has no such profile left out; None for what suits the machine.

    Raises:
        LetheError: if there is no such group, or nothing in it has the profile.
    """
    inside = [(name, one) for name, one in _experiments() if group in one.group]
    if not inside:
        raise unknown("group", group, groups())
    found = [(name, one) for name, one in inside if _is_asked(one, profile)]
    if not found:
        known = sorted({one.place.profile or PAPER for _, one in inside})
        raise LetheError(f"group {group} has no profile '{profile}': there is {', '.join(known)}")
    found.sort(key=lambda member: not member[1].problem.model.linear)
    return [(name, one.place.profile or profile) for name, one in found]


def _is_asked(one: Experiment, profile: str | None) -> bool:
    place = one.place
    if profile in (None, PAPER):
        return place.profile is None or place.axis is not None
    return place.profile == profile


def _experiments() -> Iterator[tuple[str, Experiment]]:
    """Every file's name with each of its experiments: as it stands, then by profile."""
    for name in names():
        base = load(name)
        yield name, base
        yield from ((name, load(name, profile)) for profile in base.profiles)
