"""What the benchmark files share: options, the loaded system, the records that are there."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from benchmark import collected, json_file
from benchmark.bench.clock import CLOCK, kind_for
from benchmark.bench.contender import Contender, Task, contenders
from benchmark.bench.measure import peak_memory
from benchmark.bench.record import (
    TOLERANCES,
    Folder,
    OperatorRecord,
    Outcome,
    PlannedRun,
    PlannedSolver,
    PlannedSystem,
    Rule,
    SolverRecord,
    read,
)
from benchmark.bench.systems import RULES, Bench, Size, SystemSpec, prepare, specs
from benchmark.errors import LetheError
from benchmark.records import Environment
from benchmark.runner.cell import fingerprint
from benchmark.runner.device import prepare as prepare_device
from benchmark.runner.environment import cpu_model, describe

#: Raise this when a change to the benchmark changes what is timed.
RECIPE = 1

#: The damping whose solves also measure peak memory: it does not depend on the damping.
MEMORY_RULE: Rule = "0.1-norm"

#: No solver gets more products with the Hessian than this.
MAX_PRODUCTS: dict[Size, int] = {"smoke": 60, "full": 200}


@dataclass(frozen=True)
class Work:
    """A solver on a system with one damping, to one tolerance."""

    spec: SystemSpec
    rule: Rule
    contender: Contender
    tolerance: float

    @property
    def label(self) -> str:
        return f"{self.spec.name}-{self.rule}-{self.contender.name}-{self.tolerance:g}"


@dataclass
class Session:
    """One run of the benchmark.

    Attributes:
        folder: of the records.
        python: interpreter of pyDVL's environment, None if there is none.
        budget: seconds for the rounds of one measurement.
        limit: seconds; a solve that would take longer is left out.
        fresh: measure again what is there.
    """

    size: Size
    folder: Folder
    device: torch.device
    python: Path | None
    budget: float
    limit: float
    fresh: bool
    warm: set[tuple[str, str]] = field(default_factory=set)
    _contenders: tuple[Contender, ...] = ()
    _begun: set[Path] = field(default_factory=set)
    _left: set[str] = field(default_factory=set)
    _bench: Bench | None = None

    @property
    def specs(self) -> tuple[SystemSpec, ...]:
        """The systems of this size that the device solves."""
        return specs(self.size, self.device)

    def contenders(self) -> tuple[Contender, ...]:
        """Everything that is compared."""
        if not self._contenders:
            self._contenders = contenders(self.python, brief=self.size == "smoke")
        return self._contenders

    def work(self) -> list[Work]:
        """Everything there is to do, system by system, so that one at a time is loaded."""
        return [
            Work(spec, rule, contender, tolerance)
            for spec in self.specs
            for rule in RULES
            for contender in self.contenders()
            for tolerance in TOLERANCES
        ]

    def plan(self) -> PlannedRun:
        """What the run consists of, whatever part of it was asked for."""
        return PlannedRun(
            device=self.device.type,
            size=self.size,
            systems=tuple(PlannedSystem(name=s.name, title=s.title) for s in self.specs),
            rules=RULES,
            solvers=tuple(
                PlannedSolver(name=c.name, title=c.title, family=c.family, source=c.source)
                for c in self.contenders()
            ),
        )

    def bench(self, spec: SystemSpec) -> Bench:
        """The system, loaded; the one before is let go."""
        if self._bench is None or self._bench.spec != spec:
            self._bench = None
            gc.collect()
            self._bench = prepare(spec, self.device)
        return self._bench

    def task(self, work: Work) -> Task:
        bench = self.bench(work.spec)
        norm = max(bench.largest, -bench.smallest)
        return Task(bench.system(work.rule), norm, work.tolerance, MAX_PRODUCTS[self.size])

    # --- records --------------------------------------------------------------------------------

    def keep_plan(self) -> None:
        """Add the run to the folder's plan, which keeps those of other sizes and devices.

        Raises:
            LetheError: if the plan that is there is damaged.
        """
        there = self.folder.plan()
        plan = there.with_run(self.plan())
        if plan != there:
            json_file.write(self.folder.plan_path, plan)

    def environment(self, contender: Contender | None = None) -> Environment:
        found = describe(self.device)
        extra = contender.versions() if contender is not None else {}
        return found.model_copy(update={"versions": found.versions | extra})

    def solver_path(self, work: Work) -> Path:
        return self.folder.solver_path(
            self.device.type, work.spec.name, work.rule, work.contender.name
        )

    def kept(self, work: Work) -> Outcome | None:
        """The outcome that is there and current; "not run" is not kept, another limit may allow it.

        Within one run it is what a looser tolerance has shown.
        """
        record = self._solver_record(work)
        found = None if record is None else record.outcome(work.tolerance)
        if found is not None and found.state == "not run" and work.label not in self._left:
            return None
        return found

    def keep(self, work: Work, outcome: Outcome) -> None:
        """Add an outcome to the record, which is on disk when this returns."""
        path, bench, contender = self.solver_path(work), self.bench(work.spec), work.contender
        record = self._solver_record(work) or SolverRecord(
            key=self._key(work.spec, work.rule, contender.name),
            system=bench.info,
            damping=bench.damping(work.rule),
            name=contender.name,
            title=contender.title,
            family=contender.family,
            source=contender.source,
            clock=CLOCK.kind,
            environment=self.environment(contender),
            finished=_now(),
        )
        changes = {"environment": self.environment(contender), "finished": _now()}
        if outcome.state == "reached" and record.peak_memory is None and work.rule == MEMORY_RULE:
            find = partial(find_contender, contender.name, self.python, self.size)
            changes["peak_memory"] = peak_memory(find, self.task(work))
        self._begun.add(path)
        if outcome.state == "not run":
            self._left.add(work.label)
        json_file.write(path, record.model_copy(update=changes).with_outcome(outcome))

    def kept_operator(self, spec: SystemSpec, name: str) -> OperatorRecord | None:
        """The operator's record that is there and current."""
        path = self.folder.operator_path(self.device.type, spec.name, name)
        record = self._current(path, self._key(spec, "operator", name))
        return record if isinstance(record, OperatorRecord) else None

    def keep_operator(self, spec: SystemSpec, name: str, **measured: object) -> None:
        """Write an operator's record."""
        path = self.folder.operator_path(self.device.type, spec.name, name)
        known = {
            "key": self._key(spec, "operator", name),
            "system": self.bench(spec).info,
            "name": name,
            "clock": CLOCK.kind,
            "environment": self.environment(),
            "finished": _now(),
        }
        record = OperatorRecord(**known | measured)
        json_file.write(path, record)
        self._begun.add(path)

    def _solver_record(self, work: Work) -> SolverRecord | None:
        key = self._key(work.spec, work.rule, work.contender.name)
        record = self._current(self.solver_path(work), key)
        return record if isinstance(record, SolverRecord) else None

    def _current(self, path: Path, key: str) -> SolverRecord | OperatorRecord | None:
        """The record at `path` if it is of this system and machine; a damaged one is made again."""
        if not collected.exists(path) or (self.fresh and path not in self._begun):
            return None
        return json_file.current(partial(read, path), key)

    def _key(self, spec: SystemSpec, what: str, name: str) -> str:
        return fingerprint(
            {
                "recipe": RECIPE,
                "system": spec.key,
                "what": what,
                "name": name,
                "cpu": cpu_model(),
                "device": self.device.type,
                "threads": torch.get_num_threads(),
            }
        )


def open_session(
    *,
    size: Size,
    out: Path,
    device: str,
    threads: int,
    pydvl: Path | None,
    budget: float,
    limit: float,
    fresh: bool,
) -> Session:
    """A session by its options; the device is held to deterministic arithmetic and warm.

    Raises:
        LetheError: for an option that makes no sense.
    """
    for name, value in (("budget", budget), ("limit", limit)):
        if not value > 0:
            raise LetheError(f"--{name} must be above 0 seconds, not {value:g}")
    if out.exists() and not out.is_dir():
        raise LetheError(f"--out {out} is a file: name a folder")
    if pydvl is not None and not pydvl.exists():
        raise LetheError(f"--pydvl {pydvl} does not exist: `make bench` makes that environment")
    CLOCK.kind = kind_for(device, threads)
    return Session(
        size=size,
        folder=Folder(out),
        device=prepare_device(device, threads),
        python=pydvl,
        budget=budget,
        limit=limit,
        fresh=fresh,
    )


def find_contender(name: str, python: Path | None, size: Size) -> Contender:
    """The contender of that name."""
    (found,) = [c for c in contenders(python, brief=size == "smoke") if c.name == name]
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
