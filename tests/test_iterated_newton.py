"""Iterated and Chord Newton: how many steps, what is kept of them, and what they prove."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.request import Release, Request
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken, DidNotConverge
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import NewtonTraining
from benchmark.rows import Declared, Rows
from benchmark.theory.gaussian import m_for
from methods.chord_newton import ChordNewton
from methods.iterated_newton import IteratedNewton
from tests import problems
from tests.problems import away, bounds, numbers

# Iterated Newton: as many steps as the public distance asks, and never a refusal.

PROBLEM = problems.softmax(n=200, ridge=0.01)


def ask(
    method: IteratedNewton,
    forget: list[int],
    problem: Problem = PROBLEM,
    distance: float = 1e-3,
) -> tuple[Request, Release]:
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    target = Target(distance=distance)
    request = Request.of(problem, original, torch.tensor(forget, dtype=torch.int64), target=target)
    return request, method.answer(request)


@pytest.mark.parametrize("distance", [1.0, 0.1, 1e-3, 1e-6])
@pytest.mark.parametrize("forget", [[], [3], list(range(60)), list(range(199))])
def test_every_request_ends_within_the_public_distance(distance: float, forget: list[int]) -> None:
    request, release = ask(IteratedNewton(), forget, distance=distance)
    evidence = release.claim.evidence
    assert away(request, release) <= evidence.reached <= evidence.bound == distance
    assert release.claim.definition == "unlearn-on-retain"
    assert verdict(release.claim) in ("proved", "conditional")


def test_T15_the_noise_is_the_same_whatever_is_forgotten() -> None:
    sides = [ask(IteratedNewton(), forget)[1].claim for forget in ([], [3], list(range(60)))]
    assert {claim.evidence.sigma for claim in sides} == {1e-3 / m_for(1.0, 1e-5)}
    assert sides[0].public() == sides[1].public() == sides[2].public()


def test_a_smaller_distance_takes_more_steps() -> None:
    steps = [
        numbers(ask(IteratedNewton(), list(range(60)), distance=distance)[1])["steps_taken"]
        for distance in (1.0, 1e-2, 1e-6)
    ]
    assert steps == sorted(set(steps)), "each of them takes more than the one before"


def test_no_step_is_taken_where_the_bound_holds_already() -> None:
    request, release = ask(IteratedNewton(), [3, 4], distance=10.0)
    assert torch.equal(release.state.weights, request.original.weights)
    assert numbers(release)["steps_taken"] == 0
    assert bounds(release).keys() == {"thm5"}, "the step was not needed to see it"
    request, release = ask(IteratedNewton(), [])
    assert torch.equal(release.state.weights, request.original.weights)


def test_steps_stop_where_the_tighter_bound_is_within() -> None:
    """One step, and Theorem 6 sees it: by Theorem 5 alone a second would be taken."""
    request, release = ask(IteratedNewton(), [3, 4])
    found, evidence = bounds(release), release.claim.evidence
    assert evidence.theorem == "thm6"
    assert found["thm5"] > evidence.bound >= found["thm6"] >= away(request, release)
    assert numbers(release)["steps_taken"] == 1


@pytest.mark.parametrize("slow", [{"tolerance": 0.99}, {"max_products": 1}])
def test_a_slow_solver_ends_within_the_distance_all_the_same(slow: dict[str, float]) -> None:
    request, release = ask(IteratedNewton(**slow), list(range(60)), distance=1e-6)
    assert away(request, release) <= release.claim.evidence.reached <= 1e-6
    assert numbers(release)["steps_taken"] >= 1
    assert "fall_back" in request.clock.seconds


def test_a_good_solver_never_falls_back() -> None:
    request, _ = ask(IteratedNewton(), list(range(60)), distance=1e-6)
    assert "fall_back" not in request.clock.seconds


def test_a_distance_below_what_training_guarantees_is_one_line() -> None:
    with pytest.raises(AssumptionBroken, match=r"2 G / mu = 2e-08: raise it or lower training"):
        ask(IteratedNewton(), [1], distance=1e-8)


@pytest.mark.parametrize("tolerance", [1e-3, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_down_to_round_off_the_distance_is_reached_and_below_it_is_one_line(
    seed: int, tolerance: float
) -> None:
    problem, method = problems.softmax(seed, n=200), IteratedNewton(tolerance=tolerance)
    training, rows = NewtonTraining(tolerance=1e-6), problem.train.to("cpu", torch.float32)
    single = replace(problem, train=rows, training=training)
    lost = 8 * torch.finfo(torch.float32).eps * problem.row_norm / problem.strong_convexity
    request, release = ask(method, list(range(60)), single, distance=1.01 * lost)
    retrained = problem.fit(request.retain, Seeds().generator("training"))
    assert float((release.state.weights.double() - retrained).norm()) <= 1.01 * lost
    with pytest.raises(AssumptionBroken, match=r"below round-off, about .* in float32: raise it"):
        ask(method, [1], single, distance=0.99 * lost)


@pytest.mark.parametrize("stalls", [True, False])
def test_steps_that_stall_are_one_line(monkeypatch: pytest.MonkeyPatch, stalls: bool) -> None:
    def path(self: NewtonTraining, problem: Problem, start: Tensor, rows: Rows) -> list[Tensor]:
        if stalls:
            raise DidNotConverge("training stalled at gradient norm 1")
        return []

    problem = PROBLEM
    original = IteratedNewton().train(problem, problems.every_row(problem), Seeds(), Clock())
    request = Request.of(problem, original, torch.arange(60), target=Target(distance=1e-6))
    monkeypatch.setattr(NewtonTraining, "path", path)
    with pytest.raises(
        AssumptionBroken, match=r"no steps reach target\.distance 1e-06 \("
    ) as caught:
        IteratedNewton(tolerance=0.99).answer(request)
    assert "stalled" in str(caught.value)
    assert str(caught.value).endswith("raise it, or the ridge")
    assert "\n" not in str(caught.value)


def test_a_delta_above_one_over_n_is_a_caveat() -> None:
    """To publish one row at random would meet it."""
    problem = replace(PROBLEM, declared=Declared(rows_at_least=190, feature_norm=20.0))
    original = IteratedNewton().train(problem, problems.every_row(problem), Seeds(), Clock())
    for delta, expected in ((1 / 190, "proved"), (0.01, "conditional")):
        target = Target(delta=delta)
        request = Request.of(problem, original, torch.tensor([3]), target=target)
        claim = IteratedNewton().answer(request).claim
        assert verdict(claim) == expected
    assert "delta = 0.01 is above 1 / n for n = 190" in claim.caveats[0]


def test_a_net_is_refused() -> None:
    with pytest.raises(AssumptionBroken, match="strongly convex"):
        ask(IteratedNewton(), [1], problems.mlp())


# Chord Newton: the factor that is kept, the gradient that is kept, and what they prove.


def prepared(method: ChordNewton, problem: Problem):
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    return method.prepare(problem, original, Seeds(), Clock())


def chord_ask(
    method: ChordNewton, problem: Problem, forget: list[int], distance: float = 1e-3
) -> tuple[Request, Release]:
    target = Target(distance=distance)
    request = Request.of(problem, prepared(method, problem), torch.tensor(forget), target=target)
    return request, method.answer(request)


def chord_away(problem: Problem, release: Release) -> float:
    """The distance to the retrained weights, before noise."""
    retrained = problem.fit(release.state.rows, Seeds().generator("training"))
    return float((release.state.weights - retrained).norm())


def dense(operator, dimension: int) -> torch.Tensor:
    return torch.stack([operator @ e for e in torch.eye(dimension, dtype=torch.float64)])


@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "one_vs_rest"])
def test_the_factor_inverts_the_hessian(loss: str) -> None:
    problem = problems.softmax(n=5000, ridge=0.02, loss=loss)
    weights = torch.randn(
        problem.model.dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    factor = problem.factor(weights, problems.every_row(problem), neglect=0.0)
    hessian = dense(problem.hessian(weights, problem.train), len(weights))
    solved = torch.stack([factor.solve(row) for row in hessian])
    assert torch.allclose(solved, torch.eye(len(weights), dtype=torch.float64), atol=1e-4)


@pytest.mark.parametrize("neglect", [1e-3, 0.1, 0.9])
def test_what_is_neglected_only_adds_curvature(neglect: float) -> None:
    problem = problems.softmax(n=300, classes=4, ridge=0.02)
    weights = prepared(ChordNewton(), problem).weights
    factor = problem.factor(weights, problems.every_row(problem), neglect=neglect)
    kept = torch.empty_like(factor.lower, dtype=torch.float64)
    product = (factor.lower @ factor.lower.T).double()
    kept[factor.order.unsqueeze(1), factor.order] = product
    exact = dense(problem.hessian(weights, problem.train), len(weights))
    off = (kept - exact).abs().max()
    assert float(torch.linalg.eigvalsh(kept)[0]) > 0.02 * (1 - 1e-3), "never below the ridge"
    # what is left out of one block: its share of a mean of p_a p_b <= 1/4, times two inputs
    assert float(off) <= neglect / 4 * problem.row_norm**2 + 1e-6


def test_a_net_has_no_factor() -> None:
    net = problems.mlp()
    with pytest.raises(AssumptionBroken, match="linear"):
        net.factor(torch.zeros(net.model.dimension), problems.every_row(net), neglect=0.0)


def test_no_ridge_is_no_factor() -> None:
    problem = problems.softmax(ridge=0.0, n=20, inputs=30)
    with pytest.raises(AssumptionBroken, match="raise ridge"):
        problem.factor(
            torch.zeros(problem.model.dimension, dtype=torch.float64),
            problems.every_row(problem),
            neglect=0.0,
        )


def test_the_first_gradient_is_that_of_the_retained_rows() -> None:
    problem, method = problems.softmax(n=100), ChordNewton()
    request = Request.of(problem, prepared(method, problem), torch.tensor([2, 5, 9]))
    from_forgotten = method._without_forgotten(request, request.original.memory.gradient)
    exact = problem.gradient(request.original.weights, request.retain_rows)
    assert torch.allclose(from_forgotten, exact, rtol=1e-9, atol=1e-14)


def test_steps_contract_and_the_bound_is_nearly_tight() -> None:
    problem, reached = problems.softmax(n=400, ridge=0.02), []
    for distance, theorem in ((1e-2, "thm6"), (1e-3, "thm6"), (1e-4, "thm5")):
        _, release = chord_ask(ChordNewton(), problem, list(range(8)), distance)
        evidence, true = release.claim.evidence, chord_away(problem, release)
        assert evidence.theorem == theorem
        assert true <= evidence.reached <= (1.3 if theorem == "thm6" else 3) * true
        assert evidence.reached <= evidence.bound == distance
        assert verdict(release.claim) == "proved"
        reached.append((numbers(release)["steps_taken"], true))
    assert [steps for steps, _ in reached] == [1, 2, 3]
    assert reached[1][1] < reached[0][1] / 5
    assert reached[2][1] < reached[1][1] / 5


def test_T15_the_noise_of_chord_is_the_same_whatever_is_forgotten() -> None:
    problem = problems.softmax(n=100)
    claims = [chord_ask(ChordNewton(), problem, f)[1].claim for f in ([], [3], list(range(60)))]
    assert claims[0].public() == claims[1].public() == claims[2].public()


@pytest.mark.parametrize("forgotten", [30, 70, 99])
def test_a_stale_factor_is_no_reason_to_refuse(forgotten: int) -> None:
    """Where nearly all rows are gone the kept factor no longer helps, and Newton-CG takes over."""
    problem = problems.softmax(n=100, ridge=0.02)
    request, release = chord_ask(ChordNewton(neglect=0.9), problem, list(range(forgotten)), 1e-6)
    assert chord_away(problem, release) <= release.claim.evidence.reached <= 1e-6
    if forgotten == 99:
        assert "fall_back" in request.clock.seconds


def test_a_stream_carries_factor_and_gradient_on() -> None:
    problem, method = problems.softmax(n=300, ridge=0.02), ChordNewton()
    state = prepared(method, problem)
    factor = state.memory.factor
    for number, forget in enumerate(([1, 2], [10, 20], [30, 31, 32])):
        request = Request.of(problem, state, torch.tensor(forget), number=number)
        release = method.answer(request)
        state = release.state
        assert state.memory.factor is factor, "nothing is factorised twice"
        exact = problem.gradient(state.weights, problem.train.take(state.rows))
        assert torch.allclose(state.memory.gradient, exact, rtol=1e-6, atol=1e-13)
        assert chord_away(problem, release) <= release.claim.evidence.reached <= 1e-3


def test_after_a_fall_back_the_stream_goes_on() -> None:
    problem, method = problems.softmax(n=100, ridge=0.02), ChordNewton(neglect=0.9)
    request, release = chord_ask(method, problem, list(range(97)), 1e-6)
    assert "fall_back" in request.clock.seconds
    exact = problem.gradient(release.state.weights, problem.train.take(release.state.rows))
    assert torch.allclose(release.state.memory.gradient, exact, atol=1e-13)
    target = request.target
    later = method.answer(
        Request.of(problem, release.state, torch.tensor([98]), target=target, number=1)
    )
    assert chord_away(problem, later) <= later.claim.evidence.reached <= 1e-6
    assert later.claim.public() == release.claim.public()
