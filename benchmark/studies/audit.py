"""The audit of certified methods: whole runs against the other side of their definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmark.audit.lower_bounds import AuditResult, gdp_resolution, mechanism_audit, model_audit
from benchmark.audit.published_noise import SUSPICIOUS, audit_noise
from benchmark.contract.claim import Claim, Target
from benchmark.contract.definition import verdict
from benchmark.contract.guarantee import Gaussian
from benchmark.contract.method import EvidenceKind, Method, Source
from benchmark.contract.request import Release
from benchmark.contract.seeds import Seeds
from benchmark.data.forget import ForgetSpec
from benchmark.errors import present
from benchmark.experiments import experiment as experiments
from benchmark.metrics.utility import losses
from benchmark.problem.problem import Problem, Seal
from benchmark.records import fingerprint
from benchmark.runner.cell import Cell
from benchmark.runner.evaluate import published
from benchmark.runner.plans import plan_cells
from benchmark.runner.run_cell import recorded
from benchmark.runner.workbench import Workbench
from benchmark.studies.audit_record import SCHEMA, AuditRecord, Finding, path_of
from benchmark.studies.experiments import cell_again
from benchmark.studies.two_sides import World, difference, reference, unlearned, without
from benchmark.study.study import Listener, Study, Unit

# Whole runs of a certified method against whole runs of the other side of its definition.

#: Of every lower bound.
CONFIDENCE = 0.95
#: Runs a side, the first ones, of which the noise itself is tested.
NOISES = 50
#: What an observer makes of a run: of a head, how far it lies from A(D_r) towards A(D), which is
#: the way that the forgotten rows moved it; of a net, what it says of the forgotten rows.
ALONG, LOSS = "projection on w* − w_r", "loss on the forgotten rows"


class Runs:
    """Independent runs on one problem and request, both sides of a claim.

    Run k of a side draws noise with a seed of its own. What is random in training is drawn anew
    as well where a claim rests on it: by the construction of the release, or by noise in a
    method's own training. For all other claims one pair of models is trained, and the observer
    knows both: they hold for every pair.

    Args:
        problem: with all rows.
        forget: (n_u,) of them.
        target: that requests name.
    """

    def __init__(self, problem: Problem, forget: Tensor, target: Target) -> None:
        self.target = target
        self._forget = forget
        self._rows = problem.train.take(forget)
        self._sides = (World(problem), World(without(problem, forget)))
        self._seal = Seal()
        self._seal.put_problem(lambda: self._sides[1].problem)
        self.scored = ALONG if problem.model.spec.linear else LOSS

    def check(self, who: str) -> None:
        """Compare the rows of the other side with what they were.

        Raises:
            InputsChanged: if something is different, by the fault of `who`.
        """
        self._seal.check(who)

    def seeds(self, method: Method, k: int, side: int) -> Seeds:
        """Seeds of run k on side 0, the release's, or 1: the sides share no draw of noise."""
        own = method.has_own_training() and method.evidence == "algorithm"
        anew = own or method.evidence == "construction"
        return Seeds(training=2 * k + side if anew else 0, noise=2 * k + side)

    def released(self, method: Method, k: int) -> Release:
        """U(D, D_u, A(D))."""
        seeds = self.seeds(method, k, 0)
        return unlearned(method, self._sides[0], self._forget, target=self.target, seeds=seeds)

    def reference(self, method: Method, k: int, claimed: Release) -> Release:
        """What the claim is compared with, in the world in which the forgotten rows never were."""
        seeds = self.seeds(method, k, 1)
        return reference(method, self._sides[1], claimed, target=self.target, seeds=seeds)

    def direction(self) -> Tensor:
        """w* - w_r by the problem's own training, (d,)."""
        whole, kept = (side.weights(0) for side in self._sides)
        return whole - kept

    def score(self, release: Release) -> float:
        """What an observer looks at, see `scored`."""
        if self.scored == LOSS:
            outputs = release.predictor.log_probabilities(self._rows.x)
            return float(losses(outputs, self._rows.y).mean())
        way = self.direction()
        offset = release.predictor.members.mean(dim=0) - self._sides[1].weights(0)
        return float(offset.dot(way) / way.norm())


def finding(cell: Cell, runs: Runs, count: int) -> Finding:
    """Audit one row.

    Three things refute a claim: what a release says of itself differs between the sides, the
    noise that was published is not what is claimed, or the scores prove a larger epsilon.

    Args:
        cell: whose method is audited.
        runs: of its experiment's problem and request.
        count: runs a side.

    Raises:
        LetheError: if the method does not answer.
    """
    method, told = cell.method, ""
    released, references, scores = [], [], np.empty((2, count))
    for k in range(count):
        release = runs.released(method, k)
        other = runs.reference(method, k, release)
        told = told or difference(release, other)
        scores[:, k] = runs.score(release), runs.score(other)
        if k < NOISES:
            released.append(release)
            references.append(other)
    claim = present(released[0].claim)
    delta = claim.delta or cell.inputs.target.delta
    result, resolution = _lower(claim, scores, delta)
    beyond = f"epsilon is at least {result.lower_epsilon:.3g}"
    noise = _noise(released, references, runs)
    reason = told or noise or (beyond if result.lower_epsilon > claim.epsilon else "")
    hopeless = "not falsifiable" if claim.epsilon >= resolution else "not refuted"
    return Finding(
        definition=claim.definition,
        epsilon=claim.epsilon,
        delta=delta,
        verdict=verdict(claim),
        score=runs.scored,
        lower=result.lower_epsilon,
        resolution=resolution,
        runs=result.draws,
        confidence=CONFIDENCE,
        outcome="refuted" if reason else hopeless,
        reason=reason,
    )


def _lower(claim: Claim, scores: np.ndarray, delta: float) -> tuple[AuditResult, float]:
    """A lower bound on epsilon from (2, count) scores, and the largest there could be.

    A Gaussian guarantee is judged as one; any other by the definition of (epsilon, delta) alone.
    """
    if isinstance(claim.guarantee, Gaussian):
        result = mechanism_audit(scores[0], scores[1], delta, CONFIDENCE)
        return result, gdp_resolution(result.draws, delta, CONFIDENCE)
    audit = model_audit(scores[0], scores[1], claim.epsilon, delta, CONFIDENCE)
    return audit.result, audit.resolution


def _noise(released: list[Release], references: list[Release], runs: Runs) -> str:
    """What is wrong with the noise of these runs, "" if nothing.

    The references follow in reverse, so that the last one stands beside the last release and the
    first beside the first: neither within a side nor across may noise be used again.
    """
    both = [*released, *reversed(references)]
    drawn = [_drawn(release) for release in both]
    if any(noise is None for noise in drawn):
        return ""
    residuals, sigmas = zip(*drawn, strict=True)
    directions = {}
    if runs.scored == ALONG and residuals[0].shape == runs.direction().shape:
        directions["w* − w_r"] = _array(runs.direction())
    found = audit_noise(residuals, sigmas, directions, level=SUSPICIOUS)
    return found.text if found.suspicious else ""


def _drawn(release: Release) -> tuple[np.ndarray, float] | None:
    """The noise of a release and the sigma that it should have; None where it is not known."""
    sigma = present(release.claim).release_sigma
    if sigma:
        return _array(published(release) - release.state.weights), sigma
    if release.noisy is None:
        return None
    return _array(release.noisy.noised - release.noisy.centre), release.noisy.sigma


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.double().flatten().cpu().numpy()


# The audit of certified methods on some heads and the digits' MLP, row by row.

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
