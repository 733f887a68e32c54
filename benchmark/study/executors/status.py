"""What is done, runs, failed or is gone: by the records first, and then by the scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from benchmark import collected, json_file
from benchmark.errors import LetheError, present
from benchmark.records import Plan, Store, cell_path, read_record
from benchmark.study.executors import submission
from benchmark.study.executors.submission import Place

#: `failed`: the task ended without all its records; `gone`: it was cancelled, or Slurm does not
#: know it; `unknown`: Slurm cannot be asked; `not run`: it was never submitted.
State = Literal["done", "running", "waiting", "failed", "gone", "unknown", "not run"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Progress:
    """One unit of a study, such as one seed of an experiment.

    Attributes:
        group, part: its place.
        found, pieces: how many records there are, of how many.
        failures: how many of those say that their piece failed.
        place: the task that was submitted last; None if none was.
        reason: what Slurm and the log say of a task that is over too early.
        log: of that task, where there is one.
    """

    group: str
    part: str
    state: State
    found: int
    pieces: int
    failures: int
    place: Place | None = None
    reason: str = ""
    log: Path | None = None


def progress(store: Store) -> list[Progress]:
    """Every seed that an experiment of the store plans, every other study, every unit submitted.

    Raises:
        LetheError: if a plan or a submission is damaged, or a method that was submitted is gone.
    """
    submitted = {
        place: _of_tasks([_by_key(store, task) for task in tasks])
        for place, tasks in submission.submitted(store).items()
    }
    planned = {
        (plan.experiment, f"seed {seed}"): _by_plan(store, plan, seed)
        for plan in store.plans()
        for seed in plan.seeds
    }
    groups = {group for group, _ in submitted}
    begun = {
        (study, ""): _by_contents(store, study) for study in store.studies() if study not in groups
    }
    found = planned | begun | submitted
    asked = _asked(store, [one for one in found.values() if one.place and one.state != "done"])
    return sorted((asked.get(place, one) for place, one in found.items()), key=_in_order)


def counts(found: Iterable[Progress]) -> dict[str, Counter[State]]:
    """How many units of each group are in which state."""
    counted: dict[str, Counter[State]] = {}
    for one in found:
        counted.setdefault(one.group, Counter())[one.state] += 1
    return counted


def _in_order(one: Progress) -> tuple[str, list[tuple[bool, int, str]]]:
    """By group, then by part, numbers by their value."""
    return one.group, collected.in_order(one.part)


def _of_tasks(tasks: list[Progress]) -> Progress:
    """The last task that is not done, or else the last: others may have asked for other pieces."""
    return next((one for one in reversed(tasks) if one.state != "done"), tasks[-1])


def _by_contents(store: Store, study: str) -> Progress:
    """Progress of a study by the records that are there, current or not."""
    pieces = store.contents(study).pieces
    there = [path for path in pieces if collected.exists(store.folder / path)]
    contents = [json_file.load(store.folder / path, "record") for path in there]
    return Progress(
        group=study,
        part="all of it",
        state="done" if len(there) == len(pieces) else "not run",
        found=len(there),
        pieces=len(pieces),
        failures=sum(one.get("status") == "failed" for one in contents),
    )


def _by_key(store: Store, place: Place) -> Progress:
    """Progress by the records that the task's inputs ask for, as the code is now."""
    group, part = place.submission.tasks[place.index]
    (study, _), unit = place.submission.planned, place.unit
    pieces = [] if unit is None else unit.pieces
    records = [store.kept(piece.path, study.record, piece.key) for piece in pieces]
    found = [record for record in records if record is not None]
    return Progress(
        group=group,
        part=part,
        state="done" if unit is not None and len(found) == len(pieces) else "gone",
        found=len(found),
        pieces=len(pieces),
        failures=sum(record.status == "failed" for record in found),
        place=place,
    )


def _by_plan(store: Store, plan: Plan, seed: int) -> Progress:
    """Progress by the records that are there, current or not: a plan has no keys."""
    paths = [store.folder / cell_path(plan.experiment, row.label, seed) for row in plan.rows]
    records = [read_record(path) for path in paths if collected.exists(path)]
    return Progress(
        group=plan.experiment,
        part=f"seed {seed}",
        state="done" if len(records) == len(paths) else "not run",
        found=len(records),
        pieces=len(paths),
        failures=sum(record.status == "failed" for record in records),
    )


def _asked(store: Store, open_ones: list[Progress]) -> dict[tuple[str, str], Progress]:
    """What Slurm says of tasks whose records are not all there."""
    places = [present(one.place) for one in open_ones]
    try:
        queued = submission.in_queue(places)
        over = submission.afterwards([place for place in places if place not in queued])
    except LetheError as error:
        unknown = [replace(one, state="unknown", reason=str(error)) for one in open_ones]
        return {(one.group, one.part): one for one in unknown}
    told = []
    for one, place in zip(open_ones, places, strict=True):
        if place in queued:
            waits = queued[place] == "PENDING"
            told.append(replace(one, state="waiting" if waits else "running"))
        else:
            told.append(_over(store, place, over.get(place, "")))
    return {(one.group, one.part): one for one in told}


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
