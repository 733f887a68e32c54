"""The paper's question: what does an efficient inverse Hessian save over the exact one?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import torch
from torch import Tensor

from benchmark.bench.record import CLOCK, kind_for
from benchmark.bench.systems import SPECS, Bench, SystemSpec, find_system, prepare, system_again
from benchmark.contract.method import Source
from benchmark.curvature.factor import LARGEST_DIMENSION
from benchmark.curvature.hessian import multiply
from benchmark.errors import LetheError
from benchmark.records import fingerprint
from benchmark.runner.device import cpu_model
from benchmark.runner.run_cell import measured
from benchmark.solvers.solver import SOLVERS
from benchmark.solvers.solver import System as LinearSystem
from benchmark.studies.inverse_hessian_record import SCHEMA, Answer, PanelRecord, path_of
from benchmark.study.study import Listener, Study, Unit

#: The paper's MLP, on digits, where the inverse is taken, and on MNIST, where it takes an hour.
SYSTEMS = (SPECS["smoke"][0].name, SPECS["full"][0].name)
#: Solvers and the relative residuals they aim at; LiSSA has a depth instead.
SOLVES = {"lissa": 1e-3, "lissa-averaged": 1e-3, "cg": 1e-3, "svrg": 1e-3}
#: Of the reference solution, near what float32 allows.
REFERENCE = 1e-6
MAX_PRODUCTS = 400
ROUNDS = 3
#: Where the matrix is too large, so many of its columns are computed and a matrix of this order
#: is factorised; time grows with the order and its cube.
COLUMNS, ORDER = 64, 4096


@dataclass(frozen=True)
class System:
    """A system, to be solved by every solver.

    Attributes:
        solves: the residuals that solvers aim at, by their names.
    """

    spec: SystemSpec
    device: str
    solves: dict[str, float]

    @property
    def where(self) -> str:
        """The system in words."""
        return self.spec.title

    @property
    def path(self) -> str:
        """Place of its record in a results folder."""
        return path_of(self.spec.name)

    @property
    def inputs(self) -> dict[str, Any]:
        """Everything that determines the system and the machine's kind."""
        content = {"schema": SCHEMA, "system": self.spec.key, "name": self.spec.name}
        machine = {"cpu": cpu_model(), "device": self.device, "largest": LARGEST_DIMENSION}
        return content | machine | {"solves": self.solves}

    @property
    def key(self) -> str:
        """sha256 of `inputs`."""
        return fingerprint(self.inputs)


class InverseHessian(Study[System, PanelRecord]):
    """Efficient solvers against the exact inverse, each system a unit.

    Attributes:
        systems: their names.
    """

    name: ClassVar[str] = "inverse-hessian"
    title: ClassVar[str] = "Efficient against exact inverse Hessian"
    source: ClassVar[Source] = Source(
        paper="Zhang, Dong, Wang, Li: Towards Certified Unlearning for Deep Neural Networks, 2024",
        url="https://arxiv.org/abs/2408.00920",
    )
    record: ClassVar[type[PanelRecord]] = PanelRecord

    systems: tuple[str, ...] = SYSTEMS

    def units(self, device: str) -> list[Unit[System]]:
        """A unit for each system."""
        if device != "cpu":
            raise LetheError("the exact inverse is timed on one CPU thread: use --device cpu")
        found = (System(find_system(name), device, SOLVES) for name in self.systems)
        return [Unit("inverse-hessian", one.spec.name, [one]) for one in found]

    @classmethod
    def open(cls, pieces: Sequence[System], device: torch.device, folder: Path | None) -> Solves:
        """Nothing is shared."""
        return Solves(device)

    @classmethod
    def again(cls, record: PanelRecord, device: str) -> tuple[System, list[str]]:
        """The system of a record."""
        spec, remarks = system_again(record, record.system)
        return System(spec, device, record.inputs["solves"]), remarks


@dataclass(frozen=True)
class Solves:
    """Solves systems, on the clock."""

    device: torch.device

    @property
    def intact(self) -> bool:
        """Nothing is shared that could change."""
        return True

    def run(self, piece: System, listener: Listener) -> PanelRecord:
        """See `benchmark.study.study.Bench`."""
        CLOCK.kind = kind_for("cpu", threads=1)

        def work() -> dict[str, Any]:
            listener("training")
            return panel(prepare(piece.spec, self.device), piece.solves, listener)

        known = {"status": "ok", "system": piece.spec.name}
        return measured(PanelRecord, piece.inputs, work, self.device, **known)


def panel(
    bench: Bench, solves: Mapping[str, float], listener: Callable[[str], object]
) -> dict[str, Any]:
    """Every solver on one system, at damping 0.1 ||H||."""
    system = bench.system("0.1-norm")
    listener("reference")
    reference = _solve("cg", system, REFERENCE)
    answers = []
    for name, tolerance in solves.items():
        listener(SOLVERS[name].title)
        answers.append(_timed(name, system, tolerance, reference))
    listener("exact")
    dense = len(bench.b) <= LARGEST_DIMENSION
    return {
        "heading": bench.spec.title,
        "rows": len(bench.rows),
        "dimension": len(bench.b),
        "condition": bench.damping("0.1-norm").condition,
        "exact": _timed("cholesky", system, REFERENCE, reference) if dense else _projected(system),
        "answers": tuple(answers),
        "remark": "measured" if dense else _REMARK.format(columns=COLUMNS, order=ORDER),
    }


_REMARK = (
    "too large to form here: extrapolated from {columns} columns of the matrix, linearly, and the "
    "factor of a matrix of order {order:,}, by the cube of the order"
)


def _solve(name: str, system: LinearSystem, tolerance: float) -> Tensor:
    """A solution (d,) by a solver that builds its operator anew."""
    generator = torch.Generator().manual_seed(0)
    budget = max(MAX_PRODUCTS, len(system.b) if name == "cholesky" else 0)
    return SOLVERS[name].solve(replace(system), tolerance, budget, generator).x


def _timed(name: str, system: LinearSystem, tolerance: float, reference: Tensor) -> Answer:
    rounds = 1 if name == "cholesky" else ROUNDS
    runs = [_clocked(lambda: _solve(name, system, tolerance)) for _ in range(rounds)]
    x = runs[-1][1]
    return Answer(
        title=SOLVERS[name].title,
        seconds=median(seconds for seconds, _ in runs),
        residual=system.residual(x),
        error=float((x - reference).norm() / reference.norm()),
    )


def _projected(system: LinearSystem) -> Answer:
    """What the dense inverse would take, from a part of its columns and a smaller factor."""
    d = len(system.b)
    columns = torch.zeros(COLUMNS, d, dtype=system.b.dtype)
    columns[:, :COLUMNS].fill_diagonal_(1)
    setup, operator = _clocked(lambda: replace(system).operator)
    part, _ = _clocked(lambda: multiply(operator, columns))
    matrix = torch.eye(ORDER, dtype=torch.float64).mul_(2.0)
    factor, _ = _clocked(lambda: torch.linalg.cholesky(matrix))
    seconds = setup + part * d / COLUMNS + factor * (d / ORDER) ** 3
    return Answer(title=SOLVERS["cholesky"].title, seconds=seconds, measured=False)


def _clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what `work` gives."""
    start = CLOCK()
    found = work()
    return CLOCK() - start, found
