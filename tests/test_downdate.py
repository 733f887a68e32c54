"""Squared loss by kept sums: exact to the last bit, or within a bound that charges round-off."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from fractions import Fraction
from itertools import count

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.claims.bounds import Bound
from benchmark.claims.rounded import RoundOff
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.kept_sums import NormalEquations, flat, matrix
from benchmark.curvature.symmetric import LIMIT, Inverse, Pending, Symmetric
from benchmark.errors import AssumptionBroken, DidNotConverge, LetheError
from benchmark.experiments.build import build
from benchmark.experiments.experiment import load
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import DirectTraining, NewtonTraining
from benchmark.rows import Declared, FixedPoint, Rows
from benchmark.runner.run_cell import Answer
from benchmark.theory.round_off import (
    cholesky_contraction,
    gamma,
    gradient_round_off,
    lost_in_sums,
    lost_to_waiting,
)
from methods.downdate import Downdate
from methods.downdate_fast import DowndateFast
from methods.newton_kept import NewtonKept
from tests import problems
from tests.problems import numbers

LARGE = {"n": 3000, "inputs": 20, "classes": 4, "ridge": 1e-3}
BOTH = pytest.mark.parametrize("method", [Downdate(), DowndateFast()], ids=lambda m: m.name)


@pytest.fixture(scope="module")
def large() -> Problem:
    return problems.squared(7, **LARGE)


def shuffled(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def start(method: Method, problem: Problem) -> State:
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    return method.prepare(problem, original, Seeds(), Clock())


def ask(
    method: Method, problem: Problem, state: State, forget: Tensor, number: int = 0, **target: float
) -> Release:
    request = Request.of(problem, state, forget, number=number, target=Target(**target))
    return method.answer(request)


def fit(problem: Problem, rows: Tensor) -> Tensor:
    return problem.fit(rows, Seeds().generator("training"))


def rest(problem: Problem, gone: Tensor) -> Tensor:
    rows = problems.every_row(problem)
    return rows[~torch.isin(rows, gone)]


def data(*tensors: Tensor) -> list[bytes]:
    return [tensor.contiguous().numpy().tobytes() for tensor in tensors]


def kept(sums: NormalEquations) -> list[bytes]:
    return data(sums.gram.lower, sums.moments)


@pytest.mark.parametrize("count", [1, 100, 1000])
def test_an_exact_release_has_the_bytes_of_retraining_in_whatever_order(
    large: Problem, count: int
) -> None:
    method = Downdate()
    forget = shuffled(len(large.train), count)[:count]
    release = ask(method, large, start(method, large), forget)
    assert verdict(release.claim) == "exact"
    assert (release.claim.definition, release.claim.epsilon) == ("retrain", 0)
    left = rest(large, forget)
    for seed in range(3):
        retrained = fit(large, left[shuffled(len(left), seed)])
        assert data(release.predictor.weights) == data(retrained)
    assert not torch.equal(release.predictor.weights, fit(large, problems.every_row(large)))


@pytest.mark.parametrize("seed", [0, 1])
def test_so_has_every_release_of_a_stream_of_a_hundred(large: Problem, seed: int) -> None:
    method, order = Downdate(), shuffled(len(large.train), seed)
    state = start(method, large)
    for number in range(100):
        release = ask(method, large, state, order[7 * number : 7 * number + 7], number)
        state = release.state
        if number % 10 == 9:
            left = rest(large, order[: 7 * number + 7])
            assert data(release.predictor.weights) == data(fit(large, left))
    left = left[shuffled(len(left), 5)]
    rows = large.train.take(left)
    fresh = NormalEquations.of(rows.x, rows.y, large.model.classes)
    assert kept(state.memory.sums) == kept(fresh), "nothing is left of the rows that are gone"
    assert state.memory.sums.rows == len(left)


def test_sums_hold_no_negative_zero() -> None:
    x = torch.tensor([[-0.0, -1.0], [0.0, 0.5], [-0.0, 0.5]], dtype=torch.float64)
    y = torch.tensor([0, 1, 1])
    sums = NormalEquations.of(x, y, 2)
    part = sums.without(x[:1], y[:1])
    fresh = NormalEquations.of(x[1:], y[1:], 2)
    assert kept(part) == kept(fresh)
    assert not torch.signbit(part.moments[part.moments == 0]).any()


def test_a_stream_of_single_fast_requests_stays_within_its_distance(large: Problem) -> None:
    method, order = DowndateFast(), shuffled(len(large.train), 3)
    state, target = start(method, large), {"distance": 1e-5}
    sigmas = set()
    for number in range(60):
        release = ask(method, large, state, order[number : number + 1], number, **target)
        state = release.state
        distance = float((state.weights - fit(large, state.rows)).norm())
        assert distance <= release.claim.evidence.reached <= 1e-5
        assert verdict(release.claim) == "proved" or release.claim.caveats
        sigmas.add(release.claim.release_sigma)
    assert len(sigmas) == 1
    fresh = start(Downdate(), restricted_to(large, state))
    assert kept(state.memory.sums) == kept(fresh.memory.sums)


def restricted_to(problem: Problem, state: State) -> Problem:
    return replace(problem, train=problem.train.take(state.rows))


def cases() -> dict[str, Problem]:
    any_numbers = problems.softmax(1, n=200, ridge=1e-3, loss="squared")
    return {
        "fixed point": problems.squared(1, n=200, ridge=1e-3),
        "any numbers": any_numbers,
        "any numbers, direct": replace(any_numbers, training=DirectTraining()),
        "small ridge": problems.squared(2, n=200, inputs=8, ridge=1e-6),
        # singular but for the ridge, and too much so for an inverse in float32
        "duplicates": duplicated(problems.squared(3, n=200, inputs=3, ridge=1e-7)),
    }


def duplicated(problem: Problem) -> Problem:
    rows = problem.train
    return replace(problem, train=Rows(rows.x[:5].repeat(40, 1), rows.y[:5].repeat(40)))


@pytest.mark.parametrize("name", cases())
@pytest.mark.parametrize("count", [1, 20, 150])
@pytest.mark.parametrize("woodbury", [0, 300])
def test_the_bound_of_a_fast_release_holds(name: str, count: int, woodbury: int) -> None:
    problem, method = cases()[name], DowndateFast(woodbury=woodbury)
    mu, held = problem.strong_convexity, problem.training.gradient_bound
    forget = shuffled(len(problem.train), count)[:count]
    distance = 4 * held / mu
    release = ask(method, problem, start(method, problem), forget, distance=distance)
    found = float((release.state.weights - fit(problem, rest(problem, forget))).norm())
    assert found <= release.claim.evidence.reached <= distance


def test_an_inverse_that_no_longer_helps_is_replaced(large: Problem) -> None:
    method = DowndateFast()
    state = start(method, large)
    wrong = Inverse.of(Symmetric(torch.eye(21).tril()))
    spoilt = replace(state, memory=replace(state.memory, inverse=wrong))
    forget = torch.arange(10)
    right, found = (ask(method, large, s, forget, distance=1e-5) for s in (state, spoilt))
    assert found.claim.evidence.reached <= 1e-5
    assert torch.allclose(found.state.weights, right.state.weights, atol=1e-5)
    repaired = found.state.memory.inverse.matrix.lower
    expected = right.state.memory.inverse.matrix.lower.double()
    assert torch.allclose(repaired.double(), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("columns", [2, 100])
def test_a_distance_below_the_charge_for_round_off_is_refused(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of zeros have an exact solution: no residual is left to be halved."""
    bound, number = RoundOff.bound, count()

    def tried(self: RoundOff, weights: Tensor, residual: Tensor) -> Bound:
        assert next(number) < 20, "steps go on for ever"
        return bound(self, weights, residual)

    monkeypatch.setattr(RoundOff, "bound", tried)
    problem = problems.squared(0, n=34, inputs=columns - 1, classes=2, ridge=0.5)
    blank = Rows(torch.zeros_like(problem.train.x), torch.arange(34) % 2)
    problem = replace(problem, train=blank, training=DirectTraining(tolerance=1e-16))
    method = DowndateFast()
    state = start(method, problem)
    with pytest.raises(AssumptionBroken, match="raise it or the ridge"):
        ask(method, problem, state, torch.arange(2), distance=6e-15)


def test_sums_that_are_exact_make_no_pass_of_retraining_exact() -> None:
    """Newton-CG ends by a gradient that is summed up over the rows, and rounded."""
    exact = problems.squared(n=200)
    passes = replace(exact, training=NewtonTraining())
    assert start(DowndateFast(), exact).memory.lost == 0
    assert start(DowndateFast(), passes).memory.lost == lost_in_sums(200)


@BOTH
def test_a_request_changes_nothing_that_was_kept(method: Method, large: Problem) -> None:
    state = start(method, large)
    sums = state.memory.sums
    before = kept(sums)
    first, second = (ask(method, large, state, torch.arange(5)) for _ in range(2))
    assert kept(sums) == before
    assert data(first.state.weights) == data(second.state.weights)


@BOTH
def test_bad_input_is_one_line(method: Method, large: Problem) -> None:
    state = start(method, large)
    with pytest.raises(AssumptionBroken, match="sums that were kept: prepare the state"):
        ask(method, large, replace(state, memory=None), torch.arange(2))
    single = problems.softmax(loss="squared")
    single = replace(single, train=single.train.to(torch.device("cpu"), torch.float32))
    direct = "declare problem.fixed_point and train by algorithm = 'direct'"
    fast = method.name == "downdate-fast"
    for problem, complaint in (
        (single, "use float64" if fast else direct),
        (problems.softmax(), "objective.loss = 'squared'" if fast else direct),
    ):
        weights = torch.zeros(problem.model.dimension, dtype=problem.dtype)
        bare = State(weights, problems.every_row(problem))
        with pytest.raises(LetheError, match=re.escape(complaint)):
            method.prepare(problem, bare, Seeds(), Clock())


def with_form(problem: Problem, form: FixedPoint | None) -> Problem:
    return replace(problem, declared=Declared(fixed_point=form))


REFUSED = {
    "algorithm = 'direct'": lambda p: replace(p, training=NewtonTraining()),
    "declare problem.fixed_point": lambda p: with_form(p, None),
    "sums over 3000 rows could reach 2^71.6 units": lambda p: with_form(p, FixedPoint(bits=26)),
    "multiples of 2^-4 up to 64, and a row is not": lambda p: with_form(
        p, FixedPoint(clip=64, bits=4)
    ),
    "up to 0.5, and a row is not": lambda p: with_form(p, FixedPoint(clip=0.5, bits=16)),
}


@pytest.mark.parametrize("complaint", REFUSED)
def test_what_is_not_exact_is_refused(large: Problem, complaint: str) -> None:
    bare = State(torch.zeros(large.model.dimension).double(), problems.every_row(large))
    changed = REFUSED[complaint](large)
    with pytest.raises(AssumptionBroken, match=re.escape(complaint)):
        Downdate().prepare(changed, bare, Seeds(), Clock())


def test_direct_training_is_for_squared_loss_in_float64() -> None:
    with pytest.raises(LetheError, match=r"objective\.loss = 'squared'"):
        replace(problems.softmax(), training=DirectTraining())
    single = problems.softmax(loss="squared")
    rows = single.train.to(torch.device("cpu"), torch.float32)
    with pytest.raises(LetheError, match="use float64"):
        replace(single, train=rows, training=DirectTraining())


def test_direct_training_is_held_to_its_tolerance() -> None:
    problem = replace(problems.squared(), training=DirectTraining(tolerance=1e-30))
    with pytest.raises(DidNotConverge, match="above its tolerance 1e-30"):
        fit(problem, problems.every_row(problem))


def test_direct_training_ends_where_newton_does() -> None:
    direct = problems.squared(4, n=100)
    newton = replace(direct, training=NewtonTraining(tolerance=1e-12))
    rows = torch.arange(80)
    assert torch.allclose(fit(direct, rows), fit(newton, rows), atol=1e-11)


def test_the_residual_is_the_gradient() -> None:
    problem = problems.squared(5)
    sums = NormalEquations.of(problem.train.x, problem.train.y, problem.model.classes)
    w = torch.randn(problem.model.dimension, generator=torch.Generator().manual_seed(0)).double()
    residual = sums.residual(problem.objective.ridge, matrix(w, problem.model.classes))
    gradient = problem.gradient(w, problem.train)
    assert torch.allclose(flat(residual) / -len(problem.train), gradient, atol=1e-12)
    assert torch.equal(flat(matrix(w, problem.model.classes)), w)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_symmetric_matrices_are_those_of_torch(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x, rows, one = (torch.randn(k, 6, generator=generator).to(dtype) for k in (30, 4, 1))
    full, close = x.T @ x, {"rtol": 1e-4, "atol": 1e-4}
    gram = Symmetric.gram(x)
    assert torch.allclose(gram.lower, full.tril(), **close)
    for more in (rows, one, rows[:0]):
        changed = gram.plus(-0.5, more)
        assert torch.allclose(changed.lower, (full - 0.5 * more.T @ more).tril(), **close)
        assert torch.allclose(gram.product(more), more @ full, **close)
    factor = gram.cholesky(2.0)
    shifted = full + 2 * torch.eye(6, dtype=dtype)
    inverse = torch.linalg.inv(shifted)
    assert torch.allclose(factor.solve(rows), rows @ inverse, **close)
    assert torch.allclose(factor.inverse().lower, inverse.tril(), **close)
    left = Inverse.of(factor.inverse()).without(0.5 * one)
    smaller = torch.linalg.inv(shifted - 0.25 * one.T @ one)
    assert torch.allclose(left.solve(rows), rows @ smaller, **close)
    assert Symmetric(-gram.lower).cholesky() is None
    assert Inverse.of(factor.inverse()).without(100 * x) is None


@pytest.mark.parametrize("seed", range(5))
def test_the_charge_for_round_off_is_more_than_is_lost(seed: int) -> None:
    """Against rational arithmetic, of sums in any numbers and after downdates."""
    problem = problems.softmax(seed, n=40, inputs=4, loss="squared", ridge=1e-2)
    method = DowndateFast()
    state = start(method, problem)
    for number in range(3):
        forget = torch.arange(5 * number, 5 * number + 5)
        state = ask(method, problem, state, forget, number).state
    memory = state.memory
    w = 1e3 * torch.randn(problem.model.dimension, generator=torch.Generator().manual_seed(seed))
    solution = matrix(w.double(), problem.model.classes)
    computed = memory.sums.residual(problem.objective.ridge, solution)
    lost = float((computed - exact_residual(problem, state.rows, solution)).norm())
    charge = gradient_round_off(
        weight_norm=float(solution.norm()),
        row_norm=problem.row_norm,
        strong_convexity=problem.objective.ridge,
        rows=len(state.rows),
        columns=5,
        lost=memory.lost,
    )
    assert 0 < lost <= charge * len(state.rows)
    assert memory.lost > 0


def exact_residual(problem: Problem, rows: Tensor, solution: Tensor) -> Tensor:
    """By fractions, rounded once."""
    part, ridge = problem.train.take(rows), Fraction(problem.objective.ridge)
    weights = [[Fraction(v) for v in row] for row in solution.tolist()]
    total = [[-len(part) * ridge * v for v in row] for row in weights]
    for x, y in zip(part.x.tolist(), part.y.tolist(), strict=True):
        row = [*map(Fraction, x), Fraction(1)]
        for label, own in enumerate(weights):
            error = (label == y) - sum(a * b for a, b in zip(own, row, strict=True))
            total[label] = [t + error * v for t, v in zip(total[label], row, strict=True)]
    return torch.tensor([[float(v) for v in row] for row in total], dtype=torch.float64)


def test_exact_sums_are_charged_for_the_product_alone() -> None:
    problem, method = problems.squared(), DowndateFast()
    state = ask(method, problem, start(method, problem), torch.arange(3)).state
    assert state.memory.lost == 0
    asked = {"weight_norm": 3.0, "row_norm": 2.0, "strong_convexity": 0.1, "columns": 6}
    charge = gradient_round_off(rows=57, lost=0.0, **asked)
    assert charge == pytest.approx(gamma(10) * (4 * 3 + 2 + 0.1 * 3), rel=1e-5)
    assert gradient_round_off(rows=57, lost=1e-12, **asked) > charge


def test_a_ridge_that_drowns_in_round_off_is_refused() -> None:
    with pytest.raises(AssumptionBroken, match="raise the ridge"):
        cholesky_contraction(columns=1000, condition=1e13)
    with pytest.raises(AssumptionBroken, match="every digit"):
        gamma(1e16)


@pytest.mark.parametrize("name", ["digits-squared", "mnist-hog-squared"])
def test_no_request_of_the_experiments_can_be_refused(name: str) -> None:
    """The condition of docs/theory/kept-sums.md, from what the files declare."""
    experiment = load(name)
    problem, columns = experiment.problem, {"digits": 65, "mnist": 1177}[experiment.problem.data]
    mu, held = problem.objective.ridge, problem.training.gradient_bound
    r = 2**0.5
    assert cholesky_contraction(columns=columns, condition=(r**2 + mu) / mu) <= 0.01
    most = gradient_round_off(
        weight_norm=mu**-0.5 + experiment.target.distance,
        row_norm=r,
        strong_convexity=mu,
        rows=problem.rows_at_least,
        columns=columns,
        lost=0.0,
    )
    assert 2 * held + 9 * most <= 0.99 * mu * experiment.target.distance


def test_features_of_the_experiment_are_in_fixed_point_and_no_longer_than_declared() -> None:
    spec = load("digits-squared").problem
    problem, _ = build(spec, Seeds(), torch.device("cpu"))
    units = problem.train.x * 2**16
    assert torch.equal(units, units.round())
    assert problem.fixed_point == spec.fixed_point
    assert problem.row_norm <= np.sqrt(2) * (1 + 1e-9)
    plain, _ = build(spec.model_copy(update={"fixed_point": None}), Seeds(), torch.device("cpu"))
    assert 0 < float((problem.train.x - plain.train.x).abs().max()) < 2**-16


def test_the_bound_says_what_it_rests_on(large: Problem) -> None:
    method = DowndateFast()
    release = ask(method, large, start(method, large), torch.arange(3), distance=1e-5)
    assert release.claim.evidence.theorem == "thm5-rounded"
    found = numbers(release)
    assert 0 < found["round_off"] < 1e-9
    assert found["strong_convexity"] == large.objective.ridge
    public = {c.name for c in release.claim.evidence.constants}
    assert public == {"distance", "training_gradient", "strong_convexity"}


def test_a_stream_does_not_keep_what_every_request_left(large: Problem) -> None:
    """A thousand kept matrices would fill the memory."""
    method, state = Downdate(), start(Downdate(), large)
    request = Request.of(large, state, torch.arange(3))
    release = method.answer(request)
    spent = Answer(request, release, 0.0).spent()
    assert spent.request.original.memory is spent.release.state.memory is None
    assert torch.equal(spent.release.state.weights, release.state.weights)
    assert release.state.memory is not None


@pytest.mark.parametrize("scale", [-1.0, 0.5])
def test_rows_that_wait_are_part_of_the_matrix(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, rows = (torch.randn(k, 6, generator=generator, dtype=torch.float64) for k in (300, 140))
    few, many, some = rows[:3], rows, rows[:5]
    gram = Symmetric.gram(x)
    now = Pending.of(gram)
    full = x.T @ x
    for more, waits in ((few, 3), (some, 8), (many, 0), (few, 3)):
        now, full = now.plus(scale, more), full + scale * more.T @ more
        assert len(now.rows) == waits
        assert torch.allclose(now.product(few), few @ full, rtol=1e-12)
        assert torch.allclose(now.lower, full.tril(), rtol=1e-12, atol=1e-10)
    back = now.plus(-scale, few)
    assert torch.allclose(back.product(few), few @ (full - scale * few.T @ few), rtol=1e-12)
    assert torch.equal(gram.lower, Symmetric.gram(x).lower), "nothing is changed in place"


def test_what_a_product_loses_to_rows_that_wait_is_charged() -> None:
    """One row is left of many: what cancels is off by more than the charge for one row."""
    generator = torch.Generator().manual_seed(0)
    beyond = []
    for _ in range(20):
        # multiples of 2^-10, so that the sums are exact and the product alone is rounded
        rows = torch.randint(-1024, 1025, (LIMIT + 1, 8), generator=generator) / 1024
        rows, x = rows.double(), torch.randn(1, 8, generator=generator, dtype=torch.float64)
        found = Pending.of(Symmetric.gram(rows)).plus(-1.0, rows[1:]).product(x)[0].tolist()
        left, step = [Fraction(v) for v in rows[0].tolist()], [Fraction(v) for v in x[0].tolist()]
        inner = sum(a * b for a, b in zip(left, step, strict=True))
        wrong = [Fraction(v) - inner * a for v, a in zip(found, left, strict=True)]
        error = math.sqrt(sum(w * w for w in wrong))
        unit = float(rows.norm(dim=1).max()) ** 2 * float(x.norm())
        charged = lost_to_waiting(columns=8, waiting=LIMIT)
        assert error <= (gamma(8 + 4) + charged) * unit
        beyond.append(error > gamma(8 + 4) * unit)
    assert any(beyond), "else the charge is for nothing, and no test of it"


def test_rows_that_leave_together_after_waiting_are_charged_for_that() -> None:
    """One update by all has more roundings than each of theirs has, and of a larger matrix."""
    size, n = 43, 140
    waited = 3 * size
    assert waited - size <= LIMIT < waited
    any_numbers = problems.softmax(0, n=n, loss="squared", ridge=1e-2)
    for method, problem, lost in (
        (DowndateFast(), any_numbers, lambda kept: kept.lost),
        (NewtonKept(), problems.one_vs_rest(0, n=n, ridge=1e-2), lambda kept: kept.round_off.lost),
    ):
        first = state = start(method, problem)
        for number in range(3):
            forget = torch.arange(size * number, size * (number + 1))
            state = ask(method, problem, state, forget, number).state
        assert state.memory.sums.pending == 0
        assert lost(state.memory) - lost(first.memory) >= gamma(waited + 1) * (n + waited)


def test_a_small_request_copies_no_matrix(large: Problem) -> None:
    method = DowndateFast()
    state = start(method, large)
    after = ask(method, large, state, torch.arange(5)).state.memory
    assert after.sums.gram.matrix is state.memory.sums.gram.matrix
    assert after.sums.pending == 5
    assert after.inverse.matrix.matrix is state.memory.inverse.matrix.matrix
    assert lost_to_waiting(columns=21, waiting=5) > lost_to_waiting(columns=21, waiting=0) == 0


@pytest.mark.parametrize(("clip", "factor", "ridge"), [(2048, 500, 1e-6), (1, 0.01, 1e-9)])
def test_steps_of_weights_leave_no_gradient(clip: float, factor: float, ridge: float) -> None:
    """Steps common to all columns would leave 9e-11 in the first case."""
    problem = problems.squared(0, n=40, ridge=ridge)
    rows, form = problem.train, FixedPoint(clip=clip, bits=8)
    rows = replace(rows, x=form.truncated(rows.x * factor))
    problem = replace(problem, train=rows, declared=Declared(fixed_point=form))
    weights = fit(problem, problems.every_row(problem))
    assert float(problem.gradient(weights, rows).norm()) < 1e-11
