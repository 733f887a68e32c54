"""Making a record again and comparing every number."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark import collected, json_file
from benchmark.errors import LetheError, present
from benchmark.json_file import Sound
from benchmark.records import Envelope, is_forged
from benchmark.study.study import Study, of_kind

# somebody else's numbers may stand in the file: it is never to be deleted
_CURE = "run its experiment again"


@dataclass(frozen=True)
class Comparison:
    """One number then and now; None where there was or is none."""

    name: str
    recorded: float | str | None
    again: float | str | None
    agrees: bool


def recorded_in(path: Path) -> Envelope:
    """The record in a file that somebody named, or in a line of one.

    Kinds of records have versions of their own, so the kind is looked at first.

    Raises:
        LetheError: if it cannot be read, is something else or does not fit the schema.
    """
    if line := re.fullmatch(r"(.+\.jsonl):(\d{1,18})", str(path)):
        path, content = _of_line(Path(line[1]), int(line[2]))
    elif path.suffix == collected.SUFFIX:
        raise LetheError(f"{path} holds a record a line: name one of them, as in {path}:12")
    else:
        content = json_file.load(path, "record", _CURE)
    study = _study_of(content)
    if study is None:
        raise LetheError(
            f"{path} is not a record of one row: name a seed-<n>.json, or a line as in "
            "mnist-hog.jsonl:12"
        )
    kind = study.record
    schema = kind.model_fields["schema_version"].default
    record = json_file.fitted(content, path, "record", schema, kind.model_validate, _CURE)
    if is_forged(record):
        raise Sound(f"record {path} has a key that does not fit its inputs: {_CURE}")
    return record


def _study_of(content: object) -> type[Study] | None:
    """The study that made a record; None if it is none."""
    kind = content.get("kind") if isinstance(content, dict) else None
    return of_kind(kind) if isinstance(kind, str) else None


def _of_line(lines: Path, number: int) -> tuple[Path, Any]:
    """The file whose record a line holds, and the JSON in the line, whatever else is there.

    Raises:
        LetheError: if there is no such line.
    """
    for name, (found, text) in collected.read(lines).items():
        if found == number:
            return lines.parent / name, json_file.parsed(text, f"record {lines}:{number}", _CURE)
    raise LetheError(f"{lines} has no line {number}")


def reproduce(
    record: Envelope, device: torch.device, listener: Callable[[str], None]
) -> tuple[Envelope, list[str]]:
    """Make a record again from its inputs alone, training included.

    Returns:
        the new record, and remarks on what is no longer as it was.

    Raises:
        LetheError: if the method is gone or the inputs do not fit this version.
    """
    study = present(of_kind(getattr(record, "kind", None)))
    piece, remarks = study.again(record, device.type)
    again = study.open([piece], device, None).run(piece, listener)
    return again, remarks + _differences(record, again)


def compare(recorded: Envelope, again: Envelope, rtol: float) -> list[Comparison]:
    """Every number that the inputs determine, then and now; times are not among them.

    Args:
        recorded: as stored.
        again: as run now.
        rtol: relative difference that still counts as the same.
    """
    then, now = recorded.numbers(), again.numbers()
    return [
        Comparison(name, then.get(name), now.get(name), _same(then.get(name), now.get(name), rtol))
        for name in {**then, **now}
    ]


def _same(a: Any, b: Any, rtol: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=rtol)
    return a == b


def _differences(then: Envelope, now: Envelope) -> list[str]:
    remarks = []
    old, new = then.environment, now.environment
    for field in ("cpu", "gpu", "device", "threads"):
        if getattr(old, field) != getattr(new, field):
            remarks.append(f"{field} was {getattr(old, field)}, is {getattr(new, field)}")
    for package, version in old.versions.items():
        if new.versions.get(package) != version:
            remarks.append(f"{package} was {version}, is {new.versions.get(package)}")
    return remarks
