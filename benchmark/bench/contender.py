"""Everything that solves a system, behind one interface, and how it is measured."""

from __future__ import annotations

import importlib.util
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor

from benchmark.bench.peers import Workers, curvlinops_solver, dattri_solver, iterations
from benchmark.bench.record import CLOCK, Family
from benchmark.rows import Rows
from benchmark.runner.device import PeakMemory, prepare
from benchmark.solvers.solver import SOLVERS, Solver, System


@dataclass(frozen=True)
class Recursion:
    """LiSSA with the settings of Zhang et al. (ICML 2024): the baseline, not a solver of ours.

    Attributes:
        chains: independent estimates that are averaged.
        depth: steps of each.
        batch: rows of one step, drawn with replacement.
    """

    chains: int = 10
    depth: int = 1000
    batch: int = 10

    def solve(self, system: System, scale: float, generator: torch.Generator) -> Tensor:
        """An estimate of (H + lambda I)^{-1} b, (d,): the mean of u / scale over the chains.

        Args:
            system: what is solved; the damping is an explicit lambda I.
            scale: S, that keeps the recursion from diverging.
            generator: draws the batches.
        """
        total = torch.zeros_like(system.b)
        for _ in range(self.chains):
            u = system.b.clone()
            for _ in range(self.depth):
                index = torch.randint(len(system.rows), (self.batch,), generator=generator)
                product = double_backward(system, system.rows.take(index), u)
                u = system.b + u - (product + system.damping * u) / scale
            total += u / scale
        return total / self.chains


def double_backward(system: System, rows: Rows, vector: Tensor) -> Tensor:
    """The Hessian over `rows` times `vector`, (d,), its graph built for this one product."""
    weights = system.weights.detach().requires_grad_()
    loss = system.problem.loss(weights, rows)
    (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
    return torch.autograd.grad(gradient, weights, vector)[0]


# Everything that solves a system, behind one interface: ours, the paper's recursion, libraries.

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

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def family(self) -> Family: ...

    @property
    def source(self) -> str: ...

    @property
    def aims(self) -> bool: ...

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


# How often to repeat a measurement, and peak memory in a process of its own.

#: Rounds of one measurement, unless it takes too long.
ROUNDS = 5


def rounds(seconds: float, budget: float) -> int:
    """How many rounds of `seconds` fit into `budget` seconds: at least 1, at most `ROUNDS`."""
    return max(1, min(ROUNDS, int(budget / max(seconds, 1e-9))))


def finish(device: torch.device) -> None:
    """Wait for what the device has been given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(find: Callable[[], Contender], task: Task) -> int | None:
    """Bytes that a solve needs above the system itself; None where it cannot be measured.

    On a CPU the solve runs in a fresh process, so that neither what this one has kept nor its
    allocator's free lists hide anything. A GPU's allocator tells what is in use by itself.

    Args:
        find: gives the contender in that process; it must be picklable.
        task: what to solve.
    """
    if task.system.b.device.type == "cuda":
        return _of_a_solve(find(), _bare(task))
    # A server that has only imported what is needed forks each process: no import is waited for.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with tempfile.TemporaryDirectory(prefix="lethe-bench-") as folder:
        path = Path(folder) / "task.pt"
        torch.save(_bare(task), path)
        receive, send = context.Pipe(duplex=False)
        arguments = (path, find, torch.get_num_threads(), send)
        process = context.Process(target=_measure, args=arguments)
        process.start()
        send.close()  # so that the pipe ends when the process does
        try:
            return receive.recv()
        except EOFError:  # it died, most likely out of memory
            return None
        finally:
            process.join()


def _bare(task: Task) -> Task:
    """The task without the operators its system may have built."""
    s = task.system
    system = System(s.problem, s.weights, s.rows, s.damping, s.b)
    return Task(system, task.norm, task.tolerance, task.max_products, task.seed)


def _measure(path: Path, find: Callable[[], Contender], threads: int, send: Connection) -> None:
    task = torch.load(path, weights_only=False)
    prepare(task.system.b.device.type, threads)
    send.send(_of_a_solve(find(), task))


def _of_a_solve(contender: Contender, task: Task) -> int | None:
    with contender.ready(task) as run:
        if contender.aims:
            run.solve()  # what is loaded on first use is not the solver's
        with PeakMemory(task.system.b.device) as memory:
            run.solve()
        return run.peak() if run.peak is not None else memory.bytes
