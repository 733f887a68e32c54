"""What is done, runs, failed or is gone: by the records first, and then by the scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from benchmark import collected
from benchmark.errors import LetheError
from benchmark.records import Plan, Store, read_record
from benchmark.runner.executors import scheduler, submission
from benchmark.runner.executors.submission import Place
from benchmark.runner.run import plan_cells
from benchmark.runner.unit import record_of

#: `failed`: the task ended without all its records; `gone`: it was cancelled, or Slurm does not
#: know it; `unknown`: Slurm cannot be asked; `not run`: it was never submitted.
State = Literal["done", "running", "waiting", "failed", "gone", "unknown", "not run"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Progress:
    """One seed of one experiment.

    Attributes:
        found, cells: how many records there are, of how many.
        failures: how many of those say that their cell failed.
        place: the task that was submitted last; None if none was.
        reason: what Slurm and the log say of a task that is over too early.
        log: of that task, where there is one.
    """

    experiment: str
    seed: int
    state: State
    found: int
    cells: int
    failures: int
    place: Place | None = None
    reason: str = ""
    log: Path | None = None


def progress(store: Store) -> list[Progress]:
    """Every seed that an experiment of the store plans or that was submitted, in order.

    Raises:
        LetheError: if a plan or a submission is damaged, or a method that was submitted is gone.
    """
    submitted = {place: _by_key(store, task) for place, task in submission.latest(store).items()}
    planned = {
        (plan.experiment, seed): _by_plan(store, plan, seed)
        for plan in store.plans()
        for seed in plan.seeds
    }
    found = planned | submitted
    asked = _asked(store, [one for one in found.values() if one.place and one.state != "done"])
    return sorted(
        (asked.get((one.experiment, one.seed), one) for one in found.values()),
        key=lambda one: (one.experiment, one.seed),
    )


def counts(found: Iterable[Progress]) -> dict[str, Counter[State]]:
    """How many seeds of each experiment are in which state."""
    counted: dict[str, Counter[State]] = {}
    for one in found:
        counted.setdefault(one.experiment, Counter())[one.state] += 1
    return counted


def _by_key(store: Store, place: Place) -> Progress:
    """Progress by the records that the task's inputs ask for, as the code is now."""
    made = place.submission
    task = made.tasks[place.index]
    methods = None if made.methods is None else list(made.methods)
    cells = plan_cells(made.experiments[task.experiment], made.device, methods, [task.seed])
    records = [record for cell in cells if (record := record_of(cell, store)) is not None]
    return Progress(
        experiment=task.experiment,
        seed=task.seed,
        state="done" if len(records) == len(cells) else "gone",
        found=len(records),
        cells=len(cells),
        failures=sum(record.status == "failed" for record in records),
        place=place,
    )


def _by_plan(store: Store, plan: Plan, seed: int) -> Progress:
    """Progress by the records that are there, current or not: a plan has no keys."""
    paths = [store.cell_path(plan.experiment, row.label, seed) for row in plan.rows]
    records = [read_record(path) for path in paths if collected.exists(path)]
    return Progress(
        experiment=plan.experiment,
        seed=seed,
        state="done" if len(records) == len(paths) else "not run",
        found=len(records),
        cells=len(paths),
        failures=sum(record.status == "failed" for record in records),
    )


def _asked(store: Store, open_ones: list[Progress]) -> dict[tuple[str, int], Progress]:
    """What Slurm says of tasks whose records are not all there."""
    places = [one.place for one in open_ones]
    try:
        queued = scheduler.in_queue(places)
        over = scheduler.afterwards([place for place in places if place not in queued])
    except LetheError as error:
        unknown = [replace(one, state="unknown", reason=str(error)) for one in open_ones]
        return {(one.experiment, one.seed): one for one in unknown}
    told = []
    for one in open_ones:
        if one.place in queued:
            state = "waiting" if queued[one.place] == "PENDING" else "running"
            told.append(replace(one, state=state))
        else:
            told.append(_over(store, one.place, over.get(one.place, "")))
    return {(one.experiment, one.seed): one for one in told}


def _over(store: Store, place: Place, word: str) -> Progress:
    """A task that has left the queue; `word` is the accounting's, "" if it has none."""
    one = _by_key(store, place)  # it may have ended since its records were looked for
    if one.state == "done":
        return one
    cancelled = not word or word.startswith(("CANCELLED", "PREEMPTED", "REVOKED"))
    log = submission.log_of(store, place)
    last = _last_line(log)
    # without accounting the log tells an error from a task that has vanished
    failed = not cancelled or (not word and last.startswith("error: "))
    return replace(
        one,
        state="failed" if failed else "gone",
        reason=": ".join(filter(None, [word.partition(" ")[0], last])) or "Slurm does not know it",
        log=log if log.is_file() else None,
    )


def _last_line(log: Path) -> str:
    """The last thing that the task itself said; "" if it said nothing."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    own = [line.strip() for line in lines if not line.startswith(("srun:", "slurmstepd:"))]
    return next((line for line in reversed(own) if line), "")
