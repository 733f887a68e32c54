"""Linear heads that are trained in a ball: the case in which the gradient does not vanish."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from benchmark.claims.ball_step import newton_in_ball
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.errors import AssumptionBroken
from benchmark.problem.model import Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.rows import Rows
from benchmark.problem.training import AdamTraining, NewtonTraining
from benchmark.studies.random_problem import NewtonInBall
from methods.certified_removal import CertifiedRemoval
from methods.chord_newton import ChordNewton
from methods.descent_to_delete import DescentToDelete
from methods.iterated_newton import IteratedNewton
from methods.newton import Newton
from methods.newton_lissa import NewtonLissa
from methods.sekhari import Sekhari
from tests import problems
from tests.evidence import numbers

METHODS = {
    "newton": Newton(),
    "newton, damped": Newton(damping=1e3),
    "newton, measured": Newton(noise="measured"),
    "iterated": IteratedNewton(),
    "chord": ChordNewton(),
    "sekhari": Sekhari(),
    "descent": DescentToDelete(),
    "lissa": NewtonLissa(batch=40),
    "lissa, diverging": NewtonLissa(scale=1e-3, depth=400),
}


@cache
def imbalanced() -> Problem:
    """One feature that is always 1, and a class that all of its rows leave."""
    y = (torch.arange(40) >= 38).long()
    rows = Rows(torch.ones(40, 1, dtype=torch.float64), y)
    training = AdamTraining(
        algorithm="adam",
        radius=0.5,
        gradient_tolerance=1e-2,
        epochs=1200,
        max_epochs=1200,
        batch=40,
        learning_rate=1e-3,
    )
    return Problem(
        model=Model(SoftmaxSpec(), 1, 2),
        objective=Objective(ridge=0.1),
        training=training,
        train=rows,
        negatives=rows,
        test=rows,
    )


@cache
def fitted(*, retained: bool) -> Tensor:
    """From zero weights, where Adam's steps keep the symmetry that its fixed points ask for."""
    problem = imbalanced()
    start = torch.zeros(problem.model.dimension, dtype=torch.float64)
    rows = torch.arange(38 if retained else 40)
    return problem.fit(rows, Seeds().generator("training"), start=start)


def ask(
    method: Method, problem: Problem, trained: Tensor, forget: Tensor, distance: float
) -> tuple[Request, Release]:
    state = method.prepare(problem, State(trained, problems.every_row(problem)), Seeds(), Clock())
    request = Request.of(problem, state, forget, target=Target(distance=distance))
    return request, method.answer(request)


def ask_imbalanced(method: Method, distance: float = 0.25) -> tuple[Request, Release]:
    return ask(method, imbalanced(), fitted(retained=False), torch.tensor([38, 39]), distance)


def retrained(request: Request) -> Tensor:
    """The minimiser in the ball, and so what training comes within G / mu of."""
    problem = request.problem
    start = request.original.weights
    return newton_in_ball(problem, start, request.retain_rows, tolerance=1e-9)


def test_this_is_the_case_in_which_the_plain_gradient_bounds_nothing() -> None:
    """Without the ball in it, Theorem 5 certifies the minimiser of all space."""
    request, _ = ask_imbalanced(IteratedNewton())
    problem, rows, end = request.problem, request.retain_rows, retrained(request)
    assert float(problem.gradient(end, rows).norm()) > 0.1
    anywhere = NewtonTraining(tolerance=1e-10).minimise(problem, fitted(retained=False), rows)
    assert float((anywhere - end).norm()) > 2 * 0.25
    assert float(anywhere.norm()) > 0.5


@pytest.mark.parametrize("name", METHODS)
def test_every_bound_holds_in_the_case_that_was_false(name: str) -> None:
    request, release = ask_imbalanced(METHODS[name])
    evidence, weights = release.claim.evidence, release.state.weights
    slack = imbalanced().training.gradient_tolerance / imbalanced().objective.ridge
    away = float((weights - retrained(request)).norm())
    assert (away + slack) * (1 - 1e-12) <= evidence.reached <= evidence.bound
    assert float(weights.norm()) <= 0.5 * (1 + 1e-12)
    assert float((weights - fitted(retained=True)).norm()) <= evidence.reached


@pytest.mark.parametrize("forgotten", [0, 3, 40])
@pytest.mark.parametrize("name", METHODS)
def test_every_bound_holds_where_the_ball_is_active(name: str, forgotten: int) -> None:
    training = NewtonInBall(radius=0.5, tolerance=1e-8)
    problem = replace(problems.softmax(n=60, ridge=0.05), training=training)
    trained = problem.fit(problems.every_row(problem), Seeds().generator("training"))
    assert float(trained.norm()) == pytest.approx(0.5)
    request, release = ask(METHODS[name], problem, trained, torch.arange(forgotten), 1e-3)
    evidence, away = release.claim.evidence, release.state.weights - retrained(request)
    assert float(away.norm()) <= evidence.reached <= evidence.bound
    if name == "lissa, diverging" and forgotten:
        assert numbers(release)["further_steps"] >= 1
        assert "fall_back" in request.clock.seconds


def test_a_distance_below_what_the_ball_allows_is_one_line() -> None:
    with pytest.raises(AssumptionBroken, match=r"2 G / mu = 0\.2: raise it or lower training"):
        ask_imbalanced(IteratedNewton(), distance=0.19)


def test_certified_removal_is_refused_in_a_ball() -> None:
    with pytest.raises(AssumptionBroken, match="gradient tolerance and no ball"):
        ask_imbalanced(CertifiedRemoval())
