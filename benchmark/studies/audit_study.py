"""The audit of every certified method on digits, row by row: what is there is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from benchmark import json_file
from benchmark.errors import LetheError
from benchmark.experiments import experiment as experiments
from benchmark.records import Failure
from benchmark.runner.cell import Cell, fingerprint
from benchmark.runner.environment import describe
from benchmark.runner.event import Event
from benchmark.runner.progress import Display
from benchmark.runner.run import plan_cells
from benchmark.runner.run_cell import describe_failure
from benchmark.runner.workbench import Workbench
from benchmark.studies.audit_record import (
    AuditStudy,
    Finding,
    Origin,
    Row,
    path_in,
    read,
    row_name,
)
from benchmark.studies.model_audit import CONFIDENCE, Runs, finding

#: Raise this when a change to shared code changes numbers: every row is then out of date.
RECIPE = 1
#: Experiments and runs a side: enough to refute epsilon = 1, in some half an hour.
PLAN = {"digits-softmax": 64, "digits-mlp": 24}


def audit_study(results: Path, console: Console) -> tuple[AuditStudy, int]:
    """The study in `results`: what is current is kept, what is missing or out of date is run.

    The file is written after each row, so that a stop loses one row at most. A row that is out of
    date stays until it is replaced.

    Returns:
        the study, and how many rows were run.

    Raises:
        LetheError: if two rows have one title, the data cannot be had or the file cannot be
            written. Nothing that was finished is lost.
    """
    work = {name: _cells(name) for name in PLAN}
    rows = _rows_in(results)
    missing = {
        name: [cell for cell in cells if not _is_current(cell, PLAN[name], rows)]
        for name, cells in work.items()
    }
    path, ran = path_in(results), sum(map(len, missing.values()))
    with Display(console, total=ran) as display:
        for name, cells in missing.items():
            for cell, row in _run(cells, PLAN[name], display):
                rows[_name(cell)] = row
                json_file.write(path, _study(rows, work))
    study = _study(rows, work)
    json_file.write(path, study)  # without the rows that are planned no more
    return study, ran


@dataclass(frozen=True)
class _Ran:
    """What the progress display tells of a row."""

    seconds: float
    failure: Failure | None


def _run(cells: list[Cell], count: int, display: Display) -> Iterator[tuple[Cell, Row]]:
    """Rows of one experiment as they finish; its data are only touched if there is one."""
    if not cells:
        return
    inputs = cells[0].inputs
    bench = Workbench(inputs, torch.device("cpu"), folder=None)
    runs = Runs(bench, count, inputs.target)
    for cell in cells:
        display.show(Event("begins", cell.where, f"{count} runs a side"))
        start, failure = time.perf_counter(), None
        try:
            outcome: Finding | str = finding(cell, runs)
        except LetheError as error:  # a method that gives no answer claims nothing
            outcome, failure = str(error), describe_failure(error)
        seconds = time.perf_counter() - start
        origin = Origin(key=_key(cell, count), environment=describe(torch.device("cpu")))
        yield cell, Row(origin, outcome)
        display.show(Event("ran", cell.where, record=_Ran(seconds, failure)))


def _rows_in(results: Path) -> dict[str, Row]:
    """The rows that are there, by name, current or not; a damaged file holds none."""
    try:
        study = read(results)
    except LetheError:
        return {}
    if study is None:
        return {}
    return {
        name: Row(study.origins[name], outcome)
        for name, outcome in study.outcomes.items()
        if name in study.origins
    }


def _study(rows: dict[str, Row], work: dict[str, list[Cell]]) -> AuditStudy:
    """Of the rows that are planned, in the plan's order."""
    names = [_name(cell) for cells in work.values() for cell in cells]
    return AuditStudy.of({name: rows[name] for name in names if name in rows})


def _is_current(cell: Cell, count: int, rows: dict[str, Row]) -> bool:
    row = rows.get(_name(cell))
    return row is not None and row.origin.key == _key(cell, count)


def _key(cell: Cell, count: int) -> str:
    """sha256 of everything that determines a row's numbers."""
    content = {"recipe": RECIPE, "cell": cell.inputs.key, "runs": count, "confidence": CONFIDENCE}
    return fingerprint(content)


def _name(cell: Cell) -> str:
    return row_name(cell.experiment, cell.info.title)


def _cells(name: str) -> list[Cell]:
    """The rows of an experiment that certify.

    Raises:
        LetheError: if two of them have one title, by which the study knows them.
    """
    cells = plan_cells(experiments.load(name), "cpu", seeds=[0])
    found = [cell for cell in cells if cell.method.evidence]
    titles = [cell.info.title for cell in found]
    for title in titles:
        if titles.count(title) > 1:
            raise LetheError(f"experiment {name}: two rows have the title '{title}': change one")
    return found
