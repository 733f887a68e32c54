"""Convex sets of weights, training in a ball, and the bounds that hold there."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmark.claims.ball_step import newton_in_ball
from benchmark.claims.spectra import head_constants
from benchmark.claims.within import _shared, bounds_within, prox_bound
from benchmark.contract.claim import Target
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.factor import dense_matrix
from benchmark.errors import AssumptionBroken
from benchmark.problem.convex import Both, Box, ConvexSet, Ordered
from benchmark.problem.model import Model, SoftmaxSpec
from benchmark.problem.objective import Objective
from benchmark.problem.problem import Problem
from benchmark.problem.training.adam import AdamTraining
from benchmark.problem.training.cone import ConeTraining, cone_step
from benchmark.problem.training.newton import NewtonTraining
from benchmark.rows import Rows
from benchmark.studies.random_problem import NewtonInBall
from methods.certified_removal import CertifiedRemoval
from methods.chord_newton import ChordNewton
from methods.descent_to_delete import DescentToDelete
from methods.iterated_newton import IteratedNewton
from methods.newton import Newton
from methods.newton_lissa import NewtonLissa
from methods.sekhari import Sekhari
from tests import problems
from tests.problems import numbers

# Convex sets of weights, and the bounds P3 to P6 on random heads.

#: Random heads, each with three weights; `LETHE_CASES=300` for the figure of the docs.
CASES = int(os.environ.get("LETHE_CASES", "25"))
TIGHT = 1e-12


def head(seed: int) -> tuple[Problem, torch.Generator]:
    """A random head of two classes in a cone."""
    draws = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=draws))

    n, inputs = int(uniform(30, 200)), int(uniform(2, 9))
    x = torch.randn(n, inputs, generator=draws, dtype=torch.float64)
    x = x / x.norm(dim=1).max()
    slope = torch.randn(inputs, generator=draws, dtype=torch.float64) * uniform(0, 8)
    noise = torch.randn(n, generator=draws, dtype=torch.float64)
    y = (x @ slope + 0.5 * noise > 0).long()
    model = Model(SoftmaxSpec(), inputs, 2)
    signed = torch.randperm(inputs, generator=draws)[: 1 + int(uniform(0, inputs))]
    up = torch.rand(len(signed), generator=draws) < 0.5
    cone = Ordered(
        torch.where(up, signed, signed + inputs), torch.where(up, signed + inputs, signed)
    )
    rows = Rows(x, y)
    problem = Problem(
        model=model,
        objective=Objective(loss="cross_entropy", ridge=10 ** uniform(-4, -1)),
        training=ConeTraining(tolerance=10 ** uniform(-10, -5), within=cone),
        train=rows,
        negatives=rows.take(torch.arange(2)),
        test=rows.take(torch.arange(2)),
        released_within=cone,
    )
    return problem, draws


def trained(problem: Problem, index: Tensor, tolerance: float | None = None) -> Tensor:
    if tolerance is not None:
        training = problem.training.model_copy(update={"tolerance": tolerance})
        problem = replace(problem, training=training)
    return problem.fit(index, torch.Generator().manual_seed(0))


def cases(seed: int) -> tuple[Problem, Tensor, Tensor, list[Tensor]]:
    """A problem, the rows that are kept, the weights retrained on them, and three to bound."""
    problem, draws = head(seed)
    n, cone = len(problem.train), problem.training.within
    forget = torch.randperm(n, generator=draws)[: 1 + int(seed % max(1, n // 10))]
    retain = torch.arange(n)[~torch.isin(torch.arange(n), forget)]
    old, new = trained(problem, torch.arange(n)), trained(problem, retain)
    hessian = problem.hessian_on(old, retain)
    step = cone_step(dense_matrix(hessian, old), hessian.gradient, old, cone)
    size = 10.0 ** -(seed % 5)
    moved = cone.project(old + size * torch.randn(len(old), generator=draws, dtype=torch.float64))
    return problem, retain, new, [old, step, moved]


def test_no_bound_is_violated_and_the_face_is_nearly_exact() -> None:
    """P6 is within 1.1 of d + G / mu in every case whose face is identified and that is near.

    Training promises G and no less, so no bound can be below G / mu. Far off, rho d is not small.
    """
    near, other = [], []
    for seed in range(CASES):
        problem, retain, new, weights = cases(seed)
        held = problem.training.residual_bound / problem.strong_convexity
        rho = head_constants(problem).self_concordance
        for w in weights:
            hessian = problem.hessian_on(w, retain)
            matrix = dense_matrix(hessian, w)
            distance = float((w - new).norm())
            for bound in bounds_within(problem, w, hessian.gradient, matrix):
                assert distance <= bound.value * (1 + 1e-9), (seed, bound.theorem)
                if bound.theorem == "within-face":
                    found = near if rho * distance <= 0.05 else other
                    found.append(bound.value / (distance + held))
            after, bound = prox_bound(problem, w, hessian.gradient)
            assert float((after - new).norm()) <= bound.value * (1 + 1e-9)
    assert len(near) >= CASES // 2
    assert max(near) <= 1.1
    for name, found in (("near", near), ("far", other)):
        middle = sorted(found)[len(found) // 2]
        print(f"{name}: {len(found)} of {3 * CASES}, median {middle:.4f}, at most {max(found):.3f}")


def test_what_all_classes_share_is_apart_and_only_where_no_pair_moves_it() -> None:
    """The curvature off it is at least the ridge, and a cone across features gets the ridge."""
    problem, retain, new, _ = cases(0)
    cone, matrix = problem.training.within, problem.hessian_on(new, retain)
    shared = _shared(problem, cone)
    assert torch.allclose(shared @ shared, shared)
    matrix = dense_matrix(matrix, new)
    assert torch.allclose(matrix @ shared, problem.strong_convexity * shared)  # the ridge alone
    across = Ordered(torch.tensor([0]), torch.tensor([1]))  # two features of one class
    assert (_shared(problem, across) == 0).all()


def test_theorem_5_with_the_gradient_is_no_bound_within_a_cone() -> None:
    """Where a constraint is active the gradient stays, and what it bounds is another minimiser."""
    seed = next(
        s for s in range(50) if (cases(s)[0].training.within.margins(cases(s)[2]) == 0).any()
    )
    problem, retain, new, _ = cases(seed)
    gradient = problem.gradient(new, problem.train.take(retain))
    assert gradient.norm() > 100 * problem.training.residual_bound
    assert problem.training.gradient_bound is None  # what Theorems 5 and 6 ask for
    assert problem.training.within.residual(new, gradient) <= problem.training.residual_bound


def test_weights_outside_the_cone_get_no_bound() -> None:
    problem, _, new, _ = cases(0)
    cone = problem.training.within
    outside = new.clone()
    outside[cone.below[0]] = outside[cone.above[0]] + 1e-15 + 1e-3
    with pytest.raises(AssumptionBroken, match="outside the cone"):
        bounds_within(problem, outside, new)


SETS: list[ConvexSet] = [
    Box(
        torch.tensor([0.0, -1, -9, -9, 0, 0]).double(), torch.tensor([9.0, 1, 9, 9, 0, 9]).double()
    ),
    Ordered(torch.tensor([0, 4]), torch.tensor([2, 1])),
    Both(
        Box(
            torch.tensor([0.0, 0, -9, -9, -9, -9]).double(),
            torch.tensor([9.0, 9, 9, 9, 9, 9]).double(),
        ),
        Ordered(torch.tensor([2, 5]), torch.tensor([3, 4])),
    ),
]
VECTORS = st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=6, max_size=6).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


@pytest.mark.parametrize("within", SETS, ids=lambda one: type(one).__name__)
@settings(max_examples=60, deadline=None)
@given(u=VECTORS, v=VECTORS, g=VECTORS)
def test_a_projection_is_one_and_the_residual_is_that_of_the_inequality(
    within: ConvexSet, u: Tensor, v: Tensor, g: Tensor
) -> None:
    p, q = within.project(u), within.project(v)
    assert within.has(p)
    assert (p - q).norm() <= (u - v).norm() + 1e-12
    assert float((u - p).dot(q - p)) <= 1e-9  # p is the nearest point
    e = within.residual(p, g)
    assert float(g.dot(q - p)) >= -e * float((q - p).norm()) - 1e-9
    together = torch.stack([u, v])
    assert torch.equal(within.project(together), torch.stack([p, q]))


def test_both_weights_get_the_same_mean() -> None:
    """Half the gap, added to each, leaves some pairs 4e-16 out of order."""
    draws = torch.Generator().manual_seed(0)
    for dtype in (torch.float64, torch.float32):
        w = torch.randn(2000, 2, generator=draws, dtype=dtype)
        w = w.sort(dim=1, descending=True).values
        cone = Ordered(torch.tensor([0]), torch.tensor([1]))
        half = (w[:, :1] - w[:, 1:]) / 2
        naive = torch.cat([w[:, :1] - half, w[:, 1:] + half], dim=1)
        assert (cone.margins(naive) < 0).sum() > 100
        assert (cone.margins(cone.project(w)) == 0).all()


# Linear heads that are trained in a ball: the case in which the gradient does not vanish.

METHODS = {
    "newton": Newton(),
    "newton, damped": Newton(damping=1e3),
    "newton, measured": Newton(noise="measured"),
    "iterated": IteratedNewton(),
    "chord": ChordNewton(),
    "sekhari": Sekhari(),
    "descent": DescentToDelete(),
    "lissa": NewtonLissa(batch=40),
    "lissa, diverging": NewtonLissa(scale=1e-3, depth=400, chains=2),
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
def in_ball() -> tuple[Problem, Tensor]:
    """A problem whose ball is active, and its weights as trained."""
    training = NewtonInBall(radius=0.5, tolerance=1e-8)
    problem = replace(problems.softmax(n=60, ridge=0.05), training=training)
    trained = problem.fit(problems.every_row(problem), Seeds().generator("training"))
    assert float(trained.norm()) == pytest.approx(0.5)
    return problem, trained


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
    problem, trained = in_ball()
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
