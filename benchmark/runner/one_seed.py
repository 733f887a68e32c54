"""The cells of one experiment and seed, which share data and trained models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import torch

from benchmark import json_file
from benchmark.records import Store
from benchmark.runner.cell import Cell
from benchmark.runner.event import Event
from benchmark.runner.run_cell import run_cell
from benchmark.runner.workbench import Workbench


def run_seed(
    cells: Iterable[Cell],
    store: Store,
    device: torch.device,
    fresh: bool,
    tell: Callable[[Event], None],
) -> None:
    """Run what is missing; data and models are only touched if there is something.

    Args:
        cells: of one experiment and seed.
        store: where records go, one after each cell.
        device: where to compute.
        fresh: run again what is there.
        tell: hears of every cell.

    Raises:
        LetheError: for anything wrong with the data or the disk.
    """
    bench: Workbench | None = None
    for cell in cells:
        path = store.cell_path(cell.experiment, cell.info.label, cell.inputs.seeds.split)
        kept = json_file.current(partial(store.read_cell, path), cell.inputs.key)
        if kept and not fresh:
            tell(Event("kept", cell.where, record=kept))
            continue

        def begins(phase: str, where: str = cell.where) -> None:
            tell(Event("begins", where, phase))

        begins("data")
        if bench is None:
            bench = Workbench(cell.inputs, device, None if fresh else store.folder / ".artifacts")
        record = run_cell(cell, bench, begins)
        if record.status == "failed" and not bench.intact:
            bench = None  # what the method left of it is not given to the next
        json_file.write(path, record)
        tell(Event("ran", cell.where, record=record))
