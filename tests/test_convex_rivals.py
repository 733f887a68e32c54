"""Certified removal, Sekhari et al., Descent-to-Delete and Langevin unlearning on convex heads."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
import torch
from dp_accounting.pld.privacy_loss_mechanism import GaussianPrivacyLoss
from torch import Tensor

from benchmark.claims.descent_to_delete import Promise, descent_promise, moved_minimiser
from benchmark.claims.spectra import head_constants
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.variants import PerturbedProblem
from benchmark.studies.random_problem import draw
from benchmark.theory.certified_removal import residual_budget
from benchmark.theory.contraction import (
    contraction,
    learning_distance,
    noisy_contraction_m,
    noisy_contraction_steps,
)
from benchmark.theory.gaussian import m_for
from benchmark.theory.sekhari import sekhari_bound
from methods.certified_removal import CertifiedRemoval
from methods.descent_to_delete import DescentToDelete
from methods.langevin import Langevin
from methods.sekhari import Sekhari
from tests import problems
from tests.oracles import newton_residual
from tests.problems import bounds, numbers, without_noise

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
    """The minimiser of a quadratic objective plus a linear term, by a dense solve."""
    rows, origin = problem.train.take(index), torch.zeros(problem.model.dimension).double()
    eye = torch.eye(problem.model.dimension, dtype=torch.float64)
    hessian = torch.stack([problem.hessian(origin, rows) @ e for e in eye])
    return -torch.linalg.solve(hessian, problem.gradient(origin, rows) + perturbation)


# certified removal


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
    release = method.answer(request)
    expected = minimiser(problem, request.retain, state.memory)
    assert torch.allclose(release.state.weights, expected, atol=1e-10)
    assert torch.equal(release.state.memory, state.memory), "not trained anew"
    noise = release.predictor.weights - release.state.weights
    assert torch.allclose(noise, request.noise(noise, method.output_sigma), rtol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_what_the_perturbation_hides_is_within_the_budget(seed: int) -> None:
    """-grad L maps the release to b - u and retraining to b: the distance of two Gaussians."""
    problem, method = problems.softmax(seed), CertifiedRemoval(steps=1 + seed % 3)
    state = trained(method, problem)
    request = asked(problem, state)
    release = method.answer(request)
    released = release.state.weights
    retrained = PerturbedProblem.of(problem, release.state.memory).fit(
        request.retain, Seeds().generator("training")
    )
    rows = request.retain_rows
    apart = problem.gradient(released, rows) - problem.gradient(retrained, rows)
    assert float(apart.norm()) <= numbers(release)["residual_budget"] + 1e-10


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


def test_over_the_budget_it_trains_anew_with_a_fresh_perturbation() -> None:
    problem, method = problems.softmax(), CertifiedRemoval(sigma=1e-6, steps=1)
    state = trained(method, problem)
    request = asked(problem, state)
    release = method.answer(request)
    assert not torch.isclose(release.state.memory, state.memory).any()
    gradient = problem.gradient(release.state.weights, request.retain_rows)
    assert torch.allclose(gradient, -release.state.memory, atol=2e-10)
    nothing = method.answer(asked(problem, state, NOTHING))
    assert torch.equal(nothing.state.memory, state.memory)
    assert nothing.claim == release.claim, "an observer is told the same"


def test_a_stream_of_removals_measures_all_that_is_left() -> None:
    problem, method = problems.softmax(), CertifiedRemoval()
    first = method.answer(asked(problem, trained(method, problem)))
    request = asked(problem, first.state, LATER, number=1)
    second = method.answer(request)
    assert torch.equal(second.state.memory, first.state.memory), "the perturbation of training"
    left = problem.gradient(second.state.weights, request.retain_rows) + second.state.memory
    assert float(left.norm()) <= numbers(second)["residual_budget"]
    assert [len(release.claim.caveats) for release in (first, second)] == [1, 2]
    assert (verdict(first.claim), first.claim.definition) == ("conditional", "retrain")
    assert first.claim.guarantee.m == m_for(1.0, 1e-5)


def test_removal_refuses_what_its_theorem_does_not_allow() -> None:
    problem = problems.softmax()
    with pytest.raises(AssumptionBroken, match="tolerance alone costs m"):
        answered(CertifiedRemoval(output_sigma=1e-9), problem)
    adam = AdamTraining(algorithm="adam", epochs=1, batch=16, learning_rate=0.1, radius=None)
    untrained = problems.softmax()
    object.__setattr__(untrained, "training", adam)
    with pytest.raises(AssumptionBroken, match="training to a gradient tolerance"):
        answered(CertifiedRemoval(), untrained)


@pytest.mark.parametrize("seed", range(15))
def test_T2_on_random_problems_the_budget_bounds_the_gradients_and_the_weights(seed: int) -> None:
    problem, forget = draw(seed)
    sigma = problem.strong_convexity * 10.0 ** -(seed % 3)  # moves the minimiser by 1 or less
    method = CertifiedRemoval(output_sigma=1e3, sigma=sigma)
    request = asked(problem, trained(method, problem), forget)
    release = method.answer(request)
    released = release.state.weights
    perturbed = PerturbedProblem.of(problem, release.state.memory)
    retrained = perturbed.fit(request.retain, Seeds().generator("training"))
    budget, held = numbers(release)["residual_budget"], problem.training.gradient_bound
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
    assert "sekhari21" not in bounds(release), "a squared loss has no bounded gradient"


@pytest.mark.parametrize("seed", range(10))
def test_T2_both_bounds_are_above_the_distance(seed: int) -> None:
    problem = problems.softmax(seed, n=40 + 20 * seed, ridge=10.0 ** (seed % 3 - 1))
    forget = torch.arange(1 + seed % 4)
    method = Sekhari(tolerance=1e-2 if seed % 2 else 1e-8)
    request = asked(problem, trained(method, problem), forget)
    release = method.answer(request)
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    distance = float((release.state.weights - retrained).norm())
    assert bounds(release)["sekhari21"] >= distance
    assert distance <= release.claim.evidence.reached <= release.claim.bound == 1e-3
    assert verdict(release.claim) == "proved"
    published = {other.theorem: other.proved for other in release.claim.evidence.alternatives}
    own = numbers(release)["further_steps"] == 0
    assert published["sekhari21"] == own, "it is about the one step, and no other weights"


def test_requests_to_the_newton_step_add_up() -> None:
    problem, method = problems.softmax(), Sekhari(tolerance=1e-12)
    state = trained(method, problem)
    first = method.answer(asked(problem, state))
    second = method.answer(asked(problem, first.state, LATER, number=1))
    at_once = method.answer(asked(problem, state, torch.cat([FORGET, LATER])))
    assert torch.allclose(second.state.weights, at_once.state.weights, atol=1e-10)
    assert torch.equal(second.state.memory.weights, state.weights)


@pytest.mark.parametrize("forgotten", [0, 1, 30, 59])
@pytest.mark.parametrize("settings", [{}, {"tolerance": 0.99}, {"max_products": 1}])
def test_sekharis_step_goes_on_until_it_is_within_the_public_distance(
    settings: dict[str, float], forgotten: int
) -> None:
    problem, method = problems.softmax(), Sekhari(**settings)
    target = Target(distance=1e-6)
    state = trained(method, problem)
    request = Request.of(problem, state, torch.arange(forgotten), target=target)
    release = method.answer(request)
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    away = float((release.state.weights - retrained).norm())
    assert away <= release.claim.evidence.reached <= release.claim.bound == 1e-6
    assert (numbers(release)["further_steps"] > 0) == (forgotten > 0)


def test_T15_the_noise_of_sekharis_step_is_the_same_whatever_is_forgotten() -> None:
    problem, method = problems.softmax(), Sekhari()
    claims = [answered(method, problem, f).claim for f in (FORGET, torch.arange(50), NOTHING)]
    assert claims[0].public() == claims[1].public() == claims[2].public()
    state = trained(method, problem)
    nothing = method.answer(asked(problem, state, NOTHING))
    assert torch.equal(nothing.state.weights, state.weights)


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
    assert c**6 / mu == pytest.approx(1 / mu - w, rel=1e-12)


def promised(method: DescentToDelete, problem: Problem, left: int) -> Promise:
    settings = method.model_dump(include={"capacity", "step_size", "steps"})
    return descent_promise(problem, left=left, **settings)


@pytest.mark.parametrize("seed", range(6))
def test_T2_descent_is_within_its_bound_over_a_stream(seed: int) -> None:
    """The second request is for more rows than the steps are made for."""
    problem = problems.softmax(seed, ridge=10.0 ** (seed % 3 - 2))
    method = DescentToDelete(steps=(1, 20, 200)[seed % 3], capacity=3)
    state, distances = trained(method, problem), []
    for number, count in enumerate((3, 12, 3, 1)):
        request = asked(problem, state, state.rows[3 : 3 + count], number=number)
        release = method.answer(request)
        retrained = problem.fit(request.retain, Seeds().generator("training"))
        distances.append(float((release.state.weights - retrained).norm()))
        evidence, state = release.claim.evidence, release.state
        assert distances[-1] <= evidence.reached <= evidence.bound
        error = promised(method, problem, len(request.retain)).error
        assert error + 1e-10 / problem.strong_convexity >= distances[-1]
    assert min(distances) > 0


def test_more_descent_is_less_noise_until_training_is_what_is_left() -> None:
    problem = problems.declared(problems.softmax(ridge=0.5), 40)
    claims = [answered(DescentToDelete(steps=k), problem).claim for k in (1, 20, 90, 600)]
    sigmas = [claim.evidence.sigma for claim in claims]
    assert all(a > b for a, b in pairwise(sigmas))
    assert claims[-1].bound == pytest.approx(2 * 1e-10 / 0.5, rel=1e-6)
    assert claims[-1].definition == "unlearn-on-retain"
    assert verdict(claims[-1]) == "proved"


def test_T15_the_noise_of_descent_follows_from_what_is_declared() -> None:
    plain, method = problems.softmax(), DescentToDelete()
    problem = problems.declared(plain, 49)
    claims = [answered(method, problem, f).claim for f in (FORGET, torch.arange(11), NOTHING)]
    assert claims[0].public() == claims[1].public() == claims[2].public()
    assert {c.provenance for c in claims[0].constants} == {"exact", "declared"}
    # without, it follows from the rows at hand, and so do the sides of the definition differ
    claims = [answered(method, plain, forget).claim for forget in (FORGET, NOTHING)]
    assert claims[0].evidence.sigma != claims[1].evidence.sigma
    assert verdict(claims[0]) == "conditional"


def test_declared_bounds_that_the_data_break_are_one_line() -> None:
    problem = problems.declared(problems.softmax(), 57)
    with pytest.raises(AssumptionBroken, match="56 rows are left, fewer than the 57"):
        answered(DescentToDelete(), problem)
    short = replace(problem, declared=replace(problem.declared, feature_norm=0.5))
    with pytest.raises(
        AssumptionBroken, match=r"norm 0\.5 at most, and a row has 5\.68083: declare"
    ):
        answered(DescentToDelete(), short)


def test_beyond_its_capacity_descent_takes_the_steps_that_it_needs() -> None:
    problem, method = problems.declared(problems.softmax(), 30), DescentToDelete(capacity=3)
    request = asked(problem, trained(method, problem), torch.arange(25))
    release = method.answer(request)
    promise = promised(method, problem, len(request.retain))
    moved = moved_minimiser(problem, len(request.retain), 25)
    steps = promise.steps(moved, method.steps)
    assert steps > method.steps
    assert promise.contraction**steps * (promise.error + moved) <= promise.error * (1 + 1e-9)
    assert promise.contraction ** (steps - 1) * (promise.error + moved) > promise.error
    longer = method.model_copy(update={"steps": steps, "capacity": 25})
    assert torch.equal(release.state.weights, longer.answer(request).state.weights)
    within = method.answer(asked(problem, request.original, LATER))
    assert release.claim.public() == within.claim.public()


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
    steps, rows = release.claim.evidence.steps, request.retain_rows
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
    problem = problems.declared(problems.softmax(ridge=0.5), 50)
    method = Langevin(capacity=4, learning_steps=40)
    first = method.answer(asked(problem, trained(method, problem)))
    again = method.answer(asked(problem, first.state, LATER, number=1))
    assert first.claim.evidence.steps < again.claim.evidence.steps
    assert first.claim.evidence.sigma == again.claim.evidence.sigma
    for claim in (first.claim, again.claim):
        assert 0.9 * m_for(1.0, 1e-5) < claim.guarantee.m <= m_for(1.0, 1e-5)
        assert (verdict(claim), claim.evidence.kind) == ("proved", "algorithm")


def test_a_first_request_beyond_the_capacity_learns_anew() -> None:
    """What is released is then a function of the retained rows alone."""
    problem, method = problems.softmax(ridge=0.5), Langevin(capacity=4, learning_steps=40)
    state = trained(method, problem)
    moved = replace(state, weights=state.weights + 1)
    for count, same in ((5, True), (4, False)):
        one, other = (
            method.answer(asked(problem, start, torch.arange(count))) for start in (state, moved)
        )
        assert torch.equal(one.predictor.weights, other.predictor.weights) == same
        assert one.claim == other.claim


def test_T7_langevin_noise_is_fresh_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, plain, drawn = problems.softmax(), Request.noise, []

    def spy(self: Request, like: Tensor, sigma: float, *scope: object) -> Tensor:
        drawn.append(plain(self, like, sigma, *scope) / sigma)
        return drawn[-1] * sigma

    monkeypatch.setattr(Request, "noise", spy)
    method = Langevin(sigma=1.0, learning_steps=3)
    release = method.answer(asked(problem, trained(method, problem)))
    assert len(drawn) == release.claim.evidence.steps > 2
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


def test_T15_langevins_claim_follows_from_what_is_declared() -> None:
    plain, method = problems.softmax(ridge=0.5), Langevin(learning_steps=20)
    problem = problems.declared(plain, 35)
    state = trained(method, problem)
    claims = [
        method.answer(asked(problem, state, forget)).claim
        for forget in (FORGET, torch.arange(25), NOTHING)
    ]
    kept = method.train(problem, torch.arange(25, 60), Seeds(), Clock())
    claims.append(method.answer(asked(problem, kept, NOTHING)).claim)
    assert all(claim == claims[0] for claim in claims), "on either side of the definition"
    assert verdict(claims[0]) == "proved"
    assert verdict(answered(method, plain).claim) == "conditional"


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
    steps = one.claim.evidence.steps
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
        composes.append(release.claim.composes)
        original = release.state
    assert composes == [True, False]
