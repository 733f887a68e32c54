"""One study at several scales: a profile is a table of changes to a file's settings."""

from __future__ import annotations

from typing import Any

from benchmark import names
from benchmark.errors import LetheError, unknown

#: The file as it stands.
PAPER = "paper"


def at_scale(content: dict[str, Any], profile: str | None) -> dict[str, Any]:
    """The settings of a file with the changes of `[profiles.<profile>]`, named after it.

    Tables are merged key by key; anything else, a list of rows too, is replaced. None and `paper`
    change nothing. `profiles` becomes the names of all of them.

    Args:
        content: what the file says, with its `name`.
        profile: one of its profiles, `paper` or None.

    Raises:
        LetheError: if the file has no such profile, or `profiles` holds anything but tables with
            names that can be folders.
    """
    name, profiles = content["name"], content.get("profiles", {})
    tables = isinstance(profiles, dict) and all(isinstance(p, dict) for p in profiles.values())
    if not tables or PAPER in profiles:
        raise LetheError(
            f"experiment {name}: a profile is a table [profiles.<name>], and '{PAPER}' is the file "
            "as it stands"
        )
    for one in profiles:
        if wrong := names.complaint(one):
            raise LetheError(
                f"experiment {name}: {names.shown(one)} cannot be a profile's name: {wrong}"
            )
    names.refuse_twins(profiles, f"experiment {name}: the profiles")
    content = content | {"profiles": tuple(profiles)}
    if profile in (None, PAPER):
        return content
    if profile not in profiles:
        raise unknown(f"profile of experiment {name}:", profile, [PAPER, *profiles])
    own = {"name": f"{name}-{profile}"}
    if "title" in content:
        own["title"] = f"{content['title']} ({profile})"
    return merged(content, own | profiles[profile])


def merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`settings` with `changes`, tables within tables too."""
    result = dict(settings)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result
