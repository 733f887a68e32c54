"""What every executor does, and those of one machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from benchmark.errors import LetheError
from benchmark.records import Store
from benchmark.runner.device import refuse_count
from benchmark.runner.event import Event
from benchmark.runner.one_seed import run_seed
from benchmark.runner.side_by_side import run_side_by_side
from benchmark.runner.unit import Unit

Listener = Callable[[Event], None]


class Executor(Protocol):
    """Runs units. A record on disk is kept, whoever wrote it, unless `fresh`."""

    def run(self, units: list[Unit], store: Store, fresh: bool, tell: Listener) -> None:
        """Run what `store` does not hold already.

        Args:
            units: to run.
            store: where records go, one after each cell.
            fresh: run again what is there.
            tell: hears of every cell.

        Raises:
            LetheError: for anything wrong with the data, the disk or the machine.
        """
        ...


@dataclass(frozen=True)
class Serial:
    """One unit after the other, in this process."""

    device: torch.device

    def run(self, units: list[Unit], store: Store, fresh: bool, tell: Listener) -> None:
        """See `Executor`."""
        for unit in units:
            run_seed(unit.cells, store, self.device, fresh, tell)


@dataclass(frozen=True)
class Processes:
    """Units side by side on the CPU, `jobs` at a time, in processes with this one's threads."""

    jobs: int

    def run(self, units: list[Unit], store: Store, fresh: bool, tell: Listener) -> None:
        """See `Executor`."""
        groups, threads = [unit.cells for unit in units], torch.get_num_threads()
        run_side_by_side(groups, store, min(self.jobs, len(units)), threads, fresh, tell)


def on_this_machine(device: torch.device, jobs: int) -> Executor:
    """The executor of `jobs` units at a time.

    Raises:
        LetheError: for no jobs, or several on one GPU.
    """
    refuse_count("jobs", jobs)
    if jobs > 1 and device.type != "cpu":
        raise LetheError("one GPU runs one job at a time: leave out --jobs")
    return Serial(device) if jobs == 1 else Processes(jobs)
