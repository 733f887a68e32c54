"""Running a study, or a share of it: what is there is kept; progress is shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from benchmark import ends
from benchmark.console import marked
from benchmark.errors import LetheError, present
from benchmark.records import Envelope, Store
from benchmark.study.executors.executor import Executor, on_this_machine
from benchmark.study.study import Event, Study
from benchmark.tracking import Tracker

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Share `number` of `count`, from 1; all shares together are everything, once."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that `text` names, e.g. `2/3`.

        Raises:
            LetheError: if it names none.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise LetheError(f"--shard is i/n with i from 1 to n, such as 2/3, not '{text}'")
        return cls(number, count)

    def of(self, work: Sequence[T]) -> list[T]:
        """Every `count`-th piece; it depends on their order alone, not on what is done already."""
        return list(work[self.number - 1 :: self.count])


#: All of the work.
WHOLE = Shard()


class Display:
    """What is running, how far, how long. Without a terminal, one line a finished piece."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=total)

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """A piece begins a phase, was found finished or has run."""
        if event.kind == "begins":
            text = f"{event.where} · {event.phase.replace('_', ' ')}"
            self._progress.update(self._task, description=text)
            return
        self._progress.advance(self._task)
        record = present(event.record)
        if record.failure is not None:
            kept = " (kept; --fresh runs it again)" if event.kind == "kept" else ""
            text = f"{event.where}: {record.failure.message}{kept}"
            self._console.print(marked("red", "failed", text), soft_wrap=True)
        elif event.kind == "ran" and not self._console.is_terminal:
            self._console.print(Text(f"{event.where}: {record.seconds:.2f} s"))


# Running a study: what is there is kept, what is missing or out of date is run.


@dataclass
class Tally:
    """How many pieces were found, run and lost."""

    kept: int = 0
    ran: int = 0
    failed: list[Envelope] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Count a piece that was kept or ran."""
        self.kept += event.kind == "kept"
        self.ran += event.kind == "ran"
        if event.record is not None and event.record.status == "failed":
            self.failed.append(event.record)


def run(
    study: Study,
    store: Store,
    device: torch.device,
    *,
    fresh: bool = False,
    jobs: int = 1,
    executor: Executor | None = None,
    shard: Shard = WHOLE,
    tracker: Tracker | None = None,
    console: Console | None = None,
) -> Tally:
    """Run every piece of `study` that `store` does not hold already.

    Args:
        study: what to run.
        store: where records go, one after each piece, so that a stop loses one at most.
        device: where to compute.
        fresh: run again what is there.
        jobs: units run at a time, each in a process of its own with as many threads as this one.
        executor: runs the units in place of this machine.
        shard: of the units, the part to run.
        tracker: a sink beside the records.
        console: for progress.

    Raises:
        LetheError: for anything wrong with the settings, the data or the disk. Nothing that was
            finished is lost.
    """
    console = console or Console(stderr=True)
    executor = executor or on_this_machine(device, jobs)
    units = study.units(device.type)
    study.begin(store, units)
    units = shard.of(units)
    tally = Tally()
    with Display(console, total=sum(len(unit.pieces) for unit in units)) as display:

        def tell(event: Event) -> None:
            display.show(event)
            tally.add(event)
            ends.check()
            if tracker is not None and event.kind == "ran":
                tracker.log(present(event.record))

        executor.run(study, units, store, fresh, tell)
    return tally
