"""The records of timings: a system, damping and solver, or a system and product; and clocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from benchmark.records import Envelope, study_path

# The records of solver timings: one a system, damping and solver; one a system and product.

SCHEMA: Final = 2

#: Relative residuals ||b - A x|| / ||b|| that the time is taken to, the loosest first.
TOLERANCES = (1e-1, 1e-2, 1e-3)

#: lambda as a multiple of |lambda_min(H)| or of ||H||.
Rule = Literal["0.1-norm", "1-norm", "1.5-lambda-min"]

#: `ours`: in benchmark/curvature; `official`: the paper's recursion; `peer`: another library.
Family = Literal["ours", "official", "peer"]

#: `processor` seconds, which a busy machine lengthens less, or `wall` clock.
Clock = Literal["processor", "wall"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SystemInfo(_Frozen):
    """What is solved, up to the damping: H is the Hessian of the mean loss over the rows.

    Attributes:
        size: `smoke` tests the harness, `full` is for the board.
        rows: how many the loss is the mean of.
        dimension: of the weights.
        smallest, largest: eigenvalues of H, by Lanczos.
    """

    name: str
    title: str
    size: Literal["smoke", "full"]
    rows: int = Field(gt=0)
    dimension: int = Field(gt=0)
    precision: Literal["float32", "float64"]
    smallest: float
    largest: float


class DampingInfo(_Frozen):
    """The damping lambda, and the condition number of H + lambda I; None if it is indefinite."""

    rule: Rule
    value: float = Field(gt=0)
    condition: float | None = Field(ge=1)


class Outcome(_Frozen):
    """One tolerance.

    Attributes:
        state: `reached`; `missed`, it ended above the tolerance; `failed`, it raised; `not run`,
            with the reason as remark.
        seconds: of each round, set-up included; of a miss, what was spent in vain.
        residual: relative, recomputed from the answer by the benchmark.
        products: with the Hessian over all rows, as far as the solver counts them.
        remark: what a reader should know, in words.
        estimate: seconds that a solve would take, of what was not run.
    """

    tolerance: float = Field(gt=0)
    state: Literal["reached", "missed", "failed", "not run"]
    seconds: tuple[float, ...] = ()
    residual: float | None = None
    products: float | None = None
    remark: str = ""
    estimate: float | None = Field(None, ge=0, exclude_if=lambda value: value is None)

    @property
    def median(self) -> float | None:
        """Seconds to the tolerance; None for a solver that did not reach it."""
        return median(self.seconds) if self.state == "reached" and self.seconds else None


class SolverInfo(_Frozen):
    """What is timed: a solver of ours, the paper's recursion or a library's solver."""

    name: str
    title: str
    family: Family
    source: str


class SolverRecord(Envelope):
    """A solver on a system with one damping.

    Attributes:
        clock: what the times are of.
        outcomes: by tolerance, the loosest first.
        peak_memory: bytes above what the system itself takes, in a process of its own; None where
            it was not measured.
    """

    schema_version: Literal[2] = SCHEMA
    kind: Literal["solver"] = "solver"
    system: SystemInfo
    damping: DampingInfo
    solver: SolverInfo
    clock: Clock
    outcomes: tuple[Outcome, ...] = ()
    peak_memory: int | None = None

    @property
    def group(self) -> str:
        """The study."""
        return "solvers"

    @property
    def title(self) -> str:
        """Device, system, damping and solver."""
        where = (self.environment.device, self.system.name, self.damping.rule, self.solver.name)
        return "-".join(where)

    @property
    def path(self) -> str:
        """Where it lies in a results folder."""
        device = self.environment.device
        return solver_path(device, self.system.name, self.damping.rule, self.solver.name)

    def outcome(self, tolerance: float) -> Outcome | None:
        """The outcome at a tolerance; None if it has not been measured."""
        return next((o for o in self.outcomes if o.tolerance == tolerance), None)

    def numbers(self) -> dict[str, Any]:
        """Condition, and how each tolerance ended; what was not run for its time has no numbers."""
        flat: dict[str, Any] = {"status": self.status, "condition": self.damping.condition}
        for one in self.outcomes:
            if one.state != "not run":
                at = f"{one.tolerance:g}"
                flat |= {f"{at}.state": one.state, f"{at}.residual": one.residual}
                flat |= {f"{at}.products": one.products}
        return flat

    def summary(self) -> dict[str, float | str]:
        """The numbers, the seconds to each tolerance and the memory."""
        found = super().summary()
        times = {f"{one.tolerance:g}.seconds": one.median for one in self.outcomes}
        extra = {**times, "peak_memory": self.peak_memory}
        return found | {name: value for name, value in extra.items() if value is not None}


class ProductInfo(_Frozen):
    """What one pass over rows is: a gradient, a Hessian product, a step of the recursion.

    Attributes:
        role: what it is, so that products are held against the gradient.
        rows: in one pass.
        processes: that share them, a thread each.
    """

    name: str
    title: str
    role: Literal["gradient", "product", "minibatch"]
    rows: int = Field(gt=0)
    processes: int = Field(1, ge=1, exclude_if=lambda value: value == 1)


class ProductRecord(Envelope):
    """One pass over the rows of a system.

    Attributes:
        clock: what the times are of.
        setup: seconds to build the operator.
        rounds: seconds of each.
        flops: floating-point operations of one pass, in matrix products and convolutions.
        bytes: that one pass cannot but read: the rows, once.
        error: relative, against the reference product; None for what is no product.
        peak_flops: per second, of a large matrix product on one thread of this machine, or on its
            GPU, in this precision.
        bandwidth: bytes per second of a large copy on this machine.
    """

    schema_version: Literal[2] = SCHEMA
    kind: Literal["product"] = "product"
    system: SystemInfo
    product: ProductInfo
    clock: Clock
    setup: float = Field(ge=0)
    rounds: tuple[float, ...] = Field(min_length=1)
    flops: int = Field(ge=0)
    bytes: int = Field(ge=0)
    error: float | None = None
    peak_flops: float = Field(gt=0)
    bandwidth: float = Field(gt=0)

    @property
    def group(self) -> str:
        """The study."""
        return "products"

    @property
    def title(self) -> str:
        """Device, system and product."""
        return "-".join((self.environment.device, self.system.name, self.product.name))

    @property
    def path(self) -> str:
        """Where it lies in a results folder."""
        return product_path(self.environment.device, self.system.name, self.product.name)

    @property
    def median(self) -> float:
        """Seconds of one pass."""
        return median(self.rounds)

    def numbers(self) -> dict[str, Any]:
        """Operations, bytes, and how exact the product is; times are not among them."""
        counts = {"rows": self.product.rows, "flops": self.flops, "bytes": self.bytes}
        return {"status": self.status, **counts, "error": self.error}

    def summary(self) -> dict[str, float | str]:
        """The numbers, and the seconds of one pass."""
        return super().summary() | {"median": self.median, "setup": self.setup}


def solver_path(device: str, system: str, rule: str, solver: str) -> str:
    """Where a results folder keeps the record of a solver."""
    return study_path("solvers", device, system, rule, f"{solver}.json")


def product_path(device: str, system: str, product: str) -> str:
    """Where a results folder keeps the record of a pass."""
    return study_path("products", device, system, f"{product}.json")


T = TypeVar("T")


class Reader:
    """Reads seconds of one kind; only differences mean something.

    On an idle machine with one thread both kinds are the same. A process of another environment
    reports what it has used, and that is added.
    """

    kind: Clock = "wall"
    elsewhere: float = 0.0

    def __call__(self) -> float:
        """Seconds."""
        if self.kind == "wall":
            return time.perf_counter()
        return time.process_time() + self.elsewhere


#: The one that everything is timed with: pytest-benchmark wants it before there is a session.
CLOCK = Reader()


def kind_for(device: str, threads: int) -> Clock:
    """Processor time on one thread; else what counts passes on several or on a GPU."""
    return "processor" if device == "cpu" and threads == 1 else "wall"


class Timer(Protocol):
    """Times some work: a loop of our own, or pytest-benchmark's."""

    def __call__(self, work: Callable[[], T], rounds: int) -> tuple[T, tuple[float, ...]]:
        """What the last round of `work` gives, and the seconds of each round."""
        ...


def stopwatch(work: Callable[[], T], rounds: int) -> tuple[T, tuple[float, ...]]:
    """The timer without pytest-benchmark; see `Timer`."""
    seconds: list[float] = []
    for _ in range(rounds):
        start = CLOCK()
        found = work()
        seconds.append(CLOCK() - start)
    return found, tuple(seconds)
