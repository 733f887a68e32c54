"""Iterated Newton: epsilon as a function of compute, and budgets."""

from __future__ import annotations

import pytest
import torch

from benchmark.theory.gaussian import sigma_for
from benchmark.contract.clock import Clock
from benchmark.contract.request import Release, Request
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from methods.iterated_newton import IteratedNewton
from tests import problems

PROBLEM = problems.softmax(n=200, ridge=0.01)


def ask(
    method: IteratedNewton, forget: list[int], problem: Problem = PROBLEM
) -> tuple[Request, Release]:
    original = method.train(problem, problems.every_row(problem), Seeds(), Clock())
    original = method.prepare(problem, original, Seeds(), Clock())
    request = Request.of(problem, original, torch.tensor(forget))
    return request, method.answer(request)


def test_every_step_brings_the_certificate_down() -> None:
    reached = [
        ask(IteratedNewton(steps=steps), list(range(20)))[1].certificate.sensitivity
        for steps in (1, 2, 3)
    ]
    assert reached[1] < reached[0] / 10
    assert reached[2] < reached[1] / 10


def test_T15_sigma_of_a_budget_does_not_depend_on_the_forget_set() -> None:
    method = IteratedNewton(steps=4, budget=1e-3)
    certificates = [ask(method, forget)[1].certificate for forget in ([3], list(range(60)))]
    expected = sigma_for(1.0, 1e-5, 1e-3)
    assert [c.sigma for c in certificates] == [expected, expected]
    assert all(c.mode == "budgeted" and c.verdict == "proved" for c in certificates)


def test_steps_stop_where_the_budget_is_met() -> None:
    request, one = ask(IteratedNewton(steps=1), [3, 4])
    bounds = {other.theorem: other.sensitivity for other in one.certificate.alternatives}
    met = IteratedNewton(steps=5, budget=1.1 * bounds["Theorem 5"])
    assert torch.equal(ask(met, [3, 4])[1].state.weights, one.state.weights)
    nothing = ask(IteratedNewton(steps=5, budget=5.0), [3, 4])[1]
    assert torch.equal(nothing.state.weights, request.original.weights)
    assert nothing.certificate.verdict == "vacuous", "the budget buys what doing nothing has"


def test_over_budget_is_refused_and_retrained() -> None:
    request, release = ask(IteratedNewton(steps=1, budget=1e-6), list(range(60)))
    retrained = PROBLEM.fit(request.retain, Seeds().generator("training"))
    assert torch.equal(release.state.weights, retrained)
    assert "refused and retrained" in release.certificate.theorem
    assert release.certificate.sensitivity == 1e-6


def test_a_budget_below_the_training_tolerance_is_refused() -> None:
    with pytest.raises(AssumptionBroken, match="2 G / mu"):
        ask(IteratedNewton(budget=1e-12), [1])


def test_a_net_is_refused() -> None:
    with pytest.raises(AssumptionBroken, match="strongly convex"):
        ask(IteratedNewton(), [1], problems.mlp())
