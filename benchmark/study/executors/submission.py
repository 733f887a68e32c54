"""Submissions: what was handed to Slurm, written down before it is, and what became of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmark import json_file
from benchmark.errors import LetheError, explain
from benchmark.records import Store
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
