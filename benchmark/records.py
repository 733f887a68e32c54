"""Records: one JSON file a cell, the only thing the leaderboard reads."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark import collected, json_file
from benchmark.contract.claim import Claim, Verdict
from benchmark.contract.seeds import Seeds
from benchmark.errors import LetheError
from benchmark.json_file import REMAKE, Sound
from benchmark.metrics.value import Number, Value

SCHEMA = 3
_KEY = re.compile(r"[0-9a-f]{64}")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MethodInfo(_Frozen):
    """Who answered the request.

    Attributes:
        label: the row's name within its experiment.
        family: `methods` or `baselines`, or the distribution an entry point came from.
        role: `entry`, `reference`, `floor` or `ceiling`.
        params: every parameter with its value.
    """

    name: str
    label: str
    title: str
    family: str
    role: Literal["entry", "reference", "floor", "ceiling"]
    certifies: bool
    paper: str
    url: str
    params: dict[str, Any]


class DataInfo(_Frozen):
    """What was learned from, and which rows.

    Attributes:
        content_hash: of each official split that was read.
        split_hash, forget_hash: sha256 of the row numbers.
        train, negatives, test, forget: how many rows.
    """

    name: str
    content_hash: dict[str, str]
    split_hash: str
    forget_hash: str
    train: int
    negatives: int
    test: int
    forget: int


class Times(_Frozen):
    """Seconds: of the processor on one CPU thread, else by the wall clock.

    Attributes:
        unlearn: the whole answer to a request; in a stream, the mean over its requests.
        phases: its named parts, likewise.
        training: of the original that was unlearned from (not part of `unlearn`).
        precomputation: of what the method computes once, for all requests (not part of `unlearn`).
        retrain: of the reference model, on the retained rows.
        tuning: of trying settings, before the first request (not part of `unlearn`); None if
            nothing was tuned.
    """

    unlearn: Number
    phases: dict[str, Number]
    training: Number
    precomputation: Number
    retrain: Number
    tuning: Number | None = None


class Trial(_Frozen):
    """One setting that was tried: its score, or what went wrong."""

    params: dict[str, Any]
    score: Number | None
    failure: str | None = None


class Tuned(_Frozen):
    """What tuning chose, and from what; see `benchmark.runner.tuning`."""

    params: dict[str, Any]
    trials: tuple[Trial, ...]


class Step(_Frozen):
    """One release of a stream.

    Attributes:
        epsilon: of this release alone.
        composed_epsilon: of all releases so far together, for someone who sees them all and
            whatever the requests were; None where they do not compose.
        measured_epsilon: the same of the distances that were bounded for these requests; None
            where the evidence is no distance.
        m: of this release.
        sigma: of the release noise, or of one noisy step.
        bound: the distance that the noise is made for; None where the evidence is none.
        reached: the least proved bound on the distance of this release.
        steps: taken on the retained rows; None where they are not counted.
        seconds: to answer the request.
    """

    epsilon: Number
    composed_epsilon: Number | None
    measured_epsilon: Number | None
    m: Number
    sigma: Number
    bound: Number | None
    reached: Number | None
    steps: int | None
    seconds: Number


class Environment(_Frozen):
    """Where and with what a cell ran.

    Attributes:
        cpu, gpu: what they are called.
        node: what a cluster calls the machine; None outside of one.
    """

    versions: dict[str, str]
    git_revision: str | None
    git_dirty: bool | None
    platform: str
    cpu: str
    gpu: str | None
    device: str
    threads: int
    load_average: float | None
    node: str | None = Field(None, exclude_if=lambda value: value is None)


class Failure(_Frozen):
    """What went wrong: the error's type and text, and the line of ours that raised it."""

    type: str
    message: str
    where: str


class Record(_Frozen):
    """One cell: one method, one experiment, one seed.

    Attributes:
        key: sha256 of `inputs`; a cell with the same key need not run again.
        inputs: everything that determines the result, enough to run the cell again.
        metrics: by name; numbers that the same inputs reproduce. None if it failed.
        claim: of the release; in a stream, of the last one.
        stream: every certified release of a stream of two requests or more.
        verdict: of the claim, or `none`; in a stream, the weakest.
        tuned: how the method's parameters were chosen; None if they were not.
        seconds: how long the cell took in all, failed or not.
        peak_memory: bytes above the level before the request; None if it was not measured.
    """

    schema_version: Literal[3] = SCHEMA
    kind: Literal["cell"] = "cell"
    key: str
    experiment: str
    status: Literal["ok", "failed"]
    method: MethodInfo
    seeds: Seeds
    inputs: dict[str, Any]
    data: DataInfo | None
    metrics: dict[str, Value] = {}
    claim: Claim | None = None
    stream: tuple[Step, ...] = ()
    verdict: Verdict = "none"
    times: Times | None = None
    tuned: Tuned | None = None
    seconds: float
    peak_memory: int | None = None
    environment: Environment
    failure: Failure | None = None
    finished: str


class PlannedRow(_Frozen):
    """A row that an experiment should have."""

    label: str
    name: str
    title: str
    family: str
    role: Literal["entry", "reference", "floor", "ceiling"]


class Plan(_Frozen):
    """What an experiment consists of, so that a missing cell can be shown as missing.

    Attributes:
        title, description: for people.
        settings: the experiment's settings, for people to read on the page.
        rows: the methods; each has one cell a seed.
        seeds: the seed numbers.
    """

    schema_version: Literal[3] = SCHEMA
    kind: Literal["plan"] = "plan"
    experiment: str
    title: str
    description: str
    settings: dict[str, str]
    rows: tuple[PlannedRow, ...]
    seeds: tuple[int, ...]


_File = Annotated[Record | Plan, Field(discriminator="kind")]


class _Envelope(BaseModel):
    content: _File


def read(path: Path) -> Record | Plan:
    """The record or plan in a file.

    Raises:
        LetheError: if it cannot be read, is no JSON or does not fit the schema.
    """
    return json_file.read(
        path, "record", SCHEMA, lambda content: _Envelope(content=content).content
    )


def read_record(path: Path) -> Record:
    """The cell in a file; see `read`."""
    content = read(path)
    if not isinstance(content, Record):
        raise LetheError(f"{path} is an experiment's plan, not the record of a cell")
    return content


def fingerprint(content: dict[str, Any]) -> str:
    """sha256, in hex, of a JSON value, whatever the order of its keys."""
    return json_file.digest(content)


class Store:
    """A results folder: `<experiment>/plan.json` and `<experiment>/<label>/seed-<n>.json`.

    Each of them is a file, or a line of `<experiment>.jsonl`; see `benchmark.collected`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def plan_path(self, experiment: str) -> Path:
        return self.folder / experiment / "plan.json"

    def cell_path(self, experiment: str, label: str, seed: int) -> Path:
        return self.folder / experiment / label / f"seed-{seed}.json"

    def keep_plan(self, plan: Plan) -> None:
        """Write a plan unless it is there."""
        path = self.plan_path(plan.experiment)
        try:
            known = collected.exists(path) and read(path) == plan
        except LetheError:
            known = False
        if not known:
            json_file.write(path, plan)

    def read_cell(self, path: Path) -> Record:
        """The record at `path`, which lies where its content says and has the key of its inputs.

        Raises:
            LetheError: for a damaged file; `Sound` for one that contradicts itself or its place.
        """
        record = read_record(path)
        cell = (record.experiment, record.method.label, record.seeds.split)
        if (place := self.cell_path(*cell)) != path:
            words = "experiment {}, label {}, seed {}".format(*cell)
            if collected.exists(place):
                raise Sound(f"two records claim {words}: delete {path}, or the one in its place")
            raise Sound(f"record {path} says that it is of {words}: move it there or delete it")
        # a key of another form was made by hand, for inputs that are none
        if _KEY.fullmatch(record.key) and record.key != fingerprint(record.inputs):
            raise Sound(f"record {path} has a key that does not fit its inputs: {REMAKE}")
        return record

    def plans(self) -> list[Plan]:
        """Every experiment's plan, by name.

        Raises:
            LetheError: for a damaged file.
        """
        found = {path: read(path) for path in self._paths("*/plan.json")}
        plans = {path: plan for path, plan in found.items() if isinstance(plan, Plan)}
        for path, plan in plans.items():
            if self.plan_path(plan.experiment) != path:
                raise Sound(
                    f"plan {path} says that it is of experiment {plan.experiment}: move it there "
                    "or delete it"
                )
        return list(plans.values())

    def records(self, experiment: str) -> list[Record]:
        """Every cell of an experiment, by label and seed.

        Raises:
            LetheError: for a damaged file.
        """
        pattern = f"{glob.escape(experiment)}/*/seed-*.json"
        return [self.read_cell(path) for path in self._paths(pattern)]

    def experiments(self) -> list[str]:
        """Names of the experiments that have a plan or a cell, in order."""
        found = [*self._paths("*/plan.json"), *self._paths("*/*/seed-*.json")]
        return sorted({path.relative_to(self.folder).parts[0] for path in found})

    def _paths(self, pattern: str) -> list[Path]:
        return collected.paths(self.folder, pattern)
