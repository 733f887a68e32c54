"""One-vs-rest heads by kept derivatives: Theorem 7, Lemma B and the method that rests on them."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmark.claims.without_pass import step_bound
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.kept_sums import LogisticSums, flat, matrix, solve, with_bias
from benchmark.curvature.mlp import LinearHessian
from benchmark.curvature.symmetric import Inverse, Symmetric
from benchmark.errors import AssumptionBroken
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.newton import NewtonTraining
from benchmark.rows import Declared, Rows
from benchmark.theory.bootstrap import bootstrapped
from benchmark.theory.constants import one_vs_rest_head
from benchmark.theory.round_off import cholesky_contraction, mean_gradient_round_off
from benchmark.theory.strongly_convex import (
    separable_bound,
    step_by_leverage_bound,
    step_by_logits_bound,
    step_without_pass_bound,
)
from methods.newton_kept import NewtonKept
from tests import problems
from tests.problems import numbers

#: A Delta_0 within which Theorem 7 is on these problems, for a few rows.
FAR = 0.5


@pytest.fixture(scope="module")
def large() -> Problem:
    return problems.one_vs_rest(7, n=1500, inputs=8, classes=4, ridge=1e-2)


@pytest.fixture(scope="module")
def prepared(large: Problem) -> State:
    return start(NewtonKept(), large)


def start(method: NewtonKept, problem: Problem) -> State:
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    return method.prepare(problem, original, Seeds(), Clock())


def ask(
    method: NewtonKept,
    problem: Problem,
    state: State,
    forget: Tensor,
    distance: float = FAR,
    number: int = 0,
) -> Release:
    target = Target(distance=distance)
    return method.answer(Request.of(problem, state, forget, number=number, target=target))


def fit(problem: Problem, rows: Tensor) -> Tensor:
    return problem.fit(rows, Seeds().generator("training"))


def theorem(release: Release) -> str:
    return release.claim.evidence.theorem


def test_the_loss_is_a_binary_logistic_one_for_each_class() -> None:
    logits = torch.tensor([[1.0, -2.0, 40.0], [0.5, 0.0, -1.0]], dtype=torch.float64)
    y = torch.tensor([2, 0])
    binary = torch.nn.functional.binary_cross_entropy
    one_hot = torch.eye(3, dtype=torch.float64)[y]
    expected = binary(logits[:, :2].sigmoid(), one_hot[:, :2], reduction="sum")
    expected += torch.log1p(torch.exp(-logits[0, 2])) + torch.log1p(torch.exp(logits[1, 2]))
    found = Objective(loss="one_vs_rest").data_term(logits, y)
    assert float(found) == pytest.approx(float(expected) / 2, rel=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_its_constants_hold_between_random_weights(seed: int) -> None:
    problem = problems.one_vs_rest(seed, ridge=0.0)
    head = one_vs_rest_head(problem.row_norm, 0.0, 3)
    generator = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        return torch.randn(problem.model.dimension, generator=generator, dtype=torch.float64)

    w, u, v = draw(), 0.3 * draw(), draw()
    there, here = (problem.hessian(at, problem.train) for at in (w + u, w))
    change, gap = (there @ v - here @ v).norm(), float(u.norm() * v.norm())
    assert float(change) <= head.hessian_lipschitz * gap * (1 + 1e-9)
    assert float((here @ v).norm()) <= head.gradient_lipschitz * float(v.norm())
    ratio = float(v.dot(there @ v) / v.dot(here @ v))
    assert abs(math.log(ratio)) <= head.self_concordance * float(u.norm())
    for x, y in zip(problem.train.x[:20], problem.train.y[:20], strict=True):
        one = problem.gradient(10 * w, Rows(x[None], y[None]))
        assert float(one.norm()) <= head.sample_gradient


def test_the_sharpest_gradient_is_nearly_attained() -> None:
    """Every class as wrong as can be: no smaller constant than sqrt(K) R would do."""
    x, y = torch.ones(1, 1, dtype=torch.float64), torch.tensor([0])
    w = torch.tensor([-30.0, 30.0, 30.0, -30.0, 30.0, 30.0], dtype=torch.float64)
    hessian = LinearHessian(x, y, w, loss="one_vs_rest", ridge=0.0)
    bound = one_vs_rest_head(math.sqrt(2), 0.0, 3).sample_gradient
    assert float(hessian.gradient.norm()) == pytest.approx(bound, rel=1e-9)


@given(a=st.floats(1e-9, 1e3), slope=st.floats(0, 2), curve=st.floats(0, 2))
def test_lemma_b_finds_a_fixed_point_exactly_where_there_is_one(
    a: float, slope: float, curve: float
) -> None:
    """The fixed points of a + slope d + curve d^2 are known."""
    found = bootstrapped(lambda d: a + slope * d + curve * d * d, a)
    gap = 1 - slope
    inside = gap * gap - 4 * a * curve
    if gap <= 0 or inside < 0:
        assert found == math.inf
        return
    least = 2 * a / (gap + math.sqrt(inside))
    assert found >= least * (1 - 1e-6)
    if gap > 0.05 and inside > 0.2 * gap * gap:  # else the fixed points may be too near
        assert found <= 1.02 * least


def test_there_is_no_bound_without_a_fixed_point() -> None:
    asked = {
        "step_norm": 1.0,
        "step_energy": 1.0,
        "residual": 0.0,
        "retrain_gradient": 0.0,
        "strong_convexity": 0.01,
    }
    assert step_without_pass_bound(**asked, self_concordance=1.0) == math.inf
    known = step_without_pass_bound(**asked, self_concordance=0.01)
    assert 0 < known < 1
    assert step_without_pass_bound(**asked, self_concordance=0.01, stale=0.02) > known
    assert step_without_pass_bound(**asked, self_concordance=0.01, stale=1e4) == math.inf
    assert step_without_pass_bound(**asked, self_concordance=0.0) == 0
    still = asked | {"step_norm": 0.0, "step_energy": 0.0, "residual": 3e-4}
    assert step_without_pass_bound(**still, self_concordance=9.0) == pytest.approx(3e-2)
    with pytest.raises(AssumptionBroken, match="strong_convexity must be above 0"):
        step_without_pass_bound(**(asked | {"strong_convexity": 0.0}), self_concordance=1.0)
    with pytest.raises(AssumptionBroken, match="stale must be at least 0"):
        step_without_pass_bound(**asked, self_concordance=1.0, stale=-1.0)


def test_parts_that_share_no_weight_add_up_by_squares() -> None:
    found = separable_bound([3.1, 4.1], retrain_gradient=1e-3, strong_convexity=1e-2)
    assert found == pytest.approx(5.1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    ridge=st.floats(-3, 0),
    forgotten=st.integers(1, 20),
    apart=st.floats(0, 0.3),
    noise=st.sampled_from([0.0, 1e-3, 0.3]),
)
def test_T2_theorem_7_bounds_the_true_distance(
    seed: int, ridge: float, forgotten: int, apart: float, noise: float
) -> None:
    """From any base, with derivatives taken `apart` from it, and solves that are off by `noise`."""
    problem = problems.one_vs_rest(seed, n=80, ridge=10**ridge)
    generator = torch.Generator().manual_seed(seed)
    state = start(NewtonKept(reach="leverage"), problem)
    gone, rest = torch.arange(forgotten), torch.arange(forgotten, 80)
    sums, _ = state.memory.sums.without(problem.train.x[gone], problem.train.y[gone])
    base = sums.base + apart * torch.randn(sums.base.shape, generator=generator)
    retained = problem.train.take(rest)
    gradient = LogisticSums.of(retained.x, retained.y, base).gradient
    sums = sums.moved(base, gradient)
    mu = problem.objective.ridge
    step = solve(sums.inverses(mu), sums.slope(mu))
    step = step * (1 + noise * torch.randn(step.shape, generator=generator))
    change = step.new_tensor([float((with_bias(retained.x) @ one).abs().max()) for one in step])
    distance = float((flat(base - step) - fit(problem, rest)).norm())
    for more in (
        {},
        {"leverage": state.memory.leverage},
        {"logit_change": change},
    ):
        bound = step_bound(
            problem, sums, state.memory.round_off, step, sums.times(mu, step), **more
        )
        assert distance <= bound.value


def test_theorem_7_fails_without_its_constant() -> None:
    """With rho = 0 the same step is said to be nearer than it is."""
    problem = problems.one_vs_rest(1, ridge=1e-2)
    state = start(NewtonKept(), problem)
    sums, _ = state.memory.sums.without(problem.train.x[:10], problem.train.y[:10])
    step = solve(sums.inverses(1e-2), sums.slope(1e-2))
    product = sums.times(1e-2, step)
    blind = replace(state.memory.round_off, row_norm=1e-3)
    bound = step_bound(problem, sums, blind, step, product)
    distance = float((flat(sums.base - step) - fit(problem, torch.arange(10, 60))).norm())
    assert bound.value < distance


def test_kept_sums_are_gradient_and_hessian(large: Problem, prepared: State) -> None:
    sums, ridge = prepared.memory.sums, large.objective.ridge
    forget = torch.arange(40)
    left, weights = sums.without(large.train.x[forget], large.train.y[forget])
    rest = large.train.take(torch.arange(40, 1500))
    hessian = large.hessian(prepared.weights, rest)
    v = torch.randn(4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(flat(left.slope(ridge)) / left.rows, hessian.gradient, atol=1e-12)
    assert torch.allclose(flat(left.times(ridge, v)) / left.rows, hessian @ flat(v), atol=1e-12)
    assert torch.allclose(left.times(ridge, solve(left.inverses(ridge), v)), v, atol=1e-4)
    p = large.model(prepared.weights, large.train.x[forget]).sigmoid()
    assert torch.allclose(weights.square(), (p * (1 - p)).T)


@pytest.mark.parametrize("seed", range(3))
def test_a_leverage_is_that_of_the_hessian_and_holds_when_rows_leave(seed: int) -> None:
    """In each class, by dense matrices: the two inequalities that the theorem rests on."""
    problem = problems.one_vs_rest(seed, n=60, ridge=1e-2)
    kept = start(NewtonKept(reach="leverage"), problem).memory
    rows, gone = with_bias(problem.train.x), torch.arange(12)
    left, _ = kept.sums.without(problem.train.x[gone], problem.train.y[gone])
    step = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(seed)).double()
    for k in range(3):
        whole, rest = (dense(sums, k, 1e-2) for sums in (kept.sums, left))
        exact = float((rows * torch.linalg.solve(whole, rows.T).T).sum(dim=1).max().sqrt())
        assert exact <= float(kept.leverage.largest[k]) <= exact * (1 + 1e-5)
        assert kept.leverage.energy(k, step, 1e-2) == pytest.approx(float(step @ whole @ step))
        wider = 1 + kept.leverage.gone(k, left) / (60 * 1e-2)
        assert torch.linalg.eigvalsh(wider * rest - whole).min() >= 0


def dense(sums: LogisticSums, k: int, ridge: float) -> Tensor:
    lower = sums.curvature[k].lower
    return (lower + lower.tril(-1).T) / sums.rows + ridge * torch.eye(len(lower))


def test_errors_of_sums_and_of_their_factor_multiply(prepared: State) -> None:
    sums = prepared.memory.sums
    rough = replace(prepared.memory.round_off, strong_convexity=1e-10, lost=1e-9 * sums.rows)
    norm = rough.row_norm
    solved = cholesky_contraction(columns=rough.columns, condition=(norm**2 / 4 + 1e-10) / 1e-10)
    summed = 1e-9 * norm**2 / 1e-10
    assert solved * summed > 2.0**-19
    assert rough.inverted(sums) >= (1 + solved) * (1 + summed) - 1


def test_leverage_and_logits_say_what_the_norm_says_at_its_worst_and_else_more() -> None:
    known = {"step_energy": 1e-3, "residual": 1e-9, "retrain_gradient": 0.0}
    known |= {"strong_convexity": 0.01}
    norm = step_without_pass_bound(**known, step_norm=1e-2, self_concordance=2.0)
    by_leverage = partial(step_by_leverage_bound, **known, whole_energy=1e-3, widening=1.0)
    assert by_leverage(leverage=20.0) == pytest.approx(norm, rel=0.05)
    assert by_leverage(leverage=10.0) < 0.6 * norm
    assert by_leverage(leverage=1e9) == math.inf
    by_logits = partial(step_by_logits_bound, **known, self_concordance=2.0)
    assert by_logits(logit_change=2e-2) == pytest.approx(norm, rel=0.05)
    assert by_logits(logit_change=5e-3) < norm / 3
    assert step_by_logits_bound(**known, self_concordance=500.0, logit_change=1.0) == math.inf
    still = {"step_energy": 0.0, "residual": 0.0, "retrain_gradient": 0.0, "strong_convexity": 0.01}
    assert step_by_logits_bound(**still, self_concordance=1.0, logit_change=0.0) == 0
    more = {"whole_energy": 0.0, "leverage": 1.0, "widening": 1.0}
    assert step_by_leverage_bound(**still, **more) == 0


@pytest.mark.parametrize("reach", ["leverage", "pass"])
def test_every_release_by_a_sharper_bound_is_within_it(large: Problem, reach: str) -> None:
    """Through a stream, and no further from the base than by the norm of the rows."""
    method, found = NewtonKept(reach=reach), []
    state, plain = start(method, large), start(NewtonKept(), large)
    for number in range(8):
        forget = torch.arange(4 * number, 4 * number + 4)
        release = ask(method, large, state, forget, 2e-2, number)
        other = ask(NewtonKept(), large, plain, forget, 2e-2, number)
        state, plain = release.state, other.state
        apart = float((state.weights - fit(large, state.rows)).norm())
        assert apart <= release.claim.evidence.reached <= 2e-2
        found.append((theorem(release), theorem(other)))
    assert all("thm7" in pair or pair[0] != "thm7" for pair in found)
    first, second = (sum(pair[i] == "thm7" for pair in found) for i in (0, 1))
    assert first >= second > 0


@pytest.mark.parametrize("count", [1, 10, 60])
@pytest.mark.parametrize("settings", [{"woodbury": 0}, {}, {"reach": "leverage"}])
def test_a_request_reads_no_row_that_stays(
    large: Problem, count: int, settings: dict[str, object]
) -> None:
    method, forget = NewtonKept(**settings), torch.arange(count)
    prepared = start(method, large)
    hidden = replace(large, train=Rows(large.train.x.clone(), large.train.y.clone()))
    hidden.train.x[count:] = math.nan
    seen, blind = (ask(method, p, prepared, forget) for p in (large, declared(hidden, large)))
    assert theorem(seen) == theorem(blind) == "thm7"
    assert torch.equal(seen.state.weights, blind.state.weights)
    assert seen.claim.evidence.reached == blind.claim.evidence.reached
    distance = float((seen.state.weights - fit(large, torch.arange(count, 1500))).norm())
    assert distance <= seen.claim.evidence.reached <= FAR
    assert numbers(seen)["further_steps"] == 0


def declared(problem: Problem, like: Problem) -> Problem:
    """The problem with the norms of another one, which it does not look up in its own rows."""
    problem.__dict__["row_norm"] = like.row_norm
    return problem


def test_where_no_bound_is_near_enough_passes_are_made_and_the_base_moves(
    large: Problem, prepared: State
) -> None:
    distance = 1e-5
    release = ask(NewtonKept(), large, prepared, torch.arange(10), distance)
    assert theorem(release) in ("thm5", "thm6")
    assert release.claim.evidence.reached <= distance
    kept = release.state.memory
    assert torch.equal(flat(kept.sums.base), release.state.weights)
    assert torch.equal(kept.sums.bent, prepared.memory.sums.bent)
    exact = LogisticSums.of(large.train.x[10:], large.train.y[10:], kept.sums.base)
    lost = float((exact.gradient - kept.sums.gradient).norm())
    assert lost <= 2 * 4**0.5 * kept.round_off.lost * kept.round_off.row_norm
    later = ask(NewtonKept(), large, release.state, torch.arange(10, 13), 5e-2, 1)
    assert theorem(later) == "thm7"
    far = float((later.state.weights - fit(large, later.state.rows)).norm())
    assert far <= later.claim.evidence.reached <= 5e-2


@pytest.mark.parametrize("distance", [1e-3, 3e-2])
def test_every_release_of_a_stream_is_within_its_bound(
    large: Problem, prepared: State, distance: float
) -> None:
    state, sigmas, found = prepared, set(), []
    for number in range(25):
        forget = torch.arange(3 * number, 3 * number + 3)
        release = ask(NewtonKept(), large, state, forget, distance, number)
        state = release.state
        apart = float((state.weights - fit(large, state.rows)).norm())
        assert apart <= release.claim.evidence.reached <= distance
        sigmas.add(release.claim.release_sigma)
        found.append(theorem(release))
    assert len(sigmas) == 1
    assert "thm7" in found


def test_a_stream_ends_where_one_request_does(large: Problem, prepared: State) -> None:
    """Every step is from the base, for all rows forgotten so far: nothing compounds."""
    state, near = prepared, 3.5e-3  # which asks for more than the first solve
    for number in range(10):
        release = ask(NewtonKept(), large, state, torch.arange(number, number + 1), near, number)
        state = release.state
    at_once = ask(NewtonKept(), large, prepared, torch.arange(10), near)
    assert torch.equal(state.memory.sums.base, prepared.memory.sums.base)
    assert torch.allclose(state.weights, at_once.state.weights, atol=1e-3)
    bounds = [r.claim.evidence.reached for r in (release, at_once)]
    assert bounds[0] == pytest.approx(bounds[1], rel=0.2)


def test_an_inverse_that_no_longer_helps_is_replaced(large: Problem, prepared: State) -> None:
    wrong = tuple(Inverse.of(Symmetric(torch.eye(9).tril())) for _ in range(4))
    spoilt = replace(prepared, memory=replace(prepared.memory, inverses=wrong))
    right, found = (ask(NewtonKept(), large, s, torch.arange(10), 5e-2) for s in (prepared, spoilt))
    assert theorem(right) == theorem(found) == "thm7"
    repaired = found.state.memory.inverses[0].matrix.lower
    assert torch.allclose(repaired, right.state.memory.inverses[0].matrix.lower, rtol=0.2)


def test_a_request_changes_nothing_that_was_kept(large: Problem, prepared: State) -> None:
    before = [one.lower.clone() for one in prepared.memory.sums.curvature]
    gradient = prepared.memory.sums.gradient.clone()
    first, second = (ask(NewtonKept(), large, prepared, torch.arange(5)) for _ in range(2))
    assert torch.equal(first.predictor.weights, second.predictor.weights)
    assert torch.equal(gradient, prepared.memory.sums.gradient)
    after = [one.lower for one in prepared.memory.sums.curvature]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_declared_norm_makes_it_proved(large: Problem) -> None:
    norm = large.train.largest_norm(bias=False)
    problem = replace(large, declared=Declared(feature_norm=norm))
    release = ask(NewtonKept(), problem, start(NewtonKept(), problem), torch.arange(2))
    assert verdict(release.claim) == "proved"
    public = {c.name for c in release.claim.evidence.constants}
    assert public == {"distance", "training_gradient", "strong_convexity"}


@pytest.mark.parametrize("seed", range(3))
def test_the_charge_for_a_pass_is_more_than_it_loses(seed: int) -> None:
    """Against long doubles, at weights that make probabilities extreme."""
    problem = problems.one_vs_rest(seed, n=300)
    generator = torch.Generator().manual_seed(seed)
    w = 20 * torch.randn(problem.model.dimension, generator=generator, dtype=torch.float64)
    found = matrix(problem.gradient(w, problem.train), 3).numpy()
    rows = torch.cat([problem.train.x, problem.train.x.new_ones(300, 1)], dim=1)
    x, v = rows.numpy().astype("longdouble"), matrix(w, 3).numpy().astype("longdouble")
    one_hot = torch.eye(3)[problem.train.y].numpy()
    z = x @ v.T
    p = 1 / (1 + np.exp(-z))
    exact = (p - one_hot).T @ x / 300 + problem.objective.ridge * v
    charge = mean_gradient_round_off(
        rows=300,
        columns=6,
        row_norm=problem.row_norm,
        weight_norm=float(w.norm()),
        strong_convexity=problem.objective.ridge,
    )
    lost = float(((found - exact) ** 2).sum(axis=1).max() ** 0.5)
    assert 0 < lost <= charge < 1e-9


def test_bad_input_is_one_line(large: Problem, prepared: State) -> None:
    with pytest.raises(AssumptionBroken, match="derivatives that were kept: prepare the state"):
        ask(NewtonKept(), large, replace(prepared, memory=None), torch.arange(2))
    single = replace(large, train=large.train.to(torch.device("cpu"), torch.float32))
    ball = replace(
        large,
        training=AdamTraining(algorithm="adam", epochs=1, batch=16, learning_rate=0.01, radius=1.0),
    )
    for problem, complaint in (
        (single, "use float64"),
        (problems.softmax(), "objective.loss = 'one_vs_rest'"),
        (ball, "set no radius"),
        (problems.one_vs_rest(ridge=0.0), "a ridge above 0"),
    ):
        bare = State(torch.zeros(problem.model.dimension), problems.every_row(problem))
        with pytest.raises(AssumptionBroken, match=re.escape(complaint)):
            NewtonKept().prepare(problem, bare, Seeds(), Clock())
    loose = replace(large, training=NewtonTraining(tolerance=1e-2))
    with pytest.raises(AssumptionBroken, match="below what training itself guarantees"):
        ask(NewtonKept(), loose, prepared, torch.arange(2), 1e-3)
