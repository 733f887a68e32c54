"""The audit of certified methods on some heads and the digits' MLP, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch

from benchmark.contract.method import EvidenceKind, Source
from benchmark.data.forget import ForgetSpec
from benchmark.errors import present
from benchmark.experiments import experiment as experiments
from benchmark.records import fingerprint
from benchmark.runner.cell import Cell
from benchmark.runner.plans import plan_cells
from benchmark.runner.recorded import recorded
from benchmark.runner.workbench import Workbench
from benchmark.studies.audit_record import SCHEMA, AuditRecord, path_of
from benchmark.studies.experiments import cell_again
from benchmark.studies.model_audit import CONFIDENCE, Runs, finding
from benchmark.study.study import Listener, Study
from benchmark.study.unit import Unit

#: Raise this when a change to shared code changes numbers: every row is then out of date.
RECIPE = 2


@dataclass(frozen=True)
class Part:
    """Rows of one experiment, audited on one request.

    Attributes:
        experiment: its name.
        runs: a side, by what a claim rests on.
        slow: the same of methods that take a tenth of a second or more to answer.
        forget: what is forgotten; as in the experiment if None.
        distance: Delta_0; that of the experiment if None.
        methods: those that are audited; all that certify if None.
        variant: in a word, for the rows' titles; "" for the usual audit.
    """

    experiment: str
    runs: dict[EvidenceKind, int]
    slow: dict[str, int] = field(default_factory=dict)
    forget: ForgetSpec | None = None
    distance: float | None = None
    methods: tuple[str, ...] | None = None
    variant: str = ""

    def count(self, cell: Cell) -> int:
        """Runs a side of one of its rows."""
        return self.slow.get(cell.method.name, self.runs[present(cell.method.evidence)])

    def cells(self, device: str) -> list[Cell]:
        """Its rows.

        Raises:
            LetheError: if there is no such experiment, or one of its rows is not valid.
        """
        experiment = experiments.load(self.experiment)
        changes: dict[str, object] = {"forget": self.forget or experiment.forget}
        if self.distance is not None:
            changes["target"] = experiment.target.model_copy(update={"distance": self.distance})
        cells = plan_cells(experiment.model_copy(update=changes), device, self.methods, seeds=[0])
        return [self._titled(cell) for cell in cells if cell.method.evidence]

    def _titled(self, cell: Cell) -> Cell:
        if not self.variant:
            return cell
        info = cell.info.model_copy(update={"title": f"{cell.info.title}, {self.variant}"})
        return cell.model_copy(update={"info": info})


#: Every row of a head is audited on its hardest case: the rows whose removal moves the model most.
#: Within a cone nobody knows those, and the request of the experiment stands.
#: A Delta_0 of 1.1 times what the one hardest row does to the digits head is tight: Theorem 6
#: holds it at the original weights, which are published as they are.
PLAN = (
    Part(
        "digits-softmax",
        runs={"distance": 1000, "algorithm": 100, "construction": 64},
        slow={
            "descent-to-delete": 100,
            "langevin": 64,
            "newton-lissa": 100,
            "recollection": 100,
            "rewind": 100,
        },
        forget=ForgetSpec(scenario="influential", count=20),
    ),
    Part(
        "digits-softmax",
        runs={"distance": 20_000},
        forget=ForgetSpec(scenario="influential", count=1),
        distance=0.053,
        methods=("newton-chord", "newton-iterated"),
        variant="tight",
    ),
    Part(
        "digits-squared",
        runs={"distance": 200, "algorithm": 100, "construction": 64},
        forget=ForgetSpec(scenario="influential", count=20),
        methods=("downdate", "downdate-fast"),
    ),
    Part(
        "digits-ovr",
        runs={"distance": 200},
        forget=ForgetSpec(scenario="influential", count=20),
        methods=("newton-kept",),
    ),
    Part(
        "digits-tangent",
        runs={"distance": 200},
        forget=ForgetSpec(scenario="influential", count=20),
        methods=("tangent-newton",),
    ),
    Part(
        "cancer-monotone-training",
        runs={"distance": 200, "algorithm": 64},
        methods=("cone-newton", "noisy-fine-tune-within"),
    ),
    Part("digits-mlp", runs={"distance": 100, "algorithm": 64, "construction": 32}),
)


@dataclass(frozen=True)
class AuditedRow:
    """A row that is run again and again.

    Attributes:
        runs: a side.
        variant: see `Part`.
    """

    cell: Cell
    runs: int
    variant: str

    @property
    def where(self) -> str:
        """The row in words."""
        return f"{self.cell.experiment} · {self.cell.info.title}"

    @property
    def path(self) -> str:
        """Place of its record in a results folder."""
        return path_of(self.cell.experiment, self.cell.info.label, self.variant)

    @property
    def inputs(self) -> dict[str, Any]:
        """Everything that determines the row's numbers."""
        return {
            "schema": SCHEMA,
            "recipe": RECIPE,
            "cell": self.cell.inputs.model_dump(mode="json"),
            "runs": self.runs,
            "confidence": CONFIDENCE,
        }

    @property
    def key(self) -> str:
        """sha256 of `inputs`."""
        return fingerprint(self.inputs)


class Audit(Study[AuditedRow, AuditRecord]):
    """Every row of the plan, each a unit."""

    name: ClassVar[str] = "audit"
    title: ClassVar[str] = "What whole runs can refute"
    source: ClassVar[Source] = Source(
        paper="Nasr, Hayes, Steinke, Balle, Tramèr, Jagielski, Carlini, Terzis: Tight Auditing of "
        "Differentially Private Machine Learning, 2023",
        url="https://arxiv.org/abs/2302.07956",
    )
    record: ClassVar[type[AuditRecord]] = AuditRecord

    def units(self, device: str) -> list[Unit[AuditedRow]]:
        """A unit for each row: they share little, and some take long."""
        rows = [
            AuditedRow(cell, part.count(cell), part.variant)
            for part in PLAN
            for cell in part.cells(device)
        ]
        return [Unit("audit", Path(row.path).with_suffix("").name, [row]) for row in rows]

    @classmethod
    def open(
        cls, pieces: Sequence[AuditedRow], device: torch.device, folder: Path | None
    ) -> BothSides:
        """Both sides of the claims."""
        return BothSides(pieces[0].cell, device, folder)

    @classmethod
    def again(cls, record: AuditRecord, device: str) -> tuple[AuditedRow, list[str]]:
        """The row of a record."""
        cell, remarks = cell_again(record.inputs["cell"], device, record.experiment, record.method)
        return AuditedRow(cell, record.inputs["runs"], record.variant), remarks


class BothSides:
    """Runs a method on both sides of its claim.

    Args:
        cell: with problem, request and target.
        device: where to compute.
        folder: for trained models; None keeps nothing.
    """

    def __init__(self, cell: Cell, device: torch.device, folder: Path | None) -> None:
        self._bench = Workbench.of_rows(cell.inputs, device, folder)
        self._runs = Runs(self._bench.problem, self._bench.forget, cell.inputs.target)

    def check(self, who: str) -> None:
        """Compare what methods are given with what it was; see `Workbench.check`."""
        self._bench.check(who)
        self._runs.check(who)

    @property
    def intact(self) -> bool:
        """Whether it can serve another row; those of a unit are one."""
        return False

    def run(self, piece: AuditedRow, listener: Listener) -> AuditRecord:
        """See `benchmark.study.study.Bench`."""
        listener(f"{piece.runs} runs a side")
        cell = piece.cell
        work = partial(_found, cell, self._runs, piece.runs)
        known = {"experiment": cell.experiment, "method": cell.info, "variant": piece.variant}
        return recorded(
            AuditRecord,
            piece.inputs,
            work,
            cell.method.name,
            self,
            self._bench.problem.device,
            **known,
        )


def _found(cell: Cell, runs: Runs, count: int) -> dict[str, Any]:
    return {"finding": finding(cell, runs, count)}
