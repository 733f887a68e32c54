"""Systems of a Newton step, and the contract of every way to solve one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from benchmark import plugins
from benchmark.curvature.hessian import Damped
from benchmark.curvature.krylov import Solution
from benchmark.problem.problem import Problem
from benchmark.rows import Rows


@dataclass(frozen=True)
class System:
    """(hess L(w, rows) + damping I) x = b.

    Attributes:
        problem: whose objective is L.
        weights: w, (d,).
        rows: over which L is the mean.
        damping: lambda.
        b: (d,).
    """

    problem: Problem
    weights: Tensor
    rows: Rows
    damping: float
    b: Tensor

    @cached_property
    def operator(self) -> Damped:
        """The damped Hessian over all rows; built on first use, which costs about a gradient."""
        return Damped(self.problem.hessian(self.weights, self.rows), self.damping)

    @property
    def importance(self) -> Tensor | None:
        """How much each row has to do with the Hessian, (n,); None where that is not known."""
        return getattr(self.operator.operator, "importance", None)

    def part(self, rows: Rows, shares: Tensor | None = None) -> Damped:
        """The damped Hessian over other rows, for instance a sample of these.

        Args:
            rows: m of them.
            shares: (m,), what each counts, if `importance` is known; 1 / m by default.
        """
        if shares is None:
            return Damped(self.problem.hessian(self.weights, rows), self.damping)
        hessian = self.problem.weighted_hessian(self.weights, rows, shares)
        return Damped(hessian, self.damping)

    def residual(self, x: Tensor) -> float:
        """||b - A x|| / ||b|| for x (d,); b must not be zero."""
        return float((self.b - self.operator @ x).norm() / self.b.norm())


# What a solver is: the contract of every way to solve a system with a Hessian.
#
# A solver is a class in `benchmark/solvers/`, or in the entry-point group `lethe.solvers`.

#: (system, budget of products) -> a piece of a solve, and how many of them make up the whole.
Pieces = Callable[[System, int], tuple[Callable[[], object], float]]


class Solver(ABC):
    """A way to solve a system.

    Attributes:
        name: identifier.
        title: for tables and plots.
        source: the paper it comes from.
        place: among the others, where they are listed.
        pieces: where the work does not depend on the tolerance, what it consists of, which tells
            its time beforehand; None for a solver that ends once the residual is small enough.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    place: ClassVar[int] = 100
    pieces: ClassVar[Pieces | None] = None

    @classmethod
    @abstractmethod
    def run(
        cls, system: System, tolerance: float, budget: int, generator: torch.Generator
    ) -> Solution:
        """The solution, for finite weights and b.

        Args:
            system: to solve.
            tolerance: of the residual, relative to ||b||.
            budget: of products with the operator.
            generator: read by randomised solvers alone.
        """

    @classmethod
    def solve(
        cls, system: System, tolerance: float, budget: int, generator: torch.Generator
    ) -> Solution:
        """See `run`; it never raises for what the system is, it reports it.

        Weights or a b that are not finite, as a training that diverged leaves them, have no
        solution: x is zero and the residual infinite.
        """
        if bool(system.b.isfinite().all() & system.weights.isfinite().all()):
            return cls.run(system, tolerance, budget, generator)
        return Solution(torch.zeros_like(system.b), math.inf, 0, False, None)


KIND = plugins.Kind[Solver](
    word="solver",
    wanted="a Solver class",
    accepts=lambda cls: issubclass(cls, Solver),
    packages=("benchmark.solvers",),
    group="lethe.solvers",
)


class _Solvers(Mapping[str, type[Solver]]):
    """Every solver by name, looked for when it is asked for."""

    def __getitem__(self, name: str) -> type[Solver]:
        return KIND.find(name)

    def __iter__(self) -> Iterator[str]:
        found = KIND.classes()
        return iter(sorted(found, key=lambda name: (found[name].place, name)))

    def __len__(self) -> int:
        return len(KIND.classes())


SOLVERS = _Solvers()
