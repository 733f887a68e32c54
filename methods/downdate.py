"""Exact unlearning of a ridge regression: the forgotten rows are subtracted from kept sums."""

from __future__ import annotations

from dataclasses import replace

from benchmark.contract.claim import Claim
from benchmark.contract.clock import Clock
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request, State
from benchmark.contract.seeds import Seeds
from benchmark.curvature.kept_sums import NormalEquations
from benchmark.errors import AssumptionBroken
from benchmark.problem.problem import Problem
from benchmark.problem.training.newton import DirectTraining, normal_equations, solved


class Downdate(Method):
    """S - sum x x^T and B - sum y x^T over the forgotten rows, and one solve of what is left.

    With features in fixed point both sums are exact, so that what is left is what retraining would
    sum up, and the same solve gives the same weights to the last bit, over any stream of requests.
    Of altered rows the new versions are added; no other retained row is read. The kept sums are
    secret: they are those of the rows that are left.
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
        """Sum up the training rows.

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
            sums = normal_equations(problem, problem.trained(original.rows))
        return replace(original, memory=sums)

    def unlearn(self, request: Request) -> Release:
        kept, weights = request.original.memory, request.original.weights
        if not isinstance(kept, NormalEquations):
            raise AssumptionBroken("downdate answers from sums that were kept: prepare the state")
        if len(request.forget):
            forgotten = request.forget_rows
            with request.clock.phase("downdate"):
                kept = kept.without(forgotten.x, forgotten.y)
                if len(request.altered):
                    _ = request.problem.fixed_point  # checked: the new versions have the form, too
                    kept = kept.including(request.altered_rows.x, request.altered_rows.y)
            with request.clock.phase("solve"):
                weights = solved(request.problem, kept)
        claim = Claim.by_construction("the normal equations of the retained rows, summed exactly")
        return request.release(weights, claim, kept)
