"""The audit of whole runs: its two sides, what it looks at, and what refutes a claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmark.contract.request import Release, Request
from benchmark.experiments import experiment as experiments
from benchmark.problem.predictor import Predictor
from benchmark.runner.cell import Cell
from benchmark.runner.plans import plan_cells
from benchmark.runner.workbench import Workbench
from benchmark.studies.audit_record import AuditRecord, AuditStudy, Finding
from benchmark.studies.model_audit import ALONG, LOSS, Runs, finding
from leaderboard.studies.audit import audit_grid
from methods.chord_newton import ChordNewton
from tests import tiny_experiment

NAMES = (
    "certified-removal",
    "newton",
    "newton-chord",
    "noisy-fine-tune",
    "retrain",
    "retrain-other-seed",
    "sisa",
)
HARDEST = ('scenario = "random"\ncount = 5', 'scenario = "influential"\ncount = 1')
NET = ('{ kind = "softmax" }', '{ kind = "mlp", hidden = [6], activation = "tanh" }')
ADAM = (
    '{ algorithm = "newton-cg", tolerance = 1e-9 }',
    '{ algorithm = "adam", epochs = 2, batch = 16, learning_rate = 1e-2, radius = 20.0 }',
)


def cells(folder: Path, *changes: tuple[str, str]) -> dict[str, Cell]:
    """The certified rows of the tiny experiment, by method."""
    experiment = experiments.load(str(tiny_experiment.write(folder, *changes)))
    found = plan_cells(experiment, "cpu", list(NAMES), seeds=[0])
    return {cell.method.name: cell for cell in found}


def runs(cell: Cell) -> Runs:
    bench = Workbench(cell.inputs, torch.device("cpu"), folder=None)
    return Runs(bench.problem, bench.forget, cell.inputs.target)


def audited(folder: Path, name: str, count: int, *changes: tuple[str, str]) -> Finding:
    cell = cells(folder, *changes)[name]
    return finding(cell, runs(cell), count)


def test_an_honest_claim_is_not_refuted_though_it_could_have_been(tmp_path: Path) -> None:
    found = audited(tmp_path, "newton-chord", 100)
    assert (found.outcome, found.reason) == ("not refuted", "")
    assert found.epsilon == pytest.approx(1.0)
    assert found.lower <= found.epsilon < found.resolution
    assert found.runs == 90, "a tenth of the runs chooses the threshold"
    assert (found.verdict, found.score) == ("proved", ALONG)


def tight(folder: Path) -> tuple[tuple[str, str], ...]:
    """The hardest row, and a Delta_0 that its removal just keeps: nothing needs to be unlearned."""
    hardest = (HARDEST, ("ridge = 1e-2", "ridge = 1e-1"))
    apart = float(runs(cells(folder, *hardest)["newton-chord"]).direction().norm())
    return *hardest, ("delta = 1e-5", f"delta = 1e-5\ndistance = {1.25 * apart}")


def test_a_tight_claim_is_bounded_from_below_and_not_refuted(tmp_path: Path) -> None:
    on_it = tight(tmp_path)
    found = audited(tmp_path, "newton-chord", 600, *on_it)
    assert 0.2 < found.lower <= found.epsilon
    assert found.outcome == "not refuted"


def test_a_claim_is_audited_at_the_experiments_target(tmp_path: Path) -> None:
    change = ("epsilon = 1.0\ndelta = 1e-5", "epsilon = 3.0\ndelta = 1e-3")
    found = audited(tmp_path, "newton-chord", 4, change)
    assert (found.epsilon, found.delta) == pytest.approx((3.0, 1e-3))


@pytest.mark.parametrize("name", ["retrain", "retrain-other-seed", "sisa"])
def test_an_exact_release_is_the_same_in_distribution(tmp_path: Path, name: str) -> None:
    """On a head all seeds agree to some 1e-12, which must not be taken for a difference.

    So many runs refute where that tells the sides apart.
    """
    assert audited(tmp_path, name, 14).outcome == "not refuted"


@pytest.mark.parametrize("name", ["newton", "noisy-fine-tune", "retrain-other-seed"])
def test_a_net_is_scored_by_its_loss(tmp_path: Path, name: str) -> None:
    found = audited(tmp_path, name, 12, NET, ADAM)
    assert (found.score, found.reason) == (LOSS, "")


def test_too_few_runs_falsify_nothing(tmp_path: Path) -> None:
    assert audited(tmp_path, "newton-chord", 3).text == "not falsifiable at 2"


def test_the_sides_share_no_noise(tmp_path: Path) -> None:
    cell = cells(tmp_path)["newton-chord"]
    several = runs(cell)
    released = [several.released(cell.method, k) for k in range(3)]
    references = [several.reference(cell.method, k, r) for k, r in enumerate(released)]
    noises = [r.predictor.weights - r.state.weights for r in released + references]
    assert len({tuple(noise.tolist()) for noise in noises}) == 6
    assert len({r.claim.release_sigma for r in released + references}) == 1


def test_only_what_a_claim_rests_on_is_trained_anew(tmp_path: Path) -> None:
    rows = cells(tmp_path)
    several = runs(rows["newton"])
    for name in ("newton", "newton-chord", "noisy-fine-tune"):
        assert {
            several.seeds(rows[name].method, k, s).training for k in (0, 5) for s in (0, 1)
        } == {0}
    for name in ("certified-removal", "retrain", "sisa"):
        seeds = [several.seeds(rows[name].method, k, s) for k in (0, 5) for s in (0, 1)]
        assert len({each.training for each in seeds}) == 4


# --- planted faults -----------------------------------------------------------------------------


def publish(weights: Callable[[Request, Release], Tensor], request: Request) -> Release:
    honest = genuine(ChordNewton(), request)
    return replace(honest, predictor=Predictor(request.problem.model, weights(request, honest)))


genuine = ChordNewton.unlearn
FAULTS: dict[str, tuple[Callable[[Request, Release], Tensor], str]] = {
    "no noise": (lambda request, honest: honest.state.weights, "noise is 0.00 of what is claimed"),
    "the original": (
        lambda request, honest: (
            request.original.weights + request.release_noise(honest.state.weights, honest.claim)
        ),
        "of what is claimed",
    ),
    "the same noise in every run": (
        lambda request, honest: (
            honest.state.weights
            + replace(request, seeds=request.seeds.model_copy(update={"noise": 7})).noise(
                honest.state.weights, honest.claim.release_sigma
            )
        ),
        "are correlated",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_noise_that_is_not_what_is_claimed_refutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    weights, words = FAULTS[fault]
    monkeypatch.setattr(ChordNewton, "unlearn", lambda self, request: publish(weights, request))
    found = audited(tmp_path, "newton-chord", 20)
    assert found.outcome == "refuted"
    assert words in found.reason


def test_another_sigma_on_the_other_side_refutes_and_the_board_is_red(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise that follows from the request: what is published gives itself away."""

    def telling(self: ChordNewton, request: Request) -> Release:
        wider = request.target.distance * (2 - 1 / (1 + len(request.forget)))
        target = request.target.model_copy(update={"distance": wider})
        return genuine(self, replace(request, target=target))

    monkeypatch.setattr(ChordNewton, "unlearn", telling)
    found = audited(tmp_path, "newton-chord", 4)
    assert found.outcome == "refuted"
    assert found.reason.startswith("noise of ")
    info = cells(tmp_path)["newton-chord"].info
    record = AuditRecord.model_construct(experiment="tiny", method=info, finding=found)
    (line,) = audit_grid(AuditStudy((record,), {})).lines
    assert "🔴" in line.cells[-1].text


def test_scores_that_prove_more_than_is_claimed_refute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original under noise for a Delta_0 that is far below its distance, and a state to fit."""

    def never(self: ChordNewton, request: Request) -> Release:
        claim = genuine(self, request).claim
        return request.release(request.original.weights, claim, request.original.memory)

    monkeypatch.setattr(ChordNewton, "unlearn", never)
    found = audited(tmp_path, "newton-chord", 60)
    assert found.outcome == "refuted"
    assert found.reason == f"epsilon is at least {found.lower:.3g}"
    assert found.lower > 1.0
