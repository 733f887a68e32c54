"""The model-level audit of whole runs: its two sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.contract.certificate import Target
from benchmark.contract.request import Release, Request
from benchmark.experiments import experiment as experiments
from benchmark.runner.run import plan_cells
from benchmark.runner.workbench import Workbench
from benchmark.studies.model_audit import Runs, finding
from methods.newton import Newton
from tests import tiny_experiment

DEFAULT = Target()
METHODS = 'seeds = [0, 1]\nmethods = ["newton", "retrain", "nothing"]'


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return str(tiny_experiment.write(tmp_path, ("seeds = [0, 1]", METHODS)))


def cells(toml: str) -> dict:
    found = plan_cells(experiments.load(toml), "cpu", seeds=[0])
    return {cell.method.name: cell for cell in found}


def runs(toml: str, count: int, target: Target = DEFAULT) -> Runs:
    inputs = cells(toml)["newton"].inputs
    return Runs(Workbench(inputs, torch.device("cpu"), folder=None), count, target)


def test_an_honest_certificate_is_not_refuted_though_it_could_have_been(tiny: str) -> None:
    found = finding(cells(tiny)["newton"], runs(tiny, 200))
    assert found.outcome == "not refuted"
    assert found.lower <= found.epsilon == 1.0 < found.resolution
    assert found.runs == 100, "half of the runs choose the threshold"


def test_a_certificate_is_audited_at_the_experiments_target(tiny: str) -> None:
    looser = runs(tiny, 4, Target(epsilon=3.0, delta=1e-3))
    assert finding(cells(tiny)["newton"], looser).epsilon == 3.0


def test_a_release_without_its_noise_is_refuted(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that were never updated, under a hundredth of the noise that is claimed."""

    def cheat(self: Newton, request: Request) -> Release:
        honest = genuine(self, request)
        if len(request.forget) == 0:
            return honest
        quiet = honest.certificate.model_copy(update={"sigma": honest.certificate.sigma / 100})
        published = request.release(request.original.weights, quiet)
        return replace(published, certificate=quiet)

    genuine = Newton.unlearn
    monkeypatch.setattr(Newton, "unlearn", cheat)
    found = finding(cells(tiny)["newton"], runs(tiny, 200))
    assert found.outcome == "refuted"
    assert found.lower > found.epsilon


def test_retraining_with_another_seed_is_the_same_in_distribution(tiny: str) -> None:
    """On a head all seeds agree to some 1e-12, which must not be taken for a difference."""
    name = "retrain-other-seed"
    text = Path(tiny).read_text().replace('"retrain"', f'"{name}"')
    Path(tiny).write_text(text)
    assert finding(cells(tiny)[name], runs(tiny, 40)).outcome == "not refuted"


def test_too_few_runs_falsify_nothing(tiny: str) -> None:
    found = finding(cells(tiny)["newton"], runs(tiny, 8))
    assert found.text == "not falsifiable at 4"


def test_the_sides_share_no_noise_and_the_claimed_sigma(tiny: str) -> None:
    several = runs(tiny, 3)
    method = cells(tiny)["newton"].method
    released = [several.released(method, k) for k in range(3)]
    references = [several.reference(method, k, release) for k, release in enumerate(released)]
    noises = [r.predictor.weights - r.state.weights for r in released + references]
    assert len({tuple(noise.tolist()) for noise in noises}) == 6
    claimed = [release.certificate.sigma for release in released]
    assert [release.certificate.sigma for release in references] == claimed
