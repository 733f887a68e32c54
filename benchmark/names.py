"""Names that become folders: the same folder on every system, and within the results."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from benchmark.errors import LetheError

#: Ends the names of folders that hold the records of other studies than experiments.
STUDY = ".study"
#: What lies beside the experiments in a results folder, and beside the rows in an experiment's.
_RESERVED = re.compile(r"leaderboard|wandb|false-alarms|.*\.(jsonl?|study)", re.IGNORECASE)
#: What Windows takes for a device, whatever its ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W_]([\w .,()+=-]*[\w)+=-])?")
_LONGEST = 100
#: Control characters, but for tabs and ends of lines.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
#: Of a row, and of a method or attack, whose name is the label of its row.
LABEL = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def complaint(name: str) -> str:
    """What is wrong with a name; "" if nothing is."""
    if not name:
        return "it is empty"
    if not _LETTERS.fullmatch(name):
        return "use letters and digits, and between them spaces or . , ( ) + = - _"
    if _RESERVED.fullmatch(name) or _DEVICES.fullmatch(name):
        return "it is reserved"
    if len(name.encode()) > _LONGEST:
        return f"it is longer than {_LONGEST} bytes"
    return ""


def checked(name: str) -> str:
    """A name of an experiment or a label, as it is; for pydantic.

    Raises:
        ValueError: if it is none.
    """
    if wrong := complaint(name):
        raise ValueError(f"{shown(name)} cannot be a name: {wrong}")
    return name


def worded(text: str) -> str:
    """A text for people, as it is; for pydantic.

    Raises:
        ValueError: if a character in it is for terminals to obey, which no picture can hold.
    """
    if found := CONTROL.search(text):
        raise ValueError(f"{shown(found[0])} is a control character: take it out of the text")
    return text


def refuse_twins(names: Iterable[str], what: str) -> None:
    """Refuse names that are one folder on some systems and two on others.

    Args:
        names: of the same kind, each once or more often.
        what: they name, in the plural.

    Raises:
        LetheError: if two of them differ in upper and lower case only.
    """
    counts = Counter(name.casefold() for name in set(names))
    twins = sorted(name for name in set(names) if counts[name.casefold()] > 1)
    if twins:
        first = [shown(name) for name in twins if name.casefold() == twins[0].casefold()]
        raise LetheError(
            f"{what} {' and '.join(first)} differ in upper and lower case only, which is one "
            "folder on some systems: rename one"
        )


def shown(name: str) -> str:
    """A name in quotes, on one line and not too long."""
    return repr(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")
