"""Running a recorded cell again and comparing every number."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmark import collected, json_file, registry
from benchmark.errors import LetheError
from benchmark.records import SCHEMA, Record
from benchmark.runner.cell import Cell, Inputs, source_hash
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench

# somebody else's numbers may stand in the file: it is never to be deleted
_CURE = "run its experiment again"


@dataclass(frozen=True)
class Comparison:
    """One number then and now; None where there was or is none."""

    name: str
    recorded: float | str | None
    again: float | str | None
    agrees: bool


def recorded_in(path: Path) -> Record:
    """The record of a cell in a file that somebody named.

    Other kinds of files have versions of their own, so the kind is looked at first.

    Raises:
        LetheError: if it cannot be read, is something else or does not fit the schema.
    """
    if line := re.fullmatch(r"(.+\.jsonl):(\d+)", str(path)):
        path = _of_line(Path(line[1]), int(line[2]))
    content = json_file.load(path, "record", _CURE)
    if not isinstance(content, dict) or content.get("kind") != "cell":
        raise LetheError(
            f"{path} is not a record of one row: name a seed-<n>.json, or a line as in "
            "mnist-hog.jsonl:12"
        )
    return json_file.fitted(content, path, "record", SCHEMA, Record.model_validate, _CURE)


def _of_line(lines: Path, number: int) -> Path:
    """The file whose record a line holds, as if it were there.

    Raises:
        LetheError: if there is no such line.
    """
    for name, (found, _) in collected.read(lines).items():
        if found == number:
            return lines.with_suffix("") / name
    raise LetheError(f"{lines} has no line {number}")


def reproduce(
    record: Record, device: torch.device, listener: Callable[[str], None]
) -> tuple[Record, list[str]]:
    """Run the cell of `record` from its inputs alone, training included.

    Returns:
        the new record, and remarks on what is no longer as it was.

    Raises:
        LetheError: if the method is gone or the inputs do not fit this version.
    """
    inputs = Inputs.read(record.inputs, "the record's inputs do not fit this version")
    registered = registry.find(inputs.method)
    method = registered.method.build(inputs.params)
    remarks = []
    now = source_hash(registered.method)
    if now != inputs.method_source:
        remarks.append(f"the file of method '{inputs.method}' has changed since")
    cell = Cell(
        experiment=record.experiment,
        method=method,
        info=record.method,
        inputs=inputs.model_copy(update={"device": device.type, "method_source": now}),
    )
    again = run_cell(cell, Workbench(inputs, device, folder=None), listener)
    remarks += _differences(record, again)
    return again, remarks


def compare(recorded: Record, again: Record, rtol: float) -> list[Comparison]:
    """Every number that the inputs determine, then and now; times are not among them.

    Args:
        recorded: as stored.
        again: as run now.
        rtol: relative difference that still counts as the same.
    """
    then, now = numbers(recorded), numbers(again)
    return [
        Comparison(name, then.get(name), now.get(name), _same(then.get(name), now.get(name), rtol))
        for name in {**then, **now}
    ]


def numbers(record: Record) -> dict[str, Any]:
    """The reproducible content of a record under flat names."""
    flat: dict[str, Any] = {"status": record.status, "verdict": record.verdict}
    if record.data is not None:
        flat["split_hash"] = record.data.split_hash
        flat["forget_hash"] = record.data.forget_hash
    flat |= {name: metric.value for name, metric in record.metrics.items()}
    if record.claim is not None:
        flat |= {f"claim.{name}": getattr(record.claim, name) for name in ("epsilon", "delta")}
        evidence = record.claim.evidence.model_dump()
        for name in ("bound", "sigma", "reached"):
            flat |= {f"evidence.{name}": evidence[name]} if name in evidence else {}
        for group in ("constants", "measured"):
            flat |= {f"constant.{c['name']}": c["value"] for c in evidence.get(group, ())}
    return flat


def _same(a: Any, b: Any, rtol: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=rtol)
    return a == b


def _differences(then: Record, now: Record) -> list[str]:
    remarks = []
    old, new = then.environment, now.environment
    for field in ("cpu", "gpu", "device", "threads"):
        if getattr(old, field) != getattr(new, field):
            remarks.append(f"{field} was {getattr(old, field)}, is {getattr(new, field)}")
    for package, version in old.versions.items():
        if new.versions.get(package) != version:
            remarks.append(f"{package} was {version}, is {new.versions.get(package)}")
    return remarks
