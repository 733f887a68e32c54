"""A unit of work: what one process, or one task of a cluster, runs at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from benchmark import json_file
from benchmark.experiments.experiment import Experiment
from benchmark.records import Record, Store, read_record
from benchmark.runner.cell import Cell


@dataclass(frozen=True)
class Unit:
    """The cells of one experiment and seed, which share data and trained models."""

    experiment: Experiment
    seed: int
    cells: list[Cell]

    @property
    def place(self) -> tuple[str, int]:
        """The names of experiment and seed."""
        return self.experiment.name, self.seed

    def is_done(self, store: Store) -> bool:
        """Whether every cell has a current record, failed or not."""
        return all(record_of(cell, store) is not None for cell in self.cells)


def record_of(cell: Cell, store: Store) -> Record | None:
    """The record of a cell; None if there is none, or it is out of date or damaged."""
    path = store.cell_path(cell.experiment, cell.info.label, cell.inputs.seeds.split)
    return json_file.current(partial(read_record, path), cell.inputs.key)
