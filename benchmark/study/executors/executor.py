"""What every executor does, and those of one machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from benchmark import plugins
from benchmark.errors import LetheError, unknown
from benchmark.records import Store
from benchmark.runner.device import prepare, refuse_count
from benchmark.study.event import Event
from benchmark.study.executors.processes import run_side_by_side
from benchmark.study.keep import run_unit
from benchmark.study.study import Study
from benchmark.study.unit import Unit

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Asked:
    """What a command says of where units run.

    Attributes:
        file: that `--on` names, for sentences.
        settings: what it says but for `executor`.
        device: `cpu` or `cuda`.
        threads, track: of every unit; see `lethe run`.
        wait: whether to wait for the last unit.
        say: is told a line at a time what was done.
    """

    file: Path
    settings: dict[str, Any]
    device: str
    threads: int
    track: Literal["off", "offline", "online"]
    wait: bool
    say: Callable[[str], None]


class Executor(ABC):
    """Runs units. A record on disk is kept, whoever wrote it, unless `fresh`.

    A class in this package, or in the entry-point group `lethe.executors`: a file with
    `executor = "NAME"`, named by `lethe run --on FILE`, takes it in place of this machine.

    Attributes:
        name: as the file says it.
        title: for people.
        source: whose it is.
        waits: whether `run` ends no earlier than the units.
        unfinished: how many units were not done when it ended.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str] = "the suite's own"
    waits = True
    unfinished = 0

    @classmethod
    @abstractmethod
    def of(cls, asked: Asked) -> Executor:
        """What a file and a command describe.

        Raises:
            LetheError: if the settings are not valid; it says which and what to change.
        """

    @abstractmethod
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


KIND = plugins.Kind[Executor](
    word="executor",
    wanted="an Executor class",
    accepts=lambda cls: issubclass(cls, Executor),
    packages=("benchmark.study.executors",),
    group="lethe.executors",
)


@dataclass(frozen=True)
class Serial(Executor):
    """One unit after the other, in this process."""

    name = "serial"
    title = "one unit after the other"

    device: torch.device

    @classmethod
    def of(cls, asked: Asked) -> Serial:
        """See `Executor`; it has no settings."""
        _refuse_others(asked, ())
        return cls(prepare(asked.device, asked.threads))

    def run(
        self, study: Study, units: list[Unit], store: Store, fresh: bool, tell: Listener
    ) -> None:
        """See `Executor`."""
        for unit in units:
            run_unit(type(study), unit, store, self.device, fresh, tell)


@dataclass(frozen=True)
class Processes(Executor):
    """Units side by side on the CPU, `jobs` at a time, in processes with this one's threads."""

    name = "processes"
    title = "units side by side on this machine"

    jobs: int

    @classmethod
    def of(cls, asked: Asked) -> Processes:
        """See `Executor`; the one setting is `jobs`."""
        _refuse_others(asked, ("jobs",))
        jobs = asked.settings.get("jobs", 2)
        if not isinstance(jobs, int):
            raise LetheError(f"{asked.file}: jobs is a whole number, not {jobs!r}")
        refuse_count("jobs", jobs)
        if asked.device != "cpu":
            raise LetheError(f"{asked.file}: processes run on the CPU: take --device cpu")
        prepare(asked.device, asked.threads)
        return cls(jobs)

    def run(
        self, study: Study, units: list[Unit], store: Store, fresh: bool, tell: Listener
    ) -> None:
        """See `Executor`."""
        jobs, threads = min(self.jobs, len(units)), torch.get_num_threads()
        run_side_by_side(type(study), units, store, jobs, threads, fresh, tell)


def _refuse_others(asked: Asked, known: tuple[str, ...]) -> None:
    """Refuse settings that an executor does not have."""
    for name in asked.settings:
        if name not in known:
            raise unknown(f"setting in {asked.file}", name, known)


def on_this_machine(device: torch.device, jobs: int) -> Executor:
    """The executor of `jobs` units at a time.

    Raises:
        LetheError: for no jobs, or several on one GPU.
    """
    refuse_count("jobs", jobs)
    if jobs > 1 and device.type != "cpu":
        raise LetheError("one GPU runs one job at a time: leave out --jobs")
    return Serial(device) if jobs == 1 else Processes(jobs)
