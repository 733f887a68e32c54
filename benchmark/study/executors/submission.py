"""Submissions: what was handed to Slurm, written down before it is, and what became of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark import collected, json_file
from benchmark.errors import LetheError, explain, present
from benchmark.records import Plan, Store, cell_path, read_record
from benchmark.study.study import Study, Unit, find

# Submissions: what was handed to Slurm, written down beside the records before it is.

SCHEMA: Final = 2


class Submission(BaseModel):
    """One job of Slurm, with a task for each unit of a study.

    Attributes:
        name: of the job; no other has it, so that it is found even if its number was never written.
        submitted: when, in ISO 8601.
        job: Slurm's number for it; None until Slurm has told.
        device, threads, track: of every task; see `lethe run`.
        study: its name.
        settings: of the study, as they stood.
        tasks: the places of its units, in the order of the array.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[2] = SCHEMA
    name: str
    submitted: str
    job: str | None = None
    device: str
    threads: int
    track: Literal["off", "offline", "online"]
    study: str
    settings: dict[str, Any]
    tasks: tuple[tuple[str, str], ...]

    @cached_property
    def planned(self) -> tuple[Study, dict[tuple[str, str], Unit]]:
        """The study, and its units by their places, as the code is now.

        Raises:
            LetheError: if there is no such study any more, or its settings do not fit it.
        """
        try:
            study = find(self.study).model_validate(self.settings)
        except ValidationError as error:
            raise explain(error, f"submission {self.name}") from error
        return study, {unit.place: unit for unit in study.units(self.device)}


@dataclass(frozen=True, eq=False)
class Place:
    """A task: its submission and its number in the array."""

    submission: Submission
    index: int

    @property
    def unit(self) -> Unit | None:
        """The unit that it runs, as the code is now; None if there is none such any more.

        Raises:
            LetheError: if its study is gone, or a method that was asked for.
        """
        _, units = self.submission.planned
        return units.get(self.submission.tasks[self.index])

    @property
    def keys(self) -> frozenset[str]:
        """Keys of the pieces that it runs."""
        return frozenset(piece.key for piece in self.unit.pieces) if self.unit else frozenset()

    @property
    def job(self) -> str | None:
        """What Slurm calls it, e.g. `17_3`."""
        single = len(self.submission.tasks) == 1
        number = self.submission.job
        return number if number is None or single else f"{number}_{self.index}"


def folder_of(store: Store) -> Path:
    """Where submissions lie, each in a folder of its own with the logs of its tasks."""
    return store.folder / ".slurm"


def path_of(store: Store, name: str) -> Path:
    """The file of a submission."""
    return folder_of(store) / name / "submission.json"


def read(path: Path) -> Submission:
    """The submission in a file.

    Raises:
        LetheError: if it is damaged or of another version.
    """
    return json_file.read(path, "submission", SCHEMA, Submission.model_validate)


def write(store: Store, submission: Submission) -> None:
    """Put a submission, or what became known of it, on disk."""
    json_file.write(path_of(store, submission.name), submission)


def drop(store: Store, submission: Submission) -> None:
    """Forget a submission that Slurm did not take."""
    shutil.rmtree(path_of(store, submission.name).parent, ignore_errors=True)


def submitted(store: Store) -> dict[tuple[str, str], list[Place]]:
    """The tasks of every unit that was ever submitted, by the unit's place, the last one last.

    Raises:
        LetheError: if a file is damaged.
    """
    found = [read(path) for path in folder_of(store).glob("*/submission.json")]
    tasks: dict[tuple[str, str], list[Place]] = {}
    for submission in sorted(found, key=lambda one: one.submitted):
        for index, task in enumerate(submission.tasks):
            tasks.setdefault(task, []).append(Place(submission, index))
    return tasks


def log_of(store: Store, place: Place) -> Path:
    """What the task wrote to its standard error."""
    return path_of(store, place.submission.name).parent / f"{place.job}_0_log.err"


# Asking Slurm what became of tasks.

#: Seconds that a command of Slurm may take.
PATIENCE = 60


def in_queue(places: Collection[Place]) -> dict[Place, str]:
    """Slurm's word for each of these tasks that runs or waits; the others are left out.

    Raises:
        LetheError: if Slurm cannot be asked.
    """
    if not places:
        return {}
    names = ",".join(sorted({place.submission.name for place in places}))
    text = _ask("squeue", "--noheader", "--array", f"--name={names}", "--format=%j|%K|%T")
    words = {}
    for line in text.splitlines():
        name, index, word = line.split("|")
        words[name, int(index) if index.isdigit() else 0] = word
    known = {place: (place.submission.name, place.index) for place in places}
    return {place: words[key] for place, key in known.items() if key in words}


def afterwards(places: Collection[Place]) -> dict[Place, str]:
    """The accounting's word for tasks that are over; what it does not know is left out.

    Raises:
        LetheError: if there is an accounting and it cannot be asked.
    """
    jobs = sorted({place.submission.job for place in places if place.submission.job})
    if not jobs:
        return {}
    try:
        text = _ask(
            "sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State",
            f"--jobs={','.join(jobs)}",
        )  # fmt: skip
    except LetheError as error:
        if shutil.which("sacct") is None or "storage is disabled" in str(error):
            return {}  # a cluster without accounting
        raise
    words = {
        job: line.partition("|")[2]
        for line in text.splitlines()
        for job in expanded(line.partition("|")[0])
    }
    return {place: words[place.job] for place in places if place.job in words}


def expanded(job: str) -> Iterator[str]:
    """Every task of what accounting calls a job, e.g. `17_3` and `17_4` for `17_[3-4%2]`."""
    found = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", job)
    if found is None:
        yield job
        return
    for part in found[2].split(","):
        first, _, last = part.partition("-")
        yield from (f"{found[1]}_{index}" for index in range(int(first), int(last or first) + 1))


def _ask(*command: str) -> str:
    """What a command of Slurm prints."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or f"no answer in {PATIENCE} s"
        raise LetheError(
            f"{command[0]} cannot be asked ({reason}): is this the cluster?"
        ) from error
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise LetheError(f"{command[0]} cannot be asked ({reason}): try again later")
    return done.stdout


# What is done, runs, failed or is gone: by the records first, and then by the scheduler.


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
    handed_over = {
        place: _of_tasks([_by_key(store, task) for task in tasks])
        for place, tasks in submitted(store).items()
    }
    planned = {
        (plan.experiment, f"seed {seed}"): _by_plan(store, plan, seed)
        for plan in store.plans()
        for seed in plan.seeds
    }
    groups = {group for group, _ in handed_over}
    begun = {
        (study, ""): _by_contents(store, study) for study in store.studies() if study not in groups
    }
    found = planned | begun | handed_over
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
        queued = in_queue(places)
        over = afterwards([place for place in places if place not in queued])
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
    log = log_of(store, place)
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
