"""What every executor does, and those of one machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch

from benchmark.errors import LetheError
from benchmark.records import Store
from benchmark.runner.device import refuse_count
from benchmark.study.event import Event
from benchmark.study.executors.processes import run_side_by_side
from benchmark.study.keep import run_unit
from benchmark.study.study import Study
from benchmark.study.unit import Unit

Listener = Callable[[Event], None]


class Executor(Protocol):
    """Runs units. A record on disk is kept, whoever wrote it, unless `fresh`."""

    def run(
        self, study: Study, units: list[Unit], store: Store, fresh: bool, tell: Listener
    ) -> None:
        """Run what `store` does not hold already.

        Args:
            study: that the units are of.
            units: to run.
            store: where records go, one after each piece.
            fresh: run again what is there.
            tell: hears of every piece.

        Raises:
            LetheError: for anything wrong with the data, the disk or the machine.
        """
        ...


@dataclass(frozen=True)
class Serial:
    """One unit after the other, in this process."""

    device: torch.device

    def run(
        self, study: Study, units: list[Unit], store: Store, fresh: bool, tell: Listener
    ) -> None:
        """See `Executor`."""
        for unit in units:
            run_unit(type(study), unit, store, self.device, fresh, tell)


@dataclass(frozen=True)
class Processes:
    """Units side by side on the CPU, `jobs` at a time, in processes with this one's threads."""

    jobs: int

    def run(
        self, study: Study, units: list[Unit], store: Store, fresh: bool, tell: Listener
    ) -> None:
        """See `Executor`."""
        jobs, threads = min(self.jobs, len(units)), torch.get_num_threads()
        run_side_by_side(type(study), units, store, jobs, threads, fresh, tell)


def on_this_machine(device: torch.device, jobs: int) -> Executor:
    """The executor of `jobs` units at a time.

    Raises:
        LetheError: for no jobs, or several on one GPU.
    """
    refuse_count("jobs", jobs)
    if jobs > 1 and device.type != "cpu":
        raise LetheError("one GPU runs one job at a time: leave out --jobs")
    return Serial(device) if jobs == 1 else Processes(jobs)
