"""Times of every way to (H + lambda I)^{-1} b, to a residual: ours, the paper's, libraries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch

from benchmark.bench.contender import (
    Answer,
    Contender,
    Run,
    Task,
    Unsolvable,
    contenders,
    find_contender,
    finish,
    peak_memory,
    rounds,
)
from benchmark.bench.record import (
    CLOCK,
    TOLERANCES,
    Outcome,
    Rule,
    SolverInfo,
    SolverRecord,
    Timer,
    kind_for,
    solver_path,
    stopwatch,
)
from benchmark.bench.systems import (
    RULES,
    OneSystem,
    Size,
    SystemSpec,
    Timings,
    chosen,
    inputs_of,
    system_again,
    systems,
)
from benchmark.contract.method import Source
from benchmark.errors import LetheError, unknown
from benchmark.records import fingerprint
from benchmark.runner.device import describe
from benchmark.runner.run_cell import measured
from benchmark.study.study import Listener, Unit

#: The damping whose solves also measure peak memory: it does not depend on the damping.
MEMORY_RULE: Rule = "0.1-norm"
#: No solver gets more products with the Hessian than this.
MAX_PRODUCTS: dict[Size, int] = {"smoke": 60, "full": 200}
#: A recursion's own residual drifts from the true one by round-off; 1 % covers it.
SLACK = 1.01


@dataclass(frozen=True)
class Effort:
    """Limits on the time that is spent; no answer depends on them.

    Attributes:
        budget: seconds for the rounds of one measurement.
        limit: seconds; a solve that would take longer is left out.
    """

    budget: float = 30.0
    limit: float = 600.0


@dataclass(frozen=True)
class Timed:
    """A solver on a system with one damping.

    Attributes:
        python: interpreter of pyDVL's environment, None if there is none.
    """

    spec: SystemSpec
    damping: Rule
    solver: SolverInfo
    device: str
    threads: int
    python: Path | None = None
    effort: Effort = Effort()

    @property
    def where(self) -> str:
        """The solve in words."""
        return f"{self.spec.title} on {self.device} · damping {self.damping} · {self.solver.title}"

    @property
    def path(self) -> str:
        """Place of its record in a results folder."""
        return solver_path(self.device, self.spec.name, self.damping, self.solver.name)

    @property
    def inputs(self) -> dict[str, Any]:
        """Everything that determines what is timed, and on what kind of machine."""
        return inputs_of(self.spec, self.damping, self.solver.name, self.device, self.threads)

    @property
    def key(self) -> str:
        """sha256 of `inputs`."""
        return fingerprint(self.inputs)


class SolverTimings(Timings[Timed, SolverRecord]):
    """Every solver on every system with every damping.

    Attributes:
        dampings: their rules; None for all.
        solvers: their names; None for all that are installed.
        pydvl: interpreter of pyDVL's environment.
        budget: seconds for the rounds of one measurement.
        limit: seconds; a solve that would take longer is left out.
    """

    name: ClassVar[str] = "solvers"
    title: ClassVar[str] = "Inverse-Hessian solvers against the clock"
    source: ClassVar[Source] = Source(
        paper="Zhang, Dong, Wang, Li: Towards Certified Unlearning for Deep Neural Networks, 2024",
        url="https://arxiv.org/abs/2408.00920",
    )
    record: ClassVar[type[SolverRecord]] = SolverRecord

    dampings: tuple[str, ...] | None = None
    solvers: tuple[str, ...] | None = None
    pydvl: Path | None = None
    budget: float = 30.0
    limit: float = 600.0

    def planned(self, device: str) -> list[Timed]:
        """See `Timings`."""
        return self._pieces(systems(self.size, device, None), RULES, self._contenders, device)

    def units(self, device: str) -> list[Unit[Timed]]:
        """A unit for each system and damping, of the solvers that are installed."""
        for name in ("budget", "limit"):
            if not getattr(self, name) > 0:
                raise LetheError(f"--{name} must be above 0 seconds, not {getattr(self, name):g}")
        rules = chosen("damping", self.dampings, RULES)
        specs = systems(self.size, device, self.systems)
        parts: dict[tuple[str, str], list[Timed]] = {}
        for piece in self._pieces(specs, rules, self._installed, device):
            parts.setdefault((piece.spec.name, piece.damping), []).append(piece)
        return [Unit(self.name, f"{system}, {rule}", its) for (system, rule), its in parts.items()]

    @property
    def lacking(self) -> dict[str, str]:
        """Why a solver that was asked for cannot be run here, by its title."""
        missing = {one.title: one.missing() for one in self._asked}
        return {title: reason for title, reason in missing.items() if reason}

    @cached_property
    def _contenders(self) -> tuple[Contender, ...]:
        if self.pydvl is not None and not self.pydvl.exists():
            raise LetheError(
                f"--pydvl {self.pydvl} does not exist: `make bench` makes that environment"
            )
        return contenders(self.pydvl, brief=self.size == "smoke")

    @property
    def _asked(self) -> list[Contender]:
        names = chosen("solver", self.solvers, [one.name for one in self._contenders])
        return [one for one in self._contenders if one.name in names]

    @property
    def _installed(self) -> list[Contender]:
        found = [one for one in self._asked if not one.missing()]
        if not found:
            raise LetheError("; ".join(f"{who}: {why}" for who, why in self.lacking.items()))
        return found

    def _pieces(
        self,
        specs: Sequence[SystemSpec],
        rules: Sequence[Rule],
        solvers: Sequence[Contender],
        device: str,
    ) -> list[Timed]:
        effort = Effort(self.budget, self.limit)
        return [
            Timed(spec, rule, _info(solver), device, self.threads, self.pydvl, effort)
            for spec in specs
            for rule in rules
            for solver in solvers
        ]

    @classmethod
    def open(cls, pieces: Sequence[Timed], device: torch.device, folder: Path | None) -> Solves:
        """One system at a time."""
        return Solves(device)

    @classmethod
    def again(cls, record: SolverRecord, device: str) -> tuple[Timed, list[str]]:
        """The solve of a record."""
        spec, remarks = system_again(record, record.system.name)
        threads = record.inputs["threads"]
        return Timed(spec, record.damping.rule, record.solver, device, threads), remarks


class Solves(OneSystem):
    """Bench that times solves of systems."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._contenders: dict[str, Contender] = {}

    def run(self, piece: Timed, listener: Listener, before: Sequence[Outcome] = ()) -> SolverRecord:
        """The record, to each tolerance that `before` does not have.

        See `benchmark.study.study.Bench`.
        """
        listener("system")
        bench = self._bench(piece.spec)

        def work() -> dict[str, Any]:
            outcomes = list(before)
            for tolerance in TOLERANCES[len(outcomes) :]:
                listener(f"to {tolerance:g}")
                outcomes.append(self.outcome(piece, tolerance, outcomes))
            listener("memory")
            return {"outcomes": tuple(outcomes), "peak_memory": self._peak(piece, outcomes)}

        known = {
            "status": "ok",
            "system": bench.info,
            "damping": bench.damping(piece.damping),
            "solver": piece.solver,
            "clock": kind_for(self._device.type, piece.threads),
        }
        record = measured(SolverRecord, piece.inputs, work, self._device, **known)
        versions = self._contender(piece).versions()
        where = describe(self._device)
        where = where.model_copy(update={"versions": where.versions | versions})
        return record.model_copy(update={"environment": where})

    def outcome(
        self,
        piece: Timed,
        tolerance: float,
        before: Sequence[Outcome],
        timer: Timer = stopwatch,
    ) -> Outcome:
        """Outcome of a solver, unless it follows from the looser tolerances `before`."""
        CLOCK.kind = kind_for(self._device.type, piece.threads)
        contender, looser = self._contender(piece), before[-1] if before else None
        if looser is not None and not contender.aims and looser.residual is not None:
            changes = {"tolerance": tolerance, **_judged(looser.residual, tolerance)}
            return looser.model_copy(update=changes)
        if looser is not None and looser.state != "reached":
            return looser.model_copy(update={"tolerance": tolerance})
        try:
            with contender.ready(self._task(piece, tolerance)) as run:
                return self._clocked(piece, tolerance, looser, run, timer)
        except Unsolvable as error:
            return Outcome(tolerance=tolerance, state="missed", remark=str(error))
        except (RuntimeError, ValueError, ArithmeticError, LetheError) as error:
            lines = str(error).splitlines() or [""]
            remark = f"{type(error).__name__}: {lines[0]}"
            return Outcome(tolerance=tolerance, state="failed", remark=remark)

    def _clocked(
        self, piece: Timed, tolerance: float, looser: Outcome | None, run: Run, timer: Timer
    ) -> Outcome:
        def whole() -> Answer:
            found = run.solve()
            finish(self._device)
            return found

        if looser is not None and looser.seconds:
            estimate = run.estimate or 2 * max(looser.seconds)
        else:  # from a first solve off the record, which warms up as well
            estimate = run.estimate or stopwatch(whole, 1)[1][0]
        if estimate > piece.effort.limit:
            remark = f"it would take about {estimate:.0f} s"
            return Outcome(tolerance=tolerance, state="not run", remark=remark, estimate=estimate)
        answer, seconds = timer(whole, rounds(estimate, piece.effort.budget))
        residual = self._bench(piece.spec).system(piece.damping).residual(answer.x)
        judged = _judged(residual, tolerance)
        remark = "; ".join(filter(None, [answer.remark, judged.pop("remark")]))
        return Outcome(
            tolerance=tolerance,
            seconds=seconds,
            residual=residual if math.isfinite(residual) else None,
            products=answer.products,
            remark=remark,
            **judged,
        )

    def _peak(self, piece: Timed, outcomes: Sequence[Outcome]) -> int | None:
        """Peak bytes of a solve to the first tolerance reached, at one of the dampings."""
        reached = [one.tolerance for one in outcomes if one.state == "reached"]
        if not reached or piece.damping != MEMORY_RULE:
            return None
        brief = piece.spec.size == "smoke"
        find = partial(find_contender, piece.solver.name, piece.python, brief=brief)
        return peak_memory(find, self._task(piece, reached[0]))

    def _task(self, piece: Timed, tolerance: float) -> Task:
        bench = self._bench(piece.spec)
        norm = max(bench.largest, -bench.smallest)
        return Task(bench.system(piece.damping), norm, tolerance, MAX_PRODUCTS[piece.spec.size])

    def _contender(self, piece: Timed) -> Contender:
        """The solver, which may keep a process from one tolerance to the next."""
        if not self._contenders:
            found = contenders(piece.python, brief=piece.spec.size == "smoke")
            self._contenders = {one.name: one for one in found}
        if piece.solver.name not in self._contenders:
            raise unknown("solver", piece.solver.name, self._contenders)
        return self._contenders[piece.solver.name]


def _info(contender: Contender) -> SolverInfo:
    return SolverInfo(
        name=contender.name,
        title=contender.title,
        family=contender.family,
        source=contender.source,
    )


def _judged(residual: float, tolerance: float) -> dict[str, str]:
    """State in which a solve ended, with a remark."""
    if residual <= SLACK * tolerance:
        return {"state": "reached", "remark": ""}
    ended = f"ended at {residual:.2g}" if math.isfinite(residual) else "diverged"
    return {"state": "missed", "remark": ended}
