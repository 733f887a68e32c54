"""Groups: experiments that are run together, each saying what it belongs to."""

from __future__ import annotations

from benchmark.errors import LetheError, unknown
from benchmark.experiments.experiment import Experiment, every
from benchmark.experiments.profile import PAPER


def groups() -> list[str]:
    """The names of all groups, in order."""
    return sorted({group for one in every() for group in one.group})


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
    inside = [one for one in every() if group in one.group]
    if not inside:
        raise unknown("group", group, groups())
    found = [one for one in inside if _is_asked(one, profile)]
    if not found:
        known = sorted({one.place.profile or PAPER for one in inside})
        raise LetheError(f"group {group} has no profile '{profile}': there is {', '.join(known)}")
    found.sort(key=lambda one: not one.problem.model.linear)
    return [(one.path.stem, one.place.profile or profile) for one in found]


def _is_asked(one: Experiment, profile: str | None) -> bool:
    place = one.place
    if profile in (None, PAPER):
        return place.profile is None or place.axis is not None
    return place.profile == profile
