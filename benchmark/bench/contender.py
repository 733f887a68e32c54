"""Everything that solves a system, behind one interface: ours, the paper's recursion, libraries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from benchmark.bench.clock import CLOCK
from benchmark.bench.official import Recursion
from benchmark.bench.peers.libraries import curvlinops_solver, dattri_solver, iterations
from benchmark.bench.peers.pydvl import Workers
from benchmark.bench.record import Family
from benchmark.solvers.solver import SOLVERS, Solver, System

#: S of the official recursion, as a multiple of ||H|| + lambda: of 1, 2, 3, 5, 10 and 20 the one
#: with the least residual on the MNIST net; below 5 it diverges.
SCALE = 20.0


@dataclass(frozen=True)
class Task:
    """What is asked of a contender.

    Attributes:
        system: to solve; its operator may have been built, so contenders take a fresh copy.
        norm: ||H||.
        tolerance: relative residual.
        max_products: budget of operator products.
        seed: of what is drawn at random.
    """

    system: System
    norm: float
    tolerance: float
    max_products: int
    seed: int = 0

    def generator(self) -> torch.Generator:
        """A fresh one, always the same."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Answer:
    """X, (d,), and the products with the Hessian over all rows that it took, if they are known."""

    x: Tensor
    products: float | None
    remark: str = ""


class Unsolvable(Exception):
    """A contender that cannot start; its text says why."""


@dataclass(frozen=True)
class Run:
    """A contender that is ready for one task.

    Attributes:
        solve: what is timed: everything from the system to x, set-up included.
        estimate: seconds it will take, None if unknown.
        peak: bytes of its last solve, where it runs in a process of its own.
    """

    solve: Callable[[], Answer]
    estimate: float | None = None
    peak: Callable[[], int | None] | None = None


class Contender(Protocol):
    """A row of the comparison.

    Attributes:
        aims: whether it works towards a tolerance; else one run is its answer to all of them.
    """

    name: str
    title: str
    family: Family
    source: str
    aims: bool

    def versions(self) -> dict[str, str]:
        """Versions of the packages that it brings along."""

    def missing(self) -> str:
        """Why it cannot be run here; "" if it can."""

    def ready(self, task: Task) -> AbstractContextManager[Run]:
        """Prepare for a task, off the clock."""


@dataclass(frozen=True)
class Ours:
    """A solver of benchmark/curvature."""

    solver: type[Solver]
    family: Family = "ours"

    @property
    def aims(self) -> bool:
        return self.solver.pieces is None

    @property
    def name(self) -> str:
        return self.solver.name

    @property
    def title(self) -> str:
        return self.solver.title

    @property
    def source(self) -> str:
        return self.solver.source

    def versions(self) -> dict[str, str]:
        return {}

    def missing(self) -> str:
        return ""

    @contextmanager
    def ready(self, task: Task) -> Iterator[Run]:
        def solve() -> Answer:
            fresh = replace(task.system)
            found = self.solver.solve(fresh, task.tolerance, task.max_products, task.generator())
            if not found.products:
                raise Unsolvable(f"a budget of {task.max_products} products allows it no step")
            indefinite = found.curvature is not None
            return Answer(found.x, found.products, "reported as indefinite" if indefinite else "")

        yield Run(solve, estimate=self._seconds(task))

    def _seconds(self, task: Task) -> float | None:
        """Seconds of a whole run, extrapolated from a piece: it may take far longer than others."""
        if self.solver.pieces is None:
            return None
        piece, count = self.solver.pieces(task.system, task.max_products)
        piece()  # warm
        start = CLOCK()
        piece()
        return (CLOCK() - start) * count


@dataclass(frozen=True)
class Official:
    """The recursion of the paper; it has a depth, not a tolerance."""

    recursion: Recursion = field(default_factory=Recursion)
    name: str = "official"
    title: str = "Official recursion (paper)"
    family: Family = "official"
    source: str = "Zhang et al. 2024"
    aims: bool = False

    def versions(self) -> dict[str, str]:
        return {}

    def missing(self) -> str:
        return ""

    @contextmanager
    def ready(self, task: Task) -> Iterator[Run]:
        scale = SCALE * (task.norm + task.system.damping)
        r = self.recursion
        products = r.chains * r.depth * r.batch / len(task.system.rows)

        def solve() -> Answer:
            return Answer(r.solve(task.system, scale, task.generator()), products)

        brief = replace(r, chains=1, depth=min(20, r.depth))
        brief.solve(task.system, scale, task.generator())
        start = CLOCK()
        brief.solve(task.system, scale, task.generator())
        each = (CLOCK() - start) / brief.depth
        yield Run(solve, estimate=each * r.chains * r.depth)


@dataclass(frozen=True)
class Library:
    """Conjugate gradients of a library in this environment, stopped after so many iterations."""

    name: str
    title: str
    source: str
    package: str
    module: str
    start: Literal["zero", "b"]
    open_solver: Callable[[System], Callable[[int], Tensor]]
    family: Family = "peer"
    aims: bool = True

    def versions(self) -> dict[str, str]:
        try:
            return {self.package: version(self.package)}
        except PackageNotFoundError:
            return {}

    def missing(self) -> str:
        found = importlib.util.find_spec(self.module) is not None
        return "" if found else f"{self.package} is not installed: pip install '.[peers]'"

    @contextmanager
    def ready(self, task: Task) -> Iterator[Run]:
        yield Run(_at_the_least(task, self.start, self.open_solver(replace(task.system))))


@dataclass(frozen=True)
class PyDVL:
    """pyDVL's conjugate gradients, in a process of another environment.

    Attributes:
        python: that environment's interpreter, None if there is none.
        workers: keeps the process from one damping to the next.
    """

    python: Path | None
    workers: Workers = field(default_factory=Workers, compare=False)
    name: str = "pydvl"
    title: str = "pyDVL 0.10, CG"
    source: str = "appliedAI Institute"
    family: Family = "peer"
    aims: bool = True

    def versions(self) -> dict[str, str]:
        return {"pyDVL": "0.10.0"}

    def missing(self) -> str:
        if self.python is not None and self.python.exists():
            return ""
        return "pyDVL's environment is missing: `make bench` makes it"

    @contextmanager
    def ready(self, task: Task) -> Iterator[Run]:
        assert self.python is not None
        worker = self.workers.of(self.python, task.system)
        solve = partial(worker.solve, task.system.damping)
        yield Run(_at_the_least(task, "b", solve), peak=lambda: worker.peak)


def contenders(python: Path | None, *, brief: bool = False) -> tuple[Contender, ...]:
    """All of them.

    Args:
        python: interpreter of pyDVL's environment, None if there is none.
        brief: a short official recursion, for tests of the harness.
    """
    recursion = Recursion(chains=2, depth=50) if brief else Recursion()
    return (
        *map(Ours, SOLVERS.values()),
        Official(recursion),
        Library(
            "curvlinops",
            "curvlinops 3.0, CG",
            "Dangel et al. 2025",
            "curvlinops-for-pytorch",
            "curvlinops",
            "zero",
            curvlinops_solver,
        ),
        Library(
            "dattri",
            "dattri 0.3, CG",
            "Deng et al. 2024",
            "dattri",
            "dattri",
            "b",
            dattri_solver,
        ),
        PyDVL(python),
    )


def find_contender(name: str, python: Path | None, *, brief: bool) -> Contender:
    """The contender of that name; see `contenders`."""
    (found,) = [one for one in contenders(python, brief=brief) if one.name == name]
    return found


def _at_the_least(
    task: Task, start: Literal["zero", "b"], solve: Callable[[int], Tensor]
) -> Callable[[], Answer]:
    """The solve with the fewest iterations that reach the tolerance; the benchmark checks it.

    Raises:
        Unsolvable: if the budget does not suffice, or the system is indefinite.
    """
    system = replace(task.system)
    k = iterations(
        system.operator, system.b, start=start, tolerance=task.tolerance, limit=task.max_products
    )
    if k is None:
        raise Unsolvable(
            f"plain conjugate gradients do not reach {task.tolerance:g} in {task.max_products} "
            "iterations here"
        )
    return lambda: Answer(solve(k), k + (start == "b"))
