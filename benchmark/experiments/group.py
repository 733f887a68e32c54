"""Groups: experiments that are run together, each saying what it belongs to."""

from __future__ import annotations

from benchmark.errors import LetheError, present, unknown
from benchmark.experiments.experiment import Experiment, every
from benchmark.experiments.profile import PAPER, SMALLER


def groups() -> list[str]:
    """The names of all groups, in order."""
    return sorted({group for one in every() for group in one.group})


def members(group: str, profile: str | None = None) -> list[tuple[str, str | None]]:
    """The experiments of a group, each as the name of its file and a profile.

    Without a profile, or at the scale `paper`, these are the files in the group as they stand, the
    points of sweeps that are in it and the profiles that name it themselves. At the scale `cpu` or
    `smoke` it is one of each file: at that scale, or where it has none as it stands. Any other
    profile is that of the files that have it. Linear models, which take the least, come first.

    Args:
        group: as `groups` lists it.
        profile: of all of them; None for what suits the machine.

    Returns:
        the pairs; their profile is None where a file has not the scale.

    Raises:
        LetheError: if there is no such group, or nothing in it has the profile.
    """
    inside = [one for one in every() if group in one.group]
    if not inside:
        raise unknown("group", group, groups())
    if profile in (None, PAPER):
        found = [(one, one.place.profile or profile) for one in inside if _takes_part(one)]
    else:
        found = [(one, profile) for one in inside if one.place.profile == profile]
    if profile in SMALLER:
        have = {one.path for one, _ in found}
        found += [(one, one.place.profile) for one in _whole(inside) if one.path not in have]
    if not found:
        raise LetheError(f"group {group} has no profile '{profile}': there is {_known(inside)}")
    found.sort(key=lambda pair: not pair[0].problem.model.linear)
    return [(present(one.path).stem, chosen) for one, chosen in found]


def _takes_part(one: Experiment) -> bool:
    """Whether it runs with its group where no scale is asked for."""
    place = one.place
    return place.profile is None or place.axis is not None or place.joins


def _whole(inside: list[Experiment]) -> list[Experiment]:
    """Each file as it stands; where only parts of it are in the group, these."""
    stands = {one.path for one in inside if one.place.profile is None}
    return [
        one
        for one in inside
        if one.place.profile is None or (one.path not in stands and _takes_part(one))
    ]


def _known(inside: list[Experiment]) -> str:
    """The profiles to choose from; a sweep's points and what joins its group are no scales."""
    scales = ", ".join(sorted((PAPER, *SMALLER)))
    others = {
        str(one.place.profile)
        for one in inside
        if not _takes_part(one) and one.place.profile not in SMALLER
    }
    return f"{scales}, and of some {', '.join(sorted(others))}" if others else scales
