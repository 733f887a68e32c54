"""Methods that draw their noise inside, their controls, and what the board says of them."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.contract.claim import Target
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.experiments import experiment as experiments
from benchmark.metrics.utility import accuracy
from benchmark.problem.model import Model, Predictor, SoftmaxSpec
from benchmark.problem.problem import Problem
from benchmark.records import Record, Store, read_record
from benchmark.runner.cell import Inputs
from benchmark.runner.workbench import Workbench
from benchmark.studies import experiments as runner
from benchmark.theory.gaussian import epsilon_for, m_for
from methods.model_clipping import ModelClipping
from methods.noisy_fine_tune import NoisyFineTune
from methods.output_perturbation import OutputPerturbation
from tests import problems, tiny_experiment
from tests.problems import without_noise

CPU = torch.device("cpu")
FORGET = torch.tensor([3, 17, 41, 58])
KEPT = 56  # rows of the small problems that remain
TARGET = Target(epsilon=1.0, delta=1e-5)
ALL = [NoisyFineTune, ModelClipping, OutputPerturbation]
every_method = pytest.mark.parametrize("cls", ALL)


def asked(problem: Problem, start: Tensor, **more: object) -> Request:
    state = State(start, problems.every_row(problem))
    return Request.of(problem, state, FORGET, target=TARGET, **more)


def start_of(problem: Problem, norm: float = 5.0) -> Tensor:
    """Weights of a given norm in a random direction."""
    generator = torch.Generator().manual_seed(1)
    draw = torch.randn(problem.model.dimension, generator=generator, dtype=torch.float64)
    return (draw * norm / draw.norm()).to(problem.dtype)


def unlearned(method: Method, problem: Problem, start: Tensor, **more: object) -> Release:
    return method.answer(asked(problem, start, **more))


def kept_quadratic() -> tuple[Problem, np.ndarray, np.ndarray]:
    """A least-squares problem, and its retained inputs with a column of ones and labels."""
    problem = problems.softmax(loss="squared", ridge=0.0)
    kept = np.setdiff1d(np.arange(60), FORGET.numpy())
    x = np.hstack([problem.train.x.numpy()[kept], np.ones((KEPT, 1))])
    return problem, x, np.eye(3)[problem.train.y.numpy()[kept]]


def least_squares_gradient(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient of mean ||W x - y||^2 / 2 for flat weights (matrix, then bias), by hand."""
    weights = np.hstack([w[:15].reshape(3, 5), w[15:, None]])
    gradient = (weights @ x.T - y.T) @ x / len(x)
    return np.concatenate([gradient[:, :5].ravel(), gradient[:, 5]])


def cut(v: np.ndarray, radius: float) -> np.ndarray:
    return v * min(1.0, radius / np.linalg.norm(v))


# fidelity


def test_gradient_clipping_is_the_papers_recursion(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    problem, x, y = kept_quadratic()
    method = NoisyFineTune(
        radius=2.0, clip=1.0, steps=7, step_size=0.2, weight_decay=0.5, epochs=7, batch=KEPT
    )
    start = start_of(problem)
    w, clipped = cut(start.numpy(), 2.0), []
    for _ in range(7):
        gradient = least_squares_gradient(w, x, y)
        clipped.append(np.linalg.norm(gradient) > 1.0)
        w = w - 0.2 * (cut(gradient, 1.0) + 0.5 * w)
    assert set(clipped) == {True, False}, "both kinds of step are tried"
    released = unlearned(method, problem, start).predictor.weights.numpy()
    assert released == pytest.approx(w, rel=1e-10)


def test_model_clipping_is_the_papers_recursion(monkeypatch: pytest.MonkeyPatch) -> None:
    without_noise(monkeypatch)
    problem, x, y = kept_quadratic()
    method = ModelClipping(
        radius=0.5, sigma=0.5, step_size=0.2, weight_decay=0.1, epochs=6, batch=KEPT
    )
    start = start_of(problem)
    w = start.numpy()
    for _ in range(6):  # as many as sigma = C2 needs for (1, 1e-5)
        w = cut(w - 0.2 * (least_squares_gradient(w, x, y) + 0.1 * w), 0.5)
    released = unlearned(method, problem, start).predictor.weights.numpy()
    assert released == pytest.approx(w, rel=1e-10)


def test_output_perturbation_is_the_projection_and_one_draw() -> None:
    problem = problems.softmax()
    start = start_of(problem)
    request = asked(problem, start)
    release = OutputPerturbation(radius=2.0, epochs=0).answer(request)
    sigma = 4.0 / m_for(1.0, 1e-5)
    assert release.claim.evidence.sigma == pytest.approx(sigma, rel=1e-12)
    noise = request.noise(start, release.claim.evidence.sigma)
    assert torch.allclose(release.predictor.weights - noise, start * (2.0 / 5.0), atol=1e-12)
    inside = OutputPerturbation(radius=9.0, epochs=0).answer(request)
    noise = request.noise(start, inside.claim.evidence.sigma)
    assert torch.allclose(inside.predictor.weights - noise, start, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 1.0, 4.0])
def test_without_gradients_two_opposite_starts_are_exactly_m_apart(decay: float) -> None:
    """x_T is Gaussian around c^T x_0: the certificate's m is attained, no more and no less."""
    problem = problems.softmax()
    steps, eta = 5, 0.2
    method = NoisyFineTune(
        radius=3.0, clip=0.0, steps=steps, step_size=eta, weight_decay=decay, epochs=5, batch=KEPT
    )
    start = start_of(problem, norm=7.0)
    one, other = unlearned(method, problem, start), unlearned(method, problem, -start)
    sigma, c = one.claim.evidence.sigma, 1 - eta * decay
    apart = float((one.predictor.weights - other.predictor.weights).norm())
    assert apart == pytest.approx(2 * 3.0 * c**steps, rel=1e-9)
    deviation = sigma * math.sqrt(sum(c ** (2 * j) for j in range(steps)))
    assert apart / deviation == pytest.approx(m_for(1.0, 1e-5), rel=1e-9)
    request = asked(problem, start)
    drawn = sum(c ** (steps - 1 - t) * request.noise(start, sigma, t) for t in range(steps))
    centre = c**steps * start * (3.0 / 7.0)
    assert torch.allclose(one.predictor.weights, centre + drawn, atol=1e-9)


def test_one_step_without_gradient_is_output_perturbation() -> None:
    problem = problems.softmax()
    noisy = NoisyFineTune(
        radius=3.0, clip=0.0, steps=1, step_size=0.1, weight_decay=0.0, epochs=1, batch=KEPT
    )
    one = unlearned(noisy, problem, start_of(problem)).claim
    other = unlearned(OutputPerturbation(radius=3.0), problem, start_of(problem)).claim
    assert one.evidence.sigma == pytest.approx(other.evidence.sigma, rel=1e-12)
    assert one.guarantee.m * one.evidence.sigma == pytest.approx(2 * 3.0, rel=1e-9)


def test_what_is_clipped_away_leaves_no_trace() -> None:
    """Model clipping at a tiny radius: any two originals end within 2 C2 of each other."""
    problem = problems.mlp()
    method = ModelClipping(radius=1e-3, sigma=1e-3, epochs=6, batch=KEPT)
    one = unlearned(method, problem, start_of(problem))
    other = unlearned(method, problem, start_of(problem, norm=80.0).flip(0))
    assert float((one.predictor.weights - other.predictor.weights).norm()) <= 2e-3 + 1e-6


# noise


@every_method
def test_T7_noise_is_fresh_at_every_step_release_and_seed(
    cls: type[Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, plain, drawn = problems.softmax(), Request.noise, []

    def spy(self: Request, like: Tensor, sigma: float, *scope: object) -> Tensor:
        drawn.append(plain(self, like, sigma, *scope) / sigma)
        return drawn[-1] * sigma

    monkeypatch.setattr(Request, "noise", spy)
    start, method = start_of(problem), cls()
    steps = {NoisyFineTune: 12, ModelClipping: 6, OutputPerturbation: 1}[cls]
    last = unlearned(method, problem, start).noisy
    assert len(drawn) == steps, "drawn by the algorithm, and not once more by the release"
    assert torch.allclose((last.noised - last.centre) / last.sigma, drawn[-1], atol=1e-9)
    unlearned(method, problem, start, number=1)
    unlearned(method, problem, start, seeds=Seeds(noise=1))
    assert len(drawn) == 3 * steps
    for a, b in combinations(drawn, 2):
        assert not torch.isclose(a, b).any()
    together = torch.cat(drawn)
    assert float(together.std()) == pytest.approx(1, abs=4 / math.sqrt(2 * len(together)))


@every_method
def test_what_was_released_is_the_public_state(cls: type[Method]) -> None:
    problem = problems.mlp()
    release = unlearned(cls(), problem, start_of(problem))
    assert torch.equal(release.predictor.weights, release.state.weights)
    assert release.claim.evidence.kind == "algorithm"
    assert release.claim.release_sigma == 0
    assert release.noisy.sigma == release.claim.evidence.sigma


@every_method
def test_T15_sigma_and_claim_do_not_depend_on_the_data(cls: type[Method]) -> None:
    problem, other = problems.softmax(0), problems.softmax(7)
    one = unlearned(cls(), problem, start_of(problem)).claim
    assert unlearned(cls(), other, start_of(other, norm=50.0)).claim == one
    state = State(start_of(problem), problems.every_row(problem))
    request = Request.of(problem, state, torch.arange(9), target=TARGET)
    assert cls().answer(request).claim == one


@every_method
@pytest.mark.parametrize("kind", [problems.softmax, problems.mlp])
def test_the_row_is_proved_whatever_the_loss(cls: type[Method], kind: type[Problem]) -> None:
    problem = kind()
    claim = unlearned(cls(), problem, start_of(problem)).claim
    assert (verdict(claim), claim.definition) == ("proved", "reference")
    assert 0 < claim.epsilon <= 1.0
    assert claim.guarantee.m > 0


def test_more_noise_takes_fewer_steps() -> None:
    problem = problems.softmax()

    def steps(sigma: float, **target: float) -> int:
        request = asked(problem, start_of(problem))
        request = replace(request, target=Target(**target)) if target else request
        return ModelClipping(sigma=sigma, epochs=40).answer(request).claim.evidence.steps

    assert steps(0.1) == 6
    assert steps(0.1, epsilon=8.0, delta=1e-5) < 6 < steps(0.1, epsilon=0.5, delta=1e-6)
    assert steps(0.8) == 1  # above 7.46 radii one draw is enough


# refusals


def test_a_parameter_that_voids_the_theorem_is_refused() -> None:
    problem = problems.softmax()
    with pytest.raises(AssumptionBroken, match=r"1 - step_size \* weight_decay must lie in \[0"):
        unlearned(NoisyFineTune(step_size=1.0, weight_decay=3.0), problem, start_of(problem))
    with pytest.raises(AssumptionBroken, match="raise sigma"):
        unlearned(ModelClipping(sigma=0.01), problem, start_of(problem))


@pytest.mark.parametrize(
    "method", [NoisyFineTune(steps=30, epochs=10), ModelClipping(epochs=2, batch=KEPT)]
)
def test_noisy_steps_beyond_the_epoch_budget_are_refused(method: Method) -> None:
    problem = problems.softmax()
    with pytest.raises(LetheError, match=r"noisy steps take .* epochs, over the budget"):
        unlearned(method, problem, start_of(problem))


class _BatchNormSpec(SoftmaxSpec):
    def module(self, inputs: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Linear(inputs, 4), nn.BatchNorm1d(4), nn.Linear(4, classes))


def test_T9_a_net_with_running_statistics_is_refused() -> None:
    with pytest.raises(AssumptionBroken, match=r"1\.running_mean.* outside the weights") as caught:
        Model(_BatchNormSpec(), 3, 2)
    assert "\n" not in str(caught.value)


def test_T9_no_batch_norm_buffer_moves_during_scoring() -> None:
    """There is none to move; and scoring changes no other tensor either."""
    problem = problems.mlp()
    module = problem.model._module
    assert list(module.buffers()) == []
    predictor = Predictor(problem.model, start_of(problem))
    held = [predictor.weights, problem.test.x, problem.test.y]
    before = [tensor.clone() for tensor in held]
    first = predictor.log_probabilities(problem.test.x)
    assert torch.equal(predictor.log_probabilities(problem.test.x), first)
    assert all(torch.equal(a, b) for a, b in zip(held, before, strict=True))
    assert all(parameter.is_meta for parameter in module.parameters()), "it holds no weights"
    assert list(module.buffers()) == []


# records


def run(folder: Path, methods: list[str], *changes: tuple[str, str]) -> None:
    console = tiny_experiment.QUIET
    loaded = [experiments.load(str(tiny_experiment.write(folder, *changes)))]
    store = Store(folder / "results")
    tally = runner.run(loaded, store, CPU, console=console, methods=methods, seeds=[0])
    assert tally.failed == []


def cell(folder: Path, label: str) -> Record:
    return read_record(folder / "results" / "tiny" / label / "seed-0.json")


NAMES = [cls.name for cls in ALL]


def test_T11_the_noise_only_control_is_reported(tmp_path: Path) -> None:
    run(tmp_path, [*NAMES, "newton", "fine-tune"])
    for cls in ALL:
        record = cell(tmp_path, cls.name)
        shown = record.metrics["control_accuracy_test"].value
        gap = record.metrics["control_accuracy_test_gap"]
        assert gap.value == pytest.approx(record.metrics["accuracy_test"].value - shown)
        assert (gap.direction, gap.unit, gap.n) == ("higher", "points", 60)
        # by hand: the same request and noise, from zero weights
        inputs = Inputs.read(record.inputs, "test")
        bench = Workbench(inputs, CPU, None)
        nothing = State(torch.zeros(bench.problem.model.dimension).double(), bench.rows)
        request = Request.of(bench.problem, nothing, bench.forget, seeds=inputs.seeds)
        control = cls().answer(request).predictor
        test = bench.problem.test
        assert shown == pytest.approx(100 * accuracy(control.log_probabilities(test.x), test.y))
    for other in ("newton", "fine-tune"):
        assert "control_accuracy_test" not in cell(tmp_path, other).metrics


def test_T11_the_control_is_on_its_own_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, clocks = OutputPerturbation.unlearn, []

    def spy(self: OutputPerturbation, request: Request) -> Release:
        clocks.append((float(request.original.weights.norm()), request.clock))
        return plain(self, request)

    monkeypatch.setattr(OutputPerturbation, "unlearn", spy)
    run(tmp_path, ["output-perturbation"])
    (norm, first), (zero, second) = clocks
    assert norm > zero == 0
    assert first is not second
    times = cell(tmp_path, "output-perturbation").times
    assert times.phases == pytest.approx(first.seconds)
    assert sum(times.phases.values()) <= times.unlearn


def test_the_last_noisy_step_is_audited_and_nothing_is_claimed_by_a_distance(
    tmp_path: Path,
) -> None:
    run(tmp_path, NAMES)
    for name in NAMES:
        record = cell(tmp_path, name)
        assert record.verdict == "proved"
        assert record.metrics["distance"].value is None
        assert "inside the algorithm" in record.metrics["distance"].note
        assert not {"audited_epsilon", "slack", "realised_epsilon"} & set(record.metrics)
        assert record.metrics["noise_p"].value > 1e-4
        assert record.metrics["noise_scale"].value == pytest.approx(1, abs=0.2)


def test_a_stream_of_noisy_releases_composes(tmp_path: Path) -> None:
    run(tmp_path, NAMES, ("count = 5", "count = 5\nrequests = 4"))
    for name in NAMES:
        record = cell(tmp_path, name)
        m = record.claim.guarantee.m
        composed = [step.composed_epsilon for step in record.stream]
        expected = [epsilon_for(m * math.sqrt(k), 1e-5) for k in range(1, 5)]
        assert composed == pytest.approx(expected, rel=1e-9)
        assert composed[0] <= 1.0 + 1e-9
        assert "control_accuracy_test_gap" in record.metrics
