"""Records: one JSON file a cell, the only thing the leaderboard reads."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from benchmark import collected, json_file, names
from benchmark.contract.claim import Claim, Verdict
from benchmark.contract.seeds import Seeds
from benchmark.contract.value import Number, Value
from benchmark.errors import LetheError
from benchmark.facts import Facts
from benchmark.json_file import REMAKE, Sound
from benchmark.properties.finding import Kept

SCHEMA: Final = 3
CONTENTS = "contents.json"
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
        public: how many that never ask for deletion; None if there are none.
    """

    name: str
    content_hash: dict[str, str]
    split_hash: str
    forget_hash: str
    train: int
    negatives: int
    test: int
    forget: int
    public: int | None = Field(None, exclude_if=lambda value: value is None)


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
    """Setting that tuning chose, and its trials; see `benchmark.runner.cell`."""

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


class Envelope(_Frozen):
    """What every record of every study says: what determines it, and how and where it was made.

    A study's own records are derived from it, with a `schema_version`, a `kind` and what they
    found.

    Attributes:
        key: sha256 of `inputs`; a piece with the same key need not run again.
        inputs: everything that determines the numbers, enough to make the record again.
        seconds: how long it took in all, failed or not.
    """

    key: str
    inputs: dict[str, Any]
    status: Literal["ok", "failed"]
    seconds: float
    environment: Environment
    failure: Failure | None = None
    finished: str
    _beside: bytes | None = PrivateAttr(None)

    def keep_beside(self, content: bytes | None) -> None:
        """Have the store keep `content` under the record's key when it writes the record."""
        self._beside = content

    def taken_beside(self) -> bytes | None:
        """What is to be kept beside the record, handed over once."""
        content, self._beside = self._beside, None
        return content

    @property
    def group(self) -> str:
        """The larger whole that it is a part of, such as an experiment."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """What it is called within its group."""
        raise NotImplementedError

    @property
    def path(self) -> str:
        """Where it lies in a results folder."""
        raise NotImplementedError

    def numbers(self) -> dict[str, Any]:
        """What the inputs determine, under flat names; times are not among it."""
        raise NotImplementedError

    def summary(self) -> dict[str, float | str]:
        """Its numbers for a tracker, under flat names."""
        found = {"status": self.status, **self.numbers(), "seconds": self.seconds}
        return {
            name: value for name, value in found.items() if isinstance(value, int | float | str)
        }


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _Training(_Part):
    radius: float | None = None


class _Problem(_Part):
    training: _Training = _Training()


class _Forget(_Part):
    requests: int = 1
    count: int | None = None


class _Target(_Part):
    epsilon: float
    delta: float


class Asked(_Part):
    """What the board reads of a cell's inputs, whichever version wrote them."""

    problem: _Problem = _Problem()
    forget: _Forget = _Forget()
    target: _Target | None = None


class Record(Envelope):
    """One cell: one method, one experiment, one seed.

    Attributes:
        metrics: by name; numbers that the same inputs reproduce. None if it failed.
        claim: of the release; in a stream, of the last one.
        stream: every certified release of a stream of two requests or more.
        verdict: of the claim, or `none`; in a stream, the weakest.
        tuned: how the method's parameters were chosen; None if they were not.
        peak_memory: bytes above the level before the request; None if it was not measured.
        kept: what became of the experiment's property; None where it declares none.
    """

    schema_version: Literal[3] = SCHEMA
    kind: Literal["cell"] = "cell"
    experiment: str
    method: MethodInfo
    seeds: Seeds
    data: DataInfo | None
    metrics: dict[str, Value] = {}
    claim: Claim | None = None
    stream: tuple[Step, ...] = ()
    verdict: Verdict = "none"
    times: Times | None = None
    tuned: Tuned | None = None
    peak_memory: int | None = None
    kept: Kept | None = Field(None, exclude_if=lambda value: value is None)

    @field_validator("inputs")
    @classmethod
    def _readable(cls, inputs: dict[str, Any]) -> dict[str, Any]:
        Asked.model_validate(inputs)
        return inputs

    @property
    def asked(self) -> Asked:
        """What the inputs ask for."""
        return Asked.model_validate(self.inputs)

    @property
    def group(self) -> str:
        """Its experiment."""
        return self.experiment

    @property
    def title(self) -> str:
        """Its row and seed."""
        return f"{self.method.label}-seed-{self.seeds.training}"

    @property
    def path(self) -> str:
        """Where it lies in a results folder."""
        return cell_path(self.experiment, self.method.label, self.seeds.split)

    def numbers(self) -> dict[str, Any]:
        """Metrics, verdict, what is claimed and why, and the hashes of the rows."""
        flat: dict[str, Any] = {"status": self.status, "verdict": self.verdict}
        if self.data is not None:
            flat["split_hash"] = self.data.split_hash
            flat["forget_hash"] = self.data.forget_hash
        flat |= {name: metric.value for name, metric in self.metrics.items()}
        flat |= {} if self.kept is None else self.kept.numbers()
        if self.claim is not None:
            flat |= {f"claim.{name}": getattr(self.claim, name) for name in ("epsilon", "delta")}
            evidence = self.claim.evidence.model_dump()
            for name in ("bound", "sigma", "reached"):
                flat |= {f"evidence.{name}": evidence[name]} if name in evidence else {}
            for group in ("constants", "measured"):
                flat |= {f"constant.{c['name']}": c["value"] for c in evidence.get(group, ())}
        return flat

    def summary(self) -> dict[str, float | str]:
        """Metrics, claim and times; what has no value is left out."""
        flat: dict[str, float | str] = {"status": self.status, "verdict": self.verdict}
        for name, metric in self.metrics.items():
            if metric.value is not None:
                flat[name] = metric.value
        if self.claim is not None:
            flat |= {"claim_epsilon": self.claim.epsilon, "claim_delta": self.claim.delta}
            flat |= {"claim_m": self.claim.guarantee.m}
            for name in ("bound", "sigma"):
                value = getattr(self.claim.evidence, name, None)
                flat |= {} if value is None else {f"claim_{name}": value}
        if self.times is not None:
            flat["time_unlearn"] = self.times.unlearn
            flat["time_retrain"] = self.times.retrain
            flat |= {f"time_{phase}": seconds for phase, seconds in self.times.phases.items()}
        return flat


E = TypeVar("E", bound=Envelope)


class PlannedRow(_Frozen):
    """A row that an experiment should have.

    Attributes:
        like: the label of the row that it is, but for what it is called after.
    """

    label: str
    name: str
    title: str
    family: str
    role: Literal["entry", "reference", "floor", "ceiling"]
    like: str | None = Field(None, exclude_if=lambda value: value is None)


class Plan(_Frozen):
    """What an experiment consists of, so that a missing cell can be shown as missing.

    Attributes:
        title, description: for people.
        settings: the experiment's settings, for people to read on the page.
        facts: the same for programs; None if an earlier version wrote the plan.
        rows: the methods; each has one cell a seed.
        seeds: the seed numbers.
    """

    schema_version: Literal[3] = SCHEMA
    kind: Literal["plan"] = "plan"
    experiment: str
    title: str
    description: str
    settings: dict[str, str]
    facts: Facts | None = Field(None, exclude_if=lambda value: value is None)
    rows: tuple[PlannedRow, ...]
    seeds: tuple[int, ...]


def is_forged(record: Envelope) -> bool:
    """Whether the key is not that of the inputs; one of another form was made by hand, for none."""
    return bool(_KEY.fullmatch(record.key)) and record.key != fingerprint(record.inputs)


def read_record(path: Path) -> Record:
    """The record of a cell in a file, wherever that lies.

    Raises:
        LetheError: if it cannot be read, is no JSON or does not fit the schema.
    """
    return json_file.read(path, "record", SCHEMA, Record.model_validate)


def read_plan(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        LetheError: if it cannot be read, is no JSON or does not fit the schema.
    """
    return json_file.read(path, "record", SCHEMA, Plan.model_validate)


def _keep(path: Path, content: BaseModel, read: Callable[[Path], BaseModel]) -> None:
    """Write a file unless it says that already; a damaged one is written anew.

    Raises:
        Sound: for one that was edited by hand, or is of a newer version.
    """
    try:
        known = collected.exists(path) and read(path) == content
    except Sound:
        raise
    except LetheError:  # damaged
        known = False
    if not known:
        json_file.write(path, content)


def cell_path(experiment: str, label: str, seed: int) -> str:
    """Where a results folder keeps the record of a cell."""
    return f"{experiment}/{label}/seed-{seed}.json"


class Contents(_Frozen):
    """What a study consists of, so that a missing record can be shown as missing.

    Attributes:
        pieces: in words, by the path of the record.
    """

    schema_version: Literal[1] = 1
    kind: Literal["contents"] = "contents"
    pieces: dict[str, str]


@dataclass(frozen=True)
class Gathered(Generic[E]):
    """What there is of a study: its records in order, and what has none, in words."""

    records: list[E]
    missing: list[str]


def study_path(study: str, *parts: str) -> str:
    """Where a results folder keeps a file of a study; no experiment's folder is called so."""
    return "/".join((f"{study}{names.STUDY}", *parts))


def fingerprint(content: dict[str, Any]) -> str:
    """sha256, in hex, of a JSON value, whatever the order of its keys."""
    return json_file.digest(content)


class Store:
    """A results folder: a file, or a line of a `.jsonl` file, for every record and plan.

    The cells of experiments lie at `<experiment>/<label>/seed-<n>.json`, their plan beside them at
    `<experiment>/plan.json`; see `benchmark.collected` for the lines.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def artifacts(self) -> Path:
        """Where trained models are kept; it may be deleted."""
        return self.folder / ".artifacts"

    def put(self, path: str, record: Envelope) -> None:
        """Write a record; it is on disk when this returns.

        Raises:
            LetheError: if it cannot be written, or what is there is of a newer version.
        """
        json_file.write(self.folder / path, record)

    def kept(self, path: str, kind: type[E], key: str) -> E | None:
        """The record at `path` if it is of the same inputs; a damaged one is made again.

        Raises:
            Sound: for what must not be made again in its place.
        """
        return json_file.current(partial(self.read, self.folder / path, kind), key)

    def read(self, path: Path, kind: type[E]) -> E:
        """The record at `path`, which lies where its content says and has the key of its inputs.

        Raises:
            LetheError: for a damaged file; `Sound` for one that contradicts itself or its place.
        """
        schema = kind.model_fields["schema_version"].default
        record = json_file.read(path, "record", schema, kind.model_validate)
        if (place := self.folder / record.path) != path:
            words = f"{record.group}, {record.title}"
            if collected.exists(place):
                raise Sound(f"two records claim {words}: delete {path}, or the one in its place")
            raise Sound(f"record {path} says that it is of {words}: move it there or delete it")
        if is_forged(record):
            raise Sound(f"record {path} has a key that does not fit its inputs: {REMAKE}")
        return record

    def read_all(self, pattern: str, kind: type[E]) -> list[E]:
        """Every record whose path fits a glob pattern, by path.

        Raises:
            LetheError: for a damaged file.
        """
        return [self.read(path, kind) for path in collected.paths(self.folder, pattern)]

    # --- studies --------------------------------------------------------------------------------

    def keep_contents(self, study: str, pieces: dict[str, str]) -> None:
        """Write what a study consists of, unless it is there.

        Raises:
            Sound: see `_keep`.
        """
        path, contents = self.folder / study_path(study, CONTENTS), Contents(pieces=pieces)
        _keep(path, contents, lambda _: self.contents(study))

    def gathered(self, study: str, kind: type[E]) -> Gathered[E] | None:
        """The records of what a study consists of; None if it was never begun.

        Raises:
            LetheError: for a damaged file.
        """
        path = self.folder / study_path(study, CONTENTS)
        if not collected.exists(path):
            return None
        pieces = self.contents(study).pieces
        there = {one: self.folder / one for one in pieces if collected.exists(self.folder / one)}
        return Gathered(
            [self.read(path, kind) for path in there.values()],
            [words for one, words in pieces.items() if one not in there],
        )

    def contents(self, study: str) -> Contents:
        """What a study consists of.

        Raises:
            LetheError: if it was never begun, or the file is damaged.
        """
        path = self.folder / study_path(study, CONTENTS)
        return json_file.read(path, "table of contents", 1, Contents.model_validate)

    def studies(self) -> list[str]:
        """Names of the studies that were begun, other than experiments."""
        found = collected.paths(self.folder, f"*{names.STUDY}/{CONTENTS}")
        return [path.parent.name.removesuffix(names.STUDY) for path in found]

    # --- experiments ----------------------------------------------------------------------------

    def plan_path(self, experiment: str) -> Path:
        return self.folder / experiment / "plan.json"

    def cell_path(self, experiment: str, label: str, seed: int) -> Path:
        return self.folder / cell_path(experiment, label, seed)

    def keep_plan(self, plan: Plan) -> None:
        """Write a plan unless it is there.

        Raises:
            Sound: see `_keep`.
        """
        _keep(self.plan_path(plan.experiment), plan, read_plan)

    def plans(self) -> list[Plan]:
        """Every experiment's plan, by name.

        Raises:
            LetheError: for a damaged file.
        """
        plans = {path: read_plan(path) for path in collected.paths(self.folder, "*/plan.json")}
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
        return self.read_all(f"{glob.escape(experiment)}/*/seed-*.json", Record)

    def experiments(self) -> list[str]:
        """Names of the experiments that have a plan or a cell, in order."""
        patterns = ("*/plan.json", "*/*/seed-*.json")
        found = [path for one in patterns for path in collected.paths(self.folder, one)]
        return sorted({path.relative_to(self.folder).parts[0] for path in found})
