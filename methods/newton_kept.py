"""Certified Newton step from kept derivatives: no row that stays is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from benchmark.claims.uniform import (
    CONTRACTION,
    Point,
    Reached,
    check_distance,
    uniform_claim,
    within_distance,
)
from benchmark.claims.without_pass import KeptRoundOff, step_bound
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.kept_sums import (
    CHUNK,
    Leverage,
    LogisticSums,
    flat,
    matrix,
    solve,
    with_bias,
)
from benchmark.curvature.symmetric import Inverse
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem

#: A forgotten row stays in a class's inverse where it weighs less than this share of the ridge.
LIGHT = 0.1
#: The solve goes on while what it leaves may move the weights by more than this share of Delta_0.
SOLVED = 1e-2


@dataclass(frozen=True)
class Kept:
    """What the next request starts from: of the rows that are left, and secret like them.

    Attributes:
        sums: derivatives at the base, over the rows.
        inverses: about (S_k + n ridge I)^-1 of each class.
        round_off: what float64 may have lost of the sums.
        leverage: of all rows as they were, where a bound is by it; else None.
    """

    sums: LogisticSums
    inverses: tuple[Inverse, ...]
    round_off: KeptRoundOff
    leverage: Leverage | None = None


class NewtonKept(Method):
    """base - A^{-1} g for all rows forgotten so far, with A and g downdated by their terms alone.

    Derivatives of the loss at one point, the base, are kept for each class. Every request steps
    from there, so that nothing compounds; Theorem 7 bounds what is left. Where that is within the
    experiment's Delta_0, which the noise is for, no row that stays has been read and the time does
    not depend on how many they are. Where it is not, Chord Newton's steps, a pass over the
    retained rows each, go on until a bound is, and the base moves to where they end.
    """

    name = "newton-kept"
    title = "Newton, kept"
    source = Source(
        paper="Guo, Goldstein, Hannun, van der Maaten: Certified Data Removal from Machine "
        "Learning Models (ICML 2020), from kept derivatives",
        url="https://arxiv.org/abs/1911.03030",
    )
    evidence = "distance"
    needs = frozenset({"retain", "forget", "strong_convexity", "one_vs_rest"})

    #: Rows up to which the inverses are downdated.
    woodbury: int = Field(300, ge=0, examples=[0])
    #: How a bound knows that logits move little: by the `norm` that rows are declared to have, by
    #: the largest `leverage` of all rows, taken once, or, where the norm says too little, by a
    #: forward `pass`.
    reach: Literal["norm", "leverage", "pass"] = Field("norm")

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        """Sum up the derivatives of the training rows at the original, and invert.

        Raises:
            AssumptionBroken: for another loss or precision, or training in a ball.
        """
        _check(problem)
        ridge, rows = problem.objective.ridge, problem.trained(original.rows)
        base = matrix(original.weights, problem.model.classes)
        with clock.phase("sums"):
            sums = LogisticSums.of(rows.x, rows.y, base)
        with clock.phase("inverse"):
            inverses = sums.inverses(ridge)
        declared = problem.declared.feature_norm is not None
        round_off = KeptRoundOff(problem.row_norm, base.shape[1], ridge, declared)
        round_off = replace(round_off, lost=round_off.summed(sums))
        kept = Kept(sums, inverses, round_off)
        if self.reach == "leverage":
            with clock.phase("leverage"):
                x, margin = problem.train.x, round_off.inverted(sums)
                found = Leverage.of(x, original.rows, sums, ridge=ridge, margin=margin)
                kept = replace(kept, leverage=found)
        return replace(original, memory=kept)

    def unlearn(self, request: Request) -> Release:
        kept = request.original.memory
        if not isinstance(kept, Kept):
            raise AssumptionBroken(
                "newton-kept answers from derivatives that were kept: prepare the state"
            )
        check_distance(request.problem, request.target.distance)
        if len(request.forget):
            with request.clock.phase("downdate"):
                kept = self._downdated(request, kept)
        kept, reached = _stepped(request, kept)
        if self.reach == "pass" and reached.bounds[0].value > request.target.distance:
            reached = _looked(request, reached, kept)
        if reached.bounds[0].value > request.target.distance:
            reached = _with_passes(request, reached.point, kept)
            kept = _moved(request, reached.point, kept)
        claim = uniform_claim(request, reached)
        return request.release(reached.point.weights, claim, kept)

    def _downdated(self, request: Request, kept: Kept) -> Kept:
        """What is kept, without the forgotten rows."""
        forgotten, ridge = request.forget_rows, request.problem.objective.ridge
        sums, weights = kept.sums.without(forgotten.x, forgotten.y)
        round_off = replace(
            kept.round_off, lost=kept.round_off.downdated(kept.sums, len(forgotten))
        )
        inverses = None
        if len(forgotten) <= self.woodbury:
            inverses = _without(kept.inverses, with_bias(forgotten.x), weights, sums.rows * ridge)
        inverses = inverses or sums.inverses(ridge)
        return replace(kept, sums=sums, inverses=inverses, round_off=round_off)


def _check(problem: Problem) -> None:
    """Refuse what has no such sums.

    Raises:
        AssumptionBroken: unless each class of a linear model with a ridge is on its own against
            the rest, in float64 and without a ball.
    """
    loss = problem.objective.loss
    if problem.strong_convexity is None or loss != "one_vs_rest":
        raise AssumptionBroken(
            "newton-kept is for one class against the rest: take a linear model, objective.loss = "
            "'one_vs_rest' and a ridge above 0"
        )
    if problem.dtype != torch.float64:
        raise AssumptionBroken("sums in float32 lose what is forgotten: use float64")
    if problem.training.radius is not None:
        raise AssumptionBroken("Theorem 7 is for training without a ball: set no radius")


def _without(
    inverses: tuple[Inverse, ...], rows: Tensor, weights: Tensor, shift: float
) -> tuple[Inverse, ...] | None:
    """The inverses without the rows (k, m), each times its weight (classes, k) in a class.

    Light rows stay: what an inverse gets wrong shows in the residual. None if round-off is all
    that is left of one.
    """
    heavy = weights.square() * rows.square().sum(dim=1) > LIGHT * shift
    found = []
    for inverse, weight, use in zip(inverses, weights, heavy, strict=True):
        left = inverse.without(rows[use] * weight[use, None]) if use.any() else inverse
        if left is None:
            return None
        found.append(left)
    return tuple(found)


def _stepped(request: Request, kept: Kept) -> tuple[Kept, Reached]:
    """The step from the base on the retained rows, as far as Delta_0 or the solve asks for it.

    It begins with the step that the last request took. More of it is solved for where the bound is
    above Delta_0 and what the solve leaves may have to do with it. An inverse that no longer
    halves that is replaced. Nothing to forget leaves the weights as they are.

    Returns:
        What is kept, and the end with its bound, within Delta_0 or not.
    """
    problem, sums, inverses = request.problem, kept.sums, kept.inverses
    ridge, distance = problem.objective.ridge, request.target.distance
    weights, before, number = request.original.weights, math.inf, 0
    while True:
        with request.clock.phase("certificate"):
            step = sums.base - matrix(weights, len(sums.base))
            product = sums.times(ridge, step)
            bound = step_bound(problem, sums, kept.round_off, step, product, leverage=kept.leverage)
        residual = sums.slope(ridge) - product
        norm = float(residual.norm())
        enough = bound.value <= distance or norm / (sums.rows * ridge) <= SOLVED * distance
        stalled = not norm <= CONTRACTION * before
        if not len(request.forget) or (number and enough):
            break
        if stalled and inverses is not kept.inverses:  # it is round-off that is left
            break
        with request.clock.phase("inverse_hessian"):
            if stalled:
                inverses = sums.inverses(ridge)
            weights = flat(sums.base - step - solve(inverses, residual))
        before, number = norm, number + 1
    # the gradient there is not known: that of the quadratic stands for it, and no bound sees it
    point = Point(weights, flat(residual) / sums.rows, number=number)
    return replace(kept, inverses=inverses), Reached(point, (bound,), 0)


def _looked(request: Request, reached: Reached, kept: Kept) -> Reached:
    """The same end with Theorem 7 by how far it moves the logits of the retained rows.

    It is one forward pass over them, half of a gradient.
    """
    problem, sums = request.problem, kept.sums
    with request.clock.phase("certificate"):
        step = sums.base - matrix(reached.point.weights, len(sums.base))
        change = step.new_zeros(len(step))
        for part in request.retain.split(CHUNK):
            moved = step @ with_bias(problem.train.x[part]).T
            change = change.maximum(moved.abs().amax(dim=1))
        product = sums.times(problem.objective.ridge, step)
        bound = step_bound(problem, sums, kept.round_off, step, product, logit_change=change)
    return replace(reached, bounds=(bound,))


def _with_passes(request: Request, stepped: Point, kept: Kept) -> Reached:
    """Where chord steps from the stepped point end, or from the base where that is the better one.

    Args:
        request: that is answered.
        stepped: weights that no bound within Delta_0 was found for.
        kept: of the retained rows.
    """
    sums, classes = kept.sums, len(kept.sums.base)
    with request.clock.phase("gradient"):
        start = Point.at(request, stepped.weights, stepped.number)
    at_base = flat(sums.slope(request.problem.objective.ridge)) / sums.rows
    diverged = not float(start.gradient.norm()) <= float(at_base.norm())  # or not a number
    if len(request.forget) and diverged:
        start = Point(flat(sums.base), at_base, number=stepped.number)

    def solved(b: Tensor) -> Tensor:
        return flat(solve(kept.inverses, sums.rows * matrix(b, classes)))

    return within_distance(
        request, start, lambda at: solved(at.gradient), own=stepped.number, refine=solved
    )


def _moved(request: Request, point: Point, kept: Kept) -> Kept:
    """What is kept, with the base where passes over the retained rows ended."""
    sums, ridge = kept.sums, request.problem.objective.ridge
    classes = len(sums.base)
    base, gradient = matrix(point.weights, classes), matrix(point.gradient, classes)
    moved = sums.moved(base, sums.rows * (gradient - ridge * base))
    lost = kept.round_off.passed(moved, len(request.problem.train))
    return replace(kept, sums=moved, round_off=replace(kept.round_off, lost=lost))
