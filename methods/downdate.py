"""Exact unlearning of a ridge regression: the forgotten rows are subtracted from kept sums."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmark.contract.claim import Claim
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.kept_sums import NormalEquations, with_bias
from benchmark.curvature.symmetric import Inverse
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import DirectTraining, nearest, normal_equations, solved

#: The inverse is downdated for up to a quarter as many rows as there are columns; else, anew.
FEW = 4


@dataclass(frozen=True)
class Kept:
    """What the next request starts from: of the rows that are left, and secret like them.

    Attributes:
        sums: over the rows, exact; forgotten rows may wait to be subtracted.
        inverse: about (S + n ridge I)^-1, which decides how long a request takes and nothing else.
    """

    sums: NormalEquations
    inverse: Inverse


class Downdate(Method):
    """S - sum x x^T and B - sum y x^T over the forgotten rows, and the solution of what is left.

    With features in fixed point both sums are exact, so that what is left is what retraining would
    sum up. The weights are the solution to the nearest step of a grid, found by long division: the
    same bytes as those of retraining, whatever the inverse that the digits come from, over any
    stream of requests. Of altered rows the new versions are added; no other retained row is read.
    """

    name = "downdate"
    title = "Downdate, exact"
    source = Source(
        paper="Cao, Yang: Towards Making Systems Forget with Machine Unlearning (IEEE S&P 2015), "
        "for ridge regression in fixed point",
        url="https://doi.org/10.1109/SP.2015.35",
    )
    evidence = "construction"
    needs = frozenset({"forget", "strong_convexity", "squared_loss", "exact_sums"})
    answers_altered = True

    def prepare(self, problem: Problem, original: State, seeds: Seeds, clock: Clock) -> State:
        """Sum up the training rows and invert.

        Raises:
            LetheError: for anything but squared loss in float64.
            AssumptionBroken: if features are not in fixed point, sums over them could be rounded,
                or training is no direct solve.
        """
        if problem.fixed_point is None or not isinstance(problem.training, DirectTraining):
            raise AssumptionBroken(
                "downdate is exact by sums that are: declare problem.fixed_point and train by "
                "algorithm = 'direct', or take downdate-fast"
            )
        with clock.phase("sums"):
            sums = normal_equations(problem, problem.trained(original.rows)).waiting
        with clock.phase("inverse"):
            inverse = _inverse(problem, sums)
        return replace(original, memory=Kept(sums, inverse))

    def unlearn(self, request: Request) -> Release:
        kept, weights = request.original.memory, request.original.weights
        if not isinstance(kept, Kept):
            raise AssumptionBroken("downdate answers from sums that were kept: prepare the state")
        if len(request.forget):
            with request.clock.phase("downdate"):
                kept = _downdated(request, kept)
            with request.clock.phase("solve"):
                found = nearest(request.problem, kept.sums, kept.inverse.solve)
            if found is None:  # the inverse no longer helps
                with request.clock.phase("inverse"):
                    kept = replace(kept, inverse=_inverse(request.problem, kept.sums))
                with request.clock.phase("solve"):
                    found = solved(request.problem, kept.sums)
            weights = found
        claim = Claim.by_construction("the normal equations of the retained rows, summed exactly")
        return request.release(weights, claim, kept)


def _downdated(request: Request, kept: Kept) -> Kept:
    """What is kept, without the forgotten rows, and with the new versions of altered ones."""
    forgotten, ridge = request.forget_rows, request.problem.objective.ridge
    sums, inverse = kept.sums.without(forgotten.x, forgotten.y), None
    if FEW * len(forgotten) <= kept.sums.moments.shape[1]:
        inverse = kept.inverse.without(with_bias(forgotten.x), len(forgotten) * ridge)
    if len(request.altered):
        _ = request.problem.fixed_point  # checked: the new versions have the form, too
        new = request.altered_rows
        sums = sums.including(new.x, new.y)
        inverse = inverse and inverse.including(with_bias(new.x), len(new) * ridge)
    return Kept(sums, inverse or _inverse(request.problem, sums))


def _inverse(problem: Problem, sums: NormalEquations) -> Inverse:
    """About the inverse of what the sums say, by a Cholesky factor in float64."""
    ridge = problem.objective.ridge
    return Inverse.of(sums.factor(ridge).inverse(), least=sums.rows * ridge)
