"""Submissions: what was handed to Slurm, written down beside the records before it is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from benchmark import json_file
from benchmark.experiments.experiment import Experiment
from benchmark.records import Store

SCHEMA = 1


class Task(BaseModel):
    """One seed of one experiment, by their names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    experiment: str
    seed: int


class Submission(BaseModel):
    """One job of Slurm, with a task for each seed.

    Attributes:
        name: of the job; no other has it, so that it is found even if its number was never written.
        submitted: when, in ISO 8601.
        job: Slurm's number for it; None until Slurm has told.
        device, threads, methods, track: of every task; see `lethe run`.
        experiments: by name, as they stood.
        tasks: in the order of the array.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA
    name: str
    submitted: str
    job: str | None = None
    device: str
    threads: int
    methods: tuple[str, ...] | None
    track: Literal["off", "offline", "online"]
    experiments: dict[str, Experiment]
    tasks: tuple[Task, ...]


@dataclass(frozen=True, eq=False)
class Place:
    """A task: its submission and its number in the array."""

    submission: Submission
    index: int

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


def latest(store: Store) -> dict[tuple[str, int], Place]:
    """The last task of every experiment and seed that was ever submitted.

    Raises:
        LetheError: if a file is damaged.
    """
    found = [read(path) for path in folder_of(store).glob("*/submission.json")]
    return {
        (task.experiment, task.seed): Place(submission, index)
        for submission in sorted(found, key=lambda one: one.submitted)
        for index, task in enumerate(submission.tasks)
    }


def log_of(store: Store, place: Place) -> Path:
    """What the task wrote to its standard error."""
    return path_of(store, place.submission.name).parent / f"{place.job}_0_log.err"
