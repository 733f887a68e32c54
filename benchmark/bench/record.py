"""The records of `make bench`: a JSON file a solver and damping, one an operator; the plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from benchmark import collected, json_file
from benchmark.records import Environment

SCHEMA: Final = 1

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


class SolverRecord(_Frozen):
    """A solver on a system with one damping.

    Attributes:
        clock: what the seconds are of.
        key: of everything that makes a record current: system, damping, solver, machine.
        outcomes: by tolerance, the loosest first.
        peak_memory: bytes above what the system itself takes, in a process of its own; None where
            it was not measured.
        finished: when the last outcome was added, UTC.
    """

    schema_version: Literal[1] = SCHEMA
    kind: Literal["solver"] = "solver"
    key: str
    system: SystemInfo
    damping: DampingInfo
    name: str
    title: str
    family: Family
    source: str
    clock: Clock
    outcomes: tuple[Outcome, ...] = ()
    peak_memory: int | None = None
    environment: Environment
    finished: str

    def outcome(self, tolerance: float) -> Outcome | None:
        """The outcome at a tolerance; None if it has not been measured."""
        return next((o for o in self.outcomes if o.tolerance == tolerance), None)

    def with_outcome(self, outcome: Outcome) -> SolverRecord:
        """The record with an outcome added or replaced."""
        others = [o for o in self.outcomes if o.tolerance != outcome.tolerance]
        ordered = sorted([*others, outcome], key=lambda o: -o.tolerance)
        return self.model_copy(update={"outcomes": tuple(ordered)})


class OperatorRecord(_Frozen):
    """One pass over rows: a gradient, a Hessian product, a step of the official recursion.

    Attributes:
        key: of everything that makes a record current: system, operator, machine.
        role: what a pass is, so that products are held against the gradient.
        rows: in one pass.
        processes: that share them, a thread each.
        clock: what the seconds are of.
        setup: seconds to build the operator.
        seconds: of each round.
        flops: floating-point operations of one pass, in matrix products and convolutions.
        bytes: that one pass cannot but read: the rows, once.
        error: relative, against the reference product; None for what is no product.
        peak_flops: per second, of a large matrix product on one thread of this machine, or on its
            GPU, in this precision.
        bandwidth: bytes per second of a large copy on this machine.
    """

    schema_version: Literal[1] = SCHEMA
    kind: Literal["operator"] = "operator"
    key: str
    system: SystemInfo
    name: str
    title: str
    role: Literal["gradient", "product", "minibatch"]
    rows: int = Field(gt=0)
    processes: int = Field(1, ge=1, exclude_if=lambda value: value == 1)
    clock: Clock
    setup: float = Field(ge=0)
    seconds: tuple[float, ...] = Field(min_length=1)
    flops: int = Field(ge=0)
    bytes: int = Field(ge=0)
    error: float | None = None
    peak_flops: float = Field(gt=0)
    bandwidth: float = Field(gt=0)
    environment: Environment
    finished: str

    @property
    def median(self) -> float:
        """Seconds of one pass."""
        return median(self.seconds)


Record = SolverRecord | OperatorRecord


class PlannedSystem(_Frozen):
    """A system that should be solved."""

    name: str
    title: str


class PlannedSolver(_Frozen):
    """A solver that should be timed on every system, with every damping."""

    name: str
    title: str
    family: Family
    source: str


class PlannedRun(_Frozen):
    """What `make bench` consists of in one size on one device, `cpu` or `cuda`."""

    device: str
    size: Literal["smoke", "full"]
    systems: tuple[PlannedSystem, ...]
    rules: tuple[Rule, ...]
    solvers: tuple[PlannedSolver, ...]


class Plan(_Frozen):
    """Every run that was begun, so that a missing record can be shown as missing."""

    schema_version: Literal[1] = SCHEMA
    kind: Literal["plan"] = "plan"
    runs: tuple[PlannedRun, ...] = ()

    def with_run(self, run: PlannedRun) -> Plan:
        """The plan with a run added, or put in place of that of its device and size."""
        runs = {(found.device, found.size): found for found in (*self.runs, run)}
        return self.model_copy(update={"runs": tuple(runs[place] for place in sorted(runs))})


class _Envelope(BaseModel):
    content: Annotated[Record, Field(discriminator="kind")]


def read(path: Path) -> Record:
    """The record in a file.

    Raises:
        LetheError: if it cannot be read, is no JSON or does not fit the schema.
    """
    return json_file.read(
        path, "bench record", SCHEMA, lambda content: _Envelope(content=content).content
    )


class Folder:
    """A folder of records, `<device>/<system>/<damping, or operators>/<name>.json`, and a plan."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def plan_path(self) -> Path:
        return self.path / "plan.json"

    def solver_path(self, device: str, system: str, rule: Rule, name: str) -> Path:
        return self.path / device / system / rule / f"{name}.json"

    def operator_path(self, device: str, system: str, name: str) -> Path:
        return self.path / device / system / "operators" / f"{name}.json"

    def records(self) -> Iterator[Record]:
        """Every record, by path.

        Raises:
            LetheError: for a damaged file.
        """
        yield from (read(path) for path in collected.paths(self.path, "*/*/*/*.json"))

    def plan(self) -> Plan:
        """What was planned; nothing where there is no file.

        Raises:
            LetheError: for a damaged file.
        """
        if not self.plan_path.exists():
            return Plan()
        return json_file.read(self.plan_path, "bench plan", SCHEMA, Plan.model_validate)
