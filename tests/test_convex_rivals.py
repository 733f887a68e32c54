"""Certified removal, Sekhari et al., Descent-to-Delete and Langevin unlearning on convex heads."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import pytest
import torch
from dp_accounting.pld.privacy_loss_mechanism import GaussianPrivacyLoss
from torch import Tensor

from benchmark.theory.certified_removal import newton_residual, residual_budget
from benchmark.theory.contraction import (
    contraction,
    descent_error,
    learning_distance,
    noisy_contraction_m,
    noisy_contraction_steps,
)
from benchmark.theory.gaussian import m_for
from benchmark.claims.spectra import head_constants
from benchmark.theory.sekhari import sekhari_bound
from benchmark.contract.certificate import Target
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.perturbed import PerturbedProblem
from benchmark.problem.problem import Problem
from benchmark.problem.training import AdamTraining
from benchmark.studies.random_problem import draw
from methods.certified_removal import CertifiedRemoval
from methods.descent_to_delete import DescentToDelete
from methods.langevin import Langevin
from methods.sekhari import Sekhari
from tests import problems

FORGET = torch.tensor([3, 17, 41, 58])
LATER = torch.tensor([0, 1])
NOTHING = torch.tensor([], dtype=torch.int64)
TARGET = Target(epsilon=1.0, delta=1e-5)
EPSILONS = (0.01, 0.1, 0.5, 1.0, 3.0, 8.0, 30.0, 100.0)


def trained(method: Method, problem: Problem, seeds: Seeds | None = None) -> State:
    seeds = seeds or Seeds()
    state = method.train(problem, problems.every_row(problem), seeds, Clock())
    return method.prepare(problem, state, seeds, Clock())


def asked(problem: Problem, state: State, forget: Tensor = FORGET, **more: object) -> Request:
    return Request.of(problem, state, forget, target=TARGET, **more)


def answered(method: Method, problem: Problem, forget: Tensor = FORGET) -> Release:
    return method.answer(asked(problem, trained(method, problem), forget))


def minimiser(problem: Problem, index: Tensor, perturbation: Tensor | float = 0.0) -> Tensor:
    """Of a quadratic objective plus a linear term, by a dense solve."""
    rows, origin = problem.train.take(index), torch.zeros(problem.model.dimension).double()
    eye = torch.eye(problem.model.dimension, dtype=torch.float64)
    hessian = torch.stack([problem.hessian(origin, rows) @ e for e in eye])
    return -torch.linalg.solve(hessian, problem.gradient(origin, rows) + perturbation)


def without_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: Request, like: Tensor, sigma: float, *scope: object) -> Tensor:
        return torch.zeros_like(like)

    monkeypatch.setattr(Request, "noise", none)


def constants(release: Release) -> dict[str, float]:
    return {constant.name: constant.value for constant in release.certificate.constants}


# certified removal


def published_without_noise(method: CertifiedRemoval, request: Request) -> tuple[Tensor, Release]:
    release = method.answer(request)
    noise = request.noise(release.state.weights, method.output_sigma)
    return release.state.weights - noise, release


def test_training_minimises_the_perturbed_objective() -> None:
    problem, method = problems.softmax(), CertifiedRemoval(sigma=0.02)
    state = trained(method, problem)
    gradient = problem.gradient(state.weights, problem.train)
    assert torch.allclose(gradient, -state.memory, atol=2e-10)
    assert not torch.equal(trained(method, problem, Seeds(training=1)).memory, state.memory)
    many = torch.cat([trained(method, problem, Seeds(training=k)).memory for k in range(20)])
    assert float(many.std()) == pytest.approx(0.02, rel=4 / math.sqrt(2 * len(many)))


def test_a_perturbed_objective_is_differentiated_as_it_is_written() -> None:
    plain = problems.softmax()
    w, b = torch.randn(
        2, plain.model.dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    problem = PerturbedProblem.of(plain, b)
    assert float(problem.loss(w, plain.train)) == pytest.approx(
        float(plain.loss(w, plain.train) + b @ w)
    )
    expected = plain.gradient(w, plain.train) + b
    assert torch.allclose(problem.gradient(w, plain.train), expected)
    hessian = problem.hessian(w, plain.train)
    assert torch.allclose(hessian.gradient, expected)
    assert torch.equal(hessian @ b, plain.hessian(w, plain.train) @ b)
    with pytest.raises(AssumptionBroken, match="needs strong convexity"):
        PerturbedProblem.of(problems.softmax(ridge=0.0), b)


def test_T14_on_a_quadratic_removal_is_perturbed_retraining() -> None:
    problem = problems.softmax(loss="squared", ridge=0.1)
    method = CertifiedRemoval(sigma=0.1, steps=1, tolerance=1e-13)
    state = trained(method, problem)
    request = asked(problem, state)
    released, release = published_without_noise(method, request)
    expected = minimiser(problem, request.retain, state.memory)
    assert torch.allclose(released, expected, atol=1e-10)
    assert "refused" not in release.certificate.theorem


@pytest.mark.parametrize("seed", range(8))
def test_what_the_perturbation_hides_is_within_the_budget(seed: int) -> None:
    """-grad L maps the release to b - u and retraining to b: the distance of two Gaussians."""
    problem, method = problems.softmax(seed), CertifiedRemoval(steps=1 + seed % 3)
    state = trained(method, problem)
    request = asked(problem, state)
    released, release = published_without_noise(method, request)
    retrained = PerturbedProblem.of(problem, release.state.memory).fit(
        request.retain, Seeds().generator("training")
    )
    rows = request.retain_rows
    apart = problem.gradient(released, rows) - problem.gradient(retrained, rows)
    assert float(apart.norm()) <= constants(release)["residual_budget"] + 1e-10


@pytest.mark.parametrize("seed", range(12))
def test_the_residual_of_a_newton_step_is_within_its_bound(seed: int) -> None:
    problem = problems.softmax(seed, ridge=10.0 ** -(seed % 3))
    weights = problem.fit(problems.every_row(problem), Seeds().generator("training"))
    kept = problem.train.take(torch.arange(1 + seed % 5, 60))
    hessian = problem.hessian(weights, kept)
    step = 0.5 * hessian.gradient if seed % 2 else minimiser_step(problem, weights, kept)
    bound = newton_residual(
        step_norm=float(step.norm()),
        solve_residual=float((hessian.gradient - hessian @ step).norm()),
        hessian_lipschitz=head_constants(problem).hessian_lipschitz,
    )
    left = float(problem.gradient(weights - step, kept).norm())
    assert 0 < left <= bound


def minimiser_step(problem: Problem, weights: Tensor, rows: object) -> Tensor:
    hessian = problem.hessian(weights, rows)
    dense = torch.stack([hessian @ e for e in torch.eye(len(weights), dtype=torch.float64)])
    return torch.linalg.solve(dense, hessian.gradient)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_residual_budget_agrees_with_dp_accounting(epsilon: float) -> None:
    known = {"sigma": 0.3, "output_sigma": 1e-3, "strong_convexity": 0.5}
    budget = residual_budget(m=m_for(epsilon, 1e-5), training_gradient=5e-7, **known)
    together = math.hypot(budget / 0.3, 2 * 5e-7 / (0.5 * 1e-3))
    theirs = GaussianPrivacyLoss(1.0, sensitivity=together)
    assert theirs.get_delta_for_epsilon(epsilon) == pytest.approx(1e-5, rel=1e-6)
    exact = residual_budget(m=m_for(epsilon, 1e-5), training_gradient=0.0, **known)
    assert exact / 0.3 == pytest.approx(m_for(epsilon, 1e-5), rel=1e-12)


def test_over_the_budget_it_is_refused_and_retrained_with_a_fresh_perturbation() -> None:
    problem, method = problems.softmax(), CertifiedRemoval(sigma=1e-6, steps=1)
    state = trained(method, problem)
    request = asked(problem, state)
    released, release = published_without_noise(method, request)
    assert release.certificate.theorem.startswith("refused and retrained")
    assert not torch.isclose(release.state.memory, state.memory).any()
    gradient = problem.gradient(released, request.retain_rows)
    assert torch.allclose(gradient, -release.state.memory, atol=2e-10)


def test_a_stream_of_removals_measures_all_that_is_left() -> None:
    problem, method = problems.softmax(), CertifiedRemoval()
    first = method.answer(asked(problem, trained(method, problem)))
    request = asked(problem, first.state, LATER, number=1)
    released, second = published_without_noise(method, request)
    assert torch.equal(second.state.memory, first.state.memory), "the perturbation of training"
    left = problem.gradient(released, request.retain_rows) + second.state.memory
    assert float(left.norm()) <= constants(second)["residual_budget"]
    assert [len(release.certificate.caveats) for release in (first, second)] == [1, 2]
    certificate = first.certificate
    assert (certificate.verdict, certificate.definition) == ("conditional", "retrain")
    assert certificate.sensitivity / certificate.sigma == pytest.approx(m_for(1.0, 1e-5))


def test_removal_refuses_what_its_theorem_does_not_allow() -> None:
    problem = problems.softmax()
    with pytest.raises(AssumptionBroken, match="tolerance alone costs m"):
        answered(CertifiedRemoval(output_sigma=1e-9), problem)
    adam = AdamTraining(algorithm="adam", epochs=1, batch=16, learning_rate=0.1, radius=None)
    untrained = problems.softmax()
    object.__setattr__(untrained, "training", adam)
    with pytest.raises(AssumptionBroken, match="training to a tolerance"):
        answered(CertifiedRemoval(), untrained)


@pytest.mark.parametrize("seed", range(15))
def test_T2_on_random_problems_the_budget_bounds_the_gradients_and_the_weights(seed: int) -> None:
    problem, forget = draw(seed)
    sigma = problem.strong_convexity * 10.0 ** -(seed % 3)  # moves the minimiser by 1 or less
    method = CertifiedRemoval(output_sigma=1e3, sigma=sigma)
    request = asked(problem, trained(method, problem), forget)
    released, release = published_without_noise(method, request)
    perturbed = PerturbedProblem.of(problem, release.state.memory)
    retrained = perturbed.fit(request.retain, Seeds().generator("training"))
    budget, held = constants(release)["residual_budget"], problem.training.gradient_bound
    left = float(perturbed.gradient(released, request.retain_rows).norm())
    assert left <= max(budget, held) * (1 + 1e-9) + 1e-12
    distance = float((released - retrained).norm())
    assert distance <= (left + held) / problem.strong_convexity * (1 + 1e-9) + 1e-12


# Sekhari et al.


def test_the_published_bound_comes_out() -> None:
    known = {"trained": 100, "forgotten": 7, "sample_gradient": 1.5, "strong_convexity": 0.3}
    ours = sekhari_bound(hessian_lipschitz=0.8, **known)
    assert ours == pytest.approx(2 * 0.8 * 7**2 * 1.5**2 / (0.3**3 * 100**2), rel=1e-12)
    loose = sekhari_bound(
        hessian_lipschitz=0.0, training_gradient=1e-3, solve_residual=1e-2, **known
    )
    assert loose == pytest.approx((1e-3 + 100 / 93 * 1e-3 + 1e-2) / 0.3, rel=1e-12)


def test_T14_on_a_quadratic_the_step_is_retraining() -> None:
    problem = problems.softmax(loss="squared", ridge=0.1)
    method = Sekhari(tolerance=1e-13)
    request = asked(problem, trained(method, problem))
    release = method.answer(request)
    expected = minimiser(problem, request.retain)
    assert torch.allclose(release.state.weights, expected, atol=1e-9)
    names = [other.theorem for other in release.certificate.alternatives]
    assert not any("Sekhari" in name for name in names), "a squared loss has no bounded gradient"


@pytest.mark.parametrize("seed", range(10))
def test_T2_both_bounds_are_above_the_distance(seed: int) -> None:
    problem = problems.softmax(seed, n=40 + 20 * seed, ridge=10.0 ** (seed % 3 - 1))
    forget = torch.arange(1 + seed % 4)
    method = Sekhari(tolerance=1e-2 if seed % 2 else 1e-8)
    request = asked(problem, trained(method, problem), forget)
    release = method.answer(request)
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    distance = float((release.state.weights - retrained).norm())
    certificate = release.certificate
    bounds = {other.theorem: other.sensitivity for other in certificate.alternatives}
    bounds[certificate.theorem] = certificate.sensitivity
    published = next(value for name, value in bounds.items() if name.startswith("Sekhari"))
    assert published >= distance
    assert certificate.sensitivity >= distance
    assert certificate.verdict == "proved"


def test_requests_to_the_newton_step_add_up() -> None:
    problem, method = problems.softmax(), Sekhari(tolerance=1e-12)
    state = trained(method, problem)
    first = method.answer(asked(problem, state))
    second = method.answer(asked(problem, first.state, LATER, number=1))
    at_once = method.answer(asked(problem, state, torch.cat([FORGET, LATER])))
    assert torch.allclose(second.state.weights, at_once.state.weights, atol=1e-10)
    assert torch.equal(second.state.memory.weights, state.weights)


def test_a_budget_fixes_the_noise_and_refuses() -> None:
    problem, method = problems.softmax(), Sekhari(budget=0.05)
    state = trained(method, problem)
    one, other = (method.answer(asked(problem, state, f)).certificate for f in (FORGET, LATER))
    assert one.mode == "budgeted"
    assert one.sigma == other.sigma
    strict = Sekhari(budget=1e-6)
    request = asked(problem, trained(strict, problem))
    refused = strict.answer(request)
    assert refused.certificate.theorem.startswith("refused and retrained")
    again = strict.answer(asked(problem, refused.state, NOTHING, number=1))
    assert torch.equal(again.state.weights, refused.state.weights)


# contraction


def test_the_contraction_is_attained_and_longer_steps_are_refused() -> None:
    mu, lipschitz = 0.3, 2.0
    known = {"strong_convexity": mu, "gradient_lipschitz": lipschitz}
    longest = 2 / (mu + lipschitz)
    assert contraction(step_size=longest, **known) == pytest.approx(
        (lipschitz - mu) / (lipschitz + mu)
    )
    for eta in (0.1, longest):
        factors = [abs(1 - eta * curvature) for curvature in (mu, 1.1, lipschitz)]
        assert contraction(step_size=eta, **known) == pytest.approx(max(factors))
    with pytest.raises(AssumptionBroken, match=r"contracts for step_size <= 2 / \(L \+ mu\)"):
        contraction(step_size=1.01 * longest, **known)
    with pytest.raises(AssumptionBroken, match="strong_convexity must be above 0"):
        contraction(step_size=0.1, strong_convexity=0.0, gradient_lipschitz=1.0)


@pytest.mark.parametrize("c", [-0.1, 1.1, math.nan])
def test_a_contraction_outside_0_and_1_is_refused(c: float) -> None:
    with pytest.raises(AssumptionBroken, match="contraction"):
        descent_error(start=1.0, moved=1.0, contraction=c, steps=3)
    with pytest.raises(AssumptionBroken, match="contraction"):
        noisy_contraction_m(apart=1.0, contraction=c, sigma=1.0, steps=3)


# Descent-to-Delete


def test_descent_is_the_papers_recursion_by_hand() -> None:
    problem, eta = problems.softmax(), 0.05
    method = DescentToDelete(steps=9, step_size=eta)
    request = asked(problem, trained(method, problem))
    x, y = request.retain_rows.x, torch.eye(3).double()[request.retain_rows.y]
    w = request.original.weights
    for _ in range(9):
        matrix, bias = w[:15].view(3, 5), w[15:]
        error = (x @ matrix.T + bias).softmax(dim=1) - y
        data = torch.cat([(error.T @ x).flatten(), error.sum(dim=0)]) / len(x)
        w = w - eta * (data + 0.05 * w)
    assert torch.allclose(method.answer(request).state.weights, w, atol=1e-12)


def test_descent_on_two_points_attains_the_contraction() -> None:
    """l_1 = -w, l_2 = w and a ridge: from w* = 0 to the minimiser 1 / mu of the first alone."""
    mu, eta, w = 0.4, 0.5, 0.0
    for _ in range(6):
        w -= eta * (mu * w - 1.0)
    c = contraction(step_size=eta, strong_convexity=mu, gradient_lipschitz=mu)
    assert descent_error(start=0.0, moved=1 / mu, contraction=c, steps=6) == pytest.approx(
        1 / mu - w, rel=1e-12
    )


@pytest.mark.parametrize("seed", range(6))
def test_T2_descent_is_within_its_bound_over_a_stream(seed: int) -> None:
    problem = problems.softmax(seed, ridge=10.0 ** (seed % 3 - 2))
    method = DescentToDelete(steps=(1, 20, 200)[seed % 3], capacity=3)
    state, distances = trained(method, problem), []
    for number in range(4):
        forget = state.rows[[seed, seed + 5, seed + 9]]
        request = asked(problem, state, forget, number=number)
        release = method.answer(request)
        retrained = problem.fit(request.retain, Seeds().generator("training"))
        distances.append(float((release.state.weights - retrained).norm()))
        certificate, state = release.certificate, release.state
        assert certificate.reached >= distances[-1]
        assert certificate.sensitivity >= distances[-1]
        assert state.memory.error + 1e-10 / problem.strong_convexity >= distances[-1]
    assert min(distances) > 0


def test_more_descent_is_less_noise_until_training_is_what_is_left() -> None:
    problem = problems.softmax(ridge=0.5)
    sigmas = [answered(DescentToDelete(steps=k), problem).certificate.sigma for k in (1, 20, 90)]
    assert all(a > b for a, b in pairwise(sigmas))
    least = answered(DescentToDelete(steps=600), problem).certificate
    assert least.sensitivity == pytest.approx(2 * 1e-10 / 0.5, rel=1e-6)
    assert (least.definition, least.mode) == ("unlearn-on-retain", "budgeted")
    assert least.verdict == "proved"


def test_T15_the_noise_of_descent_depends_on_counts_alone() -> None:
    problem, method = problems.softmax(), DescentToDelete(steps=30)
    sigmas = {
        answered(method, problem, forget).certificate.sigma
        for forget in (FORGET, torch.arange(11), NOTHING)
    }
    assert len(sigmas) == 1


def test_beyond_its_capacity_descent_is_refused_and_retrained() -> None:
    problem, method = problems.softmax(), DescentToDelete(capacity=3)
    request = asked(problem, trained(method, problem))
    release = method.answer(request)
    assert torch.equal(
        release.state.weights, problem.fit(request.retain, Seeds().generator("training"))
    )
    assert release.certificate.theorem.startswith("refused and retrained: more than 3 rows")


def test_descent_refuses_what_its_theorem_does_not_allow() -> None:
    with pytest.raises(AssumptionBroken, match="contracts for step_size"):
        answered(DescentToDelete(step_size=5.0), problems.softmax())
    with pytest.raises(AssumptionBroken, match="bounded gradients of single rows"):
        answered(DescentToDelete(), problems.softmax(loss="squared"))


# Langevin unlearning


def test_langevin_without_noise_is_projected_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a quadratic, w_K = w_r + (I - eta H)^K (w_0 - w_r) as long as the ball is not met."""
    without_noise(monkeypatch)
    problem = problems.softmax(loss="squared", ridge=0.5)
    method = Langevin(learning_steps=20, radius=50.0, sigma=0.3, step_size=0.02)
    request = asked(problem, trained(method, problem))
    release = method.answer(request)
    steps, rows = int(constants(release)["steps"]), request.retain_rows
    eye = torch.eye(problem.model.dimension, dtype=torch.float64)
    hessian = torch.stack([problem.hessian(eye[0], rows) @ e for e in eye])
    best = minimiser(problem, request.retain)
    power = torch.linalg.matrix_power(eye - 0.02 * hessian, steps)
    expected = best + power @ (request.original.weights - best)
    assert steps > 5
    assert torch.allclose(release.predictor.weights, expected, atol=1e-10)


def test_it_is_a_ball_and_not_a_sphere(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problems.softmax()
    method = Langevin(radius=0.2, sigma=0.05)
    state = trained(method, problem)
    assert float(state.weights.norm()) <= 0.2 + 1e-12
    request = asked(problem, state)
    assert float(method.answer(request).predictor.weights.norm()) <= 0.2 + 1e-12
    without_noise(monkeypatch)
    wide = Langevin(radius=1e3, sigma=1e3)
    inside = asked(problem, trained(wide, problem))
    released = wide.answer(inside).predictor.weights
    assert float(released.norm()) < 1e3, "what is inside is not drawn out to the sphere"


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize(("c", "learned"), [(0.9, 0), (0.9, 12), (1.0, 12), (0.0, 3)])
def test_two_chains_on_a_line_are_exactly_m_apart(epsilon: float, c: float, learned: int) -> None:
    """x <- c x + push + noise, with the push in one chain only and while learning: Gaussians."""
    sigma, push, start = 0.7, 0.02, 0.3
    apart, variance = (0.0 if learned else start), 0.0
    for _ in range(learned):
        apart, variance = c * apart + push, c**2 * variance + sigma**2
    before = apart
    for _ in range(4):
        apart, variance = c * apart, c**2 * variance + sigma**2
    z = learning_distance(contraction=c, push=push, steps=learned) if learned else start
    assert z == pytest.approx(before, rel=1e-12)
    m = noisy_contraction_m(apart=z, contraction=c, sigma=sigma, steps=4, learned=learned)
    assert m == pytest.approx(apart / math.sqrt(variance), rel=1e-12, abs=1e-300)
    # noise for a target, put into theirs with all steps' noise added up
    if m > 0:
        scale = m / m_for(epsilon, 1e-5)
        theirs = GaussianPrivacyLoss(scale * math.sqrt(variance), sensitivity=apart)
        assert theirs.get_delta_for_epsilon(epsilon) == pytest.approx(1e-5, rel=1e-6)


@pytest.mark.parametrize("c", [0.0, 0.5, 0.99, 0.9999, 1.0])
@pytest.mark.parametrize("learned", [0, 7])
def test_no_noisy_step_more_than_needed(c: float, learned: int) -> None:
    shared = {"apart": 3.0, "contraction": c, "sigma": 0.4, "learned": learned}
    steps = noisy_contraction_steps(m=0.5, **shared)
    assert noisy_contraction_m(steps=steps, **shared) <= 0.5
    assert steps == 1 or noisy_contraction_m(steps=steps - 1, **shared) > 0.5


def test_steps_that_would_never_end_are_refused() -> None:
    known = {"apart": 3.0, "contraction": 1.0, "sigma": 1e-4}
    with pytest.raises(AssumptionBroken, match="raise sigma"):
        noisy_contraction_steps(m=0.3, **known)
    with pytest.raises(LetheError, match="at least one step"):
        noisy_contraction_m(steps=0, **known)
    with pytest.raises(LetheError, match="at least 0"):
        learning_distance(contraction=0.5, push=1.0, steps=-1)


def test_learning_with_noise_saves_steps_at_the_first_request_alone() -> None:
    problem, method = problems.softmax(ridge=0.5), Langevin(capacity=4, learning_steps=40)
    state = trained(method, problem)
    first = method.answer(asked(problem, state))
    again = method.answer(asked(problem, first.state, LATER, number=1))
    beyond = method.answer(asked(problem, state, torch.arange(5)))
    few, many, any_start = (constants(r)["steps"] for r in (first, again, beyond))
    assert few < many == any_start
    assert first.certificate.sigma == again.certificate.sigma
    for release in (first, again):
        m = release.certificate.sensitivity / release.certificate.sigma
        assert 0.9 * m_for(1.0, 1e-5) < m <= m_for(1.0, 1e-5)
        assert (release.certificate.verdict, release.certificate.noise) == ("proved", "inside")


def test_T7_langevin_noise_is_fresh_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, plain, drawn = problems.softmax(), Request.noise, []

    def spy(self: Request, like: Tensor, sigma: float, *scope: object) -> Tensor:
        drawn.append(plain(self, like, sigma, *scope) / sigma)
        return drawn[-1] * sigma

    monkeypatch.setattr(Request, "noise", spy)
    method = Langevin(sigma=1.0, learning_steps=3)
    release = method.answer(asked(problem, trained(method, problem)))
    assert len(drawn) == constants(release)["steps"] > 2
    for a, b in combinations(drawn, 2):
        assert not torch.isclose(a, b).any()
    together = torch.cat(drawn)
    assert float(together.std()) == pytest.approx(1, abs=4 / math.sqrt(2 * len(together)))


def test_T7_learning_has_noise_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gradients and far inside the ball, what is learned is a sum of T draws."""
    problem = problems.softmax()
    monkeypatch.setattr(Problem, "gradient", lambda self, w, rows: torch.zeros_like(w))
    method = Langevin(learning_steps=25, sigma=0.4, radius=1e6)
    runs = [trained(method, problem, Seeds(training=k)) for k in range(40)]
    starts = [
        problem.model.initial_weights(Seeds(training=k).generator("training")) for k in range(40)
    ]
    moved = torch.cat([run.weights - start for run, start in zip(runs, starts, strict=True)])
    assert float(moved.std()) == pytest.approx(0.4 * 5, rel=4 / math.sqrt(2 * len(moved)))


def test_T15_langevins_certificate_does_not_depend_on_the_request() -> None:
    problem, method = problems.softmax(ridge=0.5), Langevin(learning_steps=20)
    state = trained(method, problem)
    one, other, none = (
        method.answer(asked(problem, state, forget)).certificate
        for forget in (FORGET, torch.arange(11), NOTHING)
    )
    assert one == other == none


@pytest.mark.parametrize("seed", range(15))
def test_T2_chains_with_the_same_noise_stay_within_their_bounds(seed: int) -> None:
    """The distances that the noise has to absorb: on all rows and on those that are kept."""
    problem, forget = draw(seed)
    method = Langevin(learning_steps=1 + 3 * seed, sigma=1.0, radius=2.0, capacity=len(forget))
    whole = trained(method, problem)
    request = asked(problem, whole, forget)
    kept = method.train(problem, request.retain, Seeds(), Clock())
    chain, apart = whole.memory, float((whole.weights - kept.weights).norm())
    if chain.learned is not None:
        assert 0 < apart <= chain.learned
    one = method.answer(request)
    steps = int(constants(one)["steps"])
    other = method.answer(asked(problem, State(kept.weights, whole.rows, chain), forget))
    after = float((one.predictor.weights - other.predictor.weights).norm())
    most = chain.contraction**steps * min(apart, 2 * 2.0)
    assert after <= most * (1 + 1e-9) + 1e-12


def test_langevin_refuses_a_step_that_does_not_contract() -> None:
    with pytest.raises(AssumptionBroken, match="contracts for step_size"):
        trained(Langevin(step_size=5.0), problems.softmax())


def test_a_stream_under_one_perturbation_has_no_composed_epsilon() -> None:
    """Releases that share a draw of the noise do not compose like Gaussian mechanisms."""
    problem = problems.softmax()
    method = CertifiedRemoval()
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock(problem.device))
    composes = []
    for number in range(2):
        forget = original.rows[:2]
        request = Request.of(problem, original, forget, number=number)
        release = method.answer(request)
        composes.append(release.certificate.composes)
        original = release.state
    assert composes == [True, False]
