"""What a solver is: the contract of every way to solve a system with a Hessian.

A solver is a class in `benchmark/solvers/`, or in the entry-point group `lethe.solvers`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import ClassVar

import torch

from benchmark import plugins
from benchmark.curvature.solution import Solution
from benchmark.curvature.system import System

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
