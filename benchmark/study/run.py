"""Running a study: what is there is kept, what is missing or out of date is run."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from rich.console import Console

from benchmark import ends
from benchmark.errors import present
from benchmark.records import Envelope, Store
from benchmark.study.event import Event
from benchmark.study.executors.executor import Executor, on_this_machine
from benchmark.study.progress import Display
from benchmark.study.shard import WHOLE, Shard
from benchmark.study.study import Study
from benchmark.tracking import Tracker


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
