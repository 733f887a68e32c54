"""DP-SGD with group privacy, recollection, and noise block by block."""

from __future__ import annotations

import builtins
import math

import numpy as np
import pytest
import torch
from dp_accounting.dp_event import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.pld import PLDAccountant
from scipy.stats import binom, norm
from torch import Tensor
from torch.func import grad, vmap

from benchmark.claims.spectra import head_constants
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.hessian import Hessian
from benchmark.errors import AssumptionBroken, LetheError
from benchmark.problem.problem import Problem
from benchmark.problem.training import recollect
from benchmark.problem.training.noisy import private_descent
from benchmark.rows import Rows
from benchmark.theory.blockwise import blockwise_m
from benchmark.theory.contraction import check_step
from benchmark.theory.gaussian import delta_for, m_for
from benchmark.theory.group_privacy import (
    group_delta,
    group_epsilon,
    group_m,
    group_noise_multiplier,
)
from benchmark.theory.noisy_descent import gradient_clipping_m
from benchmark.theory.recollection import descent_gradient
from methods.blockwise import Blockwise
from methods.dp_sgd import DPSGD
from methods.output_perturbation import OutputPerturbation
from methods.recollection import Recollection
from tests import problems
from tests.problems import numbers

FORGET = torch.tensor([3, 17, 41, 58])


def asked(problem: Problem, start: Tensor, target: Target | None = None) -> Request:
    return Request.of(problem, State(start, problems.every_row(problem)), FORGET, target=target)


def start_of(problem: Problem, norm: float = 5.0) -> Tensor:
    draw = torch.randn(problem.model.dimension, generator=torch.Generator().manual_seed(1))
    return (draw * norm / draw.norm()).to(problem.dtype)


def after(method: Method, problem: Problem, forget: Tensor, **more: object) -> Release:
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    return method.answer(Request.of(problem, original, forget, **more))


# DP-SGD: accounting


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0])
def test_without_sampling_a_group_is_one_gaussian(epsilon: float) -> None:
    """Every step moves by k C: m = k sqrt(T) / z, with its delta in closed form."""
    theirs = group_delta(epsilon=epsilon, group=7, rate=1.0, steps=16, noise_multiplier=20.0)
    exact = delta_for(epsilon, group_m(group=7, steps=16, noise_multiplier=20.0))
    assert exact <= theirs <= exact * 1.01


def test_a_group_of_one_is_the_sampled_gaussian() -> None:
    account = PLDAccountant(value_discretization_interval=1e-3)
    account.compose(PoissonSampledDpEvent(0.1, GaussianDpEvent(2.0)), 50)
    ours = group_delta(epsilon=1.0, group=1, rate=0.1, steps=50, noise_multiplier=2.0)
    assert ours == pytest.approx(account.get_delta(1.0), rel=0.02)


@pytest.mark.parametrize("epsilon", [0.5, 1.0])
def test_one_step_is_the_mixture_in_both_directions(epsilon: float) -> None:
    """The hockey-stick divergence of one step, integrated on a fine grid."""
    k, q, z = 5, 0.3, 3.0
    x = np.linspace(-40, 45, 40_001)
    plain = norm.pdf(x, scale=z)
    weights = binom.pmf(np.arange(k + 1), k, q)
    mixed = sum(p * norm.pdf(x, loc=j, scale=z) for j, p in enumerate(weights))
    sides = [
        np.trapezoid(np.maximum(a - math.exp(epsilon) * b, 0), x)
        for a, b in ((plain, mixed), (mixed, plain))
    ]
    ours = group_delta(epsilon=epsilon, group=k, rate=q, steps=1, noise_multiplier=z)
    assert max(sides) * (1 - 1e-6) <= ours <= max(sides) * 1.01
    assert sides[0] < sides[1], "the two directions differ, and the worse one counts"


def test_noise_is_the_least_that_answers_the_target() -> None:
    shared = {"group": 20, "rate": 0.1, "steps": 100}
    z = group_noise_multiplier(epsilon=1.0, delta=1e-5, **shared)
    assert group_delta(epsilon=1.0, noise_multiplier=z, **shared) <= 1e-5
    assert group_delta(epsilon=1.0, noise_multiplier=0.99 * z, **shared) > 1e-5
    assert 0.99 <= group_epsilon(delta=1e-5, noise_multiplier=z, **shared) <= 1.0
    fewer = {**shared, "group": 10}
    assert group_delta(epsilon=1.0, noise_multiplier=z, **fewer) < 1e-5


def test_splitting_epsilon_naively_is_wrong_by_142() -> None:
    """Group privacy of an (e, d) mechanism is (k e, d (e^ke - 1) / (e^e - 1)), not d e^(ke - e)."""
    epsilon, k = 1.0, 225
    true = math.expm1(epsilon) / math.expm1(epsilon / k)
    naive = math.exp(epsilon - epsilon / k)
    assert true / naive == pytest.approx(142.5, abs=0.1)


def test_the_mixture_needs_less_noise_than_group_privacy_of_one_row() -> None:
    k, shared = 20, {"rate": 0.1, "steps": 50}
    one_row = 1e-5 * math.expm1(1 / k) / math.expm1(1.0)
    black_box = group_noise_multiplier(epsilon=1 / k, delta=one_row, group=1, **shared)
    mixture = group_noise_multiplier(epsilon=1.0, delta=1e-5, group=k, **shared)
    assert mixture < black_box


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(AssumptionBroken, match="Poisson sampling"):
        group_delta(epsilon=1.0, group=2, rate=rate, steps=3, noise_multiplier=1.0)


# DP-SGD: training


@pytest.mark.parametrize("kind", [problems.softmax, problems.mlp])
def test_opacus_takes_the_papers_step(kind: type[Problem]) -> None:
    """Three steps by hand: per-row gradients by torch.func, clipped, summed, without noise."""
    problem = kind()
    start, rate, eta = start_of(problem, 2.0), 0.3, 0.1

    def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return problem.data_loss(w, Rows(x[None], y[None]))

    def row_gradients(w: Tensor, rows: Rows) -> Tensor:
        return vmap(grad(loss), in_dims=(None, 0, 0))(w, rows.x, rows.y)

    clip = float(row_gradients(start, problem.train).norm(dim=1).median())
    settings = {"rate": rate, "steps": 3, "clip": clip, "learning_rate": eta}
    ours = private_descent(
        problem,
        start,
        problem.train,
        **settings,
        noise_multiplier=1e-9,
        divisor=18.0,
        sampling=torch.Generator().manual_seed(5),
        noise=torch.Generator().manual_seed(6),
    )

    w, draws, clipped = start, torch.Generator().manual_seed(5), []
    for _ in range(3):
        here = torch.rand(60, generator=draws) < rate
        rows = problem.train.take(here.nonzero()[:, 0])
        gradients = row_gradients(w, rows)
        norms = gradients.norm(dim=1)
        clipped += (norms > clip).tolist()
        summed = (gradients * (clip / norms).clamp(max=1)[:, None]).sum(dim=0)
        w = w - eta * (summed / 18.0 + problem.objective.ridge * w)
    assert set(clipped) == {True, False}, "both kinds of row are tried"
    assert torch.allclose(ours, w, atol=1e-5)


def test_noise_has_the_deviation_of_the_claim() -> None:
    """In one step the sum of all clipped gradients is at most a sixth as long as its noise."""
    problem = problems.softmax(ridge=0.0, inputs=200)
    release = after(DPSGD(steps=1, rate=1.0, group=4), problem, FORGET)
    start = problem.model.initial_weights(Seeds().generator("training", "dp-sgd", "start"))
    moved = release.predictor.weights - start
    assert float(moved.std()) == pytest.approx(release.claim.evidence.sigma, rel=0.1)


def test_dp_sgd_answers_with_what_was_trained() -> None:
    problem = problems.declared(problems.mlp(), 56)
    release = after(DPSGD(group=4), problem, FORGET)
    claim = release.claim
    assert (claim.definition, verdict(claim)) == ("retrain", "proved")
    assert 0.99 <= claim.epsilon <= 1.0
    assert torch.equal(release.predictor.weights, release.state.weights)
    plain = after(DPSGD(group=4), problems.mlp(), FORGET).claim
    assert verdict(plain) == "conditional", "the noise of a step tells how many rows there are"
    with pytest.raises(AssumptionBroken, match="56 rows are left, fewer than the 57"):
        after(DPSGD(group=4), problems.declared(problems.mlp(), 57), FORGET)


def test_T15_the_claim_of_dp_sgd_follows_from_what_is_declared() -> None:
    problem, method = problems.declared(problems.softmax(), 50), DPSGD(group=4)
    one = after(method, problem, FORGET).claim
    kept = method.train(problem, torch.arange(4, 60), Seeds(), Clock())
    nothing = torch.tensor([], dtype=torch.int64)
    assert method.answer(Request.of(problem, kept, nothing)).claim == one


@pytest.mark.parametrize(
    ("group", "target"), [(3, Target()), (4, Target(epsilon=0.5)), (4, Target(delta=1e-6))]
)
def test_more_than_was_trained_for_is_trained_anew(group: int, target: Target) -> None:
    problem = problems.declared(problems.softmax(), 50)
    method = DPSGD(group=group)
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    release = method.answer(Request.of(problem, original, FORGET, target=target))
    assert not torch.isclose(release.predictor.weights, original.weights).any()
    nothing = torch.tensor([], dtype=torch.int64)
    kept = method.train(problem, release.state.rows, Seeds(), Clock())
    other = method.answer(Request.of(problem, kept, nothing, target=target))
    assert release.claim == other.claim, "an observer is not told how many rows are gone"
    assert (verdict(release.claim) == "exact") == (target != Target())


def test_the_noise_of_a_step_does_not_tell_how_many_rows_there_are() -> None:
    """With a declared number of rows the divisor is the same; without, it is the data's own."""
    plain, method = problems.softmax(), DPSGD(rate=1e-9, steps=1, group=4)

    def moved(problem: Problem, n: int) -> Tensor:
        return method.train(problem, torch.arange(n), Seeds(), Clock()).weights

    stated = problems.declared(plain, 20)
    assert torch.equal(moved(stated, 60), moved(stated, 20))
    assert not torch.equal(moved(plain, 60), moved(plain, 20))


def test_without_opacus_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *more: object) -> object:
        if name.startswith("opacus"):
            raise ImportError("no opacus")
        return plain(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(LetheError, match="pip install opacus") as caught:
        DPSGD().train(problems.softmax(), torch.arange(60), Seeds(), Clock())
    assert "\n" not in str(caught.value)


# recollection


def softmax_half_trained() -> tuple[Problem, Recollection, State]:
    problem, method = problems.softmax(ridge=0.1), Recollection(steps=25)
    return problem, method, method.train(problem, problems.every_row(problem), Seeds(), Clock())


def descent(problem: Problem, start: Tensor, shares: Tensor, *, steps: int, eta: float) -> Tensor:
    """w_T of gradient descent on sum_i shares_i l_i / n, by automatic differentiation."""

    def loss(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return problem.loss(w, Rows(x[None], y[None]))

    def summed(w: Tensor) -> Tensor:
        return vmap(loss, in_dims=(None, 0, 0))(w, problem.train.x, problem.train.y) @ shares

    for _ in range(steps):
        start = start - eta / len(shares) * grad(summed)(start)
    return start


@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "one_vs_rest"])
def test_corrections_are_the_derivative_in_the_share_of_a_row(loss: str) -> None:
    """Training with row j's loss scaled by 1 - t; central differences at t = 0."""
    problem = problems.softmax(ridge=0.1, loss=loss)
    start, h = start_of(problem, 1.0), 1e-5
    settings = {"steps": 12, "step_size": 0.05}
    weights, corrections = recollect.recollect(problem, start, problem.train, **settings)

    def trained(t: float) -> Tensor:
        shares = torch.ones(60).double()
        shares[11] -= t
        return descent(problem, start, shares, steps=12, eta=0.05)

    slope = (trained(h) - trained(-h)) / (2 * h)
    assert torch.allclose(weights, trained(0.0), atol=1e-12)
    assert torch.allclose(corrections[11].double(), slope, atol=1e-5 * float(slope.norm()))
    left, _ = recollect.recollect(
        problem, start, problem.train.take((torch.arange(60) != 11).nonzero()[:, 0]), **settings
    )
    assert torch.allclose(left, trained(1.0), atol=1e-12), "retraining keeps the divisor"


def test_one_hessian_a_step_is_that_of_automatic_differentiation() -> None:
    problem = problems.softmax()
    start = start_of(problem, 1.0)
    _, one = recollect.recollect(problem, start, problem.train, steps=1, step_size=0.3)
    _, two = recollect.recollect(problem, start, problem.train, steps=2, step_size=0.3)
    later = start - 0.3 * problem.gradient(start, problem.train)
    row = problem.train.take(torch.tensor([8]))
    first = 0.3 / 60 * problem.gradient(start, row)
    second = first - 0.3 * (Hessian(lambda w: problem.loss(w, problem.train), later) @ first)
    second = second + 0.3 / 60 * problem.gradient(later, row)
    assert torch.allclose(one[8].double(), first, atol=1e-8)
    assert torch.allclose(two[8].double(), second, atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("steps", "ridge"), [(300, 0.05), (20, 2.0), (2, 0.05)])
def test_the_bound_holds_however_early_training_stops(steps: int, ridge: float, seed: int) -> None:
    """Both of the corrected weights and of those that nothing was added to."""
    problem = problems.softmax(seed, ridge=ridge)
    method = Recollection(steps=steps)
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    release = method.answer(Request.of(problem, original, FORGET))
    retrained = method.train(problem, release.state.rows, Seeds(), Clock()).weights
    evidence = release.claim.evidence
    assert evidence.reached >= float((release.state.weights - retrained).norm())
    assert evidence.trivial >= float((original.weights - retrained).norm())
    assert release.claim.definition == "this-pair"
    assert verdict(release.claim) in ("pair", "vacuous")


def test_corrections_come_nearer_to_retraining() -> None:
    problem, method, original = softmax_half_trained()
    release = method.answer(Request.of(problem, original, FORGET))
    retrained = method.train(problem, release.state.rows, Seeds(), Clock()).weights
    before, after = (
        float((w - retrained).norm()) for w in (original.weights, release.state.weights)
    )
    assert after < 0.25 * before


def test_a_second_request_adds_to_the_first() -> None:
    """The corrections are of w_T: after two requests the state is that of both at once."""
    problem, method, original = softmax_half_trained()
    at_once = method.answer(Request.of(problem, original, FORGET)).state.weights
    state = method.answer(Request.of(problem, original, FORGET[:1])).state
    later = method.answer(Request.of(problem, state, FORGET[1:], number=1)).state.weights
    assert torch.equal(later, at_once)


def test_retraining_ends_at_the_gradient_that_is_charged() -> None:
    """G of the claim is (1 - eta mu n_r / n)^T of the start's gradient, by hand."""
    problem = problems.softmax(ridge=0.3)
    method, forget = Recollection(steps=30), torch.arange(15)
    release = after(method, problem, forget)
    keep = problem.train.take(release.state.rows)
    retrained = method.train(problem, release.state.rows, Seeds(), Clock())
    start = float(problem.gradient(retrained.memory.start, keep).norm())
    eta = 2 / (head_constants(problem).gradient_lipschitz + 0.3)
    charged = numbers(release)["training_gradient"]
    assert charged == pytest.approx(start * (1 - eta * 0.3 * 45 / 60) ** 30, rel=1e-9)
    assert float(problem.gradient(retrained.weights, keep).norm()) <= charged


def test_on_one_direction_the_charged_gradient_is_attained() -> None:
    """f(w) = mu w^2 / 2: every step multiplies the gradient by 1 - eta kept mu."""
    shared = {"step_size": 0.5, "strong_convexity": 0.2, "gradient_lipschitz": 0.2}
    bound = descent_gradient(start_gradient=3.0, kept=0.75, steps=7, **shared)
    assert bound == pytest.approx(3.0 * (1 - 0.5 * 0.75 * 0.2) ** 7)
    with pytest.raises(AssumptionBroken, match=r"step_size <= 2 / \(L \+ mu\)"):
        check_step(1.5, 0.2, 1.2)
    with pytest.raises(AssumptionBroken, match="share"):
        descent_gradient(start_gradient=3.0, kept=1.1, steps=7, **shared)


def test_what_voids_recollection_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    every, seeds = torch.arange(60), Seeds()
    with pytest.raises(AssumptionBroken, match=r"step_size <= 2 / \(L \+ mu\)"):
        Recollection(step_size=50.0).train(problems.softmax(), every, seeds, Clock())
    with pytest.raises(AssumptionBroken, match="linear model with a ridge"):
        Recollection().train(problems.mlp(), every, seeds, Clock())
    monkeypatch.setattr(recollect, "LARGEST", 1000)
    with pytest.raises(LetheError, match="recollection keeps 18 numbers for each of 60 rows"):
        Recollection().train(problems.softmax(), every, seeds, Clock())


# block by block


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_without_gradients_opposite_starts_are_exactly_m_apart(decay: float) -> None:
    """Every block ends Gaussian around c^T of its start: the composed m is attained."""
    problem = problems.softmax()
    steps, eta = 2, 0.2
    method = Blockwise(
        blocks=3, radius=0.5, clip=0.0, steps=steps, step_size=eta, weight_decay=decay, epochs=6
    )
    start = start_of(problem)
    one, other = (method.answer(asked(problem, w)) for w in (start, -start))
    c = 1 - eta * decay
    deviation = one.claim.evidence.sigma * math.sqrt(sum(c ** (2 * j) for j in range(steps)))
    apart = float((one.predictor.weights - other.predictor.weights).norm())
    assert apart == pytest.approx(2 * 0.5 * c**steps * math.sqrt(3), rel=1e-9)
    assert apart / deviation == pytest.approx(m_for(1.0, 1e-5), rel=1e-9)


@pytest.mark.parametrize("blocks", [1, 4, 9])
def test_blocks_do_no_better_than_composition(blocks: int) -> None:
    """On the product of balls within the ball of C0, the noise is that of output perturbation."""
    problem = problems.softmax()
    blockwise = Blockwise(
        blocks=blocks,
        radius=0.6 / math.sqrt(blocks),
        clip=0.0,
        steps=1,
        weight_decay=0.0,
        epochs=9,
        batch=60,
    )
    start = start_of(problem)
    ours = blockwise.answer(asked(problem, start)).claim.evidence
    theirs = OutputPerturbation(radius=0.6).answer(asked(problem, start)).claim.evidence
    assert ours.sigma == pytest.approx(theirs.sigma, rel=1e-12)
    shared = {"radius": 0.6, "clip": 0.1, "step_size": 0.2, "weight_decay": 0.1, "steps": 4}
    whole = gradient_clipping_m(sigma=1.0, **shared)
    assert blockwise_m(blocks=blocks, sigma=1.0, **shared) == pytest.approx(
        math.sqrt(blocks) * whole
    )


def test_a_block_that_is_done_is_not_contaminated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of block b are taken where those before have had their turn and later ones not."""
    problem, seen = problems.mlp(), []
    plain = Blockwise._noisy

    def spy(
        self: Blockwise, request: Request, w: Tensor, block: Tensor, *more: object
    ) -> tuple[Tensor, Tensor]:
        part, centre = plain(self, request, w, block, *more)
        seen.append((w.clone(), block, part))
        return part, centre

    monkeypatch.setattr(Blockwise, "_noisy", spy)
    start = start_of(problem)
    Blockwise(blocks=3, epochs=6, batch=60).answer(asked(problem, start))
    assert torch.equal(torch.cat([block for _, block, _ in seen]), torch.arange(len(start)))
    expected = start.clone()
    for before, block, part in seen:
        assert torch.equal(before, expected)
        assert not torch.isclose(before[block], part).any()
        expected[block] = part


def test_a_block_hides_the_blocks_to_come() -> None:
    """Two originals that differ in the last block: the first differs by clipped steps at most."""
    problem = problems.mlp()
    method = Blockwise(blocks=2, clip=0.01, steps=2, step_size=0.3, weight_decay=0.0, epochs=4)
    start = start_of(problem)
    other, half = start.clone(), len(start) // 2
    other[half + 1 :] *= -20
    one, two = (method.answer(asked(problem, w)).predictor.weights for w in (start, other))
    apart = float((one - two)[:half].norm())
    assert 0 < apart <= 2 * 2 * 0.3 * 0.01 * (1 + 1e-5)


def test_blockwise_refuses_what_voids_its_proof() -> None:
    problem = problems.softmax()
    start = start_of(problem)
    with pytest.raises(AssumptionBroken, match=r"1 - step_size \* weight_decay must lie in \[0"):
        Blockwise(step_size=1.0, weight_decay=3.0).answer(asked(problem, start))
    with pytest.raises(LetheError, match="18 weights make no 19 blocks"):
        Blockwise(blocks=19).answer(asked(problem, start))
    with pytest.raises(LetheError, match="at least one block"):
        blockwise_m(blocks=0, radius=1, clip=1, step_size=0.1, weight_decay=0, steps=1, sigma=1)
