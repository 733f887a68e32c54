"""Chord Newton: the factor that is kept, the gradient that is kept, and what they prove."""

from __future__ import annotations

import pytest
import torch

from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.definition import verdict
from benchmark.contract.request import Release, Request
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from methods.chord_newton import ChordNewton
from tests import problems
from tests.evidence import numbers


def prepared(method: ChordNewton, problem: Problem):
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    return method.prepare(problem, original, Seeds(), Clock())


def ask(
    method: ChordNewton, problem: Problem, forget: list[int], distance: float = 1e-3
) -> tuple[Request, Release]:
    target = Target(distance=distance)
    request = Request.of(problem, prepared(method, problem), torch.tensor(forget), target=target)
    return request, method.answer(request)


def away(problem: Problem, release: Release) -> float:
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
        _, release = ask(ChordNewton(), problem, list(range(8)), distance)
        evidence, true = release.claim.evidence, away(problem, release)
        assert evidence.theorem == theorem
        assert true <= evidence.reached <= (1.3 if theorem == "thm6" else 3) * true
        assert evidence.reached <= evidence.bound == distance
        assert verdict(release.claim) == "proved"
        reached.append((numbers(release)["steps_taken"], true))
    assert [steps for steps, _ in reached] == [1, 2, 3]
    assert reached[1][1] < reached[0][1] / 5
    assert reached[2][1] < reached[1][1] / 5


def test_T15_the_noise_is_the_same_whatever_is_forgotten() -> None:
    problem = problems.softmax(n=100)
    claims = [ask(ChordNewton(), problem, f)[1].claim for f in ([], [3], list(range(60)))]
    assert claims[0].public() == claims[1].public() == claims[2].public()


@pytest.mark.parametrize("forgotten", [30, 70, 99])
def test_a_stale_factor_is_no_reason_to_refuse(forgotten: int) -> None:
    """Where nearly all rows are gone the kept factor no longer helps, and Newton-CG takes over."""
    problem = problems.softmax(n=100, ridge=0.02)
    request, release = ask(ChordNewton(neglect=0.9), problem, list(range(forgotten)), 1e-6)
    assert away(problem, release) <= release.claim.evidence.reached <= 1e-6
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
        assert away(problem, release) <= release.claim.evidence.reached <= 1e-3


def test_after_a_fall_back_the_stream_goes_on() -> None:
    problem, method = problems.softmax(n=100, ridge=0.02), ChordNewton(neglect=0.9)
    request, release = ask(method, problem, list(range(97)), 1e-6)
    assert "fall_back" in request.clock.seconds
    exact = problem.gradient(release.state.weights, problem.train.take(release.state.rows))
    assert torch.allclose(release.state.memory.gradient, exact, atol=1e-13)
    target = request.target
    later = method.answer(
        Request.of(problem, release.state, torch.tensor([98]), target=target, number=1)
    )
    assert away(problem, later) <= later.claim.evidence.reached <= 1e-6
    assert later.claim.public() == release.claim.public()
