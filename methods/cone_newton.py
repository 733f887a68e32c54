"""Certified Newton steps within the cone of a property."""

from __future__ import annotations

import torch

from benchmark.claims.within import bounds_within, constrained_head, within_claim
from benchmark.contract.method import Method, Source
from benchmark.contract.request import Release, Request
from benchmark.curvature.factor import dense_matrix
from benchmark.errors import AssumptionBroken, DidNotConverge
from benchmark.problem.training.cone import cone_path

#: Steps after which a request is refused; Newton's need a handful.
STEPS = 100


class ConeNewton(Method):
    """Quadratics minimised over the cone that training is constrained to, until P3 to P6 suffice.

    Each step is Newton's, within the cone and with a line search. The noise is for the
    experiment's Delta_0, whatever the request. What is published is projected after it.
    """

    name = "cone-newton"
    title = "Newton within the cone"
    source = Source(
        paper="Guo, Goldstein, Hannun, van der Maaten: Certified Data Removal from Machine "
        "Learning Models (ICML 2020)",
        url="https://arxiv.org/abs/1911.03030",
    )
    evidence = "distance"
    needs = frozenset({"retain", "cone"})

    def unlearn(self, request: Request) -> Release:
        problem, distance = request.problem, request.target.distance
        training = constrained_head(problem)
        floor = 2 * training.residual_bound / problem.strong_convexity
        if floor > distance:
            raise AssumptionBroken(
                f"target.distance {distance:.3g} is below what training itself guarantees, 2 G / "
                f"mu = {floor:.3g}: raise it or lower training.tolerance"
            )
        path = cone_path(
            problem,
            request.original.weights,
            request.retain_rows,
            tolerance=0.0,
            steps=STEPS,
        )
        weights, steps = request.original.weights, 0
        while True:
            with request.clock.phase("gradient"):
                hessian = problem.hessian_on(weights, request.retain)
            with request.clock.phase("certificate"):
                bounds = bounds_within(problem, weights, hessian.gradient)
                if min(bound.value for bound in bounds) > distance:
                    matrix = dense_matrix(hessian, weights)
                    bounds = bounds_within(problem, weights, hessian.gradient, matrix)
            if min(bound.value for bound in bounds) <= distance:
                return request.release(weights, within_claim(request, bounds, steps))
            with request.clock.phase("inverse_hessian"):
                try:
                    weights, steps = next(path), steps + 1
                except (StopIteration, DidNotConverge, torch.linalg.LinAlgError) as error:
                    raise AssumptionBroken(
                        f"no step within the cone reaches target.distance {distance:.3g}: raise "
                        "it, or the ridge"
                    ) from error
